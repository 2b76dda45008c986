//! Which messages of several mailboxes are larger than a limit, without a listing: by SEARCH (RFC 9051, 6.4.4).

use super::Link;
use crate::end::Large;
use crate::error::EndError;
use crate::imap_source::{date, key, uid_set};
use crate::message::Key;
use bytes::Bytes;
use mailhaul_imap::{Command, Untagged};

/// UIDs named by one FETCH.
const UIDS_AT_ONCE: usize = 500;
/// Mailboxes searched together. The first is searched alone: a server that does not search, or ends connections after some BADs,
/// is not asked again and again.
const MAILBOXES_AT_ONCE: usize = 32;

impl Link {
    /// The messages above so many octets of each mailbox, ascending; `None` for one that was not searched. Two round trips for
    /// some dozens of them, and one more for each that holds any.
    pub(crate) async fn larger(
        &mut self,
        mailboxes: &[Bytes],
        octets: u64,
    ) -> Result<Vec<Option<Vec<Large>>>, EndError> {
        let mut found: Vec<Option<Vec<Key>>> = Vec::with_capacity(mailboxes.len());
        let (first, others) = mailboxes.split_at(mailboxes.len().min(1));
        for some in std::iter::once(first).chain(others.chunks(MAILBOXES_AT_ONCE)) {
            if !self.search_larger(some, octets, &mut found).await? {
                break;
            }
        }
        found.resize(mailboxes.len(), None);
        let mut large = Vec::with_capacity(mailboxes.len());
        for (mailbox, keys) in mailboxes.iter().zip(found) {
            large.push(match keys {
                Some(keys) if !keys.is_empty() => self.sizes(mailbox, &keys).await?,
                Some(_) => Some(Vec::new()),
                None => None,
            });
        }
        Ok(large)
    }

    /// Searches these together. False when the server does not search what it opens.
    async fn search_larger(
        &mut self,
        mailboxes: &[Bytes],
        octets: u64,
        found: &mut Vec<Option<Vec<Key>>>,
    ) -> Result<bool, EndError> {
        let searching = |mailbox| [self.examining(mailbox), Command::uid_search_larger(octets)];
        let together = mailboxes.iter().flat_map(searching).collect();
        let mut replies = self.ask_all(together, "UID SEARCH").await?.into_iter();
        let mut goes_on = true;
        while let Some((opened, searched)) = replies.next().zip(replies.next()) {
            goes_on &= opened.is_err() || searched.is_ok();
            // It says nothing of the mailbox: all of it is asked later.
            for reply in [&opened, &searched] {
                if let Err(error) = reply.as_ref()
                    && error.is_to_be_asked_later()
                {
                    return Err(error.clone());
                }
            }
            // After a refused EXAMINE nothing may be open, or what was open before.
            found.push(opened.and(searched).ok().map(|searched| keys(searched.data)));
        }
        Ok(goes_on)
    }

    /// Sizes and dates of messages of one mailbox.
    async fn sizes(&mut self, mailbox: &Bytes, keys: &[Key]) -> Result<Option<Vec<Large>>, EndError> {
        let fetch = |some: &[Key]| {
            Command::uid_fetch(&uid_set(some.iter().copied()).to_string(), "(UID RFC822.SIZE INTERNALDATE)")
        };
        let together =
            std::iter::once(self.examining(mailbox)).chain(keys.chunks(UIDS_AT_ONCE).map(fetch)).collect();
        let mut large = Vec::with_capacity(keys.len());
        for reply in self.ask_all(together, "UID FETCH").await? {
            let reply = match reply {
                Ok(reply) => reply,
                Err(error) if error.is_to_be_asked_later() => return Err(error),
                Err(_) => return Ok(None),
            };
            large.extend(reply.data.into_iter().filter_map(|data| match data {
                Untagged::Fetch(fetch) => {
                    Some(Large { key: key(fetch.uid?), octets: fetch.size?, internal_date: date(&fetch) })
                }
                _ => None,
            }));
        }
        large.sort_by_key(|message| message.key);
        large.dedup_by_key(|message| message.key);
        Ok(Some(large))
    }
}

fn keys(data: Vec<Untagged>) -> Vec<Key> {
    let found = data.into_iter().filter_map(|data| match data {
        Untagged::Search(uids) => Some(uids),
        _ => None,
    });
    let mut keys: Vec<Key> = found.flatten().map(|uid| Key(uid.into())).collect();
    keys.sort_unstable();
    keys
}
