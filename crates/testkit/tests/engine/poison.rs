//! Messages that the source does not give, gives cut, or gives a notice for: each becomes an exception or is read another
//! way, with few connections, and the rest of the mailbox moves.

use crate::late::{DATE, World, message};
use crate::wire::{PASSWORD, USER, opener};
use mailhaul_engine::config::Settings;
use mailhaul_engine::error::{EndError, Error};
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::journal::memory::MemoryStore;
use mailhaul_engine::journal::{AccountPair, Journal, State};
use mailhaul_engine::memory_end::{MemoryMail, MemoryTarget};
use mailhaul_engine::run::Migration;
use mailhaul_sandbox::{Fault, Profile, Sandbox};
use std::collections::BTreeMap;

fn moved_but(messages: usize, exceptions: usize) -> BTreeMap<State, usize> {
    BTreeMap::from([(State::Verified, messages - exceptions), (State::Exception, exceptions)])
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_every_connection_costs_few_connections_and_no_second_reading() {
    // Whether the connection breaks at the message, or at the command that asks for it among a hundred others.
    for before_any_answer in [false, true] {
        for poison in [vec![1], vec![77], vec![230], vec![3, 4], vec![1, 230]] {
            let world = World::new(230);
            let count = poison.len();
            world.source.set(|k| {
                k.poison = poison.clone();
                k.poisons_ranges = before_any_answer;
            });
            let began = tokio::time::Instant::now();
            world.migrate().await;
            let case = format!("{poison:?}, before any answer: {before_any_answer}");
            assert_eq!(world.states().await, moved_but(230, count), "{case}");
            assert_eq!(
                world.exceptions().await,
                BTreeMap::from([("unreadable".to_owned(), count)]),
                "{case}"
            );
            // The first one; for each message one loss to suspect it, at most one more for its whole command, and
            // `read_attempts_max` alone; two for the proof that it is still there.
            let logins = world.source.logins();
            assert!(logins <= 1 + 5 * count as u64 + 2, "{logins} logins, {case}");
            assert_eq!(world.source.fetched(), 230 - count as u64, "each is read once, {case}");
            assert!(began.elapsed().as_secs() < 60, "{:?}, {case}", began.elapsed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_poisoned_messages_do_not_use_up_the_patience_with_the_server() {
    for before_any_answer in [false, true] {
        let world = World::new(120);
        let poison: Vec<i64> = (1..=120).step_by(6).collect();
        world.source.set(|k| {
            k.poison = poison.clone();
            k.poisons_ranges = before_any_answer;
        });
        world.migrate().await;
        assert_eq!(world.states().await, moved_but(120, 20));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_at_every_message_is_given_up_and_its_messages_are_not() {
    let world = World::new(300);
    world.source.set(|k| k.poison = (1..=300).collect());
    let error = world.try_migrate().await.unwrap_err();
    assert!(matches!(error, Error::Source(EndError::Lost { .. })), "{error}");
    let states = world.states().await;
    assert!(states[&State::Listed] > 200, "{states:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_without_octets_is_neither_empty_nor_gone_and_the_rest_moves() {
    for unreadable in [vec![1], vec![17], vec![30], (1..=30).step_by(3).collect()] {
        let world = World::new(30);
        let count = unreadable.len();
        world.source.set(|k| k.unreadable = unreadable);
        world.migrate().await;
        assert_eq!(world.states().await, moved_but(30, count));
        assert!(world.source.logins() <= 8, "{} logins", world.source.logins());
        let texts: Vec<String> =
            world.items().await.into_iter().filter_map(|i| i.reason).map(|r| r.text).collect();
        assert_eq!(texts, vec!["the old server gave no octets"; count]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_octets_is_read_as_header_and_text_where_that_works() {
    let world = World::new(30);
    world.source.set(|k| (k.unreadable, k.parts) = (vec![4, 30], true));
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 30)]));
    assert_eq!(world.doubts().await, ["doubt:read:parts", "doubt:read:parts"]);
    assert_eq!(world.report().await.exit_code(), 0);
    world.migrate().await;
    assert_eq!(world.doubts().await.len(), 2, "said once");
}

#[tokio::test(start_paused = true)]
async fn messages_left_out_of_an_answer_become_exceptions_and_removed_ones_are_gone() {
    let world = World::new(30);
    world.source.set(|k| k.left_out = vec![1, 9, 30]);
    world.migrate().await;
    assert_eq!(world.states().await, moved_but(30, 3));
    // One of them answers again, and is copied when asked to try again; without the question nothing changes.
    world.source.set(|k| k.left_out = vec![1, 9]);
    world.migrate().await;
    assert_eq!(world.states().await, moved_but(30, 3));
}

#[tokio::test(start_paused = true)]
async fn a_body_cut_in_silence_is_read_twice_and_a_doubt_where_its_end_is_missing() {
    let world = World::new(10);
    let parts =
        "Content-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\n--b 1\r\n\r\none\r\n--b 1--\r\nepilogue\r\n";
    let multipart = world.source.deliver("INBOX", parts, "", DATE);
    let whole = world.source.deliver("INBOX", parts.replace("one", "two"), "", DATE);
    world.source.set(|k| {
        k.cut = BTreeMap::from([(3, 30), (multipart, parts.len() - 20), (whole, parts.len() - 3)]);
    });
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 12)]));
    assert_eq!(world.source.fetched(), 12 + 3, "what is short is asked for again, once");
    let report = world.report().await;
    let doubts: Vec<_> = report.doubts.shown.iter().map(|d| (d.kind.as_str(), d.uid)).collect();
    assert_eq!(doubts, [("doubt:source_cut", Some(multipart))], "the others may be what they are");
    let wrong = report.remarks.shown.iter().filter(|r| r.kind == "size_wrong").count();
    assert_eq!(wrong, 1, "said once for the mailbox: {:?}", report.remarks);
}

#[tokio::test(start_paused = true)]
async fn sizes_that_are_all_wrong_cost_no_second_reading_of_the_mailbox() {
    let world = World::new(200);
    world.source.set(|k| k.sizes_times = 3);
    world.migrate().await;
    assert_eq!(world.states().await, BTreeMap::from([(State::Verified, 200)]));
    assert!(world.source.fetched() <= 220, "{} read", world.source.fetched());
    assert_eq!(world.report().await.remarks.shown.iter().filter(|r| r.kind == "size_wrong").count(), 1);
    assert_eq!(world.doubts().await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_notice_in_the_place_of_a_message_is_kept_for_a_person_and_not_sent() {
    let world = World::new(5);
    let stub = "Subject: Retrieval using the IMAP4 protocol failed for the following message: 2938\r\n\r\nThe server…\r\n";
    world.source.deliver("INBOX", stub, "", DATE);
    world.source.deliver("INBOX", stub.replace("Subject: ", "Subject: Fwd: "), "", DATE);
    world.migrate().await;
    assert_eq!(world.states().await, moved_but(7, 1));
    assert_eq!(world.exceptions().await, BTreeMap::from([("source_stub".to_owned(), 1)]));
    assert_eq!((world.held("INBOX"), world.report().await.exit_code()), (6, 3));
    let saved: Vec<_> = std::fs::read_dir(world.exceptions_folder()).unwrap().collect();
    assert_eq!(saved.len(), 1);
    assert_eq!(std::fs::read_to_string(saved[0].as_ref().unwrap().path()).unwrap(), stub);
}

/// Over the wire: `BODY[] NIL` for a whole message with its listing and three times after it, then `BODY[HEADER]` and `BODY[TEXT]`.
#[tokio::test(start_paused = true)]
async fn header_and_text_are_put_together_over_the_wire() {
    let source = Sandbox::new(Profile::default());
    source.add_user(USER, PASSWORD);
    source.deliver(USER, "INBOX", message(1), "\\Seen $Work", DATE);
    (0..4).for_each(|_| source.inject(Fault::NilBody));
    let folder = tempfile::tempdir().unwrap();
    let (store, target) = (MemoryStore::new(), MemoryMail::new());
    let journal = store.open(&AccountPair { source: "a".into(), target: "b".into() }).unwrap();
    let settings = Settings::new(folder.path());
    let end = ImapSource(opener(&source, &settings.limits, &[]));
    let migration = Migration::new(end, MemoryTarget(target.clone()), journal, settings);
    migration.migrate().await.unwrap();
    let copies = target.snapshot()[&b"INBOX"[..]].messages.clone();
    let copies: Vec<_> = copies.into_values().map(|m| (m.octets, m.flags.to_string())).collect();
    assert_eq!(copies, [(message(1).into(), "\\Seen $Work".to_owned())]);
    let notes = migration.journal.notes("doubt:read:parts", 0, 10).await.unwrap();
    assert_eq!(notes.len(), 1);
    assert!(source.counters().commands["FETCH"] > 0 && source.snapshot(USER)[0].messages[0].flags.len() == 2);
}
