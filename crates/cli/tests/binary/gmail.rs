//! Gmail's labels from the command line, with the journal on disk.

use crate::accounts::{Pair, USER, letter};
use mailhaul_sandbox::Profile;

const ALL: &str = "[Gmail]/All Mail";

/// 1 in the Inbox and under a label, 2 under the label alone, 3 archived.
async fn account() -> Pair {
    let pair = Pair::between(Profile::gmail(), Profile::default()).await;
    pair.old.create(USER, "Work", None, true);
    for (mailbox, n) in [("INBOX", 1), ("Work", 1), ("Work", 2), (ALL, 3)] {
        pair.deliver(mailbox, &letter(n));
    }
    pair
}

fn moved(pair: &Pair, letters: &[(&str, usize)]) {
    let letters = letters.iter().map(|(mailbox, n)| ((*mailbox).to_owned(), letter(*n).into_bytes()));
    let (mut expected, mut there): (Vec<_>, _) = (letters.collect(), pair.moved());
    expected.sort();
    there.sort();
    assert_eq!(there, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_copied_or_told_once_as_asked_and_the_second_run_sends_nothing() {
    let copies = [("Archive", 3), ("INBOX", 1), ("Work", 1), ("Work", 2)];
    let first = [("Archive", 3), ("INBOX", 1), ("Work", 2)];
    for (labels, letters) in [("copies", &copies[..]), ("first", &first[..])] {
        let pair = account().await;
        let options = ["--labels", labels];
        pair.run("plan", &options).await.expect(0).says("the rest");
        for _ in 0..2 {
            let ran = pair.run("migrate", &options).await.expect(0);
            ran.says("Each message once, whatever its labels: 3 messages")
                .says("shown once more by All Mail");
            moved(&pair, letters);
            assert_eq!(pair.new.counters().appended, letters.len() as u64);
        }
        let report = std::fs::read_to_string(pair.report().join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let numbers = &report["by_message_number"];
        assert_eq!(
            (numbers["messages"].as_u64(), numbers["there"].as_u64()),
            (Some(3), Some(3)),
            "{numbers}"
        );
        pair.run("verify", &["--reread-source"]).await.expect(0);
        // The manifest has the numbers: which further labels a message had can be told, and counted again, without the journal.
        let manifest = std::fs::read_to_string(pair.report().join("manifest.ndjson")).unwrap();
        let lines = manifest.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let numbered =
            lines.map(|line| (line["source"]["message_number"].to_string(), line["state"].to_string()));
        let mut by_number = std::collections::BTreeMap::<String, Vec<String>>::new();
        numbered.for_each(|(number, state)| by_number.entry(number).or_default().push(state));
        let of_first: Vec<usize> = by_number.values().map(Vec::len).collect();
        assert_eq!(
            of_first,
            [3, 2, 1],
            "in the Inbox, under a label and in All Mail; two; one: {by_number:?}"
        );
        let certificate = pair.report().join("certificate.json");
        std::fs::remove_dir_all(pair.journal().parent().unwrap()).unwrap();
        let ran = crate::verifying::verify_from(&pair, certificate.to_str().unwrap(), &[]).await.expect(0);
        ran.says("Each message once, whatever its labels: 3 messages");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_all_mail_is_exit_2_until_it_is_accepted() {
    let pair = account().await;
    pair.old.set(|p| p.hidden.push(ALL.into()));
    pair.run("migrate", &[]).await.expect(2).says("--yes").says("“Show in IMAP” for All Mail");
    assert_eq!(pair.appends(), 0);
    // One mailbox alone has nothing to do with it.
    pair.run("migrate", &["--mailbox", "INBOX"]).await.expect(0);
    moved(&pair, &[("INBOX", 1)]);
    pair.run("migrate", &["--yes"]).await.expect(3).says("Gmail hides");
    moved(&pair, &[("INBOX", 1), ("Work", 1), ("Work", 2)]);
}
