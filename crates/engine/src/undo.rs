//! Removes from the target exactly what this migration put there and nobody changed since.
//!
//! Only messages that this migration appended and read back, whose flags are still those of the first read-back.
//! Adopted, merged and doubtful ones stay, and so do mailboxes. Where the mailbox has another UIDVALIDITY than the claims,
//! nothing is removed: its UIDs are other messages (law 6). The intent is durable before anything is removed (law 8);
//! what was removed returns to `listed`, also when the undo was stopped before it could say so.

mod intent;

pub use intent::settle;

use crate::context::{Context, at};
use crate::end::{Depth, Seen, Source, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::journal::{Change, Item, Journal, Origin, Side, State};
use crate::message::Key;
use crate::transfer::job::{Job, Losses, Pages, Sessions};
use crate::transfer::resolve::read_at_once;
use intent::Intents;
use std::collections::{BTreeMap, BTreeSet};

/// What an undo did in one mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Removed.
    pub removed: u64,
    /// Kept, because somebody changed it since.
    pub touched: u64,
    /// Already gone.
    pub gone: u64,
    /// Kept, because it is not certain that this migration put it there.
    pub not_ours: u64,
}

/// How many messages of a mailbox an undo would remove at most.
pub async fn preview<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<u64, Error> {
    let mut pages = Pages::new(ctx, job.record.id, &[State::Stored, State::Verified]);
    let mut count = 0;
    while let Some(page) = pages.next().await? {
        count += page.iter().filter(|i| is_ours(i, job)).count() as u64;
    }
    Ok(count)
}

/// Appended or copied by us, with a place in the present epoch, and read back, so that "untouched" has a meaning.
fn is_ours(item: &Item, job: &Job) -> bool {
    matches!(item.origin, Some(Origin::Appended | Origin::Copied))
        && item.read_back.is_some()
        && item.place.is_some_and(|p| p.epoch == job.target_epoch.id)
}

/// Undoes one mailbox.
pub async fn undo<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<Undone, Error> {
    let abilities = sessions.target(ctx).await?.abilities();
    if !abilities.expunges_by_uid {
        return Err(Error::Target(EndError::Unsupported {
            server: abilities.product.clone(),
            what: "it cannot remove single messages (no UID EXPUNGE, RFC 4315)".into(),
            hint: "remove the mailboxes by hand".into(),
        }));
    }
    settle(ctx, sessions, job).await?;
    let intents = Intents::read(ctx, job).await?;
    let mut undone = Undone::default();
    let mut pages = Pages::new(ctx, job.record.id, &[State::Stored, State::Verified]);
    while let Some(page) = pages.next().await? {
        let (ours, others): (Vec<Item>, Vec<Item>) = page.into_iter().partition(|i| is_ours(i, job));
        undone.not_ours += others.len() as u64;
        let ours: BTreeMap<Key, Item> = ours.into_iter().filter_map(|i| Some((i.place?.uid, i))).collect();
        if !ours.is_empty() {
            undo_page(ctx, sessions, job, &ours, &intents, &mut undone).await?;
        }
    }
    Ok(undone)
}

async fn undo_page<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    ours: &BTreeMap<Key, Item>,
    intents: &Intents,
    undone: &mut Undone,
) -> Result<(), Error> {
    let uids: Vec<Key> = ours.keys().copied().collect();
    let mut losses = Losses::new(ctx);
    // The flags as they are now, read just before; with CONDSTORE the MODSEQ makes the STORE refuse a change made
    // since.
    let seen = loop {
        match read_facts(sessions.target(ctx).await?, job, &uids).await {
            Ok(seen) => break seen,
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    };
    let Some(seen) = seen else {
        undone.not_ours += ours.len() as u64;
        return Ok(());
    };
    let there: BTreeMap<Key, &Seen> = seen.iter().map(|s| (s.uid, s)).collect();
    let untouched: Vec<(Key, Option<u64>)> = seen
        .iter()
        .filter(|s| ours.get(&s.uid).is_some_and(|i| is_untouched(i, s, intents)))
        .map(|s| (s.uid, s.mod_seq))
        .collect();
    undone.touched += (there.len() - untouched.len()) as u64;
    undone.gone += (ours.len() - there.len()) as u64;
    if untouched.is_empty() {
        return Ok(());
    }
    let doomed: Vec<Key> = untouched.iter().map(|(uid, _)| *uid).collect();
    intent::begin(ctx, job, &doomed).await?;
    ctx.probe.pass("undo").await;
    let session = sessions.target(ctx).await?;
    let epoch = job.target_epoch.facts.uid_validity;
    let removed =
        session.remove(&job.target.wire, epoch, &untouched).await.map_err(|e| at(Side::Target, e))?;
    let Some(removed) = removed else {
        undone.not_ours += untouched.len() as u64;
        return intent::end(ctx, job, 0).await;
    };
    let removed: BTreeSet<Key> = removed.into_iter().collect();
    let changes: Vec<Change> = ours
        .iter()
        .filter(|(uid, _)| removed.contains(uid))
        .map(|(_, item)| Change::to(item.id, State::Listed))
        .collect();
    undone.touched += (untouched.len() - removed.len()) as u64;
    undone.removed += changes.len() as u64;
    ctx.journal.change(&changes).await?;
    intent::end(ctx, job, changes.len()).await
}

/// The facts of these messages as they are now, ascending by UID; `None` where the mailbox has another UIDVALIDITY.
async fn read_facts<S: TargetSession>(
    session: &mut S,
    job: &Job,
    uids: &[Key],
) -> Result<Option<Vec<Seen>>, EndError> {
    let opened = session.open(&job.target.wire).await?;
    if opened.facts.uid_validity != job.target_epoch.facts.uid_validity {
        return Ok(None);
    }
    read_at_once(session, uids, Depth::Facts).await.map(Some)
}

/// The flags are those of the first read-back. `\Deleted` alone was set by an undo that did not come to its end, where one
/// named the message.
fn is_untouched(item: &Item, seen: &Seen, intents: &Intents) -> bool {
    item.read_back.as_ref().is_some_and(|first| {
        let without_ours = || seen.flags.without(|flag| flag.eq_ignore_ascii_case(b"\\Deleted"));
        first.flags == seen.flags || (intents.name(seen.uid) && first.flags == without_ours())
    })
}
