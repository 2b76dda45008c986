//! kill -9 in the middle of writing: what was promised is there, and what is there is legal.

use super::InFile;
use mailhaul_engine::journal::{BatchEnd, Change, Journal, MailboxId, Note, Query, Side, State};
use mailhaul_testkit::suites::journal::fixtures::{Prepared, commit, facts, listed, prepare};
use mailhaul_testkit::suites::journal::{Shelf, check_consistency};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Tells the child where to write.
const JOURNAL: &str = "MAILHAUL_TEST_JOURNAL";
/// Messages of the mailbox.
const MESSAGES: i64 = 6000;
/// Messages of a batch.
const BATCH: usize = 3;

/// Runs in a process of its own (the test below starts it), until it is killed or nothing is left to write.
#[tokio::test]
#[ignore = "started by the test below"]
async fn child() {
    let path = std::env::var_os(JOURNAL).expect("started by the test below");
    let journal = InFile::at(Path::new(&path)).open().await.unwrap();
    let p = if journal.mailboxes().await.unwrap().is_empty() {
        prepare(&journal, MESSAGES).await
    } else {
        again(&journal).await
    };
    resolve(&journal, &p).await;
    let query = Query { mailbox: None, states: &[State::Listed], after: None, limit: MESSAGES as usize };
    let todo: Vec<_> = journal.items(query).await.unwrap().iter().map(|i| i.id).collect();
    for items in todo.chunks(BATCH) {
        let batch = commit(&journal, &p, items).await.unwrap();
        let keys: Vec<String> = items.iter().map(|i| i.key.to_string()).collect();
        println!("committed {}", keys.join(" "));
        let stored: Vec<Change> = items.iter().map(|i| p.stored(i.key.0 as usize - 1, i.key.0)).collect();
        let heard = [listed(1)];
        let (ended, noted, _) = tokio::join!(
            journal.end_batch(batch, BatchEnd::Answered, &stored),
            journal.note(Note { kind: "batch".into(), mailbox: None, key: None, text: "done".into() }),
            journal.record_listing(p.mailbox, p.source, &heard),
        );
        ended.unwrap();
        noted.unwrap();
        println!("stored {}", keys.join(" "));
    }
}

async fn again<J: Journal>(journal: &J) -> Prepared {
    let mailbox = MailboxId(1);
    let epoch = async |side| journal.epochs(mailbox, side).await.unwrap().pop().unwrap().id;
    let (source, target) = (epoch(Side::Source).await, epoch(Side::Target).await);
    let items = (1..=MESSAGES).map(|k| mailhaul_engine::journal::ItemId {
        mailbox,
        epoch: source,
        key: listed(k).key,
    });
    Prepared { mailbox, items: items.collect(), source, target }
}

/// Closes what the killed process left open: the odd keys are found, the others are not.
async fn resolve<J: Journal>(journal: &J, p: &Prepared) {
    for batch in journal.open_batches(p.mailbox).await.unwrap() {
        let doubt: Vec<Change> = batch.items.iter().map(|i| Change::to(*i, State::InDoubt)).collect();
        journal.end_batch(batch.id, BatchEnd::Lost, &doubt).await.unwrap();
        let end = batch.items.iter().map(|i| match i.key.0 % 2 {
            0 => Change::to(*i, State::Listed),
            _ => p.stored(i.key.0 as usize - 1, i.key.0),
        });
        journal.end_batch(batch.id, BatchEnd::Resolved, &end.collect::<Vec<_>>()).await.unwrap();
    }
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "death::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(JOURNAL, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn killed_at_any_moment_every_committed_batch_is_there_and_all_states_are_legal() {
    let shelf = InFile::default();
    let mut promised = std::collections::BTreeSet::new();
    for lines in [1, 2, 3, 10, 37, 64, 5, 128, 11, 256] {
        let mut child = start(&shelf.path);
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut read = 0;
        for line in output.lines() {
            let line = line.unwrap();
            // The harness writes the name of the test in front of the first line.
            let Some(keys) = line.split_once("committed ").or(line.split_once("stored ")) else { continue };
            promised.extend(keys.1.split(' ').map(|k| k.parse::<i64>().unwrap()));
            read += 1;
            if read == lines {
                child.kill().unwrap();
                // What it wrote until then still comes.
            }
        }
        assert!(read >= lines, "the child ended by itself");
        assert!(!child.wait().unwrap().success(), "it was killed");
        check(&shelf, &promised).await;
    }
    assert!(promised.len() > 100);
}

/// Every promised message is past `listed`, unless its batch was found not stored by a later child.
async fn check(shelf: &InFile, promised: &std::collections::BTreeSet<i64>) {
    let journal = shelf.open().await.unwrap();
    check_consistency(&journal).await;
    let query = Query { mailbox: None, states: &[], after: None, limit: MESSAGES as usize };
    let items = journal.items(query).await.unwrap();
    assert_eq!(items.len() as i64, MESSAGES);
    let open = journal.open_batches(MailboxId(1)).await.unwrap();
    assert!(open.len() <= 1, "one batch at a time was written");
    for item in &items {
        let legal = matches!(item.state, State::Listed | State::Committed | State::Stored | State::InDoubt);
        assert!(legal, "{item:?}");
        assert_eq!(item.state == State::Listed, item.sent.is_none(), "{item:?}");
        assert_eq!(item.state == State::Stored, item.place.is_some(), "{item:?}");
        let forgotten = item.state == State::Listed && promised.contains(&item.id.key.0);
        assert!(!forgotten || item.id.key.0 % 2 == 0, "a promised batch is gone: {item:?}");
    }
    let epochs = journal.epochs(MailboxId(1), Side::Target).await.unwrap();
    assert_eq!(epochs[0].facts, facts(6));
    journal.release().await.unwrap();
}
