//! The probe of a target, over IMAP: what it learns of servers that behave in one way or another, that it touches nothing but
//! its own, and that nothing of it is left, whatever is cut, refused or stopped.

#[path = "probe/forecast.rs"]
mod forecast;

use crate::wire::{USER, World};
use bytes::Bytes;
use mailhaul_engine::check::{Checked, Remark, Weight};
use mailhaul_engine::journal::{Journal, Note};
use mailhaul_engine::probe::Probe;
use mailhaul_engine::profile::kept::Kept;
use mailhaul_engine::profile::{Got, Multi, Profile as Learnt, Treatment};
use mailhaul_sandbox::{Childless, Deed, Fault, LoneLf, MailboxSnapshot, Planned, Profile, Sandbox, Trigger};
use mailhaul_testkit::stopper::{Death, Stopper};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const STEM: &str = "mailhaul-probe-";
const DATE: &str = "03-Mar-2020 10:11:12 +0100";

/// A world with mail at both sides.
fn world(target: Profile) -> World {
    let world = World::new(target);
    let mail = "From: ann@old.example\r\nSubject: hello\r\n\r\nhello\r\n";
    world.source.deliver(USER, "INBOX", Bytes::from(mail), "\\Seen", DATE).unwrap();
    world.target.create(USER, "Own", None, true);
    world.target.deliver(USER, "Own", Bytes::from("Subject: theirs\r\n\r\nx\r\n"), "", DATE).unwrap();
    world
}

/// `check`, with a probe or without.
async fn check(world: &World, probe: bool) -> Checked {
    let mut migration = world.migration();
    migration.settings.probe = probe;
    let checked = migration.check([None, None]).await.unwrap();
    migration.journal.release().await.unwrap();
    checked
}

fn kept(checked: &Checked) -> Option<&Kept> {
    checked.moving.as_ref()?.survey.target.profile.as_ref()
}

/// `check` with a probe; `at` is called with each of its steps, and how often that came.
async fn check_watched(world: &World, at: impl Fn(&'static str, u64) + Send + Sync + 'static) -> Checked {
    let mut migration = world.migration();
    migration.settings.probe = true;
    let passed = std::sync::Mutex::new(std::collections::HashMap::<&str, u64>::new());
    migration.probe = Probe::new(Arc::new(move |step| {
        let times = {
            let mut passed = passed.lock().unwrap();
            let times = passed.entry(step).or_default();
            *times += 1;
            *times
        };
        at(step, times);
        false
    }));
    let checked = migration.check([None, None]).await.unwrap();
    migration.journal.release().await.unwrap();
    checked
}

/// `check` with a probe, and what happens at the target when it comes to this step for the first time.
async fn check_with(
    world: &World,
    step: &'static str,
    deed: impl Fn(&Sandbox) + Send + Sync + 'static,
) -> Checked {
    let target = world.target.clone();
    check_watched(world, move |at, times| {
        if at == step && times == 1 {
            deed(&target);
        }
    })
    .await
}

/// The mailbox of the messages.
fn scratch_of(server: &Sandbox) -> String {
    let names = server.snapshot(USER).into_iter().map(|m| m.name).filter(|name| name.starts_with(STEM));
    names.min_by_key(String::len).unwrap()
}

fn deliver_foreign(server: &Sandbox, mailbox: &str) {
    let mail = format!("Subject: theirs in {mailbox}\r\n\r\nx\r\n");
    server.deliver(USER, mailbox, Bytes::from(mail), "", DATE).unwrap();
}

fn count(server: &Sandbox, verb: &str) -> u64 {
    server.counters().commands.get(verb).copied().unwrap_or(0)
}

/// Notes of probes that began, with these texts for tokens.
async fn begun(world: &World, texts: &[&str]) {
    note(world, "probe:begun", texts).await;
}

async fn note(world: &World, kind: &str, texts: &[&str]) {
    let migration = world.migration();
    for text in texts {
        let note = Note { kind: kind.into(), mailbox: None, key: None, text: (*text).into() };
        migration.journal.note_durably(note).await.unwrap();
    }
    migration.journal.release().await.unwrap();
}

/// The profile that a probe makes of such a server, which is left as it was.
async fn learnt(target: Profile) -> Learnt {
    let world = world(target);
    let before = world.target.snapshot(USER);
    let checked = check(&world, true).await;
    assert_eq!(checked.probed.as_ref().unwrap().left, [], "nothing is left");
    assert_eq!(world.target.snapshot(USER), before, "and nothing else is touched");
    assert_eq!(checked.probed.as_ref().unwrap().unknown, None, "{:?}", checked.remarks);
    assert_eq!(checked.exit_code(), 0, "{:?}", checked.remarks);
    let writes = ["APPEND", "CREATE", "DELETE", "SELECT", "STORE", "EXPUNGE"];
    let counted = world.source.counters().commands;
    assert!(writes.iter().all(|verb| !counted.contains_key(*verb)), "{counted:?}");
    kept(&checked).unwrap().profile.clone()
}

fn left(checked: &Checked) -> Vec<String> {
    checked.probed.iter().flat_map(|p| &p.left).map(|left| left.name.clone()).collect()
}

/// Mailboxes of probes that are there.
fn scratches(world: &World) -> Vec<String> {
    let all = world.target.snapshot(USER).into_iter().map(|m: MailboxSnapshot| m.name);
    all.filter(|name| name.to_lowercase().contains(STEM)).collect()
}

fn words(treatment: &Treatment) -> String {
    treatment.words().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_what_it_gets_is_learnt_as_such() {
    let profile = learnt(Profile { refuse_empty: false, ..Profile::default() }).await;
    for (what, treatment) in profile.treatments() {
        assert_eq!(*treatment, Treatment::Kept, "{what}");
    }
    assert_eq!((profile.size_exact, profile.header_agrees), (Some(true), Some(true)));
    assert_eq!((profile.dedupes, profile.uids_told_right), (Some(false), Some(true)));
    assert!(matches!(profile.multiappend, Multi::Works { in_order: true, .. }), "{profile:?}");
    assert!(profile.dates.iter().chain(&profile.flags).all(|value| value.got == Got::Same), "{profile:?}");
    let names = &profile.names;
    assert_eq!((names.takes_first.as_str(), names.component_octets_max), ("~#", None));
    assert_eq!((names.refuses.as_str(), names.refuses_first.as_str()), ("", ""));
    let facts = [
        names.case_sensitive,
        names.odd_spaces,
        names.decomposed,
        names.astral,
        names.below_inbox,
        names.below_mail,
    ];
    assert_eq!(facts, [Some(true); 6], "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn each_way_of_a_server_is_learnt() {
    let cyrus = Profile {
        lone_lf: LoneLf::Refuse,
        refuse_nul: true,
        refuse_bad_header: true,
        refuse_in_names: "%^\\",
        refuse_date: Some(("1969".into(), "Invalid date-time in Append command".into())),
        refuse_flag: Some(("a]b".into(), "[CANNOT] no such keyword".into())),
        rewrites: Some(|_, octets| {
            let end = octets.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(octets.len());
            octets.iter().enumerate().map(|(i, b)| if i < end && !b.is_ascii() { b'X' } else { *b }).collect()
        }),
        ..Profile::default()
    };
    let profile = learnt(cyrus).await;
    assert_eq!(words(&profile.hdr8bit), "8-bit octets replaced by X");
    assert!(
        words(&profile.nul).contains("NUL characters") && words(&profile.newline).contains("bare newlines")
    );
    assert!(words(&profile.bad_headers).contains("invalid header"));
    assert_eq!(profile.multiappend, Multi::Works { in_order: true, atomic: Some(true) });
    assert_eq!(profile.names.refuses, "%^\\");
    let refused: Vec<&str> = profile
        .dates
        .iter()
        .chain(&profile.flags)
        .filter(|value| matches!(value.got, Got::Refused { .. }))
        .map(|value| value.sent.as_str())
        .collect();
    assert_eq!(refused, ["31-Dec-1969 23:59:59 +0000", "a]b"]);
    let adding = Profile {
        lone_lf: LoneLf::ToCrlf,
        rewrites: Some(|uid, octets| [format!("X-Added: {uid}\r\n").as_bytes(), octets].concat()),
        keeps_date: Some(|date| if date.contains("-21") { DATE.to_owned() } else { date.to_owned() }),
        keeps_flag: Some(|flag| flag.starts_with('\\') || flag == "Work"),
        size_adds: 10,
        ..Profile::default()
    };
    let profile = learnt(adding).await;
    assert_eq!(profile.adds_headers, ["x-added"]);
    assert_eq!((profile.size_exact, profile.dedupes), (Some(false), Some(false)));
    let lost: Vec<&str> = profile
        .dates
        .iter()
        .chain(&profile.flags)
        .filter(|value| matches!(value.got, Got::Other { .. }))
        .map(|value| value.sent.get(..11).unwrap_or(&value.sent))
        .collect();
    assert_eq!(
        lost,
        ["31-Dec-2100", "01-Jan-2110", "$Forwarded", "$Label1", "a]b", "1.x-y:z+", "LongKeyword"]
    );
}

#[tokio::test(start_paused = true)]
async fn servers_with_few_extensions_or_odd_hierarchies_are_learnt_too() {
    let profile = learnt(Profile::bare()).await;
    assert_eq!((&profile.plain, profile.uids_told_right), (&Treatment::Kept, None));
    assert_eq!(profile.multiappend, Multi::Unknown);
    let dotted = Profile { delimiter: b'.', prefix: "INBOX.", ..Profile::default() };
    let profile = learnt(dotted).await;
    assert_eq!((profile.names.below_inbox, profile.names.case_sensitive), (None, Some(true)));
    assert!(profile.names.takes.contains('/') && !profile.names.takes.contains('.'));
    let files = Profile { childless: Childless::All, ..Profile::default() };
    let profile = learnt(files).await;
    assert_eq!((profile.names.below_mail, profile.names.below_inbox), (Some(false), Some(false)));
    let blind = Profile {
        creates_as: Some(|name| name.to_lowercase().replace("inbox", "INBOX")),
        ..Profile::default()
    };
    assert_eq!(learnt(blind).await.names.case_sensitive, Some(false));
    let trims = Profile { creates_as: Some(|name| name.trim().replace("  ", " ")), ..Profile::default() };
    assert_eq!(learnt(trims).await.names.odd_spaces, Some(false));
    let zimbra = Profile { header_shows: Some(b'?'), ..Profile::default() };
    let profile = learnt(zimbra).await;
    assert_eq!((&profile.hdr8bit, profile.header_agrees), (&Treatment::Kept, Some(false)));
    let merging = Profile { merges: true, ..Profile::default() };
    let profile = learnt(merging).await;
    assert_eq!((profile.dedupes, profile.uids_told_right), (Some(true), Some(true)));
    let exchange = Profile { ends_at_bad: Some(10), append_limit: Some(50_000), ..Profile::default() };
    assert!(words(&learnt(exchange).await.long_lines).contains("TOOBIG"));
}

#[tokio::test(start_paused = true)]
async fn at_gmail_no_message_is_sent_since_a_deleted_label_would_leave_it_in_all_mail() {
    let world = World::new(Profile::gmail());
    let before = world.target.snapshot(USER);
    let checked = check(&world, true).await;
    assert_eq!(checked.probed.as_ref().unwrap().left, []);
    assert_eq!(world.target.snapshot(USER), before);
    assert!(!world.target.counters().commands.contains_key("APPEND"));
    let profile = &kept(&checked).unwrap().profile;
    assert!(profile.no_messages.is_some() && profile.plain == Treatment::Unknown);
    assert!(profile.names.refuses.contains('^') && profile.names.odd_spaces == Some(false), "{profile:?}");
}

#[tokio::test(start_paused = true)]
async fn a_profile_is_kept_with_its_day_and_not_used_for_another_version() {
    let world = world(Profile { refuse_in_names: "%", ..Profile::default() });
    world.source.create(USER, "50%", None, true);
    let renamed = |checked: &Checked| {
        let steps = &checked.moving.as_ref().unwrap().plan.steps;
        steps.iter().find(|s| s.record.source.text == "50%").unwrap().target.text.clone()
    };
    check(&world, true).await;
    let later = check(&world, false).await;
    let known = kept(&later).unwrap();
    assert!(known.fits && later.probed.is_none());
    assert!(later.lines().iter().any(|line| line.contains(&format!("as probed on {}", known.day()))));
    assert_eq!(renamed(&later), "50_");
    assert_eq!(later.moving.as_ref().unwrap().survey.target.name_rules.forbidden, "%");
    // Another version: other capabilities.
    world.target.set(|p| p.extra_capabilities = vec!["X-NEW".into()]);
    let stale = check(&world, false).await;
    assert!(!kept(&stale).unwrap().fits);
    assert_ne!(stale.moving.as_ref().unwrap().survey.target.name_rules.forbidden, "%");
    let remarks: Vec<&String> = stale.remarks.iter().map(|r| &r.what).collect();
    assert!(remarks.iter().any(|r| r.contains("that profile is not used")), "{remarks:?}");
    // A newer one that cannot be read is none, and the older one is out of date.
    world.target.set(|p| p.extra_capabilities = Vec::new());
    assert!(kept(&check(&world, false).await).unwrap().fits);
    note(&world, "probe:profile", &["{"]).await;
    assert_eq!(kept(&check(&world, false).await), None);
    // A report says nothing of what probes keep.
    let report = {
        world.migrate().await;
        world.report().await
    };
    assert!(report.remarks.shown.iter().all(|note| !note.kind.starts_with("probe:")), "{:?}", report.remarks);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_create_nothing_is_known_and_nothing_is_in_the_way() {
    let world = world(Profile { rights: vec![("*", "lrswi")], ..Profile::default() });
    world.target.create(USER, "INBOX", None, true);
    let before = world.target.snapshot(USER);
    let checked = check(&world, true).await;
    assert_eq!(world.target.snapshot(USER), before);
    assert!(kept(&checked).is_none());
    let unknown: Vec<_> = checked.remarks.iter().filter(|r| r.what.contains("was not probed")).collect();
    assert!(unknown.len() == 1 && unknown[0].weight == Weight::Worth, "{:?}", checked.remarks);
    assert_eq!(checked.exit_code(), 0, "{:?}", checked.remarks);
}

#[tokio::test(start_paused = true)]
async fn a_scratch_mailbox_that_cannot_be_removed_is_named_and_removed_by_the_next_probe() {
    let world = world(Profile { refuse_delete: Some("[NOPERM] not you".into()), ..Profile::default() });
    let checked = check(&world, true).await;
    let named = left(&checked);
    assert!(!named.is_empty() && named.iter().all(|name| name.contains(STEM)));
    assert_eq!(scratches(&world).len(), named.len());
    let said = |words: &str| {
        let said = |r: &&Remark| r.what.contains("could not be removed") && r.what.contains(words);
        checked.remarks.iter().filter(said).count()
    };
    assert_eq!((said("NOPERM"), said("another mailbox lies below it")), (named.len() - 1, 1));
    assert_eq!(checked.exit_code(), 0);
    world.target.set(|p| p.refuse_delete = None);
    assert_eq!(left(&check(&world, true).await), [""; 0]);
    assert_eq!(scratches(&world), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn mail_that_somebody_put_into_a_scratch_mailbox_is_not_deleted() {
    let world = world(Profile { refuse_delete: Some("[NOPERM] not you".into()), ..Profile::default() });
    check(&world, true).await;
    let scratch = scratches(&world).into_iter().min_by_key(String::len).unwrap();
    let deed = Deed::Move { from: "Own".into(), to: scratch.clone(), nth: 0 };
    world.target.plan(Planned::once(Trigger::Next, Fault::Other(deed)));
    world.target.set(|p| p.refuse_delete = None);
    let checked = check(&world, true).await;
    assert_eq!(left(&checked), std::slice::from_ref(&scratch));
    assert!(checked.remarks.iter().any(|r| r.what.contains("holds mail that the probe did not put there")));
    assert_eq!(scratches(&world), std::slice::from_ref(&scratch), "its children are gone, it is not");
    assert!(world.octets(&scratch).iter().any(|o| o.starts_with(b"Subject: theirs")));
    // A mailbox with such a name that this journal knows nothing of is nobody's to delete.
    let others = format!("{STEM}00112233445566778899");
    world.target.create(USER, &others, None, true);
    check(&world, true).await;
    assert!(scratches(&world).contains(&others));
}

#[tokio::test(start_paused = true)]
async fn mail_that_comes_into_any_mailbox_of_a_probe_while_it_runs_is_not_deleted() {
    let world = world(Profile::default());
    let checked = check_with(&world, "probe:delete names", |target| {
        deliver_foreign(target, &format!("{}/x", scratch_of(target)));
    })
    .await;
    let scratch = scratch_of(&world.target);
    let both = [scratch.clone(), format!("{scratch}/x")];
    assert_eq!(scratches(&world), both, "its own UIDs are those of other mailboxes, too");
    assert_eq!(left(&checked), both, "both are named");
    let why = &checked.probed.as_ref().unwrap().left[0].why;
    assert!(why.contains("lies below it"), "{why}");
    assert_eq!(world.octets(&both[1]).len(), 1);
    world.target.expunge(USER, &both[1], 1);
    assert_eq!(left(&check(&world, true).await), [""; 0]);
    assert_eq!(scratches(&world), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn uids_of_a_server_that_lies_prove_nothing() {
    let world = world(Profile::default());
    for k in 1..200 {
        world.target.plan(Planned::once(Trigger::Verb("APPEND", k), Fault::OkWithoutStoring));
    }
    let checked = check_with(&world, "probe:clean", |target| {
        (0..3).for_each(|_| deliver_foreign(target, &scratch_of(target)));
    })
    .await;
    let scratch = scratch_of(&world.target);
    assert_eq!((scratches(&world), left(&checked)), (vec![scratch.clone()], vec![scratch.clone()]));
    assert_eq!(world.octets(&scratch).len(), 3, "no message of the probe is there");
}

#[tokio::test(start_paused = true)]
async fn each_mailbox_is_looked_into_right_before_each_try_to_delete_it() {
    // While another one is deleted.
    let while_another = world(Profile::default());
    let checked = check_with(&while_another, "probe:delete names", |target| {
        let mailbox = format!("{}/x", scratch_of(target));
        let octets = Bytes::from("Subject: theirs\r\n\r\nx\r\n");
        let deed = Fault::Other(Deed::Deliver { mailbox, octets });
        target.plan(Planned::once(Trigger::Verb("DELETE", count(target, "DELETE") + 1), deed));
    })
    .await;
    let scratch = scratch_of(&while_another.target);
    assert_eq!(left(&checked), [scratch.clone(), format!("{scratch}/x")]);
    assert_eq!(while_another.octets(&format!("{scratch}/x")).len(), 1);
    // Between a refused DELETE and the next one.
    let between = world(Profile::default());
    let checked = check_with(&between, "probe:clean", |target| {
        let octets = Bytes::from("Subject: theirs\r\n\r\nx\r\n");
        let deed = Fault::Other(Deed::Deliver { mailbox: scratch_of(target), octets });
        let refused = Fault::Answer("NO not now".into());
        target.plan(Planned::once(Trigger::Verb("DELETE", count(target, "DELETE") + 1), refused));
        target.plan(Planned::once(Trigger::Verb("EXAMINE", count(target, "EXAMINE") + 3), deed));
    })
    .await;
    let scratch = scratch_of(&between.target);
    assert_eq!(left(&checked), std::slice::from_ref(&scratch));
    assert!(between.octets(&scratch).iter().any(|o| o.starts_with(b"Subject: theirs")));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_note_of_a_probe_makes_nothing_a_probes() {
    let world = world(Profile::default());
    world.target.create(USER, &format!("{STEM}0123"), None, true);
    world.target.create(USER, "0123456789abcdef0123", None, true);
    let before = world.target.snapshot(USER);
    let damaged =
        ["", "0", "e", "0123", "0123456789abcdef012", "0123456789ABCDEF0123", "0123456789abcdef0123\n"];
    begun(&world, &damaged).await;
    begun(&world, &["0123456789abcdef0123"]).await;
    assert_eq!(left(&check(&world, true).await), [""; 0]);
    assert_eq!(world.target.snapshot(USER), before, "nothing is deleted");
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_full_of_mail_of_others_is_not_read() {
    const OCTETS: usize = 10_000;
    for (messages, read_at_most) in [(150, 50 * OCTETS), (250, 0)] {
        let world = world(Profile::default());
        let idle = {
            let world = self::world(Profile::default());
            check(&world, true).await;
            world.target.counters().octets_given
        };
        let checked = check_with(&world, "probe:delete names", move |target| {
            let x = format!("{}/x", scratch_of(target));
            for n in 0..messages {
                let mail = format!("Subject: {n}\r\n\r\n{}\r\n", "x".repeat(OCTETS));
                target.deliver(USER, &x, Bytes::from(mail), "", DATE).unwrap();
            }
        })
        .await;
        assert_eq!(left(&checked).len(), 2);
        let given = world.target.counters().octets_given;
        // Two rounds after the names, two at the end.
        let looks = 4;
        let read_at_most = idle + (looks * read_at_most) as u64;
        assert!(given < read_at_most, "{messages} messages: {given} of {read_at_most}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_refused_once_leaves_the_rules_as_they_were() {
    let calm = world(Profile::default());
    let known = kept(&check(&calm, true).await).unwrap().profile.names.clone();
    let creates = count(&calm.target, "CREATE");
    assert!(creates > 10);
    for words in ["NO [UNAVAILABLE] later", "NO"] {
        for k in 2..=creates {
            let world = world(Profile::default());
            let fault = Fault::Answer(words.into());
            world.target.plan(Planned::once(Trigger::Verb("CREATE", k), fault));
            let checked = check(&world, true).await;
            let kept = kept(&checked).map(|kept| &kept.profile.names);
            assert_eq!(kept, Some(&known), "CREATE {k}: {words}, {:?}", checked.probed);
        }
    }
    // Trouble that lasts says nothing of names, either.
    let without = {
        let world = world(Profile::default());
        check(&world, false).await.moving.unwrap().survey.target.name_rules
    };
    for words in ["[UNAVAILABLE] later", "[INUSE] x", "[SERVERBUG] x", "[OVERQUOTA] x", "[LIMIT] x"] {
        let world = world(Profile::default());
        for k in 2..200 {
            let fault = Fault::Answer(format!("NO {words}"));
            world.target.plan(Planned::once(Trigger::Verb("CREATE", k), fault));
        }
        let checked = check(&world, true).await;
        assert!(kept(&checked).is_some(), "{words}");
        assert_eq!(checked.moving.unwrap().survey.target.name_rules, without, "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_made_late_by_a_command_cut_short_is_removed_too() {
    let world = world(Profile::default());
    let mut migration = world.migration();
    migration.settings.probe = true;
    let made = Arc::new(AtomicU64::new(0));
    migration.probe = {
        let (target, cancel, cleaned) = (world.target.clone(), migration.cancel.clone(), made.clone());
        let scratch = std::sync::Mutex::new(String::new());
        Probe::new(Arc::new(move |step| {
            match step {
                "probe:names" => {
                    *scratch.lock().unwrap() = scratch_of(&target);
                    cancel.cancel();
                }
                // What the server does between two looks.
                "probe:clean" if cleaned.fetch_add(1, Ordering::Relaxed) == 1 => {
                    target.create(USER, &format!("{}/late", scratch.lock().unwrap()), None, false);
                }
                _ => {}
            }
            false
        }))
    };
    let checked = migration.check([None, None]).await.unwrap();
    migration.journal.release().await.unwrap();
    assert_eq!((checked.exit_code(), left(&checked)), (130, vec![]));
    assert_eq!(made.load(Ordering::Relaxed), 2, "it is looked for twice");
    assert_eq!(scratches(&world), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_named_where_the_journal_cannot_be_written() {
    let world = world(Profile { refuse_delete: Some("[NOPERM] not you".into()), ..Profile::default() });
    check(&world, true).await;
    let mut migration = world.migration();
    migration.settings.probe = true;
    let store = world.store.clone();
    migration.probe = Probe::new(Arc::new(move |step| {
        store.set_disk_full(step == "probe:clean");
        false
    }));
    let checked = migration.check([None, None]).await.unwrap();
    world.store.set_disk_full(false);
    migration.journal.release().await.unwrap();
    let probed = checked.probed.as_ref().unwrap();
    assert!(probed.unknown.as_ref().is_some_and(|why| why.contains("cannot be written")), "{probed:?}");
    assert_eq!(left(&checked).len(), scratches(&world).len());
    assert!(!probed.left.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_before_anything_was_made_is_not_used_again() {
    let world = world(Profile::default());
    world.target.plan(Planned::once(Trigger::Verb("LIST", 1), Fault::Bye("restarting".into())));
    let checked = check(&world, true).await;
    assert!(checked.probed.as_ref().unwrap().unknown.is_some());
    assert!(checked.moving.is_some());
    assert_eq!(checked.exit_code(), 0, "{:?}", checked.remarks);
}

#[tokio::test(start_paused = true)]
async fn stopped_while_leftovers_are_removed_it_looks_for_no_others() {
    let world = world(Profile::default());
    begun(&world, &["0123456789abcdef0123", "0123456789abcdef0124"]).await;
    let mut migration = world.migration();
    migration.settings.probe = true;
    let cleaned = Arc::new(AtomicU64::new(0));
    migration.probe = {
        let (cancel, cleaned) = (migration.cancel.clone(), cleaned.clone());
        Probe::new(Arc::new(move |step| {
            if step == "probe:clean" {
                cleaned.fetch_add(1, Ordering::Relaxed);
                cancel.cancel();
            }
            false
        }))
    };
    let checked = migration.check([None, None]).await.unwrap();
    migration.journal.release().await.unwrap();
    assert_eq!((checked.exit_code(), cleaned.load(Ordering::Relaxed)), (130, 1));
}

/// The commands that a check with a probe sends to the target: all of them, and those of the probe: after the first, up to the
/// last.
async fn commands(profile: &Profile) -> (u64, std::ops::RangeInclusive<u64>) {
    let world = world(profile.clone());
    let all = |server: &Sandbox| server.counters().commands.values().sum::<u64>();
    let (target, bounds) = (world.target.clone(), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
    let kept = bounds.clone();
    check_watched(&world, move |step, times| match step {
        "probe:create" if times == 1 => kept[0].store(all(&target), Ordering::Relaxed),
        "probe:clean" => kept[1].store(all(&target), Ordering::Relaxed),
        _ => {}
    })
    .await;
    let [first, last] = [&bounds[0], &bounds[1]].map(|bound| bound.load(Ordering::Relaxed));
    (all(&world.target), first + 1..=last)
}

/// Trouble that passed has become no property of the server.
fn learnt_nothing_wrong(checked: &Checked, context: &str) {
    let Some(probed) = &checked.probed else { return };
    let Some(kept) = kept(checked) else {
        assert!(probed.unknown.is_some() || checked.moving.is_none(), "{context}");
        return;
    };
    let names = &kept.profile.names;
    assert_eq!((names.refuses.as_str(), names.refuses_first.as_str()), ("", ""), "{context}");
    assert_ne!(names.below_mail, Some(false), "{context}");
    assert!(
        [names.case_sensitive, names.odd_spaces, names.astral].iter().all(|f| *f != Some(false)),
        "{context}"
    );
    assert_eq!(names.component_octets_max, None, "{context}");
    // This sandbox refuses these, and no others.
    let refused = kept.profile.refuses();
    assert!(refused.iter().all(|(what, _)| *what == "empty messages"), "{context}: {refused:?}");
}

#[tokio::test(start_paused = true)]
async fn refused_or_cut_at_any_command_it_leaves_nothing_or_names_it() {
    for profile in [Profile::default(), Profile { multiappend: false, uidplus: false, ..Profile::default() }]
    {
        let (all, of_probe) = commands(&profile).await;
        let faults = [
            Fault::Answer("NO not now".into()),
            Fault::Answer("BAD what?".into()),
            Fault::Bye("restarting".into()),
            Fault::Untagged("* BYE bye".into()),
        ];
        for (i, k) in (1..=all).step_by(5).enumerate() {
            // Two of them at each place, in turn.
            for fault in faults.iter().cycle().skip(i % faults.len()).take(2) {
                let world = world(profile.clone());
                let own = world.octets("Own");
                world.target.plan(Planned::once(Trigger::Command(k), fault.clone()));
                let checked = check(&world, true).await;
                let (there, named) = (scratches(&world), left(&checked));
                assert!(there.iter().all(|name| named.contains(name)), "{k} {fault:?}: {there:?}, {named:?}");
                assert_eq!(world.octets("Own"), own);
                learnt_nothing_wrong(&checked, &format!("{k} {fault:?}"));
                if of_probe.contains(&k) {
                    assert_eq!(checked.exit_code(), 0, "{k} {fault:?}: {:?}", checked.remarks);
                }
                check(&world, true).await;
                assert_eq!(scratches(&world), [""; 0], "{k} {fault:?}: after a later probe nothing is left");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lies_or_loses_connections_is_left_with_nothing_of_the_probe() {
    for fault in [
        Fault::DropBeforeStore,
        Fault::DropAfterStore,
        Fault::LateStore(Duration::from_secs(3)),
        Fault::OkWithoutStoring,
        Fault::Truncate(5),
        Fault::NilBody,
        Fault::LeaveOut,
        Fault::CutFetch(100),
        Fault::RefuseFetch("[SERVERBUG] oops".into()),
    ] {
        for times in [1, 3] {
            let world = world(Profile::default());
            world.target.plan(Planned { at: Trigger::Next, fault: fault.clone(), times });
            let checked = check(&world, true).await;
            let (there, named) = (scratches(&world), left(&checked));
            assert!(there.iter().all(|name| named.contains(name)), "{fault:?}: {there:?}, {named:?}");
            assert_eq!(checked.exit_code(), 0, "{fault:?}: {:?}", checked.remarks);
            let later = check(&world, true).await;
            learnt_nothing_wrong(&later, &format!("{fault:?}"));
            if matches!(fault, Fault::Truncate(_)) {
                // Without its marker a message is nobody's to delete.
                assert_eq!((left(&later), scratches(&world)), (named, there));
                continue;
            }
            assert_eq!(scratches(&world), [""; 0], "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stopped_by_the_person_at_any_step_it_removes_what_it_made_and_says_130() {
    for k in 1.. {
        let world = world(Profile::default());
        let mut migration = world.migration();
        migration.settings.probe = true;
        let stopper = Stopper::at(k);
        migration.probe = {
            let (stopper, cancel) = (stopper.clone(), migration.cancel.clone());
            // The person presses Ctrl-C at this step; nothing dies.
            mailhaul_engine::probe::Probe::new(std::sync::Arc::new(move |_| {
                if stopper.stops() {
                    cancel.cancel();
                }
                false
            }))
        };
        let checked = migration.check([None, None]).await.unwrap();
        migration.journal.release().await.unwrap();
        assert_eq!(scratches(&world), [""; 0], "step {k}");
        assert_eq!(left(&checked), [""; 0], "step {k}");
        if stopper.steps() < k {
            assert!(k > 10, "{k} steps: the stopper looks in the wrong place");
            assert_eq!(checked.exit_code(), 0);
            return;
        }
        let was_looking = checked.probed.as_ref().is_some_and(|probed| probed.interrupted);
        assert_eq!(checked.exit_code(), if was_looking { 130 } else { 0 }, "step {k}: {:?}", checked.remarks);
    }
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step_its_leftovers_are_removed_by_the_next_probe() {
    for death in Death::ALL {
        for k in 1.. {
            let world = world(Profile::default());
            let stopper = Stopper::at(k);
            let mut migration = world.migration();
            migration.settings.probe = true;
            migration.probe = stopper.probe();
            stopper.watch(&world.store);
            let ended = stopper.run(migration.check([None, None])).await;
            drop(migration);
            // What was written to the pipes arrives.
            tokio::time::sleep(Duration::from_secs(1)).await;
            death.strike(&world.store);
            if ended.is_some() {
                assert!(k > 10, "{k} steps");
                break;
            }
            assert_eq!(left(&check(&world, true).await), [""; 0], "{death:?} at step {k}");
            assert_eq!(scratches(&world), [""; 0], "{death:?} at step {k}");
            assert_eq!(world.octets("Own").len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_account_or_passing_trouble_is_not_taken_for_what_the_server_refuses() {
    let full = world(Profile { quota_octets: Some(10), ..Profile::default() });
    let checked = check(&full, true).await;
    let why = checked.probed.as_ref().unwrap().unknown.as_ref().unwrap();
    assert!(why.contains("not even an ordinary message was taken"), "{why}");
    assert!(kept(&checked).is_none() && scratches(&full).is_empty());
    // In the middle of it: what was not tried is not known. Refused once, for no reason: it is asked again.
    let profile = Profile { refuse_empty: false, quota_octets: Some(20_000), ..Profile::default() };
    let world = world(profile);
    let words = "stop reading my mail".to_owned();
    world.target.plan(Planned { at: Trigger::Next, fault: Fault::RefuseAppend(words), times: 3 });
    let profile = kept(&check(&world, true).await).unwrap().profile.clone();
    assert_eq!((&profile.plain, &profile.trailing), (&Treatment::Kept, &Treatment::Kept));
    assert_eq!(profile.long_lines, Treatment::Unknown, "no room for it");
    assert_eq!(profile.refuses(), []);
}
