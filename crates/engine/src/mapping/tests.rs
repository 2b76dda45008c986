mod properties;
mod trees;

use super::*;
use crate::end::Space;
use crate::journal::MailboxId;
use crate::survey_testing::{Side, survey};
use std::collections::{HashMap, HashSet};

fn plain(source: &Side, target: &Side) -> Mapping {
    map(&survey(source, target), &MappingRules::default(), &Selection::default(), &[])
}

fn ruled(source: &Side, target: &Side, rules: &MappingRules) -> Mapping {
    map(&survey(source, target), rules, &Selection::default(), &[])
}

fn entry<'a>(mapping: &'a Mapping, source: &str) -> &'a Entry {
    mapping.entries.iter().find(|entry| entry.source.text == source).unwrap()
}

/// The decoded target name, `-rule` or `!reason`.
fn fate(mapping: &Mapping, source: &str) -> String {
    match &entry(mapping, source).decision {
        Decision::Move(name) => name.text.clone(),
        Decision::Exclude(rule) => format!("-{rule}"),
        Decision::Refuse(why) => format!("!{why}"),
    }
}

fn refused(mapping: &Mapping, source: &str, part: &str) {
    let fate = fate(mapping, source);
    assert!(fate.starts_with('!') && fate.contains(part), "{source}: {fate}");
}

fn told(mapping: &Mapping, part: &str) {
    assert!(mapping.remarks.iter().any(|remark| remark.contains(part)), "{part}: {:#?}", mapping.remarks);
}

fn rules(maps: &[(&str, &str)]) -> MappingRules {
    MappingRules { map: maps.iter().map(|(s, t)| ((*s).into(), (*t).into())).collect(), into: None }
}

fn records(mapping: &Mapping) -> Vec<MailboxRecord> {
    let record = |(i, entry): (usize, &Entry)| MailboxRecord {
        id: MailboxId(i as i64 + 1),
        source: entry.source.clone(),
        role: None,
        subscribed: false,
        messages: None,
        octets: None,
        decision: entry.decision.clone(),
    };
    mapping.entries.iter().enumerate().map(record).collect()
}

#[test]
fn a_prefix_is_stripped_on_the_way_in_and_put_in_front_on_the_way_out() {
    let courier = Side::new("INBOX.", Some('.')).mailbox("INBOX.Entwürfe.2019");
    let dovecot = Side::new("", Some('/')).mailbox("Entwürfe/2019");
    let there = plain(&courier, &Side::new("", Some('/')));
    assert_eq!(fate(&there, "INBOX.Entwürfe.2019"), "Entwürfe/2019");
    let Decision::Move(name) = &entry(&there, "INBOX.Entwürfe.2019").decision else { panic!() };
    assert_eq!((&name.wire[..], name.delimiter), (&b"Entw&APw-rfe/2019"[..], Some('/')));
    let back = plain(&dovecot, &Side::new("INBOX.", Some('.')));
    assert_eq!(fate(&back, "Entwürfe/2019"), "INBOX.Entwürfe.2019");
    assert_eq!(fate(&back, "INBOX"), "INBOX");
}

#[test]
fn inbox_in_any_case_is_inbox_alone_and_as_first_component() {
    let mut source = Side::new("", Some('/')).mailbox("Inbox/Sub").mailbox("inboxes");
    source.listed[0].wire = "inbox".into();
    source.listed[0].text = "inbox".into();
    let mapping = plain(&source, &Side::new("", Some('.')));
    assert_eq!(fate(&mapping, "inbox"), "INBOX");
    assert_eq!(fate(&mapping, "Inbox/Sub"), "INBOX.Sub");
    assert_eq!(fate(&mapping, "inboxes"), "inboxes");
}

#[test]
fn children_of_inbox_keep_their_place_in_an_inbox_namespace_and_never_merge_with_a_namesake() {
    let source = Side::new("", Some('/')).mailbox("INBOX/Sub").mailbox("Sub");
    let mapping = plain(&source, &Side::new("INBOX.", Some('.')));
    assert_eq!(fate(&mapping, "Sub"), "INBOX.Sub");
    assert_eq!(fate(&mapping, "INBOX/Sub"), "INBOX.Sub~3a91");
    told(&mapping, "“INBOX/Sub” becomes “INBOX.Sub~3a91”: “Sub” has the name already");
}

#[test]
fn children_of_an_inbox_that_takes_none_lie_beside_it() {
    let source = Side::new("", Some('/')).mailbox("INBOX/Sub").mailbox("INBOX/Sub/x").mailbox("INBOX/Here");
    let target = Side::new("", Some('/')).with(|inbox| inbox.may_have_children = false).mailbox("Here");
    let mapping = plain(&source, &target);
    assert_eq!((fate(&mapping, "INBOX/Sub"), fate(&mapping, "INBOX/Sub/x")), ("Sub".into(), "Sub/x".into()));
    told(&mapping, "“INBOX/Sub” becomes “Sub”: on the new server “INBOX” takes no mailboxes below it");
    assert!(fate(&mapping, "INBOX/Here").starts_with("Here~"), "a mailbox that is there is somebody's");
    let namespace = Side::new("INBOX.", Some('.')).with(|inbox| inbox.may_have_children = false);
    assert_eq!(fate(&plain(&Side::new("", Some('/')).mailbox("A"), &namespace), "A"), "INBOX.A");
}

#[test]
fn a_role_that_both_sides_announce_decides() {
    let source = Side::new("", Some('/')).mailbox("Gesendete Objekte").role(Role::Sent);
    let target = Side::new("", Some('/')).mailbox("Sent").role(Role::Sent);
    let mapping = plain(&source, &target);
    assert_eq!(fate(&mapping, "Gesendete Objekte"), "Sent");
    assert_eq!(entry(&mapping, "Gesendete Objekte").how, How::Role(Role::Sent));
    // Where one side announces nothing, names speak; what is no such name does not.
    let by_name = plain(&source, &Side::new("", Some('/')).mailbox("Sent"));
    assert_eq!(entry(&by_name, "Gesendete Objekte").how, How::RoleByName(Role::Sent));
    assert_eq!(fate(&by_name, "Gesendete Objekte"), "Sent");
    let none = plain(&source, &Side::new("", Some('/')).mailbox("Versand"));
    assert_eq!(fate(&none, "Gesendete Objekte"), "Gesendete Objekte");
}

#[test]
fn a_role_that_the_target_lacks_is_given_at_creation_once() {
    let source =
        Side::new("", Some('/')).mailbox("Gesendet").role(Role::Sent).mailbox("Sent").role(Role::Sent);
    let mut target = Side::new("", Some('/'));
    assert_eq!(entry(&plain(&source, &target), "Gesendet").create_role, None);
    target.abilities.creates_roles = true;
    let mapping = plain(&source, &target);
    assert_eq!(entry(&mapping, "Gesendet").create_role, Some(Role::Sent));
    assert_eq!(entry(&mapping, "Sent").create_role, None);
    assert_eq!((fate(&mapping, "Gesendet"), fate(&mapping, "Sent")), ("Gesendet".into(), "Sent".into()));
}

#[test]
fn the_attributed_mailbox_takes_the_role_and_its_namesake_is_kept_apart_not_merged() {
    let source = Side::new("", Some('/')).mailbox("Sent").mailbox("Sent Items").role(Role::Sent);
    let target = Side::new("", Some('/')).mailbox("Sent").role(Role::Sent);
    let mapping = plain(&source, &target);
    assert_eq!(fate(&mapping, "Sent Items"), "Sent");
    assert_eq!(fate(&mapping, "Sent"), "Sent~c16b");
    told(&mapping, "“Sent Items” and “Sent” both look like the folder for sent mail");
    let fixed = ruled(&source, &target, &rules(&[("Sent", "Sent (alt)")]));
    assert_eq!((fate(&fixed, "Sent Items"), fate(&fixed, "Sent")), ("Sent".into(), "Sent (alt)".into()));
}

#[test]
fn of_two_mailboxes_with_one_role_the_second_keeps_its_own_name() {
    let source = Side::new("", Some('/')).mailbox("A").role(Role::Junk).mailbox("B").role(Role::Junk);
    let target = Side::new("", Some('/')).mailbox("Spam").role(Role::Junk);
    let mapping = plain(&source, &target);
    assert_eq!((fate(&mapping, "A"), fate(&mapping, "B")), ("Spam".into(), "B".into()));
}

#[test]
fn views_are_not_matched_by_role() {
    let source =
        Side::new("", Some('/')).mailbox("Alles").role(Role::All).holds(7, 1).mailbox("A").holds(3, 1);
    let target = Side::new("", Some('/')).mailbox("All").role(Role::All);
    assert_eq!(fate(&plain(&source, &target), "Alles"), "Alles", "it holds mail that lies nowhere else");
}

#[test]
fn a_view_is_left_out_unless_a_person_names_it() {
    let source = Side::new("", Some('/')).mailbox("A").holds(9, 1);
    let source = source.mailbox("Alles").role(Role::All).holds(9, 1).mailbox("Wichtig").role(Role::Important);
    let both = survey(&source, &Side::new("", Some('/')));
    let mapping = map(&both, &MappingRules::default(), &Selection::default(), &[]);
    assert_eq!((fate(&mapping, "Alles"), fate(&mapping, "Wichtig")), ("-view".into(), "-view".into()));
    assert_eq!(fate(&map(&both, &rules(&[("Alles", "Alt")]), &Selection::default(), &[]), "Alles"), "Alt");
    let only = Selection { only: vec!["Wichtig".into()], ..Selection::default() };
    let mapping = map(&both, &MappingRules::default(), &only, &[]);
    assert_eq!((fate(&mapping, "Alles"), fate(&mapping, "Wichtig")), ("-mailbox".into(), "Wichtig".into()));
}

fn gmail() -> Side {
    let mut side = Side::new("", Some('/')).holds(3, 1).mailbox("Work").holds(2, 1);
    for (name, role) in [
        ("Alle Nachrichten", Role::All),
        ("Markiert", Role::Flagged),
        ("Wichtig", Role::Important),
        ("Gesendet", Role::Sent),
        ("Papierkorb", Role::Trash),
    ] {
        side = side.mailbox(&format!("[Gmail]/{name}")).role(role).holds(9, 1);
    }
    side = side.mailbox("[Gmail]/Chats").holds(1, 1);
    side.abilities.gmail = true;
    side
}

#[test]
fn all_mail_of_gmail_goes_to_the_archive_and_its_other_views_nowhere() {
    let plain_one = Side::new("", Some('/'));
    let archive = plain_one.clone().mailbox("Ablage").role(Role::Archive);
    for (target, expected) in [(&plain_one, "Archive"), (&archive, "Ablage")] {
        let mapping = plain(&gmail(), target);
        for (name, expected) in [
            ("[Gmail]/Alle Nachrichten", expected),
            ("[Gmail]/Markiert", "-view"),
            ("[Gmail]/Wichtig", "-view"),
            ("[Gmail]/Gesendet", "Sent"),
            ("[Gmail]/Papierkorb", "Trash"),
            ("[Gmail]/Chats", "Chats"),
            ("Work", "Work"),
        ] {
            assert_eq!(fate(&mapping, name), expected);
        }
    }
    let mut hidden = gmail();
    hidden.listed.retain(|info| info.role != Some(Role::All));
    let mapping = plain(&hidden, &plain_one);
    for (name, expected) in [("[Gmail]/Wichtig", "Wichtig"), ("[Gmail]/Markiert", "Markiert")] {
        assert_eq!(fate(&mapping, name), expected, "what it shows may lie nowhere else");
    }
}

#[test]
fn what_is_important_at_a_gmail_goes_to_the_view_of_another_one_where_copies_cost_nothing() {
    let mut other = Side::new("", Some('/'));
    for (name, role) in [("Important", Role::Important), ("Starred", Role::Flagged), ("All Mail", Role::All)]
    {
        other = other.mailbox(&format!("[Gmail]/{name}")).role(role);
    }
    (other.abilities.gmail, other.abilities.tells_places) = (true, true);
    let of = |target: &Side, rules: &MappingRules, name: &str| fate(&ruled(&gmail(), target, rules), name);
    let none = MappingRules::default();
    assert_eq!(of(&other, &none, "[Gmail]/Wichtig"), "[Gmail]/Important");
    assert_eq!(of(&other, &none, "[Gmail]/Markiert"), "-view", "a star is a flag");
    let named = rules(&[("[Gmail]/Wichtig", "W")]);
    assert_eq!(of(&other, &named, "[Gmail]/Wichtig"), "W");
    let into = MappingRules { into: Some("Old".into()), ..MappingRules::default() };
    assert_eq!(of(&other, &into, "[Gmail]/Wichtig"), "-view", "there its messages would lie twice");
    let mut unlabelled = other.clone();
    unlabelled.listed.retain(|info| info.role != Some(Role::Important));
    assert_eq!(of(&unlabelled, &none, "[Gmail]/Wichtig"), "-view", "it is hidden there");
    other.abilities.tells_places = false;
    assert_eq!(of(&other, &none, "[Gmail]/Wichtig"), "-view", "each would be sent twice");
}

#[test]
fn an_archive_goes_to_all_mail_of_gmail_and_nothing_below_its_own_names() {
    let source = Side::new("", Some('/'))
        .mailbox("Archive")
        .mailbox("Archive/2019")
        .mailbox("Sent")
        .mailbox("Sent/Alt");
    let source = source.mailbox("[Gmail]/Alt").mailbox("Alle");
    let mapping = plain(&source, &gmail());
    for (name, expected) in [
        ("Archive", "[Gmail]/Alle Nachrichten"),
        ("Archive/2019", "Archive/2019"),
        ("Sent", "[Gmail]/Gesendet"),
        ("Sent/Alt", "Sent/Alt"),
        ("[Gmail]/Alt", "[Gmail]_/Alt"),
        ("Alle", "Alle"),
    ] {
        assert_eq!(fate(&mapping, name), expected);
    }
}

#[test]
fn folders_of_exchange_that_hold_no_mail_are_left_out_on_exchange_alone() {
    let mut source =
        Side::new("", Some('/')).mailbox("Kalender").mailbox("Kalender/Feiertage").mailbox("Alt/Kalender");
    let mapping = plain(&source, &Side::new("", Some('/')));
    assert_eq!(fate(&mapping, "Kalender"), "Kalender");
    source.abilities.product = "The Microsoft Exchange IMAP4 service is ready.".into();
    let mapping = plain(&source, &Side::new("", Some('/')));
    for (name, expected) in
        [("Kalender", "-not-mail"), ("Kalender/Feiertage", "-not-mail"), ("Alt/Kalender", "Alt/Kalender")]
    {
        assert_eq!(fate(&mapping, name), expected);
    }
    assert_eq!(
        fate(&ruled(&source, &Side::new("", Some('/')), &rules(&[("Kalender", "K")])), "Kalender"),
        "K"
    );
}

#[test]
fn names_speak_of_roles_only_where_no_attribute_does() {
    let outlook =
        Side::new("", Some('/')).mailbox("Gesendete Elemente").holds(9, 1).mailbox("Éléments envoyés");
    let outlook = outlook.holds(3, 1).mailbox("Papierkorb").mailbox("Projekte/Sent");
    let target = Side::new("", Some('/')).mailbox("Sent").role(Role::Sent).mailbox("Deleted Items");
    let mapping = plain(&outlook, &target);
    for (name, expected) in [
        ("Gesendete Elemente", "Sent"),
        ("Éléments envoyés", "Éléments envoyés"),
        ("Papierkorb", "Deleted Items"),
        ("Projekte/Sent", "Projekte/Sent"),
    ] {
        assert_eq!(fate(&mapping, name), expected);
    }
    told(&mapping, "the first goes to “Sent”, the second to “Éléments envoyés”");
    // An attribute at the source silences the names there.
    let marked = outlook.mailbox("Raus").role(Role::Sent);
    let mapping = plain(&marked, &target);
    assert_eq!(
        (fate(&mapping, "Raus"), fate(&mapping, "Gesendete Elemente")),
        ("Sent".into(), "Gesendete Elemente".into())
    );
    // An attribute at the target silences the names there.
    let target = Side::new("", Some('/')).mailbox("Sent").mailbox("Ausgang").role(Role::Sent);
    assert_eq!(fate(&plain(&marked, &target), "Raus"), "Ausgang");
}

#[test]
fn names_that_are_at_both_sides_stay_though_they_speak_of_one_role() {
    let both = Side::new("", Some('/')).mailbox("Sent").holds(9, 1).mailbox("Sent Items").holds(10, 1);
    let mapping = plain(&both, &Side::new("", Some('/')).mailbox("Sent").mailbox("Sent Items"));
    assert_eq!((fate(&mapping, "Sent"), fate(&mapping, "Sent Items")), ("Sent".into(), "Sent Items".into()));
}

#[test]
fn children_go_where_their_parent_went_and_map_is_about_one_mailbox() {
    let source = Side::new("", Some('.')).mailbox("Gesendete Elemente").mailbox("Gesendete Elemente.2019");
    let source = source.mailbox("a/b").mailbox("a/b.x").mailbox("M").mailbox("M.x");
    let target = Side::new("", Some('/')).mailbox("Sent").role(Role::Sent);
    let both = survey(&source, &target);
    let mapping = map(&both, &rules(&[("M", "N")]), &Selection::default(), &[]);
    for (name, expected) in [
        ("Gesendete Elemente.2019", "Sent/2019"),
        ("a/b", "a_b"),
        ("a/b.x", "a_b/x"),
        ("M", "N"),
        ("M.x", "M/x"),
    ] {
        assert_eq!(fate(&mapping, name), expected);
    }
}

#[test]
fn one_mailbox_by_two_names_moves_once_unless_the_first_is_left_out() {
    let mut both = survey(&Side::new("", Some('/')).mailbox("A").mailbox("x/A"), &Side::new("", Some('/')));
    both.source.mailboxes[2].same_as = Some(1);
    let fates = |selection: &Selection| {
        let mapping = map(&both, &MappingRules::default(), selection, &[]);
        (fate(&mapping, "A"), fate(&mapping, "x/A"))
    };
    assert_eq!(fates(&Selection::default()), ("A".into(), "-same-mailbox".into()));
    let without = Selection { exclude: vec!["A".into()], ..Selection::default() };
    assert_eq!(fates(&without), ("-exclude:A".into(), "x/A".into()));
}

#[test]
fn where_a_mailbox_is_a_file_the_mail_of_a_parent_lies_below_it() {
    let source = Side::new("", Some('/')).mailbox("P").mailbox("P/x").mailbox("Q");
    let file = |side: Side| side.with(|info| info.may_have_children = false);
    let mbox = file(file(Side::new("", Some('/'))).mailbox("Sent"));
    let mapping = plain(&source, &mbox);
    assert_eq!(
        (fate(&mapping, "P"), fate(&mapping, "P/x"), fate(&mapping, "Q")),
        ("P/_mail".into(), "P/x".into(), "Q".into())
    );
    // What is a file already keeps its mail, and its children lie beside it.
    let mapping = plain(&source, &file(mbox.mailbox("P")));
    assert_eq!((fate(&mapping, "P"), fate(&mapping, "P/x")), ("P".into(), "P_x".into()));
}

/// Tree 62493 of the generated ones.
#[test]
fn the_mail_of_a_parent_does_not_become_the_file_that_a_folder_of_the_target_is() {
    let source = Side::new("", Some('/')).mailbox("P").mailbox("P/x");
    let file = |side: Side| side.with(|info| info.may_have_children = false);
    let mbox = file(file(Side::new("", Some('/'))).mailbox("P/_mail/deep"));
    let mapping = plain(&source, &mbox);
    assert_eq!((fate(&mapping, "P"), fate(&mapping, "P/x")), ("P/_mail~5c62".into(), "P/x".into()));
}

#[test]
fn names_that_one_server_keeps_apart_stay_apart_on_one_that_does_not() {
    let source =
        Side::new("", Some('/')).mailbox("Foo").mailbox("foo").mailbox("Caf\u{e9}").mailbox("Cafe\u{301}");
    let mapping = plain(&source, &Side::new("", Some('/')));
    assert_eq!((fate(&mapping, "Foo"), fate(&mapping, "foo")), ("Foo".into(), "foo~2c26".into()));
    assert!(fate(&mapping, "Cafe\u{301}").starts_with("Café~"), "{}", fate(&mapping, "Cafe\u{301}"));
    let mut dovecot = Side::new("", Some('/'));
    dovecot.abilities.product = "Dovecot".into();
    let mapping = plain(&source, &dovecot);
    assert_eq!((fate(&mapping, "Foo"), fate(&mapping, "foo")), ("Foo".into(), "foo".into()));
    assert_eq!(fate(&mapping, "Cafe\u{301}"), "Cafe\u{301}");
    // One name alone goes to the mailbox that is there, however it is written.
    let there = Side::new("", Some('/')).mailbox("FOO");
    assert_eq!(fate(&plain(&Side::new("", Some('/')).mailbox("foo"), &there), "foo"), "FOO");
}

#[test]
fn a_component_that_the_target_does_not_take_is_changed_and_the_plan_says_why() {
    let long = format!("INBOX.{}", "ü".repeat(200));
    let source = Side::new("INBOX.", Some('.'))
        .mailbox("INBOX.Angebote/2019")
        .mailbox("INBOX.a\tb")
        .mailbox("INBOX.a..b")
        .mailbox("INBOX.100%")
        .mailbox("INBOX.~x")
        .mailbox("INBOX.two  spaces ")
        .mailbox(&long);
    let mapping = plain(&source, &Side::new("", Some('/')));
    for (name, expected, why) in [
        ("INBOX.Angebote/2019", "Angebote_2019", "“/”, which separates levels on the new server"),
        ("INBOX.a\tb", "a_b", "U+0009"),
        ("INBOX.a..b", "a/_/b", "empty"),
        ("INBOX.100%", "100_", "“%”"),
        ("INBOX.~x", "_x", "begins with “~”"),
        ("INBOX.two  spaces ", "two spaces", "spaces"),
    ] {
        assert_eq!(fate(&mapping, name), expected);
        told(&mapping, &format!("becomes “{expected}”: "));
        told(&mapping, why);
    }
    let Decision::Move(name) = &entry(&mapping, &long).decision else { panic!() };
    assert!(name.wire.len() <= 240 && name.text.starts_with("üüü"), "{} octets", name.wire.len());
    assert!(name.text.contains('~'), "what is cut is told apart: {}", name.text);
    assert!(mapping.entries.iter().all(|entry| !entry.decision_text().contains('\t')));
    assert!(mapping.remarks.iter().all(|remark| !remark.contains('\t')), "no raw control characters");
}

#[test]
fn a_changed_name_never_takes_the_place_of_another_mailbox() {
    let source = Side::new("", Some('.')).mailbox("a/b").mailbox("a_b").mailbox("c/d");
    let mapping = plain(&source, &Side::new("", Some('/')).mailbox("c_d"));
    assert_eq!(fate(&mapping, "a_b"), "a_b", "a name that can stay does");
    assert!(fate(&mapping, "a/b").starts_with("a_b~"));
    assert!(fate(&mapping, "c/d").starts_with("c_d~"), "what is at the target is somebody's");
}

#[test]
fn a_deep_path_is_lifted_to_the_depth_that_the_target_takes() {
    let deep = (1..=12).map(|level| level.to_string()).collect::<Vec<_>>().join("/");
    let mapping = plain(&Side::new("", Some('/')).mailbox(&deep), &Side::new("", Some('/')));
    assert_eq!(fate(&mapping, &deep), "1/2/3/4/5/6/7/8/9/10_11_12");
    let long: Vec<String> = (0..12).map(|level| format!("{level}{}", "x".repeat(59))).collect();
    let mut dovecot = Side::new("", Some('/'));
    dovecot.abilities.product = "Dovecot".into();
    let mapping = plain(&Side::new("", Some('/')).mailbox(&long.join("/")), &dovecot);
    let Decision::Move(name) = &entry(&mapping, &long.join("/")).decision else { panic!() };
    assert!(name.wire.len() <= 400, "{} octets", name.wire.len());
}

#[test]
fn every_mailbox_that_is_made_has_a_second_name_that_any_server_takes() {
    let source = Side::new("", Some('/')).mailbox("Kunden/example.org").mailbox("Plain");
    let mapping = plain(&source, &Side::new("", Some('/')));
    let spare = |name: &str| entry(&mapping, name).spare.clone().unwrap().text;
    assert!(
        spare("Kunden/example.org").starts_with("Kunden/example_org~"),
        "{}",
        spare("Kunden/example.org")
    );
    assert!(spare("Plain").starts_with("Plain~"));
    assert_eq!(entry(&mapping, "INBOX").spare, None);
}

impl Entry {
    fn decision_text(&self) -> &str {
        match &self.decision {
            Decision::Move(name) => &name.text,
            Decision::Exclude(text) | Decision::Refuse(text) => text,
        }
    }
}

#[test]
fn a_delimiter_hidden_in_an_encoded_run_is_seen() {
    let source = Side::new("", Some('.')).wire(&b"a&AC8-b"[..]);
    assert_eq!(fate(&plain(&source, &Side::new("", Some('/'))), "a/b"), "a_b");
    assert_eq!(fate(&plain(&source, &Side::new("", Some('.'))), "a/b"), "a/b");
}

#[test]
fn names_that_no_server_would_create_are_written_canonically_and_kept_apart() {
    let source = Side::new("", Some('/'))
        .wire(&b"R&D"[..])
        .wire(&b"Entw\xfcrfe"[..])
        .wire("Prüfung".as_bytes())
        .wire(&b"&AGEAYg-"[..])
        .wire(&b"ab"[..]);
    let mapping = plain(&source, &Side::new("", Some('/')));
    let moved: HashSet<&[u8]> = mapping
        .entries
        .iter()
        .filter_map(|entry| match &entry.decision {
            Decision::Move(name) => Some(&name.wire[..]),
            _ => None,
        })
        .collect();
    let expected: [&[u8]; 6] = [b"INBOX", b"R&-D", b"Entw&APw-rfe", b"Pr&APw-fung", b"ab", b"ab~fb8e"];
    assert_eq!(moved, HashSet::from(expected));
}

#[test]
fn flat_name_spaces_on_either_side() {
    let flat = Side::new("", None).mailbox("a.b");
    assert_eq!(fate(&plain(&flat, &Side::new("", Some('/'))), "a.b"), "a.b");
    assert_eq!(fate(&plain(&flat, &Side::new("", Some('.'))), "a.b"), "a_b");
    let deep = Side::new("", Some('/')).mailbox("a/b").mailbox("c");
    let mapping = plain(&deep, &Side::new("", None));
    assert_eq!(fate(&mapping, "a/b"), "a_b");
    told(&mapping, "no levels");
    assert_eq!(fate(&mapping, "c"), "c");
}

#[test]
fn a_target_that_speaks_utf8_gets_utf8() {
    let mut target = Side::new("", Some('/'));
    target.abilities.utf8_names = true;
    let mapping = plain(&Side::new("", Some('/')).mailbox("Entwürfe"), &target);
    let Decision::Move(name) = &entry(&mapping, "Entwürfe").decision else { panic!() };
    assert_eq!(name.wire, "Entwürfe");
}

#[test]
fn what_cannot_be_opened_and_what_is_not_ones_own_is_left_out_by_name() {
    let source = Side::new("", Some('/'))
        .mailbox("Knoten")
        .with(|info| info.selectable = false)
        .mailbox("Knoten/Blatt")
        .mailbox("user/bob")
        .with(|info| info.space = Space::OtherUsers)
        .mailbox("Public")
        .with(|info| info.space = Space::Shared);
    let mapping = plain(&source, &Side::new("", Some('/')));
    assert_eq!(fate(&mapping, "Knoten"), "-not-selectable");
    assert_eq!(fate(&mapping, "Knoten/Blatt"), "Knoten/Blatt");
    assert_eq!(fate(&mapping, "user/bob"), "-other-users");
    assert_eq!(fate(&mapping, "Public"), "-shared");
}

#[test]
fn a_mailbox_without_a_name_at_the_target_is_no_place_for_mail() {
    let both = survey(&Side::new("", Some('/')), &Side::new("", Some('/')).wire(Vec::new()));
    let rules = MappingRules { map: vec![("INBOX".into(), " ".into())], into: None };
    let mapping = map(&both, &rules, &Selection::default(), &[]);
    assert!(!matches!(&mapping.entries[0].decision, Decision::Move(name) if name.wire.is_empty()));
}

#[test]
fn selection_is_by_decoded_source_name() {
    let source = Side::new("INBOX.", Some('.')).mailbox("INBOX.Müll").mailbox("INBOX.Listen.rust");
    let both = survey(&source, &Side::new("", Some('/')));
    let selection = Selection { exclude: vec!["INBOX.M*".into(), "*.rust".into()], ..Selection::default() };
    let mapping = map(&both, &MappingRules::default(), &selection, &[]);
    assert_eq!(fate(&mapping, "INBOX.Müll"), "-exclude:INBOX.M*");
    assert_eq!(fate(&mapping, "INBOX.Listen.rust"), "-exclude:*.rust");
    let only = Selection { only: vec!["inbox".into(), "INBOX.Müll".into()], ..Selection::default() };
    let mapping = map(&both, &MappingRules::default(), &only, &[]);
    assert_eq!(fate(&mapping, "INBOX"), "INBOX");
    assert_eq!(fate(&mapping, "INBOX.Müll"), "Müll");
    assert_eq!(fate(&mapping, "INBOX.Listen.rust"), "-mailbox");
}

#[test]
fn a_rule_that_names_nothing_is_a_problem_with_near_names() {
    let both = survey(&Side::new("", Some('/')).mailbox("Projekte"), &Side::new("", Some('/')));
    let only = Selection { only: vec!["Projekt".into()], ..Selection::default() };
    let mapping = map(&both, &rules(&[("Xyzzy Quux", "A")]), &only, &[]);
    assert_eq!(mapping.problems.len(), 2, "{:?}", mapping.problems);
    assert!(mapping.problems[0].contains("did you mean \"Projekte\"?"));
    assert!(mapping.problems[1].contains("--map \"Xyzzy Quux\""));
    let idle = Selection { exclude: vec!["Nichts*".into()], ..Selection::default() };
    let mapping = map(&both, &MappingRules::default(), &idle, &[]);
    assert!(mapping.problems.is_empty() && mapping.remarks[0].contains("matches no mailbox"));
}

#[test]
fn impossible_and_contradicting_rules_are_problems() {
    let both = survey(&Side::new("", Some('/')).mailbox("A"), &Side::new("", Some('/')));
    let problems = |rules: &MappingRules| map(&both, rules, &Selection::default(), &[]).problems;
    assert!(problems(&rules(&[("A", "x//y")]))[0].contains("--map \"A=x//y\""));
    assert!(problems(&rules(&[("A", "x"), ("A", "y")]))[0].contains("twice"));
    assert!(problems(&MappingRules { into: Some(String::new()), map: vec![] })[0].contains("--into"));
}

#[test]
fn into_puts_everything_below_one_mailbox() {
    let source =
        Side::new("", Some('/')).mailbox("Inbox/Sub").mailbox("Gesendet").role(Role::Sent).mailbox("X");
    let target = Side::new("INBOX.", Some('.')).mailbox("INBOX.Sent").role(Role::Sent);
    let mut rules = rules(&[("X", "INBOX.Extra")]);
    rules.into = Some("Alt.Konto".into());
    let mapping = ruled(&source, &target, &rules);
    assert_eq!(fate(&mapping, "INBOX"), "INBOX.Alt.Konto.INBOX");
    assert_eq!(fate(&mapping, "Inbox/Sub"), "INBOX.Alt.Konto.INBOX.Sub");
    assert_eq!(fate(&mapping, "Gesendet"), "INBOX.Alt.Konto.Gesendet");
    assert_eq!(fate(&mapping, "X"), "INBOX.Extra");
}

#[test]
fn the_journal_stays_right_when_the_server_changes_and_objects_when_the_person_does() {
    let source = Side::new("", Some('/')).mailbox("Gesendet").role(Role::Sent).mailbox("Neu");
    let before = plain(&source, &Side::new("", Some('/')));
    let earlier = records(&before);
    // The target announces \Sent now: a fresh mapping would differ, the old one stays.
    let after = survey(&source, &Side::new("", Some('/')).mailbox("Sent").role(Role::Sent));
    let mapping = map(&after, &MappingRules::default(), &Selection::default(), &earlier);
    assert_eq!(fate(&mapping, "Gesendet"), "Gesendet");
    assert!(mapping.conflicts.is_empty());
    let mapping = map(&after, &rules(&[("Neu", "Anders")]), &Selection::default(), &earlier);
    assert_eq!(mapping.conflicts[0].to_string(), "“Neu” went to “Neu”, now it would go to “Anders”");
    let into = MappingRules { into: Some("Alt".into()), map: vec![] };
    assert_eq!(dropped_rules(&after, &MappingRules::default(), &into, &earlier).len(), 3);
    assert_eq!(dropped_rules(&after, &into, &into, &earlier).len(), 0);
    // The same rules again are no conflict.
    let pinned = rules(&[("Neu", "Anders")]);
    let earlier = records(&map(&after, &pinned, &Selection::default(), &[]));
    assert!(map(&after, &pinned, &Selection::default(), &earlier).conflicts.is_empty());
    // Dropping one is.
    let dropped = dropped_rules(&after, &pinned, &MappingRules::default(), &earlier);
    assert_eq!(dropped.len(), 1);
    assert_eq!((&*dropped[0].was, &*dropped[0].now), ("Anders", "Neu"));
}

#[test]
fn a_refused_mailbox_may_be_mapped_later() {
    let both = survey(&Side::new("", Some('/')).mailbox("a").mailbox("b"), &Side::new("", Some('/')));
    let (before, after) = (rules(&[("a", "x"), ("b", "x")]), rules(&[("a", "x"), ("b", "y")]));
    let mapping = map(&both, &before, &Selection::default(), &[]);
    refused(&mapping, "b", "“a” goes already; choose another name with --map \"b=…\"");
    let earlier = records(&mapping);
    let mapping = map(&both, &after, &Selection::default(), &earlier);
    assert!(mapping.conflicts.is_empty());
    assert_eq!(fate(&mapping, "b"), "y");
    assert!(dropped_rules(&both, &before, &after, &earlier).is_empty());
}

#[test]
fn a_mailbox_left_out_later_keeps_its_target_and_nobody_takes_it() {
    let source = Side::new("", Some('/')).mailbox("Sent").mailbox("Sent Items").role(Role::Sent);
    let target = Side::new("", Some('/'));
    let earlier = records(&plain(&source, &target));
    let selection = Selection { exclude: vec!["Sent".into()], ..Selection::default() };
    let mapping = map(&survey(&source, &target), &MappingRules::default(), &selection, &earlier);
    assert_eq!(entry(&mapping, "Sent").left_out.as_deref(), Some("exclude:Sent"));
    assert_eq!(fate(&mapping, "Sent"), "Sent");
    // Without an earlier run the name is free.
    let announced = Side::new("", Some('/')).mailbox("Sent").role(Role::Sent);
    let mapping = map(&survey(&source, &announced), &MappingRules::default(), &selection, &[]);
    assert_eq!(
        (fate(&mapping, "Sent"), fate(&mapping, "Sent Items")),
        ("-exclude:Sent".into(), "Sent".into())
    );
}

#[test]
fn a_mailbox_that_the_source_no_longer_lists_is_kept_in_mind_and_its_target_stays_its_own() {
    let before = Side::new("", Some('/')).mailbox("Alt");
    let earlier = records(&ruled(&before, &Side::new("", Some('/')), &rules(&[("Alt", "Neu")])));
    let after = survey(&Side::new("", Some('/')).mailbox("Neu"), &Side::new("", Some('/')));
    let mapping = map(&after, &MappingRules::default(), &Selection::default(), &earlier);
    assert_eq!(mapping.vanished.len(), 1);
    assert!(fate(&mapping, "Neu").starts_with("Neu~"), "{}", fate(&mapping, "Neu"));
}

#[test]
fn a_mailbox_of_gmails_that_was_moved_under_another_name_is_not_copied_once_more_without_a_word() {
    let gmail = |sent: &str, all: &str| {
        let mut side = Side::new("", Some('/')).mailbox(sent).role(Role::Sent).mailbox(all).role(Role::All);
        side.abilities.gmail = true;
        side
    };
    let english = gmail("[Gmail]/Sent Mail", "[Gmail]/All Mail");
    let german = gmail("[Gmail]/Gesendet", "[Gmail]/Alle Nachrichten");
    let target = Side::new("", Some('/'));
    let mut earlier = records(&plain(&english, &target));
    for record in &mut earlier {
        let is_of = |m: &&crate::end::MailboxInfo| m.text == record.source.text;
        record.role =
            english.listed.iter().find(is_of).and_then(|m| m.role).map(|role| role.as_str().to_owned());
    }
    let again = |source: &Side, rules: &MappingRules, exclude: &[&str]| {
        let exclude = exclude.iter().map(|e| (*e).to_owned()).collect();
        map(&survey(source, &target), rules, &Selection { exclude, ..Selection::default() }, &earlier)
            .problems
    };
    let none = MappingRules::default();
    assert_eq!(again(&english, &none, &[]), [""; 0]);
    let problems = again(&german, &none, &[]);
    assert!(problems.len() == 1 && problems[0].contains("“[Gmail]/Sent Mail”"), "{problems:?}");
    assert_eq!(again(&german, &none, &["*Gesendet"]), [""; 0]);
    assert_eq!(again(&german, &rules(&[("[Gmail]/Gesendet", "Anew")]), &[]), [""; 0]);
    let mut other = german.clone();
    other.abilities.gmail = false;
    assert_eq!(again(&other, &none, &[]), [""; 0], "elsewhere a mailbox is what its name says");
}

#[test]
fn an_equal_name_does_not_hand_mail_to_other_people() {
    let source = Side::new("", Some('/')).mailbox("Team").mailbox("Team/2019");
    let target = Side::new("", Some('/')).mailbox("Team").with(|info| info.space = Space::Shared);
    let mapping = plain(&source, &target);
    assert!(fate(&mapping, "Team").starts_with("Team~"));
    assert_eq!(fate(&mapping, "Team/2019"), format!("{}/2019", fate(&mapping, "Team")));
    // A level that is no mailbox of ours does not lead there either.
    let mapping = plain(&Side::new("", Some('/')).mailbox("Team/2019"), &target);
    assert!(fate(&mapping, "Team/2019").starts_with("Team~"), "{}", fate(&mapping, "Team/2019"));
    assert_eq!(fate(&ruled(&source, &target, &rules(&[("Team", "Team")])), "Team"), "Team");
}
