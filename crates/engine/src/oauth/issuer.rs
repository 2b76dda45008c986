//! Who gives tokens, and where: Google and Microsoft as data, anybody else by their metadata (RFC 8414).

use super::OAuthError;
use crate::net::Http;

/// What a person's token for mail may do at Google.
pub const GOOGLE_SCOPE: &str = "https://mail.google.com/";
/// What a service account's token may do there: all mail by IMAP, also labels that their owner hides from it, and without the limit of
/// messages that is set for folders (Google's page on XOAUTH2).
pub const GOOGLE_SERVICE_ACCOUNT_SCOPE: &str = "https://www.googleapis.com/auth/gmail.imap_admin";
/// What a person's token for mail may do at Microsoft, with a refresh token.
pub const MICROSOFT_SCOPE: &str = "https://outlook.office.com/IMAP.AccessAsUser.All offline_access";
/// What an application asks for at Microsoft: whatever it was given consent for (IMAP.AccessAsApp).
pub const MICROSOFT_APPLICATION_SCOPE: &str = "https://outlook.office365.com/.default";

/// An issuer and its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its name, for messages.
    pub name: String,
    /// Where a browser logs in.
    pub authorization: Option<String>,
    /// Where a device gets its code (RFC 8628).
    pub device: Option<String>,
    /// Where tokens are given.
    pub token: String,
    /// What else a browser's login is asked with.
    pub parameters: &'static [(&'static str, &'static str)],
    /// The host that the browser comes back to, as the issuer lets a desktop application register it.
    pub redirect_host: &'static str,
}

impl Issuer {
    /// Google. Its device code does not give scopes of mail.
    pub fn google() -> Self {
        Self {
            name: "Google".into(),
            authorization: Some("https://accounts.google.com/o/oauth2/v2/auth".into()),
            device: None,
            token: "https://oauth2.googleapis.com/token".into(),
            // Without both there is no refresh token after the first login.
            parameters: &[("access_type", "offline"), ("prompt", "consent")],
            redirect_host: "127.0.0.1",
        }
    }

    /// Microsoft; `tenant` is a domain, an id, or `common`.
    pub fn microsoft(tenant: &str) -> Self {
        let at = |end: &str| format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/{end}");
        Self {
            name: "Microsoft".into(),
            authorization: Some(at("authorize")),
            device: Some(at("devicecode")),
            token: at("token"),
            parameters: &[],
            // QUIRK: Entra ignores the port of a redirect only for `localhost` (Microsoft's page on redirect URIs).
            redirect_host: "localhost",
        }
    }

    /// The issuer at `url`, by its metadata: RFC 8414, 3, else OpenID's.
    pub async fn discover(http: &Http, url: &str) -> Result<Self, OAuthError> {
        let url = url.trim_end_matches('/');
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(h, p)| (h, format!("/{p}")));
        let places = [
            format!("{scheme}://{host}/.well-known/oauth-authorization-server{path}"),
            format!("{url}/.well-known/openid-configuration"),
        ];
        for place in places {
            let reply = http.get(&place).await.map_err(OAuthError::Unreachable)?;
            let is_json = || serde_json::from_slice::<serde_json::Value>(&reply.body).is_ok();
            if reply.status == 200 && is_json() {
                return Self::from_metadata(url, &reply.body);
            }
        }
        Err(OAuthError::BadAnswer(format!("{url} has no metadata (RFC 8414)")))
    }

    fn from_metadata(url: &str, body: &[u8]) -> Result<Self, OAuthError> {
        let bad = |what: &str| OAuthError::BadAnswer(format!("the metadata of {url}: {what}"));
        let json: serde_json::Value = serde_json::from_slice(body).map_err(|_| bad("it is no JSON"))?;
        let field = |name: &str| json.get(name).and_then(|v| v.as_str()).map(str::to_owned);
        // RFC 8414, 3.3: else somebody could put their own addresses in the place of these.
        if field("issuer").as_deref().map(|i| i.trim_end_matches('/')) != Some(url) {
            return Err(bad("it is about another issuer"));
        }
        // They are opened by a browser, or get secrets. Only an issuer of the tests, on loopback, is itself not https.
        let endpoints = ["authorization_endpoint", "device_authorization_endpoint", "token_endpoint"];
        let is_safe = |endpoint: &str| endpoint.starts_with("https://") || url.starts_with("http://");
        if endpoints.iter().filter_map(|name| field(name)).any(|endpoint| !is_safe(&endpoint)) {
            return Err(bad("an address that is not https"));
        }
        Ok(Self {
            name: url.to_owned(),
            authorization: field("authorization_endpoint"),
            device: field("device_authorization_endpoint"),
            token: field("token_endpoint").ok_or_else(|| bad("it names no token endpoint"))?,
            parameters: &[],
            redirect_host: "127.0.0.1",
        })
    }
}
