//! An odd account: messages, flags, dates and names at which real servers were seen to stumble, put into an account as far as
//! its server takes them.
//!
//! The cases are those with which this project probed eight kinds of servers before it was written (docs/servers.md); they are
//! data here, so that a clone has them. Nothing is expected of a server: what it refuses is told, and what it makes of the rest
//! is found by reading the account afterwards.

mod marks;
mod messages;
mod names;

use crate::account::Account;
use crate::wire::{Piece, Wire, WireError};

pub use marks::{DATES, flag_sets};
pub use messages::messages;
pub use names::names;

/// Holds the odd messages.
pub const MESSAGES_MAILBOX: &str = "Odd messages";
/// Holds a small message for each set of flags.
pub const FLAGS_MAILBOX: &str = "Odd flags";
/// Holds a small message for each date.
pub const DATES_MAILBOX: &str = "Odd dates";
/// The date of messages that are about something else.
const DATE: &str = "03-Mar-2020 10:11:12 +0000";
/// A server that ends the connection at a case is asked again from the next case on, so often.
const LOGINS_MAX: u32 = 100;

/// What an account's server did not take: `what` is the case, `why` are its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which kind of case.
    pub kind: Kind,
    /// The name of the case.
    pub what: String,
    /// What the server said.
    pub why: String,
}

/// The kinds of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Octets of a message.
    Message,
    /// A set of flags.
    Flags,
    /// An INTERNALDATE.
    Date,
    /// A mailbox name.
    Name,
}

/// Puts every odd thing that the server takes into an account, and tells what it did not take.
///
/// # Errors
/// If the server is not there, or ends more than a hundred connections.
pub fn plant(account: &Account) -> Result<Vec<Refused>, WireError> {
    let mut planter = Planter { account, wire: account.login()?, logins: 1, letters: 0, refused: Vec::new() };
    let home = account.home()?;
    for name in [MESSAGES_MAILBOX, FLAGS_MAILBOX, DATES_MAILBOX] {
        planter.wire.create(&home.wire_of(name))?;
    }
    for (what, octets) in messages() {
        planter.letter(Kind::Message, what, &home.wire_of(MESSAGES_MAILBOX), "", Some(DATE), &octets)?;
    }
    for flags in flag_sets() {
        let octets = planter.fresh();
        planter.letter(Kind::Flags, &flags, &home.wire_of(FLAGS_MAILBOX), &flags, Some(DATE), &octets)?;
    }
    for date in DATES {
        let octets = planter.fresh();
        let what = date.unwrap_or("none");
        planter.letter(Kind::Date, what, &home.wire_of(DATES_MAILBOX), "\\Seen", *date, &octets)?;
    }
    for (what, name) in names(home.delimiter()) {
        planter.mailbox(what, &home.wire_of_octets(&name))?;
    }
    planter.wire.logout()?;
    Ok(planter.refused)
}

struct Planter<'a> {
    account: &'a Account,
    wire: Wire,
    logins: u32,
    letters: u32,
    refused: Vec<Refused>,
}

impl Planter<'_> {
    /// A small message, another one each time: some servers take no more than ten equal ones in a mailbox.
    fn fresh(&mut self) -> Vec<u8> {
        self.letters += 1;
        let name = format!("small-{}", self.letters);
        messages::letter(&name, b"", b"x\r\n")
    }

    /// Appends one message; flags and date as they are, lawful or not.
    fn letter(
        &mut self,
        kind: Kind,
        what: &str,
        mailbox: &str,
        flags: &str,
        date: Option<&str>,
        octets: &[u8],
    ) -> Result<bool, WireError> {
        let date = date.map(|date| format!("\"{date}\" ")).unwrap_or_default();
        let middle = format!(" ({flags}) {date}");
        let name = mailbox.as_bytes().to_vec();
        let pieces = [Piece::Text(b"APPEND "), Piece::String(&name), Piece::Text(middle.as_bytes())];
        self.attempt(kind, what, &[&pieces[..], &[Piece::Literal(octets)]].concat())
    }

    /// Creates a mailbox, puts a message into it, and subscribes to it.
    fn mailbox(&mut self, what: &str, name: &[u8]) -> Result<(), WireError> {
        if !self.attempt(Kind::Name, what, &[Piece::Text(b"CREATE "), Piece::String(name)])? {
            return Ok(());
        }
        let octets = self.fresh();
        let middle = format!(" (\\Seen) \"{DATE}\" ");
        let append = [
            Piece::Text(b"APPEND "),
            Piece::String(name),
            Piece::Text(middle.as_bytes()),
            Piece::Literal(&octets),
        ];
        if self.attempt(Kind::Name, what, &append)? {
            self.attempt(Kind::Name, what, &[Piece::Text(b"SUBSCRIBE "), Piece::String(name)])?;
        }
        Ok(())
    }

    /// One command: whether the server took it. A connection that it ended is opened again.
    fn attempt(&mut self, kind: Kind, what: &str, pieces: &[Piece<'_>]) -> Result<bool, WireError> {
        let why = match self.wire.attempt(pieces) {
            Ok(()) => return Ok(true),
            Err(WireError::No(text)) => format!("NO {text}"),
            Err(WireError::Bad(text)) => format!("BAD {text}"),
            Err(error) if self.logins >= LOGINS_MAX => return Err(error),
            Err(error) => {
                self.logins += 1;
                self.wire = self.account.login()?;
                error.to_string()
            }
        };
        self.refused.push(Refused { kind, what: what.to_owned(), why });
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let all = |names: Vec<String>| (names.len(), names.into_iter().collect::<BTreeSet<_>>().len());
        let (cases, different) = all(messages().into_iter().map(|(name, _)| name.to_owned()).collect());
        assert_eq!((cases, different), (50, 50));
        let (cases, different) = all(names('/').into_iter().map(|(name, _)| name.to_owned()).collect());
        assert_eq!((cases, different), (95, 95));
        let (cases, different) = all(flag_sets());
        assert_eq!((cases, different), (44, 44));
        assert_eq!(DATES.len(), 35);
    }
}
