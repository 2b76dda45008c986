//! Pure: what a profile predicts for the mail that is to be moved: of each message, as far as its flags and date tell it; of
//! all, in sentences. It announces and decides nothing: each message is sent, read back and graded as without a profile.

use super::kept::Kept;
use super::letters;
use super::{Got, Profile, Treatment, Value};
use crate::message::{Flags, InternalDate};
use crate::names::printable;
use std::time::SystemTime;

/// What a message loses for all that its flags and date tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Keywords, or system flags.
    pub flags: bool,
    /// Its date.
    pub date: bool,
}

/// Kinds of keywords that servers treat alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    System,
    Dollar,
    Bracket,
    Long,
    Punctuated,
    Plain,
}

/// Longer keywords are of a kind of their own: Dovecot takes 50 octets (measured).
const LONG_OCTETS: usize = 50;

impl Profile {
    /// True where flags or dates of some messages are not kept: then they are worth being listed before.
    pub fn predicts_by_message(&self) -> bool {
        let values = self.flags.iter().chain(&self.dates).map(|value| &value.got);
        values.chain(&self.ahead).any(is_lost) || self.keywords_max.is_some()
    }

    /// What a message with these flags and this date loses that is sent now. What was not tried is not predicted; that several
    /// messages of a mailbox have more keywords between them than it keeps is not told either, since it is not known which of
    /// them come too late.
    pub fn predict(&self, flags: &Flags, date: Option<&InternalDate>, now: SystemTime) -> Lost {
        let lost = |flag: &[u8]| {
            let same = |value: &&Value| value.sent.split(' ').any(|sent| kind(sent.as_bytes()) == kind(flag));
            let exactly =
                |value: &&Value| value.sent.split(' ').any(|sent| sent.as_bytes().eq_ignore_ascii_case(flag));
            // A system flag is that flag alone; a keyword stands for its kind.
            let value = match kind(flag) {
                Kind::System => self.flags.iter().find(exactly),
                _ => self.flags.iter().find(exactly).or_else(|| self.flags.iter().find(same)),
            };
            value.is_some_and(|value| is_missing(flag, value))
        };
        let date = date.and_then(InternalDate::instant).is_some_and(|at| self.loses_date(at, now));
        let flags = flags.sendable();
        let keywords = flags.iter().filter(|flag| kind(flag) != Kind::System).count();
        let too_many = self.keywords_max.is_some_and(|most| keywords > most);
        Lost { flags: too_many || flags.iter().any(lost), date }
    }

    /// A date before one that is lost before all that are kept, or after one that is lost after all that are kept.
    fn loses_date(&self, at: i64, now: SystemTime) -> bool {
        let tried = self.dates_tried(now);
        let kept = || tried.iter().filter(|(_, lost)| !lost).map(|(at, _)| *at);
        let (Some(first), Some(last)) = (kept().min(), kept().max()) else { return false };
        let lost = || tried.iter().filter(|(_, lost)| *lost).map(|(at, _)| *at);
        lost().filter(|t| *t < first).max().is_some_and(|t| at <= t)
            || lost().filter(|t| *t > last).min().is_some_and(|t| at >= t)
    }

    /// The dates that were tried, as instants, and whether they were lost. The one that lay ahead of the probe stands for what
    /// lies as far ahead of now.
    fn dates_tried(&self, now: SystemTime) -> Vec<(i64, bool)> {
        let tried = |value: &Value| {
            InternalDate::from_octets(value.sent.clone()).instant().map(|at| (at, is_lost(&value.got)))
        };
        let ahead = |got: &Got| (letters::ahead_at(now).as_second(), is_lost(got));
        self.dates.iter().filter_map(tried).chain(self.ahead.as_ref().map(ahead)).collect()
    }
}

/// What is said before a list of changes.
pub(crate) const CHANGES_MESSAGES: &str =
    "the new server changes some kinds of messages; how many shows when they are read back";
/// What is said before a list of what was lost of what was tried.
pub(crate) const OF_THOSE_TRIED: &str = "that were tried";

impl Kept {
    /// What will change, in sentences; what is refused is a part of the plan by itself. One sentence where the profile is of another server.
    pub fn forecast(&self) -> Vec<String> {
        let day = self.day();
        if !self.fits {
            return vec![format!(
                "the new server was probed on {day}, when it was {}: that profile is not used; `check --probe` makes a new one",
                printable(&self.profile.server.product)
            )];
        }
        let mut forecast = Vec::new();
        let changes = |(what, treatment): (&str, &Treatment)| match treatment {
            Treatment::Changed { .. } | Treatment::Vanished | Treatment::EndsConnection { .. } => {
                Some(format!("{what}: {}", treatment.words()?))
            }
            _ => None,
        };
        let changes: Vec<String> = self.profile.treatments().into_iter().filter_map(changes).collect();
        if !changes.is_empty() {
            forecast.push(format!(
                "as probed on {day}, {CHANGES_MESSAGES}: {}. Each is graded",
                changes.join("; ")
            ));
        }
        if self.profile.dedupes == Some(true) {
            forecast
                .push(format!("as probed on {day}, of equal messages in a folder the new server keeps one"));
        }
        let lost = |values: &[Value], of: fn(&Value) -> String| -> Vec<String> {
            values.iter().filter(|v| is_lost(&v.got)).map(|v| printable(&of(v))).collect()
        };
        let mut dates = lost(&self.profile.dates, |date| date.sent.clone());
        if self.profile.ahead.as_ref().is_some_and(is_lost) {
            dates.push("any that lies two days ahead".into());
        }
        for (what, lost) in [("dates", dates), ("flags", lost(&self.profile.flags, lost_flags))] {
            if !lost.is_empty() {
                forecast.push(format!(
                    "as probed on {day}, the new server does not keep some of the {what} {OF_THOSE_TRIED}: {}",
                    lost.join(", ")
                ));
            }
        }
        if let Some(most) = self.profile.keywords_max {
            forecast.push(format!(
                "as probed on {day}, the new server keeps {most} different keywords in a mailbox: a message that brings more goes without its own"
            ));
        }
        forecast
    }
}

fn is_lost(got: &Got) -> bool {
    matches!(got, Got::Other { .. } | Got::Refused { .. })
}

/// Those of flags that were sent together that did not come back.
fn lost_flags(value: &Value) -> String {
    let Got::Other { read } = &value.got else { return value.sent.clone() };
    let read = Flags::from_octets(read.clone());
    let lost = value.sent.split(' ').filter(|flag| !read.contains(flag.as_bytes()));
    lost.collect::<Vec<_>>().join(" ")
}

/// The flag is not among what came back.
fn is_missing(flag: &[u8], value: &Value) -> bool {
    match &value.got {
        Got::Same | Got::Unknown => false,
        Got::Refused { .. } => true,
        Got::Other { read } => {
            let read = Flags::from_octets(read.clone());
            let of_kind = |sent: &str| kind(sent.as_bytes()) == kind(flag) && !read.contains(sent.as_bytes());
            match kind(flag) {
                Kind::System => !read.contains(flag),
                _ => value.sent.split(' ').any(of_kind),
            }
        }
    }
}

fn kind(flag: &[u8]) -> Kind {
    match flag {
        [b'\\', ..] => Kind::System,
        _ if flag.len() > LONG_OCTETS => Kind::Long,
        _ if flag.contains(&b']') => Kind::Bracket,
        [b'$', ..] => Kind::Dollar,
        _ if flag.iter().all(u8::is_ascii_alphanumeric) => Kind::Plain,
        _ => Kind::Punctuated,
    }
}
