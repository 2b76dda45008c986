//! The knobs: what the server announces, changes, refuses and breaks.

use bytes::Bytes;
use std::time::Duration;

/// LITERAL- (RFC 7888, 5).
const LITERAL_MINUS_OCTETS_MAX: usize = 4096;

/// What happens to a line feed without a carriage return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoneLf {
    /// Kept.
    Keep,
    /// Stored as CRLF, as Dovecot does.
    ToCrlf,
    /// Refused, as Cyrus does.
    Refuse,
}

/// How the server's side of SCRAM goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramLie {
    /// Its last message has a wrong signature: it does not know the password.
    Signature,
    /// It says OK without a last message.
    NoSignature,
    /// Its nonce is not the client's with more behind it.
    Nonce,
    /// It refuses with this error of RFC 5802, 7, in its last message.
    Error(&'static str),
}

/// How a login tells what the server can do from then on (RFC 9051, 6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginTells {
    /// In the code of its OK.
    Code,
    /// In untagged data before its OK.
    Untagged,
    /// Not at all: a client has to ask.
    Nothing,
}

/// Mailboxes that take no children (`\\Noinferiors`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Childless {
    /// None.
    None,
    /// INBOX, as with Domino.
    Inbox,
    /// All: a mailbox is a file, as with mbox; what lies above one is a folder without mail.
    All,
}

/// What is kept of a message: from its UID and its octets as handed over.
pub type Rewrite = fn(u32, &[u8]) -> Vec<u8>;

/// How a server behaves. The default is a modern server that keeps what it gets.
#[derive(Clone, Debug)]
pub struct Profile {
    /// IMAP4rev2 (RFC 9051) and no IMAP4rev1: names in UTF-8, no RECENT, LIST in the answer to SELECT, LITERAL-.
    pub rev2: bool,
    /// LITERAL+ (RFC 7888).
    pub literal_plus: bool,
    /// MULTIAPPEND (RFC 3502).
    pub multiappend: bool,
    /// UIDPLUS (RFC 4315).
    pub uidplus: bool,
    /// SPECIAL-USE and CREATE-SPECIAL-USE (RFC 6154).
    pub special_use: bool,
    /// NAMESPACE (RFC 2342).
    pub namespace: bool,
    /// STATUS=SIZE (RFC 8438).
    pub status_size: bool,
    /// QUOTA (RFC 9208) is announced.
    pub quota: bool,
    /// LIST-EXTENDED (RFC 5258).
    pub list_extended: bool,
    /// LIST-STATUS (RFC 5819).
    pub list_status: bool,
    /// CONDSTORE (RFC 7162).
    pub condstore: bool,
    /// SASL-IR (RFC 4959).
    pub sasl_ir: bool,
    /// ID (RFC 2971).
    pub id: bool,
    /// Of two FETCHes that have come the later one is answered first (RFC 9051, 5.5).
    pub later_fetch_first: bool,
    /// COMPRESS=DEFLATE (RFC 4978).
    pub compress: bool,
    /// STARTTLS is offered, and refused when asked for.
    pub starttls_refused: bool,
    /// LOGINDISABLED: no password is taken in clear text.
    pub login_disabled: bool,
    /// The text of the greeting.
    pub greeting: String,
    /// Mailboxes are refused until the client said who it is (ID), as Coremail does.
    pub wants_id: bool,
    /// The connection is ended with the n-th BAD, as Exchange does with the tenth.
    pub ends_at_bad: Option<u32>,
    /// The mechanisms of AUTHENTICATE that are announced, and done.
    pub mechanisms: Vec<&'static str>,
    /// Of those, one that is refused as unknown all the same, with these words.
    pub unsupported_mechanism: Option<(&'static str, String)>,
    /// The iteration count of SCRAM.
    pub scram_iterations: u32,
    /// How SCRAM goes wrong.
    pub scram_lie: Option<ScramLie>,
    /// The error about a token that is not good (RFC 7628, 3.2.2); none for a NO at once.
    pub token_error: Option<String>,
    /// Whoever an administrator names gets an account, as with Cyrus and autocreate.
    pub creates_accounts: bool,
    /// Capabilities announced as they are.
    pub extra_capabilities: Vec<String>,
    /// The whole capability line before the login, where it is another one.
    pub capabilities_before_login: Option<&'static str>,
    /// How the capabilities after the login are told.
    pub login_tells: LoginTells,
    /// Every connection is logged in as this user from its greeting on (PREAUTH).
    pub preauthenticated: Option<&'static str>,
    /// The hierarchy delimiter.
    pub delimiter: u8,
    /// The prefix of the personal namespace (`INBOX.`).
    pub prefix: &'static str,
    /// What NAMESPACE says of other users' and of shared namespaces, as on the wire. What lies in them is shown with all the rest.
    pub foreign_namespaces: &'static str,
    /// Mailboxes that take no children.
    pub childless: Childless,
    /// What CREATE makes of a name without a word, as Stalwart trims spaces.
    pub creates_as: Option<fn(&str) -> String>,
    /// CREATE refuses names in which one of these is.
    pub refuse_in_names: &'static str,
    /// DELETE is refused with these words.
    pub refuse_delete: Option<String>,
    /// ACL (RFC 4314) is announced, and MYRIGHTS answers with the first letters whose mailbox this is, or is `*`. What they
    /// do not allow is refused.
    pub rights: Vec<(&'static str, &'static str)>,
    /// LIST names no mailbox at all.
    pub lists_nothing: bool,
    /// Octets of all messages together; beyond, APPEND is refused.
    pub quota_octets: Option<u64>,
    /// Octets of other things that count in what is in use, where a quota is told.
    pub quota_used_beside: u64,
    /// APPENDLIMIT (RFC 7889).
    pub append_limit: Option<u64>,
    /// MESSAGELIMIT (RFC 9738): of more messages FETCH, STORE and UID EXPUNGE do those with the highest UIDs, from the highest
    /// down, and APPEND refuses all.
    pub message_limit: Option<usize>,
    /// Line feeds alone.
    pub lone_lf: LoneLf,
    /// A header line without a colon is refused, as Cyrus does.
    pub refuse_bad_header: bool,
    /// A message that contains this is refused with `NO`.
    pub refuse: Option<Bytes>,
    /// A message with this flag is refused with `NO` and these words.
    pub refuse_flag: Option<(String, String)>,
    /// Keywords that one mailbox holds. A message with more is refused, and a MULTIAPPEND with more ends the connection, as with
    /// Cyrus 3.6.1.
    pub keywords_max: Option<usize>,
    /// A message with a date that contains this is refused with `BAD` and these words, as Cyrus does.
    pub refuse_date: Option<(String, String)>,
    /// An empty message is refused.
    pub refuse_empty: bool,
    /// A message that contains NUL is refused, as Cyrus does.
    pub refuse_nul: bool,
    /// An equal message in the same mailbox is not stored again: APPENDUID names the one that is there, as Gmail does.
    pub merges: bool,
    /// A message with an octet above 127 in its header is refused, as Cyrus does with `reject8bit`.
    pub refuse_8bit_header: bool,
    /// What is kept of a message as it is handed over, with its UID, as servers that add headers do.
    pub rewrites: Option<Rewrite>,
    /// What becomes of a date, as Dovecot makes the present time of one in the future.
    pub keeps_date: Option<fn(&str) -> String>,
    /// Which flags are kept; others are dropped without a word.
    pub keeps_flag: Option<fn(&str) -> bool>,
    /// What stands in `BODY[HEADER]` for an octet above 127, as with Zimbra.
    pub header_shows: Option<u8>,
    /// An equal message in the same mailbox takes the place of the one that is there, under another UID, as Gmail was seen to do.
    pub replaces: bool,
    /// Every message is there once and mailboxes show labels, as with Gmail; the container of the system's mailboxes
    /// (`[Gmail]`, `[Google Mail]`).
    pub gmail: Option<&'static str>,
    /// COPY of a message into a mailbox that shows it already stores it there once more, as plain servers do: whoever copies twice
    /// is seen to.
    pub copies_double: bool,
    /// Mailboxes that IMAP does not show, as with Gmail's labels without “Show in IMAP”.
    pub hidden: Vec<String>,
    /// Mailboxes that are listed and not opened, as Gmail was seen to do until they are created once more.
    pub unopened: Vec<String>,
    /// What is said when one of them is to be opened.
    pub unopened_says: &'static str,
    /// UIDNEXT is told by neither SELECT nor STATUS, as by servers older than RFC 3501.
    pub hides_uid_next: bool,
    /// RFC822.SIZE says so many octets more than there are, as Exchange does.
    pub size_adds: u64,
    /// SIZE in STATUS is this, whatever there is.
    pub status_size_is: Option<u64>,
    /// Every login is refused with these words.
    pub refuse_logins: Option<String>,
    /// Logins are taken, and everything after them is answered with this, as Exchange does with mailboxes that may not be opened.
    pub disconnected: Option<String>,
    /// So many connections of a user at a time; a further login is refused.
    pub connections_max: Option<usize>,
    /// A command that stores takes this long; the store happens even if the client is gone by then.
    pub commit_delay: Duration,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            rev2: false,
            literal_plus: true,
            multiappend: true,
            uidplus: true,
            special_use: true,
            namespace: true,
            status_size: true,
            quota: true,
            list_extended: true,
            list_status: true,
            condstore: true,
            sasl_ir: true,
            id: true,
            later_fetch_first: false,
            compress: true,
            starttls_refused: false,
            login_disabled: false,
            greeting: "Mailhaul sandbox".to_owned(),
            wants_id: false,
            ends_at_bad: None,
            mechanisms: vec!["PLAIN"],
            unsupported_mechanism: None,
            scram_iterations: 4096,
            scram_lie: None,
            token_error: Some(r#"{"status":"invalid_token","schemes":"bearer","scope":"mail"}"#.into()),
            creates_accounts: false,
            extra_capabilities: Vec::new(),
            capabilities_before_login: None,
            login_tells: LoginTells::Code,
            preauthenticated: None,
            delimiter: b'/',
            prefix: "",
            foreign_namespaces: "NIL NIL",
            childless: Childless::None,
            creates_as: None,
            refuse_in_names: "",
            refuse_delete: None,
            rights: Vec::new(),
            lists_nothing: false,
            quota_octets: None,
            quota_used_beside: 0,
            append_limit: None,
            message_limit: None,
            lone_lf: LoneLf::Keep,
            refuse_bad_header: false,
            refuse: None,
            refuse_flag: None,
            keywords_max: None,
            refuse_date: None,
            refuse_empty: true,
            refuse_nul: false,
            refuse_8bit_header: false,
            merges: false,
            rewrites: None,
            keeps_date: None,
            keeps_flag: None,
            header_shows: None,
            replaces: false,
            gmail: None,
            copies_double: false,
            hidden: Vec::new(),
            unopened: Vec::new(),
            unopened_says: "[NONEXISTENT] no such mailbox",
            hides_uid_next: false,
            size_adds: 0,
            status_size_is: None,
            refuse_logins: None,
            disconnected: None,
            connections_max: None,
            commit_delay: Duration::ZERO,
        }
    }
}

impl Profile {
    /// IMAP4rev1 and nothing else.
    pub fn bare() -> Self {
        Self {
            literal_plus: false,
            multiappend: false,
            uidplus: false,
            special_use: false,
            namespace: false,
            status_size: false,
            quota: false,
            list_extended: false,
            list_status: false,
            condstore: false,
            sasl_ir: false,
            id: false,
            compress: false,
            ..Self::default()
        }
    }

    /// Octets of the longest literal that may come without waiting (RFC 7888); 0 for none.
    pub(crate) fn non_synchronising_octets_max(&self) -> usize {
        match (self.literal_plus, self.rev2) {
            (true, _) => usize::MAX,
            (false, true) => LITERAL_MINUS_OCTETS_MAX,
            (false, false) => 0,
        }
    }

    /// The rights in a mailbox; `None` without ACL.
    pub(crate) fn rights_in(&self, mailbox: &str) -> Option<&'static str> {
        self.rights.iter().find(|(name, _)| *name == mailbox || *name == "*").map(|(_, letters)| *letters)
    }

    /// Gmail, as far as it is public (docs/gmail.md).
    pub fn gmail() -> Self {
        Self {
            literal_plus: false,
            multiappend: false,
            status_size: false,
            greeting: "Gimap ready for requests from 192.0.2.1 k2if6111336rvb.0".to_owned(),
            extra_capabilities: ["UNSELECT", "IDLE", "XLIST", "CHILDREN", "X-GM-EXT-1"]
                .map(str::to_owned)
                .to_vec(),
            refuse_in_names: "^'\"\\*%",
            append_limit: Some(35_651_584),
            merges: true,
            gmail: Some("[Gmail]"),
            ..Self::default()
        }
    }

    /// True for a mailbox that IMAP shows.
    pub(crate) fn shows(&self, mailbox: &str) -> bool {
        !self.hidden.iter().any(|hidden| hidden == mailbox)
    }

    /// The capability line as it is now.
    pub(crate) fn capabilities_for(&self, logged_in: bool) -> String {
        match self.capabilities_before_login {
            Some(line) if !logged_in => line.to_owned(),
            _ => self.capabilities(),
        }
    }

    /// The capability line after the login.
    fn capabilities(&self) -> String {
        let mut all = vec![if self.rev2 { "IMAP4rev2" } else { "IMAP4rev1" }.to_owned()];
        all.extend(self.mechanisms.iter().map(|m| format!("AUTH={m}")));
        let limit = self.append_limit.map(|l| format!("APPENDLIMIT={l}"));
        for (on, name) in [
            (self.literal_plus, "LITERAL+"),
            (self.multiappend, "MULTIAPPEND"),
            (self.uidplus, "UIDPLUS"),
            (self.special_use, "SPECIAL-USE"),
            (self.special_use && self.gmail.is_none(), "CREATE-SPECIAL-USE"),
            (self.namespace, "NAMESPACE"),
            (self.status_size, "STATUS=SIZE"),
            (self.quota, "QUOTA"),
            (self.list_extended, "LIST-EXTENDED"),
            (self.list_status, "LIST-STATUS"),
            (self.condstore, "CONDSTORE"),
            (self.sasl_ir, "SASL-IR"),
            (self.id, "ID"),
            (self.compress, "COMPRESS=DEFLATE"),
            (self.starttls_refused, "STARTTLS"),
            (self.login_disabled, "LOGINDISABLED"),
            (!self.rights.is_empty(), "ACL RIGHTS=texk"),
        ] {
            if on {
                all.push(name.to_owned());
            }
        }
        all.extend(limit);
        all.extend(self.message_limit.map(|l| format!("MESSAGELIMIT={l}")));
        all.extend(self.extra_capabilities.iter().cloned());
        all.join(" ")
    }
}
