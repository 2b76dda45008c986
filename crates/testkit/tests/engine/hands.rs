//! Accounts under other hands while they are migrated, over the wire: mailboxes renamed, deleted and made anew in the
//! middle of a batch, messages removed and moved where it hurts, an undo that loses its connection.

use crate::late::{DATE, message};
use crate::wire::{USER, World, octets};
use bytes::Bytes;
use mailhaul_engine::journal::State;
use mailhaul_engine::undo::Undone;
use mailhaul_sandbox::{Deed, Fault, Gone, Planned, Profile, Trigger};
use std::collections::BTreeMap;

fn states(of: &[(State, usize)]) -> BTreeMap<State, usize> {
    of.iter().copied().collect()
}

fn letter(n: i64) -> Bytes {
    Bytes::from(message(n))
}

/// A mailbox `Work` of nine messages beside an empty INBOX: three batches.
fn work() -> World {
    let mut world = World::new(Profile::default());
    world.connections = 1;
    world.source.create(USER, "Work", None, true);
    (0..9).for_each(|n| _ = world.source.deliver(USER, "Work", letter(n), "\\Seen", DATE));
    world
}

/// At the n-th command with this verb.
fn at(verb: &'static str, n: u64, deed: Deed) -> Planned {
    Planned::once(Trigger::Verb(verb, n), Fault::Other(deed))
}

fn rename(from: &str, to: &str) -> Deed {
    Deed::Rename { from: from.into(), to: to.into() }
}

fn delete(mailbox: &str) -> Deed {
    Deed::DeleteMailbox { mailbox: mailbox.into() }
}

fn create(mailbox: &str) -> Deed {
    Deed::CreateMailbox { mailbox: mailbox.into() }
}

/// Runs, and expects `Work` to be left: it is not made anew in the middle of a run, and what is there stays.
async fn left_in_mid_batch(world: &World, case: &str) {
    let end = world.migrate().await;
    assert_eq!(end.left.len(), 1, "{case}: {:?}", end.left);
    assert_eq!(world.report().await.exit_code(), 5, "{case}");
    assert!(world.target.snapshot(USER).iter().all(|m| m.name != "Work"), "{case}");
}

#[tokio::test(start_paused = true)]
async fn a_target_mailbox_renamed_in_mid_batch_is_left_with_reason_and_completed_once_it_is_back() {
    for without in [&[][..], &["MULTIAPPEND"], &["UIDPLUS"]] {
        for nth in 1..=3 {
            let mut world = work();
            world.without = without.iter().map(|w| (*w).to_owned()).collect();
            world.target.plan(at("APPEND", nth, rename("Work", "Old work")));
            let case = format!("before APPEND {nth}, without {without:?}");
            left_in_mid_batch(&world, &case).await;
            assert!(world.octets("Old work").len() < 9, "{case}");
            world.target.act(USER, &rename("Old work", "Work"));
            assert_eq!(world.migrate().await.left, [], "{case}");
            assert_eq!(world.states().await, states(&[(State::Verified, 9)]), "{case}");
            assert_eq!(world.octets("Work"), (0..9).map(letter).collect::<Vec<_>>(), "{case}");
            assert_eq!(world.report().await.exit_code(), 0, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_mailbox_gone_in_mid_batch_is_made_again_by_the_next_run_which_sends_nothing_twice() {
    for deed in [delete("Work"), rename("Work", "Old work")] {
        for without in [&[][..], &["MULTIAPPEND"], &["UIDPLUS"]] {
            for nth in 1..=3 {
                let mut world = work();
                world.without = without.iter().map(|w| (*w).to_owned()).collect();
                world.target.plan(at("APPEND", nth, deed.clone()));
                let case = format!("{deed:?} before APPEND {nth}, without {without:?}");
                left_in_mid_batch(&world, &case).await;
                let appended = world.target.counters().appended as usize;
                for run in 0..2 {
                    // The plan of this run says that it is made again.
                    world.migrate().await;
                    let found = world.states().await;
                    let mut expected = states(&[(State::Verified, 9 - appended)]);
                    // What was stored in the mailbox that is gone is doubted, and not sent again by itself.
                    expected.extend((appended > 0).then_some((State::Suspect, appended)));
                    assert_eq!(found, expected, "{case}, run {run}");
                    assert_eq!(world.target.counters().appended, 9, "{case}, run {run}");
                    assert_eq!(world.octets("Work").len(), 9 - appended, "{case}, run {run}");
                    let exit_code = world.report().await.exit_code();
                    assert_eq!(exit_code, if appended > 0 { 5 } else { 0 }, "{case}, run {run}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_mailbox_recreated_empty_in_mid_batch_asks_about_what_it_held_and_takes_the_rest_once() {
    for without in [&[][..], &["MULTIAPPEND"], &["UIDPLUS"]] {
        for nth in [2, 3] {
            let mut world = work();
            world.without = without.iter().map(|w| (*w).to_owned()).collect();
            world.target.plan(at("APPEND", nth, delete("Work")));
            world.target.plan(at("APPEND", nth, create("Work")));
            let case = format!("before APPEND {nth}, without {without:?}");
            for run in 0..3 {
                world.migrate().await;
                let there = world.octets("Work");
                let found = world.states().await;
                // What was stored in the mailbox that is gone is doubted and not sent again by itself.
                let gone = found.get(&State::Suspect).copied().unwrap_or(0);
                assert!(gone > 0, "{case}, run {run}: {found:?}");
                assert_eq!(
                    found,
                    states(&[(State::Suspect, gone), (State::Verified, 9 - gone)]),
                    "{case}, run {run}"
                );
                assert_eq!(there, (gone as i64..9).map(letter).collect::<Vec<_>>(), "{case}, run {run}");
                assert_ne!(world.report().await.exit_code(), 0, "{case}, run {run}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_deleted_in_the_moment_of_doubt_is_sent_again_and_that_is_a_doubt() {
    let world = work();
    world.target.inject(Fault::DropAfterStore);
    // Before the connection that looks for the batch has logged in.
    world.target.plan(at("AUTHENTICATE", 2, Deed::Delete { mailbox: "Work".into(), nth: 1 }));
    world.migrate().await;
    assert_eq!(world.states().await, states(&[(State::Verified, 9)]));
    let mut held = world.octets("Work");
    held.sort();
    assert_eq!(held, (0..9).map(letter).collect::<Vec<_>>());
    let doubts = world.doubts().await;
    assert!(doubts.contains(&"doubt:resent".to_owned()), "{doubts:?}");
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_expunged_between_listing_and_fetch_is_gone_with_proof_in_all_forms_of_the_answer() {
    for form in [Gone::Nothing, Gone::Nil, Gone::Whole] {
        for uid in [1, 5, 9] {
            let mut world = work();
            // Asked for alone, so that it is the one that is removed.
            world.limits.fetch_range_messages_max = 1;
            world.source.plan(Planned::once(Trigger::Body("Work".into(), uid), Fault::Expunged(form)));
            world.migrate().await;
            let case = format!("{form:?}, UID {uid}");
            let copied = form == Gone::Whole;
            let expected: Vec<_> =
                (0..9).filter(|n| copied || *n != i64::from(uid) - 1).map(letter).collect();
            assert_eq!(world.octets("Work"), expected, "{case}");
            let found = world.states().await;
            if copied {
                assert_eq!(found, states(&[(State::Verified, 9)]), "{case}");
            } else {
                assert_eq!(found, states(&[(State::Verified, 8), (State::GoneAtSource, 1)]), "{case}");
            }
            assert_eq!(world.report().await.exit_code(), 0, "{case}");
            let appended = world.target.counters().appended;
            world.migrate().await;
            assert_eq!(world.target.counters().appended, appended, "{case}");
            assert_eq!(world.states().await, found, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_moved_at_the_source_into_a_mailbox_listed_before_is_seen_by_verify_and_moved_by_the_next_run()
 {
    let mut world = work();
    world.limits.fetch_range_messages_max = 1;
    world.source.create(USER, "Later", None, true);
    (20..23).for_each(|n| _ = world.source.deliver(USER, "Later", letter(n), "", DATE));
    // `Work` is the larger one and goes first; when its first message is read, it was listed.
    let moved = Deed::Move { from: "Later".into(), to: "Work".into(), nth: 1 };
    world.source.plan(at("FETCH", 3, moved));
    world.migrate().await;
    assert_eq!(octets(&world.source, "Work").len(), 10, "it was moved");
    assert_eq!(world.states().await, states(&[(State::Verified, 11)]), "it was in neither listing");
    world.verify().await;
    assert_eq!(world.report().await.exit_code(), 5, "verify counts what is not moved yet");
    world.migrate().await;
    assert_eq!(world.states().await, states(&[(State::Verified, 12)]));
    assert_eq!(world.octets("Later"), [letter(20), letter(22)]);
    assert_eq!(world.octets("Work").len(), 10);
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_undo_cut_at_any_command_is_finished_by_the_next_one() {
    let commands = |world: &World| world.target.counters().commands.values().sum::<u64>();
    // One message of somebody else's, and one of ours that was touched.
    async fn moved() -> (World, u32) {
        let world = work();
        world.migrate().await;
        let mine = world.target.deliver(USER, "Work", "Subject: mine\r\n\r\n", "", DATE);
        world.target.set_flags(USER, "Work", 4, "\\Seen \\Flagged");
        (world, mine.unwrap())
    }
    let (whole, _) = moved().await;
    let before = commands(&whole);
    assert_eq!(whole.undo().await.unwrap(), Undone { removed: 8, touched: 1, ..Undone::default() });
    let all = commands(&whole) - before;
    assert!(all > 8, "{all} commands only");
    let mut failed = 0;
    for nth in 1..=all {
        let (world, mine) = moved().await;
        let cut = Planned::once(Trigger::Command(commands(&world) + nth), Fault::Bye("going down".into()));
        world.target.plan(cut);
        failed += u32::from(world.undo().await.is_err());
        world.undo().await.unwrap();
        let left = world.target.snapshot(USER).into_iter().find(|m| m.name == "Work").unwrap().messages;
        let uids: Vec<u32> = left.iter().map(|m| m.uid).collect();
        assert_eq!(uids, [4, mine], "cut at command {nth} of {all}");
        assert_eq!(
            world.states().await,
            states(&[(State::Listed, 8), (State::Verified, 1)]),
            "command {nth}"
        );
        world.migrate().await;
        assert_eq!(world.states().await, states(&[(State::Verified, 9)]), "command {nth}");
        assert_eq!(world.octets("Work").len(), 10, "command {nth}");
    }
    assert!(failed > 3, "{failed} of {all} cuts ended an undo");
}

/// The server closes up its UIDs after a deletion and keeps its UIDVALIDITY: new mail stands under a number that is known.
#[tokio::test(start_paused = true)]
async fn a_source_that_gives_known_uids_to_other_messages_is_never_called_complete() {
    let world = work();
    assert_eq!(world.migrate().await.left, []);
    let dates = ["01-Feb-2019 10:00:00 +0000", "02-Feb-2019 10:00:00 +0000"];
    world.source.act(USER, &Deed::Delete { mailbox: "Work".into(), nth: 8 });
    for (n, date) in (100..).zip(dates) {
        let longer = [&letter(n)[..], b"and one line more\r\n"].concat();
        world.source.deliver(USER, "Work", Bytes::from(longer), "", date);
    }
    world.source.close_up(USER, "Work");
    for _ in 0..2 {
        let end = world.migrate().await;
        assert!(
            end.left.iter().any(|(_, why)| why.contains("other messages under 1 UIDs")),
            "{:?}",
            end.left
        );
        assert_eq!(world.report().await.exit_code(), 5);
    }
    // What has a number of its own is copied all the same.
    assert_eq!(world.octets("Work").len(), 10);
}

/// Over the wire, at a server that waits before each literal and refuses one of them unread.
#[tokio::test(start_paused = true)]
async fn a_literal_refused_before_it_is_sent_goes_out_with_no_other_message_and_lets_none_pass_its_gate() {
    let letter =
        |n: usize| format!("Subject: {n}\r\n\r\n{}\r\n", format!("line {n}\r\n").repeat(1 + 7 * (n % 3)));
    let mut struck = 0;
    for multiappend in [true, false] {
        for (messages, batch) in [(1, 1), (5, 1), (5, 3), (9, 4)] {
            for after in 0..messages as u64 {
                let target = Profile { multiappend, literal_plus: false, ..Profile::default() };
                let mut world = World::new(target);
                (world.limits.batch_messages_max, world.limits.group_messages_max) = (batch, batch);
                for n in 0..messages {
                    world.source.deliver(USER, "INBOX", letter(n).into_bytes(), "", DATE);
                }
                let refused = Fault::RefuseLiteral("NO [UNAVAILABLE] not just now".into());
                let at = if after == 0 { Trigger::Next } else { Trigger::Verb("APPEND", after) };
                world.target.plan(Planned::once(at, refused));
                let case = format!(
                    "MULTIAPPEND {multiappend}, {messages} in batches of {batch}, after {after} APPENDs"
                );
                world.migrate().await;
                assert_eq!(world.states().await, BTreeMap::from([(State::Verified, messages)]), "{case}");
                let mut there = world.octets("INBOX");
                let mut wanted: Vec<Bytes> = (0..messages).map(|n| letter(n).into_bytes().into()).collect();
                there.sort();
                wanted.sort();
                assert_eq!(there, wanted, "{case}");
                struck += world.target.struck().len();
            }
        }
    }
    assert!(struck >= 25, "{struck}");
}
