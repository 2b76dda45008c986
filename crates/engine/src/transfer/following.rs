//! The mailbox that a worker takes next: while the target stores the last of the one before, it is listed, and its first messages
//! are fetched, so that the source does not wait for the target, nor the target for the source.

use super::copy::{Listing, list_ahead};
use super::feed::{memory_units, split};
use super::job::Job;
use super::shell::EVENTS_QUEUED;
use crate::context::Context;
use crate::end::{FetchEvent, FetchRange, Fetched, Source, SourceSession, Target, Wanted, Way};
use crate::error::{EndError, Error};
use crate::journal::{EpochId, Existing, Item, Journal, MailboxId, Query, Side, State};
use crate::limits::Limits;
use crate::message::Key;
use crate::quirks::Doing;
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
}

impl<'a> Following<'a> {
    /// `next` gives the mailbox after the present one, once.
    pub fn new(next: &'a (dyn Fn() -> Option<Job> + Sync)) -> Self {
        Self { next, taken: None, listing: None, bodies: None, throttled: None }
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
        let Some(job) = self.taken.as_ref().filter(|job| job.share.is_none()) else { return Ok(true) };
        ctx.probe.pass("list the source").await;
        let listed = tokio::select! {
            biased;
            // In the middle of an answer.
            () = ctx.cancel.cancelled() => return Ok(false),
            listed = list_ahead(ctx, session, &job.record) => listed?,
        };
        let mailbox = job.record.id;
        let usable = match listed {
            Ok(Some(listing)) => {
                let epoch = listing.epoch.id;
                self.listing = Some((mailbox, Ok(listing)));
                let ahead = fetch(ctx, session, job, epoch, memory).await?;
                (self.bodies, self.throttled) = (Some((mailbox, epoch, ahead.bodies)), ahead.throttled);
                ahead.usable
            }
            Ok(None) => false,
            Err(error) => {
                let usable = !error.is_connection();
                self.listing = Some((mailbox, Err(error)));
                usable
            }
        };
        Ok(usable)
    }
}

/// What came of fetching ahead.
struct Came {
    /// The session can be used further.
    usable: bool,
    bodies: Bodies,
    throttled: Option<EndError>,
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
    let (mut bodies, mut throttled) = (Bodies::new(), None);
    if ranges.is_empty() {
        return Ok(Came { usable: true, bodies, throttled });
    }
    let (range_tx, range_rx) = mpsc::channel(RANGES_AHEAD);
    for range in ranges {
        // There is room for all of them.
        let _ = range_tx.try_send(range);
    }
    drop(range_tx);
    let (event_tx, mut events) = mpsc::channel(EVENTS_QUEUED);
    ctx.probe.pass("fetch ahead").await;
    let come = async {
        while let Some(event) = events.recv().await {
            match event {
                FetchEvent::Fetched(fetched) => _ = bodies.insert(fetched.key, fetched),
                FetchEvent::RangeDone { refused: Some(refusal), .. }
                    if refusal.asks_for_patience(Doing::Fetch) =>
                {
                    let (server, doing) = ("the old server".to_owned(), "UID FETCH");
                    throttled.get_or_insert(EndError::Refused { server, doing, refusal });
                }
                FetchEvent::RangeDone { .. } | FetchEvent::NoBody { .. } => {}
            }
        }
    };
    let fetched = tokio::select! {
        biased;
        // In the middle of an answer.
        () = ctx.cancel.cancelled() => return Ok(Came { usable: false, bodies: Bodies::new(), throttled: None }),
        (fetched, ()) = async { tokio::join!(session.fetch(range_rx, &ctx.intake, event_tx), come) } => fetched,
    };
    if let Err(error) = fetched {
        // It is asked for once more, before the one at which the connection broke: one that is answered in the same command says
        // of the next that it is to blame.
        bodies.pop_last();
        throttled = throttled.or(Some(error).filter(|error| error.asks_for_patience().is_some()));
        return Ok(Came { usable: false, bodies, throttled });
    }
    Ok(Came { usable: true, bodies, throttled })
}

/// Whether messages of this mailbox may wait in memory for their turn: not where a rate decides about each octet, and not where
/// others of its messages are read before that, for which memory is reserved: all of it must be there then.
async fn is_fetched_ahead<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<bool, Error> {
    let is_matched = job.baseline.existing != Existing::Adopt || job.baseline.matched;
    let may_wait = job.uploads.is_none() && is_matched && ctx.pace.source.piece_octets().is_none();
    Ok(may_wait && ctx.journal.epochs(job.record.id, Side::Source).await?.len() < 2)
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
