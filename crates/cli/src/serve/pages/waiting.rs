//! What is waited for in steps 1 to 4, with a way to give it up.

use super::{form, name, opening, said};
use crate::find::server_url;
use crate::serve::desk::Desk;
use crate::serve::errand::{About, Errand};
use crate::serve::guard::Session;
use crate::serve::texts;
use crate::steps::SIDES;
use maud::{Markup, html};
use std::time::{Duration, SystemTime};

/// Where one waits; it leads on when there is nothing to wait for.
pub const WAIT: &str = "wait";
/// Where the live parts come from.
pub const EVENTS: &str = "wait/events";

/// The page.
pub fn waiting(session: &Session, desk: &Desk, errand: &Errand) -> Markup {
    let (title, why) = match errand.about {
        About::Finding => (texts::FINDING, texts::FINDING_WHY),
        About::LoggingIn("from") => (texts::LOGGING_IN_OLD, texts::LOGGING_IN_WHY),
        About::LoggingIn(_) => (texts::LOGGING_IN_NEW, texts::LOGGING_IN_WHY),
        About::Looking => (texts::LOOKING, texts::LOOKING_WHY),
    };
    let give_up = html! { div.do { button.quiet name="do" value="give-up" { (texts::GIVE_UP) } } };
    html! {
        (opening(title, why))
        p.problem #lost role="alert" hidden { (texts::LIVE_LOST) }
        div data-live=(EVENTS) data-then=(WAIT) {
            section {
                @for line in whom(desk, errand.about) { p.server { (name(&line)) } }
                div #stands role="status" { (stands(errand)) }
                p.hint #waited { (texts::so_long(errand.lasts())) }
                p.hint { (texts::WAIT_GOES_ON) }
                (form(session, WAIT, &give_up))
            }
        }
        noscript { p.do { a.button.quiet href=(WAIT) { (texts::WAIT_RELOAD) } } }
    }
}

/// How it stands.
pub fn stands(errand: &Errand) -> Markup {
    let heard = errand.heard();
    html! {
        @if errand.about == About::Looking { p { (heard.view.stage_line()) "." } }
        @if let Some(address) = &heard.visit {
            p { (texts::VISIT_WHY) }
            p { a.button href=(address) target="_blank" rel="noopener noreferrer" { (texts::VISIT) } }
        }
        @if let Some(line) = &heard.line { p.note { (said(line)) } }
        @if let Some(waiting) = heard.view.waiting(SystemTime::now()) { p.note { (said(&waiting)) } }
    }
}

/// Who has to answer.
fn whom(desk: &Desk, about: About) -> Vec<String> {
    let server = |side: &str| {
        let account = desk.steps.answers().side(side).accounts().into_iter().next();
        account.map(|account| server_url(&account.endpoint))
    };
    match about {
        About::Finding => desk.typed.iter().map(|answer| answer.written.clone()).collect(),
        About::LoggingIn(side) => server(side).into_iter().collect(),
        About::Looking => SIDES.into_iter().filter_map(server).collect(),
    }
}

/// Seconds after which a browser without script looks again: soon at first, more rarely when it takes long.
pub fn again_after(waited: Duration) -> u32 {
    if waited < Duration::from_secs(10) { 1 } else { 5 }
}
