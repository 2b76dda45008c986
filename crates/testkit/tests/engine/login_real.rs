//! Logins at Dovecot 2.3 and Cyrus 3.6: each mechanism they have, the master user, certificates, tokens.

use crate::peers::{cyrus, cyrus_with, dovecot, filled, opener, small};
use mailhaul_engine::config::{
    ByCertificate, ClientCertificate, Credentials, FixedPassword, Mechanism, RefusedFuture, Secret,
    SecretFuture, Security,
};
use mailhaul_engine::end::{Source, SourceSession};
use mailhaul_engine::error::EndError;
use mailhaul_engine::imap_session::{Opener, open};
use mailhaul_engine::imap_source::ImapSource;
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_testkit::servers::dovecot::{MASTER, MASTER_PASSWORD};
use mailhaul_testkit::servers::token::jwt;
use mailhaul_testkit::servers::{ClearText, CyrusOptions, Dovecot, DovecotOptions, PASSWORD};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
    for (mechanism, status) in [(Mechanism::OAuthBearer, "invalid_token"), (Mechanism::XOAuth2, "401")] {
        let status = format!("status {status}");
        peer.opener.account.login.mechanism = Some(mechanism);
        peer.opener.account.credentials = Arc::new(Token(jwt(USER, 600)));
        open(&peer.opener).await.unwrap_or_else(|e| panic!("{mechanism}: {e}\n{}", peer.server.log()));
        for token in [jwt(USER, -600), jwt("bob", 600), "nonsense".to_owned()] {
            peer.opener.account.credentials = Arc::new(Token(token));
            let error = open(&peer.opener).await.err().unwrap();
            let EndError::LoginRefused { refusal, .. } = &error else { panic!("{error}") };
            assert!(refusal.text.contains(&status), "the server's reason is told: {refusal}");
            let next = error.next_step().unwrap();
            assert!(next.contains("did not accept this login") && next.contains("log in again"), "{next}");
            assert!(next.contains("of this user") && next.contains("docs login a-refused-token"), "{next}");
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

/// Logs in for `ann` as somebody else by SASL, with what is everybody's password here.
async fn for_another(opener: &mut Opener, admin: &str, mechanism: Mechanism) -> Result<(), EndError> {
    opener.account.auth_user = Some(admin.into());
    opener.account.login.mechanism = Some(mechanism);
    open(opener).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_of_cyrus_logs_in_for_a_user_and_nobody_else_does() {
    let Some(server) = cyrus() else { return };
    for user in [USER, "cyrus", "eve"] {
        server.add_user(user).unwrap();
    }
    filled(&server.account(USER).unwrap(), small(8)).await;
    let mut opener = opener(server.imap(), USER, PASSWORD, &Limits::default());
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha1, Mechanism::ScramSha256] {
        for_another(&mut opener, "cyrus", mechanism).await.unwrap_or_else(|e| panic!("{mechanism}: {e}"));
        let session = ImapSource(opener.clone()).connect().await;
        let mut session = session.unwrap_or_else(|e| panic!("{mechanism}: {e}"));
        let mailboxes = session.mailboxes().await.unwrap();
        assert!(mailboxes.len() > 2, "{mechanism}: the mailboxes of the user: {mailboxes:?}");
        let error = for_another(&mut opener, "eve", mechanism).await.err().unwrap();
        let EndError::LoginRefused { refusal, .. } = &error else { panic!("{mechanism}: {error}") };
        let next = error.next_step().unwrap();
        assert!(next.contains("docs login for-another-user"), "{mechanism}: {refusal}; {next}");
    }
}

/// A way to a server on which all that the client says is written down.
fn overheard(address: SocketAddr) -> (Dialer, Arc<Mutex<Vec<u8>>>) {
    let said = Arc::<Mutex<Vec<u8>>>::default();
    let heard = said.clone();
    let way = move || {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let heard = heard.clone();
        tokio::spawn(async move {
            let server = tokio::net::TcpStream::connect(address).await.unwrap();
            let (mut client, mut server) = (tokio::io::split(theirs), server.into_split());
            let mut octets = vec![0; 4096];
            let asks = async {
                while let Ok(read @ 1..) = client.0.read(&mut octets).await {
                    heard.lock().unwrap().extend_from_slice(&octets[..read]);
                    server.1.write_all(&octets[..read]).await.unwrap();
                }
            };
            let answers = async { tokio::io::copy(&mut server.0, &mut client.1).await.unwrap_or(0) };
            tokio::join!(asks, answers);
        });
        ours
    };
    (Dialer::InProcess(Arc::new(way)), said)
}

/// In clear text no password is sent, and STARTTLS logs in. `clear` is the address on which the rule shows.
async fn wants_tls(server: &str, clear: SocketAddr, ca_pem: &str) {
    let mut opener = opener(clear, USER, PASSWORD, &Limits::default());
    for mechanism in [Mechanism::Plain, Mechanism::LoginCommand] {
        let (way, said) = overheard(clear);
        opener.dialer = way;
        opener.account.login.mechanism = Some(mechanism);
        let error = open(&opener).await.err().unwrap();
        assert!(!matches!(error, EndError::LoginRefused { .. }), "{server}, {mechanism}: {error}");
        let said = String::from_utf8(said.lock().unwrap().clone()).unwrap();
        let verbs: Vec<_> = said.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        assert!(verbs.iter().all(|verb| *verb == "CAPABILITY"), "{server}, {mechanism}: {said}");
    }
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), ca_pem).unwrap();
    opener.dialer = Dialer::Tcp;
    opener.account.trust.ca_files = vec![ca.path().to_owned()];
    opener.account.endpoint.security = Security::StartTls;
    for mechanism in [Mechanism::Plain, Mechanism::LoginCommand] {
        opener.account.login.mechanism = Some(mechanism);
        let link = open(&opener).await.unwrap_or_else(|e| panic!("{server}, {mechanism}: {e}"));
        assert!(link.abilities().tls.is_some(), "{server}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_real_server_takes_no_password_before_tls_none_is_sent_and_starttls_logs_in() {
    let options = DovecotOptions { clear_text: ClearText::StartTlsOnly, ..DovecotOptions::default() };
    if let Some(server) = dovecot(&options) {
        wants_tls("Dovecot", server.second_address(), server.ca_pem()).await;
    }
    let users = vec![USER.to_owned()];
    let options = CyrusOptions { allow_plaintext: false, users, ..CyrusOptions::default() };
    if let Some(server) = cyrus_with(&options) {
        wants_tls("Cyrus", server.imap(), server.ca_pem()).await;
    }
}
