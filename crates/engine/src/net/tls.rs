//! TLS: who is believed, and what to do when somebody is not.

use super::Stream;
use crate::config::{ClientCertificate, Endpoint, Identities};
use crate::error::EndError;
use crate::limits::Limits;
use crate::message::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) async fn encrypt(
    stream: Stream,
    endpoint: &Endpoint,
    identities: Identities<'_>,
    limits: &Limits,
) -> Result<Stream, EndError> {
    let server = endpoint.authority();
    let untrusted = |what: String, hint: &str| EndError::Untrusted {
        server: server.clone(),
        what,
        hint: hint.into(),
        shown: None,
    };
    let Stream::Plain(tcp) = stream else {
        return Err(untrusted("only a TCP connection can be encrypted".into(), "use imap+insecure://"));
    };
    let seen = Arc::new(Mutex::new(None));
    let config = config(identities, seen.clone())
        .map_err(|what| untrusted(what, "check --ca-file, and the files of a certificate of your own"))?;
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| {
        untrusted("the server's name cannot stand in a certificate".into(), "use its host name")
    })?;
    let handshake = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp);
    match tokio::time::timeout(limits.tls_handshake, handshake).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            let fingerprint = *seen.lock().unwrap_or_else(PoisonError::into_inner);
            let (what, hint) = explain(&error, fingerprint);
            Err(EndError::Untrusted {
                server,
                what,
                hint,
                shown: fingerprint.filter(|_| may_be_pinned(&error)),
            })
        }
        Err(_) => Err(EndError::Unreachable {
            server,
            what: format!("no TLS within {} s", limits.tls_handshake.as_secs()),
            hint: "is this the right port? 993 speaks TLS at once, 143 only after STARTTLS (imap://)".into(),
        }),
    }
}

/// The certificate seen last, for the error message.
type Seen = Arc<Mutex<Option<[u8; 32]>>>;

fn config(identities: Identities<'_>, seen: Seen) -> Result<ClientConfig, String> {
    let Identities { trust, own } = identities;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let judge = match (trust.anything, trust.fingerprint) {
        (true, _) => Judge::Anybody,
        (false, Some(fingerprint)) => Judge::Fingerprint(fingerprint),
        (false, None) => {
            let mut extra = Vec::new();
            for file in &trust.ca_files {
                let bad = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
                let certificates = CertificateDer::pem_file_iter(file).map_err(|e| bad(&e))?;
                extra.extend(certificates.collect::<Result<Vec<_>, _>>().map_err(|e| bad(&e))?);
            }
            let verifier =
                Verifier::new_with_extra_roots(extra, provider.clone()).map_err(|e| e.to_string())?;
            Judge::Platform(verifier)
        }
    };
    let verifier = Arc::new(Judging { judge, provider: provider.clone(), seen });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match own {
        None => Ok(builder.with_no_client_auth()),
        Some(own) => {
            let (chain, key) = read(own)?;
            let bad = |e: rustls::Error| format!("{}: {e}", own.chain.display());
            builder.with_client_auth_cert(chain, key).map_err(bad)
        }
    }
}

/// Our own certificate. The file of the key is named, never quoted.
fn read(own: &ClientCertificate) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let in_chain = |e: &dyn std::fmt::Display| format!("{}: {e}", own.chain.display());
    let chain = CertificateDer::pem_file_iter(&own.chain).map_err(|e| in_chain(&e))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|e| in_chain(&e))?;
    let key = PrivateKeyDer::from_pem_file(&own.key)
        .map_err(|_| format!("{}: no private key in PEM, or an encrypted one", own.key.display()))?;
    Ok((chain, key))
}

#[derive(Debug)]
enum Judge {
    /// The platform's roots, and those given.
    Platform(Verifier),
    /// One certificate and no other.
    Fingerprint([u8; 32]),
    /// `--danger-accept-invalid-certs`.
    Anybody,
}

/// Judges a certificate and remembers it. Signatures are always checked: whoever shows a certificate must own its key.
#[derive(Debug)]
struct Judging {
    judge: Judge,
    provider: Arc<CryptoProvider>,
    seen: Seen,
}

impl ServerCertVerifier for Judging {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let fingerprint: [u8; 32] = Sha256::digest(end_entity).into();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
        match &self.judge {
            Judge::Platform(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now)
            }
            Judge::Fingerprint(pinned) if *pinned == fingerprint => Ok(ServerCertVerified::assertion()),
            Judge::Fingerprint(_) => {
                Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            Judge::Anybody => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate is all that is the matter.
fn may_be_pinned(error: &std::io::Error) -> bool {
    matches!(of_tls(error), Some(rustls::Error::InvalidCertificate(_)))
}

fn of_tls(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What went wrong and what to do, in words.
fn explain(error: &std::io::Error, fingerprint: Option<[u8; 32]>) -> (String, String) {
    use CertificateError as C;
    let tls = of_tls(error);
    let shown = fingerprint.map(|f| Digest(f).to_string()).unwrap_or_default();
    let pin = format!(
        "if you know this server and expected this, pin its certificate: --from-fingerprint or --to-fingerprint \
         {shown}; a private CA is added with --ca-file"
    );
    let certificate = match tls {
        Some(rustls::Error::InvalidCertificate(certificate)) => certificate,
        Some(rustls::Error::InvalidMessage(_)) => {
            let what = "the server does not speak TLS here".to_owned();
            return (what, "use imap:// (STARTTLS, port 143), or check the port".into());
        }
        _ => {
            return (
                format!("the TLS handshake failed: {error}"),
                "check the port, and the server's TLS".into(),
            );
        }
    };
    let what = match certificate {
        C::Expired | C::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "its certificate is not valid yet (is this clock right?)".into()
        }
        C::UnknownIssuer => "nobody that this machine trusts vouches for its certificate".into(),
        C::NotValidForName | C::NotValidForNameContext { .. } => "its certificate is for another name".into(),
        C::ApplicationVerificationFailure => {
            format!("it shows another certificate than the pinned one: {shown}")
        }
        other => format!("its certificate is not valid: {other:?}"),
    };
    (what, pin)
}
