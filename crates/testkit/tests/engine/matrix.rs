//! The matrix: an odd account (`testkit::odd`) moves between real servers of different stores and name styles, in every
//! direction, and an audit that shares no code with the engine holds report and manifest against both servers, message for
//! message. A part of it runs with every test; all of it by
//!
//!     MAILHAUL_MATRIX=all MAILHAUL_REQUIRE_SERVERS=1 cargo test -p mailhaul-testkit --test engine matrix -- --nocapture
//!
//! `MAILHAUL_MATRIX="maildir.>cyrus/"` runs one direction. `MAILHAUL_MATRIX_WRITE=1` keeps the counts for docs/servers.md.
//! `MAILHAUL_OTHER_CHECKER` names a program that is given the URLs of both accounts after each direction, and `--map OLD=NEW` for
//! each mailbox that has another path, with `/` between levels.

use crate::peers::{Move, report};
use mailhaul_testkit::account::Account;
use mailhaul_testkit::audit::{Audit, Holding, Papers, audit};
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

/// Moves the odd account of `from` to a new account of `to`, twice, and audits it; with a probe before it and a repair, if asked
/// for.
async fn moved(from: &Origin, to: &Origin, user: &str, repair: bool) -> Audit {
    let target = tokio::task::block_in_place(|| to.server.account(user));
    let read = |account: &Account| tokio::task::block_in_place(|| Holding::read(account).unwrap());
    let before = read(&target);
    let mut journey =
        Move::new((from.account.endpoint.address, &from.account), (target.endpoint.address, &target));
    journey.settings.accept_will_not_move = true;
    if repair {
        journey.settings.probe = true;
        journey.with(async |migration| migration.check([None, None]).await.unwrap()).await;
        (journey.settings.repair, journey.settings.retry_exceptions) = (true, true);
    }
    let end = journey.run().await.unwrap();
    let _ = report(journey.folder.path()).await;
    let after = read(&target);
    let papers = Papers::read(journey.folder.path()).unwrap();
    let mut audited = audit(&from.holding, &before, &after, &papers);
    audited.findings.extend(end.left.iter().map(|left| format!("left: {left:?}")));
    // The second run sends nothing.
    journey.run().await.unwrap();
    if read(&target) != after {
        audited.findings.push("the second run changed the target".into());
    }
    ask_another_checker((&from.account, &from.holding), (&target, &after), &papers);
    audited
}

fn ask_another_checker(source: (&Account, &Holding), target: (&Account, &Holding), papers: &Papers) {
    let Some(program) = std::env::var_os("MAILHAUL_OTHER_CHECKER") else { return };
    let url = |account: &Account| {
        format!("imap://{}:{}@{}", account.user, account.password, account.endpoint.address)
    };
    let mut command = std::process::Command::new(program);
    command.args([url(source.0), url(target.0)]);
    for row in papers.report["mailboxes"].as_array().unwrap() {
        let path = |holding: &Holding, wire: &str| {
            Some(holding.mailboxes.get(row[wire].as_str()?)?.path.levels().join("/"))
        };
        let paths = (path(source.1, "source_wire"), path(target.1, "target_wire"));
        if let (Some(old), Some(new)) = paths
            && old != new
        {
            command.args(["--map".to_owned(), format!("{old}={new}")]);
        }
    }
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// A row of the kept table.
fn row(from: &str, to: &str, audit: &Audit) -> String {
    let t = &audit.tally;
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
    let mut table = "from\tto\tmessages\texact\tline ends\tsemantic\tdamaged\trefused\tmerged\tleft out\tflags\tdates\tmailboxes\trenamed\n"
        .to_owned();
    let mut findings = Vec::new();
    for (n, (from, to)) in directions.iter().enumerate() {
        let audited = moved(&origins[from], &origins[to], &format!("n{n}"), false).await;
        let row = row(from, to, &audited);
        println!("{row}");
        let _ = writeln!(table, "{row}");
        for finding in audited.findings {
            println!("  {finding}");
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
    let [plain, repaired] =
        [moved(&from, &to, "plain", false).await, moved(&from, &to, "repaired", true).await];
    for audited in [&plain, &repaired] {
        println!("{}", row("maildir/", "cyrus/ munge", audited));
    }
    assert_eq!((&plain.findings, &repaired.findings), (&vec![], &vec![]));
    // Four with such a Subject or From; X-Name alone is damage that leaves the meaning.
    assert_eq!((plain.tally.damaged, repaired.tally.damaged), (4, 0));
    assert!(plain.tally.refused > 0 && repaired.tally.refused == 0, "each inside a cover message");
}
