//! The report over plain data, and over a journal in memory.

mod migrations;
pub(crate) mod people;
mod signed;

use super::example::{self, Plain, run_facts};
use super::*;
use crate::certificate::{Status, conditions};
use crate::identity::Grade;
use crate::journal::{Decision, MailboxId, Place, Side, State};
use crate::message::{Flags, InternalDate, Key};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

async fn report(plain: Plain) -> Report {
    collect(&plain.journal(), &run_facts()).await.unwrap()
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&read(folder, name)).unwrap()
}

fn status(report: &Report, id: &str) -> Status {
    conditions(report).into_iter().find(|c| c.id == id).unwrap().status
}

/// Writes the four example pages where the variable says, to be looked at.
#[tokio::test]
async fn the_examples_end_in_the_four_verdicts() {
    let table = [
        ("complete", example::complete(), Verdict::Complete, 0),
        ("exceptions", example::exceptions(), Verdict::CompleteWithExceptions, 4),
        ("incomplete", example::incomplete(), Verdict::Incomplete, 5),
        ("failed", example::failed(), Verdict::Failed, 1),
    ];
    for (name, plain, verdict, code) in table {
        let folder = tempfile::tempdir().unwrap();
        let place = match std::env::var_os("MAILHAUL_EXAMPLE_REPORTS") {
            Some(place) => Path::new(&place).join(name),
            None => folder.path().join(name),
        };
        let written = write(&plain.journal(), &run_facts(), &place).await.unwrap();
        assert_eq!((written.report.verdict(), written.report.exit_code()), (verdict, code), "{name}");
        let lines = written.report.summary_lines(None);
        assert!(lines.iter().all(|l| l.chars().count() <= 80), "{lines:#?}");
    }
}

#[tokio::test]
async fn every_state_has_its_place_in_a_sum_that_closes() {
    for state in State::ALL {
        let mut plain = example::complete();
        plain.item(MailboxId(1), 5).state = state;
        let report = report(plain).await;
        assert_eq!(report.totals.remainder(), 0, "{state:?}");
        assert_eq!(report.totals.listed(), 1204);
        assert_eq!(report.totals.walked, report.totals.counted);
        assert_eq!(
            report.verdict() == Verdict::Incomplete,
            state.is_pending() || state == State::Stored,
            "{state:?}"
        );
    }
}

fn any_state() -> impl Strategy<Value = (State, Option<Grade>, Option<&'static str>)> {
    let grade =
        prop_oneof![Just(Grade::Exact), Just(Grade::Newline), Just(Grade::Semantic), Just(Grade::Damaged)];
    let kind = prop_oneof![Just("refused"), Just(DAMAGED), Just(ABSENT), Just("since")];
    (proptest::sample::select(&State::ALL[..]), proptest::option::of(grade), proptest::option::of(kind))
}

proptest! {
    #[test]
    fn the_sum_closes_for_any_mixture(states in proptest::collection::vec((1i64..=60, any_state()), 0..60)) {
        let mut plain = Plain::new();
        plain.mailbox("INBOX", "INBOX", 60);
        for (uid, (state, grade, kind)) in states {
            let item = plain.item(MailboxId(1), uid);
            (item.state, item.grade) = (state, grade);
            item.reason = kind.map(|kind| crate::journal::Reason::new(kind, "x"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let report = runtime.block_on(report(plain));
        let tally = &report.totals.walked;
        prop_assert_eq!(report.totals.remainder(), 0);
        prop_assert_eq!((tally.sum(), report.manifest.lines), (60, 60));
        let parts = tally.there() + tally.gone() + tally.excluded() + tally.exceptions() + tally.pending();
        prop_assert_eq!(parts, 60);
        let summands: u64 = summary::summands(tally).iter().map(|(n, _)| n).sum();
        prop_assert_eq!(summands, 60, "and so does the sum that people see");
        let done = tally.pending() == 0 && tally.of(&Bucket::Stored) == 0;
        prop_assert_eq!(report.verdict() == Verdict::Incomplete, !done);
    }
}

#[tokio::test]
async fn a_count_that_disagrees_with_the_walk_fails_the_run_whatever_it_counts() {
    let skewed = report(example::failed()).await;
    assert_eq!((skewed.totals.remainder(), skewed.exit_code()), (1, 1));
    let mut stray = example::complete();
    stray.skew.push(crate::journal::Count {
        mailbox: MailboxId(99),
        state: State::Listed,
        grade: None,
        kind: None,
        items: 2,
        octets: 0,
    });
    let stray = report(stray).await;
    assert_eq!((stray.totals.remainder(), stray.verdict()), (2, Verdict::Failed));
}

#[tokio::test]
async fn two_claims_on_one_message_fail_the_run() {
    let mut plain = example::complete();
    let place = plain.item(MailboxId(1), 5).place;
    plain.item(MailboxId(1), 6).place = place;
    let report = report(plain).await;
    assert_eq!((report.outcome.double_claims, report.verdict()), (1, Verdict::Failed));
    assert_eq!(status(&report, "S4"), Status::NotMet);
}

#[tokio::test]
async fn a_journal_without_mailboxes_is_not_a_moved_account() {
    let report = report(Plain::new()).await;
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Incomplete, 5));
    assert_eq!(status(&report, "S1"), Status::NotMet);
}

#[tokio::test]
async fn a_mailbox_that_was_not_listed_is_unknown_not_empty() {
    for change in [
        (|p| p.sightings.retain(|(_, s)| s.side != Side::Source)) as fn(&mut Plain),
        |p| p.note("left", Some(MailboxId(5)), "cannot be opened"),
        // Listed by an earlier run only.
        |p| {
            let mut run = p.runs[0].clone();
            run.id = crate::journal::RunId(2);
            p.runs.push(run);
        },
        // The listing shows a message that the journal does not know.
        |p| {
            p.sightings.iter_mut().for_each(|(_, s)| {
                if s.mailbox == MailboxId(4) {
                    s.uids = "1:118".into()
                }
            })
        },
        |p| _ = p.left_out("x", None, Decision::Refuse("cannot be opened".into())),
    ] {
        let mut plain = example::complete();
        change(&mut plain);
        let report = report(plain).await;
        assert!(report.outcome.unlisted_mailboxes > 0);
        assert_eq!((report.verdict(), report.exit_code()), (Verdict::Incomplete, 5));
        assert_eq!(status(&report, "S2"), Status::NotMet);
    }
}

#[tokio::test]
async fn why_a_mailbox_is_not_finished_stands_in_the_details_alone() {
    let mut plain = example::complete();
    plain.note("left", Some(MailboxId(5)), "“x” was not listed; --mailbox \"y\" moves what is left");
    let page = super::html::html(&report(plain).await);
    assert!(page.contains("is not finished</h3>"), "{page}");
    let outside: String =
        page.split("<details>").map(|part| part.rsplit("</details>").next().unwrap()).collect();
    assert!(page.contains("--mailbox") && !outside.contains("--mailbox"), "{outside}");
}

#[tokio::test]
async fn hidden_all_mail_has_a_card_and_nothing_is_said_of_trying_again() {
    let mut plain = example::complete();
    plain.note(HIDDEN_MAIL, None, HIDDEN);
    let report = report(plain).await;
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::CompleteWithExceptions, 3));
    let page = super::html::html(&report);
    assert!(page.contains("<h2>Needs you</h2>") && page.contains("Show in IMAP"), "{page}");
    assert!(!page.contains("--retry") && !page.contains("--repair"), "{page}");
}

#[tokio::test]
async fn mailboxes_that_the_old_server_cuts_are_told_in_words_and_have_a_card_of_their_own() {
    let mut plain = example::complete();
    plain.note(HIDDEN_MAIL, None, CUT);
    let report = report(plain).await;
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::CompleteWithExceptions, 3));
    let page = super::html::html(&report);
    assert!(page.contains("shows the newest messages alone") && !page.contains("All Mail"), "{page}");
    let beside = super::words::beside(&report).unwrap();
    assert!(beside.contains("older messages of folders") && !beside.contains("Gmail"), "{beside}");
}

#[tokio::test]
async fn a_verify_run_reports_on_the_listings_of_the_run_before_it() {
    let mut plain = example::complete();
    let mut run = plain.runs[0].clone();
    (run.id, run.verb) = (crate::journal::RunId(2), "verify".into());
    plain.runs.push(run);
    for (seen_in, sighting) in &mut plain.sightings {
        if sighting.side == Side::Target {
            *seen_in = crate::journal::RunId(2);
        }
    }
    let report = report(plain).await;
    assert_eq!((report.verdict(), report.times.run), (Verdict::Complete, 2));
}

#[tokio::test]
async fn what_the_latest_listing_of_the_target_lacks_is_not_called_complete() {
    let mut plain = example::complete();
    for (_, sighting) in plain.sightings.iter_mut().filter(|(_, s)| s.side == Side::Target) {
        if sighting.mailbox == MailboxId(1) {
            sighting.uids = "1:700,900:901".into();
        }
    }
    let report = report(plain).await;
    assert_eq!(report.outcome.missing_at_target, 112);
    assert_eq!(report.mailboxes[0].foreign_at_target, Some(2));
    let beside = report.beside_the_sum().concat();
    assert!(
        beside.contains("2 messages are in these folders of the new mailbox beside what was moved"),
        "{beside}"
    );
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Incomplete, 4));
    assert_eq!(status(&report, "S3"), Status::NotMet);
}

#[tokio::test]
async fn what_the_source_lost_after_the_copy_stays_verified_and_is_counted_beside_the_sum() {
    let mut plain = example::complete();
    for (_, sighting) in plain.sightings.iter_mut().filter(|(_, s)| s.side == Side::Source) {
        if sighting.mailbox == MailboxId(1) {
            sighting.uids = "1:800".into();
            sighting.facts.exists = 800;
        }
    }
    let report = report(plain).await;
    assert_eq!(report.mailboxes[0].deleted_at_source, 12);
    assert_eq!((report.totals.listed(), report.verdict()), (1204, Verdict::Complete));
}

#[tokio::test]
async fn flags_and_dates_count_only_where_nobody_was_told() {
    let mut plain = example::complete();
    let inbox = MailboxId(1);
    let read = |plain: &mut Plain, uid, change: fn(&mut crate::journal::ReadBack)| {
        change(plain.item(inbox, uid).read_back.as_mut().unwrap());
    };
    read(&mut plain, 1, |r| r.flags = Flags::from_octets("\\SEEN \\Recent"));
    read(&mut plain, 2, |r| r.internal_date = Some(InternalDate::from_octets("03-Mar-2020 11:11:12 +0100")));
    assert_eq!(report(plain.clone()).await.verdict(), Verdict::Complete, "the same set, the same instant");
    read(&mut plain, 1, |r| r.flags = Flags::default());
    read(&mut plain, 2, |r| r.internal_date = Some(InternalDate::from_octets("03-Mar-2020 11:11:12 +0000")));
    let told = report(plain.clone()).await;
    assert_eq!((told.differences.flags, told.differences.dates), (1, 1));
    assert_eq!((told.verdict(), told.exit_code()), (Verdict::CompleteWithExceptions, 3));
    assert_eq!(told.difference_examples.shown[0].what, ["flags: (\\Seen) sent, () read back"]);
    plain.note(FLAGS_ANNOUNCED, Some(inbox), "");
    assert_eq!(report(plain.clone()).await.exit_code(), 3, "the date was not announced");
    plain.note(DATES_ANNOUNCED, None, "");
    let announced = report(plain).await;
    assert_eq!((announced.exit_code(), announced.differences.flags), (0, 1));
}

#[tokio::test]
async fn the_manifest_has_a_line_for_each_message_and_its_hash_is_certified() {
    let folder = tempfile::tempdir().unwrap();
    let written = write(&example::exceptions().journal(), &run_facts(), folder.path()).await.unwrap();
    let manifest = read(folder.path(), MANIFEST);
    let lines: Vec<Value> = manifest.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len() as u64, written.report.totals.listed());
    let hash = crate::message::Digest(Sha256::digest(&manifest).into()).to_string();
    for file in [CERTIFICATE, REPORT_JSON, "certificate-1.json"] {
        assert_eq!(json(folder.path(), file)["manifest"]["sha256"], hash, "{file}");
    }
    let order: Vec<_> =
        lines.iter().map(|l| (l["source"]["mailbox"].clone(), l["source"]["uid"].as_i64())).collect();
    assert_eq!(order[0], (Value::from("INBOX"), Some(1)));
    assert!(order.windows(2).all(|w| w[0].0 != w[1].0 || w[0].1 < w[1].1));
    let again = tempfile::tempdir().unwrap();
    write(&example::exceptions().journal(), &run_facts(), again.path()).await.unwrap();
    assert_eq!(read(again.path(), MANIFEST), manifest, "the same journal gives the same octets");
    // Damaged on a later reading: the digest of the first reading must not pass for it.
    let damaged = lines.iter().find(|l| l["reason"]["kind"] == "damaged").unwrap();
    assert_eq!((&damaged["grade"], &damaged["target_sha256"]), (&Value::from("damaged"), &Value::Null));
}

#[tokio::test]
async fn a_manifest_line_has_the_shape_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    write(&example::complete().journal(), &run_facts(), folder.path()).await.unwrap();
    let first = read(folder.path(), MANIFEST).lines().next().unwrap().to_owned();
    let (digest, normal) = (example::fingerprint("1.1", 0).exact, example::fingerprint("1.1", 0).normal);
    assert_eq!(
        first,
        format!(
            r#"{{"source":{{"mailbox":"INBOX","uidvalidity":1600000000,"uid":1,"internaldate":"03-Mar-2020 10:11:12 +0000","size":9919,"flags":["\\Seen"]}},"sha256":"{digest}","normal_sha256":"{normal}","target":{{"mailbox":"INBOX","uidvalidity":1795000000,"uid":1}},"target_sha256":"{digest}","grade":"exact","state":"verified","origin":"appended"}}"#
        )
    );
}

#[tokio::test]
async fn report_json_has_the_shape_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    write(&example::exceptions().journal(), &run_facts(), folder.path()).await.unwrap();
    let report = json(folder.path(), REPORT_JSON);
    for key in [
        "mailhaul",
        "migration",
        "source",
        "target",
        "started",
        "ended",
        "verdict",
        "safe_to_close",
        "totals",
        "mailboxes",
        "exceptions",
        "doubts",
        "flag_differences",
        "date_differences",
        "timings",
    ] {
        assert!(!report[key].is_null(), "{key}");
    }
    assert_eq!(report["verdict"], "complete-with-exceptions");
    assert_eq!(report["safe_to_close"], "not_assessed");
    let inbox = &report["mailboxes"][0];
    let of = |key: &str| inbox[key].clone();
    assert_eq!(of("source_name"), "INBOX");
    assert_eq!(of("target_name"), "INBOX");
    assert_eq!(
        (of("source_uidvalidity"), of("target_uidvalidity")),
        (1_600_000_000.into(), 1_795_000_000.into())
    );
    assert_eq!(of("verified"), serde_json::json!({"exact": 808, "newline": 1, "semantic": 0}));
    assert_eq!((of("listed"), of("exceptions"), of("gone_at_target")), (812.into(), 2.into(), 1.into()));
    assert_eq!((of("pending"), of("stored"), of("already_there")), (0.into(), 0.into(), 0.into()));
    assert_eq!(report["mailboxes"][3]["excluded"], serde_json::json!({"since": 1}));
    assert_eq!(report["mailboxes"][6]["reason"].as_str().map(|r| r.contains("a//b")), Some(true));
    assert_eq!((&report["flag_differences"], &report["date_differences"]), (&1.into(), &0.into()));
    assert_eq!(report["exceptions"].as_array().map(Vec::len), Some(3));
    let totals = &report["totals"];
    let plain: u64 = [
        "stored",
        "already_there",
        "merged",
        "gone_at_source",
        "gone_at_target",
        "moved_at_target",
        "exceptions",
        "pending",
    ]
    .iter()
    .map(|k| totals[k].as_u64().unwrap())
    .sum();
    let mapped: u64 = ["verified", "excluded"]
        .iter()
        .flat_map(|k| totals[k].as_object().unwrap().values())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(totals["listed"].as_u64(), Some(plain + mapped), "the sum closes in the file, too");
}

/// Every path of keys, with `[]` for the entries of an array.
fn key_paths(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            key_paths(inner, &path, paths);
        }),
        Value::Array(list) if !list.is_empty() => {
            list.iter().for_each(|inner| key_paths(inner, &format!("{path}[]"), paths));
        }
        _ => _ = paths.insert(path.to_owned()),
    }
}

/// Scripts rely on these names: add, do not rename.
#[tokio::test]
async fn no_key_of_the_json_files_goes_missing() {
    let folder = tempfile::tempdir().unwrap();
    write(&example::exceptions().journal(), &run_facts(), folder.path()).await.unwrap();
    let mut paths = BTreeSet::new();
    for file in [REPORT_JSON, CERTIFICATE] {
        key_paths(&json(folder.path(), file), file, &mut paths);
    }
    let lines: String = paths.iter().map(|path| format!("{path}\n")).collect();
    assert_eq!(lines, include_str!("json_keys.txt"));
}

#[tokio::test]
async fn the_certificate_says_what_held_and_what_it_does_not_cover() {
    let folder = tempfile::tempdir().unwrap();
    write(&example::complete().journal(), &run_facts(), folder.path()).await.unwrap();
    let certificate = json(folder.path(), CERTIFICATE);
    let statement = certificate["statement"].as_str().unwrap();
    assert!(statement.starts_with("As of the listings taken between 2026-11-24T"), "{statement}");
    assert!(
        statement.contains("every message then visible over IMAP in the listed mailboxes"),
        "{statement}"
    );
    assert!(statement.contains("1,203 read back from the new account"), "{statement}");
    assert_eq!(certificate["safe_to_close"], "not_assessed");
    assert_eq!(certificate["not_covered"].as_array().map(Vec::len), Some(7));
    assert_eq!(certificate["settle_ms"], 10_000);
    let held: Vec<_> =
        certificate["conditions"].as_array().unwrap().iter().map(|c| c["status"].clone()).collect();
    assert_eq!(held, ["met", "met", "met", "met", "not_assessed", "not_assessed", "met"]);
    for (plain, says) in
        [(example::incomplete(), "Nothing is certified yet"), (example::failed(), "Nothing is certified:")]
    {
        let report = report(plain).await;
        assert!(words::statement(&report).starts_with(says));
    }
    assert_eq!(status(&report(example::exceptions()).await, "S4"), Status::MetWithDoubts);
}

#[tokio::test]
async fn names_and_words_of_servers_stay_text_in_the_page() {
    let mut plain = example::exceptions();
    let evil = "<script>alert(1)</script>\"'&\u{202e}\u{1b}[2J";
    plain.mailbox(evil, "<img src=x onerror=alert(1)>", 2);
    plain.left_out("<b>left</b>", Some(1), Decision::Exclude("<i>rule</i>".into()));
    plain.left_out("<u>no</u>", None, Decision::Refuse("<s>why</s>".into()));
    plain.note("doubt:<x>", None, "<y onclick=z>");
    let mut facts = run_facts();
    facts.source.product = "</style><script>".into();
    facts.danger = vec!["<danger>".into()];
    let report = collect(&plain.journal(), &facts).await.unwrap();
    let page = super::html::html(&report);
    for tag in
        ["<script", "<img", "<b>left", "<i>", "<u>", "<s>", "<y", "<x", "<danger", "\u{202e}", "\u{1b}"]
    {
        assert!(!page.contains(tag), "{tag}");
    }
    assert_eq!(page.matches("<style").count(), 1);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}[2J"));
    assert!(!page.contains(" style=") && !page.contains("http://") && !page.contains("https://"));
    let lines = report.summary_lines(None).join("\n");
    assert!(!lines.contains(['\u{1b}', '\u{202e}']));
}

#[tokio::test]
async fn every_tag_of_the_page_is_closed() {
    for plain in
        [example::complete(), example::exceptions(), example::incomplete(), example::failed(), Plain::new()]
    {
        let page = super::html::html(&report(plain).await);
        let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
        let mut open: Vec<&str> = Vec::new();
        for tag in body.split('<').skip(1).map(|t| &t[..t.find('>').unwrap()]) {
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            match tag.starts_with('/') {
                true => assert_eq!(open.pop(), Some(name), "in <{tag}>"),
                false if tag.ends_with('/') => {}
                false => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}

#[tokio::test]
async fn a_report_with_nothing_new_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("deep/report");
    let first = write(&example::complete().journal(), &run_facts(), &place).await.unwrap();
    assert!(first.changed);
    let state = || -> Vec<(String, Vec<u8>, SystemTime)> {
        let mut files: Vec<_> = std::fs::read_dir(&place)
            .unwrap()
            .map(|f| f.unwrap())
            .map(|f| {
                let modified = f.metadata().unwrap().modified().unwrap();
                (f.file_name().into_string().unwrap(), std::fs::read(f.path()).unwrap(), modified)
            })
            .collect();
        files.sort();
        files
    };
    let before = state();
    let names: Vec<&str> = before.iter().map(|(name, ..)| name.as_str()).collect();
    let signed = [CERTIFICATE, "certificate.json.pem", "certificate.json.sig"];
    let kept = signed.map(|name| name.replace("certificate", "certificate-1"));
    let others = [MANIFEST, REPORT_HTML, REPORT_JSON].map(str::to_owned);
    assert_eq!(names, [&kept[..], &signed.map(str::to_owned), &others].concat());
    // A second run that found nothing new: another run, other times, no commit measured.
    let mut later = example::complete();
    let mut run = later.runs[0].clone();
    run.id = crate::journal::RunId(2);
    run.started = SystemTime::UNIX_EPOCH;
    later.runs.push(run);
    later.sightings.iter_mut().for_each(|(seen_in, _)| *seen_in = crate::journal::RunId(2));
    let facts = Facts { settle: None, timings: vec![], ..run_facts() };
    let second = write(&later.clone().journal(), &facts, &place).await.unwrap();
    assert!(!second.changed);
    assert_eq!(state(), before);
    // One flag is news, and so is a file that somebody changed.
    later.item(MailboxId(1), 3).flags = Flags::default();
    assert!(write(&later.clone().journal(), &facts, &place).await.unwrap().changed);
    assert!(place.join("certificate-2.json").exists());
    for file in [MANIFEST, "certificate.json.sig", "certificate.json.pem"] {
        std::fs::write(place.join(file), "x").unwrap();
        assert!(write(&later.clone().journal(), &facts, &place).await.unwrap().changed, "{file}");
    }
    assert!(!write(&later.journal(), &facts, &place).await.unwrap().changed);
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("report");
    write(&example::complete().journal(), &run_facts(), &place).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    for file in std::fs::read_dir(&place).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn a_saved_original_is_linked() {
    let folder = tempfile::tempdir().unwrap();
    let plain = example::exceptions();
    let item = plain.items.iter().find(|i| i.id.mailbox == MailboxId(1) && i.id.key == Key(77)).unwrap().id;
    let path = exception_path(&folder.path().join(EXCEPTIONS_FOLDER), "INBOX", item);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "x").unwrap();
    let written = write(&plain.journal(), &run_facts(), folder.path()).await.unwrap();
    let files: Vec<_> = written.report.exceptions.shown.iter().map(|e| e.file.as_deref()).collect();
    assert_eq!(files, [Some("exceptions/INBOX_77-m1-e1.eml"), None, None]);
    assert!(read(folder.path(), REPORT_HTML).contains("href=\"exceptions/INBOX_77-m1-e1.eml\""));
}

#[tokio::test]
async fn a_journal_that_pages_in_circles_is_refused() {
    let mut plain = example::complete();
    plain.items.swap(3, 4);
    let error = collect(&plain.journal(), &run_facts()).await.unwrap_err();
    assert_eq!(exit_code_of(&error), 10, "{error}");
}

#[tokio::test]
async fn the_summary_names_the_sum_and_what_needs_a_person() {
    let lines =
        report(example::exceptions()).await.summary_lines(Some(Path::new("/r/report.html"))).join("\n");
    for said in [
        "1,204  messages listed",
        "0  unaccounted for",
        "Needs you:",
        "UID 77: NO Message contains",
        "Report: /r/report.html",
    ] {
        assert!(lines.contains(said), "{said} in\n{lines}");
    }
}

#[tokio::test]
async fn a_mailbox_of_many_pages_is_walked_whole() {
    let mut plain = Plain::new();
    plain.mailbox("INBOX", "INBOX", 2500);
    let report = report(plain).await;
    assert_eq!((report.totals.listed(), report.manifest.lines, report.exit_code()), (2500, 2500, 0));
}

#[tokio::test]
async fn a_manifest_of_which_only_a_part_is_new_becomes_what_one_that_is_all_new_would_be() {
    let mut plain = Plain::new();
    plain.mailbox("INBOX", "INBOX", 2500);
    let (folder, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&plain.clone().journal(), &run_facts(), folder.path()).await.unwrap();
    let whole = read(folder.path(), MANIFEST);
    for key in [1, 1200, 2500] {
        plain.item(MailboxId(1), key).flags = Flags::from_octets("$new");
        write(&plain.clone().journal(), &run_facts(), folder.path()).await.unwrap();
        let written = write(&plain.clone().journal(), &run_facts(), fresh.path()).await.unwrap();
        assert!(written.changed, "{key}");
        let manifest = read(folder.path(), MANIFEST);
        assert_ne!(manifest, whole, "{key}");
        assert_eq!(manifest, read(fresh.path(), MANIFEST), "{key}");
    }
    let right = read(folder.path(), MANIFEST);
    for wrong in ["", &right[..right.len() / 2], &right[..right.len() - 1], &format!("{right}x")] {
        std::fs::write(folder.path().join(MANIFEST), wrong).unwrap();
        assert!(write(&plain.clone().journal(), &run_facts(), folder.path()).await.unwrap().changed);
        assert_eq!(read(folder.path(), MANIFEST), right);
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        std::fs::read_dir(fresh.path()).unwrap().count()
    );
}

#[tokio::test]
async fn a_manifest_that_says_the_same_is_not_written_again_where_the_report_says_more() {
    let folder = tempfile::tempdir().unwrap();
    let plain = example::complete();
    write(&plain.clone().journal(), &run_facts(), folder.path()).await.unwrap();
    let written = || folder.path().join(MANIFEST).metadata().unwrap().modified().unwrap();
    let before = written();
    let facts = Facts { danger: vec!["--tls-accept-invalid".into()], ..run_facts() };
    assert!(write(&plain.journal(), &facts, folder.path()).await.unwrap().changed);
    assert_eq!(written(), before);
}

#[tokio::test]
async fn a_place_of_another_epoch_is_not_in_the_listing() {
    let mut plain = example::complete();
    let item = plain.item(MailboxId(4), 1);
    item.place = item.place.map(|p| Place { epoch: crate::journal::EpochId(99), ..p });
    assert_eq!(report(plain).await.outcome.missing_at_target, 1);
}
