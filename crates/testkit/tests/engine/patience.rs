//! Servers that need time, or ask for it, over the wire and a paused clock: commits of ten minutes, answers that a NAT
//! drops, throttling at every command, one message that is never to be had.

use crate::late::{DATE, message};
use crate::wire::{PASSWORD, PIPE_OCTETS, USER, World, dial};
use bytes::Bytes;
use mailhaul_engine::journal::State;
use mailhaul_engine::net::Dialer;
use mailhaul_engine::progress::Progress;
use mailhaul_sandbox::{Fault, Planned, Profile, Sandbox, Trigger};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

const MINUTE: Duration = Duration::from_secs(60);

fn states(of: &[(State, usize)]) -> BTreeMap<State, usize> {
    of.iter().copied().collect()
}

fn letter(n: i64) -> Bytes {
    Bytes::from(message(n))
}

/// An INBOX of so many messages.
fn inbox(messages: i64, target: Profile) -> World {
    let world = World::new(target);
    (0..messages).for_each(|n| _ = world.source.deliver(USER, "INBOX", letter(n), "\\Seen", DATE));
    world
}

async fn all_moved(world: &World, messages: usize, case: &str) {
    assert_eq!(world.states().await, states(&[(State::Verified, messages)]), "{case}");
    let mut held = world.octets("INBOX");
    held.sort();
    let mut wanted: Vec<Bytes> = (0..messages as i64).map(letter).collect();
    wanted.sort();
    assert_eq!(held, wanted, "{case}");
    assert_eq!(world.report().await.exit_code(), 0, "{case}");
}

/// A way to a server through a NAT that forgets a connection on which nothing passed for `idle`: from then on nothing
/// passes any more, and nobody is told.
fn through_nat(server: &Sandbox, idle: Duration) -> Dialer {
    let server = server.clone();
    Dialer::InProcess(Arc::new(move || {
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        tokio::spawn(nat(theirs, dial(&server), idle));
        ours
    }))
}

async fn nat(client: DuplexStream, server: DuplexStream, idle: Duration) {
    let (mut client, mut server) = (tokio::io::split(client), tokio::io::split(server));
    let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
    loop {
        let passed = tokio::time::timeout(idle, async {
            tokio::select! {
                read = client.0.read(&mut up) => carry(read, &up, &mut server.1).await,
                read = server.0.read(&mut down) => carry(read, &down, &mut client.1).await,
            }
        });
        match passed.await {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => break,
        }
    }
    // Both ends stay open; whatever comes is swallowed.
    tokio::join!(swallow(client.0), swallow(server.0));
}

async fn carry(read: std::io::Result<usize>, octets: &[u8], to: &mut WriteHalf<DuplexStream>) -> bool {
    match read {
        Ok(n @ 1..) => to.write_all(&octets[..n]).await.is_ok(),
        _ => false,
    }
}

async fn swallow(mut from: ReadHalf<DuplexStream>) {
    let mut octets = vec![0; 4096];
    while let Ok(1..) = from.read(&mut octets).await {}
}

fn connections_lost(told: &[Progress]) -> usize {
    told.iter().filter(|event| matches!(event, Progress::Reconnecting { .. })).count()
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_ten_minutes_is_waited_for_and_found_when_a_nat_drops_its_answer() {
    for nat in [None, Some(5 * MINUTE)] {
        let mut world = inbox(2, Profile { commit_delay: 10 * MINUTE, ..Profile::default() });
        world.target_dialer = nat.map(|idle| through_nat(&world.target, idle));
        let began = tokio::time::Instant::now();
        let told = world.migrate_and_listen().await;
        all_moved(&world, 2, &format!("{nat:?}")).await;
        assert_eq!(world.target.counters().appended, 2, "{nat:?}");
        assert!(began.elapsed() >= 10 * MINUTE, "{nat:?}");
        assert_eq!(connections_lost(&told) > 0, nat.is_some(), "the answer is lost in the NAT: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_group_behind_a_nat_a_commit_later_than_the_settle_time_leaves_a_surplus_that_is_reported() {
    let mut world = inbox(2, Profile { commit_delay: 10 * MINUTE, ..Profile::default() });
    world.without = vec!["MULTIAPPEND".into()];
    // Two commits, one after the other: the first is found after 15 minutes of silence, the second comes after 20.
    world.target_dialer = Some(through_nat(&world.target, 5 * MINUTE));
    world.migrate().await;
    assert_eq!(world.states().await, states(&[(State::Verified, 2)]));
    assert_eq!(world.octets("INBOX").len(), 3);
    let doubts = world.doubts().await;
    assert_eq!(doubts.iter().filter(|kind| *kind == "ghost").count(), 1, "{doubts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_in_progress_for_ten_minutes_is_not_given_up_at_any_command() {
    let mut slow = Vec::new();
    for verb in ["AUTHENTICATE", "LIST", "STATUS", "EXAMINE", "FETCH", "CREATE", "APPEND"] {
        for at_target in [false, true] {
            let mut world = inbox(5, Profile::default());
            // One batch: a second one would wait behind its gate for longer than it may after its COMMIT.
            world.limits.batch_messages_max = 10;
            world.source.create(USER, "Work", None, true);
            let server = if at_target { &world.target } else { &world.source };
            let working = Fault::Working(Duration::from_secs(20), 30);
            server.plan(Planned::once(Trigger::Verb(verb, 1), working));
            let began = tokio::time::Instant::now();
            let told = world.migrate_and_listen().await;
            let case = format!("{verb}, at the target: {at_target}");
            all_moved(&world, 5, &case).await;
            if server.struck().is_empty() {
                continue;
            }
            slow.push(verb);
            assert!(began.elapsed() >= 10 * MINUTE, "{case}");
            assert_eq!(connections_lost(&told), 0, "{case}: {told:?}");
            assert_eq!(world.doubts().await, [""; 0], "{case}");
        }
    }
    assert!(slow.len() >= 9, "{slow:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_another_session_holds_for_a_minute_costs_the_wait_and_no_message() {
    // Silence, an untagged OK now and then (Dovecot: "Waiting for the lock"), or NO [INUSE] until it is free.
    let told = Fault::Working(MINUTE / 4, 4);
    let refused = Fault::Answer("NO [INUSE] Timeout while waiting for lock".into());
    let silent = Fault::Working(MINUTE, 1);
    for (held, times) in [(silent, 1), (told, 1), (refused, 5)] {
        for verb in ["EXAMINE", "FETCH", "APPEND"] {
            for (at_target, nth) in [(false, 2), (true, 1), (true, 2)] {
                let world = inbox(7, Profile::default());
                let server = if at_target { &world.target } else { &world.source };
                server.plan(Planned { at: Trigger::Verb(verb, nth), fault: held.clone(), times });
                let began = tokio::time::Instant::now();
                let told = world.migrate_and_listen().await;
                let case = format!("{held:?} at {verb} {nth}, at the target: {at_target}");
                if server.struck().is_empty() {
                    continue;
                }
                all_moved(&world, 7, &case).await;
                assert_eq!(world.doubts().await, [""; 0], "{case}");
                let waits = told.iter().any(|p| matches!(p, Progress::Waiting { .. }));
                assert!(waits || began.elapsed() >= MINUTE, "{case}: {told:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_with_a_named_wait_is_waited_for_at_every_command_and_is_no_wrong_password() {
    const WAIT: Duration = Duration::from_secs(90);
    let text = format!("BAD Request is throttled. Suggested Backoff Time: {} milliseconds", WAIT.as_millis());
    for verb in ["AUTHENTICATE", "EXAMINE", "FETCH", "APPEND"] {
        for (at_target, nth) in [(false, 1), (false, 2), (true, 1), (true, 2)] {
            let world = inbox(5, Profile::default());
            let server = if at_target { &world.target } else { &world.source };
            server.plan(Planned::once(Trigger::Verb(verb, nth), Fault::Answer(text.clone())));
            let began = tokio::time::Instant::now();
            let end = world.migrate().await;
            let case = format!("{verb} {nth}, at the target: {at_target}");
            if server.struck().is_empty() {
                continue;
            }
            assert_eq!(end.left, [], "{case}");
            all_moved(&world, 5, &case).await;
            // A further connection is done without; everything else is waited for.
            let further = verb == "AUTHENTICATE" && nth > 1;
            assert_eq!(began.elapsed() >= WAIT, !further, "{case}: {:?}", began.elapsed());
            assert!(began.elapsed() < 4 * WAIT, "{case}: {:?}", began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_with_bye_for_minutes_costs_time_and_no_message() {
    for verb in ["FETCH", "EXAMINE", "APPEND"] {
        for at_target in [false, true] {
            let world = inbox(7, Profile::default());
            let server = if at_target { &world.target } else { &world.source };
            // The first EXAMINE is the survey's: a connection that ends there ends the run, before anything is sent.
            let first = Trigger::Verb(verb, if verb == "EXAMINE" { 2 } else { 1 });
            let limit = Fault::Answer("NO [LIMIT] UID FETCH Rate limit hit".into());
            server.plan(Planned { at: first.clone(), fault: limit, times: 5 });
            server.plan(Planned {
                at: first.clone(),
                fault: Fault::Bye("[LIMIT] Rate limit hit".into()),
                times: 5,
            });
            world.migrate().await;
            all_moved(&world, 7, &format!("{verb}, at the target: {at_target}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_always_unavailable_becomes_one_exception_and_the_rest_moves() {
    for uid in [1, 4, 9] {
        let world = inbox(9, Profile::default());
        world.source.plan(Planned {
            at: Trigger::Body("INBOX".into(), uid),
            fault: Fault::RefuseFetch("[UNAVAILABLE] UID FETCH Server error while fetching messages".into()),
            times: u32::MAX,
        });
        world.migrate().await;
        assert_eq!(world.states().await, states(&[(State::Verified, 8), (State::Exception, 1)]), "UID {uid}");
        let exceptions = world.exceptions().await;
        let (kind, words) = &exceptions[0];
        assert_eq!(kind, "unreadable");
        assert!(words.contains("[UNAVAILABLE]"), "the server's words: {words}");
        assert_eq!(world.octets("INBOX").len(), 8);
        assert_eq!(world.report().await.exit_code(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_identical_messages_over_two_batches_stay_a_hundred_wherever_the_connection_is_cut() {
    for without in [&[][..], &["MULTIAPPEND"], &["UIDPLUS"], &["MULTIAPPEND", "UIDPLUS"]] {
        for fault in [Fault::DropBeforeStore, Fault::DropAfterStore] {
            for nth in [1, 2, 50, 51, 75, 100] {
                let mut world = World::new(Profile::default());
                world.without = without.iter().map(|w| (*w).to_owned()).collect();
                (world.limits.batch_messages_max, world.limits.group_messages_max) = (50, 50);
                (0..100).for_each(|_| _ = world.source.deliver(USER, "INBOX", letter(7), "\\Seen", DATE));
                world.target.plan(Planned::once(Trigger::Verb("APPEND", nth), fault.clone()));
                world.migrate().await;
                let case = format!("{fault:?} at APPEND {nth}, without {without:?}");
                assert_eq!(world.octets("INBOX"), vec![letter(7); 100], "{case}");
                assert_eq!(world.states().await, states(&[(State::Verified, 100)]), "{case}");
                let places: std::collections::BTreeSet<_> =
                    world.items().await.iter().map(|i| i.place.unwrap().uid).collect();
                assert_eq!(places.len(), 100, "{case}");
                let appended = world.target.counters().appended;
                world.migrate().await;
                assert_eq!(world.target.counters().appended, appended, "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_a_server_allows_few_connections_the_run_goes_on_with_those_it_has() {
    for (source_max, target_max) in [(1, 1), (2, 1), (1, 2)] {
        let mut world = World::new(Profile { connections_max: Some(target_max), ..Profile::default() });
        world.source = Sandbox::new(Profile { connections_max: Some(source_max), ..Profile::default() });
        world.source.add_user(USER, PASSWORD);
        world.connections = 4;
        for mailbox in ["One", "Two", "Three"] {
            world.source.create(USER, mailbox, None, true);
            (0..5).for_each(|n| _ = world.source.deliver(USER, mailbox, letter(n), "", DATE));
        }
        let began = tokio::time::Instant::now();
        let told = world.migrate_and_listen().await;
        assert!(told.iter().any(|p| matches!(p, Progress::FewerConnections { .. })), "{told:?}");
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 15)]));
        // Nobody waits for a connection that will not come.
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
