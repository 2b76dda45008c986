//! The login: a mechanism is chosen, said, and its answer judged.
//!
//! One attempt: a refused login is never tried again by itself, and never with a weaker mechanism, since each try may count
//! for a lock-out. Two exceptions that cost nothing: a server that does not know a mechanism it announced is asked with the
//! next one, and a token that died is replaced once. Secrets go in clear text only where the person wrote `imap+insecure`.

use super::login::Raw;
use crate::alerts::Alerts;
use crate::auth::{self, Exchange, ExchangeError, Mechanism, Offer, Proof, Who};
use crate::config::{Form, ImapAccount, Secret, Security};
use crate::error::{EndError, Refusal, RefusalClass};
use crate::quirks;
use mailhaul_imap::{Capabilities, Command, Condition, Event, LiteralMode, Status, StatusText, Untagged};
use zeroize::Zeroizing;

/// What is being done, for errors.
const DOING: &str = "the login";

/// How an attempt ended, where the server had a say.
enum Attempt {
    In,
    /// The mechanism is not known there; nobody was refused.
    Unsupported(Refusal),
    Refused(Refusal),
}

/// What an account is opened with, from whoever has it.
pub(super) async fn secret(account: &ImapAccount) -> Result<Secret, EndError> {
    let none = |what| EndError::NoCredentials { server: account.endpoint.authority(), what };
    account.credentials.secret().await.map_err(none)
}

impl Raw {
    /// Logs in with `secret`. `without`: capabilities to ignore.
    pub(super) async fn login(
        &mut self,
        account: &ImapAccount,
        without: &[String],
        secret: &Secret,
    ) -> Result<(), EndError> {
        let announced = self.capabilities().await?;
        let kept = announced.iter().filter(|n| !without.iter().any(|w| w.as_bytes().eq_ignore_ascii_case(n)));
        let capabilities = Capabilities::from_names(kept.cloned());
        self.client.set_literal_mode(LiteralMode::Synchronizing);
        let Err(error) = self.log_in_with(account, &capabilities, secret).await else { return Ok(()) };
        let is_refused_token = matches!((&error, secret), (EndError::LoginRefused { .. }, Secret::Token(_)));
        if is_refused_token && account.credentials.refused(secret).await {
            let fresh = self::secret(account).await?;
            return self.log_in_with(account, &capabilities, &fresh).await;
        }
        Err(error)
    }

    /// Tries the mechanisms that fit `secret`, the strongest first, until the server knows one.
    async fn log_in_with(
        &mut self,
        account: &ImapAccount,
        capabilities: &Capabilities,
        secret: &Secret,
    ) -> Result<(), EndError> {
        let (login, for_another) = self.names(account)?;
        let offer = Offer {
            capabilities,
            proof: match secret {
                Secret::Password(_) => Proof::Password,
                Secret::Token(_) => Proof::Token,
                Secret::Certificate => Proof::Certificate,
            },
            encrypted: self.stream.is_encrypted(),
            clear_allowed: account.endpoint.security == Security::Clear,
            can_bind: self.stream.binding().is_some(),
            for_another: for_another && !matches!(secret, Secret::Token(_)),
            only: account.login.mechanism,
        };
        let choices = auth::choices(&offer).map_err(|none| self.no_mechanism(&none))?;
        let (host, port) = (account.endpoint.host.as_str(), account.endpoint.port);
        let authorize = for_another.then_some(account.user.as_str());
        let who = Who { authenticate: &login, authorize, host, port };
        let mut last: Option<(Mechanism, Refusal)> = None;
        let bare = |alerts: &Alerts| alerts.rewrite(|words| without_secrets(words, &who, secret));
        let mut unknown = Vec::new();
        for mechanism in choices {
            if !auth::may_follow(&unknown, mechanism) {
                continue;
            }
            let attempt = self.attempt(mechanism, &who, capabilities, secret).await;
            bare(&self.alerts);
            match attempt? {
                Attempt::In => return Ok(()),
                Attempt::Unsupported(refusal) => {
                    unknown.push(mechanism);
                    last = Some((mechanism, refusal));
                }
                Attempt::Refused(refusal) => {
                    last = Some((mechanism, refusal));
                    break;
                }
            }
        }
        // There is always a choice, hence an attempt.
        let Some((mechanism, mut refusal)) = last else { return Ok(()) };
        refusal.text = without_secrets(&refusal.text, &who, secret);
        Err(self.login_refused(account, Some(mechanism), refusal))
    }

    /// The name that logs in, and whether another one is named beside it by SASL.
    fn names(&self, account: &ImapAccount) -> Result<(String, bool), EndError> {
        match (&account.auth_user, &account.login.form) {
            (None, _) => Ok((account.user.clone(), false)),
            (Some(admin), Form::Sasl) => Ok((admin.clone(), true)),
            (Some(admin), Form::OneName(template)) => {
                let name = template.name(&account.user, admin);
                let name = name.map_err(|wrong| EndError::Unsupported {
                    server: self.server.clone(),
                    what: format!("nobody can log in for {}: {wrong}", account.user),
                    hint: "use another form: --from-auth-form or --to-auth-form".into(),
                })?;
                Ok((name, false))
            }
        }
    }

    async fn attempt(
        &mut self,
        mechanism: Mechanism,
        who: &Who<'_>,
        capabilities: &Capabilities,
        secret: &Secret,
    ) -> Result<Attempt, EndError> {
        let empty = Zeroizing::new(String::new());
        let text = match secret {
            Secret::Password(text) | Secret::Token(text) => text,
            Secret::Certificate => &empty,
        };
        if mechanism == Mechanism::LoginCommand {
            let command = Command::login(who.authenticate.as_bytes(), text.as_bytes());
            let answer = self.ask(command, DOING).await?;
            return Ok(judged(mechanism, answer.status, &answer.text, (true, None)));
        }
        let server_binds = capabilities.auth_mechanisms().any(|m| m.to_ascii_uppercase().ends_with(b"-PLUS"));
        let exchange = Exchange::new(mechanism, who, text, self.stream.binding(), server_binds);
        let exchange = exchange.map_err(|error| self.broken_off(&error))?;
        self.authenticate(mechanism, exchange, capabilities.sasl_ir()).await
    }

    /// AUTHENTICATE (RFC 9051, 6.2.2) to its tagged answer.
    async fn authenticate(
        &mut self,
        mechanism: Mechanism,
        mut exchange: Exchange,
        sasl_ir: bool,
    ) -> Result<Attempt, EndError> {
        let mut first = exchange.initial();
        let with_command = first.take_if(|_| sasl_ir).map(|message| auth::encode(&message));
        let command = Command::authenticate(mechanism.name(), with_command.as_ref().map(|i| i.as_str()));
        let tag = self.client.submit(command);
        // Once the secret is out, a BAD may be about it: only a server that says so does not know the mechanism.
        let mut challenged = with_command.is_some() && mechanism.sends_secret();
        let until = self.patience();
        loop {
            self.write(DOING).await?;
            match self.next(DOING, until).await? {
                Event::Tagged { tag: of, status, text, .. } if of == tag => {
                    let attempt = judged(mechanism, status, &text, (challenged, exchange.server_error()));
                    if matches!(attempt, Attempt::In) {
                        exchange.finish().map_err(|error| self.broken_off(&error))?;
                    }
                    return Ok(attempt);
                }
                Event::Untagged { data: Untagged::Status(Condition::Bye, text), .. } => {
                    // Last words can be about the login, which is then not tried again.
                    let refusal = quirks::refusal(Status::No, &text);
                    if refusal.class == RefusalClass::Login {
                        return Ok(Attempt::Refused(refusal));
                    }
                    return Err(self.bye(DOING, &text));
                }
                // The empty challenge that a first message answers.
                Event::Challenge(_) if first.is_some() => {
                    challenged |= mechanism.sends_secret();
                    let message = first.take();
                    self.client.respond(message.as_ref().map(|m| m.as_slice()));
                }
                Event::Challenge(challenge) => {
                    challenged = true;
                    let answer;
                    (exchange, answer) = self.answer(exchange, challenge).await?;
                    self.client.respond(Some(&answer));
                }
                _ => {}
            }
        }
    }

    /// The answer to a challenge; where there is none, the exchange is cancelled and the connection given up.
    async fn answer(
        &mut self,
        mut exchange: Exchange,
        challenge: Option<Vec<u8>>,
    ) -> Result<(Exchange, Zeroizing<Vec<u8>>), EndError> {
        let answered = match challenge {
            None => Err(ExchangeError::NoBase64),
            Some(challenge) if exchange.is_work() => {
                let work = tokio::task::spawn_blocking(move || {
                    let answer = exchange.respond(&challenge);
                    (exchange, answer)
                });
                let lost = |_| EndError::Stopped;
                let (back, answer) = work.await.map_err(lost)?;
                answer.map(|answer| (back, answer))
            }
            Some(challenge) => exchange.respond(&challenge).map(|answer| (exchange, answer)),
        };
        match answered {
            Ok(answered) => Ok(answered),
            Err(error) => {
                self.client.respond(None);
                self.write(DOING).await?;
                Err(self.broken_off(&error))
            }
        }
    }

    fn broken_off(&self, error: &ExchangeError) -> EndError {
        let (server, what, hint) = (self.server.clone(), error.to_string(), error.hint().to_owned());
        match error {
            ExchangeError::Characters(_) | ExchangeError::NoRandomness => {
                EndError::Unsupported { server, what, hint }
            }
            _ => EndError::Untrusted { server, what, hint, shown: None },
        }
    }

    fn no_mechanism(&self, none: &auth::NoMechanism) -> EndError {
        let (server, what, hint) = (self.server.clone(), none.to_string(), none.hint().to_owned());
        match none {
            auth::NoMechanism::NeedsTls => EndError::Untrusted { server, what, hint, shown: None },
            _ => EndError::Unsupported { server, what, hint },
        }
    }

    /// Throttling and passing trouble at the login are not a wrong password.
    pub(super) fn login_refused(
        &self,
        account: &ImapAccount,
        mechanism: Option<Mechanism>,
        mut refusal: Refusal,
    ) -> EndError {
        let server = self.server.clone();
        if let Some(admin) = &account.auth_user {
            // Many servers do not say which it was: the password, or that this one may not act for that one.
            refusal.text = format!("{} ({admin}{}{})", refusal.text, auth::advice::FOR_ANOTHER, account.user);
        }
        if refusal.code.as_deref() == Some("PRIVACYREQUIRED") {
            // RFC 5530, 3: it is the missing encryption that is refused, not the password.
            let what = format!("it takes no password over this connection: {refusal}");
            return EndError::Untrusted {
                server,
                what,
                hint: "use imaps:// or imap:// (STARTTLS)".into(),
                shown: None,
            };
        }
        match refusal.class {
            class if quirks::is_passing(class) => EndError::Refused { server, doing: DOING, refusal },
            _ => EndError::LoginRefused {
                server,
                user: account.user.clone(),
                mechanism,
                refusal: Box::new(refusal),
                told: Vec::new(),
            },
        }
    }
}

/// Words of a server that repeats what it was sent, without the secret (law 12).
fn without_secrets(words: &str, who: &Who<'_>, secret: &Secret) -> String {
    let (Secret::Password(text) | Secret::Token(text)) = secret else { return words.to_owned() };
    if text.is_empty() {
        return words.to_owned();
    }
    let plain = |authorize: &str| {
        let message = Zeroizing::new(format!("{authorize}\0{}\0{}", who.authenticate, text.as_str()));
        auth::encode(message.as_bytes())
    };
    let spellings =
        [text.clone(), auth::encode(text.as_bytes()), plain(""), plain(who.authorize.unwrap_or_default())];
    spellings.iter().fold(words.to_owned(), |words, secret| words.replace(secret.as_str(), "(the secret)"))
}

/// What a tagged answer to a login means. `before`: whether the server had asked for something, and what it said inside the
/// exchange, which is kept with its words.
fn judged(mechanism: Mechanism, status: Status, text: &StatusText, before: (bool, Option<&str>)) -> Attempt {
    if status == Status::Ok {
        return Attempt::In;
    }
    let (challenged, server_error) = before;
    let mut refusal = quirks::refusal(status, text);
    let unsupported = auth::is_unsupported(mechanism, &refusal, challenged, server_error);
    if let Some(error) = server_error {
        refusal.text = format!("{} ({error})", refusal.text);
    }
    if unsupported { Attempt::Unsupported(refusal) } else { Attempt::Refused(refusal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_repeats_what_it_was_sent_puts_no_secret_into_an_error() {
        let who = Who { authenticate: "ann", authorize: None, host: "h", port: 143 };
        let secret = Secret::Password(Zeroizing::new("open sesame".to_owned()));
        let echoes = [
            "what is a1 LOGIN ann \"open sesame\"?",
            "AUTHENTICATE PLAIN AGFubgBvcGVuIHNlc2FtZQ==",
            "b3BlbiBzZXNhbWU=",
        ];
        for echo in echoes {
            let told = without_secrets(echo, &who, &secret);
            assert!(told.contains("(the secret)"), "{told}");
            assert!(
                !told.contains("sesame") && !told.contains("b3Blbi") && !told.contains("vcGVuIH"),
                "{told}"
            );
        }
        assert_eq!(without_secrets("no", &who, &Secret::Certificate), "no");
    }
}
