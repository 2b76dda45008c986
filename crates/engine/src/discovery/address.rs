//! Pure: a mail address, as far as discovery needs it.

/// Octets of an address that is looked up (RFC 5321, 4.5.3.1: a path of 256 with its brackets).
const ADDRESS_OCTETS_MAX: usize = 254;
/// Octets of a host name (RFC 1035, 2.3.4).
const HOST_OCTETS_MAX: usize = 253;
/// Octets of one label of it.
const LABEL_OCTETS_MAX: usize = 63;

/// A mail address whose server is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    local: String,
    domain: String,
}

/// Why an address cannot be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing before or after the `@`, or no `@`.
    #[error("it is no mail address")]
    NoAddress,
    /// Longer than an address may be, or with control characters or spaces.
    #[error("no mail address is like that")]
    Odd,
    /// What follows the `@` is no name that the name service knows.
    #[error("what follows the @ is no name by which a server can be found")]
    Domain,
}

impl Address {
    /// Reads an address; its domain is kept in lower case.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoAddress)?;
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::NoAddress);
        }
        let odd = |c: char| c.is_control() || c.is_whitespace();
        if text.len() > ADDRESS_OCTETS_MAX || local.contains(odd) {
            return Err(AddressError::Odd);
        }
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        if !is_host(&domain) || !domain.contains('.') || domain.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err(AddressError::Domain);
        }
        Ok(Self { local: local.to_owned(), domain })
    }

    /// What is before the `@`.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// What is after it, in lower case, without a dot at its end.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The domain itself, or a host below it.
    pub fn is_at_home(&self, host: &str) -> bool {
        is_below(host, &self.domain)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// `name` is `top`, or lies below it. Case and a last dot do not count.
pub(super) fn is_below(name: &str, top: &str) -> bool {
    let (name, top) = (plain(name), plain(top));
    name == top || name.strip_suffix(top.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

/// A host name in lower case, without a dot at its end.
pub(super) fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// A name of a host: labels of ASCII letters, digits and hyphens (RFC 952, RFC 1123).
pub(super) fn is_host(name: &str) -> bool {
    let label = |l: &str| {
        let kind = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !l.is_empty() && l.len() <= LABEL_OCTETS_MAX && l.bytes().all(kind) && !l.starts_with('-')
    };
    !name.is_empty() && name.len() <= HOST_OCTETS_MAX && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_is_before_and_after_its_last_at() {
        let address = Address::parse("Ann@Old.Example.").unwrap();
        assert_eq!((address.local(), address.domain()), ("Ann", "old.example"));
        assert_eq!(address.to_string(), "Ann@old.example");
        for (text, wrong) in [
            ("ann", AddressError::NoAddress),
            ("@old.example", AddressError::NoAddress),
            ("ann@", AddressError::NoAddress),
            ("a nn@old.example", AddressError::Odd),
            ("ann\r\n@old.example", AddressError::Odd),
            ("ann@localhost", AddressError::Domain),
            ("ann@127.0.0.1", AddressError::Domain),
            ("ann@[127.0.0.1]", AddressError::Domain),
            ("ann@old.example/path", AddressError::Domain),
            ("ann@old..example", AddressError::Domain),
            ("ann@bücher.example", AddressError::Domain),
            ("ann@old.example:443", AddressError::Domain),
        ] {
            assert_eq!(Address::parse(text), Err(wrong), "{text}");
        }
        assert_eq!(Address::parse(&format!("{}@x.example", "a".repeat(300))), Err(AddressError::Odd));
    }

    #[test]
    fn a_host_is_at_home_in_its_domain_and_not_where_the_name_only_ends_alike() {
        let address = Address::parse("ann@old.example").unwrap();
        for host in ["old.example", "IMAP.old.example.", "a.b.old.example"] {
            assert!(address.is_at_home(host), "{host}");
        }
        for host in ["evilold.example", "old.example.evil.example", "example", ""] {
            assert!(!address.is_at_home(host), "{host}");
        }
    }
}
