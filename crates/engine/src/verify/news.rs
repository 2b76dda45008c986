//! What was stored while it is read back: who reads need not look for it.

use crate::journal::MailboxId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Messages stored in each mailbox of which no reader knows yet.
#[derive(Debug, Default)]
pub struct News {
    rung: Notify,
    stored: Mutex<HashMap<MailboxId, usize>>,
}

impl News {
    /// So many messages of a mailbox are stored, and the journal says so.
    pub fn tell(&self, mailbox: MailboxId, messages: usize) {
        *self.all().entry(mailbox).or_default() += messages;
        self.rung.notify_one();
    }

    /// How many were stored in a mailbox since this was asked last.
    pub(super) fn take(&self, mailbox: MailboxId) -> usize {
        self.all().remove(&mailbox).unwrap_or(0)
    }

    /// Until something is told; at once if that was so since the last time.
    pub(super) async fn more(&self) {
        self.rung.notified().await;
    }

    fn all(&self) -> MutexGuard<'_, HashMap<MailboxId, usize>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
