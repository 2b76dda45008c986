//! Whole migrations over ends and journal in memory.

use mailhaul_engine::config::{Level, Settings};
use mailhaul_engine::error::{Error, Question};
use mailhaul_engine::journal::memory::{MemoryJournal, MemoryStore};
use mailhaul_engine::journal::{AccountPair, Existing, Journal, State};
use mailhaul_engine::memory_end::{MemoryMail, MemorySource, MemoryTarget};
use mailhaul_engine::run::{Migration, RunEnd, SourceLook};
use std::collections::BTreeMap;

struct World {
    source: MemoryMail,
    target: MemoryMail,
    store: MemoryStore,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (source, target) = (MemoryMail::new(), MemoryMail::new());
        for mailbox in ["INBOX", "Work", "Work/2020", "Entw&APw-rfe"] {
            source.create(mailbox);
            for n in 0..15 {
                let body = format!("Subject: {n} in {mailbox}\r\n\r\n{}\r\n", "x".repeat(n));
                source.deliver(mailbox, body, "\\Seen", "03-Mar-2020 10:11:12 +0000");
            }
        }
        source.create("Empty");
        Self { source, target, store: MemoryStore::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn migration(
        &self,
        change: impl FnOnce(&mut Settings),
    ) -> Migration<MemorySource, MemoryTarget, MemoryJournal> {
        let pair = AccountPair { source: "a".into(), target: "b".into() };
        let mut settings = Settings::new(self.folder.path());
        change(&mut settings);
        let journal = self.store.open(&pair).unwrap();
        Migration::new(
            MemorySource(self.source.clone()),
            MemoryTarget(self.target.clone()),
            journal,
            settings,
        )
    }

    async fn migrate(&self, change: impl FnOnce(&mut Settings)) -> Result<RunEnd, Error> {
        let migration = self.migration(change);
        let end = migration.migrate().await;
        migration.journal.release().await.unwrap();
        end
    }

    async fn states(&self) -> BTreeMap<State, u64> {
        let journal = self.migration(|_| {}).journal;
        let mut states = BTreeMap::new();
        for count in journal.counts().await.unwrap() {
            *states.entry(count.state).or_default() += count.items;
        }
        journal.release().await.unwrap();
        states
    }

    fn octets(mail: &MemoryMail) -> Vec<(String, Vec<Vec<u8>>)> {
        let of = |m: mailhaul_engine::memory_end::MemoryMailbox| {
            m.messages.into_values().map(|m| m.octets.to_vec())
        };
        mail.snapshot()
            .into_iter()
            .map(|(n, m)| (String::from_utf8(n.to_vec()).unwrap(), of(m).collect()))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_moves_whole_and_in_order_and_a_second_run_sends_nothing() {
    for connections in [1, 3] {
        let world = World::new();
        world.migrate(|s| s.connections = connections).await.unwrap();
        assert_eq!(World::octets(&world.source), World::octets(&world.target));
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 60)]));
        let appended = world.target.appended();
        world.migrate(|_| {}).await.unwrap();
        assert_eq!(world.target.appended(), appended);
    }
}

#[tokio::test(start_paused = true)]
async fn new_mail_at_the_source_is_appended_by_the_next_run() {
    let world = World::new();
    world.migrate(|_| {}).await.unwrap();
    world.source.deliver("Work", "Subject: new\r\n\r\n", "", "03-Mar-2021 10:11:12 +0000");
    world.migrate(|_| {}).await.unwrap();
    assert_eq!(World::octets(&world.source), World::octets(&world.target));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_holds_mail_stops_the_run_before_anything_is_sent() {
    let world = World::new();
    world.target.deliver("INBOX", "Subject: mine\r\n\r\n", "", "03-Mar-2021 10:11:12 +0000");
    let error = world.migrate(|_| {}).await.unwrap_err();
    let Error::Question(Question::TargetHoldsMail { mailboxes }) = error else { panic!("{error}") };
    assert_eq!(mailboxes, [("INBOX".to_owned(), 1)]);
    assert_eq!(world.target.appended(), 0);
}

#[tokio::test(start_paused = true)]
async fn adopting_claims_every_message_once_and_copies_the_rest() {
    let world = World::new();
    // Another tool copied most of it, one message twice; the user has mail of their own.
    for (name, mailbox) in world.source.snapshot() {
        let name = String::from_utf8(name.to_vec()).unwrap();
        for message in mailbox.messages.values().skip(3) {
            world.target.deliver(&name, message.octets.clone(), "", "01-Jan-2022 00:00:00 +0000");
        }
    }
    world.target.deliver("INBOX", "Subject: 7 in INBOX\r\n\r\nxxxxxxx\r\n", "", "01-Jan-2022 00:00:00 +0000");
    world.target.deliver("INBOX", "Subject: mine\r\n\r\n", "", "01-Jan-2022 00:00:00 +0000");
    world.migrate(|s| s.existing = Some(Existing::Adopt)).await.unwrap();
    assert_eq!(world.states().await, BTreeMap::from([(State::AlreadyThere, 48), (State::Verified, 12)]));
    assert_eq!(world.target.appended(), 12);
    world.migrate(|_| {}).await.unwrap();
    assert_eq!(world.target.appended(), 12, "and nothing more later");
}

#[tokio::test(start_paused = true)]
async fn undo_removes_what_was_moved_and_leaves_what_was_touched_or_is_not_ours() {
    let world = World::new();
    world.migrate(|_| {}).await.unwrap();
    let mine = world.target.deliver("INBOX", "Subject: mine\r\n\r\n", "", "01-Jan-2022 00:00:00 +0000");
    let migration = world.migration(|_| {});
    let preview: u64 = migration.undo_preview().await.unwrap().iter().map(|(_, n)| n).sum();
    assert_eq!(preview, 60);
    let removed: u64 = migration.undo().await.unwrap().iter().map(|(_, u)| u.removed).sum();
    migration.journal.release().await.unwrap();
    assert_eq!(removed, 60);
    let left: Vec<usize> = world.target.snapshot().values().map(|m| m.messages.len()).collect();
    assert_eq!(left.iter().sum::<usize>(), 1);
    assert!(world.target.snapshot()[&b"INBOX"[..]].messages.contains_key(&mine));
    assert_eq!(world.states().await, BTreeMap::from([(State::Listed, 60)]));
}

#[tokio::test(start_paused = true)]
async fn a_changed_octet_at_the_target_is_found_by_verify() {
    let world = World::new();
    world.migrate(|_| {}).await.unwrap();
    world.target.tamper("Work", 5);
    let migration = world.migration(|_| {});
    migration.verify(Level::Octets, SourceLook::Octets).await.unwrap();
    migration.journal.release().await.unwrap();
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 59), (State::Exception, 1)]));
}

async fn verified(world: &World, look: SourceLook) -> RunEnd {
    let migration = world.migration(|_| {});
    let end = migration.verify(Level::Octets, look).await.unwrap();
    migration.journal.release().await.unwrap();
    end
}

#[tokio::test(start_paused = true)]
async fn verify_finds_renumbered_messages_by_content_and_what_it_does_not_find_is_pending() {
    let world = World::new();
    world.migrate(|_| {}).await.unwrap();
    world.target.renumber("INBOX");
    verified(&world, SourceLook::Listing).await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 60)]));
    let lost = *world.target.snapshot()[&b"INBOX"[..]].messages.keys().next().unwrap();
    world.target.expunge("INBOX", lost);
    world.target.renumber("INBOX");
    verified(&world, SourceLook::Listing).await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 59), (State::Suspect, 1)]));
    assert_eq!(world.target.appended(), 60, "verify sends nothing");
}

#[tokio::test(start_paused = true)]
async fn verify_takes_nothing_new_in_to_be_copied_and_an_epoch_of_the_source_it_cannot_judge() {
    let world = World::new();
    world.migrate(|_| {}).await.unwrap();
    world.source.deliver("INBOX", "Subject: late\r\n\r\n", "", "03-Mar-2021 10:11:12 +0000");
    assert_eq!(verified(&world, SourceLook::Listing).await.left, []);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 60)]));
    world.source.renumber("INBOX");
    let left = verified(&world, SourceLook::Listing).await.left;
    assert!(left.len() == 1 && left[0].1.contains("UIDVALIDITY"), "{left:?}");
    let logins = world.source.logins();
    assert_eq!(verified(&world, SourceLook::Nothing).await.left, []);
    assert_eq!(world.source.logins(), logins, "the old account is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_shows_nothing_is_not_an_empty_account() {
    let world = World { source: MemoryMail::default(), ..World::new() };
    let error = world.migrate(|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("not even INBOX"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn excluded_mail_is_counted_and_comes_when_the_rule_goes() {
    let world = World::new();
    world.source.deliver("Work", "Subject: old\r\n\r\n", "", "03-Mar-1999 10:11:12 +0000");
    world.migrate(|s| s.selection.since = Some(1_500_000_000)).await.unwrap();
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 60), (State::Excluded, 1)]));
    world.migrate(|_| {}).await.unwrap();
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 61)]));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_excluded_after_it_moved_is_not_copied_further_and_its_copies_stay() {
    let world = World::new();
    world.migrate(|_| {}).await.unwrap();
    let moved = World::octets(&world.target);
    world.source.deliver("Work", "Subject: new\r\n\r\n", "", "03-Mar-2021 10:11:12 +0000");
    world.migrate(|s| s.selection.exclude = vec!["Work".into()]).await.unwrap();
    assert_eq!(World::octets(&world.target), moved);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 60)]));
    world.migrate(|_| {}).await.unwrap();
    assert_eq!(World::octets(&world.source), World::octets(&world.target));
}

#[tokio::test(start_paused = true)]
async fn a_message_deleted_at_a_server_that_merged_it_takes_both_with_it() {
    let world = World::new();
    world.source.deliver("INBOX", "Subject: twin\r\n\r\n", "", "03-Mar-2021 10:11:12 +0000");
    world.source.deliver("INBOX", "Subject: twin\r\n\r\n", "", "03-Mar-2021 10:11:12 +0000");
    world.target.set(|k| k.merges = true);
    world.migrate(|_| {}).await.unwrap();
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 61), (State::Merged, 1)]));
    world.target.expunge("INBOX", 16);
    world.migrate(|_| {}).await.unwrap();
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 60), (State::GoneAtTarget, 2)]));
}
