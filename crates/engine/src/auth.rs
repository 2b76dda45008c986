//! Proving who we are: which mechanism (pure), and what it says. Nothing here reads or writes a connection.
//!
//! Secrets are wiped when they are dropped, as far as this side keeps them, and show in no error and no `Debug`.

pub mod advice;
mod choice;
mod exchange;
mod scram;
pub mod template;

pub use choice::{NoMechanism, Offer, Proof, choices, is_unsupported, may_follow};
pub use exchange::{Exchange, ExchangeError, Who, encode};

use std::fmt;
use std::str::FromStr;

/// How a login is done: a SASL mechanism of AUTHENTICATE, or the LOGIN command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The client's certificate, shown in the TLS handshake (RFC 4422, appendix A).
    External,
    /// A token (RFC 7628).
    OAuthBearer,
    /// A token, as Google and Microsoft did it before RFC 7628.
    XOAuth2,
    /// RFC 7677, bound to the TLS connection.
    ScramSha256Plus,
    /// RFC 5802, bound to the TLS connection.
    ScramSha1Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802.
    ScramSha1,
    /// RFC 4616: the password itself.
    Plain,
    /// The password itself, in two answers (draft-murchison-sasl-login).
    Login,
    /// The LOGIN command (RFC 9051, 6.2.3): the password itself.
    LoginCommand,
    /// RFC 2195: the server must keep the password, or what is as good.
    CramMd5,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::External,
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::ScramSha256Plus,
        Self::ScramSha1Plus,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::Plain,
        Self::Login,
        Self::LoginCommand,
        Self::CramMd5,
    ];

    /// Its name as SASL has it, and as a person writes it; `LOGIN-COMMAND` for the command.
    pub fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::LoginCommand => "LOGIN-COMMAND",
            Self::CramMd5 => "CRAM-MD5",
        }
    }

    /// It can name another user than the one whose secret is shown (a SASL authorization identity).
    pub fn authorizes(self) -> bool {
        !matches!(self, Self::Login | Self::LoginCommand | Self::CramMd5)
    }

    /// The secret itself goes over the connection.
    pub fn sends_secret(self) -> bool {
        matches!(self, Self::Plain | Self::Login | Self::LoginCommand | Self::OAuthBearer | Self::XOAuth2)
    }

    /// It is bound to the TLS connection (RFC 5056).
    pub fn binds(self) -> bool {
        matches!(self, Self::ScramSha256Plus | Self::ScramSha1Plus)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No mechanism has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of {}", Mechanism::ALL.map(Mechanism::name).join(", "))]
pub struct NotAMechanism;

impl FromStr for Mechanism {
    type Err = NotAMechanism;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|m| m.name().eq_ignore_ascii_case(text)).ok_or(NotAMechanism)
    }
}

/// What ties a login to the TLS connection it goes over (RFC 5929, RFC 9266).
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    /// `tls-exporter` or `tls-server-end-point`.
    pub name: &'static str,
    /// Its octets.
    pub data: Vec<u8>,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
