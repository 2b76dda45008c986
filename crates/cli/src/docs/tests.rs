use super::*;
use std::collections::BTreeSet;

const SAMPLE: Page = Page {
    path: "guide/sample",
    text: "# Sample\n\nPress *Go* *now* for `mailhaul demo`, see [names](../names.md#what-a-name-is) or [here](#two).\n\n\
           1. **One** long item that goes on below its number:\n\n       mailhaul check a b\n\n2. Second\n   - inner\n   - other\n\n\
           ## Two\n\n| option | what |\n|---|---|\n| `--a-long-one` | does this and that |\n| `-b` | more |\n\n\
           ### Deeper\n\nOut: [there](https://else.example/x), [work](../status.md).\n\n## Three\n\nLast.\n",
};
static SAMPLE_PAGE: Page = SAMPLE;

#[test]
fn a_page_is_readable_as_plain_text() {
    let shown = plain::lines(&SAMPLE_PAGE, SAMPLE_PAGE.text, 40).join("\n");
    let wanted = "\
Sample
======

Press “Go” now for `mailhaul demo`, see
names [1] or here [2].

1. One long item that goes on below its
   number:

       mailhaul check a b

2. Second
   - inner
   - other

Two
---

option          what
--------------  ------------------
`--a-long-one`  does this and that
`-b`            more

Deeper
······

Out: there (https://else.example/x),
work.

Three
-----

Last.

[1] mailhaul docs names what-a-name-is
[2] mailhaul docs sample two";
    assert_eq!(shown, wanted);
}

#[test]
fn a_table_too_wide_for_columns_is_shown_row_by_row() {
    let text = "| a | b | c |\n|---|---|---|\n| first | some words that need room | and some others here |\n";
    let shown = plain::lines(&SAMPLE_PAGE, text, 30).join("\n");
    assert_eq!(shown.trim(), "first\n    b: some words that need\n      room\n    c: and some others here");
}

#[test]
fn a_part_of_a_page_ends_where_the_next_one_begins() {
    let of = |said: &str| SAMPLE_PAGE.heading(said).map(|heading| SAMPLE_PAGE.part(&heading));
    assert!(
        of("two").unwrap().starts_with("## Two") && of("Two").unwrap().ends_with("work](../status.md).\n\n")
    );
    assert_eq!(of("Three").unwrap(), "## Three\n\nLast.\n");
    assert!(of("deep").unwrap().starts_with("### Deeper"), "the beginning of a heading is enough");
    assert_eq!(of("t").unwrap_err().len(), 2, "Two, or Three");
    assert_eq!(of("nothing").unwrap_err().len(), 4, "all of them are named");
}

#[test]
fn a_page_is_found_by_its_name_and_by_where_it_lies() {
    for said in ["login", "Login", "login.md", "docs/login.md"] {
        assert_eq!(page(said).map(Page::name), Some("login"), "{said}");
    }
    assert_eq!(page("docs/guide/start-here.md").map(Page::name), Some("start-here"));
    assert_eq!(page("guide").map(Page::title).as_deref(), Some("The guide"));
    assert_eq!(page("status"), None);
    let names: BTreeSet<&str> = pages().map(Page::name).collect();
    assert_eq!(names.len(), pages().count(), "no name twice");
}

#[test]
fn every_page_of_the_guide_is_carried() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let name = file.trim_end_matches(".md").replace("README", "guide");
        assert!(page(&name).is_some(), "{file} is missing in GROUPS");
    }
}

#[track_caller]
fn assert_fits(line: &str, width: usize, code: &BTreeSet<String>, page: &Page) {
    let columns = textwrap::core::display_width(line);
    let is_marker = |word: &&str| *word == "-" || word.starts_with('[') || word.ends_with('.');
    let words = line.split_whitespace().skip_while(is_marker).count();
    // The last lines are commands to be copied.
    let is_command = line.starts_with('[') && line.contains("] mailhaul docs ");
    let fits = columns <= width || words <= 1 || is_command || code.contains(line.trim());
    assert!(fits, "{}: {columns} columns, not {width}: {line}", page.name());
}

/// The lines of a page's blocks of code.
fn code_of(page: &Page) -> BTreeSet<String> {
    let (mut lines, mut is_open) = (BTreeSet::new(), false);
    for event in events(page.text) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => is_open = true,
            Event::End(TagEnd::CodeBlock) => is_open = false,
            Event::Text(text) if is_open => lines.extend(text.lines().map(|line| line.trim().to_owned())),
            _ => {}
        }
    }
    lines
}

/// What is broken is broken between words: a line that is too wide is code, or one word.
#[test]
fn every_page_is_readable_in_every_width() {
    for page in pages() {
        let code = code_of(page);
        for width in [60, 80, 100] {
            let lines = plain::lines(page, page.text, width);
            assert!(lines.len() > 10 && lines[0] == page.title(), "{}", page.name());
            for line in &lines {
                assert_fits(line, width, &code, page);
                for mark in ["**", "](", "<br", "|--"] {
                    assert!(!line.contains(mark), "{}: {mark} in {line}", page.name());
                }
                assert!(line.ends_with(|c: char| !c.is_whitespace()) || line.is_empty(), "{line:?}");
            }
            // Each word of a wide table or list is somewhere.
            let shown: String = lines.concat().split_whitespace().collect();
            let last = page.headings().pop().unwrap().text.split_whitespace().collect::<String>();
            assert!(shown.contains(&last), "{}", page.name());
        }
    }
}

#[test]
fn every_page_is_html_that_loads_nothing_and_every_link_in_it_leads_to_a_heading() {
    let mut seen = 0;
    for one in pages() {
        let headings = one.headings();
        let anchors: BTreeSet<&str> = headings.iter().map(|heading| heading.anchor.as_str()).collect();
        assert_eq!(anchors.len(), headings.len(), "{}: a heading twice", one.name());
        let made = web::html(one, |page, heading| format!("help?page={}#{heading}", page.name()));
        assert!(!made.contains("<th></th>"), "{}: a column without a name", one.name());
        for bad in ["style=", "<script", "<img", "src=", "href=\"http", "<h1"] {
            assert!(!made.contains(bad), "{}: {bad}", one.name());
        }
        for heading in headings.iter().skip(1) {
            assert!(made.contains(&format!("id=\"{}\"", heading.anchor)), "{}: {heading:?}", one.name());
        }
        for link in made.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let (name, heading) = link.strip_prefix("help?page=").unwrap().split_once('#').unwrap();
            let to = page(name).unwrap();
            let is_there = heading.is_empty() || to.headings().iter().any(|known| known.anchor == heading);
            assert!(is_there, "{}: {link}", one.name());
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} links");
}

#[test]
fn what_is_no_markdown_is_shown_as_it_stands() {
    static ODD: Page = Page { path: "odd", text: "# A\n\nOne <b>x</b>\n\n<script>y</script>\n" };
    let made = web::html(&ODD, |_, _| String::new());
    assert!(made.contains("&lt;b&gt;x") && made.contains("&lt;script&gt;y"), "{made}");
}
