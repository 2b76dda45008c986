//! One IMAP connection: opened, encrypted, logged in, then driven by a task of its own.

mod authenticate;
mod cut;
mod driver;
mod larger;
mod login;
mod spaces;
#[cfg(test)]
mod tests;
mod uids;

pub use login::{Opener, look, open};

use crate::end::{Abilities, MailboxCounts, MailboxInfo, Opened, Prefix, Rights, Role, Room, Space};
use crate::error::EndError;
use crate::journal::EpochFacts;
use crate::limits::Limits;
use crate::message::{Flags, Key, UidValidity};
use crate::quirks;
use bytes::Bytes;
use mailhaul_imap::{
    Capabilities, Command, ListEntry, MailboxFacts, Namespaces, Status, StatusData, StatusText, Untagged,
};
use std::collections::BTreeMap;
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

    /// Sends commands together and waits for all of them, in order.
    pub(crate) async fn ask_all(
        &mut self,
        commands: Vec<Command>,
        doing: &'static str,
    ) -> Result<Vec<Result<Reply, EndError>>, EndError> {
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        let (count, limit) = (commands.len(), self.limits.command.max(self.limits.silence));
        for command in commands {
            self.send(command, doing, limit, sink.clone());
        }
        drop(sink);
        let mut replies = Vec::with_capacity(count);
        let (mut data, mut opened) = (Vec::new(), None);
        while replies.len() < count {
            match items.recv().await {
                Some(Item::Data(untagged)) => data.push(untagged),
                Some(Item::Opened(facts)) => opened = Some(*facts),
                Some(Item::Done { status, text, .. }) => {
                    let reply = Reply { data: std::mem::take(&mut data), opened: opened.take(), text };
                    replies.push(self.judge(status, reply, doing));
                }
                Some(Item::Lost(error) | Item::Unsent { why: error, .. }) => return Err(error),
                Some(Item::BodyStart | Item::Chunk(_) | Item::BodyEnd | Item::AtGate) => {}
                None => return Err(self.lost(doing)),
            }
        }
        Ok(replies)
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
        let reply = self.ask(command, "EXAMINE").await?;
        self.examined(mailbox, reply)
    }

    /// EXAMINE of each, pipelined: the data of one ends where that of the next begins.
    pub(crate) async fn examine_each(
        &mut self,
        mailboxes: &[Bytes],
    ) -> Result<Vec<Result<Opened, EndError>>, EndError> {
        let commands = mailboxes.iter().map(|m| self.examining(m)).collect();
        let replies = self.ask_all(commands, "EXAMINE").await?;
        Ok(mailboxes.iter().zip(replies).map(|(mailbox, reply)| self.examined(mailbox, reply?)).collect())
    }

    /// EXAMINE; what it says is for [`Link::opened`]. Until then no mailbox is open, nor if it is refused (RFC 9051, 6.3.2).
    pub(crate) fn examining(&mut self, mailbox: &Bytes) -> Command {
        self.open = None;
        // CONDSTORE is on for the connection, or asked for with each mailbox (RFC 7162, 3.1.8).
        Command::examine(mailbox, self.capabilities.condstore() && !self.condstore_enabled)
    }

    pub(crate) fn examined(&mut self, mailbox: &Bytes, reply: Reply) -> Result<Opened, EndError> {
        let Some(facts) = reply.opened else { return Err(self.lost("EXAMINE")) };
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

    /// All mailboxes of all namespaces, with roles, subscriptions and counts; with `gone`, subscriptions to names that are no
    /// mailboxes (any more) are listed as what cannot be opened.
    pub(crate) async fn list_mailboxes(&mut self, gone: bool) -> Result<Vec<MailboxInfo>, EndError> {
        let mut patterns: Vec<(Space, Bytes)> = vec![(Space::Personal, Bytes::from_static(b"*"))];
        for (space, prefixes) in self.foreign_prefixes() {
            patterns.extend(prefixes.into_iter().map(|p| (space, p)));
        }
        let mut found: BTreeMap<Bytes, MailboxInfo> = BTreeMap::new();
        let Listing { entries, told, roles, subscribed } = self.list(&patterns, gone).await?;
        let told_of = |found: &mut BTreeMap<Bytes, MailboxInfo>, space: Space, entry: &ListEntry, exists| {
            let space = self.space_of(&entry.name).unwrap_or(space);
            let new = || info(entry, space, self.abilities.utf8_names);
            let info = found.entry(entry.name.clone()).or_insert_with(|| MailboxInfo {
                // A name that only a subscription knows is no mailbox.
                selectable: exists && entry.is_selectable(),
                ..new()
            });
            info.subscribed |= !exists || entry.has(b"\\Subscribed");
            info.counts = info.counts.or_else(|| told.get(&entry.name).copied());
        };
        entries.iter().for_each(|(space, entry)| told_of(&mut found, *space, entry, true));
        let known = |found: &BTreeMap<_, _>, entry: &ListEntry| gone || found.contains_key(&entry.name);
        for entry in &subscribed {
            if known(&found, entry) {
                told_of(&mut found, Space::Personal, entry, false);
            }
        }
        for entry in entries.iter().map(|(_, entry)| entry).chain(&roles) {
            if let Some(info) = found.get_mut(&entry.name) {
                info.role = info.role.or(role(entry));
            }
        }
        let mut mailboxes: Vec<MailboxInfo> = found.into_values().collect();
        self.counts_of(&mut mailboxes).await?;
        // INBOX first, then by name: a stable order for people and journal.
        mailboxes.sort_by_key(|m| (!m.text.eq_ignore_ascii_case("INBOX"), m.wire.clone()));
        Ok(mailboxes)
    }

    /// LIST of each pattern, with what XLIST knows of roles, and the subscriptions: asked together.
    async fn list(&mut self, patterns: &[(Space, Bytes)], gone: bool) -> Result<Listing, EndError> {
        let returns = self.list_returns();
        let mut commands: Vec<Command> =
            patterns.iter().map(|(_, p)| Command::list("", b"", p, &returns)).collect();
        let extended = self.capabilities.list_extended();
        // A subscription to a mailbox that is gone is in no other answer (RFC 5258, 3.1).
        let subscriptions = match extended {
            true => gone.then(|| Command::list("(SUBSCRIBED)", b"", b"*", "")),
            false => Some(Command::lsub(b"*")),
        };
        let asks_subscriptions = subscriptions.is_some();
        commands.extend(subscriptions);
        // QUIRK: servers older than RFC 6154 (Gmail's until 2013, 163.com) tell roles to XLIST alone [T].
        if self.capabilities.has(b"XLIST") && !self.capabilities.special_use() {
            commands.push(Command::xlist(b"*"));
        }
        let mut replies = self.ask_all(commands, "LIST").await?.into_iter();
        let mut listing = Listing::default();
        for (space, _) in patterns {
            let Some(reply) = replies.next() else { break };
            // The personal list must be there; a foreign namespace may be refused.
            let reply = match (reply, space) {
                (Ok(reply), _) => reply,
                (Err(error), Space::Personal) => return Err(error),
                (Err(_), _) => continue,
            };
            for data in reply.data {
                match data {
                    Untagged::List(entry) => listing.entries.push((*space, entry)),
                    Untagged::StatusData(status) => {
                        let counts = counts_in(&status);
                        listing.told.extend(counts.map(|counts| (status.mailbox.clone(), counts)));
                    }
                    _ => {}
                }
            }
        }
        // Without subscriptions and old roles an account moves all the same.
        if asks_subscriptions {
            listing.subscribed = replies.next().map(listed).unwrap_or_default();
            // A server that does not know the option lists everything.
            listing.subscribed.retain(|entry| !extended || entry.has(b"\\Subscribed"));
        }
        listing.roles = replies.next().map(listed).unwrap_or_default();
        Ok(listing)
    }

    fn list_returns(&self) -> String {
        let can = &self.capabilities;
        if !can.list_extended() {
            return String::new();
        }
        let roles = if can.special_use() { " SPECIAL-USE" } else { "" };
        let status =
            if can.list_status() { format!(" STATUS ({})", self.status_items()) } else { String::new() };
        format!("(SUBSCRIBED CHILDREN{roles}{status})")
    }

    /// STATUS of every selectable mailbox that the listing said nothing of, pipelined. One that refuses has no counts.
    async fn counts_of(&mut self, mailboxes: &mut [MailboxInfo]) -> Result<(), EndError> {
        let open = |m: &MailboxInfo| m.selectable && m.counts.is_none();
        let wanted: Vec<usize> = (0..mailboxes.len()).filter(|i| open(&mailboxes[*i])).collect();
        let items = &self.status_items();
        let commands = wanted.iter().map(|i| Command::status(&mailboxes[*i].wire, items)).collect();
        let replies = self.ask_all(commands, "STATUS").await?;
        for (i, reply) in wanted.into_iter().zip(replies) {
            mailboxes[i].counts = reply.ok().and_then(|r| counts(&r.data));
        }
        Ok(())
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
        let reply = match self.ask(Command::get_quota_root(b"INBOX"), "GETQUOTAROOT").await {
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

    fn foreign_prefixes(&self) -> Vec<(Space, Vec<Bytes>)> {
        let Some(spaces) = &self.namespaces else { return Vec::new() };
        let patterns = |all: &[mailhaul_imap::Namespace]| {
            all.iter()
                .filter(|n| !n.prefix.is_empty())
                .map(|n| [&n.prefix[..], b"*"].concat().into())
                .collect()
        };
        vec![(Space::OtherUsers, patterns(&spaces.other_users)), (Space::Shared, patterns(&spaces.shared))]
    }

    /// Whose a mailbox is, as far as NAMESPACE tells.
    fn space_of(&self, name: &[u8]) -> Option<Space> {
        spaces::space_of(self.namespaces.as_ref()?, name)
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

fn info(entry: &ListEntry, space: Space, utf8: bool) -> MailboxInfo {
    MailboxInfo {
        wire: entry.name.clone(),
        text: crate::names::decode(&entry.name, utf8),
        delimiter: entry.delimiter.map(char::from),
        selectable: entry.is_selectable(),
        may_have_children: !entry.has(b"\\Noinferiors"),
        role: None,
        subscribed: false,
        space,
        counts: None,
    }
}

/// SPECIAL-USE, or XLIST's own words for it.
fn role(entry: &ListEntry) -> Option<Role> {
    const OLD: [(&[u8], Role); 3] =
        [(b"\\AllMail", Role::All), (b"\\Spam", Role::Junk), (b"\\Starred", Role::Flagged)];
    let old = || OLD.into_iter().find(|(word, _)| entry.has(word)).map(|(_, role)| role);
    Role::ALL.into_iter().find(|r| entry.has(format!("\\{}", r.as_str()).as_bytes())).or_else(old)
}

/// What the server said of its mailboxes.
#[derive(Default)]
struct Listing {
    entries: Vec<(Space, ListEntry)>,
    /// By name, from LIST-STATUS (RFC 5819).
    told: BTreeMap<Bytes, MailboxCounts>,
    /// From XLIST: it may give INBOX another name, so that it tells roles and nothing else.
    roles: Vec<ListEntry>,
    /// From LSUB or LIST (SUBSCRIBED).
    subscribed: Vec<ListEntry>,
}

fn listed(reply: Result<Reply, EndError>) -> Vec<ListEntry> {
    let entry = |data| match data {
        Untagged::List(entry) | Untagged::Lsub(entry) => Some(entry),
        _ => None,
    };
    reply.map(|reply| reply.data.into_iter().filter_map(entry).collect()).unwrap_or_default()
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
    let permanent = facts.permanent_flags.as_ref();
    Some(Opened {
        facts: EpochFacts {
            uid_validity: UidValidity(facts.uid_validity?.get()),
            uid_next: facts.uid_next.map(|n| Key(n.into())),
            exists: facts.exists.into(),
            highest_mod_seq: facts.highest_mod_seq,
            mailbox_id: facts.mailbox_id.as_ref().map(|id| String::from_utf8_lossy(id).into_owned()),
        },
        uids_not_sticky: facts.uid_not_sticky,
        permanent_flags: permanent.map(|flags| Flags::from_atoms(flags.iter().map(|f| &f[..]))),
        takes_new_keywords: permanent.is_some_and(|flags| flags.iter().any(|f| &f[..] == b"\\*")),
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
