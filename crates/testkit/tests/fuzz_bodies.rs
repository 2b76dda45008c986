//! The fuzz bodies over their kept corpora and over seeded inputs made of them.
//!
//! More inputs than CI's by `MAILHAUL_FUZZ_INPUTS`; the command for cargo-fuzz is in docs/testing.md.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

use mailhaul_testkit::corpus::Random;
use mailhaul_testkit::fuzz::{BODIES, Body, input};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Words that matter to a body, put into its inputs.
const WORDS: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"* ",
    b"+ ",
    b"A1 OK x\r\n",
    b"A3 NO [x] y\r\n",
    b"BODY[] ",
    b"{3}\r\n",
    b"{0}\r\n",
    b"{18446744073709551616}\r\n",
    b"{200}\r\n",
    b"NIL",
    b"FETCH (",
    b"UID 4294967296",
    b"\"",
    b"\\",
    b"&",
    b"-",
    b"imaps://",
    b"@",
    b":",
    b"%",
    b"[::1]",
    b"/",
];

fn kept(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn body(name: &str) -> Body {
    BODIES.iter().find(|(known, _)| *known == name).unwrap().1
}

/// Runs the kept inputs, and `inputs` made of them.
fn holds(name: &str, inputs: u64) {
    let (kept, body) = (kept(name), body(name));
    assert!(kept.len() > 3, "a corpus of {} inputs", kept.len());
    kept.iter().for_each(|octets| body(octets));
    let asked = std::env::var("MAILHAUL_FUZZ_INPUTS").ok().map(|count| count.parse().unwrap());
    for seed in 0..asked.unwrap_or(inputs) {
        let octets = input(&mut Random::new(seed), &kept, &WORDS);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&octets))) {
            eprintln!("{name}, seed {seed}: {:?}", String::from_utf8_lossy(&octets));
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn any_split_of_a_connection_gives_the_same_events_within_the_limits() {
    holds("framing", 3_000);
}

#[test]
fn responses_are_understood_as_imap_codec_understands_them() {
    holds("responses", 10_000);
}

#[test]
fn mailbox_names_come_back_as_they_went() {
    holds("names", 10_000);
}

#[test]
fn what_a_server_says_comes_out_of_the_journal_as_it_went_in() {
    holds("journal", 40);
}

#[test]
fn accounts_as_written_print_back_and_no_error_tells_a_password() {
    holds("accounts", 20_000);
}

#[test]
fn every_body_has_a_target_and_a_corpus() {
    for (name, _) in BODIES {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fuzz/fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(&target).unwrap_or_else(|e| panic!("{}: {e}", target.display()));
        assert!(text.contains(&format!("fuzz::{name}")), "{text}");
        assert!(!kept(name).is_empty());
    }
}
