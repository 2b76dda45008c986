//! From a host name to a connection that is logged in: greeting, STARTTLS, the login, ID, NAMESPACE, COMPRESS.

use super::driver::Driver;
use super::{Link, authenticate, personal};
use crate::alerts::Alerts;
use crate::config::{Endpoint, Identities, ImapAccount, Secret, Security, Trust};
use crate::end::{Abilities, Compression};
use crate::error::{EndError, Refusal, RefusalClass};
use crate::limits::Limits;
use crate::net::{self, Dialer, Stream};
use crate::quirks;
use crate::quirks::family::{self, Heard};
use bytes::Bytes;
use mailhaul_imap::{
    Capabilities, Client, Command, Condition, Event, LiteralMode, Namespaces, Output, Status, StatusText,
    Untagged,
};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How connections to an account are made.
#[derive(Clone, Debug)]
pub struct Opener {
    /// Where and as whom.
    pub account: ImapAccount,
    /// Limits.
    pub limits: Limits,
    /// How to reach it.
    pub dialer: Dialer,
    /// Capabilities to ignore, for tests and for servers that announce what they do badly.
    pub without: Vec<String>,
    /// COMPRESS=DEFLATE (RFC 4978) where the server offers it; where not, the connection is as good without.
    pub compress: bool,
}

/// A connection before it has a task of its own: one question at a time.
pub(super) struct Raw {
    pub(super) server: String,
    pub(super) stream: Stream,
    pub(super) client: Client,
    pub(super) limits: Limits,
    /// What the server said of itself so far.
    pub(super) heard: Heard,
    /// What it wants people to see.
    pub(super) alerts: Alerts,
}

/// The answer to one question.
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) text: StatusText,
}

/// What the server says of itself after the login.
#[derive(Default)]
struct Introduced {
    product: String,
    namespaces: Option<Namespaces>,
    namespaces_refused: Option<EndError>,
    delimiter: Option<u8>,
    /// CONDSTORE is on for the whole connection.
    condstore: bool,
}

/// Connects and logs in.
pub async fn open(opener: &Opener) -> Result<Link, EndError> {
    let Opener { account, limits, dialer, .. } = opener;
    let endpoint = &account.endpoint;
    let server = endpoint.authority();
    // Before the connection: somebody may have to log in with a browser, and servers wait for nobody.
    let secret = authenticate::secret(account).await?;
    let mut stream = net::dial(dialer, endpoint, limits).await?;
    if endpoint.security == Security::Tls {
        stream = net::encrypt(stream, endpoint, account.identities(), limits).await?;
    }
    let client = Client::new(mailhaul_imap::Limits::default());
    let heard = Heard::default();
    let alerts = Alerts::default();
    let raw = Raw { server, stream, client, limits: limits.clone(), heard, alerts: alerts.clone() };
    raw.get_in(opener, &secret).await.map_err(|error| alerts.told_by(error))
}

/// A server that was looked at.
pub struct Looked(Raw);

impl Looked {
    /// Says goodbye, and waits no longer than `limit` for the answer: a courtesy, since that the server is there is known.
    pub async fn goodbye(mut self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.0.ask(Command::logout(), "LOGOUT")).await;
    }
}

/// Looks whether an IMAP server answers there: greeting, and TLS with a certificate that is believed. Nobody logs in, and no
/// secret is at hand.
///
/// # Errors
/// Why there is none that could be used.
pub async fn look(
    endpoint: &Endpoint,
    trust: &Trust,
    dialer: &Dialer,
    limits: &Limits,
) -> Result<Looked, EndError> {
    let mut stream = net::dial(dialer, endpoint, limits).await?;
    let identities = Identities { trust, own: None };
    if endpoint.security == Security::Tls {
        stream = net::encrypt(stream, endpoint, identities, limits).await?;
    }
    let client = Client::new(mailhaul_imap::Limits::default());
    let (server, heard) = (endpoint.authority(), Heard::default());
    let mut raw = Raw { server, stream, client, limits: limits.clone(), heard, alerts: Alerts::default() };
    let (condition, _) = raw.greeting().await?;
    if endpoint.security == Security::StartTls {
        raw = raw.start_tls(endpoint, identities, condition).await?;
    }
    Ok(Looked(raw))
}

impl Raw {
    /// From the greeting to a session.
    async fn get_in(mut self, opener: &Opener, secret: &Secret) -> Result<Link, EndError> {
        let (account, endpoint) = (&opener.account, &opener.account.endpoint);
        let (condition, greeting) = self.greeting().await?;
        if endpoint.security == Security::StartTls {
            self = self.start_tls(endpoint, account.identities(), condition).await?;
        }
        self.heard.greeting = greeting.display_text();
        if condition != Condition::PreAuth {
            self.identify_first(account).await?;
            self.login(account, &opener.without, secret).await?;
        }
        self.into_link(opener, condition == Condition::PreAuth).await
    }

    /// The next event, within `limit`.
    pub(super) async fn event(&mut self, doing: &'static str, limit: Duration) -> Result<Event, EndError> {
        let deadline = Instant::now() + limit;
        loop {
            let event = self.client.next_event().map_err(|e| self.protocol(doing, e.to_string()))?;
            if let Some(event) = event {
                self.alerts.hear(&event);
                return Ok(event);
            }
            let reading = tokio::io::AsyncReadExt::read_buf(&mut self.stream, self.client.input());
            match tokio::time::timeout_at(deadline, reading).await {
                Ok(Ok(0)) => return Err(self.lost(doing, "end of the connection")),
                Ok(Ok(_)) => self.stream.acknowledge_quickly(),
                Ok(Err(error)) if net::is_corrupt(&error) => {
                    return Err(self.protocol(doing, error.to_string()));
                }
                Ok(Err(error)) => return Err(self.lost(doing, &error.to_string())),
                Err(_) => return Err(self.late(doing, limit)),
            }
        }
    }

    fn late(&self, doing: &'static str, limit: Duration) -> EndError {
        EndError::TimedOut { server: self.server.clone(), doing, limit, told: Vec::new() }
    }

    /// When a question that is asked now has no answer any more, whatever the server says meanwhile.
    pub(super) fn patience(&self) -> Instant {
        Instant::now() + self.limits.give_up
    }

    /// The next event on the way to an answer that must have come by `until`.
    pub(super) async fn next(&mut self, doing: &'static str, until: Instant) -> Result<Event, EndError> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let limit = self.limits.give_up;
            return Err(self.late(doing, limit));
        }
        self.event(doing, self.limits.command.min(left)).await
    }

    pub(super) async fn write(&mut self, doing: &'static str) -> Result<(), EndError> {
        while let Output::Write(octets) = self.client.next_output() {
            let writing = async {
                self.stream.write_all(&octets).await?;
                self.stream.flush().await
            };
            match tokio::time::timeout(self.limits.write_stall, writing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(self.lost(doing, &error.to_string())),
                Err(_) => {
                    let limit = self.limits.write_stall;
                    return Err(self.late(doing, limit));
                }
            }
        }
        Ok(())
    }

    /// Asks one question that has no challenges.
    pub(super) async fn ask(&mut self, command: Command, doing: &'static str) -> Result<Answer, EndError> {
        let tag = self.client.submit(command);
        let until = self.patience();
        loop {
            self.write(doing).await?;
            match self.next(doing, until).await? {
                Event::Tagged { tag: of, status, text, .. } if of == tag => {
                    return Ok(Answer { status, text });
                }
                Event::Untagged { data: Untagged::Status(Condition::Bye, text), .. } => {
                    return Err(self.bye(doing, &text));
                }
                Event::Challenge(_) => self.client.respond(None),
                _ => {}
            }
        }
    }

    async fn greeting(&mut self) -> Result<(Condition, StatusText), EndError> {
        match self.event("the greeting", self.limits.greeting).await? {
            Event::Greeting(Condition::Bye, text) => Err(self.bye("the greeting", &text)),
            Event::Greeting(condition @ (Condition::Ok | Condition::PreAuth), text) => Ok((condition, text)),
            _ => Err(self
                .protocol("the greeting", "the first line is no greeting: is this an IMAP server?".into())),
        }
    }

    pub(super) async fn capabilities(&mut self) -> Result<Capabilities, EndError> {
        if let Some(known) = self.client.capabilities() {
            return Ok(known.clone());
        }
        let answer = self.ask(Command::capability(), "CAPABILITY").await?;
        self.check(&answer, "CAPABILITY")?;
        Ok(self.client.capabilities().cloned().unwrap_or_default())
    }

    async fn start_tls(
        mut self,
        endpoint: &Endpoint,
        identities: Identities<'_>,
        condition: Condition,
    ) -> Result<Self, EndError> {
        let untrusted = |what: &str, hint: &str| EndError::Untrusted {
            server: endpoint.authority(),
            what: what.into(),
            hint: hint.into(),
            shown: None,
        };
        let try_tls = "try imaps:// (port 993); imap+insecure:// would send the password in clear text";
        if condition == Condition::PreAuth {
            // RFC 9051, 7.1.4: somebody may have put that greeting there to keep us from encrypting.
            return Err(untrusted("it greets as logged in, before STARTTLS", try_tls));
        }
        if !self.capabilities().await?.starttls() {
            return Err(untrusted("it does not offer STARTTLS", try_tls));
        }
        let answer = self.ask(Command::starttls(), "STARTTLS").await?;
        if answer.status != Status::Ok {
            let what = format!("it refused STARTTLS: {}", answer.text.display_text());
            return Err(untrusted(&what, try_tls));
        }
        if let Err(error) = self.client.starttls_done() {
            return Err(untrusted(&error.to_string(), "somebody may be between you and the server"));
        }
        self.stream = net::encrypt(self.stream, endpoint, identities, &self.limits).await?;
        Ok(self)
    }

    /// QUIRK: who has to know who asks before anything else is told so: 163 and other Coremail refuse mailboxes
    /// ("Unsafe Login") to a client that sent no ID [T]. A server that refuses it goes without.
    async fn identify_first(&mut self, account: &ImapAccount) -> Result<(), EndError> {
        let capabilities = self.capabilities().await?;
        self.heard.announced(&capabilities);
        let wanted = family::recognise(&self.heard).is_some_and(|f| f.does.id_before_login);
        if wanted && capabilities.id() {
            self.ask_all(account, vec![who_we_are()], "ID").await?;
        }
        Ok(())
    }

    async fn into_link(mut self, opener: &Opener, preauthenticated: bool) -> Result<Link, EndError> {
        // What was announced before the login is forgotten by now, unless the login said it anew.
        let capabilities = match self.capabilities().await {
            // Some say only now that nobody was let in.
            Err(EndError::Refused { refusal, .. }) if refusal.class == RefusalClass::Login => {
                return Err(self.login_refused(&opener.account, None, refusal));
            }
            told => told?,
        };
        let kept = capabilities
            .iter()
            .filter(|name| !opener.without.iter().any(|w| w.as_bytes().eq_ignore_ascii_case(name)));
        let capabilities = Capabilities::from_names(kept.cloned());
        self.client.set_literal_mode(capabilities.literal_mode());
        let Introduced { product, namespaces, namespaces_refused, delimiter, condstore } =
            self.introduce(&opener.account, &capabilities).await?;
        self.heard.announced(&capabilities);
        self.heard.id = Some(product.clone());
        let family = family::recognise(&self.heard);
        let does = family.map(|f| f.does).unwrap_or_default();
        let compression;
        (self, compression) = self.compress(opener.compress, &capabilities).await?;
        let abilities = Abilities {
            announced: capabilities.iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect(),
            product,
            user: opener.account.user.clone(),
            on_behalf: opener.account.auth_user.is_some(),
            preauthenticated,
            personal: personal(namespaces.as_ref(), delimiter),
            multi: capabilities.multiappend(),
            tells_places: capabilities.uidplus(),
            overlap: capabilities.literal_mode() == LiteralMode::Plus,
            creates_roles: capabilities.create_special_use(),
            append_limit_octets: capabilities.append_limit().or(does.append_limit_octets),
            command_messages_max: capabilities.message_limit(),
            append_messages_max: [capabilities.message_limit(), capabilities.save_limit()]
                .into_iter()
                .flatten()
                .min(),
            expunges_by_uid: capabilities.uidplus(),
            conditional_store: capabilities.condstore(),
            // With both announced, revision 1 is spoken until IMAP4rev2 is enabled (RFC 9051, 6.3.1), which is not done.
            utf8_names: capabilities.imap4rev2() && !capabilities.imap4rev1(),
            gmail: capabilities.gmail(),
            family: family.map(|f| f.name),
            does,
            tls: self.stream.protection(),
            certificate: self.stream.certificate(),
            compression,
            alerts: self.alerts.clone(),
        };
        let (requests, queue) = mpsc::unbounded_channel();
        let (server, limits) = (self.server.clone(), self.limits.clone());
        let (bad_max, alerts) = (does.bad_commands_max, self.alerts);
        let driver = Driver::new(server, self.stream, self.client, limits, queue, bad_max, alerts);
        let task = tokio::spawn(driver.run());
        Ok(Link {
            server: self.server,
            limits: self.limits,
            capabilities,
            abilities,
            namespaces,
            namespaces_refused,
            untold: Vec::new(),
            condstore_enabled: condstore,
            room_told: None,
            requests,
            task,
            next_id: 0,
            exists: 0,
            open: None,
        })
    }

    /// Who we are and who the server says it is (ID), where mailboxes lie (NAMESPACE, else the delimiter that
    /// `LIST "" ""` names: RFC 9051, 6.3.9), and CONDSTORE switched on (ENABLE, RFC 5161): asked together, since nothing
    /// of it depends on another. A server that refuses one of them does without it; but for a NAMESPACE where it asks for
    /// patience, since without it other people's mailboxes may be taken for one's own.
    async fn introduce(
        &mut self,
        account: &ImapAccount,
        capabilities: &Capabilities,
    ) -> Result<Introduced, EndError> {
        let mut commands = Vec::new();
        if capabilities.id() {
            commands.push(who_we_are());
        }
        let place = commands.len();
        commands.push(match capabilities.namespace() {
            true => Command::namespace(),
            false => Command::list("", b"", b"", ""),
        });
        if capabilities.enable() && capabilities.condstore() {
            commands.push(Command::enable("CONDSTORE"));
        }
        let mut introduced = Introduced { product: self.heard.greeting.clone(), ..Introduced::default() };
        let (mut said, refused) = self.ask_all(account, commands, "ID, NAMESPACE and ENABLE").await?;
        if capabilities.namespace() {
            introduced.namespaces_refused = self.refused_at(place, refused, "NAMESPACE")?;
        }
        if capabilities.namespace() && !said.iter().any(|d| matches!(d, Untagged::Namespace(_))) {
            let delimiter = vec![Command::list("", b"", b"", "")];
            said.extend(self.ask_all(account, delimiter, "LIST").await?.0);
        }
        for data in said {
            match data {
                Untagged::Id(fields) => introduced.product = product(&fields).unwrap_or(introduced.product),
                Untagged::Namespace(namespaces) => introduced.namespaces = Some(namespaces),
                Untagged::List(entry) => introduced.delimiter = entry.delimiter,
                Untagged::Enabled(names) => {
                    introduced.condstore |= names.iter().any(|n| n.eq_ignore_ascii_case(b"CONDSTORE"));
                }
                _ => {}
            }
        }
        Ok(introduced)
    }

    /// COMPRESS DEFLATE (RFC 4978) if it is `wanted` and offered: after the login, so that no secret is in a compressed
    /// stream, and alone, since what follows the OK is compressed already. A server that refuses it does without.
    async fn compress(
        mut self,
        wanted: bool,
        capabilities: &Capabilities,
    ) -> Result<(Self, Compression), EndError> {
        if !wanted {
            return Ok((self, Compression::NotAsked));
        }
        if !capabilities.compress_deflate() {
            return Ok((self, Compression::Missing("it does not offer COMPRESS=DEFLATE".into())));
        }
        let answer = self.ask(Command::compress_deflate(), "COMPRESS").await?;
        let Some(already) = self.client.compress_done() else {
            let refusal = quirks::refusal(answer.status, &answer.text);
            return Ok((self, Compression::Missing(format!("it refused COMPRESS=DEFLATE: {refusal}"))));
        };
        self.stream = net::compress(self.stream, &already);
        Ok((self, Compression::Deflate))
    }

    /// The refusal of the command in this place. One that asks for patience is an error: the whole is asked again later.
    fn refused_at(
        &self,
        place: usize,
        refused: Vec<(usize, Refusal)>,
        doing: &'static str,
    ) -> Result<Option<EndError>, EndError> {
        let Some((_, refusal)) = refused.into_iter().find(|(at, _)| *at == place) else { return Ok(None) };
        let error = EndError::Refused { server: self.server.clone(), doing, refusal };
        if error.is_to_be_asked_later() { Err(error) } else { Ok(Some(error)) }
    }

    /// Asks several questions at once: all data that came before the last answer, and which were refused.
    ///
    /// QUIRK: Exchange says OK to a login that opens no mailbox, and `BAD User is authenticated but not connected` to all
    /// that comes after it (MailKit#1494, imapflow#314): that is a refused login.
    async fn ask_all(
        &mut self,
        account: &ImapAccount,
        commands: Vec<Command>,
        doing: &'static str,
    ) -> Result<(Vec<Untagged>, Vec<(usize, Refusal)>), EndError> {
        let tags: Vec<_> = commands.into_iter().map(|c| self.client.submit(c)).collect();
        let (mut waiting, mut data, mut refused) = (tags.len(), Vec::new(), Vec::new());
        let until = self.patience();
        while waiting > 0 {
            self.write(doing).await?;
            match self.next(doing, until).await? {
                Event::Tagged { tag, status, text, .. } => {
                    let refusal = (status != Status::Ok).then(|| quirks::refusal(status, &text));
                    if let Some(refusal) = refusal.clone().filter(|r| r.class == RefusalClass::Login) {
                        return Err(self.login_refused(account, None, refusal));
                    }
                    refused.extend(tags.iter().position(|t| *t == tag).zip(refusal));
                    waiting -= 1;
                }
                Event::Untagged { data: Untagged::Status(Condition::Bye, text), .. } => {
                    return Err(self.bye(doing, &text));
                }
                Event::Untagged { data: untagged, .. } => data.push(untagged),
                _ => {}
            }
        }
        Ok((data, refused))
    }

    fn check(&self, answer: &Answer, doing: &'static str) -> Result<(), EndError> {
        if answer.status == Status::Ok {
            return Ok(());
        }
        let refusal = quirks::refusal(answer.status, &answer.text);
        Err(EndError::Refused { server: self.server.clone(), doing, refusal })
    }

    fn lost(&self, doing: &'static str, what: &str) -> EndError {
        EndError::Lost { server: self.server.clone(), doing, what: what.to_owned() }
    }

    fn protocol(&self, doing: &'static str, what: String) -> EndError {
        EndError::Protocol { server: self.server.clone(), doing, what }
    }

    /// BYE with its words: too many connections and the like are a refusal, not a broken line.
    pub(super) fn bye(&self, doing: &'static str, text: &StatusText) -> EndError {
        let refusal = quirks::refusal(Status::No, text);
        let server = self.server.clone();
        match refusal.class {
            class if quirks::patience(class).is_some() => EndError::Refused { server, doing, refusal },
            _ => EndError::Lost { server, doing, what: quirks::last_words(text) },
        }
    }
}

/// ID (RFC 2971).
fn who_we_are() -> Command {
    Command::id(&[("name", "Mailhaul"), ("version", env!("CARGO_PKG_VERSION"))])
}

/// Name and version, as ID gives them.
fn product(fields: &[(Bytes, Option<Bytes>)]) -> Option<String> {
    let field = |name: &[u8]| {
        let value = fields.iter().find(|(k, _)| k.eq_ignore_ascii_case(name))?.1.as_ref()?;
        Some(mailhaul_imap::printable(&String::from_utf8_lossy(value)))
    };
    match (field(b"name"), field(b"version")) {
        (Some(name), Some(version)) => Some(format!("{name} {version}")),
        (name, _) => name,
    }
}
