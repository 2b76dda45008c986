//! What the plan foretells of each message by what a probe of the target found.

use super::{DATE, check, kept, left, scratches, world};
use crate::wire::USER;
use bytes::Bytes;
use mailhaul_engine::clock::Clock;
use mailhaul_engine::journal::Journal;
use mailhaul_engine::message::InternalDate;
use mailhaul_engine::profile::{Got, Multi};
use mailhaul_sandbox::Profile;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[tokio::test(start_paused = true)]
async fn flags_and_dates_that_will_be_lost_are_counted_before_and_every_message_is_still_verified() {
    let world = world(Profile {
        keeps_flag: Some(|flag| !flag.starts_with('$')),
        keeps_date: Some(|date| if date.contains("-19") { DATE.to_owned() } else { date.to_owned() }),
        ..Profile::default()
    });
    for (flags, date) in
        [("$Forwarded \\Seen", DATE), ("$Other", DATE), ("Work", "01-Jan-1950 00:00:00 +0000")]
    {
        let mail = format!("Subject: {flags}\r\n\r\nx\r\n");
        world.source.deliver(USER, "INBOX", Bytes::from(mail), flags, date).unwrap();
    }
    let checked = check(&world, true).await;
    let sizes = checked.moving.as_ref().unwrap().sizes;
    assert_eq!((sizes.flags_lost, sizes.dates_lost, sizes.listed), (2, 1, 4));
    let remarks: Vec<&String> = checked.remarks.iter().map(|r| &r.what).collect();
    assert!(remarks.iter().any(|r| r.starts_with("2 messages have flags or keywords")), "{remarks:?}");
    assert!(remarks.iter().any(|r| r.starts_with("1 message has a date")), "{remarks:?}");
    assert_eq!(checked.exit_code(), 0);
    // As many bodies are read back as without a profile: it proves nothing.
    let before = world.target.counters().octets_given;
    assert_eq!(world.migrate().await.left, []);
    let given = world.target.counters().octets_given - before;
    let moved: u64 = world.octets("INBOX").iter().map(|o| o.len() as u64).sum();
    assert!(given >= moved, "{given} of {moved}");
}

/// 27 November 2026, 21:33:02 UTC.
const NOW_SECONDS: i64 = 1_795_815_182;

/// A server where it is this time, and that knows no date more than two hours ahead, as Dovecot does not.
fn dated_by_now(date: &str) -> String {
    let is_ahead = InternalDate::from_octets(date).instant().is_some_and(|at| at > NOW_SECONDS + 7200);
    if is_ahead { "27-Nov-2026 21:33:02 +0000".to_owned() } else { date.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn messages_from_the_future_are_counted_where_the_server_knows_none() {
    let world = world(Profile { keeps_date: Some(dated_by_now), ..Profile::default() });
    for (n, date) in [
        "01-Jan-2036 00:00:00 +0000",
        "15-Dec-2026 00:00:00 +0000",
        "01-Jan-2045 00:00:00 +0000",
        "28-Nov-2026 12:00:00 +0000",
        "26-Nov-2026 12:00:00 +0000",
    ]
    .into_iter()
    .enumerate()
    {
        let mail = format!("Subject: {n}\r\n\r\nx\r\n");
        world.source.deliver(USER, "INBOX", Bytes::from(mail), "", date).unwrap();
    }
    let check = async |probe, days: u64| {
        let mut migration = world.migration();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECONDS as u64 + days * 86_400);
        migration.clock = Clock::with_wall(Arc::new(move || now));
        migration.settings.probe = probe;
        let checked = migration.check([None, None]).await.unwrap();
        migration.journal.release().await.unwrap();
        checked
    };
    let checked = check(true, 0).await;
    assert!(matches!(kept(&checked).unwrap().profile.ahead, Some(Got::Other { .. })));
    // Tomorrow lies between one that is kept and one that is not: nobody knows.
    assert_eq!(checked.moving.as_ref().unwrap().sizes.dates_lost, 3);
    let remarks: Vec<&String> = checked.remarks.iter().map(|r| &r.what).collect();
    assert!(
        remarks.iter().any(|r| r.starts_with("3 messages have a date that the new server")),
        "{remarks:?}"
    );
    assert!(remarks.iter().any(|r| r.contains("any that lies two days ahead")), "{remarks:?}");
    // By the same profile in a year December lies in the past.
    assert_eq!(check(false, 365).await.moving.unwrap().sizes.dates_lost, 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_with_more_keywords_than_the_server_keeps_in_a_mailbox_is_counted() {
    let world = world(Profile { keywords_max: Some(100), ..Profile::default() });
    for count in [100, 101, 110, 119] {
        let keywords: Vec<String> = (0..count).map(|n| format!("Of{n}")).collect();
        let (mail, mailbox) = (format!("Subject: {count}\r\n\r\nx\r\n"), format!("K{count}"));
        world.source.create(USER, &mailbox, None, true);
        world.source.deliver(USER, &mailbox, Bytes::from(mail), &keywords.join(" "), DATE).unwrap();
    }
    let checked = check(&world, true).await;
    assert_eq!((left(&checked), scratches(&world)), (vec![], vec![]), "nothing is left of the search");
    let profile = &kept(&checked).unwrap().profile;
    assert_eq!(profile.keywords_max, Some(100));
    assert!(profile.lines().iter().any(|line| line.ends_with(", 100 are kept")), "{:?}", profile.lines());
    assert!(matches!(profile.multiappend, Multi::Works { in_order: true, .. }), "{profile:?}");
    assert_eq!(checked.moving.as_ref().unwrap().sizes.flags_lost, 3);
    let remarks: Vec<&String> = checked.remarks.iter().map(|r| &r.what).collect();
    assert!(remarks.iter().any(|r| r.contains("keeps 100 different keywords in a mailbox")), "{remarks:?}");
    // What was foretold comes about.
    world.migrate().await;
    let plain = world.target.snapshot(USER).into_iter().filter(|m| m.name.starts_with('K'));
    let plain = plain.filter(|m| m.messages.iter().all(|message| message.flags.is_empty()));
    assert_eq!(plain.count(), 3);
}
