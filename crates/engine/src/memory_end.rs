//! Both ends in memory: for tests of everything that decides, and as the plainest statement of what an end
//! promises.

mod upload;

pub use upload::MemoryUpload;

use crate::end::{
    Abilities, Depth, FetchEvent, FetchRange, Fetched, Listed, MailboxCounts, MailboxInfo, Opened, Outgoing,
    Prefix, Role, Room, Seen, Source, SourceSession, Space, Target, TargetSession, Wanted, Way,
};
use crate::error::{EndError, Refusal, RefusalClass};
use crate::identity::Meter;
use crate::journal::EpochFacts;
use crate::message::{Flags, InternalDate, Key, UidValidity};
use crate::transfer::spool::Intake;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

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
#[derive(Clone, Debug)]
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
            flags: Flags::from_octets(flags.to_owned()),
            internal_date: (!date.is_empty()).then(|| InternalDate::from_octets(date.to_owned())),
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

/// The account as a source.
#[derive(Clone, Debug)]
pub struct MemorySource(pub MemoryMail);

/// The account as a target.
#[derive(Clone, Debug)]
pub struct MemoryTarget(pub MemoryMail);

/// A connection to an account in memory. It implements both kinds of session; which one a caller has is decided by
/// the end that opened it.
#[derive(Debug)]
pub struct MemorySession {
    mail: MemoryMail,
    abilities: Abilities,
    opened: Bytes,
    alive: Arc<AtomicBool>,
}

impl MemorySession {
    fn open_on(mail: &MemoryMail) -> Self {
        let mut account = mail.account();
        account.logins += 1;
        let knobs = &account.knobs;
        let abilities = Abilities {
            product: "memory".into(),
            personal: vec![Prefix { wire: Bytes::new(), delimiter: Some('/') }],
            multi: knobs.multi,
            tells_places: knobs.tells_places,
            overlap: knobs.overlap,
            expunges_by_uid: true,
            ..Abilities::default()
        };
        drop(account);
        Self { mail: mail.clone(), abilities, opened: Bytes::new(), alive: Arc::new(AtomicBool::new(true)) }
    }

    fn check(&self, doing: &'static str) -> Result<(), EndError> {
        if self.alive.load(Ordering::Relaxed) { Ok(()) } else { Err(lost(doing)) }
    }

    fn mailbox(&self, doing: &'static str) -> Result<MemoryMailbox, EndError> {
        self.check(doing)?;
        match self.mail.account().mailboxes.get(&self.opened) {
            Some(mailbox) => Ok(mailbox.clone()),
            None => Err(no_mailbox(doing)),
        }
    }

    fn infos(&self) -> Result<Vec<MailboxInfo>, EndError> {
        self.check("LIST")?;
        let account = self.mail.account();
        let info = |(name, m): (&Bytes, &MemoryMailbox)| MailboxInfo {
            wire: name.clone(),
            text: String::from_utf8_lossy(name).into_owned(),
            delimiter: Some('/'),
            selectable: true,
            may_have_children: true,
            role: m.role,
            subscribed: m.subscribed,
            space: Space::Personal,
            counts: Some(counts(m)),
        };
        Ok(account.mailboxes.iter().map(info).collect())
    }

    fn examine(&mut self, name: &Bytes) -> Result<Opened, EndError> {
        self.opened = name.clone();
        let mailbox = self.mailbox("EXAMINE")?;
        let lie = self.mail.account().knobs.uid_next_lie;
        Ok(Opened {
            facts: EpochFacts {
                uid_validity: UidValidity(mailbox.uid_validity),
                uid_next: Some(Key((mailbox.uid_next + lie).max(1))),
                exists: mailbox.messages.len() as u64,
                highest_mod_seq: None,
                mailbox_id: None,
            },
            uids_not_sticky: false,
            permanent_flags: None,
            takes_new_keywords: true,
        })
    }

    fn all_keys(&self) -> Result<(Vec<Key>, u64), EndError> {
        let mailbox = self.mailbox("UID FETCH")?;
        let keys: Vec<Key> = mailbox.messages.keys().map(|k| Key(*k)).collect();
        let exists = keys.len() as u64;
        Ok((keys, exists))
    }
}

/// What a source in memory does with a FETCH.
impl MemorySession {
    fn lose(&self) -> EndError {
        self.alive.store(false, Ordering::Relaxed);
        lost("UID FETCH")
    }

    /// Ends the connection where poison is asked for.
    fn break_on(&self, keys: impl IntoIterator<Item = Key>, whole_range: bool) -> Result<(), EndError> {
        let account = self.mail.account();
        let knobs = &account.knobs;
        let hit = keys.into_iter().any(|k| knobs.poison.contains(&k.0));
        let breaks = hit && knobs.poisons_ranges == whole_range;
        drop(account);
        if breaks { Err(self.lose()) } else { Ok(()) }
    }

    /// The answer for one message; `None` where there is none.
    async fn answer(
        &self,
        mailbox: &MemoryMailbox,
        wanted: Wanted,
        way: Way,
        intake: &Intake,
    ) -> Result<Option<FetchEvent>, EndError> {
        let uid = wanted.key.0;
        let (unreadable, left_out, cut) = {
            let account = self.mail.account();
            let knobs = &account.knobs;
            let unreadable = knobs.unreadable.contains(&uid) && !(way == Way::Parts && knobs.parts);
            (unreadable, knobs.left_out.contains(&uid), knobs.cut.get(&uid).copied())
        };
        let Some(message) = mailbox.messages.get(&uid).filter(|_| !left_out) else { return Ok(None) };
        if unreadable {
            return Ok(Some(FetchEvent::NoBody { key: wanted.key }));
        }
        let octets = message.octets.slice(..cut.unwrap_or(usize::MAX).min(message.octets.len()));
        let mut builder = intake.begin(wanted.memory);
        builder.push(&octets).await?;
        let (key, flags) = (wanted.key, Some(message.flags.without_recent()));
        Ok(Some(FetchEvent::Fetched(Fetched { key, flags, body: builder.finish().await? })))
    }

    fn after_a_body(&self) -> Result<(), EndError> {
        let mut account = self.mail.account();
        account.fetched += 1;
        let left = account.knobs.renumber_after;
        account.knobs.renumber_after = left.map(|n| n.saturating_sub(1)).filter(|n| *n > 0);
        if left.is_some() && account.knobs.renumber_after.is_none() {
            account.renumber(&self.opened.clone(), false);
        }
        let cut = account.knobs.fetches_lost > 0;
        account.knobs.fetches_lost = account.knobs.fetches_lost.saturating_sub(1);
        drop(account);
        if cut { Err(self.lose()) } else { Ok(()) }
    }
}

fn lost(doing: &'static str) -> EndError {
    EndError::Lost { server: "memory".into(), doing, what: "cut".into() }
}

fn no_mailbox(doing: &'static str) -> EndError {
    let code = Some("NONEXISTENT".to_owned());
    let refusal =
        Refusal { class: RefusalClass::NoMailbox, bad: false, code, text: "no such mailbox".into() };
    EndError::Refused { server: "memory".into(), doing, refusal }
}

fn counts(mailbox: &MemoryMailbox) -> MailboxCounts {
    MailboxCounts {
        messages: mailbox.messages.len() as u64,
        octets: Some(mailbox.messages.values().map(|m| m.octets.len() as u64).sum()),
        uid_next: Some(Key(mailbox.uid_next)),
        uid_validity: Some(UidValidity(mailbox.uid_validity)),
        highest_mod_seq: None,
    }
}

impl Source for MemorySource {
    type Session = MemorySession;
    async fn connect(&self) -> Result<MemorySession, EndError> {
        Ok(MemorySession::open_on(&self.0))
    }
}

impl Target for MemoryTarget {
    type Session = MemorySession;
    async fn connect(&self) -> Result<MemorySession, EndError> {
        Ok(MemorySession::open_on(&self.0))
    }
}

impl SourceSession for MemorySession {
    fn abilities(&self) -> &Abilities {
        &self.abilities
    }
    async fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, EndError> {
        self.infos()
    }
    async fn open(&mut self, mailbox: &Bytes) -> Result<Opened, EndError> {
        self.examine(mailbox)
    }
    async fn list(&mut self, from: Key, out: mpsc::Sender<Vec<Listed>>) -> Result<u64, EndError> {
        let mailbox = self.mailbox("UID FETCH")?;
        let times = self.mail.account().knobs.sizes_times;
        let listed = |(uid, m): (&i64, &MemoryMessage)| Listed {
            key: Key(*uid),
            octets: m.octets.len() as u64 * times,
            flags: m.flags.without_recent(),
            internal_date: m.internal_date.clone(),
            mod_seq: None,
            lineage: None,
        };
        let all: Vec<Listed> = mailbox.messages.range(from.0..).map(listed).collect();
        let count = all.len() as u64;
        for piece in all.chunks(7) {
            if out.send(piece.to_vec()).await.is_err() {
                break;
            }
        }
        Ok(count)
    }
    async fn keys(&mut self) -> Result<(Vec<Key>, u64), EndError> {
        self.all_keys()
    }
    async fn fetch(
        &mut self,
        mut ranges: mpsc::Receiver<FetchRange>,
        intake: &Intake,
        out: mpsc::Sender<FetchEvent>,
    ) -> Result<(), EndError> {
        while let Some(range) = ranges.recv().await {
            let mailbox = self.mailbox("UID FETCH")?;
            self.break_on(range.wanted.iter().map(|w| w.key), true)?;
            let mut missing = Vec::new();
            for wanted in range.wanted {
                self.break_on([wanted.key], false)?;
                let key = wanted.key;
                let Some(event) = self.answer(&mailbox, wanted, range.way, intake).await? else {
                    missing.push(key);
                    continue;
                };
                if out.send(event).await.is_err() {
                    return Ok(());
                }
                self.after_a_body()?;
            }
            let done = FetchEvent::RangeDone { id: range.id, missing, refused: None };
            if out.send(done).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
    async fn room(&mut self) -> Result<Option<Room>, EndError> {
        Ok(None)
    }
    async fn keep_alive(&mut self) -> Result<(), EndError> {
        self.check("NOOP")
    }
    async fn close(self) {}
}

impl TargetSession for MemorySession {
    type Upload = MemoryUpload;
    fn abilities(&self) -> &Abilities {
        &self.abilities
    }
    async fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, EndError> {
        self.infos()
    }
    async fn create(&mut self, mailbox: &Bytes, role: Option<Role>) -> Result<Bytes, EndError> {
        self.check("CREATE")?;
        let mut account = self.mail.account();
        account.create(mailbox);
        if let Some(m) = account.mailboxes.get_mut(mailbox) {
            m.role = m.role.or(role);
        }
        Ok(mailbox.clone())
    }
    async fn subscribe(&mut self, mailbox: &Bytes) -> Result<(), EndError> {
        self.check("SUBSCRIBE")?;
        if let Some(m) = self.mail.account().mailboxes.get_mut(mailbox) {
            m.subscribed = true;
        }
        Ok(())
    }
    async fn open(&mut self, mailbox: &Bytes) -> Result<Opened, EndError> {
        self.examine(mailbox)
    }
    async fn counts(&mut self, mailbox: &Bytes) -> Result<MailboxCounts, EndError> {
        self.check("STATUS")?;
        self.mail.account().mailboxes.get(mailbox).map(counts).ok_or_else(|| no_mailbox("STATUS"))
    }
    fn stage(&mut self, mailbox: &Bytes, batch: Vec<Outgoing>) -> MemoryUpload {
        let mut account = self.mail.account();
        let fate = account.knobs.fates.pop_front().unwrap_or(Fate::Well);
        let (multi, tells_places) = (account.knobs.multi, account.knobs.tells_places);
        drop(account);
        MemoryUpload {
            mail: self.mail.clone(),
            mailbox: mailbox.clone(),
            batch,
            messages: Vec::new(),
            fate,
            multi,
            tells_places,
            alive: self.alive.clone(),
            finished: false,
        }
    }
    async fn keys(&mut self) -> Result<(Vec<Key>, u64), EndError> {
        self.all_keys()
    }
    async fn read(&mut self, uids: &[Key], depth: Depth, out: mpsc::Sender<Seen>) -> Result<(), EndError> {
        let mailbox = self.mailbox("UID FETCH")?;
        for uid in uids {
            let Some(message) = mailbox.messages.get(&uid.0) else { continue };
            let mut meter = Meter::new();
            meter.update(&message.octets);
            let seen = Seen {
                uid: *uid,
                flags: message.flags.without_recent(),
                internal_date: message.internal_date.clone(),
                octets: message.octets.len() as u64,
                mod_seq: None,
                measured: (depth == Depth::Octets).then(|| meter.finish()),
            };
            if out.send(seen).await.is_err() {
                break;
            }
        }
        Ok(())
    }
    async fn remove(&mut self, mailbox: &Bytes, uids: &[(Key, Option<u64>)]) -> Result<Vec<Key>, EndError> {
        self.check("UID EXPUNGE")?;
        let mut account = self.mail.account();
        let Some(mailbox) = account.mailboxes.get_mut(mailbox) else { return Err(no_mailbox("UID EXPUNGE")) };
        Ok(uids
            .iter()
            .filter(|(uid, _)| mailbox.messages.remove(&uid.0).is_some())
            .map(|(uid, _)| *uid)
            .collect())
    }
    async fn room(&mut self) -> Result<Option<Room>, EndError> {
        Ok(None)
    }
    async fn keep_alive(&mut self) -> Result<(), EndError> {
        self.check("NOOP")
    }
    async fn close(self) {}
    fn abort(self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}
