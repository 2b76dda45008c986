//! What takes part, by the servers' facts and by the person's choice.

use crate::config::{MappingRules, Selection};
use crate::end::{MailboxInfo, Space};
use crate::names;
use crate::survey::Survey;

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

pub(super) struct Chosen {
    /// For each source mailbox the rule that leaves it out.
    pub(super) left_out: Vec<Option<String>>,
    /// Rules that name nothing.
    pub(super) problems: Vec<String>,
    pub(super) remarks: Vec<String>,
}

pub(super) fn select(survey: &Survey, rules: &MappingRules, selection: &Selection) -> Chosen {
    let infos: Vec<&MailboxInfo> = survey.source.mailboxes.iter().map(|m| &m.info).collect();
    let left_out: Vec<_> = infos.iter().map(|info| rule_for(info, selection)).collect();
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
pub(super) fn same_name(name: &str, info: &MailboxInfo) -> bool {
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
    let glob = selection.exclude.iter().find(|glob| names::glob_matches(glob, &info.text))?;
    Some(format!("exclude:{glob}"))
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
