//! The mailbox that a worker takes next: while the target stores the last of the one before, it is listed, and its first messages
//! are fetched, so that the source does not wait for the target, nor the target for the source. The messages of a small mailbox
//! that is new to this migration come in the round trip of its listing, also where it is the first one.

use super::copy::{Listing, list_ahead};
use super::feed::{memory_units, split};
use super::job::{Job, Sessions};
use super::shell::EVENTS_QUEUED;
use super::together::{Came, Together, gather};
use crate::context::Context;
use crate::end::{Abilities, FetchRange, Fetched, Source, SourceSession, Target, Wanted, Way};
use crate::error::{EndError, Error};
use crate::journal::{EpochId, Existing, Item, Journal, MailboxId, Query, Side, State};
use crate::limits::Limits;
use crate::message::Key;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Ranges that are fetched ahead: what the target has to do until the next ones come.
const RANGES_AHEAD: usize = 2;

/// Messages whose octets are here before it is their turn.
pub(super) type Bodies = BTreeMap<Key, Fetched>;

/// Where the next mailbox comes from, and what is known of it.
pub struct Following<'a> {
    next: &'a (dyn Fn() -> Option<Job> + Sync),
    taken: Option<Job>,
    /// Its listing, or why there is none.
    listing: Option<(MailboxId, Result<Listing, EndError>)>,
    /// Its first messages, and the epoch that their numbers mean something in.
    bodies: Option<(MailboxId, EpochId, Bodies)>,
    /// The source asked for patience instead of giving some of them.
    throttled: Option<EndError>,
    /// Not all messages that were asked for with a listing came: none are any more.
    apart: bool,
}

impl<'a> Following<'a> {
    /// `next` gives the mailbox after the present one, once.
    pub fn new(next: &'a (dyn Fn() -> Option<Job> + Sync)) -> Self {
        Self { next, taken: None, listing: None, bodies: None, throttled: None, apart: false }
    }

    /// No mailbox follows.
    pub fn none() -> Self {
        Self::new(&|| None)
    }

    /// The mailbox that was taken and is not begun: it must not be left to nobody.
    pub fn take(&mut self) -> Option<Job> {
        self.taken.take()
    }

    /// The listing of this mailbox, if it was made ahead, or why it failed: what the server asked for is heeded when it is
    /// its turn. Messages of another one are dropped.
    pub(super) fn listing_of(&mut self, job: &Job) -> Option<Result<Listing, EndError>> {
        self.bodies = self.bodies.take().filter(|(of, ..)| *of == job.record.id);
        self.listing.take().filter(|(of, _)| *of == job.record.id).map(|(_, listing)| listing)
    }

    /// The messages of this epoch that came ahead. Others are dropped: the memory reserved for them is needed now.
    pub(super) fn bodies_of(&mut self, epoch: EpochId) -> Bodies {
        self.bodies.take().filter(|(_, of, _)| *of == epoch).map(|(.., bodies)| bodies).unwrap_or_default()
    }

    /// Drops what came ahead: memory is needed for other messages first.
    pub(super) fn drop_bodies(&mut self) {
        self.bodies = None;
    }

    /// The patience that the source asked for while messages came ahead, once: it is heeded before it is asked for more.
    pub(super) fn throttled(&mut self) -> Option<EndError> {
        self.throttled.take()
    }

    /// Takes the next mailbox, lists it and fetches its first messages, if none is taken yet. True when the session can be used
    /// further.
    ///
    /// # Errors
    /// The journal's.
    pub(super) async fn begin<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        session: &mut S::Session,
        memory: &Arc<Semaphore>,
    ) -> Result<bool, Error> {
        if self.taken.is_some() || ctx.cancel.is_cancelled() {
            return Ok(true);
        }
        self.taken = (self.next)();
        // Who brings a message is decided only when those before are listed.
        let Some(job) = self.taken.clone().filter(|job| job.share.is_none()) else { return Ok(true) };
        let together = self.together(ctx, session.abilities(), &job, memory).await?;
        let usable = self.list(ctx, session, &job, together).await?;
        match self.bodies {
            Some((_, epoch, ref bodies)) if usable && bodies.is_empty() && self.throttled.is_none() => {
                let came = fetch(ctx, session, &job, epoch, memory).await?;
                Ok(self.keep(&job, epoch, came))
            }
            _ => Ok(usable),
        }
    }

    /// Lists a mailbox whose messages may come with its listing. `None` where they may not, and where no complete listing came.
    ///
    /// # Errors
    /// The journal's; no connection; an interruption.
    pub(super) async fn list_together<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        sessions: &mut Sessions<S, T>,
        job: &Job,
        memory: &Arc<Semaphore>,
    ) -> Result<Option<Result<Listing, EndError>>, Error> {
        let session = sessions.source(ctx).await?;
        let together = self.together(ctx, session.abilities(), job, memory).await?;
        if together.is_none() {
            return Ok(None);
        }
        if !self.list(ctx, session, job, together).await? {
            sessions.source = None;
        }
        ctx.check_cancel()?;
        Ok(self.listing.take().map(|(_, listing)| listing))
    }

    /// What is asked for with the listing of a mailbox.
    async fn together<S: Source, T: Target, J: Journal>(
        &self,
        ctx: &Context<S, T, J>,
        source: &Abilities,
        job: &Job,
        memory: &Arc<Semaphore>,
    ) -> Result<Option<Together>, Error> {
        if self.apart || !may_wait(ctx, job) {
            return Ok(None);
        }
        Together::of(ctx, job, source, memory).await
    }

    /// Opens and lists a mailbox; keeps what came of it. True when the session can be used further.
    async fn list<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        session: &mut S::Session,
        job: &Job,
        together: Option<Together>,
    ) -> Result<bool, Error> {
        let asked = together.is_some();
        ctx.probe.pass("list the source").await;
        let listed = tokio::select! {
            biased;
            // In the middle of an answer.
            () = ctx.cancel.cancelled() => return Ok(false),
            listed = list_ahead(ctx, session, &job.record, together) => listed?,
        };
        let mailbox = job.record.id;
        match listed {
            Ok(Some((listing, came))) => {
                self.apart |= asked && !came.all;
                let epoch = listing.epoch.id;
                self.listing = Some((mailbox, Ok(listing)));
                Ok(self.keep(job, epoch, came))
            }
            Ok(None) => {
                self.apart |= asked;
                Ok(false)
            }
            Err(error) => {
                // A mailbox that is refused says nothing of the others.
                self.apart |= asked && error.is_connection();
                // It may be the patience asked for beside it that is told of a connection that is gone.
                let usable = !asked && !error.is_connection();
                self.listing = Some((mailbox, Err(error)));
                Ok(usable)
            }
        }
    }

    fn keep(&mut self, job: &Job, epoch: EpochId, came: Came) -> bool {
        (self.bodies, self.throttled) = (Some((job.record.id, epoch, came.bodies)), came.throttled);
        came.usable
    }
}

/// Fetches the first messages of a mailbox just listed. What came until something is wrong is used; what is wrong with a message
/// is met when it is its turn.
async fn fetch<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    session: &mut S::Session,
    job: &Job,
    epoch: EpochId,
    memory: &Arc<Semaphore>,
) -> Result<Came, Error> {
    let ranges = match is_fetched_ahead(ctx, job).await? {
        true => first_ranges(ctx, session.abilities().command_messages_max, job, epoch, memory).await?,
        false => Vec::new(),
    };
    if ranges.is_empty() {
        return Ok(Came::nothing());
    }
    let (range_tx, range_rx) = mpsc::channel(RANGES_AHEAD);
    for range in ranges {
        // There is room for all of them.
        let _ = range_tx.try_send(range);
    }
    drop(range_tx);
    let (event_tx, events) = mpsc::channel(EVENTS_QUEUED);
    ctx.probe.pass("fetch ahead").await;
    let (fetched, mut came) = tokio::select! {
        biased;
        // In the middle of an answer.
        () = ctx.cancel.cancelled() => return Ok(Came { usable: false, ..Came::nothing() }),
        came = async { tokio::join!(session.fetch(range_rx, &ctx.intake, event_tx), gather(events)) } => came,
    };
    came.ended(fetched);
    Ok(came)
}

/// Whether messages of this mailbox may wait in memory for their turn: not where a rate decides about each octet, and not where
/// others of its messages are read before that, for which memory is reserved: all of it must be there then.
async fn is_fetched_ahead<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<bool, Error> {
    Ok(may_wait(ctx, job) && ctx.journal.epochs(job.record.id, Side::Source).await?.len() < 2)
}

fn may_wait<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>, job: &Job) -> bool {
    let is_matched = job.baseline.existing != Existing::Adopt || job.baseline.matched;
    job.uploads.is_none() && is_matched && ctx.pace.source.piece_octets().is_none()
}

/// The first ranges of what is listed, as far as memory is free now.
async fn first_ranges<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    messages_max: Option<u64>,
    job: &Job,
    epoch: EpochId,
    memory: &Arc<Semaphore>,
) -> Result<Vec<FetchRange>, Error> {
    let limits = ctx.settings.limits.narrowed(messages_max, None);
    let limit = limits.fetch_range_messages_max.saturating_mul(RANGES_AHEAD).min(limits.journal_page_rows);
    let query = Query { mailbox: Some(job.record.id), states: &[State::Listed], after: None, limit };
    let page: Vec<Item> =
        ctx.journal.items(query).await?.into_iter().filter(|item| item.id.epoch == epoch).collect();
    let ranges = split(&page, &limits, false).into_iter().take(RANGES_AHEAD).zip(1..);
    Ok(ranges.map_while(|(items, id)| reserve_now(items, id, &limits, memory)).collect())
}

/// One range, if there is memory for all of it.
fn reserve_now(items: &[Item], id: u64, limits: &Limits, memory: &Arc<Semaphore>) -> Option<FetchRange> {
    let mut wanted = Vec::with_capacity(items.len());
    for item in items {
        let permit = memory.clone().try_acquire_many_owned(memory_units(limits, item.octets)).ok()?;
        wanted.push(Wanted { key: item.id.key, octets: item.octets, memory: Some(permit) });
    }
    Some(FetchRange { id, way: Way::Whole, alone: false, wanted })
}
