//! What the server says it can do.

use bytes::Bytes;

/// How literals may be sent (RFC 7888). The order is that of what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LiteralMode {
    /// Each literal waits for a continuation request.
    Synchronizing,
    /// LITERAL-: literals of up to [`LITERAL_MINUS_MAX_OCTETS`] need not wait.
    Minus,
    /// LITERAL+: no literal needs to wait.
    Plus,
}

/// The longest non-synchronising literal of LITERAL- (RFC 7888, 5), in octets.
pub const LITERAL_MINUS_MAX_OCTETS: u64 = 4096;

/// The capability list as the server sent it; names compare without regard to ASCII case.
///
/// Helpers for what IMAP4rev2 made part of the protocol also answer true for a server that lists IMAP4rev2
/// (RFC 9051, appendix E).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    names: Vec<Bytes>,
}

macro_rules! capability_helpers {
    ($($(#[$meta:meta])* $method:ident = $name:literal $(or $rev2:ident)?;)*) => {
        $($(#[$meta])* #[must_use] pub fn $method(&self) -> bool { self.has($name) $(|| self.$rev2())? })*
    };
}

impl Capabilities {
    /// The list from its names.
    #[must_use]
    pub fn from_names(names: impl IntoIterator<Item = Bytes>) -> Self {
        Self { names: names.into_iter().filter(|name| !name.is_empty()).collect() }
    }

    /// The list from its text, names separated by spaces.
    #[must_use]
    pub fn parse(text: &Bytes) -> Self {
        Self::from_names(text.split(|b| *b == b' ').map(|name| text.slice_ref(name)))
    }

    /// Whether the server lists `name`.
    #[must_use]
    pub fn has(&self, name: &[u8]) -> bool {
        self.names.iter().any(|have| have.eq_ignore_ascii_case(name))
    }

    /// The names as received, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.names.iter()
    }

    /// The strongest literal form offered.
    #[must_use]
    pub fn literal_mode(&self) -> LiteralMode {
        if self.has(b"LITERAL+") {
            LiteralMode::Plus
        } else if self.has(b"LITERAL-") || self.imap4rev2() {
            LiteralMode::Minus
        } else {
            LiteralMode::Synchronizing
        }
    }

    /// Whether `AUTH=mechanism` is listed.
    #[must_use]
    pub fn auth(&self, mechanism: &[u8]) -> bool {
        self.auth_mechanisms().any(|have| have.eq_ignore_ascii_case(mechanism))
    }

    /// The SASL mechanisms listed as `AUTH=...`, in the order of the server.
    pub fn auth_mechanisms(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.arguments(b"AUTH=")
    }

    /// The largest message the server takes in every mailbox, in octets (RFC 7889); `None` where it names none.
    #[must_use]
    pub fn append_limit(&self) -> Option<u64> {
        self.arguments(b"APPENDLIMIT=").find_map(|limit| crate::cursor::parse_number(&limit))
    }

    /// The most messages one command may name (RFC 9738).
    #[must_use]
    pub fn message_limit(&self) -> Option<u64> {
        self.arguments(b"MESSAGELIMIT=").find_map(|limit| crate::cursor::parse_number(&limit))
    }

    /// The most messages one command may store (RFC 9738).
    #[must_use]
    pub fn save_limit(&self) -> Option<u64> {
        self.arguments(b"SAVELIMIT=").find_map(|limit| crate::cursor::parse_number(&limit))
    }

    /// ACL (RFC 4314)
    #[must_use]
    pub fn acl(&self) -> bool {
        self.has(b"ACL")
    }

    /// QUOTA (RFC 2087), or QUOTA with its resources (RFC 9208).
    #[must_use]
    pub fn quota(&self) -> bool {
        self.has(b"QUOTA") || self.arguments(b"QUOTA=RES-").next().is_some()
    }

    fn arguments<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = Bytes> + 'a {
        self.names.iter().filter_map(move |name| {
            let (head, tail) = name.split_at_checked(prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then(|| name.slice_ref(tail))
        })
    }

    capability_helpers! {
        /// IMAP4rev1 (RFC 3501).
        imap4rev1 = b"IMAP4rev1";
        /// IMAP4rev2 (RFC 9051).
        imap4rev2 = b"IMAP4rev2";
        /// MULTIAPPEND (RFC 3502).
        multiappend = b"MULTIAPPEND";
        /// UIDPLUS (RFC 4315).
        uidplus = b"UIDPLUS" or imap4rev2;
        /// SASL-IR (RFC 4959).
        sasl_ir = b"SASL-IR" or imap4rev2;
        /// STARTTLS (RFC 3501, 6.2.1).
        starttls = b"STARTTLS";
        /// LOGINDISABLED (RFC 3501, 6.2.3).
        login_disabled = b"LOGINDISABLED";
        /// SPECIAL-USE (RFC 6154).
        special_use = b"SPECIAL-USE" or imap4rev2;
        /// CREATE-SPECIAL-USE (RFC 6154).
        create_special_use = b"CREATE-SPECIAL-USE";
        /// NAMESPACE (RFC 2342).
        namespace = b"NAMESPACE" or imap4rev2;
        /// LIST-EXTENDED (RFC 5258).
        list_extended = b"LIST-EXTENDED" or imap4rev2;
        /// LIST-STATUS (RFC 5819).
        list_status = b"LIST-STATUS" or imap4rev2;
        /// STATUS=SIZE (RFC 8438).
        status_size = b"STATUS=SIZE" or imap4rev2;
        /// CONDSTORE (RFC 7162), which QRESYNC includes.
        condstore = b"CONDSTORE" or qresync;
        /// QRESYNC (RFC 7162).
        qresync = b"QRESYNC";
        /// ENABLE (RFC 5161).
        enable = b"ENABLE" or imap4rev2;
        /// ID (RFC 2971).
        id = b"ID";
        /// MOVE (RFC 6851).
        move_ = b"MOVE" or imap4rev2;
        /// UNSELECT (RFC 3691).
        unselect = b"UNSELECT" or imap4rev2;
        /// ESEARCH (RFC 4731).
        esearch = b"ESEARCH" or imap4rev2;
        /// Gmail's extensions.
        gmail = b"X-GM-EXT-1";
        /// COMPRESS=DEFLATE (RFC 4978).
        compress_deflate = b"COMPRESS=DEFLATE";
        /// OBJECTID (RFC 8474).
        objectid = b"OBJECTID";
        /// BINARY (RFC 3516).
        binary = b"BINARY";
        /// SAVEDATE (RFC 8514).
        savedate = b"SAVEDATE";
        /// IDLE (RFC 2177).
        idle = b"IDLE" or imap4rev2;
        /// UTF8=ACCEPT (RFC 6855).
        utf8_accept = b"UTF8=ACCEPT";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities(text: &'static str) -> Capabilities {
        Capabilities::parse(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn names_compare_in_any_case() {
        let caps = capabilities(
            "imap4REV1 Literal+ auth=plain AUTH=XOAUTH2 AppendLimit=35651584 x-gm-ext-1 QUOTA=RES-STORAGE",
        );
        assert!(caps.imap4rev1() && caps.gmail() && caps.quota());
        assert_eq!(caps.literal_mode(), LiteralMode::Plus);
        assert!(caps.auth(b"PLAIN") && caps.auth(b"xoauth2") && !caps.auth(b"LOGIN"));
        assert_eq!(caps.append_limit(), Some(35_651_584));
        assert_eq!(caps.iter().next().map(|b| &b[..]), Some(&b"imap4REV1"[..]));
    }

    #[test]
    fn rev2_brings_what_it_absorbed_and_no_more() {
        let caps = capabilities("IMAP4rev2 AUTH=PLAIN");
        assert!(caps.uidplus() && caps.namespace() && caps.esearch() && !caps.imap4rev1());
        assert_eq!(caps.literal_mode(), LiteralMode::Minus);
        assert!(!caps.multiappend() && !caps.condstore() && !caps.create_special_use());
    }

    #[test]
    fn a_limit_of_unknown_size_is_no_limit() {
        assert_eq!(capabilities("APPENDLIMIT").append_limit(), None);
        assert_eq!(capabilities("APPENDLIMIT=x").append_limit(), None);
    }

    #[test]
    fn the_literal_forms_are_told_apart() {
        assert_eq!(capabilities("IMAP4rev1 LITERAL-").literal_mode(), LiteralMode::Minus);
        assert_eq!(capabilities("IMAP4rev1").literal_mode(), LiteralMode::Synchronizing);
        assert!(LiteralMode::Synchronizing < LiteralMode::Minus && LiteralMode::Minus < LiteralMode::Plus);
    }
}
