//! Pure: how fast a run goes, and when it may be done. Nothing is said before enough was seen.

use crate::view::Row;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// What is looked back at.
const WINDOW: Duration = Duration::from_secs(60);
/// Samples closer together than this are one.
const APART: Duration = Duration::from_millis(900);
/// Before this nothing is said of the speed.
const RATE_AFTER: Duration = Duration::from_secs(5);
/// Before this nothing is said of the time left.
const LEFT_AFTER: Duration = Duration::from_secs(30);

/// What passed in the last minute.
#[derive(Debug, Default)]
pub struct Speed {
    samples: VecDeque<(Instant, Done)>,
}

/// Work done: each message is moved once and proven once.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    moved: u64,
    messages: u64,
    octets: u64,
}

impl Done {
    fn of(whole: &Row) -> Self {
        Self {
            moved: whole.there.messages,
            messages: whole.there.messages + whole.proven.messages,
            octets: whole.there.octets + whole.proven.octets,
        }
    }
}

impl Speed {
    /// Takes in where the run stands now.
    pub fn see(&mut self, now: Instant, whole: &Row) {
        let done = Done::of(whole);
        // Counted anew from the journal: what was seen before is of another count.
        if self.samples.back().is_some_and(|(_, last)| last.messages > done.messages) {
            self.samples.clear();
        }
        if self.samples.back().is_none_or(|(at, _)| now.duration_since(*at) >= APART) {
            self.samples.push_back((now, done));
        }
        while self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.samples.pop_front();
        }
    }

    fn passed(&self) -> Option<(Duration, Done, Done)> {
        let ((start, first), (end, last)) = (self.samples.front()?, self.samples.back()?);
        Some((end.duration_since(*start), *first, *last))
    }

    /// Messages moved in a minute, once that can be said.
    pub fn per_minute(&self) -> Option<u64> {
        let (time, first, last) = self.passed()?;
        let moved = last.moved.saturating_sub(first.moved);
        (time >= RATE_AFTER && moved > 0).then(|| per(moved, time, Duration::from_secs(60)))
    }

    /// How long the rest takes if it goes on like this: by messages or by octets, whichever takes longer. Nothing while the size
    /// of something is not known.
    pub fn left(&self, whole: &Row) -> Option<Duration> {
        let (time, first, last) = self.passed()?;
        let done = Done::of(whole);
        let rest = 2 * (whole.all.messages.saturating_sub(whole.needs + whole.aside));
        let rest = rest.saturating_sub(done.messages);
        let octets = (2 * whole.all.octets).saturating_sub(done.octets);
        let (messages_passed, octets_passed) =
            (last.messages.saturating_sub(first.messages), last.octets.saturating_sub(first.octets));
        if time < LEFT_AFTER || messages_passed == 0 || octets_passed == 0 || whole.all.octets == 0 {
            return None;
        }
        let by = |rest: u64, passed: u64| per(rest, Duration::from_secs(passed), time);
        Some(Duration::from_secs(by(rest, messages_passed).max(by(octets, octets_passed))))
    }
}

/// `amount` in `time`: so much in `unit`. With the times' roles changed, how long an amount takes.
fn per(amount: u64, time: Duration, unit: Duration) -> u64 {
    let of = u128::from(amount) * unit.as_millis() / time.as_millis().max(1);
    u64::try_from(of).unwrap_or(u64::MAX)
}

/// A time left as people say it: roughly.
pub fn roughly(left: Duration) -> String {
    let minutes = left.as_secs().div_ceil(60);
    match minutes {
        0 | 1 => "about a minute".into(),
        2..=90 => format!("about {minutes} minutes"),
        91..=2880 => format!("about {} hours", minutes.div_ceil(60)),
        _ => format!("about {} days", minutes.div_ceil(1440)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Part;

    fn row(there: u64, proven: u64) -> Row {
        let part = |messages| Part { messages, octets: 1000 * messages };
        Row { all: part(1000), there: part(there), proven: part(proven), ..Row::default() }
    }

    #[test]
    fn nothing_is_said_before_enough_was_seen() {
        let (start, mut speed) = (Instant::now(), Speed::default());
        assert_eq!((speed.per_minute(), speed.left(&row(0, 0))), (None, None));
        for second in 0..=4 {
            speed.see(start + Duration::from_secs(second), &row(10 * second, 10 * second));
        }
        assert_eq!(speed.per_minute(), None);
        speed.see(start + Duration::from_secs(10), &row(100, 100));
        assert_eq!(speed.per_minute(), Some(600));
        assert_eq!(speed.left(&row(100, 100)), None, "ten seconds say little of an hour");
        speed.see(start + Duration::from_secs(40), &row(400, 400));
        assert_eq!(speed.left(&row(400, 400)), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_run_that_stands_still_is_not_said_to_end_and_what_was_long_ago_does_not_count() {
        let (start, mut speed) = (Instant::now(), Speed::default());
        speed.see(start, &row(0, 0));
        speed.see(start + Duration::from_secs(30), &row(500, 500));
        for second in [90, 100, 130, 150] {
            speed.see(start + Duration::from_secs(second), &row(500, 500));
        }
        assert_eq!((speed.per_minute(), speed.left(&row(500, 500))), (None, None));
    }

    #[test]
    fn numbers_that_are_counted_anew_begin_anew() {
        let (start, mut speed) = (Instant::now(), Speed::default());
        speed.see(start, &row(500, 500));
        speed.see(start + Duration::from_secs(40), &row(100, 100));
        assert_eq!(speed.per_minute(), None);
    }

    #[test]
    fn the_time_left_is_rough() {
        for (seconds, text) in [
            (20, "about a minute"),
            (61, "about 2 minutes"),
            (5400, "about 90 minutes"),
            (5401, "about 2 hours"),
            (172_801, "about 3 days"),
        ] {
            assert_eq!(roughly(Duration::from_secs(seconds)), text);
        }
    }
}
