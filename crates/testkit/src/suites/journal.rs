//! What every journal promises, run against each implementation by [`crate::journal_suite`].

pub mod fixtures;
pub mod moves;
pub mod promises;

use mailhaul_engine::journal::{Journal, JournalResult, MailboxId, Query, Side};
use mailhaul_engine::message::Key;
use std::future::Future;

/// Where one migration's journal lives: it can be opened, closed and opened again.
pub trait Shelf {
    /// The journal kept there.
    type Journal: Journal;
    /// Acquires the migration of [`fixtures::pair`].
    fn open(&self) -> impl Future<Output = JournalResult<Self::Journal>>;
}

/// Runs every promise against the shelf that `$shelf` makes: one test each, in a module of its own.
#[macro_export]
macro_rules! journal_suite {
    ($module:ident, $shelf:expr) => {
        $crate::journal_suite!(@ $module, $shelf,
            moves: every_pair_of_states_is_checked_and_an_illegal_move_changes_nothing,
            moves: a_verb_that_fails_at_its_last_change_leaves_none_of_the_others,
            moves: a_claim_has_one_owner_and_a_return_to_listed_frees_it,
            moves: a_shared_place_takes_no_claim_and_frees_none,
            moves: a_return_to_listed_forgets_everything_but_the_listing,
            moves: only_the_first_read_back_is_kept,
            moves: what_was_read_at_another_place_concludes_nothing,
            moves: counts_follow_every_move,
            moves: a_new_number_at_the_source_leaves_everything_else_as_it_was,
            moves: a_new_number_that_may_not_be_given_changes_nothing,
            promises: a_batch_lives_from_its_intent_to_its_end,
            promises: a_batch_is_closed_once_and_only_when_its_items_are_decided,
            promises: a_closed_batch_keeps_what_it_sent_and_did_not_store,
            promises: what_is_stored_without_a_place_is_found_by_itself,
            promises: an_item_is_in_one_open_batch_at_most,
            promises: a_refused_intent_leaves_nothing,
            promises: listing_again_changes_nothing,
            promises: exclusion_comes_and_goes_but_only_for_what_is_not_copied,
            promises: pages_are_complete_ordered_and_without_repeats,
            promises: mailboxes_keep_their_number,
            promises: the_epoch_opened_last_is_the_current_one,
            promises: a_baseline_stays_within_its_epoch,
            promises: settings_are_pinned,
            promises: runs_notes_and_sightings_are_kept,
            promises: a_released_journal_opens_again_as_it_was,
            promises: one_holder_at_a_time_and_the_former_one_writes_nothing
        );
    };
    (@ $module:ident, $shelf:expr, $($part:ident: $name:ident),*) => {
        mod $module {
            $(#[tokio::test] async fn $name() {
                $crate::suites::journal::$part::$name(&$shelf).await;
            })*
        }
    };
}

/// Everything the journal tells about a migration, one line a fact, without times: two journals that give the same
/// lines are the same. Mailboxes hold at most [`DUMPED_MAX`] items.
pub async fn dump<J: Journal>(journal: &J) -> Vec<String> {
    let mut lines = Vec::new();
    for mailbox in journal.mailboxes().await.unwrap() {
        lines.push(format!("{mailbox:?}"));
        lines.extend(dump_mailbox(journal, mailbox.id).await);
    }
    let all = Query { mailbox: None, states: &[], after: None, limit: DUMPED_MAX };
    lines.extend(journal.items(all).await.unwrap().iter().map(|i| format!("{i:?}")));
    lines.extend(journal.counts().await.unwrap().iter().map(|c| format!("{c:?}")));
    for note in journal.notes("", 0, DUMPED_MAX).await.unwrap() {
        lines.push(format!("note {} of run {:?}: {:?}", note.id, note.run, note.note));
    }
    for run in journal.runs(DUMPED_MAX).await.unwrap() {
        lines.push(format!("run {:?} {} ended {} {:?}", run.id, run.verb, run.ended.is_some(), run.outcome));
    }
    lines
}

/// Records of one kind in a dump.
pub const DUMPED_MAX: usize = 100_000;

async fn dump_mailbox<J: Journal>(journal: &J, mailbox: MailboxId) -> Vec<String> {
    let mut lines = vec![format!("baseline {:?}", journal.baseline(mailbox).await.unwrap())];
    for side in [Side::Source, Side::Target] {
        for epoch in journal.epochs(mailbox, side).await.unwrap() {
            let claims = journal.claims(mailbox, epoch.id, Key(0), DUMPED_MAX).await.unwrap();
            lines.push(format!("{epoch:?}: {claims:?}"));
        }
        lines.push(format!("sighting {:?}", journal.last_sighting(mailbox, side).await.unwrap()));
    }
    for batch in journal.open_batches(mailbox).await.unwrap() {
        let (id, epoch, uid_next, form) = (batch.id, batch.epoch, batch.uid_next, batch.form);
        lines.push(format!("open {id:?} {epoch:?} {uid_next:?} {form:?} {:?}", batch.items));
    }
    let unstored = journal.unstored(mailbox, None, DUMPED_MAX).await.unwrap();
    lines.extend(unstored.iter().map(|u| format!("{u:?}")));
    lines
}

/// Checks what must hold in every journal at every moment, from its items alone: the counts are those of the items,
/// claims and places agree, and what is committed or in doubt is in exactly one open batch.
pub async fn check_consistency<J: Journal>(journal: &J) {
    use mailhaul_engine::journal::{ItemId, Origin, State};
    use std::collections::{BTreeMap, BTreeSet};
    let all = Query { mailbox: None, states: &[], after: None, limit: DUMPED_MAX };
    let items = journal.items(all).await.unwrap();
    let mut counted: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    let mut owners: BTreeMap<_, ItemId> = BTreeMap::new();
    for item in &items {
        let kind = item.reason.as_ref().map(|r| r.kind.clone());
        let sum = counted.entry((item.id.mailbox, item.state, item.grade, kind)).or_default();
        *sum = (sum.0 + 1, sum.1 + item.sent.as_ref().map_or(item.octets, |s| s.fetched.octets));
        if let Some(place) = item.place.filter(|_| item.origin != Some(Origin::Shared)) {
            let before = owners.insert((item.id.mailbox, place.epoch, place.uid), item.id);
            assert_eq!(before, None, "two owners of {place:?}");
        }
    }
    let told = journal.counts().await.unwrap();
    let mailboxes: BTreeSet<_> = told.iter().map(|count| count.mailbox).collect();
    let mut of_each = Vec::new();
    for mailbox in mailboxes {
        of_each.extend(journal.counts_of(mailbox).await.unwrap());
    }
    assert_eq!(of_each, told, "counts of each mailbox and of all");
    let told = told.into_iter();
    let told: Vec<_> = told.map(|c| ((c.mailbox, c.state, c.grade, c.kind), (c.items, c.octets))).collect();
    assert_eq!(told, counted.into_iter().collect::<Vec<_>>(), "counts and items");
    let (mut claims, mut open) = (BTreeMap::new(), BTreeMap::new());
    for mailbox in journal.mailboxes().await.unwrap() {
        for epoch in journal.epochs(mailbox.id, Side::Target).await.unwrap() {
            for (uid, owner) in journal.claims(mailbox.id, epoch.id, Key(0), DUMPED_MAX).await.unwrap() {
                claims.insert((mailbox.id, epoch.id, uid), owner);
            }
        }
        for batch in journal.open_batches(mailbox.id).await.unwrap() {
            for item in batch.items {
                assert_eq!(open.insert(item, batch.id), None, "{item:?} is in two open batches");
            }
        }
    }
    assert_eq!(claims, owners, "claims and places");
    for item in items.iter().filter(|i| matches!(i.state, State::Committed | State::InDoubt)) {
        assert!(open.contains_key(&item.id), "{:?} is {:?} in no open batch", item.id, item.state);
    }
}
