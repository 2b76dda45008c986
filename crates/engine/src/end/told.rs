//! What an end says of a connection, a mailbox and an account.

use crate::error::EndError;
use bytes::Bytes;

/// Something that a listing asked for and was refused. The rest of it is listed all the same.
#[derive(Clone, Debug)]
pub struct Untold {
    /// What it asked for.
    pub asked: Asked,
    /// The refusal.
    pub error: EndError,
}

impl Untold {
    /// Worth asking for again: it is about the account's own mail, or the server asks for patience. How much is in a mailbox is
    /// asked for again where it matters.
    pub fn may_pass(&self) -> bool {
        let is_waited_for = !matches!(self.asked, Asked::Others(_) | Asked::Counts(_));
        self.error.is_to_be_asked_later() || (self.error.is_passing() && is_waited_for)
    }
}

/// What a listing asks for beside the names of the account's mailboxes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// Which prefixes are the account's own, and which other people's (NAMESPACE).
    Namespaces,
    /// Which of the account's own mailboxes lie below this prefix, decoded.
    Own(String),
    /// Which mailboxes of others lie below this prefix, decoded.
    Others(String),
    /// What is subscribed.
    Subscriptions,
    /// Roles, of a server that tells them apart (XLIST).
    Roles,
    /// How much is in this mailbox of the account's own (STATUS).
    Counts(Bytes),
}

/// What became of COMPRESS=DEFLATE (RFC 4978) on a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not asked for.
    #[default]
    NotAsked,
    /// Both directions are compressed.
    Deflate,
    /// Asked for and not to be had: why, in words.
    Missing(String),
}

impl Compression {
    /// Why it was asked for and is not there.
    pub fn missing(&self) -> Option<&str> {
        if let Self::Missing(why) = self { Some(why) } else { None }
    }
}

/// What the user may do with a mailbox (ACL, RFC 4314).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights(String);

impl Rights {
    /// From the letters of MYRIGHTS.
    pub fn new(letters: impl Into<String>) -> Self {
        Self(letters.into())
    }

    /// Has this right. The letters of RFC 2086, which older servers still use, stand for several.
    pub fn has(&self, right: char) -> bool {
        let older = match right {
            'k' | 'x' => 'c',
            't' | 'e' => 'd',
            other => other,
        };
        self.0.contains(right) || self.0.contains(older)
    }
}

/// Room on an end (RFC 9208). Octets and messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// STORAGE used, in octets.
    pub used_octets: Option<u64>,
    /// STORAGE limit, in octets.
    pub limit_octets: Option<u64>,
    /// MESSAGE used.
    pub used_messages: Option<u64>,
    /// MESSAGE limit.
    pub limit_messages: Option<u64>,
}
