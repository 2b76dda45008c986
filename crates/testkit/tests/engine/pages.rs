//! The pages that are written from the tables in the code: what is written is what is done.
//!
//!     MAILHAUL_WRITE_PAGES=1 cargo test -p mailhaul-testkit --test engine pages

use mailhaul_engine::error::RefusalClass;
use mailhaul_engine::quirks::family::{FAMILIES, Family, Known, Sign};
use mailhaul_engine::quirks::{CLASSES, CODES, Case, Doing, Pause, Remedy, Seen, halves, remedy, texts};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Compares a page with what the tables say; writes it where that is asked for.
fn page_is(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("MAILHAUL_WRITE_PAGES").is_some() {
        std::fs::write(&path, wanted).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(wanted.lines()).find(|(a, b)| a != b);
    assert!(page == wanted, "docs/{name} is not what the tables say; see the top of pages.rs. {differs:?}");
}

const WRITTEN: &str =
    "Written from the tables in the code by a test (`crates/testkit/tests/engine/pages.rs`): change those.";

fn cells(of: &[&str]) -> String {
    format!("| {} |\n", of.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = cells(head) + &cells(&vec!["---"; head.len()]);
    for row in rows {
        table += &cells(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    table + "\n"
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        s if s >= 60 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

fn step(remedy: Remedy) -> String {
    match remedy {
        Remedy::Wait(Pause::Named(_)) => "wait as long as it asked, and a tenth more".into(),
        Remedy::Wait(Pause::BackOff) => "wait, longer each time".into(),
        Remedy::Wait(Pause::Step(time)) => format!("wait {}", seconds(time)),
        Remedy::Wait(Pause::Day) => "wait, asking again every hour".into(),
        Remedy::Reconnect => "connect again, look whether mailbox and epoch are there".into(),
        Remedy::Bisect => "halve the batch".into(),
        Remedy::Ladder => "next step of the ladder; none left: list the message with these words".into(),
        Remedy::Skip => "list the message with these words, go on".into(),
        Remedy::Look => "look by listing whether it is there".into(),
        Remedy::HoldMailbox => "leave the mailbox to another run, go on with the others".into(),
        Remedy::HoldAccount => "end the run".into(),
    }
}

/// What is done, time after time, in one line: equal steps once, waits of steps together.
fn course(class: RefusalClass, doing: Doing, alone: bool) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut times = Vec::new();
    for tries in 0..9 {
        let next = step(remedy(class, Case { doing, tries, alone }));
        match said.last() {
            Some(last) if *last == next => *times.last_mut().unwrap() += 1,
            _ => {
                said.push(next);
                times.push(1);
            }
        }
    }
    let last = said.len() - 1;
    let steps = said.iter().zip(&times).enumerate().map(|(at, (step, times))| match times {
        n if at < last && *n > 1 => format!("{step} ({n} times)"),
        _ => step.clone(),
    });
    steps.collect::<Vec<_>>().join("; then ").replace("; then wait ", ", ")
}

/// Commands with the same course share a row.
fn courses(class: RefusalClass) -> Vec<(String, String)> {
    let places = [
        ("login", Doing::Login, true),
        ("open", Doing::Open, true),
        ("append, several", Doing::Append, false),
        ("append, one", Doing::Append, true),
    ];
    let mut rows: Vec<(String, String)> = Vec::new();
    for (word, doing, alone) in places {
        let course = course(class, doing, alone);
        match rows.iter_mut().find(|(_, known)| *known == course) {
            Some((words, _)) => *words += &format!(" · {word}"),
            None => rows.push((word.to_owned(), course)),
        }
    }
    if let [(words, _)] = rows.as_mut_slice() {
        "anything".clone_into(words);
    }
    rows
}

fn errors() -> String {
    let mut page = format!(
        "# What servers refuse, and what is done about it\n\n{WRITTEN}\n\n\
         A refusal (NO, BAD, or BYE) is understood by its response code; by its words where there is no code, or one that says \
         little. From what it means follows what is done, by one function (`quirks::remedy`), whoever the server is.\n\n\
         ## From meaning to action\n\n*Open* is LIST, STATUS, SELECT, EXAMINE and listings. *Append* is of a batch, or of one \
         message. A run that nothing works for is ended after 30 minutes, or 26 hours while the server names \
         a time or its day is spent. What is waited for is shown while it lasts, and told in the report. Where a meaning is \
         marked ½, half as many connections are asked for from then on.\n\n"
    );
    let mut rows = Vec::new();
    for (word, class) in CLASSES {
        for (at, (places, course)) in courses(*class).into_iter().enumerate() {
            let mark = if halves(*class) { " ½" } else { "" };
            let name = if at == 0 { format!("`{word}`{mark}") } else { String::new() };
            rows.push(vec![name, places, course]);
        }
        if *word == "throttled" {
            let named = RefusalClass::Throttled(Some(Duration::from_secs(1)));
            let course = course(named, Doing::Append, true);
            rows.push(vec!["`throttled`, with a time ½".into(), "anything".into(), course]);
        }
    }
    page += &table(&["meaning", "asked for", "what is done"], rows);
    page += "A message in passing trouble is listed only after others of its mailbox were stored meanwhile, or after twenty minutes \
             of trying it alone. More than 50 messages refused one after the other for an unknown reason, or more than 50 and \
             5 % of all, end the run: then it is not the messages.\n\n\
             *Fetch*: what asks for patience gets it, as with open. Anything else costs the messages of the range one more \
             question each, alone; what is refused three times, with the waits of passing trouble between, is read in another \
             way (header and text, part by part), then looked for in two complete listings: gone, or listed. Where more than \
             three are refused alone for passing trouble and none comes, none is to blame, and the mailbox is left to another \
             run at last.\n\n\
             *Create*: what asks for patience gets it, and so does trouble that may pass; no room ends the run; after any other \
             refusal a second name is tried, then the mailbox is refused.\n\n## Response codes\n\n\
             *Vague*: known words say more than the code.\n\n";
    let word = |class| CLASSES.iter().find(|(_, c)| *c == class).map_or("", |(word, _)| *word);
    let codes = CODES.iter().map(|row| {
        let vague = if row.vague { "vague" } else { "" };
        vec![format!("`[{}]`", row.name), format!("`{}`", word(row.class)), vague.into(), row.source.into()]
    });
    page += &table(&["code", "meaning", "note", "from"], codes);
    page += "## Words\n\nIn any case, anywhere in the text; the first row that fits is taken. A time that is named (\"Suggested \
             Backoff Time: N milliseconds\", \"try again in N minutes\", \"wait N seconds\", \"retry after N s\") is `throttled` \
             with that time, unless the words are of a login. Rows that are not measured only map words to an action: nobody \
             here has seen that server.\n\n";
    let rows = texts().iter().map(|row| {
        let family = FAMILIES.iter().find(|f| f.word == row.family).map_or("any", |f| f.name);
        let seen = if row.seen == Seen::Measured { "measured" } else { "seen in threads only" };
        vec![
            row.words.into(),
            format!("`{}`", word(row.class)),
            family.into(),
            seen.into(),
            row.evidence.into(),
        ]
    });
    page += &table(&["words", "meaning", "server", "note", "evidence"], rows);
    page.trim_end().to_owned() + "\n"
}

fn signs(family: &Family) -> String {
    let sign = |sign: &Sign| match sign {
        Sign::Capability(name) => format!("capability `{name}`"),
        Sign::Greeting(words) => format!("greeting with “{words}”"),
        Sign::Id(words) => format!("ID with “{words}”"),
    };
    family.signs.iter().map(sign).collect::<Vec<_>>().join(", ")
}

/// What the engine does that it would not do for a server it does not know.
fn done_for(family: &Family) -> Vec<String> {
    let (does, mut done) = (family.does, Vec::new());
    if does.id_before_login {
        done.push("ID is sent before the login, too".to_owned());
    }
    if let Some(octets) = does.append_limit_octets {
        done.push(format!("no message above {octets} octets is sent where no APPENDLIMIT is announced"));
    }
    if let Some(most) = does.bad_commands_max {
        done.push(format!("a connection is left after {} BADs", most - 1));
    }
    if does.sizes_are_estimates {
        done.push("a message of another length than announced is believed without a second reading".into());
    }
    if let Some(most) = does.connections_max {
        done.push(format!("at most {most} connections"));
    }
    let mb = |octets: u64| octets / 1_000_000;
    if let Some(octets) = does.down_per_day {
        done.push(format!("at most {} MB a day are read", mb(octets)));
    }
    if let Some(octets) = does.up_per_day {
        done.push(format!("at most {} MB a day are sent", mb(octets)));
    }
    if let Some(least) = does.settle_min {
        done.push(format!(
            "“not stored” is concluded no sooner than {} after a lost connection",
            seconds(least)
        ));
    }
    if does.keeps_one_of_equals {
        done.push("a message whose place an equal one of ours took is told as merged, not as missing".into());
    }
    if let Some(shows) = does.mailbox_shows_max {
        let most = shows.messages.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let what = if shows.always { "asked about before anything is sent" } else { "named" };
        done.push(format!("a mailbox that shows as many messages as it may ({most}) is {what}"));
    }
    if does.deleted_removes {
        done.push("messages marked as deleted are stored without that mark, and the report says so".into());
    }
    done
}

/// What the matrix between real servers counted (`matrix.rs`), as it kept it. Rows of earlier runs have `-` in the last columns.
fn matrix() -> String {
    let kept = include_str!("../../data/matrix.tsv");
    let mut rows = kept.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    let head = rows.next().unwrap_or_default();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let rows: Vec<_> = rows.collect();
    let is_new = |row: &&Vec<String>| row.last().is_some_and(|cell| cell != "-");
    let of_today = rows.iter().filter(is_new).count();
    let sum = |column: usize| {
        rows.iter().filter(is_new).filter_map(|row| row[column].parse::<u64>().ok()).sum::<u64>()
    };
    let (foretold, only_told) = (sum(head.len() - 2), sum(head.len() - 1));
    let when = match rows.len() - of_today {
        0 => "Every row was compared so.".to_owned(),
        older => format!(
            "{of_today} rows are of the last run; the {older} with `-` are of earlier ones, before anything was compared with the plan, \
             and most of them four messages short of the account of today (8-bit octets in Subject or From)."
        ),
    };
    format!(
        "## What real runs showed\n\nAn account of odd messages, flags, dates and names (`crates/testkit/src/odd`) moved between \
         Dovecot 2.3.19 and Cyrus 3.6.1 on Debian bookworm, in every direction, with every store and name style (`.`: below the \
         prefix `INBOX.`; `/`: beside INBOX), and was audited message for message by code that shares nothing with the engine; \
         docs/testing.md in the sources has the command. Every count is of what lies there, and report and manifest said the same. What a server \
         does not take in the first place is not in its account: of 50 messages, 44 sets of flags, 35 dates and 95 names, Dovecot \
         refuses 1, 14, 3 and 27 to 34, Cyrus 15, 11, 8 and 26 to 28. *exact* to *left out* add up to *messages*; *flags* and \
         *dates* are messages that have others at the target, *renamed* are mailboxes under another path there.\n\n\
         *foretold* are the losses (other line ends, other octets, refused, other flags, other dates) that the plan named before \
         anything was sent, after a probe of the new account; *only told* those that the report named afterwards: together \
         {foretold} and {only_told}. {when} A probe tries a date two days ahead: a message dated in these two days, where the new server \
         takes no date in the future, would be among the latter.\n\n\
         With a probe before it and `--repair` nothing is damaged and nothing is refused: from `maildir/` to `cyrus/ munge`, of \
         173 messages 160 exact and 13 semantic \
         (`with_a_repair_what_cyrus_would_destroy_in_headers_of_the_odd_account_arrives_encoded`).\n\n"
    ) + &table(&head, rows)
}

fn servers() -> String {
    let mut page = format!(
        "# Servers\n\n{WRITTEN}\n\nCapabilities go first: whatever a server announces is used, whoever it is, and a server that is not \
         listed here is moved like any other; every message is read back and compared. This table only adds what no capability \
         says. A server is recognised by its greeting, its answer to ID and its capabilities, never by its host name.\n\n\
         *Tested*: this project ran it. *Simulated*: the test server plays some of what is written here, which proves the engine and \
         not the server; what it does not play is named. *Seen in threads*: nobody here has seen it.\n\n"
    );
    let known = |family: &Family| match family.known {
        Known::Tested(version) => format!("tested: {version}"),
        Known::Simulated => "simulated".into(),
        Known::Threads => "seen in threads".into(),
    };
    let mut families: Vec<&Family> = FAMILIES.iter().collect();
    families.sort_by_key(|f| f.name);
    let rows = families.iter().map(|f| vec![f.name.to_owned(), known(f), signs(f)]);
    page += &table(&["server", "known", "recognised by"], rows);
    for family in families {
        let _ = writeln!(page, "## {}\n\n{}. Exact: {}.\n", family.name, known(family), family.exact);
        let owned = |list: &[&str]| list.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        for (head, lines) in [
            ("What changes", owned(family.changes)),
            ("Limits", owned(family.limits)),
            ("Set there before", owned(family.before)),
            ("Done for it", done_for(family)),
            ("Not played by the test server", owned(family.not_played)),
        ] {
            if !lines.is_empty() {
                let _ = writeln!(page, "{head}: {}.\n", lines.join("; "));
            }
        }
        let tests = family.tests.iter().map(|t| format!("`{t}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "Evidence: {}. Tests: {tests}.\n", family.evidence);
    }
    page += &matrix();
    page.trim_end().to_owned() + "\n"
}

#[test]
fn the_page_of_errors_is_what_the_tables_say() {
    page_is("errors.md", &errors());
}

#[test]
fn the_page_of_servers_is_what_the_table_says() {
    page_is("servers.md", &servers());
}

/// The names of the functions of all crates.
fn functions() -> BTreeSet<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..")];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&entry).unwrap();
                let after = text.split("fn ").skip(1);
                let word = |rest: &str| {
                    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().map(str::to_owned)
                };
                names.extend(after.filter_map(word));
            }
        }
    }
    names
}

#[test]
fn every_quirk_that_is_done_names_a_test_that_is_there() {
    let functions = functions();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/quirks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with('|') && !line.contains("---"));
    let (mut done, mut wrong) = (0, Vec::new());
    for row in rows {
        let became = row.trim_end_matches([' ', '|']).rsplit("| ").next().unwrap_or_default();
        // Names of tests are long, and have no other character.
        let is_name = |word: &&str| {
            word.len() >= 20
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let named: Vec<&str> = became.split('`').skip(1).step_by(2).filter(is_name).collect();
        let missing = named.iter().any(|name| !functions.contains(*name));
        let is_done = became.starts_with("done");
        done += usize::from(is_done);
        if missing || (is_done && named.is_empty()) {
            wrong.push(row);
        }
    }
    assert!(done > 50, "{done} rows");
    assert!(wrong.is_empty(), "no test, or one that is not there:\n{}", wrong.join("\n"));
    let tests = FAMILIES.iter().flat_map(|family| family.tests);
    let gone: Vec<_> = tests.filter(|test| !functions.contains(**test)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}
