//! A refresh token sealed with a passphrase, for a file that others may come to see (backups, shared folders): AES-256-GCM under
//! a key made by PBKDF2 (RFC 8018, 5.2), bound to what the token is for.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// What a sealed text begins with; the number names all that is said above.
const MARK: &str = "sealed1:";
const SALT_OCTETS: usize = 16;
/// Rounds of PBKDF2-HMAC-SHA256: some tenths of a second for each guess.
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("is not 0");

/// True for a text that [`seal`] made.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(MARK)
}

/// Seals `secret`: one line of ASCII, another one each time. Only who knows `passphrase` and `about` opens it.
///
/// # Errors
/// In words, when the machine gives no random numbers.
pub fn seal(passphrase: &str, about: &str, secret: &str) -> Result<String, String> {
    let none = |_| "this machine gives no random numbers".to_owned();
    let mut salt = [0; SALT_OCTETS];
    aws_lc_rs::rand::fill(&mut salt).map_err(none)?;
    let mut octets = Zeroizing::new(secret.as_bytes().to_vec());
    let aad = Aad::from(about.as_bytes());
    let nonce = key(passphrase, &salt)?.seal_in_place_append_tag(aad, &mut *octets).map_err(none)?;
    Ok(format!("{MARK}{}", BASE64.encode([&salt[..], nonce.as_ref(), &octets].concat())))
}

/// Opens what [`seal`] made. `None` for another passphrase, another `about`, or octets that were changed.
///
/// # Errors
/// In words, when it cannot be a sealed text.
pub fn unseal(passphrase: &str, about: &str, text: &str) -> Result<Option<Zeroizing<String>>, String> {
    let broken = || "it is no sealed token".to_owned();
    let octets = text.strip_prefix(MARK).and_then(|text| BASE64.decode(text).ok()).ok_or_else(broken)?;
    let (salt, rest) = octets.split_at_checked(SALT_OCTETS).ok_or_else(broken)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(broken)?;
    let mut sealed = Zeroizing::new(sealed.to_vec());
    let aad = Aad::from(about.as_bytes());
    let opened = key(passphrase, salt)?.open_in_place(Nonce::from(nonce), aad, &mut sealed);
    let Ok(secret) = opened else { return Ok(None) };
    Ok(std::str::from_utf8(secret).ok().map(|secret| Zeroizing::new(secret.to_owned())))
}

fn key(passphrase: &str, salt: &[u8]) -> Result<RandomizedNonceKey, String> {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, passphrase.as_bytes(), &mut *key);
    RandomizedNonceKey::new(&AES_256_GCM, &*key).map_err(|_| "this machine makes no keys".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_passphrase_opens_a_token_and_only_for_what_it_is_for() {
        let sealed = seal("open sesame", "ann at google", "refresh-1").unwrap();
        assert!(is_sealed(&sealed) && !sealed.contains("refresh") && !sealed.contains('\n'));
        let opened =
            |passphrase, about, text: &str| unseal(passphrase, about, text).map(|o| o.map(|s| s.to_string()));
        assert_eq!(opened("open sesame", "ann at google", &sealed), Ok(Some("refresh-1".into())));
        assert_eq!(opened("open barley", "ann at google", &sealed), Ok(None));
        assert_eq!(opened("open sesame", "bob at google", &sealed), Ok(None));
        let at = MARK.len() + 50;
        let other = if sealed.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
        assert_eq!(opened("open sesame", "ann at google", &changed), Ok(None));
        for broken in ["refresh-1", "sealed1:", "sealed1:AAAA", "sealed1:\u{fc}"] {
            assert!(unseal("open sesame", "x", broken).is_err(), "{broken}");
        }
        assert_ne!(seal("open sesame", "ann at google", "refresh-1").unwrap(), sealed);
    }
}
