//! Moving an account: what is said, what is written, what a second run does.

use crate::accounts::{FROM_PASSWORD, Pair, TO_PASSWORD, USER, files, letter};
use bytes::Bytes;
use mailhaul_sandbox::{Profile, Sandbox};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moved_and_verified_is_exit_0_and_the_second_run_sends_nothing() {
    let pair = Pair::filled(Profile::default(), 30).await;
    let first = pair.run("migrate", &[]).await.expect(0);
    pair.assert_same();
    assert!(first.stdout.contains("33"), "{first:#?}");
    let page = std::fs::read_to_string(pair.report().join("report.html")).unwrap();
    for file in ["report.json", "certificate.json", "manifest.ndjson", "certificate-1.json"] {
        assert!(pair.report().join(file).exists(), "{file}");
    }
    let appends = pair.appends();
    pair.run("migrate", &[]).await.expect(0);
    assert_eq!(pair.appends(), appends);
    assert_eq!(
        std::fs::read_to_string(pair.report().join("report.html")).unwrap(),
        page,
        "nothing new to say"
    );
    pair.deliver("INBOX", &letter(99));
    pair.run("migrate", &[]).await.expect(0);
    pair.assert_same();
    pair.run("verify", &["--reread-source"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_in_nothing_that_is_said_or_written() {
    let pair = Pair::filled(Profile::default(), 5).await;
    let log = pair.folder.path().join("log");
    let log = log.to_str().unwrap();
    let ran = pair.run("migrate", &["-vv", "--log", log, "--progress", "json"]).await.expect(0);
    let mut all = vec![("what was said".into(), ran.said().into_bytes())];
    all.extend(
        files(pair.folder.path()).into_iter().map(|f| (f.display().to_string(), std::fs::read(&f).unwrap())),
    );
    assert!(all.len() >= 6, "journal, log and report are looked at");
    for (name, octets) in all {
        for secret in [FROM_PASSWORD, TO_PASSWORD] {
            let found = octets.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!found, "{secret} is in {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compress_is_asked_of_each_server_that_offers_it_and_its_absence_is_a_remark() {
    let pair = Pair::filled(Profile::default(), 20).await;
    let asked = |server: &Sandbox| server.counters().commands.get("COMPRESS").copied().unwrap_or(0);
    pair.run("check", &[]).await.expect(0);
    assert_eq!((asked(&pair.old), asked(&pair.new)), (0, 0), "only where it was asked for");
    pair.new.set(|p| p.compress = false);
    let missing = "it does not offer COMPRESS=DEFLATE";
    let remark = format!("Remark: connections to the new server are not compressed: {missing}");
    pair.run("check", &["--compress"])
        .await
        .expect(0)
        .says("logged in; NOT encrypted; compressed")
        .says(&remark);
    let ran = pair.run("migrate", &["--compress"]).await.expect(0);
    let ran = ran.says(&format!("not compressed on the way to the new server: {missing}"));
    assert_eq!(ran.said().matches(missing).count(), 1, "said once: {ran:#?}");
    pair.assert_same();
    assert!(asked(&pair.old) > 0 && asked(&pair.new) == 0);
    pair.new.set(|p| p.compress = true);
    pair.deliver("INBOX", &letter(99));
    let ran = pair.run("migrate", &["--compress"]).await.expect(0);
    assert!(!ran.said().contains("compressed"), "nothing to say: {ran:#?}");
    pair.assert_same();
    assert!(asked(&pair.new) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_the_new_server_refuses_is_one_exception_with_its_words_and_its_original_exit_3() {
    let pair = Pair::filled(Profile { refuse_bad_header: true, ..Profile::default() }, 20).await;
    let odd = "From: x@y.example\r\nthis line has no colon\r\n\r\nbody\r\n";
    pair.deliver("INBOX", odd);
    pair.deliver("INBOX", &letter(21));
    pair.run("migrate", &[]).await.expect(3).says("invalid header");
    assert_eq!(pair.moved().len(), 24, "everything else moved");
    let originals: Vec<_> = files(&pair.report().join("exceptions"));
    assert_eq!(originals.len(), 1, "{originals:?}");
    assert_eq!(std::fs::read(&originals[0]).unwrap(), odd.as_bytes());
    let appends = pair.appends();
    pair.run("migrate", &[]).await.expect(3);
    assert_eq!(pair.appends(), appends, "an exception is tried again only when asked to");
    pair.new.set(|p| p.refuse_bad_header = false);
    pair.run("migrate", &["--retry"]).await.expect(0);
    assert_eq!(pair.moved().len(), 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_target_is_exit_14_nothing_is_skipped_and_the_same_command_completes() {
    let pair =
        Pair::filled(Profile { quota_octets: Some(2000), quota: false, ..Profile::default() }, 60).await;
    pair.run("migrate", &["--settle", "1"]).await.expect(14).says("Quota exceeded").says("it continues");
    let moved = pair.moved().len();
    assert!(moved < 63, "{moved}");
    assert_eq!(files(&pair.report().join("exceptions")).len(), 0, "nothing is given up");
    pair.new.set(|p| p.quota_octets = None);
    pair.run("migrate", &["--settle", "1"]).await.expect(0);
    let (mut moved, mut all) = (pair.moved(), crate::accounts::held(&pair.old));
    moved.sort();
    all.sort();
    assert_eq!(moved, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_at_the_new_server_and_no_journal_is_exit_2_naming_adopt_which_doubles_nothing() {
    let pair = Pair::filled(Profile::default(), 10).await;
    for n in 0..4 {
        pair.new.deliver(USER, "INBOX", letter(n), "", "01-Jan-2022 00:00:00 +0000");
    }
    pair.run("migrate", &[]).await.expect(2).says("--adopt").says("--append-anyway").says("INBOX");
    assert_eq!(pair.appends(), 0);
    pair.run("migrate", &["--adopt"]).await.expect(0);
    pair.assert_same();
    let certificate = std::fs::read_to_string(pair.report().join("certificate.json")).unwrap();
    assert!(certificate.contains("\"verdict\": \"complete\""), "{certificate}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_vanished_before_it_was_read_back_is_exit_4() {
    let pair = Pair::filled(Profile::default(), 10).await;
    // Stored, and not read in octets.
    pair.run("migrate", &["--verify", "counts"]).await.expect(0);
    let uid = pair.new.snapshot(USER).iter().find(|m| m.name == "INBOX").unwrap().messages[4].uid;
    pair.new.expunge(USER, "INBOX", uid);
    pair.run("verify", &["--settle", "1"]).await.expect(4).says("INBOX");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_octet_at_the_new_server_is_named_by_verify_exit_4() {
    let pair = Pair::filled(Profile::default(), 10).await;
    pair.run("migrate", &[]).await.expect(0);
    pair.new.replace(USER, "INBOX", 5, Bytes::from(letter(4).replace("Dear", "Fear")));
    let ran = pair.run("verify", &[]).await.expect(4);
    let report = std::fs::read_to_string(pair.report().join("report.json")).unwrap();
    assert!(report.contains("damaged"), "{report}");
    assert!(ran.said().contains("INBOX"), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undo_asks_and_removes_exactly_what_was_moved() {
    let pair = Pair::filled(Profile::default(), 10).await;
    pair.run("migrate", &[]).await.expect(0);
    pair.new.deliver(USER, "INBOX", letter(77), "", "01-Jan-2022 00:00:00 +0000");
    pair.run("undo", &[]).await.expect(2).says("--yes");
    assert_eq!(pair.moved().len(), 14);
    pair.run("undo", &["--yes"]).await.expect(0).says("13 removed");
    assert_eq!(pair.moved(), [("INBOX".to_owned(), letter(77).into_bytes())]);
}
