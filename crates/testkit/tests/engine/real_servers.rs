//! Whole migrations between real servers, judged by a checker that shares no code with the engine.

use mailhaul_engine::config::{Endpoint, FixedPassword, ImapAccount, Level, Security, Settings, Trust};
use mailhaul_engine::error::{EndError, Error};
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, Existing, Journal, State};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_engine::run::{Migration, RunEnd, SourceLook};
use mailhaul_testkit::account::Account;
use mailhaul_testkit::checker::{PathMap, assert_same};
use mailhaul_testkit::corpus::{CorpusOptions, generate};
use mailhaul_testkit::image::AccountImage;
use mailhaul_testkit::proxy::FaultProxy;
use mailhaul_testkit::servers::{Cyrus, CyrusOptions, Dovecot, DovecotOptions};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn dovecot(options: &DovecotOptions) -> Option<Dovecot> {
    Dovecot::start(options).unwrap().or_not_run()
}

fn cyrus() -> Option<Cyrus> {
    Cyrus::start(&CyrusOptions::default()).unwrap().or_not_run()
}

fn opener(address: SocketAddr, account: &Account, limits: &Limits) -> Opener {
    Opener {
        account: ImapAccount {
            endpoint: Endpoint {
                host: address.ip().to_string(),
                port: address.port(),
                security: Security::Clear,
            },
            user: account.user.clone(),
            auth_user: None,
            trust: Trust::default(),
            credentials: Arc::new(FixedPassword::new(account.password.clone())),
        },
        limits: limits.clone(),
        dialer: Dialer::Tcp,
        without: Vec::new(),
    }
}

struct Move<'a> {
    from: (SocketAddr, &'a Account),
    to: (SocketAddr, &'a Account),
    folder: tempfile::TempDir,
    settings: Settings,
    without: Vec<String>,
}

impl<'a> Move<'a> {
    fn new(from: (SocketAddr, &'a Account), to: (SocketAddr, &'a Account)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(folder.path());
        settings.limits.settle_min = Duration::from_secs(2);
        settings.limits.settle_unmeasured = Duration::from_secs(2);
        settings.limits.back_off_min = Duration::from_millis(20);
        settings.limits.back_off_max = Duration::from_millis(200);
        Self { from, to, folder, settings, without: Vec::new() }
    }

    async fn run(&self) -> Result<RunEnd, Error> {
        self.with(async |migration| migration.migrate().await).await
    }

    async fn with<R>(
        &self,
        work: impl AsyncFnOnce(&Migration<ImapSource, ImapTarget, SqliteJournal>) -> R,
    ) -> R {
        let pair = AccountPair { source: "old".into(), target: "new".into() };
        let journal = SqliteJournal::open(self.journal(), &pair, "test").unwrap();
        let source = ImapSource(opener(self.from.0, self.from.1, &self.settings.limits));
        let mut target = opener(self.to.0, self.to.1, &self.settings.limits);
        target.without = self.without.clone();
        let migration = Migration::new(source, ImapTarget(target), journal, self.settings.clone());
        let result = work(&migration).await;
        migration.journal.release().await.unwrap();
        result
    }

    fn journal(&self) -> std::path::PathBuf {
        self.folder.path().join("journal.sqlite")
    }

    async fn states(&self) -> BTreeMap<State, u64> {
        let journal = SqliteJournal::open_read_only(self.journal()).unwrap();
        let mut states = BTreeMap::new();
        for count in journal.counts().await.unwrap() {
            *states.entry(count.state).or_insert(0) += count.items;
        }
        states
    }
}

async fn image(account: &Account) -> AccountImage {
    let account = account.clone();
    tokio::task::spawn_blocking(move || account.image().unwrap()).await.unwrap()
}

async fn filled(account: &Account, options: CorpusOptions) -> u64 {
    let (account, corpus) = (account.clone(), generate(&options));
    let count = corpus.message_count() as u64;
    tokio::task::spawn_blocking(move || account.fill(&corpus).unwrap()).await.unwrap();
    count
}

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

async fn moves_whole(from: (SocketAddr, &Account), to: (SocketAddr, &Account), seed: u64) {
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

/// Cuts connections of both sides at seeded octets; runs until done; nothing may be lost or doubled.
async fn survives_cuts(
    from: (SocketAddr, &Account),
    to: (SocketAddr, &Account),
    seed: u64,
    without: &[&str],
) {
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
    for attempt in 0.. {
        match journey.run().await {
            Ok(end) if end.left.is_empty() => break,
            other => assert!(attempt < 20, "seed {seed}: {other:?}"),
        }
    }
    let states = journey.states().await;
    assert_eq!(states, BTreeMap::from([(State::Verified, before.message_count() as u64)]), "seed {seed}");
    let allowed = [mailhaul_testkit::checker::Allowance::new(
        mailhaul_testkit::checker::DifferenceKind::Order,
        "what is sent again comes later",
    )];
    // A proxy waits for its thread when it is dropped: not on a thread of this runtime.
    tokio::task::spawn_blocking(move || drop((old, new))).await.unwrap();
    let verdict = mailhaul_testkit::checker::judge(&before, &image(to.1).await, &PathMap::same(), &allowed);
    assert!(verdict.differences.is_empty(), "seed {seed}: {verdict:?}");
}

fn small(seed: u64) -> CorpusOptions {
    CorpusOptions { seed, mailboxes: 4, empty_mailboxes: 1, messages: 150, copies: 25, ..Default::default() }
}

/// The number of seeds: 10 points in CI, more by `MAILHAUL_CUT_SEEDS`.
fn seeds(default: u64) -> u64 {
    std::env::var("MAILHAUL_CUT_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
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
        survives_cuts((a.imap(), &from), (b.imap(), &to), 1000 + seed * 10, without).await;
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
        survives_cuts((a.imap(), &from), (b.imap(), &to), 2000 + seed * 10, without).await;
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
async fn a_full_target_stops_the_run_and_the_same_run_completes_when_there_is_room() {
    let Some(a) = dovecot(&DovecotOptions::default()) else { return };
    let from = a.account("ann").unwrap();
    filled(&from, small(8)).await;
    let before = image(&from).await;
    let tight = DovecotOptions { quota_kib: Some(200), ..Default::default() };
    let Some(b) = dovecot(&tight) else { return };
    let to = b.account("ann").unwrap();
    let journey = Move::new((a.imap(), &from), (b.imap(), &to));
    let error = journey.run().await.unwrap_err();
    assert!(matches!(&error, Error::Full { .. }), "{error}");
    let moved = image(&to).await.message_count();
    assert!(moved < before.message_count(), "{moved} of {}", before.message_count());
    assert!(!journey.states().await.contains_key(&State::Exception), "nothing is skipped");
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
    let mut wrong = opener(a.imap(), &account, &limits);
    wrong.account.credentials = Arc::new(FixedPassword::new("wrong"));
    let error = mailhaul_engine::imap_session::open(&wrong).await.unwrap_err();
    assert!(matches!(error, EndError::LoginRefused { .. }), "{error}");
    let mut tls = opener(a.imaps(), &account, &limits);
    tls.account.endpoint.security = Security::Tls;
    let error = mailhaul_engine::imap_session::open(&tls).await.unwrap_err();
    let EndError::Untrusted { hint, .. } = &error else { panic!("{error}") };
    assert!(hint.contains("--ca-file"), "{hint}");
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), a.ca_pem()).unwrap();
    for security in [Security::Tls, Security::StartTls] {
        let address = if security == Security::Tls { a.imaps() } else { a.imap() };
        let mut good = opener(address, &account, &limits);
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
