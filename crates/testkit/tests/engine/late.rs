//! Events that come late or out of order at the target: OK without storing, commits after the settle time, messages that
//! other people delete or move, identical copies of somebody else, UIDNEXT that lies.

use crate::wire::facts;
use mailhaul_engine::config::{Level, Settings};
use mailhaul_engine::error::{Error, RefusalClass};
use mailhaul_engine::journal::memory::{MemoryJournal, MemoryStore};
use mailhaul_engine::journal::{AccountPair, Existing, Item, Journal, Query, State};
use mailhaul_engine::memory_end::{Fate, Knobs, MemoryMail, MemorySource, MemoryTarget};
use mailhaul_engine::report::{self, Report};
use mailhaul_engine::run::{Migration, RunEnd, SourceLook};
use mailhaul_testkit::stopper::{Death, Stopper};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// Two accounts, a journal that survives runs, and the folder of its spool.
pub struct World {
    pub source: MemoryMail,
    pub target: MemoryMail,
    pub store: MemoryStore,
    /// `Limits::missing_messages_guard`
    pub guard: u64,
    /// `Settings::existing`
    pub existing: Option<Existing>,
    folder: tempfile::TempDir,
}

/// A message of its own for each number.
pub fn message(n: i64) -> String {
    format!("From: a@b.example\r\nSubject: {n}\r\n\r\nbody of {n}\r\n")
}

/// The date of every message here.
pub const DATE: &str = "03-Mar-2020 10:11:12 +0000";

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Migrate,
    Verify,
    Undo,
}

impl Verb {
    async fn run(self, migration: &Migration<MemorySource, MemoryTarget, MemoryJournal>) {
        match self {
            Self::Migrate => drop(migration.migrate().await.unwrap()),
            Self::Verify => drop(migration.verify(Level::Octets, SourceLook::Octets).await.unwrap()),
            Self::Undo => drop(migration.undo().await.unwrap()),
        }
    }
}

impl World {
    /// An account whose INBOX holds so many messages.
    pub fn new(messages: i64) -> Self {
        let (source, target) = (MemoryMail::new(), MemoryMail::new());
        (0..messages).for_each(|n| _ = source.deliver("INBOX", message(n), "\\Seen", DATE));
        Self {
            source,
            target,
            store: MemoryStore::new(),
            guard: 20,
            existing: None,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn journal(&self) -> MemoryJournal {
        self.store.open(&AccountPair { source: "a".into(), target: "b".into() }).unwrap()
    }

    pub fn migration(&self) -> Migration<MemorySource, MemoryTarget, MemoryJournal> {
        let mut settings = Settings::new(self.folder.path());
        settings.limits.batch_messages_max = 4;
        settings.limits.group_messages_max = 3;
        settings.limits.missing_messages_guard = self.guard;
        settings.existing = self.existing;
        let (source, target) = (MemorySource(self.source.clone()), MemoryTarget(self.target.clone()));
        let mut migration = Migration::new(source, target, self.journal(), settings);
        migration.exceptions = Some(self.exceptions_folder());
        migration
    }

    /// Where originals of exceptions are saved.
    pub fn exceptions_folder(&self) -> PathBuf {
        self.folder.path().join("exceptions")
    }

    /// One run of `migrate`, which must come to its end.
    pub async fn migrate(&self) -> RunEnd {
        self.try_migrate().await.unwrap()
    }

    /// One run of `migrate`.
    pub async fn try_migrate(&self) -> Result<RunEnd, Error> {
        let migration = self.migration();
        let end = migration.migrate().await;
        migration.journal.release().await.unwrap();
        end
    }

    /// One run of `verb` that is stopped dead where the stopper says.
    pub async fn stopped(&self, verb: Verb, stopper: &Stopper, death: Death) {
        let mut migration = self.migration();
        stopper.watch(&self.store);
        migration.probe = stopper.probe();
        let _ = stopper.run(verb.run(&migration)).await;
        death.strike(&self.store);
    }

    /// One run of `verb`, which must come to its end.
    pub async fn run(&self, verb: Verb) {
        let migration = self.migration();
        verb.run(&migration).await;
        migration.journal.release().await.unwrap();
    }

    /// One run of `verify`.
    pub async fn verify(&self) -> RunEnd {
        let migration = self.migration();
        let end = migration.verify(Level::Octets, SourceLook::Nothing).await.unwrap();
        migration.journal.release().await.unwrap();
        end
    }

    pub async fn items(&self) -> Vec<Item> {
        let journal = self.journal();
        let all = Query { mailbox: None, states: &[], after: None, limit: 10_000 };
        let items = journal.items(all).await.unwrap();
        journal.release().await.unwrap();
        items
    }

    pub async fn states(&self) -> BTreeMap<State, usize> {
        let mut states = BTreeMap::new();
        self.items().await.iter().for_each(|i| *states.entry(i.state).or_default() += 1);
        states
    }

    /// The kinds of exceptions, with how many there are of each.
    pub async fn exceptions(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for item in self.items().await.into_iter().filter(|i| i.state == State::Exception) {
            *kinds.entry(item.reason.unwrap().kind).or_default() += 1;
        }
        kinds
    }

    pub async fn report(&self) -> Report {
        let journal = self.journal();
        let report = report::collect(&journal, &facts(None)).await.unwrap();
        journal.release().await.unwrap();
        report
    }

    /// The kinds of doubts in the report.
    pub async fn doubts(&self) -> Vec<String> {
        self.report().await.doubts.shown.into_iter().map(|d| d.kind).collect()
    }

    /// How many messages a target mailbox holds.
    pub fn held(&self, mailbox: &str) -> usize {
        self.target.snapshot()[mailbox.as_bytes()].messages.len()
    }
}

fn without_uidplus(knobs: &mut Knobs) {
    knobs.tells_places = false;
}

#[tokio::test(start_paused = true)]
async fn a_message_confirmed_and_not_stored_is_absent_with_and_without_uidplus() {
    for uidplus in [true, false] {
        for multi in [true, false] {
            let world = World::new(12);
            world.target.set(|k| {
                (k.tells_places, k.multi) = (uidplus, multi);
                k.fates = [Fate::Well, Fate::OkNotStored].into();
            });
            world.migrate().await;
            let lost = if multi { 4 } else { 3 };
            let states = BTreeMap::from([(State::Verified, 12 - lost), (State::Exception, lost)]);
            assert_eq!(world.states().await, states, "uidplus {uidplus}, multi {multi}");
            assert_eq!(world.exceptions().await, BTreeMap::from([("absent".to_owned(), lost)]));
            assert_eq!(world.report().await.exit_code(), 4);
            // It is not sent a second time by itself, and stays so.
            let appended = world.target.appended();
            world.migrate().await;
            world.verify().await;
            assert_eq!(world.target.appended(), appended);
            assert_eq!(world.states().await, states);
            assert_eq!(world.report().await.exit_code(), 4);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_appears_within_the_settle_time_of_the_last_listing_is_not_absent() {
    let world = World::new(8);
    world.target.set(without_uidplus);
    // The last batch is confirmed at once and becomes visible after five seconds.
    world.target.set(|k| k.fates = [Fate::Well, Fate::OkStoredLate(Duration::from_secs(5))].into());
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 8)]));
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_commit_later_than_the_settle_time_is_reported_as_a_ghost_once_and_never_removed() {
    for multi in [true, false] {
        let world = World::new(12);
        world.target.set(|k| {
            k.multi = multi;
            k.fates = [Fate::Well, Fate::LostStoredLate(Duration::from_secs(3600))].into();
        });
        world.migrate().await;
        assert_eq!(world.held("INBOX"), 12);
        assert_eq!(world.doubts().await, ["doubt:resent"]);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let late = if multi { 4 } else { 3 };
        assert_eq!(world.held("INBOX"), 12 + late, "the late commit came");
        for _ in 0..2 {
            world.migrate().await;
            world.verify().await;
            let ghosts = world.doubts().await.iter().filter(|k| *k == "ghost").count();
            assert_eq!(ghosts, late, "each is named once, multi {multi}");
            assert_eq!(world.held("INBOX"), 12 + late);
            assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]));
            assert_eq!(world.report().await.exit_code(), 0, "a doubt alone is no failure");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_no_that_was_a_lie_is_reported_as_a_ghost_in_the_same_run() {
    let world = World::new(8);
    world.target.set(|k| k.fates = [Fate::Well, Fate::RefusedStoredLate(Duration::ZERO)].into());
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 8)]));
    let claimed: BTreeSet<i64> = world.items().await.iter().map(|i| i.place.unwrap().uid.0).collect();
    let there = world.target.snapshot()[&b"INBOX"[..]].messages.keys().copied().collect::<BTreeSet<i64>>();
    let surplus: Vec<String> = there.difference(&claimed).map(|uid| format!("UID {uid} of INBOX ")).collect();
    assert!(!surplus.is_empty());
    let report = world.report().await;
    let ghosts: Vec<_> = report.doubts.shown.iter().filter(|d| d.kind == "ghost").collect();
    assert_eq!(ghosts.len(), surplus.len(), "{ghosts:?}");
    for (ghost, start) in ghosts.iter().zip(surplus) {
        assert_eq!(ghost.mailbox.as_deref(), Some("INBOX"));
        assert!(
            ghost.text.starts_with(&start) && ghost.text.contains("possible duplicate"),
            "{}",
            ghost.text
        );
    }
}

#[tokio::test(start_paused = true)]
async fn mail_of_other_people_after_a_refusal_is_no_ghost() {
    let world = World::new(8);
    world.target.set(|k| k.fates = [Fate::Well, Fate::Refuse(RefusalClass::Unknown)].into());
    world.target.deliver("Other", "Subject: x\r\n\r\n", "", DATE);
    world.migrate().await;
    world.target.deliver("INBOX", "Subject: new mail\r\n\r\n", "", DATE);
    world.migrate().await;
    assert_eq!(world.doubts().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_absent_message_that_appears_after_all_is_reported() {
    let world = World::new(8);
    world.target.set(without_uidplus);
    world.target.set(|k| k.fates = [Fate::Well, Fate::OkStoredLate(Duration::from_secs(7200))].into());
    world.migrate().await;
    assert_eq!(world.exceptions().await, BTreeMap::from([("absent".to_owned(), 4)]));
    tokio::time::sleep(Duration::from_secs(7200)).await;
    world.migrate().await;
    assert_eq!(world.doubts().await.iter().filter(|k| *k == "ghost").count(), 4);
}

/// Two mailboxes of so many messages each; the names of the second one's differ.
fn two_mailboxes(messages: i64) -> World {
    let world = World::new(messages);
    world.source.create("Archive");
    (0..messages).for_each(|n| _ = world.source.deliver("Archive", message(1000 + n), "", DATE));
    world
}

#[tokio::test(start_paused = true)]
async fn a_copy_moved_at_the_target_is_found_by_octets_where_it_is_and_one_deleted_is_gone() {
    let world = two_mailboxes(10);
    world.migrate().await;
    let (three, five) =
        (world.target.relocate("INBOX", 3, "Archive"), world.target.relocate("INBOX", 5, "Archive"));
    world.target.expunge("INBOX", 7);
    // Mail of other people, some of the same size.
    world.target.deliver("Archive", message(6).replace("body", "BODY"), "", DATE);
    for _ in 0..2 {
        world.migrate().await;
        let states =
            BTreeMap::from([(State::Verified, 17), (State::GoneAtTarget, 1), (State::MovedAtTarget, 2)]);
        assert_eq!(world.states().await, states);
    }
    assert_eq!(world.target.appended(), 20, "nothing is sent again");
    let items = world.items().await;
    let moved: Vec<_> = items.iter().filter(|i| i.state == State::MovedAtTarget).collect();
    assert_eq!(moved.iter().map(|i| i.place.unwrap().uid.0).collect::<Vec<_>>(), [three, five]);
    let words = &moved[0].reason.as_ref().unwrap().text;
    assert!(words.contains("from INBOX to Archive") && words.contains(&format!("UID {three}")), "{words}");
    let report = world.report().await;
    assert_eq!((report.exit_code(), report.outcome.missing_at_target), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_moved_copy_answers_for_one_of_two_equal_messages_and_is_not_found_twice() {
    let world = two_mailboxes(10);
    world.source.deliver("INBOX", message(0), "", DATE);
    world.migrate().await;
    // Two equal messages: one is moved, one deleted; in the next run a third mailbox's twin is deleted, too.
    world.target.relocate("INBOX", 1, "Archive");
    world.target.expunge("INBOX", 11);
    world.migrate().await;
    let expected =
        BTreeMap::from([(State::Verified, 19), (State::GoneAtTarget, 1), (State::MovedAtTarget, 1)]);
    assert_eq!(world.states().await, expected);
    // The moved copy is somebody's: a message in doubt there must not take it.
    world.source.deliver("Archive", message(0), "", DATE);
    world.target.set(|k| k.fates = [Fate::LostNotStored].into());
    world.migrate().await;
    assert_eq!(world.target.snapshot()[&b"Archive"[..]].messages.len(), 12);
    assert_eq!(world.states().await[&State::Verified], 20);
}

#[tokio::test(start_paused = true)]
async fn deleted_and_moved_messages_are_never_sent_again_in_any_later_run() {
    let world = two_mailboxes(10);
    world.migrate().await;
    world.target.expunge("INBOX", 2);
    world.target.relocate("INBOX", 4, "Archive");
    for n in 0..4 {
        world.source.deliver("INBOX", message(100 + n), "", DATE);
        world.migrate().await;
        world.verify().await;
        assert_eq!(world.target.appended(), 21 + n as u64, "only what is new");
    }
    // Not even when the UIDs at the target change: what is gone is not looked for.
    world.target.renumber("INBOX");
    world.migrate().await;
    assert_eq!(world.target.appended(), 24);
    let states = world.states().await;
    assert_eq!(
        (states[&State::GoneAtTarget], states[&State::MovedAtTarget], states[&State::Verified]),
        (1, 1, 22)
    );
}

#[tokio::test(start_paused = true)]
async fn moving_a_whole_mailbox_is_seen_as_moving_and_emptying_it_stops_at_the_guard() {
    let world = two_mailboxes(30);
    world.migrate().await;
    (1..=30).for_each(|uid| _ = world.target.relocate("INBOX", uid, "Archive"));
    let end = world.migrate().await;
    assert_eq!(end.questions, []);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 30), (State::MovedAtTarget, 30)]));
    (1..=30).for_each(|uid| world.target.expunge("Archive", uid));
    assert_eq!(world.migrate().await.questions.len(), 1);
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 30), (State::MovedAtTarget, 30)]));
    assert_eq!(world.report().await.exit_code(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_verdict_of_the_guard_stays_until_the_messages_are_there_again() {
    let world = World { guard: 2, ..World::new(60) };
    world.migrate().await;
    let before = world.target.snapshot()[&b"INBOX"[..]].messages.clone();
    (1..=3).for_each(|uid| world.target.expunge("INBOX", uid));
    assert_eq!(world.migrate().await.questions.len(), 1);
    assert_eq!(world.report().await.exit_code(), 4);
    // So much new mail that 3 are less than one in a hundred.
    (1000..1300).for_each(|n| _ = world.source.deliver("INBOX", message(n), "", DATE));
    for _ in 0..2 {
        assert_eq!(world.migrate().await.questions.len(), 1, "still to be answered");
        assert_eq!(world.report().await.exit_code(), 4);
        assert_eq!(world.verify().await.questions.len(), 1);
        assert_eq!(world.report().await.exit_code(), 4);
    }
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 360)]), "nothing is concluded");
    // All but one come back: still held. Then all: released, and one message deleted later is a plain remark.
    world.target.restore("INBOX", before.iter().filter(|(uid, _)| **uid > 1).map(|(u, m)| (*u, m.clone())));
    assert_eq!(world.migrate().await.questions.len(), 1);
    world.target.restore("INBOX", before);
    assert_eq!(world.migrate().await.questions, []);
    world.target.expunge("INBOX", 9);
    assert_eq!(world.migrate().await.questions, []);
    assert_eq!(world.states().await[&State::GoneAtTarget], 1);
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn identical_copies_of_somebody_else_in_the_moment_of_doubt_are_a_doubt_and_nothing_is_lost() {
    // One message in a batch of its own: theirs is taken for ours, and that is said.
    let world = World::new(1);
    world.target.set(|k| k.fates = [Fate::LostTwinStored { ours: false }].into());
    world.migrate().await;
    assert_eq!((world.held("INBOX"), world.states().await), (1, BTreeMap::from([(State::Verified, 1)])));
    assert_eq!(world.doubts().await, ["doubt:claimed_by_content"]);
    assert_eq!(world.report().await.exit_code(), 0);
    // Both stored: one is claimed, one is theirs; nothing is sent again.
    for multi in [true, false] {
        let world = World::new(12);
        world.target.set(|k| {
            k.multi = multi;
            k.fates = [Fate::Well, Fate::LostTwinStored { ours: true }].into();
        });
        world.migrate().await;
        let twins = if multi { 4 } else { 3 };
        assert_eq!(world.held("INBOX"), 12 + twins);
        assert_eq!(world.target.appended(), 12);
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]));
        assert_eq!(world.doubts().await, ["doubt:claimed_by_content"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lies_about_uidnext_loses_and_doubles_nothing() {
    for lie in [1000, 1, -1, -1000] {
        for (uidplus, multi) in [(true, true), (true, false), (false, true), (false, false)] {
            let fates = [Fate::Well, Fate::LostStored, Fate::LostNotStored, Fate::LostAfter(1)];
            for (first, fate) in
                [Fate::Well, Fate::LostStored].into_iter().flat_map(|a| fates.map(|b| (a, b)))
            {
                let world = World::new(12);
                world.target.set(|k| {
                    (k.uid_next_lie, k.tells_places, k.multi) = (lie, uidplus, multi);
                    k.fates = [first, fate].into();
                });
                world.migrate().await;
                world.migrate().await;
                let case = format!("{lie}, uidplus {uidplus}, multi {multi}, {first:?} {fate:?}");
                assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]), "{case}");
                assert_eq!(world.held("INBOX"), 12, "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_was_there_before_is_never_taken_for_ours_whatever_uidnext_says() {
    for lie in [1000, -1000, 0] {
        for fate in [Fate::Well, Fate::LostNotStored] {
            let world = World { existing: Some(Existing::AppendAnyway), ..World::new(4) };
            (0..4).for_each(|n| _ = world.target.deliver("INBOX", message(n), "", DATE));
            world.target.set(|k| (k.uid_next_lie, k.fates) = (lie, [fate].into()));
            world.migrate().await;
            assert_eq!(world.held("INBOX"), 8, "{lie} {fate:?}");
            let places: Vec<i64> = world.items().await.iter().map(|i| i.place.unwrap().uid.0).collect();
            assert!(places.iter().all(|uid| *uid > 4), "{lie} {fate:?}: {places:?}");
        }
        // And what was there before is recognised, all of it.
        let world = World { existing: Some(Existing::Adopt), ..World::new(6) };
        (0..4).for_each(|n| _ = world.target.deliver("INBOX", message(n), "", DATE));
        world.target.set(|k| k.uid_next_lie = lie);
        world.migrate().await;
        assert_eq!(world.held("INBOX"), 6, "{lie}");
        assert_eq!(world.states().await, BTreeMap::from([(State::AlreadyThere, 4), (State::Verified, 2)]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_while_a_batch_stands_at_its_gate_costs_time_and_nothing_else() {
    for (multi, overlap) in [(true, true), (true, false), (false, true), (false, false)] {
        let world = World::new(12);
        world.target.set(|k| {
            (k.multi, k.overlap) = (multi, overlap);
            k.fates = [Fate::ByeAtGate, Fate::Well, Fate::ByeAtGate].into();
        });
        world.migrate().await;
        assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]));
        assert_eq!(
            (world.held("INBOX"), world.target.appended()),
            (12, 12),
            "multi {multi}, overlap {overlap}"
        );
    }
}
