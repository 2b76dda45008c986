//! What is made of the program for others to install: completions that a shell takes, a Debian package, an archive, and the
//! description of a release.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a command printed; it must succeed.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

/// Whether a program of the system is there; else a line says that the test was not run.
fn has(program: &str) -> bool {
    let is_there =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    let is_there = is_there.is_ok_and(|status| status.success());
    if !is_there {
        println!("not run: {program} is not here");
    }
    is_there
}

/// A small program in the place of the real one, which is large without optimisation: packing that takes long.
fn stand_in(folder: &Path) -> PathBuf {
    let path = folder.join("mailhaul");
    // Another process writes what is to be executed: here a child of another test could hold it open.
    let write = format!(
        "printf '#!/bin/sh\\nexec {} \"$@\"\\n' >mailhaul; chmod 755 mailhaul",
        env!("CARGO_BIN_EXE_mailhaul")
    );
    printed(Command::new("sh").args(["-c", &write]).current_dir(folder));
    path
}

/// Every package has these, below its prefix.
const HELD: [&str; 11] = [
    "bin/mailhaul",
    "share/man/man1/mailhaul.1",
    "share/man/man1/mailhaul-migrate.1",
    "share/man/man1/mailhaul-verify.1",
    "share/bash-completion/completions/mailhaul",
    "share/zsh/vendor-completions/_mailhaul",
    "share/fish/vendor_completions.d/mailhaul.fish",
    "share/doc/mailhaul/README.md",
    "share/doc/mailhaul/cli.md",
    "share/doc/mailhaul/guide/start-here.md",
    "share/doc/mailhaul/guide/install.md",
];

/// Pages about the work on the program, in no package.
const NOT_HELD: [&str; 4] = ["status.md", "testing.md", "benchmarks.md", "newcomer.md"];

#[test]
fn bash_completes_verbs_and_options() {
    if !has("bash") {
        return;
    }
    // In words that also an old bash knows.
    let completed = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [.., before, last] = words[..] else { panic!("{line}: a verb and a word") };
        let script = format!(
            "eval \"$(\"$0\" completions bash)\"; COMP_WORDS=({line}); COMP_CWORD={}; \
             _mailhaul mailhaul '{last}' '{before}'; echo \"${{COMPREPLY[@]}}\"",
            words.len() - 1
        );
        printed(Command::new("bash").args(["-c", &script, env!("CARGO_BIN_EXE_mailhaul")])).trim().to_owned()
    };
    assert_eq!(completed("mailhaul ver"), "verify");
    assert_eq!(completed("mailhaul verify --certificate-"), "--certificate-key");
    assert_eq!(completed("mailhaul verify --no-such-thing"), "", "nothing is made up");
    assert_eq!(completed("mailhaul migrate --verify oct"), "octets");
}

#[test]
fn a_debian_package_holds_program_pages_completions_and_documents() {
    if !has("dpkg-deb") || !has("dpkg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = stand_in(folder.path());
    let make = |out: &str| {
        let mut deb = Command::new(root().join("packaging/deb"));
        PathBuf::from(
            printed(deb.arg(&program).arg(folder.path().join(out)).env("SOURCE_DATE_EPOCH", "0")).trim(),
        )
    };
    let deb = make("out");
    let name = deb.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(&format!("mailhaul_{}_", env!("CARGO_PKG_VERSION"))), "{name}");
    let facts = printed(Command::new("dpkg-deb").arg("-f").arg(&deb));
    for line in ["Package: mailhaul", "Section: mail", &format!("Version: {}", env!("CARGO_PKG_VERSION"))] {
        assert!(facts.lines().any(|l| l == line), "{line} in {facts}");
    }
    assert!(!facts.contains("Depends:"), "a script links to nothing: {facts}");
    let listed = printed(Command::new("dpkg-deb").arg("-c").arg(&deb));
    assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");
    for path in HELD {
        let packed =
            if path.contains("/man1/") { format!("./usr/{path}.gz") } else { format!("./usr/{path}") };
        assert!(listed.lines().any(|line| line.ends_with(&format!(" {packed}"))), "{packed} in {listed}");
    }
    assert!(listed.contains("./usr/share/doc/mailhaul/copyright"), "{listed}");
    // Unpacked into a folder of its own, the program runs, and the sums of its files agree.
    let at = folder.path().join("root");
    printed(Command::new("dpkg-deb").arg("-R").arg(&deb).arg(&at));
    let version = printed(Command::new(at.join("usr/bin/mailhaul")).arg("--version"));
    assert_eq!(version.trim(), format!("mailhaul {}", env!("CARGO_PKG_VERSION")));
    printed(Command::new("md5sum").args(["--check", "--quiet", "DEBIAN/md5sums"]).current_dir(&at));
    assert_eq!(std::fs::read(make("again")).unwrap(), std::fs::read(&deb).unwrap(), "the same octets again");
}

#[test]
fn an_archive_of_a_release_holds_the_same_and_its_checksum_agrees() {
    if !has("sha256sum") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = stand_in(folder.path());
    let mut archive = Command::new(root().join("packaging/archive"));
    let out = folder.path().join("out");
    let file = printed(archive.arg(&program).args(["x86_64-unknown-linux-musl"]).arg(&out));
    let name = format!("mailhaul-{}-x86_64-unknown-linux-musl", env!("CARGO_PKG_VERSION"));
    assert!(file.trim().ends_with(&format!("{name}.tar.gz")), "{file}");
    let listed = printed(Command::new("tar").arg("-tzf").arg(file.trim()));
    for path in HELD {
        assert!(listed.lines().any(|line| line == format!("{name}/{path}")), "{path} in {listed}");
    }
    for page in NOT_HELD {
        assert!(root().join("docs").join(page).exists(), "{page}");
        assert!(!listed.lines().any(|line| line.ends_with(&format!("/{page}"))), "{page} in {listed}");
    }
    printed(Command::new("sha256sum").arg("--check").arg(format!("{name}.tar.gz.sha256")).current_dir(&out));
}

#[test]
fn a_release_is_built_for_five_systems_of_pinned_parts_and_without_secrets() {
    let workflow = std::fs::read_to_string(root().join(".github/workflows/release.yml")).unwrap();
    for target in [
        "x86_64-unknown-linux-musl",
        "aarch64-unknown-linux-musl",
        "x86_64-apple-darwin",
        "aarch64-apple-darwin",
        "x86_64-pc-windows-msvc",
    ] {
        assert!(workflow.contains(target), "{target}");
    }
    let uses: Vec<&str> =
        workflow.lines().filter_map(|line| line.split_once("uses: ")).map(|(_, action)| action).collect();
    assert!(uses.len() > 4, "{uses:?}");
    let is_pinned = |action: &&str| {
        let version = action.split_once("@v").map(|(_, version)| version).unwrap_or_default();
        version.split('.').filter(|part| part.parse::<u32>().is_ok()).count() == 3
    };
    let loose: Vec<_> = uses.iter().filter(|action| !is_pinned(action)).collect();
    assert!(loose.is_empty(), "not pinned to a version: {loose:?}");
    assert!(!workflow.contains("secrets."));
    // The scripts that it calls are those that are tried here.
    for script in ["packaging/archive", "packaging/deb", "packaging/Containerfile"] {
        assert!(workflow.contains(script) && root().join(script).exists(), "{script}");
    }
    let container = std::fs::read_to_string(root().join("packaging/Containerfile")).unwrap();
    let last = container.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("scratch\n") && !last.contains("RUN"), "no shell, nothing to run: {last}");
    assert!(last.contains("USER 10001"), "not as root: {last}");
}
