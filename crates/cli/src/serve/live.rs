//! A run as the page sees it: its events folded, the journal's numbers below them, its speed. Nothing is decided here.

use super::speed::Speed;
use crate::view::{Row, View};
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{Item, Journal, JournalResult, Query, State};
use mailhaul_engine::progress::Progress;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;

/// Messages that are read from a journal at once.
const PAGE_ITEMS: usize = 1000;

/// What is known of a run, for any number of pages.
#[derive(Debug)]
pub struct Live {
    journal: PathBuf,
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Seen {
    view: View,
    speed: Speed,
}

/// Where a run stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What happened so far.
    pub view: View,
    /// All mailboxes together.
    pub whole: Row,
    /// What is waited for.
    pub waiting: Option<String>,
    /// Messages moved in a minute.
    pub per_minute: Option<u64>,
    /// How long the rest takes if it goes on like this.
    pub left: Option<Duration>,
}

impl Live {
    /// Of a run with this journal. Nothing has happened.
    pub fn new(journal: PathBuf) -> Self {
        Self { journal, seen: Mutex::default(), changed: watch::channel(()).0 }
    }

    /// Follows a run to its end.
    pub async fn follow(&self, mut events: Receiver<Progress>) {
        loop {
            match events.recv().await {
                Ok(event) => {
                    let is_planned = matches!(event, Progress::Planned { .. });
                    let has_ended = matches!(event, Progress::Ended { .. });
                    self.change(|view| _ = view.fold(&event));
                    // The plan is in the journal now, and nothing was stored yet.
                    if is_planned || has_ended {
                        self.count().await;
                    }
                    if has_ended {
                        return;
                    }
                }
                // Fallen behind: what was missed is in the journal. Events that are told while it is read may count twice, until
                // the run has ended and it is read again.
                Err(RecvError::Lagged(_)) => {
                    events = events.resubscribe();
                    self.count().await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Takes the journal's numbers. One that is not there yet, or cannot be read now, changes nothing.
    pub async fn count(&self) {
        let Ok(journal) = SqliteJournal::open_read_only(&self.journal) else { return };
        let read = (journal.mailboxes().await, journal.counts().await, exceptions(&journal).await);
        if let (Ok(mailboxes), Ok(counts), Ok(exceptions)) = read {
            self.change(|view| view.count(&mailboxes, &counts, &exceptions));
        }
    }

    /// Where the run stands now.
    pub fn standing(&self) -> Standing {
        let mut seen = self.seen();
        let whole = seen.view.whole();
        seen.speed.see(Instant::now(), &whole);
        let (per_minute, left) = (seen.speed.per_minute(), seen.speed.left(&whole));
        let waiting = seen.view.waiting(SystemTime::now());
        // Nobody knows how often a server makes us wait.
        let left = left.filter(|_| waiting.is_none());
        Standing { view: seen.view.clone(), whole, waiting, per_minute, left }
    }

    /// Tells all pages that something changed beside the run.
    pub fn ring(&self) {
        self.changed.send_replace(());
    }

    /// Hears of every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn change(&self, how: impl FnOnce(&mut View)) {
        let mut seen = self.seen();
        how(&mut seen.view);
        let whole = seen.view.whole();
        seen.speed.see(Instant::now(), &whole);
        drop(seen);
        self.changed.send_replace(());
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them, in the order of their mailboxes.
async fn exceptions(journal: &SqliteJournal) -> JournalResult<Vec<Item>> {
    let mut all: Vec<Item> = Vec::new();
    loop {
        let after = all.last().map(|item| item.id);
        let page = Query { mailbox: None, states: &[State::Exception], after, limit: PAGE_ITEMS };
        let found = journal.items(page).await?;
        let is_last = found.len() < PAGE_ITEMS;
        all.extend(found);
        if is_last {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailhaul_engine::journal::{AccountPair, Decision, MailboxId, MailboxRecord, Name};
    use mailhaul_engine::progress::Bus;

    /// More than a bus keeps for a slow listener.
    const TOO_MANY: u64 = 10_000;

    async fn journal(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("journal.sqlite");
        let pair = AccountPair { source: "imaps://a@x:993".into(), target: "imaps://b@y:993".into() };
        let journal = SqliteJournal::open(&path, &pair, "a test").unwrap();
        let name = Name { wire: "A".into(), text: "A".into(), delimiter: None };
        let record = MailboxRecord {
            id: MailboxId(0),
            source: name.clone(),
            role: None,
            subscribed: false,
            messages: Some(7),
            octets: Some(70),
            decision: Decision::Move(name),
        };
        journal.save_mailboxes(&[record]).await.unwrap();
        journal.release().await.unwrap();
        path
    }

    #[tokio::test]
    async fn who_falls_behind_takes_the_numbers_of_the_journal_and_not_those_of_events_that_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (bus, live) = (Bus::default(), Live::new(journal(&folder).await));
        let events = bus.listen();
        for _ in 0..TOO_MANY {
            bus.tell(Progress::Stored { mailbox: 1, messages: 1, octets: 1 });
        }
        drop(bus);
        live.follow(events).await;
        let standing = live.standing();
        assert_eq!((standing.whole.all.messages, standing.whole.there.messages), (7, 0));
    }

    #[tokio::test]
    async fn what_is_planned_is_shown_before_work_on_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let (bus, live) = (Bus::default(), Live::new(journal(&folder).await));
        let (events, changes) = (bus.listen(), live.changes());
        bus.tell(Progress::Planned { mailboxes: 1, messages: 7, octets: 70 });
        bus.tell(Progress::Stored { mailbox: 1, messages: 2, octets: 20 });
        drop(bus);
        live.follow(events).await;
        assert!(changes.has_changed().unwrap());
        let standing = live.standing();
        assert_eq!(standing.view.mailboxes[&1].source, "A");
        assert_eq!((standing.whole.there.messages, standing.whole.todo()), (2, 5));
    }
}
