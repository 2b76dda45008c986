//! `report`: what it writes again is what the run knew, and what nobody kept it does not claim.

use crate::accounts::{Pair, files, program, ran};
use crate::verifying::verify_from;
use mailhaul_sandbox::Profile;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The files of a report with what they hold.
fn held(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut held: Vec<_> =
        files(folder).into_iter().map(|f| (f.clone(), std::fs::read(f).unwrap())).collect();
    held.sort();
    held
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// `report` into another folder than that of the run.
async fn report_into(pair: &Pair, folder: &Path) -> crate::accounts::Ran {
    let url = |at: &mailhaul_sandbox::Listening| {
        format!("imap+insecure://{}@{}", crate::accounts::USER, at.address)
    };
    let mut command = program(&["report", "--from", &url(&pair.from), "--to", &url(&pair.to)]);
    command.arg("--journal").arg(pair.journal()).arg("--report").arg(folder).env("HOME", pair.home());
    ran(&mut command).await
}

/// Makes the journal one of a Mailhaul that did not keep the facts of its runs.
fn forget_facts_of_runs(journal: &Path) {
    let journal = rusqlite::Connection::open(journal).unwrap();
    journal.execute("DELETE FROM note WHERE kind = 'run:facts'", []).unwrap();
}

const DANGER: &str = "--danger-accept-invalid-certs";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_written_again_says_what_the_run_did_and_changes_no_file() {
    for (options, danger, level) in
        [(&[DANGER][..], vec![DANGER], "octets"), (&["--verify", "counts"], vec![], "counts")]
    {
        let pair = Pair::filled(Profile::default(), 4).await;
        pair.run("migrate", options).await.expect(0);
        let before = held(&pair.report());
        let code = pair.run("report", &[]).await.code;
        let says = |file: &Path| {
            let file = json(file);
            (file["danger_options"].clone(), file["level"].clone(), file["source"]["product"].clone())
        };
        let first = says(&pair.report().join("certificate.json"));
        assert_eq!((&first.0, &first.1), (&danger.clone().into(), &level.into()), "{options:?}");
        assert_eq!(code, Some(0), "{options:?}");
        assert_eq!(held(&pair.report()), before, "{options:?}");
        let other = pair.folder.path().join("other");
        report_into(&pair, &other).await.expect(0);
        for file in ["certificate.json", "certificate-1.json", "report.json"] {
            assert_eq!(says(&other.join(file)), first, "{options:?}: {file}");
        }
        assert_ne!(first.2, "", "the server says what it is");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_danger_option_of_an_earlier_run_stays_in_the_certificate_of_a_later_one() {
    let pair = Pair::filled(Profile::default(), 4).await;
    pair.run("migrate", &[DANGER]).await.expect(0);
    pair.deliver("INBOX", &crate::accounts::letter(40));
    pair.run("migrate", &[]).await.expect(0);
    let certificate = json(&pair.report().join("certificate.json"));
    assert_eq!((&certificate["run"], &certificate["danger_options"]), (&2.into(), &vec![DANGER].into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_danger_option_of_the_certified_runs_stays_in_a_report_that_is_made_of_their_certificate() {
    let pair = Pair::filled(Profile::default(), 4).await;
    pair.run("migrate", &[DANGER]).await.expect(0);
    let certificate = pair.report().join("certificate.json");
    let again = pair.folder.path().join("again");
    let options = ["--report", again.to_str().unwrap()];
    crate::verifying::verify_from(&pair, certificate.to_str().unwrap(), &options).await.expect(0);
    for file in ["certificate.json", "report.json"] {
        let said = json(&again.join(file));
        assert_eq!(said["danger_options"], Value::from(vec![DANGER]), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_did_not_come_to_its_end_is_reported_with_what_it_was_told() {
    let pair = Pair::filled(Profile::default(), 4).await;
    pair.old.set(|p| p.login_disabled = true);
    pair.run("migrate", &[DANGER, "--verify", "facts"]).await.expect(13);
    pair.run("report", &[]).await.expect(5);
    let certificate = json(&pair.report().join("certificate.json"));
    assert_eq!(
        (&certificate["level"], &certificate["danger_options"]),
        (&"facts".into(), &vec![DANGER].into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_without_the_facts_of_its_run_replaces_no_certificate_that_has_them() {
    let pair = Pair::filled(Profile::default(), 4).await;
    pair.run("migrate", &[DANGER]).await.expect(0);
    forget_facts_of_runs(&pair.journal());
    let before = held(&pair.report());
    let said = pair.run("report", &[]).await.expect(0);
    assert_eq!(held(&pair.report()), before);
    said.says("7  read back, exactly the same").says("is left as it is");
    let said = pair.run("report", &["--json"]).await.expect(0);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&document["level"], &document["danger_options"]), (&Value::Null, &Value::Null));
    assert_eq!(held(&pair.report()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_journal_does_not_keep_of_its_run_is_not_known_in_report_and_certificate() {
    let pair = Pair::filled(Profile::default(), 4).await;
    pair.run("migrate", &[DANGER]).await.expect(0);
    forget_facts_of_runs(&pair.journal());
    let other = pair.folder.path().join("other");
    for _ in 0..2 {
        report_into(&pair, &other).await.expect(0);
    }
    for file in ["certificate.json", "certificate-1.json", "report.json"] {
        let file = json(&other.join(file));
        assert_eq!((&file["level"], &file["danger_options"]), (&Value::Null, &Value::Null));
    }
    let page = std::fs::read_to_string(other.join("report.html")).unwrap();
    for term in ["Level of proof", "Danger options"] {
        assert!(page.contains(&format!("<dt>{term}</dt><dd><bdi>not known")), "{term}");
    }
    let certificate = json(&other.join("certificate.json"));
    assert_eq!(certificate["conditions"][2]["status"], "not_assessed", "S3");
    assert!(certificate["statement"].as_str().unwrap().contains("the journal does not say"), "{certificate}");
    verify_from(&pair, other.join("certificate.json").to_str().unwrap(), &[]).await.expect(0);
    // The next run knows what it does itself, and that it does not know it of the first.
    pair.deliver("INBOX", &crate::accounts::letter(40));
    pair.run("migrate", &[]).await.expect(0);
    let certificate = json(&pair.report().join("certificate.json"));
    assert_eq!(
        (&certificate["level"], &certificate["danger_options"], &certificate["danger_options_unknown_runs"]),
        (&"octets".into(), &Vec::<Value>::new().into(), &1.into())
    );
}
