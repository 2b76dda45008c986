//! Items that get a number of another source epoch.

use super::batches;
use super::rows::unknown;
use super::work::Work;
use crate::journal::{Item, ItemId, JournalResult, MailboxId, State};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Moves items to their new numbers; see [`crate::journal::Journal::rekey`].
pub(super) fn rekey(c: &Connection, pairs: &[(ItemId, ItemId)]) -> JournalResult<()> {
    let mut work = Work::new(c);
    let mut of: BTreeMap<MailboxId, batches::Members> = BTreeMap::new();
    for (from, to) in pairs {
        let members = match of.entry(from.mailbox) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(batches::Members::load(c, from.mailbox)?),
        };
        if from.mailbox != to.mailbox || from == to || members.is_open(*from) {
            return Err(unknown(format!("message {from:?} cannot become {to:?}")));
        }
        one(&mut work, *from, *to)?;
        members.rekey(*from, *to);
    }
    of.values().try_for_each(|members| members.save(c))?;
    work.write()
}

fn one(work: &mut Work<'_>, from: ItemId, to: ItemId) -> JournalResult<()> {
    let listed = work.item(to)?;
    if !matches!(listed.state, State::Listed | State::Excluded) {
        return Err(unknown(format!("message {to:?} is not as it was listed")));
    }
    let Item { octets, flags, internal_date, lineage, .. } = listed.clone();
    let Some(item) = work.take(from)? else { return Err(unknown(format!("no message {from:?}"))) };
    let place = item.place;
    work.put(Item { id: to, octets, flags, internal_date, lineage, ..item })?;
    let Some(place) = place else { return Ok(()) };
    // A shared place belongs to another item, which keeps it.
    match work.owner(from.mailbox, place.epoch, place.uid)? {
        Some(owner) if owner == from => work.set_owner(from.mailbox, place.epoch, place.uid, Some(to)),
        _ => Ok(()),
    }
}
