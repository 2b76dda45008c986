//! Pure: how long to wait, and how much may go at once. No clock; times are arguments, since any one moment.

use crate::quirks::Pause;
use std::cmp::Ordering;
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

    /// The next wait, of this kind; `spent_step` is that of a day's allowance.
    pub fn pause(&mut self, pause: Pause, spent_step: Duration) -> Duration {
        match pause {
            Pause::Named(asked) => self.next(Some(asked)),
            Pause::BackOff => self.next(None),
            Pause::Step(wait) => wait,
            Pause::Day => spent_step,
        }
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

/// How many connections one side is asked for, learnt from what the server gives. Trouble halves the number; after a calm time
/// one more is tried, up to the number wanted. A further one that is refused doubles the calm time, so that a server that
/// gives no more is asked ever more rarely and locks nobody out. The last connection is none of this' business.
#[derive(Clone, Debug)]
pub struct Connections {
    wanted: usize,
    allowed: usize,
    open: usize,
    calm: CalmTimes,
    /// Without trouble for so long, one more is tried.
    calm_now: Duration,
    /// Since when the number allowed is this.
    since: Duration,
    /// When a server last asked for patience.
    throttled: Option<Duration>,
    /// The number allowed was raised, and it is not known yet whether the server gives it.
    trying: bool,
}

/// How long a server must be left in peace.
#[derive(Clone, Copy, Debug)]
pub struct CalmTimes {
    /// Before one connection more is tried.
    pub first: Duration,
    /// At most, however often one more was refused.
    pub longest: Duration,
    /// Trouble told to several connections within this time is one trouble.
    pub one_trouble: Duration,
}

impl Connections {
    /// `wanted` (at least one) are asked for at once; none is open.
    pub fn new(wanted: usize, calm: CalmTimes) -> Self {
        let wanted = wanted.max(1);
        let (open, since) = (0, Duration::ZERO);
        let (calm_now, throttled, trying) = (calm.first, None, false);
        Self { wanted, allowed: wanted, open, calm, calm_now, since, throttled, trying }
    }

    /// Counts one connection more, if it may be asked for now.
    pub fn open_another(&mut self, now: Duration) -> bool {
        self.grow(now);
        let free = self.open < self.allowed;
        self.open += usize::from(free);
        free
    }

    /// A connection that there has to be is counted, whatever is allowed.
    pub fn open_anyway(&mut self) {
        self.open += 1;
    }

    /// The server is known to give no more than so many.
    pub fn at_most(&mut self, most: usize) {
        (self.wanted, self.allowed) = (self.wanted.min(most.max(1)), self.allowed.min(most.max(1)));
    }

    /// A connection asked for beside others was given.
    pub fn given(&mut self) {
        (self.calm_now, self.trying) = (self.calm.first, false);
    }

    /// A connection is closed, or was not given.
    pub fn closed(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// A connection asked for beside others was not given, and is [`closed`](Self::closed) already: half as many, but not
    /// fewer than the server gives.
    pub fn refused(&mut self, now: Duration) {
        if self.trying {
            self.calm_now = (self.calm_now * 2).min(self.calm.longest);
        }
        self.allowed = (self.allowed / 2).max(self.open).max(1);
        (self.since, self.trying) = (now, false);
    }

    /// The login of one more connection was refused as such: none is asked for any more, lest the account be locked.
    pub fn login_refused(&mut self) {
        self.allowed = self.open.max(1);
        self.wanted = self.allowed;
    }

    /// The server asked for patience: half as many, also of those that are open.
    pub fn throttled(&mut self, now: Duration) {
        let same = self.throttled.is_some_and(|at| now.saturating_sub(at) < self.calm.one_trouble);
        if !same {
            self.allowed = (self.allowed.min(self.open) / 2).max(1);
            self.throttled = Some(now);
        }
        self.since = now;
    }

    /// Closes a connection where more are open than are allowed; false where there are not.
    pub fn close_surplus(&mut self) -> bool {
        let surplus = self.open > self.allowed;
        self.open -= usize::from(surplus);
        surplus
    }

    /// From when on one more may be asked for; `None` where time alone does not decide.
    pub fn more_at(&self) -> Option<Duration> {
        match self.open.cmp(&self.allowed) {
            Ordering::Less => Some(self.since),
            Ordering::Equal if self.allowed < self.wanted => Some(self.since + self.calm_now),
            _ => None,
        }
    }

    fn grow(&mut self, now: Duration) {
        if self.open == self.allowed && self.more_at().is_some_and(|at| at <= now) {
            self.allowed += 1;
            (self.since, self.trying) = (now, true);
        }
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

    const CALM: CalmTimes =
        CalmTimes { first: Duration::from_secs(60), longest: Duration::from_secs(600), one_trouble: SECOND };

    /// Asks for as many as may be asked for; the server gives `most` in all. The number of refusals.
    fn ask(of: &mut Connections, now: Duration, most: usize) -> usize {
        let mut refused = 0;
        while of.open_another(now) {
            if of.open <= most {
                of.given();
            } else {
                of.closed();
                of.refused(now);
                refused += 1;
            }
        }
        refused
    }

    #[test]
    fn what_a_server_gives_is_learnt_and_more_is_asked_for_ever_more_rarely() {
        for most in 1..=8 {
            let mut c = Connections::new(8, CALM);
            c.open_anyway();
            let first = ask(&mut c, Duration::ZERO, most);
            assert_eq!(c.open, most);
            assert!(first <= 3, "{first} refusals, halved each time");
            let mut refused = 0;
            let day = (0..86_400).map(Duration::from_secs);
            day.for_each(|now| refused += ask(&mut c, now, most));
            assert_eq!(c.open, most, "nothing that is given is given up");
            // 60, 120, 240, 480 s, then every ten minutes.
            assert!(refused <= if most < 8 { 4 + 143 } else { 0 }, "{refused} refusals in a day");
        }
    }

    #[test]
    fn refusals_of_connections_asked_for_together_leave_those_that_were_given() {
        let mut c = Connections::new(8, CALM);
        c.open_anyway();
        while c.open_another(Duration::ZERO) {}
        assert_eq!(c.open, 8);
        c.given();
        for _ in 0..6 {
            c.closed();
            c.refused(SECOND);
        }
        assert_eq!((c.open, c.allowed), (2, 2));
        assert!(!c.open_another(60 * SECOND));
        assert!(c.open_another(61 * SECOND), "after the calm time, as if never refused before");
    }

    #[test]
    fn when_a_server_gives_more_they_come_back_one_at_a_time() {
        let mut c = Connections::new(4, CALM);
        c.open_anyway();
        ask(&mut c, Duration::ZERO, 1);
        let grown: Vec<u32> =
            (1..400u32).filter(|s| c.open_another(*s * SECOND).then(|| c.given()).is_some()).collect();
        assert_eq!(grown, [60, 120, 180]);
        assert_eq!(c.more_at(), None, "as many as wanted");
    }

    #[test]
    fn patience_asked_for_halves_what_is_open_and_never_the_last() {
        let mut c = Connections::new(8, CALM);
        (0..8).for_each(|_| c.open_anyway());
        c.throttled(10 * SECOND);
        c.throttled(10 * SECOND + SECOND / 2);
        assert_eq!((0..8).filter(|_| c.close_surplus()).count(), 4, "told twice, it is one trouble");
        for trouble in 1..10 {
            c.throttled(trouble * 100 * SECOND);
        }
        while c.close_surplus() {}
        assert_eq!(c.open, 1);
        assert_eq!(c.more_at(), Some(960 * SECOND), "calm counts from the last trouble");
    }

    #[test]
    fn after_a_refused_login_no_further_one_is_tried() {
        let mut c = Connections::new(4, CALM);
        c.open_anyway();
        assert!(c.open_another(SECOND));
        c.closed();
        c.login_refused();
        assert!((0..100_000).all(|s| !c.open_another(s * SECOND)));
        assert_eq!(c.open, 1);
    }
}
