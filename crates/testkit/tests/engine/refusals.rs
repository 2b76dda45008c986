//! Real servers that refuse: one message for what it is, and every message for want of room.

use crate::peers::{Move, cyrus, dovecot, filled, image, order_may_differ, report, small};
use mailhaul_engine::error::Error;
use mailhaul_engine::journal::State;
use mailhaul_engine::progress::Progress;
use mailhaul_engine::report::exit_code_of;
use mailhaul_testkit::checker::{Allowance, DifferenceKind, PathMap, assert_same, judge};
use mailhaul_testkit::corpus::nasty::{Fate, nasty};
use mailhaul_testkit::corpus::{CorpusOptions, generate};
use mailhaul_testkit::image::{Content, MailboxPath};
use mailhaul_testkit::servers::{DovecotOptions, MailFormat};
use std::collections::BTreeMap;

/// Fills an account with a small corpus that has the poison in the middle of INBOX; returns its UID.
async fn filled_with_poison(account: &mailhaul_testkit::account::Account, seed: u64, poison: &[u8]) -> u32 {
    let mut corpus = generate(&small(seed));
    let inbox = corpus.mailbox_mut(&MailboxPath::inbox()).unwrap();
    let at = inbox.messages.len() / 2;
    let mut message = inbox.messages[at].clone();
    message.content = Content::of(poison.to_vec());
    inbox.messages.insert(at, message);
    let account = account.clone();
    tokio::task::spawn_blocking(move || account.fill(&corpus).unwrap()).await.unwrap();
    at as u32 + 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cyrus_refuses_is_one_exception_and_all_else_moves() {
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), cyrus()) else { return };
    let poison = nasty().into_iter().find(|nasty| nasty.name == "header line without a colon").unwrap();
    let Fate::Refused(words) = poison.cyrus else { panic!("{:?}", poison.cyrus) };
    for (user, without) in [("alice", &[][..]), ("bob", &["MULTIAPPEND"])] {
        let (from, to) = (a.account(user).unwrap(), b.account(user).unwrap());
        let uid = filled_with_poison(&from, 41, &poison.octets).await;
        let before = image(&from).await;
        let mut journey = Move::new((a.imap(), &from), (b.imap(), &to));
        journey.without = without.iter().map(|w| (*w).to_owned()).collect();
        // The second run changes nothing and says the same.
        for _ in 0..2 {
            journey.run().await.unwrap();
            let report = report(journey.folder.path()).await;
            assert_eq!((report.exit_code(), report.exceptions.total), (3, 1), "{without:?}");
            let told = &report.exceptions.shown[0];
            assert_eq!((told.mailbox.as_str(), told.uid), ("INBOX", i64::from(uid)));
            assert!(told.text.contains(words), "the server's words: {}", told.text);
            let original = journey.folder.path().join(told.file.as_ref().expect("the original is saved"));
            assert_eq!(std::fs::read(original).unwrap(), poison.octets);
            let moved = before.message_count() as u64 - 1;
            let states = BTreeMap::from([(State::Verified, moved), (State::Exception, 1)]);
            assert_eq!(journey.states().await, states);
            let refused = Allowance::new(DifferenceKind::MessageMissing, "refused").of_uid(uid).exactly(1);
            assert_same(&before, &image(&to).await, &PathMap::same(), &[refused.in_mailbox("INBOX")]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_target_stops_the_run_and_the_same_journal_completes_when_there_is_room() {
    let tight = DovecotOptions { quota_kib: Some(400), ..Default::default() };
    let (Some(a), Some(mut b)) = (dovecot(&DovecotOptions::default()), dovecot(&tight)) else { return };
    let from = a.account("ann").unwrap();
    let messages = filled(&from, small(8)).await;
    let before = image(&from).await;
    let cases: [&[&str]; 2] = [&[], &["MULTIAPPEND"]];
    for (n, without) in cases.iter().enumerate() {
        b.restart_with(&tight).unwrap();
        let to = b.account(&format!("user{n}")).unwrap();
        let mut journey = Move::new((a.imap(), &from), (b.imap(), &to));
        journey.without = without.iter().map(|w| (*w).to_owned()).collect();
        // One connection writes: Dovecot looks at the room when a batch begins, so that batches of several fit where one does.
        journey.settings.connections = 2;
        assert!(
            journey.run().await.unwrap_err().to_string().contains("will not move"),
            "it is asked about first"
        );
        assert_eq!(image(&to).await.message_count(), 0, "and nothing is sent before the answer");
        journey.settings.accept_will_not_move = true;
        let mut moved = 0;
        // It stays full: asking again moves what fits, skips nothing and doubles nothing.
        for _ in 0..2 {
            let error = journey.run().await.unwrap_err();
            assert!(matches!(&error, Error::Full { .. }), "{error}");
            assert_eq!(exit_code_of(&error), 14);
            moved = image(&to).await.message_count();
            assert!(moved > 0 && (moved as u64) < messages, "{moved} of {messages}");
            assert!(!journey.states().await.contains_key(&State::Exception), "nothing is skipped");
        }
        b.restart_with(&DovecotOptions::default()).unwrap();
        journey.run().await.unwrap();
        assert_eq!(journey.states().await, BTreeMap::from([(State::Verified, messages)]), "{without:?}");
        assert_eq!(report(journey.folder.path()).await.exit_code(), 0);
        // Of APPENDs on their way together the server takes a later one that still fits: only its order is lost.
        let order = if without.is_empty() { vec![] } else { order_may_differ().to_vec() };
        let verdict = judge(&before, &image(&to).await, &PathMap::same(), &order);
        assert!(verdict.differences.is_empty(), "{moved} of {messages} had room: {verdict}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_mbox_that_another_session_locks_is_waited_for_and_takes_every_message_once() {
    let mbox = DovecotOptions {
        format: MailFormat::Mbox,
        extra: "mbox_write_locks = dotlock fcntl\nmbox_lock_timeout = 1 secs\n".into(),
        ..Default::default()
    };
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), dovecot(&mbox)) else { return };
    let (from, to) = (a.account("ann").unwrap(), b.account("ann").unwrap());
    // An mbox with mail has no children.
    let flat =
        CorpusOptions { seed: 43, mailboxes: 3, empty_mailboxes: 1, messages: 60, ..Default::default() };
    let messages = filled(&from, flat).await;
    // A first login makes the folder.
    image(&to).await;
    let lock = b.lock_mbox_inbox("ann").unwrap();
    let journey = Move::new((a.imap(), &from), (b.imap(), &to));
    let (end, told) = journey
        .with(async |migration| {
            let mut told = migration.bus.listen();
            let held = async move {
                loop {
                    match told.recv().await.unwrap() {
                        Progress::Waiting { why, .. } => break why,
                        Progress::Ended { .. } => break String::new(),
                        _ => {}
                    }
                }
            };
            tokio::join!(migration.migrate(), async {
                let why = held.await;
                drop(lock);
                why
            })
        })
        .await;
    assert_eq!(end.unwrap().left, []);
    assert!(told.contains("waiting for lock"), "the server's words: {told}");
    assert_eq!(journey.states().await, BTreeMap::from([(State::Verified, messages)]));
    assert_eq!(image(&to).await.message_count() as u64, messages);
}
