//! What takes its time at a server, as tasks beside the pages: looking for servers, a login, the look at both accounts. There is one
//! at a time; a page shows what is waited for, and can give it up. What follows from its outcome is decided by [`Desk`].

use super::app::App;
use super::desk::{Chosen, Desk};
use crate::error::Failure;
use crate::oauth::Terminal;
use crate::steps::answers::Answer;
use crate::steps::look::look as look_at_both;
use crate::steps::{LetIn, Looked, NotLetIn, Step, Steps};
use crate::view::View;
use mailhaul_engine::check::Checked;
use mailhaul_engine::error::Error;
use mailhaul_engine::oauth::Person;
use mailhaul_engine::progress::Progress;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Somebody waits for this.
#[derive(Debug)]
pub struct Errand {
    /// What is waited for.
    pub about: About,
    /// It ended, or was given up.
    pub over: CancellationToken,
    begun: Instant,
    heard: Mutex<Heard>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Both servers are looked for.
    Finding,
    /// A login, at this side.
    LoggingIn(&'static str),
    /// Both accounts are looked at.
    Looking,
}

/// What was heard of it so far.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// What it does.
    pub view: View,
    /// What it said last.
    pub line: Option<String>,
    /// Where the person has to log in for it, in this browser.
    pub visit: Option<String>,
}

/// What came of it.
pub enum Outcome {
    /// What was found for what was typed.
    Found(Box<Result<[Looked; 2], Failure>>),
    /// Whether this side let us in.
    LetIn(&'static str, Result<LetIn, NotLetIn>),
    /// What was seen of both accounts; and what somebody chose, where it is looked at for that.
    Seen(Box<Result<Checked, Failure>>, Option<Box<Chosen>>),
}

impl About {
    /// The step in which it is waited for.
    pub fn step(self) -> Step {
        match self {
            Self::Finding => Step::Requirements,
            Self::LoggingIn("from") => Step::Old,
            Self::LoggingIn(_) => Step::New,
            Self::Looking => Step::Choose,
        }
    }
}

/// Whoever waits for it logs in where the page says; later, during a run, whoever sits at the terminal.
impl Person for Errand {
    fn is_there(&self) -> bool {
        !self.over.is_cancelled() || Terminal.is_there()
    }

    fn visit(&self, address: &str) {
        if self.over.is_cancelled() {
            Terminal.visit(address);
        } else {
            self.hearing().visit = Some(address.to_owned());
        }
    }

    fn enter(&self, address: &str, code: &str) {
        Terminal.enter(address, code);
    }
}

impl Errand {
    /// Begun now.
    pub fn new(about: About) -> Arc<Self> {
        let (over, heard) = (CancellationToken::new(), Mutex::default());
        Arc::new(Self { about, over, begun: Instant::now(), heard })
    }

    /// How long it is waited for.
    pub fn lasts(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What was heard of it so far.
    pub fn heard(&self) -> Heard {
        self.hearing().clone()
    }

    fn hearing(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: it was given up, and `work` goes no further.
    async fn unless_over<R>(&self, work: impl Future<Output = R>) -> Option<R> {
        tokio::select! {
            biased;
            () = self.over.cancelled() => None,
            done = work => Some(done),
        }
    }

    async fn follow(&self, mut events: Receiver<Progress>) {
        loop {
            match events.recv().await {
                Ok(event) => _ = self.hearing().view.fold(&event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// Looks for both servers.
pub fn find(app: &Arc<App>, desk: &mut Desk) {
    let Some(errand) = begin(app, desk, About::Finding) else { return };
    let (steps, typed): (Steps, [Answer; 2]) = (desk.steps.clone(), desk.typed.clone());
    go(app, errand.clone(), async move {
        let found = errand.unless_over(steps.look_for(typed)).await?;
        Some(Outcome::Found(Box::new(found.and_then(|[from, to]| Ok([from?, to?])))))
    });
}

/// Logs in to one side.
pub fn log_in(app: &Arc<App>, desk: &mut Desk, side: &'static str, secret: Option<Zeroizing<String>>) {
    let Some(errand) = begin(app, desk, About::LoggingIn(side)) else { return };
    let steps = desk.steps.clone();
    go(app, errand.clone(), async move {
        let tell = |line: &str| errand.hearing().line = Some(line.to_owned());
        let let_in = errand.unless_over(steps.log_in(side, secret, errand.clone(), &tell)).await?;
        Some(Outcome::LetIn(side, let_in))
    });
}

/// Looks at both accounts.
pub fn look(app: &Arc<App>, desk: &mut Desk, chosen: Option<Chosen>) {
    let Some(errand) = begin(app, desk, About::Looking) else { return };
    let steps = desk.steps.clone();
    go(app, errand.clone(), async move {
        let seen = look_at_both(&steps, async |ready| {
            let looking = errand.unless_over(ready.migration.check([None, None]));
            tokio::select! {
                seen = looking => Ok(seen.unwrap_or(Err(Error::Interrupted))?),
                () = errand.follow(ready.migration.bus.listen()) => Err(Error::Interrupted.into()),
            }
        });
        let seen = seen.await;
        (!errand.over.is_cancelled()).then(|| Outcome::Seen(Box::new(seen), chosen.map(Box::new)))
    });
}

/// `None`: the program ends, or something is under way, and whoever asked waits for that.
fn begin(app: &App, desk: &mut Desk, about: About) -> Option<Arc<Errand>> {
    if desk.errand.is_some() || app.at_work.is_closed() {
        return None;
    }
    let errand = Errand::new(about);
    desk.errand = Some(errand.clone());
    Some(errand)
}

fn go(app: &Arc<App>, errand: Arc<Errand>, work: impl Future<Output = Option<Outcome>> + Send + 'static) {
    let app = app.clone();
    app.at_work.clone().spawn(async move {
        if let Some(outcome) = work.await {
            app.desk.lock().await.take(&errand, outcome);
        }
    });
}
