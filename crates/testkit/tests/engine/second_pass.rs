//! A run that finds nothing to do asks little: mailboxes that STATUS shows as they were listed are not opened again. What
//! changed is found all the same, and where STATUS does not tell, everything is listed.

use crate::late::{DATE, message};
use crate::wire::{USER, World};
use bytes::Bytes;
use mailhaul_engine::journal::{Journal as _, State};
use mailhaul_engine::progress::Progress;
use mailhaul_sandbox::{Deed, Fault, Planned, Profile, Sandbox, Trigger};
use std::collections::BTreeMap;

/// Commands that a run may send on one side after its login, however many mailboxes there are.
const COMMANDS_MAX: u64 = 6;

fn letter(n: i64) -> Bytes {
    Bytes::from(message(n))
}

/// Forty mailboxes with two messages each, moved and proven.
async fn moved(profile: Profile) -> World {
    let world = World::new(profile.clone());
    for n in 0..40 {
        let name = format!("Box {n}");
        world.source.create(USER, &name, None, true);
        (0..2).for_each(|m| _ = world.source.deliver(USER, &name, letter(2 * n + m), "\\Seen", DATE));
    }
    assert_eq!(world.migrate().await.left, []);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 80)]));
    world
}

/// The commands of each side during the next run, login and goodbye aside.
async fn commands_of_a_run(world: &World) -> [BTreeMap<String, u64>; 2] {
    let before = [&world.source, &world.target].map(|s| s.counters().commands);
    assert_eq!(world.migrate().await.left, []);
    let since = |server: &Sandbox, before: &BTreeMap<String, u64>| {
        let mut now = server.counters().commands;
        for (verb, count) in before {
            now.entry(verb.clone()).and_modify(|n| *n -= count);
        }
        now.retain(|verb, n| *n > 0 && !matches!(verb.as_str(), "AUTHENTICATE" | "LOGIN" | "LOGOUT"));
        now
    };
    [since(&world.source, &before[0]), since(&world.target, &before[1])]
}

#[tokio::test(start_paused = true)]
async fn with_nothing_new_no_mailbox_is_opened_and_the_report_is_complete() {
    let world = moved(Profile::default()).await;
    for _ in 0..2 {
        for commands in commands_of_a_run(&world).await {
            assert!(!commands.contains_key("EXAMINE") && !commands.contains_key("FETCH"), "{commands:?}");
            assert!(commands.values().sum::<u64>() <= COMMANDS_MAX, "{commands:?}");
        }
        let report = world.report().await;
        assert_eq!(report.exit_code(), 0, "every mailbox counts as listed in this run");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_run_measures_for_the_next_one_is_no_remark() {
    let world = moved(Profile::default()).await;
    let report = world.report().await;
    assert_eq!(report.remarks.total, 0, "{:?}", report.remarks);
}

#[tokio::test(start_paused = true)]
async fn with_one_connection_nobody_connects_before_the_one_before_has_left() {
    let profile = Profile { connections_max: Some(1), ..Profile::default() };
    let mut world = World::between(profile.clone(), profile);
    world.connections = 1;
    for mailbox in ["INBOX", "B"] {
        world.source.create(USER, mailbox, None, true);
        world.source.deliver(USER, mailbox, letter(1), "\\Seen", DATE);
    }
    for _ in 0..2 {
        assert_eq!(world.migrate().await.left, []);
    }
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2)]));
    let refused = [&world.source, &world.target].map(|server| server.counters().refused_connections);
    assert_eq!(refused, [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn only_mailboxes_with_something_new_are_opened() {
    let world = moved(Profile::default()).await;
    world.source.deliver(USER, "Box 7", letter(500), "", DATE);
    world.target.deliver(USER, "Box 9", letter(501), "", DATE);
    let [source, target] = commands_of_a_run(&world).await;
    assert_eq!(world.octets("Box 7"), [letter(14), letter(15), letter(500)]);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 81)]));
    // Box 7 on both sides, and Box 9 at the target, whose UIDs are compared with the claims.
    assert!((1..=3).contains(&source["EXAMINE"]), "{source:?}");
    assert!((2..=8).contains(&target["EXAMINE"]), "{target:?}");
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flag_set_a_message_removed_and_a_new_epoch_are_seen() {
    let world = moved(Profile::default()).await;
    world.source.set_flags(USER, "Box 1", 1, "\\Flagged");
    let [source, _] = commands_of_a_run(&world).await;
    assert_eq!(source["EXAMINE"], 1, "flags of the source are looked at");
    world.target.act(USER, &Deed::Delete { mailbox: "Box 2".into(), nth: 0 });
    world.target.act(USER, &Deed::NewEpoch { mailbox: "Box 3".into() });
    world.migrate().await;
    let states = BTreeMap::from([(State::Verified, 79), (State::GoneAtTarget, 1)]);
    assert_eq!(world.states().await, states);
    world.source.act(USER, &Deed::NewEpoch { mailbox: "Box 4".into() });
    world.migrate().await;
    assert_eq!(world.states().await, states);
    assert_eq!(world.octets("Box 4").len(), 2, "recognised, and not sent again");
}

#[tokio::test(start_paused = true)]
async fn what_verify_saw_at_the_source_is_still_copied_by_the_next_run() {
    let world = moved(Profile::default()).await;
    world.source.deliver(USER, "Box 5", letter(600), "", DATE);
    world.verify().await;
    assert_eq!(world.report().await.exit_code(), 5, "it is known, and not moved");
    world.migrate().await;
    assert_eq!(world.octets("Box 5"), [letter(10), letter(11), letter(600)]);
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_verify_could_not_ask_the_source_for_is_said() {
    let world = moved(Profile::default()).await;
    let said = async || {
        let remarks = world.report().await.remarks.shown;
        remarks.iter().any(|note| {
            note.text.starts_with("which folders belong to other people at the old server was not looked at")
        })
    };
    world.verify().await;
    assert!(!said().await);
    let asked = world.source.counters().commands["NAMESPACE"];
    let refused = Fault::Answer("NO not for you".to_owned());
    world.source.plan(Planned::once(Trigger::Verb("NAMESPACE", asked + 1), refused));
    world.verify().await;
    assert!(said().await, "{:?}", world.report().await.remarks.shown);
}

#[tokio::test(start_paused = true)]
async fn what_was_undone_is_copied_again() {
    let world = moved(Profile::default()).await;
    assert_eq!(world.undo().await.unwrap().removed, 80);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 80)]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_tell_is_listed_as_ever() {
    let world = moved(Profile { condstore: false, ..Profile::default() }).await;
    let [_, target] = commands_of_a_run(&world).await;
    assert!(target["EXAMINE"] >= 40, "{target:?}");
}

/// A mailbox of a thousand messages, and a run that was told to stop in the middle of it: so many of them are left.
async fn moved_in_part() -> (World, usize) {
    let world = World::new(Profile::default());
    (0..1000).for_each(|n| _ = world.source.deliver(USER, "INBOX", letter(n), "", DATE));
    let migration = world.migration();
    let (mut told, cancel) = (migration.bus.listen(), migration.cancel.clone());
    let stopping = async {
        while !matches!(told.recv().await, Ok(Progress::Stored { .. })) {}
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(migration.migrate(), stopping);
    assert!(ended.is_err(), "it was told to stop");
    migration.journal.release().await.unwrap();
    let left = world.states().await.get(&State::Listed).copied().unwrap_or_default();
    assert!((100..1000).contains(&left), "{left} left");
    (world, left)
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_copied_in_part_and_unchanged_since_is_not_listed_again() {
    let (world, left) = moved_in_part().await;
    let [source, _] = commands_of_a_run(&world).await;
    assert_eq!(source["FETCH"], left.div_ceil(100) as u64, "bodies of {left}, and no listing: {source:?}");
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 1000)]));
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_copied_in_part_is_listed_where_it_changed_or_a_rule_has_a_say() {
    let (world, _) = moved_in_part().await;
    world.source.deliver(USER, "INBOX", letter(1000), "", DATE);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 1001)]));
    let (mut world, left) = moved_in_part().await;
    world.selection.since = Some(i64::MAX);
    world.migrate().await;
    let states = BTreeMap::from([(State::Verified, 1000 - left), (State::Excluded, left)]);
    assert_eq!(world.states().await, states, "the rule came with the second run");
}
