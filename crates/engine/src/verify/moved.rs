//! Where a message went that somebody moved inside the new account: looked for in the other target mailboxes of this
//! migration, among what nobody claims, and believed only when the octets agree.

use super::presence::was_seen;
use crate::context::Context;
use crate::end::{Depth, Seen, Source, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::identity::{Candidate, pair_up};
use crate::journal::{ItemId, Journal, Place, State};
use crate::message::{Fingerprint, InternalDate, Key};
use crate::pacer::Pacer;
use crate::transfer::job::{Job, Losses, Pages, Sessions, jobs};
use crate::transfer::resolve::{claimed_from, read_all, read_at_once};
use std::collections::{BTreeMap, BTreeSet};

/// A message found in another mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// Where it is now; the epoch is of that mailbox.
    pub(super) place: Place,
    /// The name of that mailbox.
    pub(super) mailbox: String,
}

/// What is looked for.
struct Wanted {
    id: ItemId,
    fingerprint: Fingerprint,
    /// RFC822.SIZE when it was read at the target; the server that gave it holds the moved message, too.
    octets: Option<u64>,
    /// Its INTERNALDATE there.
    date: Option<InternalDate>,
}

/// Which of the missing messages lie in other target mailboxes, as a multiset: each found message answers to one. Of a
/// message that was never seen nobody can say that it was moved: what has its octets elsewhere may be anybody's.
pub(super) async fn find<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    missing: &BTreeSet<ItemId>,
) -> Result<BTreeMap<ItemId, Moved>, Error> {
    let mut wanted = wanted(ctx, job, missing).await?;
    let mut moved = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(moved);
    }
    for other in jobs(ctx).await? {
        if other.target.wire == job.target.wire || wanted.is_empty() {
            continue;
        }
        let found = candidates(ctx, sessions, &other, &wanted).await?;
        let open: Vec<Candidate<ItemId>> =
            wanted.iter().map(|w| Candidate::new(w.id, w.fingerprint, w.date.as_ref())).collect();
        for (id, uid) in pair_up(&open, &found) {
            let mailbox = other.target.text.clone();
            moved.insert(id, Moved { place: other.place(uid), mailbox });
        }
        wanted.retain(|w| !moved.contains_key(&w.id));
    }
    Ok(moved)
}

async fn wanted<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    missing: &BTreeSet<ItemId>,
) -> Result<Vec<Wanted>, Error> {
    let mut wanted = Vec::new();
    if missing.is_empty() {
        return Ok(wanted);
    }
    let mut pages = Pages::new(ctx, job.record.id, &[State::Stored, State::Verified, State::AlreadyThere]);
    while let Some(page) = pages.next().await? {
        for item in page.iter().filter(|i| missing.contains(&i.id) && was_seen(i)) {
            let read = item.read_back.as_ref();
            // As the target gave it, where that is known.
            let fingerprint = read.and_then(|r| r.fingerprint).or_else(|| item.sent.as_ref().map(|s| s.sent));
            let octets = read.map(|r| r.octets);
            let date = read.and_then(|r| r.internal_date.clone());
            wanted.extend(fingerprint.map(|fingerprint| Wanted { id: item.id, fingerprint, octets, date }));
        }
    }
    Ok(wanted)
}

/// What nobody claims in a mailbox and could be one of the wanted. Only those of a fitting size are read whole: a size
/// that the server computes anew can hide a moved message, which then counts as removed, and nothing is sent again.
async fn candidates<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    other: &Job,
    wanted: &[Wanted],
) -> Result<Vec<Candidate<Key>>, Error> {
    let claimed = claimed_from(ctx, other, Key(1)).await?;
    let sizes: Option<BTreeSet<u64>> = wanted.iter().map(|w| w.octets).collect();
    let mut losses = Losses::new(ctx);
    let seen = loop {
        match read_fitting(
            &ctx.pace.target_reading,
            sessions.target(ctx).await?,
            other,
            &claimed,
            sizes.as_ref(),
        )
        .await
        {
            Ok(seen) => break seen,
            // A mailbox that cannot be opened tells nothing.
            Err(EndError::Refused { .. }) => return Ok(Vec::new()),
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    };
    let measured =
        |s: &Seen| s.measured.map(|m| Candidate::new(s.uid, m.fingerprint, s.internal_date.as_ref()));
    Ok(seen.iter().filter_map(measured).collect())
}

async fn read_fitting<S: TargetSession>(
    pacer: &Pacer,
    session: &mut S,
    other: &Job,
    claimed: &BTreeSet<Key>,
    sizes: Option<&BTreeSet<u64>>,
) -> Result<Vec<Seen>, EndError> {
    let opened = session.open(&other.target.wire).await?;
    if opened.facts.uid_validity != other.target_epoch.facts.uid_validity {
        return Ok(Vec::new());
    }
    // What was there before this migration was not moved there since.
    let start = other.baseline_start();
    let (keys, _) = session.keys().await?;
    let free: Vec<Key> = keys.into_iter().filter(|k| *k >= start && !claimed.contains(k)).collect();
    let fitting: Vec<Key> = match sizes {
        None => free,
        Some(sizes) => {
            let facts = read_at_once(session, &free, Depth::Facts).await?;
            facts.iter().filter(|s| sizes.contains(&s.octets)).map(|s| s.uid).collect()
        }
    };
    read_all(pacer, session, &fitting, Depth::Octets).await
}
