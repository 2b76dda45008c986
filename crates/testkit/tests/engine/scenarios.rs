//! Scenarios of docs/proof.md that no other file here is about: what servers and people do between and during runs.

use crate::late::{DATE, message};
use crate::login::Tokens;
use crate::wire::{PASSWORD, USER, World};
use mailhaul_engine::error::{EndError, Error};
use mailhaul_engine::identity::Grade;
use mailhaul_engine::journal::State;
use mailhaul_sandbox::{Deed, Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;
use std::time::Duration;

/// A world with these messages in the source's INBOX.
fn world_of<'a>(target: Profile, letters: impl IntoIterator<Item = &'a [u8]>) -> World {
    let mut world = World::new(target);
    world.connections = 1;
    for letter in letters {
        world.source.deliver(USER, "INBOX", letter.to_vec(), "\\Seen", DATE);
    }
    world
}

fn letters(count: i64) -> Vec<Vec<u8>> {
    (0..count).map(|n| message(n).into_bytes()).collect()
}

fn some(letters: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    letters.iter().map(Vec::as_slice)
}

/// Kind of state, grade and words of each message.
async fn graded(world: &World) -> Vec<(State, Option<Grade>, String)> {
    let items = world.items().await.into_iter();
    items.map(|i| (i.state, i.grade, i.reason.map_or_else(String::new, |r| r.text))).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_that_differ_in_a_received_line_alone_are_two_also_in_doubt() {
    let of = |hop: &str| {
        format!("Received: from {hop}\r\nMessage-ID: <1@b.example>\r\nSubject: 1\r\n\r\nbody\r\n")
            .into_bytes()
    };
    for fault in [Fault::DropAfterStore, Fault::DropBeforeStore] {
        let world = world_of(Profile::default(), some(&[of("a"), of("b")]));
        // While ours is on its way the same mail comes by another way.
        let theirs = Deed::Deliver { mailbox: "INBOX".into(), octets: of("c").into() };
        world.target.plan(Planned::once(Trigger::Verb("APPEND", 1), Fault::Other(theirs)));
        world.target.plan(Planned::once(Trigger::Verb("APPEND", 1), fault));
        world.migrate().await;
        let mut held = world.octets("INBOX");
        held.sort();
        assert_eq!(held, [of("a"), of("b"), of("c")]);
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2)]));
    }
}

#[tokio::test(start_paused = true)]
async fn five_identical_messages_stay_five_whatever_happens_to_their_batches() {
    let same = vec![message(1).into_bytes(); 5];
    let faults = [
        Fault::DropBeforeStore,
        Fault::DropAfterStore,
        Fault::LateStore(Duration::from_secs(2)),
        Fault::RefuseAppend("[UNAVAILABLE] later".into()),
        Fault::Answer("NO [LIMIT] slower".into()),
        Fault::Bye("going down".into()),
    ];
    for fault in faults {
        for nth in 1..=5 {
            for without in [None, Some("MULTIAPPEND"), Some("UIDPLUS")] {
                let mut world = world_of(Profile::default(), some(&same));
                world.without = without.into_iter().map(str::to_owned).collect();
                world.target.plan(Planned::once(Trigger::Verb("APPEND", nth), fault.clone()));
                world.migrate().await;
                world.migrate().await;
                let case = format!("{fault:?} at APPEND {nth} without {without:?}");
                assert_eq!(world.held().len(), 5, "{case}");
                assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 5)]), "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_a_message_up_to_its_first_nul_is_found_out() {
    let truncating = |_: u32, octets: &[u8]| octets.split(|o| *o == 0).next().unwrap_or_default().to_vec();
    let nul = b"From: a@b.example\r\n\r\nbefore\0after\r\n".to_vec();
    let profile = Profile { rewrites: Some(truncating), ..Profile::default() };
    let world = world_of(profile, some(&[message(1).into_bytes(), nul]));
    world.migrate().await;
    let of_each: Vec<_> = graded(&world).await.into_iter().map(|(state, grade, _)| (state, grade)).collect();
    assert_eq!(of_each, [(State::Verified, Some(Grade::Exact)), (State::Exception, Some(Grade::Damaged))]);
    assert_eq!(world.report().await.exit_code(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_munges_eight_bit_headers_is_named_with_the_header() {
    let munging = |_: u32, octets: &[u8]| {
        let end = octets.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(octets.len());
        let munged = |(at, octet): (usize, &u8)| if at < end && !octet.is_ascii() { b'X' } else { *octet };
        octets.iter().enumerate().map(munged).collect()
    };
    let raw = "From: a@b.example\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nbody \u{fc}\r\n".as_bytes().to_vec();
    let encoded = b"From: a@b.example\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\nbody\r\n".to_vec();
    let world = world_of(Profile { rewrites: Some(munging), ..Profile::default() }, some(&[raw, encoded]));
    world.migrate().await;
    let found = graded(&world).await;
    assert_eq!((found[0].0, found[0].1), (State::Exception, Some(Grade::Damaged)));
    assert!(found[0].2.contains("in subject 4 octets outside ASCII were replaced"), "{}", found[0].2);
    assert_eq!((found[1].0, found[1].1), (State::Verified, Some(Grade::Exact)));
}

#[tokio::test(start_paused = true)]
async fn cr_cr_lf_arrives_as_it_is_and_graded_newline_where_the_server_makes_it_one() {
    let odd = b"From: a@b.example\r\n\r\none\r\r\ntwo\r\n".to_vec();
    let world = world_of(Profile::default(), some(std::slice::from_ref(&odd)));
    world.migrate().await;
    assert_eq!(world.octets("INBOX"), std::slice::from_ref(&odd));
    let joining =
        |_: u32, octets: &[u8]| String::from_utf8_lossy(octets).replace("\r\r\n", "\r\n").into_bytes();
    let world = world_of(Profile { rewrites: Some(joining), ..Profile::default() }, some(&[odd]));
    world.migrate().await;
    assert_eq!(graded(&world).await[0].1, Some(Grade::Newline));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_renamed_at_the_source_between_runs_is_copied_under_its_new_name_and_nothing_is_lost() {
    let world = world_of(Profile::default(), []);
    world.source.create(USER, "Work", None, true);
    letters(3).into_iter().for_each(|l| _ = world.source.deliver(USER, "Work", l, "", DATE));
    world.migrate().await;
    world.source.act(USER, &Deed::Rename { from: "Work".into(), to: "Jobs".into() });
    world.source.deliver(USER, "Jobs", message(3), "", DATE);
    world.migrate().await;
    assert_eq!((world.octets("Work"), world.octets("Jobs").len()), (world.octets("Jobs")[..3].to_vec(), 4));
    // What was copied before is accounted for under its old name.
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 7)]));
}

/// Waits for the target's second APPEND, which takes a while and ends with the connection.
async fn in_the_second_append(world: &World) {
    world.target.set(|profile| profile.commit_delay = Duration::from_secs(1));
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 2), Fault::DropAfterStore));
    while world.target.counters().commands.get("APPEND").is_none_or(|n| *n < 2) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_that_was_changed_is_tried_once_between_runs_and_once_within_one() {
    let refused = |error: Error| matches!(error, Error::Target(EndError::LoginRefused { .. }));
    let world = world_of(Profile::default(), some(&letters(6)));
    // Within a run: the connection is lost at the second APPEND, and the password is another one by then.
    let change = async {
        in_the_second_append(&world).await;
        world.target.set_password(USER, "another one");
    };
    let (ran, ()) = tokio::join!(world.try_migrate(), change);
    assert!(refused(ran.unwrap_err()));
    assert_eq!(world.target.counters().refused_logins, 1);
    // Between runs.
    assert!(refused(world.try_migrate().await.unwrap_err()));
    assert_eq!(world.target.counters().refused_logins, 2);
    world.target.set_password(USER, PASSWORD);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 6)]));
    assert_eq!(world.held().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_dies_in_the_middle_of_a_run_is_replaced_and_the_run_goes_on() {
    let mut world =
        world_of(Profile { mechanisms: vec!["XOAUTH2"], ..Profile::default() }, some(&letters(7)));
    world.credentials = Some(Tokens::new(&["new", "old"]));
    world.target.set_token("old", Some(USER));
    let expire = async {
        in_the_second_append(&world).await;
        world.target.set_token("old", None);
        world.target.set_token("new", Some(USER));
    };
    let (ran, ()) = tokio::join!(world.try_migrate(), expire);
    ran.unwrap();
    assert_eq!(world.target.counters().refused_logins, 1);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 7)]));
    assert_eq!(world.held().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn mailboxes_of_one_uidvalidity_are_told_apart() {
    let world = world_of(Profile::default(), some(&letters(3)));
    world.source.create(USER, "Work", None, true);
    (10..13).for_each(|n| _ = world.source.deliver(USER, "Work", message(n), "", DATE));
    for side in [&world.source, &world.target] {
        for mailbox in ["INBOX", "Work"] {
            side.create(USER, mailbox, None, true);
            side.change(USER, mailbox, |m| m.uid_validity = 7);
        }
    }
    world.migrate().await;
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 6)]));
    assert_eq!(world.octets("INBOX"), crate::wire::octets(&world.source, "INBOX"));
    assert_eq!(world.octets("Work"), crate::wire::octets(&world.source, "Work"));
}

#[tokio::test(start_paused = true)]
async fn other_messages_under_the_old_uids_of_a_new_epoch_are_copied_and_the_known_ones_are_not() {
    let world = world_of(Profile::default(), some(&letters(3)));
    world.migrate().await;
    // 1 goes, so that 2 and 3 are 1 and 2 in the new epoch; a new one is 3.
    world.source.expunge(USER, "INBOX", 1);
    world.source.deliver(USER, "INBOX", message(9), "", DATE);
    world.source.act(USER, &Deed::NewEpoch { mailbox: "INBOX".into() });
    world.migrate().await;
    assert_eq!(world.target.counters().appended, 4);
    assert_eq!(world.octets("INBOX")[3], message(9).as_bytes());
    // What is gone at the source stays proven at the target.
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 4)]));
}

#[tokio::test(start_paused = true)]
async fn flags_that_the_user_sets_at_the_target_stay_as_they_are() {
    let world = world_of(Profile::default(), some(&letters(3)));
    world.migrate().await;
    world.target.set_flags(USER, "INBOX", 2, "\\Flagged $Forwarded");
    world.source.set_flags(USER, "INBOX", 2, "\\Answered");
    world.migrate().await;
    world.verify().await;
    let held = world.held();
    let flags: Vec<&str> = held.iter().flat_map(|(_, _, flags, _)| flags).map(String::as_str).collect();
    assert_eq!(flags, ["\\Seen", "$Forwarded", "\\Flagged", "\\Seen"]);
    assert_eq!(world.target.counters().commands.get("STORE"), None);
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_highestmodseq_that_goes_backwards_or_is_missing_hides_nothing() {
    for condstore in [true, false] {
        let world = world_of(Profile::default(), some(&letters(3)));
        world.source.set(|profile| profile.condstore = condstore);
        world.migrate().await;
        // As after a restored backup: the number of before, and another message in the place of one.
        world.source.change(USER, "INBOX", |m| m.highest_mod_seq -= 2);
        world.source.deliver(USER, "INBOX", message(9), "", DATE);
        world.source.change(USER, "INBOX", |m| m.highest_mod_seq -= 1);
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 4)]), "condstore {condstore}");
    }
}
