//! Items, claims and batches: checked moves, all or none.

use super::open::MIGRATION;
use super::rows::{self, damaged, failed, millis, number, print};
use crate::identity::Grade;
use crate::journal::{
    BatchEnd, BatchId, Change, Count, EpochId, Intent, Item, ItemId, JournalError, JournalResult, ListedItem,
    ListingChange, MailboxId, OpenBatch, Origin, Place, Sent, State,
};
use crate::message::Key;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};
use std::time::SystemTime;

/// An owned [`crate::journal::Query`].
pub(super) struct Page {
    pub(super) mailbox: Option<MailboxId>,
    pub(super) states: Vec<State>,
    pub(super) after: Option<ItemId>,
    pub(super) limit: usize,
}

pub(super) fn items(c: &Connection, page: &Page) -> JournalResult<Vec<Item>> {
    let mut sql = format!("SELECT {} FROM item WHERE migration_id = ?", rows::ITEM);
    let mut values: Vec<Value> = vec![MIGRATION.into()];
    if let Some(mailbox) = page.mailbox {
        sql += " AND mailbox_id = ?";
        values.push(mailbox.0.into());
    }
    if !page.states.is_empty() {
        let marks = vec!["?"; page.states.len()].join(", ");
        sql += &format!(" AND state IN ({marks})");
        values.extend(page.states.iter().map(|s| Value::from(s.as_str().to_owned())));
    }
    if let Some(after) = page.after {
        // Within one mailbox the comparison starts at the epoch, so that the index by state serves it.
        sql += match page.mailbox {
            Some(_) => " AND (epoch_id, key) > (?, ?)",
            None => " AND (mailbox_id, epoch_id, key) > (?, ?, ?)",
        };
        if page.mailbox.is_none() {
            values.push(after.mailbox.0.into());
        }
        values.extend([Value::from(after.epoch.0), Value::from(after.key.0)]);
    }
    sql += " ORDER BY mailbox_id, epoch_id, key LIMIT ?";
    values.push(number(page.limit as u64).into());
    let mut statement = c.prepare_cached(&sql).map_err(failed)?;
    let mut found = statement.query(params_from_iter(values)).map_err(failed)?;
    let mut items = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        items.push(rows::item(row)?);
    }
    Ok(items)
}

pub(super) fn counts(c: &Connection) -> JournalResult<Vec<Count>> {
    let sql = "SELECT mailbox_id, state, grade, kind, COUNT(*), SUM(octets) FROM item WHERE migration_id = ?1
               GROUP BY mailbox_id, state, grade, kind ORDER BY mailbox_id, state, grade, kind";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let mut found = statement.query([MIGRATION]).map_err(failed)?;
    let mut counts = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let word: String = row.get(1).map_err(failed)?;
        let grade: Option<String> = row.get(2).map_err(failed)?;
        let (items, octets): (i64, i64) = (row.get(4).map_err(failed)?, row.get(5).map_err(failed)?);
        counts.push(Count {
            mailbox: MailboxId(row.get(0).map_err(failed)?),
            state: rows::state(&word)?,
            grade: grade.map(|g| Grade::parse(&g).ok_or_else(|| damaged("an unknown grade"))).transpose()?,
            kind: row.get(3).map_err(failed)?,
            items: items.unsigned_abs(),
            octets: octets.unsigned_abs(),
        });
    }
    Ok(counts)
}

fn state_of(c: &Connection, id: ItemId) -> JournalResult<State> {
    let sql =
        "SELECT state FROM item WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    let word: Option<String> = c
        .prepare_cached(sql)
        .and_then(|mut s| {
            s.query_row(params![MIGRATION, id.mailbox.0, id.epoch.0, id.key.0], |r| r.get(0)).optional()
        })
        .map_err(failed)?;
    rows::state(&word.ok_or_else(|| damaged(&format!("no message {id:?}")))?)
}

/// Applies changes in order.
pub(super) fn change(c: &Connection, changes: &[Change]) -> JournalResult<()> {
    changes.iter().try_for_each(|change| apply(c, change))
}

fn apply(c: &Connection, change: &Change) -> JournalResult<()> {
    let id = change.item;
    let from = state_of(c, id)?;
    if !from.may_become(change.to) {
        return Err(JournalError::Illegal { item: id, from, to: change.to });
    }
    if change.to == State::Listed {
        return forget(c, id);
    }
    if let Some((place, origin)) = change.place {
        claim(c, id, place, origin)?;
    }
    if let Some(sent) = &change.sent {
        write_sent(c, id, sent)?;
    }
    let read = change.read_back.as_ref();
    let sql = "UPDATE item SET state = ?5, grade = COALESCE(?6, grade), kind = COALESCE(?7, kind),
                 reason = COALESCE(?8, reason),
                 read_fingerprint = CASE WHEN read_flags IS NULL THEN ?9 ELSE read_fingerprint END,
                 read_octets = CASE WHEN read_flags IS NULL THEN ?10 ELSE read_octets END,
                 read_date = CASE WHEN read_flags IS NULL THEN ?11 ELSE read_date END,
                 read_mod_seq = CASE WHEN read_flags IS NULL THEN ?12 ELSE read_mod_seq END,
                 read_flags = COALESCE(read_flags, ?13)
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    c.prepare_cached(sql)
        .and_then(|mut s| {
            s.execute(params![
                MIGRATION,
                id.mailbox.0,
                id.epoch.0,
                id.key.0,
                change.to.as_str(),
                change.grade.map(|g| g.as_str()),
                change.reason.as_ref().map(|r| &r.kind),
                change.reason.as_ref().map(|r| &r.text),
                read.and_then(|r| r.fingerprint.as_ref()).map(print),
                read.map(|r| number(r.octets)),
                read.and_then(|r| r.internal_date.as_ref()).map(|d| d.as_octets()),
                read.and_then(|r| r.mod_seq).map(number),
                read.map(|r| r.flags.as_octets()),
            ])
        })
        .map_err(failed)?;
    Ok(())
}

/// Back to `listed`: nothing of an earlier copy is remembered, and its claim is free.
fn forget(c: &Connection, id: ItemId) -> JournalResult<()> {
    let key = params![MIGRATION, id.mailbox.0, id.epoch.0, id.key.0];
    let release =
        "DELETE FROM claim WHERE migration_id = ?1 AND mailbox_id = ?2 AND item_epoch = ?3 AND item_key = ?4
                     AND (epoch_id, uid) IN (SELECT place_epoch, place_uid FROM item
                       WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4)";
    let clear = "UPDATE item SET state = 'listed', fetched = NULL, sent = NULL, sent_flags = NULL, sent_date = NULL,
                   ladder = NULL, place_epoch = NULL, place_uid = NULL, origin = NULL, read_fingerprint = NULL,
                   read_octets = NULL, read_flags = NULL, read_date = NULL, read_mod_seq = NULL, grade = NULL,
                   kind = NULL, reason = NULL
                 WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    c.prepare_cached(release).and_then(|mut s| s.execute(key)).map_err(failed)?;
    c.prepare_cached(clear).and_then(|mut s| s.execute(key)).map_err(failed)?;
    Ok(())
}

fn claim(c: &Connection, id: ItemId, place: Place, origin: Origin) -> JournalResult<()> {
    let owner = "SELECT item_epoch, item_key FROM claim
                 WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND uid = ?4";
    let at = params![MIGRATION, id.mailbox.0, place.epoch.0, place.uid.0];
    let release =
        "DELETE FROM claim WHERE migration_id = ?1 AND mailbox_id = ?2 AND item_epoch = ?3 AND item_key = ?4";
    c.prepare_cached(release)
        .and_then(|mut s| s.execute(params![MIGRATION, id.mailbox.0, id.epoch.0, id.key.0]))
        .map_err(failed)?;
    if origin != Origin::Shared {
        let taken: Option<(i64, i64)> = c
            .prepare_cached(owner)
            .and_then(|mut s| s.query_row(at, |r| Ok((r.get(0)?, r.get(1)?))).optional())
            .map_err(failed)?;
        if let Some((epoch, key)) = taken {
            let by = ItemId { mailbox: id.mailbox, epoch: EpochId(epoch), key: Key(key) };
            return Err(JournalError::ClaimTaken { mailbox: id.mailbox, uid: place.uid, by });
        }
        let insert = "INSERT INTO claim (migration_id, mailbox_id, epoch_id, uid, item_epoch, item_key)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        c.prepare_cached(insert)
            .and_then(|mut s| {
                s.execute(params![MIGRATION, id.mailbox.0, place.epoch.0, place.uid.0, id.epoch.0, id.key.0])
            })
            .map_err(failed)?;
    }
    let sql = "UPDATE item SET place_epoch = ?5, place_uid = ?6, origin = ?7
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    let values =
        params![MIGRATION, id.mailbox.0, id.epoch.0, id.key.0, place.epoch.0, place.uid.0, origin.as_str()];
    c.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)?;
    Ok(())
}

fn write_sent(c: &Connection, id: ItemId, sent: &Sent) -> JournalResult<()> {
    let sql =
        "UPDATE item SET fetched = ?5, sent = ?6, sent_flags = ?7, sent_date = ?8, ladder = ?9, octets = ?10
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    let changed = (sent.sent != sent.fetched).then(|| print(&sent.sent));
    c.prepare_cached(sql)
        .and_then(|mut s| {
            s.execute(params![
                MIGRATION,
                id.mailbox.0,
                id.epoch.0,
                id.key.0,
                print(&sent.fetched),
                changed,
                sent.flags.as_octets(),
                sent.internal_date.as_ref().map(|d| d.as_octets()),
                sent.ladder.0,
                number(sent.fetched.octets),
            ])
        })
        .map_err(failed)?;
    Ok(())
}

pub(super) fn record_listing(
    c: &Connection,
    mailbox: MailboxId,
    epoch: EpochId,
    listed: &[ListedItem],
) -> JournalResult<ListingChange> {
    let mut change = ListingChange::default();
    for new in listed {
        let known: Option<(String, Vec<u8>)> = c
            .prepare_cached(
                "SELECT state, flags FROM item
                 WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4",
            )
            .and_then(|mut s| {
                let key = params![MIGRATION, mailbox.0, epoch.0, new.key.0];
                s.query_row(key, |r| Ok((r.get(0)?, r.get(1)?))).optional()
            })
            .map_err(failed)?;
        match known {
            None => {
                change.new += 1;
                insert(c, mailbox, epoch, new)?;
            }
            Some((state, flags)) => {
                let changed = crate::message::Flags::from_octets(flags) != new.flags;
                change.flags_changed += u64::from(changed);
                update(c, mailbox, epoch, new, &state, changed)?;
            }
        }
    }
    Ok(change)
}

fn insert(c: &Connection, mailbox: MailboxId, epoch: EpochId, new: &ListedItem) -> JournalResult<()> {
    let state = if new.excluded.is_some() { State::Excluded } else { State::Listed };
    let sql = "INSERT INTO item (migration_id, mailbox_id, epoch_id, key, state, octets, flags, internal_date, mod_seq,
                 lineage, kind) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    c.prepare_cached(sql)
        .and_then(|mut s| {
            s.execute(params![
                MIGRATION,
                mailbox.0,
                epoch.0,
                new.key.0,
                state.as_str(),
                number(new.octets),
                new.flags.as_octets(),
                new.internal_date.as_ref().map(|d| d.as_octets()),
                new.mod_seq.map(number),
                new.lineage,
                new.excluded,
            ])
        })
        .map_err(failed)?;
    Ok(())
}

fn update(
    c: &Connection,
    mailbox: MailboxId,
    epoch: EpochId,
    new: &ListedItem,
    state: &str,
    flags_changed: bool,
) -> JournalResult<()> {
    let to = match (rows::state(state)?, &new.excluded) {
        (State::Excluded, None) => Some(State::Listed),
        (State::Listed | State::Excluded, Some(_)) => Some(State::Excluded),
        _ => None,
    };
    if to.is_none() && !flags_changed {
        return Ok(());
    }
    let sql = "UPDATE item SET flags = ?5, mod_seq = ?6, state = COALESCE(?7, state),
                 kind = CASE WHEN ?7 IS NULL THEN kind ELSE ?8 END
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    let to = to.map(|s| s.as_str());
    c.prepare_cached(sql)
        .and_then(|mut s| {
            let mod_seq = new.mod_seq.map(number);
            let flags = new.flags.as_octets();
            s.execute(params![MIGRATION, mailbox.0, epoch.0, new.key.0, flags, mod_seq, to, new.excluded])
        })
        .map_err(failed)?;
    Ok(())
}

pub(super) fn claims(
    c: &Connection,
    mailbox: MailboxId,
    epoch: EpochId,
    from: Key,
    limit: usize,
) -> JournalResult<Vec<(Key, ItemId)>> {
    let sql = "SELECT uid, item_epoch, item_key FROM claim
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND uid >= ?4 ORDER BY uid LIMIT ?5";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let limit = number(limit as u64);
    let owner = |r: &rusqlite::Row<'_>| {
        let item = ItemId { mailbox, epoch: EpochId(r.get(1)?), key: Key(r.get(2)?) };
        Ok((Key(r.get(0)?), item))
    };
    let found =
        statement.query_map(params![MIGRATION, mailbox.0, epoch.0, from.0, limit], owner).map_err(failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}

pub(super) fn commit_batch(c: &Connection, intent: &Intent, now: SystemTime) -> JournalResult<BatchId> {
    let next = "SELECT COALESCE(MAX(batch_id), 0) + 1 FROM batch WHERE migration_id = ?1";
    let batch: i64 =
        c.prepare_cached(next).and_then(|mut s| s.query_row([MIGRATION], |r| r.get(0))).map_err(failed)?;
    let insert = "INSERT INTO batch (migration_id, batch_id, mailbox_id, epoch_id, uid_next, form, committed_at, state)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'open')";
    let form = rows::form_word(intent.form);
    c.prepare_cached(insert)
        .and_then(|mut s| {
            let (mailbox, epoch, uid_next) = (intent.mailbox.0, intent.epoch.0, intent.uid_next.0);
            s.execute(params![MIGRATION, batch, mailbox, epoch, uid_next, form, millis(now)])
        })
        .map_err(failed)?;
    for (position, (id, sent)) in (0i64..).zip(&intent.items) {
        let from = state_of(c, *id)?;
        // Through `fetched`: a committed or doubtful item, which is in an open batch already, cannot come here.
        let legal = from == State::Fetched || from.may_become(State::Fetched);
        if !legal {
            return Err(JournalError::Illegal { item: *id, from, to: State::Committed });
        }
        write_sent(c, *id, sent)?;
        let sql = "UPDATE item SET state = 'committed'
                   WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
        let key = params![MIGRATION, id.mailbox.0, id.epoch.0, id.key.0];
        c.prepare_cached(sql).and_then(|mut s| s.execute(key)).map_err(failed)?;
        let sql = "INSERT INTO batch_item (migration_id, batch_id, position, item_epoch, item_key, sent)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![MIGRATION, batch, position, id.epoch.0, id.key.0, print(&sent.sent)];
        c.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)?;
    }
    Ok(BatchId(batch))
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
    let sql = "UPDATE batch SET state = ?3 WHERE migration_id = ?1 AND batch_id = ?2";
    let known = c
        .prepare_cached(sql)
        .and_then(|mut s| s.execute(params![MIGRATION, batch.0, word]))
        .map_err(failed)?;
    if known == 0 {
        return Err(damaged(&format!("no batch {}", batch.0)));
    }
    change(c, changes)
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
            items: batch_items(c, mailbox, id)?,
        });
    }
    Ok(batches)
}

fn batch_items(c: &Connection, mailbox: MailboxId, batch: i64) -> JournalResult<Vec<ItemId>> {
    let sql = "SELECT item_epoch, item_key FROM batch_item WHERE migration_id = ?1 AND batch_id = ?2 ORDER BY position";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let id = |r: &rusqlite::Row<'_>| Ok(ItemId { mailbox, epoch: EpochId(r.get(0)?), key: Key(r.get(1)?) });
    let found = statement.query_map(params![MIGRATION, batch], id).map_err(failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}
