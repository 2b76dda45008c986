//! The first part of a plan's execution: target mailboxes are created and subscribed, and each gets its
//! baseline before the first APPEND (law 5).

use super::make::sound;
use super::strangers::Strangers;
use super::{MailboxStep, Plan, answers};
use crate::end::{Opened, TargetSession, ToMakeReady};
use crate::error::{EndError, Error, Question, RefusalClass};
use crate::journal::{Baseline, Decision, EpochFacts, Existing, Journal, MailboxRecord, Name, Note, Side};
use crate::mapping::key;
use crate::message::Key;
use crate::names;
use crate::quirks;
use crate::survey::Passing;
use bytes::Bytes;
use futures_util::future::try_join_all;
use std::collections::HashMap;

/// Makes the target ready for the transfer. Mailboxes that may hold mail already are looked at before anything is
/// created, so that a question leaves the target untouched; those that are said to be empty are opened with what is created. `records` come from [`super::save`].
///
/// A mailbox that the server will not create, open, or list back becomes [`Decision::Refuse`] in
/// the journal with the server's words, and the others go on. A mailbox that has a baseline keeps it and is not
/// opened: what changed in it since is found by the transfer.
///
/// # Errors
/// An open question, a failed connection, a throttling server, the journal's errors; a refusal of one mailbox that may pass,
/// where `passing` says so: nothing was sent then, and all of it may be done again.
pub async fn carry_out<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    plan: &Plan,
    records: &[MailboxRecord],
    passing: Passing,
) -> Result<(), Error> {
    sound(plan)?;
    if let Some(question) = plan.questions.first() {
        return Err(Error::Question(question.clone()));
    }
    let mut work = pair(plan, records)?;
    let may_hold_mail = may_hold_mail(plan, &work);
    if may_hold_mail {
        let there = work.iter_mut().filter(|task| task.is_there());
        look_at(target, journal, there.map(|task| (task, None)).collect(), passing).await?;
        ask_about_mail(plan, &work)?;
    }
    // Parents first: a child made before would bring its parent as a name without a mailbox on some servers.
    work.sort_by_key(|task| names::split(&task.name.wire, task.name.delimiter).len());
    let left = work.iter_mut().filter(|task| task.step.create || (task.is_there() && !may_hold_mail));
    let made = make_ready(target, journal, plan, left.collect(), passing).await?;
    let new = made.into_iter().filter(|(task, _)| task.step.baseline_needed);
    look_at(target, journal, new.collect(), passing).await?;
    ask_about_mail(plan, &work)?;
    let ready: Vec<&Task<'_>> = work.iter().filter(|task| task.facts.is_some()).collect();
    // Before the baselines: what has one is not subscribed again by a run that comes after a lost connection.
    subscribe(target, journal, &ready).await?;
    // Together, so that they share the journal's waits for the disk.
    try_join_all(ready.iter().map(|task| set_baseline(journal, plan, task))).await?;
    Ok(())
}

/// One step with its record, and what its target mailbox showed when it was opened.
pub(super) struct Task<'a> {
    pub(super) step: &'a MailboxStep,
    record: &'a MailboxRecord,
    /// The target mailbox, as the server lists it.
    pub(super) name: Name,
    facts: Option<EpochFacts>,
    /// Nothing below is ours.
    start: Key,
}

impl Task<'_> {
    /// The target has the mailbox, and nothing of it is known yet.
    fn is_there(&self) -> bool {
        !self.step.create && self.step.baseline_needed
    }
}

fn pair<'a>(plan: &'a Plan, records: &'a [MailboxRecord]) -> Result<Vec<Task<'a>>, Error> {
    let records: HashMap<_, _> = records.iter().map(|record| (key(&record.source), record)).collect();
    let task = |step: &'a MailboxStep| {
        let record = *records.get(&key(&step.record.source))?;
        let name = step.target.clone();
        (record.decision == step.record.decision).then_some(Task {
            step,
            record,
            name,
            facts: None,
            start: Key(1),
        })
    };
    let missing = |step: &MailboxStep| Error::Settings {
        what: format!(
            "the journal does not hold the plan for “{}”; nothing was sent",
            step.record.source.text
        ),
    };
    plan.steps.iter().map(|step| task(step).ok_or_else(|| missing(step))).collect()
}

fn to_make_ready(task: &Task<'_>) -> ToMakeReady {
    ToMakeReady { mailbox: task.name.wire.clone(), create: task.step.create, role: task.step.create_role }
}

/// A step in work, and what its mailbox said if it was opened already.
type Looked<'t, 'a> = (&'t mut Task<'a>, Option<Opened>);

/// Opens target mailboxes that are not opened yet, and keeps the facts of all, with a UIDNEXT each.
async fn look_at<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    tasks: Vec<Looked<'_, '_>>,
    passing: Passing,
) -> Result<(), Error> {
    let unopened = tasks.iter().filter(|(_, opened)| opened.is_none());
    let names: Vec<Bytes> = unopened.map(|(task, _)| task.name.wire.clone()).collect();
    let mut outcomes = target.open_each(&names).await.map_err(Error::Target)?.into_iter();
    for (task, opened) in tasks {
        let Some(outcome) = opened.map(Ok).or_else(|| outcomes.next()) else { break };
        match or_refusal(outcome, passing)? {
            Ok(opened) => keep_facts(target, journal, task, opened, passing).await?,
            Err(words) => {
                refuse(journal, task, not_opened(&words)).await?;
            }
        }
    }
    Ok(())
}

fn not_opened(words: &str) -> String {
    format!("the new server does not open it: {words}")
}

async fn keep_facts<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    task: &mut Task<'_>,
    opened: Opened,
    passing: Passing,
) -> Result<(), Error> {
    if opened.uids_not_sticky {
        let text = format!("“{}” gives its messages new UIDs in every session", task.name.text);
        note(journal, task, "uid_not_sticky", text).await?;
    }
    let mut facts = opened.facts;
    if facts.uid_next.is_none() {
        facts.uid_next = match or_refusal(uid_next(target, task, &facts).await, passing)? {
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
        match or_refusal(after_the_last(target, task).await, passing)? {
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
    let listing = target.open_and_list(&task.name.wire).await?;
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
    match target.counts(&task.name.wire).await {
        Ok(counts) if counts.uid_validity.is_none_or(|epoch| epoch == facts.uid_validity) => {
            if counts.uid_next.is_some() {
                return Ok(counts.uid_next);
            }
        }
        Ok(_) | Err(EndError::Refused { .. }) => {}
        Err(error) => return Err(error),
    }
    let listing = target.open_and_list(&task.name.wire).await?;
    let highest = || listing.keys.last().map_or(Key(1), |last| Key(last.0.saturating_add(1)));
    Ok(listing.is_complete().then(highest))
}

/// A mailbox that is there may hold mail that nobody was asked about: it is looked at first.
fn may_hold_mail(plan: &Plan, work: &[Task<'_>]) -> bool {
    let is_empty = |task: &&Task<'_>| task.step.holds.is_some_and(|holds| holds.messages == 0);
    !answers(plan.existing) && !work.iter().filter(|task| task.is_there()).all(|task| is_empty(&task))
}

/// Mail may have come after the plan was made: then the person is asked after all.
fn ask_about_mail(plan: &Plan, work: &[Task<'_>]) -> Result<(), Error> {
    if answers(plan.existing) {
        return Ok(());
    }
    let holding = |task: &Task<'_>| {
        let messages = task.facts.as_ref()?.exists;
        (messages > 0 && !task.step.is_mark).then(|| (task.name.text.clone(), messages))
    };
    let mailboxes: Vec<_> = work.iter().filter_map(holding).collect();
    if mailboxes.is_empty() {
        return Ok(());
    }
    Err(Error::Question(Question::TargetHoldsMail { mailboxes }))
}

/// Creates mailboxes that are missing, in this order, and opens all with it where the end can; the result has those that are
/// there now, by the names that the server lists them under.
async fn make_ready<'t, 'a, T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    plan: &Plan,
    tasks: Vec<&'t mut Task<'a>>,
    passing: Passing,
) -> Result<Vec<Looked<'t, 'a>>, Error> {
    let wanted: Vec<_> = tasks.iter().map(|task| to_make_ready(task)).collect();
    let outcomes = target.make_ready(&wanted).await.map_err(Error::Target)?;
    let mut strange = Strangers::of(plan);
    let mut made = Vec::with_capacity(tasks.len());
    // What passes says nothing of the name: once the others are made all of it is done again, or the mailbox is left.
    let mut later = None;
    for (task, outcome) in tasks.into_iter().zip(outcomes) {
        let passes = match outcome {
            Err(error) if error.is_passing() && passing == Passing::Fails => {
                later.get_or_insert(error);
                continue;
            }
            ref outcome => outcome.as_ref().is_err_and(EndError::is_passing),
        };
        let (mut outcome, mut opened) = match or_refusal(outcome, passing)? {
            Ok(made) => (Ok(made.name), made.opened),
            Err(words) if !task.step.create => {
                refuse(journal, task, not_opened(&words)).await?;
                continue;
            }
            Err(words) => (Err(words), None),
        };
        if let Err(words) = outcome {
            outcome =
                if passes { Err(words) } else { create_otherwise(target, journal, task, words).await? };
        }
        let asked = task.name.wire.clone();
        let why = match outcome {
            Ok(listed) => strange.take(target, task, listed).await?.err(),
            Err(words) => {
                let asked = names::printable(&task.step.target.text);
                Some(format!("the new server does not create “{asked}”: {words}"))
            }
        };
        match why {
            Some(why) => refuse(journal, task, why).await?,
            None => {
                keep_name(target, journal, task).await?;
                // It is another mailbox that was opened, else.
                opened = opened.filter(|_| task.name.wire == asked);
                made.push((task, opened));
            }
        }
    }
    later.map_or(Ok(made), |error| Err(Error::Target(error)))
}

/// Tries without the role, then with the spare name: the name it is listed under, or the words for the first refusal.
async fn create_otherwise<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    task: &mut Task<'_>,
    words: String,
) -> Result<Result<Bytes, String>, Error> {
    if let Some(role) = task.step.create_role {
        let again = target.create(&task.name.wire, None).await;
        let passes = again.as_ref().is_err_and(EndError::is_passing);
        let made = or_refusal(again, Passing::IsTrouble)?;
        if made.is_ok() {
            let text = format!("“{}” was created without \\{}: {words}", task.name.text, role.as_str());
            note(journal, task, "role_not_given", text).await?;
        }
        if made.is_ok() || passes {
            return Ok(made);
        }
    }
    // A mailbox that has a baseline has its name.
    let spare = task.step.spare.as_ref().filter(|_| task.step.baseline_needed);
    let Some(spare) = spare else { return Ok(Err(words)) };
    let Ok(listed) = or_refusal(target.create(&spare.wire, task.step.create_role).await, Passing::IsTrouble)?
    else {
        return Ok(Err(words));
    };
    let text = format!(
        "the new server refused “{}” ({words}); the mailbox is called “{}” there",
        task.name.text, spare.text
    );
    note(journal, task, "renamed", text).await?;
    task.name = spare.clone();
    Ok(Ok(listed))
}

/// A mailbox is known by the name under which the server lists it.
async fn keep_name<T: TargetSession, J: Journal>(
    target: &T,
    journal: &J,
    task: &mut Task<'_>,
) -> Result<(), Error> {
    if key(&task.name) == key(&task.step.target) {
        return Ok(());
    }
    if task.step.spare.as_ref().is_none_or(|spare| key(spare) != key(&task.name)) {
        let text = format!(
            "the new server lists “{}” where “{}” was created; the mail goes there",
            names::decode(&task.name.wire, target.abilities().utf8_names),
            task.step.target.text
        );
        note(journal, task, "renamed", text).await?;
    }
    let record = MailboxRecord { decision: Decision::Move(task.name.clone()), ..task.record.clone() };
    journal.save_mailboxes(&[record]).await?;
    Ok(())
}

/// A subscription that fails does not keep mail from moving.
async fn subscribe<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    tasks: &[&Task<'_>],
) -> Result<(), Error> {
    let wanted: Vec<&&Task<'_>> = tasks.iter().filter(|task| task.step.subscribe).collect();
    let names: Vec<Bytes> = wanted.iter().map(|task| task.name.wire.clone()).collect();
    let outcomes = target.subscribe_each(&names).await.map_err(Error::Target)?;
    for (task, outcome) in wanted.into_iter().zip(outcomes) {
        if let Err(words) = or_refusal(outcome, Passing::IsTrouble)? {
            let text = format!("“{}” could not be subscribed: {words}", task.name.text);
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
        _ if task.step.is_mark && facts.exists > 0 => Existing::AppendAnyway,
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
fn or_refusal<V>(outcome: Result<V, EndError>, passing: Passing) -> Result<Result<V, String>, Error> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(EndError::Refused { refusal, .. }) if refusal.class == RefusalClass::Quota => {
            Err(Error::Full { refusal })
        }
        Err(error) if error.is_passing() && passing == Passing::Fails => Err(Error::Target(error)),
        Err(EndError::Refused { refusal, .. })
            if quirks::patience(refusal.class).is_none() && refusal.class != RefusalClass::Login =>
        {
            Ok(Err(refusal.to_string()))
        }
        Err(error) => Err(Error::Target(error)),
    }
}
