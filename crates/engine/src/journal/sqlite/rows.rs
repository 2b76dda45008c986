//! Rows to values and back.

use super::open::failure;
use crate::identity::Grade;
use crate::journal::{
    Decision, Epoch, EpochFacts, EpochId, Existing, Form, Item, ItemId, JournalError, JournalResult, Ladder,
    MailboxId, MailboxRecord, Name, Origin, Place, ReadBack, Reason, Sent, Side, State,
};
use crate::message::{Digest, Fingerprint, Flags, InternalDate, Key, UidValidity};
use rusqlite::Row;
use std::time::{Duration, SystemTime};

/// Columns of an item, in the order that [`item`] reads.
pub(super) const ITEM: &str = "mailbox_id, epoch_id, key, state, octets, flags, internal_date, lineage, fetched, sent, \
     sent_flags, sent_date, ladder, place_epoch, place_uid, origin, read_fingerprint, read_octets, read_flags, \
     read_date, read_mod_seq, grade, kind, reason";

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

pub(super) fn print(fingerprint: &Fingerprint) -> [u8; 72] {
    let mut out = [0; 72];
    out[..8].copy_from_slice(&fingerprint.octets.to_be_bytes());
    out[8..40].copy_from_slice(&fingerprint.exact.0);
    out[40..].copy_from_slice(&fingerprint.normal.0);
    out
}

pub(super) fn fingerprint(raw: &[u8]) -> JournalResult<Fingerprint> {
    let raw: &[u8; 72] = raw.try_into().map_err(|_| damaged("a fingerprint of another length"))?;
    let (octets, digests) = raw.split_at(8);
    let (exact, normal) = digests.split_at(32);
    let part = |p: &[u8]| p.try_into().map_err(|_| damaged("a fingerprint"));
    Ok(Fingerprint {
        octets: u64::from_be_bytes(octets.try_into().map_err(|_| damaged("a fingerprint"))?),
        exact: Digest(part(exact)?),
        normal: Digest(part(normal)?),
    })
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

/// Reads the columns of [`ITEM`].
pub(super) fn item(row: &Row<'_>) -> JournalResult<Item> {
    let get = |e: rusqlite::Error| failed(e);
    let id = ItemId {
        mailbox: MailboxId(row.get(0).map_err(get)?),
        epoch: EpochId(row.get(1).map_err(get)?),
        key: Key(row.get(2).map_err(get)?),
    };
    let sent = sent(row)?;
    let kind: Option<String> = row.get(22).map_err(get)?;
    let text: Option<String> = row.get(23).map_err(get)?;
    Ok(Item {
        id,
        state: state(word(row, 3)?.unwrap_or_default())?,
        octets: unsigned(row.get(4).map_err(get)?)?,
        flags: flags(row, 5)?.unwrap_or_default(),
        internal_date: date(row, 6)?,
        lineage: row.get(7).map_err(get)?,
        place: place(row)?,
        origin: origin(row)?,
        read_back: read_back(row, sent.as_ref())?,
        sent,
        grade: word(row, 21)?.map(grade).transpose()?,
        reason: kind.map(|kind| Reason { kind, text: text.unwrap_or_default() }),
    })
}

/// The octets of a column, as long as the row is the current one.
fn octets<'a>(row: &'a Row<'_>, column: usize) -> JournalResult<Option<&'a [u8]>> {
    row.get_ref(column).map_err(failed)?.as_blob_or_null().map_err(|e| failed(e.into()))
}

/// The text of a column, as long as the row is the current one.
fn word<'a>(row: &'a Row<'_>, column: usize) -> JournalResult<Option<&'a str>> {
    row.get_ref(column).map_err(failed)?.as_str_or_null().map_err(|e| failed(e.into()))
}

fn blob(row: &Row<'_>, column: usize) -> JournalResult<Option<Vec<u8>>> {
    Ok(octets(row, column)?.map(<[u8]>::to_vec))
}

fn flags(row: &Row<'_>, column: usize) -> JournalResult<Option<Flags>> {
    Ok(blob(row, column)?.map(Flags::from_octets))
}

fn date(row: &Row<'_>, column: usize) -> JournalResult<Option<InternalDate>> {
    Ok(blob(row, column)?.map(InternalDate::from_octets))
}

fn sent(row: &Row<'_>) -> JournalResult<Option<Sent>> {
    let Some(fetched) = octets(row, 8)? else { return Ok(None) };
    let fetched = fingerprint(fetched)?;
    let sent = octets(row, 9)?.map(fingerprint).transpose()?.unwrap_or(fetched);
    let ladder: Option<u8> = row.get(12).map_err(failed)?;
    Ok(Some(Sent {
        fetched,
        sent,
        flags: flags(row, 10)?.unwrap_or_default(),
        internal_date: date(row, 11)?,
        ladder: Ladder(ladder.unwrap_or(0)),
    }))
}

fn place(row: &Row<'_>) -> JournalResult<Option<Place>> {
    let (epoch, uid): (Option<i64>, Option<i64>) =
        (row.get(13).map_err(failed)?, row.get(14).map_err(failed)?);
    Ok(epoch.zip(uid).map(|(epoch, uid)| Place { epoch: EpochId(epoch), uid: Key(uid) }))
}

fn origin(row: &Row<'_>) -> JournalResult<Option<Origin>> {
    let origin = |w| Origin::parse(w).ok_or_else(|| damaged("an unknown origin"));
    word(row, 15)?.map(origin).transpose()
}

fn read_back(row: &Row<'_>, sent: Option<&Sent>) -> JournalResult<Option<ReadBack>> {
    let Some(flags) = flags(row, 18)? else { return Ok(None) };
    let size: Option<i64> = row.get(17).map_err(failed)?;
    let mod_seq: Option<i64> = row.get(20).map_err(failed)?;
    Ok(Some(ReadBack {
        fingerprint: match octets(row, 16)? {
            Some([]) => {
                Some(sent.ok_or_else(|| damaged("octets read back of a message never sent"))?.fetched)
            }
            raw => raw.map(fingerprint).transpose()?,
        },
        octets: unsigned(size.unwrap_or(0))?,
        flags,
        internal_date: date(row, 19)?,
        mod_seq: mod_seq.map(unsigned).transpose()?,
    }))
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
