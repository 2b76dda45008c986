//! The only place that reads the environment and knows where things are kept.

use mailhaul_engine::net::Proxies;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// An environment variable, if it is set and not empty.
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// The proxies before web servers, in the usual variables, of which small letters come first as in other programs. One that
/// cannot be used is done without; the second is the warning about it.
pub fn proxies() -> (Proxies, Option<String>) {
    let either = |small: &str| {
        let named = [small.to_owned(), small.to_ascii_uppercase()];
        named.into_iter().find_map(|name| Some((var(&name)?, name)))
    };
    let proxy = either("https_proxy").or_else(|| either("all_proxy"));
    let except = either("no_proxy").map(|(names, _)| names);
    match Proxies::parse(proxy.as_ref().map(|(text, _)| text.as_str()), except.as_deref()) {
        Ok(proxies) => (proxies, None),
        Err(why) => {
            let name = proxy.map(|(_, name)| name).unwrap_or_default();
            (Proxies::default(), Some(format!("{name}: {why}. Web servers are asked without a proxy")))
        }
    }
}

/// The folder for what a program keeps between runs.
fn state_folder() -> PathBuf {
    let home = || PathBuf::from(var("HOME").or_else(|| var("USERPROFILE")).unwrap_or_default());
    if cfg!(windows) {
        var("LOCALAPPDATA").map_or_else(home, PathBuf::from).join("Mailhaul")
    } else if cfg!(target_os = "macos") {
        home().join("Library/Application Support/Mailhaul")
    } else {
        var("XDG_STATE_HOME").map_or_else(|| home().join(".local/state"), PathBuf::from).join("mailhaul")
    }
}

/// Where the key is kept with which this installation signs; `None` where the environment names no place for it.
pub fn signing_key() -> Option<PathBuf> {
    let folder = state_folder();
    // A key in whatever folder the program is run from would be another one in each.
    folder.is_absolute().then(|| folder.join("signing-key.pem"))
}

/// A name for an account pair that a file can have: readable, and unique by its digest.
pub fn pair_name(source: &str, target: &str) -> String {
    let plain = |address: &str| -> String {
        let account = address.split_once("://").map_or(address, |(_, rest)| rest);
        account
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "@.-_".contains(c) { c } else { '_' })
            .take(60)
            .collect()
    };
    let digest = Sha256::digest(format!("{source}\n{target}"));
    let digest: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
    format!("{}--{}--{digest}", plain(source), plain(target))
}

/// Where the journal of an account pair is kept.
pub fn journal(source: &str, target: &str) -> PathBuf {
    // Not `with_extension`: what follows the last dot is a part of the name.
    state_folder().join(format!("{}.sqlite", pair_name(source, target)))
}

/// Where the answers of the five steps are written down; `None` where the environment names no place for them.
pub fn answers_folder() -> Option<PathBuf> {
    let folder = state_folder();
    // What lies in the folder the program is run from may be of anybody, and names the server that gets a password.
    Some(folder).filter(|folder| folder.is_absolute())
}

/// Where its report is written.
pub fn report(source: &str, target: &str) -> PathBuf {
    PathBuf::from("mailhaul-report").join(pair_name(source, target))
}

/// This process, for another one that finds the journal locked.
pub fn holder() -> String {
    let host = var("HOSTNAME").or_else(|| var("COMPUTERNAME")).unwrap_or_else(|| "this machine".into());
    format!("process {} on {host}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_differ_at_the_end_of_a_name_have_journals_of_their_own() {
        let of = |target: &str| journal("ann@old.example", target);
        let all =
            ["bob@gmx.net", "bob@gmx.de", "imaps://bob@imap.new.net", "imaps://bob@imap.new.net:994"].map(of);
        let names: std::collections::BTreeSet<_> = all.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names.len(), all.len(), "{names:?}");
        let name =
            names.iter().map(|name| name.to_str().unwrap()).find(|name| name.contains("gmx.net")).unwrap();
        assert!(name.starts_with("ann@old.example--bob@gmx.net--") && name.ends_with(".sqlite"), "{name}");
    }
}
