//! Messages that servers were seen to change or refuse.

use base64::Engine as _;

/// Octets of the largest one.
const BIG_OCTETS: usize = 8 << 20;

/// A message with a header like those of real mail, `more` lines of header, and a body.
pub(super) fn letter(name: &str, more: &[u8], body: &[u8]) -> Vec<u8> {
    let header = format!(
        "From: a@example.org\r\nTo: b@example.org\r\nSubject: {name}\r\nDate: Tue, 03 Mar 2020 10:00:00 +0000\r\n\
         Message-ID: <{name}@probe.example>\r\n"
    );
    [header.as_bytes(), more, b"\r\n", body].concat()
}

fn without_cr(octets: Vec<u8>) -> Vec<u8> {
    octets.into_iter().filter(|octet| *octet != b'\r').collect()
}

/// A message whose header has these octets for a name and a subject, as programs write it that encode nothing.
fn raw(name: &str, from: &[u8], subject: &[u8]) -> Vec<u8> {
    let rest = format!(
        "\r\nTo: b@example.org\r\nDate: Tue, 03 Mar 2020 10:00:00 +0000\r\nMessage-ID: <{name}@probe.example>\r\n\r\nx\r\n"
    );
    [b"From: ", from, b" <a@example.org>\r\nSubject: ", subject, rest.as_bytes()].concat()
}

/// A header that ends without the empty line after it.
fn header_alone(name: &str) -> Vec<u8> {
    let mut octets = letter(name, b"", b"");
    octets.truncate(octets.len() - 2);
    octets
}

/// All odd messages by name, in a fixed order.
#[must_use]
pub fn messages() -> Vec<(&'static str, Vec<u8>)> {
    [line_ends(), octets(), no_mail(), headers(), long_ones()].concat()
}

fn line_ends() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("plain-crlf", letter("plain", b"", b"hello\r\nworld\r\n")),
        ("no-final-newline", letter("nofinal", b"", b"hello\r\nworld")),
        ("bare-lf-all", without_cr(letter("lf", b"", b"hello\r\nworld\r\n"))),
        ("bare-lf-mixed", letter("mixed", b"", b"one\ntwo\r\nthree\nfour\r\n")),
        ("lf-headers-crlf-body", [&without_cr(letter("lfh", b"", b""))[..], b"one\r\ntwo\r\n"].concat()),
        ("bare-cr", letter("cr", b"", b"one\rtwo\r\nthree\r\r\nfour\r\n")),
        ("ends-with-cr", letter("endcr", b"", b"one\r\ntwo\r")),
        ("ends-with-lf", letter("endlf", b"", b"one\r\ntwo\n")),
        ("trailing-blank-lines", letter("tbl", b"", b"one\r\n\r\n\r\n\r\n")),
        ("dots", letter("dots", b"", b".\r\n..\r\n.x\r\nend\r\n.\r\n")),
        ("trailing-space", letter("ts", b"X-T: v   \r\n", b"a  \r\nb\t\r\n  c\r\n")),
    ]
}

fn octets() -> Vec<(&'static str, Vec<u8>)> {
    let all: Vec<u8> = (1..=255).collect();
    let binary = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n";
    vec![
        ("latin1-header", letter("l1", b"X-Name: J\xf6rg M\xfcller\r\n", b"x\r\n")),
        ("utf8-header", letter("u8", "X-Name: Jörg 日本 😀\r\n".as_bytes(), b"x\r\n")),
        ("latin1-subject", raw("l1s", b"Joerg", b"Gr\xfc\xdfe aus K\xf6ln")),
        ("utf8-subject", raw("u8s", b"Joerg", "Grüße aus 日本 😀".as_bytes())),
        ("latin1-from", raw("l1f", b"J\xf6rg M\xfcller", b"hello")),
        ("utf8-from", raw("u8f", "\"Müller, Jörg 😀\"".as_bytes(), b"hello")),
        ("latin1-body", letter("l1b", b"", b"Gr\xfc\xdfe\r\n")),
        ("nul-in-body", letter("nul", b"", b"a\0b\r\n")),
        ("nul-in-header", letter("nulh", b"X-N: a\0b\r\n", b"a\r\n")),
        ("bytes-01-ff", letter("allb", b"", &[&all[..], b"\r\n"].concat())),
        ("ctrl-z", letter("cz", b"", b"a\x1ab\x04c\r\n")),
        ("binary-cte", letter("bcte", binary, &all.repeat(8))),
        ("bom-start", [b"\xef\xbb\xbf", &letter("bom", b"", b"x\r\n")[..]].concat()),
    ]
}

fn no_mail() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("one-byte", b"x".to_vec()),
        ("only-crlf", b"\r\n".to_vec()),
        ("only-lf", b"\n".to_vec()),
        ("headers-no-blank", header_alone("hnb")),
        ("headers-no-newline", header_alone("hnn").strip_suffix(b"\r\n").unwrap_or_default().to_vec()),
        ("headers-and-blank", letter("hb", b"", b"")),
        ("no-headers-body", b"\r\njust a body\r\n".to_vec()),
        ("not-a-mail", b"this is not\r\na mail at all\r\n".to_vec()),
        ("bad-header-line", letter("bhl", b"this line has no colon\r\nX-After: 1\r\n", b"x\r\n")),
        ("fold-odd", letter("fo", b"X-F: a\r\n \r\n\t b\r\nX-G:\r\n", b"x\r\n")),
        ("starts-with-space", b" leading\r\nSubject: x\r\n\r\nb\r\n".to_vec()),
    ]
}

/// What the mbox format takes for its own, and what looks like protocol.
fn headers() -> Vec<(&'static str, Vec<u8>)> {
    let from = b"From joe@example.org Tue Mar  3 10:00:00 2020\r\n";
    let first = |line: &[u8], name| [line, &letter(name, b"", b"x\r\n")[..]].concat();
    let split = [b"a\r\n\r\n", &from[..], b"Subject: evil\r\n\r\nsplit?\r\n"].concat();
    vec![
        ("from-in-body", letter("fib", b"", b"a\r\n\r\nFrom me to you\r\n>From quoted\r\n>>From q2\r\n")),
        ("mbox-from-line-body", letter("mfl", b"", &split)),
        ("from-first-line", first(from, "ffl")),
        ("gtfrom-first-line", first(&[b">", &from[..]].concat(), "gfl")),
        ("status-headers", letter("st", b"Status: RO\r\nX-Status: AF\r\nX-UID: 77\r\nX-Keywords: Foo\r\n", b"x\r\n")),
        (
            "x-imap-headers",
            letter(
                "xi",
                b"X-IMAP: 1234567890 0000000009\r\nX-IMAPbase: 1234567890 9\r\nContent-Length: 99999\r\nLines: 5\r\n",
                b"x\r\n",
            ),
        ),
        (
            "mh-xuid-etc",
            letter(
                "mh",
                b"Return-Path: <r@example.org>\r\nDelivered-To: z@example.org\r\nX-Original-To: q@example.org\r\n\
                  Bcc: secret@example.org\r\n",
                b"x\r\n",
            ),
        ),
        ("imap-like-text", letter("il", b"", b"{10}\r\n* BYE\r\n)\r\nA1 OK done\r\n")),
    ]
}

fn long_ones() -> Vec<(&'static str, Vec<u8>)> {
    let many: Vec<u8> = (0..5000).flat_map(|n| format!("X-H{n}: v\r\n").into_bytes()).collect();
    let open =
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=bb\r\nSubject: u\r\n\r\n--bb\r\n\
        Content-Type: text/plain\r\n\r\nx";
    vec![
        ("long-line-1M", letter("ll", b"", &[&vec![b'x'; 1 << 20][..], b"\r\n"].concat())),
        ("long-header-100k", letter("lh", &[b"X-L: ", &vec![b'y'; 100_000][..], b"\r\n"].concat(), b"x\r\n")),
        ("many-headers-5000", letter("manyh", &many, b"x\r\n")),
        ("mime-deep-200", deep(200)),
        ("mime-unterminated", open.to_vec()),
        ("big-8MiB", letter("b8", b"", &lines(BIG_OCTETS))),
    ]
}

fn lines(octets: usize) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode([0x5a; 57]);
    let line = text + "\r\n";
    line.as_bytes().repeat(octets / line.len())
}

/// Multiparts, one inside the other.
fn deep(levels: usize) -> Vec<u8> {
    let mut octets = b"MIME-Version: 1.0\r\nSubject: deep\r\n".to_vec();
    for n in 0..levels {
        octets.extend(format!("Content-Type: multipart/mixed; boundary=\"b{n}\"\r\n\r\n--b{n}\r\n").bytes());
    }
    octets.extend(b"Content-Type: text/plain\r\n\r\nleaf\r\n");
    for n in (0..levels).rev() {
        octets.extend(format!("--b{n}--\r\n").bytes());
    }
    octets
}
