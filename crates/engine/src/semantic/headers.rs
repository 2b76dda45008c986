//! The header fields of a message (RFC 5322, 2.2), leniently: a line without a colon is a field without a name.

use super::Delta;
use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;
use sha2::Sha256;
use std::collections::HashMap;
use std::hash::Hash;

/// Fields that say which message it is, in lower case.
const IDENTITY: [&str; 11] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
];

/// A message in two: fields, and all after the empty line.
pub(super) struct Split<'a> {
    pub fields: Vec<Field<'a>>,
    pub body: &'a [u8],
}

/// One field: its name in lower case, its value as it stands, folded.
#[derive(Debug)]
pub(super) struct Field<'a> {
    name: String,
    value: &'a [u8],
    octets: usize,
}

impl Field<'_> {
    /// What the value says: a date its instant, in seconds since 1970; anything else its text.
    fn meaning(&self) -> String {
        let instant = if self.name == "date" { instant(self.value) } else { None };
        instant.map_or_else(|| decoded(self.value), |at| at.to_string())
    }
}

/// True for a field that says which message it is. A line that is no field might be a part of one.
fn identifies(name: &str) -> bool {
    name.is_empty() || IDENTITY.contains(&name)
}

/// What of a header belongs to the meaning: the identity fields, whatever their order.
pub(super) fn say(fields: &[Field<'_>], meaning: &mut Sha256) {
    say_all(fields.iter().filter(|field| identifies(&field.name)), meaning);
}

/// The trace fields.
pub(super) fn say_trace(fields: &[Field<'_>], way: &mut Sha256) {
    say_all(fields.iter().filter(|field| field.name == "received"), way);
}

fn say_all<'a>(fields: impl Iterator<Item = &'a Field<'a>>, into: &mut Sha256) {
    let mut said: Vec<(&str, String)> = fields.map(|f| (f.name.as_str(), f.meaning())).collect();
    said.sort_unstable();
    super::leaves::say(into, &(said.len() as u64).to_be_bytes());
    for (name, value) in said {
        super::leaves::say(into, name.as_bytes());
        super::leaves::say(into, value.as_bytes());
    }
}

/// Splits a message at its first empty line.
pub(super) fn split(message: &[u8]) -> Split<'_> {
    let (mut fields, mut at) = (Vec::new(), 0);
    while at < message.len() {
        let end = field_end(message, at);
        let whole = &message[at..end];
        if trimmed(whole).is_empty() {
            return Split { fields, body: &message[end..] };
        }
        let (name, value) = match memchr::memchr(b':', whole) {
            Some(colon) => (trimmed(&whole[..colon]), &whole[colon + 1..]),
            None => (&[][..], whole),
        };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        fields.push(Field { name, value, octets: whole.len() });
        at = end;
    }
    Split { fields, body: &[] }
}

/// The end of the field that begins here: continuation lines begin with white space (RFC 5322, 2.2.3), but a line of
/// nothing else ends the header.
fn field_end(message: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        at = memchr::memchr(b'\n', &message[at..]).map_or(message.len(), |lf| at + lf + 1);
        if trimmed(&message[start..at]).is_empty() || !matches!(message.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

fn trimmed(octets: &[u8]) -> &[u8] {
    octets.trim_ascii()
}

/// The first subject, decoded; empty without one.
pub(super) fn subject(fields: &[Field<'_>]) -> String {
    fields.iter().find(|field| field.name == "subject").map_or_else(String::new, |field| decoded(field.value))
}

/// In what the second header differs from the first. Fields of one name are compared in their order; the order among
/// different names means nothing.
pub(super) fn compare(before: &[Field<'_>], after: &[Field<'_>]) -> Vec<Delta> {
    let mut groups: Vec<(&str, [Vec<&Field<'_>>; 2])> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (side, fields) in [before, after].into_iter().enumerate() {
        for field in fields {
            let at = *known.entry(&field.name).or_insert(groups.len());
            if at == groups.len() {
                groups.push((&field.name, [Vec::new(), Vec::new()]));
            }
            groups[at].1[side].push(field);
        }
    }
    groups.into_iter().flat_map(|(name, [before, after])| of_one_name(name, before, after)).collect()
}

/// Fields of one name: equal ones answer to each other, then those of one meaning; the rest is paired in order.
fn of_one_name(name: &str, mut before: Vec<&Field<'_>>, mut after: Vec<&Field<'_>>) -> Vec<Delta> {
    take_equal(&mut before, &mut after, |field| collapsed(field.value));
    let rewritten = take_equal(&mut before, &mut after, |field| field.meaning());
    let mut deltas = vec![Delta::HeaderRewritten(name.to_owned()); rewritten];
    let both = before.len().min(after.len());
    deltas.extend(before.iter().zip(&after).map(|(a, b)| of_values(name, a.value, b.value)));
    deltas.extend(before[both..].iter().map(|field| Delta::HeaderRemoved(name.to_owned(), field.octets)));
    deltas.extend(after[both..].iter().map(|field| Delta::HeaderAdded(name.to_owned(), field.octets)));
    deltas
}

/// Takes the fields of one key out of both lists, one for one. How many pairs.
fn take_equal<K: Eq + Hash>(
    before: &mut Vec<&Field<'_>>,
    after: &mut Vec<&Field<'_>>,
    key: impl Fn(&Field<'_>) -> K,
) -> usize {
    let mut open: HashMap<K, usize> = HashMap::new();
    after.iter().for_each(|field| *open.entry(key(field)).or_default() += 1);
    let (mut taken, had): (HashMap<K, usize>, usize) = (HashMap::new(), before.len());
    let take = |from: &mut HashMap<K, usize>, key: &K| match from.get_mut(key) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    };
    before.retain(|field| {
        let key = key(field);
        let answered = take(&mut open, &key);
        if answered {
            *taken.entry(key).or_default() += 1;
        }
        !answered
    });
    after.retain(|field| !take(&mut taken, &key(field)));
    had - before.len()
}

/// Of two values that say different things.
fn of_values(name: &str, before: &[u8], after: &[u8]) -> Delta {
    match munged(&collapsed(before), &collapsed(after)) {
        Some(octets) => Delta::HeaderMunged(name.to_owned(), octets),
        None => Delta::HeaderChanged(name.to_owned()),
    }
}

/// Unfolded, with runs of white space as one space.
fn collapsed(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

/// The text that the value stands for: encoded words (RFC 2047) decoded; raw octets outside ASCII are UTF-8 where they
/// can be, else Latin-1.
fn decoded(value: &[u8]) -> String {
    let text = match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    };
    let line = format!("{}\n", String::from_utf8_lossy(&collapsed(text.as_bytes())));
    match MessageStream::new(line.as_bytes()).parse_unstructured() {
        HeaderValue::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}

/// Seconds since 1970 of a date (RFC 5322, 3.3); `None` where it is none.
fn instant(value: &[u8]) -> Option<i64> {
    let line = [&collapsed(value)[..], b"\n"].concat();
    match MessageStream::new(&line).parse_date() {
        HeaderValue::DateTime(date) if date.is_valid() => Some(date.to_timestamp()),
        _ => None,
    }
}

/// The octets outside ASCII, where the second value is the first with each of them replaced by one other octet.
/// QUIRK: Cyrus with munge8bit writes `X` for each (integrity.md 1.1).
fn munged(before: &[u8], after: &[u8]) -> Option<usize> {
    let same = |(a, b): (&u8, &u8)| a == b || (!a.is_ascii() && b.is_ascii());
    let octets = before.iter().filter(|octet| !octet.is_ascii()).count();
    (octets > 0 && before.len() == after.len() && before.iter().zip(after).all(same)).then_some(octets)
}
