//! The refresh token of one account, kept from one run to the next in a file that only its owner can read; sealed, where a
//! passphrase is given.

use crate::env;
use mailhaul_engine::files::replace_private;
use mailhaul_engine::oauth::{Store, is_sealed, seal, unseal};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Names the passphrase.
const PASSPHRASE: &str = "MAILHAUL_TOKEN_PASSPHRASE";

/// The passphrase with which tokens are sealed, from the environment.
pub fn passphrase() -> Option<Zeroizing<String>> {
    env::var(PASSPHRASE).map(Zeroizing::new)
}

/// Two lines: what it is for, and the token, sealed or not.
pub struct TokenFile {
    /// Where.
    pub file: PathBuf,
    /// A token of another issuer, client, scope or user is no token of ours.
    pub about: String,
    /// What seals it.
    pub passphrase: Option<Zeroizing<String>>,
}

impl TokenFile {
    fn failed(&self, error: impl std::fmt::Display) -> String {
        format!("{}: {error}", self.file.display())
    }

    fn open(&self, token: &str) -> Result<Option<Zeroizing<String>>, String> {
        let Some(passphrase) = &self.passphrase else {
            return Err(self.failed(format_args!("it is sealed: {PASSPHRASE} must hold its passphrase")));
        };
        let opened = unseal(passphrase, &self.about, token).map_err(|e| self.failed(e))?;
        let other = || {
            self.failed(format_args!(
                "{PASSPHRASE} does not open it; without the file the next run asks for a login"
            ))
        };
        opened.map(Some).ok_or_else(other)
    }
}

impl Store for TokenFile {
    fn load(&self) -> Result<Option<Zeroizing<String>>, String> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let mut lines = text.lines();
        let is_ours = lines.next() == Some(&self.about);
        match lines.next().filter(|_| is_ours) {
            None => Ok(None),
            Some(token) if is_sealed(token) => self.open(token),
            Some(token) => {
                // It lay open until now.
                if self.passphrase.is_some() {
                    self.save(Some(token))?;
                }
                Ok(Some(Zeroizing::new(token.to_owned())))
            }
        }
    }

    fn save(&self, refresh: Option<&str>) -> Result<(), String> {
        let Some(token) = refresh else {
            return match std::fs::remove_file(&self.file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failed(error)),
                _ => Ok(()),
            };
        };
        let token = match &self.passphrase {
            Some(passphrase) => Zeroizing::new(seal(passphrase, &self.about, token)?),
            None => Zeroizing::new(token.to_owned()),
        };
        let text = Zeroizing::new(format!("{}\n{}\n", self.about, *token));
        replace_private(&self.file, text.as_bytes()).map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn of(file: &Path, about: &str, passphrase: Option<&str>) -> TokenFile {
        let passphrase = passphrase.map(|p| Zeroizing::new(p.to_owned()));
        TokenFile { file: file.to_owned(), about: about.into(), passphrase }
    }

    fn token(of: &TokenFile) -> Option<String> {
        of.load().unwrap().map(|t| t.to_string())
    }

    #[test]
    fn a_refresh_token_is_kept_for_its_owner_alone_and_for_what_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/from.token");
        let (a, b) = (of(&file, "a", None), of(&file, "b", None));
        assert_eq!(token(&a), None);
        a.save(Some("first")).unwrap();
        a.save(Some("second")).unwrap();
        assert_eq!((token(&a).as_deref(), token(&b)), (Some("second"), None), "of another user or client");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        }
        a.save(None).unwrap();
        a.save(None).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn with_a_passphrase_a_token_is_sealed_also_one_that_lay_open_and_opens_with_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("from.token");
        of(&file, "a", None).save(Some("refresh-1")).unwrap();
        let sealed = of(&file, "a", Some("open sesame"));
        assert_eq!(token(&sealed).as_deref(), Some("refresh-1"));
        assert!(!std::fs::read_to_string(&file).unwrap().contains("refresh-1"));
        assert_eq!(token(&sealed).as_deref(), Some("refresh-1"));
        let without = of(&file, "a", None).load().unwrap_err();
        assert!(
            without.ends_with("it is sealed: MAILHAUL_TOKEN_PASSPHRASE must hold its passphrase"),
            "{without}"
        );
        let other = of(&file, "a", Some("open barley")).load().unwrap_err();
        assert!(other.contains("does not open it"), "{other}");
        assert_eq!(token(&of(&file, "b", Some("open sesame"))), None);
    }
}
