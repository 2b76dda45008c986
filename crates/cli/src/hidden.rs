//! A line that is typed and not shown.

use std::io::{self, Write};
use zeroize::Zeroizing;

/// The terminal shows nothing of what is typed, while this lives, but for the time in which the program is stopped (Ctrl-Z). On other
/// systems than Unix each reading hides by itself.
pub struct Hidden {}

impl Hidden {
    /// From now on: before the prompt is there, since whoever reads fast types at once.
    #[cfg(unix)]
    pub fn begin() -> Self {
        if let Ok(before) = rustix::termios::tcgetattr(io::stdin()) {
            terminal::listen();
            terminal::hide(&before);
            *terminal::before() = Some(before);
        }
        Self {}
    }

    /// Reads a line without its end; `None` where nothing more can be typed.
    #[cfg(unix)]
    pub fn read() -> io::Result<Option<Zeroizing<String>>> {
        let mut line = Zeroizing::new(String::new());
        let read = io::stdin().read_line(&mut line)?;
        let end = line.trim_end_matches(['\n', '\r']).len();
        line.truncate(end);
        Ok((read > 0).then_some(line))
    }

    /// As on Unix.
    #[cfg(not(unix))]
    pub fn begin() -> Self {
        Self {}
    }

    /// As on Unix.
    #[cfg(not(unix))]
    pub fn read() -> io::Result<Option<Zeroizing<String>>> {
        rpassword::read_password().map(|line| Some(Zeroizing::new(line)))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(before) = terminal::before().take() {
            terminal::set(&before);
        }
    }
}

/// The terminal, and what it was before something was hidden.
#[cfg(unix)]
mod terminal {
    use crate::output::say;
    use rustix::process::{Signal, getpid, kill_process};
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcsetattr};
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use tokio::signal::unix::{SignalKind, signal};

    /// `None` while nothing is hidden.
    pub fn before() -> MutexGuard<'static, Option<Termios>> {
        static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
        BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(modes: &Termios) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, modes);
    }

    pub fn hide(before: &Termios) {
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        set(&hidden);
    }

    /// From now on whoever stops the program gets a terminal that shows what is typed, and gets it hidden again when it goes on.
    pub fn listen() {
        static LISTENS: AtomicBool = AtomicBool::new(false);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if LISTENS.swap(true, Ordering::Relaxed) {
            return;
        }
        // Where it cannot be listened to, the system stops the program by itself.
        let Ok(mut stops) = signal(SignalKind::from_raw(Signal::TSTP.as_raw())) else { return };
        runtime.spawn(async move {
            while stops.recv().await.is_some() {
                stop().await;
            }
        });
    }

    /// Stops this process, and returns when it goes on.
    async fn stop() {
        let Ok(mut goes_on) = signal(SignalKind::from_raw(Signal::CONT.as_raw())) else { return };
        before().iter().for_each(set);
        if kill_process(getpid(), Signal::STOP).is_ok() {
            goes_on.recv().await;
        }
        if let Some(before) = &*before() {
            hide(before);
            say("(What you type is not shown.)");
        }
    }
}

/// Asks for a line that is not shown.
///
/// # Errors
/// It could not be read, or nothing more can be typed.
pub fn ask(prompt: &str) -> io::Result<Zeroizing<String>> {
    let _hidden = Hidden::begin();
    let _ = write!(io::stderr(), "{prompt}");
    Hidden::read()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
