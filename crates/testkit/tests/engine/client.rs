//! The client as a process of its own, which can be killed: this very test program, started again.

use crate::peers::{JOURNAL, Side, opener};
use mailhaul_engine::config::Settings;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, Existing, Journal};
use mailhaul_engine::run::Migration;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Tells the child what to do, as JSON.
const ORDERS: &str = "MAILHAUL_TEST_ORDERS";
/// The child's output, beside its journal.
pub const WORDS: &str = "words.txt";

/// What a client is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    pub from: Login,
    pub to: Login,
    /// Of its journal and spool.
    pub folder: PathBuf,
    /// Capabilities of the target that it does not see.
    pub without: Vec<String>,
    /// Whoever else delivers to the target's mailboxes is not asked about.
    pub append_anyway: bool,
    /// Both settle times.
    pub settle_ms: u64,
    /// Messages in a batch, at most.
    pub batch_messages: usize,
    /// How long it waits for the answer of an APPEND, and of anything else.
    pub append_answer_ms: u64,
    pub answer_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Login {
    address: SocketAddr,
    user: String,
    password: String,
}

/// How a run of the client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// All is done.
    Done,
    /// It gave up; [`Orders::words`] tells why.
    Failed,
    /// It was killed while it worked.
    Killed,
}

impl Orders {
    pub fn new(from: Side<'_>, to: Side<'_>, folder: &Path) -> Self {
        let login = |(address, account): Side<'_>| Login {
            address,
            user: account.user.clone(),
            password: account.password.clone(),
        };
        Self {
            from: login(from),
            to: login(to),
            folder: folder.to_owned(),
            without: Vec::new(),
            append_anyway: false,
            settle_ms: 2_000,
            batch_messages: 20,
            append_answer_ms: 600_000,
            answer_ms: 60_000,
        }
    }

    /// Starts the client; kills it after `life` if it still runs.
    pub fn run(&self, life: Option<Duration>) -> Life {
        let words = File::create(self.folder.join(WORDS)).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "client::child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ORDERS, serde_json::to_string(self).unwrap())
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::null())
            .stderr(words)
            .spawn()
            .unwrap();
        if let Some(life) = life {
            std::thread::sleep(life);
            // it may have ended since
            let _ = child.kill();
        }
        match child.wait().unwrap().code() {
            Some(0) => Life::Done,
            Some(_) => Life::Failed,
            None => Life::Killed,
        }
    }

    /// What the last run said.
    pub fn words(&self) -> String {
        std::fs::read_to_string(self.folder.join(WORDS)).unwrap_or_default()
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::new(&self.folder);
        settings.existing = self.append_anyway.then_some(Existing::AppendAnyway);
        let limits = &mut settings.limits;
        limits.settle_min = Duration::from_millis(self.settle_ms);
        limits.settle_unmeasured = limits.settle_min;
        limits.batch_messages_max = self.batch_messages;
        limits.group_messages_max = limits.group_messages_max.min(self.batch_messages);
        // Every larger message is spooled, so that a spool left behind would be seen.
        limits.body_in_memory_octets_max = 2000;
        limits.back_off_min = Duration::from_millis(20);
        limits.back_off_max = Duration::from_millis(500);
        let answer = Duration::from_millis(self.answer_ms);
        for limit in
            [&mut limits.command, &mut limits.silence, &mut limits.append_answer, &mut limits.greeting]
        {
            *limit = (*limit).min(answer);
        }
        settings
    }
}

/// One run of the client, until it is done or killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by other tests"]
async fn child() {
    let orders = std::env::var(ORDERS).expect("started by other tests");
    let orders: Orders = serde_json::from_str(&orders).unwrap();
    let settings = orders.settings();
    let end = |login: &Login| opener(login.address, &login.user, &login.password, &settings.limits);
    let mut target = end(&orders.to);
    target.without = orders.without.clone();
    let pair = AccountPair { source: "old".into(), target: "new".into() };
    let journal = SqliteJournal::open(orders.folder.join(JOURNAL), &pair, "child").unwrap();
    let migration = Migration::new(ImapSource(end(&orders.from)), ImapTarget(target), journal, settings);
    let end = migration.migrate().await.unwrap();
    assert_eq!((end.left, end.questions.len()), (vec![], 0));
    migration.journal.release().await.unwrap();
}
