//! What a journal in memory holds, and the checked changes of it.

use crate::journal::is_other;
use crate::journal::state::{State, item_of, moves_of_rules};
use crate::journal::{
    Baseline, BatchEnd, BatchId, Change, Epoch, EpochId, Form, Intent, Item, ItemId, JournalError,
    JournalResult, ListedItem, ListingChange, MailboxId, MailboxRecord, Note, NoteRecord, Origin, Place,
    RunId, RunRecord, Sighting, Unstored,
};
use crate::message::{Fingerprint, Key};
use std::collections::BTreeMap;
use std::time::SystemTime;

#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) mailbox: MailboxId,
    pub(super) epoch: EpochId,
    pub(super) uid_next: Key,
    pub(super) form: Form,
    pub(super) committed_at: SystemTime,
    /// Its messages; once it is closed, those that it sent and did not store.
    pub(super) items: Vec<ItemId>,
    /// What was sent, in the order of `items`.
    pub(super) sent: Vec<Fingerprint>,
    pub(super) open: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) settings: BTreeMap<String, String>,
    pub(super) runs: Vec<RunRecord>,
    pub(super) mailboxes: Vec<MailboxRecord>,
    pub(super) epochs: Vec<Epoch>,
    /// Epochs in the order in which they became current.
    pub(super) current: Vec<EpochId>,
    pub(super) baselines: BTreeMap<MailboxId, Baseline>,
    pub(super) items: BTreeMap<ItemId, Item>,
    pub(super) claims: BTreeMap<(MailboxId, EpochId, Key), ItemId>,
    pub(super) batches: BTreeMap<BatchId, Batch>,
    pub(super) notes: Vec<NoteRecord>,
    pub(super) sightings: Vec<(RunId, Sighting)>,
}

impl Image {
    pub(super) fn note(&mut self, note: Note, now: SystemTime) -> JournalResult<()> {
        let (id, run) = (self.notes.len() as i64 + 1, self.runs.last().map(|r| r.id));
        self.notes.push(NoteRecord { id, run, at: now, note });
        Ok(())
    }

    pub(super) fn apply(&mut self, change: &Change) -> JournalResult<()> {
        let Some(item) = self.items.get_mut(&change.item) else {
            return Err(unknown(&format!("message {:?}", change.item)));
        };
        if change.is_elsewhere(item.state, item.place) {
            return Err(JournalError::Elsewhere { item: change.item });
        }
        if !item.state.may_become(change.to) {
            return Err(JournalError::Illegal { item: change.item, from: item.state, to: change.to });
        }
        item.state = change.to;
        if change.to == State::Listed {
            item.sent = None;
            item.origin = None;
            item.read_back = None;
            item.grade = None;
            item.reason = None;
            if let Some(place) = item.place.take() {
                self.release(change.item, place);
            }
            return Ok(());
        }
        item.sent = change.sent.clone().map(Box::new).or(item.sent.take());
        let read = change.read_back.as_ref().and_then(|r| r.fingerprint);
        item.read_back = item.read_back.take().or_else(|| change.read_back.clone().map(Box::new));
        if let Some(first) = &mut item.read_back {
            first.fingerprint = first.fingerprint.or(read);
        }
        item.grade = change.grade.or(item.grade);
        item.reason = change.reason.clone().or(item.reason.take());
        match change.place {
            Some((place, origin)) => self.claim(change.item, place, origin),
            None => Ok(()),
        }
    }

    fn claim(&mut self, id: ItemId, place: Place, origin: Origin) -> JournalResult<()> {
        let old = self.items.get(&id).and_then(|i| i.place);
        if let Some(old) = old {
            self.release(id, old);
        }
        if origin != Origin::Shared {
            let key = (id.mailbox, place.epoch, place.uid);
            let taken = self.claims.get(&key).filter(|by| **by != id);
            #[cfg(mailhaul_mutants)]
            let taken = taken.filter(|_| !crate::mutants::Mutant::SharedClaims.is_on());
            if let Some(by) = taken {
                return Err(JournalError::ClaimTaken { mailbox: id.mailbox, uid: place.uid, by: *by });
            }
            self.claims.insert(key, id);
        }
        if let Some(item) = self.items.get_mut(&id) {
            item.place = Some(place);
            item.origin = Some(origin);
        }
        Ok(())
    }

    /// Frees a claim, if it is this item's: a shared place belongs to another one.
    fn release(&mut self, id: ItemId, place: Place) {
        let key = (id.mailbox, place.epoch, place.uid);
        if self.claims.get(&key) == Some(&id) {
            self.claims.remove(&key);
        }
    }

    pub(super) fn rekey(&mut self, from: ItemId, to: ItemId) -> JournalResult<()> {
        let open = |id| self.batches.values().any(|b| b.open && b.items.contains(&id));
        if from.mailbox != to.mailbox || open(from) {
            return Err(unknown(&format!("message {from:?} cannot become {to:?}")));
        }
        let listed = self.items.get(&to).filter(|i| matches!(i.state, State::Listed | State::Excluded));
        let (Some(listed), true) = (listed.cloned(), from != to) else {
            return Err(unknown(&format!("message {to:?} is not as it was listed")));
        };
        let Some(item) = self.items.remove(&from) else { return Err(unknown(&format!("message {from:?}"))) };
        let owner = item.place.and_then(|p| self.claims.get_mut(&(from.mailbox, p.epoch, p.uid)));
        // A shared place belongs to another item, which keeps it.
        if let Some(owner) = owner.filter(|owner| **owner == from) {
            *owner = to;
        }
        for id in self.batches.values_mut().flat_map(|b| &mut b.items).filter(|id| **id == from) {
            *id = to;
        }
        let Item { octets, flags, internal_date, lineage, .. } = listed;
        self.items.insert(to, Item { id: to, octets, flags, internal_date, lineage, ..item });
        Ok(())
    }

    pub(super) fn list(
        &mut self,
        mailbox: MailboxId,
        epoch: EpochId,
        listed: &[ListedItem],
    ) -> JournalResult<ListingChange> {
        let mut change = ListingChange::default();
        for new in listed {
            let id = ItemId { mailbox, epoch, key: new.key };
            let Some(item) = self.items.get_mut(&id) else {
                change.new += 1;
                self.items.insert(id, item_of(id, new));
                continue;
            };
            change.others += u64::from(is_other(item.octets, item.internal_date.as_ref(), new));
            if item.flags != new.flags {
                change.flags_changed += 1;
                item.flags = new.flags.clone();
            }
            let known = item.reason.as_ref().map(|r| r.kind.as_str());
            let moves = moves_of_rules(id, item.state, known, new.excluded.as_deref());
            moves.iter().try_for_each(|change| self.apply(change))?;
        }
        Ok(change)
    }

    pub(super) fn commit(&mut self, intent: &Intent, now: SystemTime) -> JournalResult<BatchId> {
        for (id, sent) in &intent.items {
            if id.mailbox != intent.mailbox {
                return Err(unknown(&format!("message {id:?} is not of mailbox {}", intent.mailbox.0)));
            }
            let Some(item) = self.items.get_mut(id) else { return Err(unknown(&format!("message {id:?}"))) };
            if item.state != State::Fetched && !item.state.may_become(State::Fetched) {
                return Err(JournalError::Illegal { item: *id, from: item.state, to: State::Committed });
            }
            if self.batches.values().any(|b| b.open && b.items.contains(id)) {
                return Err(unknown(&format!("message {id:?} is in an open batch")));
            }
            item.state = State::Committed;
            item.sent = Some(Box::new(sent.clone()));
        }
        let id = BatchId(self.batches.len() as i64 + 1);
        let batch = Batch {
            mailbox: intent.mailbox,
            epoch: intent.epoch,
            uid_next: intent.uid_next,
            form: intent.form,
            committed_at: now,
            items: intent.items.iter().map(|(id, _)| *id).collect(),
            sent: intent.items.iter().map(|(_, sent)| sent.sent).collect(),
            open: true,
        };
        self.batches.insert(id, batch);
        Ok(id)
    }

    pub(super) fn end(&mut self, batch: BatchId, end: BatchEnd, changes: &[Change]) -> JournalResult<()> {
        let Some(known) = self.batches.get_mut(&batch).filter(|b| b.open) else {
            return Err(unknown(&format!("batch {} is not open", batch.0)));
        };
        known.open = end == BatchEnd::Lost;
        changes.iter().try_for_each(|c| self.apply(c))?;
        let Some(closed) = self.batches.get(&batch).filter(|b| !b.open) else { return Ok(()) };
        // Without its batch nobody would ever look for such an item.
        let undecided = |id: &&ItemId| {
            self.items.get(id).is_some_and(|i| matches!(i.state, State::Committed | State::InDoubt))
        };
        if let Some(id) = closed.items.iter().find(undecided) {
            return Err(unknown(&format!("batch {} leaves {id:?} undecided", batch.0)));
        }
        let stored = |id: &ItemId| self.items.get(id).is_some_and(|i| i.state.is_stored());
        let unstored = |(id, _): &(&ItemId, &Fingerprint)| end != BatchEnd::Void && !stored(id);
        let kept: Vec<(ItemId, Fingerprint)> =
            closed.items.iter().zip(&closed.sent).filter(unstored).map(|(id, sent)| (*id, *sent)).collect();
        if let Some(closed) = self.batches.get_mut(&batch) {
            (closed.items, closed.sent) = kept.into_iter().unzip();
        }
        Ok(())
    }

    pub(super) fn unstored(
        &self,
        mailbox: MailboxId,
        after: Option<BatchId>,
    ) -> impl Iterator<Item = Unstored> {
        let closed = self.batches.iter().filter(move |(id, b)| {
            b.mailbox == mailbox && !b.open && !b.sent.is_empty() && after.is_none_or(|a| **id > a)
        });
        closed.map(|(id, b)| Unstored {
            batch: *id,
            epoch: b.epoch,
            uid_next: b.uid_next,
            sent: b.items.iter().copied().zip(b.sent.iter().copied()).collect(),
        })
    }
}

pub(super) fn unknown(what: &str) -> JournalError {
    JournalError::Store { place: "memory".into(), doing: "change", what: what.to_owned() }
}
