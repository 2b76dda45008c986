//! The journals keep their promises; the SQLite one also keeps them against locks, formats, damage, full disks, and
//! the death of its process.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "everything here is test code"
)]

#[path = "journal/damage.rs"]
mod damage;
#[path = "journal/death.rs"]
mod death;
#[path = "journal/forgetting.rs"]
mod forgetting;
#[path = "journal/measure.rs"]
mod measure;
#[path = "journal/random.rs"]
mod random;
#[path = "journal/room.rs"]
mod room;
#[path = "journal/sharing.rs"]
mod sharing;

use mailhaul_engine::journal::JournalResult;
use mailhaul_engine::journal::memory::{MemoryJournal, MemoryStore};
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_testkit::journal_suite;
use mailhaul_testkit::suites::journal::Shelf;
use mailhaul_testkit::suites::journal::fixtures::pair;
use std::path::{Path, PathBuf};

/// A journal in memory.
#[derive(Default)]
pub struct InMemory(MemoryStore);

impl Shelf for InMemory {
    type Journal = MemoryJournal;

    async fn open(&self) -> JournalResult<MemoryJournal> {
        self.0.open(&pair())
    }
}

/// A journal in a file of a folder of its own.
pub struct InFile {
    path: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl Default for InFile {
    fn default() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("state").join("j.sqlite"), _folder: Some(folder) }
    }
}

impl InFile {
    fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), _folder: None }
    }

    /// A file beside the journal.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

impl Shelf for InFile {
    type Journal = SqliteJournal;

    async fn open(&self) -> JournalResult<SqliteJournal> {
        SqliteJournal::open(&self.path, &pair(), "a test on this host")
    }
}

journal_suite!(memory, super::InMemory::default());
journal_suite!(sqlite, super::InFile::default());
