//! Servers that let one command name only so many messages (MESSAGELIMIT, RFC 9738), over the wire.

use crate::late::{DATE, message};
use crate::wire::{USER, World};
use bytes::Bytes;
use mailhaul_engine::config::Level;
use mailhaul_engine::journal::{Existing, Journal, State};
use mailhaul_engine::run::SourceLook;
use mailhaul_sandbox::{Profile, Sandbox};
use std::collections::BTreeMap;

const MESSAGES: i64 = 23;

fn letters(of: std::ops::Range<i64>) -> Vec<Bytes> {
    of.map(|n| Bytes::from(message(n))).collect()
}

/// Two mailboxes between servers with this limit each. Nothing else keeps batches and ranges small.
fn limited(limit: usize, target: Profile) -> World {
    let mut world = World::new(Profile { message_limit: Some(limit), ..target });
    world.source.set(|p| p.message_limit = Some(limit));
    (world.limits.batch_messages_max, world.limits.group_messages_max) = (200, 32);
    world.source.create(USER, "Work", None, true);
    for n in 0..MESSAGES {
        world.source.deliver(USER, "INBOX", message(n), "\\Seen $Red", DATE);
        world.source.deliver(USER, "Work", message(100 + n), "", DATE);
    }
    world
}

fn is_all_there(world: &World, case: &str) {
    assert_eq!(world.octets("INBOX"), letters(0..MESSAGES), "{case}");
    assert_eq!(world.octets("Work"), letters(100..100 + MESSAGES), "{case}");
}

/// Only listings may name more than the limit, since what they name is not known before: those are cut, and
/// nothing else.
fn only_listings_were_cut(server: &Sandbox, case: &str) {
    let counters = server.counters();
    let over: Vec<&str> = counters.over_limit.keys().copied().collect();
    assert!(over == ["facts"] || over.is_empty(), "{case}: {over:?}");
}

#[tokio::test(start_paused = true)]
async fn listings_go_on_where_they_were_cut_and_no_other_command_is() {
    for limit in [1, 2, 7, 22, 23, 100] {
        for (multiappend, condstore) in [(true, true), (false, true), (true, false)] {
            let case = format!("limit {limit}, MULTIAPPEND {multiappend}, CONDSTORE {condstore}");
            let world = limited(limit, Profile { multiappend, condstore, ..Profile::default() });
            world.source.set(|p| p.condstore = condstore);
            let end = world.migrate().await;
            assert_eq!(end.left, [], "{case}");
            assert_eq!(
                world.states().await,
                BTreeMap::from([(State::Verified, 2 * MESSAGES as usize)]),
                "{case}"
            );
            is_all_there(&world, &case);
            assert_eq!(world.report().await.exit_code(), 0, "{case}");
            let cut = world.source.counters().over_limit.contains_key("facts");
            assert_eq!(cut, limit < MESSAGES as usize, "{case}");
            // One more run finds what is new, and nothing else.
            world.source.deliver(USER, "INBOX", message(MESSAGES), "", DATE);
            world.migrate().await;
            assert_eq!(world.octets("INBOX"), letters(0..MESSAGES + 1), "{case}");
            assert_eq!(world.target.counters().appended, 2 * MESSAGES as u64 + 1, "{case}");
            let end = world.verify().await;
            assert!(end.left.is_empty() && end.questions.is_empty(), "{case}: {end:?}");
            assert_eq!(world.undo().await.unwrap().removed, 2 * MESSAGES as u64 + 1, "{case}");
            assert!(world.held().is_empty(), "{case}");
            only_listings_were_cut(&world.source, &case);
            only_listings_were_cut(&world.target, &case);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn adopting_and_reading_the_source_again_keep_to_the_limit() {
    for limit in [1, 4, 22] {
        let case = format!("limit {limit}");
        let world = limited(limit, Profile::default());
        (0..MESSAGES).for_each(|n| _ = world.target.deliver(USER, "INBOX", message(n), "", DATE));
        let mut migration = world.migration();
        migration.settings.existing = Some(Existing::Adopt);
        migration.migrate().await.unwrap();
        let end = migration.verify(Level::Octets, SourceLook::Octets).await.unwrap();
        migration.journal.release().await.unwrap();
        assert!(end.left.is_empty() && end.questions.is_empty(), "{case}: {end:?}");
        let half = MESSAGES as usize;
        let states = BTreeMap::from([(State::AlreadyThere, half), (State::Verified, half)]);
        assert_eq!(world.states().await, states, "{case}");
        is_all_there(&world, &case);
        assert_eq!(world.doubts().await, [""; 0], "{case}");
        only_listings_were_cut(&world.source, &case);
        only_listings_were_cut(&world.target, &case);
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_not_announced_costs_round_trips_and_no_message() {
    for limit in [1, 5] {
        let mut world = limited(limit, Profile::default());
        world.source.set(|p| p.message_limit = None);
        world.without = vec![format!("MESSAGELIMIT={limit}")];
        world.migrate().await;
        is_all_there(&world, &format!("limit {limit}"));
        let counters = world.target.counters();
        assert!(counters.over_limit.contains_key("APPEND"), "{counters:?}");
        assert_eq!(counters.appended, 2 * MESSAGES as u64);
        assert_eq!(world.exceptions().await, []);
    }
}
