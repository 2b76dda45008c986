//! Pure: the table of providers that is shipped with the program (`data/providers.tsv`).

use super::address::{Address, is_below, plain};
use super::{Candidate, Source, Trust};
use crate::config::{Endpoint, Security};
use crate::pages::Reference;
use std::sync::LazyLock;

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What people call it.
    pub name: &'static str,
    /// Domains of its mail addresses; with a dot before it, what lies below one.
    pub domains: Vec<&'static str>,
    /// Hosts that take mail for it, and what lies below them.
    pub mx: Vec<&'static str>,
    /// Its IMAP server.
    pub endpoint: Endpoint,
    /// The user name is what is before the `@`, not the address.
    pub local_part: bool,
    /// What it takes: `password`, `app-password`, `oauth`.
    pub login: Vec<&'static str>,
    /// A heading of the page about logging in, where something has to be known.
    pub docs: Option<&'static str>,
    /// Where it was looked up.
    pub source: &'static str,
    /// When: a day.
    pub date: &'static str,
}

static PROVIDERS: LazyLock<Vec<Provider>> = LazyLock::new(|| {
    let table = include_str!("../../data/providers.tsv");
    table.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).filter_map(row).collect()
});

/// The whole table.
pub fn providers() -> &'static [Provider] {
    &PROVIDERS
}

impl Provider {
    /// Whose addresses end in this domain.
    pub fn of_domain(domain: &str) -> Option<&'static Self> {
        providers().iter().find(|p| p.is_of(domain))
    }

    /// Who takes mail at this host.
    pub fn of_mx(host: &str) -> Option<&'static Self> {
        providers().iter().find(|p| p.mx.iter().any(|mx| is_below(host, mx)))
    }

    /// Where more stands about a login there.
    pub fn more(&self) -> Option<Reference> {
        self.docs.map(Reference::login)
    }

    /// Whose IMAP server this is.
    pub fn of_host(host: &str) -> Option<&'static Self> {
        let host = plain(host);
        providers().iter().find(|p| p.endpoint.host == host)
    }

    /// The user name of an address there. `None` for an address of one's own domain where the user name is what is before the `@`
    /// of an address of the provider: `ann@old.example` at iCloud belongs to an account that may be called anything, and `ann`
    /// there is somebody else.
    pub fn user(&self, address: &Address) -> Option<String> {
        let own = !self.is_of(address.domain());
        match (self.local_part, own) {
            (false, _) => Some(address.to_string()),
            (true, false) => Some(address.local().to_owned()),
            (true, true) => None,
        }
    }

    /// Addresses of this domain are its own.
    fn is_of(&self, domain: &str) -> bool {
        let domain = plain(domain);
        self.domains.iter().any(|known| match known.strip_prefix('.') {
            Some(top) => is_below(&domain, top),
            None => domain == *known,
        })
    }

    /// What is proposed for an address that is taken to be there.
    pub(super) fn candidate(&'static self, address: &Address, source: Source, trust: Trust) -> Candidate {
        let users = self.user(address).into_iter().collect();
        Candidate { endpoint: self.endpoint.clone(), users, source, trust, provider: Some(self) }
    }
}

/// `None` for a line that is no row: the tests of the table find it.
fn row(line: &'static str) -> Option<Provider> {
    let fields: Vec<&'static str> = line.split('\t').collect();
    let [name, domains, mx, host, port, security, user, login, docs, source, date] = fields[..] else {
        return None;
    };
    let words =
        |text: &'static str, by: char| text.split(by).filter(|w| !w.is_empty() && *w != "-").collect();
    let security = match security {
        "tls" => Security::Tls,
        "starttls" => Security::StartTls,
        _ => return None,
    };
    Some(Provider {
        name,
        domains: words(domains, ' '),
        mx: words(mx, ' '),
        endpoint: Endpoint { host: host.to_owned(), port: port.parse().ok()?, security },
        local_part: user == "local",
        login: words(login, ','),
        docs: Some(docs).filter(|d| *d != "-"),
        source,
        date,
    })
}

#[cfg(test)]
mod tests {
    use super::super::address::is_host;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_line_is_a_row_and_no_domain_or_exchanger_is_there_twice() {
        let lines = include_str!("../../data/providers.tsv").lines();
        assert_eq!(lines.filter(|l| !l.starts_with('#') && !l.is_empty()).count(), providers().len());
        assert!(providers().len() > 50);
        let mut seen = HashSet::new();
        for p in providers() {
            assert!(is_host(&p.endpoint.host), "{p:?}");
            assert!(!p.domains.is_empty() || !p.mx.is_empty(), "{} is found by nothing", p.name);
            assert!(!p.login.is_empty() && !p.source.is_empty(), "{p:?}");
            assert!(p.date.parse::<jiff::civil::Date>().is_ok(), "{p:?}");
            for login in &p.login {
                assert!(["password", "app-password", "oauth"].contains(login), "{p:?}");
            }
            for name in p.domains.iter().map(|d| ('d', *d)).chain(p.mx.iter().map(|m| ('m', *m))) {
                let host = name.1.strip_prefix('.').filter(|_| name.0 == 'd').unwrap_or(name.1);
                assert!(is_host(host) && plain(host) == host, "{name:?}");
                assert!(seen.insert(name), "{name:?} twice");
            }
        }
    }

    #[test]
    fn rows_name_headings_that_docs_login_has() {
        let page = include_str!("../../../../docs/login.md");
        let anchor = |heading: &str| heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        let headings: Vec<String> = page.lines().filter(|l| l.starts_with('#')).map(anchor).collect();
        for p in providers() {
            if let Some(docs) = p.docs {
                assert!(headings.iter().any(|h| h == docs), "{}: {docs}", p.name);
            }
        }
    }

    #[test]
    fn a_provider_is_found_by_domain_by_exchanger_and_by_host() {
        let name = |p: Option<&'static Provider>| p.map(|p| p.name);
        assert_eq!(name(Provider::of_domain("GMAIL.com")), Some("Gmail"));
        assert_eq!(name(Provider::of_mx("alt1.aspmx.l.google.com.")), Some("Gmail"));
        assert_eq!(name(Provider::of_mx("old-example.mail.protection.outlook.com")), Some("Microsoft 365"));
        assert_eq!(name(Provider::of_mx("evil-aspmx.l.google.com.evil.example")), None);
        assert_eq!(name(Provider::of_host("imap.mail.me.com")), Some("iCloud"));
        assert_eq!(name(Provider::of_domain("old.example")), None);
        let address = Address::parse("ann@icloud.com").unwrap();
        assert_eq!(Provider::of_domain("icloud.com").unwrap().user(&address).as_deref(), Some("ann"));
        assert_eq!(name(Provider::of_domain("old.onmicrosoft.com")), Some("Microsoft 365"));
        assert_eq!(name(Provider::of_domain("evilonmicrosoft.com")), None);
    }

    #[test]
    fn an_address_of_a_domain_of_its_own_is_never_cut_to_the_name_of_somebody_else() {
        let address = Address::parse("ann@old.example").unwrap();
        let mut without = Vec::new();
        for p in providers() {
            for mx in &p.mx {
                let found = Provider::of_mx(mx).unwrap().candidate(&address, Source::Mx, Trust::Dns);
                assert!(found.users.iter().all(|user| user == "ann@old.example"), "{}: {found:?}", p.name);
                if found.users.is_empty() {
                    without.push(p.name);
                }
            }
        }
        assert_eq!(without, ["iCloud"]);
    }

    #[test]
    fn zoho_has_another_server_for_domains_of_ones_own() {
        for top in ["com", "eu", "in", "com.au"] {
            let own = Provider::of_mx(&format!("mx2.zoho.{top}")).unwrap();
            assert_eq!(own.endpoint.host, format!("imappro.zoho.{top}"));
            let personal = Provider::of_domain(&format!("zohomail.{top}")).unwrap();
            assert_eq!(personal.endpoint.host, format!("imap.zoho.{top}"));
        }
    }
}
