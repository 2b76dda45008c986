//! Pure: the states of an item and the only moves between them. One table for code, docs and journal
//! (docs/design/journal.md shows the same).

use super::{Change, Item, ItemId, ListedItem, Reason};

/// Where a source message stands. Every message ever listed is in exactly one of these (law 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Seen at the source, nothing done yet.
    Listed,
    /// Its octets are complete, counted and hashed in this process.
    Fetched,
    /// Its batch is durable; the target may have it from the moment the gate opens.
    Committed,
    /// The connection was lost after the gate: stored or not, to be found out by content.
    InDoubt,
    /// The target has it: by APPENDUID, by a content match, or by a tagged OK without a UID.
    Stored,
    /// Its octets were read back by another session and agree to a grade.
    Verified,
    /// It was at the target before this migration, found by content, and adopted.
    AlreadyThere,
    /// The target answered with the UID of an equal message it already held for another source message.
    Merged,
    /// Left out by a named rule.
    Excluded,
    /// The target refused it; the ladder runs.
    Refused,
    /// The source would not give its octets.
    Unreadable,
    /// A person must look: refused for good, unreadable for good, damaged or absent at the target.
    Exception,
    /// Removed at the source before it could be copied, with proof.
    GoneAtSource,
    /// Removed at the target after it was stored and read, by somebody else.
    GoneAtTarget,
    /// Moved at the target after it was stored, by somebody else.
    MovedAtTarget,
    /// The target's epoch changed and the message was not found again.
    Suspect,
}

impl State {
    /// All states, in the order of the tables.
    pub const ALL: [Self; 16] = [
        Self::Listed,
        Self::Fetched,
        Self::Committed,
        Self::InDoubt,
        Self::Stored,
        Self::Verified,
        Self::AlreadyThere,
        Self::Merged,
        Self::Excluded,
        Self::Refused,
        Self::Unreadable,
        Self::Exception,
        Self::GoneAtSource,
        Self::GoneAtTarget,
        Self::MovedAtTarget,
        Self::Suspect,
    ];

    /// The word in journal, report and manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Fetched => "fetched",
            Self::Committed => "committed",
            Self::InDoubt => "in_doubt",
            Self::Stored => "stored",
            Self::Verified => "verified",
            Self::AlreadyThere => "already_there",
            Self::Merged => "merged",
            Self::Excluded => "excluded",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Exception => "exception",
            Self::GoneAtSource => "gone_at_source",
            Self::GoneAtTarget => "gone_at_target",
            Self::MovedAtTarget => "moved_at_target",
            Self::Suspect => "suspect",
        }
    }

    /// Reads the word that [`State::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// The states an item may move to. A state that may be written again with other facts lists itself.
    pub fn next(self) -> &'static [Self] {
        use State::*;
        match self {
            Listed => &[Fetched, Excluded, Unreadable, GoneAtSource, AlreadyThere],
            Fetched => &[Committed, Listed, Refused],
            Committed => &[Stored, Merged, Refused, InDoubt, Listed],
            InDoubt => &[InDoubt, Stored, Listed],
            Stored => &[Stored, Verified, Merged, Exception, GoneAtTarget, MovedAtTarget, Suspect, Listed],
            Verified => &[Verified, Merged, Exception, GoneAtTarget, MovedAtTarget, Suspect, Listed],
            AlreadyThere => &[AlreadyThere, Exception, GoneAtTarget, MovedAtTarget, Suspect],
            Merged => &[Merged, Exception, GoneAtTarget, MovedAtTarget, Suspect],
            Excluded => &[Listed],
            Refused => &[Fetched, Exception, Listed],
            Unreadable => &[Exception, Listed, GoneAtSource],
            Exception => &[Listed],
            GoneAtSource | GoneAtTarget | MovedAtTarget => &[],
            Suspect => &[Stored, Merged, Listed],
        }
    }

    /// True when an item may move from here to `to`.
    pub fn may_become(self, to: Self) -> bool {
        self.next().contains(&to)
    }

    /// True for the states counted as `pending` in the accounting (cli.md).
    pub fn is_pending(self) -> bool {
        use State::*;
        matches!(self, Listed | Fetched | Committed | InDoubt | Refused | Unreadable | Suspect)
    }

    /// True for the states in which a batch that is closed leaves a message it stored.
    pub(super) fn is_stored(self) -> bool {
        matches!(self, Self::Stored | Self::Verified | Self::Merged)
    }

    /// True for the states that own a place at the target.
    pub fn holds_claim(self) -> bool {
        use State::*;
        matches!(self, Stored | Verified | AlreadyThere | Exception | GoneAtTarget | MovedAtTarget | Suspect)
    }
}

/// The moves that a listing makes of a known message, from the rule that excluded it last (`known`) to the rule that
/// excludes it now. Rules touch what is `listed` or `excluded` alone: what is further on its way stays.
pub(super) fn moves_of_rules(id: ItemId, at: State, known: Option<&str>, rule: Option<&str>) -> Vec<Change> {
    let leave = (at == State::Excluded && rule != known).then(|| Change::to(id, State::Listed));
    let excludes = rule.filter(|_| at == State::Listed || leave.is_some());
    let enter = excludes.map(|rule| Change::to(id, State::Excluded).because(Reason::new(rule, "")));
    leave.into_iter().chain(enter).collect()
}

/// A message as a listing shows it first.
pub(super) fn item_of(id: ItemId, listed: &ListedItem) -> Item {
    let excluded = listed.excluded.as_ref().map(|rule| Reason::new(rule.clone(), ""));
    Item {
        state: if excluded.is_some() { State::Excluded } else { State::Listed },
        flags: listed.flags.clone(),
        internal_date: listed.internal_date.clone(),
        lineage: listed.lineage.clone(),
        reason: excluded,
        ..Item::listed(id, listed.octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_read_back() {
        for s in State::ALL {
            assert_eq!(State::parse(s.as_str()), Some(s));
        }
    }

    #[test]
    fn every_pending_state_can_still_end_and_no_other_state_is_pending_by_mistake() {
        for s in State::ALL {
            assert!(!s.is_pending() || !s.next().is_empty(), "{s:?} is pending for ever");
        }
    }

    #[test]
    fn nothing_is_stored_without_a_durable_commit_before() {
        for s in [State::Listed, State::Fetched, State::Refused] {
            assert!(!s.may_become(State::Stored));
        }
    }
}
