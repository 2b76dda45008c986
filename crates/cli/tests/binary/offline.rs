//! The binary alone, on a machine without a network: the demo, its report, the page.
#![cfg(target_os = "linux")]

use crate::accounts::ran;
use crate::finding::World;
use crate::page::{Serving, choose, until_over};
use mailhaul_sandbox::demo;
use std::process::Stdio;
use tokio::process::Command;

/// Runs a script where there is no network but the machine itself. `None` where this machine lets nobody make such a place.
async fn without_network(script: &str) -> Option<crate::accounts::Ran> {
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        let script = format!("ip link set lo up || exit 97; {script}");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c", &script]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    let possible = inside("true").stderr(Stdio::null()).status().await;
    if !possible.is_ok_and(|status| status.success()) {
        println!("not run: no network namespace can be made here");
        return None;
    }
    let mut command = inside(script);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("MAILHAUL", env!("CARGO_BIN_EXE_mailhaul"));
    Some(ran(&mut command).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_and_report_are_complete_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let script = format!("export HOME={place}; cd {place}; \"$MAILHAUL\" demo");
    let Some(demo) = without_network(&script).await else { return };
    demo.expect(0).says("154 of 155 messages are on the new server");
    let report = folder.path().join("mailhaul-report/demo");
    let page = std::fs::read_to_string(report.join("report.html")).unwrap();
    assert!(page.contains("How the numbers add up"), "{page}");
    // It names no address that anything would be loaded from.
    for loads in ["src=\"http", "href=\"http", "url(http", "@import"] {
        assert!(!page.contains(loads), "{loads}");
    }
    for file in ["certificate.json", "certificate.json.sig", "manifest.ndjson", "report.json"] {
        assert!(report.join(file).exists(), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_answers_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    // The link is the one line that begins so; what it leads to is asked for by the shell itself, once it is told.
    let script = format!(
        "export HOME={place}; cd {place}; mkfifo said; \"$MAILHAUL\" serve --no-browser > said & page=$!; \
         while read -r line; do case $line in http://*) break;; esac; done < said; \
         bash -c 'rest=${{1#http://}}; host=${{rest%%/*}}; exec 3<>/dev/tcp/127.0.0.1/${{host#*:}}; \
         printf \"GET /${{rest#*/}} HTTP/1.1\\r\\nHost: $host\\r\\nConnection: close\\r\\n\\r\\n\" >&3; cat <&3' sh \"$line\"; \
         kill -INT $page; wait $page"
    );
    let Some(said) = without_network(&script).await else { return };
    assert!(said.stdout.starts_with("HTTP/1.1 200"), "{said:#?}");
    said.says("You are in").says("/assets/page.css");
}

/// Where this is set, there is no network: asserted below.
const NO_NETWORK: &str = "MAILHAUL_TEST_WITHOUT_NETWORK";

/// The interfaces that there are.
fn interfaces() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/dev").unwrap();
    table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_steps_lead_from_the_link_to_the_certificate_between_the_demo_servers() {
    if std::env::var_os(NO_NETWORK).is_some() {
        assert_eq!(interfaces(), ["lo"]);
        assert!(
            std::net::UdpSocket::bind("0.0.0.0:0").unwrap().connect("192.0.2.1:53").is_err(),
            "a way out"
        );
    }
    let (old, new) = (demo::source(), demo::target());
    let (from, to) = (old.listen_loopback().await.unwrap(), new.listen_loopback().await.unwrap());
    let (world, ..) = World::published().await;
    let serving = Serving::with(&world, &[]).await;
    let browser = serving.browser().await;
    let [from, to] = [&from, &to].map(|server| format!("imap+insecure://{}", server.address));
    let typed = [
        ("from", demo::USER),
        ("to", demo::USER),
        ("from-server", from.as_str()),
        ("to-server", to.as_str()),
    ];
    browser.post("/requirements", &typed).await.leads_to("/found");
    browser.post("/found", &[]).await.leads_to("/old");
    browser.post("/old", &[("password", demo::PASSWORD)]).await.leads_to("/new");
    browser.post("/new", &[("password", demo::PASSWORD)]).await.leads_to("/choose");
    choose(&browser, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"], &[]).await.leads_to("/move");
    browser.post("/move", &[("do", "begin")]).await.leads_to("/move");
    until_over(&browser).await.says("154 of 155 messages are on the new server. 1 needs you.");
    browser.get("/report/report.html").await.is(200).says("How the numbers add up");
    browser.get("/report/certificate.json").await.is(200).says("\"complete-with-exceptions\"");
    browser.get("/help?page=what-the-proof-means").await.is(200).says("What the proof means");
    let arrived: usize = new.snapshot(demo::USER).iter().map(|m| m.messages.len()).sum();
    assert_eq!(arrived as u64, demo::expected().verified);
}

/// This test program once more, in there, with the test above alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_steps_need_no_network() {
    let (program, here) = (std::env::current_exe().unwrap(), module_path!());
    let inner = "the_five_steps_lead_from_the_link_to_the_certificate_between_the_demo_servers";
    let module = here.split_once("::").unwrap().1;
    let script = format!("export {NO_NETWORK}=1; exec '{}' --exact {module}::{inner}", program.display());
    let Some(walked) = without_network(&script).await else { return };
    walked.expect(0).says("test result: ok. 1 passed");
}

/// As on Windows, where that stack has 1 MiB.
#[tokio::test]
async fn the_demo_needs_no_large_stack_of_the_first_thread() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -s 1024; exec \"$0\" demo", env!("CARGO_BIN_EXE_mailhaul")]);
    command.current_dir(folder.path()).env("HOME", folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    ran(&mut command).await.expect(0);
}
