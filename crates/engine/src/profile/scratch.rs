//! The mailboxes of a probe: how they are called, and how they are removed.
//!
//! A mailbox is a probe's if its name holds the token of that probe, 80 random bits that the journal knew before the mailbox
//! was made. It is deleted only right after a look that found nothing in it but the probe's own (law 8). IMAP has no DELETE on
//! a condition: what comes between that look and the DELETE is not seen ([`remove`]).

use super::letters::{self, Token};
use crate::end::{Depth, MailboxInfo, Prefix, Section, Seen, TargetSession};
use crate::error::EndError;
use crate::limits::PROBE_READ_OCTETS_MAX;
use crate::message::Key;
use crate::names;
use bytes::Bytes;
use std::collections::HashMap;
use tokio::sync::mpsc;

/// What names of a probe begin with.
const STEM: &str = "mailhaul-probe-";
/// How often what could not be deleted is tried.
const ROUNDS: usize = 2;
/// Rounds at most, where each deletes something: a mailbox is deleted in a round in which nothing lies below it.
const ROUNDS_MAX: usize = 8;
/// Messages that are read together.
const READ_MESSAGES: usize = 50;
/// A mailbox with more messages is not a probe's: one makes some sixty.
const MESSAGES_MAX: usize = 200;
/// Messages without octets that one probe leaves at most: one by itself, one in a MULTIAPPEND.
const EMPTY_MESSAGES_MAX: usize = 2;

/// Where a probe works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scratch {
    /// Its token.
    pub(crate) token: Token,
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
    pub(crate) fn new(token: Token, home: &Prefix, utf8: bool) -> Self {
        let wire = [&home.wire[..], STEM.as_bytes(), token.as_str().as_bytes()].concat().into();
        Self { token, wire, delimiter: home.delimiter, home: home.wire.clone(), utf8 }
    }

    /// Its name without the prefix.
    pub(crate) fn own(&self) -> String {
        own(&self.token)
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

/// The name of the scratch mailbox of the probe with this token, without the prefix.
pub(crate) fn own(token: &Token) -> String {
    format!("{STEM}{}", token.as_str())
}

/// A mailbox of a probe that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name, for display.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Deletes the mailboxes of the probe with this token, one after the other, those first under which nothing lies; all but
/// `spared`. What stays is returned.
///
/// # Errors
/// The connection's, and what LIST is refused with.
pub(crate) async fn clean<T: TargetSession>(
    session: &mut T,
    token: &Token,
    spared: Option<&Bytes>,
) -> Result<Vec<Left>, EndError> {
    let mut reasons: HashMap<Bytes, String> = HashMap::new();
    let (mut round, mut is_moving) = (0, true);
    loop {
        let listed = session.mailboxes().await?;
        let there: Vec<&MailboxInfo> = listed.iter().filter(|info| bears(&info.wire, token)).collect();
        let doomed = there.iter().filter(|info| Some(&info.wire) != spared);
        if round >= ROUNDS_MAX || (round >= ROUNDS && !is_moving) {
            return Ok(doomed.map(|info| left(info, &mut reasons)).collect());
        }
        is_moving = false;
        for info in doomed.filter(|info| !there.iter().any(|other| is_below(other, info))) {
            let why = remove(session, info, token).await?;
            is_moving |= why.is_none();
            let why = why.unwrap_or_else(|| "it is listed after it was deleted".into());
            reasons.insert(info.wire.clone(), why);
        }
        round += 1;
    }
}

fn left(info: &MailboxInfo, reasons: &mut HashMap<Bytes, String>) -> Left {
    let why =
        reasons.remove(&info.wire).unwrap_or_else(|| "another mailbox lies below it, which stays".into());
    Left { name: info.text.clone(), why }
}

/// Looks into a mailbox, opens another, and deletes it, with nothing in between; why it was not deleted.
async fn remove<T: TargetSession>(
    session: &mut T,
    info: &MailboxInfo,
    token: &Token,
) -> Result<Option<String>, EndError> {
    if info.selectable
        && let Some(why) = objection(session, &info.wire, token).await?
    {
        return Ok(Some(why));
    }
    // No mailbox is deleted while it is open here: some servers end the connection then.
    if let Err(error) = session.open(&Bytes::from_static(names::INBOX.as_bytes())).await
        && error.is_connection()
    {
        return Err(error);
    }
    let deleted = session.delete_each(std::slice::from_ref(&info.wire)).await?.pop();
    Ok(match deleted {
        Some(Ok(())) => None,
        Some(Err(error)) => Some(error.to_string()),
        None => Some("there was no answer to its DELETE".into()),
    })
}

/// Why a mailbox must not be deleted: a message in it that is not the probe's, or that cannot be read.
async fn objection<T: TargetSession>(
    session: &mut T,
    wire: &Bytes,
    token: &Token,
) -> Result<Option<String>, EndError> {
    match look(session, wire, token).await {
        Err(error) if error.is_connection() => Err(error),
        Err(error) => Ok(Some(format!("it cannot be looked into: {error}"))),
        Ok(why) => Ok(why.map(str::to_owned)),
    }
}

async fn look<T: TargetSession>(
    session: &mut T,
    wire: &Bytes,
    token: &Token,
) -> Result<Option<&'static str>, EndError> {
    const FOREIGN: Option<&str> = Some("it holds mail that the probe did not put there");
    let listing = session.open_and_list(wire).await?;
    if !listing.is_complete() {
        return Ok(Some("it is not listed whole"));
    }
    if listing.keys.len() > MESSAGES_MAX {
        return Ok(FOREIGN);
    }
    let mut empty: Vec<Key> = Vec::new();
    for some in listing.keys.chunks(READ_MESSAGES) {
        let read = session.octets_of(some, Section::Whole, PROBE_READ_OCTETS_MAX).await?;
        let (nothing, mail): (Vec<_>, Vec<_>) = read.iter().partition(|(_, octets)| octets.is_empty());
        if mail.iter().any(|(_, octets)| letters::number(token, octets).is_none()) {
            return Ok(FOREIGN);
        }
        if read.len() < some.len() {
            return Ok(Some("not every message in it can be read"));
        }
        empty.extend(nothing.iter().map(|(uid, _)| *uid));
    }
    // The probe puts messages into its scratch mailbox alone, and one or two empty ones among them.
    let may_be_ours = is_scratch(wire, token) && empty.len() <= EMPTY_MESSAGES_MAX;
    let are_ours = empty.is_empty() || (may_be_ours && are_of_no_octets(session, token, &empty).await?);
    if !are_ours {
        return Ok(FOREIGN);
    }
    // What came while it was read.
    let now = if listing.keys.is_empty() { Vec::new() } else { session.keys().await?.0 };
    Ok(if now == listing.keys { None } else { FOREIGN })
}

/// RFC822.SIZE says so, too: octets that were not given are not an empty message.
async fn are_of_no_octets<T: TargetSession>(
    session: &mut T,
    token: &Token,
    uids: &[Key],
) -> Result<bool, EndError> {
    let (out, mut facts) = mpsc::channel::<Seen>(MESSAGES_MAX);
    session.read(uids, Depth::Facts, out).await?;
    let mut ours = 0;
    while let Some(fact) = facts.recv().await {
        ours += usize::from(uids.contains(&fact.uid) && letters::is_ours(token, b"", fact.octets));
    }
    Ok(ours == uids.len())
}

/// True for a name with the whole name of this probe in it; a server may have changed its case.
fn bears(wire: &[u8], token: &Token) -> bool {
    memchr::memmem::find(&wire.to_ascii_lowercase(), own(token).as_bytes()).is_some()
}

/// True for the mailbox of the messages: nothing follows the name of the probe.
fn is_scratch(wire: &[u8], token: &Token) -> bool {
    wire.to_ascii_lowercase().ends_with(own(token).as_bytes())
}

fn is_below(info: &MailboxInfo, above: &MailboxInfo) -> bool {
    let delimiter = above.delimiter.and_then(|d| u8::try_from(d).ok());
    let rest = info.wire.strip_prefix(&above.wire[..]);
    rest.and_then(|rest| rest.first().copied()).is_some_and(|first| Some(first) == delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "mailhaul-probe-0123456789abcdef0123";

    fn token() -> Token {
        Token::parse("0123456789abcdef0123").unwrap()
    }

    fn scratch(prefix: &str, delimiter: Option<char>) -> Scratch {
        let home = Prefix { wire: Bytes::copy_from_slice(prefix.as_bytes()), delimiter };
        Scratch::new(token(), &home, false)
    }

    #[test]
    fn names_lie_where_new_mailboxes_go() {
        let plain = scratch("", Some('/'));
        assert_eq!(&plain.wire[..], OWN.as_bytes());
        assert_eq!(plain.below("\u{e9}").unwrap(), format!("{OWN}/&AOk-"));
        assert_eq!(plain.beside("x"), format!("{OWN}-x"));
        assert_eq!(plain.below_inbox().unwrap(), format!("INBOX/{OWN}"));
        assert_eq!(scratch("INBOX.", Some('.')).below_inbox(), None);
        let flat = scratch("", None);
        assert_eq!((flat.below("x"), flat.below_inbox()), (None, None));
    }

    #[test]
    fn a_mailbox_is_a_probes_by_the_whole_of_its_name() {
        let bears = |name: &str| super::bears(name.as_bytes(), &token());
        assert!(bears(&format!("INBOX.{}.x", OWN.to_uppercase())) && bears(&format!("~{OWN}lll")));
        assert!(!bears("0123456789abcdef0123") && !bears("mailhaul-probe-") && !bears("mailhaul-probe-0123"));
        assert!(is_scratch(OWN.as_bytes(), &token()) && !is_scratch(format!("{OWN}/x").as_bytes(), &token()));
    }
}
