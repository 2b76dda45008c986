//! FETCH and sets.

use crate::account::{MailboxSnapshot, MessageSnapshot};
use crate::gmail;
use crate::reader::Word;
use bytes::Bytes;

/// The positions of the messages a set names: UIDs, or sequence numbers. `None` for no set.
pub(crate) fn select(mailbox: &MailboxSnapshot, set: &str, by_uid: bool) -> Option<Vec<usize>> {
    let last = if by_uid {
        mailbox.messages.last().map_or(0, |m| m.uid)
    } else {
        u32::try_from(mailbox.messages.len()).unwrap_or(u32::MAX)
    };
    let mut ranges = Vec::new();
    for part in set.split(',') {
        let number = |t: &str| if t == "*" { Some(last) } else { t.parse::<u32>().ok().filter(|n| *n > 0) };
        let (a, b) = match part.split_once(':') {
            Some((a, b)) => (number(a)?, number(b)?),
            None => (number(part)?, number(part)?),
        };
        ranges.push((a.min(b), a.max(b)));
    }
    let named = |(i, m): &(usize, &MessageSnapshot)| {
        let n = if by_uid { m.uid } else { u32::try_from(i + 1).unwrap_or(0) };
        ranges.iter().any(|(a, b)| (*a..=*b).contains(&n))
    };
    Some(mailbox.messages.iter().enumerate().filter(named).map(|(i, _)| i).collect())
}

/// The items of a FETCH, upper case, macros resolved.
pub(crate) fn items(word: &Word, by_uid: bool) -> Option<Vec<String>> {
    let mut items: Vec<String> = match word {
        Word::List(list) => list.iter().filter_map(Word::text).map(|t| t.to_ascii_uppercase()).collect(),
        other => vec![other.text()?.to_ascii_uppercase()],
    };
    if items == ["FAST"] {
        items = ["FLAGS", "INTERNALDATE", "RFC822.SIZE"].map(str::to_owned).to_vec();
    }
    if by_uid && !items.iter().any(|i| i == "UID") {
        items.insert(0, "UID".into());
    }
    Some(items)
}

/// How an answer departs from the truth.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    /// The body is NIL.
    pub(crate) nil: bool,
    /// RFC822.SIZE says so many octets more.
    pub(crate) size_adds: u64,
    /// What stands in a header alone for an octet above 127.
    pub(crate) header_shows: Option<u8>,
}

/// One FETCH response. `None` for an item that is not known.
pub(crate) fn response(
    sequence: usize,
    message: &MessageSnapshot,
    items: &[String],
    shape: Shape,
) -> Option<Vec<u8>> {
    let mut out = format!("* {sequence} FETCH (").into_bytes();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        match item.as_str() {
            "UID" => out.extend(format!("UID {}", message.uid).bytes()),
            "FLAGS" => out.extend(format!("FLAGS ({})", message.flags.join(" ")).bytes()),
            "INTERNALDATE" => out.extend(format!("INTERNALDATE \"{}\"", message.internal_date).bytes()),
            "X-GM-MSGID" | "X-GM-THRID" if message.gm_msgid > 0 => {
                out.extend(format!("{item} {}", message.gm_msgid).bytes())
            }
            "X-GM-LABELS" if message.gm_msgid > 0 => {
                let labels: Vec<String> = message.gm_labels.iter().map(|l| gmail::written(l)).collect();
                out.extend(format!("X-GM-LABELS ({})", labels.join(" ")).bytes());
            }
            "MODSEQ" => out.extend(format!("MODSEQ ({})", message.mod_seq).bytes()),
            "RFC822.SIZE" => {
                let size = message.octets.len() as u64 + shape.size_adds;
                out.extend(format!("RFC822.SIZE {size}").bytes());
            }
            section => {
                let (name, octets) = body(section, &message.octets, shape.header_shows)?;
                if shape.nil {
                    out.extend(format!("{name} NIL").bytes());
                } else {
                    out.extend(format!("{name} {{{}}}\r\n", octets.len()).bytes());
                    out.extend_from_slice(&octets);
                }
            }
        }
    }
    out.extend_from_slice(b")\r\n");
    Some(out)
}

/// True for an item that gives octets.
pub(crate) fn is_body(item: &str) -> bool {
    item.starts_with("BODY") || item == "RFC822"
}

/// True for an item that sets `\Seen` (RFC 9051, 6.4.5).
pub(crate) fn marks_seen(item: &str) -> bool {
    item.starts_with("BODY[") || item == "RFC822"
}

fn body(item: &str, octets: &Bytes, shows: Option<u8>) -> Option<(String, Bytes)> {
    let split = memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |i| i + 4);
    let name = item.replacen("BODY.PEEK[", "BODY[", 1);
    let part = match name.as_str() {
        "BODY[]" | "RFC822" => octets.clone(),
        "BODY[HEADER]" => {
            let shown = |b: &u8| if b.is_ascii() { *b } else { shows.unwrap_or(*b) };
            octets[..split].iter().map(shown).collect::<Vec<_>>().into()
        }
        "BODY[TEXT]" => octets.slice(split..),
        _ => return None,
    };
    Some((name, part))
}
