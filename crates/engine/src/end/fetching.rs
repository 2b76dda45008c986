//! What is asked for of the octets of messages at the source, and what comes of it.

use crate::error::Refusal;
use crate::message::{Flags, Key};
use crate::transfer::Lot;
use crate::transfer::spool::{Body, Intake};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// A message wanted from the source.
#[derive(Debug)]
pub struct Wanted {
    /// Its UID.
    pub key: Key,
    /// Octets to expect; a hint.
    pub octets: u64,
    /// Memory reserved for it, taken over by its [`Body`].
    pub memory: Option<OwnedSemaphorePermit>,
}

/// How the octets of a message are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// In one piece.
    #[default]
    Whole,
    /// Its header, then its text (RFC 9051, 6.4.5): what some servers give of a message whose whole they do not.
    Parts,
}

/// One request for bodies; becomes one command, or one for each part.
#[derive(Debug)]
pub struct FetchRange {
    /// Given back in [`FetchEvent::RangeDone`].
    pub id: u64,
    /// How to ask.
    pub way: Way,
    /// Nothing else is asked for until it is answered, so that a connection that breaks says of which message.
    pub alone: bool,
    /// Ascending by key.
    pub wanted: Vec<Wanted>,
}

/// Messages that are asked for before it is known which there are ([`SourceSession::list_with_bodies`](super::SourceSession::list_with_bodies)).
#[derive(Debug)]
pub struct Unlisted {
    /// All that have a lower UID.
    pub below: Key,
    /// Reserved for all of them together. What it does not hold is not kept.
    pub memory: Lot,
    /// Bodies are built in it.
    pub intake: Intake,
    /// What comes of it: messages, and the refusal of all of them as [`FetchEvent::RangeDone`], which names none then.
    pub out: mpsc::Sender<FetchEvent>,
}

/// A message fetched whole.
#[derive(Debug)]
pub struct Fetched {
    /// Its UID.
    pub key: Key,
    /// Flags seen in the same answer, without `\Recent`; `None` if the server left them out.
    pub flags: Option<Flags>,
    /// The octets, complete, counted and hashed.
    pub body: Body,
}

/// What comes back from [`SourceSession::fetch`](super::SourceSession::fetch).
#[derive(Debug)]
pub enum FetchEvent {
    /// A message.
    Fetched(Fetched),
    /// The server answered for this UID without octets (`BODY[] NIL`, an empty literal for a message with a
    /// size): neither gone nor empty until proven (law 7).
    NoBody {
        /// Its UID.
        key: Key,
    },
    /// The command of a range is over.
    RangeDone {
        /// Which range.
        id: u64,
        /// UIDs asked for and not answered.
        missing: Vec<Key>,
        /// The server's words, if it said NO or BAD.
        refused: Option<Refusal>,
    },
}
