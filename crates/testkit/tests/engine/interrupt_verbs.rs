//! Interrupt at every step of what is not plain copying: adopting, verifying, undoing, finding claims again in another
//! epoch of the target. The same verb is run again, and must end as if nobody had stopped it; a migration that comes
//! instead must lose and double nothing either.

use crate::late::{DATE, Verb, World, message};
use mailhaul_engine::journal::{Existing, Journal, State};
use mailhaul_engine::memory_end::{Fate, MemoryMail, MemoryMessage};
use mailhaul_engine::undo::Undone;
use mailhaul_testkit::stopper::{Death, Stopper};
use std::collections::{BTreeMap, BTreeSet};

/// (mailbox, octets, flags, date), sorted.
type Held = Vec<(String, String, String, String)>;

/// What a world has come to, as far as it must not depend on stops.
#[derive(Debug, PartialEq, Eq)]
struct End {
    target: Held,
    source: Held,
    states: BTreeMap<State, usize>,
    exceptions: BTreeMap<String, usize>,
    exit_code: u8,
    appended: u64,
}

fn holds(mail: &MemoryMail) -> Held {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let mut held = Held::new();
    for (name, mailbox) in mail.snapshot() {
        let row = |m: MemoryMessage| {
            let date = m.internal_date.map_or_else(String::new, |d| d.to_string());
            (text(&name), text(&m.octets), m.flags.to_string(), date)
        };
        held.extend(mailbox.messages.into_values().map(row));
    }
    held.sort();
    held
}

async fn end(world: &World) -> End {
    let owned = world.items().await.into_iter().filter(|i| i.state != State::Merged);
    let places: Vec<_> = owned.filter_map(|i| Some((i.id.mailbox, i.place?))).collect();
    let unique: BTreeSet<String> = places.iter().map(|p| format!("{p:?}")).collect();
    assert_eq!(unique.len(), places.len(), "a claim is shared: {places:?}");
    End {
        target: holds(&world.target),
        source: holds(&world.source),
        states: world.states().await,
        exceptions: world.exceptions().await,
        exit_code: world.report().await.exit_code(),
        appended: world.target.appended(),
    }
}

/// Stops `verb` at every step of it, runs it again and compares. The run after that changes nothing. Returns the end.
async fn stopped_everywhere(verb: Verb, steps_min: u64, prepare: impl AsyncFn() -> World) -> End {
    let world = prepare().await;
    let counting = Stopper::never();
    world.stopped(verb, &counting, Death::Killed).await;
    let steps = counting.steps();
    assert!(steps >= steps_min, "{steps} steps only");
    let world = prepare().await;
    world.run(verb).await;
    let expected = end(&world).await;
    for (at, death) in (1..=steps).flat_map(|at| Death::ALL.map(|death| (at, death))) {
        let stopped = format!("{verb:?} stopped at step {at} of {steps}, {death:?}");
        let world = prepare().await;
        world.stopped(verb, &Stopper::at(at), death).await;
        world.run(verb).await;
        assert_eq!(end(&world).await, expected, "{stopped}");
        world.run(verb).await;
        assert_eq!(end(&world).await, expected, "the run after it, {stopped}");
    }
    expected
}

fn states(of: &[(State, usize)]) -> BTreeMap<State, usize> {
    of.iter().copied().collect()
}

/// A source of 12, two of them equal; another tool copied four, one of them with other line ends, and one twice; and the
/// user has mail of their own.
fn partly_there(multi: bool, fates: &[Fate]) -> World {
    let mut world = World::new(11);
    world.existing = Some(Existing::Adopt);
    world.source.deliver("INBOX", message(3), "\\Flagged", DATE);
    for n in [1, 3, 7, 7] {
        world.target.deliver("INBOX", message(n), "\\Answered", DATE);
    }
    world.target.deliver("INBOX", message(8).replace("\r\n", "\n"), "", DATE);
    world.target.deliver("INBOX", "Subject: mine\r\n\r\n", "", DATE);
    world.target.set(|k| (k.multi, k.fates) = (multi, fates.iter().copied().collect()));
    world
}

#[tokio::test(start_paused = true)]
async fn adopting_stopped_at_any_step_claims_each_once_and_copies_the_rest_once() {
    for multi in [true, false] {
        for fates in [&[][..], &[Fate::LostStored], &[Fate::Well, Fate::LostNotStored]] {
            let end = stopped_everywhere(Verb::Migrate, 30, async || partly_there(multi, fates)).await;
            assert_eq!(end.states, states(&[(State::AlreadyThere, 4), (State::Verified, 8)]));
            assert_eq!((end.target.len(), end.appended, end.exit_code), (6 + 8, 8, 0));
        }
    }
}

/// A migrated account of two mailboxes in which much happened at the target since: one octet changed, one message
/// removed, one moved, and another UIDVALIDITY for the second mailbox.
async fn much_happened() -> World {
    let world = World::new(9);
    world.source.create("Archive");
    (20..26).for_each(|n| _ = world.source.deliver("Archive", message(n), "", DATE));
    world.run(Verb::Migrate).await;
    world.target.tamper("INBOX", 2);
    world.target.expunge("INBOX", 4);
    world.target.relocate("INBOX", 6, "Archive");
    world.target.renumber("Archive");
    world
}

#[tokio::test(start_paused = true)]
async fn verifying_stopped_at_any_step_ends_as_if_it_had_not_been() {
    let end = stopped_everywhere(Verb::Verify, 20, much_happened).await;
    let expected =
        [(State::Verified, 12), (State::Exception, 1), (State::GoneAtTarget, 1), (State::MovedAtTarget, 1)];
    assert_eq!(end.states, states(&expected));
    assert_eq!((end.exceptions, end.exit_code, end.appended), ([("damaged".to_owned(), 1)].into(), 4, 15));
}

/// A migrated account whose target mailbox got another UIDVALIDITY, after one copy was removed there, and with new mail at
/// the source.
async fn renumbered(messages: i64, tells_places: bool) -> World {
    let world = World::new(messages);
    world.source.deliver("INBOX", message(0), "\\Flagged", DATE);
    world.target.set(|k| k.tells_places = tells_places);
    world.run(Verb::Migrate).await;
    world.target.expunge("INBOX", 3);
    world.target.renumber_backwards("INBOX");
    world.target.deliver("INBOX", "Subject: mine\r\n\r\n", "", DATE);
    world.source.deliver("INBOX", message(90), "", DATE);
    world
}

#[tokio::test(start_paused = true)]
async fn finding_claims_again_in_another_epoch_stopped_at_any_step_sends_nothing_twice() {
    for tells_places in [true, false] {
        let end = stopped_everywhere(Verb::Migrate, 30, async || renumbered(9, tells_places).await).await;
        // What was removed before its number changed is not sent again; nobody can say who removed it.
        assert_eq!(end.states, states(&[(State::Verified, 10), (State::Suspect, 1)]));
        assert_eq!((end.target.len(), end.appended), (9 + 1 + 1, 11));
        let end = stopped_everywhere(Verb::Verify, 20, async || renumbered(9, tells_places).await).await;
        assert_eq!(end.states, states(&[(State::Verified, 9), (State::Suspect, 1)]));
        assert_eq!(end.appended, 10);
    }
}

/// A migrated account whose user flagged one copy, got mail of their own, and deleted one copy.
async fn touched() -> World {
    let world = World::new(8);
    world.source.create("Archive");
    (20..24).for_each(|n| _ = world.source.deliver("Archive", message(n), "", DATE));
    world.run(Verb::Migrate).await;
    flag(&world, 5, "\\Seen \\Flagged");
    world.target.deliver("INBOX", "Subject: mine\r\n\r\n", "", DATE);
    world
}

/// Sets the flags of a copy in INBOX as its user would.
fn flag(world: &World, uid: i64, flags: &str) {
    let mut message = world.target.snapshot()[&b"INBOX"[..]].messages[&uid].clone();
    message.flags = mailhaul_engine::message::Flags::from_octets(flags);
    world.target.restore("INBOX", [(uid, message)]);
}

#[tokio::test(start_paused = true)]
async fn undo_leaves_what_was_touched_what_is_gone_what_was_adopted_and_what_is_not_ours() {
    let mut world = World::new(8);
    world.existing = Some(Existing::Adopt);
    let adopted = world.target.deliver("INBOX", message(2), "\\Seen", DATE);
    world.run(Verb::Migrate).await;
    let ours = |n: i64| {
        let inbox = world.target.snapshot()[&b"INBOX"[..]].messages.clone();
        inbox.into_iter().find(|(_, m)| m.octets == message(n)).unwrap().0
    };
    let (more, fewer, doomed, gone) = (ours(0), ours(3), ours(5), ours(7));
    flag(&world, more, "\\Seen \\Flagged");
    flag(&world, fewer, "");
    flag(&world, doomed, "\\Seen \\Deleted");
    world.target.expunge("INBOX", gone);
    let mine = world.target.deliver("INBOX", message(1), "\\Seen", DATE);
    let migration = world.migration();
    let undone = migration.undo().await.unwrap().remove(0).1;
    migration.journal.release().await.unwrap();
    // One that the person marked \Deleted is touched, too: no undo named it.
    assert_eq!(undone, Undone { removed: 3, touched: 3, gone: 1, not_ours: 0 });
    let left: Vec<i64> = world.target.snapshot()[&b"INBOX"[..]].messages.keys().copied().collect();
    assert_eq!(left, [adopted, more, fewer, doomed, mine]);
    let expected = [(State::Listed, 3), (State::Verified, 4), (State::AlreadyThere, 1)];
    assert_eq!(world.states().await, states(&expected));
}

#[tokio::test(start_paused = true)]
async fn undo_removes_nothing_from_a_mailbox_that_got_another_uidvalidity_since() {
    let world = World::new(5);
    world.run(Verb::Migrate).await;
    // Deleted and made anew by its user: other mail under the same UIDs, with the same flags.
    let mut anew = world.target.snapshot()[&b"INBOX"[..]].clone();
    anew.uid_validity += 7;
    anew.messages.values_mut().for_each(|m| m.octets = "Subject: mine\r\n\r\n".into());
    world.target.replace("INBOX", anew);
    let migration = world.migration();
    let undone = migration.undo().await.unwrap().remove(0).1;
    migration.journal.release().await.unwrap();
    assert_eq!(undone, Undone { not_ours: 5, ..Undone::default() });
    assert_eq!(world.held("INBOX"), 5);
}

#[tokio::test(start_paused = true)]
async fn undoing_stopped_at_any_step_removes_ours_once_and_all_of_it_is_to_be_copied_again() {
    let end = stopped_everywhere(Verb::Undo, 10, touched).await;
    assert_eq!(end.states, states(&[(State::Verified, 1), (State::Listed, 11)]));
    assert_eq!(end.target.len(), 2, "what was touched, and what is not ours: {:?}", end.target);
}

#[tokio::test(start_paused = true)]
async fn a_migration_after_an_undo_that_was_stopped_at_any_step_loses_and_doubles_nothing() {
    let counting = Stopper::never();
    touched().await.stopped(Verb::Undo, &counting, Death::Killed).await;
    let steps = counting.steps();
    for (at, death) in (1..=steps).flat_map(|at| Death::ALL.map(|death| (at, death))) {
        let world = touched().await;
        let source = holds(&world.source);
        world.stopped(Verb::Undo, &Stopper::at(at), death).await;
        world.run(Verb::Migrate).await;
        let stopped = format!("undo stopped at step {at} of {steps}, {death:?}");
        assert_eq!(world.states().await, states(&[(State::Verified, 12)]), "{stopped}");
        let octets = |held: &Held| held.iter().map(|m| (m.0.clone(), m.1.clone())).collect::<Vec<_>>();
        let mut wanted = octets(&source);
        wanted.push(("INBOX".into(), "Subject: mine\r\n\r\n".into()));
        wanted.sort();
        assert_eq!(octets(&holds(&world.target)), wanted, "{stopped}");
    }
}
