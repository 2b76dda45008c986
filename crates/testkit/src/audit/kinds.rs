//! Of which kinds a message is, in the words in which a plan tells what the new server does with them (docs/probe.md). The
//! reading of messages is this module's own, so that the plan is held against something.

use std::collections::BTreeSet;

/// A message of no other kind.
pub const ORDINARY: &str = "ordinary messages";
/// Octets of a line beyond which it is a long one (RFC 5322 section 2.1.1).
const LINE_OCTETS_MAX: usize = 998;
/// Fields in which mailbox files keep notes of their own.
const STORAGE: [&str; 8] =
    ["status", "x-status", "x-uid", "x-keywords", "x-imap", "x-imapbase", "content-length", "lines"];
/// Fields that a delivery writes, or that senders remove.
const DELIVERY: [&str; 4] = ["return-path", "delivered-to", "x-original-to", "bcc"];

/// Says whether a message is of a kind.
type Is = fn(&Parts<'_>) -> bool;

const KINDS: [(&str, Is); 14] = [
    ("LF alone as a line end", |m| positions(m.all, b'\n').any(|at| at == 0 || m.all[at - 1] != b'\r')),
    ("CR alone, CR CR LF", |m| positions(m.all, b'\r').any(|at| m.all.get(at + 1) != Some(&b'\n'))),
    ("no line end at the end, or many", |m| {
        !m.all.is_empty() && (m.final_line_ends() == 0 || m.final_line_ends() > 2)
    }),
    ("NUL", |m| m.all.contains(&0)),
    ("8-bit octets in a header", |m| m.header.iter().any(|octet| *octet >= 0x80)),
    ("8-bit octets and control characters in a body", |m| {
        m.body.unwrap_or_default().iter().any(|octet| is_odd(*octet))
    }),
    ("very long lines and fields", |m| {
        m.all.split(|octet| *octet == b'\n').any(|line| line.len() > LINE_OCTETS_MAX)
    }),
    ("lines that begin with “From ”", |m| lines(m.all).any(|line| line.starts_with(b"From "))),
    ("headers with a line that is none", |m| m.has_no_end() || (m.has_fields() && m.odd_lines() > 0)),
    ("messages without a header", |m| !m.all.is_empty() && !m.has_fields()),
    ("messages without a body", |m| m.body.is_some_and(<[u8]>::is_empty)),
    ("empty messages", |m| m.all.is_empty()),
    ("Status, X-UID, Content-Length and the like", |m| m.names().any(|name| STORAGE.contains(&&*name))),
    ("Return-Path, Bcc, odd folding and the like", |m| {
        m.names().any(|name| DELIVERY.contains(&&*name)) || m.odd_spaces()
    }),
];

/// All kinds of a message; [`ORDINARY`] alone where it is of no other.
#[must_use]
pub fn kinds(octets: &[u8]) -> BTreeSet<&'static str> {
    let parts = Parts::of(octets);
    let mut kinds: BTreeSet<_> = KINDS.iter().filter(|(_, is)| is(&parts)).map(|(kind, _)| *kind).collect();
    if kinds.is_empty() {
        kinds.insert(ORDINARY);
    }
    kinds
}

/// A message at its first empty line.
struct Parts<'a> {
    all: &'a [u8],
    /// With the line end of its last line.
    header: &'a [u8],
    /// `None` where no empty line ends the header.
    body: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(all: &'a [u8]) -> Self {
        let mut begin = 0;
        while let Some(length) = all[begin..].iter().position(|octet| *octet == b'\n') {
            let end = begin + length + 1;
            if matches!(&all[begin..end], b"\n" | b"\r\n") {
                return Self { all, header: &all[..begin], body: Some(&all[end..]) };
            }
            begin = end;
        }
        Self { all, header: all, body: None }
    }

    /// Lines of the header that are no continuation, without line ends.
    fn heads(&self) -> impl Iterator<Item = &'a [u8]> {
        let continues = |line: &&[u8]| !matches!(line.first(), Some(b' ' | b'\t'));
        lines(self.header).filter(continues)
    }

    /// Names of fields, lower case.
    fn names(&self) -> impl Iterator<Item = String> {
        self.heads().filter_map(name)
    }

    fn has_fields(&self) -> bool {
        self.names().next().is_some()
    }

    /// Lines of the header that are neither fields nor belong to one.
    fn odd_lines(&self) -> usize {
        let first_continues = matches!(self.header.first(), Some(b' ' | b'\t'));
        self.heads().filter(|line| name(line).is_none()).count() + usize::from(first_continues)
    }

    fn has_no_end(&self) -> bool {
        self.body.is_none() && self.has_fields()
    }

    /// Spaces at the ends of header lines, fields without a value.
    fn odd_spaces(&self) -> bool {
        let odd = |line: &[u8]| matches!(line.last(), Some(b' ' | b'\t' | b':'));
        self.has_fields() && lines(self.header).any(odd)
    }

    /// Line ends with nothing behind them.
    fn final_line_ends(&self) -> usize {
        let tail = self.all.iter().rev().take_while(|octet| matches!(**octet, b'\r' | b'\n'));
        tail.filter(|octet| **octet == b'\n').count()
    }
}

fn positions(octets: &[u8], wanted: u8) -> impl Iterator<Item = usize> {
    octets.iter().enumerate().filter(move |(_, octet)| **octet == wanted).map(|(at, _)| at)
}

/// Lines without their line ends; no empty one at the end.
fn lines(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The name of a field (RFC 5322 section 2.2: printable, without spaces), lower case.
fn name(line: &[u8]) -> Option<String> {
    let name = &line[..line.iter().position(|octet| *octet == b':')?];
    let plain = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    plain.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// Neither text nor the white space of text. NUL is a kind of its own.
fn is_odd(octet: u8) -> bool {
    octet >= 0x7f || (octet < 0x20 && !b"\0\t\r\n".contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::odd;

    #[test]
    fn each_odd_message_is_of_the_kinds_that_its_name_speaks_of() {
        let of = |wanted: &str| {
            let messages = odd::messages();
            let (_, octets) = messages.iter().find(|(name, _)| *name == wanted).unwrap();
            kinds(octets).into_iter().collect::<Vec<_>>()
        };
        for ordinary in ["plain-crlf", "dots", "imap-like-text", "mime-deep-200", "big-8MiB"] {
            assert_eq!(of(ordinary), [ORDINARY], "{ordinary}");
        }
        for (name, kind) in [
            ("bare-lf-mixed", "LF alone as a line end"),
            ("bare-cr", "CR alone, CR CR LF"),
            ("trailing-blank-lines", "no line end at the end, or many"),
            ("no-final-newline", "no line end at the end, or many"),
            ("nul-in-body", "NUL"),
            ("utf8-from", "8-bit octets in a header"),
            ("latin1-body", "8-bit octets and control characters in a body"),
            ("ctrl-z", "8-bit octets and control characters in a body"),
            ("long-header-100k", "very long lines and fields"),
            ("from-in-body", "lines that begin with “From ”"),
            ("bad-header-line", "headers with a line that is none"),
            ("headers-no-blank", "headers with a line that is none"),
            ("no-headers-body", "messages without a header"),
            ("headers-and-blank", "messages without a body"),
            ("empty", "empty messages"),
            ("x-imap-headers", "Status, X-UID, Content-Length and the like"),
            ("mh-xuid-etc", "Return-Path, Bcc, odd folding and the like"),
        ] {
            assert_eq!(of(name), [kind], "{name}");
        }
        assert_eq!(of("not-a-mail"), ["messages without a header"]);
        assert_eq!(of("one-byte"), ["messages without a header", "no line end at the end, or many"]);
        assert_eq!(of("starts-with-space"), ["headers with a line that is none"]);
        let first = ["headers with a line that is none", "lines that begin with “From ”"];
        assert_eq!(of("from-first-line"), first);
    }
}
