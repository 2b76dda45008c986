//! The live numbers as server-sent events (HTML Living Standard, 9.2): parts of the page, each when it has changed.

use super::app::{App, Course, Under};
use super::errand::Errand;
use super::pages::moving;
use super::pages::waiting::stands;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The least time between two looks.
const LOOK_APART: Duration = Duration::from_millis(700);
/// Looked at also when nothing happened: the speed changes, and time passes.
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// The least time between two sentences for somebody who listens.
const SAID_APART: Duration = Duration::from_secs(15);

/// What one page was shown last.
struct Watch {
    app: Arc<App>,
    /// The run; none where there is none any more.
    under: Option<Arc<Under>>,
    changes: Option<watch::Receiver<()>>,
    shown: [String; 3],
    said: Option<(Instant, String)>,
    waiting: VecDeque<Event>,
}

/// The events of the run that is under way. Where none is, the page is told that it is over.
pub async fn events(State(app): State<Arc<App>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let under = if let Course::Under(under) = app.course() { Some(under) } else { None };
    let changes = under.as_ref().map(|under| under.live.changes());
    let mut watch =
        Watch { app, under, changes, shown: Default::default(), said: None, waiting: VecDeque::new() };
    watch.look();
    Sse::new(unfold(watch, next)).keep_alive(KeepAlive::default())
}

/// How what is waited for stands, until it is over.
pub async fn waiting(State(app): State<Arc<App>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let errand = app.desk.lock().await.errand.clone();
    let waited = Waited { app, errand, shown: String::new() };
    Sse::new(unfold(Some(waited), next_of_errand)).keep_alive(KeepAlive::default())
}

/// What one page was shown last of what is waited for.
struct Waited {
    app: Arc<App>,
    errand: Option<Arc<Errand>>,
    shown: String,
}

async fn next_of_errand(waited: Option<Waited>) -> Option<(Result<Event, Infallible>, Option<Waited>)> {
    let mut waited = waited?;
    while let Some(errand) = waited.errand.as_ref().filter(|errand| !errand.over.is_cancelled()) {
        let stands = stands(errand).into_string();
        if stands != waited.shown {
            waited.shown.clone_from(&stands);
            return Some((Ok(Event::default().event("stands").data(stands)), Some(waited)));
        }
        tokio::select! {
            () = errand.over.cancelled() => {}
            () = waited.app.enough.cancelled() => return None,
            () = tokio::time::sleep(LOOK_APART) => {}
        }
    }
    Some((Ok(Event::default().event("over").data("over")), None))
}

async fn next(mut watch: Watch) -> Option<(Result<Event, Infallible>, Watch)> {
    loop {
        if let Some(event) = watch.waiting.pop_front() {
            return Some((Ok(event), watch));
        }
        let changes = watch.changes.as_mut().filter(|_| watch.under.is_some())?;
        tokio::select! {
            _ = tokio::time::timeout(LOOK_AFTER, changes.changed()) => {}
            () = watch.app.enough.cancelled() => return None,
        }
        tokio::time::sleep(LOOK_APART).await;
        watch.look();
    }
}

impl Watch {
    /// What has changed since the last look waits to be sent.
    fn look(&mut self) {
        let under = self.under.take_if(|under| !self.app.is_under(under));
        if under.is_some() || self.under.is_none() {
            self.waiting.push_back(Event::default().event("over").data("over"));
            return;
        }
        let Some(under) = &self.under else { return };
        let standing = under.live.standing();
        let parts = [
            ("whole", moving::whole(&standing)),
            ("boxes", moving::boxes(&standing)),
            ("needs", moving::needs(&standing)),
        ];
        for ((name, part), shown) in parts.into_iter().zip(&mut self.shown) {
            let part = part.into_string();
            if part != *shown {
                self.waiting.push_back(Event::default().event(name).data(&part));
                *shown = part;
            }
        }
        let said = moving::said(&standing);
        let may_say = self.said.as_ref().is_none_or(|(at, last)| at.elapsed() >= SAID_APART && *last != said);
        if may_say {
            self.waiting.push_back(Event::default().event("said").data(&said));
            self.said = Some((Instant::now(), said));
        }
    }
}
