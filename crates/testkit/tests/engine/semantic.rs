//! Target servers that keep other octets than they were given: what says the same is SEMANTIC with its differences, what does
//! not is DAMAGED; neither is silent.

use crate::late::{DATE, message};
use crate::wire::{USER, World};
use base64::Engine as _;
use mailhaul_engine::identity::Grade;
use mailhaul_engine::journal::State;
use mailhaul_sandbox::{Alteration, Deed, Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;
use std::time::Duration;

/// Three messages moved in one batch to a server that does this with each of them.
async fn moved(alteration: Alteration) -> World {
    let mut world = World::new(Profile::default());
    world.connections = 1;
    (0..3).for_each(|n| _ = world.source.deliver(USER, "INBOX", message(n), "\\Seen", DATE));
    world.target.plan(Planned::once(Trigger::Next, Fault::Alter(alteration)));
    world.migrate().await;
    world
}

/// State, grade and reason of each message.
async fn found(world: &World) -> Vec<(State, Option<Grade>, String)> {
    let items = world.items().await.into_iter();
    items.map(|i| (i.state, i.grade, i.reason.map_or_else(String::new, |r| r.text))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_header_that_the_server_adds_is_told_of_each_message_and_no_damage() {
    let world = moved(Alteration::AddHeader).await;
    let added = "x-altered was added (16 octets)".to_owned();
    assert_eq!(found(&world).await, vec![(State::Verified, Some(Grade::Semantic), added.clone()); 3]);
    let report = world.report().await;
    assert_eq!((report.exit_code(), report.exceptions.total, report.outcome.semantic), (3, 0, 3));
    // Read back again it is what it was; the next run sends nothing.
    world.verify().await;
    world.migrate().await;
    assert_eq!(found(&world).await, vec![(State::Verified, Some(Grade::Semantic), added); 3]);
    assert_eq!(world.target.counters().appended, 3);
    assert_eq!(world.report().await.exit_code(), 3);
}

#[tokio::test(start_paused = true)]
async fn another_octet_in_the_body_is_damage_and_it_is_said_where() {
    let world = moved(Alteration::SameSize).await;
    for (state, grade, text) in found(&world).await {
        assert_eq!((state, grade), (State::Exception, Some(Grade::Damaged)));
        assert!(text.ends_with(": part 1 has another content"), "{text}");
    }
    assert_eq!(world.report().await.exit_code(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_compared_since_the_source_does_not_give_it_again_is_damage() {
    let mut world = World::new(Profile::default());
    world.connections = 1;
    world.source.deliver(USER, "INBOX", message(0), "\\Seen", DATE);
    world.target.plan(Planned::once(Trigger::Next, Fault::Alter(Alteration::AddHeader)));
    // The first FETCH lists, the second gives the octets.
    let refused = Fault::RefuseFetch("[EXPIRED] not twice".into());
    world.source.plan(Planned { at: Trigger::Verb("FETCH", 3), fault: refused, times: u32::MAX });
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Exception, 1)]));
    let exceptions = world.exceptions().await;
    assert_eq!(exceptions[0].0, "damaged");
    assert!(exceptions[0].1.ends_with("of INBOX"), "{exceptions:?}");
}

#[tokio::test(start_paused = true)]
async fn larger_messages_than_are_compared_are_damage() {
    let mut world = World::new(Profile::default());
    world.limits.compare_octets_max = 10;
    world.source.deliver(USER, "INBOX", message(0), "\\Seen", DATE);
    world.target.plan(Planned::once(Trigger::Next, Fault::Alter(Alteration::AddHeader)));
    world.migrate().await;
    assert_eq!(world.exceptions().await[0].0, "damaged");
}

/// What the attachment of a cover message is, in base64 without its line ends.
fn attachment(cover: &[u8]) -> String {
    let text = String::from_utf8(cover.to_vec()).unwrap();
    let (_, rest) = text.split_once("filename=\"message.eml\"\r\n\r\n").unwrap();
    rest.split("\r\n--mailhaul-").next().unwrap().replace("\r\n", "")
}

#[tokio::test(start_paused = true)]
async fn with_repair_what_the_target_refuses_is_attached_untouched_to_a_cover_message() {
    for without in [&[][..], &["MULTIAPPEND"], &["UIDPLUS"]] {
        let mut world = World::new(Profile { refuse_nul: true, ..Profile::default() });
        world.without = without.iter().map(|w| (*w).to_owned()).collect();
        // A lone LF as well: the first step is tried, and it is the message as fetched that is attached.
        let nul = "From: a@b.example\r\nSubject: 1\r\n\r\na\0b\nc\r\n";
        for letter in [message(0), nul.to_owned(), message(2)] {
            world.source.deliver(USER, "INBOX", letter, "\\Seen", DATE);
        }
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2), (State::Exception, 1)]));
        world.repair = true;
        world.migrate().await;
        let (state, grade, text) = found(&world).await.swap_remove(1);
        assert_eq!((state, grade), (State::Verified, Some(Grade::Semantic)), "{text}");
        assert_eq!(text, "the message, untouched, is attached to a cover message");
        let held = world.held();
        let (_, cover, flags, date) =
            held.iter().find(|(_, o, ..)| o.starts_with(b"From: Mailhaul")).unwrap();
        assert_eq!((flags, date.as_str()), (&vec!["\\Seen".to_owned()], DATE));
        let expected = base64::engine::general_purpose::STANDARD.encode(nul);
        assert_eq!(attachment(cover), expected, "without {without:?}");
        let report = world.report().await;
        assert_eq!((report.exit_code(), report.ladder.wrapped, report.outcome.semantic), (3, 1, 1));
        // Later runs send nothing, with and without it, and read back the same.
        for repair in [true, false] {
            world.repair = repair;
            world.migrate().await;
            world.verify().await;
        }
        assert_eq!((world.held().len(), world.target.counters().appended), (3, 3));
        assert_eq!(world.report().await.exit_code(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_ladder_left_away_before_the_cover_message_goes_with_it() {
    let refuse_in_octets = Profile { refuse_bad_header: true, ..Profile::default() };
    let mut world = World::new(refuse_in_octets);
    (world.repair, world.connections) = (true, 1);
    world.source.deliver(USER, "INBOX", "no colon here\r\nSubject: 1\r\n\r\nx\r\n", "\\Seen $Work", DATE);
    // Words that nobody knows: keywords and date are left away first, as they might be what is meant.
    let odd = Fault::RefuseAppend("Computer says no".into());
    for nth in 1..=3 {
        world.target.plan(Planned::once(Trigger::Verb("APPEND", nth), odd.clone()));
    }
    world.migrate().await;
    let held = world.held();
    assert_eq!(held.len(), 1, "{:?}", world.exceptions().await);
    let (_, cover, flags, date) = &held[0];
    assert!(cover.starts_with(b"From: Mailhaul"));
    assert_eq!((flags, date.as_str()), (&vec!["$Work".to_owned(), "\\Seen".to_owned()], DATE));
    assert!(String::from_utf8_lossy(cover).contains("Date: 03 Mar 2020 10:11:12 +0000\r\n"));
}

/// A server that says in each message under what UID it came: no two copies of one message have the same octets.
fn stamping(uid: u32, octets: &[u8]) -> Vec<u8> {
    [format!("X-Stored-As: {uid}\r\n").as_bytes(), octets].concat()
}

/// A world whose target is such a server, with so many messages in the source's INBOX, each a second time.
fn world_of_stamps(messages: i64) -> World {
    let mut world = World::new(Profile { rewrites: Some(stamping), ..Profile::default() });
    world.connections = 1;
    for n in (0..messages).chain(0..messages) {
        world.source.deliver(USER, "INBOX", message(n), "\\Seen", DATE);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn what_a_rewriting_server_stored_before_the_connection_was_lost_is_recognised_by_its_meaning() {
    for fault in [Fault::DropAfterStore, Fault::LateStore(Duration::from_secs(5))] {
        let world = world_of_stamps(3);
        world.target.plan(Planned::once(Trigger::Verb("APPEND", 2), fault.clone()));
        world.migrate().await;
        assert_eq!(world.target.counters().appended, 6, "{fault:?}");
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 6)]));
        assert_eq!(world.report().await.outcome.semantic, 6);
        world.migrate().await;
        assert_eq!(world.held().len(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewriting_server_that_tells_no_uids_is_searched_by_meaning() {
    let mut world = world_of_stamps(3);
    world.without = vec!["UIDPLUS".to_owned()];
    world.migrate().await;
    assert_eq!(world.target.counters().appended, 6);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 6)]));
}

#[tokio::test(start_paused = true)]
async fn a_cover_message_is_recognised_at_a_rewriting_server() {
    let mut world = World::new(Profile { rewrites: Some(stamping), refuse_nul: true, ..Profile::default() });
    world.connections = 1;
    world.source.deliver(USER, "INBOX", "From: a@b.example\r\nSubject: 1\r\n\r\na\0b\r\n", "\\Seen", DATE);
    world.migrate().await;
    world.repair = true;
    // The message as it is, which is refused; then its cover.
    let sent = world.target.counters().commands["APPEND"];
    world.target.plan(Planned::once(Trigger::Verb("APPEND", sent + 2), Fault::DropAfterStore));
    world.migrate().await;
    assert_eq!(world.target.struck().len(), 1);
    assert_eq!(world.held().len(), 1);
    let (state, grade, text) = found(&world).await.swap_remove(0);
    assert_eq!((state, grade), (State::Verified, Some(Grade::Semantic)), "{text}");
    assert_eq!(
        text,
        "the message, untouched, is attached to a cover message; x-stored-as was added (16 octets)"
    );
    assert_eq!(world.report().await.ladder.wrapped, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_rewriting_server_did_not_store_is_sent_again_beside_mail_of_others() {
    let world = world_of_stamps(3);
    let other = Deed::Deliver { mailbox: "INBOX".into(), octets: message(7).into() };
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 2), Fault::Other(other)));
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 2), Fault::DropBeforeStore));
    world.migrate().await;
    assert_eq!(world.target.counters().appended, 6);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 6)]));
    assert_eq!(world.held().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_rewritten_message_that_came_after_all_is_named_as_a_possible_duplicate() {
    let world = world_of_stamps(3);
    let late = Fault::LateStore(Duration::from_secs(3600));
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 2), late));
    world.migrate().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    world.migrate().await;
    assert_eq!(world.held().len(), 9);
    let notes = world.notes().await;
    assert_eq!(notes.iter().filter(|n| n.kind == "ghost").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_another_uidvalidity_rewritten_messages_are_found_again() {
    let world = world_of_stamps(3);
    world.migrate().await;
    world.target.act(USER, &Deed::NewEpoch { mailbox: "INBOX".into() });
    world.migrate().await;
    assert_eq!(world.target.counters().appended, 6);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 6)]));
}
