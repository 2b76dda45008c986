//! The messages of a small mailbox that is new to this migration: asked for with its listing, before it is known which there are.
//! They count as far as the listing shows them; whatever else came, or did not, is asked for in the ordinary way.

use super::feed::Lot;
use super::following::Bodies;
use super::job::Job;
use crate::context::Context;
use crate::end::{Abilities, FetchEvent, Source, Target, Unlisted};
use crate::error::{EndError, Error};
use crate::journal::{Journal, Side};
use crate::message::{Key, UidValidity};
use crate::quirks::Doing;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// What is asked for with a listing.
pub(super) struct Together {
    expected: Expected,
    memory: Lot,
}

/// Of what it is, by STATUS.
pub(super) struct Expected {
    epoch: UidValidity,
    /// Messages that came later have this UID or a higher one: they are not asked for.
    below: Key,
}

impl Together {
    /// The messages of a mailbox, where STATUS tells that they are few and short enough for memory that is free now, where no run
    /// has listed them yet, and where each of them is wanted. A size that may be too low says nothing of the memory they need.
    pub(super) async fn of<S: Source, T: Target, J: Journal>(
        ctx: &Context<S, T, J>,
        job: &Job,
        source: &Abilities,
        memory: &Arc<Semaphore>,
    ) -> Result<Option<Self>, Error> {
        let Some(told) = job.told else { return Ok(None) };
        let (Some(octets), Some(epoch), Some(below)) = (told.octets, told.uid_validity, told.uid_next) else {
            return Ok(None);
        };
        let all_wanted = job.share.is_none() && ctx.settings.selection.since.is_none();
        if !all_wanted || source.does.sizes_are_estimates || below <= Key(1) {
            return Ok(None);
        }
        if !ctx.journal.epochs(job.record.id, Side::Source).await?.is_empty() {
            return Ok(None);
        }
        let limits = ctx.settings.limits.narrowed(source.command_messages_max, None);
        let lot = Lot::reserve_now(&limits, told.messages, octets, memory);
        Ok(lot.map(|memory| Self { expected: Expected { epoch, below }, memory }))
    }

    /// The question, whose answers go to `out`, and what they are judged by.
    pub(super) fn ask<S, T, J>(
        self,
        ctx: &Context<S, T, J>,
        out: mpsc::Sender<FetchEvent>,
    ) -> (Expected, Unlisted) {
        let Self { expected, memory } = self;
        let (below, intake) = (expected.below, ctx.intake.clone());
        (expected, Unlisted { below, memory, intake, out })
    }
}

/// What came before it was its turn.
pub(super) struct Came {
    /// The session can be used further.
    pub(super) usable: bool,
    /// All that was asked for is here.
    pub(super) all: bool,
    pub(super) bodies: Bodies,
    /// The source asked for patience instead of giving some of it.
    pub(super) throttled: Option<EndError>,
}

impl Came {
    pub(super) fn nothing() -> Self {
        Self { usable: true, all: true, bodies: Bodies::new(), throttled: None }
    }

    /// How it ended; after [`judge`](Self::judge), which counts what came.
    pub(super) fn ended(&mut self, ended: Result<(), EndError>) {
        let Err(error) = ended else { return };
        self.usable = false;
        // It is asked for once more, before the one at which the connection broke: one that is answered in the same command says
        // of the next that it is to blame.
        self.bodies.pop_last();
        let asks = Some(error).filter(|error| error.asks_for_patience().is_some());
        self.throttled = self.throttled.take().or(asks);
    }

    /// Pure: drops what the listing does not show, with the memory reserved for it. `listed`: its UIDs, ascending.
    pub(super) fn judge(&mut self, expected: &Expected, epoch: UidValidity, listed: &[Key]) {
        if epoch != expected.epoch {
            self.bodies.clear();
        }
        self.bodies.retain(|key, _| listed.binary_search(key).is_ok());
        let asked = listed.partition_point(|key| *key < expected.below);
        self.all = self.bodies.len() >= asked;
    }
}

/// Takes in what a source gives until it gives no more. What it says of a message that did not come is found out when it is its
/// turn.
pub(super) async fn gather(mut events: mpsc::Receiver<FetchEvent>) -> Came {
    let mut came = Came::nothing();
    while let Some(event) = events.recv().await {
        match event {
            FetchEvent::Fetched(fetched) => _ = came.bodies.insert(fetched.key, fetched),
            FetchEvent::RangeDone { refused: Some(refusal), .. }
                if refusal.asks_for_patience(Doing::Fetch) =>
            {
                let (server, doing) = ("the old server".to_owned(), "UID FETCH");
                came.throttled.get_or_insert(EndError::Refused { server, doing, refusal });
            }
            FetchEvent::RangeDone { .. } | FetchEvent::NoBody { .. } => {}
        }
    }
    came
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::end::Fetched;
    use crate::transfer::spool::Intake;
    use bytes::Bytes;

    async fn came(keys: &[i64]) -> Came {
        let mut came = Came::nothing();
        for key in keys.iter().map(|key| Key(*key)) {
            let body = Intake::new("/nonexistent", 100).body(Bytes::from_static(b"x")).await.unwrap();
            came.bodies.insert(key, Fetched { key, flags: None, body });
        }
        came
    }

    /// What came, the epoch that was told and that of the listing, what is listed; what counts, and whether that is all.
    #[tokio::test]
    async fn a_message_counts_only_if_the_listing_of_the_epoch_that_was_told_shows_it() {
        type Case = (&'static [i64], (u32, u32), &'static [i64], &'static [i64], bool);
        let table: [Case; 6] = [
            (&[1, 2, 3], (7, 7), &[1, 2, 3], &[1, 2, 3], true),
            (&[1, 2, 3], (7, 7), &[1, 3], &[1, 3], true),
            (&[1, 3], (7, 7), &[1, 2, 3], &[1, 3], false),
            // Delivered after it was told, and not asked for.
            (&[1, 2], (7, 7), &[1, 2, 10, 11], &[1, 2], true),
            (&[1, 2, 3], (7, 8), &[1, 2, 3], &[], false),
            (&[], (7, 7), &[], &[], true),
        ];
        for (keys, (told, epoch), listed, left, all) in table {
            let mut came = came(keys).await;
            let expected = Expected { epoch: UidValidity(told), below: Key(10) };
            let listed: Vec<Key> = listed.iter().map(|key| Key(*key)).collect();
            came.judge(&expected, UidValidity(epoch), &listed);
            let kept: Vec<i64> = came.bodies.keys().map(|key| key.0).collect();
            assert_eq!((kept.as_slice(), came.all), (left, all), "{keys:?} of {listed:?}");
        }
    }

    #[tokio::test]
    async fn the_last_one_before_the_connection_broke_is_asked_for_once_more() {
        let mut broken = came(&[1, 2, 3]).await;
        let (server, doing) = ("old".to_owned(), "UID FETCH");
        broken.ended(Err(EndError::Lost { server, doing, what: "end of the connection".into() }));
        assert_eq!((broken.bodies.into_keys().last(), broken.usable), (Some(Key(2)), false));
        let mut whole = came(&[1, 2, 3]).await;
        whole.ended(Ok(()));
        assert_eq!((whole.bodies.len(), whole.usable), (3, true));
    }
}
