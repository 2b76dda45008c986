//! Messages that the new server will not take for their size, found before anything is sent.

use super::{Known, MailboxStep, Plan, WillNotMove, display};
use crate::end::{Large, SourceSession};
use crate::error::{EndError, Error};
use crate::journal::{ItemId, Journal, MailboxId, Side};
use crate::message::{InternalDate, Key};
use crate::names;
use crate::survey::{Passing, Survey};
use crate::transfer::job::find_item;
use bytes::Bytes;
use std::collections::HashSet;

/// Messages named as examples.
const EXAMPLES_MAX: usize = 3;

/// What [`too_large`] says of messages that an announced limit keeps out.
pub(crate) const TOO_LARGE: &str = "messages that are too large";

/// What is above the new server's limit, where it is known, and was not given up by an earlier run. Only mailboxes that can hold
/// such a message are searched; a server that does not search says nothing, and the run finds them.
pub(super) async fn too_large<S: SourceSession, J: Journal>(
    source: &mut S,
    journal: &J,
    survey: &Survey,
    plan: &Plan,
    known: &Known,
    (since, passing): (Option<i64>, Passing),
) -> Result<Option<WillNotMove>, Error> {
    let Some(limit) = survey.target.abilities.append_limit_octets else { return Ok(None) };
    let may_hold = |step: &&MailboxStep| {
        let record = &step.record;
        let is_new = record
            .messages
            .is_none_or(|messages| messages > known.settled.get(&record.id).map_or(0, |settled| settled.0));
        step.trouble.is_none() && step.counts && is_new && record.octets.is_none_or(|octets| octets > limit)
    };
    let steps: Vec<&MailboxStep> = plan.steps.iter().filter(may_hold).collect();
    if steps.is_empty() {
        return Ok(None);
    }
    let mailboxes: Vec<Bytes> = steps.iter().map(|step| step.record.source.wire.clone()).collect();
    let found = match source.larger(&mailboxes, limit).await {
        Ok(found) => found,
        Err(error) if error.is_to_be_asked_later() && passing == Passing::Fails => {
            return Err(Error::Source(error));
        }
        // It is only a forecast: a server that is silent for long over it, or ends the connection, is asked for the mail itself
        // on another one.
        Err(error) if error.is_connection() || matches!(error, EndError::Refused { .. }) => return Ok(None),
        Err(error) => return Err(Error::Source(error)),
    };
    let mut large: Vec<(&MailboxStep, Large)> = Vec::new();
    for (step, found) in steps.into_iter().zip(found) {
        let Some(found) = found.filter(|found| !found.is_empty()) else { continue };
        let done = done_with(journal, step.record.id, &found).await?;
        let moves = |message: &Large| {
            let at = message.internal_date.as_ref().and_then(InternalDate::instant);
            !done.contains(&message.key) && since.is_none_or(|since| at.is_none_or(|at| at >= since))
        };
        large.extend(found.into_iter().filter(moves).map(|message| (step, message)));
    }
    Ok((!large.is_empty()).then(|| told(large, limit, survey.source.abilities.does.sizes_are_estimates)))
}

/// Pure: the line for these messages.
fn told(mut large: Vec<(&MailboxStep, Large)>, limit: u64, estimated: bool) -> WillNotMove {
    large.sort_by_key(|(_, message)| std::cmp::Reverse(message.octets));
    let example = |(step, Large { octets, internal_date, .. }): &(&MailboxStep, Large)| {
        let date = internal_date.as_ref().map(|date| String::from_utf8_lossy(date.as_octets()).into_owned());
        let day = date.as_deref().and_then(|date| date.split_whitespace().next());
        let of = day.map(|day| format!(" of {}", names::printable(day))).unwrap_or_default();
        format!("{} in “{}”{of}", display::size(*octets), names::printable(&step.record.source.text))
    };
    let examples: Vec<String> = large.iter().take(EXAMPLES_MAX).map(example).collect();
    let more = if large.len() > EXAMPLES_MAX { ", …" } else { "" };
    let estimated = if estimated { "; the old server only estimates sizes" } else { "" };
    WillNotMove {
        what: TOO_LARGE.into(),
        count: Some(large.len() as u64),
        reason: format!(
            "the new server takes none larger than {} ({}{more}){estimated}; ask its provider for a higher limit, or they stay \
             behind, each listed, with its original in the report’s folder",
            display::size(limit),
            examples.join(", ")
        ),
        otherwise: None,
    }
}

/// Of these messages those that need nothing more: moved already, whatever size the old server tells, or given up.
async fn done_with<J: Journal>(
    journal: &J,
    mailbox: MailboxId,
    large: &[Large],
) -> Result<HashSet<Key>, Error> {
    let mut done = HashSet::new();
    let Some(epoch) = journal.epochs(mailbox, Side::Source).await?.pop() else { return Ok(done) };
    for Large { key, .. } in large {
        let item = find_item(journal, ItemId { mailbox, epoch: epoch.id, key: *key }).await?;
        done.extend(item.filter(|item| !item.state.is_pending()).map(|item| item.id.key));
    }
    Ok(done)
}
