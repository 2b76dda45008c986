//! Pure: whether two octet strings say the same as messages, and in what they differ (integrity.md 3.2, level L2). Asked only
//! where octets disagree: servers rewrite headers, encode bodies anew, add and drop lines.
//!
//! Two messages mean the same when their identity headers agree (decoded, unfolded, white space collapsed) and their MIME
//! leaves do, one by one: type, charset, file name, decoded octets. Preamble, boundaries, transfer encoding, the order of
//! headers and trace headers are not part of it; what of them differs is in the list of deltas.

mod headers;
mod leaves;
#[cfg(test)]
mod tests;

use crate::message::Digest;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// What two messages have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// They mean the same.
    pub same: bool,
    /// In what the second differs from the first, in the order of the first; at most [`DELTAS_MAX`].
    pub deltas: Vec<Delta>,
    /// Further ones.
    pub further: usize,
}

/// Deltas told of one message.
pub const DELTAS_MAX: usize = 200;

/// One difference of the second message from the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// A header field that the first has not: its name, and its octets with the line end.
    HeaderAdded(String, usize),
    /// A header field that only the first has.
    HeaderRemoved(String, usize),
    /// A header field with another value that means the same.
    HeaderRewritten(String),
    /// A header field with another value.
    HeaderChanged(String),
    /// A header field in which so many octets outside ASCII were replaced.
    HeaderMunged(String, usize),
    /// The leaf with this number (from 1) is encoded otherwise; its content is the same.
    LeafRewritten(usize),
    /// The leaf with this number has another content, type or name.
    LeafChanged(usize),
    /// The numbers of leaves.
    Leaves(usize, usize),
    /// Something outside of the header and the leaves: headers of parts, preamble, boundaries, what follows the last one.
    Structure,
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name: &str| crate::names::printable(name);
        match self {
            Self::HeaderAdded(field, octets) => write!(f, "{} was added ({octets} octets)", name(field)),
            Self::HeaderRemoved(field, octets) => write!(f, "{} was removed ({octets} octets)", name(field)),
            Self::HeaderRewritten(field) => write!(f, "{} is written otherwise", name(field)),
            Self::HeaderChanged(field) => write!(f, "{} has another value", name(field)),
            Self::HeaderMunged(field, octets) => {
                write!(f, "in {} {octets} octets outside ASCII were replaced", name(field))
            }
            Self::LeafRewritten(n) => write!(f, "part {n} is encoded otherwise"),
            Self::LeafChanged(n) => write!(f, "part {n} has another content"),
            Self::Leaves(before, after) => write!(f, "it has {after} parts in place of {before}"),
            Self::Structure => write!(f, "the octets around the parts differ"),
        }
    }
}

impl Comparison {
    /// Octets outside ASCII of a header field were replaced in the second.
    pub fn munged_headers(&self) -> bool {
        self.deltas.iter().any(|delta| matches!(delta, Delta::HeaderMunged(..)))
    }
}

/// The subject of a message, decoded; empty without one.
pub fn subject(header: &[u8]) -> String {
    headers::subject(&headers::split(header).fields)
}

/// The digest of what a message says and of the way it came: its trace (Received, RFC 5322, 3.6.7). A mail that two servers
/// delivered means the same and came two ways; a copy that a server rewrote came one way.
pub fn provenance(message: &[u8]) -> Digest {
    let fields = headers::split(message).fields;
    let mut digest = Sha256::new();
    digest.update(meaning(&fields, &leaves::find(message)).0);
    headers::say_trace(&fields, &mut digest);
    Digest(digest.finalize().into())
}

/// The digest of what a message says: messages mean the same where it is the same.
fn meaning(fields: &[headers::Field<'_>], leaves: &leaves::Leaves) -> Digest {
    let mut digest = Sha256::new();
    headers::say(fields, &mut digest);
    leaves.say(&mut digest);
    Digest(digest.finalize().into())
}

/// Compares what was fetched with what was read back.
pub fn compare(fetched: &[u8], read: &[u8]) -> Comparison {
    let (before, after) = (headers::split(fetched), headers::split(read));
    let (leaves_before, leaves_after) = (leaves::find(fetched), leaves::find(read));
    let same = meaning(&before.fields, &leaves_before) == meaning(&after.fields, &leaves_after);
    let mut deltas = headers::compare(&before.fields, &after.fields);
    let of_leaves = leaves::compare(&leaves_before, &leaves_after);
    deltas.extend(of_leaves);
    if leaves_before.rest != leaves_after.rest || (deltas.is_empty() && before.body != after.body) {
        deltas.push(Delta::Structure);
    }
    let further = deltas.len().saturating_sub(DELTAS_MAX);
    deltas.truncate(DELTAS_MAX);
    Comparison { same, deltas, further }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, delta) in self.deltas.iter().enumerate() {
            write!(f, "{}{delta}", if n == 0 { "" } else { "; " })?;
        }
        match self.further {
            0 => Ok(()),
            further => write!(f, "; and {further} more"),
        }
    }
}
