//! Pure: whether a migration can begin, what to know before, and what to do about each. What is looked at is gathered by
//! [`Migration::check`](crate::run::Migration::check), which changes nothing on either server.

mod judge;
#[cfg(test)]
mod tests;
mod words;

pub use judge::judge;
#[cfg(test)]
pub(crate) use judge::of_plan;

use crate::end::{Abilities, Rights, Space};
use crate::error::Error;
use crate::plain::{Plain, without_options};
use crate::plan::Plan;
use crate::progress::SideName;
use crate::report::exit_code_of;
use crate::report::words::full_sentence;
use crate::run::Probed;
use crate::survey::{SideSurvey, Survey};

/// All that was found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The old account.
    pub source: Checks,
    /// The new one.
    pub target: Checks,
    /// What would move, where both let us in and could be looked at.
    pub moving: Option<Moving>,
    /// What became of the probe of the new account, where one was asked for.
    pub probed: Option<Probed>,
    /// What stands in the way, then what is to be decided, then what is worth knowing.
    pub remarks: Vec<Remark>,
}

/// One side.
#[derive(Clone, Debug)]
pub struct Checks {
    /// The account: `imaps://ann@old.example:993`.
    pub account: String,
    /// What the server says of itself; none where nobody was let in.
    pub abilities: Option<Abilities>,
    /// How many connections it gives.
    pub connections: Option<Connections>,
    /// What it holds, where the other side did not let us in, so that there is no plan.
    pub alone: Option<SideSurvey>,
}

/// Connections at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// As many as a run would use.
    pub wanted: usize,
    /// As many as were given.
    pub given: usize,
    /// The server's words about the first that was not.
    pub refusal: Option<String>,
}

/// What would move.
#[derive(Clone, Debug)]
pub struct Moving {
    /// Both sides.
    pub survey: Survey,
    /// The plan.
    pub plan: Plan,
    /// Sizes, where they were listed.
    pub sizes: Sizes,
    /// The rights in the mailboxes of the plan.
    pub rights: Vec<RightsIn>,
    /// How long it may take.
    pub forecast: Forecast,
}

/// Sizes of the messages of the plan, by RFC822.SIZE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Octets of all messages: from the listing where there is one, else as told.
    pub octets: u64,
    /// Of these, what no earlier run has moved.
    pub remaining: u64,
    /// Messages whose size was listed.
    pub listed: u64,
    /// The largest of them, in octets.
    pub largest: Option<u64>,
    /// Of them, those that the new server does not take.
    pub too_large: u64,
    /// Of them, those with flags that the new server is known not to keep.
    pub flags_lost: u64,
    /// Of them, those with a date that it is known not to keep.
    pub dates_lost: u64,
}

/// What the user may do with a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightsIn {
    /// Which side.
    pub side: SideName,
    /// The mailbox, for display.
    pub mailbox: String,
    /// Mailboxes have to be made below it.
    pub parent: bool,
    /// The rights.
    pub rights: Rights,
}

/// How long a run may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// At the rates of [`limits`](crate::limits), in seconds: a guess.
    pub seconds: u64,
    /// At least so long for what may pass in a day.
    pub days: Vec<DayForecast>,
}

/// What a day's worth makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayForecast {
    /// Which side.
    pub side: SideName,
    /// What may pass in a day, in octets.
    pub octets_per_day: u64,
    /// At least so many seconds.
    pub seconds: u64,
}

/// How much a remark weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Nothing can begin before it is mended. With the exit code that says of what kind it is.
    Blocks(u8),
    /// A person decides it when the run is started, by an option.
    Decide,
    /// To be known.
    Worth,
}

/// Something to know, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How much it weighs.
    pub weight: Weight,
    /// Whose server it is about.
    pub side: Option<SideName>,
    /// What it is.
    pub what: String,
    /// What to do; empty where nothing has to be done.
    pub next: String,
    /// The same for somebody who types no options.
    pub plain: Plain,
}

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing stands in the way.
    Ready,
    /// Nothing stands in the way, and something is worth knowing.
    ReadyWithRemarks,
    /// Something stands in the way, or is to be decided first.
    NotReady,
}

impl Checked {
    /// The answer.
    pub fn verdict(&self) -> Verdict {
        match self.remarks.iter().map(|r| r.weight).min() {
            None if self.moving.as_ref().is_some_and(|moving| !moving.plan.cannot_go.is_empty()) => {
                Verdict::ReadyWithRemarks
            }
            None => Verdict::Ready,
            Some(Weight::Worth) => Verdict::ReadyWithRemarks,
            Some(Weight::Blocks(_) | Weight::Decide) => Verdict::NotReady,
        }
    }

    /// The exit code of docs/cli.md: 0 where nothing stands in the way.
    pub fn exit_code(&self) -> u8 {
        const ORDER: [u8; 7] = [130, 1, 12, 13, 14, 11, 2];
        let code = |remark: &Remark| match remark.weight {
            Weight::Blocks(code) => Some(code),
            Weight::Decide => Some(2),
            Weight::Worth => None,
        };
        let codes: Vec<u8> = self.remarks.iter().filter_map(code).collect();
        let first = ORDER.into_iter().find(|code| codes.contains(code));
        first.or(codes.first().copied()).unwrap_or(0)
    }
}

impl Remark {
    /// What stands in the way because of this failure.
    pub fn of(error: &Error) -> Self {
        let (side, next) = match error {
            Error::Source(end) => (Some(SideName::Source), end.next_step()),
            Error::Target(end) => (Some(SideName::Target), end.next_step()),
            _ => (None, None),
        };
        let weight = Weight::Blocks(exit_code_of(error));
        Self { weight, side, what: error.to_string(), next: next.unwrap_or_default(), plain: error.plainly() }
    }

    /// One whose words are fit for anybody, but for options of the command line.
    pub(crate) fn new(weight: Weight, side: Option<SideName>, what: String, next: &str) -> Self {
        let remark = Self { weight, side, what: String::new(), next: next.into(), plain: Plain::default() };
        let remark = remark.for_people(&without_options(&what), &without_options(next), "");
        Self { what, ..remark }
    }

    /// With other words for somebody who types no options: what it is and what to do, each with its full stop or without, and
    /// what an engineer needs.
    #[must_use]
    pub(crate) fn for_people(self, what: &str, next: &str, details: &str) -> Self {
        let whose = self.side.map_or("", |side| match side {
            SideName::Source => "Your old mailbox: ",
            SideName::Target => "Your new mailbox: ",
        });
        let next = Some(next).filter(|next| !next.is_empty());
        let plain = Plain {
            what: full_sentence(&format!("{whose}{what}")),
            next: next.map(full_sentence),
            ..Plain::default()
        };
        Self { plain: plain.details(details), ..self }
    }
}

/// Mailboxes and messages of a side's own mailboxes.
fn counts(side: &SideSurvey) -> (u64, u64) {
    let own = || side.mailboxes.iter().filter(|m| m.info.space == Space::Personal);
    let messages = own().filter_map(|m| m.info.counts).map(|c| c.messages);
    (side.mailboxes.len() as u64, messages.fold(0, u64::saturating_add))
}
