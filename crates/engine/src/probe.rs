//! Places where a test may stop the engine dead, as a crash would: "interrupt at every step".
//!
//! A step is an action at an end; the journals have hooks of their own for their writes. In the product no
//! probe is set and passing one costs a null check.

use std::sync::Arc;

/// Asked at every step with its name; `true` stops the engine there for ever.
pub type Stop = Arc<dyn Fn(&'static str) -> bool + Send + Sync>;

/// The probe of a run.
#[derive(Clone, Default)]
pub struct Probe(Option<Stop>);

impl Probe {
    /// A probe that asks `stop`.
    pub fn new(stop: Stop) -> Self {
        Self(Some(stop))
    }

    /// Passes a step. Never returns if the test stops the engine here.
    pub async fn pass(&self, step: &'static str) {
        if self.0.as_ref().is_some_and(|stop| stop(step)) {
            std::future::pending::<()>().await;
        }
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Probe({})", if self.0.is_some() { "set" } else { "none" })
    }
}
