//! The documents as pages: the list of them, and each.

use super::opening;
use crate::docs::{self, Page, web};
use crate::serve::texts;
use mailhaul_engine::pages::Reference;
use maud::{Markup, PreEscaped, html};

/// Where the list of pages is.
pub const HELP: &str = "help";

/// Headings of a page from which on they are listed before it.
const LISTED_MIN: usize = 4;

/// Where a page is, and a heading of it.
pub fn address(page: &str, heading: &str) -> String {
    let hash = if heading.is_empty() { "" } else { "#" };
    format!("{HELP}?page={page}{hash}{heading}")
}

/// The link from an advice to what stands about it.
pub fn more(more: Option<Reference>) -> Markup {
    html! {
        @if let Some(Reference { heading }) = more { p.more { (beside(&address(Reference::PAGE, heading), texts::MORE)) } }
    }
}

/// A link that opens beside the page, since what was typed there and not sent would be gone.
pub fn beside(address: &str, text: &str) -> Markup {
    html! { a href=(address) target="_blank" rel="noopener noreferrer" { (text) (texts::BESIDE) } }
}

/// The list of all pages.
pub fn list() -> Markup {
    html! {
        (opening(texts::HELP, texts::HELP_WHY))
        (go_on())
        @for (whose, pages) in docs::GROUPS {
            section {
                h2 { (whose) }
                ul.links { @for page in pages { li { a href=(address(page.name(), "")) { (page.title()) } } } }
            }
        }
    }
}

/// One page.
pub fn page(page: &'static Page) -> Markup {
    let headings: Vec<_> = page.headings().into_iter().filter(docs::Heading::is_chapter).collect();
    html! {
        h1 { (page.title()) }
        (go_on())
        section.doc {
            @if headings.len() >= LISTED_MIN {
                details {
                    summary { (texts::ON_THIS_PAGE) }
                    ul.links { @for heading in &headings { li { a href={ "#" (heading.anchor) } { (heading.text) } } } }
                }
            }
            (PreEscaped(web::html(page, |page, heading| address(page.name(), heading))))
        }
        p.do { a.button.quiet href=(HELP) { (texts::ALL_PAGES) } }
    }
}

/// Back to where the move stands.
fn go_on() -> Markup {
    html! { p { a href="./" { (texts::BACK_TO_MOVE) } } }
}
