//! The secrets of these tests, and the search for them in all that a run leaves.

use crate::accounts::{FROM_PASSWORD, Pair, Ran, TO_PASSWORD, files};
use std::path::{Path, PathBuf};

pub const TOKEN: &str = "ya29.loquat-3358-token";
pub const REFRESH: &str = "bullace-7706-refresh";
pub const ADMIN_PASSWORD: &str = "sorb-4417-admin";
/// All that must stand nowhere: what is written here, and what the issuer of the testkit gives and takes.
pub const ALL: [&str; 11] = [
    FROM_PASSWORD,
    TO_PASSWORD,
    TOKEN,
    REFRESH,
    ADMIN_PASSWORD,
    mailhaul_testkit::issuer::SECRET,
    "plum-8843",
    "sloe-2907",
    "whitebeam-8841-refresh",
    "ya29.rowan-5512-token",
    "wrong-7431",
];

/// Fails if a secret is in what was said, or in a file of the pair's folder.
#[track_caller]
pub fn assert_no_secret(pair: &Pair, ran: &Ran) {
    assert_none_said(&ran.said());
    assert_none_in(pair.folder.path());
}

/// Fails if a secret is in what was said.
#[track_caller]
pub fn assert_none_said(said: &str) {
    let found = first_in(said.as_bytes());
    assert!(found.is_none(), "{found:?} was said: {said}");
}

/// Fails if a secret is in a file of a folder.
#[track_caller]
pub fn assert_none_in(folder: &Path) {
    let found = first_below(folder);
    assert!(found.is_none(), "{found:?}");
}

fn first_in(octets: &[u8]) -> Option<&'static str> {
    ALL.into_iter().find(|secret| holds(octets, secret))
}

/// A secret in a file of a folder, and the file. These may hold one: what was given by the test (`given`, and below `secrets`), and the
/// file that a refresh token is kept in.
fn first_below(folder: &Path) -> Option<(&'static str, PathBuf)> {
    let is_given = |file: &Path| file.ends_with("given") || file.iter().any(|part| part == "secrets");
    let may = |file: &Path| is_given(file) || file.extension().is_some_and(|end| end == "token");
    let read = |file: PathBuf| Some((first_in(&std::fs::read(&file).unwrap_or_default())?, file));
    files(folder).into_iter().filter(|file| !may(file)).find_map(read)
}

#[test]
fn what_a_run_leaves_is_searched_and_a_secret_in_it_is_found() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    for allowed in ["given", "journal.from.token", "secrets/ann"] {
        std::fs::write(folder.path().join(allowed), TOKEN).unwrap();
    }
    assert_eq!(first_below(folder.path()), None);
    let log = folder.path().join("log");
    std::fs::write(&log, format!("line\n{REFRESH}\n")).unwrap();
    assert_eq!(first_below(folder.path()), Some((REFRESH, log)));
    assert_eq!(first_in(b"x AGFubgBxdWluY2UtNzQzMS1zb3VyY2U= y"), Some(FROM_PASSWORD));
    let known = std::fs::read_to_string("../testkit/data/secrets.txt").unwrap();
    assert!(ALL.iter().all(|secret| known.lines().any(|line| line == *secret)), "CI looks for each of them");
}

/// Whether octets hold a secret, as it is or in base64 at any offset.
pub fn holds(octets: &[u8], secret: &str) -> bool {
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
