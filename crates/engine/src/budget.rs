//! Pure: what may pass in a day. No clock; a moment is a time since 1970, so that runs of one day add up.

use std::collections::VecDeque;
use std::time::Duration;

/// The day that counts: whatever time it is, what passed in the last 24 hours.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What passed within one such step is counted as if it had passed at its end.
const STEP: Duration = Duration::from_secs(15 * 60);

/// Octets that may pass in any 24 hours. When they have passed, what comes next waits until enough of them is a day old.
#[derive(Clone, Debug)]
pub struct Allowance {
    per_day: u64,
    /// What passed, by the end of its step; oldest first.
    passed: VecDeque<(Duration, u64)>,
}

impl Allowance {
    /// So many octets in a day, at least one; none have passed.
    pub fn new(per_day: u64) -> Self {
        Self { per_day: per_day.max(1), passed: VecDeque::new() }
    }

    /// Octets that may pass in a day.
    pub fn per_day(&self) -> u64 {
        self.per_day
    }

    /// So many octets passed.
    pub fn take(&mut self, now: Duration, octets: u64) {
        let end = Duration::from_secs((now.as_secs() / STEP.as_secs() + 1) * STEP.as_secs());
        match self.passed.iter_mut().find(|(at, _)| *at == end) {
            Some((_, passed)) => *passed += octets,
            None => {
                let at = self.passed.partition_point(|(at, _)| *at < end);
                self.passed.insert(at, (end, octets));
            }
        }
    }

    /// So many octets that were taken did not pass after all.
    pub fn give_back(&mut self, octets: u64) {
        let mut left = octets;
        for (_, passed) in self.passed.iter_mut().rev() {
            let back = left.min(*passed);
            *passed -= back;
            left -= back;
        }
    }

    /// Octets of the last day.
    pub fn spent(&mut self, now: Duration) -> u64 {
        while self.passed.front().is_some_and(|(at, _)| *at + DAY <= now) {
            self.passed.pop_front();
        }
        self.passed.iter().map(|(_, octets)| octets).sum()
    }

    /// How long to wait before more may pass: until less than a day's worth has passed within the last one. A message
    /// longer than what is left goes whole, and what comes after it waits.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let mut over = match self.spent(now) {
            spent if spent < self.per_day => return Duration::ZERO,
            spent => spent - self.per_day,
        };
        for (at, octets) in &self.passed {
            if *octets > over {
                return (*at + DAY).saturating_sub(now);
            }
            over -= octets;
        }
        DAY
    }

    /// How long so many octets take at least, from now on.
    pub fn forecast(&mut self, now: Duration, octets: u64) -> Duration {
        let mut copy = self.clone();
        let (mut at, mut left) = (now, octets);
        // Of many days each is like the one before.
        let days = (left / self.per_day).saturating_sub(1);
        let skipped = Duration::from_secs(DAY.as_secs().saturating_mul(days));
        left -= self.per_day * days;
        while left > 0 {
            at += copy.wait(at);
            let piece = left.min(self.per_day.saturating_sub(copy.spent(at)).max(1));
            copy.take(at, piece);
            left -= piece;
        }
        at.saturating_sub(now).saturating_add(skipped)
    }
}

/// An amount as people say it: in megabytes, unless it is small.
pub fn amount(octets: u64) -> String {
    match octets {
        0..10_000_000 => format!("{octets} bytes"),
        _ => format!("{} MB", octets / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Pieces of this length, each as soon as it may pass: when each did.
    fn passes(allowance: &mut Allowance, mut now: Duration, pieces: &[u64]) -> Vec<Duration> {
        pieces
            .iter()
            .map(|octets| {
                now += allowance.wait(now);
                allowance.take(now, *octets);
                now
            })
            .collect()
    }

    #[test]
    fn no_day_sees_more_than_its_worth_and_one_piece() {
        let mut allowance = Allowance::new(1000);
        let pieces: Vec<u64> = (0..200).map(|i| [100, 1, 70, 33][i % 4]).collect();
        let at = passes(&mut allowance, 7 * HOUR, &pieces);
        for (i, from) in at.iter().enumerate() {
            let day = at[i..].iter().zip(&pieces[i..]).take_while(|(until, _)| **until < *from + DAY);
            let passed: u64 = day.map(|(_, octets)| octets).sum();
            assert!(passed < 1000 + 100, "{passed} in a day");
        }
        let days = at.last().unwrap().as_secs_f64() / DAY.as_secs_f64();
        let least = pieces.iter().sum::<u64>() as f64 / 1000.0 - 1.0;
        assert!((least..least + 1.5).contains(&days), "{days} days, at least {least}");
    }

    #[test]
    fn what_runs_of_one_day_spent_adds_up_and_is_forgotten_after_it() {
        let mut allowance = Allowance::new(1000);
        allowance.take(20 * HOUR, 400);
        allowance.take(10 * HOUR, 600);
        assert_eq!(allowance.spent(30 * HOUR), 1000);
        assert_eq!(allowance.wait(30 * HOUR), 4 * HOUR + STEP, "a day after the first, to the step");
        assert_eq!(allowance.spent(34 * HOUR + STEP), 400);
        assert_eq!(allowance.wait(34 * HOUR + STEP), Duration::ZERO);
        allowance.give_back(500);
        assert_eq!(allowance.spent(34 * HOUR + STEP), 0);
    }

    #[test]
    fn a_message_longer_than_a_day_goes_whole_and_what_comes_after_it_waits() {
        let mut allowance = Allowance::new(1000);
        let at = passes(&mut allowance, Duration::ZERO, &[5000, 1]);
        assert_eq!((at[0], at[1]), (Duration::ZERO, DAY + STEP));
    }

    #[test]
    fn the_forecast_is_what_it_takes() {
        for (spent, octets) in [(0, 0), (0, 999), (0, 1000), (0, 1001), (0, 5300), (700, 400), (1000, 2500)] {
            let (mut allowance, mut real) = (Allowance::new(1000), Allowance::new(1000));
            allowance.take(5 * HOUR, spent);
            real.take(5 * HOUR, spent);
            let told = allowance.forecast(6 * HOUR, octets);
            let pieces = vec![1; usize::try_from(octets).unwrap()];
            let took =
                passes(&mut real, 6 * HOUR, &pieces).last().map_or(Duration::ZERO, |at| *at - 6 * HOUR);
            let apart = told.abs_diff(took);
            assert!(apart <= DAY / 12, "{spent} spent, {octets} to go: {told:?} told, {took:?} taken");
        }
        let long = Allowance::new(500_000_000).forecast(Duration::ZERO, 40_000_000_000);
        assert_eq!(long.as_secs() / DAY.as_secs(), 79, "eighty days' worth: the last goes after 79");
        assert!(Allowance::new(1).forecast(Duration::ZERO, u64::MAX / 4) > DAY);
    }
}
