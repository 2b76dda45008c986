//! Copies one mailbox: lists the source, resolves what an earlier run left open, then passes over what is
//! `listed` until nothing is left or nothing moves any more.

use super::epochs::{is_renumbered, refresh_target};
use super::feed::Wish;
use super::following::Following;
use super::job::{Job, Losses, Pages, Sessions, list_target};
use super::reading::Reading;
use super::rekey::{Recognised, recognise};
use super::replace;
use super::resolve::{open_and_read, resolve};
use super::shell::{EVENTS_QUEUED, PassEnd, run_pass};
use super::together::{Came, Together, gather};
use super::unreadable::Suspects;
use crate::adopt::adopt;
use crate::consent;
use crate::context::{Context, at};
use crate::end::{Depth, Listed, Opened, Source, SourceSession, Target};
use crate::error::{EndError, Error, Question, Refusal, RefusalClass};
use crate::journal::{
    Change, Epoch, EpochFacts, EpochId, Existing, Item, ItemId, Journal, ListedItem, MailboxId,
    MailboxRecord, Note, Origin, Query, Side, Sighting, State,
};
use crate::labels::{ELSEWHERE, HIDDEN_LABEL, Share};
use crate::message::Key;
use crate::progress::Progress;
use crate::quirks;
use crate::report::{ABSENT, DAMAGED};
use crate::undo;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Passes that settle nothing before a mailbox is left for the next run.
const FRUITLESS_PASSES_MAX: u32 = 3;
/// After one such pass batches are smaller by this, after two each message goes alone.
const SMALLER_BY: usize = 8;
/// So many messages refused in one pass that brought nothing may each be the trouble; of more, it is the server.
const TROUBLED_MANY: usize = 3;
/// Epochs of the source mailbox that one run follows.
const SOURCE_EPOCHS_MAX: u32 = 3;

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

/// Copies what is new in a mailbox. While the target stores the last of it, the source lists the mailbox that `following` has.
pub async fn copy<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    memory: &Arc<Semaphore>,
    following: &mut Following<'_>,
) -> Result<CopyEnd, Error> {
    let ahead = following.listing_of(job);
    let opened = match job.seen.take().filter(|_| ahead.is_none()) {
        Some(seen) => as_seen(ctx, sessions, job, &seen).await?,
        None => open_both(ctx, sessions, job, ahead, (memory, following)).await?,
    };
    let mut listed = match opened {
        Ok(listed) => Some(listed),
        Err(refusal) => return Ok(CopyEnd::Left(format!("{} cannot be opened: {refusal}", job.target.text))),
    };
    undo::settle(ctx, sessions, job).await?;
    release_refused(ctx, job).await?;
    for _ in 0..SOURCE_EPOCHS_MAX {
        let listed = match listed.take() {
            Some(listed) => listed,
            None => {
                following.drop_bodies();
                list_source(ctx, sessions, &job.record, Leaves::ByShare(job.share.as_deref()), None).await?
            }
        };
        let listing = match listed {
            Ok(listing) => listing,
            Err(why) => return Ok(CopyEnd::Left(why)),
        };
        match recognise(ctx, sessions, job, memory, &listing.epoch).await? {
            Recognised::Done => {}
            Recognised::Renumbered => continue,
            Recognised::Not(why) => return Ok(CopyEnd::Left(why)),
        }
        tell_listed(ctx, job, &listing).await?;
        resolve(ctx, sessions, job, None).await?;
        if job.baseline.existing == Existing::Adopt
            && !job.baseline.matched
            && !adopt(ctx, sessions, job, memory).await?
        {
            continue;
        }
        replace::begin(ctx, sessions, job, &listing.epoch, &listing.left_out).await?;
        if let Some(end) = passes(ctx, sessions, job, memory, &listing.epoch, following).await? {
            return Ok(if end == CopyEnd::Done { without_others(job, &listing) } else { end });
        }
    }
    let text = &job.record.source.text;
    Ok(CopyEnd::Left(format!("the old server gives {text} another UIDVALIDITY again and again")))
}

async fn tell_listed<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    listing: &Listing,
) -> Result<(), Error> {
    let counts = ctx.journal.counts_of(job.record.id).await?;
    let items = |wanted: fn(State) -> bool| -> u64 {
        counts.iter().filter(|c| wanted(c.state)).map(|c| c.items).sum()
    };
    ctx.bus.tell(Progress::MailboxListed {
        mailbox: job.record.id.0,
        messages: listing.messages,
        new: items(|state| matches!(state, State::Listed | State::Committed | State::InDoubt)),
        left_out: items(|state| state == State::Excluded),
        octets: listing.octets,
    });
    Ok(())
}

/// What an interrupted run left `refused` or `unreadable` is tried again from the start.
async fn release_refused<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<(), Error> {
    let mut states = vec![State::Refused, State::Unreadable];
    if ctx.settings.retry_exceptions || ctx.settings.repair {
        states.push(State::Exception);
    }
    let mut pages = Pages::new(ctx, job.record.id, &states);
    while let Some(page) = pages.next().await? {
        // A message that is damaged or absent at the target is not copied a second time by itself.
        let retried = |i: &&Item| {
            let kind = i.reason.as_ref().map(|r| r.kind.as_str());
            i.state != State::Exception
                || (consent::retries(&ctx.settings, kind) && !matches!(kind, None | Some(DAMAGED | ABSENT)))
        };
        let changes: Vec<Change> =
            page.iter().filter(retried).map(|i| Change::to(i.id, State::Listed)).collect();
        ctx.journal.change(&changes).await?;
    }
    Ok(())
}

/// A complete listing of the source mailbox.
pub(super) struct Listing {
    pub(super) epoch: Epoch,
    messages: u64,
    octets: u64,
    /// Known UIDs that show another message now.
    others: u64,
    /// What rules leave out, ascending: where a repair has to know it.
    left_out: Vec<Key>,
}

/// A mailbox is not done where the source gave known UIDs to other messages: those are nowhere in the journal.
fn without_others(job: &Job, listing: &Listing) -> CopyEnd {
    match listing.others {
        0 => CopyEnd::Done,
        others => CopyEnd::Left(format!(
            "the old server shows other messages under {others} UIDs of {} that it had used before, and the same \
             UIDVALIDITY: they are not copied. Move this mailbox once more with a new journal and --adopt",
            job.record.source.text
        )),
    }
}

/// Lists the source, if it is not `ahead`, while the target is opened. `Err` inside: the target refuses, or the source cannot be
/// listed, and why.
async fn open_both<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    ahead: Option<Result<Listing, EndError>>,
    (memory, following): (&Arc<Semaphore>, &mut Following<'_>),
) -> Result<Result<Result<Listing, String>, Refusal>, Error> {
    let failed = match ahead {
        Some(Ok(listing)) => {
            let refreshed = refresh_unless_new(ctx, sessions, job).await?;
            return Ok(refreshed.map(|()| Ok(listing)));
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    // Who opens the target has the job to itself.
    let asked = job.clone();
    let mut old = Sessions { source: sessions.source.take(), target: None };
    let mut new = Sessions { source: None, target: sessions.target.take() };
    let (refreshed, listed) = tokio::join!(
        refresh_unless_new(ctx, &mut new, job),
        list_first(ctx, &mut old, &asked, failed, (memory, following))
    );
    *sessions = Sessions { source: old.source, target: new.target };
    if let Err(refusal) = refreshed? {
        return Ok(Err(refusal));
    }
    Ok(Ok(listed?))
}

/// Lists the source, and takes messages that come with the listing. `failed`: how that ended ahead of its turn.
async fn list_first<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    failed: Option<EndError>,
    (memory, following): (&Arc<Semaphore>, &mut Following<'_>),
) -> Result<Result<Listing, String>, Error> {
    let failed = match failed {
        Some(error) => Some(error),
        None => match following.list_together(ctx, sessions, job, memory).await? {
            Some(Ok(listing)) => return Ok(Ok(listing)),
            Some(Err(error)) => Some(error),
            None => None,
        },
    };
    list_source(ctx, sessions, &job.record, Leaves::ByShare(job.share.as_deref()), failed).await
}

/// The source as an earlier run listed it, which still stands; the target is opened.
async fn as_seen<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    seen: &Sighting,
) -> Result<Result<Result<Listing, String>, Refusal>, Error> {
    if let Err(refusal) = refresh_unless_new(ctx, sessions, job).await? {
        return Ok(Err(refusal));
    }
    let epochs = ctx.journal.epochs(job.record.id, Side::Source).await?;
    let Some(epoch) = epochs.into_iter().find(|epoch| epoch.id == seen.epoch) else {
        return Ok(Ok(list_source(ctx, sessions, &job.record, Leaves::ByShare(None), None).await?));
    };
    ctx.journal.save_sighting(ctx.run, seen).await?;
    let octets = ctx.journal.counts_of(job.record.id).await?.iter().map(|count| count.octets).sum();
    Ok(Ok(Ok(Listing { epoch, messages: seen.facts.exists, octets, others: 0, left_out: Vec::new() })))
}

/// A target mailbox that this run opened for its baseline shows nothing else now, and holds nothing of ours.
async fn refresh_unless_new<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
) -> Result<Result<(), Refusal>, Error> {
    if std::mem::take(&mut job.is_new) {
        job.uid_next = job.baseline_start();
        return Ok(Ok(()));
    }
    refresh_target(ctx, sessions, job).await
}

/// What leaves out messages of a listing, beside the rules that hold for every mailbox.
#[derive(Clone, Copy)]
enum Leaves<'a> {
    /// Who brings them, decided as they are listed; without a share nothing does.
    ByShare(Option<&'a Share>),
    /// What left them to another mailbox before: it is decided later.
    AsBefore,
}

impl<'a> Leaves<'a> {
    fn share(self) -> Option<&'a Share> {
        match self {
            Self::ByShare(share) => share,
            Self::AsBefore => None,
        }
    }
}

/// Lists the source into the journal and copies nothing. What was left to another mailbox stays so: a run that is stopped now
/// leaves nothing more to do than there was. `Err` inside: the mailbox cannot be listed, and why.
pub async fn list_only<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    record: &MailboxRecord,
) -> Result<Result<(), String>, Error> {
    Ok(list_source(ctx, sessions, record, Leaves::AsBefore, None).await?.map(|_| ()))
}

/// Lists the source into the journal. `failed`: how that ended ahead of its turn. `Err` inside: the mailbox cannot be listed,
/// and why.
async fn list_source<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    record: &MailboxRecord,
    leaves: Leaves<'_>,
    mut failed: Option<EndError>,
) -> Result<Result<Listing, String>, Error> {
    let mut losses = Losses::new(ctx);
    let mut short = 0;
    loop {
        let listed = match failed.take() {
            Some(error) => Err(error),
            None => {
                ctx.probe.pass("list the source").await;
                let session = sessions.source(ctx).await?;
                list_once(ctx, session, record, leaves, None).await?
            }
        };
        match listed {
            Ok((listing, exists, _)) if listing.messages == exists => {
                note_hidden(ctx, record, leaves.share()).await?;
                return Ok(Ok(listing));
            }
            Ok((listing, exists, _)) => {
                // A short listing is not evidence (law 7): asked again on a new connection.
                short += 1;
                sessions.source = None;
                if short >= ctx.settings.limits.read_attempts_max {
                    let text = &record.source.text;
                    return Ok(Err(format!(
                        "the old server says that {text} holds {exists} messages and lists {}",
                        listing.messages
                    )));
                }
            }
            Err(error) => match losses.at_source(ctx, sessions, error).await {
                Ok(()) => {}
                Err(Error::Source(EndError::Refused { refusal, .. }))
                    if quirks::patience(refusal.class).is_none() =>
                {
                    return Ok(Err(format!("{} cannot be opened: {refusal}", record.source.text)));
                }
                Err(error) => return Err(error),
            },
        }
    }
}

/// Opens and lists once, where nothing is left to others: a complete listing with what came `together` with it, or what came of it.
pub(super) async fn list_ahead<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    session: &mut S::Session,
    record: &MailboxRecord,
    together: Option<Together>,
) -> Result<Result<Option<(Listing, Came)>, EndError>, Error> {
    let listed = list_once(ctx, session, record, Leaves::ByShare(None), together).await?;
    Ok(listed.map(|(listing, exists, came)| (listing.messages == exists).then_some((listing, came))))
}

/// Opens and lists once: the listing, the EXISTS it must agree with, and what came `together` with it.
async fn list_once<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    session: &mut S::Session,
    record: &MailboxRecord,
    leaves: Leaves<'_>,
    together: Option<Together>,
) -> Result<Result<(Listing, u64, Came), EndError>, Error> {
    let share = leaves.share();
    let (opened_tx, opened) = oneshot::channel();
    let (tx, mut rx) = mpsc::channel::<Vec<Listed>>(4);
    let take_in = async {
        // Not opened: the listing says why.
        let Ok(Opened { facts, .. }) = opened.await else { return Ok(None) };
        let epoch = ctx.journal.open_epoch(record.id, Side::Source, &facts).await?;
        let (mut octets, mut uids, mut left_out, mut others) = (0, Vec::new(), Vec::new(), 0);
        let before = share.and_then(|share| share.before(facts.uid_validity));
        share.inspect(|share| share.begin());
        let kept = match leaves {
            Leaves::AsBefore => left_to_others(ctx, record.id, epoch.id).await?,
            Leaves::ByShare(_) => HashSet::new(),
        };
        while let Some(mut piece) = rx.recv().await {
            piece.retain(|l| before.is_none_or(|before| l.key < before));
            octets += piece.iter().map(|l| l.octets).sum::<u64>();
            uids.extend(piece.iter().map(|l| l.key));
            let listed = |l: Listed| {
                let kept = kept.contains(&l.key).then(|| ELSEWHERE.to_owned());
                let mut item = listed_item(ctx, share, l);
                item.excluded = item.excluded.or(kept);
                item
            };
            let listed: Vec<ListedItem> = piece.into_iter().map(listed).collect();
            if ctx.settings.repair {
                left_out.extend(listed.iter().filter(|l| l.excluded.is_some()).map(|l| l.key));
            }
            others += ctx.journal.record_listing(record.id, epoch.id, &listed).await?.others;
        }
        left_out.sort_unstable();
        Ok::<_, Error>(Some((facts, uids, Listing { epoch, messages: 0, octets, others, left_out })))
    };
    let (event_tx, events) = mpsc::channel(EVENTS_QUEUED);
    let (expected, unlisted) = together.map(|together| together.ask(ctx, event_tx)).unzip();
    let listing = async {
        match unlisted {
            Some(unlisted) => session.list_with_bodies(&record.source.wire, opened_tx, tx, unlisted).await,
            None => session.list(&record.source.wire, opened_tx, tx).await.map(|messages| (messages, Ok(()))),
        }
    };
    let (listed, taken_in, mut came) = tokio::join!(listing, take_in, gather(events));
    let taken_in = taken_in?;
    let (messages, ended) = match listed {
        Ok(listed) => listed,
        // Patience that was asked for beside it comes first.
        Err(error) if error.asks_for_patience().is_some() => return Ok(Err(error)),
        Err(error) => return Ok(Err(came.throttled.unwrap_or(error))),
    };
    let Some((mut facts, mut uids, listing)) = taken_in else {
        let (server, doing) = ("the old server".to_owned(), "EXAMINE");
        return Ok(Err(EndError::Protocol {
            server,
            doing,
            what: "it lists a mailbox that it did not open".into(),
        }));
    };
    uids.sort_unstable();
    if let Some(expected) = expected {
        came.judge(&expected, facts.uid_validity, &uids);
    }
    came.ended(ended);
    let exists = facts.exists;
    if let Some(patience) = came.throttled.take_if(|_| messages != exists) {
        // It is not listed again before that time.
        return Ok(Err(patience));
    }
    // What came later is not of this listing: the next run finds the mailbox changed.
    if let Some(before) = share.and_then(|share| share.before(facts.uid_validity)) {
        (facts.exists, facts.uid_next) = (uids.len() as u64, Some(before));
    }
    // A listing that shows other messages under known UIDs is not what is known of the mailbox.
    if messages == exists && listing.others == 0 {
        save_sighting(ctx, record.id, Side::Source, listing.epoch.id, &facts, &uids).await?;
    }
    Ok(Ok((Listing { messages, ..listing }, exists, came)))
}

/// The messages of an epoch that are left to another mailbox, by the journal.
async fn left_to_others<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    mailbox: MailboxId,
    epoch: EpochId,
) -> Result<HashSet<Key>, Error> {
    let mut keys = HashSet::new();
    let mut pages = Pages::new(ctx, mailbox, &[State::Excluded]);
    while let Some(page) = pages.next().await? {
        let elsewhere = |i: &&Item| i.reason.as_ref().is_some_and(|reason| reason.kind == ELSEWHERE);
        let items = page.iter().filter(|i| i.id.epoch == epoch).filter(elsewhere);
        keys.extend(items.map(|i| i.id.key));
    }
    Ok(keys)
}

/// Says which labels do not come with their messages.
async fn note_hidden<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    record: &MailboxRecord,
    share: Option<&Share>,
) -> Result<(), Error> {
    let of_label = |label| {
        // Without a number: in the next run, which has more of them, it is the same remark.
        let text = format!(
            "Gmail does not show the label “{label}” over IMAP: those of its messages that have no other place come from “{}”, \
             without it. To carry it, tick “Show in IMAP” in Gmail’s settings, under Labels, before the first run",
            record.source.text
        );
        Note { kind: HIDDEN_LABEL.to_owned(), mailbox: Some(record.id), key: None, text }
    };
    let notes = share.map(Share::hidden).unwrap_or_default().into_iter().map(of_label).collect();
    ctx.note_new(HIDDEN_LABEL, notes).await
}

fn listed_item<S, T, J>(ctx: &Context<S, T, J>, share: Option<&Share>, listed: Listed) -> ListedItem {
    let too_old = ctx.settings.selection.since.is_some_and(|since| {
        // A message without a readable date is not left out.
        listed.internal_date.as_ref().and_then(|d| d.instant()).is_some_and(|at| at < since)
    });
    let too_old = too_old.then(|| "since".to_owned());
    let excluded = too_old.or_else(|| share.and_then(|share| share.leaves_out(&listed)));
    ListedItem {
        key: listed.key,
        octets: listed.octets,
        flags: listed.flags,
        internal_date: listed.internal_date,
        mod_seq: listed.mod_seq,
        lineage: listed.lineage,
        excluded,
    }
}

/// Keeps what was seen of a mailbox.
pub async fn save_sighting<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    mailbox: MailboxId,
    side: Side,
    epoch: EpochId,
    facts: &EpochFacts,
    uids: &[Key],
) -> Result<(), Error> {
    let sighting = Sighting { mailbox, side, epoch, facts: facts.clone(), uids: ranges(uids) };
    Ok(ctx.journal.save_sighting(ctx.run, &sighting).await?)
}

/// Ascending keys as an IMAP set: `1:3,7`.
pub(crate) fn ranges(keys: &[Key]) -> String {
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

/// The highest UID of a set that `ranges` wrote.
pub fn highest(set: &str) -> Option<Key> {
    set.rsplit([',', ':']).next()?.parse().ok().map(Key)
}

/// Messages that go together after so many passes that settled nothing: one of them may be at what the server ends the
/// connection each time.
///
/// QUIRK: Cyrus 3.6.1 does so with the MULTIAPPEND in which a mailbox gets its 101st keyword, and refuses the message when it
/// comes alone (seen here).
fn together_max(fruitless: u32, batch_messages_max: usize) -> Option<u64> {
    match fruitless {
        0 => None,
        1 => Some((batch_messages_max / SMALLER_BY).max(1) as u64),
        _ => Some(1),
    }
}

/// Passes over what is listed in `epoch` until nothing is left; `None` when the source mailbox got another epoch.
async fn passes<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    memory: &Arc<Semaphore>,
    listed: &Epoch,
    following: &mut Following<'_>,
) -> Result<Option<CopyEnd>, Error> {
    let epoch = listed.id;
    let (mut wish, mut losses) = (Wish::new(epoch), Losses::new(ctx));
    heed(ctx, sessions, following, &mut losses).await?;
    // Just listed, and open since: it need not be opened once more.
    let open = sessions.source.as_ref().and_then(|s| s.open_epoch(&job.record.source.wire));
    let mut is_open = open == Some(listed.facts.uid_validity);
    let estimates = sessions.source(ctx).await?.abilities().does.sizes_are_estimates;
    let (mut suspects, mut reading) = (Suspects::default(), Reading::of(estimates));
    let mut fruitless = 0;
    loop {
        ctx.check_cancel()?;
        if !anything_listed(ctx, job, epoch).await? {
            return Ok(Some(CopyEnd::Done));
        }
        // An empty mailbox has no UID to begin above.
        if job.uid_next == job.baseline_start() && job.target_epoch.facts.exists > 0 {
            see_uid_next(ctx, sessions, job).await?;
        }
        if !std::mem::take(&mut is_open) && is_renumbered(ctx, sessions, job, epoch).await? {
            return Ok(None);
        }
        wish.together_max = together_max(fruitless, ctx.settings.limits.batch_messages_max);
        let mut end = run_pass(ctx, sessions, job, &wish, &mut reading, memory, following).await?;
        after_pass(ctx, sessions, job, &end).await?;
        if end.interrupted {
            return Err(Error::Interrupted);
        }
        if let Some(refusal) = end.held {
            return Ok(Some(match refusal.class {
                RefusalClass::Quota | RefusalClass::ThrottledOrFull => CopyEnd::Full(refusal),
                _ => CopyEnd::Left(format!("the new server refuses {}: {refusal}", job.target.text)),
            }));
        }
        fruitless = if end.settled > 0 { 0 } else { fruitless + 1 };
        if end.settled > 0 {
            losses.reset();
        }
        if let Some(error) = end.throttled.take() {
            fruitless = 0;
            losses.at_source(ctx, sessions, error).await?;
        }
        if let Some(error) = end.trouble.take().filter(|_| end.settled == 0) {
            // Nothing came at all. Of many messages asked for one by one none is to blame; of a few, each may be. They get
            // their time, too.
            let many = end.unread.len() > TROUBLED_MANY && !wish.only.is_empty();
            match losses.at_source(ctx, sessions, error).await {
                Err(Error::Source(error)) if many => {
                    return Ok(Some(CopyEnd::Left(format!("{}: {error}", job.record.source.text))));
                }
                Ok(()) if many => {
                    end.unread.clear();
                    fruitless = 0;
                }
                Ok(()) | Err(Error::Source(_)) => {}
                Err(error) => return Err(error),
            }
        }
        suspects.pass_ended(&end, wish.way, ctx.settings.limits.read_attempts_max);
        if suspects.settle(ctx, sessions, job, epoch).await? {
            fruitless = 0;
        }
        if let Some((error, blame)) = end.source_lost {
            if end.settled == 0 && blame.sure {
                losses.cause_is_known();
            }
            if suspects.broken_in_a_row() > ctx.settings.limits.broken_in_a_row_max {
                return Err(at(Side::Source, error));
            }
            losses.another(ctx, Side::Source, error).await?;
        } else if fruitless >= FRUITLESS_PASSES_MAX && suspects.is_empty() {
            return Ok(Some(CopyEnd::Left(format!("{} makes no progress", job.record.source.text))));
        }
        wish = suspects.next_wish(ctx, job, epoch).await?;
        heed(ctx, sessions, following, &mut losses).await?;
    }
}

/// Gives the source the time that it asked for while messages came ahead.
async fn heed<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    following: &mut Following<'_>,
    losses: &mut Losses,
) -> Result<(), Error> {
    match following.throttled() {
        Some(error) => losses.at_source(ctx, sessions, error).await,
        None => Ok(()),
    }
}

/// What COMMIT says that every new message lies at or above: one more than the highest UID there is. A UIDNEXT as told is
/// not used: too high, it would hide our own messages from the search for them. Without a complete listing the
/// baseline stays, which is as right and only makes the search longer.
/// True when nothing of before can lie at or above it.
pub(super) async fn see_uid_next<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
) -> Result<bool, Error> {
    let listing = list_target(ctx, sessions, job).await?;
    let same_epoch = listing.opened.facts.uid_validity == job.target_epoch.facts.uid_validity;
    let is_known = same_epoch && listing.is_complete();
    if let Some(last) = listing.keys.last().filter(|_| is_known) {
        job.uid_next = job.uid_next.max(Key(last.0 + 1));
    }
    Ok(is_known)
}

/// Whether anything of the epoch is listed that is not left to others. Items of former epochs are none of a pass's: their
/// numbers mean nothing now.
async fn anything_listed<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    epoch: EpochId,
) -> Result<bool, Error> {
    let mut after = Some(ItemId { mailbox: job.record.id, epoch, key: Key(i64::MIN) });
    // The first one says it, unless others are to be looked at.
    let limit = if job.uploads.is_none() { 1 } else { ctx.settings.limits.journal_page_rows };
    loop {
        let query = Query { mailbox: Some(job.record.id), states: &[State::Listed], after, limit };
        let page = ctx.journal.items(query).await?;
        let Some(last) = page.last().filter(|last| last.id.epoch == epoch) else {
            return Ok(page.iter().any(|i| i.id.epoch == epoch && !job.leaves(i)));
        };
        if page.iter().any(|i| !job.leaves(i)) {
            return Ok(true);
        }
        after = Some(last.id);
    }
}

/// What a pass found out beside copying.
pub(super) async fn after_pass<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    end: &PassEnd,
) -> Result<(), Error> {
    if end.epoch_changed {
        let _ = refresh_target(ctx, sessions, job).await?;
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
        match open_and_read(&ctx.pace.target_reading, sessions.target(ctx).await?, job, &uids, Depth::Octets)
            .await
        {
            Ok(seen) => break seen,
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    };
    let there: BTreeMap<Key, _> =
        seen.into_iter().filter_map(|s| Some((s.uid, s.measured?.fingerprint))).collect();
    let mut owned = BTreeSet::new();
    for uid in &uids {
        let owner = ctx.journal.claims(job.record.id, job.target_epoch.id, *uid, 1).await?;
        owned.extend(owner.iter().map(|(of, _)| *of).filter(|of| of == uid));
    }
    let named: BTreeMap<ItemId, Key> = merged.iter().copied().collect();
    let mut after = None;
    loop {
        let page = ctx.journal.unplaced(job.record.id, after, ctx.settings.limits.journal_page_rows).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        let changes: Vec<Change> = page
            .iter()
            .filter_map(|i| {
                let uid = named.get(&i.id)?;
                let same = there.get(uid)?.normal == i.sent.as_ref()?.sent.normal;
                // Where nobody has it yet, it is this message's own.
                same.then(|| match owned.insert(*uid) {
                    true => Change::to(i.id, State::Stored).at(job.place(*uid), Origin::Found),
                    false => Change::to(i.id, State::Merged).at(job.place(*uid), Origin::Shared),
                })
            })
            .collect();
        ctx.journal.change(&changes).await?;
    }
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
        assert_eq!(highest(&set(&[1, 2, 3, 7, 9, 10])), Some(Key(10)));
        assert_eq!(highest(&set(&[7])), Some(Key(7)));
        assert_eq!(highest(""), None);
    }
}
