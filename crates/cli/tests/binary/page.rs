//! The local page over real HTTP: who is let in and who is not, and the whole way by its forms, as a browser without script goes it.

use crate::accounts::{FROM_PASSWORD, TO_PASSWORD, letter, program};
use crate::finding::{NEW, OLD, World};
use crate::http::{Answer, Browser, Wire};
use crate::secrets::assert_none_said;
use mailhaul_sandbox::{Sandbox, Trigger};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout};

/// The program with its page.
pub struct Serving {
    pub child: Child,
    pub port: u16,
    pub link: String,
    said: Lines<BufReader<ChildStdout>>,
}

impl Serving {
    pub async fn new(world: &World) -> Self {
        Self::with(world, &world.options()).await
    }

    /// One that knows of the world what these options say.
    pub async fn with(world: &World, options: &[PathBuf]) -> Self {
        let mut command = program(&["serve", "--no-browser", "--settle", "1"]);
        command.args(options).env("HOME", world.folder.path()).current_dir(world.folder.path());
        // What it says there is searched for secrets with the rest of the folder.
        let log = world.folder.path().join("serve.stderr");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut serving = Self { child, port: 0, link: String::new(), said };
        serving.link = serving.next_link().await;
        serving.port = serving.link.split([':', '/']).nth(4).unwrap().parse().unwrap();
        serving
    }

    async fn next_link(&mut self) -> String {
        loop {
            let line = self.said.next_line().await.unwrap().expect("the program ended");
            assert_none_said(&line);
            if let Some(link) = line.strip_prefix("  http://") {
                return format!("http://{link}");
            }
        }
    }

    /// A person presses Enter in the terminal.
    async fn press_enter(&mut self) -> String {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
        self.next_link().await
    }

    fn wire(&self) -> Wire {
        Wire { port: self.port }
    }

    /// A browser that came by the link.
    pub async fn browser(&self) -> Browser {
        Browser::let_in(self.port, &self.link).await
    }

    pub fn interrupt(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
}

const PAGES: [&str; 11] = [
    "/",
    "/requirements",
    "/found",
    "/old",
    "/new",
    "/choose",
    "/move",
    "/move/events",
    "/help",
    "/help?page=login",
    "/report/report.html",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_a_page_without_the_link_and_it_works_once() {
    let (world, _old, _new) = World::published().await;
    let mut serving = Serving::new(&world).await;
    let wire = serving.wire();
    for path in PAGES {
        let answer = wire.get(path, &[]).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("press Enter there"), "{}", answer.body);
    }
    let path = serving.link.split_once(&format!(":{}", serving.port)).unwrap().1.to_owned();
    assert_eq!(path.split('=').nth(1).unwrap().len(), 64, "256 bits");
    let wrong = format!("/enter?token={}", "0".repeat(64));
    for wrong in [wrong.as_str(), "/enter", "/enter?token=", "/enter?token=a&token=b"] {
        let answer = wire.get(wrong, &[]).await;
        assert!(answer.status == 403 || answer.status == 400, "{wrong}: {}", answer.status);
    }
    // What looks at links beforehand does not use it up.
    assert_eq!(wire.send("HEAD", &path, &[], "").await.status, 405);
    let let_in = wire.get(&path, &[("Sec-Fetch-Site", "cross-site")]).await;
    assert_eq!(let_in.status, 200, "a mail program or a terminal may have led there");
    let cookie = let_in.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("Domain"));
    let home = cookie.split("; Path=").nth(1).unwrap().split(';').next().unwrap();
    assert_eq!(home.trim_matches('/').len(), 64, "a path of 256 bits: {cookie}");
    assert!(home.starts_with('/') && home.ends_with('/') && !serving.link.contains(home.trim_matches('/')));
    let used = wire.get(&path, &[]).await;
    assert_eq!((used.status, used.header("set-cookie")), (403, None));
    assert!(used.body.contains("Press Enter in the terminal"), "{}", used.body);
    let fresh = serving.press_enter().await;
    assert_ne!(fresh, serving.link);
    let browser = Browser::let_in(serving.port, &fresh).await;
    assert_eq!(browser.get("/requirements").await.status, 200);
    let first = cookie.split(';').next().unwrap();
    let status = wire.get(&format!("{home}requirements"), &[("Cookie", first)]).await.status;
    assert_eq!(status, 403, "the link came a second time, without the cookie: one of the two took it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_without_the_secret_path_and_the_path_without_the_cookie_open_nothing() {
    let (world, old, _new) = World::published().await;
    let mut serving = Serving::new(&world).await;
    let (browser, wire) = (serving.browser().await, serving.wire());
    let link = serving.press_enter().await;
    let other = Browser::let_in(serving.port, &link).await;
    assert_ne!(browser.place, other.place);
    let (cookie, origin) = (("Cookie", browser.cookie.as_str()), ("Sec-Fetch-Site", "same-origin"));
    let body = format!("form-token={}&from={OLD}&to={NEW}", browser.form_token("/requirements").await);
    for path in PAGES {
        // What the browser gives to any server of this machine, it gives to none but under the path that only it and we know.
        for place in ["", other.place.as_str(), "/0", &"/0".repeat(2)] {
            let path = format!("{place}{path}");
            assert_eq!(wire.get(&path, &[cookie, origin]).await.status, 403, "{path}");
            assert_eq!(wire.send("POST", &path, &[cookie, origin], &body).await.status, 403, "{path}");
        }
        assert_eq!(wire.get(&browser.at(path), &[origin]).await.status, 403, "{path}");
        assert_eq!(wire.send("POST", &browser.at(path), &[origin], &body).await.status, 403, "{path}");
    }
    assert_eq!(browser.get("/found").await.status, 303, "nothing was looked for");
    assert_eq!(old.counters().logins, 0);
    assert_eq!(wire.get("/favicon.ico", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_another_site_and_another_form_are_refused_and_do_nothing() {
    let (world, old, _new) = World::published().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    let (port, wire, cookie) = (serving.port, serving.wire(), browser.cookie.clone());
    let cookie = ("Cookie", cookie.as_str());
    let requirements = &browser.at("/requirements");
    for path in PAGES.into_iter().chain(["/enter?token=x", "/assets/page.css"]) {
        for host in
            [format!("evil.example:{port}"), format!("127.0.0.1.evil.example:{port}"), "127.0.0.1".into()]
        {
            for path in [path.to_owned(), browser.at(path)] {
                let answer = wire.get_from(&host, &path, &[cookie]).await;
                assert_eq!(answer.status, 421, "{host}{path}");
            }
        }
    }
    let localhost = wire.get_from(&format!("localhost:{port}"), requirements, &[cookie]).await;
    assert_eq!(localhost.status, 200);
    for site in ["cross-site", "same-site"] {
        let answer = wire.get(requirements, &[cookie, ("Sec-Fetch-Site", site)]).await;
        assert_eq!(answer.status, 403, "{site}");
    }
    let token = browser.form_token("/requirements").await;
    let body = format!("form-token={token}&from={OLD}&to={NEW}");
    let own = format!("http://127.0.0.1:{port}");
    let origin = ("Origin", own.as_str());
    let neighbour = format!("http://127.0.0.1:{}", port ^ 1);
    let refused: [(&[(&str, &str)], &str); 10] = [
        (&[cookie], &body),
        (&[cookie, ("Origin", "null")], &body),
        (&[cookie, ("Origin", "https://evil.example")], &body),
        (&[cookie, ("Origin", neighbour.as_str())], &body),
        (&[cookie, origin, ("Sec-Fetch-Site", "cross-site")], &body),
        (&[cookie, ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")], &body),
        (&[origin], &body),
        (&[cookie, origin], &body.replacen("form-token", "token", 1)),
        (&[cookie, origin], &body.replacen(&token, &"0".repeat(64), 1)),
        (&[cookie, origin, ("Content-Type", "text/plain")], &body),
    ];
    for (headers, body) in refused {
        let answer = wire.send("POST", requirements, headers, body).await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert_eq!(browser.get("/found").await.status, 303, "nothing was looked for: {headers:?}");
    }
    for method in ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"] {
        assert_eq!(wire.send(method, requirements, &[cookie, origin], "").await.status, 405, "{method}");
    }
    let large = format!("{body}&x={}", "x".repeat(3 * 1024 * 1024));
    assert_eq!(wire.send("POST", requirements, &[cookie, origin], &large).await.status, 413);
    assert_eq!(old.counters().logins, 0);
    // The same form is taken where nothing is wrong with it.
    assert_eq!(wire.send("POST", requirements, &[cookie, origin], &body).await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_closed_against_other_sites() {
    let (world, _old, _new) = World::published().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    for path in PAGES.into_iter().chain(["/assets/page.js", "/nothing", "/enter?token=x"]) {
        for answer in [browser.get(path).await, serving.wire().get(path, &[]).await] {
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
            assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{path}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cache-control", "no-store"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.header(name).as_deref(), Some(value), "{path}");
            }
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_listens_on_loopback_alone_and_a_taken_port_is_said() {
    let (world, _old, _new) = World::published().await;
    let serving = Serving::new(&world).await;
    let port = format!(":{:04X}", serving.port);
    let listening = |table: &str| -> Vec<String> {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        let local = text.lines().filter_map(|line| line.split_whitespace().nth(1).map(str::to_owned));
        local.filter(|address| address.ends_with(&port)).collect()
    };
    let all = [listening("/proc/net/tcp"), listening("/proc/net/tcp6")].concat();
    assert!(!all.is_empty() && all.iter().all(|a| *a == format!("0100007F{port}")), "{all:?}");
    let mut second = program(&["serve", "--no-browser", "--port", &serving.port.to_string()]);
    second.env("HOME", world.folder.path());
    crate::accounts::ran(&mut second).await.expect(2).says("another --port");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_or_a_form_that_never_ends_is_given_up() {
    let (world, _old, _new) = World::published().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    let token = browser.form_token("/requirements").await;
    let form = format!(
        "POST {2} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\nOrigin: http://127.0.0.1:{0}\r\nCookie: {1}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\nform-token={token}",
        serving.port,
        browser.cookie,
        browser.at("/requirements")
    );
    let half = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nX-Slow: ", serving.port);
    for begun in [half, form] {
        let mut stream = TcpStream::connect(("127.0.0.1", serving.port)).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        // It ends by itself: this test would hang if it did not.
        let _ = stream.read_to_end(&mut all).await;
        let text = String::from_utf8_lossy(&all);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
}

/// From nothing to step 5.
pub async fn prepared(browser: &Browser) {
    let found = browser.post("/requirements", &[("from", OLD), ("to", NEW)]).await.leads_to("/found");
    let page = browser.get(&found).await;
    page.says("imaps://mail.hoster.example:993").says("imaps://imap.provider.example:993");
    browser.post("/found", &[]).await.leads_to("/old");
    browser.post("/old", &[("password", FROM_PASSWORD)]).await.leads_to("/new");
    browser.post("/new", &[("password", TO_PASSWORD)]).await.leads_to("/choose");
}

/// Continues from step 4 as its page stands, with these boxes ticked, and more.
pub async fn choose(
    browser: &Browser,
    boxes: &[&'static str],
    more: &[(&'static str, &'static str)],
) -> Answer {
    let page = browser.get("/choose").await;
    choose_of(&page, browser, boxes, more).await
}

pub async fn choose_of(
    page: &Answer,
    browser: &Browser,
    boxes: &[&'static str],
    more: &[(&'static str, &'static str)],
) -> Answer {
    let plan = page.body.split("name=\"plan\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let boxes = boxes.iter().map(|at| ("move", *at));
    let fields: Vec<(&str, &str)> = boxes.chain(more.iter().copied()).chain([("plan", plan)]).collect();
    browser.post("/choose", &fields).await
}

/// Until the page shows the end of the run.
pub async fn until_over(browser: &Browser) -> Answer {
    loop {
        let page = browser.get("/move").await;
        if !page.body.contains("data-live") {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn held(server: &Sandbox, user: &str) -> Vec<(String, usize)> {
    server.snapshot(user).into_iter().map(|m| (m.name, m.messages.len())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_without_script_goes_the_whole_way_and_no_secret_comes_back() {
    let (world, old, new) = World::published().await;
    for name in ["Work", "<b onclick=x>&bold", "Spam"] {
        old.create(OLD, name, None, true);
        old.deliver(OLD, name, letter(3), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    }
    let mut serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    // A later step before an earlier one leads back.
    browser.get("/choose").await.leads_to("/requirements");
    let nothing = browser.post("/requirements", &[("from", ""), ("to", NEW)]).await;
    assert_eq!(nothing.status, 422);
    nothing.says("There is a problem").says("An address is missing.").says(NEW);
    browser.post("/requirements", &[("from", OLD), ("to", NEW)]).await.leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
    let wrong = browser.post("/old", &[("password", "wrong-7431")]).await;
    assert_eq!(wrong.status, 422);
    wrong.says("did not let").says("Details");
    assert!(!wrong.body.contains("wrong-7431"));
    prepared(&browser).await;
    let listed = browser.get("/choose").await;
    listed.says("Choose what moves").says("&lt;b onclick=x&gt;&amp;bold").says("Work");
    assert!(!listed.body.contains("<b onclick"));
    choose(&browser, &[], &[]).await.says("No folder is chosen.");
    // INBOX first, then by name: all but Spam.
    choose(&browser, &["0", "1", "3"], &[]).await.leads_to("/move");
    browser.get("/report/report.html").await.is(404);
    browser.get("/move").await.says("Begin to move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    let over = until_over(&browser).await;
    over.says("All 7 messages are on the new server, and every one was read back and compared.");
    let arrived: usize = held(&new, NEW).iter().map(|(_, n)| n).sum();
    assert_eq!(arrived, 7, "Spam stays behind: {:?}", held(&new, NEW));
    let report = browser.get("/report/report.html").await;
    report.is(200).says("<!doctype html>");
    assert!(report.header("content-security-policy").unwrap().contains("style-src 'sha256-"));
    browser.get("/report/certificate.json").await.is(200).says("\"sha256\"");
    let manifest = browser.get("/report/manifest.ndjson").await;
    assert_eq!(manifest.is(200).body.lines().count(), 7);
    for path in
        ["/report/../answers.json", "/report/%2e%2e/answers.json", "/report/journal.sqlite", "/report/"]
    {
        browser.get(path).await.is(404);
    }
    // Other addresses: what came of these is not shown as theirs.
    let server = ("from-server", "imaps://mail.hoster.example");
    browser
        .post("/requirements", &[("from", "eve@old.example"), ("to", NEW), server])
        .await
        .leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
    browser.get("/report/report.html").await.is(404);
    browser.get("/").await.leads_to("/old");
    let seen = browser.seen();
    assert!(seen.len() > 10_000 && !seen.contains(FROM_PASSWORD) && !seen.contains(TO_PASSWORD));
    serving.interrupt();
    assert_eq!(serving.child.wait().await.unwrap().code(), Some(0));
    for file in crate::accounts::files(world.folder.path()) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains(FROM_PASSWORD) && !text.contains(TO_PASSWORD), "{}", file.display());
    }
}

/// The new server stores one message of 65 and holds the others until it is released: whoever comes in the middle comes in time, however
/// long that takes. A batch that it holds is of 32 messages at most.
pub async fn held_in_the_middle() -> (World, Sandbox, Sandbox) {
    let (world, old, new) = World::published().await;
    for n in 0..60 {
        old.deliver(OLD, "INBOX", letter(n), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    }
    new.set(|p| p.multiappend = false);
    new.hold(Trigger::Verb("APPEND", 2));
    (world, old, new)
}

/// Until the server holds a command.
pub async fn until_held(server: &Sandbox) {
    while server.struck().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Until a page shows this.
pub async fn until_says(browser: &Browser, path: &str, words: &str) -> Answer {
    loop {
        let page = browser.get(path).await;
        if page.body.contains(words) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_opened_in_the_middle_shows_where_it_stands_and_pause_and_going_on_double_nothing() {
    let (world, _old, new) = held_in_the_middle().await;
    let mut serving = Serving::new(&world).await;
    let first = serving.browser().await;
    prepared(&first).await;
    choose(&first, &["0"], &[]).await.leads_to("/move");
    first.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_held(&new).await;
    // Another browser, by another link: the run goes on whoever looks.
    let link = serving.press_enter().await;
    let second = Browser::let_in(serving.port, &link).await;
    // The new server may have a message before the page has heard of the plan.
    let page = until_says(&second, "/move", "of 65").await;
    page.says("data-live").says("INBOX");
    second.get("/old").await.leads_to("/move");
    let live = second.read_until("/move/events", |text| text.contains(" read back\n")).await;
    assert!(
        live.contains("event: whole") && live.contains("event: said") && live.contains("messages moved"),
        "{live}"
    );
    second.post("/move", &[("do", "pause")]).await.leads_to("/move");
    new.release();
    let paused = until_over(&first).await;
    paused.says("Paused").says("of 65 messages are moved").says("Go on");
    let so_far = new.counters().appended;
    assert!(so_far < 65, "{so_far}");
    first.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_over(&first).await.says("All 65 messages are on the new server");
    assert_eq!(new.counters().appended, 65);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_stops_at_a_safe_point_and_the_next_start_asks_for_the_passwords_alone() {
    let (world, _old, new) = held_in_the_middle().await;
    let mut serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    prepared(&browser).await;
    choose(&browser, &["0"], &[]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_held(&new).await;
    serving.interrupt();
    until_says(&browser, "/move", "Stopping at the next safe point").await;
    new.release();
    assert_eq!(serving.child.wait().await.unwrap().code(), Some(130));
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    browser.get("/").await.leads_to("/old");
    browser.post("/old", &[("password", FROM_PASSWORD)]).await.leads_to("/new");
    browser.post("/new", &[("password", TO_PASSWORD)]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_over(&browser).await.says("All 65 messages are on the new server");
    assert_eq!(new.counters().appended, 65);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_that_is_there_already_is_decided_about_before_anything_moves() {
    let (world, _old, new) = World::published().await;
    new.deliver(NEW, "INBOX", letter(0), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    prepared(&browser).await;
    browser.get("/choose").await.says("Mail that is in the new mailbox already").says("holds mail already");
    choose(&browser, &["0"], &[]).await.is(422).says("It is not decided");
    browser.get("/move").await.leads_to("/choose");
    choose(&browser, &["0"], &[("already", "recognise")]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_over(&browser).await.says("All 5 messages are on the new server");
    assert_eq!(held(&new, NEW), [("INBOX".to_owned(), 5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_new_server_refuses_can_be_tried_again_and_moved_inside_a_cover_message() {
    let (world, old, new) = World::published().await;
    let bad = "From: scanner\r\nthis line of the header has no colon\r\nSubject: Scan\r\n\r\nScan\r\n";
    old.deliver(OLD, "INBOX", bad.to_owned(), "", "03-Mar-2020 10:11:12 +0100").unwrap();
    new.set(|p| p.refuse_bad_header = true);
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    prepared(&browser).await;
    choose(&browser, &["0"], &[]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    let needs = until_over(&browser).await;
    needs.says("5 of 6 messages are on the new server. 1 needs you.").says("Refused by the new server.");
    needs.says("Try these again").says("Move what is refused inside a cover message");
    browser.post("/move", &[("do", "retry")]).await.leads_to("/move");
    until_over(&browser).await.says("5 of 6 messages are on the new server.");
    browser.post("/move", &[("do", "repair")]).await.leads_to("/move");
    let done = until_over(&browser).await;
    assert_eq!(held(&new, NEW), [("INBOX".to_owned(), 6)]);
    assert!(!done.body.contains("Try these again"), "{}", done.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_moves_that_the_page_did_not_show() {
    let (world, old, new) = World::published().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    prepared(&browser).await;
    let stale = browser.get("/choose").await;
    // Another place for everything: it is shown first where each folder goes then.
    let elsewhere = choose(&browser, &["0"], &[("into", "Old mail")]).await;
    elsewhere.is(422).says("Now something else moves than the page showed.").says("Old mail/");
    // A page that was left open is about something else.
    choose_of(&stale, &browser, &["0"], &[]).await.is(422).says("is not what you were shown any more");
    choose(&browser, &["0"], &[]).await.is(422).says("Now something else moves");
    choose(&browser, &["0"], &[]).await.leads_to("/move");
    // A folder that came since.
    old.create(OLD, "Late", None, true);
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    let asked = until_over(&browser).await;
    asked.says("is not what you were shown any more").says("Late").says("Choose what moves");
    assert_eq!(new.counters().appended, 0);
    // Until it is looked at, nothing begins.
    browser.post("/move", &[("do", "begin")]).await.says("This step has to be done first");
    choose(&browser, &["0", "1"], &[]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_over(&browser).await.says("All 5 messages are on the new server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_run_looks_at_both_accounts_once_more_and_not_twice() {
    let (world, old, new) = World::published().await;
    let serving = Serving::new(&world).await;
    let browser = serving.browser().await;
    prepared(&browser).await;
    let lists = |server: &Sandbox| server.counters().commands.get("LIST").copied().unwrap_or_default();
    let before = [lists(&old), lists(&new)];
    choose(&browser, &["0"], &[]).await.leads_to("/move");
    let look = [lists(&old) - before[0], lists(&new) - before[1]];
    assert!(look.iter().all(|lists| *lists > 0), "step 4 looks at both: {look:?}");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_over(&browser).await.says("All 5 messages are on the new server");
    let run = [lists(&old) - before[0] - look[0], lists(&new) - before[1] - look[1]];
    assert_eq!(run[0], look[0], "what can have changed since is looked at once");
    assert!(run[1] <= look[1] + 1, "and after making mailboxes: {run:?} {look:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_with_a_link_that_another_one_used_ends_what_it_opened() {
    let (world, ..) = World::published().await;
    let mut serving = Serving::new(&world).await;
    let path = serving.link.split_once(&format!(":{}", serving.port)).unwrap().1.to_owned();
    let thief = Browser::let_in(serving.port, &serving.link.clone()).await;
    thief.get("/requirements").await.is(200);
    let wire = serving.wire();
    assert_eq!(wire.get(&path, &[]).await.status, 403);
    thief.get("/requirements").await.is(403);
    let link = serving.press_enter().await;
    Browser::let_in(serving.port, &link).await.get("/requirements").await.is(200);
}
