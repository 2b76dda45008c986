//! One message: a letter, or one with attachments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailhaul_testkit::corpus::Random;
use mailhaul_testkit::date::InternalDate;

/// Shorter office mail has no attachment.
const ATTACHED_FROM_OCTETS: u64 = 12_000;
/// What the headers and the ends of the parts take, about.
const FRAME_OCTETS: u64 = 700;
/// Octets encoded in one line of 76 characters (RFC 2045 section 6.8).
const LINE_OCTETS: usize = 57;
const WORDS: [&str; 48] = [
    "time", "year", "people", "way", "day", "thing", "life", "child", "world", "school", "state", "group",
    "country", "problem", "hand", "part", "place", "case", "week", "company", "system", "program",
    "question", "work", "number", "night", "point", "home", "water", "room", "area", "money", "story",
    "fact", "month", "invoice", "meeting", "budget", "contract", "draft", "review", "release", "deadline",
    "customer", "offer", "quarter", "report", "größe",
];
const PEOPLE: [&str; 6] = [
    "Ada Lovelace",
    "=?UTF-8?B?SsO8cmdlbiBHcm/Dnw==?=",
    "Maria Silva",
    "John Smith",
    "=?UTF-8?B?5L2Q6JekIOiKseWtkA==?=",
    "Bob Jones",
];
const FILES: [&str; 4] = ["report.pdf", "scan.png", "archive.zip", "table.xlsx"];

/// A message of about so many octets; with one to three attachments if `attached` and it is long enough.
pub(super) fn letter(random: &mut Random, date: InternalDate, octets: u64, attached: bool) -> Vec<u8> {
    if attached && octets >= ATTACHED_FROM_OCTETS {
        return with_attachments(random, date, octets);
    }
    let mut message = head(random, date, "text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit");
    let wanted = (octets as usize).saturating_sub(message.len()).max(64);
    prose(random, &mut message, wanted);
    message
}

fn with_attachments(random: &mut Random, date: InternalDate, octets: u64) -> Vec<u8> {
    let boundary = format!("=_{:016x}{:016x}", random.next_u64(), random.next_u64());
    let mut message = head(random, date, &format!("multipart/mixed; boundary=\"{boundary}\""));
    message.reserve(octets as usize);
    let text = format!("--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
    message.extend_from_slice(text.as_bytes());
    let wanted = random.between(500, 3_000) as usize;
    prose(random, &mut message, wanted);
    let parts = random.between(1, 3);
    let left = octets.saturating_sub(message.len() as u64 + FRAME_OCTETS) / parts;
    for _ in 0..parts {
        let name = random.pick(&FILES);
        let head = format!(
            "--{boundary}\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\n\
            Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\r\n"
        );
        message.extend_from_slice(head.as_bytes());
        encoded(&random.octets(left as usize * LINE_OCTETS / 78), &mut message);
    }
    message.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    message
}

fn head(random: &mut Random, date: InternalDate, content_type: &str) -> Vec<u8> {
    let date = date.rfc5322();
    let (from, to) = (random.below(500), random.below(500));
    let (id, queue) = (random.next_u64(), random.next_u64() >> 24);
    let mut subject = String::new();
    for _ in 0..random.between(2, 6) {
        subject.push_str(random.pick(&WORDS[..WORDS.len() - 1]));
        subject.push(' ');
    }
    format!(
        "Return-Path: <user{from}@example.org>\r\n\
        Received: from mx.example.org (mx.example.org [192.0.2.{hop}])\r\n\
        \tby in.example.net (Postfix) with ESMTPS id {queue:010X}\r\n\tfor <user{to}@example.net>; {date}\r\n\
        Date: {date}\r\nFrom: {sender} <user{from}@example.org>\r\nTo: {receiver} <user{to}@example.net>\r\n\
        Subject: {subject}\r\nMessage-ID: <{id:016x}@bench.example.org>\r\nMIME-Version: 1.0\r\n\
        Content-Type: {content_type}\r\n\r\n",
        hop = random.below(255),
        sender = random.pick(&PEOPLE),
        receiver = random.pick(&PEOPLE),
        subject = subject.trim_end(),
    )
    .into_bytes()
}

/// Lines of eleven words until so many octets are there.
fn prose(random: &mut Random, into: &mut Vec<u8>, octets: usize) {
    let end = into.len() + octets;
    while into.len() < end {
        for _ in 0..11 {
            into.extend_from_slice(random.pick(&WORDS).as_bytes());
            into.push(b' ');
        }
        into.pop();
        into.extend_from_slice(b"\r\n");
    }
}

/// Base64 in lines (RFC 2045 section 6.8).
fn encoded(octets: &[u8], into: &mut Vec<u8>) {
    let mut line = [0; 76];
    for piece in octets.chunks(LINE_OCTETS) {
        // 57 octets make the 76 characters there is room for
        let written = STANDARD.encode_slice(piece, &mut line).unwrap_or_default();
        into.extend_from_slice(&line[..written]);
        into.extend_from_slice(b"\r\n");
    }
}
