//! A small blocking IMAP client for checkers and fillers.
//!
//! It shares no code with the product: what one misreads the other need not. It fails on anything it did not
//! expect, since a checker that guesses proves nothing.

mod parse;
mod response;
mod stream;
mod types;

use std::collections::BTreeSet;
use std::io::{BufReader, BufWriter, Write};
use std::time::Duration;

use crate::image::Flags;

use parse::{append_uid, fetched, listed, namespace_lists};
use response::Response;
use stream::Stream;
pub use stream::client_tls;
pub use types::*;

/// A checker that hears nothing for this long fails rather than hangs.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// Octets of the write buffer: a batch of small messages goes out in few writes.
const WRITE_BUFFER_OCTETS: usize = 256 << 10;

/// What went wrong on the wire.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The socket failed.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
    /// The server closed the connection.
    #[error("the server hung up")]
    HungUp,
    /// The server refused a command with NO.
    #[error("NO {0}")]
    No(String),
    /// The server refused a command with BAD.
    #[error("BAD {0}")]
    Bad(String),
    /// The server said something this client cannot make sense of.
    #[error("unexpected: {0}")]
    Protocol(String),
}

impl WireError {
    pub(crate) fn protocol(text: impl Into<String>) -> Self {
        Self::Protocol(text.into())
    }

    /// Text of a NO or BAD.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::No(text) | Self::Bad(text) => Some(text),
            _ => None,
        }
    }
}

/// A session in the authenticated or selected state.
pub struct Wire {
    from: BufReader<Stream>,
    to: BufWriter<Stream>,
    last_tag: u32,
    capabilities: BTreeSet<String>,
}

impl Wire {
    /// Connects and logs in.
    ///
    /// # Errors
    /// If the server is not there, its certificate is not trusted, or it refuses the login.
    pub fn login(endpoint: &Endpoint, user: &str, password: &str) -> Result<Self, WireError> {
        Self::login_within(SILENCE_LIMIT, endpoint, user, password)
    }

    /// As [`Wire::login`], of a server whose processes may be killed: a silence of this length fails.
    ///
    /// # Errors
    /// As [`Wire::login`].
    pub fn login_within(
        silence_limit: Duration,
        endpoint: &Endpoint,
        user: &str,
        password: &str,
    ) -> Result<Self, WireError> {
        let mut wire = Self::connect_within(silence_limit, endpoint)?;
        wire.command(&format!("LOGIN {} {}", quote(user), quote(password)))?;
        wire.read_capabilities()?;
        Ok(wire)
    }

    /// Connects up to the greeting, or past STARTTLS.
    ///
    /// # Errors
    /// As [`Wire::login`].
    pub fn connect(endpoint: &Endpoint) -> Result<Self, WireError> {
        Self::connect_within(SILENCE_LIMIT, endpoint)
    }

    fn connect_within(silence_limit: Duration, endpoint: &Endpoint) -> Result<Self, WireError> {
        let stream = Stream::connect(endpoint.address, silence_limit)?;
        let stream = match &endpoint.security {
            Security::Tls(config) => stream.secure(config)?,
            Security::Clear | Security::StartTls(_) => stream,
        };
        let mut wire = Self::over(stream);
        let greeting = wire.read(true)?.head();
        if !greeting.to_ascii_uppercase().starts_with("* OK") {
            return Err(WireError::protocol(greeting));
        }
        if let Security::StartTls(config) = &endpoint.security {
            wire.command("STARTTLS")?;
            let Self { from, to, .. } = wire;
            drop(to);
            wire = Self::over(from.into_inner().secure(config)?);
        }
        wire.read_capabilities()?;
        Ok(wire)
    }

    fn over(stream: Stream) -> Self {
        Self {
            from: BufReader::with_capacity(64 << 10, stream.clone()),
            to: BufWriter::with_capacity(WRITE_BUFFER_OCTETS, stream),
            last_tag: 0,
            capabilities: BTreeSet::new(),
        }
    }

    /// The server offers this capability in the present state.
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.contains(&capability.to_ascii_uppercase())
    }

    /// Sends a command and returns the untagged responses' text before any literal: for what has no method here.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn raw(&mut self, command: &str) -> Result<Vec<String>, WireError> {
        Ok(self.command(command)?.iter().map(Response::head).collect())
    }

    /// Sends a command in pieces; whatever it says, only its end counts.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn attempt(&mut self, pieces: &[Piece<'_>]) -> Result<(), WireError> {
        let tag = self.next_tag();
        write!(self.to, "{tag} ")?;
        for piece in pieces {
            match piece {
                Piece::Text(octets) => self.to.write_all(octets)?,
                Piece::String(octets) if octets.iter().all(|octet| matches!(octet, b' '..=b'~')) => {
                    self.to.write_all(quote(&String::from_utf8_lossy(octets)).as_bytes())?;
                }
                Piece::String(octets) | Piece::Literal(octets) => {
                    write!(self.to, "{{{}}}\r\n", octets.len())?;
                    self.await_continuation(&tag)?;
                    self.to.write_all(octets)?;
                }
            }
        }
        self.to.write_all(b"\r\n")?;
        self.to.flush()?;
        loop {
            let response = self.read(true)?;
            if self.ended(&tag, &response)? {
                return Ok(());
            }
        }
    }

    /// LIST "" "*".
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn list(&mut self) -> Result<Vec<Listed>, WireError> {
        self.listing("LIST \"\" \"*\"", "LIST")
    }

    /// LSUB "" "*".
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn lsub(&mut self) -> Result<Vec<Listed>, WireError> {
        self.listing("LSUB \"\" \"*\"", "LSUB")
    }

    /// The delimiter of the root: LIST "" "".
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn delimiter(&mut self) -> Result<Option<char>, WireError> {
        Ok(self.listing("LIST \"\" \"\"", "LIST")?.first().and_then(|row| row.delimiter))
    }

    /// NAMESPACE, or nothing where the server does not offer it.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn namespaces(&mut self) -> Result<Namespaces, WireError> {
        let mut found = Namespaces::default();
        if !self.can("NAMESPACE") {
            return Ok(found);
        }
        for response in self.command("NAMESPACE")? {
            let tokens = response.tokens()?;
            if tokens.get(1).is_some_and(|word| word.is("NAMESPACE")) {
                let [personal, others, shared] = namespace_lists(&tokens[2..])?;
                found.personal = personal;
                found.foreign = others.into_iter().chain(shared).collect();
            }
        }
        Ok(found)
    }

    /// STATUS: (MESSAGES, UIDNEXT, UIDVALIDITY).
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn status(&mut self, mailbox: &str) -> Result<Opened, WireError> {
        let mut opened = Opened::default();
        for response in self.command(&format!("STATUS {} (MESSAGES UIDNEXT UIDVALIDITY)", quote(mailbox)))? {
            let tokens = response.tokens()?;
            for pair in tokens.windows(2) {
                match (pair[0].text().unwrap_or_default().to_ascii_uppercase().as_str(), pair[1].number()) {
                    ("MESSAGES", Some(number)) => opened.exists = number as u32,
                    ("UIDNEXT", Some(number)) => opened.uid_next = number as u32,
                    ("UIDVALIDITY", Some(number)) => opened.uid_validity = number as u32,
                    _ => {}
                }
            }
        }
        Ok(opened)
    }

    /// EXAMINE.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn examine(&mut self, mailbox: &str) -> Result<Opened, WireError> {
        self.open("EXAMINE", mailbox)
    }

    /// SELECT.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn select(&mut self, mailbox: &str) -> Result<Opened, WireError> {
        self.open("SELECT", mailbox)
    }

    /// Examines a mailbox and hands every message to `each` as it arrives, with its octets if `keep_octets`.
    ///
    /// # Errors
    /// If the server refuses, hangs up, or gives another number of messages than it announced.
    pub fn fetch_all(
        &mut self,
        mailbox: &str,
        keep_octets: bool,
        mut each: impl FnMut(Fetched),
    ) -> Result<Opened, WireError> {
        let opened = self.examine(mailbox)?;
        if opened.exists == 0 {
            return Ok(opened);
        }
        let tag = self.send("UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")?;
        let mut uids = BTreeSet::new();
        loop {
            let response = self.read(keep_octets)?;
            if self.ended(&tag, &response)? {
                break;
            }
            if let Some(fetched) = fetched(&response.tokens()?)? {
                if uids.insert(fetched.uid) {
                    each(fetched);
                } else {
                    return Err(WireError::protocol(format!("UID {} came twice", fetched.uid)));
                }
            }
        }
        if uids.len() != opened.exists as usize {
            let text = format!("{mailbox}: {} messages announced, {} given", opened.exists, uids.len());
            return Err(WireError::protocol(text));
        }
        Ok(opened)
    }

    /// Appends messages by one command where MULTIAPPEND is offered, else one after another. Literals are
    /// non-synchronising where LITERAL+ is offered.
    ///
    /// # Errors
    /// If the server refuses or hangs up. Without MULTIAPPEND those before the refused one stay appended.
    pub fn append(
        &mut self,
        mailbox: &str,
        messages: &[Outgoing<'_>],
    ) -> Result<Option<AppendUid>, WireError> {
        let at_once = if self.can("MULTIAPPEND") { messages.len().max(1) } else { 1 };
        let mut appended: Option<AppendUid> = None;
        for batch in messages.chunks(at_once) {
            let uids = self.append_batch(mailbox, batch)?;
            match (&mut appended, uids) {
                (Some(all), Some(more)) => all.uids.extend(more.uids),
                (_, uids) => appended = uids,
            }
        }
        Ok(appended)
    }

    fn append_batch(
        &mut self,
        mailbox: &str,
        batch: &[Outgoing<'_>],
    ) -> Result<Option<AppendUid>, WireError> {
        let non_synchronising = self.can("LITERAL+");
        let tag = self.next_tag();
        write!(self.to, "{tag} APPEND {}", quote(mailbox))?;
        for message in batch {
            write!(self.to, " {}", message.flags)?;
            if let Some(date) = message.internal_date {
                write!(self.to, " \"{date}\"")?;
            }
            let plus = if non_synchronising { "+" } else { "" };
            write!(self.to, " {{{}{plus}}}\r\n", message.octets.len())?;
            if !non_synchronising {
                self.await_continuation(&tag)?;
            }
            self.to.write_all(message.octets)?;
        }
        self.to.write_all(b"\r\n")?;
        self.to.flush()?;
        loop {
            let response = self.read(true)?;
            if self.ended(&tag, &response)? {
                return Ok(append_uid(&response.head()));
            }
        }
    }

    fn await_continuation(&mut self, tag: &str) -> Result<(), WireError> {
        self.to.flush()?;
        loop {
            let response = self.read(true)?;
            if response.head().starts_with('+') {
                return Ok(());
            }
            if self.ended(tag, &response)? {
                return Err(WireError::protocol("OK before the literal"));
            }
        }
    }

    /// CREATE.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn create(&mut self, mailbox: &str) -> Result<(), WireError> {
        self.command(&format!("CREATE {}", quote(mailbox))).map(drop)
    }

    /// SUBSCRIBE.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn subscribe(&mut self, mailbox: &str) -> Result<(), WireError> {
        self.command(&format!("SUBSCRIBE {}", quote(mailbox))).map(drop)
    }

    /// UNSUBSCRIBE.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn unsubscribe(&mut self, mailbox: &str) -> Result<(), WireError> {
        self.command(&format!("UNSUBSCRIBE {}", quote(mailbox))).map(drop)
    }

    /// DELETE.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn delete(&mut self, mailbox: &str) -> Result<(), WireError> {
        self.command(&format!("DELETE {}", quote(mailbox))).map(drop)
    }

    /// UID STORE: `item` is `FLAGS`, `+FLAGS` or `-FLAGS`.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn store(&mut self, uids: &str, item: &str, flags: &Flags) -> Result<(), WireError> {
        self.command(&format!("UID STORE {uids} {item}.SILENT {flags}")).map(drop)
    }

    /// EXPUNGE: removes all messages marked `\Deleted`.
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn expunge(&mut self) -> Result<(), WireError> {
        self.command("EXPUNGE").map(drop)
    }

    /// UID MOVE (RFC 6851).
    ///
    /// # Errors
    /// If the server refuses or hangs up.
    pub fn move_to(&mut self, uids: &str, mailbox: &str) -> Result<(), WireError> {
        self.command(&format!("UID MOVE {uids} {}", quote(mailbox))).map(drop)
    }

    /// LOGOUT, and waits for its answer.
    ///
    /// # Errors
    /// If the server refuses or hangs up before the answer.
    pub fn logout(mut self) -> Result<(), WireError> {
        self.command("LOGOUT").map(drop)
    }

    fn open(&mut self, verb: &str, mailbox: &str) -> Result<Opened, WireError> {
        let mut opened = Opened::default();
        for response in self.command(&format!("{verb} {}", quote(mailbox)))? {
            let head = response.head();
            let mut words = head.split([' ', '[', ']']).filter(|word| !word.is_empty()).skip(1);
            match (words.next(), words.next(), words.next()) {
                (Some(number), Some("EXISTS"), _) => opened.exists = decimal(number)?,
                (Some("OK"), Some("UIDVALIDITY"), Some(number)) => opened.uid_validity = decimal(number)?,
                (Some("OK"), Some("UIDNEXT"), Some(number)) => opened.uid_next = decimal(number)?,
                _ => {}
            }
        }
        Ok(opened)
    }

    fn listing(&mut self, command: &str, word: &str) -> Result<Vec<Listed>, WireError> {
        let mut rows = Vec::new();
        for response in self.command(command)? {
            let tokens = response.tokens()?;
            if tokens.get(1).is_some_and(|token| token.is(word)) {
                rows.push(listed(&tokens[2..]).ok_or_else(|| WireError::protocol(response.head()))?);
            }
        }
        Ok(rows)
    }

    fn read_capabilities(&mut self) -> Result<(), WireError> {
        self.capabilities.clear();
        for response in self.command("CAPABILITY")? {
            if let Some(list) = response.head().strip_prefix("* CAPABILITY ") {
                self.capabilities.extend(list.split_ascii_whitespace().map(str::to_ascii_uppercase));
            }
        }
        Ok(())
    }

    fn command(&mut self, command: &str) -> Result<Vec<Response>, WireError> {
        let tag = self.send(command)?;
        let mut untagged = Vec::new();
        loop {
            let response = self.read(true)?;
            if self.ended(&tag, &response)? {
                return Ok(untagged);
            }
            untagged.push(response);
        }
    }

    fn next_tag(&mut self) -> String {
        self.last_tag += 1;
        format!("k{}", self.last_tag)
    }

    fn send(&mut self, command: &str) -> Result<String, WireError> {
        let tag = self.next_tag();
        write!(self.to, "{tag} {command}\r\n")?;
        self.to.flush()?;
        Ok(tag)
    }

    fn read(&mut self, keep_octets: bool) -> Result<Response, WireError> {
        Response::read(&mut self.from, keep_octets)
    }

    /// Whether this is the tagged OK; a tagged NO or BAD is an error.
    fn ended(&self, tag: &str, response: &Response) -> Result<bool, WireError> {
        let head = response.head();
        let Some(status) = head.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) else {
            return Ok(false);
        };
        let (word, text) = status.split_once(' ').unwrap_or((status, ""));
        match word.to_ascii_uppercase().as_str() {
            "OK" => Ok(true),
            "NO" => Err(WireError::No(text.to_owned())),
            "BAD" => Err(WireError::Bad(text.to_owned())),
            _ => Err(WireError::protocol(head)),
        }
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn decimal(text: &str) -> Result<u32, WireError> {
    text.parse().map_err(|_| WireError::protocol(format!("{text} is not a number")))
}
