//! The octets of single messages, asked for where their digests are not enough.

use super::job::{Job, Losses, Sessions};
use super::rekey::is_recognised;
use super::spool::Body;
use crate::context::Context;
use crate::end::{FetchEvent, FetchRange, Source, SourceSession, Target, TargetSession, Wanted, Way};
use crate::error::{EndError, Error};
use crate::journal::{Item, Journal, Side};
use crate::message::Key;
use crate::quirks;
use bytes::Bytes;
use tokio::sync::mpsc;

/// What a server answers when it is asked for one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given<M> {
    /// This.
    Message(M),
    /// It is not there, too long, or refused.
    Nothing,
    /// The mailbox has another epoch than the one that was meant.
    Renumbered,
}

/// The octets of one message of a job's target mailbox, asked for on a new connection when one is lost.
pub async fn target_octets<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    uid: Key,
    octets_max: u64,
) -> Result<Given<Bytes>, Error> {
    let mut losses = Losses::new(ctx);
    loop {
        let session = sessions.target(ctx).await?;
        let read = match session.open(&job.target.wire).await {
            Ok(opened) if opened.facts.uid_validity != job.target_epoch.facts.uid_validity => {
                return Ok(Given::Renumbered);
            }
            Ok(_) => session.octets(uid, octets_max).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(octets) => return Ok(octets.map_or(Given::Nothing, Given::Message)),
            Err(EndError::Refused { refusal, .. }) if !quirks::is_passing(refusal.class) => {
                return Ok(Given::Nothing);
            }
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    }
}

/// The body of one source message as it is now, asked for as often as a message may be.
pub async fn source_body<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    item: &Item,
) -> Result<Given<Body>, Error> {
    let epochs = ctx.journal.epochs(job.record.id, Side::Source).await?;
    let Some(epoch) = epochs.iter().find(|e| e.id == item.id.epoch) else { return Ok(Given::Nothing) };
    let mut losses = Losses::new(ctx);
    for _ in 0..ctx.settings.limits.read_attempts_max {
        let session = sessions.source(ctx).await?;
        let read = match session.open(&job.record.source.wire).await {
            Ok(opened) if opened.facts.uid_validity != epoch.facts.uid_validity => {
                // What is not among the messages of an epoch that was recognised is not there.
                let now = epochs.last().filter(|e| e.facts.uid_validity == opened.facts.uid_validity);
                let is_gone = match now {
                    Some(now) => is_recognised(ctx, job, now).await?,
                    None => false,
                };
                return Ok(if is_gone { Given::Nothing } else { Given::Renumbered });
            }
            Ok(_) => fetch_one(ctx, session, item).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(Some(body)) => return Ok(Given::Message(body)),
            // Left out.
            Ok(None) => {}
            Err(EndError::Refused { refusal, .. }) if !quirks::is_passing(refusal.class) => {
                return Ok(Given::Nothing);
            }
            Err(error) => losses.at_source(ctx, sessions, error).await?,
        }
    }
    Ok(Given::Nothing)
}

async fn fetch_one<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    session: &mut S::Session,
    item: &Item,
) -> Result<Option<Body>, EndError> {
    let (range_tx, range_rx) = mpsc::channel(1);
    let (event_tx, mut event_rx) = mpsc::channel(16);
    let ask = async move {
        let wanted = vec![Wanted { key: item.id.key, octets: item.octets, memory: None }];
        // A session that is gone says so itself.
        let _ = range_tx.send(FetchRange { id: 0, way: Way::Whole, alone: false, wanted }).await;
    };
    let keep = async {
        let (mut body, mut refused) = (None, None);
        while let Some(event) = event_rx.recv().await {
            match event {
                FetchEvent::Fetched(fetched) if fetched.key == item.id.key => body = Some(fetched.body),
                FetchEvent::RangeDone { refused: Some(refusal), .. } => refused = Some(refusal),
                _ => {}
            }
        }
        (body, refused)
    };
    let ((), fetched, (body, refused)) =
        tokio::join!(ask, session.fetch(range_rx, &ctx.intake, event_tx), keep);
    fetched?;
    match (body, refused) {
        (None, Some(refusal)) => {
            Err(EndError::Refused { server: "the old server".into(), doing: "UID FETCH", refusal })
        }
        (body, _) => Ok(body),
    }
}
