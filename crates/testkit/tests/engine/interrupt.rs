//! Interrupt at every step: for k in 1..N the engine is stopped dead at step k (each action, each journal write before
//! and after it took effect), resumed, and compared with the uninterrupted end. The run after that sends nothing.

use mailhaul_engine::config::Settings;
use mailhaul_engine::context::Context;
use mailhaul_engine::end::{Source, SourceSession, Target, TargetSession};
use mailhaul_engine::journal::memory::{MemoryJournal, MemoryStore};
use mailhaul_engine::journal::{
    AccountPair, Baseline, Decision, Existing, Journal, MailboxId, MailboxRecord, Name, Query, Side, State,
};
use mailhaul_engine::memory_end::{
    Fate, MemoryMail, MemoryMailbox, MemoryMessage, MemorySource, MemoryTarget,
};
use mailhaul_engine::message::Key;
use mailhaul_engine::pacer::Pace;
use mailhaul_engine::probe::Probe;
use mailhaul_engine::progress::Bus;
use mailhaul_engine::seats::Seats;
use mailhaul_engine::transfer::copy::{CopyEnd, copy};
use mailhaul_engine::transfer::following::Following;
use mailhaul_engine::transfer::job::{Job, Sessions};
use mailhaul_engine::transfer::memory_share;
use mailhaul_engine::transfer::spool::Intake;
use mailhaul_engine::verify;
use mailhaul_testkit::corpus::Random;
use mailhaul_testkit::stopper::{Death, Stopper};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

type Ctx = Context<MemorySource, MemoryTarget, MemoryJournal>;

struct World {
    source: MemoryMail,
    target: MemoryMail,
    store: MemoryStore,
    folder: tempfile::TempDir,
}

fn message(n: i64) -> String {
    format!("From: a@b.example\r\nSubject: {n}\r\n\r\nbody of {n}\r\n")
}

impl World {
    fn new(messages: i64) -> Self {
        let (source, target) = (MemoryMail::new(), MemoryMail::new());
        for n in 0..messages {
            // Every fifth is a copy of the one before: equal messages stay as many.
            let n = if n % 5 == 4 { n - 1 } else { n };
            source.deliver("INBOX", message(n), "\\Seen $Work", "03-Mar-2020 10:11:12 +0000");
        }
        Self { source, target, store: MemoryStore::new(), folder: tempfile::tempdir().unwrap() }
    }

    async fn run(&self, probe: Probe) -> CopyEnd {
        let pair = AccountPair { source: "a".into(), target: "b".into() };
        let journal = self.store.open(&pair).unwrap();
        let mut settings = Settings::new(self.folder.path());
        settings.limits.batch_messages_max = 4;
        settings.limits.group_messages_max = 3;
        let run = journal.begin_run("migrate").await.unwrap();
        let ctx = Ctx {
            seats: Seats::new(&settings),
            pace: Pace::new(
                &settings,
                &Bus::default(),
                &Default::default(),
                &Default::default(),
                &Default::default(),
            ),
            waits: Default::default(),
            unexplained: Default::default(),
            settle_known_ms: AtomicU64::new(0),
            alerts: Default::default(),
            goodbyes: Default::default(),
            munges_headers: AtomicBool::new(false),
            replacing: Default::default(),
            source: MemorySource(self.source.clone()),
            target: MemoryTarget(self.target.clone()),
            journal: journal.clone(),
            run,
            intake: Intake::new(self.folder.path(), settings.limits.body_in_memory_octets_max),
            settings,
            bus: Bus::default(),
            cancel: Default::default(),
            clock: Default::default(),
            probe,
            exceptions: Some(self.folder.path().join("exceptions")),
            reads_source: true,
            stored: verify::News::default(),
            longest_commit_ms: AtomicU64::new(0),
            batch_messages: AtomicUsize::new(0),
        };
        let mut sessions = Sessions::default();
        let mut job = prepare(&ctx).await;
        let memory = memory_share(&ctx.settings.limits, 1);
        let end = copy(&ctx, &mut sessions, &mut job, &memory, &mut Following::none()).await.unwrap();
        let mut reader = Sessions::default();
        verify::sweep(&ctx, &mut reader, &job, verify::Scope::New, ctx.settings.level).await.unwrap();
        verify::presence(&ctx, &mut reader, &job, None).await.unwrap();
        journal.release().await.unwrap();
        end
    }

    async fn states(&self) -> BTreeMap<State, usize> {
        let pair = AccountPair { source: "a".into(), target: "b".into() };
        let journal = self.store.open(&pair).unwrap();
        let all =
            journal.items(Query { mailbox: None, states: &[], after: None, limit: 10_000 }).await.unwrap();
        assert!(journal.open_batches(MailboxId(1)).await.unwrap().is_empty(), "a batch was left open");
        journal.release().await.unwrap();
        let mut states = BTreeMap::new();
        all.iter().for_each(|i| *states.entry(i.state).or_default() += 1);
        states
    }

    fn source_holds(&self) -> Vec<(String, MemoryMailbox)> {
        let name = |n: &[u8]| String::from_utf8_lossy(n).into_owned();
        self.source.snapshot().into_iter().map(|(n, m)| (name(&n), m)).collect()
    }

    /// What the target holds, in order.
    fn held(&self) -> Vec<Message> {
        holds(&self.target)
    }
}

/// Octets, flags and date.
type Message = (String, String, String);

/// What an INBOX holds, in order.
fn holds(mail: &MemoryMail) -> Vec<Message> {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let date = |m: &MemoryMessage| m.internal_date.as_ref().unwrap().to_string();
    let row = |m: &MemoryMessage| (text(&m.octets), m.flags.to_string(), date(m));
    mail.snapshot()[&b"INBOX"[..]].messages.values().map(row).collect()
}

async fn prepare(ctx: &Ctx) -> Job {
    let name = Name { wire: "INBOX".into(), text: "INBOX".into(), delimiter: Some('/') };
    let record = MailboxRecord {
        id: MailboxId(0),
        source: name.clone(),
        role: None,
        subscribed: true,
        messages: None,
        octets: None,
        decision: Decision::Move(name.clone()),
    };
    let record = ctx.journal.save_mailboxes(&[record]).await.unwrap().remove(0);
    let mut session = ctx.target.connect().await.unwrap();
    let opened = TargetSession::open(&mut session, &name.wire).await.unwrap();
    let epoch = ctx.journal.open_epoch(record.id, Side::Target, &opened.facts).await.unwrap();
    let baseline = match ctx.journal.baseline(record.id).await.unwrap() {
        Some(baseline) => baseline,
        None => {
            let baseline =
                Baseline { epoch: epoch.id, uid_next: Key(1), existing: Existing::New, matched: true };
            ctx.journal.set_baseline(record.id, baseline).await.unwrap();
            baseline
        }
    };
    let uid_next = epoch.facts.uid_next.unwrap_or(Key(1));
    SourceSession::close(ctx.source.connect().await.unwrap()).await;
    Job { uid_next, ..Job::new(record, name, baseline, epoch) }
}

/// One run that is stopped dead at step `at`.
async fn stopped_run(world: &World, at: u64, death: Death) {
    let stopper = Stopper::at(at);
    stopper.watch(&world.store);
    let _ = stopper.run(world.run(stopper.probe())).await;
    death.strike(&world.store);
}

/// Where a world ends that nobody stops.
struct Expected {
    end: CopyEnd,
    held: Vec<Message>,
    states: BTreeMap<State, usize>,
    /// Messages and octets of the source.
    source: Vec<(String, MemoryMailbox)>,
    steps: u64,
}

/// Longer than any commit here is late: what comes late must have come before anybody looks.
const ALL_LATE: Duration = Duration::from_secs(60);

async fn uninterrupted(messages: i64, knobs: impl Fn(&World)) -> Expected {
    let world = World::new(messages);
    knobs(&world);
    let stopper = Stopper::never();
    stopper.watch(&world.store);
    let end = world.run(stopper.probe()).await;
    world.store.set_hook(None);
    tokio::time::sleep(ALL_LATE).await;
    let steps = stopper.steps();
    assert!(steps > 20, "{steps} steps only");
    let mut held = world.held();
    // Order is a SHOULD: what was sent again comes later.
    held.sort();
    let states = world.states().await;
    is_the_source_but_exceptions(&held, &world, &states);
    Expected { end, held, states, source: world.source_holds(), steps }
}

/// What nobody stopped is right by itself: each message of the source is there once, or is an exception.
fn is_the_source_but_exceptions(held: &[Message], world: &World, states: &BTreeMap<State, usize>) {
    let mut missing = holds(&world.source);
    for message in held {
        let at = missing.iter().position(|m| m == message);
        missing.swap_remove(at.unwrap_or_else(|| panic!("once too often: {message:?}")));
    }
    assert_eq!(missing.len(), states.get(&State::Exception).copied().unwrap_or(0), "{missing:?}");
}

/// Runs again to the end and compares; and once more, which sends nothing.
async fn resumes(world: &World, expected: &Expected, stopped: &str) {
    assert_eq!(world.run(Probe::default()).await, expected.end, "{stopped}");
    tokio::time::sleep(ALL_LATE).await;
    let mut held = world.held();
    held.sort();
    assert_eq!(held, expected.held, "{stopped}");
    assert_eq!(world.states().await, expected.states, "{stopped}");
    let appended = world.target.appended();
    world.run(Probe::default()).await;
    assert_eq!(world.target.appended(), appended, "the next run sends nothing, {stopped}");
    assert_eq!(world.source_holds(), expected.source, "{stopped}");
}

async fn interrupt_everywhere(messages: i64, knobs: impl Fn(&World)) {
    let expected = uninterrupted(messages, &knobs).await;
    for (at, death) in (1..=expected.steps).flat_map(|at| Death::ALL.map(|death| (at, death))) {
        let world = World::new(messages);
        knobs(&world);
        stopped_run(&world, at, death).await;
        let stopped = format!("stopped at step {at} of {}, {death:?}", expected.steps);
        resumes(&world, &expected, &stopped).await;
    }
}

/// Stops the second run as well, at steps drawn for each step of the first: most of them early, where a run finds out
/// what the one before it left open.
async fn interrupt_everywhere_twice(messages: i64, knobs: impl Fn(&World)) {
    const SECOND_STOPS: usize = 2;
    const EARLY: u64 = 24;
    let expected = uninterrupted(messages, &knobs).await;
    let mut random = Random::new(13);
    for first in 1..=expected.steps {
        for n in 0..SECOND_STOPS {
            let second = random.between(1, if n == 0 { expected.steps } else { EARLY });
            let world = World::new(messages);
            knobs(&world);
            let deaths = [random.pick(&Death::ALL), random.pick(&Death::ALL)];
            stopped_run(&world, first, deaths[0]).await;
            stopped_run(&world, second, deaths[1]).await;
            let stopped =
                format!("stopped at step {first} of {}, then at {second}, {deaths:?}", expected.steps);
            resumes(&world, &expected, &stopped).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_nothing_is_lost_or_doubled() {
    interrupt_everywhere(12, |_| {}).await;
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_without_multiappend() {
    interrupt_everywhere(10, |w| w.target.set(|k| k.multi = false)).await;
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_without_uidplus() {
    interrupt_everywhere(10, |w| w.target.set(|k| k.tells_places = false)).await;
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_without_either_and_without_overlap() {
    interrupt_everywhere(8, |w| {
        w.target.set(|k| {
            k.multi = false;
            k.tells_places = false;
            k.overlap = false;
        });
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_around_a_refused_message() {
    interrupt_everywhere(8, |w| w.target.set(|k| k.refuse = vec!["body of 5".into()])).await;
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_while_connections_are_lost() {
    for fate in [Fate::LostInUpload, Fate::LostNotStored, Fate::LostStored, Fate::LostAfter(1)] {
        for multi in [true, false] {
            interrupt_everywhere(8, |w| {
                w.target.set(|k| {
                    k.multi = multi;
                    k.fates = [Fate::Well, fate].into();
                });
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stopped_twice_in_a_row_nothing_is_lost_or_doubled() {
    for multi in [true, false] {
        for fate in [Fate::LostNotStored, if multi { Fate::LostStored } else { Fate::LostAfter(1) }] {
            interrupt_everywhere_twice(8, |w| {
                w.target.set(|k| {
                    k.multi = multi;
                    k.fates = [fate].into();
                });
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_around_a_late_commit() {
    for multi in [true, false] {
        let late = Fate::LostStoredLate(Duration::from_secs(5));
        interrupt_everywhere(8, |w| {
            w.target.set(|k| {
                k.multi = multi;
                k.fates = [Fate::Well, late].into();
            });
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_inside_the_settle_time_is_found_and_not_sent_again() {
    for seconds in [1, 5, 9] {
        let world = World::new(12);
        let late = Fate::LostStoredLate(Duration::from_secs(seconds));
        world.target.set(|k| k.fates = [Fate::Well, late].into());
        assert_eq!(world.run(Probe::default()).await, CopyEnd::Done);
        tokio::time::sleep(ALL_LATE).await;
        assert_eq!(world.held().len(), 12);
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_breaks_connections_is_read_to_the_end() {
    let world = World::new(30);
    world.source.set(|k| k.fetches_lost = 5);
    assert_eq!(world.run(Probe::default()).await, CopyEnd::Done);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 30)]));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_the_connection_every_time_becomes_one_exception() {
    let world = World::new(30);
    world.source.set(|k| k.poison = vec![7]);
    assert_eq!(world.run(Probe::default()).await, CopyEnd::Done);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 29), (State::Exception, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_nil_is_neither_empty_nor_gone() {
    let world = World::new(10);
    world.source.set(|k| k.unreadable = vec![3]);
    assert_eq!(world.run(Probe::default()).await, CopyEnd::Done);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 9), (State::Exception, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_merges_equal_messages_is_told_apart_from_one_that_loses_them() {
    let world = World::new(10);
    world.target.set(|k| k.merges = true);
    assert_eq!(world.run(Probe::default()).await, CopyEnd::Done);
    assert_eq!(world.held().len(), 8);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 8), (State::Merged, 2)]));
}

#[tokio::test(start_paused = true)]
async fn a_full_target_stops_and_resumes_without_a_double() {
    let world = World::new(12);
    world.target.set(|k| k.quota_octets = Some(300));
    assert!(matches!(world.run(Probe::default()).await, CopyEnd::Full(_)));
    let before = world.held().len();
    assert!(before > 0 && before < 12);
    world.target.set(|k| k.quota_octets = None);
    assert_eq!(world.run(Probe::default()).await, CopyEnd::Done);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]));
    assert_eq!(world.held().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_at_the_target_is_rebound_by_content_and_nothing_is_sent_again() {
    let world = World::new(10);
    world.run(Probe::default()).await;
    let appended = world.target.appended();
    world.target.renumber("INBOX");
    assert_eq!(world.run(Probe::default()).await, CopyEnd::Done);
    assert_eq!(world.target.appended(), appended);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 10)]));
}

#[tokio::test(start_paused = true)]
async fn a_copy_deleted_at_the_target_is_not_resurrected() {
    let world = World::new(10);
    world.run(Probe::default()).await;
    world.target.expunge("INBOX", 4);
    assert_eq!(world.run(Probe::default()).await, CopyEnd::Done);
    assert_eq!(world.held().len(), 9);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 9), (State::GoneAtTarget, 1)]));
}

#[tokio::test(start_paused = true)]
async fn the_disk_of_the_journal_full_at_commit_keeps_the_gate_shut() {
    let world = World::new(10);
    let pair = AccountPair { source: "a".into(), target: "b".into() };
    // A first run makes the baseline; then the disk is full for what is new.
    world.run(Probe::default()).await;
    world.source.deliver("INBOX", message(100), "", "03-Mar-2020 10:11:12 +0000");
    world.store.set_disk_full(true);
    let appended = world.target.appended();
    let failed = tokio::spawn({
        let world = World {
            source: world.source.clone(),
            target: world.target.clone(),
            store: world.store.clone(),
            folder: tempfile::tempdir().unwrap(),
        };
        async move { world.run(Probe::default()).await }
    })
    .await;
    assert!(failed.is_err(), "the run fails with the journal's words");
    assert_eq!(world.target.appended(), appended, "nothing passed the gate");
    world.store.set_disk_full(false);
    world.store.crash();
    assert!(world.store.open(&pair).unwrap().release().await.is_ok());
    assert_eq!(world.run(Probe::default()).await, CopyEnd::Done);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 11)]));
}
