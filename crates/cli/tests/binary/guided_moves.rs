//! Several moves that were begun: each keeps its own answers, and two windows do not write over one another's.

use crate::accounts::{FROM_PASSWORD, TO_PASSWORD, letter, program, ran};
use crate::finding::{NEW, OLD, World};
use crate::guided::guide;
use crate::page::Serving;
use crate::pty::Terminal;
use mailhaul_sandbox::Sandbox;

const EVE: &str = "eve@old.example";

/// With another old mailbox beside the one.
async fn world() -> (World, Sandbox, Sandbox) {
    let (world, old, new) = World::published().await;
    old.add_user(EVE, FROM_PASSWORD);
    old.create(OLD, "Spam", None, true);
    old.deliver(OLD, "Spam", letter(9), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    (world, old, new)
}

fn leaves(mut terminal: Terminal) -> String {
    let (code, said) = terminal.press("\u{3}").says("To go on: the same command again.").ends();
    assert_eq!(code, 130, "{said}");
    said
}

/// Up to the password of the other old mailbox.
fn begins_with_eve(terminal: &mut Terminal) {
    terminal.says("Address of your old mailbox: ").types(EVE);
    terminal.says("Address of your new mailbox: ").types(NEW).says("Password of your old mailbox");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_chosen_of_one_move_is_kept_while_another_one_is_begun() {
    let (world, _old, new) = world().await;
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    terminal.says("Enter, numbers, or b").types("2").says("Spam: left out by you");
    terminal.says("Enter, numbers, or b").types("").says("Enter begins");
    leaves(terminal);

    let mut terminal = guide(&world);
    terminal.says("You began to move ann@old.example to bob@new.example.").says("Enter goes on").types("n");
    begins_with_eve(&mut terminal);
    leaves(terminal);

    let mut terminal = guide(&world);
    terminal.says("You began:").says("  1  eve@old.example to bob@new.example");
    terminal.says("  2  ann@old.example to bob@new.example").says("Enter goes on with 1");
    terminal.types("3").types("2").says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    terminal.says("Step 5 of 5").says("Enter begins").types("").says("All 5 messages are on the new server");
    terminal.says("mailhaul migrate");
    let (code, said) = terminal.ends();
    assert_eq!(code, 0);
    let report =
        said.lines().find_map(|line| line.trim().strip_prefix("Report: ")).unwrap().trim().to_owned();
    let report = report.strip_suffix("/report.html").unwrap().to_owned();
    assert_eq!(new.counters().appended, 5, "what was left out stays left out");

    // One that cannot be read is told, and hides no other.
    let state = world.folder.path().join("state/mailhaul");
    std::fs::write(state.join("broken.answers.json"), "{").unwrap();

    // The same two addresses, typed again, are the same move.
    let mut terminal = guide(&world);
    terminal.says("Your answers cannot be read").says("broken.answers.json");
    terminal.says("Set that file aside, under another name? [y/N]").types("n");
    // What came to its end stands apart, with where its report is.
    terminal.says("You began:").says("  1  eve@old.example to bob@new.example");
    terminal.says("You moved:").says("  2  ann@old.example to bob@new.example").says("its report is in");
    terminal.says("Enter goes on with 1").types("n");
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD).says("Step 5 of 5");
    let said: String = leaves(terminal).split_whitespace().collect();
    assert!(said.contains(&report), "{report} in {said}");
    assert!(state.join("broken.answers.json").exists(), "nobody said that it may be set aside");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_came_to_its_end_is_no_longer_one_that_was_begun_until_a_run_begins_again() {
    let (world, old, new) = world().await;
    let goes = |terminal: &mut Terminal| {
        terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    };
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    goes(&mut terminal);
    terminal.says("Enter, numbers, or b").types("").says("Enter begins").types("").says("mailhaul migrate");
    assert_eq!(terminal.ends().0, 0);
    let mut terminal = guide(&world);
    terminal.says("You moved ann@old.example to bob@new.example; its report is in");
    terminal.says("Enter goes on with it; n begins with other mailboxes: ").types("");
    old.deliver(OLD, "INBOX", letter(77), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    goes(&mut terminal);
    terminal.says("Step 5 of 5").says("Enter begins");
    is_interrupted_by(terminal, "", &new).await;
    is_listed(&world, BEGUN);
}

/// What is typed begins a run, which is interrupted twice while the new server stores a message.
async fn is_interrupted_by(mut terminal: Terminal, typed: &str, new: &Sandbox) {
    new.set(|p| p.commit_delay = std::time::Duration::from_secs(3600));
    let appends = || new.counters().commands.get("APPEND").copied().unwrap_or_default();
    let before = appends();
    terminal.types(typed);
    while appends() == before {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    terminal.press("\u{3}").says("Stopping at the next safe point").press("\u{3}");
    assert_eq!(terminal.ends().0, 130);
}

/// Up to the beginning of the move.
fn into_the_move(terminal: &mut Terminal) {
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
    terminal.says("Enter, numbers, or b").types("").says("Enter begins");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_was_interrupted_leaves_a_move_that_was_begun() {
    let (world, old, new) = world().await;
    new.set(|p| p.refuse_nul = true);
    let nul = b"From: a@b.example\r\nSubject: nul\r\n\r\na\0b\r\n".to_vec();
    old.deliver(OLD, "INBOX", nul, "", "03-Mar-2020 10:11:12 +0100").unwrap();
    let mut terminal = guide(&world);
    into_the_move(&mut terminal);
    terminal.types("").says("Do that now? [y/N]");
    is_interrupted_by(terminal, "y", &new).await;
    is_listed(&world, BEGUN);
}

/// One command between the two accounts, with the journal of this world's five steps, to its end with code 0.
async fn by_command(world: &World, verb: &str, options: &[&str]) {
    ends_with(world, verb, options, 0).await;
}

async fn ends_with(world: &World, verb: &str, options: &[&str], code: i32) {
    let folder = world.folder.path();
    let mut command = program(&[verb, OLD, NEW]);
    command.args(world.options()).args(options).current_dir(folder);
    command.env("HOME", folder).env("XDG_STATE_HOME", folder.join("state"));
    command.env("MAILHAUL_FROM_PASSWORD", FROM_PASSWORD).env("MAILHAUL_TO_PASSWORD", TO_PASSWORD);
    ran(&mut command).await.expect(code);
}

const BEGUN: &str = "You began to move ann@old.example to bob@new.example.";
const MOVED: &str = "You moved ann@old.example to bob@new.example; its report is in";

/// What the list of moves says at the start.
fn is_listed(world: &World, says: &str) {
    let mut terminal = guide(world);
    terminal.says(says);
    leaves(terminal);
}

/// A window that goes on with the one move, as far as the first password.
fn goes_on(world: &World) -> Terminal {
    let mut terminal = guide(world);
    terminal.says("Enter goes on").types("").says("Password of your old mailbox");
    terminal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_one_command_brings_to_its_end_is_listed_as_such_and_one_of_a_part_is_not() {
    let (world, ..) = world().await;
    let mut terminal = guide(&world);
    into_the_move(&mut terminal);
    leaves(terminal);
    let since: &[&str] = &["--settle", "1", "--since", "2020-02-01"];
    for (verb, options, code, says) in [
        ("migrate", &["--settle", "1", "--exclude", "Spam"][..], 0, BEGUN),
        ("migrate", since, 0, BEGUN),
        ("migrate", &["--settle", "1"], 0, MOVED),
        ("verify", &[], 0, MOVED),
        ("migrate", &["--settle", "1", "--mailbox", "INBOX"], 5, BEGUN),
        ("migrate", &["--settle", "1"], 0, MOVED),
        ("migrate", &["--settle", "1", "--exclude", "Spam"], 5, BEGUN),
        ("migrate", &["--settle", "1"], 0, MOVED),
        ("undo", &["--yes"], 0, BEGUN),
        ("migrate", &["--settle", "1"], 0, MOVED),
    ] {
        ends_with(&world, verb, options, code).await;
        is_listed(&world, says);
    }
}

/// What it knows is written over nothing, and what it does not know is seen by the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_window_has_the_answers_a_command_after_the_end_still_makes_it_a_move_that_was_begun() {
    let (world, old, _new) = world().await;
    let mut terminal = guide(&world);
    into_the_move(&mut terminal);
    terminal.types("").says("mailhaul migrate");
    assert_eq!(terminal.ends().0, 0);
    is_listed(&world, MOVED);
    let window = goes_on(&world);
    by_command(&world, "verify", &[]).await;
    is_listed(&world, MOVED);
    by_command(&world, "undo", &["--yes"]).await;
    leaves(window);
    is_listed(&world, BEGUN);
    by_command(&world, "migrate", &["--settle", "1"]).await;
    is_listed(&world, MOVED);
    // Nobody could note that this one came to its end, too: whoever goes on sees that nothing is left.
    let window = goes_on(&world);
    old.deliver(OLD, "INBOX", letter(77), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    by_command(&world, "migrate", &["--settle", "1"]).await;
    leaves(window);
    is_listed(&world, BEGUN);
}

/// Nobody who never came to the five steps finds anything of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_alone_writes_no_answers() {
    let (world, ..) = world().await;
    by_command(&world, "migrate", &["--settle", "1"]).await;
    let state = std::fs::read_dir(world.folder.path().join("state/mailhaul")).unwrap();
    let names: Vec<String> = state.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.ends_with(".sqlite")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("answers")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_something_else_is_to_move_a_move_at_its_end_is_one_that_was_begun() {
    let (world, ..) = world().await;
    let mut terminal = guide(&world);
    into_the_move(&mut terminal);
    terminal.types("").says("mailhaul migrate");
    assert_eq!(terminal.ends().0, 0);
    for (left_out, said) in [("", "You moved ann@old.example"), ("2", "You began to move ann@old.example")] {
        let mut terminal = guide(&world);
        terminal.says("You moved ann@old.example to bob@new.example").says("Enter goes on").types("");
        terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD);
        terminal.says("Enter begins").types("b").says("Enter, numbers, or b").types(left_out);
        if !left_out.is_empty() {
            terminal.says("left out by you").says("Enter, numbers, or b").types("");
        }
        terminal.says("Enter begins");
        leaves(terminal);
        let mut terminal = guide(&world);
        terminal.says(said);
        leaves(terminal);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_at_its_end_is_no_failure_where_that_cannot_be_written_down() {
    let (world, ..) = world().await;
    let mut terminal = guide(&world);
    into_the_move(&mut terminal);
    // No file can take the place of a folder.
    let state = world.folder.path().join("state/mailhaul");
    let files = std::fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    let is_of_the_pair = |name: &str| name.starts_with("ann@") && name.ends_with(".answers.json");
    let answers = files.filter(|path| path.file_name().unwrap().to_str().is_some_and(is_of_the_pair));
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.len(), 1);
    for file in answers {
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
    }
    terminal.types("").says("All 6 messages are on the new server");
    terminal
        .says("Your answers cannot be written down")
        .says("Open the report in your browser")
        .says("mailhaul migrate");
    assert_eq!(terminal.ends().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_another_window_set_unreadable_answers_aside_this_one_keeps_what_is_typed() {
    let (world, ..) = world().await;
    let state = world.folder.path().join("state/mailhaul");
    std::fs::create_dir_all(&state).unwrap();
    let file = state.join("answers.json");
    std::fs::write(&file, "{").unwrap();
    let mut terminal = guide(&world);
    terminal.says("aside, under another name?").types("").says("Address of your old mailbox: ");
    std::fs::rename(&file, state.join("answers.json.damaged")).unwrap();
    terminal.types(EVE).says("new mailbox: ");
    leaves(terminal);
    assert!(std::fs::read_to_string(&file).unwrap().contains(EVE));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_no_text_is_none_of_an_answers_file() {
    use std::os::unix::ffi::OsStringExt;
    let (world, ..) = world().await;
    let state = world.folder.path().join("state/mailhaul");
    std::fs::create_dir_all(&state).unwrap();
    let name = std::ffi::OsString::from_vec(b"\xff.answers.json".to_vec());
    std::fs::write(state.join(name), "{").unwrap();
    let mut terminal = guide(&world);
    terminal.says("Address of your old mailbox: ");
    let said = leaves(terminal);
    assert!(!said.contains("cannot be read"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_a_pair_that_cannot_be_read_are_set_aside_by_asking_and_refuse_no_start() {
    let (world, ..) = world().await;
    let mut terminal = guide(&world);
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW).says("Password of your old");
    leaves(terminal);
    let state = world.folder.path().join("state/mailhaul");
    let file = state.join("answers.json");
    std::fs::write(&file, "{").unwrap();
    // Left where it is, nothing is written there, and other moves go on.
    let mut terminal = guide(&world);
    terminal
        .says("Your answers cannot be read")
        .says("answers.json")
        .says("aside, under another name?")
        .types("");
    terminal.says("You began to move ann@old.example").types("n");
    terminal
        .says("The file of your earlier answers stays as it is.")
        .says("Address of your old mailbox: ")
        .types(EVE)
        .says("new mailbox: ");
    leaves(terminal);
    assert_eq!(std::fs::read(&file).unwrap(), b"{");
    let mut terminal = guide(&world);
    terminal.says("aside, under another name?").types("").says("You began to move ann@old.example").types("");
    terminal.says("Password of your old mailbox");
    leaves(terminal);
    // Set aside, it is there under another name, and what is typed is kept.
    let mut terminal = guide(&world);
    terminal.says("aside, under another name?").types("y").says("It is now").says("answers.json.damaged");
    terminal.says("You began to move").types("n").says("Address of your old mailbox: ").types(EVE);
    terminal.says("new mailbox: ");
    let said = leaves(terminal);
    assert!(!said.contains("your earlier answers stays"), "{said}");
    assert_eq!(std::fs::read(state.join("answers.json.damaged")).unwrap(), b"{");
    assert!(std::fs::read_to_string(&file).unwrap().contains(EVE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_window_in_its_first_step_says_there_that_it_keeps_nothing() {
    let (world, ..) = world().await;
    let mut first = guide(&world);
    first.says("Address of your old mailbox: ");
    let mut second = guide(&world);
    second.says("Another window is in its first step, too.").says("Address of your old mailbox: ");
    leaves(second);
    let said = leaves(first);
    assert!(!said.contains("Another window"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_sets_answers_aside_that_cannot_be_read_when_it_is_told_to() {
    let (world, ..) = world().await;
    let state = world.folder.path().join(".local/state/mailhaul");
    std::fs::create_dir_all(&state).unwrap();
    for name in ["answers.json", "broken.answers.json"] {
        std::fs::write(state.join(name), "{").unwrap();
    }
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    let page = browser.get("/requirements").await;
    page.is(200)
        .says("Answers that cannot be read")
        .says("value=\"broken.answers.json\"")
        .says("is kept only once");
    browser.post("/anew", &[("aside", "../other.answers.json")]).await.leads_to("/requirements");
    browser.get("/requirements").await.is(422).says("nothing to be set aside");
    browser.post("/anew", &[("aside", "broken.answers.json")]).await.leads_to("/requirements");
    browser.post("/anew", &[("aside", "answers.json")]).await.leads_to("/requirements");
    let page = browser.get("/requirements").await;
    assert!(
        !page.is(200).body.contains("cannot be read") && !page.body.contains("is kept only once"),
        "{}",
        page.body
    );
    assert!(
        state.join("broken.answers.json.damaged").exists() && state.join("answers.json.damaged").exists()
    );
    // Another one in its first step keeps nothing, and says so there.
    let other = Serving::new(&world).await;
    other.browser().await.get("/requirements").await.says("Another window is in its first step, too.");
    drop(other);
    crate::page::prepared(&browser).await;
    crate::page::choose(&browser, &["0"], &[]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    crate::page::until_over(&browser).await;
    browser.post("/anew", &[]).await.leads_to("/");
    browser.get("/requirements").await.says("<h2>You moved</h2>").says("Its report is in the folder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_window_is_told_of_the_first_and_takes_nothing_from_it() {
    let (world, ..) = world().await;
    let mut first = guide(&world);
    first.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    first.says("Password").types(FROM_PASSWORD).says("Password of your new mailbox");

    let mut second = guide(&world);
    second.says("You began to move ann@old.example to bob@new.example.").says("Enter goes on").types("");
    second.says("Another window or a command is at work on it").says("Enter goes on").types("n");
    second.says("Address of your old mailbox: ").types(OLD).says("Address of your new mailbox: ").types(NEW);
    second.says("Another window or a command is at work on it").says("(Enter: ann@old.example): ").types(EVE);
    second.says("(Enter: bob@new.example): ").types("").says("Password of your old mailbox");

    first.types(TO_PASSWORD).says("You are in.").says("Step 4 of 5").says("Enter, numbers, or b");
    leaves(second);
    leaves(first);
    let mut third = guide(&world);
    third.says("You began:").says("  1  ").says("  2  ").says("Enter goes on with 1");
    let said = leaves(third);
    assert!(said.contains("eve@old.example to") && said.contains("ann@old.example to"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_keeps_each_move_and_leads_back_to_it() {
    let (world, ..) = world().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    crate::page::prepared(&browser).await;
    crate::page::choose(&browser, &["0"], &[]).await.leads_to("/move");
    browser.post("/anew", &[]).await.leads_to("/");
    browser.get("/requirements").await.says("You began").says("ann@old.example");
    browser.post("/requirements", &[("from", EVE), ("to", NEW)]).await.leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
    browser.get("/old").await.says(EVE);
    browser.post("/anew", &[]).await.leads_to("/");
    let page = browser.get("/requirements").await;
    let begun =
        page.says(EVE).body.split("name=\"begun\" value=\"").skip(1).map(|rest| rest.split('"').next());
    let ann = begun.flatten().find(|name| name.starts_with("ann@old.example")).unwrap().to_owned();
    browser.post("/anew", &[("begun", &ann)]).await.leads_to("/");
    browser.post("/old", &[("password", FROM_PASSWORD)]).await.leads_to("/new");
    browser.post("/new", &[("password", TO_PASSWORD)]).await.leads_to("/move");
    // A second one goes on with what this one is not at work on.
    let other = Serving::new(&world).await;
    let browser = other.browser().await;
    browser.get("/").await.leads_to("/old");
    browser.get("/old").await.says(EVE);
    browser.post("/anew", &[("begun", &ann)]).await.leads_to("/requirements");
    browser
        .get("/requirements")
        .await
        .says("Another window or a command is at work on it.")
        .says("You began");
}
