//! What the simulation found, each reduced to the world that shows it. The seed is the one that found it; what it makes
//! may change with the generator, this does not.

use mailhaul_sandbox::{Alteration, Deed, Fault, Gone, Planned, Trigger, UidLie};
use mailhaul_testkit::sim::{Cut, Death, End, Facts, Letter, Planted, World, simulate};
use std::time::Duration;

fn holds(world: &World) -> Facts {
    let folder = tempfile::tempdir().unwrap();
    let outcome = simulate(world, folder.path());
    assert!(outcome.wrong.is_empty(), "stops {:?}: {}", world.stops, outcome.wrong.join("\n"));
    outcome.facts.unwrap()
}

fn nth_append(n: u64, fault: Fault) -> Planned {
    Planned::once(Trigger::Verb("APPEND", n), fault)
}

fn body(uid: u32, fault: Fault, times: u32) -> Planned {
    Planned { at: Trigger::Body("INBOX".into(), uid), fault, times }
}

/// Seed 16. The scan that concludes "not stored" lists a message whose octets the server does not give: it was taken for
/// somebody else's, and ours was sent again.
#[test]
fn a_message_that_the_scan_cannot_read_is_no_proof_of_absence() {
    let (a, b) = (Letter::new("a"), Letter::new("b"));
    for fault in [Fault::NilBody, Fault::LeaveOut] {
        // Five scans before the settle time is over, then two of the three that are made before ours counts as not stored.
        for times in 1..=7 {
            let mut world = World::calm(&[&a, &b]);
            world.target_plan = vec![nth_append(1, Fault::DropAfterStore), body(1, fault.clone(), times)];
            holds(&world);
        }
    }
}

/// Seed 326. Of a group of single APPENDs one is not stored, another client stores the same octets in its place, and all is
/// found as one run: nothing was said.
#[test]
fn in_a_group_a_copy_of_another_client_is_a_doubt_even_in_a_run() {
    let letters: Vec<Letter> = ["a", "b", "c", "d", "e"].map(Letter::new).into();
    // The first message goes alone, the others in groups of two: the third command is the second of its group.
    for stop in 0..70 {
        let mut world = World::calm(&letters.iter().collect::<Vec<_>>());
        world.target_profile.multiappend = false;
        world.target_plan = vec![nth_append(3, Fault::Twin), nth_append(3, Fault::DropBeforeStore)];
        world.stops = vec![stop];
        holds(&world);
    }
}

/// Seed 904. The server merges two equal messages of one batch: the first one owns the copy, with its flags and its date.
#[test]
fn of_two_equal_messages_in_one_batch_the_first_owns_the_copy() {
    // The first message goes alone, the two equal ones together.
    let (alone, first) = (Letter::new("alone"), Letter::new("a"));
    let second =
        Letter { flags: "\\Flagged".into(), date: "04-Apr-2021 10:11:12 +0000".into(), ..first.clone() };
    for multiappend in [true, false] {
        let mut world = World::calm(&[&alone, &first, &second]);
        world.target_profile.merges = true;
        world.target_profile.multiappend = multiappend;
        holds(&world);
    }
}

/// Seed 498. The source gets another UIDVALIDITY while its messages are recognised after an earlier one: what the short
/// epoch had listed was said to be gone beside its own other number.
#[test]
fn an_epoch_that_ends_before_it_is_recognised_makes_nothing_gone() {
    let letters: Vec<Letter> = ["a", "b", "c", "d", "e", "f"].map(Letter::new).into();
    for first in 6..12 {
        for second in first + 1..first + 10 {
            let mut world = World::calm(&letters.iter().collect::<Vec<_>>());
            let renumber = || Fault::Other(Deed::NewEpoch { mailbox: "INBOX".into() });
            let at = |n| Planned::once(Trigger::Command(n), renumber());
            world.source_plan = vec![at(first), at(second)];
            let facts = holds(&world);
            assert_eq!(facts.items.len(), letters.len(), "{first} {second}");
        }
    }
}

/// Seed 449. A commit later than the settle time, after the target mailbox got another UIDVALIDITY: only the batches of the
/// new epoch were expected to bring something to light.
#[test]
fn a_commit_that_comes_late_into_another_epoch_is_reported() {
    let letters: Vec<Letter> = ["a", "b", "c", "d", "e"].map(Letter::new).into();
    let late = Duration::from_secs(7);
    for renumbered_at in 8..40 {
        let mut world = World::calm(&letters.iter().collect::<Vec<_>>());
        world.target_profile.commit_delay = Duration::from_millis(900);
        world.target_plan = vec![
            nth_append(1, Fault::LateStore(late)),
            Planned::once(
                Trigger::Command(renumbered_at),
                Fault::Other(Deed::NewEpoch { mailbox: "INBOX".into() }),
            ),
        ];
        holds(&world);
    }
}

/// Seeds 1217 and 4009. What the source did not give while its mailbox was adopted, for a new UIDVALIDITY or by itself, was
/// sent later beside the copy that had been there.
#[test]
fn what_is_not_read_while_adopting_is_not_sent_beside_what_was_there() {
    let letters: Vec<Letter> = ["a", "b", "c"].map(Letter::new).into();
    let mut troubles: Vec<Planned> = (3..=9).map(|times| body(2, Fault::LeaveOut, times)).collect();
    let renumbered = || Fault::Other(Deed::NewEpoch { mailbox: "INBOX".into() });
    troubles.extend((6..20).map(|n| Planned::once(Trigger::Command(n), renumbered())));
    for trouble in troubles {
        let mut world = World::calm(&letters.iter().collect::<Vec<_>>());
        world.target = vec![Planted { name: "INBOX", letters: letters.clone() }];
        world.source_plan = vec![trouble];
        holds(&world);
    }
}

/// Found when worlds got little memory. What was reserved for a message that was sent stayed taken until the next APPEND of
/// its connection; where it was all there is, that one never came.
#[test]
fn what_is_reserved_for_a_message_is_free_once_it_is_sent() {
    let letters: Vec<Letter> = ["a", "b", "c", "d"].map(Letter::new).into();
    for (multiappend, literal_plus) in [(true, true), (false, true), (true, false), (false, false)] {
        let mut world = World::calm(&letters.iter().collect::<Vec<_>>());
        (world.target_profile.multiappend, world.target_profile.literal_plus) = (multiappend, literal_plus);
        // By their sizes all of them would go to the spool, and each reserves everything; none does.
        world.source_profile.size_adds = 400;
        (world.tuning.in_memory_octets, world.tuning.memory_octets) = (400, 1);
        (world.tuning.batch_octets, world.tuning.range_octets) = (1_000, 1_000);
        holds(&world);
    }
}

/// Found by reading after seed 16: the same mistake while adopting, at either end.
#[test]
fn a_message_that_is_not_given_while_adopting_is_asked_for_again() {
    let (a, b) = (Letter::new("a"), Letter::new("b"));
    for fault in [Fault::NilBody, Fault::LeaveOut] {
        for at_source in [true, false] {
            let mut world = World::calm(&[&a, &b]);
            world.target = vec![Planted { name: "INBOX", letters: vec![a.clone()] }];
            let plan = if at_source { &mut world.source_plan } else { &mut world.target_plan };
            plan.push(body(1, fault.clone(), 1));
            holds(&world);
        }
    }
}

/// Found through the mutant `GroupGateLast`, which turned in circles. Every connection is lost before the gate is reached:
/// it was sent again at once, without end.
#[test]
fn a_connection_that_is_lost_each_time_is_waited_out_and_given_up() {
    let long = Letter { octets: vec![b'x'; 200_000].into(), ..Letter::new("long") };
    let mut world = World::calm(&[&long]);
    let cut =
        |connection| Cut { end: End::Target, connection, to_server: true, octets: 5_000, death: Death::Ends };
    world.cuts = (1..10_000).map(cut).collect();
    let facts = holds(&world);
    assert!(facts.died.len() > 5, "{} {:?}", facts.died.len(), facts.runs);
}

/// Seed 10128. The sizes of a source are too large, and three connections are lost while it gives a message: that it was then
/// to be read twice counted as a failure more, and it was given up.
#[test]
fn a_message_of_a_wrong_size_is_not_given_up_for_being_read_twice() {
    let letters: Vec<Letter> = ["a", "b", "c", "d"].map(Letter::new).into();
    let mut world = World::calm(&letters.iter().collect::<Vec<_>>());
    world.source_profile.size_adds = 832;
    world.source_plan = vec![body(2, Fault::CutFetch(40), 3)];
    let facts = holds(&world);
    let given_up = facts.items.iter().filter(|i| i.reason.is_some()).count();
    assert_eq!(given_up, 0);
}

/// Seeds 81302 and 85152. A message that somebody removes at the source while its account is adopted was called unreadable.
#[test]
fn a_message_that_is_removed_while_adopting_is_gone_and_no_exception() {
    let (a, b) = (Letter::new("a"), Letter::new("b"));
    for form in [Gone::Nothing, Gone::Nil] {
        let mut world = World::calm(&[&a, &b]);
        // Of the same size and date, so that it may be the one that is removed.
        world.target = vec![Planted { name: "INBOX", letters: vec![Letter::new("c")] }];
        world.source_plan = vec![body(2, Fault::Expunged(form), 1)];
        let states: Vec<_> = holds(&world).items.iter().map(|i| i.state.to_owned()).collect();
        assert!(states.contains(&"gone_at_source".to_owned()), "{states:?}");
    }
}

/// Seed 417441. Two empty messages of other dates: one is not read before the source gets another UIDVALIDITY, the copied one
/// not after it. The copied one took the place of the other, and was copied again under its own number.
#[test]
fn an_empty_message_that_is_not_read_again_is_not_taken_for_another_one() {
    let empty = |date: &str, flags: &str| Letter {
        octets: Default::default(),
        date: date.into(),
        flags: flags.into(),
    };
    let (first, other) = (Letter::new("first"), Letter::new("another"));
    let early = empty("26-Aug-2004 14:10:11 +0530", "\\Seen");
    let late = empty("07-Jan-2021 17:10:11 +0000", "\\Flagged");
    for renumbered_at in 9..20 {
        for times in 2..9 {
            let mut world = World::calm(&[&first, &other, &early, &late]);
            let at = |n, deed| Planned::once(Trigger::Command(n), Fault::Other(deed));
            let mailbox = || "INBOX".to_owned();
            // The number of the early one, and after the removal and the new epoch that of the late one.
            world.source_plan = vec![
                body(3, Fault::CutFetch(30), times),
                at(renumbered_at - 1, Deed::Delete { mailbox: mailbox(), nth: 0 }),
                at(renumbered_at, Deed::NewEpoch { mailbox: mailbox() }),
            ];
            holds(&world);
        }
    }
}

/// Seed 521117. The server says OK to the first of two equal messages under a UID, does not store it, and gives that UID to the
/// second: from outside it has merged them. With a new UIDVALIDITY since, the checker knew nothing of the promise any more.
#[test]
fn a_uid_promised_for_nothing_and_given_to_an_equal_message_is_said_to_be_merged_under_any_number() {
    let (alone, twin) = (Letter::new("alone"), Letter::new("a"));
    for renumbered_at in 8..30 {
        let mut world = World::calm(&[&alone, &twin, &twin]);
        world.tuning.batch_messages = 1;
        let renumbers = Fault::Other(Deed::NewEpoch { mailbox: "INBOX".to_owned() });
        world.target_plan = vec![
            nth_append(2, Fault::OkWithoutStoring),
            Planned::once(Trigger::Command(renumbered_at), renumbers),
        ];
        holds(&world);
    }
}

/// Seed 532745. The server damages a message and names for it the UID of another client's: the repair said of that one that it is
/// a damaged copy.
#[test]
fn a_copy_damaged_and_named_by_a_wrong_uid_makes_no_damaged_copy_of_another_clients_message() {
    let mut world = World::calm(&[&Letter::new("a")]);
    world.tuning.repair = true;
    let news = b"Subject: news\r\n\r\nof another client\r\n".as_slice().into();
    world.target_plan = vec![
        nth_append(1, Fault::Other(Deed::Deliver { mailbox: "INBOX".into(), octets: news })),
        nth_append(1, Fault::AppendUid(UidLie::Oldest)),
        nth_append(1, Fault::Alter(Alteration::SameSize)),
    ];
    let remarks = holds(&world).report["remarks"].to_string();
    let told = "UID 1 of INBOX on the new server is not what was sent and is left there: the same mail is there a second time";
    assert!(remarks.contains(told), "{remarks}");
}
