//! A page as HTML, for the local page. The documents are ours and in the program, so that nothing has to be cleaned; what is no
//! Markdown in them is shown as it stands.

use super::{Leads, Page, anchor, events};
use pulldown_cmark::{CowStr, Event, Tag, TagEnd, html};

/// What stands below the first heading of a page. `to`: the address of a page and a heading.
pub fn html(page: &'static Page, to: impl Fn(&Page, &str) -> String) -> String {
    let mut made = Vec::new();
    let mut headings = page.headings().into_iter();
    let (mut in_title, mut out) = (false, None::<String>);
    for event in events(page.text) {
        match event {
            Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                in_title = made.is_empty();
                let id = headings.next().map(|heading| CowStr::from(anchor(&heading.text)));
                made.push(Event::Start(Tag::Heading { level, id, classes, attrs }));
            }
            Event::End(TagEnd::Heading(_)) if in_title => {
                in_title = false;
                made.clear();
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => match page.leads(&dest_url) {
                Leads::Here(page, heading) => {
                    let dest_url = to(page, &heading).into();
                    made.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
                }
                // It stands there to be copied: a page without a network leads nowhere.
                Leads::Out => out = Some(format!(" ({dest_url})")),
                Leads::Nowhere => out = Some(String::new()),
            },
            Event::End(TagEnd::Link) if out.is_some() => {
                made.extend(out.take().map(|address| Event::Text(address.into())));
            }
            Event::Html(text) | Event::InlineHtml(text) => made.push(Event::Text(text)),
            event => made.push(event),
        }
    }
    let mut page = String::new();
    html::push_html(&mut page, made.into_iter());
    page
}
