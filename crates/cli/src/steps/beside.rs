//! A run of the command line on the journal of a move that was begun in the five steps: what it comes to is noted there, so that the
//! move is listed as what it is.

use super::answers::Answers;
use super::kept::Kept;
use crate::args::CommonArgs;
use crate::error::Failure;
use mailhaul_engine::journal::MailboxRecord;
use std::path::Path;

/// Such a move. As long as this lives no window works on it.
#[derive(Debug)]
pub struct Beside {
    kept: Kept,
    answers: Answers,
}

impl Beside {
    /// The move with this journal. `None` where none was begun in the steps, where its answers cannot be read, and where a window has
    /// them: what is in its memory would be written over what is noted here.
    pub fn of(journal: &Path) -> Option<Self> {
        let kept = Kept::of_journal(journal)?;
        let answers = kept.read().ok()?;
        Some(Self { kept, answers })
    }

    /// A run begins: the move is not at its end.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn run_begins(&mut self) -> Result<(), Failure> {
        if self.answers.report.take().is_some() { self.kept.write(&self.answers) } else { Ok(()) }
    }

    /// A run with these options left nothing to be moved of what its journal has: all that was chosen in the steps is among that, or the
    /// move stays one that was begun. `report`: the folder of its report.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn run_ended(
        mut self,
        args: &CommonArgs,
        mailboxes: &[MailboxRecord],
        report: &Path,
    ) -> Result<(), Failure> {
        if !is_all(&self.answers, args, mailboxes) {
            return Ok(());
        }
        self.answers.came_to_its_end(report);
        self.kept.write(&self.answers)
    }
}

/// True where a run with these options moves all that was chosen; or all, as long as nothing was chosen.
fn is_all(answers: &Answers, args: &CommonArgs, mailboxes: &[MailboxRecord]) -> bool {
    let leaves_folders_out = !args.mailbox.is_empty() || !args.exclude.is_empty();
    let moves_folders = match answers.choice.made {
        true => answers.choice.is_among(mailboxes),
        false => !leaves_folders_out,
    };
    moves_folders && args.since.is_none()
}
