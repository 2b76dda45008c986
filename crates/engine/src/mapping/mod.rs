//! Pure: which source mailbox goes where. Every source mailbox is decided exactly once: it moves, a named rule
//! leaves it out, or it is refused with a reason. No two move to the same target mailbox.
//!
//! Who may choose a target name first: what the journal already holds · the person's `--map` · INBOX ·
//! roles · the same path, changed where the target does not take it (docs/names.md).

mod decide;
mod paths;
mod roles;
mod select;
mod target;
#[cfg(test)]
mod tests;

use crate::config::{MappingRules, Selection};
use crate::end::{MailboxInfo, Role};
use crate::journal::{Decision, MailboxRecord, Name};
use crate::labels;
use crate::names;
use crate::survey::{SideSurvey, Survey};
use bytes::Bytes;

use decide::Mapper;

pub(crate) use select::same_name;
pub use select::{MAILBOX, NOT_MAIL, NOT_SELECTABLE, OTHER_USERS, SAME_MAILBOX, SHARED, VIEW};

/// The roles that are matched between the sides. `\All`, `\Flagged` and `\Important` are views of mail that
/// lies elsewhere (RFC 6154, 2): nothing is appended to them by role, but from one Gmail to another ([`labels::views`]).
pub const CARRIED_ROLES: [Role; 5] = [Role::Archive, Role::Drafts, Role::Junk, Role::Sent, Role::Trash];

/// The decisions about one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// One for each source mailbox, in the order of the survey.
    pub entries: Vec<Entry>,
    /// Mailboxes of earlier runs that the source no longer lists. Nothing is concluded from it (law 7).
    pub vanished: Vec<MailboxRecord>,
    /// Mailboxes that the person's rules would now send elsewhere than the journal did.
    pub conflicts: Vec<Conflict>,
    /// Rules that cannot be followed, for a person: they stop the run.
    pub problems: Vec<String>,
    /// What a person should know; nothing depends on it.
    pub remarks: Vec<String>,
}

/// The decision about one source mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub source: Name,
    /// What is done with it. A mailbox that an earlier run moved keeps that decision for ever.
    pub decision: Decision,
    /// The rule that leaves it out of this run: with [`Decision::Exclude`] the same rule, with
    /// [`Decision::Move`] a later one; what was copied before stays copied.
    pub left_out: Option<String>,
    /// What led to the target name.
    pub how: How,
    /// The role to create the target mailbox with, if it has to be created.
    pub create_role: Option<Role>,
    /// The name to create it with if the server refuses the first one.
    pub spare: Option<Name>,
}

/// What led to a target name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The journal: an earlier run decided.
    Earlier,
    /// `--map`.
    Rule,
    /// `--into`.
    Into,
    /// INBOX is INBOX everywhere.
    Inbox,
    /// Both sides announce this role.
    Role(Role),
    /// The role is known by a mailbox's name, at one side or at both.
    RoleByName(Role),
    /// The same path, in the target's namespace.
    SamePath,
    /// The same path, changed because the target does not take it or another mailbox has it.
    Renamed,
    /// It does not move.
    Nowhere,
}

/// A mailbox that changed rules would send elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Source name, decoded.
    pub source: String,
    /// Where the journal sent it.
    pub was: String,
    /// Where the rules send it now.
    pub now: String,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (source, was, now) =
            (names::printable(&self.source), names::printable(&self.was), names::printable(&self.now));
        write!(f, "“{source}” went to “{was}”, now it would go to “{now}”")
    }
}

/// Decides about every source mailbox. `earlier` is what the journal holds.
pub fn map(
    survey: &Survey,
    rules: &MappingRules,
    selection: &Selection,
    earlier: &[MailboxRecord],
) -> Mapping {
    let chosen = select::select(survey, rules, selection, earlier);
    let mut mapper = Mapper::new(survey, rules, earlier, &chosen);
    mapper.decide_by_names_and_roles();
    mapper.decide_by_path();
    mapper.provide_spares();
    mapper.finish(chosen.problems)
}

/// Mailboxes that earlier runs moved by rules which are now gone, or below another parent, and which would go elsewhere now.
pub fn dropped_rules(
    survey: &Survey,
    pinned: &MappingRules,
    rules: &MappingRules,
    earlier: &[MailboxRecord],
) -> Vec<Conflict> {
    let fresh = map(survey, rules, &Selection::default(), &[]);
    let mapped = |rules: &MappingRules, entry: &Entry| {
        rules.map.iter().any(|(source, _)| *source == entry.source.text)
    };
    let gone = fresh
        .entries
        .iter()
        .filter(|entry| !mapped(rules, entry) && (mapped(pinned, entry) || pinned.into != rules.into));
    gone.filter_map(|entry| {
        let record = earlier.iter().find(|record| key(&record.source) == key(&entry.source))?;
        let Decision::Move(was) = &record.decision else { return None };
        let now = match &entry.decision {
            Decision::Move(now) if key(now) == key(was) => return None,
            Decision::Move(now) => now.text.clone(),
            Decision::Exclude(_) | Decision::Refuse(_) => "nowhere".to_owned(),
        };
        Some(Conflict { source: entry.source.text.clone(), was: was.text.clone(), now })
    })
    .collect()
}

/// The key under which two names are one mailbox.
pub(crate) fn key(name: &Name) -> Bytes {
    names::key(&name.wire, name.delimiter)
}

/// The decoded path of a listed mailbox below its personal namespace. Gmail's own mailboxes, which lie below a container
/// that no other server has, are at the top, those with a role under the name of it.
fn components(side: &SideSurvey, info: &MailboxInfo) -> Vec<String> {
    let abilities = &side.abilities;
    if let Some(role) = labels::role(side, info).filter(|r| abilities.gmail && CARRIED_ROLES.contains(r)) {
        return vec![role.capitalised()];
    }
    let space = abilities
        .personal
        .iter()
        .filter(|prefix| starts_with(&info.wire, &prefix.wire, prefix.delimiter))
        .max_by_key(|prefix| prefix.wire.len());
    let (rest, delimiter) = match space {
        Some(prefix) => (&info.wire[prefix.wire.len()..], prefix.delimiter.or(info.delimiter)),
        None => (&info.wire[..], info.delimiter),
    };
    let mut path: Vec<String> = names::split(rest, delimiter)
        .into_iter()
        .map(|component| names::decode(component, abilities.utf8_names))
        .collect();
    let is_container = |first: &String| labels::CONTAINERS.iter().any(|c| c.eq_ignore_ascii_case(first));
    if abilities.gmail && path.len() > 1 && path.first().is_some_and(is_container) {
        path.remove(0);
    }
    path
}

/// True when `wire` lies below `prefix`. INBOX has no case, as a prefix neither.
fn starts_with(wire: &[u8], prefix: &[u8], delimiter: Option<char>) -> bool {
    wire.len() > prefix.len()
        && (wire.starts_with(prefix)
            || names::key(wire, delimiter).starts_with(&names::key(prefix, delimiter)))
}
