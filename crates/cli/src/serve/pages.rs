//! The pages, as functions from what is known to HTML. All texts are escaped by the templates; those that a server had a hand in
//! are made printable, too.

pub mod account;
pub mod choose;
pub mod help;
pub mod moving;
pub mod waiting;

use super::guard::{Refused, Session};
use super::http::FORM_TOKEN;
use super::texts::{self, Problem};
use crate::steps::Step;
use mailhaul_engine::names::printable;
use mailhaul_engine::report::words::sentence;
use maud::{DOCTYPE, Markup, html};

/// What stands around a page's own content.
pub struct Frame<'a> {
    /// The heading of the page, and its title.
    pub title: &'a str,
    /// The step that is shown, and the first that is not done.
    pub at: Option<(Step, Step)>,
    /// Steps can be gone back to.
    pub may_go_back: bool,
    /// Both accounts, as typed.
    pub accounts: Option<(&'a str, &'a str)>,
    /// What went wrong just now.
    pub problem: Option<&'a Problem>,
    /// Seconds after which a browser without script goes on, and where to.
    pub again_after: Option<(u32, &'a str)>,
    /// Whoever sees it was let in, so that there is help.
    pub has_help: bool,
    /// Where the page leads by itself, at once.
    pub leads_to: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// One without steps.
    pub fn plain(title: &'a str) -> Self {
        Self {
            title,
            at: None,
            may_go_back: false,
            accounts: None,
            problem: None,
            again_after: None,
            has_help: false,
            leads_to: None,
        }
    }
}

/// Where a step is, as all paths of pages here: below the secret path of whoever was let in, by which they are not named.
pub fn path(step: Step) -> &'static str {
    match step {
        Step::Requirements => "requirements",
        Step::Old => "old",
        Step::New => "new",
        Step::Choose => "choose",
        Step::Move => "move",
    }
}

/// A whole page.
pub fn page(frame: &Frame<'_>, content: &Markup) -> Markup {
    let title = match frame.problem {
        Some(_) => format!("{}: {} – {}", texts::PROBLEM, frame.title, texts::NAME),
        None => format!("{} – {}", frame.title, texts::NAME),
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/report.css";
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/page.js" defer {}
                @if let Some(path) = frame.leads_to { meta http-equiv="refresh" content={ "0;url=" (path) }; }
                @if let Some((seconds, path)) = frame.again_after {
                    noscript { meta http-equiv="refresh" content=(format!("{seconds};url={path}")); }
                }
            }
            body {
                a.skip href="#main" { (texts::SKIP) }
                div.frame {
                    header.top {
                        b { (texts::NAME) }
                        @if let Some((from, to)) = frame.accounts {
                            span { (name(from)) " → " (name(to)) }
                        }
                        @if frame.has_help && frame.at.is_some() { (help::beside(help::HELP, texts::HELP)) }
                        @else if frame.has_help { a href=(help::HELP) { (texts::HELP) } }
                    }
                    @if let Some(at) = frame.at { (steps(at, frame.may_go_back)) }
                    main #main tabindex="-1" {
                        @if let Some(problem) = frame.problem { (summary(problem)) }
                        (content)
                    }
                    footer { (texts::FOOT) }
                }
            }
        }
    }
}

fn steps((shown, open): (Step, Step), may_go_back: bool) -> Markup {
    html! {
        nav aria-label=(texts::STEPS) {
            ol.steps {
                @for step in Step::ALL {
                    @let state = if step == shown { texts::NOW } else if step < open { texts::DONE } else { texts::LATER };
                    @let is_done = step < open && step != shown;
                    li.done[is_done] aria-current=[(step == shown).then_some("step")] {
                        span {
                            @if may_go_back && step != shown && step <= open {
                                a href=(path(step)) { (step.title()) }
                            } @else {
                                (step.title())
                            }
                            span.unseen { " (" (state) ")" }
                        }
                    }
                }
            }
        }
    }
}

/// What happened, why, and what to do; the focus goes there.
fn summary(problem: &Problem) -> Markup {
    html! {
        div.problem #problem role="alert" tabindex="-1" data-focus autofocus {
            h2 { (texts::PROBLEM) }
            p { (said(&problem.what)) }
            @if let Some(next) = &problem.next { p { b { (said(next)) } } }
            @if let Some(field) = problem.field { p { a href={ "#" (field) } { (texts::TO_THE_FIELD) } } }
            (details(&problem.details))
            (help::more(problem.more))
        }
    }
}

/// What is for engineers, a line each.
fn details(lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            details {
                summary { (texts::DETAILS) }
                @for line in lines { p.words { (printable(line.trim())) } }
            }
        }
    }
}

/// A name from a server or a person, kept from turning the writing around it.
fn name(text: &str) -> Markup {
    html! { bdi { (printable(text)) } }
}

/// A sentence that a server may have had a hand in.
fn said(text: &str) -> String {
    let is_name = text.split(' ').next().is_some_and(|first| first.contains(['.', ':', '@', '/']));
    if is_name { printable(text) } else { sentence(&printable(text)) }
}

/// The beginning of a step's page.
fn opening(title: &str, purpose: &str) -> Markup {
    html! { h1 { (title) } p { (purpose) } }
}

/// A form of ours.
fn form(session: &Session, action: &str, content: &Markup) -> Markup {
    html! {
        form method="post" action=(action) novalidate {
            input type="hidden" name=(FORM_TOKEN) value=(session.form.reveal());
            (content)
        }
    }
}

/// The line of buttons.
fn go(label: &str, back: Option<&str>) -> Markup {
    html! {
        div.do {
            button { (label) }
            @if let Some(back) = back { a.button.quiet href=(back) { (texts::BACK) } }
        }
    }
}

/// A line of text to be typed.
fn field(id: &str, label: &str, hint: Option<&str>, value: &str) -> Markup {
    let hint_id = format!("{id}-hint");
    html! {
        div.field {
            label for=(id) { (label) }
            @if let Some(hint) = hint { div.hint id=(hint_id) { (hint) } }
            input type="text" id=(id) name=(id) value=(value) autocomplete="off" autocapitalize="none" spellcheck="false"
                aria-describedby=[hint.map(|_| hint_id.as_str())];
        }
    }
}

/// A request that gets nothing.
pub fn refused(refused: Refused) -> Markup {
    let (title, why, next) = texts::refused(refused);
    let home = matches!(refused, Refused::Form | Refused::Method | Refused::TooSlow);
    page(
        &Frame::plain(title),
        &html! {
            h1 { (title) }
            p { (why) }
            section { p { b { (next) } } @if home { p { a href="./" { (texts::FIRST_PAGE) } } } }
        },
    )
}

/// Nothing is here.
pub fn not_found(session: &Session) -> Markup {
    page(
        &Frame::plain(texts::NOT_FOUND),
        &html! { h1 { (texts::NOT_FOUND) } section { p { a href=(session.home()) { (texts::FIRST_PAGE) } } } },
    )
}

/// Just let in. What a link from elsewhere leads to gets no cookie that is of this site alone, what leads on from this page does:
/// so it leads on by itself.
pub fn let_in(session: &Session) -> Markup {
    let home = session.home();
    let frame = Frame { leads_to: Some(&home), ..Frame::plain(texts::LET_IN) };
    let content = html! {
        h1 { (texts::LET_IN) }
        section { p { (texts::LET_IN_WHY) } p { a href=(home) { (texts::CONTINUE) } } }
    };
    page(&frame, &content)
}
