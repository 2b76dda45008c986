//! How many items are where: changed with the items, in the same transaction, and never counted anew.

use super::open::MIGRATION;
use super::rows::{self, failed, unsigned};
use crate::identity::Grade;
use crate::journal::{Count, JournalResult, MailboxId, State};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// What items are counted by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) mailbox: MailboxId,
    pub(super) state: State,
    pub(super) grade: Option<Grade>,
    pub(super) kind: Option<String>,
}

/// The differences one verb makes: written once per cell at its end, not once per item.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<Cell, (i64, i64)>);

impl Tally {
    /// An item of so many octets is now in `cell`.
    pub(super) fn enter(&mut self, cell: Cell, octets: i64) {
        self.add(cell, 1, octets);
    }

    /// An item of so many octets is no longer in `cell`.
    pub(super) fn leave(&mut self, cell: Cell, octets: i64) {
        self.add(cell, -1, -octets);
    }

    fn add(&mut self, cell: Cell, items: i64, octets: i64) {
        let sum = self.0.entry(cell).or_default();
        *sum = (sum.0 + items, sum.1.saturating_add(octets));
    }

    /// Writes the differences.
    pub(super) fn write(self, c: &Connection) -> JournalResult<()> {
        let sql = "INSERT INTO tally (migration_id, mailbox_id, state, grade, kind, items, octets)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (migration_id, mailbox_id, state, grade, kind) DO UPDATE
                   SET items = tally.items + excluded.items, octets = tally.octets + excluded.octets";
        let mut statement = c.prepare_cached(sql).map_err(failed)?;
        for (cell, (items, octets)) in self.0.into_iter().filter(|(_, sum)| *sum != (0, 0)) {
            let grade = cell.grade.map_or("", Grade::as_str);
            let kind = cell.kind.unwrap_or_default();
            let values = params![MIGRATION, cell.mailbox.0, cell.state.as_str(), grade, kind, items, octets];
            statement.execute(values).map_err(failed)?;
        }
        Ok(())
    }
}

/// The counts of one mailbox, or of all, by mailbox, state, grade and kind.
pub(super) fn counts(c: &Connection, mailbox: Option<MailboxId>) -> JournalResult<Vec<Count>> {
    let sql = "SELECT mailbox_id, state, grade, kind, items, octets FROM tally
               WHERE migration_id = ?1 AND mailbox_id BETWEEN ?2 AND ?3 AND items <> 0";
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let (first, last) = mailbox.map_or((i64::MIN, i64::MAX), |mailbox| (mailbox.0, mailbox.0));
    let mut found = statement.query([MIGRATION, first, last]).map_err(failed)?;
    let mut counts = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let (state, grade): (String, String) = (row.get(1).map_err(failed)?, row.get(2).map_err(failed)?);
        let kind: String = row.get(3).map_err(failed)?;
        counts.push(Count {
            mailbox: MailboxId(row.get(0).map_err(failed)?),
            state: rows::state(&state)?,
            grade: if grade.is_empty() { None } else { Some(rows::grade(&grade)?) },
            kind: Some(kind).filter(|k| !k.is_empty()),
            items: unsigned(row.get(4).map_err(failed)?)?,
            octets: unsigned(row.get(5).map_err(failed)?)?,
        });
    }
    counts
        .sort_by(|a, b| (a.mailbox, a.state, a.grade, &a.kind).cmp(&(b.mailbox, b.state, b.grade, &b.kind)));
    Ok(counts)
}

/// How many items of each mailbox are in each state.
pub(super) fn items(c: &Connection) -> JournalResult<BTreeMap<(MailboxId, State), i64>> {
    let sql = "SELECT mailbox_id, state, SUM(items) FROM tally WHERE migration_id = ?1
               GROUP BY mailbox_id, state HAVING SUM(items) <> 0";
    let mut statement = c.prepare(sql).map_err(failed)?;
    let mut found = statement.query([MIGRATION]).map_err(failed)?;
    let mut all = BTreeMap::new();
    while let Some(row) = found.next().map_err(failed)? {
        let word: String = row.get(1).map_err(failed)?;
        let of = (MailboxId(row.get(0).map_err(failed)?), rows::state(&word)?);
        all.insert(of, row.get(2).map_err(failed)?);
    }
    Ok(all)
}

/// Mailboxes from `from` on that hold items in one of these states, ascending, at most `limit`.
pub(super) fn mailboxes_with(
    c: &Connection,
    from: MailboxId,
    states: &[State],
    limit: usize,
) -> JournalResult<Vec<MailboxId>> {
    let words: Vec<String> = states.iter().map(|s| format!("'{}'", s.as_str())).collect();
    let sql = format!(
        "SELECT DISTINCT mailbox_id FROM tally
         WHERE migration_id = ?1 AND mailbox_id >= ?2 AND items <> 0 AND state IN ({})
         ORDER BY mailbox_id LIMIT ?3",
        words.join(", ")
    );
    let mut statement = c.prepare_cached(&sql).map_err(failed)?;
    let values = params![MIGRATION, from.0, rows::number(limit as u64)];
    let found = statement.query_map(values, |r| r.get(0).map(MailboxId)).map_err(failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}
