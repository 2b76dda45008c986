//! How long a run waited because a server asked for it, and who that was: for progress while it waits, and for the
//! report.

use crate::journal::Side;
use crate::quirks;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The waits of a run, by side.
#[derive(Debug, Default)]
pub struct Waits {
    source: Mutex<OfSide>,
    target: Mutex<OfSide>,
}

#[derive(Debug, Default)]
struct OfSide {
    /// The family of the server, once it is known.
    name: Option<&'static str>,
    times: u64,
    total: Duration,
    /// The end of the latest wait: what several connections wait for at once counts once.
    until: Option<Instant>,
}

/// What one side made a run wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// The server, as people call it.
    pub server: String,
    /// How often it asked.
    pub times: u64,
    /// How long the run waited in all, by the clock: several connections at once count once.
    pub total: Duration,
}

impl Waits {
    fn of(&self, side: Side) -> MutexGuard<'_, OfSide> {
        let of = match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        of.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server of a side is of this family.
    pub fn is_known_as(&self, side: Side, name: &'static str) {
        self.of(side).name = Some(name);
    }

    /// What people call the server of a side; before it is known, by the words it refuses with.
    pub fn server(&self, side: Side, words: &str) -> String {
        let known = self.of(side).name.or_else(|| quirks::spoken_by(words));
        known.unwrap_or(plain_name(side)).to_owned()
    }

    /// A wait that the server asked for begins.
    pub fn begin(&self, side: Side, wait: Duration) {
        let (mut of, now) = (self.of(side), Instant::now());
        let (from, until) = (of.until.map_or(now, |until| until.max(now)), now + wait);
        of.times += 1;
        of.total += until.saturating_duration_since(from);
        of.until = Some(until.max(from));
    }

    /// The wait did not last: the run was told to stop.
    pub fn cut_short(&self, side: Side) {
        let (mut of, now) = (self.of(side), Instant::now());
        if let Some(until) = of.until.filter(|until| *until > now) {
            of.total = of.total.saturating_sub(until - now);
            of.until = Some(now);
        }
    }

    /// What a side made the run wait for; `None` where it never asked.
    pub fn waited(&self, side: Side) -> Option<Waited> {
        let of = self.of(side);
        let server = of.name.unwrap_or(plain_name(side)).to_owned();
        (of.times > 0).then(|| Waited { server, times: of.times, total: of.total })
    }
}

fn plain_name(side: Side) -> &'static str {
    match side {
        Side::Source => "the old server",
        Side::Target => "the new server",
    }
}

impl std::fmt::Display for Waited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let times = if self.times == 1 { "once".to_owned() } else { format!("{} times", self.times) };
        write!(f, "{} asked to wait {times}, {} in all", self.server, spelled(self.total))
    }
}

/// A time as people say it, to the second.
pub fn spelled(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (h @ 48.., ..) => format!("{} days {} h", h / 24, h % 24),
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_several_connections_wait_for_at_once_counts_once() {
        let (waits, second) = (Waits::default(), Duration::from_secs(1));
        assert_eq!(waits.waited(Side::Target), None);
        waits.begin(Side::Target, 60 * second);
        tokio::time::advance(20 * second).await;
        waits.begin(Side::Target, 60 * second);
        waits.begin(Side::Target, 10 * second);
        tokio::time::advance(300 * second).await;
        waits.begin(Side::Target, 100 * second);
        tokio::time::advance(30 * second).await;
        waits.cut_short(Side::Target);
        let waited = waits.waited(Side::Target).unwrap();
        assert_eq!((waited.times, waited.total), (4, 110 * second));
        assert_eq!(waited.to_string(), "the new server asked to wait 4 times, 1 min 50 s in all");
        assert_eq!(waits.waited(Side::Source), None);
    }

    #[test]
    fn a_server_is_called_by_its_words_until_it_says_who_it_is() {
        let (waits, words) = (Waits::default(), "NO Request is throttled. Suggested Backoff Time: 1 ms");
        assert_eq!(waits.server(Side::Source, words), "Microsoft 365");
        assert_eq!(waits.server(Side::Source, "NO [LIMIT] x"), "the old server");
        waits.is_known_as(Side::Source, "Yahoo");
        assert_eq!(waits.server(Side::Source, words), "Yahoo");
    }

    #[test]
    fn times_are_spelled_as_people_say_them() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (330, "5 min 30 s"),
            (3600, "1 h"),
            (5430, "1 h 30 min"),
            (180_000, "2 days 2 h"),
        ] {
            assert_eq!(spelled(Duration::from_secs(seconds)), text);
        }
    }
}
