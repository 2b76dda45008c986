//! Access tokens at Dovecot 2.3 over a whole run, judged by their signature or by whoever it asks (RFC 7662).

use crate::peers::{dovecot, filled, image, opener, small};
use mailhaul_engine::config::{Credentials, Mechanism, RefusedFuture, Secret, SecretFuture, Settings};
use mailhaul_engine::error::EndError;
use mailhaul_engine::imap_session::{Opener, open};
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::memory::MemoryStore;
use mailhaul_engine::journal::{AccountPair, Journal};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_engine::run::Migration;
use mailhaul_testkit::checker::{PathMap, assert_same};
use mailhaul_testkit::servers::introspection::Introspection;
use mailhaul_testkit::servers::token::{jwt, jwt_for};
use mailhaul_testkit::servers::{Dovecot, DovecotOptions, PASSWORD};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

const USER: &str = "ann";
/// Octets of the source's answers after which its token dies: some messages are through by then, and most are not.
const DIES_AFTER_OCTETS: u64 = 40_000;

/// One token until a server refuses it, and then another that lives long.
struct Dying {
    token: Mutex<String>,
    refused: AtomicUsize,
}

impl Dying {
    fn after(seconds: i64) -> Arc<Self> {
        Arc::new(Self { token: Mutex::new(jwt(USER, seconds)), refused: AtomicUsize::new(0) })
    }
}

impl Credentials for Dying {
    fn secret(&self) -> SecretFuture<'_> {
        let token = self.token.lock().unwrap().clone();
        Box::pin(async move { Ok(Secret::Token(token.into())) })
    }

    fn refused(&self, token: &Secret) -> RefusedFuture<'_> {
        let Secret::Token(refused) = token else { panic!("no token was given") };
        let mut held = self.token.lock().unwrap();
        if **refused == *held {
            self.refused.fetch_add(1, Ordering::SeqCst);
            *held = jwt(USER, 3600);
        }
        Box::pin(async { true })
    }
}

/// A way to a server that stands still once so many octets came from there, until it is let go on.
struct Held {
    passed: AtomicU64,
    is_full: watch::Sender<bool>,
    goes_on: watch::Sender<bool>,
}

impl Held {
    fn before(address: SocketAddr) -> (Arc<Self>, Dialer) {
        let held = Arc::new(Self {
            passed: AtomicU64::new(0),
            is_full: watch::Sender::new(false),
            goes_on: watch::Sender::new(false),
        });
        let way = held.clone();
        let dialer = Dialer::InProcess(Arc::new(move || {
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(way.clone().carry(theirs, address));
            ours
        }));
        (held, dialer)
    }

    async fn carry(self: Arc<Self>, client: tokio::io::DuplexStream, address: SocketAddr) {
        let server = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut client, mut server) = (tokio::io::split(client), server.into_split());
        let mut octets = vec![0; 4096];
        let asks = async { tokio::io::copy(&mut client.0, &mut server.1).await.map(drop) };
        let answers = async {
            loop {
                let read = server.0.read(&mut octets).await?;
                if self.passed.fetch_add(read as u64, Ordering::SeqCst) > DIES_AFTER_OCTETS {
                    self.is_full.send_replace(true);
                    let _ = self.goes_on.subscribe().wait_for(|on| *on).await;
                }
                if read == 0 {
                    return client.1.shutdown().await;
                }
                client.1.write_all(&octets[..read]).await?;
            }
        };
        // An end of either direction is the end of the connection.
        tokio::select! { _ = asks => {}, _ = answers => {} }
    }
}

fn with_tokens() -> Option<Dovecot> {
    dovecot(&DovecotOptions { all_mechanisms: true, ..DovecotOptions::default() })
}

/// A move from a Dovecot whose token dies after so many seconds, in the middle: its sessions are killed after that.
async fn a_move_outlives_its_token(mechanism: Mechanism, seconds: i64) {
    let (Some(old), Some(new)) = (with_tokens(), with_tokens()) else { return };
    let (from, to) = (old.account(USER).unwrap(), new.account(USER).unwrap());
    let messages = filled(&from, small(6)).await;
    let dying = Dying::after(seconds);
    let dies = tokio::time::Instant::now() + Duration::from_secs(seconds.unsigned_abs() + 1);
    let first = dying.token.lock().unwrap().clone();
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path());
    settings.limits.back_off_min = Duration::from_millis(20);
    settings.limits.back_off_max = Duration::from_millis(200);
    let mut source = opener(old.imap(), USER, PASSWORD, &settings.limits);
    source.account.login.mechanism = Some(mechanism);
    source.account.credentials = dying.clone();
    let (held, way) = Held::before(old.imap());
    source.dialer = way;
    let target = opener(new.imap(), USER, PASSWORD, &settings.limits);
    let pair = AccountPair { source: "old".into(), target: "new".into() };
    let journal = MemoryStore::new().open(&pair).unwrap();
    let migration = Migration::new(ImapSource(source.clone()), ImapTarget(target), journal, settings);
    let death = async {
        held.is_full.subscribe().wait_for(|full| *full).await.unwrap();
        assert_eq!(dying.refused.load(Ordering::SeqCst), 0, "it was good so far");
        // The server judges by its clock, in seconds.
        tokio::time::sleep_until(dies).await;
        assert!(old.kill_sessions().unwrap() > 0, "sessions were open");
        held.goes_on.send_replace(true);
    };
    let (end, ()) = tokio::join!(migration.migrate(), death);
    let end = end.unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", old.log()));
    assert_eq!((end.left, end.questions), (Vec::new(), Vec::new()));
    migration.journal.release().await.unwrap();
    assert_eq!(dying.refused.load(Ordering::SeqCst), 1, "{mechanism}: a new token was asked for once");
    let after = image(&to).await;
    assert_same(&image(&from).await, &after, &PathMap::same(), &[]);
    assert_eq!(after.mailboxes.iter().map(|m| m.messages.len() as u64).sum::<u64>(), messages);
    source.account.credentials = Arc::new(Fixed(first));
    let (text, advice) = refused(&source).await;
    assert!(advice.contains("the token has to be a new one"), "the first one is dead: {text}, {advice}");
}

struct Fixed(String);

impl Credentials for Fixed {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(async { Ok(Secret::Token(self.0.clone().into())) })
    }
}

/// What the server said when it refused a login, and what a person is told to do.
async fn refused(opener: &Opener) -> (String, String) {
    let error = open(opener).await.err().unwrap();
    let EndError::LoginRefused { refusal, .. } = &error else { panic!("{error}") };
    (refusal.text.clone(), error.next_step().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_goes_on_with_a_new_token_when_the_first_one_died_in_its_middle() {
    for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
        a_move_outlives_its_token(mechanism, 4).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute: cargo test -p mailhaul-testkit --test engine a_minute -- --ignored"]
async fn a_move_goes_on_when_its_token_died_after_a_minute() {
    a_move_outlives_its_token(Mechanism::OAuthBearer, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_the_server_asks_somebody_about_logs_in_its_own_user_as_long_as_it_is_good() {
    let judge = Introspection::start().unwrap();
    let options = DovecotOptions {
        all_mechanisms: true,
        introspection: Some(judge.url()),
        ..DovecotOptions::default()
    };
    let Some(server) = dovecot(&options) else { return };
    let mut opener = opener(server.imap(), USER, PASSWORD, &Limits::default());
    let (good, of_bob, nonsense) = ("opaque-rowan-1", "opaque-rowan-2", "opaque-rowan-3");
    for (mechanism, status) in [(Mechanism::OAuthBearer, "invalid_token"), (Mechanism::XOAuth2, "401")] {
        let status = format!("status {status}");
        judge.know(good, USER);
        judge.know(of_bob, "bob");
        opener.account.login.mechanism = Some(mechanism);
        opener.account.credentials = Arc::new(Fixed(good.into()));
        open(&opener).await.unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", server.log()));
        assert_eq!(judge.asked().last().unwrap(), good);
        judge.forget(good);
        for token in [good, of_bob, nonsense] {
            opener.account.credentials = Arc::new(Fixed(token.into()));
            let (text, advice) = refused(&opener).await;
            assert!(text.contains(&status), "{mechanism}, {token}: {text}\n{}", server.log());
            assert!(advice.contains("the token has to be a new one"), "{advice}");
            assert_eq!(judge.asked().last().unwrap(), token, "the server asked");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_another_audience_opens_nothing() {
    let options =
        DovecotOptions { all_mechanisms: true, token_audience: Some("mail"), ..DovecotOptions::default() };
    let Some(server) = dovecot(&options) else { return };
    let mut opener = opener(server.imap(), USER, PASSWORD, &Limits::default());
    for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
        opener.account.login.mechanism = Some(mechanism);
        opener.account.credentials = Arc::new(Fixed(jwt_for("mail", USER, 600)));
        open(&opener).await.unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", server.log()));
        for foreign in [jwt_for("calendar", USER, 600), jwt(USER, 600)] {
            opener.account.credentials = Arc::new(Fixed(foreign));
            let (text, advice) = refused(&opener).await;
            assert!(advice.contains("of this user and for mail"), "{mechanism}: {text}; {advice}");
        }
    }
}
