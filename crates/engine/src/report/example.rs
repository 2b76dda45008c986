//! A journal of plain data, with the read verbs alone, and four migrations to show: complete, with exceptions,
//! incomplete, failed. Unlike a real journal it can be made to contradict itself.

use super::{EndFacts, Facts};
use crate::certificate::Signer;
use crate::config::Level;
use crate::identity::Grade;
use crate::journal::{
    AccountPair, Baseline, BatchEnd, BatchId, Change, Count, Decision, Epoch, EpochFacts, EpochId, Existing,
    Intent, Item, ItemId, Journal, JournalError, JournalResult, Ladder, Lease, ListedItem, ListingChange,
    MailboxId, MailboxRecord, Name, Note, NoteRecord, OpenBatch, Origin, Place, Query, ReadBack, Reason,
    RunId, RunRecord, Sent, Side, Sighting, State, Unstored,
};
use crate::message::{Digest, Fingerprint, Flags, InternalDate, Key, UidValidity};
use crate::run::{RunFacts, Server};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The number of the run that the examples report on.
const RUN: RunId = RunId(1);

/// The data of a journal.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    pub(super) runs: Vec<RunRecord>,
    pub(super) mailboxes: Vec<MailboxRecord>,
    pub(super) epochs: Vec<Epoch>,
    pub(super) baselines: Vec<(MailboxId, Baseline)>,
    pub(super) items: Vec<Item>,
    pub(super) notes: Vec<NoteRecord>,
    pub(super) sightings: Vec<(RunId, Sighting)>,
    /// Added to the counts: what only a broken journal would say.
    pub(super) skew: Vec<Count>,
}

pub(super) fn name(text: &str) -> Name {
    Name { wire: text.to_owned().into(), text: text.into(), delimiter: Some('/') }
}

pub(super) fn fingerprint(text: &str, octets: u64) -> Fingerprint {
    let digest = |level: &str| Digest(Sha256::digest(format!("{level}{text}")).into());
    Fingerprint { octets, exact: digest("L0"), normal: digest("L1") }
}

fn facts(uid_validity: u32, exists: u64) -> EpochFacts {
    EpochFacts {
        uid_validity: UidValidity(uid_validity),
        uid_next: Some(Key(exists as i64 + 1)),
        exists,
        highest_mod_seq: Some(7000),
        mailbox_id: None,
    }
}

impl Plain {
    /// One run, no mailboxes.
    pub(super) fn new() -> Self {
        let at = |s: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_520_000 + s);
        let (started, ended) = (at(0), Some(at(754)));
        let run = RunRecord { id: RUN, verb: "migrate".into(), started, ended, outcome: Some("done".into()) };
        let end = Server::default();
        let facts = RunFacts { level: Level::Octets, danger: Vec::new(), source: end.clone(), target: end };
        let note = NoteRecord { id: 1, run: Some(RUN), at: started, note: facts.note() };
        Self { runs: vec![run], notes: vec![note], ..Self::default() }
    }

    /// A mailbox that does not move.
    pub(super) fn left_out(&mut self, source: &str, messages: Option<u64>, decision: Decision) -> MailboxId {
        let id = MailboxId(self.mailboxes.len() as i64 + 1);
        let (source, octets) = (name(source), messages.map(|n| n * 41_000));
        self.mailboxes.push(MailboxRecord {
            id,
            source,
            role: None,
            subscribed: true,
            messages,
            octets,
            decision,
        });
        id
    }

    /// A mailbox with `messages` verified messages, listed on both sides by the run.
    pub(super) fn mailbox(&mut self, source: &str, target: &str, messages: i64) -> MailboxId {
        let id = self.left_out(source, Some(messages as u64), Decision::Move(name(target)));
        let (old, new) = (EpochId(id.0 * 2 - 1), EpochId(id.0 * 2));
        let exists = messages as u64;
        self.epochs.push(Epoch {
            id: old,
            mailbox: id,
            side: Side::Source,
            facts: facts(1_600_000_000, exists),
        });
        self.epochs.push(Epoch {
            id: new,
            mailbox: id,
            side: Side::Target,
            facts: facts(1_795_000_000, exists),
        });
        let baseline = Baseline { epoch: new, uid_next: Key(1), existing: Existing::New, matched: true };
        self.baselines.push((id, baseline));
        for (side, epoch) in [(Side::Source, old), (Side::Target, new)] {
            let uids = if messages == 0 { String::new() } else { format!("1:{messages}") };
            let facts = facts(if side == Side::Source { 1_600_000_000 } else { 1_795_000_000 }, exists);
            self.sightings.push((RUN, Sighting { mailbox: id, side, epoch, facts, uids }));
        }
        for uid in 1..=messages {
            self.items.push(verified(ItemId { mailbox: id, epoch: old, key: Key(uid) }, new));
        }
        id
    }

    /// Changes one message.
    pub(super) fn item(&mut self, mailbox: MailboxId, uid: i64) -> &mut Item {
        let found = self.items.iter_mut().find(|i| i.id.mailbox == mailbox && i.id.key.0 == uid);
        found.unwrap()
    }

    /// Makes one message an exception that never reached the target.
    pub(super) fn exception(&mut self, mailbox: MailboxId, uid: i64, kind: &str, text: &str) {
        let item = self.item(mailbox, uid);
        item.state = State::Exception;
        item.reason = Some(Reason::new(kind, text));
        (item.place, item.origin, item.read_back, item.grade) = (None, None, None, None);
    }

    /// Puts a message back to `listed`.
    pub(super) fn pending(&mut self, mailbox: MailboxId, uid: i64) {
        let item = self.item(mailbox, uid);
        item.state = State::Listed;
        (item.sent, item.place, item.origin, item.read_back, item.grade) = (None, None, None, None, None);
    }

    pub(super) fn note(&mut self, kind: &str, mailbox: Option<MailboxId>, text: &str) {
        let note = Note { kind: kind.into(), mailbox, key: None, text: text.into() };
        let (id, at) = (self.notes.len() as i64 + 1, SystemTime::UNIX_EPOCH);
        self.notes.push(NoteRecord { id, run: Some(RUN), at, note });
    }

    pub(super) fn journal(self) -> PlainJournal {
        PlainJournal(Arc::new(self))
    }
}

/// A message that moved as planned.
fn verified(id: ItemId, target: EpochId) -> Item {
    let text = format!("{}.{}", id.mailbox.0, id.key);
    let octets = 2_000 + (id.key.0 as u64 * 7919) % 90_000;
    let print = fingerprint(&text, octets);
    let date = Some(InternalDate::from_octets("03-Mar-2020 10:11:12 +0000"));
    let flags = Flags::from_octets("\\Seen");
    Item {
        id,
        state: State::Verified,
        octets,
        flags: flags.clone(),
        internal_date: date.clone(),
        lineage: None,
        sent: Some(Box::new(Sent {
            fetched: print,
            sent: print,
            flags: flags.clone(),
            internal_date: date.clone(),
            ladder: Ladder::default(),
        })),
        place: Some(Place { epoch: target, uid: id.key }),
        origin: Some(Origin::Appended),
        read_back: Some(Box::new(ReadBack {
            fingerprint: Some(print),
            octets,
            flags,
            internal_date: date,
            mod_seq: None,
        })),
        grade: Some(Grade::Exact),
        reason: None,
    }
}

/// What is passed in beside the journal.
pub(super) fn run_facts() -> Facts {
    let end = |server: &str, product: &str| EndFacts {
        server: server.into(),
        product: product.into(),
        tls: Some("TLS 1.3".into()),
        options: Vec::new(),
    };
    Facts {
        version: "0.1.0".into(),
        migration: "ann@old.example to ann@new.example".into(),
        source: end("imap.old.example:993", "Courier-IMAP"),
        target: end("imap.new.example:993", "Dovecot"),
        level: Some(Level::Octets),
        danger: Vec::new(),
        run: None,
        settle: Some(Duration::from_secs(10)),
        timings: vec![
            ("survey".into(), Duration::from_millis(820)),
            ("transfer".into(), Duration::from_secs(640)),
            ("verify".into(), Duration::from_secs(110)),
        ],
        signer: Some(signer()),
    }
}

/// Everybody's key: the first one of RFC 8032, 7.1.
pub(super) fn signer() -> Signer {
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    Signer::from_pem(pem.as_bytes()).unwrap()
}

/// Everything moved; one message differs in its line ends.
pub(super) fn complete() -> Plain {
    let mut plain = Plain::new();
    let inbox = plain.mailbox("INBOX", "INBOX", 812);
    plain.mailbox("Sent Items", "Sent", 271);
    plain.mailbox("Entwürfe", "Drafts", 4);
    plain.mailbox("Archive/2019", "Archive/2019", 117);
    plain.mailbox("Templates", "Templates", 0);
    plain.item(inbox, 40).grade = Some(Grade::Newline);
    plain.item(inbox, 40).read_back.as_mut().unwrap().fingerprint.as_mut().unwrap().exact =
        fingerprint("other line ends", 1).exact;
    plain
}

/// Three kinds of exception, a difference of flags, a refused mailbox, a rule, a doubt.
pub(super) fn exceptions() -> Plain {
    let mut plain = complete();
    let (inbox, sent) = (MailboxId(1), MailboxId(2));
    plain.exception(
        inbox,
        77,
        "refused",
        "NO Message contains invalid header <script>alert('no')</script> & \"more\"",
    );
    plain.exception(sent, 12, "too_big", "the message has 78 MB, the new server takes 50 MB at most");
    let damaged = plain.item(inbox, 305);
    (damaged.state, damaged.grade) = (State::Exception, Some(Grade::Damaged));
    damaged.reason = Some(Reason::new(
        "damaged",
        "the new server gives other octets than were sent: 4120 octets fetched, 4118 read back from UID 305 of INBOX",
    ));
    plain.item(inbox, 9).read_back.as_mut().unwrap().flags = Flags::from_octets("\\Seen \\Flagged");
    let old = plain.item(MailboxId(4), 3);
    (old.state, old.reason) = (State::Excluded, Some(Reason::new("since", "")));
    (old.sent, old.place, old.origin, old.read_back, old.grade) = (None, None, None, None, None);
    plain.item(inbox, 500).state = State::GoneAtTarget;
    plain.left_out("Junk", Some(2210), Decision::Exclude("exclude:Junk".into()));
    let why = "the new server does not create “a//b”: NO [CANNOT] Invalid mailbox name";
    plain.left_out("a//b", Some(3), Decision::Refuse(why.into()));
    let text =
        "2 messages of INBOX were found on the new server by their content after the connection was lost";
    plain.note("doubt:claimed_by_content", Some(inbox), text);
    plain.note("decision:adopt", Some(sent), "12 messages were there before");
    for sighting in plain.sightings.iter_mut().filter(|(_, s)| s.mailbox == inbox && s.side == Side::Target) {
        sighting.1.uids = "1:76,78:499,501:812".into();
    }
    plain
}

/// Interrupted: one mailbox half done, one not listed.
pub(super) fn incomplete() -> Plain {
    let mut plain = complete();
    for uid in 300..=812 {
        plain.pending(MailboxId(1), uid);
    }
    for uid in 250..=271 {
        plain.item(MailboxId(2), uid).state = State::Stored;
        plain.item(MailboxId(2), uid).grade = None;
    }
    plain.note("left", Some(MailboxId(4)), "Archive/2019 cannot be opened: NO [SERVERBUG] Internal error");
    plain
}

/// The journal counts one message more than it holds.
pub(super) fn failed() -> Plain {
    let mut plain = complete();
    plain.skew.push(Count {
        mailbox: MailboxId(1),
        state: State::Verified,
        grade: Some(Grade::Exact),
        kind: None,
        items: 1,
        octets: 5,
    });
    plain
}

/// The data behind the verbs.
#[derive(Clone, Debug)]
pub(super) struct PlainJournal(pub(super) Arc<Plain>);

fn read_only<T>() -> JournalResult<T> {
    Err(JournalError::Store {
        place: "plain data".into(),
        doing: "write",
        what: "it has only the read verbs".into(),
    })
}

impl Journal for PlainJournal {
    fn lease(&self) -> Lease {
        Lease { token: 0, expires: None }
    }
    async fn renew(&self) -> JournalResult<Lease> {
        read_only()
    }
    async fn release(&self) -> JournalResult<()> {
        read_only()
    }
    fn pair(&self) -> AccountPair {
        let (source, target) = ("imaps://ann@old.example:993".into(), "imaps://ann@new.example:993".into());
        AccountPair { source, target }
    }
    async fn setting(&self, _: &str) -> JournalResult<Option<String>> {
        Ok(None)
    }
    async fn pin_setting(&self, _: &str, _: &str) -> JournalResult<()> {
        read_only()
    }
    async fn begin_run(&self, _: &str) -> JournalResult<RunId> {
        read_only()
    }
    async fn end_run(&self, _: RunId, _: &str) -> JournalResult<()> {
        read_only()
    }
    async fn runs(&self, limit: usize) -> JournalResult<Vec<RunRecord>> {
        Ok(self.0.runs[self.0.runs.len().saturating_sub(limit)..].to_vec())
    }
    async fn save_mailboxes(&self, _: &[MailboxRecord]) -> JournalResult<Vec<MailboxRecord>> {
        read_only()
    }
    async fn mailboxes(&self) -> JournalResult<Vec<MailboxRecord>> {
        Ok(self.0.mailboxes.clone())
    }
    async fn open_epoch(&self, _: MailboxId, _: Side, _: &EpochFacts) -> JournalResult<Epoch> {
        read_only()
    }
    async fn epochs(&self, mailbox: MailboxId, side: Side) -> JournalResult<Vec<Epoch>> {
        Ok(self.0.epochs.iter().filter(|e| e.mailbox == mailbox && e.side == side).cloned().collect())
    }
    async fn baseline(&self, mailbox: MailboxId) -> JournalResult<Option<Baseline>> {
        Ok(self.0.baselines.iter().find(|(id, _)| *id == mailbox).map(|(_, b)| *b))
    }
    async fn set_baseline(&self, _: MailboxId, _: Baseline) -> JournalResult<()> {
        read_only()
    }
    async fn record_listing(
        &self,
        _: MailboxId,
        _: EpochId,
        _: &[ListedItem],
    ) -> JournalResult<ListingChange> {
        read_only()
    }
    async fn items(&self, query: Query<'_>) -> JournalResult<Vec<Item>> {
        let wanted = |i: &&Item| {
            query.mailbox.is_none_or(|m| m == i.id.mailbox)
                && (query.states.is_empty() || query.states.contains(&i.state))
                && query.after.is_none_or(|a| i.id > a)
        };
        Ok(self.0.items.iter().filter(wanted).take(query.limit).cloned().collect())
    }
    async fn counts(&self) -> JournalResult<Vec<Count>> {
        let one = |i: &Item| Count {
            mailbox: i.id.mailbox,
            state: i.state,
            grade: i.grade,
            kind: i.reason.as_ref().map(|r| r.kind.clone()),
            items: 1,
            octets: i.sent.as_ref().map_or(i.octets, |s| s.fetched.octets),
        };
        Ok(self.0.items.iter().map(one).chain(self.0.skew.iter().cloned()).collect())
    }
    async fn change(&self, _: &[Change]) -> JournalResult<()> {
        read_only()
    }
    async fn claims(&self, _: MailboxId, _: EpochId, _: Key, _: usize) -> JournalResult<Vec<(Key, ItemId)>> {
        read_only()
    }
    async fn commit_batch(&self, _: &Intent) -> JournalResult<BatchId> {
        read_only()
    }
    async fn end_batch(&self, _: BatchId, _: BatchEnd, _: &[Change]) -> JournalResult<()> {
        read_only()
    }
    async fn rekey(&self, _: &[(ItemId, ItemId)]) -> JournalResult<()> {
        read_only()
    }
    async fn open_batches(&self, _: MailboxId) -> JournalResult<Vec<OpenBatch>> {
        Ok(Vec::new())
    }
    async fn unplaced(&self, _: MailboxId, _: Option<ItemId>, _: usize) -> JournalResult<Vec<Item>> {
        Ok(Vec::new())
    }

    async fn unstored(&self, _: MailboxId, _: Option<BatchId>, _: usize) -> JournalResult<Vec<Unstored>> {
        Ok(Vec::new())
    }
    async fn note(&self, _: Note) -> JournalResult<()> {
        read_only()
    }
    async fn note_durably(&self, _: Note) -> JournalResult<()> {
        read_only()
    }
    async fn notes(&self, prefix: &str, after: i64, limit: usize) -> JournalResult<Vec<NoteRecord>> {
        let wanted = |n: &&NoteRecord| n.id > after && n.note.kind.starts_with(prefix);
        Ok(self.0.notes.iter().filter(wanted).take(limit).cloned().collect())
    }
    async fn save_sighting(&self, _: RunId, _: &Sighting) -> JournalResult<()> {
        read_only()
    }
    async fn last_sighting(
        &self,
        mailbox: MailboxId,
        side: Side,
    ) -> JournalResult<Option<(RunId, Sighting)>> {
        let of = |(_, s): &&(RunId, Sighting)| s.mailbox == mailbox && s.side == side;
        Ok(self.0.sightings.iter().rev().find(of).cloned())
    }
}
