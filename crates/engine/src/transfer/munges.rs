//! Whether the target is known to destroy octets outside ASCII in header fields: by a probe, or by what was read back there in
//! this run or an earlier one of this journal. What goes there with `--repair` has its header encoded before it is sent (T4).

use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::journal::{Journal, JournalResult, Note, each_note};
use crate::profile::kept::{Kept, Probes};
use crate::semantic::Comparison;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// [`Note::kind`] of a target at which that was seen.
pub const MUNGES: &str = "header_munged";

/// What is known when a run begins.
pub async fn remember<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    profile: Option<&Kept>,
) -> Result<(), Error> {
    let known = is_known(&ctx.journal, profile, ctx.settings.limits.journal_page_rows).await?;
    ctx.munges_headers.store(known, Ordering::Relaxed);
    Ok(())
}

/// Whether a probe, or a run of this journal, saw that.
///
/// # Errors
/// Those of the journal.
pub async fn is_known<J: Journal>(
    journal: &J,
    profile: Option<&Kept>,
    page_rows: usize,
) -> JournalResult<bool> {
    let probed =
        profile.filter(|kept| kept.fits).and_then(|kept| Some((kept.profile.munges_headers()?, kept.at)));
    Ok(match probed {
        Some((true, _)) => true,
        // A probe was made for the purpose: only what was seen later counts against it.
        Some((false, at)) => last_seen(journal, page_rows).await?.is_some_and(|seen| seen >= at),
        None => last_seen(journal, page_rows).await?.is_some(),
    })
}

/// When a run saw it last, or first after a probe that had not seen it.
async fn last_seen<J: Journal>(journal: &J, page_rows: usize) -> JournalResult<Option<SystemTime>> {
    let mut seen = None;
    each_note(journal, MUNGES, page_rows, |record| seen = Some(record.at)).await?;
    Ok(seen)
}

/// Looks for that in what was read back of a message that went as it was.
pub async fn look<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    read: &Comparison,
) -> Result<(), Error> {
    if !read.munged_headers() {
        return Ok(());
    }
    let was_known = ctx.munges_headers.swap(true, Ordering::Relaxed);
    let text =
        "the new server replaces octets outside ASCII in header fields that are not encoded".to_owned();
    let note = Note { kind: MUNGES.to_owned(), mailbox: None, key: None, text };
    // Seen once, then not found by a probe: that it is seen again is news.
    if !was_known
        && let Some(seen) = last_seen(&ctx.journal, ctx.settings.limits.journal_page_rows).await?
        && Probes::read(&ctx.journal).await?.last.is_some_and(|(probed, _)| seen < probed)
    {
        return Ok(ctx.journal.note(note).await?);
    }
    ctx.note_once(note).await
}
