use super::*;
use crate::journal::{EpochId, MailboxId};
use crate::message::{Key, UidValidity};
use crate::transfer::batch_size::FIRST as FIRST_BATCH;

fn ready(key: i64) -> Ready {
    Ready {
        item: ItemId { mailbox: MailboxId(1), epoch: EpochId(1), key: Key(key) },
        octets: 100,
        lone_lf: false,
        keywords: false,
        date: true,
        encodable: false,
        ladder: Ladder::default(),
        refusals: 0,
    }
}

fn brain(form: Form, overlap: bool) -> Brain {
    Brain::new(Limits::default(), form, overlap)
}

fn feed(brain: &mut Brain, keys: std::ops::RangeInclusive<i64>) -> Vec<Action> {
    keys.flat_map(|k| hand(brain, ready(k))).collect()
}

/// One message, and nothing more for a moment.
fn hand(brain: &mut Brain, ready: Ready) -> Vec<Action> {
    let mut actions = brain.step(Event::Ready(ready));
    actions.extend(brain.step(Event::BurstEnds));
    actions
}

fn staged(actions: &[Action]) -> Vec<(u64, Vec<i64>)> {
    let keys = |items: &[Ready]| items.iter().map(|r| r.item.key.0).collect();
    actions
        .iter()
        .filter_map(|a| match a {
            Action::Stage(no, items) => Some((no.0, keys(items))),
            _ => None,
        })
        .collect()
}

fn opens(actions: &[Action]) -> Vec<u64> {
    actions.iter().filter_map(|a| if let Action::OpenGate(no) = a { Some(no.0) } else { None }).collect()
}

fn stored(n: usize) -> Answer {
    let uids = NewUids { uid_validity: UidValidity(1), uids: (0..n as i64).map(Key).collect() };
    Answer { messages: n, verdict: Verdict::Stored(Some(uids)) }
}

fn refusal(class: RefusalClass) -> Refusal {
    Refusal { class, bad: false, code: None, text: "because".into() }
}

fn refused(n: usize, class: RefusalClass) -> Answer {
    Answer { messages: n, verdict: Verdict::Refused(refusal(class)) }
}

const QUICK: Duration = Duration::from_millis(10);

#[test]
fn a_gate_opens_only_when_the_upload_stands_at_it_and_the_commit_is_durable() {
    let mut b = brain(Form::Multi, true);
    let first = feed(&mut b, 1..=1);
    assert_eq!(staged(&first), [(0, vec![1])]);
    assert!(opens(&b.step(Event::AtGate(BatchNo(0)))).is_empty());
    assert_eq!(opens(&b.step(Event::Durable(BatchNo(0)))), [0]);
}

#[test]
fn the_gate_of_the_next_batch_waits_for_the_answers_of_the_one_before() {
    let mut b = brain(Form::Multi, true);
    feed(&mut b, 1..=3);
    b.step(Event::NothingMoreSoon);
    b.step(Event::AtGate(BatchNo(0)));
    let opened = b.step(Event::Durable(BatchNo(0)));
    assert_eq!(staged(&opened), [(1, vec![2, 3])], "uploaded behind its gate");
    b.step(Event::AtGate(BatchNo(1)));
    assert!(opens(&b.step(Event::Durable(BatchNo(1)))).is_empty());
    assert_eq!(opens(&b.step(Event::Answered(BatchNo(0), vec![stored(1)], QUICK))), [1]);
}

#[test]
fn a_burst_makes_one_batch_and_a_full_batch_does_not_wait_for_its_end() {
    let mut b = brain(Form::Multi, true);
    let arriving: Vec<Action> = (1..=9).flat_map(|k| b.step(Event::Ready(ready(k)))).collect();
    assert!(staged(&arriving).is_empty());
    assert_eq!(staged(&b.step(Event::BurstEnds)), [(0, (1..=9).collect())]);
    let mut b = brain(Form::Multi, true);
    let full = 1 + FIRST_BATCH as i64;
    let arriving: Vec<Action> = (1..=full).flat_map(|k| b.step(Event::Ready(ready(k)))).collect();
    assert_eq!(staged(&arriving), [(0, (1..full).collect())]);
}

fn asks(actions: &[Action]) -> usize {
    actions.iter().filter(|a| **a == Action::AwaitTurn).count()
}

#[test]
fn with_a_rate_each_batch_waits_for_a_turn_and_a_turn_is_one_batch() {
    let mut b = brain(Form::Multi, true).in_turns();
    let first = feed(&mut b, 1..=3);
    assert_eq!((staged(&first), asks(&first)), (vec![], 1), "asked for once");
    // What arrives meanwhile goes along.
    assert_eq!(staged(&b.step(Event::Turn)), [(0, vec![1, 2, 3])]);
    b.step(Event::NothingMoreSoon);
    let behind = feed(&mut b, 4..=5);
    assert_eq!((staged(&behind), asks(&behind)), (vec![], 0), "nothing can be sent yet, turn or not");
    b.step(Event::AtGate(BatchNo(0)));
    let opened = b.step(Event::Durable(BatchNo(0)));
    assert_eq!(
        (opens(&opened), staged(&opened), asks(&opened)),
        (vec![0], vec![], 1),
        "no gate waits for a turn"
    );
    assert_eq!(staged(&b.step(Event::Turn)), [(1, vec![4, 5])]);
}

#[test]
fn a_turn_that_is_of_no_use_is_lost_and_asked_for_again() {
    let mut b = brain(Form::Multi, true).in_turns();
    assert_eq!(asks(&feed(&mut b, 1..=1)), 1);
    b.step(Event::Turn);
    b.step(Event::AtGate(BatchNo(0)));
    b.step(Event::Durable(BatchNo(0)));
    let sent_again = b.step(Event::Answered(BatchNo(0), vec![refused(1, RefusalClass::Unavailable)], QUICK));
    assert_eq!(asks(&sent_again), 0, "it waits as the server asked: {sent_again:?}");
    assert!(staged(&b.step(Event::Turn)).is_empty());
    assert_eq!(asks(&b.step(Event::Clear)), 1);
    assert_eq!(staged(&b.step(Event::Turn)), [(1, vec![1])], "what is sent again waits, too");
}

#[test]
fn without_overlap_nothing_is_staged_behind_an_open_gate() {
    let mut b = brain(Form::Multi, false);
    feed(&mut b, 1..=3);
    b.step(Event::NothingMoreSoon);
    b.step(Event::AtGate(BatchNo(0)));
    assert!(staged(&b.step(Event::Durable(BatchNo(0)))).is_empty());
    assert_eq!(staged(&b.step(Event::Answered(BatchNo(0), vec![stored(1)], QUICK))), [(1, vec![2, 3])]);
}

/// Runs batches against a server that refuses any batch holding one of `poison`.
fn run_with_poison(count: i64, poison: &[i64], form: Form) -> (Vec<i64>, Vec<i64>, usize) {
    let mut b = brain(form, true);
    let (mut stored_keys, mut given_up, mut sent) = (Vec::new(), Vec::new(), 0);
    let mut todo: VecDeque<Action> = feed(&mut b, 1..=count).into();
    todo.extend(b.step(Event::NothingMoreSoon));
    let mut batches = std::collections::HashMap::new();
    while let Some(action) = todo.pop_front() {
        match action {
            Action::Stage(no, items) => {
                sent += items.len();
                batches.insert(no, items);
                todo.extend(b.step(Event::AtGate(no)));
            }
            Action::Commit(no, ..) => todo.extend(b.step(Event::Durable(no))),
            Action::OpenGate(no) => {
                let items = &batches[&no];
                let bad = |r: &Ready| poison.contains(&r.item.key.0);
                let answers = if form == Form::Multi {
                    let n = items.len();
                    vec![if items.iter().any(bad) { refused(n, RefusalClass::Content) } else { stored(n) }]
                } else {
                    items
                        .iter()
                        .map(|r| if bad(r) { refused(1, RefusalClass::Content) } else { stored(1) })
                        .collect()
                };
                todo.extend(b.step(Event::Answered(no, answers, QUICK)));
            }
            Action::Stored(_, items, _) => stored_keys.extend(items.iter().map(|i| i.key.0)),
            Action::GiveUp(item, reason) => {
                assert_eq!(reason.text, "NO because");
                given_up.push(item.key.0);
            }
            Action::Reconnect => todo.extend(b.step(Event::Clear)),
            _ => {}
        }
    }
    assert!(b.is_idle());
    (stored_keys, given_up, sent)
}

#[test]
fn a_poison_at_each_position_of_a_batch_becomes_one_exception_and_the_others_keep_their_order() {
    for poison in 1..=60 {
        let (stored, given_up, _) = run_with_poison(60, &[poison], Form::Multi);
        assert_eq!(given_up, [poison]);
        assert_eq!(stored, (1..=60).filter(|k| *k != poison).collect::<Vec<_>>());
    }
}

#[test]
fn two_poisons_are_both_found() {
    let (stored, given_up, _) = run_with_poison(50, &[7, 8], Form::Multi);
    assert_eq!((stored.len(), given_up), (48, vec![7, 8]));
}

#[test]
fn in_a_group_a_refusal_costs_only_its_own_message() {
    let (stored, given_up, sent) = run_with_poison(60, &[30], Form::Group);
    assert_eq!((stored.len(), given_up), (59, vec![30]));
    assert!(sent <= 60 + 32, "at most the batch behind was sent again, {sent}");
}

#[test]
fn a_lost_connection_puts_the_open_batch_in_doubt_and_voids_the_one_behind() {
    let mut b = brain(Form::Multi, true);
    feed(&mut b, 1..=3);
    b.step(Event::NothingMoreSoon);
    b.step(Event::AtGate(BatchNo(0)));
    b.step(Event::Durable(BatchNo(0)));
    b.step(Event::Durable(BatchNo(1)));
    let lost = Answer { messages: 1, verdict: Verdict::Lost("reset".into()) };
    let actions = b.step(Event::Answered(BatchNo(0), vec![lost], QUICK));
    assert!(actions.contains(&Action::InDoubt(BatchNo(0), vec![ready(1).item])));
    assert!(actions.contains(&Action::Abandon(BatchNo(1))));
    assert!(actions.contains(&Action::Reconnect));
    assert!(staged(&actions).is_empty(), "no gate while the mailbox is in doubt");
    assert_eq!(staged(&b.step(Event::Clear)), [(2, vec![2, 3])]);
}

#[test]
fn what_was_never_sent_of_a_group_is_sent_again_in_order_without_a_doubt() {
    let of_one = |verdict| Answer { messages: 1, verdict };
    let unsent = || of_one(Verdict::Unsent("closed here".into()));
    let group = || {
        let mut b = brain(Form::Group, false);
        feed(&mut b, 1..=1);
        feed(&mut b, 2..=5);
        b.step(Event::AtGate(BatchNo(0)));
        b.step(Event::Durable(BatchNo(0)));
        b.step(Event::Answered(BatchNo(0), vec![of_one(Verdict::Stored(None))], QUICK));
        b.step(Event::AtGate(BatchNo(1)));
        b.step(Event::Durable(BatchNo(1)));
        b
    };
    let stored = || of_one(Verdict::Stored(None));
    let mut b = group();
    let actions = b.step(Event::Answered(BatchNo(1), vec![stored(), stored(), unsent(), unsent()], QUICK));
    assert!(actions.contains(&Action::Unsent(BatchNo(1), vec![ready(4).item, ready(5).item])), "{actions:?}");
    assert!(
        !actions.iter().any(|a| matches!(a, Action::InDoubt(..))) && actions.contains(&Action::Reconnect)
    );
    assert_eq!(staged(&b.step(Event::Clear)), [(2, vec![4, 5])]);

    let lost = of_one(Verdict::Lost("reset".into()));
    let mut b = group();
    let actions = b.step(Event::Answered(BatchNo(1), vec![stored(), lost, unsent(), unsent()], QUICK));
    let doubtful = Action::InDoubt(BatchNo(1), vec![ready(3).item, ready(4).item, ready(5).item]);
    assert!(actions.contains(&doubtful), "behind one in doubt they keep its order: {actions:?}");
}

#[test]
fn a_connection_lost_before_the_gate_leaves_no_doubt() {
    let mut b = brain(Form::Multi, true);
    feed(&mut b, 1..=1);
    let actions = b.step(Event::LostEarly(BatchNo(0)));
    assert_eq!(actions, [Action::Abandon(BatchNo(0)), Action::Reconnect]);
    assert_eq!(staged(&b.step(Event::Clear)), [(1, vec![1])]);
}

#[test]
fn a_commit_that_fails_keeps_the_gate_shut() {
    let mut b = brain(Form::Multi, true);
    feed(&mut b, 1..=1);
    b.step(Event::AtGate(BatchNo(0)));
    let actions = b.step(Event::NotDurable(BatchNo(0)));
    assert_eq!(actions, [Action::Abandon(BatchNo(0)), Action::Reconnect]);
}

#[test]
fn a_full_target_holds_the_mailbox_and_gives_nothing_up() {
    let mut b = brain(Form::Multi, true);
    feed(&mut b, 1..=10);
    b.step(Event::AtGate(BatchNo(0)));
    b.step(Event::Durable(BatchNo(0)));
    let actions = b.step(Event::Answered(BatchNo(0), vec![refused(1, RefusalClass::Quota)], QUICK));
    assert!(actions.contains(&Action::Hold(refusal(RefusalClass::Quota))));
    assert!(!actions.iter().any(|a| matches!(a, Action::GiveUp(..))));
    assert!(staged(&b.step(Event::Clear)).is_empty(), "a small message must not slip in");
}

#[test]
fn throttling_waits_as_asked_and_sends_the_same_again() {
    let mut b = brain(Form::Multi, false);
    feed(&mut b, 1..=1);
    b.step(Event::AtGate(BatchNo(0)));
    b.step(Event::Durable(BatchNo(0)));
    let wait = Duration::from_secs(7);
    let class = RefusalClass::Throttled(Some(wait));
    let actions = b.step(Event::Answered(BatchNo(0), vec![refused(1, class)], QUICK));
    assert!(actions.contains(&Action::Wait(Pause::Named(wait), refusal(class))));
    assert_eq!(staged(&b.step(Event::Clear)), [(1, vec![1])]);
}

#[test]
fn throttling_waits_as_asked_also_when_a_batch_stands_behind() {
    for behind in [false, true] {
        let mut b = brain(Form::Group, true);
        feed(&mut b, 1..=1);
        b.step(Event::AtGate(BatchNo(0)));
        b.step(Event::Durable(BatchNo(0)));
        if behind {
            assert_eq!(staged(&feed(&mut b, 2..=2)), []);
            assert_eq!(staged(&b.step(Event::NothingMoreSoon)), [(1, vec![2])]);
        }
        let class = RefusalClass::Throttled(Some(Duration::from_secs(7)));
        let actions = b.step(Event::Answered(BatchNo(0), vec![refused(1, class)], QUICK));
        let waits = actions.iter().filter(|a| matches!(a, Action::Wait(..))).count();
        assert_eq!(waits, 1, "behind {behind}: {actions:?}");
        assert_eq!(actions.contains(&Action::Reconnect), behind);
        let number = if behind { 2 } else { 1 };
        assert_eq!(staged(&b.step(Event::Clear)), [(number, vec![1])], "behind {behind}");
    }
}

/// A target whose answers to messages in trouble are drawn by `answer`, from the message and how often anything was sent;
/// what became of each message, in order, and all pauses.
fn run_in_trouble(
    count: i64,
    form: Form,
    answer: impl Fn(&[Ready], usize) -> Option<RefusalClass>,
) -> (Vec<i64>, Vec<i64>, Vec<Pause>) {
    let mut b = brain(form, true);
    let (mut stored_keys, mut given_up, mut pauses, mut sent) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut todo: VecDeque<Action> = feed(&mut b, 1..=count).into();
    todo.extend(b.step(Event::NothingMoreSoon));
    let mut batches = HashMap::new();
    while let Some(action) = todo.pop_front() {
        match action {
            Action::Stage(no, items) => {
                batches.insert(no, items);
                todo.extend(b.step(Event::AtGate(no)));
            }
            Action::Commit(no, ..) => todo.extend(b.step(Event::Durable(no))),
            Action::OpenGate(no) => {
                sent += 1;
                let items = &batches[&no];
                let pieces =
                    if form == Form::Multi { vec![items.as_slice()] } else { items.chunks(1).collect() };
                let judge = |of: &[Ready]| match answer(of, sent) {
                    Some(class) => refused(of.len(), class),
                    None => stored(of.len()),
                };
                let answers = pieces.into_iter().map(judge).collect();
                todo.extend(b.step(Event::Answered(no, answers, QUICK)));
            }
            Action::Stored(_, items, _) => stored_keys.extend(items.iter().map(|i| i.key.0)),
            Action::GiveUp(item, _) => given_up.push(item.key.0),
            Action::Wait(pause, _) => {
                pauses.push(pause);
                if pauses.len() > 1000 {
                    break;
                }
                todo.extend(b.step(Event::Clear));
            }
            Action::Reconnect => todo.extend(b.step(Event::Clear)),
            Action::Hold(_) => break,
            _ => {}
        }
    }
    stored_keys.sort_unstable();
    (stored_keys, given_up, pauses)
}

#[test]
fn one_message_that_is_always_unavailable_is_given_up_and_all_others_are_stored() {
    for form in [Form::Multi, Form::Group] {
        for class in [RefusalClass::Unavailable, RefusalClass::ServerBug] {
            for poison in [1, 7, 30] {
                let bad = |of: &[Ready], _| of.iter().any(|r| r.item.key.0 == poison).then_some(class);
                let (stored, given_up, pauses) = run_in_trouble(30, form, bad);
                let case = format!("{class:?}, {form:?}, {poison}");
                assert_eq!(given_up, [poison], "{case}");
                assert_eq!(stored, (1..=30).filter(|k| *k != poison).collect::<Vec<_>>(), "{case}");
                assert!(class != RefusalClass::Unavailable || pauses.len() >= 3, "{case}: {pauses:?}");
            }
        }
    }
}

#[test]
fn a_target_in_trouble_for_long_costs_no_message() {
    for form in [Form::Multi, Form::Group] {
        for class in [RefusalClass::Unavailable, RefusalClass::ServerBug] {
            let passes = |_: &[Ready], sent: usize| (sent < 6).then_some(class);
            let (stored, given_up, _) = run_in_trouble(20, form, passes);
            assert_eq!((stored.len(), given_up), (20, vec![]), "{class:?}, {form:?}");
            // Whoever is given up at last had twenty minutes: the shell gives the account up soon after.
            let for_ever = |_: &[Ready], _: usize| Some(class);
            let (_, given_up, pauses) = run_in_trouble(1, form, for_ever);
            let waited: Duration =
                pauses.iter().map(|p| if let Pause::Step(d) = p { *d } else { Duration::ZERO }).sum();
            assert_eq!(given_up, [1]);
            assert!(waited >= Duration::from_secs(20 * 60), "{class:?}, {form:?}: {waited:?}");
        }
    }
}

#[test]
fn a_locked_mailbox_is_asked_again_after_1_5_15_and_60_seconds_and_then_held() {
    let locked = |_: &[Ready], _: usize| Some(RefusalClass::InUse);
    let (stored, given_up, pauses) = run_in_trouble(5, Form::Multi, locked);
    let seconds = [1, 5, 15, 60].map(|s| Pause::Step(Duration::from_secs(s)));
    assert_eq!((stored, given_up, pauses), (vec![], vec![], seconds.to_vec()));
}

#[test]
fn throttled_or_full_is_waited_for_three_times_and_then_taken_for_full() {
    let full = |_: &[Ready], _: usize| Some(RefusalClass::ThrottledOrFull);
    let (stored, given_up, pauses) = run_in_trouble(5, Form::Multi, full);
    assert_eq!((stored, given_up, pauses), (vec![], vec![], vec![Pause::BackOff; 3]));
    let throttled = |_: &[Ready], sent: usize| (sent <= 3).then_some(RefusalClass::ThrottledOrFull);
    assert_eq!(run_in_trouble(5, Form::Multi, throttled).0, [1, 2, 3, 4, 5]);
}

#[test]
fn a_virus_is_given_up_at_once_and_climbs_no_ladder() {
    let bad = |of: &[Ready], _| of.iter().any(|r| r.item.key.0 == 3).then_some(RefusalClass::Forbidden);
    let (stored, given_up, pauses) = run_in_trouble(9, Form::Multi, bad);
    assert_eq!((stored.len(), given_up, pauses), (8, vec![3], vec![]));
}

#[test]
fn a_group_refused_for_throttling_waits_once() {
    let mut b = brain(Form::Group, false);
    feed(&mut b, 1..=3);
    b.step(Event::NothingMoreSoon);
    b.step(Event::AtGate(BatchNo(0)));
    b.step(Event::Durable(BatchNo(0)));
    b.step(Event::Answered(BatchNo(0), vec![stored(1)], QUICK));
    b.step(Event::AtGate(BatchNo(1)));
    b.step(Event::Durable(BatchNo(1)));
    let class = RefusalClass::Throttled(None);
    let actions = b.step(Event::Answered(BatchNo(1), vec![refused(1, class), refused(1, class)], QUICK));
    assert_eq!(actions.iter().filter(|a| matches!(a, Action::Wait(..))).count(), 1, "{actions:?}");
}

#[test]
fn a_message_with_a_lone_lf_travels_alone_and_climbs_the_ladder() {
    let mut b = brain(Form::Multi, false);
    hand(&mut b, ready(1));
    hand(&mut b, ready(2));
    hand(&mut b, Ready { lone_lf: true, ..ready(3) });
    b.step(Event::NothingMoreSoon);
    b.step(Event::AtGate(BatchNo(0)));
    b.step(Event::Durable(BatchNo(0)));
    assert_eq!(staged(&b.step(Event::Answered(BatchNo(0), vec![stored(1)], QUICK))), [(1, vec![2])]);
    b.step(Event::AtGate(BatchNo(1)));
    b.step(Event::Durable(BatchNo(1)));
    assert_eq!(staged(&b.step(Event::Answered(BatchNo(1), vec![stored(1)], QUICK))), [(2, vec![3])]);
    b.step(Event::AtGate(BatchNo(2)));
    b.step(Event::Durable(BatchNo(2)));
    let actions = b.step(Event::Answered(BatchNo(2), vec![refused(1, RefusalClass::Content)], QUICK));
    let Some(Action::Ladder(r, step)) = actions.iter().find(|a| matches!(a, Action::Ladder(..))) else {
        panic!("{actions:?}")
    };
    assert_eq!(*step, Ladder::LINE_ENDS);
    let again = b.step(Event::Laddered(Ready { ladder: r.ladder.with(*step), ..*r }));
    assert_eq!(staged(&again), [(3, vec![3])]);
}

#[test]
fn a_header_is_encoded_before_the_message_is_wrapped_and_only_against_a_refusal_of_octets() {
    let steps = |repair: bool, class: RefusalClass, encodable: bool| {
        let mut b = brain(Form::Multi, false).repairing(repair);
        let mut actions = hand(&mut b, Ready { encodable, ..ready(1) });
        let mut steps = Vec::new();
        for n in 0.. {
            assert_eq!(staged(&actions), [(n, vec![1])]);
            b.step(Event::AtGate(BatchNo(n)));
            b.step(Event::Durable(BatchNo(n)));
            let answered = b.step(Event::Answered(BatchNo(n), vec![refused(1, class)], QUICK));
            let Some((r, step)) = answered.iter().find_map(|a| match a {
                Action::Ladder(r, step) => Some((*r, *step)),
                _ => None,
            }) else {
                break;
            };
            steps.push(step);
            // As the shell does it.
            actions = b.step(Event::Laddered(Ready { ladder: r.ladder.with(step), encodable: false, ..r }));
        }
        steps
    };
    let content = RefusalClass::Content;
    assert_eq!(steps(true, content, true), [Ladder::ENCODED, Ladder::WRAPPED]);
    assert_eq!(steps(true, content, false), [Ladder::WRAPPED]);
    assert_eq!(steps(false, content, true), []);
    assert_eq!(steps(true, RefusalClass::TooBig, true), []);
}

#[test]
fn a_batch_that_is_refused_at_once_does_not_let_the_next_ones_grow() {
    let full = FIRST_BATCH;
    for (answer, next) in [(stored(full), 2 * full), (refused(full, RefusalClass::Content), full)] {
        let mut b = brain(Form::Multi, false);
        (0..=full as i64).for_each(|key| _ = b.step(Event::Ready(ready(key))));
        b.step(Event::AtGate(BatchNo(0)));
        b.step(Event::Durable(BatchNo(0)));
        b.step(Event::Answered(BatchNo(0), vec![answer], QUICK));
        assert_eq!(b.batch_messages(), next);
    }
}

#[test]
fn a_batch_whose_answers_are_lost_changes_no_size() {
    let full = FIRST_BATCH;
    for (answers, took) in
        [(vec![], QUICK), (vec![stored(full - 1)], QUICK), (vec![], Duration::from_secs(900))]
    {
        let mut b = brain(Form::Multi, false);
        b.learn(full, &answers, took);
        assert_eq!(b.batch_messages(), full);
    }
}

#[test]
fn the_first_batch_is_as_large_as_another_mailbox_found_right_within_the_limits() {
    for (known, first) in [(0, FIRST_BATCH), (7, FIRST_BATCH), (300, 300), (4000, 400)] {
        assert_eq!(brain(Form::Multi, false).beginning_with(known).batch_messages(), first, "{known}");
    }
}

#[test]
fn after_stop_no_batch_is_formed_and_the_open_one_is_still_settled() {
    let mut b = brain(Form::Multi, false);
    feed(&mut b, 1..=5);
    b.step(Event::AtGate(BatchNo(0)));
    b.step(Event::Durable(BatchNo(0)));
    b.step(Event::Stop);
    let actions = b.step(Event::Answered(BatchNo(0), vec![stored(1)], QUICK));
    assert!(matches!(actions[..], [Action::Stored(..), Action::Close(_)]), "{actions:?}");
    assert_eq!(b.waiting(), 4);
}

/// A batch that waits at its gate has nothing more to wait for once no gate opens: without this the pass never ended.
#[test]
fn a_stop_abandons_what_waits_at_its_gate_after_the_answer_of_the_batch_in_front() {
    let mut b = brain(Form::Multi, true);
    feed(&mut b, 1..=3);
    b.step(Event::NothingMoreSoon);
    b.step(Event::AtGate(BatchNo(0)));
    b.step(Event::Durable(BatchNo(0)));
    b.step(Event::AtGate(BatchNo(1)));
    b.step(Event::Durable(BatchNo(1)));
    assert_eq!(b.step(Event::Stop), [], "the open batch is still answered on this connection");
    let end = b.step(Event::Answered(BatchNo(0), vec![stored(1)], QUICK));
    assert!(end.contains(&Action::Abandon(BatchNo(1))), "{end:?}");
    assert!(opens(&end).is_empty());
}

#[test]
fn a_stop_before_any_gate_is_open_abandons_at_once() {
    let mut b = brain(Form::Group, true);
    feed(&mut b, 1..=1);
    b.step(Event::AtGate(BatchNo(0)));
    assert_eq!(b.step(Event::Stop), [Action::Abandon(BatchNo(0))]);
    assert!(b.step(Event::Durable(BatchNo(0))).is_empty(), "its COMMIT comes too late to matter");
}

proptest::proptest! {
    #[test]
    fn what_is_known_of_the_next_batch_is_what_a_look_at_all_of_it_finds(
        messages in proptest::collection::vec((1u64..3_000_000, 0u8..20), 1..300),
        sizes in proptest::collection::vec(1usize..120, 1..10),
    ) {
        for form in [Form::Multi, Form::Group] {
            let mut b = brain(form, true);
            for (at, (octets, kind)) in messages.iter().enumerate() {
                let octets = if *kind == 0 { octets * 4 } else { *octets };
                b.ready.push_back(Ready { octets, lone_lf: *kind == 1, ..ready(at as i64) });
                let messages_max = sizes[at / 40 % sizes.len()];
                b.batch_size = BatchSize::new(messages_max, Duration::from_secs(1));
                let known = b.next_run();
                b.run = (0, 0);
                proptest::prop_assert_eq!(known, b.next_run());
            }
        }
    }
}
