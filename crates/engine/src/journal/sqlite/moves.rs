//! Checked moves of items, and the claims they take and give back.

use super::work::Work;
use crate::journal::{Change, ItemId, JournalError, JournalResult, Origin, Place, ReadBack, Sent, State};

/// Applies one change.
pub(super) fn apply(work: &mut Work<'_>, change: &Change) -> JournalResult<()> {
    let id = change.item;
    let known = work.item(id)?;
    let (state, old) = (known.state, known.place);
    if change.is_elsewhere(state, old) {
        return Err(JournalError::Elsewhere { item: id });
    }
    if !state.may_become(change.to) {
        return Err(JournalError::Illegal { item: id, from: state, to: change.to });
    }
    if change.to == State::Listed {
        return forget(work, id, old);
    }
    if let Some((place, origin)) = change.place {
        claim(work, id, old, place, origin)?;
    }
    work.edit(id, |item| {
        item.state = change.to;
        if let Some(sent) = &change.sent {
            item.sent = Some(Box::new(sent.clone()));
        }
        if let Some((place, origin)) = change.place {
            (item.place, item.origin) = (Some(place), Some(origin));
        }
        item.read_back = first(item.read_back.take(), change.read_back.as_ref());
        item.grade = change.grade.or(item.grade);
        if let Some(reason) = &change.reason {
            item.reason = Some(reason.clone());
        }
    })
}

/// Of read-backs the first one stays; its fingerprint comes with the first that has octets.
fn first(known: Option<Box<ReadBack>>, new: Option<&ReadBack>) -> Option<Box<ReadBack>> {
    match (known, new) {
        (Some(mut known), Some(new)) => {
            known.fingerprint = known.fingerprint.or(new.fingerprint);
            Some(known)
        }
        (known, new) => known.or_else(|| new.cloned().map(Box::new)),
    }
}

/// Moves an item to `committed`, through `fetched`.
pub(super) fn commit(work: &mut Work<'_>, id: ItemId, sent: &Sent) -> JournalResult<()> {
    let state = work.item(id)?.state;
    // A committed or doubtful item, which is in an open batch already, cannot come here.
    if state != State::Fetched && !state.may_become(State::Fetched) {
        return Err(JournalError::Illegal { item: id, from: state, to: State::Committed });
    }
    work.edit(id, |item| {
        item.state = State::Committed;
        item.sent = Some(Box::new(sent.clone()));
    })
}

/// Back to `listed`: nothing of an earlier copy is remembered, and its claim is free.
fn forget(work: &mut Work<'_>, id: ItemId, place: Option<Place>) -> JournalResult<()> {
    work.edit(id, |item| {
        item.state = State::Listed;
        (item.sent, item.read_back, item.grade, item.reason) = (None, None, None, None);
        (item.place, item.origin) = (None, None);
    })?;
    place.map_or(Ok(()), |place| release(work, id, place))
}

/// Frees a claim, if it is this item's: a shared place belongs to another one.
fn release(work: &mut Work<'_>, id: ItemId, place: Place) -> JournalResult<()> {
    match work.owner(id.mailbox, place.epoch, place.uid)? {
        Some(owner) if owner == id => work.set_owner(id.mailbox, place.epoch, place.uid, None),
        _ => Ok(()),
    }
}

/// Takes the claim of `place` and gives back that of `old`. A shared place is no claim.
fn claim(
    work: &mut Work<'_>,
    id: ItemId,
    old: Option<Place>,
    place: Place,
    origin: Origin,
) -> JournalResult<()> {
    if let Some(old) = old {
        release(work, id, old)?;
    }
    if origin == Origin::Shared {
        return Ok(());
    }
    match work.owner(id.mailbox, place.epoch, place.uid)? {
        Some(by) => Err(JournalError::ClaimTaken { mailbox: id.mailbox, uid: place.uid, by }),
        None => work.set_owner(id.mailbox, place.epoch, place.uid, Some(id)),
    }
}
