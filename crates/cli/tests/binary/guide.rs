//! What the guide shows of the program's words is what the program says, and its scripts do what it says of them.

use crate::accounts::{FROM_PASSWORD, Pair, Ran, TO_PASSWORD, USER, behind_tls, program, ran};
use crate::finding::{NEW, OLD, World};
use mailhaul_sandbox::Profile;
use std::path::Path;

/// Pages whose blocks without a language are words of the demo, or of what is found for two addresses.
const PAGES: [&str; 4] =
    ["start-here.md", "from-gmail.md", "from-microsoft-365.md", "what-the-proof-means.md"];

/// Without the port, which is another one in each run.
fn portless(line: &str) -> String {
    let Some((before, port)) = line.trim().rsplit_once("127.0.0.1:") else { return line.trim().to_owned() };
    format!("{before}127.0.0.1:{}", port.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn read(page: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(page))
        .unwrap()
}

pub fn shown(page: &str) -> Vec<String> {
    let text = read(page);
    let blocks = text.split("```").skip(1).step_by(2).filter(|block| block.starts_with('\n'));
    let lines = blocks.flat_map(str::lines).map(portless);
    lines.filter(|line| !line.is_empty() && line != "…").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_that_the_guide_shows_is_said_by_the_demo_or_for_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let demo = ran(program(&["demo"]).env("HOME", folder.path()).current_dir(folder.path())).await.expect(0);
    // Without a terminal it ends where a password would be asked for.
    let mut check = program(&["check", "ann@gmail.com", "ann@outlook.com"]);
    let found = ran(check.current_dir(folder.path())).await.expect(2);
    let said = demo.said() + &found.said();
    let said: Vec<String> = said.lines().map(portless).collect();
    for page in PAGES {
        let lines = shown(page);
        assert!(!lines.is_empty(), "{page} shows nothing");
        let invented: Vec<_> = lines.iter().filter(|line| !said.contains(line)).collect();
        assert!(invented.is_empty(), "{page} shows what nobody said: {invented:#?}");
    }
}

/// Runs the guide's commands in a report's folder; what they print.
#[cfg(unix)]
async fn checked_by_openssl(script: &str, report: &Path) -> Ran {
    let mut command = tokio::process::Command::new("sh");
    ran(command.args(["-e", "-c", script]).current_dir(report).stdin(std::process::Stdio::null())).await
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_alone_checks_a_certificate_by_the_commands_of_the_guide() {
    let version = std::process::Command::new("openssl").arg("version").output();
    let version = version.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    if !version.starts_with("OpenSSL 3") {
        println!("not run: openssl 3 is not here ({})", version.trim());
        return;
    }
    let pair = Pair::filled(Profile::default(), 3).await;
    pair.run("migrate", &[]).await.expect(0);
    let page = read("what-the-proof-means.md");
    let script = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let ran = checked_by_openssl(script, &pair.report()).await.expect(0);
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(pair.report().join(name)).unwrap()).unwrap()
    };
    let certificate = json("certificate.json");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let (key, manifest) =
        (text(&certificate["signer"]["key_sha256"]), text(&certificate["manifest"]["sha256"]));
    let ran = ran.says("Signature Verified Successfully").says(&key).says(&manifest);
    assert_eq!(ran.stdout.lines().count(), 3, "{ran:?}");
    // The page of the report says the same commands.
    let html = std::fs::read_to_string(pair.report().join("report.html")).unwrap();
    script.lines().take(3).for_each(|line| assert!(html.contains(line), "{line}"));
    let path = pair.report().join("certificate.json");
    let changed = std::fs::read_to_string(&path).unwrap().replacen("6", "7", 1);
    std::fs::write(&path, changed).unwrap();
    assert_ne!(checked_by_openssl(script, &pair.report()).await.code, Some(0));
}

/// Each `<pre>` of a report's page, as whoever reads it copies it.
#[cfg(unix)]
fn commands_of_the_page(folder: &Path) -> Vec<String> {
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    let blocks = page.split("<pre>").skip(1).map(|rest| rest.split("</pre>").next().unwrap());
    let text = |block: &str| block.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'");
    blocks.map(|block| text(block).replace("&quot;", "\"").replace("&amp;", "&")).collect()
}

/// By somebody who has the folder and the passwords, and nothing that the run kept: as by two URLs, so with two pinned certificates.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_on_the_page_of_a_report_does_what_it_says_in_an_empty_home() {
    for is_pinned in [false, true] {
        let pair = Pair::filled(Profile::default(), 3).await;
        let (from, to) = (behind_tls(&pair.old).await, behind_tls(&pair.new).await);
        let mut command = pair.command("migrate", &[]);
        if is_pinned {
            let pin = |pem: &str| sha256_of_pem(pem);
            let url = |port: u16| format!("imaps://{USER}@localhost:{port}");
            command = program(&["migrate", "--from", &url(from.0.port()), "--to", &url(to.0.port())]);
            command.args(["--from-fingerprint", &pin(&from.1), "--to-fingerprint", &pin(&to.1)]);
            command.arg("--report").arg(pair.report()).env("HOME", pair.home());
            command.env("MAILHAUL_FROM_PASSWORD", FROM_PASSWORD).env("MAILHAUL_TO_PASSWORD", TO_PASSWORD);
        }
        ran(&mut command).await.expect(0);
        let (home, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mailhaul"), bin.path().join("mailhaul")).unwrap();
        let blocks = commands_of_the_page(&pair.report());
        assert_eq!(blocks.len(), 2, "{blocks:#?}");
        let page = std::fs::read_to_string(pair.report().join("report.html")).unwrap();
        let certificate = std::fs::read(pair.report().join("certificate.json")).unwrap();
        let certificate: serde_json::Value = serde_json::from_slice(&certificate).unwrap();
        let sums = [&certificate["manifest"]["sha256"], &certificate["signer"]["key_sha256"]];
        for (block, sum) in blocks.into_iter().zip(sums.map(|sum| sum.as_str().unwrap())) {
            assert!(page.contains(&format!("<code>{sum}</code>")), "{sum} in {page}");
            let mut shell = tokio::process::Command::new("sh");
            shell.args(["-e", "-c", &block]).current_dir(pair.report()).env_clear().env("HOME", home.path());
            shell.env("PATH", format!("{}:/usr/bin:/bin", bin.path().display()));
            shell.env("MAILHAUL_FROM_PASSWORD", FROM_PASSWORD).env("MAILHAUL_TO_PASSWORD", TO_PASSWORD);
            ran(shell.stdin(std::process::Stdio::null())).await.expect(0).says(sum);
        }
    }
}

#[cfg(unix)]
fn sha256_of_pem(pem: &str) -> String {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use sha2::Digest;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    sha2::Sha256::digest(&der).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Runs a script where a person would, with the program on its path.
#[cfg(unix)]
async fn shell(world: &World, script: &str) -> Ran {
    let folder = world.folder.path();
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", script]).current_dir(folder).env_clear().stdin(std::process::Stdio::null());
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.join("bin").display())).env("HOME", folder);
    ran(&mut command).await
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scripts_for_many_mailboxes_move_each_pair_of_the_list_and_keep_its_exit_code() {
    let (world, _old, new) = World::published().await;
    let folder = world.folder.path();
    let options = world.options().map(|option| option.display().to_string()).join(" ");
    let program = format!("#!/bin/sh\nexec {} \"$@\" {options}\n", env!("CARGO_BIN_EXE_mailhaul"));
    for (name, text) in [
        ("pairs.txt".to_owned(), format!("{OLD} {NEW}\n")),
        ("program".to_owned(), program),
        (format!("secrets/old/{OLD}"), FROM_PASSWORD.to_owned()),
        (format!("secrets/new/{NEW}"), TO_PASSWORD.to_owned()),
    ] {
        std::fs::create_dir_all(folder.join(&name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), text).unwrap();
    }
    let page = read("administrators.md");
    let scripts: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [move_one, loops, not_done, verify] = scripts[..] else { panic!("other scripts: {scripts:#?}") };
    std::fs::write(folder.join("script"), move_one).unwrap();
    // Another process writes what is to be executed: here a child of another test could hold it open.
    let install = "mkdir bin; cp program bin/mailhaul; cp script move-one; chmod 755 bin/mailhaul move-one";
    shell(&world, install).await.expect(0);
    shell(&world, loops).await.expect(0);
    let state = || std::fs::read_to_string(folder.join("state").join(NEW)).unwrap();
    let log = std::fs::read_to_string(folder.join("out").join(format!("{NEW}.log"))).unwrap();
    assert_eq!(state(), "0\n", "{log}");
    assert_eq!(new.counters().appended, 5, "the second loop finds nothing new");
    assert_eq!(shell(&world, not_done).await.stdout, "", "all are done");
    assert_eq!(shell(&world, verify).await.stdout.lines().last(), Some(format!("0 {NEW}").as_str()));
    std::fs::write(folder.join(format!("secrets/new/{NEW}")), "another").unwrap();
    shell(&world, &format!("./move-one {OLD} {NEW}")).await;
    assert_eq!(state(), "12\n", "a refused login");
    assert_eq!(shell(&world, not_done).await.stdout, format!("state/{NEW}:12\n"));
}
