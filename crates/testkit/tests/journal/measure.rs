//! Figures, not promises: `cargo test --release -p mailhaul-testkit --test journal -- --ignored measure --nocapture`.
//! The journal is written into the temporary folder of the system; TMPDIR names another disk.

use super::InFile;
use mailhaul_engine::identity::Grade;
use mailhaul_engine::journal::{BatchEnd, Change, Journal, ListedItem, Query, ReadBack, State};
use mailhaul_testkit::suites::journal::Shelf;
use mailhaul_testkit::suites::journal::fixtures::{Prepared, commit, listed, prepare_named};
use std::time::Instant;

/// Messages of a batch.
const BATCH: usize = 100;
/// Messages of the account.
const MESSAGES: i64 = 1_000_000;
/// Mailboxes of the account.
const MAILBOXES: i64 = 20;

fn rate(what: &str, count: usize, since: Instant) {
    let seconds = since.elapsed().as_secs_f64();
    println!("{what}: {count} in {seconds:.2} s, {:.0}/s", count as f64 / seconds);
}

fn took(what: &str, since: Instant) {
    println!("{what}: {:.1} ms", since.elapsed().as_secs_f64() * 1e3);
}

fn read_back(change: Change) -> Change {
    let sent = mailhaul_testkit::suites::journal::fixtures::sent(change.item.key.0 as u8);
    let fingerprint = Some(sent.fetched);
    let read = ReadBack { fingerprint, octets: 10, flags: sent.flags, internal_date: None, mod_seq: Some(7) };
    Change { read_back: Some(read), grade: Some(Grade::Exact), ..change }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; run it in release"]
async fn measure() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    let since = Instant::now();
    let mut all: Vec<Prepared> = Vec::new();
    for n in 0..MAILBOXES {
        let mut p = prepare_named(&journal, &format!("m{n}"), 0).await;
        let keys: Vec<i64> = (1..=MESSAGES / MAILBOXES).collect();
        for keys in keys.chunks(1000) {
            let page: Vec<ListedItem> = keys.iter().map(|k| listed(*k)).collect();
            journal.record_listing(p.mailbox, p.source, &page).await.unwrap();
            let id = |key: &i64| mailhaul_engine::journal::ItemId {
                mailbox: p.mailbox,
                epoch: p.source,
                key: mailhaul_engine::message::Key(*key),
            };
            p.items.extend(keys.iter().map(id));
        }
        all.push(p);
    }
    rate("record_listing, messages", MESSAGES as usize, since);
    copy_alone(&journal, &all[0]).await;
    copy_together(&journal, &all[1..]).await;
    let since = Instant::now();
    let verify = |p: &Prepared| -> Vec<Vec<Change>> {
        let one = |id: &_| read_back(Change::to(*id, State::Verified));
        p.items.chunks(BATCH).map(|items| items.iter().map(one).collect()).collect()
    };
    for p in &all {
        for changes in verify(p) {
            journal.change(&changes).await.unwrap();
        }
    }
    rate("change to verified with read-back, messages", MESSAGES as usize, since);
    let since = Instant::now();
    let counts = journal.counts().await.unwrap();
    took(&format!("counts() at {} messages", counts.iter().map(|c| c.items).sum::<u64>()), since);
    pages(&journal, &all).await;
    let since = Instant::now();
    journal.release().await.unwrap();
    took("release, with the last checkpoint", since);
    let octets = std::fs::metadata(&shelf.path).unwrap().len();
    println!("file: {} MB, {} octets/message", octets / 1_000_000, octets / MESSAGES as u64);
    let since = Instant::now();
    shelf.open().await.unwrap();
    took("open, with the check of the whole file", since);
}

async fn copy_alone<J: Journal>(journal: &J, p: &Prepared) {
    let (mut durable, mut answered) = (0.0, 0.0);
    let batches = p.items.chunks(BATCH).len();
    for items in p.items.chunks(BATCH) {
        let since = Instant::now();
        let batch = commit(journal, p, items).await.unwrap();
        durable += since.elapsed().as_secs_f64();
        let stored: Vec<Change> = items.iter().map(|i| p.stored(i.key.0 as usize - 1, i.key.0)).collect();
        let since = Instant::now();
        journal.end_batch(batch, BatchEnd::Answered, &stored).await.unwrap();
        answered += since.elapsed().as_secs_f64();
    }
    let batches = batches as f64;
    println!(
        "commit_batch of {BATCH}, one writer: {:.0}/s, {:.2} ms each",
        batches / durable,
        durable / batches * 1e3
    );
    println!(
        "end_batch of {BATCH}, one writer: {:.0}/s, {:.2} ms each",
        batches / answered,
        answered / batches * 1e3
    );
}

/// All mailboxes at once, as several connections do.
async fn copy_together<J: Journal>(journal: &J, all: &[Prepared]) {
    let since = Instant::now();
    let one = async |p: &Prepared| {
        for items in p.items.chunks(BATCH) {
            let batch = commit(journal, p, items).await.unwrap();
            let stored: Vec<Change> = items.iter().map(|i| p.stored(i.key.0 as usize - 1, i.key.0)).collect();
            journal.end_batch(batch, BatchEnd::Answered, &stored).await.unwrap();
        }
    };
    futures_util::future::join_all(all.iter().map(one)).await;
    let batches = all.iter().map(|p| p.items.chunks(BATCH).len()).sum();
    rate(&format!("commit_batch + end_batch of {BATCH}, {} writers", all.len()), batches, since);
}

async fn pages<J: Journal>(journal: &J, all: &[Prepared]) {
    let far = all[10].items[40_000];
    journal.change(&[Change::to(far, State::Exception)]).await.unwrap();
    for (what, mailbox, states, after) in [
        (
            "the last page of a mailbox in two states",
            Some(far.mailbox),
            &[State::Verified, State::Stored][..],
            Some(far),
        ),
        ("the one exception of a million", None, &[State::Exception][..], None),
        ("a page in the middle of everything", None, &[][..], Some(far)),
    ] {
        let since = Instant::now();
        let page = journal.items(Query { mailbox, states, after, limit: 100 }).await.unwrap();
        took(&format!("items(), {what}, {} rows", page.len()), since);
    }
}
