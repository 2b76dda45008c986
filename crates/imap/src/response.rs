//! The grammar of responses. A line that cannot be understood is kept, never an error and never the end; only a tagged
//! line must be one.

use crate::capability::Capabilities;
use crate::cursor::{Cursor, Segment, Value};
use crate::date::InternalDate;
use crate::mailbox::{ListEntry, Namespaces};
use crate::message::{Uid, UidValidity};
use crate::status::{Condition, Status, StatusText};
use bytes::Bytes;

/// A response of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// `+`
    Continue(Bytes),
    /// The end of a command.
    Tagged {
        /// The tag as written.
        tag: Bytes,
        /// How it ended.
        status: Status,
        /// Code and text.
        text: StatusText,
    },
    /// Anything else.
    Untagged(Untagged),
}

/// Untagged data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// OK, NO, BAD, BYE, PREAUTH.
    Status(Condition, StatusText),
    /// CAPABILITY.
    Capability(Capabilities),
    /// LIST.
    List(ListEntry),
    /// LSUB.
    Lsub(ListEntry),
    /// STATUS.
    StatusData(StatusData),
    /// NAMESPACE.
    Namespace(Namespaces),
    /// FLAGS.
    Flags(Vec<Bytes>),
    /// EXISTS.
    Exists(u32),
    /// RECENT.
    Recent(u32),
    /// EXPUNGE.
    Expunge(u32),
    /// FETCH.
    Fetch(Box<Fetch>),
    /// ENABLED (RFC 5161): what an ENABLE switched on.
    Enabled(Vec<Bytes>),
    /// ID: field names and values.
    Id(Vec<(Bytes, Option<Bytes>)>),
    /// QUOTA (RFC 9208).
    Quota {
        /// The quota root.
        root: Bytes,
        /// Resource name, usage, limit.
        resources: Vec<(Bytes, u64, u64)>,
    },
    /// MYRIGHTS (RFC 4314).
    MyRights {
        /// The mailbox.
        mailbox: Bytes,
        /// The letters of what the user may do there.
        rights: Bytes,
    },
    /// SEARCH.
    Search(Vec<u32>),
    /// A line of another kind, or one that cannot be understood: its first text.
    Other(Bytes),
}

/// The answer to STATUS (RFC 9051, 7.3.4). What was not asked for, or makes no sense, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusData {
    /// The mailbox, as written.
    pub mailbox: Bytes,
    /// MESSAGES
    pub messages: Option<u64>,
    /// UIDNEXT
    pub uid_next: Option<u32>,
    /// UIDVALIDITY
    pub uid_validity: Option<UidValidity>,
    /// SIZE (RFC 8438), in octets
    pub size: Option<u64>,
    /// HIGHESTMODSEQ (RFC 7162)
    pub highest_mod_seq: Option<u64>,
}

/// The body attribute of a FETCH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// The response has none.
    #[default]
    Absent,
    /// NIL: no octets, which is neither an empty message nor proof of anything.
    Nil,
    /// A quoted string.
    Quoted(Bytes),
    /// A literal that was streamed, with its length.
    Literal(u64),
}

/// The data items of one FETCH response. Items that are not known are kept raw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// The message sequence number.
    pub sequence: u32,
    /// UID
    pub uid: Option<Uid>,
    /// FLAGS, each as written
    pub flags: Option<Vec<Bytes>>,
    /// INTERNALDATE; `Some(None)` for NIL
    pub internal_date: Option<Option<InternalDate>>,
    /// RFC822.SIZE
    pub size: Option<u64>,
    /// MODSEQ
    pub mod_seq: Option<u64>,
    /// EMAILID (RFC 8474)
    pub email_id: Option<Bytes>,
    /// X-GM-MSGID
    pub gm_msgid: Option<u64>,
    /// X-GM-LABELS, each unquoted: modified UTF-7, system labels with their backslash (`\\Inbox`)
    pub gm_labels: Option<Vec<Bytes>>,
    /// X-GUID (Dovecot)
    pub x_guid: Option<Bytes>,
    /// BODY[…], RFC822 or BINARY[…]
    pub body: Body,
    /// Everything else: name and raw value.
    pub unknown: Vec<(Bytes, Bytes)>,
}

/// Reads one response. `None` for a line that is neither untagged, nor `+`, nor a tagged OK, NO or BAD.
pub fn parse(segments: &[Segment]) -> Option<Response> {
    let Some(Segment::Text(first)) = segments.first() else { return None };
    if let Some(rest) = first.strip_prefix(b"+") {
        let text = first.slice_ref(rest);
        return Some(Response::Continue(if text.starts_with(b" ") { text.slice(1..) } else { text }));
    }
    let Some(rest) = first.strip_prefix(b"* ") else { return tagged(first) };
    let mut c = Cursor::new(segments);
    c.take_until(|b| b == b' ');
    c.skip_spaces();
    let other = || Untagged::Other(first.slice_ref(rest));
    Some(Response::Untagged(untagged(&mut c).unwrap_or_else(other)))
}

fn tagged(line: &Bytes) -> Option<Response> {
    let space = line.iter().position(|b| *b == b' ')?;
    let rest = line.slice(space + 1..);
    let end = rest.iter().position(|b| matches!(b, b' ' | b'[')).unwrap_or(rest.len());
    let word = rest.get(..end)?;
    let status = if word.eq_ignore_ascii_case(b"OK") {
        Status::Ok
    } else if word.eq_ignore_ascii_case(b"NO") {
        Status::No
    } else if word.eq_ignore_ascii_case(b"BAD") {
        Status::Bad
    } else {
        return None;
    };
    Some(Response::Tagged { tag: line.slice(..space), status, text: StatusText::parse(&rest.slice(end..)) })
}

fn untagged(c: &mut Cursor<'_>) -> Option<Untagged> {
    if let Some(number) = c.number() {
        c.skip_spaces();
        return numbered(c, u32::try_from(number).ok()?);
    }
    let word = Capitals::of(c.take_until(|b| matches!(b, b' ' | b'['))?);
    let condition = match &word[..] {
        b"OK" => Some(Condition::Ok),
        b"NO" => Some(Condition::No),
        b"BAD" => Some(Condition::Bad),
        b"BYE" => Some(Condition::Bye),
        b"PREAUTH" => Some(Condition::PreAuth),
        _ => None,
    };
    if let Some(condition) = condition {
        return Some(Untagged::Status(condition, StatusText::parse(&c.rest())));
    }
    c.skip_spaces();
    Some(match &word[..] {
        b"CAPABILITY" => Untagged::Capability(Capabilities::parse(&c.rest())),
        b"LIST" | b"XLIST" => Untagged::List(ListEntry::parse(c)?),
        b"LSUB" => Untagged::Lsub(ListEntry::parse(c)?),
        b"STATUS" => Untagged::StatusData(status_data(c)?),
        b"NAMESPACE" => Untagged::Namespace(Namespaces::parse(c)?),
        b"FLAGS" => Untagged::Flags(c.list()?),
        b"ENABLED" => Untagged::Enabled(words(c)),
        b"ID" => Untagged::Id(id(c)?),
        b"QUOTA" => quota(c)?,
        b"MYRIGHTS" => {
            let mailbox = c.astring()?;
            c.skip_spaces();
            Untagged::MyRights { mailbox, rights: c.astring()? }
        }
        b"SEARCH" => Untagged::Search(search(c)),
        _ => return None,
    })
}

fn numbered(c: &mut Cursor<'_>, number: u32) -> Option<Untagged> {
    let word = Capitals::of(c.word()?);
    Some(match &word[..] {
        b"EXISTS" => Untagged::Exists(number),
        b"RECENT" => Untagged::Recent(number),
        b"EXPUNGE" => Untagged::Expunge(number),
        b"FETCH" => {
            c.skip_spaces();
            Untagged::Fetch(Box::new(fetch(c, number)?))
        }
        _ => return None,
    })
}

fn status_data(c: &mut Cursor<'_>) -> Option<StatusData> {
    let mut data = StatusData { mailbox: c.astring()?, ..StatusData::default() };
    c.skip_spaces();
    if !c.eat(b'(') {
        return None;
    }
    loop {
        c.skip_spaces();
        if c.eat(b')') {
            return Some(data);
        }
        let name = Capitals::of(c.word()?);
        c.skip_spaces();
        let value = c.raw_value()?;
        let number = crate::cursor::parse_number(&value);
        let narrow = number.and_then(|n| u32::try_from(n).ok());
        match &name[..] {
            b"MESSAGES" => data.messages = number,
            b"UIDNEXT" => data.uid_next = narrow,
            b"UIDVALIDITY" => data.uid_validity = narrow.and_then(UidValidity::new),
            b"SIZE" => data.size = number,
            b"HIGHESTMODSEQ" => data.highest_mod_seq = number,
            _ => {}
        }
    }
}

fn id(c: &mut Cursor<'_>) -> Option<Vec<(Bytes, Option<Bytes>)>> {
    let mut fields = Vec::new();
    if !c.eat(b'(') {
        return Some(fields);
    }
    loop {
        c.skip_spaces();
        if c.eat(b')') {
            return Some(fields);
        }
        let name = c.astring()?;
        c.skip_spaces();
        fields.push((name, c.nstring()?));
    }
}

fn quota(c: &mut Cursor<'_>) -> Option<Untagged> {
    let root = c.astring()?;
    c.skip_spaces();
    let mut resources = Vec::new();
    if !c.eat(b'(') {
        return None;
    }
    loop {
        c.skip_spaces();
        if c.eat(b')') {
            return Some(Untagged::Quota { root, resources });
        }
        let name = c.atom()?;
        c.skip_spaces();
        let usage = c.number()?;
        c.skip_spaces();
        resources.push((name, usage, c.number()?));
    }
}

/// Atoms to the end of the line.
fn words(c: &mut Cursor<'_>) -> Vec<Bytes> {
    let mut words = Vec::new();
    while let Some(word) = c.atom() {
        words.push(word);
        c.skip_spaces();
    }
    words
}

fn search(c: &mut Cursor<'_>) -> Vec<u32> {
    let mut ids = Vec::new();
    loop {
        c.skip_spaces();
        match c.number().and_then(|n| u32::try_from(n).ok()) {
            Some(id) => ids.push(id),
            None => return ids,
        }
    }
}

fn fetch(c: &mut Cursor<'_>, sequence: u32) -> Option<Fetch> {
    let mut fetch = Fetch { sequence, ..Fetch::default() };
    if !c.eat(b'(') {
        return None;
    }
    loop {
        c.skip_spaces();
        if c.eat(b')') {
            return Some(fetch);
        }
        if c.at_end() {
            return None;
        }
        let name = c.attribute_name()?;
        c.skip_spaces();
        attribute(c, &mut fetch, name)?;
    }
}

fn attribute(c: &mut Cursor<'_>, fetch: &mut Fetch, name: &[u8]) -> Option<()> {
    let known = Capitals::of(name);
    match &known[..] {
        b"UID" => fetch.uid = u32::try_from(c.number()?).ok().and_then(Uid::new),
        b"FLAGS" => fetch.flags = Some(c.list()?),
        b"INTERNALDATE" => fetch.internal_date = Some(c.nstring()?.and_then(InternalDate::from_raw)),
        b"RFC822.SIZE" => fetch.size = Some(c.number()?),
        b"MODSEQ" => fetch.mod_seq = crate::cursor::parse_number(&c.first_of_list()??),
        b"EMAILID" => fetch.email_id = c.first_of_list()?,
        b"X-GM-MSGID" => fetch.gm_msgid = Some(c.number()?),
        b"X-GM-LABELS" if c.peek() == Some(b'(') => fetch.gm_labels = Some(c.list()?),
        b"X-GUID" => fetch.x_guid = c.nstring()?,
        _ if is_body(name) => fetch.body = body(c)?,
        _ => {
            let value = c.raw_value()?;
            fetch.unknown.push((Bytes::copy_from_slice(name), value));
        }
    }
    Some(())
}

fn is_body(name: &[u8]) -> bool {
    let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    name.eq_ignore_ascii_case(b"RFC822") || begins(b"BODY[") || begins(b"BINARY[")
}

/// A word in capitals, to be compared with words that are known; empty where it is longer than any of them.
struct Capitals {
    octets: [u8; Self::LENGTH_MAX],
    length: usize,
}

impl Capitals {
    /// `UIDVALIDITY` has 11, `HIGHESTMODSEQ` 13.
    const LENGTH_MAX: usize = 16;

    fn of(word: &[u8]) -> Self {
        let mut capitals = Self { octets: [0; Self::LENGTH_MAX], length: 0 };
        if let Some(room) = capitals.octets.get_mut(..word.len()) {
            room.copy_from_slice(word);
            room.make_ascii_uppercase();
            capitals.length = word.len();
        }
        capitals
    }
}

impl std::ops::Deref for Capitals {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

fn body(c: &mut Cursor<'_>) -> Option<Body> {
    Some(match c.value()? {
        Value::Nil => Body::Nil,
        Value::Quoted(octets) | Value::Literal(octets) | Value::Atom(octets) => Body::Quoted(octets),
        Value::Body(len) => Body::Literal(len),
    })
}
