//! Settings of a migration, parsed and valid. No secrets: those come from a [`Credentials`] provider at every
//! login.

mod rate;
mod written;

pub use crate::auth::Mechanism;
pub use crate::auth::template::{Form, TemplateError};

pub use rate::{Daily, NotADaily, NotARate, Rate};
pub use written::{AccountUrl, WrittenAccount, WrittenError, fingerprint, url_of};

use crate::journal::Existing;
use crate::limits::Limits;
use crate::plan::Plan;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use zeroize::Zeroizing;

/// How deep the proof goes (cli.md, `--verify`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// One complete UID listing for each mailbox.
    Counts,
    /// Plus size, flags and date of each message.
    Facts,
    /// Plus every octet.
    Octets,
}

impl Level {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::Facts => "facts",
            Self::Octets => "octets",
        }
    }
}

/// What becomes of a message under several labels (Gmail).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Labels {
    /// It is stored in the mailbox of each label, as the person sees it there.
    #[default]
    Copies,
    /// It is stored once, in the mailbox of its first label: Inbox, Sent, Drafts, then by name.
    First,
}

/// Which source mail takes part. Everything left out is counted under the rule's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these source mailboxes (decoded names); empty for all.
    pub only: Vec<String>,
    /// Not those that match these globs (`*` any run, `?` one character, on decoded names).
    pub exclude: Vec<String>,
    /// Not these (decoded names, exact). They are counted under the rule `exclude:` and the name, as with a glob.
    pub without: Vec<String>,
    /// Only messages received at or after this instant (INTERNALDATE), seconds since 1970 UTC.
    pub since: Option<i64>,
}

/// Where mailboxes go, as the person wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingRules {
    /// Source name to target name, decoded, exact.
    pub map: Vec<(String, String)>,
    /// Everything below this target mailbox.
    pub into: Option<String>,
}

/// Whether a plan is what a person agreed to. It is asked of the plan that is about to be carried out, so that nothing can change
/// between the look and the deed.
#[derive(Clone)]
pub struct Agreed(Arc<dyn Fn(&Plan) -> bool + Send + Sync>);

impl Agreed {
    /// To plans of which `holds` is true.
    pub fn to(holds: impl Fn(&Plan) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }

    /// Whether it is agreed to this one.
    pub fn holds(&self, plan: &Plan) -> bool {
        (self.0)(plan)
    }
}

impl std::fmt::Debug for Agreed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Agreed")
    }
}

/// The settings of one migration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Depth of the proof.
    pub level: Level,
    /// Options with `danger` in their names that were used, as written: for report and certificate.
    pub danger: Vec<String>,
    /// Options without which an account is not reached again, as written and without secrets: of the source, of the target. The
    /// report tells them to whoever wants to check it.
    pub options: [Vec<String>; 2],
    /// Connections on each side, at least 1.
    pub connections: usize,
    /// The octets of message bodies that the source gives per second, all connections together; `None` for no limit.
    pub source_rate: Option<Rate>,
    /// The same at the target, in both directions: what it takes, and what is read back of it.
    pub target_rate: Option<Rate>,
    /// What the source gives in a day: octets of message bodies, all connections and runs of it together.
    pub source_daily: Daily,
    /// The same of what the target takes. What it gives when it is read back is kept to what is known of its family.
    pub target_daily: Daily,
    /// Which mail.
    pub selection: Selection,
    /// Where it goes.
    pub mapping: MappingRules,
    /// What becomes of a message under several labels.
    pub labels: Labels,
    /// The answer to mail found in a target mailbox without a baseline; `None` stops and asks.
    pub existing: Option<Existing>,
    /// Try exceptions of earlier runs again.
    pub retry_exceptions: bool,
    /// A message that the target refuses for its octets, or is known to destroy in its header, goes with its header encoded (T4);
    /// what is refused in any case goes untouched inside a cover message (T8). With
    /// [`Settings::retry_exceptions`] also those that earlier runs gave up.
    pub repair: bool,
    /// A person's consent to repair in this run and all later ones of the journal: given, taken back, or, by `None`, as the
    /// journal keeps it ([`consent`](crate::consent)).
    pub consent: Option<bool>,
    /// A check probes the target: it makes a scratch mailbox there and removes it again.
    pub probe: bool,
    /// The will-not-move list is accepted.
    pub accept_will_not_move: bool,
    /// What will not move, a line each, as it was shown and agreed to: nothing is asked as long as nothing else is in the list.
    pub accepted: Vec<String>,
    /// What a person was shown and agreed to, if anybody was: of another plan nothing is carried out.
    pub agreed: Option<Agreed>,
    /// Limits.
    pub limits: Limits,
    /// Folder for spool files, beside the journal.
    pub spool: PathBuf,
}

impl Settings {
    /// The defaults, with spool files in `spool`.
    pub fn new(spool: impl Into<PathBuf>) -> Self {
        Self {
            level: Level::Octets,
            danger: Vec::new(),
            options: Default::default(),
            connections: 5,
            source_rate: None,
            target_rate: None,
            source_daily: Daily::Known,
            target_daily: Daily::Known,
            selection: Selection::default(),
            mapping: MappingRules::default(),
            labels: Labels::default(),
            existing: None,
            retry_exceptions: false,
            repair: false,
            consent: None,
            probe: false,
            accept_will_not_move: false,
            accepted: Vec::new(),
            agreed: None,
            limits: Limits::default(),
            spool: spool.into(),
        }
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first octet (`imaps://`).
    Tls,
    /// STARTTLS (`imap://`), refused if not offered.
    StartTls,
    /// Clear text (`imap+insecure://`).
    Clear,
}

/// A server to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Protection.
    pub security: Security,
}

impl Endpoint {
    /// `host:port`, for messages.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The URL scheme.
    pub fn scheme(&self) -> &'static str {
        match self.security {
            Security::Tls => "imaps",
            Security::StartTls => "imap",
            Security::Clear => "imap+insecure",
        }
    }
}

/// Which certificates are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM files with further CAs, beside the platform's.
    pub ca_files: Vec<PathBuf>,
    /// Exactly the certificate with this SHA-256, and no other.
    pub fingerprint: Option<[u8; 32]>,
    /// Believe anything. Named in the report.
    pub anything: bool,
}

/// Who shows what to whom in a TLS handshake.
#[derive(Clone, Copy, Debug)]
pub struct Identities<'a> {
    /// Which certificates of the server are believed.
    pub trust: &'a Trust,
    /// What we show of ourselves.
    pub own: Option<&'a ClientCertificate>,
}

/// What proves who we are. Shown nowhere.
#[derive(Clone)]
pub enum Secret {
    /// A password.
    Password(Zeroizing<String>),
    /// An OAuth access token.
    Token(Zeroizing<String>),
    /// Nothing more: the client's certificate has said it ([`LoginOptions::certificate`]).
    Certificate,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A future that a provider returns.
pub type SecretFuture<'a> = Pin<Box<dyn Future<Output = Result<Secret, String>> + Send + 'a>>;

/// The same after a refusal.
pub type RefusedFuture<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// Where secrets come from: asked at every login, because tokens die mid-run. An error is text for a person.
pub trait Credentials: Send + Sync {
    /// The secret for the next login.
    fn secret(&self) -> SecretFuture<'_>;

    /// The server refused `token`, which this provider gave: true when the next [`Credentials::secret`] is another one, so
    /// that one further login is worth it. Passwords are never tried again.
    fn refused(&self, _token: &Secret) -> RefusedFuture<'_> {
        Box::pin(async { false })
    }
}

/// A password that is at hand.
pub struct FixedPassword(Zeroizing<String>);

impl FixedPassword {
    /// Keeps `password` until dropped, then wipes it.
    pub fn new(password: impl Into<String>) -> Self {
        Self(Zeroizing::new(password.into()))
    }
}

impl Credentials for FixedPassword {
    fn secret(&self) -> SecretFuture<'_> {
        let password = self.0.clone();
        Box::pin(async move { Ok(Secret::Password(password)) })
    }
}

/// A token that is at hand: when it dies, there is no other.
pub struct FixedToken(Zeroizing<String>);

impl FixedToken {
    /// Keeps `token` until dropped, then wipes it.
    pub fn new(token: impl Into<String>) -> Self {
        Self(Zeroizing::new(token.into()))
    }
}

impl Credentials for FixedToken {
    fn secret(&self) -> SecretFuture<'_> {
        let token = self.0.clone();
        Box::pin(async move { Ok(Secret::Token(token)) })
    }
}

/// For an account that a certificate opens.
pub struct ByCertificate;

impl Credentials for ByCertificate {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(async { Ok(Secret::Certificate) })
    }
}

/// A certificate that the client shows, with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM: the certificate, then those that vouch for it.
    pub chain: PathBuf,
    /// PEM: its private key, not encrypted.
    pub key: PathBuf,
}

/// How to log in, where the default is not wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginOptions {
    /// This mechanism and no other; `None` for the strongest offered.
    pub mechanism: Option<Mechanism>,
    /// How an administrator's name goes with the user's.
    pub form: Form,
    /// Shown in the TLS handshake.
    pub certificate: Option<ClientCertificate>,
}

/// An IMAP account.
#[derive(Clone)]
pub struct ImapAccount {
    /// The server.
    pub endpoint: Endpoint,
    /// Whose mail.
    pub user: String,
    /// Who logs in, if not `user` (SASL authentication identity of an administrator).
    pub auth_user: Option<String>,
    /// How to log in.
    pub login: LoginOptions,
    /// Which certificates are believed.
    pub trust: Trust,
    /// Where the secret comes from.
    pub credentials: Arc<dyn Credentials>,
}

impl ImapAccount {
    /// Whom to believe, and what to show, in a TLS handshake.
    pub fn identities(&self) -> Identities<'_> {
        Identities { trust: &self.trust, own: self.login.certificate.as_ref() }
    }

    /// The account as stable text without secrets: `imaps://ann@old.example:993`.
    pub fn address(&self) -> String {
        format!("{}://{}@{}", self.endpoint.scheme(), self.user, self.endpoint.authority())
    }
}

impl std::fmt::Debug for ImapAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_shows_in_debug() {
        let account = ImapAccount {
            endpoint: Endpoint { host: "old.example".into(), port: 993, security: Security::Tls },
            user: "ann".into(),
            auth_user: None,
            login: LoginOptions::default(),
            trust: Trust::default(),
            credentials: Arc::new(FixedPassword::new("hunter2")),
        };
        assert_eq!(format!("{account:?}"), "imaps://ann@old.example:993");
        assert!(!format!("{:?}", Secret::Password(Zeroizing::new("hunter2".into()))).contains("hunter2"));
    }
}
