//! What can fail: one variant for each failed operation, how far it reaches and whether it may pass.

use crate::alerts;
use crate::auth::{Mechanism, advice};
use crate::journal::JournalError;
use crate::quirks::{self, Case, Doing, Pause, Remedy};
use std::time::Duration;

/// Part of the work that a failure takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One message.
    Message,
    /// One mailbox.
    Mailbox,
    /// One account pair.
    Account,
    /// The whole run.
    Run,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It may pass; not before this time, where the server named one.
    Transient(Option<Duration>),
    /// It will not pass by itself.
    Permanent,
}

/// How far a failure reaches, and whether it may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// What it takes with it.
    pub scope: Scope,
    /// Whether it may pass.
    pub persistence: Persistence,
}

/// What a refusal means. What to do about it follows from this alone: [`crate::quirks::remedy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalClass {
    /// No room: OVERQUOTA and its spellings. Never skipped message by message.
    Quota,
    /// This message is too big.
    TooBig,
    /// Slow down; the wait the server named.
    Throttled(Option<Duration>),
    /// What may pass in a day has passed.
    SpentToday,
    /// Throttled, or full: the server does not say which.
    ThrottledOrFull,
    /// Passing trouble: UNAVAILABLE.
    Unavailable,
    /// Somebody else has it locked: INUSE.
    InUse,
    /// The server failed inside, or the mailbox is gone: SERVERBUG.
    ServerBug,
    /// The mailbox is not there: TRYCREATE, NONEXISTENT.
    NoMailbox,
    /// The mailbox is there already: ALREADYEXISTS.
    Exists,
    /// The message was removed by somebody: EXPUNGEISSUED.
    Expunged,
    /// The mailbox may not be used like this: NOPERM, READ-ONLY.
    NoPermission,
    /// User name, password or token.
    Login,
    /// The octets of the message.
    Content,
    /// The octets of the message, and no step of the ladder can help: a virus, or too many equal copies.
    Forbidden,
    /// Damaged on the server: CORRUPTION.
    Damaged,
    /// A keyword.
    Keyword,
    /// Never possible, for a reason that the server keeps to itself: CANNOT.
    Cannot,
    /// The date.
    Date,
    /// BAD: a syntax this server does not take, or a message it chokes on.
    Syntax,
    /// A NO that says nothing we know.
    Unknown,
}

/// A server's tagged NO or BAD, kept with its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it means.
    pub class: RefusalClass,
    /// True for BAD.
    pub bad: bool,
    /// The response code's name, upper case (`OVERQUOTA`), if there was one.
    pub code: Option<String>,
    /// The text, decoded for display.
    pub text: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.bad { "BAD" } else { "NO" })?;
        if let Some(code) = &self.code {
            write!(f, " [{code}]")?;
        }
        write!(f, " {}", self.text)
    }
}

/// What is being done while mailboxes are listed.
pub(crate) const LISTING: &str = "listing the mailboxes";

/// A failed operation at one end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EndError {
    /// No connection could be made: name, route, port.
    #[error("cannot reach {server}: {what}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// The cause, in words.
        what: String,
        /// What a person can do next.
        hint: String,
    },
    /// The connection cannot be trusted: certificate, fingerprint, STARTTLS not offered or refused.
    #[error("cannot trust {server}: {what}")]
    Untrusted {
        /// Host and port.
        server: String,
        /// The cause, in words.
        what: String,
        /// What a person can do next.
        hint: String,
        /// The SHA-256 of the certificate that it shows, where nothing else is the matter: it may be pinned
        /// ([`Trust::fingerprint`](crate::config::Trust)).
        shown: Option<[u8; 32]>,
    },
    /// User name, password or mechanism refused. Never retried by itself.
    #[error("{server} refused the login of {user}: {refusal}{}", alerts::told(told))]
    LoginRefused {
        /// Host and port.
        server: String,
        /// The user name.
        user: String,
        /// How it was tried; `None` where the refusal came after the login.
        mechanism: Option<Mechanism>,
        /// The server's words.
        refusal: Box<Refusal>,
        /// What it wanted people to see before that ([`alerts`]).
        told: Vec<String>,
    },
    /// The credentials could not be had.
    #[error("no credentials for {server}: {what}")]
    NoCredentials {
        /// Host and port.
        server: String,
        /// Why.
        what: String,
    },
    /// The connection ended.
    #[error("{server} closed the connection while {doing}: {what}")]
    Lost {
        /// Host and port.
        server: String,
        /// What was being done.
        doing: &'static str,
        /// EOF, reset, BYE with its text, ….
        what: String,
    },
    /// A named limit ran out; the connection was aborted.
    #[error("{server} gave no answer within {} s while {doing}{}", limit.as_secs(), alerts::told(told))]
    TimedOut {
        /// Host and port.
        server: String,
        /// What was being done.
        doing: &'static str,
        /// The limit.
        limit: Duration,
        /// What it wanted people to see before that ([`alerts`]).
        told: Vec<String>,
    },
    /// A tagged NO or BAD.
    #[error("{server} refused {doing}: {refusal}")]
    Refused {
        /// Host and port.
        server: String,
        /// What was asked for.
        doing: &'static str,
        /// The server's words.
        refusal: Refusal,
    },
    /// The server said what the protocol does not allow; the connection was aborted.
    #[error("{server} broke the protocol while {doing}: {what}")]
    Protocol {
        /// Host and port.
        server: String,
        /// What was being done.
        doing: &'static str,
        /// What it said.
        what: String,
    },
    /// The server cannot do, or must not be asked to do, what this migration needs.
    #[error("{server}: {what}")]
    Unsupported {
        /// Host and port.
        server: String,
        /// What is missing.
        what: String,
        /// What a person can do next.
        hint: String,
    },
    /// A local disk could not take a body.
    #[error("cannot write a message to the spool in {place}: {what}")]
    Spool {
        /// The folder.
        place: String,
        /// The system's words.
        what: String,
    },
    /// The caller asked to stop while it waited.
    #[error("stopped")]
    Stopped,
}

impl EndError {
    /// How far it reaches.
    pub fn reach(&self) -> Reach {
        use Persistence::{Permanent, Transient};
        let (scope, persistence) = match self {
            Self::Unreachable { .. } | Self::Lost { .. } | Self::TimedOut { .. } | Self::Protocol { .. } => {
                (Scope::Account, Transient(None))
            }
            Self::Untrusted { .. }
            | Self::LoginRefused { .. }
            | Self::NoCredentials { .. }
            | Self::Unsupported { .. } => (Scope::Account, Permanent),
            Self::Spool { .. } | Self::Stopped => (Scope::Run, Permanent),
            Self::Refused { refusal, .. } => refusal.reach(),
        };
        Reach { scope, persistence }
    }

    /// The server asked for patience, whatever was asked of it, also as the last words of a connection; and for how long.
    pub fn asks_for_patience(&self) -> Option<Pause> {
        match self {
            Self::Refused { refusal, .. } => quirks::patience(refusal.class),
            Self::Lost { what, .. } => quirks::patience(quirks::class_of_last_words(what)),
            _ => None,
        }
    }

    /// What a person can do next, where something is known.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Unreachable { hint, .. } | Self::Untrusted { hint, .. } | Self::Unsupported { hint, .. } => {
                Some(hint.clone())
            }
            Self::LoginRefused { server, mechanism, refusal, .. } => {
                Some(advice::after(server, *mechanism, refusal).to_string())
            }
            Self::Protocol { doing, .. } if *doing == LISTING => Some(
                "check that it is the right user, and that this login may see mailboxes; then ask the provider".into(),
            ),
            _ if self.asks_for_patience().is_some() => {
                Some("wait some minutes and try again; a run that has begun waits by itself".into())
            }
            Self::Lost { .. } | Self::TimedOut { .. } => Some("try again: what was moved stays moved".into()),
            _ => None,
        }
    }

    /// A refusal that time alone may cure: nothing is wrong with account, mailbox or message.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Refused { refusal, .. } if quirks::is_passing(refusal.class))
    }

    /// True when a server that was asked about an account or a mailbox wants to be asked later.
    pub fn is_to_be_asked_later(&self) -> bool {
        matches!(self, Self::Refused { refusal, .. } if refusal.asks_for_patience(Doing::Open))
    }

    /// True when the connection is gone and another one may serve.
    pub fn is_connection(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Lost { .. } | Self::TimedOut { .. } | Self::Protocol { .. }
        )
    }
}

impl Refusal {
    /// The server asks for patience by refusing this.
    pub fn asks_for_patience(&self, doing: Doing) -> bool {
        let first = Case { doing, tries: 0, alone: true };
        let waits = matches!(quirks::remedy(self.class, first), Remedy::Wait(_));
        waits && (quirks::patience(self.class).is_some() || self.class == RefusalClass::Quota)
    }

    fn reach(&self) -> (Scope, Persistence) {
        use Persistence::{Permanent, Transient};
        use RefusalClass as C;
        match self.class {
            C::Quota | C::Login => (Scope::Account, Permanent),
            C::Throttled(wait) => (Scope::Account, Transient(wait)),
            C::SpentToday | C::ThrottledOrFull => (Scope::Account, Transient(None)),
            C::Unavailable | C::InUse | C::ServerBug => (Scope::Mailbox, Transient(None)),
            C::NoMailbox | C::NoPermission | C::Exists => (Scope::Mailbox, Permanent),
            C::TooBig
            | C::Content
            | C::Forbidden
            | C::Damaged
            | C::Expunged
            | C::Keyword
            | C::Cannot
            | C::Date
            | C::Syntax
            | C::Unknown => (Scope::Message, Permanent),
        }
    }
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// At the old server.
    #[error("the old server: {0}")]
    Source(#[source] EndError),
    /// At the new server.
    #[error("the new server: {0}")]
    Target(#[source] EndError),
    /// In the journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something a person must decide first; nothing was sent.
    #[error("{0}")]
    Question(Question),
    /// The settings contradict each other or the plan.
    #[error("{what}")]
    Settings {
        /// What is wrong and what to do.
        what: String,
    },
    /// A certificate that cannot be used: missing, no certificate, or not what its manifest says.
    #[error("the certificate {path} cannot be used: {what}")]
    Certificate {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// A file of the report could not be written.
    #[error("cannot write {path}: {what}")]
    Report {
        /// The file.
        path: String,
        /// The system's words.
        what: String,
    },
    /// The new server refuses one message after the other, without a reason that is known: it is not the messages.
    #[error("the new server refused {refused} messages without a known reason, the last with: {refusal}")]
    RefusesAll {
        /// How many.
        refused: u64,
        /// The server's last words.
        refusal: Refusal,
    },
    /// The target is full; the same command continues when there is room.
    #[error("the new server has no room: {refusal}")]
    Full {
        /// The server's words.
        refusal: Refusal,
    },
    /// Stopped by the caller at a commit point.
    #[error("interrupted; the same command continues")]
    Interrupted,
}

/// Mailboxes named in a question; the plan has them all.
const NAMED_MAILBOXES: usize = 5;

/// A decision that only a person can take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Target mailboxes hold mail and this journal knows nothing of it.
    TargetHoldsMail {
        /// Target mailbox and its number of messages.
        mailboxes: Vec<(String, u64)>,
    },
    /// Things that will not move, or not as they are.
    WillNotMove {
        /// One line each: what and why.
        what: Vec<String>,
    },
    /// Something else would happen than a person was shown and agreed to.
    NotAsShown,
    /// An administrator logged in for a user whose name may be mistyped: the account is empty, and the server may have just
    /// made it.
    DoubtfulUser {
        /// The name.
        user: String,
        /// Which account: `old` or `new`.
        side: &'static str,
        /// Why it is doubted.
        why: &'static str,
    },
    /// More claimed messages are missing at the target than people usually delete.
    ManyMissing {
        /// The target mailbox.
        mailbox: String,
        /// Missing messages.
        missing: u64,
        /// Claimed messages.
        claimed: u64,
    },
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TargetHoldsMail { mailboxes } => {
                let messages: u64 = mailboxes.iter().map(|(_, n)| n).sum();
                let mut named: Vec<String> =
                    mailboxes.iter().take(NAMED_MAILBOXES).map(|(name, n)| format!("{name} {n}")).collect();
                named.extend((mailboxes.len() > NAMED_MAILBOXES).then(|| "and others".to_owned()));
                write!(
                    f,
                    "the new account already holds {messages} messages that this journal knows nothing of ({}). Use \
                     --adopt to recognise what was copied before and copy the rest, or --append-anyway to copy \
                     everything beside what is there",
                    named.join(", ")
                )
            }
            Self::WillNotMove { what } if what.len() == 1 => {
                f.write_str("1 thing will not move as it is (see the list); use --yes to accept")
            }
            Self::WillNotMove { what } => {
                write!(
                    f,
                    "{} things will not move as they are (see the list); use --yes to accept",
                    what.len()
                )
            }
            Self::NotAsShown => f.write_str("what is there is not what was shown and agreed to any more"),
            Self::DoubtfulUser { user, side, why } => write!(
                f,
                "is {user} the right name at the {side} server? {why}, and some servers make an empty account for any name \
                 that an administrator logs in for. Use --yes if it is right"
            ),
            Self::ManyMissing { mailbox, missing, claimed } => write!(
                f,
                "{missing} of {claimed} messages moved to {mailbox} are no longer there. If they were deleted on \
                 purpose, nothing needs to be done; otherwise ask the new provider before going on"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(class: RefusalClass) -> EndError {
        let refusal = Refusal { class, bad: false, code: None, text: "x".into() };
        EndError::Refused { server: "h:1".into(), doing: "APPEND", refusal }
    }

    #[test]
    fn a_full_target_reaches_the_account_and_a_bad_message_only_itself() {
        assert_eq!(refused(RefusalClass::Quota).reach().scope, Scope::Account);
        assert_eq!(refused(RefusalClass::Content).reach().scope, Scope::Message);
    }

    #[test]
    fn a_refused_login_is_permanent_and_a_lost_connection_is_not() {
        assert_eq!(refused(RefusalClass::Login).reach().persistence, Persistence::Permanent);
        let lost = EndError::Lost { server: "h:1".into(), doing: "FETCH", what: "EOF".into() };
        assert_eq!(lost.reach().persistence, Persistence::Transient(None));
    }
}
