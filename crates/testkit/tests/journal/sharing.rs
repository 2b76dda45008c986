//! Locks, tokens, readers, file modes, and requests that share a transaction.

use super::InFile;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, Change, Journal, JournalError, Origin, State};
use mailhaul_testkit::suites::journal::fixtures::{commit, pair, prepare, store};
use mailhaul_testkit::suites::journal::promises::{expect_fenced, fill};
use mailhaul_testkit::suites::journal::{Shelf, check_consistency, dump};

#[tokio::test]
async fn a_held_journal_names_its_holder_also_under_another_name() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&shelf.path, shelf.beside(".link")).unwrap();
    for path in [shelf.path.clone(), shelf.beside(".link")] {
        if !path.exists() {
            continue;
        }
        let error = SqliteJournal::open(path, &pair(), "other").unwrap_err();
        let JournalError::Held { holder } = &error else { panic!("{error}") };
        assert!(holder.starts_with("a test on this host, process "), "{holder}");
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
    }
    drop(journal);
    shelf.open().await.expect("the last handle that goes frees the lock");
}

#[tokio::test]
async fn other_accounts_are_refused_and_change_nothing() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    fill(&journal).await;
    let (before, token) = (dump(&journal).await, journal.lease().token);
    journal.release().await.unwrap();
    let other = AccountPair { source: "imaps://eve@old.example".into(), ..pair() };
    let error = SqliteJournal::open(&shelf.path, &other, "x").unwrap_err();
    assert!(
        matches!(&error, JournalError::OtherSettings { what } if what.contains(&pair().source)),
        "{error}"
    );
    let journal = shelf.open().await.unwrap();
    assert_eq!((dump(&journal).await, journal.lease().token), (before, token + 1));
}

#[tokio::test]
async fn a_process_that_was_taken_over_writes_nothing() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    fill(&journal).await;
    let before = dump(&journal).await;
    // As on a file system whose locks do nothing: the lock file is gone, another process comes.
    std::fs::remove_file(shelf.beside(".lock")).unwrap();
    let second = shelf.open().await.unwrap();
    expect_fenced(&journal).await;
    assert_eq!(dump(&second).await, before);
    second.begin_run("goes on").await.unwrap();
}

#[tokio::test]
async fn a_reader_needs_no_lock_sees_what_is_committed_and_writes_nothing() {
    let shelf = InFile::default();
    assert!(matches!(SqliteJournal::open_read_only(&shelf.path), Err(JournalError::NotFound { .. })));
    let journal = shelf.open().await.unwrap();
    let reader = SqliteJournal::open_read_only(&shelf.path).unwrap();
    fill(&journal).await;
    assert_eq!(dump(&reader).await, dump(&journal).await);
    assert_eq!(reader.pair(), pair());
    check_consistency(&reader).await;
    expect_fenced(&reader).await;
    journal.release().await.unwrap();
    let before = dump(&reader).await;
    drop(reader);
    let reader = SqliteJournal::open_read_only(&shelf.path).unwrap();
    assert_eq!(dump(&reader).await, before);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_a_journal() {
    use std::os::unix::fs::PermissionsExt;
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    prepare(&journal, 5).await;
    let folder = shelf.path.parent().unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700);
    let names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(names.len(), 4, "journal, log, shared memory, lock: {names:?}");
    for path in names {
        assert_eq!(mode(&path), 0o600, "{path:?}");
    }
}

#[tokio::test]
async fn requests_that_share_a_transaction_fail_alone() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 90).await;
    store(&journal, &p, 89, 1).await;
    // Every third is illegal, one claims what is taken, and durable verbs stand among them.
    let changes: Vec<Change> = (0..80)
        .map(|i| match i % 3 {
            0 => Change::to(p.items[i], State::Verified),
            _ => Change::to(p.items[i], State::AlreadyThere).at(p.place(i as i64), Origin::Adopted),
        })
        .collect();
    let moves = changes.iter().map(|c| journal.change(std::slice::from_ref(c)));
    let commits = p.items[80..89].iter().map(|id| commit(&journal, &p, std::slice::from_ref(id)));
    let (moved, committed) =
        tokio::join!(futures_util::future::join_all(moves), futures_util::future::join_all(commits));
    for (i, result) in moved.iter().enumerate() {
        match i {
            1 => assert!(matches!(result, Err(JournalError::ClaimTaken { .. })), "{result:?}"),
            _ if i % 3 == 0 => assert!(matches!(result, Err(JournalError::Illegal { .. })), "{result:?}"),
            _ => assert!(result.is_ok(), "{i}: {result:?}"),
        }
    }
    assert!(committed.iter().all(Result::is_ok));
    let counts = journal.counts().await.unwrap();
    let of = |state| counts.iter().filter(|c| c.state == state).map(|c| c.items).sum::<u64>();
    assert_eq!((of(State::AlreadyThere), of(State::Committed), of(State::Listed)), (52, 9, 28));
    check_consistency(&journal).await;
}
