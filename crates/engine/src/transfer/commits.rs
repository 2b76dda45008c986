//! COMMITs on their way to the disk, while uploads run.

use super::brain::BatchNo;
use crate::journal::{BatchId, JournalResult};
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
