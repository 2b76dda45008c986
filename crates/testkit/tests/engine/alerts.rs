//! What a server wants people to see (`[ALERT]`, RFC 9051, 7.1) is shown while a run goes on, and in its report, whatever answer it
//! comes with.

use crate::late::{DATE, message};
use crate::wire::{PASSWORD, USER, World};
use mailhaul_engine::progress::{Progress, SideName};
use mailhaul_sandbox::{Fault, Planned, Profile, Trigger};

#[tokio::test(start_paused = true)]
async fn an_alert_in_an_untagged_answer_is_shown_once_and_told_by_the_report() {
    let world = World::new(Profile::default());
    (0..3).for_each(|n| _ = world.source.deliver(USER, "INBOX", message(n), "", DATE).unwrap());
    let says = |at, line: &str| Planned::once(at, Fault::Untagged(line.to_owned()));
    for verb in ["LOGIN", "AUTHENTICATE"] {
        let echo = format!("* OK [ALERT] you typed {PASSWORD}");
        world.source.plan(says(Trigger::Verb(verb, 1), &echo));
    }
    for n in [1, 2] {
        world.source.plan(says(Trigger::Verb("FETCH", n), "* OK [ALERT] this server closes in May"));
    }
    world.target.plan(says(Trigger::Verb("APPEND", 1), "* NO [ALERT] almost \u{1b}[2Jfull"));
    let alert = |told: Progress| match told {
        Progress::Alert { side, text, .. } => Some((side, text)),
        _ => None,
    };
    let mut told: Vec<_> = world.migrate_and_listen().await.into_iter().filter_map(alert).collect();
    told.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(
        told,
        [
            (SideName::Target, "almost <U+001B>[2Jfull".to_owned()),
            (SideName::Source, "this server closes in May".to_owned()),
            (SideName::Source, "you typed (the secret)".to_owned()),
        ]
    );
    let report = world.report().await;
    let remarks: Vec<&str> = report.remarks.shown.iter().map(|r| r.text.as_str()).collect();
    for said in [
        "the new server says: almost <U+001B>[2Jfull",
        "the old server says: this server closes in May",
        "the old server says: you typed (the secret)",
    ] {
        assert_eq!(remarks.iter().filter(|r| **r == said).count(), 1, "{remarks:?}");
    }
    assert_eq!((world.held().len(), report.exit_code()), (3, 0), "nothing is decided by it");
}
