//! `verify` alone: what it looks at, what it starts from, and that it changes nothing.

use crate::accounts::{Pair, USER, files, letter};
use bytes::Bytes;
use mailhaul_sandbox::Profile;

/// Moved whole; its certificate.
async fn moved() -> (Pair, String) {
    let pair = Pair::filled(Profile { refuse_bad_header: true, ..Profile::default() }, 12).await;
    pair.deliver("INBOX", "From: x@y.example\r\nno colon here\r\n\r\nbody\r\n");
    pair.deliver("INBOX", &letter(3));
    pair.run("migrate", &[]).await.expect(3);
    let certificate = pair.report().join("certificate.json");
    (pair, certificate.to_str().unwrap().to_owned())
}

/// `verify --certificate` without anything the first run left, but the certificate and its manifest.
pub async fn verify_from(pair: &Pair, certificate: &str, options: &[&str]) -> crate::accounts::Ran {
    let elsewhere = tempfile::tempdir().unwrap();
    let url = |at: &mailhaul_sandbox::Listening| format!("imap+insecure://{USER}@{}", at.address);
    let mut command = crate::accounts::program(&["verify", "--certificate", certificate]);
    command.args(["--from", &url(&pair.from), "--to", &url(&pair.to), "--settle", "1"]).args(options);
    command.env("MAILHAUL_FROM_PASSWORD", crate::accounts::FROM_PASSWORD);
    command.env("MAILHAUL_TO_PASSWORD", crate::accounts::TO_PASSWORD);
    command.env("HOME", elsewhere.path()).env("TMPDIR", elsewhere.path()).current_dir(elsewhere.path());
    let ran = crate::accounts::ran(&mut command).await;
    // But the key that signed a report which is kept.
    let key = elsewhere.path().join(KEY);
    let left = if options.contains(&"--report") { vec![key] } else { Vec::new() };
    assert_eq!(files(elsewhere.path()), left, "nothing is left behind");
    ran
}

/// The key that signs, below the home folder.
const KEY: &str = if cfg!(target_os = "macos") {
    "Library/Application Support/Mailhaul/signing-key.pem"
} else {
    ".local/state/mailhaul/signing-key.pem"
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_came_to_the_old_account_since_is_exit_5_until_it_is_moved() {
    let pair = Pair::filled(Profile::default(), 5).await;
    pair.run("migrate", &[]).await.expect(0);
    pair.run("verify", &[]).await.expect(0);
    pair.deliver("INBOX", &letter(90));
    let appends = pair.appends();
    pair.run("verify", &[]).await.expect(5).says("1 folder could not be listed or finished");
    pair.old.create(USER, "New", None, true);
    pair.deliver("New", &letter(91));
    pair.run("verify", &[]).await.expect(5).says("2 folders could not be listed or finished");
    assert_eq!(pair.appends(), appends, "verify sends nothing");
    pair.run("migrate", &[]).await.expect(0);
    pair.run("verify", &[]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_old_account_does_not_keep_verify_from_its_work() {
    let pair = Pair::filled(Profile::default(), 5).await;
    pair.run("migrate", &[]).await.expect(0);
    pair.old.set(|p| p.login_disabled = true);
    pair.run("verify", &[]).await.expect(0);
    let report = std::fs::read_to_string(pair.report().join("report.json")).unwrap();
    assert!(report.contains("the old account was not looked at"), "{report}");
    let mut command = pair.command("verify", &["--target-only"]);
    command.env_remove("MAILHAUL_FROM_PASSWORD");
    let logins = pair.old.counters();
    crate::accounts::ran(&mut command).await.expect(0);
    assert_eq!(pair.old.counters(), logins, "the old account is left alone");
    pair.run("verify", &["--reread-source"]).await.expect(13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_alone_is_enough_to_verify_and_finds_what_changed() {
    let (pair, certificate) = moved().await;
    std::fs::remove_dir_all(pair.journal().parent().unwrap()).unwrap();
    verify_from(&pair, &certificate, &[]).await.expect(3).says("16  read back, exactly the same");
    verify_from(&pair, &certificate, &["--reread-source"]).await.expect(3);
    let page = pair.report().join("again");
    verify_from(&pair, &certificate, &["--report", page.to_str().unwrap()]).await.expect(3);
    assert!(page.join("certificate.json").exists());
    pair.new.replace(USER, "INBOX", 5, Bytes::from(letter(4).replace("Dear", "Fear")));
    verify_from(&pair, &certificate, &[]).await.expect(4).says("UID 5: the new server gives other octets");
    pair.new.expunge(USER, "INBOX", 5);
    verify_from(&pair, &certificate, &[])
        .await
        .expect(3)
        .says("removed from the new server by somebody since");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_was_changed_is_refused_exit_10() {
    let (pair, certificate) = moved().await;
    let manifest = pair.report().join("manifest.ndjson");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen("\"uid\":5", "\"uid\":6", 1)).unwrap();
    verify_from(&pair, &certificate, &[]).await.expect(10).says("is not the manifest it certifies");
    std::fs::remove_file(&manifest).unwrap();
    verify_from(&pair, &certificate, &[]).await.expect(10).says("manifest.ndjson");
    verify_from(&pair, "/nonexistent/certificate.json", &[]).await.expect(10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_attached_to_a_cover_message_is_known_again_from_the_certificate_alone() {
    let (pair, certificate) = moved().await;
    let stored = pair.new.counters().appended;
    let ran = pair.run("migrate", &["--repair"]).await.expect(3);
    ran.says("1 message is attached, untouched, to a cover message");
    assert_eq!(pair.new.counters().appended, stored + 1);
    verify_from(&pair, &certificate, &[])
        .await
        .expect(3)
        .says("1  read back, written otherwise, saying the same");
    let counted = pair.run("migrate", &["--repair"]).await.expect(3);
    counted.says("16  read back, exactly the same");
    assert_eq!(pair.new.counters().appended, stored + 1, "sent once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_header_was_encoded_is_known_again_from_the_certificate_alone() {
    let pair = Pair::filled(Profile { refuse_8bit_header: true, ..Profile::default() }, 12).await;
    pair.deliver("INBOX", "From: J\u{f6}rg <x@y.example>\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nbody\r\n");
    pair.run("migrate", &[]).await.expect(3).says("1 message was refused");
    let ran = pair.run("migrate", &["--repair"]).await.expect(3);
    ran.says("1 message has letters of the header encoded, saying the same");
    let stored = pair.new.counters().appended;
    let manifest = std::fs::read_to_string(pair.report().join("manifest.ndjson")).unwrap();
    assert!(
        manifest.contains("\"ladder\":[\"T4\"]") && manifest.contains("\"kind\":\"encoded\""),
        "{manifest}"
    );
    let certificate = pair.report().join("certificate.json").to_str().unwrap().to_owned();
    let said = verify_from(&pair, &certificate, &[]).await.expect(3);
    said.says("1  read back, written otherwise, saying the same");
    pair.run("migrate", &["--repair"]).await.expect(3);
    assert_eq!(pair.new.counters().appended, stored, "sent once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_names_its_key_and_another_one_is_refused_exit_10() {
    let (pair, certificate) = moved().await;
    let said = pair.run("report", &[]).await.expect(3).says("The files report.html, report.json and");
    let is_digest = |line: &&str| line.len() == 64 && line.chars().all(|c| c.is_ascii_hexdigit());
    let key = said.stdout.lines().map(str::trim).find(is_digest).unwrap().to_owned();
    assert!(std::fs::read_to_string(pair.report().join("report.html")).unwrap().contains(&key));
    verify_from(&pair, &certificate, &[]).await.expect(3).says(&format!("by the key with the SHA-256 {key}"));
    let asked = verify_from(&pair, &certificate, &["--certificate-key", &key]).await.expect(3);
    asked.says("signed by the key that was asked for");
    let other = "ab".repeat(32);
    let logins = pair.new.counters();
    let refused = verify_from(&pair, &certificate, &["--certificate-key", &other]).await.expect(10);
    refused.says(&format!("it is signed by the key {key}, not by {other}"));
    for (file, says) in [("certificate.json", "does not fit"), ("certificate.json.sig", "does not fit")] {
        let path = pair.report().join(file);
        let octets = std::fs::read(&path).unwrap();
        let mut changed = octets.clone();
        changed[40] ^= 1;
        std::fs::write(&path, changed).unwrap();
        verify_from(&pair, &certificate, &[]).await.expect(10).says(says);
        std::fs::write(&path, octets).unwrap();
    }
    std::fs::remove_file(pair.report().join("certificate.json.sig")).unwrap();
    verify_from(&pair, &certificate, &[]).await.expect(10).says("its signature");
    assert_eq!(pair.new.counters(), logins, "nobody was asked for anything");
    verify_from(&pair, &certificate, &["--certificate-key", "ab"]).await.expect(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_place_for_a_key_the_report_is_unsigned_and_says_so() {
    let pair = Pair::filled(Profile::default(), 2).await;
    let mut command = pair.command("migrate", &[]);
    let ran = crate::accounts::ran(command.env_remove("HOME")).await.expect(0);
    ran.says("warning: the certificate is not signed, because no key can be kept for that: no home folder is named");
    let certificate = pair.report().join("certificate.json");
    let certificate = certificate.to_str().unwrap();
    let ran = verify_from(&pair, certificate, &[]).await.expect(0);
    ran.says("warning: the certificate is not signed: it does not tell who wrote it");
    let asked = verify_from(&pair, certificate, &["--certificate-key", &"ab".repeat(32)]).await.expect(10);
    asked.says("it is not signed; asked for is the key abab");
    pair.run("report", &[]).await.expect(0).says("The certificate is signed by the key");
    verify_from(&pair, certificate, &[]).await.expect(0).says("The certificate is signed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_key_is_said_before_anybody_logs_in_exit_2() {
    let pair = Pair::filled(Profile::default(), 2).await;
    pair.run("migrate", &[]).await.expect(0);
    let key = pair.home().join(KEY);
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let logins = pair.old.counters();
    for verb in ["migrate", "verify"] {
        let ran = pair.run(verb, &[]).await.expect(2).says("the key that signs certificates cannot be used");
        ran.says("put it back from a backup, or move it away");
    }
    assert_eq!(pair.old.counters(), logins);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "-----BEGIN PRIVATE KEY-----\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_that_signs_is_in_nothing_that_is_said_or_kept_beside_it() {
    let pair = Pair::filled(Profile::default(), 2).await;
    let log = pair.folder.path().join("log");
    let ran = pair.run("migrate", &["-vv", "--log", log.to_str().unwrap()]).await.expect(0);
    let key = pair.home().join(KEY);
    let pem = std::fs::read_to_string(&key).unwrap();
    // Of its one line the last characters are of the key alone.
    let secret = &pem.lines().nth(1).unwrap()[22..];
    assert_eq!(secret.len(), 42);
    assert!(!ran.said().contains(secret));
    let others: Vec<_> = files(pair.folder.path()).into_iter().filter(|file| *file != key).collect();
    assert!(others.len() > 8 && others.contains(&log), "{others:?}");
    for file in others {
        let octets = std::fs::read(&file).unwrap();
        let holds = octets.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!holds, "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_make_the_key_at_once_sign_with_one() {
    let pair = Pair::filled(Profile::default(), 2).await;
    let mut without = pair.command("migrate", &[]);
    crate::accounts::ran(without.env_remove("HOME")).await.expect(0);
    assert!(!pair.home().exists());
    // `report` takes no lock: several may read the journal at a time.
    let report = |name: &str| {
        let url = |at: &mailhaul_sandbox::Listening| format!("imap+insecure://{USER}@{}", at.address);
        let mut command =
            crate::accounts::program(&["report", "--from", &url(&pair.from), "--to", &url(&pair.to)]);
        command.arg("--journal").arg(pair.journal()).arg("--report").arg(pair.folder.path().join(name));
        command.env("HOME", pair.home());
        command
    };
    let (mut first, mut second) = (report("first"), report("second"));
    let (first, second) = tokio::join!(crate::accounts::ran(&mut first), crate::accounts::ran(&mut second));
    first.expect(0).says("The certificate is signed by the key");
    second.expect(0).says("The certificate is signed by the key");
    let key = |name: &str| std::fs::read(pair.folder.path().join(name).join("certificate.json.pem")).unwrap();
    assert_eq!(key("first"), key("second"));
    assert_eq!(files(&pair.home()), [pair.home().join(KEY)]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_others_can_read_is_used_and_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let pair = Pair::filled(Profile::default(), 2).await;
    let ran = pair.run("migrate", &[]).await.expect(0);
    assert!(!ran.said().contains("others can read"), "{ran:#?}");
    let key = pair.home().join(KEY);
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = std::fs::read(pair.report().join("certificate.json.sig")).unwrap();
    pair.run("migrate", &[]).await.expect(0).says("warning: others can read ");
    assert_eq!(std::fs::read(pair.report().join("certificate.json.sig")).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_key_is_kept_it_is_said_whether_the_certificate_is_signed_by_it() {
    let (pair, certificate) = moved().await;
    let verify = async |home: &std::path::Path| {
        let url = |at: &mailhaul_sandbox::Listening| format!("imap+insecure://{USER}@{}", at.address);
        let mut command = crate::accounts::program(&["verify", "--certificate", &certificate]);
        command.args(["--from", &url(&pair.from), "--to", &url(&pair.to), "--settle", "1", "--report"]);
        command.arg(home.join("report")).env("HOME", home);
        command.env("MAILHAUL_FROM_PASSWORD", crate::accounts::FROM_PASSWORD);
        command.env("MAILHAUL_TO_PASSWORD", crate::accounts::TO_PASSWORD);
        crate::accounts::ran(&mut command).await
    };
    let (own, another) = ("this installation's own key", "another key than this installation's");
    let said = verify(&pair.home()).await.expect(3).says(own);
    assert!(!said.said().contains(another), "{said:#?}");
    // Nobody's key is here: nothing is said of one; after this a key is, for its report.
    let elsewhere = pair.folder.path().join("elsewhere");
    let said = verify(&elsewhere).await.expect(3);
    assert!(!said.said().contains(own) && !said.said().contains(another), "{said:#?}");
    let said = verify(&elsewhere).await.expect(3).says(another);
    assert!(!said.said().contains(own), "{said:#?}");
}
