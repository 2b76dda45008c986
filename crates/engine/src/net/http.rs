//! HTTPS to the issuers of tokens, and to those who may know where mail lies: one request a connection, answers bounded in size
//! and time. Issuers may not redirect; pages may, to https alone. TLS is that of the IMAP connections.

use super::{Dialer, Proxies, Stream, dial, encrypt};
use crate::config::{Endpoint, Identities, Security, Trust};
use crate::limits::{DISCOVERY_REDIRECTS_MAX, HTTP_ANSWER_OCTETS_MAX, HTTP_ANSWER_TIME_MAX, Limits};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, LOCATION};
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
    proxies: Proxies,
    clear_on_loopback: bool,
}

/// An answer, whatever it says.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body: it may be a secret.
    pub body: Zeroizing<Vec<u8>>,
}

/// A page, from wherever the redirects led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// The host that gave it.
    pub host: String,
}

/// One request.
struct Asking<'a> {
    method: Method,
    accept: &'a str,
    kind: &'a str,
    body: Zeroizing<String>,
}

/// An answer, and where it sends us.
struct Answered {
    reply: Reply,
    location: Option<String>,
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
        Self::over(Dialer::Tcp, trust, limits)
    }

    /// For tests: over `dialer`, and `http://` to this machine itself is allowed.
    pub fn clear_on_loopback(dialer: Dialer) -> Self {
        Self { clear_on_loopback: true, ..Self::over(dialer, Trust::default(), Limits::default()) }
    }

    /// HTTPS and nothing else, over `dialer`.
    pub fn over(dialer: Dialer, trust: Trust, limits: Limits) -> Self {
        Self { dialer, trust, limits, proxies: Proxies::default(), clear_on_loopback: false }
    }

    /// The same through proxies.
    pub fn through(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// GET.
    pub async fn get(&self, url: &str) -> Result<Reply, String> {
        Ok(self.ask(url, &of_issuer(Method::GET, Zeroizing::new(String::new()))).await?.reply)
    }

    /// POST of a form.
    pub async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Reply, String> {
        Ok(self.ask(url, &of_issuer(Method::POST, encoded(form))).await?.reply)
    }

    /// GET of a page that holds no secret. Redirects are followed, to https alone.
    ///
    /// # Errors
    /// Why there is no page, in words.
    pub async fn page(&self, url: &str) -> Result<Page, String> {
        let body = Zeroizing::new(String::new());
        self.follow(url, Asking { method: Method::GET, accept: "*/*", kind: "text/plain", body }).await
    }

    /// The same by POST of an XML document, which is sent again to wherever a redirect leads.
    ///
    /// # Errors
    /// Why there is no page, in words.
    pub async fn ask_page(&self, url: &str, xml: &str) -> Result<Page, String> {
        let body = Zeroizing::new(xml.to_owned());
        self.follow(
            url,
            Asking { method: Method::POST, accept: "*/*", kind: "text/xml; charset=utf-8", body },
        )
        .await
    }

    async fn follow(&self, url: &str, asking: Asking<'_>) -> Result<Page, String> {
        let mut url = url.to_owned();
        for _ in 0..=DISCOVERY_REDIRECTS_MAX {
            let host = self.url(&url)?.endpoint.host;
            let Answered { reply, location } = self.ask(&url, &asking).await?;
            match location.filter(|_| (300..400).contains(&reply.status)) {
                Some(to) => url = redirected(&url, &to)?,
                None => return Ok(Page { status: reply.status, body: reply.body.to_vec(), host }),
            }
        }
        Err(format!("it redirects more than {DISCOVERY_REDIRECTS_MAX} times"))
    }

    async fn ask(&self, url: &str, asking: &Asking<'_>) -> Result<Answered, String> {
        let Url { endpoint, path } = self.url(url)?;
        let host = endpoint.authority();
        let talk = async {
            let proxy = self.proxies.before(&endpoint.host);
            let first = proxy.map_or(&endpoint, |proxy| &proxy.endpoint);
            let mut stream: Stream =
                dial(&self.dialer, first, &self.limits).await.map_err(|e| e.to_string())?;
            if let Some(proxy) = proxy {
                proxy.tunnel(&mut stream, &endpoint).await?;
            }
            if endpoint.security == Security::Tls {
                let identities = Identities { trust: &self.trust, own: None };
                stream =
                    encrypt(stream, &endpoint, identities, &self.limits).await.map_err(|e| e.to_string())?;
            }
            let broken = |e: hyper::Error| format!("{host} does not speak HTTP: {e}");
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
            let driving = Driving(tokio::spawn(connection));
            let request = Request::builder()
                .method(asking.method.clone())
                .uri(path)
                .header(HOST, endpoint.host_header())
                .header(ACCEPT, asking.accept)
                .header(CONTENT_TYPE, asking.kind)
                .header(CONNECTION, "close")
                .body(Full::new(Bytes::copy_from_slice(asking.body.as_bytes())))
                .map_err(|e| format!("{host}: {e}"))?;
            let answer = sender.send_request(request).await.map_err(broken)?;
            let status = answer.status().as_u16();
            let location = answer.headers().get(LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
            let too_long = |_| format!("the answer of {host} is broken, or longer than allowed");
            let body = Limited::new(answer.into_body(), HTTP_ANSWER_OCTETS_MAX).collect().await;
            let body = Zeroizing::new(body.map_err(too_long)?.to_bytes().to_vec());
            drop(driving);
            Ok(Answered { reply: Reply { status, body }, location })
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

impl Endpoint {
    /// As a URL has it (RFC 9110, 7.2): without the port that goes without saying.
    fn host_header(&self) -> String {
        if self.port == 443 { self.host.clone() } else { self.authority() }
    }
}

/// The task of a connection ends with whoever asked, also when nobody waits for the answer any more.
struct Driving(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn of_issuer(method: Method, body: Zeroizing<String>) -> Asking<'static> {
    Asking { method, accept: "application/json", kind: "application/x-www-form-urlencoded", body }
}

/// Where a redirect leads (RFC 9110, 10.2.2): to https, or to another path of the same host.
fn redirected(from: &str, to: &str) -> Result<String, String> {
    let origin = from.split_once("://").map_or(from, |(_, rest)| rest);
    let origin = origin.split(['/', '?']).next().unwrap_or_default();
    if let Some(rest) = to.strip_prefix("//") {
        return Ok(format!("https://{rest}"));
    }
    if to.starts_with('/') {
        return Ok(format!("https://{origin}{to}"));
    }
    match to.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Ok(format!("https://{rest}")),
        _ => Err(format!("{origin} redirects to where no https is, which is not followed")),
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
    fn redirects_lead_to_https_or_stay_where_they_are() {
        let from = "https://old.example/.well-known/x?y";
        for (to, whole) in [
            ("https://www.old.example/x", "https://www.old.example/x"),
            ("HTTPS://other.example/x", "https://other.example/x"),
            ("//other.example/x", "https://other.example/x"),
            ("/elsewhere", "https://old.example/elsewhere"),
        ] {
            assert_eq!(redirected(from, to).as_deref(), Ok(whole));
        }
        for bad in ["http://old.example/", "ftp://old.example/", "javascript:x", "elsewhere", ""] {
            assert!(redirected(from, bad).unwrap_err().contains("old.example"), "{bad}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(&encoded(&[("a b", "c&d=é"), ("e", "f~g")])[..], "a%20b=c%26d%3D%C3%A9&e=f~g");
    }
}
