//! The five steps at a terminal, from nothing to the certificate, and out of each of them and back again.

use crate::accounts::{FROM_PASSWORD, Ran, TO_PASSWORD, letter, program, ran};
use crate::finding::{NEW, OLD, WELL_KNOWN, World, autoconfig, tries};
use crate::pty::Terminal;
use std::ffi::OsString;

pub fn guide(world: &World) -> Terminal {
    opened(world, &[])
}

/// With more options.
pub fn opened(world: &World, more: &[&str]) -> Terminal {
    Terminal::open(&arguments(world, more), world.folder.path())
}

pub fn arguments(world: &World, more: &[&str]) -> Vec<OsString> {
    let known = world.options().map(OsString::from);
    std::iter::once("guide".into()).chain(known).chain(more.iter().map(OsString::from)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_addresses_and_two_passwords_move_a_mailbox() {
    let (world, old, new) = World::published().await;
    old.create(OLD, "Work", None, true);
    old.deliver(OLD, "Work", letter(9), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    let mut terminal = guide(&world);
    terminal.says("Step 1 of 5: Check the requirements").says("Address of your old mailbox: ");
    terminal.types(OLD).says("Address of your new mailbox: ");
    terminal.types(NEW).says("Your old mailbox: ann@old.example at imaps://mail.hoster.example:993");
    terminal.says("Step 2 of 5: Connect your old mailbox").says("Password of your old mailbox");
    terminal.types(FROM_PASSWORD).says("You are in.");
    terminal.says("Step 3 of 5: Connect your new mailbox").says("Password of your new mailbox");
    terminal.types(TO_PASSWORD).says("You are in.").says("Step 4 of 5: Choose what moves");
    terminal
        .says(" 1        5  INBOX -> INBOX")
        .says(" 2        1  Work -> Work")
        .says("Enter, numbers, or b");
    terminal.types("").says("Step 5 of 5: Move and verify").says("Enter begins");
    terminal.types("").says("6 messages").says("mailhaul migrate");
    let (code, said) = terminal.ends();
    assert_eq!(code, 0, "{said}");
    assert_eq!(new.counters().appended, 6);
    let report = said.lines().find_map(|line| line.strip_prefix("Report: ")).unwrap().trim();
    let certificate = world.folder.path().join(report).with_file_name("certificate.json");
    let certificate: serde_json::Value =
        serde_json::from_slice(&std::fs::read(certificate).unwrap()).unwrap();
    assert!(certificate["signer"]["key_sha256"].is_string(), "{certificate}");
    assert!(certificate["statement"].as_str().unwrap().contains("6 messages"), "{certificate}");
    assert!(!said.contains(FROM_PASSWORD) && !said.contains(TO_PASSWORD), "{said}");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/start-here.md");
    let page = std::fs::read_to_string(page).unwrap();
    let shown = page.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let invented: Vec<&str> = shown.lines().filter(|line| !lines.contains(line)).collect();
    assert!(invented.is_empty(), "the guide shows what nobody said: {invented:#?}\n{said}");
    let broken = said.split("The same by one command").next().unwrap();
    // A path is whole, to be copied.
    let mut broken_lines = broken.lines().filter(|line| !line.starts_with("Report: "));
    assert!(broken_lines.all(|line| line.chars().count() <= 80), "{broken}");
    assert!(std::path::Path::new(report).is_absolute() && said.contains("certificate.json"), "{said}");
}

/// One question with the count: a yes moves what the new server refused inside a cover message, anything else leaves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_asked_about_once_and_goes_over_inside_a_cover_message() {
    for yes in [true, false] {
        let (world, old, new) = World::published().await;
        new.set(|p| p.refuse_nul = true);
        let nul = b"From: a@b.example\r\nSubject: nul\r\n\r\na\0b\r\n".to_vec();
        old.deliver(OLD, "INBOX", nul, "", "03-Mar-2020 10:11:12 +0100").unwrap();
        let mut terminal = guide(&world);
        terminal.says("Address of your old mailbox: ").types(OLD).says("Address of your new mailbox: ");
        terminal.types(NEW).says("Password of your old mailbox").types(FROM_PASSWORD);
        terminal.says("Password of your new mailbox").types(TO_PASSWORD).says("Enter, numbers, or b");
        terminal.types("").says("Enter begins").types("").says("1 message was refused. It can go over");
        terminal.says("Do that now? [y/N]").types(if yes { "y" } else { "" }).says("mailhaul migrate");
        let (code, said) = terminal.ends();
        assert_eq!((code, new.counters().appended), (3, if yes { 6 } else { 5 }), "{said}");
        assert_eq!(said.matches("Do that now?").count(), 1, "{said}");
    }
}

/// A verb between the two addresses of the world, with the journal that the five steps use.
async fn by_command(world: &World, verb: &str, options: &[&str]) -> Ran {
    let mut command = program(&[verb, OLD, NEW]);
    command.args(world.options()).args(options).env("HOME", world.folder.path());
    command.env("XDG_STATE_HOME", world.folder.path().join("state"));
    command.current_dir(world.folder.path());
    command.env("MAILHAUL_FROM_PASSWORD", FROM_PASSWORD).env("MAILHAUL_TO_PASSWORD", TO_PASSWORD);
    ran(&mut command).await
}

/// What a probe saw is asked about before anything is sent; a yes holds for later runs, too, until it is taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_go_as_it_is_is_asked_about_before_anything_is_sent_and_the_yes_is_kept() {
    let (world, old, new) = World::published().await;
    new.set(|p| p.refuse_nul = true);
    let nul = |n| format!("From: a@b.example\r\nSubject: nul {n}\r\n\r\na\0b\r\n").into_bytes();
    let deliver = |n| old.deliver(OLD, "INBOX", nul(n), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    deliver(1);
    by_command(&world, "check", &["--probe"]).await.expect(0);
    let before = new.counters().appended;
    let mut terminal = guide(&world);
    terminal.says("Address of your old mailbox: ").types(OLD).says("Address of your new mailbox: ");
    terminal.types(NEW).says("Password of your old mailbox").types(FROM_PASSWORD);
    terminal.says("Password of your new mailbox").types(TO_PASSWORD);
    terminal
        .says("The new server refuses or destroys as it is:")
        .says("NUL (how many")
        .says("Enter, numbers, or b");
    terminal.types("").says("in this run and in later ones").says("[y/N] ");
    assert_eq!(new.counters().appended, before, "asked before anything is sent");
    terminal.types("y").says("Enter begins").types("").says("mailhaul migrate");
    let (code, said) = terminal.ends();
    assert_eq!((code, new.counters().appended), (3, before + 6), "{said}");
    assert!(!said.contains("Do that now?"), "asked once: {said}");
    // A script is not asked: the consent holds for it, too, until it is taken back.
    deliver(2);
    by_command(&world, "migrate", &[]).await.expect(3).says("attached, untouched, to a cover message");
    assert_eq!(new.counters().appended, before + 7);
    deliver(3);
    by_command(&world, "migrate", &["--no-repair"]).await.expect(3).says("1 message was refused");
    by_command(&world, "migrate", &[]).await.expect(3).says("1 message was refused");
    assert_eq!(new.counters().appended, before + 7);
    by_command(&world, "plan", &[])
        .await
        .expect(0)
        .says("what earlier runs gave up (1 message)")
        .says("--repair");
    by_command(&world, "migrate", &["--repair-always"]).await.expect(3);
    assert_eq!(new.counters().appended, before + 8);
}

/// Whoever leaves with Ctrl-C at any step comes back to it, and is asked again for passwords alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_every_step_and_back_again() {
    let (world, _, new) = World::published().await;
    let interrupted = |mut terminal: Terminal| {
        terminal.press("\u{3}").says("To go on: the same command again.");
        let (code, said) = terminal.ends();
        assert_eq!(code, 130, "{said}");
    };
    let mut terminal = guide(&world);
    terminal.says("Address of your old mailbox: ");
    interrupted(terminal);

    let mut terminal = guide(&world);
    terminal
        .says("Address of your old mailbox: ")
        .types(OLD)
        .says("Address of your new mailbox: ")
        .types(NEW);
    terminal.says("Password of your old mailbox");
    interrupted(terminal);

    let mut terminal = guide(&world);
    terminal.says("You began to move ann@old.example to bob@new.example.").says("Enter goes on").types("");
    terminal.says("Step 2 of 5").says("Password of your old mailbox").types(FROM_PASSWORD);
    terminal.says("Password of your new mailbox");
    interrupted(terminal);

    let mut terminal = into_step_4(&world);
    terminal.says("Enter, numbers, or b");
    interrupted(terminal);

    let mut terminal = into_step_4(&world);
    terminal.says("Enter, numbers, or b").types("").says("Step 5 of 5").says("Enter begins");
    interrupted(terminal);
    assert_eq!(new.counters().appended, 0);

    // What moves is chosen already.
    let mut terminal = into_step_4(&world);
    terminal.says("Step 5 of 5").says("Enter begins").types("").says("All 5 messages are on the new server");
    assert_eq!(terminal.ends().0, 0);
    assert_eq!(new.counters().appended, 5);
}

/// Up to where both accounts let us in, with the addresses of an earlier time.
pub fn into_step_4(world: &World) -> Terminal {
    into_step_4_of(guide(world))
}

pub fn into_step_4_of(mut terminal: Terminal) -> Terminal {
    terminal.says("Enter goes on").types("").says("Password of your old mailbox").types(FROM_PASSWORD);
    terminal.says("Password of your new mailbox").types(TO_PASSWORD).says("You are in.");
    terminal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_can_be_gone_back_from_and_what_is_chosen_can_be_chosen_otherwise() {
    let (world, old, new) = World::published().await;
    old.create(OLD, "Spam", None, true);
    old.deliver(OLD, "Spam", letter(9), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    let mut terminal = guide(&world);
    terminal.says("Address of your old mailbox: ").types("eve@old.example");
    terminal.says("Address of your new mailbox: ").types("b").says("Step 1 of 5");
    terminal
        .says("Address of your old mailbox (Enter: eve@old.example): ")
        .types(OLD)
        .says("Address of your new mailbox: ")
        .types(NEW);
    terminal
        .says("Password of your old mailbox")
        .types("")
        .says("Step 1 of 5")
        .says("(Enter: ann@old.example)");
    terminal.types("").says("Its server (Enter: imaps://mail.hoster.example:993)").types("");
    terminal.says("user name there (Enter: ann@old.example)").types("");
    terminal
        .says("(Enter: bob@new.example)")
        .types("")
        .says("Its server")
        .types("")
        .says("user name")
        .types("");
    terminal.says("Step 2 of 5").says("Password of your old mailbox").types(FROM_PASSWORD);
    terminal.says("Step 3 of 5").says("Password of your new mailbox").types(TO_PASSWORD);
    terminal
        .says(" 2        1  Spam -> Spam")
        .says("Enter, numbers, or b")
        .types("7")
        .says("“7” is no number");
    terminal.says("Enter, numbers, or b").types("2").says("stays  Spam: left out by you");
    terminal.says("Enter, numbers, or b").types("").says("Step 5 of 5").says("Enter begins").types("b");
    terminal.says("Step 4 of 5").says("Enter, numbers, or b").types("2").says(" 2        1  Spam -> Spam");
    terminal.says("Enter, numbers, or b").types("2").says("left out by you");
    terminal.says("Enter, numbers, or b").types("").says("Enter begins").types("");
    terminal.says("The same by one command").says("  mailhaul migrate ").says("--exclude=Spam");
    let (code, said) = terminal.ends();
    assert_eq!(code, 0);
    let command = said.lines().find(|line| line.starts_with("  mailhaul migrate ")).unwrap();
    assert!(command.contains("--from=ann@old.example --to=bob@new.example"), "on one line: {command}");
    assert!(command.contains("--exclude=Spam") && !command.contains("--yes"), "{command}");
    assert_eq!(new.counters().appended, 5);
}

/// From step 5 to step 1 and forward again: no password that let somebody in is asked for a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_goes_back_over_all_steps_types_no_password_again() {
    let (world, old, new) = World::published().await;
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    terminal.says("Enter, numbers, or b").types("").says("Enter begins").types("b");
    terminal.says("Step 4 of 5").says("Enter, numbers, or b").types("b");
    terminal.says("Step 3 of 5").says("You are in. Enter goes on").types("b");
    terminal.says("Step 2 of 5").says("You are in. Enter goes on").types("b");
    terminal.says("Step 1 of 5");
    for _ in 0..6 {
        terminal.says("(Enter: ").types("");
    }
    // What was chosen holds, as long as both mailboxes are the same.
    terminal.says("Step 5 of 5").says("Enter begins").types("b").says("Enter, numbers, or b").types("b");
    terminal.says("Step 3 of 5").types("b").says("Step 2 of 5").says("Enter goes on").types("");
    terminal.says("Step 3 of 5").says("Enter goes on").types("p");
    terminal.says("Password of your new mailbox").types("wrong").says("did not let bob@new.example in");
    terminal.says("Password of your new mailbox").types(TO_PASSWORD).says("You are in.");
    terminal.says("Enter begins").types("").says("All 5 messages are on the new server");
    assert_eq!(terminal.ends().0, 0);
    assert_eq!(new.counters().appended, 5);
    assert!(tries(&old) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_asked_for_again() {
    let (world, ..) = World::published().await;
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password of your old mailbox").types("wrong").says("did not let ann@old.example in");
    terminal
        .says("Password of your old mailbox")
        .types(FROM_PASSWORD)
        .says("You are in.")
        .says("Password of your new mailbox");
    let (_, said) = terminal.press("\u{3}").says("the same command again.").ends();
    assert!(!said.contains("--"), "no option on a person's path: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_is_there_already_is_recognised_or_copied_beside_as_the_person_says() {
    let (world, _, new) = World::published().await;
    new.deliver(NEW, "INBOX", letter(2), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    terminal.says("Enter, numbers, or b").types("").says("holds 1 message already");
    terminal.says("1 (Enter) or 2: ").types("").says("Enter begins").types("").says("--adopt");
    assert_eq!(terminal.ends().0, 0);
    assert_eq!(new.counters().appended, 4, "one was there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_vouches_for_is_shown_and_taken_by_a_yes_alone() {
    let (world, old, _) = World::published().await;
    let hosts = world.options();
    let without_the_ca: Vec<OsString> =
        ["guide".into(), hosts[0].clone().into(), hosts[1].clone().into()].into();
    let mut terminal = Terminal::open(&without_the_ca, world.folder.path());
    // The web sites are not believed either, so that the servers are named.
    terminal.says("old mailbox: ").types("imaps://ann%40old.example@mail.hoster.example");
    terminal.says("new mailbox: ").types("imaps://bob%40new.example@imap.provider.example");
    for answer in ["n", "y"] {
        terminal.says("Password of your old mailbox").types(FROM_PASSWORD);
        terminal.says("The SHA-256 of its certificate:").says("[y/N] ").types(answer);
        if answer == "n" {
            terminal.says("Step 1 of 5");
            for _ in 0..6 {
                terminal.says("(Enter: ").types("");
            }
            assert_eq!(tries(&old), 0);
        }
    }
    terminal.says("You are in.").says("Step 3 of 5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_moves_to_another_provider_is_asked_for_its_servers() {
    let (world, ..) = World::published().await;
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(NEW).says("new mailbox: ").types(NEW);
    terminal
        .says("Both mailboxes are the same account")
        .says("Name of the old server")
        .types("mail.hoster.example");
    terminal.says("Your user name there (Enter: bob@new.example): ").types(OLD);
    terminal.says("Your old mailbox: ann@old.example at imaps://mail.hoster.example:993");
    terminal.says("Your new mailbox: bob@new.example at imaps://imap.provider.example:993");
    terminal
        .says("Step 2 of 5")
        .says("Password of your old mailbox")
        .types(FROM_PASSWORD)
        .says("You are in.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_found_can_be_named_otherwise() {
    let (world, old, _) = World::published().await;
    world.page("old.example", WELL_KNOWN, "https://other.example/x");
    world.page("other.example", "/x", &autoconfig("imap.provider.example"));
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Is imaps://imap.provider.example:993 the right server? [y/N] ").types("n");
    terminal.says("Name of the old server").types("mail.wrong.example").says("user name").types("");
    terminal.says("Step 2 of 5").says("Password of your old mailbox").types("");
    // It was mistyped.
    terminal.says("Address of your old mailbox").types("");
    terminal.says("Its server (Enter: imaps://mail.wrong.example:993)").types("mail.hoster.example");
    terminal.says("user name there (Enter: ann@old.example)").types("");
    terminal.says("new mailbox").types("").says("Its server").types("").says("user name").types("");
    terminal
        .says("Password of your old mailbox")
        .types(FROM_PASSWORD)
        .says("You are in.")
        .says("Step 3 of 5");
    assert_eq!(tries(&old), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_moves_that_was_not_shown() {
    let (world, old, new) = World::published().await;
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    // Keys that are pressed before there is a question are no answer to it.
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(&format!("{TO_PASSWORD}\r\r\r"));
    terminal.says("Enter, numbers, or b").types("").says("Enter begins");
    old.create(OLD, "Late", None, true);
    old.deliver(OLD, "Late", letter(9), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    terminal.types("").says("It has not begun").says("Step 4 of 5").says("Late -> Late");
    terminal.says("Enter, numbers, or b");
    assert_eq!(new.counters().appended, 0);
    // Mail that comes to the new server is a matter of its own.
    new.deliver(NEW, "INBOX", letter(3), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    terminal.types("").says("Enter begins").types("").says("It has not begun").says("Enter, numbers, or b");
    terminal.types("").says("holds 1 message already").says("1 (Enter) or 2: ").types("2");
    // And asked again when it is gone back to.
    terminal.says("Enter begins").types("b").says("Enter, numbers, or b").types("").says("1 or 2 (Enter): ");
    terminal.types("1").says("Enter begins").types("").says("All 6 messages are on the new server");
    assert_eq!(terminal.ends().0, 0);
    assert_eq!(new.counters().appended, 5, "one was there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_something_is_in_the_way_a_part_can_still_be_chosen() {
    let (world, old, new) = World::published().await;
    old.create(OLD, "Large", None, true);
    let large = format!("Subject: large\r\n\r\n{}\r\n", "x".repeat(5000));
    old.deliver(OLD, "Large", large, "", "03-Mar-2020 10:11:12 +0100").unwrap();
    new.set(|profile| profile.quota_octets = Some(2000));
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    terminal.says(" 2        1  Large -> Large").says("In the way: ").says("Enter, numbers, or b").types("");
    terminal.says("In the way: ").says("Enter, numbers, or b").types("2").says("Large: left out by you");
    terminal.says("Enter, numbers, or b").types("").says("Step 5 of 5").says("Enter begins");
}
