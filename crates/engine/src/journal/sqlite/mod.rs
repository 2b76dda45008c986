//! The journal in an SQLite file: one writer thread, a write-ahead log, FULL on COMMIT.
//!
//! A durable verb waits until its transaction and everything before it is on the disk; other writes are in the log in
//! the same order and reach the disk with the next durable one. The file is locked beside itself as long as it is
//! open, and each write checks the token of the lease.

mod batches;
mod claims;
mod coding;
mod facts;
mod format;
mod items;
mod lock;
mod moves;
mod open;
mod record;
mod rekey;
mod rows;
mod tally;
mod work;
mod worker;

use super::{
    AccountPair, Baseline, BatchEnd, BatchId, Change, Count, Epoch, EpochFacts, EpochId, Intent, Item,
    ItemId, Journal, JournalError, JournalResult, Lease, ListedItem, ListingChange, MailboxId, MailboxRecord,
    Note, NoteRecord, OpenBatch, Query, RunId, RunRecord, Side, Sighting, Unstored,
};
use crate::clock::wall_now;
use crate::message::Key;
use items::Page;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use worker::{Need, Request};

/// A migration in an SQLite file. Clones share the connection and the lock; the last one closes both.
#[derive(Clone, Debug)]
pub struct SqliteJournal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    pair: AccountPair,
    /// `None` for a reader, which cannot write.
    token: Option<i64>,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    lock: Mutex<Option<lock::Lock>>,
}

impl SqliteJournal {
    /// Opens the journal at `path`, or creates it, and acquires its migration. `holder` names this process to another
    /// one that finds the lock taken.
    ///
    /// # Errors
    /// [`JournalError::Held`], [`JournalError::Newer`], [`JournalError::Damaged`], [`JournalError::OtherSettings`]
    /// (other accounts), [`JournalError::DiskFull`], [`JournalError::Store`].
    pub fn open(path: impl Into<PathBuf>, pair: &AccountPair, holder: &str) -> JournalResult<Self> {
        let path = real_path(path.into());
        let lock = lock::lock(&path, holder)?;
        let (connection, token) = open::open(&path, pair, holder, rows::millis(wall_now()))?;
        Ok(Self::start(path, pair.clone(), Some(token), connection, Some(lock)))
    }

    /// Opens an existing journal for reading, without the lock: for `status` and `report`.
    pub fn open_read_only(path: impl Into<PathBuf>) -> JournalResult<Self> {
        let path = real_path(path.into());
        let (connection, pair) = open::open_read_only(&path)?;
        Ok(Self::start(path, pair, None, connection, None))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    fn start(
        path: PathBuf,
        pair: AccountPair,
        token: Option<i64>,
        connection: Connection,
        lock: Option<lock::Lock>,
    ) -> Self {
        let (requests, work) = mpsc::channel();
        let place = path.display().to_string();
        let thread = std::thread::spawn(move || worker::serve(connection, &place, &work));
        let inner = Inner {
            path,
            pair,
            token,
            requests: Mutex::new(Some(requests)),
            thread: Mutex::new(Some(thread)),
            lock: Mutex::new(lock),
        };
        Self(Arc::new(inner))
    }

    async fn call<R: Send + 'static>(
        &self,
        need: Need,
        work: impl FnOnce(&Connection) -> JournalResult<R> + Send + 'static,
    ) -> JournalResult<R> {
        let token = self.0.token;
        if need != Need::Read && token.is_none() {
            return Err(JournalError::Fenced);
        }
        let (reply, answer) = tokio::sync::oneshot::channel();
        let checked = move |c: &Connection| {
            if need != Need::Read {
                check_token(c, token)?;
            }
            work(c)
        };
        let sent = {
            let requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.as_ref().is_some_and(|r| r.send(Request::new(need, checked, reply)).is_ok())
        };
        match answer.await {
            Ok(result) => result.map_err(|e| open::located(e, &self.0.path)),
            // Released: this process no longer holds the migration.
            Err(_) if !sent && need != Need::Read => Err(JournalError::Fenced),
            Err(_) => Err(self.closed()),
        }
    }

    async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> JournalResult<R> + Send + 'static,
    ) -> JournalResult<R> {
        self.call(Need::Read, work).await
    }

    async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> JournalResult<R> + Send + 'static,
    ) -> JournalResult<R> {
        self.call(Need::Write, work).await
    }

    fn closed(&self) -> JournalError {
        JournalError::Store {
            place: self.0.path.display().to_string(),
            doing: "be used",
            what: "it is closed".into(),
        }
    }

    /// Limits the size of the file, so that a test meets a full disk.
    #[doc(hidden)]
    pub async fn limit_pages(&self, pages: u32) -> JournalResult<()> {
        self.read(move |c| {
            c.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).map_err(rows::failed)
        })
        .await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread ends when nobody can ask any more; the file is closed before the lock is free.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// The file itself where the path is a link: two names of one journal have one lock.
fn real_path(path: PathBuf) -> PathBuf {
    if path.is_symlink() { path.canonicalize().unwrap_or(path) } else { path }
}

/// A process whose lease was taken over writes nothing.
fn check_token(c: &Connection, token: Option<i64>) -> JournalResult<()> {
    let sql = "SELECT token FROM lease WHERE migration_id = ?1";
    let known: Option<i64> =
        rows::row(c, sql, [open::MIGRATION], |r| r.get(0)).optional().map_err(rows::failed)?;
    if known.is_some() && known == token { Ok(()) } else { Err(JournalError::Fenced) }
}

/// A row changes, so that the COMMIT has something to sync: an empty transaction would leave what was written before
/// it in the hands of the kernel.
fn give_back(c: &Connection) -> JournalResult<()> {
    let sql = "UPDATE lease SET released = ?2 WHERE migration_id = ?1";
    c.execute(sql, params![open::MIGRATION, rows::millis(wall_now())]).map_err(rows::failed)?;
    Ok(())
}

impl Journal for SqliteJournal {
    fn lease(&self) -> Lease {
        Lease { token: self.0.token.unwrap_or(0), expires: None }
    }

    async fn renew(&self) -> JournalResult<Lease> {
        // As a write: the token is checked, and a reader or a released handle holds nothing.
        self.call(Need::Write, |_| Ok(())).await?;
        Ok(self.lease())
    }

    async fn release(&self) -> JournalResult<()> {
        self.call(Need::Durable, give_back).await?;
        self.0.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            drop(joined);
        }
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }

    fn pair(&self) -> AccountPair {
        self.0.pair.clone()
    }

    async fn setting(&self, name: &str) -> JournalResult<Option<String>> {
        let name = name.to_owned();
        self.read(move |c| facts::setting(c, &name)).await
    }

    async fn pin_setting(&self, name: &str, value: &str) -> JournalResult<()> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.write(move |c| facts::pin_setting(c, &name, &value)).await
    }

    async fn begin_run(&self, verb: &str) -> JournalResult<RunId> {
        let verb = verb.to_owned();
        self.write(move |c| facts::begin_run(c, &verb, wall_now())).await
    }

    async fn end_run(&self, run: RunId, outcome: &str) -> JournalResult<()> {
        let outcome = outcome.to_owned();
        self.write(move |c| facts::end_run(c, run, &outcome, wall_now())).await
    }

    async fn runs(&self, limit: usize) -> JournalResult<Vec<RunRecord>> {
        self.read(move |c| facts::runs(c, limit)).await
    }

    async fn save_mailboxes(&self, mailboxes: &[MailboxRecord]) -> JournalResult<Vec<MailboxRecord>> {
        let mailboxes = mailboxes.to_vec();
        self.write(move |c| facts::save_mailboxes(c, &mailboxes)).await
    }

    async fn mailboxes(&self) -> JournalResult<Vec<MailboxRecord>> {
        self.read(facts::mailboxes).await
    }

    async fn open_epoch(&self, mailbox: MailboxId, side: Side, facts: &EpochFacts) -> JournalResult<Epoch> {
        let facts = facts.clone();
        self.write(move |c| facts::open_epoch(c, mailbox, side, &facts)).await
    }

    async fn epochs(&self, mailbox: MailboxId, side: Side) -> JournalResult<Vec<Epoch>> {
        self.read(move |c| facts::epochs(c, mailbox, side)).await
    }

    async fn baseline(&self, mailbox: MailboxId) -> JournalResult<Option<Baseline>> {
        self.read(move |c| facts::baseline(c, mailbox)).await
    }

    async fn set_baseline(&self, mailbox: MailboxId, baseline: Baseline) -> JournalResult<()> {
        self.call(Need::Durable, move |c| facts::set_baseline(c, mailbox, baseline)).await
    }

    async fn record_listing(
        &self,
        mailbox: MailboxId,
        epoch: EpochId,
        listed: &[ListedItem],
    ) -> JournalResult<ListingChange> {
        let listed = listed.to_vec();
        self.write(move |c| items::record_listing(c, mailbox, epoch, &listed)).await
    }

    async fn items(&self, query: Query<'_>) -> JournalResult<Vec<Item>> {
        let Query { mailbox, states, after, limit } = query;
        let page = Page { mailbox, states: states.to_vec(), after, limit };
        self.read(move |c| items::items(c, &page)).await
    }

    async fn unplaced(
        &self,
        mailbox: MailboxId,
        after: Option<ItemId>,
        limit: usize,
    ) -> JournalResult<Vec<Item>> {
        self.read(move |c| items::unplaced(c, mailbox, after, limit)).await
    }

    async fn counts_of(&self, mailbox: MailboxId) -> JournalResult<Vec<Count>> {
        self.read(move |c| tally::counts(c, Some(mailbox))).await
    }

    async fn counts(&self) -> JournalResult<Vec<Count>> {
        self.read(|c| tally::counts(c, None)).await
    }

    async fn change(&self, changes: &[Change]) -> JournalResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes.to_vec();
        self.write(move |c| items::change(c, &changes)).await
    }

    async fn rekey(&self, pairs: &[(ItemId, ItemId)]) -> JournalResult<()> {
        let pairs = pairs.to_vec();
        self.write(move |c| rekey::rekey(c, &pairs)).await
    }

    async fn claims(
        &self,
        mailbox: MailboxId,
        epoch: EpochId,
        from: Key,
        limit: usize,
    ) -> JournalResult<Vec<(Key, ItemId)>> {
        self.read(move |c| claims::page(c, mailbox, epoch, from, limit)).await
    }

    async fn commit_batch(&self, intent: &Intent) -> JournalResult<BatchId> {
        let intent = intent.clone();
        self.call(Need::Durable, move |c| batches::commit_batch(c, &intent, wall_now())).await
    }

    async fn end_batch(&self, batch: BatchId, end: BatchEnd, changes: &[Change]) -> JournalResult<()> {
        let changes = changes.to_vec();
        self.write(move |c| batches::end_batch(c, batch, end, &changes)).await
    }

    async fn open_batches(&self, mailbox: MailboxId) -> JournalResult<Vec<OpenBatch>> {
        self.read(move |c| batches::open_batches(c, mailbox)).await
    }

    async fn unstored(
        &self,
        mailbox: MailboxId,
        after: Option<BatchId>,
        limit: usize,
    ) -> JournalResult<Vec<Unstored>> {
        self.read(move |c| batches::unstored(c, mailbox, after, limit)).await
    }

    async fn note(&self, note: Note) -> JournalResult<()> {
        self.write(move |c| facts::note(c, &note, wall_now())).await
    }

    async fn note_durably(&self, note: Note) -> JournalResult<()> {
        self.call(Need::Durable, move |c| facts::note(c, &note, wall_now())).await
    }

    async fn notes(&self, prefix: &str, after: i64, limit: usize) -> JournalResult<Vec<NoteRecord>> {
        let prefix = prefix.to_owned();
        self.read(move |c| facts::notes(c, &prefix, after, limit)).await
    }

    async fn save_sighting(&self, run: RunId, sighting: &Sighting) -> JournalResult<()> {
        let sighting = sighting.clone();
        self.write(move |c| facts::save_sighting(c, run, &sighting)).await
    }

    async fn last_sighting(
        &self,
        mailbox: MailboxId,
        side: Side,
    ) -> JournalResult<Option<(RunId, Sighting)>> {
        self.read(move |c| facts::last_sighting(c, mailbox, side)).await
    }
}
