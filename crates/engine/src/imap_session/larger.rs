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

impl Link {
    /// The messages above so many octets of each mailbox, ascending; `None` for one that was not searched. Two round trips
    /// for all of them, and one where none is larger.
    pub(crate) async fn larger(
        &mut self,
        mailboxes: &[Bytes],
        octets: u64,
    ) -> Result<Vec<Option<Vec<Large>>>, EndError> {
        let together = mailboxes
            .iter()
            .flat_map(|mailbox| [self.examining(mailbox), Command::uid_search_larger(octets)]);
        let together = together.collect();
        let mut replies = self.ask_all(together, "UID SEARCH").await?.into_iter();
        let mut found: Vec<Option<Vec<Key>>> = Vec::with_capacity(mailboxes.len());
        while let Some((opened, searched)) = replies.next().zip(replies.next()) {
            // After a refused EXAMINE nothing may be open, or what was open before.
            found.push(opened.and(searched).ok().map(|searched| keys(searched.data)));
        }
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

    /// Sizes and dates of messages of one mailbox.
    async fn sizes(&mut self, mailbox: &Bytes, keys: &[Key]) -> Result<Option<Vec<Large>>, EndError> {
        let fetch = |some: &[Key]| {
            Command::uid_fetch(&uid_set(some.iter().copied()).to_string(), "(UID RFC822.SIZE INTERNALDATE)")
        };
        let together =
            std::iter::once(self.examining(mailbox)).chain(keys.chunks(UIDS_AT_ONCE).map(fetch)).collect();
        let mut large = Vec::with_capacity(keys.len());
        for reply in self.ask_all(together, "UID FETCH").await? {
            let Ok(reply) = reply else { return Ok(None) };
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
