//! Facts of one message that both ends and the journal share.

use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// A date (RFC 9051, 9: 26 octets) and most sets of flags have room in themselves: each message has some of either, and they are
/// copied all the way from the listing to the report.
#[derive(Default, PartialEq, Eq, Hash)]
struct Octets(SmallVec<[u8; 32]>);

impl Octets {
    fn new(octets: &[u8]) -> Self {
        Self(SmallVec::from_slice(octets))
    }
}

impl Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// In one piece: what is derived copies octet by octet.
impl Clone for Octets {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

/// The number a server gives a message inside one epoch of a mailbox: the IMAP UID (RFC 9051, 2.3.1.1).
///
/// 64 bits wide, because ends that are not IMAP number by other means; a native identifier that is no
/// number (UIDL, JMAP) lives in a side table of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub i64);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The UIDVALIDITY of a mailbox (RFC 9051, 2.3.1.1): the generation inside which a [`Key`] has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidValidity(pub u32);

impl fmt::Display for UidValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The flags of a message, as octets: atoms separated by single spaces, without parentheses, in the order
/// the server gave them. 8-bit octets are kept.
///
/// Two values are equal when they hold the same set; case is ignored, as RFC 9051 2.3.2 asks for keywords
/// and system flags alike.
#[derive(Clone, Default)]
pub struct Flags(Octets);

impl Flags {
    /// Joins atoms; an empty atom is left out.
    pub fn from_atoms<'a>(atoms: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut joined = Octets::default();
        for atom in atoms.into_iter().filter(|a| !a.is_empty()) {
            if !joined.0.is_empty() {
                joined.0.push(b' ');
            }
            joined.0.extend_from_slice(atom);
        }
        Self(joined)
    }

    /// Takes octets in the form that [`Flags::as_octets`] gives.
    pub fn from_octets(joined: impl AsRef<[u8]>) -> Self {
        Self(Octets::new(joined.as_ref()))
    }

    /// The atoms separated by single spaces.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }

    /// The atoms, in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.as_octets().split(|&b| b == b' ').filter(|a| !a.is_empty())
    }

    /// True when no flag is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when `atom` is among them, ignoring case.
    pub fn contains(&self, atom: &[u8]) -> bool {
        self.iter().any(|a| a.eq_ignore_ascii_case(atom))
    }

    /// The same flags without those for which `drop` holds.
    #[must_use]
    pub fn without(&self, mut drop: impl FnMut(&[u8]) -> bool) -> Self {
        Self::from_atoms(self.iter().filter(|a| !drop(a)))
    }

    /// The same flags without `\Recent`, which belongs to a session and is never copied (RFC 3501, 2.3.2).
    #[must_use]
    pub fn without_recent(&self) -> Self {
        self.without(|a| a.eq_ignore_ascii_case(b"\\Recent"))
    }

    /// The same flags without `\Deleted`.
    #[must_use]
    pub fn without_deleted(&self) -> Self {
        self.without(|a| a.eq_ignore_ascii_case(b"\\Deleted"))
    }

    /// The system flags alone: what is left when a target refuses keywords (ladder step T2).
    #[must_use]
    pub fn without_keywords(&self) -> Self {
        self.without(|a| !a.starts_with(b"\\"))
    }

    /// True when at least one flag is a keyword.
    pub fn has_keywords(&self) -> bool {
        self.iter().any(|a| !a.starts_with(b"\\"))
    }

    /// What can be sent in an APPEND: the five system flags a client may set (RFC 9051, 2.3.2) and keywords that are
    /// atoms. Others (`\\Custom`, octets above 127) are BAD at every server tried, and would cost the message.
    #[must_use]
    pub fn sendable(&self) -> Self {
        const SETTABLE: [&[u8]; 5] = [b"\\Seen", b"\\Answered", b"\\Flagged", b"\\Deleted", b"\\Draft"];
        self.without(|atom| {
            if atom.starts_with(b"\\") {
                !SETTABLE.iter().any(|s| atom.eq_ignore_ascii_case(s))
            } else {
                atom.iter().any(|&b| b <= b' ' || b >= 0x7f || b"(){%*\"\\".contains(&b))
            }
        })
    }

    fn sorted(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = self.iter().map(<[u8]>::to_ascii_lowercase).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl PartialEq for Flags {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.sorted() == other.sorted()
    }
}
impl Eq for Flags {}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_octets()))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({self})")
    }
}

/// When a server received a message: INTERNALDATE (RFC 9051, 2.3.3), the octets between the quotes as the
/// server gave them. They go out as they came; comparing goes by [`InternalDate::instant`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct InternalDate(Octets);

impl InternalDate {
    /// Takes the octets between the quotes.
    pub fn from_octets(raw: impl AsRef<[u8]>) -> Self {
        Self(Octets::new(raw.as_ref()))
    }

    /// The octets between the quotes.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }

    /// Seconds since 1970-01-01 00:00:00 UTC, if the octets name a possible date.
    pub fn instant(&self) -> Option<i64> {
        mailhaul_imap::DateParts::read(self.as_octets()).map(mailhaul_imap::DateParts::unix_seconds)
    }
}

impl fmt::Display for InternalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_octets()))
    }
}

impl fmt::Debug for InternalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_octets()))
    }
}

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (two, octet) in text.chunks_exact_mut(2).zip(self.0) {
            two.copy_from_slice(&[HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What octets are: their number and their two digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Number of octets.
    pub octets: u64,
    /// SHA-256 of the octets: level L0.
    pub exact: Digest,
    /// SHA-256 of the newline-normalised octets, n(b): level L1 (see [`crate::identity`]).
    pub normal: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_a_set_without_case() {
        let a = Flags::from_atoms([&b"\\Seen"[..], b"$Forwarded"]);
        let b = Flags::from_octets("$forwarded \\SEEN");
        assert_eq!(a, b);
        assert_ne!(a, a.without_keywords());
    }

    #[test]
    fn flags_that_no_server_takes_in_an_append_are_not_sent() {
        let f = Flags::from_octets(&b"\\Recent \\SEEN \\Custom a{b sch\xf6n $Forwarded a]b"[..]);
        assert_eq!(f.sendable().as_octets(), b"\\SEEN $Forwarded a]b");
    }

    #[test]
    fn recent_is_left_out_and_eight_bit_keywords_stay() {
        let f = Flags::from_octets(&b"\\Recent sch\xf6n \\Seen"[..]);
        assert_eq!(f.without_recent().as_octets(), b"sch\xf6n \\Seen");
    }
}
