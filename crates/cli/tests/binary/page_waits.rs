//! The local page while a server does not answer: every page of steps 1 to 4 shows what is waited for and can give it up, and the
//! program ends when it is told to. The servers here never answer at all, so that none of these tests ends where a page waits.

use crate::accounts::{FROM_PASSWORD, TO_PASSWORD};
use crate::finding::{NEW, OLD, WELL_KNOWN, World, autoconfig, tries};
use crate::http::{Browser, WAIT};
use crate::page::{Serving, prepared};
use mailhaul_sandbox::{Fault, Sandbox};
use mailhaul_testkit::web::silent;
use std::time::Duration;

const STEPS: [&str; 6] = ["/requirements", "/found", "/old", "/new", "/choose", "/move"];

/// Until the server has stopped answering.
async fn until_silent(server: &Sandbox) {
    while server.struck().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every page shows what is waited for, whatever is asked of it; giving it up leads to `step`.
async fn waits_and_gives_up(browser: &Browser, says: &str, step: &str) {
    let page = browser.look(WAIT).await;
    page.is(200).says(says).says("Give up").says("<noscript><meta http-equiv=\"refresh\"");
    for path in STEPS {
        browser.look(path).await.is(200).says(says);
        let sent = browser.send(path, &[("from", "eve@old.example"), ("password", "another")]).await;
        if path == "/move" {
            sent.leads_to("/move");
        } else {
            sent.is(200).says(says);
        }
    }
    browser.send(WAIT, &[]).await.leads_to(WAIT);
    browser.look(WAIT).await.says(says);
    browser.send(WAIT, &[("do", "give-up")]).await.leads_to(step);
    browser.look(WAIT).await.leads_to(step);
    let page = browser.look(step).await;
    assert!(!page.is(200).waits(), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_for_servers_can_be_given_up_and_what_was_typed_is_kept() {
    let (world, old, _new) = World::published().await;
    world.add("slow.example:443", silent().await.unwrap());
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    browser.send("/requirements", &[("from", "ann@slow.example"), ("to", NEW)]).await.leads_to(WAIT);
    waits_and_gives_up(&browser, "Looking for your servers", "/requirements").await;
    browser.look("/requirements").await.says("value=\"ann@slow.example\"").says(NEW);
    browser.look("/found").await.leads_to("/requirements");
    assert_eq!(tries(&old), 0);
    // What was given up comes to nothing later; another answer does.
    prepared(&browser).await;
    browser.get("/choose").await.is(200).says("Folders that move");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_can_be_given_up_and_lets_nobody_in() {
    let (world, old, _new) = World::published().await;
    world.page("old.example", WELL_KNOWN, &autoconfig("silent.example"));
    world.add("silent.example:993", silent().await.unwrap());
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    browser.post("/requirements", &[("from", OLD), ("to", NEW)]).await.leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
    browser.send("/old", &[("password", FROM_PASSWORD)]).await.leads_to(WAIT);
    browser.look(WAIT).await.says("imaps://silent.example:993");
    waits_and_gives_up(&browser, "Logging in to your old mailbox", "/old").await;
    browser.look("/new").await.leads_to("/old");
    // The addresses are kept; another server is named, and it goes on.
    let server = ("from-server", "imaps://mail.hoster.example");
    browser.post("/requirements", &[("from", OLD), ("to", NEW), server]).await.leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
    browser.post("/old", &[("password", FROM_PASSWORD)]).await.leads_to("/new");
    assert_eq!(tries(&old), 1);
    assert!(!browser.seen().contains(FROM_PASSWORD));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_look_at_both_mailboxes_can_be_given_up_and_asked_for_again() {
    let (world, old, new) = World::published().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    prepared(&browser).await;
    old.inject(Fault::Silence);
    browser.look("/choose").await.is(200).says("Looking at both mailboxes");
    until_silent(&old).await;
    waits_and_gives_up(&browser, "Looking at both mailboxes", "/choose").await;
    let given_up = browser.look("/choose").await;
    assert!(!given_up.says("Look again").body.contains("There is a problem"), "{}", given_up.body);
    browser.send("/choose", &[("again", "yes")]).await.leads_to("/choose");
    browser.get("/choose").await.is(200).says("Folders that move").says("INBOX");
    assert_eq!(new.counters().appended, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_ends_while_a_server_is_waited_for() {
    for waits in ["find", "log in", "look"] {
        let (world, old, _new) = World::published().await;
        world.add("slow.example:443", silent().await.unwrap());
        world.add("silent.example:993", silent().await.unwrap());
        let mut serving = Serving::new(&world).await;
        let browser = serving.browser().await;
        match waits {
            "find" => {
                let fields = [("from", "ann@slow.example"), ("to", NEW)];
                browser.send("/requirements", &fields).await.leads_to(WAIT);
            }
            "log in" => {
                let server = ("from-server", "imaps://silent.example");
                browser.post("/requirements", &[("from", OLD), ("to", NEW), server]).await.leads_to("/found");
                browser.post("/found", &[]).await.leads_to("/old");
                browser.send("/old", &[("password", FROM_PASSWORD)]).await.leads_to(WAIT);
            }
            _ => {
                browser.post("/requirements", &[("from", OLD), ("to", NEW)]).await.leads_to("/found");
                browser.post("/found", &[]).await.leads_to("/old");
                browser.post("/old", &[("password", FROM_PASSWORD)]).await.leads_to("/new");
                browser.post("/new", &[("password", TO_PASSWORD)]).await.leads_to("/choose");
                old.inject(Fault::Silence);
                browser.look("/choose").await.says("Looking at both mailboxes");
                until_silent(&old).await;
            }
        }
        browser.look(WAIT).await.is(200).says("Give up");
        serving.interrupt();
        assert_eq!(serving.child.wait().await.unwrap().code(), Some(0), "{waits}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_with_script_hears_when_it_is_over() {
    let (world, ..) = World::published().await;
    world.add("slow.example:443", silent().await.unwrap());
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    browser.send("/requirements", &[("from", "ann@slow.example"), ("to", NEW)]).await.leads_to(WAIT);
    let (events, ()) =
        tokio::join!(browser.read_until("/wait/events", |text| text.contains("event: over")), async {
            _ = browser.send(WAIT, &[("do", "give-up")]).await.leads_to("/requirements")
        });
    assert!(events.contains("event: over"), "{events}");
    // Whoever comes too late is told at once.
    browser.read_until("/wait/events", |text| text.contains("event: over")).await;
}
