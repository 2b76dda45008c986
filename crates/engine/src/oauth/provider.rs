//! Tokens for the logins of one account: got once, renewed before they die, and once after a refusal.

use super::{OAuthError, Person, ServiceAccount, Talk, Tokens};
use crate::config::{Credentials, RefusedFuture, Secret, SecretFuture};
use crate::limits::{
    ISSUER_BACK_OFF_MIN, ISSUER_TRIES_MAX, TOKEN_LIFE_DEFAULT, TOKEN_LIFE_MAX, TOKEN_MARGIN,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Keeps the refresh token of an account between runs. Text for a person where it cannot.
pub trait Store: Send + Sync {
    /// What was kept, if anything was.
    fn load(&self) -> Result<Option<Zeroizing<String>>, String>;
    /// Keeps this in its place; nothing, if it is no longer good.
    fn save(&self, refresh: Option<&str>) -> Result<(), String>;
}

/// How a token is got.
#[derive(Clone)]
pub enum How {
    /// Somebody logs in with a browser of this machine.
    Browser,
    /// Somebody enters a code on another device.
    Device,
    /// The application for itself.
    Application,
    /// A service account in the user's name.
    ServiceAccount(ServiceAccount),
}

impl How {
    /// A person's login comes with a refresh token, which is that person's: an application does not go on with it.
    fn is_a_persons(&self) -> bool {
        matches!(self, Self::Browser | Self::Device)
    }
}

/// The tokens of one account.
pub struct OAuth {
    talk: Talk,
    how: How,
    user: String,
    person: Arc<dyn Person>,
    store: Arc<dyn Store>,
    /// One at a time: connections that log in together get one token.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    access: Option<(Zeroizing<String>, Instant)>,
    refresh: Option<Zeroizing<String>>,
    loaded: bool,
}

impl OAuth {
    /// Tokens for `user`. Nothing is asked before the first login.
    pub fn new(talk: Talk, how: How, user: &str, person: Arc<dyn Person>, store: Arc<dyn Store>) -> Self {
        Self { talk, how, user: user.to_owned(), person, store, held: Mutex::new(Held::default()) }
    }

    async fn token(&self) -> Result<Zeroizing<String>, OAuthError> {
        let mut held = self.held.lock().await;
        if let Some((access, _)) = held.access.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(access.clone());
        }
        if !held.loaded && self.how.is_a_persons() {
            held.refresh = self.store.load().map_err(OAuthError::Machine)?;
            held.loaded = true;
        }
        let kept = held.refresh.clone();
        let tokens = match &kept {
            Some(refresh) => match self.unattended(Unattended::Refresh(refresh)).await {
                // Withdrawn or expired: as if there were none.
                Err(error) if error.code() == Some("invalid_grant") => {
                    held.refresh = None;
                    self.store.save(None).map_err(OAuthError::Machine)?;
                    self.log_in().await?
                }
                renewed => renewed?,
            },
            None => self.log_in().await?,
        };
        let Tokens { access, lives, refresh } = tokens;
        // What an issuer gives an application to go on with is not kept in a person's place: it asks anew.
        let refresh = refresh.filter(|_| self.how.is_a_persons());
        // Held before it is kept: where the disk is full, this run still has what the issuer gave in the place of the old one.
        let is_new = refresh.is_some() && refresh != kept;
        held.refresh = refresh;
        held.access = Some((access.clone(), Instant::now() + good_for(lives)));
        if is_new {
            self.store.save(held.refresh.as_ref().map(|r| r.as_str())).map_err(OAuthError::Machine)?;
        }
        Ok(access)
    }

    /// Asks again while the issuer cannot be reached, for half a minute: a token that dies in the middle of a run must not end
    /// the run because a name server was away.
    async fn unattended(&self, way: Unattended<'_>) -> Result<Tokens, OAuthError> {
        let mut wait = ISSUER_BACK_OFF_MIN;
        let mut tries = 0;
        loop {
            tries += 1;
            let got = match way {
                Unattended::Refresh(refresh) => self.talk.by_refresh(refresh).await,
                Unattended::Client => self.talk.by_client().await,
                Unattended::Account(account) => self.talk.by_service_account(account, &self.user).await,
            };
            match got {
                Err(OAuthError::Unreachable(_)) if tries < ISSUER_TRIES_MAX => tokio::time::sleep(wait).await,
                done => return done,
            }
            wait *= 2;
        }
    }

    async fn log_in(&self) -> Result<Tokens, OAuthError> {
        match &self.how {
            How::Browser => self.talk.by_browser(&self.user, &*self.person).await,
            How::Device => self.talk.by_device(&*self.person).await,
            How::Application => self.unattended(Unattended::Client).await,
            How::ServiceAccount(account) => self.unattended(Unattended::Account(account)).await,
        }
    }
}

/// A way to a token that asks nobody, and costs nothing when it is asked twice.
#[derive(Clone, Copy)]
enum Unattended<'a> {
    Refresh(&'a str),
    Client,
    Account(&'a ServiceAccount),
}

/// How long a token is used: less than it lives, so that none dies on its way.
fn good_for(lives: Option<u64>) -> Duration {
    let lives = lives.map_or(TOKEN_LIFE_DEFAULT, Duration::from_secs).min(TOKEN_LIFE_MAX);
    // One of a short life still serves the login it was got for.
    lives.saturating_sub(TOKEN_MARGIN.min(lives / 2))
}

impl Credentials for OAuth {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(async { self.token().await.map(Secret::Token).map_err(|error| error.words()) })
    }

    fn refused(&self, token: &Secret) -> RefusedFuture<'_> {
        let Secret::Token(refused) = token else { return Box::pin(async { false }) };
        let refused = refused.clone();
        Box::pin(async move {
            // Another connection may have renewed it meanwhile: then that one is worth a try.
            self.held.lock().await.access.take_if(|(access, _)| **access == *refused);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_dies() {
        assert_eq!(good_for(Some(3600)), Duration::from_secs(3600) - TOKEN_MARGIN);
        assert_eq!(good_for(Some(60)), Duration::from_secs(30));
        assert_eq!(good_for(Some(0)), Duration::ZERO);
        assert_eq!(good_for(Some(u64::MAX)), TOKEN_LIFE_MAX - TOKEN_MARGIN);
        assert_eq!(good_for(None), TOKEN_LIFE_DEFAULT - TOKEN_MARGIN);
    }
}
