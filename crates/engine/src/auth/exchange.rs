//! What each mechanism says: its first message, and its answers.

use super::scram::{Bound, Hash, Scram, name};
use super::{Binding, Mechanism};
use crate::limits::{SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN};
use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use zeroize::Zeroizing;

/// Who logs in, and where.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Whose secret it is.
    pub authenticate: &'a str,
    /// In whose name, if not that one's.
    pub authorize: Option<&'a str>,
    /// The server, for mechanisms that name it.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
}

/// Why an exchange is broken off. None of these quotes a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The server's last word does not prove that it knows the password.
    #[error("it did not prove that it knows the password: this may be another server than it says it is")]
    Forged,
    /// It asks for absurdly little or much work.
    #[error("it asks for an iteration count outside of {SCRAM_ITERATIONS_MIN} to {SCRAM_ITERATIONS_MAX}")]
    Iterations,
    /// Not what RFC 5802 allows.
    #[error("its answer is not SCRAM: {0}")]
    NotScram(&'static str),
    /// SASLprep (RFC 4013) refuses it.
    #[error("the {0} has characters that this mechanism does not allow")]
    Characters(&'static str),
    /// It asks for more than the mechanism has to say.
    #[error("it asks for more than {0} has to say")]
    TooMuch(Mechanism),
    /// A challenge that is no base64.
    #[error("its challenge is no base64")]
    NoBase64,
    /// The system gave no random octets.
    #[error("this machine gives no random numbers")]
    NoRandomness,
}

impl ExchangeError {
    /// What a person can do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Forged | Self::Iterations | Self::NotScram(_) => {
                "check the server's name and its certificate before you give it a password again"
            }
            Self::TooMuch(_) | Self::NoBase64 => {
                "if you trust this server, another mechanism may work: --from-mechanism or --to-mechanism PLAIN"
            }
            Self::Characters(_) => "try --from-mechanism or --to-mechanism PLAIN, or set a simpler password",
            Self::NoRandomness => "this is a fault of this machine",
        }
    }
}

/// One login by one mechanism.
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
    token_error: Option<String>,
}

/// What is still to be said.
enum State {
    /// One message, then nothing more is asked.
    Once(Option<Zeroizing<Vec<u8>>>),
    /// The token, then the end of an error.
    Token(Option<Zeroizing<Vec<u8>>>),
    /// Answers to prompts, the next one last.
    Prompts(Vec<Zeroizing<Vec<u8>>>),
    Cram {
        user: String,
        password: Zeroizing<String>,
        answered: bool,
    },
    Scram {
        scram: Box<Scram>,
        started: bool,
    },
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({})", self.mechanism)
    }
}

impl Exchange {
    /// A login with `secret`, which is a password, a token, or empty for EXTERNAL. `binding`: what the connection can be
    /// bound to; `server_binds`: the server offers a mechanism that does.
    pub fn new(
        mechanism: Mechanism,
        who: &Who<'_>,
        secret: &str,
        binding: Option<Binding>,
        server_binds: bool,
    ) -> Result<Self, ExchangeError> {
        use Mechanism as M;
        let octets = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
        let bound = match (mechanism.binds(), binding, server_binds) {
            (true, Some(binding), _) => Bound::To(binding),
            (false, Some(_), false) => Bound::ServerCannot,
            _ => Bound::Not,
        };
        let scram = |hash, bound| {
            let scram = Box::new(Scram::new(hash, who, secret, bound)?);
            Ok(State::Scram { scram, started: false })
        };
        let acts = who.authorize.unwrap_or(who.authenticate);
        let state = match mechanism {
            M::External => State::Once(Some(octets(acts))),
            M::Plain => State::Once(Some(plain(who.authorize.unwrap_or(""), who.authenticate, secret))),
            M::OAuthBearer => State::Token(Some(oauth_bearer(acts, who.host, who.port, secret)?)),
            M::XOAuth2 => State::Token(Some(xoauth2(acts, secret))),
            M::Login | M::LoginCommand => State::Prompts(vec![octets(secret), octets(who.authenticate)]),
            M::CramMd5 => State::Cram {
                user: who.authenticate.to_owned(),
                password: Zeroizing::new(secret.to_owned()),
                answered: false,
            },
            M::ScramSha256Plus | M::ScramSha256 => scram(Hash::Sha256, bound)?,
            M::ScramSha1Plus | M::ScramSha1 => scram(Hash::Sha1, bound)?,
        };
        Ok(Self { mechanism, state, token_error: None })
    }

    /// The message that may go with the command (SASL-IR, RFC 4959), or else answers the first, empty challenge; `None`
    /// where the server speaks first. Once.
    pub fn initial(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        match &mut self.state {
            State::Once(message) | State::Token(message) => message.take(),
            State::Scram { scram, started } if !*started => {
                *started = true;
                Some(Zeroizing::new(scram.first()))
            }
            _ => None,
        }
    }

    /// The answer to a challenge. That of SCRAM takes up to a second of work.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, ExchangeError> {
        let too_much = ExchangeError::TooMuch(self.mechanism);
        match &mut self.state {
            State::Once(_) => Err(too_much),
            State::Token(_) if self.token_error.is_some() => Err(too_much),
            State::Token(_) => {
                self.token_error = Some(token_error(challenge));
                // RFC 7628, 3.2.3; Google's XOAUTH2 page: an empty answer.
                let end: &[u8] = if self.mechanism == Mechanism::OAuthBearer { b"\x01" } else { b"" };
                Ok(Zeroizing::new(end.to_vec()))
            }
            State::Prompts(answers) => answers.pop().ok_or(too_much),
            State::Cram { answered: true, .. } => Err(too_much),
            State::Cram { user, password, answered } => {
                *answered = true;
                Ok(cram_md5(user, password, challenge))
            }
            State::Scram { scram, .. } if scram.is_proven() => Err(too_much),
            State::Scram { scram, .. } => scram.respond(challenge).map(Zeroizing::new),
        }
    }

    /// After the server's OK: whether it may be believed. A server that was to prove itself must have done so.
    pub fn finish(&self) -> Result<(), ExchangeError> {
        match &self.state {
            State::Scram { scram, .. } if !scram.is_proven() => Err(ExchangeError::Forged),
            _ => Ok(()),
        }
    }

    /// The next answer takes long enough to be done beside everything else.
    pub fn is_work(&self) -> bool {
        matches!(self.state, State::Scram { .. })
    }

    /// What the server said inside the exchange of why it refuses: an error of SCRAM, or that of a token.
    pub fn server_error(&self) -> Option<&str> {
        match &self.state {
            State::Scram { scram, .. } => scram.server_error.as_deref(),
            _ => self.token_error.as_deref(),
        }
    }
}

/// Base64, as it goes with AUTHENTICATE (SASL-IR, RFC 4959).
pub fn encode(message: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(message))
}

/// The message of PLAIN (RFC 4616): who acts, who proves it, and how.
fn plain(authorize: &str, authenticate: &str, password: &str) -> Zeroizing<Vec<u8>> {
    let parts = [authorize.as_bytes(), authenticate.as_bytes(), password.as_bytes()];
    Zeroizing::new(parts.join(&0))
}

/// RFC 7628, 3.1.
fn oauth_bearer(user: &str, host: &str, port: u16, token: &str) -> Result<Zeroizing<Vec<u8>>, ExchangeError> {
    let user = name(user)?;
    let text =
        Zeroizing::new(format!("n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01"));
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

/// Google's and Microsoft's page on XOAUTH2.
fn xoauth2(user: &str, token: &str) -> Zeroizing<Vec<u8>> {
    let text = Zeroizing::new(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
    Zeroizing::new(text.as_bytes().to_vec())
}

/// RFC 2195: the user name, and the challenge under the password's HMAC.
fn cram_md5(user: &str, password: &str, challenge: &[u8]) -> Zeroizing<Vec<u8>> {
    use std::fmt::Write as _;
    let mut text = format!("{user} ");
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<md5::Md5>::new_from_slice(password.as_bytes()) {
        mac.update(challenge);
        for octet in mac.finalize().into_bytes() {
            let _ = write!(text, "{octet:02x}");
        }
    }
    Zeroizing::new(text.into_bytes())
}

/// Letters kept of one field of an error.
const ERROR_LETTERS_MAX: usize = 100;

/// The server's error about a token (RFC 7628, 3.2.2): its JSON, in words.
fn token_error(challenge: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(challenge).unwrap_or_default();
    let field = |name: &str| {
        let text = json.get(name)?.as_str()?;
        let plain = text.chars().filter(|c| !c.is_control()).take(ERROR_LETTERS_MAX).collect::<String>();
        (!plain.is_empty()).then(|| format!("{name} {plain}"))
    };
    let words: Vec<_> =
        ["status", "scope", "schemes", "openid-configuration"].into_iter().filter_map(field).collect();
    if words.is_empty() { "no reason given".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIM: Who<'_> = Who { authenticate: "tim", authorize: None, host: "server.example.com", port: 143 };
    const ADMIN: Who<'_> = Who { authenticate: "admin", authorize: Some("ann"), ..TIM };

    fn exchange(mechanism: Mechanism, who: &Who<'_>, secret: &str) -> Exchange {
        Exchange::new(mechanism, who, secret, None, false).unwrap()
    }

    fn first(mechanism: Mechanism, who: &Who<'_>, secret: &str) -> Option<String> {
        let message = exchange(mechanism, who, secret).initial()?;
        Some(String::from_utf8(message.to_vec()).unwrap())
    }

    #[test]
    fn first_messages_are_those_of_the_rfcs() {
        use Mechanism as M;
        for (mechanism, who, secret, message) in [
            (M::Plain, TIM, "tanstaaftanstaaf", "\0tim\0tanstaaftanstaaf"),
            (M::Plain, ADMIN, "x", "ann\0admin\0x"),
            (M::External, TIM, "", "tim"),
            (M::External, ADMIN, "", "ann"),
            (
                M::OAuthBearer,
                Who { authenticate: "user@example.com", ..TIM },
                "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
                "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer \
                 vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
            ),
            (M::XOAuth2, TIM, "ya29.vF9dft4", "user=tim\x01auth=Bearer ya29.vF9dft4\x01\x01"),
            (M::XOAuth2, ADMIN, "t", "user=ann\x01auth=Bearer t\x01\x01"),
        ] {
            assert_eq!(first(mechanism, &who, secret).as_deref(), Some(message), "{mechanism}");
        }
        assert_eq!(first(M::Login, &TIM, "x"), None);
        assert_eq!(first(M::CramMd5, &TIM, "x"), None);
        assert_eq!(&encode(b"\0a\0b")[..], "AGEAYg==");
    }

    #[test]
    fn the_example_of_rfc_2195() {
        let mut cram = exchange(Mechanism::CramMd5, &TIM, "tanstaaftanstaaf");
        let answer = cram.respond(b"<1896.697170952@postoffice.reston.mci.net>").unwrap();
        assert_eq!(&answer[..], b"tim b913a602c7eda7a495b4e6e7334d3890");
        assert_eq!(cram.respond(b"more"), Err(ExchangeError::TooMuch(Mechanism::CramMd5)));
    }

    #[test]
    fn login_answers_two_prompts_and_no_third() {
        let mut login = exchange(Mechanism::Login, &TIM, "secret");
        assert_eq!(&login.respond(b"User Name\0").unwrap()[..], b"tim");
        assert_eq!(&login.respond(b"Password\0").unwrap()[..], b"secret");
        assert_eq!(login.respond(b"And?"), Err(ExchangeError::TooMuch(Mechanism::Login)));
    }

    #[test]
    fn an_error_about_a_token_is_ended_as_its_mechanism_wants_and_kept_in_words() {
        let error = br#"{"status":"invalid_token","scope":"mail\u0007","schemes":"bearer"}"#;
        for (mechanism, end) in [(Mechanism::OAuthBearer, &b"\x01"[..]), (Mechanism::XOAuth2, b"")] {
            let mut token = exchange(mechanism, &TIM, "t");
            token.initial().unwrap();
            assert_eq!(&token.respond(error).unwrap()[..], end);
            assert_eq!(token.server_error(), Some("status invalid_token, scope mail, schemes bearer"));
            assert_eq!(token.respond(error), Err(ExchangeError::TooMuch(mechanism)));
        }
        let mut odd = exchange(Mechanism::XOAuth2, &TIM, "t");
        odd.respond(b"[").unwrap();
        assert_eq!(odd.server_error(), Some("no reason given"));
    }

    #[test]
    fn an_ok_before_the_servers_proof_is_not_believed() {
        let mut scram = exchange(Mechanism::ScramSha256, &TIM, "x");
        scram.initial().unwrap();
        assert_eq!(scram.finish(), Err(ExchangeError::Forged));
        assert_eq!(exchange(Mechanism::Plain, &TIM, "x").finish(), Ok(()));
    }

    #[test]
    fn no_secret_shows_in_debug_or_errors() {
        for mechanism in Mechanism::ALL {
            let shown = format!("{:?}", exchange(mechanism, &TIM, "hunter2"));
            assert_eq!(shown, format!("Exchange({mechanism})"));
        }
        let wrong = Exchange::new(Mechanism::ScramSha1, &TIM, "hunter2\u{7}", None, false).unwrap_err();
        assert!(!format!("{wrong:?} {wrong}").contains("hunter"));
    }
}
