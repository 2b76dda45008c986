//! Who reads back what: one follows those who copy, and those who have nothing more to copy read beside it what others appended,
//! never what they appended themselves (law 9).

use crate::late::{DATE, message};
use crate::wire::{USER, World};
use bytes::Bytes;
use mailhaul_engine::journal::State;
use mailhaul_sandbox::{Alteration, Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;

/// INBOX, `A`, `B` and so on, of so many messages each: batches of three.
fn account(mailboxes: &[i64], connections: usize) -> World {
    let mut world = World::new(Profile::default());
    world.connections = connections;
    for (at, messages) in mailboxes.iter().enumerate() {
        let name = if at == 0 { "INBOX" } else { &"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[at - 1..at] };
        world.source.create(USER, name, None, true);
        for n in 0..*messages {
            let octets = Bytes::from(message(1000 * at as i64 + n));
            world.source.deliver(USER, name, octets, "\\Seen", DATE);
        }
    }
    world
}

/// Three connections, of which the one that follows stands still from its first FETCH on until its patience ends: the others have
/// copied by then.
fn one_that_stands_still() -> World {
    let world = account(&[30, 21], 3);
    world.target.plan(Planned::once(Trigger::Verb("FETCH", 1), Fault::Held));
    world
}

fn verified(messages: usize) -> BTreeMap<State, usize> {
    BTreeMap::from([(State::Verified, messages)])
}

#[tokio::test(start_paused = true)]
async fn no_session_reads_back_what_it_appended_itself_however_many_there_are() {
    for connections in 1..=5 {
        let world = account(&[20, 9, 9, 3, 3, 30], connections);
        let end = world.migrate().await;
        assert_eq!((end.left, end.questions), (Vec::new(), Vec::new()), "{connections}");
        assert_eq!(world.states().await, verified(74), "{connections}");
        let counters = world.target.counters();
        assert_eq!(counters.given_to_appender, 0, "{connections}");
        assert_eq!(counters.octets_given, counters.octets_taken, "{connections}: each is read once");
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_alone_reads_back_on_a_new_one_when_all_is_copied() {
    let world = account(&[9, 9], 1);
    world.migrate().await;
    assert_eq!(world.states().await, verified(18));
    let counters = world.target.counters();
    assert_eq!((counters.given_to_appender, counters.given_to_writer), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_more_to_copy_reads_back_what_others_appended() {
    let world = one_that_stands_still();
    world.migrate().await;
    assert_eq!(world.states().await, verified(51));
    let counters = world.target.counters();
    assert_eq!(counters.given_to_appender, 0);
    // But for the few that the one that follows had asked for.
    assert!(counters.given_to_writer >= 40, "{counters:?}");
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn all_is_read_back_when_the_connection_of_one_who_helps_is_lost() {
    for fault in [Fault::CutMessage(20), Fault::CutFetch(1)] {
        for (mailbox, uid) in [("INBOX", 20), ("A", 20)] {
            let world = one_that_stands_still();
            world.target.plan(Planned::once(Trigger::Body(mailbox.into(), uid), fault.clone()));
            world.migrate().await;
            let case = format!("{mailbox}, {fault:?}");
            assert_eq!(world.target.struck().len(), 2, "{case}");
            assert_eq!(world.states().await, verified(51), "{case}");
            let counters = world.target.counters();
            assert_eq!(counters.given_to_appender, 0, "{case}");
            assert!(counters.given_to_writer > 0, "{case}: {counters:?}");
            assert_eq!(world.report().await.exit_code(), 0, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_is_read_back_when_the_connection_of_the_one_that_follows_is_lost() {
    for nth in 1..=4 {
        for fault in [Fault::CutFetch(1), Fault::Bye("enough".into())] {
            let world = account(&[30, 21, 9], 3);
            world.target.plan(Planned::once(Trigger::Verb("FETCH", nth), fault.clone()));
            world.migrate().await;
            assert_eq!(world.states().await, verified(60), "FETCH {nth}, {fault:?}");
            assert_eq!(world.target.counters().given_to_appender, 0, "FETCH {nth}, {fault:?}");
            assert_eq!(world.report().await.exit_code(), 0, "FETCH {nth}, {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_damaged_by_the_target_is_found_by_one_who_helps() {
    let world = one_that_stands_still();
    // Of some batch that the one that follows has not seen.
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 10), Fault::Alter(Alteration::SameSize)));
    world.migrate().await;
    let exceptions = world.exceptions().await;
    assert_eq!(exceptions.len(), 3, "{exceptions:?}");
    assert!(exceptions.iter().all(|(kind, _)| kind == "damaged"), "{exceptions:?}");
    assert_eq!(world.states().await[&State::Verified], 48);
    let counters = world.target.counters();
    assert_eq!(counters.given_to_appender, 0);
    assert!(counters.given_to_writer > 0, "{counters:?}");
}

/// Refused once it is read at the end; refused each time, nothing of it counts as read, and all others do.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_refused_to_one_who_helps_keeps_no_other_from_being_read() {
    for times in [1, u32::MAX] {
        let world = one_that_stands_still();
        let fault = Fault::RefuseFetch("[CANNOT] not this one".into());
        world.target.plan(Planned { at: Trigger::Body("A".into(), 20), fault, times });
        world.migrate().await;
        assert!(world.target.counters().given_to_writer > 0, "{times}");
        assert!(world.target.struck().len() >= 2, "{times}");
        let (states, code) = (world.states().await, world.report().await.exit_code());
        if times == 1 {
            assert_eq!((states, code), (verified(51), 0), "asked for again at the end");
            continue;
        }
        assert!(states[&State::Verified] >= 30 && states.contains_key(&State::Stored), "{states:?}");
        assert_eq!(states.values().sum::<usize>(), 51, "{states:?}");
        assert_ne!(code, 0);
    }
}

/// It is asked for again a few times, not once for each portion of what comes after it.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_for_trouble_that_passes_is_not_asked_for_with_all_that_follow() {
    let mut world = account(&[3, 300], 2);
    world.limits.journal_page_rows = 10;
    let fault = Fault::RefuseFetch("[UNAVAILABLE] later".into());
    world.target.plan(Planned { at: Trigger::Body("INBOX".into(), 2), fault, times: u32::MAX });
    for n in 0..300 {
        let octets = format!("{}{}\r\n", message(5000 + n), "x".repeat(200_000));
        world.source.deliver(USER, "A", Bytes::from(octets), "\\Seen", DATE);
    }
    world.migrate().await;
    assert!(world.states().await[&State::Verified] >= 600);
    let refused = world.target.struck().len();
    assert!((1..=20).contains(&refused), "{refused}");
}
