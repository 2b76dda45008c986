//! From a host name to a connection that is logged in: greeting, STARTTLS, LOGIN or AUTHENTICATE, ID, NAMESPACE.
//!
//! One attempt: a refused login is never tried again by itself. Clear text carries a password only where the person
//! wrote `imap+insecure`.

use super::driver::Driver;
use super::{Link, personal};
use crate::auth;
use crate::config::{ImapAccount, Secret, Security};
use crate::end::Abilities;
use crate::error::{EndError, Refusal, RefusalClass};
use crate::limits::Limits;
use crate::net::{self, Dialer, Stream};
use crate::quirks;
use mailhaul_imap::{
    Capabilities, Client, Command, Condition, Event, LiteralMode, Output, Status, StatusText, Untagged,
};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

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
}

/// A connection before it has a task of its own: one question at a time.
struct Raw {
    server: String,
    stream: Stream,
    client: Client,
    limits: Limits,
}

/// The answer to one question.
struct Answer {
    data: Vec<Untagged>,
    status: Status,
    text: StatusText,
}

/// Connects and logs in.
pub async fn open(opener: &Opener) -> Result<Link, EndError> {
    let Opener { account, limits, dialer, .. } = opener;
    let endpoint = &account.endpoint;
    let server = endpoint.authority();
    let mut stream = net::dial(dialer, endpoint, limits).await?;
    if endpoint.security == Security::Tls {
        stream = net::encrypt(stream, endpoint, &account.trust, limits).await?;
    }
    let client = Client::new(mailhaul_imap::Limits::default());
    let mut raw = Raw { server, stream, client, limits: limits.clone() };
    let (condition, greeting) = raw.greeting().await?;
    if endpoint.security == Security::StartTls {
        raw = raw.start_tls(account, condition).await?;
    }
    if condition != Condition::PreAuth {
        raw.login(account).await?;
    }
    raw.into_link(opener, greeting).await
}

impl Raw {
    /// The next event, within `limit`.
    async fn event(&mut self, doing: &'static str, limit: Duration) -> Result<Event, EndError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let event = self.client.next_event().map_err(|e| self.protocol(doing, e.to_string()))?;
            if let Some(event) = event {
                return Ok(event);
            }
            let reading = tokio::io::AsyncReadExt::read_buf(&mut self.stream, self.client.input());
            match tokio::time::timeout_at(deadline, reading).await {
                Ok(Ok(0)) => return Err(self.lost(doing, "end of the connection")),
                Ok(Ok(_)) => self.stream.acknowledge_quickly(),
                Ok(Err(error)) => return Err(self.lost(doing, &error.to_string())),
                Err(_) => return Err(EndError::TimedOut { server: self.server.clone(), doing, limit }),
            }
        }
    }

    async fn write(&mut self, doing: &'static str) -> Result<(), EndError> {
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
                    return Err(EndError::TimedOut { server: self.server.clone(), doing, limit });
                }
            }
        }
        Ok(())
    }

    /// Asks one question. `respond` answers challenges.
    async fn ask(
        &mut self,
        command: Command,
        doing: &'static str,
        mut respond: impl FnMut(Option<Vec<u8>>) -> Option<Vec<u8>> + Send,
    ) -> Result<Answer, EndError> {
        let tag = self.client.submit(command);
        let mut data = Vec::new();
        loop {
            self.write(doing).await?;
            match self.event(doing, self.limits.command).await? {
                Event::Tagged { tag: of, status, text, .. } if of == tag => {
                    return Ok(Answer { data, status, text });
                }
                Event::Untagged { data: Untagged::Status(Condition::Bye, text), .. } => {
                    return Err(self.bye(doing, &text));
                }
                Event::Untagged { data: untagged, .. } => data.push(untagged),
                Event::Challenge(challenge) => {
                    let answer = respond(challenge);
                    self.client.respond(answer.as_deref());
                }
                _ => {}
            }
        }
    }

    async fn plain(&mut self, command: Command, doing: &'static str) -> Result<Answer, EndError> {
        self.ask(command, doing, |_| None).await
    }

    async fn greeting(&mut self) -> Result<(Condition, StatusText), EndError> {
        match self.event("the greeting", self.limits.greeting).await? {
            Event::Greeting(Condition::Bye, text) => Err(self.bye("the greeting", &text)),
            Event::Greeting(condition @ (Condition::Ok | Condition::PreAuth), text) => Ok((condition, text)),
            _ => Err(self
                .protocol("the greeting", "the first line is no greeting: is this an IMAP server?".into())),
        }
    }

    async fn capabilities(&mut self) -> Result<Capabilities, EndError> {
        if let Some(known) = self.client.capabilities() {
            return Ok(known.clone());
        }
        let answer = self.plain(Command::capability(), "CAPABILITY").await?;
        self.check(&answer, "CAPABILITY")?;
        Ok(self.client.capabilities().cloned().unwrap_or_default())
    }

    async fn start_tls(mut self, account: &ImapAccount, condition: Condition) -> Result<Self, EndError> {
        let untrusted = |what: &str, hint: &str| EndError::Untrusted {
            server: account.endpoint.authority(),
            what: what.into(),
            hint: hint.into(),
        };
        let try_tls = "try imaps:// (port 993); imap+insecure:// would send the password in clear text";
        if condition == Condition::PreAuth {
            // RFC 9051, 7.1.4: somebody may have put that greeting there to keep us from encrypting.
            return Err(untrusted("it greets as logged in, before STARTTLS", try_tls));
        }
        if !self.capabilities().await?.starttls() {
            return Err(untrusted("it does not offer STARTTLS", try_tls));
        }
        let answer = self.plain(Command::starttls(), "STARTTLS").await?;
        if answer.status != Status::Ok {
            let what = format!("it refused STARTTLS: {}", answer.text.display_text());
            return Err(untrusted(&what, try_tls));
        }
        if let Err(error) = self.client.starttls_done() {
            return Err(untrusted(&error.to_string(), "somebody may be between you and the server"));
        }
        self.stream = net::encrypt(self.stream, &account.endpoint, &account.trust, &self.limits).await?;
        Ok(self)
    }

    async fn login(&mut self, account: &ImapAccount) -> Result<(), EndError> {
        let capabilities = self.capabilities().await?;
        let secret = account
            .credentials
            .secret()
            .await
            .map_err(|what| EndError::NoCredentials { server: self.server.clone(), what })?;
        let Secret::Password(password) = secret else {
            return Err(EndError::Unsupported {
                server: self.server.clone(),
                what: "logging in with a token (OAuth) comes with a later version".into(),
                hint: "use a password, or an app password".into(),
            });
        };
        self.client.set_literal_mode(LiteralMode::Synchronizing);
        let answer = if capabilities.auth(b"PLAIN") {
            let user = account.auth_user.as_deref().unwrap_or(&account.user);
            let authorize = if account.auth_user.is_some() { account.user.as_str() } else { "" };
            let message = auth::plain(authorize, user, &password);
            let initial = capabilities.sasl_ir().then(|| auth::encode(&message));
            let command = Command::authenticate("PLAIN", initial.as_ref().map(|i| i.as_str()));
            self.ask(command, "the login", |_| Some(message.to_vec())).await?
        } else if capabilities.login_disabled() {
            return Err(EndError::Untrusted {
                server: self.server.clone(),
                what: "it takes no password over this connection (LOGINDISABLED)".into(),
                hint: "use imaps:// or imap:// (STARTTLS)".into(),
            });
        } else if account.auth_user.is_some() {
            return Err(EndError::Unsupported {
                server: self.server.clone(),
                what: "it offers no AUTH=PLAIN, so that nobody can log in for another user".into(),
                hint: "leave --from-auth-user or --to-auth-user away".into(),
            });
        } else {
            let command = Command::login(account.user.as_bytes(), password.as_bytes());
            self.plain(command, "the login").await?
        };
        if answer.status == Status::Ok {
            return Ok(());
        }
        Err(self.refused_login(account, &answer))
    }

    /// Throttling and passing trouble at the login are not a wrong password.
    fn refused_login(&self, account: &ImapAccount, answer: &Answer) -> EndError {
        let refusal = quirks::refusal(answer.status, &answer.text);
        let server = self.server.clone();
        match refusal.class {
            RefusalClass::Throttled(_) | RefusalClass::Unavailable => {
                EndError::Refused { server, doing: "the login", refusal }
            }
            _ => EndError::LoginRefused { server, user: account.user.clone(), refusal },
        }
    }

    async fn into_link(mut self, opener: &Opener, greeting: StatusText) -> Result<Link, EndError> {
        // Before login the list is shorter: asked again unless the login's answer brought it.
        let capabilities = match self.client.capabilities() {
            Some(known) if known.has(b"NAMESPACE") || known.has(b"UIDPLUS") || known.imap4rev2() => {
                known.clone()
            }
            _ => {
                self.client.forget_capabilities();
                self.capabilities().await?
            }
        };
        let kept = capabilities
            .iter()
            .filter(|name| !opener.without.iter().any(|w| w.as_bytes().eq_ignore_ascii_case(name)));
        let capabilities = Capabilities::from_names(kept.cloned());
        self.client.set_literal_mode(capabilities.literal_mode());
        let product = self.identify(&capabilities, &greeting).await?;
        let namespaces = self.namespaces(&capabilities).await?;
        let delimiter = if namespaces.is_none() { self.delimiter().await? } else { None };
        let abilities = Abilities {
            announced: capabilities.iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect(),
            product,
            personal: personal(namespaces.as_ref(), delimiter),
            multi: capabilities.multiappend(),
            tells_places: capabilities.uidplus(),
            overlap: capabilities.literal_mode() == LiteralMode::Plus,
            creates_roles: capabilities.create_special_use(),
            append_limit_octets: capabilities.append_limit(),
            expunges_by_uid: capabilities.uidplus(),
            conditional_store: capabilities.condstore(),
            utf8_names: false,
            gmail: capabilities.gmail(),
            tls: self.stream.protection(),
        };
        let (requests, queue) = mpsc::unbounded_channel();
        let driver = Driver::new(self.server.clone(), self.stream, self.client, self.limits.clone(), queue);
        let task = tokio::spawn(driver.run());
        Ok(Link {
            server: self.server,
            limits: self.limits,
            capabilities,
            abilities,
            namespaces,
            requests,
            task,
            next_id: 0,
            exists: 0,
        })
    }

    /// ID (RFC 2971): who we are, and who the server says it is; else its greeting.
    async fn identify(
        &mut self,
        capabilities: &Capabilities,
        greeting: &StatusText,
    ) -> Result<String, EndError> {
        let fallback = greeting.display_text();
        if !capabilities.id() {
            return Ok(fallback);
        }
        let us = [("name", "Mailhaul"), ("version", env!("CARGO_PKG_VERSION"))];
        let answer = self.plain(Command::id(&us), "ID").await?;
        let fields =
            answer.data.iter().find_map(|d| if let Untagged::Id(fields) = d { Some(fields) } else { None });
        let field = |name: &[u8]| {
            let value = fields?.iter().find(|(k, _)| k.eq_ignore_ascii_case(name))?.1.as_ref()?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        Ok(match (field(b"name"), field(b"version")) {
            (Some(name), Some(version)) => format!("{name} {version}"),
            (Some(name), None) => name,
            _ => fallback,
        })
    }

    async fn namespaces(
        &mut self,
        capabilities: &Capabilities,
    ) -> Result<Option<mailhaul_imap::Namespaces>, EndError> {
        if !capabilities.namespace() {
            return Ok(None);
        }
        let answer = self.plain(Command::namespace(), "NAMESPACE").await?;
        Ok(answer.data.into_iter().find_map(|d| if let Untagged::Namespace(n) = d { Some(n) } else { None }))
    }

    /// `LIST "" ""` names the delimiter (RFC 9051, 6.3.9).
    async fn delimiter(&mut self) -> Result<Option<u8>, EndError> {
        let answer = self.plain(Command::list("", b"", b"", ""), "LIST").await?;
        Ok(answer.data.into_iter().find_map(|d| if let Untagged::List(e) = d { e.delimiter } else { None }))
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
    fn bye(&self, doing: &'static str, text: &StatusText) -> EndError {
        let refusal = quirks::refusal(Status::No, text);
        let server = self.server.clone();
        match refusal.class {
            RefusalClass::Throttled(_) => EndError::Refused { server, doing, refusal },
            _ => {
                let Refusal { text, .. } = refusal;
                EndError::Lost { server, doing, what: format!("BYE {text}") }
            }
        }
    }
}
