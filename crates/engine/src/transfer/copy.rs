//! Copies one mailbox: lists the source, resolves what an earlier run left open, then passes over what is
//! `listed` until nothing is left or nothing moves any more.

use super::feed::Wish;
use super::job::{Job, Losses, Pages, Sessions, open_target};
use super::resolve::{open_and_read, rebind, resolve};
use super::shell::{PassEnd, run_pass};
use crate::context::Context;
use crate::diff::{Step, walk};
use crate::end::{Depth, Listed, Opened, Source, SourceSession, Target};
use crate::error::{EndError, Error, Question, Refusal, RefusalClass};
use crate::journal::{
    Change, EpochFacts, EpochId, Item, ItemId, Journal, ListedItem, Note, Origin, Query, Reason, Side,
    Sighting, State,
};
use crate::message::Key;
use crate::progress::Progress;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Passes that settle nothing before a mailbox is left for the next run.
const FRUITLESS_PASSES_MAX: u32 = 3;

/// How the work on a mailbox ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyEnd {
    /// Nothing of it is left to copy.
    Done,
    /// Something is left; why.
    Left(String),
    /// The target has no room.
    Full(Refusal),
}

/// Copies what is new in a mailbox.
pub async fn copy<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    memory: &Arc<Semaphore>,
) -> Result<CopyEnd, Error> {
    if let Some(end) = refresh_target(ctx, sessions, job).await? {
        return Ok(end);
    }
    release_refused(ctx, job).await?;
    let listing = match list_source(ctx, sessions, job).await? {
        Ok(listing) => listing,
        Err(why) => return Ok(CopyEnd::Left(why)),
    };
    let to_copy = ctx.journal.counts().await?.into_iter().filter(|c| {
        c.mailbox == job.record.id && matches!(c.state, State::Listed | State::Committed | State::InDoubt)
    });
    ctx.bus.tell(Progress::MailboxListed {
        mailbox: job.record.id.0,
        messages: listing.messages,
        new: to_copy.map(|c| c.items).sum(),
        octets: listing.octets,
    });
    resolve(ctx, sessions, job, None).await?;
    if job.baseline.existing == crate::journal::Existing::Adopt && !job.baseline.matched {
        crate::adopt::adopt(ctx, sessions, job, memory).await?;
    }
    passes(ctx, sessions, job, memory).await
}

/// Opens the target mailbox: its epoch must be the one our claims belong to.
async fn refresh_target<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
) -> Result<Option<CopyEnd>, Error> {
    let target = job.target.clone();
    let opened = match open_target(ctx, sessions, &target).await {
        Ok(opened) => opened,
        Err(Error::Target(EndError::Refused { refusal, .. })) => {
            return Ok(Some(CopyEnd::Left(format!("{} cannot be opened: {refusal}", target.text))));
        }
        Err(error) => return Err(error),
    };
    let before = job.target_epoch.id;
    job.target_epoch = ctx.journal.open_epoch(job.record.id, Side::Target, &opened.facts).await?;
    job.uid_next = opened.facts.uid_next.unwrap_or(job.uid_next);
    if job.target_epoch.id == before {
        rebind(ctx, sessions, job).await?;
        return Ok(None);
    }
    let text = format!(
        "the new server gave {} another UIDVALIDITY ({}): what was stored there must be found again",
        target.text, opened.facts.uid_validity
    );
    suspect_claims(ctx, job, before).await?;
    let note = Note { kind: "epoch_changed".into(), mailbox: Some(job.record.id), key: None, text };
    ctx.journal.note(note).await?;
    rebind(ctx, sessions, job).await?;
    Ok(None)
}

/// Claims of another epoch mean nothing by number (law 6): their items are `suspect` until found by content.
async fn suspect_claims<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    epoch: EpochId,
) -> Result<(), Error> {
    let states = &[State::Stored, State::Verified, State::AlreadyThere, State::Merged];
    let mut pages = Pages::new(ctx, job.record.id, states);
    while let Some(page) = pages.next().await? {
        let old = |i: &&Item| i.place.is_some_and(|p| p.epoch == epoch);
        let changes: Vec<Change> =
            page.iter().filter(old).map(|i| Change::to(i.id, State::Suspect)).collect();
        ctx.journal.change(&changes).await?;
    }
    Ok(())
}

/// What an interrupted run left `refused` or `unreadable` is tried again from the start.
async fn release_refused<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<(), Error> {
    let mut states = vec![State::Refused, State::Unreadable];
    if ctx.settings.retry_exceptions {
        states.push(State::Exception);
    }
    let mut pages = Pages::new(ctx, job.record.id, &states);
    while let Some(page) = pages.next().await? {
        // A message that is damaged or absent at the target is not copied a second time by itself.
        let retried = |i: &&Item| {
            i.state != State::Exception
                || i.reason.as_ref().is_some_and(|r| r.kind != "damaged" && r.kind != "absent")
        };
        let changes: Vec<Change> =
            page.iter().filter(retried).map(|i| Change::to(i.id, State::Listed)).collect();
        ctx.journal.change(&changes).await?;
    }
    Ok(())
}

/// A complete listing of the source mailbox.
struct Listing {
    messages: u64,
    octets: u64,
}

/// Lists the source into the journal. `Err` inside: the mailbox cannot be listed, and why.
async fn list_source<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<Result<Listing, String>, Error> {
    let mut losses = Losses::new(ctx);
    let mut short = 0;
    loop {
        ctx.probe.pass("list the source").await;
        let session = sessions.source(ctx).await?;
        match list_once(ctx, session, job).await? {
            Ok((listing, exists)) if listing.messages == exists => {
                return Ok(Ok(listing));
            }
            Ok((listing, exists)) => {
                // A short listing is not evidence (law 7): asked again on a new connection.
                short += 1;
                sessions.source = None;
                if short >= ctx.settings.limits.read_attempts_max {
                    let text = &job.record.source.text;
                    return Ok(Err(format!(
                        "the old server says that {text} holds {exists} messages and lists {}",
                        listing.messages
                    )));
                }
            }
            Err(error) if error.is_connection() => {
                sessions.source = None;
                losses.another(ctx, Side::Source, error).await?;
            }
            Err(EndError::Refused { refusal, .. }) => {
                return Ok(Err(format!("{} cannot be opened: {refusal}", job.record.source.text)));
            }
            Err(error) => return Err(crate::context::at(Side::Source, error)),
        }
    }
}

/// Opens and lists once: the listing and the EXISTS it must agree with.
async fn list_once<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    session: &mut S::Session,
    job: &Job,
) -> Result<Result<(Listing, u64), EndError>, Error> {
    let Opened { facts, .. } = match session.open(&job.record.source.wire).await {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let epoch = ctx.journal.open_epoch(job.record.id, Side::Source, &facts).await?;
    let (tx, mut rx) = mpsc::channel::<Vec<Listed>>(4);
    let record = async {
        let (mut octets, mut uids) = (0, Vec::new());
        while let Some(piece) = rx.recv().await {
            octets += piece.iter().map(|l| l.octets).sum::<u64>();
            uids.extend(piece.iter().map(|l| l.key));
            let listed: Vec<ListedItem> = piece.into_iter().map(|l| listed_item(ctx, l)).collect();
            ctx.journal.record_listing(job.record.id, epoch.id, &listed).await?;
        }
        Ok::<_, Error>((octets, uids))
    };
    let (listed, recorded) = tokio::join!(session.list(Key(1), tx), record);
    let (octets, mut uids) = recorded?;
    let messages = match listed {
        Ok(messages) => messages,
        Err(error) => return Ok(Err(error)),
    };
    uids.sort_unstable();
    if messages == facts.exists {
        save_sighting(ctx, job, Side::Source, epoch.id, &facts, &uids).await?;
    }
    Ok(Ok((Listing { messages, octets }, facts.exists)))
}

fn listed_item<S, T, J>(ctx: &Context<S, T, J>, listed: Listed) -> ListedItem {
    let too_old = ctx.settings.selection.since.is_some_and(|since| {
        // A message without a readable date is not left out.
        listed.internal_date.as_ref().and_then(|d| d.instant()).is_some_and(|at| at < since)
    });
    ListedItem {
        key: listed.key,
        octets: listed.octets,
        flags: listed.flags,
        internal_date: listed.internal_date,
        mod_seq: listed.mod_seq,
        lineage: listed.lineage,
        excluded: too_old.then(|| "since".to_owned()),
    }
}

/// Keeps what was seen of a mailbox.
pub async fn save_sighting<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    side: Side,
    epoch: EpochId,
    facts: &EpochFacts,
    uids: &[Key],
) -> Result<(), Error> {
    let sighting = Sighting { mailbox: job.record.id, side, epoch, facts: facts.clone(), uids: ranges(uids) };
    Ok(ctx.journal.save_sighting(ctx.run, &sighting).await?)
}

/// Ascending keys as an IMAP set: `1:3,7`.
fn ranges(keys: &[Key]) -> String {
    let mut set = String::new();
    let mut rest = keys;
    while let [first, ..] = rest {
        let run = rest.windows(2).take_while(|w| w[1].0 == w[0].0 + 1).count();
        let separator = if set.is_empty() { "" } else { "," };
        let last = rest[run];
        set += &if run == 0 { format!("{separator}{first}") } else { format!("{separator}{first}:{last}") };
        rest = &rest[run + 1..];
    }
    set
}

async fn passes<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    memory: &Arc<Semaphore>,
) -> Result<CopyEnd, Error> {
    let mut wish = Wish::default();
    let mut losses = Losses::new(ctx);
    let mut fruitless = 0;
    loop {
        ctx.check_cancel()?;
        if !anything_listed(ctx, job).await? {
            return Ok(CopyEnd::Done);
        }
        open_source(ctx, sessions, job).await?;
        let end = run_pass(ctx, sessions, job, &wish, memory).await?;
        after_pass(ctx, sessions, job, &end).await?;
        if end.interrupted {
            return Err(Error::Interrupted);
        }
        if let Some(refusal) = end.held {
            return Ok(match refusal.class {
                RefusalClass::Quota => CopyEnd::Full(refusal),
                _ => CopyEnd::Left(format!("the new server refuses {}: {refusal}", job.target.text)),
            });
        }
        fruitless = if end.settled > 0 { 0 } else { fruitless + 1 };
        blame(&mut wish, &end);
        give_up_unreadable(ctx, sessions, job, &mut wish, &end).await?;
        if let Some((error, _)) = end.source_lost {
            if end.settled > 0 {
                losses.reset();
            }
            losses.another(ctx, Side::Source, error).await?;
        } else if fruitless >= FRUITLESS_PASSES_MAX && wish.without.is_empty() {
            return Ok(CopyEnd::Left(format!("{} makes no progress", job.record.source.text)));
        }
        // Suspects are tried alone once nothing else is left.
        wish.only = match next_to_try(ctx, job, &wish).await? {
            Some(key) => BTreeSet::from([key]),
            None => BTreeSet::new(),
        };
    }
}

/// Counts failures against the messages they are blamed on.
fn blame(wish: &mut Wish, end: &PassEnd) {
    if let Some((_, Some(key))) = &end.source_lost {
        *wish.without.entry(*key).or_default() += 1;
    }
    for key in end.unread.keys() {
        *wish.without.entry(*key).or_default() += 1;
    }
}

/// The first suspect, if only suspects are left.
async fn next_to_try<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    wish: &Wish,
) -> Result<Option<Key>, Error> {
    if wish.without.is_empty() {
        return Ok(None);
    }
    let mut first = None;
    let mut pages = Pages::new(ctx, job.record.id, &[State::Listed]);
    while let Some(page) = pages.next().await? {
        if page.iter().any(|i| !wish.without.contains_key(&i.id.key)) {
            return Ok(None);
        }
        first = first.or(page.first().map(|i| i.id.key));
    }
    Ok(first)
}

async fn anything_listed<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<bool, Error> {
    let query = Query { mailbox: Some(job.record.id), states: &[State::Listed], after: None, limit: 1 };
    Ok(!ctx.journal.items(query).await?.is_empty())
}

async fn open_source<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<(), Error> {
    let mut losses = Losses::new(ctx);
    let opened = loop {
        match sessions.source(ctx).await?.open(&job.record.source.wire).await {
            Ok(opened) => break opened,
            Err(error) => losses.at_source(ctx, sessions, error).await?,
        }
    };
    let known = ctx.journal.epochs(job.record.id, Side::Source).await?;
    match known.last() {
        Some(epoch) if epoch.facts.uid_validity == opened.facts.uid_validity => Ok(()),
        _ => Err(Error::Source(EndError::Protocol {
            server: "the old server".into(),
            doing: "EXAMINE",
            what: format!("the UIDVALIDITY of {} changed during the run; run again", job.record.source.text),
        })),
    }
}

/// What a pass found out beside copying.
async fn after_pass<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    end: &PassEnd,
) -> Result<(), Error> {
    if end.epoch_changed {
        refresh_target(ctx, sessions, job).await?;
    }
    if !end.merged.is_empty() {
        check_merged(ctx, sessions, job, &end.merged).await?;
    }
    // Messages stored without a UID are claimed by content.
    resolve(ctx, sessions, job, None).await?;
    Ok(())
}

/// A UID that cannot be new was named for a message: if the octets there agree, the server merged the two.
async fn check_merged<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    merged: &[(ItemId, Key)],
) -> Result<(), Error> {
    let uids: BTreeSet<Key> = merged.iter().map(|(_, uid)| *uid).collect();
    let uids: Vec<Key> = uids.into_iter().collect();
    let mut losses = Losses::new(ctx);
    let seen = loop {
        match open_and_read(sessions.target(ctx).await?, job, &uids, Depth::Octets).await {
            Ok(seen) => break seen,
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    };
    let there: BTreeMap<Key, _> =
        seen.into_iter().filter_map(|s| Some((s.uid, s.measured?.fingerprint))).collect();
    let named: BTreeMap<ItemId, Key> = merged.iter().copied().collect();
    let mut pages = Pages::new(ctx, job.record.id, &[State::Stored]);
    while let Some(page) = pages.next().await? {
        let changes: Vec<Change> = page
            .iter()
            .filter(|i| i.place.is_none())
            .filter_map(|i| {
                let uid = named.get(&i.id)?;
                let same = there.get(uid)?.normal == i.sent.as_ref()?.sent.normal;
                same.then(|| Change::to(i.id, State::Merged).at(job.place(*uid), Origin::Shared))
            })
            .collect();
        ctx.journal.change(&changes).await?;
    }
    Ok(())
}

/// Messages that could not be read often enough: gone with proof, or exceptions.
async fn give_up_unreadable<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    wish: &mut Wish,
    end: &PassEnd,
) -> Result<(), Error> {
    let limit = ctx.settings.limits.read_attempts_max;
    let exhausted: Vec<Key> = wish.without.iter().filter(|(_, n)| **n >= limit).map(|(k, _)| *k).collect();
    if exhausted.is_empty() {
        return Ok(());
    }
    let gone = prove_gone(ctx, sessions, job, &exhausted).await?;
    let why = |key: &Key| {
        end.unread
            .get(key)
            .cloned()
            .unwrap_or_else(|| "the connection broke each time it was asked for".into())
    };
    let Some(epoch) = ctx.journal.epochs(job.record.id, Side::Source).await?.pop() else { return Ok(()) };
    for key in exhausted {
        wish.without.remove(&key);
        let item = ItemId { mailbox: job.record.id, epoch: epoch.id, key };
        if gone.contains(&key) {
            let reason = Reason::new("gone", "missing in two complete listings of the old server");
            ctx.journal.change(&[Change::to(item, State::GoneAtSource).because(reason)]).await?;
            continue;
        }
        let text = why(&key);
        let moves = [
            Change::to(item, State::Unreadable),
            Change::to(item, State::Exception).because(Reason::new("unreadable", text.clone())),
        ];
        ctx.journal.change(&moves).await?;
        let (mailbox, kind) = (job.record.id.0, "unreadable".to_owned());
        ctx.bus.tell(Progress::Exception { mailbox, key: key.0, kind, text });
    }
    Ok(())
}

/// Which of these messages are missing from two complete listings on two connections (law 7).
async fn prove_gone<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    keys: &[Key],
) -> Result<BTreeSet<Key>, Error> {
    let mut gone: BTreeSet<Key> = keys.iter().copied().collect();
    #[cfg(mailhaul_mutants)]
    if crate::mutants::Mutant::AbsenceIsGone.is_on() {
        return Ok(gone);
    }
    for _ in 0..2 {
        sessions.source = None;
        let mut losses = Losses::new(ctx);
        let (there, exists) = loop {
            match open_and_list(sessions.source(ctx).await?, job).await {
                Ok(listing) => break listing,
                Err(error) => losses.at_source(ctx, sessions, error).await?,
            }
        };
        if there.len() as u64 != exists {
            return Ok(BTreeSet::new());
        }
        let missing: BTreeSet<Key> = walk(gone.iter().copied(), there)
            .filter_map(|s| if let Step::OnlyExpected(k) = s { Some(k) } else { None })
            .collect();
        gone = missing;
    }
    Ok(gone)
}

async fn open_and_list<S: SourceSession>(session: &mut S, job: &Job) -> Result<(Vec<Key>, u64), EndError> {
    session.open(&job.record.source.wire).await?;
    session.keys().await
}

/// True when so many claimed messages are missing that a person must look (integrity.md 6.7).
pub fn guard(missing: u64, claimed: u64, limit: u64, mailbox: &str) -> Option<Question> {
    let many = missing > limit && missing * 100 > claimed || (missing == claimed && missing > 1);
    many.then(|| Question::ManyMissing { mailbox: mailbox.to_owned(), missing, claimed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_an_imap_set() {
        let set = |keys: &[i64]| ranges(&keys.iter().map(|k| Key(*k)).collect::<Vec<_>>());
        assert_eq!(set(&[]), "");
        assert_eq!(set(&[1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
    }
}
