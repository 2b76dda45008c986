//! What is reported of one mailbox: the accounting, the listings of both sides, and what they say of each other.

use super::differences::{Differences, Differs, judge};
use super::manifest::Epochs;
use super::totals::{Bucket, MailboxTotals, Tally};
use super::uids::Ranges;
use super::{DAMAGED, LadderCounts};
use crate::journal::{
    Baseline, Decision, Epoch, EpochFacts, EpochId, Item, Ladder, Origin, RunId, Side, Sighting, State,
};
use crate::message::Key;

/// The latest complete listing of a mailbox on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideListing {
    /// The run that made it.
    pub run: RunId,
    /// It was made by the run that is reported on.
    pub this_run: bool,
    /// It belongs to the current epoch.
    pub current: bool,
    /// What the server said when the mailbox was opened.
    pub facts: EpochFacts,
    /// Number of UIDs; `None` if the journal's set cannot be read.
    pub messages: Option<u64>,
}

/// One side of a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideEntry {
    /// What was seen last in the current epoch.
    pub last: Option<EpochFacts>,
    /// The latest complete listing.
    pub listing: Option<SideListing>,
}

/// What is reported of one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxEntry {
    /// The mailbox and its accounting.
    pub totals: MailboxTotals,
    /// At the old server.
    pub source: SideEntry,
    /// At the new server.
    pub target: SideEntry,
    /// What was decided about mail that was there before.
    pub baseline: Option<Baseline>,
    /// Why it could not be finished in this run.
    pub left: Option<String>,
    /// Flags and dates.
    pub differences: Differences,
    /// Differences of flags were announced and accepted.
    pub flags_announced: bool,
    /// Differences of dates were announced and accepted.
    pub dates_announced: bool,
    /// Steps of the ladder.
    pub ladder: LadderCounts,
    /// Copied, and no longer in the latest listing of the source.
    pub deleted_at_source: u64,
    /// In the latest listing of the source, and unknown to the journal.
    pub unknown_at_source: u64,
    /// Should be at the target, and are not in its latest listing.
    pub missing_at_target: u64,
    /// At the target by the server's word, without a UID: no listing can show them.
    pub unplaced: u64,
    /// In the latest listing of the target, and not ours: other mail, or a surplus. `None` without a listing.
    pub foreign_at_target: Option<u64>,
    /// Target messages that more than one source message claims.
    pub double_claims: u64,
}

impl MailboxEntry {
    /// The mailbox moves.
    pub fn moves(&self) -> bool {
        matches!(self.totals.mailbox.decision, Decision::Move(_))
    }

    /// The target's name, if it moves.
    pub fn target_name(&self) -> Option<&str> {
        match &self.totals.mailbox.decision {
            Decision::Move(name) => Some(&name.text),
            Decision::Exclude(_) | Decision::Refuse(_) => None,
        }
    }

    /// Cannot be carried, and holds mail.
    pub fn is_refused_with_mail(&self) -> bool {
        matches!(self.totals.mailbox.decision, Decision::Refuse(_))
            && (self.totals.mailbox.messages.is_some_and(|n| n > 0) || self.totals.listed() > 0)
    }

    /// What it holds at the source is not known as of this run. `copies` says whether the run lists the source.
    pub fn is_unlisted(&self, copies: bool) -> bool {
        match self.totals.mailbox.decision {
            Decision::Exclude(_) => false,
            Decision::Refuse(_) => self.totals.mailbox.messages.is_none(),
            Decision::Move(_) => match &self.source.listing {
                _ if self.left.is_some() => true,
                None => true,
                Some(listing) => {
                    (copies && !listing.this_run) || !listing.current || self.unknown_at_source > 0
                }
            },
        }
    }

    /// The target holds messages of ours and was not listed completely in this run.
    pub fn is_target_unlisted(&self) -> bool {
        let listed = self.target.listing.as_ref().is_some_and(|l| l.this_run && l.messages.is_some());
        self.moves() && self.totals.walked.there() > 0 && (!listed || self.unplaced > 0)
    }

    /// Differences that nobody was told of.
    pub fn unannounced_differences(&self) -> u64 {
        self.differences.unannounced(self.flags_announced, self.dates_announced)
    }
}

/// What is known of one side before the messages are walked.
#[derive(Clone, Debug, Default)]
pub(super) struct SideView {
    /// UIDVALIDITY by epoch.
    pub(super) epochs: Epochs,
    /// What is reported.
    pub(super) entry: SideEntry,
    /// The UIDs of the latest listing, and their epoch.
    uids: Option<(EpochId, Ranges)>,
}

impl SideView {
    /// Puts together what the journal knows.
    pub(super) fn new(epochs: &[Epoch], sighting: Option<(RunId, Sighting)>, run: Option<RunId>) -> Self {
        let current = epochs.last();
        let (listing, uids) = match sighting {
            None => (None, None),
            Some((seen_in, sighting)) => {
                let uids = Ranges::parse(&sighting.uids);
                let listing = SideListing {
                    run: seen_in,
                    this_run: run == Some(seen_in),
                    current: current.is_some_and(|e| e.id == sighting.epoch),
                    messages: uids.as_ref().map(Ranges::len),
                    facts: sighting.facts,
                };
                (Some(listing), uids.map(|uids| (sighting.epoch, uids)))
            }
        };
        Self {
            epochs: epochs.iter().map(|e| (e.id, e.facts.uid_validity.0)).collect(),
            entry: SideEntry { last: current.map(|e| e.facts.clone()), listing },
            uids,
        }
    }

    /// Whether the latest listing shows this UID; `None` when it cannot tell.
    pub(super) fn shows(&self, epoch: EpochId, key: Key) -> Option<bool> {
        let (listed, uids) = self.uids.as_ref()?;
        (*listed == epoch).then(|| uids.contains(key))
    }

    fn messages(&self) -> Option<u64> {
        self.uids.as_ref().map(|(_, uids)| uids.len())
    }
}

/// The walk over the messages of one mailbox. Holds sums and the claimed UIDs (16 octets each), no messages.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) source: SideView,
    pub(super) target: SideView,
    walked: Tally,
    differences: Differences,
    ladder: LadderCounts,
    matched_at_source: u64,
    deleted_at_source: u64,
    missing_at_target: u64,
    unplaced: u64,
    /// Claimed places; not shared ones, nor those of messages that must be found again.
    claims: Vec<(EpochId, Key)>,
}

impl Walk {
    pub(super) fn new(source: SideView, target: SideView) -> Self {
        Self {
            source,
            target,
            walked: Tally::default(),
            differences: Differences::default(),
            ladder: LadderCounts::default(),
            matched_at_source: 0,
            deleted_at_source: 0,
            missing_at_target: 0,
            unplaced: 0,
            claims: Vec::new(),
        }
    }

    /// Counts one message: its bucket, and what differs.
    pub(super) fn item(&mut self, item: &Item) -> (Bucket, Differs) {
        let bucket = Bucket::of_item(item);
        let octets = item.sent.as_ref().map_or(item.octets, |s| s.fetched.octets);
        self.walked.add(bucket.clone(), 1, octets);
        let differs = judge(item);
        self.differences.add(&differs);
        if let Some(sent) = &item.sent {
            self.ladder.line_ends += u64::from(sent.ladder.has(Ladder::LINE_ENDS));
            self.ladder.no_keywords += u64::from(sent.ladder.has(Ladder::NO_KEYWORDS));
            self.ladder.no_date += u64::from(sent.ladder.has(Ladder::NO_DATE));
            self.ladder.encoded += u64::from(sent.ladder.has(Ladder::ENCODED));
            self.ladder.wrapped += u64::from(sent.ladder.has(Ladder::WRAPPED));
        }
        match self.source.shows(item.id.epoch, item.id.key) {
            Some(true) => self.matched_at_source += 1,
            Some(false) if item.place.is_some() || bucket.is_there() => self.deleted_at_source += 1,
            Some(false) | None => {}
        }
        self.place(item, &bucket);
        (bucket, differs)
    }

    fn place(&mut self, item: &Item, bucket: &Bucket) {
        let damaged = matches!(bucket, Bucket::Exception(kind) if kind == DAMAGED);
        let should_be_there = bucket.is_there() || damaged;
        let Some(place) = item.place else {
            self.unplaced += u64::from(bucket.is_there());
            return;
        };
        if item.origin != Some(Origin::Shared) && item.state != State::Suspect {
            self.claims.push((place.epoch, place.uid));
        }
        // A listing of another epoch says nothing about this UID, and its absence there is no news.
        let shown = self.target.shows(place.epoch, place.uid);
        let other_epoch = self.target.uids.as_ref().is_some_and(|(epoch, _)| *epoch != place.epoch);
        if should_be_there && (shown == Some(false) || other_epoch) {
            self.missing_at_target += 1;
        }
    }

    /// The entry, once all messages were counted.
    pub(super) fn finish(mut self, context: Context) -> MailboxEntry {
        self.claims.sort_unstable();
        let all = self.claims.len();
        self.claims.dedup();
        let double_claims = (all - self.claims.len()) as u64;
        let shown =
            self.claims.iter().filter(|(epoch, key)| self.target.shows(*epoch, *key) == Some(true)).count();
        let unknown_at_source =
            self.source.messages().map_or(0, |listed| listed.saturating_sub(self.matched_at_source));
        MailboxEntry {
            totals: MailboxTotals { mailbox: context.mailbox, counted: context.counted, walked: self.walked },
            foreign_at_target: self.target.messages().map(|listed| listed.saturating_sub(shown as u64)),
            source: self.source.entry,
            target: self.target.entry,
            baseline: context.baseline,
            left: context.left,
            differences: self.differences,
            flags_announced: context.flags_announced,
            dates_announced: context.dates_announced,
            ladder: self.ladder,
            deleted_at_source: self.deleted_at_source,
            unknown_at_source,
            missing_at_target: self.missing_at_target,
            unplaced: self.unplaced,
            double_claims,
        }
    }
}

/// What is known of a mailbox beside its messages.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) mailbox: crate::journal::MailboxRecord,
    pub(super) counted: Tally,
    pub(super) baseline: Option<Baseline>,
    pub(super) left: Option<String>,
    pub(super) flags_announced: bool,
    pub(super) dates_announced: bool,
}

/// Both sides of a mailbox, as the journal knows them.
pub(super) async fn sides<J: crate::journal::Journal>(
    journal: &J,
    mailbox: crate::journal::MailboxId,
    run: Option<RunId>,
) -> Result<Walk, crate::error::Error> {
    let mut views = Vec::with_capacity(2);
    for side in [Side::Source, Side::Target] {
        let epochs = journal.epochs(mailbox, side).await?;
        views.push(SideView::new(&epochs, journal.last_sighting(mailbox, side).await?, run));
    }
    let target = views.pop().unwrap_or_default();
    Ok(Walk::new(views.pop().unwrap_or_default(), target))
}
