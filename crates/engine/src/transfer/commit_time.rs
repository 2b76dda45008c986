//! How long the target took for a commit, at most: seen in this run, or in an earlier one of this journal. The settle time is a
//! multiple of it (law 4), so that a run which goes on after a crash waits for what is in doubt no longer than it must.

use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::journal::{Journal, Note, each_note};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// [`Note::kind`] of a commit that took longer than any before: milliseconds, rounded up to a power of two, so that a journal
/// has few of them.
pub const LONGEST_COMMIT: &str = "longest_commit";

/// What earlier runs saw.
pub async fn remember<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>) -> Result<(), Error> {
    let page_rows = ctx.settings.limits.journal_page_rows;
    let remembered = each_note(&ctx.journal, LONGEST_COMMIT, page_rows, |record| {
        // A remark of another hand counts for nothing.
        ctx.longest_commit_ms.fetch_max(record.note.text.parse().unwrap_or(0), Ordering::Relaxed);
    });
    Ok(remembered.await?)
}

/// A commit took so long.
pub async fn seen<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    took: Duration,
) -> Result<(), Error> {
    let ms = u64::try_from(took.as_millis()).ok().and_then(u64::checked_next_power_of_two);
    let ms = ms.unwrap_or(u64::MAX);
    if ctx.longest_commit_ms.fetch_max(ms, Ordering::Relaxed) < ms {
        let text = ms.to_string();
        ctx.journal.note(Note { kind: LONGEST_COMMIT.into(), mailbox: None, key: None, text }).await?;
    }
    Ok(())
}
