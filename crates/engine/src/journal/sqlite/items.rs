//! Items as listed, and pages of them.

use super::moves;
use super::open::MIGRATION;
use super::record::{Block, BlockId, UNPLACED, bit};
use super::rows::{damaged, failed};
use super::tally;
use super::work::Work;
use crate::journal::state::{item_of, moves_of_rules};
use crate::journal::{
    Change, EpochId, Item, ItemId, JournalResult, ListedItem, ListingChange, MailboxId, State, is_other,
};
use crate::message::Key;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// An owned [`crate::journal::Query`].
pub(super) struct Page {
    pub(super) mailbox: Option<MailboxId>,
    pub(super) states: Vec<State>,
    pub(super) after: Option<ItemId>,
    pub(super) limit: usize,
}

/// One page.
pub(super) fn items(c: &Connection, page: &Page) -> JournalResult<Vec<Item>> {
    let after = page.after;
    let position = |mailbox: MailboxId| match after {
        Some(a) if a.mailbox == mailbox => Some((a.epoch, a.key)),
        Some(a) if a.mailbox > mailbox => Some((EpochId(i64::MAX), Key(i64::MAX))),
        _ => None,
    };
    match page.mailbox {
        Some(mailbox) => in_states(c, mailbox, &page.states, position(mailbox), page.limit),
        None => {
            let states = if page.states.is_empty() { &State::ALL[..] } else { &page.states[..] };
            let mut found = Vec::new();
            let mut from = after.map_or(MailboxId(i64::MIN), |a| a.mailbox);
            while found.len() < page.limit {
                let Some(mailbox) = tally::mailboxes_with(c, from, states, 1)?.pop() else { break };
                let left = page.limit - found.len();
                found.extend(in_states(c, mailbox, &page.states, position(mailbox), left)?);
                let Some(next) = mailbox.0.checked_add(1) else { break };
                from = MailboxId(next);
            }
            Ok(found)
        }
    }
}

/// Where a page begins: after this epoch and key.
type Position = Option<(EpochId, Key)>;

fn in_states(
    c: &Connection,
    mailbox: MailboxId,
    states: &[State],
    after: Position,
    limit: usize,
) -> JournalResult<Vec<Item>> {
    let bits =
        if states.is_empty() { i64::MAX } else { states.iter().fold(0, |all, state| all | bit(*state)) };
    let wanted = |item: &Item| states.is_empty() || states.contains(&item.state);
    read_page(c, mailbox, bits, wanted, after, limit)
}

/// Items stored without a place, one page.
pub(super) fn unplaced(
    c: &Connection,
    mailbox: MailboxId,
    after: Option<ItemId>,
    limit: usize,
) -> JournalResult<Vec<Item>> {
    let wanted = |item: &Item| item.state == State::Stored && item.place.is_none();
    read_page(c, mailbox, UNPLACED, wanted, after.map(|a| (a.epoch, a.key)), limit)
}

/// The index is named, since it holds what each block is asked for: blocks without such an item are passed over in it and
/// not read.
const PAGE: &str = "SELECT epoch_id, block, content FROM item_block INDEXED BY item_block_states
                    WHERE migration_id = ?1 AND mailbox_id = ?2 AND (epoch_id, block) >= (?3, ?4) AND states & ?5 <> 0
                    ORDER BY epoch_id, block";

/// Reads blocks whose summary has one of `bits`, from the position on, until the page is full.
fn read_page(
    c: &Connection,
    mailbox: MailboxId,
    bits: i64,
    wanted: impl Fn(&Item) -> bool,
    after: Position,
    limit: usize,
) -> JournalResult<Vec<Item>> {
    let (epoch, key) = after.unwrap_or((EpochId(i64::MIN), Key(i64::MIN)));
    let first = BlockId::of(ItemId { mailbox, epoch, key });
    let mut statement = c.prepare_cached(PAGE).map_err(failed)?;
    let mut found =
        statement.query(params![MIGRATION, mailbox.0, epoch.0, first.number, bits]).map_err(failed)?;
    let mut page = Vec::new();
    while page.len() < limit {
        let Some(row) = found.next().map_err(failed)? else { break };
        let epoch = EpochId(row.get(0).map_err(failed)?);
        let id = BlockId { mailbox, epoch, number: row.get(1).map_err(failed)? };
        let block = Block::read(id, row.get(2).map_err(failed)?)?;
        let items = block.into_items().into_iter();
        page.extend(items.filter(|i| after.is_none_or(|after| (i.id.epoch, i.id.key) > after) && wanted(i)));
    }
    page.truncate(limit);
    Ok(page)
}

/// Records part of a listing.
pub(super) fn record_listing(
    c: &Connection,
    mailbox: MailboxId,
    epoch: EpochId,
    listed: &[ListedItem],
) -> JournalResult<ListingChange> {
    let mut change = ListingChange::default();
    let mut work = Work::new(c);
    for new in listed {
        let id = ItemId { mailbox, epoch, key: new.key };
        let Some(known) = work.find(id)? else {
            change.new += 1;
            work.put(item_of(id, new))?;
            continue;
        };
        change.others += u64::from(is_other(known.octets, known.internal_date.as_ref(), new));
        let rule = known.reason.as_ref().map(|r| r.kind.as_str());
        let moves = moves_of_rules(id, known.state, rule, new.excluded.as_deref());
        if known.flags != new.flags {
            change.flags_changed += 1;
            work.edit(id, |item| item.flags = new.flags.clone())?;
        }
        moves.iter().try_for_each(|change| moves::apply(&mut work, change))?;
    }
    work.write()?;
    Ok(change)
}

/// How many items of each mailbox are in each state, by reading all of them; a block whose summary is wrong is damage.
pub(super) fn count(c: &Connection) -> JournalResult<BTreeMap<(MailboxId, State), i64>> {
    let sql = "SELECT mailbox_id, epoch_id, block, states, content FROM item_block WHERE migration_id = ?1";
    let mut statement = c.prepare(sql).map_err(failed)?;
    let mut found = statement.query([MIGRATION]).map_err(failed)?;
    let mut counted = BTreeMap::new();
    while let Some(row) = found.next().map_err(failed)? {
        let (mailbox, epoch) = (MailboxId(row.get(0).map_err(failed)?), EpochId(row.get(1).map_err(failed)?));
        let id = BlockId { mailbox, epoch, number: row.get(2).map_err(failed)? };
        let block = Block::read(id, row.get(4).map_err(failed)?)?;
        if block.summary() != row.get::<_, i64>(3).map_err(failed)? {
            return Err(damaged("a block holds messages in other states than it says"));
        }
        for item in block.items() {
            *counted.entry((mailbox, item.state)).or_default() += 1;
        }
    }
    Ok(counted)
}

/// Moves items, all or none.
pub(super) fn change(c: &Connection, changes: &[Change]) -> JournalResult<()> {
    let mut work = Work::new(c);
    changes.iter().try_for_each(|change| moves::apply(&mut work, change))?;
    work.write()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand mailboxes would be walked ten thousand times.
    #[test]
    fn what_is_asked_for_each_mailbox_walks_no_other() {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(include_str!("schema.sql")).unwrap();
        for sql in [crate::journal::sqlite::facts::EPOCHS, crate::journal::sqlite::batches::OPEN, PAGE] {
            let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            for n in 1..=statement.parameter_count() {
                statement.raw_bind_parameter(n, 1).unwrap();
            }
            let mut found = statement.raw_query();
            let plan: String = found.next().unwrap().unwrap().get("detail").unwrap();
            assert!(plan.contains("(migration_id=? AND mailbox_id=?"), "{sql}: {plan}");
        }
    }

    #[test]
    fn a_page_is_found_without_reading_the_blocks_in_which_nothing_is_wanted() {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(include_str!("schema.sql")).unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {PAGE}");
        let plan: String = c.query_row(&explain, params![1, 1, 1, 1, 1], |row| row.get("detail")).unwrap();
        let by_index =
            "USING INDEX item_block_states (migration_id=? AND mailbox_id=? AND (epoch_id,block)>(?,?))";
        assert!(plan.ends_with(by_index), "{plan}");
    }
}
