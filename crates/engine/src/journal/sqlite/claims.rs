//! Who owns which UID at the target, in blocks of neighbouring UIDs.

use super::coding::{Reader, Writer};
use super::open::MIGRATION;
use super::rows::{self, damaged, failed};
use crate::journal::{EpochId, ItemId, JournalResult, MailboxId};
use crate::message::Key;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// UIDs that differ in the last so many bits alone are in one block.
const BITS: u32 = 7;

/// Which block, of one target epoch and of the mailbox whose messages are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClaimsId {
    mailbox: MailboxId,
    epoch: EpochId,
    number: i64,
}

impl ClaimsId {
    pub(super) fn of(mailbox: MailboxId, epoch: EpochId, uid: Key) -> Self {
        Self { mailbox, epoch, number: uid.0 >> BITS }
    }

    fn place(self) -> [i64; 3] {
        [self.mailbox.0, self.epoch.0, self.number]
    }
}

/// The claims of a block.
#[derive(Debug, Default)]
pub(super) struct Claims(pub(super) BTreeMap<Key, ItemId>);

impl Claims {
    /// The claims as the journal has them; none if it has no such block.
    pub(super) fn load(c: &Connection, id: ClaimsId) -> JournalResult<Self> {
        let sql = "SELECT content FROM claim_block
                   WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND block = ?4";
        let content = rows::content(c, sql, id.place())?;
        content.map_or_else(|| Ok(Self::default()), |content| Self::read(id, content))
    }

    /// Puts them into the journal; a block without a claim goes.
    pub(super) fn save(&self, c: &Connection, id: ClaimsId) -> JournalResult<()> {
        if self.0.is_empty() {
            let sql = "DELETE FROM claim_block
                       WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND block = ?4";
            return rows::remove(c, sql, id.place());
        }
        let sql = "INSERT INTO claim_block (migration_id, mailbox_id, epoch_id, block, content)
                   VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT (migration_id, mailbox_id, epoch_id, block) DO UPDATE SET content = excluded.content";
        let [mailbox, epoch, number] = id.place();
        let values = params![MIGRATION, mailbox, epoch, number, self.write(id)];
        rows::execute(c, sql, values).map(drop).map_err(failed)
    }

    fn write(&self, id: ClaimsId) -> Vec<u8> {
        let mut w = Writer::default();
        w.number(self.0.len() as u64);
        for (uid, owner) in &self.0 {
            w.signed(uid.0);
            w.signed(owner.epoch.0);
            w.signed(owner.key.0);
        }
        w.end(&id.place())
    }

    fn read(id: ClaimsId, content: Vec<u8>) -> JournalResult<Self> {
        let mut r = Reader::new(content, &id.place())?;
        let mut claims = BTreeMap::new();
        for _ in 0..r.number()? {
            let uid = Key(r.signed()?);
            let owner = ItemId { mailbox: id.mailbox, epoch: EpochId(r.signed()?), key: Key(r.signed()?) };
            claims.insert(uid, owner);
        }
        if r.is_at_end() { Ok(Self(claims)) } else { Err(damaged("more in a block than its claims")) }
    }
}

/// Claimed UIDs from `from` on with their owners, one page.
pub(super) fn page(
    c: &Connection,
    mailbox: MailboxId,
    epoch: EpochId,
    from: Key,
    limit: usize,
) -> JournalResult<Vec<(Key, ItemId)>> {
    let sql = "SELECT block, content FROM claim_block
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND block >= ?4 ORDER BY block";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let first = ClaimsId::of(mailbox, epoch, from).number;
    let mut found = statement.query(params![MIGRATION, mailbox.0, epoch.0, first]).map_err(failed)?;
    let mut page = Vec::new();
    while page.len() < limit {
        let Some(row) = found.next().map_err(failed)? else { break };
        let id = ClaimsId { mailbox, epoch, number: row.get(0).map_err(failed)? };
        let block = Claims::read(id, row.get(1).map_err(failed)?)?;
        page.extend(block.0.into_iter().filter(|(uid, _)| *uid >= from));
    }
    page.truncate(limit);
    Ok(page)
}

/// Reads all of them: what is broken is told before anything is written.
pub(super) fn check(c: &Connection) -> JournalResult<()> {
    let sql = "SELECT mailbox_id, epoch_id, block, content FROM claim_block WHERE migration_id = ?1";
    let mut statement = c.prepare(sql).map_err(failed)?;
    let mut found = statement.query([MIGRATION]).map_err(failed)?;
    while let Some(row) = found.next().map_err(failed)? {
        let (mailbox, epoch) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        let id = ClaimsId {
            mailbox: MailboxId(mailbox),
            epoch: EpochId(epoch),
            number: row.get(2).map_err(failed)?,
        };
        Claims::read(id, row.get(3).map_err(failed)?)?;
    }
    Ok(())
}
