//! Pure: which source mailbox goes where. Every source mailbox is decided exactly once: it moves, a named rule
//! leaves it out, or it is refused with a reason. No two move to the same target mailbox.
//!
//! Who may choose a target name first: what the journal already holds · the person's `--map` · INBOX ·
//! special-use roles announced by both sides · the same path.

mod select;
mod target;
#[cfg(test)]
mod tests;

use crate::config::{MappingRules, Selection};
use crate::end::{MailboxInfo, Role};
use crate::journal::{Decision, MailboxRecord, Name};
use crate::names;
use crate::survey::{Survey, SurveyedMailbox};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};

use target::TargetNames;

pub use select::{MAILBOX, NOT_SELECTABLE, OTHER_USERS, SHARED};

/// The roles that are matched between the sides. `\All`, `\Flagged` and `\Important` are views of mail that
/// lies elsewhere (RFC 6154, 2): nothing is appended to them by role.
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
    /// The same path, in the target's namespace.
    SamePath,
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
    let mut mapper = Mapper::new(survey, rules, earlier);
    let chosen = select::select(survey, rules, selection);
    mapper.leave_out(&chosen.left_out);
    mapper.keep_earlier();
    for phase in [Mapper::nameless, Mapper::by_rule, Mapper::inbox, Mapper::by_role, Mapper::by_path] {
        mapper.decide(phase);
    }
    let problems = [chosen.problems, mapper.impossible_rules()].concat();
    mapper.finish(problems, chosen.remarks)
}

/// Mailboxes that earlier runs moved by a rule which is now gone, and which would go elsewhere without it.
pub fn dropped_rules(
    survey: &Survey,
    pinned: &MappingRules,
    rules: &MappingRules,
    earlier: &[MailboxRecord],
) -> Vec<Conflict> {
    let fresh = map(survey, rules, &Selection::default(), &[]);
    let ruled = |rules: &MappingRules, info: &Entry| {
        rules.into.is_some() || rules.map.iter().any(|(source, _)| *source == info.source.text)
    };
    let gone = fresh.entries.iter().filter(|entry| ruled(pinned, entry) && !ruled(rules, entry));
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

/// What one phase says of a mailbox: nothing, a target name, or why there is none.
type Finding = Option<Result<(Name, How), String>>;

struct Mapper<'a> {
    survey: &'a Survey,
    rules: &'a MappingRules,
    target: TargetNames<'a>,
    /// Moves of earlier runs by source name.
    earlier: HashMap<Bytes, (&'a MailboxRecord, &'a Name)>,
    /// Target names given away, with the source name that has them.
    taken: HashMap<Bytes, String>,
    /// Roles given away.
    roles: HashSet<Role>,
    entries: Vec<Option<Entry>>,
    conflicts: Vec<Conflict>,
}

impl<'a> Mapper<'a> {
    fn new(survey: &'a Survey, rules: &'a MappingRules, earlier: &'a [MailboxRecord]) -> Self {
        let moved = |record: &'a MailboxRecord| match &record.decision {
            Decision::Move(name) => Some((key(&record.source), (record, name))),
            Decision::Exclude(_) | Decision::Refuse(_) => None,
        };
        let earlier: HashMap<_, _> = earlier.iter().filter_map(moved).collect();
        Self {
            survey,
            rules,
            target: TargetNames::new(&survey.target),
            taken: earlier.values().map(|(record, name)| (key(name), record.source.text.clone())).collect(),
            earlier,
            roles: HashSet::new(),
            entries: vec![None; survey.source.mailboxes.len()],
            conflicts: Vec::new(),
        }
    }

    /// Rules whose target name cannot exist.
    fn impossible_rules(&self) -> Vec<String> {
        let maps =
            self.rules.map.iter().map(|(source, target)| (format!("--map \"{source}={target}\""), target));
        let into = self.rules.into.iter().map(|parent| (format!("--into \"{parent}\""), parent));
        maps.chain(into)
            .filter_map(|(option, name)| {
                Some(format!("{}: {}", names::printable(&option), self.target.named(name).err()?))
            })
            .collect()
    }

    /// What is left out does not compete for names, unless it was copied before.
    fn leave_out(&mut self, left_out: &[Option<String>]) {
        for (i, rule) in left_out.iter().enumerate() {
            let Some(rule) = rule else { continue };
            let source = source_name(&self.survey.source.mailboxes[i].info);
            let (decision, how) = match self.earlier.get(&key(&source)) {
                Some((_, name)) => (Decision::Move((*name).clone()), How::Earlier),
                None => (Decision::Exclude(rule.clone()), How::Nowhere),
            };
            self.entries[i] =
                Some(Entry { source, decision, left_out: Some(rule.clone()), how, create_role: None });
        }
    }

    /// What the journal holds stays; a rule of the person that says otherwise is a conflict.
    fn keep_earlier(&mut self) {
        for (i, SurveyedMailbox { info, .. }) in self.survey.source.mailboxes.iter().enumerate() {
            let source = source_name(info);
            let Some((_, was)) = self.earlier.get(&key(&source)).copied() else { continue };
            let ruled = self.by_rule(info).or_else(|| self.rules.into.as_ref().and(self.by_path(info)));
            match ruled {
                Some(Ok((now, _))) if key(&now) != key(was) => self.conflicts.push(Conflict {
                    source: info.text.clone(),
                    was: was.text.clone(),
                    now: now.text,
                }),
                // A rule that cannot be followed is among the problems already.
                _ => {}
            }
            if self.entries[i].is_none() {
                let decision = Decision::Move(was.clone());
                self.entries[i] =
                    Some(Entry { source, decision, left_out: None, how: How::Earlier, create_role: None });
            }
        }
    }

    fn decide(&mut self, phase: fn(&Self, &MailboxInfo) -> Finding) {
        for (i, SurveyedMailbox { info, .. }) in self.survey.source.mailboxes.iter().enumerate() {
            if self.entries[i].is_some() {
                continue;
            }
            let (decision, how) = match phase(self, info) {
                None => continue,
                Some(Ok((name, how))) => match self.taken.get(&key(&name)) {
                    // The role belongs to another mailbox: this one keeps its own name.
                    Some(_) if matches!(how, How::Role(_)) => continue,
                    Some(by) => (Decision::Refuse(collision(info, &name, by)), How::Nowhere),
                    None => (Decision::Move(name), how),
                },
                Some(Err(why)) => (Decision::Refuse(why), How::Nowhere),
            };
            let create_role = match &decision {
                Decision::Move(name) => {
                    self.taken.insert(key(name), info.text.clone());
                    self.role_for(info, how)
                }
                Decision::Exclude(_) | Decision::Refuse(_) => None,
            };
            self.entries[i] =
                Some(Entry { source: source_name(info), decision, left_out: None, how, create_role });
        }
    }

    fn nameless(&self, info: &MailboxInfo) -> Finding {
        info.wire.is_empty().then(|| Err("the old server lists it without a name".to_owned()))
    }

    fn by_rule(&self, info: &MailboxInfo) -> Finding {
        let (_, wanted) = self.rules.map.iter().find(|(source, _)| select::same_name(source, info))?;
        Some(self.target.named(wanted).map(|name| (name, How::Rule)))
    }

    fn inbox(&self, info: &MailboxInfo) -> Finding {
        let is_inbox = names::is_inbox(&info.wire) && self.rules.into.is_none();
        is_inbox.then(|| Ok((self.target.inbox(), How::Inbox)))
    }

    fn by_role(&self, info: &MailboxInfo) -> Finding {
        if self.rules.into.is_some() {
            return None;
        }
        let role = info.role.filter(|role| CARRIED_ROLES.contains(role))?;
        let name = self.target.with_role(role)?;
        Some(Ok((name, How::Role(role))))
    }

    fn by_path(&self, info: &MailboxInfo) -> Finding {
        let components = self.components(info);
        let (joined, how) = match &self.rules.into {
            Some(parent) => (self.target.below(parent, &components), How::Into),
            None => (self.target.path(&components), How::SamePath),
        };
        let joined = joined.and_then(|name| self.target.own(name)).map(|name| (name, how));
        Some(joined.map_err(|why| {
            format!("{why}; choose another name with --map \"{}=…\"", names::printable(&info.text))
        }))
    }

    /// The decoded path of a source mailbox below its personal namespace.
    fn components(&self, info: &MailboxInfo) -> Vec<String> {
        let abilities = &self.survey.source.abilities;
        let space = abilities
            .personal
            .iter()
            .filter(|prefix| starts_with(&info.wire, &prefix.wire, prefix.delimiter))
            .max_by_key(|prefix| prefix.wire.len());
        let (rest, delimiter) = match space {
            Some(prefix) => (&info.wire[prefix.wire.len()..], prefix.delimiter.or(info.delimiter)),
            None => (&info.wire[..], info.delimiter),
        };
        names::split(rest, delimiter)
            .into_iter()
            .map(|component| names::decode(component, abilities.utf8_names))
            .collect()
    }

    /// The role to create a mailbox with: one that the source announces, the target lacks, and nobody has yet.
    fn role_for(&mut self, info: &MailboxInfo, how: How) -> Option<Role> {
        let role = info.role.filter(|role| CARRIED_ROLES.contains(role))?;
        let wanted = matches!(how, How::SamePath | How::Rule)
            && self.survey.target.abilities.creates_roles
            && self.target.with_role(role).is_none();
        (self.roles.insert(role) && wanted).then_some(role)
    }

    fn finish(self, problems: Vec<String>, remarks: Vec<String>) -> Mapping {
        let entries: Vec<Entry> = self
            .entries
            .into_iter()
            .map(|entry| entry.expect("invariant: by_path decides about whatever is left"))
            .collect();
        let listed: HashSet<Bytes> = entries.iter().map(|entry| key(&entry.source)).collect();
        let mut vanished: Vec<MailboxRecord> = self
            .earlier
            .into_iter()
            .filter(|(source, _)| !listed.contains(source))
            .map(|(_, (record, _))| record.clone())
            .collect();
        vanished.sort_by_key(|record| record.id);
        Mapping { entries, vanished, conflicts: self.conflicts, problems, remarks }
    }
}

/// The key under which two names are one mailbox.
pub(crate) fn key(name: &Name) -> Bytes {
    names::key(&name.wire, name.delimiter)
}

fn source_name(info: &MailboxInfo) -> Name {
    Name { wire: info.wire.clone(), text: info.text.clone(), delimiter: info.delimiter }
}

/// True when `wire` lies below `prefix`. INBOX has no case, as a prefix neither.
fn starts_with(wire: &[u8], prefix: &[u8], delimiter: Option<char>) -> bool {
    wire.len() > prefix.len()
        && (wire.starts_with(prefix)
            || names::key(wire, delimiter).starts_with(&names::key(prefix, delimiter)))
}

fn collision(info: &MailboxInfo, name: &Name, by: &str) -> String {
    format!(
        "it would go to “{}”, where “{}” goes already; choose another name with --map \"{}=…\"",
        names::printable(&name.text),
        names::printable(by),
        names::printable(&info.text),
    )
}
