//! The folded part of the page, for engineers.

use super::{Report, esc, href, name};
use crate::certificate::{ALGORITHM, PUBLIC_KEY_SUFFIX, SIGNATURE_SUFFIX, Status, conditions};
use crate::config::url_of;
use crate::report::{CERTIFICATE, EndFacts, Excerpt, MANIFEST, NoteEntry, REPORT_JSON, words};
use crate::shell::Shell;
use std::fmt::Write as _;

pub(super) fn details(page: &mut String, report: &Report) {
    page.push_str("<section>\n<details>\n<summary>Details for engineers</summary>\n");
    let _ = writeln!(page, "<p>{}</p>", esc(&words::statement(report)));
    conditions_table(page, report);
    facts(page, report);
    notes(page, "Doubts", &report.doubts);
    notes(page, "Remarks", &report.remarks);
    check_yourself(page, Shell::HERE, report);
    page.push_str("</details>\n</section>\n");
}

fn conditions_table(page: &mut String, report: &Report) {
    page.push_str("<table>\n<thead><tr><th scope=\"col\">Condition</th><th scope=\"col\" class=\"n\">Holds</th></tr></thead>\n<tbody>\n");
    for condition in conditions(report) {
        let (class, word) = match condition.status {
            Status::Met => ("ok", "yes"),
            Status::MetWithDoubts => ("unsure", "with doubts"),
            Status::NotMet => ("no", "no"),
            Status::NotAssessed => ("unsure", "not assessed"),
        };
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">{}: {}<div class=\"sub\">{}</div></th><td class=\"n {class}\">{word}</td></tr>",
            condition.id,
            esc(condition.name),
            esc(&condition.detail)
        );
    }
    page.push_str("</tbody>\n</table>\n");
}

fn row(page: &mut String, term: &str, text: &str) {
    if !text.is_empty() {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", esc(term), name(text));
    }
}

fn facts(page: &mut String, report: &Report) {
    let (facts, times) = (&report.facts, &report.times);
    page.push_str("<dl>\n");
    row(page, "Old server", &end(&report.pair.source, &facts.source));
    row(page, "New server", &end(&report.pair.target, &facts.target));
    row(page, "Migration", &facts.migration);
    row(page, "Run", &format!("{} ({})", times.run, times.verb));
    row(page, "Started", times.started.as_deref().unwrap_or_default());
    row(page, "Ended", times.ended.as_deref().unwrap_or("not yet, or interrupted"));
    let listed = [&times.listed_from, &times.listed_until].map(|t| t.as_deref().unwrap_or("unknown"));
    row(page, "Source listed", &format!("{} to {}", listed[0], listed[1]));
    row(page, "Level of proof", words::level(report));
    row(page, "Settle time", &times.settle_ms.map(words::span).unwrap_or_default());
    let timings: Vec<String> = times
        .timings
        .iter()
        .map(|(stage, ms)| format!("{} {}", stage.trim_end_matches("_ms"), words::span(*ms)))
        .collect();
    row(page, "Timings", &timings.join(", "));
    let ladder = report.ladder;
    row(
        page,
        "Ladder",
        &format!(
            "T1 lone LF to CRLF: {}, T2 without keywords: {}, T3 without date: {}, T4 header encoded: {}, T8 in a cover \
             message: {}",
            words::count(ladder.line_ends),
            words::count(ladder.no_keywords),
            words::count(ladder.no_date),
            words::count(ladder.encoded),
            words::count(ladder.wrapped)
        ),
    );
    let d = report.differences;
    row(
        page,
        "Differences",
        &format!(
            "flags {}, dates {}, flags not sent {}, dates not sent {}, flags changed at the source since {}, other flags \
             on adopted messages {}",
            words::count(d.flags),
            words::count(d.dates),
            words::count(d.flags_not_sent),
            words::count(d.dates_not_sent),
            words::count(d.flags_changed_at_source),
            words::count(d.adopted_flags)
        ),
    );
    row(page, "Danger options", &words::danger(report));
    row(
        page,
        "Manifest",
        &format!("{} lines, SHA-256 {}", words::count(report.manifest.lines), report.manifest.sha256),
    );
    let signer =
        facts.signer.as_ref().map(|signer| format!("key with SHA-256 {}", signer.public().fingerprint()));
    row(page, "Signed by", signer.as_deref().unwrap_or("nobody"));
    page.push_str("</dl>\n");
}

fn end(account: &str, end: &EndFacts) -> String {
    let mut text = account.to_owned();
    for part in [&end.server, &end.product] {
        if !part.is_empty() {
            let _ = write!(text, " · {part}");
        }
    }
    if let Some(tls) = &end.tls {
        let _ = write!(text, " · {tls}");
    }
    text
}

fn notes(page: &mut String, title: &str, notes: &Excerpt<NoteEntry>) {
    if notes.total == 0 {
        return;
    }
    let _ = writeln!(page, "<h3>{title}</h3>\n<ul class=\"plain\">");
    for note in &notes.shown {
        let mailbox = note.mailbox.as_deref().map(|m| format!("{}: ", name(m))).unwrap_or_default();
        let _ = writeln!(page, "<li>{mailbox}{} <code>{}</code></li>", name(&note.text), esc(&note.kind));
    }
    if notes.more() > 0 {
        let _ = writeln!(page, "<li>and {} more in the journal</li>", words::count(notes.more()));
    }
    page.push_str("</ul>\n");
}

fn check_yourself(page: &mut String, shell: Shell, report: &Report) {
    let _ = writeln!(
        page,
        "<h3>How to check this yourself</h3>\n\
         <p><a href=\"{}\">{MANIFEST}</a> has one line for each source message: where it was, where it is, and the \
         SHA-256 of its octets on both sides. <a href=\"{}\">{CERTIFICATE}</a> binds it, <a href=\"{}\">{REPORT_JSON}</a> \
         has everything on this page.</p>\n\
         <p>The first command prints the SHA-256 of the manifest, <code>{}</code>; the second one compares everything again. {}</p>\n\
         <pre>{}\nmailhaul verify --certificate {CERTIFICATE} --reread-source {} {}</pre>",
        href(MANIFEST),
        href(CERTIFICATE),
        href(REPORT_JSON),
        esc(&report.manifest.sha256),
        shell.on_copying(),
        esc(&shell.sha256(MANIFEST)),
        esc(&reached(shell, "--from", &report.pair.source, &report.facts.source.options)),
        esc(&reached(shell, "--to", &report.pair.target, &report.facts.target.options))
    );
    match &report.facts.signer {
        Some(signer) => signed(page, &signer.public().fingerprint().to_string()),
        None => _ = writeln!(page, "<p>{}</p>", esc(words::NOT_SIGNED)),
    }
}

/// One side of a command line: the account, and what else it takes to reach it. Each is one word of a shell.
fn reached(shell: Shell, option: &str, account: &str, options: &[String]) -> String {
    let account = format!("{option}={}", url_of(account));
    let words = std::iter::once(&account).chain(options);
    words.map(|word| shell.quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Who signed the certificate, and the commands that check it without this program: the same in each shell, of which some pass no octets
/// from one to another.
fn signed(page: &mut String, fingerprint: &str) {
    let key = format!("{CERTIFICATE}{PUBLIC_KEY_SUFFIX}");
    let signature = format!("{CERTIFICATE}{SIGNATURE_SUFFIX}");
    let _ = writeln!(
        page,
        "<p><a href=\"{}\">{signature}</a> is the signature of the certificate ({ALGORITHM}), <a href=\"{}\">{key}</a> \
         the public half of the key that made it. {}</p>\n\
         <p>The first command says that the signature is good, the last one prints the SHA-256 of the key, \
         <code>{fingerprint}</code>.</p>\n\
         <pre>openssl pkeyutl -verify -pubin -inkey {key} -rawin -in {CERTIFICATE} -sigfile {signature}\n\
         openssl pkey -pubin -in {key} -outform DER -out key.der\n\
         openssl dgst -sha256 key.der</pre>",
        href(&signature),
        href(&key),
        esc(words::SIGNATURE_PROVES),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_user_name_the_command_means_that_account() {
        let options = ["--to-auth-user=o'neill".to_owned()];
        let reached = |shell| reached(shell, "--to", "imap://a b:%@x.example@[::1]:143", &options);
        assert_eq!(
            reached(Shell::Posix),
            r"'--to=imap://a%20b%3A%25@x.example@[::1]:143' '--to-auth-user=o'\''neill'"
        );
        assert_eq!(
            reached(Shell::Windows),
            "\"--to=imap://a%20b%3A%25@x.example@[::1]:143\" \"--to-auth-user=o'neill\""
        );
    }
}
