//! Real servers, started by the tests on loopback in folders of their own, and stopped with everything they started.

mod dovecot;

pub use dovecot::{Dovecot, DovecotOptions};

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A free port of the loopback interface.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something answers on a port.
pub(crate) fn wait_for(port: u16, limit: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < limit {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// A process and all it started.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let output = Command::new("ps").args(["-o", "pid=", "--ppid", &pid.to_string()]).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let children: Vec<u32> = text.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    std::iter::once(pid).chain(children.into_iter().flat_map(tree)).collect()
}

/// Ends processes by pid.
pub(crate) fn kill(pids: &[u32], signal: &str) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let _ = Command::new("kill").arg(signal).args(pids).stderr(std::process::Stdio::null()).status();
}

/// True for root, whose servers drop to another user.
pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

/// Makes a CA and a certificate for loopback. Returns the CA's file.
pub(crate) fn certificates(folder: &Path) -> std::path::PathBuf {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "Mailhaul test CA");
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let issuer = Issuer::from_params(&ca, &ca_key);
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("ca.pem"), ca_certificate.pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    folder.join("ca.pem")
}
