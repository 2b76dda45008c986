//! The journal: the only memory of a migration.
//!
//! An intent is durable before the octet that could make it true is sent; report and certificate are queries
//! over it. State tables are the truth, changed by checked transitions ([`State`]) in one transaction; nothing
//! is replayed at start. No verb returns all items: what can be long is paged by key.
//!
//! Two promises differ. [`Journal::commit_batch`] returns when the intent is **durable**. Every other verb
//! returns when the change is visible to the next call; a crash of the machine may forget it, and everything
//! done after the last durable commit with it, but never in another order. The engine is right either way:
//! a forgotten answer only makes a batch doubtful, and it is then found by content.

mod error;
pub mod memory;
mod notes;
pub mod sqlite;
pub mod state;

use crate::identity::Grade;
use crate::message::{Fingerprint, Flags, InternalDate, Key, UidValidity};
use bytes::Bytes;
use std::future::Future;
use std::time::SystemTime;

pub use error::{JournalError, JournalResult};
pub(crate) use notes::{each_note, last_kind};
pub use state::State;

/// A source mailbox and the target mailbox it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxId(pub i64);

/// One UIDVALIDITY of one mailbox on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochId(pub i64);

/// One committed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub i64);

/// One execution of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub i64);

/// One source message. The order is the order of copying: by mailbox, then epoch, then key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId {
    /// Its mailbox.
    pub mailbox: MailboxId,
    /// The source epoch its key belongs to.
    pub epoch: EpochId,
    /// Its UID at the source.
    pub key: Key,
}

/// The two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The old server.
    Source,
    /// The new server.
    Target,
}

impl Side {
    /// The word in journal and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// The two accounts of a migration, as stable text without secrets (`imaps://ann@old.example:993`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountPair {
    /// Where mail comes from.
    pub source: String,
    /// Where it goes.
    pub target: String,
}

/// A name on a server: octets as the server writes them, text for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The wire form, the key for talking to the server.
    pub wire: Bytes,
    /// Decoded for display.
    pub text: String,
    /// The hierarchy delimiter of this mailbox, if it has one.
    pub delimiter: Option<char>,
}

/// What is done with a source mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its messages go to this target mailbox.
    Move(Name),
    /// Left out by the rule of this name.
    Exclude(String),
    /// It cannot be carried; the reason.
    Refuse(String),
}

/// A source mailbox in the journal. Written by the survey and the plan, stable between runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxRecord {
    /// Assigned by the journal at first sight of `source.wire`.
    pub id: MailboxId,
    /// Its name at the source.
    pub source: Name,
    /// The special-use role announced at the source (`\Sent`, RFC 6154), without the backslash, lower case.
    pub role: Option<String>,
    /// Subscribed at the source.
    pub subscribed: bool,
    /// Messages at the last survey; `None` when the mailbox could not be opened.
    pub messages: Option<u64>,
    /// Octets at the last survey, where known.
    pub octets: Option<u64>,
    /// What is done with it.
    pub decision: Decision,
}

/// Facts of an opened mailbox, on either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochFacts {
    /// Its generation.
    pub uid_validity: UidValidity,
    /// The next UID; `None` where the server gives none.
    pub uid_next: Option<Key>,
    /// Messages it holds.
    pub exists: u64,
    /// HIGHESTMODSEQ (RFC 7162), where kept.
    pub highest_mod_seq: Option<u64>,
    /// MAILBOXID (RFC 8474), where given.
    pub mailbox_id: Option<String>,
}

/// One epoch as the journal keeps it: the facts are those seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Its number.
    pub id: EpochId,
    /// Its mailbox.
    pub mailbox: MailboxId,
    /// Its side.
    pub side: Side,
    /// What was seen last.
    pub facts: EpochFacts,
}

/// What was decided about mail that a target mailbox held before the first APPEND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It was empty, or made by this migration.
    New,
    /// Match by content, claim, copy the rest.
    Adopt,
    /// Copy everything beside what is there.
    AppendAnyway,
}

impl Existing {
    /// The word in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Adopt => "adopt",
            Self::AppendAnyway => "append-anyway",
        }
    }
}

/// A target mailbox before the first APPEND of this migration: nothing below `uid_next` of this epoch is ours
/// unless adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The target's epoch then.
    pub epoch: EpochId,
    /// One more than the highest UID it held then; 1 for an empty one.
    pub uid_next: Key,
    /// The decision.
    pub existing: Existing,
    /// With [`Existing::Adopt`]: the matching is complete, gates may open (law 5).
    pub matched: bool,
}

/// A message as a listing of the source shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedItem {
    /// Its UID.
    pub key: Key,
    /// RFC822.SIZE; it may lie.
    pub octets: u64,
    /// Its flags without `\Recent`.
    pub flags: Flags,
    /// INTERNALDATE, if the server gave one.
    pub internal_date: Option<InternalDate>,
    /// MODSEQ, where kept.
    pub mod_seq: Option<u64>,
    /// X-GM-MSGID, EMAILID or X-GUID, prefixed by its kind (`emailid:…`).
    pub lineage: Option<String>,
    /// The rule that leaves it out, if one does.
    pub excluded: Option<String>,
}

/// What recording a listing changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListingChange {
    /// Messages never listed before.
    pub new: u64,
    /// Known messages whose flags differ from those of the last listing. Written, not carried.
    pub flags_changed: u64,
    /// Known keys under which the source shows another message now. What is known of them stays as it is.
    pub others: u64,
}

/// Another message than the one that was listed under this key: neither size nor INTERNALDATE may ever change
/// (RFC 9051, 2.3.1.1 and 2.3.3). One of them alone does: some servers tell sizes that they only estimate, or correct dates.
pub fn is_other(octets: u64, date: Option<&InternalDate>, listed: &ListedItem) -> bool {
    let instant = |date: Option<&InternalDate>| date.and_then(InternalDate::instant);
    let (then, now) = (instant(date), instant(listed.internal_date.as_ref()));
    octets != listed.octets && then.is_some() && now.is_some() && then != now
}

/// Changes made to a message so that the target takes it (integrity.md 3.3, T1 to T3, and T8), as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ladder(pub u8);

impl Ladder {
    /// T1: lone LF became CRLF.
    pub const LINE_ENDS: Self = Self(1);
    /// T2: sent without keywords.
    pub const NO_KEYWORDS: Self = Self(2);
    /// T3: sent without a date.
    pub const NO_DATE: Self = Self(4);
    /// T4: octets outside ASCII in header fields were encoded.
    pub const ENCODED: Self = Self(16);
    /// T8: sent inside a cover message, untouched.
    pub const WRAPPED: Self = Self(8);

    /// True when `step` was taken.
    pub fn has(self, step: Self) -> bool {
        self.0 & step.0 != 0
    }

    /// This, but not `step`.
    #[must_use]
    pub fn without(self, step: Self) -> Self {
        Self(self.0 & !step.0)
    }

    /// This and `step`.
    #[must_use]
    pub fn with(self, step: Self) -> Self {
        Self(self.0 | step.0)
    }
}

/// What is sent for an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The octets as fetched: what the grade compares with.
    pub fetched: Fingerprint,
    /// The octets as sent: the same unless the ladder changed them.
    pub sent: Fingerprint,
    /// The flags as sent.
    pub flags: Flags,
    /// The date as sent.
    pub internal_date: Option<InternalDate>,
    /// Steps of the ladder taken.
    pub ladder: Ladder,
}

/// A message at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The target's epoch.
    pub epoch: EpochId,
    /// Its UID there.
    pub uid: Key,
}

/// How a place came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// APPENDUID (RFC 4315) of our own APPEND.
    Appended,
    /// Found by content after doubt, or after an OK without a UID.
    Found,
    /// There before this migration.
    Adopted,
    /// Shared with another item: the server merges equal messages.
    Shared,
    /// COPYUID (RFC 4315) of our own COPY of a message that we put into another mailbox of the target.
    Copied,
}

impl Origin {
    /// All ways.
    pub const ALL: [Self; 5] = [Self::Appended, Self::Found, Self::Adopted, Self::Shared, Self::Copied];

    /// The word in journal and manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appended => "appended",
            Self::Found => "found",
            Self::Adopted => "adopted",
            Self::Shared => "shared",
            Self::Copied => "copied",
        }
    }

    /// Reads the word that [`Origin::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == word)
    }
}

/// What a session that did not append read at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// The octets; `None` when only facts were read.
    pub fingerprint: Option<Fingerprint>,
    /// RFC822.SIZE, or the number of octets read.
    pub octets: u64,
    /// The flags without `\Recent`.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: Option<InternalDate>,
    /// MODSEQ, where kept.
    pub mod_seq: Option<u64>,
}

/// Why an item is an exception, excluded, unreadable or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A short stable word: `refused`, `forbidden`, `too_big`, `unreadable`, `damaged`, `absent`, or the rule's name.
    pub kind: String,
    /// The server's own words, or ours, for a person.
    pub text: String,
}

impl Reason {
    /// Puts a word and its explanation together.
    pub fn new(kind: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind: kind.into(), text: text.into() }
    }
}

/// One source message as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Who it is.
    pub id: ItemId,
    /// Where it stands.
    pub state: State,
    /// What the source said of it; the flags are those of the last listing.
    pub octets: u64,
    /// See [`ListedItem::flags`].
    pub flags: Flags,
    /// See [`ListedItem::internal_date`].
    pub internal_date: Option<InternalDate>,
    /// See [`ListedItem::lineage`].
    pub lineage: Option<String>,
    /// What was, or is being, sent. Present from `committed` on.
    pub sent: Option<Box<Sent>>,
    /// Its claim.
    pub place: Option<Place>,
    /// How the claim came to be known.
    pub origin: Option<Origin>,
    /// The first read-back; what "untouched" means later.
    pub read_back: Option<Box<ReadBack>>,
    /// How the octets read back agree.
    pub grade: Option<Grade>,
    /// Why it is where it is.
    pub reason: Option<Reason>,
}

impl Item {
    /// A message of this size as a listing finds it, before anything else is known of it.
    pub(crate) fn listed(id: ItemId, octets: u64) -> Self {
        Self {
            id,
            state: State::Listed,
            octets,
            flags: Flags::default(),
            internal_date: None,
            lineage: None,
            sent: None,
            place: None,
            origin: None,
            read_back: None,
            grade: None,
            reason: None,
        }
    }
}

/// A checked change of one item. Facts that are `None` stay as they are.
///
/// A move to [`State::Listed`] forgets sent, place, read-back, grade and reason, and releases the claim.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which item.
    pub item: ItemId,
    /// Its new state.
    pub to: State,
    /// Its claim, with the way it came to be known.
    pub place: Option<(Place, Origin)>,
    /// What was read at the target. Only the first one is kept.
    pub read_back: Option<ReadBack>,
    /// The grade of what was read.
    pub grade: Option<Grade>,
    /// Why.
    pub reason: Option<Reason>,
    /// Set by adoption, where nothing was sent but the octets are known.
    pub sent: Option<Sent>,
    /// Where it was read. What was read there says nothing of an item that claims another place by now, or must be found
    /// again: [`JournalError::Elsewhere`].
    pub read_at: Option<Place>,
}

impl Change {
    /// A bare move of `item` to `to`.
    pub fn to(item: ItemId, to: State) -> Self {
        Self { item, to, place: None, read_back: None, grade: None, reason: None, sent: None, read_at: None }
    }

    /// With a claim.
    #[must_use]
    pub fn at(mut self, place: Place, origin: Origin) -> Self {
        self.place = Some((place, origin));
        self
    }

    /// True when the change speaks of another place than the item claims.
    pub(crate) fn is_elsewhere(&self, state: State, place: Option<Place>) -> bool {
        self.read_at.is_some_and(|at| state == State::Suspect || place != Some(at))
    }

    /// With a reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }
}

/// How the messages of a batch go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One MULTIAPPEND (RFC 3502), or one APPEND of one message: all or nothing.
    Multi,
    /// Pipelined single APPENDs: each message has its own fate.
    Group,
}

/// The intent to append: what must be durable before the gate opens (law 3).
#[derive(Clone, Debug)]
pub struct Intent {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The target's epoch.
    pub epoch: EpochId,
    /// No message of the batch can have a lower UID: one more than the highest seen in that epoch before it, now or
    /// earlier.
    pub uid_next: Key,
    /// One command or many.
    pub form: Form,
    /// The messages, in order. Each is `listed`, `fetched` or `refused` before and `committed` after.
    pub items: Vec<(ItemId, Sent)>,
}

/// A batch that is not closed.
#[derive(Clone, Debug)]
pub struct OpenBatch {
    /// Its number.
    pub id: BatchId,
    /// Its target epoch.
    pub epoch: EpochId,
    /// See [`Intent::uid_next`].
    pub uid_next: Key,
    /// One command or many.
    pub form: Form,
    /// When its intent became durable, by the wall clock.
    pub committed_at: SystemTime,
    /// Its items in order.
    pub items: Vec<ItemId>,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEnd {
    /// The server answered for every message of it.
    Answered,
    /// The connection was lost after the gate. The batch stays open, its unanswered items are `in_doubt`.
    Lost,
    /// Its gate was never opened: certainly not stored.
    Void,
    /// Its doubt was resolved by content.
    Resolved,
}

/// Appends that were concluded not to have stored their messages: the server said NO, or a scan after the settle time
/// did not find them. One that shows up later is a ghost (integrity.md 6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unstored {
    /// The closed batch.
    pub batch: BatchId,
    /// Its target epoch.
    pub epoch: EpochId,
    /// See [`Intent::uid_next`].
    pub uid_next: Key,
    /// What was sent and not stored, in order: the item, and the octets that went out then.
    pub sent: Vec<(ItemId, Fingerprint)>,
}

/// How many items of a mailbox are where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The state.
    pub state: State,
    /// The grade, for `verified`.
    pub grade: Option<Grade>,
    /// [`Reason::kind`], for `excluded`, `exception` and the like.
    pub kind: Option<String>,
    /// Number of items.
    pub items: u64,
    /// Sum of their octets (as fetched where known, else RFC822.SIZE).
    pub octets: u64,
}

/// Which items to read.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// Only this mailbox.
    pub mailbox: Option<MailboxId>,
    /// Only these states; empty for all.
    pub states: &'a [State],
    /// Only items after this one.
    pub after: Option<ItemId>,
    /// At most so many.
    pub limit: usize,
}

/// A remark in the journal: one row per batch or decision, never per message copied as planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// A stable word: `doubt:claimed_by_content`, `doubt:resent`, `ghost`, `epoch_changed`, `decision`, ….
    pub kind: String,
    /// The mailbox it is about.
    pub mailbox: Option<MailboxId>,
    /// The item it is about.
    pub key: Option<Key>,
    /// For a person.
    pub text: String,
}

/// A note as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteRecord {
    /// Its number, ascending.
    pub id: i64,
    /// The run it was written in.
    pub run: Option<RunId>,
    /// When.
    pub at: SystemTime,
    /// What.
    pub note: Note,
}

/// What a run saw of one mailbox at its end: kept because it cannot be had later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The side.
    pub side: Side,
    /// Its epoch.
    pub epoch: EpochId,
    /// Facts seen when it was opened for this listing.
    pub facts: EpochFacts,
    /// The complete UID set, in IMAP set syntax (`1:3,7`), empty for an empty mailbox.
    pub uids: String,
}

/// The start and end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its number.
    pub id: RunId,
    /// What it was: `migrate`, `verify`, `undo`, ….
    pub verb: String,
    /// When it began.
    pub started: SystemTime,
    /// When it ended, if it came to an end.
    pub ended: Option<SystemTime>,
    /// How, as one word.
    pub outcome: Option<String>,
}

/// The right to write, held by one process at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Grows with every holder; each write carries it, a stale one is refused.
    pub token: i64,
    /// When it ends unless renewed; `None` for a lock that lives as long as the process.
    pub expires: Option<SystemTime>,
}

/// One migration in a journal, opened by the one process that may write to it.
///
/// Cheap to clone; clones share the lease. Every write carries the fencing token. A failed verb has changed
/// nothing.
pub trait Journal: Clone + Send + Sync + 'static {
    /// The lease as last acquired or renewed.
    fn lease(&self) -> Lease;
    /// Extends the lease.
    fn renew(&self) -> impl Future<Output = JournalResult<Lease>> + Send;
    /// Gives the lease back; everything written before is durable when it returns. The handle is of no use afterwards:
    /// its writes fail with [`JournalError::Fenced`].
    fn release(&self) -> impl Future<Output = JournalResult<()>> + Send;
    /// The accounts this migration is about.
    fn pair(&self) -> AccountPair;

    /// A setting pinned at the first run (`mapping`, …).
    fn setting(&self, name: &str) -> impl Future<Output = JournalResult<Option<String>>> + Send;
    /// Pins a setting; a different value already pinned is [`JournalError::OtherSettings`].
    fn pin_setting(&self, name: &str, value: &str) -> impl Future<Output = JournalResult<()>> + Send;
    /// Starts a run.
    fn begin_run(&self, verb: &str) -> impl Future<Output = JournalResult<RunId>> + Send;
    /// Ends a run.
    fn end_run(&self, run: RunId, outcome: &str) -> impl Future<Output = JournalResult<()>> + Send;
    /// The runs so far, oldest first, at most `limit` of the latest.
    fn runs(&self, limit: usize) -> impl Future<Output = JournalResult<Vec<RunRecord>>> + Send;

    /// Adds or updates mailboxes by their source name; `id` is ignored on the way in and set in the result.
    fn save_mailboxes(
        &self,
        mailboxes: &[MailboxRecord],
    ) -> impl Future<Output = JournalResult<Vec<MailboxRecord>>> + Send;
    /// All mailboxes, by id.
    fn mailboxes(&self) -> impl Future<Output = JournalResult<Vec<MailboxRecord>>> + Send;
    /// Opens the epoch with this UIDVALIDITY, or updates the facts of a known one. The latest opened one of a
    /// side is its current one.
    fn open_epoch(
        &self,
        mailbox: MailboxId,
        side: Side,
        facts: &EpochFacts,
    ) -> impl Future<Output = JournalResult<Epoch>> + Send;
    /// All epochs of a mailbox on a side, the current one last.
    fn epochs(
        &self,
        mailbox: MailboxId,
        side: Side,
    ) -> impl Future<Output = JournalResult<Vec<Epoch>>> + Send;
    /// The baseline of a mailbox.
    fn baseline(&self, mailbox: MailboxId) -> impl Future<Output = JournalResult<Option<Baseline>>> + Send;
    /// Sets the baseline, durable when it returns. `matched` of a set baseline may change; nothing else may
    /// within the same epoch.
    fn set_baseline(
        &self,
        mailbox: MailboxId,
        baseline: Baseline,
    ) -> impl Future<Output = JournalResult<()>> + Send;

    /// Records part of a listing of the source: new messages become `listed` (or `excluded`), known ones get
    /// their flags updated; an excluded one that no rule excludes any more becomes `listed`, and a `listed` one
    /// that a rule now excludes becomes `excluded`.
    fn record_listing(
        &self,
        mailbox: MailboxId,
        epoch: EpochId,
        listed: &[ListedItem],
    ) -> impl Future<Output = JournalResult<ListingChange>> + Send;
    /// Items in order, one page.
    fn items(&self, query: Query<'_>) -> impl Future<Output = JournalResult<Vec<Item>>> + Send;
    /// Items of a mailbox that are `stored` without a place, after `after` in order, one page. They are few: none where the
    /// target tells UIDs.
    fn unplaced(
        &self,
        mailbox: MailboxId,
        after: Option<ItemId>,
        limit: usize,
    ) -> impl Future<Output = JournalResult<Vec<Item>>> + Send;
    /// How many of one mailbox are where: of [`counts`](Self::counts) those that are of it.
    fn counts_of(&self, mailbox: MailboxId) -> impl Future<Output = JournalResult<Vec<Count>>> + Send {
        async move {
            let mut counts = self.counts().await?;
            counts.retain(|count| count.mailbox == mailbox);
            Ok(counts)
        }
    }
    /// How many are where, by mailbox, state, grade and kind.
    fn counts(&self) -> impl Future<Output = JournalResult<Vec<Count>>> + Send;
    /// Moves items, all or none.
    fn change(&self, changes: &[Change]) -> impl Future<Output = JournalResult<()>> + Send;
    /// Gives items the numbers they have in another source epoch, all or none: `(from, to)`. Each keeps its state, its
    /// claim and all that is known of it. `to` must stand as a listing left it, `listed` or `excluded`: its row goes, and
    /// what the listing said (size, date, flags, lineage) is said of the item from now on. An item of another
    /// mailbox, or in an open batch, is refused.
    fn rekey(&self, pairs: &[(ItemId, ItemId)]) -> impl Future<Output = JournalResult<()>> + Send;
    /// Claimed UIDs of a target epoch from `from` on, ascending, one page, with their owners.
    fn claims(
        &self,
        mailbox: MailboxId,
        epoch: EpochId,
        from: Key,
        limit: usize,
    ) -> impl Future<Output = JournalResult<Vec<(Key, ItemId)>>> + Send;

    /// Makes an intent durable: its items are `committed`. An item of another mailbox, or in another open batch, is
    /// refused. The only verb that waits for the disk, beside [`Journal::set_baseline`] and [`Journal::release`].
    fn commit_batch(&self, intent: &Intent) -> impl Future<Output = JournalResult<BatchId>> + Send;
    /// Ends an open batch, or marks it lost, and moves its items, in one transaction. A batch whose items are not all
    /// decided cannot be closed: nobody would look for them again.
    fn end_batch(
        &self,
        batch: BatchId,
        end: BatchEnd,
        changes: &[Change],
    ) -> impl Future<Output = JournalResult<()>> + Send;
    /// Batches that are not closed, oldest first.
    fn open_batches(&self, mailbox: MailboxId) -> impl Future<Output = JournalResult<Vec<OpenBatch>>> + Send;

    /// What closed batches of a mailbox sent and did not store, by batch, oldest first: those after `after`, at most
    /// `limit` batches. A batch whose gate was never opened is not among them.
    fn unstored(
        &self,
        mailbox: MailboxId,
        after: Option<BatchId>,
        limit: usize,
    ) -> impl Future<Output = JournalResult<Vec<Unstored>>> + Send;

    /// Writes a remark.
    fn note(&self, note: Note) -> impl Future<Output = JournalResult<()>> + Send;
    /// Writes a remark, durable when it returns: an intent outside of batches.
    fn note_durably(&self, note: Note) -> impl Future<Output = JournalResult<()>> + Send;
    /// Remarks whose kind begins with `prefix`, ascending, one page.
    fn notes(
        &self,
        prefix: &str,
        after: i64,
        limit: usize,
    ) -> impl Future<Output = JournalResult<Vec<NoteRecord>>> + Send;
    /// Keeps what a run saw of a mailbox.
    fn save_sighting(
        &self,
        run: RunId,
        sighting: &Sighting,
    ) -> impl Future<Output = JournalResult<()>> + Send;
    /// The latest sighting of a mailbox on a side.
    fn last_sighting(
        &self,
        mailbox: MailboxId,
        side: Side,
    ) -> impl Future<Output = JournalResult<Option<(RunId, Sighting)>>> + Send;
}
