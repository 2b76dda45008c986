//! A proxy between us and HTTPS servers: a tunnel by CONNECT (RFC 9110, 9.3.6), through which TLS goes end to end. Connections to
//! mail servers do not go through it: those proxies let port 443 pass, if that.

use super::Stream;
use crate::config::{Endpoint, Security};
use crate::limits::PROXY_ANSWER_OCTETS_MAX;
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

/// Which proxy stands before which hosts.
#[derive(Clone, Default)]
pub struct Proxies {
    proxy: Option<Proxy>,
    /// Lower case, without a leading dot; `*` for all.
    except: Vec<String>,
}

/// One proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) endpoint: Endpoint,
    /// The value of Proxy-Authorization.
    authorization: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Proxies").field(&self.proxy.as_ref().map(|p| p.endpoint.authority())).finish()
    }
}

impl Proxies {
    /// From what the environment says: `HTTPS_PROXY` or `ALL_PROXY` (`http://user:password@host:port`, or `host:port`; an
    /// IPv6 address in brackets) and `NO_PROXY` (names, with all below them, and addresses, separated by commas).
    ///
    /// # Errors
    /// Why there is no such proxy, in words, without the password.
    pub fn parse(proxy: Option<&str>, except: Option<&str>) -> Result<Self, String> {
        let proxy = proxy.map(str::trim).filter(|text| !text.is_empty()).map(Proxy::parse).transpose()?;
        let names = except.unwrap_or_default().split([',', ' ']);
        let bare = |name: &str| name.trim().trim_start_matches('.').to_ascii_lowercase();
        Ok(Self { proxy, except: names.map(bare).filter(|name| !name.is_empty()).collect() })
    }

    /// The proxy before a host. This machine itself is reached without one.
    pub(super) fn before(&self, host: &str) -> Option<&Proxy> {
        let host = host.to_ascii_lowercase();
        let is_here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        let is_below = |name: &String| {
            name == "*" || host.strip_suffix(name.as_str()).is_some_and(|h| h.is_empty() || h.ends_with('.'))
        };
        self.proxy.as_ref().filter(|_| !is_here && !self.except.iter().any(is_below))
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (login, authority) = match rest.trim_end_matches('/').rsplit_once('@') {
            Some((login, authority)) => (Some(login), authority),
            None => (None, rest.trim_end_matches('/')),
        };
        if scheme != "http" {
            return Err(format!("{scheme}://{authority} is not supported; http://host:port is"));
        }
        let bad = || format!("{authority:?} is no proxy; http://host:port is expected");
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, "")) => (address, "80"),
            Some((address, port)) => (address, port.strip_prefix(':').ok_or_else(bad)?),
            None => authority.rsplit_once(':').unwrap_or((authority, "80")),
        };
        let is_plain = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        let is_host = match authority.starts_with('[') {
            true => host.parse::<std::net::Ipv6Addr>().is_ok(),
            false => !host.is_empty() && is_plain(host),
        };
        let port = port.parse().ok().filter(|_| is_host).ok_or_else(bad)?;
        let authorization = login.map(|login| {
            let plain: Zeroizing<Vec<u8>> = Zeroizing::new(percent_decode_str(login).collect());
            Zeroizing::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&*plain)))
        });
        Ok(Self {
            endpoint: Endpoint { host: host.to_owned(), port, security: Security::Clear },
            authorization,
        })
    }

    /// Asks for a tunnel to `endpoint` on a connection to the proxy.
    ///
    /// # Errors
    /// In words.
    pub(super) async fn tunnel(&self, stream: &mut Stream, endpoint: &Endpoint) -> Result<(), String> {
        let (to, proxy) = (endpoint.authority(), self.endpoint.authority());
        let mut request = Zeroizing::new(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n"));
        if let Some(authorization) = &self.authorization {
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let lost = |e: std::io::Error| format!("the proxy {proxy}: {e}");
        stream.write_all(request.as_bytes()).await.map_err(lost)?;
        stream.flush().await.map_err(lost)?;
        // One by one: what comes after the empty line is the server's.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= PROXY_ANSWER_OCTETS_MAX {
                return Err(format!("the proxy {proxy} gives no end of its answer"));
            }
            answer.push(stream.read_u8().await.map_err(lost)?);
        }
        let first = answer.split(|o| *o == b'\r').next().map(String::from_utf8_lossy).unwrap_or_default();
        match first.split(' ').nth(1) {
            Some("200") if first.starts_with("HTTP/1.") => Ok(()),
            Some("407") => Err(format!(
                "the proxy {proxy} wants a name and a password: http://name:password@{proxy} in the variable that names it"
            )),
            _ => Err(format!("the proxy {proxy} gives no way to {to}: {}", crate::names::printable(&first))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(proxies: &Proxies, host: &str) -> Option<String> {
        proxies.before(host).map(|p| p.endpoint.authority())
    }

    #[test]
    fn a_proxy_stands_before_all_hosts_but_those_excepted_and_this_machine() {
        let proxies =
            Proxies::parse(Some("http://proxy.example:3128/"), Some(".corp.example, 10.0.0.7,old.example"))
                .unwrap();
        let through = Some("proxy.example:3128".to_owned());
        for host in ["login.example", "corp.example.org", "notcorp.example", "10.0.0.77"] {
            assert_eq!(before(&proxies, host), through, "{host}");
        }
        for host in ["corp.example", "a.CORP.example", "old.example", "10.0.0.7", "localhost", "127.0.0.1"] {
            assert_eq!(before(&proxies, host), None, "{host}");
        }
        assert_eq!(before(&Proxies::parse(Some("p:80"), Some("*")).unwrap(), "login.example"), None);
        assert_eq!(before(&Proxies::parse(Some(" "), None).unwrap(), "login.example"), None);
        assert_eq!(
            before(&Proxies::parse(Some("p:81"), None).unwrap(), "login.example"),
            Some("p:81".into())
        );
        for (address, through) in [("http://[::1]:3128", "[::1]:3128"), ("[2001:db8::1]", "[2001:db8::1]:80")]
        {
            let proxies = Proxies::parse(Some(address), None).unwrap();
            assert_eq!(before(&proxies, "login.example"), Some(through.into()));
        }
    }

    #[test]
    fn what_is_no_proxy_is_named_without_its_password() {
        for bad in [
            "socks5://ann:plum@p:1",
            "https://ann:plum@p:1",
            "http://ann:plum@p:port",
            "http://ann:plum@",
            "http://ann:plum@[::1",
            "http://ann:plum@[p]:1",
            "http://ann:plum@[::1]1",
        ] {
            let words = Proxies::parse(Some(bad), None).unwrap_err();
            assert!(words.contains("http://host:port is") && !words.contains("plum"), "{words}");
        }
        let told = format!("{:?}", Proxies::parse(Some("http://ann:plum@p:1"), None).unwrap());
        assert_eq!(told, "Proxies(Some(\"p:1\"))");
    }

    async fn tunnel(answer: &'static str) -> (Result<(), String>, String) {
        let proxies = Proxies::parse(Some("http://ann:p%40ss@p:1"), None).unwrap();
        let (ours, theirs) = tokio::io::duplex(4096);
        let endpoint = Endpoint { host: "login.example".into(), port: 443, security: Security::Tls };
        let serving = async {
            let (mut reader, mut writer) = tokio::io::split(theirs);
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(reader.read_u8().await.unwrap());
            }
            writer.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        };
        let mut stream = Stream::Memory(ours);
        let proxy = proxies.before("login.example").unwrap();
        let asking = async {
            let opened = proxy.tunnel(&mut stream, &endpoint).await;
            if opened.is_ok() {
                assert_eq!(stream.read_u8().await.unwrap(), b'!', "what follows is the server's");
            }
            opened
        };
        tokio::join!(asking, serving)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_with_name_and_password_and_a_refusal_is_told() {
        let (opened, asked) = tunnel("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n!").await;
        opened.unwrap();
        assert_eq!(
            asked,
            "CONNECT login.example:443 HTTP/1.1\r\nHost: login.example:443\r\nProxy-Authorization: Basic YW5uOnBAc3M=\r\n\r\n"
        );
        let (refused, _) = tunnel("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        assert!(refused.unwrap_err().contains("wants a name and a password"));
        let (refused, _) = tunnel("HTTP/1.1 403 \u{1b}[2JForbidden\r\n\r\n").await;
        let words = "the proxy p:1 gives no way to login.example:443: HTTP/1.1 403 <U+001B>[2JForbidden";
        assert_eq!(refused.unwrap_err(), words);
        let (refused, _) = tunnel("HTTP/1.1 200").await;
        assert!(refused.unwrap_err().starts_with("the proxy p:1: "));
    }
}
