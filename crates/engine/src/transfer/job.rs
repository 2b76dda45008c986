//! One mailbox pair in work: what is known of it, and the sessions that serve it.

use crate::context::{Context, at, reason_of};
use crate::end::{MailboxCounts, Opened, Source, SourceSession, Target, TargetSession, UidListing};
use crate::error::{EndError, Error};
use crate::journal::{
    Baseline, Decision, Epoch, Item, ItemId, Journal, MailboxId, MailboxRecord, Name, Place, Query, Side,
    Sighting, State,
};
use crate::labels::{Bringers, Share};
use crate::message::Key;
use crate::progress::Progress;
use crate::quirks::{self, Case, Doing, Pause, Remedy};
use crate::seats::Seat;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Keys between two items that are asked for together: the journal reads as many at once.
const NEAR_KEYS: i64 = 64;

/// A mailbox pair whose target is made and has a baseline.
#[derive(Clone, Debug)]
pub struct Job {
    /// The pair.
    pub record: MailboxRecord,
    /// Its target name.
    pub target: Name,
    /// Where this migration began at the target.
    pub baseline: Baseline,
    /// The target's current epoch.
    pub target_epoch: Epoch,
    /// Every message of the next batch will have this UID or a higher one.
    pub uid_next: Key,
    /// What decides about its messages, where others may bring them.
    pub share: Option<Arc<Share>>,
    /// Who uploads a message, where the target puts further labels on by COPY: what others upload is left to that.
    pub uploads: Option<Arc<Bringers>>,
    /// Its target was opened in this run for its baseline, and was empty: made by this run, or there before, as an INBOX is. The
    /// search for what is in doubt begins at UID 1 then. Below the UIDNEXT of that moment there is nothing, nor will there be: no UID
    /// is given twice (RFC 9051, 2.3.1.1). What others put there from then on is claimed by its content alone: the mail is there, the
    /// report says so (`doubt:claimed_by_content`), and as `found` it is none of undo's. To tell by number what came before the first
    /// batch would cost a listing of each such mailbox, and leave what comes beside the batch. A mailbox that holds mail when it is
    /// opened is not new: its baseline lies above all of it.
    pub is_new: bool,
    /// The complete listing of the source by an earlier run, where STATUS says that it still stands and nothing but copying is left:
    /// it is not listed again.
    pub seen: Option<Sighting>,
    /// What STATUS told of the source in this run.
    pub told: Option<MailboxCounts>,
}

impl Job {
    /// A mailbox of which nothing more is known than what the journal has. Where the next batch begins is known once its target
    /// is opened.
    pub fn new(record: MailboxRecord, target: Name, baseline: Baseline, target_epoch: Epoch) -> Self {
        let (uid_next, is_new) = (Key(1), false);
        let (share, uploads, seen, told) = (None, None, None, None);
        Self { record, target, baseline, target_epoch, uid_next, share, uploads, is_new, seen, told }
    }

    /// A place of this job's target epoch.
    pub fn place(&self, uid: Key) -> Place {
        Place { epoch: self.target_epoch.id, uid }
    }

    /// True for a message that another mailbox uploads: it is copied here when that is done.
    pub fn leaves(&self, item: &Item) -> bool {
        self.uploads.as_ref().is_some_and(|uploads| uploads.upload_elsewhere(item))
    }

    /// The least UID of the target epoch that a message of this migration can have.
    pub fn baseline_start(&self) -> Key {
        if self.baseline.epoch == self.target_epoch.id { self.baseline.uid_next } else { Key(1) }
    }
}

/// The connections of one worker. A lost one is `None` until it is needed again.
#[derive(Debug)]
pub struct Sessions<S: Source, T: Target> {
    /// Reads the source.
    pub source: Option<S::Session>,
    /// Appends.
    pub target: Option<T::Session>,
}

impl<S: Source, T: Target> Default for Sessions<S, T> {
    fn default() -> Self {
        Self { source: None, target: None }
    }
}

impl<S: Source, T: Target> Sessions<S, T> {
    /// The source session, connected again if it was lost.
    pub async fn source<J: Journal>(&mut self, ctx: &Context<S, T, J>) -> Result<&mut S::Session, Error> {
        let session = match self.source.take() {
            Some(session) => session,
            None => ctx.connect_source(true).await?,
        };
        Ok(self.source.insert(session))
    }

    /// The target session, connected again if it was lost.
    pub async fn target<J: Journal>(&mut self, ctx: &Context<S, T, J>) -> Result<&mut T::Session, Error> {
        let session = match self.target.take() {
            Some(session) => session,
            None => ctx.connect_target(true).await?,
        };
        Ok(self.target.insert(session))
    }

    /// Connects on both sides at once where a session is missing.
    pub async fn connect_both<J: Journal>(&mut self, ctx: &Context<S, T, J>) -> Result<(), Error> {
        let (source, target) = (self.source.is_none(), self.target.is_none());
        let connecting = tokio::join!(
            async { if source { ctx.connect_source(true).await.map(Some) } else { Ok(None) } },
            async { if target { ctx.connect_target(true).await.map(Some) } else { Ok(None) } },
        );
        self.source = connecting.0?.or(self.source.take());
        self.target = connecting.1?.or(self.target.take());
        Ok(())
    }

    /// Sessions beside others of the run, one for each seat; `None` when a server gives no further one.
    pub async fn beside<J: Journal>(ctx: &Context<S, T, J>, seats: Vec<Seat>) -> Option<(Self, Vec<Seat>)> {
        let (mut source, mut target) = (None, None);
        for seat in seats {
            match seat.side() {
                Side::Source => source = Some(seat),
                Side::Target => target = Some(seat),
            }
        }
        let wanted = (source.is_some(), target.is_some());
        let (source, target) = tokio::join!(async { ctx.another_source(source?).await }, async {
            ctx.another_target(target?).await
        },);
        let (source, of_source) = source.unzip();
        let (target, of_target) = target.unzip();
        let mut sessions = Self { source, target };
        if (sessions.source.is_some(), sessions.target.is_some()) == wanted {
            return Some((sessions, of_source.into_iter().chain(of_target).collect()));
        }
        sessions.close().await;
        None
    }

    /// Drops the target session so that nothing more of it reaches the server.
    pub fn abort_target(&mut self) {
        if let Some(session) = self.target.take() {
            session.abort();
        }
    }

    /// Says goodbye on both; who needs the answers waits for [`Context::goodbyes`]. The seats are free when they have come: a
    /// server that counts connections counts these until then.
    pub fn leave<J: Journal>(mut self, ctx: &Context<S, T, J>, seats: Vec<Seat>) {
        ctx.goodbyes.say(async move {
            self.close().await;
            drop(seats);
        });
    }

    /// Says goodbye on both.
    pub async fn close(&mut self) {
        let (source, target) = (self.source.take(), self.target.take());
        tokio::join!(
            async {
                if let Some(session) = source {
                    session.close().await;
                }
            },
            async {
                if let Some(session) = target {
                    session.close().await;
                }
            },
        );
    }
}

/// Opens a target mailbox for reading, on a new connection when one is lost.
pub async fn open_target<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    mailbox: &Name,
) -> Result<Opened, Error> {
    let mut losses = Losses::new(ctx);
    loop {
        match sessions.target(ctx).await?.open(&mailbox.wire).await {
            Ok(opened) => return Ok(opened),
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    }
}

/// Opens the target mailbox of a job and lists it, on a new connection when one is lost.
pub async fn list_target<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<UidListing, Error> {
    let mut losses = Losses::new(ctx);
    loop {
        match sessions.target(ctx).await?.open_and_list(&job.target.wire).await {
            Ok(listing) => return Ok(listing),
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    }
}

/// Opens the target mailboxes of jobs and lists them, together where the end can. `None` for each that could not be, the
/// reason of which the next attempt tells.
pub async fn list_targets<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    jobs: &[&Job],
) -> Result<Vec<Option<UidListing>>, Error> {
    let mailboxes: Vec<_> = jobs.iter().map(|job| job.target.wire.clone()).collect();
    match sessions.target(ctx).await?.open_and_list_each(&mailboxes).await {
        Ok(listings) => Ok(listings.into_iter().map(Result::ok).collect()),
        Err(error) => {
            tracing::debug!(%error, "the listings are asked for one by one");
            sessions.abort_target();
            Ok(jobs.iter().map(|_| None).collect())
        }
    }
}

/// Items of a mailbox in some states, page by page, in order. They may be moved between two pages.
#[derive(Debug)]
pub struct Pages<'a, S, T, J> {
    ctx: &'a Context<S, T, J>,
    mailbox: MailboxId,
    states: &'a [State],
    after: Option<ItemId>,
}

impl<'a, S: Source, T: Target, J: Journal> Pages<'a, S, T, J> {
    /// From the first one on.
    pub fn new(ctx: &'a Context<S, T, J>, mailbox: MailboxId, states: &'a [State]) -> Self {
        Self::behind(ctx, mailbox, states, None)
    }

    /// From behind `after` on.
    pub fn behind(
        ctx: &'a Context<S, T, J>,
        mailbox: MailboxId,
        states: &'a [State],
        after: Option<ItemId>,
    ) -> Self {
        Self { ctx, mailbox, states, after }
    }

    /// The next page; empty pages do not occur.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>, Error> {
        let limit = self.ctx.settings.limits.journal_page_rows;
        let query = Query { mailbox: Some(self.mailbox), states: self.states, after: self.after, limit };
        let page = self.ctx.journal.items(query).await?;
        self.after = page.last().map(|i| i.id).or(self.after);
        Ok((!page.is_empty()).then_some(page))
    }
}

/// One item, as the journal has it.
pub async fn find_item<J: Journal>(journal: &J, id: ItemId) -> Result<Option<Item>, Error> {
    let Some(before) = id.key.0.checked_sub(1) else { return Ok(None) };
    let after = Some(ItemId { key: Key(before), ..id });
    let query = Query { mailbox: Some(id.mailbox), states: &State::ALL, after, limit: 1 };
    Ok(journal.items(query).await?.pop().filter(|item| item.id == id))
}

/// Items, as the journal has them. Neighbours are asked for together: where one in `NEAR_KEYS` is wanted, and no more than a page.
pub async fn find_items<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    wanted: BTreeSet<ItemId>,
) -> Result<HashMap<ItemId, Item>, Error> {
    let mut found = HashMap::with_capacity(wanted.len());
    for Group { first, limit } in groups(&wanted, ctx.settings.limits.journal_page_rows) {
        let Some(before) = first.key.0.checked_sub(1) else { continue };
        let after = Some(ItemId { key: Key(before), ..first });
        let query = Query { mailbox: Some(first.mailbox), states: &State::ALL, after, limit };
        let items = ctx.journal.items(query).await?;
        found.extend(items.into_iter().filter(|item| wanted.contains(&item.id)).map(|item| (item.id, item)));
    }
    Ok(found)
}

/// Items of one epoch that one question to the journal gives: so many from the first one on.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    first: ItemId,
    limit: usize,
}

/// Pure: the questions that give these items. So many keys hold no more items than this.
fn groups(wanted: &BTreeSet<ItemId>, most: usize) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut last: Option<ItemId> = None;
    for id in wanted {
        let near = last.filter(|last| (last.mailbox, last.epoch) == (id.mailbox, id.epoch));
        let near = near.is_some_and(|last| id.key.0 - last.key.0 <= NEAR_KEYS);
        last = Some(*id);
        let span = |first: &ItemId| usize::try_from(id.key.0 - first.key.0 + 1).unwrap_or(usize::MAX);
        match groups.last_mut().filter(|group| near && span(&group.first) <= most) {
            Some(group) => group.limit = span(&group.first),
            None => groups.push(Group { first: *id, limit: 1 }),
        }
    }
    groups
}

/// Counts connections lost while trying one thing, and waits between them.
#[derive(Debug)]
pub struct Losses {
    began: tokio::time::Instant,
    back_off: crate::pace::BackOff,
    /// Refusals that may pass, since the last progress.
    tries: u32,
}

impl Losses {
    /// None so far.
    pub fn new<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>) -> Self {
        let limits = &ctx.settings.limits;
        let seed = ctx.run.0.unsigned_abs();
        Self {
            began: tokio::time::Instant::now(),
            back_off: crate::pace::BackOff::new(limits.back_off_min, limits.back_off_max, seed),
            tries: 0,
        }
    }

    /// Progress was made: the next loss is a first one.
    pub fn reset(&mut self) {
        self.began = tokio::time::Instant::now();
        self.back_off.reset();
        self.tries = 0;
    }

    /// It is known what broke the connection: the next wait is a first one, the time without progress goes on.
    pub fn cause_is_known(&mut self) {
        self.back_off.reset();
    }

    /// One more: waits, as long as the last words of the connection ask if they do, or gives up with `error` when nothing
    /// worked for too long.
    pub async fn another<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        side: Side,
        error: EndError,
    ) -> Result<(), Error> {
        if let Some(asked) = error.asks_for_patience() {
            return self.pause(ctx, side, asked, error).await;
        }
        if self.began.elapsed() >= ctx.settings.limits.give_up {
            return Err(at(side, error));
        }
        ctx.bus.tell(Progress::Reconnecting { side: side.into(), why: error.to_string() });
        ctx.sleep(self.back_off.next(None)).await
    }

    /// A target operation failed: `Ok` when it is worth trying again, on a new connection, or after a wait.
    pub async fn at_target<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        sessions: &mut Sessions<S, T>,
        error: EndError,
    ) -> Result<(), Error> {
        match self.remedy(&error) {
            Some(Remedy::Wait(pause)) => return self.pause(ctx, Side::Target, pause, error).await,
            Some(_) => {}
            None => return Err(at(Side::Target, error)),
        }
        sessions.abort_target();
        self.another(ctx, Side::Target, error).await
    }

    /// A source operation failed: `Ok` when it is worth trying again, on a new connection, or after a wait.
    pub async fn at_source<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        sessions: &mut Sessions<S, T>,
        error: EndError,
    ) -> Result<(), Error> {
        match self.remedy(&error) {
            Some(Remedy::Wait(pause)) => return self.pause(ctx, Side::Source, pause, error).await,
            Some(_) => {}
            None => return Err(at(Side::Source, error)),
        }
        sessions.source = None;
        self.another(ctx, Side::Source, error).await
    }

    /// What may help against a failure that takes no single message with it: a wait, or a new connection; `None` for
    /// nothing.
    fn remedy(&mut self, error: &EndError) -> Option<Remedy> {
        let EndError::Refused { refusal, .. } = error else {
            return error.is_connection().then_some(Remedy::Reconnect);
        };
        let case = Case { doing: Doing::Open, tries: self.tries, alone: true };
        let remedy = quirks::remedy(refusal.class, case);
        self.tries += 1;
        matches!(remedy, Remedy::Wait(_) | Remedy::Reconnect).then_some(remedy)
    }

    /// Waits: at least as long as the server asked, if it did. Gives up with `error` when nothing worked for too long.
    pub async fn pause<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        side: Side,
        pause: Pause,
        error: EndError,
    ) -> Result<(), Error> {
        let limits = &ctx.settings.limits;
        let (before, wait) = (self.began.elapsed(), self.back_off.pause(pause, limits.spent_step));
        let most = limits.give_up_after(pause);
        if before >= most || wait > limits.give_up_asked {
            return Err(at(side, error));
        }
        if quirks::asks_for_less(&error) {
            ctx.seats.throttled(side);
        }
        ctx.wait(side, reason_of(&error), &error.to_string(), wait).await
    }
}

/// The target name of a record that moves.
pub fn target_name(record: &MailboxRecord) -> Option<&Name> {
    match &record.decision {
        Decision::Move(name) => Some(name),
        Decision::Exclude(_) | Decision::Refuse(_) => None,
    }
}

/// The mailboxes that move, as the journal knows them.
pub async fn jobs<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>) -> Result<Vec<Job>, Error> {
    let mut jobs = Vec::new();
    for record in ctx.journal.mailboxes().await? {
        let Some(target) = target_name(&record).cloned() else { continue };
        let Some(baseline) = ctx.journal.baseline(record.id).await? else { continue };
        let Some(target_epoch) = ctx.journal.epochs(record.id, Side::Target).await?.pop() else { continue };
        jobs.push(Job::new(record, target, baseline, target_epoch));
    }
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::EpochId;

    #[test]
    fn items_that_lie_near_each_other_are_one_question_and_no_larger_than_a_page() {
        let id = |mailbox, epoch, key| ItemId {
            mailbox: MailboxId(mailbox),
            epoch: EpochId(epoch),
            key: Key(key),
        };
        let asked = |ids: &[ItemId], most| -> Vec<(i64, usize)> {
            let groups = groups(&ids.iter().copied().collect(), most);
            groups.into_iter().map(|group| (group.first.key.0, group.limit)).collect()
        };
        assert_eq!(asked(&[id(1, 1, 9), id(1, 1, 7), id(1, 1, 71)], 1000), [(7, 65)]);
        assert_eq!(asked(&[id(1, 1, 1), id(1, 1, 66)], 1000), [(1, 1), (66, 1)], "far from each other");
        assert_eq!(asked(&[id(1, 1, 1), id(1, 2, 2), id(2, 2, 3)], 1000), [(1, 1), (2, 1), (3, 1)]);
        let all: Vec<ItemId> = (1..=250).map(|key| id(1, 1, key)).collect();
        assert_eq!(asked(&all, 100), [(1, 100), (101, 100), (201, 50)]);
        assert_eq!(asked(&[], 100), []);
    }
}
