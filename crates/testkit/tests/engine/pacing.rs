//! How fast and on how many connections: rates, and what servers give, over the wire and a paused clock.

use crate::late::DATE;
use crate::wire::{PIPE_OCTETS, USER, World, dial};
use bytes::Bytes;
use mailhaul_engine::config::Rate;
use mailhaul_engine::error::Error;
use mailhaul_engine::journal::{Existing, Journal, State};
use mailhaul_engine::net::Dialer;
use mailhaul_engine::progress::Progress;
use mailhaul_sandbox::{Fault, Planned, Profile, Sandbox, Trigger};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
/// Octets of each message here.
const OCTETS: usize = 2000;

fn letter(n: usize) -> Bytes {
    let head = format!("Subject: letter {n}\r\n\r\n");
    format!("{head}{}\r\n", "x".repeat(OCTETS - head.len() - 2)).into()
}

fn rate(octets_per_second: usize) -> Option<Rate> {
    octets_per_second.to_string().parse().ok()
}

/// So many mailboxes with so many messages each, all different.
fn account(mailboxes: usize, messages: usize) -> World {
    let world = World::new(Profile::default());
    for mailbox in 0..mailboxes {
        let name = if mailbox == 0 { "INBOX".to_owned() } else { format!("Box {mailbox}") };
        world.source.create(USER, &name, None, true);
        for n in 0..messages {
            world.source.deliver(USER, &name, letter(mailbox * messages + n), "", DATE);
        }
    }
    world
}

async fn all_verified(world: &World, messages: usize) {
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, messages)]));
    let mut held: Vec<Bytes> = world.held().into_iter().map(|(_, octets, ..)| octets).collect();
    let mut sent: Vec<Bytes> = (0..messages).map(letter).collect();
    held.sort();
    sent.sort();
    assert!(held == sent, "the target holds each message once");
}

/// The octets that passed through a server since the run began, at every twentieth of a second.
type Passed = Arc<Mutex<Vec<(Duration, u64)>>>;

fn watch(server: &Sandbox) -> (Passed, tokio::task::JoinHandle<()>) {
    let (server, passed, began) = (server.clone(), Passed::default(), Instant::now());
    let seen = passed.clone();
    let watching = tokio::spawn(async move {
        loop {
            let (given, taken) = server.octets_passed();
            seen.lock().unwrap().push((began.elapsed(), given + taken));
            tokio::time::sleep(SECOND / 20).await;
        }
    });
    (passed, watching)
}

/// No window of time saw more than its rate, one second's worth, and a message.
fn kept(passed: &Passed, rate: usize) {
    let passed = passed.lock().unwrap();
    for (i, (from, before)) in passed.iter().enumerate() {
        for (until, after) in &passed[i..] {
            // What passes just before a look is seen at it.
            let window = (*until - *from + SECOND + SECOND / 20).as_secs_f64();
            let allowed = window * rate as f64 + OCTETS as f64;
            assert!(
                (after - before) as f64 <= allowed,
                "{from:?} to {until:?}: {} of {allowed}",
                after - before
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_holds_at_each_side_over_all_its_connections_and_is_reached() {
    for connections in [1, 4] {
        for (at_source, at_target) in [(10_000, 0), (0, 20_000), (10_000, 40_000), (2500, 2500)] {
            let mut world = account(3, 20);
            world.connections = connections;
            world.rates = (rate(at_source), rate(at_target));
            let (source, a) = watch(&world.source);
            let (target, b) = watch(&world.target);
            let began = Instant::now();
            world.migrate().await;
            let took = began.elapsed();
            a.abort();
            b.abort();
            all_verified(&world, 60).await;
            let case = format!("{connections} connections, {at_source} and {at_target} octets per second");
            let octets = 60 * OCTETS;
            let mut least = 0.0f64;
            if at_source > 0 {
                kept(&source, at_source);
                least = least.max(octets as f64 / at_source as f64);
            }
            if at_target > 0 {
                kept(&target, at_target);
                // Each message is sent and read back.
                least = least.max(2.0 * octets as f64 / at_target as f64);
            }
            // With one connection a side the octets are read back after the copying.
            let most = 2.0 * least + 2.0;
            let took = took.as_secs_f64();
            assert!((least - 1.5..most).contains(&took), "{case}: {took} s, at least {least} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_below_a_message_a_minute_moves_every_message_on_the_same_connections() {
    for (at_source, at_target) in [(20, 0), (0, 20)] {
        for without in [&[][..], &["MULTIAPPEND"], &["LITERAL+"]] {
            let mut world = account(1, 5);
            world.rates = (rate(at_source), rate(at_target));
            world.without = without.iter().map(|w| (*w).to_owned()).collect();
            let began = Instant::now();
            let told = world.migrate_and_listen().await;
            all_verified(&world, 5).await;
            assert!(began.elapsed() > 390 * SECOND, "{:?}", began.elapsed());
            assert!(!told.iter().any(|p| matches!(p, Progress::Reconnecting { .. })), "{told:?}");
            assert_eq!(world.doubts().await, [""; 0]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_in_a_pause_stops_at_once_and_goes_on_later() {
    for (at_source, at_target, connections) in [(1, 0, 1), (0, 1, 1), (0, 1, 4), (1, 1, 4)] {
        for (after, adopting) in [(1, false), (100, false), (5000, false), (5000, true)] {
            let mut world = account(2, 3);
            world.connections = connections;
            if adopting {
                (0..3).for_each(|n| _ = world.target.deliver(USER, "INBOX", letter(n), "", DATE));
            }
            let run = async |world: &World, stop_after: Option<u64>| {
                let mut migration = world.migration();
                migration.settings.existing = adopting.then_some(Existing::Adopt);
                let cancel = migration.cancel.clone();
                if let Some(seconds) = stop_after {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                        cancel.cancel();
                    });
                }
                let end = migration.migrate().await;
                migration.journal.release().await.unwrap();
                end
            };
            let case =
                format!("{at_source} and {at_target} octets per second, {connections}: {after} {adopting}");
            world.rates = (rate(at_source), rate(at_target));
            let began = Instant::now();
            let stopped = run(&world, Some(after)).await;
            assert!(matches!(stopped, Err(Error::Interrupted)), "{case}: {stopped:?}");
            assert_eq!(began.elapsed().as_secs(), after, "{case}");
            world.rates = (None, None);
            run(&world, None).await.unwrap();
            let mut held: Vec<Bytes> = world.held().into_iter().map(|(_, octets, ..)| octets).collect();
            held.sort();
            let mut sent: Vec<Bytes> = (0..6).map(letter).collect();
            sent.sort();
            assert!(held == sent, "{case}");
        }
    }
}

/// The memory for bodies is all in messages that cannot go out: what would ask for more must not wait for it any longer.
#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_while_all_memory_is_in_use_stops_at_once() {
    let patience = "NO Request is throttled. Suggested Backoff Time: 3600000 milliseconds";
    for fault in [Fault::Answer(patience.into()), Fault::DropBeforeStore] {
        let mut world = account(1, 0);
        for n in 0..300 {
            let octets = format!("From: a@b.example\r\nSubject: {n}\r\n\r\n{}\r\n", "x".repeat(5000));
            world.source.deliver(USER, "INBOX", Bytes::from(octets), "", DATE);
        }
        (world.limits.body_memory_octets, world.limits.body_in_memory_octets_max) = (1, 64 << 10);
        (world.limits.batch_octets_max, world.limits.fetch_range_octets_max) = (10 << 10, 10 << 10);
        // What arrives meanwhile is taken in hand.
        for fault in [Fault::Working(Duration::from_secs(1), 5), fault.clone()] {
            world.target.plan(Planned::once(Trigger::Verb("APPEND", 1), fault));
        }
        let migration = world.migration();
        let cancel = migration.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(7)).await;
            cancel.cancel();
        });
        let stopped = tokio::time::timeout(HOUR, migration.migrate()).await;
        assert!(matches!(stopped, Ok(Err(Error::Interrupted))), "{fault:?}: {stopped:?}");
        migration.journal.release().await.unwrap();
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// How many connections each server had, at even steps of time.
type Had = Arc<Mutex<Vec<(usize, usize)>>>;

fn count_connections(world: &World, step: Duration) -> (Had, tokio::task::JoinHandle<()>) {
    let (source, target, had) = (world.source.clone(), world.target.clone(), Had::default());
    let counted = had.clone();
    let counting = tokio::spawn(async move {
        loop {
            counted.lock().unwrap().push((source.connected(USER), target.connected(USER)));
            tokio::time::sleep(step).await;
        }
    });
    (had, counting)
}

/// So many mailboxes whose batches take this long to store, one batch each; four connections are wanted.
fn slow(mailboxes: usize, commit: Duration) -> World {
    let mut world = account(mailboxes, 1);
    world.connections = 4;
    world.target.set(|p| p.commit_delay = commit);
    world
}

fn later(after: Duration, what: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        what();
    });
}

#[tokio::test(start_paused = true)]
async fn connections_that_a_server_gives_only_later_come_one_at_a_time() {
    for at_source in [true, false] {
        let world = slow(60, 30 * SECOND);
        let server = if at_source { world.source.clone() } else { world.target.clone() };
        server.set(|p| p.connections_max = Some(1));
        let raised = server.clone();
        later(100 * SECOND, move || raised.set(|p| p.connections_max = None));
        let (had, counting) = count_connections(&world, SECOND);
        world.migrate().await;
        counting.abort();
        all_verified(&world, 60).await;
        let had: Vec<usize> = had.lock().unwrap().iter().map(|h| if at_source { h.0 } else { h.1 }).collect();
        assert!(had[..100].iter().all(|n| *n <= 1), "{had:?}");
        // The first try after a minute is refused, and doubles the calm time; then one each minute.
        let most = if at_source { 3 } else { 4 };
        let reached: Vec<usize> =
            (2..=most).map(|n| had.iter().position(|h| *h >= n).expect("as many as wanted")).collect();
        assert!((180..190).contains(&reached[0]), "{reached:?}");
        assert!(reached.windows(2).all(|w| (60..70).contains(&(w[1] - w[0]))), "{reached:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_gives_no_more_is_asked_ever_more_rarely() {
    for (source_max, target_max, had_most) in [(1, 9, (1, 4)), (9, 1, (4, 1)), (9, 2, (4, 2)), (1, 1, (1, 1))]
    {
        let world = slow(24, 600 * SECOND);
        world.source.set(|p| p.connections_max = Some(source_max));
        world.target.set(|p| p.connections_max = Some(target_max));
        let (had, counting) = count_connections(&world, 60 * SECOND);
        let began = Instant::now();
        world.migrate().await;
        counting.abort();
        all_verified(&world, 24).await;
        let hours = began.elapsed().as_secs_f64() / HOUR.as_secs_f64();
        assert!(hours > 1.9, "{hours}");
        let refused =
            world.source.counters().refused_connections + world.target.counters().refused_connections;
        let wanted_more = u64::from(source_max == 1) + u64::from(target_max < 3);
        // Three at first, then after 1, 3, 7, 15, 31, 63 minutes, then every hour.
        let most = wanted_more * (3 + 6 + hours as u64);
        assert!((1..=most).contains(&refused), "{refused} refusals in {hours} hours");
        let had = had.lock().unwrap();
        let peak = (had.iter().map(|h| h.0).max(), had.iter().map(|h| h.1).max());
        assert!(peak.0 <= Some(had_most.0) && peak.1 <= Some(had_most.1), "{peak:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_halves_the_connections_of_its_side_until_it_has_been_calm() {
    for at_source in [true, false] {
        let world = slow(80, 30 * SECOND);
        let server = if at_source { &world.source } else { &world.target };
        let verb = if at_source { "FETCH" } else { "APPEND" };
        let throttle = Fault::Answer("NO [THROTTLED] slow down".into());
        server.plan(Planned::once(Trigger::Verb(verb, 10), throttle));
        let (had, counting) = count_connections(&world, SECOND);
        world.migrate().await;
        counting.abort();
        all_verified(&world, 80).await;
        assert_eq!(server.struck().len(), 1);
        let had: Vec<usize> = had.lock().unwrap().iter().map(|h| if at_source { h.0 } else { h.1 }).collect();
        let (most, half) = if at_source { (3, 1) } else { (4, 2) };
        let full = had.iter().position(|n| *n == most).expect("as many as wanted");
        let halved = full + had[full..].iter().position(|n| *n == half).expect("half as many");
        let again = halved + had[halved..].iter().position(|n| *n == most).expect("as many as before");
        assert!(had[full..again].iter().all(|n| *n >= half), "{had:?}");
        assert!(again - halved >= 60 * (most - half) - 31, "one a minute: {had:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_refused_to_a_further_connection_is_never_tried_again() {
    for at_source in [true, false] {
        let world = slow(36, 600 * SECOND);
        let server = if at_source { world.source.clone() } else { world.target.clone() };
        server.set(|p| p.connections_max = Some(1));
        let changed = server.clone();
        later(30 * SECOND, move || {
            let words = "[AUTHENTICATIONFAILED] the password was changed".to_owned();
            changed.set(|p| (p.connections_max, p.refuse_logins) = (None, Some(words)));
        });
        // The proof comes after the copying, on a connection of its own.
        let mended = server.clone();
        later(5 * HOUR, move || mended.set(|p| p.refuse_logins = None));
        let began = Instant::now();
        world.migrate().await;
        assert!(began.elapsed() > 5 * HOUR, "{:?}", began.elapsed());
        assert_eq!(server.counters().refused_logins, 1);
        all_verified(&world, 36).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_server_that_is_slow_to_give_further_connections() {
    let mut world = account(2, 3);
    world.connections = 3;
    let (server, dialled, silent) = (world.target.clone(), AtomicUsize::new(0), Mutex::new(Vec::new()));
    world.target_dialer = Some(Dialer::InProcess(Arc::new(move || {
        // Of the second writer and the reader nothing is heard; the next connection is that of the proof.
        if (1..=2).contains(&dialled.fetch_add(1, Ordering::Relaxed)) {
            let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
            silent.lock().unwrap().push(theirs);
            return ours;
        }
        dial(&server)
    })));
    let began = Instant::now();
    world.migrate().await;
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    all_verified(&world, 6).await;
}

#[tokio::test(start_paused = true)]
async fn further_connections_are_opened_while_the_target_is_made_ready_and_none_where_nothing_is_new() {
    let mut world = account(9, 3);
    world.connections = 4;
    let (server, made) = (world.target.clone(), Arc::new(Mutex::new(Vec::new())));
    let at_dial = made.clone();
    world.target_dialer = Some(Dialer::InProcess(Arc::new(move || {
        at_dial.lock().unwrap().push(server.counters().commands.get("CREATE").copied().unwrap_or(0));
        dial(&server)
    })));
    world.migrate().await;
    all_verified(&world, 27).await;
    // The first connection, two more that copy, and the one that reads back.
    let created = std::mem::take(&mut *made.lock().unwrap());
    assert_eq!(created[..3], [0, 0, 0], "{created:?}");
    assert_eq!(created[3], world.target.counters().commands["CREATE"], "{created:?}");
    world.migrate().await;
    assert_eq!(made.lock().unwrap().len(), 1, "{made:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_with_the_words_of_throttling_halves_the_others_too() {
    let world = slow(80, 30 * SECOND);
    let last_words = Fault::Bye("Too many simultaneous connections. (Failure)".into());
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 10), last_words));
    let (had, counting) = count_connections(&world, SECOND);
    world.migrate().await;
    counting.abort();
    all_verified(&world, 80).await;
    let had: Vec<usize> = had.lock().unwrap().iter().map(|h| h.1).collect();
    let full = had.iter().position(|n| *n == 4).expect("as many as wanted");
    // Beside the one that was lost, and is made again, another one leaves.
    let halved = full + had[full..].iter().position(|n| *n == 2).expect("half as many");
    let again = had[halved..].iter().position(|n| *n == 4).expect("as many as before");
    assert!(again >= 90, "one a minute: {again} s");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_connections_back_is_gone_on_with_on_those_that_are_left() {
    let world = slow(60, 30 * SECOND);
    let server = world.target.clone();
    later(100 * SECOND, move || {
        server.set(|p| p.connections_max = Some(2));
        let words = "Maximum number of connections from user+IP exceeded".to_owned();
        server.plan(Planned { at: Trigger::Next, fault: Fault::Bye(words), times: 2 });
    });
    let (had, counting) = count_connections(&world, SECOND);
    let end = world.migrate().await;
    counting.abort();
    assert_eq!(end.left, []);
    assert_eq!(world.target.struck().len(), 2);
    all_verified(&world, 60).await;
    let had: Vec<usize> = had.lock().unwrap().iter().map(|h| h.1).collect();
    assert!(had[..100].contains(&4), "as many as wanted");
    let fewer = had[100..].iter().position(|n| *n <= 2).expect("those that leave");
    assert!(fewer < 100, "others leave after their mailbox: {fewer} s");
    assert!(had[100 + fewer..].iter().all(|n| *n <= 2), "and no more are had again");
    assert!(had[100 + fewer..].contains(&2), "the connections that were cut come back into their places");
}
