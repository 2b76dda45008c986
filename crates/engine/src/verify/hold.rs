//! The guard for messages missing at the target: once so many were missing that a person must look, the mailbox is held
//! until all of them are there again. Its verdict does not pass because more mail came, or some of it came back.

use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::{Error, Question};
use crate::journal::{Journal, Note, last_kind};
use crate::transfer::copy::guard;
use crate::transfer::job::Job;

/// Kinds of the notes of a hold begin with this.
const HOLDS: &str = "missing:";
/// So many messages are missing that a person must look.
const HELD: &str = "missing:held";
/// All of them are there again.
const RELEASED: &str = "missing:released";

/// What must be asked about `missing` of `claimed` messages. With a question nothing is concluded of them.
pub(super) async fn question<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    missing: u64,
    claimed: u64,
) -> Result<Option<Question>, Error> {
    let held = is_held(ctx, job).await?;
    let asked = guard(missing, claimed, ctx.settings.limits.missing_messages_guard, &job.target.text);
    match (held, &asked) {
        (false, Some(question)) => note(ctx, job, HELD, question.to_string()).await?,
        (true, None) if missing == 0 => {
            let text = format!("all messages that were missing from {} are there again", job.target.text);
            note(ctx, job, RELEASED, text).await?;
        }
        (true, None) => {
            let mailbox = job.target.text.clone();
            return Ok(Some(Question::ManyMissing { mailbox, missing, claimed }));
        }
        (_, _) => {}
    }
    Ok(asked)
}

/// True while a person has not looked, or not all messages are there again.
pub(super) async fn is_held<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<bool, Error> {
    let page_rows = ctx.settings.limits.journal_page_rows;
    let last = last_kind(&ctx.journal, HOLDS, page_rows, job.record.id).await?;
    Ok(last.is_some_and(|kind| kind == HELD))
}

async fn note<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    kind: &str,
    text: String,
) -> Result<(), Error> {
    let note = Note { kind: kind.into(), mailbox: Some(job.record.id), key: None, text };
    Ok(ctx.journal.note(note).await?)
}
