//! What a server wants people to see: texts under `[ALERT]`, which a client must show (RFC 9051, 7.1). They are a server's
//! words: control characters are made visible, the length is cut, and nothing is decided by them.

use crate::error::EndError;
use mailhaul_imap::{Event, Status, StatusText, Untagged};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// [`Note::kind`](crate::journal::Note::kind) of one in the journal.
pub const ALERT: &str = "alert";
/// Characters of one that are shown.
const CHARS_MAX: usize = 300;
/// What comes between the last words of a server and what it said before: that is not read as its last words.
pub(crate) const SAID_BEFORE: &str = " (it said before: ";
/// Different ones of a connection that are shown.
const SHOWN_MAX: usize = 20;

/// The alerts of one connection. Clones are the same.
#[derive(Clone, Default)]
pub struct Alerts(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    /// Different texts so far.
    known: Vec<String>,
    /// Not told to anybody yet.
    waiting: VecDeque<String>,
    listener: Option<Box<dyn Fn(String) + Send>>,
}

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alerts").field(&self.heard().known).finish()
    }
}

impl Alerts {
    /// Takes in what has an alert: an untagged status, a greeting, a command that succeeded. That of a refusal is shown with it.
    pub(crate) fn hear(&self, event: &Event) {
        match event {
            Event::Untagged { data: Untagged::Status(_, text), .. }
            | Event::Greeting(_, text)
            | Event::Tagged { status: Status::Ok, text, .. } => {
                if let Some(words) = alert(text) {
                    self.say(words);
                }
            }
            _ => {}
        }
    }

    /// Tells each from now on, and those that nobody was told.
    pub(crate) fn listen(&self, listener: impl Fn(String) + Send + 'static) {
        let mut heard = self.heard();
        heard.waiting.drain(..).for_each(&listener);
        heard.listener = Some(Box::new(listener));
    }

    /// Rewrites those that nobody was told: secrets that a server repeats are in no alert (law 12).
    pub(crate) fn rewrite(&self, rewrite: impl Fn(&str) -> String) {
        let mut heard = self.heard();
        let Heard { known, waiting, .. } = &mut *heard;
        known.iter_mut().chain(waiting).for_each(|words| *words = rewrite(words));
    }

    /// The error of a connection that nobody listens to any more, with what its server wanted people to see before: once, and where
    /// nothing is decided by the words.
    pub(crate) fn told_by(&self, mut error: EndError) -> EndError {
        let said = error.to_string();
        let mut unsaid = self.heard().known.clone();
        unsaid.retain(|words| !said.contains(words.as_str()));
        if unsaid.is_empty() {
            return error;
        }
        match &mut error {
            EndError::LoginRefused { told, .. } | EndError::TimedOut { told, .. } => *told = unsaid,
            EndError::Refused { refusal, .. } => refusal.text += &told(&unsaid),
            EndError::Untrusted { what, .. }
            | EndError::Unsupported { what, .. }
            | EndError::Protocol { what, .. }
            | EndError::Lost { what, .. } => *what += &told(&unsaid),
            // No server says these.
            EndError::Unreachable { .. }
            | EndError::NoCredentials { .. }
            | EndError::Spool { .. }
            | EndError::Stopped => {}
        }
        error
    }

    fn say(&self, words: String) {
        let mut heard = self.heard();
        if heard.known.len() >= SHOWN_MAX || heard.known.contains(&words) {
            return;
        }
        heard.known.push(words.clone());
        match &heard.listener {
            Some(listener) => listener(words),
            None => heard.waiting.push_back(words),
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pure: what a server said before, behind what it said in the end.
pub(crate) fn told(alerts: &[String]) -> String {
    let quoted: Vec<String> = alerts.iter().map(|words| format!("“{words}”")).collect();
    if quoted.is_empty() { String::new() } else { format!("{SAID_BEFORE}{})", quoted.join(", ")) }
}

/// Pure: the words for people, if the code is ALERT and there are any.
fn alert(text: &StatusText) -> Option<String> {
    text.code.as_ref().filter(|code| code.name() == "ALERT")?;
    let words = text.display_text();
    let mut shown: String = words.trim().chars().take(CHARS_MAX).collect();
    if shown.len() < words.trim().len() {
        shown.push('…');
    }
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mailhaul_imap::Condition;
    use std::time::Duration;

    fn untagged(text: &str) -> Event {
        let text = StatusText::parse(&Bytes::copy_from_slice(text.as_bytes()));
        Event::Greeting(Condition::Ok, text)
    }

    fn told(alerts: &Alerts) -> Arc<Mutex<Vec<String>>> {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let into = told.clone();
        alerts.listen(move |words| into.lock().unwrap().push(words));
        told
    }

    #[test]
    fn what_was_said_before_somebody_listens_is_told_then_and_each_text_once() {
        let alerts = Alerts::default();
        for text in ["[ALERT] almost full", "[alert] almost full", "almost full", "[ALERT]"] {
            alerts.hear(&untagged(text));
        }
        let told = told(&alerts);
        alerts.hear(&untagged("[ALERT] almost full"));
        alerts.hear(&untagged("[ALERT] down at noon"));
        assert_eq!(*told.lock().unwrap(), ["almost full", "down at noon"]);
    }

    #[test]
    fn an_alert_moves_no_cursor_is_cut_and_repeats_no_secret() {
        let alerts = Alerts::default();
        alerts.hear(&untagged(&format!("[ALERT] \u{1b}[2J{}", "x".repeat(1000))));
        alerts.hear(&untagged("[ALERT] you typed open sesame"));
        alerts.rewrite(|words| words.replace("open sesame", "(the secret)"));
        let told = told(&alerts);
        let told = told.lock().unwrap();
        assert!(told[0].starts_with("<U+001B>[2Jxx") && told[0].chars().count() == CHARS_MAX + 1, "{told:?}");
        assert_eq!(told[1], "you typed (the secret)");
    }

    #[test]
    fn an_error_says_what_was_said_before_it_and_nothing_twice() {
        let alerts = Alerts::default();
        alerts.hear(&untagged("[ALERT] down at noon"));
        alerts.hear(&untagged("[ALERT] too many connections"));
        let lost = |what: &str| EndError::Lost { server: "a".into(), doing: "LOGIN", what: what.into() };
        let said = alerts.told_by(lost("end of the connection"));
        assert!(said.to_string().ends_with("“down at noon”, “too many connections”)"), "{said}");
        assert_eq!(said.asks_for_patience(), None, "these are not its last words");
        let (server, doing) = (|| "a".to_owned(), "LOGIN");
        for error in [
            EndError::TimedOut { server: server(), doing, limit: Duration::from_secs(9), told: Vec::new() },
            EndError::Protocol { server: server(), doing, what: "no tag".into() },
        ] {
            let said = alerts.told_by(error).to_string();
            assert!(said.ends_with(" (it said before: “down at noon”, “too many connections”)"), "{said}");
        }
        let alerts = Alerts::default();
        alerts.hear(&untagged("[ALERT] down at noon"));
        let once = alerts.told_by(lost("BYE [ALERT] down at noon")).to_string();
        assert_eq!(once, lost("BYE [ALERT] down at noon").to_string());
        let more = alerts.told_by(lost("end of the connection")).to_string();
        assert!(more.ends_with("end of the connection (it said before: “down at noon”)"), "{more}");
    }

    #[test]
    fn a_server_that_never_ends_is_not_shown_for_ever() {
        let alerts = Alerts::default();
        (0..1000).for_each(|n| alerts.hear(&untagged(&format!("[ALERT] {n}"))));
        assert_eq!(told(&alerts).lock().unwrap().len(), SHOWN_MAX);
    }
}
