//! The dry run as text, in 80 columns.

use super::{MailboxStep, Plan, Totals, WillNotMove};
use crate::end::Role;
use crate::mapping::How;
use crate::names::printable;
use std::fmt;

/// Columns of a line.
const LINE_COLUMNS: usize = 80;
/// Columns that a note may take before it is wrapped.
const NOTE_COLUMNS_MAX: usize = 16;
/// Between source and target.
const ARROW: &str = " → ";

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Moves: {}", self.totals)?;
        table(f, &self.steps)?;
        self.left_out(f)?;
        section(f, "Will not move:", self.will_not_move.iter().map(WillNotMove::with_options))?;
        let cannot_go = self.cannot_go.iter().map(|one| one.with_option(self.repairs));
        section(f, "Cannot go as it is:", cannot_go)?;
        section(f, "Worth knowing:", self.remarks.iter().cloned())?;
        section(f, "To be decided first:", self.questions.iter().map(ToString::to_string))
    }
}

impl Plan {
    fn left_out(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules: Vec<&str> = self.excluded.iter().map(|left| left.rule.as_str()).collect();
        rules.sort_unstable();
        rules.dedup();
        let line = |rule: &str| {
            let of_rule: Vec<_> = self.excluded.iter().filter(|left| left.rule == rule).collect();
            let known = of_rule.iter().filter_map(|left| left.record.messages);
            let messages = known.fold(0, u64::saturating_add);
            let uncounted = of_rule.iter().filter(|left| left.record.messages.is_none()).count();
            let mailboxes = amount(of_rule.len() as u64, "mailbox", "mailboxes");
            let counted = amount(messages, "message", "messages");
            match uncounted {
                0 => format!("{}: {mailboxes}, {counted}", printable(rule)),
                n if n == of_rule.len() => format!("{}: {mailboxes}", printable(rule)),
                n => format!(
                    "{}: {mailboxes}, {counted} in those that were counted ({n} were not)",
                    printable(rule)
                ),
            }
        };
        section(f, "Left out by rule:", rules.into_iter().map(line))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mailboxes = amount(self.mailboxes, "mailbox", "mailboxes");
        let messages = amount(self.messages, "message", "messages");
        let at_least = if self.uncounted_mailboxes > 0 { "at least " } else { "" };
        write!(f, "{mailboxes}, {at_least}{messages}")?;
        match (self.unsized_mailboxes, self.octets) {
            (0, octets) => write!(f, ", {}", size(octets)),
            (_, 0) => f.write_str(", size not told"),
            (_, octets) => write!(f, ", at least {}", size(octets)),
        }
    }
}

impl WillNotMove {
    /// The line, with the options that move it all the same.
    pub fn with_options(&self) -> String {
        self.otherwise.as_ref().map_or_else(|| self.to_string(), |otherwise| format!("{self}; {otherwise}"))
    }
}

/// What a person agrees to: it is compared by these words.
impl fmt::Display for WillNotMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            Some(count) => {
                write!(f, "{} ({}): {}", self.what, amount(count, "message", "messages"), self.reason)
            }
            None => write!(f, "{} (not counted): {}", self.what, self.reason),
        }
    }
}

/// Octets for people, in powers of 1000.
pub(crate) fn size(octets: u64) -> String {
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
    if tenths < 100 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", tenths / 10, UNITS[unit])
    }
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with the word that fits it.
pub(crate) fn amount(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// The cells of one mailbox.
struct Row {
    source: String,
    target: String,
    messages: String,
    size: String,
    note: String,
}

impl Row {
    fn of(step: &MailboxStep) -> Self {
        Self {
            source: printable(&step.record.source.text),
            target: printable(&step.target.text),
            messages: step.record.messages.map_or_else(|| "?".to_owned(), grouped),
            size: match (step.record.octets, step.record.messages) {
                (Some(octets), _) => size(octets),
                (None, Some(0)) => size(0),
                (None, _) => "?".to_owned(),
            },
            note: note(step),
        }
    }
}

/// The role as the RFC writes it: `\Sent`.
pub(super) fn attribute(role: Role) -> String {
    format!("\\{}", role.capitalised())
}

fn note(step: &MailboxStep) -> String {
    let mut words = Vec::new();
    match step.how {
        How::Role(role) => words.push(attribute(role)),
        How::RoleByName(role) => words.push(format!("{} by name", attribute(role))),
        How::Renamed => words.push("renamed".to_owned()),
        How::Rule => words.push("--map".to_owned()),
        How::Earlier | How::Into | How::Inbox | How::SamePath | How::Nowhere => {}
    }
    match (step.create, step.create_role) {
        (true, Some(role)) => words.push(format!("new {}", attribute(role))),
        (true, None) => words.push("new".to_owned()),
        (false, _) => {}
    }
    if let Some(holds) = step.holds.filter(|_| step.holds_unknown_mail()) {
        words.push(format!("holds {}", grouped(holds.messages)));
    }
    if step.is_mark {
        words.push("the mark".to_owned());
    } else if step.is_rest && !step.counts {
        words.push("the rest".to_owned());
    }
    if step.trouble.is_some() {
        words.push("not opened".to_owned());
    }
    words.join(", ")
}

fn table(f: &mut fmt::Formatter<'_>, steps: &[MailboxStep]) -> fmt::Result {
    if steps.is_empty() {
        return Ok(());
    }
    let head = Row {
        source: "Old mailbox".to_owned(),
        target: "New mailbox".to_owned(),
        messages: "Messages".to_owned(),
        size: "Size".to_owned(),
        note: "Note".to_owned(),
    };
    let rows: Vec<Row> = std::iter::once(head).chain(steps.iter().map(Row::of)).collect();
    let widest = |cell: fn(&Row) -> &str| rows.iter().map(|row| columns(cell(row))).max().unwrap_or(0);
    let (messages, size) = (widest(|row| &row.messages), widest(|row| &row.size));
    let note = widest(|row| &row.note).min(NOTE_COLUMNS_MAX);
    let names = LINE_COLUMNS.saturating_sub(columns(ARROW) + 2 + messages + 2 + size + 2 + note);
    // What one side does not need, the other may use.
    let target =
        widest(|row| &row.target).min((names / 2).max(names.saturating_sub(widest(|row| &row.source))));
    let source = widest(|row| &row.source).min(names - target);
    writeln!(f)?;
    for (i, row) in rows.iter().enumerate() {
        let (sources, targets) = (broken_name(&row.source, source), broken_name(&row.target, target));
        let notes = wrapped(&row.note, note);
        for line in 0..sources.len().max(targets.len()).max(notes.len()) {
            let cell = |lines: &[String]| lines.get(line).cloned().unwrap_or_default();
            let arrow = if i > 0 && line == 0 { ARROW } else { "   " };
            let (count, octets) = if line == 0 { (&*row.messages, &*row.size) } else { ("", "") };
            let text = format!(
                "{}{arrow}{}  {count:>messages$}  {octets:>size$}  {}",
                padded(&cell(&sources), source),
                padded(&cell(&targets), target),
                cell(&notes)
            );
            writeln!(f, "{}", text.trim_end())?;
        }
    }
    Ok(())
}

/// A heading and its lines, each wrapped; nothing if there are none.
fn section(f: &mut fmt::Formatter<'_>, heading: &str, lines: impl Iterator<Item = String>) -> fmt::Result {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    writeln!(f, "\n{heading}")?;
    for line in lines {
        for (i, piece) in wrapped(&printable(&line), LINE_COLUMNS - 4).iter().enumerate() {
            writeln!(f, "{}{piece}", if i == 0 { "  - " } else { "    " })?;
        }
    }
    Ok(())
}

/// Columns that `text` takes on a terminal: two for wide East Asian characters and pictographs, none for
/// combining marks.
fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

fn char_columns(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// A name in pieces of at most `width` columns, broken after a space or a sign where one is near.
fn broken_name(name: &str, width: usize) -> Vec<String> {
    let mut pieces = broken(name, width);
    let Some(rest) = (pieces.len() > 1).then(|| pieces.split_off(1).concat()) else { return pieces };
    let sign = |c: char| matches!(c, ' ' | '.' | '/' | '-' | '_');
    if let Some(at) = pieces[0].rfind(sign).filter(|at| columns(&pieces[0][..*at]) >= width / 2) {
        let tail = pieces[0].split_off(at + 1);
        pieces.extend(broken_name(&(tail + &rest), width));
    } else {
        pieces.extend(broken_name(&rest, width));
    }
    pieces
}

/// Pieces of at most `width` columns; at least one.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        if used + char_columns(c) > width && used > 0 {
            pieces.push(String::new());
            used = 0;
        }
        used += char_columns(c);
        if let Some(piece) = pieces.last_mut() {
            piece.push(c);
        }
    }
    pieces
}

/// Lines of at most `width` columns, broken between words; a longer word is broken too.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').flat_map(|word| broken(word, width)) {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            *line = word;
        } else if columns(line) + 1 + columns(&word) <= width {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_for_people() {
        for (octets, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_960, "9.9 kB"),
            (12_345, "12 kB"),
            (999_999, "999 kB"),
            (1_234_567, "1.2 MB"),
            (4_200_000_000, "4.2 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(octets), text);
        }
        assert_eq!(
            (grouped(7), grouped(1234), grouped(1_234_567)),
            ("7".into(), "1,234".into(), "1,234,567".into())
        );
    }

    #[test]
    fn a_line_is_never_wider_than_asked_and_loses_no_word() {
        let text = "日本語の長い名前 and Donaudampfschifffahrtsgesellschaft with more words";
        for width in [8, 12, 30] {
            let lines = wrapped(text, width);
            assert!(lines.iter().all(|line| columns(line) <= width), "{lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
    }
}
