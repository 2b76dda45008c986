//! The journals keep their promises; the SQLite one also keeps them against locks, formats, damage and full disks.

use mailhaul_engine::journal::memory::MemoryStore;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, BatchEnd, Change, Journal, JournalError, Origin, State};
use mailhaul_testkit::suites::journal as suite;

fn pair() -> AccountPair {
    AccountPair { source: "imaps://a@old".into(), target: "imaps://a@new".into() }
}

macro_rules! conformance {
    ($($name:ident),*) => {
        mod memory { $(#[tokio::test] async fn $name() {
            super::suite::$name(super::MemoryStore::new().open(&super::pair()).unwrap()).await;
        })* }
        mod sqlite { $(#[tokio::test] async fn $name() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("j.sqlite");
            super::suite::$name(super::SqliteJournal::open(path, &super::pair(), "test").unwrap()).await;
        })* }
    };
}

conformance!(batches_and_claims, moves_are_checked, listings, pages, read_backs, facts_are_kept);

fn file() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state").join("j.sqlite");
    (folder, path)
}

#[tokio::test]
async fn a_reopened_journal_holds_what_was_written() {
    let (_folder, path) = file();
    let journal = SqliteJournal::open(&path, &pair(), "first").unwrap();
    let p = suite::prepare(&journal, 5).await;
    suite::commit(&journal, &p, &p.items[..2]).await.unwrap();
    let before = suite::dump(&journal).await;
    journal.release().await.unwrap();
    let again = SqliteJournal::open(&path, &pair(), "second").unwrap();
    assert_eq!(suite::dump(&again).await, before);
    assert!(again.lease().token > 1);
    let reader = SqliteJournal::open_read_only(&path).unwrap();
    assert_eq!(suite::dump(&reader).await, before);
    assert!(matches!(reader.begin_run("x").await, Err(JournalError::Fenced)), "a reader writes nothing");
}

#[tokio::test]
async fn a_journal_in_use_names_its_holder_and_other_accounts_are_refused() {
    let (_folder, path) = file();
    let journal = SqliteJournal::open(&path, &pair(), "process 42").unwrap();
    let error = SqliteJournal::open(&path, &pair(), "other").unwrap_err();
    assert!(matches!(&error, JournalError::Held { holder } if holder.starts_with("process 42, process ")), "{error}");
    journal.release().await.unwrap();
    let other = AccountPair { source: "x".into(), target: "y".into() };
    assert!(matches!(SqliteJournal::open(&path, &other, "o"), Err(JournalError::OtherSettings { .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_a_journal() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = file();
    let journal = SqliteJournal::open(&path, &pair(), "x").unwrap();
    suite::prepare(&journal, 5).await;
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn a_newer_a_foreign_and_a_broken_file_are_errors_and_never_an_empty_journal() {
    let (_folder, path) = file();
    let journal = SqliteJournal::open(&path, &pair(), "x").unwrap();
    suite::prepare(&journal, 500).await;
    journal.release().await.unwrap();
    let open = || SqliteJournal::open(&path, &pair(), "x").map(drop);
    let raw = |sql: &str| rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    raw("PRAGMA user_version = 99");
    assert!(matches!(open(), Err(JournalError::Newer { found: 99, .. })));
    raw("PRAGMA user_version = 1; PRAGMA application_id = 1");
    assert!(matches!(open(), Err(JournalError::Damaged { .. })));
    raw(&format!("PRAGMA application_id = {}", 0x4d68_6175));
    open().unwrap();
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    let middle = good.len() / 2;
    flipped[middle..middle + 4096].iter_mut().for_each(|b| *b ^= 0x5a);
    for (what, octets) in [("cut", &good[..good.len() / 3]), ("garbage", &[7; 9000][..]), ("flipped", &flipped[..])] {
        std::fs::write(&path, octets).unwrap();
        let _ = std::fs::remove_file(path.with_extension("sqlite-wal"));
        let opened = open();
        assert!(matches!(opened, Err(JournalError::Damaged { .. })), "{what}: {opened:?}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_the_commit_and_the_same_commit_succeeds_when_there_is_room() {
    let (_folder, path) = file();
    let journal = SqliteJournal::open(&path, &pair(), "x").unwrap();
    let p = suite::prepare(&journal, 3000).await;
    journal.limit_pages(1).await.unwrap();
    let error = suite::commit(&journal, &p, &p.items).await.unwrap_err();
    assert!(matches!(error, JournalError::DiskFull { .. }), "{error}");
    assert!(journal.open_batches(p.mailbox).await.unwrap().is_empty());
    journal.limit_pages(1_000_000).await.unwrap();
    suite::commit(&journal, &p, &p.items).await.unwrap();
}

#[tokio::test]
async fn a_process_that_was_taken_over_writes_nothing() {
    let (_folder, path) = file();
    let journal = SqliteJournal::open(&path, &pair(), "x").unwrap();
    let p = suite::prepare(&journal, 3).await;
    rusqlite::Connection::open(&path).unwrap().execute_batch("UPDATE lease SET token = token + 1").unwrap();
    let before = suite::dump(&journal).await;
    assert!(matches!(suite::commit(&journal, &p, &p.items).await, Err(JournalError::Fenced)));
    assert_eq!(suite::dump(&journal).await, before);
}

#[tokio::test]
async fn requests_that_share_a_transaction_fail_alone() {
    let (_folder, path) = file();
    let journal = SqliteJournal::open(&path, &pair(), "x").unwrap();
    let p = suite::prepare(&journal, 40).await;
    let gone = |i: usize| [Change::to(p.items[i], State::GoneAtSource)];
    let bad = |i: usize| [Change::to(p.items[i], State::Verified)];
    let (mut fine, mut failed) = (0, 0);
    let changes: Vec<[Change; 1]> = (0..40).map(|i| if i % 3 == 0 { bad(i) } else { gone(i) }).collect();
    for result in futures_util::future::join_all(changes.iter().map(|c| journal.change(c))).await {
        if result.is_ok() { fine += 1 } else { failed += 1 }
    }
    assert_eq!((fine, failed), (26, 14));
    let gone = suite::dump(&journal).await.iter().filter(|i| i.state == State::GoneAtSource).count();
    assert_eq!(gone, 26);
}

#[tokio::test]
async fn memory_forgets_what_was_not_synced_and_fences_the_old_handle() {
    let store = MemoryStore::new();
    let journal = store.open(&pair()).unwrap();
    let p = suite::prepare(&journal, 3).await;
    let batch = suite::commit(&journal, &p, &p.items[..1]).await.unwrap();
    let stored = Change::to(p.items[0], State::Stored).at(p.place(9), Origin::Appended);
    journal.end_batch(batch, BatchEnd::Answered, &[stored]).await.unwrap();
    store.crash();
    assert!(matches!(journal.begin_run("x").await, Err(JournalError::Fenced)));
    let again = store.open(&pair()).unwrap();
    assert_eq!(suite::dump(&again).await[0].state, State::Committed, "the answer is forgotten, the intent is not");
    assert_eq!(again.open_batches(p.mailbox).await.unwrap().len(), 1);
}
