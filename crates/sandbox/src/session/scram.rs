//! SCRAM (RFC 5802, RFC 7677), the server's side.

use crate::profile::ScramLie;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Digest;

/// This server has no random numbers.
const SALT: &[u8] = b"sandbox salt";
const NONCE: &str = "sandbox";

#[derive(Clone, Copy, Debug)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn mac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => {
                let mac = Hmac::<sha1::Sha1>::new_from_slice(key);
                mac.map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec()).unwrap_or_default()
            }
            Self::Sha256 => {
                let mac = Hmac::<sha2::Sha256>::new_from_slice(key);
                mac.map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec()).unwrap_or_default()
            }
        }
    }

    fn of(self, octets: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1::Sha1::digest(octets).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(octets).to_vec(),
        }
    }

    /// `Hi` (RFC 5802, 2.2).
    fn salted(self, password: &str, iterations: u32) -> Vec<u8> {
        let mut last = self.mac(password.as_bytes(), &[SALT, &[0, 0, 0, 1]].concat());
        let mut sum = last.clone();
        for _ in 1..iterations {
            last = self.mac(password.as_bytes(), &last);
            sum.iter_mut().zip(&last).for_each(|(s, l)| *s ^= l);
        }
        sum
    }
}

fn exclusive_or(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// One login.
#[derive(Debug)]
pub(super) struct ServerScram {
    hash: Hash,
    /// The GS2 header and the binding's data, as `c=` must hold them.
    header: Vec<u8>,
    name: String,
    user: String,
    client_nonce: String,
    nonce: String,
    first_bare: String,
    server_first: String,
    iterations: u32,
}

impl ServerScram {
    /// From the client's first message; an error of RFC 5802, 7 where its binding does not fit.
    pub(super) fn begin(
        hash: Hash,
        plus: bool,
        offers_plus: bool,
        bindings: &[(String, Vec<u8>)],
        first: &[u8],
    ) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(first).map_err(|_| "invalid-encoding")?;
        let mut parts = text.splitn(3, ',');
        let (flag, authorize, bare) = (parts.next(), parts.next(), parts.next());
        let (Some(flag), Some(authorize), Some(bare)) = (flag, authorize, bare) else {
            return Err("other-error");
        };
        let mut header = format!("{flag},{authorize},").into_bytes();
        match (flag.strip_prefix("p="), plus) {
            (Some(asked), true) => {
                let known = bindings.iter().find(|(name, _)| name == asked);
                header.extend(&known.ok_or("unsupported-channel-binding-type")?.1);
            }
            (Some(_), false) | (None, true) => return Err("channel-binding-not-supported"),
            // The client could bind and saw no offer: somebody took it out.
            (None, false) if flag == "y" && offers_plus => return Err("server-does-support-channel-binding"),
            (None, false) => {}
        }
        let unescape = |name: &str| name.replace("=2C", ",").replace("=3D", "=");
        let mut fields = bare.split(',');
        let name = fields.next().and_then(|f| f.strip_prefix("n=")).ok_or("other-error")?;
        let client_nonce = fields.next().and_then(|f| f.strip_prefix("r=")).ok_or("other-error")?.to_owned();
        let name = unescape(name);
        let user = authorize.strip_prefix("a=").map_or(name.clone(), unescape);
        let (nonce, first_bare) = (format!("{client_nonce}{NONCE}"), bare.to_owned());
        let (server_first, iterations) = (String::new(), 0);
        Ok(Self { hash, header, name, user, client_nonce, nonce, first_bare, server_first, iterations })
    }

    /// Who shows a password.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// In whose name.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn server_first(&mut self, iterations: u32, lie: Option<ScramLie>) -> String {
        let nonce = if lie == Some(ScramLie::Nonce) { NONCE } else { &self.nonce };
        self.iterations = iterations;
        self.server_first = format!("r={nonce},s={},i={iterations}", BASE64.encode(SALT));
        self.server_first.clone()
    }

    /// Judges the client's last message: the server's last one (`None` where it keeps silent), or an error of RFC 5802, 7.
    pub(super) fn verify(
        &self,
        password: &str,
        last: &[u8],
        lie: Option<ScramLie>,
    ) -> Result<Option<String>, &'static str> {
        let last = std::str::from_utf8(last).map_err(|_| "invalid-encoding")?;
        let (without_proof, proof) = last.rsplit_once(",p=").ok_or("other-error")?;
        let expected = format!("c={},r={}", BASE64.encode(&self.header), self.nonce);
        if without_proof != expected {
            let nonce_is_ours = without_proof.ends_with(&self.nonce) && !self.client_nonce.is_empty();
            return Err(if nonce_is_ours { "channel-bindings-dont-match" } else { "other-error" });
        }
        if let Some(ScramLie::Error(error)) = lie {
            return Err(error);
        }
        let salted = self.hash.salted(password, self.iterations);
        let signed = format!("{},{},{without_proof}", self.first_bare, self.server_first);
        let stored = self.hash.of(&self.hash.mac(&salted, b"Client Key"));
        let client_signature = self.hash.mac(&stored, signed.as_bytes());
        let client_key = exclusive_or(&BASE64.decode(proof).unwrap_or_default(), &client_signature);
        if self.hash.of(&client_key) != stored {
            return Err("invalid-proof");
        }
        let server_key = self.hash.mac(&salted, b"Server Key");
        let mut signature = self.hash.mac(&server_key, signed.as_bytes());
        match lie {
            Some(ScramLie::NoSignature) => return Ok(None),
            Some(ScramLie::Signature) => signature.iter_mut().take(1).for_each(|b| *b ^= 1),
            _ => {}
        }
        Ok(Some(format!("v={}", BASE64.encode(signature))))
    }
}
