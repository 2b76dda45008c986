//! Whole migrations between real servers, judged by a checker that shares no code with the engine.

use crate::peers::{
    Move, Side, asked, cyrus, cyrus_with, dovecot, filled, image, opener, order_may_differ, small,
};
use mailhaul_engine::config::{Level, Security};
use mailhaul_engine::end::Compression;
use mailhaul_engine::error::{EndError, Error};
use mailhaul_engine::journal::{Existing, State};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::run::SourceLook;
use mailhaul_testkit::checker::{PathMap, assert_same, judge};
use mailhaul_testkit::corpus::{CorpusOptions, generate};
use mailhaul_testkit::proxy::FaultProxy;
use mailhaul_testkit::servers::{CyrusOptions, DovecotOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// 20 nested mailboxes with names of many scripts, 1,000 messages, keywords, dates over 15 years, copies.
fn account_of_a_thousand(seed: u64) -> CorpusOptions {
    CorpusOptions {
        seed,
        mailboxes: 20,
        empty_mailboxes: 3,
        messages: 1000,
        copies: 60,
        ..Default::default()
    }
}

async fn moves_whole(from: Side<'_>, to: Side<'_>, seed: u64) {
    let messages = filled(from.1, account_of_a_thousand(seed)).await;
    let before = image(from.1).await;
    let journey = Move::new(from, to);
    journey.run().await.unwrap();
    assert_eq!(journey.states().await, BTreeMap::from([(State::Verified, messages)]));
    let after = image(to.1).await;
    assert_same(&before, &after, &PathMap::same(), &[]);
    assert_same(&before, &image(from.1).await, &PathMap::same(), &[]);
    // The second run sends nothing.
    journey.run().await.unwrap();
    assert_same(&after, &image(to.1).await, &PathMap::same(), &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dovecot_to_dovecot_is_identical() {
    let dotted = DovecotOptions { separator: Some('.'), prefix: "INBOX.".into(), ..Default::default() };
    let (Some(a), Some(b)) = (dovecot(&dotted), dovecot(&DovecotOptions::default())) else { return };
    let (from, to) = (a.account("ann").unwrap(), b.account("ann").unwrap());
    moves_whole((a.imap(), &from), (b.imap(), &to), 11).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dovecot_to_cyrus_is_identical() {
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), cyrus()) else { return };
    let (from, to) = (a.account("alice").unwrap(), b.account("alice").unwrap());
    moves_whole((a.imap(), &from), (b.imap(), &to), 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cyrus_to_dovecot_is_identical() {
    let (Some(a), Some(b)) = (cyrus(), dovecot(&DovecotOptions::default())) else { return };
    let (from, to) = (a.account("alice").unwrap(), b.account("alice").unwrap());
    moves_whole((a.imap(), &from), (b.imap(), &to), 13).await;
}

/// Moves an account through proxies that change nothing, and counts: octets that the old server gave, and that the new
/// one took.
async fn octets_of_moving(from: Side<'_>, to: Side<'_>, ca_files: Vec<PathBuf>, compress: bool) -> [u64; 2] {
    let (at, there) = (from.0, to.0);
    let start = |at| FaultProxy::start(at, |_| Vec::new()).unwrap();
    let proxies = tokio::task::spawn_blocking(move || (start(at), start(there)));
    let (old, new) = proxies.await.unwrap();
    let mut journey = Move::new((old.address(), from.1), (new.address(), to.1));
    (journey.compress, journey.ca_files) = (compress, ca_files);
    let end = journey.run().await.unwrap();
    assert_eq!(end.left, []);
    assert_eq!(journey.states().await.into_keys().collect::<Vec<_>>(), [State::Verified]);
    let given = old.records().iter().map(|r| r.to_client_octets).sum();
    let taken = new.records().iter().map(|r| r.to_server_octets).sum();
    // A proxy waits for its thread when it is dropped: not on a thread of this runtime.
    tokio::task::spawn_blocking(move || drop((old, new))).await.unwrap();
    [given, taken]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_on_both_sides_in_clear_and_above_tls_it_is_identical_with_fewer_octets() {
    let options = DovecotOptions { compress: true, ..Default::default() };
    let (Some(a), Some(b)) = (dovecot(&options), dovecot(&options)) else { return };
    let from = a.account("ann").unwrap();
    filled(&from, small(15)).await;
    let before = image(&from).await;
    let folder = tempfile::tempdir().unwrap();
    let cas = [&a, &b].map(|server| {
        let file = folder.path().join(format!("{}.pem", server.imap().port()));
        std::fs::write(&file, server.ca_pem()).unwrap();
        file
    });
    let mut link = opener(a.imaps(), &from.user, &from.password, &Limits::default());
    (link.account.endpoint.security, link.compress) = (Security::Tls, true);
    link.account.trust.ca_files = cas.to_vec();
    let link = mailhaul_engine::imap_session::open(&link).await.unwrap();
    let both = (link.abilities().tls.is_some(), &link.abilities().compression);
    assert_eq!(both, (true, &Compression::Deflate));
    for tls in [false, true] {
        let mut octets = Vec::new();
        for compress in [false, true] {
            let to = b.account(&format!("user-{tls}-{compress}")).unwrap();
            let (at, there) = if tls { (a.imaps(), b.imaps()) } else { (a.imap(), b.imap()) };
            let ca_files = if tls { cas.to_vec() } else { Vec::new() };
            octets.push(octets_of_moving((at, &from), (there, &to), ca_files, compress).await);
            assert_same(&before, &image(&to).await, &PathMap::same(), &[]);
        }
        let [[given, taken], [given_less, taken_less]] = octets[..] else { panic!("{octets:?}") };
        assert!(given_less * 10 < given * 9 && taken_less * 10 < taken * 9, "TLS {tls}: {octets:?}");
        println!("COMPRESS=DEFLATE, TLS {tls}: given and taken, {octets:?}");
    }
}

/// Cuts connections of both sides at seeded octets; runs until done; nothing may be lost or doubled.
async fn survives_cuts(from: Side<'_>, to: Side<'_>, seed: u64, without: &[&str], compress: bool) {
    let before = image(from.1).await;
    let (at, there) = (from.0, to.0);
    let proxies = tokio::task::spawn_blocking(move || {
        let old = FaultProxy::with_seeded_cuts(at, seed, 3, 150_000).unwrap();
        (old, FaultProxy::with_seeded_cuts(there, seed + 1, 6, 150_000).unwrap())
    });
    let (old, new) = proxies.await.unwrap();
    let mut journey = Move::new((old.address(), from.1), (new.address(), to.1));
    journey.without = without.iter().map(|w| (*w).to_owned()).collect();
    journey.settings.limits.batch_messages_max = 20;
    journey.compress = compress;
    for attempt in 0.. {
        match journey.run().await {
            Ok(end) if end.left.is_empty() => break,
            other => assert!(attempt < 20, "seed {seed}: {other:?}"),
        }
    }
    let states = journey.states().await;
    assert_eq!(states, BTreeMap::from([(State::Verified, before.message_count() as u64)]), "seed {seed}");
    // A proxy waits for its thread when it is dropped: not on a thread of this runtime.
    tokio::task::spawn_blocking(move || drop((old, new))).await.unwrap();
    let verdict = judge(&before, &image(to.1).await, &PathMap::same(), &order_may_differ());
    assert!(verdict.differences.is_empty(), "seed {seed}: {verdict:?}");
}

/// The number of seeds: 10 points in CI, more by `MAILHAUL_CUT_SEEDS`.
fn seeds(default: u64) -> u64 {
    asked("MAILHAUL_CUT_SEEDS").unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_and_double_nothing_on_dovecot() {
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), dovecot(&DovecotOptions::default()))
    else {
        return;
    };
    let from = a.account("ann").unwrap();
    filled(&from, small(5)).await;
    for seed in 0..seeds(4) {
        let without: &[&str] = if seed % 2 == 0 { &[] } else { &["MULTIAPPEND"] };
        let to = b.account(&format!("user{seed}")).unwrap();
        survives_cuts((a.imap(), &from), (b.imap(), &to), 1000 + seed * 10, without, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_compressed_connections_lose_and_double_nothing_on_dovecot() {
    let options = DovecotOptions { compress: true, ..Default::default() };
    let (Some(a), Some(b)) = (dovecot(&options), dovecot(&options)) else { return };
    let from = a.account("ann").unwrap();
    filled(&from, small(16)).await;
    for seed in 0..seeds(2) {
        let without: &[&str] = if seed % 2 == 0 { &[] } else { &["MULTIAPPEND"] };
        let to = b.account(&format!("user{seed}")).unwrap();
        survives_cuts((a.imap(), &from), (b.imap(), &to), 3000 + seed * 10, without, true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_and_double_nothing_on_cyrus() {
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), cyrus()) else { return };
    let from = a.account("ann").unwrap();
    filled(&from, small(6)).await;
    for seed in 0..seeds(2) {
        let without: &[&str] = if seed % 2 == 0 { &[] } else { &["MULTIAPPEND"] };
        let user = format!("cut{seed}");
        b.add_user(&user).unwrap();
        let to = b.account(&user).unwrap();
        survives_cuts((a.imap(), &from), (b.imap(), &to), 2000 + seed * 10, without, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_literal_plus_uidplus_and_multiappend_it_is_still_identical() {
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), dovecot(&DovecotOptions::default()))
    else {
        return;
    };
    let from = a.account("ann").unwrap();
    filled(&from, small(7)).await;
    let before = image(&from).await;
    let cases: [&[&str]; 3] = [&["UIDPLUS"], &["LITERAL+"], &["UIDPLUS", "LITERAL+", "MULTIAPPEND"]];
    for (n, without) in cases.iter().enumerate() {
        let to = b.account(&format!("user{n}")).unwrap();
        let mut journey = Move::new((a.imap(), &from), (b.imap(), &to));
        journey.without = without.iter().map(|w| (*w).to_owned()).collect();
        journey.run().await.unwrap();
        assert_same(&before, &image(&to).await, &PathMap::same(), &[]);
        assert_eq!(journey.states().await.into_keys().collect::<Vec<_>>(), [State::Verified], "{without:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_copied_by_another_tool_is_adopted_once_and_the_rest_is_copied() {
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), dovecot(&DovecotOptions::default()))
    else {
        return;
    };
    let (from, to) = (a.account("ann").unwrap(), b.account("ann").unwrap());
    let corpus = generate(&small(9));
    filled(&from, small(9)).await;
    // The other tool copied everything; afterwards more came.
    filled(&to, small(9)).await;
    let late = small(10);
    let more = generate(&CorpusOptions { messages: 30, copies: 3, ..late.clone() });
    let account = from.clone();
    tokio::task::spawn_blocking(move || account.fill(&more).unwrap()).await.unwrap();
    let before = image(&from).await;
    let mut journey = Move::new((a.imap(), &from), (b.imap(), &to));
    assert!(matches!(journey.run().await, Err(Error::Question(_))));
    journey.settings.existing = Some(Existing::Adopt);
    journey.run().await.unwrap();
    let states = journey.states().await;
    assert_eq!(states.get(&State::AlreadyThere), Some(&(corpus.message_count() as u64)));
    assert_eq!(states.values().sum::<u64>(), before.message_count() as u64);
    assert_same(&before, &image(&to).await, &PathMap::same(), &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_finds_nothing_wrong_and_undo_leaves_what_was_there() {
    let (Some(a), Some(b)) = (dovecot(&DovecotOptions::default()), dovecot(&DovecotOptions::default()))
    else {
        return;
    };
    let (from, to) = (a.account("ann").unwrap(), b.account("ann").unwrap());
    filled(&from, small(14)).await;
    let journey = Move::new((a.imap(), &from), (b.imap(), &to));
    journey.run().await.unwrap();
    journey.with(async |m| m.verify(Level::Octets, SourceLook::Octets).await.unwrap()).await;
    assert_eq!(journey.states().await.into_keys().collect::<Vec<_>>(), [State::Verified]);
    let removed: u64 =
        journey.with(async |m| m.undo().await.unwrap()).await.iter().map(|(_, u)| u.removed).sum();
    assert_eq!(removed, 150);
    assert_eq!(image(&to).await.message_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_tried_once_and_an_unknown_certificate_is_not_believed() {
    let Some(a) = dovecot(&DovecotOptions::default()) else { return };
    let account = a.account("ann").unwrap();
    let limits = Limits::default();
    let wrong = opener(a.imap(), &account.user, "wrong", &limits);
    let error = mailhaul_engine::imap_session::open(&wrong).await.unwrap_err();
    assert!(matches!(error, EndError::LoginRefused { .. }), "{error}");
    let mut tls = opener(a.imaps(), &account.user, &account.password, &limits);
    tls.account.endpoint.security = Security::Tls;
    let error = mailhaul_engine::imap_session::open(&tls).await.unwrap_err();
    let EndError::Untrusted { hint, .. } = &error else { panic!("{error}") };
    assert!(hint.contains("--ca-file"), "{hint}");
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), a.ca_pem()).unwrap();
    for security in [Security::Tls, Security::StartTls] {
        let address = if security == Security::Tls { a.imaps() } else { a.imap() };
        let mut good = opener(address, &account.user, &account.password, &limits);
        good.account.endpoint.security = security;
        good.account.trust.ca_files = vec![Path::to_owned(ca.path())];
        let link = mailhaul_engine::imap_session::open(&good).await.unwrap();
        assert!(
            link.abilities().tls.as_ref().is_some_and(|t| t.contains("TLS")),
            "{:?}",
            link.abilities().tls
        );
    }
}

/// Cyrus without `altnamespace`: what is shared lies below no prefix, as its NAMESPACE says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_mailbox_of_cyrus_below_no_prefix_is_counted_as_shared_and_not_moved() {
    let options =
        CyrusOptions { alt_namespace: false, unix_hierarchy_separator: false, ..CyrusOptions::default() };
    let (Some(a), Some(b)) = (cyrus_with(&options), dovecot(&DovecotOptions::default())) else { return };
    a.add_user("cyrus").unwrap();
    let (from, to) = (a.account("alice").unwrap(), b.account("alice").unwrap());
    let admin = a.account_at(a.imap(), "cyrus");
    let sharing = move || {
        let mut wire = admin.login().unwrap();
        for command in ["CREATE Sent", "SETACL Sent alice lrs"] {
            wire.raw(command).unwrap();
        }
        wire.logout().unwrap();
    };
    tokio::task::spawn_blocking(sharing).await.unwrap();
    let messages = filled(&from, small(31)).await;
    let journey = Move::new((a.imap(), &from), (b.imap(), &to));
    let (_, plan) = journey.with(async |migration| migration.plan().await).await.unwrap();
    let stays: Vec<_> = plan.will_not_move.iter().map(|one| (one.what.as_str(), one.count)).collect();
    assert_eq!(stays, [("1 mailbox shared by many", Some(0))]);
    assert!(plan.excluded.iter().any(|left| left.rule == "shared" && left.record.source.text == "Sent"));
    let mut journey = journey;
    journey.settings.accept_will_not_move = true;
    journey.run().await.unwrap();
    assert_eq!(journey.states().await, BTreeMap::from([(State::Verified, messages)]));
    let is_sent = |m: &&mailhaul_testkit::image::MailboxImage| m.path.levels() == ["Sent"];
    let sent = image(&to).await.mailboxes.iter().find(is_sent).map_or(0, |m| m.messages.len());
    assert_eq!(sent, image(&from).await.mailboxes.iter().find(is_sent).map_or(0, |m| m.messages.len()));
}
