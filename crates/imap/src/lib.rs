//! The IMAP client of Mailhaul as a state machine: bytes in, events out; commands in, bytes out.

mod message;

pub use message::InternalDate;
