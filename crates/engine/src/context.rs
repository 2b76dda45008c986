//! What all parts of a run share, and how they connect.

use crate::alerts::ALERT;
use crate::clock::Clock;
use crate::config::Settings;
use crate::end::{Abilities, Source, SourceSession, Target, TargetSession};
use crate::error::{EndError, Error, Persistence};
use crate::journal::{ItemId, Journal, MailboxRecord, Note, RunId, Side, each_note};
use crate::pace::BackOff;
use crate::pacer::Pace;
use crate::probe::Probe;
use crate::progress::{Bus, Progress, WaitReason};
use crate::quirks::{self, Case, Doing, Pause, Remedy};
use crate::seats::{Seat, Seats};
use crate::transfer::guard::Unexplained;
use crate::transfer::replace;
use crate::transfer::spool::{Body, Intake};
use crate::verify::News;
use crate::waits::Waits;
use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What all parts of one run share.
#[derive(Debug)]
pub struct Context<S, T, J> {
    /// Where mail comes from.
    pub source: S,
    /// Where it goes.
    pub target: T,
    /// The only memory.
    pub journal: J,
    /// This run.
    pub run: RunId,
    /// Policy.
    pub settings: Settings,
    /// Listeners.
    pub bus: Bus,
    /// Set by the caller, or by the first fatal error.
    pub cancel: CancellationToken,
    /// Time.
    pub clock: Clock,
    /// For tests.
    pub probe: Probe,
    /// Where bodies are put.
    pub intake: Intake,
    /// How fast bodies may move.
    pub pace: Pace,
    /// Who has a connection.
    pub seats: Arc<Seats>,
    /// How long was waited, for whom.
    pub waits: Arc<Waits>,
    /// Messages that the target refused without a known reason.
    pub unexplained: Unexplained,
    /// Where originals of exceptions are saved, if anywhere.
    pub exceptions: Option<PathBuf>,
    /// The target is known to destroy octets outside ASCII in header fields.
    pub munges_headers: AtomicBool,
    /// Damaged copies of which a whole one is sent.
    pub replacing: replace::Open,
    /// The source may be asked for octets once more, where what was read back disagrees with what was fetched.
    pub reads_source: bool,
    /// What was stored: the verifier has work.
    pub stored: News,
    /// The longest time from gate to answer seen on this target, in milliseconds, rounded up
    /// ([`commit_time`](crate::transfer::commit_time)); 0 before the first.
    pub longest_commit_ms: AtomicU64,
    /// Messages in a batch at the end of the last mailbox, as commit times steered it; 0 before the first.
    pub batch_messages: AtomicUsize,
    /// The least settle time that the target is known to need, in milliseconds.
    pub settle_known_ms: AtomicU64,
    /// Of connections that are not used any more.
    pub goodbyes: Goodbyes,
    /// What the servers wanted people to see.
    pub alerts: Arc<Mutex<BTreeSet<(Side, String)>>>,
}

/// Connections that say goodbye, which nobody waits for but who asks for it.
#[derive(Clone, Debug, Default)]
pub struct Goodbyes(TaskTracker);

impl Goodbyes {
    /// One more, at work beside.
    pub(crate) fn say(&self, goodbye: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(goodbye);
    }

    /// Waits until the servers have answered all that were said, each within the time limit of a greeting; others may follow.
    pub async fn answered(&self) {
        self.0.close();
        self.0.wait().await;
        self.0.reopen();
    }
}

impl<S: Source, T: Target, J: Journal> Context<S, T, J> {
    /// The settle time as measured so far (law 4).
    pub fn settle(&self) -> Duration {
        let longest = match self.longest_commit_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(Duration::from_millis(ms)),
        };
        let known = Duration::from_millis(self.settle_known_ms.load(Ordering::Relaxed));
        self.settings.limits.settle(longest).max(known)
    }

    /// Fails with [`Error::Interrupted`] once the caller asked to stop.
    pub fn check_cancel(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Saves the original of a message that a person must look at.
    pub async fn keep_original(
        &self,
        record: &MailboxRecord,
        item: ItemId,
        body: &Body,
    ) -> Result<(), Error> {
        let Some(folder) = &self.exceptions else { return Ok(()) };
        crate::report::save_exception(folder, &record.source.text, item, body).await
    }

    /// Writes a remark that the journal does not hold yet.
    pub async fn note_once(&self, note: Note) -> Result<(), Error> {
        self.note_new(&note.kind.clone(), vec![note]).await
    }

    /// Writes those remarks of one kind that the journal does not hold yet. It is read once, however many they are.
    pub async fn note_new(&self, kind: &str, mut notes: Vec<Note>) -> Result<(), Error> {
        if notes.is_empty() {
            return Ok(());
        }
        let page_rows = self.settings.limits.journal_page_rows;
        each_note(&self.journal, kind, page_rows, |known| notes.retain(|note| known.note != *note)).await?;
        for note in notes {
            self.journal.note(note).await?;
        }
        Ok(())
    }

    /// Sleeps, or is interrupted.
    pub async fn sleep(&self, time: Duration) -> Result<(), Error> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.cancel.cancelled() => Err(Error::Interrupted),
        }
    }

    /// Waits, visibly; what the server asked for is counted for the report.
    pub async fn wait(&self, side: Side, reason: WaitReason, why: &str, wait: Duration) -> Result<(), Error> {
        let asked = reason == WaitReason::Asked;
        let (server, until) = (self.waits.server(side, why), self.clock.wall() + wait);
        if asked {
            self.waits.begin(side, wait);
        }
        let (why, seconds) = (why.to_owned(), wait.as_secs());
        self.bus.tell(Progress::Waiting { side: side.into(), server, reason, why, seconds, until });
        let waited = self.sleep(wait).await;
        if asked && waited.is_err() {
            self.waits.cut_short(side);
        }
        waited
    }

    /// A session at the source. With `patience`, passing trouble is waited out up to [`crate::limits::Limits::give_up`]; without
    /// it, only what the server asks for by throttling.
    pub async fn connect_source(&self, patience: bool) -> Result<S::Session, Error> {
        self.connect(Side::Source, patience, || self.source.connect(), |s| s.abilities()).await
    }

    /// A session at the target.
    pub async fn connect_target(&self, patience: bool) -> Result<T::Session, Error> {
        self.connect(Side::Target, patience, || self.target.connect(), |s| s.abilities()).await
    }

    /// A session at the source by one try, whatever the server asks for: for who only wants to know.
    pub async fn try_source(&self) -> Result<S::Session, Error> {
        self.once(Side::Source, Box::pin(self.source.connect()), |s| s.abilities())
            .await?
            .map_err(Error::Source)
    }

    /// A session at the target by one try.
    pub async fn try_target(&self) -> Result<T::Session, Error> {
        self.once(Side::Target, Box::pin(self.target.connect()), |s| s.abilities())
            .await?
            .map_err(Error::Target)
    }

    /// One more session at the source, beside others of this run; `None` when the server gives none. Many servers allow a
    /// user few connections at a time, and say so only then: the others do its work.
    pub async fn another_source(&self, seat: Seat) -> Option<(S::Session, Seat)> {
        self.another(Side::Source, seat, self.source.connect(), |s| s.abilities()).await
    }

    /// One more session at the target.
    pub async fn another_target(&self, seat: Seat) -> Option<(T::Session, Seat)> {
        self.another(Side::Target, seat, self.target.connect(), |s| s.abilities()).await
    }

    fn connected(&self, side: Side, abilities: &Abilities) {
        self.is_known(side, abilities);
        self.show_alerts(side, abilities);
        let server = abilities.product.clone();
        self.bus.tell(Progress::Connected { side: side.into(), server });
        if let Some(why) = abilities.compression.missing() {
            self.bus.tell(Progress::Uncompressed { side: side.into(), why: why.into() });
        }
    }

    /// Tells what the server of a connection wants people to see (RFC 9051, 7.1), now and later, each text once in a run.
    fn show_alerts(&self, side: Side, abilities: &Abilities) {
        let (bus, alerts, server) = (self.bus.clone(), self.alerts.clone(), self.waits.server(side, ""));
        abilities.alerts.listen(move |text| {
            let is_new = alerts.lock().unwrap_or_else(PoisonError::into_inner).insert((side, text.clone()));
            if is_new {
                bus.tell(Progress::Alert { side: side.into(), server: server.clone(), text });
            }
        });
    }

    /// Keeps for the report what servers wanted people to see.
    pub async fn note_alerts(&self) -> Result<(), Error> {
        let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let note = |(side, text): (Side, String)| {
            let text = format!("{} says: {text}", self.waits.server(side, ""));
            Note { kind: ALERT.to_owned(), mailbox: None, key: None, text }
        };
        self.note_new(ALERT, alerts.into_iter().map(note).collect()).await
    }

    /// What the family of a server is known for, where it concerns all connections.
    fn is_known(&self, side: Side, abilities: &Abilities) {
        let does = abilities.does;
        if let Some(family) = abilities.family {
            self.waits.is_known_as(side, family);
        }
        if let Some(most) = does.connections_max {
            self.seats.at_most(side, most);
        }
        if let Some(least) = does.settle_min.filter(|_| side == Side::Target) {
            let ms = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
            self.settle_known_ms.fetch_max(ms, Ordering::Relaxed);
        }
        self.pace.is_known(side, &self.settings, &does);
    }

    async fn another<Session>(
        &self,
        side: Side,
        seat: Seat,
        connecting: impl Future<Output = Result<Session, EndError>> + Send,
        abilities: impl Fn(&Session) -> &Abilities,
    ) -> Option<(Session, Seat)> {
        let tried = tokio::select! {
            tried = connecting => tried,
            () = self.cancel.cancelled() => return None,
        };
        match tried {
            Ok(session) => {
                self.connected(side, abilities(&session));
                seat.given();
                Some((session, seat))
            }
            Err(error) => {
                seat.refused(&error);
                self.bus.tell(Progress::FewerConnections { side: side.into(), why: error.to_string() });
                None
            }
        }
    }

    /// One try, unless it is stopped. `connecting` is large: boxed, it does not lie on the stack of all that waits for it.
    async fn once<Session>(
        &self,
        side: Side,
        connecting: Pin<Box<impl Future<Output = Result<Session, EndError>> + Send>>,
        abilities: impl Fn(&Session) -> &Abilities,
    ) -> Result<Result<Session, EndError>, Error> {
        let tried = tokio::select! {
            tried = connecting => tried,
            () = self.cancel.cancelled() => return Err(Error::Interrupted),
        };
        if let Ok(session) = &tried {
            self.connected(side, abilities(session));
        }
        Ok(tried)
    }

    async fn connect<Session, Connecting>(
        &self,
        side: Side,
        patience: bool,
        mut connect: impl FnMut() -> Connecting,
        abilities: impl Fn(&Session) -> &Abilities,
    ) -> Result<Session, Error>
    where
        Connecting: Future<Output = Result<Session, EndError>> + Send,
    {
        let limits = &self.settings.limits;
        let began = Instant::now();
        let mut back_off = BackOff::new(limits.back_off_min, limits.back_off_max, self.run.0.unsigned_abs());
        for tries in 0.. {
            self.check_cancel()?;
            let error = match self.once(side, Box::pin(connect()), &abilities).await? {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            let Some(pause) = pause_before_login(&error, patience, tries) else {
                return Err(at(side, error));
            };
            let wait = back_off.pause(pause, limits.spent_step);
            if began.elapsed() >= limits.give_up_after(pause) || wait > limits.give_up_asked {
                return Err(at(side, error));
            }
            if quirks::asks_for_less(&error) {
                self.seats.throttled(side);
            }
            self.wait(side, reason_of(&error), &error.to_string(), wait).await?;
        }
        Err(Error::Interrupted)
    }
}

/// How long to wait before the next login; `None` where there is none by itself. What a server asks for is waited for
/// whether or not there is `patience` with it.
fn pause_before_login(error: &EndError, patience: bool, tries: u32) -> Option<Pause> {
    let asked = match error {
        EndError::Refused { refusal, .. } => {
            match quirks::remedy(refusal.class, Case { doing: Doing::Login, tries, alone: true }) {
                Remedy::Wait(pause) => Some(pause),
                _ => None,
            }
        }
        error => error.asks_for_patience(),
    };
    let may_pass = matches!(error.reach().persistence, Persistence::Transient(_));
    asked.or((patience && may_pass).then_some(Pause::BackOff))
}

/// Why it is waited after an error.
pub fn reason_of(error: &EndError) -> WaitReason {
    match error.asks_for_patience() {
        Some(_) => WaitReason::Asked,
        None => WaitReason::Trouble,
    }
}

/// An error at one side.
pub fn at(side: Side, error: EndError) -> Error {
    match (side, error) {
        (_, EndError::Stopped) => Error::Interrupted,
        (Side::Source, error) => Error::Source(error),
        (Side::Target, error) => Error::Target(error),
    }
}
