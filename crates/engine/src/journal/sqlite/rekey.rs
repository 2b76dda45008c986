//! Items that get a number of another source epoch.

use super::batches::open_batches;
use super::moves::Known;
use super::open::MIGRATION;
use super::rows::{failed, unknown};
use super::tally::Tally;
use crate::journal::{EpochId, ItemId, JournalResult, MailboxId, State};
use crate::message::Key;
use rusqlite::{Connection, params};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Moves rows to their new numbers; see [`crate::journal::Journal::rekey`].
pub(super) fn rekey(c: &Connection, pairs: &[(ItemId, ItemId)]) -> JournalResult<()> {
    let mut batches: BTreeMap<MailboxId, Batches> = BTreeMap::new();
    let mut tally = Tally::default();
    for (from, to) in pairs {
        let batches = match batches.entry(from.mailbox) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Batches::of(c, from.mailbox)?),
        };
        let in_batch = batches.open.contains(from);
        if from.mailbox != to.mailbox || from == to || in_batch {
            return Err(unknown(format!("message {from:?} cannot become {to:?}")));
        }
        one(c, *from, *to, &mut tally)?;
        batches.rekey(c, *from, *to)?;
    }
    tally.write(c)
}

/// Which messages of a mailbox are in batches.
struct Batches {
    open: BTreeSet<ItemId>,
    /// What closed ones sent and did not store: batch and position.
    closed: BTreeMap<ItemId, Vec<(i64, i64)>>,
}

impl Batches {
    fn of(c: &Connection, mailbox: MailboxId) -> JournalResult<Self> {
        let open = open_batches(c, mailbox)?.into_iter().flat_map(|b| b.items).collect();
        let sql = "SELECT p.item_epoch, p.item_key, p.batch_id, p.position FROM batch b
                   JOIN batch_item p ON p.migration_id = b.migration_id AND p.batch_id = b.batch_id
                   WHERE b.migration_id = ?1 AND b.mailbox_id = ?2 AND b.state IN ('answered', 'resolved')";
        let mut statement = c.prepare_cached(sql).map_err(failed)?;
        let mut found = statement.query(params![MIGRATION, mailbox.0]).map_err(failed)?;
        let mut closed: BTreeMap<ItemId, Vec<(i64, i64)>> = BTreeMap::new();
        while let Some(row) = found.next().map_err(failed)? {
            let epoch = EpochId(row.get(0).map_err(failed)?);
            let id = ItemId { mailbox, epoch, key: Key(row.get(1).map_err(failed)?) };
            let place = (row.get(2).map_err(failed)?, row.get(3).map_err(failed)?);
            closed.entry(id).or_default().push(place);
        }
        Ok(Self { open, closed })
    }

    fn rekey(&mut self, c: &Connection, from: ItemId, to: ItemId) -> JournalResult<()> {
        let Some(places) = self.closed.remove(&from) else { return Ok(()) };
        for (batch, position) in &places {
            let sql = "UPDATE batch_item SET item_epoch = ?4, item_key = ?5
                       WHERE migration_id = ?1 AND batch_id = ?2 AND position = ?3";
            let values = params![MIGRATION, batch, position, to.epoch.0, to.key.0];
            c.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)?;
        }
        self.closed.entry(to).or_default().extend(places);
        Ok(())
    }
}

fn one(c: &Connection, from: ItemId, to: ItemId, tally: &mut Tally) -> JournalResult<()> {
    let listed = Known::read(c, to)?;
    if !matches!(listed.state, State::Listed | State::Excluded) {
        return Err(unknown(format!("message {to:?} is not as it was listed")));
    }
    let mut item = Known::read(c, from)?;
    tally.leave(listed.cell(to.mailbox), listed.octets()?);
    tally.leave(item.cell(from.mailbox), item.octets()?);
    item.listed_octets = listed.listed_octets;
    tally.enter(item.cell(from.mailbox), item.octets()?);
    let keys = params![MIGRATION, from.mailbox.0, from.epoch.0, from.key.0, to.epoch.0, to.key.0];
    let of_listed = "WHERE l.migration_id = ?1 AND l.mailbox_id = ?2 AND l.epoch_id = ?5 AND l.key = ?6";
    let take = format!(
        "UPDATE item SET (octets, flags, internal_date, mod_seq, lineage) =
           (SELECT octets, flags, internal_date, mod_seq, lineage FROM item l {of_listed})
         WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4"
    );
    c.prepare_cached(&take).and_then(|mut s| s.execute(keys)).map_err(failed)?;
    let drop = "DELETE FROM item WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    let target = params![MIGRATION, to.mailbox.0, to.epoch.0, to.key.0];
    c.prepare_cached(drop).and_then(|mut s| s.execute(target)).map_err(failed)?;
    let rename = "UPDATE item SET epoch_id = ?5, key = ?6
                  WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    c.prepare_cached(rename).and_then(|mut s| s.execute(keys)).map_err(failed)?;
    let Some(place) = item.place else { return Ok(()) };
    // A shared place belongs to another item, which keeps it.
    let own = "UPDATE claim SET item_epoch = ?5, item_key = ?6
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND item_epoch = ?3 AND item_key = ?4
                 AND epoch_id = ?7 AND uid = ?8";
    let claim = params![
        MIGRATION,
        from.mailbox.0,
        from.epoch.0,
        from.key.0,
        to.epoch.0,
        to.key.0,
        place.epoch.0,
        place.uid.0
    ];
    c.prepare_cached(own).and_then(|mut s| s.execute(claim)).map_err(failed)?;
    Ok(())
}
