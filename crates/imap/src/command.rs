//! Commands as parts: text, literals, streamed bodies, the gate. The client adds tags and literal announcements.

use crate::uid_set::UidSet;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;

/// A part of a command.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Octets as they are.
    Text(Bytes),
    /// A short literal; the client announces it.
    Literal(Bytes),
    /// A message body of this length that the driver supplies. Gated: its last octet waits for the gate.
    Stream { len: u64, gated: bool },
    /// Everything after this waits for the gate.
    Gate,
}

impl Part {
    pub(crate) fn is_body(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }

    pub(crate) fn is_gate(&self) -> bool {
        matches!(self, Self::Gate | Self::Stream { gated: true, .. })
    }
}

impl std::fmt::Debug for Part {
    /// Kinds and lengths alone: a part may hold a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(octets) => write!(f, "Text({})", octets.len()),
            Self::Literal(octets) => write!(f, "Literal({})", octets.len()),
            Self::Stream { len, gated } => write!(f, "Stream({len}, gated: {gated})"),
            Self::Gate => f.write_str("Gate"),
        }
    }
}

/// What a command does to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Nothing special.
    Plain,
    /// SELECT or EXAMINE: an ordered marker between the data of two mailboxes.
    Selects,
    /// Nothing may be on its way before or after.
    Barrier(Barrier),
}

/// A command whose OK changes what the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// LOGIN or AUTHENTICATE: another state.
    Login,
    /// STARTTLS: all octets after it belong to TLS.
    StartTls,
    /// COMPRESS: all octets after it are compressed.
    Compress,
}

/// A command. `Debug` shows its verb alone, since it may hold a secret.
#[derive(Clone)]
pub struct Command {
    pub(crate) verb: &'static str,
    pub(crate) parts: VecDeque<Part>,
    pub(crate) class: Class,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({})", self.verb)
    }
}

/// Puts a command together.
struct Writer {
    verb: &'static str,
    text: BytesMut,
    parts: VecDeque<Part>,
}

impl Writer {
    fn new(verb: &'static str) -> Self {
        let mut text = BytesMut::new();
        text.put_slice(verb.as_bytes());
        Self { verb, text, parts: VecDeque::new() }
    }

    fn raw(mut self, octets: &[u8]) -> Self {
        self.text.put_slice(octets);
        self
    }

    fn part(mut self, part: Part) -> Self {
        let text = self.text.split().freeze();
        if !text.is_empty() {
            self.parts.push_back(Part::Text(text));
        }
        self.parts.push_back(part);
        self
    }

    /// A string in the plainest form that holds it: atom, quoted, literal (RFC 9051, 4.3 and 9).
    fn astring(self, octets: &[u8]) -> Self {
        if is_atom(octets) {
            self.raw(octets)
        } else if octets.iter().all(|b| (0x20..0x7f).contains(b)) {
            let mut quoted = vec![b'"'];
            for octet in octets {
                if matches!(octet, b'"' | b'\\') {
                    quoted.push(b'\\');
                }
                quoted.push(*octet);
            }
            quoted.push(b'"');
            self.raw(&quoted)
        } else {
            self.part(Part::Literal(Bytes::copy_from_slice(octets)))
        }
    }

    fn end(self, class: Class) -> Command {
        let mut writer = self.raw(b"\r\n");
        let text = writer.text.split().freeze();
        writer.parts.push_back(Part::Text(text));
        Command { verb: writer.verb, parts: writer.parts, class }
    }
}

/// NIL is no atom here, so that a mailbox of that name is not taken for nothing.
fn is_atom(octets: &[u8]) -> bool {
    let special = |b: &u8| *b <= b' ' || *b >= 0x7f || b"(){%*\"\\]&~".contains(b);
    !octets.is_empty() && !octets.eq_ignore_ascii_case(b"NIL") && !octets.iter().any(special)
}

impl Command {
    fn plain(verb: &'static str) -> Self {
        Writer::new(verb).end(Class::Plain)
    }

    /// CAPABILITY
    pub fn capability() -> Self {
        Self::plain("CAPABILITY")
    }

    /// NOOP
    pub fn noop() -> Self {
        Self::plain("NOOP")
    }

    /// LOGOUT
    pub fn logout() -> Self {
        Self::plain("LOGOUT")
    }

    /// NAMESPACE (RFC 2342)
    pub fn namespace() -> Self {
        Self::plain("NAMESPACE")
    }

    /// STARTTLS
    pub fn starttls() -> Self {
        Writer::new("STARTTLS").end(Class::Barrier(Barrier::StartTls))
    }

    /// LOGIN
    pub fn login(user: &[u8], password: &[u8]) -> Self {
        Writer::new("LOGIN")
            .raw(b" ")
            .astring(user)
            .raw(b" ")
            .astring(password)
            .end(Class::Barrier(Barrier::Login))
    }

    /// AUTHENTICATE; `initial` is sent with it (SASL-IR, RFC 4959), already encoded in base64.
    pub fn authenticate(mechanism: &str, initial: Option<&str>) -> Self {
        let writer = Writer::new("AUTHENTICATE").raw(b" ").raw(mechanism.as_bytes());
        let writer = match initial {
            Some("") => writer.raw(b" ="),
            Some(initial) => writer.raw(b" ").raw(initial.as_bytes()),
            None => writer,
        };
        writer.end(Class::Barrier(Barrier::Login))
    }

    /// COMPRESS DEFLATE (RFC 4978), only after the login and never twice. After its OK comes
    /// [`Client::compress_done`](crate::Client::compress_done).
    pub fn compress_deflate() -> Self {
        Writer::new("COMPRESS DEFLATE").end(Class::Barrier(Barrier::Compress))
    }

    /// ENABLE (RFC 5161) of extensions, separated by spaces.
    pub fn enable(extensions: &str) -> Self {
        Writer::new("ENABLE").raw(b" ").raw(extensions.as_bytes()).end(Class::Plain)
    }

    /// ID (RFC 2971)
    pub fn id(fields: &[(&str, &str)]) -> Self {
        let fields: Vec<String> = fields.iter().map(|(k, v)| format!("\"{k}\" \"{v}\"")).collect();
        Writer::new("ID").raw(format!(" ({})", fields.join(" ")).as_bytes()).end(Class::Plain)
    }

    /// LIST with selection and return options as written (RFC 5258); both may be empty.
    pub fn list(selection: &str, reference: &[u8], pattern: &[u8], returns: &str) -> Self {
        let mut writer = Writer::new("LIST").raw(b" ");
        if !selection.is_empty() {
            writer = writer.raw(selection.as_bytes()).raw(b" ");
        }
        // A pattern is no astring: its wildcards must stay.
        writer = writer.raw(b"\"").raw(&escape(reference)).raw(b"\" \"").raw(&escape(pattern)).raw(b"\"");
        if !returns.is_empty() {
            writer = writer.raw(b" RETURN ").raw(returns.as_bytes());
        }
        writer.end(Class::Plain)
    }

    /// LSUB
    pub fn lsub(pattern: &[u8]) -> Self {
        Writer::new("LSUB").raw(b" \"\" \"").raw(&escape(pattern)).raw(b"\"").end(Class::Plain)
    }

    /// XLIST: LIST as servers older than SPECIAL-USE know it, with roles.
    pub fn xlist(pattern: &[u8]) -> Self {
        Writer::new("XLIST").raw(b" \"\" \"").raw(&escape(pattern)).raw(b"\"").end(Class::Plain)
    }

    /// STATUS with items as written (`MESSAGES UIDNEXT`).
    pub fn status(mailbox: &[u8], items: &str) -> Self {
        let items = format!(" ({items})");
        Writer::new("STATUS").raw(b" ").astring(mailbox).raw(items.as_bytes()).end(Class::Plain)
    }

    /// EXAMINE: opens a mailbox read-only.
    pub fn examine(mailbox: &[u8], condstore: bool) -> Self {
        Self::opening("EXAMINE", mailbox, condstore)
    }

    /// SELECT
    pub fn select(mailbox: &[u8], condstore: bool) -> Self {
        Self::opening("SELECT", mailbox, condstore)
    }

    fn opening(verb: &'static str, mailbox: &[u8], condstore: bool) -> Self {
        let parameters: &[u8] = if condstore { b" (CONDSTORE)" } else { b"" };
        Writer::new(verb).raw(b" ").astring(mailbox).raw(parameters).end(Class::Selects)
    }

    /// CREATE, with a role as its attribute (`\Sent`, RFC 6154).
    pub fn create(mailbox: &[u8], role: Option<&str>) -> Self {
        let role = role.map(|r| format!(" (USE ({r}))")).unwrap_or_default();
        Writer::new("CREATE").raw(b" ").astring(mailbox).raw(role.as_bytes()).end(Class::Plain)
    }

    /// DELETE
    pub fn delete(mailbox: &[u8]) -> Self {
        Writer::new("DELETE").raw(b" ").astring(mailbox).end(Class::Plain)
    }

    /// SUBSCRIBE
    pub fn subscribe(mailbox: &[u8]) -> Self {
        Writer::new("SUBSCRIBE").raw(b" ").astring(mailbox).end(Class::Plain)
    }

    /// UID FETCH with items as written (`(UID FLAGS)`).
    pub fn uid_fetch(uids: &str, items: &str) -> Self {
        let arguments = format!(" {uids} {items}");
        Writer::new("UID FETCH").raw(arguments.as_bytes()).end(Class::Plain)
    }

    /// UID SEARCH for what has more octets than this (RFC 9051, 6.4.4).
    pub fn uid_search_larger(octets: u64) -> Self {
        Writer::new("UID SEARCH").raw(format!(" LARGER {octets}").as_bytes()).end(Class::Plain)
    }

    /// UID STORE +FLAGS.SILENT, only where the MODSEQ is not past `unchanged_since` (RFC 7162).
    pub fn uid_store_add(uids: &UidSet, flag: &str, unchanged_since: Option<u64>) -> Self {
        let condition = unchanged_since.map(|m| format!(" (UNCHANGEDSINCE {m})")).unwrap_or_default();
        let arguments = format!(" {uids}{condition} +FLAGS.SILENT ({flag})");
        Writer::new("UID STORE").raw(arguments.as_bytes()).end(Class::Plain)
    }

    /// UID COPY into another mailbox (RFC 9051, 6.4.7 and 6.4.9): a UID that is not there is left out, and it is OK.
    pub fn uid_copy(uids: &UidSet, mailbox: &[u8]) -> Self {
        let set = format!(" {uids} ");
        Writer::new("UID COPY").raw(set.as_bytes()).astring(mailbox).end(Class::Plain)
    }

    /// UID EXPUNGE (RFC 4315)
    pub fn uid_expunge(uids: &UidSet) -> Self {
        Writer::new("UID EXPUNGE").raw(format!(" {uids}").as_bytes()).end(Class::Plain)
    }

    /// GETQUOTAROOT (RFC 9208)
    pub fn get_quota_root(mailbox: &[u8]) -> Self {
        Writer::new("GETQUOTAROOT").raw(b" ").astring(mailbox).end(Class::Plain)
    }

    /// MYRIGHTS (RFC 4314)
    pub fn my_rights(mailbox: &[u8]) -> Self {
        Writer::new("MYRIGHTS").raw(b" ").astring(mailbox).end(Class::Plain)
    }

    /// APPEND of one message, or MULTIAPPEND of several (RFC 3502). The gate stands before the last octet of the last
    /// message; for an empty last message before the end of the line. The lengths are those of the bodies that the
    /// driver supplies, in order.
    pub fn append(mailbox: &[u8], messages: &[AppendMessage]) -> Self {
        Self::appending(mailbox, messages, true)
    }

    /// Single APPENDs, one for each message, to be submitted together. The gate stands before the last octet of the
    /// *first* one, so that none is complete before it opens.
    pub fn append_group(mailbox: &[u8], messages: &[AppendMessage]) -> Vec<Self> {
        let gated = 0;
        #[cfg(mailhaul_mutants)]
        let gated = if crate::mutants::Mutant::GroupGateLast.is_on() {
            messages.len().saturating_sub(1)
        } else {
            gated
        };
        let single = |(i, m)| Self::appending(mailbox, std::slice::from_ref(m), i == gated);
        messages.iter().enumerate().map(single).collect()
    }

    fn appending(mailbox: &[u8], messages: &[AppendMessage], gated: bool) -> Self {
        let mut writer = Writer::new("APPEND");
        // Room for all of them at once: else each message would cost two allocations.
        writer.text.reserve(mailbox.len() + messages.len() * APPENDED_TEXT_OCTETS);
        writer.parts.reserve(2 * messages.len() + 2);
        writer = writer.raw(b" ").astring(mailbox);
        for (i, message) in messages.iter().enumerate() {
            let last = i + 1 == messages.len();
            writer = writer.raw(b" ");
            if !message.flags.is_empty() {
                writer = writer.raw(b"(").raw(&message.flags).raw(b") ");
            }
            if let Some(date) = &message.internal_date {
                writer = writer.raw(b"\"").raw(date).raw(b"\" ");
            }
            let withheld = gated && last && message.len > 0;
            writer = writer.part(Part::Stream { len: message.len, gated: withheld });
            if gated && last && message.len == 0 {
                writer = writer.part(Part::Gate);
            }
        }
        writer.end(Class::Plain)
    }
}

/// What stands before a message in an APPEND, mostly: a few flags and a date.
const APPENDED_TEXT_OCTETS: usize = 96;

/// The octets of a quoted string that carries wildcards.
fn escape(octets: &[u8]) -> Vec<u8> {
    octets.iter().flat_map(|b| if matches!(b, b'"' | b'\\') { vec![b'\\', *b] } else { vec![*b] }).collect()
}

/// One message of an APPEND, without its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendMessage {
    /// Flags as they go between the parentheses, separated by spaces; may be empty.
    pub flags: Bytes,
    /// INTERNALDATE as it goes between the quotes.
    pub internal_date: Option<Bytes>,
    /// Length of the body in octets.
    pub len: u64,
}
