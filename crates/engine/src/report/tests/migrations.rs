//! The report over whole migrations in memory.

use super::*;
use crate::config::Settings;
use crate::journal::memory::{MemoryJournal, MemoryStore};
use crate::journal::{AccountPair, Journal};
use crate::memory_end::{MemoryMail, MemorySource, MemoryTarget};
use crate::run::{Migration, SourceLook};

struct World {
    source: MemoryMail,
    target: MemoryMail,
    store: MemoryStore,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (source, target) = (MemoryMail::new(), MemoryMail::new());
        source.create("Empty");
        for (mailbox, messages) in [("INBOX", 12), ("Work", 3)] {
            source.create(mailbox);
            for n in 0..messages {
                let body = format!("Subject: {n}\r\n\r\n{mailbox}\r\n");
                source.deliver(mailbox, body, "\\Seen", "03-Mar-2020 10:11:12 +0000");
            }
        }
        Self { source, target, store: MemoryStore::new(), folder: tempfile::tempdir().unwrap() }
    }

    async fn run(
        &self,
        level: Level,
        work: impl AsyncFnOnce(&Migration<MemorySource, MemoryTarget, MemoryJournal>),
    ) -> Written {
        let pair = AccountPair { source: "imap://a@b".into(), target: "imap://c@d".into() };
        let mut settings = Settings::new(self.folder.path());
        settings.level = level;
        let (source, target) = (MemorySource(self.source.clone()), MemoryTarget(self.target.clone()));
        let migration = Migration::new(source, target, self.store.open(&pair).unwrap(), settings);
        work(&migration).await;
        let facts = Facts { level: Some(level), ..run_facts() };
        let written = write(&migration.journal, &facts, &self.folder.path().join("report")).await.unwrap();
        migration.journal.release().await.unwrap();
        written
    }

    async fn migrate(&self, level: Level) -> Written {
        self.run(level, async |m| _ = m.migrate().await.unwrap()).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_migration_is_complete_at_every_level_and_a_second_run_changes_no_file() {
    for level in [Level::Counts, Level::Facts, Level::Octets] {
        let world = World::new();
        let first = world.migrate(level).await;
        let outcome = first.report.outcome;
        assert_eq!((first.report.verdict(), first.report.exit_code()), (Verdict::Complete, 0), "{outcome:?}");
        assert_eq!(first.report.totals.listed(), 15);
        for id in ["S1", "S2", "S3", "S4", "S7"] {
            assert_eq!(status(&first.report, id), Status::Met, "{id} {level:?}");
        }
        assert!(!world.migrate(level).await.changed, "{level:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_message_is_reported_by_verify_with_exit_code_4() {
    let world = World::new();
    world.migrate(Level::Octets).await;
    world.target.tamper("Work", 2);
    let verified = world
        .run(Level::Octets, async |m| _ = m.verify(Level::Octets, SourceLook::Listing).await.unwrap())
        .await;
    assert_eq!(
        (verified.report.verdict(), verified.report.exit_code()),
        (Verdict::CompleteWithExceptions, 4)
    );
    assert_eq!(verified.report.exceptions.shown[0].kind, DAMAGED);
}

#[tokio::test(start_paused = true)]
async fn an_undone_migration_is_not_called_complete() {
    let world = World::new();
    world.migrate(Level::Octets).await;
    let undone = world.run(Level::Octets, async |m| _ = m.undo().await.unwrap()).await;
    assert_eq!((undone.report.verdict(), undone.report.totals.walked.pending()), (Verdict::Incomplete, 15));
}
