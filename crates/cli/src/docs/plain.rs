//! A page as plain text: headings underlined, lists and code indented, tables as columns or, where the terminal is too narrow for
//! that, a row below the other. No escape code is written: a pipe gets what a terminal shows.

use super::{Leads, Page, events};
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Tag, TagEnd};

/// Columns before a block of code.
const CODE_INDENT: usize = 4;
/// Columns between two of a table.
const GAP: usize = 2;
/// A column of a table that has to be broken into lines is no narrower than this.
const COLUMN_MIN: usize = 18;

/// The lines of a page, or of a part of it.
pub fn lines(page: &'static Page, text: &str, width: usize) -> Vec<String> {
    let mut writer = Writer::new(page, width);
    events(text).for_each(|event| writer.take(event));
    writer.end()
}

/// One level of a list: what stands before its next line, and how far the others are indented.
struct Level {
    marker: Option<String>,
    indent: usize,
    /// The number of the next item; none where there are none.
    number: Option<u64>,
}

struct Writer {
    page: &'static Page,
    width: usize,
    lines: Vec<String>,
    levels: Vec<Level>,
    /// What stands in the paragraph, cell or heading so far.
    inline: String,
    /// Where numbered links lead, as commands.
    links: Vec<String>,
    /// The address of the link that is open, and where its text begins.
    open: Option<(String, usize)>,
    /// Where what is emphasised begins.
    emphasis: usize,
    rows: Vec<Vec<String>>,
    in_table: bool,
    in_code: bool,
}

impl Writer {
    fn new(page: &'static Page, width: usize) -> Self {
        let (lines, levels, links, rows) = Default::default();
        let (inline, open, emphasis, in_table, in_code) = Default::default();
        Self { page, width, lines, levels, inline, links, open, emphasis, rows, in_table, in_code }
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.finish(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.inline += &text,
            Event::Code(code) => self.inline += &format!("`{code}`"),
            Event::SoftBreak => self.inline.push(' '),
            Event::HardBreak => self.inline.push('\n'),
            Event::Rule => {
                self.gap();
                self.write("* * *");
            }
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::Heading { .. } => self.gap(),
            Tag::CodeBlock(kind) => {
                // What is indented in the page is indented once, however it is marked.
                let (CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) = kind;
                self.flush();
                self.gap();
                self.in_code = true;
            }
            Tag::List(number) => {
                self.flush();
                if self.levels.is_empty() {
                    self.gap();
                }
                self.levels.push(Level { marker: None, indent: 0, number });
            }
            Tag::Item => self.item(),
            Tag::Table(_) => {
                self.gap();
                self.in_table = true;
            }
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            Tag::Link { dest_url, .. } => self.open = Some((dest_url.to_string(), self.inline.len())),
            Tag::Emphasis => self.emphasis = self.inline.len(),
            _ => {}
        }
    }

    fn finish(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.flush(),
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::CodeBlock => self.code(),
            TagEnd::List(_) => drop(self.levels.pop()),
            TagEnd::Item => self.flush(),
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.inline);
                self.rows.iter_mut().next_back().into_iter().for_each(|row| row.push(cell.trim().to_owned()));
            }
            TagEnd::Table => {
                self.in_table = false;
                let rows = std::mem::take(&mut self.rows);
                let room = self.width.saturating_sub(self.indent());
                table(&rows, room).iter().for_each(|line| self.write(line));
            }
            TagEnd::Link => self.link(),
            TagEnd::Emphasis => self.quote(),
            _ => {}
        }
    }

    /// A number that stands for the command which shows it, where the program can show it.
    fn link(&mut self) {
        let Some((to, begins)) = self.open.take() else { return };
        match self.page.leads(&to) {
            Leads::Here(page, heading) => {
                let space = if heading.is_empty() { "" } else { " " };
                let command = format!("mailhaul docs {}{space}{heading}", page.name());
                let known = self.links.iter().position(|known| *known == command);
                let at = known.unwrap_or_else(|| {
                    self.links.push(command);
                    self.links.len() - 1
                });
                self.inline += &format!(" [{}]", at + 1);
            }
            Leads::Out if self.inline[begins..] != to => self.inline += &format!(" ({to})"),
            Leads::Out | Leads::Nowhere => {}
        }
    }

    /// What is emphasised and begins with a capital is what stands on a button, or what is said.
    fn quote(&mut self) {
        if self.inline[self.emphasis..].starts_with(char::is_uppercase) {
            self.inline.insert(self.emphasis, '“');
            self.inline.push('”');
        }
    }

    fn item(&mut self) {
        let Some(level) = self.levels.last_mut() else { return };
        let marker = match &mut level.number {
            Some(number) => {
                let marker = format!("{number}. ");
                *number += 1;
                marker
            }
            None => "- ".to_owned(),
        };
        level.indent = marker.len();
        level.marker = Some(marker);
    }

    fn heading(&mut self, level: HeadingLevel) {
        let begins = self.lines.len();
        self.flush();
        let widest = self.lines[begins..].iter().map(|line| line.chars().count()).max().unwrap_or_default();
        let under = match level {
            HeadingLevel::H1 => "=",
            HeadingLevel::H2 => "-",
            _ => "·",
        };
        self.lines.push(under.repeat(widest));
    }

    fn code(&mut self) {
        self.in_code = false;
        let code = std::mem::take(&mut self.inline);
        for line in code.lines() {
            let before = self.before() + &" ".repeat(CODE_INDENT);
            self.lines.push(format!("{before}{line}").trim_end().to_owned());
        }
    }

    /// An empty line, if something stands above; within a list none before the first line of an item.
    fn gap(&mut self) {
        let is_marked = self.levels.last().is_some_and(|level| level.marker.is_some());
        if self.lines.last().is_some_and(|line| !line.is_empty()) && !(is_marked && self.levels.len() > 1) {
            self.lines.push(String::new());
        }
    }

    fn indent(&self) -> usize {
        self.levels.iter().map(|level| level.indent).sum()
    }

    /// What stands before a line: the markers of items that begin with it.
    fn before(&mut self) -> String {
        let of = |level: &mut Level| level.marker.take().unwrap_or_else(|| " ".repeat(level.indent));
        self.levels.iter_mut().map(of).collect()
    }

    fn write(&mut self, line: &str) {
        let before = self.before();
        self.lines.push(format!("{before}{line}").trim_end().to_owned());
    }

    fn flush(&mut self) {
        if self.in_table || self.in_code {
            return;
        }
        let text = std::mem::take(&mut self.inline);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (first, rest) = (self.before(), " ".repeat(self.indent()));
            let options = options(self.width).initial_indent(&first).subsequent_indent(&rest);
            let wrapped = textwrap::wrap(line.trim(), options);
            self.lines.extend(wrapped.into_iter().map(|line| line.trim_end().to_owned()));
        }
    }

    fn end(mut self) -> Vec<String> {
        self.flush();
        let links: Vec<String> =
            self.links.iter().enumerate().map(|(at, link)| format!("[{}] {link}", at + 1)).collect();
        if !links.is_empty() {
            self.gap();
            self.lines.extend(links);
        }
        self.lines
    }
}

/// Nothing is broken at hyphens: an option stays whole.
fn options<'a>(width: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(width).break_words(false).word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// A table, the first row its head.
fn table(rows: &[Vec<String>], width: usize) -> Vec<String> {
    let Some((head, body)) = rows.split_first() else { return Vec::new() };
    match widths(rows, width) {
        Some(widths) => {
            let mut lines = Vec::new();
            if head.iter().any(|cell| !cell.is_empty()) {
                lines.extend(row(head, &widths));
                lines.push(widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  "));
            }
            body.iter().for_each(|cells| lines.extend(row(cells, &widths)));
            lines
        }
        None => body.iter().flat_map(|cells| card(head, cells, width)).collect(),
    }
}

/// Columns for each column of a table: what it needs, or a fair share of what is left. `None` where that is too narrow to read, or for
/// a word in it.
fn widths(rows: &[Vec<String>], width: usize) -> Option<Vec<usize>> {
    let columns = rows.iter().map(Vec::len).max()?;
    let cell = |at: usize| rows.iter().filter_map(move |row| row.get(at)).map(String::as_str);
    let needs: Vec<usize> =
        (0..columns).map(|at| cell(at).map(columns_of).max().unwrap_or(1).max(1)).collect();
    let mut room = width.checked_sub(GAP * columns.saturating_sub(1))?;
    let mut given: Vec<Option<usize>> = vec![None; columns];
    loop {
        let open: Vec<usize> = (0..columns).filter(|at| given[*at].is_none()).collect();
        if open.is_empty() {
            break;
        }
        let share = room / open.len();
        let content: Vec<usize> = open.iter().copied().filter(|at| needs[*at] <= share).collect();
        if content.is_empty() {
            let words =
                |at: &usize| cell(*at).flat_map(str::split_whitespace).map(columns_of).max().unwrap_or(0);
            if share < COLUMN_MIN || open.iter().map(words).any(|word| word > share) {
                return None;
            }
            open.iter().for_each(|at| given[*at] = Some(share));
            break;
        }
        for at in content {
            given[at] = Some(needs[at]);
            room -= needs[at];
        }
    }
    given.into_iter().collect()
}

fn columns_of(text: &str) -> usize {
    textwrap::core::display_width(text)
}

/// One row, as many lines as its longest cell.
fn row(cells: &[String], widths: &[usize]) -> Vec<String> {
    let wrapped: Vec<Vec<_>> =
        cells.iter().zip(widths).map(|(cell, width)| textwrap::wrap(cell, options(*width))).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or_default();
    let line = |at: usize| {
        let cells = wrapped.iter().zip(widths).map(|(lines, width)| {
            let text = lines.get(at).map_or("", |line| line.as_ref());
            format!("{text}{}", " ".repeat((width + GAP).saturating_sub(columns_of(text))))
        });
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// One row where columns are too narrow: its first cell, and below it the others by name.
fn card(head: &[String], cells: &[String], width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (at, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
        let name = head.get(at).map_or("", String::as_str);
        let (indent, text) = match (at, name) {
            (0, _) | (_, "") => ("  ", cell.clone()),
            (_, name) => ("    ", format!("{name}: {cell}")),
        };
        let rest = format!("{indent}  ");
        let options =
            options(width).initial_indent(if at == 0 { "" } else { indent }).subsequent_indent(&rest);
        lines.extend(textwrap::wrap(&text, options).into_iter().map(std::borrow::Cow::into_owned));
    }
    lines
}
