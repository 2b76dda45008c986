//! Checked moves of items, and the claims they take and give back.

use super::open::MIGRATION;
use super::rows::{self, failed, number, print, unknown};
use super::tally::{Cell, Tally};
use crate::identity::Grade;
use crate::journal::{
    Change, EpochId, ItemId, JournalError, JournalResult, MailboxId, Origin, Place, Sent, State,
};
use crate::message::Key;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Applies changes in order.
pub(super) fn change(c: &Connection, changes: &[Change]) -> JournalResult<()> {
    let mut tally = Tally::default();
    changes.iter().try_for_each(|change| apply(c, change, &mut tally))?;
    tally.write(c)
}

/// What a move must know of an item.
pub(super) struct Known {
    pub(super) state: State,
    grade: Option<Grade>,
    kind: Option<String>,
    pub(super) listed_octets: i64,
    fetched: Option<Vec<u8>>,
    pub(super) place: Option<Place>,
}

impl Known {
    pub(super) fn read(c: &Connection, id: ItemId) -> JournalResult<Self> {
        let sql = "SELECT state, grade, kind, octets, fetched, place_epoch, place_uid FROM item
                   WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
        let row = |r: &Row<'_>| {
            let place: (Option<i64>, Option<i64>) = (r.get(5)?, r.get(6)?);
            let words: (String, Option<String>) = (r.get(0)?, r.get(1)?);
            Ok((words, r.get(2)?, r.get(3)?, r.get(4)?, place))
        };
        let key = params![MIGRATION, id.mailbox.0, id.epoch.0, id.key.0];
        let found =
            c.prepare_cached(sql).and_then(|mut s| s.query_row(key, row).optional()).map_err(failed)?;
        let Some(((state, grade), kind, listed_octets, fetched, (epoch, uid))) = found else {
            return Err(unknown(format!("no message {id:?}")));
        };
        Ok(Self {
            state: rows::state(&state)?,
            grade: grade.map(|word| rows::grade(&word)).transpose()?,
            kind,
            listed_octets,
            fetched,
            place: epoch.zip(uid).map(|(epoch, uid)| Place { epoch: EpochId(epoch), uid: Key(uid) }),
        })
    }

    pub(super) fn octets(&self) -> JournalResult<i64> {
        match &self.fetched {
            Some(raw) => Ok(number(rows::fingerprint(raw)?.octets)),
            None => Ok(self.listed_octets),
        }
    }

    pub(super) fn cell(&self, mailbox: MailboxId) -> Cell {
        Cell { mailbox, state: self.state, grade: self.grade, kind: self.kind.clone() }
    }
}

/// Applies one change.
pub(super) fn apply(c: &Connection, change: &Change, tally: &mut Tally) -> JournalResult<()> {
    let id = change.item;
    let known = Known::read(c, id)?;
    if change.is_elsewhere(known.state, known.place) {
        return Err(JournalError::Elsewhere { item: id });
    }
    if !known.state.may_become(change.to) {
        return Err(JournalError::Illegal { item: id, from: known.state, to: change.to });
    }
    tally.leave(known.cell(id.mailbox), known.octets()?);
    if change.to == State::Listed {
        let cell = Cell { mailbox: id.mailbox, state: State::Listed, grade: None, kind: None };
        tally.enter(cell, known.listed_octets);
        return forget(c, id, known.place);
    }
    let mut after = known;
    if let Some(sent) = &change.sent {
        write_sent(c, id, sent, after.state)?;
        after.fetched = Some(print(&sent.fetched).to_vec());
    }
    if let Some((place, origin)) = change.place {
        claim(c, id, after.place, place, origin)?;
    }
    after.state = change.to;
    after.grade = change.grade.or(after.grade);
    after.kind = change.reason.as_ref().map(|r| r.kind.clone()).or(after.kind);
    write_facts(c, change, after.fetched.as_deref())?;
    tally.enter(after.cell(id.mailbox), after.octets()?);
    Ok(())
}

/// Moves an item to `committed`, through `fetched`.
pub(super) fn commit(c: &Connection, id: ItemId, sent: &Sent, tally: &mut Tally) -> JournalResult<()> {
    let mut known = Known::read(c, id)?;
    // A committed or doubtful item, which is in an open batch already, cannot come here.
    if known.state != State::Fetched && !known.state.may_become(State::Fetched) {
        return Err(JournalError::Illegal { item: id, from: known.state, to: State::Committed });
    }
    tally.leave(known.cell(id.mailbox), known.octets()?);
    known.state = State::Committed;
    write_sent(c, id, sent, known.state)?;
    tally.enter(known.cell(id.mailbox), number(sent.fetched.octets));
    Ok(())
}

/// Writes what a change says beside what was sent; `fetched` is what the octets read back are compared with. Of read-backs
/// the first one stays; its fingerprint comes with the first that has octets.
fn write_facts(c: &Connection, change: &Change, fetched: Option<&[u8]>) -> JournalResult<()> {
    let id = change.item;
    let (place, origin) = change.place.unzip();
    let read = change.read_back.as_ref();
    let print = read.and_then(|r| r.fingerprint.as_ref()).map(|f| print(f).to_vec());
    let print = print.map(|p| if fetched == Some(&p[..]) { Vec::new() } else { p });
    let sql = "UPDATE item SET state = ?5, grade = COALESCE(?6, grade),
                 reason = CASE WHEN ?7 IS NULL THEN reason ELSE ?8 END, kind = COALESCE(?7, kind),
                 place_epoch = COALESCE(?9, place_epoch), place_uid = COALESCE(?10, place_uid),
                 origin = COALESCE(?11, origin),
                 read_fingerprint = COALESCE(read_fingerprint, ?12),
                 read_octets = CASE WHEN read_flags IS NULL THEN ?13 ELSE read_octets END,
                 read_flags = COALESCE(read_flags, ?14),
                 read_date = CASE WHEN read_flags IS NULL THEN ?15 ELSE read_date END,
                 read_mod_seq = CASE WHEN read_flags IS NULL THEN ?16 ELSE read_mod_seq END
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    c.prepare_cached(sql)
        .and_then(|mut s| {
            s.execute(params![
                MIGRATION,
                id.mailbox.0,
                id.epoch.0,
                id.key.0,
                change.to.as_str(),
                change.grade.map(Grade::as_str),
                change.reason.as_ref().map(|r| &r.kind),
                change.reason.as_ref().map(|r| &r.text),
                place.map(|p| p.epoch.0),
                place.map(|p| p.uid.0),
                origin.map(Origin::as_str),
                print,
                read.map(|r| number(r.octets)),
                read.map(|r| r.flags.as_octets()),
                read.and_then(|r| r.internal_date.as_ref()).map(|d| d.as_octets()),
                read.and_then(|r| r.mod_seq).map(number),
            ])
        })
        .map_err(failed)?;
    Ok(())
}

/// Writes what went out, and the state with it.
fn write_sent(c: &Connection, id: ItemId, sent: &Sent, state: State) -> JournalResult<()> {
    // An empty read_fingerprint speaks of what was fetched until now.
    let sql = "UPDATE item SET fetched = ?5, sent = ?6, sent_flags = ?7, sent_date = ?8, ladder = ?9, state = ?10,
                 read_fingerprint = CASE WHEN length(read_fingerprint) = 0 THEN fetched ELSE read_fingerprint END
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
                state.as_str(),
            ])
        })
        .map_err(failed)?;
    Ok(())
}

/// Back to `listed`: nothing of an earlier copy is remembered, and its claim is free.
fn forget(c: &Connection, id: ItemId, place: Option<Place>) -> JournalResult<()> {
    let clear = "UPDATE item SET state = 'listed', fetched = NULL, sent = NULL, sent_flags = NULL, sent_date = NULL,
                   ladder = NULL, place_epoch = NULL, place_uid = NULL, origin = NULL, read_fingerprint = NULL,
                   read_octets = NULL, read_flags = NULL, read_date = NULL, read_mod_seq = NULL, grade = NULL,
                   kind = NULL, reason = NULL
                 WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    let key = params![MIGRATION, id.mailbox.0, id.epoch.0, id.key.0];
    c.prepare_cached(clear).and_then(|mut s| s.execute(key)).map_err(failed)?;
    place.map_or(Ok(()), |place| release(c, id, place))
}

/// Frees a claim, if it is this item's: a shared place belongs to another one.
fn release(c: &Connection, id: ItemId, place: Place) -> JournalResult<()> {
    let sql = "DELETE FROM claim WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND uid = ?4
                 AND item_epoch = ?5 AND item_key = ?6";
    let values = params![MIGRATION, id.mailbox.0, place.epoch.0, place.uid.0, id.epoch.0, id.key.0];
    c.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)?;
    Ok(())
}

/// Takes the claim of `place` and gives back that of `old`. A shared place is no claim.
fn claim(c: &Connection, id: ItemId, old: Option<Place>, place: Place, origin: Origin) -> JournalResult<()> {
    if let Some(old) = old {
        release(c, id, old)?;
    }
    if origin == Origin::Shared {
        return Ok(());
    }
    let take = "INSERT INTO claim (migration_id, mailbox_id, epoch_id, uid, item_epoch, item_key)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (migration_id, mailbox_id, epoch_id, uid) DO NOTHING";
    let values = params![MIGRATION, id.mailbox.0, place.epoch.0, place.uid.0, id.epoch.0, id.key.0];
    let taken = c.prepare_cached(take).and_then(|mut s| s.execute(values)).map_err(failed)?;
    if taken == 1 {
        return Ok(());
    }
    let by = claims(c, id.mailbox, place.epoch, place.uid, 1)?;
    match by.first() {
        Some((uid, by)) if *uid == place.uid => {
            Err(JournalError::ClaimTaken { mailbox: id.mailbox, uid: place.uid, by: *by })
        }
        _ => Err(rows::damaged("a claim that is taken by nobody")),
    }
}

/// Claimed UIDs from `from` on with their owners, one page.
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
    let owner = |r: &Row<'_>| {
        let item = ItemId { mailbox, epoch: EpochId(r.get(1)?), key: Key(r.get(2)?) };
        Ok((Key(r.get(0)?), item))
    };
    let values = params![MIGRATION, mailbox.0, epoch.0, from.0, number(limit as u64)];
    let found = statement.query_map(values, owner).map_err(failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}
