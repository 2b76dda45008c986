//! The client killed (SIGKILL) at seeded points against real servers, with and without MULTIAPPEND, then run again:
//! no message lost, none doubled, no spool left behind.

use crate::client::{Life, Orders};
use crate::peers::{JOURNAL, Side, asked, cyrus, dovecot, order_may_differ, states};
use mailhaul_engine::journal::State;
use mailhaul_testkit::checker::{PathMap, judge};
use mailhaul_testkit::corpus::{CorpusOptions, Random, generate};
use mailhaul_testkit::image::AccountImage;
use mailhaul_testkit::servers::DovecotOptions;
use std::collections::BTreeMap;
use std::time::Duration;

/// Messages of the account; the first run of all is killed many times before the end.
const MESSAGES: usize = 150;
/// Kills of one account before it may run to its end.
const KILLS: usize = 4;

/// Kills the client again and again, lets it finish, and judges. Returns how often it was killed in its work.
fn survives_kills(from: Side<'_>, before: &AccountImage, to: Side<'_>, seed: u64, without: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let orders = Orders {
        settle_ms: 1_000,
        batch_messages: 10,
        without: vec![without.to_owned()],
        ..Orders::new(from, to, folder.path())
    };
    let mut random = Random::new(seed);
    let mut killed = 0;
    for _ in 0..KILLS {
        let life = Duration::from_micros(20_000 + random.below(230_000));
        match orders.run(Some(life)) {
            Life::Killed => killed += 1,
            ended => {
                assert_eq!(ended, Life::Done, "seed {seed}: {}", orders.words());
                break;
            }
        }
    }
    assert_eq!(orders.run(None), Life::Done, "seed {seed}: {}", orders.words());
    let verdict = judge(before, &to.1.image().unwrap(), &PathMap::same(), &order_may_differ());
    assert!(verdict.differences.is_empty(), "seed {seed}: {verdict:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with(JOURNAL) && name != crate::client::WORDS)
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let states = runtime.block_on(states(folder.path()));
    assert_eq!(states, BTreeMap::from([(State::Verified, before.message_count() as u64)]), "seed {seed}");
    killed
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
    asked("MAILHAUL_KILL_SEEDS").unwrap_or(default)
}

fn hidden(seed: u64) -> &'static str {
    ["", "MULTIAPPEND", "UIDPLUS"][seed as usize % 3]
}

#[test]
fn a_killed_client_loses_and_doubles_nothing_on_dovecot() {
    let options = DovecotOptions::default();
    let Some(old) = dovecot(&options) else { return };
    let Some(new) = dovecot(&options) else { return };
    let account = old.account("ann").unwrap();
    account.fill(&generate(&corpus(21))).unwrap();
    let (from, before) = ((old.imap(), &account), account.image().unwrap());
    let mut killed = 0;
    for seed in 0..seeds(6) {
        let account = new.account(&format!("user{seed}")).unwrap();
        let to = (new.imap(), &account);
        killed += survives_kills(from, &before, to, 4000 + seed, hidden(seed));
    }
    println!("killed {killed} times");
    assert!(killed > 0, "the kills came too late");
}

#[test]
fn a_killed_client_loses_and_doubles_nothing_on_cyrus() {
    let Some(old) = dovecot(&DovecotOptions::default()) else { return };
    let Some(new) = cyrus() else { return };
    let account = old.account("ann").unwrap();
    account.fill(&generate(&corpus(22))).unwrap();
    let (from, before) = ((old.imap(), &account), account.image().unwrap());
    let mut killed = 0;
    for seed in 0..seeds(4) {
        let user = format!("kill{seed}");
        new.add_user(&user).unwrap();
        let account = new.account(&user).unwrap();
        let to = (new.imap(), &account);
        killed += survives_kills(from, &before, to, 5000 + seed, hidden(seed));
    }
    println!("killed {killed} times");
    assert!(killed > 0, "the kills came too late");
}
