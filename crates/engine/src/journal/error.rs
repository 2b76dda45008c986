//! Why a journal could not do what was asked.

use super::{ItemId, MailboxId, State};
use crate::message::Key;

/// Why a journal could not do what was asked. The gate stays shut after each of them.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no journal where one was expected.
    #[error("no journal at {place}")]
    NotFound {
        /// Path or address, without secrets.
        place: String,
    },
    /// The file is not a journal, or its contents contradict themselves.
    #[error("the journal at {place} is damaged: {what}")]
    Damaged {
        /// Path or address.
        place: String,
        /// What was found.
        what: String,
    },
    /// Written by a newer Mailhaul.
    #[error(
        "the journal at {place} has format {found}, this Mailhaul knows up to {known}: use the newer one"
    )]
    Newer {
        /// Path or address.
        place: String,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// Another process holds it.
    #[error("another process holds this migration ({holder})")]
    Held {
        /// Who, as it said.
        holder: String,
    },
    /// Our lease was taken over: nothing was written.
    #[error("this process no longer holds the migration; nothing was written")]
    Fenced,
    /// The disk is full.
    #[error("the disk that holds the journal at {place} is full")]
    DiskFull {
        /// Path or address.
        place: String,
    },
    /// Any other failure of the store below.
    #[error("the journal at {place} could not {doing}: {what}")]
    Store {
        /// Path or address.
        place: String,
        /// What was being done.
        doing: &'static str,
        /// The store's words.
        what: String,
    },
    /// A move that the table of states does not allow: a defect of the engine, stopped before it did harm.
    #[error("illegal move of message {item:?} from {} to {}", from.as_str(), to.as_str())]
    Illegal {
        /// Which item.
        item: ItemId,
        /// Where it was.
        from: State,
        /// Where it was to go.
        to: State,
    },
    /// What a change speaks of was read at another place than the message claims now.
    #[error("message {item:?} is claimed elsewhere by now")]
    Elsewhere {
        /// Which item.
        item: ItemId,
    },
    /// A target UID that another item already owns (law 5).
    #[error("target UID {uid} in mailbox {mailbox:?} is already claimed by {by:?}")]
    ClaimTaken {
        /// The mailbox.
        mailbox: MailboxId,
        /// The UID.
        uid: Key,
        /// The owner.
        by: ItemId,
    },
    /// The journal was made with other settings (another mapping, other accounts).
    #[error("this journal was made with other settings: {what}")]
    OtherSettings {
        /// The difference.
        what: String,
    },
}

/// Result of a journal verb.
pub type JournalResult<T> = Result<T, JournalError>;
