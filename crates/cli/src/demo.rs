//! `mailhaul demo`: two embedded servers, a sample account, and the same five steps as in earnest.

use crate::args::{DemoArgs, ProgressForm};
use crate::error::Failure;
use crate::output::{Show, print, say};
use crate::signing_key;
use mailhaul_engine::config::{
    Endpoint, FixedPassword, ImapAccount, Level, LoginOptions, Security, Settings, Trust,
};
use mailhaul_engine::imap_session::Opener;
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::imap_target::ImapTarget;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, Journal, State};
use mailhaul_engine::net::Dialer;
use mailhaul_engine::report::{self, EndFacts, Facts};
use mailhaul_engine::run::{Migration, Server, SourceLook};
use mailhaul_sandbox::{Listening, demo};
use std::path::Path;
use std::sync::Arc;

/// Runs the demo. Exit code 0 exactly when the accounting is what the sample predicts.
pub async fn run(args: &DemoArgs) -> Result<u8, Failure> {
    let failed = |what: String| Failure::failed(what);
    clean(&args.report)?;
    let (old, new) = (demo::source(), demo::target());
    let (from, to) = (
        old.listen_loopback().await.map_err(|e| failed(e.to_string()))?,
        new.listen_loopback().await.map_err(|e| failed(e.to_string()))?,
    );
    let pair = AccountPair { source: address(&from), target: address(&to) };
    let journal = SqliteJournal::open(args.report.join("journal.sqlite"), &pair, "the demo")?;
    let settings = Settings::new(&args.report);
    let (source, target) = (ImapSource(opener(&from, &settings)), ImapTarget(opener(&to, &settings)));
    let mut migration = Migration::new(source, target, journal.clone(), settings);
    migration.exceptions = Some(args.report.join(report::EXCEPTIONS_FOLDER));

    print("Mailhaul demo: the account of a small joinery moves to a new server.");
    print("Both servers run inside this program; nothing leaves this machine.\n");
    print("1 Check the requirements  2 Connect the old account  3 Connect the new account");
    let checked = migration.check([None, None]).await?;
    checked.lines().iter().for_each(|line| print(&format!("  {line}")));
    let (_, plan) = migration.plan().await?;
    print("\n4 Choose what moves");
    print(plan.to_string().trim_end());
    print("\n5 Move and verify");
    let show = Show::start(&migration.bus, ProgressForm::Auto, false);
    let end = migration.migrate().await;
    show.finish().await;
    let end = end?;
    // And once more from the beginning: every octet at the new server against the recorded digests.
    let again = migration.verify(Level::Octets, SourceLook::Listing).await?;
    let side = |at: &Listening, server: &Server| EndFacts {
        server: at.address.to_string(),
        product: server.product.clone(),
        tls: server.tls.clone(),
        options: Vec::new(),
    };
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION").into(),
        migration: "demo".into(),
        source: side(&from, &end.servers.0),
        target: side(&to, &end.servers.1),
        level: Some(Level::Octets),
        danger: Vec::new(),
        run: Some(again.run),
        settle: Some(end.settle),
        timings: Vec::new(),
        signer: signing_key::signer(|text| say(&format!("warning: {text}")))?,
    };
    let written = report::write(&journal, &facts, &args.report).await?;
    print("");
    written.summary_lines().iter().for_each(|line| print(line));
    let as_predicted = judge(&journal).await?;
    journal.release().await?;
    print(if as_predicted {
        "\nThis is exactly what the sample predicts: the new server refuses one message."
    } else {
        "\nThis is NOT what the sample predicts: please report it."
    });
    Ok(u8::from(!as_predicted))
}

/// An old demo's folder is replaced, and nothing else: only a folder that a demo made.
fn clean(folder: &Path) -> Result<(), Failure> {
    if !folder.exists() {
        return Ok(());
    }
    if !is_demo(folder) {
        let what = format!("{} is there and is no demo's folder", folder.display());
        return Err(Failure::usage(what).hint("name another one with --report"));
    }
    std::fs::remove_dir_all(folder).map_err(|e| Failure::usage(format!("{}: {e}", folder.display())))
}

/// Its journal is about the sample account on this machine: a real one that lies there is never removed.
fn is_demo(folder: &Path) -> bool {
    let Ok(journal) = SqliteJournal::open_read_only(folder.join("journal.sqlite")) else { return false };
    let here = format!("imap+insecure://{}@127.0.0.1:", demo::USER);
    let AccountPair { source, target } = journal.pair();
    source.starts_with(&here) && target.starts_with(&here)
}

fn address(at: &Listening) -> String {
    format!("imap+insecure://{}@{}", demo::USER, at.address)
}

fn opener(at: &Listening, settings: &Settings) -> Opener {
    let endpoint =
        Endpoint { host: at.address.ip().to_string(), port: at.address.port(), security: Security::Clear };
    Opener {
        account: ImapAccount {
            endpoint,
            user: demo::USER.into(),
            auth_user: None,
            login: LoginOptions::default(),
            trust: Trust::default(),
            credentials: Arc::new(FixedPassword::new(demo::PASSWORD)),
        },
        limits: settings.limits.clone(),
        dialer: Dialer::Tcp,
        without: Vec::new(),
        compress: false,
    }
}

async fn judge(journal: &SqliteJournal) -> Result<bool, Failure> {
    let expected = demo::expected();
    let counts = journal.counts().await?;
    let of = |state: State| counts.iter().filter(|c| c.state == state).map(|c| c.items).sum::<u64>();
    let all: u64 = counts.iter().map(|c| c.items).sum();
    let moved = journal
        .mailboxes()
        .await?
        .iter()
        .filter(|m| matches!(m.decision, mailhaul_engine::journal::Decision::Move(_)))
        .count();
    Ok(of(State::Verified) == expected.verified
        && of(State::Exception) == expected.refused
        && all == expected.verified + expected.refused
        && moved as u64 == expected.mailboxes)
}
