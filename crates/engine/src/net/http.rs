//! HTTPS to the issuers of tokens: one request a connection, no redirects, answers bounded in size and time. TLS is that of
//! the IMAP connections, with the same certificates believed.

use super::{Dialer, Stream, dial, encrypt};
use crate::config::{Endpoint, Identities, Security, Trust};
use crate::limits::{HTTP_ANSWER_OCTETS_MAX, HTTP_ANSWER_TIME_MAX, Limits};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

/// What stays as it is in a form (RFC 3986, unreserved).
const NOT_IN_FORMS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How HTTP is spoken.
#[derive(Clone, Debug)]
pub struct Http {
    dialer: Dialer,
    trust: Trust,
    limits: Limits,
    clear_on_loopback: bool,
}

/// An answer, whatever it says.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body: it may be a secret.
    pub body: Zeroizing<Vec<u8>>,
}

/// A URL that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Url {
    endpoint: Endpoint,
    path: String,
}

impl Http {
    /// HTTPS and nothing else.
    pub fn new(trust: Trust, limits: Limits) -> Self {
        Self { dialer: Dialer::Tcp, trust, limits, clear_on_loopback: false }
    }

    /// For tests: over `dialer`, and `http://` to this machine itself is allowed.
    pub fn clear_on_loopback(dialer: Dialer) -> Self {
        Self { dialer, trust: Trust::default(), limits: Limits::default(), clear_on_loopback: true }
    }

    /// GET.
    pub async fn get(&self, url: &str) -> Result<Reply, String> {
        self.ask(Method::GET, url, Zeroizing::new(String::new())).await
    }

    /// POST of a form.
    pub async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Reply, String> {
        self.ask(Method::POST, url, encoded(form)).await
    }

    async fn ask(&self, method: Method, url: &str, body: Zeroizing<String>) -> Result<Reply, String> {
        let Url { endpoint, path } = self.url(url)?;
        let host = endpoint.authority();
        let talk = async {
            let mut stream: Stream =
                dial(&self.dialer, &endpoint, &self.limits).await.map_err(|e| e.to_string())?;
            if endpoint.security == Security::Tls {
                let identities = Identities { trust: &self.trust, own: None };
                stream =
                    encrypt(stream, &endpoint, identities, &self.limits).await.map_err(|e| e.to_string())?;
            }
            let broken = |e: hyper::Error| format!("{host} does not speak HTTP: {e}");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
            let driving = tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, &host)
                .header(ACCEPT, "application/json")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(CONNECTION, "close")
                .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
                .map_err(|e| format!("{host}: {e}"))?;
            let answer = sender.send_request(request).await.map_err(broken)?;
            let status = answer.status().as_u16();
            let too_long = |_| format!("the answer of {host} is broken, or longer than allowed");
            let body = Limited::new(answer.into_body(), HTTP_ANSWER_OCTETS_MAX).collect().await;
            let body = Zeroizing::new(body.map_err(too_long)?.to_bytes().to_vec());
            driving.abort();
            Ok(Reply { status, body })
        };
        let late = |_| format!("{host} gave no answer within {} s", HTTP_ANSWER_TIME_MAX.as_secs());
        tokio::time::timeout(HTTP_ANSWER_TIME_MAX, talk).await.map_err(late)?
    }

    fn url(&self, text: &str) -> Result<Url, String> {
        let bad = || format!("{text:?} is no URL that can be asked: https://host/path is expected");
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') => (host, Some(port.parse().map_err(|_| bad())?)),
            _ => (authority, None),
        };
        let is_here = ["127.0.0.1", "localhost"].contains(&host);
        let (security, default) = match scheme {
            "https" => (Security::Tls, 443),
            "http" if self.clear_on_loopback && is_here => (Security::Clear, 80),
            _ => return Err(bad()),
        };
        let is_name =
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let is_path = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if !is_name || !is_path {
            return Err(bad());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let endpoint = Endpoint { host: host.to_owned(), port: port.unwrap_or(default), security };
        Ok(Url { endpoint, path })
    }
}

/// A form, or the query of a URL.
pub fn encoded(form: &[(&str, &str)]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for (at, (name, value)) in form.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        text.extend(utf8_percent_encode(name, NOT_IN_FORMS));
        text.push('=');
        text.extend(utf8_percent_encode(value, NOT_IN_FORMS));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_asked_but_for_this_machine_in_tests() {
        let strict = Http::new(Trust::default(), Limits::default());
        let test = Http::clear_on_loopback(Dialer::Tcp);
        let endpoint = |host: &str, port, security| Endpoint { host: host.into(), port, security };
        let url = strict.url("https://login.example/a/token?b=c").unwrap();
        let login = endpoint("login.example", 443, Security::Tls);
        assert_eq!(url, Url { endpoint: login, path: "/a/token?b=c".into() });
        assert_eq!(
            test.url("http://127.0.0.1:81").unwrap().endpoint,
            endpoint("127.0.0.1", 81, Security::Clear)
        );
        for bad in [
            "http://login.example/token",
            "http://127.0.0.1:81/",
            "ftp://x/",
            "https://",
            "https://user@host/",
            "https://host:port/",
            "https://host/a b",
            "https://host/\r\nX: y",
            "login.example",
        ] {
            assert!(strict.url(bad).is_err(), "{bad}");
        }
        assert!(test.url("http://127.0.0.1.example/").is_err());
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(&encoded(&[("a b", "c&d=é"), ("e", "f~g")])[..], "a%20b=c%26d%3D%C3%A9&e=f~g");
    }
}
