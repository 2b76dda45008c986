//! Servers that cannot be reached, are not who they say, or do not let us in: the exit code, and what to do next.

use crate::accounts::{FROM_PASSWORD, Pair, Ran, TO_PASSWORD, USER, behind_tls, program, ran};
use mailhaul_sandbox::{Profile, Sandbox};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_tried_once_exit_12() {
    for (variable, side) in [("MAILHAUL_FROM_PASSWORD", "old"), ("MAILHAUL_TO_PASSWORD", "new")] {
        let pair = Pair::filled(Profile::default(), 3).await;
        let mut command = pair.command("migrate", &[]);
        ran(command.env(variable, "wrong")).await.expect(12).says("password").says("AUTHENTICATIONFAILED");
        let server = if side == "old" { &pair.old } else { &pair.new };
        assert_eq!(server.counters().refused_logins, 1, "one attempt at the {side} server");
        assert_eq!(pair.appends(), 0);
    }
}

/// `check` between `from` and a good new server.
async fn check_from(from: &str, options: &[&str]) -> Ran {
    let pair = Pair::new(Profile::default()).await;
    let to = format!("imap+insecure://{USER}@{}", pair.to.address);
    let mut command = program(&["check", "--from", from, "--to", &to]);
    command.arg("--journal").arg(pair.journal()).args(options);
    ran(command.env("MAILHAUL_FROM_PASSWORD", FROM_PASSWORD).env("MAILHAUL_TO_PASSWORD", TO_PASSWORD)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_port_is_exit_13_with_the_port_as_advice() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    check_from(&format!("imaps://ann@127.0.0.1:{port}"), &[]).await.expect(13).says("check the port");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_host_is_exit_13_with_the_name_as_advice() {
    // By the file that is all this program knows of names: no name service outside is asked.
    let hosts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(hosts.path(), "name-server 127.0.0.1:1\n").unwrap();
    let options = ["--hosts", hosts.path().to_str().unwrap()];
    check_from("imaps://ann@no-such-host.invalid", &options)
        .await
        .expect(13)
        .says("no server has this name")
        .says("check the server's name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starttls_that_is_refused_or_not_offered_is_exit_13_and_no_password_is_sent() {
    for offered in [true, false] {
        let server = Sandbox::new(Profile { starttls_refused: offered, ..Profile::default() });
        server.add_user(USER, FROM_PASSWORD);
        let at = server.listen_loopback().await.unwrap();
        check_from(&format!("imap://{USER}@{}", at.address), &[])
            .await
            .expect(13)
            .says("STARTTLS")
            .says("imaps://");
        assert_eq!(server.counters().commands.get("LOGIN"), None);
        assert_eq!(server.counters().commands.get("AUTHENTICATE"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_certificate_is_exit_13_and_what_it_advises_works() {
    let server = Sandbox::new(Profile::default());
    server.add_user(USER, FROM_PASSWORD);
    let (address, pem) = behind_tls(&server).await;
    let from = format!("imaps://{USER}@localhost:{}", address.port());
    let refused = check_from(&from, &[]).await.expect(13).says("vouches").says("--ca-file");
    let said = refused.said();
    let words = said.split_whitespace().map(|w| w.trim_end_matches(';'));
    let shown = words.into_iter().find(|w| w.len() == 64).expect("the fingerprint is shown").to_owned();
    check_from(&from, &["--from-fingerprint", &shown]).await.expect(0).says("Ready");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pem).unwrap();
    check_from(&from, &["--ca-file", file.path().to_str().unwrap()]).await.expect(0);
    let other = "00".repeat(32);
    check_from(&from, &["--from-fingerprint", &other]).await.expect(13).says("another certificate");
    check_from(&from, &["--danger-accept-invalid-certs"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_another_pair_is_neither_shown_nor_reported_as_this_one() {
    let pair = Pair::filled(Profile::default(), 2).await;
    pair.run("migrate", &[]).await.expect(0);
    let journal = pair.journal().display().to_string();
    for verb in ["status", "report"] {
        let other = ["--from", "imaps://ann@old.example", "--to", "imaps://bob@new.example"];
        let arguments = [&[verb, "--journal", &journal], &other[..]].concat();
        let said = ran(&mut program(&arguments)).await.expect(2);
        said.says("this journal was made with other settings: it is about imap+insecure://ann@127.0.0.1");
    }
}
