//! The client killed (SIGKILL) at seeded points against real servers, with and without MULTIAPPEND, then run again:
//! no message lost, none doubled, no spool left behind.
//!
//! The client is this very test program, started again as a process of its own.

use mailhaul_engine::config::{Endpoint, FixedPassword, ImapAccount, Security, Settings, Trust};
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, Journal, State};
use mailhaul_engine::net::Dialer;
use mailhaul_engine::run::Migration;
use mailhaul_testkit::account::Account;
use mailhaul_testkit::checker::{Allowance, DifferenceKind, PathMap, judge};
use mailhaul_testkit::corpus::{CorpusOptions, Random, generate};
use mailhaul_testkit::image::AccountImage;
use mailhaul_testkit::servers::{Cyrus, CyrusOptions, Dovecot, DovecotOptions};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Tells the child what to do: source and target address and user, folder, what to hide, one a line.
const ORDERS: &str = "MAILHAUL_TEST_ORDERS";
/// The journal in the folder.
const JOURNAL: &str = "journal.sqlite";
/// Messages of the account; the first run of all is killed many times before the end.
const MESSAGES: usize = 150;
/// Kills of one account before it may run to its end.
const KILLS: usize = 4;

struct Side<'a> {
    address: SocketAddr,
    account: &'a Account,
}

fn opener(address: &str, user: &str, password: &str, settings: &Settings, without: &str) -> Opener {
    let address: SocketAddr = address.parse().unwrap();
    let endpoint =
        Endpoint { host: address.ip().to_string(), port: address.port(), security: Security::Clear };
    Opener {
        account: ImapAccount {
            endpoint,
            user: user.into(),
            auth_user: None,
            trust: Trust::default(),
            credentials: Arc::new(FixedPassword::new(password)),
        },
        limits: settings.limits.clone(),
        dialer: Dialer::Tcp,
        without: without.split(',').filter(|w| !w.is_empty()).map(str::to_owned).collect(),
    }
}

/// One run of the client, in a process of its own (the tests below start it), until it is done or killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the tests below"]
async fn child() {
    let orders = std::env::var(ORDERS).expect("started by the tests below");
    let orders: Vec<&str> = orders.split('\n').collect();
    let [from, from_user, from_password, to, to_user, to_password, folder, without] = orders[..] else {
        panic!("{orders:?}");
    };
    let mut settings = Settings::new(folder);
    settings.limits.settle_min = Duration::from_secs(1);
    settings.limits.settle_unmeasured = Duration::from_secs(1);
    settings.limits.batch_messages_max = 10;
    // Every larger message is spooled, so that a spool left behind would be seen.
    settings.limits.body_in_memory_octets_max = 2000;
    let pair = AccountPair { source: "old".into(), target: "new".into() };
    let journal = SqliteJournal::open(Path::new(folder).join(JOURNAL), &pair, "child").unwrap();
    let source = ImapSource(opener(from, from_user, from_password, &settings, ""));
    let target = ImapTarget(opener(to, to_user, to_password, &settings, without));
    let migration = Migration::new(source, target, journal, settings);
    let end = migration.migrate().await.unwrap();
    assert_eq!(end.left, []);
    migration.journal.release().await.unwrap();
}

/// Starts the client; kills it after `life` if it still runs. True when it came to its end.
fn run(from: &Side<'_>, to: &Side<'_>, folder: &Path, without: &str, life: Option<Duration>) -> bool {
    let side = |s: &Side<'_>| format!("{}\n{}\n{}", s.address, s.account.user, s.account.password);
    let orders = format!("{}\n{}\n{}\n{without}", side(from), side(to), folder.display());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ORDERS, orders)
        .stdout(Stdio::null())
        .stderr(if life.is_some() { Stdio::null() } else { Stdio::inherit() })
        .spawn()
        .unwrap();
    match life {
        Some(life) => {
            std::thread::sleep(life);
            let _ = child.kill();
            child.wait().unwrap().success()
        }
        None => {
            assert!(child.wait().unwrap().success(), "the last run ends well");
            true
        }
    }
}

/// Kills the client again and again, lets it finish, and judges. Returns how often it was killed in its work.
fn survives_kills(from: &Side<'_>, before: &AccountImage, to: &Side<'_>, seed: u64, without: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(seed);
    let mut killed = 0;
    for _ in 0..KILLS {
        let life = Duration::from_micros(20_000 + random.below(230_000));
        if run(from, to, folder.path(), without, Some(life)) {
            break;
        }
        killed += 1;
    }
    run(from, to, folder.path(), without, None);
    let allowed = [Allowance::new(DifferenceKind::Order, "what is sent again comes later")];
    let verdict = judge(before, &to.account.image().unwrap(), &PathMap::same(), &allowed);
    assert!(verdict.differences.is_empty(), "seed {seed}: {verdict:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(JOURNAL))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    assert_eq!(verified(folder.path()), before.message_count() as u64, "seed {seed}");
    killed
}

fn verified(folder: &Path) -> u64 {
    let journal = SqliteJournal::open_read_only(folder.join(JOURNAL)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let counts = runtime.block_on(journal.counts()).unwrap();
    assert!(counts.iter().all(|c| c.state == State::Verified), "{counts:?}");
    counts.iter().map(|c| c.items).sum()
}

fn corpus(seed: u64) -> CorpusOptions {
    CorpusOptions {
        seed,
        mailboxes: 4,
        empty_mailboxes: 1,
        messages: MESSAGES,
        copies: 25,
        ..CorpusOptions::default()
    }
}

/// Accounts, by server: 6 and 4 points in CI (each killed up to [`KILLS`] times), more by `MAILHAUL_KILL_SEEDS`.
fn seeds(default: u64) -> u64 {
    std::env::var("MAILHAUL_KILL_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

fn hidden(seed: u64) -> &'static str {
    ["", "MULTIAPPEND", "UIDPLUS"][seed as usize % 3]
}

#[test]
fn a_killed_client_loses_and_doubles_nothing_on_dovecot() {
    let options = DovecotOptions::default();
    let Some(old) = Dovecot::start(&options).unwrap().or_not_run() else { return };
    let Some(new) = Dovecot::start(&options).unwrap().or_not_run() else { return };
    let account = old.account("ann").unwrap();
    account.fill(&generate(&corpus(21))).unwrap();
    let (from, before) = (Side { address: old.imap(), account: &account }, account.image().unwrap());
    let mut killed = 0;
    for seed in 0..seeds(6) {
        let account = new.account(&format!("user{seed}")).unwrap();
        let to = Side { address: new.imap(), account: &account };
        killed += survives_kills(&from, &before, &to, 4000 + seed, hidden(seed));
    }
    println!("killed {killed} times");
    assert!(killed > 0, "the kills came too late");
}

#[test]
fn a_killed_client_loses_and_doubles_nothing_on_cyrus() {
    let Some(old) = Dovecot::start(&DovecotOptions::default()).unwrap().or_not_run() else { return };
    let Some(new) = Cyrus::start(&CyrusOptions::default()).unwrap().or_not_run() else { return };
    let account = old.account("ann").unwrap();
    account.fill(&generate(&corpus(22))).unwrap();
    let (from, before) = (Side { address: old.imap(), account: &account }, account.image().unwrap());
    let mut killed = 0;
    for seed in 0..seeds(4) {
        let user = format!("kill{seed}");
        new.add_user(&user).unwrap();
        let account = new.account(&user).unwrap();
        let to = Side { address: new.imap(), account: &account };
        killed += survives_kills(&from, &before, &to, 5000 + seed, hidden(seed));
    }
    println!("killed {killed} times");
    assert!(killed > 0, "the kills came too late");
}
