//! Ghosts (integrity.md 6.6): messages that the server stored after all, later than the settle time or against its own
//! NO. They are reported as possible duplicates and never removed.

use crate::context::Context;
use crate::end::{Depth, Source, Target};
use crate::error::Error;
use crate::identity::{Candidate, Grade, pair_up};
use crate::journal::{BatchId, Count, ItemId, Journal, Note, Side, State};
use crate::message::{Fingerprint, Key};
use crate::transfer::copy::highest;
use crate::transfer::job::{Job, Losses, Pages, Sessions};
use crate::transfer::meaning;
use crate::transfer::resolve::{claimed_from, open_and_read};
use std::collections::BTreeSet;

/// Kind of the note that names a ghost.
pub const GHOST: &str = "ghost";

/// What an APPEND of this migration may still bring to light in a mailbox.
#[derive(Debug, Default)]
struct Expected {
    /// The least UID that one of them can have.
    from: Option<Key>,
    sent: Vec<Candidate<ItemId>>,
    /// Those of them that were confirmed and never seen.
    absent: BTreeSet<ItemId>,
}

/// Compares what nobody claims among the UIDs `there`, a complete listing, with what was sent and concluded not to be
/// stored. UIDs up to the highest of the sighting before were looked at then: numbers only grow (RFC 9051, 2.3.1.1).
pub(super) async fn sweep<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    there: &[Key],
) -> Result<(), Error> {
    let expected = expected(ctx, job).await?;
    let Some(from) = expected.from else { return Ok(()) };
    let from = from.max(unseen_from(ctx, job).await?);
    let claimed = claimed_from(ctx, job, from).await?;
    let uids: Vec<Key> = there.iter().filter(|k| **k >= from && !claimed.contains(k)).copied().collect();
    if uids.is_empty() {
        return Ok(());
    }
    let mut losses = Losses::new(ctx);
    let seen = loop {
        match open_and_read(&ctx.pace.target_reading, sessions.target(ctx).await?, job, &uids, Depth::Octets)
            .await
        {
            Ok(seen) => break seen,
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    };
    let found: Vec<Candidate<Key>> =
        seen.iter().filter_map(|s| s.measured.map(|m| Candidate::new(s.uid, m.fingerprint, None))).collect();
    let mut ghosts: BTreeSet<Key> = pair_up(&expected.sent, &found).into_iter().map(|(_, uid)| uid).collect();
    let free: Vec<Candidate<Key>> = found.into_iter().filter(|c| !ghosts.contains(&c.id)).collect();
    ghosts.extend(rewritten(ctx, sessions, job, &expected, &free).await?);
    for uid in ghosts {
        tell(ctx, job, uid).await?;
    }
    Ok(())
}

/// Which of these messages say what was sent: at a target that rewrote others, or has never shown that one.
async fn rewritten<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    expected: &Expected,
    free: &[Candidate<Key>],
) -> Result<Vec<Key>, Error> {
    if free.is_empty() {
        return Ok(Vec::new());
    }
    let rewrites = |c: &Count| c.items > 0 && c.grade == Some(Grade::Semantic);
    let mut wanted = expected.sent.clone();
    if !ctx.journal.counts_of(job.record.id).await?.iter().any(rewrites) {
        wanted.retain(|sent| expected.absent.contains(&sent.id));
    }
    let wanted = meaning::of_items(ctx, sessions, job, &wanted).await?;
    let wanted: Vec<Candidate<ItemId>> = wanted.read.into_values().collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // Another epoch: what is there has not been looked at, and the next run does.
    let there = meaning::of_target(ctx, sessions, job, free).await?.unwrap_or_default();
    Ok(pair_up(&wanted, &there.read).into_iter().map(|(_, uid)| uid).collect())
}

/// The first UID that no earlier sweep has seen.
async fn unseen_from<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<Key, Error> {
    let seen = ctx.journal.last_sighting(job.record.id, Side::Target).await?;
    let seen = seen.filter(|(_, s)| s.epoch == job.target_epoch.id).and_then(|(_, s)| highest(&s.uids));
    Ok(seen.map_or(Key(1), |last| Key(last.0 + 1)))
}

async fn expected<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<Expected, Error> {
    let limit = ctx.settings.limits.journal_page_rows;
    let (mut expected, mut after): (Expected, Option<BatchId>) = (Expected::default(), None);
    loop {
        let page = ctx.journal.unstored(job.record.id, after, limit).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.batch);
        for batch in &page {
            // What an earlier epoch left open comes to light under any number of this one.
            let from = if batch.epoch == job.target_epoch.id { batch.uid_next } else { Key(1) };
            expected.add(from, batch.sent.iter().copied());
        }
    }
    // What was confirmed without a UID and is absent may still appear.
    let mut pages = Pages::new(ctx, job.record.id, &[State::Exception]);
    while let Some(page) = pages.next().await? {
        let absent = page.iter().filter(|i| i.place.is_none());
        let absent = absent.filter(|i| i.reason.as_ref().is_some_and(|r| r.kind == "absent"));
        let absent: Vec<(ItemId, Fingerprint)> =
            absent.filter_map(|i| Some((i.id, i.sent.as_ref()?.sent))).collect();
        expected.absent.extend(absent.iter().map(|(id, _)| *id));
        expected.add(job.baseline_start(), absent.into_iter());
    }
    Ok(expected)
}

impl Expected {
    fn add(&mut self, from: Key, sent: impl Iterator<Item = (ItemId, Fingerprint)>) {
        let before = self.sent.len();
        self.sent.extend(sent.map(|(id, print)| Candidate::new(id, print, None)));
        if self.sent.len() > before {
            self.from = Some(self.from.map_or(from, |f| f.min(from)));
        }
    }
}

async fn tell<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    uid: Key,
) -> Result<(), Error> {
    let text = format!(
        "UID {uid} of {} on the new server is a possible duplicate: it is as a message that this server had refused, or \
         did not have after the settle time. It is left where it is",
        job.target.text
    );
    let note = Note { kind: GHOST.into(), mailbox: Some(job.record.id), key: None, text };
    // A run that was stopped before its sighting said so already.
    ctx.note_once(note).await
}
