//! The five steps at a terminal, from nothing to the certificate, and out of each of them and back again.

use crate::accounts::{FROM_PASSWORD, TO_PASSWORD, letter};
use crate::finding::{NEW, OLD, World};
use crate::pty::Terminal;
use std::ffi::OsString;

fn guide(world: &World) -> Terminal {
    let arguments: Vec<OsString> =
        std::iter::once("guide".into()).chain(world.options().map(OsString::from)).collect();
    Terminal::open(&arguments, world.folder.path())
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
    assert!(!said.contains(FROM_PASSWORD) && !said.contains(TO_PASSWORD), "{said}");
    let broken = said.split("The same by one command").next().unwrap();
    assert!(broken.lines().all(|line| line.chars().count() <= 80), "{broken}");
}
