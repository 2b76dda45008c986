//! The plan: immutable data that leaves no choice to execution. Its `Display` is the dry run.

use crate::config::Settings;
use crate::context::at;
use crate::end::{Role, SourceSession, TargetSession};
use crate::error::{EndError, Error, Question};
use crate::journal::{
    Baseline, Decision, EpochFacts, Existing, Journal, JournalError, JournalResult, MailboxId, MailboxRecord,
    Name, Side,
};
use crate::mapping::{self, Mapped};
use crate::message::{Key, UidValidity};
use crate::survey::{Survey, survey};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What is done with one source mailbox.
#[derive(Clone, Debug)]
pub struct Step {
    /// The pair, as it goes into the journal; `id` is 0 until then.
    pub record: MailboxRecord,
    /// The target mailbox must be made, with this role where the target can.
    pub create: Option<Option<Role>>,
    /// Messages the target mailbox holds now.
    pub holds: u64,
    /// It has a baseline from an earlier run.
    pub known: bool,
}

/// Sums over what moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlanTotals {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages, as announced.
    pub messages: u64,
    /// Octets, where announced.
    pub octets: u64,
}

/// What will be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One step for every source mailbox, also for those that do not move.
    pub steps: Vec<Step>,
    /// What moves.
    pub totals: PlanTotals,
    /// Free octets at the target, where announced.
    pub free_octets: Option<u64>,
    /// What will not move, one line each.
    pub will_not_move: Vec<String>,
    /// What a person must decide first.
    pub questions: Vec<Question>,
    /// The mapping rules, as they are pinned.
    pub rules: String,
}

/// Surveys both sides and makes the plan. Nothing is changed.
pub async fn make<S: SourceSession, T: TargetSession, J: Journal>(
    source: &mut S,
    target: &mut T,
    journal: &J,
    settings: &Settings,
) -> Result<(Survey, Plan), Error> {
    let survey = survey(source, target).await?;
    let unmatched = mapping::unmatched(&survey, &settings.mapping, &settings.selection);
    if !unmatched.is_empty() {
        let names: Vec<&str> = survey.source_mailboxes.iter().map(|m| m.text.as_str()).collect();
        let what = format!("no mailbox of the old account is called {}; there are: {}", unmatched.join(", "), names.join(", "));
        return Err(Error::Settings { what });
    }
    let earlier = journal.mailboxes().await?;
    let mut based = BTreeSet::new();
    for record in &earlier {
        if journal.baseline(record.id).await?.is_some() {
            based.insert(record.id);
        }
    }
    let mapped = mapping::map(&survey, &settings.mapping, &settings.selection);
    let plan = plan(&survey, mapped, &earlier, &based, settings)?;
    lint(&plan)?;
    Ok((survey, plan))
}

/// Pure: puts the plan together.
fn plan(
    survey: &Survey,
    mapped: Vec<Mapped>,
    earlier: &[MailboxRecord],
    based: &BTreeSet<MailboxId>,
    settings: &Settings,
) -> Result<Plan, Error> {
    let there: BTreeMap<_, _> = survey.target_mailboxes.iter().map(|m| (m.wire.clone(), m)).collect();
    let known: BTreeMap<_, _> = earlier.iter().map(|r| (r.source.wire.clone(), r)).collect();
    let (mut steps, mut totals, mut will_not_move, mut holding) =
        (Vec::new(), PlanTotals::default(), Vec::new(), Vec::new());
    for Mapped { source, decision } in mapped {
        let before = known.get(&source.wire);
        let decision = keep_mapping(before.map(|r| &r.decision), decision, &source.text)?;
        let is_known = before.is_some_and(|r| based.contains(&r.id));
        let counts = source.counts.unwrap_or_default();
        let (mut create, mut holds) = (None, 0);
        match &decision {
            Decision::Move(name) => {
                totals.mailboxes += 1;
                totals.messages += counts.messages;
                totals.octets += counts.octets.unwrap_or(0);
                match there.get(&name.wire) {
                    Some(m) if m.selectable => holds = m.counts.map_or(0, |c| c.messages),
                    _ => create = Some(source.role.filter(|_| survey.target.creates_roles)),
                }
                if holds > 0 && !is_known && settings.existing.is_none() {
                    holding.push((name.text.clone(), holds));
                }
            }
            Decision::Refuse(reason) => {
                will_not_move.push(format!("{}: {} messages: {reason}", source.text, counts.messages));
            }
            Decision::Exclude(_) => {}
        }
        let record = MailboxRecord {
            id: MailboxId(0),
            source: Name { wire: source.wire.clone(), text: source.text.clone(), delimiter: source.delimiter },
            role: source.role.map(|r| r.as_str().to_owned()),
            subscribed: source.subscribed,
            messages: source.counts.map(|c| c.messages),
            octets: counts.octets,
            decision,
        };
        steps.push(Step { record, create, holds, known: is_known });
    }
    let free_octets = survey.target_room.and_then(|r| Some(r.limit_octets?.saturating_sub(r.used_octets?)));
    let mut questions = Vec::new();
    if !holding.is_empty() {
        questions.push(Question::TargetHoldsMail { mailboxes: holding });
    }
    if !will_not_move.is_empty() && !settings.accept_will_not_move {
        questions.push(Question::WillNotMove { what: will_not_move.clone() });
    }
    let rules = format!("{:?}", settings.mapping);
    Ok(Plan { steps, totals, free_octets, will_not_move, questions, rules })
}

/// A mailbox that moved stays where it went: another target would split its mail.
fn keep_mapping(before: Option<&Decision>, now: Decision, source: &str) -> Result<Decision, Error> {
    match (before, &now) {
        (Some(Decision::Move(was)), Decision::Move(is)) if was.wire != is.wire => {
            let what = format!("{source} went to {} before and would go to {} now", was.text, is.text);
            Err(Error::Journal(JournalError::OtherSettings { what }))
        }
        _ => Ok(now),
    }
}

/// Checks what must hold of every plan before it may run.
fn lint(plan: &Plan) -> Result<(), Error> {
    let mut targets = BTreeSet::new();
    for step in &plan.steps {
        if let Decision::Move(name) = &step.record.decision {
            if !targets.insert(&name.wire) {
                let what = format!("two mailboxes would go to {}: this is a defect of Mailhaul", name.text);
                return Err(Error::Settings { what });
            }
        }
    }
    Ok(())
}

impl Plan {
    /// Fails with the first question that is open.
    pub fn ready(&self) -> Result<(), Error> {
        match self.questions.first() {
            Some(question) => Err(Error::Question(question.clone())),
            None => Ok(()),
        }
    }
}

/// Writes the mailboxes into the journal and pins the mapping.
pub async fn save<J: Journal>(journal: &J, plan: &Plan) -> JournalResult<Vec<MailboxRecord>> {
    journal.pin_setting("mapping", &plan.rules).await?;
    let records: Vec<MailboxRecord> = plan.steps.iter().map(|s| s.record.clone()).collect();
    journal.save_mailboxes(&records).await
}

/// Makes the target mailboxes, subscribes them, and sets their baselines. A mailbox that cannot be made is refused
/// with the server's words; the others go on.
pub async fn carry_out<T: TargetSession, J: Journal>(
    target: &mut T,
    journal: &J,
    plan: &Plan,
    records: &[MailboxRecord],
    settings: &Settings,
) -> Result<(), Error> {
    let mut order: Vec<(&Step, &MailboxRecord)> = plan.steps.iter().zip(records).collect();
    // Parents before children.
    order.sort_by_key(|(_, r)| if let Decision::Move(n) = &r.decision { n.wire.len() } else { 0 });
    for (step, record) in order {
        let Decision::Move(name) = &record.decision else { continue };
        match prepare(target, step, record, name).await {
            Ok(opened) => set_baseline(journal, record, &opened, settings).await?,
            Err(EndError::Refused { refusal, .. }) => {
                let reason = format!("the new server refuses to make {}: {refusal}", name.text);
                let refused = MailboxRecord { decision: Decision::Refuse(reason), ..record.clone() };
                journal.save_mailboxes(&[refused]).await?;
            }
            Err(error) => return Err(at(Side::Target, error)),
        }
    }
    Ok(())
}

async fn prepare<T: TargetSession>(
    target: &mut T,
    step: &Step,
    record: &MailboxRecord,
    name: &Name,
) -> Result<EpochFacts, EndError> {
    if let Some(role) = step.create {
        let made = target.create(&name.wire, role).await?;
        if made != name.wire {
            return Err(EndError::Refused {
                server: "the new server".into(),
                doing: "CREATE",
                refusal: crate::error::Refusal {
                    class: crate::error::RefusalClass::NoMailbox,
                    bad: false,
                    code: None,
                    text: format!("it was made under another name ({})", mapping::decoded(&made)),
                },
            });
        }
    }
    if record.subscribed && !step.known {
        target.subscribe(&name.wire).await?;
    }
    let counts = target.counts(&name.wire).await?;
    Ok(EpochFacts {
        uid_validity: counts.uid_validity.unwrap_or(UidValidity(0)),
        uid_next: counts.uid_next,
        exists: counts.messages,
        highest_mod_seq: counts.highest_mod_seq,
        mailbox_id: None,
    })
}

/// Nothing below the baseline is ours unless adopted (law 5).
async fn set_baseline<J: Journal>(
    journal: &J,
    record: &MailboxRecord,
    facts: &EpochFacts,
    settings: &Settings,
) -> Result<(), Error> {
    let epochs = journal.epochs(record.id, Side::Target).await?;
    if epochs.is_empty() {
        journal.open_epoch(record.id, Side::Target, facts).await?;
    }
    if journal.baseline(record.id).await?.is_some() {
        return Ok(());
    }
    let Some(epoch) = journal.epochs(record.id, Side::Target).await?.pop() else { return Ok(()) };
    let existing = match settings.existing {
        Some(existing) if facts.exists > 0 => existing,
        _ => Existing::New,
    };
    // A server without UIDNEXT: everything is behind the baseline of an empty mailbox, nothing of a filled one is
    // known to be ours.
    let uid_next = facts.uid_next.unwrap_or(if facts.exists == 0 { Key(1) } else { Key(i64::from(u32::MAX)) });
    let baseline = Baseline { epoch: epoch.id, uid_next, existing, matched: existing != Existing::Adopt };
    Ok(journal.set_baseline(record.id, baseline).await?)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<30} {:<30} {:>8}", "from", "to", "messages")?;
        for step in &self.steps {
            let count = step.record.messages.map_or("unknown".into(), |n| n.to_string());
            let (to, note) = match &step.record.decision {
                Decision::Move(name) if step.create.is_some() => (name.text.clone(), "  new"),
                Decision::Move(name) => (name.text.clone(), ""),
                Decision::Exclude(rule) => (format!("- left out ({rule})"), ""),
                Decision::Refuse(_) => ("- will not move".into(), ""),
            };
            writeln!(f, "{:<30} {:<30} {:>8}{note}", step.record.source.text, to, count)?;
        }
        let PlanTotals { mailboxes, messages, octets } = self.totals;
        writeln!(f, "\n{messages} messages in {mailboxes} mailboxes, {} MB", octets / 1_000_000)?;
        if let Some(free) = self.free_octets.filter(|free| *free < octets) {
            writeln!(f, "The new account has room for {} MB only.", free / 1_000_000)?;
        }
        if !self.will_not_move.is_empty() {
            writeln!(f, "\nWill not move:")?;
            self.will_not_move.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}
