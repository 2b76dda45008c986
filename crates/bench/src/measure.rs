//! One command as a child process: how long it took, its processor time, its largest memory.
//!
//! The kernel keeps both sums of children over all of them, and starts a child's peak with what its parent held. So each
//! command has a measuring process of its own, which is small (some MiB, the least peak that can be told) and has this
//! one child: `mailhaul-bench measure`.

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use wait4::Wait4 as _;

use crate::{Failure, Result};

/// Lines of a failed command's output that are shown.
const SHOWN_LINES: usize = 5;

/// A command to be measured.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What its environment holds besides ours.
    pub environment: Vec<(&'static str, String)>,
}

impl Invocation {
    /// A program without arguments.
    pub fn of(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    /// With these arguments behind those it has.
    #[must_use]
    pub fn with<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }
}

/// What a command cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// From its start to its end.
    pub wall_seconds: f64,
    /// User and system time, of the command and those of its children that it waited for.
    pub cpu_seconds: f64,
    /// The largest resident set of one of these processes, in KiB.
    pub peak_rss_kib: u64,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    Exit(i32),
    Signal,
    /// Stopped by us.
    TimeLimit,
}

/// What the measuring process writes.
#[derive(Serialize, Deserialize)]
struct Measured {
    usage: Usage,
    end: End,
}

/// Runs a command under a measuring process, with its output in `log`.
///
/// # Errors
/// If it cannot be run, does not end by itself within `limit`, or ends with another status than 0; the error shows the
/// end of its output.
pub fn measured(bench: &Path, command: &Invocation, log: &Path, limit: Duration) -> Result<Usage> {
    let result = log.with_extension("json");
    let output = File::create(log)?;
    // what earlier runs left to be written is not charged to this one
    rustix::fs::sync();
    let status = Command::new(bench)
        .args(["measure".as_ref(), "--result".as_ref(), result.as_os_str()])
        .args(["--limit-seconds", &limit.as_secs().to_string(), "--"])
        .arg(&command.program)
        .args(&command.arguments)
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()?;
    if !status.success() {
        return Err(format!("the measuring process ended with {status}: {}", tail(log)).into());
    }
    let measured: Measured = serde_json::from_str(&fs::read_to_string(&result)?)?;
    match measured.end {
        End::Exit(0) => Ok(measured.usage),
        End::Exit(code) => Err(format!("exit code {code}: {}", tail(log)).into()),
        End::Signal => Err(format!("killed by a signal: {}", tail(log)).into()),
        End::TimeLimit => Err(format!("not done after {} s", limit.as_secs()).into()),
    }
}

/// The measuring process: runs `command` and writes what it cost into `result`.
///
/// # Errors
/// If the command cannot be started or `result` not be written.
pub fn measure(command: &[OsString], result: &Path, limit: Duration) -> Result<()> {
    let (program, arguments) = command.split_first().ok_or("no command to measure")?;
    let since = Instant::now();
    // a group of its own, so that all of it can be stopped
    let mut child = Command::new(program).args(arguments).process_group(0).spawn()?;
    let group = Pid::from_child(&child);
    let (done, ended) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let over = ended.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
        // the child is not waited for yet, or was by now: then there is no such group
        over && kill_process_group(group, Signal::KILL).is_ok()
    });
    let waited = child.wait4()?;
    let wall_seconds = since.elapsed().as_secs_f64();
    drop(done);
    let stopped = watch.join().map_err(|_| Failure::from("the watch died"))?;
    let used = waited.rusage;
    let usage = Usage {
        wall_seconds,
        cpu_seconds: (used.utime + used.stime).as_secs_f64(),
        peak_rss_kib: used.maxrss / 1024,
    };
    let end = match waited.status.code() {
        _ if stopped => End::TimeLimit,
        Some(code) => End::Exit(code),
        None => End::Signal,
    };
    fs::write(result, serde_json::to_string(&Measured { usage, end })?)?;
    Ok(())
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join(" | ")
}
