use super::*;
use crate::end::{Abilities, Role};
use proptest::prelude::*;

fn mailbox(wire: &str, delimiter: char) -> MailboxInfo {
    MailboxInfo {
        wire: wire.to_owned().into(),
        text: decoded(wire.as_bytes()),
        delimiter: Some(delimiter),
        selectable: true,
        may_have_children: true,
        role: None,
        subscribed: true,
        space: Space::Personal,
        counts: None,
    }
}

fn with_role(wire: &str, delimiter: char, role: Role) -> MailboxInfo {
    MailboxInfo { role: Some(role), ..mailbox(wire, delimiter) }
}

fn account(prefix: &str, delimiter: char) -> Abilities {
    let prefix = Prefix { wire: prefix.to_owned().into(), delimiter: Some(delimiter) };
    Abilities { personal: vec![prefix], ..Abilities::default() }
}

/// A source with prefix `INBOX.` and `.`, a target without prefix and `/`.
fn survey(source: Vec<MailboxInfo>, target: Vec<MailboxInfo>) -> Survey {
    Survey {
        source: account("INBOX.", '.'),
        target: account("", '/'),
        source_mailboxes: source,
        target_mailboxes: target,
        ..Survey::default()
    }
}

fn check(survey: &Survey, rules: &MappingRules) -> Vec<String> {
    map(survey, rules, &Selection::default())
        .iter()
        .map(|m| match &m.decision {
            Decision::Move(name) => String::from_utf8_lossy(&name.wire).into_owned(),
            Decision::Exclude(rule) => format!("excluded by {rule}"),
            Decision::Refuse(reason) => format!("refused: {reason}"),
        })
        .collect()
}

#[test]
fn prefix_and_delimiter_are_translated_both_ways() {
    let names = ["INBOX", "INBOX.Work.2020", "INBOX.Entw&APw-rfe"];
    let s = survey(names.map(|n| mailbox(n, '.')).to_vec(), vec![mailbox("INBOX", '/')]);
    assert_eq!(check(&s, &MappingRules::default()), ["INBOX", "Work/2020", "Entw&APw-rfe"]);
    let back = Survey {
        source: s.target.clone(),
        target: s.source.clone(),
        source_mailboxes: ["Inbox", "Work/2020", "Entw&APw-rfe"].map(|n| mailbox(n, '/')).to_vec(),
        target_mailboxes: vec![mailbox("INBOX", '.')],
        ..Survey::default()
    };
    assert_eq!(check(&back, &MappingRules::default()), names);
}

#[test]
fn children_of_inbox_stay_below_inbox() {
    let s = Survey {
        source: account("", '/'),
        target: account("", '.'),
        source_mailboxes: vec![mailbox("Inbox", '/'), mailbox("inbox/x", '/')],
        target_mailboxes: vec![mailbox("INBOX", '.')],
        ..Survey::default()
    };
    assert_eq!(check(&s, &MappingRules::default()), ["INBOX", "INBOX.x"]);
}

#[test]
fn a_role_that_both_sides_announce_decides_the_name() {
    let s = survey(
        vec![with_role("INBOX.Sent Messages", '.', Role::Sent), mailbox("INBOX.Sent", '.')],
        vec![mailbox("INBOX", '/'), with_role("Sent", '/', Role::Sent)],
    );
    let got = check(&s, &MappingRules::default());
    assert_eq!(got[0], "Sent");
    assert!(got[1].starts_with("refused: \"INBOX.Sent Messages\" goes to \"Sent\" already"), "{}", got[1]);
}

#[test]
fn the_persons_rules_come_first() {
    let s = survey(vec![mailbox("INBOX.Alt", '.'), mailbox("INBOX", '.')], vec![mailbox("INBOX", '/')]);
    let rules = MappingRules { map: vec![("INBOX.Alt".into(), "Archiv/Früher".into())], into: None };
    assert_eq!(check(&s, &rules), ["Archiv/Fr&APw-her", "INBOX"]);
    let rules = MappingRules { map: Vec::new(), into: Some("Old".into()) };
    assert_eq!(check(&s, &rules), ["Old/Alt", "Old/INBOX"]);
}

#[test]
fn what_cannot_be_carried_is_refused_with_a_reason() {
    let s = survey(
        vec![mailbox("INBOX.a/b", '.'), mailbox("INBOX.R&D", '.'), mailbox("INBOX.x..y", '.')],
        vec![mailbox("INBOX", '/')],
    );
    let got = check(&s, &MappingRules::default());
    assert!(got[0].contains("contains /"), "{}", got[0]);
    assert!(got[1].contains("modified UTF-7"), "{}", got[1]);
    assert!(got[2].contains("empty part"), "{}", got[2]);
    assert!(got.iter().all(|g| g.contains("--map")));
}

#[test]
fn selection_leaves_out_by_a_named_rule() {
    let mut parent = mailbox("INBOX.p", '.');
    parent.selectable = false;
    let mut other = mailbox("user.x", '.');
    other.space = Space::OtherUsers;
    let s = survey(vec![mailbox("INBOX.Trash", '.'), parent, other], vec![mailbox("INBOX", '/')]);
    let selection = Selection { exclude: vec!["*.Tr?sh".into()], ..Selection::default() };
    let rules: Vec<Decision> =
        map(&s, &MappingRules::default(), &selection).into_iter().map(|m| m.decision).collect();
    let exclude = |r: &str| Decision::Exclude(r.into());
    assert_eq!(rules, [exclude("exclude:*.Tr?sh"), exclude("not-selectable"), exclude("other-users")]);
    let missing = Selection { only: vec!["Nope".into()], ..Selection::default() };
    assert_eq!(unmatched(&s, &MappingRules::default(), &missing), ["Nope"]);
}

proptest! {
    #[test]
    fn no_two_mailboxes_share_a_target_and_inbox_is_fixed(
        names in proptest::collection::btree_set("[a-c./ ü]{1,6}", 1..12),
        into in proptest::option::of("[a-c]{1,3}"),
    ) {
        let mut source: Vec<MailboxInfo> =
            names.iter().map(|n| mailbox(&format!("INBOX.{}", mailhaul_imap::utf7::encode(n)), '.')).collect();
        source.push(mailbox("INBOX", '.'));
        let s = survey(source, vec![mailbox("INBOX", '/')]);
        let rules = MappingRules { map: Vec::new(), into };
        let mapped = map(&s, &rules, &Selection::default());
        prop_assert_eq!(mapped.len(), s.source_mailboxes.len());
        let targets: Vec<&Bytes> = mapped.iter().filter_map(|m| match &m.decision {
            Decision::Move(name) => Some(&name.wire),
            _ => None,
        }).collect();
        let unique: std::collections::BTreeSet<&Bytes> = targets.iter().copied().collect();
        prop_assert_eq!(unique.len(), targets.len());
        if rules.into.is_none() {
            let inbox = mapped.last().map(|m| m.decision.clone());
            prop_assert!(matches!(inbox, Some(Decision::Move(n)) if n.wire == "INBOX"));
        }
        prop_assert_eq!(&mapped, &map(&s, &rules, &Selection::default()));
    }
}
