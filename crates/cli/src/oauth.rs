//! OAuth on the command line: what was typed becomes a provider of tokens, and the browser is opened here.

use crate::args::{Login, OutputArgs};
use crate::env;
use crate::error::Failure;
use crate::output::{say, warn_of_proxy};
use crate::token_file::{TokenFile, passphrase};
use mailhaul_engine::clock::Clock;
use mailhaul_engine::config::{Credentials, RefusedFuture, Secret, SecretFuture, Trust};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::{Dialer, Http};
use mailhaul_engine::oauth::{
    Client, ClientProof, GOOGLE_SCOPE, GOOGLE_SERVICE_ACCOUNT_SCOPE, How, Issuer,
    MICROSOFT_APPLICATION_SCOPE, MICROSOFT_SCOPE, OAuth, Person, ServiceAccount, SigningKey, Talk,
};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

/// The ways to a token that can be asked for.
const FLOWS: &str = "browser, device, application, service-account";

/// Whose tokens, and where what lasts is kept.
pub struct For<'a> {
    /// `from` or `to`.
    pub side: &'static str,
    /// The user.
    pub user: &'a str,
    /// Whom to believe, for the issuer as for the server.
    pub trust: &'a Trust,
    /// The file of the refresh token.
    pub file: PathBuf,
    /// How the issuer is reached.
    pub dialer: Dialer,
    /// In which form warnings are told.
    pub output: &'a OutputArgs,
    /// Who logs in there.
    pub person: Arc<dyn Person>,
}

/// A provider of tokens from an issuer as typed: `google`, `microsoft`, or a URL.
pub fn credentials(issuer: &str, login: &Login, for_: For<'_>) -> Result<Arc<dyn Credentials>, Failure> {
    let side = for_.side;
    let option = |name: &str| format!("--{side}-oauth-{name}");
    let read = |name: &str, file: &Path| {
        let bad = |e| Failure::usage(format!("{} {}: {e}", option(name), file.display()));
        std::fs::read(file).map(Zeroizing::new).map_err(bad)
    };
    let key_file = || {
        let missing = || Failure::usage(format!("{} is missing", option("key-file")));
        read("key-file", login.oauth_key_file.as_deref().ok_or_else(missing)?)
    };
    let unusable = |name: &str| {
        let option = option(name);
        move |e: mailhaul_engine::oauth::OAuthError| Failure::usage(format!("{option}: {e}")).hint(e.hint())
    };
    let flow = login.oauth_flow.as_deref().unwrap_or("browser");
    let how = match flow {
        "browser" => How::Browser,
        "device" => How::Device,
        "application" => How::Application,
        "service-account" => {
            How::ServiceAccount(ServiceAccount::parse(&key_file()?).map_err(unusable("key-file"))?)
        }
        _ => return Err(Failure::usage(format!("{} {flow}: it is none of {FLOWS}", option("flow")))),
    };
    let is_service_account = matches!(how, How::ServiceAccount(_));
    let id = match &login.oauth_client {
        Some(id) => id.clone(),
        None if is_service_account => String::new(),
        None => {
            let what = format!("{} is missing: the issuer has to know who asks for tokens", option("client"));
            return Err(Failure::usage(what)
                .hint("`mailhaul docs login oauth` says in numbered steps how to get a client id"));
        }
    };
    let proof = match (&login.oauth_secret_file, &login.oauth_certificate_file) {
        (Some(file), _) => {
            let text = read("secret-file", file)?;
            let text = std::str::from_utf8(&text).map(|t| t.trim().to_owned());
            let bad = |_| Failure::usage(format!("{}: it is not UTF-8", option("secret-file")));
            ClientProof::Secret(Zeroizing::new(text.map_err(bad)?))
        }
        (None, Some(file)) => {
            let certificate = read("certificate-file", file)?;
            let key = SigningKey::with_certificate(&key_file()?, &certificate);
            ClientProof::Certificate(Arc::new(key.map_err(unusable("key-file"))?))
        }
        (None, None) => ClientProof::Nothing,
    };
    let tenant = login.oauth_tenant.as_deref().unwrap_or("common");
    let (known, scope) = known(issuer, flow, tenant).unzip();
    let Some(scope) = login.oauth_scope.as_deref().or(scope) else {
        let what = format!("{} is missing: what the token is for", option("scope"));
        return Err(Failure::usage(what).hint("the provider's page on OAuth for IMAP names it"));
    };
    let (proxies, unusable) = env::proxies();
    if let Some(unusable) = unusable {
        warn_of_proxy(for_.output, &unusable);
    }
    Ok(Arc::new(ByIssuer {
        issuer: known.ok_or_else(|| issuer.to_owned()),
        // What is accepted of a mail server's certificate is not accepted of the issuer's.
        http: Http::over(
            for_.dialer,
            Trust { ca_files: for_.trust.ca_files.clone(), ..Trust::default() },
            Limits::default(),
        )
        .through(proxies),
        client: Client { id, proof },
        scope: scope.to_owned(),
        how,
        user: for_.user.to_owned(),
        file: for_.file,
        person: for_.person,
        tokens: OnceCell::new(),
    }))
}

/// The issuer of this name, and what its tokens are for if nothing is said; `None` for one that is asked by its URL.
fn known(issuer: &str, flow: &str, tenant: &str) -> Option<(Issuer, &'static str)> {
    match (issuer, flow) {
        ("google", "service-account") => Some((Issuer::google(), GOOGLE_SERVICE_ACCOUNT_SCOPE)),
        ("google", _) => Some((Issuer::google(), GOOGLE_SCOPE)),
        ("microsoft", "application") => Some((Issuer::microsoft(tenant), MICROSOFT_APPLICATION_SCOPE)),
        ("microsoft", _) => Some((Issuer::microsoft(tenant), MICROSOFT_SCOPE)),
        _ => None,
    }
}

/// The issuer may have to be asked for its addresses first, at the first login.
struct ByIssuer {
    issuer: Result<Issuer, String>,
    http: Http,
    client: Client,
    scope: String,
    how: How,
    user: String,
    file: PathBuf,
    person: Arc<dyn Person>,
    tokens: OnceCell<OAuth>,
}

impl ByIssuer {
    async fn make(&self) -> Result<OAuth, String> {
        let issuer = match &self.issuer {
            Ok(known) => known.clone(),
            Err(url) => Issuer::discover(&self.http, url).await.map_err(|e| e.words())?,
        };
        let (http, client, scope) = (self.http.clone(), self.client.clone(), self.scope.clone());
        let about = format!("{} {} {} {}", issuer.token, client.id, scope, self.user);
        let talk = Talk { http, issuer, client, scope, clock: Clock::default() };
        let store = Arc::new(TokenFile { file: self.file.clone(), about, passphrase: passphrase() });
        Ok(OAuth::new(talk, self.how.clone(), &self.user, self.person.clone(), store))
    }
}

impl Credentials for ByIssuer {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(async { self.tokens.get_or_try_init(|| self.make()).await?.secret().await })
    }

    fn refused(&self, token: &Secret) -> RefusedFuture<'_> {
        match self.tokens.get() {
            Some(tokens) => tokens.refused(token),
            None => Box::pin(async { false }),
        }
    }
}

/// Whoever sits at the terminal.
pub struct Terminal;

impl Person for Terminal {
    fn is_there(&self) -> bool {
        std::io::stderr().is_terminal()
    }

    fn visit(&self, address: &str) {
        say(&format!("Log in with a browser on this machine, at:\n  {address}"));
        open_browser(address);
    }

    fn enter(&self, address: &str, code: &str) {
        say(&format!("Log in at {address} and enter the code {code}"));
    }
}

/// Shows an address in a browser of this machine. Without one it is there to be copied.
pub(crate) fn open_browser(address: &str) {
    let (program, before): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    let mut browser = Command::new(program);
    browser.args(before).arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = browser.spawn();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_issuer_and_way_has_the_scope_that_opens_mail_there() {
        let scope = |issuer: &str, flow: &str| known(issuer, flow, "common").map(|(_, scope)| scope);
        let imap_admin = "https://www.googleapis.com/auth/gmail.imap_admin";
        assert_eq!(scope("google", "service-account"), Some(imap_admin));
        assert_eq!(scope("google", "browser"), Some("https://mail.google.com/"));
        let of_application = scope("microsoft", "application").unwrap();
        assert!(of_application.ends_with("/.default"), "{of_application}");
        assert!(scope("microsoft", "device").unwrap().contains("IMAP.AccessAsUser.All"));
        assert_eq!(scope("https://login.example", "browser"), None);
    }
}
