//! What a package has beside the program: completions for shells, and manual pages. Both are written from the arguments.

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::error::Failure;
use clap::CommandFactory;
use std::io::Write;

/// The name under which it is called.
const NAME: &str = "mailhaul";

/// `completions SHELL`: the script, on stdout.
pub fn completions(args: &CompletionsArgs) -> Result<u8, Failure> {
    // A closed pipe is no error.
    let _ = std::io::stdout().write_all(&script(args.shell));
    Ok(0)
}

/// `man FOLDER`: `mailhaul.1`, and a page for each verb.
pub fn man(args: &ManArgs) -> Result<u8, Failure> {
    let failed = |e| Failure::failed(format!("{}: {e}", args.folder.display()));
    std::fs::create_dir_all(&args.folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(failed)?;
    Ok(0)
}

fn script(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;
    use clap_complete::Shell;

    fn verbs() -> Vec<String> {
        let program = Cli::command();
        let shown = program.get_subcommands().filter(|verb| !verb.is_hide_set());
        let names: Vec<String> = shown.map(|verb| verb.get_name().to_owned()).collect();
        assert!(names.len() >= 8, "{names:?}");
        names
    }

    #[test]
    fn completions_of_every_shell_know_every_verb_and_its_options() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).unwrap();
            for name in verbs().iter().map(String::as_str).chain(["reread-source", "from-password-file"]) {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }

    #[test]
    fn every_verb_has_a_manual_page_and_the_first_one_names_them_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("man/man1");
        man(&ManArgs { folder: place.clone() }).unwrap();
        let page = |name: &str| std::fs::read_to_string(place.join(format!("{name}.1"))).unwrap();
        let first = page(NAME);
        for verb in verbs() {
            let name = format!("{NAME}\\-{verb}(1)");
            assert!(first.contains(&name), "{name} in {first}");
            let page = page(&format!("{NAME}-{verb}"));
            for part in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
                assert!(page.contains(part), "{verb}: {part}");
            }
        }
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), verbs().len() + 1);
        assert!(page("mailhaul-verify").contains("certificate\\-key"));
        // The same arguments give the same octets: no date, no name of a machine.
        let again = folder.path().join("again");
        man(&ManArgs { folder: again.clone() }).unwrap();
        assert_eq!(
            std::fs::read(again.join("mailhaul-verify.1")).unwrap(),
            page("mailhaul-verify").into_bytes()
        );
    }
}
