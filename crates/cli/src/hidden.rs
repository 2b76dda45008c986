//! A line that is typed and not shown.

use std::io::{self, Write};
use zeroize::Zeroizing;

/// The terminal shows nothing of what is typed, while this lives. On other systems than Unix each reading hides by itself.
pub struct Hidden {
    #[cfg(unix)]
    before: Option<rustix::termios::Termios>,
}

impl Hidden {
    /// From now on: before the prompt is there, since whoever reads fast types at once.
    #[cfg(unix)]
    pub fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut hidden = before.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            hidden.local_modes.insert(LocalModes::ECHONL);
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &hidden);
        }
        Self { before }
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
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, before);
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
