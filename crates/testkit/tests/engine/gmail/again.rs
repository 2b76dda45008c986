//! Labels over several runs: what a run could not know or not do, and what changed at Gmail before the next one.

use super::{
    ALL, account, by_number, deliver, expected, in_copies, in_state, left_out, letter, moved, run, shelves,
    small, uid,
};
use crate::wire::World;
use mailhaul_engine::config::{Labels, Selection};
use mailhaul_engine::error::Error;
use mailhaul_engine::journal::State;
use mailhaul_engine::probe::Probe;
use mailhaul_engine::report::LEFT;
use mailhaul_sandbox::{Deed, Fault, Planned, Profile, Trigger};
use mailhaul_testkit::stopper::{Death, Stopper};
use std::collections::BTreeMap;
use std::time::Duration;

/// Runs until the target has no room for a single message: all that was listed stays so.
pub(super) async fn listed_only(world: &World) {
    world.target.set(|p| p.quota_octets = Some(1));
    let end = world.try_migrate().await;
    assert!(matches!(end, Err(Error::Full { .. })), "{end:?}");
    assert_eq!(world.target.counters().appended, 0);
    world.target.set(|p| p.quota_octets = None);
}

#[tokio::test(start_paused = true)]
async fn a_label_left_out_by_name_leaves_out_no_mail_that_another_label_would_have_brought() {
    let source = Profile { hidden: vec!["Work".into()], ..Profile::gmail() };
    let mut world = account(source, Profile::default());
    deliver(&world.source, "Family/Old", &[9]);
    deliver(&world.source, "Bills", &[9, 10]);
    deliver(&world.source, "Work", &[9]);
    // Not hidden, and it brings 11 by itself.
    deliver(&world.source, "Bills", &[11]);
    deliver(&world.source, "Shown", &[11]);
    world.selection = Selection { exclude: vec!["Bills".into(), "Family/*".into()], ..Selection::default() };
    moved(&world).await;
    let there = shelves(&world.target);
    assert_eq!(there["Archive"], [2, 5, 6, 9], "Work, which IMAP hides, would have brought 9");
    assert_eq!(there["Shown"], [11]);
    let mail = by_number(&world).await;
    assert_eq!((mail.there, mail.left_out), (11, 1), "10 has no label but those left out");
    assert_eq!(left_out(&world).await["exclude:Bills"], 1);
}

/// An earlier run listed what Alpha shows, and brought nothing of it.
async fn alpha_is_listed(labels: Labels) -> World {
    let mut world = World::between(Profile::gmail(), Profile::default());
    deliver(&world.source, "Alpha", &[1, 2, 3]);
    deliver(&world.source, ALL, &[5]);
    (world.labels, world.connections) = (labels, 1);
    listed_only(&world).await;
    world
}

#[tokio::test(start_paused = true)]
async fn what_a_label_had_shown_and_not_brought_when_it_was_hidden_comes_from_elsewhere() {
    for labels in [Labels::Copies, Labels::First] {
        let world = alpha_is_listed(labels).await;
        deliver(&world.source, "Zeta", &[2]);
        world.source.set(|p| p.hidden = vec!["Alpha".into()]);
        let there = expected(&[("Archive", &[1, 3, 5]), ("Zeta", &[2])]);
        for run in 1..=2 {
            assert_eq!(world.migrate().await.left, []);
            assert_eq!(shelves(&world.target), there, "{labels:?}, run {run}");
            assert_eq!(world.states().await.get(&State::Listed), None, "{labels:?}, run {run}");
            assert_eq!(by_number(&world).await.there, 4);
        }
        world.source.set(|p| p.hidden.clear());
        moved(&world).await;
        let alpha = shelves(&world.target).remove("Alpha").unwrap_or_default();
        assert_eq!(alpha, if labels == Labels::Copies { vec![1, 2, 3] } else { vec![] }, "shown again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_label_had_shown_and_not_brought_when_it_could_not_be_opened_comes_from_all_mail() {
    for labels in [Labels::Copies, Labels::First] {
        let world = alpha_is_listed(labels).await;
        world.source.set(|p| p.unopened = vec!["Alpha".into()]);
        assert_eq!(world.migrate().await.left.len(), 1, "Alpha, and not All Mail");
        assert_eq!(shelves(&world.target), expected(&[("Archive", &[1, 2, 3, 5])]), "{labels:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_mail_waits_for_a_mailbox_that_the_target_did_not_create() {
    for labels in [Labels::Copies, Labels::First] {
        let mut world = account(Profile::gmail(), Profile { refuse_in_names: "W", ..Profile::default() });
        world.labels = labels;
        let left = world.migrate().await.left;
        assert!(left.len() == 1 && left[0].1.contains("“Work”"), "{labels:?}: {left:?}");
        assert!(world.notes().await.iter().any(|n| n.kind == LEFT && n.text.contains("--exclude")));
        assert_eq!(world.report().await.exit_code(), 5);
        assert!(!shelves(&world.target).contains_key("Archive"), "{labels:?}");
        world.target.set(|p| p.refuse_in_names = "");
        moved(&world).await;
        let mut there = in_copies();
        if labels == Labels::First {
            there.insert("Work".into(), vec![2]);
            there.remove("Family/Old");
        }
        assert_eq!(shelves(&world.target), there, "{labels:?}: 2 came once, in Work");
    }
}

#[tokio::test(start_paused = true)]
async fn all_mail_waits_for_a_mailbox_that_the_source_may_open_later() {
    let source =
        Profile { unopened: vec!["Work".into()], unopened_says: "[INUSE] not now", ..Profile::gmail() };
    let world = account(source, Profile::default());
    let left = world.migrate().await.left;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!shelves(&world.target).contains_key("Archive"), "{left:?}");
    world.source.set(|p| p.unopened.clear());
    moved(&world).await;
    assert_eq!(shelves(&world.target), in_copies());
}

#[tokio::test(start_paused = true)]
async fn mail_that_arrives_while_a_later_run_looks_at_the_mailboxes_comes_once() {
    for (verb, list_status, commands) in [("STATUS", false, 10), ("LIST", true, 1)] {
        for nth in 1..=commands {
            let world = account(Profile { list_status, ..Profile::gmail() }, Profile::default());
            moved(&world).await;
            let before = world.source.counters().commands.get(verb).copied().unwrap_or(0);
            let arrive = Deed::Deliver { mailbox: "INBOX".into(), octets: letter(10) };
            world.source.plan(Planned::once(Trigger::Verb(verb, before + nth), Fault::Other(arrive)));
            moved(&world).await;
            assert!(shelves(&world.source)["INBOX"].contains(&10), "{verb} {nth} was never sent");
            moved(&world).await;
            let mut there = in_copies();
            there.insert("INBOX".into(), vec![0, 1, 10]);
            assert_eq!(shelves(&world.target), there, "{verb} {nth}");
        }
    }
}

/// A run that is stopped at each of its steps, one after the other; `of` is what was there before it, `then` what is to hold
/// after. The least number of steps that it must have keeps the test from ending early.
async fn stopped_at_each_step<W: Future<Output = World>, T: Future<Output = ()>>(
    least: u64,
    of: impl Fn() -> W,
    then: impl Fn(World, u64) -> T,
) {
    let (world, stopper) = (of().await, Stopper::never());
    stopper.watch(&world.store);
    run(&world, stopper.probe()).await;
    let steps = stopper.steps();
    assert!(steps >= least, "{steps} steps only");
    for at in 1..=steps {
        let (world, stopper) = (of().await, Stopper::at(at));
        stopper.watch(&world.store);
        stopper.run(run(&world, stopper.probe())).await;
        Death::ALL[usize::from(at % 2 == 0)].strike(&world.store);
        then(world, at).await;
    }
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_and_a_label_hidden_then_each_message_comes_once() {
    for labels in [Labels::Copies, Labels::First] {
        let of = || async { small(Profile::gmail(), Profile::default(), labels) };
        stopped_at_each_step(40, of, |world, at| async move {
            world.source.set(|p| p.hidden = vec!["Work".into()]);
            world.migrate().await;
            let there = shelves(&world.target);
            let said = format!("{labels:?}, stopped at step {at}: {there:?}");
            assert_eq!(there["INBOX"], [0, 1], "{said}");
            assert!(there["Archive"].contains(&5), "{said}");
            let places = ["Work", "Archive"].map(|name| there.get(name).is_some_and(|l| l.contains(&2)));
            assert!(places[0] != places[1], "{said}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_nothing_to_do_and_is_stopped_leaves_nothing_to_do() {
    let of = || async {
        let world = small(Profile::gmail(), Profile::default(), Labels::First);
        run(&world, Probe::default()).await;
        world
    };
    stopped_at_each_step(5, of, |world, at| async move {
        let states = world.states().await;
        assert!(!states.contains_key(&State::Listed), "stopped at step {at}: {states:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_equal_messages_that_take_each_others_place_are_merged_and_not_lost() {
    let of = || async {
        let mut world = World::new(Profile { replaces: true, ..Profile::gmail() });
        deliver(&world.source, "INBOX", &[0, 1, 1, 1]);
        world.limits.settle_min = Duration::from_secs(2);
        world.limits.settle_unmeasured = Duration::from_secs(2);
        run(&world, Probe::default()).await;
        // What was merged with the one that this replaces goes with it.
        deliver(&world.source, "INBOX", &[1]);
        world
    };
    stopped_at_each_step(20, of, |world, at| async move {
        run(&world, Probe::default()).await;
        let states = BTreeMap::from([(State::Verified, 2), (State::Merged, 3)]);
        assert_eq!(world.states().await, states, "stopped at step {at}");
        let kept = i64::from(uid(&world.target, "INBOX", 1));
        for item in in_state(&world, State::Merged).await {
            assert_eq!(item.place.unwrap().uid.0, kept, "stopped at step {at}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_mail_under_another_uidvalidity_is_recognised_by_its_numbers_and_not_read_again() {
    for labels in [Labels::Copies, Labels::First] {
        let mut world = account(Profile::gmail(), Profile::default());
        world.labels = labels;
        moved(&world).await;
        let done = |world: &World| {
            (world.source.counters().octets_given, world.target.counters().appended, shelves(&world.target))
        };
        let before = done(&world);
        let other = Deed::NewEpoch { mailbox: ALL.into() };
        world.source.plan(Planned::once(Trigger::Next, Fault::Other(other)));
        for run in 1..=2 {
            moved(&world).await;
            assert_eq!(done(&world), before, "{labels:?}, run {run}");
        }
        assert!(world.notes().await.iter().any(|n| n.text.contains("7 were recognised, 0 are not there")));
    }
}
