//! Opening a journal file: format, settings of the connection, and what can be wrong with it.

use super::format::{self, APPLICATION_ID, FORMAT};
use super::lock::suffixed;
use crate::files::private_file;
use crate::journal::{AccountPair, JournalError, JournalResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use std::fs::File;
use std::path::Path;

/// One file holds one migration; the column is there for stores that hold many.
pub(super) const MIGRATION: i64 = 1;
/// Statements kept prepared: a few more than there are.
const STATEMENTS_CACHED_MAX: usize = 96;
/// How long another program (a reader that recovers the log, somebody's `sqlite3`) may hold the file, in ms.
const BUSY_TIMEOUT_MS: u32 = 10_000;
/// What stays of the log file after a checkpoint, in octets.
const LOG_KEPT_OCTETS_MAX: u32 = 64 << 20;

/// Pages kept in memory, in KiB; SQLite's own 2 MiB are less than the items of 10,000 messages.
const CACHE_KIB: u32 = 12 << 10;
/// Pages in the log (of 4096 octets) after which it is written into the file: a page that many batches touch is then written
/// once.
const LOG_PAGES: u32 = 4096;

/// One thread owns the connection (`worker`): SQLite need not lock it for every column that is read.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens or creates a journal for writing and takes the next token. The lock must be held.
pub(super) fn open(
    path: &Path,
    pair: &AccountPair,
    holder: &str,
    now_ms: i64,
) -> JournalResult<(Connection, i64)> {
    let place = path.display().to_string();
    if !path.exists() {
        create(path, pair, now_ms)?;
    }
    let failed = |e: &rusqlite::Error| failure(&place, "be opened", e);
    let connection = Connection::open_with_flags(path, FLAGS).map_err(|e| failed(&e))?;
    format::check(&connection, &place)?;
    format::check_content(&connection, &place)?;
    let known = known_pair(&connection, &place)?;
    if known != *pair {
        let what = format!("it is about {} and {}", known.source, known.target);
        return Err(JournalError::OtherSettings { what });
    }
    configure(&connection, &place)?;
    let token = take_token(&connection, holder, now_ms).map_err(|e| failed(&e))?;
    Ok((connection, token))
}

/// Opens a journal for reading alone.
pub(super) fn open_read_only(path: &Path) -> JournalResult<(Connection, AccountPair)> {
    let place = path.display().to_string();
    if !path.exists() {
        return Err(JournalError::NotFound { place });
    }
    // Read-write as a file, because a journal in WAL mode needs its shared memory; no statement here writes.
    let connection =
        Connection::open_with_flags(path, FLAGS).map_err(|e| failure(&place, "be opened", &e))?;
    let settings = format!("PRAGMA query_only = ON; PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}");
    connection.execute_batch(&settings).map_err(|e| failure(&place, "be opened", &e))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    format::check(&connection, &place)?;
    let pair = known_pair(&connection, &place)?;
    Ok((connection, pair))
}

/// Makes a journal under another name and renames it when it is complete and on the disk: a crash leaves a whole
/// journal or none, so that an empty or half-made file is always damage.
fn create(path: &Path, pair: &AccountPair, now_ms: i64) -> JournalResult<()> {
    let place = path.display().to_string();
    let log = suffixed(path, "-wal");
    if log.metadata().is_ok_and(|m| m.len() > 0) {
        let what = "the file is missing, but its log is there (…-wal): restore both".to_owned();
        return Err(JournalError::Damaged { place, what });
    }
    let io = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::StorageFull => JournalError::DiskFull { place: place.clone() },
        _ => JournalError::Store { place: place.clone(), doing: "be created", what: e.to_string() },
    };
    let new = suffixed(path, ".new");
    for left in [suffixed(&new, "-journal"), new.clone()] {
        match std::fs::remove_file(left) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(e)),
            _ => {}
        }
    }
    private_file(&new).map_err(io)?;
    fill(&new, pair, now_ms).map_err(|e| failure(&place, "be created", &e))?;
    std::fs::rename(&new, path).map_err(io)?;
    path.parent().map_or(Ok(()), sync_folder).map_err(io)
}

fn fill(path: &Path, pair: &AccountPair, now_ms: i64) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(path, FLAGS)?;
    let transaction = connection.transaction()?;
    format::upgrade(&transaction, &format::STEPS, 0)?;
    transaction.execute(
        "INSERT INTO migration (migration_id, source, target, created) VALUES (?1, ?2, ?3, ?4)",
        params![MIGRATION, pair.source, pair.target, now_ms],
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)
}

/// Makes the names in a folder durable, where the system can.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn configure(connection: &Connection, place: &str) -> JournalResult<()> {
    let failed = |e: rusqlite::Error| failure(place, "be opened", &e);
    // A plan does not depend on the values bound: otherwise SQLite, built with STAT4, parses statements anew for them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    // fullfsync: macOS tells the drive to empty its cache only when asked; elsewhere it changes nothing.
    let settings = format!(
        "PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}; PRAGMA journal_size_limit = {LOG_KEPT_OCTETS_MAX};
         PRAGMA cache_size = -{CACHE_KIB}; PRAGMA wal_autocheckpoint = {LOG_PAGES};
         PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON"
    );
    connection.execute_batch(&settings).map_err(failed)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0)).map_err(failed)?;
    if mode == "wal" {
        return Ok(());
    }
    let what = format!("the file system allows no write-ahead log (mode {mode}): use a local folder");
    Err(JournalError::Store { place: place.to_owned(), doing: "be opened", what })
}

fn take_token(connection: &Connection, holder: &str, now_ms: i64) -> rusqlite::Result<i64> {
    connection.query_row(
        "INSERT INTO lease (migration_id, token, holder, acquired) VALUES (?1, 1, ?2, ?3)
         ON CONFLICT (migration_id) DO UPDATE
         SET token = lease.token + 1, holder = excluded.holder, acquired = excluded.acquired, released = NULL
         RETURNING token",
        params![MIGRATION, holder, now_ms],
        |row| row.get(0),
    )
}

fn known_pair(connection: &Connection, place: &str) -> JournalResult<AccountPair> {
    let sql = "SELECT source, target FROM migration WHERE migration_id = ?1";
    let pair = |row: &rusqlite::Row<'_>| Ok(AccountPair { source: row.get(0)?, target: row.get(1)? });
    let known = connection.query_row(sql, [MIGRATION], pair).optional();
    known
        .map_err(|e| failure(place, "be read", &e))?
        .ok_or_else(|| JournalError::Damaged { place: place.to_owned(), what: "it names no accounts".into() })
}

/// SQLite's error in our words.
pub(super) fn failure(place: &str, doing: &'static str, error: &rusqlite::Error) -> JournalError {
    let place = place.to_owned();
    let what = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalError::DiskFull { place },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => JournalError::Damaged { place, what },
        Some(_) => JournalError::Store { place, doing, what },
        None => match error {
            // A column of another type, or text that is no UTF-8: not what this program wrote.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => JournalError::Damaged { place, what },
            _ => JournalError::Store { place, doing, what },
        },
    }
}

/// The same error with the path of the journal in it; rows do not know it.
pub(super) fn located(error: JournalError, path: &Path) -> JournalError {
    let place = path.display().to_string();
    match error {
        JournalError::Damaged { what, .. } => JournalError::Damaged { place, what },
        JournalError::DiskFull { .. } => JournalError::DiskFull { place },
        JournalError::Store { doing, what, .. } => JournalError::Store { place, doing, what },
        other => other,
    }
}
