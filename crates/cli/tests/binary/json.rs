//! `--json`: one document on stdout, whatever happens.

use crate::accounts::Pair;
use mailhaul_sandbox::Profile;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_prints_one_document() {
    let pair = Pair::filled(Profile::default(), 8).await;
    for (verb, field, options) in [
        ("check", "survey", &[][..]),
        ("plan", "totals", &[]),
        ("migrate", "verdict", &["--progress", "json"]),
        ("verify", "verdict", &[]),
        ("status", "states", &[]),
        ("report", "verdict", &[]),
        ("undo", "removed", &["--yes"]),
    ] {
        let mut all = vec!["--json"];
        all.extend(options);
        let ran = pair.run(verb, &all).await.expect(0);
        let document: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{verb}: {e}: {ran:#?}"));
        assert!(document.get(field).is_some(), "{verb}: {document}");
        if options.contains(&"json") {
            let events: Vec<Value> = ran.stderr.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert!(events.iter().any(|e| e["event"] == "planned"), "{ran:#?}");
            assert_eq!(events.last().unwrap()["event"], "ended", "{ran:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_a_document_with_its_exit_code_and_the_next_step() {
    let pair = Pair::filled(Profile::default(), 2).await;
    let ran =
        crate::accounts::ran(pair.command("migrate", &["--json"]).env("MAILHAUL_TO_PASSWORD", "x")).await;
    let ran = ran.expect(12);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["exit"], 12);
    assert!(document["hint"].as_str().unwrap().contains("password"), "{document}");
}
