//! What goes wrong, as data: a fault, and what sets it off.

use bytes::Bytes;
use std::time::Duration;

/// What sets a fault off. Counts are of the whole server, from 1, over all its connections; a fault whose count has
/// passed strikes at the first occasion that fits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The next occasion.
    Next,
    /// The n-th command.
    Command(u64),
    /// The n-th command with this verb; `UID FETCH` counts as FETCH.
    Verb(&'static str, u64),
    /// The octets of this message are asked for: mailbox and UID.
    Body(String, u32),
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    // Any command.
    /// `* BYE` with this text, and the end of the connection.
    Bye(String),
    /// This status and text instead of what was asked for (`NO [UNAVAILABLE] later`, `BAD what?`).
    Answer(String),
    /// This line before anything else (`* 3 EXPUNGE`), true or not.
    Untagged(String),
    /// No answer, ever; the connection stays open.
    Silence,
    /// It takes so many times this long, with an `* OK [INPROGRESS]` (RFC 9585) after each; then it is done as usual.
    Working(Duration, u32),
    /// It is done only when the server is released ([`Sandbox::release`](crate::Sandbox::release)): for a test that needs a moment to
    /// last as long as it likes. Also where the client is gone by then.
    Held,
    /// Another client does something.
    Other(Deed),

    // A command that waits for its literal.
    /// The continuation request never comes.
    NoContinuation,
    /// This status and text instead of the continuation request: the literal does not follow (RFC 9051, 7.6).
    RefuseLiteral(String),

    // APPEND, read whole.
    /// The connection ends and nothing is stored.
    DropBeforeStore,
    /// All is stored; the connection ends before the answer.
    DropAfterStore,
    /// The connection ends at once; all is stored so much later.
    LateStore(Duration),
    /// Refused with NO and this text.
    RefuseAppend(String),
    /// OK, and nothing is stored; APPENDUID names the UIDs that the messages would have.
    OkWithoutStoring,
    /// OK, but only so many octets of each message are kept.
    Truncate(usize),
    /// OK, but the octets are changed.
    Alter(Alteration),
    /// OK, with a wrong APPENDUID.
    AppendUid(UidLie),
    /// Another client stores a copy of the first message just before.
    Twin,

    // COPY.
    /// It is done; the connection ends before the answer.
    DropAfterCopy,
    /// The connection ends at once; it is done so much later.
    LateCopy(Duration),
    /// It is done, and answered by an OK without COPYUID.
    CopyUidMissing,
    /// It is done, and the copies have other octets.
    SpoilCopy,

    // FETCH of bodies.
    /// The connection ends after so many octets of the answer.
    CutFetch(usize),
    /// The connection ends in the middle of the message with this UID; those asked for before it have come.
    CutMessage(u32),
    /// `BODY[] NIL`.
    NilBody,
    /// OK without the first message that was asked for.
    LeaveOut,
    /// The answers come in descending order.
    Backwards,
    /// Refused with NO and this text, and no answer for any message.
    RefuseFetch(String),
    /// Another client removes the last message that was asked for, in this moment; the answer for it has this form.
    Expunged(Gone),
    /// Before the answers comes one for a message that was not asked for, with its octets.
    Foreign,

    // SELECT, EXAMINE, STATUS.
    /// UIDNEXT is so much less than it should be (but not less than 1).
    UidNextLess(u32),
}

/// How FETCH answers for a message that is removed while it runs; each is seen (integrity.md 1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// OK, and no answer for it (Cyrus).
    Nothing,
    /// `BODY[] NIL`, and `OK [EXPUNGEISSUED]` (Dovecot with maildir or sdbox).
    Nil,
    /// The whole message, `\Deleted`, and EXPUNGE after it (Dovecot with mdbox).
    Whole,
}

/// How a message is changed while it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alteration {
    /// A header line more.
    AddHeader,
    /// Another last octet, at the same size.
    SameSize,
}

/// What is wrong with an APPENDUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UidLie {
    /// It is missing.
    Missing,
    /// It names one UID too many.
    OneMore,
    /// Another UIDVALIDITY.
    OtherEpoch,
    /// It names the UIDs of the oldest messages of the mailbox.
    Oldest,
}

/// Something that another client does. A message is named by its place in the mailbox, modulo the number of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Stores a message.
    Deliver {
        /// Where.
        mailbox: String,
        /// What.
        octets: Bytes,
    },
    /// Removes a message.
    Delete {
        /// Where.
        mailbox: String,
        /// Which.
        nth: usize,
    },
    /// Moves a message.
    Move {
        /// From where.
        from: String,
        /// To where.
        to: String,
        /// Which.
        nth: usize,
    },
    /// Gives a mailbox another name. INBOX has none other.
    Rename {
        /// From.
        from: String,
        /// To.
        to: String,
    },
    /// Deletes a mailbox with all its mail.
    DeleteMailbox {
        /// Which one.
        mailbox: String,
    },
    /// Creates a mailbox.
    CreateMailbox {
        /// Which one.
        mailbox: String,
    },
    /// The server loses its index of a mailbox: another UIDVALIDITY, and UIDs from 1 on.
    NewEpoch {
        /// Which one.
        mailbox: String,
    },
}

/// An occasion at which a fault may strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    Command,
    Continuation,
    Append,
    Copy,
    Bodies,
    Facts,
}

impl Fault {
    pub(crate) fn occasion(&self) -> Occasion {
        match self {
            Self::Bye(_)
            | Self::Answer(_)
            | Self::Untagged(_)
            | Self::Silence
            | Self::Working(..)
            | Self::Held
            | Self::Other(_) => Occasion::Command,
            Self::NoContinuation | Self::RefuseLiteral(_) => Occasion::Continuation,
            Self::DropAfterCopy | Self::LateCopy(_) | Self::CopyUidMissing | Self::SpoilCopy => {
                Occasion::Copy
            }
            Self::CutFetch(_)
            | Self::CutMessage(_)
            | Self::NilBody
            | Self::LeaveOut
            | Self::Backwards
            | Self::RefuseFetch(_)
            | Self::Expunged(_)
            | Self::Foreign => Occasion::Bodies,
            Self::UidNextLess(_) => Occasion::Facts,
            _ => Occasion::Append,
        }
    }
}

/// A fault of the plan: what, when, how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When.
    pub at: Trigger,
    /// What.
    pub fault: Fault,
    /// How often.
    pub times: u32,
}

impl Planned {
    /// A fault that strikes once.
    pub fn once(at: Trigger, fault: Fault) -> Self {
        Self { at, fault, times: 1 }
    }
}
