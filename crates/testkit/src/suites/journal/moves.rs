//! Moves of items: checked, all or none, with the claims and counts that follow them.

use super::fixtures::{commit, item, prepare, reason, sent, store};
use super::{Shelf, check_consistency, dump};
use mailhaul_engine::identity::Grade;
use mailhaul_engine::journal::{
    BatchEnd, Change, Item, ItemId, Journal, JournalError, ListedItem, Origin, Query, ReadBack, Side, State,
};
use mailhaul_engine::message::{Flags, InternalDate, Key};
use std::collections::BTreeMap;

pub async fn every_pair_of_states_is_checked_and_an_illegal_move_changes_nothing(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let pairs: Vec<(State, State)> =
        State::ALL.into_iter().flat_map(|f| State::ALL.map(|t| (f, t))).collect();
    let p = prepare(&journal, pairs.len() as i64).await;
    for ((from, to), id) in pairs.into_iter().zip(&p.items) {
        let mut at = State::Listed;
        while at != from {
            let step = first_step(at, from).unwrap_or_else(|| panic!("no way to {from:?}"));
            journal.change(&[Change::to(*id, step)]).await.unwrap();
            at = step;
        }
        let before = item(&journal, *id).await;
        let mut change = Change::to(*id, to).at(p.place(id.key.0), Origin::Found).because(reason("tried"));
        change.sent = Some(sent(9));
        match journal.change(&[change]).await {
            Ok(()) => {
                assert!(from.may_become(to), "{from:?} to {to:?} was let through");
                assert_eq!(item(&journal, *id).await.state, to);
            }
            Err(JournalError::Illegal { item: which, from: was, to: wanted }) => {
                assert!(!from.may_become(to), "{from:?} to {to:?} was stopped");
                assert_eq!((which, was, wanted), (*id, from, to));
                assert_eq!(item(&journal, *id).await, before);
            }
            Err(other) => panic!("{from:?} to {to:?}: {other}"),
        }
    }
}

/// The first step of a shortest way between two states.
fn first_step(from: State, to: State) -> Option<State> {
    let mut first: BTreeMap<State, State> = from.next().iter().map(|s| (*s, *s)).collect();
    let mut queue: Vec<State> = from.next().to_vec();
    while !queue.is_empty() {
        let mut next = Vec::new();
        for state in queue {
            for s in state.next() {
                if !first.contains_key(s) {
                    first.insert(*s, first[&state]);
                    next.push(*s);
                }
            }
        }
        queue = next;
    }
    first.get(&to).copied()
}

pub async fn a_verb_that_fails_at_its_last_change_leaves_none_of_the_others(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 4).await;
    let batch = commit(&journal, &p, &p.items[..3]).await.unwrap();
    let before = dump(&journal).await;
    let good = [p.stored(0, 41), Change::to(p.items[1], State::InDoubt), p.stored(2, 43)];
    let illegal = Change::to(p.items[3], State::Verified);
    let taken = p.stored(1, 41);
    let nowhere = Change::to(ItemId { key: Key(99), ..p.items[0] }, State::Fetched);
    for bad in [illegal, taken, nowhere] {
        let with_bad: Vec<Change> =
            good.iter().filter(|c| c.item != bad.item).cloned().chain([bad.clone()]).collect();
        assert!(journal.change(&with_bad).await.is_err(), "{bad:?}");
        assert!(journal.end_batch(batch, BatchEnd::Lost, &with_bad).await.is_err(), "{bad:?}");
        assert!(journal.end_batch(batch, BatchEnd::Answered, &with_bad).await.is_err(), "{bad:?}");
        assert_eq!(dump(&journal).await, before);
    }
    check_consistency(&journal).await;
}

pub async fn a_claim_has_one_owner_and_a_return_to_listed_frees_it(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 3).await;
    store(&journal, &p, 0, 41).await;
    let batch = commit(&journal, &p, &p.items[1..2]).await.unwrap();
    let error = journal.end_batch(batch, BatchEnd::Answered, &[p.stored(1, 41)]).await.unwrap_err();
    let JournalError::ClaimTaken { mailbox, uid, by } = error else { panic!("{error}") };
    assert_eq!((mailbox, uid, by), (p.mailbox, Key(41), p.items[0]));
    journal.end_batch(batch, BatchEnd::Answered, &[p.stored(1, 42)]).await.unwrap();
    // An item that is found elsewhere gives its first place back, and may say its own place again.
    for uid in [50, 50, 41, 50] {
        journal.change(&[p.stored(0, uid)]).await.unwrap();
    }
    let claims = journal.claims(p.mailbox, p.target, Key(0), 10).await.unwrap();
    assert_eq!(claims, [(Key(42), p.items[1]), (Key(50), p.items[0])]);
    assert_eq!(journal.claims(p.mailbox, p.target, Key(43), 10).await.unwrap(), claims[1..]);
    assert_eq!(journal.claims(p.mailbox, p.target, Key(0), 1).await.unwrap(), claims[..1]);
    assert!(journal.claims(p.mailbox, p.source, Key(0), 10).await.unwrap().is_empty(), "of this epoch alone");
    journal.change(&[Change::to(p.items[0], State::Listed)]).await.unwrap();
    store(&journal, &p, 2, 50).await;
    check_consistency(&journal).await;
}

pub async fn a_shared_place_takes_no_claim_and_frees_none(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 2).await;
    store(&journal, &p, 0, 41).await;
    let batch = commit(&journal, &p, &p.items[1..2]).await.unwrap();
    let merged = Change::to(p.items[1], State::Merged).at(p.place(41), Origin::Shared);
    journal.end_batch(batch, BatchEnd::Answered, &[merged]).await.unwrap();
    let now = item(&journal, p.items[1]).await;
    assert_eq!((now.place, now.origin), (Some(p.place(41)), Some(Origin::Shared)));
    for to in [State::Exception, State::Listed] {
        journal.change(&[Change::to(p.items[1], to)]).await.unwrap();
        let claims = journal.claims(p.mailbox, p.target, Key(0), 10).await.unwrap();
        assert_eq!(claims, [(Key(41), p.items[0])], "the owner keeps its claim");
    }
    check_consistency(&journal).await;
}

pub async fn a_return_to_listed_forgets_everything_but_the_listing(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 1).await;
    let fresh = item(&journal, p.items[0]).await;
    store(&journal, &p, 0, 41).await;
    let mut verified = Change::to(p.items[0], State::Verified).because(reason("odd"));
    verified.read_back = Some(read_back("\\Seen"));
    verified.grade = Some(Grade::Newline);
    journal.change(&[verified]).await.unwrap();
    let now = item(&journal, p.items[0]).await;
    let expected = Item {
        state: State::Verified,
        sent: Some(Box::new(sent(1))),
        place: Some(p.place(41)),
        origin: Some(Origin::Appended),
        read_back: Some(Box::new(read_back("\\Seen"))),
        grade: Some(Grade::Newline),
        reason: Some(reason("odd")),
        ..fresh.clone()
    };
    assert_eq!(now, expected);
    let mut back = Change::to(p.items[0], State::Listed).because(reason("ignored"));
    back.sent = Some(sent(3));
    journal.change(&[back]).await.unwrap();
    assert_eq!(item(&journal, p.items[0]).await, fresh);
    check_consistency(&journal).await;
}

fn read_back(flags: &'static str) -> ReadBack {
    ReadBack {
        fingerprint: Some(sent(1).fetched),
        octets: 10,
        flags: Flags::from_octets(flags),
        internal_date: Some(InternalDate::from_octets(&b"\xff at noon"[..])),
        mod_seq: Some(9),
    }
}

pub async fn only_the_first_read_back_is_kept(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 2).await;
    store(&journal, &p, 0, 41).await;
    // A message without flags was read all the same.
    for (grade, flags) in [(Grade::Newline, ""), (Grade::Exact, "\\Flagged")] {
        let mut change = Change::to(p.items[0], State::Verified);
        change.read_back = Some(read_back(flags));
        change.grade = Some(grade);
        journal.change(&[change]).await.unwrap();
    }
    let now = item(&journal, p.items[0]).await;
    assert_eq!((now.read_back, now.grade), (Some(Box::new(read_back(""))), Some(Grade::Exact)));
    // Adoption learns what was read before it knows what the source holds.
    let mut adopted = Change::to(p.items[1], State::AlreadyThere).at(p.place(7), Origin::Adopted);
    adopted.read_back = Some(read_back(""));
    adopted.sent = Some(sent(1));
    journal.change(&[adopted]).await.unwrap();
    let mut again = Change::to(p.items[1], State::AlreadyThere);
    again.sent = Some(sent(2));
    journal.change(&[again]).await.unwrap();
    let now = item(&journal, p.items[1]).await;
    assert_eq!((now.read_back, now.sent), (Some(Box::new(read_back(""))), Some(Box::new(sent(2)))));
}

pub async fn what_was_read_at_another_place_concludes_nothing(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 3).await;
    store(&journal, &p, 0, 41).await;
    store(&journal, &p, 1, 42).await;
    let read_at = |item, uid| Change {
        grade: Some(Grade::Exact),
        read_at: Some(p.place(uid)),
        ..Change::to(p.items[item], State::Verified)
    };
    let before = dump(&journal).await;
    let elsewhere = journal.change(&[read_at(1, 42), read_at(0, 40)]).await;
    assert!(
        matches!(elsewhere, Err(JournalError::Elsewhere { item }) if item == p.items[0]),
        "{elsewhere:?}"
    );
    assert_eq!(dump(&journal).await, before, "all or none");
    journal.change(&[Change::to(p.items[0], State::Suspect)]).await.unwrap();
    let suspected = journal.change(&[read_at(0, 41)]).await;
    assert!(matches!(suspected, Err(JournalError::Elsewhere { .. })), "{suspected:?}");
    journal.change(&[read_at(1, 42)]).await.unwrap();
    assert_eq!(item(&journal, p.items[1]).await.state, State::Verified);
}

pub async fn counts_follow_every_move(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 8).await;
    check_consistency(&journal).await;
    for (i, uid) in (0..4).zip(41..) {
        store(&journal, &p, i, uid).await;
        check_consistency(&journal).await;
    }
    for (i, grade) in [(0, Grade::Exact), (1, Grade::Exact), (2, Grade::Newline)] {
        let mut change = Change::to(p.items[i], State::Verified);
        change.grade = Some(grade);
        journal.change(&[change]).await.unwrap();
        check_consistency(&journal).await;
    }
    for kind in ["damaged", "absent"] {
        let back = Change::to(p.items[0], State::Exception).because(reason(kind));
        journal.change(&[back]).await.unwrap();
        check_consistency(&journal).await;
        journal.change(&[Change::to(p.items[0], State::Listed)]).await.unwrap();
        store(&journal, &p, 0, 41).await;
    }
    let ruled = ListedItem { excluded: Some("since".into()), ..super::fixtures::listed(8) };
    journal.record_listing(p.mailbox, p.source, &[ruled]).await.unwrap();
    check_consistency(&journal).await;
    let told: u64 = journal.counts().await.unwrap().iter().map(|c| c.items).sum();
    assert_eq!(told, 8);
}

/// Lists three messages in a second source epoch: as the first one's, with other flags and sizes.
async fn list_anew<J: Journal>(journal: &J, p: &super::fixtures::Prepared) -> Vec<ItemId> {
    let epoch = journal.open_epoch(p.mailbox, Side::Source, &super::fixtures::facts(77)).await.unwrap().id;
    let flagged = |key| ListedItem {
        flags: Flags::from_octets("\\Flagged"),
        excluded: (key == 53).then(|| "since".to_owned()),
        ..super::fixtures::listed(key)
    };
    journal.record_listing(p.mailbox, epoch, &[flagged(51), flagged(52), flagged(53)]).await.unwrap();
    (51..=53).map(|key| ItemId { mailbox: p.mailbox, epoch, key: Key(key) }).collect()
}

pub async fn a_new_number_at_the_source_leaves_everything_else_as_it_was(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 4).await;
    store(&journal, &p, 0, 41).await;
    let mut verified = Change::to(p.items[0], State::Verified);
    (verified.grade, verified.read_back) = (Some(Grade::Newline), Some(read_back("\\Seen")));
    journal.change(&[verified]).await.unwrap();
    let batch = commit(&journal, &p, &p.items[1..2]).await.unwrap();
    let merged = Change::to(p.items[1], State::Merged).at(p.place(41), Origin::Shared);
    journal.end_batch(batch, BatchEnd::Answered, &[merged]).await.unwrap();
    let new = list_anew(&journal, &p).await;
    let before = [item(&journal, p.items[0]).await, item(&journal, p.items[1]).await];
    let listed = [item(&journal, new[0]).await, item(&journal, new[2]).await];
    journal.rekey(&[(p.items[0], new[0]), (p.items[1], new[2])]).await.unwrap();
    for ((old, listed), id) in before.into_iter().zip(listed).zip([new[0], new[2]]) {
        let Item { octets, flags, internal_date, lineage, .. } = listed;
        let expected = Item { id, octets, flags, internal_date, lineage, ..old };
        assert_eq!(item(&journal, id).await, expected);
    }
    let all = Query { mailbox: Some(p.mailbox), states: &[], after: None, limit: 10 };
    let ids: Vec<ItemId> = journal.items(all).await.unwrap().iter().map(|i| i.id).collect();
    assert_eq!(ids, [p.items[2], p.items[3], new[0], new[1], new[2]]);
    let claims = journal.claims(p.mailbox, p.target, Key(0), 10).await.unwrap();
    assert_eq!(claims, [(Key(41), new[0])]);
    check_consistency(&journal).await;
    // What is not copied goes on from its new number, also in the batch that did not store it.
    let refused = commit(&journal, &p, &p.items[2..3]).await.unwrap();
    let listed = Change::to(p.items[2], State::Listed);
    journal.end_batch(refused, BatchEnd::Resolved, &[listed]).await.unwrap();
    journal.rekey(&[(p.items[2], new[1])]).await.unwrap();
    let unstored = journal.unstored(p.mailbox, None, 10).await.unwrap();
    let kept: Vec<ItemId> = unstored.iter().flat_map(|u| &u.sent).map(|(id, _)| *id).collect();
    assert_eq!(kept, [new[1]]);
    let batch = commit(&journal, &p, &new[1..2]).await.unwrap();
    let stored = Change::to(new[1], State::Stored).at(p.place(42), Origin::Appended);
    journal.end_batch(batch, BatchEnd::Answered, &[stored]).await.unwrap();
    check_consistency(&journal).await;
}

pub async fn a_new_number_that_may_not_be_given_changes_nothing(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 4).await;
    let other = super::fixtures::prepare_named(&journal, "Other", 1).await;
    let new = list_anew(&journal, &p).await;
    store(&journal, &p, 0, 41).await;
    commit(&journal, &p, &p.items[1..2]).await.unwrap();
    journal.change(&[Change::to(new[1], State::Fetched)]).await.unwrap();
    let before = dump(&journal).await;
    let nowhere = ItemId { key: Key(99), ..new[0] };
    for (what, bad) in [
        ("in an open batch", (p.items[1], new[2])),
        ("begun with", (p.items[2], new[1])),
        ("already copied", (p.items[2], p.items[0])),
        ("another mailbox", (other.items[0], new[2])),
        ("not listed", (p.items[2], nowhere)),
        ("unknown", (nowhere, new[2])),
        ("itself", (p.items[2], p.items[2])),
        ("given twice", (p.items[2], new[0])),
    ] {
        assert!(journal.rekey(&[(p.items[0], new[0]), bad]).await.is_err(), "{what}");
        assert_eq!(dump(&journal).await, before, "{what}");
    }
    check_consistency(&journal).await;
}
