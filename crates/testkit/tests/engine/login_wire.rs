//! Servers, or somebody before them, that say the wrong thing before a login: over sockets of loopback, with what the client said.

use crate::wire::{self, PASSWORD, USER};
use mailhaul_engine::config::Security;
use mailhaul_engine::error::EndError;
use mailhaul_engine::imap_session::{Opener, open};
use mailhaul_engine::limits::Limits;
use mailhaul_engine::net::Dialer;
use mailhaul_sandbox::{Profile, Sandbox};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// The lines that a client said.
type Said = Arc<Mutex<Vec<String>>>;

/// A server that greets, and answers STARTTLS, with these octets and reads on. How it is reached, and what it is told.
async fn script(greeting: &'static str, to_starttls: &'static str) -> (Opener, Said) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Said::default();
    let heard = said.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            stream.write_all(greeting.as_bytes()).await.unwrap();
            let mut line = Vec::new();
            while let Ok(1..) = stream.read_until(b'\n', &mut line).await {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                let tag = text.split(' ').next().unwrap_or_default().to_owned();
                if text.ends_with("STARTTLS") {
                    let answer = to_starttls.replace("TAG", &tag);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                heard.lock().unwrap().push(text);
                line.clear();
            }
        }
    });
    (opener(port, Security::StartTls), said)
}

fn opener(port: u16, security: Security) -> Opener {
    let mut opener = wire::opener(&Sandbox::new(Profile::default()), &Limits::default(), &[]);
    opener.dialer = Dialer::Tcp;
    opener.account.endpoint.host = "127.0.0.1".into();
    opener.account.endpoint.port = port;
    opener.account.endpoint.security = security;
    opener
}

/// The words and the hint of a connection that must not be trusted.
async fn untrusted(opener: &Opener) -> (String, String) {
    match open(opener).await.err().unwrap() {
        EndError::Untrusted { what, hint, .. } => (what, hint),
        error => panic!("{error:?}"),
    }
}

const OFFERS: &str = "* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] ready\r\n";

#[tokio::test]
async fn what_is_put_before_the_handshake_of_starttls_is_refused_with_nothing_sent() {
    for injected in [
        "TAG OK go\r\n* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] injected\r\n",
        "TAG OK go\r\n* CAPABILITY IMAP4rev1",
        "TAG OK go\r\nm2 OK logged in\r\n",
    ] {
        let (opener, said) = script(OFFERS, injected).await;
        let (what, hint) = untrusted(&opener).await;
        assert!(hint.contains("somebody may be between"), "{what}: {hint}");
        assert_eq!(*said.lock().unwrap(), ["m1 STARTTLS"], "neither a handshake nor a login");
    }
}

#[tokio::test]
async fn a_greeting_as_logged_in_does_not_keep_a_client_from_encrypting() {
    let (opener, said) = script("* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome back\r\n", "").await;
    let (what, hint) = untrusted(&opener).await;
    assert!(
        what.contains("greets as logged in, before STARTTLS") && hint.contains("imaps://"),
        "{what}: {hint}"
    );
    assert!(said.lock().unwrap().is_empty(), "{said:?}");
}

#[tokio::test]
async fn a_server_that_takes_no_password_over_this_connection_is_told_apart_from_a_wrong_password() {
    let server = Sandbox::new(Profile {
        refuse_logins: Some("[PRIVACYREQUIRED] not over this connection".into()),
        ..Profile::default()
    });
    server.add_user(USER, PASSWORD);
    let at = server.listen_loopback().await.unwrap();
    let (what, hint) = untrusted(&opener(at.address.port(), Security::Clear)).await;
    assert!(what.contains("takes no password over this connection"), "{what}");
    assert!(hint.contains("imaps://") && hint.contains("STARTTLS"), "{hint}");
}
