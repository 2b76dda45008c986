//! What one verb works on: blocks are read when something in them is first asked for, and written once at its end.

use super::claims::{Claims, ClaimsId};
use super::open::MIGRATION;
use super::record::{Block, BlockId};
use super::rows::{self, failed, number, unknown};
use super::tally::{Cell, Tally};
use crate::journal::{EpochId, Item, ItemId, JournalResult, MailboxId};
use crate::message::Key;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Messages and claims in hand, and the differences in how many are where.
pub(super) struct Work<'c> {
    c: &'c Connection,
    blocks: BTreeMap<BlockId, Held<Block>>,
    claims: BTreeMap<ClaimsId, Held<Claims>>,
    tally: Tally,
}

struct Held<T> {
    content: T,
    changed: bool,
}

impl<'c> Work<'c> {
    pub(super) fn new(c: &'c Connection) -> Self {
        Self { c, blocks: BTreeMap::new(), claims: BTreeMap::new(), tally: Tally::default() }
    }

    /// A message as it is now.
    pub(super) fn find(&mut self, id: ItemId) -> JournalResult<Option<&Item>> {
        Ok(self.block(id)?.content.get(id.key))
    }

    /// A message that must be there.
    pub(super) fn item(&mut self, id: ItemId) -> JournalResult<&Item> {
        self.find(id)?.ok_or_else(|| unknown(format!("no message {id:?}")))
    }

    /// Changes a message that must be there.
    pub(super) fn edit(&mut self, id: ItemId, change: impl FnOnce(&mut Item)) -> JournalResult<()> {
        let held = self.block(id)?;
        held.changed = true;
        let item = held.content.get_mut(id.key).ok_or_else(|| unknown(format!("no message {id:?}")))?;
        let left = counted(item);
        change(item);
        let entered = counted(item);
        self.tally.leave(left.0, left.1);
        self.tally.enter(entered.0, entered.1);
        Ok(())
    }

    /// Adds a message, in the place of one with its number if there is one.
    pub(super) fn put(&mut self, item: Item) -> JournalResult<()> {
        let entered = counted(&item);
        let held = self.block(item.id)?;
        held.changed = true;
        let before = held.content.put(item);
        if let Some((cell, octets)) = before.as_ref().map(counted) {
            self.tally.leave(cell, octets);
        }
        self.tally.enter(entered.0, entered.1);
        Ok(())
    }

    /// Removes a message.
    pub(super) fn take(&mut self, id: ItemId) -> JournalResult<Option<Item>> {
        let held = self.block(id)?;
        let Some(item) = held.content.take(id.key) else { return Ok(None) };
        held.changed = true;
        let (cell, octets) = counted(&item);
        self.tally.leave(cell, octets);
        Ok(Some(item))
    }

    /// Who claims a UID.
    pub(super) fn owner(
        &mut self,
        mailbox: MailboxId,
        epoch: EpochId,
        uid: Key,
    ) -> JournalResult<Option<ItemId>> {
        Ok(self.claims_of(mailbox, epoch, uid)?.content.0.get(&uid).copied())
    }

    /// Gives a UID to `owner`, or frees it.
    pub(super) fn set_owner(
        &mut self,
        mailbox: MailboxId,
        epoch: EpochId,
        uid: Key,
        owner: Option<ItemId>,
    ) -> JournalResult<()> {
        let held = self.claims_of(mailbox, epoch, uid)?;
        held.changed = true;
        match owner {
            Some(owner) => held.content.0.insert(uid, owner),
            None => held.content.0.remove(&uid),
        };
        Ok(())
    }

    /// Writes what was changed.
    pub(super) fn write(self) -> JournalResult<()> {
        for (id, held) in self.blocks.iter().filter(|(_, held)| held.changed) {
            save(self.c, *id, &held.content)?;
        }
        for (id, held) in self.claims.iter().filter(|(_, held)| held.changed) {
            held.content.save(self.c, *id)?;
        }
        self.tally.write(self.c)
    }

    fn block(&mut self, id: ItemId) -> JournalResult<&mut Held<Block>> {
        let id = BlockId::of(id);
        match self.blocks.entry(id) {
            Entry::Occupied(held) => Ok(held.into_mut()),
            Entry::Vacant(free) => Ok(free.insert(Held { content: load(self.c, id)?, changed: false })),
        }
    }

    fn claims_of(
        &mut self,
        mailbox: MailboxId,
        epoch: EpochId,
        uid: Key,
    ) -> JournalResult<&mut Held<Claims>> {
        let id = ClaimsId::of(mailbox, epoch, uid);
        match self.claims.entry(id) {
            Entry::Occupied(held) => Ok(held.into_mut()),
            Entry::Vacant(free) => {
                Ok(free.insert(Held { content: Claims::load(self.c, id)?, changed: false }))
            }
        }
    }
}

/// What a message counts for at most, in octets: sizes that a server makes up must not run over a sum.
const COUNTED_OCTETS_MAX: u64 = 1 << 40;

/// How a message counts: the octets are those fetched, or until then those listed.
fn counted(item: &Item) -> (Cell, i64) {
    let kind = item.reason.as_ref().map(|r| r.kind.clone());
    let cell = Cell { mailbox: item.id.mailbox, state: item.state, grade: item.grade, kind };
    let octets = item.sent.as_ref().map_or(item.octets, |s| s.fetched.octets);
    (cell, number(octets.min(COUNTED_OCTETS_MAX)))
}

fn load(c: &Connection, id: BlockId) -> JournalResult<Block> {
    let sql = "SELECT content FROM item_block
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND block = ?4";
    let content = rows::content(c, sql, id.place())?;
    content.map_or_else(|| Ok(Block::default()), |content| Block::read(id, content))
}

/// A block without a message goes.
fn save(c: &Connection, id: BlockId, block: &Block) -> JournalResult<()> {
    if block.items().is_empty() {
        let sql = "DELETE FROM item_block
                   WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND block = ?4";
        return rows::remove(c, sql, id.place());
    }
    let sql = "INSERT INTO item_block (migration_id, mailbox_id, epoch_id, block, states, content)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (migration_id, mailbox_id, epoch_id, block) DO UPDATE
               SET states = excluded.states, content = excluded.content";
    let [mailbox, epoch, number] = id.place();
    let values = params![MIGRATION, mailbox, epoch, number, block.summary(), block.write(id)];
    rows::execute(c, sql, values).map(drop).map_err(failed)
}
