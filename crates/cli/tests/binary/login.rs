//! Ways to log in: tokens of a command, mechanisms, administrators; and that no secret is in anything that is left.

use crate::accounts::{FROM_PASSWORD, Pair, Ran, TO_PASSWORD, USER, files, ran, tls};
use mailhaul_sandbox::Profile;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TOKEN: &str = "ya29.loquat-3358-token";
const REFRESH: &str = "bullace-7706-refresh";
const NEW_REFRESH: &str = "damson-1290-refresh";
const ADMIN_PASSWORD: &str = "sorb-4417-admin";

/// Fails if a secret is in what was said, or in a file of the pair's folder that is not named `given`.
#[track_caller]
fn assert_no_secret(pair: &Pair, ran: &Ran) {
    let mut all = vec![("what was said".into(), ran.said().into_bytes())];
    let is_given = |f: &std::path::Path| f.ends_with("given") || f.ends_with("journal.from.token");
    let written = files(pair.folder.path()).into_iter().filter(|f| !is_given(f));
    all.extend(written.map(|f| (f.display().to_string(), std::fs::read(&f).unwrap())));
    for (name, octets) in all {
        for secret in [FROM_PASSWORD, TO_PASSWORD, TOKEN, ADMIN_PASSWORD, REFRESH, NEW_REFRESH] {
            assert!(!holds(&octets, secret), "{secret} is in {name}");
        }
    }
}

/// Whether octets hold a secret, as it is or in base64 at any offset.
fn holds(octets: &[u8], secret: &str) -> bool {
    let has = |what: &[u8]| octets.windows(what.len()).any(|w| w == what);
    has(secret.as_bytes()) || (0..3).any(|shift| has(&in_base64(secret, shift)))
}

/// The letters of base64 that hold nothing but the secret, if `shift` octets stand before it.
fn in_base64(secret: &str, shift: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let octets: Vec<u8> = std::iter::repeat_n(0, shift).chain(secret.bytes()).collect();
    let letter = |i: usize| {
        let bits = (0..6).map(|b| i * 6 + b).map(|bit| octets[bit / 8] >> (7 - bit % 8) & 1);
        LETTERS[usize::from(bits.fold(0, |n, bit| n << 1 | bit))]
    };
    ((shift * 8).div_ceil(6)..octets.len() * 8 / 6).map(letter).collect()
}

#[test]
fn the_search_for_secrets_can_find_one() {
    // Base64 of "user=ann, auth=Bearer ya29.loquat-3358-token", and of PLAIN's "NUL ann NUL quince-7431-source".
    assert!(holds(b"x dXNlcj1hbm4sIGF1dGg9QmVhcmVyIHlhMjkubG9xdWF0LTMzNTgtdG9rZW4= y", TOKEN));
    assert!(holds(b"AGFubgBxdWluY2UtNzQzMS1zb3VyY2U=", FROM_PASSWORD));
    assert!(holds(b"tail of ya29.loquat-3358-token", TOKEN) && !holds(b"nothing", TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_comes_from_a_command_at_each_login_and_stays_nowhere() {
    let pair = Pair::filled(Profile::default(), 5).await;
    pair.old.set(|p| p.mechanisms = vec!["PLAIN", "XOAUTH2"]);
    pair.old.set_token(TOKEN, Some(USER));
    let given = pair.folder.path().join("given");
    std::fs::write(&given, TOKEN).unwrap();
    let command = format!("cat {}", given.display());
    let log = pair.folder.path().join("log");
    let options =
        ["--from-token-command", &command, "-vv", "--log", log.to_str().unwrap(), "--progress", "json"];
    let moved = pair.run("migrate", &options).await.expect(0);
    pair.assert_same();
    assert_no_secret(&pair, &moved);
    let mechanisms = pair.old.counters().mechanisms;
    assert!(mechanisms.len() == 1 && mechanisms["XOAUTH2"] > 0, "{mechanisms:?}");

    pair.old.set_token(TOKEN, None);
    let refused = pair.run("migrate", &options).await.expect(12).says("status invalid_token");
    let refused = refused.says("docs/login.md#a-refused-token");
    assert_no_secret(&pair, &refused);
    assert_eq!(pair.old.counters().refused_logins, 1, "the command had no other token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_left_by_any_mechanism_whether_it_is_taken_or_refused() {
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "LOGIN-COMMAND"] {
        let pair = Pair::filled(Profile::default(), 2).await;
        pair.old.set(|p| p.mechanisms = vec!["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]);
        let log = pair.folder.path().join("log");
        let options = ["--from-mechanism", mechanism, "-vv", "--log", log.to_str().unwrap()];
        let moved = pair.run("migrate", &options).await.expect(0);
        assert_no_secret(&pair, &moved);
        assert_eq!(pair.old.counters().mechanisms.into_keys().collect::<Vec<_>>(), [mechanism]);
        let mut command = pair.command("migrate", &options);
        let refused = ran(command.env("MAILHAUL_FROM_PASSWORD", ADMIN_PASSWORD)).await.expect(12);
        assert_no_secret(&pair, &refused);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_moves_the_mail_of_another_in_each_form() {
    for (form, used) in [("sasl", "PLAIN"), ("dovecot", "PLAIN")] {
        let pair = Pair::filled(Profile::default(), 3).await;
        pair.old.add_admin("root", ADMIN_PASSWORD);
        let mut command = pair.command("migrate", &["--from-auth-user", "root", "--from-auth-form", form]);
        let moved = ran(command.env("MAILHAUL_FROM_PASSWORD", ADMIN_PASSWORD)).await.expect(0);
        pair.assert_same();
        assert_no_secret(&pair, &moved);
        assert_eq!(pair.old.counters().mechanisms.into_keys().collect::<Vec<_>>(), [used]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_meant_is_exit_2_before_anybody_is_asked() {
    let pair = Pair::new(Profile::default()).await;
    for (options, words) in [
        (&["--from-mechanism", "NTLM"][..], "SCRAM-SHA-256"),
        (&["--from-auth-form", "dovecot"], "--from-auth-user"),
        (&["--from-auth-user", "root", "--from-auth-form", "exim"], "template"),
        (&["--from-certificate", "x"], "--from-key"),
    ] {
        pair.run("check", options).await.expect(2).says(words);
    }
    assert_eq!(pair.old.counters().commands.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_user_that_a_server_would_make_an_account_for_is_asked_about() {
    let admin = |pair: &Pair, verb: &str, options: &[&str]| {
        pair.new.add_admin("root", ADMIN_PASSWORD);
        pair.new.set(|p| p.creates_accounts = true);
        let mut command = pair.command(verb, options);
        command.args(["--to-auth-user", "root"]).env("MAILHAUL_TO_PASSWORD", ADMIN_PASSWORD);
        command
    };
    let pair = Pair::filled(Profile::default(), 3).await;
    let mistyped = ["--to-user", "anm"];
    let asked = ran(&mut admin(&pair, "migrate", &mistyped)).await.expect(2);
    asked.says("is anm the right name at the new server?").says("--yes");
    assert_eq!(pair.appends(), 0);
    ran(&mut admin(&pair, "migrate", &["--to-user", "anm", "--yes"])).await.expect(0);
    assert_eq!(pair.new.snapshot("anm").iter().map(|m| m.messages.len()).sum::<usize>(), 6);
    ran(&mut admin(&pair, "migrate", &mistyped)).await.expect(0);

    let right = Pair::filled(Profile::default(), 3).await;
    ran(&mut admin(&right, "migrate", &[])).await.expect(0);
    right.assert_same();
}

/// An issuer over https: its address, its certificate as PEM, and what it was asked.
async fn issuer() -> (String, String, Arc<Mutex<Vec<String>>>) {
    let (acceptor, pem) = tls();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (base, seen) = (url.clone(), asked.clone());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // A client that does not trust this issuer goes away in the handshake.
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            let mut octets = vec![0; 8192];
            let mut request = String::new();
            // Heads and bodies come in pieces: a form ends with what every question here ends with.
            while !request.contains("client_id=") && !request.starts_with("GET ") {
                let n = stream.read(&mut octets).await.unwrap();
                request.push_str(&String::from_utf8_lossy(&octets[..n]));
            }
            let (status, body) = answer(&base, &request);
            seen.lock().unwrap().push(request);
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    (url, pem, asked)
}

fn answer(base: &str, request: &str) -> (&'static str, String) {
    if request.starts_with("GET /.well-known/oauth-authorization-server ") {
        let ends = format!(r#""authorization_endpoint":"{base}/log-in","token_endpoint":"{base}/token""#);
        return ("200 OK", format!(r#"{{"issuer":"{base}",{ends}}}"#));
    }
    let token = format!(r#""access_token":"{TOKEN}","token_type":"Bearer","expires_in":3600"#);
    if request.contains("client_secret=sorb-4417-admin") {
        ("200 OK", format!("{{{token}}}"))
    } else if request.contains(&format!("refresh_token={REFRESH}")) {
        ("200 OK", format!(r#"{{{token},"refresh_token":"{NEW_REFRESH}"}}"#))
    } else {
        ("400 Bad Request", r#"{"error":"invalid_grant","error_description":"AADSTS700082: expired"}"#.into())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_an_issuer_move_mail_and_only_the_refresh_token_is_kept() {
    let pair = Pair::filled(Profile::default(), 4).await;
    pair.old.set(|p| p.mechanisms = vec!["OAUTHBEARER"]);
    pair.old.set_token(TOKEN, Some(USER));
    let (url, pem, asked) = issuer().await;
    let given = tempfile::tempdir().unwrap();
    let (ca, secret) = (given.path().join("ca"), given.path().join("secret"));
    std::fs::write(&ca, pem).unwrap();
    std::fs::write(&secret, format!("{ADMIN_PASSWORD}\n")).unwrap();
    let (ca, secret) = (ca.to_str().unwrap(), secret.to_str().unwrap());
    let mut options =
        vec!["--from-oauth", &url, "--from-oauth-client", "mover", "--from-oauth-scope", "mail"];
    options.extend(["--ca-file", ca]);

    // A person who logged in once: the refresh token of then is renewed, and nobody has to be there.
    let kept = pair.journal().with_extension("from.token");
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    std::fs::write(&kept, format!("{url}/token mover mail {USER}\n{REFRESH}\n")).unwrap();
    let moved = pair.run("migrate", &options).await.expect(0);
    pair.assert_same();
    assert_no_secret(&pair, &moved);
    assert!(std::fs::read_to_string(&kept).unwrap().ends_with(&format!("\n{NEW_REFRESH}\n")));

    // Withdrawn since, and no terminal: what to do, and nothing of the old token.
    let late = pair.run("migrate", &options).await.expect(2).says("somebody has to log in");
    assert_no_secret(&pair, &late);
    assert!(!kept.exists());
    assert_eq!(pair.old.counters().refused_logins, 0);

    // An application, by its secret.
    options.extend(["--from-oauth-flow", "application", "--from-oauth-secret-file", secret]);
    let again = pair.run("migrate", &options).await.expect(0);
    assert_no_secret(&pair, &again);
    assert!(!kept.exists(), "there is nothing to keep");
    let grants = ["refresh_token", "refresh_token", "client_credentials"];
    let asked = asked.lock().unwrap();
    let asked: Vec<_> =
        asked.iter().filter_map(|r| r.split_once("grant_type=")?.1.split('&').next()).collect();
    assert_eq!(asked, grants, "one token serves a run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth_that_lacks_something_is_exit_2_with_its_name() {
    let pair = Pair::new(Profile::default()).await;
    for (options, words) in [
        (&["--from-oauth", "google"][..], "--from-oauth-client"),
        (&["--from-oauth", "https://login.example", "--from-oauth-client", "x"], "--from-oauth-scope"),
        (
            &["--from-oauth", "google", "--from-oauth-client", "x", "--from-oauth-flow", "magic"],
            "service-account",
        ),
        (&["--from-oauth", "google", "--from-oauth-flow", "service-account"], "--from-oauth-key-file"),
        (&["--from-oauth-client", "x"], "--from-oauth"),
    ] {
        pair.run("check", options).await.expect(2).says(words);
    }
    // What only the issuer knows is said at the login.
    let options = ["--from-oauth", "google", "--from-oauth-client", "x", "--from-oauth-flow", "device"];
    pair.run("check", &options).await.expect(2).says("Google offers no login by a code");
}
