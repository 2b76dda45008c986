//! A world over the wire: two embedded servers in the process, and the whole migration between them over pipes.

use bytes::Bytes;
use mailhaul_engine::config::{
    Credentials, Daily, Endpoint, FixedPassword, ImapAccount, Labels, Level, LoginOptions, MappingRules,
    Rate, Security, Selection, Settings, Trust,
};
use mailhaul_engine::error::Error;
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::memory::{MemoryJournal, MemoryStore};
use mailhaul_engine::journal::{AccountPair, Existing, Item, Journal, Note, Query, RunId, State};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_engine::plan::Plan;
use mailhaul_engine::progress::Progress;
use mailhaul_engine::report::{self, EndFacts, Facts, Report};
use mailhaul_engine::run::{Migration, RunEnd, SourceLook};
use mailhaul_engine::undo::Undone;
use mailhaul_sandbox::{Profile, Sandbox};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub const USER: &str = "ann";
pub const PASSWORD: &str = "secret of ann";
/// Octets a pipe holds.
pub const PIPE_OCTETS: usize = 64 * 1024;

/// A migration between IMAP ends with a journal in memory.
pub type Moving = Migration<ImapSource, ImapTarget, MemoryJournal>;

/// Two servers, and a journal that survives runs. Batches hold three messages at most.
pub struct World {
    pub source: Sandbox,
    pub target: Sandbox,
    pub store: MemoryStore,
    pub limits: Limits,
    /// Connections on each side.
    pub connections: usize,
    /// How fast bodies may move: at the source, at the target.
    pub rates: (Option<Rate>, Option<Rate>),
    /// What may pass in a day: at the source, at the target.
    pub daily: (Daily, Daily),
    /// Capabilities of the target that are not used.
    pub without: Vec<String>,
    /// COMPRESS=DEFLATE on both sides, where offered.
    pub compress: bool,
    /// T8 of the ladder, also for what earlier runs gave up.
    pub repair: bool,
    /// What a person says of a consent to repair in all runs.
    pub consent: Option<bool>,
    /// What becomes of a message under several labels.
    pub labels: Labels,
    /// Which mail.
    pub selection: Selection,
    /// A person's rules for names.
    pub mapping: MappingRules,
    /// What becomes of mail that target mailboxes hold already.
    pub existing: Option<Existing>,
    /// The will-not-move list is accepted.
    pub accepts: bool,
    /// The way to the target, where it is no plain pipe.
    pub target_dialer: Option<Dialer>,
    /// What the target takes, where it is not the password.
    pub credentials: Option<Arc<dyn Credentials>>,
    folder: tempfile::TempDir,
}

/// (mailbox, octets, flags, date), sorted: what a server holds.
pub type Held = Vec<(String, Bytes, Vec<String>, String)>;

impl World {
    /// Two empty accounts; how the target behaves.
    pub fn new(target: Profile) -> Self {
        Self::between(Profile::default(), target)
    }

    /// Two empty accounts; how each server behaves.
    pub fn between(source: Profile, target: Profile) -> Self {
        let (source, target) = (Sandbox::new(source), Sandbox::new(target));
        source.add_user(USER, PASSWORD);
        target.add_user(USER, PASSWORD);
        let limits = Limits { batch_messages_max: 3, group_messages_max: 3, ..Limits::default() };
        Self {
            source,
            target,
            store: MemoryStore::new(),
            limits,
            connections: 2,
            rates: (None, None),
            daily: (Daily::Known, Daily::Known),
            without: Vec::new(),
            compress: false,
            repair: false,
            consent: None,
            labels: Labels::Copies,
            selection: Selection::default(),
            mapping: MappingRules::default(),
            existing: None,
            accepts: false,
            target_dialer: None,
            credentials: None,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn journal(&self) -> MemoryJournal {
        self.store.open(&AccountPair { source: "a".into(), target: "b".into() }).unwrap()
    }

    pub fn migration(&self) -> Moving {
        let mut settings = Settings::new(self.folder.path());
        settings.connections = self.connections;
        (settings.source_rate, settings.target_rate) = self.rates;
        (settings.source_daily, settings.target_daily) = self.daily;
        settings.limits = self.limits.clone();
        (settings.repair, settings.retry_exceptions) = (self.repair, self.repair);
        settings.consent = self.consent;
        (settings.labels, settings.selection) = (self.labels, self.selection.clone());
        (settings.mapping, settings.existing) = (self.mapping.clone(), self.existing);
        settings.accept_will_not_move = self.accepts;
        let mut source = opener(&self.source, &settings.limits, &[]);
        let mut target = opener(&self.target, &settings.limits, &self.without);
        (source.compress, target.compress) = (self.compress, self.compress);
        target.account.credentials = self.credentials.clone().unwrap_or(target.account.credentials);
        target.dialer = self.target_dialer.clone().unwrap_or(target.dialer);
        Migration::new(ImapSource(source), ImapTarget(target), self.journal(), settings)
    }

    /// What `plan` shows.
    pub async fn plan(&self) -> Plan {
        let migration = self.migration();
        let planned = migration.plan().await;
        migration.journal.release().await.unwrap();
        planned.unwrap().1
    }

    /// One run of `migrate`.
    pub async fn try_migrate(&self) -> Result<RunEnd, Error> {
        let migration = self.migration();
        let end = migration.migrate().await;
        migration.journal.release().await.unwrap();
        migration.goodbyes.answered().await;
        end
    }

    /// One run of `migrate`, which must come to its end.
    pub async fn migrate(&self) -> RunEnd {
        self.try_migrate().await.unwrap()
    }

    /// One run of `migrate`, which must come to its end, and what it told meanwhile.
    pub async fn migrate_and_listen(&self) -> Vec<Progress> {
        let migration = self.migration();
        let mut told = migration.bus.listen();
        migration.migrate().await.unwrap();
        migration.journal.release().await.unwrap();
        migration.goodbyes.answered().await;
        std::iter::from_fn(|| told.try_recv().ok()).collect()
    }

    /// One run of `verify`, which lists the source, too.
    pub async fn verify(&self) -> RunEnd {
        let migration = self.migration();
        let end = migration.verify(Level::Octets, SourceLook::Listing).await.unwrap();
        migration.journal.release().await.unwrap();
        migration.goodbyes.answered().await;
        end
    }

    /// One run of `undo`: all mailboxes together.
    pub async fn undo(&self) -> Result<Undone, Error> {
        let migration = self.migration();
        let end = migration.undo().await;
        migration.journal.release().await.unwrap();
        let mut sum = Undone::default();
        for (_, undone) in end? {
            sum.removed += undone.removed;
            sum.touched += undone.touched;
            sum.gone += undone.gone;
            sum.not_ours += undone.not_ours;
        }
        Ok(sum)
    }

    pub async fn items(&self) -> Vec<Item> {
        let journal = self.journal();
        let all = Query { mailbox: None, states: &[], after: None, limit: 10_000 };
        let items = journal.items(all).await.unwrap();
        for mailbox in journal.mailboxes().await.unwrap() {
            assert!(journal.open_batches(mailbox.id).await.unwrap().is_empty(), "a batch was left open");
        }
        journal.release().await.unwrap();
        items
    }

    pub async fn states(&self) -> BTreeMap<State, usize> {
        let mut states = BTreeMap::new();
        self.items().await.iter().for_each(|i| *states.entry(i.state).or_default() += 1);
        states
    }

    /// The exceptions: kind and words.
    pub async fn exceptions(&self) -> Vec<(String, String)> {
        let exceptions = self.items().await.into_iter().filter(|i| i.state == State::Exception);
        exceptions.filter_map(|i| i.reason).map(|r| (r.kind, r.text)).collect()
    }

    pub async fn report(&self) -> Report {
        let journal = self.journal();
        let run = journal.runs(1).await.unwrap().pop().map(|r| r.id);
        let report = report::collect(&journal, &facts(run)).await.unwrap();
        journal.release().await.unwrap();
        report
    }

    /// All remarks in the journal.
    pub async fn notes(&self) -> Vec<Note> {
        let journal = self.journal();
        let notes = journal.notes("", i64::MIN, 10_000).await.unwrap();
        journal.release().await.unwrap();
        notes.into_iter().map(|record| record.note).collect()
    }

    /// The kinds of doubts in the report.
    pub async fn doubts(&self) -> Vec<String> {
        self.report().await.doubts.shown.into_iter().map(|d| d.kind).collect()
    }

    /// Messages and octets of the target's mailboxes.
    pub fn held(&self) -> Held {
        held(&self.target)
    }

    /// The octets that a mailbox of the target holds, in order.
    pub fn octets(&self, mailbox: &str) -> Vec<Bytes> {
        octets(&self.target, mailbox)
    }
}

/// What a report says beside the journal, in a test.
pub fn facts(run: Option<RunId>) -> Facts {
    Facts {
        version: "0".into(),
        migration: "m".into(),
        source: EndFacts::default(),
        target: EndFacts::default(),
        level: Some(Level::Octets),
        danger: Vec::new(),
        run,
        settle: None,
        timings: Vec::new(),
        signer: None,
    }
}

/// The octets that a mailbox of a server holds, in order; none where there is no such mailbox.
pub fn octets(server: &Sandbox, mailbox: &str) -> Vec<Bytes> {
    let of = server.snapshot(USER).into_iter().filter(|m| m.name == mailbox);
    of.flat_map(|m| m.messages).map(|m| m.octets).collect()
}

pub fn held(server: &Sandbox) -> Held {
    let of = |m: mailhaul_sandbox::MailboxSnapshot| {
        let name = m.name;
        m.messages.into_iter().map(move |x| {
            let mut flags = x.flags;
            flags.sort();
            (name.clone(), x.octets, flags, x.internal_date)
        })
    };
    let mut all: Held = server.snapshot(USER).into_iter().flat_map(of).collect();
    all.sort();
    all
}

/// What clients said, connection after connection.
pub type Said = Arc<Mutex<Vec<u8>>>;

/// A way to a server on which everything that the client says is written down.
pub fn overheard(server: &Sandbox) -> (Dialer, Said) {
    let (server, said) = (server.clone(), Said::default());
    let heard = said.clone();
    let way = move || {
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        let (mut client, mut server) = (tokio::io::split(theirs), tokio::io::split(dial(&server)));
        let said = said.clone();
        tokio::spawn(async move { tokio::io::copy(&mut server.0, &mut client.1).await });
        tokio::spawn(async move {
            let mut octets = vec![0; 4096];
            while let Ok(read @ 1..) = client.0.read(&mut octets).await {
                said.lock().unwrap().extend_from_slice(&octets[..read]);
                if server.1.write_all(&octets[..read]).await.is_err() {
                    break;
                }
            }
        });
        ours
    };
    (Dialer::InProcess(Arc::new(way)), heard)
}

/// A connection to a server: its other end is served until it ends.
pub fn dial(server: &Sandbox) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
    let server = server.clone();
    tokio::spawn(async move { server.serve(theirs).await });
    ours
}

pub fn opener(server: &Sandbox, limits: &Limits, without: &[String]) -> Opener {
    let server = server.clone();
    Opener {
        account: ImapAccount {
            endpoint: Endpoint { host: "sandbox.example".into(), port: 143, security: Security::Clear },
            user: USER.into(),
            auth_user: None,
            login: LoginOptions::default(),
            trust: Trust::default(),
            credentials: Arc::new(FixedPassword::new(PASSWORD)),
        },
        limits: limits.clone(),
        dialer: Dialer::InProcess(Arc::new(move || dial(&server))),
        without: without.to_vec(),
        compress: false,
    }
}
