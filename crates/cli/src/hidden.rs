//! A line that is typed and not shown.

use std::io::{self, Write};
use zeroize::Zeroizing;

/// The terminal shows nothing of what is typed, while this lives; also after the program was stopped (Ctrl-Z) and goes on, whatever the
/// shell made of the terminal meanwhile. Whether it is stopped is the system's business, which knows where nobody could make it go
/// on. On other systems than Unix each reading hides by itself.
pub struct Hidden {}

impl Hidden {
    /// From now on: before this prompt is there, since whoever reads fast types at once.
    #[cfg(unix)]
    pub fn begin(prompt: &str) -> Self {
        if let Ok(before) = rustix::termios::tcgetattr(io::stdin()) {
            terminal::listen();
            terminal::hide(&before);
            *terminal::asked() = Some(terminal::Asked { before, prompt: prompt.to_owned() });
        }
        Self {}
    }

    /// Reads a line without its end; `None` where nothing more can be typed.
    #[cfg(unix)]
    pub fn read() -> io::Result<Option<Zeroizing<String>>> {
        let mut line = Zeroizing::new(String::new());
        let read = io::stdin().read_line(&mut line)?;
        // It is answered.
        terminal::asked().iter_mut().for_each(|asked| asked.prompt.clear());
        let end = line.trim_end_matches(['\n', '\r']).len();
        line.truncate(end);
        Ok((read > 0).then_some(line))
    }

    /// As on Unix.
    #[cfg(not(unix))]
    pub fn begin(_prompt: &str) -> Self {
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
        if let Some(asked) = terminal::asked().take() {
            terminal::set(&asked.before);
        }
    }
}

/// The terminal, and what it was before something was hidden.
#[cfg(unix)]
mod terminal {
    use crate::output::say;
    use rustix::process::Signal;
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcsetattr};
    use std::io::{self, Write};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use tokio::signal::unix::{SignalKind, signal};

    /// What is asked for while the terminal hides it.
    pub struct Asked {
        /// The terminal as it was.
        pub before: Termios,
        /// Empty once it is answered.
        pub prompt: String,
    }

    /// `None` while nothing is hidden.
    pub fn asked() -> MutexGuard<'static, Option<Asked>> {
        static ASKED: Mutex<Option<Asked>> = Mutex::new(None);
        ASKED.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// From now on it is hidden again when the program goes on after it was stopped: shells leave the terminal as they like it.
    pub fn listen() {
        static LISTENS: AtomicBool = AtomicBool::new(false);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if LISTENS.swap(true, Ordering::Relaxed) {
            return;
        }
        let Ok(mut goes_on) = signal(SignalKind::from_raw(Signal::CONT.as_raw())) else { return };
        runtime.spawn(async move {
            while goes_on.recv().await.is_some() {
                if let Some(asked) = &*asked() {
                    hide(&asked.before);
                    say("(What you type is not shown.)");
                    let _ = write!(io::stderr(), "{}", asked.prompt);
                }
            }
        });
    }
}

/// Asks for a line that is not shown.
///
/// # Errors
/// It could not be read, or nothing more can be typed.
pub fn ask(prompt: &str) -> io::Result<Zeroizing<String>> {
    let _hidden = Hidden::begin(prompt);
    let _ = write!(io::stderr(), "{prompt}");
    Hidden::read()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
