//! The IMAP client of Mailhaul as a state machine: octets in, events out; commands in, octets out.
//!
//! There is no socket, clock, runtime or file here. The driver reads octets from its connection and gives them to
//! [`Client::feed`], takes events from [`Client::next_event`] until there are none, and does what
//! [`Client::next_output`] says. The same octets give the same events however they are split.
//!
//! - **Bodies are never held.** The literal of `BODY[]` comes out in the pieces in which it arrived; the response it
//!   stands in follows when it is complete. Bodies to append are pulled from the driver.
//! - **Nothing a server sends is lost or fatal**, except what makes the framing doubtful: a literal whose length
//!   overflows, a line beyond the limit, the answer to a command that is not open.
//! - **The gate.** An APPEND stops before its last octet until [`Client::open_gate`]; the octet stays in here, where no
//!   layer below can send it.
//!
//! ```
//! use mailhaul_imap::{Client, Command, Event, Limits, Output};
//!
//! let mut client = Client::new(Limits::default());
//! client.feed(b"* OK ready\r\n");
//! assert!(matches!(client.next_event()?, Some(Event::Greeting(..))));
//! let tag = client.submit(Command::noop());
//! let Output::Write(octets) = client.next_output() else { panic!() };
//! assert_eq!(octets, format!("{tag} NOOP\r\n"));
//! client.feed(format!("{tag} OK done {{5}}\r\n").as_bytes());
//! assert!(matches!(client.next_event()?, Some(Event::Tagged { .. })));
//! # Ok::<(), mailhaul_imap::ProtocolError>(())
//! ```
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic))]

pub mod capability;
pub mod client;
pub mod command;
mod cursor;
pub mod date;
pub mod error;
pub mod framing;
pub mod mailbox;
pub mod message;
#[cfg(mailhaul_mutants)]
pub mod mutants;
mod printable;
pub mod response;
pub mod status;
pub mod uid_set;
pub mod utf7;

pub use capability::{Capabilities, LiteralMode};
pub use client::{Client, Event, GateId, MailboxFacts, Output, Tag};
pub use command::{AppendMessage, Command};
pub use cursor::Segment;
pub use date::{DateParts, InternalDate};
pub use error::ProtocolError;
pub use mailbox::{ListEntry, Namespace, Namespaces};
pub use message::{Flag, ModSeq, Uid, UidValidity};
pub use printable::printable;
pub use response::{Body, Fetch, Response, StatusData, Untagged};
pub use status::{Condition, ResponseCode, Status, StatusText};
pub use uid_set::{UidSequence, UidSet};

/// Limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of one response without its streamed bodies.
    pub max_line_octets: u64,
    /// Octets of one literal that is no message body.
    pub max_inline_literal_octets: u64,
    /// Commands on their way without an answer.
    pub pipeline_depth: usize,
    /// A longer literal waits for the server even where LITERAL+ would let it go.
    pub literal_plus_max_octets: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_line_octets: 8 * 1024 * 1024,
            max_inline_literal_octets: 1024 * 1024,
            pipeline_depth: 256,
            literal_plus_max_octets: u64::MAX,
        }
    }
}
