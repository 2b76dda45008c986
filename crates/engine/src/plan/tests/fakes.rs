//! Ends and a journal in memory, with what survey and plan ask of them. Everything else is an error.

use crate::end::{
    Abilities, Answer, Depth, FetchEvent, FetchRange, Listed, MailboxCounts, MailboxInfo, Opened, Outgoing,
    Role, Room, Seen, SourceSession, TargetSession, Upload, Uploaded,
};
use crate::error::{EndError, Refusal, RefusalClass};
use crate::journal::{
    AccountPair, Baseline, BatchEnd, BatchId, Change, Count, Epoch, EpochFacts, EpochId, Intent, Item,
    ItemId, Journal, JournalError, JournalResult, Lease, ListedItem, ListingChange, MailboxId, MailboxRecord,
    Note, NoteRecord, OpenBatch, Query, RunId, RunRecord, Side as JournalSide, Sighting, Unstored,
};
use crate::message::{Key, UidValidity};
use crate::names;
use crate::survey_testing::Side;
use crate::transfer::spool::Intake;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{mpsc, oneshot};

/// What one mailbox of a fake end says, beside its listing.
#[derive(Clone, Debug, Default)]
pub(super) struct Behaviour {
    pub(super) exists: u64,
    pub(super) uid_next: Option<Key>,
    pub(super) refuse_open: bool,
    /// EXAMINE finds it although LIST does not.
    pub(super) unlisted: bool,
    pub(super) refuse_create: bool,
    /// CREATE makes this mailbox instead.
    pub(super) created_as: Option<Bytes>,
    /// The name asked for is not listed after CREATE.
    pub(super) silent: bool,
}

/// A session of either kind on one account.
#[derive(Clone, Debug)]
pub(super) struct FakeEnd {
    pub(super) side: Side,
    pub(super) behaviour: HashMap<Bytes, Behaviour>,
    pub(super) opened: Option<Bytes>,
    /// Every command that was asked for, as text.
    pub(super) log: Vec<String>,
    /// Fails the next CREATE like a lost connection.
    pub(super) lose_at_create: bool,
    pub(super) refuse_roles: bool,
}

fn refused(class: RefusalClass, text: &str) -> EndError {
    let refusal = Refusal { class, bad: false, code: None, text: text.to_owned() };
    EndError::Refused { server: "fake".to_owned(), doing: "a command", refusal }
}

fn unused() -> EndError {
    refused(RefusalClass::Unknown, "not part of this test")
}

impl FakeEnd {
    pub(super) fn new(side: Side) -> Self {
        let behaviour = HashMap::new();
        Self { side, behaviour, opened: None, log: Vec::new(), lose_at_create: false, refuse_roles: false }
    }

    pub(super) fn behave(mut self, text: &str, change: impl FnOnce(&mut Behaviour)) -> Self {
        change(self.behaviour.entry(names::encode(text, false).into()).or_default());
        self
    }

    fn behaviour(&self, wire: &Bytes) -> Behaviour {
        self.behaviour.get(wire).cloned().unwrap_or_default()
    }

    fn say(&mut self, verb: &str, wire: &Bytes) {
        self.log.push(format!("{verb} {}", String::from_utf8_lossy(wire)));
    }

    /// Commands that change something.
    pub(super) fn writes(&self) -> Vec<&str> {
        let writes =
            self.log.iter().filter(|line| line.starts_with("CREATE") || line.starts_with("SUBSCRIBE"));
        writes.map(String::as_str).collect()
    }

    fn examine(&mut self, wire: &Bytes) -> Result<Opened, EndError> {
        self.say("EXAMINE", wire);
        let behaviour = self.behaviour(wire);
        let there = behaviour.unlisted || self.side.listed.iter().any(|info| info.wire == *wire);
        if behaviour.refuse_open || !there {
            return Err(refused(RefusalClass::NoPermission, "Permission denied"));
        }
        self.opened = Some(wire.clone());
        let facts = EpochFacts {
            uid_validity: UidValidity(7),
            uid_next: behaviour.uid_next,
            exists: behaviour.exists,
            highest_mod_seq: None,
            mailbox_id: None,
        };
        Ok(Opened { facts, uids_not_sticky: false })
    }
}

impl SourceSession for FakeEnd {
    fn abilities(&self) -> &Abilities {
        &self.side.abilities
    }
    async fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, EndError> {
        Ok(self.side.listed.clone())
    }
    async fn open(&mut self, mailbox: &Bytes) -> Result<Opened, EndError> {
        self.examine(mailbox)
    }
    async fn list(
        &mut self,
        _: &Bytes,
        _: oneshot::Sender<Opened>,
        _: mpsc::Sender<Vec<Listed>>,
    ) -> Result<u64, EndError> {
        Err(unused())
    }
    fn open_epoch(&self, _: &Bytes) -> Option<UidValidity> {
        None
    }
    async fn keys(&mut self) -> Result<(Vec<Key>, u64), EndError> {
        Err(unused())
    }
    async fn fetch(
        &mut self,
        _: mpsc::Receiver<FetchRange>,
        _: &Intake,
        _: mpsc::Sender<FetchEvent>,
    ) -> Result<(), EndError> {
        Err(unused())
    }
    async fn room(&mut self) -> Result<Option<Room>, EndError> {
        Err(refused(RefusalClass::Unknown, "no quota here"))
    }
    async fn keep_alive(&mut self) -> Result<(), EndError> {
        Ok(())
    }
    async fn close(self) {}
}

pub(super) struct NoUpload;

impl Upload for NoUpload {
    async fn uploaded(&mut self) -> Uploaded {
        Uploaded::Lost("not part of this test".to_owned())
    }
    async fn finish(self) -> Vec<Answer> {
        Vec::new()
    }
}

impl TargetSession for FakeEnd {
    type Upload = NoUpload;
    fn abilities(&self) -> &Abilities {
        &self.side.abilities
    }
    async fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, EndError> {
        Ok(self.side.listed.clone())
    }
    async fn create(&mut self, mailbox: &Bytes, role: Option<Role>) -> Result<Bytes, EndError> {
        let as_role = role.map(|role| format!(" {}", role.as_str())).unwrap_or_default();
        self.log.push(format!("CREATE {}{as_role}", String::from_utf8_lossy(mailbox)));
        if self.lose_at_create {
            let (doing, what) = ("CREATE", "EOF".to_owned());
            return Err(EndError::Lost { server: "fake".to_owned(), doing, what });
        }
        let behaviour = self.behaviour(mailbox);
        if behaviour.refuse_create || (role.is_some() && self.refuse_roles) {
            return Err(refused(RefusalClass::Unknown, "Invalid mailbox name"));
        }
        let name = behaviour.created_as.unwrap_or_else(|| mailbox.clone());
        self.side = self.side.clone().wire(name.clone());
        Ok(if behaviour.silent { Bytes::new() } else { name })
    }
    async fn delete_each(&mut self, _: &[Bytes]) -> Result<Vec<Result<(), EndError>>, EndError> {
        unreachable!("a plan deletes nothing")
    }
    async fn subscribe(&mut self, mailbox: &Bytes) -> Result<(), EndError> {
        self.say("SUBSCRIBE", mailbox);
        Ok(())
    }
    async fn open(&mut self, mailbox: &Bytes) -> Result<Opened, EndError> {
        self.examine(mailbox)
    }
    async fn counts(&mut self, mailbox: &Bytes) -> Result<MailboxCounts, EndError> {
        self.say("STATUS", mailbox);
        let Behaviour { exists, uid_next, .. } = self.behaviour(mailbox);
        Ok(MailboxCounts { messages: exists, uid_next, ..MailboxCounts::default() })
    }
    fn stage(&mut self, _: &Bytes, _: Vec<Outgoing>) -> NoUpload {
        NoUpload
    }
    async fn keys(&mut self) -> Result<(Vec<Key>, u64), EndError> {
        let exists = self.opened.clone().map_or(0, |wire| self.behaviour(&wire).exists);
        Ok(((1..=exists).map(|n| Key(n as i64 * 10)).collect(), exists))
    }
    async fn read(&mut self, _: &[Key], _: Depth, _: mpsc::Sender<Seen>) -> Result<(), EndError> {
        Err(unused())
    }
    async fn octets(&mut self, _: Key, _: u64) -> Result<Option<Bytes>, EndError> {
        Err(unused())
    }
    async fn remove(
        &mut self,
        _: &Bytes,
        _: UidValidity,
        _: &[(Key, Option<u64>)],
    ) -> Result<Option<Vec<Key>>, EndError> {
        Err(unused())
    }
    async fn room(&mut self) -> Result<Option<Room>, EndError> {
        Ok(self.side.room)
    }
    async fn keep_alive(&mut self) -> Result<(), EndError> {
        Ok(())
    }
    async fn close(self) {}
    fn abort(self) {}
}

/// Mailboxes, settings, epochs, baselines and notes in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeJournal(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) settings: HashMap<String, String>,
    pub(super) mailboxes: Vec<MailboxRecord>,
    pub(super) epochs: Vec<Epoch>,
    pub(super) baselines: HashMap<MailboxId, Baseline>,
    pub(super) notes: Vec<Note>,
    pub(super) items: Vec<Item>,
}

impl FakeJournal {
    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap()
    }

    pub(super) fn record(&self, source: &str) -> MailboxRecord {
        self.tables().mailboxes.iter().find(|record| record.source.text == source).unwrap().clone()
    }
}

fn absent<V>() -> JournalResult<V> {
    Err(JournalError::NotFound { place: "not part of this test".to_owned() })
}

impl Journal for FakeJournal {
    fn lease(&self) -> Lease {
        Lease { token: 1, expires: None }
    }
    async fn renew(&self) -> JournalResult<Lease> {
        Ok(self.lease())
    }
    async fn release(&self) -> JournalResult<()> {
        Ok(())
    }
    fn pair(&self) -> AccountPair {
        AccountPair { source: "a".to_owned(), target: "b".to_owned() }
    }
    async fn setting(&self, name: &str) -> JournalResult<Option<String>> {
        Ok(self.tables().settings.get(name).cloned())
    }
    async fn pin_setting(&self, name: &str, value: &str) -> JournalResult<()> {
        match self.tables().settings.insert(name.to_owned(), value.to_owned()) {
            Some(old) if old != value => Err(JournalError::OtherSettings { what: name.to_owned() }),
            _ => Ok(()),
        }
    }
    async fn begin_run(&self, _: &str) -> JournalResult<RunId> {
        absent()
    }
    async fn end_run(&self, _: RunId, _: &str) -> JournalResult<()> {
        absent()
    }
    async fn runs(&self, _: usize) -> JournalResult<Vec<RunRecord>> {
        absent()
    }
    async fn save_mailboxes(&self, mailboxes: &[MailboxRecord]) -> JournalResult<Vec<MailboxRecord>> {
        let mut tables = self.tables();
        let mut saved = Vec::new();
        for record in mailboxes {
            let at = tables.mailboxes.iter().position(|known| known.source.wire == record.source.wire);
            let at = at.unwrap_or(tables.mailboxes.len());
            let record = MailboxRecord { id: MailboxId(at as i64 + 1), ..record.clone() };
            if at == tables.mailboxes.len() {
                tables.mailboxes.push(record.clone());
            } else {
                tables.mailboxes[at] = record.clone();
            }
            saved.push(record);
        }
        Ok(saved)
    }
    async fn mailboxes(&self) -> JournalResult<Vec<MailboxRecord>> {
        Ok(self.tables().mailboxes.clone())
    }
    async fn open_epoch(
        &self,
        mailbox: MailboxId,
        side: JournalSide,
        facts: &EpochFacts,
    ) -> JournalResult<Epoch> {
        let mut tables = self.tables();
        let id = EpochId(tables.epochs.len() as i64 + 1);
        tables.epochs.push(Epoch { id, mailbox, side, facts: facts.clone() });
        Ok(tables.epochs[tables.epochs.len() - 1].clone())
    }
    async fn epochs(&self, _: MailboxId, _: JournalSide) -> JournalResult<Vec<Epoch>> {
        absent()
    }
    async fn baseline(&self, mailbox: MailboxId) -> JournalResult<Option<Baseline>> {
        Ok(self.tables().baselines.get(&mailbox).copied())
    }
    async fn set_baseline(&self, mailbox: MailboxId, baseline: Baseline) -> JournalResult<()> {
        assert_eq!(self.tables().baselines.insert(mailbox, baseline), None, "a baseline is set once");
        Ok(())
    }
    async fn record_listing(
        &self,
        _: MailboxId,
        _: EpochId,
        _: &[ListedItem],
    ) -> JournalResult<ListingChange> {
        absent()
    }
    async fn items(&self, query: Query<'_>) -> JournalResult<Vec<Item>> {
        let tables = self.tables();
        let wanted = tables.items.iter().filter(|item| {
            Some(item.id.mailbox) == query.mailbox
                && query.states.contains(&item.state)
                && query.after.is_none_or(|after| item.id > after)
        });
        Ok(wanted.take(query.limit).cloned().collect())
    }
    async fn counts(&self) -> JournalResult<Vec<Count>> {
        Ok(Vec::new())
    }
    async fn change(&self, changes: &[Change]) -> JournalResult<()> {
        let mut tables = self.tables();
        for change in changes {
            let item = tables.items.iter_mut().find(|item| item.id == change.item).unwrap();
            assert!(item.state.may_become(change.to));
            item.state = change.to;
            item.reason = change.reason.clone();
        }
        Ok(())
    }
    async fn claims(&self, _: MailboxId, _: EpochId, _: Key, _: usize) -> JournalResult<Vec<(Key, ItemId)>> {
        absent()
    }
    async fn commit_batch(&self, _: &Intent) -> JournalResult<BatchId> {
        absent()
    }
    async fn end_batch(&self, _: BatchId, _: BatchEnd, _: &[Change]) -> JournalResult<()> {
        absent()
    }
    async fn rekey(&self, _: &[(ItemId, ItemId)]) -> JournalResult<()> {
        absent()
    }
    async fn open_batches(&self, _: MailboxId) -> JournalResult<Vec<OpenBatch>> {
        absent()
    }
    async fn unplaced(&self, _: MailboxId, _: Option<ItemId>, _: usize) -> JournalResult<Vec<Item>> {
        absent()
    }

    async fn unstored(&self, _: MailboxId, _: Option<BatchId>, _: usize) -> JournalResult<Vec<Unstored>> {
        absent()
    }
    async fn note(&self, note: Note) -> JournalResult<()> {
        self.tables().notes.push(note);
        Ok(())
    }
    async fn note_durably(&self, _: Note) -> JournalResult<()> {
        absent()
    }
    async fn notes(&self, _: &str, _: i64, _: usize) -> JournalResult<Vec<NoteRecord>> {
        Ok(Vec::new())
    }
    async fn save_sighting(&self, _: RunId, _: &Sighting) -> JournalResult<()> {
        absent()
    }
    async fn last_sighting(&self, _: MailboxId, _: JournalSide) -> JournalResult<Option<(RunId, Sighting)>> {
        absent()
    }
}
