//! Both ends in memory: for tests of everything that decides, and as the plainest statement of what an end
//! promises.

mod session;
mod upload;

pub use session::{MemorySession, MemorySource, MemoryTarget};
pub use upload::MemoryUpload;

use crate::end::Role;
use crate::error::{Refusal, RefusalClass};
use crate::message::{Flags, InternalDate};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A message in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMessage {
    /// Its octets.
    pub octets: Bytes,
    /// Its flags.
    pub flags: Flags,
    /// Its date.
    pub internal_date: Option<InternalDate>,
}

/// A mailbox in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMailbox {
    /// Its epoch.
    pub uid_validity: u32,
    /// The UID of the next message.
    pub uid_next: i64,
    /// Messages by UID.
    pub messages: BTreeMap<i64, MemoryMessage>,
    /// Subscribed.
    pub subscribed: bool,
    /// Its role.
    pub role: Option<Role>,
}

/// What the target does with the next batch that reaches its gate, or the next upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As it should.
    Well,
    /// The connection ends while the batch is uploaded.
    LostInUpload,
    /// The gate is passed and the connection ends; nothing is stored.
    LostNotStored,
    /// The gate is passed, everything is stored, and the connection ends before the answer.
    LostStored,
    /// As [`Fate::LostStored`], but stored only after this time.
    LostStoredLate(Duration),
    /// A group: the first `n` are stored and answered, `n + 1` is stored and not answered, the rest is not stored.
    LostAfter(usize),
    /// The server says NO with this class.
    Refuse(RefusalClass),
    /// The server says NO, and stores everything after this time all the same.
    RefusedStoredLate(Duration),
    /// The server says OK, with UIDs where it tells them, and stores nothing.
    OkNotStored,
    /// The server says OK without UIDs, and what it stored shows only after this time.
    OkStoredLate(Duration),
    /// The gate is passed and the connection ends; somebody else stores the same octets, in that moment. `ours`: the batch
    /// is stored, too, else nothing of it.
    LostTwinStored {
        /// The batch is stored.
        ours: bool,
    },
    /// The connection ends while the batch stands at its gate.
    ByeAtGate,
}

/// How the account behaves.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// All-or-nothing batches.
    pub multi: bool,
    /// MAILBOXID of each mailbox (OBJECTID, RFC 8474), by its name.
    pub mailbox_id: Option<fn(&[u8]) -> &'static str>,
    /// Answers name the new UIDs.
    pub tells_places: bool,
    /// Two uploads at once.
    pub overlap: bool,
    /// A message that contains one of these is refused.
    pub refuse: Vec<Bytes>,
    /// Octets of all messages together.
    pub quota_octets: Option<u64>,
    /// The fates of the next batches; [`Fate::Well`] when empty.
    pub fates: VecDeque<Fate>,
    /// The next so many body FETCHes end the connection after one message.
    pub fetches_lost: u32,
    /// The UIDs for which the source answers without octets.
    pub unreadable: Vec<i64>,
    /// What is unreadable can be read as header and text.
    pub parts: bool,
    /// The UIDs for which the source does not answer.
    pub left_out: Vec<i64>,
    /// The UIDs whose FETCH ends the connection, every time.
    pub poison: Vec<i64>,
    /// A FETCH of a range that holds poison ends the connection before its first answer.
    pub poisons_ranges: bool,
    /// Of these UIDs the source gives so many octets, and no more.
    pub cut: BTreeMap<i64, usize>,
    /// The size that the source lists is the true one times this.
    pub sizes_times: u64,
    /// After so many bodies fetched the mailbox gets another UIDVALIDITY.
    pub renumber_after: Option<u32>,
    /// When the target loses the connection of a batch past its gate, the mailbox gets another UIDVALIDITY.
    pub renumber_on_loss: bool,
    /// Added to every UIDNEXT told.
    pub uid_next_lie: i64,
    /// An equal message already there is not stored twice.
    pub merges: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            multi: true,
            mailbox_id: None,
            tells_places: true,
            overlap: true,
            refuse: Vec::new(),
            quota_octets: None,
            fates: VecDeque::new(),
            fetches_lost: 0,
            unreadable: Vec::new(),
            parts: false,
            left_out: Vec::new(),
            poison: Vec::new(),
            poisons_ranges: false,
            cut: BTreeMap::new(),
            sizes_times: 1,
            renumber_after: None,
            renumber_on_loss: false,
            uid_next_lie: 0,
            merges: false,
        }
    }
}

#[derive(Debug, Default)]
struct Account {
    mailboxes: BTreeMap<Bytes, MemoryMailbox>,
    knobs: Knobs,
    appended: u64,
    fetched: u64,
    logins: u64,
    next_validity: u32,
    late: Vec<(tokio::time::Instant, Bytes, Vec<MemoryMessage>)>,
}

/// An account in memory, shared by all its sessions.
#[derive(Clone, Debug, Default)]
pub struct MemoryMail(Arc<Mutex<Account>>);

impl MemoryMail {
    /// An account with an empty INBOX.
    pub fn new() -> Self {
        let mail = Self::default();
        mail.create("INBOX");
        mail
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        account.deliver_late();
        account
    }

    /// Creates a mailbox unless it is there.
    pub fn create(&self, name: &str) {
        self.account().create(&Bytes::copy_from_slice(name.as_bytes()));
    }

    /// Stores a message as another client would.
    pub fn deliver(&self, mailbox: &str, octets: impl Into<Bytes>, flags: &str, date: &str) -> i64 {
        let message = MemoryMessage {
            octets: octets.into(),
            flags: Flags::from_octets(flags),
            internal_date: (!date.is_empty()).then(|| InternalDate::from_octets(date)),
        };
        self.account().store(&Bytes::copy_from_slice(mailbox.as_bytes()), message)
    }

    /// Removes a message as another client would.
    pub fn expunge(&self, mailbox: &str, uid: i64) {
        if let Some(m) = self.account().mailboxes.get_mut(mailbox.as_bytes()) {
            m.messages.remove(&uid);
        }
    }

    /// Changes one octet of a message, as a failing disk would.
    pub fn tamper(&self, mailbox: &str, uid: i64) {
        let mut account = self.account();
        let message = account.mailboxes.get_mut(mailbox.as_bytes()).and_then(|m| m.messages.get_mut(&uid));
        if let Some(message) = message {
            let mut octets = message.octets.to_vec();
            octets.iter_mut().take(1).for_each(|o| *o ^= 1);
            message.octets = octets.into();
        }
    }

    /// Changes the behaviour.
    pub fn set(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.account().knobs);
    }

    /// Gives a mailbox another UIDVALIDITY and new UIDs.
    pub fn renumber(&self, mailbox: &str) {
        self.account().renumber(mailbox.as_bytes(), false);
    }

    /// As [`MemoryMail::renumber`], and the messages change their order.
    pub fn renumber_backwards(&self, mailbox: &str) {
        self.account().renumber(mailbox.as_bytes(), true);
    }

    /// Puts messages back under their UIDs, as a restored backup would.
    pub fn restore(&self, mailbox: &str, messages: impl IntoIterator<Item = (i64, MemoryMessage)>) {
        if let Some(m) = self.account().mailboxes.get_mut(mailbox.as_bytes()) {
            m.messages.extend(messages);
        }
    }

    /// Puts a whole mailbox in the place of what is there, UIDVALIDITY and all.
    pub fn replace(&self, name: &str, mailbox: MemoryMailbox) {
        self.account().mailboxes.insert(Bytes::copy_from_slice(name.as_bytes()), mailbox);
    }

    /// Moves a message as another client would. Returns its new UID; 0 if it is not there.
    pub fn relocate(&self, from: &str, uid: i64, to: &str) -> i64 {
        let mut account = self.account();
        let found = account.mailboxes.get_mut(from.as_bytes()).and_then(|m| m.messages.remove(&uid));
        found.map_or(0, |message| account.store(&Bytes::copy_from_slice(to.as_bytes()), message))
    }

    /// Everything, for checkers.
    pub fn snapshot(&self) -> BTreeMap<Bytes, MemoryMailbox> {
        self.account().mailboxes.clone()
    }

    /// Messages stored through APPEND so far.
    pub fn appended(&self) -> u64 {
        self.account().appended
    }

    /// Bodies given by FETCH of the source so far.
    pub fn fetched(&self) -> u64 {
        self.account().fetched
    }

    /// Sessions opened so far.
    pub fn logins(&self) -> u64 {
        self.account().logins
    }
}

impl Account {
    fn create(&mut self, name: &Bytes) {
        if self.mailboxes.contains_key(name) {
            return;
        }
        self.next_validity += 1;
        let mailbox = MemoryMailbox {
            uid_validity: self.next_validity,
            uid_next: 1,
            messages: BTreeMap::new(),
            subscribed: false,
            role: None,
        };
        self.mailboxes.insert(name.clone(), mailbox);
    }

    fn renumber(&mut self, name: &[u8], backwards: bool) {
        self.next_validity += 1000;
        let Some(m) = self.mailboxes.get_mut(name) else { return };
        m.uid_validity = self.next_validity;
        let mut messages: Vec<MemoryMessage> = std::mem::take(&mut m.messages).into_values().collect();
        if backwards {
            messages.reverse();
        }
        m.messages = (500..).zip(messages).collect();
        m.uid_next = m.messages.keys().last().map_or(500, |l| l + 1);
    }

    fn store(&mut self, name: &Bytes, message: MemoryMessage) -> i64 {
        self.create(name);
        let merges = self.knobs.merges;
        let Some(mailbox) = self.mailboxes.get_mut(name) else { return 0 };
        let twin = mailbox.messages.iter().find(|(_, m)| m.octets == message.octets).map(|(uid, _)| *uid);
        if let Some(uid) = twin.filter(|_| merges) {
            return uid;
        }
        let uid = mailbox.uid_next;
        mailbox.uid_next += 1;
        mailbox.messages.insert(uid, message);
        uid
    }

    fn deliver_late(&mut self) {
        let now = tokio::time::Instant::now();
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(at, ..)| *at <= now);
        self.late = later;
        let due: Vec<(tokio::time::Instant, Bytes, Vec<MemoryMessage>)> = due;
        for (_, mailbox, messages) in due {
            for message in messages {
                self.store(&mailbox, message);
            }
        }
    }

    fn used_octets(&self) -> u64 {
        self.mailboxes.values().flat_map(|m| m.messages.values()).map(|m| m.octets.len() as u64).sum()
    }

    /// What a server would say to these messages before storing them.
    fn objection(&self, messages: &[MemoryMessage]) -> Option<Refusal> {
        let refusal = |class, code: Option<&str>, text: &str| {
            Some(Refusal { class, bad: false, code: code.map(str::to_owned), text: text.to_owned() })
        };
        let bad = |m: &MemoryMessage| {
            self.knobs.refuse.iter().any(|r| memchr::memmem::find(&m.octets, r).is_some())
        };
        if messages.iter().any(bad) {
            return refusal(RefusalClass::Content, None, "Message contains invalid header");
        }
        let more: u64 = messages.iter().map(|m| m.octets.len() as u64).sum();
        if self.knobs.quota_octets.is_some_and(|quota| self.used_octets() + more > quota) {
            return refusal(RefusalClass::Quota, Some("OVERQUOTA"), "Quota exceeded");
        }
        None
    }
}
