//! Another UIDVALIDITY, at the source, at the target and at both, between runs and in the middle of one: nothing is sent
//! by number, nothing known is sent twice, and what somebody removed does not come back.

use crate::late::{DATE, Verb, World, message};
use mailhaul_engine::journal::{Journal, State};
use mailhaul_engine::memory_end::Fate;
use mailhaul_testkit::stopper::{Death, Stopper};
use std::collections::BTreeMap;

fn verified(messages: usize) -> BTreeMap<State, usize> {
    BTreeMap::from([(State::Verified, messages)])
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_at_the_source_is_recognised_by_content_and_nothing_is_sent_again() {
    for backwards in [false, true] {
        let world = World::new(20);
        // Equal messages with different flags, and some of equal size and date with other octets.
        world.source.deliver("INBOX", message(3), "\\Flagged", DATE);
        world.source.deliver("INBOX", message(3), "\\Answered", DATE);
        world.migrate().await;
        assert_eq!(world.states().await, verified(22));
        let places: BTreeMap<_, _> =
            world.items().await.into_iter().map(|i| (i.place.unwrap().uid, i.flags.to_string())).collect();
        if backwards {
            world.source.renumber_backwards("INBOX");
        } else {
            world.source.renumber("INBOX");
        }
        world.source.deliver("INBOX", message(100), "", DATE);
        for _ in 0..2 {
            world.migrate().await;
            assert_eq!(world.target.appended(), 23, "the new message alone");
            assert_eq!(world.states().await, verified(23), "each is known once");
        }
        let items = world.items().await;
        assert!(items.iter().all(|i| i.id.key.0 >= 500), "all have the new numbers");
        for item in items {
            let flags = places.get(&item.place.unwrap().uid);
            assert!(
                flags.is_none_or(|f| *f == item.flags.to_string()),
                "equal messages keep their own claims"
            );
        }
        let report = world.report().await;
        assert_eq!((report.exit_code(), report.totals.listed()), (0, 23));
    }
}

#[tokio::test(start_paused = true)]
async fn across_a_new_epoch_at_the_source_every_message_keeps_its_state() {
    let world = World::new(20);
    world.target.set(|k| k.refuse = vec!["body of 15".into()]);
    world.source.set(|k| k.unreadable = vec![18]);
    world.migrate().await;
    world.target.expunge("INBOX", 4);
    world.migrate().await;
    let before = world.states().await;
    let expected = [(State::Verified, 17), (State::GoneAtTarget, 1), (State::Exception, 2)];
    assert_eq!(before, BTreeMap::from(expected));
    let kinds = world.exceptions().await;
    // Two messages are deleted at the source, one of them with a copy; the unreadable one is so under its new number.
    world.source.expunge("INBOX", 1);
    world.source.expunge("INBOX", 16);
    world.source.renumber("INBOX");
    world.source.set(|k| k.unreadable = vec![515]);
    let appended = world.target.appended();
    for _ in 0..2 {
        world.migrate().await;
        assert_eq!(
            world.target.appended(),
            appended,
            "nothing is sent: not what was deleted, not what was refused"
        );
        assert_eq!(world.states().await, before);
        assert_eq!(world.exceptions().await, kinds);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_copied_takes_the_new_numbers_or_is_gone_after_two_listings() {
    let world = World::new(12);
    world.target.set(|k| k.quota_octets = Some(200));
    assert!(world.try_migrate().await.is_err(), "the target is full");
    let copied = world.held("INBOX");
    assert!(copied > 0 && copied < 10, "{copied}");
    world.target.set(|k| k.quota_octets = None);
    world.source.expunge("INBOX", 12);
    world.source.renumber_backwards("INBOX");
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 11), (State::GoneAtSource, 1)]));
    assert_eq!((world.held("INBOX"), world.target.appended()), (11, 11));
    assert_eq!(world.report().await.totals.listed(), 12, "no message is listed twice");
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_in_the_middle_of_a_run_is_listed_again_in_the_same_run() {
    for cut in [false, true] {
        for after in [1, 5, 11] {
            let world = World::new(12);
            world.source.set(|k| {
                k.renumber_after = Some(after);
                k.fetches_lost = u32::from(cut);
            });
            let end = world.migrate().await;
            assert_eq!(end.left, []);
            assert_eq!(world.states().await, verified(12), "after {after}, cut {cut}");
            assert_eq!((world.held("INBOX"), world.target.appended()), (12, 12));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn new_epochs_at_both_sides_at_once_and_one_that_returns() {
    let world = World::new(12);
    world.migrate().await;
    let first = world.source.snapshot()[&b"INBOX"[..]].clone();
    for _ in 0..2 {
        world.source.renumber("INBOX");
        world.target.renumber_backwards("INBOX");
        world.migrate().await;
        assert_eq!(world.states().await, verified(12));
        assert_eq!(world.target.appended(), 12);
    }
    // The old server is restored to what it was: its first UIDVALIDITY is current again.
    world.source.replace("INBOX", first);
    world.source.deliver("INBOX", message(50), "", DATE);
    world.migrate().await;
    assert_eq!(world.states().await, verified(13));
    assert_eq!(world.target.appended(), 13);
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_at_the_target_while_a_batch_is_in_doubt_is_entered_before_anything_is_claimed() {
    // Of one message the batch is the last: no later answer tells of the new epoch.
    for (messages, before) in [(1, vec![]), (8, vec![Fate::Well])] {
        for fate in [Fate::LostStored, Fate::LostNotStored] {
            let world = World::new(messages);
            world.target.set(|k| {
                k.fates = before.iter().copied().chain([fate]).collect();
                k.renumber_on_loss = true;
            });
            world.migrate().await;
            assert_eq!(world.states().await, verified(messages as usize), "{messages} {fate:?}");
            assert_eq!(world.held("INBOX"), messages as usize);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_removed_by_undo_are_copied_again_under_their_new_numbers() {
    let world = World::new(10);
    world.migrate().await;
    world.source.expunge("INBOX", 2);
    world.source.renumber("INBOX");
    world.migrate().await;
    let migration = world.migration();
    let removed: u64 = migration.undo().await.unwrap().iter().map(|(_, u)| u.removed).sum();
    migration.journal.release().await.unwrap();
    assert_eq!(removed, 10);
    world.migrate().await;
    // The one that the source has no more cannot be copied again.
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 9), (State::GoneAtSource, 1)]));
    assert_eq!(world.held("INBOX"), 9);
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_of_recognising_nothing_is_sent_twice() {
    let prepare = async || {
        let world = World::new(9);
        world.source.deliver("INBOX", message(0), "\\Flagged", DATE);
        world.migrate().await;
        world.source.deliver("INBOX", message(90), "", DATE);
        world.source.renumber_backwards("INBOX");
        world
    };
    let world = prepare().await;
    let counting = Stopper::never();
    world.stopped(Verb::Migrate, &counting, Death::Killed).await;
    let steps = counting.steps();
    assert!(steps > 20, "{steps}");
    for (at, death) in (1..=steps).flat_map(|at| Death::ALL.map(|death| (at, death))) {
        let world = prepare().await;
        world.stopped(Verb::Migrate, &Stopper::at(at), death).await;
        world.migrate().await;
        let stopped = format!("stopped at {at} of {steps}, {death:?}");
        assert_eq!(world.states().await, verified(11), "{stopped}");
        assert_eq!((world.held("INBOX"), world.target.appended()), (11, 11), "{stopped}");
        world.migrate().await;
        assert_eq!(world.target.appended(), 11);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_server_merged_is_merged_with_the_same_message_after_a_new_epoch() {
    let world = World::new(5);
    world.source.deliver("INBOX", message(3), "\\Flagged", DATE);
    world.target.set(|k| k.merges = true);
    world.migrate().await;
    let merged = BTreeMap::from([(State::Verified, 5), (State::Merged, 1)]);
    assert_eq!(world.states().await, merged);
    world.target.renumber("INBOX");
    world.migrate().await;
    assert_eq!(world.states().await, merged);
    let items = world.items().await;
    let place =
        |state| items.iter().find(|i| i.state == state && i.octets == message(3).len() as u64).unwrap().place;
    assert_eq!(
        items.iter().filter(|i| i.place == place(State::Merged)).count(),
        2,
        "it shares the new place"
    );
    // Removed with the other one, it does not come back.
    world.target.expunge("INBOX", place(State::Merged).unwrap().uid.0);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 4), (State::GoneAtTarget, 2)]));
    assert_eq!(world.target.appended(), 6);
}
