//! The summary for a terminal: plain lines of at most 80 columns.

use super::totals::{Bucket, REFUSED, Tally};
use super::{Report, Verdict, words};
use crate::identity::Grade;
use std::path::Path;

/// Columns of a line.
const COLUMNS: usize = 80;
/// Exceptions named one by one.
const EXCEPTIONS_MAX: usize = 10;
/// Lines of the server's words about each; the report has the whole text.
const EXCEPTION_LINES_MAX: usize = 2;
/// Stands at the end of a line, for whoever types options.
pub const REPAIR_OPTION: &str = ": --repair";
/// Columns of the numbers of the sum.
const NUMBER_COLUMNS: usize = 9;

impl Report {
    /// The verdict, the accounting, the first exceptions, and where the report is.
    pub fn summary_lines(&self, page: Option<&Path>) -> Vec<String> {
        let mut lines = wrap(&words::headline(self), "");
        let below = words::subline(self);
        if !below.is_empty() {
            lines.extend(wrap(&below, ""));
        }
        lines.push(String::new());
        lines.extend(sum(&self.totals.walked, self.outcome.remainder));
        let beside = self.beside_the_sum();
        if !beside.is_empty() {
            lines.push(String::new());
            lines.extend(beside.iter().flat_map(|text| wrap(text, "  ")));
        }
        lines.extend(self.exception_lines());
        if let Some(page) = page {
            lines.push(String::new());
            // A path is never cut: it is there to be copied.
            lines.push(format!("Report: {}", words::printable(&page.display().to_string())));
        }
        lines
    }

    /// Who signed the certificate, and what that proves: for those who ask for the report by itself.
    pub fn signature_lines(&self) -> Vec<String> {
        let Some(signer) = &self.facts.signer else { return wrap(words::NOT_SIGNED, "") };
        let mut lines = vec!["The certificate is signed by the key with this SHA-256:".to_owned()];
        lines.push(format!("  {}", signer.public().fingerprint()));
        lines.extend(wrap(words::SIGNATURE_PROVES, ""));
        lines
    }

    /// What the sum does not show and a person should know.
    pub(super) fn beside_the_sum(&self) -> Vec<String> {
        let outcome = &self.outcome;
        let deleted: u64 = self.mailboxes.iter().map(|m| m.deleted_at_source).sum();
        let foreign: u64 = self.mailboxes.iter().filter_map(|m| m.foreign_at_target).sum();
        // Those without a listed message are named by `words::beside`.
        let refused = self.mailboxes.iter().filter(|m| m.is_refused_with_mail() && m.totals.listed() > 0);
        let said = [
            (
                outcome.unlisted_mailboxes,
                "folder could",
                "folders could",
                "not be listed or finished in this run",
            ),
            (refused.count() as u64, "folder", "folders", "with mail cannot be moved"),
            (
                outcome.missing_at_target,
                "message was",
                "messages were",
                "there and not in the latest listing of the new server: ask the new provider before going on",
            ),
            (
                outcome.unannounced_differences,
                "difference",
                "differences",
                "of flags or dates: see the report",
            ),
            (
                outcome.semantic.saturating_sub(self.ladder.wrapped + self.ladder.encoded),
                "message was",
                "messages were",
                "written otherwise by the new server, saying the same: the manifest has what differs in each",
            ),
            (
                self.ladder.encoded,
                "message has",
                "messages have",
                "letters of the header encoded, saying the same: the new server would not keep or take them as they were",
            ),
            (
                self.ladder.wrapped,
                "message is",
                "messages are",
                "attached, untouched, to a cover message: the new server refuses it as it is",
            ),
            (
                outcome.unbrought,
                "message is",
                "messages are",
                "left by each label to another one, and came with none: run again",
            ),
            (deleted, "message was", "messages were", "deleted at the old server after the copy"),
            (
                foreign,
                "message is",
                "messages are",
                "in these folders of the new mailbox beside what was moved: new mail, or what lay there before",
            ),
            (self.doubts.total, "doubt", "doubts", "that cannot be settled from outside: see the report"),
        ];
        let mut lines: Vec<String> = words::beside(self).into_iter().collect();
        lines.extend(self.labelled.map(|mail| words::by_number(mail, outcome.hides_mail)));
        if self.facts.level.is_none() {
            lines.push("the level of proof and the danger options of the run are not known".into());
        }
        lines.extend(
            said.into_iter()
                .filter(|(n, ..)| *n > 0)
                .map(|(n, one, many, what)| format!("{} {what}", words::amount(n, one, many))),
        );
        if self.verdict() == Verdict::Failed {
            lines.push(format!(
                "the count of {} is not right",
                words::messages(outcome.remainder.max(outcome.double_claims))
            ));
        }
        lines
    }

    fn exception_lines(&self) -> Vec<String> {
        if self.exceptions.total == 0 {
            return Vec::new();
        }
        let mut lines = vec![String::new(), "Needs you:".to_owned()];
        let refused = self.totals.walked.of(&Bucket::Exception(REFUSED.to_owned()));
        if refused > 0 {
            lines.push(format!(
                "  {} refused; each can move inside a cover message{REPAIR_OPTION}",
                words::amount(refused, "message was", "messages were")
            ));
        }
        for entry in self.exceptions.shown.iter().take(EXCEPTIONS_MAX) {
            let day = entry.internaldate.as_deref().and_then(|date| date.split(' ').next());
            let of = day.map(|day| format!(" of {day}")).unwrap_or_default();
            let what = format!("{}, a message{of}: {}", entry.mailbox, words::exception_kind(&entry.kind));
            let mut said = wrap(&what, "    ");
            if let Some(first) = said.first_mut() {
                first.replace_range(..2, "");
            }
            lines.extend(said);
            let mut words = wrap(&format!("UID {}: {}", entry.uid, entry.text), "    ");
            words.truncate(EXCEPTION_LINES_MAX);
            lines.extend(words);
        }
        let more = self.exceptions.total.saturating_sub(EXCEPTIONS_MAX as u64);
        if more > 0 {
            lines.push(format!("  and {} more", words::count(more)));
        }
        lines
    }
}

/// The summands that are not 0, with words; in the order of cli.md.
pub(super) fn summands(tally: &Tally) -> Vec<(u64, String)> {
    let grade = |grade| tally.of(&Bucket::Verified(grade));
    let mut rows = vec![
        (grade(Grade::Exact), "read back, exactly the same".to_owned()),
        (grade(Grade::Newline), "read back, the same but for line ends".to_owned()),
        (grade(Grade::Semantic), "read back, written otherwise, saying the same".to_owned()),
        (tally.of(&Bucket::Stored), "on the new server, not read back".to_owned()),
        (tally.of(&Bucket::AlreadyThere), "on the new server before".to_owned()),
        (tally.of(&Bucket::Merged), "merged by the new server with an equal message".to_owned()),
        (tally.of(&Bucket::GoneAtSource), "removed at the old server before the copy".to_owned()),
        (tally.of(&Bucket::GoneAtTarget), "removed from the new server by somebody since".to_owned()),
        (tally.of(&Bucket::MovedAtTarget), "moved on the new server by somebody since".to_owned()),
    ];
    for (rule, n) in tally.excluded_by_rule() {
        rows.push((n, format!("left out: {}", words::rule(&rule))));
    }
    for (kind, n) in tally.exceptions_by_kind() {
        rows.push((
            n,
            format!("{}: {}", if n == 1 { "needs you" } else { "need you" }, words::exception_kind(&kind)),
        ));
    }
    rows.push((tally.pending(), "still to do".to_owned()));
    rows.retain(|(n, _)| *n > 0);
    rows
}

fn sum(tally: &Tally, remainder: u64) -> Vec<String> {
    let line = |sign: &str, n: u64, what: &str| {
        cut(&format!("{sign:>1} {:>NUMBER_COLUMNS$}  {what}", words::count(n)))
    };
    let mut lines = vec![line("", tally.sum(), &format!("messages listed ({})", words::size(tally.octets)))];
    for (at, (n, what)) in summands(tally).iter().enumerate() {
        lines.push(line(if at == 0 { "=" } else { "+" }, *n, what));
    }
    lines.push(line("", remainder, "unaccounted for"));
    lines
}

fn cut(line: &str) -> String {
    if line.chars().count() <= COLUMNS {
        return line.to_owned();
    }
    line.chars().take(COLUMNS - 1).chain(['…']).collect()
}

/// Breaks at spaces; a word longer than a line is cut.
fn wrap(text: &str, indent: &str) -> Vec<String> {
    let mut lines = vec![indent.to_owned()];
    for word in words::printable(text).split(' ') {
        let last = lines.last_mut().expect("invariant: there is a first line");
        let fresh = last.len() == indent.len();
        if fresh || last.chars().count() + 1 + word.chars().count() <= COLUMNS {
            if !fresh {
                last.push(' ');
            }
            last.push_str(word);
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.iter().map(|line| cut(line)).collect()
}
