//! Mailbox names, LIST and NAMESPACE.

use crate::cursor::Cursor;
use bytes::Bytes;

/// A mailbox as LIST shows it (RFC 9051, 7.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// Attributes with their backslash, as written.
    pub attributes: Vec<Bytes>,
    /// The hierarchy delimiter; `None` for NIL.
    pub delimiter: Option<u8>,
    /// The name as the server writes it: octets, never decoded here.
    pub name: Bytes,
}

impl ListEntry {
    /// True when an attribute is there, in any case.
    pub fn has(&self, attribute: &[u8]) -> bool {
        self.attributes.iter().any(|a| a.eq_ignore_ascii_case(attribute))
    }

    /// Neither `\Noselect` nor `\NonExistent`.
    pub fn is_selectable(&self) -> bool {
        !self.has(b"\\Noselect") && !self.has(b"\\NonExistent")
    }

    pub(crate) fn parse(c: &mut Cursor<'_>) -> Option<Self> {
        let attributes = c.list()?;
        c.skip_spaces();
        let delimiter = c.nstring()?.and_then(|d| d.first().copied());
        c.skip_spaces();
        Some(Self { attributes, delimiter, name: c.astring()? })
    }
}

/// One namespace (RFC 2342).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its prefix.
    pub prefix: Bytes,
    /// The delimiter of names below it.
    pub delimiter: Option<u8>,
}

/// The answer to NAMESPACE (RFC 2342, 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// The account's own.
    pub personal: Vec<Namespace>,
    /// Other users'.
    pub other_users: Vec<Namespace>,
    /// Shared.
    pub shared: Vec<Namespace>,
}

impl Namespaces {
    pub(crate) fn parse(c: &mut Cursor<'_>) -> Option<Self> {
        let mut next = || {
            c.skip_spaces();
            namespaces(c)
        };
        Some(Self { personal: next()?, other_users: next()?, shared: next()? })
    }
}

fn namespaces(c: &mut Cursor<'_>) -> Option<Vec<Namespace>> {
    if c.peek() != Some(b'(') {
        return c.atom()?.eq_ignore_ascii_case(b"NIL").then(Vec::new);
    }
    c.eat(b'(');
    let mut all = Vec::new();
    loop {
        c.skip_spaces();
        if c.eat(b')') {
            return Some(all);
        }
        if !c.eat(b'(') {
            return None;
        }
        let prefix = c.astring()?;
        c.skip_spaces();
        let delimiter = c.nstring()?.and_then(|d| d.first().copied());
        // Extensions of the namespace (RFC 2342, 5) are of no use here.
        loop {
            c.skip_spaces();
            if c.eat(b')') {
                break;
            }
            c.raw_value()?;
        }
        all.push(Namespace { prefix, delimiter });
    }
}
