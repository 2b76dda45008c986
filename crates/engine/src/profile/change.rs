//! Pure: what a server made of octets, in the terms of a profile.

use crate::semantic::{self, Delta};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Octets that a server may not take as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Octets {
    /// NUL.
    Nul,
    /// Above 127.
    EightBit,
}

/// One thing that a server changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// LF or CR alone, or CR CR LF, came back as another line end.
    LineEnds,
    /// Line ends were added at the end.
    FinalLineEndAdded,
    /// Line ends were dropped at the end.
    FinalLineEndDropped,
    /// Octets of a kind came back as others.
    Replaced {
        /// Which.
        octets: Octets,
        /// The octet in their place: `X`, `0x80`; `other octets` for several.
        by: String,
    },
    /// Octets of a kind came back no more.
    Dropped {
        /// Which.
        octets: Octets,
    },
    /// Only the beginning came back.
    Cut {
        /// Octets left.
        left: usize,
    },
    /// A header field was added.
    Added {
        /// Its name, lower case.
        field: String,
    },
    /// A header field, or a line before the header, was removed.
    Removed {
        /// Its name, lower case.
        field: String,
    },
    /// A header field says the same in other octets.
    Rewritten {
        /// Its name, lower case.
        field: String,
    },
    /// Anything else.
    Other {
        /// In words.
        what: String,
    },
}

/// Tells an octet of a kind.
type Is = fn(u8) -> bool;
/// Octets in a form in which some line ends are alike.
type Form = fn(&[u8]) -> Vec<u8>;

/// What came back otherwise than it was sent; empty where nothing did.
pub fn changes(sent: &[u8], got: &[u8]) -> Vec<Change> {
    if sent == got {
        return Vec::new();
    }
    if let Some(change) = of_octets(sent, got) {
        return vec![change];
    }
    let of_ends = of_line_ends(sent, got);
    if !of_ends.is_empty() {
        return of_ends;
    }
    if sent.starts_with(got) {
        return vec![Change::Cut { left: got.len() }];
    }
    let compared = semantic::compare(sent, got);
    let mut changes: Vec<Change> = compared.deltas.iter().map(of_delta).collect();
    if changes.is_empty() {
        changes.push(Change::Other { what: "other octets".into() });
    }
    changes
}

fn of_delta(delta: &Delta) -> Change {
    match delta {
        Delta::HeaderAdded(field, _) => Change::Added { field: named(field) },
        Delta::HeaderRemoved(field, _) => Change::Removed { field: named(field) },
        Delta::HeaderRewritten(field) => Change::Rewritten { field: named(field) },
        Delta::HeaderMunged(..) => Change::Replaced { octets: Octets::EightBit, by: "other octets".into() },
        other => Change::Other { what: other.to_string() },
    }
}

/// A line that is no field has no name, or one with spaces in it (RFC 5322, 2.2).
fn named(field: &str) -> String {
    if field.is_empty() || field.contains(' ') {
        "a line that is no header field".into()
    } else {
        field.to_owned()
    }
}

/// Octets of one kind, each replaced, or all of them dropped.
fn of_octets(sent: &[u8], got: &[u8]) -> Option<Change> {
    let kinds: [(Octets, Is); 2] = [(Octets::Nul, |b| b == 0), (Octets::EightBit, |b| b >= 0x80)];
    kinds.into_iter().find_map(|(octets, is)| {
        if !sent.iter().any(|b| is(*b)) {
            return None;
        }
        let replaced = sent.len() == got.len() && sent.iter().zip(got).all(|(a, b)| a == b || is(*a));
        if replaced {
            let mut by: Vec<u8> = sent.iter().zip(got).filter(|(a, b)| a != b).map(|(_, b)| *b).collect();
            by.sort_unstable();
            by.dedup();
            return Some(Change::Replaced { octets, by: spelled(&by) });
        }
        // One octet for each character, or for each run.
        let single = b"?X_ \x80"
            .iter()
            .find(|by| [characters(sent, is, **by), runs(sent, is, **by)].iter().any(|s| s == got));
        if let Some(by) = single {
            return Some(Change::Replaced { octets, by: spelled(&[*by]) });
        }
        let dropped: Vec<u8> = sent.iter().copied().filter(|b| !is(*b)).collect();
        (dropped == got).then_some(Change::Dropped { octets })
    })
}

/// `octets` with each UTF-8 character of the kind as one octet.
fn characters(octets: &[u8], is: Is, by: u8) -> Vec<u8> {
    let continues = |b: u8| (0x80..0xc0).contains(&b);
    octets.iter().filter(|b| !(is(**b) && continues(**b))).map(|b| if is(*b) { by } else { *b }).collect()
}

/// `octets` with each run of the kind as one octet.
fn runs(octets: &[u8], is: Is, by: u8) -> Vec<u8> {
    let chunks = octets.chunk_by(|a, b| is(*a) == is(*b));
    chunks
        .flat_map(|chunk| if chunk.first().is_some_and(|b| is(*b)) { vec![by] } else { chunk.to_vec() })
        .collect()
}

fn spelled(octets: &[u8]) -> String {
    match octets {
        [b' '] => "a space".into(),
        [octet] if octet.is_ascii_graphic() => char::from(*octet).to_string(),
        [octet] => format!("0x{octet:02x}"),
        _ => "other octets".into(),
    }
}

/// Line ends alone: inside, and at the very end.
fn of_line_ends(sent: &[u8], got: &[u8]) -> Vec<Change> {
    let forms: [Form; 2] = [normal, without_cr];
    let Some(form) = forms.into_iter().find(|form| trimmed(&form(sent)) == trimmed(&form(got))) else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    let (before, after) = (form(sent), form(got));
    if trimmed(sent) != trimmed(got) || (before == after) {
        changes.push(Change::LineEnds);
    }
    match before.len().cmp(&after.len()) {
        std::cmp::Ordering::Less => changes.push(Change::FinalLineEndAdded),
        std::cmp::Ordering::Greater => changes.push(Change::FinalLineEndDropped),
        std::cmp::Ordering::Equal => {}
    }
    changes
}

/// `CR* LF` and CR alone as LF.
fn normal(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut crs = 0_usize;
    for octet in octets {
        match octet {
            b'\r' => crs += 1,
            b'\n' => {
                crs = 0;
                out.push(b'\n');
            }
            other => {
                out.extend(std::iter::repeat_n(b'\n', crs));
                crs = 0;
                out.push(*other);
            }
        }
    }
    out.extend(std::iter::repeat_n(b'\n', crs));
    out
}

fn without_cr(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().filter(|b| *b != b'\r').collect()
}

fn trimmed(octets: &[u8]) -> &[u8] {
    let end = octets.iter().rposition(|b| !b"\r\n".contains(b)).map_or(0, |at| at + 1);
    &octets[..end]
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nul => "NUL",
            Self::EightBit => "8-bit octets",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineEnds => f.write_str("come back with other line ends"),
            Self::FinalLineEndAdded => f.write_str("get a line end at the end"),
            Self::FinalLineEndDropped => f.write_str("lose line ends at the end"),
            Self::Replaced { octets, by } => write!(f, "{octets} replaced by {by}"),
            Self::Dropped { octets } => write!(f, "{octets} dropped"),
            Self::Cut { left } => write!(f, "cut after {left} octets"),
            Self::Added { field } => write!(f, "{} added", crate::names::printable(field)),
            Self::Removed { field } => write!(f, "{} removed", crate::names::printable(field)),
            Self::Rewritten { field } => {
                write!(f, "{} written otherwise, saying the same", crate::names::printable(field))
            }
            Self::Other { what } => f.write_str(&crate::names::printable(what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sent: &[u8], got: &[u8]) -> Vec<String> {
        changes(sent, got).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_servers_were_measured_to_do_is_told_by_its_name() {
        let rows: [(&[u8], &[u8], &str); 15] = [
            (b"A: 1\n\nx\n", b"A: 1\r\n\r\nx\r\n", "come back with other line ends"),
            (b"A: 1\r\n\r\nx\r\r\ny\r\n", b"A: 1\r\n\r\nx\r\ny\r\n", "come back with other line ends"),
            (b"A: 1\r\n\r\nx\ry\r\n", b"A: 1\r\n\r\nxy\r\n", "come back with other line ends"),
            (b"A: 1\r\n\r\nx", b"A: 1\r\n\r\nx\r\n", "get a line end at the end"),
            (b"A: 1\r\n\r\nx\r\n\r\n", b"A: 1\r\n\r\nx\r\n", "lose line ends at the end"),
            (b"A: 1\r\n\r\na\0b\r\n", b"A: 1\r\n\r\na\x80b\r\n", "NUL replaced by 0x80"),
            (b"A: 1\r\n\r\na\0b\r\n", b"A: 1\r\n\r\nab\r\n", "NUL dropped"),
            (b"A: 1\r\n\r\na\0b\r\n", b"A: 1\r\n\r\na", "cut after 9 octets"),
            (b"A: J\xf6rg\r\n\r\nx\r\n", b"A: JXrg\r\n\r\nx\r\n", "8-bit octets replaced by X"),
            ("A: Jörg\r\n\r\nx\r\n".as_bytes(), b"A: J?rg\r\n\r\nx\r\n", "8-bit octets replaced by ?"),
            ("A: 日本\r\n\r\nx\r\n".as_bytes(), b"A: ?\r\n\r\nx\r\n", "8-bit octets replaced by ?"),
            (b"A: 1\r\nStatus: RO\r\n\r\nx\r\n", b"A: 1\r\n\r\nx\r\n", "status removed"),
            (b"A: 1\r\n\r\nx\r\n", b"X-Added: 1\r\nA: 1\r\n\r\nx\r\n", "x-added added"),
            (
                b"From joe Tue\r\nA: 1\r\n\r\nx\r\n",
                b"A: 1\r\n\r\nx\r\n",
                "a line that is no header field removed",
            ),
            (
                "Subject: Jörg\r\n\r\nx\r\n".as_bytes(),
                b"Subject: =?utf-8?q?J=C3=B6rg?=\r\n\r\nx\r\n",
                "subject written otherwise, saying the same",
            ),
        ];
        for (sent, got, words) in rows {
            assert_eq!(told(sent, got), [words], "{:?}", String::from_utf8_lossy(sent));
            assert_eq!(told(sent, sent), [""; 0]);
        }
        let both = told(b"A: 1\n\nx", b"A: 1\r\n\r\nx\r\n");
        assert_eq!(both, ["come back with other line ends", "get a line end at the end"]);
    }

    #[test]
    fn a_change_that_nobody_knows_is_still_a_change() {
        assert!(!changes(b"A: 1\r\n\r\nhello\r\n", b"A: 1\r\n\r\nhallo\r\n").is_empty());
        assert!(!changes(b"", b"x").is_empty() && !changes(b"x", b"").is_empty());
        assert!(!changes(b"\r\n", b"\n").is_empty());
    }
}
