//! Several moves that were begun: each keeps its own answers, and two windows do not write over one another's.

use crate::accounts::{FROM_PASSWORD, TO_PASSWORD, letter};
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
    assert_eq!(terminal.ends().0, 0);
    assert_eq!(new.counters().appended, 5, "what was left out stays left out");

    // One that cannot be read is told, and hides no other.
    let state = world.folder.path().join("state/mailhaul");
    std::fs::write(state.join("broken.answers.json"), "{").unwrap();

    // The same two addresses, typed again, are the same move.
    let mut terminal = guide(&world);
    terminal.says("Your answers cannot be read").says("broken.answers.json");
    terminal.says("You began:").says("  1  ann@old.example").says("Enter goes on with 1").types("n");
    terminal.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    terminal.says("Password").types(FROM_PASSWORD).says("Password").types(TO_PASSWORD).says("Step 5 of 5");
    leaves(terminal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_window_is_told_of_the_first_and_takes_nothing_from_it() {
    let (world, ..) = world().await;
    let mut first = guide(&world);
    first.says("old mailbox: ").types(OLD).says("new mailbox: ").types(NEW);
    first.says("Password").types(FROM_PASSWORD).says("Password of your new mailbox");

    let mut second = guide(&world);
    second.says("You began to move ann@old.example to bob@new.example.").says("Enter goes on").types("");
    second.says("Another window is at work on it").says("Enter goes on").types("n");
    second.says("Address of your old mailbox: ").types(OLD).says("Address of your new mailbox: ").types(NEW);
    second.says("Another window is at work on it").says("(Enter: ann@old.example): ").types(EVE);
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
    browser.get("/requirements").await.says("Another window is at work on it.").says("You began");
}
