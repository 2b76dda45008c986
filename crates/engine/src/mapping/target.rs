//! Names at the target: made from components, checked, and recognised when they are there already.

use super::key;
use crate::end::{MailboxInfo, Role, Space};
use crate::journal::Name;
use crate::names;
use crate::survey::SideSurvey;
use bytes::Bytes;
use std::collections::HashMap;

/// The name space that mail goes to.
pub(super) struct TargetNames<'a> {
    /// Prefix of the personal namespace, in wire form.
    prefix: Bytes,
    delimiter: Option<char>,
    utf8: bool,
    listed: HashMap<Bytes, &'a MailboxInfo>,
    roles: HashMap<Role, &'a MailboxInfo>,
}

impl<'a> TargetNames<'a> {
    pub(super) fn new(side: &'a SideSurvey) -> Self {
        let home = side.home();
        let mut roles = HashMap::new();
        let mut listed = HashMap::new();
        for mailbox in &side.mailboxes {
            let info = &mailbox.info;
            listed.insert(names::key(&info.wire, info.delimiter), info);
            if let Some(role) = info.role
                && info.selectable
                && !info.wire.is_empty()
                && info.space == Space::Personal
            {
                roles.entry(role).or_insert(info);
            }
        }
        let (prefix, delimiter) = (home.wire, home.delimiter);
        Self { prefix, delimiter, utf8: side.abilities.utf8_names, listed, roles }
    }

    pub(super) fn inbox(&self) -> Name {
        let wire = Bytes::from_static(names::INBOX.as_bytes());
        Name { wire, text: names::INBOX.to_owned(), delimiter: self.delimiter }
    }

    /// The mailbox that announces `role`.
    pub(super) fn with_role(&self, role: Role) -> Option<Name> {
        self.roles.get(&role).map(|info| name_of(info))
    }

    /// A full name as a person writes it, with the target's delimiter. The prefix of the personal namespace may
    /// be left out.
    pub(super) fn named(&self, text: &str) -> Result<Name, String> {
        self.path(&self.components(text))
    }

    /// `components` below the mailbox that a person calls `parent`.
    pub(super) fn below(&self, parent: &str, components: &[String]) -> Result<Name, String> {
        let mut path = self.components(parent);
        path.extend_from_slice(components);
        if let Some(inner) = path.get_mut(self.components(parent).len())
            && names::is_inbox(inner.as_bytes())
        {
            names::INBOX.clone_into(inner);
        }
        self.path(&path)
    }

    /// The mailbox at this path below the personal namespace; one whose first component is INBOX lies below
    /// INBOX. A mailbox that the target lists needs no check: it is there.
    pub(super) fn path(&self, components: &[String]) -> Result<Name, String> {
        if components.len() > 1 && self.delimiter.is_none() {
            return Err(
                "the new server has no levels of mailboxes, and this one lies below another".to_owned()
            );
        }
        for component in components {
            let octets = names::encode(component, self.utf8).len();
            if let Some(objection) = names::objection(component, octets, self.delimiter) {
                return Err(objection);
            }
        }
        let name = self.join(components);
        match self.listed.get(&key(&name)) {
            Some(info) => Ok(name_of(info)),
            None => self.childless_ancestor(&name).map_or(Ok(name), Err),
        }
    }

    fn components(&self, text: &str) -> Vec<String> {
        let prefix = names::decode(&self.prefix, self.utf8);
        let below = text.strip_prefix(&prefix).unwrap_or(text);
        match self.delimiter {
            Some(delimiter) => below.split(delimiter).map(str::to_owned).collect(),
            None => vec![below.to_owned()],
        }
    }

    fn join(&self, components: &[String]) -> Name {
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

    /// `name`, unless it is, or lies below, a mailbox that is not the account's own: nobody's mail goes to other
    /// people because of an equal name.
    pub(super) fn own(&self, name: Name) -> Result<Name, String> {
        let itself = self.listed.get(&key(&name)).copied();
        let strange = itself.into_iter().chain(self.above(&name)).find(|info| info.space != Space::Personal);
        match strange {
            Some(info) => Err(format!(
                "on the new server “{}” does not belong to this account alone",
                names::printable(&info.text)
            )),
            None => Ok(name),
        }
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

    /// A listed mailbox above `name` that takes no children (`\Noinferiors`). What lies above the prefix is the
    /// namespace itself and has children, whatever it announces.
    fn childless_ancestor(&self, name: &Name) -> Option<String> {
        let in_prefix =
            |info: &MailboxInfo| self.prefix.len() > info.wire.len() && self.prefix.starts_with(&info.wire);
        let info = self.above(name).into_iter().find(|info| !info.may_have_children && !in_prefix(info))?;
        Some(format!("on the new server “{}” takes no mailboxes below it", names::printable(&info.text)))
    }
}

fn name_of(info: &MailboxInfo) -> Name {
    let wire = if names::is_inbox(&info.wire) {
        Bytes::from_static(names::INBOX.as_bytes())
    } else {
        info.wire.clone()
    };
    Name { wire, text: info.text.clone(), delimiter: info.delimiter }
}
