//! Where secrets come from: an option, the environment, a prompt, in this order. They are asked for at each login and shown
//! nowhere.

use crate::args::Login;
use crate::env;
use crate::error::Failure;
use crate::hidden;
use crate::oauth;
use mailhaul_engine::config::{
    ByCertificate, Credentials, FixedPassword, FixedToken, RefusedFuture, Secret, SecretFuture,
};
use mailhaul_engine::oauth::Person;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where the secret of one side comes from.
#[derive(Clone)]
pub enum Ask {
    /// From the options, the environment, or the person who has it, who is asked at once.
    Now,
    /// The same, where whoever logs in at an issuer is shown its address elsewhere than at the terminal.
    Of(Arc<dyn Person>),
    /// It was given already.
    Given(Arc<dyn Credentials>),
    /// Nobody logs in.
    Never,
}

/// For an account that nobody logs in to.
pub fn none() -> Arc<dyn Credentials> {
    Arc::new(NotAsked)
}

/// Finds the secret of one side. `who` is shown at the prompt; `tokens`: whose tokens, where an issuer gives them.
pub fn find(
    side: &'static str,
    login: &Login,
    who: &str,
    tokens: oauth::For<'_>,
) -> Result<Arc<dyn Credentials>, Failure> {
    if let Some(file) = &login.password_file {
        return Ok(Arc::new(FromFile(file.clone())));
    }
    if let Some(command) = &login.password_command {
        return Ok(Arc::new(FromCommand(command.clone(), Kind::Password)));
    }
    if let Some(command) = &login.token_command {
        return Ok(Arc::new(FromCommand(command.clone(), Kind::Token)));
    }
    if let Some(issuer) = &login.oauth {
        return oauth::credentials(issuer, login, tokens);
    }
    if login.certificate.is_some() {
        return Ok(Arc::new(ByCertificate));
    }
    let side_upper = side.to_ascii_uppercase();
    let variable = format!("MAILHAUL_{side_upper}_PASSWORD");
    if let Some(password) = env::var(&variable) {
        return Ok(Arc::new(FixedPassword::new(password)));
    }
    if let Some(token) = env::var(&format!("MAILHAUL_{side_upper}_TOKEN")) {
        return Ok(Arc::new(FixedToken::new(token)));
    }
    if !std::io::stdin().is_terminal() {
        let hint = format!(
            "--{side}-password-file FILE, --{side}-password-command COMMAND, --{side}-token-command COMMAND, or {variable}"
        );
        return Err(
            Failure::usage(format!("no password for {who}, and no terminal to ask for it")).hint(hint)
        );
    }
    let asked = hidden::ask(&format!("Password of {who}: "));
    let password = asked.map_err(|e| Failure::usage(format!("the password could not be read: {e}")))?;
    Ok(Arc::new(FixedPassword::new(password.as_str())))
}

struct NotAsked;

impl Credentials for NotAsked {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(async { Err("this account is left alone".to_owned()) })
    }
}

struct FromFile(PathBuf);

impl Credentials for FromFile {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(async move {
            let text = std::fs::read_to_string(&self.0).map_err(|e| format!("{}: {e}", self.0.display()))?;
            let password = line(&Zeroizing::new(text));
            if password.is_empty() {
                return Err(format!("{}: its first line is empty", self.0.display()));
            }
            Ok(Secret::Password(password))
        })
    }
}

/// What a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Password,
    Token,
}

impl Kind {
    fn name(self) -> &'static str {
        if self == Self::Password { "password" } else { "token" }
    }
}

struct FromCommand(String, Kind);

impl FromCommand {
    async fn run(&self) -> Result<Secret, String> {
        let name = self.1.name();
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let run = tokio::process::Command::new(shell).arg(flag).arg(&self.0).output();
        let output = run.await.map_err(|e| format!("the {name} command could not be run: {e}"))?;
        let text = Zeroizing::new(output.stdout);
        if !output.status.success() {
            return Err(format!("the {name} command failed ({})", output.status));
        }
        let text = std::str::from_utf8(&text).map_err(|_| format!("the {name} is not UTF-8"))?;
        let text = line(text);
        if text.is_empty() {
            return Err(format!("the {name} command printed nothing"));
        }
        Ok(if self.1 == Kind::Password { Secret::Password(text) } else { Secret::Token(text) })
    }
}

impl Credentials for FromCommand {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(self.run())
    }

    fn refused(&self, token: &Secret) -> RefusedFuture<'_> {
        let Secret::Token(refused) = token else { return Box::pin(async { false }) };
        let refused = refused.clone();
        // The token may have died between its making and the login: worth it only if there is another one by now.
        Box::pin(async move { matches!(self.run().await, Ok(Secret::Token(now)) if *now != *refused) })
    }
}

/// The first line: what is below it is not the secret (password stores keep notes there).
fn line(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
}
