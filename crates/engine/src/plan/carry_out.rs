//! The first part of a plan's execution: target mailboxes are created and subscribed, and each gets its
//! baseline before the first APPEND (law 5).

use super::make::sound;
use super::{MailboxStep, Plan, answers};
use crate::end::{Opened, TargetSession};
use crate::error::{EndError, Error, Question, RefusalClass};
use crate::journal::{Baseline, Decision, EpochFacts, Existing, Journal, MailboxRecord, Note, Side};
use crate::mapping::key;
use crate::message::Key;
use crate::names;
use crate::quirks;
use crate::survey::InUse;
use bytes::Bytes;
use futures_util::future::try_join_all;
use std::collections::HashMap;

/// Makes the target ready for the transfer. Mailboxes that hold mail already are looked at before anything is
/// created, so that a question leaves the target untouched. `records` come from [`super::save`].
///
/// A mailbox that the server will not create, open, or list back under its name becomes [`Decision::Refuse`] in
/// the journal with the server's words, and the others go on. A mailbox that has a baseline keeps it and is not
/// opened: what changed in it since is found by the transfer.
///
/// # Errors
/// An open question, a failed connection, a throttling server, the journal's errors; a mailbox that another session
/// holds, where `in_use` says so: nothing was sent then, and all of it may be done again.
pub async fn carry_out<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    plan: &Plan,
    records: &[MailboxRecord],
    in_use: InUse,
) -> Result<(), Error> {
    sound(plan)?;
    if let Some(question) = plan.questions.first() {
        return Err(Error::Question(question.clone()));
    }
    let mut work = pair(plan, records)?;
    let there = work.iter_mut().filter(|task| !task.step.create && task.step.baseline_needed);
    look_at(target, journal, there.collect(), in_use).await?;
    ask_about_mail(plan, &work)?;
    // Parents first: a child made before would bring its parent as a name without a mailbox on some servers.
    work.sort_by_key(|task| names::split(&task.step.target.wire, task.step.target.delimiter).len());
    let made = create(target, journal, work.iter_mut().filter(|task| task.step.create).collect()).await?;
    let new = made.into_iter().filter(|task| task.step.baseline_needed);
    look_at(target, journal, new.collect(), in_use).await?;
    ask_about_mail(plan, &work)?;
    let ready: Vec<&Task<'_>> = work.iter().filter(|task| task.facts.is_some()).collect();
    // Together, so that they share the journal's waits for the disk, and those for the server.
    let baselines = try_join_all(ready.iter().map(|task| set_baseline(journal, plan, task)));
    let (subscribed, kept) = tokio::join!(subscribe(target, journal, &ready), baselines);
    subscribed?;
    kept?;
    Ok(())
}

/// One step with its record, and what its target mailbox showed when it was opened.
struct Task<'a> {
    step: &'a MailboxStep,
    record: &'a MailboxRecord,
    facts: Option<EpochFacts>,
    /// Nothing below is ours.
    start: Key,
}

fn pair<'a>(plan: &'a Plan, records: &'a [MailboxRecord]) -> Result<Vec<Task<'a>>, Error> {
    let records: HashMap<_, _> = records.iter().map(|record| (key(&record.source), record)).collect();
    let task = |step: &'a MailboxStep| {
        let record = *records.get(&key(&step.record.source))?;
        (record.decision == step.record.decision).then_some(Task { step, record, facts: None, start: Key(1) })
    };
    let missing = |step: &MailboxStep| Error::Settings {
        what: format!(
            "the journal does not hold the plan for “{}”; nothing was sent",
            step.record.source.text
        ),
    };
    plan.steps.iter().map(|step| task(step).ok_or_else(|| missing(step))).collect()
}

/// Opens target mailboxes and keeps their facts, with a UIDNEXT each.
async fn look_at<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    tasks: Vec<&mut Task<'_>>,
    in_use: InUse,
) -> Result<(), Error> {
    let names: Vec<Bytes> = tasks.iter().map(|task| task.step.target.wire.clone()).collect();
    let opened = target.open_each(&names).await.map_err(Error::Target)?;
    for (task, opened) in tasks.into_iter().zip(opened) {
        match or_refusal(opened, in_use)? {
            Ok(opened) => keep_facts(target, journal, task, opened, in_use).await?,
            Err(words) => {
                refuse(journal, task, format!("the new server does not open it: {words}")).await?;
            }
        }
    }
    Ok(())
}

async fn keep_facts<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    task: &mut Task<'_>,
    opened: Opened,
    in_use: InUse,
) -> Result<(), Error> {
    if opened.uids_not_sticky {
        let text = format!("“{}” gives its messages new UIDs in every session", task.step.target.text);
        note(journal, task, "uid_not_sticky", text).await?;
    }
    let mut facts = opened.facts;
    if facts.uid_next.is_none() {
        facts.uid_next = match or_refusal(uid_next(target, task, &facts).await, in_use)? {
            Ok(Some(next)) => Some(next),
            Ok(None) => {
                let why = "the new server gives no UIDNEXT and no complete listing".to_owned();
                return refuse(journal, task, why).await;
            }
            Err(words) => {
                return refuse(journal, task, format!("the new server does not list it: {words}")).await;
            }
        };
    }
    if facts.exists > 0 {
        let told = facts.uid_next.unwrap_or(Key(1));
        match or_refusal(after_the_last(target, task).await, in_use)? {
            Ok(after) => task.start = after.unwrap_or(told),
            Err(words) => {
                return refuse(journal, task, format!("the new server does not list it: {words}")).await;
            }
        }
    }
    task.facts = Some(facts);
    Ok(())
}

/// One more than the highest UID there is; `None` without a complete listing. What a mailbox holds is known by this, not by
/// its UIDNEXT, which some servers tell too high or too low.
async fn after_the_last<T: TargetSession>(target: &mut T, task: &Task<'_>) -> Result<Option<Key>, EndError> {
    // Opened again: others were opened since.
    let listing = target.open_and_list(&task.step.target.wire).await?;
    let complete = listing.is_complete();
    Ok(listing.keys.last().filter(|_| complete).map(|last| Key(last.0.saturating_add(1))))
}

/// UIDNEXT where EXAMINE gave none: by STATUS, else one more than the highest UID of a complete listing, which
/// is a UIDNEXT that was true then or earlier.
async fn uid_next<T: TargetSession>(
    target: &mut T,
    task: &Task<'_>,
    facts: &EpochFacts,
) -> Result<Option<Key>, EndError> {
    match target.counts(&task.step.target.wire).await {
        Ok(counts) if counts.uid_validity.is_none_or(|epoch| epoch == facts.uid_validity) => {
            if counts.uid_next.is_some() {
                return Ok(counts.uid_next);
            }
        }
        Ok(_) | Err(EndError::Refused { .. }) => {}
        Err(error) => return Err(error),
    }
    let listing = target.open_and_list(&task.step.target.wire).await?;
    let highest = || listing.keys.last().map_or(Key(1), |last| Key(last.0.saturating_add(1)));
    Ok(listing.is_complete().then(highest))
}

/// Mail may have come after the plan was made: then the person is asked after all.
fn ask_about_mail(plan: &Plan, work: &[Task<'_>]) -> Result<(), Error> {
    if answers(plan.existing) {
        return Ok(());
    }
    let holding = |task: &Task<'_>| {
        let messages = task.facts.as_ref()?.exists;
        (messages > 0).then(|| (task.step.target.text.clone(), messages))
    };
    let mailboxes: Vec<_> = work.iter().filter_map(holding).collect();
    if mailboxes.is_empty() {
        return Ok(());
    }
    Err(Error::Question(Question::TargetHoldsMail { mailboxes }))
}

/// Creates mailboxes, in this order; the result has those that the server made under the name asked for.
async fn create<'t, 'a, T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    tasks: Vec<&'t mut Task<'a>>,
) -> Result<Vec<&'t mut Task<'a>>, Error> {
    let wanted: Vec<_> = tasks.iter().map(|t| (t.step.target.wire.clone(), t.step.create_role)).collect();
    let outcomes = target.create_each(&wanted).await.map_err(Error::Target)?;
    let mut made = Vec::with_capacity(tasks.len());
    for (task, outcome) in tasks.into_iter().zip(outcomes) {
        if is_made(target, journal, task, or_refusal(outcome, InUse::IsTrouble)?).await? {
            made.push(task);
        }
    }
    Ok(made)
}

/// False if the server would not create the mailbox, or gave it another name.
async fn is_made<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    task: &Task<'_>,
    mut outcome: Result<Bytes, String>,
) -> Result<bool, Error> {
    let asked = &task.step.target;
    if let (Err(words), Some(role)) = (&outcome, task.step.create_role) {
        let text = format!("“{}” was created without \\{}: {words}", asked.text, role.as_str());
        outcome = or_refusal(target.create(&asked.wire, None).await, InUse::IsTrouble)?;
        if outcome.is_ok() {
            note(journal, task, "role_not_given", text).await?;
        }
    }
    let why = match outcome {
        Ok(listed) if names::key(&listed, asked.delimiter) == key(asked) => return Ok(true),
        Ok(listed) => format!(
            "the new server made “{}” where “{}” was asked for; that mailbox stays empty. Choose another name with --map",
            names::printable(&names::decode(&listed, target.abilities().utf8_names)),
            names::printable(&asked.text)
        ),
        Err(words) => format!("the new server does not create “{}”: {words}", names::printable(&asked.text)),
    };
    refuse(journal, task, why).await?;
    Ok(false)
}

/// A subscription that fails does not keep mail from moving.
async fn subscribe<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    tasks: &[&Task<'_>],
) -> Result<(), Error> {
    let wanted: Vec<&&Task<'_>> = tasks.iter().filter(|task| task.step.subscribe).collect();
    let names: Vec<Bytes> = wanted.iter().map(|task| task.step.target.wire.clone()).collect();
    let outcomes = target.subscribe_each(&names).await.map_err(Error::Target)?;
    for (task, outcome) in wanted.into_iter().zip(outcomes) {
        if let Err(words) = or_refusal(outcome, InUse::IsTrouble)? {
            let text = format!("“{}” could not be subscribed: {words}", task.step.target.text);
            note(journal, task, "subscribe_failed", text).await?;
        }
    }
    Ok(())
}

async fn set_baseline<J: Journal>(journal: &J, plan: &Plan, task: &Task<'_>) -> Result<(), Error> {
    let Some(facts) = &task.facts else { return Ok(()) };
    let epoch = journal.open_epoch(task.record.id, Side::Target, facts).await?;
    let existing = match plan.existing {
        Some(answer) if facts.exists > 0 => answer,
        _ => Existing::New,
    };
    let baseline =
        Baseline { epoch: epoch.id, uid_next: task.start, existing, matched: existing != Existing::Adopt };
    Ok(journal.set_baseline(task.record.id, baseline).await?)
}

/// Refuses the mailbox in the journal. One that has a baseline may hold messages of this migration: it keeps its
/// decision, the reason becomes a remark, and the transfer meets the same failure.
async fn refuse<J: Journal>(journal: &J, task: &Task<'_>, why: String) -> Result<(), Error> {
    if !task.step.baseline_needed {
        return note(journal, task, "not_ready", why).await;
    }
    let record = MailboxRecord { decision: Decision::Refuse(why), ..task.record.clone() };
    journal.save_mailboxes(&[record]).await?;
    Ok(())
}

async fn note<J: Journal>(journal: &J, task: &Task<'_>, kind: &str, text: String) -> Result<(), Error> {
    let note = Note { kind: kind.to_owned(), mailbox: Some(task.record.id), key: None, text };
    Ok(journal.note(note).await?)
}

/// A refusal takes one mailbox with it, unless it is about the whole account: no room, wait, log in again.
fn or_refusal<V>(outcome: Result<V, EndError>, in_use: InUse) -> Result<Result<V, String>, Error> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(EndError::Refused { refusal, .. }) if refusal.class == RefusalClass::Quota => {
            Err(Error::Full { refusal })
        }
        Err(error) if error.is_in_use() && in_use == InUse::Fails => Err(Error::Target(error)),
        Err(EndError::Refused { refusal, .. })
            if quirks::patience(refusal.class).is_none() && refusal.class != RefusalClass::Login =>
        {
            Ok(Err(refusal.to_string()))
        }
        Err(error) => Err(Error::Target(error)),
    }
}
