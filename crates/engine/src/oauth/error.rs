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

/// What to do for whoever types options; then, for everybody else, what happened and what to do, a sentence each.
type Meaning = (&'static str, &'static str, &'static str);

const CONSENT: Meaning = (
    "an administrator has to consent once to this application (admin consent)",
    "Your organisation has not allowed this program to read mail yet.",
    "Ask its administrator to allow it once; then log in again.",
);
const LATER: Meaning = (
    "run the same command again later",
    "The provider could not answer just now.",
    "Try again in a few minutes.",
);

/// What a refusal means, by what the code or the description holds. Codes: RFC 6749 5.2 and 4.1.2.1, RFC 8628 3.5; AADSTS: Microsoft's page of Entra error codes; Google's: its page on errors of OAuth for installed applications.
const MEANINGS: &[(&str, Meaning)] = &[
    ("AADSTS65001", CONSENT),
    ("AADSTS90094", CONSENT),
    (
        "AADSTS7000218",
        (
            "allow public client flows for the application, or give its secret",
            "The provider wants a secret from the registered program.",
            "Give its secret, or let whoever registered it allow “public client flows” there.",
        ),
    ),
    (
        "AADSTS7000215",
        (
            "the secret is wrong: give its value, not its id",
            "The secret of the registered program is not the right one.",
            "Give the secret’s value, not its id.",
        ),
    ),
    (
        "AADSTS7000222",
        (
            "the secret of the application has expired: make a new one",
            "The secret of the registered program has expired.",
            "Make a new one where the program is registered.",
        ),
    ),
    (
        "AADSTS700016",
        (
            "the application is not known in this tenant: check the client id and --from-oauth-tenant",
            "Your organisation does not know the registered program.",
            "Check the client id, and that the program was registered in this organisation.",
        ),
    ),
    (
        "AADSTS700027",
        (
            "the certificate is not the one registered with the application",
            "The certificate is not the one that was registered with the program.",
            "Use the registered one, or register this one.",
        ),
    ),
    (
        "AADSTS50105",
        (
            "the administrator has to assign this user to the application",
            "You may not use the registered program yet.",
            "Ask your administrator to assign you to it.",
        ),
    ),
    (
        "AADSTS53003",
        (
            "a Conditional Access policy blocks this login (often the device code): log in by the browser",
            "A rule of your organisation forbids this way to log in.",
            "Log in in the browser; if that is forbidden, too, ask your administrator.",
        ),
    ),
    (
        "AADSTS50076",
        (
            "log in by the browser, where the second step can be done",
            "The provider asks for a second step.",
            "Log in in the browser, where it can be done.",
        ),
    ),
    (
        "AADSTS50079",
        (
            "log in by the browser, where the second step can be set up",
            "The provider wants a second step to be set up first.",
            "Log in in the browser, where it can be set up.",
        ),
    ),
    (
        "admin_policy_enforced",
        (
            "the administrator of this domain does not allow this application: ask for it to be trusted",
            "The administrator of your organisation does not allow this program.",
            "Ask for it to be trusted.",
        ),
    ),
    (
        "org_internal",
        (
            "this application is for another organisation: use a client id of your own",
            "This program was registered for the people of another organisation.",
            "Use a client id of your own.",
        ),
    ),
    (
        "redirect_uri_mismatch",
        (
            "register the client as a desktop application",
            "The program was registered as one of another kind.",
            "Register it as a desktop application.",
        ),
    ),
    (
        "invalid_client",
        (
            "check the client id and its secret or certificate",
            "The provider does not know the registered program by what was given.",
            "Check the client id, and its secret or certificate.",
        ),
    ),
    (
        "unauthorized_client",
        (
            "the client may not do this: check its kind, and for a service account its domain-wide delegation",
            "The registered program may not do this.",
            "Check what kind of program was registered; an account that acts for others needs the leave of the whole organisation.",
        ),
    ),
    (
        "invalid_scope",
        (
            "the client may not ask for this scope: add it where the client is registered",
            "The registered program may not ask for mail.",
            "Allow it to, where it is registered.",
        ),
    ),
    (
        "unsupported_grant_type",
        (
            "this issuer has no such way to log in: choose another with --from-oauth-flow",
            "The provider has no such way to log in.",
            "Choose another one.",
        ),
    ),
    (
        "invalid_grant",
        (
            "log in again: the grant was used, withdrawn or has expired; check this machine's clock, too",
            "The provider did not accept the login.",
            "Log in again; see that this computer’s clock is right.",
        ),
    ),
    (
        "access_denied",
        (
            "whoever was asked said no; log in again and allow access to mail",
            "At the provider’s page it was not allowed to read your mail.",
            "Log in again, and allow it.",
        ),
    ),
    (
        "expired_token",
        (
            "the code was not entered in time: run the same command again",
            "The code was not entered in time.",
            "Try again.",
        ),
    ),
    ("temporarily_unavailable", LATER),
    ("server_error", LATER),
];

const UNREACHABLE: Meaning = (
    "check the network, and the address of the issuer",
    "The provider’s login could not be reached.",
    "Check this computer’s network; then try again.",
);
const BAD_ANSWER: Meaning = (
    "check the address of the issuer",
    "The provider’s login gave an answer that makes no sense.",
    "Check its address; then ask the provider, with the details.",
);
const UNKNOWN: Meaning = (
    "`mailhaul docs login oauth` says what has to be set up",
    "The provider’s login refused.",
    "Ask the provider, or whoever registered the program there, with the details.",
);
const TOO_LATE: Meaning =
    ("run the same command again", "Nobody logged in within the time that the provider gives.", "Try again.");
const NOBODY_THERE: Meaning = (
    "run `mailhaul check` with the same options in a terminal once, and log in",
    "Somebody has to log in, and nobody is there to be asked.",
    "Start Mailhaul in a terminal, and log in once.",
);
const NO_SUCH_WAY: Meaning = (
    "choose another way: --from-oauth-flow",
    "The provider offers no such way to log in.",
    "Choose another one.",
);
const KEY: Meaning = (
    "give the key as the provider's console made it",
    "The key cannot be used.",
    "Give it as the provider made it.",
);
const MACHINE: Meaning = (
    "this is a fault of this machine",
    "This computer could not do the login.",
    "Try again; if it stays like this, show the details to somebody who knows this computer.",
);
/// Those that no code stands for.
const OTHERS: [Meaning; 8] =
    [UNREACHABLE, BAD_ANSWER, UNKNOWN, TOO_LATE, NOBODY_THERE, NO_SUCH_WAY, KEY, MACHINE];

impl OAuthError {
    /// What a person can do next.
    pub fn hint(&self) -> &'static str {
        self.meaning().0
    }

    fn meaning(&self) -> Meaning {
        match self {
            Self::Unreachable(_) => UNREACHABLE,
            Self::BadAnswer(_) => BAD_ANSWER,
            Self::Refused { code, description } => {
                let fits = |(word, _): &&(&str, Meaning)| code == word || description.contains(word);
                MEANINGS.iter().find(fits).map_or(UNKNOWN, |(_, meaning)| *meaning)
            }
            Self::TooLate => TOO_LATE,
            Self::NobodyThere => NOBODY_THERE,
            Self::NoSuchWay(..) => NO_SUCH_WAY,
            Self::Key(_) => KEY,
            Self::Machine(_) => MACHINE,
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

/// For somebody who types no commands: what happened, what to do, and the error itself without the hint, which may name options; of
/// an error that became [`OAuthError::words`]. `None` where these are the words of something else.
pub(crate) fn plainly(words: &str) -> Option<(&'static str, &'static str, &str)> {
    let all = MEANINGS.iter().map(|(_, meaning)| meaning).chain(&OTHERS);
    all.into_iter().find_map(|(hint, what, next)| {
        let error = words.strip_suffix(hint)?.strip_suffix("; ")?;
        Some((*what, *next, error))
    })
}

/// A refusal for each that something is known of.
#[cfg(test)]
pub(crate) fn known_refusals() -> impl Iterator<Item = OAuthError> {
    MEANINGS.iter().map(|(word, _)| OAuthError::Refused {
        code: (*word).to_owned(),
        description: "its own words".to_owned(),
    })
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
