//! What takes part, by the servers' facts and by the person's choice.

use super::{components, key};
use crate::config::{MappingRules, Selection};
use crate::end::{MailboxInfo, Role, Space};
use crate::journal::{Decision, MailboxRecord};
use crate::labels::views::brings_rest;
use crate::name_rules::{folded, is_exchange};
use crate::names;
use crate::survey::{SideSurvey, Survey, SurveyedMailbox};
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Near names shown for a name that does not exist.
const NEAR_NAMES_MAX: usize = 3;

/// The rule that leaves out what cannot hold mail (`\Noselect`, `\NonExistent`).
pub const NOT_SELECTABLE: &str = "not-selectable";
/// The rule that leaves out other people's mailboxes.
pub const OTHER_USERS: &str = "other-users";
/// The rule that leaves out mailboxes shared by many.
pub const SHARED: &str = "shared";
/// The rule that leaves out what `--mailbox` does not name.
pub const MAILBOX: &str = "mailbox";
/// The rule that leaves out a mailbox that moves by another of its names.
pub const SAME_MAILBOX: &str = "same-mailbox";
/// The rule that leaves out views of mail that lies in other mailboxes.
pub const VIEW: &str = "view";
/// The rule that leaves out Exchange's folders that hold no mail.
pub const NOT_MAIL: &str = "not-mail";

/// One row for each folder of Exchange that holds no mail; `#` begins a comment.
const EXCHANGE_FOLDERS: &str = include_str!("../../data/exchange-folders.tsv");

static EXCHANGE_NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let name = |line: &str| Some(folded(line.split('\t').nth(1)?));
    EXCHANGE_FOLDERS.lines().filter(|line| !line.starts_with('#')).filter_map(name).collect()
});

pub(super) struct Chosen {
    /// For each source mailbox the rule that leaves it out.
    pub(super) left_out: Vec<Option<String>>,
    /// Rules that name nothing.
    pub(super) problems: Vec<String>,
    pub(super) remarks: Vec<String>,
}

pub(super) fn select(
    survey: &Survey,
    rules: &MappingRules,
    selection: &Selection,
    earlier: &[MailboxRecord],
) -> Chosen {
    let infos: Vec<&MailboxInfo> = survey.source.mailboxes.iter().map(|m| &m.info).collect();
    let by_name = |info: &MailboxInfo| {
        let named = selection.only.iter().chain(rules.map.iter().map(|(source, _)| source));
        named.into_iter().any(|name| same_name(name, info))
    };
    let moved: HashSet<Bytes> = earlier
        .iter()
        .filter(|record| matches!(record.decision, Decision::Move(_)))
        .map(|record| key(&record.source))
        .collect();
    // At Gmail what others bring is told apart message by message (`labels`).
    let brings_rest = |info: &MailboxInfo| {
        let moved_before = moved.contains(&names::key(&info.wire, info.delimiter));
        brings_rest(survey, rules, info, moved_before)
    };
    let rule = |info: &MailboxInfo| {
        rule_for(info, selection).or_else(|| {
            nature(&survey.source, info)
                .filter(|rule| *rule != VIEW || !brings_rest(info))
                .filter(|_| !by_name(info))
                .map(str::to_owned)
        })
    };
    let mut left_out: Vec<_> = infos.iter().map(|info| rule(info)).collect();
    for i in 0..left_out.len() {
        let twin = survey.source.mailboxes[i].same_as;
        if left_out[i].is_none() && twin.is_some_and(|twin| left_out[twin].is_none()) {
            left_out[i] = Some(SAME_MAILBOX.to_owned());
        }
    }
    let named = selection
        .only
        .iter()
        .map(|name| ("--mailbox", name))
        .chain(rules.map.iter().map(|(name, _)| ("--map", name)));
    let problems = named
        .filter(|(_, name)| !infos.iter().any(|info| same_name(name, info)))
        .map(|(option, name)| unknown(option, name, &infos))
        .chain(doubled(rules))
        .collect();
    let remarks = selection
        .exclude
        .iter()
        .filter(|glob| !infos.iter().any(|info| names::glob_matches(glob, &info.text)))
        .map(|glob| format!("--exclude \"{}\" matches no mailbox of the old server", names::printable(glob)))
        .collect();
    Chosen { left_out, problems, remarks }
}

/// True when a person means this mailbox by `name`.
pub(crate) fn same_name(name: &str, info: &MailboxInfo) -> bool {
    name == info.text || (names::is_inbox(name.as_bytes()) && names::is_inbox(&info.wire))
}

fn rule_for(info: &MailboxInfo, selection: &Selection) -> Option<String> {
    if !info.selectable {
        return Some(NOT_SELECTABLE.to_owned());
    }
    match info.space {
        Space::Personal => {}
        Space::OtherUsers => return Some(OTHER_USERS.to_owned()),
        Space::Shared => return Some(SHARED.to_owned()),
    }
    if !selection.only.is_empty() && !selection.only.iter().any(|name| same_name(name, info)) {
        return Some(MAILBOX.to_owned());
    }
    if let Some(name) = selection.without.iter().find(|name| same_name(name, info)) {
        return Some(format!("exclude:{name}"));
    }
    let glob = selection.exclude.iter().find(|glob| names::glob_matches(glob, &info.text))?;
    Some(format!("exclude:{glob}"))
}

/// The rule that leaves out a mailbox for what it is; a mailbox that the person names is never asked about.
fn nature(side: &SideSurvey, info: &MailboxInfo) -> Option<&'static str> {
    if is_view(side, info) {
        return Some(VIEW);
    }
    let path = if is_exchange(&side.abilities) { components(side, info) } else { Vec::new() };
    let first = path.first().filter(|_| info.role.is_none())?;
    EXCHANGE_NAMES.contains(&folded(first)).then_some(NOT_MAIL)
}

/// `\All`, `\Flagged` and `\Important` are almost certainly views (RFC 6154, 2; RFC 8457). One that holds more messages than
/// all other mailboxes together holds some that lie nowhere else, and is none.
fn is_view(side: &SideSurvey, info: &MailboxInfo) -> bool {
    let says_so = |info: &MailboxInfo| matches!(info.role, Some(Role::All | Role::Flagged | Role::Important));
    if !says_so(info) {
        return false;
    }
    if side.abilities.gmail {
        return true;
    }
    let moves = |mailbox: &&SurveyedMailbox| {
        mailbox.info.space == Space::Personal && mailbox.info.selectable && !says_so(&mailbox.info)
    };
    let others =
        side.mailboxes.iter().filter(moves).filter_map(|mailbox| Some(mailbox.info.counts?.messages));
    info.counts.is_none_or(|counts| counts.messages <= others.fold(0, u64::saturating_add))
}

fn unknown(option: &str, name: &str, infos: &[&MailboxInfo]) -> String {
    let near = near(name, infos);
    let hint = if near.is_empty() {
        "`mailhaul check` lists them".to_owned()
    } else {
        format!("did you mean {}?", near.join(" or "))
    };
    format!("{option} \"{}\": the old server has no mailbox of this name; {hint}", names::printable(name))
}

/// Names that a person may have meant: few edits away, or containing what was written.
fn near(name: &str, infos: &[&MailboxInfo]) -> Vec<String> {
    let wanted = name.to_lowercase();
    let edits_max = (name.chars().count() / 3).max(2);
    let mut near: Vec<(usize, &str)> = infos
        .iter()
        .filter_map(|info| {
            let edits = names::distance(name, &info.text);
            let contains = info.text.to_lowercase().contains(&wanted);
            (edits <= edits_max || contains).then_some((edits, info.text.as_str()))
        })
        .collect();
    near.sort_unstable();
    near.into_iter().take(NEAR_NAMES_MAX).map(|(_, text)| format!("\"{}\"", names::printable(text))).collect()
}

/// Two `--map` for one source mailbox that disagree.
fn doubled(rules: &MappingRules) -> impl Iterator<Item = String> + '_ {
    rules.map.iter().enumerate().filter_map(|(i, (source, target))| {
        let (_, first) = rules.map[..i].iter().find(|(s, t)| s == source && t != target)?;
        Some(format!("--map names \"{source}\" twice, for \"{first}\" and for \"{target}\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_exchange_folders_is_well_formed_and_there_once() {
        let mut seen = HashSet::new();
        for line in EXCHANGE_FOLDERS.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [kind, name, languages] = fields[..] else { panic!("{line}") };
            assert!(![kind, name, languages].iter().any(|field| field.is_empty()), "{line}");
            assert!(seen.insert(folded(name)), "twice: {line}");
        }
        assert_eq!(EXCHANGE_NAMES.len(), seen.len(), "no row is passed over");
    }
}
