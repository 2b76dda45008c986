//! The servers, and the accounts at the source.

use mailhaul_testkit::checker::{PathMap, compare};
use mailhaul_testkit::image::AccountImage;
use mailhaul_testkit::servers::{Availability, Dovecot, DovecotOptions, MailFormat, Store};
use std::net::SocketAddr;
use std::time::Duration;

use crate::Result;
use crate::corpus::Corpus;
use crate::delay::DelayRelay;
use crate::finding::Finding;

/// The user at every target.
pub const TARGET_USER: &str = "mover";

/// Where the target keeps its mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TargetStore {
    /// In /dev/shm where there is one, without fsync: the tools' own cost shows
    Memory,
    /// In the folder for temporary files, with Dovecot's usual fsync
    Disk,
}

/// The source, with its accounts. Targets are started for each run and gone after it.
pub struct Bed {
    source: Dovecot,
    store: TargetStore,
}

/// An account at the source, and what it holds as the checker read it.
pub struct Loaded {
    /// What it was made from.
    pub corpus: Corpus,
    /// Messages in it.
    pub messages: usize,
    /// Octets of all messages.
    pub octets: u64,
    image: AccountImage,
}

/// A server on loopback, reached with a delay if there is one.
pub struct Reached {
    address: SocketAddr,
    // lives as long as the address is used
    _delay: Option<DelayRelay>,
}

impl Bed {
    /// Starts the source.
    ///
    /// # Errors
    /// If Dovecot is installed and does not start.
    pub fn start(store: TargetStore) -> Result<Availability<Self>> {
        Ok(match Dovecot::start(&server(Store::Disk, "never"))? {
            Availability::Ready(source) => Availability::Ready(Self { source, store }),
            Availability::Missing(reason) => Availability::Missing(reason),
        })
    }

    /// Makes an account and reads it.
    ///
    /// # Errors
    /// If the server refuses, or holds another number of messages than were sent.
    pub fn load(&self, corpus: Corpus) -> Result<Loaded> {
        let account = self.source.account(corpus.kind.name())?;
        let (messages, octets) = corpus.fill(&account)?;
        let image = account.image()?;
        if image.message_count() != messages || image.size_octets() != octets {
            return Err(format!("{}: the source does not hold what was sent", corpus.kind.name()).into());
        }
        Ok(Loaded { corpus, messages, octets, image })
    }

    /// The source's address behind a delay: that for clear text, or that for TLS.
    ///
    /// # Errors
    /// If no relay can be started.
    pub fn source(&self, round_trip: Duration, tls: bool) -> Result<Reached> {
        reached(&self.source, round_trip, tls)
    }

    /// The certificate authority to trust at the source, as PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.source.ca_pem()
    }

    /// An empty target.
    ///
    /// # Errors
    /// If Dovecot does not start.
    pub fn target(&self) -> Result<Target> {
        let options = match self.store {
            TargetStore::Memory => server(Store::Memory, "never"),
            TargetStore::Disk => server(Store::Disk, "optimized"),
        };
        match Dovecot::start(&options)? {
            Availability::Ready(dovecot) => {
                // the login's processes are there before the clock runs
                dovecot.account(TARGET_USER)?.login()?.logout()?;
                Ok(Target(dovecot))
            }
            Availability::Missing(reason) => Err(reason.into()),
        }
    }
}

/// An empty server for one run.
pub struct Target(Dovecot);

impl Target {
    /// Its address behind a delay: that for clear text, or that for TLS.
    ///
    /// # Errors
    /// If no relay can be started.
    pub fn reached(&self, round_trip: Duration, tls: bool) -> Result<Reached> {
        reached(&self.0, round_trip, tls)
    }

    /// The certificate authority to trust, as PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.ca_pem()
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> std::path::PathBuf {
        self.0.config()
    }

    /// Reads it, without a delay, and compares.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn compared_with(&self, source: &Loaded) -> Result<Finding> {
        let image = self.0.account(TARGET_USER)?.image()?;
        Ok(Finding::of(&compare(&source.image, &image, &PathMap::same())))
    }
}

impl Reached {
    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn reached(server: &Dovecot, round_trip: Duration, tls: bool) -> Result<Reached> {
    let at_server = if tls { server.imaps() } else { server.imap() };
    let delay = (!round_trip.is_zero()).then(|| DelayRelay::start(at_server, round_trip)).transpose()?;
    let address = delay.as_ref().map_or(at_server, DelayRelay::address);
    Ok(Reached { address, _delay: delay })
}

/// Both servers: sdbox, by clear text and by TLS.
fn server(store: Store, fsync: &'static str) -> DovecotOptions {
    DovecotOptions {
        format: MailFormat::Sdbox,
        fsync,
        store,
        connections_per_user: 10_000,
        extra: "service imap-login {\n  process_min_avail = 1\n}\nservice imap {\n  process_min_avail = 2\n}"
            .to_owned(),
        ..DovecotOptions::default()
    }
}
