//! Connections: the only place that opens sockets.

mod binding;
mod certificate;
mod deflate;
mod der;
mod http;
mod proxy;
mod race;
mod redirect;
mod stream;
mod tls;

pub use certificate::Certificate;
pub use deflate::{Corrupt, Deflate};
pub use http::{Http, Page, Reply, encoded};
pub use proxy::Proxies;
pub use redirect::{Brought, Redirect};
pub use stream::Stream;

use crate::config::{Endpoint, Identities};
use crate::error::EndError;
use crate::limits::Limits;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Time between keep-alive probes of the kernel.
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Makes an in-process connection, for tests: the other half is served by whoever made it.
pub type InProcess = Arc<dyn Fn() -> tokio::io::DuplexStream + Send + Sync>;

/// How an endpoint is reached.
#[derive(Clone)]
pub enum Dialer {
    /// TCP.
    Tcp,
    /// A pipe inside the process.
    InProcess(InProcess),
    /// TCP to the addresses in this table, by host and port (`imap.old.example:993`). What is not in it does not exist: no name
    /// service is asked, and nobody outside the table is reached.
    Known(Arc<BTreeMap<String, SocketAddr>>),
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "Tcp",
            Self::InProcess(_) => "InProcess",
            Self::Known(_) => "Known",
        })
    }
}

/// Connects without TLS.
pub async fn dial(dialer: &Dialer, endpoint: &Endpoint, limits: &Limits) -> Result<Stream, EndError> {
    match dialer {
        Dialer::InProcess(make) => Ok(Stream::Memory(make())),
        Dialer::Tcp => {
            let addresses = addresses(endpoint, limits).await?;
            dial_any(endpoint, &addresses, limits).await.map(Stream::Plain)
        }
        Dialer::Known(table) => {
            let server = endpoint.authority();
            let Some(address) = table.get(&server) else {
                let (what, hint) = ("no server has this name".into(), CHECK_NAME.into());
                return Err(EndError::Unreachable { server, what, hint });
            };
            dial_any(endpoint, &[*address], limits).await.map(Stream::Plain)
        }
    }
}

/// Encrypts a connection, from its start or after STARTTLS.
pub async fn encrypt(
    stream: Stream,
    endpoint: &Endpoint,
    identities: Identities<'_>,
    limits: &Limits,
) -> Result<Stream, EndError> {
    tls::encrypt(stream, endpoint, identities, limits).await
}

/// Compresses a connection (RFC 4978) from here on, above TLS. `already`: what was read beyond the OK to COMPRESS.
pub fn compress(stream: Stream, already: &[u8]) -> Stream {
    Stream::Deflate(Box::new(Deflate::new(stream, already)))
}

/// True when it is what the server sent that cannot be read on, while the connection itself still stands.
pub fn is_corrupt(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|e| e.is::<Corrupt>())
}

/// What a person can do about a name that nobody knows.
const CHECK_NAME: &str = "check the server's name for a typing error, and the network";

fn unreachable(endpoint: &Endpoint, what: String, hint: &str) -> EndError {
    EndError::Unreachable { server: endpoint.authority(), what, hint: hint.into() }
}

async fn addresses(endpoint: &Endpoint, limits: &Limits) -> Result<Vec<SocketAddr>, EndError> {
    let resolving = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port));
    match tokio::time::timeout(limits.connect, resolving).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => {
            Err(unreachable(endpoint, format!("no server has this name ({error})"), CHECK_NAME))
        }
        Err(_) => Err(unreachable(endpoint, "the name service does not answer".into(), "check the network")),
    }
}

async fn dial_any(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    limits: &Limits,
) -> Result<TcpStream, EndError> {
    match race::first_of(addresses, limits.connect, TcpStream::connect).await {
        Ok(stream) => {
            tune(&stream)
                .map_err(|e| unreachable(endpoint, e.to_string(), "this is a fault of this machine"))?;
            Ok(stream)
        }
        Err(why) => {
            let hint = "check the port (993 for imaps, 143 for imap), and that IMAP is switched on and no firewall is between";
            Err(unreachable(endpoint, why, hint))
        }
    }
}

fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(
        &socket2::TcpKeepalive::new().with_time(TCP_KEEP_ALIVE).with_interval(TCP_KEEP_ALIVE),
    )?;
    // However this connection ends, the kernel must deliver nothing of it afterwards: octets queued behind a lost
    // connection could complete an APPEND minutes later (law 4). A close after LOGOUT shuts down first.
    socket.set_linger(Some(Duration::ZERO))
}
