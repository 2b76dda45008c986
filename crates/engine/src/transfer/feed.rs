//! Asks the source for the octets of listed messages, in ranges, ahead of need and within the memory reserved.

use super::job::Job;
use crate::context::Context;
use crate::end::{FetchEvent, FetchRange, Fetched, Source, Target, Wanted, Way};
use crate::error::Error;
use crate::journal::{EpochId, Item, ItemId, Journal, Query, State};
use crate::limits::Limits;
use crate::message::Key;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Unit of the memory reservation, in octets.
const UNIT_OCTETS: u64 = 1024;
/// Reserved for a message that goes to the spool, in octets: what passes through memory on its way.
const SPOOLED_OCTETS: u64 = 512 * 1024;

/// Reserved for what is kept of a message beside its octets while it is on its way. Of small messages it is the larger part:
/// without it 200,000 of 1 kB took 137 MiB.
const FACTS_OCTETS: u64 = 3 * 1024;

/// The memory share of one mailbox in work: no other mailbox can starve it.
pub fn memory_share(limits: &Limits, mailboxes_in_work: usize) -> Arc<Semaphore> {
    let share = limits.body_memory_octets / mailboxes_in_work.max(1) as u64;
    // Two open batches, one being built, a range asked for and one message beyond must fit, else nothing would move; and
    // one that goes to the spool.
    let least =
        3 * limits.batch_octets_max + limits.fetch_range_octets_max + limits.body_in_memory_octets_max;
    let least = least.max(u64::from(memory_units(limits, u64::MAX)) * UNIT_OCTETS);
    Arc::new(Semaphore::new(usize::try_from(share.max(least) / UNIT_OCTETS).unwrap_or(usize::MAX >> 4)))
}

/// Units of [`memory_share`] to reserve for a message of `octets`.
pub fn memory_units(limits: &Limits, octets: u64) -> u32 {
    units(limits.body_in_memory_octets_max, octets)
}

fn units(in_memory_octets_max: u64, octets: u64) -> u32 {
    let octets = if octets > in_memory_octets_max { SPOOLED_OCTETS } else { octets };
    u32::try_from((octets + FACTS_OCTETS) / UNIT_OCTETS + 1).unwrap_or(u32::MAX)
}

/// Memory reserved in one piece for messages of which no more is known than how many they are and how many octets they have
/// together.
#[derive(Debug)]
pub struct Lot {
    memory: OwnedSemaphorePermit,
    in_memory_octets_max: u64,
}

impl Lot {
    /// `None` where they are no lot that one range may ask for, and where memory for all of them is not free now.
    pub fn reserve_now(limits: &Limits, messages: u64, octets: u64, memory: &Arc<Semaphore>) -> Option<Self> {
        let units = lot_units(limits, messages, octets)?;
        let memory = memory.clone().try_acquire_many_owned(units).ok()?;
        Some(Self { memory, in_memory_octets_max: limits.body_in_memory_octets_max })
    }

    /// What is reserved of it for one message of `octets`; `None` where so much is not left.
    pub fn part(&mut self, octets: u64) -> Option<OwnedSemaphorePermit> {
        self.memory.split(units(self.in_memory_octets_max, octets) as usize)
    }
}

/// Pure: units to reserve for a lot. `None` where there is nothing in it, where it is more than one range may ask for, and where
/// one of it may have to go to the spool.
fn lot_units(limits: &Limits, messages: u64, octets: u64) -> Option<u32> {
    let is_few = (1..=limits.fetch_range_messages_max as u64).contains(&messages);
    // No message is empty: a size of nothing is one that the server does not know.
    if !is_few || octets == 0 || octets > limits.body_in_memory_octets_max {
        return None;
    }
    // The units of each are rounded by themselves.
    let units = octets.checked_add(messages * FACTS_OCTETS)? / UNIT_OCTETS + messages;
    u32::try_from(units).ok().filter(|_| units * UNIT_OCTETS <= limits.fetch_range_octets_max)
}

/// What the feeder tells the shell.
#[derive(Debug)]
pub enum Fed {
    /// These are asked for; their facts come with them.
    Asked(Vec<Item>),
    /// All memory is reserved: nothing more comes before something is freed.
    Starved,
    /// Memory is there again.
    Resumed,
    /// Every listed message of this pass has been asked for.
    Done,
}

/// Which messages a pass asks for.
#[derive(Debug)]
pub struct Wish {
    /// Only messages of this source epoch: numbers of others mean nothing.
    pub epoch: EpochId,
    /// Asked for alone, one after the other, because an earlier FETCH of them failed; nothing else is, if any.
    pub only: BTreeSet<Key>,
    /// Not asked for in this pass, unless they are in `only`.
    pub without: BTreeSet<Key>,
    /// How to ask.
    pub way: Way,
    /// No more messages than this go into one batch, because earlier ones got no answer.
    pub together_max: Option<u64>,
}

impl Wish {
    /// Everything that is listed in `epoch`.
    pub fn new(epoch: EpochId) -> Self {
        Self { epoch, only: BTreeSet::new(), without: BTreeSet::new(), way: Way::Whole, together_max: None }
    }

    fn holds(&self, id: ItemId) -> bool {
        let asked = match self.only.is_empty() {
            true => !self.without.contains(&id.key),
            false => self.only.contains(&id.key),
        };
        asked && id.epoch == self.epoch
    }
}

/// Messages that came before this pass began, and where they go.
#[derive(Debug)]
pub struct FetchedAhead {
    /// With memory reserved for them.
    pub bodies: BTreeMap<Key, Fetched>,
    /// The way of what the source gives.
    pub events: mpsc::Sender<FetchEvent>,
}

impl FetchedAhead {
    /// Hands over what of a page is here already, and returns the rest. Only what comes first is taken, since messages go in order;
    /// `None` when the shell is gone.
    async fn hand_over(self, mut page: Vec<Item>, wish: &Wish, fed: &mpsc::Sender<Fed>) -> Option<Vec<Item>> {
        let Self { mut bodies, events } = self;
        let is_plain = wish.only.is_empty() && wish.way == Way::Whole;
        let here = page.iter().take_while(|item| is_plain && bodies.contains_key(&item.id.key)).count();
        let rest = page.split_off(here);
        let keys: Vec<Key> = page.iter().map(|item| item.id.key).collect();
        if !page.is_empty() {
            fed.send(Fed::Asked(page)).await.ok()?;
        }
        for fetched in keys.iter().filter_map(|key| bodies.remove(key)) {
            events.send(FetchEvent::Fetched(fetched)).await.ok()?;
        }
        Some(rest)
    }
}

/// Walks the listed messages of a mailbox in order, hands over what came `ahead` and asks for the others, in ranges within `limits`.
/// Ends when all are asked for, or when the other side of `ranges` is gone.
pub async fn feed<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    limits: &Limits,
    (job, wish, ahead): (&Job, &Wish, FetchedAhead),
    memory: &Arc<Semaphore>,
    ranges: mpsc::Sender<FetchRange>,
    fed: mpsc::Sender<Fed>,
) -> Result<(), Error> {
    let (mut after, mut range_id): (Option<ItemId>, u64) = (None, 0);
    // Gone after the first page: the shell waits for what holds the way of the source.
    let mut ahead = Some(ahead);
    loop {
        let states = &[State::Listed];
        let limit = limits.journal_page_rows;
        let page = ctx.journal.items(Query { mailbox: Some(job.record.id), states, after, limit }).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        let mut page: Vec<Item> = page.into_iter().filter(|i| wish.holds(i.id) && !job.leaves(i)).collect();
        if let Some(ahead) = ahead.take() {
            let Some(rest) = ahead.hand_over(page, wish, &fed).await else { return Ok(()) };
            page = rest;
        }
        for items in split(&page, limits, !wish.only.is_empty()) {
            range_id += 1;
            let Some(range) = reserve(items, range_id, wish, limits, memory, &fed).await else {
                return Ok(());
            };
            // The other side may be gone before it is this range's turn.
            let turn = tokio::select! {
                turn = ctx.pace.source.turn() => turn,
                () = fed.closed() => return Ok(()),
            };
            let Ok(turn) = turn else { return Ok(()) };
            turn.pay(items.iter().map(|i| i.octets).sum());
            if fed.send(Fed::Asked(items.to_vec())).await.is_err() || ranges.send(range).await.is_err() {
                return Ok(());
            }
        }
    }
    drop(ahead);
    // The shell may be gone; then nobody needs to know.
    let _ = fed.send(Fed::Done).await;
    Ok(())
}

/// Cuts a page into ranges by number and size, so that the memory for one range can always be had: what counts is
/// the size or the memory reserved for it, whichever is more.
pub fn split<'a>(page: &'a [Item], limits: &Limits, alone: bool) -> Vec<&'a [Item]> {
    let messages_max = if alone { 1 } else { limits.fetch_range_messages_max };
    let (mut ranges, mut start, mut octets) = (Vec::new(), 0, 0u64);
    for (i, item) in page.iter().enumerate() {
        let reserved = u64::from(memory_units(limits, item.octets)) * UNIT_OCTETS;
        let cost = item.octets.max(reserved);
        let full = i - start >= messages_max || (i > start && octets + cost > limits.fetch_range_octets_max);
        if full {
            ranges.push(&page[start..i]);
            (start, octets) = (i, 0);
        }
        octets += cost;
    }
    if start < page.len() {
        ranges.push(&page[start..]);
    }
    ranges
}

/// Reserves memory for each message of a range before it is asked for. `None` when the shell is gone.
async fn reserve(
    items: &[Item],
    id: u64,
    wish: &Wish,
    limits: &Limits,
    memory: &Arc<Semaphore>,
    fed: &mpsc::Sender<Fed>,
) -> Option<FetchRange> {
    let mut wanted = Vec::with_capacity(items.len());
    for item in items {
        let units = memory_units(limits, item.octets);
        let permit = match memory.clone().try_acquire_many_owned(units) {
            Ok(permit) => permit,
            Err(_) => {
                fed.send(Fed::Starved).await.ok()?;
                // A shell that ended for trouble holds what it has until all three parts have ended.
                let permit = tokio::select! {
                    permit = memory.clone().acquire_many_owned(units) => permit.ok()?,
                    () = fed.closed() => return None,
                };
                fed.send(Fed::Resumed).await.ok()?;
                permit
            }
        };
        wanted.push(Wanted { key: item.id.key, octets: item.octets, memory: Some(permit) });
    }
    Some(FetchRange { id, way: wish.way, alone: !wish.only.is_empty(), wanted })
}

/// Whom a broken connection is blamed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blame {
    /// The messages, ascending.
    pub keys: Vec<Key>,
    /// There is no doubt: others of the same command were answered before it, or it was asked for alone.
    pub sure: bool,
}

/// Messages asked for and not yet answered.
#[derive(Debug, Default)]
pub struct Outstanding {
    asked: HashMap<Key, Item>,
    order: BTreeSet<Key>,
    /// The commands on their way, first one first.
    ranges: VecDeque<Vec<Key>>,
}

impl Outstanding {
    /// Adds what one command asks for.
    pub fn add(&mut self, items: Vec<Item>) {
        while self.ranges.front().is_some_and(|r| r.iter().all(|k| !self.order.contains(k))) {
            self.ranges.pop_front();
        }
        self.ranges.push_back(items.iter().map(|i| i.id.key).collect());
        for item in items {
            self.order.insert(item.id.key);
            self.asked.insert(item.id.key, item);
        }
    }

    /// Takes out what was answered.
    pub fn take(&mut self, key: Key) -> Option<Item> {
        self.order.remove(&key);
        self.asked.remove(&key)
    }

    /// The one that was asked for first, of those not yet answered: a pass asks in ascending order.
    pub fn first(&self) -> Option<Key> {
        self.order.first().copied()
    }

    /// True when every message asked for was answered.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whom to blame when the connection breaks now: the first message not answered of the first command that is not
    /// done. A server may break before the first answer of a command for the sake of its last message: then it can be
    /// any of them.
    pub fn blame(&self) -> Blame {
        let open = |range: &&Vec<Key>| range.iter().any(|k| self.order.contains(k));
        let Some(range) = self.ranges.iter().find(open) else { return Blame::default() };
        let left: Vec<Key> = range.iter().filter(|k| self.order.contains(k)).copied().collect();
        let sure = left.len() < range.len() || range.len() == 1;
        let keys = if sure { left.into_iter().take(1).collect() } else { left };
        Blame { keys, sure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::MailboxId;

    fn item(key: i64, octets: u64) -> Item {
        Item::listed(ItemId { mailbox: MailboxId(1), epoch: EpochId(1), key: Key(key) }, octets)
    }

    /// Messages that go to the spool reserve more than they are long: a range of many must not ask for more memory
    /// than there is, or the pass would wait for itself.
    #[test]
    fn the_memory_for_any_range_can_be_had() {
        let usual = Limits::default();
        let little = Limits {
            batch_octets_max: 1,
            fetch_range_octets_max: 1,
            body_memory_octets: 1,
            ..Limits::default()
        };
        for (in_memory, of) in [0, 2000, 1 << 20].into_iter().flat_map(|n| [(n, &usual), (n, &little)]) {
            let limits = Limits { body_in_memory_octets_max: in_memory, ..of.clone() };
            for octets in [0, 1, 1023, 2001, 40_000, 600_000, 3 << 20, 1 << 30] {
                let page: Vec<Item> = (1..=300).map(|k| item(k, octets)).collect();
                let ranges = split(&page, &limits, false);
                assert_eq!(ranges.iter().map(|r| r.len()).sum::<usize>(), page.len());
                for range in ranges {
                    let units: u32 = range.iter().map(|i| memory_units(&limits, i.octets)).sum();
                    let share = memory_share(&limits, 1000).available_permits();
                    assert!(units as usize <= share, "{octets} octets: {units} of {share}");
                }
            }
        }
    }

    /// However the octets are shared out.
    #[test]
    fn a_lot_holds_every_message_that_was_counted_for_it_and_no_more() {
        let limits = Limits::default();
        for (messages, octets) in [(1, 1), (7, 7), (7, 10_239), (100, 460_000), (99, 3_000_001)] {
            let memory = memory_share(&limits, 1);
            let before = memory.available_permits();
            let mut lot = Lot::reserve_now(&limits, messages, octets, &memory).unwrap();
            let first = octets - (messages - 1);
            let parts: Vec<_> =
                (0..messages).map(|n| lot.part(if n == 0 { first } else { 1 }).unwrap()).collect();
            assert!(lot.part(1 << 20).is_none(), "{messages} of {octets}");
            let reserved = lot_units(&limits, messages, octets).unwrap();
            assert_eq!(memory.available_permits(), before - reserved as usize);
            drop((lot, parts));
            assert_eq!(memory.available_permits(), before);
        }
    }

    #[test]
    fn a_lot_is_what_one_range_may_ask_for() {
        let limits = Limits::default();
        let (messages, octets) = (limits.fetch_range_messages_max as u64, limits.fetch_range_octets_max);
        assert!(lot_units(&limits, messages, octets / 2).is_some());
        let others = [(0, 0), (0, 5), (5, 0), (messages + 1, 1), (1, octets), (1, octets + 1), (1, u64::MAX)];
        for (messages, octets) in others {
            assert_eq!(lot_units(&limits, messages, octets), None, "{messages} of {octets}");
        }
        let spools = Limits { body_in_memory_octets_max: 999, ..limits };
        assert_eq!(lot_units(&spools, 2, 1000), None, "one of them may be long");
        let memory = Arc::new(Semaphore::new(3));
        assert!(Lot::reserve_now(&spools, 2, 998, &memory).is_none(), "not free");
        assert_eq!(memory.available_permits(), 3);
    }

    #[test]
    fn a_broken_connection_is_blamed_on_one_message_only_where_that_is_certain() {
        let items = |keys: std::ops::RangeInclusive<i64>| keys.map(|k| item(k, 1)).collect::<Vec<_>>();
        let blame = |keys: &[i64], sure| Blame { keys: keys.iter().map(|k| Key(*k)).collect(), sure };
        let mut asked = Outstanding::default();
        assert_eq!(asked.blame(), Blame::default());
        asked.add(items(1..=3));
        asked.add(items(4..=6));
        assert_eq!(asked.blame(), blame(&[1, 2, 3], false), "nothing was answered");
        asked.take(Key(1));
        assert_eq!(asked.blame(), blame(&[2], true));
        asked.take(Key(2));
        asked.take(Key(3));
        assert_eq!(asked.blame(), blame(&[4, 5, 6], false), "the next command");
        (4..=6).for_each(|k| _ = asked.take(Key(k)));
        asked.add(items(7..=7));
        assert_eq!(asked.blame(), blame(&[7], true), "asked for alone");
    }
}
