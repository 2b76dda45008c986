//! A terminal of its own for the program, of 80 columns and 24 rows, and somebody who reads and types.

use crate::secrets::assert_none_said;
use portable_pty::{Child, CommandBuilder, PtyPair, PtySize};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Nothing is measured by it: a program that never says what it should fails the test instead of hanging it.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(120);

pub struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    screen: Arc<(Mutex<Screen>, Condvar)>,
    /// Both ends stay open: what was written last is lost when nobody holds the program's end any more.
    _ends: PtyPair,
}

#[derive(Default)]
struct Screen {
    text: String,
    /// Up to here it was read.
    read: usize,
}

impl Terminal {
    /// The program with these arguments; what it keeps between runs is in `folder`.
    pub fn open(arguments: &[std::ffi::OsString], folder: &Path) -> Self {
        Self::of_kind("dumb", arguments, folder)
    }

    /// The same, at a terminal of this kind.
    pub fn of_kind(kind: &str, arguments: &[std::ffi::OsString], folder: &Path) -> Self {
        Self::run(kind, CommandBuilder::new(env!("CARGO_BIN_EXE_mailhaul")), arguments, folder)
    }

    /// The same, started by another program, which gets its path and its arguments after its own.
    #[cfg(target_os = "linux")]
    pub fn below(above: &[&str], arguments: &[std::ffi::OsString], folder: &Path) -> Self {
        let mut command = CommandBuilder::new(above[0]);
        command.args(&above[1..]);
        command.arg(env!("CARGO_BIN_EXE_mailhaul"));
        Self::run("dumb", command, arguments, folder)
    }

    fn run(kind: &str, mut command: CommandBuilder, arguments: &[std::ffi::OsString], folder: &Path) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = portable_pty::native_pty_system().openpty(size).unwrap();
        command.args(arguments);
        command.cwd(folder);
        command.env("XDG_STATE_HOME", folder.join("state"));
        command.env("HOME", folder);
        command.env("TERM", kind);
        for secret in ["MAILHAUL_FROM_PASSWORD", "MAILHAUL_TO_PASSWORD"] {
            command.env_remove(secret);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let keys = pair.master.take_writer().unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let screen: Arc<(Mutex<Screen>, Condvar)> = Arc::default();
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            loop {
                let read = output.read(&mut octets).unwrap_or(0);
                let mut screen = shown.0.lock().unwrap();
                screen.text += &String::from_utf8_lossy(&octets[..read]);
                shown.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Self { child, keys, screen, _ends: pair }
    }

    /// Waits until this is said after what was waited for before.
    #[track_caller]
    pub fn says(&mut self, words: &str) -> &mut Self {
        let shown = self.screen.clone();
        let (screen, changed) = &*shown;
        let mut screen = screen.lock().unwrap();
        loop {
            if let Some(at) = screen.text[screen.read..].find(words) {
                screen.read += at + words.len();
                return self;
            }
            let (now, waited) = changed.wait_timeout(screen, GIVEN_UP_AFTER).unwrap();
            screen = now;
            assert!(!waited.timed_out(), "{words:?} is not said:\n{}", screen.text);
        }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) -> &mut Self {
        self.press(&format!("{line}\r"))
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        self
    }

    /// True while the terminal shows what is typed.
    #[cfg(target_os = "linux")]
    pub fn shows_typing(&self) -> bool {
        let modes = format!("{:?}", self._ends.master.get_termios().unwrap().local_flags);
        modes.split(|c: char| !c.is_ascii_alphanumeric()).any(|flag| flag == "ECHO")
    }

    /// True where the terminal is that of this program at the moment.
    #[cfg(target_os = "linux")]
    pub fn is_in_front(&self, program: &str) -> bool {
        let group = self._ends.master.process_group_leader();
        let name = group.and_then(|leader| std::fs::read_to_string(format!("/proc/{leader}/comm")).ok());
        name.is_some_and(|name| name.trim_end() == program)
    }

    /// Waits until it is so.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = std::time::Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < GIVEN_UP_AFTER, "{what}: {}", self.screen.0.lock().unwrap().text);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The window is closed: the program is told so (SIGHUP), and gone when this returns.
    #[cfg(unix)]
    pub fn hang_up(&mut self) {
        let pid = self.child.process_id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        let _ = self.child.wait().unwrap();
    }

    /// The exit code, and all that was read. What has to be said is waited for before.
    pub fn ends(&mut self) -> (u32, String) {
        let code = self.child.wait().unwrap().exit_code();
        (code, self.screen.0.lock().unwrap().text.clone())
    }
}

/// Whatever was shown holds no secret of these tests, also where one was typed.
impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        if !std::thread::panicking() {
            assert_none_said(&self.screen.0.lock().unwrap().text);
        }
    }
}
