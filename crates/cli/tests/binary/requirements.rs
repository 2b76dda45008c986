//! `check` in prepared situations: the verdict, the exit code, and the words, which are those of `check.txt`.
//!
//!     MAILHAUL_WRITE_PAGES=1 cargo test -p mailhaul --test binary requirements

use crate::accounts::{FROM_PASSWORD, Pair, Ran, TO_PASSWORD, USER, program, ran};
use mailhaul_sandbox::{Fault, Planned, Profile, Trigger};
use mailhaul_testkit::web::{Authority, Valid, imap_tls};
use std::fmt::Write;
use std::path::Path;

/// What nothing that only looks may send.
const CHANGES: [&str; 8] =
    ["APPEND", "CREATE", "STORE", "EXPUNGE", "SELECT", "SUBSCRIBE", "DELETE", "RENAME"];

struct Situation {
    name: &'static str,
    verdict: &'static str,
    exit: i32,
    prepare: fn(&Pair),
    options: &'static [&'static str],
}

const fn situation(name: &'static str, verdict: &'static str, exit: i32, prepare: fn(&Pair)) -> Situation {
    Situation { name, verdict, exit, prepare, options: &[] }
}

const SITUATIONS: [Situation; 11] = [
    situation("nothing in the way", "ready", 0, |_| {}),
    situation("a full quota", "not-ready", 14, |pair| pair.new.set(|p| p.quota_octets = Some(1024))),
    situation("a small APPENDLIMIT", "not-ready", 2, |pair| {
        pair.new.set(|p| p.append_limit = Some(150));
    }),
    situation("a read-only target", "not-ready", 1, |pair| pair.new.set(|p| p.rights = vec![("*", "lr")])),
    situation("missing rights", "not-ready", 1, |pair| {
        pair.old.set(|p| p.rights = vec![("Work", "l"), ("*", "lrswipkxtea")]);
        pair.new.create(USER, "Work", None, true);
        pair.new.set(|p| p.rights = vec![("Work", "lrsw"), ("*", "lrswipkxtea")]);
    }),
    situation("IMAP switched off", "not-ready", 12, |pair| {
        pair.old.set(|p| p.refuse_logins = Some("[ALERT] Your account is not enabled for IMAP use.".into()));
    }),
    situation("a throttled login", "not-ready", 13, |pair| {
        let words = "[UNAVAILABLE] Request is throttled. Suggested Backoff Time: 299997 milliseconds";
        pair.old.set(|p| p.refuse_logins = Some(words.into()));
    }),
    situation("a throttled survey", "not-ready", 13, |pair| {
        let fault = Fault::Answer("NO [THROTTLED] slowly".into());
        pair.new.plan(Planned::once(Trigger::Verb("LIST", 1), fault));
    }),
    Situation {
        name: "the 11th connection is refused",
        verdict: "ready-with-remarks",
        exit: 0,
        prepare: |pair| pair.old.set(|p| p.connections_max = Some(10)),
        options: &["--connections", "11"],
    },
    situation("an empty LIST", "not-ready", 13, |pair| pair.old.set(|p| p.lists_nothing = true)),
    situation("a wrong password", "not-ready", 12, |pair| pair.new.add_user(USER, "another")),
];

/// Both servers of this test, and nothing of this run: ports and temporary folders change.
fn timeless(text: &str, pair: &Pair) -> String {
    let ports = [(pair.from.address, "127.0.0.1:OLD"), (pair.to.address, "127.0.0.1:NEW")];
    let named = ports.iter().fold(text.to_owned(), |t, (at, name)| t.replace(&at.to_string(), name));
    named.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

async fn pair() -> Pair {
    Pair::filled(Profile::default(), 40).await
}

#[track_caller]
fn assert_nothing_changed(pair: &Pair, name: &str) {
    for server in [&pair.old, &pair.new] {
        let commands = server.counters().commands;
        assert!(CHANGES.iter().all(|verb| !commands.contains_key(*verb)), "{name}: {commands:?}");
    }
    assert!(!pair.journal().exists(), "{name}: a check keeps no journal");
}

fn verdict(ran: &Ran) -> (serde_json::Value, String) {
    let document: serde_json::Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:#?}"));
    let verdict = document["verdict"].as_str().unwrap_or_default().to_owned();
    (document, verdict)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_says_in_each_situation_what_is_in_the_way_and_what_to_do() {
    let mut page = String::new();
    for Situation { name, verdict: expected, exit, prepare, options } in SITUATIONS {
        // Anew for each of the two runs: some situations pass.
        let (first, second) = (pair().await, pair().await);
        prepare(&first);
        prepare(&second);
        let said = first.run("check", options).await.expect(exit);
        assert_nothing_changed(&first, name);
        let _ = writeln!(page, "== {name}: exit {exit}\n\n{}", timeless(&said.stdout, &first));
        let json = [options, &["--json"]].concat();
        let (document, verdict) = verdict(&second.run("check", &json).await.expect(exit));
        assert_eq!((verdict.as_str(), &document["exit"]), (expected, &serde_json::json!(exit)), "{name}");
        let remarks = document["remarks"].as_array().unwrap();
        assert_eq!(remarks.is_empty(), expected == "ready", "{name}: {remarks:?}");
        for side in ["source", "target"] {
            // Also where the other one did not let us in.
            let looked = document[side]["logged_in"] == document[side]["messages"].is_u64();
            let survey_failed = name == "a throttled survey" || name == "an empty LIST";
            assert!(looked || survey_failed, "{name}: {side}: {}", document[side]);
        }
        let heavy = remarks.iter().filter(|r| r["weight"] == "blocks");
        assert!(
            heavy.clone().all(|r| r["next"].as_str().is_some_and(|n| !n.is_empty())),
            "{name}: {remarks:?}"
        );
    }
    compare("check.txt", &page);
}

fn compare(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/binary").join(name);
    if std::env::var_os("MAILHAUL_WRITE_PAGES").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = known.lines().zip(page.lines()).find(|(a, b)| a != b);
    assert!(known == page, "{name} says otherwise; see the top of requirements.rs. {differs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_login_is_one_try_also_for_check() {
    let pair = pair().await;
    pair.new.add_user(USER, "another");
    pair.run("check", &[]).await.expect(12);
    assert_eq!((pair.new.counters().refused_logins, pair.new.counters().logins), (1, 0));
}

/// Days are days of whoever runs this, and fingerprints are of certificates that were made for it.
fn dateless(text: &str) -> String {
    let is_date = |word: &str| {
        word.len() == 10
            && word
                .bytes()
                .enumerate()
                .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() })
    };
    let word = |word: &str| match word.trim_end_matches([',', ';']) {
        plain if is_date(plain) => word.replace(plain, "DATE"),
        plain if plain.len() == 64 => word.replace(plain, "FINGERPRINT"),
        _ => word.to_owned(),
    };
    let shown = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(|line| shown(line) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_the_certificate_is_told_and_one_that_ends_soon_or_has_ended_is_a_remark() {
    let mut page = String::new();
    let authority = Authority::new().unwrap();
    for (name, valid, expected, exit) in [
        ("a good certificate", Valid::Now, "ready", 0),
        ("a certificate that ends in 5 days", Valid::Days(5), "ready-with-remarks", 0),
        ("an expired certificate", Valid::Until2020, "not-ready", 13),
    ] {
        let pair = pair().await;
        let at =
            imap_tls(pair.old.clone(), authority.acceptor(&["localhost"], valid).unwrap()).await.unwrap();
        let to = format!("imap+insecure://{USER}@{}", pair.to.address);
        let from = format!("imaps://{USER}@localhost:{}", at.address.port());
        let check = |form: &[&str]| {
            let mut command = program(&["check", "--from", &from, "--to", &to, "--ca-file"]);
            command.arg(authority.file()).arg("--journal").arg(pair.journal()).args(form);
            command.env("MAILHAUL_FROM_PASSWORD", FROM_PASSWORD).env("MAILHAUL_TO_PASSWORD", TO_PASSWORD);
            command
        };
        let said = ran(&mut check(&[])).await.expect(exit);
        let said = dateless(&timeless(&said.stdout, &pair)).replace(&at.address.port().to_string(), "OLD");
        let _ = writeln!(page, "== {name}: exit {exit}\n\n{said}");
        let (document, verdict) = verdict(&ran(&mut check(&["--json"])).await.expect(exit));
        assert_eq!(verdict, expected, "{name}");
        assert!(
            document["target"]["logged_in"].as_bool().unwrap(),
            "{name}: the other side is told all the same"
        );
        assert_eq!(
            pair.old.counters().logins == 0,
            exit != 0,
            "{name}: nobody logs in where it is not trusted"
        );
    }
    compare("check-tls.txt", &page);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_pass_in_a_day_makes_the_forecast() {
    let pair = pair().await;
    let ran = pair.run("check", &["--json", "--to-daily", "1K"]).await.expect(0);
    let (document, _) = verdict(&ran);
    let (day, octets) = (&document["forecast"]["days"][0], document["sizes"]["octets"].as_u64().unwrap());
    assert_eq!((day["side"].as_str(), day["octets_per_day"].as_u64()), (Some("target"), Some(1024)));
    // The first day's worth goes at once.
    let least = (octets / 1024 - 1) * 86_400;
    assert!(day["seconds_at_least"].as_u64().unwrap() >= least, "{day}, {octets} octets");
    let said = pair.run("check", &["--to-daily", "1K"]).await.expect(0);
    said.says("since 1024 bytes may pass in a day to the new server");
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_needed_for_what_is_still_to_be_moved_and_no_more() {
    let pair = Pair::filled(Profile::default(), 30).await;
    pair.run("migrate", &[]).await.expect(0);
    let used: u64 = pair.moved().iter().map(|(_, octets)| octets.len() as u64).sum();
    pair.new.set(|p| p.quota_octets = Some(used + 5_000));
    pair.deliver("INBOX", "From: a@b.example\r\n\r\none more\r\n");
    pair.run("check", &[]).await.expect(0);
    // Nothing moved yet, and what is old stays behind by choice.
    let pair = Pair::filled(Profile::default(), 30).await;
    pair.new.set(|p| p.quota_octets = Some(100));
    pair.run("check", &[]).await.expect(14).says("at least");
    pair.run("check", &["--since", "2099-01-01"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_is_shown_kept_and_leaves_the_new_account_as_it_was() {
    let pair = pair().await;
    pair.new.set(|p| {
        p.refuse_nul = true;
        p.keeps_flag = Some(|flag| flag != "$Forwarded");
    });
    let before = pair.new.snapshot(USER);
    pair.old
        .deliver(USER, "INBOX", "Subject: x\r\n\r\nx\r\n", "$Forwarded", "03-Mar-2020 10:11:12 +0100")
        .unwrap();
    let said = pair.run("check", &["--probe"]).await.expect(0);
    let said = said.says("as probed on").says("NUL: refused (NO Message contains NUL characters)");
    said.says("1 message has flags or keywords that the new server does not keep")
        .says("Ready, with remarks");
    assert_eq!(pair.new.snapshot(USER), before);
    assert!(pair.journal().exists());
    let appends = pair.appends();
    assert!(appends > 0);
    // Later, without the option, it is known and nothing is sent.
    let json = pair.run("check", &["--json"]).await.expect(0);
    let (document, _) = verdict(&json);
    assert_eq!(document["profile"]["nul"]["is"], "refused");
    assert_eq!(document["profile"]["used"], true);
    assert_eq!(document["sizes"]["lossy_flags_messages"], 1);
    pair.run("plan", &[])
        .await
        .expect(0)
        .says("as probed on")
        .says("Cannot go as it is:")
        .says("NUL (how many");
    assert_eq!(pair.appends(), appends);
    // The mail moves and is proven as without a probe; the next check knows the profile still.
    pair.run("migrate", &[]).await;
    pair.run("check", &[]).await.says("as probed on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_is_not_allowed_is_one_remark_and_no_failure() {
    let pair = pair().await;
    pair.new.create(USER, "Work", None, true);
    pair.new.create(USER, "Work/Entw&APw-rfe", None, true);
    pair.new.set(|p| p.rights = vec![("*", "lrswi")]);
    let before = pair.new.snapshot(USER);
    let said = pair.run("check", &["--probe"]).await.expect(0);
    let said = said.says("it was not probed, so that nothing is known of what it changes");
    assert_eq!(said.stdout.matches("probe").count(), 1, "{said:#?}");
    assert_eq!(pair.new.snapshot(USER), before);
}
