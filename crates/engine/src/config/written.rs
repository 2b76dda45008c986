//! Pure: accounts and fingerprints as people write them. What is wrong is said without quoting what was written: a
//! password may be in it, in the wrong place.

use super::{Endpoint, Security};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt;

/// An account as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrittenAccount {
    /// `ann@old.example`: a mail address, which names no server.
    Mail(String),
    /// A URL.
    Url(AccountUrl),
}

/// A server, and whose mail: `imaps://ann@old.example:993`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountUrl {
    /// The server.
    pub endpoint: Endpoint,
    /// The user name, decoded; empty where the URL has an empty one.
    pub user: Option<String>,
}

/// What is wrong with an account or a fingerprint as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrittenError {
    /// No scheme, and no `@`.
    #[error("it is neither a mail address nor a URL")]
    NoAccount,
    /// Another scheme than ours.
    #[error("the scheme of the URL is not known")]
    Scheme,
    /// Something that looks like `user:password`.
    #[error("a password does not belong there: others can see it")]
    Password,
    /// The user name is not UTF-8 when decoded, or has control characters.
    #[error("the user name has characters that no user name has")]
    User,
    /// No host name, or one with characters that no host name has.
    #[error("there is no name of a server in it")]
    Host,
    /// Something else than 1 to 65535 after the host.
    #[error("what follows the name of the server is no port")]
    Port,
    /// No 64 hexadecimal digits.
    #[error("it is no SHA-256: 64 hexadecimal digits are expected")]
    Fingerprint,
}

/// The schemes, their protection and their default ports.
const SCHEMES: [(&str, Security, u16); 3] = [
    ("imaps", Security::Tls, 993),
    ("imap", Security::StartTls, 143),
    ("imap+insecure", Security::Clear, 143),
];

/// All but what stays as it is in the user part of a URL: what RFC 3986 calls unreserved, and `@`, since the last one ends the user. A
/// `%4` would be an argument to a command file of Windows.
const NOT_IN_USER: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

impl WrittenAccount {
    /// Reads what a person wrote.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub fn parse(text: &str) -> Result<Self, WrittenError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text.rsplit_once('@') {
                Some((local, _)) if local.contains(':') => Err(WrittenError::Password),
                Some(_) => Ok(Self::Mail(text.to_owned())),
                None => Err(WrittenError::NoAccount),
            };
        };
        let known = SCHEMES.iter().find(|(name, ..)| *name == scheme);
        let (_, security, default_port) = known.ok_or(WrittenError::Scheme)?;
        let rest = rest.trim_end_matches('/');
        // A user name may hold @: the last one ends it.
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user_name(user)?), host),
            None => (None, rest),
        };
        let (host, port) = host_and_port(host, *default_port)?;
        Ok(Self::Url(AccountUrl { endpoint: Endpoint { host, port, security: *security }, user }))
    }
}

impl fmt::Display for AccountUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.endpoint.scheme())?;
        if let Some(user) = &self.user {
            write!(f, "{}@", utf8_percent_encode(user, NOT_IN_USER))?;
        }
        f.write_str(&self.endpoint.authority())
    }
}

/// The URL to type for an account as a journal names it, where the user name stands as it is.
pub fn url_of(account: &str) -> String {
    let parts = account.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?)));
    match parts {
        Some((scheme, (user, authority))) => {
            format!("{scheme}://{}@{authority}", utf8_percent_encode(user, NOT_IN_USER))
        }
        None => account.to_owned(),
    }
}

fn user_name(written: &str) -> Result<String, WrittenError> {
    if written.contains(':') {
        return Err(WrittenError::Password);
    }
    let user = percent_decode_str(written).decode_utf8().map_err(|_| WrittenError::User)?;
    if user.chars().any(char::is_control) { Err(WrittenError::User) } else { Ok(user.into_owned()) }
}

fn host_and_port(text: &str, default: u16) -> Result<(String, u16), WrittenError> {
    let (host, port) = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(WrittenError::Port)?)),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let odd = |c: char| c.is_control() || c.is_whitespace() || "/?#@[]\\".contains(c);
    if host.is_empty() || host.contains(odd) {
        return Err(WrittenError::Host);
    }
    Ok((host.to_owned(), port.map_or(Ok(default), number)?))
}

fn number(port: &str) -> Result<u16, WrittenError> {
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    port.parse().ok().filter(|port| digits && *port > 0).ok_or(WrittenError::Port)
}

/// A SHA-256 as people paste it: hexadecimal, with or without colons.
///
/// # Errors
/// [`WrittenError::Fingerprint`].
pub fn fingerprint(text: &str) -> Result<[u8; 32], WrittenError> {
    let digits =
        text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()));
    let digits: Option<Vec<u8>> = digits.collect();
    let digits = digits.filter(|d| d.len() == 64).ok_or(WrittenError::Fingerprint)?;
    let octets: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |octet, d| octet << 4 | d)).collect();
    octets.try_into().map_err(|_| WrittenError::Fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> AccountUrl {
        match WrittenAccount::parse(text) {
            Ok(WrittenAccount::Url(url)) => url,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn urls_name_server_and_user_and_print_back() {
        for (text, host, port, security, user, printed) in [
            (
                "imaps://ann@old.example",
                "old.example",
                993,
                Security::Tls,
                Some("ann"),
                "imaps://ann@old.example:993",
            ),
            (
                "imap://ann@x.example@old.example:1143/",
                "old.example",
                1143,
                Security::StartTls,
                Some("ann@x.example"),
                "imap://ann@x.example@old.example:1143",
            ),
            (
                "imap+insecure://a%20b%3A@[::1]:9",
                "::1",
                9,
                Security::Clear,
                Some("a b:"),
                "imap+insecure://a%20b%3A@[::1]:9",
            ),
            ("imaps://h", "h", 993, Security::Tls, None, "imaps://h:993"),
            ("imaps://@h", "h", 993, Security::Tls, Some(""), "imaps://@h:993"),
            ("imaps://j%C3%BCrgen@h", "h", 993, Security::Tls, Some("jürgen"), "imaps://j%C3%BCrgen@h:993"),
        ] {
            let endpoint = Endpoint { host: host.into(), port, security };
            let expected = AccountUrl { endpoint, user: user.map(str::to_owned) };
            assert_eq!(url(text), expected, "{text}");
            assert_eq!(expected.to_string(), printed);
            assert_eq!(url(printed), expected, "{printed}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_what_is_wrong_with_it() {
        use WrittenError as E;
        for (text, wrong) in [
            ("imaps://ann:secret@h", E::Password),
            ("ann:secret@h", E::Password),
            ("imaps://ann:se@cret@h", E::Password),
            // A password and no host: it is taken for a port, and not shown either.
            ("imaps://ann:secret", E::Port),
            ("pop3://a@h", E::Scheme),
            ("ann:secret@imaps://h", E::Scheme),
            ("imaps://a@", E::Host),
            ("imaps://a@h/INBOX", E::Host),
            ("imaps://a@h h", E::Host),
            ("imaps://a@[::1", E::Host),
            ("imaps://a@[::1]9", E::Port),
            ("imaps://a@h:", E::Port),
            ("imaps://a@h:0", E::Port),
            ("imaps://a@h:+9", E::Port),
            ("imaps://a@h:65536", E::Port),
            ("imaps://%ff@h", E::User),
            ("imaps://a%0D%0Ab@h", E::User),
            ("nonsense", E::NoAccount),
            ("", E::NoAccount),
        ] {
            assert_eq!(WrittenAccount::parse(text), Err(wrong), "{text}");
        }
    }

    #[test]
    fn fingerprints_come_with_and_without_colons_and_as_nothing_else() {
        let plain = "ab".repeat(32);
        assert_eq!(fingerprint(&plain).unwrap(), [0xab; 32]);
        assert_eq!(fingerprint(&["AB"; 32].join(":")).unwrap(), [0xab; 32]);
        for text in ["abc", "", &"+a".repeat(32), &"0x".repeat(32), &"a".repeat(63), &"é".repeat(32)] {
            assert_eq!(fingerprint(text), Err(WrittenError::Fingerprint), "{text}");
        }
    }
}
