//! Ways to log in: tokens of a command, mechanisms, administrators; and that no secret is in anything that is left.

use crate::accounts::{FROM_PASSWORD, Pair, Ran, TO_PASSWORD, USER, files, ran};
use mailhaul_sandbox::Profile;

const TOKEN: &str = "ya29.loquat-3358-token";
const ADMIN_PASSWORD: &str = "sorb-4417-admin";

/// Fails if a secret is in what was said, or in a file of the pair's folder that is not named `given`.
#[track_caller]
fn assert_no_secret(pair: &Pair, ran: &Ran) {
    let mut all = vec![("what was said".into(), ran.said().into_bytes())];
    let written = files(pair.folder.path()).into_iter().filter(|f| !f.ends_with("given"));
    all.extend(written.map(|f| (f.display().to_string(), std::fs::read(&f).unwrap())));
    for (name, octets) in all {
        for secret in [FROM_PASSWORD, TO_PASSWORD, TOKEN, ADMIN_PASSWORD] {
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
