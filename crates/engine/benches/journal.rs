//! What the journal in SQLite costs a message: `cargo bench -p mailhaul-engine --bench journal`. It lies in the folder for
//! temporary files; TMPDIR names another disk. The groups are those that a batch of small messages makes.

use divan::Bencher;
use divan::counter::ItemsCount;
use mailhaul_engine::identity::Grade;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{
    AccountPair, BatchEnd, BatchId, Change, Decision, EpochFacts, EpochId, Form, Intent, ItemId, Journal,
    JournalResult, Ladder, ListedItem, MailboxId, MailboxRecord, Name, Origin, Place, ReadBack, Sent, Side,
    State,
};
use mailhaul_engine::message::{Digest, Fingerprint, Flags, InternalDate, Key, UidValidity};
use std::cell::RefCell;
use std::future::Future;
use tokio::runtime::Runtime;

/// Messages of a group.
const GROUP: usize = 50;
/// Messages of a page of a listing.
const PAGE: usize = 1_000;

fn main() {
    divan::main();
}

/// A journal with one mailbox, which is listed on and on.
struct Bed {
    runtime: Runtime,
    journal: SqliteJournal,
    mailbox: MailboxId,
    source: EpochId,
    target: EpochId,
    last_key: i64,
    // gone after the journal
    _folder: tempfile::TempDir,
}

impl Bed {
    /// None of what is timed can fail in a way that a benchmark should survive.
    fn new() -> Self {
        let made = || -> Result<Self, Box<dyn std::error::Error>> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let folder = tempfile::tempdir()?;
            let pair = AccountPair { source: "old".into(), target: "new".into() };
            let journal = SqliteJournal::open(folder.path().join("journal.sqlite"), &pair, "bench")?;
            let (mailbox, source, target) = runtime.block_on(prepared(&journal))?;
            Ok(Self { runtime, journal, mailbox, source, target, last_key: 0, _folder: folder })
        };
        made().expect("a journal in the folder for temporary files")
    }

    fn done<T>(&self, work: impl Future<Output = JournalResult<T>>) -> T {
        self.runtime.block_on(work).expect("a verb of the journal")
    }

    fn page(&mut self, messages: usize) -> Vec<ListedItem> {
        let first = self.last_key + 1;
        self.last_key += messages as i64;
        (first..=self.last_key).map(listed).collect()
    }

    fn list(&self, page: &[ListedItem]) {
        self.done(self.journal.record_listing(self.mailbox, self.source, page));
    }

    /// Messages that are listed.
    fn listed(&mut self) -> Vec<ItemId> {
        let page = self.page(GROUP);
        self.list(&page);
        let id = |item: &ListedItem| ItemId { mailbox: self.mailbox, epoch: self.source, key: item.key };
        page.iter().map(id).collect()
    }

    fn intent(&self, items: &[ItemId]) -> Intent {
        Intent {
            mailbox: self.mailbox,
            epoch: self.target,
            uid_next: Key(1),
            form: Form::Multi,
            items: items.iter().map(|item| (*item, sent(item.key))).collect(),
        }
    }

    fn commit(&self, intent: &Intent) -> BatchId {
        self.done(self.journal.commit_batch(intent))
    }

    fn stored(&self, items: &[ItemId]) -> Vec<Change> {
        let place = |item: &ItemId| Place { epoch: self.target, uid: item.key };
        items.iter().map(|item| Change::to(*item, State::Stored).at(place(item), Origin::Appended)).collect()
    }

    fn answer(&self, batch: BatchId, changes: &[Change]) {
        self.done(self.journal.end_batch(batch, BatchEnd::Answered, changes));
    }
}

/// A page of a listing of the source, new to the journal.
#[divan::bench(sample_size = 1, sample_count = 100)]
fn record_a_listing(bencher: Bencher<'_, '_>) {
    let bed = RefCell::new(Bed::new());
    bencher
        .with_inputs(|| bed.borrow_mut().page(PAGE))
        .input_counter(|page| ItemsCount::new(page.len()))
        .bench_local_refs(|page| bed.borrow().list(page));
}

/// COMMIT: waits for the disk.
#[divan::bench(sample_size = 1, sample_count = 200)]
fn commit_a_batch(bencher: Bencher<'_, '_>) {
    let bed = RefCell::new(Bed::new());
    bencher
        .with_inputs(|| {
            let items = bed.borrow_mut().listed();
            bed.borrow().intent(&items)
        })
        .input_counter(|intent| ItemsCount::new(intent.items.len()))
        .bench_local_refs(|intent| bed.borrow().commit(intent));
}

/// The target's OK with its UIDs.
#[divan::bench(sample_size = 1, sample_count = 200)]
fn end_a_batch(bencher: Bencher<'_, '_>) {
    let bed = RefCell::new(Bed::new());
    bencher
        .with_inputs(|| {
            let items = bed.borrow_mut().listed();
            let bed = bed.borrow();
            (bed.commit(&bed.intent(&items)), bed.stored(&items))
        })
        .input_counter(|(_, changes)| ItemsCount::new(changes.len()))
        .bench_local_refs(|(batch, changes)| bed.borrow().answer(*batch, changes));
}

/// What the verifier read back.
#[divan::bench(sample_size = 1, sample_count = 200)]
fn record_what_was_read_back(bencher: Bencher<'_, '_>) {
    let bed = RefCell::new(Bed::new());
    bencher
        .with_inputs(|| {
            let items = bed.borrow_mut().listed();
            let bed = bed.borrow();
            bed.answer(bed.commit(&bed.intent(&items)), &bed.stored(&items));
            items.into_iter().map(verified).collect::<Vec<Change>>()
        })
        .input_counter(|changes| ItemsCount::new(changes.len()))
        .bench_local_refs(|changes| {
            let bed = bed.borrow();
            bed.done(bed.journal.change(changes));
        });
}

async fn prepared(
    journal: &SqliteJournal,
) -> Result<(MailboxId, EpochId, EpochId), Box<dyn std::error::Error>> {
    let name = Name { wire: "INBOX".to_owned().into(), text: "INBOX".to_owned(), delimiter: Some('/') };
    let record = MailboxRecord {
        id: MailboxId(0),
        source: name.clone(),
        role: None,
        subscribed: true,
        messages: None,
        octets: None,
        decision: Decision::Move(name),
    };
    let saved = journal.save_mailboxes(&[record]).await?;
    let mailbox = saved.first().ok_or("the mailbox was not saved")?.id;
    let facts = EpochFacts {
        uid_validity: UidValidity(1),
        uid_next: Some(Key(1)),
        exists: 0,
        highest_mod_seq: Some(1),
        mailbox_id: None,
    };
    let source = journal.open_epoch(mailbox, Side::Source, &facts).await?.id;
    let target = journal.open_epoch(mailbox, Side::Target, &facts).await?.id;
    Ok((mailbox, source, target))
}

fn listed(key: i64) -> ListedItem {
    ListedItem {
        key: Key(key),
        octets: 4_000,
        flags: Flags::from_octets("\\Seen $Forwarded"),
        internal_date: Some(date()),
        mod_seq: Some(key.unsigned_abs()),
        lineage: Some(format!("{key:032x}")),
        excluded: None,
    }
}

fn date() -> InternalDate {
    InternalDate::from_octets("03-Mar-2020 10:11:12 +0000")
}

/// Each message has digests of its own, spread over their range as real ones are.
fn fingerprint(key: Key) -> Fingerprint {
    let word = (key.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut digest = [0; 32];
    digest.chunks_mut(8).for_each(|part| part.copy_from_slice(&word.to_le_bytes()));
    Fingerprint { octets: 4_000, exact: Digest(digest), normal: Digest(digest) }
}

fn sent(key: Key) -> Sent {
    let fingerprint = fingerprint(key);
    Sent {
        fetched: fingerprint,
        sent: fingerprint,
        flags: Flags::from_octets("\\Seen $Forwarded"),
        internal_date: Some(date()),
        ladder: Ladder::default(),
    }
}

fn verified(item: ItemId) -> Change {
    let read = ReadBack {
        fingerprint: Some(fingerprint(item.key)),
        octets: 4_000,
        flags: Flags::from_octets("\\Seen $Forwarded"),
        internal_date: Some(date()),
        mod_seq: Some(7),
    };
    Change { read_back: Some(read), grade: Some(Grade::Exact), ..Change::to(item, State::Verified) }
}
