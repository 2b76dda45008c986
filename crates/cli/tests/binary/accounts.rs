//! Two embedded servers with an account each, and the program run on them.

use crate::secrets::{assert_none_in, assert_none_said};
use mailhaul_sandbox::{Listening, MailboxSnapshot, Profile, Sandbox};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tokio::process::Command;

pub const USER: &str = "ann";
/// Long and odd, so that a search for it in all that was written finds nothing else.
pub const FROM_PASSWORD: &str = "quince-7431-source";
pub const TO_PASSWORD: &str = "medlar-9256-target";

/// What a run of the program left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// All that was said.
    pub fn said(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.said().contains(words), "{words:?} is missing in {self:#?}");
        self
    }
}

/// An old and a new server, and a folder for journal and report.
pub struct Pair {
    pub old: Sandbox,
    pub new: Sandbox,
    pub from: Listening,
    pub to: Listening,
    pub folder: tempfile::TempDir,
}

/// Whatever the runs of a test left holds no secret.
impl Drop for Pair {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_none_in(self.folder.path());
        }
    }
}

impl Pair {
    pub async fn new(target: Profile) -> Self {
        Self::between(Profile::default(), target).await
    }

    pub async fn between(source: Profile, target: Profile) -> Self {
        let (old, new) = (Sandbox::new(source), Sandbox::new(target));
        old.add_user(USER, FROM_PASSWORD);
        new.add_user(USER, TO_PASSWORD);
        let (from, to) = (old.listen_loopback().await.unwrap(), new.listen_loopback().await.unwrap());
        Self { old, new, from, to, folder: tempfile::tempdir().unwrap() }
    }

    /// With `messages` in INBOX and a few in a nested mailbox.
    pub async fn filled(target: Profile, messages: usize) -> Self {
        let pair = Self::new(target).await;
        pair.old.create(USER, "Work", None, true);
        pair.old.create(USER, "Work/Entw&APw-rfe", None, true);
        for n in 0..messages {
            pair.deliver("INBOX", &letter(n));
        }
        for n in 0..3 {
            pair.deliver("Work/Entw&APw-rfe", &letter(n));
        }
        pair
    }

    pub fn deliver(&self, mailbox: &str, octets: &str) {
        let octets = octets.to_owned();
        self.old.deliver(USER, mailbox, octets, "\\Seen", "03-Mar-2020 10:11:12 +0100").unwrap();
    }

    pub fn report(&self) -> PathBuf {
        self.folder.path().join("report")
    }

    pub fn journal(&self) -> PathBuf {
        self.folder.path().join("state/journal.sqlite")
    }

    /// A command with both accounts named.
    pub fn command(&self, verb: &str, options: &[&str]) -> Command {
        let url = |at: &Listening| format!("imap+insecure://{USER}@{}", at.address);
        let mut command = program(&[verb, "--from", &url(&self.from), "--to", &url(&self.to)]);
        command.arg("--journal").arg(self.journal()).arg("--report").arg(self.report()).args(options);
        command.env("MAILHAUL_FROM_PASSWORD", FROM_PASSWORD).env("MAILHAUL_TO_PASSWORD", TO_PASSWORD);
        command.env("HOME", self.home());
        command
    }

    /// Of whoever runs the program: the key that signs lies there.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub async fn run(&self, verb: &str, options: &[&str]) -> Ran {
        ran(&mut self.command(verb, options)).await
    }

    /// What the new account holds, as (mailbox, octets) in order.
    pub fn moved(&self) -> Vec<(String, Vec<u8>)> {
        held(&self.new)
    }

    #[track_caller]
    pub fn assert_same(&self) {
        assert_eq!(held(&self.old), held(&self.new));
    }

    pub fn appends(&self) -> u64 {
        self.new.counters().commands.get("APPEND").copied().unwrap_or(0)
    }
}

/// TLS of `localhost` with a certificate that nobody vouches for; its PEM.
pub fn tls() -> (tokio_rustls::TlsAcceptor, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    (tokio_rustls::TlsAcceptor::from(Arc::new(config)), own.cert.pem())
}

/// This server behind TLS with a certificate that nobody vouches for; its PEM.
pub async fn behind_tls(server: &Sandbox) -> (SocketAddr, String) {
    let (acceptor, pem) = tls();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, server) = (listener.local_addr().unwrap(), server.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    server.serve(stream).await;
                }
            });
        }
    });
    (address, pem)
}

pub fn letter(n: usize) -> String {
    format!(
        "From: ann@old.example\r\nSubject: letter {n}\r\n\r\nDear reader,\r\n{}\r\n",
        "text ".repeat(n % 40)
    )
}

pub fn held(server: &Sandbox) -> Vec<(String, Vec<u8>)> {
    let of = |m: MailboxSnapshot| {
        m.messages.into_iter().map(move |x| (m.name.clone(), x.octets.to_vec())).collect::<Vec<_>>()
    };
    server.snapshot(USER).into_iter().flat_map(of).collect()
}

/// The program, away from the environment of whoever runs the tests.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailhaul"));
    command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    // Windows opens no socket for a program that does not have it.
    if let Some(root) = std::env::var_os("SystemRoot") {
        command.env("SystemRoot", root);
    }
    command
}

/// Runs the program to its end. Whatever it says holds no secret of these tests.
pub async fn ran(command: &mut Command) -> Ran {
    let output = command.output().await.unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let ran = Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
    assert_none_said(&ran.said());
    ran
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => all.extend(files(&path)),
            path => all.push(path),
        }
    }
    all
}
