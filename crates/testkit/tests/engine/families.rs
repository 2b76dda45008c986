//! What the engine does for a family of servers that it recognises by what they say, over the wire.

use crate::late::{DATE, message};
use crate::wire::{USER, World, overheard};
use bytes::Bytes;
use mailhaul_engine::journal::State;
use mailhaul_sandbox::{Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;

fn inbox(messages: i64, target: Profile) -> World {
    let world = World::new(target);
    (0..messages).for_each(|n| _ = world.source.deliver(USER, "INBOX", message(n), "", DATE));
    world
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_to_know_who_asks_is_told_before_and_after_the_login() {
    let coremail = || Profile {
        greeting: "Coremail System IMap Server Ready(163com[8db726ec93e9d4e3e9a2fd3d31b05251])".into(),
        wants_id: true,
        ..Profile::default()
    };
    for greeting in [coremail().greeting, "ready".to_owned()] {
        let mut world = inbox(3, Profile { greeting: greeting.clone(), ..coremail() });
        let (dialer, said) = overheard(&world.target);
        world.target_dialer = Some(dialer);
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]), "{greeting}");
        let said = String::from_utf8(said.lock().unwrap().clone()).unwrap();
        let before_login = said[..said.find("AUTHENTICATE").unwrap()].contains(" ID (");
        assert_eq!(before_login, greeting.starts_with("Coremail"), "{greeting}: {said}");
        assert!(said[said.find("AUTHENTICATE").unwrap()..].contains(" ID ("), "{greeting}: {said}");
    }
}

/// Exchange ends a connection with its tenth BAD, whatever else is on its way on it.
#[tokio::test(start_paused = true)]
async fn no_connection_is_used_up_to_the_bad_at_which_its_server_ends_it() {
    const EXCHANGE: &str = "The Microsoft Exchange IMAP4 service is ready.";
    let mut ended = BTreeMap::new();
    // Without waiting for `+`, all of a group are on their way before the first is answered.
    for (greeting, literal_plus) in [(EXCHANGE, false), (EXCHANGE, true), ("ready", false), ("ready", true)] {
        let odd = Bytes::from_static(b"oddity");
        let mut world = World::new(Profile {
            greeting: greeting.into(),
            ends_at_bad: Some(10),
            multiappend: false,
            literal_plus,
            refuse_date: Some(("-2019".into(), "Command Argument Error. 11".into())),
            ..Profile::default()
        });
        if literal_plus {
            (world.limits.batch_messages_max, world.limits.group_messages_max) = (50, 50);
        }
        // Each of these is refused with BAD once, and taken without its date.
        for n in 0..25 {
            let octets =
                Bytes::from(format!("Subject: {n}\r\n\r\n{} {n}\r\n", String::from_utf8_lossy(&odd)));
            world.source.deliver(USER, "INBOX", octets, "", "03-Mar-2019 10:11:12 +0000");
        }
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 25)]), "{greeting}");
        assert_eq!(world.octets("INBOX").len(), 25, "{greeting}: each once");
        ended.insert(
            (greeting, literal_plus),
            (world.target.counters().ended_at_bad, world.doubts().await.len()),
        );
    }
    for literal_plus in [false, true] {
        assert_eq!(ended[&(EXCHANGE, literal_plus)], (0, 0), "never asked for the tenth, nothing in doubt");
        assert!(ended[&("ready", literal_plus)].0 > 0, "the test would see it: {ended:?}");
    }
}

/// How often the source was asked for the bodies of its messages.
async fn bodies_asked(greeting: &str) -> u64 {
    let world = inbox(12, Profile::default());
    world.source.set(|p| (p.size_adds, p.greeting) = (400, greeting.to_owned()));
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]), "{greeting}");
    world.source.octets_passed().0
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_sizes_are_estimates_is_not_read_twice() {
    let once: u64 = (0..12).map(|n| message(n).len() as u64).sum();
    for known in [
        "Microsoft Exchange Server 2007 IMAP4 service is ready",
        "Proton Mail Bridge 03.08.01 - gluon session ID 3",
        "IMAPrev1",
    ] {
        assert_eq!(bodies_asked(known).await, once, "{known}");
    }
    assert_eq!(bodies_asked("ready").await, 2 * once, "whose sizes are not known to be wrong is asked again");
}

#[tokio::test(start_paused = true)]
async fn the_limit_that_a_family_is_known_for_holds_where_none_is_announced() {
    let limit = 35_651_584;
    let world = World::new(Profile::default());
    world.target.set(|p| p.greeting = "Gimap ready for requests from 192.0.2.1".into());
    let (fits, too_big) = (vec![b'x'; 64], vec![b'x'; limit + 1]);
    for octets in [fits, too_big] {
        world.source.deliver(USER, "INBOX", [b"Subject: x\r\n\r\n", &octets[..]].concat(), "", DATE);
    }
    let mut migration = world.migration();
    migration.settings.accept_will_not_move = true;
    migration.migrate().await.unwrap();
    mailhaul_engine::journal::Journal::release(&migration.journal).await.unwrap();
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 1), (State::Exception, 1)]));
    let exceptions = world.exceptions().await;
    assert_eq!(exceptions[0].0, "too_big");
    assert!(exceptions[0].1.contains("35651584"), "{exceptions:?}");
    assert!(world.target.octets_passed().1 < 1_000_000, "it is not sent to be refused");
}

#[tokio::test(start_paused = true)]
async fn where_deleted_removes_a_message_it_is_stored_without_and_said() {
    for gmail in [true, false] {
        let world = World::new(Profile::default());
        if gmail {
            world.target.set(|p| p.extra_capabilities.push("X-GM-EXT-1".into()));
        }
        world.source.deliver(USER, "INBOX", message(1), "\\Seen \\Deleted", DATE);
        world.source.deliver(USER, "INBOX", message(2), "\\Seen", DATE);
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2)]));
        let deleted =
            world.held().iter().filter(|(_, _, flags, _)| flags.contains(&"\\Deleted".into())).count();
        assert_eq!(deleted, usize::from(!gmail));
        let remarks = world.report().await.remarks.shown;
        let said = remarks.iter().filter(|r| r.kind == "deleted_not_sent").count();
        assert_eq!(said, usize::from(gmail), "{remarks:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_hosted_servers_not_stored_is_concluded_late_because_replicas_may_lag() {
    for (greeting, least, most) in
        [("Yandex IMAP4rev1 at imap43j.mail.yandex.net:993 ready", 60, 61), ("ready", 10, 11)]
    {
        let world = inbox(3, Profile { greeting: greeting.into(), ..Profile::default() });
        let settle = world.migrate().await.settle.as_secs();
        assert!((least..most).contains(&settle), "{greeting}: {settle} s");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_connections_are_asked_for_than_a_family_is_known_to_give() {
    for (capability, refused) in [(Some("XYMHIGHESTMODSEQ"), false), (None, true)] {
        let mut world = World::new(Profile { connections_max: Some(5), ..Profile::default() });
        world.target.set(|p| p.extra_capabilities.extend(capability.map(str::to_owned)));
        world.connections = 8;
        for n in 0..12 {
            let name = format!("Box {n}");
            world.source.create(USER, &name, None, true);
            world.source.deliver(USER, &name, message(n), "", DATE);
        }
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]));
        assert_eq!(world.target.counters().refused_connections > 0, refused, "{capability:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_yahoo_cuts_off_is_asked_about_and_stays_in_the_report_until_a_run_sees_it() {
    let mut world = World::between(Profile::yahoo(), Profile::default());
    (0..10_000).for_each(|n| _ = world.source.deliver(USER, "INBOX", message(n), "", DATE));
    // None of them moves: it is about what is said.
    world.selection.since = Some(4_000_000_000);
    let stays: Vec<String> = world.plan().await.will_not_move.iter().map(ToString::to_string).collect();
    assert!(stays.len() == 1 && stays[0].contains("export.imap.mail.yahoo.com"), "{stays:?}");
    world.accepts = true;
    world.migrate().await;
    let outcome = world.report().await.outcome;
    assert!(outcome.hides_mail && outcome.cuts_mailboxes && outcome.exit_code() == 3, "{outcome:?}");
    world.source.expunge(USER, "INBOX", 1);
    world.migrate().await;
    let outcome = world.report().await.outcome;
    assert!(!outcome.hides_mail && outcome.exit_code() == 0, "{outcome:?}");
    // Named, it is cut as well; what a run of another mailbox sees does not take that back.
    world.source.deliver(USER, "INBOX", message(1), "", DATE);
    world.source.create(USER, "Work", None, true);
    for named in ["INBOX", "Work"] {
        world.selection.only = vec![named.to_owned()];
        world.migrate().await;
        let outcome = world.report().await.outcome;
        assert!(outcome.cuts_mailboxes, "{named}: {outcome:?}");
        assert!(named != "INBOX" || outcome.exit_code() == 3, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_uidnext_the_highest_uid_and_one_stands_for_it_and_nothing_is_sent_twice() {
    let bare = || Profile { hides_uid_next: true, uidplus: false, ..Profile::default() };
    let world = World::between(bare(), bare());
    (0..7).for_each(|n| _ = world.source.deliver(USER, "INBOX", message(n), "", DATE));
    for _ in 0..2 {
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 7)]));
        assert_eq!(world.target.counters().appended, 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_announces_enable_and_does_not_do_it_is_asked_for_condstore_mailbox_by_mailbox() {
    let mut world = inbox(3, Profile { extra_capabilities: vec!["ENABLE".to_owned()], ..Profile::default() });
    let (dialer, said) = overheard(&world.target);
    world.target_dialer = Some(dialer);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]));
    let said = String::from_utf8(said.lock().unwrap().clone()).unwrap();
    assert!(said.contains(" ENABLE CONDSTORE"), "{said}");
    assert!(said.contains(" EXAMINE INBOX (CONDSTORE)"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_nothing_to_do_says_noop_every_minute() {
    let mut world = inbox(3, Profile::default());
    world.connections = 1;
    let words = "NO Request is throttled. Suggested Backoff Time: 1200000 milliseconds".to_owned();
    world.target.plan(Planned::once(Trigger::Verb("APPEND", 1), Fault::Answer(words)));
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 3)]));
    let noops = world.source.counters().commands.get("NOOP").copied().unwrap_or(0);
    assert!(noops >= 15, "{noops} in twenty minutes");
}
