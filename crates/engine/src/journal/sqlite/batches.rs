//! Batches: the intent, its end, and those still open.

use super::coding::{Reader, Writer};
use super::moves;
use super::open::MIGRATION;
use super::record::{read_print, write_print};
use super::rows::{self, damaged, failed, millis, unknown};
use super::work::Work;
use crate::journal::{
    BatchEnd, BatchId, Change, EpochId, Intent, ItemId, JournalResult, MailboxId, OpenBatch, State, Unstored,
};
use crate::message::{Fingerprint, Key};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

/// What a batch sends: the message, and the octets that go out.
type Member = (ItemId, Fingerprint);

pub(super) fn commit_batch(c: &Connection, intent: &Intent, now: SystemTime) -> JournalResult<BatchId> {
    let open: BTreeSet<ItemId> =
        open_batches(c, intent.mailbox)?.into_iter().flat_map(|batch| batch.items).collect();
    let mut work = Work::new(c);
    for (id, sent) in &intent.items {
        if id.mailbox != intent.mailbox {
            return Err(unknown(format!("message {id:?} is not of mailbox {}", intent.mailbox.0)));
        }
        moves::commit(&mut work, *id, sent)?;
        if open.contains(id) {
            return Err(unknown(format!("message {id:?} is in a batch that is open")));
        }
    }
    work.write()?;
    insert(c, intent, now)
}

fn insert(c: &Connection, intent: &Intent, now: SystemTime) -> JournalResult<BatchId> {
    let next = "SELECT COALESCE(MAX(batch_id), 0) + 1 FROM batch WHERE migration_id = ?1";
    let batch: i64 = rows::row(c, next, [MIGRATION], |r| r.get(0)).map_err(failed)?;
    let sql = "INSERT INTO batch (migration_id, batch_id, mailbox_id, epoch_id, uid_next, form, committed_at, state, content)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'open', ?8)";
    let form = rows::form_word(intent.form);
    let (mailbox, epoch, uid_next) = (intent.mailbox.0, intent.epoch.0, intent.uid_next.0);
    let members: Vec<Member> = intent.items.iter().map(|(id, sent)| (*id, sent.sent)).collect();
    let content = write_members(intent.mailbox, BatchId(batch), &members);
    let values = params![MIGRATION, batch, mailbox, epoch, uid_next, form, millis(now), content];
    rows::execute(c, sql, values).map_err(failed)?;
    Ok(BatchId(batch))
}

fn write_members(mailbox: MailboxId, batch: BatchId, members: &[Member]) -> Vec<u8> {
    let mut w = Writer::default();
    w.number(members.len() as u64);
    for (id, sent) in members {
        w.signed(id.epoch.0);
        w.signed(id.key.0);
        write_print(&mut w, sent);
    }
    w.end(&[mailbox.0, batch.0])
}

/// A batch that stored all it sent keeps no content; one that is not closed has it.
fn read_members(mailbox: MailboxId, batch: BatchId, content: Option<Vec<u8>>) -> JournalResult<Vec<Member>> {
    let content = content.ok_or_else(|| damaged("an open batch without its messages"))?;
    let mut r = Reader::new(content, &[mailbox.0, batch.0])?;
    let mut members = Vec::new();
    for _ in 0..r.number()? {
        let id = ItemId { mailbox, epoch: EpochId(r.signed()?), key: Key(r.signed()?) };
        members.push((id, read_print(&mut r)?));
    }
    if r.is_at_end() { Ok(members) } else { Err(damaged("more in a batch than its messages")) }
}

pub(super) fn end_batch(
    c: &Connection,
    batch: BatchId,
    end: BatchEnd,
    changes: &[Change],
) -> JournalResult<()> {
    let Some((mailbox, members)) = open_batch(c, batch)? else {
        return Err(unknown(format!("batch {} is not open", batch.0)));
    };
    let mut work = Work::new(c);
    changes.iter().try_for_each(|change| moves::apply(&mut work, change))?;
    let word = match end {
        BatchEnd::Answered => "answered",
        BatchEnd::Lost => "lost",
        BatchEnd::Void => "void",
        BatchEnd::Resolved => "resolved",
    };
    let kept = match end {
        BatchEnd::Lost => members,
        _ => unstored_of(&mut work, batch, end, members)?,
    };
    let content = (end == BatchEnd::Lost || !kept.is_empty()).then(|| write_members(mailbox, batch, &kept));
    let sql = "UPDATE batch SET state = ?3, content = ?4 WHERE migration_id = ?1 AND batch_id = ?2";
    let values = params![MIGRATION, batch.0, word, content];
    rows::execute(c, sql, values).map_err(failed)?;
    work.write()
}

/// Of a batch that is to be closed: what it sent and did not store.
fn unstored_of(
    work: &mut Work<'_>,
    batch: BatchId,
    end: BatchEnd,
    members: Vec<Member>,
) -> JournalResult<Vec<Member>> {
    let mut unstored = Vec::new();
    for member in members {
        let state = work.item(member.0)?.state;
        // Without its batch nobody would ever look for it.
        if matches!(state, State::Committed | State::InDoubt) {
            return Err(unknown(format!("batch {} leaves {:?} undecided", batch.0, member.0)));
        }
        if end != BatchEnd::Void && !state.is_stored() {
            unstored.push(member);
        }
    }
    Ok(unstored)
}

fn open_batch(c: &Connection, batch: BatchId) -> JournalResult<Option<(MailboxId, Vec<Member>)>> {
    let sql = "SELECT mailbox_id, content FROM batch
               WHERE migration_id = ?1 AND batch_id = ?2 AND state IN ('open', 'lost')";
    let row = |r: &Row<'_>| Ok((MailboxId(r.get(0)?), r.get(1)?));
    let found = rows::row(c, sql, params![MIGRATION, batch.0], row).optional().map_err(failed)?;
    found.map(|(mailbox, content)| Ok((mailbox, read_members(mailbox, batch, content)?))).transpose()
}

/// What closed batches sent and did not store, one page of batches.
pub(super) fn unstored(
    c: &Connection,
    mailbox: MailboxId,
    after: Option<BatchId>,
    limit: usize,
) -> JournalResult<Vec<Unstored>> {
    let sql = "SELECT batch_id, epoch_id, uid_next, content FROM batch
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND batch_id > ?3 AND state IN ('answered', 'resolved')
                 AND content IS NOT NULL ORDER BY batch_id LIMIT ?4";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let after = after.map_or(i64::MIN, |b| b.0);
    let values = params![MIGRATION, mailbox.0, after, rows::number(limit as u64)];
    let mut found = statement.query(values).map_err(failed)?;
    let mut all = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let batch = BatchId(row.get(0).map_err(failed)?);
        all.push(Unstored {
            batch,
            epoch: EpochId(row.get(1).map_err(failed)?),
            uid_next: Key(row.get(2).map_err(failed)?),
            sent: read_members(mailbox, batch, row.get(3).map_err(failed)?)?,
        });
    }
    Ok(all)
}

/// The index is named: without it all batches of the migration would be walked for the order.
pub(super) const OPEN: &str = "SELECT batch_id, epoch_id, uid_next, form, committed_at, content FROM batch INDEXED BY batch_open
                    WHERE migration_id = ?1 AND mailbox_id = ?2 AND state IN ('open', 'lost') ORDER BY batch_id";

pub(super) fn open_batches(c: &Connection, mailbox: MailboxId) -> JournalResult<Vec<OpenBatch>> {
    let mut statement = c.prepare_cached(OPEN).map_err(failed)?;
    let mut found = statement.query(params![MIGRATION, mailbox.0]).map_err(failed)?;
    let mut batches = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let id = BatchId(row.get(0).map_err(failed)?);
        let form: String = row.get(3).map_err(failed)?;
        let members = read_members(mailbox, id, row.get(5).map_err(failed)?)?;
        batches.push(OpenBatch {
            id,
            epoch: EpochId(row.get(1).map_err(failed)?),
            uid_next: Key(row.get(2).map_err(failed)?),
            form: rows::form(&form)?,
            committed_at: rows::time(row.get(4).map_err(failed)?),
            items: members.into_iter().map(|(id, _)| id).collect(),
        });
    }
    Ok(batches)
}

/// Reads all batches that have messages: what is broken is told before anything is written.
pub(super) fn check(c: &Connection) -> JournalResult<()> {
    let sql = "SELECT batch_id, mailbox_id, content FROM batch
               WHERE migration_id = ?1 AND (content IS NOT NULL OR state IN ('open', 'lost'))";
    let mut statement = c.prepare(sql).map_err(failed)?;
    let mut found = statement.query([MIGRATION]).map_err(failed)?;
    while let Some(row) = found.next().map_err(failed)? {
        let (batch, mailbox) = (BatchId(row.get(0).map_err(failed)?), MailboxId(row.get(1).map_err(failed)?));
        read_members(mailbox, batch, row.get(2).map_err(failed)?)?;
    }
    Ok(())
}

/// Which messages of a mailbox are in batches: those of open ones, and what closed ones sent and did not store.
pub(super) struct Members {
    mailbox: MailboxId,
    open: BTreeSet<ItemId>,
    closed: Vec<Unstored>,
    /// Where in `closed` a message is: batch and position.
    places: BTreeMap<ItemId, Vec<(usize, usize)>>,
    /// Which of `closed` are not as they are in the journal.
    changed: BTreeSet<usize>,
}

impl Members {
    pub(super) fn load(c: &Connection, mailbox: MailboxId) -> JournalResult<Self> {
        let open = open_batches(c, mailbox)?.into_iter().flat_map(|batch| batch.items).collect();
        let closed = unstored(c, mailbox, None, usize::MAX)?;
        let mut places: BTreeMap<ItemId, Vec<(usize, usize)>> = BTreeMap::new();
        for (batch, unstored) in closed.iter().enumerate() {
            for (position, (id, _)) in unstored.sent.iter().enumerate() {
                places.entry(*id).or_default().push((batch, position));
            }
        }
        Ok(Self { mailbox, open, closed, places, changed: BTreeSet::new() })
    }

    /// True for a message of an open batch.
    pub(super) fn is_open(&self, id: ItemId) -> bool {
        self.open.contains(&id)
    }

    /// What was sent of `from` was sent of `to`.
    pub(super) fn rekey(&mut self, from: ItemId, to: ItemId) {
        let Some(places) = self.places.remove(&from) else { return };
        for (batch, position) in &places {
            self.closed[*batch].sent[*position].0 = to;
            self.changed.insert(*batch);
        }
        self.places.entry(to).or_default().extend(places);
    }

    /// Writes the batches that were changed.
    pub(super) fn save(&self, c: &Connection) -> JournalResult<()> {
        let sql = "UPDATE batch SET content = ?3 WHERE migration_id = ?1 AND batch_id = ?2";
        for Unstored { batch, sent, .. } in self.changed.iter().map(|at| &self.closed[*at]) {
            let values = params![MIGRATION, batch.0, write_members(self.mailbox, *batch, sent)];
            rows::execute(c, sql, values).map_err(failed)?;
        }
        Ok(())
    }
}
