//! What servers mean by their refusals. Codes are trusted before texts (integrity.md part 9); texts are matched in
//! lower case, one row for each spelling, with where it was seen.

pub mod body;

use crate::error::{EndError, Refusal, RefusalClass};
use mailhaul_imap::{Status, StatusText};
use std::time::Duration;

/// Response codes (RFC 5530 and others) and what they mean.
const CODES: &[(&str, RefusalClass)] = &[
    ("OVERQUOTA", RefusalClass::Quota),
    ("TOOBIG", RefusalClass::TooBig),
    ("LIMIT", RefusalClass::Throttled(None)),
    ("THROTTLED", RefusalClass::Throttled(None)),
    ("UNAVAILABLE", RefusalClass::Unavailable),
    ("INUSE", RefusalClass::InUse),
    ("SERVERBUG", RefusalClass::Unavailable),
    ("TRYCREATE", RefusalClass::NoMailbox),
    ("NONEXISTENT", RefusalClass::NoMailbox),
    ("NOPERM", RefusalClass::NoPermission),
    ("READ-ONLY", RefusalClass::NoPermission),
    ("AUTHENTICATIONFAILED", RefusalClass::Login),
    ("AUTHORIZATIONFAILED", RefusalClass::Login),
    ("EXPIRED", RefusalClass::Login),
    ("PRIVACYREQUIRED", RefusalClass::Login),
    ("CONTACTADMIN", RefusalClass::Login),
    ("CANNOT", RefusalClass::Unknown),
    ("CLIENTBUG", RefusalClass::Syntax),
    ("PARSE", RefusalClass::Syntax),
];

/// QUIRK: texts that stand in for a code. Measured: [M]; from threads and vendor pages: [T].
const TEXTS: &[(&str, RefusalClass)] = &[
    // Exchange Online, also as BAD [T].
    ("request is throttled", RefusalClass::Throttled(None)),
    // Exchange: throttled or full [T].
    ("server unavailable", RefusalClass::Throttled(None)),
    // Gmail [T].
    ("too many simultaneous connections", RefusalClass::Throttled(None)),
    ("exceeded command or bandwidth limits", RefusalClass::Throttled(None)),
    // Dovecot [M].
    ("maximum number of connections", RefusalClass::Throttled(None)),
    // Yahoo [T].
    ("rate limit hit", RefusalClass::Throttled(None)),
    // Cyrus 3.6 gives no code [M].
    ("over quota", RefusalClass::Quota),
    ("quota exceeded", RefusalClass::Quota),
    ("quota limit", RefusalClass::Quota),
    ("mailbox is full", RefusalClass::Quota),
    ("storage limit", RefusalClass::Quota),
    // [T]
    ("maximum size of appendable message", RefusalClass::TooBig),
    ("maximum message size exceeded", RefusalClass::TooBig),
    // Cyrus 3.6 [M].
    ("too many user flags", RefusalClass::Keyword),
    ("keyword length too long", RefusalClass::Keyword),
    ("invalid flag", RefusalClass::Keyword),
    ("invalid date", RefusalClass::Date),
    ("invalid internal date", RefusalClass::Date),
    ("contains bare newlines", RefusalClass::Content),
    ("contains nul characters", RefusalClass::Content),
    ("contains invalid header", RefusalClass::Content),
    ("zero-length message", RefusalClass::Content),
    ("too many identical emails", RefusalClass::Content),
    // Dovecot 2.3 with mbox [M]: SERVERBUG by its code.
    ("timeout while waiting for lock", RefusalClass::InUse),
    // Dovecot [M].
    ("can't save a zero byte message", RefusalClass::Content),
    ("mailbox was deleted under us", RefusalClass::NoMailbox),
    // [T]
    ("header limit reached", RefusalClass::Content),
    ("contains a virus", RefusalClass::Content),
    ("unable to parse message", RefusalClass::Content),
    // Gmail, Exchange [T].
    ("application-specific password required", RefusalClass::Login),
    ("log in via your web browser", RefusalClass::Login),
    ("authenticated but not connected", RefusalClass::Login),
];

/// A tagged NO or BAD with its meaning.
pub fn refusal(status: Status, text: &StatusText) -> Refusal {
    let code = text.code.as_ref().map(|c| c.name().to_owned());
    let words = text.display_text();
    let bad = status == Status::Bad;
    Refusal { class: classify(bad, code.as_deref(), &words), bad, code, text: words }
}

/// True when a server says that it is asked for too much at once: as a refusal, or as the last words of a connection.
pub fn asks_for_less(error: &EndError) -> bool {
    match error {
        EndError::Lost { what, .. } => are_of_throttling(what),
        EndError::Refused { refusal, .. } => matches!(refusal.class, RefusalClass::Throttled(_)),
        _ => false,
    }
}

/// The same of words alone.
pub fn are_of_throttling(words: &str) -> bool {
    matches!(classify(false, None, words), RefusalClass::Throttled(_))
}

/// What a refusal means.
pub fn classify(bad: bool, code: Option<&str>, text: &str) -> RefusalClass {
    let lower = text.to_ascii_lowercase();
    if let Some(wait) = named_wait(&lower) {
        return RefusalClass::Throttled(Some(wait));
    }
    let by_text = || TEXTS.iter().find(|(words, _)| lower.contains(words)).map(|(_, class)| *class);
    let by_code = code.and_then(|c| CODES.iter().find(|(name, _)| *name == c)).map(|(_, class)| *class);
    match by_code {
        // CANNOT and SERVERBUG say that, not what: the text may say more.
        Some(RefusalClass::Unknown) | None => {}
        Some(class) if code == Some("SERVERBUG") => return by_text().unwrap_or(class),
        Some(class) => return class,
    }
    by_text().unwrap_or(if bad { RefusalClass::Syntax } else { RefusalClass::Unknown })
}

/// QUIRK: Exchange Online: "Suggested Backoff Time: N milliseconds" [T].
fn named_wait(lower: &str) -> Option<Duration> {
    let rest = lower.split_once("backoff time:")?.1.trim_start();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RefusalClass as C;

    #[test]
    fn a_connection_that_ends_with_the_words_of_throttling_asks_for_less() {
        let lost = |what: &str| EndError::Lost { server: "h:1".into(), doing: "FETCH", what: what.into() };
        assert!(asks_for_less(&lost("BYE Too many simultaneous connections. (Failure)")));
        assert!(asks_for_less(&lost("BYE UID FETCH Rate limit hit")));
        assert!(!asks_for_less(&lost("BYE the server is restarted")));
        assert!(!asks_for_less(&lost("end of the connection")));
    }

    #[test]
    fn refusals_are_understood() {
        let wait = Some(Duration::from_millis(298_331));
        for (bad, code, text, class) in [
            (false, Some("OVERQUOTA"), "Quota exceeded (mailbox for user is full)", C::Quota),
            (false, None, "Over quota", C::Quota),
            (
                true,
                None,
                "Request is throttled. Suggested Backoff Time: 298331 milliseconds",
                C::Throttled(wait),
            ),
            (false, Some("ALERT"), "Too many simultaneous connections. (Failure)", C::Throttled(None)),
            (false, Some("OVERQUOTA"), "x", C::Quota),
            (false, None, "Message contains invalid header", C::Content),
            (false, Some("CANNOT"), "Keyword length too long", C::Keyword),
            (false, Some("CANNOT"), "no way", C::Unknown),
            (false, Some("SERVERBUG"), "Internal error", C::Unavailable),
            (false, Some("SERVERBUG"), "Timeout while waiting for lock (0.462 secs).", C::InUse),
            (false, Some("INUSE"), "Mailbox is locked", C::InUse),
            (true, None, "Command Argument Error. 11", C::Syntax),
            (false, None, "Something odd", C::Unknown),
            (false, Some("TRYCREATE"), "Mailbox doesn't exist: x", C::NoMailbox),
        ] {
            assert_eq!(classify(bad, code, text), class, "{text}");
        }
    }
}
