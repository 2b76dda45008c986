//! Logins over the wire, against the embedded server: each mechanism, one attempt, what is not believed.

use crate::wire::{self, PASSWORD, USER};
use mailhaul_engine::config::{
    Credentials, FixedPassword, Form, Mechanism, RefusedFuture, Secret, SecretFuture,
};
use mailhaul_engine::error::EndError;
use mailhaul_engine::imap_session::{Opener, open};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_sandbox::{Fault, LoginTells, Planned, Profile, Sandbox, ScramLie, Trigger};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ALL: &[&str] =
    &["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"];
const TOKEN: &str = "ya29.quince-5512-token";

fn server(mechanisms: &[&'static str]) -> Sandbox {
    let server = Sandbox::new(Profile { mechanisms: mechanisms.to_vec(), ..Profile::default() });
    server.add_user(USER, PASSWORD);
    server.set_token(TOKEN, Some(USER));
    server
}

fn opener(server: &Sandbox) -> Opener {
    wire::opener(server, &Limits::default(), &[])
}

/// Tokens, one after the other: the next one after each refusal.
pub struct Tokens(Mutex<Vec<&'static str>>);

impl Tokens {
    pub fn new(last_first: &[&'static str]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(last_first.to_vec())))
    }
}

impl Credentials for Tokens {
    fn secret(&self) -> SecretFuture<'_> {
        let token = *self.0.lock().unwrap().last().unwrap();
        Box::pin(async move { Ok(Secret::Token(token.to_owned().into())) })
    }

    fn refused(&self, _token: &Secret) -> RefusedFuture<'_> {
        let mut tokens = self.0.lock().unwrap();
        tokens.pop();
        let more = !tokens.is_empty();
        Box::pin(async move { more })
    }
}

#[track_caller]
fn used(server: &Sandbox, mechanism: &str) {
    let counters = server.counters();
    assert_eq!(counters.mechanisms.into_keys().collect::<Vec<_>>(), [mechanism]);
    assert_eq!((counters.logins, counters.refused_logins), (1, 0));
}

/// The words of a login that must fail, and how many times a secret or a person was judged.
async fn failure(server: &Sandbox, opener: &Opener) -> (EndError, u64) {
    let error = open(opener).await.err().unwrap();
    assert_eq!(server.counters().logins, 0);
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(PASSWORD) && !shown.contains(TOKEN), "{shown}");
    (error, server.counters().refused_logins)
}

#[tokio::test]
async fn every_mechanism_logs_in_with_and_without_an_initial_response() {
    for sasl_ir in [true, false] {
        for mechanism in Mechanism::ALL.into_iter().filter(|m| !m.binds() && *m != Mechanism::External) {
            let server = server(ALL);
            server.set(|p| p.sasl_ir = sasl_ir);
            let mut opener = opener(&server);
            opener.account.login.mechanism = Some(mechanism);
            if matches!(mechanism, Mechanism::OAuthBearer | Mechanism::XOAuth2) {
                opener.account.credentials = Tokens::new(&[TOKEN]);
            }
            open(&opener).await.unwrap();
            used(&server, mechanism.name());
        }
    }
}

#[tokio::test]
async fn the_strongest_that_is_offered_is_used() {
    for (offered, used_one) in [
        (ALL, "SCRAM-SHA-256"),
        (&["PLAIN", "SCRAM-SHA-1"], "SCRAM-SHA-1"),
        (&["PLAIN", "CRAM-MD5"], "CRAM-MD5"),
        (&["LOGIN"], "LOGIN"),
        (&[], "LOGIN-COMMAND"),
    ] {
        let server = server(offered);
        open(&opener(&server)).await.unwrap();
        used(&server, used_one);
    }
}

#[tokio::test]
async fn a_refused_login_is_not_tried_with_a_weaker_mechanism() {
    for offered in [ALL, &["PLAIN"], &["LOGIN"], &["CRAM-MD5", "PLAIN"], &[]] {
        let server = server(offered);
        let mut opener = opener(&server);
        opener.account.credentials = Arc::new(FixedPassword::new("wrong"));
        let (error, judged) = failure(&server, &opener).await;
        assert!(matches!(error, EndError::LoginRefused { .. }), "{offered:?}: {error}");
        assert_eq!(judged, 1, "{offered:?}");
        let commands = server.counters().commands;
        let tries = commands.get("AUTHENTICATE").unwrap_or(&0) + commands.get("LOGIN").unwrap_or(&0);
        assert_eq!(tries, 1, "{offered:?}");
    }
}

#[tokio::test]
async fn a_mechanism_that_the_server_does_not_know_after_all_costs_no_attempt() {
    for answer in ["NO [CANNOT] not here", "NO Unsupported authentication mechanism.", "BAD unknown command"]
    {
        let server = server(&["SCRAM-SHA-256", "PLAIN"]);
        server.set(|p| p.unsupported_mechanism = Some(("SCRAM-SHA-256", answer.into())));
        open(&opener(&server)).await.unwrap();
        used(&server, "PLAIN");
    }
    let server = server(&["SCRAM-SHA-256", "PLAIN"]);
    server.set(|p| p.unsupported_mechanism = Some(("SCRAM-SHA-256", "NO AUTHENTICATE failed.".into())));
    let error = open(&opener(&server)).await.err().unwrap();
    assert!(matches!(error, EndError::LoginRefused { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_prove_that_it_knows_the_password_is_not_trusted() {
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
        for lie in [ScramLie::Signature, ScramLie::NoSignature] {
            let server = server(&[mechanism]);
            server.set(|p| p.scram_lie = Some(lie));
            let error = open(&opener(&server)).await.err().unwrap();
            let EndError::Untrusted { what, .. } = &error else { panic!("{lie:?}: {error}") };
            assert!(what.contains("did not prove"), "{what}");
        }
    }
}

#[tokio::test]
async fn absurd_iteration_counts_and_foreign_nonces_are_not_answered() {
    for iterations in [1, 4095, 1_000_001, u32::MAX] {
        let server = server(&["SCRAM-SHA-256"]);
        server.set(|p| p.scram_iterations = iterations);
        let (error, judged) = failure(&server, &opener(&server)).await;
        assert!(error.to_string().contains("iteration count"), "{error}");
        assert_eq!(judged, 0, "no proof was sent");
    }
    let server = server(&["SCRAM-SHA-1"]);
    server.set(|p| p.scram_lie = Some(ScramLie::Nonce));
    let (error, judged) = failure(&server, &opener(&server)).await;
    assert!(error.to_string().contains("nonce"), "{error}");
    assert_eq!(judged, 0);
}

#[tokio::test]
async fn what_scram_says_in_its_last_message_is_told() {
    let server = server(&["SCRAM-SHA-256"]);
    server.set(|p| p.scram_lie = Some(ScramLie::Error("other-error")));
    let (error, _) = failure(&server, &opener(&server)).await;
    assert!(
        matches!(&error, EndError::LoginRefused { refusal, .. } if refusal.text.ends_with("(other-error)"))
    );
}

#[tokio::test]
async fn a_refused_token_is_told_with_the_servers_reason() {
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        for (sasl_ir, json) in [(true, true), (false, true), (true, false)] {
            let server = server(&[mechanism]);
            server.set(|p| p.sasl_ir = sasl_ir);
            if !json {
                server.set(|p| p.token_error = None);
            }
            let mut opener = opener(&server);
            opener.account.credentials = Tokens::new(&["of another"]);
            let (error, judged) = failure(&server, &opener).await;
            let EndError::LoginRefused { refusal, .. } = &error else { panic!("{error}") };
            assert_eq!(refusal.text.contains("status invalid_token"), json, "{}", refusal.text);
            assert_eq!(judged, 1);
        }
    }
}

#[tokio::test]
async fn a_token_that_died_is_replaced_once_on_the_same_connection() {
    let server = server(&["XOAUTH2"]);
    let mut opener = opener(&server);
    opener.account.credentials = Tokens::new(&[TOKEN, "dead"]);
    open(&opener).await.unwrap();
    let counters = server.counters();
    assert_eq!((counters.logins, counters.refused_logins), (1, 1));
    opener.account.credentials = Tokens::new(&[TOKEN, "dead", "dead, too"]);
    let error = open(&opener).await.err().unwrap();
    assert!(matches!(error, EndError::LoginRefused { .. }), "{error}");
    assert_eq!(server.counters().refused_logins, 3, "no third one");
}

#[tokio::test]
async fn a_token_is_of_one_user_and_no_other() {
    let server = server(&["OAUTHBEARER"]);
    server.add_user("bob", "x");
    let mut opener = opener(&server);
    opener.account.user = "bob".into();
    opener.account.credentials = Tokens::new(&[TOKEN]);
    let (error, _) = failure(&server, &opener).await;
    assert!(matches!(&error, EndError::LoginRefused { refusal, .. }
        if refusal.code.as_deref() == Some("AUTHORIZATIONFAILED")));
}

#[tokio::test]
async fn where_passwords_are_not_taken_none_is_sent() {
    let server = server(&[]);
    server.set(|p| p.login_disabled = true);
    let (error, judged) = failure(&server, &opener(&server)).await;
    let EndError::Untrusted { what, hint, .. } = &error else { panic!("{error}") };
    assert!(what.contains("LOGINDISABLED") && hint.contains("imaps://"), "{error}");
    assert_eq!((judged, server.counters().commands.get("LOGIN")), (0, None));
}

#[tokio::test]
async fn an_administrator_logs_in_for_a_user_by_sasl_or_by_one_name() {
    for (offered, form, used_one) in [
        (&["PLAIN"][..], "sasl", "PLAIN"),
        (&["SCRAM-SHA-256", "PLAIN"], "sasl", "SCRAM-SHA-256"),
        (&["SCRAM-SHA-1"], "zimbra", "SCRAM-SHA-1"),
        (&["PLAIN"], "dovecot", "PLAIN"),
        (&[], "{user}*{admin}", "LOGIN-COMMAND"),
    ] {
        let server = server(offered);
        server.add_admin("root", "of the admin");
        let mut opener = opener(&server);
        opener.account.auth_user = Some("root".into());
        opener.account.login.form = form.parse::<Form>().unwrap();
        opener.account.credentials = Arc::new(FixedPassword::new("of the admin"));
        open(&opener).await.unwrap();
        used(&server, used_one);
        assert_eq!(server.connected(USER), 1, "{form}");
    }
}

#[tokio::test]
async fn nobody_logs_in_for_another_where_that_cannot_be_said_or_is_not_allowed() {
    let server = server(&["LOGIN", "CRAM-MD5"]);
    server.add_user("eve", "of eve");
    let mut opener = opener(&server);
    opener.account.auth_user = Some("eve".into());
    opener.account.credentials = Arc::new(FixedPassword::new("of eve"));
    let (error, judged) = failure(&server, &opener).await;
    assert!(matches!(error, EndError::Unsupported { .. }), "{error}");
    assert_eq!(judged, 0);
    server.set(|p| p.mechanisms = vec!["PLAIN"]);
    let (error, judged) = failure(&server, &opener).await;
    assert!(matches!(error, EndError::LoginRefused { .. }), "{error}");
    assert_eq!(judged, 1);
    opener.account.user = "ann*x".into();
    opener.account.login.form = "dovecot".parse().unwrap();
    let (error, judged) = failure(&server, &opener).await;
    assert!(error.to_string().contains("divides the two names"), "{error}");
    assert_eq!(judged, 1, "nothing more was sent");
}

/// What is announced before a login as the whole of it, after which one thing is withdrawn and another is there.
const BEFORE: &str = "IMAP4rev1 AUTH=PLAIN SASL-IR NAMESPACE UIDPLUS";

#[tokio::test]
async fn the_capabilities_of_the_login_count_and_not_those_before_it() {
    for tells in [LoginTells::Code, LoginTells::Untagged, LoginTells::Nothing] {
        let server = server(&["PLAIN"]);
        server.set(|p| {
            (p.capabilities_before_login, p.login_tells) = (Some(BEFORE), tells);
            (p.uidplus, p.quota, p.append_limit) = (false, true, Some(5000));
        });
        let link = open(&opener(&server)).await.unwrap();
        let abilities = link.abilities();
        assert!(!abilities.expunges_by_uid && !abilities.tells_places, "{tells:?}: UIDPLUS was withdrawn");
        assert!(abilities.announced.iter().any(|name| name == "QUOTA"), "{tells:?}: {abilities:?}");
        assert_eq!(abilities.append_limit_octets, Some(5000), "{tells:?}");
        assert!(abilities.conditional_store, "{tells:?}");
        let asked = server.counters().commands.get("CAPABILITY").copied().unwrap_or(0);
        assert_eq!(asked, u64::from(tells == LoginTells::Nothing), "{tells:?}: asked only where nobody told");
    }
}

#[tokio::test]
async fn a_server_that_greets_as_logged_in_is_used_without_a_login() {
    let server = server(&["PLAIN"]);
    server.set(|p| p.preauthenticated = Some(USER));
    let link = open(&opener(&server)).await.unwrap();
    assert_eq!((server.counters().logins, server.connected(USER)), (0, 1));
    assert!(link.abilities().preauthenticated, "the server decided who it is, which is told");
    server.set(|p| p.preauthenticated = None);
    assert!(!open(&opener(&server)).await.unwrap().abilities().preauthenticated);
}

#[tokio::test]
async fn a_login_that_opens_no_mailbox_is_a_refused_login() {
    // Where the login does not say what the server can do, the question for that is the first to be refused.
    for tells in [LoginTells::Code, LoginTells::Nothing] {
        let server = server(&["PLAIN"]);
        server.set(|p| p.login_tells = tells);
        server.set(|p| p.disconnected = Some("BAD User is authenticated but not connected.".into()));
        let error = open(&opener(&server)).await.err().unwrap();
        assert!(matches!(&error, EndError::LoginRefused { mechanism: None, .. }), "{tells:?}: {error:?}");
        let next = error.next_step().unwrap();
        assert!(next.contains("Exchange knows who logged in"), "{next}");
        assert!(next.contains("`mailhaul docs login authenticated-but-not-connected`"), "{next}");
        assert_eq!(server.counters().logins, 1, "it is not tried again");
    }
}

/// Gives its secret only while nothing was dialled.
struct BeforeDialling(Arc<AtomicUsize>);

impl Credentials for BeforeDialling {
    fn secret(&self) -> SecretFuture<'_> {
        assert_eq!(self.0.load(Ordering::SeqCst), 0, "a connection is open already");
        Box::pin(async { Ok(Secret::Password(PASSWORD.to_owned().into())) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_says_that_it_is_still_there_is_not_waited_for_without_end() {
    for verb in ["AUTHENTICATE", "NAMESPACE"] {
        let server = server(&["PLAIN"]);
        server.plan(Planned::once(Trigger::Verb(verb, 1), Fault::Working(Duration::from_secs(60), u32::MAX)));
        let began = tokio::time::Instant::now();
        let error = open(&opener(&server)).await.err().unwrap();
        assert!(matches!(&error, EndError::TimedOut { .. }), "{verb}: {error:?}");
        let (waited, limit) = (began.elapsed(), Limits::default().give_up);
        assert!(waited >= limit && waited < limit + Duration::from_secs(60), "{verb}: {waited:?}");
    }
}

#[tokio::test]
async fn no_connection_waits_for_somebody_who_has_to_be_asked() {
    let server = server(&["PLAIN"]);
    let mut opener = opener(&server);
    let Dialer::InProcess(dial) = opener.dialer.clone() else { panic!("no pipe") };
    let dialled = Arc::new(AtomicUsize::new(0));
    opener.account.credentials = Arc::new(BeforeDialling(dialled.clone()));
    let count = dialled.clone();
    opener.dialer = Dialer::InProcess(Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        dial()
    }));
    open(&opener).await.unwrap();
    assert_eq!(dialled.load(Ordering::SeqCst), 1);
}
