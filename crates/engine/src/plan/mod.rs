//! The plan: immutable data that leaves no choice to execution. Its [`Display`](std::fmt::Display) is the dry
//! run. Making one reads the servers and the journal and changes neither.

mod cannot_go;
mod carry_out;
mod display;
mod doubt;
mod hidden;
mod json;
mod lint;
mod make;
mod room;
mod strangers;
#[cfg(test)]
mod tests;
mod too_large;

use crate::config::{Labels, MappingRules, Settings};
use crate::consent;
use crate::end::{Asked, MailboxInfo, Role, Space, Untold};
use crate::error::{EndError, Question};
use crate::journal::{Baseline, Decision, Existing, MailboxId, MailboxRecord, Name};
use crate::labels::{all_mail, views};
use crate::mapping::{Entry, How, Mapping, NOT_MAIL, NOT_SELECTABLE, VIEW, key, same_name};
use crate::names;
use crate::profile::kept::Kept;
use crate::survey::{SideSurvey, Survey, SurveyedMailbox, Trouble};
use bytes::Bytes;
use cannot_go::cannot_go;
use hidden::{cut, hidden_mail, in_trash, perhaps_cut};
use room::{no_sizes, room, without_room};
use std::collections::{BTreeMap, HashMap, HashSet};

pub use cannot_go::{CannotGo, Repair};
pub use carry_out::carry_out;
pub(crate) use display::{amount, size};
pub(crate) use hidden::{hides_all_mail, shows_newest_alone};
pub use lint::{LintFinding, lint};
pub use make::{make, save};
pub use room::RoomCheck;
pub(crate) use room::{NO_SIZES, short_of_room};
pub(crate) use too_large::TOO_LARGE;

/// Names written out in one remark.
const NAMES_SHOWN_MAX: usize = 5;

/// What will be done for one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Mailboxes whose messages move: INBOX first, then by source name.
    pub steps: Vec<MailboxStep>,
    /// Mailboxes that a rule leaves out of this run.
    pub excluded: Vec<LeftOut>,
    /// Mailboxes that cannot move. Their decision is [`Decision::Refuse`].
    pub refused: Vec<MailboxRecord>,
    /// Mailboxes that earlier runs moved and the source no longer lists.
    pub vanished: Vec<MailboxRecord>,
    /// Sums over `steps`.
    pub totals: Totals,
    /// What stays behind, with numbers and reasons. A person accepts it first.
    pub will_not_move: Vec<WillNotMove>,
    /// What would be refused or destroyed as it is, as far as that is known before.
    pub cannot_go: Vec<CannotGo>,
    /// The run repairs that, by its option or by a standing consent.
    pub repairs: bool,
    /// Decisions that only a person can take. None may be open when the plan is carried out.
    pub questions: Vec<Question>,
    /// Worth knowing; nothing depends on it.
    pub remarks: Vec<String>,
    /// Room needed and free.
    pub room: RoomCheck,
    /// The person's answer about mail found in target mailboxes.
    pub existing: Option<Existing>,
    /// The rules that led to it; pinned in the journal.
    pub rules: MappingRules,
    /// Keys of the mailboxes that the target listed ([`names::key`]).
    pub there: HashSet<Bytes>,
}

/// One mailbox that moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxStep {
    /// What goes into the journal. Its decision is [`Decision::Move`]; its id counts only once saved.
    pub record: MailboxRecord,
    /// The target mailbox.
    pub target: Name,
    /// What led to the target name.
    pub how: How,
    /// The target mailbox is missing and is created.
    pub create: bool,
    /// It is created with this role.
    pub create_role: Option<Role>,
    /// The name to create it with if the server refuses the first one.
    pub spare: Option<Name>,
    /// It is subscribed.
    pub subscribe: bool,
    /// What the target mailbox holds now; `None` if it is missing or could not be counted.
    pub holds: Option<Holdings>,
    /// The journal has no baseline of it yet (law 5).
    pub baseline_needed: bool,
    /// Why the source would not open it. It is tried again.
    pub trouble: Option<Trouble>,
    /// Only what no other mailbox brings is copied of it ([`labels`](crate::labels)).
    pub is_rest: bool,
    /// Besides, its mark is put on what others have brought, by COPY.
    pub is_mark: bool,
    /// It is part of the sums. What shows once more the mail of other steps is not.
    pub counts: bool,
}

/// What a target mailbox holds, as STATUS or LIST tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Messages.
    pub messages: u64,
    /// Octets, where told.
    pub octets: Option<u64>,
}

/// A mailbox that a rule leaves out of this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its decision is [`Decision::Exclude`], or [`Decision::Move`] if an earlier run moved it.
    pub record: MailboxRecord,
    /// The rule's name.
    pub rule: String,
}

/// Sums over the mailboxes that move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages in those that could be counted.
    pub messages: u64,
    /// Mailboxes whose messages could not be counted.
    pub uncounted_mailboxes: u64,
    /// Octets in those whose size is known.
    pub octets: u64,
    /// Mailboxes with messages whose size is not known.
    pub unsized_mailboxes: u64,
}

/// Something that stays behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillNotMove {
    /// What it is.
    pub what: String,
    /// How many messages; `None` if unknown.
    pub count: Option<u64>,
    /// Why.
    pub reason: String,
    /// The options that move it all the same, where there are any.
    pub otherwise: Option<String>,
}

/// What the journal knows before the plan is made.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// All mailboxes.
    pub mailboxes: Vec<MailboxRecord>,
    /// Their baselines.
    pub baselines: HashMap<MailboxId, Baseline>,
    /// Messages and octets that are at the target or will never be, and that the source still has for all that is known, by
    /// mailbox.
    pub settled: HashMap<MailboxId, (u64, u64)>,
    /// Messages that the target refused as they are, and that a repair may move.
    pub refused: u64,
    /// Messages that came back damaged, and that a repair may replace.
    pub damaged: u64,
    /// The target is known to destroy octets outside ASCII in header fields.
    pub munges: bool,
    /// A consent to repair stands.
    pub consent: bool,
}

impl MailboxStep {
    /// True when the target mailbox holds mail that the journal knows nothing of.
    pub fn holds_unknown_mail(&self) -> bool {
        // A mark is on whatever it is on: nobody has to decide what becomes of that.
        self.baseline_needed && !self.is_mark && self.holds.is_some_and(|holds| holds.messages > 0)
    }
}

/// Puts the plan together.
pub fn plan(survey: &Survey, mapping: &Mapping, known: &Known, settings: &Settings) -> Plan {
    let mut plan = Plan {
        steps: Vec::new(),
        excluded: Vec::new(),
        refused: Vec::new(),
        vanished: mapping.vanished.clone(),
        totals: Totals::default(),
        will_not_move: Vec::new(),
        cannot_go: cannot_go(survey.target.profile.as_ref(), known),
        repairs: consent::repairs(settings, known.consent),
        questions: Vec::new(),
        remarks: mapping.remarks.clone(),
        room: RoomCheck::default(),
        existing: settings.existing,
        rules: settings.mapping.clone(),
        there: survey.target.by_key().into_keys().collect(),
    };
    let records: HashMap<_, _> = known.mailboxes.iter().map(|record| (key(&record.source), record)).collect();
    let there = survey.target.by_key();
    let mut others = Vec::new();
    for (entry, mailbox) in mapping.entries.iter().zip(&survey.source.mailboxes) {
        let earlier = records.get(&key(&entry.source)).copied();
        let record = record_of(entry, mailbox, earlier);
        match (&entry.left_out, &entry.decision) {
            (Some(rule), _) | (None, Decision::Exclude(rule)) => {
                if mailbox.info.selectable && mailbox.info.space != Space::Personal {
                    others.push(mailbox);
                }
                plan.excluded.push(LeftOut { record, rule: rule.clone() });
            }
            (None, Decision::Refuse(_)) => plan.refused.push(record),
            (None, Decision::Move(target)) => {
                let there = there.get(&key(target)).copied();
                let mut step = step(entry, record, mailbox, there, target, known);
                brings_rest_or_mark(&mut step, survey, settings, &mailbox.info);
                if brings_nothing(&step, survey) {
                    let record =
                        MailboxRecord { decision: Decision::Exclude(VIEW.to_owned()), ..step.record };
                    plan.excluded.push(LeftOut { record, rule: VIEW.to_owned() });
                } else {
                    plan.steps.push(step);
                }
            }
        }
    }
    plan.totals = totals(&plan.steps);
    plan.room = room(&plan.steps, survey, known, &settings.selection);
    plan.will_not_move = will_not_move(&plan.refused, &others);
    // Whatever a label shows comes from All Mail, if nothing else brings it.
    if !plan.steps.iter().any(is_all_mail) {
        plan.will_not_move.extend(left_for_what_they_are(&plan.excluded));
        plan.will_not_move.extend(not_readable(&plan.steps));
    }
    if settings.selection.only.is_empty() {
        plan.will_not_move.extend(hidden_mail(&survey.source));
    }
    plan.will_not_move.extend(cut(&plan.steps, &survey.source));
    // How much mail is older than the day it is chosen from is not known before it is listed.
    if plan.room.is_short() && settings.selection.since.is_none() {
        plan.will_not_move.push(without_room());
    }
    plan.remarks.extend(remarks(&plan, survey));
    ask(&mut plan, survey, known, settings);
    plan
}

/// Whether only what no other mailbox brings is copied of a mailbox, and whether its mark goes along. Of a view that the person
/// names all is copied, but for All Mail.
fn brings_rest_or_mark(step: &mut MailboxStep, survey: &Survey, settings: &Settings, info: &MailboxInfo) {
    let rules = &settings.mapping;
    let names_some = !settings.selection.only.is_empty();
    let is_named = names_some || rules.map.iter().any(|(source, _)| same_name(source, info));
    let brings_rest = views::brings_rest(survey, rules, info, step.how == How::Earlier);
    step.is_rest = brings_rest && (!is_named || info.role == Some(Role::All));
    let is_there = views::counterpart(survey, info).is_some_and(|there| there.wire == step.target.wire);
    step.is_mark = step.is_rest
        && is_there
        && settings.labels == Labels::Copies
        && views::carries_mark(survey, rules, info);
    // Where mailboxes are named, perhaps no other one brings anything of it.
    step.counts = !step.is_rest || names_some;
}

/// True for a view that would move for its mark alone where no mark is carried: each message is stored once.
fn brings_nothing(step: &MailboxStep, survey: &Survey) -> bool {
    let shown = all_mail(&survey.source).map(|all| &all.wire);
    let is_other_view = shown.is_some_and(|all| *all != step.record.source.wire);
    step.is_rest && !step.is_mark && is_other_view && step.how != How::Earlier
}

fn is_all_mail(step: &MailboxStep) -> bool {
    step.is_rest && step.record.role.as_deref().and_then(Role::parse) == Some(Role::All)
}

/// What a person has to decide.
fn ask(plan: &mut Plan, survey: &Survey, known: &Known, settings: &Settings) {
    plan.questions = questions(plan, settings);
    if known.mailboxes.is_empty() && !settings.accept_will_not_move {
        plan.questions.extend(doubt::users(survey));
    }
}

fn record_of(entry: &Entry, mailbox: &SurveyedMailbox, earlier: Option<&MailboxRecord>) -> MailboxRecord {
    let info = &mailbox.info;
    MailboxRecord {
        id: earlier.map_or(MailboxId(0), |record| record.id),
        // The journal knows a mailbox by the octets it saw first; INBOX may be spelled otherwise today.
        source: earlier.map_or_else(|| entry.source.clone(), |record| record.source.clone()),
        role: info.role.map(|role| role.as_str().to_owned()),
        subscribed: info.subscribed,
        messages: info.counts.map(|counts| counts.messages),
        octets: info.counts.and_then(|counts| counts.octets),
        decision: entry.decision.clone(),
    }
}

fn step(
    entry: &Entry,
    record: MailboxRecord,
    mailbox: &SurveyedMailbox,
    there: Option<&SurveyedMailbox>,
    target: &Name,
    known: &Known,
) -> MailboxStep {
    let there = there.map(|found| &found.info);
    let create = !there.is_some_and(|info| info.selectable) && !names::is_inbox(&target.wire);
    let baseline_needed = !known.baselines.contains_key(&record.id);
    MailboxStep {
        target: target.clone(),
        how: entry.how,
        create,
        create_role: entry.create_role.filter(|_| create),
        spare: entry.spare.clone().filter(|_| create),
        // Once only: a subscription that a person removes later stays removed (law 8).
        subscribe: mailbox.info.subscribed && baseline_needed && !there.is_some_and(|info| info.subscribed),
        holds: there
            .filter(|info| info.selectable)
            .and_then(|info| info.counts)
            .map(|counts| Holdings { messages: counts.messages, octets: counts.octets }),
        baseline_needed,
        trouble: mailbox.trouble.clone(),
        is_rest: false,
        is_mark: false,
        counts: true,
        record,
    }
}

/// The sums that [`Plan::totals`] must show.
fn totals(steps: &[MailboxStep]) -> Totals {
    let mut totals = Totals::default();
    for MailboxStep { record, counts, .. } in steps {
        totals.mailboxes += 1;
        if !counts {
            totals.uncounted_mailboxes += 1;
            continue;
        }
        match record.messages {
            Some(messages) => totals.messages = totals.messages.saturating_add(messages),
            None => totals.uncounted_mailboxes += 1,
        }
        match record.octets {
            Some(octets) => totals.octets = totals.octets.saturating_add(octets),
            None => totals.unsized_mailboxes += u64::from(record.messages != Some(0)),
        }
    }
    totals
}

fn will_not_move(refused: &[MailboxRecord], spaces: &[&SurveyedMailbox]) -> Vec<WillNotMove> {
    let mut list: Vec<WillNotMove> = refused
        .iter()
        .map(|record| WillNotMove {
            what: format!("mailbox “{}”", names::printable(&record.source.text)),
            count: record.messages,
            reason: match &record.decision {
                Decision::Refuse(reason) => reason.clone(),
                Decision::Move(_) | Decision::Exclude(_) => String::new(),
            },
            otherwise: None,
        })
        .collect();
    for (space, whose) in [(Space::OtherUsers, "of other people"), (Space::Shared, "shared by many")] {
        let of_space: Vec<_> = spaces.iter().filter(|mailbox| mailbox.info.space == space).collect();
        if !of_space.is_empty() {
            let counts = of_space.iter().map(|mailbox| Some(mailbox.info.counts?.messages));
            list.push(WillNotMove {
                what: format!("{} {whose}", display::amount(of_space.len() as u64, "mailbox", "mailboxes")),
                count: counts.reduce(|a, b| Some(a?.saturating_add(b?))).flatten(),
                reason: "only the account’s own mailboxes are moved".to_owned(),
                otherwise: None,
            });
        }
    }
    list
}

/// Mailboxes that are left out for what they seem to be, where mail is in them or may be.
fn left_for_what_they_are(excluded: &[LeftOut]) -> Vec<WillNotMove> {
    let seems = |left: &LeftOut| match left.rule.as_str() {
        VIEW => Some("it shows mail that lies in other mailboxes, and stays behind"),
        NOT_MAIL => Some("Exchange keeps no mail in it, and it stays behind"),
        _ => None,
    };
    let holds = |left: &&LeftOut| left.record.messages != Some(0);
    excluded
        .iter()
        .filter(holds)
        .filter_map(|left| {
            let name = names::printable(&left.record.source.text);
            Some(WillNotMove {
                what: format!("mailbox “{name}”"),
                count: left.record.messages,
                reason: seems(left)?.to_owned(),
                otherwise: Some(format!("--mailbox or --map \"{name}=…\" moves it")),
            })
        })
        .collect()
}

fn questions(plan: &Plan, settings: &Settings) -> Vec<Question> {
    let mut questions = Vec::new();
    let holding: Vec<(String, u64)> = plan
        .steps
        .iter()
        .filter(|step| step.holds_unknown_mail())
        .map(|step| (step.target.text.clone(), step.holds.map_or(0, |holds| holds.messages)))
        .collect();
    if !holding.is_empty() && !answers(settings.existing) {
        questions.push(Question::TargetHoldsMail { mailboxes: holding });
    }
    let is_accepted = |one: &WillNotMove| settings.accepted.contains(&one.to_string());
    if !settings.accept_will_not_move && !plan.will_not_move.iter().all(is_accepted) {
        let what = plan.will_not_move.iter().map(WillNotMove::with_options).collect();
        questions.push(Question::WillNotMove { what });
    }
    questions
}

/// True when a person said what to do with mail that is there already.
fn answers(existing: Option<Existing>) -> bool {
    matches!(existing, Some(Existing::Adopt | Existing::AppendAnyway))
}

/// What is said of a mailbox that could not be opened, before the server's words.
pub(crate) const TRIED_AGAIN: &str = "could not be opened and is tried again";

/// What is said of what a server was asked for and refused, before its words.
pub(crate) const NOT_TOLD: &str = "is not told by the";

/// What is said of connections that should be compressed, before the reason.
pub(crate) const NOT_COMPRESSED: &str = "are not compressed";

/// What stands between a remark in everyday words and the words of IMAP for it.
pub(crate) const IN_IMAP: &str = "; in the words of IMAP: ";

fn remarks(plan: &Plan, survey: &Survey) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(dangling(&plan.excluded));
    for step in &plan.steps {
        let Some(trouble) = &step.trouble else { continue };
        remarks.push(format!(
            "“{}” {TRIED_AGAIN}: {}",
            names::printable(&step.record.source.text),
            names::printable(&trouble.words),
        ));
    }
    remarks.extend(untold("old", &survey.source));
    remarks.extend(untold("new", &survey.target));
    remarks.extend(uncounted(&survey.target));
    for step in plan.steps.iter().filter(|step| step.create && !step.baseline_needed) {
        remarks.push(format!(
            "“{}” is no longer on the new server and is made again",
            names::printable(&step.target.text)
        ));
    }
    for step in &plan.steps {
        let role = step.record.role.as_deref().and_then(Role::parse);
        if step.is_mark {
            remarks.push(format!(
                "what is important at the old account (“{}”) is marked so at the new one; no message is sent twice for it",
                names::printable(&step.record.source.text)
            ));
        } else if step.is_rest && step.counts {
            remarks.push(format!(
                "of “{}” what no folder has brought yet is copied, to “{}” ({} at most). A later run of a folder that is not among \
                 those named copies its messages once more",
                names::printable(&step.record.source.text),
                names::printable(&step.target.text),
                at_most(step),
            ));
        } else if step.is_rest {
            remarks.push(format!(
                "of “{}” only what lies in no other folder is copied, to “{}”: how much that is shows when all are listed, and \
                 the sums are without it ({} at most)",
                names::printable(&step.record.source.text),
                names::printable(&step.target.text),
                at_most(step),
            ));
        } else if let Some(role @ (Role::All | Role::Flagged | Role::Important)) = role {
            remarks.push(format!(
                "“{}” may show mail that lies in other folders, too; it is copied like any other; --exclude leaves it out\
                 {IN_IMAP}{}",
                names::printable(&step.record.source.text),
                display::attribute(role),
            ));
        }
    }
    remarks.extend(plan.steps.iter().filter_map(|step| perhaps_cut(step, &survey.source)));
    remarks.extend(in_trash(&plan.steps, &survey.target));
    for record in &plan.vanished {
        remarks.push(format!(
            "“{}” was moved before and the old server no longer lists it",
            names::printable(&record.source.text)
        ));
    }
    for (server, side) in [("old", &survey.source), ("new", &survey.target)] {
        if let Some(why) = side.abilities.compression.missing() {
            remarks.push(format!("connections to the {server} server {NOT_COMPRESSED}: {why}"));
        }
    }
    remarks.extend(limit_remark(survey));
    if !plan.room.is_short() || plan.will_not_move.contains(&without_room()) {
        remarks.extend(short_of_room(&plan.room));
    }
    remarks.extend(no_sizes(&plan.steps, &plan.room));
    remarks.extend(survey.target.profile.iter().flat_map(Kept::forecast));
    remarks
}

/// How many messages a mailbox brings, if no other one brings any of them.
fn at_most(step: &MailboxStep) -> String {
    let messages = step.record.messages.map(|messages| display::amount(messages, "message", "messages"));
    messages.unwrap_or_else(|| "not counted".to_owned())
}

/// What is said of the new server's limit where sizes were not listed.
pub(crate) fn limit_remark(survey: &Survey) -> Option<String> {
    let limit = survey.target.abilities.append_limit_octets?;
    Some(format!(
        "the new server takes messages up to {}; larger ones are counted when they are found",
        display::size(limit)
    ))
}

/// What a server refused to tell beside the names of its mailboxes.
fn untold<'a>(server: &'a str, side: &'a SideSurvey) -> impl Iterator<Item = String> + 'a {
    let what = |asked: &Asked| match asked {
        Asked::Namespaces => "which folders belong to other people".to_owned(),
        Asked::Own(prefix) | Asked::Others(prefix) => {
            format!("what lies below “{}”", names::printable(prefix))
        }
        Asked::Subscriptions => "which folders mail programs show (subscriptions)".to_owned(),
        Asked::Roles => "which folder is for what (sent mail, drafts, junk)".to_owned(),
        // What is in the source is asked for by opening it; of the target see `uncounted`.
        Asked::Counts(_) => String::new(),
    };
    let told = |one: &Untold| match &one.error {
        EndError::Refused { refusal, .. } => refusal.to_string(),
        other => other.to_string(),
    };
    let said = move |one: &Untold| {
        format!("{} {NOT_TOLD} {server} server: {}", what(&one.asked), names::printable(&told(one)))
    };
    let is_said: BTreeMap<&Asked, &Untold> = side.untold.iter().rev().map(|one| (&one.asked, one)).collect();
    is_said.into_values().filter(|one| !matches!(one.asked, Asked::Counts(_))).map(said)
}

/// Mailboxes of the new server that are to get mail and were not counted.
fn uncounted(target: &SideSurvey) -> impl Iterator<Item = String> + '_ {
    target.mailboxes.iter().filter_map(|mailbox| {
        let words = &mailbox.trouble.as_ref()?.words;
        let name = names::printable(&mailbox.info.text);
        Some(format!("how much is in “{name}” {NOT_TOLD} new server: {}", names::printable(words)))
    })
}

/// Subscriptions to names that no mail can be in.
fn dangling(excluded: &[LeftOut]) -> Option<String> {
    let dangling = excluded.iter().filter(|left| left.record.subscribed && left.rule == NOT_SELECTABLE);
    let names: Vec<String> =
        dangling.map(|left| format!("“{}”", names::printable(&left.record.source.text))).collect();
    let shown = names.iter().take(NAMES_SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
    let folders = display::amount(names.len() as u64, "folder", "folders");
    (!names.is_empty()).then(|| {
        format!(
            "{folders} that mail programs remember (subscriptions) can hold no mail: {shown}{more}; left out"
        )
    })
}

/// Mailboxes that cannot be opened, for a reason that time does not cure. Each is tried all the same.
fn not_readable(steps: &[MailboxStep]) -> impl Iterator<Item = WillNotMove> {
    steps.iter().filter_map(|step| {
        let trouble = step.trouble.as_ref().filter(|trouble| !trouble.passes)?;
        Some(WillNotMove {
            what: format!("mailbox “{}”", names::printable(&step.record.source.text)),
            count: step.record.messages,
            reason: format!("the old server does not open it: {}", names::printable(&trouble.words)),
            otherwise: None,
        })
    })
}
