//! Who has a connection: one learnt number for each side ([`Connections`]), shared by all that connect beside others.

use crate::config::Settings;
use crate::error::EndError;
use crate::journal::Side;
use crate::pace::{CalmTimes, Connections};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::time::Instant;

/// The connections of a run, counted by side.
#[derive(Debug)]
pub struct Seats {
    source: Mutex<Connections>,
    target: Mutex<Connections>,
    began: Instant,
    changed: watch::Sender<()>,
}

impl Seats {
    /// As many on each side as the settings want.
    pub fn new(settings: &Settings) -> Arc<Self> {
        let limits = &settings.limits;
        let calm = CalmTimes {
            first: limits.connections_calm,
            longest: limits.connections_calm_max,
            one_trouble: limits.connections_one_trouble,
        };
        let side = || Mutex::new(Connections::new(settings.connections, calm));
        Arc::new(Self {
            source: side(),
            target: side(),
            began: Instant::now(),
            changed: watch::Sender::new(()),
        })
    }

    fn of(&self, side: Side) -> MutexGuard<'_, Connections> {
        let of = match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, side: Side, change: impl FnOnce(&mut Connections) -> R) -> R {
        let changed = change(&mut self.of(side));
        self.changed.send_replace(());
        changed
    }

    /// A seat for a connection that there has to be.
    pub fn anyway(self: &Arc<Self>, side: Side) -> Seat {
        self.of(side).open_anyway();
        Seat { seats: self.clone(), side, held: true }
    }

    /// A seat for one connection more on each of these sides, if one may be asked for now on all of them.
    pub fn another(self: &Arc<Self>, sides: &[Side]) -> Option<Vec<Seat>> {
        let now = self.began.elapsed();
        let seat = |side: &Side| {
            let free = self.of(*side).open_another(now);
            free.then(|| Seat { seats: self.clone(), side: *side, held: true })
        };
        sides.iter().map(seat).collect()
    }

    /// Waits until it may be worth asking for [`another`](Self::another) again.
    pub async fn more_soon(&self, sides: &[Side]) {
        let mut changed = self.changed.subscribe();
        let at: Option<Vec<_>> = sides.iter().map(|side| self.of(*side).more_at()).collect();
        match at.and_then(|at| at.into_iter().max()) {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(self.began + at) => {}
                _ = changed.changed() => {}
            },
            None => _ = changed.changed().await,
        }
    }

    /// The server of a side is known to give no more than so many.
    pub fn at_most(&self, side: Side, most: usize) {
        self.change(side, |c| c.at_most(most));
    }

    /// The server asked for patience.
    pub fn throttled(&self, side: Side) {
        let now = self.began.elapsed();
        self.change(side, |c| c.throttled(now));
    }
}

/// The right to one connection; dropped when it is closed.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    side: Side,
    held: bool,
}

impl Seat {
    /// Whose connection it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The server gave the connection.
    pub fn given(&self) {
        self.seats.of(self.side).given();
    }

    /// The server did not give it.
    pub fn refused(self, error: &EndError) {
        let (seats, side) = (self.seats.clone(), self.side);
        drop(self);
        let now = seats.began.elapsed();
        seats.change(side, |c| match error {
            EndError::LoginRefused { .. } => c.login_refused(),
            _ => c.refused(now),
        });
    }

    /// True when there are more connections than there should be: this one is counted as closed from now on, whoever asks again.
    pub fn is_surplus(&mut self) -> bool {
        if self.held && self.seats.change(self.side, Connections::close_surplus) {
            self.held = false;
        }
        !self.held
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.held {
            self.seats.change(self.side, Connections::closed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks once more must not go on with a connection that others count as closed.
    #[tokio::test]
    async fn a_seat_that_was_surplus_once_stays_so_and_is_given_back_once() {
        let seats = Seats::new(&Settings { connections: 2, ..Settings::new("/nonexistent") });
        let mut own: Vec<Seat> = (0..2).map(|_| seats.anyway(Side::Target)).collect();
        seats.at_most(Side::Target, 1);
        let surplus: Vec<bool> = own.iter_mut().map(Seat::is_surplus).collect();
        assert_eq!(surplus, [true, false]);
        let again: Vec<bool> = own.iter_mut().map(Seat::is_surplus).collect();
        assert_eq!(again, [true, false]);
        drop(own);
        assert!(seats.another(&[Side::Target]).is_some());
        assert!(seats.another(&[Side::Target, Side::Target]).is_none(), "one at most");
    }
}
