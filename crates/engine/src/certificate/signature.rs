//! Signatures of certificates: Ed25519 (RFC 8032) over the exact octets of the file.
//!
//! The signature lies beside its file and is 64 octets and nothing else; beside it lies the public key as a
//! SubjectPublicKeyInfo (RFC 8410) in PEM. openssl takes both as they are: nobody needs this program to check one.

use crate::message::Digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use sha2::Digest as _;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The signature of `certificate.json` is `certificate.json.sig`.
pub const SIGNATURE_SUFFIX: &str = ".sig";
/// The key that made it is `certificate.json.pem`.
pub const PUBLIC_KEY_SUFFIX: &str = ".pem";
/// The name of the algorithm in files.
pub(crate) const ALGORITHM: &str = "Ed25519";

/// A signature (RFC 8032, 5.1.6).
const SIGNATURE_OCTETS: usize = 64;
/// A public key (RFC 8032, 5.1.5).
const KEY_OCTETS: usize = 32;
/// What stands before the key in a SubjectPublicKeyInfo of Ed25519 (RFC 8410, 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Another file, or one that was cut or changed.
    #[error("it is no private Ed25519 key (PKCS #8, PEM)")]
    NotPrivate,
    /// The same of a public one.
    #[error("it is no public Ed25519 key (PEM)")]
    NotPublic,
    /// The machine does not do it.
    #[error("this machine makes no keys and signatures")]
    Machine,
}

/// Signs certificates: the private key of an installation. Whoever has it can sign anything.
#[derive(Clone)]
pub struct Signer {
    pair: Arc<Ed25519KeyPair>,
    public: PublicKey,
}

/// Names the key, and does not show it.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public.fingerprint())
    }
}

impl Signer {
    /// A new key, and the file to keep it in: PKCS #8 (RFC 5958, version 1, which openssl reads, too) in PEM. The file
    /// is a secret.
    ///
    /// # Errors
    /// [`KeyError::Machine`], when the machine gives no random numbers.
    pub fn generate() -> Result<(Self, Zeroizing<String>), KeyError> {
        let document =
            Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| KeyError::Machine)?;
        let pem = Zeroizing::new(pem("PRIVATE KEY", document.as_ref()));
        Ok((Self::from_pem(pem.as_bytes())?, pem))
    }

    /// From the file that [`Signer::generate`] gave, or an Ed25519 key that openssl made.
    ///
    /// # Errors
    /// [`KeyError::NotPrivate`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| KeyError::NotPrivate)?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| KeyError::NotPrivate)?;
        let point = pair.public_key().as_ref().try_into().map_err(|_| KeyError::NotPrivate)?;
        Ok(Self { pair: Arc::new(pair), public: PublicKey { point } })
    }

    /// The half that everybody may have.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The signature of `octets`: the same octets have the same signature.
    ///
    /// # Errors
    /// [`KeyError::Machine`].
    pub fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.try_sign(octets).map_err(|_| KeyError::Machine)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// A public Ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    point: [u8; KEY_OCTETS],
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo in PEM.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::NotPublic)?;
        let point = der.as_ref().strip_prefix(&SPKI_PREFIX).and_then(|point| point.try_into().ok());
        Ok(Self { point: point.ok_or(KeyError::NotPublic)? })
    }

    /// The SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.der())
    }

    fn der(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.point].concat()
    }

    /// By what the key is known: the SHA-256 of its SubjectPublicKeyInfo (DER).
    pub fn fingerprint(&self) -> Digest {
        Digest(sha2::Sha256::digest(self.der()).into())
    }

    /// True when `signature` is this key's for `octets`.
    pub fn signed(&self, octets: &[u8], signature: &[u8]) -> bool {
        signature.len() == SIGNATURE_OCTETS
            && UnparsedPublicKey::new(&ED25519, self.point).verify(octets, signature).is_ok()
    }
}

/// PEM (RFC 7468). The keys of Ed25519 fit in one line of 64 columns.
fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

/// The file that lies beside `file` under its name and a suffix.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    name.into()
}

/// The key that signed `octets`, which `file` holds, by what lies beside it. `None` where no signature does.
///
/// # Errors
/// In words: a signature that does not fit, or that cannot be checked.
pub(super) fn signer_of(file: &Path, octets: &[u8]) -> Result<Option<PublicKey>, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let (signature, key) = (beside(file, SIGNATURE_SUFFIX), beside(file, PUBLIC_KEY_SUFFIX));
    if !exists(&signature).map_err(|e| format!("{}: {e}", signature.display()))? {
        return Ok(None);
    }
    let public = PublicKey::from_pem(&read(&key)?).map_err(|e| format!("{}: {e}", key.display()))?;
    if public.signed(octets, &read(&signature)?) {
        return Ok(Some(public));
    }
    Err(format!(
        "the signature in {} does not fit: the certificate, the signature or the key was changed since it was signed",
        signature.display()
    ))
}

fn exists(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
    }

    /// From the seed alone (RFC 8410, 7).
    fn of_seed(seed: &str) -> Signer {
        let der = [octets("302e020100300506032b657004220420"), octets(seed)].concat();
        Signer::from_pem(pem("PRIVATE KEY", &der).as_bytes()).unwrap()
    }

    #[test]
    fn signatures_are_those_of_rfc_8032() {
        // 7.1: secret key, public key, message, signature.
        for (seed, point, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let signer = of_seed(seed);
            assert_eq!(signer.public().point.to_vec(), octets(point));
            assert_eq!(signer.sign(&octets(message)).unwrap(), octets(signature));
            assert!(signer.public().signed(&octets(message), &octets(signature)));
            assert!(!signer.public().signed(b"another", &octets(signature)));
            assert!(!signer.public().signed(&octets(message), &octets(signature)[..63]));
        }
    }

    #[test]
    fn a_key_comes_back_from_its_file_and_another_one_is_another() {
        let (signer, file) = Signer::generate().unwrap();
        assert!(file.lines().all(|line| line.len() <= 64), "RFC 7468, 2");
        let again = Signer::from_pem(file.as_bytes()).unwrap();
        assert_eq!(again.public(), signer.public());
        assert_eq!(PublicKey::from_pem(signer.public().to_pem().as_bytes()), Ok(signer.public()));
        assert_ne!(Signer::generate().unwrap().0.public(), signer.public());
    }

    #[test]
    fn what_is_no_key_of_this_kind_is_refused() {
        let (signer, file) = Signer::generate().unwrap();
        let public = signer.public().to_pem();
        // PKCS #8 that says RSA.
        let rsa =
            "-----BEGIN PRIVATE KEY-----\nMBQCAQAwDQYJKoZIhvcNAQEBBQAEAA==\n-----END PRIVATE KEY-----\n";
        for other in ["", "\0", public.as_str(), &file[..file.len() / 2], rsa] {
            assert_eq!(Signer::from_pem(other.as_bytes()).err(), Some(KeyError::NotPrivate), "{other:?}");
        }
        for other in ["", file.as_str(), &public[..40]] {
            assert_eq!(PublicKey::from_pem(other.as_bytes()), Err(KeyError::NotPublic), "{other:?}");
        }
    }

    #[test]
    fn a_signer_shows_nothing_of_its_key() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let shown = format!("{:?}", of_seed(seed));
        assert_eq!(shown, format!("Signer({})", of_seed(seed).public().fingerprint()));
        assert!(!shown.contains(&seed[..8]), "{shown}");
    }
}
