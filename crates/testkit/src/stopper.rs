//! Stops the engine dead at one of its steps, as a crash would: "interrupt at every step".
//!
//! A step is an action at an end, or a write to the journal, before and after it took effect. Dead means dead: while
//! what was already written still arrives, nothing passes another step.

use mailhaul_engine::journal::memory::MemoryStore;
use mailhaul_engine::probe::Probe;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// What of the journal a stop leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process was killed: everything written is there.
    Killed,
    /// The machine stopped: what was not synced is forgotten.
    PowerCut,
}

impl Death {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Killed, Self::PowerCut];

    /// Does it to a journal, whose writes are watched no more.
    pub fn strike(self, store: &MemoryStore) {
        store.set_hook(None);
        match self {
            Self::Killed => store.kill(),
            Self::PowerCut => store.crash(),
        }
    }
}

/// Counts the steps of one run, and stops it at one of them. Clones are the same stopper.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    at: u64,
    steps: AtomicU64,
    stopped: Notify,
}

impl Stopper {
    /// Stops at this step, counted from 1.
    #[must_use]
    pub fn at(step: u64) -> Self {
        Self(Arc::new(Inner { at: step, steps: AtomicU64::new(0), stopped: Notify::new() }))
    }

    /// Only counts.
    #[must_use]
    pub fn never() -> Self {
        Self::at(u64::MAX)
    }

    /// Passes a step; true stops whoever asks for ever.
    #[must_use]
    pub fn stops(&self) -> bool {
        let stop = self.0.steps.fetch_add(1, Ordering::SeqCst) + 1 >= self.0.at;
        if stop {
            self.0.stopped.notify_one();
        }
        stop
    }

    /// The steps of the engine.
    #[must_use]
    pub fn probe(&self) -> Probe {
        let stopper = self.clone();
        Probe::new(Arc::new(move |_| stopper.stops()))
    }

    /// The writes of the journal, from now on.
    pub fn watch(&self, store: &MemoryStore) {
        let stopper = self.clone();
        store.set_hook(Some(Arc::new(move |_| stopper.stops())));
    }

    /// Steps so far, the last one included.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::SeqCst)
    }

    /// Runs to the end, or to the step; `None` when stopped.
    pub async fn run<R>(&self, running: impl Future<Output = R>) -> Option<R> {
        tokio::select! {
            biased;
            () = self.0.stopped.notified() => None,
            end = running => Some(end),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_stops_at_its_step_and_nothing_passes_a_later_one() {
        let stopper = Stopper::at(3);
        let probe = stopper.probe();
        let passed = AtomicU64::new(0);
        let running = async {
            loop {
                probe.pass("a step").await;
                passed.fetch_add(1, Ordering::SeqCst);
            }
        };
        assert_eq!(stopper.run(running).await, None::<()>);
        assert_eq!((passed.load(Ordering::SeqCst), stopper.steps()), (2, 3));
        assert!(stopper.stops(), "dead means dead");
        let never = Stopper::never();
        assert_eq!(never.run(async { never.stops() }).await, Some(false));
    }
}
