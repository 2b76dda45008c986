//! The matrix: an odd account (`testkit::odd`) moves between real servers of different stores and name styles, in every
//! direction, and an audit that shares no code with the engine holds report and manifest against both servers, message for
//! message. A part of it runs with every test; all of it by
//!
//!     MAILHAUL_MATRIX=all MAILHAUL_REQUIRE_SERVERS=1 cargo test -p mailhaul-testkit --test engine matrix -- --nocapture
//!
//! `MAILHAUL_MATRIX="maildir.>cyrus/"` runs one direction. `MAILHAUL_MATRIX_WRITE=1` keeps the counts for docs/servers.md.
//! `MAILHAUL_OTHER_CHECKER` names a program that is asked beside our audit, and has to agree with it (docs/testing.md).
//!
//! Before each direction the target is probed, and what the plan says then is held against what became of each message.

#[path = "matrix/foretold.rs"]
mod foretold;
#[path = "matrix/other.rs"]
mod other;

use crate::peers::{Move, report};
use mailhaul_testkit::account::Account;
use mailhaul_testkit::audit::{Audit, Comparison, Holding, Papers, audit};
use mailhaul_testkit::odd::{Kind, Refused, plant};
use mailhaul_testkit::servers::{Cyrus, CyrusOptions, Dovecot, DovecotOptions, MailFormat};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Where the counts of a whole run are kept.
const KEPT: &str = "data/matrix.tsv";
/// The user of the odd account at each server.
const ORIGIN: &str = "origin";
/// The directions of every test run: each store and each name style once.
const IN_EVERY_RUN: [(&str, &str); 3] =
    [("maildir.", "cyrus/ munge"), ("cyrus.", "mbox/"), ("mdbox/", "maildir.")];

/// The stores: how it is called here, and how it is set up.
const STORES: [(&str, Store); 10] = [
    ("maildir.", Store::Dovecot(MailFormat::Maildir, true)),
    ("maildir/", Store::Dovecot(MailFormat::Maildir, false)),
    ("mdbox.", Store::Dovecot(MailFormat::Mdbox, true)),
    ("mdbox/", Store::Dovecot(MailFormat::Mdbox, false)),
    ("mbox.", Store::Dovecot(MailFormat::Mbox, true)),
    ("mbox/", Store::Dovecot(MailFormat::Mbox, false)),
    ("cyrus.", Store::Cyrus { unix: false, munge: false }),
    ("cyrus. munge", Store::Cyrus { unix: false, munge: true }),
    ("cyrus/", Store::Cyrus { unix: true, munge: false }),
    ("cyrus/ munge", Store::Cyrus { unix: true, munge: true }),
];

#[derive(Clone, Copy)]
enum Store {
    /// With `.` and the prefix `INBOX.`, or with `/` and none.
    Dovecot(MailFormat, bool),
    /// With `/` beside INBOX (`unixhierarchysep`, `altnamespace`), or with `.` below it.
    Cyrus { unix: bool, munge: bool },
}

enum Server {
    Dovecot(Dovecot),
    Cyrus(Cyrus),
}

impl Server {
    fn start(store: Store) -> Option<Self> {
        match store {
            Store::Dovecot(format, dotted) => {
                let (separator, prefix) = if dotted { ('.', "INBOX.") } else { ('/', "") };
                let options = DovecotOptions {
                    format,
                    separator: Some(separator),
                    prefix: prefix.into(),
                    ..DovecotOptions::default()
                };
                crate::peers::dovecot(&options).map(Self::Dovecot)
            }
            Store::Cyrus { unix, munge } => {
                let options = CyrusOptions {
                    alt_namespace: unix,
                    unix_hierarchy_separator: unix,
                    munge_8bit: munge,
                    users: vec![ORIGIN.into()],
                    ..CyrusOptions::default()
                };
                crate::peers::cyrus_with(&options).map(Self::Cyrus)
            }
        }
    }

    /// An account of this name; it is made where it is not there.
    fn account(&self, user: &str) -> Account {
        match self {
            Self::Dovecot(server) => server.account(user).unwrap(),
            Self::Cyrus(server) => {
                if user != ORIGIN {
                    server.add_user(user).unwrap();
                }
                server.account(user).unwrap()
            }
        }
    }
}

/// A server with its odd account.
struct Origin {
    server: Server,
    account: Account,
    refused: Vec<Refused>,
    holding: Holding,
}

impl Origin {
    fn start(name: &str) -> Option<Self> {
        let store =
            STORES.iter().find(|(store, _)| *store == name).unwrap_or_else(|| panic!("no store {name}"));
        let server = Server::start(store.1)?;
        let account = server.account(ORIGIN);
        let refused = plant(&account).unwrap();
        // QUIRK: Dovecot gives a date before 1901 as it was sent until its cache holds it, in 32 bits; then another one (seen here).
        let mut holding = Holding::read(&account).unwrap();
        loop {
            let again = Holding::read(&account).unwrap();
            if again == holding {
                break;
            }
            holding = again;
        }
        Some(Self { server, account, refused, holding })
    }

    /// What its server did not take, by kind.
    fn not_there(&self) -> String {
        let count = |kind| self.refused.iter().filter(|refused| refused.kind == kind).count();
        let [messages, flags, dates, names] = [Kind::Message, Kind::Flags, Kind::Date, Kind::Name].map(count);
        format!("{messages} messages, {flags} sets of flags, {dates} dates, {names} names")
    }
}

/// The directions that are asked for.
fn directions() -> Vec<(String, String)> {
    let owned = |(from, to): (&str, &str)| (from.to_owned(), to.to_owned());
    match std::env::var("MAILHAUL_MATRIX").ok().as_deref() {
        None => IN_EVERY_RUN.map(owned).to_vec(),
        Some("all") => {
            let pairs = STORES.iter().flat_map(|(from, _)| STORES.iter().map(move |(to, _)| (*from, *to)));
            pairs.filter(|(from, to)| from != to).map(owned).collect()
        }
        Some(some) => some
            .split(',')
            .map(|one| owned(one.split_once('>').unwrap_or_else(|| panic!("MAILHAUL_MATRIX: {one}"))))
            .collect(),
    }
}

/// Of both ways each half of the directions, always the same.
fn way(from: &str, to: &str) -> Way {
    let place = |name: &str| STORES.iter().position(|(store, _)| *store == name).unwrap_or_default();
    if (place(from) + place(to)).is_multiple_of(2) { Way::Unprobed } else { Way::Probed }
}

/// How a journey is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The target was probed with another journal: the run knows nothing of it.
    Unprobed,
    /// It was probed with the journal of the run.
    Probed,
    /// The same, and what would be destroyed or refused is repaired.
    Repaired,
}

/// What a journey showed.
struct Journey {
    audit: Audit,
    comparison: Comparison,
}

/// Moves the odd account of `from` to a new account of `to`, twice, audits it, and compares it with what the plan foretold after a
/// probe.
async fn moved(from: &Origin, to: &Origin, user: &str, way: Way) -> Journey {
    let target = tokio::task::block_in_place(|| to.server.account(user));
    let read = |account: &Account| tokio::task::block_in_place(|| Holding::read(account).unwrap());
    let before = read(&target);
    let make = || {
        let ends = ((from.account.endpoint.address, &from.account), (target.endpoint.address, &target));
        let mut journey = Move::new(ends.0, ends.1);
        journey.settings.accept_will_not_move = true;
        journey
    };
    let mut journey = make();
    let mut beside = make();
    let probing = if way == Way::Unprobed { &mut beside } else { &mut journey };
    let (said, mut findings) = foretold::foretell(probing, &from.holding).await;
    if read(&target) != before {
        findings.push("the probe left something at the target".into());
    }
    if way == Way::Repaired {
        (journey.settings.repair, journey.settings.retry_exceptions) = (true, true);
    }
    let end = journey.run().await.unwrap();
    let _ = report(journey.folder.path()).await;
    let after = read(&target);
    let papers = Papers::read(journey.folder.path()).unwrap();
    let mut audited = audit(&from.holding, &before, &after, &papers);
    audited.findings.extend(findings);
    audited.findings.extend(end.left.iter().map(|left| format!("left: {left:?}")));
    // The second run sends nothing.
    journey.run().await.unwrap();
    if read(&target) != after {
        audited.findings.push("the second run changed the target".into());
    }
    let comparison = said.told.compare(&audited.fates);
    said.print(&comparison);
    if way != Way::Repaired {
        audited.findings.extend(said.unexplained(&comparison));
        let accounts = ((&from.account, &from.holding), (&target, &after));
        audited.findings.extend(other::ask(accounts.0, accounts.1, &papers, &audited));
    }
    Journey { audit: audited, comparison }
}

/// A row of the kept table.
fn row(from: &str, to: &str, journey: &Journey) -> String {
    let t = &journey.audit.tally;
    let counts = [
        t.messages,
        t.exact,
        t.line_ends,
        t.semantic,
        t.damaged,
        t.refused,
        t.merged,
        t.left_out + t.unlisted,
        t.flags,
        t.dates,
        t.mailboxes,
        t.renamed,
        journey.comparison.foretold,
        journey.comparison.only_told.len() as u64,
    ];
    let counts: Vec<String> = counts.iter().map(u64::to_string).collect();
    format!("{from}\t{to}\t{}", counts.join("\t"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_account_moves_in_every_direction_and_no_loss_is_silent() {
    let directions = directions();
    let mut origins: BTreeMap<String, Origin> = BTreeMap::new();
    for name in directions.iter().flat_map(|(from, to)| [from, to]) {
        if !origins.contains_key(name) {
            let Some(origin) = tokio::task::block_in_place(|| Origin::start(name)) else { return };
            println!("{name}: {} messages; not taken: {}", origin.holding.messages(), origin.not_there());
            origins.insert(name.clone(), origin);
        }
    }
    let mut table = "from\tto\tmessages\texact\tline ends\tsemantic\tdamaged\trefused\tmerged\tleft out\tflags\tdates\tmailboxes\trenamed\tforetold\tonly told\n"
        .to_owned();
    let mut findings = Vec::new();
    for (n, (from, to)) in directions.iter().enumerate() {
        let journey = moved(&origins[from], &origins[to], &format!("n{n}"), way(from, to)).await;
        let row = row(from, to, &journey);
        println!("{row}");
        let _ = writeln!(table, "{row}");
        for finding in journey.audit.findings {
            println!("  FOUND {finding}");
            findings.push(format!("{from} > {to}: {finding}"));
        }
    }
    for (name, origin) in &origins {
        let now = tokio::task::block_in_place(|| Holding::read(&origin.account).unwrap());
        if now != origin.holding {
            findings.push(format!("{name}: the source changed"));
        }
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    if std::env::var_os("MAILHAUL_MATRIX_WRITE").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT), table).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_repair_what_cyrus_would_destroy_in_headers_of_the_odd_account_arrives_encoded() {
    let start = |name| tokio::task::block_in_place(|| Origin::start(name));
    let (Some(from), Some(to)) = (start("maildir/"), start("cyrus/ munge")) else { return };
    let plain = moved(&from, &to, "plain", Way::Unprobed).await;
    let repaired = moved(&from, &to, "repaired", Way::Repaired).await;
    for journey in [&plain, &repaired] {
        println!("{}", row("maildir/", "cyrus/ munge", journey));
    }
    let (plain, repaired) = (plain.audit, repaired.audit);
    assert_eq!((&plain.findings, &repaired.findings), (&vec![], &vec![]));
    // Four with such a Subject or From; X-Name alone is damage that leaves the meaning.
    assert_eq!((plain.tally.damaged, repaired.tally.damaged), (4, 0));
    assert!(plain.tally.refused > 0 && repaired.tally.refused == 0, "each inside a cover message");
}
