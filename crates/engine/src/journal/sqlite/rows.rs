//! Rows to values and back.

use super::open::{MIGRATION, failure};
use crate::identity::Grade;
use crate::journal::{
    Decision, Epoch, EpochFacts, EpochId, Existing, Form, JournalError, JournalResult, MailboxId,
    MailboxRecord, Name, Side, State,
};
use crate::message::{Key, UidValidity};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use std::time::{Duration, SystemTime};

// Rows do not know their file: the handle puts its path into these errors.

/// A value that contradicts the format: the file is damaged.
pub(super) fn damaged(what: &str) -> JournalError {
    JournalError::Damaged { place: String::new(), what: what.to_owned() }
}

/// The caller asks for something that is not there, or that may not be: a defect of the engine.
pub(super) fn unknown(what: String) -> JournalError {
    JournalError::Store { place: String::new(), doing: "do what was asked", what }
}

/// SQLite's error while reading or writing rows.
pub(super) fn failed(error: rusqlite::Error) -> JournalError {
    failure("", "be read or written", &error)
}

/// Carries a statement out that is kept parsed: how many rows it changed.
pub(super) fn execute(c: &Connection, sql: &str, values: impl Params) -> rusqlite::Result<usize> {
    c.prepare_cached(sql)?.execute(values)
}

/// The one row that a statement finds, which is kept parsed.
pub(super) fn row<V>(
    c: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<V>,
) -> rusqlite::Result<V> {
    c.prepare_cached(sql)?.query_row(values, read)
}

/// The content of a block, by a statement that finds it by migration, mailbox, epoch and number.
pub(super) fn content(
    c: &Connection,
    sql: &str,
    [mailbox, epoch, number]: [i64; 3],
) -> JournalResult<Option<Vec<u8>>> {
    let key = params![MIGRATION, mailbox, epoch, number];
    row(c, sql, key, |row| row.get(0)).optional().map_err(failed)
}

/// Removes a block, by a statement that finds it as [`content`] does.
pub(super) fn remove(c: &Connection, sql: &str, [mailbox, epoch, number]: [i64; 3]) -> JournalResult<()> {
    let key = params![MIGRATION, mailbox, epoch, number];
    execute(c, sql, key).map(drop).map_err(failed)
}

pub(super) fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn time(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> JournalResult<u64> {
    u64::try_from(value).map_err(|_| damaged("a negative number of messages or octets"))
}

pub(super) fn form_word(form: Form) -> &'static str {
    match form {
        Form::Multi => "multi",
        Form::Group => "group",
    }
}

pub(super) fn form(word: &str) -> JournalResult<Form> {
    match word {
        "multi" => Ok(Form::Multi),
        "group" => Ok(Form::Group),
        _ => Err(damaged("an unknown form of batch")),
    }
}

pub(super) fn existing(word: &str) -> JournalResult<Existing> {
    let all = [Existing::New, Existing::Adopt, Existing::AppendAnyway];
    all.into_iter().find(|e| e.as_str() == word).ok_or_else(|| damaged("an unknown baseline"))
}

pub(super) fn state(word: &str) -> JournalResult<State> {
    State::parse(word).ok_or_else(|| damaged(&format!("an unknown state ({word})")))
}

pub(super) fn grade(word: &str) -> JournalResult<Grade> {
    Grade::parse(word).ok_or_else(|| damaged(&format!("an unknown grade ({word})")))
}

fn blob(row: &Row<'_>, column: usize) -> JournalResult<Option<Vec<u8>>> {
    row.get(column).map_err(failed)
}

/// Reads `mailbox_id, source_wire, source_text, source_delimiter, role, subscribed, messages, octets, decision, reason,
/// target_wire, target_text, target_delimiter`.
pub(super) fn mailbox(row: &Row<'_>) -> JournalResult<MailboxRecord> {
    let decision: String = row.get(8).map_err(failed)?;
    let reason: Option<String> = row.get(9).map_err(failed)?;
    let target = blob(row, 10)?;
    let (messages, octets): (Option<i64>, Option<i64>) =
        (row.get(6).map_err(failed)?, row.get(7).map_err(failed)?);
    Ok(MailboxRecord {
        id: MailboxId(row.get(0).map_err(failed)?),
        source: name(row, blob(row, 1)?.unwrap_or_default(), 2, 3)?,
        role: row.get(4).map_err(failed)?,
        subscribed: row.get(5).map_err(failed)?,
        messages: messages.map(unsigned).transpose()?,
        octets: octets.map(unsigned).transpose()?,
        decision: match (decision.as_str(), target) {
            ("move", Some(wire)) => Decision::Move(name(row, wire, 11, 12)?),
            ("exclude", _) => Decision::Exclude(reason.unwrap_or_default()),
            ("refuse", _) => Decision::Refuse(reason.unwrap_or_default()),
            _ => return Err(damaged("an unknown decision about a mailbox")),
        },
    })
}

fn name(row: &Row<'_>, wire: Vec<u8>, text: usize, delimiter: usize) -> JournalResult<Name> {
    let text: Option<String> = row.get(text).map_err(failed)?;
    let delimiter: Option<String> = row.get(delimiter).map_err(failed)?;
    let delimiter = delimiter.and_then(|d| d.chars().next());
    Ok(Name { wire: wire.into(), text: text.unwrap_or_default(), delimiter })
}

/// Reads `uid_validity, uid_next, messages, highest_mod_seq, object_id` from column `at` on.
pub(super) fn facts(row: &Row<'_>, at: usize) -> JournalResult<EpochFacts> {
    let uid_next: Option<i64> = row.get(at + 1).map_err(failed)?;
    let highest: Option<i64> = row.get(at + 3).map_err(failed)?;
    Ok(EpochFacts {
        uid_validity: UidValidity(row.get(at).map_err(failed)?),
        uid_next: uid_next.map(Key),
        exists: unsigned(row.get(at + 2).map_err(failed)?)?,
        highest_mod_seq: highest.map(unsigned).transpose()?,
        mailbox_id: row.get(at + 4).map_err(failed)?,
    })
}

/// Reads `epoch_id` and [`facts`] from column 1 on.
pub(super) fn epoch(row: &Row<'_>, mailbox: MailboxId, side: Side) -> JournalResult<Epoch> {
    Ok(Epoch { id: EpochId(row.get(0).map_err(failed)?), mailbox, side, facts: facts(row, 1)? })
}
