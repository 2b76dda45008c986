use super::fakes::{FakeEnd, FakeJournal};
use crate::config::{MappingRules, Selection, Settings};
use crate::end::{Role, Space};
use crate::error::{EndError, Error, Question};
use crate::journal::{
    Decision, EpochId, Existing, Item, ItemId, Journal, JournalError, MailboxRecord, State,
};
use crate::message::Key;
use crate::plan::{Plan, carry_out, make, save};
use crate::survey::{Passing, survey};
use crate::survey_testing::Side;

fn slash() -> Side {
    Side::new("", Some('/'))
}

async fn planned(
    source: &mut FakeEnd,
    target: &mut FakeEnd,
    journal: &FakeJournal,
    settings: &Settings,
) -> (Plan, Vec<MailboxRecord>) {
    let (_, plan) = make(source, target, journal, settings, Passing::Fails).await.unwrap();
    let records = save(journal, &plan).await.unwrap();
    (plan, records)
}

/// Survey, plan and preparation in one, as a run does them.
async fn run(
    source: &mut FakeEnd,
    target: &mut FakeEnd,
    journal: &FakeJournal,
    settings: &Settings,
) -> Result<Plan, Error> {
    let (plan, records) = planned(source, target, journal, settings).await;
    carry_out(target, journal, &plan, &records, Passing::Fails).await?;
    Ok(plan)
}

fn settings() -> Settings {
    Settings::new("spool")
}

#[tokio::test]
async fn an_empty_list_is_a_failure_and_not_an_empty_account() {
    let mut empty = slash();
    empty.listed.clear();
    let error = survey(&mut FakeEnd::new(empty.clone()), &mut FakeEnd::new(slash()), Passing::Fails)
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Source(EndError::Protocol { .. })), "{error}");
    let error =
        survey(&mut FakeEnd::new(slash()), &mut FakeEnd::new(empty), Passing::Fails).await.unwrap_err();
    assert!(matches!(&error, Error::Target(EndError::Protocol { .. })), "{error}");
}

#[tokio::test]
async fn an_inbox_that_is_not_listed_is_looked_for() {
    let mut side = slash().mailbox("A");
    side.listed.remove(0);
    let mut absent = FakeEnd::new(side);
    let both = survey(&mut absent.clone(), &mut absent, Passing::Fails).await.unwrap();
    assert_eq!((both.source.mailboxes.len(), both.target.mailboxes.len()), (1, 1), "nothing is made up");
    let mut hidden = absent.behave("INBOX", |b| {
        b.unlisted = true;
        b.exists = 4;
    });
    let both = survey(&mut hidden.clone(), &mut hidden, Passing::Fails).await.unwrap();
    for side in [&both.source, &both.target] {
        assert_eq!(side.mailboxes[0].info.wire, "INBOX");
        assert_eq!(side.mailboxes[0].info.counts.unwrap().messages, 4);
    }
}

#[tokio::test]
async fn a_mailbox_that_does_not_open_is_kept_with_the_servers_words() {
    let mut source = FakeEnd::new(slash().mailbox("Geheim")).behave("Geheim", |b| b.refuse_open = true);
    let both = survey(&mut source, &mut FakeEnd::new(slash()), Passing::Fails).await.unwrap();
    let secret = &both.source.mailboxes[1];
    assert_eq!(secret.trouble.as_ref().map(|t| (&*t.words, t.passes)), Some(("NO Permission denied", false)));
    assert_eq!(secret.info.counts, None);
    let json = serde_json::to_value(&both).unwrap();
    assert_eq!((&json["source"]["mailboxes"], &json["source"]["not_opened"]), (&2.into(), &1.into()));
}

#[tokio::test]
async fn making_a_plan_changes_nothing_anywhere() {
    let mut source = FakeEnd::new(slash().mailbox("A").with(|info| info.subscribed = true));
    let (mut target, journal) = (FakeEnd::new(slash()), FakeJournal::default());
    make(&mut source, &mut target, &journal, &settings(), Passing::Fails).await.unwrap();
    assert!(target.writes().is_empty());
    assert!(journal.tables().mailboxes.is_empty() && journal.tables().settings.is_empty());
}

#[tokio::test]
async fn missing_mailboxes_are_created_parents_first_subscribed_and_given_a_baseline() {
    let side = Side::new("INBOX.", Some('.'))
        .mailbox("INBOX.Z.Kind")
        .mailbox("INBOX.Z")
        .with(|info| info.subscribed = true)
        .mailbox("INBOX.Entwürfe")
        .role(Role::Drafts);
    let mut away = slash();
    away.abilities.creates_roles = true;
    let (mut source, mut target) = (FakeEnd::new(side), FakeEnd::new(away));
    let journal = FakeJournal::default();
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    let writes = target.writes();
    assert_eq!(writes, ["CREATE Entw&APw-rfe drafts", "CREATE Z", "CREATE Z/Kind", "SUBSCRIBE Z"]);
    let tables = journal.tables();
    assert_eq!(tables.baselines.len(), 4);
    assert!(
        tables.baselines.values().all(|b| b.existing == Existing::New && b.matched && b.uid_next == Key(1))
    );
    assert_eq!(tables.settings["mapping"], r#"{"into":null,"map":[]}"#);
}

#[tokio::test]
async fn a_second_run_touches_nothing() {
    let side = slash().mailbox("A").with(|info| info.subscribed = true);
    let (mut source, mut target, journal) =
        (FakeEnd::new(side), FakeEnd::new(slash()), FakeJournal::default());
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    target.log.clear();
    // Mail has arrived at the target since: the baseline answers, nobody is asked.
    target = target.behave("A", |b| b.exists = 5);
    let plan = run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    assert!(target.log.is_empty(), "{:?}", target.log);
    assert!(plan.questions.is_empty());
}

#[tokio::test]
async fn mail_in_a_target_mailbox_stops_the_run_before_anything_is_created() {
    let mut source = FakeEnd::new(slash().mailbox("A"));
    let (mut target, journal) =
        (FakeEnd::new(slash()).behave("INBOX", |b| b.exists = 3), FakeJournal::default());
    let (plan, records) = planned(&mut source, &mut target, &journal, &settings()).await;
    let asked = Question::TargetHoldsMail { mailboxes: vec![("INBOX".to_owned(), 3)] };
    assert_eq!(plan.questions, std::slice::from_ref(&asked));
    let error = carry_out(&mut target, &journal, &plan, &records, Passing::Fails).await.unwrap_err();
    assert!(matches!(error, Error::Question(question) if question == asked));
    assert!(target.writes().is_empty() && journal.tables().baselines.is_empty());

    for (answer, matched) in [(Existing::Adopt, false), (Existing::AppendAnyway, true)] {
        let (mut target, journal) = (target.clone(), FakeJournal::default());
        let settings = Settings { existing: Some(answer), ..settings() };
        run(&mut source, &mut target, &journal, &settings).await.unwrap();
        let inbox = journal.baseline(journal.record("INBOX").id).await.unwrap().unwrap();
        // No UIDNEXT was told: one more than the highest UID listed.
        assert_eq!((inbox.existing, inbox.matched, inbox.uid_next), (answer, matched, Key(31)));
        let empty = journal.baseline(journal.record("A").id).await.unwrap().unwrap();
        assert_eq!((empty.existing, empty.matched), (Existing::New, true));
    }
}

#[tokio::test]
async fn mail_that_comes_between_plan_and_execution_is_asked_about_too() {
    let (mut source, mut target) = (FakeEnd::new(slash().mailbox("A")), FakeEnd::new(slash()));
    let journal = FakeJournal::default();
    let (plan, records) = planned(&mut source, &mut target, &journal, &settings()).await;
    assert!(plan.questions.is_empty());
    target = target.behave("INBOX", |b| b.exists = 1);
    let error = carry_out(&mut target, &journal, &plan, &records, Passing::Fails).await.unwrap_err();
    assert!(matches!(error, Error::Question(Question::TargetHoldsMail { .. })));
    // What was said to be empty is looked at together with what is created: nothing but an empty mailbox is there.
    assert_eq!(target.writes(), ["CREATE A"]);
    assert!(journal.tables().baselines.is_empty());
}

#[tokio::test]
async fn a_mailbox_that_is_not_created_is_refused_and_the_others_go_on() {
    let mut source = FakeEnd::new(slash().mailbox("A").mailbox("B").mailbox("C"));
    let mut target = FakeEnd::new(slash().mailbox("Hers"))
        .behave("A", |b| b.refuse_create = true)
        .behave("A~559a", |b| b.refuse_create = true)
        .behave("B", |b| b.created_as = Some("Hers".into()));
    let journal = FakeJournal::default();
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    let reason = |name| match journal.record(name).decision {
        Decision::Refuse(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(reason("A").contains("NO Invalid mailbox name"), "{}", reason("A"));
    assert!(reason("B").contains("made “Hers” where “B” was asked for"), "{}", reason("B"));
    assert!(matches!(journal.record("C").decision, Decision::Move(_)));
    assert_eq!(journal.tables().baselines.len(), 2, "INBOX and C");
    // The next run tries again.
    target.behaviour.clear();
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    assert!(matches!(journal.record("A").decision, Decision::Move(_)));
}

#[tokio::test]
async fn a_name_that_the_server_refuses_is_replaced_by_the_one_kept_for_it() {
    let mut source = FakeEnd::new(slash().mailbox("A"));
    let mut target = FakeEnd::new(slash()).behave("A", |b| b.refuse_create = true);
    let journal = FakeJournal::default();
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    assert_eq!(target.writes(), ["CREATE A", "CREATE A~559a"]);
    assert!(matches!(journal.record("A").decision, Decision::Move(name) if name.text == "A~559a"));
    let note = journal.tables().notes[0].clone();
    assert_eq!(note.kind, "renamed");
    assert!(note.text.contains("refused “A” (NO Invalid mailbox name)"), "{}", note.text);
    // The next run knows it by that name.
    let mut target = FakeEnd::new(slash().mailbox("A~559a"));
    let plan = run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    assert!(target.writes().is_empty() && plan.steps.iter().any(|step| step.target.text == "A~559a"));
}

#[tokio::test]
async fn a_mailbox_is_known_by_the_name_that_the_server_lists() {
    let mut source = FakeEnd::new(slash().mailbox("Foo.").mailbox("Bar."));
    let mut target = FakeEnd::new(slash())
        .behave("Foo.", |b| b.created_as = Some("foo".into()))
        // Seen only when everything is listed.
        .behave("Bar.", |b| (b.created_as, b.silent) = (Some("bar".into()), true));
    let journal = FakeJournal::default();
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    for (name, listed) in [("Foo.", "foo"), ("Bar.", "bar")] {
        assert!(
            matches!(journal.record(name).decision, Decision::Move(name) if name.text == listed),
            "{name}"
        );
    }
    let texts: Vec<String> = journal.tables().notes.iter().map(|note| note.text.clone()).collect();
    assert!(texts.iter().any(|text| text.contains("lists “foo” where “Foo.” was created")), "{texts:?}");
    assert_eq!(journal.tables().baselines.len(), 3);
}

#[tokio::test]
async fn a_mailbox_with_a_baseline_keeps_its_target_when_it_cannot_be_made_again() {
    let mut source = FakeEnd::new(slash().mailbox("A"));
    let (mut target, journal) = (FakeEnd::new(slash()), FakeJournal::default());
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    let mut emptied = FakeEnd::new(slash()).behave("A", |b| b.refuse_create = true);
    let plan = run(&mut source, &mut emptied, &journal, &settings()).await.unwrap();
    assert!(plan.remarks.iter().any(|remark| remark.contains("no longer on the new server")));
    assert_eq!(emptied.writes(), ["CREATE A"]);
    assert!(matches!(journal.record("A").decision, Decision::Move(_)));
    assert_eq!(journal.tables().notes[0].kind, "not_ready");
}

#[tokio::test]
async fn a_role_that_is_refused_does_not_cost_the_mailbox() {
    let mut source = FakeEnd::new(slash().mailbox("Gesendet").role(Role::Sent));
    let mut target = FakeEnd::new(slash());
    target.side.abilities.creates_roles = true;
    target.refuse_roles = true;
    let journal = FakeJournal::default();
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    assert_eq!(target.writes(), ["CREATE Gesendet sent", "CREATE Gesendet"]);
    assert_eq!(journal.tables().notes[0].kind, "role_not_given");
    assert_eq!(journal.tables().baselines.len(), 2);
}

#[tokio::test]
async fn a_lost_connection_is_an_error_and_the_next_run_finishes() {
    let mut source = FakeEnd::new(slash().mailbox("A"));
    let (mut target, journal) = (FakeEnd::new(slash()), FakeJournal::default());
    target.lose_at_create = true;
    let error = run(&mut source, &mut target, &journal, &settings()).await.unwrap_err();
    assert!(matches!(&error, Error::Target(end) if end.is_connection()), "{error}");
    target.lose_at_create = false;
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    assert_eq!(journal.tables().baselines.len(), 2);
}

#[tokio::test]
async fn another_mapping_on_an_old_journal_is_refused_with_the_difference() {
    let mut source = FakeEnd::new(slash().mailbox("A").mailbox("x.y"));
    let (mut target, journal) = (FakeEnd::new(Side::new("", Some('.'))), FakeJournal::default());
    let accepting = Settings { accept_will_not_move: true, ..settings() };
    let mapped = |maps: &[(&str, &str)]| {
        let map = maps.iter().map(|(s, t)| ((*s).to_owned(), (*t).to_owned())).collect();
        Settings { mapping: MappingRules { map, into: None }, ..accepting.clone() }
    };
    // Two for one name: the second is refused.
    run(&mut source, &mut target, &journal, &mapped(&[("A", "Alt"), ("x.y", "Alt")])).await.unwrap();
    for other in [mapped(&[("A", "Anders"), ("x.y", "Alt")]), mapped(&[])] {
        let error = make(&mut source, &mut target, &journal, &other, Passing::Fails).await.unwrap_err();
        assert!(matches!(&error, Error::Journal(JournalError::OtherSettings { .. })), "{error}");
        assert!(error.to_string().contains("“A” went to “Alt”"), "{error}");
    }
    // What was refused before may be mapped now.
    let more = mapped(&[("A", "Alt"), ("x.y", "x-y")]);
    run(&mut source, &mut target, &journal, &more).await.unwrap();
    assert!(matches!(journal.record("x.y").decision, Decision::Move(name) if name.text == "x-y"));
}

#[tokio::test]
async fn a_rule_that_names_nothing_stops_with_near_names() {
    let mut source = FakeEnd::new(slash().mailbox("Projekte"));
    let selection = Selection { only: vec!["Projekt".to_owned()], ..Selection::default() };
    let settings = Settings { selection, ..settings() };
    let journal = FakeJournal::default();
    let error =
        make(&mut source, &mut FakeEnd::new(slash()), &journal, &settings, Passing::Fails).await.unwrap_err();
    assert!(matches!(&error, Error::Settings { what } if what.contains("\"Projekte\"")), "{error}");
}

#[tokio::test]
async fn listed_messages_of_a_mailbox_left_out_later_become_excluded_and_copied_ones_stay() {
    let mut source = FakeEnd::new(slash().mailbox("A"));
    let (mut target, journal) = (FakeEnd::new(slash()), FakeJournal::default());
    run(&mut source, &mut target, &journal, &settings()).await.unwrap();
    let mailbox = journal.record("A").id;
    let item = |key: i64, state| {
        let id = ItemId { mailbox, epoch: EpochId(1), key: Key(key) };
        Item { state, ..Item::listed(id, 1) }
    };
    journal.tables().items =
        (1..=2500).map(|key| item(key, if key % 5 == 0 { State::Verified } else { State::Listed })).collect();
    let selection = Selection { exclude: vec!["A".to_owned()], ..Selection::default() };
    let settings = Settings { selection, ..settings() };
    planned(&mut source, &mut target, &journal, &settings).await;
    let tables = journal.tables();
    let count = |state| tables.items.iter().filter(|item| item.state == state).count();
    assert_eq!((count(State::Listed), count(State::Excluded), count(State::Verified)), (0, 2000, 500));
    assert!(tables.items.iter().filter_map(|i| i.reason.as_ref()).all(|r| r.kind == "exclude:A"));
    drop(tables);
    assert!(matches!(journal.record("A").decision, Decision::Move(_)), "its target is not forgotten");
}

#[tokio::test]
async fn an_unaccepted_will_not_move_list_stops_the_run() {
    let side = slash().mailbox("Public").with(|info| info.space = Space::Shared);
    let (mut source, mut target, journal) =
        (FakeEnd::new(side), FakeEnd::new(slash()), FakeJournal::default());
    let error = run(&mut source, &mut target, &journal, &settings()).await.unwrap_err();
    assert!(matches!(error, Error::Question(Question::WillNotMove { .. })));
    assert!(target.writes().is_empty());
}
