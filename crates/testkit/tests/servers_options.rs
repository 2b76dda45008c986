//! The options of the real servers do what they say, and a server's end is an end.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mailhaul_testkit::account::Account;
use mailhaul_testkit::checker::{PathMap, assert_same};
use mailhaul_testkit::corpus::{CorpusOptions, generate};
use mailhaul_testkit::image::Flags;
use mailhaul_testkit::servers::{
    ClearText, Cyrus, CyrusOptions, Dovecot, DovecotOptions, PASSWORD, ServerCertificate,
};
use mailhaul_testkit::wire::{Endpoint, Outgoing, Security, Wire, WireError, client_tls};

const PATIENCE: Duration = Duration::from_secs(10);

fn dovecot(options: &DovecotOptions) -> Option<Dovecot> {
    Dovecot::start(options).unwrap().or_not_run()
}

fn cyrus(options: &CyrusOptions) -> Option<Cyrus> {
    Cyrus::start(options).unwrap().or_not_run()
}

fn append(wire: &mut Wire, octets: &[u8]) -> Result<(), WireError> {
    wire.append("INBOX", &[Outgoing { flags: &Flags::default(), internal_date: None, octets }]).map(drop)
}

fn mail(octets: usize) -> Vec<u8> {
    let mut mail = b"Subject: large\r\n\r\n".to_vec();
    while mail.len() < octets {
        mail.extend_from_slice(b"and another line of a message that is as large as it is asked to be\r\n");
    }
    mail
}

/// Nobody answers at the address within the time a server may take to stop.
fn falls_silent(address: SocketAddr) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        if Instant::now() > deadline {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Logs in by TLS and by STARTTLS, with trust in the server's own authority.
fn tls_logins(ca_pem: &str, imap: SocketAddr, imaps: SocketAddr) -> [Result<Wire, WireError>; 2] {
    let config = client_tls(ca_pem).unwrap();
    [
        Endpoint { address: imaps, security: Security::Tls(config.clone()) },
        Endpoint { address: imap, security: Security::StartTls(config) },
    ]
    .map(|endpoint| Wire::login(&endpoint, "alice", PASSWORD))
}

#[test]
fn only_the_good_certificate_is_trusted() {
    for (certificate, why) in [
        (ServerCertificate::Good, None),
        (ServerCertificate::Expired, Some("expired")),
        (ServerCertificate::OtherHost, Some("not valid for name")),
        (ServerCertificate::SelfSigned, Some("UnknownIssuer")),
    ] {
        let mut logins = Vec::new();
        if let Some(server) = dovecot(&DovecotOptions { certificate, ..Default::default() }) {
            logins.extend(tls_logins(server.ca_pem(), server.imap(), server.imaps()));
        }
        if let Some(server) = cyrus(&CyrusOptions { certificate, ..Default::default() }) {
            logins.extend(tls_logins(server.ca_pem(), server.imap(), server.imaps()));
        }
        for login in logins {
            match (login, why) {
                (Ok(_), None) => {}
                (Err(WireError::Io(error)), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
                (login, _) => panic!("{certificate:?}: {:?}", login.err()),
            }
        }
    }
}

#[test]
fn dovecot_may_ask_for_starttls() {
    let Some(server) = dovecot(&DovecotOptions { clear_text: ClearText::StartTlsOnly, ..Default::default() })
    else {
        return;
    };
    let clear = Endpoint::clear(server.second_address());
    assert!(Wire::connect(&clear).unwrap().can("LOGINDISABLED"));
    assert!(
        Wire::login(&clear, "alice", PASSWORD).err().unwrap().refusal().unwrap().contains("PRIVACYREQUIRED")
    );
    server.account("alice").unwrap().login().unwrap();
}

#[test]
fn cyrus_may_ask_for_starttls() {
    let Some(server) = cyrus(&CyrusOptions { allow_plaintext: false, ..Default::default() }) else { return };
    let clear = Endpoint::clear(server.imap());
    assert!(Wire::connect(&clear).unwrap().can("LOGINDISABLED"));
    assert!(Wire::login(&clear, "alice", PASSWORD).err().unwrap().refusal().is_some());
    server.account("alice").unwrap().login().unwrap();
}

#[test]
fn dovecot_without_tls_refuses_starttls_and_closes_its_tls_port() {
    let Some(server) = dovecot(&DovecotOptions { clear_text: ClearText::NoTls, ..Default::default() }) else {
        return;
    };
    let mut wire = Wire::connect(&Endpoint::clear(server.imap())).unwrap();
    assert!(!wire.can("STARTTLS"));
    assert!(wire.raw("STARTTLS").unwrap_err().refusal().is_some());
    assert!(TcpStream::connect(server.imaps()).is_err());
    server.account("alice").unwrap().login().unwrap();
}

/// Without the capabilities that make appending quick the account is filled all the same.
fn hides_and_still_works(account: &Account) {
    let wire = account.login().unwrap();
    assert!(wire.can("IMAP4REV1") && wire.can("NAMESPACE"));
    for hidden in ["MULTIAPPEND", "UIDPLUS", "LITERAL+"] {
        assert!(!wire.can(hidden), "{hidden}");
    }
    let corpus = generate(&CorpusOptions { messages: 20, copies: 2, ..Default::default() });
    account.fill(&corpus).unwrap();
    assert_same(&corpus, &account.image().unwrap(), &PathMap::same(), &[]);
}

#[test]
fn dovecot_hides_capabilities() {
    let hidden = DovecotOptions::capabilities_without(&["MULTIAPPEND", "UIDPLUS", "LITERAL+"]);
    let Some(server) = dovecot(&DovecotOptions { capabilities: Some(hidden), ..Default::default() }) else {
        return;
    };
    hides_and_still_works(&server.account("alice").unwrap());
}

#[test]
fn dovecots_own_capabilities_are_those_this_code_starts_from() {
    let Some(server) = dovecot(&DovecotOptions::default()) else { return };
    let mut wire = server.account("alice").unwrap().login().unwrap();
    let mut shown: Vec<String> =
        wire.raw("CAPABILITY").unwrap()[0].split(' ').skip(2).map(str::to_owned).collect();
    let all = DovecotOptions::capabilities_without(&[]);
    let mut known: Vec<&str> = all.split(' ').collect();
    shown.sort();
    known.sort();
    assert_eq!(shown, known);
}

#[test]
fn dovecot_shows_special_uses() {
    let special_use = vec![("Sent", "\\Sent"), ("My Trash", "\\Trash")];
    let Some(server) = dovecot(&DovecotOptions { special_use, ..Default::default() }) else { return };
    let mut wire = server.account("alice").unwrap().login().unwrap();
    assert!(wire.can("SPECIAL-USE"));
    wire.create("My Trash").unwrap();
    assert!(wire.list().unwrap().iter().any(|row| row.name == "My Trash" && row.has("\\Trash")));
}

#[test]
fn cyrus_hides_capabilities() {
    let suppress_capabilities = ["MULTIAPPEND", "UIDPLUS", "LITERAL+"].map(str::to_owned).to_vec();
    let Some(server) = cyrus(&CyrusOptions { suppress_capabilities, ..Default::default() }) else { return };
    hides_and_still_works(&server.account("alice").unwrap());
}

#[test]
fn a_quota_is_kept() {
    let over = mail(200 << 10);
    if let Some(server) = dovecot(&DovecotOptions { quota_kib: Some(100), ..Default::default() }) {
        let mut wire = server.account("alice").unwrap().login().unwrap();
        append(&mut wire, &mail(1_000)).unwrap();
        assert!(append(&mut wire, &over).unwrap_err().refusal().unwrap().contains("OVERQUOTA"));
    }
    if let Some(server) = cyrus(&CyrusOptions { quota_kib: Some(100), ..Default::default() }) {
        let mut wire = server.account("alice").unwrap().login().unwrap();
        append(&mut wire, &mail(1_000)).unwrap();
        assert!(append(&mut wire, &over).unwrap_err().refusal().unwrap().contains("quota"));
    }
}

#[test]
fn cyrus_limits_message_size_and_identical_messages_as_told() {
    let options =
        CyrusOptions { max_message_octets: Some(10_000), identical_messages: 3, ..Default::default() };
    let Some(server) = cyrus(&options) else { return };
    let mut wire = server.account("alice").unwrap().login().unwrap();
    assert!(append(&mut wire, &mail(20_000)).unwrap_err().refusal().is_some());
    let mut wire = server.account("alice").unwrap().login().unwrap();
    let taken = (0..6).take_while(|_| append(&mut wire, &mail(100)).is_ok()).count();
    assert_eq!(taken, 3);
}

#[test]
fn a_user_can_be_added_to_a_running_cyrus() {
    let Some(server) = cyrus(&CyrusOptions { users: Vec::new(), ..Default::default() }) else { return };
    let account = server.account("zoe").unwrap();
    assert!(account.login().err().unwrap().refusal().is_some());
    server.add_user("zoe").unwrap();
    account.login().unwrap();
}

#[test]
fn killed_sessions_are_gone_and_new_ones_work() {
    if let Some(server) = dovecot(&DovecotOptions::default()) {
        let account = server.account("alice").unwrap();
        killing_ends(&account, || server.kill_sessions().unwrap());
    }
    if let Some(server) = cyrus(&CyrusOptions::default()) {
        let account = server.account("alice").unwrap();
        killing_ends(&account, || server.kill_sessions().unwrap());
    }
}

fn killing_ends(account: &Account, kill: impl Fn() -> usize) {
    let mut wire = account.login().unwrap();
    assert!(kill() > 0);
    assert!(matches!(wire.raw("NOOP"), Err(WireError::HungUp | WireError::Io(_))));
    account.login().unwrap();
}

#[test]
fn a_crash_keeps_the_mail_and_the_ports() {
    let corpus = generate(&CorpusOptions { messages: 20, copies: 2, ..Default::default() });
    if let Some(mut server) = dovecot(&DovecotOptions::default()) {
        let account = server.account("alice").unwrap();
        account.fill(&corpus).unwrap();
        server.crash_and_restart().unwrap();
        assert_same(&corpus, &account.image().unwrap(), &PathMap::same(), &[]);
    }
    if let Some(mut server) = cyrus(&CyrusOptions::default()) {
        let account = server.account("alice").unwrap();
        account.fill(&corpus).unwrap();
        server.crash_and_restart().unwrap();
        assert_same(&corpus, &account.image().unwrap(), &PathMap::same(), &[]);
    }
}

#[test]
fn instances_started_at_once_do_not_meet() {
    let starting: Vec<_> = (0..6).map(|_| thread::spawn(|| dovecot(&DovecotOptions::default()))).collect();
    let servers: Vec<Dovecot> = starting.into_iter().filter_map(|thread| thread.join().unwrap()).collect();
    for (index, server) in servers.iter().enumerate() {
        let mut wire = server.account("alice").unwrap().login().unwrap();
        wire.create(&format!("of {index}")).unwrap();
    }
    for server in &servers {
        assert_eq!(server.account("alice").unwrap().image().unwrap().mailboxes.len(), 2);
    }
}

/// The folder of an instance has the name its greeting shows.
fn folder_of(imap: SocketAddr) -> PathBuf {
    let mut line = String::new();
    BufReader::new(TcpStream::connect(imap).unwrap()).read_line(&mut line).unwrap();
    let name = line.split([' ', '.']).find(|word| word.starts_with("mailhaul-")).unwrap();
    std::env::temp_dir().join(name.trim())
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let Some(server) = dovecot(&DovecotOptions::default()) else { return };
    let (address, folder) = (server.imap(), folder_of(server.imap()));
    let _session = server.account("alice").unwrap().login().unwrap();
    let in_memory = Path::new("/dev/shm").join(folder.file_name().unwrap());
    assert!(folder.is_dir() && in_memory.is_dir());
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    assert!(!folder.exists() && !in_memory.exists());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let cmdline = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&cmdline).contains(&*folder.to_string_lossy()),
            "{:?}",
            entry.path()
        );
    }
}

#[test]
fn a_test_that_dies_takes_its_server_with_it() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "dies_with_a_server_running", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told: Vec<String> = lines.filter_map(|line| Some(line.split_once("told:")?.1.to_owned())).collect();
    child.wait().unwrap();
    let Some(told) = told.first() else { return };
    let (address, folder) = told.split_once(' ').unwrap();
    assert!(falls_silent(address.parse().unwrap()));
    let deadline = Instant::now() + PATIENCE;
    let folder = Path::new(folder);
    let in_memory = Path::new("/dev/shm").join(folder.file_name().unwrap());
    while folder.exists() || in_memory.exists() {
        assert!(Instant::now() < deadline, "{} is left", folder.display());
        thread::yield_now();
    }
}

#[test]
#[ignore = "a part of a_test_that_dies_takes_its_server_with_it"]
fn dies_with_a_server_running() {
    let Some(server) = dovecot(&DovecotOptions::default()) else { return };
    println!("told:{} {}", server.imap(), folder_of(server.imap()).display());
    std::process::abort();
}
