//! What is at the target after the last write: one complete UID listing against the claims (law 7), and what that says
//! of messages that are not in it.

use super::moved::{self, Moved};
use super::{ghosts, hold, replaced};
use crate::clock::Stamp;
use crate::context::Context;
use crate::diff::{Step, walk};
use crate::end::{Source, Target, UidListing};
use crate::error::{EndError, Error, Question};
use crate::journal::{Change, Item, ItemId, Journal, Origin, Reason, Side, State};
use crate::message::Key;
use crate::progress::Progress;
use crate::transfer::copy::save_sighting;
use crate::transfer::job::{Job, Pages, Sessions, list_target, list_targets};
use crate::transfer::resolve::place_stored;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// First wait between two listings; it doubles up to the settle time.
const LIST_WAIT_MIN: Duration = Duration::from_millis(250);

/// Compares the claims of a mailbox with one complete UID listing made after the last write, and looks by content
/// for stored messages whose UID the server never told. Returns a question when so much is missing that a person must
/// look. `first` is what the first look gave, where it was made together with that at other mailboxes.
///
/// Absence is not evidence (law 7): NOOP and EXAMINE come before each listing, a new connection before the next, and
/// the one that may conclude starts after the settle time.
pub async fn presence<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    first: Option<Looked>,
) -> Result<Option<Question>, Error> {
    let began = first.as_ref().map_or_else(|| ctx.clock.now(), |first| first.began);
    let (mut wait, mut first) = (LIST_WAIT_MIN, first);
    loop {
        let (settled, looked) = match first.take() {
            Some(looked) => (false, looked),
            None => {
                let settled = ctx.clock.at_least_since(began) >= ctx.settle();
                // Before the listing, which then holds what is claimed here.
                let unplaced = place_stored(ctx, sessions, job, settled).await?;
                ctx.probe.pass("list the target").await;
                (settled, Looked { began, unplaced, listing: list_target(ctx, sessions, job).await? })
            }
        };
        let Looked { unplaced, listing, .. } = looked;
        if listing.opened.facts.uid_validity != job.target_epoch.facts.uid_validity {
            return Ok(None);
        }
        let (missing, claimed) = missing_claims(ctx, job, &listing.keys).await?;
        if listing.is_complete() && (settled || (missing.is_empty() && unplaced.is_empty())) {
            return conclude(ctx, sessions, job, &listing, Absent { missing, unplaced, claimed }).await;
        }
        if settled {
            return Ok(None);
        }
        sessions.abort_target();
        ctx.sleep(wait).await?;
        wait = (wait * 2).min(ctx.settle());
    }
}

/// A look at a mailbox: its listing, and what before it was stored without a UID and not found by content.
#[derive(Debug)]
pub struct Looked {
    began: Stamp,
    unplaced: BTreeSet<ItemId>,
    listing: UidListing,
}

/// Looks at several mailboxes, at the cost of one round trip where the end can list them together. `None` for each that
/// must be looked at by itself.
pub async fn look_at_each<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    jobs: &[&Job],
) -> Result<Vec<Option<Looked>>, Error> {
    let began = ctx.clock.now();
    let mut unplaced = Vec::with_capacity(jobs.len());
    for job in jobs {
        unplaced.push(match place_stored(ctx, sessions, job, false).await {
            Ok(unplaced) => Some(unplaced),
            // It is met again when the mailbox is looked at by itself.
            Err(Error::Target(EndError::Refused { .. })) => None,
            Err(error) => return Err(error),
        });
    }
    ctx.probe.pass("list the target").await;
    let listings = list_targets(ctx, sessions, jobs).await?;
    let looked = |(unplaced, listing): (Option<_>, Option<UidListing>)| {
        Some(Looked { began, unplaced: unplaced?, listing: listing? })
    };
    Ok(unplaced.into_iter().zip(listings).map(looked).collect())
}

/// What a complete listing does not show.
struct Absent {
    /// Claimed, and their UID is not there.
    missing: BTreeSet<ItemId>,
    /// Stored without a UID, and not found by content.
    unplaced: BTreeSet<ItemId>,
    /// All claims.
    claimed: u64,
}

/// Writes what the last listing says. The sighting comes last: a run that ends before it has proven nothing.
async fn conclude<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    listing: &UidListing,
    absent: Absent,
) -> Result<Option<Question>, Error> {
    let Absent { mut missing, unplaced, claimed } = absent;
    conclude_unplaced(ctx, job, &unplaced).await?;
    let moved = moved::find(ctx, sessions, job, &missing).await?;
    conclude_moved(ctx, job, &moved).await?;
    missing.retain(|id| !moved.contains_key(id));
    replaced::settle(ctx, sessions, job, &mut missing, &listing.keys).await?;
    let question = hold::question(ctx, job, missing.len() as u64, claimed).await?;
    conclude_missing(ctx, job, &missing, question.is_some()).await?;
    ghosts::sweep(ctx, sessions, job, &listing.keys).await?;
    save_sighting(
        ctx,
        job.record.id,
        Side::Target,
        job.target_epoch.id,
        &listing.opened.facts,
        &listing.keys,
    )
    .await?;
    Ok(question)
}

/// The server said OK, never told a UID, and has no such message after the settle time.
async fn conclude_unplaced<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    unplaced: &BTreeSet<ItemId>,
) -> Result<(), Error> {
    let changes: Vec<Change> = unplaced.iter().map(|id| absent(ctx, job, *id)).collect();
    Ok(ctx.journal.change(&changes).await?)
}

/// The exception of a message that the server confirmed and does not have.
fn absent<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>, job: &Job, id: ItemId) -> Change {
    let text = format!("the new server confirmed it, and it is not in {}", job.target.text);
    let (mailbox, key, kind) = (id.mailbox.0, id.key.0, "absent".to_owned());
    ctx.bus.tell(Progress::Exception { mailbox, key, kind, text: text.clone() });
    Change::to(id, State::Exception).because(Reason::new("absent", text))
}

/// Claims that are not in the listing, and the number of claims. Both walk ascending, page by page.
async fn missing_claims<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    there: &[Key],
) -> Result<(BTreeSet<ItemId>, u64), Error> {
    let limit = ctx.settings.limits.journal_page_rows;
    let (mut next, mut missing, mut claimed, mut rest) = (Key(1), BTreeSet::new(), 0, there);
    loop {
        let page = ctx.journal.claims(job.record.id, job.target_epoch.id, next, limit).await?;
        let Some((last, _)) = page.last() else { break };
        next = Key(last.0 + 1);
        let here = rest.partition_point(|k| *k < next);
        let owners: BTreeMap<Key, ItemId> = page.iter().copied().collect();
        let steps = walk(owners.keys().copied(), rest[..here].iter().copied());
        missing.extend(steps.filter_map(|s| match s {
            Step::OnlyExpected(uid) => owners.get(&uid).copied(),
            Step::OnlyFound(_) | Step::Both(_) => None,
        }));
        claimed += owners.len() as u64;
        rest = &rest[here..];
    }
    Ok((still_there(ctx, job, missing).await?, claimed))
}

/// The states that say: it is at the target.
const CLAIMING: &[State] = &[State::Stored, State::Verified, State::AlreadyThere];

/// Only those whose state says that they should be there.
async fn still_there<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    missing: BTreeSet<ItemId>,
) -> Result<BTreeSet<ItemId>, Error> {
    if missing.is_empty() {
        return Ok(missing);
    }
    let mut expected = BTreeSet::new();
    let mut pages = Pages::new(ctx, job.record.id, CLAIMING);
    while let Some(page) = pages.next().await? {
        expected.extend(page.iter().map(|i| i.id).filter(|id| missing.contains(id)));
    }
    Ok(expected)
}

/// Found in other mailboxes: moved by somebody. What the server merged with one of them went with it.
async fn conclude_moved<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    moved: &BTreeMap<ItemId, Moved>,
) -> Result<(), Error> {
    if moved.is_empty() {
        return Ok(());
    }
    let change = |item: &Item, to: &Moved, origin| {
        let (uid, mailbox) = (to.place.uid, &to.mailbox);
        let text = format!("somebody moved it from {} to {mailbox}, where it is UID {uid}", job.target.text);
        Change::to(item.id, State::MovedAtTarget).at(to.place, origin).because(Reason::new("moved", text))
    };
    let mut by_uid: BTreeMap<Key, &Moved> = BTreeMap::new();
    let mut pages = Pages::new(ctx, job.record.id, CLAIMING);
    while let Some(page) = pages.next().await? {
        let mut changes = Vec::new();
        for item in &page {
            let Some(to) = moved.get(&item.id) else { continue };
            by_uid.extend(item.place.map(|p| (p.uid, to)));
            changes.push(change(item, to, Origin::Found));
        }
        ctx.journal.change(&changes).await?;
    }
    let mut pages = Pages::new(ctx, job.record.id, &[State::Merged]);
    while let Some(page) = pages.next().await? {
        let shared = |i: &Item| {
            let place = i.place.filter(|p| p.epoch == job.target_epoch.id)?;
            Some(change(i, by_uid.get(&place.uid)?, Origin::Shared))
        };
        let changes: Vec<Change> = page.iter().filter_map(shared).collect();
        ctx.journal.change(&changes).await?;
    }
    Ok(())
}

/// Missing and never read back: absent, an exception. Read back or adopted before and now missing: removed by
/// somebody since, a remark; past the guard it stays as it is until a person has looked.
async fn conclude_missing<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    missing: &BTreeSet<ItemId>,
    guarded: bool,
) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(());
    }
    let mut pages = Pages::new(ctx, job.record.id, CLAIMING);
    let mut removed = BTreeSet::new();
    while let Some(page) = pages.next().await? {
        let mut changes = Vec::new();
        for item in page.iter().filter(|i| missing.contains(&i.id)) {
            if !was_seen(item) {
                changes.push(absent(ctx, job, item.id));
            } else if !guarded {
                removed.extend(item.place.map(|p| p.uid));
                changes.push(gone(item));
            }
        }
        ctx.journal.change(&changes).await?;
    }
    conclude_merged(ctx, job, &removed).await
}

/// The message was at the target: it was read back, or adopted. An OK alone is no evidence.
pub(super) fn was_seen(item: &Item) -> bool {
    item.state != State::Stored || item.read_back.is_some()
}

fn gone(item: &Item) -> Change {
    let text = "it was there, and is not any more".to_owned();
    Change::to(item.id, State::GoneAtTarget).because(Reason::new("removed", text))
}

/// Messages that the server merged went with the one they share a UID with.
async fn conclude_merged<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    removed: &BTreeSet<Key>,
) -> Result<(), Error> {
    if removed.is_empty() {
        return Ok(());
    }
    let mut pages = Pages::new(ctx, job.record.id, &[State::Merged]);
    while let Some(page) = pages.next().await? {
        let shared =
            |i: &&Item| i.place.is_some_and(|p| p.epoch == job.target_epoch.id && removed.contains(&p.uid));
        let changes: Vec<Change> = page.iter().filter(shared).map(gone).collect();
        ctx.journal.change(&changes).await?;
    }
    Ok(())
}
