//! Pure: which source mailbox goes to which target mailbox. Every source mailbox gets exactly one answer: a target,
//! a rule that leaves it out, or a refusal with its reason. None is dropped, no two share a target.
//!
//! In order: the person's rules; INBOX; roles that both sides announce; the same path under the target's prefix and
//! delimiter.

use crate::config::{MappingRules, Selection};
use crate::end::{MailboxInfo, Prefix, Space};
use crate::journal::{Decision, Name};
use crate::survey::Survey;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Longest component of a target name, in octets as encoded (measured: Dovecot takes 255).
const COMPONENT_OCTETS_MAX: usize = 255;

/// One source mailbox and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The source mailbox.
    pub source: MailboxInfo,
    /// The answer.
    pub decision: Decision,
}

/// Maps every source mailbox, in the order of the survey.
pub fn map(survey: &Survey, rules: &MappingRules, selection: &Selection) -> Vec<Mapped> {
    let roles = role_targets(survey);
    let mut mapped: Vec<Mapped> = survey
        .source_mailboxes
        .iter()
        .map(|source| Mapped { source: source.clone(), decision: decide(survey, rules, selection, &roles, source) })
        .collect();
    refuse_collisions(&mut mapped);
    mapped
}

/// Names given by the person that match no source mailbox.
pub fn unmatched(survey: &Survey, rules: &MappingRules, selection: &Selection) -> Vec<String> {
    let known = |name: &str| survey.source_mailboxes.iter().any(|m| same_name(&m.text, name));
    let named = rules.map.iter().map(|(from, _)| from).chain(&selection.only);
    named.filter(|name| !known(name)).cloned().collect()
}

type RoleTargets = BTreeMap<Bytes, Bytes>;

/// Source mailboxes with a role that the target announces too, each with the target's mailbox. A role that a side
/// announces twice is nobody's.
fn role_targets(survey: &Survey) -> RoleTargets {
    let holders = |mailboxes: &[MailboxInfo]| {
        let mut by_role: BTreeMap<_, Vec<Bytes>> = BTreeMap::new();
        for m in mailboxes.iter().filter(|m| m.selectable && m.space == Space::Personal) {
            if let Some(role) = m.role {
                by_role.entry(role).or_default().push(m.wire.clone());
            }
        }
        by_role.retain(|_, names| names.len() == 1);
        by_role
    };
    let (source, target) = (holders(&survey.source_mailboxes), holders(&survey.target_mailboxes));
    source.into_iter().filter_map(|(role, from)| Some((from[0].clone(), target.get(&role)?[0].clone()))).collect()
}

fn decide(
    survey: &Survey,
    rules: &MappingRules,
    selection: &Selection,
    roles: &RoleTargets,
    source: &MailboxInfo,
) -> Decision {
    if let Some(rule) = left_out(selection, source) {
        return Decision::Exclude(rule);
    }
    let prefix = target_prefix(survey);
    if let Some((_, to)) = rules.map.iter().find(|(from, _)| same_name(from, &source.text)) {
        return named_by_person(survey, to, &prefix);
    }
    let inbox_alone = is_inbox(&source.text) && rules.into.is_none();
    if inbox_alone {
        return Decision::Move(Name { wire: "INBOX".into(), text: "INBOX".into(), delimiter: prefix.delimiter });
    }
    if let Some(target) = roles.get(&source.wire).filter(|_| rules.into.is_none()) {
        let text = decoded(target);
        return Decision::Move(Name { wire: target.clone(), text, delimiter: prefix.delimiter });
    }
    match components(survey, source).and_then(|path| join(survey, rules, path, &prefix)) {
        Ok(name) => Decision::Move(name),
        Err(reason) => Decision::Refuse(reason),
    }
}

/// The rule that leaves a mailbox out, if one does.
fn left_out(selection: &Selection, source: &MailboxInfo) -> Option<String> {
    match source.space {
        Space::OtherUsers => return Some("other-users".into()),
        Space::Shared => return Some("shared".into()),
        Space::Personal => {}
    }
    if !source.selectable {
        return Some("not-selectable".into());
    }
    if !selection.only.is_empty() && !selection.only.iter().any(|name| same_name(name, &source.text)) {
        return Some("mailbox".into());
    }
    let glob = selection.exclude.iter().find(|glob| matches(glob, &source.text))?;
    Some(format!("exclude:{glob}"))
}

/// INBOX in any case is the same mailbox everywhere (RFC 9051, 5.1); other names are compared as they are.
fn same_name(a: &str, b: &str) -> bool {
    a == b || (is_inbox(a) && is_inbox(b))
}

fn is_inbox(name: &str) -> bool {
    name.eq_ignore_ascii_case("INBOX")
}

/// `*` is any run of characters, `?` any one.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut g, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if g < glob.len() && glob[g] == '*' {
            star = Some((g, n));
            g += 1;
        } else if g < glob.len() && (glob[g] == '?' || glob[g] == name[n]) {
            (g, n) = (g + 1, n + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (g, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

fn target_prefix(survey: &Survey) -> Prefix {
    let from_list = || survey.target_mailboxes.first().and_then(|m| m.delimiter);
    match survey.target.personal.first() {
        Some(prefix) => Prefix { wire: prefix.wire.clone(), delimiter: prefix.delimiter.or_else(from_list) },
        None => Prefix { wire: Bytes::new(), delimiter: from_list() },
    }
}

/// The path of a source mailbox below its namespace, decoded.
fn components(survey: &Survey, source: &MailboxInfo) -> Result<Vec<String>, String> {
    let below = |p: &&Prefix| !p.wire.is_empty() && source.wire.starts_with(&p.wire) && source.wire.len() > p.wire.len();
    let prefix = survey.source.personal.iter().filter(below).max_by_key(|p| p.wire.len());
    let rest = prefix.map_or(&source.wire[..], |p| &source.wire[p.wire.len()..]);
    let delimiter = prefix.and_then(|p| p.delimiter).or(source.delimiter);
    let parts: Vec<&[u8]> = match delimiter.and_then(|d| u8::try_from(d).ok()) {
        Some(delimiter) => rest.split(|b| *b == delimiter).collect(),
        None => vec![rest],
    };
    let mut path = Vec::with_capacity(parts.len());
    for part in parts {
        let text = decoded(part);
        if mailhaul_imap::utf7::encode(&text).as_bytes() != part {
            return Err(format!(
                "its name is not valid modified UTF-7 ({}); give it a name with --map",
                String::from_utf8_lossy(part)
            ));
        }
        path.push(text);
    }
    // INBOX in any case, also as the first component.
    if let Some(first) = path.first_mut().filter(|f| is_inbox(f)) {
        *first = "INBOX".into();
    }
    Ok(path)
}

/// A wire name decoded for people: modified UTF-7, else UTF-8, else Latin-1.
pub fn decoded(wire: &[u8]) -> String {
    mailhaul_imap::utf7::decode(wire).unwrap_or_else(|| match std::str::from_utf8(wire) {
        Ok(text) => text.to_owned(),
        Err(_) => wire.iter().map(|b| char::from(*b)).collect(),
    })
}

/// A name that a person wrote for the target: taken as a path of the target, as it is.
fn named_by_person(survey: &Survey, to: &str, prefix: &Prefix) -> Decision {
    if is_inbox(to) {
        return Decision::Move(Name { wire: "INBOX".into(), text: "INBOX".into(), delimiter: prefix.delimiter });
    }
    let path: Vec<String> = match prefix.delimiter {
        Some(delimiter) => to.split(delimiter).map(str::to_owned).collect(),
        None => vec![to.to_owned()],
    };
    let plain = decoded(&prefix.wire);
    let path = if plain.is_empty() || !to.starts_with(&plain) { path } else {
        to[plain.len()..].split(prefix.delimiter.unwrap_or('\0')).map(str::to_owned).collect()
    };
    match join(survey, &MappingRules::default(), path, prefix) {
        Ok(name) => Decision::Move(name),
        Err(reason) => Decision::Refuse(reason),
    }
}

/// Puts a path together as the target writes it.
fn join(survey: &Survey, rules: &MappingRules, path: Vec<String>, prefix: &Prefix) -> Result<Name, String> {
    let into = rules.into.iter().flat_map(|into| match prefix.delimiter {
        Some(delimiter) => into.split(delimiter).map(str::to_owned).collect::<Vec<_>>(),
        None => vec![into.clone()],
    });
    let path: Vec<String> = into.chain(path).collect();
    let Some(delimiter) = prefix.delimiter.or((path.len() == 1).then_some('/')) else {
        return Err("the new server has no hierarchy of mailboxes; give it a name with --map".into());
    };
    let encoded = path.iter().map(|part| component(part, delimiter)).collect::<Result<Vec<_>, _>>()?;
    let below_inbox = path.first().is_some_and(|first| is_inbox(first));
    let inbox = survey.target_mailboxes.iter().find(|m| is_inbox(&m.text));
    if below_inbox && path.len() > 1 && inbox.is_some_and(|m| !m.may_have_children) {
        return Err("the new server allows no mailboxes below INBOX; give it a name with --map".into());
    }
    let separator = delimiter.to_string();
    let rest = encoded.join(&separator);
    // `INBOX` as the first component is the INBOX itself, outside any prefix that is not its own.
    let wire = if below_inbox { rest } else { String::from_utf8_lossy(&prefix.wire).into_owned() + &rest };
    let text = decoded(wire.as_bytes());
    Ok(Name { wire: wire.into(), text, delimiter: prefix.delimiter })
}

/// One component, encoded; refused where servers refuse it (servers.md, table D).
fn component(part: &str, delimiter: char) -> Result<String, String> {
    let refuse = |what: &str| Err(format!("\"{part}\" {what}; give it a name with --map"));
    if part.is_empty() {
        return refuse("is an empty part of a name");
    }
    if part.contains(delimiter) {
        return refuse(&format!("contains {delimiter}, which separates mailboxes on the new server"));
    }
    if let Some(c) = part.chars().find(|c| c.is_control() || "%*".contains(*c)) {
        return refuse(&format!("contains {c:?}, which servers refuse in names"));
    }
    let encoded = mailhaul_imap::utf7::encode(part);
    if encoded.len() > COMPONENT_OCTETS_MAX {
        return refuse("is longer than servers take");
    }
    Ok(encoded)
}

/// Two source mailboxes are never merged silently: the one that owns the name by its role, else the first, keeps it.
fn refuse_collisions(mapped: &mut [Mapped]) {
    let mut owners: BTreeMap<Bytes, usize> = BTreeMap::new();
    let order = {
        let mut order: Vec<usize> = (0..mapped.len()).collect();
        order.sort_by_key(|i| (mapped[*i].source.role.is_none() && !is_inbox(&mapped[*i].source.text), *i));
        order
    };
    for i in order {
        let Decision::Move(name) = &mapped[i].decision else { continue };
        match owners.get(&name.wire) {
            None => {
                owners.insert(name.wire.clone(), i);
            }
            Some(owner) => {
                let reason = format!(
                    "\"{}\" goes to \"{}\" already; give one of them another name with --map",
                    mapped[*owner].source.text, name.text
                );
                mapped[i].decision = Decision::Refuse(reason);
            }
        }
    }
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
