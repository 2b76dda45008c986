//! Pure: how long to wait. No clock; times are arguments.

use std::time::Duration;

/// Back-off with decorrelated jitter: each wait is drawn between the least and three times the one before, and
/// capped.
#[derive(Clone, Debug)]
pub struct BackOff {
    min: Duration,
    max: Duration,
    last: Duration,
    seed: u64,
}

impl BackOff {
    /// A back-off between `min` and `max`. The same `seed` gives the same waits.
    pub fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self { min, max, last: min, seed: seed | 1 }
    }

    /// The next wait; at least what the server asked for, if it named a time.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        // xorshift64: enough to keep clients apart, and the same in every run of a test.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let span = (self.last * 3).saturating_sub(self.min);
        let share = (self.seed >> 11) as f64 / (1u64 << 53) as f64;
        self.last = (self.min + span.mul_f64(share)).min(self.max);
        // A tenth more than asked for: clocks differ.
        asked.map_or(self.last, |asked| (asked + asked / 10).max(self.last))
    }

    /// Starts again after a success.
    pub fn reset(&mut self) {
        self.last = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_between_the_limits_and_honour_the_server() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(300));
        let mut b = BackOff::new(min, max, 42);
        for _ in 0..1000 {
            let wait = b.next(None);
            assert!(wait >= min && wait <= max, "{wait:?}");
        }
        assert!(b.next(Some(Duration::from_secs(1000))) >= Duration::from_secs(1100));
    }
}
