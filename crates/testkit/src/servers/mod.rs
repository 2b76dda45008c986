//! Real mail servers, started by a test for itself: private folder, free loopback ports, gone when dropped.

mod certs;
pub mod cyrus;
pub mod dovecot;
mod identity;
pub mod introspection;
mod process;
pub mod token;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

pub use certs::ServerCertificate;
pub use cyrus::{Cyrus, CyrusOptions};
pub use dovecot::{ClearText, Dovecot, DovecotOptions, MailFormat};

use identity::Identity;

/// The password of every user of every server.
pub const PASSWORD: &str = "pass";
/// Set to anything by a run that must not pass with tests left out: a missing server then fails its tests.
pub const REQUIRE_SERVERS: &str = "MAILHAUL_REQUIRE_SERVERS";

/// Ports are free when chosen, not when the server binds them: another try takes others.
const START_TRIES: usize = 5;

/// A server, or why this machine has none.
#[derive(Debug)]
pub enum Availability<S> {
    /// It runs.
    Ready(S),
    /// It is not installed; the text says what is missing.
    Missing(String),
}

impl<S> Availability<S> {
    /// The server; or nothing, and the test that asked says on standard error that it did not run.
    ///
    /// # Panics
    /// If the server is missing and [`REQUIRE_SERVERS`] is set.
    #[expect(clippy::print_stderr, reason = "a test that did not run says so where its runner shows it")]
    pub fn or_not_run(self) -> Option<S> {
        match self {
            Self::Ready(server) => Some(server),
            Self::Missing(reason) => {
                assert!(
                    std::env::var_os(REQUIRE_SERVERS).is_none(),
                    "{reason}, and {REQUIRE_SERVERS} is set"
                );
                eprintln!("not run: {reason}");
                None
            }
        }
    }
}

/// Where a server keeps its mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Store {
    /// In the folder for temporary files.
    Disk,
    /// In memory, where the system has /dev/shm.
    #[default]
    Memory,
}

/// The folders of one instance.
#[derive(Debug)]
struct Folders {
    /// Configuration, sockets, logs; its name is the instance's. Short, since a socket's path has a limit of 107 octets.
    base: TempDir,
    /// Mail.
    mail: TempDir,
}

impl Folders {
    fn create(store: Store, identity: &Identity) -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let mail_parent = match store {
            Store::Memory if memory.is_dir() => memory.to_owned(),
            _ => std::env::temp_dir(),
        };
        let base = tempfile::Builder::new().prefix("mailhaul-").rand_bytes(10).tempdir()?;
        let name = base.path().file_name().unwrap_or_default().to_owned();
        // beside the first where both are on disk
        let suffix = if mail_parent == std::env::temp_dir() { ".mail" } else { "" };
        let mail =
            tempfile::Builder::new().prefix(&name).suffix(suffix).rand_bytes(0).tempdir_in(mail_parent)?;
        let folders = Self { base, mail };
        for folder in [&folders.base, &folders.mail] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
            identity.own(folder.path())?;
        }
        Ok(folders)
    }

    fn base(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    /// A name no other instance of this machine has.
    fn instance(&self) -> String {
        self.base.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// Writes a file the server can read, and nobody else but root if `secret`.
fn write(path: &Path, text: &str, identity: &Identity, secret: bool) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(if secret { 0o600 } else { 0o644 }))?;
    identity.own(path)
}

/// Ports of 127.0.0.1 that are free now, all different.
fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The program's path, if one of these is there.
fn find_program(candidates: &[PathBuf]) -> Option<PathBuf> {
    candidates.iter().find(|path| path.is_file()).cloned()
}

/// The last lines of a log, for an error.
fn tail(path: &Path) -> String {
    let text = fs::read(path).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
