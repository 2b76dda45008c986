//! One IMAP connection: opened, encrypted, logged in, then driven by a task of its own.

mod authenticate;
mod cut;
mod driver;
mod larger;
mod listing;
mod login;
mod spaces;
#[cfg(test)]
mod tests;
mod uids;

pub use login::{Opener, look, open};

use crate::end::{Abilities, MailboxCounts, Opened, Prefix, Rights, Room, Untold};
use crate::error::EndError;
use crate::journal::EpochFacts;
use crate::limits::Limits;
use crate::message::{Flags, Key, UidValidity};
use crate::quirks;
use bytes::Bytes;
use mailhaul_imap::{
    Capabilities, Command, MailboxFacts, Namespaces, Status, StatusData, StatusText, Untagged,
};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendError;

pub(crate) use cut::Cut;
pub(crate) use driver::{Bodies, Item, Request};

/// Items of one command on their way to whoever asked. Bounded: a slow reader stops the socket.
const ITEMS_QUEUED: usize = 64;

/// A connection, logged in. Dropping it cuts the connection.
#[derive(Debug)]
pub struct Link {
    server: String,
    limits: Limits,
    capabilities: Capabilities,
    abilities: Abilities,
    namespaces: Option<Namespaces>,
    /// Why NAMESPACE was not answered, where it was asked.
    namespaces_refused: Option<EndError>,
    /// What the last listing asked for and was refused.
    untold: Vec<Untold>,
    /// What GETQUOTAROOT gave that went with the last listing, until [`Link::room`] is asked.
    room_told: Option<Result<Reply, EndError>>,
    /// CONDSTORE is on without being asked for mailbox by mailbox.
    condstore_enabled: bool,
    requests: mpsc::UnboundedSender<Request>,
    task: tokio::task::JoinHandle<()>,
    next_id: u64,
    exists: u64,
    /// The mailbox that is open, and its epoch.
    open: Option<(Bytes, UidValidity)>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The end of a command.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) data: Vec<Untagged>,
    pub(crate) opened: Option<MailboxFacts>,
    pub(crate) text: StatusText,
}

impl Link {
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the server says of itself.
    pub fn abilities(&self) -> &Abilities {
        &self.abilities
    }

    pub(crate) fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Queues a command; its items come to `sink`. Returns its number, which its [`Item::Done`] carries.
    pub(crate) fn send(
        &mut self,
        command: Command,
        doing: &'static str,
        limit: Duration,
        sink: mpsc::Sender<Item>,
    ) -> u64 {
        self.send_with(command, Bodies::none(), doing, limit, sink)
    }

    pub(crate) fn send_with(
        &mut self,
        command: Command,
        bodies: Bodies,
        doing: &'static str,
        limit: Duration,
        sink: mpsc::Sender<Item>,
    ) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let request = Request::Command { id, command, bodies, doing, limit, sink };
        if let Err(SendError(Request::Command { sink, .. })) = self.requests.send(request) {
            // The driver is gone, and who listens may hold a sender of his own: without a word he would wait for ever.
            let unsent = Item::Unsent { id, why: self.lost(doing) };
            tokio::spawn(async move { sink.send(unsent).await });
        }
        id
    }

    /// A way to open the gate of a command from elsewhere.
    pub(crate) fn gate_keeper(&self) -> mpsc::UnboundedSender<Request> {
        self.requests.clone()
    }

    pub(crate) fn lost(&self, doing: &'static str) -> EndError {
        EndError::Lost { server: self.server.clone(), doing, what: "the connection is gone".into() }
    }

    /// Sends commands together and waits for all of them: their replies in the order of the commands. What is untagged belongs to the
    /// first one that is not answered: a server may answer a later one before it (RFC 9051, 5.5), as Dovecot does while a long
    /// LIST waits for room to write.
    pub(crate) async fn ask_all(
        &mut self,
        commands: Vec<Command>,
        doing: &'static str,
    ) -> Result<Vec<Result<Reply, EndError>>, EndError> {
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        let limit = self.limits.command.max(self.limits.silence);
        let ids: Vec<u64> =
            commands.into_iter().map(|command| self.send(command, doing, limit, sink.clone())).collect();
        drop(sink);
        let mut replies: Vec<Option<Result<Reply, EndError>>> = ids.iter().map(|_| None).collect();
        let (mut data, mut opened, mut first) = (Vec::new(), None, 0);
        while first < ids.len() {
            match items.recv().await {
                Some(Item::Data(untagged)) => data.push(untagged),
                Some(Item::Opened(facts)) => opened = Some(*facts),
                Some(Item::Done { id, status, text }) => {
                    let Some(at) = ids.iter().skip(first).position(|of| *of == id) else { continue };
                    let (data, opened) = match at {
                        0 => (std::mem::take(&mut data), opened.take()),
                        _ => (Vec::new(), None),
                    };
                    replies[first + at] = Some(self.judge(status, Reply { data, opened, text }, doing));
                    while replies.get(first).is_some_and(Option::is_some) {
                        first += 1;
                    }
                }
                Some(Item::Lost(error) | Item::Unsent { why: error, .. }) => return Err(error),
                Some(Item::Body { .. } | Item::AtGate) => {}
                None => return Err(self.lost(doing)),
            }
        }
        Ok(replies.into_iter().flatten().collect())
    }

    fn judge(&self, status: Status, reply: Reply, doing: &'static str) -> Result<Reply, EndError> {
        if status == Status::Ok {
            return Ok(reply);
        }
        let refusal = quirks::refusal(status, &reply.text);
        Err(EndError::Refused { server: self.server.clone(), doing, refusal })
    }

    /// Sends one command and waits for it.
    pub(crate) async fn ask(&mut self, command: Command, doing: &'static str) -> Result<Reply, EndError> {
        let mut replies = self.ask_all(vec![command], doing).await?;
        replies.pop().unwrap_or_else(|| Err(self.lost(doing)))
    }

    /// EXAMINE.
    pub(crate) async fn examine(&mut self, mailbox: &Bytes) -> Result<Opened, EndError> {
        let command = self.examining(mailbox);
        let reply = self.ask(command, "EXAMINE").await;
        self.examined(mailbox, reply)
    }

    /// SELECT: what is opened so can be changed.
    pub(crate) async fn select(&mut self, mailbox: &Bytes) -> Result<Opened, EndError> {
        self.open = None;
        let reply = self.ask(Command::select(mailbox, self.capabilities.condstore()), "SELECT").await;
        self.examined(mailbox, reply)
    }

    /// EXAMINE of each, pipelined: the data of one ends where that of the next begins.
    pub(crate) async fn examine_each(
        &mut self,
        mailboxes: &[Bytes],
    ) -> Result<Vec<Result<Opened, EndError>>, EndError> {
        let commands = mailboxes.iter().map(|m| self.examining(m)).collect();
        let replies = self.ask_all(commands, "EXAMINE").await?;
        Ok(mailboxes.iter().zip(replies).map(|(mailbox, reply)| self.examined(mailbox, reply)).collect())
    }

    /// EXAMINE; what it says is for [`Link::opened`]. Until then no mailbox is open, nor if it is refused (RFC 9051, 6.3.2).
    pub(crate) fn examining(&mut self, mailbox: &Bytes) -> Command {
        self.open = None;
        // CONDSTORE is on for the connection, or asked for with each mailbox (RFC 7162, 3.1.8).
        Command::examine(mailbox, self.capabilities.condstore() && !self.condstore_enabled)
    }

    /// What became of [`Link::examining`]. After a refusal no mailbox is open, also not one that was opened before it.
    pub(crate) fn examined(
        &mut self,
        mailbox: &Bytes,
        reply: Result<Reply, EndError>,
    ) -> Result<Opened, EndError> {
        self.open = None;
        let Some(facts) = reply?.opened else { return Err(self.lost("EXAMINE")) };
        self.opened(mailbox, &facts)
    }

    /// What a mailbox said when it was opened. From here on it is the open one.
    pub(crate) fn opened(&mut self, mailbox: &Bytes, facts: &MailboxFacts) -> Result<Opened, EndError> {
        self.exists = u64::from(facts.exists);
        self.open = None;
        let opened = opened(facts).ok_or_else(|| EndError::Protocol {
            server: self.server.clone(),
            doing: "EXAMINE",
            what: "it gives no UIDVALIDITY, so that UIDs mean nothing".into(),
        })?;
        self.open = Some((mailbox.clone(), opened.facts.uid_validity));
        Ok(opened)
    }

    /// An EXAMINE that was sent was refused: no mailbox is open (RFC 9051, 6.3.2).
    pub(crate) fn is_not_opened(&mut self) {
        self.open = None;
    }

    /// The epoch of this mailbox, if it is the one that is open.
    pub(crate) fn open_epoch(&self, mailbox: &Bytes) -> Option<UidValidity> {
        self.open.as_ref().filter(|(open, _)| open == mailbox).map(|(_, epoch)| *epoch)
    }

    /// Follows EXISTS and EXPUNGE of the opened mailbox.
    pub(crate) fn count(&mut self, data: &Untagged) {
        match data {
            Untagged::Exists(exists) => self.exists = u64::from(*exists),
            Untagged::Expunge(_) => self.exists = self.exists.saturating_sub(1),
            _ => {}
        }
    }

    fn status_items(&self) -> String {
        let size = if self.capabilities.status_size() { " SIZE" } else { "" };
        let mod_seq = if self.capabilities.condstore() { " HIGHESTMODSEQ" } else { "" };
        format!("MESSAGES UIDNEXT UIDVALIDITY{size}{mod_seq}")
    }

    /// STATUS of one mailbox.
    pub(crate) async fn status(&mut self, mailbox: &Bytes) -> Result<MailboxCounts, EndError> {
        let reply = self.ask(Command::status(mailbox, &self.status_items()), "STATUS").await?;
        counts(&reply.data).ok_or_else(|| EndError::Protocol {
            server: self.server.clone(),
            doing: "STATUS",
            what: "an OK without the data".into(),
        })
    }

    /// Room of the account that INBOX belongs to.
    pub(crate) async fn room(&mut self) -> Result<Option<Room>, EndError> {
        if !self.capabilities.quota() {
            return Ok(None);
        }
        let asked = match self.room_told.take() {
            Some(told) if told.as_ref().map_or(true, |reply| !reply.data.is_empty()) => told,
            // Or answered before LIST was done: what it told stands among the mailboxes then.
            _ => self.ask(quota_root(), "GETQUOTAROOT").await,
        };
        let reply = match asked {
            Ok(reply) => reply,
            Err(EndError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut room = Room::default();
        for data in reply.data {
            let Untagged::Quota { resources, .. } = data else { continue };
            for (name, used, limit) in resources {
                if name.eq_ignore_ascii_case(b"STORAGE") {
                    // Units of 1024 octets (RFC 9208, 5.1).
                    room.used_octets = Some(used * 1024);
                    room.limit_octets = Some(limit * 1024);
                } else if name.eq_ignore_ascii_case(b"MESSAGE") {
                    (room.used_messages, room.limit_messages) = (Some(used), Some(limit));
                }
            }
        }
        Ok((room != Room::default()).then_some(room))
    }

    /// MYRIGHTS of each, pipelined. A server without ACL says nothing, nor one that refuses a mailbox.
    pub(crate) async fn rights(&mut self, mailboxes: &[Bytes]) -> Result<Vec<Option<Rights>>, EndError> {
        if !self.capabilities.acl() {
            return Ok(vec![None; mailboxes.len()]);
        }
        let commands = mailboxes.iter().map(|m| Command::my_rights(m)).collect();
        let letters = |data| match data {
            Untagged::MyRights { rights, .. } => Some(Rights::new(String::from_utf8_lossy(&rights))),
            _ => None,
        };
        let replies = self.ask_all(commands, "MYRIGHTS").await?;
        Ok(replies.into_iter().map(|reply| reply.ok()?.data.into_iter().find_map(letters)).collect())
    }

    /// LOGOUT, then the end.
    pub(crate) async fn close(mut self) {
        let limit = self.limits.greeting;
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        self.send(Command::logout(), "LOGOUT", limit, sink);
        let drain = async { while items.recv().await.is_some() {} };
        // The answer is a courtesy: nothing depends on it.
        let _ = tokio::time::timeout(limit, drain).await;
    }
}

/// GETQUOTAROOT of the INBOX (RFC 9208, 4.1.2).
fn quota_root() -> Command {
    Command::get_quota_root(b"INBOX")
}

fn counts(data: &[Untagged]) -> Option<MailboxCounts> {
    data.iter().find_map(|d| if let Untagged::StatusData(s) = d { Some(s) } else { None }).and_then(counts_in)
}

fn counts_in(status: &StatusData) -> Option<MailboxCounts> {
    Some(MailboxCounts {
        messages: status.messages?,
        octets: status.size,
        uid_next: status.uid_next.map(|n| Key(n.into())),
        uid_validity: status.uid_validity.map(|v| UidValidity(v.get())),
        highest_mod_seq: status.highest_mod_seq,
    })
}

fn opened(facts: &MailboxFacts) -> Option<Opened> {
    Some(Opened {
        facts: EpochFacts {
            uid_validity: UidValidity(facts.uid_validity?.get()),
            uid_next: facts.uid_next.map(|n| Key(n.into())),
            exists: facts.exists.into(),
            highest_mod_seq: facts.highest_mod_seq,
            mailbox_id: facts.mailbox_id.as_ref().map(|id| String::from_utf8_lossy(id).into_owned()),
        },
        uids_not_sticky: facts.uid_not_sticky,
    })
}

/// Personal prefixes from NAMESPACE, or from the delimiter that LIST names.
pub(crate) fn personal(namespaces: Option<&Namespaces>, delimiter: Option<u8>) -> Vec<Prefix> {
    let from = |n: &mailhaul_imap::Namespace| Prefix {
        wire: n.prefix.clone(),
        delimiter: n.delimiter.map(char::from),
    };
    match namespaces {
        Some(spaces) if !spaces.personal.is_empty() => spaces.personal.iter().map(from).collect(),
        _ => vec![Prefix { wire: Bytes::new(), delimiter: delimiter.map(char::from) }],
    }
}

/// Flags as the engine keeps them.
pub(crate) fn flags(atoms: &[Bytes]) -> Flags {
    Flags::from_atoms(atoms.iter().map(|a| &a[..])).without_recent()
}
