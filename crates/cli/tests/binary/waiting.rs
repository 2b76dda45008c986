//! What a person and a program see of a wait.

use crate::accounts::Pair;
use mailhaul_sandbox::{Fault, Planned, Profile, Trigger};
use serde_json::Value;

/// A new server that calls itself what Microsoft 365 does, and is too busy at first.
async fn busy() -> Pair {
    let greeting = "The Microsoft Exchange IMAP4 service is ready. [TABPAE4AUAAxADIA]".to_owned();
    let pair = Pair::filled(Profile { greeting, ..Profile::default() }, 3).await;
    let words = "BAD Request is throttled. Suggested Backoff Time: 300 milliseconds".to_owned();
    pair.new.plan(Planned::once(Trigger::Verb("APPEND", 1), Fault::Answer(words)));
    pair
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_a_server_asks_for_is_named_on_the_terminal_and_in_the_report() {
    let pair = busy().await;
    let ran = pair.run("migrate", &[]).await.expect(0);
    pair.assert_same();
    assert!(ran.stderr.contains("Microsoft 365 asked us to wait until "), "{ran:#?}");
    let report = std::fs::read_to_string(pair.report().join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let remarks = report["remarks"].as_array().unwrap();
    let waited = remarks.iter().find(|r| r["kind"] == "waited").unwrap_or_else(|| panic!("{remarks:?}"));
    assert!(waited["text"].as_str().unwrap().starts_with("Microsoft 365 asked to wait once"), "{waited}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_an_event_with_who_why_and_until_when() {
    let pair = busy().await;
    let ran = pair.run("migrate", &["--progress", "json"]).await.expect(0);
    let events = ran.stderr.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let wait = events.into_iter().find(|e| e["event"] == "waiting").unwrap_or_else(|| panic!("{ran:#?}"));
    assert_eq!(
        (&wait["server"], &wait["reason"], &wait["side"]),
        (&"Microsoft 365".into(), &"asked".into(), &"target".into())
    );
    assert!(wait["why"].as_str().unwrap().contains("Backoff Time"), "{wait}");
    let until: jiff::Timestamp = wait["until"].as_str().unwrap().parse().unwrap();
    assert!(until.as_second() > 1_700_000_000, "{wait}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_is_too_short_is_said_before_anything_is_sent() {
    let pair = Pair::filled(Profile::default(), 3).await;
    let ran = pair.run("plan", &["--to-daily", "10"]).await.expect(0);
    assert!(ran.stderr.contains("with 10 bytes a day to the new server this takes at least "), "{ran:#?}");
    assert_eq!(pair.appends(), 0);
    let quiet = pair.run("plan", &["--to-daily", "none"]).await.expect(0);
    assert!(!quiet.stderr.contains("a day"), "{quiet:#?}");
}
