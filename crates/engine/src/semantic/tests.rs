use super::*;

const LETTER: &str = "From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: Gr\u{fc}\u{df}e aus Wien\r\n\
    Date: Tue, 3 Mar 2020 10:11:12 +0100\r\nMessage-ID: <1@example.org>\r\nReceived: from a by b\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\r\nDear Bob,\r\n";

fn of(read: &str) -> Comparison {
    compare(LETTER.as_bytes(), read.as_bytes())
}

fn words(comparison: &Comparison) -> Vec<String> {
    comparison.deltas.iter().map(ToString::to_string).collect()
}

#[test]
fn a_message_means_the_same_as_itself() {
    assert_eq!(of(LETTER), Comparison { same: true, deltas: vec![], further: 0 });
}

#[test]
fn headers_added_removed_refolded_and_in_another_order_leave_the_meaning_and_are_listed() {
    let added = of(&format!("X-Virus: clean\r\n{LETTER}"));
    assert!(added.same);
    assert_eq!(added.deltas, [Delta::HeaderAdded("x-virus".into(), 16)]);
    let removed = of(&LETTER.replace("Received: from a by b\r\n", ""));
    assert!(removed.same);
    assert_eq!(words(&removed), ["received was removed (23 octets)"]);
    let refolded = of(&LETTER.replace("Ann <ann", "Ann\r\n <ann"));
    assert_eq!(refolded, Comparison { same: true, deltas: vec![], further: 0 });
    let (to, from) = ("To: bob@example.org\r\n", "From: Ann <ann@example.org>\r\n");
    let turned = of(&LETTER.replace(to, "").replace(from, &format!("{to}{from}")));
    assert_eq!(turned, Comparison { same: true, deltas: vec![], further: 0 });
}

#[test]
fn a_subject_encoded_anew_means_the_same_and_a_replaced_character_does_not() {
    let encoded = of(&LETTER.replace("Gr\u{fc}\u{df}e aus Wien", "=?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus Wien"));
    assert!(encoded.same);
    assert_eq!(encoded.deltas, [Delta::HeaderRewritten("subject".into())]);
    let munged = of(&LETTER.replace("Gr\u{fc}\u{df}e", "GrXXXXe"));
    assert!(!munged.same);
    assert_eq!(munged.deltas, [Delta::HeaderMunged("subject".into(), 4)]);
    let another = of(&LETTER.replace("Wien", "Graz"));
    assert!(!another.same);
    assert_eq!(another.deltas, [Delta::HeaderChanged("subject".into())]);
}

#[test]
fn a_date_in_another_zone_means_the_same_and_another_instant_does_not() {
    let zone = of(&LETTER.replace("10:11:12 +0100", "09:11:12 +0000"));
    assert!(zone.same);
    assert_eq!(zone.deltas, [Delta::HeaderRewritten("date".into())]);
    assert!(!of(&LETTER.replace("10:11:12", "10:11:13")).same);
}

#[test]
fn an_identity_header_that_is_gone_or_doubled_is_another_meaning() {
    assert!(!of(&LETTER.replace("Message-ID: <1@example.org>\r\n", "")).same);
    assert!(!of(&format!("To: eve@example.org\r\n{LETTER}")).same);
}

#[test]
fn a_body_encoded_anew_means_the_same_and_another_octet_does_not() {
    let plain = LETTER.replace("Content-Type", "Content-Transfer-Encoding: 8bit\r\nContent-Type");
    let base64 = LETTER
        .replace("Content-Type", "Content-Transfer-Encoding: base64\r\nContent-Type")
        .replace("Dear Bob,\r\n", "RGVhciBCb2IsDQo=\r\n");
    let encoded = compare(plain.as_bytes(), base64.as_bytes());
    assert!(encoded.same);
    assert_eq!(
        encoded.deltas,
        [Delta::HeaderChanged("content-transfer-encoding".into()), Delta::LeafRewritten(1)]
    );
    let changed = of(&LETTER.replace("Dear Bob", "Dear Rob"));
    assert!(!changed.same);
    assert_eq!(changed.deltas, [Delta::LeafChanged(1)]);
}

#[test]
fn attachments_count_by_number_name_and_content() {
    let mixed = |parts: &[(&str, &str)]| {
        let mut text =
            String::from("Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n");
        for (name, octets) in parts {
            text += &format!(
                "--b\r\nContent-Type: application/octet-stream; name={name}\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{octets}\r\n"
            );
        }
        text + "--b--\r\n"
    };
    let two = mixed(&[("a.bin", "AAAA"), ("b.bin", "BBBB")]);
    let same = |other: &str| compare(two.as_bytes(), other.as_bytes()).same;
    assert!(same(&two));
    assert!(same(&two.replace("preamble", "another preamble")));
    assert!(!same(&mixed(&[("a.bin", "AAAA")])));
    assert!(!same(&mixed(&[("a.bin", "AAAA"), ("c.bin", "BBBB")])));
    assert!(!same(&mixed(&[("a.bin", "AAAA"), ("b.bin", "BBBA")])));
    assert!(!same(&mixed(&[("b.bin", "BBBB"), ("a.bin", "AAAA")])));
    let wrapped = compare(two.as_bytes(), two.replace("preamble", "x").as_bytes());
    assert_eq!(wrapped.deltas, [Delta::Structure]);
}

#[test]
fn a_truncated_message_and_one_that_is_none_are_never_the_same() {
    let nul = LETTER.replace("Dear Bob", "Dear\0Bob");
    assert!(!compare(nul.as_bytes(), nul.replace('\0', "\u{80}").as_bytes()).same);
    assert!(!of(&LETTER[..LETTER.len() - 6]).same);
    assert!(!of("").same);
    assert!(compare(b"", b"").same);
    assert!(!compare(b"no header at all", b"no header at all, no").same);
}

#[test]
fn many_deltas_are_counted_and_not_all_told() {
    let more: String = (0..DELTAS_MAX + 10).map(|n| format!("X-{n}: y\r\n")).collect();
    let comparison = of(&format!("{more}{LETTER}"));
    assert_eq!((comparison.deltas.len(), comparison.further), (DELTAS_MAX, 10));
    assert!(comparison.to_string().ends_with("; and 10 more"));
}

proptest::proptest! {
    #[test]
    fn whatever_the_octets_comparing_ends_and_a_message_is_the_same_as_itself(
        a in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
        b in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
    ) {
        compare(&a, &b);
        proptest::prop_assert!(compare(&a, &a).same);
        proptest::prop_assert_eq!(compare(&a, &a).deltas, vec![]);
    }
}

#[test]
fn a_rewritten_copy_has_the_provenance_of_the_message_and_mail_that_came_another_way_has_not() {
    let rewritten = [
        format!("X-Stored-As: 7\r\n{LETTER}"),
        LETTER.replace("10:11:12 +0100", "09:11:12 +0000"),
        LETTER.replace("Gr\u{fc}\u{df}e aus Wien", "=?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus Wien"),
        LETTER.replace(
            "charset=utf-8\r\n\r\nDear Bob,\r\n",
            "charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nRGVhciBCb2IsDQo=\r\n",
        ),
    ];
    for other in rewritten {
        assert_eq!(provenance(other.as_bytes()), provenance(LETTER.as_bytes()), "{other}");
    }
    let others = [
        LETTER.replace("Received: from a by b", "Received: from a by c"),
        format!("Received: from b by c\r\n{LETTER}"),
        LETTER.replace("Dear Bob", "Dear Eve"),
        LETTER.replace("Subject: ", "Comments: "),
        LETTER.replace("<1@", "<2@"),
        LETTER.replace("To: bob", "To: bobb"),
        LETTER.replace("10:11:12", "10:11:13"),
        String::new(),
    ];
    for other in others {
        assert_ne!(provenance(other.as_bytes()), provenance(LETTER.as_bytes()), "{other}");
    }
}

/// Compared pair by pair these headers would take hours.
#[test]
fn a_header_of_very_many_fields_is_compared_field_by_field_and_not_each_with_each() {
    let names: String = (0..30_000).map(|n| format!("x{n}: {n}\r\n")).collect();
    let values: String = (0..30_000).map(|n| format!("received: {n}\r\n")).collect();
    let turned: String = (0..30_000).rev().map(|n| format!("received: {n}\r\n")).collect();
    let message = |fields: &str| format!("From: a@b.example\r\n{fields}\r\nbody\r\n");
    let of = |a: &str, b: &str| compare(message(a).as_bytes(), message(b).as_bytes());
    let added = of(&format!("{names}{values}"), &format!("x-new: 1\r\n{names}{turned}"));
    assert!(added.same);
    assert_eq!(added.deltas, [Delta::HeaderAdded("x-new".into(), 10)]);
    let none = of(&values, "");
    assert_eq!(none.deltas.len() + none.further, 30_000);
}
