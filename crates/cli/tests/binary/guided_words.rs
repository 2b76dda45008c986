//! The five steps at a terminal: what is typed wrong, typed too early or typed and left, and what a person is told of it.

use crate::accounts::{FROM_PASSWORD, TO_PASSWORD, letter, program, ran};
use crate::finding::{NEW, OLD, World};
use crate::guided::{guide, opened};
use crate::pty::Terminal;
use mailhaul_sandbox::{Fault, Sandbox, Trigger};
use std::time::Duration;

/// What needs no server is said at once, where it was typed; nothing else is asked before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_address_is_said_where_it_is_typed_in_words_of_a_person() {
    let (world, ..) = World::published().await;
    let mut terminal = guide(&world);
    terminal.says("Address of your old mailbox: ");
    for wrong in ["y", "ann@", "@old.example", "a nn@old.example"] {
        terminal.types(wrong).says("is no mail address.").says("Write it like ann@example.org.");
        terminal.says("Address of your old mailbox: ");
    }
    terminal.types(OLD).says("Address of your new mailbox: ").types("pw");
    terminal
        .says("The address of your new mailbox is no mail address.")
        .says("Address of your new mailbox: ");
    let (_, said) = terminal.press("\u{3}").says("the same command again.").ends();
    for jargon in ["URL", "imaps:", "xn--", "name service", "--"] {
        assert!(!said.contains(jargon), "{jargon}: {said}");
    }
}

/// As inside of a company: no name service knows what follows the @.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_without_a_name_to_look_for_leads_to_the_name_of_its_server() {
    let (world, ..) = World::published().await;
    let mut terminal = guide(&world);
    terminal.says("Address of your old mailbox: ").types("alice@localhost");
    terminal.says("cannot be looked for").says("Name of the old server");
    terminal.types("no host").says("user name").types("").says("is no name of a server.");
    terminal.says("Write it like imap.example.org.").says("Name of the old server");
    terminal.types("mail.hoster.example").says("Your user name there (Enter: alice@localhost): ").types(OLD);
    terminal.says("Address of your new mailbox: ").types("bob@localhost");
    terminal.says("cannot be looked for").says("Name of the new server");
    terminal.types("imap.provider.example").says("Your user name there").types(NEW);
    terminal.says("Your old mailbox: ann@old.example at imaps://mail.hoster.example:993");
    terminal.says("Password of your old mailbox").types(FROM_PASSWORD).says("You are in.");
    // Before that prompt what was pressed is forgotten.
    terminal.says("Password of your new mailbox");
    let (_, said) = terminal.press("\u{3}").says("the same command again.").ends();
    assert!(!said.contains("xn--") && !said.contains("name service"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_was_typed_is_kept_whatever_comes_then() {
    let (world, ..) = World::published().await;
    let mut terminal = guide(&world);
    terminal.says("Address of your old mailbox: ").types(OLD).says("Address of your new mailbox: ");
    terminal.press("\u{3}").says("Your answers are kept.");
    assert_eq!(terminal.ends().0, 130);
    // And through an error, too: nobody knows this domain.
    let mut terminal = guide(&world);
    terminal.says("Address of your old mailbox (Enter: ann@old.example): ").types("");
    terminal
        .says("Address of your new mailbox: ")
        .types("bob@nowhere.example")
        .says("Name of the new server");
    terminal.types("b").says("Step 1 of 5").says("Address of your old mailbox (Enter: ann@old.example): ");
    terminal.types("").says("Address of your new mailbox (Enter: bob@nowhere.example): ").types(NEW);
    terminal.says("Step 2 of 5");
}

#[tokio::test]
async fn without_a_terminal_nothing_is_asked_and_it_is_exit_2_with_the_verb_that_asks_nothing() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["guide"][..], &["--plain"]] {
        let ran = ran(program(arguments).env("HOME", home.path())).await.expect(2).says("mailhaul migrate");
        assert!(!ran.said().contains("Address of") && !ran.said().contains("are kept"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_of_the_five_steps_need_no_verb() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(&["--plain".into()], folder.path());
    terminal.says("Step 1 of 5: Check the requirements").says("Address of your old mailbox: ");
    terminal.press("\u{3}").says("To go on: the same command again.");
    assert_eq!(terminal.ends().0, 130);
}

/// Until the server has misbehaved so often.
async fn until_struck(server: &Sandbox, times: usize) {
    while server.struck().len() < times {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Typed while a server thinks about the password before it: neither shown, nor taken for an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_typed_ahead_is_neither_shown_nor_used() {
    let (world, old, new) = World::published().await;
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    old.hold(Trigger::Next);
    terminal.says("Password of your old mailbox").types("wrong").says("Logging in");
    // Two lines at once: the password of the other side, and a yes.
    terminal.types(TO_PASSWORD).types("typed-ahead-y");
    old.release();
    terminal.says("did not let ann@old.example in").says("Password of your old mailbox").types(FROM_PASSWORD);
    terminal.says("You are in.").says("Password of your new mailbox").types(TO_PASSWORD).says("You are in.");
    terminal.says("Enter, numbers, or b");
    let (_, said) = terminal.press("\u{3}").says("the same command again.").ends();
    assert!(!said.contains("typed-ahead-y") && !said.contains(TO_PASSWORD), "{said}");
    assert_eq!((old.counters().refused_logins, new.counters().refused_logins), (1, 0), "{said}");
}

/// Wherever one waits for a server, Ctrl-C leaves.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_leaves_the_search_the_login_and_the_look() {
    let (world, old, _new) = World::published().await;
    world.add("slow.example:443", mailhaul_testkit::web::silent().await.unwrap());
    let left = |mut terminal: Terminal| {
        let (code, said) = terminal.press("\u{3}").says("To go on: the same command again.").ends();
        assert_eq!(code, 130, "{said}");
    };
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types("ann@slow.example").says("new mailbox: ").types(NEW);
    terminal.says("Looking for both servers …");
    left(terminal);

    let mut terminal = guide(&world);
    terminal.says("(Enter: ann@slow.example)").types(OLD).says("new mailbox").types("");
    old.inject(Fault::Silence);
    terminal.says("Password of your old mailbox").types(FROM_PASSWORD).says("Logging in");
    until_struck(&old, 1).await;
    left(terminal);

    let mut terminal = guide(&world);
    terminal.says("Enter goes on").types("").says("Password of your old mailbox").types(FROM_PASSWORD);
    terminal.says("You are in.").says("Password of your new mailbox");
    old.inject(Fault::Silence);
    terminal.types(TO_PASSWORD).says("You are in.").says("Step 4 of 5");
    until_struck(&old, 2).await;
    left(terminal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_moved_last_time_is_asked_about_once_and_tried_again() {
    let (world, old, new) = World::published().await;
    new.set(|p| p.refuse_nul = true);
    let nul = b"From: a@b.example\r\nSubject: nul\r\n\r\na\0b\r\n".to_vec();
    old.deliver(OLD, "INBOX", nul, "", "03-Mar-2020 10:11:12 +0100").unwrap();
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    terminal.says("Enter, numbers, or b").types("").says("Enter begins").types("");
    terminal.says("Do that now? [y/N]").types("").says("mailhaul migrate");
    assert_eq!(terminal.ends().0, 3);
    for (says, code, appended) in [("n", 3, 5), ("y", 0, 6)] {
        // The cause is mended before the second time.
        new.set(|p| p.refuse_nul = says == "n");
        let mut terminal = opened(&world, &["--settle", "1"]);
        terminal.says("Enter goes on").types("").says("Password").types(FROM_PASSWORD);
        terminal.says("Password").types(TO_PASSWORD).says("Step 5 of 5");
        terminal.says("1 message could not be moved last time. Try it again? [y/N]").types(says);
        terminal.says("Enter begins").types("");
        if code == 3 {
            terminal.says("Do that now? [y/N]").types("");
        }
        terminal.says("mailhaul migrate");
        let (ended, said) = terminal.ends();
        assert_eq!((ended, new.counters().appended), (code, appended), "{said}");
        assert_eq!(said.matches("Try it again?").count(), 1, "{said}");
    }
    // Nothing is left to be asked about.
    let mut terminal = guide(&world);
    terminal.says("Enter goes on").types("").says("Password").types(FROM_PASSWORD);
    terminal.says("Password").types(TO_PASSWORD).says("Enter begins").types("").says("mailhaul migrate");
    let (code, said) = terminal.ends();
    assert!(code == 0 && !said.contains("last time"), "{said}");
}

/// What is left out is marked where it stands; a number means the same folder for as long as one chooses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_numbers_of_the_folders_stay_and_nobody_is_asked_again_for_a_mark() {
    let (world, old, new) = World::published().await;
    for name in ["Family", "Sent", "Spam", "Work"] {
        old.create(OLD, name, None, true);
        old.deliver(OLD, name, letter(9), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    }
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    terminal.says(" 2        1  Family -> Family").says("Enter, numbers, or b");
    let lists = |server: &Sandbox| server.counters().commands.get("LIST").copied().unwrap_or_default();
    let before = (lists(&old), lists(&new));
    terminal.types("2 5").says(" 2    stays  Family: left out by you").says(" 3        1  Sent -> Sent");
    terminal.says(" 5    stays  Work: left out by you").says("Enter, numbers, or b");
    terminal
        .types("2")
        .says(" 2        1  Family -> Family")
        .says(" 5    stays  Work")
        .says("Enter, numbers, or b");
    assert_eq!((lists(&old), lists(&new)), before, "nobody is asked for a mark");
    terminal.types("").says("Step 5 of 5").says("Enter begins").types("b");
    // Also where it was left out before the list was shown.
    terminal.says(" 5    stays  Work: left out by you").says("Enter, numbers, or b").types("5");
    terminal
        .says(" 2        1  Family -> Family")
        .says(" 5        1  Work -> Work")
        .says("Enter, numbers, or b");
    terminal.types("5").says(" 5    stays  Work").says("Enter, numbers, or b").types("").says("Enter begins");
    terminal.types("").says("All 8 messages are on the new server");
    assert_eq!(terminal.ends().0, 0);
}

/// As on a full disk: what happened stands before the path and the system's words.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_cannot_be_written_down_are_told_in_words_with_the_path_behind_details() {
    let (world, ..) = World::published().await;
    let state = world.folder.path().join("state");
    std::fs::write(&state, "a file where a folder is to be").unwrap();
    let mut terminal = guide(&world);
    terminal.says("Your answers cannot be ").says("Details:");
    let (_, said) = terminal.ends();
    let before = said.split("Details:").next().unwrap();
    assert!(!before.contains("os error") && !before.contains("answers.json"), "{said}");
}
