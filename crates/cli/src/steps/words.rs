//! Texts of the five steps that the terminal and the page share. Pure.

use super::{SIDES, Step, Steps};
use crate::error::Failure;
use crate::find::quoted;
use mailhaul_engine::auth::advice;
use mailhaul_engine::error::{EndError, Question};
use mailhaul_engine::message::Digest;
use mailhaul_engine::names::printable;
use mailhaul_engine::plan::Plan;

impl Step {
    /// What a person does in it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Requirements => "Check the requirements",
            Self::Old => "Connect your old mailbox",
            Self::New => "Connect your new mailbox",
            Self::Choose => "Choose what moves",
            Self::Move => "Move and verify",
        }
    }
}

/// `old` or `new`.
pub fn which(side: &str) -> &'static str {
    if side == SIDES[0] { "old" } else { "new" }
}

/// What a server said stands behind this.
pub const IT_SAID: &str = " It said: ";

/// A bare host name is a server with TLS.
pub fn as_url(name: &str) -> String {
    if name.contains("://") { name.to_owned() } else { format!("imaps://{name}") }
}

/// A certificate's SHA-256, as it can be compared and typed.
pub fn hex(fingerprint: &[u8; 32]) -> String {
    Digest(*fingerprint).to_string()
}

/// What will not move as it is, a line each: a person agrees to these lines.
pub fn will_not_move(plan: &Plan) -> Vec<String> {
    plan.will_not_move.iter().map(ToString::to_string).collect()
}

/// What happened, and what to do next, for somebody who types no options.
pub fn explained(error: &EndError) -> (String, Option<String>) {
    match error {
        EndError::LoginRefused { server, user, mechanism, refusal } => {
            let advice = advice::after(server, *mechanism, refusal);
            let what = format!("{server} did not let {user} in: {}.{IT_SAID}{refusal}", advice.meaning);
            (what, Some(format!("{} (docs/login.md#{})", without_options(advice.next), advice.page)))
        }
        other => (other.to_string(), other.next_step().map(|next| without_options(&next))),
    }
}

/// What the question is about, without the options that answer it.
pub fn question(question: &Question) -> String {
    match question {
        Question::TargetHoldsMail { mailboxes } => {
            let messages: u64 = mailboxes.iter().map(|(_, messages)| messages).sum();
            let what = if messages == 1 { "1 message".to_owned() } else { format!("{messages} messages") };
            format!("your new mailbox holds {what} already, and it is not known where they come from.")
        }
        Question::NotAsShown => "what is there is not what you were shown any more.".to_owned(),
        Question::WillNotMove { what } => format!("{} things will not move as they are.", what.len()),
        other => without_options(&other.to_string()),
    }
}

/// The same for what failed before a server was asked.
pub fn plainly(failure: &Failure) -> (String, Option<String>) {
    let what = SIDES.iter().fold(failure.what.clone(), |what, side| {
        what.replace(&format!("--{side}: "), &format!("Your {} mailbox: ", which(side)))
    });
    let hint = failure.hint.as_deref().map(without_options).filter(|hint| !hint.is_empty());
    (what, hint)
}

/// The command that does the same, for a script or for later, on one line of a shell. It agrees to nothing in advance.
pub fn command_line(steps: &Steps) -> String {
    let options = steps.answers().options().into_iter().chain(steps.further().iter().cloned());
    let words = options.map(|option| match option.split_once('=') {
        Some((name, value)) => format!("{name}={}", shell_word(value)),
        None => option,
    });
    format!("mailhaul migrate {}", words.collect::<Vec<_>>().join(" "))
}

/// One word of a shell. What a server calls its mailboxes moves no cursor: control characters are written as bash reads them.
fn shell_word(value: &str) -> String {
    if printable(value) == value {
        return quoted(value);
    }
    let mut word = String::from("$'");
    for c in value.chars() {
        match c {
            '\'' | '\\' => word.extend(['\\', c]),
            c if printable(&c.to_string()).chars().eq([c]) => word.push(c),
            c => word += &format!("\\U{:08X}", u32::from(c)),
        }
    }
    word + "'"
}

/// Advice as far as it names no option: what follows a colon or stands between semicolons with one is left out.
pub fn without_options(advice: &str) -> String {
    let parts = advice.split("; ").map(|part| match part.find(": --") {
        Some(at) => &part[..at],
        None => part,
    });
    parts.filter(|part| !part.contains("--")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_word_of_a_shell_whatever_is_in_it() {
        for (value, word) in [
            ("ann@old.example", "ann@old.example"),
            ("-old", "-old"),
            ("Old mail", "'Old mail'"),
            ("o'neill", r"'o'\''neill'"),
            ("a\u{1b}[2J'\\b", r"$'a\U0000001B[2J\'\\b'"),
        ] {
            assert_eq!(shell_word(value), word);
        }
    }

    #[test]
    fn advice_for_people_names_no_option() {
        for (advice, said) in [
            (
                "log in with OAuth instead of a password: --from-oauth or --to-oauth",
                "log in with OAuth instead of a password",
            ),
            ("make room, then run it again", "make room, then run it again"),
            ("--from-password-file FILE, or wait to be asked", ""),
            (
                "if you know this server, pin its certificate: --from-fingerprint ab; a private CA is added with --ca-file",
                "if you know this server, pin its certificate",
            ),
        ] {
            assert_eq!(without_options(advice), said);
        }
        let failure =
            Failure::usage("--from: a password has no place in it").hint("--from-password-file FILE");
        assert_eq!(plainly(&failure), ("Your old mailbox: a password has no place in it".into(), None));
    }
}
