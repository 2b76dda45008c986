//! What goes into commands and comes out of responses.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::date::InternalDate;
use crate::image::{Content, Flags};

/// Where and how to connect.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Address of the server.
    pub address: SocketAddr,
    /// What protects the connection.
    pub security: Security,
}

impl Endpoint {
    /// A connection in clear.
    #[must_use]
    pub fn clear(address: SocketAddr) -> Self {
        Self { address, security: Security::Clear }
    }
}

/// What protects a connection.
#[derive(Clone, Debug)]
pub enum Security {
    /// Nothing.
    Clear,
    /// TLS from the first octet; the server's certificate must be for `localhost`.
    Tls(Arc<rustls::ClientConfig>),
    /// TLS after STARTTLS.
    StartTls(Arc<rustls::ClientConfig>),
}

/// A piece of a command that is sent as it is, lawful or not.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Octets of the line.
    Text(&'a [u8]),
    /// A quoted string where the grammar permits one, else a literal.
    String(&'a [u8]),
    /// A synchronising literal.
    Literal(&'a [u8]),
}

/// A row of LIST or LSUB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name as it goes over the wire.
    pub name: String,
    /// The hierarchy delimiter, if there is a hierarchy.
    pub delimiter: Option<char>,
    /// Attributes, such as `\Noselect`.
    pub attributes: Vec<String>,
}

impl Listed {
    /// The attribute is there, in any case.
    #[must_use]
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|has| has.eq_ignore_ascii_case(attribute))
    }
}

/// What SELECT or EXAMINE said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Number of messages.
    pub exists: u32,
    /// UIDVALIDITY.
    pub uid_validity: u32,
    /// UIDNEXT, 0 if not told.
    pub uid_next: u32,
}

/// A message as fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// UID.
    pub uid: u32,
    /// FLAGS without `\Recent`.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: InternalDate,
    /// RFC822.SIZE as the server tells it, in octets.
    pub rfc822_size_octets: u64,
    /// `BODY[]`.
    pub content: Content,
}

/// A message to append.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Flags to set.
    pub flags: &'a Flags,
    /// INTERNALDATE to set; none leaves it to the server.
    pub internal_date: Option<InternalDate>,
    /// The message.
    pub octets: &'a [u8],
}

/// UIDVALIDITY and UIDs of appended messages (RFC 4315 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendUid {
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// A UID for each message, in the order sent.
    pub uids: Vec<u32>,
}

/// A namespace's prefix and delimiter as told by NAMESPACE (RFC 2342).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// The prefix as it goes over the wire, often empty.
    pub prefix: String,
    /// Its delimiter.
    pub delimiter: Option<char>,
}

/// The three lists of NAMESPACE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Personal.
    pub personal: Vec<Namespace>,
    /// Other users' and shared.
    pub foreign: Vec<Namespace>,
}
