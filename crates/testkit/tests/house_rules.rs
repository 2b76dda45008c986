//! House rules that a compiler does not keep.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn of_crate(name: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    sources(&root().join("crates").join(name).join("src"), &mut files);
    assert!(!files.is_empty(), "no sources of {name}");
    files.into_iter().map(|f| (f.clone(), std::fs::read_to_string(f).unwrap())).collect()
}

/// The workspace crates that a crate depends on outside its tests.
fn needs(name: &str) -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    let lines = dependencies.lines().filter(|l| l.starts_with("mailhaul-"));
    lines.map(|l| l.trim_start_matches("mailhaul-").split(['.', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn crates_depend_in_one_direction() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("imap", &[][..]),
        ("engine", &["imap"]),
        ("sandbox", &["imap"]),
        ("cli", &["engine", "sandbox"]),
        ("testkit", &["engine", "imap", "sandbox"]),
        ("bench", &["testkit"]),
    ]);
    for (name, allowed) in allowed {
        for need in needs(name) {
            assert!(allowed.contains(&need.as_str()), "{name} must not depend on {need}");
        }
    }
}

#[test]
fn the_wire_layer_knows_no_socket_clock_runtime_or_file() {
    for (path, text) in of_crate("imap") {
        for word in ["tokio", "std::net", "std::fs", "std::time", "Instant", "SystemTime"] {
            assert!(!text.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn the_engine_touches_neither_terminal_nor_environment_nor_the_process() {
    let is_test =
        |path: &Path| path.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs");
    for (path, text) in of_crate("engine").into_iter().filter(|(path, _)| !is_test(path)) {
        for word in ["println!", "eprintln!", "env::var", "process::exit", "home_dir", "set_global_default"] {
            assert!(!text.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn only_the_clock_reads_the_clock() {
    for (path, text) in of_crate("engine").into_iter().filter(|(path, _)| !path.ends_with("clock.rs")) {
        for word in ["SystemTime::now", "Timestamp::now", "Zoned::now", "std::time::Instant"] {
            assert!(!text.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn the_source_end_knows_no_command_that_writes() {
    let file = |name| std::fs::read_to_string(root().join("crates/engine/src").join(name)).unwrap();
    let text = file("imap_source.rs") + &file("imap_source/listing.rs");
    for word in ["select(", "append", "store", "expunge", "create(", "BODY[]\"", "subscribe("] {
        assert!(!text.contains(&format!("Command::{word}")), "imap_source.rs writes: {word}");
    }
    assert!(text.contains("BODY.PEEK[]") && !text.contains(" BODY[]"), "bodies are read with PEEK");
}

#[test]
fn only_one_place_opens_sockets() {
    for (path, text) in of_crate("engine") {
        let is_net = path.components().any(|c| c.as_os_str() == "net");
        assert!(is_net || !text.contains("TcpStream::connect"), "{} opens a socket", path.display());
    }
}

#[test]
fn a_file_can_be_read_in_one_sitting() {
    const LINES_MAX: usize = 800;
    for name in ["imap", "engine", "sandbox", "cli", "bench"] {
        for (path, text) in of_crate(name) {
            assert!(text.lines().count() <= LINES_MAX, "{} is too long", path.display());
        }
    }
}

/// The lines of a file that speak of the switch that breaks rules, with the line before each.
fn mutations(text: &str) -> Vec<(&str, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let speaks = |i: &usize| lines[*i].contains("utants::") || lines[*i].contains("Mutant::");
    (1..lines.len()).filter(speaks).map(|i| (lines[i - 1].trim(), lines[i].trim())).collect()
}

#[test]
fn no_broken_rule_can_ship() {
    const CFG: &str = "#[cfg(mailhaul_mutants)]";
    let manifests = ["imap", "engine", "sandbox", "cli", "testkit", "bench"].map(|name| {
        let folder = root().join("crates").join(name);
        assert!(!folder.join("build.rs").exists(), "{name}: a build script could set any cfg");
        std::fs::read_to_string(folder.join("Cargo.toml")).unwrap()
    });
    assert!(manifests.iter().all(|m| !m.contains("mutants")), "no feature switches mutants on");
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert_eq!(workspace.matches("mailhaul_mutants").count(), 1, "declared for check-cfg, and nothing else");
    assert!(!std::fs::read_to_string(root().join(".ci/run")).unwrap().contains("--cfg"));
    let mut points = 0;
    for name in ["imap", "engine", "sandbox", "cli"] {
        for (path, text) in of_crate(name).into_iter().filter(|(path, _)| !path.ends_with("mutants.rs")) {
            for (before, line) in mutations(&text) {
                points += 1;
                assert_eq!(before, CFG, "{}: not under the cfg: {line}", path.display());
            }
        }
    }
    assert!(points >= 8, "{points} mutation points: the rule looks in the wrong place");
}

/// A heading as a link points to it.
fn anchor(heading: &str) -> String {
    let plain = |c: char| if c == ' ' { Some('-') } else { (c.is_alphanumeric() || c == '-').then_some(c) };
    heading.trim_start_matches('#').trim().to_lowercase().chars().filter_map(plain).collect()
}

#[test]
fn advice_after_a_refused_login_points_to_headings_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/login.md")).unwrap();
    let anchors: Vec<_> = page.lines().filter(|l| l.starts_with('#')).map(anchor).collect();
    for page in mailhaul_engine::auth::advice::pages() {
        assert!(anchors.iter().any(|a| a == page), "docs/login.md has no #{page}: {anchors:?}");
    }
}

/// Everything in backticks in a page that reads like the path of a test: the name of its function.
fn named_tests(page: &str) -> Vec<String> {
    let words = page.split('`').skip(1).step_by(2);
    let path = |w: &&str| w.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c));
    let last = |w: &str| w.rsplit("::").next().unwrap_or_default().to_owned();
    // Short words name modules, settings and events.
    words.filter(path).map(last).filter(|name| name.matches('_').count() > 3).collect()
}

#[test]
fn every_test_that_the_pages_name_exists() {
    let pages = ["docs/proof.md", "docs/servers.md", "docs/quirks.md"];
    let page: String = pages.map(|p| std::fs::read_to_string(root().join(p)).unwrap()).concat();
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    let code: String = files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    let named = named_tests(&page);
    assert!(named.len() > 150, "{} names: the rule looks in the wrong place", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

#[test]
fn the_table_of_states_in_the_documents_is_the_one_in_the_code() {
    use mailhaul_engine::journal::State;
    let page = std::fs::read_to_string(root().join("docs/design/journal.md")).unwrap();
    for state in State::ALL {
        let word = format!("`{}`", state.as_str());
        let row = page
            .lines()
            .find(|l| l.starts_with('|') && l.split('|').nth(1).is_some_and(|c| c.contains(&word)));
        let row = row.unwrap_or_else(|| panic!("{word} has no row"));
        let told = row.split('|').nth(2).unwrap();
        for next in state.next().iter().filter(|n| **n != state) {
            assert!(told.contains(next.as_str()), "{word} may become {}", next.as_str());
        }
    }
}

/// The sources of all tests that are programs of their own, and of what they share; without this one.
fn of_tests() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for folder in ["testkit/src", "testkit/tests", "cli/tests", "sandbox/tests"] {
        sources(&root().join("crates").join(folder), &mut files);
    }
    files.retain(|file| !file.ends_with("house_rules.rs"));
    assert!(files.len() > 80, "{}: the rule looks in the wrong place", files.len());
    files.into_iter().map(|f| (f.clone(), std::fs::read_to_string(f).unwrap())).collect()
}

#[test]
fn no_test_asks_the_name_service_of_this_machine_for_a_name_outside_it() {
    for (path, text) in of_tests() {
        for word in ["Dns::system(", "Discoverer::new(", "Http::new(", "Dialer::Tcp, \"", "lookup_host(\""] {
            assert!(!text.contains(word), "{} asks the network: {word}", path.display());
        }
        // Names that exist nowhere are still asked for: by a file of names or not at all.
        let asks = text.contains(".invalid\"") || text.contains(".invalid:");
        assert!(!asks || text.contains("\"--hosts\""), "{} asks for a name outside", path.display());
    }
}

/// Written like a secret of these tests: a fruit, four digits, and whose it is.
fn is_secret(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let is_number = |part: &str| part.len() == 4 && part.bytes().all(|b| b.is_ascii_digit());
    match parts.as_slice() {
        [fruit, number] => is_word(fruit) && is_number(number),
        [fruit, number, whose] => {
            is_word(fruit.trim_start_matches("ya29.")) && is_number(number) && is_word(whose)
        }
        _ => false,
    }
}

#[test]
fn the_secrets_that_ci_looks_for_are_those_of_the_tests() {
    let list = std::fs::read_to_string(root().join("crates/testkit/data/secrets.txt")).unwrap();
    let listed: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    let tests = of_tests();
    for secret in &listed {
        assert!(tests.iter().any(|(_, text)| text.contains(secret)), "no test has the secret {secret}");
    }
    for (path, text) in &tests {
        for line in text.lines() {
            let used = line.split('"').skip(1).step_by(2).filter(|word| is_secret(word));
            let unknown: Vec<_> = used.filter(|word| !listed.contains(word)).collect();
            assert!(unknown.is_empty(), "{}: {unknown:?} is not in secrets.txt", path.display());
        }
    }
}
