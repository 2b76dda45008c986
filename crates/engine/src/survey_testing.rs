//! Accounts as plain data, for tests.

use crate::end::{Abilities, MailboxCounts, MailboxInfo, Prefix, Role, Room, Space};
use crate::names;
use crate::survey::{SideSurvey, Survey};
use bytes::Bytes;

/// One side under construction.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) abilities: Abilities,
    pub(crate) room: Option<Room>,
    pub(crate) listed: Vec<MailboxInfo>,
    delimiter: Option<char>,
}

impl Side {
    /// A side with one personal namespace, and INBOX.
    pub(crate) fn new(prefix: &str, delimiter: Option<char>) -> Self {
        let prefix = Prefix { wire: Bytes::from(names::encode(prefix, false)), delimiter };
        let abilities =
            Abilities { product: "Testd".to_owned(), personal: vec![prefix], ..Abilities::default() };
        Self { abilities, room: None, listed: Vec::new(), delimiter }.mailbox("INBOX")
    }

    /// With the mailbox of this decoded name.
    pub(crate) fn mailbox(self, text: &str) -> Self {
        let wire = Bytes::from(names::encode(text, false));
        self.wire(wire)
    }

    /// With the mailbox of this name as the server writes it.
    pub(crate) fn wire(mut self, wire: impl Into<Bytes>) -> Self {
        let wire = wire.into();
        self.listed.push(MailboxInfo {
            text: names::decode(&wire, false),
            wire,
            delimiter: self.delimiter,
            selectable: true,
            may_have_children: true,
            role: None,
            subscribed: false,
            space: Space::Personal,
            counts: None,
        });
        self
    }

    /// The last mailbox, changed.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut MailboxInfo)) -> Self {
        change(self.listed.last_mut().unwrap());
        self
    }

    /// The last mailbox has this role.
    pub(crate) fn role(self, role: Role) -> Self {
        self.with(|info| info.role = Some(role))
    }

    /// The last mailbox holds this much.
    pub(crate) fn holds(self, messages: u64, octets: u64) -> Self {
        let octets = Some(octets);
        self.with(|info| info.counts = Some(MailboxCounts { messages, octets, ..MailboxCounts::default() }))
    }

    pub(crate) fn survey(&self) -> SideSurvey {
        SideSurvey::new(self.abilities.clone(), self.room, self.listed.clone())
    }
}

pub(crate) fn survey(source: &Side, target: &Side) -> Survey {
    Survey { source: source.survey(), target: target.survey() }
}
