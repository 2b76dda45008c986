//! A full disk: the commit is refused, nothing of it stays, and the same commit succeeds once there is room.

use super::InFile;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{BatchEnd, Journal, JournalError, JournalResult};
use mailhaul_testkit::suites::journal::fixtures::{commit, prepare};
use mailhaul_testkit::suites::journal::{Shelf, check_consistency, dump};
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::Command;

#[tokio::test]
async fn a_file_at_its_limit_refuses_the_commit_and_takes_it_when_there_is_room() {
    let shelf = InFile::default();
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 3000).await;
    let before = dump(&journal).await;
    journal.limit_pages(1).await.unwrap();
    // Small requests that share the transaction hear of it, too, or succeed alone: never half of them.
    let (commit_all, run) = tokio::join!(commit(&journal, &p, &p.items), journal.begin_run("x"));
    let error = commit_all.unwrap_err();
    assert!(matches!(error, JournalError::DiskFull { .. }), "{error}");
    assert_eq!(journal.runs(9).await.unwrap().len(), usize::from(run.is_ok()));
    assert_eq!(dump(&journal).await[..before.len()], before);
    journal.limit_pages(1_000_000).await.unwrap();
    commit(&journal, &p, &p.items).await.unwrap();
    check_consistency(&journal).await;
}

/// Tells the child where the small disk is.
const FOLDER: &str = "MAILHAUL_TEST_SMALL_DISK";
/// Size of the small disk.
const DISK_KIB: usize = 4096;

/// Runs in a mount namespace of its own, with a real file system that is nearly full.
#[tokio::test]
#[ignore = "started by the test below"]
async fn child() {
    let folder = std::env::var_os(FOLDER).expect("started by the test below");
    let folder = Path::new(&folder);
    let shelf = InFile::at(&folder.join("j.sqlite"));
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 2000).await;
    let ballast = folder.join("ballast");
    let used: u64 = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    // Room for a few commits is left.
    std::fs::write(&ballast, vec![1; DISK_KIB * 1024 - used as usize - 300 * 1024]).unwrap();
    let (mut committed, mut refused) = (0, 0);
    for items in p.items.chunks(50) {
        let commit = async || commit(&journal, &p, items).await;
        let batch = once_there_is_room(&journal, &ballast, &mut refused, commit).await;
        committed += 1;
        let stored: Vec<_> = items.iter().map(|i| p.stored(i.key.0 as usize - 1, i.key.0)).collect();
        let end = async || journal.end_batch(batch, BatchEnd::Answered, &stored).await;
        once_there_is_room(&journal, &ballast, &mut refused, end).await;
        if refused > 0 && committed > 20 {
            break;
        }
    }
    assert_eq!(refused, 1, "the disk was full once");
    check_consistency(&journal).await;
    let before = dump(&journal).await;
    journal.release().await.unwrap();
    assert_eq!(dump(&shelf.open().await.unwrap()).await, before);
    println!("the small disk was full and had room again");
}

/// Runs a verb. If the disk is full nothing of it may stay, and nothing changes until the ballast goes.
async fn once_there_is_room<T: std::fmt::Debug>(
    journal: &SqliteJournal,
    ballast: &Path,
    refused: &mut u32,
    verb: impl AsyncFn() -> JournalResult<T>,
) -> T {
    let before = dump(journal).await;
    match verb().await {
        Ok(done) => done,
        Err(JournalError::DiskFull { .. }) => {
            *refused += 1;
            assert_eq!(dump(journal).await, before, "a refused verb leaves nothing");
            let again = verb().await;
            assert!(matches!(again, Err(JournalError::DiskFull { .. })), "{again:?}");
            std::fs::remove_file(ballast).unwrap();
            verb().await.expect("there is room again")
        }
        Err(other) => panic!("{other}"),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_real_file_system_without_room_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let isolated = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(folder.path());
        command
    };
    let mount = format!("mount -t tmpfs -o size={DISK_KIB}k none \"$1\"");
    if !isolated(&mount).output().is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: this system lets no ordinary process mount a file system of its own");
        return;
    }
    let script = format!("{mount} && exec \"$2\" --exact room::child --ignored --nocapture --test-threads=1");
    let child = std::env::current_exe().unwrap();
    let output = isolated(&script).arg(child).env(FOLDER, folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("had room again"), "{told}\n{errors}");
}
