//! Accounts and fingerprints as people write them: what is accepted prints back to itself, and no error tells a password.

use mailhaul_engine::config::{WrittenAccount, fingerprint};

/// Stands for a password.
const SECRET: &str = "hunter2hunter2";

/// The octets are taken for what a person wrote, alone and with a password in it.
///
/// # Panics
/// If what is accepted does not come back from its own text, or holds what no name may hold, or if a password is accepted
/// or told.
pub fn accounts(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    match WrittenAccount::parse(&text) {
        Ok(WrittenAccount::Mail(address)) => assert_eq!(address, text),
        Ok(WrittenAccount::Url(url)) => {
            let printed = url.to_string();
            assert!(!printed.contains(char::is_control), "{printed:?}");
            assert!(url.endpoint.port > 0 && !url.endpoint.host.is_empty(), "{url:?}");
            assert_eq!(WrittenAccount::parse(&printed), Ok(WrittenAccount::Url(url)), "{text:?}");
        }
        Err(_) => {}
    }
    // Where people put passwords by mistake: after the user, at the end, before the URL.
    for written in [
        format!("{text}:{SECRET}@h"),
        format!("imaps://{text}:{SECRET}@h"),
        format!("{text}:{SECRET}@{text}"),
    ] {
        if let Err(wrong) = WrittenAccount::parse(&written) {
            let told = format!("{wrong} {wrong:?}");
            assert!(!told.contains(SECRET), "{told}");
        } else {
            assert!(
                written.rsplit_once('@').is_some_and(|(before, _)| !before.contains(SECRET)),
                "{written:?}"
            );
        }
    }
    if let Ok(digest) = fingerprint(&text) {
        let printed: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(fingerprint(&printed), Ok(digest));
        assert_eq!(text.replace(':', "").to_ascii_lowercase(), printed);
    }
}
