//! A journal in memory, for tests: it forgets what was not synced.
//!
//! Two images are kept: `current` is what the next call sees, `durable` is what a crash leaves. `commit_batch`,
//! `set_baseline` and `note_durably` make everything before them durable, in order, as a write-ahead log does.

mod image;

use super::{
    AccountPair, Baseline, BatchEnd, BatchId, Change, Count, Epoch, EpochFacts, EpochId, Intent, Item,
    ItemId, Journal, JournalError, JournalResult, Lease, ListedItem, ListingChange, MailboxId, MailboxRecord,
    Note, NoteRecord, OpenBatch, Query, RunId, RunRecord, Side, Sighting, State, Unstored,
};
use crate::message::Key;
use image::{Image, unknown};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A write of the journal, as a test sees it: the verb, and whether it has taken effect yet. A write that fails has no
/// second step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The verb.
    pub verb: &'static str,
    /// False before the write takes effect, true after.
    pub done: bool,
}

/// Asked around every write; `true` stops the engine there for ever, as a crash would.
pub type Hook = Arc<dyn Fn(Write) -> bool + Send + Sync>;

#[derive(Default)]
struct Inner {
    pair: Option<AccountPair>,
    current: Image,
    durable: Image,
    token: i64,
    held: bool,
    ticks: u64,
    disk_full: bool,
    durable_times: VecDeque<Duration>,
    hook: Option<Hook>,
}

impl Inner {
    fn check(&self, token: i64) -> JournalResult<()> {
        if self.held && self.token == token { Ok(()) } else { Err(JournalError::Fenced) }
    }
}

/// Journals in memory: the place that survives a crash.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Inner>>);

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore")
    }
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acquires the migration of `pair`.
    pub fn open(&self, pair: &AccountPair) -> JournalResult<MemoryJournal> {
        let mut inner = self.inner();
        if inner.held {
            return Err(JournalError::Held { holder: "another handle".into() });
        }
        let known = inner.pair.get_or_insert_with(|| pair.clone());
        if known != pair {
            let what = format!("it is about {} and {}", known.source, known.target);
            return Err(JournalError::OtherSettings { what });
        }
        inner.held = true;
        inner.token += 1;
        Ok(MemoryJournal { store: self.clone(), token: inner.token })
    }

    /// The machine stops: what was not durable is forgotten, the lock is free, old handles are fenced off.
    pub fn crash(&self) {
        let mut inner = self.inner();
        inner.current = inner.durable.clone();
        inner.held = false;
        inner.token += 1;
    }

    /// The process dies and the machine goes on: what was written is kept, durable or not; the lock is free, old handles
    /// are fenced off.
    pub fn kill(&self) {
        let mut inner = self.inner();
        inner.held = false;
        inner.token += 1;
    }

    /// From now on durable writes fail with [`JournalError::DiskFull`].
    pub fn set_disk_full(&self, full: bool) {
        self.inner().disk_full = full;
    }

    /// The next durable writes take these times before they take effect; those after them take none.
    pub fn set_durable_times(&self, times: impl IntoIterator<Item = Duration>) {
        self.inner().durable_times = times.into_iter().collect();
    }

    /// Asks `hook` around every write.
    pub fn set_hook(&self, hook: Option<Hook>) {
        self.inner().hook = hook;
    }
}

/// One migration in memory.
#[derive(Clone, Debug)]
pub struct MemoryJournal {
    store: MemoryStore,
    token: i64,
}

impl MemoryJournal {
    /// Runs a write: all of it or nothing. `durable` writes carry everything before them to the disk.
    async fn write<R>(
        &self,
        verb: &'static str,
        durable: bool,
        change: impl FnOnce(&mut Image, SystemTime) -> JournalResult<R>,
    ) -> JournalResult<R> {
        self.stop(Write { verb, done: false }).await;
        let time = if durable { self.store.inner().durable_times.pop_front() } else { None };
        if let Some(time) = time.filter(|t| !t.is_zero()) {
            tokio::time::sleep(time).await;
        }
        let result = {
            let mut inner = self.store.inner();
            inner.check(self.token)?;
            if durable && inner.disk_full {
                return Err(JournalError::DiskFull { place: "memory".into() });
            }
            inner.ticks += 1;
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + inner.ticks);
            let mut image = inner.current.clone();
            let result = change(&mut image, now)?;
            if durable {
                inner.durable = image.clone();
            }
            inner.current = image;
            result
        };
        self.stop(Write { verb, done: true }).await;
        Ok(result)
    }

    async fn stop(&self, write: Write) {
        let hook = self.store.inner().hook.clone();
        if hook.is_some_and(|hook| hook(write)) {
            std::future::pending::<()>().await;
        }
    }

    fn read<R>(&self, look: impl FnOnce(&Image) -> R) -> JournalResult<R> {
        Ok(look(&self.store.inner().current))
    }
}

impl Journal for MemoryJournal {
    fn lease(&self) -> Lease {
        Lease { token: self.token, expires: None }
    }

    async fn renew(&self) -> JournalResult<Lease> {
        self.store.inner().check(self.token)?;
        Ok(self.lease())
    }

    async fn release(&self) -> JournalResult<()> {
        self.write("release", true, |_, _| Ok(())).await?;
        let mut inner = self.store.inner();
        if inner.token == self.token {
            inner.held = false;
        }
        Ok(())
    }

    fn pair(&self) -> AccountPair {
        let empty = AccountPair { source: String::new(), target: String::new() };
        self.store.inner().pair.clone().unwrap_or(empty)
    }

    async fn setting(&self, name: &str) -> JournalResult<Option<String>> {
        self.read(|image| image.settings.get(name).cloned())
    }

    async fn pin_setting(&self, name: &str, value: &str) -> JournalResult<()> {
        self.write("pin_setting", false, |image, _| {
            let known = image.settings.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            if known == value {
                return Ok(());
            }
            Err(JournalError::OtherSettings { what: format!("{name} was {known}, now it is {value}") })
        })
        .await
    }

    async fn begin_run(&self, verb: &str) -> JournalResult<RunId> {
        self.write("begin_run", false, |image, now| {
            let id = RunId(image.runs.len() as i64 + 1);
            let verb = verb.to_owned();
            image.runs.push(RunRecord { id, verb, started: now, ended: None, outcome: None });
            Ok(id)
        })
        .await
    }

    async fn end_run(&self, run: RunId, outcome: &str) -> JournalResult<()> {
        self.write("end_run", false, |image, now| {
            let Some(run) = image.runs.iter_mut().find(|r| r.id == run) else { return Err(unknown("run")) };
            run.ended = Some(now);
            run.outcome = Some(outcome.to_owned());
            Ok(())
        })
        .await
    }

    async fn runs(&self, limit: usize) -> JournalResult<Vec<RunRecord>> {
        self.read(|image| image.runs[image.runs.len().saturating_sub(limit)..].to_vec())
    }

    async fn save_mailboxes(&self, mailboxes: &[MailboxRecord]) -> JournalResult<Vec<MailboxRecord>> {
        self.write("save_mailboxes", false, |image, _| {
            let mut saved = Vec::new();
            for new in mailboxes {
                let next = MailboxId(image.mailboxes.len() as i64 + 1);
                let known = image.mailboxes.iter_mut().find(|m| m.source.wire == new.source.wire);
                let record = MailboxRecord { id: known.as_ref().map_or(next, |k| k.id), ..new.clone() };
                match known {
                    Some(known) => *known = record.clone(),
                    None => image.mailboxes.push(record.clone()),
                }
                saved.push(record);
            }
            Ok(saved)
        })
        .await
    }

    async fn mailboxes(&self) -> JournalResult<Vec<MailboxRecord>> {
        self.read(|image| image.mailboxes.clone())
    }

    async fn open_epoch(&self, mailbox: MailboxId, side: Side, facts: &EpochFacts) -> JournalResult<Epoch> {
        self.write("open_epoch", false, |image, _| {
            let next = EpochId(image.epochs.len() as i64 + 1);
            let same = |e: &&mut Epoch| {
                e.mailbox == mailbox && e.side == side && e.facts.uid_validity == facts.uid_validity
            };
            let epoch = match image.epochs.iter_mut().find(same) {
                Some(epoch) => {
                    epoch.facts = facts.clone();
                    epoch.clone()
                }
                None => {
                    image.epochs.push(Epoch { id: next, mailbox, side, facts: facts.clone() });
                    Epoch { id: next, mailbox, side, facts: facts.clone() }
                }
            };
            image.current.retain(|id| *id != epoch.id);
            image.current.push(epoch.id);
            Ok(epoch)
        })
        .await
    }

    async fn epochs(&self, mailbox: MailboxId, side: Side) -> JournalResult<Vec<Epoch>> {
        self.read(|image| {
            let by_id = |id: &EpochId| image.epochs.iter().find(|e| e.id == *id).cloned();
            let all = image.current.iter().filter_map(by_id);
            all.filter(|e| e.mailbox == mailbox && e.side == side).collect()
        })
    }

    async fn baseline(&self, mailbox: MailboxId) -> JournalResult<Option<Baseline>> {
        self.read(|image| image.baselines.get(&mailbox).copied())
    }

    async fn set_baseline(&self, mailbox: MailboxId, baseline: Baseline) -> JournalResult<()> {
        self.write("set_baseline", true, |image, _| {
            if let Some(known) = image.baselines.get(&mailbox) {
                let same = Baseline { matched: baseline.matched, ..*known } == baseline;
                if known.epoch == baseline.epoch && !same {
                    let what = format!("the baseline of mailbox {} is set already", mailbox.0);
                    return Err(JournalError::OtherSettings { what });
                }
            }
            image.baselines.insert(mailbox, baseline);
            Ok(())
        })
        .await
    }

    async fn record_listing(
        &self,
        mailbox: MailboxId,
        epoch: EpochId,
        listed: &[ListedItem],
    ) -> JournalResult<ListingChange> {
        self.write("record_listing", false, |image, _| image.list(mailbox, epoch, listed)).await
    }

    async fn items(&self, query: Query<'_>) -> JournalResult<Vec<Item>> {
        self.read(|image| {
            let wanted = |i: &&Item| {
                query.mailbox.is_none_or(|m| m == i.id.mailbox)
                    && (query.states.is_empty() || query.states.contains(&i.state))
                    && query.after.is_none_or(|a| i.id > a)
            };
            image.items.values().filter(wanted).take(query.limit).cloned().collect()
        })
    }

    async fn unplaced(
        &self,
        mailbox: MailboxId,
        after: Option<ItemId>,
        limit: usize,
    ) -> JournalResult<Vec<Item>> {
        let query = Query { mailbox: Some(mailbox), states: &[State::Stored], after, limit: usize::MAX };
        let stored = self.items(query).await?;
        Ok(stored.into_iter().filter(|i| i.place.is_none()).take(limit).collect())
    }

    async fn counts(&self) -> JournalResult<Vec<Count>> {
        self.read(|image| {
            let mut counts: Vec<Count> = Vec::new();
            for item in image.items.values() {
                let kind = item.reason.as_ref().map(|r| r.kind.clone());
                let octets = item.sent.as_ref().map_or(item.octets, |s| s.fetched.octets);
                let same = |c: &&mut Count| {
                    c.mailbox == item.id.mailbox
                        && c.state == item.state
                        && c.grade == item.grade
                        && c.kind == kind
                };
                match counts.iter_mut().find(same) {
                    Some(count) => {
                        count.items += 1;
                        count.octets += octets;
                    }
                    None => {
                        let (mailbox, state, grade) = (item.id.mailbox, item.state, item.grade);
                        counts.push(Count { mailbox, state, grade, kind, items: 1, octets });
                    }
                }
            }
            counts.sort_by(|a, b| {
                (a.mailbox, a.state, a.grade, &a.kind).cmp(&(b.mailbox, b.state, b.grade, &b.kind))
            });
            counts
        })
    }

    async fn change(&self, changes: &[Change]) -> JournalResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write("change", false, |image, _| changes.iter().try_for_each(|c| image.apply(c))).await
    }

    async fn rekey(&self, pairs: &[(ItemId, ItemId)]) -> JournalResult<()> {
        self.write("rekey", false, |image, _| pairs.iter().try_for_each(|(from, to)| image.rekey(*from, *to)))
            .await
    }

    async fn claims(
        &self,
        mailbox: MailboxId,
        epoch: EpochId,
        from: Key,
        limit: usize,
    ) -> JournalResult<Vec<(Key, ItemId)>> {
        self.read(|image| {
            let range = (mailbox, epoch, from)..=(mailbox, epoch, Key(i64::MAX));
            image.claims.range(range).take(limit).map(|((_, _, uid), id)| (*uid, *id)).collect()
        })
    }

    async fn commit_batch(&self, intent: &Intent) -> JournalResult<BatchId> {
        self.write("commit_batch", true, |image, now| image.commit(intent, now)).await
    }

    async fn end_batch(&self, batch: BatchId, end: BatchEnd, changes: &[Change]) -> JournalResult<()> {
        self.write("end_batch", false, |image, _| image.end(batch, end, changes)).await
    }

    async fn open_batches(&self, mailbox: MailboxId) -> JournalResult<Vec<OpenBatch>> {
        self.read(|image| {
            let open = image.batches.iter().filter(|(_, b)| b.open && b.mailbox == mailbox);
            open.map(|(id, b)| OpenBatch {
                id: *id,
                epoch: b.epoch,
                uid_next: b.uid_next,
                form: b.form,
                committed_at: b.committed_at,
                items: b.items.clone(),
            })
            .collect()
        })
    }

    async fn unstored(
        &self,
        mailbox: MailboxId,
        after: Option<BatchId>,
        limit: usize,
    ) -> JournalResult<Vec<Unstored>> {
        self.read(|image| image.unstored(mailbox, after).take(limit).collect())
    }

    async fn note(&self, note: Note) -> JournalResult<()> {
        self.write("note", false, |image, now| image.note(note, now)).await
    }

    async fn note_durably(&self, note: Note) -> JournalResult<()> {
        self.write("note_durably", true, |image, now| image.note(note, now)).await
    }

    async fn notes(&self, prefix: &str, after: i64, limit: usize) -> JournalResult<Vec<NoteRecord>> {
        self.read(|image| {
            let wanted = |n: &&NoteRecord| n.id > after && n.note.kind.starts_with(prefix);
            image.notes.iter().filter(wanted).take(limit).cloned().collect()
        })
    }

    async fn save_sighting(&self, run: RunId, sighting: &Sighting) -> JournalResult<()> {
        self.write("save_sighting", false, |image, _| {
            let same = |(r, s): &(RunId, Sighting)| {
                *r == run && s.mailbox == sighting.mailbox && s.side == sighting.side
            };
            image.sightings.retain(|s| !same(s));
            image.sightings.push((run, sighting.clone()));
            Ok(())
        })
        .await
    }

    async fn last_sighting(
        &self,
        mailbox: MailboxId,
        side: Side,
    ) -> JournalResult<Option<(RunId, Sighting)>> {
        self.read(|image| {
            let of = |(_, s): &&(RunId, Sighting)| s.mailbox == mailbox && s.side == side;
            image.sightings.iter().filter(of).max_by_key(|(run, _)| *run).cloned()
        })
    }
}
