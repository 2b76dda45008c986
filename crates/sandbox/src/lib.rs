//! An embedded IMAP server in memory, with knobs. `mailhaul demo` and every simulated test run on it.
//!
//! It is strict (a client's mistake is BAD), deterministic (no clock of its own), and stores a message only when its
//! whole APPEND has been read: a connection that dies before stores nothing.

mod account;
pub mod demo;
mod fetch;
mod profile;
mod reader;
mod server;
mod session;

pub use account::{MailboxSnapshot, MessageSnapshot};
pub use profile::{Fault, LoneLf, Profile};
pub use server::{Counters, Listening, Sandbox};
