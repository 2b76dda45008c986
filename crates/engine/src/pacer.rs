//! The doing of [`Bucket`]: who is about to move octets of message bodies waits for a turn first.
//!
//! **Pauses lie before a batch is staged and before a range is asked for, never inside a literal.** A server gives an APPEND
//! that stands still no more than its own patience, and some lock the mailbox as long; the gate must open soon after its
//! COMMIT; a FETCH that is not read looks like a client that is gone. So a piece goes at the speed of the line, is at most
//! half a second's worth or one message, and the pause comes after it, on a connection that is idle and kept alive.
//! There is one bucket a side: it holds over all its connections, and over what is read back at the target, too.

use crate::config::{Rate, Settings};
use crate::error::EndError;
use crate::pace::Bucket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The rates of both sides.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Of what the source gives.
    pub source: Pacer,
    /// Of what the target takes, and gives when it is read back.
    pub target: Pacer,
}

impl Pace {
    /// As the settings say; `stop` ends every pause.
    pub fn new(settings: &Settings, stop: &CancellationToken) -> Self {
        let pacer = |rate| Pacer::new(rate, stop.clone());
        Self { source: pacer(settings.source_rate), target: pacer(settings.target_rate) }
    }
}

/// The rate of one side, shared by all its connections. Without a rate every turn comes at once.
#[derive(Clone, Debug)]
pub struct Pacer {
    paced: Option<Arc<Paced>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Paced {
    bucket: Mutex<Bucket>,
    began: Instant,
}

impl Paced {
    fn bucket(&self) -> (MutexGuard<'_, Bucket>, Duration) {
        let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        (bucket, self.began.elapsed())
    }
}

impl Pacer {
    /// A pacer for `rate`; `stop` ends every pause.
    pub fn new(rate: Option<Rate>, stop: CancellationToken) -> Self {
        let paced = |rate: Rate| Paced { bucket: Mutex::new(Bucket::new(rate.0)), began: Instant::now() };
        Self { paced: rate.map(|rate| Arc::new(paced(rate))), stop }
    }

    /// The most octets that should go in one piece; `None` where there is no rate.
    pub fn piece_octets(&self) -> Option<u64> {
        self.paced.as_ref().map(|p| p.bucket().0.piece_octets())
    }

    /// Waits until a piece may go. Nothing is held while waiting.
    ///
    /// # Errors
    /// [`EndError::Stopped`] as soon as the caller asked to stop.
    pub async fn turn(&self) -> Result<Turn, EndError> {
        let Some(paced) = &self.paced else { return Ok(Turn { paced: None, deposit: 0 }) };
        loop {
            let wait = {
                let (mut bucket, now) = paced.bucket();
                let wait = bucket.wait(now);
                if wait.is_zero() {
                    // What will go is not known yet; others must not take the same turn meanwhile.
                    let deposit = bucket.piece_octets();
                    bucket.take(now, deposit);
                    return Ok(Turn { paced: Some(paced.clone()), deposit });
                }
                wait
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return Err(EndError::Stopped),
            }
        }
    }

    /// A message that was announced, and paid for, with `announced` octets has `octets`.
    pub fn correct(&self, announced: u64, octets: u64) {
        if let Some(paced) = self.paced.as_ref().filter(|_| announced != octets) {
            let (mut bucket, now) = paced.bucket();
            bucket.take(now, octets);
            bucket.give_back(announced);
        }
    }
}

/// The right to move one piece. Dropped without being paid for, it counts for nothing.
#[derive(Debug)]
#[must_use = "what goes is paid for"]
pub struct Turn {
    paced: Option<Arc<Paced>>,
    deposit: u64,
}

impl Turn {
    /// So many octets go now.
    pub fn pay(self, octets: u64) {
        if let Some(paced) = &self.paced {
            let (mut bucket, now) = paced.bucket();
            bucket.take(now, octets);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(paced) = &self.paced {
            paced.bucket().0.give_back(self.deposit);
        }
    }
}
