//! SASL messages. Secrets are wiped when they are dropped, as far as this side keeps them.

use base64::Engine as _;
use zeroize::Zeroizing;

/// The message of PLAIN (RFC 4616): who acts, who proves it, and how.
pub fn plain(authorize: &str, authenticate: &str, password: &str) -> Zeroizing<Vec<u8>> {
    let parts = [authorize.as_bytes(), authenticate.as_bytes(), password.as_bytes()];
    Zeroizing::new(parts.join(&0))
}

/// Base64, as it goes with AUTHENTICATE (SASL-IR, RFC 4959).
pub fn encode(message: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_three_parts_between_nul() {
        assert_eq!(&plain("", "tim", "tanstaaftanstaaf")[..], b"\0tim\0tanstaaftanstaaf");
        assert_eq!(&plain("ann", "admin", "x")[..], b"ann\0admin\0x");
        assert_eq!(&encode(b"\0a\0b")[..], "AGEAYg==");
    }
}
