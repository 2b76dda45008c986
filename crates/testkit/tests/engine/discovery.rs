//! Where the mail of an address lies: against a name server, web servers and IMAP servers of the test. Every host name leads to
//! loopback or nowhere, so that nothing outside is asked.

use mailhaul_engine::config::{Security, Trust as Believed};
use mailhaul_engine::discovery::{Address, Answer, Asks, Discoverer, Discovery, Dns, Outcome, Source, Trust};
use mailhaul_engine::limits::{DISCOVERY_SOURCE_TIME_MAX, Limits};
use mailhaul_engine::net::{Dialer, Proxies};
use mailhaul_sandbox::{Profile, Sandbox};
use mailhaul_testkit::name_server::NameServer;
use mailhaul_testkit::web::{Authority, ImapStartTls, ImapTls, PageSays, Valid, Web, imap_tls, tunnels};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

const AUTOCONFIG: &str = "/mail/config-v1.1.xml";
const WELL_KNOWN: &str = "/.well-known/autoconfig/mail/config-v1.1.xml";
const AUTODISCOVER: &str = "/autodiscover/autodiscover.xml";

/// A small internet around `ann@old.example`.
struct Net {
    authority: Authority,
    names: NameServer,
    web: Web,
    table: BTreeMap<String, SocketAddr>,
    imap: Vec<(Sandbox, ImapTls)>,
}

impl Net {
    async fn new() -> Self {
        let authority = Authority::new().unwrap();
        let hosts = [
            "old.example",
            "autoconfig.old.example",
            "autodiscover.old.example",
            "other.example",
            "www.old.example",
        ];
        let web = Web::start(authority.acceptor(&hosts, Valid::Now).unwrap()).await.unwrap();
        let table = hosts.iter().map(|host| (format!("{host}:443"), web.address)).collect();
        Self { authority, names: NameServer::start().await.unwrap(), web, table, imap: Vec::new() }
    }

    /// An IMAP server at `host`, with a certificate for `certified`.
    async fn imap(&mut self, host: &str, certified: &str, valid: Valid) -> Sandbox {
        let server = Sandbox::new(Profile::default());
        let acceptor = self.authority.acceptor(&[certified], valid).unwrap();
        let tls = imap_tls(server.clone(), acceptor).await.unwrap();
        self.table.insert(format!("{host}:993"), tls.address);
        self.imap.push((server.clone(), tls));
        server
    }

    fn discoverer(&self) -> Discoverer {
        let trust = Believed { ca_files: vec![self.authority.file()], ..Believed::default() };
        let dialer = Dialer::Known(Arc::new(self.table.clone()));
        Discoverer {
            dns: Dns::at(self.names.address),
            dialer,
            proxies: Proxies::default(),
            trust,
            limits: Limits::default(),
            patience: DISCOVERY_SOURCE_TIME_MAX,
        }
    }

    async fn discover(&self) -> Discovery {
        self.discoverer().discover(&Address::parse("ann@old.example").unwrap()).await
    }

    /// Nobody was asked to log in, however many were looked at.
    fn assert_no_login(&self) {
        for (server, _) in &self.imap {
            let commands = server.counters().commands;
            for verb in ["LOGIN", "AUTHENTICATE"] {
                assert_eq!(commands.get(verb), None, "{commands:?}");
            }
        }
    }
}

fn autoconfig(host: &str) -> PageSays {
    let xml = format!(
        "<clientConfig version=\"1.1\"><emailProvider id=\"x\"><incomingServer type=\"imap\"><hostname>{host}</hostname>\
         <port>993</port><socketType>SSL</socketType><username>%EMAILLOCALPART%</username></incomingServer>\
         </emailProvider></clientConfig>"
    );
    PageSays::Body(200, xml.into_bytes())
}

fn proposed(discovery: &Discovery) -> (&str, u16, Source, Trust, Option<Asks>) {
    let proposal = discovery.proposal.as_ref().unwrap_or_else(|| panic!("{:#?}", discovery.answers));
    let candidate = &proposal.candidate;
    (&candidate.endpoint.host, candidate.endpoint.port, candidate.source, candidate.trust, proposal.asks)
}

fn said(discovery: &Discovery, source: Source) -> &Answer {
    discovery.answers.iter().find(|a| a.source == source).unwrap()
}

fn why(discovery: &Discovery, source: Source) -> &str {
    match &said(discovery, source).outcome {
        Outcome::Found(found) => panic!("{found:?}"),
        Outcome::Nothing(why) | Outcome::Silent(why) => why,
    }
}

#[tokio::test]
async fn autoconfig_of_the_domain_is_believed_and_tells_the_user_name() {
    for (host, path, source) in [
        ("autoconfig.old.example", AUTOCONFIG, Source::Autoconfig),
        ("old.example", WELL_KNOWN, Source::WellKnown),
    ] {
        let net = Net::new().await;
        net.web.page(host, path, autoconfig("imap.hoster.example"));
        let discovery = net.discover().await;
        assert_eq!(proposed(&discovery), ("imap.hoster.example", 993, source, Trust::Domain, None));
        assert_eq!(discovery.proposal.unwrap().candidate.users, ["ann"]);
        let requests = net.web.requests();
        let whole: Vec<_> = requests.iter().filter(|r| r.target.contains("ann")).map(|r| &r.host).collect();
        assert!(whole.iter().all(|h| *h != "old.example"), "the web site is not told whose mail it is");
    }
}

#[tokio::test]
async fn behind_a_proxy_web_servers_are_asked_through_it_and_none_that_is_excepted() {
    let net = Net::new().await;
    net.web.page("autoconfig.old.example", AUTOCONFIG, autoconfig("imap.hoster.example"));
    let proxy = tunnels(net.table.clone(), None).await.unwrap();
    // Nothing but the proxy can be reached from here.
    let way = BTreeMap::from([("proxy.example:3128".to_owned(), proxy.address)]);
    let through = |except| {
        let proxies = Proxies::parse(Some("http://ann:plum@proxy.example:3128"), except).unwrap();
        Discoverer { dialer: Dialer::Known(Arc::new(way.clone())), proxies, ..net.discoverer() }
    };
    let address = Address::parse("ann@old.example").unwrap();
    let discovery = through(None).discover(&address).await;
    let expected = ("imap.hoster.example", 993, Source::Autoconfig, Trust::Domain, None);
    assert_eq!(proposed(&discovery), expected);
    assert!(proxy.asked().iter().all(|head| head.contains("Proxy-Authorization: Basic YW5uOnBsdW0=")));
    let excepted = through(Some("old.example")).discover(&address).await;
    assert_eq!(excepted.proposal, None);
    let asked = proxy.asked().len();
    assert!(why(&excepted, Source::Autoconfig).contains("no server has this name"));
    assert_eq!(proxy.asked().len(), asked);
}

#[tokio::test]
async fn a_proxy_that_lets_nobody_pass_is_told_with_its_words() {
    let net = Net::new().await;
    let proxy = tunnels(net.table.clone(), Some("HTTP/1.1 403 not from here")).await.unwrap();
    let way = BTreeMap::from([("proxy.example:80".to_owned(), proxy.address)]);
    let proxies = Proxies::parse(Some("proxy.example"), None).unwrap();
    let discoverer = Discoverer { dialer: Dialer::Known(Arc::new(way)), proxies, ..net.discoverer() };
    let discovery = discoverer.discover(&Address::parse("ann@old.example").unwrap()).await;
    let words =
        "the proxy proxy.example:80 gives no way to autoconfig.old.example:443: HTTP/1.1 403 not from here";
    assert_eq!(why(&discovery, Source::Autoconfig), words);
}

#[tokio::test]
async fn srv_records_lead_to_a_host_of_the_domain_without_and_elsewhere_with_a_yes() {
    let net = Net::new().await;
    net.names.srv("_imaps._tcp.old.example", 10, 0, 993, "imap.old.example");
    net.names.srv("_imap._tcp.old.example", 0, 0, 143, "imap.elsewhere.example");
    let discovery = net.discover().await;
    assert_eq!(proposed(&discovery), ("imap.old.example", 993, Source::Srv, Trust::Certificate, None));
    assert_eq!(discovery.proposal.unwrap().candidate.users, ["ann@old.example", "ann"]);

    let net = Net::new().await;
    net.names.srv("_imaps._tcp.old.example", 10, 0, 993, "imap.elsewhere.example");
    let discovery = net.discover().await;
    let expected = ("imap.elsewhere.example", 993, Source::Srv, Trust::Dns, Some(Asks::NameService));
    assert_eq!(proposed(&discovery), expected);
}

#[tokio::test]
async fn an_exchanger_leads_to_a_known_provider_with_a_yes() {
    let net = Net::new().await;
    net.names.mx("old.example", 20, "backup.elsewhere.example");
    net.names.mx("old.example", 10, "old-example.mail.protection.outlook.com");
    let discovery = net.discover().await;
    let expected = ("outlook.office365.com", 993, Source::Mx, Trust::Dns, Some(Asks::NameService));
    assert_eq!(proposed(&discovery), expected);
    assert_eq!(discovery.proposal.unwrap().candidate.provider.unwrap().name, "Microsoft 365");
}

#[tokio::test]
async fn where_a_known_provider_takes_the_mail_a_server_of_the_web_host_needs_a_yes() {
    let mut net = Net::new().await;
    net.imap("mail.old.example", "mail.old.example", Valid::Now).await;
    net.names.mx("old.example", 10, "mx.filter.example");
    let proven = ("mail.old.example", 993, Source::Probe, Trust::Certificate, None);
    assert_eq!(
        proposed(&net.discover().await),
        proven,
        "a filter that nobody knows says nothing of a server"
    );
    net.names.mx("old.example", 1, "aspmx.l.google.com");
    let asked = ("mail.old.example", 993, Source::Probe, Trust::Certificate, Some(Asks::Contradiction));
    assert_eq!(proposed(&net.discover().await), asked);
    net.web.page("old.example", WELL_KNOWN, autoconfig("mail.hoster.example"));
    let asked = ("mail.hoster.example", 993, Source::WellKnown, Trust::Domain, Some(Asks::Contradiction));
    assert_eq!(proposed(&net.discover().await), asked);
    net.web.page("old.example", WELL_KNOWN, autoconfig("imap.gmail.com"));
    let agreed = ("imap.gmail.com", 993, Source::WellKnown, Trust::Domain, None);
    assert_eq!(proposed(&net.discover().await), agreed);
}

#[tokio::test]
async fn autodiscover_is_read_over_https_and_given_no_password() {
    let net = Net::new().await;
    let xml = "<Autodiscover><Response><Account><Protocol><Type>IMAP</Type><Server>mail.hoster.example</Server>\
               <Port>993</Port><SSL>on</SSL></Protocol></Account></Response></Autodiscover>";
    net.web.page("autodiscover.old.example", AUTODISCOVER, PageSays::Body(200, xml.into()));
    let discovery = net.discover().await;
    let expected = ("mail.hoster.example", 993, Source::Autodiscover, Trust::Domain, None);
    assert_eq!(proposed(&discovery), expected);
    net.web.page("autodiscover.old.example", AUTODISCOVER, PageSays::Body(401, Vec::new()));
    let discovery = net.discover().await;
    assert!(why(&discovery, Source::Autodiscover).contains("none is given"));
    assert!(net.web.requests().iter().all(|r| !r.text.to_ascii_lowercase().contains("authorization")));
    let json = "{\"Protocol\":\"AutodiscoverV1\",\"Url\":\"https://outlook.office365.com/autodiscover/autodiscover.xml\"}";
    let path = "/autodiscover/autodiscover.json";
    net.web.page("autodiscover.old.example", path, PageSays::Body(200, json.into()));
    let discovery = net.discover().await;
    assert_eq!(proposed(&discovery).0, "outlook.office365.com");
}

#[tokio::test]
async fn usual_names_are_looked_at_and_nobody_logs_in() {
    let mut net = Net::new().await;
    let server = net.imap("imap.old.example", "imap.old.example", Valid::Now).await;
    let discovery = net.discover().await;
    assert_eq!(proposed(&discovery), ("imap.old.example", 993, Source::Probe, Trust::Certificate, None));
    assert_eq!(
        server.counters().commands.get("LOGOUT"),
        Some(&1),
        "it was looked at: {:?}",
        server.counters()
    );
    net.assert_no_login();
}

#[tokio::test]
async fn a_host_that_never_answers_is_named_and_hides_no_other_one() {
    let mut net = Net::new().await;
    net.imap("imap.old.example", "imap.old.example", Valid::Now).await;
    // Both take connections, by the kernel alone, and say nothing.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    net.table.insert("mail.old.example:993".into(), deaf.local_addr().unwrap());
    net.table.insert("old.example:143".into(), deaf.local_addr().unwrap());
    let patience = std::time::Duration::from_secs(4);
    let discoverer = Discoverer { patience, ..net.discoverer() };
    let discovery = discoverer.discover(&Address::parse("ann@old.example").unwrap()).await;
    assert_eq!(proposed(&discovery), ("imap.old.example", 993, Source::Probe, Trust::Certificate, None));
    net.assert_no_login();

    let mut net = Net::new().await;
    net.table.insert("mail.old.example:993".into(), deaf.local_addr().unwrap());
    let discoverer = Discoverer { patience: patience / 8, ..net.discoverer() };
    let discovery = discoverer.discover(&Address::parse("ann@old.example").unwrap()).await;
    assert!(why(&discovery, Source::Probe).contains("port 993: no answer within"), "{discovery:#?}");
}

#[tokio::test]
async fn a_host_whose_certificate_does_not_speak_for_it_is_not_proposed() {
    for (certified, valid) in [("mail.hoster.example", Valid::Now), ("imap.old.example", Valid::Until2020)] {
        let mut net = Net::new().await;
        net.imap("imap.old.example", certified, valid).await;
        let discovery = net.discover().await;
        assert_eq!(discovery.proposal, None);
        assert!(why(&discovery, Source::Probe).contains("cannot trust imap.old.example"), "{discovery:#?}");
        net.assert_no_login();
    }
}

#[tokio::test]
async fn where_certificates_are_not_checked_a_name_in_the_domain_proves_nothing() {
    let mut net = Net::new().await;
    net.imap("imap.old.example", "mail.hoster.example", Valid::Now).await;
    let mut discoverer = net.discoverer();
    discoverer.trust.anything = true;
    let discovery = discoverer.discover(&Address::parse("ann@old.example").unwrap()).await;
    assert_eq!(proposed(&discovery).4, Some(Asks::NoCertificate));
    net.assert_no_login();
}

#[tokio::test]
async fn sources_that_contradict_each_other_are_shown_and_the_surer_one_is_proposed() {
    let mut net = Net::new().await;
    net.web.page("old.example", WELL_KNOWN, autoconfig("imap.hoster.example"));
    net.names.srv("_imaps._tcp.old.example", 10, 0, 993, "imap.elsewhere.example");
    net.names.mx("old.example", 10, "aspmx.l.google.com");
    net.imap("mail.old.example", "mail.old.example", Valid::Now).await;
    let discovery = net.discover().await;
    assert_eq!(proposed(&discovery).0, "imap.hoster.example");
    let lines = discovery.lines().join("\n");
    for said in [
        "but the usual names would be imaps://mail.old.example:993",
        "but SRV records would be imaps://imap.elsewhere.example:993",
        "but who takes the domain's mail (MX) would be imaps://imap.gmail.com:993",
    ] {
        assert!(lines.contains(said), "{said} in:\n{lines}");
    }
    net.web.page("autoconfig.old.example", AUTOCONFIG, autoconfig("imap.another.example"));
    let discovery = net.discover().await;
    assert_eq!(
        proposed(&discovery).4,
        Some(Asks::Contradiction),
        "two that are believed alike: a person decides"
    );
}

#[tokio::test]
async fn a_redirect_within_the_domain_is_followed_and_one_to_another_host_is_believed_less() {
    let net = Net::new().await;
    net.web.page("old.example", WELL_KNOWN, PageSays::To("https://www.old.example/x".into()));
    net.web.page("www.old.example", "/x", autoconfig("imap.hoster.example"));
    assert_eq!(proposed(&net.discover().await).3, Trust::Domain);

    net.web.page("old.example", WELL_KNOWN, PageSays::To("https://other.example/x".into()));
    net.web.page("other.example", "/x", autoconfig("imap.hoster.example"));
    let discovery = net.discover().await;
    let expected = ("imap.hoster.example", 993, Source::WellKnown, Trust::Elsewhere, Some(Asks::Elsewhere));
    assert_eq!(proposed(&discovery), expected);
}

#[tokio::test]
async fn a_redirect_to_http_or_in_circles_is_not_followed() {
    let net = Net::new().await;
    net.web.page("old.example", WELL_KNOWN, PageSays::To("http://old.example/x".into()));
    net.web.page("autoconfig.old.example", AUTOCONFIG, PageSays::To(AUTOCONFIG.into()));
    let discovery = net.discover().await;
    assert_eq!(discovery.proposal, None);
    assert!(why(&discovery, Source::WellKnown).contains("no https"), "{discovery:#?}");
    assert!(why(&discovery, Source::Autoconfig).contains("more than 3 times"), "{discovery:#?}");
}

#[tokio::test]
async fn answers_that_are_huge_endless_or_malicious_are_bounded_and_named() {
    let bomb = "<!DOCTYPE x [<!ENTITY a \"ha\">]><clientConfig>&a;</clientConfig>";
    let huge = format!("<clientConfig>{}</clientConfig>", " ".repeat(100_000));
    let deep = format!("<clientConfig>{}{}</clientConfig>", "<a>".repeat(1000), "</a>".repeat(1000));
    for (says, named) in [
        (PageSays::Body(200, bomb.into()), "document type"),
        (PageSays::Body(200, huge.into_bytes()), "longer than allowed"),
        (PageSays::Body(200, deep.into_bytes()), "deeper than allowed"),
        (PageSays::Endless, "longer than allowed"),
        (PageSays::Body(200, b"<html>Welcome".to_vec()), "no XML"),
        (PageSays::Body(500, Vec::new()), "status 500"),
        (PageSays::Body(403, Vec::new()), "none is given"),
    ] {
        let net = Net::new().await;
        net.web.page("autoconfig.old.example", AUTOCONFIG, says);
        let discovery = net.discover().await;
        assert_eq!(discovery.proposal, None);
        assert!(why(&discovery, Source::Autoconfig).contains(named), "{named}: {discovery:#?}");
    }
}

#[tokio::test]
async fn sources_that_never_answer_are_left_after_their_time_and_the_others_count() {
    let mut net = Net::new().await;
    net.names = NameServer::start_silent().await.unwrap();
    net.web.page("autoconfig.old.example", AUTOCONFIG, PageSays::Silence);
    let patience = std::time::Duration::from_millis(200);
    let discoverer = Discoverer { patience, ..net.discoverer() };
    let discovery = discoverer.discover(&Address::parse("ann@old.example").unwrap()).await;
    for source in [Source::Autoconfig, Source::Srv, Source::Mx] {
        assert!(why(&discovery, source).contains("no answer within"), "{discovery:#?}");
    }
}

#[tokio::test]
async fn without_a_network_what_could_not_be_asked_is_named_and_a_known_domain_is_found_all_the_same() {
    let mut net = Net::new().await;
    net.table.clear();
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let discoverer = Discoverer { dns: Dns::at(closed), ..net.discoverer() };
    let discovery = discoverer.discover(&Address::parse("ann@old.example").unwrap()).await;
    assert!(discovery.is_offline() && discovery.proposal.is_none(), "{discovery:#?}");
    assert_eq!(discovery.lines().iter().filter(|l| l.contains("no answer")).count(), 6);
    let known = discoverer.discover(&Address::parse("ann@icloud.com").unwrap()).await;
    assert_eq!(proposed(&known), ("imap.mail.me.com", 993, Source::Table, Trust::Shipped, None));
    assert_eq!(known.proposal.unwrap().candidate.users, ["ann"]);
    assert_eq!(known.answers.len(), 1, "nobody else hears of the address");
    assert!(net.names.asked().is_empty());
}

#[tokio::test]
async fn a_domain_of_which_nobody_knows_is_named_as_that_and_not_as_offline() {
    let net = Net::new().await;
    let discovery = net.discover().await;
    assert_eq!(discovery.proposal, None);
    assert!(!discovery.is_offline());
    assert!(why(&discovery, Source::Mx).contains("no such record"));
    assert!(net.names.asked().iter().all(|name| name.ends_with("old.example")), "{:?}", net.names.asked());
}

#[tokio::test]
async fn a_server_that_has_nothing_but_starttls_is_found_at_its_port_without_a_login() {
    let mut net = Net::new().await;
    for (certified, is_found) in [("imap.old.example", true), ("other.example", false)] {
        let acceptor = net.authority.acceptor(&[certified], Valid::Now).unwrap();
        let server = ImapStartTls::start(acceptor).await.unwrap();
        net.table.insert("imap.old.example:143".into(), server.address);
        let discovery = net.discover().await;
        if is_found {
            let expected = ("imap.old.example", 143, Source::Probe, Trust::Certificate, None);
            assert_eq!(proposed(&discovery), expected);
            assert_eq!(discovery.proposal.unwrap().candidate.endpoint.security, Security::StartTls);
            assert_eq!(server.said(), ["STARTTLS", "LOGOUT"]);
        } else {
            assert!(discovery.proposal.is_none(), "its certificate is for another name");
            assert_eq!(server.said(), ["STARTTLS"]);
        }
    }
}
