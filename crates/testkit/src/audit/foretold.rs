//! Holds what was foretold before a migration against what became of each message.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Ended, Fate};

/// What was said before anything was sent.
#[derive(Clone, Debug, Default)]
pub struct Foretold {
    /// Kinds of messages that will not arrive as they are, in the words of the plan.
    pub kinds: BTreeSet<String>,
    /// Messages whose flags will not be kept, by mailbox (wire name) and UID.
    pub flags: BTreeSet<(String, u32)>,
    /// Messages whose date will not be kept.
    pub dates: BTreeSet<(String, u32)>,
}

/// What one message lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Octets, or it is not there.
    Octets(Ended),
    /// Flags.
    Flags,
    /// Its date.
    Date,
}

/// What was foretold, and what happened.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Losses that were foretold, and told afterwards.
    pub foretold: u64,
    /// Losses that were told afterwards alone, with the message.
    pub only_told: Vec<(Loss, Fate)>,
    /// What was foretold of messages that lost nothing of the kind: how many of each.
    pub came_to_nothing: BTreeMap<String, u64>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Octets(ended) => write!(f, "{ended:?}"),
            Self::Flags => f.write_str("flags"),
            Self::Date => f.write_str("date"),
        }
    }
}

impl Foretold {
    /// Compares with what became of all messages. One that shares its place with an equal one, or that a rule leaves out, lost
    /// nothing.
    #[must_use]
    pub fn compare(&self, fates: &[Fate]) -> Comparison {
        let mut comparison = Comparison::default();
        for fate in fates.iter().filter(|fate| !matches!(fate.ended, Ended::Merged | Ended::LeftOut)) {
            let place = (fate.mailbox.clone(), fate.uid);
            let kinds: Vec<&str> =
                fate.kinds.iter().copied().filter(|kind| self.kinds.contains(*kind)).collect();
            comparison.one(
                fate,
                Loss::Octets(fate.ended),
                fate.ended != Ended::Exact,
                (!kinds.is_empty()).then(|| kinds.join(" and ")),
            );
            // What is not there has neither flags nor date.
            if fate.ended != Ended::Refused {
                let told = |is: bool, what: String| is.then_some(what);
                let (flags, date) = (format!("flags {}", fate.flags), format!("date {}", fate.date));
                comparison.one(
                    fate,
                    Loss::Flags,
                    fate.flags_changed,
                    told(self.flags.contains(&place), flags),
                );
                comparison.one(fate, Loss::Date, fate.date_changed, told(self.dates.contains(&place), date));
            }
        }
        comparison
    }
}

impl Comparison {
    fn one(&mut self, fate: &Fate, loss: Loss, lost: bool, foretold: Option<String>) {
        match (lost, foretold) {
            (true, Some(_)) => self.foretold += 1,
            (true, None) => self.only_told.push((loss, fate.clone())),
            (false, Some(what)) => *self.came_to_nothing.entry(what).or_default() += 1,
            (false, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Line;
    use crate::date::InternalDate;
    use crate::image::Flags;

    fn fate(uid: u32, kinds: &[&'static str], ended: Ended) -> Fate {
        Fate {
            mailbox: "Mail".into(),
            uid,
            kinds: kinds.iter().copied().collect(),
            flags: Flags::new(["x]"]),
            date: InternalDate::utc(0),
            ended,
            only_carriage_returns: false,
            flags_changed: false,
            date_changed: false,
            line: Line(serde_json::Value::Null),
        }
    }

    #[test]
    fn a_loss_is_foretold_or_told_afterwards_and_what_was_foretold_and_did_not_happen_is_counted() {
        let foretold = Foretold {
            kinds: ["NUL".to_owned()].into(),
            flags: [("Mail".to_owned(), 1), ("Mail".to_owned(), 3)].into(),
            dates: [("Mail".to_owned(), 2)].into(),
        };
        let fates = [
            Fate { flags_changed: true, ..fate(1, &["NUL"], Ended::Damaged) },
            fate(2, &["NUL"], Ended::Refused),
            Fate { date_changed: true, ..fate(3, &["ordinary messages"], Ended::Semantic) },
            fate(4, &["NUL"], Ended::Exact),
            Fate { flags_changed: true, date_changed: true, ..fate(5, &["NUL"], Ended::Merged) },
        ];
        let compared = foretold.compare(&fates);
        assert_eq!(compared.foretold, 3, "two of octets, one of flags");
        let only_told: Vec<(Loss, u32)> =
            compared.only_told.iter().map(|(loss, fate)| (*loss, fate.uid)).collect();
        assert_eq!(only_told, [(Loss::Octets(Ended::Semantic), 3), (Loss::Date, 3)]);
        let nothing: Vec<(&str, u64)> =
            compared.came_to_nothing.iter().map(|(what, n)| (&**what, *n)).collect();
        assert_eq!(
            nothing,
            [("NUL", 1), ("flags (x])", 1)],
            "of a message that is not there no date is lost"
        );
    }
}
