//! The documents that the program carries, so that whoever has nothing but the program can read what its advice points to: a table
//! of pages, `mailhaul docs` for the terminal ([`plain`]), and the page's help ([`web`]). All pure but the printing.

mod plain;
pub mod web;

use crate::args::DocsArgs;
use crate::error::Failure;
use crate::output::print;
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use std::io::IsTerminal;
use std::ops::Range;

/// One page.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Where it lies below `docs`, without its ending; what stands behind the last slash is its name.
    path: &'static str,
    /// Markdown.
    text: &'static str,
}

/// A heading of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    level: HeadingLevel,
    /// In words.
    pub text: String,
    /// As links write it.
    pub anchor: String,
    /// Where it begins in the page.
    at: usize,
}

macro_rules! pages {
    ($($path:literal),* $(,)?) => {
        &[$(Page { path: $path, text: include_str!(concat!("../../../docs/", $path, ".md")) }),*]
    };
}

/// All of them, by whom they are for, in reading order. Pages about the work on the program are none of them.
pub const GROUPS: [(&str, &[Page]); 4] = [
    (
        "For whoever moves mail",
        pages![
            "guide/start-here",
            "guide/in-the-browser",
            "guide/after-the-move",
            "guide/what-the-proof-means",
            "guide/troubleshooting",
            "guide/install",
            "guide/glossary",
        ],
    ),
    (
        "By where your mail is now",
        pages![
            "guide/from-gmail",
            "guide/from-microsoft-365",
            "guide/from-yahoo",
            "guide/from-icloud",
            "guide/from-cpanel",
            "guide/from-exchange",
            "guide/from-any-imap",
        ],
    ),
    ("For administrators", pages!["guide/administrators", "guide/scripting", "guide/commands", "cli"]),
    (
        "In depth",
        pages!["login", "discovery", "names", "gmail", "probe", "servers", "errors", "guide/README"],
    ),
];

/// Every page, in reading order.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    GROUPS.iter().flat_map(|(_, pages)| *pages)
}

/// The page that somebody means: by its name, or by where it lies among the documents (`docs/login.md`).
pub fn page(said: &str) -> Option<&'static Page> {
    let said = said.strip_suffix(".md").unwrap_or(said);
    let name = said.rsplit('/').next().unwrap_or(said);
    pages().find(|page| page.name().eq_ignore_ascii_case(name))
}

/// Where a link leads.
#[derive(Debug, PartialEq, Eq)]
enum Leads {
    /// To a page, and a heading there; empty for its beginning.
    Here(&'static Page, String),
    /// Out of the program.
    Out,
    /// To a page about the work on the program.
    Nowhere,
}

impl Heading {
    /// True for one of the second level.
    pub fn is_chapter(&self) -> bool {
        self.level == HeadingLevel::H2
    }
}

impl Page {
    /// What it is called on a command line.
    pub fn name(&self) -> &'static str {
        match self.path.rsplit('/').next() {
            Some("README") | None => "guide",
            Some(name) => name,
        }
    }

    /// Its first heading.
    pub fn title(&self) -> String {
        self.headings().into_iter().next().map(|heading| heading.text).unwrap_or_default()
    }

    /// All of them, in their order.
    pub fn headings(&self) -> Vec<Heading> {
        let (mut found, mut open): (Vec<Heading>, bool) = (Vec::new(), false);
        for (event, range) in events(self.text).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { level, .. }) => {
                    open = true;
                    let (text, anchor) = (String::new(), String::new());
                    found.push(Heading { level, text, anchor, at: range.start });
                }
                Event::End(TagEnd::Heading(_)) => open = false,
                Event::Text(text) | Event::Code(text) if open => {
                    found.iter_mut().next_back().into_iter().for_each(|heading| heading.text += &text);
                }
                _ => {}
            }
        }
        found.iter_mut().for_each(|heading| heading.anchor = anchor(&heading.text));
        found
    }

    /// The heading that somebody means, in words or as links write it; its beginning, or a part of it, is enough.
    ///
    /// # Errors
    /// Those that it could be; all of them where it is none.
    fn heading(&self, said: &str) -> Result<Heading, Vec<Heading>> {
        let (said, all) = (anchor(said), self.headings());
        let is: [fn(&str, &str) -> bool; 3] =
            [|a, said| a == said, |a, said| a.starts_with(said), |a, said| a.contains(said)];
        for is in is {
            let fitting: Vec<&Heading> = all.iter().filter(|heading| is(&heading.anchor, &said)).collect();
            match fitting[..] {
                [] => {}
                [one] => return Ok(one.clone()),
                _ => return Err(fitting.into_iter().cloned().collect()),
            }
        }
        Err(all)
    }

    /// The text below a heading, down to the next one that is no smaller.
    fn part(&self, heading: &Heading) -> &'static str {
        let headings = self.headings();
        let next = headings.iter().find(|next| next.at > heading.at && next.level <= heading.level);
        let Range { start, end } = heading.at..next.map_or(self.text.len(), |next| next.at);
        &self.text[start..end]
    }

    /// Where a link of this page leads.
    fn leads(&'static self, link: &str) -> Leads {
        if link.contains("://") || link.starts_with("mailto:") {
            return Leads::Out;
        }
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let leads = |page| Leads::Here(page, heading.to_owned());
        if file.is_empty() {
            return leads(self);
        }
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = match (file.strip_prefix("../"), folder) {
            (Some(above), _) => above.to_owned(),
            (None, "") => file.to_owned(),
            (None, folder) => format!("{folder}/{file}"),
        };
        pages().find(|page| path.strip_suffix(".md") == Some(page.path)).map_or(Leads::Nowhere, leads)
    }
}

/// Markdown as these pages are written.
fn events(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// A heading as links write it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

// ---- the verb

/// Columns of a text at most: longer lines are hard to read.
const WIDTH_MAX: usize = 100;
const WIDTH_IN_A_PIPE: usize = 80;

/// `docs`: the list of pages, a page, or a part of one.
pub fn show(args: &DocsArgs) -> Result<u8, Failure> {
    let width = width();
    let Some(said) = &args.page else {
        match args.json {
            true => print(&json_of_all().to_string()),
            false => listed().iter().for_each(|line| print(line)),
        }
        return Ok(0);
    };
    // As an older text or a link has it, too.
    let (said, after) = said.split_once('#').unwrap_or((said, ""));
    let page = page(said).ok_or_else(|| {
        Failure::usage(format!("the documents have no page “{said}”"))
            .hint("`mailhaul docs` lists them; `mailhaul docs troubleshooting` goes by what the program says")
    })?;
    let words = if args.heading.is_empty() { after.to_owned() } else { args.heading.join(" ") };
    let heading = match words.as_str() {
        "" => None,
        words => Some(page.heading(words).map_err(|could_be| no_heading(page, words, &could_be))?),
    };
    let text = heading.as_ref().map_or(page.text, |heading| page.part(heading));
    match args.json {
        true => print(&json_of(page, heading.as_ref(), text).to_string()),
        false => plain::lines(page, text, width).iter().for_each(|line| print(line)),
    }
    Ok(0)
}

/// Columns of the terminal that it goes to.
fn width() -> usize {
    // Without one, textwrap looks for another terminal than stdout.
    if std::io::stdout().is_terminal() { textwrap::termwidth().min(WIDTH_MAX) } else { WIDTH_IN_A_PIPE }
}

fn no_heading(page: &Page, words: &str, could_be: &[Heading]) -> Failure {
    let listed: Vec<&str> = could_be.iter().map(|heading| heading.anchor.as_str()).collect();
    let is_any = could_be.len() == page.headings().len();
    let what = match is_any {
        true => format!("the page {} has no heading “{words}”", page.name()),
        false => format!("the page {} has several headings with “{words}”", page.name()),
    };
    Failure::usage(what).hint(format!("it has: {}", listed.join(", ")))
}

/// The list of pages, a line each.
fn listed() -> Vec<String> {
    let width = pages().map(|page| page.name().len()).max().unwrap_or_default();
    let mut lines = vec![
        "The documents that this program carries.".to_owned(),
        "`mailhaul docs PAGE` shows one, `mailhaul docs PAGE HEADING` a part of it.".to_owned(),
    ];
    for (whose, pages) in GROUPS {
        lines.extend([String::new(), whose.to_owned()]);
        lines.extend(pages.iter().map(|page| format!("  {:<width$}  {}", page.name(), page.title())));
    }
    lines
}

fn json_of_all() -> serde_json::Value {
    let one = |page: &Page| {
        let headings = page.headings();
        let anchors: Vec<&str> = headings.iter().map(|heading| heading.anchor.as_str()).collect();
        serde_json::json!({ "page": page.name(), "title": page.title(), "headings": anchors })
    };
    serde_json::json!({ "pages": pages().map(one).collect::<Vec<_>>() })
}

fn json_of(page: &Page, heading: Option<&Heading>, text: &str) -> serde_json::Value {
    let heading = heading.map(|heading| &heading.anchor);
    serde_json::json!({ "page": page.name(), "title": page.title(), "heading": heading, "markdown": text })
}

#[cfg(test)]
mod tests;
