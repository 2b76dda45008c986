//! Batches: the intent, its end, and those still open.

use super::moves;
use super::open::MIGRATION;
use super::rows::{self, failed, millis, print, unknown};
use super::tally::Tally;
use crate::journal::{
    BatchEnd, BatchId, Change, EpochId, Intent, ItemId, JournalResult, MailboxId, OpenBatch, Unstored,
};
use crate::message::{Fingerprint, Key};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::SystemTime;

pub(super) fn commit_batch(c: &Connection, intent: &Intent, now: SystemTime) -> JournalResult<BatchId> {
    let open = open_batches(c, intent.mailbox)?;
    let batch = insert(c, intent, now)?;
    let mut tally = Tally::default();
    for (position, (id, sent)) in (0i64..).zip(&intent.items) {
        if id.mailbox != intent.mailbox {
            return Err(unknown(format!("message {id:?} is not of mailbox {}", intent.mailbox.0)));
        }
        moves::commit(c, *id, sent, &mut tally)?;
        if let Some(other) = open.iter().find(|b| b.items.contains(id)) {
            return Err(unknown(format!("message {id:?} is in batch {}, which is open", other.id.0)));
        }
        let sql = "INSERT INTO batch_item (migration_id, batch_id, position, item_epoch, item_key, sent)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![MIGRATION, batch, position, id.epoch.0, id.key.0, print(&sent.sent)];
        c.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)?;
    }
    tally.write(c)?;
    Ok(BatchId(batch))
}

fn insert(c: &Connection, intent: &Intent, now: SystemTime) -> JournalResult<i64> {
    let next = "SELECT COALESCE(MAX(batch_id), 0) + 1 FROM batch WHERE migration_id = ?1";
    let batch: i64 =
        c.prepare_cached(next).and_then(|mut s| s.query_row([MIGRATION], |r| r.get(0))).map_err(failed)?;
    let insert = "INSERT INTO batch (migration_id, batch_id, mailbox_id, epoch_id, uid_next, form, committed_at, state)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'open')";
    let form = rows::form_word(intent.form);
    let (mailbox, epoch, uid_next) = (intent.mailbox.0, intent.epoch.0, intent.uid_next.0);
    let values = params![MIGRATION, batch, mailbox, epoch, uid_next, form, millis(now)];
    c.prepare_cached(insert).and_then(|mut s| s.execute(values)).map_err(failed)?;
    Ok(batch)
}

pub(super) fn end_batch(
    c: &Connection,
    batch: BatchId,
    end: BatchEnd,
    changes: &[Change],
) -> JournalResult<()> {
    let word = match end {
        BatchEnd::Answered => "answered",
        BatchEnd::Lost => "lost",
        BatchEnd::Void => "void",
        BatchEnd::Resolved => "resolved",
    };
    let sql =
        "UPDATE batch SET state = ?3 WHERE migration_id = ?1 AND batch_id = ?2 AND state IN ('open', 'lost')";
    let ended = c
        .prepare_cached(sql)
        .and_then(|mut s| s.execute(params![MIGRATION, batch.0, word]))
        .map_err(failed)?;
    if ended == 0 {
        return Err(unknown(format!("batch {} is not open", batch.0)));
    }
    moves::change(c, changes)?;
    if end == BatchEnd::Lost {
        return Ok(());
    }
    match undecided(c, batch)? {
        Some((epoch, key)) => {
            let what = format!("batch {} leaves message {key} of epoch {epoch} undecided", batch.0);
            Err(unknown(what))
        }
        None => keep_unstored(c, batch, end),
    }
}

/// Of a closed batch only what it sent and did not store is kept.
fn keep_unstored(c: &Connection, batch: BatchId, end: BatchEnd) -> JournalResult<()> {
    let all = "DELETE FROM batch_item WHERE migration_id = ?1 AND batch_id = ?2";
    // `State::is_stored`
    let stored = "DELETE FROM batch_item WHERE migration_id = ?1 AND batch_id = ?2 AND EXISTS (
                    SELECT 1 FROM batch b JOIN item i ON i.migration_id = b.migration_id AND i.mailbox_id = b.mailbox_id
                    WHERE b.migration_id = ?1 AND b.batch_id = ?2 AND i.epoch_id = batch_item.item_epoch
                      AND i.key = batch_item.item_key AND i.state IN ('stored', 'verified', 'merged'))";
    let sql = if end == BatchEnd::Void { all } else { stored };
    c.prepare_cached(sql).and_then(|mut s| s.execute(params![MIGRATION, batch.0])).map_err(failed)?;
    Ok(())
}

/// What closed batches sent and did not store, one page of batches.
pub(super) fn unstored(
    c: &Connection,
    mailbox: MailboxId,
    after: Option<BatchId>,
    limit: usize,
) -> JournalResult<Vec<Unstored>> {
    let sql = "SELECT batch_id, epoch_id, uid_next FROM batch b
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND batch_id > ?3 AND state IN ('answered', 'resolved')
                 AND EXISTS (SELECT 1 FROM batch_item p WHERE p.migration_id = b.migration_id AND p.batch_id = b.batch_id)
               ORDER BY batch_id LIMIT ?4";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let after = after.map_or(i64::MIN, |b| b.0);
    let values = params![MIGRATION, mailbox.0, after, rows::number(limit as u64)];
    let mut found = statement.query(values).map_err(failed)?;
    let mut all = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let batch: i64 = row.get(0).map_err(failed)?;
        all.push(Unstored {
            batch: BatchId(batch),
            epoch: EpochId(row.get(1).map_err(failed)?),
            uid_next: Key(row.get(2).map_err(failed)?),
            sent: sent(c, mailbox, batch)?,
        });
    }
    Ok(all)
}

fn sent(c: &Connection, mailbox: MailboxId, batch: i64) -> JournalResult<Vec<(ItemId, Fingerprint)>> {
    let sql = "SELECT item_epoch, item_key, sent FROM batch_item WHERE migration_id = ?1 AND batch_id = ?2
               ORDER BY position";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let mut found = statement.query(params![MIGRATION, batch]).map_err(failed)?;
    let mut all = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let epoch = EpochId(row.get(0).map_err(failed)?);
        let id = ItemId { mailbox, epoch, key: Key(row.get(1).map_err(failed)?) };
        all.push((id, rows::fingerprint(&row.get::<_, Vec<u8>>(2).map_err(failed)?)?));
    }
    Ok(all)
}

/// An item of the batch that is still committed or in doubt: without its batch nobody would ever look for it.
fn undecided(c: &Connection, batch: BatchId) -> JournalResult<Option<(i64, i64)>> {
    let sql = "SELECT i.epoch_id, i.key FROM batch b
               JOIN batch_item p ON p.migration_id = b.migration_id AND p.batch_id = b.batch_id
               JOIN item i ON i.migration_id = b.migration_id AND i.mailbox_id = b.mailbox_id
                 AND i.epoch_id = p.item_epoch AND i.key = p.item_key
               WHERE b.migration_id = ?1 AND b.batch_id = ?2 AND i.state IN ('committed', 'in_doubt') LIMIT 1";
    let row = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?));
    c.prepare_cached(sql)
        .and_then(|mut s| s.query_row(params![MIGRATION, batch.0], row).optional())
        .map_err(failed)
}

pub(super) fn open_batches(c: &Connection, mailbox: MailboxId) -> JournalResult<Vec<OpenBatch>> {
    let sql = "SELECT batch_id, epoch_id, uid_next, form, committed_at FROM batch
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND state IN ('open', 'lost') ORDER BY batch_id";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let mut found = statement.query(params![MIGRATION, mailbox.0]).map_err(failed)?;
    let mut batches = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let (id, form): (i64, String) = (row.get(0).map_err(failed)?, row.get(3).map_err(failed)?);
        batches.push(OpenBatch {
            id: BatchId(id),
            epoch: EpochId(row.get(1).map_err(failed)?),
            uid_next: Key(row.get(2).map_err(failed)?),
            form: rows::form(&form)?,
            committed_at: rows::time(row.get(4).map_err(failed)?),
            items: items(c, mailbox, id)?,
        });
    }
    Ok(batches)
}

fn items(c: &Connection, mailbox: MailboxId, batch: i64) -> JournalResult<Vec<ItemId>> {
    let sql = "SELECT item_epoch, item_key FROM batch_item WHERE migration_id = ?1 AND batch_id = ?2 ORDER BY position";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let id = |r: &Row<'_>| Ok(ItemId { mailbox, epoch: EpochId(r.get(0)?), key: Key(r.get(1)?) });
    let found = statement.query_map(params![MIGRATION, batch], id).map_err(failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}
