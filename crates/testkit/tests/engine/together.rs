//! The messages of a small mailbox come with its listing, before it is known which there are.

use crate::late::{DATE, message};
use crate::wire::{USER, World, octets};
use bytes::Bytes;
use mailhaul_engine::config::Selection;
use mailhaul_engine::error::Error;
use mailhaul_engine::journal::{Journal, State};
use mailhaul_engine::limits::Limits;
use mailhaul_sandbox::{Deed, Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;
use std::time::Duration;

const MAILBOXES: [&str; 3] = ["INBOX", "Folder", "Drafts"];

/// Three mailboxes with the same UIDs and other messages, the largest of which goes first; one connection on each side, to a target that takes its time.
fn small(messages: [i64; 3]) -> World {
    small_at(Profile::default(), messages)
}

fn small_at(source: Profile, messages: [i64; 3]) -> World {
    let target = Profile { commit_delay: Duration::from_secs(1), ..Profile::default() };
    let mut world = World::between(source, target);
    (world.limits, world.connections) = (Limits::default(), 1);
    for (at, (mailbox, messages)) in MAILBOXES.iter().zip(messages).enumerate() {
        world.source.create(USER, mailbox, None, true);
        for n in 0..messages {
            deliver(&world, mailbox, 1000 * at as i64 + n);
        }
    }
    world
}

fn deliver(world: &World, mailbox: &str, n: i64) {
    world.source.deliver(USER, mailbox, Bytes::from(message(n)), "\\Seen", DATE);
}

/// Octets of the messages that the source holds in a mailbox.
fn held(world: &World, mailbox: &str) -> u64 {
    octets(&world.source, mailbox).iter().map(|octets| octets.len() as u64).sum()
}

fn all_held(world: &World) -> u64 {
    MAILBOXES.iter().map(|mailbox| held(world, mailbox)).sum()
}

fn given(world: &World) -> u64 {
    world.source.counters().octets_given
}

/// Each mailbox of the target holds what that of the source does, each message once, in order.
fn assert_moved(world: &World, case: &str) {
    for mailbox in MAILBOXES {
        let (came, went) = (world.octets(mailbox), octets(&world.source, mailbox));
        assert!(came == went, "{mailbox}, {case}: {} of {}", came.len(), went.len());
    }
}

/// The same, where what did not come at first is asked for after the others, and comes last.
fn assert_moved_in_any_order(world: &World, case: &str) {
    for mailbox in MAILBOXES {
        let [mut came, mut went] = [world.octets(mailbox), octets(&world.source, mailbox)];
        came.sort_unstable();
        went.sort_unstable();
        assert!(came == went, "{mailbox}, {case}: {} of {}", came.len(), went.len());
    }
}

/// What strikes the n-th command of the source that asks for messages of a mailbox, or the listing of one: they go out by turns.
fn fetch(nth: u64, fault: Fault) -> Planned {
    Planned::once(Trigger::Verb("FETCH", nth), fault)
}

/// An hour of patience is asked for in place of an answer.
fn patience(nth: u64) -> Planned {
    let words = "NO Request is throttled. Suggested Backoff Time: 3600000 milliseconds";
    fetch(nth, Fault::RefuseFetch(words.into()))
}

/// The wait that was asked for is kept once.
async fn moves_after_an_hour(world: &World, nth: u64) {
    let began = tokio::time::Instant::now();
    world.migrate().await;
    let took = began.elapsed();
    assert!((3600..7200).contains(&took.as_secs()), "{nth}: {took:?}");
    assert_moved(world, &nth.to_string());
}

#[tokio::test(start_paused = true)]
async fn what_came_with_the_listing_is_not_fetched_again() {
    let world = small([100, 40, 0]);
    world.migrate().await;
    assert_moved(&world, "");
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 140)]));
    assert_eq!(given(&world), all_held(&world));
    assert_eq!(
        world.source.counters().commands["FETCH"],
        5,
        "two for each mailbox, and one for that without messages"
    );
    assert_eq!(world.source.counters().logins, 1);
}

/// Another answer comes first; the listing has messages of later, which nobody asked for.
#[tokio::test(start_paused = true)]
async fn what_is_delivered_after_status_is_fetched_in_the_ordinary_way() {
    for later_fetch_first in [false, true] {
        let world = small_at(Profile { later_fetch_first, ..Profile::default() }, [100, 40, 3]);
        let (mailbox, octets) = ("INBOX".to_owned(), Bytes::from(message(9999)));
        let deed = Fault::Other(Deed::Deliver { mailbox, octets });
        world.source.plan(Planned::once(Trigger::Verb("EXAMINE", 1), deed));
        world.migrate().await;
        assert_eq!(world.source.struck().len(), 1);
        assert_moved(&world, "");
        assert_eq!(given(&world), all_held(&world), "{later_fetch_first}");
    }
}

/// Also of a size of nothing, which says that it is not known. Who was told too little once does not ask so again.
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_larger_than_it_was_said_to_be_loses_nothing() {
    for told in [0, 1, 5_000] {
        let source = Profile { status_size_is: Some(told), ..Profile::default() };
        let world = small_at(source, [1, 1, 0]);
        for n in 0..60 {
            for mailbox in ["INBOX", "Folder"] {
                let text = format!("{}{}\r\n", message(n), "x".repeat(20_000));
                world.source.deliver(USER, mailbox, Bytes::from(text), "", DATE);
            }
        }
        world.migrate().await;
        assert_moved(&world, &told.to_string());
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 122)]), "{told}");
        let most = if told == 0 { 0 } else { held(&world, "INBOX") };
        let twice = given(&world) - all_held(&world);
        assert!(twice <= most, "{told}: {twice} octets came twice");
    }
}

/// A hundred messages of 200 kB each, of which 5,000 octets were told.
#[tokio::test(start_paused = true)]
async fn far_more_than_was_told_is_not_read_to_its_end_for_nothing() {
    let world = small_at(Profile { status_size_is: Some(5_000), ..Profile::default() }, [0, 0, 0]);
    for n in 0..100 {
        let text = format!("{}{}\r\n", message(n), "x".repeat(200_000));
        world.source.deliver(USER, "INBOX", Bytes::from(text), "", DATE);
    }
    world.migrate().await;
    assert_moved(&world, "");
    let (twice, most) = (given(&world) - all_held(&world), 2 * Limits::default().fetch_range_octets_max);
    assert!(twice <= most, "{twice} octets came twice, {most} at most");
    assert_eq!(world.source.counters().logins, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_the_connection_of_the_listing_is_the_only_one_suspected() {
    for (mailbox, uid) in
        [("INBOX", 1), ("INBOX", 2), ("INBOX", 40), ("Folder", 1), ("Folder", 17), ("Folder", 30)]
    {
        for later_fetch_first in [false, true] {
            let case = format!("{uid} of {mailbox}, {later_fetch_first}");
            let world = small_at(Profile { later_fetch_first, ..Profile::default() }, [40, 30, 5]);
            let at = Trigger::Body(mailbox.into(), uid);
            world.source.plan(Planned { at, fault: Fault::CutMessage(uid), times: u32::MAX });
            world.migrate().await;
            let moved = BTreeMap::from([(State::Verified, 74), (State::Exception, 1)]);
            assert_eq!(world.states().await, moved, "{case}");
            let bad = world.items().await.into_iter().find(|item| item.state == State::Exception).unwrap();
            assert_eq!(bad.id.key.0, i64::from(uid), "{case}");
            let logins = world.source.counters().logins;
            assert!(logins <= 9, "{case}: {logins} logins");
        }
    }
}

/// What came has the numbers of the new one, and is asked for again all the same: what was told is of another mailbox.
#[tokio::test(start_paused = true)]
async fn another_uidvalidity_than_status_told_moves_every_message_once() {
    for (nth, mailbox) in [(1, "INBOX"), (2, "Folder"), (3, "Drafts")] {
        let world = small([40, 30, 5]);
        let deed = Fault::Other(Deed::NewEpoch { mailbox: mailbox.into() });
        world.source.plan(Planned::once(Trigger::Verb("EXAMINE", nth), deed));
        world.migrate().await;
        assert_eq!(world.source.struck().len(), 1, "{mailbox}");
        assert_moved(&world, mailbox);
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 75)]), "{mailbox}");
        let twice = given(&world) - all_held(&world);
        assert!(twice <= held(&world, mailbox), "{mailbox}: {twice}");
    }
}

/// A message that is gone when its octets are asked for; one that is left out, or given as nothing.
#[tokio::test(start_paused = true)]
async fn a_message_that_was_listed_and_did_not_come_is_asked_for_again() {
    for nth in [2, 4, 6] {
        for fault in
            [Fault::LeaveOut, Fault::NilBody, Fault::Backwards, Fault::RefuseFetch("NO not now".into())]
        {
            let case = format!("{nth}: {fault:?}");
            let world = small([40, 30, 5]);
            world.source.plan(fetch(nth, fault));
            world.migrate().await;
            assert_eq!(world.source.struck().len(), 1, "{case}");
            assert_moved_in_any_order(&world, &case);
            assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 75)]), "{case}");
        }
        let world = small([40, 30, 5]);
        let mailbox = MAILBOXES[nth as usize / 2 - 1].to_owned();
        world.source.plan(fetch(nth, Fault::Other(Deed::Delete { mailbox, nth: 3 })));
        world.migrate().await;
        assert_moved_in_any_order(&world, "gone");
        let moved = BTreeMap::from([(State::Verified, 74), (State::GoneAtSource, 1)]);
        assert_eq!(world.states().await, moved, "{nth}");
    }
}

/// The source gets the time that it asks for before it is asked again, and nothing is suspected.
#[tokio::test(start_paused = true)]
async fn patience_asked_for_instead_of_messages_is_heeded() {
    for nth in [2, 4, 6] {
        let world = small([40, 30, 5]);
        world.source.plan(patience(nth));
        moves_after_an_hour(&world, nth).await;
        assert_eq!(given(&world), all_held(&world), "{nth}");
        assert_eq!(world.source.counters().logins, 1, "{nth}");
    }
}

/// Also where the listing beside it does not stand.
#[tokio::test(start_paused = true)]
async fn patience_asked_for_beside_a_listing_that_is_short_is_heeded() {
    for nth in [2, 4] {
        let world = small([40, 30, 5]);
        world.source.plan(fetch(nth - 1, Fault::LeaveOut));
        world.source.plan(patience(nth));
        moves_after_an_hour(&world, nth).await;
    }
}

/// Nothing is asked for that a rule may leave out.
#[tokio::test(start_paused = true)]
async fn what_a_rule_leaves_out_is_not_fetched() {
    let mut world = small([40, 30, 5]);
    let selection = Selection { since: Some(1_609_459_200), ..Selection::default() };
    world.selection = selection;
    world.source.deliver(USER, "INBOX", Bytes::from(message(9999)), "", "03-Mar-2022 10:11:12 +0000");
    world.migrate().await;
    let states = BTreeMap::from([(State::Verified, 1), (State::Excluded, 75)]);
    assert_eq!(world.states().await, states);
    assert_eq!(given(&world), message(9999).len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_limits_its_answers_is_asked_for_no_more_messages_at_once() {
    let world = small_at(Profile { message_limit: Some(30), ..Profile::default() }, [40, 30, 5]);
    world.migrate().await;
    assert_moved(&world, "");
    assert_eq!(given(&world), all_held(&world));
    let over = world.source.counters().over_limit;
    assert!(!over.contains_key("bodies"), "{over:?}");
}

/// A run that is told to stop while messages come does so at once; what is stored then is not fetched again.
#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_while_messages_come_with_a_listing_stops_at_once() {
    for nth in [2, 4, 6] {
        let world = small([40, 30, 5]);
        world.source.plan(fetch(nth, Fault::Held));
        let migration = world.migration();
        let cancel = migration.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            cancel.cancel();
        });
        let began = tokio::time::Instant::now();
        let end = migration.migrate().await;
        assert!(matches!(end, Err(Error::Interrupted)), "{nth}: {end:?}");
        assert!(began.elapsed() < Duration::from_secs(32), "{nth}: {:?}", began.elapsed());
        migration.journal.release().await.unwrap();
        world.source.release();
        let stored: u64 =
            MAILBOXES.iter().flat_map(|m| world.octets(m)).map(|octets| octets.len() as u64).sum();
        let before = given(&world);
        world.migrate().await;
        assert_moved(&world, &nth.to_string());
        assert_eq!(given(&world) - before, all_held(&world) - stored, "{nth}");
    }
}
