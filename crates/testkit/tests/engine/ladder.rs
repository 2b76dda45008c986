//! The steps of the ladder that change what goes with a message (T2 without keywords, T3 without a date), climbed over the
//! wire after the refusals of real servers: what is sent, what is stored, and what the report says of it.

use crate::late::message;
use crate::wire::{USER, World, overheard};
use bytes::Bytes;
use mailhaul_engine::journal::{Ladder, State};
use mailhaul_sandbox::Profile;
use std::collections::BTreeMap;

const DATE: &str = "03-Mar-2020 10:11:12 +0000";
const OLD: &str = "01-Jan-1900 00:00:00 +0000";
/// What the embedded server makes of a message without a date.
const SERVERS_OWN: &str = "01-Jan-2026 00:00:00 +0000";

/// The flags and dates of the single APPENDs that a client sent, in order, as written.
fn appends(said: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(said);
    let of = |line: &str| {
        let (_, rest) = line.split_once(" APPEND INBOX ")?;
        Some(rest.rsplit_once('{')?.0.trim_end().to_owned())
    };
    text.lines().filter_map(of).collect()
}

/// Moves an INBOX of two plain messages and one with these flags and this date to a server that refuses what the profile
/// says. Returns the world, and what was sent of the message in the middle.
async fn moved(target: Profile, flags: &str, date: &str, without: &[&str]) -> (World, Vec<String>) {
    let mut world = World::new(target);
    world.connections = 1;
    world.without = without.iter().map(|w| (*w).to_owned()).collect();
    world.source.deliver(USER, "INBOX", message(0), "\\Seen $Work", DATE);
    world.source.deliver(USER, "INBOX", message(1), flags, date);
    world.source.deliver(USER, "INBOX", message(2), "\\Seen $Work", DATE);
    let (way, said) = overheard(&world.target);
    world.target_dialer = Some(way);
    world.migrate().await;
    let plain = format!("(\\Seen $Work) \"{DATE}\"");
    let sent = appends(&said.lock().unwrap()).into_iter().filter(|line| *line != plain).collect();
    (world, sent)
}

/// The message in the middle arrived once, with these flags and this date, after these steps; the others as they were.
async fn arrived(world: &World, flags: &[&str], date: &str, steps: &[Ladder], case: &str) {
    let stored = |n: i64, flags: &[&str], date: &str| {
        let flags: Vec<String> = flags.iter().map(|f| (*f).to_owned()).collect();
        ("INBOX".to_owned(), Bytes::from(message(n)), flags, date.to_owned())
    };
    let plain = ["$Work", "\\Seen"];
    let wanted = vec![stored(0, &plain, DATE), stored(1, flags, date), stored(2, &plain, DATE)];
    assert_eq!(world.held(), wanted, "{case}");
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]), "{case}");
    let taken = steps.iter().fold(Ladder::default(), |all, step| all.with(*step));
    let ladders: Vec<Ladder> = world.items().await.into_iter().map(|i| i.sent.unwrap().ladder).collect();
    assert_eq!(ladders, [Ladder::default(), taken, Ladder::default()], "{case}");
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_keyword_is_refused_goes_without_keywords_and_the_report_counts_it() {
    for words in [
        // Cyrus, Dovecot, and a server that does not say why.
        "Too many user flags in mailbox",
        "[CANNOT] Keyword length too long",
        "because",
    ] {
        for without in [&[][..], &["MULTIAPPEND"]] {
            let refuse_flag = Some(("$Odd".to_owned(), words.to_owned()));
            let target = Profile { refuse_flag, ..Profile::default() };
            let (world, sent) = moved(target, "\\Seen \\Flagged $Odd $Work", DATE, without).await;
            let case = format!("{words}, without {without:?}");
            arrived(&world, &["\\Flagged", "\\Seen"], DATE, &[Ladder::NO_KEYWORDS], &case).await;
            let last = format!("(\\Seen \\Flagged) \"{DATE}\"");
            assert_eq!(sent.last(), Some(&last), "the system flags and the date stay, {case}: {sent:?}");
            if without.contains(&"MULTIAPPEND") {
                let first = format!("(\\Seen \\Flagged $Odd $Work) \"{DATE}\"");
                assert_eq!(sent, [first, last], "as it was first, {case}");
            }
            let report = world.report().await;
            assert_eq!(
                (report.differences.flags_not_sent, report.differences.dates_not_sent),
                (1, 0),
                "{case}"
            );
            assert_eq!((report.differences.flags, report.differences.dates), (0, 0), "{case}");
            let examples = report.difference_examples.shown;
            assert!(examples.len() == 1 && examples[0].uid == 2, "it is named, {case}: {examples:?}");
            let told = world.report().await.exit_code();
            assert_eq!(told, 3, "nobody was told before, {case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_date_is_refused_goes_without_a_date_and_the_report_counts_it() {
    for words in ["Invalid date-time in Append command", "Invalid internal date", "what?"] {
        for without in [&[][..], &["MULTIAPPEND"]] {
            let refuse_date = Some(("1900".to_owned(), words.to_owned()));
            let target = Profile { refuse_date, ..Profile::default() };
            let (world, sent) = moved(target, "\\Flagged", OLD, without).await;
            let case = format!("{words}, without {without:?}");
            arrived(&world, &["\\Flagged"], SERVERS_OWN, &[Ladder::NO_DATE], &case).await;
            assert_eq!(
                sent.last().map(String::as_str),
                Some("(\\Flagged)"),
                "the flags stay, {case}: {sent:?}"
            );
            if without.contains(&"MULTIAPPEND") {
                assert_eq!(sent, [format!("(\\Flagged) \"{OLD}\""), "(\\Flagged)".into()], "{case}");
            }
            let report = world.report().await;
            assert_eq!(
                (report.differences.flags_not_sent, report.differences.dates_not_sent),
                (0, 1),
                "{case}"
            );
            let examples = report.difference_examples.shown.iter();
            assert_eq!(examples.map(|e| e.uid).collect::<Vec<_>>(), [2], "it is named, {case}");
            assert_eq!(report.exit_code(), 3, "nobody was told before, {case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_keyword_and_date_are_refused_climbs_both_steps_and_loses_nothing_else() {
    for without in [&[][..], &["MULTIAPPEND"]] {
        let target = Profile {
            refuse_flag: Some(("$Odd".into(), "Invalid flag".into())),
            refuse_date: Some(("1900".into(), "Invalid date".into())),
            ..Profile::default()
        };
        let (world, sent) = moved(target, "\\Answered $Odd", OLD, without).await;
        let steps = [Ladder::NO_KEYWORDS, Ladder::NO_DATE];
        let case = format!("without {without:?}: {sent:?}");
        arrived(&world, &["\\Answered"], SERVERS_OWN, &steps, &case).await;
        assert_eq!(sent.last().map(String::as_str), Some("(\\Answered)"), "{case}");
        let differences = world.report().await.differences;
        assert_eq!((differences.flags_not_sent, differences.dates_not_sent), (1, 1), "{case}");
        // The run after it sends nothing.
        let appended = world.target.counters().appended;
        world.migrate().await;
        assert_eq!(world.target.counters().appended, appended, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_refused_for_its_octets_keeps_its_keywords_and_date_and_becomes_an_exception() {
    let target = Profile { refuse_bad_header: true, ..Profile::default() };
    let mut world = World::new(target);
    world.connections = 1;
    let bad = "no colon here\r\nSubject: x\r\n\r\n";
    world.source.deliver(USER, "INBOX", bad, "\\Seen $Work", DATE);
    let (way, said) = overheard(&world.target);
    world.target_dialer = Some(way);
    world.migrate().await;
    assert_eq!(appends(&said.lock().unwrap()), [format!("(\\Seen $Work) \"{DATE}\"")], "sent once, as it is");
    let exceptions = world.exceptions().await;
    assert_eq!(exceptions.len(), 1);
    assert!(exceptions[0].1.contains("Message contains invalid header"), "{exceptions:?}");
}

/// QUIRK: Cyrus 3.6.1 ends the connection where a MULTIAPPEND brings a mailbox more than 100 keywords, and says NO to the same
/// message alone (the matrix between real servers).
#[tokio::test(start_paused = true)]
async fn a_message_at_which_the_server_ends_the_connection_keeps_no_other_from_moving() {
    let mut world = World::new(Profile { keywords_max: Some(5), ..Profile::default() });
    world.limits.batch_messages_max = 100;
    world.connections = 1;
    for n in 0..12 {
        let flags = if n == 7 { "a b c d e f g" } else { "\\Seen $Work" };
        world.source.deliver(USER, "INBOX", message(n), flags, DATE);
    }
    assert_eq!(world.migrate().await.left, []);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]));
    assert_eq!(world.held().len(), 12);
    let items = world.items().await;
    let without: Vec<bool> =
        items.iter().map(|i| i.sent.as_ref().unwrap().ladder.has(Ladder::NO_KEYWORDS)).collect();
    assert_eq!(without, (0..12).map(|n| n == 7).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_cover_message_is_promised_for_what_it_can_carry_and_for_nothing_else() {
    let target = Profile {
        refuse_nul: true,
        refuse_flag: Some(("$Infected".into(), "message contains a virus".into())),
        ..Profile::default()
    };
    let mut world = World::new(target);
    for (octets, flags) in
        [(message(0), ""), (message(1), "$Infected"), ("Subject: nul\r\n\r\n\0\r\n".to_owned(), "")]
    {
        world.source.deliver(USER, "INBOX", octets, flags, DATE);
    }
    world.migrate().await;
    let mut kinds: Vec<String> = world.exceptions().await.into_iter().map(|(kind, _)| kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["forbidden", "refused"]);
    let said = world.report().await.summary_lines(None).join("\n");
    assert!(said.contains("1 message was refused; each can move inside a cover message"), "{said}");

    world.repair = true;
    world.migrate().await;
    let kinds: Vec<String> = world.exceptions().await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["forbidden"], "what was promised was done");
    assert!(!world.report().await.summary_lines(None).join("\n").contains("each can move"));
}

/// What Domino gives as the date of some messages (imapsync FAQ.Domino).
const NO_INSTANT: &str = "00-Jan-0000 00:00:00 +0000";

#[tokio::test(start_paused = true)]
async fn a_date_that_names_no_instant_moves_to_every_target_and_what_became_of_it_is_told() {
    let domino = |target: Profile| {
        let mut world = World::between(Profile::domino(), target);
        world.connections = 1;
        for (n, date) in [(0, DATE), (1, NO_INSTANT), (2, DATE)] {
            world.source.deliver(USER, "INBOX", message(n), "\\Seen", date);
        }
        world
    };
    let now = |date: &str| if date == NO_INSTANT { SERVERS_OWN.to_owned() } else { date.to_owned() };
    for (case, target, kept, not_sent, changed) in [
        ("kept", Profile::default(), NO_INSTANT, 0, 0),
        (
            "refused",
            Profile { refuse_date: Some(("0000 00".into(), "Invalid date".into())), ..Profile::default() },
            SERVERS_OWN,
            1,
            0,
        ),
        ("now", Profile { keeps_date: Some(now), ..Profile::default() }, SERVERS_OWN, 0, 1),
    ] {
        let world = domino(target);
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]), "{case}");
        let dates: Vec<String> = world.held().into_iter().map(|(.., date)| date).collect();
        assert_eq!(dates.iter().filter(|date| *date == kept).count(), 1, "{case}: {dates:?}");
        assert_eq!(dates.iter().filter(|date| *date == DATE).count(), 2, "{case}: {dates:?}");
        let report = world.report().await;
        let told = report.differences;
        assert_eq!((told.dates_not_sent, told.dates), (not_sent, changed), "{case}: {told:?}");
        assert_eq!(report.difference_examples.shown.len() as u64, not_sent + changed, "{case}");
        assert_eq!(report.exit_code(), if case == "kept" { 0 } else { 3 }, "{case}");
    }
}
