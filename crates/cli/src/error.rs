//! What a person is told when something fails, and the exit code.

use mailhaul_engine::error::{Error, Question};
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
}

/// Wrong usage.
pub const USAGE: u8 = 2;

impl Failure {
    /// Wrong usage or configuration.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, code: USAGE }
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
            Error::Full { .. } => Some("make room, then run the same command again: it continues".into()),
            Error::RefusesAll { .. } => Some(
                "ask the new provider for the reason; run the same command with --retry to try them again"
                    .into(),
            ),
            _ => None,
        };
        Self { what: error.to_string(), hint, code }
    }
}

impl From<mailhaul_engine::journal::JournalError> for Failure {
    fn from(error: mailhaul_engine::journal::JournalError) -> Self {
        Error::from(error).into()
    }
}
