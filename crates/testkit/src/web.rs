//! Servers with TLS for names of one's own, on loopback: an authority that vouches for them, web pages from a table, and the
//! embedded IMAP server. What is shown to whom is kept.

use mailhaul_sandbox::Sandbox;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Octets of the head of a request.
const HEAD_MAX: usize = 64 * 1024;

/// A server on loopback that takes connections, and says nothing.
///
/// # Errors
/// It could not be opened.
pub async fn silent() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    Ok(address)
}

/// An authority, and its certificate in a file.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valid {
    /// Now.
    Now,
    /// Until 2020.
    Until2020,
    /// For so many days more, and an hour.
    Days(u64),
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// Those of making keys and files.
    pub fn new() -> io::Result<Self> {
        let made = || {
            let mut params = CertificateParams::new(Vec::new())?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.distinguished_name.push(DnType::CommonName, "Mailhaul test authority");
            CertifiedIssuer::self_signed(params, KeyPair::generate()?)
        };
        let issuer = made().map_err(|e: rcgen::Error| io::Error::other(e))?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), issuer.pem())?;
        Ok(Self { issuer, file })
    }

    /// The file of its certificate.
    #[must_use]
    pub fn file(&self) -> std::path::PathBuf {
        self.file.path().to_owned()
    }

    /// The TLS of a server with these names.
    ///
    /// # Errors
    /// Those of making keys.
    pub fn acceptor(&self, names: &[&str], valid: Valid) -> io::Result<TlsAcceptor> {
        let made = || {
            let mut params =
                CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())?;
            params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or_default());
            params.not_after = rcgen::date_time_ymd(2049, 12, 31);
            if valid == Valid::Until2020 {
                params.not_before = rcgen::date_time_ymd(2019, 1, 1);
                params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            }
            if let Valid::Days(days) = valid {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let left = Duration::from_secs(days * 86_400 + 3600);
                params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + left;
            }
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &self.issuer)?.der().clone(), key.serialize_der()))
        };
        let (certificate, key) = made().map_err(|e: rcgen::Error| io::Error::other(e))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A page.
#[derive(Clone, Debug)]
pub enum PageSays {
    /// A status and a body.
    Body(u16, Vec<u8>),
    /// A redirect.
    To(String),
    /// Nothing, ever.
    Silence,
    /// Octets without end.
    Endless,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The host that was asked, from its header.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// All of it.
    pub text: String,
}

/// Pages by host and path.
type Pages = BTreeMap<(String, String), PageSays>;

/// A web server, until it is dropped.
#[derive(Debug)]
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    pages: Arc<Mutex<Pages>>,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Web {
    /// Serves https.
    ///
    /// # Errors
    /// Those of binding a port.
    pub async fn start(acceptor: TlsAcceptor) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (pages, requests) = (Arc::<Mutex<Pages>>::default(), Arc::<Mutex<Vec<Request>>>::default());
        let (shown, log) = (pages.clone(), requests.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shown, log) = (acceptor.clone(), shown.clone(), log.clone());
                connections.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Some(request) = read(&mut stream).await else { return };
                    let path = request.target.split('?').next().unwrap_or_default().to_owned();
                    let page = lock(&shown).get(&(request.host.clone(), path)).cloned();
                    lock(&log).push(request);
                    // Whoever asked may be gone.
                    let _ = show(&mut stream, page).await;
                });
            }
        });
        Ok(Self { address, pages, requests, task })
    }

    /// Puts up a page.
    pub fn page(&self, host: &str, path: &str, says: PageSays) {
        lock(&self.pages).insert((host.to_owned(), path.to_owned()), says);
    }

    /// What was asked so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }
}

/// A proxy that gives tunnels (RFC 9110, 9.3.6) to the hosts in a table.
#[derive(Debug)]
pub struct Tunnels {
    /// Where it is.
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tunnels {
    /// The heads of the requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}

/// Starts a proxy; `refuses` is its answer to everybody.
///
/// # Errors
/// Those of binding a port.
pub async fn tunnels(
    table: BTreeMap<String, SocketAddr>,
    refuses: Option<&'static str>,
) -> io::Result<Tunnels> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let (address, asked) = (listener.local_addr()?, Arc::<Mutex<Vec<String>>>::default());
    let log = asked.clone();
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let (table, log) = (table.clone(), log.clone());
            connections.spawn(async move {
                let Some(request) = read(&mut client).await else { return };
                let to = table.get(&request.target).filter(|_| request.text.starts_with("CONNECT "));
                lock(&log).push(request.text);
                let refused = refuses.or(to.is_none().then_some("HTTP/1.1 502 no such host"));
                let answer = refused.unwrap_or("HTTP/1.1 200 go on");
                // Whoever asked may be gone.
                let _ = client.write_all(format!("{answer}\r\n\r\n").as_bytes()).await;
                if let (None, Some(to)) = (refused, to)
                    && let Ok(mut server) = tokio::net::TcpStream::connect(to).await
                {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    Ok(Tunnels { address, asked, task })
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read<S: AsyncReadExt + Unpin>(stream: &mut S) -> Option<Request> {
    let mut octets = Vec::new();
    while !octets.windows(4).any(|w| w == b"\r\n\r\n") {
        if octets.len() > HEAD_MAX || stream.read_buf(&mut octets).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8_lossy(&octets).into_owned();
    let target = text.lines().next()?.split(' ').nth(1)?.to_owned();
    let header = |line: &str| Some(line.split_once(':')?.1.trim().to_owned());
    let host = text.lines().find(|l| l.to_ascii_lowercase().starts_with("host:")).and_then(header)?;
    let host = host.split(':').next()?.to_owned();
    Some(Request { host, target, text })
}

async fn show<S: AsyncWriteExt + Unpin>(stream: &mut S, page: Option<PageSays>) -> io::Result<()> {
    let head = |status: u16, more: &str| format!("HTTP/1.1 {status} x\r\n{more}Connection: close\r\n\r\n");
    match page.unwrap_or(PageSays::Body(404, Vec::new())) {
        PageSays::Body(status, body) => {
            stream.write_all(head(status, &format!("Content-Length: {}\r\n", body.len())).as_bytes()).await?;
            stream.write_all(&body).await?;
        }
        PageSays::To(url) => {
            let more = format!("Location: {url}\r\nContent-Length: 0\r\n");
            stream.write_all(head(302, &more).as_bytes()).await?;
        }
        PageSays::Silence => std::future::pending::<()>().await,
        PageSays::Endless => {
            stream.write_all(head(200, "").as_bytes()).await?;
            loop {
                stream.write_all(&[b' '; 4096]).await?;
            }
        }
    }
    stream.shutdown().await
}

/// An IMAP server behind TLS, until it is dropped.
#[derive(Debug)]
pub struct ImapTls {
    /// Where it listens.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for ImapTls {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves an embedded server with TLS from the start.
///
/// # Errors
/// Those of binding a port.
pub async fn imap_tls(server: Sandbox, acceptor: TlsAcceptor) -> io::Result<ImapTls> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            connections.spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    server.serve(stream).await;
                }
            });
        }
    });
    Ok(ImapTls { address, task })
}

/// An IMAP server that has nothing but STARTTLS, until it is dropped; the lines that it was told.
#[derive(Debug)]
pub struct ImapStartTls {
    /// Where it listens.
    pub address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for ImapStartTls {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ImapStartTls {
    /// Greets, takes STARTTLS and LOGOUT, and refuses everything else.
    ///
    /// # Errors
    /// Those of binding a port.
    pub async fn start(acceptor: TlsAcceptor) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, said) = (listener.local_addr()?, Arc::<Mutex<Vec<String>>>::default());
        let log = said.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (acceptor, log) = (acceptor.clone(), log.clone());
                connections.spawn(async move {
                    stream
                        .write_all(b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n")
                        .await
                        .ok()?;
                    let tag = told(&mut stream, &log, "STARTTLS").await?;
                    stream.write_all(format!("{tag} OK go\r\n").as_bytes()).await.ok()?;
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let tag = told(&mut stream, &log, "LOGOUT").await?;
                    stream.write_all(format!("* BYE\r\n{tag} OK gone\r\n").as_bytes()).await.ok()
                });
            }
        });
        Ok(Self { address, said, task })
    }

    /// What it was told so far, without tags.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        lock(&self.said).clone()
    }
}

/// The tag of the next command that is `verb`; others are refused.
async fn told<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    stream: &mut S,
    log: &Mutex<Vec<String>>,
    verb: &str,
) -> Option<String> {
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.ok()?);
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let (tag, command) = line.split_once(' ')?;
        lock(log).push(command.to_owned());
        if command == verb {
            return Some(tag.to_owned());
        }
        stream.write_all(format!("{tag} BAD not here\r\n").as_bytes()).await.ok()?;
    }
}
