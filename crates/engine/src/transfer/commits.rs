//! COMMITs on their way to the disk, while uploads run; how long a gate may open after one, and the end of a batch.

use super::brain::BatchNo;
use crate::clock::Stamp;
use crate::context::Context;
use crate::error::Error;
use crate::journal::{BatchEnd, BatchId, Change, ItemId, Journal, JournalError, JournalResult};
use crate::message::Key;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

type Commit = Pin<Box<dyn Future<Output = JournalResult<BatchId>> + Send>>;

/// At most two are under way: the batch at its gate and the one behind.
#[derive(Default)]
pub struct Commits(BTreeMap<BatchNo, (Instant, Commit)>);

impl Commits {
    /// Starts one.
    pub fn start(
        &mut self,
        no: BatchNo,
        commit: impl Future<Output = JournalResult<BatchId>> + Send + 'static,
    ) {
        self.0.insert(no, (Instant::now(), Box::pin(commit)));
    }

    /// True when none is under way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next one that is done, with the time it took. Pending for ever while there is none.
    pub async fn next(&mut self) -> (BatchNo, JournalResult<BatchId>, Duration) {
        std::future::poll_fn(|cx| {
            for (no, (began, commit)) in &mut self.0 {
                if let Poll::Ready(result) = commit.as_mut().poll(cx) {
                    let (no, took) = (*no, began.elapsed());
                    self.0.remove(&no);
                    return Poll::Ready((no, result, took));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Waits for one, if it is under way.
    pub async fn finish(&mut self, no: BatchNo) -> JournalResult<Option<BatchId>> {
        match self.0.remove(&no) {
            Some((_, commit)) => commit.await.map(Some),
            None => Ok(None),
        }
    }
}

/// True shortly after a COMMIT became durable: no gate opens later (architecture.md, Journal).
pub fn is_fresh<S, T, J: Journal>(ctx: &Context<S, T, J>, durable_at: Stamp) -> bool {
    ctx.clock.at_most_since(durable_at) <= ctx.settings.limits.gate_after_commit_max
}

/// True while the lease lasts as long as whoever opens a gate needs it.
pub fn lease_lasts<S, T, J: Journal>(ctx: &Context<S, T, J>) -> bool {
    let margin = ctx.settings.limits.lease_margin;
    let left = |expires: std::time::SystemTime| expires.duration_since(ctx.clock.wall());
    ctx.journal.lease().expires.is_none_or(|expires| left(expires).is_ok_and(|left| left >= margin))
}

/// Ends a batch. The server may name a UID that another message owns, because it merged the two: such a message gets no
/// place, and is given back with that UID.
pub async fn end_batch<S, T, J: Journal>(
    ctx: &Context<S, T, J>,
    id: BatchId,
    end: BatchEnd,
    changes: &mut [Change],
) -> Result<Vec<(ItemId, Key)>, Error> {
    let mut merged = Vec::new();
    loop {
        match ctx.journal.end_batch(id, end, changes).await {
            Ok(()) => return Ok(merged),
            Err(JournalError::ClaimTaken { uid, by, mailbox }) => {
                // Of two of this batch the first one is the owner.
                let mut later = changes.iter_mut().rev();
                let taken = later.find(|c| c.place.is_some_and(|(p, _)| p.uid == uid));
                let Some(change) = taken else {
                    return Err(JournalError::ClaimTaken { uid, by, mailbox }.into());
                };
                change.place = None;
                merged.push((change.item, uid));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
