//! Ctrl-C, and the request of the system to end.

use crate::command::INTERRUPTED;
use crate::output::say;
use tokio_util::sync::CancellationToken;

/// Listened to from the beginning on: Ctrl-C, and the request to end.
#[cfg(unix)]
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// From now on a signal ends nothing by itself.
    pub fn begin() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listened to from the beginning on: Ctrl-C, and Ctrl-Break, by which one program asks another to end.
#[cfg(windows)]
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    terminate: tokio::signal::windows::CtrlBreak,
}

#[cfg(windows)]
impl Signals {
    /// From now on a signal ends nothing by itself.
    pub fn begin() -> std::io::Result<Self> {
        use tokio::signal::windows::{ctrl_break, ctrl_c};
        Ok(Self { interrupt: ctrl_c()?, terminate: ctrl_break()? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The first signal stops at a commit point, the second one leaves at once. They are listened to before this returns.
pub fn stop_on_signal(cancel: CancellationToken) -> tokio::task::JoinHandle<()> {
    let signals = Signals::begin();
    tokio::spawn(async move {
        // Where they cannot be listened to, a signal ends the process; the journal makes that safe.
        let Ok(mut signals) = signals else { return };
        signals.next().await;
        // What is said is true by then: no further batch begins.
        cancel.cancel();
        say(
            "Stopping at the next safe point. Run the same command again to continue; press again to leave at once.",
        );
        signals.next().await;
        #[expect(
            clippy::exit,
            reason = "the person asked twice to leave at once; the journal makes it safe"
        )]
        std::process::exit(INTERRUPTED.into());
    })
}
