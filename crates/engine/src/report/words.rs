//! Pure: numbers, times and findings in plain words, the same in page, terminal and certificate. No sentence says
//! more than the numbers hold.

use super::differences::Differs;
use super::totals::{ABSENT, Bucket, DAMAGED, FORBIDDEN, REFUSED, STUB, TOO_BIG, Tally, UNREADABLE};
use super::{LabelledMail, Report, Verdict};
use crate::config::Level;
use crate::identity::Grade;
use crate::journal::{Decision, Item};
use crate::labels::ELSEWHERE;
use crate::mapping::{MAILBOX, NOT_SELECTABLE, OTHER_USERS, SHARED};

/// What IMAP does not show, on every certificate (integrity.md, S8).
pub(crate) const NOT_COVERED: [&str; 7] = [
    "contacts, calendars, tasks and notes",
    "filter rules (Sieve), forwarding and vacation replies",
    "signatures, identities and aliases",
    "mail that the old server does not show over IMAP: per-folder limits, hidden labels, archives kept elsewhere",
    "folders that this login may not read, and those of other people",
    "mail that arrived at the old server after its folders were listed",
    "what anybody changes in either mailbox afterwards",
];

/// What the signature of a certificate says, and what it does not.
pub(crate) const SIGNATURE_PROVES: &str = "The signature proves that neither the certificate nor the manifest was changed \
     since somebody with this key signed it. It does not prove who that was: whoever has the key file can sign anything, and \
     whoever can write to this folder can replace page, key and signature together. So compare the SHA-256 of the key with \
     one that you got another way. The files report.html, report.json and exceptions/*.eml are not signed.";
/// What is not kept of a run.
const NOT_KNOWN: &str = "not known";
/// The same where there is none.
pub(crate) const NOT_SIGNED: &str =
    "The certificate is not signed: it does not tell who wrote it, or whether it was changed since.";

/// `1,204`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 message`, `1,204 messages`.
pub fn amount(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `1 message`, `1,204 messages`.
pub fn messages(n: u64) -> String {
    amount(n, "message", "messages")
}

/// `3.2 GB`; units of a thousand.
pub fn size(octets: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if octets < 1000 {
        return format!("{octets} B");
    }
    let mut tenths = octets / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    if tenths < 1000 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", count(tenths / 10), UNITS[unit])
    }
}

/// `24 November 2026, 12:41 UTC`, from RFC 3339.
pub(crate) fn moment(rfc3339: &str) -> String {
    match rfc3339.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        Err(_) => printable(rfc3339),
    }
}

/// `820 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn span(ms: u64) -> String {
    match (ms, ms / 1000) {
        (ms, 0) => format!("{ms} ms"),
        (_, s @ ..60) => format!("{s} s"),
        (_, s @ ..3600) => format!("{} min {} s", s / 60, s % 60),
        (_, s) => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

/// Text of a server made harmless for eyes and terminals: control characters and those that turn the direction of
/// writing become U+FFFD.
pub(crate) fn printable(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// What a kind of exception means.
pub fn exception_kind(kind: &str) -> String {
    match kind {
        REFUSED => "refused by the new server".into(),
        FORBIDDEN => "refused by the new server in any form".into(),
        TOO_BIG => "too big for the new server".into(),
        UNREADABLE => "not handed over by the old server".into(),
        STUB => "only a notice in its place at the old server".into(),
        DAMAGED => "came back changed".into(),
        ABSENT => "confirmed by the new server and not there".into(),
        other => printable(other),
    }
}

/// What a person can do about an exception of this kind, without the options that do it: a page has buttons.
pub fn exception_remedy(kind: &str) -> &'static str {
    match kind {
        REFUSED => {
            "The new provider can say why it is refused. A later run can try it again, or take it over untouched inside a cover \
             message. The report keeps its original."
        }
        FORBIDDEN => {
            "The new server says why it takes it in no form: a virus found in it, say, or too many equal messages. Its provider can \
             help; a later run can try it again. The report keeps its original."
        }
        TOO_BIG => {
            "Ask the new provider for a higher limit, and try it again in a later run; or keep its original, which the report has."
        }
        UNREADABLE => {
            "Open it in the old mailbox by webmail: if it cannot be read there either, only the old provider can help. A later run \
             can ask for it again."
        }
        STUB => {
            "The old server hands out a notice instead of the message. Open it in the old mailbox by webmail; if only the notice \
             is there too, ask the old provider where the message is. A later run can ask for it again."
        }
        DAMAGED => {
            "Open it in both mailboxes. If the new one lacks something, bring it over from the old mailbox by hand, and tell the \
             new provider: it is not sent a second time by itself."
        }
        ABSENT => {
            "The new server said that it had taken it. Look for it there first; if it is nowhere, bring it over from the old \
             mailbox by hand, and tell the new provider: it is not sent a second time by itself."
        }
        _ => "The report keeps its original, where it could be had.",
    }
}

/// What a rule leaves out, in words (the names are those of the mapping and of `since`).
pub fn rule(name: &str) -> String {
    match name {
        "since" => "older than the day you chose".into(),
        MAILBOX => "not among the folders you chose".into(),
        NOT_SELECTABLE => "a name without mail of its own".into(),
        OTHER_USERS => "the mail of other people".into(),
        SHARED => "shared by many".into(),
        ELSEWHERE => "shown once more by All Mail or by a label".into(),
        name => match name.strip_prefix("exclude:") {
            Some(glob) => format!("by your choice ({})", printable(glob)),
            None => format!("the rule {}", printable(name)),
        },
    }
}

/// With a capital letter, as the first word of a sentence.
pub fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// As a sentence of its own: with a capital letter, and a full stop where it does not end in a mark of its own.
pub(crate) fn full_sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{end}", sentence(text))
}

/// What differs in the flags and date of one message.
pub(super) fn differences(item: &Item, differs: &Differs) -> Vec<String> {
    let Some(sent) = &item.sent else { return Vec::new() };
    let (mut what, read) = (Vec::new(), item.read_back.as_ref());
    if differs.flags {
        let read = read.map(|r| r.flags.to_string()).unwrap_or_default();
        what.push(format!("flags: ({}) sent, ({read}) read back", sent.flags));
    }
    if differs.flags_not_sent {
        what.push(format!("flags: ({}) at the old server, ({}) sent", item.flags, sent.flags));
    }
    let date = |date: Option<&crate::message::InternalDate>| date.map_or("none".into(), ToString::to_string);
    if differs.date {
        let read = read.and_then(|r| r.internal_date.as_ref());
        what.push(format!("date: {} sent, {} read back", date(sent.internal_date.as_ref()), date(read)));
    }
    if differs.date_not_sent {
        what.push(format!("date: {} at the old server, none sent", date(item.internal_date.as_ref())));
    }
    what.iter().map(|line| printable(line)).collect()
}

/// The verdict in one sentence, for somebody who has read nothing else.
pub fn headline(report: &Report) -> String {
    let tally = &report.totals.walked;
    let (there, listed) = (tally.there(), report.totals.listed());
    match report.verdict() {
        Verdict::Failed => "The numbers do not add up. Do not rely on this migration yet.".into(),
        Verdict::Incomplete if report.outcome.mailboxes == 0 => "Nothing has been looked at yet.".into(),
        Verdict::Incomplete if tally.pending() == 0 => {
            format!(
                "Not finished: {} of {} are on the new server, and not all is proven.",
                count(there),
                messages(listed)
            )
        }
        Verdict::Incomplete => {
            format!("Not finished: {} of {} are on the new server.", count(there), messages(listed))
        }
        Verdict::CompleteWithExceptions if tally.exceptions() > 0 => format!(
            "{} of {} are on the new server. {} you.",
            count(there),
            messages(listed),
            if tally.exceptions() == 1 {
                "1 needs".into()
            } else {
                format!("{} need", count(tally.exceptions()))
            },
        ),
        Verdict::CompleteWithExceptions => {
            format!("{} Something needs your eye.", all_there(tally, listed))
        }
        Verdict::Complete if listed == 0 => {
            "The old mailbox holds no messages in the folders that move.".into()
        }
        Verdict::Complete => match read_back(report.outcome.level, tally) {
            Some(how) => format!("{}, and {how}.", all_there(tally, listed).trim_end_matches('.')),
            None => all_there(tally, listed),
        },
    }
}

/// `All 1,204 messages are on the new server.`, or as many as are.
fn all_there(tally: &Tally, listed: u64) -> String {
    let (there, others) = (tally.there(), tally.excluded() + tally.gone());
    match (there, others) {
        (1, 0) => "The one message is on the new server.".into(),
        (_, 0) => format!("All {} are on the new server.", messages(there)),
        (_, _) if there + others == listed => {
            format!("All {} that were to move are on the new server.", messages(there))
        }
        _ => format!("{} of {} are on the new server.", count(there), messages(listed)),
    }
}

/// The level asked for.
pub(crate) fn level(report: &Report) -> &'static str {
    report.facts.level.map_or(NOT_KNOWN, Level::as_str)
}

/// The danger options; nothing where none was used.
pub(crate) fn danger(report: &Report) -> String {
    let mut parts = report.danger.clone();
    if report.danger_unknown_runs > 0 {
        parts.push(format!("{NOT_KNOWN} of {}", amount(report.danger_unknown_runs, "run", "runs")));
    }
    parts.join(", ")
}

/// How the proof went, if that can be said of every message at the target.
fn read_back(level: Level, tally: &Tally) -> Option<String> {
    let (verified, there) = (tally.verified(), tally.there());
    if verified == there && there > 0 {
        return Some(
            if there == 1 { "it was read back and compared" } else { "every one was read back and compared" }
                .into(),
        );
    }
    match level {
        Level::Octets if verified > 0 => Some(format!("{} were read back and compared", count(verified))),
        Level::Octets => None,
        Level::Facts => Some("their sizes, flags and dates were read back".into()),
        Level::Counts => Some("they were counted there, not read back".into()),
    }
}

/// What stands below the headline.
pub fn subline(report: &Report) -> String {
    let tally = &report.totals.walked;
    let newline = tally.of(&Bucket::Verified(Grade::Newline));
    match report.verdict() {
        Verdict::Failed if report.outcome.remainder == 0 => {
            "Two messages of the old mailbox point to the same one on the new server. Change nothing in either mailbox, and \
             show this page to somebody who knows Mailhaul."
                .into()
        }
        Verdict::Failed => {
            "Mailhaul counts every message in two ways, and the two do not agree. Change nothing in either mailbox, and \
             show this page to somebody who knows Mailhaul."
                .into()
        }
        Verdict::Incomplete => {
            "Mailhaul has changed and removed nothing in the old mailbox. Start it again as before to go on.".into()
        }
        Verdict::CompleteWithExceptions if tally.exceptions() > 0 => {
            "Mailhaul has changed and removed nothing in the old mailbox.".into()
        }
        Verdict::CompleteWithExceptions => "What is listed below may not be as you expect.".into(),
        Verdict::Complete if newline > 0 => format!(
            "{} exactly the same; {} only in line ends.",
            amount(tally.of(&Bucket::Verified(Grade::Exact)), "message is", "messages are"),
            amount(newline, "differs", "differ")
        ),
        Verdict::Complete if tally.verified() == tally.there() && tally.verified() > 0 => {
            "Every message is exactly the same as in the old mailbox.".into()
        }
        Verdict::Complete => String::new(),
    }
}

/// Mailboxes whose messages are in no number above, because they were not listed message by message.
pub(crate) fn beside(report: &Report) -> Option<String> {
    let holding = |wanted: fn(&Decision) -> bool| {
        let of =
            report.mailboxes.iter().filter(|m| m.totals.listed() == 0 && wanted(&m.totals.mailbox.decision));
        let known: Vec<Option<u64>> =
            of.map(|m| m.totals.mailbox.messages).filter(|n| *n != Some(0)).collect();
        let sum: Option<u64> = known.iter().copied().sum();
        (known.len() as u64, sum.map_or("an unknown number of messages".into(), messages))
    };
    let (excluded, held) = holding(|d| matches!(d, Decision::Exclude(rule) if rule != NOT_SELECTABLE));
    let (refused, stuck) = holding(|d| matches!(d, Decision::Refuse(_)));
    let mut parts = Vec::new();
    if excluded > 0 {
        parts.push(format!("{} left out{} ({held})", amount(excluded, "folder", "folders"), by_whom(report)));
    }
    if refused > 0 {
        parts.push(format!("{} that cannot be moved ({stuck})", amount(refused, "folder", "folders")));
    }
    if report.outcome.hides_mail {
        parts.push(if report.outcome.cuts_mailboxes { CUTS_MAILBOXES } else { HIDES_MAIL }.into());
    }
    (!parts.is_empty()).then(|| format!("Not in these numbers: {}.", parts.join(", ")))
}

/// ` by you`, where a person chose all that is left out; some is left out for what it is.
fn by_whom(report: &Report) -> &'static str {
    let chosen = |rule: &str| rule == MAILBOX || rule.starts_with("exclude:");
    let is_chosen = report.mailboxes.iter().all(|entry| match &entry.totals.mailbox.decision {
        Decision::Exclude(rule) => rule == NOT_SELECTABLE || chosen(rule),
        _ => true,
    });
    if is_chosen { " by you" } else { "" }
}

/// What Gmail shows in All Mail alone, where that is hidden.
const HIDES_MAIL: &str = "mail that is archived without a label, since Gmail hides “All Mail” (its settings, under Labels, have \
                          “Show in IMAP” for it; a later run then moves the rest)";

/// What a server like Yahoo's does not show.
const CUTS_MAILBOXES: &str = "older messages of folders that hold more than the old server shows over IMAP (Yahoo shows all under \
                              the server name export.imap.mail.yahoo.com)";

/// The accounting of an account with labels, each message once.
pub(crate) fn by_number(mail: LabelledMail, hides_mail: bool) -> String {
    let shown = if hides_mail { " that Gmail shows" } else { "" };
    let parts = [
        (mail.there, "on the new server"),
        (mail.exceptions, "not moved, each an exception"),
        (mail.pending, "still to do"),
        (mail.left_out, "left out by you"),
        (mail.gone, "removed by somebody"),
        (mail.unbrought, "that no label brought"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n))).collect();
    format!(
        "Each message once, whatever its labels: {} of the old mailbox{shown}, {}.",
        messages(mail.messages),
        parts.join(", ")
    )
}

/// The statement of the certificate: what held, as of when, and no more (integrity.md part 8).
pub(crate) fn statement(report: &Report) -> String {
    let tally = &report.totals.walked;
    match report.verdict() {
        Verdict::Failed => return "Nothing is certified: the counts of the journal do not agree.".into(),
        Verdict::Incomplete => {
            return "Nothing is certified yet: messages or mailboxes are not done, or not proven. The conditions below \
                    say which."
                .into();
        }
        Verdict::Complete | Verdict::CompleteWithExceptions => {}
    }
    let as_of = match (&report.times.listed_from, &report.times.listed_until) {
        (Some(from), Some(until)) => format!("As of the listings taken between {from} and {until}"),
        (Some(from), None) => format!("As of the listings begun at {from}"),
        (None, _) => "As of the listings in the journal".into(),
    };
    let not_said = match report.facts.level {
        None => " With which level of proof and which danger options, the journal does not say.",
        Some(_) => "",
    };
    format!(
        "{as_of}, every message then visible over IMAP in the listed mailboxes of {} that move is accounted for. Of the \
         {} this migration ever listed there: {}.{not_said}",
        printable(&report.pair.source),
        messages(report.totals.listed()),
        fates(tally).join("; ")
    )
}

/// The summands, in words; those that are 0 are left out.
fn fates(tally: &Tally) -> Vec<String> {
    let grade = |grade| tally.of(&Bucket::Verified(grade));
    let fates = [
        (
            grade(Grade::Exact),
            "read back from the new account in a session that had not stored them, with the same octets",
        ),
        (grade(Grade::Newline), "read back likewise, with the same octets but for line ends"),
        (
            grade(Grade::Semantic),
            "read back likewise, with other octets that say the same; the manifest has what differs in each",
        ),
        (tally.of(&Bucket::Stored), "confirmed by the new server and not read back octet for octet"),
        (tally.of(&Bucket::AlreadyThere), "in the new account before, recognised by their content"),
        (tally.of(&Bucket::Merged), "merged by the new server with an equal message"),
        (tally.of(&Bucket::GoneAtSource), "removed at the old server before they were copied"),
        (
            tally.of(&Bucket::GoneAtTarget),
            "removed from the new account by somebody after they had been there",
        ),
        (tally.of(&Bucket::MovedAtTarget), "moved inside the new account by somebody"),
        (tally.excluded(), "left out by a named rule"),
        (tally.exceptions(), "not moved as they are, each listed as an exception"),
    ];
    let mut said: Vec<String> =
        fates.iter().filter(|(n, _)| *n > 0).map(|(n, how)| format!("{} {how}", count(*n))).collect();
    if said.is_empty() {
        said.push("there was none".into());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::KINDS;

    #[test]
    fn each_kind_of_exception_has_words_and_a_remedy_of_its_own() {
        let own: std::collections::BTreeSet<&str> = KINDS.into_iter().map(exception_remedy).collect();
        assert_eq!(own.len(), KINDS.len(), "{own:#?}");
        for kind in KINDS {
            assert_ne!(exception_remedy(kind), exception_remedy("another"), "{kind}");
            assert_ne!(exception_kind(kind), kind);
        }
    }

    /// What the engine gives a message as the kind of its exception is written out where that is decided.
    #[test]
    fn there_is_no_other_kind_of_exception() {
        let given = [
            include_str!("../transfer/brain.rs"),
            include_str!("../transfer/reading.rs"),
            include_str!("../transfer/shell/hand.rs"),
            include_str!("../transfer/unreadable.rs"),
            include_str!("../verify/presence.rs"),
        ];
        let literals = given.iter().flat_map(|text| text.split("Reason::new(\"").skip(1));
        let kinds: Vec<&str> = literals.filter_map(|rest| rest.split('"').next()).collect();
        // Those of messages that are no exceptions.
        let others = ["gone", "moved", "removed"];
        let unknown: Vec<_> = kinds.iter().filter(|k| !KINDS.contains(k) && !others.contains(k)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(kinds.contains(&UNREADABLE) && kinds.contains(&STUB) && kinds.contains(&ABSENT), "{kinds:?}");
    }

    #[test]
    fn a_sentence_has_one_mark_at_its_end() {
        let said = ["ask the provider", "is it right?", "it is.", "stop!"].map(full_sentence);
        assert_eq!(said, ["Ask the provider.", "Is it right?", "It is.", "Stop!"]);
    }

    #[test]
    fn numbers_and_sizes_read_well() {
        assert_eq!([0, 999, 1204, 1_000_000].map(count), ["0", "999", "1,204", "1,000,000"]);
        assert_eq!(
            [0, 999, 1000, 1_550, 99_999, 100_000, 999_999, 1_000_000, 3_200_000_000, u64::MAX].map(size),
            [
                "0 B", "999 B", "1.0 kB", "1.5 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB", "3.2 GB",
                "18.4 EB"
            ]
        );
        assert_eq!([5, 1000, 61_000, 7_500_000].map(span), ["5 ms", "1 s", "1 min 1 s", "2 h 5 min"]);
        assert_eq!(moment("2026-11-24T12:41:30Z"), "24 November 2026, 12:41 UTC");
    }

    #[test]
    fn a_servers_text_can_neither_steer_a_terminal_nor_turn_the_writing() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\nd\u{9b}ü"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}ü");
    }
}
