//! Where secrets come from: an option, the environment, a prompt, in this order. They are asked for at each login and shown
//! nowhere.

use crate::args::Login;
use crate::env;
use crate::error::Failure;
use crate::hidden;
use crate::oauth;
use crate::output::say;
use mailhaul_engine::config::{
    ByCertificate, Credentials, FixedPassword, FixedToken, RefusedFuture, Secret, SecretFuture,
};
use mailhaul_engine::names::printable;
use mailhaul_engine::oauth::Person;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use zeroize::Zeroizing;

/// How long a command may take: somebody may have to log in meanwhile, as with a browser.
const SECRET_COMMAND_TIME_MAX: Duration = Duration::from_secs(900);
/// Octets that are read of what it prints; a token has some thousand.
const SECRET_OCTETS: usize = 64 * 1024;
/// Octets that are read of what it says beside that.
const WORDS_OCTETS: u64 = 1024 * 1024;

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
        return Ok(Arc::new(FromCommand(command.clone(), Kind::Password, SECRET_COMMAND_TIME_MAX)));
    }
    if let Some(command) = &login.token_command {
        return Ok(Arc::new(FromCommand(command.clone(), Kind::Token, SECRET_COMMAND_TIME_MAX)));
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

/// A command, what it prints, and how long it may take.
struct FromCommand(String, Kind, Duration);

/// What a command left.
struct Printed {
    status: ExitStatus,
    text: Zeroizing<Vec<u8>>,
    /// The last line of what it said on stderr.
    words: Option<String>,
}

/// Runs a command; whoever gives up waiting ends it. What it says on stderr is shown where somebody sees it: it may ask that somebody
/// logs in.
async fn printed(command: &str) -> std::io::Result<Printed> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut run = tokio::process::Command::new(shell);
    run.arg(flag).arg(command).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = run.spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut text = Zeroizing::new(Vec::with_capacity(SECRET_OCTETS));
    let reading = async {
        if let Some(out) = out {
            out.take(SECRET_OCTETS as u64).read_to_end(&mut text).await?;
        }
        std::io::Result::Ok(())
    };
    let listening = async {
        let mut last = None;
        let Some(err) = err else { return last };
        let mut lines = BufReader::new(err.take(WORDS_OCTETS)).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if std::io::stderr().is_terminal() {
                say(&line);
            }
            last = Some(printable(&line)).filter(|line| !line.is_empty()).or(last);
        }
        last
    };
    let (read, words, status) = tokio::join!(reading, listening, child.wait());
    read?;
    Ok(Printed { status: status?, text, words })
}

impl FromCommand {
    async fn run(&self) -> Result<Secret, String> {
        let name = self.1.name();
        let late = |_| format!("the {name} command did not end within {} s", self.2.as_secs());
        let printed = tokio::time::timeout(self.2, printed(&self.0)).await.map_err(late)?;
        let Printed { status, text, words } =
            printed.map_err(|e| format!("the {name} command could not be run: {e}"))?;
        let text = std::str::from_utf8(&text).map(line).map_err(|_| format!("the {name} is not UTF-8"));
        // What it printed is not shown, not even where it prints it on both ways.
        let is_secret =
            |words: &str| text.as_ref().is_ok_and(|text| !text.is_empty() && words.contains(text.as_str()));
        let said =
            words.filter(|words| !is_secret(words)).map(|words| format!(": {words}")).unwrap_or_default();
        if !status.success() {
            return Err(format!("the {name} command failed ({status}){said}"));
        }
        let text = text?;
        if text.is_empty() {
            return Err(format!("the {name} command printed nothing{said}"));
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    async fn failure(command: &str) -> String {
        let limit = Duration::from_millis(if command.contains("sleep") { 100 } else { 60_000 });
        FromCommand(command.into(), Kind::Token, limit).run().await.err().unwrap_or_default()
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_its_last_words_and_never_with_what_it_printed() {
        let said = failure("echo plum-token; echo first >&2; echo 'no such entry' >&2; exit 3").await;
        assert!(said.contains("failed") && said.ends_with(": no such entry"), "{said}");
        for command in ["echo plum-token; exit 1", "echo plum-token; echo was plum-token >&2; exit 1"] {
            let said = failure(command).await;
            assert!(said.contains("failed") && !said.contains("plum"), "{said}");
        }
        assert!(failure("echo locked >&2").await.ends_with("printed nothing: locked"));
        assert!(failure("printf '\\033[2Jgone\\n' >&2; exit 1").await.ends_with("<U+001B>[2Jgone"));
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_not_waited_for_without_end() {
        assert!(failure("exec sleep 600").await.contains("did not end within"));
        let good = FromCommand("echo plum-token; echo note".into(), Kind::Token, SECRET_COMMAND_TIME_MAX);
        let Ok(Secret::Token(token)) = good.run().await else { panic!("no token") };
        assert_eq!(*token, "plum-token");
    }
}
