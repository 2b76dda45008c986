//! What the page shows of a run that waits for a server, and of one that a person stops.

use crate::finding::World;
use crate::page::{Serving, choose, held_in_the_middle, prepared, until_held, until_over};
use mailhaul_sandbox::{Fault, Planned, Trigger};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_waited_for_is_shown_as_long_as_it_lasts_and_a_stop_ends_the_wait() {
    let (world, _old, new) = World::published().await;
    let words = "BAD Request is throttled. Suggested Backoff Time: 600000 milliseconds".to_owned();
    new.plan(Planned::once(Trigger::Verb("APPEND", 1), Fault::Answer(words)));
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    prepared(&browser).await;
    choose(&browser, &["0"], &[]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    let banner = "asked us to wait until ";
    let live = browser.read_until("/move/events", |text| text.contains(banner)).await;
    assert!(live.contains("event: whole"), "{live}");
    let page = browser.get("/move").await;
    page.says(banner);
    // One way to stop, which says how it goes on.
    assert!(page.says("value=\"pause\"").body.matches("name=\"do\"").count() == 1, "{}", page.body);
    assert!(!page.body.contains("Backoff Time"), "a server's words are for engineers: {}", page.body);
    browser.post("/move", &[("do", "pause")]).await.leads_to("/move");
    let stopped = until_over(&browser).await;
    stopped.says("Paused").says("of 5 messages are moved").says("Go on");
    assert!(!stopped.body.contains(banner), "nothing is waited for any more: {}", stopped.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_stopped_goes_on_and_doubles_nothing() {
    let (world, _old, new) = held_in_the_middle().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    prepared(&browser).await;
    choose(&browser, &["0"], &[]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_held(&new).await;
    browser.post("/move", &[("do", "pause")]).await.leads_to("/move");
    new.release();
    until_over(&browser)
        .await
        .says("Paused")
        .says("Nothing is lost or doubled by that.")
        .says("press Ctrl-C");
    assert!(new.counters().appended < 65, "{}", new.counters().appended);
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_over(&browser).await.says("All 65 messages are on the new server");
    assert_eq!(new.counters().appended, 65);
}
