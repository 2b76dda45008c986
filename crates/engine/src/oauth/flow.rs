//! The ways to a token, each to its end: browser (RFC 6749 4.1, RFC 7636, RFC 8252), device (RFC 8628), refresh (RFC 6749, 6),
//! application (4.4), service account (RFC 7523, 2.1).

use super::jwt::{Claims, ServiceAccount};
use super::{Client, ClientProof, Issuer, OAuthError, Tokens};
use crate::clock::Clock;
use crate::limits::{BROWSER_LOGIN_TIME_MAX, DEVICE_POLL_DEFAULT, DEVICE_POLL_MIN, DEVICE_SLOW_DOWN};
use crate::net::{Http, Redirect, encoded};
use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Somebody who can log in; shows them where.
pub trait Person: Send + Sync {
    /// Whether anybody is there.
    fn is_there(&self) -> bool;
    /// Log in at this address, in a browser of this machine.
    fn visit(&self, address: &str);
    /// Log in at this address, anywhere, and enter this code.
    fn enter(&self, address: &str, code: &str);
}

/// Everything that a way to a token needs.
#[derive(Clone, Debug)]
pub struct Talk {
    /// How the issuer is asked.
    pub http: Http,
    /// Who.
    pub issuer: Issuer,
    /// As whom.
    pub client: Client,
    /// For what, words separated by spaces.
    pub scope: String,
    /// The clock, for assertions.
    pub clock: Clock,
}

/// Letters kept of an issuer's description.
const DESCRIPTION_LETTERS_MAX: usize = 200;

impl Talk {
    /// A person logs in with a browser, which comes back to a port of this machine.
    pub(super) async fn by_browser(&self, user: &str, person: &dyn Person) -> Result<Tokens, OAuthError> {
        let no_way = || OAuthError::NoSuchWay(self.issuer.name.clone(), "with a browser");
        let page = self.issuer.authorization.as_deref().ok_or_else(no_way)?;
        is_there(person)?;
        let machine = |e: std::io::Error| OAuthError::Machine(e.to_string());
        let redirect = Redirect::open().await.map_err(machine)?;
        let uri = format!("http://{}:{}/", self.issuer.redirect_host, redirect.port());
        let (state, verifier) = (random()?, random()?);
        let challenge = BASE64URL.encode(Sha256::digest(verifier.as_bytes()));
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", &self.client.id),
            ("redirect_uri", &uri),
            ("scope", &self.scope),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("login_hint", user),
        ];
        query.extend(self.issuer.parameters);
        let separator = if page.contains('?') { '&' } else { '?' };
        person.visit(&format!("{page}{separator}{}", &*encoded(&query)));
        let is_ours = |s: Option<&str>| {
            let s = s.unwrap_or_default();
            constant_time::verify_slices_are_equal(s.as_bytes(), state.as_bytes()).is_ok()
        };
        let coming = redirect.answer(|b| is_ours(b.get("state")));
        let brought = tokio::time::timeout(BROWSER_LOGIN_TIME_MAX, coming).await;
        let brought = brought.map_err(|_| OAuthError::TooLate)?.map_err(machine)?;
        if let Some(code) = brought.get("error") {
            return Err(refused(code, brought.get("error_description").unwrap_or_default()));
        }
        let code = brought.get("code").unwrap_or_default();
        self.tokens(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &uri),
            ("code_verifier", &verifier),
        ])
        .await
    }

    /// A person enters a code on another device.
    pub(super) async fn by_device(&self, person: &dyn Person) -> Result<Tokens, OAuthError> {
        let no_way = || OAuthError::NoSuchWay(self.issuer.name.clone(), "by a code (for mail)");
        let url = self.issuer.device.as_deref().ok_or_else(no_way)?;
        is_there(person)?;
        let json = self.ask(url, &[("scope", &self.scope)]).await?;
        let field = |name: &'static str| {
            let text = json.get(name).and_then(|v| v.as_str()).filter(|t| !t.is_empty());
            text.ok_or_else(|| OAuthError::BadAnswer(format!("{name} is missing")))
        };
        let seconds = |name: &str| json.get(name).and_then(serde_json::Value::as_u64);
        let device = Zeroizing::new(field("device_code")?.to_owned());
        // Microsoft and others before the RFC: verification_url.
        let page = field("verification_uri").or_else(|_| field("verification_url"))?;
        person.enter(page, field("user_code")?);
        let mut interval =
            seconds("interval").map_or(DEVICE_POLL_DEFAULT, Duration::from_secs).max(DEVICE_POLL_MIN);
        let lives = seconds("expires_in")
            .map_or(BROWSER_LOGIN_TIME_MAX, Duration::from_secs)
            .min(BROWSER_LOGIN_TIME_MAX);
        let deadline = tokio::time::Instant::now() + lives;
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device.as_str()),
        ];
        loop {
            tokio::time::sleep(interval.min(BROWSER_LOGIN_TIME_MAX)).await;
            if tokio::time::Instant::now() >= deadline {
                return Err(OAuthError::TooLate);
            }
            match self.tokens(&form).await {
                Err(e) if e.code() == Some("authorization_pending") => {}
                // RFC 8628, 3.5: for this and all later questions. A connection that fails is to be asked less often, too.
                Err(e) if e.code() == Some("slow_down") || matches!(e, OAuthError::Unreachable(_)) => {
                    interval += DEVICE_SLOW_DOWN;
                }
                done => return done,
            }
        }
    }

    /// A new access token, nobody asked.
    pub(super) async fn by_refresh(&self, refresh: &str) -> Result<Tokens, OAuthError> {
        let mut tokens = self
            .tokens(&[("grant_type", "refresh_token"), ("refresh_token", refresh), ("scope", &self.scope)])
            .await?;
        // RFC 6749, 6: an issuer that gives no other keeps the one it gave.
        tokens.refresh.get_or_insert_with(|| Zeroizing::new(refresh.to_owned()));
        Ok(tokens)
    }

    /// The application itself, in nobody's name.
    pub(super) async fn by_client(&self) -> Result<Tokens, OAuthError> {
        self.tokens(&[("grant_type", "client_credentials"), ("scope", &self.scope)]).await
    }

    /// A service account, in the name of `user` (domain-wide delegation).
    pub(super) async fn by_service_account(
        &self,
        account: &ServiceAccount,
        user: &str,
    ) -> Result<Tokens, OAuthError> {
        let (issuer, audience, scope) =
            (account.email.as_str(), self.issuer.token.as_str(), Some(self.scope.as_str()));
        let assertion =
            account.key.sign(&Claims { issuer, subject: user, audience, scope, now: self.now() })?;
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        self.post(&self.issuer.token, &[("grant_type", grant), ("assertion", &assertion)])
            .await
            .and_then(|j| tokens(&j))
    }

    async fn tokens(&self, form: &[(&str, &str)]) -> Result<Tokens, OAuthError> {
        tokens(&self.ask(&self.issuer.token, form).await?)
    }

    /// A question in the client's name.
    async fn ask(&self, url: &str, form: &[(&str, &str)]) -> Result<Json, OAuthError> {
        let mut form = form.to_vec();
        form.push(("client_id", &self.client.id));
        let assertion;
        match &self.client.proof {
            ClientProof::Nothing => {}
            ClientProof::Secret(secret) => form.push(("client_secret", secret)),
            ClientProof::Certificate(key) => {
                let (id, audience) = (self.client.id.as_str(), self.issuer.token.as_str());
                let claims = Claims { issuer: id, subject: id, audience, scope: None, now: self.now() };
                assertion = key.sign(&claims)?;
                form.push((
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                ));
                form.push(("client_assertion", &assertion));
            }
        }
        self.post(url, &form).await
    }

    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Result<Json, OAuthError> {
        let reply = self.http.post(url, form).await.map_err(OAuthError::Unreachable)?;
        if reply.status == 429 || reply.status >= 500 {
            return Err(OAuthError::Unreachable(format!("it answers with status {}", reply.status)));
        }
        let json: Result<Json, _> = serde_json::from_slice(&reply.body);
        let json =
            json.map_err(|_| OAuthError::BadAnswer(format!("status {}, and no JSON", reply.status)))?;
        let text = |name: &str| json.get(name).and_then(|v| v.as_str()).unwrap_or_default();
        match (reply.status, text("error")) {
            (200, "") => Ok(json),
            (_, "") => Err(OAuthError::BadAnswer(format!("status {}, and no error", reply.status))),
            (_, code) => Err(refused(code, text("error_description"))),
        }
    }

    fn now(&self) -> u64 {
        self.clock.wall().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs())
    }
}

type Json = serde_json::Value;

fn is_there(person: &dyn Person) -> Result<(), OAuthError> {
    if person.is_there() { Ok(()) } else { Err(OAuthError::NobodyThere) }
}

fn tokens(json: &Json) -> Result<Tokens, OAuthError> {
    let text = |name: &str| json.get(name).and_then(|v| v.as_str()).filter(|t| !t.is_empty());
    let secret = |name: &str| text(name).map(|t| Zeroizing::new(t.to_owned()));
    let kind = text("token_type").unwrap_or_default();
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err(OAuthError::BadAnswer("its token is of another kind than Bearer".into()));
    }
    let access = secret("access_token").filter(|t| t.bytes().all(|b| b.is_ascii_graphic()));
    let access = access.ok_or_else(|| OAuthError::BadAnswer("it holds no token".into()))?;
    // Some issuers write the seconds as a string.
    let lives = json.get("expires_in").and_then(|v| v.as_u64().or_else(|| v.as_str()?.parse().ok()));
    Ok(Tokens { access, lives, refresh: secret("refresh_token") })
}

/// An issuer's refusal; what it wrote is shortened and plain.
fn refused(code: &str, description: &str) -> OAuthError {
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(DESCRIPTION_LETTERS_MAX).collect();
    OAuthError::Refused { code: plain(code), description: plain(description) }
}

/// 32 octets that nobody guesses, in letters that may stand in a URL (RFC 7636, 4.1).
fn random() -> Result<Zeroizing<String>, OAuthError> {
    let mut octets = Zeroizing::new([0; 32]);
    let none = |_| OAuthError::Machine("it gives no random numbers".into());
    aws_lc_rs::rand::fill(&mut *octets).map_err(none)?;
    Ok(Zeroizing::new(BASE64URL.encode(*octets)))
}
