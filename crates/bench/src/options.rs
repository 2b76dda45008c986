//! What a person can type.

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bed::TargetStore;
use crate::corpus::Kind;
use crate::tools::Tool;

/// Measures mailhaul beside the practical limit and its peers, on servers of its own on loopback.
#[derive(Debug, Parser)]
#[command(name = "mailhaul-bench", args_conflicts_with_subcommands = true)]
pub struct Options {
    /// The processes that the bench starts of itself.
    #[command(subcommand)]
    pub part: Option<Part>,
    /// The bench.
    #[command(flatten)]
    pub bench: BenchOptions,
}

/// The bench proper.
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// Accounts to move
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["mini", "small"])]
    pub corpora: Vec<Kind>,
    /// Messages in each mailbox, in hundredths of the whole account
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub percent: u32,
    /// What the accounts are made from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Round trips added to both sides, in milliseconds
    #[arg(long, value_name = "MS", value_delimiter = ',', default_values = ["0", "40", "100"])]
    pub rtt: Vec<u64>,
    /// Runs of each tool, interleaved
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// relayN, aheadN, dutiesN (N connections), copy, full, copy-tls, full-tls, mbsync, doveadm, imapsync, offlineimap, neverest
    /// [default: all but aheadN and -tls]
    #[arg(long, value_delimiter = ',', value_parser = |name: &str| name.parse::<Tool>())]
    pub tools: Vec<Tool>,
    /// Where the target keeps its mail
    #[arg(long, value_enum, default_value = "memory")]
    pub target: TargetStore,
    /// A pass that takes longer is stopped
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub limit: u64,
    /// The mailhaul to measure (default: built now, with --release)
    #[arg(long, value_name = "FILE")]
    pub mailhaul: Option<PathBuf>,
    /// Put the tables between the markers of docs/benchmarks.md
    #[arg(long)]
    pub write: bool,
}

/// Processes of their own.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// Copy an account as fast as the servers allow, and prove nothing
    Relay(RelayOptions),
    /// Run a command and write what it cost
    #[command(hide = true)]
    Measure(MeasureOptions),
}

/// The relay; passwords by MAILHAUL_FROM_PASSWORD and MAILHAUL_TO_PASSWORD.
#[derive(Debug, Args)]
pub struct RelayOptions {
    /// The source, in clear
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub from: SocketAddr,
    /// Its user
    #[arg(long)]
    pub from_user: String,
    /// The target, in clear
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub to: SocketAddr,
    /// Its user, whose account is empty
    #[arg(long)]
    pub to_user: String,
    /// Pairs of connections
    #[arg(long, default_value_t = 1)]
    pub connections: u8,
    /// Ask for mailboxes before the last one has come
    #[arg(long)]
    pub ahead: bool,
    /// List, hash each message, and put a record of each batch on the disk, in this folder
    #[arg(long, value_name = "FOLDER")]
    pub duties: Option<PathBuf>,
}

/// The measuring process.
#[derive(Debug, Args)]
pub struct MeasureOptions {
    /// Where to write
    #[arg(long)]
    pub result: PathBuf,
    /// When to stop it
    #[arg(long)]
    pub limit_seconds: u64,
    /// The command
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}
