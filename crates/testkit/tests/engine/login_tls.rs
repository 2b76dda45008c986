//! Logins that belong to their TLS connection: channel bindings and client certificates. The embedded server has no TLS:
//! this puts rustls before it and tells it what the server's side of the connection knows.

use crate::wire::{self, PASSWORD, USER};
use mailhaul_engine::config::{ByCertificate, ClientCertificate, Security};
use mailhaul_engine::error::EndError;
use mailhaul_engine::imap_session::{Opener, open};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_sandbox::{Channel, Profile, Sandbox};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::net::TcpListener;

const ALL: &[&str] =
    &["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "EXTERNAL"];

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// What stands between the client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Nothing,
    /// A server that binds to something else.
    OtherBinding,
    /// Somebody who decrypts: the server sees another TLS connection than the client.
    Somebody,
}

/// A server behind TLS, and the folder with its authority.
struct Front {
    server: Sandbox,
    opener: Opener,
    folder: tempfile::TempDir,
    authority: Issuer,
}

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Mailhaul test authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(authority: &Issuer, name: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

impl Front {
    async fn start(version: &'static SupportedProtocolVersion, between: Between) -> Self {
        let authority = authority();
        let (chain, key) = issued(&authority, "localhost");
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
        let own = chain[0].clone();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
            .unwrap();
        let server = Sandbox::new(Profile { mechanisms: ALL.to_vec(), ..Profile::default() });
        server.add_user(USER, PASSWORD);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(serve(listener, Arc::new(config), server.clone(), own, between));

        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let mut opener = wire::opener(&server, &Limits::default(), &[]);
        opener.dialer = Dialer::Tcp;
        opener.account.endpoint.host = "localhost".into();
        opener.account.endpoint.port = port;
        opener.account.endpoint.security = Security::Tls;
        opener.account.trust.ca_files = vec![ca];
        Self { server, opener, folder, authority }
    }

    /// The client gets a certificate that names somebody.
    fn certify(&mut self, name: &str) {
        let (chain, key) = issued(&self.authority, name);
        let file = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        std::fs::write(file("chain"), chain).unwrap();
        std::fs::write(file("key"), key).unwrap();
        let own = ClientCertificate { chain: file("chain"), key: file("key") };
        self.opener.account.login.certificate = Some(own);
        self.opener.account.credentials = Arc::new(ByCertificate);
    }

    fn mechanisms(&self) -> Vec<String> {
        self.server.counters().mechanisms.into_keys().collect()
    }
}

async fn serve(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    server: Sandbox,
    own: CertificateDer<'static>,
    between: Between,
) {
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    while let Ok((tcp, _)) = listener.accept().await {
        let Ok(tls) = acceptor.accept(tcp).await else { continue };
        let session = tls.get_ref().1;
        let mut data = session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).unwrap();
        if between == Between::Somebody {
            data[0] ^= 1;
        }
        let end_point = Sha256::digest(&own).to_vec();
        let bindings = match session.protocol_version() {
            _ if between == Between::OtherBinding => vec![("tls-unique".to_owned(), vec![1])],
            Some(rustls::ProtocolVersion::TLSv1_3) => vec![("tls-exporter".to_owned(), data.to_vec())],
            _ => vec![("tls-server-end-point".to_owned(), end_point)],
        };
        // A test has one client, whose certificate it made.
        let certified = session.peer_certificates().map(|_| USER.to_owned());
        let server = server.clone();
        tokio::spawn(async move { server.serve_over(tls, Channel { bindings, certified }).await });
    }
}

#[tokio::test]
async fn a_login_is_bound_to_its_tls_connection_where_the_server_can() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let front = Front::start(version, Between::Nothing).await;
        open(&front.opener).await.unwrap();
        assert_eq!(front.mechanisms(), ["SCRAM-SHA-256-PLUS"], "{version:?}");
        front.server.set(|p| p.mechanisms = vec!["SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"]);
        open(&front.opener).await.unwrap();
        assert_eq!(front.mechanisms(), ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"], "{version:?}");
    }
}

#[tokio::test]
async fn somebody_who_decrypts_the_connection_is_found_out_and_gets_no_second_try() {
    let front = Front::start(&rustls::version::TLS13, Between::Somebody).await;
    let error = open(&front.opener).await.err().unwrap();
    let EndError::LoginRefused { refusal, .. } = &error else { panic!("{error}") };
    assert!(refusal.text.contains("channel-bindings-dont-match"), "{error}");
    assert_eq!((front.server.counters().logins, front.server.counters().refused_logins), (0, 1));
}

#[tokio::test]
async fn a_binding_that_the_server_does_not_have_is_done_without() {
    for (between, offered) in
        [(Between::Nothing, &["SCRAM-SHA-256", "PLAIN"][..]), (Between::OtherBinding, ALL)]
    {
        let front = Front::start(&rustls::version::TLS13, between).await;
        front.server.set(|p| p.mechanisms = offered.to_vec());
        open(&front.opener).await.unwrap();
        assert_eq!(front.mechanisms(), ["SCRAM-SHA-256"], "{between:?}");
        assert_eq!(front.server.counters().refused_logins, 0, "{between:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_opens_its_own_account_and_no_other() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut front = Front::start(version, Between::Nothing).await;
        front.certify(USER);
        open(&front.opener).await.unwrap();
        assert_eq!(front.mechanisms(), ["EXTERNAL"]);
        front.server.add_user("bob", "x");
        front.opener.account.user = "bob".into();
        let error = open(&front.opener).await.err().unwrap();
        assert!(matches!(error, EndError::LoginRefused { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_named_and_not_quoted() {
    let mut front = Front::start(&rustls::version::TLS13, Between::Nothing).await;
    front.certify(USER);
    let own = front.opener.account.login.certificate.clone().unwrap();
    std::fs::write(&own.key, "no key but medlar-1123-secret").unwrap();
    let error = open(&front.opener).await.err().unwrap();
    assert!(error.to_string().contains("ann.key") && !error.to_string().contains("medlar"), "{error}");
    assert_eq!(front.server.counters().commands.len(), 0, "no connection without it");
}
