//! What was not synced may be forgotten, from the end backwards and never in another order.

use super::{InFile, InMemory};
use mailhaul_engine::journal::memory::Write;
use mailhaul_engine::journal::{BatchEnd, Change, Journal, JournalError, Note, State};
use mailhaul_testkit::suites::journal::fixtures::{Prepared, commit, prepare};
use mailhaul_testkit::suites::journal::promises::expect_fenced;
use mailhaul_testkit::suites::journal::{Shelf, check_consistency, dump};
use std::sync::{Arc, Mutex};

/// Steps of [`write_steps`].
const STEPS: usize = 24;

/// Writes step by step and asks `go_on` after each, telling whether the step was durable.
async fn write_steps<J: Journal>(journal: &J, p: &Prepared, mut go_on: impl AsyncFnMut(bool) -> bool) {
    for i in 0..STEPS / 4 {
        let note = Note { kind: format!("n{i}"), mailbox: None, key: None, text: "x".repeat(700) };
        journal.note(note).await.unwrap();
        if !go_on(false).await {
            return;
        }
        let batch = commit(journal, p, &p.items[i..=i]).await.unwrap();
        if !go_on(true).await {
            return;
        }
        journal.end_batch(batch, BatchEnd::Answered, &[p.stored(i, 41 + i as i64)]).await.unwrap();
        if !go_on(false).await {
            return;
        }
        journal.change(&[Change::to(p.items[i], State::Verified)]).await.unwrap();
        if !go_on(false).await {
            return;
        }
    }
}

#[tokio::test]
async fn a_crash_in_memory_leaves_the_last_durable_image_and_fences_the_old_handle() {
    for stop_at in 1..=STEPS {
        let shelf = InMemory::default();
        let journal = shelf.open().await.unwrap();
        let p = prepare(&journal, 6).await;
        // Nothing is durable at first: not even the mailbox.
        let (mut durable, mut steps) = (Vec::new(), 0);
        write_steps(&journal, &p, async |synced| {
            steps += 1;
            if synced {
                durable = dump(&journal).await;
            }
            steps < stop_at
        })
        .await;
        shelf.0.crash();
        expect_fenced(&journal).await;
        let again = shelf.open().await.unwrap();
        assert_eq!(dump(&again).await, durable, "after step {stop_at}");
    }
}

#[tokio::test]
async fn a_torn_log_of_a_file_leaves_an_earlier_moment_and_never_another() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 6).await;
    let mut moments = vec![dump(&journal).await];
    write_steps(&journal, &p, async |_| {
        moments.push(dump(&journal).await);
        true
    })
    .await;
    let (file, log) = (std::fs::read(&shelf.path).unwrap(), std::fs::read(shelf.beside("-wal")).unwrap());
    let mut last = 0;
    let mut reached = std::collections::BTreeSet::new();
    for cut in (0..=log.len()).step_by(1009).chain([log.len()]) {
        let torn = InFile::default();
        std::fs::create_dir(torn.path.parent().unwrap()).unwrap();
        std::fs::write(&torn.path, &file).unwrap();
        std::fs::write(torn.beside("-wal"), &log[..cut]).unwrap();
        let again = torn.open().await.unwrap();
        check_consistency(&again).await;
        let now = dump(&again).await;
        // The log also holds what `prepare` wrote, before the first moment.
        let Some(moment) = moments.iter().position(|m| *m == now) else {
            assert_eq!(last, 0, "cut at {cut}: a state that never was");
            continue;
        };
        assert!(moment >= last, "cut at {cut}");
        last = moment;
        reached.insert(moment);
    }
    assert_eq!(reached.len(), moments.len(), "each moment is met by some cut");
}

#[tokio::test]
async fn the_hook_stops_a_verb_before_or_after_it_took_effect() {
    for done in [false, true] {
        let shelf = InMemory::default();
        let journal = shelf.open().await.unwrap();
        let p = prepare(&journal, 1).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let hook = {
            let seen = seen.clone();
            move |write: Write| {
                seen.lock().unwrap().push(write);
                write == Write { verb: "commit_batch", done }
            }
        };
        shelf.0.set_hook(Some(Arc::new(hook)));
        journal.begin_run("x").await.unwrap();
        let stopped = tokio::select! {
            biased;
            _ = commit(&journal, &p, &p.items) => false,
            () = tokio::task::yield_now() => true,
        };
        assert!(stopped);
        shelf.0.set_hook(None);
        shelf.0.crash();
        let again = shelf.open().await.unwrap();
        assert_eq!(again.open_batches(p.mailbox).await.unwrap().len(), usize::from(done));
        let steps: Vec<_> = seen.lock().unwrap().iter().map(|w| (w.verb, w.done)).collect();
        let all =
            [("begin_run", false), ("begin_run", true), ("commit_batch", false), ("commit_batch", true)];
        assert_eq!(steps, all[..3 + usize::from(done)]);
    }
}

#[tokio::test]
async fn a_full_disk_in_memory_stops_durable_verbs_alone() {
    let shelf = InMemory::default();
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 2).await;
    shelf.0.set_disk_full(true);
    let before = dump(&journal).await;
    assert!(matches!(commit(&journal, &p, &p.items).await, Err(JournalError::DiskFull { .. })));
    assert_eq!(dump(&journal).await, before);
    journal.change(&[Change::to(p.items[0], State::Fetched)]).await.unwrap();
    shelf.0.set_disk_full(false);
    commit(&journal, &p, &p.items).await.unwrap();
}
