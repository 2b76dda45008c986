//! What an account holds, under the names of its server's wire, with octets.

use std::collections::{BTreeMap, BTreeSet};

use super::kinds::kinds;
use crate::account::{Account, Naming, levels};
use crate::image::{MailboxPath, MessageImage, Sha};
use crate::wire::{Listed, Wire, WireError};

/// A mailbox as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Where it lies below the personal namespace.
    pub path: MailboxPath,
    /// The levels of its name as listed, with the namespace.
    pub levels: Vec<String>,
    /// Its UIDVALIDITY.
    pub uid_validity: u32,
    /// Its messages, by UID.
    pub messages: BTreeMap<u32, Letter>,
}

/// A message as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Flags, date, digests. The octets are not kept.
    pub image: MessageImage,
    /// Digest of the octets with one kind of line end, and none at the very end.
    pub normal: Sha,
    /// Digest of the octets without any CR.
    pub without_cr: Sha,
    /// Of which kinds it is.
    pub kinds: BTreeSet<&'static str>,
}

impl Letter {
    /// A message with these octets.
    #[must_use]
    pub fn new(image: MessageImage, octets: &[u8]) -> Self {
        let without_cr: Vec<u8> = octets.iter().copied().filter(|octet| *octet != b'\r').collect();
        Self { image, normal: normal(octets), without_cr: digest(&without_cr), kinds: kinds(octets) }
    }
}

/// Everything in an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// The mailboxes that can be opened, by the name that the server lists.
    pub mailboxes: BTreeMap<String, Held>,
    /// Mailboxes that are listed as if they could be opened, and cannot: the name, and what the server said.
    pub unopened: BTreeMap<String, String>,
    /// Subscribed names, as listed.
    pub subscriptions: BTreeSet<String>,
}

impl Holding {
    /// Reads an account.
    ///
    /// # Errors
    /// If the server is not there, or hangs up, or gives less than it announced.
    pub fn read(account: &Account) -> Result<Self, WireError> {
        let mut wire = account.login()?;
        let naming = Naming::ask(&mut wire)?;
        let mut holding = Self::default();
        for row in wire.list()? {
            if row.has("\\Noselect") || row.has("\\NonExistent") || naming.is_foreign(&row) {
                continue;
            }
            match read_mailbox(&mut wire, &row, naming.path(&row)) {
                Ok(held) => _ = holding.mailboxes.insert(row.name, held),
                Err(WireError::No(why)) => _ = holding.unopened.insert(row.name, why),
                Err(error) => return Err(error),
            }
        }
        let subscribed = wire.lsub()?.into_iter().filter(|row| !row.has("\\Noselect"));
        holding.subscriptions = subscribed.map(|row| row.name).collect();
        wire.logout()?;
        Ok(holding)
    }

    /// Number of messages.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.mailboxes.values().map(|held| held.messages.len()).sum()
    }
}

fn read_mailbox(wire: &mut Wire, row: &Listed, path: MailboxPath) -> Result<Held, WireError> {
    let mut messages = BTreeMap::new();
    let opened = wire.fetch_all(&row.name, true, |fetched| {
        let mut content = fetched.content;
        let octets = content.octets.take().unwrap_or_default();
        let image = MessageImage {
            uid: fetched.uid,
            flags: fetched.flags,
            internal_date: fetched.internal_date,
            content,
        };
        messages.insert(fetched.uid, Letter::new(image, &octets));
    })?;
    let levels = levels(&row.name, row.delimiter);
    Ok(Held { path, levels, uid_validity: opened.uid_validity, messages })
}

/// Digest of the octets in which every line end, be it LF after any number of CRs or a CR alone, is CRLF, without those at the
/// very end.
fn normal(octets: &[u8]) -> Sha {
    let mut out = Vec::with_capacity(octets.len());
    let mut at = 0;
    while at < octets.len() {
        let crs = octets[at..].iter().take_while(|octet| **octet == b'\r').count();
        let ends_in_lf = octets.get(at + crs) == Some(&b'\n');
        match (crs, ends_in_lf) {
            (_, true) => {
                out.extend_from_slice(b"\r\n");
                at += crs + 1;
            }
            (0, false) => {
                out.push(octets[at]);
                at += 1;
            }
            (crs, false) => {
                out.extend(b"\r\n".repeat(crs));
                at += crs;
            }
        }
    }
    while out.ends_with(b"\r\n") {
        out.truncate(out.len() - 2);
    }
    digest(&out)
}

fn digest(octets: &[u8]) -> Sha {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(octets).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_one_and_those_at_the_end_are_none() {
        let crlf = normal(b"a\r\nb\r\n\r\nc");
        for same in [&b"a\nb\n\nc"[..], b"a\r\r\nb\r\n\r\nc\r\n\r\n", b"a\rb\r\rc", b"a\r\nb\r\n\r\nc\r"] {
            assert_eq!(normal(same), crlf, "{same:?}");
        }
        assert_ne!(normal(b"a\r\nb\r\nc"), crlf);
        assert_ne!(normal(b"a b"), normal(b"ab"));
    }
}
