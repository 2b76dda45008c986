//! Logins on the local page beside that by password: at the provider's own page, and to a server whose certificate nobody vouches for.

use crate::accounts::{FROM_PASSWORD, TO_PASSWORD, files};
use crate::finding::{NEW, World, tries};
use crate::http::{Browser, WAIT};
use crate::page::Serving;
use mailhaul_sandbox::Sandbox;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const USER: &str = "ann@gmail.com";
const TOKEN: &str = "ya29.rowan-5512-token";
const REFRESH: &str = "whitebeam-8841-refresh";
const CODE: &str = "4/hawthorn-2209-code";

/// An account at Google, whose tokens come from here; and what the issuer was asked.
async fn at_google() -> (World, Sandbox, Arc<Mutex<Vec<String>>>) {
    let (world, ..) = World::published().await;
    let google = world.imap("imap.gmail.com", USER, FROM_PASSWORD).await;
    google.set(|profile| profile.mechanisms = vec!["XOAUTH2"]);
    google.set_token(TOKEN, Some(USER));
    let (acceptor, listener) =
        (world.acceptor(&["oauth2.googleapis.com"]), TcpListener::bind("127.0.0.1:0").await.unwrap());
    world.add("oauth2.googleapis.com:443", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            let mut octets = Vec::new();
            while !String::from_utf8_lossy(&octets).contains("client_id=") {
                if stream.read_buf(&mut octets).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            seen.lock().unwrap().push(String::from_utf8_lossy(&octets).into_owned());
            let body = format!(
                r#"{{"access_token":"{TOKEN}","token_type":"Bearer","expires_in":3600,"refresh_token":"{REFRESH}"}}"#
            );
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (world, google, asked)
}

async fn to_the_login(browser: &Browser) {
    let server = ("from-server", "imaps://imap.gmail.com");
    browser.post("/requirements", &[("from", USER), ("to", NEW), server]).await.leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
}

/// The address that the page sends the person to.
async fn address(browser: &Browser) -> String {
    loop {
        let page = browser.look(WAIT).await;
        page.is(200);
        if let Some(after) = page.body.split("href=\"https://accounts.google.com/").nth(1) {
            page.says("Log in at your provider").says("rel=\"noopener noreferrer\"").says("Give up");
            return after.split('"').next().unwrap().replace("&amp;", "&");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the provider's page does when the person has decided: it sends the browser back.
async fn comes_back(address: &str, with: &str, status: u16) {
    let value = |name: &str| {
        let found = address.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        found.unwrap().replace("%3A", ":").replace("%2F", "/")
    };
    let at = value("redirect_uri").strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&at).await.unwrap();
    let request =
        format!("GET /?state={}&{with} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n", value("state"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_at_the_provider_is_led_to_by_the_page_and_leaves_no_token_there() {
    let (world, google, asked) = at_google().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    to_the_login(&browser).await;
    browser.get("/old").await.says("Log in at the provider instead").says("Client id");
    let way = [("issuer", "google"), ("client", "")];
    browser.post("/old", &way).await.is(422).says("The client id is missing.");
    let way = [("issuer", "google"), ("client", "mover")];
    // Whoever says no there is told so here, and can try again.
    browser.send("/old", &way).await.leads_to(WAIT);
    comes_back(&address(&browser).await, "error=access_denied", 400).await;
    browser.get(WAIT).await.leads_to("/old");
    browser.get("/old").await.is(422).says("There is a problem").says("value=\"mover\"");
    // Given up, the address comes to nothing.
    browser.send("/old", &way).await.leads_to(WAIT);
    address(&browser).await;
    browser.send(WAIT, &[("do", "give-up")]).await.leads_to("/old");
    assert!(asked.lock().unwrap().is_empty() && tries(&google) == 0);
    browser.send("/old", &way).await.leads_to(WAIT);
    let there = address(&browser).await;
    assert!(there.contains("client_id=mover") && there.contains("login_hint=ann%40gmail.com"), "{there}");
    comes_back(&there, &format!("code={}", CODE.replace('/', "%2F")), 200).await;
    browser.get(WAIT).await.leads_to("/new");
    assert_eq!(google.counters().mechanisms.into_keys().collect::<Vec<_>>(), ["XOAUTH2"]);
    assert_eq!(asked.lock().unwrap().len(), 1);
    browser.post("/new", &[("password", TO_PASSWORD)]).await.leads_to("/choose");
    browser.get("/choose").await.is(200).says("Folders that move");
    for secret in [TOKEN, REFRESH, CODE] {
        assert!(!browser.seen().contains(secret), "{secret}");
    }
    let holding: Vec<_> = files(world.folder.path())
        .into_iter()
        .filter(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).contains(REFRESH))
        .collect();
    assert!(holding.len() == 1 && holding[0].extension().is_some_and(|end| end == "token"), "{holding:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_vouches_for_is_shown_and_gets_a_password_only_when_a_person_does() {
    let (world, old, new) = World::published().await;
    // The CA of this world is not known, nor are its web sites believed: the servers are named.
    let serving = Serving::with(&world, &world.options()[..2]).await;
    let browser = serving.browser().await;
    let named = [
        ("from", "imaps://ann%40old.example@mail.hoster.example"),
        ("to", "imaps://bob%40new.example@imap.provider.example"),
    ];
    browser.post("/requirements", &named).await.leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
    let mut shown = Vec::new();
    for (step, next, password) in [("/old", "/new", FROM_PASSWORD), ("/new", "/choose", TO_PASSWORD)] {
        let page = browser.post(step, &[("password", password)]).await;
        page.is(422).says("There is a problem").says("I know this certificate and trust it");
        let hex = page.body.split("name=\"certificate\" value=\"").nth(1).unwrap();
        let hex = hex.split('"').next().unwrap().to_owned();
        assert_eq!(hex.len(), 64, "a SHA-256");
        let other = "0".repeat(64);
        browser.post(step, &[("certificate", other.as_str())]).await.is(422).says("is not the certificate");
        browser.post(step, &[("password", password)]).await.is(422);
        assert_eq!(if step == "/old" { tries(&old) } else { tries(&new) }, 0, "no password was sent");
        browser.post(step, &[("certificate", hex.as_str())]).await.is(200).says("Now log in.");
        browser.post(step, &[("password", password)]).await.leads_to(next);
        shown.push(hex);
    }
    assert_ne!(shown[0], shown[1]);
    assert_eq!((tries(&old), tries(&new)), (1, 1));
    browser.get("/choose").await.is(200).says("Folders that move");
    // What was vouched for at one server is not vouched for at another.
    let mixed = [named[0], ("to", "imaps://bob%40new.example@mail.hoster.example")];
    browser.post("/requirements", &mixed).await.leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
    browser.post("/old", &[("password", FROM_PASSWORD)]).await.leads_to("/new");
    browser.post("/new", &[("password", TO_PASSWORD)]).await.is(422).says("trust it");
}
