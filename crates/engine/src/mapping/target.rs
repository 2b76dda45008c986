//! Names at the target: made from components, fitted to what the server takes, and recognised when they are there already.

use super::roles::{Cast, Sign};
use super::{components, key};
use crate::end::{MailboxInfo, Role, Space};
use crate::journal::Name;
use crate::name_rules::{NameRules, replacement};
use crate::names;
use crate::survey::SideSurvey;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

/// Hexadecimal digits of the hash in a changed name: the next number where a name is taken.
pub(super) const TAIL_DIGITS: [usize; 4] = [4, 8, 16, 64];

/// Octets of one character in modified UTF-7 at most: a pair of surrogates in a run of its own (`&2D3eAA-`).
const ENCODED_CHARACTER_OCTETS_MAX: usize = 8;

/// The name space that mail goes to.
pub(super) struct TargetNames<'a> {
    /// Prefix of the personal namespace, in wire form.
    prefix: Bytes,
    delimiter: Option<char>,
    utf8: bool,
    rules: &'a NameRules,
    side: &'a SideSurvey,
    listed: HashMap<Bytes, &'a MailboxInfo>,
    /// Listed mailboxes by [`NameRules::key`].
    alike: HashMap<String, &'a MailboxInfo>,
    cast: Cast,
}

/// Where a component goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Components below the prefix.
    pub(super) path: Vec<String>,
    /// Why the name is not the original one, in words.
    pub(super) why: Option<String>,
}

impl<'a> TargetNames<'a> {
    pub(super) fn new(side: &'a SideSurvey) -> Self {
        let home = side.home();
        let (prefix, delimiter) = (home.wire, home.delimiter);
        // A mailbox without a name is no place that a name can mean.
        let infos =
            || side.mailboxes.iter().map(|mailbox| &mailbox.info).filter(|info| !info.wire.is_empty());
        let mut alike = HashMap::new();
        for info in infos() {
            alike.entry(side.name_rules.key(&info.text, info.delimiter)).or_insert(info);
        }
        Self {
            prefix,
            delimiter,
            utf8: side.abilities.utf8_names,
            rules: &side.name_rules,
            side,
            listed: infos().map(|info| (names::key(&info.wire, info.delimiter), info)).collect(),
            alike,
            cast: Cast::of(side, |_| true),
        }
    }

    pub(super) fn inbox(&self) -> Name {
        let wire = Bytes::from_static(names::INBOX.as_bytes());
        Name { wire, text: names::INBOX.to_owned(), delimiter: self.delimiter }
    }

    /// The mailbox that plays `role`, and what it is known by.
    pub(super) fn with_role(&self, role: Role) -> Option<(Name, Sign)> {
        let (index, sign) = self.cast.player(role)?;
        Some((name_of(&self.side.mailboxes[index].info), sign))
    }

    /// A full name as a person writes it, with the target's delimiter. The prefix of the personal namespace may
    /// be left out.
    pub(super) fn named(&self, text: &str) -> Result<Name, String> {
        self.checked(&self.written(text))
    }

    /// The components of a name as a person writes it.
    pub(super) fn written(&self, text: &str) -> Vec<String> {
        let prefix = names::decode(&self.prefix, self.utf8);
        let below = text.strip_prefix(&prefix).unwrap_or(text);
        match self.delimiter {
            Some(delimiter) => below.split(delimiter).map(str::to_owned).collect(),
            None => vec![below.to_owned()],
        }
    }

    /// The components of a name at the target, below its namespace.
    pub(super) fn components(&self, name: &Name) -> Vec<String> {
        let listed = self.listed.get(&key(name)).map(|info| components(self.side, info));
        listed.unwrap_or_else(|| self.written(&name.text))
    }

    /// The mailbox at this path, as a person asks for it: what the server would surely refuse is said. A mailbox that the
    /// target lists needs no check: it is there.
    fn checked(&self, components: &[String]) -> Result<Name, String> {
        for component in components {
            let octets = names::encode(component, self.utf8).len();
            if let Some(objection) = names::objection(component, octets, self.delimiter) {
                return Err(objection);
            }
        }
        let name = self.join(components);
        match self.found(&name) {
            Some(info) => Ok(name_of(info)),
            None => self.childless_above(&name).map_or(Ok(name), Err),
        }
    }

    /// Where `component` goes below `parent`, as the rules of this server want it. `id` tells it from others where it is cut.
    pub(super) fn place(&self, parent: &[String], component: &str, id: &[u8]) -> Place {
        let tamed = self.rules.tame(component, self.delimiter);
        let (mut path, mut last, mut why) = (parent.to_vec(), tamed.component, tamed.why);
        while let Some(reason) = self.takes_no_child(&path) {
            why.get_or_insert(reason);
            let Some(above) = path.pop() else { break };
            // What cannot lie below INBOX lies beside it.
            if !path.is_empty() || !names::is_inbox(above.as_bytes()) {
                let both = format!("{above}{}{last}", replacement(self.delimiter));
                last = self.rules.tame(&both, self.delimiter).component;
            }
        }
        path.push(last);
        if !self.fits(&path) {
            why.get_or_insert("its name is too long".to_owned());
            path = self.with_tail(&path, &tail(id, TAIL_DIGITS[0]));
        }
        Place { path, why }
    }

    /// `path` with `tail` behind its last component, shortened so that it fits, or lifted where even that does not help.
    pub(super) fn with_tail(&self, path: &[String], tail: &str) -> Vec<String> {
        let mut path = path.to_vec();
        let mut last = path.pop().unwrap_or_default();
        loop {
            let kept = match last.trim_end() {
                "" => replacement(self.delimiter).to_string(),
                kept => kept.to_owned(),
            };
            path.push(format!("{kept}{tail}"));
            let excess = self.excess(&path);
            if excess == 0 {
                return path;
            }
            path.pop();
            let characters = last.chars().count();
            if characters > 1 {
                // No character takes more octets than these on the wire.
                let kept = characters - (excess / ENCODED_CHARACTER_OCTETS_MAX).clamp(1, characters - 1);
                last = last.chars().take(kept).collect();
            } else if let Some(above) = path.pop() {
                last = self.rules.tame(&above, self.delimiter).component;
            } else {
                return vec![format!("{kept}{tail}")];
            }
        }
    }

    fn fits(&self, path: &[String]) -> bool {
        self.excess(path) == 0
    }

    /// Octets by which a path is too long, as a whole or in a component.
    fn excess(&self, path: &[String]) -> usize {
        let over = |component: &String| {
            names::encode(component, self.utf8).len().saturating_sub(self.rules.component_octets_max)
        };
        let whole = self.join(path).wire.len().saturating_sub(self.rules.path_octets_max);
        path.iter().map(over).max().unwrap_or(0).max(whole)
    }

    /// A name that servers of every kind take, for when this one refuses what its rules allow.
    pub(super) fn plainest(&self, path: &[String]) -> Vec<String> {
        let plain = |component: &String| -> String {
            let fit = |c: char| c.is_alphanumeric() && u32::from(c) <= 0xffff || matches!(c, ' ' | '-' | '_');
            let replacement = replacement(self.delimiter);
            component
                .chars()
                .map(|c| if fit(c) && Some(c) != self.delimiter { c } else { replacement })
                .collect()
        };
        let plains: Vec<String> = path.iter().map(plain).collect();
        let above = path.len().saturating_sub(1);
        if plains[..above] == path[..above] && plains != path {
            return plains;
        }
        let one = plains.join(&replacement(self.delimiter).to_string());
        vec![self.rules.tame(&one, self.delimiter).component]
    }

    /// The key under which two names are, or might be, one mailbox of this server.
    pub(super) fn key(&self, name: &Name) -> String {
        self.rules.key(&name.text, name.delimiter.or(self.delimiter))
    }

    /// The listed mailbox of this name; where none is written like it, one that the server may take for it.
    pub(super) fn found(&self, name: &Name) -> Option<&'a MailboxInfo> {
        self.listed.get(&key(name)).or_else(|| self.alike.get(&self.key(name))).copied()
    }

    /// A mailbox that holds mail cannot be made with this path and have children.
    pub(super) fn would_be_file(&self, path: &[String]) -> bool {
        let is_file = |info: &MailboxInfo| info.selectable && !info.may_have_children;
        !self.rules.mail_beside_children && !self.found(&self.join(path)).is_some_and(is_file)
    }

    /// True if a listed mailbox lies below this path.
    pub(super) fn lies_above_another(&self, path: &[String]) -> bool {
        let mut child = path.to_vec();
        child.push(String::new());
        let below = key(&self.join(&child));
        self.delimiter.is_some() && self.listed.keys().any(|listed| listed.starts_with(&below))
    }

    pub(super) fn join(&self, components: &[String]) -> Name {
        let inbox = components.first().is_some_and(|first| names::is_inbox(first.as_bytes()));
        let mut wire = if inbox { Vec::new() } else { self.prefix.to_vec() };
        let mut text = names::decode(&wire, self.utf8);
        for (i, component) in components.iter().enumerate() {
            let component = if i == 0 && inbox { names::INBOX } else { component };
            if let Some(delimiter) = self.delimiter.filter(|_| i > 0) {
                wire.extend_from_slice(delimiter.encode_utf8(&mut [0; 4]).as_bytes());
                text.push(delimiter);
            }
            wire.extend_from_slice(&names::encode(component, self.utf8));
            text.push_str(component);
        }
        Name { wire: wire.into(), text, delimiter: self.delimiter }
    }

    /// True unless `name` is, or lies below, a mailbox that is not the account's own: nobody's mail goes to other
    /// people because of an equal name.
    pub(super) fn is_own(&self, name: &Name) -> bool {
        self.found(name).into_iter().chain(self.above(name)).all(|info| info.space == Space::Personal)
    }

    /// Listed mailboxes above `name`, outermost first.
    fn above(&self, name: &Name) -> Vec<&'a MailboxInfo> {
        let parts = names::split(&name.wire, self.delimiter);
        let delimiter = self.delimiter.map(String::from).unwrap_or_default();
        (1..parts.len())
            .map(|levels| parts[..levels].join(delimiter.as_bytes()))
            .filter_map(|above| self.listed.get(&names::key(&above, self.delimiter)).copied())
            .collect()
    }

    /// Why nothing can be made below this path; `None` if something can, and for the top.
    fn takes_no_child(&self, path: &[String]) -> Option<String> {
        if path.is_empty() {
            return None;
        }
        if self.delimiter.is_none() {
            return Some("the new server has no levels of mailboxes".to_owned());
        }
        if path.len() >= self.rules.levels_max {
            return Some(format!("it lies more than {} levels deep", self.rules.levels_max));
        }
        let mut child = path.to_vec();
        child.push(String::new());
        self.childless_above(&self.join(&child))
    }

    /// A listed mailbox above `name` that takes no children (`\Noinferiors`). What lies above the prefix is the
    /// namespace itself and has children, whatever it announces.
    fn childless_above(&self, name: &Name) -> Option<String> {
        let prefix = names::key(&self.prefix, self.delimiter);
        let in_prefix = |info: &MailboxInfo| {
            let above = names::key(&info.wire, info.delimiter);
            prefix.len() > above.len() && prefix.starts_with(&above)
        };
        let info = self.above(name).into_iter().find(|info| !info.may_have_children && !in_prefix(info))?;
        Some(format!("on the new server “{}” takes no mailboxes below it", names::printable(&info.text)))
    }
}

/// `~` and digits that belong to `id` alone.
pub(super) fn tail(id: &[u8], digits: usize) -> String {
    let hash: String = Sha256::digest(id).iter().map(|octet| format!("{octet:02x}")).collect();
    format!("~{}", &hash[..digits.min(hash.len())])
}

pub(super) fn name_of(info: &MailboxInfo) -> Name {
    let wire = if names::is_inbox(&info.wire) {
        Bytes::from_static(names::INBOX.as_bytes())
    } else {
        info.wire.clone()
    };
    Name { wire, text: info.text.clone(), delimiter: info.delimiter }
}
