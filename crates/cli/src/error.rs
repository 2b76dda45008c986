//! What a person is told when something fails, and the exit code.

use mailhaul_engine::error::{Error, Question};
use mailhaul_engine::journal::JournalError;
use mailhaul_engine::plain::Plain;
use mailhaul_engine::report::exit_code_of;

/// A failure, with what to do next.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub what: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The exit code (docs/cli.md).
    pub code: u8,
    /// What somebody who types no options is told of it, where that is known to the library.
    pub plain: Option<Box<Plain>>,
}

/// Wrong usage.
pub const USAGE: u8 = 2;

impl Failure {
    /// Wrong usage or configuration.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, code: USAGE, plain: None }
    }

    /// Something of this computer's that failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self { code: 1, ..Self::usage(what) }
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As JSON, for `--json`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "error": self.what, "hint": self.hint, "exit": self.code })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = exit_code_of(&error);
        let hint = match &error {
            Error::Source(end) | Error::Target(end) => end.next_step(),
            Error::Question(Question::WillNotMove { what }) => Some(what.join("\n")),
            Error::Journal(journal) => journal_hint(journal).map(str::to_owned),
            Error::Full { .. } => Some("make room, then run the same command again: it continues".into()),
            Error::RefusesAll { .. } => Some(
                "ask the new provider for the reason; run the same command with --retry to try them again"
                    .into(),
            ),
            _ => None,
        };
        Self { what: error.to_string(), hint, code, plain: Some(Box::new(error.plainly())) }
    }
}

/// What to do about a journal that cannot do what was asked; `None` where its own words say it.
fn journal_hint(error: &JournalError) -> Option<&'static str> {
    Some(match error {
        JournalError::NotFound { .. } => {
            "write both accounts exactly as then, or name the file: --journal FILE; on another computer: mailhaul verify \
             --certificate FILE"
        }
        JournalError::Damaged { .. } => {
            "nothing was sent; put the file back from a backup, or begin with a new one: --journal FILE --adopt, which \
             recognises what was copied"
        }
        JournalError::Held { .. } => "let it run, or stop it there; mailhaul status tells how far it is",
        JournalError::Fenced => "go on there; what was on its way is looked for by the next run",
        JournalError::DiskFull { .. } => {
            "make room there, then run the same command again: it continues, and looks for what was on its way"
        }
        JournalError::Store { .. } => {
            "check that this user may read and write there and that the disk has room, then run the same command again"
        }
        JournalError::OtherSettings { .. } => {
            "give the same options as then, or begin beside it: --journal FILE --adopt"
        }
        JournalError::Illegal { .. } | JournalError::Elsewhere { .. } | JournalError::ClaimTaken { .. } => {
            "this is a mistake of Mailhaul's, stopped before it did harm: keep the journal, and report it"
        }
        JournalError::Newer { .. } => return None,
    })
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Error::from(error).into()
    }
}
