//! Opening a journal file: lock, format, settings of the connection, and what can be wrong with it.

use crate::files::{private_file, private_folder};
use crate::journal::{AccountPair, JournalError, JournalResult};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// "Mhau": marks the file as a journal of Mailhaul.
const APPLICATION_ID: i64 = 0x4d68_6175;
/// The newest format known here.
const FORMAT: i64 = 1;
/// One file holds one migration; the column is there for stores that hold many.
pub(super) const MIGRATION: i64 = 1;

/// The lock beside the journal: held as long as the file is open.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// Takes the lock, or says who holds it.
pub(super) fn lock(journal: &Path, holder: &str) -> JournalResult<Lock> {
    let path = lock_path(journal);
    let failed = |e: &dyn std::fmt::Display| JournalError::Store {
        place: journal.display().to_string(),
        doing: "take its lock",
        what: e.to_string(),
    };
    if let Some(folder) = journal.parent().filter(|f| !f.as_os_str().is_empty()) {
        private_folder(folder).map_err(|e| failed(&e))?;
    }
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).map_err(|e| failed(&e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The name is for people; the lock itself is what counts.
            let _ = file.read_to_string(&mut holder);
            return Err(JournalError::Held { holder: holder.trim().to_owned() });
        }
        Err(std::fs::TryLockError::Error(error)) => return Err(failed(&error)),
    }
    let named = file.set_len(0).and_then(|()| writeln!(file, "{holder}"));
    named.map_err(|e| failed(&e))?;
    Ok(Lock(file))
}

fn lock_path(journal: &Path) -> PathBuf {
    let mut name = journal.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Opens or creates a journal for writing and takes the next token. The lock must be held.
pub(super) fn open(
    path: &Path,
    pair: &AccountPair,
    holder: &str,
    now: i64,
) -> JournalResult<(Connection, i64)> {
    let place = path.display().to_string();
    if !path.exists() {
        private_file(path).map_err(|e| store(&place, "be created", &e))?;
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|e| failure(&place, "be opened", &e))?;
    let fresh = std::fs::metadata(path).is_ok_and(|m| m.len() == 0);
    if !fresh {
        check_format(&connection, &place)?;
    }
    prepare(&connection, fresh, pair, now).map_err(|e| failure(&place, "be opened", &e))?;
    check_pair(&connection, &place, pair)?;
    let token = take_token(&connection, holder).map_err(|e| failure(&place, "be opened", &e))?;
    Ok((connection, token))
}

/// Opens a journal for reading alone.
pub(super) fn open_read_only(path: &Path) -> JournalResult<(Connection, AccountPair)> {
    let place = path.display().to_string();
    if !path.exists() {
        return Err(JournalError::NotFound { place });
    }
    // Read-write as a file, because a journal in WAL mode needs its shared memory; no statement here writes.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|e| failure(&place, "be opened", &e))?;
    check_format(&connection, &place)?;
    let query = |c: &Connection| {
        c.execute_batch("PRAGMA query_only = ON")?;
        c.query_row("SELECT source, target FROM migration WHERE migration_id = ?1", [MIGRATION], |row| {
            Ok(AccountPair { source: row.get(0)?, target: row.get(1)? })
        })
    };
    let pair = query(&connection).map_err(|e| failure(&place, "be read", &e))?;
    Ok((connection, pair))
}

fn prepare(connection: &Connection, fresh: bool, pair: &AccountPair, now: i64) -> rusqlite::Result<()> {
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 10000")?;
    connection.set_prepared_statement_cache_capacity(64);
    if fresh {
        connection.execute_batch(&format!(
            "BEGIN; {} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;",
            include_str!("schema.sql")
        ))?;
        connection.execute(
            "INSERT INTO migration (migration_id, source, target, created) VALUES (?1, ?2, ?3, ?4)",
            params![MIGRATION, pair.source, pair.target, now],
        )?;
    }
    Ok(())
}

fn take_token(connection: &Connection, holder: &str) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO lease (migration_id, token, holder) VALUES (?1, 1, ?2)
         ON CONFLICT (migration_id) DO UPDATE SET token = token + 1, holder = excluded.holder",
        params![MIGRATION, holder],
    )?;
    connection.query_row("SELECT token FROM lease WHERE migration_id = ?1", [MIGRATION], |row| row.get(0))
}

fn check_format(connection: &Connection, place: &str) -> JournalResult<()> {
    let number = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let read = || Ok::<_, rusqlite::Error>((number("application_id")?, number("user_version")?));
    let (application, format) = read().map_err(|e| failure(place, "be read", &e))?;
    let damaged = |what: &str| JournalError::Damaged { place: place.to_owned(), what: what.to_owned() };
    if application != APPLICATION_ID {
        return Err(damaged("it is not a journal of Mailhaul"));
    }
    if format > FORMAT {
        return Err(JournalError::Newer { place: place.to_owned(), found: format, known: FORMAT });
    }
    if format != FORMAT {
        return Err(damaged(&format!("format {format} never existed")));
    }
    let sound: Result<String, _> = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match sound {
        Ok(word) if word == "ok" => Ok(()),
        Ok(word) => Err(damaged(&word)),
        Err(error) => Err(failure(place, "be checked", &error)),
    }
}

fn check_pair(connection: &Connection, place: &str, pair: &AccountPair) -> JournalResult<()> {
    let known: Option<(String, String)> = connection
        .query_row("SELECT source, target FROM migration WHERE migration_id = ?1", [MIGRATION], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map_err(|e| failure(place, "be read", &e))?;
    match known {
        Some((source, target)) if source == pair.source && target == pair.target => Ok(()),
        Some((source, target)) => {
            Err(JournalError::OtherSettings { what: format!("it is about {source} and {target}") })
        }
        None => Err(JournalError::Damaged { place: place.to_owned(), what: "it names no accounts".into() }),
    }
}

fn store(place: &str, doing: &'static str, what: &dyn std::fmt::Display) -> JournalError {
    JournalError::Store { place: place.to_owned(), doing, what: what.to_string() }
}

/// SQLite's error in our words.
pub(super) fn failure(place: &str, doing: &'static str, error: &rusqlite::Error) -> JournalError {
    let place = place.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => JournalError::DiskFull { place },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            JournalError::Damaged { place, what: error.to_string() }
        }
        _ => JournalError::Store { place, doing, what: error.to_string() },
    }
}
