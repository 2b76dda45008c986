//! Pure: from what was typed to an account.

use crate::error::Failure;
use mailhaul_engine::config::{Endpoint, Security};
use percent_encoding::percent_decode_str;

/// Whose mail, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The server.
    pub endpoint: Endpoint,
    /// The user name.
    pub user: String,
}

/// Which side is spoken of, for messages: `from` or `to`.
pub type Side = &'static str;

/// Puts an account together from its options.
pub fn account(
    side: Side,
    account: Option<&str>,
    server: Option<&str>,
    user: Option<&str>,
) -> Result<Account, Failure> {
    let typed = account.map(|a| parse(side, a)).transpose()?;
    let (endpoint, typed_user) = match (typed, server) {
        (Some(Typed::Url { .. }), Some(_)) => {
            return Err(Failure::usage(format!("--{side} is a URL already; leave --{side}-server away")));
        }
        (Some(Typed::Url { endpoint, user }), None) => (endpoint, user),
        (typed, Some(server)) => match parse(side, server)? {
            Typed::Url { endpoint, user: None } => {
                (endpoint, typed.and_then(|t| if let Typed::Address(a) = t { Some(a) } else { None }))
            }
            _ => {
                return Err(Failure::usage(format!("--{side}-server is a URL without a user: imaps://host")));
            }
        },
        (Some(Typed::Address(address)), None) => {
            let what = format!("the server of {address} is not known: finding it comes with a later version");
            let hint = format!("name it: --{side}-server imaps://host, or --{side} imaps://{address}@host");
            return Err(Failure::usage(what).hint(hint));
        }
        (None, None) => {
            let example = format!("--{side} imaps://ann@host");
            return Err(Failure::usage(format!("--{side} is missing")).hint(example));
        }
    };
    let user = user.map(str::to_owned).or(typed_user).filter(|u| !u.is_empty());
    let user = user.ok_or_else(|| {
        Failure::usage(format!("--{side} names no user")).hint(format!("--{side}-user NAME"))
    })?;
    Ok(Account { endpoint, user })
}

enum Typed {
    Address(String),
    Url { endpoint: Endpoint, user: Option<String> },
}

fn parse(side: Side, text: &str) -> Result<Typed, Failure> {
    let Some((scheme, rest)) = text.split_once("://") else {
        if text.contains('@') {
            return Ok(Typed::Address(text.to_owned()));
        }
        let what = format!("--{side} {text}: neither an address nor a URL");
        return Err(Failure::usage(what).hint("for example imaps://ann@mail.example"));
    };
    let (security, default_port) = match scheme {
        "imaps" => (Security::Tls, 993),
        "imap" => (Security::StartTls, 143),
        "imap+insecure" => (Security::Clear, 143),
        _ => {
            let hint = "imaps:// (TLS), imap:// (STARTTLS) or imap+insecure:// (clear text)";
            return Err(Failure::usage(format!("--{side}: the scheme {scheme}:// is not known")).hint(hint));
        }
    };
    let rest = rest.trim_end_matches('/');
    // A user name may hold @: the last one ends it.
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    if user.is_some_and(|u| u.contains(':')) {
        let what = format!("--{side}: a password does not belong into a URL: others can see it");
        return Err(Failure::usage(what).hint(format!("--{side}-password-file FILE, or wait to be asked")));
    }
    let user = user.map(|u| percent_decode_str(u).decode_utf8_lossy().into_owned());
    let (host, port) = host_and_port(side, host, default_port)?;
    Ok(Typed::Url { endpoint: Endpoint { host, port, security }, user })
}

fn host_and_port(side: Side, text: &str, default: u16) -> Result<(String, u16), Failure> {
    let bad = || Failure::usage(format!("--{side}: {text:?} is no host with a port"));
    let (host, port) = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(bad)?)),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() || host.contains(['/', ' ']) {
        return Err(bad());
    }
    let port = port.map(|p| p.parse().map_err(|_| bad())).transpose()?;
    Ok((host.to_owned(), port.unwrap_or(default)))
}

/// A SHA-256 as people paste it: hexadecimal, with or without colons.
pub fn fingerprint(text: &str) -> Result<[u8; 32], Failure> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
    let bad = || Failure::usage(format!("{text:?} is no SHA-256: 64 hexadecimal digits are expected"));
    let pairs: Result<Vec<u8>, Failure> = digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            u8::from_str_radix(pair, 16).map_err(|_| bad())
        })
        .collect();
    pairs?.try_into().map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Account, Failure> {
        account("from", Some(text), None, None)
    }

    #[test]
    fn urls_name_server_and_user() {
        for (text, host, port, security, user) in [
            ("imaps://ann@old.example", "old.example", 993, Security::Tls, "ann"),
            (
                "imap://ann@x.example@old.example:1143/",
                "old.example",
                1143,
                Security::StartTls,
                "ann@x.example",
            ),
            ("imap+insecure://a%20b@[::1]:9", "::1", 9, Security::Clear, "a b"),
        ] {
            let endpoint = Endpoint { host: host.into(), port, security };
            assert_eq!(of(text).unwrap(), Account { endpoint, user: user.into() }, "{text}");
        }
    }

    #[test]
    fn a_bare_address_asks_for_its_server_by_the_options_name() {
        let failure = of("ann@old.example").unwrap_err();
        assert_eq!(failure.code, USAGE_CODE);
        assert!(failure.hint.unwrap().contains("--from-server"));
        let with = account("from", Some("ann@old.example"), Some("imaps://mail.old.example"), None).unwrap();
        assert_eq!(
            (with.user.as_str(), with.endpoint.host.as_str()),
            ("ann@old.example", "mail.old.example")
        );
    }

    const USAGE_CODE: u8 = 2;

    #[test]
    fn what_cannot_be_meant_is_refused_with_advice() {
        for text in [
            "imaps://ann:secret@h",
            "pop3://a@h",
            "imaps://@h",
            "imaps://a@",
            "nonsense",
            "imaps://a@h:99999",
        ] {
            let failure = of(text).unwrap_err();
            assert_eq!(failure.code, USAGE_CODE, "{text}");
            assert!(!failure.what.contains("secret"));
        }
    }

    #[test]
    fn fingerprints_come_with_and_without_colons() {
        let plain = "ab".repeat(32);
        let colons = ["AB"; 32].join(":");
        assert_eq!(fingerprint(&plain).unwrap(), [0xab; 32]);
        assert_eq!(fingerprint(&colons).unwrap(), [0xab; 32]);
        assert!(fingerprint("abc").is_err());
    }
}
