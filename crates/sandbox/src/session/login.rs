//! LOGIN and AUTHENTICATE PLAIN.

use super::{Done, Session, bad, no};
use crate::reader::Word;
use base64::Engine as _;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn login(&mut self, user: &str, password: &str) -> Done {
        if self.profile().login_disabled {
            return no("[PRIVACYREQUIRED] not over this connection");
        }
        if let Some(words) = self.profile().refuse_logins {
            self.sandbox.refused_login();
            return no(&words);
        }
        if !self.sandbox.check(user, password) {
            return no("[AUTHENTICATIONFAILED] wrong user name or password");
        }
        if !self.sandbox.enter(user) {
            return no("[LIMIT] Maximum number of connections from user+IP exceeded");
        }
        self.user = Some(user.to_owned());
        Done::Ok(format!("[CAPABILITY {}] welcome", self.profile().capabilities()))
    }

    pub(super) async fn authenticate(&mut self, words: &[Word]) -> Option<Done> {
        if !words.first().and_then(Word::text).is_some_and(|m| m.eq_ignore_ascii_case("PLAIN")) {
            return Some(no("[CANNOT] only PLAIN"));
        }
        let initial = match words.get(1).and_then(Word::text) {
            Some(initial) => initial,
            None => {
                self.write(b"+ \r\n").await?;
                let line = self.reader.line(&mut self.stream).await.ok()?;
                String::from_utf8_lossy(&line).into_owned()
            }
        };
        let message = base64::engine::general_purpose::STANDARD.decode(initial).unwrap_or_default();
        let parts: Vec<String> =
            message.split(|b| *b == 0).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        Some(match &parts[..] {
            [_, user, password] => self.login(user, password),
            _ => bad("no PLAIN message"),
        })
    }
}
