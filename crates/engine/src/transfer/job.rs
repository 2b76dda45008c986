//! One mailbox pair in work: what is known of it, and the sessions that serve it.

use crate::context::{Context, at};
use crate::end::{Opened, Source, SourceSession, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::journal::{Baseline, Decision, Epoch, EpochFacts, Journal, MailboxRecord, Name, Place, Side};
use crate::message::Key;
use crate::progress::Progress;
use std::time::Duration;

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
    /// A UIDNEXT of the target epoch seen before the next batch.
    pub uid_next: Key,
}

impl Job {
    /// A place of this job's target epoch.
    pub fn place(&self, uid: Key) -> Place {
        Place { epoch: self.target_epoch.id, uid }
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

    /// Drops the target session so that nothing more of it reaches the server.
    pub fn abort_target(&mut self) {
        if let Some(session) = self.target.take() {
            session.abort();
        }
    }

    /// Says goodbye on both.
    pub async fn close(&mut self) {
        if let Some(session) = self.source.take() {
            session.close().await;
        }
        if let Some(session) = self.target.take() {
            session.close().await;
        }
    }
}

/// Opens a target mailbox for reading. An error that ends the connection is passed on with the session gone.
pub async fn open_target<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    mailbox: &Name,
) -> Result<Opened, Error> {
    retry_target(ctx, sessions, async |session| session.open(&mailbox.wire).await).await
}

/// Runs `ask` on the target session, on a new connection when one is lost, as often as the back-off allows.
pub async fn retry_target<S: Source, T: Target, J: Journal, R>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    mut ask: impl AsyncFnMut(&mut T::Session) -> Result<R, EndError>,
) -> Result<R, Error> {
    let mut losses = Losses::new(ctx);
    loop {
        match ask(sessions.target(ctx).await?).await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_connection() => {
                sessions.abort_target();
                losses.another(ctx, Side::Target, error).await?;
            }
            Err(error) => return Err(at(Side::Target, error)),
        }
    }
}

/// Runs `ask` on the source session, on a new connection when one is lost, as often as the back-off allows.
pub async fn retry_source<S: Source, T: Target, J: Journal, R>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    mut ask: impl AsyncFnMut(&mut S::Session) -> Result<R, EndError>,
) -> Result<R, Error> {
    let mut losses = Losses::new(ctx);
    loop {
        match ask(sessions.source(ctx).await?).await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_connection() => {
                sessions.source = None;
                losses.another(ctx, Side::Source, error).await?;
            }
            Err(error) => return Err(at(Side::Source, error)),
        }
    }
}

/// Counts connections lost while trying one thing, and waits between them.
#[derive(Debug)]
pub struct Losses {
    began: tokio::time::Instant,
    back_off: crate::pace::BackOff,
}

impl Losses {
    /// None so far.
    pub fn new<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>) -> Self {
        let limits = &ctx.settings.limits;
        let seed = ctx.run.0.unsigned_abs();
        Self {
            began: tokio::time::Instant::now(),
            back_off: crate::pace::BackOff::new(limits.back_off_min, limits.back_off_max, seed),
        }
    }

    /// Progress was made: the next loss is a first one.
    pub fn reset(&mut self) {
        self.began = tokio::time::Instant::now();
        self.back_off.reset();
    }

    /// One more: waits, or gives up with `error` when nothing worked for too long.
    pub async fn another<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        side: Side,
        error: EndError,
    ) -> Result<(), Error> {
        if self.began.elapsed() >= ctx.settings.limits.give_up {
            return Err(at(side, error));
        }
        ctx.bus.tell(Progress::Reconnecting { side: side.into(), why: error.to_string() });
        ctx.sleep(self.back_off.next(None)).await
    }

    /// The server asked for patience: waits at least as long as it said, or gives up with `error` when nothing
    /// worked for too long.
    pub async fn pause<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        side: Side,
        asked: Option<Duration>,
        error: EndError,
    ) -> Result<(), Error> {
        if self.began.elapsed() >= ctx.settings.limits.give_up {
            return Err(at(side, error));
        }
        let wait = self.back_off.next(asked);
        ctx.bus.tell(Progress::waiting(side, error.to_string(), wait));
        ctx.sleep(wait).await
    }
}

/// The target name of a record that moves.
pub fn target_name(record: &MailboxRecord) -> Option<&Name> {
    match &record.decision {
        Decision::Move(name) => Some(name),
        Decision::Exclude(_) | Decision::Refuse(_) => None,
    }
}

/// UIDNEXT from facts; a mailbox that gives none counts from its highest UID, found by listing.
pub async fn uid_next<S: TargetSession>(session: &mut S, facts: &EpochFacts) -> Result<Key, EndError> {
    match facts.uid_next {
        Some(next) => Ok(next),
        None => Ok(session.keys().await?.0.last().map_or(Key(1), |last| Key(last.0 + 1))),
    }
}
