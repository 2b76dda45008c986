//! Pure: which mechanisms may be used, the strongest first.
//!
//! The order says what an eavesdropper, a forged server and a thief of the server's files gain. What the server never
//! sees (SCRAM) comes before what it sees (PLAIN). CRAM-MD5 comes before PLAIN in clear text, where it is better than
//! nothing, and after it inside TLS, where it protects from nobody and fails wherever the server keeps passwords hashed
//! (QUIRK: Courier and Dovecot announce it for accounts that have no such secret, and refuse the right password [T]).

use super::Mechanism;
use crate::error::{Refusal, RefusalClass};
use mailhaul_imap::Capabilities;

/// What is known before a login.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What the server announces.
    pub capabilities: &'a Capabilities,
    /// What we have to show.
    pub proof: Proof,
    /// The connection is encrypted.
    pub encrypted: bool,
    /// The person wrote `imap+insecure`: secrets may go in clear text.
    pub clear_allowed: bool,
    /// The TLS connection can be bound to.
    pub can_bind: bool,
    /// An administrator logs in for another user.
    pub for_another: bool,
    /// No other mechanism than this one.
    pub only: Option<Mechanism>,
}

/// What we have to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A password.
    Password,
    /// An access token.
    Token,
    /// A certificate, shown in the TLS handshake already.
    Certificate,
}

/// Why there is no way to log in. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMechanism {
    /// The server takes secrets only over TLS (LOGINDISABLED), or we give them only there.
    #[error("it takes no password over this connection (LOGINDISABLED)")]
    NeedsTls,
    /// Whoever was named cannot be named with what the server offers.
    #[error("it offers no mechanism by which somebody can log in for another user (it offers {0})")]
    NotForAnother(String),
    /// None that fits what we have.
    #[error("it offers no way to log in with {0} (it offers {1})")]
    NotOffered(&'static str, String),
    /// The one that was asked for is not there.
    #[error("it does not offer {0} (it offers {1})")]
    NotThisOne(Mechanism, String),
}

impl NoMechanism {
    /// What a person can do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NeedsTls => "use imaps:// or imap:// (STARTTLS)",
            Self::NotForAnother(_) => {
                "leave --from-auth-user or --to-auth-user away, and write the administrator into the user name as this \
                 server expects it (`mailhaul docs login for-another-user`)"
            }
            Self::NotOffered("a token", _) => "use a password, or an app password of this provider",
            Self::NotOffered(..) => "this provider may want OAuth; `mailhaul docs login oauth` says how",
            Self::NotThisOne(..) => "leave --from-mechanism or --to-mechanism away",
        }
    }
}

/// The mechanisms that may be used, the strongest first; never none.
///
/// Only the first is tried, unless the server says that it does not know it ([`is_unsupported`]); then the next one that
/// [`may_follow`].
pub fn choices(offer: &Offer<'_>) -> Result<Vec<Mechanism>, NoMechanism> {
    let Offer { capabilities, proof, encrypted, clear_allowed, can_bind, for_another, only } = *offer;
    let order = order(proof, encrypted);
    let offered = |m: &Mechanism| match m {
        Mechanism::LoginCommand => !capabilities.login_disabled(),
        // QUIRK: a server that lists EXTERNAL only once it has seen a certificate is not known; all list it or take none.
        m => capabilities.auth(m.name().as_bytes()),
    };
    let listed = || {
        let names: Vec<_> =
            capabilities.auth_mechanisms().map(|n| String::from_utf8_lossy(&n).into_owned()).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    let mut fit: Vec<_> = order.iter().copied().filter(|m| !m.binds() || can_bind).collect();
    if let Some(only) = only {
        fit.retain(|m| *m == only);
    }
    fit.retain(offered);
    if fit.is_empty() {
        return Err(match (only, proof) {
            (Some(only), _) => NoMechanism::NotThisOne(only, listed()),
            (None, Proof::Password) if capabilities.login_disabled() => NoMechanism::NeedsTls,
            (None, Proof::Password) => NoMechanism::NotOffered("a password", listed()),
            (None, Proof::Token) => NoMechanism::NotOffered("a token", listed()),
            (None, Proof::Certificate) => NoMechanism::NotOffered("a certificate", listed()),
        });
    }
    fit.retain(|m| !for_another || m.authorizes());
    if fit.is_empty() {
        return Err(NoMechanism::NotForAnother(listed()));
    }
    fit.retain(|m| encrypted || clear_allowed || !m.sends_secret());
    if fit.is_empty() { Err(NoMechanism::NeedsTls) } else { Ok(fit) }
}

/// Whether `next` may be tried after the server said that it knows none of `refused`.
///
/// A binding that is refused is the work of an odd server, or of somebody between us and it who can forge the refusal. Such a
/// one gets a proof that it cannot use elsewhere (SCRAM), never the password, whatever else is refused after it.
pub fn may_follow(refused: &[Mechanism], next: Mechanism) -> bool {
    !refused.iter().any(|m| m.binds()) || matches!(next, Mechanism::ScramSha256 | Mechanism::ScramSha1)
}

fn order(proof: Proof, encrypted: bool) -> &'static [Mechanism] {
    use Mechanism as M;
    match (proof, encrypted) {
        (Proof::Certificate, _) => &[M::External],
        (Proof::Token, _) => &[M::OAuthBearer, M::XOAuth2],
        (Proof::Password, true) => &[
            M::ScramSha256Plus,
            M::ScramSha1Plus,
            M::ScramSha256,
            M::ScramSha1,
            M::Plain,
            M::Login,
            M::LoginCommand,
            M::CramMd5,
        ],
        (Proof::Password, false) => {
            &[M::ScramSha256, M::ScramSha1, M::CramMd5, M::Plain, M::Login, M::LoginCommand]
        }
    }
}

/// QUIRK: how servers say that they do not know a mechanism. Dovecot 2.3 and Cyrus 3.6 by their source [S].
const UNSUPPORTED: &[&str] = &[
    "unsupported authentication mechanism",
    "no mechanism available",
    "mechanism not supported",
    "unsupported mechanism",
    "unknown mechanism",
];

/// QUIRK: Cyrus 3.6 announces SCRAM-...-PLUS also over TLS 1.3, knows only `tls-unique`, takes any other name, and finds with
/// these words that the data are not its own, before it looks at the proof: a wrong password is `authentication failure` [M,
/// `login_real::cyrus_takes_its_strongest_mechanism`].
const OTHER_BINDING: &str = "bad protocol / cancel";

/// SCRAM's own words for a binding that this server does not have (RFC 5802, 7): no password was judged.
const NO_SUCH_BINDING: &[&str] = &["unsupported-channel-binding-type", "channel-binding-not-supported"];

/// True when the server refused the mechanism and not whoever wants to log in, so that another try costs nothing: it said
/// so, or it did not understand the command and asked nothing. `challenged`: it had asked for more. `server_error`:
/// what SCRAM's last message held.
pub fn is_unsupported(
    mechanism: Mechanism,
    refusal: &Refusal,
    challenged: bool,
    server_error: Option<&str>,
) -> bool {
    if server_error.is_some_and(|e| NO_SUCH_BINDING.contains(&e)) {
        return true;
    }
    let words = refusal.text.to_ascii_lowercase();
    if UNSUPPORTED.iter().any(|u| words.contains(u)) {
        return true;
    }
    if mechanism.binds() && words.contains(OTHER_BINDING) {
        return true;
    }
    let says_nothing_of_people =
        matches!(refusal.class, RefusalClass::Syntax | RefusalClass::Cannot | RefusalClass::Unknown);
    let by_code = refusal.code.as_deref() == Some("CANNOT") && says_nothing_of_people;
    !challenged && (by_code || (refusal.bad && refusal.class == RefusalClass::Syntax))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mailhaul_imap::Capabilities;

    fn names(offer: &Offer<'_>) -> String {
        match choices(offer) {
            Ok(all) => all.iter().map(|m| m.name()).collect::<Vec<_>>().join(" "),
            Err(none) => format!("! {none}"),
        }
    }

    const ALL: &str = "AUTH=LOGIN AUTH=PLAIN AUTH=CRAM-MD5 AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1-PLUS \
                       AUTH=SCRAM-SHA-256-PLUS AUTH=XOAUTH2 AUTH=OAUTHBEARER AUTH=EXTERNAL";

    #[test]
    fn the_strongest_that_fits_comes_first() {
        use Proof::{Certificate, Password, Token};
        const TLS: u8 = 1;
        const CLEAR: u8 = 2;
        const BIND: u8 = 4;
        const OTHER: u8 = 8;
        for (capabilities, proof, state, expected) in [
            (
                ALL,
                Password,
                TLS | BIND,
                "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN LOGIN-COMMAND CRAM-MD5",
            ),
            (ALL, Password, TLS, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN LOGIN-COMMAND CRAM-MD5"),
            (ALL, Password, CLEAR, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN LOGIN-COMMAND"),
            // Without a written word no secret goes in clear text; proofs of it may.
            (ALL, Password, 0, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5"),
            (ALL, Token, TLS, "OAUTHBEARER XOAUTH2"),
            (ALL, Token, 0, "! it takes no password over this connection (LOGINDISABLED)"),
            (ALL, Certificate, TLS, "EXTERNAL"),
            ("AUTH=PLAIN AUTH=LOGIN", Password, TLS, "PLAIN LOGIN LOGIN-COMMAND"),
            ("AUTH=PLAIN LOGINDISABLED", Password, TLS, "PLAIN"),
            ("LOGINDISABLED", Password, CLEAR, "! it takes no password over this connection (LOGINDISABLED)"),
            ("AUTH=PLAIN", Password, 0, "! it takes no password over this connection (LOGINDISABLED)"),
            ("IMAP4rev1", Password, TLS, "LOGIN-COMMAND"),
            ("AUTH=CRAM-MD5", Password, TLS, "LOGIN-COMMAND CRAM-MD5"),
            ("AUTH=CRAM-MD5", Password, CLEAR, "CRAM-MD5 LOGIN-COMMAND"),
            (ALL, Password, TLS | OTHER, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"),
            (
                "AUTH=LOGIN",
                Password,
                TLS | OTHER,
                "! it offers no mechanism by which somebody can log in for another user (it offers LOGIN)",
            ),
            ("AUTH=PLAIN", Token, TLS, "! it offers no way to log in with a token (it offers PLAIN)"),
            ("IMAP4rev1", Token, TLS, "! it offers no way to log in with a token (it offers nothing)"),
            (
                "AUTH=PLAIN",
                Certificate,
                TLS,
                "! it offers no way to log in with a certificate (it offers PLAIN)",
            ),
        ] {
            let capabilities = Capabilities::parse(&Bytes::from(capabilities));
            let is = |bit: u8| state & bit != 0;
            let offer = Offer {
                capabilities: &capabilities,
                proof,
                encrypted: is(TLS),
                clear_allowed: is(CLEAR),
                can_bind: is(BIND),
                for_another: is(OTHER),
                only: None,
            };
            assert_eq!(names(&offer), expected, "{capabilities:?} {proof:?} {state}");
        }
    }

    #[test]
    fn the_one_asked_for_is_used_or_none() {
        let capabilities = Capabilities::parse(&Bytes::from("AUTH=SCRAM-SHA-1 AUTH=PLAIN"));
        let offer = |only| Offer {
            capabilities: &capabilities,
            proof: Proof::Password,
            encrypted: true,
            clear_allowed: false,
            can_bind: false,
            for_another: false,
            only: Some(only),
        };
        assert_eq!(names(&offer(Mechanism::Plain)), "PLAIN");
        let missing = names(&offer(Mechanism::CramMd5));
        assert_eq!(missing, "! it does not offer CRAM-MD5 (it offers SCRAM-SHA-1, PLAIN)");
    }

    #[test]
    fn a_refused_binding_gets_nobody_a_password() {
        let bound = Mechanism::ScramSha256Plus;
        let unbound = [Mechanism::ScramSha256, Mechanism::ScramSha1];
        for refused in [&[bound][..], &[bound, unbound[0]], &[bound, unbound[0], unbound[1]]] {
            let may: Vec<_> = Mechanism::ALL.into_iter().filter(|m| may_follow(refused, *m)).collect();
            assert_eq!(may, unbound, "after {refused:?}");
        }
        assert!(may_follow(&[Mechanism::ScramSha256], Mechanism::Plain));
    }

    #[test]
    fn only_a_refused_mechanism_lets_the_next_be_tried() {
        let refusal = |bad: bool, code: Option<&str>, text: &str| {
            let class = crate::quirks::classify(bad, code, text);
            Refusal { class, bad, code: code.map(str::to_owned), text: text.to_owned() }
        };
        for (bad, code, text, challenged, unsupported) in [
            (false, None, "Unsupported authentication mechanism.", false, true),
            (false, Some("CANNOT"), "not here", false, true),
            (true, None, "Unknown command", false, true),
            (true, None, "Command Argument Error. 11", true, false),
            (true, None, "Request is throttled. Suggested Backoff Time: 1 milliseconds", false, false),
            (true, None, "User is authenticated but not connected.", false, false),
            (false, Some("AUTHENTICATIONFAILED"), "Authentication failed.", false, false),
            (false, None, "AUTHENTICATE failed.", false, false),
            (false, None, "LOGIN failed.", true, false),
        ] {
            let refusal = refusal(bad, code, text);
            let is = is_unsupported(Mechanism::ScramSha1, &refusal, challenged, None);
            assert_eq!(is, unsupported, "{text}");
        }
        let (m, wrong) = (Mechanism::ScramSha1Plus, refusal(false, None, "authentication failure"));
        assert!(is_unsupported(m, &wrong, true, Some("unsupported-channel-binding-type")));
        assert!(!is_unsupported(m, &wrong, true, Some("channel-bindings-dont-match")), "somebody is between");
        assert!(!is_unsupported(m, &wrong, true, Some("invalid-proof")));
        let cyrus = refusal(false, None, "bad protocol / cancel");
        assert!(is_unsupported(m, &cyrus, true, None));
        assert!(!is_unsupported(Mechanism::ScramSha1, &cyrus, false, None), "nothing was to be bound");
    }
}
