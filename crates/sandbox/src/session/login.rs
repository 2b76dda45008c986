//! LOGIN, and what every login comes down to.

use super::{Done, Session, no};
use crate::profile::LoginTells;
use tokio::io::{AsyncRead, AsyncWrite};

/// Between a user's and an administrator's name in one, as Dovecot has it.
const MASTER_SEPARATOR: char = '*';

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn login_command(&mut self, name: &str, password: &str) -> Done {
        self.by_password("LOGIN-COMMAND", None, name, password)
    }

    /// A name with a password, in the name of `user` if that is another one.
    pub(super) fn by_password(
        &mut self,
        mechanism: &str,
        user: Option<&str>,
        name: &str,
        password: &str,
    ) -> Done {
        if self.profile().login_disabled {
            return no("[PRIVACYREQUIRED] not over this connection");
        }
        let (user, name) = match (user, name.rsplit_once(MASTER_SEPARATOR)) {
            (None, Some((user, master))) => (user, master),
            (user, _) => (user.unwrap_or(name), name),
        };
        let known = self.sandbox.password(name).is_some_and(|p| p == password);
        self.enter(mechanism, known.then_some(name), user)
    }

    /// The end of every login: whoever proved to be `authenticated` (`None`: nobody did) becomes `user`.
    pub(super) fn enter(&mut self, mechanism: &str, authenticated: Option<&str>, user: &str) -> Done {
        if let Some(words) = self.profile().refuse_logins {
            self.sandbox.refused_login();
            return no(&words);
        }
        let Some(authenticated) = authenticated else {
            self.sandbox.refused_login();
            return no("[AUTHENTICATIONFAILED] wrong user name or password");
        };
        if !self.sandbox.may_act(authenticated, user) {
            self.sandbox.refused_login();
            return no("[AUTHORIZATIONFAILED] not in the name of this user");
        }
        self.sandbox.logged_in(mechanism);
        if !self.sandbox.enter(user) {
            return no("[LIMIT] Maximum number of connections from user+IP exceeded");
        }
        self.user = Some(user.to_owned());
        let capabilities = self.profile().capabilities_for(true);
        match self.profile().login_tells {
            LoginTells::Code => Done::Ok(format!("[CAPABILITY {capabilities}] welcome")),
            LoginTells::Untagged => Done::After(format!("* CAPABILITY {capabilities}\r\n"), "welcome".into()),
            LoginTells::Nothing => Done::Ok("welcome".into()),
        }
    }
}
