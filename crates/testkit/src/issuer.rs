//! An issuer of OAuth tokens for tests: every grant that the engine asks for, its errors, and answers that no issuer should
//! give. It shares no code with the engine.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Where it stands, for clients that reach it by a pipe.
pub const BASE: &str = "http://127.0.0.1:8414";
/// A client without a secret.
pub const PUBLIC_CLIENT: &str = "desktop";
/// A client with [`SECRET`], or with a certificate.
pub const CLIENT: &str = "application";
/// Its secret.
pub const SECRET: &str = "pear-6120-client";

/// A question that was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The form.
    pub form: BTreeMap<String, String>,
    /// When, by the runtime's clock.
    pub at: tokio::time::Instant,
}

/// What happens instead of the right answer, once.
#[derive(Clone, Debug)]
pub enum Instead {
    /// An error of RFC 6749, 5.2.
    Error(&'static str, &'static str),
    /// This status, and a page for people.
    Status(u16),
    /// This body with status 200.
    Body(String),
}

type OnToken = Box<dyn Fn(&str) + Send>;

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    instead: VecDeque<Instead>,
    /// Codes, with their PKCE challenge and redirect URI, until they are used.
    codes: BTreeMap<String, (String, String)>,
    consents: u64,
    /// Who assertions have to be for.
    audience: String,
    refresh: Option<String>,
    given: u64,
    lives: u64,
    rotates: bool,
    metadata: BTreeMap<String, Value>,
    /// The public key, in DER, of whoever signs assertions.
    key: Vec<u8>,
    on_token: Option<OnToken>,
}

/// The issuer. Clones are the same one.
#[derive(Clone)]
pub struct Issuer(Arc<Mutex<State>>);

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issuer")
    }
}

/// The issuer behind TLS.
#[derive(Debug)]
pub struct IssuerTls {
    /// Where it listens.
    pub address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for IssuerTls {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            lives: 3600,
            audience: format!("{BASE}/token"),
            ..State::default()
        })))
    }
}

impl Issuer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of every access token that is given.
    pub fn on_token(&self, told: impl Fn(&str) + Send + 'static) {
        self.state().on_token = Some(Box::new(told));
    }

    /// Seconds that tokens live.
    pub fn tokens_live(&self, seconds: u64) {
        self.state().lives = seconds;
    }

    /// Each refresh token is good once, and comes with another.
    pub fn rotate(&self) {
        self.state().rotates = true;
    }

    /// This refresh token is good; or none is.
    pub fn set_refresh(&self, token: Option<&str>) {
        self.state().refresh = token.map(str::to_owned);
    }

    /// Assertions have to be for this audience.
    pub fn set_audience(&self, audience: &str) {
        self.state().audience = audience.to_owned();
    }

    /// Instead of the next right answer.
    pub fn instead(&self, what: Instead) {
        self.state().instead.push_back(what);
    }

    /// Metadata at a path.
    pub fn publish(&self, path: &str, metadata: Value) {
        self.state().metadata.insert(path.to_owned(), metadata);
    }

    /// Assertions are judged by this key, in DER.
    pub fn set_key(&self, key: &[u8]) {
        self.state().key = key.to_vec();
    }

    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Somebody logs in at an authorization address and consents: where the browser goes.
    ///
    /// # Panics
    /// If the address asks for what the RFCs do not allow.
    #[must_use]
    pub fn consent(&self, address: &str) -> String {
        let asked = parse(address.split_once('?').map_or("", |(_, query)| query));
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(asked["state"].len() >= 32 && asked["code_challenge"].len() == 43, "{asked:?}");
        let mut state = self.state();
        let code = format!("code-{}", state.consents);
        state.consents += 1;
        let bound = (asked["code_challenge"].clone(), asked["redirect_uri"].clone());
        state.codes.insert(code.clone(), bound);
        format!("{}?state={}&code={code}", asked["redirect_uri"], asked["state"])
    }

    /// Serves https on loopback, until the answer is dropped.
    ///
    /// # Errors
    /// Those of binding a port.
    pub async fn listen(&self, acceptor: TlsAcceptor) -> std::io::Result<IssuerTls> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, issuer) = (listener.local_addr()?, self.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, issuer) = (acceptor.clone(), issuer.clone());
                connections.spawn(async move {
                    // A client that does not trust this issuer goes away in the handshake.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        issuer.serve(stream).await;
                    }
                });
            }
        });
        Ok(IssuerTls { address, task })
    }

    /// Publishes its metadata (RFC 8414) as the issuer at `url`.
    pub fn publish_as(&self, url: &str) {
        let ends = json!({ "issuer": url, "authorization_endpoint": format!("{url}/authorize"),
            "device_authorization_endpoint": format!("{url}/device"), "token_endpoint": format!("{url}/token") });
        self.publish("/.well-known/oauth-authorization-server", ends);
        self.set_audience(&format!("{url}/token"));
    }

    /// Serves one connection: one request.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) {
        let Some((path, body)) = request(&mut stream).await else { return };
        let (status, answer) = self.answer(&path, parse(&body));
        let head =
            format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
        // A client that is gone needs no answer.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
    }

    fn answer(&self, path: &str, form: BTreeMap<String, String>) -> (u16, String) {
        let mut state = self.state();
        state.asked.push(Asked {
            path: path.to_owned(),
            form: form.clone(),
            at: tokio::time::Instant::now(),
        });
        match state.instead.pop_front() {
            Some(Instead::Error(code, text)) => return error(code, text),
            Some(Instead::Status(status)) => return (status, "<html>busy".into()),
            Some(Instead::Body(body)) => return (200, body),
            None => {}
        }
        let metadata = state.metadata.get(path).map(Value::to_string);
        match path {
            _ if metadata.is_some() => (200, metadata.unwrap_or_default()),
            "/device" => {
                let codes = json!({ "device_code": "device-1", "user_code": "WDJB-MJHT", "interval": 5,
                    "verification_uri": format!("{BASE}/activate"), "expires_in": 300 });
                (200, codes.to_string())
            }
            "/token" => match state.grant(&form) {
                Ok(tokens) => (200, tokens.to_string()),
                Err(code) => error(code, "as asked for"),
            },
            _ => (404, "<html>nothing".into()),
        }
    }
}

impl State {
    fn grant(&mut self, form: &BTreeMap<String, String>) -> Result<Value, &'static str> {
        let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let mut refreshes = true;
        match of("grant_type") {
            "authorization_code" => {
                self.client(form)?;
                // Once: a code that comes again is stolen.
                let (challenge, redirect) = self.codes.remove(of("code")).ok_or("invalid_grant")?;
                let shown = BASE64URL.encode(Sha256::digest(of("code_verifier")));
                if shown != challenge || redirect != of("redirect_uri") {
                    return Err("invalid_grant");
                }
            }
            "refresh_token" => {
                self.client(form)?;
                if self.refresh.as_deref() != Some(of("refresh_token")) {
                    return Err("invalid_grant");
                }
                refreshes = self.rotates;
            }
            "urn:ietf:params:oauth:grant-type:device_code" => {
                self.client(form)?;
                if of("device_code") != "device-1" {
                    return Err("invalid_grant");
                }
            }
            "client_credentials" => {
                if of("client_id") != CLIENT {
                    return Err("unauthorized_client");
                }
                self.client(form)?;
                refreshes = false;
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                let claims = self.assertion(of("assertion"), "RS256").ok_or("invalid_grant")?;
                if claims["sub"] == "mallory" {
                    return Err("unauthorized_client");
                }
                refreshes = false;
            }
            _ => return Err("unsupported_grant_type"),
        }
        self.given += 1;
        let access = format!("access-{}-plum-8843", self.given);
        if let Some(told) = &self.on_token {
            told(&access);
        }
        let mut tokens = json!({ "access_token": access, "token_type": "Bearer", "expires_in": self.lives });
        if refreshes {
            let refresh = format!("refresh-{}-sloe-2907", self.given);
            tokens["refresh_token"] = refresh.as_str().into();
            self.refresh = Some(refresh);
        }
        Ok(tokens)
    }

    /// The client is who it says.
    fn client(&self, form: &BTreeMap<String, String>) -> Result<(), &'static str> {
        let of = |name: &str| form.get(name).map(String::as_str);
        let known = match (of("client_id"), of("client_secret"), of("client_assertion")) {
            (Some(PUBLIC_CLIENT), None, None) => true,
            (Some(CLIENT), Some(secret), None) => secret == SECRET,
            (Some(CLIENT), None, Some(assertion)) => {
                let claims = self.assertion(assertion, "PS256");
                claims.is_some_and(|c| c["iss"] == CLIENT && c["sub"] == CLIENT)
            }
            _ => false,
        };
        if known { Ok(()) } else { Err("invalid_client") }
    }

    /// The claims of an assertion, if its signature, its audience and its times are good.
    fn assertion(&self, text: &str, algorithm: &str) -> Option<Value> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (head, body) = signed.split_once('.')?;
        let decode = |part: &str| serde_json::from_slice::<Value>(&BASE64URL.decode(part).ok()?).ok();
        let (head, claims) = (decode(head)?, decode(body)?);
        let how = if algorithm == "PS256" { &RSA_PSS_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA256 };
        let key = UnparsedPublicKey::new(how, &self.key);
        key.verify(signed.as_bytes(), &BASE64URL.decode(signature).ok()?).ok()?;
        let times = claims["iat"].as_u64()? < claims["exp"].as_u64()?;
        let good = head["alg"] == algorithm && claims["aud"] == self.audience && times;
        good.then_some(claims)
    }
}

fn error(code: &str, text: &str) -> (u16, String) {
    (400, json!({ "error": code, "error_description": text }).to_string())
}

/// The path and the body of a request.
async fn request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<(String, String)> {
    let mut octets = Vec::new();
    let head = loop {
        if let Some(end) = octets.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut octets).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&octets[..head]).into_owned();
    let length = text.lines().find_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    while octets.len() < head + length.unwrap_or(0) {
        if stream.read_buf(&mut octets).await.ok()? == 0 {
            return None;
        }
    }
    let path = text.split(' ').nth(1)?.to_owned();
    Some((path, String::from_utf8_lossy(&octets[head..]).into_owned()))
}

/// A form or a query, decoded.
fn parse(text: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let mut octets = Vec::new();
        let mut rest = text.bytes();
        while let Some(octet) = rest.next() {
            octets.push(match octet {
                b'%' => {
                    let digits = [rest.next(), rest.next()].map(|d| char::from(d.unwrap_or(b'0')));
                    u8::from_str_radix(&String::from_iter(digits), 16).unwrap_or(b'?')
                }
                b'+' => b' ',
                octet => octet,
            });
        }
        String::from_utf8_lossy(&octets).into_owned()
    };
    text.split('&').filter_map(|p| p.split_once('=')).map(|(n, v)| (decode(n), decode(v))).collect()
}
