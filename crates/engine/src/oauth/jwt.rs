//! Signed assertions (RFC 7523): a service account of Google, and a client with a certificate.

use super::OAuthError;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Seconds that an assertion is good for.
const ASSERTION_SECONDS: u64 = 600;

/// A key that signs, with the certificate it belongs to, if that is what it is known by.
pub struct SigningKey {
    pair: RsaKeyPair,
    /// The digest of the certificate.
    thumbprint: Option<String>,
    id: Option<String>,
}

/// A service account of Google, as its console gives it out.
#[derive(Clone)]
pub struct ServiceAccount {
    pub(super) email: String,
    pub(super) key: Arc<SigningKey>,
}

/// What an assertion says.
pub(super) struct Claims<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) audience: &'a str,
    pub(super) scope: Option<&'a str>,
    /// Seconds since 1970.
    pub(super) now: u64,
}

impl SigningKey {
    /// From PEM: a private RSA key (PKCS #8 or PKCS #1), and the certificate that the issuer knows.
    pub fn with_certificate(key: &[u8], certificate: &[u8]) -> Result<Self, OAuthError> {
        let certificate = CertificateDer::from_pem_slice(certificate)
            .map_err(|_| OAuthError::Key("no certificate in PEM"))?;
        let thumbprint = Some(BASE64URL.encode(Sha256::digest(&certificate)));
        Ok(Self { pair: pair(key)?, thumbprint, id: None })
    }

    /// The assertion. With a certificate by RSA-PSS, as Microsoft asks for; else as Google does.
    pub(super) fn sign(&self, claims: &Claims<'_>) -> Result<Zeroizing<String>, OAuthError> {
        let Claims { issuer, subject, audience, scope, now } = claims;
        let mut head = serde_json::json!({ "typ": "JWT" });
        let padding = match &self.thumbprint {
            Some(thumbprint) => {
                head["alg"] = "PS256".into();
                head["x5t#S256"] = thumbprint.as_str().into();
                &RSA_PSS_SHA256
            }
            None => {
                head["alg"] = "RS256".into();
                &RSA_PKCS1_SHA256
            }
        };
        if let Some(id) = &self.id {
            head["kid"] = id.as_str().into();
        }
        let mut nonce = [0; 16];
        let random = || OAuthError::Machine("it gives no random numbers".into());
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| random())?;
        let mut body = serde_json::json!({
            "iss": issuer, "sub": subject, "aud": audience, "jti": BASE64URL.encode(nonce), "iat": now, "nbf": now,
            "exp": now + ASSERTION_SECONDS,
        });
        if let Some(scope) = scope {
            body["scope"] = (*scope).into();
        }
        let signed = format!("{}.{}", BASE64URL.encode(head.to_string()), BASE64URL.encode(body.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let made = self.pair.sign(padding, &SystemRandom::new(), signed.as_bytes(), &mut signature);
        made.map_err(|_| OAuthError::Key("it cannot sign"))?;
        Ok(Zeroizing::new(format!("{signed}.{}", BASE64URL.encode(signature))))
    }
}

impl ServiceAccount {
    /// From the file that Google's console gives out.
    pub fn parse(file: &[u8]) -> Result<Self, OAuthError> {
        let json: serde_json::Value =
            serde_json::from_slice(file).map_err(|_| OAuthError::Key("it is not Google's JSON"))?;
        let field = |name: &str| json.get(name).and_then(|v| v.as_str());
        let missing = OAuthError::Key("client_email or private_key is missing");
        let (Some(email), Some(key)) = (field("client_email"), field("private_key")) else {
            return Err(missing);
        };
        let id = field("private_key_id").map(str::to_owned);
        let key = SigningKey { pair: pair(key.as_bytes())?, thumbprint: None, id };
        Ok(Self { email: email.to_owned(), key: Arc::new(key) })
    }
}

fn pair(pem: &[u8]) -> Result<RsaKeyPair, OAuthError> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| OAuthError::Key("no private key in PEM"))?;
    let pair = match &key {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(OAuthError::Key("it is no RSA key")),
    };
    pair.map_err(|_| OAuthError::Key("it is no RSA key"))
}
