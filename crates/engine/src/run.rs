//! One migration, end to end: survey, plan, transfer, verify, report. Every stage starts by reading the journal,
//! so that going on after an interruption is not a feature with its own code.

mod ahead;
mod check;
mod crew;
mod days;
pub(crate) mod facts;
mod labelled;
mod probe;

use crate::clock::Clock;
use crate::config::{Level, Settings};
use crate::consent::{self, Repairs};
use crate::context::{Context, Goodbyes};
use crate::end::{Abilities, Source, SourceSession, Target, TargetSession};
use crate::error::{EndError, Error, Question};
use crate::journal::{Journal, MailboxId, MailboxRecord, Name, Note, RunId};
use crate::labels::Labelled;
use crate::pacer::Pace;
use crate::plan::{self, Plan};
use crate::probe::Probe;
use crate::progress::{Bus, Progress, Stage};
use crate::recount::{SOURCE_NOT_REACHED, recount};
use crate::report::{CUT, HIDDEN, HIDDEN_MAIL, LEFT};
use crate::seats::Seats;
use crate::survey::{Passing, Survey};
use crate::transfer::commit_time;
use crate::transfer::epochs::refresh_target;
use crate::transfer::guard::Unexplained;
use crate::transfer::job::{Job, Losses, Sessions, jobs};
use crate::transfer::munges;
use crate::transfer::replace;
use crate::transfer::spool::Intake;
use crate::transfer::unchanged::{self, MIGRATE, Told};
use crate::undo::{self, Undone};
use crate::verify::{News, Scope};
use crate::waits::Waits;
use ahead::Ahead;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use tokio_util::sync::CancellationToken;

pub use facts::{RunFacts, kept};
pub use probe::Probed;

/// Notes of what is hidden, at most: one each time somebody switches it in Gmail.
const HIDDEN_NOTES_MAX: usize = 1000;

/// One account pair and its journal.
#[derive(Clone, Debug)]
pub struct Migration<S, T, J> {
    /// Where mail comes from.
    pub source: S,
    /// Where it goes.
    pub target: T,
    /// The only memory.
    pub journal: J,
    /// Policy.
    pub settings: Settings,
    /// Where originals of exceptions are saved; none are without it.
    pub exceptions: Option<PathBuf>,
    /// Listeners.
    pub bus: Bus,
    /// Cancelled by the caller: the run stops at a commit point.
    pub cancel: CancellationToken,
    /// Time.
    pub clock: Clock,
    /// For tests.
    pub probe: Probe,
    /// Of connections of the last run, which itself does not wait for them: [`Goodbyes::answered`] does.
    pub goodbyes: Goodbyes,
}

/// What [`Migration::verify`] looks at in the old account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceLook {
    /// Nothing: it is not connected to.
    Nothing,
    /// The UIDs of its mailboxes, where it can still be reached.
    Listing,
    /// Every octet of what was moved, too.
    Octets,
}

/// What a run leaves to be said beside the journal.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// The run.
    pub run: RunId,
    /// Mailboxes that could not be finished, and why.
    pub left: Vec<(MailboxId, String)>,
    /// What a person must decide.
    pub questions: Vec<Question>,
    /// The old and the new server.
    pub servers: (Server, Server),
    /// The settle time as measured at the end.
    pub settle: std::time::Duration,
}

/// What a server is called and how the way to it is protected, for the report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// What it calls itself.
    pub product: String,
    /// Protocol and cipher; `None` for clear text, or where this run did not connect.
    pub tls: Option<String>,
    /// [`Settings::options`] of this side.
    #[serde(default)]
    pub options: Vec<String>,
}

/// The outcome of an undo, by mailbox.
pub type UndoEnd = Vec<(MailboxRecord, Undone)>;

type Ctx<S, T, J> = Arc<Context<S, T, J>>;

impl<S: Source, T: Target, J: Journal> Migration<S, T, J> {
    /// A migration with a fresh bus, clock and cancellation.
    pub fn new(source: S, target: T, journal: J, settings: Settings) -> Self {
        Self {
            source,
            target,
            journal,
            settings,
            exceptions: None,
            bus: Bus::default(),
            cancel: CancellationToken::new(),
            clock: Clock::default(),
            probe: Probe::default(),
            goodbyes: Goodbyes::default(),
        }
    }

    /// Looks at both accounts and says what would be done. Nothing is changed, on the servers or in the journal.
    pub async fn plan(&self) -> Result<(Survey, Plan), Error> {
        let ctx = self.context(RunId(0), false);
        let mut sessions = self.first_sessions(&ctx).await?;
        let planned = self.make_plan(&ctx, &mut sessions, Passing::IsTrouble).await;
        sessions.close().await;
        days::remember(&ctx).await?;
        let planned = planned?;
        days::forecast(&ctx, &planned.1.room);
        Ok(planned)
    }

    /// Moves what is new and proves it. Goes on where an earlier run stopped.
    pub async fn migrate(&self) -> Result<RunEnd, Error> {
        self.goodbyes.answered().await;
        let run = self.journal.begin_run(MIGRATE).await?;
        let repairs = consent::settle(&self.journal, &self.settings).await?;
        let ctx = self.context_of(self.settings.clone(), repairs, run, true);
        // In boxes: what a run holds on the stack is much.
        let result = Box::pin(self.migrate_in(&ctx)).await;
        self.finish(&ctx, result).await
    }

    /// Reads back what is at the target and compares it with the recorded digests; of the source it looks at what
    /// `look` says. Nothing is changed on the servers.
    pub async fn verify(&self, level: Level, look: SourceLook) -> Result<RunEnd, Error> {
        self.goodbyes.answered().await;
        let run = self.journal.begin_run("verify").await?;
        let ctx = self.context(run, look != SourceLook::Nothing);
        let result = self.verify_in(&ctx, level, look).await;
        self.finish(&ctx, result).await
    }

    /// How many messages [`Migration::undo`] would remove at most, by mailbox.
    pub async fn undo_preview(&self) -> Result<Vec<(MailboxRecord, u64)>, Error> {
        let ctx = self.context(RunId(0), false);
        let mut counts = Vec::new();
        for job in jobs(&ctx).await? {
            let count = undo::preview(&ctx, &job).await?;
            if count > 0 {
                counts.push((job.record, count));
            }
        }
        Ok(counts)
    }

    /// Removes from the target what this migration put there and nobody changed since.
    pub async fn undo(&self) -> Result<UndoEnd, Error> {
        self.goodbyes.answered().await;
        let run = self.journal.begin_run("undo").await?;
        let ctx = self.context(run, false);
        let result = self.undo_in(&ctx).await;
        let outcome = if result.is_ok() { "done" } else { "failed" };
        self.journal.end_run(run, outcome).await?;
        result
    }

    fn context(&self, run: RunId, reads_source: bool) -> Ctx<S, T, J> {
        let repairs = Repairs { repairs: self.settings.repair, ..Repairs::default() };
        self.context_of(self.settings.clone(), repairs, run, reads_source)
    }

    fn context_of(
        &self,
        settings: Settings,
        repairs: Repairs,
        run: RunId,
        reads_source: bool,
    ) -> Ctx<S, T, J> {
        let settings = Settings { repair: repairs.repairs, ..settings };
        let cancel = self.cancel.child_token();
        let waits = Arc::<Waits>::default();
        Arc::new(Context {
            source: self.source.clone(),
            target: self.target.clone(),
            journal: self.journal.clone(),
            run,
            bus: self.bus.clone(),
            pace: Pace::new(&settings, &self.bus, &self.clock, &waits, &cancel),
            seats: Seats::new(&settings),
            cancel,
            clock: self.clock.clone(),
            probe: self.probe.clone(),
            intake: Intake::new(&settings.spool, settings.limits.body_in_memory_octets_max),
            waits,
            unexplained: Unexplained::default(),
            exceptions: self.exceptions.clone(),
            munges_headers: AtomicBool::new(false),
            replacing: replace::Open::new(repairs.asked_anew),
            reads_source,
            stored: News::default(),
            longest_commit_ms: AtomicU64::new(0),
            batch_messages: AtomicUsize::new(0),
            settle_known_ms: AtomicU64::new(0),
            alerts: Arc::default(),
            goodbyes: self.goodbyes.clone(),
            settings,
        })
    }

    async fn first_sessions(&self, ctx: &Ctx<S, T, J>) -> Result<Sessions<S, T>, Error> {
        ctx.bus.tell(Progress::StageStarted { stage: Stage::Connect });
        // Without patience: a wrong name or a closed port is the person's to mend now.
        let (source, target) = tokio::join!(ctx.connect_source(false), ctx.connect_target(false));
        Ok(Sessions { source: Some(source?), target: Some(target?) })
    }

    async fn make_plan(
        &self,
        ctx: &Ctx<S, T, J>,
        sessions: &mut Sessions<S, T>,
        passing: Passing,
    ) -> Result<(Survey, Plan), Error> {
        ctx.bus.tell(Progress::StageStarted { stage: Stage::Survey });
        sessions.source(ctx).await?;
        sessions.target(ctx).await?;
        let (Some(source), Some(target)) = (&mut sessions.source, &mut sessions.target) else {
            return Err(Error::Interrupted);
        };
        plan::make(source, target, &self.journal, &self.settings, passing).await
    }

    async fn migrate_in(&self, ctx: &Ctx<S, T, J>) -> Result<RunEnd, Error> {
        facts::keep(ctx, self.settings.level, &Default::default()).await?;
        let mut sessions = self.first_sessions(ctx).await?;
        let servers = servers(&sessions, &self.settings);
        facts::keep(ctx, self.settings.level, &servers).await?;
        commit_time::remember(ctx).await?;
        days::remember(ctx).await?;
        let (survey, plan, ahead) = Box::pin(self.prepare(ctx, &mut sessions)).await?;
        munges::remember(ctx, survey.target.profile.as_ref()).await?;
        // With what All Mail shows once more: only when it is listed nothing is left to do.
        let messages = plan.steps.iter().filter_map(|step| step.record.messages).fold(0, u64::saturating_add);
        let octets = plan.totals.octets;
        let mailboxes = plan.totals.mailboxes;
        ctx.bus.tell(Progress::Planned { mailboxes, messages, octets });
        days::forecast(ctx, &plan.room);
        ctx.bus.tell(Progress::StageStarted { stage: Stage::Transfer });
        let labels = Labelled::of(&survey, &plan);
        let old = match &labels {
            Some(labels) if labels.must_ask_again(&plan) => {
                unchanged::told_by_source(ctx, &mut sessions).await?
            }
            _ => Told::surveyed(&survey.source.mailboxes),
        };
        let new = Told::surveyed(&survey.target.mailboxes);
        let moving = in_plan(&jobs(ctx).await?, &plan);
        let all = moving.len();
        let mut to_copy = unchanged::to_copy(ctx, moving.clone(), &old, &new).await?;
        let copying = to_copy.len();
        let (left, rest) = match labels {
            Some(labels) => {
                // Who brings a message is decided as it is listed.
                to_copy.iter_mut().for_each(|job| job.seen = None);
                let labels = Arc::new(labels);
                let moving = labelled::transfer(ctx, &labels, &moving, to_copy, sessions, ahead);
                let end = Box::pin(moving).await?;
                labelled::leave_to_others(ctx, &labels, &plan.vanished).await?;
                end
            }
            None => Box::pin(crew::transfer(ctx, &to_copy, sessions, ahead)).await?,
        };
        // What was told before something was sent says nothing of the time after.
        let new = match copying {
            0 => new,
            some if some < all => unchanged::told_by_target(ctx).await?,
            _ => Told::default(),
        };
        ctx.bus.tell(Progress::StageStarted { stage: Stage::Verify });
        // Anew: a target mailbox may have got another epoch meanwhile.
        let jobs = jobs(ctx).await?;
        let proving = crew::prove(ctx, &jobs, Scope::New, self.settings.level, &new, rest);
        let questions = Box::pin(proving).await?;
        Ok(RunEnd { run: ctx.run, left, questions, servers, settle: ctx.settle() })
    }

    /// Plans, and makes the target ready. A server that asks for patience, or is in trouble that may pass, gets it: nothing is
    /// sent yet, and all of it may be done again. One mailbox does not keep the others for ever.
    async fn prepare(
        &self,
        ctx: &Ctx<S, T, J>,
        sessions: &mut Sessions<S, T>,
    ) -> Result<(Survey, Plan, Ahead<S, T>), Error> {
        let mut losses = Losses::new(ctx);
        let (mut passing, mut ahead) = (Passing::Fails, None);
        loop {
            let waited = match self.prepare_once(ctx, sessions, passing, &mut ahead).await {
                Err(Error::Source(error)) if may_pass(&error) => losses.at_source(ctx, sessions, error).await,
                Err(Error::Target(error)) if may_pass(&error) => losses.at_target(ctx, sessions, error).await,
                prepared => {
                    let (survey, plan) = prepared?;
                    return Ok((survey, plan, ahead.unwrap_or_else(|| Ahead::none(ctx))));
                }
            };
            match waited {
                // Waited for long enough: the others move without it.
                Err(Error::Source(error) | Error::Target(error))
                    if error.is_passing() && passing == Passing::Fails =>
                {
                    (passing, losses) = (Passing::IsTrouble, Losses::new(ctx));
                }
                waited => waited?,
            }
        }
    }

    async fn prepare_once(
        &self,
        ctx: &Ctx<S, T, J>,
        sessions: &mut Sessions<S, T>,
        passing: Passing,
        ahead: &mut Option<Ahead<S, T>>,
    ) -> Result<(Survey, Plan), Error> {
        let (survey, plan) = self.make_plan(ctx, sessions, passing).await?;
        ctx.bus.tell(Progress::StageStarted { stage: Stage::Plan });
        if self.settings.agreed.as_ref().is_some_and(|agreed| !agreed.holds(&plan)) {
            return Err(Error::Question(Question::NotAsShown));
        }
        if let Some(question) = plan.questions.first() {
            return Err(Error::Question(question.clone()));
        }
        let records = plan::save(&self.journal, &plan).await?;
        // Once: who has to try again must not log in again each time.
        ahead.get_or_insert_with(|| Ahead::begin(ctx, &plan));
        let target = sessions.target(ctx).await?;
        plan::carry_out(target, &self.journal, &plan, &records, passing).await?;
        self.remember_what_is_hidden(&survey, &plan).await?;
        Ok((survey, plan))
    }

    /// Whether Gmail hides All Mail, or the old server cuts large mailboxes, for reports: it is asked about beforehand, and still
    /// true when all the rest has moved. Where mailboxes were named, only that one of them is cut: nothing is known of others.
    async fn remember_what_is_hidden(&self, survey: &Survey, plan: &Plan) -> Result<(), Error> {
        let abilities = &survey.source.abilities;
        let may_hide = abilities.gmail || abilities.does.mailbox_shows_max.is_some_and(|shows| shows.always);
        let is_named = !self.settings.selection.only.is_empty();
        let text = match () {
            () if !may_hide => return Ok(()),
            () if plan::shows_newest_alone(&plan.steps, &survey.source) => CUT,
            () if is_named => return Ok(()),
            () if plan::hides_all_mail(&survey.source) => HIDDEN,
            () => "no",
        };
        let known = self.journal.notes(HIDDEN_MAIL, i64::MIN, HIDDEN_NOTES_MAX).await?;
        let (kind, text) = (HIDDEN_MAIL.to_owned(), text.to_owned());
        if known.last().is_none_or(|known| known.note.text != text) {
            self.journal.note(Note { kind, mailbox: None, key: None, text }).await?;
        }
        Ok(())
    }

    async fn verify_in(&self, ctx: &Ctx<S, T, J>, level: Level, look: SourceLook) -> Result<RunEnd, Error> {
        facts::keep(ctx, level, &Default::default()).await?;
        ctx.bus.tell(Progress::StageStarted { stage: Stage::Verify });
        let target = Some(ctx.connect_target(false).await?);
        let mut sessions = Sessions::<S, T> { source: reach_source(ctx, look).await?, target };
        let servers = servers(&sessions, &self.settings);
        facts::keep(ctx, level, &servers).await?;
        commit_time::remember(ctx).await?;
        days::remember(ctx).await?;
        let mut jobs = jobs(ctx).await?;
        let mut left = Vec::new();
        if sessions.source.is_some() {
            left.extend(recount(ctx, &mut sessions, &jobs).await?);
        }
        for job in &mut jobs {
            // Claims of another epoch mean nothing by number (law 6): they are found by content first, or doubted.
            if let Err(refusal) = refresh_target(ctx, &mut sessions, job).await? {
                left.push((job.record.id, format!("{} cannot be opened: {refusal}", job.target.text)));
            } else {
                undo::settle(ctx, &mut sessions, job).await?;
            }
            if look == SourceLook::Octets {
                crate::reread::reread(ctx, &mut sessions, job).await?;
            }
        }
        sessions.close().await;
        note_left(ctx, &left).await?;
        let questions =
            crew::prove(ctx, &jobs, Scope::All, level, &Told::default(), Sessions::default()).await?;
        Ok(RunEnd { run: ctx.run, left, questions, servers, settle: ctx.settle() })
    }

    async fn undo_in(&self, ctx: &Ctx<S, T, J>) -> Result<UndoEnd, Error> {
        commit_time::remember(ctx).await?;
        let target = Some(ctx.connect_target(false).await?);
        let mut sessions = Sessions::<S, T> { source: None, target };
        let mut end = Vec::new();
        for job in jobs(ctx).await? {
            ctx.check_cancel()?;
            let undone = undo::undo(ctx, &mut sessions, &job).await?;
            end.push((job.record, undone));
        }
        sessions.close().await;
        Ok(end)
    }

    async fn finish(&self, ctx: &Ctx<S, T, J>, result: Result<RunEnd, Error>) -> Result<RunEnd, Error> {
        let outcome = match &result {
            Ok(_) => "done",
            Err(Error::Interrupted) => "interrupted",
            Err(Error::Question(_)) => "question",
            Err(Error::Full { .. }) => "full",
            Err(_) => "failed",
        };
        let noted = days::keep(ctx).await;
        let alerted = ctx.note_alerts().await;
        ctx.bus.tell(Progress::Ended { outcome: outcome.into() });
        let ended = self.journal.end_run(ctx.run, outcome).await;
        let end = result?;
        noted?;
        alerted?;
        ended?;
        Ok(end)
    }
}

/// A refusal, or last words, that time alone may cure. A connection that is just lost is the person's to know of.
fn may_pass(error: &EndError) -> bool {
    error.is_passing() || error.asks_for_patience().is_some() || error.is_to_be_asked_later()
}

/// Keeps for the report why mailboxes could not be finished.
async fn note_left<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    left: &[(MailboxId, String)],
) -> Result<(), Error> {
    for (mailbox, text) in left {
        let note = Note { kind: LEFT.into(), mailbox: Some(*mailbox), key: None, text: text.clone() };
        ctx.journal.note(note).await?;
    }
    Ok(())
}

/// A session at the source, as far as `look` needs one. An old account that is closed already is no failure of a
/// verification that only lists it.
async fn reach_source<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    look: SourceLook,
) -> Result<Option<S::Session>, Error> {
    if look == SourceLook::Nothing {
        return Ok(None);
    }
    match ctx.connect_source(false).await {
        Ok(session) => Ok(Some(session)),
        Err(Error::Source(error)) if look == SourceLook::Listing => {
            let text = format!("the old account was not looked at: {error}");
            ctx.journal
                .note(Note { kind: SOURCE_NOT_REACHED.into(), mailbox: None, key: None, text })
                .await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The mailboxes that take part in this run. One that an earlier run moved and a rule leaves out now is not copied;
/// what it has at the target is still proven.
fn in_plan(jobs: &[Job], plan: &Plan) -> Vec<Job> {
    let moving: BTreeMap<&Name, bool> =
        plan.steps.iter().map(|step| (&step.record.source, step.baseline_needed)).collect();
    let of_plan = |job: &Job| {
        // Opened in this run, for its baseline.
        let is_fresh = *moving.get(&job.record.source)?;
        Some(Job { is_new: is_fresh && job.target_epoch.facts.exists == 0, ..job.clone() })
    };
    jobs.iter().filter_map(of_plan).collect()
}

fn servers<S: Source, T: Target>(sessions: &Sessions<S, T>, settings: &Settings) -> (Server, Server) {
    let [old, new] = settings.options.clone();
    let server = |a: Option<&Abilities>, options| Server {
        product: a.map(|a| a.product.clone()).unwrap_or_default(),
        tls: a.and_then(|a| a.tls.clone()),
        options,
    };
    let source = server(sessions.source.as_ref().map(|s| s.abilities()), old);
    (source, server(sessions.target.as_ref().map(|t| t.abilities()), new))
}
