//! A name server on loopback that answers from a table: MX and SRV (RFC 1035, RFC 2782), over UDP. Its octets are its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UdpSocket;

const MX: u16 = 15;
const SRV: u16 = 33;
const IN: u16 = 1;
/// Answers, recursion is available; the other is the same with NXDOMAIN.
const GOOD: u16 = 0x8180;
const NO_NAME: u16 = 0x8183;
/// Octets of a question.
const QUESTION_MAX: usize = 1500;

/// Names and their records in wire form, by kind.
type Table = BTreeMap<(String, u16), Vec<Vec<u8>>>;

/// A name server, until it is dropped.
#[derive(Debug)]
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    table: Arc<Mutex<Table>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    /// Answers at once: what it does not know does not exist.
    ///
    /// # Errors
    /// Those of binding a port.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_as(true).await
    }

    /// Takes questions and never answers.
    ///
    /// # Errors
    /// Those of binding a port.
    pub async fn start_silent() -> std::io::Result<Self> {
        Self::start_as(false).await
    }

    async fn start_as(answers: bool) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let address = socket.local_addr()?;
        let (table, asked) = (Arc::<Mutex<Table>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (known, log) = (table.clone(), asked.clone());
        let task = tokio::spawn(async move {
            let mut octets = vec![0; QUESTION_MAX];
            while let Ok((length, from)) = socket.recv_from(&mut octets).await {
                let Some((name, kind, end)) = question(&octets[..length]) else { continue };
                lock(&log).push(name.clone());
                if answers {
                    let answer = answer(&lock(&known), &octets[..end], &name, kind);
                    // Whoever asked may be gone.
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Ok(Self { address, table, asked, task })
    }

    /// Adds an MX record.
    pub fn mx(&self, domain: &str, preference: u16, exchange: &str) {
        let record = [&preference.to_be_bytes()[..], &wire(exchange)].concat();
        self.add(domain, MX, record);
    }

    /// Adds an SRV record.
    pub fn srv(&self, name: &str, priority: u16, weight: u16, port: u16, target: &str) {
        let numbers = [priority, weight, port].map(u16::to_be_bytes).concat();
        self.add(name, SRV, [numbers, wire(target)].concat());
    }

    /// The names that were asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }

    fn add(&self, name: &str, kind: u16, record: Vec<u8>) {
        lock(&self.table).entry((name.to_ascii_lowercase(), kind)).or_default().push(record);
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name as labels with their lengths.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|l| !l.is_empty());
    let mut octets: Vec<u8> =
        labels.flat_map(|l| [&[u8::try_from(l.len()).unwrap_or(0)], l.as_bytes()].concat()).collect();
    octets.push(0);
    octets
}

/// The name asked for, in lower case; the kind; where the question ends.
fn question(octets: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*octets.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(octets.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]);
    octets.get(at + 3)?;
    Some((labels.join("."), kind, at + 4))
}

fn answer(table: &Table, question: &[u8], name: &str, kind: u16) -> Vec<u8> {
    let found = table.get(&(name.to_owned(), kind)).cloned().unwrap_or_default();
    let exists = table.keys().any(|(known, _)| known == name);
    let status = if exists { GOOD } else { NO_NAME };
    let count = u16::try_from(found.len()).unwrap_or(0);
    let mut octets = question[..2].to_vec();
    for number in [status, 1, count, 0, 0] {
        octets.extend(number.to_be_bytes());
    }
    octets.extend(&question[12..]);
    for record in found {
        // The name of the question, by its place.
        octets.extend([0xc0, 12]);
        octets.extend(kind.to_be_bytes());
        octets.extend(IN.to_be_bytes());
        octets.extend(60u32.to_be_bytes());
        octets.extend(u16::try_from(record.len()).unwrap_or(0).to_be_bytes());
        octets.extend(record);
    }
    octets
}
