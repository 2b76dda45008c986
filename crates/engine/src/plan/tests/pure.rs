use crate::check::of_plan;
use crate::config::{MappingRules, Selection, Settings};
use crate::end::{Asked, Compression, Role, Room, Space, Untold};
use crate::error::{EndError, Question, Refusal, RefusalClass};
use crate::journal::{Baseline, Decision, EpochId, Existing, MailboxId};
use crate::mapping::map;
use crate::message::Key;
use crate::plan::{Known, LintFinding, Plan, lint, plan};
use crate::quirks::family::{Behaviour, FAMILIES};
use crate::report::tests::people::NOT_FOR_PEOPLE;
use crate::survey::Trouble;
use crate::survey_testing::{Side, survey};
use bytes::Bytes;

/// An account as a German provider with an `INBOX.` namespace shows it.
fn german() -> Side {
    Side::new("INBOX.", Some('.'))
        .holds(12_431, 1_834_000_000)
        .with(|info| info.subscribed = true)
        .mailbox("INBOX.Gesendete Objekte")
        .role(Role::Sent)
        .holds(4_210, 912_400_000)
        .mailbox("INBOX.Entwürfe")
        .role(Role::Drafts)
        .holds(3, 48_120)
        .mailbox("INBOX.Müll")
        .role(Role::Trash)
        .holds(88, 2_300_000)
        .mailbox("INBOX.Rechnungen")
        .with(|info| info.selectable = false)
        .mailbox("INBOX.Rechnungen.2019")
        .holds(310, 45_900_000)
        .mailbox("INBOX.Rechnungen.Stadtwerke München und Umgebung")
        .holds(1, 18_000)
        .mailbox("INBOX.Angebote/Verträge")
        .holds(57, 9_100_000)
        .mailbox("INBOX.Listen.rust-users")
        .holds(20_514, 130_700_000)
        .mailbox("INBOX.Archiv")
        .role(Role::Archive)
        .holds(0, 0)
        .mailbox("user.chef")
        .with(|info| info.space = Space::OtherUsers)
        .holds(9_000, 1)
}

fn new_account() -> Side {
    let mut side = Side::new("", Some('/'))
        .holds(2, 51_000)
        .mailbox("Sent")
        .role(Role::Sent)
        .holds(0, 0)
        .mailbox("Drafts")
        .role(Role::Drafts)
        .holds(0, 0)
        .mailbox("Trash")
        .role(Role::Trash)
        .holds(0, 0);
    side.abilities.creates_roles = true;
    side.abilities.append_limit_octets = Some(52_428_800);
    side.room =
        Some(Room { used_octets: Some(51_000), limit_octets: Some(2_000_000_000), ..Room::default() });
    side
}

fn settings() -> Settings {
    let selection = Selection { exclude: vec!["*rust*".to_owned()], ..Selection::default() };
    Settings { selection, ..Settings::new("spool") }
}

/// Settings that let one mailbox be refused: two go to one name.
fn refusing() -> Settings {
    let map = [("INBOX.Angebote/Verträge", "Neu"), ("INBOX.Müll", "Neu")].map(|(a, b)| (a.into(), b.into()));
    Settings { mapping: MappingRules { map: map.into(), into: None }, ..settings() }
}

fn planned(source: &Side, target: &Side, known: &Known, settings: &Settings) -> Plan {
    let both = survey(source, target);
    let mapping = map(&both, &settings.mapping, &settings.selection, &known.mailboxes);
    plan(&both, &mapping, known, settings)
}

const DRY_RUN: &str = r#"Moves: 8 mailboxes, 17,100 messages, 2.8 GB

Old mailbox               New mailbox             Messages    Size  Note
INBOX                   → INBOX                     12,431  1.8 GB  holds 2
INBOX.Angebote/Verträge → Angebote_Verträge             57  9.1 MB  renamed, new
INBOX.Archiv            → Archiv                         0     0 B  new \Archive
INBOX.Entwürfe          → Drafts                         3   48 kB  \Drafts
INBOX.Gesendete Objekte → Sent                       4,210  912 MB  \Sent
INBOX.Müll              → Trash                         88  2.3 MB  \Trash
INBOX.Rechnungen.2019   → Rechnungen/2019              310   45 MB  new
INBOX.Rechnungen.       → Rechnungen/Stadtwerke          1   18 kB  new
Stadtwerke München und    München und Umgebung
Umgebung

Left out by rule:
  - exclude:*rust*: 1 mailbox, 20,514 messages
  - not-selectable: 1 mailbox
  - other-users: 1 mailbox, 9,000 messages

Will not move:
  - 1 mailbox of other people (9,000 messages): only the account’s own mailboxes
    are moved
  - what is left when the new account is full (not counted): it has less room
    than is needed

Worth knowing:
  - “INBOX.Angebote/Verträge” becomes “Angebote_Verträge”: it contains “/”,
    which separates levels on the new server
  - the new server takes messages up to 52 MB; larger ones are counted when they
    are found
  - the new account has 1.9 GB free and at least 2.8 GB are needed: ask for more
    room first

To be decided first:
  - the new account already holds 2 messages that this journal knows nothing of
    (INBOX 2). Use --adopt to recognise what was copied before and copy the
    rest, or --append-anyway to copy everything beside what is there
  - 2 things will not move as they are (see the list); use --yes to accept
"#;

#[test]
fn the_dry_run_of_a_lifelike_account() {
    let plan = planned(&german(), &new_account(), &Known::default(), &settings());
    assert_eq!(lint(&plan), []);
    let text = plan.to_string();
    assert_eq!(text, DRY_RUN, "\n{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn an_answered_plan_asks_nothing_and_a_hopeless_name_cannot_reach_the_terminal() {
    let settings = Settings { existing: Some(Existing::Adopt), accept_will_not_move: true, ..settings() };
    let source = german().mailbox("INBOX.böse\u{1b}[2J");
    let plan = planned(&source, &new_account(), &Known::default(), &settings);
    assert_eq!(plan.questions, []);
    assert_eq!(lint(&plan), []);
    assert!(plan.to_string().chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn mail_at_the_target_is_asked_about_only_without_a_baseline() {
    let mut known = Known::default();
    let first = planned(&german(), &new_account(), &known, &settings());
    let asked = Question::TargetHoldsMail { mailboxes: vec![("INBOX".to_owned(), 2)] };
    assert_eq!(first.questions[0], asked);
    known.mailboxes = first.steps.iter().map(|step| step.record.clone()).collect();
    for (i, record) in known.mailboxes.iter_mut().enumerate() {
        record.id = MailboxId(i as i64 + 1);
        let baseline =
            Baseline { epoch: EpochId(1), uid_next: Key(1), existing: Existing::Adopt, matched: true };
        known.baselines.insert(record.id, baseline);
        known.settled.insert(record.id, (record.messages.unwrap(), record.octets.unwrap()));
    }
    let second = planned(&german(), &new_account(), &known, &settings());
    assert!(!second.questions.contains(&asked));
    assert_eq!((second.room.needed_messages, second.room.needed_octets), (0, 0));
    assert!(second.steps.iter().all(|step| !step.subscribe), "what a person unsubscribed stays so");
}

#[test]
fn a_mailbox_left_out_later_is_no_step_and_keeps_its_target_in_the_journal() {
    let mut known = Known::default();
    let everything = Settings::new("spool");
    let first = planned(&german(), &new_account(), &known, &everything);
    known.mailboxes = first.steps.iter().map(|step| step.record.clone()).collect();
    let second = planned(&german(), &new_account(), &known, &settings());
    let left = second.excluded.iter().find(|left| left.rule == "exclude:*rust*").unwrap();
    assert!(matches!(&left.record.decision, Decision::Move(name) if name.text == "Listen/rust-users"));
    assert!(second.steps.iter().all(|step| step.record.source.text != left.record.source.text));
    assert_eq!(lint(&second), []);
}

#[test]
fn uncounted_mailboxes_make_the_totals_a_lower_bound() {
    let source = Side::new("", Some('/')).mailbox("A").holds(5, 100).mailbox("B").with(|info| {
        info.counts = None;
    });
    let plan = planned(&source, &Side::new("", Some('/')), &Known::default(), &Settings::new("spool"));
    assert_eq!(plan.totals.to_string(), "3 mailboxes, at least 5 messages, at least 100 B");
}

#[test]
fn of_all_mail_at_gmail_only_the_rest_moves_and_what_imap_hides_is_asked_about() {
    let mut source = Side::new("", Some('/')).holds(7, 70).mailbox("Work").holds(1000, 10);
    source = source.mailbox("[Gmail]/Starred").role(Role::Flagged).holds(3, 30);
    source = source.mailbox("[Gmail]/All Mail").role(Role::All).holds(5000, 50);
    source.abilities.gmail = true;
    source.abilities.does = family("gmail");
    let made = planned(&source, &Side::new("", Some('/')), &Known::default(), &settings());
    assert_eq!((made.totals.messages, made.totals.uncounted_mailboxes), (1007, 1), "nothing counts twice");
    assert_eq!(made.room.needed_messages, 1007);
    assert_eq!(made.will_not_move, [], "what is starred lies elsewhere as well");
    assert_eq!(made.questions, []);
    let text = made.to_string();
    assert!(text.contains("the rest") && text.contains("at least 1,007 messages"), "{text}");
    assert!(
        made.remarks.iter().any(|r| r.contains("only what lies in no other folder is copied, to “Archive”"))
    );
    let cut: Vec<&String> = made.remarks.iter().filter(|r| r.contains("shows exactly")).collect();
    assert!(cut.len() == 2 && cut[0].contains("1,000 messages"), "{cut:?}");
    source.listed.retain(|info| info.role != Some(Role::All));
    let made = planned(&source, &Side::new("", Some('/')), &Known::default(), &settings());
    let hidden: Vec<String> = made.will_not_move.iter().map(ToString::to_string).collect();
    assert!(
        hidden.iter().any(|h| h.contains("archived without a label") && h.contains("not counted")),
        "{hidden:?}"
    );
    assert_eq!((hidden.len(), made.questions.len()), (1, 1), "{hidden:?}, {:?}", made.questions);
    let starred = made.steps.iter().find(|step| step.record.source.text == "[Gmail]/Starred").unwrap();
    assert!(starred.is_rest && !starred.is_mark, "what is starred may lie nowhere else");
    let unsummed = |r: &String| r.contains("Starred”") && r.contains("the sums are without it (");
    assert!(made.remarks.iter().any(unsummed), "{:?}", made.remarks);
    assert_eq!(made.totals.messages, 1007, "or elsewhere as well");
    // A mailbox that cannot be opened is asked about: its mail may be in none that can.
    let trouble = Trouble { words: "[NONEXISTENT] no".into(), passes: false };
    let mut both = survey(&source, &Side::new("", Some('/')));
    both.source.mailboxes.iter_mut().for_each(|mailbox| {
        mailbox.trouble = (mailbox.info.text == "Work").then(|| trouble.clone());
    });
    let mapping = map(&both, &MappingRules::default(), &Selection::default(), &[]);
    let made = plan(&both, &mapping, &Known::default(), &settings());
    assert!(made.will_not_move.iter().any(|one| one.what.contains("Work")), "{:?}", made.will_not_move);
}

#[test]
fn mail_in_the_trash_of_a_gmail_target_is_told_before_anything_is_sent() {
    let source = Side::new("", Some('/')).holds(7, 70);
    let said = |held: u64, gmail: bool, role: Role| {
        let mut target = Side::new("", Some('/')).mailbox("[Gmail]/Trash").role(role).holds(held, 30);
        target.abilities.gmail = gmail;
        let made = planned(&source, &target, &Known::default(), &settings());
        made.remarks.into_iter().filter(|r| r.contains("taken out of there by Gmail")).collect::<Vec<_>>()
    };
    let of_three = said(3, true, Role::Trash);
    assert!(
        of_three.len() == 1 && of_three[0].contains("“[Gmail]/Trash” of the new account holds 3 messages")
    );
    assert_eq!(said(0, true, Role::Trash), [""; 0], "nothing is there");
    assert_eq!(said(3, false, Role::Trash), [""; 0], "others keep both");
    assert_eq!(said(3, true, Role::Sent), [""; 0]);
}

fn family(word: &str) -> Behaviour {
    FAMILIES.iter().find(|family| family.word == word).unwrap().does
}

#[test]
fn of_a_server_that_shows_the_newest_messages_alone_a_full_mailbox_is_asked_about() {
    let new = Side::new("", Some('/'));
    for (shown, is_cut) in [(9_999, false), (10_000, true), (10_003, true), (25_000, false)] {
        let mut source = Side::new("", Some('/')).holds(shown, 70).mailbox("Work").holds(3, 10);
        source.abilities.does = family("yahoo");
        let made = planned(&source, &new, &Known::default(), &settings());
        let asked: Vec<String> = made.will_not_move.iter().map(ToString::to_string).collect();
        assert_eq!((asked.len(), made.questions.len()), (is_cut.into(), is_cut.into()), "{shown}: {asked:?}");
        let says = |words: &str| asked.iter().all(|one| one.contains(words));
        assert!(
            says("“INBOX”") && says("10,000 messages") && says("export.imap.mail.yahoo.com"),
            "{asked:?}"
        );
        assert!(!made.remarks.iter().any(|r| r.contains("shows exactly")), "{:?}", made.remarks);
        source.abilities.does = Behaviour::default();
        assert_eq!(planned(&source, &new, &Known::default(), &settings()).will_not_move, []);
    }
}

/// A source that does not tell the sizes of its mailboxes; perhaps what is in use of its quota.
fn without_sizes(used_octets: Option<u64>) -> Side {
    let mut source = Side::new("", Some('/')).holds(7, 0).with(|info| {
        info.counts.iter_mut().for_each(|counts| counts.octets = None);
    });
    source.room = used_octets.map(|used| Room { used_octets: Some(used), ..Room::default() });
    source
}

#[test]
fn where_sizes_are_not_told_the_old_quota_is_the_estimate_and_without_one_that_is_said() {
    let mut small = Side::new("", Some('/'));
    small.room = Some(Room { used_octets: Some(0), limit_octets: Some(1000), ..Room::default() });
    let all = Settings::new("spool");
    let made = |source: &Side, settings: &Settings| planned(source, &small, &Known::default(), settings);
    let full = made(&without_sizes(Some(5000)), &all);
    assert_eq!((full.room.needed_octets, full.room.expected_octets()), (0, 5000));
    assert!(!full.room.is_short() && full.will_not_move.is_empty(), "a guess stops nothing: {full:?}");
    assert_eq!(full.questions, []);
    let says = |plan: &Plan, words: &str| plan.remarks.iter().any(|r| r.contains(words));
    assert!(says(&full, "may have less room") && says(&full, "5.0 kB are in use"), "{:?}", full.remarks);
    assert!(!says(&made(&without_sizes(Some(900)), &all), "may have less room"));
    // Nothing is left to copy: what is in use beside the mail needs no room.
    let mut known =
        Known { mailboxes: full.steps.iter().map(|s| s.record.clone()).collect(), ..Known::default() };
    known.mailboxes[0].id = MailboxId(1);
    known.settled = [(MailboxId(1), (7, 70))].into();
    let done = planned(&without_sizes(Some(5000)), &small, &known, &all);
    assert_eq!((done.room.estimated_octets, done.room.expected_octets()), (None, 0));
    assert!(!says(&done, "less room") && !says(&done, "does not tell how large"), "{:?}", done.remarks);
    let some = Selection { since: Some(1), ..Selection::default() };
    let blind = [(None, all.clone()), (Some(5000), Settings { selection: some, ..all.clone() })];
    for (used, settings) in blind {
        let made = made(&without_sizes(used), &settings);
        assert!(!made.room.is_short() && made.will_not_move.is_empty());
        assert!(made.remarks.iter().any(|r| r.contains("does not tell how large")), "{:?}", made.remarks);
    }
    let told = made(&Side::new("", Some('/')).holds(7, 70), &all);
    assert!(!told.remarks.iter().any(|r| r.contains("does not tell how large")), "{:?}", told.remarks);
}

#[test]
fn where_all_mail_is_named_all_of_it_counts_since_no_other_mailbox_brings_it() {
    let mut source = Side::new("", Some('/')).holds(7, 70);
    source = source.mailbox("[Gmail]/All Mail").role(Role::All).holds(5000, 50);
    source.abilities.gmail = true;
    let mut only = settings();
    only.selection.only = vec!["[Gmail]/All Mail".into()];
    let target = Side::new("", Some('/'));
    let made = planned(&source, &target, &Known::default(), &only);
    assert_eq!(made.totals.to_string(), "1 mailbox, 5,000 messages, 50 B");
    assert_eq!((made.room.needed_messages, made.room.needed_octets), (5000, 50));
    let said = "what no folder has brought yet is copied, to “Archive” (5,000 messages at most)";
    assert!(made.remarks.iter().any(|r| r.contains(said)), "{:?}", made.remarks);
    // What others have brought by then is no longer in the way.
    let (inbox, all) = (MailboxId(1), MailboxId(2));
    let everything = planned(&source, &target, &Known::default(), &settings());
    let mut known =
        Known { mailboxes: everything.steps.iter().map(|s| s.record.clone()).collect(), ..Known::default() };
    (known.mailboxes[0].id, known.mailboxes[1].id) = (inbox, all);
    known.settled = [(inbox, (7, 70)), (all, (1000, 10))].into();
    let made = planned(&source, &target, &known, &only);
    assert_eq!(made.room.needed_messages, 4000, "at most: what the others brought lies in it, or not");
}

#[test]
fn a_target_without_room_is_told_so_in_words() {
    let plan = planned(&german(), &new_account(), &Known::default(), &settings());
    assert!(plan.room.is_short());
    assert!(plan.remarks.iter().any(|remark| remark.contains("ask for more room")), "{:?}", plan.remarks);
    let asked = |q: &Question| matches!(q, Question::WillNotMove { what } if what[1].contains("less room than is needed"));
    assert!(plan.questions.iter().any(asked), "{:?}", plan.questions);
}

#[test]
fn the_lint_finds_each_contradiction() {
    let sound = planned(&german(), &new_account(), &Known::default(), &refusing());
    let broken = |change: fn(&mut Plan)| {
        let mut plan = sound.clone();
        change(&mut plan);
        lint(&plan)
    };
    assert!(broken(|plan| plan.totals.messages += 1).contains(&LintFinding::Totals));
    assert!(broken(|plan| plan.questions.clear()).contains(&LintFinding::Unasked { target: "INBOX".into() }));
    let doubled = broken(|plan| {
        let first = plan.steps[2].target.clone();
        plan.steps[3].record.decision = Decision::Move(first.clone());
        plan.steps[3].target = first;
    });
    assert!(matches!(&doubled[..], [LintFinding::OneTarget { .. }]), "{doubled:?}");
    let twice = broken(|plan| {
        let record = plan.steps[0].record.clone();
        plan.excluded[0].record.source = record.source;
    });
    assert!(matches!(&twice[..], [LintFinding::DecidedTwice { .. }]), "{twice:?}");
    assert!(matches!(&broken(|plan| plan.steps[0].create = true)[..], [LintFinding::Creation { .. }]));
    assert!(matches!(
        &broken(|plan| plan.refused[0].decision = Decision::Exclude("x".into()))[..],
        [LintFinding::Decision { .. }]
    ));
    assert!(matches!(
        &broken(|plan| plan.steps[0].record.source.wire = Default::default())[..],
        [LintFinding::Nameless]
    ));
}

#[test]
fn the_json_form_holds_what_the_text_shows() {
    let plan = planned(&german(), &new_account(), &Known::default(), &refusing());
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["mailboxes"].as_array().unwrap().len() as u64, plan.totals.mailboxes);
    let sent =
        json["mailboxes"].as_array().unwrap().iter().find(|step| step["target_name"] == "Sent").unwrap();
    assert_eq!(sent["source_name"], "INBOX.Gesendete Objekte");
    assert_eq!(sent["messages"], 4210);
    assert_eq!(json["totals"]["messages"], 17_012);
    assert_eq!(json["refused"][0]["source_name"], "INBOX.Müll");
    assert_eq!(json["questions"].as_array().unwrap().len(), 2);
    assert_eq!(json["room"]["short"], true);
}

#[test]
fn a_mailbox_that_will_never_open_is_on_the_list_and_one_that_may_is_a_remark() {
    let with = |passes| {
        let trouble = Trouble { words: "[NOPERM] no".into(), passes };
        let mut survey = survey(&Side::new("", Some('/')).mailbox("Closed"), &Side::new("", Some('/')));
        let closed = survey.source.mailboxes.iter_mut().filter(|m| m.info.text == "Closed");
        closed.for_each(|m| m.trouble = Some(trouble.clone()));
        let (settings, known) = (settings(), Known::default());
        plan(
            &survey,
            &map(&survey, &settings.mapping, &settings.selection, &known.mailboxes),
            &known,
            &settings,
        )
    };
    let plan = with(false);
    assert!(plan.will_not_move[0].to_string().contains("“Closed”"), "{:?}", plan.will_not_move);
    assert!(plan.steps.iter().any(|step| step.record.source.text == "Closed"), "it is tried all the same");
    let plan = with(true);
    assert!(
        plan.will_not_move.is_empty() && plan.remarks.iter().any(|r| r.contains("tried again")),
        "{:?}",
        plan.remarks
    );
}

/// What no remark of a plan says to people, beside what nothing says to them (CONTRIBUTING.md, *Texts for people*).
const NOT_IN_REMARKS: [&str; 7] = ["\\", "IMAP", "COMPRESS", "NAMESPACE", "LSUB", "`", "attribute"];

#[test]
fn what_a_plan_remarks_is_said_to_people_in_everyday_words_and_the_words_of_imap_behind_details() {
    let one = |name: &str, role| Side::new("", Some('/')).mailbox(name).role(role).holds(5, 50);
    let views = one("Wichtig", Role::Important).mailbox("Alle").role(Role::All).holds(9, 90);
    let rivals = one("Sent Items", Role::Sent).mailbox("Sent").holds(1, 10);
    let mut gmail = one("[Gmail]/All Mail", Role::All).mailbox("[Gmail]/Important").role(Role::Important);
    gmail.abilities.gmail = true;
    gmail.abilities.does = family("gmail");
    let mut packed = Side::new("", Some('/')).mailbox("A").holds(1000, 10);
    packed.abilities.compression = Compression::Missing("it does not offer COMPRESS=DEFLATE".into());
    let mut trash = one("Papierkorb", Role::Trash);
    (trash.abilities.gmail, trash.abilities.append_limit_octets) = (true, Some(1000));
    let mut in_imap = Vec::new();
    for source in [&views, &rivals, &gmail, &packed] {
        for target in [&Side::new("", Some('/')), &trash, &gmail] {
            let remarks = planned(source, target, &Known::default(), &settings()).remarks;
            // What a look at both accounts measures is said by remarks of its own.
            for remark in remarks.into_iter().filter(|remark| !remark.contains("`check` measures")) {
                let plain = of_plan(&remark).plain;
                assert!(plain.what.ends_with('.') && !plain.what.ends_with(".."), "{plain:?}");
                for word in NOT_FOR_PEOPLE.iter().chain(&NOT_IN_REMARKS) {
                    assert!(!plain.what.contains(word), "{word}: {plain:?}");
                }
                in_imap.extend(plain.details);
            }
        }
    }
    in_imap.sort();
    in_imap.dedup();
    assert_eq!(in_imap, ["\\All", "\\Important", "\\Sent", "it does not offer COMPRESS=DEFLATE"]);
    let view = planned(&views, &Side::new("", Some('/')), &Known::default(), &settings());
    let view = view.remarks.iter().find(|remark| remark.contains("Wichtig")).unwrap();
    assert!(view.contains("--exclude leaves it out") && view.ends_with("\\Important"), "{view}");
    let said = "“Wichtig” may show mail that lies in other folders, too; it is copied like any other.";
    assert_eq!(of_plan(view).plain.what, said);
}

#[test]
fn what_a_server_was_asked_for_and_refused_to_tell_is_a_remark_each_once() {
    let mut survey = survey(&Side::new("", Some('/')).mailbox("A"), &Side::new("", Some('/')));
    let refusal = |text: &str| EndError::Refused {
        server: "old.example".into(),
        doing: "LIST",
        refusal: Refusal { class: RefusalClass::Unknown, bad: false, code: None, text: text.into() },
    };
    let asked = [
        Asked::Own("Old/".into()),
        Asked::Subscriptions,
        Asked::Subscriptions,
        Asked::Counts(Bytes::from_static(b"A")),
    ];
    survey.source.untold = asked.map(|asked| Untold { asked, error: refusal("not \u{1b}now") }).to_vec();
    survey.target.untold = vec![Untold { asked: Asked::Roles, error: refusal("what") }];
    survey.target.mailboxes[0].trouble = Some(Trouble { words: "closed".into(), passes: false });
    let (settings, known) = (settings(), Known::default());
    let mapping = map(&survey, &settings.mapping, &settings.selection, &known.mailboxes);
    let plan = plan(&survey, &mapping, &known, &settings);
    let told: Vec<&String> = plan.remarks.iter().filter(|r| r.contains("is not told by the")).collect();
    assert_eq!(
        told,
        [
            "what lies below “Old/” is not told by the old server: NO not <U+001B>now",
            "which folders mail programs show (subscriptions) is not told by the old server: NO not <U+001B>now",
            "which folder is for what (sent mail, drafts, junk) is not told by the new server: NO what",
            "how much is in “INBOX” is not told by the new server: closed",
        ]
    );
}
