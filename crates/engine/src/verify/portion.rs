//! Portions of mailboxes that are read back, several of little in one round trip, and compared with what was fetched.

use super::weigh;
use crate::adopt::read_back as as_kept;
use crate::context::Context;
use crate::end::{Depth, Seen, Source, Target, TargetSession, ToRead};
use crate::error::{EndError, Error};
use crate::identity::Grade;
use crate::journal::{Change, Item, ItemId, Journal, JournalError, State};
use crate::message::Key;
use crate::progress::Progress;
use crate::transfer::job::{Job, Losses, Sessions};
use crate::transfer::resolve::{open_and_read, pieces};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;

/// Results written to the journal at once.
const RESULTS_AT_ONCE: usize = 256;
/// Answers on their way to be compared.
const SEEN_QUEUED: usize = 64;
/// Messages, octets and mailboxes that are read together, unless one portion has more.
const TOGETHER_MESSAGES: usize = 4000;
const TOGETHER_OCTETS: u64 = 16 * 1024 * 1024;
const TOGETHER_MAILBOXES: usize = 64;

/// Messages of one mailbox, and what is known of their reading.
pub(super) struct Portion<'a> {
    job: &'a Job,
    depth: Depth,
    items: BTreeMap<Key, Item>,
    answered: BTreeSet<Key>,
    disagree: Vec<Key>,
    /// All was asked for, and what comes is known: what the server did not answer for stays as it is, the complete listing
    /// decides about it.
    is_over: bool,
}

impl<'a> Portion<'a> {
    pub(super) fn new(job: &'a Job, depth: Depth, items: BTreeMap<Key, Item>) -> Self {
        Self { job, depth, items, answered: BTreeSet::new(), disagree: Vec::new(), is_over: false }
    }

    /// True where both can be one: each UID stands for one message.
    fn goes_with(&self, other: &Self) -> bool {
        let alike = (self.job.record.id, self.depth) == (other.job.record.id, other.depth);
        alike && !other.items.keys().any(|uid| self.items.contains_key(uid))
    }

    /// What was not answered, with its size.
    fn open(&self) -> Vec<(Key, u64)> {
        let open = self.items.iter().filter(|(uid, _)| !self.answered.contains(uid));
        open.map(|(uid, item)| (*uid, octets_of(item))).collect()
    }
}

fn octets_of(item: &Item) -> u64 {
    item.sent.as_ref().map_or(item.octets, |sent| sent.sent.octets)
}

/// Portions that are read together.
pub(super) struct Together<'a> {
    portions: Vec<Portion<'a>>,
    messages: usize,
    octets: u64,
    /// Octets move no faster than a rate: each portion is paced by itself.
    is_paced: bool,
}

impl<'a> Together<'a> {
    pub(super) fn new<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>) -> Self {
        let is_paced = ctx.pace.target_reading.piece_octets().is_some();
        Self { portions: Vec::new(), messages: 0, octets: 0, is_paced }
    }

    /// Adds one, to what is there of its mailbox, so that it is opened once; what was there before goes alone, if both are too much.
    pub(super) fn add(&mut self, portion: Portion<'a>) -> Option<Vec<Portion<'a>>> {
        let messages = portion.items.len();
        let octets = match portion.depth {
            Depth::Octets => portion.items.values().map(octets_of).sum(),
            Depth::Facts => 0,
        };
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

/// Reads portions and writes what was found. Returns how many messages were answered for.
pub(super) async fn read_back<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    mut portions: Vec<Portion<'_>>,
) -> Result<u64, Error> {
    let (mut losses, mut before) = (Losses::new(ctx), 0);
    while portions.iter().any(|portion| !portion.is_over) {
        ctx.probe.pass("read back").await;
        let session = sessions.target(ctx).await?;
        let Err(error) = read_once(ctx, session, &mut portions).await? else { continue };
        let answered = answered(&portions);
        if answered > std::mem::replace(&mut before, answered) {
            losses.reset();
        }
        let refused = matches!(error, EndError::Refused { .. }) && error.asks_for_patience().is_none();
        match losses.at_target(ctx, sessions, error).await {
            Ok(()) => {}
            Err(Error::Target(error)) if refused => {
                let open = portions.iter_mut().find(|portion| !portion.is_over);
                let mailbox = open.as_ref().map(|portion| &portion.job.target.text);
                tracing::warn!(%error, ?mailbox, "cannot read back");
                open.into_iter().for_each(|portion| portion.is_over = true);
            }
            Err(error) => return Err(error),
        }
    }
    for portion in &portions {
        confirm_damage(ctx, sessions, portion).await?;
    }
    Ok(answered(&portions))
}

fn answered(portions: &[Portion<'_>]) -> u64 {
    portions.iter().map(|portion| portion.answered.len() as u64).sum()
}

/// Asks once for all that is not answered. `Err` inside: why the first portion that is not over stays so.
async fn read_once<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    session: &mut T::Session,
    portions: &mut [Portion<'_>],
) -> Result<Result<(), EndError>, Error> {
    let asked: Vec<usize> = (0..portions.len()).filter(|at| !portions[*at].is_over).collect();
    let wanted = asked.iter().map(|at| &portions[*at]);
    let wanted: Vec<(ToRead, Vec<(Key, u64)>)> = wanted.map(|p| (to_read(p), p.open())).collect();
    let (tx, mut rx) = mpsc::channel(SEEN_QUEUED);
    let compare = async {
        let mut changes = Vec::new();
        while let Some((at, seen)) = rx.recv().await {
            changes.extend(asked.get(at).and_then(|at| compare(&mut portions[*at], &seen)));
            if changes.len() >= RESULTS_AT_ONCE {
                write(ctx, portions, &mut changes).await?;
            }
        }
        write(ctx, portions, &mut changes).await
    };
    let (read, compared) = tokio::join!(read_in_turns(ctx, session, wanted, tx), compare);
    compared?;
    let mut refused = None;
    for (at, read) in asked.iter().zip(match read {
        Ok(read) => read,
        Err(error) => return Ok(Err(error)),
    }) {
        match read {
            Ok(_) => portions[*at].is_over = true,
            Err(error) => _ = refused.get_or_insert(error),
        }
    }
    Ok(refused.map_or(Ok(()), Err))
}

fn to_read(portion: &Portion<'_>) -> ToRead {
    ToRead {
        mailbox: portion.job.target.wire.clone(),
        epoch: portion.job.target_epoch.facts.uid_validity,
        uids: Vec::new(),
        depth: portion.depth,
    }
}

/// Opens mailboxes and reads messages of them, octets no faster than the rate allows. Nothing is read of another epoch.
async fn read_in_turns<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    session: &mut T::Session,
    wanted: Vec<(ToRead, Vec<(Key, u64)>)>,
    out: mpsc::Sender<(usize, Seen)>,
) -> Result<Vec<Result<bool, EndError>>, EndError> {
    let pacer = &ctx.pace.target_reading;
    let uids = |sized: &[(Key, u64)]| sized.iter().map(|(uid, _)| *uid).collect();
    let [(only, sized)] = wanted.as_slice() else {
        let wanted: Vec<ToRead> =
            wanted.into_iter().map(|(of, sized)| ToRead { uids: uids(&sized), ..of }).collect();
        return session.read_each(&wanted, out).await;
    };
    let octets_max = pacer.piece_octets().filter(|_| only.depth == Depth::Octets);
    for piece in pieces(sized, octets_max) {
        if octets_max.is_some() {
            pacer.turn().await?.pay(piece.iter().map(|(_, octets)| octets).sum());
        }
        let wanted = ToRead { uids: uids(piece), ..only.clone() };
        let read = session.read_each(&[wanted], out.clone()).await?;
        if !matches!(read.as_slice(), [Ok(true)]) {
            return Ok(read);
        }
    }
    Ok(vec![Ok(true)])
}

/// What an answer changes, if it is the first for its message and agrees.
fn compare(portion: &mut Portion<'_>, seen: &Seen) -> Option<Change> {
    let item = portion.items.get(&seen.uid)?;
    if !portion.answered.insert(seen.uid) {
        return None;
    }
    match judge(item, seen, portion.depth) {
        Judged::Agrees(change) => return Some(*change),
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

async fn write<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    portions: &[Portion<'_>],
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut concluded = std::mem::take(changes);
    conclude(ctx, &mut concluded).await?;
    let verified: BTreeSet<ItemId> =
        concluded.into_iter().filter(|c| c.grade.is_some()).map(|c| c.item).collect();
    for portion in portions {
        let of = portion.items.values().filter(|item| verified.contains(&item.id));
        let fetched = of.filter_map(|item| Some(item.sent.as_ref()?.fetched.octets));
        let (messages, octets) = fetched.fold((0, 0), |(n, sum), octets| (n + 1, sum + octets));
        if messages > 0 {
            let mailbox = portion.job.record.id.0;
            ctx.bus.tell(Progress::Verified { mailbox, messages, octets });
        }
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

/// Octets that differ are read once more on a new connection before the message counts as damaged.
async fn confirm_damage<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    portion: &Portion<'_>,
) -> Result<(), Error> {
    let Portion { job, items, disagree, .. } = portion;
    if disagree.is_empty() {
        return Ok(());
    }
    sessions.abort_target();
    let mut losses = Losses::new(ctx);
    let seen = loop {
        let pacer = &ctx.pace.target_reading;
        match open_and_read(pacer, sessions.target(ctx).await?, job, disagree, Depth::Octets).await {
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
