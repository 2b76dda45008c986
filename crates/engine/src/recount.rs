//! What the source holds now, for `mailhaul verify`: a complete UID listing of each mailbox. Nothing is taken in to be
//! copied; what is there and unknown to the journal makes the report say that something is left to move.

use crate::context::Context;
use crate::end::{Asked, Source, SourceSession, Space, Target, Untold};
use crate::error::{EndError, Error};
use crate::journal::{Journal, MailboxId, Note, Side};
use crate::names;
use crate::quirks::Doing;
use crate::transfer::copy::save_sighting;
use crate::transfer::job::{Job, Losses, Sessions};
use std::collections::BTreeSet;

/// Kind of the note that names a mailbox of the source that this migration has never seen.
pub const NEW_MAILBOX: &str = "new_mailbox";
/// Kind of the note that says why the old account was not looked at.
pub const SOURCE_NOT_REACHED: &str = "source_not_reached";

/// Lists each mailbox of the source that moves. Returns those that could not be listed, and why.
pub async fn recount<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    jobs: &[Job],
) -> Result<Vec<(MailboxId, String)>, Error> {
    note_new_mailboxes(ctx, sessions).await?;
    let mut left = Vec::new();
    for job in jobs {
        ctx.check_cancel()?;
        if let Err(why) = recount_one(ctx, sessions, job).await? {
            left.push((job.record.id, why));
        }
    }
    Ok(left)
}

/// Mailboxes that the survey of no run has seen.
async fn note_new_mailboxes<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
) -> Result<(), Error> {
    let mut losses = Losses::new(ctx);
    let (listed, untold) = loop {
        let session = sessions.source(ctx).await?;
        match session.mailboxes().await {
            Ok(listed) => break (listed, session.untold()),
            Err(error) => losses.at_source(ctx, sessions, error).await?,
        }
    };
    for Untold { asked, error } in untold {
        let what = match asked {
            Asked::Own(prefix) => format!("what lies below “{}”", names::printable(&prefix)),
            Asked::Namespaces => "which folders belong to other people".to_owned(),
            Asked::Others(_) | Asked::Subscriptions | Asked::Roles | Asked::Counts(_) => continue,
        };
        let text = format!("{what} at the old server was not looked at: {error}");
        ctx.journal.note(Note { kind: SOURCE_NOT_REACHED.into(), mailbox: None, key: None, text }).await?;
    }
    let known: BTreeSet<_> = ctx.journal.mailboxes().await?.into_iter().map(|m| m.source.wire).collect();
    for mailbox in listed {
        let messages = mailbox.counts.map_or(1, |c| c.messages);
        let ours = mailbox.selectable && mailbox.space == Space::Personal;
        if ours && messages > 0 && !known.contains(&mailbox.wire) {
            let text = format!("{} is new at the old server and was never moved", mailbox.text);
            ctx.journal.note(Note { kind: NEW_MAILBOX.into(), mailbox: None, key: None, text }).await?;
        }
    }
    Ok(())
}

/// Lists one mailbox completely and keeps what was seen. `Err` inside: why it could not be listed.
async fn recount_one<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<Result<(), String>, Error> {
    let text = &job.record.source.text;
    let Some(epoch) = ctx.journal.epochs(job.record.id, Side::Source).await?.pop() else {
        return Ok(Err(format!("{text} was never listed")));
    };
    let mut losses = Losses::new(ctx);
    for _ in 0..ctx.settings.limits.read_attempts_max {
        let listing = loop {
            match sessions.source(ctx).await?.open_and_list(&job.record.source.wire).await {
                Ok(listing) => break listing,
                Err(EndError::Refused { refusal, .. }) if !refusal.asks_for_patience(Doing::Open) => {
                    return Ok(Err(format!("{text} cannot be opened: {refusal}")));
                }
                Err(error) => losses.at_source(ctx, sessions, error).await?,
            }
        };
        if listing.opened.facts.uid_validity != epoch.facts.uid_validity {
            // Its UIDs mean something else now (law 6). Only a run that reads the messages can tell which is which.
            return Ok(Err(format!("the old server gave {text} another UIDVALIDITY: run migrate again")));
        }
        if listing.is_complete() {
            let facts = &listing.opened.facts;
            save_sighting(ctx, job.record.id, Side::Source, epoch.id, facts, &listing.keys).await?;
            return Ok(Ok(()));
        }
        // A short listing is not evidence (law 7): asked again on a new connection.
        sessions.source = None;
    }
    Ok(Err(format!("the old server lists fewer messages of {text} than it says it holds")))
}
