//! Gmail, as the sandbox has it (`Profile::gmail`): labels as mailboxes, what lies in All Mail alone, what is merged. What is
//! shown here is what the engine does with what is public of Gmail; Gmail itself was not asked.

#[path = "gmail/again.rs"]
mod again;
#[path = "gmail/copied.rs"]
mod copied;
#[path = "gmail/important.rs"]
mod important;

use crate::late::{DATE, message};
use crate::wire::{PASSWORD, USER, World, octets};
use bytes::Bytes;
use mailhaul_engine::config::{Labels, Selection};
use mailhaul_engine::error::{Error, Question};
use mailhaul_engine::journal::{Item, Journal, State};
use mailhaul_engine::probe::Probe;
use mailhaul_engine::progress::Progress;
use mailhaul_engine::report::LabelledMail;
use mailhaul_sandbox::{Deed, Fault, Gone, Planned, Profile, Sandbox, Trigger};
use mailhaul_testkit::account::Account;
use mailhaul_testkit::checker::{PathMap, assert_same};
use mailhaul_testkit::corpus::Random;
use mailhaul_testkit::image::{AccountImage, MailboxPath};
use mailhaul_testkit::stopper::{Death, Stopper};
use mailhaul_testkit::wire::Endpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const ALL: &str = "[Gmail]/All Mail";

fn letter(n: i64) -> Bytes {
    Bytes::from(message(n))
}

/// The letters that each mailbox of a server holds, by their numbers; empty mailboxes are left out.
fn shelves(server: &Sandbox) -> BTreeMap<String, Vec<i64>> {
    let number = |octets: &Bytes| (0..100).find(|n| letter(*n) == *octets).unwrap();
    let mailboxes = server.snapshot(USER).into_iter().filter(|m| !m.messages.is_empty());
    mailboxes
        .map(|m| {
            let mut letters: Vec<i64> = m.messages.iter().map(|x| number(&x.octets)).collect();
            letters.sort_unstable();
            (m.name, letters)
        })
        .collect()
}

fn expected(shelves: &[(&str, &[i64])]) -> BTreeMap<String, Vec<i64>> {
    shelves.iter().map(|(name, letters)| ((*name).to_owned(), letters.to_vec())).collect()
}

fn deliver(server: &Sandbox, mailbox: &str, letters: &[i64]) {
    server.create(USER, mailbox, None, false);
    letters.iter().for_each(|n| _ = server.deliver(USER, mailbox, letter(*n), "\\Seen", DATE));
}

/// The UID of a letter in a mailbox.
fn uid(server: &Sandbox, mailbox: &str, n: i64) -> u32 {
    let of = server.snapshot(USER).into_iter().find(|m| m.name == mailbox).unwrap();
    of.messages.iter().find(|m| m.octets == letter(n)).unwrap().uid
}

/// What a person has at Gmail: 0 and 1 in the Inbox, of which 1 has two labels more; 2 under a label alone, 3 sent, 4 a
/// draft, 5 and 6 archived without a label, 7 spam, 8 in the trash.
fn account(source: Profile, target: Profile) -> World {
    let world = World::between(source, target);
    deliver(&world.source, "INBOX", &[0, 1]);
    deliver(&world.source, "Work", &[1, 2]);
    deliver(&world.source, "Family/Old", &[1]);
    let named = |role: &str| {
        let mailboxes = world.source.snapshot(USER).into_iter();
        mailboxes.filter(|m| m.role.as_deref() == Some(role)).map(|m| m.name).next().unwrap()
    };
    for (role, letters) in
        [("\\Sent", &[3][..]), ("\\Drafts", &[4]), ("\\All", &[5, 6]), ("\\Junk", &[7]), ("\\Trash", &[8])]
    {
        deliver(&world.source, &named(role), letters);
    }
    world.source.set_flags(USER, "INBOX", uid(&world.source, "INBOX", 0), "\\Seen \\Flagged");
    world
}

/// The summary, as one line.
async fn said(world: &World) -> String {
    world.report().await.summary_lines(None).iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// Where the letters lie at a server without labels.
fn in_copies() -> BTreeMap<String, Vec<i64>> {
    expected(&[
        ("Archive", &[5, 6]),
        ("Drafts", &[4]),
        ("Family/Old", &[1]),
        ("INBOX", &[0, 1]),
        ("Junk", &[7]),
        ("Sent", &[3]),
        ("Trash", &[8]),
        ("Work", &[1, 2]),
    ])
}

/// A run, whose accounting must come out and must leave nothing.
async fn moved(world: &World) {
    ended_with(world, 0).await;
}

/// A run with this exit code, whose accounting must come out.
async fn ended_with(world: &World, code: u8) {
    assert_eq!(world.migrate().await.left, []);
    let report = world.report().await;
    assert_eq!((report.exit_code(), report.outcome.remainder), (code, 0), "{:?}", report.summary_lines(None));
}

async fn by_number(world: &World) -> LabelledMail {
    world.report().await.labelled.unwrap()
}

async fn left_out(world: &World) -> BTreeMap<String, u64> {
    world.report().await.totals.walked.excluded_by_rule()
}

async fn in_state(world: &World, state: State) -> Vec<Item> {
    world.items().await.into_iter().filter(|item| item.state == state).collect()
}

#[tokio::test(start_paused = true)]
async fn every_message_of_gmail_arrives_where_the_person_sees_it_and_archived_mail_in_archive() {
    for container in ["[Gmail]", "[Google Mail]"] {
        let world = account(Profile { gmail: Some(container), ..Profile::gmail() }, Profile::default());
        moved(&world).await;
        assert_eq!(shelves(&world.target), in_copies());
        // All Mail shows 0 to 6; 5 and 6 are brought by it.
        assert_eq!(left_out(&world).await, BTreeMap::from([("in-another-mailbox".into(), 5)]));
        let all = LabelledMail { messages: 9, there: 9, ..LabelledMail::default() };
        assert_eq!(by_number(&world).await, all);
        let said = world.report().await.summary_lines(None).join(" ");
        assert!(said.contains("Each message once, whatever its labels: 9 messages"), "{said}");
        let roles: BTreeMap<String, String> =
            world.target.snapshot(USER).into_iter().filter_map(|m| Some((m.name, m.role?))).collect();
        assert_eq!(roles.get("Archive").map(String::as_str), Some("\\Archive"));
        let starred = world.target.snapshot(USER).into_iter().find(|m| m.name == "INBOX").unwrap();
        assert!(starred.messages[0].flags.contains(&"\\Flagged".to_owned()), "a star is a flag");
    }
}

#[tokio::test(start_paused = true)]
async fn archived_mail_goes_to_the_mailbox_that_the_target_has_for_it() {
    let world = account(Profile::gmail(), Profile::default());
    world.target.create(USER, "Ablage", Some("\\Archive"), true);
    world.target.create(USER, "Gesendet", Some("\\Sent"), true);
    moved(&world).await;
    let mut there = in_copies();
    for (role, name) in [("Archive", "Ablage"), ("Sent", "Gesendet")] {
        let letters = there.remove(role).unwrap();
        there.insert(name.to_owned(), letters);
    }
    assert_eq!(shelves(&world.target), there);
}

#[tokio::test(start_paused = true)]
async fn a_label_of_the_name_archive_is_not_merged_with_archived_mail() {
    let world = account(Profile::gmail(), Profile::default());
    world.target.create(USER, "Archive", Some("\\Archive"), true);
    deliver(&world.source, "Archive", &[9]);
    moved(&world).await;
    let there = shelves(&world.target);
    assert_eq!(there["Archive"], [5, 6]);
    let other: Vec<&String> = there.keys().filter(|name| name.starts_with("Archive~")).collect();
    assert_eq!(there[other[0]], [9], "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn mail_under_a_label_that_imap_hides_comes_from_all_mail_and_the_label_is_named() {
    let source = Profile { hidden: vec!["Work".into()], ..Profile::gmail() };
    let world = account(source, Profile::default());
    moved(&world).await;
    let mut there = in_copies();
    there.remove("Work");
    // 1 is brought by the Inbox; 2 has no other place.
    there.insert("Archive".into(), vec![2, 5, 6]);
    assert_eq!(shelves(&world.target), there);
    let notes = world.notes().await;
    let named: Vec<&str> =
        notes.iter().filter(|n| n.kind == "hidden_label").map(|n| n.text.as_str()).collect();
    assert!(named.len() == 1 && named[0].contains("“Work”"), "{named:?}");
}

#[tokio::test(start_paused = true)]
async fn where_all_mail_is_hidden_a_person_is_asked_first_and_told_what_to_switch_on() {
    let source = Profile { hidden: vec![ALL.into()], ..Profile::gmail() };
    let mut world = account(source, Profile::default());
    let error = world.try_migrate().await.unwrap_err();
    let Error::Question(Question::WillNotMove { what }) = &error else { panic!("{error}") };
    assert!(
        what.iter().any(|w| w.contains("not counted") && w.contains("“Show in IMAP” for All Mail")),
        "{what:?}"
    );
    assert_eq!(world.target.counters().appended, 0);
    world.accepts = true;
    ended_with(&world, 3).await;
    let mut there = in_copies();
    there.remove("Archive");
    assert_eq!(shelves(&world.target), there);
    // The acceptance does not make it whole: report and exit code go on saying so.
    assert!(said(&world).await.contains("Gmail hides “All Mail”"), "{}", said(&world).await);
    assert!(said(&world).await.contains("of the old mailbox that Gmail shows"));
    world.source.set(|p| p.hidden.clear());
    moved(&world).await;
    assert_eq!(shelves(&world.target), in_copies());
    assert!(!said(&world).await.contains("hides"));
}

#[tokio::test(start_paused = true)]
async fn a_message_is_stored_once_in_the_place_of_its_first_label_where_that_is_chosen() {
    let mut world = account(Profile::gmail(), Profile::default());
    // Under two labels alone, and sent to oneself under a label.
    deliver(&world.source, "Family/Old", &[2]);
    world.source.label(USER, "Work", uid(&world.source, "Work", 2), "\\Important", true);
    deliver(&world.source, "Family/Old", &[3]);
    world.labels = Labels::First;
    let once = expected(&[
        ("Archive", &[5, 6]),
        ("Drafts", &[4]),
        ("Family/Old", &[2]),
        ("INBOX", &[0, 1]),
        ("Junk", &[7]),
        ("Sent", &[3]),
        ("Trash", &[8]),
    ]);
    for _ in 0..2 {
        moved(&world).await;
        assert_eq!(shelves(&world.target), once);
        assert_eq!(world.target.counters().appended, 9);
    }
    // All Mail has 5 of others; Work shows 1 and 2, Family/Old 1 and 3.
    assert_eq!(left_out(&world).await, BTreeMap::from([("in-another-mailbox".into(), 9)]));
    let kept: BTreeSet<String> =
        in_state(&world, State::Excluded).await.into_iter().filter_map(|i| i.lineage).collect();
    assert_eq!(kept.len(), 5, "which further labels a message had is in the manifest, by its number");
}

#[tokio::test(start_paused = true)]
async fn a_person_may_change_the_choice_and_what_was_copied_stays() {
    let mut world = account(Profile::gmail(), Profile::default());
    world.labels = Labels::First;
    moved(&world).await;
    assert_eq!(world.target.counters().appended, 9);
    world.labels = Labels::Copies;
    moved(&world).await;
    assert_eq!(shelves(&world.target), in_copies());
    assert_eq!(world.target.counters().appended, 11);
    world.labels = Labels::First;
    moved(&world).await;
    assert_eq!(shelves(&world.target), in_copies());
    assert_eq!(world.target.counters().appended, 11);
}

#[tokio::test(start_paused = true)]
async fn a_second_run_sends_nothing() {
    let world = account(Profile::gmail(), Profile::default());
    moved(&world).await;
    let sent = world.target.counters().appended;
    assert_eq!(sent, 11);
    for _ in 0..2 {
        moved(&world).await;
        assert_eq!(world.target.counters().appended, sent);
        assert_eq!(shelves(&world.target), in_copies());
    }
    world.verify().await;
    assert_eq!(world.report().await.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn progress_is_whole_when_the_last_message_is_proven_and_not_before() {
    for labels in [Labels::Copies, Labels::First] {
        let mut world = account(Profile::gmail(), Profile::default());
        world.labels = labels;
        for run in 1..=2 {
            let (mut whole, mut done, mut earlier) = (0, Vec::new(), 0);
            for event in world.migrate_and_listen().await {
                let settled = match event {
                    Progress::Planned { messages, .. } => {
                        whole = 2 * messages;
                        continue;
                    }
                    Progress::MailboxListed { messages, new, left_out, .. } => {
                        earlier += messages - new - left_out;
                        2 * (messages - new)
                    }
                    Progress::Stored { messages, .. } | Progress::Verified { messages, .. } => messages,
                    _ => continue,
                };
                done.push(done.last().copied().unwrap_or(0) + settled);
            }
            if run == 1 {
                assert_eq!((whole, earlier), (2 * 16, 0), "{labels:?}");
                assert_eq!(done.pop(), Some(whole), "{labels:?}");
                assert!(done.iter().all(|sum| *sum < whole), "{labels:?}: {done:?}");
            } else {
                assert!(earlier > 0 && done.iter().all(|sum| *sum <= whole), "{labels:?}: {done:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_label_put_on_between_runs_arrives_and_one_taken_away_removes_nothing() {
    let world = account(Profile::gmail(), Profile::default());
    moved(&world).await;
    let inbox = |n| uid(&world.source, "INBOX", n);
    // 0 gets a label; 1 is archived from the Inbox, and keeps its others; 2 loses the only one it had; 5 gets one.
    world.source.label(USER, "INBOX", inbox(0), "Work", true);
    world.source.expunge(USER, "INBOX", inbox(1));
    world.source.expunge(USER, "Work", uid(&world.source, "Work", 2));
    world.source.label(USER, ALL, uid(&world.source, ALL, 5), "New", true);
    moved(&world).await;
    let mut there = in_copies();
    there.insert("Work".into(), vec![0, 1, 2]);
    there.insert("New".into(), vec![5]);
    assert_eq!(
        shelves(&world.target),
        there,
        "nothing is removed, and nothing comes once more from All Mail"
    );
    let report = world.report().await;
    let deleted: u64 = report.mailboxes.iter().map(|m| m.deleted_at_source).sum();
    assert_eq!(deleted, 2, "1 from the Inbox and 2 from Work are told");
    assert_eq!(by_number(&world).await.there, 9);
}

#[tokio::test(start_paused = true)]
async fn what_is_archived_before_it_was_copied_comes_from_all_mail_in_the_same_run() {
    for labels in [Labels::Copies, Labels::First] {
        let mut world = account(Profile::gmail(), Profile::default());
        world.labels = labels;
        deliver(&world.source, "INBOX", &[9]);
        // In the moment in which its octets are asked for, the last message of the Inbox loses that label, its only one.
        let at = Trigger::Body("INBOX".into(), uid(&world.source, "INBOX", 9));
        world.source.plan(Planned::once(at, Fault::Expunged(Gone::Nothing)));
        moved(&world).await;
        assert_eq!(in_state(&world, State::GoneAtSource).await.len(), 1, "it was listed in the Inbox");
        assert_eq!(shelves(&world.target)["Archive"], [5, 6, 9], "{labels:?}");
        let all = LabelledMail { messages: 10, there: 10, ..LabelledMail::default() };
        assert_eq!(by_number(&world).await, all, "{labels:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_each_label_left_to_another_one_makes_the_run_incomplete() {
    let mut world = account(Profile { hidden: vec![ALL.into()], ..Profile::gmail() }, Profile::default());
    (world.labels, world.accepts) = (Labels::First, true);
    // Work leaves it to the Inbox, from where it goes in the moment in which its octets are asked for; All Mail is hidden.
    let at = Trigger::Body("INBOX".into(), uid(&world.source, "INBOX", 1));
    world.source.plan(Planned::once(at, Fault::Expunged(Gone::Nothing)));
    world.migrate().await;
    let report = world.report().await;
    assert_eq!((by_number(&world).await.unbrought, report.exit_code()), (1, 5));
    let said = report.summary_lines(None).join(" ");
    assert!(said.contains("came with none: run again"), "{said}");
    ended_with(&world, 3).await;
    assert_eq!(shelves(&world.target)["Family/Old"], [1], "the next label by name has it");
}

#[tokio::test(start_paused = true)]
async fn mail_that_arrives_during_a_run_is_not_taken_for_archived_mail() {
    let world = account(Profile::gmail(), Profile::default());
    let arrive = Deed::Deliver { mailbox: "INBOX".into(), octets: letter(10) };
    world.source.plan(Planned::once(Trigger::Verb("FETCH", 4), Fault::Other(arrive)));
    moved(&world).await;
    let came = |server: &Sandbox, mailbox: &str| shelves(server)[mailbox].contains(&10);
    assert!(came(&world.source, ALL) && !came(&world.target, "INBOX"), "the Inbox was listed before it came");
    assert!(!came(&world.target, "Archive"), "and All Mail after");
    moved(&world).await;
    let mut there = in_copies();
    there.insert("INBOX".into(), vec![0, 1, 10]);
    assert_eq!(shelves(&world.target), there, "once, in the Inbox");
}

#[tokio::test(start_paused = true)]
async fn a_label_left_out_by_name_does_not_arrive_as_archived_mail() {
    let mut world = account(Profile::gmail(), Profile::default());
    world.selection = Selection { exclude: vec!["Work".into()], ..Selection::default() };
    moved(&world).await;
    let mut there = in_copies();
    there.remove("Work");
    assert_eq!(shelves(&world.target), there, "1 has other labels, 2 has none");
    let rules = BTreeMap::from([("exclude:Work".into(), 1), ("in-another-mailbox".into(), 4)]);
    assert_eq!(left_out(&world).await, rules);
    let mail = by_number(&world).await;
    assert_eq!((mail.there, mail.left_out, mail.unbrought), (8, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn mail_under_a_label_whose_mailbox_is_never_opened_comes_from_all_mail() {
    for labels in [Labels::Copies, Labels::First] {
        let mut world =
            account(Profile { unopened: vec!["Work".into()], ..Profile::gmail() }, Profile::default());
        world.labels = labels;
        assert_eq!(world.migrate().await.left.len(), 1, "it is said that Work was not opened");
        assert_eq!(world.report().await.exit_code(), 5);
        assert_eq!(shelves(&world.target)["Archive"], [2, 5, 6]);
        assert_eq!(by_number(&world).await.there, 9);
        world.source.set(|p| p.unopened.clear());
        moved(&world).await;
        let work = shelves(&world.target).remove("Work").unwrap_or_default();
        assert_eq!(work, if labels == Labels::Copies { vec![1, 2] } else { vec![] }, "2 was stored already");
    }
}

#[tokio::test(start_paused = true)]
async fn all_mail_waits_for_a_mailbox_that_cannot_be_listed_and_moves_by_itself_when_named() {
    let mut world = account(Profile::gmail(), Profile::default());
    let fault = Fault::Answer("NO [NOPERM] not for you".into());
    world.source.plan(Planned::once(Trigger::Verb("EXAMINE", 1), fault));
    world.connections = 1;
    let left = world.migrate().await.left;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().any(|(_, why)| why.contains("was not listed in this run")), "{left:?}");
    assert_eq!(world.report().await.exit_code(), 5);
    assert!(!shelves(&world.target).contains_key("Archive"));
    world.selection = Selection { only: vec![ALL.into()], ..Selection::default() };
    world.migrate().await;
    world.selection = Selection::default();
    moved(&world).await;
    assert_eq!(by_number(&world).await.there, 9);
}

/// The mailboxes that letters are put under by chance, in the order of `--labels first`, and where they arrive.
const PLACES: [(&str, &str); 5] = [
    ("INBOX", "INBOX"),
    ("[Gmail]/Sent Mail", "Sent"),
    ("Alpha", "Alpha"),
    ("Beta/Gamma", "Beta/Gamma"),
    ("Work", "Work"),
];
const LETTERS: i64 = 20;

/// Where the letters of an account of [`PLACES`] lie at a target, under the names that one without labels has: what a Gmail shows
/// in All Mail alone is archived.
fn arrived(server: &Sandbox, is_gmail: bool) -> BTreeMap<String, Vec<i64>> {
    let mut there = shelves(server);
    if is_gmail {
        let all = there.remove(ALL).unwrap_or_default();
        let labelled: BTreeSet<i64> = there.values().flatten().copied().collect();
        let archived: Vec<i64> = all.into_iter().filter(|n| !labelled.contains(n)).collect();
        let sent = there.remove(PLACES[1].0);
        there.extend(sent.map(|sent| (PLACES[1].1.to_owned(), sent)));
        there.extend((!archived.is_empty()).then(|| ("Archive".to_owned(), archived)));
    }
    there
}

/// Where the letters are to be, by the labels that each was ever seen with and those that it has now; said apart from the
/// engine, which knows only listings.
fn places_of(seen: &BTreeMap<i64, BTreeSet<usize>>, labels: Labels) -> BTreeMap<String, Vec<i64>> {
    let mut shelves = BTreeMap::<String, Vec<i64>>::new();
    for (letter, places) in seen {
        let most = if labels == Labels::First { 1 } else { PLACES.len() };
        let names: Vec<&str> = places.iter().take(most).map(|place| PLACES[*place].1).collect();
        let names = if names.is_empty() { vec!["Archive"] } else { names };
        names.into_iter().for_each(|name| shelves.entry(name.into()).or_default().push(*letter));
    }
    shelves
}

#[tokio::test(start_paused = true)]
async fn in_any_account_every_letter_arrives_in_each_of_its_places_or_in_the_first() {
    any_account(Profile::default()).await;
}

#[tokio::test(start_paused = true)]
async fn from_any_account_to_gmail_every_letter_is_sent_once_and_has_each_of_its_labels_or_the_first() {
    any_account(Profile::gmail()).await;
}

async fn any_account(target: Profile) {
    let is_gmail = target.gmail.is_some();
    let seeds = std::env::var("MAILHAUL_LABEL_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let mut random = Random::new(seed);
        let hidden: Vec<usize> = (2..PLACES.len()).filter(|_| random.chance(20)).collect();
        let labels = if random.chance(50) { Labels::First } else { Labels::Copies };
        let profile =
            Profile { hidden: hidden.iter().map(|i| PLACES[*i].0.to_owned()).collect(), ..Profile::gmail() };
        let mut world = World::between(profile, target.clone());
        (world.labels, world.connections) = (labels, random.pick(&[1, 2, 4]));
        let mut seen = BTreeMap::<i64, BTreeSet<usize>>::new();
        for n in 0..LETTERS {
            let under: Vec<usize> = (0..PLACES.len()).filter(|_| random.chance(25)).collect();
            under.iter().for_each(|place| deliver(&world.source, PLACES[*place].0, &[n]));
            if under.is_empty() {
                deliver(&world.source, ALL, &[n]);
            }
            seen.insert(n, under.into_iter().filter(|place| !hidden.contains(place)).collect());
        }
        moved(&world).await;
        assert_eq!(
            arrived(&world.target, is_gmail),
            places_of(&seen, labels),
            "seed {seed}, {labels:?}, {hidden:?}"
        );
        // Labels are put on and taken off meanwhile. What is stored once stays where it is.
        for n in 0..LETTERS {
            let place = usize::try_from(random.below(PLACES.len() as u64)).unwrap();
            let at = uid(&world.source, ALL, n);
            let label = if place == 0 {
                "\\Inbox"
            } else if place == 1 {
                "\\Sent"
            } else {
                PLACES[place].0
            };
            let add = random.chance(50);
            world.source.label(USER, ALL, at, label, add);
            let counts = add && !hidden.contains(&place) && labels == Labels::Copies;
            let places = seen.get_mut(&n).unwrap();
            if counts && places.is_empty() {
                // It is in Archive, and stays there.
                places.insert(usize::MAX);
            }
            if counts {
                places.insert(place);
            }
        }
        moved(&world).await;
        let mut there = arrived(&world.target, is_gmail);
        if labels == Labels::Copies {
            let archived: Vec<i64> =
                seen.iter().filter(|(_, places)| places.contains(&usize::MAX)).map(|(n, _)| *n).collect();
            seen.values_mut().for_each(|places| _ = places.remove(&usize::MAX));
            there.entry("Archive".into()).or_default().retain(|n| !archived.contains(n));
            there.retain(|_, letters| !letters.is_empty());
        }
        assert_eq!(there, places_of(&seen, labels), "seed {seed}, {labels:?}, {hidden:?}, after changes");
        let mail = by_number(&world).await;
        assert_eq!((mail.messages, mail.there), (20, 20), "seed {seed}");
        let sent = world.target.counters().appended;
        assert!(!is_gmail || sent == 20, "seed {seed}, {labels:?}: {sent} were sent");
    }
}

/// An account as the testkit's own client reads it over the wire.
async fn image(server: &Sandbox) -> AccountImage {
    let listening = server.listen_loopback().await.unwrap();
    let endpoint = Endpoint::clear(listening.address);
    let account = Account { endpoint, user: USER.into(), password: PASSWORD.into() };
    tokio::task::spawn_blocking(move || account.image().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checker_that_shares_no_code_with_the_engine_finds_mail_flags_and_dates_where_they_belong() {
    let world = World::between(Profile::gmail(), Profile::default());
    let mut random = Random::new(7);
    for n in 0..200 {
        let flags = random.pick(&["", "\\Seen", "\\Flagged \\Seen", "\\Answered \\Seen"]);
        let date = format!("{:02}-Mar-20{:02} 10:11:12 +0100", random.between(1, 28), random.between(10, 25));
        let mut places: Vec<&str> =
            PLACES.iter().map(|(name, _)| *name).filter(|_| random.chance(25)).collect();
        places.extend(places.is_empty().then_some(ALL));
        for place in places {
            world.source.create(USER, place, None, false);
            world.source.deliver(USER, place, letter(n), flags, &date).unwrap();
        }
    }
    assert_eq!(world.migrate().await.left, []);
    let mut expected = image(&world.source).await;
    let path = |name: &str| MailboxPath::from(name);
    expected.mailboxes.retain(|m| ![path("[Gmail]/Starred"), path("[Gmail]/Important")].contains(&m.path));
    let labelled = expected.mailboxes.iter().filter(|m| m.path != path(ALL)).flat_map(|m| &m.messages);
    let labelled: BTreeSet<_> = labelled.map(|m| m.content.sha256).collect();
    let all = expected.mailbox_mut(&path(ALL)).unwrap();
    assert_eq!(all.messages.len(), 200);
    all.messages.retain(|m| !labelled.contains(&m.content.sha256));
    assert!((10..190).contains(&all.messages.len()), "{} are archived", all.messages.len());
    let map = [("All Mail", "Archive"), ("Sent Mail", "Sent"), ("Spam", "Junk")].into_iter().fold(
        PathMap::same().with("[Gmail]/Drafts", "Drafts").with("[Gmail]/Trash", "Trash"),
        |map, (name, target)| map.with(path(&format!("[Gmail]/{name}")), target),
    );
    assert_same(&expected, &image(&world.target).await, &map, &[]);
}

#[tokio::test(start_paused = true)]
async fn from_gmail_to_a_plain_server_and_back_gives_the_same_contents_and_labels() {
    let out = account(Profile::gmail(), Profile::default());
    moved(&out).await;
    let back = World::between(Profile::default(), Profile::gmail());
    for mailbox in out.target.snapshot(USER) {
        back.source.create(USER, &mailbox.name, mailbox.role.as_deref(), mailbox.subscribed);
        for m in mailbox.messages {
            back.source.deliver(USER, &mailbox.name, m.octets, &m.flags.join(" "), &m.internal_date);
        }
    }
    moved(&back).await;
    assert_eq!(labels_of(&back.target), labels_of(&out.source));
    let sent = back.target.counters().appended;
    moved(&back).await;
    assert_eq!(back.target.counters().appended, sent, "the next run sends nothing");
}

/// Every letter of an account once, with all its labels, flags and date.
fn labels_of(server: &Sandbox) -> BTreeMap<Bytes, (BTreeSet<String>, BTreeSet<String>, String)> {
    let everywhere = server.snapshot(USER).into_iter();
    let places = everywhere.flat_map(|m| {
        let name = m.name;
        m.messages.into_iter().map(move |x| (name.clone(), x))
    });
    let mut all: BTreeMap<Bytes, (BTreeSet<String>, BTreeSet<String>, String)> = BTreeMap::new();
    for (name, m) in places {
        let of = all.entry(m.octets).or_default();
        of.0.insert(name);
        of.1.extend(m.flags);
        of.2 = m.internal_date;
    }
    all
}

#[tokio::test(start_paused = true)]
async fn from_gmail_to_gmail_each_label_is_put_on_one_message() {
    let target = Profile { gmail: Some("[Google Mail]"), ..Profile::gmail() };
    let world = account(Profile::gmail(), target);
    moved(&world).await;
    let renamed = |labels: BTreeSet<String>| {
        labels.into_iter().map(|l| l.replace("[Google Mail]", "[Gmail]")).collect::<BTreeSet<_>>()
    };
    let there: BTreeMap<_, _> =
        labels_of(&world.target).into_iter().map(|(m, (l, f, d))| (m, (renamed(l), f, d))).collect();
    assert_eq!(there, labels_of(&world.source));
    let sent = world.target.counters().appended;
    moved(&world).await;
    assert_eq!(world.target.counters().appended, sent);
}

#[tokio::test(start_paused = true)]
async fn equal_messages_that_gmail_merges_are_no_loss_and_its_own_names_are_never_made() {
    let world = World::new(Profile::gmail());
    deliver(&world.source, "INBOX", &[0, 1, 1]);
    deliver(&world.source, "[Gmail]/Projekte", &[1, 2]);
    deliver(&world.source, "Two  spaces ", &[3]);
    for _ in 0..2 {
        moved(&world).await;
        let states = BTreeMap::from([(State::Verified, 5), (State::Merged, 1)]);
        assert_eq!(world.states().await, states);
    }
    let there = shelves(&world.target);
    assert_eq!(there[ALL], [0, 1, 2, 3], "each once");
    assert_eq!((&there["INBOX"][..], &there["Two spaces"][..]), (&[0, 1][..], &[3][..]));
    assert!(there.keys().all(|name| !name.starts_with("[Gmail]/P")), "{there:?}");
    assert_eq!(octets(&world.target, "[Gmail]_/Projekte").len(), 2, "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn where_an_equal_message_takes_the_place_of_the_first_the_first_is_merged_and_not_lost() {
    let world = World::new(Profile { replaces: true, ..Profile::gmail() });
    deliver(&world.source, "INBOX", &[0, 1, 1, 2, 1]);
    let mut merged = 2;
    for more in [&[][..], &[1], &[]] {
        deliver(&world.source, "INBOX", more);
        merged += more.len();
        moved(&world).await;
        let left = in_state(&world, State::Merged).await;
        assert_eq!(left.len(), merged);
        let there = uid(&world.target, "INBOX", 1);
        assert!(left.iter().all(|i| i.place.unwrap().uid.0 == i64::from(there)), "{left:?}");
        assert_eq!(shelves(&world.target)["INBOX"], [0, 1, 2]);
    }
    world.target.expunge(USER, "INBOX", uid(&world.target, "INBOX", 1));
    world.migrate().await;
    assert_eq!(in_state(&world, State::GoneAtTarget).await.len(), merged + 1, "all went with it");
}

#[tokio::test(start_paused = true)]
async fn undo_at_gmail_takes_the_labels_off_and_says_what_it_cannot_remove() {
    let world = World::new(Profile::gmail());
    deliver(&world.source, "INBOX", &[0, 1]);
    deliver(&world.source, "Work", &[1, 2]);
    deliver(&world.source, "Archive", &[3]);
    moved(&world).await;
    let undone = world.undo().await.unwrap();
    assert_eq!((undone.removed, undone.touched, undone.gone, undone.not_ours), (4, 1, 0, 0));
    assert_eq!(shelves(&world.target), expected(&[(ALL, &[0, 1, 2, 3])]), "the messages stay");
    // What was taken off is put on again.
    moved(&world).await;
    let there = expected(&[(ALL, &[0, 1, 2, 3]), ("INBOX", &[0, 1]), ("Work", &[1, 2])]);
    assert_eq!(shelves(&world.target), there);
}

/// An account with less in it, for runs that are stopped at every step.
fn small(source: Profile, target: Profile, labels: Labels) -> World {
    let mut world = World::between(source, target);
    deliver(&world.source, "INBOX", &[0, 1]);
    deliver(&world.source, "Work", &[1, 2]);
    let archive = world.source.snapshot(USER).into_iter().find(|m| m.role.as_deref() == Some("\\All"));
    deliver(&world.source, archive.map_or("Archive", |_| ALL), &[5]);
    world.labels = labels;
    (world.limits.settle_min, world.limits.settle_unmeasured) =
        (Duration::from_secs(2), Duration::from_secs(2));
    world
}

async fn run(world: &World, probe: Probe) {
    let mut migration = world.migration();
    migration.probe = probe;
    assert_eq!(migration.migrate().await.unwrap().left, []);
    migration.journal.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_step_with_labels_on_either_side_nothing_is_lost_or_doubled() {
    for (source, target, labels) in [
        (Profile::gmail(), Profile::default(), Labels::Copies),
        (Profile::gmail(), Profile::default(), Labels::First),
        (Profile::gmail(), Profile::gmail(), Labels::Copies),
        (Profile::default(), Profile::gmail(), Labels::Copies),
    ] {
        // Whoever copies a message twice is seen to.
        let target = Profile { copies_double: true, ..target };
        let fresh = || small(source.clone(), target.clone(), labels);
        let world = fresh();
        let stopper = Stopper::never();
        stopper.watch(&world.store);
        run(&world, stopper.probe()).await;
        world.store.set_hook(None);
        let (held, states) = (world.held(), world.states().await);
        let steps = stopper.steps();
        assert!(steps > 40, "{steps} steps only");
        for at in 1..=steps {
            let world = fresh();
            let stopper = Stopper::at(at);
            stopper.watch(&world.store);
            if stopper.run(run(&world, stopper.probe())).await.is_none() && at % 2 == 0 {
                // In every other case what was already written still arrives.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Death::ALL[usize::from((at / 2) % 2 == 0)].strike(&world.store);
            run(&world, Probe::default()).await;
            let stopped = format!("{labels:?}: stopped at step {at} of {steps}");
            assert_eq!(world.held(), held, "{stopped}");
            assert_eq!(world.states().await, states, "{stopped}");
            let appended = world.target.counters().appended;
            run(&world, Probe::default()).await;
            assert_eq!(world.target.counters().appended, appended, "the next run appends: {stopped}");
        }
    }
}
