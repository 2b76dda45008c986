//! What an account holds, as plain data: the common ground of generator, real servers, sandbox and checker.
//!
//! Nothing here knows IMAP or any other crate of the project, so an image can be made by hand, by the corpus
//! generator, from a real server over the wire, or from a snapshot of the sandbox, and compared by one checker.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::date::InternalDate;

/// All mailboxes of an account that can be selected, and what it subscribes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountImage {
    /// The selectable mailboxes, each path once.
    pub mailboxes: Vec<MailboxImage>,
    /// Subscribed paths, also those of mailboxes that do not exist (RFC 3501 section 6.3.6 allows them).
    pub subscriptions: BTreeSet<MailboxPath>,
}

impl AccountImage {
    /// The mailbox at `path`.
    #[must_use]
    pub fn mailbox(&self, path: &MailboxPath) -> Option<&MailboxImage> {
        self.mailboxes.iter().find(|mailbox| mailbox.path == *path)
    }

    /// The mailbox at `path`, to be changed.
    pub fn mailbox_mut(&mut self, path: &MailboxPath) -> Option<&mut MailboxImage> {
        self.mailboxes.iter_mut().find(|mailbox| mailbox.path == *path)
    }

    /// Number of messages in all mailboxes.
    #[must_use]
    pub fn message_count(&self) -> usize {
        self.mailboxes.iter().map(|mailbox| mailbox.messages.len()).sum()
    }

    /// Octets of all messages.
    #[must_use]
    pub fn size_octets(&self) -> u64 {
        self.messages().map(|(_, message)| message.content.size_octets).sum()
    }

    /// Every message with the path of its mailbox.
    pub fn messages(&self) -> impl Iterator<Item = (&MailboxPath, &MessageImage)> {
        self.mailboxes
            .iter()
            .flat_map(|mailbox| mailbox.messages.iter().map(|message| (&mailbox.path, message)))
    }
}

/// A mailbox and its messages in UID order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxImage {
    /// Where it lies below the personal namespace.
    pub path: MailboxPath,
    /// The messages, by ascending UID.
    pub messages: Vec<MessageImage>,
}

impl MailboxImage {
    /// A mailbox without messages.
    #[must_use]
    pub fn empty(path: impl Into<MailboxPath>) -> Self {
        Self { path: path.into(), messages: Vec::new() }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageImage {
    /// Its UID where it was read, or its ordinal from 1 where it was made up.
    pub uid: u32,
    /// Flags and keywords without `\Recent`.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: InternalDate,
    /// The octets of `BODY[]`, or their digests.
    pub content: Content,
}

/// Decoded levels of a mailbox name, without the personal namespace's prefix. INBOX is spelt `INBOX`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxPath(Vec<String>);

impl MailboxPath {
    /// A path from its levels; a first level `inbox` in any case becomes `INBOX` (RFC 3501 section 5.1).
    ///
    /// # Panics
    /// If there is no level.
    #[must_use]
    pub fn new<L: Into<String>>(levels: impl IntoIterator<Item = L>) -> Self {
        let mut levels: Vec<String> = levels.into_iter().map(Into::into).collect();
        assert!(!levels.is_empty(), "a mailbox path has a level");
        if levels[0].eq_ignore_ascii_case("INBOX") {
            levels[0] = "INBOX".to_owned();
        }
        Self(levels)
    }

    /// The path of INBOX.
    #[must_use]
    pub fn inbox() -> Self {
        Self::new(["INBOX"])
    }

    /// The levels, outermost first.
    #[must_use]
    pub fn levels(&self) -> &[String] {
        &self.0
    }

    /// This is INBOX itself, not a mailbox below it.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0.len() == 1 && self.0[0] == "INBOX"
    }
}

/// `a/b` is two levels: for names in tests, which hold no `/` inside a level.
impl From<&str> for MailboxPath {
    fn from(path: &str) -> Self {
        Self::new(path.split('/'))
    }
}

impl fmt::Display for MailboxPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// A set of flags and keywords. Equality ignores ASCII case, as flag names do (RFC 3501 section 9); the first
/// spelling is kept for sending. `\Recent` belongs to sessions, not to messages, and is dropped.
#[derive(Clone, Debug, Default)]
pub struct Flags(BTreeMap<String, String>);

impl Flags {
    /// A set from flag names as they go over the wire.
    #[must_use]
    pub fn new<F: Into<String>>(flags: impl IntoIterator<Item = F>) -> Self {
        let mut set = Self::default();
        for flag in flags {
            set.insert(flag);
        }
        set
    }

    /// Adds a flag unless it is there in some spelling, or is `\Recent`.
    pub fn insert(&mut self, flag: impl Into<String>) {
        let flag = flag.into();
        let key = flag.to_ascii_lowercase();
        if key != "\\recent" {
            self.0.entry(key).or_insert(flag);
        }
    }

    /// Takes a flag out, whatever its spelling.
    pub fn remove(&mut self, flag: &str) {
        self.0.remove(&flag.to_ascii_lowercase());
    }

    /// The flag is set, whatever its spelling.
    #[must_use]
    pub fn contains(&self, flag: &str) -> bool {
        self.0.contains_key(&flag.to_ascii_lowercase())
    }

    /// The flags in their first spelling, in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }
}

impl PartialEq for Flags {
    fn eq(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }
}

impl Eq for Flags {}

impl std::hash::Hash for Flags {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for key in self.0.keys() {
            key.hash(state);
        }
    }
}

/// `(\Seen todo)`
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (index, flag) in self.iter().enumerate() {
            write!(f, "{}{flag}", if index == 0 { "" } else { " " })?;
        }
        f.write_str(")")
    }
}

/// SHA-256.
pub type Sha = [u8; 32];

/// The octets of a message by length and digests; the octets themselves only where they were kept.
#[derive(Clone)]
pub struct Content {
    /// Length in octets.
    pub size_octets: u64,
    /// Digest of the octets.
    pub sha256: Sha,
    /// Digest of the octets without any CR: equal where two messages differ in line ends only.
    pub sha256_without_cr: Sha,
    /// The octets, if kept.
    pub octets: Option<Bytes>,
}

impl Content {
    /// Digests `octets` and keeps them.
    #[must_use]
    pub fn of(octets: impl Into<Bytes>) -> Self {
        let octets = octets.into();
        let mut hasher = ContentHasher::default();
        hasher.update(&octets);
        Self { octets: Some(octets), ..hasher.finish() }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.size_octets == other.size_octets && self.sha256 == other.sha256
    }
}

impl Eq for Content {}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets, sha256 {}", self.size_octets, short_hex(&self.sha256))
    }
}

/// The first 6 octets of a digest in hex: enough to tell messages apart in a report.
#[must_use]
pub fn short_hex(sha: &Sha) -> String {
    sha[..6].iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Makes a [`Content`] from octets that come in pieces, without keeping them.
#[derive(Default)]
pub struct ContentHasher {
    size_octets: u64,
    all: Sha256,
    without_cr: Sha256,
}

impl ContentHasher {
    /// Takes the next octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.size_octets += octets.len() as u64;
        self.all.update(octets);
        for run in octets.split(|octet| *octet == b'\r') {
            self.without_cr.update(run);
        }
    }

    /// The digests of all octets taken.
    #[must_use]
    pub fn finish(self) -> Content {
        Content {
            size_octets: self.size_octets,
            sha256: self.all.finalize().into(),
            sha256_without_cr: self.without_cr.finalize().into(),
            octets: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_in_pieces_have_the_digest_of_the_whole() {
        let whole = Content::of(&b"a\r\nb\r\r\nc"[..]);
        let mut hasher = ContentHasher::default();
        for piece in [&b"a\r"[..], b"", b"\nb\r", b"\r\nc"] {
            hasher.update(piece);
        }
        let pieces = hasher.finish();
        assert_eq!(pieces, whole);
        assert_eq!(pieces.sha256_without_cr, Content::of(&b"a\nb\nc"[..]).sha256);
    }

    #[test]
    fn flags_are_equal_in_any_order_and_case_and_never_hold_recent() {
        assert_eq!(Flags::new(["\\Seen", "$Forwarded", "\\Recent"]), Flags::new(["$forwarded", "\\SEEN"]));
        assert_ne!(Flags::new(["\\Seen"]), Flags::default());
        assert_eq!(Flags::new(["todo", "\\Seen"]).to_string(), "(\\Seen todo)");
    }

    #[test]
    fn inbox_is_inbox_in_any_case_and_only_as_the_first_level() {
        assert!(MailboxPath::from("inBox").is_inbox());
        assert_eq!(MailboxPath::from("inbox/a"), MailboxPath::from("INBOX/a"));
        assert_ne!(MailboxPath::from("a/inbox"), MailboxPath::from("a/INBOX"));
    }
}
