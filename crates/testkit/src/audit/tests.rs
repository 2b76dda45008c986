use super::*;
use crate::date::InternalDate;
use crate::image::{Content, MailboxPath, MessageImage};
use serde_json::{Value, json};

fn letter(uid: u32, octets: &'static [u8], flags: &[&str]) -> Letter {
    let content = Content { octets: None, ..Content::of(octets) };
    let image = MessageImage {
        uid,
        flags: Flags::new(flags.iter().copied()),
        internal_date: InternalDate::utc(1_583_230_272),
        content,
    };
    Letter::new(image, octets)
}

fn holding(mailbox: &str, letters: Vec<Letter>) -> Holding {
    let path = MailboxPath::from(mailbox);
    let messages = letters.into_iter().map(|letter| (letter.image.uid, letter)).collect();
    let held = Held { path, levels: vec![mailbox.to_owned()], uid_validity: 7, messages };
    Holding { mailboxes: [(mailbox.to_owned(), held)].into(), ..Holding::default() }
}

/// Three messages: one arrived as it is, one with other line ends and without a keyword, one was refused.
struct Case {
    source: Holding,
    before: Holding,
    after: Holding,
    papers: Papers,
}

fn line(uid: u32, octets: &'static [u8], more: Value) -> Line {
    let mut line = json!({
        "source": {"mailbox": "Mail", "uidvalidity": 7, "uid": uid},
        "sha256": hex(&Content::of(octets).sha256),
        "target": {"mailbox": "Mail", "uidvalidity": 7, "uid": uid + 10},
        "grade": "exact",
        "state": "verified",
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Line(line)
}

fn case() -> Case {
    let [one, two, three] = [&b"a: 1\r\n\r\none\r\n"[..], b"a: 2\n\ntwo\n", b"no mail"];
    let source = holding(
        "Mail",
        vec![letter(1, one, &["\\Seen"]), letter(2, two, &["\\Seen", "x]"]), letter(3, three, &[])],
    );
    let after =
        holding("Mail", vec![letter(11, one, &["\\Seen"]), letter(12, b"a: 2\r\n\r\ntwo\r\n", &["\\Seen"])]);
    let lines = vec![
        line(1, one, json!({})),
        line(2, two, json!({"grade": "newline", "flags": {"sent": ["\\Seen"], "read_back": ["\\Seen"]}})),
        line(
            3,
            three,
            json!({"grade": null, "target": null, "state": "exception", "reason": {"kind": "refused"}}),
        ),
    ];
    let report = json!({
        "totals": {
            "listed": 3, "verified": {"exact": 1, "newline": 1, "semantic": 0}, "exceptions": 1, "merged": 0, "stored": 0,
            "pending": 0, "remainder": 0,
        },
        "manifest": {"lines": 3},
        "mailboxes": [{
            "source_name": "Mail", "source_wire": "Mail", "target_name": "Mail", "target_wire": "Mail",
            "decision": "move",
        }],
        "remarks": [], "doubts": [],
    });
    Case { source, before: holding("Mail", Vec::new()), after, papers: Papers { report, lines } }
}

fn judged(case: &Case) -> Audit {
    audit(&case.source, &case.before, &case.after, &case.papers)
}

#[test]
fn what_is_told_as_it_is_gives_counts_and_no_finding() {
    let Audit { tally, findings, fates } = judged(&case());
    assert_eq!(findings, Vec::<String>::new());
    let ended: Vec<_> = fates.iter().map(|fate| (fate.uid, fate.ended, fate.flags_changed)).collect();
    let expected = [(1, Ended::Exact, false), (2, Ended::LineEnds, true), (3, Ended::Refused, false)];
    assert_eq!(ended, expected, "one for each message");
    assert!(fates[1].only_carriage_returns && !fates[2].only_carriage_returns);
    let expected =
        Tally { messages: 3, exact: 1, line_ends: 1, refused: 1, flags: 1, mailboxes: 1, ..Tally::default() };
    assert_eq!(tally, expected);
}

#[test]
fn whatever_is_not_as_it_is_told_is_found() {
    fn there(case: &mut Case) -> &mut std::collections::BTreeMap<u32, Letter> {
        &mut case.after.mailboxes.get_mut("Mail").unwrap().messages
    }
    type Lie = (&'static str, fn(&mut Case));
    let lies: [Lie; 17] = [
        ("its target is not there", |c| _ = there(c).remove(&11)),
        ("nobody's", |c| _ = there(c).insert(13, letter(13, b"a: 3\r\n\r\nx", &[]))),
        ("octets are other", |c| _ = there(c).insert(11, letter(11, b"a: 1\r\n\r\n0ne\r\n", &["\\Seen"]))),
        ("octets are newline", |c| _ = there(c).insert(11, letter(11, b"a: 1\r\n\r\none", &["\\Seen"]))),
        ("the flags were", |c| _ = there(c).insert(11, letter(11, b"a: 1\r\n\r\none\r\n", &[]))),
        ("told is", |c| c.papers.lines[1].0["flags"]["read_back"] = json!(["x]"])),
        ("the flags were", |c| c.papers.lines[0].0["flags"] = json!({"sent": [], "read_back": ["\\Seen"]})),
        ("the date was", |c| there(c).get_mut(&11).unwrap().image.internal_date = InternalDate::utc(0)),
        ("the date was", |c| c.papers.lines[0].0["date"] = json!({"sent": null, "read_back": null})),
        ("no line", |c| _ = c.papers.lines.pop()),
        ("two lines", |c| c.papers.lines.push(c.papers.lines[0].clone())),
        ("claimed twice", |c| c.papers.lines[1].0["target"]["uid"] = json!(11)),
        ("no reason", |c| c.papers.lines[2].0["reason"] = Value::Null),
        ("not those of sha256", |c| c.papers.lines[0].0["sha256"] = json!("00")),
        ("is not subscribed", |c| _ = c.source.subscriptions.insert("Mail".into())),
        ("rows in the report", |c| c.papers.report["mailboxes"] = json!([])),
        ("/totals/exceptions is", |c| c.papers.report["totals"]["exceptions"] = json!(0)),
    ];
    for (at, (words, lie)) in lies.into_iter().enumerate() {
        let mut lying = case();
        lie(&mut lying);
        let findings = judged(&lying).findings;
        assert!(findings.iter().any(|finding| finding.contains(words)), "lie {at}, {words}: {findings:?}");
    }
}

#[test]
fn what_was_there_before_and_is_gone_is_found() {
    let mut case = case();
    case.before = holding("Mail", vec![letter(5, b"a: 5\r\n\r\nfive\r\n", &[])]);
    assert!(judged(&case).findings.iter().any(|finding| finding.contains("was at the target before")));
}
