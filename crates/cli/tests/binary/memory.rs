//! Memory stays bounded whatever the length of a message, and whatever the number of messages in a mailbox.
#![cfg(target_os = "linux")]

use crate::accounts::{Pair, USER};
use mailhaul_sandbox::{Profile, Sandbox};
use std::process::Stdio;
use std::time::Duration;

/// Octets of the message: more than the program may ever hold.
const MESSAGE_OCTETS: usize = 120 << 20;
/// Messages of the large mailbox, unless `MAILHAUL_MAILBOX_MESSAGES` says otherwise.
const MAILBOX_MESSAGES: u64 = 10_000;
/// For so many messages there may be one command on a side, beside those that any run takes. Batches are smaller where a
/// busy machine makes commits slow.
const MESSAGES_PER_COMMAND_MIN: u64 = 10;
/// Commands on one side that any run of a mailbox takes.
const COMMANDS_OF_A_RUN_MAX: u64 = 40;
/// Peak of the program's resident memory, in octets.
const RESIDENT_OCTETS_MAX: u64 = 100 << 20;
/// How often the peak is read. It never falls, so that only the last moment can be missed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The peak of a process's resident memory so far, in octets; `None` once it is gone.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// Runs `migrate` to its end, which must be exit code 0; returns the peak of its memory.
async fn peak_of_migrating(pair: &Pair) -> u64 {
    let mut command = pair.command("migrate", &["--json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(peak(pid).unwrap_or(0));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    assert!(most > 0, "the peak was never read");
    most
}

fn commands(server: &Sandbox) -> u64 {
    server.counters().commands.values().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_larger_than_the_memory_allowed_is_moved_and_proven_and_leaves_no_spool() {
    let pair = Pair::filled(Profile::default(), 3).await;
    let line = "A line of a very long message, as attachments make them.\r\n";
    let huge = format!("Subject: huge\r\n\r\n{}", line.repeat(MESSAGE_OCTETS / line.len()));
    pair.old.deliver(USER, "INBOX", huge, "\\Seen", "03-Mar-2020 10:11:12 +0100").unwrap();
    let most = peak_of_migrating(&pair).await;
    pair.assert_same();
    assert!(most < RESIDENT_OCTETS_MAX, "{most} octets");
    let kept: Vec<_> = crate::accounts::files(pair.journal().parent().unwrap());
    let journal =
        |p: &std::path::PathBuf| p.file_name().unwrap().to_str().unwrap().starts_with("journal.sqlite");
    assert!(kept.iter().all(journal), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_of_very_many_messages_moves_in_ranges_and_the_next_run_does_not_walk_it() {
    let messages: u64 = match std::env::var("MAILHAUL_MAILBOX_MESSAGES") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => MAILBOX_MESSAGES,
    };
    let pair = Pair::filled(Profile::default(), 0).await;
    for n in 0..messages {
        let letter = format!("Subject: {n}\r\n\r\nThe same few words.\r\n");
        pair.old.deliver(USER, "INBOX", letter, "\\Seen", "03-Mar-2020 10:11:12 +0100").unwrap();
    }
    let most = peak_of_migrating(&pair).await;
    pair.assert_same();
    assert!(most < RESIDENT_OCTETS_MAX, "{most} octets");
    let first = [&pair.old, &pair.new].map(commands);
    for of_a_side in first {
        assert!(of_a_side < COMMANDS_OF_A_RUN_MAX + messages / MESSAGES_PER_COMMAND_MIN, "{of_a_side}");
    }
    peak_of_migrating(&pair).await;
    for (now, before) in [&pair.old, &pair.new].map(commands).into_iter().zip(first) {
        assert!(now - before < COMMANDS_OF_A_RUN_MAX, "{}", now - before);
    }
    eprintln!("{messages} messages: {first:?} commands, {} MiB at most", most >> 20);
}
