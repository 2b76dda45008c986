//! Whatever a server says of a message comes out of the journal's file as it went in.

use std::path::PathBuf;

use mailhaul_engine::journal::memory::MemoryStore;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{
    BatchEnd, Change, Form, Intent, ItemId, Journal, JournalResult, Ladder, ListedItem, Note, Origin, Place,
    ReadBack, Reason, Sent, Side, State,
};
use mailhaul_engine::limits::LISTED_OCTETS_MAX;
use mailhaul_engine::message::{Digest, Fingerprint, Flags, InternalDate, Key};

use super::Take;
use crate::suites::journal::dump;
use crate::suites::journal::fixtures::{facts, pair, record};

/// Messages made of one input, at most.
const MESSAGES_MAX: i64 = 6;

/// Writes what the octets say to a journal in a file, opens it again and compares it with one in memory.
///
/// # Panics
/// If they differ, or only one of them takes it.
pub fn journal(octets: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime of one thread");
    runtime.block_on(async {
        let memory = MemoryStore::new().open(&pair()).expect("a new journal");
        let folder = tempfile::tempdir_in(place()).expect("a folder");
        let path = folder.path().join("journal.sqlite");
        let file = SqliteJournal::open(&path, &pair(), "fuzz").expect("a new journal");
        let taken = write(&memory, &mut Take(octets)).await;
        let filed = write(&file, &mut Take(octets)).await;
        assert_eq!(format!("{filed:?}"), format!("{taken:?}"));
        file.release().await.expect("the journal is given back");
        let again = SqliteJournal::open(&path, &pair(), "fuzz").expect("the journal opens again");
        let (filed, taken) = (dump(&again).await, dump(&memory).await);
        for (filed, taken) in filed.iter().zip(&taken) {
            assert_eq!(filed, taken);
        }
        assert_eq!(filed.len(), taken.len());
    });
}

/// In memory where the system has such a place.
fn place() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

async fn write<J: Journal>(journal: &J, take: &mut Take<'_>) -> JournalResult<()> {
    let mailbox = journal.save_mailboxes(&[record(&take.text())]).await?[0].id;
    let source = journal.open_epoch(mailbox, Side::Source, &facts(5)).await?.id;
    let target = journal.open_epoch(mailbox, Side::Target, &facts(6)).await?.id;
    let mut listed = Vec::new();
    while !take.is_empty() && (listed.len() as i64) < MESSAGES_MAX {
        listed.push(message(listed.len() as i64 + 1, take));
    }
    journal.record_listing(mailbox, source, &listed).await?;
    // every fourth one waits
    for message in listed.iter().filter(|message| message.excluded.is_none() && message.key.0 % 4 != 0) {
        let item = ItemId { mailbox, epoch: source, key: message.key };
        let intent = Intent {
            mailbox,
            epoch: target,
            uid_next: Key(1),
            form: Form::Group,
            items: vec![(item, sent(take))],
        };
        let batch = journal.commit_batch(&intent).await?;
        let place = Place { epoch: target, uid: message.key };
        let mut change = Change::to(item, State::Stored).at(place, Origin::Appended);
        change.read_back = take.maybe(read_back);
        change.reason = take.maybe(|take| Reason::new(word(take), take.text()));
        journal.end_batch(batch, BatchEnd::Answered, &[change]).await?;
        let note =
            Note { kind: take.text(), mailbox: Some(mailbox), key: Some(message.key), text: take.text() };
        journal.note(note).await?;
    }
    Ok(())
}

fn message(key: i64, take: &mut Take<'_>) -> ListedItem {
    ListedItem {
        key: Key(key),
        octets: take.number().min(LISTED_OCTETS_MAX),
        flags: flags(take),
        internal_date: take.maybe(date),
        mod_seq: take.maybe(Take::number),
        lineage: take.maybe(Take::text),
        excluded: if take.octet() % 8 == 7 { Some(word(take)) } else { None },
    }
}

/// A word of ours, or a rule's name: never empty.
fn word(take: &mut Take<'_>) -> String {
    format!("a {}", take.text())
}

fn flags(take: &mut Take<'_>) -> Flags {
    Flags::from_octets(take.short())
}

fn date(take: &mut Take<'_>) -> InternalDate {
    InternalDate::from_octets(take.short())
}

fn fingerprint(take: &mut Take<'_>) -> Fingerprint {
    let digest = |octet| Digest([octet; 32]);
    // octets that were here
    let octets = take.number().min(LISTED_OCTETS_MAX);
    Fingerprint { octets, exact: digest(take.octet()), normal: digest(take.octet()) }
}

fn sent(take: &mut Take<'_>) -> Sent {
    let fetched = fingerprint(take);
    let sent = if take.octet() % 2 == 1 { fingerprint(take) } else { fetched };
    let ladder = if take.octet() % 2 == 1 { Ladder::NO_DATE } else { Ladder::default() };
    Sent { fetched, sent, flags: flags(take), internal_date: take.maybe(date), ladder }
}

fn read_back(take: &mut Take<'_>) -> ReadBack {
    ReadBack {
        fingerprint: take.maybe(fingerprint),
        octets: take.number(),
        flags: flags(take),
        internal_date: take.maybe(date),
        mod_seq: take.maybe(Take::number),
    }
}
