//! Watches a journal while it is written: which states its messages move through, and who claims what.
//!
//! The table of moves is written down here from docs/design/journal.md, not taken from the engine.

use futures_util::FutureExt as _;
use mailhaul_engine::journal::memory::{Hook, MemoryJournal, MemoryStore, Write};
use mailhaul_engine::journal::{Item, ItemId, Journal, Origin, Query};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// From each state to those that one write may make of it. A COMMIT takes a message from `listed` or `refused` through
/// `fetched` to `committed` at once, and `unreadable` and `refused` are passed through on the way to `exception`.
const MOVES: &[(&str, &[&str])] = &[
    (
        "listed",
        &[
            "fetched",
            "excluded",
            "unreadable",
            "gone_at_source",
            "already_there",
            "committed",
            "refused",
            "exception",
        ],
    ),
    ("fetched", &["committed", "listed", "refused"]),
    ("committed", &["stored", "merged", "refused", "in_doubt", "listed"]),
    ("in_doubt", &["stored", "listed"]),
    (
        "stored",
        &["verified", "merged", "exception", "gone_at_target", "moved_at_target", "suspect", "listed"],
    ),
    ("verified", &["exception", "gone_at_target", "moved_at_target", "suspect", "listed"]),
    ("already_there", &["exception", "gone_at_target", "moved_at_target", "suspect"]),
    ("merged", &["exception", "gone_at_target", "moved_at_target", "suspect"]),
    ("excluded", &["listed"]),
    ("refused", &["fetched", "exception", "listed", "committed"]),
    ("unreadable", &["exception", "listed", "gone_at_source"]),
    ("exception", &["listed"]),
    ("gone_at_source", &[]),
    ("gone_at_target", &[]),
    ("moved_at_target", &[]),
    ("suspect", &["stored", "listed"]),
];

#[derive(Default)]
struct Seen {
    states: BTreeMap<ItemId, &'static str>,
    wrong: Vec<String>,
    writes: u64,
}

/// The recorder of one journal.
#[derive(Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Seen>>);

impl Recorder {
    /// Watches the journal behind `store`, of which `journal` is a handle; `stop` is asked at every write as well.
    pub(super) fn watch(
        &self,
        store: &MemoryStore,
        journal: &MemoryJournal,
        stop: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        // What a crash made the journal forget is no move.
        self.seen().states.clear();
        self.look(journal, false);
        let (recorder, journal) = (self.clone(), journal.clone());
        let hook: Hook = Arc::new(move |write: Write| {
            if write.done {
                recorder.look(&journal, true);
            }
            stop()
        });
        store.set_hook(Some(hook));
    }

    /// What was wrong so far, and how many writes were looked at.
    pub(super) fn verdict(&self) -> (Vec<String>, u64) {
        let seen = self.seen();
        (seen.wrong.clone(), seen.writes)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, journal: &MemoryJournal, after_a_write: bool) {
        let all = Query { mailbox: None, states: &[], after: None, limit: usize::MAX };
        let Some(Ok(items)) = journal.items(all).now_or_never() else { return };
        let mut seen = self.seen();
        seen.writes += u64::from(after_a_write);
        for item in &items {
            let now = item.state.as_str();
            let before = seen.states.insert(item.id, now);
            let legal = match before {
                _ if !after_a_write => true,
                None => matches!(now, "listed" | "excluded"),
                Some(before) if before == now => true,
                Some(before) => MOVES.iter().any(|(from, to)| *from == before && to.contains(&now)),
            };
            if !legal {
                seen.wrong.push(format!("{:?} moved from {before:?} to {now}", item.id));
            }
        }
        if seen.states.len() > items.len() {
            seen.wrong.push("the journal forgot a message that was listed".into());
        }
        seen.wrong.extend(claimed_twice(&items));
    }
}

/// Law 5: one place at the target belongs to one message, unless the server merged two.
fn claimed_twice(items: &[Item]) -> Vec<String> {
    let mut owners = BTreeMap::new();
    let mut wrong = Vec::new();
    for item in items.iter().filter(|i| i.origin != Some(Origin::Shared)) {
        let Some(place) = item.place else { continue };
        if let Some(other) = owners.insert((item.id.mailbox, place.epoch, place.uid), item.id) {
            wrong.push(format!("{other:?} and {:?} both claim UID {}", item.id, place.uid));
        }
    }
    wrong
}
