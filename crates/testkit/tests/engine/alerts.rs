//! What a server wants people to see (`[ALERT]`, RFC 9051, 7.1) is shown while a run goes on, and in its report, whatever answer it
//! comes with.

use crate::late::{DATE, message};
use crate::wire::{PASSWORD, USER, World};
use mailhaul_engine::error::{EndError, Error};
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

#[tokio::test(start_paused = true)]
async fn what_a_server_says_before_it_refuses_a_login_stands_in_the_error_and_for_people_and_repeats_no_secret()
 {
    let refuses = Some("[AUTHENTICATIONFAILED] no".to_owned());
    for (line, said) in [
        ("* OK [ALERT] this server closed in May", "this server closed in May"),
        (
            "* NO [ALERT] log in by web: https://old.example/unlock",
            "log in by web: https://old.example/unlock",
        ),
    ] {
        let world = World::new(Profile::default());
        world.source.set(|p| p.refuse_logins.clone_from(&refuses));
        let lines = format!("{line}\r\n* OK [ALERT] you typed {PASSWORD}");
        world.source.plan(Planned::once(Trigger::Verb("AUTHENTICATE", 1), Fault::Untagged(lines)));
        let error = world.try_migrate().await.unwrap_err();
        let Error::Source(EndError::LoginRefused { told, refusal, .. }) = &error else { panic!("{error:?}") };
        assert_eq!(*told, [said, "you typed (the secret)"]);
        assert_eq!(refusal.text, "no", "what follows is decided by the refusal alone");
        let plain = error.plainly();
        for text in [error.to_string(), plain.details.join("\n")] {
            assert!(text.contains(said) && !text.contains(PASSWORD), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_before_a_connection_ends_at_the_login_is_in_what_is_told_of_the_loss_and_nothing_twice()
{
    for (bye, said) in [("see you", "see you"), ("[ALERT] come back in June", "come back in June")] {
        let world = World::new(Profile::default());
        let lines = format!("* NO [ALERT] moving house\r\n* BYE {bye}");
        world.source.plan(Planned::once(Trigger::Verb("AUTHENTICATE", 1), Fault::Untagged(lines)));
        let error = world.try_migrate().await.unwrap_err();
        let Error::Source(EndError::Lost { what, .. }) = &error else { panic!("{error:?}") };
        assert!(what.contains(said) && what.contains("(it said before: “moving house”)"), "{what}");
        assert_eq!(what.matches(said).count(), 1, "{what}");
    }
}
