//! Interrupted, locked out, damaged: what stops a run, and that the next one goes on.
#![cfg(unix)]

use crate::accounts::{Pair, USER, ran};
use mailhaul_sandbox::{Profile, Trigger};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// The new server stores one message and holds the others until it is released: a signal comes in the middle, however late it is.
async fn held_in_the_middle(messages: usize) -> Pair {
    let pair = Pair::filled(Profile { multiappend: false, ..Profile::default() }, messages).await;
    pair.new.hold(Trigger::Verb("APPEND", 2));
    pair
}

fn interrupt(child: &Child) {
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
}

/// Begins, until the new server holds what it was sent.
async fn begun(pair: &Pair, mut command: Command) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    while pair.new.struck().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (child, said)
}

/// Ctrl-C, and until the program says that it knows.
async fn stops(child: &Child, said: &mut Lines<BufReader<ChildStderr>>) {
    interrupt(child);
    loop {
        let line = said.next_line().await.unwrap().expect("the program ended");
        if line.contains("Stopping at the next safe point. Run the same command again to continue") {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_is_exit_130_says_how_to_go_on_and_the_same_command_completes() {
    let pair = held_in_the_middle(60).await;
    let (mut child, mut said) = begun(&pair, pair.command("migrate", &[])).await;
    stops(&child, &mut said).await;
    pair.new.release();
    assert_eq!(child.wait().await.unwrap().code(), Some(130));
    let moved = pair.moved().len();
    assert!(moved < 63, "{moved}: it stopped before the end");
    pair.run("migrate", &["--settle", "1"]).await.expect(0);
    pair.assert_same();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_interrupt_leaves_at_once_and_nothing_is_lost_or_doubled() {
    let pair = held_in_the_middle(20).await;
    let (mut child, mut said) = begun(&pair, pair.command("migrate", &[])).await;
    stops(&child, &mut said).await;
    interrupt(&child);
    assert_eq!(child.wait().await.unwrap().code(), Some(130), "it waits for no server");
    pair.new.release();
    // What was held is stored although nobody waits for it.
    while pair.new.connected(USER) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pair.run("migrate", &["--settle", "1"]).await.expect(0);
    let (mut moved, mut all) = (pair.moved(), crate::accounts::held(&pair.old));
    moved.sort();
    all.sort();
    assert_eq!(moved, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_journal_is_exit_11() {
    let pair = held_in_the_middle(40).await;
    let (child, _said) = begun(&pair, pair.command("migrate", &[])).await;
    for verb in ["migrate", "verify", "plan"] {
        pair.run(verb, &[]).await.expect(11).says("process");
    }
    let mut status = pair.command("status", &[]);
    ran(&mut status).await.expect(0);
    interrupt(&child);
    pair.new.release();
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
