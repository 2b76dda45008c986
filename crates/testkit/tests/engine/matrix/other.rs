//! Another checker beside ours: what it says of both accounts is held against the audit, as far as it tells (docs/testing.md).

use mailhaul_testkit::account::Account;
use mailhaul_testkit::audit::{Audit, Ended, Fate, Held, Holding, Letter, Line, Papers};
use mailhaul_testkit::date::InternalDate;
use mailhaul_testkit::image::{Content, Flags, MailboxPath, MessageImage};
use mailhaul_testkit::mutf7;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A message: the levels of its mailbox with `/` between them, and its UID.
type Place = (String, u32);

/// What the checker printed.
#[derive(Default)]
struct Said {
    counts: Value,
    flags: BTreeSet<Place>,
    dates: BTreeSet<Place>,
    /// Messages that are not there, by mailbox.
    missing: BTreeMap<String, i64>,
    /// Messages with other octets, not by line ends alone, by mailbox.
    changed: BTreeMap<String, i64>,
    /// Anything else.
    more: Vec<String>,
}

/// Asks the checker that is named, and tells in what it does not agree with ours.
pub fn ask(
    source: (&Account, &Holding),
    target: (&Account, &Holding),
    papers: &Papers,
    audit: &Audit,
) -> Vec<String> {
    let Some(program) = std::env::var_os("MAILHAUL_OTHER_CHECKER") else { return Vec::new() };
    let url = |account: &Account| {
        format!("imap://{}:{}@{}", account.user, account.password, account.endpoint.address)
    };
    let mut command = std::process::Command::new(program);
    command.args([&*url(source.0), &*url(target.0), "--json", "--show", "1000000"]);
    let mut unsaid = BTreeSet::new();
    for row in papers.report["mailboxes"].as_array().unwrap() {
        let (Some(old), Some(new)) = (row["source_wire"].as_str(), row["target_wire"].as_str()) else {
            continue;
        };
        let (Some(from), Some(to)) = (source.1.mailboxes.get(old), target.1.mailboxes.get(new)) else {
            continue;
        };
        let moved = joined(from) != joined(to);
        if (moved && (joined(from).contains('=') || is_no_text(old)))
            || (is_no_text(old) && last(old) != last(new))
        {
            unsaid.insert(old.to_owned());
        } else if moved {
            command.args(["--map".to_owned(), format!("{}={}", joined(from), joined(to))]);
        }
    }
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    let [counts, lines] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    let Ok(counts) = serde_json::from_str(&counts) else {
        return vec![format!("the other checker: {counts}{lines}")];
    };
    println!("  the other checker: {counts}; not said: {unsaid:?}");
    let mut said = Said { counts, ..Said::default() };
    lines.lines().for_each(|line| said.line(line));
    disagreements(&said, source.1, audit, &unsaid)
}

/// Something of it looks like modified UTF-7 and is none: it shows as other text there and here.
fn is_no_text(wire: &str) -> bool {
    let run = |rest: &str| {
        rest.split_once('-')
            .is_some_and(|(run, _)| run.bytes().all(|b| b.is_ascii_alphanumeric() || b"+,".contains(&b)))
    };
    mutf7::decode(wire).is_none() && wire.split('&').skip(1).any(run)
}

fn last(wire: &str) -> Option<&str> {
    wire.rsplit(['.', '/']).next()
}

fn joined(held: &Held) -> String {
    held.levels.join("/")
}

impl Said {
    /// A line is `  kind: path: what`.
    fn line(&mut self, line: &str) {
        let read = line.trim_start().split_once(": ").and_then(|(kind, rest)| match kind {
            "flags" => {
                let (place, values) = place(rest)?;
                let (old, new) = values.split_once("), (")?;
                let old = Flags::new(old.trim_start_matches('(').split_whitespace());
                let new = Flags::new(new.strip_suffix(") at the destination")?.split_whitespace());
                // It takes the case of keywords for a difference.
                if old != new {
                    self.flags.insert(place);
                }
                Some(())
            }
            "date" => Some(_ = self.dates.insert(place(rest)?.0)),
            "count" => {
                let (path, counts) = rest.rsplit_once(": ")?;
                let (old, new) = counts.strip_suffix(" at the destination")?.split_once(", ")?;
                self.missing.insert(path.to_owned(), old.parse::<i64>().ok()? - new.parse::<i64>().ok()?);
                Some(())
            }
            "bytes" => {
                let (path, count) = rest.split_once(" messages, e.g. UID ")?.0.rsplit_once(": ")?;
                Some(_ = self.changed.insert(path.to_owned(), count.parse().ok()?))
            }
            _ => None,
        });
        if read.is_none() && !line.trim().is_empty() {
            self.more.push(line.trim().to_owned());
        }
    }
}

/// `path: UID 7: …`.
fn place(text: &str) -> Option<(Place, &str)> {
    let (path, rest) = text.split_once(": UID ")?;
    let (uid, rest) = rest.split_once(": ")?;
    Some(((path.to_owned(), uid.parse().ok()?), rest))
}

/// In what the checker and the audit differ. A message with other line ends it takes out before it looks at flags and dates, and
/// others with changed octets it pairs where none is missing: of these it may say nothing.
///
/// A mailbox whose path is another one for it cannot be said to it where the old path has a `=` or is no modified UTF-7: that one it
/// has to miss.
fn disagreements(said: &Said, source: &Holding, audit: &Audit, unsaid: &BTreeSet<String>) -> Vec<String> {
    let fates: Vec<&Fate> = audit.fates.iter().filter(|fate| !unsaid.contains(&fate.mailbox)).collect();
    let of_unsaid = |wire: &String| source.mailboxes[wire].messages.len() as i64;
    let path = |fate: &Fate| joined(&source.mailboxes[&fate.mailbox]);
    let by_mailbox = |wanted: fn(&Fate) -> bool| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        fates.iter().filter(|f| wanted(f)).for_each(|f| *counts.entry(path(f)).or_default() += 1);
        counts
    };
    let missing = by_mailbox(|f| matches!(f.ended, Ended::Refused | Ended::LeftOut | Ended::Merged));
    let is_changed = |f: &Fate| matches!(f.ended, Ended::LineEnds | Ended::Semantic | Ended::Damaged);
    let changed = by_mailbox(|f| {
        matches!(f.ended, Ended::LineEnds | Ended::Semantic | Ended::Damaged) && !f.only_carriage_returns
    });
    let of_line_ends = fates.iter().filter(|f| is_changed(f) && f.only_carriage_returns).count();
    let number = |key: &str| said.counts[key].as_i64().unwrap_or(0);
    let sum = |counts: &BTreeMap<String, i64>| counts.values().sum::<i64>();
    let mut differ = Vec::new();
    for (what, theirs, ours) in [
        ("messages", number("messages"), source.messages() as i64),
        (
            "missing",
            number("messages missing"),
            sum(&missing) + audit.tally.unlisted as i64 + unsaid.iter().map(of_unsaid).sum::<i64>(),
        ),
        ("extra", number("messages extra"), 0),
        ("mailboxes missing", number("folders missing"), unsaid.len() as i64),
        (
            "mailboxes extra",
            number("folders extra"),
            unsaid.iter().filter(|wire| of_unsaid(wire) > 0).count() as i64,
        ),
        ("other line ends", number("only line ends differ"), of_line_ends as i64),
        ("other octets", number("bytes differ"), sum(&changed)),
    ] {
        if theirs != ours {
            differ.push(format!("the other checker: {what}: {theirs}, here {ours}"));
        }
    }
    for (what, theirs, ours) in
        [("missing", &said.missing, &missing), ("other octets", &said.changed, &changed)]
    {
        if theirs != ours {
            differ.push(format!("the other checker: {what}: {theirs:?}, here {ours:?}"));
        }
    }
    for (what, theirs, lost) in [
        ("flags", &said.flags, (|f: &Fate| f.flags_changed) as fn(&Fate) -> bool),
        ("dates", &said.dates, |f: &Fate| f.date_changed),
    ] {
        let ours = |all: bool| {
            let told = fates.iter().filter(|f| lost(f) && (all || f.ended == Ended::Exact));
            told.map(|f| (path(f), f.uid)).collect::<BTreeSet<_>>()
        };
        let strange: Vec<_> = theirs.difference(&ours(true)).cloned().collect();
        let unseen: Vec<_> = ours(false).difference(theirs).cloned().collect();
        if !strange.is_empty() || !unseen.is_empty() {
            differ.push(format!("the other checker: {what}: only there {strange:?}, only here {unseen:?}"));
        }
    }
    // Of mailboxes as a whole the counts are compared.
    let of_mailboxes =
        |line: &&String| line.starts_with("folder missing: ") || line.starts_with("folder extra: ");
    differ.extend(
        said.more.iter().filter(|line| !of_mailboxes(line)).map(|line| format!("the other checker: {line}")),
    );
    differ
}

/// Five messages: one exact with other flags, one with another date, one with other octets, one but for CRs, one refused.
fn five() -> (Holding, Audit) {
    let held = Held {
        path: MailboxPath::from("A: b"),
        levels: vec!["INBOX".into(), "A: b".into()],
        uid_validity: 7,
        messages: (1..=5).map(|uid| (uid, letter(uid))).collect(),
    };
    let ended = [Ended::Exact, Ended::Exact, Ended::Damaged, Ended::LineEnds, Ended::Refused];
    let fates = ended.into_iter().zip(1..).map(|(ended, uid)| Fate {
        mailbox: "INBOX.A: b".into(),
        uid,
        kinds: BTreeSet::new(),
        flags: Flags::new([""; 0]),
        date: InternalDate::utc(0),
        ended,
        only_carriage_returns: uid == 4,
        flags_changed: uid == 1,
        date_changed: uid == 2,
        line: Line(Value::Null),
    });
    let holding = Holding { mailboxes: [("INBOX.A: b".to_owned(), held)].into(), ..Holding::default() };
    (holding, Audit { fates: fates.collect(), ..Audit::default() })
}

fn letter(uid: u32) -> Letter {
    let content = Content::of(b"x".to_vec());
    let image =
        MessageImage { uid, flags: Flags::new([""; 0]), internal_date: InternalDate::utc(0), content };
    Letter::new(image, b"x")
}

#[test]
fn whatever_the_other_checker_says_otherwise_is_found() {
    let counts = serde_json::json!({
        "messages": 5, "messages missing": 1, "only line ends differ": 1, "bytes differ": 1, "seconds": 0.1,
    });
    let lines = [
        "  count: INBOX/A: b: 5, 4 at the destination",
        "  flags: INBOX/A: b: UID 1: (x \\Seen), (\\Seen) at the destination",
        "  flags: INBOX/A: b: UID 2: (FOO), (foo) at the destination",
        "  date: INBOX/A: b: UID 2: 5, 6 at the destination (+1 s)",
        "  bytes: INBOX/A: b: 1 messages, e.g. UID 3: only at the destination: [b'x: y']",
    ];
    let (source, audit) = five();
    let differ = |counts: &Value, lines: &[&str]| {
        let mut said = Said { counts: counts.clone(), ..Said::default() };
        lines.iter().for_each(|line| said.line(line));
        disagreements(&said, &source, &audit, &BTreeSet::new())
    };
    assert_eq!(differ(&counts, &lines), [""; 0]);
    for key in ["messages", "messages missing", "messages extra", "only line ends differ", "bytes differ"] {
        let mut other = counts.clone();
        other[key] = 7.into();
        assert_eq!(differ(&other, &lines).len(), 1, "{key}");
    }
    for without in [0, 1, 3, 4] {
        let mut fewer = lines.to_vec();
        fewer.remove(without);
        assert_eq!(differ(&counts, &fewer).len(), 1, "without {}", lines[without]);
    }
    for more in ["  flags: INBOX/A: b: UID 5: (a), () at the destination", "  what: is this", "Traceback"] {
        assert_eq!(differ(&counts, &[&lines[..], &[more]].concat()).len(), 1, "{more}");
    }
}
