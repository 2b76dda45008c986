//! Small mailboxes to try a journal with.

use mailhaul_engine::journal::{
    AccountPair, BatchEnd, BatchId, Change, Decision, EpochFacts, EpochId, Form, Intent, Item, ItemId,
    Journal, JournalResult, Ladder, ListedItem, MailboxId, MailboxRecord, Name, Origin, Place, Query, Reason,
    Sent, Side, State,
};
use mailhaul_engine::message::{Digest, Fingerprint, Flags, InternalDate, Key, UidValidity};

/// The accounts of every test.
pub fn pair() -> AccountPair {
    AccountPair { source: "imaps://ann@old.example:993".into(), target: "imaps://ann@new.example:993".into() }
}

/// A mailbox with listed messages and an epoch on either side.
pub struct Prepared {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its messages, with keys from 1 on.
    pub items: Vec<ItemId>,
    /// The source's epoch.
    pub source: EpochId,
    /// The target's epoch.
    pub target: EpochId,
}

impl Prepared {
    /// A place at the target.
    pub fn place(&self, uid: i64) -> Place {
        Place { epoch: self.target, uid: Key(uid) }
    }

    /// The move of a message to `stored` at this UID.
    pub fn stored(&self, item: usize, uid: i64) -> Change {
        Change::to(self.items[item], State::Stored).at(self.place(uid), Origin::Appended)
    }
}

/// Facts of a mailbox with this UIDVALIDITY.
pub fn facts(validity: u32) -> EpochFacts {
    EpochFacts {
        uid_validity: UidValidity(validity),
        uid_next: Some(Key(100)),
        exists: 3,
        highest_mod_seq: Some(7),
        mailbox_id: None,
    }
}

/// A mailbox of this name that goes to one of the same name.
pub fn record(name: &str) -> MailboxRecord {
    let name = Name { wire: name.to_owned().into(), text: name.to_owned(), delimiter: Some('/') };
    MailboxRecord {
        id: MailboxId(0),
        source: name.clone(),
        role: Some("sent".into()),
        subscribed: true,
        messages: Some(3),
        octets: None,
        decision: Decision::Move(name),
    }
}

/// A message as listed.
pub fn listed(key: i64) -> ListedItem {
    ListedItem {
        key: Key(key),
        octets: 100 + key.unsigned_abs(),
        flags: Flags::from_octets("\\Seen $Work"),
        internal_date: Some(InternalDate::from_octets("03-Mar-2020 10:11:12 +0000")),
        mod_seq: Some(key.unsigned_abs()),
        lineage: Some(format!("emailid:M{key}")),
        excluded: None,
    }
}

/// What is sent for a message: its octets differ in number from those listed, and the ladder changed them.
pub fn sent(n: u8) -> Sent {
    let fingerprint =
        Fingerprint { octets: 10 + u64::from(n), exact: Digest([n; 32]), normal: Digest([n ^ 0xff; 32]) };
    Sent {
        fetched: fingerprint,
        sent: Fingerprint { octets: 11, ..fingerprint },
        flags: Flags::from_octets("\\Seen"),
        internal_date: None,
        ladder: Ladder::NO_DATE,
    }
}

/// Makes the mailbox `INBOX` with listed messages.
pub async fn prepare<J: Journal>(journal: &J, messages: i64) -> Prepared {
    prepare_named(journal, "INBOX", messages).await
}

/// Makes a mailbox with listed messages.
pub async fn prepare_named<J: Journal>(journal: &J, name: &str, messages: i64) -> Prepared {
    let mailbox = journal.save_mailboxes(&[record(name)]).await.unwrap()[0].id;
    let source = journal.open_epoch(mailbox, Side::Source, &facts(5)).await.unwrap().id;
    let target = journal.open_epoch(mailbox, Side::Target, &facts(6)).await.unwrap().id;
    let all: Vec<ListedItem> = (1..=messages).map(listed).collect();
    let change = journal.record_listing(mailbox, source, &all).await.unwrap();
    assert_eq!(change.new, messages.unsigned_abs());
    let items = (1..=messages).map(|k| ItemId { mailbox, epoch: source, key: Key(k) }).collect();
    Prepared { mailbox, items, source, target }
}

/// An intent for these messages.
pub fn intent(p: &Prepared, items: &[ItemId]) -> Intent {
    Intent {
        mailbox: p.mailbox,
        epoch: p.target,
        uid_next: Key(40),
        form: Form::Multi,
        items: items.iter().map(|id| (*id, sent(id.key.0 as u8))).collect(),
    }
}

/// Commits a batch of these messages.
pub async fn commit<J: Journal>(journal: &J, p: &Prepared, items: &[ItemId]) -> JournalResult<BatchId> {
    journal.commit_batch(&intent(p, items)).await
}

/// Copies a message: its batch is committed and answered.
pub async fn store<J: Journal>(journal: &J, p: &Prepared, item: usize, uid: i64) {
    let batch = commit(journal, p, &p.items[item..=item]).await.unwrap();
    journal.end_batch(batch, BatchEnd::Answered, &[p.stored(item, uid)]).await.unwrap();
}

/// One message as the journal has it.
pub async fn item<J: Journal>(journal: &J, id: ItemId) -> Item {
    let before = ItemId { key: Key(id.key.0 - 1), ..id };
    let query = Query { mailbox: Some(id.mailbox), states: &[], after: Some(before), limit: 1 };
    journal.items(query).await.unwrap().remove(0)
}

/// A reason.
pub fn reason(kind: &str) -> Reason {
    Reason::new(kind, format!("the text of {kind}"))
}
