//! The documents against the program: the page of commands is written from the arguments, every command line in a document
//! parses, every option named exists, every message quoted stands in the code, every link leads somewhere.
//!
//!     MAILHAUL_WRITE_PAGES=1 cargo test -p mailhaul --bins documents

use crate::args::Cli;
use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, Parser};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

#[path = "../tests/binary/lines.rs"]
mod lines;
use lines::{code_lines, documents, inline, root};

const WRITTEN: &str =
    "Written from the arguments in the code by a test (`crates/cli/src/documents.rs`): change those.";
const PAGE: &str = "docs/guide/commands.md";

/// A verb with what it takes, names filled in.
fn program() -> Command {
    let mut program = Cli::command();
    program.build();
    program
}

fn verbs(program: &Command) -> Vec<&Command> {
    program.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()).collect()
}

// ---- the page of commands

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "\\<").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A row of a table: what is typed, and what it does.
fn row(arg: &Arg) -> String {
    let takes_value = arg.get_action().takes_values();
    let values = arg.get_value_names().filter(|_| takes_value).unwrap_or_default();
    let values: String = values.iter().map(|name| format!(" {name}")).collect();
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let typed = match arg.get_long() {
        Some(long) => format!("{short}--{long}{values}"),
        None => values.trim().to_owned(),
    };
    let mut does = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let choices = arg.get_possible_values();
    let said = choices.iter().filter(|_| takes_value).filter_map(|choice| {
        let help = choice.get_help()?;
        Some(format!("`{}`: {help}", choice.get_name()))
    });
    let said: Vec<String> = said.collect();
    if !said.is_empty() {
        let _ = write!(does, ". {}", said.join("; "));
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes_value && !default.is_empty() {
        let _ = write!(does, ". Without it: `{}`", default.join(" "));
    }
    format!("| `{typed}` | {} |\n", cell(&does))
}

fn rows(verb: &Command) -> Vec<String> {
    let shown = |arg: &&Arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version");
    verb.get_arguments().filter(shown).map(row).collect()
}

/// `Options of check, plan and undo`.
fn heading(names: &[&str]) -> String {
    let listed = match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => names.concat(),
    };
    format!("Options of {listed}")
}

/// The page: each verb with its own options, then those that several share, once for each set of verbs.
fn page() -> String {
    let program = program();
    let verbs = verbs(&program);
    let of: Vec<(&str, Vec<String>)> = verbs.iter().map(|verb| (verb.get_name(), rows(verb))).collect();
    let takers = |row: &String| -> Vec<&str> {
        of.iter().filter(|(_, rows)| rows.contains(row)).map(|(name, _)| *name).collect()
    };
    let mut page = format!("# Commands\n\n{WRITTEN}\n\n{}.\n\n", program.get_about().unwrap_or_default());
    page += "`mailhaul help VERB` and `mailhaul VERB --help` say the same in the terminal. What each verb changes, exit codes and \
             files: [cli.md](../cli.md).\n";
    let mut shared: Vec<(Vec<&str>, Vec<&String>)> = Vec::new();
    for (verb, (name, rows)) in verbs.iter().zip(&of) {
        let _ = write!(page, "\n## {name}\n\n{}.\n\n", verb.get_about().unwrap_or_default());
        let (own, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| takers(row) == [*name]);
        if !own.is_empty() {
            page += "| option | what it does |\n|---|---|\n";
            own.iter().for_each(|row| page += row);
        }
        for row in others {
            let takers = takers(row);
            match shared.iter_mut().find(|(names, _)| *names == takers) {
                Some((_, rows)) if rows.contains(&row) => {}
                Some((_, rows)) => rows.push(row),
                None => shared.push((takers, vec![row])),
            }
        }
        let sets = shared.iter().filter(|(names, _)| names.contains(name));
        let link = |names: &[&str]| format!("[{}](#{})", heading(names), anchor(&heading(names)));
        let sets: Vec<String> = sets.map(|(names, _)| link(names)).collect();
        if !sets.is_empty() {
            let also = if own.is_empty() { "" } else { "\nFurther: " };
            let _ = writeln!(page, "{also}{}.", sets.join("; "));
        }
    }
    for (names, rows) in shared {
        let _ = write!(page, "\n## {}\n\n| option | what it does |\n|---|---|\n", heading(&names));
        rows.iter().for_each(|row| page += row);
    }
    page
}

#[test]
fn the_page_of_commands_is_what_the_program_takes() {
    let (path, wanted) = (root().join(PAGE), page());
    if std::env::var_os("MAILHAUL_WRITE_PAGES").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(wanted.lines()).find(|(a, b)| a != b);
    assert!(page == wanted, "{PAGE} is not what the arguments say; see the top of documents.rs. {differs:?}");
}

// ---- command lines

/// Splits as a shell does. The command ends at an unquoted `|`, `<`, `>`, `;`, `&` or ` #`; what the shell would put in the
/// place of `$NAME` or `$(…)` is a word as it stands. `None` where a quote is left open.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().push(chars.next()?),
            (None, '$') if chars.peek() == Some(&'(') => {
                let within: String = chars.by_ref().take_while(|c| *c != ')').collect();
                word.get_or_insert_default().push_str(&within);
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | '<' | '>' | ';' | '&') => {
                // The number of a stream that is led elsewhere is no word of the command.
                word = word.filter(|word| !matches!(c, '<' | '>') || word.parse::<u8>().is_err());
                break;
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Why the program would not take this line.
fn refusal(line: &str) -> Option<String> {
    let Some(words) = words(line) else { return Some("a quote is left open".into()) };
    match Cli::try_parse_from(words) {
        Ok(_) => None,
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => None,
        Err(e) => Some(e.to_string()),
    }
}

#[test]
fn every_command_line_in_the_documents_is_one_that_the_program_takes() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (name, text) in documents() {
        let lines = code_lines(&text).into_iter().chain(inline(&text));
        for (at, line) in lines.filter(|(_, line)| line.starts_with("mailhaul ")) {
            seen += 1;
            wrong.extend(refusal(&line).map(|why| format!("{name}:{at}: {line}\n{why}")));
        }
    }
    assert!(seen > 60, "{seen} command lines were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_line_that_the_program_does_not_take_is_found() {
    assert_eq!(words("a 'b c' \"d $e\" f\\ g 2>h").unwrap(), ["a", "b c", "d $e", "f g"]);
    assert_eq!(words("a b | c").unwrap(), ["a", "b"]);
    assert_eq!(words("a 'b"), None);
    let text = "x\n\n    mailhaul check \\\n      a b\n\n```\nmailhaul frob\n```\n`mailhaul plan --nothing`";
    let lines: Vec<(usize, String)> = code_lines(text).into_iter().chain(inline(text)).collect();
    let said = [(3, "mailhaul check a b"), (7, "mailhaul frob"), (9, "mailhaul plan --nothing")];
    assert_eq!(lines, said.map(|(at, line)| (at, line.to_owned())));
    let refused: Vec<bool> = lines.iter().map(|(_, line)| refusal(line).is_some()).collect();
    assert_eq!(refused, [false, true, true]);
}

// ---- names, messages, links

/// `--name` wherever it begins a word, but for lines of cargo.
fn options_named(text: &str) -> BTreeSet<String> {
    let of_line = |line: &str| -> Vec<String> {
        let begins = |at: &usize| !line[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '-');
        let starts = line.match_indices("--").map(|(at, _)| at).filter(begins);
        let name = |at: usize| -> String {
            let is_of_name = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
            line[at + 2..].chars().take_while(is_of_name).collect()
        };
        starts.map(name).filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).collect()
    };
    text.lines().filter(|line| !line.contains("cargo ")).flat_map(of_line).collect()
}

#[test]
fn every_option_that_the_guide_names_exists() {
    let program = program();
    let of_verbs = verbs(&program).into_iter().flat_map(Command::get_arguments);
    let known: BTreeSet<&str> = of_verbs.chain(program.get_arguments()).filter_map(Arg::get_long).collect();
    let read =
        documents().into_iter().filter(|(name, _)| name.starts_with("docs/guide/") || name == "README.md");
    for (name, text) in read {
        let unknown: Vec<_> =
            options_named(&text).into_iter().filter(|option| !known.contains(option.as_str())).collect();
        assert!(unknown.is_empty(), "{name} names options that the program does not have: {unknown:?}");
    }
}

/// What the sources below a folder say, without comments and tests, literals that go on in the next line joined.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, into);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "documents.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for line in code.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
                match line.strip_suffix('\\') {
                    Some(goes_on) => *into += goes_on,
                    None => *into += &format!("{line}\n"),
                }
            }
        }
    }
}

/// Octets of a piece of a message below which it says nothing.
const PIECE_MIN: usize = 6;

#[test]
fn every_message_that_troubleshooting_explains_stands_in_the_code() {
    let mut code = String::new();
    for name in ["cli", "engine"] {
        sources(&root().join("crates").join(name).join("src"), &mut code);
    }
    let text = std::fs::read_to_string(root().join("docs/guide/troubleshooting.md")).unwrap();
    let quoted = text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let (mut seen, mut missing) = (0, Vec::new());
    for message in quoted {
        // `…` stands for what is filled in.
        let pieces = message.split('…').map(str::trim).filter(|piece| piece.len() >= PIECE_MIN);
        let pieces: Vec<&str> = pieces.collect();
        seen += 1;
        let gone = pieces.iter().find(|piece| !code.contains(*piece));
        missing.extend(gone.map(|piece| format!("{message}: “{piece}”")));
        assert!(!pieces.is_empty(), "{message} says nothing that could be looked for");
    }
    assert!(seen > 20, "{seen} messages were found");
    assert!(missing.is_empty(), "not said by the program:\n{}", missing.join("\n"));
}

/// As Markdown makes an anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_link_between_the_documents_leads_to_a_page_and_a_heading() {
    let mut seen = 0;
    for (name, text) in documents() {
        let folder = root().join(&name).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let path = if path.is_empty() { root().join(&name) } else { folder.join(path) };
            assert!(path.exists(), "{name}: nothing is at {link}");
            if !heading.is_empty() {
                let page = std::fs::read_to_string(&path).unwrap();
                let mut headings = page.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading);
                assert!(found, "{name}: no heading for {link}");
            }
        }
    }
    assert!(seen > 50, "{seen} links were found");
}

/// What stands in a text behind the command that shows a page: its name and, perhaps, a heading.
fn shown_pages(code: &str) -> Vec<(String, String)> {
    let words = |rest: &str| {
        let is_of_name = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
        let name: String = rest.chars().take_while(is_of_name).collect();
        let heading = rest[name.len()..].strip_prefix(' ').unwrap_or_default();
        (name, heading.chars().take_while(is_of_name).collect::<String>())
    };
    code.split("mailhaul docs ").skip(1).map(words).filter(|(name, _)| !name.is_empty()).collect()
}

#[test]
fn every_page_that_the_program_points_to_is_in_it_with_the_heading() {
    use mailhaul_engine::{auth::advice, discovery::providers, pages::Reference};
    let mut code = String::new();
    for name in ["cli", "engine"] {
        sources(&root().join("crates").join(name).join("src"), &mut code);
    }
    let mut named = shown_pages(&code);
    assert!(named.len() > 3, "{named:?}");
    let advice = advice::pages().map(Reference::login).chain(providers().iter().filter_map(|p| p.more()));
    named.extend(advice.map(|to| (Reference::PAGE.to_owned(), to.heading.to_owned())));
    assert!(named.len() > 20, "{named:?}");
    for (name, heading) in named {
        let page = crate::docs::page(&name).unwrap_or_else(|| panic!("no page {name}"));
        let is_there = heading.is_empty() || page.headings().iter().any(|known| known.anchor == heading);
        assert!(is_there, "{name} has no heading {heading}");
    }
    // Where the pages lie in the source, nobody knows who has the program alone.
    let literals = code.lines().filter(|line| line.contains(".md") && line.contains("docs/"));
    let elsewhere: Vec<_> = literals.filter(|line| !line.contains("include_str!")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}
