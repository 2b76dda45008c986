//! SCRAM (RFC 5802, RFC 7677), the client's side. Written here and not taken from `rsasl`, which does not bound the
//! iteration count (a server that asks for 4,294,967,295 would hold a thread for an hour); the arithmetic is that of
//! aws-lc-rs, which TLS uses.

use super::{Binding, ExchangeError, Who};
use crate::limits::{SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN};
use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::borrow::Cow;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Octets of our nonce, before base64.
const NONCE_OCTETS: usize = 24;

/// Octets kept of an error of the server; those of RFC 5802 have 36 at most.
const ERROR_OCTETS_MAX: usize = 64;

/// Which digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }
}

/// Whether the login is bound to the TLS connection (RFC 5802, 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// By this.
    To(Binding),
    /// We could, and the server does not offer it. A server that does knows then that somebody hid its offer.
    ServerCannot,
    /// We do not.
    Not,
}

/// One login.
pub(super) struct Scram {
    hash: Hash,
    password: Zeroizing<String>,
    /// The GS2 header, with the data of the binding behind it.
    header: Vec<u8>,
    nonce: String,
    first_bare: String,
    /// What the server must show, once it is known.
    expected: Option<Zeroizing<Vec<u8>>>,
    /// It was shown.
    proven: bool,
    /// The server's own error (RFC 5802, 7).
    pub(super) server_error: Option<String>,
    header_len: usize,
}

impl Scram {
    pub(super) fn new(
        hash: Hash,
        who: &Who<'_>,
        password: &str,
        bound: Bound,
    ) -> Result<Self, ExchangeError> {
        let mut octets = [0; NONCE_OCTETS];
        rand::fill(&mut octets).map_err(|_| ExchangeError::NoRandomness)?;
        Self::with_nonce(hash, who, password, bound, BASE64.encode(octets))
    }

    fn with_nonce(
        hash: Hash,
        who: &Who<'_>,
        password: &str,
        bound: Bound,
        nonce: String,
    ) -> Result<Self, ExchangeError> {
        let password = stringprep::saslprep(password).map_err(|_| ExchangeError::Characters("password"))?;
        let flag = match &bound {
            Bound::To(binding) => format!("p={}", binding.name),
            Bound::ServerCannot => "y".to_owned(),
            Bound::Not => "n".to_owned(),
        };
        let authorize = match who.authorize {
            Some(user) => format!("a={}", name(user)?),
            None => String::new(),
        };
        let mut header = format!("{flag},{authorize},").into_bytes();
        let header_len = header.len();
        if let Bound::To(binding) = bound {
            header.extend(binding.data);
        }
        let first_bare = format!("n={},r={nonce}", name(who.authenticate)?);
        let password = Zeroizing::new(password.into_owned());
        let (expected, proven, server_error) = (None, false, None);
        Ok(Self { hash, password, header, nonce, first_bare, expected, proven, server_error, header_len })
    }

    /// The first message.
    pub(super) fn first(&self) -> Vec<u8> {
        [&self.header[..self.header_len], self.first_bare.as_bytes()].concat()
    }

    /// The answer to the server's first message, and to its last one.
    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        if self.server_error.is_some() {
            return Err(ExchangeError::NotScram("it goes on after an error"));
        }
        let text = std::str::from_utf8(challenge).map_err(|_| ExchangeError::NotScram("it is not UTF-8"))?;
        match self.expected.take() {
            None => self.prove(text).map(String::into_bytes),
            Some(expected) => self.check(text, &expected).map(|()| Vec::new()),
        }
    }

    /// Whether the server has shown that it knows the password, too.
    pub(super) fn is_proven(&self) -> bool {
        self.proven
    }

    fn prove(&mut self, server_first: &str) -> Result<String, ExchangeError> {
        if let Some(error) = server_first.strip_prefix("e=") {
            self.keep_error(error);
            return Ok(String::new());
        }
        let mut parts = server_first.split(',');
        let mut part = |key: &str, what| {
            let value = parts.next().and_then(|p| p.strip_prefix(key));
            value.ok_or(ExchangeError::NotScram(what))
        };
        let nonce = part("r=", "its nonce is missing, or an extension comes first that we do not know")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ExchangeError::NotScram("its nonce does not go on from ours"));
        }
        let salt = BASE64.decode(part("s=", "its salt is missing")?);
        let salt =
            salt.ok().filter(|s| !s.is_empty()).ok_or(ExchangeError::NotScram("its salt is no base64"))?;
        let iterations = part("i=", "its iteration count is missing")?;
        let iterations = match iterations.parse::<u32>() {
            Ok(n @ SCRAM_ITERATIONS_MIN..=SCRAM_ITERATIONS_MAX) => NonZeroU32::new(n),
            _ => None,
        };
        let iterations = iterations.ok_or(ExchangeError::Iterations)?;

        let mut salted = Zeroizing::new(vec![0; self.hash.digest().output_len()]);
        pbkdf2::derive(self.hash.pbkdf2(), iterations, &salt, self.password.as_bytes(), &mut salted);
        let without_proof = format!("c={},r={nonce}", BASE64.encode(&self.header));
        let signed = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_key = self.sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), &client_key);
        let signature = self.sign(stored_key.as_ref(), signed.as_bytes());
        let proof: Zeroizing<Vec<u8>> =
            Zeroizing::new(client_key.iter().zip(signature.iter()).map(|(a, b)| a ^ b).collect());
        let server_key = self.sign(&salted, b"Server Key");
        self.expected = Some(self.sign(&server_key, signed.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64.encode(&*proof)))
    }

    fn check(&mut self, server_final: &str, expected: &[u8]) -> Result<(), ExchangeError> {
        let first = server_final.split(',').next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            self.keep_error(error);
            return Ok(());
        }
        let signature = first.strip_prefix("v=").and_then(|v| BASE64.decode(v).ok()).unwrap_or_default();
        constant_time::verify_slices_are_equal(&signature, expected).map_err(|_| ExchangeError::Forged)?;
        self.proven = true;
        Ok(())
    }

    /// A NO follows. What the server writes here is short and of known letters, or it is not kept.
    fn keep_error(&mut self, error: &str) {
        let is_word =
            error.len() <= ERROR_OCTETS_MAX && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        self.server_error = Some(if is_word { error.to_owned() } else { "an error".to_owned() });
    }

    fn sign(&self, key: &[u8], text: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(hmac::sign(&hmac::Key::new(self.hash.hmac(), key), text).as_ref().to_vec())
    }
}

/// A user name as SCRAM and GS2 write it (RFC 5802, 5.1; RFC 5801, 4).
pub(super) fn name(user: &str) -> Result<String, ExchangeError> {
    let prepared: Cow<'_, str> =
        stringprep::saslprep(user).map_err(|_| ExchangeError::Characters("user name"))?;
    Ok(prepared.replace('=', "=3D").replace(',', "=2C"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Who<'_> = Who { authenticate: "user", authorize: None, host: "h", port: 143 };

    fn login(hash: Hash, nonce: &str) -> Scram {
        Scram::with_nonce(hash, &USER, "pencil", Bound::Not, nonce.into()).unwrap()
    }

    fn text(octets: &[u8]) -> &str {
        std::str::from_utf8(octets).unwrap()
    }

    #[test]
    fn the_example_of_rfc_5802() {
        let mut scram = login(Hash::Sha1, "fyko+d2lbbFgONRv9qkxdawL");
        assert_eq!(text(&scram.first()), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        let first = b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        assert_eq!(
            text(&scram.respond(first).unwrap()),
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        assert!(!scram.is_proven());
        assert_eq!(scram.respond(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").unwrap(), b"");
        assert!(scram.is_proven());
    }

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn the_example_of_rfc_7677() {
        let mut scram = login(Hash::Sha256, NONCE);
        assert_eq!(text(&scram.first()), format!("n,,n=user,r={NONCE}"));
        assert_eq!(
            text(&scram.respond(FIRST.as_bytes()).unwrap()),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        scram.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert!(scram.is_proven());
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        for last in ["v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=", "v=!", "x=y", ""] {
            let mut scram = login(Hash::Sha256, NONCE);
            scram.respond(FIRST.as_bytes()).unwrap();
            assert_eq!(scram.respond(last.as_bytes()), Err(ExchangeError::Forged), "{last}");
            assert!(!scram.is_proven());
        }
    }

    #[test]
    fn an_error_of_the_server_proves_nothing() {
        let mut scram = login(Hash::Sha256, NONCE);
        scram.respond(FIRST.as_bytes()).unwrap();
        assert_eq!(scram.respond(b"e=invalid-proof").unwrap(), b"");
        assert_eq!((scram.server_error.as_deref(), scram.is_proven()), (Some("invalid-proof"), false));
        assert!(scram.respond(FIRST.as_bytes()).is_err(), "no second proof");
    }

    #[test]
    fn what_a_server_may_not_ask_for_is_not_answered() {
        let of = |rest: &str| format!("r={NONCE}x,{rest}");
        for (first, error) in [
            (of("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095"), ExchangeError::Iterations),
            (of("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1"), ExchangeError::Iterations),
            (of("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0"), ExchangeError::Iterations),
            (of("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001"), ExchangeError::Iterations),
            (of("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294967295"), ExchangeError::Iterations),
            (of("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999"), ExchangeError::Iterations),
            (of("s=W22ZaJ0SNY7soEsUEjb6gQ=="), ExchangeError::NotScram("its iteration count is missing")),
            (of("s=,i=4096"), ExchangeError::NotScram("its salt is no base64")),
            (of("i=4096"), ExchangeError::NotScram("its salt is missing")),
            (
                format!("r={NONCE},s=W22Z,i=4096"),
                ExchangeError::NotScram("its nonce does not go on from ours"),
            ),
            ("r=other,s=W22Z,i=4096".into(), ExchangeError::NotScram("its nonce does not go on from ours")),
            (
                format!("m=ext,r={NONCE}x,s=W22Z,i=4096"),
                ExchangeError::NotScram(
                    "its nonce is missing, or an extension comes first that we do not know",
                ),
            ),
        ] {
            assert_eq!(login(Hash::Sha1, NONCE).respond(first.as_bytes()), Err(error), "{first}");
        }
    }

    #[test]
    fn names_are_escaped_and_bindings_stand_in_the_header() {
        let who = Who { authenticate: "a=b,c", authorize: Some("d,e"), host: "h", port: 1 };
        let binding = Binding { name: "tls-exporter", data: b"xyz".to_vec() };
        let mut scram = Scram::with_nonce(Hash::Sha1, &who, "p", Bound::To(binding), "N".into()).unwrap();
        assert_eq!(text(&scram.first()), "p=tls-exporter,a=d=2Ce,n=a=3Db=2Cc,r=N");
        let answer = scram.respond(b"r=Nx,s=QSXCR+Q6sek8bf92,i=4096").unwrap();
        let header = BASE64.encode("p=tls-exporter,a=d=2Ce,xyz");
        assert!(text(&answer).starts_with(&format!("c={header},r=Nx,p=")));
        let hidden = Scram::with_nonce(Hash::Sha1, &USER, "p", Bound::ServerCannot, "N".into()).unwrap();
        assert_eq!(text(&hidden.first()), "y,,n=user,r=N");
    }

    #[test]
    fn passwords_are_prepared() {
        // RFC 4013, 3: the soft hyphen goes, the ordinal indicator becomes a letter; a control character is refused.
        let prepared = |password: &str| {
            let scram = Scram::with_nonce(Hash::Sha1, &USER, password, Bound::Not, "N".into());
            scram.map(|s| s.password.to_string())
        };
        assert_eq!(prepared("I\u{ad}X\u{aa}").unwrap(), "IXa");
        assert_eq!(prepared("a\u{7}").unwrap_err(), ExchangeError::Characters("password"));
    }
}
