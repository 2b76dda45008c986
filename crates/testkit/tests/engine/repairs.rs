//! What a repair is about, over the wire: what is said of it before anything is sent, a consent that stands for later runs, and
//! damaged copies of which a whole one is sent.

use crate::encoding::munging;
use crate::late::{DATE, message};
use crate::wire::{USER, World};
use mailhaul_engine::identity::Grade;
use mailhaul_engine::journal::{Ladder, State};
use mailhaul_engine::report::Report;
use mailhaul_sandbox::{Alteration, Deed, Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;

const NUL: &str = "From: a@b.example\r\nSubject: nul\r\n\r\na\0b\r\n";

fn deliver(world: &World, letter: &str) {
    world.source.deliver(USER, "INBOX", letter.to_owned(), "\\Seen $Work", DATE).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_earlier_runs_gave_up_is_said_with_its_number_before_the_next_one_and_moves_by_a_standing_consent()
 {
    let mut world = World::new(Profile { refuse_nul: true, ..Profile::default() });
    deliver(&world, NUL);
    assert_eq!(world.plan().await.cannot_go, [], "nothing is known yet");
    world.migrate().await;
    let plan = world.plan().await;
    let said: Vec<String> = plan.cannot_go.iter().map(|one| one.with_option(plan.repairs)).collect();
    assert!(said[0].starts_with("what earlier runs gave up (1 message): "), "{said:?}");
    assert!(said[0].ends_with(": --repair") && plan.questions.is_empty(), "{said:?}");
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Exception, 1)]), "without a consent nothing is");

    world.consent = Some(true);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 1)]));
    world.consent = None;
    deliver(&world, NUL);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2)]), "it stands");
    assert!(world.plan().await.repairs);

    world.consent = Some(false);
    deliver(&world, NUL);
    world.migrate().await;
    world.consent = None;
    world.migrate().await;
    assert_eq!(
        world.states().await,
        BTreeMap::from([(State::Verified, 2), (State::Exception, 1)]),
        "taken back"
    );
}

/// A world in which the first of three messages came back damaged, by a server that is well again since.
async fn damaged(without: &[&str]) -> World {
    let mut world = World::new(Profile::default());
    world.without = without.iter().map(|w| (*w).to_owned()).collect();
    (0..3).for_each(|n| deliver(&world, &message(n)));
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 1), Fault::Alter(Alteration::SameSize)));
    (world.connections, world.limits.batch_messages_max) = (1, 1);
    world.migrate().await;
    assert_eq!(world.states().await[&State::Exception], 1);
    world
}

/// Grade and steps of each message.
async fn graded(world: &World) -> Vec<(Option<Grade>, Ladder)> {
    let of =
        |item: mailhaul_engine::journal::Item| (item.grade, item.sent.map(|s| s.ladder).unwrap_or_default());
    world.items().await.into_iter().map(of).collect()
}

async fn told(world: &World) -> Vec<String> {
    world.notes().await.into_iter().filter(|n| n.kind == "damaged_copy").map(|n| n.text).collect()
}

fn closes(report: &Report, exit: u8) {
    assert_eq!((report.totals.remainder(), report.exit_code()), (0, exit));
}

#[tokio::test(start_paused = true)]
async fn a_whole_copy_is_sent_inside_a_cover_message_and_the_damaged_one_is_left_and_told() {
    for without in [&[][..], &["MULTIAPPEND"], &["CONDSTORE"], &["UIDPLUS"]] {
        let mut world = damaged(without).await;
        let before = world.held().len();
        world.migrate().await;
        closes(&world.report().await, 4);
        assert_eq!(
            (world.held().len(), told(&world).await.len()),
            (before, 0),
            "nothing without the request"
        );
        let plan = world.plan().await;
        assert!(
            plan.cannot_go.iter().any(|one| one.to_string().starts_with("what came back damaged (")),
            "{plan}"
        );
        world.repair = true;
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]));
        let covered =
            graded(&world).await.into_iter().filter(|g| *g == (Some(Grade::Semantic), Ladder::WRAPPED));
        assert_eq!((covered.count(), world.held().len()), (1, 4), "without {without:?}");
        let said = told(&world).await;
        assert!(said[0].ends_with("is left there: the same mail is there a second time, whole"), "{said:?}");
        closes(&world.report().await, 3);
        // Later runs send nothing and remove nothing.
        let held = world.held();
        for repair in [true, false] {
            world.repair = repair;
            world.migrate().await;
            world.verify().await;
        }
        assert_eq!((world.held(), world.target.counters().appended, told(&world).await.len()), (held, 4, 1));
    }
}

/// A server that keeps nothing as it is.
fn spoiling(_: u32, octets: &[u8]) -> Vec<u8> {
    octets.iter().map(|octet| if octet.is_ascii_digit() { b'#' } else { *octet }).collect()
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_damaged_as_t4_goes_as_t8_and_both_damaged_copies_are_left_and_told_once() {
    let mut world = World::new(Profile { rewrites: Some(munging), ..Profile::default() });
    deliver(&world, "Subject: gr\u{fc}n\r\n\r\nx1\r\n");
    world.migrate().await;
    world.target.set_flags(USER, "INBOX", 1, r"\Seen \Flagged $Work");
    world.repair = true;
    world.target.set(|p| p.rewrites = Some(spoiling));
    world.migrate().await;
    assert_eq!(graded(&world).await, [(Some(Grade::Damaged), Ladder::ENCODED)]);
    let said = told(&world).await;
    assert!(said.len() == 1 && said[0].starts_with("UID 1 of INBOX "), "{said:?}");
    assert!(said[0].ends_with(", repaired, and that copy is damaged, too"), "{said:?}");
    world.target.set(|p| p.rewrites = None);
    for _ in 0..2 {
        world.migrate().await;
        assert_eq!(graded(&world).await, [(Some(Grade::Semantic), Ladder::WRAPPED)]);
        let said = told(&world).await;
        assert!(said.len() == 2 && said[1].starts_with("UID 2 of INBOX "), "{said:?}");
        assert!(said[1].ends_with("the same mail is there a second time, whole"), "{said:?}");
        assert_eq!((world.held().len(), world.target.counters().appended), (3, 3));
        closes(&world.report().await, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_back_damaged_in_every_form_is_not_looked_at_in_every_run() {
    let mut world = World::new(Profile { rewrites: Some(spoiling), ..Profile::default() });
    deliver(&world, &message(1));
    world.repair = true;
    for _ in 0..3 {
        world.migrate().await;
    }
    assert_eq!(graded(&world).await, [(Some(Grade::Damaged), Ladder::WRAPPED)]);
    let opened = |world: &World| {
        let commands = world.source.counters().commands;
        ["SELECT", "EXAMINE"].map(|verb| commands.get(verb).copied().unwrap_or(0))
    };
    let before = (opened(&world), world.target.counters().appended);
    world.migrate().await;
    assert_eq!((opened(&world), world.target.counters().appended), before);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_removed_at_the_target_is_not_sent_once_more() {
    let mut world = damaged(&[]).await;
    let item = world.items().await.into_iter().find(|i| i.state == State::Exception).unwrap();
    let uid = item.place.unwrap().uid.0;
    world.target.expunge(USER, "INBOX", u32::try_from(uid).unwrap());
    let before = (world.held(), world.states().await);
    world.repair = true;
    world.migrate().await;
    assert_eq!((world.held(), world.states().await), before);
}

#[tokio::test(start_paused = true)]
async fn what_the_target_refuses_in_its_repaired_form_too_is_damaged_as_before() {
    let mut world = damaged(&[]).await;
    let before = (world.held(), world.states().await);
    // But for its reason the message is what it was.
    let known = async |world: &World| {
        let items = world.items().await.into_iter();
        items.map(|item| mailhaul_engine::journal::Item { reason: None, ..item }).collect::<Vec<_>>()
    };
    let items = known(&world).await;
    world.target.set(|p| p.refuse = Some(bytes::Bytes::from_static(b"mailhaul.invalid>")));
    world.repair = true;
    for _ in 0..2 {
        world.migrate().await;
        assert_eq!((world.held(), world.states().await), before);
        assert_eq!(known(&world).await, items);
        let (kind, words) = world.exceptions().await.swap_remove(0);
        assert!(
            kind == "damaged" && words.matches("Sent once more, repaired: ").count() == 1,
            "{kind} {words}"
        );
        closes(&world.report().await, 4);
    }
    world.target.set(|p| p.refuse = None);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]), "a later repair tries again");
}

#[tokio::test(start_paused = true)]
async fn a_repaired_form_that_was_refused_is_sent_again_when_a_person_asks_for_it_and_not_by_a_standing_consent()
 {
    let mut world = damaged(&[]).await;
    let before = (world.held(), world.states().await);
    world.target.set(|p| p.refuse = Some(bytes::Bytes::from_static(b"mailhaul.invalid>")));
    let appends = |world: &World| world.target.counters().commands["APPEND"];
    let first = appends(&world);
    world.consent = Some(true);
    world.migrate().await;
    let tried = appends(&world);
    assert!(tried > first, "the consent is news");
    let damaged_again = |plan: mailhaul_engine::plan::Plan| {
        plan.cannot_go.iter().any(|one| one.to_string().starts_with("what came back damaged ("))
    };
    // Said once more it is no news.
    for consent in [None, Some(true), None] {
        world.consent = consent;
        world.migrate().await;
        assert_eq!((world.held(), world.states().await), before, "{consent:?}");
        assert_eq!(appends(&world), tried, "{consent:?}");
        assert!(!damaged_again(world.plan().await), "nobody is asked for what was tried in vain");
    }
    world.consent = Some(false);
    assert!(damaged_again(world.plan().await), "the option would send it");
    world.consent = None;
    world.repair = true;
    assert!(damaged_again(world.plan().await), "and this run does");
    world.migrate().await;
    let asked = appends(&world);
    assert!(asked > tried, "by its option");
    world.repair = false;
    world.target.set(|p| p.refuse = None);
    world.migrate().await;
    assert_eq!(appends(&world), asked, "and not in the run after it");
    world.repair = true;
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_message_that_a_rule_leaves_out_meanwhile_is_not_sent_once_more() {
    let mut world = damaged(&[]).await;
    let before = (world.held(), world.states().await, world.target.counters().appended);
    (world.repair, world.selection.since) = (true, Some(i64::MAX));
    world.migrate().await;
    assert_eq!((world.held(), world.states().await, world.target.counters().appended), before);
    assert_eq!(told(&world).await, [""; 0]);
    world.selection.since = None;
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_message_of_all_mail_whose_label_a_person_leaves_out_meanwhile_is_not_sent_once_more() {
    let mut world =
        World::between(Profile { hidden: vec!["Work".into()], ..Profile::gmail() }, Profile::default());
    for name in ["INBOX", "Work"] {
        world.source.create(USER, name, None, false);
    }
    for (n, name) in [(0, "INBOX"), (1, "Work")] {
        world.source.deliver(USER, name, message(n), "", DATE).unwrap();
    }
    // What the Inbox has comes first, then what All Mail alone shows.
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 2), Fault::Alter(Alteration::SameSize)));
    (world.connections, world.limits.batch_messages_max) = (1, 1);
    world.migrate().await;
    let (kind, _) = world.exceptions().await.swap_remove(0);
    assert_eq!((kind.as_str(), world.held().len()), ("damaged", 2));
    world.source.set(|p| p.hidden.clear());
    (world.repair, world.selection.exclude) = (true, vec!["Work".into()]);
    world.migrate().await;
    assert_eq!((world.exceptions().await.len(), world.held().len()), (1, 2));
    world.selection.exclude.clear();
    world.migrate().await;
    assert_eq!(world.octets("Work"), [message(1)], "its own mailbox brings it");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_at_the_source_any_more_stays_as_it_is() {
    let mut world = damaged(&[]).await;
    let before = (world.held(), world.states().await);
    let item = world.items().await.into_iter().find(|i| i.state == State::Exception).unwrap();
    let nth = world.items().await.iter().position(|i| i.id == item.id).unwrap();
    world.source.act(USER, &Deed::Delete { mailbox: "INBOX".into(), nth });
    world.repair = true;
    world.migrate().await;
    assert_eq!((world.held(), world.states().await), before);
}

/// A server that says OK, names a UID, stores nothing, and gives that UID to what another client delivers.
#[tokio::test(start_paused = true)]
async fn a_message_of_somebody_else_under_a_uid_that_was_named_for_ours_is_never_removed() {
    let mut world = World::new(Profile::default());
    world.connections = 1;
    deliver(&world, &message(0));
    let foreign = Deed::Deliver { mailbox: "INBOX".into(), octets: message(9).into() };
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 1), Fault::OkWithoutStoring));
    world.target.plan(Planned::once(Trigger::Verb("FETCH", 1), Fault::Other(foreign)));
    world.migrate().await;
    assert_eq!((world.exceptions().await[0].0.as_str(), world.held().len()), ("damaged", 1));
    world.repair = true;
    for _ in 0..2 {
        world.migrate().await;
        assert_eq!(graded(&world).await, [(Some(Grade::Semantic), Ladder::WRAPPED)]);
        assert_eq!(world.held().len(), 2);
        assert!(world.octets("INBOX").contains(&message(9).into()), "it is not ours");
    }
}
