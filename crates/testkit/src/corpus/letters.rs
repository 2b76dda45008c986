//! The text of generated messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Random;
use crate::date::InternalDate;

const WORDS: [&str; 32] = [
    "invoice",
    "meeting",
    "budget",
    "contract",
    "draft",
    "review",
    "release",
    "deadline",
    "customer",
    "offer",
    "quarter",
    "report",
    "water",
    "Größe",
    "привет",
    "été",
    "street",
    "日本",
    "garden",
    "window",
    "letter",
    "train",
    "evening",
    "colour",
    "number",
    "island",
    "paper",
    "answer",
    "naïve",
    "summer",
    "kitchen",
    "bridge",
];
const PEOPLE: [&str; 8] = [
    "Ada Lovelace",
    "Jürgen Groß",
    "Зоя Петрова",
    "佐藤 花子",
    "\"Silva, Maria\"",
    "Łukasz Nowak",
    "Chloé Dubois",
    "Sam O'Neil",
];
/// Headers that servers have been seen to trip over, kept by Dovecot (but for mbox) and Cyrus.
const ODD_HEADERS: [&str; 8] = [
    "X-Empty:",
    "X-Folded: one\r\n\ttwo\r\n  three",
    "X-Raw-8bit: Gr\u{f6}\u{df}e ohne Kodierung",
    "Subject: a second subject",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "X-Trailing-Space: here   ",
    "X-Looks-Like-IMAP: * 1 FETCH (UID 1 BODY[] {3}",
    "X-Broken-Word: =?UTF-8?B?8J+?=",
];
/// Beyond the 998 octets a line may have (RFC 5322 section 2.1.1).
const LONG_LINE_OCTETS: usize = 3_000;
/// base64 lines of an attachment, in octets.
const BASE64_LINE_OCTETS: usize = 76;

/// A whole message with a body of about `body_octets`. Its Message-ID is made of `seed` and `ordinal`, so that no
/// two are equal.
#[must_use]
pub fn letter(
    random: &mut Random,
    seed: u64,
    ordinal: usize,
    date: InternalDate,
    body_octets: usize,
) -> Vec<u8> {
    let mut text = headers(random, seed, ordinal, date);
    match random.below(10) {
        0..=5 => text.push_str(&plain(random, body_octets)),
        6..=7 => text.push_str(&multipart(random, body_octets)),
        8 => text.push_str(&long_line(random, body_octets)),
        _ => return latin1(random, text, body_octets),
    }
    if random.chance(10) {
        // no final newline
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        text.push('.');
    }
    text.into_bytes()
}

fn headers(random: &mut Random, seed: u64, ordinal: usize, date: InternalDate) -> String {
    let stamp = date.rfc5322();
    let mut text = format!(
        "Return-Path: <sender@example.org>\r\nReceived: from mx.example.org (mx.example.org [192.0.2.{}])\r\n\tby in.example.net with ESMTPS id {:010X}\r\n\tfor <recipient@example.net>; {stamp}\r\n",
        random.below(255),
        random.next_u64() >> 24
    );
    while random.chance(20) {
        text.push_str(random.pick(&ODD_HEADERS));
        text.push_str("\r\n");
    }
    let (from, to) = (encoded(random.pick(&PEOPLE)), encoded(random.pick(&PEOPLE)));
    let words = random.between(1, 7);
    let subject = encoded(&sentence(random, words));
    text.push_str(&format!(
        "Date: {stamp}\r\nFrom: {from} <sender@example.org>\r\nTo: {to} <recipient@example.net>\r\nSubject: {subject}\r\nMessage-ID: <{seed:x}.{ordinal}@corpus.example>\r\nMIME-Version: 1.0\r\n"
    ));
    text
}

fn plain(random: &mut Random, octets: usize) -> String {
    format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{}",
        prose(random, octets)
    )
}

fn long_line(random: &mut Random, octets: usize) -> String {
    let mut line = String::new();
    while line.len() < LONG_LINE_OCTETS {
        line.push_str(random.pick(&WORDS));
        line.push(' ');
    }
    format!(
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>{line}</p>\r\n.\r\n..\r\n{}",
        prose(random, octets)
    )
}

fn multipart(random: &mut Random, octets: usize) -> String {
    let boundary = format!("=_{:016x}", random.next_u64());
    let name = encoded(random.pick(&["report.pdf", "Größenliste.xlsx", "фото.jpg"]));
    let attachment = STANDARD.encode(random.octets(octets * 3 / 4));
    let mut lines = String::new();
    let mut rest = attachment.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(BASE64_LINE_OCTETS));
        lines.push_str(line);
        lines.push_str("\r\n");
        rest = after;
    }
    let text = prose(random, 300);
    format!(
        "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\nThis is a multi-part message in MIME format.\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}--{boundary}\r\nContent-Type: application/octet-stream; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment\r\n\r\n{lines}--{boundary}--\r\n"
    )
}

/// Octets that are no UTF-8, in header and body.
fn latin1(random: &mut Random, headers: String, octets: usize) -> Vec<u8> {
    let mut message = headers.into_bytes();
    message
        .extend_from_slice(b"X-Latin1: Gr\xf6\xdfe\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n");
    while octets > 0 && message.len() < octets {
        let words = random.between(1, 9);
        let line = sentence(random, words);
        message.extend(line.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(0xbf)));
        message.extend_from_slice(b" \xe4\xff\r\n");
    }
    message
}

fn prose(random: &mut Random, octets: usize) -> String {
    let mut text = String::new();
    while text.len() < octets {
        let words = random.between(1, 12);
        text.push_str(&sentence(random, words));
        text.push_str("\r\n");
        if random.chance(5) {
            text.push_str(random.pick(&["\r\n", "From the start of a line\r\n", ".\r\n", "> quoted  \r\n"]));
        }
    }
    text
}

fn sentence(random: &mut Random, words: u64) -> String {
    (0..words).map(|_| random.pick(&WORDS)).collect::<Vec<_>>().join(" ")
}

/// An encoded-word (RFC 2047) where it must be; a long one is not split, as many programs do not.
fn encoded(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { format!("=?UTF-8?B?{}?=", STANDARD.encode(text)) }
}
