//! Pure: the accounting. Every source message ever listed is in exactly one bucket, and the sum closes (law 10).

use crate::identity::Grade;
use crate::journal::{Count, Item, MailboxRecord, State};
use std::collections::BTreeMap;

/// [`crate::journal::Reason::kind`] of a message whose octets at the target are not those that were fetched.
pub const DAMAGED: &str = "damaged";
/// [`crate::journal::Reason::kind`] of a message that the target confirmed and does not have.
pub const ABSENT: &str = "absent";
/// [`crate::journal::Reason::kind`] of a message that the target does not take for its octets: it may take them inside a cover
/// message (T8).
pub const REFUSED: &str = "refused";
/// [`crate::journal::Reason::kind`] of a message that the target does not take in any form: a virus, one equal message too many,
/// trouble that did not pass.
pub const FORBIDDEN: &str = "forbidden";
/// [`crate::journal::Reason::kind`] of a message that is larger than the target takes.
pub const TOO_BIG: &str = "too_big";
/// [`crate::journal::Reason::kind`] of a message that the source does not hand out.
pub const UNREADABLE: &str = "unreadable";
/// [`crate::journal::Reason::kind`] of a message in whose place the source hands out a notice.
pub const STUB: &str = "source_stub";
/// All kinds of exceptions.
pub const KINDS: [&str; 7] = [REFUSED, FORBIDDEN, TOO_BIG, UNREADABLE, STUB, DAMAGED, ABSENT];
/// Stands for a kind or rule that the journal does not name.
pub const UNNAMED: &str = "unnamed";

/// One summand of the accounting (cli.md).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bucket {
    /// Read back, with this grade; never [`Grade::Damaged`].
    Verified(Grade),
    /// At the target by the server's word, not read back.
    Stored,
    /// There before, recognised by content.
    AlreadyThere,
    /// Shares the copy of an equal message.
    Merged,
    /// Removed at the source before its copy.
    GoneAtSource,
    /// Removed at the target since.
    GoneAtTarget,
    /// Moved at the target since.
    MovedAtTarget,
    /// Left out by the rule of this name.
    Excluded(String),
    /// A person must look; the kind.
    Exception(String),
    /// Not done yet.
    Pending(State),
}

impl Bucket {
    /// The one bucket of an item. A grade contradicts no state silently: `verified` with damaged octets is an
    /// exception, and `verified` without a grade counts as not read back.
    pub fn of(state: State, grade: Option<Grade>, kind: Option<&str>) -> Self {
        let kind = || kind.unwrap_or(UNNAMED).to_owned();
        match (state, grade) {
            (State::Verified, Some(Grade::Damaged)) => Self::Exception(DAMAGED.to_owned()),
            (State::Verified, Some(grade)) => Self::Verified(grade),
            (State::Verified, None) | (State::Stored, _) => Self::Stored,
            (State::AlreadyThere, _) => Self::AlreadyThere,
            (State::Merged, _) => Self::Merged,
            (State::GoneAtSource, _) => Self::GoneAtSource,
            (State::GoneAtTarget, _) => Self::GoneAtTarget,
            (State::MovedAtTarget, _) => Self::MovedAtTarget,
            (State::Excluded, _) => Self::Excluded(kind()),
            (State::Exception, _) => Self::Exception(kind()),
            (
                State::Listed
                | State::Fetched
                | State::Committed
                | State::InDoubt
                | State::Refused
                | State::Unreadable
                | State::Suspect,
                _,
            ) => Self::Pending(state),
        }
    }

    /// The bucket of an item of the journal.
    pub fn of_item(item: &Item) -> Self {
        Self::of(item.state, item.grade, item.reason.as_ref().map(|r| r.kind.as_str()))
    }

    /// True when the target has the message, as far as is known.
    pub fn is_there(&self) -> bool {
        matches!(self, Self::Verified(_) | Self::Stored | Self::AlreadyThere | Self::Merged)
    }
}

/// Messages and octets by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    buckets: BTreeMap<Bucket, u64>,
    /// Octets of all of them.
    pub octets: u64,
    /// Octets of those that are at the target.
    pub octets_there: u64,
}

impl Tally {
    /// Adds messages to a bucket. Sums saturate: a journal that claims more is caught by the remainder.
    pub fn add(&mut self, bucket: Bucket, messages: u64, octets: u64) {
        self.octets = self.octets.saturating_add(octets);
        if bucket.is_there() {
            self.octets_there = self.octets_there.saturating_add(octets);
        }
        let held = self.buckets.entry(bucket).or_default();
        *held = held.saturating_add(messages);
    }

    /// Adds another tally.
    pub fn add_all(&mut self, other: &Self) {
        for (bucket, messages) in &other.buckets {
            let held = self.buckets.entry(bucket.clone()).or_default();
            *held = held.saturating_add(*messages);
        }
        self.octets = self.octets.saturating_add(other.octets);
        self.octets_there = self.octets_there.saturating_add(other.octets_there);
    }

    fn sum_where(&self, wanted: impl Fn(&Bucket) -> bool) -> u64 {
        let of = self.buckets.iter().filter(|(bucket, _)| wanted(bucket));
        of.fold(0, |sum, (_, messages)| sum.saturating_add(*messages))
    }

    /// All messages.
    pub fn sum(&self) -> u64 {
        self.sum_where(|_| true)
    }

    /// Messages in one bucket.
    pub fn of(&self, bucket: &Bucket) -> u64 {
        self.buckets.get(bucket).copied().unwrap_or(0)
    }

    /// Read back, whatever the grade.
    pub fn verified(&self) -> u64 {
        self.sum_where(|b| matches!(b, Bucket::Verified(_)))
    }

    /// At the target, read back or not.
    pub fn there(&self) -> u64 {
        self.sum_where(Bucket::is_there)
    }

    /// Removed or moved by somebody, on either side.
    pub fn gone(&self) -> u64 {
        self.sum_where(|b| matches!(b, Bucket::GoneAtSource | Bucket::GoneAtTarget | Bucket::MovedAtTarget))
    }

    /// Left out, by any rule.
    pub fn excluded(&self) -> u64 {
        self.sum_where(|b| matches!(b, Bucket::Excluded(_)))
    }

    /// Exceptions of any kind.
    pub fn exceptions(&self) -> u64 {
        self.sum_where(|b| matches!(b, Bucket::Exception(_)))
    }

    /// Not done yet.
    pub fn pending(&self) -> u64 {
        self.sum_where(|b| matches!(b, Bucket::Pending(_)))
    }

    /// Exceptions whose octets at the target differ or are absent.
    pub fn damaged_or_absent(&self) -> u64 {
        self.sum_where(|b| matches!(b, Bucket::Exception(kind) if kind == DAMAGED || kind == ABSENT))
    }

    /// Left out, by rule.
    pub fn excluded_by_rule(&self) -> BTreeMap<String, u64> {
        self.by(|b| if let Bucket::Excluded(rule) = b { Some(rule.clone()) } else { None })
    }

    /// Exceptions by kind.
    pub fn exceptions_by_kind(&self) -> BTreeMap<String, u64> {
        self.by(|b| if let Bucket::Exception(kind) = b { Some(kind.clone()) } else { None })
    }

    /// Pending by state.
    pub fn pending_by_state(&self) -> BTreeMap<String, u64> {
        self.by(|b| if let Bucket::Pending(state) = b { Some(state.as_str().to_owned()) } else { None })
    }

    fn by(&self, name: impl Fn(&Bucket) -> Option<String>) -> BTreeMap<String, u64> {
        self.buckets.iter().filter_map(|(b, n)| Some((name(b)?, *n))).collect()
    }

    /// How many messages two counts of the same mailbox disagree about: 0 exactly when every bucket agrees.
    pub fn disagreement(&self, other: &Self) -> u64 {
        let over = |a: &Self, b: &Self| {
            a.buckets.iter().fold(0u64, |sum, (bucket, n)| sum.saturating_add(n.saturating_sub(b.of(bucket))))
        };
        over(self, other).max(over(other, self))
    }
}

/// The accounting of one mailbox, counted in two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxTotals {
    /// The mailbox.
    pub mailbox: MailboxRecord,
    /// What the journal's own count says.
    pub counted: Tally,
    /// What came up when every message was walked for the manifest.
    pub walked: Tally,
}

impl MailboxTotals {
    /// Source messages of this mailbox that this migration ever listed.
    pub fn listed(&self) -> u64 {
        self.walked.sum()
    }

    /// Messages the two counts disagree about. Anything but 0 fails the run.
    pub fn remainder(&self) -> u64 {
        self.counted.disagreement(&self.walked)
    }
}

/// The accounting of a migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The sum of the journal's own counts.
    pub counted: Tally,
    /// The sum of what was walked.
    pub walked: Tally,
    remainder: u64,
}

impl Totals {
    /// Sums mailboxes up. A surplus in one does not make up for a lack in another.
    pub fn of<'a>(mailboxes: impl IntoIterator<Item = &'a MailboxTotals>) -> Self {
        let mut totals = Self::default();
        for mailbox in mailboxes {
            totals.counted.add_all(&mailbox.counted);
            totals.walked.add_all(&mailbox.walked);
            totals.remainder = totals.remainder.saturating_add(mailbox.remainder());
        }
        totals
    }

    /// Adds what the journal counts in mailboxes that it does not list: in no mailbox's accounting.
    pub(super) fn add_stray(&mut self, messages: u64) {
        self.remainder = self.remainder.saturating_add(messages);
    }

    /// Source messages this migration ever listed.
    pub fn listed(&self) -> u64 {
        self.walked.sum()
    }

    /// Messages that two counts disagree about: 0, or the run failed.
    pub fn remainder(&self) -> u64 {
        self.remainder
    }
}

/// Splits the journal's counts by mailbox, in the order of `mailboxes`; the rest belongs to none of them.
pub fn split(mailboxes: &[MailboxRecord], counts: &[Count]) -> (Vec<Tally>, u64) {
    let mut tallies = vec![Tally::default(); mailboxes.len()];
    let mut stray = 0u64;
    let places: BTreeMap<_, _> = mailboxes.iter().enumerate().map(|(at, m)| (m.id, at)).collect();
    for count in counts {
        let tally = places.get(&count.mailbox).and_then(|at| tallies.get_mut(*at));
        let bucket = Bucket::of(count.state, count.grade, count.kind.as_deref());
        match tally {
            Some(tally) => tally.add(bucket, count.items, count.octets),
            None => stray = stray.saturating_add(count.items),
        }
    }
    (tallies, stray)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grade() -> impl Strategy<Value = Option<Grade>> {
        proptest::option::of(prop_oneof![
            Just(Grade::Exact),
            Just(Grade::Newline),
            Just(Grade::Semantic),
            Just(Grade::Damaged)
        ])
    }

    fn kind() -> impl Strategy<Value = Option<String>> {
        proptest::option::of(
            prop_oneof![Just("refused"), Just(DAMAGED), Just("since")].prop_map(str::to_owned),
        )
    }

    type Row = (usize, Option<Grade>, Option<String>, u64);

    fn row() -> impl Strategy<Value = Row> {
        (0..State::ALL.len(), grade(), kind(), 0u64..5)
    }

    fn tally(rows: &[Row]) -> Tally {
        let mut tally = Tally::default();
        for (state, grade, kind, n) in rows {
            tally.add(Bucket::of(State::ALL[*state], *grade, kind.as_deref()), *n, 10 * n);
        }
        tally
    }

    proptest! {
        #[test]
        fn the_named_summands_make_up_all_messages(rows in proptest::collection::vec(row(), 0..60)) {
            let tally = tally(&rows);
            let all: u64 = rows.iter().map(|r| r.3).sum();
            let summands = tally.verified() + tally.of(&Bucket::Stored) + tally.of(&Bucket::AlreadyThere)
                + tally.of(&Bucket::Merged) + tally.gone() + tally.excluded() + tally.exceptions()
                + tally.pending();
            prop_assert_eq!(summands, all);
            prop_assert_eq!(tally.sum(), all);
            prop_assert_eq!(tally.octets, 10 * all);
            prop_assert_eq!(tally.disagreement(&tally), 0);
            let pending: u64 = rows.iter().filter(|r| State::ALL[r.0].is_pending()).map(|r| r.3).sum();
            prop_assert_eq!(tally.pending(), pending, "pending is what the state table calls pending");
        }

        #[test]
        fn any_change_of_one_message_is_a_disagreement(
            rows in proptest::collection::vec(row(), 1..20),
            other in row(),
        ) {
            let (whole, mut missing) = (tally(&rows), rows.clone());
            missing[0].3 += 1;
            prop_assert_eq!(tally(&missing).disagreement(&whole), 1, "one more");
            let mut moved = rows;
            moved[0].3 += 1;
            let before = tally(&moved);
            moved[0].3 -= 1;
            let mut other = other;
            other.3 = 1;
            moved.push(other.clone());
            let same = Bucket::of(State::ALL[moved[0].0], moved[0].1, moved[0].2.as_deref())
                == Bucket::of(State::ALL[other.0], other.1, other.2.as_deref());
            prop_assert_eq!(tally(&moved).disagreement(&before), u64::from(!same), "one elsewhere");
        }
    }

    #[test]
    fn damaged_octets_are_never_counted_as_verified() {
        assert_eq!(
            Bucket::of(State::Verified, Some(Grade::Damaged), None),
            Bucket::Exception(DAMAGED.into())
        );
        assert_eq!(Bucket::of(State::Verified, None, None), Bucket::Stored);
    }
}
