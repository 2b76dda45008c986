//! What the measuring process tells of a command.
#![allow(clippy::unwrap_used, reason = "test code")]

use mailhaul_bench::measure::{Invocation, measured};
use std::path::Path;
use std::time::Duration;

const BENCH: &str = env!("CARGO_BIN_EXE_mailhaul-bench");
const LIMIT: Duration = Duration::from_secs(120);

fn shell(script: &str) -> Invocation {
    Invocation::of("/bin/sh").with(["-c", script])
}

#[test]
fn memory_and_processor_time_are_the_commands_own() {
    let folder = tempfile::tempdir().unwrap();
    let held = std::hint::black_box(vec![1_u8; 200 << 20]);
    let log = folder.path().join("log");
    let small = measured(Path::new(BENCH), &shell("exit 0"), &log, LIMIT).unwrap();
    assert!(small.peak_rss_kib < 100 << 10, "this test's {} octets are not counted: {small:?}", held.len());
    // the shell is stopped by a signal of its own once it has used a second of processor time
    let busy = measured(Path::new(BENCH), &shell("ulimit -t 1; while :; do :; done"), &log, LIMIT);
    assert!(busy.unwrap_err().to_string().starts_with("killed by a signal"));
    let worked = shell("(ulimit -t 1; while :; do :; done); exit 0");
    let worked = measured(Path::new(BENCH), &worked, &log, LIMIT).unwrap();
    assert!(worked.cpu_seconds > 0.5 && worked.wall_seconds > 0.5, "of its children, too: {worked:?}");
}

#[test]
fn a_command_that_fails_or_does_not_end_has_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let failed = measured(Path::new(BENCH), &shell("echo because; exit 3"), &log, LIMIT).unwrap_err();
    assert_eq!(failed.to_string(), "exit code 3: because");
    let endless = measured(Path::new(BENCH), &shell("sleep 1000"), &log, Duration::from_secs(1)).unwrap_err();
    assert_eq!(endless.to_string(), "not done after 1 s");
    let absent = measured(Path::new(BENCH), &Invocation::of("/no/such/program"), &log, LIMIT);
    assert!(absent.unwrap_err().to_string().contains("No such file"));
}
