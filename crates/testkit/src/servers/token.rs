//! Access tokens that a server judges by their signature: JSON Web Tokens with HMAC-SHA-256 (RFC 7519, RFC 7515).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use std::time::{Duration, SystemTime};

/// The key that servers under test are given.
pub const KEY: &[u8] = b"a key of the test servers alone";

/// A token of `user` that is good until `seconds` from now; of the past with less than 0.
///
/// # Panics
/// If the clock stands before 1970.
#[must_use]
pub fn jwt(user: &str, seconds: i64) -> String {
    signed(user, seconds, None)
}

/// The same for this audience.
///
/// # Panics
/// If the clock stands before 1970.
#[must_use]
pub fn jwt_for(audience: &str, user: &str, seconds: i64) -> String {
    signed(user, seconds, Some(audience))
}

fn signed(user: &str, seconds: i64, audience: Option<&str>) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let now = i64::try_from(now).unwrap_or(0);
    let (from, until) = (now.min(now + seconds) - 3600, now + seconds);
    let head = serde_json::json!({ "alg": "HS256", "typ": "JWT" });
    let mut body =
        serde_json::json!({ "sub": user, "iat": from, "nbf": from, "exp": until, "scope": "mail" });
    if let Some(audience) = audience {
        body["aud"] = audience.into();
    }
    let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&head), encode(&body));
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY).expect("a key");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
