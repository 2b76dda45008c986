//! A run of the command line on the journal of a move that was begun in the five steps: what it comes to is noted there, so that the
//! move is listed as what it is.

use super::answers::Answers;
use super::kept::Kept;
use crate::args::{CommonArgs, LabelsArg};
use crate::error::Failure;
use mailhaul_engine::journal::{MailboxRecord, RunId};
use std::path::Path;

/// Such a move. As long as this lives no window works on it.
#[derive(Debug)]
pub struct Beside {
    kept: Kept,
    answers: Answers,
}

impl Beside {
    /// The move with this journal. `None` where none was begun in the steps, where its answers cannot be read, and where a window has
    /// them: what is in its memory would be written over what is noted here. The list of moves sees by the journal that a run came
    /// later than what is noted ([`kept::all`](super::kept::all)).
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

    /// This run, with these options, left nothing to be moved of what its journal has: all that was chosen in the steps is among that,
    /// or the move stays one that was begun. `report`: the folder of its report.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn run_ended(
        mut self,
        run: RunId,
        args: &CommonArgs,
        mailboxes: &[MailboxRecord],
        report: &Path,
    ) -> Result<(), Failure> {
        if !is_all(&self.answers, args, mailboxes) {
            return Ok(());
        }
        self.answers.came_to_its_end(run, report);
        self.kept.write(&self.answers)
    }
}

/// True where a run with these options moves all that was chosen; or all, as long as nothing was chosen.
fn is_all(answers: &Answers, args: &CommonArgs, mailboxes: &[MailboxRecord]) -> bool {
    // Mailboxes that were named are a part, whatever the journal knows of others.
    let moves_folders = args.mailbox.is_empty()
        && match answers.choice.made {
            true => answers.choice.is_among(mailboxes),
            false => args.exclude.is_empty(),
        };
    moves_folders && args.since.is_none() && args.labels == LabelsArg::Copies
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailhaul_engine::journal::{Decision, MailboxId, Name};

    fn moves(from: &str, to: &str) -> MailboxRecord {
        let name = |text: &str| Name { wire: text.to_owned().into(), text: text.to_owned(), delimiter: None };
        MailboxRecord {
            id: MailboxId(1),
            source: name(from),
            role: None,
            subscribed: false,
            messages: None,
            octets: None,
            decision: Decision::Move(name(to)),
        }
    }

    /// Answers with this choice.
    fn chosen(choice: serde_json::Value) -> Answers {
        let (from, to) = (
            serde_json::json!({ "written": "ann@old.example" }),
            serde_json::json!({ "written": "bob@new.example" }),
        );
        serde_json::from_value(serde_json::json!({ "from": from, "to": to, "choice": choice })).unwrap()
    }

    #[test]
    fn a_run_is_the_whole_move_where_all_that_was_chosen_moves_by_it() {
        let made =
            |shown: &[(&str, &str)]| chosen(serde_json::json!({ "made": true, "shown": { "moves": shown } }));
        let (one, two) = (made(&[("A", "A")]), made(&[("A", "A"), ("B", "Old/B")]));
        let nothing_chosen = chosen(serde_json::json!({}));
        let journal = [moves("A", "A"), moves("B", "B")];
        let none: &[&str] = &[];
        for (answers, options, whole) in [
            (&one, none, true),
            (&two, none, false),
            (&one, &["--exclude=C"], true),
            (&one, &["--mailbox=A"], false),
            (&one, &["--since=2020-02-01"], false),
            (&one, &["--labels=first"], false),
            (&made(&[]), none, false),
            (&nothing_chosen, none, true),
            (&nothing_chosen, &["--exclude=B"], false),
            (&nothing_chosen, &["--mailbox=A"], false),
            (&nothing_chosen, &["--labels=first"], false),
        ] {
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            let args = answers.args(&options).unwrap();
            assert_eq!(is_all(answers, &args, &journal), whole, "{options:?} of {:?}", answers.choice);
        }
    }
}
