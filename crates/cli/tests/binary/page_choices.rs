//! The local page where something is typed wrong, or stands in the way: what is said, and what can be done about it on that page.

use crate::finding::{NEW, OLD, World};
use crate::page::{Serving, choose, prepared, until_over};

/// As when the new mailbox is too small: with less, it may fit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_something_is_in_the_way_folders_can_be_left_out_until_it_is_not() {
    let (world, old, new) = World::published().await;
    old.create(OLD, "Large", None, true);
    let large = format!("Subject: large\r\n\r\n{}\r\n", "x".repeat(5000));
    old.deliver(OLD, "Large", large, "", "03-Mar-2020 10:11:12 +0100").unwrap();
    new.set(|profile| profile.quota_octets = Some(2000));
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    prepared(&browser).await;
    let page = browser.get("/choose").await;
    page.says("Something is in the way").says("leave folders out").says("Folders that move").says("Large");
    page.says("Look again");
    let again = ("again", "yes");
    choose(&browser, &["0", "1"], &[again]).await.leads_to("/choose");
    browser.get("/choose").await.says("Something is in the way");
    choose(&browser, &[], &[again]).await.says("No folder is chosen.");
    choose(&browser, &["0"], &[again]).await.leads_to("/choose");
    let page = browser.get("/choose").await;
    assert!(!page.says("Large").says("Continue").body.contains("in the way"), "{}", page.body);
    choose(&browser, &["0"], &[]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_over(&browser).await.says("All 5 messages are on the new server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_address_is_said_in_words_of_a_person() {
    let (world, ..) = World::published().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    let page = browser.post("/requirements", &[("from", "pw"), ("to", NEW)]).await;
    page.says("The address of your old mailbox is no mail address.").says("Write it like ann@example.org.");
    page.says("href=\"#from\"");
    let page = browser.post("/requirements", &[("from", OLD), ("to", "bob@localhost")]).await;
    page.says("cannot be looked for").says("Name the server").says("href=\"#to-server\"");
    for jargon in ["URL", "imaps:", "xn--", "name service"] {
        assert!(!page.body.contains(jargon), "{jargon}: {}", page.body);
    }
}
