//! What holds for any two accounts, with rules of a person and with journals of other accounts.

use super::*;
use proptest::prelude::*;

/// Components that provoke: INBOX, other delimiters, case, 8-bit, invalid modified UTF-7, nothing at all.
fn component() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("INBOX".to_owned()),
        Just("Inbox".to_owned()),
        Just("Sent".to_owned()),
        Just("sent".to_owned()),
        Just("a&b".to_owned()),
        Just("x.y".to_owned()),
        Just("x/y".to_owned()),
        Just(String::new()),
        "[a-cäß日&% ]{1,3}",
    ]
}

fn side() -> impl Strategy<Value = Side> {
    let space = prop_oneof![
        Just(("", Some('/'))),
        Just(("", Some('.'))),
        Just(("INBOX.", Some('.'))),
        Just(("INBOX/", Some('/'))),
        Just(("Mail/", Some('/'))),
        Just(("", None)),
    ];
    let mailbox = (proptest::collection::vec(component(), 1..4), 0u8..12, any::<bool>());
    (space, proptest::collection::vec(mailbox, 0..12), any::<bool>()).prop_map(
        |((prefix, delimiter), mailboxes, creates_roles)| {
            let mut side = Side::new(prefix, delimiter);
            side.abilities.creates_roles = creates_roles;
            for (path, kind, raw) in mailboxes {
                let below = if kind % 2 == 0 { prefix } else { "" };
                let text = format!("{below}{}", path.join(&delimiter.map_or("-".into(), String::from)));
                side = if raw { side.wire(text.into_bytes()) } else { side.mailbox(&text) };
                side = side.with(|info| {
                    info.role = Role::ALL.get(usize::from(kind)).copied();
                    info.selectable = kind != 9;
                    info.may_have_children = kind != 10;
                    if kind == 11 {
                        info.space = Space::Shared;
                    }
                });
            }
            side
        },
    )
}

fn any_rules() -> impl Strategy<Value = MappingRules> {
    let maps = proptest::collection::vec((component(), component()), 0..2);
    (maps, proptest::option::weighted(0.3, component())).prop_map(|(map, into)| MappingRules { map, into })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_source_mailbox_is_decided_exactly_once(source in side(), target in side(), rules in any_rules()) {
        let both = survey(&source, &target);
        let mapping = map(&both, &rules, &Selection::default(), &[]);
        let listed: Vec<_> = both.source.mailboxes.iter().map(|m| m.info.wire.clone()).collect();
        let decided: Vec<_> = mapping.entries.iter().map(|e| e.source.wire.clone()).collect();
        prop_assert_eq!(listed, decided);
        let originals: HashSet<_> = source.listed.iter().map(|i| names::key(&i.wire, i.delimiter)).collect();
        let kept: HashSet<_> = mapping.entries.iter().map(|e| key(&e.source)).collect();
        prop_assert_eq!(originals, kept, "nothing listed is dropped");
        prop_assert!(mapping.entries.iter().all(|e| !matches!(&e.decision, Decision::Refuse(why) if why.is_empty())));
    }

    #[test]
    fn no_two_mailboxes_share_a_target(source in side(), target in side(), rules in any_rules()) {
        let mapping = map(&survey(&source, &target), &rules, &Selection::default(), &[]);
        let mut seen = HashSet::new();
        for entry in &mapping.entries {
            if let Decision::Move(name) = &entry.decision {
                prop_assert!(!name.wire.is_empty());
                prop_assert!(seen.insert(key(name)), "{:?} twice", name);
            }
        }
    }

    #[test]
    fn inbox_is_inbox_unless_a_rule_says_otherwise(source in side(), target in side()) {
        let mapping = plain(&source, &target);
        let inbox = mapping.entries.iter().find(|e| names::is_inbox(&e.source.wire)).unwrap();
        if inbox.left_out.is_none() {
            prop_assert!(matches!(&inbox.decision, Decision::Move(name) if name.wire == names::INBOX));
        }
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter(source in side(), target in side(), rules in any_rules()) {
        let mapping = map(&survey(&source, &target), &rules, &Selection::default(), &[]);
        let (mut backwards, mut other) = (source, target);
        backwards.listed.reverse();
        other.listed.reverse();
        prop_assert_eq!(mapping, map(&survey(&backwards, &other), &rules, &Selection::default(), &[]));
    }

    #[test]
    fn a_second_run_decides_the_same(source in side(), target in side(), rules in any_rules()) {
        let both = survey(&source, &target);
        let first = map(&both, &rules, &Selection::default(), &[]);
        let second = map(&both, &rules, &Selection::default(), &records(&first));
        prop_assert!(second.conflicts.is_empty(), "{:?}", second.conflicts);
        let decisions = |mapping: &Mapping| mapping.entries.iter().map(|e| e.decision.clone()).collect::<Vec<_>>();
        prop_assert_eq!(decisions(&first), decisions(&second));
    }

    #[test]
    fn whatever_the_servers_become_nothing_copied_changes_its_place_or_shares_it(
        (before, after) in (side(), side()),
        (then, now) in (side(), side()),
        globs in proptest::collection::vec("[a-cS?*]{1,3}", 0..2),
    ) {
        let first = records(&plain(&before, &then));
        let selection = Selection { exclude: globs, ..Selection::default() };
        let second = map(&survey(&after, &now), &MappingRules::default(), &selection, &first);
        let mut places: HashMap<Bytes, Bytes> = HashMap::new();
        let entries = second.entries.iter().map(|e| (&e.source, &e.decision));
        for (source, decision) in entries.chain(second.vanished.iter().map(|r| (&r.source, &r.decision))) {
            if let Decision::Move(name) = decision {
                prop_assert_eq!(places.insert(key(name), key(source)), None, "{:?} shared", name);
            }
        }
        for record in &first {
            if let Decision::Move(name) = &record.decision {
                prop_assert_eq!(places.get(&key(name)), Some(&key(&record.source)));
            }
        }
    }

    #[test]
    fn what_was_made_for_the_target_is_there_on_the_next_look(source in side(), target in side()) {
        let first = plain(&source, &target);
        let mut grown = target;
        for entry in &first.entries {
            if let Decision::Move(name) = &entry.decision
                && !grown.listed.iter().any(|info| names::key(&info.wire, info.delimiter) == key(name))
            {
                grown = grown.wire(name.wire.clone());
            }
        }
        let second = map(&survey(&source, &grown), &MappingRules::default(), &Selection::default(), &records(&first));
        for (a, b) in first.entries.iter().zip(&second.entries) {
            prop_assert_eq!(&a.decision, &b.decision);
        }
    }

    #[test]
    fn a_plain_path_comes_back_from_any_namespace(
        path in proptest::collection::vec("[a-zäöü日 ]{1,8}", 1..4),
        there in prop_oneof![Just(("", '/')), Just(("INBOX.", '.')), Just(("INBOX/", '/')), Just(("Mail/", '\\'))],
    ) {
        prop_assume!(!names::is_inbox(path[0].as_bytes()));
        let mut home = Side::new("", Some('/')).mailbox(&path.join("/"));
        home.abilities.product = "Dovecot".into();
        let (prefix, delimiter) = there;
        let mut away = Side::new(prefix, Some(delimiter));
        away.abilities.product = "Dovecot".into();
        let there = plain(&home, &away);
        let Decision::Move(name) = &there.entries[1].decision else { panic!("{there:?}") };
        away = away.wire(name.wire.clone());
        let mut empty = home.clone();
        empty.listed.truncate(1);
        let back = plain(&away, &empty);
        let Decision::Move(name) = &back.entries[1].decision else { panic!("{back:?}") };
        prop_assert_eq!(&name.wire, &home.listed[1].wire);
    }
}
