//! Watches a journal while it is written: which states its messages move through, and who claims what.
//!
//! The table of moves is written down here from docs/design/journal.md, not taken from the engine.

use futures_util::FutureExt as _;
use mailhaul_engine::journal::memory::{Hook, MemoryJournal, MemoryStore, Write};
use mailhaul_engine::journal::{Item, ItemId, Journal, MailboxId, Origin, Query};
use std::collections::{BTreeMap, BTreeSet};
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
    ("suspect", &["stored", "merged", "listed"]),
];

/// As a listing leaves a message.
const LISTED: [&str; 2] = ["listed", "excluded"];

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
        self.look(journal, None);
        let (recorder, journal) = (self.clone(), journal.clone());
        let hook: Hook = Arc::new(move |write: Write| {
            if write.done {
                recorder.look(&journal, Some(write.verb));
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

    fn look(&self, journal: &MemoryJournal, write: Option<&str>) {
        let all = Query { mailbox: None, states: &[], after: None, limit: usize::MAX };
        let Some(Ok(items)) = journal.items(all).now_or_never() else { return };
        let mut seen = self.seen();
        seen.writes += u64::from(write.is_some());
        let mut renumbered = seen.take_vanished(&items);
        if write != Some("rekey") && !renumbered.is_empty() {
            seen.wrong.push("the journal forgot a message that was listed".into());
        }
        for item in &items {
            let now = item.state.as_str();
            let before = seen.states.insert(item.id, now);
            let takes = before.is_some_and(|b| LISTED.contains(&b)).then_some((item.id.mailbox, now));
            let legal = match before {
                _ if write.is_none() => true,
                None => LISTED.contains(&now),
                Some(before) if before == now => true,
                // It took the place of one that vanished, with its state.
                Some(_) if takes.is_some_and(|t| renumbered.remove(&t)) => true,
                Some(before) => MOVES.iter().any(|(from, to)| *from == before && to.contains(&now)),
            };
            if !legal {
                seen.wrong.push(format!("{:?} moved from {before:?} to {now}", item.id));
            }
        }
        let lost = renumbered.0.keys().filter(|(_, state)| !LISTED.contains(state));
        let lost: Vec<_> =
            lost.map(|(_, state)| format!("a renumbered message is {state} no more")).collect();
        seen.wrong.extend(lost);
        seen.wrong.extend(claimed_twice(&items));
    }
}

/// Messages that are in the journal no more, by mailbox and state: each has another number now.
struct Vanished(BTreeMap<(MailboxId, &'static str), usize>);

impl Vanished {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn remove(&mut self, one: &(MailboxId, &'static str)) -> bool {
        let Some(left) = self.0.get_mut(one) else { return false };
        *left -= 1;
        if *left == 0 {
            self.0.remove(one);
        }
        true
    }
}

impl Seen {
    fn take_vanished(&mut self, items: &[Item]) -> Vanished {
        let there: BTreeSet<ItemId> = items.iter().map(|i| i.id).collect();
        let mut vanished = BTreeMap::new();
        self.states.retain(|id, state| {
            let stays = there.contains(id);
            if !stays {
                *vanished.entry((id.mailbox, *state)).or_default() += 1;
            }
            stays
        });
        Vanished(vanished)
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
