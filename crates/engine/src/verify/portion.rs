//! Portions of mailboxes that are read back, several of little together, and compared with what was fetched.

use super::weigh;
use crate::adopt::read_back as as_kept;
use crate::context::Context;
use crate::end::{Depth, Seen, Source, Target, ToRead};
use crate::error::Error;
use crate::identity::Grade;
use crate::journal::{Change, Item, ItemId, Journal, JournalError, MailboxId, State};
use crate::message::Key;
use crate::progress::Progress;
use crate::transfer::job::{Job, Losses, Sessions};
use crate::transfer::resolve::open_and_read;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Messages, octets and mailboxes that are asked for together, unless one message has more. The next ones are asked for when no
/// more than so much is still to come.
pub(super) const TOGETHER_MESSAGES: usize = 2000;
pub(super) const TOGETHER_OCTETS: u64 = 8 * 1024 * 1024;
pub(super) const TOGETHER_MAILBOXES: usize = 64;

/// Messages of one mailbox, and what is known of their reading.
pub(super) struct Portion<'a> {
    pub(super) job: &'a Job,
    pub(super) depth: Depth,
    items: BTreeMap<Key, Item>,
    answered: BTreeSet<Key>,
    disagree: Vec<Key>,
    /// All was asked for, and what comes is known: what the server did not answer for stays as it is, the complete listing
    /// decides about it.
    pub(super) is_over: bool,
}

impl<'a> Portion<'a> {
    pub(super) fn new(job: &'a Job, depth: Depth, items: BTreeMap<Key, Item>) -> Self {
        Self { job, depth, items, answered: BTreeSet::new(), disagree: Vec::new(), is_over: false }
    }

    /// Cut where it has more octets than are asked for together.
    pub(super) fn cut(job: &'a Job, depth: Depth, items: BTreeMap<Key, Item>) -> Vec<Self> {
        let mut portions: Vec<Self> = Vec::new();
        let mut octets = 0;
        for (uid, item) in items {
            let more = octets_read(&item, depth);
            octets += more;
            match portions.last_mut().filter(|_| octets <= TOGETHER_OCTETS) {
                Some(portion) => _ = portion.items.insert(uid, item),
                None => {
                    octets = more;
                    portions.push(Self::new(job, depth, BTreeMap::from([(uid, item)])));
                }
            }
        }
        portions
    }

    /// True where both can be one: each UID stands for one message.
    fn goes_with(&self, other: &Self) -> bool {
        let alike = (self.job.record.id, self.depth) == (other.job.record.id, other.depth);
        alike && !other.items.keys().any(|uid| self.items.contains_key(uid))
    }

    /// What was not answered, with its size.
    pub(super) fn open(&self) -> Vec<(Key, u64)> {
        let open = self.items.iter().filter(|(uid, _)| !self.answered.contains(uid));
        open.map(|(uid, item)| (*uid, octets_of(item))).collect()
    }

    pub(super) fn to_read(&self, uids: Vec<Key>) -> ToRead {
        let (mailbox, epoch) = (self.job.target.wire.clone(), self.job.target_epoch.facts.uid_validity);
        ToRead { mailbox, epoch, uids, depth: self.depth }
    }

    /// The octets that come for a message of it.
    pub(super) fn octets_read(&self, uid: Key) -> u64 {
        self.items.get(&uid).map_or(0, |item| octets_read(item, self.depth))
    }

    pub(super) fn answered(&self) -> usize {
        self.answered.len()
    }

    pub(super) fn disagrees(&self) -> bool {
        !self.disagree.is_empty()
    }

    /// Nothing more is known of what was written down.
    pub(super) fn forget(&mut self) {
        (self.items, self.answered) = (BTreeMap::new(), BTreeSet::new());
    }
}

fn octets_of(item: &Item) -> u64 {
    item.sent.as_ref().map_or(item.octets, |sent| sent.sent.octets)
}

fn octets_read(item: &Item, depth: Depth) -> u64 {
    match depth {
        Depth::Octets => octets_of(item),
        Depth::Facts => 0,
    }
}

/// Portions that are asked for together.
pub(super) struct Together<'a> {
    portions: Vec<Portion<'a>>,
    messages: usize,
    octets: u64,
    /// Octets move no faster than a rate: each portion is paced by itself.
    is_paced: bool,
}

impl<'a> Together<'a> {
    pub(super) fn new(is_paced: bool) -> Self {
        Self { portions: Vec::new(), messages: 0, octets: 0, is_paced }
    }

    /// Adds one, to what is there of its mailbox, so that it is opened once; what was there before goes alone, if both are too much.
    pub(super) fn add(&mut self, portion: Portion<'a>) -> Option<Vec<Portion<'a>>> {
        let messages = portion.items.len();
        let octets: u64 = portion.items.values().map(|item| octets_read(item, portion.depth)).sum();
        let fits = !self.is_paced
            && self.messages + messages <= TOGETHER_MESSAGES
            && self.octets + octets <= TOGETHER_OCTETS
            && self.portions.len() < TOGETHER_MAILBOXES;
        let full = (!fits && !self.portions.is_empty()).then(|| self.take());
        self.messages += messages;
        self.octets += octets;
        match self.portions.iter_mut().find(|before| before.goes_with(&portion)) {
            Some(before) => before.items.extend(portion.items),
            None => self.portions.push(portion),
        }
        full
    }

    pub(super) fn take(&mut self) -> Vec<Portion<'a>> {
        (self.messages, self.octets) = (0, 0);
        std::mem::take(&mut self.portions)
    }
}

/// What an answer changes, with the octets that were fetched, if it is the first for its message and agrees.
pub(super) fn compare(portion: &mut Portion<'_>, seen: &Seen) -> Option<(Change, u64)> {
    let item = portion.items.get(&seen.uid)?;
    if !portion.answered.insert(seen.uid) {
        return None;
    }
    match judge(item, seen, portion.depth) {
        Judged::Agrees(change) => {
            let fetched = item.sent.as_ref().map_or(0, |sent| sent.fetched.octets);
            return Some((*change, fetched));
        }
        Judged::Disagrees => portion.disagree.push(seen.uid),
        Judged::NothingRead => _ = portion.answered.remove(&seen.uid),
    }
    None
}

/// What one answer says about an item.
enum Judged {
    Agrees(Box<Change>),
    Disagrees,
    NothingRead,
}

/// Pure: compares what was read with what was fetched.
fn judge(item: &Item, seen: &Seen, depth: Depth) -> Judged {
    let Some(sent) = &item.sent else { return Judged::NothingRead };
    let mut change = Change::to(item.id, item.state);
    change.read_back = Some(as_kept(seen));
    change.read_at = item.place;
    if depth == Depth::Facts {
        return Judged::Agrees(Box::new(change));
    }
    let Some(measured) = seen.measured else { return Judged::NothingRead };
    let mut grade = Grade::of(&sent.fetched, &measured.fingerprint);
    let repaired = weigh::repaired(sent, &measured.fingerprint);
    if grade == Grade::Damaged && repaired.is_some() {
        grade = Grade::Semantic;
        change.reason = repaired;
    } else if grade == Grade::Damaged && weigh::was_weighed(item, &measured.fingerprint) {
        grade = Grade::Semantic;
    }
    #[cfg(mailhaul_mutants)]
    let grade = if crate::mutants::Mutant::TrustSize.is_on() && seen.octets == sent.fetched.octets {
        Grade::Exact
    } else {
        grade
    };
    match grade {
        Grade::Damaged => Judged::Disagrees,
        grade => {
            change.grade = Some(grade);
            if item.state == State::Stored {
                change.to = State::Verified;
            }
            Judged::Agrees(Box::new(change))
        }
    }
}

/// Writes what was read, and tells of the messages whose octets were. `changes`: with the octets that were fetched.
pub(super) async fn write<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    changes: &mut Vec<(Change, u64)>,
) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let fetched: Vec<(ItemId, u64)> = changes.iter().map(|(change, octets)| (change.item, *octets)).collect();
    let mut concluded = changes.drain(..).map(|(change, _)| change).collect();
    conclude(ctx, &mut concluded).await?;
    let verified: HashSet<ItemId> =
        concluded.into_iter().filter(|c| c.grade.is_some()).map(|c| c.item).collect();
    let mut told: BTreeMap<MailboxId, (u64, u64)> = BTreeMap::new();
    for (item, octets) in fetched.into_iter().filter(|(item, _)| verified.contains(item)) {
        let (messages, sum) = told.entry(item.mailbox).or_default();
        (*messages, *sum) = (*messages + 1, *sum + octets);
    }
    for (mailbox, (messages, octets)) in told {
        ctx.bus.tell(Progress::Verified { mailbox: mailbox.0, messages, octets });
    }
    Ok(())
}

/// Writes what was read. The copying beside it may have found meanwhile that the mailbox has another epoch: of what claims
/// another place by now nothing is concluded, and it is read again there.
pub(super) async fn conclude<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    loop {
        match ctx.journal.change(changes).await {
            Err(JournalError::Elsewhere { item }) => changes.retain(|c| c.item != item),
            written => return Ok(written?),
        }
    }
}

/// Octets that differ are read once more, on a new connection, before the message counts as damaged.
pub(super) async fn confirm_damage<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    portion: &mut Portion<'_>,
) -> Result<(), Error> {
    let disagree = std::mem::take(&mut portion.disagree);
    let Portion { job, items, .. } = portion;
    if disagree.is_empty() {
        return Ok(());
    }
    let mut losses = Losses::new(ctx);
    let seen = loop {
        let pacer = &ctx.pace.target_reading;
        match open_and_read(pacer, sessions.target(ctx).await?, job, &disagree, Depth::Octets).await {
            Ok(seen) => break seen,
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    };
    for seen in seen {
        let Some(item) = items.get(&seen.uid) else { continue };
        match judge(item, &seen, Depth::Octets) {
            Judged::Agrees(change) => conclude(ctx, &mut vec![*change]).await?,
            Judged::Disagrees => weigh::weigh(ctx, sessions, job, item, &seen).await?,
            Judged::NothingRead => {}
        }
    }
    Ok(())
}
