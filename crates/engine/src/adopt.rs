//! Recognises what the target held before this migration: by content, as a multiset, L0 first and then L1. Both
//! sides are read; nothing is sent, and no gate opens in the mailbox before the matching is complete (law 5).

use crate::context::Context;
use crate::end::{
    Depth, FetchEvent, FetchRange, Seen, Source, SourceSession, Target, TargetSession, Wanted, Way,
};
use crate::error::{EndError, Error, Refusal};
use crate::identity::{Candidate, Grade, pair_up};
use crate::journal::{
    Baseline, Change, Item, ItemId, Journal, Ladder, Note, Origin, ReadBack, Sent, Side, State,
};
use crate::limits::Limits;
use crate::message::{Fingerprint, InternalDate, Key, UidValidity};
use crate::pacer::Pacer;
use crate::quirks::Doing;
use crate::transfer::epochs::is_renumbered;
use crate::transfer::job::{Job, Losses, Pages, Sessions};
use crate::transfer::resolve::{claimed_from, read_all};
use crate::transfer::unreadable::gone_or_unreadable;
use crate::transfer::{memory_units, split};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Claims for listed source messages what the target mailbox held below its baseline. False when the source mailbox got
/// another epoch meanwhile: nothing is decided, and it must be listed again.
pub async fn adopt<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    memory: &Arc<Semaphore>,
) -> Result<bool, Error> {
    let there = read_target(ctx, sessions, job).await?;
    let items = listed(ctx, job).await?;
    let sent = if there.is_empty() {
        BTreeMap::new()
    } else {
        read_source(ctx, sessions, job, &items, memory).await?
    };
    if let Some(unread) = items.iter().find(|i| !there.is_empty() && !sent.contains_key(&i.id))
        && is_renumbered(ctx, sessions, job, unread.id.epoch).await?
    {
        return Ok(false);
    }
    let wanted: Vec<Candidate<ItemId>> =
        sent.iter().map(|(id, s)| Candidate::new(*id, s.fetched, s.internal_date.as_ref())).collect();
    let found: Vec<Candidate<Key>> =
        there.iter().map(|(uid, (f, seen))| Candidate::new(*uid, *f, seen.internal_date.as_ref())).collect();
    let pairs = pair_up(&wanted, &found);
    ctx.probe.pass("adopt").await;
    for pairs in pairs.chunks(ctx.settings.limits.journal_page_rows) {
        let changes: Vec<Change> = pairs
            .iter()
            .filter_map(|(id, uid)| adopted(job, *id, *uid, sent.get(id)?, there.get(uid)?))
            .collect();
        ctx.journal.change(&changes).await?;
    }
    let taken: BTreeSet<Key> = pairs.iter().map(|(_, uid)| *uid).collect();
    let free = there.iter().filter(|(uid, _)| !taken.contains(uid)).map(|(_, (_, seen))| seen);
    let text = "the old server does not give this message: it may be one that the new server held before";
    gone_or_unreadable(ctx, sessions, job, &perhaps_there(&items, &sent, free), text).await?;
    job.baseline = Baseline { matched: true, ..job.baseline };
    ctx.journal.set_baseline(job.record.id, job.baseline).await?;
    let text = format!(
        "{} of {} messages of {} were on the new server before and are adopted; {} there belong to nobody",
        pairs.len(),
        items.len(),
        job.record.source.text,
        there.len() - pairs.len()
    );
    let note = Note { kind: "decision:adopt".into(), mailbox: Some(job.record.id), key: None, text };
    ctx.journal.note(note).await?;
    Ok(true)
}

/// Messages that the source did not give and that look like one found at the target that nobody claims, by size or by
/// date: copied later, one of them could stand there twice.
fn perhaps_there<'a>(
    items: &[Item],
    sent: &BTreeMap<ItemId, Sent>,
    free: impl Iterator<Item = &'a Seen>,
) -> Vec<ItemId> {
    let (mut sizes, mut dates) = (BTreeSet::new(), BTreeSet::new());
    for seen in free {
        sizes.insert(seen.octets);
        dates.extend(seen.internal_date.as_ref().and_then(InternalDate::instant));
    }
    let alike = |i: &&Item| {
        let at = i.internal_date.as_ref().and_then(InternalDate::instant);
        !sent.contains_key(&i.id) && (sizes.contains(&i.octets) || at.is_some_and(|at| dates.contains(&at)))
    };
    items.iter().filter(alike).map(|i| i.id).collect()
}

fn adopted(job: &Job, item: ItemId, uid: Key, sent: &Sent, there: &(Fingerprint, Seen)) -> Option<Change> {
    let (fingerprint, seen) = there;
    let mut change = Change::to(item, State::AlreadyThere).at(job.place(uid), Origin::Adopted);
    change.sent = Some(sent.clone());
    change.grade = Some(Grade::of(&sent.fetched, fingerprint));
    change.read_back = Some(read_back(seen));
    Some(change)
}

/// What was read at the target, as the journal keeps it.
pub fn read_back(seen: &Seen) -> ReadBack {
    ReadBack {
        fingerprint: seen.measured.map(|m| m.fingerprint),
        octets: seen.octets,
        flags: seen.flags.clone(),
        internal_date: seen.internal_date.clone(),
        mod_seq: seen.mod_seq,
    }
}

/// Reads what lies below the baseline and is nobody's.
async fn read_target<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<BTreeMap<Key, (Fingerprint, Seen)>, Error> {
    let claimed = claimed_from(ctx, job, Key(1)).await?;
    let below = job.baseline.uid_next;
    let mut losses = Losses::new(ctx);
    let (mut read, mut attempts) = (BTreeMap::new(), 0);
    loop {
        let pacer = &ctx.pace.target_reading;
        match read_below(pacer, sessions.target(ctx).await?, job, below, &claimed).await {
            Ok((seen, asked)) => {
                read.extend(seen.into_iter().filter_map(|s| Some((s.uid, (s.measured?.fingerprint, s)))));
                attempts += 1;
                // What is there and was not read may be what is looked for (law 7).
                let unread = asked.iter().any(|uid| !read.contains_key(uid));
                if !unread || attempts >= ctx.settings.limits.read_attempts_max {
                    return Ok(read);
                }
                sessions.abort_target();
            }
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    }
}

async fn read_below<S: TargetSession>(
    pacer: &Pacer,
    session: &mut S,
    job: &Job,
    below: Key,
    claimed: &BTreeSet<Key>,
) -> Result<(Vec<Seen>, Vec<Key>), EndError> {
    session.open(&job.target.wire).await?;
    let (keys, _) = session.keys().await?;
    let uids: Vec<Key> = keys.into_iter().filter(|k| *k < below && !claimed.contains(k)).collect();
    Ok((read_all(pacer, session, &uids, Depth::Octets).await?, uids))
}

async fn listed<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<Vec<Item>, Error> {
    let mut all = Vec::new();
    let mut pages = Pages::new(ctx, job.record.id, &[State::Listed]);
    while let Some(page) = pages.next().await? {
        all.extend(page);
    }
    Ok(all)
}

/// Reads source messages of one epoch and keeps what they are; their octets are dropped. What the source does not give,
/// asked often enough, is not in the result: what it leaves out, what breaks the connection each time it is asked for,
/// and everything once the mailbox has another epoch.
pub async fn read_source<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    items: &[Item],
    memory: &Arc<Semaphore>,
) -> Result<BTreeMap<ItemId, Sent>, Error> {
    let mut sent: BTreeMap<ItemId, Sent> = BTreeMap::new();
    let epochs = ctx.journal.epochs(job.record.id, Side::Source).await?;
    let of_items = epochs.iter().find(|e| items.first().is_some_and(|i| i.id.epoch == e.id));
    let Some(validity) = of_items.map(|e| e.facts.uid_validity) else { return Ok(sent) };
    let mut losses = Losses::new(ctx);
    let mut blamed: BTreeMap<ItemId, u32> = BTreeMap::new();
    let (mut alone, mut attempts) = (false, 0);
    loop {
        let given_up =
            |id: &ItemId| blamed.get(id).is_some_and(|n| *n >= ctx.settings.limits.read_attempts_max);
        let open = |i: &&Item| !sent.contains_key(&i.id) && !given_up(&i.id);
        let todo: Vec<Item> = items.iter().filter(open).cloned().collect();
        let ask = Asked { todo: &todo, validity, alone };
        let before = sent.len();
        match read_once(ctx, sessions.source(ctx).await?, job, ask, memory, &mut sent).await {
            Ok(Some(refusal)) => {
                if sent.len() > before {
                    losses.reset();
                }
                let (server, doing) = ("the old server".to_owned(), "UID FETCH");
                losses.at_source(ctx, sessions, EndError::Refused { server, doing, refusal }).await?;
            }
            Ok(None) => {
                ctx.check_cancel()?;
                attempts += 1;
                let missing = items.iter().any(|i| !sent.contains_key(&i.id) && !given_up(&i.id));
                if !missing || attempts >= ctx.settings.limits.read_attempts_max {
                    return Ok(sent);
                }
                // Requested minus received is asked for again, on another connection (law 7).
                sessions.source = None;
            }
            Err(error) => {
                if sent.len() > before {
                    losses.reset();
                }
                // The first unanswered one is at fault where each is asked for alone, or where others were answered.
                if let Some(first) = todo.iter().find(|i| !sent.contains_key(&i.id))
                    && (alone || sent.len() > before)
                {
                    *blamed.entry(first.id).or_default() += 1;
                }
                alone = true;
                losses.at_source(ctx, sessions, error).await?;
            }
        }
    }
}

/// What one attempt asks for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    todo: &'a [Item],
    validity: UidValidity,
    /// Each message by a FETCH of its own.
    alone: bool,
}

/// One attempt. `Some`: the source asked for patience instead of giving messages.
async fn read_once<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    session: &mut S::Session,
    job: &Job,
    asked: Asked<'_>,
    memory: &Arc<Semaphore>,
    sent: &mut BTreeMap<ItemId, Sent>,
) -> Result<Option<Refusal>, EndError> {
    let by_key: BTreeMap<Key, &Item> = asked.todo.iter().map(|i| (i.id.key, i)).collect();
    let opened = session.open(&job.record.source.wire).await?;
    if opened.facts.uid_validity != asked.validity {
        return Ok(None);
    }
    let (range_tx, range_rx) = mpsc::channel(ctx.settings.limits.fetch_ranges_in_flight);
    let (event_tx, mut event_rx) = mpsc::channel(16);
    let keep = async {
        let mut throttled = None;
        while let Some(event) = event_rx.recv().await {
            if let FetchEvent::RangeDone { refused: Some(refusal), .. } = &event {
                throttled = Some(refusal.clone()).filter(|r| r.asks_for_patience(Doing::Fetch)).or(throttled);
            }
            let FetchEvent::Fetched(fetched) = event else { continue };
            let Some(item) = by_key.get(&fetched.key) else { continue };
            let fingerprint = fetched.body.measured().fingerprint;
            ctx.pace.source.correct(item.octets, fingerprint.octets);
            let facts = Sent {
                fetched: fingerprint,
                sent: fingerprint,
                flags: fetched.flags.unwrap_or_else(|| item.flags.clone()).sendable(),
                internal_date: item.internal_date.clone(),
                ladder: Ladder::default(),
            };
            sent.insert(item.id, facts);
        }
        throttled
    };
    let messages_max = session.abilities().command_messages_max;
    let limits = ctx.settings.limits.narrowed(messages_max, ctx.pace.source.piece_octets());
    let asking = ask_for(ctx, &limits, asked, memory, range_tx);
    let ((), fetched, throttled) = tokio::join!(asking, session.fetch(range_rx, &ctx.intake, event_tx), keep);
    fetched.map(|()| throttled)
}

/// Asks for messages in ranges, within the memory share.
async fn ask_for<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    limits: &Limits,
    asked: Asked<'_>,
    memory: &Arc<Semaphore>,
    ranges: mpsc::Sender<FetchRange>,
) {
    for (id, items) in (0..).zip(split(asked.todo, limits, asked.alone)) {
        let mut wanted = Vec::with_capacity(items.len());
        for item in items {
            let units = memory_units(limits, item.octets);
            let Ok(permit) = memory.clone().acquire_many_owned(units).await else { return };
            wanted.push(Wanted { key: item.id.key, octets: item.octets, memory: Some(permit) });
        }
        // Told to stop: the caller sees it, too.
        let Ok(turn) = ctx.pace.source.turn().await else { return };
        turn.pay(items.iter().map(|i| i.octets).sum());
        if ranges.send(FetchRange { id, way: Way::Whole, alone: asked.alone, wanted }).await.is_err() {
            return;
        }
    }
}
