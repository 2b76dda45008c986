//! What octets mean that differ from those fetched. A message that the new server rewrote and that says the same is SEMANTIC,
//! with the list of what differs; any other one is DAMAGED (integrity.md 3.2).
//!
//! Only the first reading can find a message SEMANTIC: what changes at the target later is no rewriting of the server's.

use super::conclude;
use crate::adopt::read_back;
use crate::context::Context;
use crate::end::{FetchEvent, FetchRange, Seen, Source, SourceSession, Target, TargetSession, Wanted, Way};
use crate::error::{EndError, Error};
use crate::identity::{Grade, Measured};
use crate::journal::{Change, Item, Journal, Ladder, Reason, Sent, Side, State};
use crate::message::Fingerprint;
use crate::progress::Progress;
use crate::quirks;
use crate::report::DAMAGED;
use crate::semantic::{Comparison, compare};
use crate::transfer::job::{Job, Losses, Sessions};
use crate::transfer::spool::Body;
use bytes::Bytes;
use tokio::sync::mpsc;

/// [`Reason::kind`] of a message that is SEMANTIC; the text has what differs.
pub const SEMANTIC: &str = "semantic";

/// [`Reason::kind`] of a message inside a cover message (T8).
pub const WRAPPED: &str = "wrapped";

/// True for the octets with which the item was found SEMANTIC before. A certificate keeps no more than their digest.
pub(super) fn was_weighed(item: &Item, read: &Fingerprint) -> bool {
    let before = item.read_back.as_ref().and_then(|r| r.fingerprint.as_ref());
    item.grade == Some(Grade::Semantic) && before.is_some_and(|before| before.exact == read.exact)
}

/// True for the octets of the cover message in which the item was sent, untouched.
pub(super) fn is_wrapped(sent: &Sent, read: &Fingerprint) -> bool {
    sent.ladder.has(Ladder::WRAPPED) && sent.sent.exact == read.exact
}

/// What is said of it.
pub(super) fn wrapped() -> Reason {
    Reason::new(WRAPPED, "the message, untouched, is attached to a cover message")
}

/// Decides about a message whose octets were read twice and differ from those fetched.
pub(super) async fn weigh<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    item: &Item,
    seen: &Seen,
) -> Result<(), Error> {
    let comparison = match item.state {
        State::Stored if ctx.reads_source => match comparison(ctx, sessions, job, item, seen).await {
            // Not proven, and not damaged either: the next run asks again.
            Err(Error::Source(error)) => {
                tracing::warn!(%error, mailbox = %job.target.text, "cannot compare what was read back");
                return Ok(());
            }
            compared => compared?,
        },
        State::Stored => return Ok(()),
        _ => None,
    };
    let mut change = match &comparison {
        Some(same) if same.same => {
            let mut change = Change::to(item.id, State::Verified);
            change.grade = Some(Grade::Semantic);
            change.because(Reason::new(SEMANTIC, same.to_string()))
        }
        _ => {
            let mut change = Change::to(item.id, State::Exception);
            change.grade = Some(Grade::Damaged);
            change.because(Reason::new(DAMAGED, words_of_damage(job, item, seen, comparison.as_ref())))
        }
    };
    change.read_back = Some(read_back(seen));
    change.read_at = item.place;
    let mut changes = vec![change];
    conclude(ctx, &mut changes).await?;
    // Empty where the item claims another place by now.
    if let Some(Change { to: State::Exception, reason: Some(reason), .. }) = changes.pop() {
        let (mailbox, key) = (item.id.mailbox.0, item.id.key.0);
        ctx.bus.tell(Progress::Exception { mailbox, key, kind: reason.kind, text: reason.text });
    }
    Ok(())
}

fn words_of_damage(job: &Job, item: &Item, seen: &Seen, comparison: Option<&Comparison>) -> String {
    let fetched = item.sent.as_ref().map_or(0, |s| s.fetched.octets);
    let read = seen.measured.map_or(0, |m| m.fingerprint.octets);
    let differs = comparison.map_or_else(String::new, |c| format!(": {c}"));
    format!(
        "the new server gives other octets than were sent: {fetched} octets fetched, {read} read back from UID {} of \
         {}{differs}",
        seen.uid, job.target.text
    )
}

/// Both messages compared in their meaning; `None` where one of them cannot be had, or is too large.
async fn comparison<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    item: &Item,
    seen: &Seen,
) -> Result<Option<Comparison>, Error> {
    let (Some(sent), Some(measured)) = (&item.sent, &seen.measured) else { return Ok(None) };
    let octets_max = ctx.settings.limits.compare_octets_max;
    if sent.fetched.octets.max(measured.fingerprint.octets) > octets_max {
        return Ok(None);
    }
    let Some(fetched) = of_source(ctx, sessions, job, item).await? else { return Ok(None) };
    let Some(read) = of_target(ctx, sessions, job, seen, octets_max).await? else { return Ok(None) };
    // What is compared is what was fetched and what was read, or nothing.
    let same = |octets: &[u8], print: &Fingerprint| Measured::of(octets).fingerprint == *print;
    if !same(&fetched, &sent.fetched) || !same(&read, &measured.fingerprint) {
        return Ok(None);
    }
    Ok(Some(compare(&fetched, &read)))
}

async fn of_target<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    seen: &Seen,
    octets_max: u64,
) -> Result<Option<Bytes>, Error> {
    let mut losses = Losses::new(ctx);
    loop {
        let session = sessions.target(ctx).await?;
        let read = match session.open(&job.target.wire).await {
            Ok(opened) if opened.facts.uid_validity != job.target_epoch.facts.uid_validity => {
                return Ok(None);
            }
            Ok(_) => session.octets(seen.uid, octets_max).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(octets) => return Ok(octets),
            Err(EndError::Refused { refusal, .. }) if !quirks::is_passing(refusal.class) => {
                return Ok(None);
            }
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    }
}

async fn of_source<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    item: &Item,
) -> Result<Option<Bytes>, Error> {
    let epochs = ctx.journal.epochs(job.record.id, Side::Source).await?;
    let Some(epoch) = epochs.iter().find(|e| e.id == item.id.epoch) else { return Ok(None) };
    let mut losses = Losses::new(ctx);
    for _ in 0..ctx.settings.limits.read_attempts_max {
        let session = sessions.source(ctx).await?;
        let read = match session.open(&job.record.source.wire).await {
            Ok(opened) if opened.facts.uid_validity != epoch.facts.uid_validity => return Ok(None),
            Ok(_) => fetch_one(ctx, session, item).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(Some(body)) => return Ok(Some(body.whole().await.map_err(Error::Source)?)),
            // Left out.
            Ok(None) => {}
            Err(EndError::Refused { refusal, .. }) if !quirks::is_passing(refusal.class) => {
                return Ok(None);
            }
            Err(error) => losses.at_source(ctx, sessions, error).await?,
        }
    }
    Ok(None)
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
        let _ = range_tx.send(FetchRange { id: 0, way: Way::Whole, wanted }).await;
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
