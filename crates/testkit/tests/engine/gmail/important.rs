//! What is important and what is starred: views of mail that lies elsewhere, as long as All Mail is shown; and a mark that another
//! Gmail keeps, too.

use super::again::listed_only;
use super::copied::{copies, stopped_at_any_step};
use super::{ALL, account, deliver, ended_with, in_state, labels_of, letter, moved, shelves, small, uid};
use crate::wire::{USER, World};
use mailhaul_engine::config::Labels;
use mailhaul_engine::journal::{Existing, State};
use mailhaul_sandbox::{Fault, Planned, Profile, Trigger};

const IMPORTANT: &str = "[Gmail]/Important";

/// An account in which 0, of the Inbox, 2, under a label, and 5, archived, are important.
fn with_marks(target: Profile) -> World {
    let world = account(Profile::gmail(), target);
    deliver(&world.source, IMPORTANT, &[0, 2, 5]);
    world
}

#[tokio::test(start_paused = true)]
async fn at_a_plain_target_no_mailbox_shows_again_what_is_important() {
    let world = with_marks(Profile::default());
    moved(&world).await;
    assert_eq!(shelves(&world.target), super::in_copies());
    assert!(world.target.snapshot(USER).iter().all(|m| m.name != "Important" && m.name != "Starred"));
}

#[tokio::test(start_paused = true)]
async fn where_all_mail_is_hidden_what_only_a_view_shows_comes_from_there_and_once() {
    for labels in [Labels::Copies, Labels::First] {
        let mut world = account(Profile { hidden: vec![ALL.into()], ..Profile::gmail() }, Profile::default());
        (world.labels, world.accepts) = (labels, true);
        // Beside 0, which the Inbox brings: 9 is important, 10 starred, 11 both.
        deliver(&world.source, IMPORTANT, &[0, 9, 11]);
        deliver(&world.source, ALL, &[10]);
        for n in [10, 11] {
            world.source.set_flags(USER, ALL, uid(&world.source, ALL, n), "\\Seen \\Flagged");
        }
        ended_with(&world, 3).await;
        let of_views = |world: &World| {
            let there = shelves(&world.target);
            let mut all: Vec<i64> = ["Important", "Starred"]
                .iter()
                .filter_map(|name| there.get(*name))
                .flatten()
                .copied()
                .collect();
            all.sort_unstable();
            all
        };
        assert_eq!(of_views(&world), [9, 10, 11], "{labels:?}: {:?}", shelves(&world.target));
        let mail = super::by_number(&world).await;
        assert_eq!((mail.there, mail.unbrought), (10, 0), "5 and 6 are archived, and shown nowhere");
        // Once it is shown, All Mail brings what is left, and nothing a second time.
        world.source.set(|p| p.hidden.clear());
        for _ in 0..2 {
            moved(&world).await;
            assert_eq!(of_views(&world), [9, 10, 11], "{labels:?}");
            assert_eq!(shelves(&world.target)["Archive"], [5, 6], "{labels:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_mail_is_hidden_views_bring_to_another_gmail_what_only_they_show() {
    let mut world = account(Profile { hidden: vec![ALL.into()], ..Profile::gmail() }, Profile::gmail());
    world.accepts = true;
    deliver(&world.source, IMPORTANT, &[0, 9]);
    deliver(&world.source, ALL, &[10]);
    world.source.set_flags(USER, ALL, uid(&world.source, ALL, 10), "\\Seen \\Flagged");
    ended_with(&world, 3).await;
    let there = shelves(&world.target);
    assert_eq!((&there[IMPORTANT][..], &there["[Gmail]/Starred"][..]), (&[0, 9][..], &[0, 10][..]));
    assert_eq!(there[ALL], [0, 1, 2, 3, 4, 9, 10]);
    assert!(!there.keys().any(|name| name == "Important" || name == "Starred"), "{there:?}");
    assert_eq!(copies(&world.target.counters()).0, 2 + 1, "0 is marked where it lies");
}

#[tokio::test(start_paused = true)]
async fn at_another_gmail_what_is_important_is_marked_so_and_no_octet_is_sent_for_it() {
    for connections in [1, 4] {
        let mut world = with_marks(Profile::gmail());
        world.connections = connections;
        assert!(world.plan().await.remarks.iter().any(|r| r.contains("is marked so at the new one")));
        moved(&world).await;
        assert_eq!(labels_of(&world.target), labels_of(&world.source), "labels, flags and dates");
        assert_eq!(shelves(&world.target)[IMPORTANT], [0, 2, 5]);
        assert_eq!((world.target.counters().appended, copies(&world.target.counters()).0), (9, 2 + 3));
        assert_eq!(in_state(&world, State::Verified).await.len(), 11 + 3, "each is read back");
        for _ in 0..2 {
            moved(&world).await;
            let again = world.target.counters();
            assert_eq!((again.appended, copies(&again)), (9, (5, 5)), "a later run sends nothing");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_put_on_later_comes_in_the_next_run_and_undo_takes_marks_off() {
    let world = with_marks(Profile::gmail());
    moved(&world).await;
    world.source.label(USER, ALL, uid(&world.source, ALL, 6), "\\Important", true);
    world.source.label(USER, "INBOX", uid(&world.source, "INBOX", 1), "\\Important", true);
    moved(&world).await;
    assert_eq!(shelves(&world.target)[IMPORTANT], [0, 1, 2, 5, 6]);
    assert_eq!(world.target.counters().appended, 9);
    world.undo().await.unwrap();
    assert!(!shelves(&world.target).contains_key(IMPORTANT));
}

#[tokio::test(start_paused = true)]
async fn what_is_marked_at_the_new_account_already_is_no_question_and_stays() {
    let mut world = with_marks(Profile::gmail());
    world.target.deliver(USER, IMPORTANT, letter(20), "", crate::late::DATE).unwrap();
    // All Mail, where it lies as well, would be one.
    (world.selection.exclude, world.accepts) = (vec![ALL.into()], true);
    for _ in 0..2 {
        assert_eq!(world.migrate().await.left, []);
        assert_eq!(shelves(&world.target)[IMPORTANT], [0, 2, 20]);
        assert_eq!(world.target.counters().appended, 7, "5 is archived: what is left out comes by no mark");
        assert_eq!(super::left_out(&world).await.get("view"), Some(&1));
    }
    assert_eq!(world.undo().await.unwrap().not_ours, 0);
    assert_eq!(shelves(&world.target)[IMPORTANT], [20]);
}

#[tokio::test(start_paused = true)]
async fn for_a_mark_on_mail_that_was_there_already_nothing_is_sent() {
    let mut world = small(Profile::gmail(), Profile::gmail(), Labels::Copies);
    deliver(&world.source, IMPORTANT, &[0]);
    deliver(&world.target, "INBOX", &[0]);
    world.existing = Some(Existing::Adopt);
    moved(&world).await;
    assert_eq!(world.target.counters().appended, 3, "1, 2 and 5");
    assert_eq!(shelves(&world.target)["INBOX"], [0, 1]);
    assert!(!shelves(&world.target).contains_key(IMPORTANT), "it was not ours to mark");
    let rules = super::left_out(&world).await;
    assert_eq!(rules.get("in-another-mailbox"), Some(&4), "three of All Mail, and the mark");
}

#[tokio::test(start_paused = true)]
async fn for_a_mark_that_is_refused_no_octet_is_sent_and_it_is_tried_again_in_the_next_run() {
    let told = |notes: &[mailhaul_engine::journal::Note]| {
        notes.iter().filter(|note| note.text.contains("did not mark")).count()
    };
    let world = with_marks(Profile::gmail());
    let never = || Fault::Answer("NO [CANNOT] no COPY here".into());
    (1..=5).for_each(|n| world.target.plan(Planned::once(Trigger::Verb("COPY", n), never())));
    moved(&world).await;
    assert_eq!((world.target.counters().appended, copies(&world.target.counters())), (9 + 2, (0, 5)));
    assert!(!shelves(&world.target).contains_key(IMPORTANT), "two labels are uploaded, and no mark");
    assert_eq!(told(&world.notes().await), 1, "{:?}", world.notes().await);
    moved(&world).await;
    assert_eq!(labels_of(&world.target), labels_of(&world.source));
    assert_eq!((world.target.counters().appended, copies(&world.target.counters())), (9 + 2, (3, 8)));
}

#[tokio::test(start_paused = true)]
async fn a_mark_whose_copy_came_back_damaged_is_told_and_no_repair_begins_anything_for_it() {
    let mut world = with_marks(Profile::gmail());
    world.connections = 1;
    // Two labels come before the marks.
    world.target.plan(Planned::once(Trigger::Verb("COPY", 3), Fault::SpoilCopy));
    world.migrate().await;
    let damaged = async |world: &World| {
        let found = in_state(world, State::Exception).await;
        found.iter().map(|item| item.reason.as_ref().unwrap().kind.clone()).collect::<Vec<_>>()
    };
    assert_eq!(damaged(&world).await, ["damaged"]);
    let sent = (world.target.counters().appended, copies(&world.target.counters()));
    world.repair = true;
    assert_eq!(world.plan().await.cannot_go, [], "nothing is promised that no repair can do");
    for _ in 0..3 {
        world.migrate().await;
        let begun = world.notes().await.into_iter().filter(|note| note.kind.starts_with("repair:"));
        assert_eq!(begun.map(|note| note.kind).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(damaged(&world).await, ["damaged"]);
        assert_eq!((world.target.counters().appended, copies(&world.target.counters())), sent);
        assert_eq!(world.report().await.exit_code(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn where_every_copy_ends_the_connection_no_octet_is_sent_for_a_mark() {
    let world = with_marks(Profile::gmail());
    let bye = || Fault::Bye("see you".into());
    (1..100).for_each(|n| world.target.plan(Planned::once(Trigger::Verb("COPY", n), bye())));
    moved(&world).await;
    assert_eq!((world.target.counters().appended, copies(&world.target.counters()).0), (9 + 2, 0));
    assert!(!shelves(&world.target).contains_key(IMPORTANT));
}

#[tokio::test(start_paused = true)]
async fn a_view_that_a_person_names_goes_on_moving_as_any_mailbox_does() {
    let mut world = account(Profile::gmail(), Profile::default());
    world.mapping.map = vec![("[Gmail]/Starred".into(), "Stars".into())];
    listed_only(&world).await;
    moved(&world).await;
    assert_eq!(shelves(&world.target)["Stars"], [0]);
    world.source.set_flags(USER, "INBOX", uid(&world.source, "INBOX", 1), "\\Seen \\Flagged");
    moved(&world).await;
    assert_eq!(shelves(&world.target)["Stars"], [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn views_wait_for_all_mail_that_is_shown_and_cannot_be_listed() {
    let mut world = account(Profile { hidden: vec![ALL.into()], ..Profile::gmail() }, Profile::default());
    world.accepts = true;
    deliver(&world.source, IMPORTANT, &[0, 9]);
    ended_with(&world, 3).await;
    assert_eq!(shelves(&world.target)["Important"], [9]);
    world.source.set(|p| (p.hidden, p.unopened) = (Vec::new(), vec![ALL.into()]));
    deliver(&world.source, IMPORTANT, &[12]);
    let left = world.migrate().await.left;
    let waits = |(_, why): &&(_, String)| why.contains("“[Gmail]/All Mail” was not listed in this run");
    assert_eq!(left.iter().filter(waits).count(), 2, "{left:?}");
    assert_eq!(shelves(&world.target)["Important"], [9], "12 is All Mail's");
    world.source.set(|p| p.unopened.clear());
    moved(&world).await;
    let there = shelves(&world.target);
    assert_eq!((&there["Important"][..], &there["Archive"][..]), (&[9][..], &[5, 6, 12][..]));
}

#[tokio::test(start_paused = true)]
async fn marks_are_left_out_where_each_message_is_stored_once_and_below_another_parent() {
    let mut world = with_marks(Profile::gmail());
    world.labels = Labels::First;
    let plan = world.plan().await;
    assert!(plan.remarks.iter().all(|r| !r.contains(IMPORTANT)), "{:?}", plan.remarks);
    assert!(plan.excluded.iter().any(|left| left.record.source.text == IMPORTANT && left.rule == "view"));
    moved(&world).await;
    assert!(!shelves(&world.target).contains_key(IMPORTANT));
    assert_eq!(copies(&world.target.counters()), (0, 0));
    let mut world = with_marks(Profile::gmail());
    world.mapping.into = Some("Old".into());
    moved(&world).await;
    let there = shelves(&world.target);
    assert!(there.keys().all(|name| !name.contains("Important")), "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_around_marks_nothing_is_lost_or_doubled() {
    let of = || {
        let mut world = small(Profile::gmail(), Profile::gmail(), Labels::Copies);
        deliver(&world.source, IMPORTANT, &[0, 5]);
        world.connections = 1;
        world.target.set(|p| p.copies_double = true);
        world
    };
    stopped_at_any_step(of, 7, "marks").await;
}
