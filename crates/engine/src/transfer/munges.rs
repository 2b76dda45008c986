//! Whether the target is known to destroy octets outside ASCII in header fields: by a probe, or by what was read back there in
//! this run or an earlier one of this journal. What goes there with `--repair` has its header encoded before it is sent (T4).

use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::journal::{Journal, Note};
use crate::profile::kept::Kept;
use crate::semantic::Comparison;
use std::sync::atomic::Ordering;

/// [`Note::kind`] of a target at which that was seen.
pub const MUNGES: &str = "header_munged";

/// What is known when a run begins.
pub async fn remember<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    profile: Option<&Kept>,
) -> Result<(), Error> {
    // A probe of this server was made for the purpose, and may be newer than what was seen.
    let known = match profile.filter(|kept| kept.fits).map(|kept| kept.profile.munges_headers()) {
        Some(Some(munges)) => munges,
        _ => !ctx.journal.notes(MUNGES, i64::MIN, 1).await?.is_empty(),
    };
    ctx.munges_headers.store(known, Ordering::Relaxed);
    Ok(())
}

/// Looks for that in what was read back of a message that went as it was.
pub async fn look<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    read: &Comparison,
) -> Result<(), Error> {
    if !read.munged_headers() {
        return Ok(());
    }
    ctx.munges_headers.store(true, Ordering::Relaxed);
    let text =
        "the new server replaces octets outside ASCII in header fields that are not encoded".to_owned();
    ctx.note_once(Note { kind: MUNGES.to_owned(), mailbox: None, key: None, text }).await
}
