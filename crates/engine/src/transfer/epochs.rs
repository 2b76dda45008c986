//! Another UIDVALIDITY at the target: what was claimed by number must be found again by content (law 6,
//! integrity.md 6.7).

use super::job::{Job, Losses, Pages, Sessions, open_target};
use super::resolve::rebind;
use crate::context::Context;
use crate::end::{Source, SourceSession, Target};
use crate::error::{EndError, Error, Refusal};
use crate::journal::{Change, EpochId, Item, Journal, Note, Side, State};

/// Opens the target mailbox. Where its epoch is not the one that the claims belong to, their items are looked for
/// by content. `Err` inside: the server refuses to open it.
pub async fn refresh_target<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
) -> Result<Result<(), Refusal>, Error> {
    let target = job.target.clone();
    let opened = match open_target(ctx, sessions, &target).await {
        Ok(opened) => opened,
        Err(Error::Target(EndError::Refused { refusal, .. })) => return Ok(Err(refusal)),
        Err(error) => return Err(error),
    };
    let before = job.target_epoch.clone();
    if opened.facts.uid_validity != before.facts.uid_validity {
        let text = format!(
            "the new server gave {} another UIDVALIDITY ({}): what was stored there must be found again",
            target.text, opened.facts.uid_validity
        );
        // Before the new epoch is the journal's: a run that is stopped in between sees the change again.
        suspect_claims(ctx, job, before.id).await?;
        let note = Note { kind: "epoch_changed".into(), mailbox: Some(job.record.id), key: None, text };
        ctx.journal.note(note).await?;
    }
    job.target_epoch = ctx.journal.open_epoch(job.record.id, Side::Target, &opened.facts).await?;
    job.uid_next = job.baseline_start();
    rebind(ctx, sessions, job).await?;
    Ok(Ok(()))
}

/// Whether the source mailbox has another UIDVALIDITY than this epoch of it. Opens it.
pub async fn is_renumbered<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    epoch: EpochId,
) -> Result<bool, Error> {
    let mut losses = Losses::new(ctx);
    let opened = loop {
        match sessions.source(ctx).await?.open(&job.record.source.wire).await {
            Ok(opened) => break opened,
            Err(error) => losses.at_source(ctx, sessions, error).await?,
        }
    };
    let known = ctx.journal.epochs(job.record.id, Side::Source).await?;
    Ok(!known.iter().any(|e| e.id == epoch && e.facts.uid_validity == opened.facts.uid_validity))
}

/// Claims of another epoch mean nothing by number: their items are `suspect` until found by content.
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
