//! From Gmail to Gmail: the octets of a message are sent once, and its further labels put on by COPY.

use super::again::listed_only;
use super::{account, by_number, deliver, in_state, labels_of, letter, moved, run, shelves, small, uid};
use crate::wire::{USER, World};
use mailhaul_engine::config::Labels;
use mailhaul_engine::journal::{Origin, State};
use mailhaul_engine::probe::Probe;
use mailhaul_engine::progress::Progress;
use mailhaul_sandbox::{Counters, Deed, Fault, Planned, Profile, Sandbox, Trigger};
use mailhaul_testkit::stopper::{Death, Stopper};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The letters of [`account`], each once.
const LETTERS: u64 = 9;

fn between_gmails() -> World {
    account(Profile::gmail(), Profile::gmail())
}

/// [`two_labels`], at a target where a second COPY of a message shows it twice.
fn two_labels_seen() -> World {
    let world = two_labels();
    world.target.set(|p| p.copies_double = true);
    world
}

/// A person's mail of which the Inbox, the larger mailbox, uploads 0, 1 and 3, and Work 2; 1 and 3 are in both. On one
/// connection, so that what happens first is known.
fn two_labels() -> World {
    let mut world = small(Profile::gmail(), Profile::gmail(), Labels::Copies);
    deliver(&world.source, "INBOX", &[3]);
    deliver(&world.source, "Work", &[3]);
    deliver(&world.source, "INBOX", &[4]);
    world.connections = 1;
    world
}

pub(super) fn copies(counters: &Counters) -> (u64, u64) {
    (counters.copied, counters.commands.get("COPY").copied().unwrap_or(0))
}

/// Messages that the mailboxes of a server show, each as often as it is shown.
fn shown(server: &Sandbox) -> usize {
    server.snapshot(USER).iter().map(|m| m.messages.len()).sum()
}

async fn origins(world: &World, origin: Origin) -> usize {
    world.items().await.iter().filter(|i| i.origin == Some(origin)).count()
}

#[tokio::test(start_paused = true)]
async fn the_octets_of_a_message_under_several_labels_are_sent_once() {
    for connections in [1, 2, 4] {
        let mut world = between_gmails();
        world.connections = connections;
        moved(&world).await;
        assert_eq!(labels_of(&world.target), labels_of(&world.source), "contents, labels, flags and dates");
        let counters = world.target.counters();
        let once: u64 = (0..9).map(|n| letter(n).len() as u64).sum();
        assert_eq!((counters.appended, counters.octets_taken), (LETTERS, once), "{connections} connections");
        assert_eq!(copies(&counters), (2, 2));
        assert_eq!(origins(&world, Origin::Copied).await, 2);
        assert_eq!(in_state(&world, State::Verified).await.len(), 11, "each copy is read back");
        assert_eq!(by_number(&world).await.there, 9);
        for _ in 0..2 {
            moved(&world).await;
            let again = world.target.counters();
            assert_eq!((again.appended, copies(&again)), (LETTERS, (2, 2)), "a later run sends nothing");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_once_by_choice_is_not_copied() {
    let mut world = between_gmails();
    world.labels = Labels::First;
    moved(&world).await;
    assert_eq!((world.target.counters().appended, copies(&world.target.counters())), (LETTERS, (0, 0)));
    // The other choice, later, costs no octet.
    world.labels = Labels::Copies;
    moved(&world).await;
    assert_eq!((world.target.counters().appended, copies(&world.target.counters())), (LETTERS, (2, 2)));
    assert_eq!(labels_of(&world.target), labels_of(&world.source));
}

#[tokio::test(start_paused = true)]
async fn a_server_without_labels_or_that_names_no_uid_gets_each_copy_uploaded() {
    for (target, without) in [(Profile::default(), vec![]), (Profile::gmail(), vec!["UIDPLUS".to_owned()])] {
        let mut world = account(Profile::gmail(), target);
        world.without = without;
        moved(&world).await;
        let counters = world.target.counters();
        assert_eq!(copies(&counters), (0, 0));
        assert!(counters.octets_taken > (0..9).map(|n| letter(n).len() as u64).sum());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_copied_into_the_trash_or_from_there_whatever_mailbox_a_person_sends_there() {
    let trash = "[Gmail]/Trash";
    let mut world = small(Profile::gmail(), Profile::gmail(), Labels::Copies);
    world.mapping.map = vec![("Work".into(), trash.into())];
    world.selection.exclude = vec![trash.into()];
    moved(&world).await;
    let counters = world.target.counters();
    assert_eq!((counters.appended, copies(&counters)), (5, (0, 0)), "1 is sent for each");
}

#[tokio::test(start_paused = true)]
async fn copies_have_the_order_of_the_source_and_progress_is_whole_at_the_end() {
    let world = two_labels();
    deliver(&world.source, "INBOX", &[10, 11, 12]);
    deliver(&world.source, "Work", &[12, 10, 11]);
    let (mut whole, mut done) = (0, 0);
    for event in world.migrate_and_listen().await {
        match event {
            Progress::Planned { messages, .. } => whole = 2 * messages,
            Progress::MailboxListed { messages, new, .. } => done += 2 * (messages - new),
            Progress::Stored { messages, .. } | Progress::Verified { messages, .. } => done += messages,
            _ => {}
        }
    }
    assert_eq!(done, whole);
    let work = world.target.snapshot(USER).into_iter().find(|m| m.name == "Work").unwrap();
    let there: Vec<_> = work.messages.into_iter().map(|m| m.octets).collect();
    assert_eq!(there, [2, 1, 3, 12, 10, 11].map(letter), "what it uploaded, then what others have");
}

#[tokio::test(start_paused = true)]
async fn a_label_put_on_between_runs_and_one_on_archived_mail_cost_no_octet() {
    let world = between_gmails();
    moved(&world).await;
    let all = super::ALL;
    world.source.label(USER, "INBOX", uid(&world.source, "INBOX", 0), "Work", true);
    world.source.label(USER, all, uid(&world.source, all, 5), "New", true);
    moved(&world).await;
    assert_eq!(world.target.counters().appended, LETTERS);
    assert_eq!(labels_of(&world.target), labels_of(&world.source));
}

#[tokio::test(start_paused = true)]
async fn what_a_person_did_at_the_target_comes_with_a_label_that_is_put_on_later() {
    let world = between_gmails();
    moved(&world).await;
    world.target.set_flags(USER, "INBOX", uid(&world.target, "INBOX", 0), "\\Answered");
    world.source.label(USER, "INBOX", uid(&world.source, "INBOX", 0), "Work", true);
    moved(&world).await;
    let work = world.target.snapshot(USER).into_iter().find(|m| m.name == "Work").unwrap();
    let copy = work.messages.into_iter().find(|m| m.octets == letter(0)).unwrap();
    assert_eq!((copy.flags, world.target.counters().appended), (vec!["\\Answered".to_owned()], LETTERS));
}

#[tokio::test(start_paused = true)]
async fn a_label_that_a_person_has_put_on_at_the_target_is_found_there_and_stays_theirs() {
    let world = between_gmails();
    moved(&world).await;
    for server in [&world.source, &world.target] {
        server.label(USER, "INBOX", uid(server, "INBOX", 0), "Work", true);
    }
    moved(&world).await;
    assert_eq!((world.target.counters().appended, world.target.counters().copied), (LETTERS, 2));
    assert_eq!((origins(&world, Origin::Copied).await, origins(&world, Origin::Found).await), (2, 1));
    let undone = world.undo().await.unwrap();
    assert_eq!((undone.removed, undone.not_ours), (9, 1));
    assert_eq!(shelves(&world.target)["Work"], [0]);
}

#[tokio::test(start_paused = true)]
async fn mail_in_the_trash_of_the_new_account_is_told_and_what_comes_out_of_there_is_a_difference() {
    let world = between_gmails();
    let trash = "[Gmail]/Trash";
    let old = "01-Jan-2001 10:11:12 +0000";
    world.target.deliver(USER, trash, letter(0), "", old).unwrap();
    let told =
        |remarks: &[String]| remarks.iter().any(|r| r.contains(trash) && r.contains("holds 1 message:"));
    assert!(told(&world.plan().await.remarks));
    // The Trash is not asked for: it goes to an account that has something there.
    let mut world = world;
    world.selection.only = vec!["INBOX".into()];
    assert!(told(&world.plan().await.remarks));
    assert_eq!(world.migrate().await.left, []);
    assert_eq!(shelves(&world.target)["INBOX"], [0, 1]);
    assert!(!shelves(&world.target).contains_key(trash), "Gmail has taken it out of there");
    let report = world.report().await;
    assert_eq!((report.exit_code(), report.differences.dates), (3, 1), "with its old date");
}

#[tokio::test(start_paused = true)]
async fn undo_takes_off_what_was_put_on_by_copy() {
    let world = between_gmails();
    moved(&world).await;
    let undone = world.undo().await.unwrap();
    assert_eq!((undone.removed, undone.touched, undone.not_ours), (9, 2, 0), "5 and 6 have no label");
    assert!(["INBOX", "Work", "Family/Old"].iter().all(|name| !shelves(&world.target).contains_key(*name)));
}

#[tokio::test(start_paused = true)]
async fn a_label_that_was_taken_off_before_it_was_copied_is_not_put_on() {
    let world = two_labels();
    listed_only(&world).await;
    world.source.expunge(USER, "Work", uid(&world.source, "Work", 1));
    moved(&world).await;
    assert_eq!(shelves(&world.target)["Work"], [2, 3]);
    assert_eq!(in_state(&world, State::GoneAtSource).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_refused_is_uploaded_and_one_that_is_put_off_is_copied_later() {
    for (answer, sent, copied) in [
        ("NO [CANNOT] not this one", 1, 1),
        ("NO Some messages could not be COPYed (Failure)", 1, 1),
        ("BAD Could not parse command", 1, 1),
        ("NO [UNAVAILABLE] later", 0, 2),
        ("NO [THROTTLED] slower", 0, 2),
    ] {
        let world = two_labels();
        world.target.plan(Planned::once(Trigger::Verb("COPY", 1), Fault::Answer(answer.into())));
        moved(&world).await;
        assert_eq!(labels_of(&world.target), labels_of(&world.source), "{answer}");
        let counters = world.target.counters();
        assert_eq!((counters.appended, counters.copied), (6 + sent, copied), "{answer}");
        assert_eq!(in_state(&world, State::Verified).await.len(), 8, "{answer}");
    }
    // Nothing is copied at all.
    let world = two_labels();
    let never = Fault::Answer("NO [CANNOT] no COPY here".into());
    world.target.plan(Planned { at: Trigger::Verb("COPY", 1), fault: never, times: 2 });
    moved(&world).await;
    assert_eq!(labels_of(&world.target), labels_of(&world.source));
    assert_eq!((world.target.counters().appended, world.target.counters().copied), (8, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_original_is_removed_meanwhile_is_uploaded() {
    let world = two_labels();
    // 1 leaves the Inbox of the target in the moment in which it is to be copied from there.
    let remove = Deed::Delete { mailbox: "INBOX".into(), nth: 1 };
    world.target.plan(Planned::once(Trigger::Verb("COPY", 1), Fault::Other(remove)));
    assert_eq!(world.migrate().await.left, []);
    assert_eq!(shelves(&world.target)["Work"], [1, 2, 3]);
    assert_eq!(shelves(&world.target)["INBOX"], [0, 3, 4]);
    let counters = world.target.counters();
    assert_eq!((counters.appended, counters.copied), (7, 1));
    assert_eq!(world.report().await.outcome.remainder, 0);
}

#[tokio::test(start_paused = true)]
async fn an_original_under_another_uidvalidity_is_not_copied_from() {
    let other = Deed::NewEpoch { mailbox: "INBOX".into() };
    let examined = {
        let world = two_labels();
        moved(&world).await;
        world.target.counters().commands["EXAMINE"]
    };
    for nth in 1..=examined {
        let world = two_labels();
        // Also between the listing of the Inbox and the COPY from there.
        world.target.plan(Planned::once(Trigger::Verb("EXAMINE", nth), Fault::Other(other.clone())));
        world.migrate().await;
        assert_eq!(world.migrate().await.left, [], "at EXAMINE {nth}");
        assert_eq!(labels_of(&world.target), labels_of(&world.source), "at EXAMINE {nth}");
        assert_eq!(in_state(&world, State::Verified).await.len(), 8, "at EXAMINE {nth}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_every_copy_ends_the_connection_the_mail_is_uploaded_in_the_same_run() {
    // COPY commands in all; further uploads; copies that are found, since their answers never came.
    for (fault, commands, more, found) in
        [(Fault::DropAfterCopy, 4, 3, 4), (Fault::Bye("see you".into()), 4, 7, 0)]
    {
        let world = two_labels();
        deliver(&world.source, "INBOX", &[10, 11, 12, 13, 14]);
        deliver(&world.source, "Work", &[10, 11, 12, 13, 14]);
        // A further label: it is not tried again for this one.
        deliver(&world.source, "Zoo", &[10]);
        // A BYE that is planned for more than once strikes at any command, the login too.
        (1..100).for_each(|n| world.target.plan(Planned::once(Trigger::Verb("COPY", n), fault.clone())));
        moved(&world).await;
        assert_eq!(labels_of(&world.target), labels_of(&world.source), "{fault:?}");
        let counters = world.target.counters();
        assert_eq!((counters.appended, copies(&counters).1), (11 + more + 1, commands), "{fault:?}");
        let origins = (origins(&world, Origin::Copied).await, origins(&world, Origin::Found).await);
        assert_eq!(origins, (0, found), "{fault:?}");
        moved(&world).await;
        assert_eq!(
            copies(&world.target.counters()).1,
            commands,
            "{fault:?}: a later run has nothing to copy"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_message_at_which_the_connection_ends_is_uploaded_and_the_others_are_copied() {
    let world = two_labels();
    deliver(&world.source, "INBOX", &[10, 11, 12]);
    deliver(&world.source, "Work", &[10, 11, 12]);
    // With all, with fewer, and alone: it is the first of them each time.
    let bye = || Fault::Bye("see you".into());
    (1..=3).for_each(|n| world.target.plan(Planned::once(Trigger::Verb("COPY", n), bye())));
    moved(&world).await;
    assert_eq!(labels_of(&world.target), labels_of(&world.source));
    let counters = world.target.counters();
    assert_eq!((counters.appended, copies(&counters)), (9 + 1, (4, 7)));
}

#[tokio::test(start_paused = true)]
async fn under_another_uidvalidity_a_label_of_a_person_is_not_taken_for_ours() {
    // Two lots for Work: 3, of the sent mail, shows the other UIDVALIDITY; 0 comes after it, and a person has it there.
    let sent = "[Gmail]/Sent Mail";
    let labelled = |world: &World| {
        world.source.label(USER, sent, uid(&world.source, sent, 3), "Work", true);
        for server in [&world.source, &world.target] {
            server.label(USER, "INBOX", uid(server, "INBOX", 0), "Work", true);
        }
    };
    let (first, last) = {
        let world = between_gmails();
        moved(&world).await;
        let first = world.target.counters().commands["EXAMINE"];
        labelled(&world);
        moved(&world).await;
        (first + 1, world.target.counters().commands["EXAMINE"] + 3)
    };
    for nth in first..=last {
        let world = between_gmails();
        moved(&world).await;
        labelled(&world);
        let other = Deed::NewEpoch { mailbox: "Work".into() };
        world.target.plan(Planned::once(Trigger::Verb("EXAMINE", nth), Fault::Other(other)));
        world.migrate().await;
        world.undo().await.unwrap();
        let left = shelves(&world.target).remove("Work").unwrap_or_default();
        assert!(left.contains(&0), "at EXAMINE {nth}: {left:?}");
    }
}

/// Something that goes wrong around the first COPY of two.
#[derive(Clone, Debug)]
struct Wrong {
    fault: Fault,
    /// COPY commands in all.
    commands: u64,
    /// Messages that are uploaded for it.
    uploaded: u64,
    /// Copies known by their answers, and found by content.
    told: (usize, usize),
}

fn faults() -> Vec<Wrong> {
    let late = Fault::LateCopy(Duration::from_millis(1500));
    [
        // The connection ends before the second one is read.
        (Fault::DropAfterCopy, 2, 0, (1, 1)),
        (late, 2, 0, (1, 1)),
        (Fault::CopyUidMissing, 2, 0, (1, 1)),
        // The first one was not done, and goes again.
        (Fault::Bye("see you".into()), 3, 0, (2, 0)),
        (Fault::Answer("NO [CANNOT] not this one".into()), 2, 1, (1, 0)),
    ]
    .map(|(fault, commands, uploaded, told)| Wrong { fault, commands, uploaded, told })
    .to_vec()
}

fn with(fault: &Fault) -> World {
    let world = two_labels_seen();
    world.target.plan(Planned::once(Trigger::Verb("COPY", 1), fault.clone()));
    world
}

#[tokio::test(start_paused = true)]
async fn a_copy_whose_answer_is_lost_is_looked_for_and_made_once() {
    for Wrong { fault, commands, uploaded, told } in faults() {
        let world = with(&fault);
        moved(&world).await;
        assert_eq!(labels_of(&world.target), labels_of(&world.source), "{fault:?}");
        let counters = world.target.counters();
        assert_eq!(shown(&world.target), shown(&world.source), "{fault:?}");
        assert_eq!(
            (counters.appended, copies(&counters)),
            (6 + uploaded, (2 - uploaded, commands)),
            "{fault:?}"
        );
        let origins = (origins(&world, Origin::Copied).await, origins(&world, Origin::Found).await);
        assert_eq!(origins, told, "{fault:?}");
        assert_eq!(in_state(&world, State::Verified).await.len(), 8, "{fault:?}");
        let before = world.target.counters();
        moved(&world).await;
        let after = world.target.counters();
        assert_eq!((after.appended, copies(&after)), (before.appended, copies(&before)), "{fault:?}");
    }
}

/// The step at which a run first looks for what it may copy, and its last one. Those before are stopped at elsewhere
/// (`stopped_at_any_step_with_labels_on_either_side`).
async fn steps_of(world: &World) -> (u64, u64) {
    let (stopper, first) = (Stopper::never(), Arc::new(AtomicU64::new(0)));
    stopper.watch(&world.store);
    let (counting, seen) = (stopper.clone(), first.clone());
    let probe = Probe::new(Arc::new(move |step| {
        let stops = counting.stops();
        if step == "look at the originals" && seen.load(Ordering::SeqCst) == 0 {
            seen.store(counting.steps(), Ordering::SeqCst);
        }
        stops
    }));
    run(world, probe).await;
    world.store.set_hook(None);
    (first.load(Ordering::SeqCst), stopper.steps())
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_around_copies_nothing_is_lost_or_doubled() {
    // What leaves a doubt, and nothing.
    let doubtful =
        faults().into_iter().map(|w| w.fault).filter(|f| !matches!(f, Fault::Bye(_) | Fault::Answer(_)));
    for fault in doubtful.map(Some).chain([None]) {
        let of = || fault.as_ref().map_or_else(two_labels_seen, with);
        stopped_at_any_step(of, 8, &format!("{fault:?}")).await;
    }
}

/// Stops a run at each step from where it looks for what it may copy, and has another one go on: nothing is lost or doubled, and so
/// many messages are verified.
pub(super) async fn stopped_at_any_step(of: impl Fn() -> World, verified: usize, what: &str) {
    let (first, last) = steps_of(&of()).await;
    assert!(first > 20 && last > first + 10, "{first} to {last}");
    for at in first..=last {
        let (world, stopper) = (of(), Stopper::at(at));
        stopper.watch(&world.store);
        stopper.run(run(&world, stopper.probe())).await;
        Death::ALL[usize::from(at % 2 == 0)].strike(&world.store);
        run(&world, Probe::default()).await;
        // What comes late must have come before anybody compares.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let said = format!("{what}, stopped at step {at} of {last}");
        assert_eq!(labels_of(&world.target), labels_of(&world.source), "{said}");
        assert_eq!(shown(&world.target), shown(&world.source), "{said}");
        assert_eq!(in_state(&world, State::Verified).await.len(), verified, "{said}");
        let before = world.target.counters();
        run(&world, Probe::default()).await;
        let after = world.target.counters();
        assert_eq!((after.appended, copies(&after)), (before.appended, copies(&before)), "{said}");
    }
}
