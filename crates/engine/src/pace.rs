//! Pure: how long to wait, and how much may go at once. No clock; times are arguments, since any one moment.

use std::num::NonZeroU64;
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

/// Nano-octets in an octet: the unit in which a [`Bucket`] counts, so that no fraction of a rate is lost.
const NANO: i128 = 1_000_000_000;

/// A rate in octets per second, as a token bucket. Half a second's worth may be saved up and as much may be owed, so that
/// at most one second's worth passes at once. A message longer than that is owed whole, and what comes after it waits.
#[derive(Clone, Debug)]
pub struct Bucket {
    octets_per_second: NonZeroU64,
    /// What may pass, in nano-octets; below 0 it is owed.
    balance: i128,
    /// When the balance was this.
    at: Duration,
}

impl Bucket {
    /// A bucket with all that may be saved up.
    pub fn new(octets_per_second: NonZeroU64) -> Self {
        let full = Self { octets_per_second, balance: 0, at: Duration::ZERO };
        Self { balance: full.saved_max(), ..full }
    }

    /// The most that should go in one piece, in octets: half a second's worth, and never nothing.
    pub fn piece_octets(&self) -> u64 {
        (self.octets_per_second.get() / 2).max(1)
    }

    /// How long to wait before the next piece may go: until nothing is owed.
    pub fn wait(&mut self, now: Duration) -> Duration {
        self.fill(now);
        let owed = (-self.balance).max(0).unsigned_abs();
        let nanos = owed.div_ceil(u128::from(self.octets_per_second.get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// So many octets go.
    pub fn take(&mut self, now: Duration, octets: u64) {
        self.fill(now);
        self.balance -= i128::from(octets) * NANO;
    }

    /// So many octets that were taken did not go.
    pub fn give_back(&mut self, octets: u64) {
        self.balance = (self.balance + i128::from(octets) * NANO).min(self.saved_max());
    }

    fn fill(&mut self, now: Duration) {
        let nanos = i128::try_from(now.saturating_sub(self.at).as_nanos()).unwrap_or(i128::MAX >> 64);
        let more = nanos * i128::from(self.octets_per_second.get());
        self.balance = (self.balance + more).min(self.saved_max());
        self.at = self.at.max(now);
    }

    fn saved_max(&self) -> i128 {
        i128::from(self.octets_per_second.get()) * NANO / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bucket(octets_per_second: u64) -> Bucket {
        Bucket::new(NonZeroU64::new(octets_per_second).unwrap())
    }

    /// Takes pieces of these lengths, one after the other, each as soon as it may go: when each went.
    fn taken(bucket: &mut Bucket, mut now: Duration, pieces: &[u64]) -> Vec<(Duration, u64)> {
        let mut went = Vec::new();
        for octets in pieces {
            now += bucket.wait(now);
            bucket.take(now, *octets);
            went.push((now, *octets));
        }
        went
    }

    #[test]
    fn no_window_of_time_sees_more_than_its_rate_and_one_second() {
        for rate in [3, 1000, 999_999, 1 << 40] {
            let mut b = bucket(rate);
            let piece = b.piece_octets();
            let pieces: Vec<u64> = (0..200).map(|i| [piece, 1, piece / 2, piece / 3 + 1][i % 4]).collect();
            let mut went = taken(&mut b, Duration::ZERO, &pieces[..100]);
            // A pause saves up half a second's worth and no more.
            went.extend(taken(&mut b, went[99].0 + 60 * SECOND, &pieces[100..]));
            for (i, (from, _)) in went.iter().enumerate() {
                let mut passed = 0u128;
                for (until, octets) in &went[i..] {
                    passed += u128::from(*octets);
                    let window = (*until - *from).as_nanos() + 1_000_000_000;
                    let allowed = window * u128::from(rate) / 1_000_000_000 + 2;
                    assert!(passed <= allowed, "rate {rate}: {passed} of {allowed} in {:?}", *until - *from);
                }
            }
        }
    }

    #[test]
    fn the_rate_is_reached() {
        let mut b = bucket(1000);
        let went = taken(&mut b, Duration::ZERO, &[500; 101]);
        // 101 pieces of half a second: the first two at once, then one each half second.
        assert_eq!(went[1].0, Duration::ZERO);
        assert_eq!(went[100].0, SECOND * 99 / 2);
    }

    #[test]
    fn a_message_longer_than_a_second_goes_whole_and_what_comes_after_it_waits() {
        let mut b = bucket(100);
        let went = taken(&mut b, Duration::ZERO, &[12_000, 1]);
        assert_eq!(went[0].0, Duration::ZERO, "a rate below a message a minute moves it");
        assert_eq!(went[1].0, Duration::from_millis(119_500));
    }

    #[test]
    fn what_did_not_go_is_given_back_and_not_more_than_can_be_saved() {
        let mut b = bucket(1000);
        b.take(Duration::ZERO, 2500);
        assert_eq!(b.wait(Duration::ZERO), 2 * SECOND);
        b.give_back(1000);
        assert_eq!(b.wait(Duration::ZERO), SECOND);
        b.give_back(1_000_000);
        b.take(Duration::ZERO, 501);
        assert_eq!(b.wait(Duration::ZERO), Duration::from_millis(1));
    }

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
