//! What the page says, in English, in one place; titles and advice that the terminal shares are in [`crate::steps::words`], those
//! of the report in the engine. Style: what happened, why, what to do; no IMAP words but behind “Details” (CONTRIBUTING.md).

use crate::error::Failure;
use crate::serve::guard::Refused;
use crate::steps::{Step, words};
use mailhaul_engine::pages::Reference;
use mailhaul_engine::plain::Plain;
use mailhaul_engine::report::words as report_words;
use std::time::Duration;

/// What went wrong, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What happened, and why.
    pub what: String,
    /// What to do.
    pub next: Option<String>,
    /// For engineers, a line each.
    pub details: Vec<String>,
    /// Where more about it stands.
    pub more: Option<Reference>,
    /// It only has to be decided.
    pub is_question: bool,
    /// The field of the page that is to be typed anew, by its id.
    pub field: Option<&'static str>,
}

/// Where a question is answered.
pub const LOOK_BELOW: &str = "Look at the list below, and decide it there.";

impl Problem {
    /// One with something to do.
    pub fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: Some(next.into()),
            details: Vec::new(),
            more: None,
            is_question: false,
            field: None,
        }
    }

    /// With the field that is to be typed anew.
    #[must_use]
    pub fn at(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    /// What is there is not what was chosen of.
    pub fn changed() -> Self {
        let what = "What is there is not what you were shown any more.";
        Self { is_question: true, ..Self::new(what, "Look at the list below again, then continue.") }
    }

    /// What was chosen leads to something that was not on the page.
    pub fn moves_otherwise() -> Self {
        Self::new("Now something else moves than the page showed.", "Look at the list below, then continue.")
    }

    /// An earlier step is to be done first.
    pub fn not_yet(step: Step) -> Self {
        let what = format!("This step has to be done first: {}.", step.title());
        Self::new(what, "Choose it in the list of steps.")
    }
}

impl From<Plain> for Problem {
    fn from(Plain { what, next, details, more }: Plain) -> Self {
        Self { what, next, details, more, is_question: false, field: None }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        words::plainly(&failure).into()
    }
}

/// What a step is for, in a sentence or two.
pub fn purpose(step: Step) -> &'static str {
    match step {
        Step::Requirements => {
            "Mailhaul copies all mail of your old mailbox to your new one and reads every message back there. Your old \
             mailbox is only read: nothing in it is changed. To begin, it needs both addresses; from them it finds the servers."
        }
        Step::Old => {
            "Mailhaul logs in to your old mailbox to read it. Your password is sent to its server and nowhere else, kept in \
             memory alone, and forgotten when Mailhaul ends."
        }
        Step::New => {
            "Mailhaul logs in to your new mailbox to write your mail into it. The password is treated as before."
        }
        Step::Choose => {
            "Everything moves unless you say otherwise. Below is what Mailhaul found, and where each folder will go. So far \
             nothing was changed in either mailbox."
        }
        Step::Move => {
            "Your mail is copied, then every message is read back from the new server and compared. You may close this page or \
             stop at any time: what was moved stays moved, and Mailhaul goes on from there."
        }
    }
}

/// Why a request is refused, and what to do: a title, and two sentences.
pub fn refused(refused: Refused) -> (&'static str, &'static str, &'static str) {
    match refused {
        Refused::NoSession => (
            "This browser is not let in",
            "Only a browser that came by the link in the terminal may see this page, so that nobody else on this computer can.",
            "Open the link that the terminal shows. If it was used before, press Enter there: you get a new one.",
        ),
        Refused::Invitation => (
            "This link does not open the page any more",
            "Each link works once, and only the latest one.",
            "Press Enter in the terminal where Mailhaul runs: you get a new link.",
        ),
        Refused::Host => (
            "The page has another address",
            "It answers only at the address in the link, which begins with http://127.0.0.1 or http://localhost and the same number.",
            "Open the link that the terminal shows. By ssh, forward the same number: ssh -L 8025:127.0.0.1:8025.",
        ),
        Refused::Site => (
            "Another site sent you here",
            "Mailhaul does nothing that another web site asks it to do.",
            "If you wanted to open Mailhaul, type or paste its address into the address bar.",
        ),
        Refused::Form => (
            "This form is out of date",
            "It was not made for this browser by the Mailhaul that runs now.",
            "Go back to the first page, and do it again from there.",
        ),
        Refused::TooLarge => (
            "The form is too large",
            "Mailhaul takes no form of this size.",
            "If there are more than ten thousand folders to choose from, use the command line.",
        ),
        Refused::TooSlow => {
            ("The form did not arrive", "It took too long to come.", "Go back and send it again.")
        }
        Refused::Method => (
            "There is nothing here",
            "The page is read and its buttons are pressed; it can do nothing else.",
            "Go to the first page.",
        ),
    }
}

/// The end of the page's title.
pub const NAME: &str = "Mailhaul";
pub const SKIP: &str = "Skip to the content";
pub const STEPS: &str = "Steps";
pub const DONE: &str = "done";
pub const NOW: &str = "now";
pub const LATER: &str = "later";
pub const PROBLEM: &str = "There is a problem";
pub const TO_THE_FIELD: &str = "Go to this field";
pub const DETAILS: &str = "Details";
pub const MORE: &str = "More about this";
pub const HELP: &str = "Help";
/// After the words of a link.
pub const BESIDE: &str = " (opens beside)";
pub const HELP_WHY: &str =
    "All that is written about Mailhaul. It is part of the program, and needs no network.";
pub const ON_THIS_PAGE: &str = "On this page";
pub const ALL_PAGES: &str = "All pages";
pub const BACK_TO_MOVE: &str = "Back to your move";
pub const CONTINUE: &str = "Continue";
pub const BACK: &str = "Back";
pub const GIVE_UP: &str = "Give up";
pub const FOOT: &str = "This page runs on your own computer and loads nothing from elsewhere.";
pub const NOT_FOUND: &str = "There is no such page";
pub const FIRST_PAGE: &str = "Go to the first page";

pub const LET_IN: &str = "You are in";
pub const LET_IN_WHY: &str = "The link is used up. This browser stays let in until Mailhaul ends.";

pub const FINDING: &str = "Looking for your servers …";
pub const FINDING_WHY: &str =
    "Mailhaul asks who knows where the mail of both addresses lies. Your passwords are not used for that.";
pub const LOGGING_IN_OLD: &str = "Logging in to your old mailbox …";
pub const LOGGING_IN_NEW: &str = "Logging in to your new mailbox …";
pub const LOGGING_IN_WHY: &str = "Some servers answer only after a minute.";
pub const LOOKING: &str = "Looking at both mailboxes …";
pub const LOOKING_WHY: &str = "Mailhaul counts the folders and messages, and changes nothing. With many folders that takes some minutes.";
pub const VISIT: &str = "Log in at your provider";
pub const VISIT_WHY: &str =
    "Your provider asks for the login itself, on its own page, which opens beside this one.";
pub const WAIT_GOES_ON: &str = "This page goes on by itself. “Give up” leads back to the step, and what you typed is kept, but no password.";
pub const WAIT_RELOAD: &str = "Look whether it is done";

pub const BOTH_ADDRESSES: &str = "Your two mailboxes";
pub const OLD_ADDRESS: &str = "Address of your old mailbox";
pub const NEW_ADDRESS: &str = "Address of your new mailbox";
pub const ADDRESS_HINT: &str =
    "For example ann@example.org. The new mailbox has to exist already, and is best empty.";
pub const SERVER_BY_HAND: &str = "If you know the servers: name them";
pub const SERVER_HINT: &str =
    "Only needed if Mailhaul does not find it. Your provider's help calls it incoming server or IMAP server.";
pub const OLD_SERVER: &str = "Server of your old mailbox";
pub const NEW_SERVER: &str = "Server of your new mailbox";
pub const OLD_USER: &str = "User name there, if it is not the address";
pub const NEW_USER: &str = "User name there, if it is not the address (new mailbox)";
pub const BEGUN: &str = "You began";
pub const BEGUN_WHY: &str =
    "Go on with one of these moves. What you answered about it is kept, but no password.";
pub const BROUGHT: &str = "You moved";
pub const BROUGHT_WHY: &str = "These moves came to their end. Go on with one to bring what arrived since, or to try again what could not be moved.";
pub const REPORT_IN: &str = "Its report is in the folder";
pub const UNREADABLE: &str = "Answers that cannot be read";
pub const SET_ASIDE: &str = "Set this file aside";
pub const SET_ASIDE_WHY: &str = "It gets another name and stays beside the others. Your mail, the reports, and what Mailhaul remembers of each move stay as they are.";
pub const YOU_NEED: &str = "What you need";
pub const NEEDS: [&str; 3] = [
    "both passwords, or what your providers take instead (Gmail, Yahoo and iCloud want an app password)",
    "room in the new mailbox for all the mail",
    "this computer, switched on until it is done; if it stops, Mailhaul goes on later",
];
pub const FIND: &str = "Find the servers";
pub const ADDRESS_MISSING: &str = "An address is missing.";
pub const ADDRESS_MISSING_NEXT: &str = "Type both addresses: the old mailbox first, then the new one.";

pub const FOUND: &str = "Are these your servers?";
pub const FOUND_WHY: &str =
    "Your passwords will be sent to these two servers, so make sure that they are the right ones.";
pub const OLD_MAILBOX: &str = "Your old mailbox";
pub const NEW_MAILBOX: &str = "Your new mailbox";
pub const RIGHT_SERVER: &str = "Yes, this is the right server";
pub const UNPROVEN: &str = "Nobody proves that this server is your provider's. Compare its name with what your provider's help page says.";
pub const UNPROVEN_MISSING: &str = "You have not confirmed a server that nobody proves.";
pub const UNPROVEN_MISSING_NEXT: &str =
    "Tick the box below it if it is the right one; else go back and name the right one.";

pub const NOT_ENCRYPTED: &str = "The connection to this server is not encrypted.";
pub const NOT_ENCRYPTED_WHY: &str = "Everybody on the way can read the password and the mail. Use it only for a server on this computer or in your own network.";

pub const PASSWORD: &str = "Password";
pub const PASSWORD_MISSING: &str = "No password was typed.";
pub const PASSWORD_MISSING_NEXT: &str =
    "Type the password of this mailbox, or the app password that your provider gave you.";
pub const LOG_IN: &str = "Log in";
pub const LOGGED_IN: &str = "This mailbox has let Mailhaul in. You need not do this again.";
pub const TRUST_IT: &str = "I know this certificate and trust it";
pub const TRUST_WHY: &str =
    "Whoever runs that server can tell you whether this is the fingerprint (SHA-256) of its certificate:";
pub const VOUCHED: &str = "You vouched for this server's certificate. Now log in.";
pub const TRUST_OTHER: &str = "That is not the certificate that the server showed.";
pub const TRUST_OTHER_NEXT: &str = "Log in again to see it.";
pub const BY_BROWSER: &str = "Log in at the provider instead";
pub const BY_BROWSER_WHY: &str =
    "For providers that take no password from programs. You need a client id of your own.";
pub const CLIENT: &str = "Client id";
pub const HOW_CLIENT: &str = "How to get a client id";
pub const CLIENT_MISSING: &str = "The client id is missing.";
pub const CLIENT_MISSING_NEXT: &str =
    "Type the client id that your provider gave you. How to get one stands at its field.";
pub const SECRET_FILE: &str = "File with the client's secret, if it has one";
pub const ISSUER: &str = "Provider";

pub const LOOK_AGAIN: &str = "Look again";
pub const IN_THE_WAY: &str = "Something is in the way";
pub const TO_KNOW: &str = "Good to know";
pub const FOLDERS: &str = "Folders that move";
pub const FOLDERS_HINT: &str =
    "Clear the box of a folder that is to stay behind. The number beside it is how many messages it holds.";
pub const LEFT_BY_RULE: &str = "Left out";
pub const NEW_FOLDER: &str = "new";
pub const HOLDS: &str = "holds mail already";
pub const WILL_NOT_MOVE: &str = "What will not move as it is";
pub const WILL_NOT_MOVE_HINT: &str =
    "These things stay behind, or change on their way. Nothing of them is lost in the old mailbox.";
pub const WILL_NOT_MOVE_YES: &str = "I have read this list, and it is all right";
pub const WILL_NOT_MOVE_MISSING: &str =
    "Some things will not move as they are, and you have not said that this is all right.";
pub const WILL_NOT_MOVE_MISSING_NEXT: &str =
    "Read the list below and tick the box under it, or choose otherwise.";
pub const CANNOT_GO: &str = "What the new server refuses or destroys as it is";
pub const CANNOT_GO_YES: &str = "Repair these as the list says, in this run and in later ones";
pub const THERE_ALREADY: &str = "Mail that is in the new mailbox already";
pub const RECOGNISE: &str = "Recognise it";
pub const RECOGNISE_HINT: &str = "What is there already is recognised by its content, and only the rest is copied. Right if you began to move with this or another program.";
pub const COPY_ANYWAY: &str = "Copy everything beside it";
pub const COPY_ANYWAY_HINT: &str = "A message that is there already will be there twice.";
pub const THERE_ALREADY_MISSING: &str =
    "It is not decided what becomes of the mail that is in the new mailbox already.";
pub const THERE_ALREADY_MISSING_NEXT: &str = "Choose one of the two ways below.";
pub const INTO: &str = "Put everything into one folder of the new mailbox";
pub const INTO_HINT: &str =
    "Leave it empty, and each folder goes where it belongs. It cannot be changed after the move has begun.";
pub const HOW_LONG: &str = "How long it takes";
pub const NOTHING_MOVES: &str = "No folder is chosen.";
pub const NOTHING_MOVES_NEXT: &str = "Tick at least one folder.";

pub const BEGIN: &str = "Begin to move";
pub const GO_ON: &str = "Go on";
pub const PAUSE: &str = "Pause";
pub const MOVING: &str = "Your mail is moving";
pub const STOPPING: &str = "Stopping at the next safe point …";
pub const PAUSED: &str = "Paused";
pub const PAUSED_NEXT: &str = "To leave it for today, close this page and press Ctrl-C in the terminal.";
pub const NOTHING_LOST: &str = "Nothing is lost or doubled by that. “Go on” continues where it stopped; so does Mailhaul when you start it another day.";
pub const FAILED: &str = "The move could not go on";
pub const RELOAD: &str = "Show the latest numbers";
pub const LIVE_LOST: &str = "This page has lost Mailhaul. If it still runs in the terminal, the page comes back by itself; else start it again there: it goes on where it stopped.";
pub const FOLDER: &str = "Folder";
pub const MOVED: &str = "Moved";
pub const READ_BACK: &str = "Read back";
pub const ALL_FOLDERS: &str = "All folders";
pub const MESSAGE_IN: &str = "A message in";
pub const PERCENT: &str = " %";
pub const PART_PROVEN: &str = "read back";
pub const PART_MOVED: &str = "moved, not read back yet";
pub const PART_NEEDS: &str = "need you";
pub const PART_TODO: &str = "still to do";
pub const PART_OUT: &str = "left out";
pub const GOES_TO: &str = "to";
pub const NEEDS_YOU: &str = "Needs you";
pub const NEEDS_NOTHING: &str = "Nothing so far.";
pub const REPORT: &str = "Report";
pub const OPEN_REPORT: &str = "Open the report";
pub const OPEN_REPORT_WHY: &str = "The page to keep: what moved, how it was proven, what needs you.";
pub const CERTIFICATE: &str = "Certificate";
pub const SIGNATURE: &str = "its signature";
pub const PUBLIC_KEY: &str = "the key that checks it";
pub const MANIFEST: &str = "Manifest: one line for each message";
pub const REPORT_FOLDER: &str = "All of it lies in the folder";
pub const FINISHED_NEXT: &str = "You can close this page. Press Ctrl-C in the terminal to end Mailhaul.";
pub const RETRY: &str = "Try these again";
pub const RETRY_WHY: &str =
    "Trying again helps when the cause is mended, for instance after the provider raised a limit.";
pub const REPAIR: &str = "Move what is refused inside a cover message";
pub const REPAIR_WHY: &str = "In a cover message, what the new server refuses arrives untouched, as an attachment. Where only letters in names or in the \
     subject are in the way, these are written in another form, and no cover is needed.";
pub const BY_COMMAND: &str = "The same by one command";
pub const BY_COMMAND_WHY: &str = "For a script, or for later.";
pub const MOVE_AGAIN: &str = "Bring what arrived since";
pub const OTHER_MAILBOXES: &str = "Move other mailboxes";
pub const OTHER_MAILBOXES_WHY: &str = "What you answered here is kept, and offered again. Your mail, the reports, and what Mailhaul remembers of each move stay where they are.";

/// `12 messages a minute; about 3 minutes left`, as far as it can be said.
pub fn speed(per_minute: Option<u64>, left: Option<&str>) -> Option<String> {
    let rate = per_minute.map(|n| format!("{} a minute", report_words::messages(n)));
    match (rate, left) {
        (Some(rate), Some(left)) => Some(format!("{rate}; {left} left")),
        (rate, _) => rate,
    }
}

/// How long it is waited for.
pub fn so_long(waited: Duration) -> String {
    format!("Waiting for {} so far.", mailhaul_engine::waits::spelled(waited))
}

/// Connections that were lost.
pub fn reconnects(n: u64) -> String {
    let times = if n == 1 { "once".to_owned() } else { format!("{n} times") };
    format!("A connection was lost {times} and made again. Nothing is lost by that.")
}

/// How far it came.
pub fn so_far(moved: u64, all: u64, read_back: u64) -> String {
    format!(
        "{} of {} are moved, {read_back} of them read back and compared.",
        report_words::count(moved),
        report_words::messages(all)
    )
}

/// What is read to somebody who does not see the bars.
pub fn said(percent: u8, moved: u64, all: u64, read_back: u64, needs: u64) -> String {
    let needs = if needs == 0 { String::new() } else { format!(", {needs} need you") };
    format!("{percent} percent: {moved} of {all} messages moved, {read_back} read back{needs}")
}

/// So many of them.
pub fn n_of(n: u64, all: u64) -> String {
    format!("{} of {}", report_words::count(n), report_words::count(all))
}

/// More exceptions than are shown.
pub fn more_needs(n: u64) -> String {
    format!("And {n} more: the report will name them.")
}

#[cfg(test)]
mod tests {
    /// What no person is told outside of the details (CONTRIBUTING.md, *Texts for people*), but for what a page has to name: a
    /// provider's help says “IMAP server”, and a login in the browser needs a “client id”.
    const NOT_FOR_PEOPLE: [&str; 16] = [
        "UID",
        "UIDVALIDITY",
        "APPEND",
        "EXAMINE",
        "SELECT",
        "octet",
        "journal",
        "epoch",
        "source",
        "target",
        "spool",
        "in doubt",
        "--",
        "token",
        "quirk",
        "OAuth",
    ];

    #[test]
    fn no_text_of_a_page_has_a_word_that_is_for_engineers() {
        let this = include_str!("texts.rs");
        let texts = this.split("#[cfg(test)]").next().unwrap();
        let literals = literals(texts);
        assert!(literals.len() > 150, "all of them are looked at: {}", literals.len());
        for text in literals {
            for word in NOT_FOR_PEOPLE {
                assert!(!text.contains(word), "{word}: {text}");
            }
        }
    }

    /// Words that a person reads stand in this file, or are given by the library or by `steps`.
    #[test]
    fn no_page_has_words_of_its_own() {
        for page in [
            include_str!("pages.rs"),
            include_str!("pages/account.rs"),
            include_str!("pages/choose.rs"),
            include_str!("pages/help.rs"),
            include_str!("pages/moving.rs"),
            include_str!("pages/waiting.rs"),
        ] {
            let page = page.split("#[cfg(test)]").next().unwrap();
            for text in read(page) {
                let words =
                    text.split(' ').filter(|word| word.len() > 1 && word.chars().all(char::is_alphabetic));
                assert!(words.count() < 2, "{text:?} is to stand in texts.rs");
            }
        }
    }

    /// What of a template is read by a person: literals that are no attribute, and attributes that are read aloud.
    fn read(code: &str) -> Vec<&str> {
        let is_read = |before: &str| {
            let aloud = ["aria-label=", "alt=", "placeholder="];
            !before.ends_with('=') || aloud.iter().any(|name| before.ends_with(name))
        };
        let mut found = Vec::new();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let parts: Vec<&str> = line.split('"').collect();
            let literals = parts.chunks(2).filter_map(|pair| Some((pair[0], *pair.get(1)?)));
            found.extend(literals.filter(|(before, _)| is_read(before)).map(|(_, text)| text));
        }
        found
    }

    /// The string literals of a Rust file, without those of its comments.
    fn literals(code: &str) -> Vec<&str> {
        let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        code.iter().flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
    }
}
