//! Making a plan from both ends and the journal, and writing it into the journal.

use super::too_large::too_large;
use super::{Known, Plan, ask, lint, plan};
use crate::config::{MappingRules, Settings};
use crate::consent;
use crate::end::{SourceSession, TargetSession};
use crate::error::Error;
use crate::journal::{
    Change, Count, Decision, Item, Journal, JournalError, JournalResult, MailboxRecord, Query, Reason, State,
};
use crate::mapping::{Conflict, Mapping, dropped_rules, key, map};
use crate::profile::kept::kept;
use crate::report::{DAMAGED, REFUSED};
use crate::survey::{Passing, Survey, or_trouble, survey};
use crate::transfer::{munges, replace};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The setting that pins the rules in the journal.
const MAPPING_SETTING: &str = "mapping";
/// Items in one page and one change, where items are left out.
const PAGE_ITEMS: usize = 1000;

/// Looks at both ends, asks the journal what it knows, and makes the plan. Neither end is changed, nor the
/// journal.
///
/// # Errors
/// What [`survey`] says; [`Error::Settings`] for rules that cannot be followed;
/// [`JournalError::OtherSettings`] for rules that would send a known mailbox elsewhere. Open questions are no
/// error here: they are in the plan.
pub async fn make<S: SourceSession, T: TargetSession, J: Journal>(
    source: &mut S,
    target: &mut T,
    journal: &J,
    settings: &Settings,
    passing: Passing,
) -> Result<(Survey, Plan), Error> {
    let mut known = known(journal, settings).await?;
    let pinned = match journal.setting(MAPPING_SETTING).await? {
        Some(text) => Some(read_rules(&text)?),
        None => None,
    };
    let mut survey = survey(source, target, passing).await?;
    survey.target.know(kept(journal, &survey.target.abilities).await?);
    let rows = settings.limits.journal_page_rows;
    known.munges = munges::is_known(journal, survey.target.profile.as_ref(), rows).await?;
    let mapping = map(&survey, &settings.mapping, &settings.selection, &known.mailboxes);
    if !mapping.problems.is_empty() {
        return Err(Error::Settings { what: mapping.problems.join("\n") });
    }
    let mut conflicts = mapping.conflicts.clone();
    if let Some(pinned) = pinned.filter(|pinned| *pinned != settings.mapping) {
        conflicts.extend(dropped_rules(&survey, &pinned, &settings.mapping, &known.mailboxes));
    }
    same_mapping(&conflicts)?;
    count_targets(target, &mut survey, &mapping, &known, passing).await?;
    let mut plan = plan(&survey, &mapping, &known, settings);
    let too_large =
        too_large(source, journal, &survey, &plan, &known, (settings.selection.since, passing)).await?;
    plan.will_not_move.extend(too_large);
    ask(&mut plan, &survey, &known, settings);
    sound(&plan)?;
    Ok((survey, plan))
}

/// Writes the plan's mailboxes and pins the rules of the first plan. The result is every mailbox of the plan
/// with its id. Messages known as `listed` in a mailbox that is now left out become `excluded`.
///
/// Later rules may differ for mailboxes that never moved (a refused one, say); [`make`] refuses all others.
///
/// # Errors
/// Those of the journal.
pub async fn save<J: Journal>(journal: &J, plan: &Plan) -> JournalResult<Vec<MailboxRecord>> {
    if journal.setting(MAPPING_SETTING).await?.is_none() {
        journal.pin_setting(MAPPING_SETTING, &write_rules(&plan.rules)).await?;
    }
    let steps = plan.steps.iter().map(|step| &step.record);
    let all = steps.chain(plan.excluded.iter().map(|left| &left.record)).chain(&plan.refused);
    let saved = journal.save_mailboxes(&all.cloned().collect::<Vec<_>>()).await?;
    let rules: HashMap<_, _> =
        plan.excluded.iter().map(|left| (key(&left.record.source), &left.rule)).collect();
    for record in &saved {
        if let (Decision::Move(_), Some(rule)) = (&record.decision, rules.get(&key(&record.source))) {
            leave_out_listed(journal, record, rule).await?;
        }
    }
    Ok(saved)
}

/// Stops a plan that contradicts itself.
pub(super) fn sound(plan: &Plan) -> Result<(), Error> {
    let findings = lint(plan);
    if findings.is_empty() {
        return Ok(());
    }
    let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
    Err(Error::Settings {
        what: format!(
            "the plan contradicts itself, which is a defect of Mailhaul; nothing was sent: {}",
            findings.join("; ")
        ),
    })
}

async fn known<J: Journal>(journal: &J, settings: &Settings) -> JournalResult<Known> {
    let mut known = Known { mailboxes: journal.mailboxes().await?, ..Known::default() };
    for record in &known.mailboxes {
        if let Some(baseline) = journal.baseline(record.id).await? {
            known.baselines.insert(record.id, baseline);
        }
    }
    known.consent = consent::standing(journal).await?;
    let counts = journal.counts().await?;
    let by_habit = consent::repairs_by_habit(settings, known.consent);
    known.damaged = damaged(journal, &known.mailboxes, &counts, by_habit).await?;
    for count in counts {
        if count.state == State::Exception && count.kind.as_deref() == Some(REFUSED) {
            known.refused = known.refused.saturating_add(count.items);
        }
        let is_settled =
            !count.state.is_pending() && !matches!(count.state, State::Excluded | State::GoneAtSource);
        if is_settled {
            let settled = known.settled.entry(count.mailbox).or_default();
            settled.0 = settled.0.saturating_add(count.items);
            settled.1 = settled.1.saturating_add(count.octets);
        }
    }
    Ok(known)
}

/// Damaged messages that a repair may replace; `by_habit`, those whose repaired form was not refused yet. Only where there are any,
/// exceptions are looked at.
async fn damaged<J: Journal>(
    journal: &J,
    mailboxes: &[MailboxRecord],
    counts: &[Count],
    by_habit: bool,
) -> JournalResult<u64> {
    let is_damaged =
        |c: &Count| c.state == State::Exception && c.kind.as_deref() == Some(DAMAGED) && c.items > 0;
    if !counts.iter().any(is_damaged) {
        return Ok(0);
    }
    let refused = if by_habit { replace::refused(journal, PAGE_ITEMS).await? } else { BTreeSet::new() };
    let mailboxes: HashMap<_, &MailboxRecord> = mailboxes.iter().map(|record| (record.id, record)).collect();
    let may_go = |item: &&Item| {
        let mailbox = mailboxes.get(&item.id.mailbox);
        mailbox.is_some_and(|mailbox| replace::is_replaceable(mailbox, item)) && !refused.contains(&item.id)
    };
    let (mut damaged, mut after) = (0, None);
    loop {
        let query = Query { mailbox: None, states: &[State::Exception], after, limit: PAGE_ITEMS };
        let page = journal.items(query).await?;
        let Some(last) = page.last() else { return Ok(damaged) };
        after = Some(last.id);
        damaged += page.iter().filter(may_go).count() as u64;
    }
}

/// Asks for the counts of target mailboxes that will get mail, have no baseline and were listed without counts.
async fn count_targets<T: TargetSession>(
    target: &mut T,
    survey: &mut Survey,
    mapping: &Mapping,
    known: &Known,
    passing: Passing,
) -> Result<(), Error> {
    let settled: HashSet<_> = known
        .mailboxes
        .iter()
        .filter(|record| known.baselines.contains_key(&record.id))
        .map(|record| key(&record.source))
        .collect();
    let wanted: HashSet<_> = mapping
        .entries
        .iter()
        .filter(|entry| entry.left_out.is_none() && !settled.contains(&key(&entry.source)))
        .filter_map(|entry| match &entry.decision {
            Decision::Move(name) => Some(key(name)),
            Decision::Exclude(_) | Decision::Refuse(_) => None,
        })
        .collect();
    for mailbox in &mut survey.target.mailboxes {
        let info = &mut mailbox.info;
        let asked = wanted.contains(&crate::names::key(&info.wire, info.delimiter));
        if asked && info.selectable && info.counts.is_none() {
            match or_trouble(target.counts(&info.wire).await, passing).map_err(Error::Target)? {
                Ok(counts) => info.counts = Some(counts),
                Err(trouble) => mailbox.trouble = Some(trouble),
            }
        }
    }
    Ok(())
}

async fn leave_out_listed<J: Journal>(journal: &J, record: &MailboxRecord, rule: &str) -> JournalResult<()> {
    let mut after = None;
    loop {
        let query = Query { mailbox: Some(record.id), states: &[State::Listed], after, limit: PAGE_ITEMS };
        let page = journal.items(query).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        let reason = Reason::new(rule, "left out by this rule in a later run");
        let changes: Vec<Change> =
            page.iter().map(|item| Change::to(item.id, State::Excluded).because(reason.clone())).collect();
        journal.change(&changes).await?;
    }
}

fn same_mapping(conflicts: &[Conflict]) -> Result<(), JournalError> {
    if conflicts.is_empty() {
        return Ok(());
    }
    let differences: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
    Err(JournalError::OtherSettings { what: format!("another mapping: {}", differences.join("; ")) })
}

/// The rules as stable text: the order in which they were given does not matter.
#[derive(Serialize, Deserialize)]
struct PinnedRules {
    into: Option<String>,
    map: Vec<(String, String)>,
}

fn write_rules(rules: &MappingRules) -> String {
    let mut map = rules.map.clone();
    map.sort();
    map.dedup();
    serde_json::json!(PinnedRules { into: rules.into.clone(), map }).to_string()
}

fn read_rules(text: &str) -> Result<MappingRules, JournalError> {
    let PinnedRules { into, map } = serde_json::from_str(text).map_err(|e| JournalError::OtherSettings {
        what: format!("the mapping kept in it cannot be read: {e}"),
    })?;
    Ok(MappingRules { map, into })
}
