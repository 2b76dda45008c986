//! Under fire: real servers behind a proxy that cuts, loses answers and delivers late; clients and server processes
//! killed; another session delivering to the same mailboxes all the time. Nothing may be lost, nothing doubled.
//!
//! A seed draws all of it but the moments, which are the machine's. That it can fail shows with
//! `MAILHAUL_FIRE_SETTLE_MS=0`: without the settle time messages are doubled.

#[path = "fire/case.rs"]
mod case;
#[path = "fire/others.rs"]
mod others;
#[path = "fire/outcome.rs"]
mod outcome;

use crate::client::{Life, Orders};
use crate::peers::{asked, dovecot, report};
use case::Case;
use mailhaul_testkit::account::Account;
use mailhaul_testkit::corpus::{CorpusOptions, generate};
use mailhaul_testkit::image::{AccountImage, MailboxPath};
use mailhaul_testkit::proxy::{FaultProxy, Plan, Watch};
use mailhaul_testkit::servers::{Cyrus, CyrusOptions, Dovecot, DovecotOptions, MailFormat, Store};
use others::{deliver, take_out};
use outcome::Outcome;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Messages of the account, and how many of them are copies: 15 in 100.
const MESSAGES: usize = 300;
const COPIES: usize = 45;
/// Seeds in CI: each store but one. Single APPENDs to mdbox are left to the long run: on a loaded machine the server takes a
/// quarter of an hour over its repairs (see [`Outcome::rebuilt`]).
const CI_SEEDS: [u64; 9] = [0, 1, 2, 3, 4, 5, 7, 8, 9];
/// Seeds at work at the same time: most of a seed's time is waiting.
const AT_ONCE: u64 = 8;
/// Both settle times. Longer than late delivery and a loaded machine hold a commit back.
const SETTLE_MS: u64 = 4_000;
/// How long a client waits for an answer that does not come: Dovecot's login process says nothing when the process it
/// hands a connection to is killed.
const ANSWER: Duration = Duration::from_secs(8);
/// Runs of the client after which it must be done. Each can end because a mailbox was given up for that run.
const RUNS_MAX: usize = 40;
/// Looks at what is there, while the server repairs what it has there.
const LOOKS_MAX: usize = 5;

/// A target server.
enum Server {
    Dovecot(Dovecot),
    Cyrus(Cyrus),
}

impl Server {
    /// Starts it with an account for `user`; `None` where it is not installed.
    fn start(store: Option<(MailFormat, &'static str)>, user: &str) -> Option<(Self, Account)> {
        if let Some((format, fsync)) = store {
            // fsync is nothing in memory
            let options = DovecotOptions { format, fsync, store: Store::Disk, ..Default::default() };
            let server = dovecot(&options)?;
            let account = server.account(user).unwrap();
            return Some((Self::Dovecot(server), account));
        }
        let options = CyrusOptions { users: vec![user.to_owned()], ..Default::default() };
        let server = Cyrus::start(&options).unwrap().or_not_run()?;
        let account = server.account(user).unwrap();
        Some((Self::Cyrus(server), account))
    }

    fn imap(&self) -> SocketAddr {
        match self {
            Self::Dovecot(server) => server.imap(),
            Self::Cyrus(server) => server.imap(),
        }
    }

    /// Lines of its log that tell of damage to its own storage and of its repair.
    fn repairs(&self) -> Vec<String> {
        let Self::Dovecot(server) = self else { return Vec::new() };
        let words = ["rebuilding indexes", "Inconsistency in map index", "Invalid dbox header"];
        let tells = |line: &&str| words.iter().any(|word| line.contains(word));
        server.log().lines().filter(tells).map(str::to_owned).collect()
    }

    fn kill_sessions(&self) -> usize {
        match self {
            Self::Dovecot(server) => server.kill_sessions().unwrap(),
            Self::Cyrus(server) => server.kill_sessions().unwrap(),
        }
    }
}

/// Kills the server's session processes, a drawn time after the last octet of a batch left for it.
fn kill_server(server: &Server, kills: &[(u64, Duration)], told: &mpsc::Receiver<usize>) -> usize {
    let mut killed = 0;
    for (skipped, wait) in kills {
        // what was sent while the last kill went on is not what this one is about
        told.try_iter().for_each(drop);
        for _ in 0..=*skipped {
            if told.recv().is_err() {
                return killed;
            }
        }
        thread::sleep(*wait);
        killed += server.kill_sessions();
    }
    killed
}

/// Moves the account through what the seed draws, and judges. `None` where the server is not installed.
fn run(case: &Case, from: (SocketAddr, &Account), before: &AccountImage) -> Option<Outcome> {
    let (server, account) = Server::start(case.store, &format!("fire{}", case.seed))?;
    let folder = tempfile::tempdir().unwrap();
    let plans = |plans: &[Plan]| {
        let plans = plans.to_vec();
        move |ordinal: usize| plans.get(ordinal).cloned().unwrap_or_default()
    };
    let (tell, told) = mpsc::channel();
    let watch = Watch { command: "APPEND".into(), told: tell };
    let old = FaultProxy::start(from.0, plans(&case.to_source)).unwrap();
    let new = FaultProxy::on(0, server.imap(), plans(&case.to_target), Some(watch)).unwrap();
    let orders = Orders {
        without: if case.multiappend { vec![] } else { vec!["MULTIAPPEND".to_owned()] },
        append_anyway: true,
        settle_ms: asked("MAILHAUL_FIRE_SETTLE_MS").unwrap_or(SETTLE_MS),
        batch_messages: case.batch_messages,
        append_answer_ms: case.append_answer().as_millis() as u64,
        answer_ms: ANSWER.as_millis() as u64,
        ..Orders::new((old.address(), from.1), (new.address(), &account), folder.path())
    };
    let mailboxes: Vec<MailboxPath> = before.mailboxes.iter().map(|mailbox| mailbox.path.clone()).collect();
    let (stop, mut outcome) = (AtomicBool::new(false), Outcome::default());
    let delivered = thread::scope(|scope| {
        let delivering = scope.spawn(|| deliver(&account, &mailboxes, case.seed, &stop));
        let (server, kills) = (&server, &case.server_kills);
        let killing = scope.spawn(move || kill_server(server, kills, &told));
        run_to_its_end(&orders, &case.lives, &mut outcome);
        stop.store(true, Ordering::Relaxed);
        outcome.count_ends(&old);
        outcome.count_ends(&new);
        // with the proxy goes who tells of batches
        drop((old, new));
        outcome.server_kills = killing.join().unwrap();
        delivering.join().unwrap()
    });
    outcome.delivered = delivered.len();
    let mut after = look_at(&account);
    let repairs = server.repairs();
    outcome.rebuilt = usize::from(!repairs.is_empty());
    outcome.count_doubts(folder.path());
    for line in repairs.iter().take(2) {
        println!("seed {}: its server says: {line}", case.seed);
    }
    outcome.judge_others(take_out(&mut after, &delivered));
    outcome.judge(before, &after);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    outcome.compare_with(&runtime.block_on(report(folder.path())));
    Some(outcome)
}

/// All that is there. A server that meets damage in its storage says BYE, and repairs it for the next session.
fn look_at(account: &Account) -> AccountImage {
    let repaired = (1..LOOKS_MAX).find_map(|_| account.image().ok());
    repaired.unwrap_or_else(|| account.image().unwrap())
}

/// Runs the client again and again: the first ones are killed, the others end by themselves.
fn run_to_its_end(orders: &Orders, lives: &[Duration], outcome: &mut Outcome) {
    for _ in 0..RUNS_MAX {
        let life = lives.get(outcome.runs).copied();
        outcome.runs += 1;
        match orders.run(life) {
            Life::Done => return,
            Life::Killed => outcome.client_kills += 1,
            Life::Failed => {}
        }
    }
    outcome.wrong.push(format!("not done after {RUNS_MAX} runs: {}", orders.words()));
}

/// The seeds that are asked for: one (`MAILHAUL_FIRE_SEED`), so many (`MAILHAUL_FIRE_SEEDS`, from `MAILHAUL_FIRE_FIRST`
/// on), or CI's.
fn seeds() -> Vec<u64> {
    let first = asked("MAILHAUL_FIRE_FIRST").unwrap_or(0);
    match (asked("MAILHAUL_FIRE_SEED"), asked("MAILHAUL_FIRE_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (first..first + count).collect(),
        (None, None) => CI_SEEDS.to_vec(),
    }
}

#[test]
fn under_fire_nothing_is_lost_or_doubled_while_others_deliver() {
    let Some(old) = dovecot(&DovecotOptions::default()) else { return };
    let account = old.account("ann").unwrap();
    let corpus = CorpusOptions {
        seed: 31,
        mailboxes: 4,
        empty_mailboxes: 1,
        messages: MESSAGES,
        copies: COPIES,
        ..Default::default()
    };
    account.fill(&generate(&corpus)).unwrap();
    let before = account.image().unwrap();
    let (seeds, total) = (seeds(), Mutex::new((0, Outcome::default())));
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (case, begun) = (Case::of(*seed), Instant::now());
            let Some(outcome) = run(&case, (old.imap(), &account), &before) else { continue };
            println!("seed {seed}: {}: {outcome}; {} s", case.name(), begun.elapsed().as_secs());
            for wrong in &outcome.wrong {
                println!("seed {seed} is wrong; again with MAILHAUL_FIRE_SEED={seed}: {wrong}");
            }
            let mut total = total.lock().unwrap();
            total.0 += 1;
            total.1.add(&outcome);
        }
    };
    thread::scope(|scope| {
        (0..asked("MAILHAUL_FIRE_AT_ONCE").unwrap_or(AT_ONCE)).for_each(|_| drop(scope.spawn(work)));
    });
    let (count, total) = total.into_inner().unwrap();
    println!("fire: {count} seeds of {MESSAGES} messages: {total}");
    assert_eq!(account.image().unwrap(), before, "the source was changed");
    assert_eq!(total.wrong, Vec::<String>::new());
    assert!(count == 0 || total.cuts + total.server_kills > 0, "there was no fire");
}
