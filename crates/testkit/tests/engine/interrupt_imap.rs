//! Interrupt at every step, over the wire: the whole migration (survey, plan, transfer, read-back, last listing)
//! between two embedded IMAP servers over pipes, stopped dead at step k (each action, each journal write before and
//! after it took effect) and at each moment an answer is awaited, then resumed and compared with the uninterrupted end.

use crate::encoding::munging;
use crate::wire::{self, Held, USER, World, held};
use bytes::Bytes;
use mailhaul_engine::journal::State;
use mailhaul_engine::probe::Probe;
use mailhaul_sandbox::{Alteration, Fault, Planned, Profile, Trigger, UidLie};
use mailhaul_testkit::corpus::Random;
use mailhaul_testkit::stopper::{Death, Stopper};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a subject ends with where it is to be encoded, and how it arrives.
const RAW: &str = " gr\u{fc}n";
const ENCODED: &str = " =?utf-8?Q?gr=C3=BCn?=";

/// How one case differs from two modern servers.
#[derive(Clone, Default)]
struct Case {
    target: Profile,
    without: Vec<&'static str>,
    compress: bool,
    /// What goes wrong at the target, the next occasion of each.
    faults: Vec<Fault>,
    /// What goes wrong there later.
    target_faults: Vec<Planned>,
    /// What goes wrong at the source.
    source_faults: Vec<Planned>,
}

impl Case {
    fn without(without: &[&'static str]) -> Self {
        Self { without: without.to_vec(), ..Self::default() }
    }
}

/// The servers of a case with their mail.
fn world_of(case: &Case) -> World {
    let mut world = World::new(case.target.clone());
    world.without = case.without.iter().map(|w| (*w).to_owned()).collect();
    world.compress = case.compress;
    // What is refused for its header is there for it, and goes encoded.
    world.repair = case.target.refuse_8bit_header;
    let has_raw = world.repair || case.target.rewrites.is_some();
    let raw = |n| if has_raw && (3..=5).contains(&n) { RAW } else { "" };
    world.limits.settle_min = Duration::from_secs(2);
    world.limits.settle_unmeasured = Duration::from_secs(2);
    world.source.create(USER, "Entw&APw-rfe", None, true);
    for n in 0..7 {
        // 3 and 4 are equal: equal messages stay as many.
        let text = if n == 4 { 3 } else { n };
        let raw = raw(n);
        let octets = format!("From: a@b.example\r\nSubject: {text}{raw}\r\n\r\nbody of {text} \u{e9}\r\n");
        world.source.deliver(USER, "INBOX", octets, "\\Seen $Work", "03-Mar-2020 10:11:12 +0000");
    }
    let (draft, date) = ("Subject: draft\r\n\r\n", "04-Mar-2020 10:11:12 +0100");
    world.source.deliver(USER, "Entw&APw-rfe", draft, "\\Draft", date);
    case.faults.iter().for_each(|f| world.target.inject(f.clone()));
    case.target_faults.iter().for_each(|p| world.target.plan(p.clone()));
    case.source_faults.iter().for_each(|p| world.source.plan(p.clone()));
    world
}

async fn run(world: &World, probe: Probe) {
    let mut migration = world.migration();
    migration.probe = probe;
    let end = migration.migrate().await.unwrap();
    assert_eq!(end.left, []);
    mailhaul_engine::journal::Journal::release(&migration.journal).await.unwrap();
}

/// What the uninterrupted run makes of a case.
struct Expected {
    held: Held,
    states: BTreeMap<State, usize>,
    steps: u64,
    took: Duration,
}

/// Longer than any commit here is late: what comes late must have come before anybody looks.
const ALL_LATE: Duration = Duration::from_secs(60);

async fn uninterrupted(case: &Case) -> Expected {
    let world = world_of(case);
    let began = tokio::time::Instant::now();
    let stopper = Stopper::never();
    stopper.watch(&world.store);
    run(&world, stopper.probe()).await;
    world.store.set_hook(None);
    let steps = stopper.steps();
    assert!(steps > 40, "{steps} steps only");
    let took = began.elapsed();
    tokio::time::sleep(ALL_LATE).await;
    let (held, states) = (world.held(), world.states().await);
    // What nobody stopped is right by itself: each message of the source is there once, or is an exception.
    let mut missing = wire::held(&world.source);
    for message in &held {
        let sent = String::from_utf8_lossy(&message.1).replace(ENCODED, RAW);
        let of_source = |m: &(String, Bytes, Vec<String>, String)| {
            (&m.0, &m.2, &m.3) == (&message.0, &message.2, &message.3) && m.1 == sent
        };
        let at = missing.iter().position(of_source);
        missing.swap_remove(at.unwrap_or_else(|| panic!("once too often: {message:?}")));
    }
    let exceptions = states.get(&State::Exception).copied().unwrap_or(0);
    let refused = usize::from(case.target.refuse.is_some());
    assert_eq!((missing.len(), exceptions), (refused, refused), "{missing:?}");
    Expected { held, states, steps, took }
}

/// How the run that is stopped at step `at` dies: by turns, two by two, because what arrives late goes by twos as well.
fn death(at: u64) -> Death {
    Death::ALL[usize::from((at / 2).is_multiple_of(2))]
}

/// One run that is stopped dead at step `at`.
async fn stopped_run(world: &World, at: u64) {
    let stopper = Stopper::at(at);
    stopper.watch(&world.store);
    let stopped = stopper.run(run(world, stopper.probe())).await.is_none();
    if stopped && at.is_multiple_of(2) {
        // In every other case what was already written still arrives and is worked on.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    death(at).strike(&world.store);
}

/// Runs again to the end and compares; and once more, which sends nothing.
async fn resumes(world: &World, expected: &Expected, stopped: &str) {
    run(world, Probe::default()).await;
    tokio::time::sleep(ALL_LATE).await;
    assert_eq!(world.held(), expected.held, "{stopped}");
    assert_eq!(world.states().await, expected.states, "{stopped}");
    let appends = world.target.counters().commands.get("APPEND").copied();
    run(world, Probe::default()).await;
    assert_eq!(
        world.target.counters().commands.get("APPEND").copied(),
        appends,
        "the next run appends: {stopped}"
    );
}

async fn stopped_at_every_step(case: Case) {
    let expected = uninterrupted(&case).await;
    for at in 1..=expected.steps {
        let world = world_of(&case);
        let source = held(&world.source);
        stopped_run(&world, at).await;
        resumes(&world, &expected, &format!("stopped at step {at} of {}", expected.steps)).await;
        assert_eq!(held(&world.source), source, "the source is as it was");
    }
}

/// Stops two runs in a row, the second at steps drawn for each step of the first: most of them early, where a run finds
/// out what the one before it left open.
async fn stopped_at_every_step_twice(case: Case) {
    const EARLY: u64 = 30;
    let expected = uninterrupted(&case).await;
    let mut random = Random::new(13);
    for first in 1..=expected.steps {
        let second = random.between(1, if first % 4 == 0 { expected.steps } else { EARLY });
        let world = world_of(&case);
        stopped_run(&world, first).await;
        stopped_run(&world, second).await;
        let stopped = format!("stopped at step {first} of {}, then at {second}", expected.steps);
        resumes(&world, &expected, &stopped).await;
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
        let world = world_of(&case);
        // Between two ticks of the server.
        let moment = STEP * n + Duration::from_micros(500);
        if let Ok(()) = tokio::time::timeout(moment, run(&world, Probe::default())).await {
            break;
        }
        death(n.into()).strike(&world.store);
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
async fn compressed_nothing_is_lost_or_doubled_at_any_step() {
    for without in [&[][..], &["MULTIAPPEND"]] {
        stopped_at_every_step(Case { compress: true, ..Case::without(without) }).await;
    }
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
async fn around_messages_whose_header_is_encoded_nothing_is_lost_or_doubled_at_any_step() {
    for without in [&[][..], &["MULTIAPPEND"], &["UIDPLUS"]] {
        let mut case = Case::without(without);
        case.target.refuse_8bit_header = true;
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
        Case { compress: true, ..Case::default() },
        bare,
    ] {
        stopped_while_waiting_for_every_answer(case).await;
    }
}

#[tokio::test(start_paused = true)]
async fn stopped_twice_in_a_row_nothing_is_lost_or_doubled() {
    for without in [&[][..], &["MULTIAPPEND"]] {
        for faults in [vec![], vec![Fault::DropAfterStore]] {
            stopped_at_every_step_twice(Case { faults, ..Case::without(without) }).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn around_a_late_commit_nothing_is_lost_or_doubled_at_any_step() {
    for without in [&[][..], &["MULTIAPPEND"]] {
        let late = Fault::LateStore(Duration::from_millis(1500));
        stopped_at_every_step(Case { faults: vec![late], ..Case::without(without) }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn around_an_appenduid_that_lies_nothing_is_lost_or_doubled_at_any_step() {
    let (multi, group) = (&[][..], &["MULTIAPPEND"][..]);
    for (lie, without) in [
        (UidLie::Missing, multi),
        (UidLie::OneMore, group),
        (UidLie::OtherEpoch, multi),
        (UidLie::Oldest, multi),
        (UidLie::Oldest, group),
    ] {
        let case = Case { faults: vec![Fault::AppendUid(lie)], ..Case::without(without) };
        stopped_at_every_step(case).await;
    }
}

#[tokio::test(start_paused = true)]
async fn around_refusals_that_pass_nothing_is_lost_or_doubled_at_any_step() {
    for (text, without) in [("[UNAVAILABLE] later", &[][..]), ("[LIMIT] too fast", &["MULTIAPPEND"])] {
        let refusal = |n| Planned::once(Trigger::Verb("APPEND", n), Fault::RefuseAppend(text.into()));
        let target_faults = (1..=4).map(refusal).collect();
        stopped_at_every_step(Case { target_faults, ..Case::without(without) }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn around_a_source_that_does_not_give_its_messages_nothing_is_lost_or_doubled_at_any_step() {
    let foreign = [Fault::Backwards, Fault::Foreign];
    for fault in [Fault::NilBody, Fault::LeaveOut, Fault::CutFetch(60)].into_iter().chain(foreign) {
        // Fewer times than a message is asked for before it counts as unreadable.
        let often = Planned { at: Trigger::Next, fault, times: 2 };
        stopped_at_every_step(Case { source_faults: vec![often], ..Case::default() }).await;
    }
}

/// A world whose first run left damaged copies, and whose next one replaces them: at a server that destroys headers by encoded ones
/// (T4), at one that went wrong once by cover messages (T8).
async fn damaged(without: &[&'static str], destroys: bool) -> World {
    let mut case = Case::without(without);
    if destroys {
        case.target.rewrites = Some(munging);
    } else {
        let wrong = Fault::Alter(Alteration::SameSize);
        case.target_faults = vec![Planned::once(Trigger::Verb("APPEND", 2), wrong)];
    }
    let mut world = world_of(&case);
    world.connections = 1;
    run(&world, Probe::default()).await;
    assert!(world.states().await[&State::Exception] > 0);
    world.repair = true;
    world
}

/// Stops the run that replaces at every step, after which the source gives its messages other numbers if `renumbers`. Every third time the run after that is asked for no repair: what was begun is
/// brought to its end, and nothing is sent as it was.
async fn replaced_at_every_step(without: &[&'static str], destroys: bool, renumbers: bool) {
    let world = damaged(without, destroys).await;
    let messages = held(&world.source).len();
    let stopper = Stopper::never();
    stopper.watch(&world.store);
    run(&world, stopper.probe()).await;
    world.store.set_hook(None);
    let (held, states) = (world.held(), world.states().await);
    let expected = Expected { held, states, steps: stopper.steps(), took: Duration::ZERO };
    assert_eq!(expected.states, BTreeMap::from([(State::Verified, messages)]));
    let left = expected.held.len() - messages;
    assert!(left > 0, "damaged copies are left");
    for at in 1..=expected.steps {
        let mut world = damaged(without, destroys).await;
        stopped_run(&world, at).await;
        if renumbers {
            world.source.act(USER, &mailhaul_sandbox::Deed::NewEpoch { mailbox: "INBOX".into() });
        }
        if at % 3 == 0 {
            world.repair = false;
            run(&world, Probe::default()).await;
            world.repair = true;
        }
        let stopped = format!("stopped at step {at} of {}, without {without:?}", expected.steps);
        resumes(&world, &expected, &stopped).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_damaged_copies_are_replaced_nothing_is_lost_or_doubled_at_any_step() {
    for destroys in [true, false] {
        for without in [&[][..], &["MULTIAPPEND"], &["UIDPLUS"], &["CONDSTORE"]] {
            replaced_at_every_step(without, destroys, false).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_damaged_copies_are_replaced_another_uidvalidity_of_the_source_changes_nothing_at_any_step() {
    for destroys in [true, false] {
        replaced_at_every_step(&[], destroys, true).await;
    }
}

/// How long the run after a crash takes that left a batch in doubt; before it a whole run, if `measured`.
async fn took_after_a_crash(measured: bool) -> Duration {
    let mut world = world_of(&Case::default());
    (world.limits.settle_min, world.limits.settle_unmeasured) = (Duration::from_secs(10), ALL_LATE);
    if measured {
        run(&world, Probe::default()).await;
        world.source.deliver(USER, "INBOX", "Subject: late\r\n\r\n", "", "05-Mar-2020 10:11:12 +0100");
    }
    let before_the_gate = Probe::new(std::sync::Arc::new(|step| step == "before the gate"));
    let stopped = tokio::time::timeout(Duration::from_secs(5), run(&world, before_the_gate)).await;
    assert!(stopped.is_err(), "nobody came to the gate");
    Death::Killed.strike(&world.store);
    let began = tokio::time::Instant::now();
    run(&world, Probe::default()).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_what_is_in_doubt_is_waited_for_by_the_commits_that_earlier_runs_saw() {
    assert!(took_after_a_crash(false).await >= ALL_LATE);
    let took = took_after_a_crash(true).await;
    assert!((Duration::from_secs(10)..Duration::from_secs(20)).contains(&took), "{took:?}");
}
