//! OAuth 2: access tokens for mail, from a person in a browser, by a code on another device, or for an application.
//!
//! The library opens no browser and keeps no file: whoever embeds it shows addresses and codes ([`Person`]) and keeps the
//! refresh token ([`Store`]). What is kept is the refresh token alone; access tokens live in memory, as long as they live.

mod error;
mod flow;
mod issuer;
mod jwt;
mod provider;
mod seal;

pub use error::OAuthError;
#[cfg(test)]
pub(crate) use error::known_refusals;
pub(crate) use error::plainly;
pub use flow::{Person, Talk};
pub use issuer::{
    GOOGLE_SCOPE, GOOGLE_SERVICE_ACCOUNT_SCOPE, Issuer, MICROSOFT_APPLICATION_SCOPE, MICROSOFT_SCOPE,
};
pub use jwt::{ServiceAccount, SigningKey};
pub use provider::{How, OAuth, Store};
pub use seal::{is_sealed, seal, unseal};

use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Who asks for tokens, as registered with the issuer.
#[derive(Clone)]
pub struct Client {
    /// The client id.
    pub id: String,
    /// How the client proves that it is this one.
    pub proof: ClientProof,
}

/// How a client proves who it is.
#[derive(Clone)]
pub enum ClientProof {
    /// Not at all: an installed application (RFC 8252, 8.4).
    Nothing,
    /// A secret.
    Secret(Zeroizing<String>),
    /// A certificate: its key signs an assertion (RFC 7523, 2.2).
    Certificate(Arc<SigningKey>),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.id)
    }
}

/// What an issuer gave.
pub(crate) struct Tokens {
    access: Zeroizing<String>,
    /// Seconds that it lives, as the issuer says.
    lives: Option<u64>,
    refresh: Option<Zeroizing<String>>,
}
