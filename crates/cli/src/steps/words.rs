//! Texts of the five steps that the terminal and the page share. Pure.

use super::kept::Unkept;
use super::{SIDES, Step, Steps};
use crate::error::Failure;
use mailhaul_engine::check::{DayForecast, Moving};
use mailhaul_engine::message::Digest;
use mailhaul_engine::plain::{Plain, without_options};
use mailhaul_engine::plan::Plan;
use mailhaul_engine::report::words::{messages, size};
use mailhaul_engine::shell::Shell;
use std::time::Duration;

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

/// What a repair is, where it is asked for.
pub const REPAIR: &str = "No message is lost by a repair: it says the same, or its original is attached. Without it these go, or stay \
                          behind, as they are.";

/// Why what is typed in step 1 is not kept, and until when.
pub fn unkept(why: Unkept) -> &'static str {
    match why {
        Unkept::Elsewhere => {
            "Another window is in its first step, too. What you type here is kept only once both servers are known."
        }
        Unkept::Unreadable => {
            "The file of your earlier answers stays as it is. What you type here is kept only once both servers are known."
        }
    }
}

/// `old` or `new`.
pub fn which(side: &str) -> &'static str {
    if side == SIDES[0] { "old" } else { "new" }
}

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

/// What cannot go as it is, a line each, where a person is to be asked whether it is repaired: nobody is who agreed to that.
pub fn cannot_go(plan: &Plan) -> Vec<String> {
    if plan.repairs { Vec::new() } else { plan.cannot_go.iter().map(ToString::to_string).collect() }
}

/// How much moves, and how long that takes, as far as it can be guessed.
pub fn forecast(moving: &Moving) -> String {
    let what = format!("{}, {}", messages(moving.plan.totals.messages), size(moving.sizes.octets));
    how_long(&what, moving.forecast.seconds, &moving.forecast.days)
}

/// A provider that lets only so much pass in a day is known; all else is a guess.
fn how_long(what: &str, seconds: u64, days: &[DayForecast]) -> String {
    let spelled = |seconds| mailhaul_engine::waits::spelled(Duration::from_secs(seconds));
    let longest = days.iter().max_by_key(|day| day.seconds).filter(|day| day.seconds > seconds);
    match longest {
        Some(day) => format!(
            "{what}: at least {}, because a provider lets only {} pass in a day. Mailhaul waits and goes on by itself.",
            spelled(day.seconds),
            size(day.octets_per_day)
        ),
        None => format!("{what}: some {}, at a guess. Real servers are often slower.", spelled(seconds)),
    }
}

/// What failed, for somebody who types no options. What was typed wrong is known here alone; the rest the library says.
pub fn plainly(failure: &Failure) -> Plain {
    if let Some(plain) = &failure.plain {
        return (**plain).clone();
    }
    let mut lines = failure.what.lines();
    let what = lines.next().unwrap_or_default().replace("--from and --to", "Both mailboxes");
    let what = SIDES.iter().fold(what, |what, side| {
        let which = which(side);
        what.replace(&format!("--{side}-server"), &format!("the server of your {which} mailbox"))
            .replace(&format!("--{side}: "), &format!("Your {which} mailbox: "))
            .replace(&format!("--{side}"), &format!("the address of your {which} mailbox"))
    });
    let next = failure.hint.as_deref().map(without_options).filter(|hint| !hint.is_empty());
    let details = lines.map(|line| line.trim().to_owned()).collect();
    Plain { what, next, details, more: None }
}

/// The command that does the same, for a script or for later, on one line of a shell. It agrees to nothing in advance.
pub fn command_line(steps: &Steps) -> String {
    let options = steps.answers().options().into_iter().chain(steps.further().iter().cloned());
    let words = options.map(|option| match option.split_once('=') {
        Some((name, value)) => format!("{name}={}", Shell::HERE.word(value)),
        None => option,
    });
    format!("mailhaul migrate {}", words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_wrong_is_said_without_options() {
        let what = |failure: &Failure| plainly(failure).what;
        let password = Failure::usage("--from: a password has no place in it")
            .hint("wait to be asked for it; --from-password-file FILE");
        assert_eq!(what(&password), "Your old mailbox: a password has no place in it");
        assert_eq!(plainly(&password).next.as_deref(), Some("wait to be asked for it"));
        let server = Failure::usage("--to-server is a URL without a user: imaps://host");
        assert_eq!(what(&server), "the server of your new mailbox is a URL without a user: imaps://host");
        assert!(!what(&crate::find::same_account(true)).contains("--"));
        let nobody = Failure::usage(
            "it was not found: nobody knows it\n  SRV records: nothing\n  the usual names: nothing",
        );
        let Plain { what, details, .. } = plainly(&nobody);
        assert_eq!(what, "it was not found: nobody knows it");
        assert_eq!(details, ["SRV records: nothing", "the usual names: nothing"]);
    }

    #[test]
    fn what_the_library_says_of_a_failure_is_said_in_its_words_for_people() {
        let held = mailhaul_engine::journal::JournalError::Held { holder: "process 7".into() };
        let failure = Failure::from(held);
        assert!(failure.hint.as_deref().is_some_and(|hint| hint.contains("mailhaul status")), "{failure:?}");
        let plain = plainly(&failure);
        assert_eq!(plain.next.as_deref(), Some("Go on there, or end it there first."));
        assert_eq!(plain.details, [failure.what]);
    }

    #[test]
    fn a_day_that_is_too_short_is_said_instead_of_the_guess() {
        use mailhaul_engine::progress::SideName;
        let day = |seconds| DayForecast { side: SideName::Target, octets_per_day: 500_000_000, seconds };
        assert!(how_long("3.0 GB", 1500, &[]).starts_with("3.0 GB: some 25 min, at a guess"));
        let said = how_long("3.0 GB", 1500, &[day(100), day(432_000)]);
        assert!(said.contains("at least 5 days 0 h, because a provider lets only 500 MB pass"), "{said}");
    }

    #[test]
    fn a_run_that_left_nothing_to_be_moved_is_at_the_end_and_one_from_which_mail_is_hidden_is_not() {
        use crate::command::is_at_its_end;
        assert!(is_at_its_end(0, false) && is_at_its_end(3, false));
        assert!(!is_at_its_end(3, true) && !is_at_its_end(4, false) && !is_at_its_end(130, false));
    }
}
