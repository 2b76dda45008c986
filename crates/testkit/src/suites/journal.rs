//! What every journal promises.

use mailhaul_engine::identity::Grade;
use mailhaul_engine::journal::{
    Baseline, BatchEnd, BatchId, Change, Decision, EpochFacts, Existing, Form, Intent, Item, ItemId, Journal,
    JournalError, Ladder, ListedItem, MailboxId, MailboxRecord, Name, Note, Origin, Place, Query, ReadBack,
    Reason, Sent, Side, State,
};
use mailhaul_engine::message::{Digest, Fingerprint, Flags, InternalDate, Key, UidValidity};

/// A mailbox with `messages` listed messages, and its two epochs.
pub struct Prepared {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Its messages.
    pub items: Vec<ItemId>,
    /// A place of the target for a UID.
    pub target: mailhaul_engine::journal::EpochId,
}

impl Prepared {
    /// A place at the target.
    pub fn place(&self, uid: i64) -> Place {
        Place { epoch: self.target, uid: Key(uid) }
    }
}

fn facts(validity: u32) -> EpochFacts {
    EpochFacts {
        uid_validity: UidValidity(validity),
        uid_next: Some(Key(100)),
        exists: 3,
        highest_mod_seq: Some(7),
        mailbox_id: None,
    }
}

/// A message as listed.
pub fn listed(key: i64) -> ListedItem {
    ListedItem {
        key: Key(key),
        octets: 100 + key.unsigned_abs(),
        flags: Flags::from_octets("\\Seen $Work"),
        internal_date: Some(InternalDate::from_octets("03-Mar-2020 10:11:12 +0000")),
        mod_seq: None,
        lineage: None,
        excluded: None,
    }
}

/// What is sent for a message.
pub fn sent(n: u8) -> Sent {
    let fingerprint = Fingerprint { octets: 10, exact: Digest([n; 32]), normal: Digest([n ^ 0xff; 32]) };
    Sent {
        fetched: fingerprint,
        sent: Fingerprint { octets: 11, ..fingerprint },
        flags: Flags::from_octets("\\Seen"),
        internal_date: None,
        ladder: Ladder::NO_DATE,
    }
}

/// Makes a mailbox with listed messages.
pub async fn prepare<J: Journal>(journal: &J, messages: i64) -> Prepared {
    let name = |n: &str| Name { wire: n.to_owned().into(), text: n.to_owned(), delimiter: Some('/') };
    let record = MailboxRecord {
        id: MailboxId(0),
        source: name("INBOX"),
        role: Some("sent".into()),
        subscribed: true,
        messages: Some(3),
        octets: None,
        decision: Decision::Move(name("In&APw-box")),
    };
    let saved = journal.save_mailboxes(std::slice::from_ref(&record)).await.unwrap().remove(0);
    assert_eq!(saved, MailboxRecord { id: saved.id, ..record.clone() });
    assert_eq!(journal.save_mailboxes(&[record]).await.unwrap()[0].id, saved.id, "known by its source name");
    assert_eq!(journal.mailboxes().await.unwrap(), std::slice::from_ref(&saved));
    let source = journal.open_epoch(saved.id, Side::Source, &facts(5)).await.unwrap();
    let target = journal.open_epoch(saved.id, Side::Target, &facts(6)).await.unwrap();
    let all: Vec<ListedItem> = (1..=messages).map(listed).collect();
    let change = journal.record_listing(saved.id, source.id, &all).await.unwrap();
    assert_eq!(change.new, messages.unsigned_abs());
    let items = (1..=messages).map(|k| ItemId { mailbox: saved.id, epoch: source.id, key: Key(k) }).collect();
    Prepared { mailbox: saved.id, items, target: target.id }
}

/// All items.
pub async fn dump<J: Journal>(journal: &J) -> Vec<Item> {
    journal.items(Query { mailbox: None, states: &[], after: None, limit: 100_000 }).await.unwrap()
}

/// Commits a batch of these messages.
pub async fn commit<J: Journal>(
    journal: &J,
    p: &Prepared,
    items: &[ItemId],
) -> Result<BatchId, JournalError> {
    let intent = Intent {
        mailbox: p.mailbox,
        epoch: p.target,
        uid_next: Key(40),
        form: Form::Multi,
        items: items.iter().map(|id| (*id, sent(id.key.0 as u8))).collect(),
    };
    journal.commit_batch(&intent).await
}

/// A batch goes through its life; the claims are unique; a return to `listed` forgets everything.
pub async fn batches_and_claims<J: Journal>(journal: J) {
    let p = prepare(&journal, 6).await;
    let batch = commit(&journal, &p, &p.items[..3]).await.unwrap();
    let open = journal.open_batches(p.mailbox).await.unwrap();
    assert_eq!(
        (open.len(), open[0].id, open[0].uid_next, &open[0].items[..]),
        (1, batch, Key(40), &p.items[..3])
    );
    assert!(commit(&journal, &p, &p.items[2..4]).await.is_err(), "an item is in one open batch at most");
    assert_eq!(dump(&journal).await[3].state, State::Listed, "and a failed verb changes nothing");
    let stored = |i: usize, uid| Change::to(p.items[i], State::Stored).at(p.place(uid), Origin::Appended);
    let lost =
        [stored(0, 41), Change::to(p.items[1], State::InDoubt), Change::to(p.items[2], State::InDoubt)];
    journal.end_batch(batch, BatchEnd::Lost, &lost).await.unwrap();
    assert_eq!(journal.open_batches(p.mailbox).await.unwrap().len(), 1, "a lost batch stays open");
    let taken = [stored(1, 41), Change::to(p.items[2], State::Listed)];
    let error = journal.end_batch(batch, BatchEnd::Resolved, &taken).await.unwrap_err();
    assert!(
        matches!(error, JournalError::ClaimTaken { uid: Key(41), by, .. } if by == p.items[0]),
        "{error}"
    );
    assert_eq!(dump(&journal).await[2].state, State::InDoubt, "all or none");
    journal.end_batch(batch, BatchEnd::Resolved, &[stored(1, 42), taken[1].clone()]).await.unwrap();
    assert!(journal.open_batches(p.mailbox).await.unwrap().is_empty());
    let claims = journal.claims(p.mailbox, p.target, Key(42), 10).await.unwrap();
    assert_eq!(claims, [(Key(42), p.items[1])]);
    let all = dump(&journal).await;
    assert_eq!(all[0].sent, Some(sent(1)));
    assert_eq!((all[0].place, all[0].origin), (Some(p.place(41)), Some(Origin::Appended)));
    assert_eq!((all[2].state, &all[2].sent), (State::Listed, &None));
    journal.change(&[Change::to(p.items[0], State::Listed)]).await.unwrap();
    assert!(journal.claims(p.mailbox, p.target, Key(1), 10).await.unwrap().len() == 1, "the claim is free");
    let batch = commit(&journal, &p, &p.items[..1]).await.unwrap();
    journal.end_batch(batch, BatchEnd::Answered, &[stored(0, 41)]).await.unwrap();
}

/// Every move is checked against the one table. Each pair of states gets a message of its own.
pub async fn moves_are_checked<J: Journal>(journal: J) {
    let pairs: Vec<(State, State)> =
        State::ALL.into_iter().flat_map(|f| State::ALL.map(|t| (f, t))).collect();
    let p = prepare(&journal, pairs.len() as i64).await;
    for ((from, to), item) in pairs.into_iter().zip(&p.items) {
        let mut at = State::Listed;
        while at != from {
            let Some(step) = first_step(at, from) else { panic!("no way to {from:?}") };
            journal.change(&[Change::to(*item, step)]).await.unwrap();
            at = step;
        }
        let moved = journal.change(&[Change::to(*item, to)]).await;
        assert_eq!(moved.is_ok(), from.may_become(to), "{from:?} to {to:?}");
        if let Err(error) = moved {
            assert!(matches!(error, JournalError::Illegal { .. }), "{error}");
        }
        let now = dump(&journal).await.into_iter().find(|i| i.id == *item).unwrap().state;
        assert_eq!(now, if from.may_become(to) { to } else { from });
    }
}

/// The first step of a shortest way between two states.
fn first_step(from: State, to: State) -> Option<State> {
    let mut first: std::collections::BTreeMap<State, State> = from.next().iter().map(|s| (*s, *s)).collect();
    let mut queue: Vec<State> = from.next().to_vec();
    while !queue.is_empty() {
        let mut next = Vec::new();
        for state in queue {
            for s in state.next().iter().filter(|s| !first.contains_key(s)).collect::<Vec<_>>() {
                first.insert(*s, first[&state]);
                next.push(*s);
            }
        }
        queue = next;
    }
    first.get(&to).copied()
}

/// Listing is idempotent; exclusion comes and goes; flags follow the source.
pub async fn listings<J: Journal>(journal: J) {
    let p = prepare(&journal, 3).await;
    let epoch = p.items[0].epoch;
    let again = journal.record_listing(p.mailbox, epoch, &[listed(1), listed(2)]).await.unwrap();
    assert_eq!((again.new, again.flags_changed), (0, 0));
    let flagged = ListedItem { flags: Flags::from_octets("\\Flagged"), ..listed(1) };
    let ruled = ListedItem { excluded: Some("since".into()), ..listed(2) };
    let change = journal.record_listing(p.mailbox, epoch, &[flagged.clone(), ruled.clone()]).await.unwrap();
    assert_eq!((change.new, change.flags_changed), (0, 1));
    let all = dump(&journal).await;
    assert_eq!(all[0].flags, flagged.flags);
    assert_eq!((all[1].state, all[1].reason.as_ref().unwrap().kind.as_str()), (State::Excluded, "since"));
    journal.record_listing(p.mailbox, epoch, &[listed(2)]).await.unwrap();
    assert_eq!((dump(&journal).await[1].state, &dump(&journal).await[1].reason), (State::Listed, &None));
    let counts = journal.counts().await.unwrap();
    assert_eq!((counts.len(), counts[0].items, counts[0].octets), (1, 3, 101 + 102 + 103));
}

/// Pages are complete, ordered and without repeats.
pub async fn pages<J: Journal>(journal: J) {
    let p = prepare(&journal, 25).await;
    journal.change(&[Change::to(p.items[4], State::GoneAtSource)]).await.unwrap();
    for mailbox in [Some(p.mailbox), None] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let states = &[State::Listed, State::Stored];
            let page = journal.items(Query { mailbox, states, after, limit: 7 }).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            seen.extend(page.iter().map(|i| i.id));
        }
        let expected: Vec<ItemId> = p.items.iter().copied().filter(|i| i.key != Key(5)).collect();
        assert_eq!(seen, expected);
    }
}

/// The first read-back is the one that is kept.
pub async fn read_backs<J: Journal>(journal: J) {
    let p = prepare(&journal, 1).await;
    let batch = commit(&journal, &p, &p.items).await.unwrap();
    let stored = Change::to(p.items[0], State::Stored).at(p.place(50), Origin::Appended);
    journal.end_batch(batch, BatchEnd::Answered, &[stored]).await.unwrap();
    let read = |flags: &str| ReadBack {
        fingerprint: Some(sent(1).fetched),
        octets: 10,
        flags: Flags::from_octets(flags.to_owned()),
        internal_date: Some(InternalDate::from_octets("x")),
        mod_seq: Some(9),
    };
    for (grade, flags) in [(Grade::Newline, ""), (Grade::Exact, "\\Flagged")] {
        let mut change = Change::to(p.items[0], State::Verified);
        change.read_back = Some(read(flags));
        change.grade = Some(grade);
        journal.change(&[change]).await.unwrap();
    }
    let item = dump(&journal).await.remove(0);
    assert_eq!((item.read_back, item.grade), (Some(read("")), Some(Grade::Exact)));
    let gone = Change::to(p.items[0], State::Exception).because(Reason::new("damaged", "other octets"));
    journal.change(&[gone]).await.unwrap();
    assert_eq!(dump(&journal).await[0].reason, Some(Reason::new("damaged", "other octets")));
}

/// Settings, baselines, epochs, runs and notes.
pub async fn facts_are_kept<J: Journal>(journal: J) {
    let p = prepare(&journal, 1).await;
    journal.pin_setting("mapping", "a").await.unwrap();
    journal.pin_setting("mapping", "a").await.unwrap();
    let error = journal.pin_setting("mapping", "b").await.unwrap_err();
    assert!(matches!(error, JournalError::OtherSettings { .. }));
    assert_eq!(journal.setting("mapping").await.unwrap().as_deref(), Some("a"));
    let baseline = Baseline { epoch: p.target, uid_next: Key(9), existing: Existing::Adopt, matched: false };
    journal.set_baseline(p.mailbox, baseline).await.unwrap();
    assert!(journal.set_baseline(p.mailbox, Baseline { uid_next: Key(1), ..baseline }).await.is_err());
    journal.set_baseline(p.mailbox, Baseline { matched: true, ..baseline }).await.unwrap();
    assert!(journal.baseline(p.mailbox).await.unwrap().unwrap().matched);
    let old = journal.epochs(p.mailbox, Side::Target).await.unwrap().pop().unwrap();
    let new = journal.open_epoch(p.mailbox, Side::Target, &facts(77)).await.unwrap();
    assert_eq!(journal.epochs(p.mailbox, Side::Target).await.unwrap().last(), Some(&new));
    let again = journal.open_epoch(p.mailbox, Side::Target, &old.facts).await.unwrap();
    assert_eq!(
        (again.id, journal.epochs(p.mailbox, Side::Target).await.unwrap().pop()),
        (old.id, Some(again.clone()))
    );
    let run = journal.begin_run("migrate").await.unwrap();
    for kind in ["doubt:a", "ghost", "doubt:b"] {
        let note = Note { kind: kind.into(), mailbox: Some(p.mailbox), key: Some(Key(3)), text: "t".into() };
        journal.note(note).await.unwrap();
    }
    let doubts = journal.notes("doubt:", 0, 10).await.unwrap();
    assert_eq!(doubts.iter().map(|n| n.note.kind.as_str()).collect::<Vec<_>>(), ["doubt:a", "doubt:b"]);
    assert_eq!(doubts[0].run, Some(run));
    journal.end_run(run, "done").await.unwrap();
    assert_eq!(journal.runs(1).await.unwrap()[0].outcome.as_deref(), Some("done"));
}
