//! Pure: Microsoft's Autodiscover, over https and without a password: what it says about IMAP, in both its forms (MS-OXDSCLI;
//! the JSON form has no such page and names a server whose provider is then looked for in the table).

use super::address::{Address, is_host, plain};
use super::autoconfig::{child, is_user, parse};
use super::provider::Provider;
use super::{Candidate, Source, Trust};
use crate::config::{Endpoint, Security};
use crate::net::encoded;
use roxmltree::Node;
use serde::Deserialize;

/// The answer in the JSON form.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    url: String,
}

/// Where the XML form of a domain is looked for.
pub(super) fn url(address: &Address) -> String {
    format!("https://autodiscover.{}/autodiscover/autodiscover.xml", address.domain())
}

/// Where the JSON form is looked for.
pub(super) fn json_url(address: &Address) -> String {
    let address_text = address.to_string();
    let query = encoded(&[("Email", &address_text), ("Protocol", "AutodiscoverV1")]);
    format!("https://autodiscover.{}/autodiscover/autodiscover.json?{}", address.domain(), *query)
}

/// The question in the XML form.
pub(super) fn question(address: &Address) -> String {
    let mut shown = String::new();
    for c in address.to_string().chars() {
        match c {
            '&' => shown += "&amp;",
            '<' => shown += "&lt;",
            '>' => shown += "&gt;",
            other => shown.push(other),
        }
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\"><Request>\
         <EMailAddress>{shown}</EMailAddress><AcceptableResponseSchema>\
         http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\
         </AcceptableResponseSchema></Request></Autodiscover>"
    )
}

/// The IMAP servers of an answer in the XML form.
///
/// # Errors
/// Why there is none.
pub(super) fn read(address: &Address, text: &[u8], trust: Trust) -> Result<Vec<Candidate>, String> {
    let document = parse(text)?;
    if document.root_element().tag_name().name() != "Autodiscover" {
        return Err("it is no answer of Autodiscover".into());
    }
    let protocols = document.descendants().filter(|n| n.tag_name().name() == "Protocol");
    let imap = protocols.filter(|n| child(*n, "Type").is_some_and(|t| t.eq_ignore_ascii_case("IMAP")));
    let mut found: Vec<Candidate> = imap.filter_map(|n| candidate(address, n, trust)).collect();
    found.sort_by_key(|c| c.endpoint.security != Security::Tls);
    if found.is_empty() { Err("it names no IMAP server with TLS".into()) } else { Ok(found) }
}

/// The provider whose server an answer in the JSON form names. That server is not asked.
pub(super) fn read_json(address: &Address, text: &[u8], trust: Trust) -> Option<Candidate> {
    let Named { url } = serde_json::from_slice(text).ok()?;
    let host = url.strip_prefix("https://")?.split(['/', ':', '?']).next()?;
    Some(Provider::of_host(host)?.candidate(address, Source::Autodiscover, trust))
}

fn candidate(address: &Address, protocol: Node<'_, '_>, trust: Trust) -> Option<Candidate> {
    let says = |name: &str, value: &str| child(protocol, name).is_some_and(|t| t.eq_ignore_ascii_case(value));
    // `Encryption` says more than `SSL`, which is on where it is missing (MS-OXDSCLI, 2.2.4.1.1.2.6).
    let security = match child(protocol, "Encryption").map(str::to_ascii_uppercase).as_deref() {
        Some("SSL") => Security::Tls,
        Some("TLS") => Security::StartTls,
        None if !says("SSL", "off") => Security::Tls,
        _ => return None,
    };
    let host = Some(plain(child(protocol, "Server")?)).filter(|h| is_host(h))?;
    let default = if security == Security::Tls { 993 } else { 143 };
    let port = child(protocol, "Port").map_or(Some(default), |p| p.parse().ok().filter(|p: &u16| *p > 0))?;
    let users = match child(protocol, "LoginName") {
        Some(name) => vec![Some(name.to_owned()).filter(|n| is_user(n))?],
        None => super::both_names(address),
    };
    let endpoint = Endpoint { host, port, security };
    Some(Candidate { endpoint, users, source: Source::Autodiscover, trust, provider: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<?xml version=\"1.0\"?><Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/\
                        responseschema/2006\"><Response xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/\
                        responseschema/2006a\"><Account><AccountType>email</AccountType>";
    const TAIL: &str = "</Account></Response></Autodiscover>";

    fn read_protocols(protocols: &str) -> Result<Vec<Candidate>, String> {
        let address = Address::parse("ann@old.example").unwrap();
        read(&address, format!("{HEAD}{protocols}{TAIL}").as_bytes(), Trust::Domain)
    }

    #[test]
    fn imap_with_tls_is_read_and_the_rest_is_passed_over() {
        let found = read_protocols(
            "<Protocol><Type>POP3</Type><Server>p.old.example</Server></Protocol>\
             <Protocol><Type>IMAP</Type><Server>clear.old.example</Server><SSL>off</SSL></Protocol>\
             <Protocol><Type>IMAP</Type><Server>b.old.example</Server><Port>143</Port><SSL>on</SSL>\
             <Encryption>TLS</Encryption></Protocol>\
             <Protocol><Type>IMAP</Type><Server>A.old.example</Server><Port>993</Port><LoginName>ann7</LoginName>\
             <SSL>on</SSL></Protocol>",
        )
        .unwrap();
        assert_eq!(found[0].endpoint.authority(), "a.old.example:993");
        assert_eq!(found[0].users, ["ann7"]);
        assert_eq!((found[1].endpoint.port, found[1].endpoint.security), (143, Security::StartTls));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_no_answer_is_refused_in_words() {
        assert!(read_protocols("").unwrap_err().contains("no IMAP"));
        assert!(read_protocols("<!DOCTYPE a>").is_err());
        let address = Address::parse("ann@old.example").unwrap();
        assert!(read(&address, b"<html/>", Trust::Domain).unwrap_err().contains("Autodiscover"));
    }

    #[test]
    fn the_json_form_names_a_provider_of_the_table_or_nothing() {
        let address = Address::parse("ann@old.example").unwrap();
        let read = |text: &str| read_json(&address, text.as_bytes(), Trust::Domain);
        let url = |url: &str| format!("{{\"Protocol\":\"AutodiscoverV1\",\"Url\":\"{url}\"}}");
        let found = read(&url("https://outlook.office365.com/autodiscover/autodiscover.xml")).unwrap();
        assert_eq!(found.endpoint.host, "outlook.office365.com");
        assert_eq!(read(&url("https://ews.old.example/a.xml")), None);
        assert_eq!(read(&url("http://outlook.office365.com/")), None);
        assert_eq!(read("[]"), None);
    }

    #[test]
    fn an_address_cannot_break_out_of_the_question() {
        let address = Address::parse("<a>&b@old.example").unwrap();
        assert!(question(&address).contains("<EMailAddress>&lt;a&gt;&amp;b@old.example</EMailAddress>"));
    }
}
