//! What was answered so far, without any secret, and the command line that says the same.

use crate::account::Account;
use crate::args::{Cli, Command, CommonArgs};
use crate::error::Failure;
use crate::steps::words;
use clap::Parser;
use mailhaul_engine::journal::{Decision, MailboxRecord, RunId};
use mailhaul_engine::plan::Plan;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::Path;

/// All answers. They are written down after each one, so that going on costs nothing but the passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answers {
    /// The old account.
    pub from: Answer,
    /// The new one.
    pub to: Answer,
    /// What moves.
    pub choice: Choice,
    /// What was typed of both accounts last, as long as nobody agreed to the servers of it.
    pub typed: Option<[Answer; 2]>,
    /// The folder of the report, once a run came to its end; none from the next run's beginning on.
    pub report: Option<String>,
    /// The number of that run in the journal; none where an earlier Mailhaul wrote this.
    pub run: Option<i64>,
}

/// One side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The address, or an IMAP URL, as typed.
    pub written: String,
    /// The server as a URL, where the person named it.
    pub server: Option<String>,
    /// The user name, where the person named it.
    pub user: Option<String>,
    /// The accounts to log in to, as [`Account::address`] writes them: the one that let us in, or before that the forms of the
    /// user name to try. Empty until a person has agreed to the server.
    pub accounts: Vec<String>,
    /// The SHA-256 of the certificate that a person vouched for.
    pub fingerprint: Option<String>,
    /// How to log in.
    pub sign_in: SignIn,
}

/// How to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// By a password, which is asked for and kept in memory alone.
    #[default]
    Password,
    /// In the browser, by OAuth 2.
    Browser {
        /// `google`, `microsoft`.
        issuer: String,
        /// The client id.
        client: String,
        /// A file that holds the client's secret.
        secret_file: Option<String>,
    },
}

/// What moves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// A person looked at it.
    pub made: bool,
    /// Mailboxes of the old account that stay behind, by name.
    pub leave_out: Vec<String>,
    /// Everything goes below this mailbox of the new account.
    pub into: Option<String>,
    /// What becomes of mail that is at the new server already.
    pub already_there: Option<AlreadyThere>,
    /// The lines about what will not move that a person agreed to.
    pub accepted: Vec<String>,
    /// What the new server does not take, or destroys, as it is, is repaired in all runs.
    pub repair: bool,
    /// What was shown when the choice was made.
    pub shown: Shown,
}

/// What a choice was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// Old mailboxes, and where each goes.
    moves: Vec<(String, String)>,
    /// New mailboxes that hold mail of which nothing is known, with its number.
    there: Vec<(String, u64)>,
}

impl Shown {
    fn of(plan: &Plan) -> Self {
        let moves =
            plan.steps.iter().map(|s| (s.record.source.text.clone(), s.target.text.clone())).collect();
        Self { moves, there: held(plan) }
    }
}

/// True where nothing happens now but a part of what was shown.
pub fn is_part_of(now: &Plan, shown: &Plan) -> bool {
    let (now, shown) = (Shown::of(now), Shown::of(shown));
    now.moves.iter().all(|moves| shown.moves.contains(moves))
        && now.there.iter().all(|held| shown.there.contains(held))
}

/// Stands for all that a plan shows of a choice.
pub fn digest(plan: &Plan, left_out: &[&str]) -> String {
    let all = (Shown::of(plan), left_out, words::will_not_move(plan), words::cannot_go(plan));
    words::hex(&Sha256::digest(serde_json::to_vec(&all).unwrap_or_default()).into())
}

/// The new mailboxes that hold mail of which nothing is known, with its number.
pub fn held(plan: &Plan) -> Vec<(String, u64)> {
    let held = plan.steps.iter().filter(|step| step.holds_unknown_mail());
    held.map(|step| (step.target.text.clone(), step.holds.map_or(0, |holds| holds.messages))).collect()
}

impl Choice {
    /// True where the same mail moves to the same places.
    pub fn moves_as(&self, other: &Self) -> bool {
        let of = |choice: &Self| (choice.leave_out.clone(), choice.into.clone(), choice.already_there);
        of(self) == of(other)
    }

    /// Made, by somebody who was shown this plan.
    #[must_use]
    pub fn made_of(self, plan: &Plan) -> Self {
        Self { made: true, shown: Shown::of(plan), ..self }
    }

    /// True where each mailbox that was shown moves by these records of a journal, and to the same place; false where none was shown.
    /// Records are of all runs: a mailbox that the last one left out may be among them.
    pub fn is_among(&self, mailboxes: &[MailboxRecord]) -> bool {
        let moves = mailboxes.iter().filter_map(|record| match &record.decision {
            Decision::Move(target) => Some((record.source.text.as_str(), target.text.as_str())),
            _ => None,
        });
        let moves: HashSet<_> = moves.collect();
        !self.shown.moves.is_empty()
            && self.shown.moves.iter().all(|(from, to)| moves.contains(&(from.as_str(), to.as_str())))
    }

    /// True as long as nothing but what was shown would happen. Mail that was there and was dealt with may be gone from the list.
    pub fn fits(&self, plan: &Plan) -> bool {
        let now = Shown::of(plan);
        self.made
            && now.moves == self.shown.moves
            && now.there.iter().all(|held| self.shown.there.contains(held))
            && words::will_not_move(plan).iter().all(|line| self.accepted.contains(line))
    }
}

/// What becomes of mail that is at the new server already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlreadyThere {
    /// It is recognised, and the rest is copied.
    Recognise,
    /// Everything is copied beside it.
    CopyAnyway,
}

impl Answer {
    /// The accounts to log in to.
    pub fn accounts(&self) -> Vec<Account> {
        self.accounts.iter().filter_map(|text| Account::parse(text)).collect()
    }

    fn options(&self, side: &str, into: &mut Vec<String>) {
        let mut add = |name: &str, value: &str| into.push(format!("--{side}{name}={value}"));
        add("", &self.written);
        for (name, value) in
            [("-server", &self.server), ("-user", &self.user), ("-fingerprint", &self.fingerprint)]
        {
            value.iter().for_each(|value| add(name, value));
        }
        if let SignIn::Browser { issuer, client, secret_file } = &self.sign_in {
            add("-oauth", issuer);
            add("-oauth-client", client);
            secret_file.iter().for_each(|file| add("-oauth-secret-file", file));
        }
    }
}

impl Answers {
    /// The options of `mailhaul migrate` that say the same. Nothing is agreed to by them.
    pub fn options(&self) -> Vec<String> {
        let left_out = self.choice.leave_out.iter().map(|name| format!("--exclude={}", as_glob(name)));
        self.options_but_left_out().into_iter().chain(left_out).collect()
    }

    fn options_but_left_out(&self) -> Vec<String> {
        let mut options = Vec::new();
        self.from.options("from", &mut options);
        self.to.options("to", &mut options);
        options.extend(self.choice.into.iter().map(|mailbox| format!("--into={mailbox}")));
        options.extend(self.choice.already_there.map(|there| match there {
            AlreadyThere::Recognise => "--adopt".to_owned(),
            AlreadyThere::CopyAnyway => "--append-anyway".to_owned(),
        }));
        options
    }

    /// The options, read as the command line reads them, without what is left out by name, which needs no globs
    /// ([`Selection::without`](mailhaul_engine::config::Selection)); `further` are options beside those of the answers.
    ///
    /// # Errors
    /// What an answer says cannot be an option's value.
    pub fn args(&self, further: &[String]) -> Result<CommonArgs, Failure> {
        let line = ["mailhaul", "migrate"].into_iter().map(str::to_owned);
        let line = line.chain(self.options_but_left_out()).chain(further.iter().cloned());
        match Cli::try_parse_from(line) {
            Ok(Cli { command: Some(Command::Migrate(args)), .. }) => Ok(args.common),
            Ok(_) => Err(Failure::usage("these answers are no migration")),
            Err(error) => Err(Failure::usage(error.to_string())),
        }
    }

    /// As long as they have no pair of accounts: what was typed. (An earlier Mailhaul kept those of a pair in the same file.)
    #[must_use]
    pub fn unfinished(self) -> Self {
        let typed = |answer: Answer| Answer { accounts: Vec::new(), ..answer };
        let agreed = || Some([self.from, self.to]).filter(|[from, _]| !from.written.is_empty());
        Self { typed: self.typed.or_else(agreed).map(|sides| sides.map(typed)), ..Self::default() }
    }

    /// This run left nothing to be moved; its report is in this folder.
    pub fn came_to_its_end(&mut self, run: RunId, report: &Path) {
        let report = std::path::absolute(report).unwrap_or_else(|_| report.to_owned());
        (self.report, self.run) = (Some(report.to_string_lossy().into_owned()), Some(run.0));
    }

    /// One side: `from` or `to`.
    pub fn side(&self, side: &str) -> &Answer {
        if side == "from" { &self.from } else { &self.to }
    }

    /// One side, to be changed.
    pub fn side_mut(&mut self, side: &str) -> &mut Answer {
        if side == "from" { &mut self.from } else { &mut self.to }
    }
}

/// A glob that stands for this name: there is no way to write a `*` that means itself, and `?` is any one character.
fn as_glob(name: &str) -> String {
    name.replace('*', "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        let mut answers = Answers::default();
        answers.from.written = "ann@old.example".into();
        answers.from.sign_in = SignIn::Browser {
            issuer: "google".into(),
            client: "id".into(),
            secret_file: Some("secret".into()),
        };
        answers.to.written = "ann@new.example".into();
        answers.to.server = Some("imaps://mail.new.example".into());
        answers.to.user = Some("-ann".into());
        answers.to.fingerprint = Some("ab".repeat(32));
        answers.choice = Choice {
            made: true,
            leave_out: vec!["Spam".into(), "-a*b = c".into()],
            into: Some("Old mail".into()),
            already_there: Some(AlreadyThere::Recognise),
            accepted: vec!["a line".into()],
            repair: true,
            shown: Shown { moves: vec![("A".into(), "B".into())], there: vec![("B".into(), 1)] },
        };
        answers
    }

    #[test]
    fn answers_become_the_options_that_the_command_line_takes() {
        let args = answers().args(&["--settle=0".into()]).unwrap();
        assert_eq!(args.place.written(), (Some("ann@old.example"), Some("ann@new.example")));
        assert_eq!(args.login("from").oauth.as_deref(), Some("google"));
        assert_eq!(args.login("from").oauth_secret_file.unwrap().to_str(), Some("secret"));
        assert_eq!(args.place.to_user.as_deref(), Some("-ann"));
        assert_eq!(args.to_fingerprint, Some("ab".repeat(32)));
        assert!(args.exclude.is_empty(), "left out by name, not by globs");
        assert!(answers().options().contains(&"--exclude=-a?b = c".to_owned()));
        assert_eq!(args.into.as_deref(), Some("Old mail"));
        assert_eq!((args.adopt, args.append_anyway, args.yes, args.settle), (true, false, false, Some(0)));
    }

    #[test]
    fn what_nobody_answered_is_no_option() {
        let mut answers = answers();
        answers.choice = Choice::default();
        let args = answers.args(&[]).unwrap();
        assert!(args.exclude.is_empty() && !args.adopt && !args.yes && args.into.is_none());
    }

    #[test]
    fn answers_are_read_as_they_were_written() {
        let text = serde_json::to_string(&answers()).unwrap();
        assert_eq!(serde_json::from_str::<Answers>(&text).unwrap(), answers());
        // What a later version knows beside it, and what an earlier one did not, is no hindrance.
        let read: Answers = serde_json::from_str(r#"{"from":{"written":"a"},"else":1}"#).unwrap();
        assert_eq!(read.from.written, "a");
    }
}
