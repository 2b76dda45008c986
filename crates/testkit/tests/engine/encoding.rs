//! T4 of the ladder over the wire: at a target that refuses octets outside ASCII in header fields, or destroys them, a message
//! goes with its header encoded where that was asked for, and never else.

use crate::late::{DATE, message};
use crate::wire::{USER, World};
use bytes::Bytes;
use mailhaul_engine::identity::Grade;
use mailhaul_engine::journal::{Journal, Ladder, State};
use mailhaul_sandbox::{Fault, LoneLf, Planned, Profile, Trigger};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const RAW: &str =
    "From: J\u{f6}rg <j@b.example>\r\nSubject: Gr\u{fc}\u{df}e\r\nX-a: b\r\n\r\nbody \u{fc}\r\n";
const ENCODED: &str = "From: =?utf-8?Q?J=C3=B6rg?= <j@b.example>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nX-a: b\r\n\r\n\
                       body \u{fc}\r\n";
const SAID: &str = "octets outside ASCII in its header were encoded; all else is untouched";

fn latin1() -> (Bytes, Bytes) {
    let [before, after] = [&b"Gr\xfc\xdfe"[..], b"=?unknown-8bit?Q?Gr=FC=DFe?="]
        .map(|subject| [b"From: a@b.example\r\nSubject: ", subject, b"\r\n\r\n\xfc\r\n"].concat().into());
    (before, after)
}

fn refusing() -> Profile {
    Profile { refuse_8bit_header: true, ..Profile::default() }
}

/// Cyrus with munge8bit.
pub fn munging(_: u32, octets: &[u8]) -> Vec<u8> {
    let end = octets.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(octets.len());
    let munged = |(at, octet): (usize, &u8)| if at < end && !octet.is_ascii() { b'X' } else { *octet };
    octets.iter().enumerate().map(munged).collect()
}

fn munges() -> Profile {
    Profile { rewrites: Some(munging), ..Profile::default() }
}

/// A source with these messages in its INBOX.
fn world(target: Profile, messages: impl IntoIterator<Item = impl Into<Bytes>>) -> World {
    let world = World::new(target);
    deliver(&world, messages);
    world
}

fn deliver(world: &World, messages: impl IntoIterator<Item = impl Into<Bytes>>) {
    messages.into_iter().for_each(|m| _ = world.source.deliver(USER, "INBOX", m, "\\Seen $Work", DATE));
}

/// State, grade, steps and reason of each message.
async fn found(world: &World) -> Vec<(State, Option<Grade>, Ladder, String)> {
    let items = world.items().await.into_iter();
    let of = |i: mailhaul_engine::journal::Item| {
        let ladder = i.sent.map(|s| s.ladder).unwrap_or_default();
        (i.state, i.grade, ladder, i.reason.map_or_else(String::new, |r| r.text))
    };
    items.map(of).collect()
}

fn octets(world: &World) -> Vec<Bytes> {
    let mut all: Vec<Bytes> = world.held().into_iter().map(|(_, octets, ..)| octets).collect();
    all.sort();
    all
}

fn sorted<const N: usize>(all: [&[u8]; N]) -> Vec<Bytes> {
    let mut all: Vec<Bytes> = all.into_iter().map(Bytes::copy_from_slice).collect();
    all.sort();
    all
}

fn encoded() -> (State, Option<Grade>, Ladder, String) {
    (State::Verified, Some(Grade::Semantic), Ladder::ENCODED, SAID.to_owned())
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_its_header_goes_encoded_where_that_is_asked_for() {
    for without in [&[][..], &["MULTIAPPEND"], &["UIDPLUS"]] {
        let (before, after) = latin1();
        let mut world = world(refusing(), [message(0).into(), Bytes::from(RAW), before, message(2).into()]);
        world.without = without.iter().map(|w| (*w).to_owned()).collect();
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2), (State::Exception, 2)]));
        let refused = world.exceptions().await;
        assert!(
            refused.iter().all(|(kind, words)| kind == "refused" && words.contains("non-ASCII")),
            "{refused:?}"
        );
        world.repair = true;
        world.migrate().await;
        let of_each = found(&world).await;
        assert_eq!(of_each[1..3], [encoded(), encoded()], "without {without:?}");
        let there = sorted([message(0).as_bytes(), ENCODED.as_bytes(), &after, message(2).as_bytes()]);
        assert_eq!(octets(&world), there);
        assert!(world.held().iter().all(|(_, _, flags, date)| (flags.len(), date.as_str()) == (2, DATE)));
        let report = world.report().await;
        assert_eq!((report.exit_code(), report.ladder.encoded, report.ladder.wrapped), (3, 2, 0));
        let said = report.summary_lines(None).join(" ");
        assert!(said.contains("2 messages have letters of the header encoded"), "{said}");
        // Later runs send nothing, with and without it, and read back the same.
        for repair in [true, false] {
            world.repair = repair;
            world.migrate().await;
            world.verify().await;
        }
        assert_eq!((world.held().len(), world.target.counters().appended), (4, 4));
        assert_eq!(found(&world).await, of_each);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_encoded_goes_inside_a_cover_message_untouched() {
    let in_an_id = "From: a@b.example\r\nMessage-ID: <\u{fc}@b.example>\r\nSubject: \u{fc}\r\n\r\nx\r\n";
    let mut world = world(refusing(), [in_an_id, RAW]);
    world.repair = true;
    world.migrate().await;
    let of_each: Vec<Ladder> = found(&world).await.into_iter().map(|(_, _, ladder, _)| ladder).collect();
    assert_eq!(of_each, [Ladder::WRAPPED, Ladder::ENCODED]);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2)]));
}

#[tokio::test(start_paused = true)]
async fn after_line_ends_the_header_is_encoded_and_after_both_it_is_the_original_that_is_wrapped() {
    let letter = "Subject: \u{fc}\r\n\r\none\ntwo\r\n";
    for (nul, ladder) in [(false, Ladder::LINE_ENDS.with(Ladder::ENCODED)), (true, Ladder::WRAPPED)] {
        let profile = Profile { lone_lf: LoneLf::Refuse, refuse_nul: true, ..refusing() };
        let letter = if nul { letter.replace("one", "o\0ne") } else { letter.to_owned() };
        let mut world = world(profile, [letter.clone()]);
        world.repair = true;
        world.migrate().await;
        let (state, grade, taken, text) = found(&world).await.swap_remove(0);
        assert_eq!((state, grade, taken), (State::Verified, Some(Grade::Semantic), ladder), "{text}");
        assert!(!text.contains("all else is untouched"), "{text}");
        assert_eq!(
            !nul,
            text.ends_with("its header were encoded; line feeds alone became line ends"),
            "{text}"
        );
        match nul {
            false => assert_eq!(octets(&world)[0], "Subject: =?utf-8?B?w7w=?=\r\n\r\none\r\ntwo\r\n"),
            true => {
                let line = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, letter);
                assert!(String::from_utf8_lossy(&octets(&world)[0]).contains(&line));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn flags_and_date_that_were_left_away_go_with_the_encoded_message() {
    let mut world = world(Profile::default(), [RAW]);
    (world.repair, world.connections) = (true, 1);
    // Words that nobody knows: keywords and date are left away first, and it is tried again.
    for nth in 1..=3 {
        let odd = Fault::RefuseAppend("Computer says no".into());
        world.target.plan(Planned::once(Trigger::Verb("APPEND", nth), odd));
    }
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 1)]), "{:?}", found(&world).await);
    let (_, octets, flags, date) = world.held().swap_remove(0);
    assert_eq!((octets, flags.len(), date.as_str()), (Bytes::from(ENCODED), 2, DATE));
    assert_eq!(found(&world).await, [encoded()]);
}

async fn probed(world: &World) {
    let mut migration = world.migration();
    migration.settings.probe = true;
    migration.check([None, None]).await.unwrap();
    migration.journal.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn where_a_probe_says_that_the_target_destroys_them_they_are_encoded_before_they_are_sent() {
    let (before, after) = latin1();
    let untouchable = Bytes::from("Subject: x\r\nReceived: \u{fc}\r\n\r\nx\r\n");
    let mut world = world(munges(), [Bytes::from(RAW), message(1).into(), before, untouchable]);
    world.repair = true;
    probed(&world).await;
    world.migrate().await;
    let of_each = found(&world).await;
    assert_eq!((&of_each[0], &of_each[2]), (&encoded(), &encoded()));
    assert_eq!((of_each[1].1, of_each[1].2), (Some(Grade::Exact), Ladder::default()));
    // Nothing can be done for that one: it is told, as without a repair.
    assert!(of_each[3].3.contains("in received 2 octets outside ASCII were replaced"), "{of_each:?}");
    assert_eq!(of_each[3].2, Ladder::default());
    let there = sorted([
        ENCODED.as_bytes(),
        message(1).as_bytes(),
        &after,
        b"Subject: x\r\nReceived: XX\r\n\r\nx\r\n",
    ]);
    assert_eq!(octets(&world), there);
    assert_eq!(world.report().await.ladder.encoded, 2);
}

#[tokio::test(start_paused = true)]
async fn without_the_request_nothing_is_encoded_whatever_a_probe_says() {
    let world = world(munges(), [RAW]);
    probed(&world).await;
    world.migrate().await;
    let (state, grade, ladder, text) = found(&world).await.swap_remove(0);
    assert_eq!((state, grade, ladder), (State::Exception, Some(Grade::Damaged), Ladder::default()));
    assert!(text.contains("in subject 4 octets outside ASCII were replaced"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_keeps_them_gets_them_as_they_are_also_with_the_request() {
    let mut world = world(Profile::default(), [RAW]);
    world.repair = true;
    probed(&world).await;
    world.migrate().await;
    let (state, grade, ladder, _) = found(&world).await.swap_remove(0);
    assert_eq!((state, grade, ladder), (State::Verified, Some(Grade::Exact), Ladder::default()));
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_to_be_destroyed_is_remembered_and_an_encoded_one_comes_beside_the_damaged_copy() {
    let mut world = world(munges(), [RAW]);
    world.migrate().await;
    let notes = world.notes().await;
    assert_eq!(notes.iter().filter(|n| n.kind == "header_munged").count(), 1, "{notes:?}");
    world.repair = true;
    deliver(&world, [latin1().0]);
    world.migrate().await;
    assert_eq!(found(&world).await, [encoded(), encoded()]);
    let left = munging(0, RAW.as_bytes());
    assert_eq!(octets(&world), sorted([ENCODED.as_bytes(), &latin1().1, &left]), "the damaged copy is left");
    assert_eq!(world.target.counters().appended, 3);
    assert_eq!(world.report().await.exit_code(), 3);
}

/// Whether the server of one test destroys them now.
static MUNGES_NOW: AtomicBool = AtomicBool::new(false);

fn munging_now(uid: u32, octets: &[u8]) -> Vec<u8> {
    if MUNGES_NOW.load(Ordering::Relaxed) { munging(uid, octets) } else { octets.to_vec() }
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_after_a_probe_counts_more_than_it_and_a_later_probe_more_than_that() {
    let mut world = World::new(Profile { rewrites: Some(munging_now), ..Profile::default() });
    let letter = |world: &World, x: String| deliver(world, [RAW.replace("X-a: b", &format!("X-a: {x}"))]);
    // The server is set up otherwise after a probe, and back before the next one; twice.
    for n in 1..=2 {
        probed(&world).await;
        world.repair = true;
        letter(&world, format!("{n} kept"));
        world.migrate().await;
        assert_eq!(found(&world).await.last().map(|l| l.2), Some(Ladder::default()), "{n}");
        MUNGES_NOW.store(true, Ordering::Relaxed);
        letter(&world, format!("{n} destroyed"));
        world.migrate().await;
        assert_eq!(found(&world).await.last().map(|l| l.0), Some(State::Exception), "{n}");
        letter(&world, format!("{n} after that"));
        world.migrate().await;
        assert_eq!(found(&world).await.last(), Some(&encoded()), "{n}");
        MUNGES_NOW.store(false, Ordering::Relaxed);
    }
    assert_eq!(world.notes().await.iter().filter(|n| n.kind == "header_munged").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_would_be_too_large_encoded_goes_as_it_is() {
    for (more, ladder) in [(0, Ladder::default()), (ENCODED.len() - RAW.len(), Ladder::ENCODED)] {
        let limit = (RAW.len() + more) as u64;
        let small = "From: a@b.example\r\nSubject: \u{fc}\r\n\r\nx\r\n";
        let mut world = world(Profile { append_limit: Some(limit), ..munges() }, [small]);
        world.migrate().await;
        world.repair = true;
        deliver(&world, [RAW]);
        world.migrate().await;
        let (state, _, taken, text) = found(&world).await.swap_remove(1);
        // Of the small one the damaged copy, and an encoded one.
        assert_eq!((world.held().len(), taken), (3, ladder), "{state:?} {text}");
    }
}

/// A server that says in each message under what UID it came, and refuses octets outside ASCII in headers.
fn stamping(uid: u32, octets: &[u8]) -> Vec<u8> {
    [format!("X-Stored-As: {uid}\r\n").as_bytes(), octets].concat()
}

#[tokio::test(start_paused = true)]
async fn an_encoded_message_in_doubt_is_recognised_and_not_sent_twice() {
    for rewrites in [None, Some(stamping as fn(u32, &[u8]) -> Vec<u8>)] {
        for fault in [Fault::DropAfterStore, Fault::DropBeforeStore] {
            let mut world = world(Profile { rewrites, ..refusing() }, [RAW]);
            (world.repair, world.connections) = (true, 1);
            // The message as it is, which is refused; then as it is encoded.
            world.target.plan(Planned::once(Trigger::Verb("APPEND", 2), fault.clone()));
            world.migrate().await;
            assert_eq!(world.target.struck().len(), 1);
            assert_eq!(world.held().len(), 1, "{fault:?}");
            let (state, grade, ladder, text) = found(&world).await.swap_remove(0);
            assert_eq!((state, grade, ladder), (State::Verified, Some(Grade::Semantic), Ladder::ENCODED));
            let added = if rewrites.is_some() { "; x-stored-as was added (16 octets)" } else { "" };
            assert_eq!(text, format!("{SAID}{added}"), "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_another_uidvalidity_an_encoded_message_is_found_again() {
    let mut world = world(refusing(), [RAW]);
    world.repair = true;
    world.migrate().await;
    world.target.act(USER, &mailhaul_sandbox::Deed::NewEpoch { mailbox: "INBOX".into() });
    world.migrate().await;
    assert_eq!(world.target.counters().appended, 1);
    assert_eq!(found(&world).await, [encoded()]);
}
