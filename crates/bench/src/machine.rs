//! What the figures were taken on.

use std::fs;
use std::process::Command;

/// `2026-11-26`
const DAY_CHARACTERS: usize = 10;

/// Facts of the machine, for the head of the tables.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The day of the run, in UTC.
    pub date: String,
    /// Processors this process may use.
    pub cores: usize,
    /// The processor's name.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// The servers' version.
    pub dovecot: String,
}

impl Machine {
    /// Asks this one; what it does not tell stays empty.
    #[must_use]
    pub fn of_now() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let version = Command::new("/usr/sbin/dovecot").arg("--version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let version = version.unwrap_or_default();
        Self {
            date: jiff::Timestamp::now().to_string().chars().take(DAY_CHARACTERS).collect(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: model.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
            kernel: release.trim().to_owned(),
            dovecot: version.split_ascii_whitespace().next().unwrap_or_default().to_owned(),
        }
    }
}

/// How many processes wanted a processor over the last minute (proc(5), /proc/loadavg); 0 where that is not told.
#[must_use]
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_ascii_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default()
}
