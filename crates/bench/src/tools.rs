//! What is measured: Mailhaul, the relay, the peers. How each is called, and what it is known never to do right.

use mailhaul_testkit::servers::PASSWORD;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::finding::Fault;
use crate::measure::Invocation;
use crate::peers::Peer;
use crate::{Failure, Result};

/// Numbers of connections the relay is tried with.
const RELAY_CONNECTIONS: [u8; 3] = [1, 2, 4];

/// A tool, as named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// `relayN`: the practical limit over N pairs of connections.
    Relay(u8),
    /// `aheadN`: the same, which asks for mailboxes before the last one has come.
    Ahead(u8),
    /// `dutiesN`: the relay with our duties: listing, SHA-256, an fsync a batch.
    Duties(u8),
    /// `copy`: Mailhaul with `--verify facts`.
    Copy,
    /// `full`: Mailhaul as it comes, every octet read back.
    Full,
    /// `copy-tls`: as `copy`, over TLS on both sides.
    CopyTls,
    /// `full-tls`: as `full`, over TLS on both sides.
    FullTls,
    /// Another tool.
    Peer(Peer),
}

/// The programs of this project.
#[derive(Clone, Debug)]
pub struct Programs {
    /// This bench.
    pub bench: PathBuf,
    /// Mailhaul, where it was built.
    pub mailhaul: Option<PathBuf>,
}

/// Between which accounts a tool works, and where it may keep what it remembers.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// Where the source is reached; any delay included.
    pub source: SocketAddr,
    /// Its user.
    pub source_user: &'a str,
    /// Where the target is reached.
    pub target: SocketAddr,
    /// Its user.
    pub target_user: &'a str,
    /// The certificate authorities of both.
    pub authorities: [&'a str; 2],
    /// The target's own configuration, for a tool that writes its files.
    pub target_config: PathBuf,
    /// A folder of the tool's own, kept between passes.
    pub state: &'a Path,
}

impl Tool {
    /// All tools in their usual order, but for the relay that asks ahead and for TLS.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        let relays = RELAY_CONNECTIONS.into_iter().flat_map(|n| [Self::Relay(n), Self::Duties(n)]);
        let ours = [Self::Copy, Self::Full];
        relays.chain(ours).chain(Peer::ALL.into_iter().map(Self::Peer)).collect()
    }

    /// Why it cannot run here, if it cannot.
    #[must_use]
    pub fn missing(self, programs: &Programs) -> Option<String> {
        match self {
            Self::Copy | Self::Full | Self::CopyTls | Self::FullTls if programs.mailhaul.is_none() => {
                Some("mailhaul is not built".into())
            }
            Self::Peer(peer) if peer.program().is_none() => Some(format!("{self} is not on PATH")),
            _ => None,
        }
    }

    /// What it is known to do wrong on every run: told beside its time, but its runs count.
    #[must_use]
    pub fn known(self) -> BTreeSet<Fault> {
        match self {
            // a mailbox is cut between connections, and nothing is subscribed
            Self::Relay(_) | Self::Ahead(_) | Self::Duties(_) => {
                BTreeSet::from([Fault::Order, Fault::Subscriptions])
            }
            Self::Copy | Self::Full | Self::CopyTls | Self::FullTls => BTreeSet::new(),
            Self::Peer(peer) => peer.known(),
        }
    }

    /// Run again, it looks for what is new.
    #[must_use]
    pub fn has_second_pass(self) -> bool {
        self.is_mailhaul() || matches!(self, Self::Peer(_))
    }

    /// It is Mailhaul, in one of its ways.
    #[must_use]
    pub fn is_mailhaul(self) -> bool {
        matches!(self, Self::Copy | Self::Full | Self::CopyTls | Self::FullTls)
    }

    /// It is to reach both servers over TLS.
    #[must_use]
    pub fn uses_tls(self) -> bool {
        matches!(self, Self::CopyTls | Self::FullTls)
    }

    /// It is one of ours, and a wrong run of it is a failure of the bench.
    #[must_use]
    pub fn is_ours(self) -> bool {
        !matches!(self, Self::Peer(_))
    }

    /// The command of one pass.
    ///
    /// # Errors
    /// If the tool is not there, or its configuration cannot be written.
    pub fn invocation(self, programs: &Programs, task: &Task<'_>) -> Result<Invocation> {
        let relay = |connections: u8, more: &[&str]| {
            let accounts = [
                ("--from", task.source.to_string()),
                ("--from-user", task.source_user.to_owned()),
                ("--to", task.target.to_string()),
                ("--to-user", task.target_user.to_owned()),
                ("--connections", connections.to_string()),
            ];
            let accounts = accounts.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
            with_passwords(Invocation::of(&programs.bench).with(["relay"]).with(accounts).with(more))
        };
        match self {
            Self::Relay(connections) => Ok(relay(connections, &[])),
            Self::Ahead(connections) => Ok(relay(connections, &["--ahead"])),
            Self::Duties(connections) => Ok(relay(connections, &["--duties"]).with([task.state])),
            Self::Copy | Self::CopyTls => mailhaul(programs, task, "facts", self.uses_tls()),
            Self::Full | Self::FullTls => mailhaul(programs, task, "octets", self.uses_tls()),
            Self::Peer(peer) => peer.invocation(task),
        }
    }
}

fn mailhaul(programs: &Programs, task: &Task<'_>, level: &str, tls: bool) -> Result<Invocation> {
    let program = programs.mailhaul.as_ref().ok_or("mailhaul is not built")?;
    let scheme = if tls { "imaps" } else { "imap+insecure" };
    let account = |user: &str, address: SocketAddr| format!("{scheme}://{user}@{address}");
    let accounts = [account(task.source_user, task.source), account(task.target_user, task.target)];
    let [from, to] = accounts;
    let mut trusted: Vec<OsString> = Vec::new();
    for (name, authority) in ["from.pem", "to.pem"].iter().zip(task.authorities).filter(|_| tls) {
        let file = task.state.join(name);
        std::fs::write(&file, authority)?;
        trusted.extend(["--ca-file".into(), file.into_os_string()]);
    }
    let command = Invocation::of(program)
        .with(["migrate", "--from", &from, "--to", &to, "--verify", level, "--yes", "--progress", "plain"])
        .with(["--journal".into(), task.state.join("journal.sqlite").into_os_string()])
        .with(["--report".into(), task.state.join("report").into_os_string()])
        .with(trusted);
    Ok(with_passwords(command))
}

fn with_passwords(command: Invocation) -> Invocation {
    let environment = ["MAILHAUL_FROM_PASSWORD", "MAILHAUL_TO_PASSWORD"];
    Invocation { environment: environment.map(|name| (name, PASSWORD.to_owned())).to_vec(), ..command }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay(connections) => write!(f, "relay{connections}"),
            Self::Ahead(connections) => write!(f, "ahead{connections}"),
            Self::Duties(connections) => write!(f, "duties{connections}"),
            Self::Copy => f.write_str("copy"),
            Self::Full => f.write_str("full"),
            Self::CopyTls => f.write_str("copy-tls"),
            Self::FullTls => f.write_str("full-tls"),
            Self::Peer(peer) => f.write_str(peer.name()),
        }
    }
}

impl FromStr for Tool {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self> {
        for relay in [Self::Relay, Self::Ahead, Self::Duties] {
            let prefix = relay(1).to_string();
            let connections = name.strip_prefix(prefix.trim_end_matches('1')).map(str::parse);
            if let Some(Ok(connections @ 1..=64)) = connections {
                return Ok(relay(connections));
            }
        }
        let ours = [Self::Copy, Self::Full, Self::CopyTls, Self::FullTls];
        if let Some(tool) = ours.into_iter().find(|tool| tool.to_string() == name) {
            return Ok(tool);
        }
        let peer = Peer::ALL.into_iter().find(|peer| peer.name() == name);
        peer.map(Self::Peer).ok_or_else(|| format!("there is no tool {name}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_found_by_the_name_it_shows_and_no_other() {
        for tool in Tool::usual().into_iter().chain([Tool::Ahead(16), Tool::CopyTls, Tool::FullTls]) {
            assert_eq!(tool.to_string().parse::<Tool>().unwrap(), tool);
        }
        for name in ["relay", "relay0", "relay65", "mailhaul", ""] {
            assert!(name.parse::<Tool>().is_err(), "{name}");
        }
    }

    #[test]
    fn mailhaul_gets_its_passwords_by_the_environment_alone() {
        let programs = Programs { bench: "bench".into(), mailhaul: Some("mailhaul".into()) };
        let address = SocketAddr::from(([127, 0, 0, 1], 143));
        let task = Task {
            source: address,
            source_user: "mini",
            target: address,
            target_user: "ann",
            authorities: ["", ""],
            target_config: PathBuf::new(),
            state: Path::new("state"),
        };
        for tool in [Tool::Full, Tool::Copy, Tool::Relay(1)] {
            let command = tool.invocation(&programs, &task).unwrap();
            assert!(command.arguments.iter().all(|argument| argument != PASSWORD));
            assert_eq!(command.environment.len(), 2);
        }
        let full = Tool::Full.invocation(&programs, &task).unwrap();
        assert!(full.arguments.contains(&"imap+insecure://mini@127.0.0.1:143".into()));
    }
}
