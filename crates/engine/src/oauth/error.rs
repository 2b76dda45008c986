//! What can go wrong on the way to a token, in words, with what to do next.

/// Why there is no token. No variant holds a secret: an issuer's description is kept, bounded and without control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OAuthError {
    /// The issuer could not be asked.
    #[error("the issuer of tokens cannot be asked: {0}")]
    Unreachable(String),
    /// It answered with what the RFCs do not allow.
    #[error("the issuer of tokens gave an answer that makes no sense: {0}")]
    BadAnswer(String),
    /// It refused, with a code of RFC 6749, 5.2 and its words.
    #[error("the issuer of tokens refused: {code}{}", if description.is_empty() { String::new() } else { format!(" ({description})") })]
    Refused {
        /// The code.
        code: String,
        /// Its words, shortened.
        description: String,
    },
    /// Nobody logged in within the time that there was.
    #[error("nobody logged in within the time that the issuer gives")]
    TooLate,
    /// Somebody would have to log in, and nobody is there.
    #[error("somebody has to log in, and there is no terminal to say so")]
    NobodyThere,
    /// The issuer has no such way.
    #[error("{0} offers no login {1}")]
    NoSuchWay(String, &'static str),
    /// A key or a file that cannot be used; it is not quoted.
    #[error("the key cannot be used: {0}")]
    Key(&'static str),
    /// This machine failed.
    #[error("this machine: {0}")]
    Machine(String),
}

/// What to do, by what the code or the description holds. Codes: RFC 6749 5.2 and 4.1.2.1, RFC 8628 3.5; AADSTS: Microsoft's
/// page of Entra error codes; Google's: its page on errors of OAuth for installed applications.
const HINTS: &[(&str, &str)] = &[
    ("AADSTS65001", "an administrator has to consent once to this application (admin consent)"),
    ("AADSTS90094", "an administrator has to consent once to this application (admin consent)"),
    ("AADSTS7000218", "allow public client flows for the application, or give its secret"),
    ("AADSTS7000215", "the secret is wrong: give its value, not its id"),
    ("AADSTS7000222", "the secret of the application has expired: make a new one"),
    (
        "AADSTS700016",
        "the application is not known in this tenant: check the client id and --from-oauth-tenant",
    ),
    ("AADSTS700027", "the certificate is not the one registered with the application"),
    ("AADSTS50105", "the administrator has to assign this user to the application"),
    (
        "AADSTS53003",
        "a Conditional Access policy blocks this login (often the device code): log in by the browser",
    ),
    ("AADSTS50076", "log in by the browser, where the second step can be done"),
    ("AADSTS50079", "log in by the browser, where the second step can be set up"),
    (
        "admin_policy_enforced",
        "the administrator of this domain does not allow this application: ask for it to be trusted",
    ),
    ("org_internal", "this application is for another organisation: use a client id of your own"),
    ("redirect_uri_mismatch", "register the client as a desktop application"),
    ("invalid_client", "check the client id and its secret or certificate"),
    (
        "unauthorized_client",
        "the client may not do this: check its kind, and for a service account its domain-wide delegation",
    ),
    ("invalid_scope", "the client may not ask for this scope: add it where the client is registered"),
    (
        "unsupported_grant_type",
        "this issuer has no such way to log in: choose another with --from-oauth-flow",
    ),
    (
        "invalid_grant",
        "log in again: the grant was used, withdrawn or has expired; check this machine's clock, too",
    ),
    ("access_denied", "whoever was asked said no; log in again and allow access to mail"),
    ("expired_token", "the code was not entered in time: run the same command again"),
    ("temporarily_unavailable", "run the same command again later"),
    ("server_error", "run the same command again later"),
];

impl OAuthError {
    /// What a person can do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "check the network, and the address of the issuer",
            Self::BadAnswer(_) => "check the address of the issuer",
            Self::Refused { code, description } => {
                let fits = |(word, _): &&(&str, &str)| code == word || description.contains(word);
                HINTS
                    .iter()
                    .find(fits)
                    .map_or("`mailhaul docs login oauth` says what has to be set up", |(_, hint)| hint)
            }
            Self::TooLate => "run the same command again",
            Self::NobodyThere => "run `mailhaul check` with the same options in a terminal once, and log in",
            Self::NoSuchWay(..) => "choose another way: --from-oauth-flow",
            Self::Key(_) => "give the key as the provider's console made it",
            Self::Machine(_) => "this is a fault of this machine",
        }
    }

    /// In words, with the next step: for who only shows text.
    pub fn words(&self) -> String {
        format!("{self}; {}", self.hint())
    }

    /// The code of a refusal.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_an_issuer_become_the_next_step() {
        for (code, description, step) in [
            ("invalid_grant", "AADSTS65001: The user or administrator has not consented", "consent"),
            ("invalid_client", "AADSTS7000215: Invalid client secret provided.", "not its id"),
            ("invalid_grant", "", "log in again"),
            ("access_denied", "", "said no"),
            (
                "unauthorized_client",
                "Client is unauthorized to retrieve access tokens",
                "domain-wide delegation",
            ),
            ("something_new", "", "mailhaul docs login oauth"),
        ] {
            let error = OAuthError::Refused { code: code.into(), description: description.into() };
            assert!(error.words().contains(step) && error.words().contains(code), "{}", error.words());
        }
    }
}
