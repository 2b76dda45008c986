//! Memory stays bounded whatever the length of a message.
#![cfg(target_os = "linux")]

use crate::accounts::{Pair, USER};
use mailhaul_sandbox::Profile;
use std::process::Stdio;
use std::time::Duration;

/// Octets of the message: more than the program may ever hold.
const MESSAGE_OCTETS: usize = 120 << 20;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_larger_than_the_memory_allowed_is_moved_and_proven_and_leaves_no_spool() {
    let pair = Pair::filled(Profile::default(), 3).await;
    let line = "A line of a very long message, as attachments make them.\r\n";
    let huge = format!("Subject: huge\r\n\r\n{}", line.repeat(MESSAGE_OCTETS / line.len()));
    pair.old.deliver(USER, "INBOX", huge, "\\Seen", "03-Mar-2020 10:11:12 +0100").unwrap();
    let mut command = pair.command("migrate", &["--json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id().unwrap();
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        most = most.max(peak(pid).unwrap_or(0));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    pair.assert_same();
    assert!(most > 0, "the peak was never read");
    assert!(most < RESIDENT_OCTETS_MAX, "{most} octets");
    let kept: Vec<_> = crate::accounts::files(pair.journal().parent().unwrap());
    let journal =
        |p: &std::path::PathBuf| p.file_name().unwrap().to_str().unwrap().starts_with("journal.sqlite");
    assert!(kept.iter().all(journal), "{kept:?}");
}
