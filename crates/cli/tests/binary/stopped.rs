//! Interrupted, locked out, damaged: what stops a run, and that the next one goes on.
#![cfg(unix)]

use crate::accounts::{Pair, ran};
use mailhaul_sandbox::Profile;
use std::process::Stdio;
use std::time::Duration;

/// Slow enough that a signal comes in the middle.
fn slow() -> Profile {
    Profile { commit_delay: Duration::from_millis(150), multiappend: false, ..Profile::default() }
}

fn interrupt(child: &tokio::process::Child) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
}

async fn until_appending(pair: &Pair) {
    while pair.appends() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_is_exit_130_says_how_to_go_on_and_the_same_command_completes() {
    let pair = Pair::filled(slow(), 60).await;
    let mut command = pair.command("migrate", &[]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_appending(&pair).await;
    interrupt(&child);
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("Run the same command again to continue"), "{said}");
    let moved = pair.moved().len();
    assert!(moved < 63, "{moved}: it stopped before the end");
    pair.new.set(|p| p.commit_delay = Duration::ZERO);
    pair.run("migrate", &["--settle", "1"]).await.expect(0);
    pair.assert_same();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_interrupt_leaves_at_once_and_nothing_is_lost_or_doubled() {
    let pair = Pair::filled(Profile { commit_delay: Duration::from_secs(3), ..slow() }, 20).await;
    let mut command = pair.command("migrate", &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until_appending(&pair).await;
    interrupt(&child);
    tokio::time::sleep(Duration::from_millis(300)).await;
    interrupt(&child);
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    pair.new.set(|p| p.commit_delay = Duration::ZERO);
    pair.run("migrate", &["--settle", "5"]).await.expect(0);
    let (mut moved, mut all) = (pair.moved(), crate::accounts::held(&pair.old));
    moved.sort();
    all.sort();
    assert_eq!(moved, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_journal_is_exit_11() {
    let pair = Pair::filled(slow(), 40).await;
    let mut command = pair.command("migrate", &[]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until_appending(&pair).await;
    for verb in ["migrate", "verify", "plan"] {
        pair.run(verb, &[]).await.expect(11).says("process");
    }
    let mut status = pair.command("status", &[]);
    ran(&mut status).await.expect(0);
    interrupt(&child);
    let _ = child.wait_with_output().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_missing_journal_is_exit_10_and_nothing_is_appended() {
    let pair = Pair::filled(Profile::default(), 5).await;
    pair.run("status", &[]).await.expect(10).says("journal");
    std::fs::create_dir_all(pair.journal().parent().unwrap()).unwrap();
    std::fs::write(pair.journal(), vec![b'x'; 8192]).unwrap();
    for verb in ["migrate", "status", "report"] {
        pair.run(verb, &[]).await.expect(10).says("journal.sqlite");
    }
    assert_eq!(pair.appends(), 0);
}
