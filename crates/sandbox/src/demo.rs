//! The sample account of `mailhaul demo`: the mail of a small joinery over some years, made by rule, so that everybody
//! can say beforehand what must come out.

use crate::{Profile, Sandbox};
use mailhaul_imap::utf7;

/// The user of both demo accounts.
pub const USER: &str = "anna@tischlerei-berg.example";
/// Their password.
pub const PASSWORD: &str = "demo";
/// Octets of the largest attachment before its encoding.
const PLAN_OCTETS: usize = 1_100_000;

/// What the sample predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Mailboxes that move.
    pub mailboxes: u64,
    /// Messages that arrive and are proven.
    pub verified: u64,
    /// Messages that the new server refuses.
    pub refused: u64,
}

/// A mailbox of the sample: path, role, messages.
const MAILBOXES: [(&[&str], Option<&str>, u32); 11] = [
    (&[], None, 40),
    (&["Sent Messages"], Some("\\Sent"), 30),
    (&["Entwürfe"], Some("\\Drafts"), 3),
    (&["Papierkorb"], Some("\\Trash"), 8),
    (&["Kunden"], None, 12),
    (&["Kunden", "Familie Yıldız"], None, 9),
    (&["Kunden", "Müller & Söhne"], None, 14),
    (&["Lieferanten", "日本の工具"], None, 6),
    (&["Rechnungen", "2019"], None, 12),
    (&["Rechnungen", "2024"], None, 16),
    (&["Ideen"], None, 0),
];

const PEOPLE: [&str; 6] = [
    "Jonas Weber <jonas@weber-bau.example>",
    "Elif Yildiz <elif@yildiz.example>",
    "Kenji Mori <mori@mori-tools.example>",
    "Sabine Vogt <s.vogt@steuer-vogt.example>",
    "Holz Kramer <bestellung@holz-kramer.example>",
    "Ben Berg <ben@tischlerei-berg.example>",
];

const SUBJECTS: [&str; 8] = [
    "Angebot Küche Eiche",
    "Termin am Donnerstag",
    "Lieferung 12 Platten Birke",
    "Rückfrage zur Rechnung",
    "Photos of the stairs",
    "Neue Japansäge",
    "Maße Einbauschrank",
    "Danke für den schönen Tisch!",
];

const LINES: [&str; 5] = [
    "anbei wie besprochen die Maße, bitte um kurze Bestätigung.",
    "the oak arrived this morning, two boards have knots we did not order.",
    "können wir den Termin auf Freitag um acht schieben?",
    "der Aufsatz passt, nur die linke Tür braucht noch zwei Millimeter.",
    "please find the invoice attached; payable within 14 days.",
];

/// The old server: prefix `INBOX.`, delimiter `.`.
pub fn source() -> Sandbox {
    let sandbox = Sandbox::new(Profile { delimiter: b'.', prefix: "INBOX.", ..Profile::default() });
    sandbox.add_user(USER, PASSWORD);
    for (path, role, messages) in MAILBOXES {
        let name = wire(path);
        sandbox.create(USER, &name, role, !path.is_empty());
        for n in 0..messages {
            let (octets, flags) = message(path, n);
            sandbox.deliver(USER, &name, octets, flags, &date(n));
        }
    }
    duplicates_and_oddities(&sandbox);
    sandbox
}

/// The new server: no prefix, delimiter `/`, roles of its own, and the strictness of Cyrus about headers.
pub fn target() -> Sandbox {
    let sandbox = Sandbox::new(Profile { refuse_bad_header: true, ..Profile::default() });
    sandbox.add_user(USER, PASSWORD);
    for (name, role) in [("Sent", "\\Sent"), ("Drafts", "\\Drafts"), ("Trash", "\\Trash"), ("Junk", "\\Junk")]
    {
        sandbox.create(USER, name, Some(role), true);
    }
    sandbox
}

/// What must come out.
pub fn expected() -> Expected {
    let made: u32 = MAILBOXES.iter().map(|(_, _, n)| n).sum();
    // Beside the table: two copies more of one message, one more of another, one without Message-ID, one refused.
    Expected { mailboxes: MAILBOXES.len() as u64, verified: u64::from(made) + 4, refused: 1 }
}

fn wire(path: &[&str]) -> String {
    let parts: Vec<String> = path.iter().map(|p| utf7::encode(p)).collect();
    if parts.is_empty() { "INBOX".into() } else { format!("INBOX.{}", parts.join(".")) }
}

fn date(n: u32) -> String {
    const MONTHS: [&str; 6] = ["Jan", "Mar", "May", "Jul", "Sep", "Dec"];
    let zone = ["+0100", "+0200", "+0900", "-0500"][n as usize % 4];
    let (day, month, year) = (n % 28 + 1, MONTHS[n as usize % 6], 2010 + n % 15);
    format!("{day:02}-{month}-{year} {:02}:{:02}:07 {zone}", 7 + n % 12, n % 60)
}

fn message(path: &[&str], n: u32) -> (String, &'static str) {
    let who = PEOPLE[(n as usize + path.len()) % PEOPLE.len()];
    let subject = SUBJECTS[n as usize % SUBJECTS.len()];
    let folder = path.last().copied().unwrap_or("Eingang");
    let head = format!(
        "From: {who}\r\nTo: Anna Berg <{USER}>\r\nSubject: =?utf-8?q?{}?=\r\nMessage-ID: <{n}.{}@mail.example>\r\n\
         Date: {}\r\nMIME-Version: 1.0\r\n",
        quoted(subject),
        utf7::encode(folder).replace(['&', ' ', ','], "_"),
        rfc_date(n),
    );
    let text = format!("Liebe Anna,\r\n\r\n{}\r\n\r\n{folder}, Nr. {n}\r\n", LINES[n as usize % LINES.len()]);
    let octets = match n % 9 {
        // The first of the customers sends a plan of a megabyte and a half.
        4 => with_attachment(&head, &text, if path == ["Kunden"] { PLAN_OCTETS } else { 30_000 }),
        _ => format!(
            "{head}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}"
        ),
    };
    let flags = match (path, n % 7) {
        (["Entwürfe"], _) => "\\Draft \\Seen",
        (["Papierkorb"], 0) => "\\Seen \\Deleted",
        (_, 0) => "",
        (_, 1) => "\\Seen \\Answered",
        (_, 2) => "\\Seen \\Flagged",
        (_, 3) => "\\Seen $Forwarded",
        (_, 4) => "\\Seen NonJunk Werkstatt",
        _ => "\\Seen",
    };
    (octets, flags)
}

fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("={b:02X}") }).collect()
}

fn rfc_date(n: u32) -> String {
    let date = date(n);
    let (day, time) = date.split_once(' ').unwrap_or((&date, ""));
    format!("{} {time}", day.replace('-', " "))
}

fn with_attachment(head: &str, text: &str, octets: usize) -> String {
    use base64::Engine as _;
    let data: Vec<u8> = (0..octets).map(|i| (i * 31 + i / 251) as u8).collect();
    let encoded = base64::engine::general_purpose::STANDARD.encode(data);
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / 38);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(76));
        lines += line;
        lines += "\r\n";
        rest = after;
    }
    format!(
        "{head}Content-Type: multipart/mixed; boundary=\"=_plan\"\r\n\r\n--=_plan\r\nContent-Type: text/plain; \
         charset=utf-8\r\n\r\n{text}--=_plan\r\nContent-Type: application/pdf; name=\"plan.pdf\"\r\n\
         Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"plan.pdf\"\r\n\r\n\
         {lines}--=_plan--\r\n"
    )
}

fn duplicates_and_oddities(sandbox: &Sandbox) {
    let work = wire(&["Kunden"]);
    // Three times the same message, and twice another: they are as many afterwards.
    for (path, n, copies) in [(&["Kunden"][..], 1, 2), (&[][..], 5, 1)] {
        let (octets, flags) = message(path, n);
        for _ in 0..copies {
            sandbox.deliver(USER, &wire(path), octets.clone(), flags, &date(n));
        }
    }
    let anonymous = "Subject: Notiz\r\n\r\nSchrauben 4x40 nachbestellen!\r\n";
    sandbox.deliver(USER, &work, anonymous, "\\Seen", &date(3));
    let broken =
        "From: scanner\r\nthis line of the header has no colon\r\nSubject: Scan\r\n\r\nScan vom Buero\r\n";
    sandbox.deliver(USER, &work, broken, "\\Seen", &date(4));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_holds_what_it_predicts() {
        let all: u64 = source().snapshot(USER).iter().map(|m| m.messages.len() as u64).sum();
        let expected = expected();
        assert_eq!(all, expected.verified + expected.refused);
    }
}
