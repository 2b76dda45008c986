//! Embeds the engine: credentials by a provider, progress as a stream, cancellation from outside.
//!
//! The two accounts are in memory here, so that the example runs anywhere:
//!
//! ```text
//! cargo run -p mailhaul-engine --example embed
//! ```
//!
//! With real servers the ends are [`ImapSource`](mailhaul_engine::imap_source::ImapSource) and
//! [`ImapTarget`](mailhaul_engine::imap_target::ImapTarget), made from an account as in [`account`].
#![allow(clippy::print_stdout, reason = "an example talks to the terminal; the library never does")]

use mailhaul_engine::config::{
    Credentials, Endpoint, ImapAccount, LoginOptions, Secret, SecretFuture, Security, Settings, Trust,
};
use mailhaul_engine::error::Error;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::journal::{AccountPair, Journal};
use mailhaul_engine::memory_end::{MemoryMail, MemorySource, MemoryTarget};
use mailhaul_engine::run::Migration;
use std::sync::Arc;

/// Asked at every login: a token that expires mid-run is simply asked for again.
struct FromVault;

impl Credentials for FromVault {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(async { Ok(Secret::Password("from the vault".to_owned().into())) })
    }
}

/// An account as the IMAP ends take it.
fn account() -> ImapAccount {
    ImapAccount {
        endpoint: Endpoint { host: "old.example".into(), port: 993, security: Security::Tls },
        user: "ann".into(),
        auth_user: None,
        login: LoginOptions::default(),
        trust: Trust::default(),
        credentials: Arc::new(FromVault),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("an account shows no secret: {:?}", account());
    let (old, new) = (MemoryMail::new(), MemoryMail::new());
    for n in 0..20 {
        let octets = format!("Subject: message {n}\r\n\r\nHello.\r\n");
        old.deliver("INBOX", octets, "\\Seen", "03-Mar-2020 10:11:12 +0000");
    }
    let folder = tempfile::tempdir()?;
    let pair = AccountPair { source: "memory:old".into(), target: "memory:new".into() };
    let journal = SqliteJournal::open(folder.path().join("journal.sqlite"), &pair, "the example")?;
    let settings = Settings::new(folder.path());
    let migration = Migration::new(MemorySource(old), MemoryTarget(new), journal, settings);

    // Progress is a stream of events; whoever falls behind loses some, and never slows mail.
    let mut events = migration.bus.listen();
    let listener = tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            println!("{event:?}");
        }
    });
    // Whoever holds this can stop the run at the next commit point; the same journal continues it later.
    let stop = migration.cancel.clone();

    match migration.migrate().await {
        Ok(end) => println!("run {} is over", end.run.0),
        Err(Error::Interrupted) => println!("stopped; run again to continue"),
        Err(error) => return Err(error.into()),
    }
    stop.cancel();
    for count in migration.journal.counts().await? {
        println!("{} messages are {}", count.items, count.state.as_str());
    }
    migration.journal.release().await?;
    listener.abort();
    Ok(())
}
