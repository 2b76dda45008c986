//! The command lines of the documents, run as a person would: each in a world of its own in which its accounts exist, in a shell,
//! with the program on its path.

use crate::accounts::{FROM_PASSWORD, Ran, TO_PASSWORD, letter, ran};
use crate::finding::{WELL_KNOWN, World, autoconfig};
use crate::guide::shown;
use crate::lines::{code_lines, documents, inline};
use mailhaul_sandbox::Sandbox;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// What cannot be run here, by a part of its line, and who runs it instead.
const NOT_HERE: [(&str, &str); 3] = [
    (
        "--from-oauth",
        "needs a provider's login and a client id; oauth logins are run by login.rs and page_logins.rs",
    ),
    ("--from-auth-user", "needs an administrator's login; those are run by login.rs"),
    ("\"$from\"", "a line of a script that guide.rs runs whole"),
];

/// Pages whose blocks without a language are words of their own command lines.
const SHOWING: [&str; 5] =
    ["from-any-imap.md", "from-cpanel.md", "from-exchange.md", "from-icloud.md", "from-yahoo.md"];

/// Verbs that need a migration that has begun.
const AFTER_A_MOVE: [&str; 4] = ["verify", "status", "report", "undo"];

/// Domains of providers that the program knows, with their servers.
const PROVIDERS: [(&str, &str); 3] = [
    ("gmail.com", "imap.gmail.com"),
    ("icloud.com", "imap.mail.me.com"),
    ("yahoo.com", "imap.mail.yahoo.com"),
];

/// All command lines, each once, with the places where it stands.
fn lines() -> BTreeMap<String, Vec<String>> {
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, text) in documents() {
        for (at, line) in code_lines(&text).into_iter().chain(inline(&text)) {
            if line.starts_with("mailhaul ") {
                let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
                lines.entry(line).or_default().push(format!("{name}:{at}"));
            }
        }
    }
    lines
}

/// The exit code that the documents lead one to expect.
fn expected(words: &[&str]) -> i32 {
    let names_accounts = words.iter().any(|word| word.contains('@'));
    match words[1] {
        // A verb that is named alone asks for its accounts; nothing is removed without a yes.
        "check" | "plan" | "migrate" | "verify" | "report" if !names_accounts => 2,
        "undo" => 2,
        // There is no terminal here, and nobody to be asked.
        "--plain" => 2,
        "check" | "plan" | "migrate" | "verify" | "report" | "status" => 0,
        // Ended before a move began, or about none.
        "serve" | "demo" | "docs" | "completions" | "man" => 0,
        verb => panic!("{verb} is in no table"),
    }
}

/// One account of a line.
#[derive(Debug)]
struct Named {
    host: String,
    users: Vec<String>,
    /// Its domain, where that has to name the server.
    domain: Option<String>,
}

/// The two accounts of a line, if it names them.
fn accounts(words: &[&str]) -> Option<[Named; 2]> {
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    let given = [after("--from").or(words.get(2).copied()), after("--to").or(words.get(3).copied())];
    let [from, to] = given.map(|account| account.filter(|account| account.contains('@')));
    let named = |side: &str, written: &str| {
        let url = written.strip_prefix("imaps://").and_then(|rest| rest.rsplit_once('@'));
        if let Some((user, host)) = url {
            return Named { host: host.to_owned(), users: vec![user.to_owned()], domain: None };
        }
        let (local, domain) = written.rsplit_once('@').unwrap();
        let server = after(&format!("--{side}-server")).and_then(|url| url.strip_prefix("imaps://"));
        let provider = PROVIDERS.iter().find(|(known, _)| *known == domain).map(|(_, host)| *host);
        let users = [Some(written), Some(local), after(&format!("--{side}-user"))];
        Named {
            host: server.or(provider).map_or(format!("imap.{domain}"), str::to_owned),
            users: users.into_iter().flatten().map(str::to_owned).collect(),
            domain: (server.is_none() && provider.is_none()).then(|| domain.to_owned()),
        }
    };
    Some([named("from", from?), named("to", to?)])
}

/// The world of these accounts, the old one with some mail.
async fn world(accounts: Option<&[Named; 2]>) -> (World, Vec<Sandbox>) {
    let named: Vec<&Named> = accounts.into_iter().flatten().collect();
    let domains: Vec<&str> = named.iter().filter_map(|account| account.domain.as_deref()).collect();
    let world = World::of(if domains.is_empty() { &["old.example"] } else { &domains }).await;
    let mut servers = Vec::new();
    for (at, account) in named.into_iter().enumerate() {
        let password = [FROM_PASSWORD, TO_PASSWORD][at];
        let server = world.imap(&account.host, &account.users[0], password).await;
        for user in &account.users {
            server.add_user(user, password);
            if at == 0 {
                server.create(user, "Old stuff", None, true);
                server.create(user, "Spam", None, true);
                for mailbox in ["INBOX", "Old stuff", "Spam"] {
                    server.deliver(user, mailbox, letter(3), "", "03-Mar-2020 10:11:12 +0100").unwrap();
                }
            }
        }
        if let Some(domain) = &account.domain {
            world.page(domain, WELL_KNOWN, &autoconfig(&account.host));
        }
        servers.push(server);
    }
    (world, servers)
}

fn sh(world: &World, script: &str, has_passwords: bool) -> Command {
    let folder = world.folder.path();
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.join("bin").display())).env("HOME", folder);
    if !has_passwords {
        command.env("MAILHAUL_FROM_PASSWORD", FROM_PASSWORD).env("MAILHAUL_TO_PASSWORD", TO_PASSWORD);
    }
    command
}

/// Puts there what a line takes for granted: the program, which knows this world, and a keeper of passwords; files of passwords.
async fn furnish(world: &World, words: &[&str]) {
    let folder = world.folder.path();
    let options = world.options().map(|option| option.display().to_string()).join(" ");
    let program = env!("CARGO_BIN_EXE_mailhaul");
    let mailhaul = format!(
        "#!/bin/sh\ncase $1 in\n  check|plan|undo|serve) exec {program} \"$@\" {options};;\n  migrate|verify) exec {program} \
         \"$@\" {options} --settle 1;;\n  *) exec {program} \"$@\";;\nesac\n"
    );
    std::fs::create_dir_all(folder.join("keeper/secrets")).unwrap();
    for (name, password) in [("old", FROM_PASSWORD), ("new", TO_PASSWORD)] {
        std::fs::write(folder.join("keeper/secrets").join(name), password).unwrap();
    }
    let pass = "#!/bin/sh\ncase $2 in mail/old) cat $HOME/keeper/secrets/old;; *) cat $HOME/keeper/secrets/new;; esac\n";
    for (name, text) in [("one", mailhaul.as_str()), ("two", pass), ("three", "#!/bin/sh\n")] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    for (option, password) in [("--from-password-file", FROM_PASSWORD), ("--to-password-file", TO_PASSWORD)] {
        let Some(at) = words.iter().position(|word| *word == option) else { continue };
        let file = folder.join(words[at + 1]);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, password).unwrap();
    }
    // Another process writes what is to be executed: here a child of another test could hold it open.
    let install = "mkdir -p bin .local/share/bash-completion/completions; cp one bin/mailhaul; cp two bin/pass; \
                   cp three bin/xdg-open; chmod 755 bin/*";
    ran(&mut sh(world, install, true)).await.expect(0);
}

/// What stands for something else in a line is put in its place.
fn filled_in(world: &World, line: &str) -> String {
    let mut line = line.to_owned();
    let is_certificate = line.contains("--certificate");
    if is_certificate {
        let reports = world.folder.path().join("mailhaul-report");
        let report = std::fs::read_dir(reports).unwrap().next().unwrap().unwrap().file_name();
        let folder = report.to_str().unwrap();
        line = line.replace("mailhaul-report/FOLDER/", &format!("mailhaul-report/{folder}/"));
        let certificate = format!("mailhaul-report/{folder}/certificate.json");
        let text = std::fs::read(world.folder.path().join(&certificate)).unwrap();
        let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
        line = line.replace(" FILE", &format!(" {certificate}"));
        line = line.replace(" SHA256", &format!(" {}", text["signer"]["key_sha256"].as_str().unwrap()));
    }
    if line.contains("--port 8025") {
        // Another program of this machine may have that one.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        line = line.replace("8025", &free.to_string());
    }
    line
}

/// The page is shown until it is ended.
async fn serves(world: &World, line: &str) -> Ran {
    let mut command = sh(world, &format!("exec {line}"), true);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stdout = String::new();
    while let Some(line) = said.next_line().await.unwrap() {
        stdout += &line;
        if line.contains("http://127.0.0.1:") {
            break;
        }
    }
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let code = child.wait().await.unwrap().code();
    Ran { code, stdout, stderr: String::new() }
}

/// What was typed, and what came of it.
async fn typed_and_ran(line: &str) -> (String, Ran) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let named = accounts(&words);
    let (world, _servers) = world(named.as_ref()).await;
    furnish(&world, &words).await;
    let has_passwords = line.contains("-password-");
    let again = line.contains("--retry") || line.contains("--repair");
    if named.is_some() && (AFTER_A_MOVE.contains(&words[1]) || again) {
        let first = format!("mailhaul migrate {} {}", words[2], words[3]);
        ran(&mut sh(&world, &first, false)).await.expect(0);
    }
    let typed = filled_in(&world, line);
    let ran = match words[1] {
        "serve" => serves(&world, &typed).await,
        _ => ran(&mut sh(&world, &typed, has_passwords)).await,
    };
    // What was given is not among what the run left, which is searched for secrets.
    for option in ["--from-password-file", "--to-password-file"] {
        let Some(at) = words.iter().position(|word| *word == option) else { continue };
        std::fs::remove_file(world.folder.path().join(words[at + 1])).unwrap();
    }
    (typed, ran)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_line_of_the_documents_does_what_they_say_of_it() {
    let at_once = Arc::new(tokio::sync::Semaphore::new(3));
    let (mut tasks, mut run) = (tokio::task::JoinSet::new(), 0);
    for (line, places) in lines() {
        if let Some((_, why)) = NOT_HERE.iter().find(|(part, _)| line.contains(part)) {
            println!("not run: {}: {why}", places.join(", "));
            continue;
        }
        if line.contains("jq") && std::process::Command::new("jq").arg("--version").output().is_err() {
            println!("not run: {}: jq is not here", places.join(", "));
            continue;
        }
        run += 1;
        let at_once = at_once.clone();
        tasks.spawn(async move {
            let _one_of_them = at_once.acquire().await.unwrap();
            let (typed, ran) = typed_and_ran(&line).await;
            let words: Vec<&str> = line.split(' ').collect();
            let wrong = (ran.code != Some(expected(&words)))
                .then(|| format!("{}: {typed}\n{ran:#?}", places.join(", ")));
            (places, ran.said(), wrong)
        });
    }
    assert!(run > 45, "{run} command lines were run");
    let ran = tasks.join_all().await;
    let wrong: Vec<&str> = ran.iter().filter_map(|(_, _, wrong)| wrong.as_deref()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for page in SHOWING {
        let of_page = |place: &String| place.starts_with(&format!("docs/guide/{page}:"));
        let said = ran.iter().filter(|(places, ..)| places.iter().any(of_page));
        let said: Vec<&str> = said.flat_map(|(_, said, _)| said.lines()).map(str::trim).collect();
        let lines = shown(page);
        assert!(!lines.is_empty(), "{page} shows nothing");
        let invented: Vec<_> = lines.iter().filter(|line| !said.contains(&line.as_str())).collect();
        assert!(invented.is_empty(), "{page} shows what nobody said: {invented:#?}\n{}", said.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_moved_is_removed_after_a_yes() {
    let line = "mailhaul undo ann@old.example ann@new.example --yes";
    let words: Vec<&str> = line.split(' ').collect();
    let named = accounts(&words);
    let (world, servers) = world(named.as_ref()).await;
    furnish(&world, &words).await;
    ran(&mut sh(&world, "mailhaul migrate ann@old.example ann@new.example", false)).await.expect(0);
    let held = || -> usize { servers[1].snapshot("ann@new.example").iter().map(|m| m.messages.len()).sum() };
    assert_eq!(held(), 3);
    ran(&mut sh(&world, line, false)).await.expect(0);
    assert_eq!(held(), 0);
}
