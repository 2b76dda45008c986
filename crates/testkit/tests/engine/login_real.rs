//! Logins at Dovecot 2.3 and Cyrus 3.6: each mechanism they have, the master user, certificates, tokens.

use crate::peers::{cyrus, dovecot, opener};
use mailhaul_engine::config::{
    ByCertificate, ClientCertificate, Credentials, FixedPassword, Mechanism, RefusedFuture, Secret,
    SecretFuture, Security,
};
use mailhaul_engine::error::EndError;
use mailhaul_engine::imap_session::{Opener, open};
use mailhaul_engine::limits::Limits;
use mailhaul_testkit::servers::dovecot::{MASTER, MASTER_PASSWORD};
use mailhaul_testkit::servers::token::jwt;
use mailhaul_testkit::servers::{Dovecot, DovecotOptions, PASSWORD};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const USER: &str = "ann";

struct Token(String);

impl Credentials for Token {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(async { Ok(Secret::Token(self.0.clone().into())) })
    }
}

/// A Dovecot with every mechanism, and how to reach it by TLS.
struct Peer {
    server: Dovecot,
    opener: Opener,
    folder: tempfile::TempDir,
}

impl Peer {
    fn start() -> Option<Self> {
        let server = dovecot(&DovecotOptions { all_mechanisms: true, ..DovecotOptions::default() })?;
        let mut opener = opener(server.imaps(), USER, PASSWORD, &Limits::default());
        opener.account.endpoint.security = Security::Tls;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), server.ca_pem()).unwrap();
        opener.account.trust.ca_files = vec![folder.path().join("ca.pem")];
        Some(Self { server, opener, folder })
    }

    async fn refused(&self) -> (Option<String>, String) {
        let error = open(&self.opener).await.err().unwrap();
        let EndError::LoginRefused { refusal, .. } = error else { panic!("{error}") };
        (refusal.code, refusal.text)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_password_mechanism_of_dovecot_logs_in_and_refuses_a_wrong_password() {
    use Mechanism as M;
    let Some(mut peer) = Peer::start() else { return };
    for mechanism in [M::Plain, M::Login, M::LoginCommand, M::CramMd5, M::ScramSha1, M::ScramSha256] {
        peer.opener.account.login.mechanism = Some(mechanism);
        peer.opener.account.credentials = Arc::new(FixedPassword::new(PASSWORD));
        open(&peer.opener).await.unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", peer.server.log()));
        peer.opener.account.credentials = Arc::new(FixedPassword::new("wrong"));
        let (code, _) = peer.refused().await;
        assert_eq!(code.as_deref(), Some("AUTHENTICATIONFAILED"), "{mechanism}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_good_log_in_and_those_of_the_past_or_of_others_do_not() {
    let Some(mut peer) = Peer::start() else { return };
    for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
        peer.opener.account.login.mechanism = Some(mechanism);
        peer.opener.account.credentials = Arc::new(Token(jwt(USER, 600)));
        open(&peer.opener).await.unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", peer.server.log()));
        for token in [jwt(USER, -600), jwt("bob", 600), "nonsense".to_owned()] {
            peer.opener.account.credentials = Arc::new(Token(token));
            let (_, text) = peer.refused().await;
            assert!(text.contains("status "), "the server's reason is told: {text}");
        }
    }
}

/// A token that is dead, and a good one after it was refused.
struct DiesOnce(AtomicBool);

impl Credentials for DiesOnce {
    fn secret(&self) -> SecretFuture<'_> {
        let seconds = if self.0.load(Ordering::SeqCst) { 600 } else { -1 };
        Box::pin(async move { Ok(Secret::Token(jwt(USER, seconds).into())) })
    }

    fn refused(&self, _token: &Secret) -> RefusedFuture<'_> {
        let first = !self.0.swap(true, Ordering::SeqCst);
        Box::pin(async move { first })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_died_is_replaced_on_the_connection_on_which_it_was_refused() {
    let Some(mut peer) = Peer::start() else { return };
    for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
        peer.opener.account.login.mechanism = Some(mechanism);
        peer.opener.account.credentials = Arc::new(DiesOnce(AtomicBool::new(false)));
        open(&peer.opener).await.unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", peer.server.log()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_user_logs_in_for_another_by_sasl_and_by_one_name() {
    let Some(mut peer) = Peer::start() else { return };
    for (form, mechanism) in
        [("sasl", Mechanism::Plain), ("dovecot", Mechanism::Plain), ("dovecot", Mechanism::LoginCommand)]
    {
        let account = &mut peer.opener.account;
        account.auth_user = Some(MASTER.into());
        account.login.form = form.parse().unwrap();
        account.login.mechanism = Some(mechanism);
        account.credentials = Arc::new(FixedPassword::new(MASTER_PASSWORD));
        open(&peer.opener).await.unwrap_or_else(|e| panic!("{form} {mechanism}: {e}\n{}", peer.server.log()));
        peer.opener.account.credentials = Arc::new(FixedPassword::new(PASSWORD));
        let (code, _) = peer.refused().await;
        assert_eq!(code.as_deref(), Some("AUTHENTICATIONFAILED"), "{form} {mechanism}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_opens_the_account_that_it_names() {
    let Some(mut peer) = Peer::start() else { return };
    let (chain, key) = peer.server.client_certificate(USER).unwrap();
    let own =
        ClientCertificate { chain: peer.folder.path().join("chain"), key: peer.folder.path().join("key") };
    std::fs::write(&own.chain, chain).unwrap();
    std::fs::write(&own.key, key).unwrap();
    peer.opener.account.login.certificate = Some(own);
    peer.opener.account.credentials = Arc::new(ByCertificate);
    open(&peer.opener).await.unwrap_or_else(|e| panic!("{e}\n{}", peer.server.log()));
    peer.opener.account.user = "bob".into();
    peer.refused().await;
}

/// Cyrus says nothing of how somebody logged in: what it announces over TLS and the words of its refusals are all there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cyrus_takes_its_strongest_mechanism() {
    use Mechanism as M;
    let Some(server) = cyrus() else { return };
    server.add_user(USER).unwrap();
    let mut opener = opener(server.imap(), USER, PASSWORD, &Limits::default());
    for mechanism in [None, Some(M::ScramSha256), Some(M::ScramSha1), Some(M::CramMd5), Some(M::Plain)] {
        opener.account.login.mechanism = mechanism;
        open(&opener).await.unwrap();
    }
    opener.account.endpoint.port = server.imaps().port();
    opener.account.endpoint.security = Security::Tls;
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), server.ca_pem()).unwrap();
    opener.account.trust.ca_files = vec![ca.path().to_owned()];
    // It announces a bound mechanism and does not know this binding: done without, where nothing else is asked for.
    opener.account.login.mechanism = Some(M::ScramSha256Plus);
    let error = open(&opener).await.err().unwrap();
    assert!(error.to_string().contains("bad protocol"), "{error}");
    opener.account.login.mechanism = None;
    open(&opener).await.unwrap();
    opener.account.credentials = Arc::new(FixedPassword::new("wrong"));
    let error = open(&opener).await.err().unwrap();
    assert!(matches!(&error, EndError::LoginRefused { mechanism: Some(M::ScramSha256), .. }), "{error:?}");
}
