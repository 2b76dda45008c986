//! Items as listed, and pages of them.

use super::moves;
use super::open::MIGRATION;
use super::rows::{self, failed, number};
use super::tally::{self, Cell, Tally};
use crate::journal::state::moves_of_rules;
use crate::journal::{
    EpochId, Item, ItemId, JournalResult, ListedItem, ListingChange, MailboxId, State, is_other,
};
use crate::message::{Flags, InternalDate, Key};
use rusqlite::{Connection, OptionalExtension, params};

/// An owned [`crate::journal::Query`].
pub(super) struct Page {
    pub(super) mailbox: Option<MailboxId>,
    pub(super) states: Vec<State>,
    pub(super) after: Option<ItemId>,
    pub(super) limit: usize,
}

/// One page. Each statement starts at its first row in an index and stops at the limit: nothing is sorted, no earlier
/// row is passed over.
pub(super) fn items(c: &Connection, page: &Page) -> JournalResult<Vec<Item>> {
    let after = page.after;
    let position = |mailbox: MailboxId| match after {
        Some(a) if a.mailbox == mailbox => Some((a.epoch, a.key)),
        Some(a) if a.mailbox > mailbox => Some((EpochId(i64::MAX), Key(i64::MAX))),
        _ => None,
    };
    match page.mailbox {
        Some(mailbox) if page.states.is_empty() => any_state(c, mailbox, position(mailbox), page.limit),
        Some(mailbox) => in_states(c, mailbox, &page.states, position(mailbox), page.limit),
        None => {
            let states = if page.states.is_empty() { &State::ALL[..] } else { &page.states[..] };
            let mut found = Vec::new();
            let mut from = after.map_or(MailboxId(i64::MIN), |a| a.mailbox);
            while found.len() < page.limit {
                let Some(mailbox) = tally::mailboxes_with(c, from, states, 1)?.pop() else { break };
                let left = page.limit - found.len();
                found.extend(match page.states.is_empty() {
                    true => any_state(c, mailbox, position(mailbox), left)?,
                    false => in_states(c, mailbox, &page.states, position(mailbox), left)?,
                });
                let Some(next) = mailbox.0.checked_add(1) else { break };
                from = MailboxId(next);
            }
            Ok(found)
        }
    }
}

/// Where a page begins: after this epoch and key.
type Position = Option<(EpochId, Key)>;

fn any_state(c: &Connection, mailbox: MailboxId, after: Position, limit: usize) -> JournalResult<Vec<Item>> {
    read_page(c, &page_sql(None), mailbox, after, limit)
}

/// The states are read one by one, as each is a range of the index, and merged.
fn in_states(
    c: &Connection,
    mailbox: MailboxId,
    states: &[State],
    after: Position,
    limit: usize,
) -> JournalResult<Vec<Item>> {
    let mut found = Vec::new();
    let mut read: Vec<State> = Vec::new();
    for state in states {
        if !read.contains(state) {
            found.extend(read_page(c, &page_sql(Some(*state)), mailbox, after, limit)?);
            read.push(*state);
        }
    }
    found.sort_unstable_by_key(|item| item.id);
    found.truncate(limit);
    Ok(found)
}

/// Items stored without a place, one page.
pub(super) fn unplaced(
    c: &Connection,
    mailbox: MailboxId,
    after: Option<ItemId>,
    limit: usize,
) -> JournalResult<Vec<Item>> {
    let sql = format!(
        "SELECT {} FROM item INDEXED BY item_unplaced WHERE migration_id = ?1 AND mailbox_id = ?2 AND state = 'stored'
           AND place_uid IS NULL AND (epoch_id, key) > (?3, ?4) ORDER BY epoch_id, key LIMIT ?5",
        rows::ITEM
    );
    read_page(c, &sql, mailbox, after.map(|a| (a.epoch, a.key)), limit)
}

/// The index is named: left to itself SQLite takes the primary key, and walks all that was ever proven to find the few
/// items that a page is asked for.
fn page_sql(state: Option<State>) -> String {
    let (index, filter) = match state {
        Some(state) => ("INDEXED BY item_by_state", format!("AND state = '{}'", state.as_str())),
        None => ("", String::new()),
    };
    format!(
        "SELECT {} FROM item {index} WHERE migration_id = ?1 AND mailbox_id = ?2 {filter} AND (epoch_id, key) > (?3, ?4)
         ORDER BY epoch_id, key LIMIT ?5",
        rows::ITEM
    )
}

fn read_page(
    c: &Connection,
    sql: &str,
    mailbox: MailboxId,
    after: Position,
    limit: usize,
) -> JournalResult<Vec<Item>> {
    let (epoch, key) = after.unwrap_or((EpochId(i64::MIN), Key(i64::MIN)));
    let mut statement = c.prepare_cached(sql).map_err(failed)?;
    let values = params![MIGRATION, mailbox.0, epoch.0, key.0, number(limit as u64)];
    let mut found = statement.query(values).map_err(failed)?;
    let mut items = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        items.push(rows::item(row)?);
    }
    Ok(items)
}

/// Records part of a listing.
pub(super) fn record_listing(
    c: &Connection,
    mailbox: MailboxId,
    epoch: EpochId,
    listed: &[ListedItem],
) -> JournalResult<ListingChange> {
    let mut change = ListingChange::default();
    let mut tally = Tally::default();
    // A listing goes on as it began: mostly of new messages, or mostly of known ones.
    let mut expect_new = true;
    for new in listed {
        let id = ItemId { mailbox, epoch, key: new.key };
        if expect_new && insert(c, id, new, &mut tally)? {
            change.new += 1;
            continue;
        }
        let known = known(c, id)?;
        expect_new = known.is_none();
        match known {
            None => change.new += u64::from(insert(c, id, new, &mut tally)?),
            Some(known) => {
                change.others += u64::from(is_other(known.octets, known.internal_date.as_ref(), new));
                change.flags_changed += u64::from(known.flags != new.flags);
                update(c, id, new, &known, &mut tally)?;
            }
        }
    }
    tally.write(c)?;
    Ok(change)
}

struct Known {
    state: State,
    kind: Option<String>,
    flags: Flags,
    mod_seq: Option<i64>,
    octets: u64,
    internal_date: Option<InternalDate>,
}

fn known(c: &Connection, id: ItemId) -> JournalResult<Option<Known>> {
    let sql = "SELECT state, kind, flags, mod_seq, octets, internal_date FROM item
               WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
    let row = |r: &rusqlite::Row<'_>| {
        let words = (r.get::<_, String>(0)?, r.get(1)?);
        let facts = (r.get::<_, Vec<u8>>(2)?, r.get(3)?);
        Ok((words, facts, r.get::<_, i64>(4)?, r.get::<_, Option<Vec<u8>>>(5)?))
    };
    let found = c
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row(params![MIGRATION, id.mailbox.0, id.epoch.0, id.key.0], row).optional())
        .map_err(failed)?;
    let Some(((state, kind), (flags, mod_seq), octets, date)) = found else { return Ok(None) };
    Ok(Some(Known {
        state: rows::state(&state)?,
        kind,
        flags: Flags::from_octets(flags),
        mod_seq,
        octets: rows::unsigned(octets)?,
        internal_date: date.map(InternalDate::from_octets),
    }))
}

/// False if it is there already.
fn insert(c: &Connection, id: ItemId, new: &ListedItem, tally: &mut Tally) -> JournalResult<bool> {
    let state = if new.excluded.is_some() { State::Excluded } else { State::Listed };
    let sql = "INSERT INTO item (migration_id, mailbox_id, epoch_id, key, state, octets, flags, internal_date, mod_seq,
                 lineage, kind) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
               ON CONFLICT (migration_id, mailbox_id, epoch_id, key) DO NOTHING";
    let inserted = c
        .prepare_cached(sql)
        .and_then(|mut s| {
            s.execute(params![
                MIGRATION,
                id.mailbox.0,
                id.epoch.0,
                id.key.0,
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
    if inserted == 1 {
        let cell = Cell { mailbox: id.mailbox, state, grade: None, kind: new.excluded.clone() };
        tally.enter(cell, number(new.octets));
    }
    Ok(inserted == 1)
}

/// Flags and MODSEQ follow the source; rules exclude and let go what has not been copied.
fn update(
    c: &Connection,
    id: ItemId,
    new: &ListedItem,
    known: &Known,
    tally: &mut Tally,
) -> JournalResult<()> {
    let mod_seq = new.mod_seq.map(number).or(known.mod_seq);
    if known.flags != new.flags || mod_seq != known.mod_seq {
        let sql = "UPDATE item SET flags = ?5, mod_seq = ?6
                   WHERE migration_id = ?1 AND mailbox_id = ?2 AND epoch_id = ?3 AND key = ?4";
        let values = params![MIGRATION, id.mailbox.0, id.epoch.0, id.key.0, new.flags.as_octets(), mod_seq];
        c.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)?;
    }
    let moves = moves_of_rules(id, known.state, known.kind.as_deref(), new.excluded.as_deref());
    moves.iter().try_for_each(|change| moves::apply(c, change, tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How SQLite finds the rows of a page.
    fn plan(state: Option<State>) -> String {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(include_str!("schema.sql")).unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {}", page_sql(state));
        c.query_row(&explain, params![1, 1, 1, 1, 1], |row| row.get("detail")).unwrap()
    }

    #[test]
    fn a_page_of_one_state_is_found_without_walking_the_items_in_other_states() {
        let by_state = "USING INDEX item_by_state (migration_id=? AND mailbox_id=? AND state=? AND (epoch_id,key)>(?,?))";
        assert!(plan(Some(State::Stored)).ends_with(by_state), "{}", plan(Some(State::Stored)));
        let by_key = "USING PRIMARY KEY (migration_id=? AND mailbox_id=? AND (epoch_id,key)>(?,?))";
        assert!(plan(None).ends_with(by_key), "{}", plan(None));
    }
}
