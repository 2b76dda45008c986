//! Steps 1 to 3: both addresses, both servers, both logins.

use super::{details, field, form, go, help, name, opening, said};
use crate::find::server_url;
use crate::serve::desk::Desk;
use crate::serve::guard::Session;
use crate::serve::texts;
use crate::steps::answers::{Answer, SignIn};
use crate::steps::kept::{Begun, Others, Unkept, Unreadable};
use crate::steps::{Looked, SIDES, Step, words};
use mailhaul_engine::config::Security;
use mailhaul_engine::discovery::Provider;
use maud::{Markup, html};

/// Both addresses.
pub fn addresses(
    session: &Session,
    typed: &[Answer; 2],
    opens_servers: bool,
    others: &Others,
    unkept: Option<Unkept>,
) -> Markup {
    let [from, to] = typed;
    let server = |answer: &Answer| answer.server.clone().unwrap_or_default();
    let user = |answer: &Answer| answer.user.clone().unwrap_or_default();
    let is_open =
        opens_servers || typed.iter().any(|answer| answer.server.is_some() || answer.user.is_some());
    let content = html! {
        section {
            h2 { (texts::BOTH_ADDRESSES) }
            @if let Some(why) = unkept { p.note { (words::unkept(why)) } }
            (field("from", texts::OLD_ADDRESS, None, &from.written))
            (field("to", texts::NEW_ADDRESS, Some(texts::ADDRESS_HINT), &to.written))
            details.field open[is_open] {
                summary { (texts::SERVER_BY_HAND) }
                p.hint { (texts::SERVER_HINT) }
                (field("from-server", texts::OLD_SERVER, None, &server(from)))
                (field("from-user", texts::OLD_USER, None, &user(from)))
                (field("to-server", texts::NEW_SERVER, None, &server(to)))
                (field("to-user", texts::NEW_USER, None, &user(to)))
            }
            (go(texts::FIND, None))
        }
    };
    html! {
        (opening(Step::Requirements.title(), texts::purpose(Step::Requirements)))
        (form(session, "requirements", &content))
        @for (title, why, list) in [
            (texts::BEGUN, texts::BEGUN_WHY, &others.begun), (texts::BROUGHT, texts::BROUGHT_WHY, &others.done),
        ] {
            @if !list.is_empty() {
                section {
                    h2 { (title) }
                    p.hint { (why) }
                    @for one in list { (form(session, "anew", &go_on_with(one))) }
                }
            }
        }
        @if !others.unreadable.is_empty() {
            section.alert {
                h2 { (texts::UNREADABLE) }
                @for one in &others.unreadable { (form(session, "anew", &set_aside(one))) }
                p.hint { (texts::SET_ASIDE_WHY) }
            }
        }
        section {
            h2 { (texts::YOU_NEED) }
            ul.plain { @for need in texts::NEEDS { li { (need) } } }
        }
    }
}

fn go_on_with(begun: &Begun) -> Markup {
    html! {
        input type="hidden" name="begun" value=(begun.name);
        div.do { button.quiet { (name(&begun.answers.from.written)) " → " (name(&begun.answers.to.written)) } }
        @if let Some(folder) = &begun.answers.report {
            p.hint { (texts::REPORT_IN) " " (name(folder)) }
        }
    }
}

fn set_aside(broken: &Unreadable) -> Markup {
    let plain = words::plainly(&broken.why);
    html! {
        p { (said(&plain.what)) }
        (details(&plain.details))
        input type="hidden" name="aside" value=(broken.name);
        div.do { button.quiet { (texts::SET_ASIDE) } }
    }
}

/// What was found, to be agreed to.
pub fn found(session: &Session, looked: &[Looked; 2]) -> Markup {
    let content = html! {
        @for (side, looked) in SIDES.into_iter().zip(looked) { (one_found(side, looked)) }
        (go(texts::CONTINUE, Some("requirements")))
    };
    html! {
        (opening(texts::FOUND, texts::FOUND_WHY))
        (form(session, "found", &content))
    }
}

fn one_found(side: &str, looked: &Looked) -> Markup {
    let account = &looked.proposed.account;
    let found = looked.proposed.found.as_ref();
    let title = if side == SIDES[0] { texts::OLD_MAILBOX } else { texts::NEW_MAILBOX };
    let lines: Vec<String> = found.map(|found| found.lines()).unwrap_or_default();
    let id = format!("{side}-agreed");
    html! {
        section {
            h2 { (title) }
            p { (name(&account.user)) }
            p.server { (name(&server_url(&account.endpoint))) }
            @if account.endpoint.security == Security::Clear { p.note { b { (texts::NOT_ENCRYPTED) } " " (texts::NOT_ENCRYPTED_WHY) } }
            @if let Some(instead) = found.and_then(|found| found.takes_instead()) {
                div.note { p { (instead) "." } (help::more(found.and_then(|found| found.more()))) }
            }
            @if let Some(asks) = looked.proposed.asks() {
                div.note {
                    p { (texts::UNPROVEN) }
                    p.hint { (asks.words()) "." }
                    div.check {
                        input type="checkbox" id=(id) name=(id) value="yes";
                        label for=(id) { (texts::RIGHT_SERVER) }
                    }
                }
            }
            (details(&lines))
        }
    }
}

/// The login to one side.
pub fn login(session: &Session, desk: &Desk, side: &'static str, step: Step, back: &str) -> Markup {
    let is_in = desk.steps.is_in(side);
    let account = desk.steps.answers().side(side).accounts().into_iter().next();
    let provider = account.as_ref().and_then(|account| Provider::of_host(&account.endpoint.host));
    let asks_instead = provider.is_some_and(|provider| provider.login.contains(&"oauth"));
    let shown = desk.shown[usize::from(side == SIDES[1])];
    let action = super::path(step);
    let content = html! {
        section {
            @if let Some(account) = &account {
                p { b { (name(&account.user)) } }
                p.server { (name(&server_url(&account.endpoint))) }
            }
            @if is_in { p.note { (texts::LOGGED_IN) } }
            @else if shown.is_none() && desk.steps.answers().side(side).fingerprint.is_some() { p.note { (texts::VOUCHED) } }
            div.field {
                label for="password" { (texts::PASSWORD) }
                input type="password" id="password" name="password" value="" autocomplete="off"
                    data-focus[shown.is_none()];
            }
            (go(texts::LOG_IN, Some(back)))
        }
    };
    html! {
        (opening(step.title(), texts::purpose(step)))
        @if let Some(shown) = shown { (certificate(session, action, &shown)) }
        (form(session, action, &content))
        @if is_in { p.do { a.button href="./" { (texts::CONTINUE) } } }
        @if asks_instead { (by_browser(session, action, &desk.steps.answers().side(side).sign_in)) }
    }
}

/// A certificate that nobody vouches for but, perhaps, the person.
fn certificate(session: &Session, action: &str, shown: &[u8; 32]) -> Markup {
    let hex = words::hex(shown);
    let content = html! {
        section.alert {
            p { (texts::TRUST_WHY) }
            p.server { (hex) }
            input type="hidden" name="certificate" value=(hex);
            div.do { button.quiet { (texts::TRUST_IT) } }
        }
    };
    form(session, action, &content)
}

fn by_browser(session: &Session, action: &str, sign_in: &SignIn) -> Markup {
    let (issuer, client, secret_file) = match sign_in {
        SignIn::Browser { issuer, client, secret_file } => {
            (issuer.as_str(), client.as_str(), secret_file.as_deref().unwrap_or_default())
        }
        SignIn::Password => ("", "", ""),
    };
    let content = html! {
        section {
            details open[!client.is_empty()] {
                summary { (texts::BY_BROWSER) }
                p.hint { (texts::BY_BROWSER_WHY) " " (help::beside(&help::address("login", "oauth"), texts::HOW_CLIENT)) }
                div.field {
                    label for="issuer" { (texts::ISSUER) }
                    select id="issuer" name="issuer" {
                        option value="google" selected[issuer == "google"] { "Google" }
                        option value="microsoft" selected[issuer == "microsoft"] { "Microsoft" }
                    }
                }
                (field("client", texts::CLIENT, None, client))
                (field("secret-file", texts::SECRET_FILE, None, secret_file))
                div.do { button { (texts::BY_BROWSER) } }
            }
        }
    };
    form(session, action, &content)
}
