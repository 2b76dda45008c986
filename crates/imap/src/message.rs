//! What identifies and describes one message: UID, UIDVALIDITY, MODSEQ, flags.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;

use bytes::Bytes;

macro_rules! nonzero_number {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The number, or `None` for 0, which the grammar excludes.
            #[must_use]
            pub const fn new(number: u32) -> Option<Self> {
                match NonZeroU32::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl From<NonZeroU32> for $name {
            fn from(number: NonZeroU32) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u32 {
            fn from(number: $name) -> Self {
                number.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

nonzero_number! {
    /// The unique identifier of a message within one mailbox and one [`UidValidity`] (RFC 3501, 2.3.1.1).
    Uid
}

nonzero_number! {
    /// The number that tells one generation of a mailbox's UIDs from the next (RFC 3501, 2.3.1.1).
    UidValidity
}

impl Uid {
    /// The smallest UID.
    pub const MIN: Self = Self(NonZeroU32::MIN);
    /// The largest UID.
    pub const MAX: Self = Self(NonZeroU32::MAX);
}

/// A modification sequence (RFC 7162, 3.1); 63 bits are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModSeq(pub u64);

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A flag as the server wrote it: a system flag (`\Seen`) or a keyword (RFC 3501, 2.3.2).
///
/// Equality ignores ASCII case for system flags only, since a keyword's spelling is worth keeping;
/// [`Flag::same_as`] tells whether a server takes two flags for one.
#[derive(Clone)]
pub struct Flag(Bytes);

impl Flag {
    /// Wraps the octets of one flag. `None` if they cannot stand in a flag list: empty, a control character, a
    /// space, a parenthesis, or a leading quote. 8-bit octets and odd specials are kept: servers send them.
    #[must_use]
    pub fn from_raw(raw: impl Into<Bytes>) -> Option<Self> {
        let raw = raw.into();
        let bad = |b: &u8| *b <= b' ' || *b == 0x7f || *b == b'(' || *b == b')';
        (!raw.is_empty() && !raw.starts_with(b"\"") && !raw.iter().any(bad)).then_some(Self(raw))
    }

    /// The octets as received.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The octets as received, without copying.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.0
    }

    /// Begins with a backslash.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.0.starts_with(b"\\")
    }

    /// `\Recent`, which no client may set (RFC 3501, 2.3.2).
    #[must_use]
    pub fn is_recent(&self) -> bool {
        self.is(b"\\Recent")
    }

    /// `\Deleted`.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.is(b"\\Deleted")
    }

    /// Equal to `name` without regard to ASCII case.
    #[must_use]
    pub fn is(&self, name: &[u8]) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }

    /// The same flag to a server, which compares keywords without regard to ASCII case too (RFC 9051, 2.3.2).
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl PartialEq for Flag {
    fn eq(&self, other: &Self) -> bool {
        if self.is_system() { self.same_as(other) } else { self.0 == other.0 }
    }
}

impl Eq for Flag {}

impl Hash for Flag {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let fold = self.is_system();
        for byte in &self.0 {
            state.write_u8(if fold { byte.to_ascii_lowercase() } else { *byte });
        }
        state.write_u8(0xff);
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flag({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn flag(raw: &'static [u8]) -> Flag {
        Flag::from_raw(raw).unwrap()
    }

    #[test]
    fn zero_is_no_uid() {
        assert_eq!(Uid::new(0), None);
        assert_eq!(Uid::new(7).unwrap().to_string(), "7");
    }

    #[test]
    fn system_flags_are_equal_in_any_case_and_keywords_are_not() {
        assert_eq!(flag(b"\\Seen"), flag(b"\\SEEN"));
        assert_ne!(flag(b"Work"), flag(b"WORK"));
        assert!(flag(b"Work").same_as(&flag(b"WORK")));
        assert!(flag(b"\\recent").is_recent());
        let set: HashSet<_> = [flag(b"\\Seen"), flag(b"\\SEEN"), flag(b"Work"), flag(b"WORK")].into();
        assert_eq!(set.len(), 3);
    }

    #[test]
    fn a_flag_that_would_break_the_command_line_is_refused() {
        for raw in [&b""[..], b"a b", b"a\r\nA1 LOGOUT", b"a)", b"(a", b"\"a\"", b"a\0"] {
            assert!(Flag::from_raw(raw).is_none(), "{raw:?}");
        }
        for raw in [&b"a]"[..], b"\\*", b"f\xfc", b"$MDNSent", b"a\"b", b"a{5}"] {
            assert!(Flag::from_raw(raw).is_some(), "{raw:?}");
        }
    }
}
