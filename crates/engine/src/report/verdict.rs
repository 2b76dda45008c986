//! Pure: what a run amounts to, as a word and as an exit code (cli.md). One table for migrate and verify.

use crate::config::Level;
use crate::error::{EndError, Error, Question, RefusalClass};
use crate::journal::{JournalError, Side};
use crate::quirks;

/// What a run amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything moved and was verified to the asked level.
    Complete,
    /// Finished; a person must look at what is listed.
    CompleteWithExceptions,
    /// Something is not done or not known yet.
    Incomplete,
    /// The journal contradicts itself: nothing can be said.
    Failed,
}

impl Verdict {
    /// The word in report and certificate.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::CompleteWithExceptions => "complete-with-exceptions",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// The numbers that decide about verdict and exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The level asked for.
    pub level: Level,
    /// Mailboxes that move; with none, nothing was looked at.
    pub mailboxes: u64,
    /// Messages that two counts disagree about.
    pub remainder: u64,
    /// Target messages that two source messages claim: what the journal forbids.
    pub double_claims: u64,
    /// Messages not done yet.
    pub pending: u64,
    /// Messages at the target that were not read back.
    pub stored: u64,
    /// Mailboxes that could not be listed or finished in this run.
    pub unlisted_mailboxes: u64,
    /// Mailboxes whose target holds messages of ours and was not listed in this run.
    pub unlisted_targets: u64,
    /// Exceptions of any kind.
    pub exceptions: u64,
    /// Exceptions whose octets at the target differ or are absent.
    pub damaged_or_absent: u64,
    /// Messages that should be at the target and were not in its last complete listing. The verifier leaves them
    /// so when too many are missing at once (the mass guard).
    pub missing_at_target: u64,
    /// Mailboxes with mail that cannot be carried.
    pub refused_mailboxes: u64,
    /// Differences of flags or dates that nobody was told of before.
    pub unannounced_differences: u64,
    /// Messages that the target wrote otherwise; they say the same.
    pub semantic: u64,
    /// Messages under labels that each mailbox leaves to another, and none brings.
    pub unbrought: u64,
    /// The old server keeps mail from IMAP that this migration was to move.
    pub hides_mail: bool,
    /// What it keeps is what is older in mailboxes that are larger than it shows.
    pub cuts_mailboxes: bool,
}

impl Outcome {
    /// No mail, no trouble, at this level: what the tests start from.
    pub fn clean(level: Level) -> Self {
        Self {
            level,
            mailboxes: 1,
            remainder: 0,
            double_claims: 0,
            pending: 0,
            stored: 0,
            unlisted_mailboxes: 0,
            unlisted_targets: 0,
            exceptions: 0,
            damaged_or_absent: 0,
            missing_at_target: 0,
            refused_mailboxes: 0,
            unannounced_differences: 0,
            semantic: 0,
            unbrought: 0,
            hides_mail: false,
            cuts_mailboxes: false,
        }
    }

    fn failed(&self) -> bool {
        self.remainder > 0 || self.double_claims > 0
    }

    fn incomplete(&self) -> bool {
        // Below level octets the listing of the target is all the proof there is for what was not read.
        let unproven = match self.level {
            Level::Octets => self.stored,
            Level::Counts | Level::Facts => self.unlisted_targets,
        };
        let open = [self.pending, self.unlisted_mailboxes, unproven, self.missing_at_target, self.unbrought];
        self.mailboxes == 0 || open.iter().any(|n| *n > 0)
    }

    /// A person must look before the old account is closed, though everything is accounted for.
    pub fn needs_a_person(&self) -> bool {
        [self.exceptions, self.refused_mailboxes, self.unannounced_differences, self.semantic]
            .iter()
            .any(|n| *n > 0)
            || self.hides_mail
    }

    /// The word.
    pub fn verdict(&self) -> Verdict {
        if self.failed() {
            Verdict::Failed
        } else if self.incomplete() {
            Verdict::Incomplete
        } else if self.needs_a_person() {
            Verdict::CompleteWithExceptions
        } else {
            Verdict::Complete
        }
    }

    /// The exit code, in the order of cli.md.
    pub fn exit_code(&self) -> u8 {
        if self.failed() {
            1
        } else if self.damaged_or_absent > 0 || self.missing_at_target > 0 {
            4
        } else if self.incomplete() {
            5
        } else if self.needs_a_person() {
            3
        } else {
            0
        }
    }
}

/// The exit code of a run that did not come to its end.
pub fn exit_code_of(error: &Error) -> u8 {
    match error {
        Error::Interrupted => 130,
        Error::Source(error) => exit_code_at(Side::Source, error),
        Error::Target(error) => exit_code_at(Side::Target, error),
        Error::Full { .. } => 14,
        Error::RefusesAll { .. } => 1,
        Error::Journal(error) => match error {
            JournalError::NotFound { .. } | JournalError::Damaged { .. } | JournalError::Newer { .. } => 10,
            JournalError::Held { .. } | JournalError::Fenced => 11,
            JournalError::OtherSettings { .. } => 2,
            JournalError::DiskFull { .. }
            | JournalError::Store { .. }
            | JournalError::Illegal { .. }
            | JournalError::Elsewhere { .. }
            | JournalError::ClaimTaken { .. } => 1,
        },
        Error::Question(Question::ManyMissing { .. }) => 4,
        Error::Question(
            Question::TargetHoldsMail { .. }
            | Question::WillNotMove { .. }
            | Question::NotAsShown
            | Question::DoubtfulUser { .. },
        )
        | Error::Settings { .. } => 2,
        Error::Certificate { .. } => 10,
        Error::Report { .. } => 1,
    }
}

fn exit_code_at(side: Side, error: &EndError) -> u8 {
    match error {
        EndError::LoginRefused { .. } => 12,
        // No login was tried: what was given does not yield a password.
        EndError::NoCredentials { .. } => 2,
        EndError::Unreachable { .. }
        | EndError::Untrusted { .. }
        | EndError::Lost { .. }
        | EndError::TimedOut { .. }
        | EndError::Protocol { .. } => 13,
        EndError::Unsupported { .. } | EndError::Spool { .. } => 1,
        EndError::Stopped => 130,
        EndError::Refused { refusal, .. } => match refusal.class {
            RefusalClass::Login => 12,
            RefusalClass::Quota if side == Side::Target => 14,
            class if quirks::is_passing(class) => 13,
            _ => 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    fn with(level: Level, change: impl Fn(&mut Outcome)) -> (Verdict, u8) {
        let mut outcome = Outcome::clean(level);
        change(&mut outcome);
        (outcome.verdict(), outcome.exit_code())
    }

    #[test]
    fn each_number_alone_decides_as_the_table_says() {
        use Verdict::*;
        let octets = |change: fn(&mut Outcome)| with(Level::Octets, change);
        assert_eq!(octets(|_| ()), (Complete, 0));
        assert_eq!(octets(|o| o.remainder = 1), (Failed, 1));
        assert_eq!(octets(|o| o.double_claims = 1), (Failed, 1));
        assert_eq!(octets(|o| (o.exceptions, o.damaged_or_absent) = (1, 1)), (CompleteWithExceptions, 4));
        assert_eq!(octets(|o| o.missing_at_target = 1), (Incomplete, 4));
        assert_eq!(octets(|o| o.pending = 1), (Incomplete, 5));
        assert_eq!(octets(|o| o.stored = 1), (Incomplete, 5));
        assert_eq!(octets(|o| o.unlisted_mailboxes = 1), (Incomplete, 5));
        assert_eq!(octets(|o| o.mailboxes = 0), (Incomplete, 5), "nothing was looked at");
        assert_eq!(octets(|o| o.unlisted_targets = 1), (Complete, 0), "each message was read");
        assert_eq!(octets(|o| o.exceptions = 1), (CompleteWithExceptions, 3));
        assert_eq!(octets(|o| o.refused_mailboxes = 1), (CompleteWithExceptions, 3));
        assert_eq!(octets(|o| o.unannounced_differences = 1), (CompleteWithExceptions, 3));
    }

    #[test]
    fn below_level_octets_stored_is_enough_and_a_listing_of_the_target_is_needed() {
        for level in [Level::Counts, Level::Facts] {
            assert_eq!(with(level, |o| o.stored = 7), (Verdict::Complete, 0));
            assert_eq!(with(level, |o| o.unlisted_targets = 1), (Verdict::Incomplete, 5));
        }
    }

    #[test]
    fn where_several_apply_the_order_is_1_4_5_3() {
        let mut all = Outcome {
            remainder: 1,
            damaged_or_absent: 1,
            pending: 1,
            exceptions: 2,
            ..Outcome::clean(Level::Octets)
        };
        assert_eq!(all.exit_code(), 1);
        all.remainder = 0;
        assert_eq!((all.exit_code(), all.verdict()), (4, Verdict::Incomplete));
        all.damaged_or_absent = 0;
        assert_eq!(all.exit_code(), 5);
        all.pending = 0;
        assert_eq!(all.exit_code(), 3);
    }

    #[test]
    fn errors_have_the_codes_of_the_contract() {
        let text = || "x".to_owned();
        let refusal = |class| Refusal { class, bad: false, code: None, text: text() };
        let refused = |class| EndError::Refused { server: text(), doing: "x", refusal: refusal(class) };
        let login = EndError::LoginRefused {
            server: text(),
            user: text(),
            mechanism: None,
            refusal: Box::new(refusal(RefusalClass::Login)),
            told: Vec::new(),
        };
        let unreachable = EndError::Unreachable { server: text(), what: text(), hint: text() };
        let untrusted = EndError::Untrusted { server: text(), what: text(), hint: text(), shown: None };
        let place = text;
        let table = [
            (Error::Interrupted, 130),
            (Error::Source(login), 12),
            (Error::Target(refused(RefusalClass::Login)), 12),
            (Error::Source(unreachable), 13),
            (Error::Target(untrusted), 13),
            (Error::Target(refused(RefusalClass::Quota)), 14),
            (Error::Source(refused(RefusalClass::Quota)), 1),
            (Error::Full { refusal: refusal(RefusalClass::Quota) }, 14),
            (Error::Journal(JournalError::Held { holder: text() }), 11),
            (Error::Journal(JournalError::Fenced), 11),
            (Error::Journal(JournalError::NotFound { place: place() }), 10),
            (Error::Journal(JournalError::Damaged { place: place(), what: text() }), 10),
            (Error::Journal(JournalError::Newer { place: place(), found: 2, known: 1 }), 10),
            (Error::Journal(JournalError::OtherSettings { what: text() }), 2),
            (Error::Journal(JournalError::DiskFull { place: place() }), 1),
            (Error::Settings { what: text() }, 2),
            (Error::Question(Question::WillNotMove { what: vec![] }), 2),
            (Error::Question(Question::NotAsShown), 2),
            (Error::Question(Question::TargetHoldsMail { mailboxes: vec![] }), 2),
            (Error::Question(Question::DoubtfulUser { user: text(), side: "old", why: "x" }), 2),
            (Error::Question(Question::ManyMissing { mailbox: text(), missing: 30, claimed: 31 }), 4),
            (Error::Certificate { path: text(), what: text() }, 10),
            (Error::Report { path: text(), what: text() }, 1),
        ];
        for (error, code) in table {
            assert_eq!(exit_code_of(&error), code, "{error}");
        }
    }
}
