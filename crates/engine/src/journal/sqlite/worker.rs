//! The one thread that owns the connection. Requests that wait are put into one transaction, each in a savepoint of
//! its own unless it is alone, and answered after it is committed.

use super::open::failure;
use crate::journal::{JournalError, JournalResult};
use rusqlite::{Connection, ffi};
use std::sync::mpsc;

/// Requests put into one transaction.
const REQUESTS_AT_ONCE_MAX: usize = 64;

/// What a request needs of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// Nothing is changed.
    Read,
    /// Visible to the next request; a crash of the machine may forget it.
    Write,
    /// On the disk before it is answered.
    Durable,
}

/// Work for the thread, with somebody who waits for its result.
pub(super) struct Request {
    need: Need,
    work: Box<dyn Work>,
}

impl Request {
    /// A request whose result goes to `reply`.
    pub(super) fn new<R: Send + 'static>(
        need: Need,
        work: impl FnOnce(&Connection) -> JournalResult<R> + Send + 'static,
        reply: tokio::sync::oneshot::Sender<JournalResult<R>>,
    ) -> Self {
        Self { need, work: Box::new(Task { work: Some(work), result: None, reply }) }
    }
}

trait Work: Send {
    /// Does the work; false when nothing of it may stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// True when it failed because the disk is full.
    fn met_a_full_disk(&self) -> bool;
    /// Answers, once the transaction is over: with its own error, else with that of the transaction, else with its
    /// result.
    fn answer(self: Box<Self>, failed: Option<JournalError>);
}

struct Task<R, F> {
    work: Option<F>,
    result: Option<JournalResult<R>>,
    reply: tokio::sync::oneshot::Sender<JournalResult<R>>,
}

impl<R: Send, F: FnOnce(&Connection) -> JournalResult<R> + Send> Work for Task<R, F> {
    fn run(&mut self, connection: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(connection));
        matches!(self.result, Some(Ok(_)))
    }

    fn met_a_full_disk(&self) -> bool {
        matches!(self.result, Some(Err(JournalError::DiskFull { .. })))
    }

    fn answer(self: Box<Self>, failed: Option<JournalError>) {
        let answer = match (self.result, failed) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(failed)) => Err(failed),
            (Some(done), None) => done,
            // It neither ran nor failed: the caller hears that the journal is closed.
            (None, None) => return,
        };
        // A caller that is gone needs no answer.
        drop(self.reply.send(answer));
    }
}

/// Serves requests until every handle is gone.
pub(super) fn serve(connection: Connection, place: &str, requests: &mpsc::Receiver<Request>) {
    let mut worker = Worker { connection, place, synchronous: "", sync_failed: false };
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        group.extend(requests.try_iter().take(REQUESTS_AT_ONCE_MAX - 1));
        worker.serve_group(group);
    }
}

struct Worker<'a> {
    connection: Connection,
    place: &'a str,
    /// The setting in force.
    synchronous: &'static str,
    /// A sync failed. What was written before it may be lost although a later sync succeeds (the kernel reports a
    /// failed page once), so nothing is durable any more and this handle writes no more.
    sync_failed: bool,
}

impl Worker<'_> {
    fn serve_group(&mut self, mut group: Vec<Request>) {
        let outcome = self.transaction(&mut group);
        if let Err(error) = &outcome {
            self.sync_failed |= is_failed_sync(error);
            if !self.connection.is_autocommit() {
                // Should the rollback fail, the transaction stays open and the next BEGIN says so.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
        }
        for request in group {
            request.work.answer(outcome.as_ref().err().map(|e| failure(self.place, "commit", e)));
        }
    }

    fn transaction(&mut self, group: &mut [Request]) -> rusqlite::Result<()> {
        let need = group.iter().map(|r| r.need).max().unwrap_or(Need::Read);
        self.begin(need)?;
        // Alone in its transaction a request needs no savepoint.
        let alone = group.len() == 1;
        for request in group {
            if !alone {
                self.statement("SAVEPOINT request")?;
            }
            let stays = request.work.run(&self.connection);
            if self.connection.is_autocommit() {
                // SQLite has rolled back the whole transaction (disk full, failed read or write of the file).
                let full = request.work.met_a_full_disk();
                let code = if full { ffi::SQLITE_FULL } else { ffi::SQLITE_ABORT_ROLLBACK };
                return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            }
            match (stays, alone) {
                (true, true) => {}
                (false, true) => return self.statement("ROLLBACK"),
                (true, false) => self.statement("RELEASE request")?,
                (false, false) => {
                    self.statement("ROLLBACK TO request")?;
                    self.statement("RELEASE request")?;
                }
            }
        }
        self.statement("COMMIT")
    }

    /// In WAL mode FULL syncs the log at COMMIT, and with it everything before; NORMAL does not sync at COMMIT. The
    /// setting cannot change inside a transaction.
    fn begin(&mut self, need: Need) -> rusqlite::Result<()> {
        if need == Need::Read {
            // One snapshot for all statements of a request, also while another process writes.
            return self.statement("BEGIN");
        }
        if self.sync_failed {
            let told =
                "an earlier sync failed: what is on the disk is unknown until it is opened again".to_owned();
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR), Some(told)));
        }
        let wanted = if need == Need::Durable { "FULL" } else { "NORMAL" };
        if self.synchronous != wanted {
            self.connection.execute_batch(&format!("PRAGMA synchronous = {wanted}"))?;
            self.synchronous = wanted;
        }
        self.statement("BEGIN IMMEDIATE")
    }

    fn statement(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|e| e.extended_code);
    code.is_some_and(|c| matches!(c, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        need: Need,
        work: impl FnOnce(&Connection) -> JournalResult<i64> + Send + 'static,
    ) -> (Request, tokio::sync::oneshot::Receiver<JournalResult<i64>>) {
        let (reply, answer) = tokio::sync::oneshot::channel();
        (Request::new(need, work, reply), answer)
    }

    fn run(sql: &'static str) -> impl FnOnce(&Connection) -> JournalResult<i64> + Send {
        move |c| c.execute_batch(sql).map(|()| 1).map_err(|e| failure("x", "write", &e))
    }

    fn worker() -> Worker<'static> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (v)").unwrap();
        Worker { connection, place: "x", synchronous: "", sync_failed: false }
    }

    fn rows(worker: &Worker<'_>) -> i64 {
        worker.connection.query_row("SELECT COUNT(*) FROM t", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn a_request_that_fails_takes_only_its_own_writes_with_it() {
        let mut worker = worker();
        let (good, good_answer) = request(Need::Write, run("INSERT INTO t VALUES (1)"));
        let (bad, bad_answer) = request(Need::Write, run("INSERT INTO t VALUES (2); SELECT * FROM nowhere"));
        worker.serve_group(vec![good, bad]);
        assert!(good_answer.blocking_recv().unwrap().is_ok());
        assert!(bad_answer.blocking_recv().unwrap().is_err());
        assert_eq!(rows(&worker), 1);
    }

    #[test]
    fn a_transaction_that_is_rolled_back_is_told_to_everybody_also_to_those_that_never_ran() {
        let mut worker = worker();
        let (first, first_answer) = request(Need::Write, run("INSERT INTO t VALUES (1)"));
        let (breaks, breaks_answer) = request(Need::Write, |c| {
            c.execute_batch("ROLLBACK").unwrap();
            Err(JournalError::DiskFull { place: "x".into() })
        });
        let (last, last_answer) = request(Need::Durable, run("INSERT INTO t VALUES (3)"));
        worker.serve_group(vec![first, breaks, last]);
        for answer in [first_answer, breaks_answer, last_answer] {
            let answer = answer.blocking_recv().unwrap();
            assert!(matches!(answer, Err(JournalError::DiskFull { .. })), "{answer:?}");
        }
        assert_eq!(rows(&worker), 0);
        let (again, answer) = request(Need::Durable, run("INSERT INTO t VALUES (4)"));
        worker.serve_group(vec![again]);
        assert!(answer.blocking_recv().unwrap().is_ok(), "the handle stays usable");
    }

    #[test]
    fn a_transaction_with_a_durable_request_is_synced_and_no_other() {
        // What SQLite itself says inside the transaction: 1 is NORMAL, 2 is FULL.
        let asked = |c: &Connection| Ok(c.query_row("PRAGMA synchronous", [], |r| r.get(0)).unwrap());
        let mut worker = worker();
        for (needs, expected) in [
            (&[Need::Write][..], 1),
            (&[Need::Write, Need::Durable, Need::Read], 2),
            (&[Need::Read, Need::Write], 1),
            (&[Need::Durable], 2),
            (&[Need::Durable], 2),
            (&[Need::Write], 1),
        ] {
            let (group, answers): (Vec<_>, Vec<_>) = needs.iter().map(|n| request(*n, asked)).unzip();
            worker.serve_group(group);
            for answer in answers {
                assert_eq!(answer.blocking_recv().unwrap().unwrap(), expected, "{needs:?}");
            }
        }
    }

    #[test]
    fn after_a_failed_sync_nothing_is_written_and_reading_goes_on() {
        let failed = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert!(is_failed_sync(&failed(ffi::SQLITE_IOERR_FSYNC)));
        assert!(!is_failed_sync(&failed(ffi::SQLITE_FULL)));
        let mut worker = Worker { sync_failed: true, ..worker() };
        let (write, answer) = request(Need::Write, run("INSERT INTO t VALUES (1)"));
        worker.serve_group(vec![write]);
        assert!(matches!(answer.blocking_recv().unwrap(), Err(JournalError::Store { .. })));
        let (read, answer) = request(Need::Read, run("SELECT 1"));
        worker.serve_group(vec![read]);
        assert!(answer.blocking_recv().unwrap().is_ok());
        assert_eq!(rows(&worker), 0);
    }
}
