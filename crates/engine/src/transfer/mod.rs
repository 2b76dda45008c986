//! Copying one mailbox: the [`brain`] decides, the shell does, [`resolve`] finds out what became of messages
//! whose fate is unknown, [`copy`](mod@copy) goes on until nothing is left to do.

mod batch_size;
pub mod brain;
pub mod commit_time;
mod commits;
pub mod copy;
pub mod encode;
pub mod epochs;
mod feed;
pub mod following;
pub mod guard;
pub mod job;
pub mod label;
pub mod ladder;
pub mod meaning;
pub mod munges;
pub mod octets;
mod reading;
mod rekey;
pub(crate) mod replace;
pub mod resolve;
mod shell;
pub mod spool;
mod together;
pub mod uids;
pub mod unchanged;
pub mod unreadable;
pub mod wrap;

pub use feed::{Lot, memory_share, memory_units, split};
