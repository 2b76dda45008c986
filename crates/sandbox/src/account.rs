//! Accounts, mailboxes, messages.

use crate::gmail;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A message, for checkers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSnapshot {
    /// Its UID.
    pub uid: u32,
    /// Its octets.
    pub octets: Bytes,
    /// Its flags, as set.
    pub flags: Vec<String>,
    /// Its INTERNALDATE, as set.
    pub internal_date: String,
    /// Its MODSEQ (RFC 7162).
    pub mod_seq: u64,
    /// X-GM-MSGID; 0 where the account is not Gmail's.
    pub gm_msgid: u64,
    /// X-GM-LABELS: what it is labelled with beside the mailbox that shows it.
    pub gm_labels: Vec<String>,
}

/// A mailbox, for checkers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxSnapshot {
    /// Its name on the wire.
    pub name: String,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UIDNEXT.
    pub uid_next: u32,
    /// Subscribed.
    pub subscribed: bool,
    /// Its role, with the backslash.
    pub role: Option<String>,
    /// Its messages, in order.
    pub messages: Vec<MessageSnapshot>,
    /// HIGHESTMODSEQ: grows with everything that happens to it.
    pub highest_mod_seq: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) password: String,
    pub(crate) mailboxes: BTreeMap<String, MailboxSnapshot>,
    next_validity: u32,
    /// Mailboxes show what labels are on messages.
    is_gmail: bool,
}

/// A message that is to be stored.
#[derive(Clone, Debug)]
pub(crate) struct NewMessage {
    pub(crate) octets: Bytes,
    pub(crate) flags: Vec<String>,
    pub(crate) internal_date: String,
}

/// INBOX has no case (RFC 9051, 5.1).
pub(crate) fn canonical(name: &str) -> String {
    if name.eq_ignore_ascii_case("INBOX") { "INBOX".into() } else { name.to_owned() }
}

impl Account {
    /// An account with an empty INBOX; as Gmail keeps it below `container`, if there is one.
    pub(crate) fn new(password: &str, container: Option<&str>) -> Self {
        let (mailboxes, is_gmail) = (BTreeMap::new(), container.is_some());
        let mut account = Self { password: password.into(), mailboxes, next_validity: 1000, is_gmail };
        account.create("INBOX", None);
        if let Some(container) = container {
            gmail::furnish(&mut account, container);
        }
        account
    }

    /// Stores a message; its UID.
    pub(crate) fn store(&mut self, name: &str, message: NewMessage) -> Option<u32> {
        match self.is_gmail {
            true => gmail::store(self, name, message),
            false => self.mailbox_mut(name).map(|m| m.store(message)),
        }
    }

    /// Copies a message that another mailbox shows; its UID. Where mailboxes show labels, one that has it already shows it twice if
    /// it is put there `again`.
    pub(crate) fn copy(&mut self, name: &str, message: MessageSnapshot, again: bool) -> Option<u32> {
        let MessageSnapshot { octets, flags, internal_date, gm_msgid, .. } = message;
        let message = NewMessage { octets, flags, internal_date };
        match self.is_gmail {
            true if again => gmail::shelve_again(self, name, gm_msgid, &message),
            true => gmail::shelve(self, name, gm_msgid, &message),
            false => self.mailbox_mut(name).map(|m| m.store(message)),
        }
    }

    /// Removes messages from a mailbox.
    pub(crate) fn remove(&mut self, name: &str, uids: &[u32]) {
        if self.is_gmail {
            gmail::remove(self, name, uids);
        } else if let Some(mailbox) = self.mailbox_mut(name) {
            mailbox.messages.retain(|m| !uids.contains(&m.uid));
            mailbox.touch(|_| false);
        }
    }

    /// The flags of these messages were changed.
    pub(crate) fn flagged(&mut self, name: &str, uids: &[u32]) {
        if let Some(mailbox) = self.mailbox_mut(name) {
            mailbox.touch(|m| uids.contains(&m.uid));
        }
        if self.is_gmail {
            gmail::spread(self, name, uids);
        }
    }

    /// Sets or takes labels; nothing where there are none.
    pub(crate) fn label(&mut self, name: &str, uids: &[u32], labels: &[String], add: bool) {
        if self.is_gmail {
            gmail::label(self, name, uids, labels, add);
        }
    }

    /// A mailbox as a client sees it.
    pub(crate) fn view(&self, name: &str) -> Option<MailboxSnapshot> {
        if self.is_gmail { gmail::view(self, name) } else { self.mailbox(name).cloned() }
    }

    pub(crate) fn create(&mut self, name: &str, role: Option<String>) -> bool {
        let name = canonical(name);
        if self.mailboxes.contains_key(&name) {
            return false;
        }
        self.next_validity += 1;
        let mailbox = MailboxSnapshot {
            name: name.clone(),
            uid_validity: self.next_validity,
            uid_next: 1,
            subscribed: false,
            role,
            messages: Vec::new(),
            highest_mod_seq: 1,
        };
        self.mailboxes.insert(name, mailbox);
        true
    }

    /// Another name for a mailbox, whose UIDVALIDITY and UIDs stay; not for INBOX, and not one that is taken.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (canonical(from), canonical(to));
        if from == "INBOX" || self.mailboxes.contains_key(&to) {
            return;
        }
        if let Some(mut mailbox) = self.mailboxes.remove(&from) {
            mailbox.name.clone_from(&to);
            self.mailboxes.insert(to, mailbox);
        }
    }

    /// Removes a mailbox with its mail; not INBOX.
    pub(crate) fn delete(&mut self, name: &str) {
        let name = canonical(name);
        if name != "INBOX" {
            self.mailboxes.remove(&name);
        }
    }

    pub(crate) fn mailbox(&self, name: &str) -> Option<&MailboxSnapshot> {
        self.mailboxes.get(&canonical(name))
    }

    pub(crate) fn mailbox_mut(&mut self, name: &str) -> Option<&mut MailboxSnapshot> {
        self.mailboxes.get_mut(&canonical(name))
    }

    /// Another UIDVALIDITY for a mailbox, and UIDs from 1 on: the old and new UIDs.
    pub(crate) fn new_epoch(&mut self, name: &str) -> Option<(u32, Vec<(u32, u32)>)> {
        self.next_validity += 1;
        let validity = self.next_validity;
        let mailbox = self.mailbox_mut(name)?;
        mailbox.uid_validity = validity;
        let mut renamed = Vec::new();
        for (new, message) in (1..).zip(&mut mailbox.messages) {
            renamed.push((message.uid, new));
            message.uid = new;
        }
        mailbox.uid_next = mailbox.messages.last().map_or(1, |m| m.uid + 1);
        mailbox.touch(|_| true);
        Some((validity, renamed))
    }

    /// A message under several labels counts once.
    pub(crate) fn octets(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let all = self.mailboxes.values().flat_map(|m| &m.messages);
        all.filter(|m| m.gm_msgid == 0 || seen.insert(m.gm_msgid)).map(|m| m.octets.len() as u64).sum()
    }
}

impl MailboxSnapshot {
    pub(crate) fn uids(&self) -> Vec<u32> {
        self.messages.iter().map(|m| m.uid).collect()
    }

    pub(crate) fn store(&mut self, message: NewMessage) -> u32 {
        let uid = self.uid_next;
        self.uid_next += 1;
        let NewMessage { octets, flags, internal_date } = message;
        self.highest_mod_seq += 1;
        let mod_seq = self.highest_mod_seq;
        let (gm_msgid, gm_labels) = (0, Vec::new());
        self.messages.push(MessageSnapshot {
            uid,
            octets,
            flags,
            internal_date,
            mod_seq,
            gm_msgid,
            gm_labels,
        });
        uid
    }

    /// Something happened to these messages, or to some that are gone.
    pub(crate) fn touch(&mut self, which: impl Fn(&MessageSnapshot) -> bool) {
        self.highest_mod_seq += 1;
        let now = self.highest_mod_seq;
        self.messages.iter_mut().filter(|m| which(m)).for_each(|m| m.mod_seq = now);
    }
}
