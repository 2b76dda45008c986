//! Pure: Mozilla's autoconfig (draft-ietf-mailmaint-autoconfig), what it says about IMAP. The XML is bounded in octets, elements
//! and depth; a document type is refused, and with it all entities.

use super::address::{Address, is_host, plain};
use super::{Candidate, Source, Trust};
use crate::config::{Endpoint, Security};
use crate::limits::{DISCOVERY_XML_DEPTH_MAX, DISCOVERY_XML_NODES_MAX, DISCOVERY_XML_OCTETS_MAX};
use crate::net::encoded;
use roxmltree::{Document, Node, ParsingOptions};

/// Octets of a user name that a page may give.
const USER_OCTETS_MAX: usize = 320;

/// Where the file of a domain is looked for.
pub(super) fn urls(address: &Address) -> [(Source, String); 2] {
    let query = encoded(&[("emailaddress", &address.to_string())]);
    let domain = address.domain();
    [
        (Source::Autoconfig, format!("https://autoconfig.{domain}/mail/config-v1.1.xml?{}", *query)),
        (Source::WellKnown, format!("https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml")),
    ]
}

/// The IMAP servers of a file, implicit TLS first. Clear text is passed over.
///
/// # Errors
/// Why it is no file of this kind.
pub(super) fn read(
    address: &Address,
    text: &[u8],
    source: Source,
    trust: Trust,
) -> Result<Vec<Candidate>, String> {
    let document = parse(text)?;
    let root = document.root_element();
    if root.tag_name().name() != "clientConfig" {
        return Err("it is no autoconfig file".into());
    }
    let servers = root.descendants().filter(|n| n.tag_name().name() == "incomingServer");
    let imap = servers.filter(|n| n.attribute("type").is_some_and(|t| t.eq_ignore_ascii_case("imap")));
    let mut found: Vec<Candidate> =
        imap.filter_map(|server| candidate(address, server, source, trust)).collect();
    found.sort_by_key(|c| c.endpoint.security != Security::Tls);
    if found.is_empty() { Err("it names no IMAP server with TLS".into()) } else { Ok(found) }
}

/// XML within bounds.
///
/// # Errors
/// What is wrong with it, without quoting it.
pub(super) fn parse(text: &[u8]) -> Result<Document<'_>, String> {
    if text.len() > DISCOVERY_XML_OCTETS_MAX {
        return Err("its answer is longer than allowed".into());
    }
    let text = std::str::from_utf8(text).map_err(|_| "its answer is not UTF-8")?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: DISCOVERY_XML_NODES_MAX,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options).map_err(|e| match e {
        roxmltree::Error::DtdDetected => "its answer declares a document type, which is refused",
        roxmltree::Error::NodesLimitReached => "its answer has more elements than allowed",
        _ => "its answer is no XML",
    })?;
    let too_deep = |node: Node<'_, '_>| node.ancestors().nth(DISCOVERY_XML_DEPTH_MAX).is_some();
    if document.descendants().any(too_deep) {
        return Err("its answer is nested deeper than allowed".into());
    }
    Ok(document)
}

/// The text of the first child of this name, without the spaces around it.
pub(super) fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    let of_name = |n: &Node<'_, '_>| n.tag_name().name().eq_ignore_ascii_case(name);
    node.children().find(of_name)?.text().map(str::trim).filter(|t| !t.is_empty())
}

fn candidate(address: &Address, server: Node<'_, '_>, source: Source, trust: Trust) -> Option<Candidate> {
    let security = match child(server, "socketType")?.to_ascii_uppercase().as_str() {
        "SSL" | "TLS" => Security::Tls,
        "STARTTLS" => Security::StartTls,
        _ => return None,
    };
    let host = plain(&filled(child(server, "hostname")?, address));
    let port = child(server, "port")?.parse().ok().filter(|port: &u16| *port > 0)?;
    let users = match child(server, "username") {
        Some(form) => vec![Some(filled(form, address)).filter(|u| is_user(u))?],
        None => super::both_names(address),
    };
    let endpoint = is_host(&host).then_some(Endpoint { host, port, security })?;
    Some(Candidate { endpoint, users, source, trust, provider: None })
}

pub(super) fn is_user(user: &str) -> bool {
    !user.is_empty() && user.len() <= USER_OCTETS_MAX && !user.contains(|c: char| c.is_control() || c == '%')
}

/// The placeholders of the format, each replaced once.
fn filled(text: &str, address: &Address) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let known = [
            ("%EMAILADDRESS%", address.to_string()),
            ("%EMAILLOCALPART%", address.local().to_owned()),
            ("%EMAILDOMAIN%", address.domain().to_owned()),
        ];
        match known.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                out.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                out.push('%');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Candidate>, String> {
        let address = Address::parse("ann@old.example").unwrap();
        read(&address, text.as_bytes(), Source::Autoconfig, Trust::Domain)
    }

    fn server(kind: &str, host: &str, port: &str, socket: &str, user: &str) -> String {
        format!(
            "<incomingServer type=\"{kind}\"><hostname>{host}</hostname><port>{port}</port>\
             <socketType>{socket}</socketType><username>{user}</username></incomingServer>"
        )
    }

    fn file(servers: &[String]) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<clientConfig version=\"1.1\"><emailProvider id=\"x\">{}</emailProvider></clientConfig>",
            servers.concat()
        )
    }

    #[test]
    fn imap_with_tls_is_read_with_its_placeholders_and_the_rest_is_passed_over() {
        let found = read_text(&file(&[
            server("pop3", "pop.old.example", "995", "SSL", "%EMAILADDRESS%"),
            server("imap", "clear.old.example", "143", "plain", "%EMAILADDRESS%"),
            server("imap", "imap.%EMAILDOMAIN%", "143", "STARTTLS", "%EMAILLOCALPART%"),
            server("imap", " IMAP.old.example ", "993", "SSL", "x-%EMAILLOCALPART%"),
        ]))
        .unwrap();
        let seen: Vec<_> =
            found.iter().map(|c| (c.endpoint.authority(), c.endpoint.security, c.users.join(","))).collect();
        assert_eq!(
            seen,
            [
                ("imap.old.example:993".to_owned(), Security::Tls, "x-ann".to_owned()),
                ("imap.old.example:143".to_owned(), Security::StartTls, "ann".to_owned()),
            ]
        );
        let without = file(&["<incomingServer type='imap'><hostname>h.example</hostname><port>993</port>\
                             <socketType>SSL</socketType></incomingServer>"
            .to_owned()]);
        assert_eq!(read_text(&without).unwrap()[0].users, ["ann@old.example", "ann"]);
    }

    #[test]
    fn what_is_no_such_file_is_refused_in_words() {
        let huge = format!("<clientConfig>{}</clientConfig>", " ".repeat(DISCOVERY_XML_OCTETS_MAX));
        let many = format!("<clientConfig>{}</clientConfig>", "<a/>".repeat(9_000));
        let deep = format!("<clientConfig>{}{}</clientConfig>", "<a>".repeat(5_000), "</a>".repeat(5_000));
        let laughs =
            "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]><clientConfig>&b;</clientConfig>";
        let outside =
            "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><clientConfig>&a;</clientConfig>";
        for (text, why) in [
            (huge.as_str(), "longer"),
            (&many, "more elements"),
            (&deep, "nested deeper"),
            (laughs, "document type"),
            (outside, "document type"),
            ("<clientConfig>&undeclared;</clientConfig>", "no XML"),
            ("<clientConfig>", "no XML"),
            ("", "no XML"),
            ("<html/>", "no autoconfig"),
            ("<clientConfig/>", "names no IMAP"),
            (&file(&[server("imap", "a b", "993", "SSL", "u")]), "names no IMAP"),
            (&file(&[server("imap", "h.example@evil.example", "993", "SSL", "u")]), "names no IMAP"),
            (&file(&[server("imap", "h.example", "99999", "SSL", "u")]), "names no IMAP"),
            (&file(&[server("imap", "h.example", "0", "SSL", "u")]), "names no IMAP"),
            (&file(&[server("imap", "h.example", "993", "SSL", "%REALNAME%")]), "names no IMAP"),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
        let latin = b"<clientConfig>\xe9</clientConfig>";
        let address = Address::parse("ann@old.example").unwrap();
        assert!(read(&address, latin, Source::Autoconfig, Trust::Domain).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn a_local_part_cannot_play_a_placeholder_and_is_encoded_in_the_question() {
        let address = Address::parse("%EMAILDOMAIN%&x=y@old.example").unwrap();
        assert_eq!(filled("%EMAILLOCALPART%", &address), "%EMAILDOMAIN%&x=y");
        assert!(urls(&address)[0].1.ends_with("?emailaddress=%25EMAILDOMAIN%25%26x%3Dy%40old.example"));
        assert!(!urls(&address)[1].1.contains("EMAIL"), "the domain's web site is not told whose mail it is");
    }
}
