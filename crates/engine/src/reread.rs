//! Reads the source a second time and compares it with what was fetched the first time: the strongest proof there
//! is, for those who want it (`mailhaul verify --reread-source`).

use crate::adopt::read_source;
use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::journal::{Item, Journal, Note, State};
use crate::transfer::job::{Job, Pages, Sessions};
use crate::transfer::memory_share;

/// Reads what was copied from one mailbox again. A difference is noted as a doubt: which of the two readings was
/// the right one cannot be known.
pub async fn reread<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<(), Error> {
    let memory = memory_share(&ctx.settings.limits, 1);
    let states = &[State::Stored, State::Verified, State::AlreadyThere, State::Merged];
    let mut pages = Pages::new(ctx, job.record.id, states);
    while let Some(page) = pages.next().await? {
        let again = read_source(ctx, sessions, job, &page, &memory).await?;
        for item in &page {
            let Some(first) = &item.sent else { continue };
            let doubt = match again.get(&item.id) {
                Some(second) if second.fetched.exact == first.fetched.exact => continue,
                Some(_) => {
                    ("doubt:source_changed", "the old server gives other octets than at the first reading")
                }
                None => ("doubt:source_silent", "the old server gave no octets this time"),
            };
            note(ctx, job, item, doubt).await?;
        }
    }
    Ok(())
}

async fn note<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    item: &Item,
    (kind, what): (&str, &str),
) -> Result<(), Error> {
    let text = format!("UID {} of {}: {what}", item.id.key, job.record.source.text);
    let note = Note { kind: kind.into(), mailbox: Some(job.record.id), key: Some(item.id.key), text };
    Ok(ctx.journal.note(note).await?)
}
