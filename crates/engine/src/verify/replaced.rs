//! Equal messages of which the target keeps one: what the last listing does not show was not lost where an equal message of
//! ours is there.
//!
//! QUIRK: Gmail, given a message that the mailbox holds already, is seen to answer with the UID of the one that is there, or
//! to put the new one in its place, under another UID (WildDuck's wiki, “Gmail sending”). The first is noticed when it is
//! answered, the second only here.

use crate::context::Context;
use crate::end::{Source, Target, TargetSession};
use crate::error::Error;
use crate::journal::{Change, Item, ItemId, Journal, Origin, Place, State};
use crate::message::{Digest, Key};
use crate::transfer::job::{Job, Pages, Sessions};
use std::collections::{BTreeMap, BTreeSet};

const OURS: &[State] = &[State::Stored, State::Verified];

/// Takes from `missing` what an equal message answers for, which is then merged with it. `there`: the UIDs of the last
/// complete listing, ascending.
pub(super) async fn settle<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    missing: &mut BTreeSet<ItemId>,
    there: &[Key],
) -> Result<(), Error> {
    if missing.is_empty() || !sessions.target(ctx).await?.abilities().does.keeps_one_of_equals {
        return Ok(());
    }
    let mut gone: BTreeMap<ItemId, (Digest, Option<Key>)> = BTreeMap::new();
    let mut pages = Pages::new(ctx, job.record.id, OURS);
    while let Some(page) = pages.next().await? {
        let lost = page.iter().filter(|i| missing.contains(&i.id));
        gone.extend(lost.filter_map(|i| Some((i.id, (digest(i)?, i.place.map(|p| p.uid))))));
    }
    let wanted: BTreeSet<Digest> = gone.values().map(|(digest, _)| *digest).collect();
    let mut twins: BTreeMap<Digest, Place> = BTreeMap::new();
    let mut pages = Pages::new(ctx, job.record.id, OURS);
    while let Some(page) = pages.next().await? {
        for item in page.iter().filter(|i| !missing.contains(&i.id)) {
            let shown = |p: &Place| p.epoch == job.target_epoch.id && there.binary_search(&p.uid).is_ok();
            if let (Some(place), Some(digest)) = (item.place.filter(shown), digest(item))
                && wanted.contains(&digest)
            {
                twins.entry(digest).or_insert(place);
            }
        }
    }
    let (mut moved, mut changes) = (BTreeMap::new(), Vec::new());
    for (id, (digest, uid)) in &gone {
        let Some(place) = twins.get(digest) else { continue };
        moved.extend(uid.map(|uid| (uid, *place)));
        changes.push(Change::to(*id, State::Merged).at(*place, Origin::Shared));
        missing.remove(id);
    }
    changes.extend(followers(ctx, job, &moved).await?);
    // In one transaction: the old place, by which a follower is known, is no message's any more after it.
    Ok(ctx.journal.change(&changes).await?)
}

/// What was merged with a message goes where that one went.
async fn followers<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    moved: &BTreeMap<Key, Place>,
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    if moved.is_empty() {
        return Ok(changes);
    }
    let mut pages = Pages::new(ctx, job.record.id, &[State::Merged]);
    while let Some(page) = pages.next().await? {
        let change = |i: &Item| {
            let place = i.place.filter(|p| p.epoch == job.target_epoch.id)?;
            Some(Change::to(i.id, State::Merged).at(*moved.get(&place.uid)?, Origin::Shared))
        };
        changes.extend(page.iter().filter_map(change));
    }
    Ok(changes)
}

/// The octets that were sent, but for line ends.
fn digest(item: &Item) -> Option<Digest> {
    item.sent.as_ref().map(|sent| sent.sent.normal)
}
