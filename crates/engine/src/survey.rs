//! What is there, on both sides, before anything is decided.

use crate::context::at;
use crate::end::{Abilities, MailboxInfo, Room, SourceSession, TargetSession};
use crate::error::{EndError, Error};
use crate::journal::Side;

/// Both accounts as they were seen.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What the source says of itself.
    pub source: Abilities,
    /// What the target says of itself.
    pub target: Abilities,
    /// All mailboxes of the source.
    pub source_mailboxes: Vec<MailboxInfo>,
    /// All mailboxes of the target.
    pub target_mailboxes: Vec<MailboxInfo>,
    /// Room at the source: what is used there is what must fit.
    pub source_room: Option<Room>,
    /// Room at the target.
    pub target_room: Option<Room>,
}

/// Looks at both accounts. Nothing is changed.
pub async fn survey<S: SourceSession, T: TargetSession>(source: &mut S, target: &mut T) -> Result<Survey, Error> {
    refuse_gmail(source.abilities())?;
    let ((source_mailboxes, source_room), (target_mailboxes, target_room)) =
        tokio::try_join!(look_at_source(source), look_at_target(target))?;
    let survey = Survey {
        source: source.abilities().clone(),
        target: target.abilities().clone(),
        source_mailboxes,
        target_mailboxes,
        source_room,
        target_room,
    };
    for (side, mailboxes) in [(Side::Source, &survey.source_mailboxes), (Side::Target, &survey.target_mailboxes)] {
        must_show_something(side, mailboxes)?;
    }
    Ok(survey)
}

async fn look_at_source<S: SourceSession>(session: &mut S) -> Result<(Vec<MailboxInfo>, Option<Room>), Error> {
    let mailboxes = session.mailboxes().await.map_err(|e| at(Side::Source, e))?;
    Ok((mailboxes, session.room().await.map_err(|e| at(Side::Source, e))?))
}

async fn look_at_target<T: TargetSession>(session: &mut T) -> Result<(Vec<MailboxInfo>, Option<Room>), Error> {
    let mailboxes = session.mailboxes().await.map_err(|e| at(Side::Target, e))?;
    Ok((mailboxes, session.room().await.map_err(|e| at(Side::Target, e))?))
}

/// A label shows one message in several mailboxes at once; copying mailbox by mailbox would multiply mail.
fn refuse_gmail(source: &Abilities) -> Result<(), Error> {
    if !source.gmail {
        return Ok(());
    }
    Err(Error::Source(EndError::Unsupported {
        server: source.product.clone(),
        what: "this is Gmail (X-GM-EXT-1): one message appears in a mailbox for each of its labels, and this \
               version would copy it once for each"
            .into(),
        hint: "moving from Gmail comes with a later version; nothing was changed".into(),
    }))
}

/// Every account has an INBOX (RFC 9051, 5.1). A list without anything is a failure, not an empty account (law 7).
fn must_show_something(side: Side, mailboxes: &[MailboxInfo]) -> Result<(), Error> {
    if !mailboxes.is_empty() {
        return Ok(());
    }
    Err(at(
        side,
        EndError::Protocol {
            server: side.as_str().into(),
            doing: "LIST",
            what: "the list of mailboxes is empty, without even an INBOX; is the user name right?".into(),
        },
    ))
}
