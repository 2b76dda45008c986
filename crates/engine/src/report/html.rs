//! `report.html`: one page that a person understands at a glance.
//!
//! It needs no script and loads nothing: one style block, allowed by its hash alone. Every text that a server had a
//! hand in goes through `esc`.

mod details;
mod parts;

use super::{Report, Verdict, words};
use base64::Engine as _;
use parts::segments;
pub use parts::{Segment, bar, cards_beside_exceptions, key};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// How the page looks, in light and dark, on a telephone and on paper.
pub const STYLE: &str = include_str!("assets/report.css");

/// Mailboxes named one by one where they are left out.
const LEFT_OUT_SHOWN_MAX: usize = 200;

/// Text for HTML content and quoted attributes: harmless for eyes, and never markup.
fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in words::printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A name from a server, kept from turning the writing around it.
fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", esc(text))
}

/// A file of the report's folder as a relative address (RFC 3986, percent-encoded).
fn href(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for octet in path.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                out.push(char::from(octet))
            }
            _ => _ = write!(out, "%{octet:02X}"),
        }
    }
    out
}

/// The account as people write it: `imaps://ann@old.example:993` becomes `ann@old.example`.
fn account(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.trim_end_matches('/');
    match rest.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => rest,
    }
}

/// The page.
pub(super) fn html(report: &Report) -> String {
    let mut page = String::new();
    head(&mut page, report);
    hero(&mut page, report);
    needs_you(&mut page, report);
    sum(&mut page, report);
    mailboxes(&mut page, report);
    left_out(&mut page, report);
    next_steps(&mut page, report);
    not_covered(&mut page);
    details::details(&mut page, report);
    let _ = writeln!(
        page,
        "<footer>Written by Mailhaul {} from its notes of this move. Nothing on this page was loaded from elsewhere.</footer>\n\
         </main>\n</body>\n</html>",
        esc(&report.facts.version)
    );
    page
}

/// The policy of the page (CSP): one style block, by its hash, and nothing else.
pub fn policy() -> String {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'")
}

fn head(page: &mut String, report: &Report) {
    let (from, to) = (account(&report.pair.source), account(&report.pair.target));
    let when = report.times.ended.as_ref().or(report.times.started.as_ref()).map(|t| words::moment(t));
    let _ = writeln!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{} – Mailhaul</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <div class=\"top\"><span><b>{}</b> to <b>{}</b></span><span>{}</span></div>",
        policy(),
        esc(&words::headline(report)),
        name(from),
        name(to),
        esc(&when.unwrap_or_default()),
    );
}

/// Class of the page's mood and the path of its sign.
pub fn mood(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Complete => ("done", "M13.5 24.8l7 7L34.5 17"),
        Verdict::CompleteWithExceptions => ("needs-person", "M24 13.5v13M24 33.4v.6"),
        Verdict::Incomplete => ("unfinished", "M24 14v10.5l7 4"),
        Verdict::Failed => ("failed", "M16.5 16.5l15 15M31.5 16.5l-15 15"),
    }
}

fn hero(page: &mut String, report: &Report) {
    let (class, mark) = mood(report.verdict());
    let tally = &report.totals.walked;
    let below = words::subline(report);
    let below = if below.is_empty() { String::new() } else { format!("<p>{}</p>", esc(&below)) };
    // What does not add up is not painted as if it did.
    let picture = if report.verdict() == Verdict::Failed {
        String::new()
    } else {
        let segments = segments(tally);
        format!("{}\n{}", bar(&segments, "All messages"), key(&segments))
    };
    let beside =
        words::beside(report).map(|b| format!("<p class=\"sub\">{}</p>\n", esc(&b))).unwrap_or_default();
    let _ = writeln!(
        page,
        "<section class=\"hero {class}\">\n<div class=\"say\"><svg viewBox=\"0 0 48 48\" aria-hidden=\"true\">\
         <circle class=\"disc\" cx=\"24\" cy=\"24\" r=\"24\"/><path class=\"mark\" d=\"{mark}\"/></svg>\n\
         <div><h1>{}</h1>{below}</div></div>\n{picture}\n{beside}</section>",
        esc(&words::headline(report)),
    );
}

fn needs_you(page: &mut String, report: &Report) {
    let cards = parts::cards(report);
    if cards.is_empty() {
        return;
    }
    let _ =
        writeln!(page, "<section class=\"alert\">\n<h2>Needs you</h2>\n<ul class=\"cards\">\n{cards}</ul>");
    if report.exceptions.more() > 0 {
        let _ = writeln!(
            page,
            "<p>{} more: see <a href=\"{}\">the manifest</a>.</p>",
            words::messages(report.exceptions.more()),
            href(super::MANIFEST)
        );
    }
    page.push_str("</section>\n");
}

fn sum(page: &mut String, report: &Report) {
    let tally = &report.totals.walked;
    let _ = writeln!(
        page,
        "<section>\n<h2>How the numbers add up</h2>\n<table class=\"sum\">\n\
         <tr class=\"first\"><td class=\"sign\"></td><td class=\"n\">{}</td><th scope=\"row\">messages listed at the \
         old server <span class=\"sub\">({})</span></th></tr>",
        words::count(tally.sum()),
        words::size(tally.octets)
    );
    for (at, (n, what)) in super::summary::summands(tally).iter().enumerate() {
        let sign = if at == 0 { "=" } else { "+" };
        let _ = writeln!(
            page,
            "<tr><td class=\"sign\">{sign}</td><td class=\"n\">{}</td><th scope=\"row\">{}</th></tr>",
            words::count(*n),
            esc(what)
        );
    }
    let remainder = report.outcome.remainder;
    let (class, what) = match remainder {
        0 => ("zero", "unaccounted for: every message is in one line above"),
        _ => ("wrong", "too many or too few: the count is not right"),
    };
    let _ = writeln!(
        page,
        "<tr class=\"{class}\"><td class=\"sign\"></td><td class=\"n\">{}</td><th scope=\"row\">{what}</th></tr>\n\
         </table>\n</section>",
        words::count(remainder)
    );
}

fn mailboxes(page: &mut String, report: &Report) {
    let moving: Vec<_> = report.mailboxes.iter().filter(|m| m.moves()).collect();
    if moving.is_empty() {
        return;
    }
    page.push_str(
        "<section>\n<h2>Folders</h2>\n<table class=\"boxes\">\n<thead><tr><th scope=\"col\">Folder</th>\
         <th scope=\"col\" class=\"n\">On the new server</th><th scope=\"col\" class=\"n size\">Size</th></tr></thead>\n\
         <tbody>\n",
    );
    moving.iter().for_each(|entry| parts::mailbox_row(page, report, entry));
    page.push_str("</tbody>\n</table>\n</section>\n");
}

fn left_out(page: &mut String, report: &Report) {
    page.push_str("<section>\n<h2>Left out</h2>\n");
    let rules = report.totals.walked.excluded_by_rule();
    let boxes: Vec<String> = report.mailboxes.iter().filter_map(parts::left_out_line).collect();
    if rules.is_empty() && boxes.is_empty() {
        page.push_str("<p>Nothing was left out.</p>\n</section>\n");
        return;
    }
    page.push_str("<ul class=\"plain\">\n");
    for (rule, n) in rules {
        let _ = writeln!(page, "<li>{}: {}</li>", words::messages(n), name(&words::rule(&rule)));
    }
    boxes.iter().take(LEFT_OUT_SHOWN_MAX).for_each(|line| page.push_str(line));
    if boxes.len() > LEFT_OUT_SHOWN_MAX {
        let more = (boxes.len() - LEFT_OUT_SHOWN_MAX) as u64;
        let _ = writeln!(
            page,
            "<li>{}: see report.json</li>",
            words::amount(more, "more folder", "more folders")
        );
    }
    page.push_str("</ul>\n</section>\n");
}

fn next_steps(page: &mut String, report: &Report) {
    let (verdict, exceptions) = (report.verdict(), report.totals.walked.exceptions());
    let mut steps: Vec<&str> = match verdict {
        Verdict::Failed => vec![
            "Change nothing in either mailbox.",
            "Keep this folder and Mailhaul's notes of this move; they say what happened.",
            "Show this page to somebody who knows Mailhaul.",
        ],
        Verdict::Incomplete => vec![
            "Start it again as before: it goes on where it stopped and copies nothing twice.",
            "Keep the old mailbox as it is.",
        ],
        Verdict::CompleteWithExceptions if exceptions == 0 => {
            vec!["Look at each point under <em>Needs you</em>: it says what can be done."]
        }
        Verdict::CompleteWithExceptions => vec![
            "Look at each point under <em>Needs you</em>. Where an original was saved, a mail program opens the .eml \
             file.",
            "When a cause is mended, try these again.",
        ],
        Verdict::Complete => vec!["Open the new mailbox in your mail program and look around."],
    };
    if report.outcome.damaged_or_absent > 0 {
        steps.push(
            "A message that came out different, or is not there, is not sent a second time by itself: bring it over from \
             the old mailbox by hand, and tell the new provider.",
        );
    }
    if matches!(verdict, Verdict::Complete | Verdict::CompleteWithExceptions) {
        steps.push(
            "While mail still arrives at the old address, start it again as before: it brings what is new and nothing \
             twice.",
        );
        steps.push("Bring over by other means what is listed below under <em>What this does not cover</em>.");
        steps.push("Keep the old mailbox, without using it, for another 30 days before you close it.");
    }
    page.push_str("<section>\n<h2>What to do next</h2>\n<ol class=\"plain\">\n");
    steps.iter().for_each(|step| _ = writeln!(page, "<li>{step}</li>"));
    page.push_str("</ol>\n");
    if verdict == Verdict::CompleteWithExceptions && exceptions > 0 {
        page.push_str(
            "<details><summary>Details</summary><p>By command: the same one with <code>--retry</code>; with \
             <code>--repair</code> what is refused goes inside a cover message, or with its header encoded.</p></details>\n",
        );
    }
    page.push_str("</section>\n");
}

fn not_covered(page: &mut String) {
    page.push_str("<section>\n<h2>What this does not cover</h2>\n<ul class=\"plain\">\n");
    words::NOT_COVERED.iter().for_each(|what| _ = writeln!(page, "<li>{}</li>", esc(what)));
    page.push_str("</ul>\n</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_from_a_server_stays_text() {
        assert_eq!(
            esc("<script>alert(\"1\")</script>&'"),
            "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;"
        );
        assert_eq!(href("exceptions/a b\"<é-1.eml"), "exceptions/a%20b%22%3C%C3%A9-1.eml");
    }

    #[test]
    fn an_account_is_shown_as_people_write_it() {
        assert_eq!(account("imaps://ann@old.example:993"), "ann@old.example");
        assert_eq!(account("imap+insecure://ann@x.org@[::1]:143/"), "ann@x.org@[::1]");
        assert_eq!(account("ann"), "ann");
    }
}
