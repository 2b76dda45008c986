//! A blocking connection, in clear or under TLS, that can be read and written through two handles.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

/// The two handles take turns: this client never reads and writes at once.
#[derive(Clone)]
pub(super) enum Stream {
    Clear(Arc<TcpStream>),
    Tls(Arc<Mutex<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>>),
}

impl Stream {
    /// A read or write that gets nowhere for `silence_limit` fails.
    pub(super) fn connect(address: SocketAddr, silence_limit: Duration) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(silence_limit))?;
        socket.set_write_timeout(Some(silence_limit))?;
        Ok(Self::Clear(Arc::new(socket)))
    }

    /// Makes the TLS handshake; the other side must hold a certificate for `localhost`.
    pub(super) fn secure(self, config: &Arc<rustls::ClientConfig>) -> io::Result<Self> {
        let Self::Clear(socket) = self else { return Err(io::Error::other("TLS inside TLS")) };
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = rustls::ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(connection, socket.try_clone()?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Tls(Arc::new(Mutex::new(stream))))
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => (&**socket).read(into),
            Self::Tls(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => (&**socket).write(octets),
            Self::Tls(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(_) => Ok(()),
            Self::Tls(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).flush(),
        }
    }
}

/// Trust in one certificate authority, given as PEM, and in nothing else.
///
/// # Errors
/// If the PEM holds no certificate.
pub fn client_tls(ca_pem: &str) -> io::Result<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(io::Error::other)?;
    roots.add(ca).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
