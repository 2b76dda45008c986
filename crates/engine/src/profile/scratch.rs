//! The mailboxes of a probe: how they are called, and how they are removed.
//!
//! A mailbox is a probe's if its name holds the token of that probe, 80 random bits that the journal knew before the mailbox
//! was made. It is deleted only while every message in it is the probe's, too (law 8).

use super::letters;
use crate::end::{Prefix, TargetSession};
use crate::error::EndError;
use crate::limits::PROBE_READ_OCTETS_MAX;
use crate::message::Key;
use crate::names;
use bytes::Bytes;
use std::collections::HashSet;

/// What names of a probe begin with.
const STEM: &str = "mailhaul-probe-";
/// Random octets of a token.
const TOKEN_OCTETS: usize = 10;
/// How often what is left is deleted again: a server may keep a node without mail while something lies below it.
const ROUNDS: usize = 2;

/// Where a probe works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scratch {
    /// Its token.
    pub(crate) token: String,
    /// The mailbox of its messages, as the server writes it.
    pub(crate) wire: Bytes,
    /// The hierarchy delimiter.
    pub(crate) delimiter: Option<char>,
    /// The prefix of names at the top.
    home: Bytes,
    utf8: bool,
}

impl Scratch {
    /// A scratch mailbox in the place where new mailboxes go. Names travel as UTF-8, or else as modified UTF-7.
    pub(crate) fn new(token: String, home: &Prefix, utf8: bool) -> Self {
        let wire = [&home.wire[..], STEM.as_bytes(), token.as_bytes()].concat().into();
        Self { token, wire, delimiter: home.delimiter, home: home.wire.clone(), utf8 }
    }

    /// Its name without the prefix.
    pub(crate) fn own(&self) -> String {
        format!("{STEM}{}", self.token)
    }

    /// A mailbox at the top. Its component must hold [`Scratch::own`].
    pub(crate) fn at_top(&self, component: &str) -> Bytes {
        [&self.home[..], &names::encode(component, self.utf8)].concat().into()
    }

    /// A mailbox below it; `None` in a flat name space.
    pub(crate) fn below(&self, component: &str) -> Option<Bytes> {
        let delimiter = [u8::try_from(self.delimiter?).ok()?];
        Some([&self.wire[..], &delimiter, &names::encode(component, self.utf8)].concat().into())
    }

    /// A mailbox beside it.
    pub(crate) fn beside(&self, component: &str) -> Bytes {
        [&self.wire[..], b"-", &names::encode(component, self.utf8)].concat().into()
    }

    /// A mailbox below INBOX; `None` where all of them lie there, or none can.
    pub(crate) fn below_inbox(&self) -> Option<Bytes> {
        let delimiter = u8::try_from(self.delimiter?).ok()?;
        let first = self.wire.split(|b| *b == delimiter).next()?;
        let name = self.own();
        (!names::is_inbox(first))
            .then(|| [names::INBOX.as_bytes(), &[delimiter], name.as_bytes()].concat().into())
    }
}

/// A new token; `None` where the machine gives no random numbers.
pub(crate) fn token() -> Option<String> {
    let mut octets = [0; TOKEN_OCTETS];
    aws_lc_rs::rand::fill(&mut octets).ok()?;
    Some(octets.iter().map(|b| format!("{b:02x}")).collect())
}

/// A mailbox of a probe that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name, for display.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Deletes the mailboxes of the probe with this token; `told`: UIDs of the scratch mailbox that the server gave to its
/// messages. What stays is returned.
///
/// # Errors
/// The connection's, and what LIST is refused with.
pub(crate) async fn clean<T: TargetSession>(
    session: &mut T,
    token: &str,
    told: &HashSet<Key>,
) -> Result<Vec<Left>, EndError> {
    let mut foreign: Vec<(Bytes, Left)> = Vec::new();
    let (mut left, mut looked) = (Vec::new(), HashSet::new());
    for round in 0..=ROUNDS {
        let mut there: Vec<(Bytes, String, bool)> = session
            .mailboxes()
            .await?
            .into_iter()
            .filter(|info| bears(&info.wire, token))
            .map(|info| (info.wire, info.text, info.selectable))
            .collect();
        // Children first.
        there.sort_by_key(|(wire, ..)| std::cmp::Reverse(wire.len()));
        for (wire, name, selectable) in &there {
            if *selectable && looked.insert(wire.clone()) {
                let why = objection(session, wire, token, told).await?;
                foreign.extend(why.map(|why| (wire.clone(), Left { name: name.clone(), why })));
            }
        }
        // What lies above mail of somebody stays, too.
        there.retain(|(wire, ..)| !foreign.iter().any(|(kept, _)| kept.starts_with(wire)));
        if there.is_empty() {
            left.clear();
            break;
        }
        if round < ROUNDS {
            left = delete(session, &there).await?;
        }
    }
    Ok(left.into_iter().chain(foreign.into_iter().map(|(_, left)| left)).collect())
}

/// Deletes them; what each refusal said.
async fn delete<T: TargetSession>(
    session: &mut T,
    doomed: &[(Bytes, String, bool)],
) -> Result<Vec<Left>, EndError> {
    // No mailbox is deleted while it is open here: some servers end the connection then.
    if let Err(error) = session.open(&Bytes::from_static(names::INBOX.as_bytes())).await
        && error.is_connection()
    {
        return Err(error);
    }
    let wires: Vec<Bytes> = doomed.iter().map(|(wire, ..)| wire.clone()).collect();
    let deleted = session.delete_each(&wires).await?;
    let of = |((_, name, _), outcome): (&(Bytes, String, bool), Result<(), EndError>)| Left {
        name: name.clone(),
        why: outcome.err().map_or_else(|| "it is listed after it was deleted".into(), |e| e.to_string()),
    };
    Ok(doomed.iter().zip(deleted).map(of).collect())
}

/// Why a mailbox must not be deleted: a message in it that is not the probe's, or that cannot be read.
async fn objection<T: TargetSession>(
    session: &mut T,
    wire: &Bytes,
    token: &str,
    told: &HashSet<Key>,
) -> Result<Option<String>, EndError> {
    let listing = match session.open_and_list(wire).await {
        Ok(listing) => listing,
        Err(error) if error.is_connection() => return Err(error),
        Err(error) => return Ok(Some(format!("it cannot be looked into: {error}"))),
    };
    if !listing.is_complete() {
        return Ok(Some("it is not listed whole".into()));
    }
    let unknown: Vec<Key> = listing.keys.into_iter().filter(|uid| !told.contains(uid)).collect();
    if unknown.is_empty() {
        return Ok(None);
    }
    let read = session.octets_of(&unknown, crate::end::Section::Whole, PROBE_READ_OCTETS_MAX).await?;
    let ours = read.iter().filter(|(_, octets)| letters::is_ours(token, octets)).count();
    Ok((ours < unknown.len()).then(|| "it holds mail that the probe did not put there".into()))
}

/// True for a name with this token in it; a server may have changed its case.
fn bears(wire: &[u8], token: &str) -> bool {
    memchr::memmem::find(&wire.to_ascii_lowercase(), token.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(prefix: &str, delimiter: Option<char>) -> Scratch {
        let home = Prefix { wire: Bytes::copy_from_slice(prefix.as_bytes()), delimiter };
        Scratch::new("abc".into(), &home, false)
    }

    #[test]
    fn names_lie_where_new_mailboxes_go() {
        let plain = scratch("", Some('/'));
        assert_eq!(&plain.wire[..], b"mailhaul-probe-abc");
        assert_eq!(&plain.below("\u{e9}").unwrap()[..], b"mailhaul-probe-abc/&AOk-");
        assert_eq!(&plain.beside("x")[..], b"mailhaul-probe-abc-x");
        assert_eq!(&plain.below_inbox().unwrap()[..], b"INBOX/mailhaul-probe-abc");
        assert_eq!(scratch("INBOX.", Some('.')).below_inbox(), None);
        let flat = scratch("", None);
        assert_eq!((flat.below("x"), flat.below_inbox()), (None, None));
    }

    #[test]
    fn tokens_differ_and_are_long() {
        let (a, b) = (token().unwrap(), token().unwrap());
        assert!(a != b && a.len() == 2 * TOKEN_OCTETS && a.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(bears(b"INBOX.MAILHAUL-PROBE-ABC.x", "abc") && !bears(b"mailhaul-probe-abd", "abc"));
    }
}
