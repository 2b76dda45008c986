//! Connections to an account in memory, as a source and as a target.

use super::{Fate, MemoryMail, MemoryMailbox, MemoryMessage, MemoryUpload};
use crate::end::{
    Abilities, Depth, FetchEvent, FetchRange, Fetched, Listed, MailboxCounts, MailboxInfo, Opened, Outgoing,
    Prefix, Role, Room, Seen, Source, SourceSession, Space, Target, TargetSession, Wanted, Way,
};
use crate::error::{EndError, Refusal, RefusalClass};
use crate::identity::Measured;
use crate::journal::EpochFacts;
use crate::message::{Key, UidValidity};
use crate::transfer::spool::Intake;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};

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
            announced: knobs.mailbox_id.map(|_| "OBJECTID".to_owned()).into_iter().collect(),
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
        let (lie, id) = {
            let account = self.mail.account();
            (account.knobs.uid_next_lie, account.knobs.mailbox_id)
        };
        Ok(Opened {
            facts: EpochFacts {
                uid_validity: UidValidity(mailbox.uid_validity),
                uid_next: Some(Key((mailbox.uid_next + lie).max(1))),
                exists: mailbox.messages.len() as u64,
                highest_mod_seq: None,
                mailbox_id: id.map(|id| id(name).to_owned()),
            },
            uids_not_sticky: false,
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
    async fn list(
        &mut self,
        mailbox: &Bytes,
        opened: oneshot::Sender<Opened>,
        out: mpsc::Sender<Vec<Listed>>,
    ) -> Result<u64, EndError> {
        // Who asked may want nothing more.
        let _ = opened.send(self.examine(mailbox)?);
        let mailbox = self.mailbox("UID FETCH")?;
        let times = self.mail.account().knobs.sizes_times;
        let listed = |(uid, m): (&i64, &MemoryMessage)| Listed {
            key: Key(*uid),
            octets: m.octets.len() as u64 * times,
            flags: m.flags.without_recent(),
            internal_date: m.internal_date.clone(),
            mod_seq: None,
            lineage: None,
            labels: Vec::new(),
        };
        let all: Vec<Listed> = mailbox.messages.iter().map(listed).collect();
        let count = all.len() as u64;
        for piece in all.chunks(7) {
            if out.send(piece.to_vec()).await.is_err() {
                break;
            }
        }
        Ok(count)
    }
    fn open_epoch(&self, _: &Bytes) -> Option<UidValidity> {
        // Its mailboxes change their epochs while they are open.
        None
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
    async fn delete_each(&mut self, mailboxes: &[Bytes]) -> Result<Vec<Result<(), EndError>>, EndError> {
        self.check("DELETE")?;
        let mut account = self.mail.account();
        let mut delete =
            |mailbox| account.mailboxes.remove(mailbox).map(|_| ()).ok_or_else(|| no_mailbox("DELETE"));
        Ok(mailboxes.iter().map(&mut delete).collect())
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
            let seen = Seen {
                uid: *uid,
                flags: message.flags.without_recent(),
                internal_date: message.internal_date.clone(),
                octets: message.octets.len() as u64,
                mod_seq: None,
                measured: (depth == Depth::Octets).then(|| Measured::of(&message.octets)),
            };
            if out.send(seen).await.is_err() {
                break;
            }
        }
        Ok(())
    }
    async fn octets(&mut self, uid: Key, octets_max: u64) -> Result<Option<Bytes>, EndError> {
        let octets = self.mailbox("UID FETCH")?.messages.get(&uid.0).map(|message| message.octets.clone());
        Ok(octets.filter(|octets| octets.len() as u64 <= octets_max))
    }
    async fn remove(
        &mut self,
        mailbox: &Bytes,
        epoch: UidValidity,
        uids: &[(Key, Option<u64>)],
    ) -> Result<Option<Vec<Key>>, EndError> {
        self.check("UID EXPUNGE")?;
        let mut account = self.mail.account();
        let Some(mailbox) = account.mailboxes.get_mut(mailbox) else { return Err(no_mailbox("UID EXPUNGE")) };
        if UidValidity(mailbox.uid_validity) != epoch {
            return Ok(None);
        }
        let removed = uids.iter().map(|(uid, _)| *uid);
        Ok(Some(removed.filter(|uid| mailbox.messages.remove(&uid.0).is_some()).collect()))
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
