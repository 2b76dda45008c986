//! Batches, listings, pages, facts, and who may write.

use super::fixtures::{
    commit, facts, intent, item, listed, prepare, prepare_named, reason, record, sent, store,
};
use super::{Shelf, check_consistency, dump};
use mailhaul_engine::journal::{
    Baseline, BatchEnd, BatchId, Change, Decision, EpochId, Existing, Form, Intent, ItemId, Journal,
    JournalError, JournalResult, ListedItem, MailboxId, MailboxRecord, Note, Origin, Query, RunId, Side,
    Sighting, State,
};
use mailhaul_engine::message::{Flags, InternalDate, Key};

pub async fn a_batch_lives_from_its_intent_to_its_end(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 6).await;
    let batch = commit(&journal, &p, &[p.items[2], p.items[0], p.items[1]]).await.unwrap();
    let open = journal.open_batches(p.mailbox).await.unwrap();
    assert_eq!((open.len(), open[0].id, open[0].epoch, open[0].uid_next), (1, batch, p.target, Key(40)));
    assert_eq!((open[0].form, &open[0].items[..]), (Form::Multi, &[p.items[2], p.items[0], p.items[1]][..]));
    let now = item(&journal, p.items[0]).await;
    assert_eq!((now.state, now.sent, now.octets), (State::Committed, Some(Box::new(sent(1))), 101));
    let group = Intent { form: Form::Group, ..intent(&p, &p.items[4..]) };
    let second = journal.commit_batch(&group).await.unwrap();
    let open: Vec<BatchId> = journal.open_batches(p.mailbox).await.unwrap().iter().map(|b| b.id).collect();
    assert_eq!(open, [batch, second], "oldest first");
    let doubt =
        [p.stored(0, 41), Change::to(p.items[1], State::InDoubt), Change::to(p.items[2], State::InDoubt)];
    journal.end_batch(batch, BatchEnd::Lost, &doubt).await.unwrap();
    journal.end_batch(batch, BatchEnd::Lost, &[]).await.unwrap();
    assert_eq!(journal.open_batches(p.mailbox).await.unwrap().len(), 2, "a lost batch stays open");
    let resolved = [p.stored(1, 42), Change::to(p.items[2], State::Listed)];
    journal.end_batch(batch, BatchEnd::Resolved, &resolved).await.unwrap();
    let void: Vec<Change> = p.items[4..].iter().map(|id| Change::to(*id, State::Listed)).collect();
    journal.end_batch(second, BatchEnd::Void, &void).await.unwrap();
    assert!(journal.open_batches(p.mailbox).await.unwrap().is_empty());
    assert!(commit(&journal, &p, &p.items[2..4]).await.unwrap() > second, "numbers are not used again");
    check_consistency(&journal).await;
}

pub async fn a_batch_is_closed_once_and_only_when_its_items_are_decided(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 2).await;
    let batch = commit(&journal, &p, &p.items).await.unwrap();
    let before = dump(&journal).await;
    for end in [BatchEnd::Answered, BatchEnd::Void, BatchEnd::Resolved] {
        let half = [p.stored(0, 41)];
        assert!(journal.end_batch(batch, end, &half).await.is_err(), "{end:?}");
        let doubtful = [p.stored(0, 41), Change::to(p.items[1], State::InDoubt)];
        assert!(journal.end_batch(batch, end, &doubtful).await.is_err(), "{end:?}");
        assert_eq!(dump(&journal).await, before);
    }
    journal.change(&[p.stored(0, 41)]).await.unwrap();
    journal.end_batch(batch, BatchEnd::Answered, &[p.stored(1, 42)]).await.unwrap();
    let before = dump(&journal).await;
    for end in [BatchEnd::Answered, BatchEnd::Lost, BatchEnd::Void, BatchEnd::Resolved] {
        assert!(journal.end_batch(batch, end, &[]).await.is_err(), "a closed batch is not opened again");
        assert!(journal.end_batch(BatchId(batch.0 + 1), end, &[]).await.is_err(), "nor one that never was");
    }
    assert_eq!(dump(&journal).await, before);
}

pub async fn a_closed_batch_keeps_what_it_sent_and_did_not_store(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 4).await;
    let other = prepare_named(&journal, "Other", 1).await;
    let listed = |id: &ItemId| Change::to(*id, State::Listed);
    let unstored = async |after| {
        let all = journal.unstored(p.mailbox, after, 10).await.unwrap();
        all.into_iter().map(|u| (u.batch, u.epoch, u.uid_next, u.sent)).collect::<Vec<_>>()
    };
    // Refused, all but one message.
    let refused = commit(&journal, &p, &p.items[..3]).await.unwrap();
    assert_eq!(unstored(None).await, [], "an open batch has decided nothing");
    let changes =
        [Change::to(p.items[0], State::Refused), p.stored(1, 41), Change::to(p.items[2], State::Refused)];
    journal.end_batch(refused, BatchEnd::Answered, &changes).await.unwrap();
    // Not found after the settle time; then a gate that never opened; then all stored.
    let resolved = commit(&journal, &p, &[p.items[2], p.items[3]]).await.unwrap();
    journal.end_batch(resolved, BatchEnd::Resolved, &[listed(&p.items[2]), p.stored(3, 42)]).await.unwrap();
    let void = commit(&journal, &p, &p.items[2..3]).await.unwrap();
    journal.end_batch(void, BatchEnd::Void, &[listed(&p.items[2])]).await.unwrap();
    store(&journal, &p, 2, 43).await;
    let elsewhere = commit(&journal, &other, &other.items).await.unwrap();
    journal.end_batch(elsewhere, BatchEnd::Resolved, &[listed(&other.items[0])]).await.unwrap();
    let third = (p.items[2], sent(3).sent);
    let first = (refused, p.target, Key(40), vec![(p.items[0], sent(1).sent), third]);
    let second = (resolved, p.target, Key(40), vec![third]);
    assert_eq!(unstored(None).await, [first.clone(), second.clone()]);
    assert_eq!(unstored(Some(refused)).await, [second], "pages of batches");
    assert_eq!(journal.unstored(p.mailbox, None, 1).await.unwrap().len(), 1);
    journal.change(&[Change::to(p.items[0], State::Exception)]).await.unwrap();
    assert_eq!(unstored(None).await[0], first, "and what happens later changes nothing of it");
}

pub async fn what_is_stored_without_a_place_is_found_by_itself(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 5).await;
    let other = prepare_named(&journal, "Other", 1).await;
    let unplaced = async |after, limit| {
        let found = journal.unplaced(p.mailbox, after, limit).await.unwrap();
        found.iter().map(|i| i.id).collect::<Vec<_>>()
    };
    for of in [&other, &p] {
        let batch = commit(&journal, of, &of.items).await.unwrap();
        assert_eq!(unplaced(None, 10).await, [], "committed is not stored, nor is it of this mailbox");
        let stored: Vec<Change> = of.items.iter().map(|id| Change::to(*id, State::Stored)).collect();
        journal.end_batch(batch, BatchEnd::Answered, &stored).await.unwrap();
    }
    assert_eq!(unplaced(None, 10).await, p.items);
    journal.change(&[Change::to(p.items[1], State::Stored).at(p.place(41), Origin::Found)]).await.unwrap();
    journal.change(&[Change::to(p.items[2], State::Exception)]).await.unwrap();
    let left = [p.items[0], p.items[3], p.items[4]];
    assert_eq!(unplaced(None, 10).await, left);
    assert_eq!(
        (unplaced(None, 2).await, unplaced(Some(left[1]), 10).await),
        (left[..2].to_vec(), vec![left[2]])
    );
}

pub async fn an_item_is_in_one_open_batch_at_most(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 4).await;
    let batch = commit(&journal, &p, &p.items[..3]).await.unwrap();
    // Refused or listed again while its batch is open: the batch holds it all the same.
    let moved = [Change::to(p.items[0], State::Refused), Change::to(p.items[1], State::Listed)];
    journal.change(&moved).await.unwrap();
    let before = dump(&journal).await;
    for i in 0..3 {
        assert!(commit(&journal, &p, &[p.items[3], p.items[i]]).await.is_err(), "item {i}");
        assert_eq!(dump(&journal).await, before);
    }
    let error = commit(&journal, &p, &p.items[2..3]).await.unwrap_err();
    assert!(
        matches!(error, JournalError::Illegal { from: State::Committed, to: State::Committed, .. }),
        "{error}"
    );
    journal.end_batch(batch, BatchEnd::Answered, &[p.stored(2, 41)]).await.unwrap();
    commit(&journal, &p, &[p.items[0], p.items[1], p.items[3]]).await.unwrap();
    check_consistency(&journal).await;
}

pub async fn a_refused_intent_leaves_nothing(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 3).await;
    let other = prepare_named(&journal, "Other", 1).await;
    store(&journal, &p, 2, 41).await;
    let before = dump(&journal).await;
    let unknown = ItemId { key: Key(77), ..p.items[0] };
    for (what, last) in [("stored", p.items[2]), ("elsewhere", other.items[0]), ("unknown", unknown)] {
        assert!(commit(&journal, &p, &[p.items[0], p.items[1], last]).await.is_err(), "{what}");
        assert!(commit(&journal, &p, &[p.items[0], p.items[0]]).await.is_err(), "twice in one batch");
        assert_eq!(dump(&journal).await, before, "{what}");
    }
}

pub async fn listing_again_changes_nothing(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 3).await;
    let before = dump(&journal).await;
    let again = journal.record_listing(p.mailbox, p.source, &[listed(2), listed(1)]).await.unwrap();
    assert_eq!((again.new, again.flags_changed), (0, 0));
    let other_order = ListedItem { flags: Flags::from_octets("$work \\SEEN"), ..listed(1) };
    let again = journal.record_listing(p.mailbox, p.source, &[other_order]).await.unwrap();
    assert_eq!((again.new, again.flags_changed), (0, 0), "flags are a set");
    assert_eq!(dump(&journal).await, before);
    let flagged = ListedItem { flags: Flags::from_octets("\\Flagged"), ..listed(1) };
    let change = journal.record_listing(p.mailbox, p.source, &[flagged.clone(), listed(4)]).await.unwrap();
    assert_eq!((change.new, change.flags_changed), (1, 1));
    assert_eq!(item(&journal, p.items[0]).await.flags, flagged.flags);
    let known = item(&journal, p.items[1]).await;
    let date = Some(InternalDate::from_octets("04-Mar-2020 10:11:12 +0000"));
    let estimated = ListedItem { octets: 9, ..listed(2) };
    let dated = ListedItem { internal_date: date.clone(), ..listed(2) };
    let another = ListedItem { octets: 9, internal_date: date, ..listed(2) };
    for (listed, others) in [(estimated, 0), (dated, 0), (another, 1)] {
        let change = journal.record_listing(p.mailbox, p.source, &[listed]).await.unwrap();
        assert_eq!((change.new, change.others), (0, others));
    }
    assert_eq!(item(&journal, p.items[1]).await, known, "what is known of a message stays");
    let other = journal.open_epoch(p.mailbox, Side::Source, &facts(55)).await.unwrap();
    let change = journal.record_listing(p.mailbox, other.id, &[listed(1)]).await.unwrap();
    assert_eq!(change.new, 1, "a UID means something only inside its UIDVALIDITY");
    check_consistency(&journal).await;
}

pub async fn exclusion_comes_and_goes_but_only_for_what_is_not_copied(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 4).await;
    store(&journal, &p, 1, 41).await;
    journal.change(&[Change::to(p.items[2], State::Fetched)]).await.unwrap();
    journal.change(&[Change::to(p.items[3], State::Excluded).because(reason("by hand"))]).await.unwrap();
    let ruled = |rule: Option<&str>, key| ListedItem { excluded: rule.map(str::to_owned), ..listed(key) };
    let states = async |journal: &_| {
        let mut all = Vec::new();
        for id in &p.items {
            let item = item(journal, *id).await;
            all.push((item.state, item.reason.map(|r| (r.kind, r.text))));
        }
        all
    };
    let excluded = |rule: &str| (State::Excluded, Some((rule.to_owned(), String::new())));
    for rule in [Some("since"), Some("size"), Some("size"), None, None, Some("since")] {
        let listing: Vec<ListedItem> = (1..=5).map(|key| ruled(rule, key)).collect();
        journal.record_listing(p.mailbox, p.source, &listing).await.unwrap();
        check_consistency(&journal).await;
        let expected = rule.map_or((State::Listed, None), excluded);
        let all = states(&journal).await;
        assert_eq!((&all[0], &all[3]), (&expected, &expected));
        assert_eq!((all[1].0, all[2].0), (State::Stored, State::Fetched), "what is copied stays");
        let fifth = item(&journal, ItemId { key: Key(5), ..p.items[0] }).await;
        assert_eq!(fifth.state, expected.0, "new ones follow the rule at once");
    }
}

pub async fn pages_are_complete_ordered_and_without_repeats(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let first = prepare_named(&journal, "A", 25).await;
    let empty = prepare_named(&journal, "B", 0).await;
    let last = prepare_named(&journal, "C", 7).await;
    let epoch = journal.open_epoch(first.mailbox, Side::Source, &facts(55)).await.unwrap().id;
    journal.record_listing(first.mailbox, epoch, &[listed(3), listed(-1)]).await.unwrap();
    for i in [0, 4, 5, 24] {
        journal.change(&[Change::to(first.items[i], State::GoneAtSource)]).await.unwrap();
    }
    journal.change(&[Change::to(last.items[2], State::Unreadable)]).await.unwrap();
    let everything = Query { mailbox: None, states: &[], after: None, limit: 1000 };
    let all = journal.items(everything).await.unwrap();
    assert_eq!(all.len(), 34);
    assert!(all.is_sorted_by_key(|i| i.id), "by mailbox, epoch and key");
    let filters: [&[State]; 5] = [
        &[],
        &[State::Listed],
        &[State::GoneAtSource, State::Listed, State::GoneAtSource],
        &[State::Unreadable, State::GoneAtSource],
        &[State::Verified],
    ];
    for mailbox in [None, Some(first.mailbox), Some(empty.mailbox), Some(last.mailbox), Some(MailboxId(99))] {
        for states in filters {
            let wanted = all.iter().filter(|i| mailbox.is_none_or(|m| m == i.id.mailbox));
            let wanted = wanted.filter(|i| states.is_empty() || states.contains(&i.state));
            let wanted: Vec<ItemId> = wanted.map(|i| i.id).collect();
            for limit in [1, 3, 7, 100] {
                let (mut after, mut seen) = (None, Vec::new());
                loop {
                    let page = journal.items(Query { mailbox, states, after, limit }).await.unwrap();
                    assert!(page.len() <= limit);
                    let Some(last) = page.last() else { break };
                    after = Some(last.id);
                    seen.extend(page.iter().map(|i| i.id));
                }
                assert_eq!(seen, wanted, "{mailbox:?} {states:?} by {limit}");
            }
        }
    }
    let nothing = Query { mailbox: None, states: &[], after: None, limit: 0 };
    assert!(journal.items(nothing).await.unwrap().is_empty());
    let beyond = Query { mailbox: Some(first.mailbox), states: &[], after: Some(last.items[0]), limit: 9 };
    assert!(
        journal.items(beyond).await.unwrap().is_empty(),
        "after a later mailbox there is nothing of this one"
    );
}

pub async fn mailboxes_keep_their_number(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let mut odd = record("odd");
    odd.source.wire = (&b"sch\xf6n&"[..]).into();
    odd.source.delimiter = None;
    odd.decision = Decision::Exclude("by rule".into());
    let saved = journal.save_mailboxes(&[record("INBOX"), odd]).await.unwrap();
    assert_eq!(journal.mailboxes().await.unwrap(), saved);
    let changed = MailboxRecord {
        messages: None,
        octets: Some(9),
        role: None,
        subscribed: false,
        decision: Decision::Refuse("name too long".into()),
        ..saved[0].clone()
    };
    let unnumbered = MailboxRecord { id: MailboxId(0), ..changed.clone() };
    let again = journal.save_mailboxes(&[record("Third"), unnumbered]).await.unwrap();
    assert_eq!(again[1], changed, "known by its source name");
    let all = journal.mailboxes().await.unwrap();
    assert_eq!(all, [changed, saved[1].clone(), again[0].clone()]);
}

pub async fn the_epoch_opened_last_is_the_current_one(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 1).await;
    let other = prepare_named(&journal, "Other", 1).await;
    let first = journal.epochs(p.mailbox, Side::Target).await.unwrap().remove(0);
    let second = journal.open_epoch(p.mailbox, Side::Target, &facts(77)).await.unwrap();
    assert_eq!(journal.epochs(p.mailbox, Side::Target).await.unwrap(), [first.clone(), second.clone()]);
    let mut now = facts(6);
    (now.exists, now.uid_next, now.highest_mod_seq, now.mailbox_id) = (8, None, None, Some("F1".into()));
    let again = journal.open_epoch(p.mailbox, Side::Target, &now).await.unwrap();
    assert_eq!((again.id, &again.facts), (first.id, &now), "the same UIDVALIDITY is the same epoch");
    assert_eq!(journal.epochs(p.mailbox, Side::Target).await.unwrap(), [second, again]);
    assert_eq!(journal.epochs(p.mailbox, Side::Source).await.unwrap().len(), 1, "the other side has its own");
    assert_ne!(journal.epochs(other.mailbox, Side::Target).await.unwrap()[0].id, first.id);
}

pub async fn a_baseline_stays_within_its_epoch(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 1).await;
    assert_eq!(journal.baseline(p.mailbox).await.unwrap(), None);
    let first = Baseline { epoch: p.target, uid_next: Key(9), existing: Existing::Adopt, matched: false };
    journal.set_baseline(p.mailbox, first).await.unwrap();
    for other in [
        Baseline { uid_next: Key(1), ..first },
        Baseline { existing: Existing::New, ..first },
        Baseline { existing: Existing::AppendAnyway, matched: true, ..first },
    ] {
        assert!(journal.set_baseline(p.mailbox, other).await.is_err(), "{other:?}");
        assert_eq!(journal.baseline(p.mailbox).await.unwrap(), Some(first));
    }
    for matched in [true, true, false, true] {
        let same = Baseline { matched, ..first };
        journal.set_baseline(p.mailbox, same).await.unwrap();
        assert_eq!(journal.baseline(p.mailbox).await.unwrap(), Some(same));
    }
    let epoch = journal.open_epoch(p.mailbox, Side::Target, &facts(66)).await.unwrap().id;
    let new = Baseline { epoch, uid_next: Key(2), existing: Existing::New, matched: true };
    journal.set_baseline(p.mailbox, new).await.unwrap();
    assert_eq!(journal.baseline(p.mailbox).await.unwrap(), Some(new));
}

pub async fn settings_are_pinned(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    assert_eq!(journal.setting("mapping").await.unwrap(), None);
    journal.pin_setting("mapping", "a").await.unwrap();
    journal.pin_setting("mapping", "a").await.unwrap();
    let error = journal.pin_setting("mapping", "b").await.unwrap_err();
    assert!(matches!(error, JournalError::OtherSettings { .. }), "{error}");
    assert_eq!(journal.setting("mapping").await.unwrap().as_deref(), Some("a"));
    assert_eq!(journal.setting("Mapping").await.unwrap(), None);
}

pub async fn runs_notes_and_sightings_are_kept(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    let p = prepare(&journal, 1).await;
    let note = |kind: &str| Note { kind: kind.into(), mailbox: None, key: None, text: "t".into() };
    journal.note(note("early")).await.unwrap();
    let first = journal.begin_run("migrate").await.unwrap();
    journal.note(Note { mailbox: Some(p.mailbox), key: Some(Key(3)), ..note("doubt:a") }).await.unwrap();
    journal.end_run(first, "complete").await.unwrap();
    let second = journal.begin_run("verify").await.unwrap();
    for kind in ["ghost", "doubt:b", "doub", "DOUBT:c", "doubt:%"] {
        journal.note(note(kind)).await.unwrap();
    }
    assert!(journal.end_run(RunId(second.0 + 1), "x").await.is_err(), "no such run");
    let doubts = journal.notes("doubt:", 0, 10).await.unwrap();
    let kinds: Vec<&str> = doubts.iter().map(|n| n.note.kind.as_str()).collect();
    assert_eq!(kinds, ["doubt:a", "doubt:b", "doubt:%"], "a prefix is octets, no pattern");
    assert_eq!((doubts[0].run, doubts[1].run), (Some(first), Some(second)));
    assert_eq!((doubts[0].note.mailbox, doubts[0].note.key), (Some(p.mailbox), Some(Key(3))));
    assert_eq!(journal.notes("", 0, 1).await.unwrap()[0].run, None, "written before the first run");
    let after = journal.notes("doubt:", doubts[0].id, 1).await.unwrap();
    assert_eq!(after, doubts[1..2]);
    let runs = journal.runs(10).await.unwrap();
    let told: Vec<_> = runs.iter().map(|r| (r.id, r.verb.as_str(), r.outcome.as_deref())).collect();
    assert_eq!(told, [(first, "migrate", Some("complete")), (second, "verify", None)]);
    assert!(runs[0].ended.is_some_and(|end| end >= runs[0].started) && runs[1].ended.is_none());
    assert_eq!(journal.runs(1).await.unwrap()[0].id, second, "the latest ones");
    let sighting = |uids: &str, exists| Sighting {
        mailbox: p.mailbox,
        side: Side::Target,
        epoch: p.target,
        facts: mailhaul_engine::journal::EpochFacts { exists, ..facts(6) },
        uids: uids.into(),
    };
    for (run, uids, exists) in [(first, "1:3,7", 4), (second, "1:2", 2), (second, "", 0)] {
        journal.save_sighting(run, &sighting(uids, exists)).await.unwrap();
    }
    let last = journal.last_sighting(p.mailbox, Side::Target).await.unwrap();
    assert_eq!(last, Some((second, sighting("", 0))));
    assert_eq!(journal.last_sighting(p.mailbox, Side::Source).await.unwrap(), None);
}

/// A journal with something of everything in it.
pub async fn fill<J: Journal>(journal: &J) {
    let p = prepare(journal, 9).await;
    let other = prepare_named(journal, "Other", 3).await;
    let run = journal.begin_run("migrate").await.unwrap();
    let baseline = Baseline { epoch: p.target, uid_next: Key(9), existing: Existing::New, matched: true };
    journal.set_baseline(p.mailbox, baseline).await.unwrap();
    journal.pin_setting("mapping", "x").await.unwrap();
    store(journal, &p, 0, 41).await;
    let batch = commit(journal, &p, &p.items[1..4]).await.unwrap();
    let lost =
        [p.stored(1, 42), Change::to(p.items[2], State::InDoubt), Change::to(p.items[3], State::InDoubt)];
    journal.end_batch(batch, BatchEnd::Lost, &lost).await.unwrap();
    commit(journal, &other, &other.items[..2]).await.unwrap();
    let gone = Change::to(p.items[8], State::GoneAtSource).because(reason("expunged"));
    let there = Change::to(p.items[7], State::AlreadyThere).at(p.place(3), Origin::Adopted);
    journal.change(&[gone, there]).await.unwrap();
    let note = Note { kind: "decision".into(), mailbox: None, key: None, text: "é\u{0}x".into() };
    journal.note(note).await.unwrap();
    let seen = Sighting {
        mailbox: p.mailbox,
        side: Side::Source,
        epoch: p.source,
        facts: facts(5),
        uids: "1:9".into(),
    };
    journal.save_sighting(run, &seen).await.unwrap();
    journal.end_run(run, "incomplete").await.unwrap();
}

pub async fn a_released_journal_opens_again_as_it_was(shelf: &impl Shelf) {
    let journal = shelf.open().await.unwrap();
    fill(&journal).await;
    let before = dump(&journal).await;
    assert_eq!(journal.pair(), super::fixtures::pair());
    journal.release().await.unwrap();
    for _ in 0..2 {
        let again = shelf.open().await.unwrap();
        assert_eq!(dump(&again).await, before);
        assert_eq!(again.pair(), super::fixtures::pair());
        assert_eq!(again.setting("mapping").await.unwrap().as_deref(), Some("x"));
        check_consistency(&again).await;
        again.release().await.unwrap();
    }
}

pub async fn one_holder_at_a_time_and_the_former_one_writes_nothing(shelf: &impl Shelf) {
    let first = shelf.open().await.unwrap();
    fill(&first).await;
    let clone = first.clone();
    assert_eq!(first.renew().await.unwrap().token, clone.lease().token);
    let Err(JournalError::Held { holder }) = shelf.open().await else { panic!("two holders") };
    assert!(!holder.is_empty());
    let before = dump(&first).await;
    first.release().await.unwrap();
    for journal in [&first, &clone] {
        expect_fenced(journal).await;
    }
    let second = shelf.open().await.unwrap();
    assert!(second.lease().token > first.lease().token, "the token grows");
    for journal in [&first, &clone] {
        expect_fenced(journal).await;
    }
    assert_eq!(dump(&second).await, before);
    second.begin_run("goes on").await.unwrap();
}

/// Every writing verb is refused as fenced.
pub async fn expect_fenced<J: Journal>(journal: &J) {
    let (mailbox, id) = (MailboxId(1), ItemId { mailbox: MailboxId(1), epoch: EpochId(1), key: Key(6) });
    let baseline = Baseline { epoch: id.epoch, uid_next: Key(1), existing: Existing::New, matched: true };
    let note = Note { kind: "x".into(), mailbox: None, key: None, text: String::new() };
    let intent =
        Intent { mailbox, epoch: id.epoch, uid_next: Key(1), form: Form::Multi, items: vec![(id, sent(1))] };
    let seen =
        Sighting { mailbox, side: Side::Source, epoch: id.epoch, facts: facts(1), uids: String::new() };
    let results: [(&str, JournalResult<()>); 14] = [
        ("renew", journal.renew().await.map(drop)),
        ("release", journal.release().await),
        ("pin_setting", journal.pin_setting("new", "x").await),
        ("begin_run", journal.begin_run("x").await.map(drop)),
        ("end_run", journal.end_run(RunId(1), "x").await),
        ("save_mailboxes", journal.save_mailboxes(&[record("New")]).await.map(drop)),
        ("open_epoch", journal.open_epoch(mailbox, Side::Source, &facts(99)).await.map(drop)),
        ("set_baseline", journal.set_baseline(mailbox, baseline).await),
        ("record_listing", journal.record_listing(mailbox, id.epoch, &[listed(77)]).await.map(drop)),
        ("change", journal.change(&[Change::to(id, State::Fetched)]).await),
        ("commit_batch", journal.commit_batch(&intent).await.map(drop)),
        ("end_batch", journal.end_batch(BatchId(2), BatchEnd::Lost, &[]).await),
        ("note", journal.note(note).await),
        ("save_sighting", journal.save_sighting(RunId(1), &seen).await),
    ];
    for (verb, result) in results {
        assert!(matches!(result, Err(JournalError::Fenced)), "{verb}: {result:?}");
    }
}
