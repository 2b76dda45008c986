//! What servers ask for by refusing, over the wire and a paused clock: waits in every spelling, at every command, seen while
//! they last and told afterwards; trouble that passes, and trouble that is one message; what may pass in a day.

use crate::late::{DATE, message};
use crate::wire::{USER, World};
use bytes::Bytes;
use mailhaul_engine::config::Daily;
use mailhaul_engine::error::{Error, RefusalClass};
use mailhaul_engine::journal::{Note, State};
use mailhaul_engine::progress::{Progress, SideName, WaitReason};
use mailhaul_engine::quirks::{TextRow, texts};
use mailhaul_sandbox::{Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const EXCHANGE: &str = "The Microsoft Exchange IMAP4 service is ready. [TABPAE4AUAAxADIA]";

fn letter(n: i64) -> Bytes {
    Bytes::from(message(n))
}

/// An INBOX of so many messages.
fn inbox(messages: i64) -> World {
    let world = World::new(Profile::default());
    (0..messages).for_each(|n| _ = world.source.deliver(USER, "INBOX", letter(n), "\\Seen", DATE));
    world
}

async fn all_moved(world: &World, messages: usize, case: &str) {
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, messages)]), "{case}");
    let mut held = world.octets("INBOX");
    held.sort();
    let mut wanted: Vec<Bytes> = (0..messages as i64).map(letter).collect();
    wanted.sort();
    assert_eq!(held, wanted, "{case}");
}

/// Remarks of this kind in the report.
async fn remarks(world: &World, kind: &str) -> Vec<String> {
    let shown = world.report().await.remarks.shown;
    shown.into_iter().filter(|r| r.kind == kind).map(|r| r.text).collect()
}

/// The waits that were told for this reason: side, server, seconds.
fn waits(told: &[Progress], wanted: WaitReason) -> Vec<(SideName, String, u64)> {
    let wait = |event: &Progress| match event {
        Progress::Waiting { side, server, reason, seconds, .. } if *reason == wanted => {
            Some((*side, server.clone(), *seconds))
        }
        _ => None,
    };
    told.iter().filter_map(wait).collect()
}

/// Every documented spelling of "not so fast", with the wait it names, in seconds.
const SPELLINGS: &[(&str, Option<u64>)] = &[
    ("NO Request is throttled. Suggested Backoff Time: 89117 milliseconds", Some(89)),
    ("BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds", Some(89)),
    ("NO [LIMIT] Rate limit hit", None),
    ("NO [LIMIT] whatever these words are", None),
    ("NO [THROTTLED] slow down", None),
    ("NO [ALERT] Too many simultaneous connections. (Failure)", None),
    (
        "NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
        None,
    ),
    ("NO Server Unavailable. 15", None),
    ("NO Too many requests, try again in 2 minutes", Some(120)),
    ("NO Too many connections", None),
    ("BAD Your rate limit is exceeded", None),
    ("NO SELECT throttled", None),
    ("NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", Some(3600)),
];

#[tokio::test(start_paused = true)]
async fn throttling_in_every_spelling_is_waited_for_at_every_command_seen_and_reported() {
    for (words, named) in SPELLINGS {
        for verb in ["AUTHENTICATE", "LOGIN", "EXAMINE", "FETCH", "APPEND"] {
            for at_target in [false, true] {
                let world = inbox(4);
                let server = if at_target { &world.target } else { &world.source };
                if verb == "LOGIN" {
                    server.set(|p| p.mechanisms.clear());
                }
                server.plan(Planned::once(Trigger::Verb(verb, 1), Fault::Answer((*words).to_owned())));
                let began = Instant::now();
                let told = world.migrate_and_listen().await;
                let case = format!("{words}: {verb}, at the target: {at_target}");
                if server.struck().is_empty() {
                    assert!(verb == "APPEND" && !at_target, "{case}");
                    continue;
                }
                all_moved(&world, 4, &case).await;
                assert_eq!(server.counters().refused_logins, 0, "{case}");
                let asked = waits(&told, WaitReason::Asked);
                assert_eq!(asked.len(), 1, "{case}: {told:?}");
                let side = if at_target { SideName::Target } else { SideName::Source };
                assert_eq!(asked[0].0, side, "{case}");
                let least = Duration::from_secs(named.unwrap_or(1));
                assert!(began.elapsed() >= least, "{case}: {:?}", began.elapsed());
                assert!(began.elapsed() < least * 2 + 10 * SECOND, "{case}: {:?}", began.elapsed());
                let reported = remarks(&world, "waited").await;
                assert_eq!(reported.len(), 1, "{case}: {reported:?}");
                assert!(reported[0].contains("asked to wait once"), "{case}: {reported:?}");
            }
        }
    }
}

/// What is asked for of an account, at either side.
const ASKED: &[&str] =
    &["NAMESPACE", "LIST", "LSUB", "STATUS", "SEARCH", "CREATE", "SUBSCRIBE", "EXAMINE", "FETCH", "APPEND"];
/// Commands of a kind that are tried, one by one.
const EACH_MAX: u64 = 5;

/// Mailboxes of [`wordy`], each of which is listed for the last time.
const LAST_TOGETHER: u64 = 2;

/// Neither side tells all in one answer, nothing is in one batch, and a mailbox is subscribed.
fn wordy() -> World {
    let bare = || Profile {
        list_extended: false,
        list_status: false,
        status_size: false,
        multiappend: false,
        ..Profile::default()
    };
    let mut world = World::between(bare(), Profile { append_limit: Some(100_000), ..bare() });
    // One after the other, so that each run asks the same.
    world.connections = 1;
    (0..4).for_each(|n| _ = world.source.deliver(USER, "INBOX", letter(n), "\\Seen", DATE));
    world.source.create(USER, "Work", None, true);
    world
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_for_at_every_command_and_not_the_first_of_its_kind_alone() {
    let calm = wordy();
    calm.migrate().await;
    let asked = [calm.source.counters().commands, calm.target.counters().commands];
    let often = |verb: &str, at_target: bool| asked[usize::from(at_target)].get(verb).copied().unwrap_or(0);
    for verb in ASKED {
        assert!(often(verb, false) + often(verb, true) > 0, "{verb} is asked at neither side");
        for at_target in [false, true] {
            // What is refused while the target's mailboxes are listed together for the last time is asked for again by itself, at
            // once: only a second refusal is waited for.
            let together = at_target && matches!(*verb, "EXAMINE" | "FETCH");
            let all = often(verb, at_target).saturating_sub(if together { LAST_TOGETHER } else { 0 });
            for nth in 1..=all.min(EACH_MAX) {
                throttled_once(verb, nth, at_target).await;
            }
        }
    }
}

/// One command is refused once with a time: it is waited for, once, and nothing is lost.
async fn throttled_once(verb: &'static str, nth: u64, at_target: bool) {
    let world = wordy();
    let server = if at_target { &world.target } else { &world.source };
    let words = "NO Request is throttled. Suggested Backoff Time: 89117 milliseconds";
    server.plan(Planned::once(Trigger::Verb(verb, nth), Fault::Answer(words.to_owned())));
    let began = Instant::now();
    let told = world.migrate_and_listen().await;
    let case = format!("{verb} {nth}, at the target: {at_target}");
    assert_eq!(server.struck().len(), 1, "{case}");
    all_moved(&world, 4, &case).await;
    let work = world.target.snapshot(USER).into_iter().find(|m| m.name == "Work");
    assert_eq!(work.map(|m| m.subscribed), Some(true), "{case}");
    assert!(began.elapsed() >= 89 * SECOND, "{case}: {:?}", began.elapsed());
    let side = if at_target { SideName::Target } else { SideName::Source };
    let asked = waits(&told, WaitReason::Asked);
    assert!(asked.len() == 1 && asked[0].0 == side, "{case}: {told:?}");
    assert_eq!(remarks(&world, "waited").await.len(), 1, "{case}");
}

#[test]
fn no_throttling_that_is_known_is_left_out_of_the_spellings() {
    let asks = |row: &&TextRow| {
        matches!(
            row.class,
            RefusalClass::Throttled(_) | RefusalClass::ThrottledOrFull | RefusalClass::SpentToday
        )
    };
    for row in texts().iter().filter(asks) {
        let tried = SPELLINGS.iter().any(|(words, _)| words.to_ascii_lowercase().contains(row.words));
        assert!(tried, "{} is tried at no command", row.words);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_named_as_people_know_it_from_the_first_word_on() {
    for verb in ["AUTHENTICATE", "APPEND"] {
        let world = inbox(4);
        world.target.set(|p| p.greeting = EXCHANGE.to_owned());
        let words = "BAD Request is throttled. Suggested Backoff Time: 60000 milliseconds".to_owned();
        world.target.plan(Planned::once(Trigger::Verb(verb, 1), Fault::Answer(words)));
        let told = world.migrate_and_listen().await;
        let asked = waits(&told, WaitReason::Asked);
        assert_eq!(
            asked,
            [(SideName::Target, "Microsoft 365".to_owned(), 66)],
            "{verb}: a tenth more than asked"
        );
        let reported = remarks(&world, "waited").await;
        assert_eq!(reported, ["Microsoft 365 asked to wait once, 1 min 6 s in all"], "{verb}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_words_of_a_connection_are_obeyed_like_a_refusal() {
    let named = "Request is throttled. Suggested Backoff Time: 600000 milliseconds";
    for (words, least) in [(named, 600), ("[LIMIT] whatever these words are", 1)] {
        for (verb, nth, at_target) in
            [("EXAMINE", 1, false), ("FETCH", 2, false), ("APPEND", 1, true), ("EXAMINE", 2, true)]
        {
            let world = inbox(7);
            let server = if at_target { &world.target } else { &world.source };
            server.plan(Planned::once(Trigger::Verb(verb, nth), Fault::Bye(words.to_owned())));
            let began = Instant::now();
            let told = world.migrate_and_listen().await;
            let case = format!("{words}: {verb} {nth}, at the target: {at_target}");
            assert_eq!(server.struck().len(), 1, "{case}");
            all_moved(&world, 7, &case).await;
            assert!(!waits(&told, WaitReason::Asked).is_empty(), "{case}: {told:?}");
            assert!(began.elapsed() >= least * SECOND, "{case}: {:?}", began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_longer_than_a_day_is_not_waited_for() {
    let world = inbox(1);
    let words = "NO Request is throttled. Suggested Backoff Time: 999999999 milliseconds".to_owned();
    world.source.plan(Planned::once(Trigger::Verb("EXAMINE", 1), Fault::Answer(words)));
    let began = Instant::now();
    let end = world.try_migrate().await;
    assert!(matches!(end, Err(Error::Source(_))), "{end:?}");
    assert!(began.elapsed() < HOUR, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn hours_of_refusals_for_a_day_that_is_spent_cost_time_and_no_message() {
    for (verb, at_target) in [("FETCH", false), ("APPEND", true)] {
        let world = inbox(4);
        let server = if at_target { &world.target } else { &world.source };
        let spent = "NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)".to_owned();
        (1..=12)
            .for_each(|n| server.plan(Planned::once(Trigger::Verb(verb, n), Fault::Answer(spent.clone()))));
        let began = Instant::now();
        world.migrate().await;
        all_moved(&world, 4, verb).await;
        assert!(began.elapsed() >= 10 * HOUR, "{verb}: {:?}, {:?}", began.elapsed(), server.struck());
        assert_eq!(world.report().await.exit_code(), 0, "{verb}: not a full mailbox");
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_spent_while_it_is_looked_is_waited_for_as_well() {
    for (verb, at_target) in
        [("STATUS", false), ("STATUS", true), ("LSUB", false), ("LSUB", true), ("SEARCH", false)]
    {
        let world = wordy();
        let server = if at_target { &world.target } else { &world.source };
        server.plan(Planned::once(Trigger::Verb(verb, 1), Fault::Answer("NO [OVERQUOTA] x".to_owned())));
        world.migrate().await;
        assert_eq!(server.struck().len(), 1, "{verb}, at the target: {at_target}");
        all_moved(&world, 4, verb).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_namespace_always_fails_is_used_without_it_and_that_is_said() {
    for words in ["[SERVERBUG] x", "[UNAVAILABLE] x", "[INUSE] x"] {
        for at_target in [false, true] {
            let world = inbox(3);
            let server = if at_target { &world.target } else { &world.source };
            let refused =
                |n| Planned::once(Trigger::Verb("NAMESPACE", n), Fault::Answer(format!("NO {words}")));
            (1..=99).for_each(|n| server.plan(refused(n)));
            let plan = world.plan().await;
            let side = if at_target { "new" } else { "old" };
            let said = format!("which folders belong to other people is not told by the {side} server");
            assert!(plan.remarks.iter().any(|one| one.contains(&said)), "{words}: {:?}", plan.remarks);
            world.migrate().await;
            all_moved(&world, 3, words).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whose_mailboxes_are_is_asked_again_where_it_was_refused_in_passing() {
    for words in ["[SERVERBUG] x", "[UNAVAILABLE] x"] {
        let shares = Profile { foreign_namespaces: r#"NIL (("Shared/" "/"))"#, ..Profile::default() };
        let mut world = World::between(shares, Profile::default());
        world.accepts = true;
        for (n, name) in [(1, "INBOX"), (2, "Shared/all")] {
            world.source.create(USER, name, None, true);
            world.source.deliver(USER, name, letter(n), "", DATE);
        }
        world.source.plan(Planned::once(Trigger::Verb("NAMESPACE", 1), Fault::Answer(format!("NO {words}"))));
        let plan = world.plan().await;
        assert!(
            plan.will_not_move.iter().any(|one| one.what.contains("shared by many")),
            "{words}: {plan:?}"
        );
        let again = Fault::Answer(format!("NO {words}"));
        let asked = world.source.counters().commands["NAMESPACE"];
        world.source.plan(Planned::once(Trigger::Verb("NAMESPACE", asked + 1), again));
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 1)]), "{words}");
        assert_eq!(world.source.struck().len(), 2, "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn how_much_is_in_a_mailbox_of_others_or_that_nobody_needs_is_not_waited_for() {
    let shares = || Profile {
        list_status: false,
        foreign_namespaces: r#"NIL (("Shared/" "/"))"#,
        ..Profile::default()
    };
    let mut world = World::between(shares(), shares());
    world.accepts = true;
    (0..3).for_each(|n| _ = world.source.deliver(USER, "INBOX", letter(n), "", DATE));
    world.source.create(USER, "Shared/all", None, true);
    ["Other", "Shared/all"].iter().for_each(|name| world.target.create(USER, name, None, true));
    let refused = || Fault::Answer("NO [UNAVAILABLE] x".to_owned());
    // After that of INBOX; and a mailbox that is not counted by STATUS is opened.
    world.source.plan(Planned::once(Trigger::Verb("STATUS", 2), refused()));
    world.source.plan(Planned::once(Trigger::Verb("EXAMINE", 1), refused()));
    (2..=3).for_each(|n| world.target.plan(Planned::once(Trigger::Verb("STATUS", n), refused())));
    let began = Instant::now();
    let told = world.migrate_and_listen().await;
    assert_eq!((world.source.struck().len(), world.target.struck().len()), (2, 2));
    assert!(waits(&told, WaitReason::Trouble).is_empty() && began.elapsed() < 5 * SECOND, "{told:?}");
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_unavailable_is_waited_for_and_at_last_left_alone() {
    for (times, left) in [(3, 0), (100, 1)] {
        let world = inbox(3);
        world.source.create(USER, "Work", None, true);
        world.source.deliver(USER, "Work", letter(9), "", DATE);
        let words = "NO [UNAVAILABLE] Backend error".to_owned();
        // The survey opens nothing: each EXAMINE is that of a listing.
        let refused = |n| Planned::once(Trigger::Verb("EXAMINE", n), Fault::Answer(words.clone()));
        (1..=times).for_each(|n| world.source.plan(refused(n)));
        let mut world = world;
        world.connections = 1;
        let end = world.migrate().await;
        assert_eq!(!end.left.is_empty(), left > 0, "{times}: {:?}", end.left);
        if left == 0 {
            assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 4)]));
        } else {
            assert!(end.left.iter().all(|(_, why)| why.contains("Backend error")), "{:?}", end.left);
            assert_eq!(world.report().await.exit_code(), 5, "incomplete, and it says so");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_unavailable_for_minutes_makes_no_exceptions() {
    for times in [3, 8] {
        let world = inbox(20);
        let words = "[UNAVAILABLE] UID FETCH Server error while fetching messages".to_owned();
        world.source.plan(Planned { at: Trigger::Next, fault: Fault::RefuseFetch(words), times });
        world.migrate().await;
        all_moved(&world, 20, &format!("{times} refusals")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_refuses_everything_without_a_reason_is_given_up_and_single_messages_are_not() {
    let world = World::new(Profile { refuse: Some(Bytes::from_static(b"unwanted")), ..Profile::default() });
    let unwanted = |n: usize| Bytes::from(format!("Subject: {n}\r\n\r\nunwanted {n}\r\n"));
    (0..60).for_each(|n| _ = world.source.deliver(USER, "INBOX", unwanted(n), "", DATE));
    let end = world.try_migrate().await;
    let Err(Error::RefusesAll { refused, refusal }) = &end else { panic!("{end:?}") };
    assert_eq!((*refused, refusal.text.as_str()), (51, "Message is not welcome"));
    let few = World::new(Profile { refuse: Some(Bytes::from_static(b"unwanted")), ..Profile::default() });
    (0..40).for_each(|n| _ = few.source.deliver(USER, "INBOX", unwanted(n), "", DATE));
    few.migrate().await;
    assert_eq!(few.states().await, BTreeMap::from([(State::Exception, 40)]), "each is listed");
}

/// So many messages of 1000 octets.
fn heavy(messages: usize) -> World {
    heavy_at(Profile::default(), messages)
}

fn heavy_at(source: Profile, messages: usize) -> World {
    let world = World::between(source, Profile::default());
    for n in 0..messages {
        let head = format!("Subject: {n}\r\n\r\n");
        let octets = format!("{head}{}\r\n", "x".repeat(998 - head.len()));
        world.source.deliver(USER, "INBOX", octets, "", DATE);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_in_a_day_is_kept_to_and_waited_for_visibly() {
    for at_target in [false, true] {
        let mut world = heavy(25);
        let daily: Daily = "10000".parse().unwrap();
        world.daily = if at_target { (Daily::Known, daily) } else { (daily, Daily::Known) };
        let server = if at_target { world.target.clone() } else { world.source.clone() };
        let passed = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = passed.clone();
        let watching = tokio::spawn(async move {
            loop {
                let (given, taken) = server.octets_passed();
                seen.lock().unwrap().push(if at_target { taken } else { given });
                tokio::time::sleep(HOUR).await;
            }
        });
        let began = Instant::now();
        let told = world.migrate_and_listen().await;
        watching.abort();
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 25)]));
        let days = began.elapsed().as_secs_f64() / 86_400.0;
        assert!((2.0..2.5).contains(&days), "25,000 octets at 10,000 a day: {days} days");
        let passed = passed.lock().unwrap().clone();
        for from in 0..passed.len() {
            let until = (from + 23).min(passed.len() - 1);
            // A batch of three, or a range, goes whole.
            assert!(passed[until] - passed[from] < 14_000, "{} in a day", passed[until] - passed[from]);
        }
        let waited = waits(&told, WaitReason::Day);
        assert!((2..=4).contains(&waited.len()), "said once for each day: {waited:?}");
        let forecast = told.iter().find_map(|event| match event {
            Progress::Forecast { octets_per_day, seconds, .. } => Some((*octets_per_day, *seconds)),
            _ => None,
        });
        let (per_day, seconds) = forecast.expect("it is said before how long it takes");
        assert_eq!(per_day, 10_000);
        assert!(
            seconds.abs_diff(began.elapsed().as_secs()) < 7200,
            "{seconds} s told, {:?} taken",
            began.elapsed()
        );
        assert_eq!(remarks(&world, "waited").await, [""; 0], "nobody asked");
    }
}

#[tokio::test(start_paused = true)]
async fn where_sizes_are_not_told_the_days_are_forecast_from_what_is_in_use_of_the_old_quota() {
    let quota_octets = Some(1 << 30);
    for source in [
        Profile { status_size: false, quota_octets, ..Profile::default() },
        Profile { quota_octets, ..Profile::gmail() },
    ] {
        let mut world = heavy_at(source, 25);
        (world.daily, world.accepts) = ((Daily::Known, "10000".parse().unwrap()), true);
        let began = Instant::now();
        let told = world.migrate_and_listen().await;
        let forecast = told.iter().find_map(|event| match event {
            Progress::Forecast { octets_per_day, seconds, estimated: true, .. } => {
                Some((*octets_per_day, *seconds))
            }
            _ => None,
        });
        let (per_day, seconds) = forecast.expect("it is said before how long it takes");
        assert_eq!(per_day, 10_000);
        let taken = began.elapsed();
        assert!(seconds.abs_diff(taken.as_secs()) < 7200, "{seconds} s told, {taken:?} taken");
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_run_of_the_day_moved_counts_too() {
    let mut world = heavy(6);
    world.daily.1 = "10000".parse().unwrap();
    world.migrate().await;
    for n in 0..12 {
        let octets = format!("Subject: more {n}\r\n\r\n{}\r\n", "y".repeat(900));
        world.source.deliver(USER, "INBOX", octets, "", DATE);
    }
    let began = Instant::now();
    let told = world.migrate_and_listen().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 18)]));
    assert!(began.elapsed() >= 23 * HOUR, "{:?}", began.elapsed());
    assert_eq!(waits(&told, WaitReason::Day).len(), 1, "{told:?}");
    let forecast = told.iter().find_map(|event| match event {
        Progress::Forecast { seconds, .. } => Some(*seconds),
        _ => None,
    });
    let seconds = forecast.expect("of what is left, with what is spent");
    assert!(
        seconds.abs_diff(began.elapsed().as_secs()) < 7200,
        "{seconds} s told, {:?} taken",
        began.elapsed()
    );
    let spent = |n: &Note| n.kind.starts_with("spent:");
    assert!(world.notes().await.iter().any(spent), "for the next run");
    assert!(
        world.report().await.remarks.shown.iter().all(|r| !r.kind.starts_with("spent:")),
        "not for people"
    );
}

#[tokio::test(start_paused = true)]
async fn a_gmail_target_is_kept_to_its_day_unless_a_person_says_otherwise() {
    for (daily, known) in [(Daily::Known, true), (Daily::Unlimited, false)] {
        let mut world = heavy(2);
        world.target.set(|p| p.extra_capabilities.push("X-GM-EXT-1".into()));
        world.daily.1 = daily;
        let migration = world.migration();
        migration.migrate().await.unwrap();
        mailhaul_engine::journal::Journal::release(&migration.journal).await.unwrap();
        let notes = world.notes().await;
        let kinds: Vec<&str> =
            notes.iter().map(|n| n.kind.as_str()).filter(|kind| kind.starts_with("spent:")).collect();
        let wanted: &[&str] = if known { &["spent:target:up", "spent:target:down"] } else { &[] };
        assert_eq!(kinds, wanted, "{daily:?}");
    }
}
