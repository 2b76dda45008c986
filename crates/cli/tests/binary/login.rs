//! Ways to log in: tokens of a command, mechanisms, administrators; and that no secret is in anything that is left.

use crate::accounts::{FROM_PASSWORD, Pair, USER, ran};
use crate::secrets::{ADMIN_PASSWORD, REFRESH, TOKEN, assert_no_secret, holds};
#[cfg(unix)]
use crate::{accounts::TO_PASSWORD, pty::Terminal};
use mailhaul_sandbox::Profile;
use mailhaul_testkit::issuer::{CLIENT, Issuer, IssuerTls, PUBLIC_CLIENT, SECRET};
use mailhaul_testkit::web::{Authority, Valid, tunnels};

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
    let shows = if cfg!(windows) { "type" } else { "cat" };
    let command = format!("{shows} {}", given.display());
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
    let refused = refused.says("mailhaul docs login a-refused-token");
    assert_no_secret(&pair, &refused);
    assert_eq!(pair.old.counters().refused_logins, 1, "the command had no other token");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_command_asks_at_the_terminal_and_reads_from_there() {
    let pair = Pair::filled(Profile::default(), 1).await;
    let given = tempfile::tempdir().unwrap();
    let to = given.path().join("to");
    std::fs::write(given.path().join("from"), FROM_PASSWORD).unwrap();
    std::fs::write(&to, TO_PASSWORD).unwrap();
    // A prompt without a line end, at the first login alone.
    let asks = format!(
        "cd {}; [ -e asked ] || {{ printf 'The code: ' >&2; read code </dev/tty; [ \"$code\" = 4711 ] && : >asked; }} && cat from",
        given.path().display()
    );
    let command = pair
        .command("check", &["--connections", "1", "--from-password-command", &asks, "--to-password-file"]);
    let mut arguments: Vec<_> = command.as_std().get_args().map(std::ffi::OsStr::to_owned).collect();
    arguments.push(to.into());
    let mut terminal = Terminal::open(&arguments, pair.folder.path());
    terminal.says("The code: ").types("4711").says("Ready");
    assert_eq!(terminal.ends().0, 0);
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
async fn an_administrator_moves_the_mail_of_another_by_two_names_or_by_one() {
    // The embedded server knows two names by SASL, and one with a star; what else is sent is a template's test (`auth/template.rs`).
    for (form, used) in [
        ("sasl", "PLAIN"),
        ("cyrus", "PLAIN"),
        ("zimbra", "PLAIN"),
        ("dovecot", "PLAIN"),
        ("{user}*{admin}", "PLAIN"),
    ] {
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

/// A new issuer over https: the options that name it, for the client `id`.
async fn issuer(pair: &Pair, id: &str) -> (Issuer, IssuerTls, Authority, Vec<String>) {
    let (issuer, authority) = (Issuer::default(), Authority::new().unwrap());
    let at = issuer.listen(authority.acceptor(&["localhost"], Valid::Now).unwrap()).await.unwrap();
    let url = format!("https://localhost:{}", at.address.port());
    issuer.publish_as(&url);
    let knows = pair.old.clone();
    issuer.on_token(move |token| knows.set_token(token, Some(USER)));
    pair.old.set(|p| p.mechanisms = vec!["OAUTHBEARER"]);
    let ca = authority.file().display().to_string();
    let options =
        ["--from-oauth", &url, "--from-oauth-client", id, "--from-oauth-scope", "mail", "--ca-file", &ca];
    let options = options.map(str::to_owned).to_vec();
    (issuer, at, authority, options)
}

fn grants(issuer: &Issuer) -> Vec<String> {
    let tokens = issuer.asked().into_iter().filter(|asked| asked.path == "/token");
    tokens.map(|asked| asked.form["grant_type"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_an_issuer_move_mail_and_only_the_refresh_token_is_kept() {
    let pair = Pair::filled(Profile::default(), 4).await;
    let (issuer, at, _authority, options) = issuer(&pair, PUBLIC_CLIENT).await;
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    issuer.set_refresh(Some(REFRESH));
    issuer.rotate();

    // A person who logged in once: the refresh token of then is renewed, and nobody has to be there.
    let kept = pair.journal().with_extension("from.token");
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    let about = format!("https://localhost:{}/token {PUBLIC_CLIENT} mail {USER}", at.address.port());
    std::fs::write(&kept, format!("{about}\n{REFRESH}\n")).unwrap();
    let moved = pair.run("migrate", &options).await.expect(0);
    pair.assert_same();
    assert_no_secret(&pair, &moved);
    assert!(std::fs::read_to_string(&kept).unwrap().ends_with("\nrefresh-1-sloe-2907\n"));

    // Withdrawn since, and no terminal: what to do, and nothing of the old token.
    issuer.set_refresh(None);
    let late = pair.run("migrate", &options).await.expect(2).says("somebody has to log in");
    assert_no_secret(&pair, &late);
    assert!(!kept.exists());
    assert_eq!(pair.old.counters().refused_logins, 0);
    assert_eq!(grants(&issuer), ["refresh_token", "refresh_token"], "one token serves a run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_logs_in_by_its_secret_and_nothing_is_kept() {
    let pair = Pair::filled(Profile::default(), 4).await;
    let (issuer, _at, _authority, mut options) = issuer(&pair, CLIENT).await;
    let given = tempfile::tempdir().unwrap();
    let secret = given.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    options.extend(["--from-oauth-flow", "application", "--from-oauth-secret-file"].map(str::to_owned));
    options.push(secret.display().to_string());
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let moved = pair.run("migrate", &options).await.expect(0);
    pair.assert_same();
    assert_no_secret(&pair, &moved);
    assert!(!pair.journal().with_extension("from.token").exists(), "there is nothing to keep");
    assert_eq!(grants(&issuer), ["client_credentials"], "one token serves a run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_is_asked_through_the_proxy_and_without_one_that_cannot_be_used() {
    let pair = Pair::filled(Profile::default(), 1).await;
    let (_issuer, at, _authority, mut options) = issuer(&pair, CLIENT).await;
    let given = tempfile::tempdir().unwrap();
    std::fs::write(given.path().join("secret"), SECRET).unwrap();
    // This machine itself is never behind the proxy: here its name is another one.
    let way = [(format!("login.example:{}", at.address.port()), at.address)].into();
    let proxy = tunnels(way, None).await.unwrap();
    options[1] = options[1].replace("localhost", "login.example");
    options.extend(["--from-oauth-flow", "application", "--from-oauth-secret-file"].map(str::to_owned));
    options.push(given.path().join("secret").display().to_string());
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut command = pair.command("check", &options);
    command.env("HTTPS_PROXY", format!("http://{}", proxy.address));
    // The certificate is for another name, which only somebody who came through can see.
    ran(&mut command).await.expect(2).says("login.example").says("certificate");
    assert_eq!(proxy.asked().len(), 1);
    for variable in ["ALL_PROXY", "https_proxy"] {
        let mut command = pair.command("check", &options);
        command.env(variable, "socks5://127.0.0.1:1").env("NO_PROXY", "x");
        let said = ran(&mut command).await;
        let warning = format!("warning: {variable}: socks5://127.0.0.1:1 is not supported");
        assert_eq!(said.said().matches(&warning).count(), 1, "{said:#?}");
        let said = ran(command.args(["--progress", "json"])).await;
        let lines = said.stderr.lines().filter(|line| line.contains("is not supported"));
        let told: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(told.len() == 1 && told[0]["event"] == "warning", "{said:#?}");
    }
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
