//! The format of the file: which it is, whether it is whole, and the steps from one to the next.

use super::open::failure;
use super::{batches, claims, items, open, tally};
use crate::journal::{JournalError, JournalResult};
use rusqlite::Connection;
use std::path::Path;

/// "Mhau": marks the file as a journal of Mailhaul.
pub(super) const APPLICATION_ID: i64 = 0x4d68_6175;
/// The first step makes a journal of format [`FIRST`] of nothing, each further one leads to the next. A step that is
/// released never changes.
pub(super) const STEPS: [&str; 1] = [include_str!("schema.sql")];
/// The format that the first step makes. Format 1 was left before the first release.
const FIRST: i64 = 2;
/// The newest format known here.
pub(super) const FORMAT: i64 = FIRST - 1 + STEPS.len() as i64;

/// Runs the steps from the `from`th on.
pub(super) fn upgrade(connection: &Connection, steps: &[&str], from: usize) -> rusqlite::Result<()> {
    steps.iter().skip(from).try_for_each(|step| connection.execute_batch(step))
}

/// Tells a journal of this format from everything else. Reads a few pages only.
///
/// A journal of an older format, once there is one, is upgraded here by its writer under the lock.
pub(super) fn check(connection: &Connection, place: &str) -> JournalResult<()> {
    let failed = |e: rusqlite::Error| failure(place, "be read", &e);
    let number = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(failed)?;
    let found = number("user_version").map_err(failed)?;
    let damaged = |what: String| Err(JournalError::Damaged { place: place.to_owned(), what });
    if application != APPLICATION_ID {
        return damaged("it is not a journal of Mailhaul".into());
    }
    if found > FORMAT {
        return Err(JournalError::Newer { place: place.to_owned(), found, known: FORMAT });
    }
    if found == 1 {
        let what =
            "its format, 1, was left before the first release: go on with the Mailhaul that began it".into();
        return damaged(what);
    }
    if found != FORMAT {
        return damaged(format!("format {found} never existed"));
    }
    if schema(connection).map_err(failed)? != expected_schema().map_err(failed)? {
        return damaged(format!("its tables are not those of format {FORMAT}"));
    }
    Ok(())
}

/// Reads the whole file: its structure, and whether the tally agrees with the items. Before a process writes to it.
pub(super) fn check_content(connection: &Connection, place: &str) -> JournalResult<()> {
    let failed = |e: rusqlite::Error| failure(place, "be checked", &e);
    let damaged = |what: String| Err(JournalError::Damaged { place: place.to_owned(), what });
    let word: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if word != "ok" {
        return damaged(word);
    }
    let counted = items::count(connection).map_err(located(place))?;
    claims::check(connection).map_err(located(place))?;
    batches::check(connection).map_err(located(place))?;
    let tallied = tally::items(connection).map_err(located(place))?;
    if counted == tallied {
        Ok(())
    } else {
        damaged("its items and their tally contradict each other".into())
    }
}

/// Rows do not know their file.
fn located(place: &str) -> impl Fn(JournalError) -> JournalError {
    move |error| open::located(error, Path::new(place))
}

type Schema = Vec<(String, String, Option<String>)>;

fn schema(connection: &Connection) -> rusqlite::Result<Schema> {
    let sql = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    rows.collect()
}

fn expected_schema() -> rusqlite::Result<Schema> {
    let connection = Connection::open_in_memory()?;
    upgrade(&connection, &STEPS, 0)?;
    schema(&connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_runs_the_missing_steps_alone_and_ends_where_a_new_journal_begins() {
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE c (x)"];
        let old = Connection::open_in_memory().unwrap();
        upgrade(&old, &steps[..1], 0).unwrap();
        upgrade(&old, &steps, 1).unwrap();
        let new = Connection::open_in_memory().unwrap();
        upgrade(&new, &steps, 0).unwrap();
        assert_eq!(schema(&old).unwrap(), schema(&new).unwrap());
    }
}
