//! The two tables of what servers say: response codes, and texts that stand in for one.

use crate::error::RefusalClass;
use std::sync::LazyLock;

/// A response code.
#[derive(Clone, Copy, Debug)]
pub struct CodeRow {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub class: RefusalClass,
    /// It says little: a text that is known says more.
    pub vague: bool,
    /// Where it is defined.
    pub source: &'static str,
}

const fn code(name: &'static str, class: RefusalClass, source: &'static str) -> CodeRow {
    CodeRow { name, class, vague: false, source }
}

const fn vague(name: &'static str, class: RefusalClass, source: &'static str) -> CodeRow {
    CodeRow { name, class, vague: true, source }
}

/// Response codes and what they mean. Others say nothing about a refusal, or answer commands that are not used.
pub const CODES: &[CodeRow] = &[
    vague("OVERQUOTA", RefusalClass::Quota, "RFC 9208"),
    code("TOOBIG", RefusalClass::TooBig, "RFC 4469, RFC 7889"),
    vague("LIMIT", RefusalClass::Throttled(None), "RFC 5530"),
    code("THROTTLED", RefusalClass::Throttled(None), "Gmail"),
    vague("UNAVAILABLE", RefusalClass::Unavailable, "RFC 5530"),
    code("INUSE", RefusalClass::InUse, "RFC 5530"),
    vague("SERVERBUG", RefusalClass::ServerBug, "RFC 5530"),
    code("CORRUPTION", RefusalClass::Damaged, "RFC 5530"),
    code("EXPUNGEISSUED", RefusalClass::Expunged, "RFC 5530"),
    code("TRYCREATE", RefusalClass::NoMailbox, "RFC 9051"),
    code("NONEXISTENT", RefusalClass::NoMailbox, "RFC 5530"),
    code("ALREADYEXISTS", RefusalClass::Exists, "RFC 5530"),
    code("NOPERM", RefusalClass::NoPermission, "RFC 5530"),
    code("READ-ONLY", RefusalClass::NoPermission, "RFC 9051"),
    code("AUTHENTICATIONFAILED", RefusalClass::Login, "RFC 5530"),
    code("AUTHORIZATIONFAILED", RefusalClass::Login, "RFC 5530"),
    code("EXPIRED", RefusalClass::Login, "RFC 5530"),
    code("PRIVACYREQUIRED", RefusalClass::Login, "RFC 5530"),
    code("CONTACTADMIN", RefusalClass::Login, "RFC 5530"),
    vague("CANNOT", RefusalClass::Cannot, "RFC 5530"),
    code("CLIENTBUG", RefusalClass::Syntax, "RFC 5530"),
    code("PARSE", RefusalClass::Syntax, "RFC 9051"),
    code("BADCHARSET", RefusalClass::Syntax, "RFC 9051"),
    code("UIDREQUIRED", RefusalClass::Syntax, "RFC 9586"),
];

/// Where a text was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// By this project, on a server that it ran.
    Measured,
    /// In threads and on vendors' pages only.
    Threads,
}

/// A text that stands in for a code.
#[derive(Clone, Copy, Debug)]
pub struct TextRow {
    /// The words, in lower case.
    pub words: &'static str,
    /// What they mean.
    pub class: RefusalClass,
    /// The word of the family that says so; `-` for any.
    pub family: &'static str,
    /// Where it was seen.
    pub seen: Seen,
    /// More exactly.
    pub evidence: &'static str,
}

static TEXTS: LazyLock<Vec<TextRow>> =
    LazyLock::new(|| include_str!("texts.tsv").lines().filter_map(text_row).collect());

/// QUIRK: all texts, in the order in which they are tried.
pub fn texts() -> &'static [TextRow] {
    &TEXTS
}

/// The first row whose words are in a text, which is in lower case.
pub(super) fn row(lower: &str) -> Option<&'static TextRow> {
    texts().iter().find(|row| lower.contains(row.words))
}

/// A line of the data file; `None` for a comment. Every other line is a row: a test reads them all.
fn text_row(line: &'static str) -> Option<TextRow> {
    let mut columns = line.split('\t');
    let (words, class) = (columns.next()?, class_of(columns.next()?)?);
    let family = columns.next()?;
    let seen = match columns.next()? {
        "measured" => Seen::Measured,
        "threads" => Seen::Threads,
        _ => return None,
    };
    Some(TextRow { words, class, family, seen, evidence: columns.next()? })
}

/// Classes by the word that the data file and the pages have for them.
pub const CLASSES: &[(&str, RefusalClass)] = &[
    ("quota", RefusalClass::Quota),
    ("too-big", RefusalClass::TooBig),
    ("throttled", RefusalClass::Throttled(None)),
    ("spent-today", RefusalClass::SpentToday),
    ("throttled-or-full", RefusalClass::ThrottledOrFull),
    ("unavailable", RefusalClass::Unavailable),
    ("in-use", RefusalClass::InUse),
    ("server-bug", RefusalClass::ServerBug),
    ("damaged", RefusalClass::Damaged),
    ("expunged", RefusalClass::Expunged),
    ("no-mailbox", RefusalClass::NoMailbox),
    ("exists", RefusalClass::Exists),
    ("no-permission", RefusalClass::NoPermission),
    ("login", RefusalClass::Login),
    ("content", RefusalClass::Content),
    ("forbidden", RefusalClass::Forbidden),
    ("keyword", RefusalClass::Keyword),
    ("cannot", RefusalClass::Cannot),
    ("date", RefusalClass::Date),
    ("syntax", RefusalClass::Syntax),
    ("unknown", RefusalClass::Unknown),
];

fn class_of(word: &str) -> Option<RefusalClass> {
    CLASSES.iter().find(|(name, _)| *name == word).map(|(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::super::family::FAMILIES;
    use super::*;

    #[test]
    fn every_line_of_the_data_file_is_a_row_and_each_can_be_reached() {
        let lines: Vec<&str> =
            include_str!("texts.tsv").lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(texts().len(), lines.len(), "a line is not understood");
        for text in texts() {
            assert_eq!(text.words, text.words.to_ascii_lowercase());
            let found = row(text.words).unwrap();
            assert_eq!((found.words, found.class), (text.words, text.class), "an earlier row hides it");
            assert!(text.family == "-" || FAMILIES.iter().any(|f| f.word == text.family), "{}", text.family);
            assert!(!text.evidence.is_empty(), "{}", text.words);
        }
    }
}
