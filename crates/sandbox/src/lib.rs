//! An embedded IMAP server in memory, with knobs. `mailhaul demo` and every simulated test run on it.
//!
//! It is strict (a client's mistake is BAD), deterministic (no clock of its own), and stores a message only when its
//! whole APPEND has been read: a connection that dies before stores nothing.
//! What goes wrong is data ([`Planned`]); what happened to the mail is kept in a ledger ([`Entry`]).

mod account;
pub mod demo;
mod families;
mod fault;
mod fetch;
mod gmail;
mod ledger;
mod profile;
mod reader;
mod server;
mod session;
mod wire;
mod world;

pub use account::{MailboxSnapshot, MessageSnapshot};
pub use fault::{Alteration, Deed, Fault, Gone, Planned, Trigger, UidLie};
pub use ledger::{Entry, What, Who};
pub use profile::{Childless, LoginTells, LoneLf, Profile, Rewrite, ScramLie};
pub use server::{Listening, Sandbox};
pub use session::Channel;
pub use world::{Counters, Struck};
