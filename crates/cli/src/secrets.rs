//! Where passwords come from: file, command, environment, prompt, in this order. They are asked for at each login
//! and shown nowhere.

use crate::env;
use crate::error::Failure;
use mailhaul_engine::config::{Credentials, FixedPassword, Secret, SecretFuture};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Whether a password is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// It is, and whoever has it is asked at once.
    Now,
    /// Nobody logs in.
    Never,
}

/// For an account that nobody logs in to.
pub fn none() -> Arc<dyn Credentials> {
    Arc::new(NotAsked)
}

/// Finds the password of one side. `who` is shown at the prompt.
pub fn find(
    side: &'static str,
    file: Option<&Path>,
    command: Option<&str>,
    who: &str,
) -> Result<Arc<dyn Credentials>, Failure> {
    if let Some(file) = file {
        return Ok(Arc::new(FromFile(file.to_owned())));
    }
    if let Some(command) = command {
        return Ok(Arc::new(FromCommand(command.to_owned())));
    }
    let variable = format!("MAILHAUL_{}_PASSWORD", side.to_ascii_uppercase());
    if let Some(password) = env::var(&variable) {
        return Ok(Arc::new(FixedPassword::new(password)));
    }
    if !std::io::stdin().is_terminal() {
        let hint = format!("--{side}-password-file FILE, --{side}-password-command COMMAND, or {variable}");
        return Err(
            Failure::usage(format!("no password for {who}, and no terminal to ask for it")).hint(hint)
        );
    }
    let asked = rpassword::prompt_password(format!("Password of {who}: "));
    let password = asked.map_err(|e| Failure::usage(format!("the password could not be read: {e}")))?;
    Ok(Arc::new(FixedPassword::new(password)))
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
            Ok(password(&Zeroizing::new(text)))
        })
    }
}

struct FromCommand(String);

impl Credentials for FromCommand {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(async move {
            let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
            let run = tokio::process::Command::new(shell).arg(flag).arg(&self.0).output();
            let output = run.await.map_err(|e| format!("the password command could not be run: {e}"))?;
            if !output.status.success() {
                return Err(format!("the password command failed ({})", output.status));
            }
            let text =
                String::from_utf8(output.stdout).map_err(|_| "the password is not UTF-8".to_owned())?;
            Ok(password(&Zeroizing::new(text)))
        })
    }
}

/// The first line: a newline at the end is the file's, not the password's.
fn password(text: &Zeroizing<String>) -> Secret {
    Secret::Password(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
