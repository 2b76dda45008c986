//! Mailboxes that STATUS shows as their last complete listing saw them: they are neither listed nor opened again, so that
//! a run with nothing to do costs one question for each side, whatever the number of mailboxes and messages.
//!
//! UIDVALIDITY, UIDNEXT and MESSAGES together say that no message came or went (RFC 9051, 2.3.1.1: UIDs only grow), and
//! HIGHESTMODSEQ that no flag changed (RFC 7162, 3.1.2). A server that leaves one of them out is listed as ever.

use super::job::{Job, Losses, Sessions};
use super::replace;
use crate::consent;
use crate::context::Context;
use crate::end::{MailboxCounts, MailboxInfo, Source, SourceSession, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::journal::{Count, EpochId, Existing, Journal, MailboxId, RunId, Side, Sighting, State};
use crate::names;
use crate::report::DAMAGED;
use crate::survey::SurveyedMailbox;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};

/// The verb of runs that take into the journal what they list. Others only count.
pub const MIGRATE: &str = "migrate";
/// Runs looked back for the one that a sighting is of.
const RUNS_MAX: usize = 1000;

/// What STATUS said of the mailboxes of one side, by [`names::key`].
#[derive(Debug, Default)]
pub struct Told(HashMap<Bytes, MailboxCounts>);

impl Told {
    /// From a survey.
    pub fn surveyed(mailboxes: &[SurveyedMailbox]) -> Self {
        Self::listed(mailboxes.iter().map(|m| &m.info))
    }

    /// From a listing with counts.
    pub fn listed<'a>(mailboxes: impl IntoIterator<Item = &'a MailboxInfo>) -> Self {
        let counted = |m: &MailboxInfo| Some((names::key(&m.wire, m.delimiter), m.counts?));
        Self(mailboxes.into_iter().filter_map(counted).collect())
    }

    fn of(&self, name: &crate::journal::Name) -> Option<&MailboxCounts> {
        self.0.get(&names::key(&name.wire, name.delimiter))
    }
}

/// Nothing happened to a mailbox since it was listed. What is not told is not known to be the same.
fn is_as_seen(seen: &Sighting, now: &MailboxCounts) -> bool {
    let then = &seen.facts;
    now.uid_validity == Some(then.uid_validity)
        && now.messages == then.exists
        && now.uid_next.is_some()
        && now.uid_next == then.uid_next
        && now.highest_mod_seq.is_some()
        && now.highest_mod_seq == then.highest_mod_seq
}

/// States that a run still has something to do about at the source, or may.
fn is_open(state: State, retries: bool) -> bool {
    match state {
        State::Listed
        | State::Fetched
        | State::Committed
        | State::InDoubt
        | State::Refused
        | State::Unreadable
        | State::Suspect
        // A rule may let it go.
        | State::Excluded => true,
        State::Exception => retries,
        State::Stored
        | State::Verified
        | State::AlreadyThere
        | State::Merged
        | State::GoneAtSource
        | State::GoneAtTarget
        | State::MovedAtTarget => false,
    }
}

/// States in which nothing but copying is left to do: what a run that ended in its middle leaves.
fn is_begun(state: State) -> bool {
    matches!(state, State::Listed | State::Fetched | State::Committed | State::InDoubt)
}

/// Of these mailboxes, those that are to be copied. The others have nothing new and nothing left, and their earlier listing
/// stands for this run; so it does for those of which an earlier run copied a part ([`Job::seen`]), unless a rule has a say in what
/// is copied.
pub async fn to_copy<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    jobs: Vec<Job>,
    source: &Told,
    target: &Told,
) -> Result<Vec<Job>, Error> {
    let counts = ctx.journal.counts().await?;
    let retries = |c: &Count| consent::retries(&ctx.settings, c.kind.as_deref());
    let open = || counts.iter().filter(|c| c.items > 0 && is_open(c.state, retries(c)));
    let is_damaged = |c: &Count| c.state == State::Exception && c.kind.as_deref() == Some(DAMAGED);
    let of = |wanted: &dyn Fn(&Count) -> bool| -> BTreeSet<MailboxId> {
        open().filter(|c| wanted(c)).map(|c| c.mailbox).collect()
    };
    let (begun, damaged) = (of(&|c| is_begun(c.state)), of(&is_damaged));
    let others = of(&|c| !is_begun(c.state) && !is_damaged(c));
    let by_rule = ctx.settings.selection.since.is_some();
    let runs = ctx.journal.runs(RUNS_MAX).await?;
    let took_in: BTreeSet<RunId> = runs.iter().filter(|r| r.verb == MIGRATE).map(|r| r.id).collect();
    let mut left = Vec::new();
    for mut job in jobs {
        let same_target = target
            .of(&job.target)
            .is_some_and(|now| now.uid_validity == Some(job.target_epoch.facts.uid_validity));
        let adopted = job.baseline.existing != Existing::Adopt || job.baseline.matched;
        let epochs = ctx.journal.epochs(job.record.id, Side::Source).await?;
        let is_other = others.contains(&job.record.id)
            || (damaged.contains(&job.record.id)
                && ctx.settings.repair
                && replace::is_wanted(ctx, &job).await?);
        job.told = source.of(&job.record.source).copied();
        let seen = match &job.told {
            Some(now) if same_target && adopted && !is_other => {
                let epoch = epochs.last().map(|e| e.id);
                last_seen(ctx, &job, Side::Source, epoch, now, |run| took_in.contains(&run)).await?
            }
            _ => None,
        };
        match seen {
            Some(sighting) if !begun.contains(&job.record.id) => {
                ctx.journal.save_sighting(ctx.run, &sighting).await?;
            }
            seen => {
                // Messages of a former epoch may wait to be recognised in this one.
                job.seen = seen.filter(|_| !by_rule && epochs.len() == 1);
                left.push(job);
            }
        }
    }
    Ok(left)
}

/// The last complete listing of the target mailbox, if STATUS shows the mailbox as it was then.
pub async fn as_listed<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    target: &Told,
) -> Result<Option<Sighting>, Error> {
    let Some(now) = target.of(&job.target) else { return Ok(None) };
    last_seen(ctx, job, Side::Target, Some(job.target_epoch.id), now, |_| true).await
}

/// What the target says now. A server that will not list again has told nothing.
pub async fn told_by_target<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>) -> Result<Told, Error> {
    let mut sessions = Sessions::default();
    let mut losses = Losses::new(ctx);
    let told = loop {
        match sessions.target(ctx).await?.mailboxes().await {
            Ok(listed) => break Told::listed(&listed),
            Err(EndError::Refused { .. }) => break Told::default(),
            Err(error) => losses.at_target(ctx, &mut sessions, error).await?,
        }
    };
    sessions.close().await;
    Ok(told)
}

/// What the source says now, as [`told_by_target`].
pub async fn told_by_source<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
) -> Result<Told, Error> {
    let mut losses = Losses::new(ctx);
    loop {
        match sessions.source(ctx).await?.mailboxes().await {
            Ok(listed) => return Ok(Told::listed(&listed)),
            Err(EndError::Refused { .. }) => return Ok(Told::default()),
            Err(error) => losses.at_source(ctx, sessions, error).await?,
        }
    }
}

/// The last listing of a side, if it is of this epoch, complete, and what STATUS says `now`.
async fn last_seen<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    side: Side,
    epoch: Option<EpochId>,
    now: &MailboxCounts,
    of_run: impl Fn(RunId) -> bool,
) -> Result<Option<Sighting>, Error> {
    let seen = ctx.journal.last_sighting(job.record.id, side).await?;
    let stands = |run: RunId, s: &Sighting| of_run(run) && Some(s.epoch) == epoch && is_as_seen(s, now);
    Ok(seen.filter(|(run, s)| stands(*run, s)).map(|(_, s)| s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::EpochFacts;
    use crate::message::{Key, UidValidity};

    fn seen() -> Sighting {
        let facts = EpochFacts {
            uid_validity: UidValidity(7),
            uid_next: Some(Key(11)),
            exists: 3,
            highest_mod_seq: Some(90),
            mailbox_id: None,
        };
        Sighting {
            mailbox: MailboxId(1),
            side: Side::Source,
            epoch: EpochId(1),
            facts,
            uids: "1:2,10".into(),
        }
    }

    #[test]
    fn a_mailbox_is_unchanged_only_if_everything_that_could_tell_says_so() {
        let same = MailboxCounts {
            messages: 3,
            octets: None,
            uid_next: Some(Key(11)),
            uid_validity: Some(UidValidity(7)),
            highest_mod_seq: Some(90),
        };
        assert!(is_as_seen(&seen(), &same));
        let others = [
            MailboxCounts { messages: 2, ..same },
            MailboxCounts { uid_next: Some(Key(12)), ..same },
            MailboxCounts { uid_next: None, ..same },
            MailboxCounts { uid_validity: Some(UidValidity(8)), ..same },
            MailboxCounts { uid_validity: None, ..same },
            MailboxCounts { highest_mod_seq: Some(91), ..same },
            MailboxCounts { highest_mod_seq: None, ..same },
        ];
        for now in others {
            assert!(!is_as_seen(&seen(), &now), "{now:?}");
        }
        let mut without = seen();
        (without.facts.uid_next, without.facts.highest_mod_seq) = (None, None);
        let silent = MailboxCounts { uid_next: None, highest_mod_seq: None, ..same };
        assert!(!is_as_seen(&without, &silent), "what is not told is not known");
    }

    #[test]
    fn what_a_run_may_still_do_something_about_is_not_passed_over() {
        use State::{
            AlreadyThere, Exception, GoneAtSource, GoneAtTarget, Merged, MovedAtTarget, Stored, Verified,
        };
        let settled = [Stored, Verified, AlreadyThere, Merged, GoneAtSource, GoneAtTarget, MovedAtTarget];
        for state in State::ALL {
            let open = !settled.contains(&state) && state != Exception;
            assert_eq!(is_open(state, false), open, "{state:?}");
        }
        assert!(is_open(Exception, true));
    }
}
