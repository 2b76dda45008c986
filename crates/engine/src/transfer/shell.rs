//! Does what the [`brain`](super::brain) says, for one pass over the listed messages of one mailbox: fetches
//! ahead, uploads up to the gate while COMMIT runs, opens gates, writes what became of it.

mod hand;
mod lost;

use super::brain::{Action, BatchNo, Brain, Event, Ready};
use super::commit_time;
use super::commits::{Commits, end_batch, is_fresh, lease_lasts};
use super::feed::{Blame, Fed, FetchedAhead, Outstanding, Wish, feed};
use super::following::Following;
use super::job::{Job, Losses, Sessions};
use super::reading::Reading;
use super::replace;
use super::spool::Body;
use super::uids::{Checked, check};
use crate::clock::Stamp;
use crate::context::{Context, at};
use crate::end::{
    Answer, FetchEvent, Fetched, NewUids, Outgoing, Source, SourceSession, Target, TargetSession, Upload,
    Uploaded, Verdict, Way,
};
use crate::error::{EndError, Error, Refusal};
use crate::journal::{
    BatchEnd, BatchId, Change, Form, Intent, Item, ItemId, Journal, Note, Origin, Sent, Side, State,
};
use crate::message::Key;
use crate::pacer::Turn;
use crate::progress::Progress;
use crate::quirks::{self, Doing};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// Events of the source on their way to the shell.
pub(super) const EVENTS_QUEUED: usize = 64;

/// The longest commit is so many times as long as the wait for the rest of a burst.
const COMMITS_PER_BURST_WAIT: u32 = 8;

/// How a pass ended.
#[derive(Debug, Default)]
pub struct PassEnd {
    /// Messages stored or given up: progress.
    pub settled: u64,
    /// The source connection was lost, and which messages may be the cause.
    pub source_lost: Option<(EndError, Blame)>,
    /// The source asked for patience instead of giving messages.
    pub throttled: Option<EndError>,
    /// The source refused messages for a reason that may pass.
    pub trouble: Option<EndError>,
    /// Messages the source answered for without octets, or not at all, with its words.
    pub unread: BTreeMap<Key, String>,
    /// Messages that came and are asked for again, because they may be cut.
    pub again: BTreeSet<Key>,
    /// The target holds this mailbox up.
    pub held: Option<Refusal>,
    /// The server named UIDs that cannot be new: it may have merged equal messages.
    pub merged: Vec<(ItemId, Key)>,
    /// The target's epoch changed under us.
    pub epoch_changed: bool,
    /// The caller asked to stop; what was open is answered.
    pub interrupted: bool,
}

/// A message whose octets are here.
#[derive(Debug)]
struct InHand {
    body: Body,
    /// As fetched, where the ladder changed the octets.
    original: Option<Body>,
    /// What was to go with it before the ladder took something away.
    first: Sent,
    sent: Sent,
    /// Its state in the journal is `refused`.
    refused: bool,
}

impl InHand {
    /// Other octets are sent in place of those fetched; returns how many.
    fn becomes(&mut self, body: Body) -> u64 {
        let before = std::mem::replace(&mut self.body, body);
        self.original.get_or_insert(before);
        self.sent.sent = self.body.measured().fingerprint;
        self.sent.sent.octets
    }
}

/// True for an answer after which patience begins anew: something was stored, or refused for good.
fn is_progress(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Stored { .. } => true,
        Verdict::Refused(refusal) => !quirks::is_passing(refusal.class),
        Verdict::Lost(_) | Verdict::Unsent(_) => false,
    }
}

/// A batch of this process, with its row in the journal.
#[derive(Debug)]
struct Open {
    items: Vec<ItemId>,
    octets: u64,
    uid_next: Key,
    id: Option<BatchId>,
    durable_at: Option<Stamp>,
    /// What its answers change, written when it is closed.
    changes: Vec<Change>,
    lost: bool,
}

/// What work in flight comes back with.
enum Done<U> {
    AtGate(BatchNo, U, Uploaded),
    Answered(BatchNo, Vec<Answer>, Duration),
}

type AskedTurn = Pin<Box<dyn Future<Output = Result<Turn, EndError>> + Send>>;
type Work<U> = FuturesUnordered<Pin<Box<dyn Future<Output = Done<U>> + Send>>>;
type UploadOf<T> = <<T as Target>::Session as TargetSession>::Upload;

struct Shell<'a, S: Source, T: Target, J: Journal> {
    ctx: &'a Context<S, T, J>,
    sessions: &'a mut Sessions<S, T>,
    job: &'a mut Job,
    brain: Brain,
    hand: HashMap<ItemId, InHand>,
    /// Came before one that was asked for earlier, and waits for it.
    early: BTreeMap<Key, (Item, Fetched)>,
    open: BTreeMap<BatchNo, Open>,
    /// Uploads standing at their gates.
    staged: HashMap<BatchNo, UploadOf<T>>,
    work: Work<UploadOf<T>>,
    commits: Commits,
    /// The turn that the brain waits for.
    asked_turn: Option<AskedTurn>,
    /// The turn of the batch that is staged next.
    turn: Option<Turn>,
    outstanding: Outstanding,
    reading: &'a mut Reading,
    way: Way,
    /// The target removes what is stored as `\Deleted`.
    deleted_removes: bool,
    /// Messages that replace a damaged copy; those that go inside a cover message in any case.
    replacing: BTreeMap<ItemId, bool>,
    losses: Losses,
    /// Connections lost since something was last answered or found.
    lost_in_a_row: u32,
    lost_at: Option<Stamp>,
    /// What the last lost connection ended with, if that asks for patience.
    last_words: Option<String>,
    end: PassEnd,
}

/// Copies the listed messages of a mailbox once, in order. When it returns, no gate is open; an error may leave
/// batches in the journal that the next [`resolve`] settles.
pub async fn run_pass<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    wish: &Wish,
    reading: &mut Reading,
    memory: &Arc<Semaphore>,
    following: &mut Following<'_>,
) -> Result<PassEnd, Error> {
    sessions.source(ctx).await?;
    let abilities = sessions.target(ctx).await?.abilities();
    let deleted_removes = abilities.does.deleted_removes;
    let form = if abilities.multi { Form::Multi } else { Form::Group };
    let piece = ctx.pace.target.piece_octets();
    // In a group each message has a command of its own.
    let together_max = abilities.append_messages_max.filter(|_| form == Form::Multi);
    let limits = ctx.settings.limits.narrowed(together_max, piece).narrowed(wish.together_max, None);
    let begins_with = ctx.batch_messages.load(Ordering::Relaxed);
    let brain = Brain::new(limits, form, abilities.overlap).beginning_with(begins_with);
    let first_batch = brain.batch_messages();
    let brain = if piece.is_some() { brain.in_turns() } else { brain }.repairing(ctx.settings.repair);
    let replacing = replace::forms(ctx, job).await?;
    let Some(mut source) = sessions.source.take() else { return Ok(PassEnd::default()) };
    let (range_tx, range_rx) = mpsc::channel(ctx.settings.limits.fetch_ranges_in_flight);
    let (fed_tx, fed_rx) = mpsc::channel(EVENTS_QUEUED);
    let (event_tx, event_rx) = mpsc::channel(EVENTS_QUEUED);
    let (source_done, all_taken) = oneshot::channel();
    let ahead = FetchedAhead { bodies: following.bodies_of(wish.epoch), events: event_tx.clone() };
    // The shell has the job to itself.
    let asked = job.clone();
    let messages_max = source.abilities().command_messages_max;
    let limits = ctx.settings.limits.narrowed(messages_max, ctx.pace.source.piece_octets());
    let mut shell = Shell {
        ctx,
        sessions,
        job,
        brain,
        hand: HashMap::new(),
        early: BTreeMap::new(),
        open: BTreeMap::new(),
        staged: HashMap::new(),
        work: FuturesUnordered::new(),
        commits: Commits::default(),
        asked_turn: None,
        turn: None,
        outstanding: Outstanding::default(),
        reading,
        way: wish.way,
        deleted_removes,
        replacing,
        losses: Losses::new(ctx),
        lost_in_a_row: 0,
        lost_at: None,
        last_words: None,
        end: PassEnd::default(),
    };
    // Three parts of one task: the feeder asks, the fetch brings, the shell sends. When one ends, the others see
    // their channels close.
    let fetch = async {
        let fetched = source.fetch(range_rx, &ctx.intake, event_tx).await;
        // Single messages are asked for because of trouble: other passes may come. Who stops says nothing.
        let is_last = fetched.is_ok() && wish.only.is_empty() && all_taken.await == Ok(true);
        (fetched, if is_last { following.begin(ctx, &mut source, memory).await } else { Ok(true) })
    };
    let (fed, (fetched, usable), sent) = tokio::join!(
        feed(ctx, &limits, (&asked, wish, ahead), memory, range_tx, fed_tx),
        fetch,
        shell.send_all(fed_rx, event_rx, source_done)
    );
    sent?;
    fed?;
    let usable = usable?;
    let Shell { mut end, outstanding, sessions, brain, .. } = shell;
    // Not what was narrowed for the sake of messages of this mailbox, nor where they were too few to learn anything.
    if wish.together_max.is_none() && brain.batch_messages() != first_batch {
        ctx.batch_messages.store(brain.batch_messages(), Ordering::Relaxed);
    }
    match fetched {
        Ok(()) => sessions.source = usable.then_some(source),
        // It says nothing of the messages.
        Err(error) if error.asks_for_patience().is_some() => end.throttled = Some(error),
        Err(error) if error.is_connection() => end.source_lost = Some((error, outstanding.blame())),
        Err(error) => return Err(at(Side::Source, error)),
    }
    Ok(end)
}

/// The turn that was asked for, as soon as it comes; never, where none is asked for or the caller asked to stop.
async fn granted(asked: &mut Option<AskedTurn>) -> Option<Turn> {
    let turn = asked.as_mut()?.await;
    *asked = None;
    turn.ok()
}

impl<S: Source, T: Target, J: Journal> Shell<'_, S, T, J> {
    /// Runs until everything in hand is settled and the source brings no more. `source_done` is told, once everything that it
    /// gave has been looked at, whether the pass is clean so far; nothing, where this ends before.
    async fn send_all(
        &mut self,
        mut fed: mpsc::Receiver<Fed>,
        mut events: mpsc::Receiver<FetchEvent>,
        source_done: oneshot::Sender<bool>,
    ) -> Result<(), Error> {
        let mut source_done = Some(source_done);
        let (mut starved, mut asked_all, mut source_open, mut fed_open) = (false, false, true, true);
        let cancel = self.ctx.cancel.clone();
        let mut burst_ends: Option<Instant> = None;
        loop {
            let waits_for_us = (starved || asked_all) && self.outstanding.is_empty() && events.is_empty();
            if !source_open || waits_for_us {
                burst_ends = None;
                self.act(Event::NothingMoreSoon).await?;
            }
            let stopped = self.end.interrupted || self.end.held.is_some();
            let done = asked_all && self.outstanding.is_empty() && events.is_empty() || !source_open;
            if self.open.is_empty() && (stopped || (done && self.brain.is_idle())) {
                break;
            }
            tokio::select! {
                biased;
                () = cancel.cancelled(), if !self.end.interrupted => {
                    self.end.interrupted = true;
                    self.act(Event::Stop).await?;
                }
                (no, result, took) = self.commits.next(), if !self.commits.is_empty() => {
                    self.committed(no, result?, took).await?;
                }
                Some(done) = self.work.next(), if !self.work.is_empty() => self.done(done).await?,
                Some(turn) = granted(&mut self.asked_turn) => {
                    self.turn = Some(turn);
                    self.act(Event::Turn).await?;
                    self.turn = None;
                }
                told = fed.recv(), if fed_open => match told {
                    Some(Fed::Asked(items)) => self.outstanding.add(items),
                    Some(Fed::Starved) => starved = true,
                    Some(Fed::Resumed) => {
                        starved = false;
                        self.act(Event::MoreComing).await?;
                    }
                    Some(Fed::Done) => asked_all = true,
                    None => fed_open = false,
                },
                event = events.recv(), if source_open => match event {
                    Some(event) => {
                        self.fetched(event).await?;
                        burst_ends = events.is_empty().then(|| Instant::now() + self.burst_wait());
                    }
                    None => {
                        source_open = false;
                        source_done.take().map(|done| done.send(self.is_clean()));
                    }
                },
                () = tokio::time::sleep_until(burst_ends.unwrap_or_else(Instant::now)), if burst_ends.is_some() => {
                    burst_ends = None;
                    self.act(Event::BurstEnds).await?;
                }
            }
        }
        self.put_down().await
    }

    /// True when the source gave all that was asked for, and nothing asks for another pass.
    fn is_clean(&self) -> bool {
        let end = &self.end;
        let troubled =
            end.throttled.is_some() || end.trouble.is_some() || end.held.is_some() || end.interrupted;
        self.outstanding.is_empty() && end.unread.is_empty() && end.again.is_empty() && !troubled
    }

    /// How long more is waited for before a batch goes out that is not full: each batch costs a commit and a round trip, so
    /// that a small part of one is well spent.
    fn burst_wait(&self) -> Duration {
        let most = self.ctx.settings.limits.burst_wait_max;
        match self.ctx.longest_commit_ms.load(Ordering::Relaxed) {
            0 => most,
            ms => (Duration::from_millis(ms) / COMMITS_PER_BURST_WAIT).min(most),
        }
    }

    /// What is still in hand and refused goes back to `listed`; the rest is `listed` in the journal anyway.
    async fn put_down(&mut self) -> Result<(), Error> {
        let refused = self.hand.iter().filter(|(_, h)| h.refused);
        let mut changes: Vec<Change> = refused.map(|(id, _)| Change::to(*id, State::Listed)).collect();
        changes.sort_by_key(|c| c.item);
        self.hand.clear();
        self.early.clear();
        if !changes.is_empty() {
            self.ctx.journal.change(&changes).await?;
        }
        Ok(())
    }

    async fn fetched(&mut self, event: FetchEvent) -> Result<(), Error> {
        match event {
            FetchEvent::Fetched(fetched) => {
                // An answer nobody asked for is dropped: a reply is used only for the UID asked (I10).
                if let Some(item) = self.outstanding.take(fetched.key) {
                    self.ctx.pace.source.correct(item.octets, fetched.body.octets());
                    self.early.insert(fetched.key, (item, fetched));
                }
            }
            FetchEvent::NoBody { key } => {
                if self.outstanding.take(key).is_some() {
                    self.end.unread.insert(key, "the old server gave no octets".into());
                }
            }
            FetchEvent::RangeDone { missing, refused, .. } => {
                let throttled = refused.as_ref().is_some_and(|r| r.asks_for_patience(Doing::Fetch));
                if let Some(refusal) = refused.clone().filter(|r| throttled || quirks::is_passing(r.class)) {
                    let (server, doing) = ("the old server".to_owned(), "UID FETCH");
                    let error = Some(EndError::Refused { server, doing, refusal });
                    // Patience says nothing of the messages: they are asked for again after the wait.
                    *(if throttled { &mut self.end.throttled } else { &mut self.end.trouble }) = error;
                }
                let words = refused.map_or_else(|| "the old server left it out".into(), |r| r.to_string());
                for key in missing {
                    if self.outstanding.take(key).is_some() && !throttled {
                        self.end.unread.insert(key, words.clone());
                    }
                }
            }
        }
        self.take_in_order().await
    }

    /// Takes in hand what nothing asked for earlier is missing before: messages go to the target in the order of the source,
    /// whatever order they come in. A server may answer commands side by side (RFC 9051, 5.5).
    ///
    /// QUIRK: Dovecot 2.3.19 goes on with the next FETCH where the client does not take the answers of one as fast as they come
    /// (seen here: six messages of 2 MB came after 28 that were asked for later).
    async fn take_in_order(&mut self) -> Result<(), Error> {
        while let Some(first) = self.early.first_entry() {
            if self.outstanding.first().is_some_and(|missing| missing < *first.key()) {
                break;
            }
            let (item, fetched) = first.remove();
            self.take_in_hand(item, fetched).await?;
        }
        Ok(())
    }

    /// Gives an event to the brain and does what it says.
    async fn act(&mut self, event: Event) -> Result<(), Error> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.brain.step(event) {
                events.extend(self.perform(action).await?);
            }
        }
        Ok(())
    }

    async fn perform(&mut self, action: Action) -> Result<Option<Event>, Error> {
        match action {
            Action::Stage(no, items) => self.stage(no, &items).await?,
            Action::AwaitTurn => {
                let pacer = self.ctx.pace.target.clone();
                self.asked_turn = Some(Box::pin(async move { pacer.turn().await }));
            }
            Action::Commit(no, form, items) => self.commit(no, form, items).await,
            Action::OpenGate(no) => return Ok(self.open_gate(no).await),
            Action::Abandon(no) => self.abandon(no).await?,
            Action::Stored(no, items, uids) => self.stored(no, &items, uids).await?,
            Action::Refused(no, items) => self.refused(no, &items),
            Action::InDoubt(no, items) => self.in_doubt(no, &items),
            Action::Unsent(no, items) => self.unsent(no, &items),
            Action::Close(no) => self.close(no).await?,
            Action::Ladder(ready, step) => return self.climb(ready, step).await.map(Some),
            Action::GiveUp(item, reason) => self.give_up(item, reason).await?,
            Action::Reconnect => return self.recover().await.map(Some),
            Action::Wait(pause, refusal) => return self.wait(pause, &refusal).await.map(Some),
            Action::Unexplained(refusal) => self.unexplained(refusal)?,
            Action::Hold(refusal) => self.end.held = Some(refusal),
        }
        Ok(None)
    }

    async fn stage(&mut self, no: BatchNo, items: &[Ready]) -> Result<(), Error> {
        self.ctx.probe.pass("stage").await;
        if let Some(turn) = self.turn.take() {
            turn.pay(items.iter().map(|r| r.octets).sum());
        }
        let in_hand = items.iter().filter_map(|r| self.hand.get(&r.item));
        let outgoing = in_hand.map(|h| Outgoing {
            flags: h.sent.flags.clone(),
            internal_date: h.sent.internal_date.clone(),
            body: h.body.clone(),
        });
        let outgoing: Vec<Outgoing> = outgoing.collect();
        let target = self.sessions.target(self.ctx).await?;
        let mut upload = target.stage(&self.job.target.wire, outgoing);
        self.work.push(Box::pin(async move {
            let uploaded = upload.uploaded().await;
            Done::AtGate(no, upload, uploaded)
        }));
        Ok(())
    }

    async fn commit(&mut self, no: BatchNo, form: Form, items: Vec<ItemId>) {
        self.ctx.probe.pass("commit").await;
        let mut sent = Vec::with_capacity(items.len());
        for id in &items {
            if let Some(hand) = self.hand.get_mut(id) {
                hand.refused = false;
                sent.push((*id, hand.sent.clone()));
            }
        }
        let octets = sent.iter().map(|(_, s)| s.sent.octets).sum();
        let uid_next = self.job.uid_next;
        let intent = Intent {
            mailbox: self.job.record.id,
            epoch: self.job.target_epoch.id,
            uid_next,
            form,
            items: sent,
        };
        let journal = self.ctx.journal.clone();
        self.commits.start(no, async move {
            #[cfg(mailhaul_mutants)]
            if crate::mutants::Mutant::LateCommit.is_on() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            journal.commit_batch(&intent).await
        });
        let (changes, id, durable_at) = (Vec::new(), None, None);
        self.open.insert(no, Open { items, octets, uid_next, id, durable_at, changes, lost: false });
    }

    async fn committed(&mut self, no: BatchNo, id: BatchId, took: Duration) -> Result<(), Error> {
        let now = self.ctx.clock.now();
        if let Some(open) = self.open.get_mut(&no) {
            open.id = Some(id);
            open.durable_at = Some(now);
        }
        let in_time = took <= self.ctx.settings.limits.journal_commit_max;
        self.act(if in_time { Event::Durable(no) } else { Event::NotDurable(no) }).await
    }

    /// The gate opens only shortly after COMMIT became durable, and while the lease lasts (architecture.md,
    /// Journal).
    async fn open_gate(&mut self, no: BatchNo) -> Option<Event> {
        self.ctx.probe.pass("before the gate").await;
        let durable = self.open.get(&no).and_then(|o| o.durable_at).is_some_and(|at| is_fresh(self.ctx, at));
        #[cfg(mailhaul_mutants)]
        let durable = durable || crate::mutants::Mutant::LateCommit.is_on();
        match self.staged.remove(&no) {
            Some(upload) if durable && lease_lasts(self.ctx) => {
                let began = Instant::now();
                self.work.push(Box::pin(async move {
                    let answers = upload.finish().await;
                    Done::Answered(no, answers, began.elapsed())
                }));
                None
            }
            _ => Some(Event::NotDurable(no)),
        }
    }

    async fn done(&mut self, done: Done<UploadOf<T>>) -> Result<(), Error> {
        match done {
            // An abandoned batch: its upload is dropped here.
            Done::AtGate(no, ..) | Done::Answered(no, ..) if !self.open.contains_key(&no) => Ok(()),
            Done::AtGate(no, upload, Uploaded::AtGate) => {
                self.staged.insert(no, upload);
                self.act(Event::AtGate(no)).await
            }
            Done::AtGate(no, upload, Uploaded::Refused(refusal)) => {
                // Before anything else: it may have more to send.
                drop(upload);
                self.act(Event::RefusedEarly(no, refusal)).await
            }
            Done::AtGate(no, _, Uploaded::Lost(words)) => {
                self.connection_lost(&words);
                self.act(Event::LostEarly(no)).await
            }
            Done::Answered(no, answers, took) => {
                self.ctx.probe.pass("after the answer").await;
                let lost_with = |answer: &Answer| match &answer.verdict {
                    Verdict::Lost(words) | Verdict::Unsent(words) => Some(words.clone()),
                    _ => None,
                };
                if answers.iter().any(|a| lost_with(a).is_none()) {
                    self.lost_in_a_row = 0;
                }
                let lost = answers.iter().find_map(lost_with);
                if let Some(words) = lost {
                    self.connection_lost(&words);
                } else if answers.iter().any(|a| is_progress(&a.verdict)) {
                    commit_time::seen(self.ctx, took).await?;
                    self.losses.reset();
                }
                self.act(Event::Answered(no, answers, took)).await
            }
        }
    }

    async fn stored(&mut self, no: BatchNo, items: &[ItemId], uids: Option<NewUids>) -> Result<(), Error> {
        let Some(open) = self.open.get_mut(&no) else { return Ok(()) };
        let checked = match &uids {
            Some(uids) => check(self.job, open.uid_next, items.len(), uids),
            None => Checked::Unknown,
        };
        let mut note = None;
        match checked {
            Checked::Places(places) => {
                for (item, place) in items.iter().zip(places) {
                    let change = Change::to(*item, State::Stored);
                    match place {
                        Ok(uid) => {
                            self.job.uid_next = self.job.uid_next.max(Key(uid.0 + 1));
                            open.changes.push(change.at(self.job.place(uid), Origin::Appended));
                        }
                        Err(uid) => {
                            self.end.merged.push((*item, uid));
                            open.changes.push(change);
                        }
                    }
                }
            }
            Checked::Unknown => open.changes.extend(items.iter().map(|i| Change::to(*i, State::Stored))),
            Checked::OtherEpoch(now) => {
                self.end.epoch_changed = true;
                open.changes.extend(items.iter().map(|i| Change::to(*i, State::Stored)));
                note = Some(format!(
                    "the new server answered with UIDVALIDITY {now} in {}",
                    self.job.target.text
                ));
            }
        }
        self.end.settled += items.len() as u64;
        self.ctx.unexplained.stored(items.len() as u64);
        if let Some(text) = note {
            let (kind, mailbox) = ("epoch_changed".to_owned(), Some(self.job.record.id));
            self.ctx.journal.note(Note { kind, mailbox, key: None, text }).await?;
        }
        Ok(())
    }

    fn refused(&mut self, no: BatchNo, items: &[ItemId]) {
        for item in items {
            if let Some(hand) = self.hand.get_mut(item) {
                hand.refused = true;
            }
        }
        if let Some(open) = self.open.get_mut(&no) {
            open.changes.extend(items.iter().map(|i| Change::to(*i, State::Refused)));
        }
    }

    fn in_doubt(&mut self, no: BatchNo, items: &[ItemId]) {
        // The octets are dropped; they are fetched again if needed.
        items.iter().for_each(|i| drop(self.hand.remove(i)));
        if let Some(open) = self.open.get_mut(&no) {
            open.lost = true;
            open.changes.extend(items.iter().map(|i| Change::to(*i, State::InDoubt)));
        }
    }

    fn unsent(&mut self, no: BatchNo, items: &[ItemId]) {
        if let Some(open) = self.open.get_mut(&no) {
            open.changes.extend(items.iter().map(|i| Change::to(*i, State::Listed)));
        }
    }

    async fn close(&mut self, no: BatchNo) -> Result<(), Error> {
        let end = match self.open.get(&no) {
            Some(open) if open.lost => BatchEnd::Lost,
            Some(_) => BatchEnd::Answered,
            None => return Ok(()),
        };
        self.end_batch(no, end).await
    }

    /// The gate of this batch was never opened: it is certainly not stored.
    async fn abandon(&mut self, no: BatchNo) -> Result<(), Error> {
        self.staged.remove(&no);
        self.connection_lost("cut here");
        if let Some(open) = self.open.get_mut(&no) {
            open.changes = open.items.iter().map(|i| Change::to(*i, State::Listed)).collect();
        }
        self.end_batch(no, BatchEnd::Void).await
    }

    async fn end_batch(&mut self, no: BatchNo, end: BatchEnd) -> Result<(), Error> {
        let committed = self.commits.finish(no).await?;
        let Some(mut open) = self.open.remove(&no) else { return Ok(()) };
        let Some(id) = open.id.or(committed) else { return Ok(()) };
        self.end.merged.extend(end_batch(self.ctx, id, end, &mut open.changes).await?);
        let stored: Vec<ItemId> =
            open.changes.iter().filter(|c| c.to == State::Stored).map(|c| c.item).collect();
        for item in &stored {
            self.hand.remove(item);
        }
        if !stored.is_empty() {
            let octets = if stored.len() == open.items.len() { open.octets } else { 0 };
            let (mailbox, messages) = (self.job.record.id, stored.len());
            self.ctx.bus.tell(Progress::stored(mailbox, messages as u64, octets));
            self.ctx.stored.tell(mailbox, messages);
        }
        Ok(())
    }
}
