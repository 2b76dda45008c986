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
use std::collections::BTreeSet;
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
    let batch: i64 =
        c.prepare_cached(next).and_then(|mut s| s.query_row([MIGRATION], |r| r.get(0))).map_err(failed)?;
    let sql = "INSERT INTO batch (migration_id, batch_id, mailbox_id, epoch_id, uid_next, form, committed_at, state, content)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'open', ?8)";
    let form = rows::form_word(intent.form);
    let (mailbox, epoch, uid_next) = (intent.mailbox.0, intent.epoch.0, intent.uid_next.0);
    let members: Vec<Member> = intent.items.iter().map(|(id, sent)| (*id, sent.sent)).collect();
    let content = write_members(BatchId(batch), &members);
    let values = params![MIGRATION, batch, mailbox, epoch, uid_next, form, millis(now), content];
    c.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)?;
    Ok(BatchId(batch))
}

/// A batch that has ended keeps no content if it stored all it sent.
fn write_members(batch: BatchId, members: &[Member]) -> Option<Vec<u8>> {
    if members.is_empty() {
        return None;
    }
    let mut w = Writer::default();
    w.number(members.len() as u64);
    for (id, sent) in members {
        w.signed(id.epoch.0);
        w.signed(id.key.0);
        write_print(&mut w, sent);
    }
    Some(w.end(&[batch.0]))
}

fn read_members(mailbox: MailboxId, batch: BatchId, content: Option<Vec<u8>>) -> JournalResult<Vec<Member>> {
    let Some(content) = content else { return Ok(Vec::new()) };
    let mut r = Reader::new(content, &[batch.0])?;
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
    let Some(members) = members_of_open(c, batch)? else {
        return Err(unknown(format!("batch {} is not open", batch.0)));
    };
    let mut work = Work::new(c);
    changes.iter().try_for_each(|change| moves::apply(&mut work, change))?;
    if end == BatchEnd::Lost {
        let sql = "UPDATE batch SET state = 'lost' WHERE migration_id = ?1 AND batch_id = ?2";
        c.prepare_cached(sql).and_then(|mut s| s.execute(params![MIGRATION, batch.0])).map_err(failed)?;
        return work.write();
    }
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
    let word = match end {
        BatchEnd::Answered => "answered",
        BatchEnd::Lost => "lost",
        BatchEnd::Void => "void",
        BatchEnd::Resolved => "resolved",
    };
    let sql = "UPDATE batch SET state = ?3, content = ?4 WHERE migration_id = ?1 AND batch_id = ?2";
    let values = params![MIGRATION, batch.0, word, write_members(batch, &unstored)];
    c.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)?;
    work.write()
}

fn members_of_open(c: &Connection, batch: BatchId) -> JournalResult<Option<Vec<Member>>> {
    let sql = "SELECT mailbox_id, content FROM batch
               WHERE migration_id = ?1 AND batch_id = ?2 AND state IN ('open', 'lost')";
    let row = |r: &Row<'_>| Ok((MailboxId(r.get(0)?), r.get(1)?));
    let found = c
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row(params![MIGRATION, batch.0], row).optional())
        .map_err(failed)?;
    found.map(|(mailbox, content)| read_members(mailbox, batch, content)).transpose()
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

pub(super) fn open_batches(c: &Connection, mailbox: MailboxId) -> JournalResult<Vec<OpenBatch>> {
    let sql = "SELECT batch_id, epoch_id, uid_next, form, committed_at, content FROM batch
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND state IN ('open', 'lost') ORDER BY batch_id";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
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

/// Which messages of a mailbox are in batches: those of open ones, and what closed ones sent and did not store.
pub(super) struct Members {
    open: BTreeSet<ItemId>,
    closed: Vec<(BatchId, Vec<Member>, bool)>,
}

impl Members {
    pub(super) fn load(c: &Connection, mailbox: MailboxId) -> JournalResult<Self> {
        let open = open_batches(c, mailbox)?.into_iter().flat_map(|batch| batch.items).collect();
        let closed = unstored(c, mailbox, None, usize::MAX)?;
        Ok(Self { open, closed: closed.into_iter().map(|u| (u.batch, u.sent, false)).collect() })
    }

    /// True for a message of an open batch.
    pub(super) fn is_open(&self, id: ItemId) -> bool {
        self.open.contains(&id)
    }

    /// What was sent of `from` was sent of `to`.
    pub(super) fn rekey(&mut self, from: ItemId, to: ItemId) {
        for (_, members, changed) in &mut self.closed {
            for (id, _) in members.iter_mut().filter(|(id, _)| *id == from) {
                *id = to;
                *changed = true;
            }
        }
    }

    /// Writes the batches that were changed.
    pub(super) fn save(&self, c: &Connection) -> JournalResult<()> {
        let sql = "UPDATE batch SET content = ?3 WHERE migration_id = ?1 AND batch_id = ?2";
        for (batch, members, _) in self.closed.iter().filter(|(.., changed)| *changed) {
            let values = params![MIGRATION, batch.0, write_members(*batch, members)];
            c.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)?;
        }
        Ok(())
    }
}
