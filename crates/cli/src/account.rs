//! Pure: from what was written to an account.

use crate::args::Login;
use crate::error::Failure;
use mailhaul_engine::config::{
    self, AccountUrl, ClientCertificate, Endpoint, Form, LoginOptions, Mechanism, WrittenAccount,
    WrittenError,
};
use mailhaul_engine::discovery::{Address, AddressError};
use mailhaul_engine::plain::Plain;

/// Whose mail, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The server.
    pub endpoint: Endpoint,
    /// The user name.
    pub user: String,
}

impl Account {
    /// As stable text without secrets: `imaps://ann@old.example:993`.
    pub fn address(&self) -> String {
        format!("{}://{}@{}", self.endpoint.scheme(), self.user, self.endpoint.authority())
    }

    /// Reads what [`Account::address`] writes. A user name may hold anything there.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (user, authority) = rest.rsplit_once('@')?;
        match WrittenAccount::parse(&format!("{scheme}://{authority}")) {
            Ok(WrittenAccount::Url(AccountUrl { endpoint, user: None })) => {
                Some(Self { endpoint, user: user.to_owned() })
            }
            _ => None,
        }
    }
}

/// What a side's options say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// All of it.
    Whole(Account),
    /// An address, whose server has to be found, and the user name if it is given.
    Address(Address, Option<String>),
}

impl Typed {
    /// Stable text, by which a migration is named.
    pub fn name(&self) -> String {
        match self {
            Self::Whole(account) => account.address(),
            Self::Address(address, None) => address.to_string(),
            Self::Address(address, Some(user)) => format!("{user} ({address})"),
        }
    }
}

/// Which side is spoken of, for messages: `from` or `to`.
pub type Side = &'static str;

/// Puts an account together from its options.
pub fn typed(
    side: Side,
    account: Option<&str>,
    server: Option<&str>,
    user: Option<&str>,
) -> Result<Typed, Failure> {
    use WrittenAccount::{Mail, Url};
    let written = account.map(|a| parse(side, a)).transpose()?;
    let (endpoint, written_user) = match (written, server) {
        (Some(Url(_)), Some(_)) => {
            return Err(Failure::usage(format!("--{side} is a URL already; leave --{side}-server away")));
        }
        (Some(Url(AccountUrl { endpoint, user })), None) => (endpoint, user),
        (written, Some(server)) => match parse(side, server)? {
            Url(AccountUrl { endpoint, user: None }) => {
                (endpoint, written.and_then(|w| if let Mail(address) = w { Some(address) } else { None }))
            }
            _ => {
                return Err(Failure::usage(format!("--{side}-server is a URL without a user: imaps://host")));
            }
        },
        (Some(Mail(address)), None) => {
            let cannot = |e| {
                let hint = format!("name the server: --{side}-server imaps://host");
                Failure::usage(format!("the server of {address} cannot be looked for: {e}")).hint(hint)
            };
            let user = user.filter(|u| !u.is_empty()).map(str::to_owned);
            let address = Address::parse(&address).map_err(|e| match e {
                AddressError::Domain => cannot(e),
                AddressError::NoAddress | AddressError::Odd => no_address(side, cannot(e)),
            })?;
            return Ok(Typed::Address(address, user));
        }
        (None, None) => {
            let example = format!("--{side} imaps://ann@host");
            return Err(Failure::usage(format!("--{side} is missing")).hint(example));
        }
    };
    let user = user.map(str::to_owned).or(written_user).filter(|u| !u.is_empty());
    let user = user.ok_or_else(|| {
        Failure::usage(format!("--{side} names no user")).hint(format!("--{side}-user NAME"))
    })?;
    Ok(Typed::Whole(Account { endpoint, user }))
}

/// How to log in to one side.
pub fn login_options(side: Side, login: &Login) -> Result<LoginOptions, Failure> {
    let wrong = |option: &str, text: &str, e: &dyn std::fmt::Display| {
        Failure::usage(format!("--{side}-{option} {text}: {e}"))
    };
    let mechanism = login.mechanism.as_deref();
    let mechanism = mechanism.map(|m| m.parse::<Mechanism>().map_err(|e| wrong("mechanism", m, &e)));
    let form = login.auth_form.as_deref().map(|f| f.parse::<Form>().map_err(|e| wrong("auth-form", f, &e)));
    if login.auth_form.is_some() && login.auth_user.is_none() {
        let what = format!("--{side}-auth-form says how an administrator logs in, and none is named");
        return Err(Failure::usage(what).hint(format!("--{side}-auth-user NAME")));
    }
    let pair = login.certificate.clone().zip(login.key.clone());
    Ok(LoginOptions {
        mechanism: mechanism.transpose()?,
        form: form.transpose()?.unwrap_or_default(),
        certificate: pair.map(|(chain, key)| ClientCertificate { chain, key }),
    })
}

fn parse(side: Side, text: &str) -> Result<WrittenAccount, Failure> {
    WrittenAccount::parse(text).map_err(|wrong| {
        let hint = match wrong {
            WrittenError::Password => format!("wait to be asked for it; --{side}-password-file FILE"),
            WrittenError::Scheme => {
                "imaps:// (TLS), imap:// (STARTTLS) or imap+insecure:// (clear text)".to_owned()
            }
            _ => "for example imaps://ann@mail.example".to_owned(),
        };
        let failure = Failure::usage(format!("--{side}: {wrong}")).hint(hint);
        match wrong {
            WrittenError::NoAccount => no_address(side, failure),
            WrittenError::Host | WrittenError::Port => no_server(side, failure),
            _ => failure,
        }
    })
}

/// The old one, or the new one.
fn which(side: Side) -> &'static str {
    if side == "from" { "old" } else { "new" }
}

/// What was named as a server is none.
fn no_server(side: Side, failure: Failure) -> Failure {
    let what = format!("What you typed for your {} mailbox is no name of a server.", which(side));
    let plain = Plain::new(what, "Write it like imap.example.org.");
    Failure { plain: Some(Box::new(plain)), ..failure }
}

/// A URL is nothing that a person is expected to type who types no options.
fn no_address(side: Side, failure: Failure) -> Failure {
    let what = format!("The address of your {} mailbox is no mail address.", which(side));
    let plain = Plain::new(what, "Write it like ann@example.org.");
    Failure { plain: Some(Box::new(plain)), ..failure }
}

/// True where a person has to name the server: nobody can be asked for it by what follows the `@`.
pub fn names_no_server(written: &str) -> bool {
    let mail = WrittenAccount::parse(written);
    matches!(mail, Ok(WrittenAccount::Mail(address)) if Address::parse(&address) == Err(AddressError::Domain))
}

/// A SHA-256 as people paste it: hexadecimal, with or without colons.
pub fn fingerprint(text: &str) -> Result<[u8; 32], Failure> {
    config::fingerprint(text).map_err(|wrong| Failure::usage(format!("{text:?}: {wrong}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailhaul_engine::config::Security;

    fn of(text: &str) -> Result<Typed, Failure> {
        typed("from", Some(text), None, None)
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
            let account = Account { endpoint, user: user.into() };
            assert_eq!(of(text).unwrap(), Typed::Whole(account.clone()), "{text}");
            assert_eq!(Account::parse(&account.address()), Some(account));
        }
    }

    #[test]
    fn a_bare_address_is_one_until_its_server_is_named() {
        let address = Address::parse("ann@old.example").unwrap();
        assert_eq!(of("ann@old.example").unwrap(), Typed::Address(address, None));
        let failure = of("ann@localhost").unwrap_err();
        assert_eq!(failure.code, USAGE_CODE);
        assert!(failure.hint.unwrap().contains("--from-server"));
        let server = Some("imaps://mail.old.example");
        let Typed::Whole(with) = typed("from", Some("ann@old.example"), server, None).unwrap() else {
            panic!()
        };
        assert_eq!(
            (with.user.as_str(), with.endpoint.host.as_str()),
            ("ann@old.example", "mail.old.example")
        );
    }

    #[test]
    fn an_odd_user_name_survives_the_journal() {
        for user in ["a:b%@c", "DOMAIN/admin/ann", "ann@x.example"] {
            let endpoint = Endpoint { host: "::1".into(), port: 9, security: Security::StartTls };
            let account = Account { endpoint, user: user.into() };
            assert_eq!(Account::parse(&account.address()), Some(account));
        }
        assert_eq!(Account::parse("ann@old.example"), None);
    }

    const USAGE_CODE: u8 = 2;

    #[test]
    fn what_cannot_be_meant_is_refused_with_advice() {
        for text in [
            "imaps://ann:secret@h",
            "ann:secret@h",
            "imaps://ann:secret",
            "ann:secret",
            "pop3://a@h",
            "imaps://@h",
            "imaps://a@",
            "nonsense",
            "imaps://a@h:99999",
        ] {
            let failure = of(text).unwrap_err();
            assert_eq!(failure.code, USAGE_CODE, "{text}");
            assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
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
