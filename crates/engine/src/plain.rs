//! Pure: what failed, for somebody who types no commands: what happened and why, what to do, and behind *Details* what an engineer
//! needs, with the server's own words (CONTRIBUTING.md, *Texts for people*). What the command line says is the `Display` of the
//! same errors.

use crate::alerts;
use crate::auth::advice;
use crate::error::{EndError, Error, LISTING, Question, RefusalClass};
use crate::journal::JournalError;
use crate::oauth;
use crate::pages::Reference;
use crate::report::words::{full_sentence, messages};

/// What a person is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain {
    /// What happened, and why: a sentence.
    pub what: String,
    /// What to do; `None` where nothing has to be done.
    pub next: Option<String>,
    /// For engineers, a line each.
    pub details: Vec<String>,
    /// Where more about it stands.
    pub more: Option<Reference>,
}

const TRY_AGAIN: &str = "Try again. What was moved stays moved.";
const WAIT: &str = "Wait some minutes and try again; a move that has begun waits by itself.";
const SHOW_DETAILS: &str = "Try again; if it stays like this, write to its provider with the details.";
const ASK_PROVIDER: &str = "Ask its provider, with the details.";
const SAFE: &str = "What was moved stays moved.";

impl Plain {
    /// With something to do.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: Some(next.into()), ..Self::default() }
    }

    /// With what an engineer needs; nothing is added by an empty text.
    #[must_use]
    pub fn details(mut self, text: impl Into<String>) -> Self {
        self.details.extend(Some(text.into()).filter(|text| !text.is_empty()));
        self
    }

    /// With where more about it stands.
    #[must_use]
    pub fn more(self, more: Reference) -> Self {
        Self { more: Some(more), ..self }
    }
}

/// Advice as far as it names no option and no command: what follows a colon or stands between semicolons with one is left out. What
/// stands between “ and ” is a name, whatever is in it.
pub fn without_options(advice: &str) -> String {
    let parts = advice.split("; ").map(|part| match part.find(": --") {
        Some(at) if !has_option(&part[..at]) => &part[..at],
        _ => part,
    });
    parts.filter(|part| !has_option(part)).collect::<Vec<_>>().join("; ")
}

/// True where an option or a command of ours stands outside of quotes.
fn has_option(text: &str) -> bool {
    let (mut depth, mut before) = (0_usize, ' ');
    for (at, c) in text.char_indices() {
        match c {
            '“' => depth += 1,
            '”' => depth = depth.saturating_sub(1),
            '-' if depth == 0 && !before.is_alphanumeric() => {
                let rest = text[at..].strip_prefix("--").unwrap_or_default();
                if rest.starts_with(|c: char| c.is_ascii_lowercase()) {
                    return true;
                }
            }
            '`' if depth == 0 && text[at..].starts_with("`mailhaul") => return true,
            _ => {}
        }
        before = c;
    }
    false
}

/// The same as a sentence of its own; `or` where nothing is left of it.
fn sentence_or(advice: &str, or: &str) -> String {
    let advice = without_options(advice);
    if advice.is_empty() { or.to_owned() } else { full_sentence(&advice) }
}

impl EndError {
    /// For somebody who types no commands.
    pub fn plainly(&self) -> Plain {
        match self {
            Self::Unreachable { server, what, hint } => {
                let next = "Check the name of the server for a typing error, and this computer's network; then try again.";
                let said = if what.starts_with("no server has this name") {
                    format!("There is no server with the name {server}.")
                } else {
                    format!("{server} could not be reached.")
                };
                Plain::new(said, next).details(what).details(hint)
            }
            Self::Untrusted { server, what, hint, shown } => untrusted(server, what, hint, shown.is_some()),
            Self::LoginRefused { server, user, mechanism, refusal, told } => {
                let advice = advice::after(server, *mechanism, refusal);
                let what = format!("{server} did not let {user} in: {}.", advice.meaning);
                Plain::new(what, sentence_or(advice.next, ASK_PROVIDER))
                    .details(format!("{refusal}{}", alerts::told(told)))
                    .details(without_options(advice.further))
                    .more(Reference::login(advice.page))
            }
            Self::NoCredentials { server, what } => {
                if let Some((said, next, error)) = oauth::plainly(what) {
                    return Plain::new(said, next).details(format!("{server}: {error}"));
                }
                let (why, next) = what.rsplit_once("; ").unwrap_or((what, ""));
                let said = format!("There is no password or login for {server}.");
                Plain::new(said, sentence_or(next, "Log in again.")).details(why)
            }
            Self::Lost { server, doing, what } => {
                let next = if self.asks_for_patience().is_some() { WAIT } else { TRY_AGAIN };
                Plain::new(format!("{server} ended the connection. Nothing is lost by that."), next)
                    .details(format!("while {doing}: {what}"))
            }
            Self::TimedOut { server, doing, limit, told } => {
                let time = crate::waits::spelled(*limit);
                Plain::new(format!("{server} did not answer for {time}. Nothing is lost by that."), TRY_AGAIN)
                    .details(format!("while {doing}{}", alerts::told(told)))
            }
            Self::Refused { server, doing, refusal } => {
                let (said, next) = refused(server, refusal.class);
                Plain::new(said, next).details(format!("{doing}: {refusal}"))
            }
            Self::Protocol { server, doing, what } if *doing == LISTING => {
                let next = "Check that it is the right user, and that this login may see folders; then ask the provider.";
                Plain::new(format!("{server} did not tell which folders there are."), next).details(what)
            }
            Self::Protocol { server, doing, what } => {
                Plain::new(format!("{server} answered something that cannot be understood."), SHOW_DETAILS)
                    .details(format!("while {doing}: {what}"))
            }
            Self::Unsupported { server, what, hint } => Plain::new(
                format!("{server} cannot do what is needed here."),
                sentence_or(hint, ASK_PROVIDER),
            )
            .details(what),
            Self::Spool { place, what } => {
                let said = format!("This computer could not keep a message in the folder {place}.");
                Plain::new(said, "Make room there, or let this user write there; then go on.").details(what)
            }
            Self::Stopped => Plain::new("It was stopped.", SAFE),
        }
    }
}

/// A server that does not prove who it is. `is_shown`: its certificate can be vouched for.
fn untrusted(server: &str, what: &str, hint: &str, is_shown: bool) -> Plain {
    let said = if what.starts_with("its certificate") && !what.contains('(') {
        format!("{server} did not prove that it is the right server: {what}.")
    } else {
        format!("{server} did not prove that it is the right server.")
    };
    let next = match is_shown {
        true => {
            "If you know this server, compare the fingerprint of its certificate with whoever runs it; else give it no password."
        }
        false => "Give it no password. Ask its provider for the right name of the server.",
    };
    Plain::new(said, next).details(what).details(without_options(hint))
}

/// What a refusal means for somebody who knows no commands, and what to do.
fn refused(server: &str, class: RefusalClass) -> (String, &'static str) {
    use RefusalClass as C;
    match class {
        C::Quota => (format!("{server} has no room left."), "Make room there, then go on."),
        C::Throttled(_) | C::SpentToday | C::ThrottledOrFull => {
            (format!("{server} asks for patience: too much was asked of it in a short time."), WAIT)
        }
        C::Unavailable | C::InUse | C::ServerBug => (format!("{server} is in trouble of its own."), WAIT),
        C::NoPermission => (
            format!("{server} does not permit this login what is needed."),
            "Ask its provider or administrator to allow it.",
        ),
        _ => (format!("{server} refused a request."), SHOW_DETAILS),
    }
}

impl Error {
    /// For somebody who types no commands.
    pub fn plainly(&self) -> Plain {
        match self {
            Self::Source(end) => of_side("Your old mailbox", end),
            Self::Target(end) => of_side("Your new mailbox", end),
            Self::Journal(journal) => journal.plainly(),
            Self::Question(question) => {
                Plain { what: question.plainly(), details: question.lines(), ..Plain::default() }
            }
            Self::Settings { what } => {
                Plain { what: sentence_or(what, "What is asked for contradicts itself."), ..Plain::default() }
                    .details(what)
            }
            Self::Certificate { .. } => Plain::new(
                "The certificate cannot be used.",
                "Take the one that lies in the report's folder.",
            )
            .details(self.to_string()),
            Self::Report { path, what } => {
                let next =
                    "Make room there, or let this user write there; then go on: what was moved stays moved.";
                Plain::new(format!("The report could not be written to {path}."), next).details(what)
            }
            Self::RefusesAll { refused, refusal } => {
                let what = format!(
                    "The new server refused {} one after the other, and gave no reason that is known.",
                    messages(*refused)
                );
                Plain::new(
                    what,
                    "Ask the new provider for the reason, with the details; then try these again.",
                )
                .details(refusal.to_string())
            }
            Self::Full { refusal } => {
                let next = "Make room in the new mailbox, then go on: what was moved stays moved.";
                Plain::new("Your new mailbox has no room for more.", next).details(refusal.to_string())
            }
            Self::Interrupted => {
                Plain::new("It was stopped. What was moved stays moved.", "Go on whenever you like.")
            }
        }
    }
}

fn of_side(whose: &str, end: &EndError) -> Plain {
    let plain = end.plainly();
    Plain { what: format!("{whose}: {}", plain.what), ..plain }
}

impl JournalError {
    /// For somebody who types no commands: the journal is Mailhaul's notes of a move.
    pub fn plainly(&self) -> Plain {
        let plain = match self {
            Self::NotFound { .. } => {
                Plain::new("Mailhaul has no notes of this move.", "Begin it with the first step.")
            }
            Self::Damaged { place, .. } => Plain::new(
                format!("Mailhaul's notes of this move cannot be read, so nothing was sent: {place}."),
                "Put that file back from a backup, or ask somebody who knows Mailhaul.",
            ),
            Self::Newer { .. } => Plain::new(
                "A newer Mailhaul has begun this move, and this one cannot read its notes.",
                "Go on with the newer one.",
            ),
            Self::Held { .. } => Plain::new(
                "Mailhaul already moves these mailboxes in another window, or on another computer.",
                "Go on there, or end it there first.",
            ),
            Self::Fenced => Plain::new(
                "Mailhaul goes on with this move in another window. Nothing was written here.",
                "Look there.",
            ),
            Self::DiskFull { place } => Plain::new(
                format!("This computer has no room left for Mailhaul's notes: {place}."),
                "Make room there, then go on: what was moved stays moved.",
            ),
            Self::Store { place, .. } => Plain::new(
                format!("Mailhaul's notes of this move cannot be used: {place}."),
                "Check that this user may read and write that file, and that its disk has room; then go on.",
            ),
            Self::OtherSettings { .. } => Plain::new(
                "This move began with other mailboxes or other choices, which cannot be changed any more.",
                "Go back, and choose as you did then.",
            ),
            Self::Illegal { .. } | Self::Elsewhere { .. } | Self::ClaimTaken { .. } => Plain::new(
                "Mailhaul found a mistake of its own, and stopped before it did harm.",
                "Keep everything as it is, and show the details to somebody who knows Mailhaul.",
            ),
        };
        plain.details(self.to_string())
    }
}

impl Question {
    /// What it is about, without the options that answer it.
    pub fn plainly(&self) -> String {
        match self {
            Self::TargetHoldsMail { mailboxes } => {
                let held: u64 = mailboxes.iter().map(|(_, messages)| messages).sum();
                let come = if held == 1 { "it comes" } else { "they come" };
                format!(
                    "Your new mailbox holds {} already, and it is not known where {come} from.",
                    messages(held)
                )
            }
            Self::NotAsShown => "What is there is not what you were shown any more.".to_owned(),
            Self::WillNotMove { what } if what.len() == 1 => "1 thing will not move as it is.".to_owned(),
            Self::WillNotMove { what } => format!("{} things will not move as they are.", what.len()),
            Self::DoubtfulUser { user, side, .. } => format!(
                "Is {user} the right name at the {side} server? The mailbox is empty, and some servers make an empty one for any \
                 name."
            ),
            Self::ManyMissing { mailbox, missing, claimed } => format!(
                "{missing} of {claimed} messages that were moved to {mailbox} are no longer there. If they were deleted on \
                 purpose, nothing needs to be done; otherwise ask the new provider before going on."
            ),
        }
    }

    /// What it is about, one by one.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::TargetHoldsMail { mailboxes } => {
                mailboxes.iter().map(|(name, held)| format!("{name}: {}", messages(*held))).collect()
            }
            Self::WillNotMove { what } => what.iter().map(|line| without_options(line)).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
