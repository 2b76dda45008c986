//! Names that a server does not take as they are: nothing is refused for its name, every mailbox is known by the name that the
//! server lists, and the next run sends nothing.

use crate::late::{DATE, message};
use crate::wire::{USER, World};
use bytes::Bytes;
use mailhaul_engine::journal::State;
use mailhaul_sandbox::{Childless, Fault, Planned, Profile, Trigger};
use std::collections::BTreeMap;

/// One message in each mailbox, moved and proven in a world like this; a second run sends nothing.
async fn moved(profile: Profile, at_target: &[&str], mailboxes: &[&str]) -> World {
    let world = World::new(profile);
    for name in at_target {
        world.target.create(USER, name, None, true);
    }
    for (n, name) in mailboxes.iter().enumerate() {
        world.source.create(USER, name, None, true);
        world.source.deliver(USER, name, Bytes::from(message(n as i64)), "\\Seen", DATE);
    }
    for _ in 0..2 {
        assert_eq!(world.migrate().await.left, []);
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, mailboxes.len())]));
        assert_eq!(world.target.counters().appended, mailboxes.len() as u64);
        assert_eq!(world.report().await.exit_code(), 0);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_create_refused_in_passing_trouble_is_asked_again_and_gives_no_mailbox_another_name() {
    for words in
        ["NO [UNAVAILABLE] try again", "NO [INUSE] wait", "NO [SERVERBUG] oops", "BAD Request is throttled."]
    {
        for times in [1, 2, 3] {
            let world = World::new(Profile::default());
            for name in ["One", "Two"] {
                world.source.create(USER, name, None, true);
                world.source.deliver(USER, name, Bytes::from(message(1)), "", DATE);
            }
            let fault = Fault::Answer(words.to_owned());
            world.target.plan(Planned { at: Trigger::Verb("CREATE", 1), fault, times });
            assert_eq!(world.migrate().await.left, [], "{words}");
            assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2)]), "{words}");
            lies_in(&world, "One", "One");
            lies_in(&world, "Two", "Two");
        }
    }
}

/// The messages of a source mailbox lie in this one.
fn lies_in(world: &World, source: &str, target: &str) {
    let octets = |server: &mailhaul_sandbox::Sandbox, name: &str| crate::wire::octets(server, name);
    assert_eq!(octets(&world.source, source), octets(&world.target, target), "{source}");
}

/// The names in the report, and its remarks.
async fn told(world: &World) -> (Vec<(String, Option<String>)>, Vec<String>) {
    let report = world.report().await;
    let names = report
        .mailboxes
        .iter()
        .map(|m| (m.totals.mailbox.source.text.clone(), m.target_name().map(str::to_owned)))
        .collect();
    (names, report.remarks.shown.iter().map(|note| note.text.clone()).collect())
}

#[tokio::test(start_paused = true)]
async fn a_name_that_the_server_changes_without_a_word_is_taken_as_listed_and_told() {
    let profile = Profile { creates_as: Some(|name| name.to_uppercase()), ..Profile::default() };
    let world = moved(profile, &[], &["Foo", "Bar", "Bar/x"]).await;
    lies_in(&world, "Foo", "FOO");
    lies_in(&world, "Bar/x", "BAR/X");
    let (names, remarks) = told(&world).await;
    assert!(names.contains(&("Foo".into(), Some("FOO".into()))), "{names:?}");
    assert!(remarks.iter().any(|r| r.contains("lists “FOO” where “Foo” was created")), "{remarks:?}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_refused_is_replaced_by_the_one_kept_for_it() {
    let world = moved(
        Profile { refuse_in_names: ".é", ..Profile::default() },
        &[],
        &["Kunden", "Kunden/example.org", "v1.0", "v1.0/x"],
    )
    .await;
    let (names, remarks) = told(&world).await;
    let target = |source: &str| {
        let found = names.iter().find(|(name, _)| name == source).unwrap();
        found.1.clone().unwrap()
    };
    assert!(target("Kunden/example.org").starts_with("Kunden/example_org~"), "{names:?}");
    assert!(target("v1.0").starts_with("v1_0~") && target("v1.0/x").starts_with("v1_0_x~"), "{names:?}");
    for source in ["Kunden", "Kunden/example.org", "v1.0", "v1.0/x"] {
        lies_in(&world, source, &target(source));
    }
    assert_eq!(remarks.iter().filter(|remark| remark.contains("refused “")).count(), 3, "{remarks:?}");
}

#[tokio::test(start_paused = true)]
async fn children_of_an_inbox_without_children_lie_beside_it() {
    let world = moved(
        Profile { childless: Childless::Inbox, ..Profile::default() },
        &["Here"],
        &["INBOX/Sub", "INBOX/Here"],
    )
    .await;
    lies_in(&world, "INBOX/Sub", "Sub");
    let (names, _) = told(&world).await;
    let here = names.iter().find(|(source, _)| source == "INBOX/Here").and_then(|(_, target)| target.clone());
    assert!(here.as_ref().is_some_and(|name| name.starts_with("Here~")), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn where_a_mailbox_is_a_file_the_mail_of_a_parent_lies_below_it() {
    let profile = Profile { childless: Childless::All, ..Profile::default() };
    let world = moved(profile, &["Sent"], &["P", "P/x", "Sent/2019"]).await;
    lies_in(&world, "P", "P/_mail");
    lies_in(&world, "P/x", "P/x");
    lies_in(&world, "Sent/2019", "Sent_2019");
}

#[tokio::test(start_paused = true)]
async fn where_files_and_folders_are_not_known_beforehand_the_second_name_is_used() {
    // The account is new: INBOX alone says nothing of the others.
    let profile = Profile { childless: Childless::All, ..Profile::default() };
    let world = moved(profile, &[], &["P", "P/x"]).await;
    lies_in(&world, "P", "P");
    let (names, _) = told(&world).await;
    let child = names.iter().find(|(source, _)| source == "P/x").and_then(|(_, target)| target.clone());
    assert!(child.as_ref().is_some_and(|name| name.starts_with("P_x~")), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_is_subscribed_by_the_name_that_it_has_there() {
    let profile = Profile { creates_as: Some(|name| name.to_uppercase()), ..Profile::default() };
    let world = moved(profile, &[], &["Foo"]).await;
    let subscribed: Vec<String> =
        world.target.snapshot(USER).into_iter().filter(|m| m.subscribed).map(|m| m.name).collect();
    assert_eq!(subscribed, ["FOO"]);
}

#[tokio::test(start_paused = true)]
async fn where_many_mailboxes_are_created_all_are_listed_at_once_and_none_but_changed_names_alone() {
    let profile = Profile { creates_as: Some(|name| name.replace("foo", "FOO")), ..Profile::default() };
    let few = moved(profile.clone(), &[], &["foo"]).await.target.counters().commands["LIST"];
    let names: Vec<String> = (0..20).map(|n| format!("box {n}")).chain(["foo".to_owned()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = moved(profile, &[], &names).await;
    lies_in(&world, "foo", "FOO");
    lies_in(&world, "box 19", "box 19");
    assert_eq!(world.target.counters().commands["LIST"], few + 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_while_mailboxes_are_subscribed_costs_no_subscription() {
    for nth in 1..=4 {
        let world = World::new(Profile::default());
        let names = ["Foo", "INBOX", "Zoo"];
        names.iter().for_each(|name| world.source.create(USER, name, None, true));
        let fault = Fault::Bye("gone".into());
        world.target.plan(Planned { at: Trigger::Verb("SUBSCRIBE", nth), fault, times: 1 });
        if world.try_migrate().await.is_err() {
            world.migrate().await;
        }
        assert_eq!(world.target.struck().is_empty(), nth > names.len() as u64, "{nth}");
        let mailboxes = world.target.snapshot(USER).into_iter();
        let subscribed: Vec<String> = mailboxes.filter(|m| m.subscribed).map(|m| m.name).collect();
        assert_eq!(subscribed.len(), names.len(), "at SUBSCRIBE {nth}: {subscribed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_with_quotes_and_backslashes_is_listed_as_it_is() {
    let world = moved(Profile::default(), &[], &["a\\b"]).await;
    assert!(world.source.snapshot(USER).iter().any(|m| m.name == "a\\b"));
    let (names, _) = told(&world).await;
    assert!(names.iter().any(|(source, _)| source == "a\\b"), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_not_opened_at_any_one_moment_keeps_no_other_from_being_moved_and_proven() {
    let mut struck = 0;
    for n in 1..=24 {
        let world = World::new(Profile::default());
        for name in ["One", "Two", "Three"] {
            world.source.create(USER, name, None, false);
            (0..3).for_each(|i| _ = world.source.deliver(USER, name, Bytes::from(message(i)), "", DATE));
        }
        let fault = Fault::Answer("NO [NOPERM] not yours".into());
        world.target.plan(Planned::once(Trigger::Verb("EXAMINE", n), fault));
        let end = world.migrate().await;
        if world.target.struck().is_empty() {
            continue;
        }
        struck += 1;
        assert!(end.left.len() <= 1, "EXAMINE {n}: {:?}", end.left);
        let whole =
            |name: &str| crate::wire::octets(&world.target, name) == crate::wire::octets(&world.source, name);
        let there = ["One", "Two", "Three"].iter().filter(|name| whole(name)).count();
        let proven = world.states().await.get(&State::Verified).copied().unwrap_or(0);
        assert!(there >= 2 && proven >= 6, "EXAMINE {n}: {there} are there, {proven} messages proven");
    }
    assert!(struck >= 9, "{struck} moments, the last listings among them");
}

/// Cyrus without `altnamespace`.
fn shared_below_no_prefix() -> Profile {
    Profile {
        delimiter: b'.',
        prefix: "INBOX.",
        foreign_namespaces: r#"(("user." ".")) (("" "."))"#,
        special_use: false,
        ..Profile::default()
    }
}

#[tokio::test(start_paused = true)]
async fn mailboxes_that_are_shared_below_no_prefix_are_nobodys_own_on_either_side() {
    let mut world = World::between(shared_below_no_prefix(), shared_below_no_prefix());
    world.accepts = true;
    for (n, name) in ["INBOX.Sent", "INBOX.Archive", "Sent", "info", "user.bob"].into_iter().enumerate() {
        world.source.create(USER, name, None, true);
        world.source.deliver(USER, name, Bytes::from(message(n as i64)), "\\Seen", DATE);
    }
    for name in ["Sent", "Archive", "info"] {
        world.target.create(USER, name, None, true);
    }
    let plan = world.plan().await;
    let stays: Vec<_> = plan.will_not_move.iter().map(|one| (one.what.as_str(), one.count)).collect();
    assert_eq!(stays, [("1 mailbox of other people", Some(1)), ("2 mailboxes shared by many", Some(2))]);
    assert_eq!(world.migrate().await.left, []);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 2)]));
    lies_in(&world, "INBOX.Sent", "INBOX.Sent");
    lies_in(&world, "INBOX.Archive", "INBOX.Archive");
    for shared in ["Sent", "Archive", "info"] {
        assert!(crate::wire::octets(&world.target, shared).is_empty(), "{shared}");
    }
}
