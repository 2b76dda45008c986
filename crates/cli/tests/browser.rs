//! A real browser moves the sample account through the page, from nothing to the certificate: Chromium without a window, driven by
//! `browser/walk.mjs`. Pictures are left in `target/browser`.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

use mailhaul_sandbox::{Sandbox, Trigger, demo};
use mailhaul_testkit::web::silent;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The browser, Node, and the folder with the walk; or what is missing.
fn tools() -> Result<(PathBuf, PathBuf, PathBuf), &'static str> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let chromium = BROWSERS.iter().find_map(|name| program(name)).ok_or("no Chromium")?;
    let node = program("node").ok_or("no Node")?;
    let has_packages =
        ["playwright-core", "axe-core"].iter().all(|p| folder.join("node_modules").join(p).exists());
    if has_packages {
        Ok((chromium, node, folder))
    } else {
        Err("no npm packages (.ci/install fetches them)")
    }
}

/// What the walk asks for.
fn make_it_so(new: &Sandbox, change: &str) {
    match change {
        "no room" => new.set(|p| p.quota_octets = Some(1000)),
        "room and mail" => {
            new.set(|p| p.quota_octets = None);
            let letter = "From: eve@else.example\r\nSubject: before\r\n\r\nText\r\n";
            new.deliver(demo::USER, "INBOX", letter, "", "03-Mar-2020 10:11:12 +0100").unwrap();
        }
        "hold" => new.hold(Trigger::Verb("APPEND", 1)),
        "let go" => new.release(),
        "quick" => new.set(|p| p.commit_delay = Duration::ZERO),
        other => panic!("what is {other:?}?"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_moves_the_sample_account_from_the_link_to_the_certificate() {
    let (chromium, node, folder) = match tools() {
        Ok(tools) => tools,
        Err(missing) => {
            assert!(std::env::var_os("MAILHAUL_REQUIRE_SERVERS").is_none(), "{missing}");
            println!("not run: the page in a browser: {missing}");
            return;
        }
    };
    let (old, new) = (demo::source(), demo::target());
    // Until the walk has it held, closed and opened the page in the middle.
    new.set(|p| (p.commit_delay, p.multiappend) = (Duration::from_millis(500), false));
    let (from, to) = (old.listen_loopback().await.unwrap(), new.listen_loopback().await.unwrap());
    let home = tempfile::tempdir().unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_mailhaul"));
    serve.args(["serve", "--no-browser", "--settle", "1"]).env_clear().env("HOME", home.path());
    serve.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut serving = serve.spawn().unwrap();
    let mut said = BufReader::new(serving.stdout.take().unwrap()).lines();
    let link = loop {
        let line = said.next_line().await.unwrap().expect("the program ended");
        if line.starts_with("  http://") {
            break line.trim().to_owned();
        }
    };
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("browser");
    let mut walk = Command::new(node);
    walk.arg("walk.mjs").arg(&link).arg(&pictures).current_dir(folder).kill_on_drop(true);
    walk.env("FROM", format!("imap+insecure://{}", from.address))
        .env("TO", format!("imap+insecure://{}", to.address));
    walk.env("SILENT", format!("imap+insecure://{}", silent().await.unwrap()));
    walk.env("USER", demo::USER).env("PASSWORD", demo::PASSWORD).env("CHROMIUM", chromium);
    let mut walk = walk.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answers = walk.stdin.take().unwrap();
    let mut lines = BufReader::new(walk.stdout.take().unwrap()).lines();
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        println!("{line}");
        if let Some(change) = line.strip_prefix('!') {
            make_it_so(&new, change);
            answers.write_all(b"done\n").await.unwrap();
        }
        last = line;
    }
    assert!(
        walk.wait().await.unwrap().success() && last == "done",
        "see above; pictures: {}",
        pictures.display()
    );
    let expected = demo::expected();
    // What was there before.
    new.expunge(demo::USER, "INBOX", 1);
    let arrived: usize = new.snapshot(demo::USER).iter().map(|m| m.messages.len()).sum();
    assert_eq!(arrived as u64, expected.verified, "nothing twice");
}
