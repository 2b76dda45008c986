//! What the tests between real servers share: the servers, a migration between two accounts, accounts read and
//! filled.

use mailhaul_engine::config::{
    Endpoint, FixedPassword, ImapAccount, Level, LoginOptions, Security, Settings, Trust,
};
use mailhaul_engine::error::Error;
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, Item, Journal, Query, State};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_engine::report::{self, Facts, Report};
use mailhaul_engine::run::{Migration, RunEnd};
use mailhaul_testkit::account::Account;
use mailhaul_testkit::checker::{Allowance, DifferenceKind};
use mailhaul_testkit::corpus::{CorpusOptions, generate};
use mailhaul_testkit::image::AccountImage;
use mailhaul_testkit::servers::{Cyrus, CyrusOptions, Dovecot, DovecotOptions};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The journal in the folder of a migration.
pub const JOURNAL: &str = "journal.sqlite";

/// An account, and the address under which it is to be reached: the server's, or a proxy's before it.
pub type Side<'a> = (SocketAddr, &'a Account);

pub fn dovecot(options: &DovecotOptions) -> Option<Dovecot> {
    Dovecot::start(options).unwrap().or_not_run()
}

pub fn cyrus() -> Option<Cyrus> {
    cyrus_with(&CyrusOptions::default())
}

pub fn cyrus_with(options: &CyrusOptions) -> Option<Cyrus> {
    Cyrus::start(options).unwrap().or_not_run()
}

/// How to reach an account in clear.
pub fn opener(address: SocketAddr, user: &str, password: &str, limits: &Limits) -> Opener {
    let (host, port) = (address.ip().to_string(), address.port());
    Opener {
        account: ImapAccount {
            endpoint: Endpoint { host, port, security: Security::Clear },
            user: user.to_owned(),
            auth_user: None,
            login: LoginOptions::default(),
            trust: Trust::default(),
            credentials: Arc::new(FixedPassword::new(password)),
        },
        limits: limits.clone(),
        dialer: Dialer::Tcp,
        without: Vec::new(),
        compress: false,
    }
}

/// A migration between two accounts, with a journal of its own.
pub struct Move<'a> {
    pub from: Side<'a>,
    pub to: Side<'a>,
    pub folder: tempfile::TempDir,
    pub settings: Settings,
    /// Capabilities of the target that the engine does not see.
    pub without: Vec<String>,
    /// COMPRESS=DEFLATE on both sides.
    pub compress: bool,
    /// TLS from the first octet on both sides, and whom to trust; clear text without.
    pub ca_files: Vec<PathBuf>,
}

impl<'a> Move<'a> {
    pub fn new(from: Side<'a>, to: Side<'a>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(folder.path());
        settings.limits.settle_min = Duration::from_secs(2);
        settings.limits.settle_unmeasured = Duration::from_secs(2);
        settings.limits.back_off_min = Duration::from_millis(20);
        settings.limits.back_off_max = Duration::from_millis(200);
        Self { from, to, folder, settings, without: Vec::new(), compress: false, ca_files: Vec::new() }
    }

    pub async fn run(&self) -> Result<RunEnd, Error> {
        self.with(async |migration| migration.migrate().await).await
    }

    pub async fn with<R>(
        &self,
        work: impl AsyncFnOnce(&Migration<ImapSource, ImapTarget, SqliteJournal>) -> R,
    ) -> R {
        let pair = AccountPair { source: "old".into(), target: "new".into() };
        let journal = SqliteJournal::open(self.journal(), &pair, "test").unwrap();
        let limits = &self.settings.limits;
        let end = |side: Side<'_>| {
            let mut opener = opener(side.0, &side.1.user, &side.1.password, limits);
            opener.compress = self.compress;
            if !self.ca_files.is_empty() {
                opener.account.endpoint.security = Security::Tls;
                opener.account.trust.ca_files = self.ca_files.clone();
            }
            opener
        };
        let mut target = end(self.to);
        target.without = self.without.clone();
        let (source, target) = (ImapSource(end(self.from)), ImapTarget(target));
        let mut migration = Migration::new(source, target, journal, self.settings.clone());
        migration.exceptions = Some(self.folder.path().join(report::EXCEPTIONS_FOLDER));
        let result = work(&migration).await;
        migration.journal.release().await.unwrap();
        result
    }

    pub fn journal(&self) -> PathBuf {
        self.folder.path().join(JOURNAL)
    }

    pub async fn states(&self) -> BTreeMap<State, u64> {
        states(self.folder.path()).await
    }
}

/// The report of the last run with the journal in a folder, as the program would write it there.
pub async fn report(folder: &Path) -> Report {
    let facts = Facts {
        version: "test".into(),
        migration: "test".into(),
        source: Default::default(),
        target: Default::default(),
        level: Some(Level::Octets),
        danger: Vec::new(),
        run: None,
        settle: None,
        timings: Vec::new(),
        signer: None,
    };
    let journal = SqliteJournal::open_read_only(folder.join(JOURNAL)).unwrap();
    report::write(&journal, &facts, folder).await.unwrap().report
}

/// How many messages are in which state, by the journal in a folder.
pub async fn states(folder: &Path) -> BTreeMap<State, u64> {
    let journal = SqliteJournal::open_read_only(folder.join(JOURNAL)).unwrap();
    let mut states = BTreeMap::new();
    for count in journal.counts().await.unwrap() {
        *states.entry(count.state).or_insert(0) += count.items;
    }
    states
}

/// Rows of the journal in a folder: `batch WHERE state = 'resolved'`. Read without the engine.
pub fn counted(folder: &Path, what: &str) -> u64 {
    let journal = rusqlite::Connection::open(folder.join(JOURNAL)).unwrap();
    let count = journal.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get::<_, i64>(0));
    count.unwrap().unsigned_abs()
}

/// All messages, by the journal in a folder.
pub async fn items(folder: &Path) -> Vec<Item> {
    let journal = SqliteJournal::open_read_only(folder.join(JOURNAL)).unwrap();
    journal.items(Query { mailbox: None, states: &[], after: None, limit: usize::MAX }).await.unwrap()
}

pub async fn image(account: &Account) -> AccountImage {
    let account = account.clone();
    tokio::task::spawn_blocking(move || account.image().unwrap()).await.unwrap()
}

pub async fn filled(account: &Account, options: CorpusOptions) -> u64 {
    let (account, corpus) = (account.clone(), generate(&options));
    let count = corpus.message_count() as u64;
    tokio::task::spawn_blocking(move || account.fill(&corpus).unwrap()).await.unwrap();
    count
}

/// 4 mailboxes, 150 messages, 25 of them copies.
pub fn small(seed: u64) -> CorpusOptions {
    CorpusOptions { seed, mailboxes: 4, empty_mailboxes: 1, messages: 150, copies: 25, ..Default::default() }
}

/// What a run with lost connections may change.
pub fn order_may_differ() -> [Allowance; 1] {
    [Allowance::new(DifferenceKind::Order, "what is sent again comes later")]
}

/// A number from the environment, for runs that are longer than CI's.
pub fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}
