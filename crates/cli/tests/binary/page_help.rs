//! The documents on the local page: reached from every step and from an advice, each link leading somewhere.

use crate::finding::{NEW, OLD, World};
use crate::page::Serving;
use std::collections::BTreeSet;

/// Addresses of help in a page, without headings.
fn helps(body: &str) -> BTreeSet<String> {
    let links = body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let helps = links.filter(|link| link.starts_with("help"));
    helps.map(|link| link.split('#').next().unwrap().replace("&amp;", "&")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_is_reached_from_a_step_and_every_page_of_it_from_there() {
    let (world, ..) = World::published().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    let step = browser.get("/requirements").await;
    assert_eq!(helps(&step.body), BTreeSet::from(["help".to_owned()]));
    // What was typed there is not thrown away.
    step.says("<a href=\"help\" target=\"_blank\" rel=\"noopener noreferrer\">Help (opens beside)</a>");
    let (mut open, mut seen) = (vec!["help".to_owned()], BTreeSet::new());
    while let Some(link) = open.pop() {
        if !seen.insert(link.clone()) {
            continue;
        }
        let page = browser.get(&format!("/{link}")).await;
        page.is(200).says("Back to your move").says("href=\"./\"");
        let values = page.body.split("=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let out: Vec<&str> = values.filter(|value| value.contains("://")).collect();
        assert!(out.is_empty(), "{link} leads out, or loads something: {out:?}");
        open.extend(helps(&page.body));
    }
    assert!(seen.len() > 25 && seen.contains("help?page=start-here"), "{seen:?}");
    browser.get("/help?page=nothing").await.is(404);
    browser.get("/help?page=..%2Fstatus").await.is(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_leads_to_what_stands_about_it() {
    let (world, ..) = World::published().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    browser.post("/requirements", &[("from", OLD), ("to", NEW)]).await.leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
    let refused = browser.post("/old", &[("password", "not this one")]).await;
    refused.is(422).says(
        "<a href=\"help?page=login#a-wrong-password\" target=\"_blank\" rel=\"noopener noreferrer\">More about this (opens \
         beside)</a>",
    );
    assert!(
        !refused.body.contains("login.md") && !refused.body.contains("mailhaul docs"),
        "{}",
        refused.body
    );
    browser.get("/help?page=login").await.is(200).says("<h2 id=\"a-wrong-password\">A wrong password</h2>");
}
