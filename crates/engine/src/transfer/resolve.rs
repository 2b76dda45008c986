//! Finding out what became of messages whose fate, or whose UID, is unknown: by content, among unclaimed UIDs
//! (law 4, integrity.md 6.4).
//!
//! All of a mailbox's doubt is one multiset, together with its stored messages of unknown UID, which are served
//! first. "Not stored" is concluded only from a scan that began after the settle time.

use super::epochs::refresh_target;
use super::job::{Job, Losses, Pages, Sessions};
use super::meaning::{self, There};
use super::replace;
use crate::clock::Stamp;
use crate::context::Context;
use crate::end::{Depth, Seen, Source, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::identity::{Candidate, pair_up};
use crate::journal::{
    BatchEnd, Change, Item, ItemId, Journal, MailboxId, Note, OpenBatch, Origin, Place, State,
};
use crate::message::{Digest, Key};
#[cfg(mailhaul_mutants)]
use crate::mutants::Mutant;
use crate::pacer::Pacer;
use crate::progress::Progress;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::sync::mpsc;

/// First wait between two scans; it doubles up to [`SCAN_WAIT_MAX`].
const SCAN_WAIT_MIN: Duration = Duration::from_millis(250);
/// Longest wait between two scans.
const SCAN_WAIT_MAX: Duration = Duration::from_secs(4);

/// What a mailbox does not know about its messages.
#[derive(Debug, Default)]
struct Doubt {
    batches: Vec<OpenBatch>,
    /// Stored, with an unknown UID.
    unplaced: BTreeMap<ItemId, Candidate<ItemId>>,
    /// Stored or not.
    doubtful: BTreeMap<ItemId, Candidate<ItemId>>,
}

impl Doubt {
    fn is_none(&self) -> bool {
        self.batches.is_empty() && self.unplaced.is_empty() && self.doubtful.is_empty()
    }

    /// The messages that are not among those found.
    fn without(&self, found: &HashMap<ItemId, Key>) -> Self {
        let left = |of: &BTreeMap<ItemId, Candidate<ItemId>>| {
            of.iter().filter(|(id, _)| !found.contains_key(id)).map(|(id, c)| (*id, *c)).collect()
        };
        Self { batches: Vec::new(), unplaced: left(&self.unplaced), doubtful: left(&self.doubtful) }
    }

    /// The same messages by what they say, as far as the source gives them; whether it may give more later.
    async fn saying<S: Source, T: Target, J: Journal>(
        &self,
        ctx: &Context<S, T, J>,
        sessions: &mut Sessions<S, T>,
        job: &Job,
    ) -> Result<(Self, bool), Error> {
        let messages = |of: &BTreeMap<ItemId, Candidate<ItemId>>| of.values().copied().collect::<Vec<_>>();
        let unplaced = meaning::of_items(ctx, sessions, job, &messages(&self.unplaced)).await?;
        let doubtful = meaning::of_items(ctx, sessions, job, &messages(&self.doubtful)).await?;
        let said = Self { batches: Vec::new(), unplaced: unplaced.read, doubtful: doubtful.read };
        Ok((said, unplaced.later || doubtful.later))
    }
}

/// What resolving found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Found at the target and claimed.
    pub found: u64,
    /// Proven not stored: `listed` again.
    pub not_stored: u64,
}

/// Resolves all doubt of a mailbox. `lost` is the moment its last connection was aborted; without one (after a
/// restart) the count starts at the first good login.
pub async fn resolve<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    lost: Option<Stamp>,
) -> Result<Resolved, Error> {
    let doubt = gather(ctx, job.record.id).await?;
    if doubt.is_none() {
        return Ok(Resolved::default());
    }
    let messages = (doubt.unplaced.len() + doubt.doubtful.len()) as u64;
    ctx.bus.tell(Progress::Resolving { mailbox: job.record.id.0, messages });
    sessions.target(ctx).await?;
    let since = lost.unwrap_or_else(|| ctx.clock.now());
    let settle = ctx.settle();
    let (mut wait, mut unread_scans) = (SCAN_WAIT_MIN, 0);
    loop {
        ctx.probe.pass("resolve: scan").await;
        let settled = doubt.doubtful.is_empty() || ctx.clock.at_least_since(since) >= settle;
        let Some(Scan { found, unread, .. }) = scan(ctx, sessions, job, &doubt, settled).await? else {
            // Another epoch began meanwhile. What is certainly there is found again first.
            if let Err(refusal) = refresh_target(ctx, sessions, job).await? {
                let (server, doing) = ("the new server".to_owned(), "EXAMINE");
                return Err(Error::Target(EndError::Refused { server, doing, refusal }));
            }
            continue;
        };
        #[cfg(mailhaul_mutants)]
        let found = if Mutant::BlindResend.is_on() { HashMap::new() } else { found };
        let all = found.len() == doubt.unplaced.len() + doubt.doubtful.len();
        if settled && unread > 0 {
            // What is there and was not read may be ours (law 7): it is asked for again on another connection.
            unread_scans += 1;
            sessions.abort_target();
        }
        if all || (settled && (unread == 0 || unread_scans >= ctx.settings.limits.read_attempts_max)) {
            return conclude(ctx, job, &doubt, &found).await;
        }
        let left = settle.saturating_sub(ctx.clock.at_least_since(since));
        ctx.sleep(wait.min(left.max(Duration::from_millis(1)))).await?;
        wait = (wait * 2).min(SCAN_WAIT_MAX);
    }
}

/// Marks every open batch as lost and collects what is doubtful.
async fn gather<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    mailbox: MailboxId,
) -> Result<Doubt, Error> {
    let batches = ctx.journal.open_batches(mailbox).await?;
    let mut doubt = unsettled(ctx, mailbox).await?;
    for batch in &batches {
        let doubtful = batch.items.iter().filter(|id| doubt.doubtful.contains_key(id));
        let changes: Vec<Change> = doubtful.map(|id| Change::to(*id, State::InDoubt)).collect();
        ctx.journal.end_batch(batch.id, BatchEnd::Lost, &changes).await?;
    }
    doubt.batches = batches;
    Ok(doubt)
}

/// What the journal does not know of a mailbox, without its batches.
async fn unsettled<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    mailbox: MailboxId,
) -> Result<Doubt, Error> {
    let mut doubt = Doubt::default();
    let mut pages = Pages::new(ctx, mailbox, &[State::Committed, State::InDoubt]);
    while let Some(page) = pages.next().await? {
        doubt.doubtful.extend(page.iter().filter_map(as_sent));
    }
    let mut after = None;
    loop {
        let page = ctx.journal.unplaced(mailbox, after, ctx.settings.limits.journal_page_rows).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        doubt.unplaced.extend(page.iter().filter_map(as_sent));
    }
    Ok(doubt)
}

/// Claims by content the stored messages of unknown UID, when no writer is at work any more. Returns those that were
/// not found. Of a mailbox in doubt, or of another epoch, nothing is claimed and nothing told: its next writer
/// resolves all of it together. `by_meaning`: what is left is also paired by what it says.
pub async fn place_stored<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    by_meaning: bool,
) -> Result<BTreeSet<ItemId>, Error> {
    let doubt = unsettled(ctx, job.record.id).await?;
    if doubt.unplaced.is_empty() || !doubt.doubtful.is_empty() {
        return Ok(BTreeSet::new());
    }
    let scanned = scan(ctx, sessions, job, &doubt, by_meaning).await?;
    let Some(Scan { found, unread, later }) = scanned else { return Ok(BTreeSet::new()) };
    let placed: Vec<Change> = found.iter().map(|(id, uid)| found_at(job, *id, *uid)).collect();
    ctx.journal.change(&placed).await?;
    if unread > 0 || later {
        // What is there and was not read may be one of them (law 7): of none of them absence is known.
        return Ok(BTreeSet::new());
    }
    Ok(doubt.unplaced.into_keys().filter(|id| !found.contains_key(id)).collect())
}

fn found_at(job: &Job, id: ItemId, uid: Key) -> Change {
    Change::to(id, State::Stored).at(job.place(uid), Origin::Found)
}

/// A message as it went out.
fn as_sent(item: &Item) -> Option<(ItemId, Candidate<ItemId>)> {
    let sent = item.sent.as_ref()?;
    Some((item.id, Candidate::new(item.id, sent.sent, sent.internal_date.as_ref())))
}

/// A message as it was read back; where it never was, as it went out.
fn as_kept(item: &Item) -> Option<(ItemId, Candidate<ItemId>)> {
    let read = item.read_back.as_ref().and_then(|r| Some((r.fingerprint?, r.internal_date.as_ref())));
    match read {
        Some((fingerprint, date)) => Some((item.id, Candidate::new(item.id, fingerprint, date))),
        None => as_sent(item),
    }
}

/// What one reading of the window gave.
struct Scan {
    /// Items and the UIDs that answer to them.
    found: HashMap<ItemId, Key>,
    /// Messages that are listed in the window and came without octets, or not at all.
    unread: usize,
    /// Messages that were not found may be among those in the window: it cannot be known yet what they say.
    later: bool,
}

/// Reads the window and pairs; `None` when the mailbox has another epoch than the job says. `by_meaning`: what is left on both
/// sides is read once more and paired by what it says, for the target may rewrite what it stores.
async fn scan<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    doubt: &Doubt,
    by_meaning: bool,
) -> Result<Option<Scan>, Error> {
    let from = window(job, doubt);
    let claimed = claimed_from(ctx, job, from).await?;
    let mut losses = Losses::new(ctx);
    let (seen, wanted) = loop {
        match read_unclaimed(&ctx.pace.target_reading, sessions.target(ctx).await?, job, from, &claimed).await
        {
            Ok(Some(read)) => break read,
            Ok(None) => return Ok(None),
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    };
    let there: Vec<Candidate<Key>> = seen
        .iter()
        .filter(|s| wanted.contains(&s.uid))
        .filter_map(|s| {
            let measured = s.measured?;
            Some(Candidate::new(s.uid, measured.fingerprint, s.internal_date.as_ref()))
        })
        .collect();
    let unread = wanted.len().saturating_sub(there.len());
    let mut scan = Scan { found: pair(doubt, &there), unread, later: false };
    let left = doubt.without(&scan.found);
    let free = unpaired(&there, &scan.found);
    if by_meaning && !free.is_empty() && !left.is_none() {
        let Some(There { read, unread }) = meaning::of_target(ctx, sessions, job, &free).await? else {
            return Ok(None);
        };
        let (left, later) = left.saying(ctx, sessions, job).await?;
        scan.found.extend(pair(&left, &read));
        (scan.unread, scan.later) = (scan.unread + unread, later);
    }
    Ok(Some(scan))
}

fn unpaired(there: &[Candidate<Key>], found: &HashMap<ItemId, Key>) -> Vec<Candidate<Key>> {
    let taken: BTreeSet<Key> = found.values().copied().collect();
    there.iter().filter(|c| !taken.contains(&c.id)).copied().collect()
}

/// Stored messages of unknown UID are served first: each of them certainly is there, so a candidate must not go
/// to a doubtful one before.
fn pair(doubt: &Doubt, found: &[Candidate<Key>]) -> HashMap<ItemId, Key> {
    let wanted =
        |of: &BTreeMap<ItemId, Candidate<ItemId>>| of.values().copied().collect::<Vec<Candidate<ItemId>>>();
    let mut pairs: HashMap<ItemId, Key> = pair_up(&wanted(&doubt.unplaced), found).into_iter().collect();
    let rest = unpaired(found, &pairs);
    pairs.extend(pair_up(&wanted(&doubt.doubtful), &rest));
    pairs
}

/// The first UID that can be one of ours: the least UIDNEXT of the open batches; for stored messages of unknown
/// UID, whose batch is closed, the baseline. Never below it: what was there before is not ours.
fn window(job: &Job, doubt: &Doubt) -> Key {
    let batches = doubt.batches.iter().filter(|b| b.epoch == job.target_epoch.id).map(|b| b.uid_next);
    let base = (!doubt.unplaced.is_empty()).then(|| job.baseline_start());
    batches.chain(base).min().unwrap_or(Key(1)).max(job.baseline_start())
}

/// The UIDs of the target's epoch that are no candidates: claimed, or damaged copies of messages that are sent once more.
pub async fn claimed_from<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    from: Key,
) -> Result<BTreeSet<Key>, Error> {
    let mut claimed = claims_from(ctx, job, from).await?;
    claimed.extend(replace::uids_in(ctx, job).await?);
    Ok(claimed)
}

/// The claimed UIDs of the target's epoch from `from` on: of this mailbox, and of messages of others that somebody
/// moved here.
pub(super) async fn claims_from<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    from: Key,
) -> Result<BTreeSet<Key>, Error> {
    #[cfg(mailhaul_mutants)]
    if Mutant::SharedClaims.is_on() {
        return Ok(BTreeSet::new());
    }
    let limit = ctx.settings.limits.journal_page_rows;
    let mut claimed = BTreeSet::new();
    for record in ctx.journal.mailboxes().await? {
        let mut next = from;
        loop {
            let page = ctx.journal.claims(record.id, job.target_epoch.id, next, limit).await?;
            let Some((last, _)) = page.last() else { break };
            next = Key(last.0 + 1);
            claimed.extend(page.iter().map(|(uid, _)| *uid));
        }
    }
    Ok(claimed)
}

/// Reads the octets of all messages of the mailbox from `from` on that are in nobody's claim: what came, and what was
/// asked for; `None` in another epoch.
async fn read_unclaimed<S: TargetSession>(
    pacer: &Pacer,
    session: &mut S,
    job: &Job,
    from: Key,
    claimed: &BTreeSet<Key>,
) -> Result<Option<(Vec<Seen>, BTreeSet<Key>)>, EndError> {
    let listing = session.open_and_list(&job.target.wire).await?;
    if listing.opened.facts.uid_validity != job.target_epoch.facts.uid_validity {
        return Ok(None);
    }
    let wanted: Vec<Key> = listing.keys.into_iter().filter(|k| *k >= from && !claimed.contains(k)).collect();
    let seen = read_all(pacer, session, &wanted, Depth::Octets).await?;
    Ok(Some((seen, wanted.into_iter().collect())))
}

/// Opens a mailbox, reads messages and collects what was seen, ascending by UID.
pub async fn open_and_read<S: TargetSession>(
    pacer: &Pacer,
    session: &mut S,
    job: &Job,
    uids: &[Key],
    depth: Depth,
) -> Result<Vec<Seen>, EndError> {
    session.open(&job.target.wire).await?;
    read_all(pacer, session, uids, depth).await
}

/// Reads messages of the opened mailbox and collects what was seen, ascending by UID. Where octets move no faster than a
/// rate, their sizes are asked for first.
pub async fn read_all<S: TargetSession>(
    pacer: &Pacer,
    session: &mut S,
    uids: &[Key],
    depth: Depth,
) -> Result<Vec<Seen>, EndError> {
    if depth == Depth::Facts || pacer.piece_octets().is_none() {
        return read_at_once(session, uids, depth).await;
    }
    let sized: Vec<(Key, u64)> =
        read_at_once(session, uids, Depth::Facts).await?.iter().map(|s| (s.uid, s.octets)).collect();
    let mut all = Vec::with_capacity(sized.len());
    for piece in pieces(&sized, pacer.piece_octets()) {
        let announced = piece.iter().map(|(_, octets)| octets).sum();
        pacer.turn().await?.pay(announced);
        let uids: Vec<Key> = piece.iter().map(|(uid, _)| *uid).collect();
        let seen = read_at_once(session, &uids, depth).await?;
        pacer.correct(announced, seen.iter().filter_map(|s| Some(s.measured?.fingerprint.octets)).sum());
        all.extend(seen);
    }
    Ok(all)
}

/// Cuts messages of these sizes into pieces of at most `octets_max`; a longer message is a piece of its own. One piece
/// where there is no such limit.
pub fn pieces(sized: &[(Key, u64)], octets_max: Option<u64>) -> Vec<&[(Key, u64)]> {
    let octets_max = octets_max.unwrap_or(u64::MAX);
    let (mut pieces, mut rest) = (Vec::new(), sized);
    while !rest.is_empty() {
        let mut octets = 0u64;
        let fits = |(_, more): &&(Key, u64)| {
            octets = octets.saturating_add(*more);
            octets <= octets_max
        };
        let (piece, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        pieces.push(piece);
        rest = others;
    }
    pieces
}

/// As [`read_all`], whatever the rate: for facts.
pub async fn read_at_once<S: TargetSession>(
    session: &mut S,
    uids: &[Key],
    depth: Depth,
) -> Result<Vec<Seen>, EndError> {
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let (tx, mut rx) = mpsc::channel(64);
    let collect = async {
        let mut all = Vec::new();
        while let Some(seen) = rx.recv().await {
            all.push(seen);
        }
        all
    };
    let (read, mut all) = tokio::join!(session.read(uids, depth, tx), collect);
    read?;
    all.sort_by_key(|s: &Seen| s.uid);
    Ok(all)
}

async fn conclude<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &mut Job,
    doubt: &Doubt,
    found: &HashMap<ItemId, Key>,
) -> Result<Resolved, Error> {
    ctx.probe.pass("resolve: conclude").await;
    let stored = |id: &ItemId, uid: &Key| found_at(job, *id, *uid);
    let placed: Vec<Change> =
        doubt.unplaced.keys().filter_map(|id| found.get(id).map(|uid| stored(id, uid))).collect();
    ctx.journal.change(&placed).await?;
    let mut result = Resolved { found: found.len() as u64, not_stored: 0 };
    for batch in &doubt.batches {
        let mut changes = Vec::new();
        for id in batch.items.iter().filter(|id| doubt.doubtful.contains_key(id)) {
            match found.get(id) {
                Some(uid) => changes.push(stored(id, uid)),
                None => {
                    result.not_stored += 1;
                    changes.push(Change::to(*id, State::Listed));
                }
            }
        }
        note_doubts(ctx, job, batch, doubt, found).await?;
        ctx.journal.end_batch(batch.id, BatchEnd::Resolved, &changes).await?;
    }
    if let Some(highest) = found.values().max() {
        ctx.stored.tell(job.record.id, found.len());
        job.uid_next = job.uid_next.max(Key(highest.0 + 1));
    }
    Ok(result)
}

/// What cannot be told apart from outside is said (integrity.md 6.5).
async fn note_doubts<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    batch: &OpenBatch,
    doubt: &Doubt,
    found: &HashMap<ItemId, Key>,
) -> Result<(), Error> {
    let doubtful: Vec<&ItemId> = batch.items.iter().filter(|id| doubt.doubtful.contains_key(id)).collect();
    let keys: Vec<Key> = doubtful.iter().map(|id| id.key).collect();
    let pairs: HashMap<Key, Key> =
        doubtful.iter().filter_map(|id| found.get(id).map(|uid| (id.key, *uid))).collect();
    let note = |kind: &str, text: String| Note {
        kind: kind.into(),
        mailbox: Some(job.record.id),
        key: keys.first().copied(),
        text,
    };
    // Also of a whole batch in its order: somebody may have stored just that, and ours not be there.
    if !pairs.is_empty() {
        let text = format!(
            "{} messages of {} were found on the new server by their content after the connection was lost; should \
             somebody else have stored identical copies in that moment, one of theirs may have been taken for ours",
            pairs.len(),
            job.record.source.text
        );
        ctx.journal.note(note("doubt:claimed_by_content", text)).await?;
    }
    let resent = keys.len() - pairs.len();
    if resent > 0 {
        let text = format!(
            "{resent} messages of {} were not on the new server {} s after the connection was lost, and are sent \
             again; should the first copy appear later, it is a surplus",
            job.record.source.text,
            ctx.settle().as_secs()
        );
        ctx.journal.note(note("doubt:resent", text)).await?;
    }
    Ok(())
}

/// Looks for messages whose claim belongs to another epoch among the unclaimed ones of the present one, by content
/// (integrity.md 6.7). What the server had merged with another message goes where that one is found. Those not found stay
/// `suspect`: they are never sent again by number.
pub async fn rebind<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<(), Error> {
    let (mut suspects, mut all) = (Doubt::default(), Vec::new());
    let mut pages = Pages::new(ctx, job.record.id, &[State::Suspect]);
    while let Some(page) = pages.next().await? {
        suspects.doubtful.extend(page.iter().filter_map(as_kept));
        all.extend(page);
    }
    if suspects.doubtful.is_empty() {
        return Ok(());
    }
    let Some(Scan { found, .. }) = scan(ctx, sessions, job, &suspects, true).await? else { return Ok(()) };
    // In one transaction: once the one is found, its old place is not known any more.
    let mut changes: Vec<Change> = found.iter().map(|(id, uid)| found_at(job, *id, *uid)).collect();
    changes.extend(merged_again(job, &all, &found));
    Ok(ctx.journal.change(&changes).await?)
}

/// The messages that shared an old place with one of those found: they share its new one.
fn merged_again(job: &Job, suspects: &[Item], found: &HashMap<ItemId, Key>) -> Vec<Change> {
    let octets = |i: &Item| i.sent.as_ref().map(|s| s.sent.normal);
    let owner = |i: &Item| Some(((i.place?, octets(i)?), *found.get(&i.id)?));
    let owners: HashMap<(Place, Digest), Key> = suspects.iter().filter_map(owner).collect();
    let shared = suspects.iter().filter(|i| i.origin == Some(Origin::Shared) && !found.contains_key(&i.id));
    let to = |i: &Item| {
        let uid = owners.get(&(i.place?, octets(i)?))?;
        Some(Change::to(i.id, State::Merged).at(job.place(*uid), Origin::Shared))
    };
    shared.filter_map(to).collect()
}
