//! The one thread that owns the connection. Requests that wait are put into one transaction, each in a savepoint of
//! its own, and answered after it is committed.

use super::open::failure;
use crate::journal::{JournalError, JournalResult};
use rusqlite::{Connection, ffi};
use std::sync::mpsc;

/// Requests put into one transaction.
const REQUESTS_AT_ONCE: usize = 64;

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

/// Tells a waiting caller, once the transaction is over.
type Tell = Box<dyn FnOnce(Option<JournalError>) + Send>;
/// Does the work and says whether it may stay.
type Run = Box<dyn FnOnce(&Connection) -> (bool, Tell) + Send>;

/// Work for the thread.
pub(super) struct Request {
    need: Need,
    run: Run,
}

impl Request {
    /// A request whose result goes to `reply`.
    pub(super) fn new<R: Send + 'static>(
        need: Need,
        work: impl FnOnce(&Connection) -> JournalResult<R> + Send + 'static,
        reply: tokio::sync::oneshot::Sender<JournalResult<R>>,
    ) -> Self {
        let run: Run = Box::new(move |connection| {
            let result = work(connection);
            let stays = result.is_ok();
            // A caller that is gone needs no answer.
            let tell: Tell = Box::new(move |failed| drop(reply.send(failed.map_or(result, Err))));
            (stays, tell)
        });
        Self { need, run }
    }
}

/// Serves requests until every handle is gone.
pub(super) fn serve(connection: &Connection, place: &str, requests: &mpsc::Receiver<Request>) {
    while let Ok(first) = requests.recv() {
        let mut group = vec![first];
        while group.len() < REQUESTS_AT_ONCE {
            match requests.try_recv() {
                Ok(next) => group.push(next),
                Err(_) => break,
            }
        }
        serve_group(connection, place, group);
    }
}

fn serve_group(connection: &Connection, place: &str, group: Vec<Request>) {
    let need = group.iter().map(|r| r.need).max().unwrap_or(Need::Read);
    if need == Need::Read {
        for request in group {
            let (_, tell) = (request.run)(connection);
            tell(None);
        }
        return;
    }
    let mut told = Vec::with_capacity(group.len());
    let result = transaction(connection, need, group, &mut told);
    if result.is_err() && !connection.is_autocommit() {
        // Nothing of the group may stay; a failing rollback leaves the transaction to the next BEGIN's error.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for tell in told {
        tell(result.as_ref().err().map(|e| failure(place, "commit", e)));
    }
}

fn transaction(
    connection: &Connection,
    need: Need,
    group: Vec<Request>,
    told: &mut Vec<Tell>,
) -> rusqlite::Result<()> {
    // In WAL mode FULL syncs the log at COMMIT and with it everything before; NORMAL does not sync at COMMIT.
    // The setting cannot change inside a transaction.
    let synchronous = if need == Need::Durable { "FULL" } else { "NORMAL" };
    let begun = connection.execute_batch(&format!("PRAGMA synchronous = {synchronous}; BEGIN IMMEDIATE"));
    if let Err(error) = begun {
        // Nobody's work ran; everybody hears of the failure.
        told.extend(group.into_iter().map(|r| never_ran(r.run)));
        return Err(error);
    }
    let mut group = group.into_iter();
    while let Some(request) = group.next() {
        connection.execute_batch("SAVEPOINT request")?;
        let (stays, tell) = (request.run)(connection);
        if connection.is_autocommit() {
            // SQLite rolls everything back on a full disk: this request knows its own error, the others hear it.
            tell(None);
            told.extend(group.map(|r| never_ran(r.run)));
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None));
        }
        told.push(tell);
        connection.execute_batch(if stays {
            "RELEASE request"
        } else {
            "ROLLBACK TO request; RELEASE request"
        })?;
    }
    connection.execute_batch("COMMIT")
}

/// A teller for work that is not done: the connection it would run on does not matter, since the failure is told
/// instead of its result.
fn never_ran(run: Run) -> Tell {
    Box::new(move |failed| {
        let Some(error) = failed else { return };
        if let Ok(nowhere) = Connection::open_in_memory() {
            let (_, tell) = run(&nowhere);
            tell(Some(error));
        }
    })
}
