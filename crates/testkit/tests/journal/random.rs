//! Random sequences of verbs: memory and SQLite answer alike and end alike.

use super::{InFile, InMemory};
use mailhaul_engine::identity::Grade;
use mailhaul_engine::journal::{
    Baseline, BatchEnd, BatchId, Change, EpochId, Existing, Form, Intent, ItemId, Journal, JournalError,
    JournalResult, ListedItem, MailboxId, Note, Origin, Place, Query, ReadBack, RunId, Side, Sighting, State,
};
use mailhaul_engine::message::{Flags, Key};
use mailhaul_testkit::suites::journal::fixtures::{facts, listed, reason, record, sent};
use mailhaul_testkit::suites::journal::{Shelf, check_consistency, dump};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    SaveMailbox(u8),
    OpenEpoch(i64, bool, u32),
    Baseline(i64, i64, i64, bool),
    List(i64, i64, Vec<(i64, u8)>),
    Change(Vec<Move>),
    Commit(i64, i64, Vec<Id>),
    End(i64, u8, Vec<Move>),
    /// Answers the oldest open batch of a mailbox as a server would.
    Answer(i64, u8),
    Rekey(Vec<(Id, Id)>),
    Pin(u8, u8),
    Run(bool),
    Note(u8),
    Sight(i64, i64, u8),
    Page(Option<i64>, Vec<u8>, Option<Id>, usize),
    Reopen,
}

#[derive(Clone, Copy, Debug)]
struct Id(i64, i64, i64);

/// Numbers of messages on both sides of where a store may divide them, by the small numbers of the sequences.
const KEYS: [i64; 9] = [0, 1, 2, 63, 64, 65, 128, 4_096, 70_000];
/// Added to UIDs for the same reason.
const UIDS: i64 = 122;

impl Id {
    fn item(self) -> ItemId {
        ItemId { mailbox: MailboxId(self.0), epoch: EpochId(self.1), key: Key(KEYS[self.2 as usize]) }
    }
}

#[derive(Clone, Debug)]
struct Move {
    id: Id,
    to: usize,
    place: Option<(i64, u8)>,
    extra: u8,
}

impl Move {
    fn change(&self) -> Change {
        let mut change = Change::to(self.id.item(), State::ALL[self.to]);
        if let Some((uid, origin)) = self.place {
            let origins = Origin::ALL;
            change = change
                .at(Place { epoch: EpochId(2), uid: Key(UIDS + uid) }, origins[usize::from(origin % 4)]);
        }
        if self.extra & 1 != 0 {
            change.grade = Some([Grade::Exact, Grade::Newline][usize::from(self.extra >> 7)]);
        }
        if self.extra & 2 != 0 {
            change.reason = Some(reason(["big", "odd"][usize::from(self.extra >> 7)]));
        }
        if self.extra & 4 != 0 {
            let fingerprint = (self.extra & 8 != 0).then(|| sent(self.extra >> 6).fetched);
            let flags = Flags::from_octets(["", "\\Seen"][usize::from(self.extra >> 7)]);
            let mod_seq = (self.extra & 16 != 0).then_some(5);
            change.read_back = Some(ReadBack { fingerprint, octets: 3, flags, internal_date: None, mod_seq });
        }
        if self.extra & 32 != 0 {
            change.sent = Some(sent(self.extra >> 6));
        }
        change
    }
}

fn ids() -> impl Strategy<Value = Id> {
    // Mostly messages that exist, in mailbox 1 with the source epoch 1.
    prop_oneof![8 => (1i64..8).prop_map(|k| Id(1, 1, k)), 1 => (1i64..3, 1i64..5, 1i64..9).prop_map(|(m, e, k)| Id(m, e, k))]
}

fn moves() -> impl Strategy<Value = Move> {
    let place = proptest::option::of((1i64..6, any::<u8>()));
    (ids(), 0..State::ALL.len(), place, any::<u8>()).prop_map(|(id, to, place, extra)| Move {
        id,
        to,
        place,
        extra,
    })
}

fn ops() -> impl Strategy<Value = Op> {
    let many = |max| proptest::collection::vec(moves(), 0..max);
    let listing = proptest::collection::vec((1i64..8, any::<u8>()), 0..5);
    let states = proptest::collection::vec(0u8..16, 0..4);
    prop_oneof![
        1 => (0u8..3).prop_map(Op::SaveMailbox),
        2 => (1i64..3, any::<bool>(), 5u32..8).prop_map(|(m, s, v)| Op::OpenEpoch(m, s, v)),
        1 => (1i64..3, 1i64..4, 1i64..3, any::<bool>()).prop_map(|(m, e, u, b)| Op::Baseline(m, e, u, b)),
        4 => (1i64..3, 1i64..4, listing).prop_map(|(m, e, l)| Op::List(m, e, l)),
        12 => many(3).prop_map(Op::Change),
        6 => (1i64..2, 2i64..3, proptest::collection::vec(ids(), 0..4)).prop_map(|(m, e, i)| Op::Commit(m, e, i)),
        2 => (1i64..6, 0u8..4, many(3)).prop_map(|(b, e, m)| Op::End(b, e, m)),
        5 => (1i64..3, any::<u8>()).prop_map(|(m, how)| Op::Answer(m, how)),
        3 => proptest::collection::vec((ids(), ids()), 0..3).prop_map(Op::Rekey),
        1 => (0u8..2, 0u8..2).prop_map(|(n, v)| Op::Pin(n, v)),
        1 => any::<bool>().prop_map(Op::Run),
        1 => any::<u8>().prop_map(Op::Note),
        1 => (1i64..3, 1i64..3, any::<u8>()).prop_map(|(m, r, x)| Op::Sight(m, r, x)),
        2 => (proptest::option::of(1i64..3), states, proptest::option::of(ids()), 0usize..5)
            .prop_map(|(m, s, a, l)| Op::Page(m, s, a, l)),
        1 => Just(Op::Reopen),
    ]
}

/// The result as text, without times and words: errors by their kind.
fn told<T: std::fmt::Debug>(result: JournalResult<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(JournalError::Store { .. }) => "Store".into(),
        Err(JournalError::OtherSettings { .. }) => "OtherSettings".into(),
        Err(error) => format!("{error:?}"),
    }
}

async fn run<J: Journal>(journal: &J, op: &Op) -> String {
    match op {
        Op::SaveMailbox(n) => told(journal.save_mailboxes(&[record(&format!("m{n}"))]).await),
        Op::OpenEpoch(mailbox, source, validity) => {
            let side = if *source { Side::Source } else { Side::Target };
            told(journal.open_epoch(MailboxId(*mailbox), side, &facts(*validity)).await)
        }
        Op::Baseline(mailbox, epoch, uid_next, matched) => {
            let (epoch, uid_next, existing) = (EpochId(*epoch), Key(*uid_next), Existing::Adopt);
            let baseline = Baseline { epoch, uid_next, existing, matched: *matched };
            told(journal.set_baseline(MailboxId(*mailbox), baseline).await)
        }
        Op::List(mailbox, epoch, all) => {
            let all: Vec<ListedItem> = all.iter().map(|(key, how)| heard(*key, *how)).collect();
            told(journal.record_listing(MailboxId(*mailbox), EpochId(*epoch), &all).await)
        }
        Op::Change(moves) => told(journal.change(&moves.iter().map(Move::change).collect::<Vec<_>>()).await),
        Op::Commit(mailbox, epoch, items) => {
            let items = items.iter().map(|id| (id.item(), sent(id.2 as u8))).collect();
            let (mailbox, epoch) = (MailboxId(*mailbox), EpochId(*epoch));
            told(
                journal
                    .commit_batch(&Intent { mailbox, epoch, uid_next: Key(3), form: Form::Group, items })
                    .await,
            )
        }
        Op::End(batch, end, moves) => {
            let changes: Vec<Change> = moves.iter().map(Move::change).collect();
            told(journal.end_batch(BatchId(*batch), end_of(*end), &changes).await)
        }
        Op::Answer(mailbox, how) => answer(journal, MailboxId(*mailbox), *how).await,
        Op::Rekey(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|(from, to)| (from.item(), to.item())).collect();
            told(journal.rekey(&pairs).await)
        }
        Op::Pin(name, value) => told(journal.pin_setting(&name.to_string(), &value.to_string()).await),
        Op::Run(true) => told(journal.begin_run("x").await),
        Op::Run(false) => told(journal.end_run(RunId(1), "done").await),
        Op::Note(n) => {
            let note = Note { kind: n.to_string(), mailbox: None, key: Some(Key(1)), text: "t".into() };
            told(journal.note(note).await)
        }
        Op::Sight(mailbox, run, exists) => {
            let (mailbox, side, epoch) = (MailboxId(*mailbox), Side::Source, EpochId(1));
            let uids = exists.to_string();
            let seen = Sighting { mailbox, side, epoch, facts: facts(6), uids };
            told(journal.save_sighting(RunId(*run), &seen).await)
        }
        Op::Page(mailbox, states, after, limit) => {
            let states: Vec<State> = states.iter().map(|s| State::ALL[usize::from(*s)]).collect();
            let (mailbox, after) = (mailbox.map(MailboxId), after.map(Id::item));
            told(journal.items(Query { mailbox, states: &states, after, limit: *limit }).await)
        }
        Op::Reopen => String::new(),
    }
}

fn heard(key: i64, how: u8) -> ListedItem {
    let flags = Flags::from_octets(["\\Seen", "", "\\Flagged"][usize::from(how % 3)]);
    let excluded = (how & 64 != 0).then(|| ["since", "size"][usize::from(how >> 7)].to_owned());
    ListedItem { flags, excluded, ..listed(KEYS[key as usize]) }
}

fn end_of(end: u8) -> BatchEnd {
    [BatchEnd::Answered, BatchEnd::Lost, BatchEnd::Void, BatchEnd::Resolved][usize::from(end)]
}

async fn answer<J: Journal>(journal: &J, mailbox: MailboxId, how: u8) -> String {
    let Some(batch) = journal.open_batches(mailbox).await.unwrap().into_iter().next() else {
        return "none".into();
    };
    let lost = how & 3 == 0;
    let change = |(i, id): (usize, &ItemId)| {
        let uid = Key(UIDS + i64::from(how >> 4) + i as i64);
        match (lost, (how >> 2) & 3) {
            (true, _) => Change::to(*id, State::InDoubt),
            (_, 0) => Change::to(*id, State::Listed),
            (_, 1) if how & 128 != 0 => Change::to(*id, State::Stored),
            _ => Change::to(*id, State::Stored).at(Place { epoch: batch.epoch, uid }, Origin::Found),
        }
    };
    let changes: Vec<Change> = batch.items.iter().enumerate().map(change).collect();
    told(journal.end_batch(batch.id, if lost { BatchEnd::Lost } else { BatchEnd::Resolved }, &changes).await)
}

/// A mailbox with messages to begin with, so that most verbs mean something.
fn beginning() -> Vec<Op> {
    vec![
        Op::SaveMailbox(0),
        Op::OpenEpoch(1, true, 5),
        Op::OpenEpoch(1, false, 6),
        Op::List(1, 1, (1..8).map(|k| (k, 0)).collect()),
    ]
}

async fn compare(ops: Vec<Op>) {
    let (in_memory, in_file) = (InMemory::default(), InFile::default());
    let (mut memory, mut file) = (in_memory.open().await.unwrap(), in_file.open().await.unwrap());
    for op in beginning().iter().chain(&ops) {
        if matches!(op, Op::Reopen) {
            memory.release().await.unwrap();
            file.release().await.unwrap();
            (memory, file) = (in_memory.open().await.unwrap(), in_file.open().await.unwrap());
        }
        assert_eq!(run(&memory, op).await, run(&file, op).await, "{op:?}");
    }
    assert_eq!(dump(&memory).await, dump(&file).await);
    let told = memory.counts().await.unwrap();
    assert_eq!(told.iter().map(|c| c.items).sum::<u64>(), file.items(ALL).await.unwrap().len() as u64);
    assert_eq!(told, file.counts().await.unwrap());
}

const ALL: Query<'_> = Query { mailbox: None, states: &[], after: None, limit: 100_000 };

/// As the engine uses a journal: items leave a batch by its end alone.
async fn consistent(ops: Vec<Op>) {
    let (in_memory, in_file) = (InMemory::default(), InFile::default());
    let (memory, file) = (in_memory.open().await.unwrap(), in_file.open().await.unwrap());
    let straight =
        |m: &Move| !matches!(State::ALL[m.to], State::Committed | State::InDoubt) && m.place.is_none();
    for op in beginning().iter().chain(&ops) {
        match op {
            Op::Change(moves) | Op::End(_, _, moves) if !moves.iter().all(straight) => continue,
            _ => {}
        }
        assert_eq!(run(&memory, op).await, run(&file, op).await, "{op:?}");
    }
    check_consistency(&memory).await;
    check_consistency(&file).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_answer_alike_and_end_alike(ops in proptest::collection::vec(ops(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(compare(ops));
    }

    #[test]
    fn what_must_hold_holds_after_any_sequence(ops in proptest::collection::vec(ops(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(consistent(ops));
    }
}
