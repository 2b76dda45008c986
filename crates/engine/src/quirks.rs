//! What servers mean by their refusals, what to do about it, and what is known of them beyond their announcements.
//!
//! Codes are trusted before texts, but for those that say little; texts are matched in lower case, one row for each
//! spelling, with where it was seen (`quirks/texts.tsv`). What follows from a meaning is [`remedy`]. Servers are
//! recognised by what they say ([`family`]), and the engine asks their entry for what it means, never for a name.

pub mod body;
pub mod family;
mod remedy;
mod texts;

pub use remedy::{Case, Doing, Pause, Remedy, halves, is_passing, patience, remedy};
pub use texts::{CLASSES, CODES, CodeRow, Seen, TextRow, texts};

use crate::alerts::SAID_BEFORE;
use crate::error::{EndError, Refusal, RefusalClass};
use mailhaul_imap::{Status, StatusText};
use std::time::Duration;

/// A tagged NO or BAD with its meaning.
pub fn refusal(status: Status, text: &StatusText) -> Refusal {
    let code = text.code.as_ref().map(|c| c.name().to_owned());
    let words = text.display_text();
    let bad = status == Status::Bad;
    Refusal { class: classify(bad, code.as_deref(), &words), bad, code, text: words }
}

/// What a server says with BYE (RFC 9051, 7.1.5), with the code in brackets: it may say more than the words.
pub fn last_words(text: &StatusText) -> String {
    let words = text.display_text();
    match &text.code {
        Some(code) => format!("BYE [{}] {words}", code.name()),
        None => format!("BYE {words}"),
    }
}

/// What the last words of a connection mean, as [`last_words`] writes them, also behind what was being done.
pub fn class_of_last_words(what: &str) -> RefusalClass {
    let what = what.split_once(SAID_BEFORE).map_or(what, |(what, _)| what);
    let words = what.split_once("BYE ").map_or(what, |(_, words)| words);
    match words.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((code, words)) => classify(false, Some(code), words),
        None => classify(false, None, words),
    }
}

/// True when a server says that it is asked for too much at once: as a refusal, or as the last words of a connection.
pub fn asks_for_less(error: &EndError) -> bool {
    match error {
        EndError::Lost { what, .. } => halves(class_of_last_words(what)),
        EndError::Refused { refusal, .. } => halves(refusal.class),
        _ => false,
    }
}

/// Who says such a thing, where its words are known to be of one family: for a server that refuses before it says who
/// it is.
pub fn spoken_by(words: &str) -> Option<&'static str> {
    let family = texts::row(&words.to_ascii_lowercase())?.family;
    family::FAMILIES.iter().find(|f| f.word == family).map(|f| f.name)
}

/// What a refusal means.
pub fn classify(bad: bool, code: Option<&str>, text: &str) -> RefusalClass {
    let lower = text.to_ascii_lowercase();
    let coded = code.and_then(|c| CODES.iter().find(|row| row.name == c));
    if let Some(row) = coded.filter(|row| !row.vague) {
        return row.class;
    }
    let spelled = texts::row(&lower).map(|row| row.class);
    if spelled == Some(RefusalClass::Login) {
        // Whoever names a time after a wrong password speaks of a lock, not of a retry.
        return RefusalClass::Login;
    }
    if let Some(wait) = named_wait(&lower) {
        return RefusalClass::Throttled(Some(wait));
    }
    let unknown = if bad { RefusalClass::Syntax } else { RefusalClass::Unknown };
    spelled.or(coded.map(|row| row.class)).unwrap_or(unknown)
}

/// Words before a time that a server asks to wait, and its unit where none is written.
///
/// QUIRK: Exchange Online: "Suggested Backoff Time: 299961 milliseconds", as NO or BAD [T imapsync#272, #198,
/// imap_tools#135]. The others are not documented of an IMAP server; what a server that is not known asks for in plain
/// words is done, too.
const WAITS: &[&str] =
    &["backoff time:", "retry after", "retry-after:", "retry in", "try again in", "try again after", "wait"];

/// Units in milliseconds.
const UNITS: &[(&str, u64)] = &[
    ("milliseconds", 1),
    ("millisecond", 1),
    ("msec", 1),
    ("ms", 1),
    ("seconds", 1000),
    ("second", 1000),
    ("sec", 1000),
    ("s", 1000),
    ("minutes", 60_000),
    ("minute", 60_000),
    ("min", 60_000),
    ("hours", 3_600_000),
    ("hour", 3_600_000),
];

/// How long a server asks to wait, in the words of its refusal.
fn named_wait(lower: &str) -> Option<Duration> {
    WAITS.iter().find_map(|words| {
        let rest = lower.split_once(words)?.1.trim_start();
        let rest = rest.strip_prefix("for ").unwrap_or(rest);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let unit: String =
            rest[digits.len()..].trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
        let unit_ms = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms)?;
        digits.parse::<u64>().ok()?.checked_mul(unit_ms).map(Duration::from_millis)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use RefusalClass as C;

    fn lost(what: &str) -> EndError {
        EndError::Lost { server: "h:1".into(), doing: "FETCH", what: what.into() }
    }

    #[test]
    fn a_connection_that_ends_with_the_words_of_throttling_asks_for_less() {
        assert!(asks_for_less(&lost("BYE Too many simultaneous connections. (Failure)")));
        assert!(asks_for_less(&lost("BYE UID FETCH Rate limit hit")));
        assert!(!asks_for_less(&lost("BYE the server is restarted")));
        assert!(!asks_for_less(&lost("end of the connection")));
    }

    #[test]
    fn the_code_of_a_bye_is_heard_whatever_its_words() {
        let text = StatusText::parse(&bytes::Bytes::from_static(b"[LIMIT] come back later"));
        assert_eq!(last_words(&text), "BYE [LIMIT] come back later");
        assert!(asks_for_less(&lost(&last_words(&text))));
        assert_eq!(lost(&last_words(&text)).asks_for_patience(), Some(Pause::BackOff));
        let told = lost(&last_words(&text)).to_string();
        assert_eq!(class_of_last_words(&told), C::Throttled(None), "{told}");
        let named = "BYE Request is throttled. Suggested Backoff Time: 7000 milliseconds";
        assert_eq!(lost(named).asks_for_patience(), Some(Pause::Named(Duration::from_secs(7))));
        assert_eq!(lost("BYE [UNAVAILABLE] back soon").asks_for_patience(), None, "connected again as ever");
    }

    #[test]
    fn a_wait_is_understood_in_every_spelling() {
        for (text, seconds) in [
            ("Request is throttled. Suggested Backoff Time: 299961 milliseconds", Some(299.961)),
            ("Too fast, try again in 5 minutes", Some(300.0)),
            ("Please wait 30 seconds", Some(30.0)),
            ("please wait for 2 hours", Some(7200.0)),
            ("Busy. Retry after 90s.", Some(90.0)),
            ("try again after 1 min", Some(60.0)),
            ("try again in a while", None),
            ("Suggested Backoff Time: milliseconds", None),
            ("wait 5", None),
            ("retry after 99999999999999999999 seconds", None),
            ("retry after 9999999999999999999 hours", None),
        ] {
            let wait = seconds.map(Duration::from_secs_f64);
            let class = if wait.is_some() { C::Throttled(wait) } else { classify(false, None, text) };
            assert_eq!(classify(false, None, text), class, "{text}");
            assert_eq!(named_wait(&text.to_ascii_lowercase()), wait, "{text}");
        }
    }

    #[test]
    fn a_wrong_password_is_never_a_wait() {
        for (code, text) in [
            (Some("AUTHENTICATIONFAILED"), "Try again in 5 minutes"),
            (None, "Login failed. Try again in 10 minutes"),
            (None, "LOGIN failed."),
            (None, "User is authenticated but not connected"),
            (Some("ALERT"), "Application-specific password required: wait 1 minute"),
        ] {
            assert_eq!(classify(false, code, text), C::Login, "{text}");
        }
    }

    #[test]
    fn who_speaks_is_known_by_words_that_only_one_says() {
        assert_eq!(
            spoken_by("Request is throttled. Suggested Backoff Time: 1 milliseconds"),
            Some("Microsoft 365")
        );
        assert_eq!(spoken_by("something else"), None);
    }
}
