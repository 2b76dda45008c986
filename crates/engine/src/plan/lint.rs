//! Checks a plan before it is carried out: a finding is a defect of ours, and nothing is sent.

use super::{MailboxStep, Plan, answers, totals};
use crate::error::Question;
use crate::journal::{Decision, MailboxRecord};
use crate::mapping::key;
use crate::names;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// A contradiction in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LintFinding {
    /// Two steps go to one target mailbox.
    OneTarget {
        /// Source name of the first.
        first: String,
        /// Source name of the second.
        second: String,
        /// The target mailbox.
        target: String,
    },
    /// A source mailbox is decided more than once.
    DecidedTwice {
        /// Its name.
        source: String,
    },
    /// A step has no source or no target.
    Nameless,
    /// The decision in the record is not the one of the list it is in.
    Decision {
        /// The source mailbox.
        source: String,
    },
    /// INBOX would be created, or a role given to a mailbox that is not created.
    Creation {
        /// The target mailbox.
        target: String,
    },
    /// The totals are not the sums of the steps.
    Totals,
    /// Mail was found in a target mailbox, nobody said what to do, and the plan does not ask.
    Unasked {
        /// The target mailbox.
        target: String,
    },
}

impl fmt::Display for LintFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneTarget { first, second, target } => {
                write!(f, "“{first}” and “{second}” both go to “{target}”")
            }
            Self::DecidedTwice { source } => write!(f, "“{source}” is decided twice"),
            Self::Nameless => f.write_str("a mailbox that moves has no name"),
            Self::Decision { source } => write!(f, "the decision about “{source}” contradicts its place"),
            Self::Creation { target } => write!(f, "“{target}” cannot be created like this"),
            Self::Totals => f.write_str("the totals do not add up"),
            Self::Unasked { target } => write!(f, "“{target}” holds mail and nobody was asked"),
        }
    }
}

/// Everything in which `plan` contradicts itself.
pub fn lint(plan: &Plan) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    sources(plan, &mut findings);
    targets(&plan.steps, &mut findings);
    decisions(plan, &mut findings);
    unasked(plan, &mut findings);
    if plan.totals != totals(&plan.steps) {
        findings.push(LintFinding::Totals);
    }
    findings
}

fn records(plan: &Plan) -> impl Iterator<Item = &MailboxRecord> {
    let steps = plan.steps.iter().map(|step| &step.record);
    steps.chain(plan.excluded.iter().map(|left| &left.record)).chain(&plan.refused).chain(&plan.vanished)
}

fn sources(plan: &Plan, findings: &mut Vec<LintFinding>) {
    let mut seen = HashSet::new();
    for record in records(plan) {
        if !seen.insert(key(&record.source)) {
            findings.push(LintFinding::DecidedTwice { source: record.source.text.clone() });
        }
    }
}

fn targets(steps: &[MailboxStep], findings: &mut Vec<LintFinding>) {
    let mut seen: HashMap<Bytes, &MailboxStep> = HashMap::new();
    for step in steps {
        let target = step.target.text.clone();
        if step.target.wire.is_empty() || step.record.source.wire.is_empty() {
            findings.push(LintFinding::Nameless);
        }
        for name in std::iter::once(&step.target).chain(&step.spare) {
            if let Some(first) = seen.insert(key(name), step) {
                findings.push(LintFinding::OneTarget {
                    first: first.record.source.text.clone(),
                    second: step.record.source.text.clone(),
                    target: name.text.clone(),
                });
            }
        }
        let inbox_made = step.create && names::is_inbox(&step.target.wire);
        if inbox_made || ((step.create_role.is_some() || step.spare.is_some()) && !step.create) {
            findings.push(LintFinding::Creation { target });
        }
    }
}

fn decisions(plan: &Plan, findings: &mut Vec<LintFinding>) {
    let mut check = |record: &MailboxRecord, holds: bool| {
        if !holds {
            findings.push(LintFinding::Decision { source: record.source.text.clone() });
        }
    };
    for MailboxStep { record, target, .. } in &plan.steps {
        check(record, record.decision == Decision::Move(target.clone()));
    }
    for left in &plan.excluded {
        check(
            &left.record,
            match &left.record.decision {
                Decision::Move(_) => true,
                Decision::Exclude(rule) => *rule == left.rule,
                Decision::Refuse(_) => false,
            },
        );
    }
    for record in &plan.refused {
        check(record, matches!(record.decision, Decision::Refuse(_)));
    }
}

fn unasked(plan: &Plan, findings: &mut Vec<LintFinding>) {
    let asks = plan.questions.iter().any(|question| matches!(question, Question::TargetHoldsMail { .. }));
    if asks || answers(plan.existing) {
        return;
    }
    for step in plan.steps.iter().filter(|step| step.holds_unknown_mail()) {
        findings.push(LintFinding::Unasked { target: step.target.text.clone() });
    }
}
