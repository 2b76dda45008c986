//! What happened at the servers.

use bytes::Bytes;
use mailhaul_sandbox::{Deed, Fault, UidLie, Who};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::super::truth::{Instance, class};
use super::super::world::Existing;
use super::Case;
use super::items::cannot_be_compared;

/// Verbs that change something.
const WRITES: [&str; 7] = ["SELECT", "APPEND", "STORE", "EXPUNGE", "CREATE", "SUBSCRIBE", "COPY"];

/// Law 1: nothing at the source is changed by us, by any command.
pub(super) fn the_source_is_untouched(case: &Case<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for verb in WRITES.iter().filter(|verb| case.facts.source.commands.contains_key(**verb)) {
        wrong.push(format!("the source was asked to {verb}"));
    }
    for entry in &case.facts.source.ledger {
        if entry.who == Who::Client {
            wrong.push(format!("the source was changed: UID {} of {}", entry.uid, entry.mailbox));
        }
    }
    // Whatever another client did not do to a planted message is as it was planted.
    for planted in &case.world.source {
        let holds = case.facts.source.holds.iter().find(|m| m.name == planted.name);
        let Some(holds) = holds else {
            wrong.push(format!("the source lost {}", planted.name));
            continue;
        };
        let there = case.source.instances.iter().filter(|i| i.mailbox == planted.name && i.is_there());
        if there.count() != holds.messages.len() {
            wrong.push(format!("the source holds other mail in {} than was put there", planted.name));
        }
        for message in &holds.messages {
            let known = case.source.at(planted.name, (holds.uid_validity, message.uid));
            if known.is_none_or(|k| k.kept != message.octets) {
                wrong.push(format!("UID {} of {} is not as it was at the source", message.uid, planted.name));
            }
        }
    }
    wrong
}

/// Law 8: a migration adds, and does nothing else.
pub(super) fn nothing_at_the_target_is_changed_or_removed(case: &Case<'_>) -> Vec<String> {
    let touched = case.target.touched.iter();
    touched.map(|e| format!("UID {} of {} at the target was {:?} by us", e.uid, e.mailbox, e.what)).collect()
}

/// The target is given no message more often than the source has it. Where another client took a copy of ours away, or the
/// server kept something else, before we could see it, a second one is right, and the report says that it was sent.
pub(super) fn nothing_is_doubled(case: &Case<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let ours = case.target.instances.iter().filter(|i| i.by == Who::Client);
    for instance in ours {
        let of = instance.sent_class.clone();
        if !seen.insert((instance.mailbox.clone(), of.clone())) {
            continue;
        }
        let ours = case.target.sent(&instance.mailbox, &of).filter(|i| i.by == Who::Client);
        let copies: Vec<_> = ours.filter(|i| !is_replaced(case, i)).collect();
        let wanted = case.source.sent(&instance.mailbox, &of).count();
        let surplus = copies.len().saturating_sub(wanted);
        // A place that the server had named for another message before is that message's for the engine.
        let unseen = copies.iter().filter(|i| !i.is_there() || !i.is_whole() || i.named_before).count();
        let told = case.is_doubted("resent", &instance.mailbox);
        let mut sources = case.source.sent(&instance.mailbox, &of);
        let untold = sources.any(|source| cannot_be_compared(case, source));
        let excused = told && (untold || surplus <= unseen + ghosts(case, &instance.mailbox, &of));
        if surplus > 0 && !excused {
            wrong.push(format!(
                "doubled: {} holds {} copies of a message that the source has {wanted} times: {}",
                instance.mailbox,
                copies.len(),
                shown(&instance.sent)
            ));
        }
    }
    wrong
}

/// A damaged copy of ours of which a repaired one came: the report names it by a UID that it has or had. Where the server named
/// another UID for it, the report has that one, and the message.
fn is_replaced(case: &Case<'_>, copy: &Instance) -> bool {
    if !case.world.tuning.repair || copy.is_whole() {
        return false;
    }
    let words: Vec<String> = case.target.uids_of(copy).map(|uid| format!("UID {uid} of ")).collect();
    let names_it = |text: &str| words.iter().any(|words| text.starts_with(words));
    let lied = case.struck_target(|f| *f == Fault::AppendUid(UidLie::Oldest)) > 0;
    let is_its_message = |uid: &Value| {
        let mut sources = case.source.sent(&copy.mailbox, &copy.sent_class);
        sources.any(|source| case.source.uids_of(source).any(|of| *uid == of))
    };
    let is_told = |r: &Value| {
        let is_here = r["kind"] == "damaged_copy" && r["mailbox"] == copy.mailbox.as_str();
        is_here && (r["text"].as_str().is_some_and(names_it) || lied && is_its_message(&r["uid"]))
    };
    case.facts.report["remarks"].as_array().is_some_and(|remarks| remarks.iter().any(is_told))
}

/// Surplus copies of a message that the report names, each by its UID, where the server stored some later than is waited for,
/// or rewrote what an old server that was renumbered since could not tell.
fn ghosts(case: &Case<'_>, mailbox: &str, of: &[u8]) -> usize {
    let settle = case.world.tuning.settle.0;
    let late = case.struck_target(|f| matches!(f, Fault::LateStore(after) if *after >= settle)) > 0;
    let renumbered = |f: &Fault| matches!(f, Fault::Other(Deed::NewEpoch { mailbox: m }) if m == mailbox);
    let untold = case.world.tuning.rewrites && case.facts.source.struck.iter().any(renumbered);
    if !late && !untold {
        return 0;
    }
    let doubts = case.facts.report["doubts"].as_array().cloned().unwrap_or_default();
    let named = |i: &&Instance| {
        let words = format!("UID {} of {mailbox} ", i.place.1);
        let ghost =
            |d: &&Value| d["kind"] == "ghost" && d["text"].as_str().is_some_and(|t| t.starts_with(&words));
        doubts.iter().any(|d| ghost(&d))
    };
    case.target.sent(mailbox, of).filter(|i| named(i)).count()
}

/// Where mail found at the target is adopted, a message that was there before is not sent beside it.
pub(super) fn nothing_is_sent_beside_what_was_adopted(case: &Case<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for planted in case.world.target.iter().filter(|_| case.world.tuning.existing == Existing::Adopt) {
        let mut counts: BTreeMap<Bytes, usize> = BTreeMap::new();
        planted.letters.iter().for_each(|l| *counts.entry(class(&l.octets)).or_default() += 1);
        for (of, before) in counts {
            let all = || case.target.sent(planted.name, &of);
            // What another client removed cannot be adopted.
            let left = before.saturating_sub(all().filter(|i| i.removed == Some(Who::Other)).count());
            let wanted = case.source.sent(planted.name, &of).count();
            // What came to the source once all was matched is new, whatever the target holds.
            let matched =
                case.world.source.iter().filter(|p| p.name == planted.name).flat_map(|p| &p.letters);
            let left = left.min(matched.filter(|l| class(&l.octets) == of).count());
            let ours = all().filter(|i| i.by == Who::Client && !is_replaced(case, i)).count();
            let doubted = case.is_doubted("resent", planted.name);
            if ours > wanted.saturating_sub(left) && !doubted {
                wrong.push(format!(
                    "doubled: {ours} copies sent to {} beside {left} that were there, and the source has {wanted}: {}",
                    planted.name,
                    shown(&of)
                ));
            }
        }
    }
    wrong
}

/// The beginning of a message, for people.
pub(super) fn shown(octets: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(octets).chars().take(120).collect();
    format!("{text:?} ({} octets)", octets.len())
}

/// How often messages of a mailbox were refused by a fault.
pub(super) fn refusals(case: &Case<'_>) -> usize {
    case.struck_target(|f| matches!(f, Fault::RefuseAppend(_) | Fault::Answer(_)))
}

/// Copies by class, of those that are there.
pub(super) fn there(case: &Case<'_>, mailbox: &str) -> BTreeMap<Bytes, usize> {
    let mut counts = BTreeMap::new();
    for instance in case.target.instances.iter().filter(|i| i.mailbox == mailbox && i.is_there()) {
        *counts.entry(instance.kept_class.clone()).or_default() += 1;
    }
    counts
}
