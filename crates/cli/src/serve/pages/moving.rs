//! Step 5: before the run, the run as it goes, and its end.

use super::{Problem, form, name, opening, said as said_of};
use crate::serve::app::{How, Over, Under};
use crate::serve::guard::Session;
use crate::serve::live::Standing;
use crate::serve::speed::roughly;
use crate::serve::texts;
use crate::steps::Step;
use crate::view::{At, Need, Row, View};
use mailhaul_engine::certificate::{PUBLIC_KEY_SUFFIX, SIGNATURE_SUFFIX};
use mailhaul_engine::report::html::{Segment, bar, key, mood};
use mailhaul_engine::report::words::{count, exception_kind, exception_remedy, sentence};
use mailhaul_engine::report::{CERTIFICATE, MANIFEST, REFUSED, REPORT_HTML, Verdict};
use maud::{Markup, PreEscaped, html};

/// Where the live numbers come from.
pub const EVENTS: &str = "move/events";

/// Before anything is moved. `forecast`: how much it is, where that was looked at.
pub fn before(session: &Session, forecast: Option<&str>) -> Markup {
    let content = html! {
        section {
            @if let Some(forecast) = forecast { p { (forecast) } } div.do { (button("begin", texts::BEGIN, false)) a.button.quiet href="choose" { (texts::BACK) } } }
    };
    html! {
        (opening(Step::Move.title(), texts::purpose(Step::Move)))
        (form(session, "move", &content))
    }
}

/// The buttons say what they do by their value.
fn button(value: &str, label: &str, is_quiet: bool) -> Markup {
    html! { button.quiet[is_quiet] name="do" value=(value) { (label) } }
}

/// The run as it goes.
pub fn under(session: &Session, under: &Under, standing: &Standing) -> Markup {
    let is_stopping = under.is_pausing();
    let buttons = html! {
        div.do {
            @if is_stopping { p { (texts::STOPPING) } } @else {
                (button("pause", texts::PAUSE, true))
            }
        }
    };
    html! {
        h1 { (texts::MOVING) }
        p { (texts::purpose(Step::Move)) }
        p.problem #lost role="alert" hidden { (texts::LIVE_LOST) }
        p.unseen #said role="status" {}
        div data-live=(EVENTS) {
            section { div #whole { (whole(standing)) } (form(session, "move", &buttons)) }
            section { h2 { (texts::NEEDS_YOU) } div #needs { (needs(standing)) } }
            section { h2 { (texts::ALL_FOLDERS) } div #boxes { (boxes(standing)) } }
        }
        noscript { p.do { a.button.quiet href="move" { (texts::RELOAD) } } }
    }
}

/// All together: how much, how fast, what is waited for.
pub fn whole(standing: &Standing) -> Markup {
    let (view, row) = (&standing.view, &standing.whole);
    let percent = view.percent();
    let speed = texts::speed(standing.per_minute, standing.left.map(roughly).as_deref());
    html! {
        div.now {
            span.percent #percent { (percent) (texts::PERCENT) }
            span.hint { (view.stage_line()) }
        }
        progress max="100" value=(percent) aria-label=(texts::ALL_FOLDERS) aria-valuetext=(said(standing)) { (percent) (texts::PERCENT) }
        (PreEscaped(key(&segments(row))))
        @if let Some(speed) = speed { p.hint { (speed) } }
        @if let Some(waiting) = &standing.waiting { p.note { (said_of(waiting)) } }
        @if view.reconnects > 0 { p.hint { (texts::reconnects(view.reconnects)) } }
    }
}

/// What is read to somebody who does not see the bars.
pub fn said(standing: &Standing) -> String {
    let row = &standing.whole;
    texts::said(standing.view.percent(), row.there.messages, row.all.messages, row.proven.messages, row.needs)
}

/// The parts of a bar; what is there and not read back yet is shown fainter.
fn segments(row: &Row) -> Vec<Segment> {
    let proven = row.proven.messages.min(row.there.messages);
    let mut parts = vec![
        ("there", texts::PART_PROVEN, proven),
        ("half", texts::PART_MOVED, row.there.messages - proven),
        ("needs", texts::PART_NEEDS, row.needs),
        ("rest", texts::PART_TODO, row.todo()),
        ("out", texts::PART_OUT, row.aside),
    ];
    parts.retain(|(.., n)| *n > 0);
    parts
}

/// A bar for each mailbox.
pub fn boxes(standing: &Standing) -> Markup {
    html! {
        table.boxes {
            thead {
                tr {
                    th scope="col" { (texts::FOLDER) }
                    th.n scope="col" { (texts::MOVED) }
                    th.n.size scope="col" { (texts::READ_BACK) }
                }
            }
            tbody { @for (id, row) in &standing.view.mailboxes { (one_box(*id, row)) } }
        }
    }
}

/// Its id keeps it the same element of the page while its numbers change; so with [`need_id`].
fn one_box(id: i64, row: &Row) -> Markup {
    let proven = row.proven.messages.min(row.there.messages);
    html! {
        tr id=(format!("box-{id}")) {
            th scope="row" {
                (name(&row.source))
                @if row.target != row.source { " " span.sub { (texts::GOES_TO) " " (name(&row.target)) } }
                @if row.at == At::Done { " " span.ok aria-hidden="true" { "✓" } span.unseen { (texts::DONE) } }
                (PreEscaped(bar(&segments(row), &row.source)))
            }
            td.n { (texts::n_of(row.there.messages, row.all.messages)) }
            td.n.size { (count(proven)) }
        }
    }
}

/// What a person has to look at, with what can be done.
pub fn needs(standing: &Standing) -> Markup {
    let view = &standing.view;
    let more = standing.whole.needs.saturating_sub(view.needs.len() as u64);
    html! {
        @if view.needs.is_empty() { p { (texts::NEEDS_NOTHING) } }
        @else {
            ul.cards {
                @for need in &view.needs {
                    li id=(need_id(view, need)) {
                        h3 { (texts::MESSAGE_IN) " " (name(&need.mailbox)) }
                        p { (sentence(&exception_kind(&need.kind))) "." }
                        p { (exception_remedy(&need.kind)) }
                        (super::details(&[format!("UID {}: {}", need.uid, need.text)]))
                    }
                }
            }
            @if more > 0 { p { (texts::more_needs(more)) } }
        }
    }
}

fn need_id(view: &View, need: &Need) -> String {
    let mailbox = view.mailboxes.iter().find(|(_, row)| row.source == need.mailbox).map_or(0, |(id, _)| *id);
    format!("need-{mailbox}-{}", need.uid)
}

/// The end of a run. `command`: what does the same on the command line.
pub fn over(session: &Session, over: &Over, command: &str) -> Markup {
    let whole = &over.last.whole;
    let so_far = texts::so_far(whole.there.messages, whole.all.messages, whole.proven.messages);
    let (class, mark, title, below) = match &over.how {
        How::Done { verdict, headline, below, .. } => {
            let (class, mark) = mood(*verdict);
            (class, mark, headline.as_str(), below.as_str())
        }
        How::Paused => {
            let (class, mark) = mood(Verdict::Incomplete);
            (class, mark, texts::PAUSED, so_far.as_str())
        }
        How::Failed(_) => {
            let (class, mark) = mood(Verdict::Failed);
            (class, mark, texts::FAILED, "")
        }
    };
    let may_end = matches!(over.how, How::Done { .. });
    let again = if may_end { texts::MOVE_AGAIN } else { texts::GO_ON };
    let buttons = html! { div.do { (button("begin", again, may_end)) } };
    html! {
        section class={ "hero " (class) } {
            div.say {
                svg viewBox="0 0 48 48" aria-hidden="true" {
                    circle.disc cx="24" cy="24" r="24" {}
                    path.mark d=(mark) {}
                }
                div {
                    h1 tabindex="-1" data-focus { (title) }
                    @if !below.is_empty() { p { (below) } }
                    @if let How::Failed(problem) = &over.how { (why(problem)) }
                    @if let How::Done { asks, .. } = &over.how { @for question in asks { p.note { (said_of(question)) } } }
                    @if !may_end { p { (texts::NOTHING_LOST) } }
                    @if matches!(over.how, How::Paused) { p { (texts::PAUSED_NEXT) } }
                }
            }
            (form(session, "move", &buttons))
        }
        (needs_at_end(session, over))
        @if let Some(folder) = &over.report {
            section {
                h2 { (texts::REPORT) }
                ul.links {
                    li { a href={ "report/" (REPORT_HTML) } { b { (texts::OPEN_REPORT) } } " " span.hint { (texts::OPEN_REPORT_WHY) } }
                    li {
                        a href={ "report/" (CERTIFICATE) } { (texts::CERTIFICATE) }
                        " · " a href={ "report/" (CERTIFICATE) (SIGNATURE_SUFFIX) } { (texts::SIGNATURE) }
                        " · " a href={ "report/" (CERTIFICATE) (PUBLIC_KEY_SUFFIX) } { (texts::PUBLIC_KEY) }
                    }
                    li { a href={ "report/" (MANIFEST) } { (texts::MANIFEST) } }
                }
                p.hint { (texts::REPORT_FOLDER) " " span.server { (name(&folder.display().to_string())) } }
            }
        }
        @if may_end {
            section {
                p { (texts::FINISHED_NEXT) }
                details {
                    summary { (texts::BY_COMMAND) }
                    p.hint { (texts::BY_COMMAND_WHY) }
                    p.server { (name(command)) }
                }
                p.hint { (texts::OTHER_MAILBOXES_WHY) }
                (form(session, "anew", &html! { div.do { button.quiet { (texts::OTHER_MAILBOXES) } } }))
            }
        }
    }
}

/// What needs a person when a run has ended: mailboxes first, then single messages.
fn needs_at_end(session: &Session, over: &Over) -> Markup {
    let cards = if let How::Done { cards, .. } = &over.how { cards.as_str() } else { "" };
    let has_messages = !over.last.view.needs.is_empty();
    html! {
        @if has_messages || !cards.is_empty() {
            section.alert {
                h2 { (texts::NEEDS_YOU) }
                @if !cards.is_empty() { ul.cards { (PreEscaped(cards)) } }
                @if has_messages {
                    (needs(&over.last))
                    (form(session, "move", &remedies(&over.last)))
                }
            }
        }
    }
}

/// What can be done here about what needs a person.
fn remedies(standing: &Standing) -> Markup {
    let is_refused = standing.view.needs.iter().any(|need| need.kind == REFUSED);
    html! {
        div.do {
            (button("retry", texts::RETRY, true))
            @if is_refused { (button("repair", texts::REPAIR, true)) }
        }
        p.hint { (texts::RETRY_WHY) @if is_refused { " " (texts::REPAIR_WHY) } }
    }
}

fn why(problem: &Problem) -> Markup {
    html! {
        p { (said_of(&problem.what)) }
        @if let Some(next) = &problem.next { p { b { (said_of(next)) } } }
        (super::details(&problem.details))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailhaul_engine::progress::{Progress, SideName, WaitReason};
    use std::time::{Duration, SystemTime};

    fn standing(events: &[Progress]) -> Standing {
        let mut view = View::default();
        events.iter().for_each(|event| _ = view.fold(event));
        let (whole, waiting) = (view.whole(), view.waiting(std::time::SystemTime::UNIX_EPOCH));
        Standing { view, whole, waiting, per_minute: Some(120), left: Some(Duration::from_secs(90)) }
    }

    fn begun() -> [Progress; 3] {
        let (source, target) = ("<b>A\u{202e}".to_owned(), "B".to_owned());
        [
            Progress::MailboxStarted { mailbox: 1, source, target, messages: 10, octets: 100 },
            Progress::Stored { mailbox: 1, messages: 4, octets: 40 },
            Progress::Verified { mailbox: 1, messages: 3, octets: 30 },
        ]
    }

    #[test]
    fn who_is_waited_for_and_until_when_is_shown_with_the_numbers() {
        let wait = Progress::Waiting {
            side: SideName::Target,
            server: "Microsoft 365".into(),
            reason: WaitReason::Asked,
            why: "x".into(),
            seconds: 300,
            until: SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_167_520),
        };
        let lost = Progress::Reconnecting { side: SideName::Source, why: "x".into() };
        let events = [&begun()[..], &[lost, wait]].concat();
        let page = whole(&standing(&events)).into_string();
        for words in [
            "35 %",
            "aria-label=\"All folders\" aria-valuetext=\"35 percent: 4 of 10 messages moved, 3 read back\"",
            "Microsoft 365 asked us to wait until",
            "120 messages a minute; about 2 minutes left",
            "A connection was lost once and made again",
            "<b>3</b> read back",
            "<b>1</b> moved, not read back yet",
            "<b>6</b> still to do",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert_eq!(said(&standing(&events)), "35 percent: 4 of 10 messages moved, 3 read back");
    }

    #[test]
    fn what_needs_a_person_comes_with_a_remedy_and_no_markup_of_a_server() {
        let text = "NO <script>alert(1)</script>\u{1b}[2J".to_owned();
        let kinds = mailhaul_engine::report::KINDS;
        let exception = |(key, kind): (i64, &&str)| Progress::Exception {
            mailbox: 1,
            key,
            kind: (*kind).to_owned(),
            text: text.clone(),
        };
        let exceptions = (7..).zip(&kinds).map(exception);
        let events: Vec<Progress> = begun().into_iter().chain(exceptions).collect();
        let standing = standing(&events);
        let page = needs(&standing).into_string() + &boxes(&standing).into_string();
        assert!(page.contains("<tr id=\"box-1\">"), "{page}");
        for kind in kinds {
            let remedy = html! { (exception_remedy(kind)) }.into_string();
            assert_eq!(page.matches(&remedy).count(), 1, "{kind}: {page}");
        }
        for uid in 7..13 {
            assert_eq!(page.matches(&format!("<li id=\"need-1-{uid}\">")).count(), 1, "{page}");
        }
        assert!(page.contains("&lt;script&gt;") && page.contains("&lt;b&gt;A"), "{page}");
        for harmful in ["<script", "<b>A", "\u{1b}", "\u{202e}"] {
            assert!(!page.contains(harmful), "{harmful:?}: {page}");
        }
    }
}
