//! The IMAP client of Mailhaul as a state machine: bytes in, events out; commands in, bytes out.

pub mod date;
pub mod utf7;

pub use date::InternalDate;
