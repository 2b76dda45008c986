//! What a server holds, and the plan of its faults.

use crate::account::{Account, MailboxSnapshot, NewMessage};
use crate::fault::{Alteration, Deed, Fault, Occasion, Planned, Trigger};
use crate::ledger::{Entry, What, Who};
use crate::profile::Profile;
use bytes::Bytes;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// What happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands, by verb; `UID FETCH` counts as FETCH.
    pub commands: BTreeMap<String, u64>,
    /// Messages stored by APPEND.
    pub appended: u64,
    /// Messages that COPY put into a mailbox that did not show them.
    pub copied: u64,
    /// Successful logins.
    pub logins: u64,
    /// Refused logins: a secret was judged, or a person.
    pub refused_logins: u64,
    /// Successful logins, by mechanism (`LOGIN-COMMAND` for the command).
    pub mechanisms: BTreeMap<String, u64>,
    /// Commands that named more messages than one may (RFC 9738), by what they asked for.
    pub over_limit: BTreeMap<&'static str, u64>,
    /// Logins refused because the user has too many connections.
    pub refused_connections: u64,
    /// Connections ended for their BADs.
    pub ended_at_bad: u64,
    /// Octets of the messages whose bodies were written to a client.
    pub octets_given: u64,
    /// Bodies given over the connection that had stored the message itself.
    pub given_to_appender: u64,
    /// Bodies given over a connection that had stored other messages, and not this one.
    pub given_to_writer: u64,
    /// Octets of the messages that came with APPEND, stored or not.
    pub octets_taken: u64,
}

/// A fault that struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// At which command of the server.
    pub command: u64,
    /// Which one.
    pub fault: Fault,
}

/// What a command asks for, as far as a trigger looks at it.
#[derive(Debug, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) mailbox: &'a str,
    pub(crate) uids: &'a [u32],
}

/// A message as it came, and as the profile keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) sent: Bytes,
    pub(crate) kept: NewMessage,
}

/// Where an APPEND put its messages.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) uid_validity: u32,
    pub(crate) uids: Vec<u32>,
    /// The UIDs of the oldest messages of the mailbox.
    pub(crate) oldest: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) profile: Profile,
    pub(crate) accounts: BTreeMap<String, Account>,
    /// Administrators and their passwords: they log in for anybody.
    pub(crate) admins: BTreeMap<String, String>,
    /// Access tokens that are good, and whose they are.
    pub(crate) tokens: BTreeMap<String, String>,
    pub(crate) plan: Vec<Planned>,
    /// True from when a [`Fault::Held`] is planned until the server is released.
    pub(crate) holds: watch::Sender<bool>,
    pub(crate) struck: Vec<Struck>,
    pub(crate) ledger: Vec<Entry>,
    pub(crate) counters: Counters,
    /// Connections by user.
    pub(crate) connected: BTreeMap<String, usize>,
    commands: u64,
}

impl World {
    pub(crate) fn new(profile: Profile) -> Self {
        Self {
            profile,
            accounts: BTreeMap::new(),
            admins: BTreeMap::new(),
            tokens: BTreeMap::new(),
            plan: Vec::new(),
            holds: watch::Sender::new(false),
            struck: Vec::new(),
            ledger: Vec::new(),
            counters: Counters::default(),
            connected: BTreeMap::new(),
            commands: 0,
        }
    }

    pub(crate) fn count(&mut self, verb: &str) {
        self.commands += 1;
        *self.counters.commands.entry(verb.to_owned()).or_default() += 1;
    }

    pub(crate) fn strike(&mut self, occasion: Occasion, asked: &Asked<'_>) -> Option<Fault> {
        let now = |trigger: &Trigger| match trigger {
            Trigger::Next => true,
            Trigger::Command(n) => self.commands >= *n,
            Trigger::Verb(verb, n) => self.counters.commands.get(*verb).is_some_and(|c| c >= n),
            Trigger::Body(mailbox, uid) => mailbox == asked.mailbox && asked.uids.contains(uid),
        };
        let due = self.plan.iter().position(|p| p.fault.occasion() == occasion && now(&p.at))?;
        let planned = self.plan.get_mut(due)?;
        planned.times = planned.times.saturating_sub(1);
        let fault = planned.fault.clone();
        if planned.times == 0 {
            self.plan.remove(due);
        }
        self.struck.push(Struck { command: self.commands, fault: fault.clone() });
        Some(fault)
    }

    fn mailbox(&mut self, user: &str, name: &str) -> Option<&mut MailboxSnapshot> {
        self.accounts.get_mut(user)?.mailbox_mut(name)
    }

    /// Writes a row about a message.
    fn note(&mut self, user: &str, name: &str, uid: u32, who: Who, what: What) {
        let Some(mailbox) = self.mailbox(user, name) else { return };
        let (mailbox, uid_validity) = (mailbox.name.clone(), mailbox.uid_validity);
        self.ledger.push(Entry { user: user.to_owned(), mailbox, uid_validity, uid, who, what });
    }

    pub(crate) fn store(&mut self, user: &str, name: &str, message: NewMessage, who: Who) -> Option<u32> {
        let octets = message.octets.clone();
        self.store_as(user, name, message, octets, who)
    }

    fn store_as(&mut self, user: &str, name: &str, kept: NewMessage, sent: Bytes, who: Who) -> Option<u32> {
        let octets = kept.octets.clone();
        let uid = self.accounts.get_mut(user)?.store(name, kept)?;
        self.note(user, name, uid, who, What::Stored { sent, kept: octets });
        Some(uid)
    }

    pub(crate) fn remove(&mut self, user: &str, name: &str, uids: &[u32], who: Who) {
        for uid in uids {
            self.note(user, name, *uid, who, What::Removed);
        }
        self.account(user, |a| a.remove(name, uids));
    }

    pub(crate) fn flagged(&mut self, user: &str, name: &str, uids: &[u32]) {
        self.account(user, |a| a.flagged(name, uids));
        for uid in uids {
            self.note(user, name, *uid, Who::Client, What::Flagged);
        }
    }

    pub(crate) fn append(
        &mut self,
        user: &str,
        name: &str,
        messages: &[Taken],
        faults: &[Fault],
    ) -> Option<Stored> {
        let mailbox = self.mailbox(user, name)?;
        let oldest = mailbox.messages.iter().map(|m| m.uid).take(messages.len()).collect();
        let promised = faults.contains(&Fault::OkWithoutStoring);
        let (uid_validity, mut uids) = (mailbox.uid_validity, Vec::new());
        for (i, message) in (0u32..).zip(messages) {
            uids.push(if promised {
                let uid = self.mailbox(user, name)?.uid_next + i;
                self.note(user, name, uid, Who::Client, What::Promised { sent: message.sent.clone() });
                uid
            } else {
                self.append_one(user, name, message, faults)?
            });
        }
        Some(Stored { uid_validity, uids, oldest })
    }

    fn append_one(&mut self, user: &str, name: &str, message: &Taken, faults: &[Fault]) -> Option<u32> {
        let Taken { sent, kept } = message.clone();
        if self.profile.merges || self.profile.replaces {
            let same = self.mailbox(user, name)?.messages.iter().find(|m| m.octets == kept.octets);
            let same = same.map(|m| m.uid);
            if let Some(uid) = same.filter(|_| self.profile.replaces) {
                self.remove(user, name, &[uid], Who::Client);
            } else if let Some(uid) = same {
                self.note(user, name, uid, Who::Client, What::Merged { sent });
                return Some(uid);
            }
        }
        let mut octets = faults.iter().fold(kept.octets.clone(), changed);
        if let Some(rewrite) = self.profile.rewrites {
            octets = rewrite(self.mailbox(user, name)?.uid_next, &octets).into();
        }
        self.counters.appended += 1;
        self.store_as(user, name, NewMessage { octets, ..kept }, sent, Who::Client)
    }

    /// Copies messages of a mailbox into another one: the UIDVALIDITY there, and the UIDs here and there.
    pub(crate) fn copy(
        &mut self,
        user: &str,
        from: &str,
        to: &str,
        uids: &[u32],
    ) -> Option<(u32, Vec<(u32, u32)>)> {
        let uid_validity = self.mailbox(user, to)?.uid_validity;
        let again = self.profile.copies_double;
        let mut pairs = Vec::new();
        for uid in uids {
            let messages = &self.mailbox(user, from)?.messages;
            let Some(message) = messages.iter().find(|m| m.uid == *uid).cloned() else { continue };
            let octets = message.octets.clone();
            let before = self.mailbox(user, to)?.uid_next;
            let new = self.accounts.get_mut(user)?.copy(to, message, again)?;
            if new >= before {
                self.counters.copied += 1;
                self.note(user, to, new, Who::Client, What::Stored { sent: octets.clone(), kept: octets });
            }
            pairs.push((*uid, new));
        }
        Some((uid_validity, pairs))
    }

    /// Messages of one mailbox get other octets there, and nowhere else.
    pub(crate) fn spoil(&mut self, user: &str, name: &str, uids: impl Iterator<Item = u32>) {
        let Some(mailbox) = self.mailbox(user, name) else { return };
        for uid in uids {
            if let Some(message) = mailbox.messages.iter_mut().find(|m| m.uid == uid) {
                message.octets = changed(message.octets.clone(), &Fault::Alter(Alteration::SameSize));
            }
        }
    }

    /// Another client does something.
    pub(crate) fn other(&mut self, user: Option<&str>, deed: &Deed) {
        let first = self.accounts.keys().next().cloned();
        let Some(user) = user.map(str::to_owned).or(first) else { return };
        let user = user.as_str();
        match deed {
            Deed::Deliver { mailbox, octets } => {
                let internal_date = "02-Jan-2026 00:00:00 +0000".to_owned();
                let message = NewMessage { octets: octets.clone(), flags: Vec::new(), internal_date };
                self.store(user, mailbox, message, Who::Other);
            }
            Deed::Delete { mailbox, nth } => {
                if let Some(uid) = self.nth(user, mailbox, *nth) {
                    self.remove(user, mailbox, &[uid], Who::Other);
                }
            }
            Deed::Move { from, to, nth } => self.carry(user, from, to, *nth),
            Deed::Rename { from, to } => self.account(user, |a| a.rename(from, to)),
            Deed::DeleteMailbox { mailbox } => self.delete_mailbox(user, mailbox, Who::Other),
            Deed::CreateMailbox { mailbox } => self.account(user, |a| _ = a.create(mailbox, None)),
            Deed::NewEpoch { mailbox } => self.new_epoch(user, mailbox),
        }
    }

    fn account(&mut self, user: &str, work: impl FnOnce(&mut Account)) {
        if let Some(account) = self.accounts.get_mut(user) {
            work(account);
        }
    }

    pub(crate) fn delete_mailbox(&mut self, user: &str, name: &str, who: Who) {
        let uids = self.mailbox(user, name).map(|m| m.uids()).unwrap_or_default();
        self.remove(user, name, &uids, who);
        self.account(user, |a| a.delete(name));
    }

    fn nth(&mut self, user: &str, name: &str, nth: usize) -> Option<u32> {
        let messages = &self.mailbox(user, name)?.messages;
        messages.get(nth.checked_rem(messages.len())?).map(|m| m.uid)
    }

    fn carry(&mut self, user: &str, from: &str, to: &str, nth: usize) {
        let Some(uid) = self.nth(user, from, nth) else { return };
        let Some(source) = self.mailbox(user, from) else { return };
        let Some(found) = source.messages.iter().find(|m| m.uid == uid).cloned() else { return };
        let message =
            NewMessage { octets: found.octets, flags: found.flags, internal_date: found.internal_date };
        if self.store(user, to, message, Who::Other).is_some() {
            self.remove(user, from, &[uid], Who::Other);
        }
    }

    fn new_epoch(&mut self, user: &str, name: &str) {
        let Some(account) = self.accounts.get_mut(user) else { return };
        let Some(before) = account.mailbox(name).map(|m| (m.name.clone(), m.uid_validity)) else { return };
        let Some((uid_validity, renamed)) = account.new_epoch(name) else { return };
        for (old, uid) in renamed {
            self.ledger.push(Entry {
                user: user.to_owned(),
                mailbox: before.0.clone(),
                uid_validity: before.1,
                uid: old,
                who: Who::Other,
                what: What::Renumbered { uid_validity, uid },
            });
        }
    }
}

/// What a fault makes of the octets to be stored.
fn changed(octets: Bytes, fault: &Fault) -> Bytes {
    match fault {
        Fault::Truncate(keep) => octets.slice(..octets.len().min(*keep)),
        Fault::Alter(Alteration::AddHeader) => [&b"X-Altered: yes\r\n"[..], octets.as_ref()].concat().into(),
        Fault::Alter(Alteration::SameSize) => {
            let mut octets = octets.to_vec();
            if let Some(last) = octets.iter_mut().rev().find(|b| !matches!(**b, b'\r' | b'\n')) {
                *last = if *last == b'~' { b'!' } else { b'~' };
            }
            octets.into()
        }
        _ => octets,
    }
}
