//! Interrupt at every step, over the wire: the whole migration (survey, plan, transfer, read-back, last listing)
//! between two embedded IMAP servers over pipes, stopped dead at step k (each action, each journal write before and
//! after it took effect) and at each moment an answer is awaited, then resumed and compared with the uninterrupted end.

use bytes::Bytes;
use mailhaul_engine::config::{Endpoint, FixedPassword, ImapAccount, Security, Settings, Trust};
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::memory::{MemoryJournal, MemoryStore};
use mailhaul_engine::journal::{AccountPair, Journal, State};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_engine::probe::Probe;
use mailhaul_engine::run::Migration;
use mailhaul_sandbox::{Fault, Profile, Sandbox};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

pub const USER: &str = "ann";
pub const PASSWORD: &str = "secret of ann";
/// Octets a pipe holds.
const PIPE_OCTETS: usize = 64 * 1024;

/// How one case differs from two modern servers.
#[derive(Clone, Default)]
struct Case {
    target: Profile,
    without: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Case {
    fn without(without: &[&'static str]) -> Self {
        Self { without: without.to_vec(), ..Self::default() }
    }
}

struct World {
    source: Sandbox,
    target: Sandbox,
    store: MemoryStore,
    folder: tempfile::TempDir,
    without: Vec<String>,
}

/// (mailbox, octets, flags, date), sorted: what a server holds.
type Held = Vec<(String, Bytes, Vec<String>, String)>;

impl World {
    fn new(case: &Case) -> Self {
        let source = Sandbox::new(Profile::default());
        let target = Sandbox::new(case.target.clone());
        source.add_user(USER, PASSWORD);
        target.add_user(USER, PASSWORD);
        source.create(USER, "Entw&APw-rfe", None, true);
        for n in 0..7 {
            // 3 and 4 are equal: equal messages stay as many.
            let text = if n == 4 { 3 } else { n };
            let octets = format!("From: a@b.example\r\nSubject: {text}\r\n\r\nbody of {text} \u{e9}\r\n");
            source.deliver(USER, "INBOX", octets, "\\Seen $Work", "03-Mar-2020 10:11:12 +0000");
        }
        source.deliver(
            USER,
            "Entw&APw-rfe",
            "Subject: draft\r\n\r\n",
            "\\Draft",
            "04-Mar-2020 10:11:12 +0100",
        );
        case.faults.iter().for_each(|f| target.inject(f.clone()));
        let without = case.without.iter().map(|w| (*w).to_owned()).collect();
        Self { source, target, store: MemoryStore::new(), folder: tempfile::tempdir().unwrap(), without }
    }

    async fn run(&self, probe: Probe) {
        let pair = AccountPair { source: "a".into(), target: "b".into() };
        let journal = self.store.open(&pair).unwrap();
        let mut settings = Settings::new(self.folder.path());
        settings.connections = 2;
        settings.limits.batch_messages_max = 3;
        settings.limits.group_messages_max = 3;
        settings.limits.settle_min = Duration::from_secs(2);
        settings.limits.settle_unmeasured = Duration::from_secs(2);
        let source = ImapSource(opener(&self.source, &settings.limits, &[]));
        let target = ImapTarget(opener(&self.target, &settings.limits, &self.without));
        let mut migration: Migration<_, _, MemoryJournal> = Migration::new(source, target, journal, settings);
        migration.probe = probe;
        let end = migration.migrate().await.unwrap();
        assert_eq!(end.left, []);
        migration.journal.release().await.unwrap();
    }

    fn held(&self) -> Held {
        held(&self.target)
    }

    async fn states(&self) -> BTreeMap<State, u64> {
        let pair = AccountPair { source: "a".into(), target: "b".into() };
        let journal = self.store.open(&pair).unwrap();
        let mut states = BTreeMap::new();
        for count in journal.counts().await.unwrap() {
            *states.entry(count.state).or_default() += count.items;
        }
        for mailbox in journal.mailboxes().await.unwrap() {
            assert!(journal.open_batches(mailbox.id).await.unwrap().is_empty(), "a batch was left open");
        }
        journal.release().await.unwrap();
        states
    }

    /// Ends the process as a crash would: what was not synced is forgotten.
    fn crash(&self) {
        self.store.crash();
        self.store.set_hook(None);
    }
}

fn held(server: &Sandbox) -> Held {
    let of = |m: mailhaul_sandbox::MailboxSnapshot| {
        let name = m.name;
        m.messages.into_iter().map(move |x| {
            let mut flags = x.flags;
            flags.sort();
            (name.clone(), x.octets, flags, x.internal_date)
        })
    };
    let mut all: Held = server.snapshot(USER).into_iter().flat_map(of).collect();
    all.sort();
    all
}

pub fn opener(server: &Sandbox, limits: &Limits, without: &[String]) -> Opener {
    let server = server.clone();
    let dial = move || {
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        let server = server.clone();
        tokio::spawn(async move { server.serve(theirs).await });
        ours
    };
    Opener {
        account: ImapAccount {
            endpoint: Endpoint { host: "sandbox.example".into(), port: 143, security: Security::Clear },
            user: USER.into(),
            auth_user: None,
            trust: Trust::default(),
            credentials: Arc::new(FixedPassword::new(PASSWORD)),
        },
        limits: limits.clone(),
        dialer: Dialer::InProcess(Arc::new(dial)),
        without: without.to_vec(),
    }
}

/// Stops at step `at`, counting probes and journal writes alike.
fn stopper(store: &MemoryStore, at: u64) -> (Probe, Arc<AtomicU64>, Arc<Notify>) {
    let (count, stopped) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let step = {
        let (count, stopped) = (count.clone(), stopped.clone());
        move || {
            let stop = count.fetch_add(1, Ordering::SeqCst) + 1 == at;
            if stop {
                stopped.notify_one();
            }
            stop
        }
    };
    let hook = step.clone();
    store.set_hook(Some(Arc::new(move |_| hook())));
    (Probe::new(Arc::new(move |_| step())), count, stopped)
}

/// What the uninterrupted run makes of a case.
struct Expected {
    held: Held,
    states: BTreeMap<State, u64>,
    steps: u64,
    took: Duration,
}

async fn uninterrupted(case: &Case) -> Expected {
    let world = World::new(case);
    let began = tokio::time::Instant::now();
    let (probe, count, _) = stopper(&world.store, u64::MAX);
    world.run(probe).await;
    world.store.set_hook(None);
    let steps = count.load(Ordering::SeqCst);
    assert!(steps > 40, "{steps} steps only");
    Expected { held: world.held(), states: world.states().await, steps, took: began.elapsed() }
}

/// Runs again to the end and compares; and once more, which sends nothing.
async fn resumes(world: &World, expected: &Expected, stopped: &str) {
    world.crash();
    world.run(Probe::default()).await;
    assert_eq!(world.held(), expected.held, "{stopped}");
    assert_eq!(world.states().await, expected.states, "{stopped}");
    let appends = world.target.counters().commands.get("APPEND").copied();
    world.run(Probe::default()).await;
    assert_eq!(
        world.target.counters().commands.get("APPEND").copied(),
        appends,
        "the next run appends: {stopped}"
    );
}

async fn stopped_at_every_step(case: Case) {
    let expected = uninterrupted(&case).await;
    for at in 1..=expected.steps {
        let world = World::new(&case);
        let source = held(&world.source);
        let (probe, _, stopped) = stopper(&world.store, at);
        tokio::select! {
            () = world.run(probe) => {}
            () = stopped.notified() => {
                // In every other case what was already written still arrives and is worked on.
                if at % 2 == 0 { tokio::time::sleep(Duration::from_millis(50)).await; }
            }
        }
        resumes(&world, &expected, &format!("stopped at step {at} of {}", expected.steps)).await;
        assert_eq!(held(&world.source), source, "the source is as it was");
    }
}

/// Stops when the gate is open and the answer has not come: the server stores, nobody hears of it.
async fn stopped_while_waiting_for_every_answer(mut case: Case) {
    const COMMIT: Duration = Duration::from_millis(40);
    const STEP: Duration = Duration::from_millis(9);
    case.target.commit_delay = COMMIT;
    let expected = uninterrupted(&case).await;
    let moments = u32::try_from(expected.took.as_millis() / STEP.as_millis()).unwrap();
    assert!(moments > 8, "the answers took {:?} only", expected.took);
    for n in 0..=moments {
        let world = World::new(&case);
        // Between two ticks of the server.
        let moment = STEP * n + Duration::from_micros(500);
        if let Ok(()) = tokio::time::timeout(moment, world.run(Probe::default())).await {
            break;
        }
        resumes(&world, &expected, &format!("stopped after {moment:?}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_all_extensions_nothing_is_lost_or_doubled_at_any_step() {
    stopped_at_every_step(Case::default()).await;
}

#[tokio::test(start_paused = true)]
async fn without_multiappend_nothing_is_lost_or_doubled_at_any_step() {
    stopped_at_every_step(Case::without(&["MULTIAPPEND"])).await;
}

#[tokio::test(start_paused = true)]
async fn without_uidplus_nothing_is_lost_or_doubled_at_any_step() {
    stopped_at_every_step(Case::without(&["UIDPLUS"])).await;
}

#[tokio::test(start_paused = true)]
async fn with_synchronising_literals_nothing_is_lost_or_doubled_at_any_step() {
    stopped_at_every_step(Case::without(&["LITERAL+"])).await;
    stopped_at_every_step(Case::without(&["LITERAL+", "MULTIAPPEND"])).await;
}

#[tokio::test(start_paused = true)]
async fn with_imap4rev1_alone_nothing_is_lost_or_doubled_at_any_step() {
    stopped_at_every_step(Case { target: Profile::bare(), ..Case::default() }).await;
}

#[tokio::test(start_paused = true)]
async fn around_a_refused_message_nothing_is_lost_or_doubled_at_any_step() {
    for without in [&[][..], &["MULTIAPPEND"]] {
        let mut case = Case::without(without);
        case.target.refuse = Some(Bytes::from_static(b"body of 5"));
        stopped_at_every_step(case).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_connections_are_lost_nothing_is_lost_or_doubled_at_any_step() {
    for fault in [Fault::DropBeforeStore, Fault::DropAfterStore] {
        for without in [&[][..], &["MULTIAPPEND"], &["UIDPLUS"]] {
            let case = Case { faults: vec![fault.clone()], ..Case::without(without) };
            stopped_at_every_step(case).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn past_the_gate_and_before_the_answer_nothing_is_lost_or_doubled() {
    let bare = Case { target: Profile::bare(), ..Case::default() };
    for case in [
        Case::default(),
        Case::without(&["MULTIAPPEND"]),
        Case::without(&["UIDPLUS"]),
        Case::without(&["LITERAL+"]),
        bare,
    ] {
        stopped_while_waiting_for_every_answer(case).await;
    }
}
