//! What the page works with: the way in, the five steps, and the run if there is one. Everything that decides about mail is in
//! [`Steps`] and in the library.

use super::desk::{Desk, Seen};
use super::guard::Door;
use super::live::{Live, Standing};
use super::texts::{self, Problem};
use crate::command::{INTERRUPTED, Keep, Ready, exit_code, is_at_its_end};
use crate::error::{Failure, USAGE};
use crate::steps::{Step, Steps};
use mailhaul_engine::error::{Error, Question};
use mailhaul_engine::journal::RunId;
use mailhaul_engine::report::html::cards_beside_exceptions;
use mailhaul_engine::report::{Verdict, words as report_words};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One page with one migration.
pub struct App {
    /// The port it is at.
    pub port: u16,
    /// The five steps, and what was found out in them. Nobody has it while a server is waited for.
    pub desk: tokio::sync::Mutex<Desk>,
    /// Cancelled when the program is to end: live views end with it.
    pub enough: CancellationToken,
    /// The run, and whoever was sent to a server, as long as they are at work. Closed when the program is to end.
    pub at_work: TaskTracker,
    door: Mutex<Door>,
    course: Mutex<Course>,
}

/// What became of the mail so far.
#[derive(Clone)]
pub enum Course {
    /// Nothing was begun.
    Before,
    /// It moves.
    Under(Arc<Under>),
    /// A run ended.
    Over(Arc<Over>),
}

/// A run.
pub struct Under {
    /// Where it stands.
    pub live: Live,
    cancel: CancellationToken,
}

/// A run that ended.
pub struct Over {
    /// How.
    pub how: How,
    /// The exit code it would have (docs/cli.md).
    pub code: u8,
    /// The folder of the report, where one was written.
    pub report: Option<PathBuf>,
    /// Where the run stood at its end.
    pub last: Standing,
}

/// How a run ended.
pub enum How {
    /// It came to its end: the verdict, in a sentence, and what stands below it.
    Done {
        /// The word.
        verdict: Verdict,
        /// The sentence.
        headline: String,
        /// What stands below it.
        below: String,
        /// What a person has to decide about.
        asks: Vec<String>,
        /// What needs a person beside single messages: cards of the report.
        cards: String,
    },
    /// Somebody asked for it: it goes on later, today or another day.
    Paused,
    /// Something else.
    Failed(Problem),
}

impl App {
    /// Nobody is let in yet.
    pub fn new(port: u16, steps: Steps) -> Self {
        Self {
            port,
            desk: tokio::sync::Mutex::new(Desk::new(steps)),
            enough: CancellationToken::new(),
            at_work: TaskTracker::new(),
            door: Mutex::new(Door::new(port)),
            course: Mutex::new(Course::Before),
        }
    }

    /// The way in.
    pub fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of the mail so far.
    pub fn course(&self) -> Course {
        self.course.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True as long as this run is under way.
    pub fn is_under(&self, run: &Arc<Under>) -> bool {
        matches!(self.course(), Course::Under(under) if Arc::ptr_eq(&under, run))
    }

    fn set_course(&self, course: Course) {
        *self.course.lock().unwrap_or_else(PoisonError::into_inner) = course;
    }

    /// What a run came to is of no account any more: it was between other mailboxes.
    pub fn leave_outcome(&self) {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*course, Course::Over(_)) {
            *course = Course::Before;
        }
    }

    /// Stops the run, if there is one, at a commit point.
    pub fn pause(&self) {
        if let Course::Under(under) = self.course() {
            under.pause();
        }
    }

    /// Ends all work, and waits until it has ended: the run at a commit point, whoever was sent to a server at once.
    pub async fn end(&self) {
        // Whoever begins anything has the desk from the look at this on until it can be stopped.
        self.at_work.close();
        self.desk.lock().await.give_up();
        self.pause();
        self.at_work.wait().await;
        self.enough.cancel();
    }

    /// Begins the run, or goes on with it; `more`: options of `migrate` for this run. One that is under way goes on as it is. Nobody
    /// waits for a server here: whoever asked may leave the page, and can stop the run from its first moment.
    ///
    /// # Errors
    /// What has to be done first.
    pub async fn begin(self: &Arc<Self>, more: &[&str]) -> Result<(), Problem> {
        let mut desk = self.desk.lock().await;
        // The program ends: nothing is begun any more. Or a server is waited for, and the page says so.
        if matches!(self.course(), Course::Under(_)) || self.at_work.is_closed() || desk.errand.is_some() {
            return Ok(());
        }
        if desk.steps.step() != Step::Move {
            return Err(Problem::not_yet(desk.steps.step()));
        }
        let ready = desk.steps.ready_with(Keep::Journal, more).await?;
        let events = ready.migration.bus.listen();
        let under = Arc::new(Under {
            live: Live::new(ready.migration.journal.path().to_owned()),
            cancel: ready.migration.cancel.clone(),
        });
        under.live.count().await;
        desk.steps.run_begins()?;
        self.set_course(Course::Under(under.clone()));
        drop(desk);
        let app = self.clone();
        self.at_work.spawn(async move {
            let (ended, ()) = tokio::join!(run(ready), under.live.follow(events));
            under.live.count().await;
            let Ended { how, code, at_its_end, report } = ended;
            match &how {
                How::Failed(problem @ Problem { is_question: true, .. }) => app.ask_again(problem).await,
                How::Failed(_) => {}
                // Not written down, it is kept once more by the next run, and the move is listed as one that was begun.
                How::Done { .. } => {
                    let folder = report.as_deref().unwrap_or(Path::new(""));
                    drop(app.desk.lock().await.steps.run_ended(at_its_end, folder));
                }
                How::Paused => drop(app.desk.lock().await.steps.consent_is_kept()),
            }
            let over = Over { how, code, report, last: under.live.standing() };
            app.set_course(Course::Over(Arc::new(over)));
            under.live.ring();
        });
        Ok(())
    }

    /// What was chosen no longer fits what is there.
    async fn ask_again(&self, problem: &Problem) {
        let mut desk = self.desk.lock().await;
        desk.seen = Seen::NotYet;
        desk.problem = Some((Step::Choose, problem.clone()));
        // Not written down, it is asked anew by the next run all the same.
        let _ = desk.steps.choose_again();
    }

    /// Turns to other accounts, or to a move that was begun. A run that is under way stays where it is.
    pub async fn turn_to(&self, begun: Option<&str>) -> Result<(), Failure> {
        let mut desk = self.desk.lock().await;
        if matches!(self.course(), Course::Under(_)) {
            return Ok(());
        }
        desk.turn_to(begun)?;
        self.set_course(Course::Before);
        Ok(())
    }
}

impl Under {
    /// Stops it at a commit point.
    pub fn pause(&self) {
        self.cancel.cancel();
    }

    /// True where it was told to stop.
    pub fn is_pausing(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

/// How a run ended, for [`Over`].
struct Ended {
    how: How,
    code: u8,
    /// The run, if nothing is left to be moved.
    at_its_end: Option<RunId>,
    report: Option<PathBuf>,
}

/// Moves what was chosen, if that is still what would move, and writes the report; also of what an interrupted run leaves.
async fn run(ready: Ready) -> Ended {
    let left = |how, code, report| Ended { how, code, at_its_end: None, report };
    let failed = |failure: Failure| {
        let code = failure.code;
        left(How::Failed(failure.into()), code, None)
    };
    let asks = |problem| left(How::Failed(problem), USAGE, None);
    let stopped = |report| left(How::Paused, INTERRUPTED, report);
    let folder = ready.report_folder();
    // The terminal may be in another folder than the person thinks.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let (end, written) = match ready.migration.migrate().await {
        Ok(end) => {
            let written = ready.written(Some(&end)).await;
            (Some(end), written)
        }
        Err(Error::Interrupted) => (None, ready.written(None).await),
        Err(error) => {
            // The journal is given back also when the run failed.
            let _ = ready.give_back().await;
            return match &error {
                Error::Question(Question::NotAsShown) => asks(Problem::changed()),
                Error::Question(question) => {
                    let problem = Problem::new(question.plainly(), texts::LOOK_BELOW);
                    asks(Problem { is_question: true, ..problem })
                }
                _ => failed(error.into()),
            };
        }
    };
    let report = match written {
        Ok(written) => written.report,
        Err(failure) => return failed(failure),
    };
    let (run, how, code) = match end {
        None => return stopped(Some(folder)),
        Some(end) => {
            let (headline, below) = (report_words::headline(&report), report_words::subline(&report));
            let asks = end.questions.iter().map(Question::plainly).collect();
            let cards = cards_beside_exceptions(&report);
            let how = How::Done { verdict: report.verdict(), headline, below, asks, cards };
            (end.run, how, exit_code(&report, &end))
        }
    };
    let at_its_end = is_at_its_end(code, report.outcome.hides_mail).then_some(run);
    Ended { how, code, at_its_end, report: Some(folder) }
}
