//! What happened to the mail of a server, in order: the truth that a checker compares with what anybody says of it.

use bytes::Bytes;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A client over a connection.
    Client,
    /// Another client, an administrator, or whoever holds the handle.
    Other,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A message was stored.
    Stored {
        /// The octets given.
        sent: Bytes,
        /// The octets kept.
        kept: Bytes,
    },
    /// A message was removed.
    Removed,
    /// Its flags were changed.
    Flagged,
    /// It has another UID from here on, in another epoch.
    Renumbered {
        /// The new UIDVALIDITY.
        uid_validity: u32,
        /// The new UID.
        uid: u32,
    },
    /// OK was said of a message that was not stored: none has this UID yet.
    Promised {
        /// The octets given.
        sent: Bytes,
    },
    /// A message was found equal to this one, and not stored beside it.
    Merged {
        /// The octets given.
        sent: Bytes,
    },
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose mail.
    pub user: String,
    /// The mailbox.
    pub mailbox: String,
    /// Its UIDVALIDITY then.
    pub uid_validity: u32,
    /// The message.
    pub uid: u32,
    /// Who did it.
    pub who: Who,
    /// What.
    pub what: What,
}
