//! COPY (RFC 9051, 6.4.7).

use super::append::uid_set;
use super::{Done, Session, bad, no, ok};
use crate::fault::{Fault, Occasion};
use crate::fetch;
use crate::world::Asked;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    /// A UID that is not there is left out; without any it is OK, and nothing is said of UIDs.
    pub(super) async fn copy(&mut self, user: &str, by_uid: bool, set: &str, to: &str) -> Option<Done> {
        let Some(selected) = &self.selected else { return Some(bad("no mailbox is open")) };
        let from = selected.name.clone();
        let named = self.sandbox.with(user, |account| {
            let mailbox = account.mailbox(&from)?;
            let named = fetch::select(mailbox, set, by_uid)?;
            Some(named.into_iter().map(|i| mailbox.messages[i].uid).collect::<Vec<_>>())
        });
        let Some(mut named) = named.flatten() else { return Some(bad("no set")) };
        if let Some((_, limit)) = self.sandbox.first_within_limit("COPY", named.len()) {
            named.truncate(limit);
        }
        let fault = self.sandbox.strike(Occasion::Copy, &Asked { mailbox: to, uids: &named });
        if let Some(Fault::LateCopy(late)) = fault {
            let (sandbox, user, from, to) = (self.sandbox.clone(), user.to_owned(), from, to.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                sandbox.copy(&user, &from, &to, &named)
            });
            return None;
        }
        let copied = self.sandbox.copy(user, &from, to, &named);
        if fault == Some(Fault::DropAfterCopy) {
            return None;
        }
        if let (Some(Fault::SpoilCopy), Some((_, pairs))) = (&fault, &copied) {
            self.sandbox.spoil(user, to, pairs.iter().map(|(_, new)| *new));
        }
        let Some((uid_validity, pairs)) = copied else { return Some(no("[TRYCREATE] no such mailbox")) };
        if pairs.is_empty() || fault == Some(Fault::CopyUidMissing) || !self.profile().uidplus {
            return Some(ok("done"));
        }
        let (old, new): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        Some(Done::Ok(format!("[COPYUID {uid_validity} {} {}] done", uid_set(&old), uid_set(&new))))
    }
}
