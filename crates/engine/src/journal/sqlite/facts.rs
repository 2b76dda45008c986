//! Mailboxes, epochs, baselines, runs, notes, sightings, settings.

use super::open::MIGRATION;
use super::rows::{self, failed, millis, number, unknown};
use crate::journal::{
    Baseline, Decision, Epoch, EpochFacts, EpochId, JournalError, JournalResult, MailboxId, MailboxRecord,
    Note, NoteRecord, RunId, RunRecord, Side, Sighting,
};
use crate::message::Key;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::SystemTime;

pub(super) fn setting(c: &Connection, name: &str) -> JournalResult<Option<String>> {
    let sql = "SELECT value FROM setting WHERE migration_id = ?1 AND name = ?2";
    rows::row(c, sql, params![MIGRATION, name], |r| r.get(0)).optional().map_err(failed)
}

pub(super) fn pin_setting(c: &Connection, name: &str, value: &str) -> JournalResult<()> {
    match setting(c, name)? {
        Some(known) if known == value => Ok(()),
        Some(known) => {
            Err(JournalError::OtherSettings { what: format!("{name} was {known}, now it is {value}") })
        }
        None => {
            let sql = "INSERT INTO setting (migration_id, name, value) VALUES (?1, ?2, ?3)";
            rows::execute(c, sql, params![MIGRATION, name, value]).map_err(failed)?;
            Ok(())
        }
    }
}

pub(super) fn begin_run(c: &Connection, verb: &str, now: SystemTime) -> JournalResult<RunId> {
    let next = "SELECT COALESCE(MAX(run_id), 0) + 1 FROM run WHERE migration_id = ?1";
    let id: i64 = rows::row(c, next, [MIGRATION], |r| r.get(0)).map_err(failed)?;
    let sql = "INSERT INTO run (migration_id, run_id, verb, started) VALUES (?1, ?2, ?3, ?4)";
    rows::execute(c, sql, params![MIGRATION, id, verb, millis(now)]).map_err(failed)?;
    Ok(RunId(id))
}

pub(super) fn end_run(c: &Connection, run: RunId, outcome: &str, now: SystemTime) -> JournalResult<()> {
    let sql = "UPDATE run SET ended = ?3, outcome = ?4 WHERE migration_id = ?1 AND run_id = ?2";
    match rows::execute(c, sql, params![MIGRATION, run.0, millis(now), outcome]).map_err(failed)? {
        0 => Err(unknown(format!("no run {}", run.0))),
        _ => Ok(()),
    }
}

pub(super) fn runs(c: &Connection, limit: usize) -> JournalResult<Vec<RunRecord>> {
    let sql = "SELECT run_id, verb, started, ended, outcome FROM run WHERE migration_id = ?1
               ORDER BY run_id DESC LIMIT ?2";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let record = |r: &Row<'_>| {
        let ended: Option<i64> = r.get(3)?;
        Ok(RunRecord {
            id: RunId(r.get(0)?),
            verb: r.get(1)?,
            started: rows::time(r.get(2)?),
            ended: ended.map(rows::time),
            outcome: r.get(4)?,
        })
    };
    let found = statement.query_map(params![MIGRATION, number(limit as u64)], record).map_err(failed)?;
    let mut runs: Vec<RunRecord> = found.collect::<Result<_, _>>().map_err(failed)?;
    runs.reverse();
    Ok(runs)
}

pub(super) fn save_mailboxes(c: &Connection, records: &[MailboxRecord]) -> JournalResult<Vec<MailboxRecord>> {
    records.iter().map(|record| save_mailbox(c, record)).collect()
}

fn save_mailbox(c: &Connection, record: &MailboxRecord) -> JournalResult<MailboxRecord> {
    let known = "SELECT mailbox_id FROM mailbox WHERE migration_id = ?1 AND source_wire = ?2";
    let known: Option<i64> = rows::row(c, known, params![MIGRATION, &record.source.wire[..]], |r| r.get(0))
        .optional()
        .map_err(failed)?;
    let next = "SELECT COALESCE(MAX(mailbox_id), 0) + 1 FROM mailbox WHERE migration_id = ?1";
    let id = match known {
        Some(id) => id,
        None => rows::row(c, next, [MIGRATION], |r| r.get(0)).map_err(failed)?,
    };
    let (word, reason, target) = match &record.decision {
        Decision::Move(name) => ("move", None, Some(name)),
        Decision::Exclude(rule) => ("exclude", Some(rule), None),
        Decision::Refuse(reason) => ("refuse", Some(reason), None),
    };
    let sql = "INSERT INTO mailbox (migration_id, mailbox_id, source_wire, source_text, source_delimiter, role,
                 subscribed, messages, octets, decision, reason, target_wire, target_text, target_delimiter)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
               ON CONFLICT (migration_id, mailbox_id) DO UPDATE SET source_text = excluded.source_text,
                 source_delimiter = excluded.source_delimiter, role = excluded.role, subscribed = excluded.subscribed,
                 messages = excluded.messages, octets = excluded.octets, decision = excluded.decision,
                 reason = excluded.reason, target_wire = excluded.target_wire, target_text = excluded.target_text,
                 target_delimiter = excluded.target_delimiter";
    rows::execute(
        c,
        sql,
        params![
            MIGRATION,
            id,
            &record.source.wire[..],
            record.source.text,
            record.source.delimiter.map(String::from),
            record.role,
            record.subscribed,
            record.messages.map(number),
            record.octets.map(number),
            word,
            reason,
            target.map(|t| &t.wire[..]),
            target.map(|t| &t.text),
            target.and_then(|t| t.delimiter).map(String::from),
        ],
    )
    .map_err(failed)?;
    Ok(MailboxRecord { id: MailboxId(id), ..record.clone() })
}

pub(super) fn mailboxes(c: &Connection) -> JournalResult<Vec<MailboxRecord>> {
    let sql = "SELECT mailbox_id, source_wire, source_text, source_delimiter, role, subscribed, messages, octets, decision,
                 reason, target_wire, target_text, target_delimiter
               FROM mailbox WHERE migration_id = ?1 ORDER BY mailbox_id";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let mut found = statement.query([MIGRATION]).map_err(failed)?;
    let mut records = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        records.push(rows::mailbox(row)?);
    }
    Ok(records)
}

pub(super) fn open_epoch(
    c: &Connection,
    mailbox: MailboxId,
    side: Side,
    facts: &EpochFacts,
) -> JournalResult<Epoch> {
    let known = "SELECT epoch_id FROM epoch
                 WHERE migration_id = ?1 AND mailbox_id = ?2 AND side = ?3 AND uid_validity = ?4";
    let same = params![MIGRATION, mailbox.0, side.as_str(), facts.uid_validity.0];
    let known: Option<i64> = rows::row(c, known, same, |r| r.get(0)).optional().map_err(failed)?;
    let next = "SELECT COALESCE(MAX(epoch_id), 0) + 1 FROM epoch WHERE migration_id = ?1";
    let id = match known {
        Some(id) => id,
        None => rows::row(c, next, [MIGRATION], |r| r.get(0)).map_err(failed)?,
    };
    let sql = "INSERT INTO epoch (migration_id, epoch_id, mailbox_id, side, uid_validity, uid_next, messages,
                 highest_mod_seq, object_id, opened)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
                 (SELECT COALESCE(MAX(opened), 0) + 1 FROM epoch WHERE migration_id = ?1))
               ON CONFLICT (migration_id, epoch_id) DO UPDATE SET uid_next = excluded.uid_next,
                 messages = excluded.messages, highest_mod_seq = excluded.highest_mod_seq,
                 object_id = excluded.object_id, opened = excluded.opened";
    rows::execute(
        c,
        sql,
        params![
            MIGRATION,
            id,
            mailbox.0,
            side.as_str(),
            facts.uid_validity.0,
            facts.uid_next.map(|k| k.0),
            number(facts.exists),
            facts.highest_mod_seq.map(number),
            facts.mailbox_id,
        ],
    )
    .map_err(failed)?;
    Ok(Epoch { id: EpochId(id), mailbox, side, facts: facts.clone() })
}

/// `+`: not by the index of all epochs in that order, which would walk those of all mailboxes.
pub(super) const EPOCHS: &str =
    "SELECT epoch_id, uid_validity, uid_next, messages, highest_mod_seq, object_id FROM epoch
                      WHERE migration_id = ?1 AND mailbox_id = ?2 AND side = ?3 ORDER BY +opened";

pub(super) fn epochs(c: &Connection, mailbox: MailboxId, side: Side) -> JournalResult<Vec<Epoch>> {
    let mut statement = c.prepare_cached(EPOCHS).map_err(failed)?;
    let mut found = statement.query(params![MIGRATION, mailbox.0, side.as_str()]).map_err(failed)?;
    let mut epochs = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        epochs.push(rows::epoch(row, mailbox, side)?);
    }
    Ok(epochs)
}

pub(super) fn baseline(c: &Connection, mailbox: MailboxId) -> JournalResult<Option<Baseline>> {
    let sql = "SELECT epoch_id, uid_next, existing, matched FROM baseline WHERE migration_id = ?1 AND mailbox_id = ?2";
    let row = |r: &Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?));
    let found: Option<(i64, i64, String, bool)> =
        rows::row(c, sql, params![MIGRATION, mailbox.0], row).optional().map_err(failed)?;
    let Some((epoch, uid_next, existing, matched)) = found else { return Ok(None) };
    let existing = rows::existing(&existing)?;
    Ok(Some(Baseline { epoch: EpochId(epoch), uid_next: Key(uid_next), existing, matched }))
}

pub(super) fn set_baseline(c: &Connection, mailbox: MailboxId, new: Baseline) -> JournalResult<()> {
    if let Some(known) = baseline(c, mailbox)? {
        let same = Baseline { matched: new.matched, ..known } == new;
        if known.epoch == new.epoch && !same {
            let what = format!("the baseline of mailbox {} is set already", mailbox.0);
            return Err(JournalError::OtherSettings { what });
        }
    }
    let sql = "INSERT INTO baseline (migration_id, mailbox_id, epoch_id, uid_next, existing, matched)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (migration_id, mailbox_id) DO UPDATE SET epoch_id = excluded.epoch_id,
                 uid_next = excluded.uid_next, existing = excluded.existing, matched = excluded.matched";
    let values =
        params![MIGRATION, mailbox.0, new.epoch.0, new.uid_next.0, new.existing.as_str(), new.matched];
    rows::execute(c, sql, values).map_err(failed)?;
    Ok(())
}

pub(super) fn note(c: &Connection, note: &Note, now: SystemTime) -> JournalResult<()> {
    let sql = "INSERT INTO note (migration_id, note_id, run_id, at, kind, mailbox_id, key, text) VALUES (?1,
                 (SELECT COALESCE(MAX(note_id), 0) + 1 FROM note WHERE migration_id = ?1),
                 (SELECT MAX(run_id) FROM run WHERE migration_id = ?1), ?2, ?3, ?4, ?5, ?6)";
    let (mailbox, key) = (note.mailbox.map(|m| m.0), note.key.map(|k| k.0));
    rows::execute(c, sql, params![MIGRATION, millis(now), note.kind, mailbox, key, note.text])
        .map_err(failed)?;
    Ok(())
}

pub(super) fn notes(
    c: &Connection,
    prefix: &str,
    after: i64,
    limit: usize,
) -> JournalResult<Vec<NoteRecord>> {
    let sql = "SELECT note_id, run_id, at, kind, mailbox_id, key, text FROM note
               WHERE migration_id = ?1 AND note_id > ?2 AND substr(kind, 1, length(?3)) = ?3 ORDER BY note_id LIMIT ?4";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let record = |r: &Row<'_>| {
        let (run, mailbox, key): (Option<i64>, Option<i64>, Option<i64>) = (r.get(1)?, r.get(4)?, r.get(5)?);
        let (kind, text) = (r.get(3)?, r.get(6)?);
        let note = Note { kind, mailbox: mailbox.map(MailboxId), key: key.map(Key), text };
        Ok(NoteRecord { id: r.get(0)?, run: run.map(RunId), at: rows::time(r.get(2)?), note })
    };
    let found = statement
        .query_map(params![MIGRATION, after, prefix, number(limit as u64)], record)
        .map_err(failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}

pub(super) fn save_sighting(c: &Connection, run: RunId, s: &Sighting) -> JournalResult<()> {
    let sql = "INSERT INTO sighting (migration_id, run_id, mailbox_id, side, epoch_id, uid_validity, uid_next,
                 messages, highest_mod_seq, object_id, uids) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
               ON CONFLICT (migration_id, mailbox_id, side, run_id) DO UPDATE SET epoch_id = excluded.epoch_id,
                 uid_validity = excluded.uid_validity, uid_next = excluded.uid_next, messages = excluded.messages,
                 highest_mod_seq = excluded.highest_mod_seq, object_id = excluded.object_id, uids = excluded.uids";
    let f = &s.facts;
    rows::execute(
        c,
        sql,
        params![
            MIGRATION,
            run.0,
            s.mailbox.0,
            s.side.as_str(),
            s.epoch.0,
            f.uid_validity.0,
            f.uid_next.map(|k| k.0),
            number(f.exists),
            f.highest_mod_seq.map(number),
            f.mailbox_id,
            s.uids,
        ],
    )
    .map_err(failed)?;
    Ok(())
}

pub(super) fn last_sighting(
    c: &Connection,
    mailbox: MailboxId,
    side: Side,
) -> JournalResult<Option<(RunId, Sighting)>> {
    let sql = "SELECT run_id, epoch_id, uids, uid_validity, uid_next, messages, highest_mod_seq, object_id FROM sighting
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND side = ?3 ORDER BY run_id DESC LIMIT 1";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let mut found = statement.query(params![MIGRATION, mailbox.0, side.as_str()]).map_err(failed)?;
    let Some(row) = found.next().map_err(failed)? else { return Ok(None) };
    let epoch = EpochId(row.get(1).map_err(failed)?);
    let sighting =
        Sighting { mailbox, side, epoch, facts: rows::facts(row, 3)?, uids: row.get(2).map_err(failed)? };
    Ok(Some((RunId(row.get(0).map_err(failed)?), sighting)))
}
