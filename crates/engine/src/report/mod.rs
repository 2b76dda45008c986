//! The report: a function of the journal, and of a few facts of the run. Nothing is read from a server here.
//!
//! [`collect`] walks the journal once, page by page, and streams the manifest; everything else is a rendering of the
//! [`Report`] it gives: `report.html`, `report.json`, `certificate.json` and the summary for a terminal.

mod collect;
mod differences;
mod exceptions;
mod files;
pub mod html;
pub(crate) mod json;
mod labelled;
mod mailbox;
mod manifest;
mod summary;
mod totals;
pub(crate) mod uids;
mod verdict;
pub mod words;
mod write;

#[cfg(test)]
mod example;
#[cfg(test)]
pub(crate) mod tests;

use crate::certificate::Signer;
use crate::config::Level;
use crate::error::Error;
use crate::journal::{AccountPair, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

pub use collect::collect;
pub use differences::{Differences, Differs, judge};
pub use exceptions::{EXCEPTIONS_FOLDER, exception_path, save_exception};
pub(crate) use files::sha256 as sha256_of;
pub use labelled::LabelledMail;
pub use mailbox::{MailboxEntry, SideEntry, SideListing};
pub use manifest::{MANIFEST, ManifestFacts};
pub use summary::REPAIR_OPTION;
pub use totals::{ABSENT, Bucket, DAMAGED, KINDS, MailboxTotals, REFUSED, Tally, Totals, UNNAMED};
pub use verdict::{Outcome, Verdict, exit_code_of};
pub use write::{CERTIFICATE, REPORT_HTML, REPORT_JSON, Written, write};

/// Kind of the note that says whether the old server hides mail from IMAP that was to move ([`HIDDEN`], or not). The last counts.
pub const HIDDEN_MAIL: &str = "hidden_mail";
/// The text of such a note.
pub const HIDDEN: &str = "yes";
/// The text of such a note, where the newest messages of large mailboxes are all that the old server shows.
pub const CUT: &str = "cut";
/// Kind of the note that says: differences of flags were announced (will-not-move) and accepted. Without a mailbox
/// it holds for all.
pub const FLAGS_ANNOUNCED: &str = "announced:flags";
/// Kind of the note that says: differences of dates were announced (will-not-move) and accepted. Without a mailbox
/// it holds for all.
pub const DATES_ANNOUNCED: &str = "announced:dates";
/// Kind of the note that says why a mailbox could not be finished in a run.
pub const LEFT: &str = "left";
/// Note kind: who made a run wait, and for how long.
pub const WAITED: &str = "waited";
/// Note kind, before the direction: octets of bodies that passed in a run. For the next run of the same day, not for people.
pub const SPENT: &str = "spent:";

/// One end, for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndFacts {
    /// Host and port.
    pub server: String,
    /// What the server calls itself.
    pub product: String,
    /// Protocol and cipher; `None` for clear text, or where it is not known.
    pub tls: Option<String>,
    /// Options without which it is not reached again ([`crate::config::Settings::options`]).
    pub options: Vec<String>,
}

/// What is said of a run beside the rows of the journal. Of a run that is over, [`crate::run::kept`] has it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The version of this Mailhaul.
    pub version: String,
    /// A stable name of this migration.
    pub migration: String,
    /// The old server.
    pub source: EndFacts,
    /// The new server.
    pub target: EndFacts,
    /// The level asked for; `None` where it is not known. Then the danger options of the run are not known, either.
    pub level: Option<Level>,
    /// Options with `danger` in their names that were used, as written.
    pub danger: Vec<String>,
    /// The run to report on; `None` for the latest that copied or verified.
    pub run: Option<RunId>,
    /// The settle time at the end of the run (law 4).
    pub settle: Option<Duration>,
    /// How long the stages took.
    pub timings: Vec<(String, Duration)>,
    /// Who signs the certificate; `None` leaves it unsigned.
    pub signer: Option<Signer>,
}

/// What changes from run to run although nothing new is to be said. Times are RFC 3339, UTC, to the second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The run.
    pub run: i64,
    /// `migrate` or `verify`.
    pub verb: String,
    /// When it began.
    pub started: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
    /// The earliest start of a run that listed a source mailbox as reported here.
    pub listed_from: Option<String>,
    /// The latest end of such a run.
    pub listed_until: Option<String>,
    /// The settle time, in milliseconds.
    pub settle_ms: Option<u64>,
    /// Stages, in milliseconds.
    pub timings: BTreeMap<String, u64>,
}

/// Some of many, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt<T> {
    /// The first ones.
    pub shown: Vec<T>,
    /// All of them.
    pub total: u64,
}

impl<T> Default for Excerpt<T> {
    fn default() -> Self {
        Self { shown: Vec::new(), total: 0 }
    }
}

impl<T> Excerpt<T> {
    /// Counts one more, and keeps it while there is room for it.
    fn push(&mut self, max: usize, entry: impl FnOnce() -> T) {
        self.total += 1;
        if self.shown.len() < max {
            self.shown.push(entry());
        }
    }

    /// How many are not shown.
    pub fn more(&self) -> u64 {
        self.total - self.shown.len() as u64
    }
}

/// A message that a person must look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExceptionEntry {
    /// The source mailbox.
    pub mailbox: String,
    /// Its UIDVALIDITY.
    pub uidvalidity: Option<u32>,
    /// Its UID at the source.
    pub uid: i64,
    /// INTERNALDATE at the source.
    pub internaldate: Option<String>,
    /// Octets.
    pub size: u64,
    /// [`crate::journal::Reason::kind`].
    pub kind: String,
    /// The server's words, or ours.
    pub text: String,
    /// Where the original is saved, relative to the folder of the report; `None` if it is not.
    pub file: Option<String>,
}

/// A message whose flags or date differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DifferenceEntry {
    /// The source mailbox.
    pub mailbox: String,
    /// Its UID at the source.
    pub uid: i64,
    /// What differs, in words.
    pub what: Vec<String>,
}

/// A remark of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoteEntry {
    /// Its kind.
    pub kind: String,
    /// The source mailbox it is about.
    pub mailbox: Option<String>,
    /// The UID it is about.
    pub uid: Option<i64>,
    /// In words.
    pub text: String,
}

/// How often each step of the ladder was taken (integrity.md 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LadderCounts {
    /// T1: lone LF became CRLF.
    pub line_ends: u64,
    /// T2: sent without keywords.
    pub no_keywords: u64,
    /// T3: sent without a date.
    pub no_date: u64,
    /// T4: octets outside ASCII in header fields were encoded.
    pub encoded: u64,
    /// T8.
    pub wrapped: u64,
}

/// Everything there is to say, in the order in which it is said.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was passed in.
    pub facts: Facts,
    /// Danger options of this run and of all before it, as far as the journal keeps them.
    pub danger: Vec<String>,
    /// Runs of which it does not.
    pub danger_unknown_runs: u64,
    /// The accounts.
    pub pair: AccountPair,
    /// What changes from run to run.
    pub times: Times,
    /// All mailboxes of the source.
    pub mailboxes: Vec<MailboxEntry>,
    /// The accounting.
    pub totals: Totals,
    /// The same by message, where the old account has labels.
    pub labelled: Option<LabelledMail>,
    /// What decides about verdict and exit code.
    pub outcome: Outcome,
    /// What a person must look at.
    pub exceptions: Excerpt<ExceptionEntry>,
    /// Flags and dates.
    pub differences: Differences,
    /// Examples of them.
    pub difference_examples: Excerpt<DifferenceEntry>,
    /// What cannot be told apart from outside.
    pub doubts: Excerpt<NoteEntry>,
    /// Other remarks.
    pub remarks: Excerpt<NoteEntry>,
    /// Steps of the ladder.
    pub ladder: LadderCounts,
    /// What was written message by message.
    pub manifest: ManifestFacts,
}

impl Report {
    /// The word.
    pub fn verdict(&self) -> Verdict {
        self.outcome.verdict()
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        self.outcome.exit_code()
    }

    /// What `report.json` is: UTF-8, ending in a newline.
    ///
    /// # Errors
    /// [`Error::Report`].
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        json::json(self)
    }

    /// `None` where those of this run are not known, and no others are.
    pub(crate) fn danger_options(&self) -> Option<&[String]> {
        (self.facts.level.is_some() || !self.danger.is_empty()).then_some(&self.danger)
    }
}
