//! What octets mean that differ from those fetched. A message that the new server rewrote and that says the same is SEMANTIC,
//! with the list of what differs; any other one is DAMAGED (integrity.md 3.2).
//!
//! Only the first reading can find a message SEMANTIC: what changes at the target later is no rewriting of the server's.

use super::portion::conclude;
use crate::adopt::read_back;
use crate::context::Context;
use crate::end::{Seen, Source, Target};
use crate::error::Error;
use crate::identity::{Grade, Measured};
use crate::journal::{Change, Item, Journal, Ladder, Reason, Sent, State};
use crate::message::Fingerprint;
use crate::progress::Progress;
use crate::report::DAMAGED;
use crate::semantic::{Comparison, compare};
use crate::transfer::job::{Job, Sessions};
use crate::transfer::meaning::outgoing;
use crate::transfer::munges;
use crate::transfer::octets::{Given, target_octets};

/// [`Reason::kind`] of a message that is SEMANTIC; the text has what differs.
pub const SEMANTIC: &str = "semantic";

/// [`Reason::kind`] of a message inside a cover message (T8).
pub const WRAPPED: &str = "wrapped";

/// [`Reason::kind`] of a message whose header was encoded (T4).
pub const ENCODED: &str = "encoded";

/// True for the octets with which the item was found SEMANTIC before. A certificate keeps no more than their digest.
pub(super) fn was_weighed(item: &Item, read: &Fingerprint) -> bool {
    let before = item.read_back.as_ref().and_then(|r| r.fingerprint.as_ref());
    item.grade == Some(Grade::Semantic) && before.is_some_and(|before| before.exact == read.exact)
}

/// What is said of a message that was sent in other octets than it was fetched (T4, T8), where these are what is read.
pub(super) fn repaired(sent: &Sent, read: &Fingerprint) -> Option<Reason> {
    how_repaired(sent).filter(|_| sent.sent.exact == read.exact)
}

fn how_repaired(sent: &Sent) -> Option<Reason> {
    if sent.ladder.has(Ladder::WRAPPED) {
        Some(Reason::new(WRAPPED, "the message, untouched, is attached to a cover message"))
    } else if sent.ladder.has(Ladder::ENCODED) {
        Some(Reason::new(ENCODED, words_of_encoded(sent.ladder)))
    } else {
        None
    }
}

fn words_of_encoded(ladder: Ladder) -> String {
    let steps = [
        (Ladder::LINE_ENDS, "line feeds alone became line ends"),
        (Ladder::NO_KEYWORDS, "its keywords were left out"),
        (Ladder::NO_DATE, "its date of arrival was left out"),
    ];
    let mut words = "octets outside ASCII in its header were encoded".to_owned();
    for (_, step) in steps.iter().filter(|(step, _)| ladder.has(*step)) {
        words = format!("{words}; {step}");
    }
    if ladder == Ladder::ENCODED { words + "; all else is untouched" } else { words }
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
            Ok(Compared::Not) => None,
            Ok(Compared::To(result)) => Some(result),
            // Not proven, and not damaged either: the next run asks again.
            Ok(Compared::Later) => return Ok(()),
            Err(Error::Source(error)) => {
                tracing::warn!(%error, mailbox = %job.target.text, "cannot compare what was read back");
                return Ok(());
            }
            Err(error) => return Err(error),
        },
        State::Stored => return Ok(()),
        _ => None,
    };
    if let Some(comparison) = &comparison {
        munges::look(ctx, comparison).await?;
    }
    let mut change = match &comparison {
        Some(same) if same.same => {
            let mut change = Change::to(item.id, State::Verified);
            change.grade = Some(Grade::Semantic);
            change.because(means_the_same(item, same))
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

fn means_the_same(item: &Item, same: &Comparison) -> Reason {
    match item.sent.as_deref().and_then(how_repaired) {
        Some(Reason { kind, text }) if !same.deltas.is_empty() => {
            Reason::new(kind, format!("{text}; {same}"))
        }
        Some(how) => how,
        None => Reason::new(SEMANTIC, same.to_string()),
    }
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

/// What went out and what was read, compared in their meaning.
enum Compared {
    /// The source does not give the message, the target gives yet other octets, or one is too large.
    Not,
    /// The mailbox has another epoch on one side, or the copy is not there any more.
    Later,
    To(Comparison),
}

async fn comparison<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    item: &Item,
    seen: &Seen,
) -> Result<Compared, Error> {
    let (Some(sent), Some(measured)) = (&item.sent, &seen.measured) else { return Ok(Compared::Not) };
    let octets_max = ctx.settings.limits.compare_octets_max;
    if sent.fetched.octets.max(measured.fingerprint.octets) > octets_max {
        return Ok(Compared::Not);
    }
    let went_out = match outgoing(ctx, sessions, job, item).await? {
        Given::Message(octets) => octets,
        Given::Nothing => return Ok(Compared::Not),
        Given::Renumbered => return Ok(Compared::Later),
    };
    Ok(match target_octets(ctx, sessions, job, seen.uid, octets_max).await? {
        // What is compared is what was read, or nothing.
        Given::Message(read) if Measured::of(&read).fingerprint == measured.fingerprint => {
            Compared::To(compare(&went_out, &read))
        }
        Given::Message(_) => Compared::Not,
        Given::Nothing | Given::Renumbered => Compared::Later,
    })
}
