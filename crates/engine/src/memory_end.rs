//! Both ends in memory: for tests of everything that decides, and as the plainest statement of what an end
//! promises.

use crate::end::{
    Abilities, Answer, Depth, FetchEvent, FetchRange, Fetched, Listed, MailboxCounts, MailboxInfo, NewUids,
    Opened, Outgoing, Prefix, Role, Room, Seen, Source, SourceSession, Space, Target, TargetSession, Upload,
    Uploaded, Verdict,
};
use crate::error::{EndError, Refusal, RefusalClass};
use crate::identity::Meter;
use crate::journal::EpochFacts;
use crate::message::{Flags, InternalDate, Key, UidValidity};
use crate::transfer::spool::Intake;
use bytes::{Bytes, BytesMut};
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
    /// The UIDs whose octets the source does not give.
    pub unreadable: Vec<i64>,
    /// The UID whose FETCH ends the connection, every time.
    pub poison: Option<i64>,
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
            poison: None,
            merges: false,
        }
    }
}

#[derive(Debug, Default)]
struct Account {
    mailboxes: BTreeMap<Bytes, MemoryMailbox>,
    knobs: Knobs,
    appended: u64,
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
        let mut account = self.account();
        account.next_validity += 1000;
        let validity = account.next_validity;
        if let Some(m) = account.mailboxes.get_mut(mailbox.as_bytes()) {
            m.uid_validity = validity;
            m.messages = (500..).zip(std::mem::take(&mut m.messages).into_values()).collect();
            m.uid_next = m.messages.keys().last().map_or(500, |l| l + 1);
        }
    }

    /// Everything, for checkers.
    pub fn snapshot(&self) -> BTreeMap<Bytes, MemoryMailbox> {
        self.account().mailboxes.clone()
    }

    /// Messages stored through APPEND so far.
    pub fn appended(&self) -> u64 {
        self.account().appended
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
        Ok(Opened {
            facts: EpochFacts {
                uid_validity: UidValidity(mailbox.uid_validity),
                uid_next: Some(Key(mailbox.uid_next)),
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
        let listed = |(uid, m): (&i64, &MemoryMessage)| Listed {
            key: Key(*uid),
            octets: m.octets.len() as u64,
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
            let mut missing = Vec::new();
            for wanted in range.wanted {
                let (poison, unreadable) = {
                    let knobs = &self.mail.account().knobs;
                    (knobs.poison == Some(wanted.key.0), knobs.unreadable.contains(&wanted.key.0))
                };
                if poison {
                    self.alive.store(false, Ordering::Relaxed);
                    return Err(lost("UID FETCH"));
                }
                let event = match mailbox.messages.get(&wanted.key.0) {
                    Some(_) if unreadable => FetchEvent::NoBody { key: wanted.key },
                    Some(message) => {
                        let mut builder = intake.begin(wanted.memory);
                        builder.push(&message.octets).await?;
                        let (key, flags) = (wanted.key, Some(message.flags.without_recent()));
                        FetchEvent::Fetched(Fetched { key, flags, body: builder.finish().await? })
                    }
                    None => {
                        missing.push(wanted.key);
                        continue;
                    }
                };
                if out.send(event).await.is_err() {
                    return Ok(());
                }
                let cut = {
                    let knobs = &mut self.mail.account().knobs;
                    let cut = knobs.fetches_lost > 0;
                    knobs.fetches_lost = knobs.fetches_lost.saturating_sub(1);
                    cut
                };
                if cut {
                    self.alive.store(false, Ordering::Relaxed);
                    return Err(lost("UID FETCH"));
                }
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

/// A batch on its way to an account in memory.
#[derive(Debug)]
pub struct MemoryUpload {
    mail: MemoryMail,
    mailbox: Bytes,
    batch: Vec<Outgoing>,
    messages: Vec<MemoryMessage>,
    fate: Fate,
    multi: bool,
    tells_places: bool,
    alive: Arc<AtomicBool>,
    finished: bool,
}

impl Upload for MemoryUpload {
    async fn uploaded(&mut self) -> Uploaded {
        for outgoing in std::mem::take(&mut self.batch) {
            let mut octets = BytesMut::new();
            while (octets.len() as u64) < outgoing.body.octets() {
                match outgoing.body.piece(octets.len() as u64).await {
                    Ok(piece) => octets.extend_from_slice(&piece),
                    Err(error) => return Uploaded::Lost(error.to_string()),
                }
            }
            let (flags, internal_date) = (outgoing.flags, outgoing.internal_date);
            self.messages.push(MemoryMessage { octets: octets.freeze(), flags, internal_date });
        }
        tokio::task::yield_now().await;
        if self.fate == Fate::LostInUpload {
            self.alive.store(false, Ordering::Relaxed);
        }
        if self.alive.load(Ordering::Relaxed) { Uploaded::AtGate } else { Uploaded::Lost("cut".into()) }
    }

    async fn finish(mut self) -> Vec<Answer> {
        self.finished = true;
        let messages = std::mem::take(&mut self.messages);
        let total = messages.len();
        if !self.alive.load(Ordering::Relaxed) {
            return vec![Answer { messages: total, verdict: Verdict::Lost("cut before the gate".into()) }];
        }
        let answers = if self.multi { vec![self.store_all(messages)] } else { self.store_each(messages) };
        tokio::task::yield_now().await;
        answers
    }
}

impl MemoryUpload {
    fn lose(&self) -> Verdict {
        self.alive.store(false, Ordering::Relaxed);
        Verdict::Lost("cut".into())
    }

    fn store_all(&self, messages: Vec<MemoryMessage>) -> Answer {
        let total = messages.len();
        let verdict = match self.fate {
            Fate::LostNotStored => self.lose(),
            Fate::LostStoredLate(after) => {
                let at = tokio::time::Instant::now() + after;
                let mut account = self.mail.account();
                account.appended += total as u64;
                account.late.push((at, self.mailbox.clone(), messages));
                drop(account);
                self.lose()
            }
            Fate::LostStored | Fate::LostAfter(_) => {
                self.store(messages);
                self.lose()
            }
            Fate::Refuse(class) => {
                Verdict::Refused(Refusal { class, bad: false, code: None, text: "no".into() })
            }
            Fate::Well | Fate::LostInUpload => self.store(messages),
        };
        Answer { messages: total, verdict }
    }

    fn store_each(&self, messages: Vec<MemoryMessage>) -> Vec<Answer> {
        let mut answers = Vec::new();
        for (i, message) in messages.into_iter().enumerate() {
            let verdict = match self.fate {
                Fate::LostAfter(n) if i == n => {
                    self.store(vec![message]);
                    self.lose()
                }
                Fate::LostAfter(n) if i > n => self.lose(),
                Fate::LostAfter(_) => self.store(vec![message]),
                _ => self.store_all(vec![message]).verdict,
            };
            answers.push(Answer { messages: 1, verdict });
        }
        answers
    }

    fn store(&self, messages: Vec<MemoryMessage>) -> Verdict {
        let mut account = self.mail.account();
        if let Some(refusal) = account.objection(&messages) {
            return Verdict::Refused(refusal);
        }
        account.appended += messages.len() as u64;
        let uids: Vec<Key> = messages.into_iter().map(|m| Key(account.store(&self.mailbox, m))).collect();
        let validity = account.mailboxes.get(&self.mailbox).map_or(0, |m| m.uid_validity);
        Verdict::Stored(self.tells_places.then_some(NewUids { uid_validity: UidValidity(validity), uids }))
    }
}

impl Drop for MemoryUpload {
    fn drop(&mut self) {
        if !self.finished {
            self.alive.store(false, Ordering::Relaxed);
        }
    }
}
