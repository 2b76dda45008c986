//! The binary alone, on a machine without a network: the demo, its report, the page.
#![cfg(target_os = "linux")]

use crate::accounts::ran;
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

/// As on Windows, where that stack has 1 MiB.
#[tokio::test]
async fn the_demo_needs_no_large_stack_of_the_first_thread() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -s 1024; exec \"$0\" demo", env!("CARGO_BIN_EXE_mailhaul")]);
    command.current_dir(folder.path()).env("HOME", folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    ran(&mut command).await.expect(0);
}
