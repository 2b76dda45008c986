//! What the journal says of each message.

use bytes::Bytes;
use mailhaul_sandbox::{Deed, Fault, LoneLf, MailboxSnapshot, MessageSnapshot, Profile, UidLie, Who};
use std::collections::{BTreeMap, BTreeSet};

use super::super::facts::ItemFact;
use super::super::truth::{Instance, Unstored, class, munged, unrepaired};
use super::super::world::Existing;
use super::servers::{refusals, shown, there};
use super::{Case, THERE};

/// Law 10: every message that is at the source is in the journal, once, and the journal knows no other.
pub(super) fn every_source_message_is_known(case: &Case<'_>) -> Vec<String> {
    let known: BTreeSet<_> = case.facts.items.iter().map(|i| (i.mailbox.as_str(), i.at_source)).collect();
    let mut wrong = Vec::new();
    for instance in case.source.instances.iter().filter(|i| i.is_there()) {
        if !known.contains(&(instance.mailbox.as_str(), instance.place)) {
            wrong.push(format!("not listed: {:?} of {}", instance.place, instance.mailbox));
        }
    }
    for item in &case.facts.items {
        if case.source_of(item).is_none() {
            wrong.push(format!("never was at the source: {item:?}"));
        }
    }
    wrong
}

/// Each message is where the journal says, with the octets it says, or missing for a reason that holds.
pub(super) fn every_state_is_true(case: &Case<'_>) -> Vec<String> {
    let said = |item: &ItemFact| {
        let source = case.source_of(item)?;
        let why = match item.state {
            "verified" | "already_there" => copied(case, item, source),
            "merged" => merged(case, item, source),
            "exception" => excepted(case, item, source),
            "gone_at_source" => removed_at_source(case, item, source),
            "gone_at_target" => gone(case, item),
            "moved_at_target" => moved(case, item, source),
            "suspect" => suspected(case, item),
            // A merging server that names no UID leaves one copy for two messages, and nobody can say which has it.
            "stored" if case.world.target_profile.merges => None,
            "stored" => unplaced(case, source),
            other => Some(format!("it is not done: {other}")),
        };
        why.map(|why| format!("misreported: {why}: {item:?}: {}", shown(&source.kept)))
    };
    case.facts.items.iter().filter_map(said).collect()
}

/// What a server adds on top (`Alteration::AddHeader`).
const ADDED_HEADER: &[u8] = b"X-Altered: yes\r\n";

fn unaltered(mut kept: &[u8]) -> &[u8] {
    while let Some(rest) = kept.strip_prefix(ADDED_HEADER) {
        kept = rest;
    }
    kept
}

/// It went with its header encoded (T4), or inside a cover message (T8).
fn is_repaired(item: &ItemFact) -> bool {
    item.ladder & (16 | 8) != 0
}

/// `verified`, `already_there`: the claimed message is there and its octets agree to the grade.
fn copied(case: &Case<'_>, item: &ItemFact, source: &Instance) -> Option<String> {
    let Some(copy) = case.copy_of(item) else { return Some("no message has its UID".into()) };
    if !copy.is_there() && case.facts.report["totals"]["missing_at_target"].as_u64() == Some(0) {
        return Some("its copy was removed".into());
    }
    let agrees = match item.grade {
        Some("semantic") if is_repaired(item) => unrepaired(unaltered(&copy.kept)) == source.kept,
        Some("semantic") if case.world.tuning.rewrites => class(unaltered(&copy.kept)) == source.kept_class,
        Some("exact") => copy.kept == source.kept,
        Some("newline") => copy.kept != source.kept && copy.kept_class == source.kept_class,
        // The one rewriting that leaves the meaning.
        Some("semantic") => {
            let kept = unaltered(&copy.kept);
            kept.len() < copy.kept.len() && class(kept) == source.kept_class
        }
        _ => false,
    };
    if !agrees {
        return Some(format!("its copy does not agree: {}", shown(&copy.kept)));
    }
    None
}

/// A copy that another client stored may stand for ours, which was never stored, only as a reported doubt. Which of two
/// equal messages is ours does not matter, nor which of them somebody removed since; where the server keeps something else of ours beside an
/// equal message of another, or merges the two, it is the server that puts the other one in the place of ours.
pub(super) fn what_cannot_be_told_apart_is_said(case: &Case<'_>) -> Vec<String> {
    if case.world.target_profile.merges {
        return Vec::new();
    }
    let mut claims: BTreeMap<(&str, Bytes), usize> = BTreeMap::new();
    for item in case.facts.items.iter().filter(|i| i.state == "verified") {
        if let Some(source) = case.source_of(item) {
            *claims.entry((&item.mailbox, source.kept_class.clone())).or_default() += 1;
        }
    }
    let ours =
        |mailbox: &str, of: &[u8]| case.target.sent(mailbox, of).filter(|i| i.by == Who::Client).count();
    // Mail that was there before and was to be adopted may be claimed like ours, once the numbers of both mean nothing; and
    // where the server said OK and did not store, only that it is there can be known.
    let adopts = case.world.tuning.existing == Existing::Adopt;
    let renumbered = |mailbox: &str| {
        let by = |f: &Fault| matches!(f, Fault::Other(Deed::NewEpoch { mailbox: m }) if m == mailbox);
        adopts && case.struck_target(by) > 0
    };
    let promised = |mailbox: &str, of: &Bytes| {
        case.target.promised.iter().any(|p| p.mailbox == mailbox && class(&p.sent) == *of)
    };
    let silent = |((mailbox, of), count): ((&str, Bytes), usize)| {
        let have = ours(mailbox, &of);
        let told = case.is_doubted("claimed_by_content", mailbox);
        (have < count && !told && !renumbered(mailbox) && !promised(mailbox, &of)).then(|| {
            format!("in silence: {have} copies of ours are taken for {count} in {mailbox}: {}", shown(&of))
        })
    };
    claims.into_iter().filter_map(silent).collect()
}

fn merged(case: &Case<'_>, item: &ItemFact, source: &Instance) -> Option<String> {
    let lied = case.struck_target(|f| *f == Fault::AppendUid(UidLie::Oldest)) > 0;
    if !case.world.target_profile.merges && !lied && !named_before(case, item) {
        return Some("this server does not merge".into());
    }
    match case.copy_of(item) {
        Some(copy) if copy.kept_class == source.kept_class => None,
        _ => Some("the message it shares has other octets".into()),
    }
}

fn excepted(case: &Case<'_>, item: &ItemFact, source: &Instance) -> Option<String> {
    let lies = || case.struck_target(|f| matches!(f, Fault::AppendUid(_)));
    let holds = match item.reason.as_deref() {
        Some("refused" | "forbidden") => {
            refused_by(&case.world.target_profile, &source.kept) || refusals(case) > 0
        }
        Some("too_big") => {
            let octets = source.kept.len() as u64;
            // A cover message is longer by its words, and a third.
            let octets = if case.world.tuning.repair { octets * 3 / 2 + 1500 } else { octets };
            case.world.target_profile.append_limit.is_some_and(|most| octets > most)
        }
        // A server that says a message is not empty and gives no octets has not given it.
        Some("unreadable") if source.kept.is_empty() && case.world.source_profile.size_adds > 0 => true,
        Some("unreadable") => case.facts.source.struck.len() + case.facts.died.len() >= 3,
        Some("damaged" | "absent") if cannot_be_compared(case, source) => true,
        Some("damaged") => {
            case.copy_of(item).is_some_and(|c| !c.is_whole()) || lies() > 0 || named_before(case, item)
        }
        // Without a UID it is looked for by its octets: what the server altered is not found by them.
        Some("absent") if item.at_target.is_none() => {
            // What a server merges and names no UID for is not there as a copy of its own. Of equal messages it cannot be told
            // which one somebody removed.
            let mut equal = case.target.sent(&item.mailbox, &source.kept_class);
            case.world.target_profile.merges
                || lies() > 0
                || equal.any(|i| i.removed == Some(Who::Other))
                || unplaced(case, source).is_none()
                || case.struck_target(|f| *f == Fault::OkWithoutStoring) > 0
        }
        Some("absent") => {
            let copy = case.copy_of(item);
            let is_absent = copy.is_none_or(|c| !c.is_there()) && (copy.is_some() || lies() > 0);
            is_absent || named_before(case, item)
        }
        _ => false,
    };
    (!holds).then(|| "nothing happened that would make it an exception".into())
}

/// What the server rewrote can be recognised only while the source gives it.
pub(super) fn cannot_be_compared(case: &Case<'_>, source: &Instance) -> bool {
    let is_troubled = case.facts.source.struck.len() + case.facts.died.len() >= 3;
    let is_gone = source.removed.is_some() || was_replaced(case, &source.mailbox, &source.kept_class);
    case.world.tuning.rewrites && (is_gone || is_troubled)
}

/// The server had named this place for a message that it did not store, and gave it to another one; whatever numbers it has since.
fn named_before(case: &Case<'_>, item: &ItemFact) -> bool {
    let place = item.at_target;
    case.copy_of(item).is_some_and(|copy| copy.named_before)
        || case.target.promised.iter().any(|p| p.mailbox == item.mailbox && Some(p.place) == place)
}

/// What the target refuses by its profile, for good.
fn refused_by(profile: &Profile, octets: &[u8]) -> bool {
    let end = octets.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(octets.len());
    let bad_header = octets[..end].split(|b| *b == b'\n').any(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        !line.is_empty() && !matches!(line[0], b' ' | b'\t') && !line.contains(&b':')
    });
    octets.is_empty() && profile.refuse_empty
        || octets.contains(&0) && profile.refuse_nul
        || bad_header && profile.refuse_bad_header
}

fn gone(case: &Case<'_>, item: &ItemFact) -> Option<String> {
    let Some(copy) = case.copy_of(item) else { return Some("it never was there".into()) };
    (copy.removed != Some(Who::Other)).then(|| "nobody removed it".into())
}

/// `moved_at_target`: ours is not there any more as it was, and another client stored these octets in another mailbox, where
/// the journal says. To move and to delete beside a delivery look alike.
fn moved(case: &Case<'_>, item: &ItemFact, source: &Instance) -> Option<String> {
    let Some(copy) = case.copy_of(item) else { return Some("it never was there".into()) };
    let of = &source.kept_class;
    let is_carried = item.target_mailbox != item.mailbox && copy.by == Who::Other && copy.kept_class == *of;
    let mut ours = case.target.sent(&item.mailbox, of);
    let is_away = ours.any(|i| i.removed == Some(Who::Other) || !i.is_whole());
    (!is_carried || !is_away).then(|| "nobody moved it there".into())
}

/// `suspect`: the mailbox got another UIDVALIDITY, and the copy is not there as it was: removed, or another's octets.
fn suspected(case: &Case<'_>, item: &ItemFact) -> Option<String> {
    let renumbered =
        |f: &Fault| matches!(f, Fault::Other(Deed::NewEpoch { mailbox }) if *mailbox == item.mailbox);
    if case.struck_target(renumbered) == 0 {
        return Some("its mailbox kept its UIDVALIDITY".into());
    }
    // Where equal messages are merged the copy may be another one's. Nor can it be told which of equal messages lost its
    // copy.
    let shared = case.world.target_profile.merges;
    let source = case.source_of(item)?;
    let mut equal = case.target.sent(&item.mailbox, &source.kept_class);
    let is_short = equal.any(|i| !i.is_there() || !i.is_whole());
    let promised =
        case.target.promised.iter().any(|p| p.mailbox == item.mailbox && class(&p.sent) == source.kept_class);
    let is_there = case.copy_of(item).is_some_and(|c| c.is_there() && c.is_whole());
    let known = shared || is_short || promised;
    (is_there && !known && !cannot_be_compared(case, source)).then(|| "its copy is there and whole".into())
}

/// `gone_at_source`: another client removed it, or, across another UIDVALIDITY, one that equals it.
fn removed_at_source(case: &Case<'_>, item: &ItemFact, source: &Instance) -> Option<String> {
    let holds = source.removed == Some(Who::Other) || was_replaced(case, &item.mailbox, &source.kept_class);
    (!holds).then(|| "nobody removed it".to_owned())
}

/// `stored` without having been read back: the server said OK and its copy cannot be found, since it is not as it was sent,
/// or was removed.
fn unplaced(case: &Case<'_>, source: &Instance) -> Option<String> {
    let of = &source.kept_class;
    let mut ours = case.target.sent(&source.mailbox, of).filter(|i| i.by == Who::Client);
    let promised = case.target.promised.iter().any(|p| p.mailbox == source.mailbox && class(&p.sent) == *of);
    (!promised && !ours.any(|i| !i.is_there() || !i.is_whole()))
        .then(|| "its copy is there and whole, and was not read".into())
}

/// Law 5, at the end: n equal messages have n copies.
pub(super) fn no_two_messages_share_a_copy(case: &Case<'_>) -> Vec<String> {
    let mut owners: BTreeMap<_, &ItemFact> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut wanted: BTreeMap<(&str, Bytes), usize> = BTreeMap::new();
    for item in case.facts.items.iter().filter(|i| THERE.contains(&i.state) && i.state != "merged") {
        if let Some(place) = item.at_target
            && let Some(other) = owners.insert((item.mailbox.as_str(), place), item)
        {
            wrong.push(format!("two messages are said to be one: {other:?} and {item:?}"));
        }
        // A rewritten copy is looked at by its place alone.
        if let Some(source) = case.source_of(item).filter(|_| item.grade != Some("semantic")) {
            *wanted.entry((&item.mailbox, source.kept_class.clone())).or_default() += 1;
        }
    }
    let missing = case.facts.report["totals"]["missing_at_target"].as_u64().unwrap_or(0);
    for ((mailbox, of), count) in wanted {
        let have = there(case, mailbox).get(&of).copied().unwrap_or(0);
        if have < count && missing == 0 {
            wrong.push(format!("lost: {mailbox} holds {have} of {count} copies of {}", shown(&of)));
        }
    }
    wrong
}

/// Flags and dates of copies of ours are those of the source, unless a step of the ladder says that they could not be.
/// Equal messages are a multiset: which copy is whose does not matter.
pub(super) fn flags_and_dates_are_those_of_the_source(case: &Case<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut classes: BTreeMap<(&str, Bytes), Vec<&ItemFact>> = BTreeMap::new();
    for item in case.facts.items.iter().filter(|i| i.state == "verified") {
        if item.ladder != 0 && !ladder_is_explained(case, item) {
            wrong.push(format!("changed without need: {item:?}"));
        }
        if let Some(source) = case.source_of(item) {
            classes.entry((&item.mailbox, source.kept_class.clone())).or_default().push(item);
        }
    }
    for ((mailbox, of), items) in classes {
        // Where one of them is not as it was sent, or not ours, nobody can say which should have what.
        let lost = |i: &Instance| i.by == Who::Client && !(i.is_whole() && i.is_there());
        let is_altered = case.target.sent(mailbox, &of).any(lost);
        let is_promised = case.target.promised.iter().any(|p| p.mailbox == mailbox && class(&p.sent) == of);
        // A copy whose UID the server did not tell, and with which it merged another: that one was told the UID.
        let untold =
            case.world.target_profile.merges && case.struck_target(|f| matches!(f, Fault::AppendUid(_))) > 0;
        // A copy that came after the settle time, and was found while an equal message was in doubt: both doubts are told.
        let is_mixed = items.iter().any(|i| i.origin == Some("found"))
            && case.is_doubted("resent", mailbox)
            && case.is_doubted("claimed_by_content", mailbox);
        if is_altered || is_promised || untold || is_mixed || was_replaced(case, mailbox, &of) {
            continue;
        }
        let sides: Option<(Vec<_>, Vec<_>)> =
            items.iter().map(|i| Some((seen_at_source(case, i)?, seen_at_target(case, i)?))).collect();
        let Some((mut sent, mut there)) = sides else { continue };
        sent.sort();
        there.sort();
        if sent != there {
            wrong.push(format!("other flags or dates in {mailbox}: {there:?} for {sent:?}: {}", shown(&of)));
        }
    }
    wrong
}

/// Across another UIDVALIDITY at the source, one removed and an equal one delivered look like one message.
fn was_replaced(case: &Case<'_>, mailbox: &str, of: &[u8]) -> bool {
    let renumbered = |f: &Fault| matches!(f, Fault::Other(Deed::NewEpoch { mailbox: m }) if m == mailbox);
    case.facts.source.struck.iter().any(renumbered) && case.source.sent(mailbox, of).any(|i| !i.is_there())
}

/// Date and flags of a message.
type Facets = (String, BTreeSet<String>);

fn facets(message: &MessageSnapshot) -> Facets {
    let flags = message.flags.iter().map(|f| f.to_ascii_lowercase()).collect();
    (message.internal_date.clone(), flags)
}

fn seen_at_source(case: &Case<'_>, item: &ItemFact) -> Option<Facets> {
    let (epoch, uid) = item.at_source;
    let same = |m: &&MailboxSnapshot| m.name == item.mailbox && m.uid_validity == epoch;
    let mailbox = case.facts.source.holds.iter().find(same)?;
    mailbox.messages.iter().find(|m| m.uid == uid).map(facets)
}

fn seen_at_target(case: &Case<'_>, item: &ItemFact) -> Option<Facets> {
    let ours = case.copy_of(item).is_some_and(|c| c.by == Who::Client) && item.ladder == 0;
    let there = case.at_target(&item.mailbox, item.at_target?)?;
    ours.then(|| facets(there))
}

fn ladder_is_explained(case: &Case<'_>, item: &ItemFact) -> bool {
    let lone_lf = case.world.target_profile.lone_lf == LoneLf::Refuse;
    (lone_lf && item.ladder == 1)
        || refusals(case) > 0
        || (is_repaired(item) && repair_is_explained(case, item))
}

/// The server refuses the message, or kept something else of it, or named a UID that is another's.
fn repair_is_explained(case: &Case<'_>, item: &ItemFact) -> bool {
    let Some(source) = case.source_of(item).filter(|_| case.world.tuning.repair) else { return false };
    let mut equal = case.target.sent(&item.mailbox, &source.kept_class);
    let promised = |p: &Unstored| p.mailbox == item.mailbox && class(&p.sent) == source.kept_class;
    (case.world.tuning.munges && munged(0, &source.kept)[..] != source.kept[..])
        || refused_by(&case.world.target_profile, &source.kept)
        || equal.any(|i| i.by == Who::Client && !i.is_whole())
        || case.target.promised.iter().any(promised)
        || case.struck_target(|f| matches!(f, Fault::AppendUid(_))) > 0
}
