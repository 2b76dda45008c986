//! Reads back what was stored, on a connection that did not append it, and compares it with what was fetched
//! (law 9). Runs beside the transfer and once more at its end; at last one complete UID listing of each mailbox
//! says what is there (law 7).

mod ghosts;
mod hold;
mod moved;
mod presence;
mod replaced;
mod weigh;

pub use presence::presence;

use crate::adopt::read_back;
use crate::config::Level;
use crate::context::{Context, at};
use crate::end::{Depth, Seen, Source, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::identity::Grade;
use crate::journal::{Change, Item, ItemId, Journal, JournalError, Ladder, Origin, Side, State};
use crate::message::Key;
use crate::pacer::Pacer;
use crate::progress::Progress;
use crate::seats::Seat;
use crate::transfer::job::{Job, Losses, Pages, Sessions};
use crate::transfer::resolve::{open_and_read, pieces};
use crate::transfer::unchanged::{self, Told};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Results written to the journal at once.
const RESULTS_AT_ONCE: usize = 256;
/// How often the verifier looks for work when nobody rings.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Which items a sweep reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What was stored and not read back yet.
    New,
    /// Everything that has a place and digests, as `mailhaul verify` does.
    All,
}

/// Reads back beside the transfer, mailbox after mailbox, until `done` is set and nothing is left that can be
/// read. Has its own session and never appends.
pub async fn follow<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    jobs: &[Job],
    done: &CancellationToken,
) -> Result<Option<T::Session>, Error> {
    // Without a connection of its own all is read back at the end.
    let Some((mut sessions, mut seat)) = connection_beside(ctx, done).await else { return Ok(None) };
    // Messages are stored in order: what lies behind the mark was looked at. The few that come later are left to the
    // sweep at the end, else each round would walk over everything stored so far.
    let mut marks: Vec<Option<ItemId>> = vec![None; jobs.len()];
    loop {
        let last_round = done.is_cancelled();
        let mut read = 0;
        for (job, mark) in jobs.iter().zip(&mut marks) {
            ctx.check_cancel()?;
            read += sweep_from(ctx, &mut sessions, job, Scope::New, ctx.settings.level, mark).await?;
        }
        if last_round {
            break;
        }
        if seat.is_surplus() {
            sessions.close().await;
            let Some(another) = connection_beside(ctx, done).await else { return Ok(None) };
            (sessions, seat) = another;
        } else if read == 0 {
            tokio::select! {
                () = ctx.stored.notified() => {}
                () = done.cancelled() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }
    Ok(sessions.target)
}

/// A connection to the target beside those that append, as soon as it is given; `None` when `done` comes before it.
async fn connection_beside<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    done: &CancellationToken,
) -> Option<(Sessions<S, T>, Seat)> {
    let connecting = async {
        loop {
            let seat = ctx.seats.another(&[Side::Target]).and_then(|mut seats| seats.pop());
            if let Some(seat) = seat
                && let Some((session, seat)) = ctx.another_target(seat).await
            {
                return (Sessions { source: None, target: Some(session) }, seat);
            }
            ctx.seats.more_soon(&[Side::Target]).await;
        }
    };
    tokio::select! {
        biased;
        () = done.cancelled() => None,
        () = ctx.cancel.cancelled() => None,
        connected = connecting => Some(connected),
    }
}

/// Reads back one mailbox to `level`. Returns how many items were read.
pub async fn sweep<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    scope: Scope,
    level: Level,
) -> Result<u64, Error> {
    sweep_from(ctx, sessions, job, scope, level, &mut None).await
}

/// As [`sweep`], behind `mark`, which moves on to the last item looked at.
async fn sweep_from<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    scope: Scope,
    level: Level,
    mark: &mut Option<ItemId>,
) -> Result<u64, Error> {
    if level == Level::Counts {
        return Ok(0);
    }
    let states: &[State] = match scope {
        Scope::New => &[State::Stored],
        Scope::All => &[State::Stored, State::Verified, State::AlreadyThere, State::Merged],
    };
    let mut pages = Pages::behind(ctx, job.record.id, states, *mark);
    let mut read = 0;
    while let Some(page) = pages.next().await? {
        ctx.check_cancel()?;
        *mark = page.last().map(|item| item.id);
        for (depth, items) in by_depth(page, job, scope, level) {
            read += read_items(ctx, sessions, job, &items, depth).await?;
        }
    }
    Ok(read)
}

/// True when nothing is left to be proven of a mailbox in this run: every message was read back as deep as is asked for,
/// nothing is held, and the target mailbox is as its last complete listing saw it, which then stands for this run.
pub async fn is_proven<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    told: &Told,
) -> Result<bool, Error> {
    let Some(sighting) = unchanged::as_listed(ctx, job, told).await? else { return Ok(false) };
    if hold::is_held(ctx, job).await? {
        return Ok(false);
    }
    if !ctx.journal.unplaced(job.record.id, None, 1).await?.is_empty() {
        return Ok(false);
    }
    let level = ctx.settings.level;
    let mut stored = Pages::new(ctx, job.record.id, &[State::Stored]);
    while level != Level::Counts
        && let Some(page) = stored.next().await?
    {
        if !by_depth(page, job, Scope::New, level).is_empty() {
            return Ok(false);
        }
    }
    ctx.journal.save_sighting(ctx.run, &sighting).await?;
    Ok(true)
}

/// Sorts a page by how deep its items are read; those that need not be, or cannot be, are left out.
fn by_depth(page: Vec<Item>, job: &Job, scope: Scope, level: Level) -> Vec<(Depth, BTreeMap<Key, Item>)> {
    let mut deep = BTreeMap::new();
    let mut facts = BTreeMap::new();
    for item in page {
        let Some(place) = item.place.filter(|p| p.epoch == job.target_epoch.id) else { continue };
        if item.sent.is_none() {
            continue;
        }
        // At level `facts`, what was found by content or changed on its way is still read in full.
        let special = item.origin == Some(Origin::Found)
            || item.sent.as_ref().is_some_and(|s| s.ladder != Ladder::default());
        if level == Level::Octets || special {
            deep.insert(place.uid, item);
        } else if scope == Scope::All || item.read_back.is_none() {
            facts.insert(place.uid, item);
        }
    }
    [(Depth::Octets, deep), (Depth::Facts, facts)]
        .into_iter()
        .filter(|(_, items)| !items.is_empty())
        .collect()
}

/// Reads items of one mailbox and writes what was found. What the server does not answer for stays as it is: the
/// complete listing decides about it.
async fn read_items<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    items: &BTreeMap<Key, Item>,
    depth: Depth,
) -> Result<u64, Error> {
    let mut losses = Losses::new(ctx);
    let mut answered: BTreeSet<Key> = BTreeSet::new();
    let mut disagree: Vec<Key> = Vec::new();
    loop {
        ctx.probe.pass("read back").await;
        let octets = |item: &Item| item.sent.as_ref().map_or(item.octets, |s| s.sent.octets);
        let open = items.iter().filter(|(uid, _)| !answered.contains(uid));
        let sized: Vec<(Key, u64)> = open.map(|(uid, item)| (*uid, octets(item))).collect();
        let session = sessions.target(ctx).await?;
        match read_once(ctx, session, job, items, &sized, depth, &mut answered, &mut disagree).await? {
            Ok(()) => break,
            Err(error) if error.is_connection() || error.asks_for_patience().is_some() => {
                losses.at_target(ctx, sessions, error).await?;
            }
            Err(error @ EndError::Refused { .. }) => {
                tracing::warn!(%error, mailbox = %job.target.text, "cannot read back");
                break;
            }
            Err(error) => return Err(at(Side::Target, error)),
        }
    }
    confirm_damage(ctx, sessions, job, items, &disagree).await?;
    Ok(answered.len() as u64)
}

#[expect(clippy::too_many_arguments, reason = "one attempt of read_items, with what it fills")]
async fn read_once<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    session: &mut T::Session,
    job: &Job,
    items: &BTreeMap<Key, Item>,
    sized: &[(Key, u64)],
    depth: Depth,
    answered: &mut BTreeSet<Key>,
    disagree: &mut Vec<Key>,
) -> Result<Result<(), EndError>, Error> {
    match session.open(&job.target.wire).await {
        Ok(opened) if opened.facts.uid_validity != job.target_epoch.facts.uid_validity => return Ok(Ok(())),
        Ok(_) => {}
        Err(error) => return Ok(Err(error)),
    }
    let (tx, mut rx) = mpsc::channel::<Seen>(64);
    let compare = async {
        let mut changes = Vec::new();
        while let Some(seen) = rx.recv().await {
            let Some(item) = items.get(&seen.uid) else { continue };
            if !answered.insert(seen.uid) {
                continue;
            }
            match judge(item, &seen, depth) {
                Judged::Agrees(change) => changes.push(*change),
                Judged::Disagrees => disagree.push(seen.uid),
                Judged::NothingRead => {
                    answered.remove(&seen.uid);
                }
            }
            if changes.len() >= RESULTS_AT_ONCE {
                write(ctx, job, items, &mut changes).await?;
            }
        }
        write(ctx, job, items, &mut changes).await
    };
    let (read, compared) =
        tokio::join!(read_in_turns(&ctx.pace.target_reading, session, sized, depth, tx), compare);
    compared?;
    Ok(read)
}

/// Reads messages of these sizes, no faster than the rate allows.
async fn read_in_turns<S: TargetSession>(
    pacer: &Pacer,
    session: &mut S,
    sized: &[(Key, u64)],
    depth: Depth,
    out: mpsc::Sender<Seen>,
) -> Result<(), EndError> {
    let octets_max = pacer.piece_octets().filter(|_| depth == Depth::Octets);
    for piece in pieces(sized, octets_max) {
        if octets_max.is_some() {
            pacer.turn().await?.pay(piece.iter().map(|(_, octets)| octets).sum());
        }
        let uids: Vec<Key> = piece.iter().map(|(uid, _)| *uid).collect();
        session.read(&uids, depth, out.clone()).await?;
    }
    Ok(())
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
    change.read_back = Some(read_back(seen));
    change.read_at = item.place;
    if depth == Depth::Facts {
        return Judged::Agrees(Box::new(change));
    }
    let Some(measured) = seen.measured else { return Judged::NothingRead };
    let mut grade = Grade::of(&sent.fetched, &measured.fingerprint);
    if grade == Grade::Damaged && weigh::is_wrapped(sent, &measured.fingerprint) {
        grade = Grade::Semantic;
        change.reason = Some(weigh::wrapped());
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
    job: &Job,
    items: &BTreeMap<Key, Item>,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut concluded = std::mem::take(changes);
    conclude(ctx, &mut concluded).await?;
    let verified: BTreeSet<ItemId> =
        concluded.into_iter().filter(|c| c.grade.is_some()).map(|c| c.item).collect();
    let of = items.values().filter(|i| verified.contains(&i.id));
    let octets = of.filter_map(|i| Some(i.sent.as_ref()?.fetched.octets)).sum();
    let (mailbox, messages) = (job.record.id.0, verified.len() as u64);
    ctx.bus.tell(Progress::Verified { mailbox, messages, octets });
    Ok(())
}

/// Writes what was read. The copying beside it may have found meanwhile that the mailbox has another epoch: of what claims
/// another place by now nothing is concluded, and it is read again there.
async fn conclude<S: Source, T: Target, J: Journal>(
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
    job: &Job,
    items: &BTreeMap<Key, Item>,
    disagree: &[Key],
) -> Result<(), Error> {
    if disagree.is_empty() {
        return Ok(());
    }
    sessions.abort_target();
    let mut losses = Losses::new(ctx);
    let seen = loop {
        match open_and_read(
            &ctx.pace.target_reading,
            sessions.target(ctx).await?,
            job,
            disagree,
            Depth::Octets,
        )
        .await
        {
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
