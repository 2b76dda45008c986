use super::*;
use crate::date::InternalDate;
use crate::image::{Content, Flags, MailboxImage, MessageImage};

fn message(uid: u32, octets: &str) -> MessageImage {
    MessageImage {
        uid,
        flags: Flags::new(["\\Seen"]),
        internal_date: InternalDate::utc(1_000_000_000),
        content: Content::of(octets.as_bytes().to_vec()),
    }
}

fn account(mailboxes: &[(&str, Vec<MessageImage>)]) -> AccountImage {
    AccountImage {
        mailboxes: mailboxes
            .iter()
            .map(|(path, messages)| MailboxImage { path: (*path).into(), messages: messages.clone() })
            .collect(),
        subscriptions: BTreeSet::new(),
    }
}

fn inbox(messages: Vec<MessageImage>) -> AccountImage {
    account(&[("INBOX", messages)])
}

fn kinds(source: &AccountImage, target: &AccountImage) -> Vec<(DifferenceKind, Option<u32>)> {
    let found = compare(source, target, &PathMap::same());
    found.iter().map(|difference| (difference.kind, difference.uid)).collect()
}

#[test]
fn the_same_account_under_other_uids_is_the_same() {
    let source = inbox(vec![message(1, "a"), message(2, "b"), message(9, "a")]);
    let target = inbox(vec![message(11, "a"), message(12, "b"), message(13, "a")]);
    assert_same(&source, &target, &PathMap::same(), &[]);
}

#[test]
fn a_missing_and_an_extra_mailbox_are_found() {
    let (source, target) =
        (account(&[("INBOX", vec![]), ("a", vec![])]), account(&[("INBOX", vec![]), ("b", vec![])]));
    assert_eq!(
        kinds(&source, &target),
        [(DifferenceKind::MailboxMissing, None), (DifferenceKind::MailboxExtra, None)]
    );
}

#[test]
fn a_missing_message_is_found_and_a_changed_one_is_missing_and_extra() {
    let source = inbox(vec![message(1, "a"), message(2, "b")]);
    assert_eq!(kinds(&source, &inbox(vec![message(5, "a")])), [(DifferenceKind::MessageMissing, Some(2))]);
    assert_eq!(
        kinds(&source, &inbox(vec![message(5, "a"), message(6, "B")])),
        [(DifferenceKind::MessageMissing, Some(2)), (DifferenceKind::MessageExtra, Some(6))]
    );
}

#[test]
fn copies_are_counted() {
    let twice = inbox(vec![message(1, "a"), message(2, "a")]);
    let thrice = inbox(vec![message(1, "a"), message(2, "a"), message(3, "a")]);
    assert_eq!(kinds(&twice, &thrice), [(DifferenceKind::MessageExtra, Some(3))]);
    assert_eq!(kinds(&thrice, &twice), [(DifferenceKind::MessageMissing, Some(3))]);
}

#[test]
fn a_message_in_the_wrong_mailbox_is_missing_there_and_extra_here() {
    let source = account(&[("INBOX", vec![message(1, "a")]), ("x", vec![])]);
    let target = account(&[("INBOX", vec![]), ("x", vec![message(1, "a")])]);
    assert_eq!(
        kinds(&source, &target),
        [(DifferenceKind::MessageMissing, Some(1)), (DifferenceKind::MessageExtra, Some(1))]
    );
}

#[test]
fn line_ends_alone_are_told_from_other_changes() {
    let source = inbox(vec![message(1, "a\nb"), message(2, "c\r\n")]);
    let target = inbox(vec![message(1, "a\r\nb"), message(2, "C\r\n")]);
    assert_eq!(
        kinds(&source, &target),
        [
            (DifferenceKind::OnlyLineEnds, Some(1)),
            (DifferenceKind::MessageMissing, Some(2)),
            (DifferenceKind::MessageExtra, Some(2))
        ]
    );
}

#[test]
fn flags_and_dates_that_differ_are_found() {
    let mut other = inbox(vec![message(1, "a"), message(2, "b")]);
    other.mailboxes[0].messages[0].flags = Flags::new(["\\Seen", "todo"]);
    other.mailboxes[0].messages[1].internal_date = InternalDate::utc(1_000_000_001);
    let source = inbox(vec![message(1, "a"), message(2, "b")]);
    assert_eq!(kinds(&source, &other), [(DifferenceKind::Flags, Some(1)), (DifferenceKind::Date, Some(2))]);
}

#[test]
fn copies_with_other_flags_are_paired_so_that_the_fewest_differ() {
    let plain = |uid| MessageImage { flags: Flags::default(), ..message(uid, "a") };
    let source = inbox(vec![plain(1), message(2, "a")]);
    let target = inbox(vec![plain(1), plain(2)]);
    assert_eq!(kinds(&source, &target), [(DifferenceKind::Flags, Some(2))]);
}

#[test]
fn another_order_is_found_once_a_mailbox() {
    let source = inbox(vec![message(1, "a"), message(2, "b"), message(3, "c"), message(4, "d")]);
    let target = inbox(vec![message(1, "b"), message(2, "a"), message(3, "d"), message(4, "c")]);
    assert_eq!(kinds(&source, &target), [(DifferenceKind::Order, Some(2))]);
}

#[test]
fn subscriptions_of_either_side_are_found() {
    let (mut source, mut target) = (inbox(vec![]), inbox(vec![]));
    source.subscriptions.insert("a".into());
    target.subscriptions.insert("b".into());
    let found = compare(&source, &target, &PathMap::same());
    let paths: Vec<String> = found.iter().map(|difference| difference.mailbox.to_string()).collect();
    assert_eq!(paths, ["a", "b"]);
    assert!(found.iter().all(|difference| difference.kind == DifferenceKind::Subscription));
}

#[test]
fn a_mapped_mailbox_is_looked_for_where_it_was_mapped_to() {
    let (mut source, mut target) =
        (account(&[("Gesendet", vec![message(1, "a")])]), account(&[("Sent", vec![message(1, "a")])]));
    source.subscriptions.insert("Gesendet".into());
    target.subscriptions.insert("Sent".into());
    assert_same(&source, &target, &PathMap::same().with("Gesendet", "Sent"), &[]);
    assert!(!judge(&source, &target, &PathMap::same(), &[]).is_same());
}

#[test]
fn an_allowance_takes_out_what_it_names_and_nothing_else() {
    let source = inbox(vec![message(1, "a"), message(2, "b")]);
    let target = inbox(vec![]);
    let one = Allowance::new(DifferenceKind::MessageMissing, "too large").in_mailbox("INBOX").of_uid(1);
    let verdict = judge(&source, &target, &PathMap::same(), &[one]);
    assert_eq!(verdict.differences.len(), 1);
    assert_eq!(verdict.differences[0].uid, Some(2));
    assert!(verdict.unused.is_empty());
}

#[test]
fn an_allowance_that_is_not_needed_or_not_enough_fails() {
    let source = inbox(vec![message(1, "a"), message(2, "b")]);
    let missing = |count| Allowance::new(DifferenceKind::MessageMissing, "too large").exactly(count);
    let verdict = |count| judge(&source, &inbox(vec![]), &PathMap::same(), &[missing(count)]);
    assert!(verdict(2).is_same());
    assert_eq!(verdict(1).differences.len(), 1);
    assert_eq!(verdict(3).unused, ["MessageMissing (too large): 2 of 3"]);
    let idle = Allowance::new(DifferenceKind::Flags, "no keywords");
    assert!(!judge(&source, &source, &PathMap::same(), &[idle]).is_same());
}

#[test]
#[should_panic(expected = "MessageMissing in INBOX, UID 1: 1 octets")]
fn a_failed_assertion_names_the_message() {
    assert_same(&inbox(vec![message(1, "a")]), &inbox(vec![]), &PathMap::same(), &[]);
}
