//! Bars, rows and cards of the page.

use super::{Report, esc, href, name};
use crate::journal::Decision;
use crate::mapping::NOT_SELECTABLE;
use crate::report::{ExceptionEntry, MailboxEntry, Tally, words};
use std::fmt::Write as _;

/// Width of a bar in its own units.
const BAR_UNITS: u64 = 1000;
/// What is there at all is seen: the least width of a part.
const PART_UNITS_MIN: u64 = 8;
/// Space between parts.
const GAP_UNITS: u64 = 3;

/// One part of a bar: class, words, messages.
pub type Segment = (&'static str, &'static str, u64);

/// The parts of a bar that are not empty; together they are all messages.
pub(super) fn segments(tally: &Tally) -> Vec<Segment> {
    let mut parts = vec![
        ("there", "on the new server", tally.there()),
        ("todo", "still to do", tally.pending()),
        ("needs", "need you", tally.exceptions()),
        ("out", "left out", tally.excluded()),
        ("gone", "removed or moved by somebody", tally.gone()),
    ];
    parts.retain(|(.., n)| *n > 0);
    parts
}

/// A bar, with its numbers in words for those who do not see it.
pub fn bar(segments: &[Segment], what: &str) -> String {
    let said: Vec<String> =
        segments.iter().map(|(_, words, n)| format!("{} {words}", super::words::count(*n))).collect();
    let said = if said.is_empty() { "no messages".to_owned() } else { said.join(", ") };
    let mut svg = format!(
        "<svg class=\"bar\" role=\"img\" aria-label=\"{}: {}\" viewBox=\"0 0 {BAR_UNITS} 10\" \
         preserveAspectRatio=\"none\">",
        esc(what),
        esc(&said)
    );
    let mut x = 0;
    for ((class, ..), width) in segments.iter().zip(widths(segments)) {
        let _ = write!(svg, "<rect class=\"{class}\" x=\"{x}\" width=\"{width}\" height=\"10\"/>");
        x += width + GAP_UNITS;
    }
    svg.push_str("</svg>");
    svg
}

/// Widths in proportion, none too thin to be seen; with the gaps they fill the bar.
fn widths(segments: &[Segment]) -> Vec<u64> {
    let parts = segments.len() as u64;
    let room = BAR_UNITS.saturating_sub(GAP_UNITS * parts.saturating_sub(1));
    let all: u128 = segments.iter().map(|(.., n)| u128::from(*n)).sum::<u128>().max(1);
    let share = |n: u64| u64::try_from(u128::from(n) * u128::from(room) / all).unwrap_or(room);
    let mut widths: Vec<u64> = segments.iter().map(|(.., n)| share(*n).max(PART_UNITS_MIN)).collect();
    // The widest part gives what the thin ones took, or takes what rounding left.
    let others: u64 = widths.iter().sum::<u64>() - widths.iter().max().copied().unwrap_or(0);
    if let Some(widest) = widths.iter_mut().max() {
        *widest = room.saturating_sub(others);
    }
    widths
}

/// What the colours mean.
pub fn key(segments: &[Segment]) -> String {
    let mut list = String::from("<ul class=\"key\">");
    for (class, words, n) in segments {
        let words = if *class == "needs" && *n == 1 { "needs you" } else { words };
        let _ = write!(
            list,
            "<li><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\"><circle class=\"{class}\" cx=\"5\" cy=\"5\" r=\"5\"/>\
             </svg><b>{}</b> {words}</li>",
            super::words::count(*n)
        );
    }
    list.push_str("</ul>");
    list
}

/// One mailbox that moves.
pub(super) fn mailbox_row(page: &mut String, report: &Report, entry: &MailboxEntry) {
    let (record, tally) = (&entry.totals.mailbox, &entry.totals.walked);
    let copies = report.times.verb == "migrate";
    let mut label = name(&record.source.text);
    if let Some(target) = entry.target_name().filter(|t| *t != record.source.text) {
        let _ = write!(label, " <span class=\"sub\">to {}</span>", name(target));
    }
    let mut remarks: Vec<String> = Vec::new();
    if entry.totals.remainder() > 0 {
        remarks.push(format!(
            "the count is not right: {} too many or too few",
            words::messages(entry.totals.remainder())
        ));
    }
    if entry.double_claims > 0 {
        remarks.push(format!("two messages point to the same copy, {}", times(entry.double_claims)));
    }
    if entry.is_unlisted(copies) {
        remarks.push("not finished: see above, under Needs you".into());
    }
    if entry.missing_at_target > 0 {
        remarks.push(format!("{} missing from the latest listing", words::count(entry.missing_at_target)));
    }
    if entry.deleted_at_source > 0 {
        remarks.push(format!("{} deleted at the old server since", words::count(entry.deleted_at_source)));
    }
    let remarks: String = remarks.iter().map(|r| format!("<div class=\"sub\">{}</div>", esc(r))).collect();
    let count = match (tally.there(), tally.sum()) {
        (0, 0) => "empty".to_owned(),
        (there, all) if there == all => words::count(all),
        (there, all) => format!("{} of {}", words::count(there), words::count(all)),
    };
    let _ = writeln!(
        page,
        "<tr><th scope=\"row\">{label}{}{remarks}</th><td class=\"n\">{count}</td><td class=\"n size\">{}</td></tr>",
        bar(&segments(tally), &record.source.text),
        words::size(tally.octets)
    );
}

/// A mailbox that does not move, as a line of the list.
pub(super) fn left_out_line(entry: &MailboxEntry) -> Option<String> {
    let record = &entry.totals.mailbox;
    let holds = match record.messages {
        Some(n) => words::messages(n),
        None => "an unknown number of messages".to_owned(),
    };
    let mailbox = name(&record.source.text);
    match &record.decision {
        Decision::Move(_) => None,
        Decision::Exclude(rule) => {
            let holds = if rule == NOT_SELECTABLE { "no messages".to_owned() } else { holds };
            Some(format!("<li>the folder {mailbox} ({holds}): {}</li>\n", name(&words::rule(rule))))
        }
        Decision::Refuse(reason) => {
            Some(format!("<li>the folder {mailbox} ({holds}) cannot be moved: {}</li>\n", name(reason)))
        }
    }
}

/// Everything that needs a person, as cards.
pub(super) fn cards(report: &Report) -> String {
    let mut cards = cards_beside_exceptions(report);
    report.exceptions.shown.iter().for_each(|entry| exception_card(&mut cards, entry));
    cards
}

/// What needs a person beside single messages that did not move: mailboxes, differences.
pub fn cards_beside_exceptions(report: &Report) -> String {
    let mut cards = String::new();
    for mailbox in &report.mailboxes {
        mailbox_cards(&mut cards, report, mailbox);
    }
    hidden_card(&mut cards, report);
    differences_card(&mut cards, report);
    semantic_card(&mut cards, report);
    cards
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{} times", words::count(n)) }
}

/// What an engineer needs; `text` is escaped already.
fn details(text: &str) -> String {
    format!("<details><summary>Details</summary><p class=\"words\">{text}</p></details>")
}

fn card(cards: &mut String, title: &str, body: &str) {
    let _ = writeln!(cards, "<li><h3>{title}</h3>{body}</li>");
}

fn mailbox_cards(cards: &mut String, report: &Report, entry: &MailboxEntry) {
    let mailbox = name(&entry.totals.mailbox.source.text);
    if entry.is_unlisted(report.times.verb == "migrate") {
        let why = entry.left.clone().unwrap_or_else(|| match &entry.totals.mailbox.decision {
            Decision::Refuse(reason) => reason.clone(),
            _ => "there is no complete listing of this run".to_owned(),
        });
        let body = format!(
            "<p>It was not read to its end in this run, or waits for another folder. Start it again as before: it goes on \
             there. If it stays like this, ask the provider, with the details.</p>{}",
            details(&name(&why))
        );
        card(cards, &format!("The folder {mailbox} is not finished"), &body);
    } else if entry.is_refused_with_mail() {
        let reason = match &entry.totals.mailbox.decision {
            Decision::Refuse(reason) => reason.as_str(),
            _ => "",
        };
        let holds = words::messages(entry.totals.mailbox.messages.unwrap_or(entry.totals.listed()));
        let body = format!(
            "<p>It holds {holds}, which stay in the old mailbox: {}.</p><p>Rename it there, or put its messages into another \
             folder, and start it again as before.</p>",
            name(reason)
        );
        card(cards, &format!("The folder {mailbox} cannot be moved"), &body);
    }
    if entry.missing_at_target > 0 {
        let title = format!("{} missing from {mailbox}", words::messages(entry.missing_at_target));
        let body = "<p>They were on the new server before and are not in its latest listing. If you did not remove \
                    them, ask the new provider before you do anything else.</p>";
        card(cards, &title, body);
    }
}

fn hidden_card(cards: &mut String, report: &Report) {
    if !report.outcome.hides_mail {
        return;
    }
    if report.outcome.cuts_mailboxes {
        let body = "<p>Some folders are larger than the old server shows. Their older messages are still in the old mailbox \
                    alone. Yahoo shows all of them under the server name <em>export.imap.mail.yahoo.com</em>: move once more \
                    with that as the old server.</p>";
        return card(cards, "The old server shows the newest messages alone", body);
    }
    let body = "<p>Mail that is archived without a label lies there alone, and is still in the old mailbox alone. In Gmail's \
                settings, under <em>Labels</em>, switch on <em>Show in IMAP</em> for <em>All Mail</em>. Then move again as before: \
                it brings what is missing, and nothing twice.</p>";
    card(cards, "Gmail hides “All Mail”", body);
}

fn differences_card(cards: &mut String, report: &Report) {
    let n = report.outcome.unannounced_differences;
    if n == 0 {
        return;
    }
    let mut body = String::from(
        "<p>The messages themselves are there. Flags are marks such as “read” or “answered”. Nothing has to be done, unless you \
         miss them.</p>",
    );
    body.push_str("<details><summary>Details</summary><ul class=\"plain\">");
    for example in &report.difference_examples.shown {
        let _ = write!(
            body,
            "<li>{}, UID {}: <span class=\"words\">{}</span></li>",
            name(&example.mailbox),
            example.uid,
            esc(&example.what.join("; "))
        );
    }
    body.push_str("</ul></details>");
    let what = words::amount(n, "difference", "differences");
    card(cards, &format!("{what} of flags or dates"), &body);
}

fn semantic_card(cards: &mut String, report: &Report) {
    let n = report.outcome.semantic;
    if n == 0 {
        return;
    }
    let body = "<p>What they say is the same: sender, recipients, subject, date, every part. Nothing has to be done. The list of \
                all messages says in what each of them differs.</p>";
    card(cards, &format!("{} written otherwise by the new server", words::messages(n)), body);
}

fn exception_card(cards: &mut String, entry: &ExceptionEntry) {
    let date = entry.internaldate.as_deref().map(|d| format!(" · received {}", esc(d))).unwrap_or_default();
    let mut body = format!(
        "<p>{}.</p><p>{}</p><p class=\"sub\">{}{date}</p>",
        esc(&words::sentence(&words::exception_kind(&entry.kind))),
        esc(words::exception_remedy(&entry.kind)),
        words::size(entry.size)
    );
    body += &details(&format!("UID {}: {}", entry.uid, name(&entry.text)));
    if let Some(file) = &entry.file {
        let _ = write!(body, "<p><a href=\"{}\">Open the saved original</a></p>", href(file));
    }
    card(cards, &format!("A message in {}", name(&entry.mailbox)), &body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_are_seen_and_fill_the_bar(numbers in proptest::collection::vec(1u64..u64::MAX, 1..6)) {
            let segments: Vec<Segment> = numbers.iter().map(|n| ("there", "x", *n)).collect();
            let widths = widths(&segments);
            prop_assert!(widths.iter().all(|w| *w >= PART_UNITS_MIN));
            prop_assert_eq!(widths.iter().sum::<u64>() + GAP_UNITS * (widths.len() as u64 - 1), BAR_UNITS);
        }
    }
}
