//! Messages of all kinds: plain, long, 8-bit, with NUL, without headers, without a last newline, empty.

use super::world::Letter;
use crate::corpus::Random;

const FLAGS: [&str; 6] = ["", "\\Seen", "\\Seen \\Answered", "\\Flagged", "\\Draft", "\\Seen $Work"];
const MONTHS: [&str; 4] = ["Jan", "Mar", "Aug", "Dec"];

/// A message; `ordinal` keeps most of them apart.
pub(super) fn letter(random: &mut Random, ordinal: u64) -> Letter {
    let flags = random.pick(&FLAGS).to_owned();
    let (day, month) = (random.between(1, 28), random.pick(&MONTHS));
    let (year, hour) = (random.between(1999, 2024), random.below(24));
    let zone = random.pick(&["+0000", "+0530", "-0800"]);
    let date = format!("{day:02}-{month}-{year} {hour:02}:10:11 {zone}");
    Letter { octets: octets(random, ordinal).into(), flags, date }
}

fn octets(random: &mut Random, ordinal: u64) -> Vec<u8> {
    let header =
        format!("From: a@b.example\r\nMessage-ID: <{ordinal}@sim>\r\nSubject: letter {ordinal}\r\n\r\n");
    // Only a body tells these apart: the same headers, as mailing software makes them.
    let shared = "From: list@b.example\r\nMessage-ID: <same@sim>\r\nSubject: news\r\n\r\n";
    let line = |n: u64| format!("line {n} of letter {ordinal}, and some words to make it longer\r\n");
    let text = |lines: u64| (0..lines).map(line).collect::<String>();
    let lines = random.below(12);
    match random.below(20) {
        0 => Vec::new(),
        1 => [header.as_bytes(), b"a\0b\0\r\n", text(lines).as_bytes()].concat(),
        2 => [header.as_bytes(), b"Gr\xf6\xdfe \xff\xfe\r\n"].concat(),
        3 => [b"Reply-To: Gr\xf6\xdfe <g@b.example>\r\n", header.as_bytes(), text(lines).as_bytes()].concat(),
        4 => format!("no header at all {ordinal}\r\n{}", text(1)).into_bytes(),
        5 => format!("{header}one\ntwo {ordinal}\n").into_bytes(),
        6 => format!("{header}no newline at the end").into_bytes(),
        7 => text(lines + random.between(100, 300)).into_bytes(),
        8 | 9 => format!("{shared}{}", text(lines + 1)).into_bytes(),
        // Nothing to tell it from the others of its kind but newlines at the end.
        10 => format!("{shared}the same{}", "\r\n".repeat(random.below(3) as usize)).into_bytes(),
        11 => b"\r\n".to_vec(),
        // Beyond what a pipe holds and what is kept in memory.
        12 if random.chance(10) => text(lines + random.between(2_000, 5_000)).into_bytes(),
        _ => format!("{header}{}", text(lines)).into_bytes(),
    }
}
