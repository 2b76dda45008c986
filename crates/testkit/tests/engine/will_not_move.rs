//! What a look beforehand shows that will not move: it is asked about once, before anything is sent.

use crate::late::{DATE, message};
use crate::wire::{USER, World};
use mailhaul_engine::check::Verdict;
use mailhaul_engine::error::{Error, Question};
use mailhaul_engine::journal::{Journal, State};
use mailhaul_sandbox::{Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;

/// The lines that a person is asked about; nothing was sent.
async fn asked(world: &World) -> Vec<String> {
    let error = world.try_migrate().await.unwrap_err();
    let Error::Question(Question::WillNotMove { what }) = error else { panic!("{error:?}") };
    assert!(world.octets("INBOX").is_empty(), "nothing is sent before the answer");
    what
}

fn with_letters(world: World, messages: i64) -> World {
    (0..messages).for_each(|n| _ = world.source.deliver(USER, "INBOX", message(n), "", DATE));
    world
}

#[tokio::test(start_paused = true)]
async fn messages_above_the_limit_are_counted_with_examples_and_asked_about_once() {
    let limit = 2000;
    let mut world = with_letters(World::new(Profile { append_limit: Some(limit), ..Profile::default() }), 4);
    let letter = |octets: usize| [b"Subject: large\r\n\r\n".as_slice(), &vec![b'x'; octets]].concat();
    ["Work", "Old"].iter().for_each(|mailbox| world.source.create(USER, mailbox, None, false));
    for (mailbox, octets) in [("Work", 4100), ("Work", 3000), ("Old", 2500), ("Old", 2200), ("Old", 100)] {
        world.source.deliver(USER, mailbox, letter(octets), "", DATE);
    }
    let what = asked(&world).await;
    assert_eq!(what.len(), 1, "{what:?}");
    let examples =
        "4.1 kB in “Work” of 03-Mar-2020, 3.0 kB in “Work” of 03-Mar-2020, 2.5 kB in “Old” of 03-Mar-2020, …";
    assert!(what[0].contains("(4 messages): the new server takes none larger than 2.0 kB"), "{what:?}");
    assert!(what[0].contains(examples), "{what:?}");

    world.accepts = true;
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 5), (State::Exception, 4)]));
    world.accepts = false;
    world.migrate().await;
    world.source.deliver(USER, "Work", letter(100), "", DATE);
    world.migrate().await;
    assert_eq!(world.states().await[&State::Verified], 6, "what was given up is not asked about again");

    world.source.deliver(USER, "Work", letter(5000), "", DATE);
    let Error::Question(Question::WillNotMove { what }) = world.try_migrate().await.unwrap_err() else {
        panic!()
    };
    assert!(
        what[0].contains("(1 message)") && what[0].contains("5.0 kB in “Work”"),
        "only the new one: {what:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_cannot_be_searched_is_moved_and_its_large_messages_are_found_then() {
    let world = World::new(Profile { append_limit: Some(2000), ..Profile::default() });
    let world = with_letters(world, 4);
    world.source.deliver(USER, "INBOX", vec![b'x'; 3000], "", DATE);
    let refused = Fault::Answer("BAD no searching here".into());
    let at_search = Trigger::Verb("SEARCH", 1);
    world.source.plan(Planned::once(at_search, refused));
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 4), (State::Exception, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_search_that_ends_the_connection_or_is_never_answered_ends_no_run() {
    for fault in [Fault::Silence, Fault::Bye("too much to look through".into())] {
        let world = with_letters(World::new(Profile { append_limit: Some(2000), ..Profile::default() }), 4);
        world.source.deliver(USER, "INBOX", vec![b'x'; 3000], "", DATE);
        world.source.plan(Planned { at: Trigger::Verb("SEARCH", 1), fault: fault.clone(), times: 1 });
        world.migrate().await;
        assert_eq!(
            world.states().await,
            BTreeMap::from([(State::Verified, 4), (State::Exception, 1)]),
            "{fault:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_moved_already_is_not_called_too_large_by_a_server_that_estimates() {
    let world = World::new(Profile { append_limit: Some(5000), ..Profile::default() });
    let world = with_letters(world, 1);
    world.source.deliver(USER, "INBOX", vec![b'x'; 4000], "", DATE);
    world.migrate().await;
    world.source.set(|p| p.size_adds = 3000);
    world.source.deliver(USER, "INBOX", vec![b'y'; 100], "", DATE);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]));
}

#[tokio::test(start_paused = true)]
async fn an_account_without_room_for_all_is_asked_about_before_it_is_filled() {
    let target = Profile { quota_octets: Some(2048), ..Profile::default() };
    let mut world = with_letters(World::new(target), 4);
    world.source.deliver(USER, "INBOX", vec![b'x'; 3000], "", DATE);
    let what = asked(&world).await;
    assert!(what.iter().any(|one| one.contains("it has less room than is needed")), "{what:?}");
    world.accepts = true;
    assert!(matches!(world.try_migrate().await, Err(Error::Full { .. })));
    assert!(!world.octets("INBOX").is_empty(), "as much as there is room for");
}

/// Sources that do not tell the sizes of mailboxes, and tell what is in use of their quota.
fn without_sizes() -> [Profile; 2] {
    let quota_octets = Some(1 << 30);
    [
        Profile { status_size: false, quota_octets, ..Profile::default() },
        Profile { quota_octets, ..Profile::gmail() },
    ]
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_full_by_an_estimate_alone_is_a_remark_and_stops_no_run() {
    let target = || Profile { quota_octets: Some(2048), ..Profile::default() };
    for source in without_sizes() {
        let mut world = with_letters(World::between(source, target()), 4);
        world.source.deliver(USER, "INBOX", vec![b'x'; 3000], "", DATE);
        // Of Gmail without All Mail it is asked about what is hidden; of room it is not.
        world.accepts = true;
        let plan = world.plan().await;
        let of_room = |text: &str| text.contains("less room");
        assert!(!plan.will_not_move.iter().any(|one| of_room(&one.to_string())), "{:?}", plan.will_not_move);
        assert!(plan.remarks.iter().any(|one| of_room(one)), "{:?}", plan.remarks);
        assert!(matches!(world.try_migrate().await, Err(Error::Full { .. })));
        assert!(!world.octets("INBOX").is_empty(), "as much as there is room for");
    }
}

#[tokio::test(start_paused = true)]
async fn check_measures_what_an_estimate_calls_too_large_and_is_ready() {
    let [source, _] = without_sizes();
    let source = Profile { quota_used_beside: 100_000, ..source };
    let target = Profile { quota_octets: Some(4096), ..Profile::default() };
    let world = with_letters(World::between(source, target), 4);
    let migration = world.migration();
    let checked = migration.check([None, None]).await.unwrap();
    migration.journal.release().await.unwrap();
    let moving = checked.moving.as_ref().unwrap();
    assert!(moving.plan.room.estimated_octets > Some(4096), "{:?}", moving.plan.room);
    assert_eq!((checked.exit_code(), checked.verdict()), (0, Verdict::Ready), "{:?}", checked.remarks);
    for _ in 0..2 {
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 4)]));
    }
}
