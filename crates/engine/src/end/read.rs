//! What is read back at a target, and what comes of it.

use crate::error::EndError;
use crate::identity::Measured;
use crate::message::{Flags, InternalDate, Key, UidValidity};
use bytes::Bytes;

/// Messages to read of one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToRead {
    /// The mailbox, as on the wire.
    pub mailbox: Bytes,
    /// The epoch that the UIDs are of.
    pub epoch: UidValidity,
    /// Ascending.
    pub uids: Vec<Key>,
    /// How much of each.
    pub depth: Depth,
}

/// What comes of reading mailboxes ([`read_each`](super::TargetSession::read_each)), each with its place among those that were asked for.
#[derive(Clone, Debug)]
pub enum ReadEvent {
    /// A message.
    Seen(usize, Seen),
    /// All that comes of a mailbox has come: whether it was read, or what refused it. False where it shows another epoch.
    Done(usize, Result<bool, EndError>),
}

/// What was read of a message at the target, without keeping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its UID.
    pub uid: Key,
    /// Flags without `\Recent`.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: Option<InternalDate>,
    /// RFC822.SIZE.
    pub octets: u64,
    /// MODSEQ.
    pub mod_seq: Option<u64>,
    /// The octets, hashed as they came; `None` when only facts were asked for, or when the server gave no body.
    pub measured: Option<Measured>,
}

/// How deep to read at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Flags, date, size.
    Facts,
    /// And every octet.
    Octets,
}
