//! A newer, foreign or broken file is an error: never a panic, never silently an empty journal.

use super::InFile;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{Journal, JournalError, ListedItem};
use mailhaul_testkit::suites::journal::fixtures::{prepare, store};
use mailhaul_testkit::suites::journal::promises::fill;
use mailhaul_testkit::suites::journal::{Shelf, dump};

const PAGE: usize = 4096;

/// A released journal with content, and its octets.
async fn whole() -> (InFile, Vec<u8>) {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    fill(&journal).await;
    let name = "Third";
    let p = mailhaul_testkit::suites::journal::fixtures::prepare_named(&journal, name, 200).await;
    for (i, uid) in (0..20).zip(1..) {
        store(&journal, &p, i, uid).await;
    }
    journal.release().await.unwrap();
    assert!(!shelf.beside("-wal").exists(), "a released journal is one file");
    let octets = std::fs::read(&shelf.path).unwrap();
    (shelf, octets)
}

fn sql(shelf: &InFile, sql: &str) {
    rusqlite::Connection::open(&shelf.path).unwrap().execute_batch(sql).unwrap();
}

async fn expect_damaged(shelf: &InFile, what: &str) {
    for opened in [shelf.open().await.map(drop), SqliteJournal::open_read_only(&shelf.path).map(drop)] {
        let Err(JournalError::Damaged { place, what: told }) = &opened else { panic!("{what}: {opened:?}") };
        assert_eq!(place, &shelf.path.display().to_string());
        assert!(!told.is_empty());
    }
}

#[tokio::test]
async fn a_newer_format_asks_for_the_newer_program() {
    let (shelf, _) = whole().await;
    sql(&shelf, "PRAGMA user_version = 99");
    for opened in [shelf.open().await.map(drop), SqliteJournal::open_read_only(&shelf.path).map(drop)] {
        assert!(matches!(opened, Err(JournalError::Newer { found: 99, known: 2, .. })), "{opened:?}");
    }
}

#[tokio::test]
async fn a_journal_of_the_format_before_the_first_release_says_what_to_do() {
    let (shelf, _) = whole().await;
    sql(&shelf, "PRAGMA user_version = 1");
    let opened = shelf.open().await.map(drop);
    let Err(JournalError::Damaged { what, .. }) = &opened else { panic!("{opened:?}") };
    assert!(what.contains("go on with the Mailhaul that began it"), "{what}");
}

#[tokio::test]
async fn what_is_not_our_journal_is_damage_and_is_left_as_it_is() {
    let garbage: Vec<u8> = (0..9000u32).map(|i| (i * 7919 % 251) as u8).collect();
    for (what, octets) in [("empty", &[][..]), ("one octet", &[1]), ("garbage", &garbage)] {
        let shelf = InFile::default();
        std::fs::create_dir(shelf.path.parent().unwrap()).unwrap();
        std::fs::write(&shelf.path, octets).unwrap();
        expect_damaged(&shelf, what).await;
        assert_eq!(std::fs::read(&shelf.path).unwrap(), octets, "{what}");
    }
    let (shelf, _) = whole().await;
    for (what, spoil, repair) in [
        ("another program's", "PRAGMA application_id = 1", "PRAGMA application_id = 0x4d686175"),
        ("format 0", "PRAGMA user_version = 0", "PRAGMA user_version = 2"),
        ("a table too many", "CREATE TABLE more (x)", "DROP TABLE more"),
        ("an index gone", "ALTER TABLE tally RENAME TO t", "ALTER TABLE t RENAME TO tally"),
    ] {
        sql(&shelf, spoil);
        expect_damaged(&shelf, what).await;
        sql(&shelf, repair);
        assert!(what == "an index gone" || shelf.open().await.is_ok(), "{what}");
    }
}

#[tokio::test]
async fn content_that_contradicts_itself_is_damage() {
    for (what, spoil) in [
        ("messages lost", "DELETE FROM item_block WHERE mailbox_id = 3 AND block = 1"),
        (
            "messages of another place",
            "UPDATE item_block SET block = block + 4 WHERE mailbox_id = 3 AND block = 1",
        ),
        (
            "a bit of a message",
            "UPDATE item_block SET content = CAST('x' || substr(content, 2) AS BLOB) WHERE mailbox_id = 3",
        ),
        ("messages cut", "UPDATE item_block SET content = substr(content, 1, 40) WHERE mailbox_id = 3"),
        ("a state told that is not there", "UPDATE item_block SET states = states | 32 WHERE mailbox_id = 3"),
        ("claims of another place", "UPDATE claim_block SET epoch_id = 77"),
        (
            "an open batch without messages",
            "UPDATE batch SET state = 'open', content = NULL WHERE batch_id = 1",
        ),
        (
            "messages of another batch",
            "UPDATE batch SET state = 'open', content = (SELECT content FROM batch b WHERE b.content IS NOT NULL AND b.batch_id <> batch.batch_id) WHERE content IS NULL",
        ),
        ("no accounts", "DELETE FROM migration"),
    ] {
        let (shelf, _) = whole().await;
        sql(&shelf, spoil);
        let opened = shelf.open().await;
        assert!(matches!(opened, Err(JournalError::Damaged { .. })), "{what}: {opened:?}");
    }
    // A reader does not read all of it: what is broken is told when it is read.
    let (shelf, _) = whole().await;
    sql(&shelf, "UPDATE item_block SET content = x'00' WHERE mailbox_id = 3 AND block = 1");
    let journal = SqliteJournal::open_read_only(&shelf.path).unwrap();
    let query = mailhaul_engine::journal::Query { mailbox: None, states: &[], after: None, limit: 1000 };
    let read = journal.items(query).await;
    assert!(matches!(&read, Err(JournalError::Damaged { place, .. }) if !place.is_empty()), "{read:?}");
}

#[tokio::test]
async fn sizes_that_a_server_makes_up_keep_no_journal_from_being_opened() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    let p = mailhaul_testkit::suites::journal::fixtures::prepare_named(&journal, "Huge", 0).await;
    for octets in [i64::MAX as u64, u64::MAX, 7] {
        let key = octets as i64 & 0xff;
        let listed = ListedItem { octets, ..mailhaul_testkit::suites::journal::fixtures::listed(key) };
        journal.record_listing(p.mailbox, p.source, &[listed]).await.unwrap();
    }
    journal.release().await.unwrap();
    let journal = shelf.open().await.unwrap();
    assert_eq!(journal.counts().await.unwrap().iter().map(|c| c.items).sum::<u64>(), 2);
}

#[tokio::test]
async fn a_truncated_file_is_damage_wherever_it_was_cut() {
    let (shelf, octets) = whole().await;
    for length in (1..octets.len() / PAGE).map(|pages| pages * PAGE).chain([100, PAGE + 1]) {
        std::fs::write(&shelf.path, &octets[..length]).unwrap();
        let opened = shelf.open().await;
        assert!(matches!(opened, Err(JournalError::Damaged { .. })), "{length}: {opened:?}");
    }
    std::fs::write(&shelf.path, &octets).unwrap();
    shelf.open().await.unwrap();
}

#[tokio::test]
async fn flipped_octets_are_an_error_or_leave_every_item_there() {
    let (shelf, octets) = whole().await;
    let count = async |journal: &SqliteJournal| {
        journal.counts().await.map(|all| all.iter().map(|c| c.items).sum::<u64>())
    };
    let journal = shelf.open().await.unwrap();
    let items = count(&journal).await.unwrap();
    journal.release().await.unwrap();
    let mut found = 0;
    // A whole page, the head of a page where its structure is, and a stretch in its middle.
    let spoiled =
        (0..octets.len() / PAGE).flat_map(|page| [(page, 0, PAGE), (page, 0, 16), (page, 2000, 300)]);
    for (page, from, length) in spoiled {
        let mut broken = octets.clone();
        broken[page * PAGE + from..][..length].iter_mut().for_each(|b| *b ^= 0x5a);
        std::fs::write(&shelf.path, &broken).unwrap();
        let opened = shelf.open().await;
        let told = match opened {
            Ok(journal) => {
                let query =
                    mailhaul_engine::journal::Query { mailbox: None, states: &[], after: None, limit: 1000 };
                match journal.items(query).await {
                    Ok(read) => {
                        assert_eq!(read.len() as u64, items, "page {page}, {from}");
                        assert_eq!(count(&journal).await.unwrap(), items);
                        None
                    }
                    Err(error) => Some(error),
                }
            }
            Err(error) => Some(error),
        };
        if let Some(error) = told {
            found += 1;
            let known = matches!(
                error,
                JournalError::Damaged { .. }
                    | JournalError::OtherSettings { .. }
                    | JournalError::Newer { .. }
            );
            assert!(known, "page {page}, {from}: {error}");
        }
        assert!(page > 0 || from == 2000 || shelf.open().await.is_err(), "the first page is the format");
    }
    assert!(found > octets.len() / PAGE, "most of it is noticed: {found}");
}

#[tokio::test]
async fn a_log_without_its_file_is_damage_and_a_half_made_journal_is_made_anew() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    prepare(&journal, 3).await;
    let log = std::fs::read(shelf.beside("-wal")).unwrap();
    journal.release().await.unwrap();
    std::fs::remove_file(&shelf.path).unwrap();
    std::fs::write(shelf.beside("-wal"), log).unwrap();
    let opened = shelf.open().await;
    assert!(matches!(opened, Err(JournalError::Damaged { .. })), "{opened:?}");
    std::fs::remove_file(shelf.beside("-wal")).unwrap();
    // A crash while a journal was made leaves it under another name.
    for left in [".new", ".new-journal"] {
        std::fs::write(shelf.beside(left), b"half").unwrap();
    }
    let journal = shelf.open().await.unwrap();
    assert!(dump(&journal).await.is_empty());
    assert!(!shelf.beside(".new").exists() && !shelf.beside(".new-journal").exists());
}

#[tokio::test]
async fn damage_met_while_working_is_told_as_damage() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    prepare(&journal, 400).await;
    journal.release().await.unwrap();
    let journal = shelf.open().await.unwrap();
    let length = std::fs::metadata(&shelf.path).unwrap().len() as usize;
    let mut octets = std::fs::read(&shelf.path).unwrap();
    octets[PAGE..length].fill(0xee);
    std::fs::write(&shelf.path, octets).unwrap();
    // Another handle reads them anew; this one may still have pages in memory.
    let reader = SqliteJournal::open_read_only(&shelf.path);
    let read = match reader {
        Ok(reader) => reader.mailboxes().await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(read, Err(JournalError::Damaged { .. })), "{read:?}");
    drop(journal);
}
