//! The doing of [`Bucket`] and [`Allowance`]: who is about to move octets of message bodies waits for a turn first.
//!
//! **Pauses lie before a batch is staged and before a range is asked for, never inside a literal.** A server gives an APPEND
//! that stands still no more than its own patience, and some lock the mailbox as long; the gate must open soon after its
//! COMMIT; a FETCH that is not read looks like a client that is gone. So a piece goes at the speed of the line, is at most
//! half a second's worth or one message, and the pause comes after it, on a connection that is idle and kept alive.
//! There is one bucket a side: it holds over all its connections, and over what is read back at the target, too. What may
//! pass in a day is counted for each direction by itself, as providers do.

use crate::budget::{Allowance, amount};
use crate::clock::Clock;
use crate::config::{Daily, Rate, Settings};
use crate::error::EndError;
use crate::journal::Side;
use crate::pace::Bucket;
use crate::progress::{Bus, Progress, WaitReason};
use crate::quirks::family::Behaviour;
use crate::waits::Waits;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The rates and daily allowances of both sides.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Of what the source gives.
    pub source: Pacer,
    /// Of what the target takes.
    pub target: Pacer,
    /// Of what the target gives when it is read back: the rate is that of what it takes.
    pub target_reading: Pacer,
}

impl Pace {
    /// As the settings say; `stop` ends every pause.
    pub fn new(
        settings: &Settings,
        bus: &Bus,
        clock: &Clock,
        waits: &Arc<Waits>,
        stop: &CancellationToken,
    ) -> Self {
        let pacer = |side, rate: Option<Rate>| Pacer {
            side,
            bucket: rate.map(|rate| Arc::new(Mutex::new(Bucket::new(rate.0)))),
            day: Arc::default(),
            piece_octets: settings.limits.batch_octets_max,
            began: (Instant::now(), clock.wall()),
            bus: bus.clone(),
            waits: waits.clone(),
            stop: stop.clone(),
        };
        let target = pacer(Side::Target, settings.target_rate);
        let pace = Self {
            source: pacer(Side::Source, settings.source_rate),
            target_reading: Pacer { day: Arc::default(), ..target.clone() },
            target,
        };
        // What a person set holds before the first connection, too.
        [Side::Source, Side::Target].iter().for_each(|s| pace.is_known(*s, settings, &Behaviour::default()));
        pace
    }

    /// What the family of a side's server allows in a day holds from now on, where nobody set anything else.
    pub fn is_known(&self, side: Side, settings: &Settings, does: &Behaviour) {
        match side {
            Side::Source => self.source.allow(settings.source_daily.or_known(does.down_per_day)),
            Side::Target => {
                self.target.allow(settings.target_daily.or_known(does.up_per_day));
                let reads = settings.target_daily != Daily::Unlimited;
                self.target_reading.allow(does.down_per_day.filter(|_| reads));
            }
        }
    }

    /// The three directions, each with its word in the journal.
    pub fn directions(&self) -> [(&'static str, &Pacer); 3] {
        [("source:down", &self.source), ("target:up", &self.target), ("target:down", &self.target_reading)]
    }
}

/// The rate and the daily allowance of one direction, shared by all connections of a side. Without either, every turn comes
/// at once.
#[derive(Clone, Debug)]
pub struct Pacer {
    side: Side,
    bucket: Option<Arc<Mutex<Bucket>>>,
    day: Arc<Mutex<Day>>,
    /// The most that goes at once where only the day is counted.
    piece_octets: u64,
    began: (Instant, SystemTime),
    bus: Bus,
    waits: Arc<Waits>,
    stop: CancellationToken,
}

/// The day of one direction.
#[derive(Debug, Default)]
struct Day {
    allowance: Option<Allowance>,
    /// Octets that passed in this process and are not in the journal yet.
    unsaved: u64,
    /// Until when it was said that this is waited for.
    told: Option<Duration>,
}

fn locked<V>(of: &Mutex<V>) -> MutexGuard<'_, V> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pacer {
    /// Time since the run began, and since 1970. A machine that slept is behind: that only waits longer.
    fn now(&self) -> (Duration, Duration) {
        let since = self.began.0.elapsed();
        let wall = self.began.1.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (since, wall + since)
    }

    fn allow(&self, per_day: Option<u64>) {
        let mut day = locked(&self.day);
        match (per_day, &day.allowance) {
            (Some(octets), known) if known.as_ref().map(Allowance::per_day) != Some(octets) => {
                let mut allowance = Allowance::new(octets);
                allowance.take(self.now().1, day.unsaved);
                day.allowance = Some(allowance);
            }
            _ => {}
        }
    }

    /// The most octets that should go in one piece; `None` where neither a rate nor a day is kept to.
    pub fn piece_octets(&self) -> Option<u64> {
        let of_day = locked(&self.day).allowance.as_ref().map(|a| self.piece_octets.min(a.per_day()).max(1));
        let of_rate = self.bucket.as_ref().map(|b| locked(b).piece_octets());
        of_rate.into_iter().chain(of_day).min()
    }

    /// Waits until a piece may go. Nothing is held while waiting.
    ///
    /// # Errors
    /// [`EndError::Stopped`] as soon as the caller asked to stop.
    pub async fn turn(&self) -> Result<Turn, EndError> {
        self.await_day().await?;
        let Some(bucket) = &self.bucket else { return Ok(Turn { pacer: self.clone(), deposit: 0 }) };
        loop {
            let wait = {
                let (mut bucket, now) = (locked(bucket), self.now().0);
                let wait = bucket.wait(now);
                if wait.is_zero() {
                    // What will go is not known yet; others must not take the same turn meanwhile.
                    let deposit = bucket.piece_octets();
                    bucket.take(now, deposit);
                    return Ok(Turn { pacer: self.clone(), deposit });
                }
                wait
            };
            self.sleep(wait).await?;
        }
    }

    async fn await_day(&self) -> Result<(), EndError> {
        loop {
            let now = self.now().1;
            let (wait, per_day, new) = {
                let mut day = locked(&self.day);
                let Some(allowance) = &mut day.allowance else { return Ok(()) };
                let (wait, per_day) = (allowance.wait(now), allowance.per_day());
                if wait.is_zero() {
                    return Ok(());
                }
                let new = day.told.is_none_or(|until| until < now + wait);
                day.told = Some(now + wait);
                (wait, per_day, new)
            };
            // Said once, however many connections wait for it.
            if new {
                self.tell(wait, per_day);
            }
            self.sleep(wait).await?;
        }
    }

    fn tell(&self, wait: Duration, per_day: u64) {
        let server = self.waits.server(self.side, "");
        let why = format!("the {} that may pass in a day have passed", amount(per_day));
        let until = SystemTime::UNIX_EPOCH + self.now().1 + wait;
        let (side, reason, seconds) = (self.side.into(), WaitReason::Day, wait.as_secs());
        self.bus.tell(Progress::Waiting { side, server, reason, why, seconds, until });
    }

    async fn sleep(&self, wait: Duration) -> Result<(), EndError> {
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.stop.cancelled() => Err(EndError::Stopped),
        }
    }

    /// A message that was announced, and paid for, with `announced` octets has `octets`.
    pub fn correct(&self, announced: u64, octets: u64) {
        if announced == octets {
            return;
        }
        let now = self.now();
        if let Some(bucket) = &self.bucket {
            let mut bucket = locked(bucket);
            bucket.take(now.0, octets);
            bucket.give_back(announced);
        }
        let mut day = locked(&self.day);
        day.unsaved = (day.unsaved + octets).saturating_sub(announced);
        if let Some(allowance) = &mut day.allowance {
            allowance.take(now.1, octets);
            allowance.give_back(announced);
        }
    }

    fn passed(&self, octets: u64) {
        let now = self.now();
        if let Some(bucket) = &self.bucket {
            locked(bucket).take(now.0, octets);
        }
        let mut day = locked(&self.day);
        day.unsaved += octets;
        if let Some(allowance) = &mut day.allowance {
            allowance.take(now.1, octets);
        }
    }

    /// So many octets passed at this moment, in an earlier run.
    pub fn passed_before(&self, at: SystemTime, octets: u64) {
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if let Some(allowance) = &mut locked(&self.day).allowance {
            allowance.take(at, octets);
        }
    }

    /// What passed since this was asked last, where a day is kept to; 0 where not.
    pub fn take_unsaved(&self) -> u64 {
        let mut day = locked(&self.day);
        if day.allowance.is_some() { std::mem::take(&mut day.unsaved) } else { 0 }
    }

    /// How long so many octets take at least, with what may pass in a day; `None` where no day is kept to.
    pub fn forecast(&self, octets: u64) -> Option<(u64, Duration)> {
        let now = self.now().1;
        let mut day = locked(&self.day);
        let allowance = day.allowance.as_mut()?;
        Some((allowance.per_day(), allowance.forecast(now, octets)))
    }
}

/// The right to move one piece. Dropped without being paid for, it counts for nothing.
#[derive(Debug)]
#[must_use = "what goes is paid for"]
pub struct Turn {
    pacer: Pacer,
    deposit: u64,
}

impl Turn {
    /// So many octets go now.
    pub fn pay(self, octets: u64) {
        self.pacer.passed(octets);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(bucket) = self.pacer.bucket.as_ref().filter(|_| self.deposit > 0) {
            locked(bucket).give_back(self.deposit);
        }
    }
}
