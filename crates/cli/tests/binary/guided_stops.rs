//! The guided terminal left in the middle of the move, and what it draws.

use crate::accounts::{FROM_PASSWORD, TO_PASSWORD, letter};
use crate::finding::{NEW, OLD, World};
use crate::guided::{arguments, guide, into_step_4};
#[cfg(unix)]
use crate::guided::{into_step_4_of, opened};
use crate::page::{held_in_the_middle, until_held};
use crate::pty::Terminal;
use mailhaul_sandbox::{Sandbox, Trigger};
use std::time::Duration;

/// From nothing to the beginning of the move.
fn begins(terminal: &mut Terminal) {
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    terminal.says("Enter, numbers, or b").types("").says("Enter begins").types("");
}

/// Ctrl-C, while the new server holds what it was sent.
fn is_stopped(terminal: &mut Terminal, new: &Sandbox) {
    terminal.press("\u{3}").says("Stopping at the next safe point");
    new.release();
    terminal.says("It was stopped.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_in_the_middle_stops_at_a_safe_point_and_the_next_time_the_rest_moves() {
    let (world, _old, new) = held_in_the_middle().await;
    let mut terminal = guide(&world);
    begins(&mut terminal);
    until_held(&new).await;
    is_stopped(&mut terminal, &new);
    terminal.says("What was moved stays moved.");
    let (code, said) = terminal.ends();
    assert_eq!(code, 130, "{said}");
    let so_far = new.counters().appended;
    assert!(so_far < 65, "{so_far}");
    let mut terminal = into_step_4(&world);
    terminal.says("Enter begins").types("").says("All 65 messages are on the new server");
    assert_eq!(terminal.ends().0, 0);
    assert_eq!(new.counters().appended, 65);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_is_closed_in_the_middle_costs_nothing() {
    let (world, _old, new) = held_in_the_middle().await;
    let mut terminal = guide(&world);
    begins(&mut terminal);
    until_held(&new).await;
    terminal.hang_up();
    new.release();
    // What it held is stored now, although nobody waits for it; after that nothing is on its way.
    while new.connected(NEW) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut terminal = into_step_4_of(opened(&world, &["--settle", "1"]));
    terminal.says("Enter begins").types("").says("All 65 messages are on the new server");
    assert_eq!(terminal.ends().0, 0);
    let held: usize = new.snapshot(NEW).iter().map(|mailbox| mailbox.messages.len()).sum();
    assert_eq!(held, 65, "nothing is there twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_verb_whoever_sits_at_the_terminal_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(&[], folder.path());
    terminal.says("Step 1 of 5: Check the requirements").says("Address of your old mailbox: ");
    terminal.press("\u{3}").says("To go on: the same command again.");
    assert_eq!(terminal.ends().0, 130);
}

/// A folder with a name longer than a line, and a terminal that draws.
async fn drawn(plain: bool) -> String {
    let (world, old, _new) = World::published().await;
    let long = "A folder whose name goes on and on/".repeat(4) + "Donaudampfschifffahrtsgesellschaft";
    old.create(OLD, &long, None, true);
    old.deliver(OLD, &long, letter(9), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    let more: &[&str] = if plain { &["--plain"] } else { &[] };
    let mut terminal = Terminal::of_kind("xterm", &arguments(&world, more), world.folder.path());
    begins(&mut terminal);
    terminal
        .says("6 messages are on the new server")
        .says("The same by one command")
        .says("mailhaul migrate");
    let (code, said) = terminal.ends();
    assert_eq!(code, 0, "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_terminal_gets_lines_alone_and_nothing_is_drawn_again() {
    let said = drawn(true).await;
    assert!(!said.contains('\u{1b}'), "no sequences: {said:?}");
    let alone = said.replace("\r\n", "\n");
    assert!(!alone.contains('\r'), "no line is written over: {alone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_of_a_drawing_terminal_is_wider_than_it() {
    let said = drawn(false).await;
    assert!(said.contains('\u{1b}'), "it draws: {said:?}");
    let moving = said.split("Enter begins").nth(1).unwrap();
    let bars: Vec<String> =
        moving.split(['\r', '\n']).map(without_sequences).filter(|frame| frame.contains(" % ")).collect();
    assert!(!bars.is_empty(), "{moving:?}");
    for frame in bars {
        // A line above the bar is filled up to the width, so that the bar begins at the left of the next one.
        let columns: Vec<char> = frame.chars().collect();
        let at = columns.iter().position(|c| matches!(c, '░' | '█')).unwrap();
        assert_eq!(at % 80, 0, "{frame:?}");
        assert!(columns.len() - at <= 80, "{frame:?}");
    }
}

/// As in a move that is gone on with, where there is more to say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_beside_the_bar_are_whole_in_a_move_that_goes_on() {
    let (world, _old, new) = held_in_the_middle().await;
    let mut terminal = guide(&world);
    begins(&mut terminal);
    until_held(&new).await;
    is_stopped(&mut terminal, &new);
    assert_eq!(terminal.ends().0, 130);
    new.hold(Trigger::Verb("APPEND", new.counters().commands["APPEND"] + 1));
    let mut terminal = Terminal::of_kind("xterm", &arguments(&world, &[]), world.folder.path());
    terminal.says("Enter goes on").types("").says("Password").types(FROM_PASSWORD);
    terminal.says("Password").types(TO_PASSWORD).says("Enter begins").types("");
    terminal.says(" by earlier runs");
    new.release();
    terminal.says("All 65 messages are on the new server");
    let (_, said) = terminal.ends();
    let frames = without_sequences(&said);
    let frames = frames.split(['\r', '\n']).filter(|frame| frame.contains(" % ") && frame.contains("by e"));
    assert!(
        frames.clone().count() > 0 && frames.clone().all(|frame| frame.contains("by earlier runs")),
        "{said}"
    );
}

/// Without CSI sequences (ECMA-48).
fn without_sequences(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        all + &part[end..]
    })
}

/// To the question for the first password.
#[cfg(target_os = "linux")]
fn until_password(terminal: &mut Terminal) {
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW).says("Password of your old");
    terminal.until("hidden", |terminal| !terminal.shows_typing());
}

/// As most shells do, this one shows what is typed to it once the program is stopped, and leaves it so for `fg`.
#[cfg(target_os = "linux")]
const SHELL: &str = "\"$0\" \"$@\"; code=$?; while [ $code -gt 128 ] && [ $code -ne 130 ]; do stty echo; \
                     echo \"The shell has it.\"; read -r line; fg; code=$?; done; exit $code";

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_ctrl_z_and_fg_a_password_is_hidden_and_asked_for_again() {
    let (world, ..) = World::published().await;
    let mut terminal =
        Terminal::below(&["sh", "-m", "-c", SHELL], &arguments(&world, &[]), world.folder.path());
    until_password(&mut terminal);
    for _ in 0..2 {
        terminal.press("\u{1a}").says("The shell has it.");
        assert!(terminal.shows_typing());
        terminal.types("").says("(What you type is not shown.)").says("Password of your old mailbox");
        assert!(!terminal.shows_typing());
    }
    terminal.types(FROM_PASSWORD).says("You are in.");
    // Where nothing is hidden, nothing is.
    terminal.says("Password of your new mailbox").types("").says("Step 2 of 5").says("You are in.");
    terminal.until("shown", Terminal::shows_typing);
    terminal.press("\u{1a}").says("The shell has it.").types("");
    // The shell waits for it again.
    terminal.until("it goes on", |terminal| terminal.is_in_front("mailhaul"));
    let (code, said) = terminal.press("\u{3}").says("To go on: the same command again.").ends();
    assert_eq!(code, 130);
    assert_eq!(said.matches("(What you type is not shown.)").count(), 2, "{said}");
}

/// As in `xterm -e` and `ssh -t`.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_shell_could_go_on_with_it_ctrl_z_neither_stops_it_nor_shows_a_password() {
    let (world, ..) = World::published().await;
    let mut terminal = guide(&world);
    until_password(&mut terminal);
    terminal.press("\u{1a}").types(FROM_PASSWORD).says("You are in.").says("Password of your new mailbox");
    assert!(!terminal.shows_typing());
    terminal.press("\u{1a}").types(TO_PASSWORD).says("You are in.").says("Enter, numbers, or b");
    terminal.until("shown", Terminal::shows_typing);
    terminal.press("\u{1a}").types("q").says("To go on: the same command again.");
    assert_eq!(terminal.ends().0, 130);
}

/// As in a container without an init.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_the_first_process_ctrl_z_neither_stops_it_nor_shows_a_password() {
    let namespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork"];
    let possible = std::process::Command::new(namespace[0]).args(&namespace[1..]).arg("true").output();
    if !possible.is_ok_and(|made| made.status.success()) {
        println!("not run: no process namespace can be made here");
        return;
    }
    let (world, ..) = World::published().await;
    let mut terminal = Terminal::below(&namespace, &arguments(&world, &[]), world.folder.path());
    until_password(&mut terminal);
    terminal.press("\u{1a}");
    // Watched for a while: nothing tells that it does nothing.
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(5));
        assert!(!terminal.shows_typing());
    }
    terminal.types(FROM_PASSWORD).says("You are in.").says("Password of your new mailbox");
    assert!(!terminal.shows_typing());
    let (code, _) = terminal.press("\u{3}").says("To go on: the same command again.").ends();
    assert_eq!(code, 130);
}
