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
use mailhaul_engine::names::printable;
use mailhaul_engine::oauth::Person;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use zeroize::Zeroizing;

/// How long a command may take: somebody may have to log in meanwhile, as with a browser.
const SECRET_COMMAND_TIME_MAX: Duration = Duration::from_secs(900);
/// Octets that are read of what it prints; a token has some thousand.
const SECRET_OCTETS: usize = 64 * 1024;
/// Octets that are kept of what it says beside that.
const WORDS_OCTETS: usize = 16 * 1024;
/// How long a command is listened to that has ended: something it left in the background may never fall silent.
const LISTENS_AFTER: Duration = Duration::from_secs(1);

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
        return Ok(Arc::new(FromCommand::new(command, Kind::Password)));
    }
    if let Some(command) = &login.token_command {
        return Ok(Arc::new(FromCommand::new(command, Kind::Token)));
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

/// A command.
struct FromCommand {
    command: String,
    kind: Kind,
    /// How long it may take.
    limit: Duration,
    place: Place,
}

/// Where a command runs.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its stderr is ours, a terminal: it may ask somebody there, in whatever form.
    is_seen: bool,
    /// It has a process group of its own, and all of that is ended with it.
    is_apart: bool,
}

impl Place {
    fn here() -> Self {
        // In a group of its own a command could not read from the terminal, and would not hear of Ctrl-C.
        let has_terminal = cfg!(unix) && std::fs::File::open("/dev/tty").is_ok();
        Self { is_seen: std::io::stderr().is_terminal(), is_apart: !has_terminal }
    }
}

/// What a command left.
struct Printed {
    status: ExitStatus,
    text: Zeroizing<Vec<u8>>,
    /// The end of what it said on stderr, where nobody saw it.
    words: Zeroizing<Vec<u8>>,
}

/// The process group of a command; it is ended when this is dropped.
#[cfg_attr(not(unix), allow(dead_code, reason = "there are none"))]
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.0.and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// A command as a person types it, by the shell of the system.
#[cfg(not(windows))]
fn by_shell(command: &str) -> tokio::process::Command {
    let mut run = tokio::process::Command::new("sh");
    run.arg("-c").arg(command);
    run
}

/// A command as a person types it, by the shell of the system. It is handed over untouched, but for the outermost quotes,
/// which `/S` takes off: `cmd` knows nothing of quotes that are escaped as for other programs.
#[cfg(windows)]
fn by_shell(command: &str) -> tokio::process::Command {
    let mut run = tokio::process::Command::new("cmd");
    run.args(["/D", "/S", "/C"]).raw_arg(format!("\"{command}\""));
    run
}

/// Runs a command; whoever gives up waiting ends it.
async fn printed(command: &str, place: Place) -> std::io::Result<Printed> {
    let mut run = by_shell(command);
    run.stdout(Stdio::piped()).kill_on_drop(true);
    run.stderr(if place.is_seen { Stdio::inherit() } else { Stdio::piped() });
    #[cfg(unix)]
    if place.is_apart {
        run.process_group(0);
    }
    let mut child = run.spawn()?;
    let mut group = Group(child.id().filter(|_| place.is_apart));
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut text = Zeroizing::new(Vec::with_capacity(SECRET_OCTETS));
    let mut words = Zeroizing::new(Vec::with_capacity(2 * WORDS_OCTETS));
    let (status, read) = {
        let mut listening = pin!(async {
            let reading = async {
                match out {
                    Some(out) => out.take(SECRET_OCTETS as u64).read_to_end(&mut text).await.map(|_| ()),
                    None => Ok(()),
                }
            };
            tokio::join!(reading, keep_end(err, &mut words)).0
        });
        let mut read = None;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                all = &mut listening, if read.is_none() => read = Some(all),
            }
        };
        // What it left in the background goes on, and may keep both open.
        group.0 = None;
        if read.is_none() {
            read = tokio::time::timeout(LISTENS_AFTER, listening).await.ok();
        }
        (status, read)
    };
    read.unwrap_or(Ok(()))?;
    Ok(Printed { status, text, words })
}

/// Reads to the end and keeps some of the last octets.
async fn keep_end(from: Option<ChildStderr>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut some = Zeroizing::new([0; WORDS_OCTETS]);
    while let Ok(n @ 1..) = from.read(&mut *some).await {
        kept.extend_from_slice(&some[..n]);
        let surplus = kept.len().saturating_sub(WORDS_OCTETS);
        kept.drain(..surplus);
    }
}

/// The last line of what a command said, for people; `None` where it holds the secret, or is too long to know that.
fn last_line(words: &[u8], secret: &str) -> Option<String> {
    let whole = match words.len() < WORDS_OCTETS {
        true => words,
        // The first line may be cut.
        false => &words[words.iter().position(|octet| *octet == b'\n')?..],
    };
    let text = Zeroizing::new(String::from_utf8_lossy(whole).into_owned());
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    (secret.is_empty() || !line.contains(secret)).then(|| printable(line))
}

impl FromCommand {
    fn new(command: &str, kind: Kind) -> Self {
        Self { command: command.to_owned(), kind, limit: SECRET_COMMAND_TIME_MAX, place: Place::here() }
    }

    async fn run(&self) -> Result<Secret, String> {
        let name = self.kind.name();
        let late = |_| format!("the {name} command did not end within {} s", self.limit.as_secs());
        let printed = tokio::time::timeout(self.limit, printed(&self.command, self.place)).await;
        let Printed { status, text, words } =
            printed.map_err(late)?.map_err(|e| format!("the {name} command could not be run: {e}"))?;
        // What it printed is not shown, not even where it prints it on both ways.
        let secret = line(&Zeroizing::new(String::from_utf8_lossy(&text).into_owned()));
        let said = last_line(&words, secret.trim()).map(|words| format!(": {words}")).unwrap_or_default();
        if !status.success() {
            return Err(format!("the {name} command failed ({status}){said}"));
        }
        if std::str::from_utf8(&text).is_err() {
            return Err(format!("the {name} is not UTF-8"));
        }
        if secret.is_empty() {
            return Err(format!("the {name} command printed nothing{said}"));
        }
        Ok(if self.kind == Kind::Password { Secret::Password(secret) } else { Secret::Token(secret) })
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

    /// Where nobody sees what a command says.
    fn unseen(command: &str, limit: Duration) -> FromCommand {
        let place = Place { is_seen: false, is_apart: true };
        FromCommand { command: command.to_owned(), kind: Kind::Token, limit, place }
    }

    async fn failure(command: &str) -> Option<String> {
        unseen(command, SECRET_COMMAND_TIME_MAX).run().await.err()
    }

    async fn token(command: &str) -> Option<Zeroizing<String>> {
        match unseen(command, SECRET_COMMAND_TIME_MAX).run().await {
            Ok(Secret::Token(token)) => Some(token),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_its_last_words_and_never_with_what_it_printed() {
        let said =
            failure("echo plum-token; echo first >&2; echo 'no such entry' >&2; exit 3").await.unwrap();
        assert!(said.contains("failed") && said.ends_with(": no such entry"), "{said}");
        for command in [
            "echo plum-token; exit 1",
            "echo plum-token; echo was plum-token >&2; exit 1",
            "printf 'plum-token\\n\\377'; echo was plum-token >&2; exit 1",
        ] {
            let said = failure(command).await.unwrap();
            assert!(said.contains("failed") && !said.contains("plum"), "{said}");
        }
        assert!(failure("echo locked >&2").await.unwrap().ends_with("printed nothing: locked"));
        assert!(failure("printf '\\033[2Jgone' >&2; exit 1").await.unwrap().ends_with("<U+001B>[2Jgone"));
    }

    #[tokio::test]
    async fn of_a_command_that_says_very_much_the_last_line_is_told_and_none_that_may_be_cut() {
        let much = "head -c 300000 /dev/zero | tr '\\0' x >&2";
        assert!(failure(&format!("{much}; echo >&2; echo locked >&2")).await.unwrap().ends_with(": locked"));
        assert!(failure(much).await.unwrap().ends_with("printed nothing"));
    }

    #[tokio::test]
    async fn what_a_command_left_in_the_background_is_not_waited_for() {
        assert_eq!(token("echo plum-token; echo note").await.unwrap().as_str(), "plum-token");
        // It goes on, with both open, as long as the folder is there.
        let folder = tempfile::tempdir().unwrap();
        let background = format!("while [ -d {} ]; do sleep 0.1; done &", folder.path().display());
        assert_eq!(token(&format!("{background} echo plum-token")).await.unwrap().as_str(), "plum-token");
        let said = failure(&format!("{background} echo locked >&2; exit 1")).await.unwrap();
        assert!(said.ends_with(": locked"), "{said}");
    }

    #[tokio::test]
    async fn a_command_that_does_not_end_is_not_waited_for_without_end() {
        let said = unseen("exec sleep 600", Duration::from_millis(100)).run().await.err().unwrap();
        assert!(said.contains("did not end within"), "{said}");
    }

    #[tokio::test]
    async fn a_command_that_is_given_up_is_ended_with_all_that_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let command = format!("(echo begun; exec sleep 600) >{} & wait", pipe.display());
        let (begun, hears) = tokio::sync::oneshot::channel();
        let writers = tokio::task::spawn_blocking(move || {
            let mut writers = std::io::BufReader::new(std::fs::File::open(pipe)?);
            std::io::BufRead::read_line(&mut writers, &mut String::new())?;
            let _ = begun.send(());
            // Its end is the end of all who could write.
            std::io::Read::read_to_end(&mut writers, &mut Vec::new())
        });
        let running = unseen(&command, SECRET_COMMAND_TIME_MAX);
        tokio::select! {
            ended = running.run() => panic!("it ended: {:?}", ended.err()),
            begun = hears => begun.unwrap(),
        }
        assert_eq!(writers.await.unwrap().unwrap(), 0);
    }
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_with_quotes_reaches_the_shell_as_it_was_typed() {
        let said = async |command: &str| {
            let run = FromCommand::new(command, Kind::Token);
            match run.run().await {
                Ok(Secret::Token(token)) => token.to_string(),
                _ => String::new(),
            }
        };
        assert_eq!(said("echo plum-token").await, "plum-token");
        assert_eq!(said("echo \"plum & token\"").await, "\"plum & token\"");
        assert_eq!(said("if \"a b\"==\"a b\" (echo plum-token)").await, "plum-token");
    }
}
