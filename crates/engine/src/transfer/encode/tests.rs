use super::charset::Charset;
use super::*;
use crate::transfer::spool::Intake;
use base64::Engine as _;
use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;

/// What a program of RFC 2047 makes of a header: unfolded, encoded words as the octets that they stand for, no white space
/// between two of them. Written for itself: it shares nothing with the encoder.
fn decoded(header: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(header).replace("\r\n ", " ").replace("\r\n\t", "\t");
    let mut out = Vec::new();
    let mut between: Option<String> = None;
    for word in text.split_inclusive([' ', '\t', '\n', '(', ')']) {
        let (word, end) = word.split_at(word.trim_end_matches([' ', '\t', '\n', '\r', '(', ')']).len());
        if let Some(octets) = decoded_word(word) {
            if between.take().is_some_and(|space| !space.trim_matches([' ', '\t']).is_empty()) {
                panic!("no white space between encoded words: {text}");
            }
            out.extend(octets);
            match end.trim_matches([' ', '\t']).is_empty() {
                true => between = Some(end.to_owned()),
                false => out.extend(end.bytes()),
            }
            continue;
        }
        if word.is_empty()
            && end.trim_matches([' ', '\t']).is_empty()
            && let Some(space) = &mut between
        {
            space.push_str(end);
            continue;
        }
        out.extend(between.take().unwrap_or_default().bytes());
        out.extend(word.bytes().chain(end.bytes()));
    }
    out.extend(between.unwrap_or_default().bytes());
    out
}

/// The octets of an encoded word.
fn decoded_word(word: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = word.strip_prefix("=?")?.strip_suffix("?=")?.split('?').collect();
    let [charset, encoding, text] = parts.as_slice() else { return None };
    assert!(word.len() <= 75, "{word}");
    let octets = match *encoding {
        "B" => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
        "Q" => {
            let mut octets = Vec::new();
            let mut text = text.bytes();
            while let Some(octet) = text.next() {
                let mut digit = || char::from(text.next().unwrap()).to_digit(16).unwrap() as u8;
                octets.push(match octet {
                    b'_' => b' ',
                    b'=' => digit() * 16 + digit(),
                    octet => octet,
                });
            }
            octets
        }
        _ => return None,
    };
    if *charset == "utf-8" {
        assert!(std::str::from_utf8(&octets).is_ok(), "a torn character: {word}");
    }
    Some(octets)
}

fn unfolded(header: &[u8]) -> Vec<u8> {
    let text: String = header.iter().copied().map(char::from).collect();
    let text = text.replace("\r\n ", " ").replace("\r\n\t", "\t");
    text.chars().map(|c| c as u8).collect()
}

/// A field encoded.
fn field(field: &[u8]) -> Option<String> {
    let whole = encoded(&[field, b"\r\n\r\n"].concat())?;
    assert!(whole.is_ascii() && whole.ends_with(b"\r\n\r\n"));
    let text = String::from_utf8(whole).unwrap();
    Some(text.strip_suffix("\r\n\r\n").unwrap().to_owned())
}

#[track_caller]
fn becomes(before: &[u8], after: &str) {
    assert_eq!(field(before).as_deref(), Some(after), "{}", String::from_utf8_lossy(before));
}

#[track_caller]
fn stays(before: &[u8]) {
    assert_eq!(field(before), None, "{}", String::from_utf8_lossy(before));
}

#[test]
fn words_of_text_outside_ascii_are_encoded_and_the_others_are_not() {
    becomes("Subject: Grüße aus Wien".as_bytes(), "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus Wien");
    becomes(b"Subject: Gr\xfc\xdfe aus  Wien ", "Subject: =?unknown-8bit?Q?Gr=FC=DFe?= aus  Wien ");
    becomes("subject:ö".as_bytes(), "subject:=?utf-8?B?w7Y=?=");
    becomes("X-Name: Jörg 日本 😀".as_bytes(), "X-Name: =?utf-8?B?SsO2cmcg5pel5pysIPCfmIA=?=");
    // One charset for the field: where one word is no UTF-8, nobody knows what the others are.
    becomes(b"Subject: \xc3\xb6 x \xf6", "Subject: =?unknown-8bit?Q?=C3=B6?= x =?unknown-8bit?Q?=F6?=");
}

/// The first field of a header whose Content-Type is this.
#[track_caller]
fn becomes_with(content_type: &str, before: &[u8], after: &str) {
    let header = [before, b"\r\nContent-Type: ", content_type.as_bytes()].concat();
    assert_eq!(field(&header).as_deref(), Some(&*format!("{after}\r\nContent-Type: {content_type}")));
}

#[test]
fn octets_that_are_no_utf_8_are_in_the_charset_that_the_message_declares() {
    let of = |charset: &str| format!("Subject: =?{charset}?Q?Gr=FC=DFe?= x");
    for (content_type, charset) in [
        ("text/plain; charset=iso-8859-1", "iso-8859-1"),
        ("text/plain; format=flowed; CharSet=\"Windows-1252\"; a=b", "windows-1252"),
        ("text/plain;\r\n charset = ISO-8859-15 (Latin (9))", "iso-8859-15"),
        ("text/plain", "unknown-8bit"),
        ("text/plain; charset=", "unknown-8bit"),
        ("text/plain; charset=\"iso-8859-1", "unknown-8bit"),
        ("text/plain; charset*=us-ascii''iso-8859-1", "unknown-8bit"),
        ("text/plain; charset=iso-8859-1; charset=koi8-r", "unknown-8bit"),
        ("text/plain; charset=iso-8859-1 or so", "unknown-8bit"),
        ("text/plain; charset=iso-8859-1\r\nContent-Type: text/plain; charset=koi8-r", "unknown-8bit"),
        ("text/plain; charset=utf-8", "unknown-8bit"),
        ("text/plain; charset=us-ascii", "unknown-8bit"),
        ("text/plain; charset=utf-7", "unknown-8bit"),
        ("text/plain; charset=utf-16le", "unknown-8bit"),
        ("text/plain; charset=iso-2022-jp", "unknown-8bit"),
        ("text/plain; charset=hz-gb-2312", "unknown-8bit"),
        ("text/plain; charset=ibm037", "unknown-8bit"),
        ("text/plain; charset=a?b", "unknown-8bit"),
    ] {
        becomes_with(content_type, b"Subject: Gr\xfc\xdfe x", &of(charset));
    }
    becomes_with(
        "a/b; charset=iso-8859-1",
        "Subject: Grüße".as_bytes(),
        "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=",
    );
    becomes(
        b"Content-Type: text/plain; charset=koi8-r; name=\xf6.txt",
        "Content-Type: text/plain; charset=koi8-r; name*=koi8-r''%F6.txt",
    );
}

#[test]
fn no_character_of_a_declared_charset_is_torn() {
    // Each with the octets of one character, of one like ASCII in its second octet, and of one that is torn.
    for (charset, character, torn) in [
        ("gb2312", &b"\xc4\xe3"[..], &b"\xc4"[..]),
        ("gbk", b"\x95\x5c", b"\x95 "),
        ("gb18030", b"\x81\x30\x81\x30", b"\x81\x30\x81"),
        ("big5", b"\xa5\x5c", b"\xff\xa5"),
        ("euc-kr", b"\xb0\xa1", b"\xb0"),
        ("ks_c_5601-1987", b"\x81\x41", b"\x80\x41"),
        ("shift_jis", b"\x95\x5c\xb1", b"\x95:"),
        ("euc-jp", b"\x8f\xb0\xa1", b"\x8f\xb0"),
        ("euc-tw", b"\x8e\xa2\xa1\xa1", b"\x8e\xa2"),
    ] {
        let declared = Charset::declared(charset.as_bytes()).unwrap();
        let text = [&b"ab "[..], &character.repeat(50), b" ", &character.repeat(3), b"c"].concat();
        let before =
            [b"Subject: ", &text[..], b"\r\nContent-Type: a/b; charset=", charset.as_bytes()].concat();
        let after = field(&before).unwrap();
        assert_eq!(decoded(after.as_bytes()), before, "{charset}");
        let words: Vec<&str> = after.split_ascii_whitespace().filter(|word| word.starts_with("=?")).collect();
        assert!(words.len() > 1, "{after}");
        for word in words {
            assert!(word.starts_with(&format!("=?{charset}?")), "{word}");
            let octets = decoded_word(word).unwrap();
            let whole = octets.is_ascii() || Charset::of(&octets, Some(declared)) == declared;
            assert!(whole, "a torn character: {word}");
        }
        let before = [b"Subject: ", torn, b"\r\nContent-Type: a/b; charset=", charset.as_bytes()].concat();
        let after = field(&before).unwrap();
        assert!(after.starts_with("Subject: =?unknown-8bit?Q?"), "{after}");
    }
    // A file name in pieces.
    let name = b"\x95\x5d".repeat(60);
    let before = [b"Content-Type: a/b; charset=shift_jis; name=", &name[..]].concat();
    let after = field(&before).unwrap();
    assert!(after.contains("name*0*=shift_jis''%95%5D%95"), "{after}");
    assert!(after.split(";\r\n").skip(2).all(|piece| piece.contains("*=%95%5D")), "{after}");
    // Whether a backslash stands for itself.
    for before in [
        &b"From: \"\x95\x5c\x95\x5c\" <a@b.example>\r\nContent-Type: a/b; charset=shift_jis"[..],
        b"Content-Type: a/b; charset=gbk; name=\"\x95\x5c\x95\x5c\"",
    ] {
        stays(before);
    }
}

#[test]
fn white_space_between_encoded_words_is_part_of_the_text_also_beside_one_that_was_there() {
    becomes("Subject: ä  ö\r\n\tü x".as_bytes(), "Subject: =?utf-8?B?w6QgIMO2CcO8?= x");
    becomes("Subject: =?utf-8?Q?a?= ö".as_bytes(), "Subject: =?utf-8?Q?a?= =?utf-8?Q?_=C3=B6?=");
    becomes("Subject: ö =?utf-8?Q?a?= b".as_bytes(), "Subject: =?utf-8?Q?=C3=B6_?= =?utf-8?Q?a?= b");
    // No encoded word, only like one.
    becomes("Subject: ö =?x?= b".as_bytes(), "Subject: =?utf-8?B?w7Y=?= =?x?= b");
}

#[test]
fn long_text_is_folded_and_no_character_is_torn() {
    for text in
        ["ü".repeat(300), "日本語のとても長い件名".repeat(20), "aü ".repeat(100), "x".repeat(70) + " 😀😀😀"]
    {
        let before = format!("Subject: {}", text.trim());
        let after = field(before.as_bytes()).unwrap();
        assert!(after.split("\r\n").all(|line| line.len() <= 76 && !line.trim().is_empty()), "{after}");
        assert_eq!(decoded(after.as_bytes()), unfolded(before.as_bytes()));
    }
    let octets = [b"Subject: ".to_vec(), vec![0xfc; 500]].concat();
    let after = field(&octets).unwrap();
    assert!(after.split("\r\n").all(|line| line.len() <= 76), "{after}");
    assert_eq!(decoded(after.as_bytes()), octets);
}

#[test]
fn folds_and_line_ends_are_kept() {
    becomes("Subject: one\r\n two\r\n\tdrei ß".as_bytes(), "Subject: one\r\n two\r\n\tdrei =?utf-8?B?w58=?=");
    let lf = encoded("A: x\nSubject: ö\n y\n\n".as_bytes()).unwrap();
    assert_eq!(lf, b"A: x\nSubject: =?utf-8?B?w7Y=?=\n y\n\n");
    let long = encoded(format!("Subject: {}\n\n", "ü".repeat(60)).as_bytes()).unwrap();
    assert!(!long.contains(&b'\r') && long.iter().filter(|o| **o == b'\n').count() > 3);
    let untouched = b"X-Long: ".iter().copied().chain(vec![b'y'; 3000]).collect::<Vec<_>>();
    let header = [&untouched[..], b"\r\nA : \xff\r\nB:   odd\r\n  spaces \r\n\r\n"].concat();
    let after = encoded(&header).unwrap();
    let expected =
        [&untouched[..], b"\r\nA : =?unknown-8bit?Q?=FF?=\r\nB:   odd\r\n  spaces \r\n\r\n"].concat();
    assert!(after == expected);
}

#[test]
fn names_in_addresses_are_encoded_and_addresses_are_left() {
    becomes(
        "From: Jörg Müller <j@b.example>".as_bytes(),
        "From: =?utf-8?Q?J=C3=B6rg_M=C3=BCller?= <j@b.example>",
    );
    becomes(
        "From: \"Müller, Jörg\" <j@b.example>".as_bytes(),
        "From: =?utf-8?Q?M=C3=BCller=2C_J=C3=B6rg?= <j@b.example>",
    );
    becomes(
        b"From: \"J\xf6rg \\\"x\\\"\"<j@b.example>",
        "From: =?unknown-8bit?Q?J=F6rg_=22x=22?= <j@b.example>",
    );
    becomes(
        "To: Ann von Ö <a@b.example>,Bö <b@b.example>, \"C, c\" <c@b.example>".as_bytes(),
        "To: Ann von =?utf-8?B?w5Y=?= <a@b.example>, =?utf-8?Q?B=C3=B6?=\r\n <b@b.example>, \"C, c\" <c@b.example>",
    );
    becomes(
        "Cc: Grüppe: a@b.example, c@d.example;".as_bytes(),
        "Cc: =?utf-8?Q?Gr=C3=BCppe?= : a@b.example, c@d.example;",
    );
    becomes(
        "Sender: a@b.example (Jörg (der Große) x)".as_bytes(),
        "Sender: a@b.example (=?utf-8?Q?J=C3=B6rg?= (der =?utf-8?Q?Gro=C3=9Fe?=) x)",
    );
    becomes(
        "Reply-To: Dr.Jörg\"x\" <a@b.example>".as_bytes(),
        "Reply-To: =?utf-8?Q?Dr=2EJ=C3=B6rgx?= <a@b.example>",
    );
    becomes("To: Empfänger".as_bytes(), "To: =?utf-8?Q?Empf=C3=A4nger?=");
    becomes(
        "From: =?utf-8?Q?a?= ö <a@b.example>".as_bytes(),
        "From: =?utf-8?Q?a?= =?utf-8?Q?_=C3=B6?= <a@b.example>",
    );
    for address in [
        "From: jörg@b.example",
        "From: Jörg <jörg@b.example>",
        "From: Jörg <j@bücher.example>",
        "From: \"jörg\"@b.example",
        "From: \"Jörg <j@b.example>",
        "From: (Jörg <j@b.example>",
        "From: Jörg <j@b.example",
        "From: <j@b.example> Jörg",
        "To: jörg@[IPv6:2001:db8::1]",
        "To: x@y.example jörg: a@b.example;",
    ] {
        stays(address.as_bytes());
    }
}

#[test]
fn in_each_field_of_addresses_phrases_and_comments_are_encoded_and_an_address_outside_ascii_is_left_to_the_cover()
 {
    let once = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"];
    let names = once.iter().map(|name| (*name).to_owned());
    for name in names.clone().chain(names.map(|name| format!("Resent-{name}"))) {
        becomes(
            format!("{name}: \"Jörg\" <j@b.example>").as_bytes(),
            &format!("{name}: =?utf-8?Q?J=C3=B6rg?= <j@b.example>"),
        );
        becomes(
            format!("{name}: b@b.example (Büro)").as_bytes(),
            &format!("{name}: b@b.example (=?utf-8?Q?B=C3=BCro?=)"),
        );
        stays(format!("{name}: Jörg <j@b.example>, jürg@b.example").as_bytes());
        stays(format!("{name}: \"jörg\"@b.example (Jörg)").as_bytes());
    }
}

#[test]
fn where_no_encoded_word_may_be_nothing_is_touched() {
    for name in [
        "Received",
        "Message-ID",
        "References",
        "In-Reply-To",
        "Return-Path",
        "DKIM-Signature",
        "CONTENT-ID",
        "List-Owner",
        "Archived-At",
        "Newsgroups",
        "Followup-To",
        "Xref",
    ] {
        stays(format!("{name}: x ö").as_bytes());
        stays(format!("{name} : (ö) x").as_bytes());
    }
    stays("Näme: x".as_bytes());
    stays("Odd Name: ö".as_bytes());
    stays("no field ö".as_bytes());
    stays(": ö".as_bytes());
    stays(" leading ö".as_bytes());
    stays("\u{feff}From: a@b.example".as_bytes());
    stays(b"From joe\xf6 Tue Mar  3 10:00:00 2020");
    // One such field keeps all others as they are.
    stays("Subject: ö\r\nMessage-ID: <ö@b.example>".as_bytes());
    stays("Date: Dienstag, 3. März 2020".as_bytes());
    becomes(
        "Date: Tue, 3 Mar 2020 10:11:12 +0100 (Mitteleuropäische Zeit)".as_bytes(),
        "Date: Tue, 3 Mar 2020 10:11:12 +0100\r\n (=?utf-8?Q?Mitteleurop=C3=A4ische?= Zeit)",
    );
}

#[test]
fn lines_of_comments_are_no_longer_than_they_may_be_and_end_in_no_quoted_pair() {
    for n in 1..100 {
        for (opens, closes) in [("(", ")"), ("(x (", "))"), ("((", ") y)")] {
            let after =
                field(format!("Sender: a@b.example {opens}{}{closes}", "ö".repeat(n)).as_bytes()).unwrap();
            assert!(after.split("\r\n").all(|line| line.len() <= 76), "{after}");
        }
        let pair = format!("Sender: a@b.example ({}\\ {} ö)", "y".repeat(n), "z".repeat(30));
        let after = field(pair.as_bytes()).unwrap();
        assert!(!after.contains("\\\r\n"), "{after}");
    }
}

#[test]
fn the_longest_header_is_encoded_in_steps_as_many_as_its_octets() {
    // A square of these is hours.
    let long = [&b"Subject: "[..], &vec![0xf6; 1_000_000]].concat();
    let after = field(&long).unwrap();
    assert_eq!(decoded(after.as_bytes()), long);
    let many: String = (0..60_000).map(|n| format!("; a{n}=ö")).collect();
    let after = field(format!("Content-Type: a/b{many}").as_bytes()).unwrap();
    assert_eq!(after.matches("*=utf-8''%C3%B6").count(), 60_000);
}

#[test]
fn nul_ascii_and_doubtful_ends_of_a_header_are_left() {
    assert_eq!(encoded(b"Subject: x\r\n\r\n"), None);
    assert_eq!(encoded(b""), None);
    assert_eq!(encoded(b"Subject: \xf6\r\nX: a\0b\r\n\r\n"), None);
    assert_eq!(encoded(b"Subject: \xf6\r\n \r\nX: a\r\n\r\n"), None);
    // A CR that is no line end.
    assert_eq!(encoded(b"Subject: \xf6 \r x\r\n\r\n"), None);
    assert_eq!(encoded(b"Subject: \xf6\r\r\n\r\n"), None);
    // No end of the header at all.
    assert_eq!(encoded(b"Subject: \xf6").unwrap(), b"Subject: =?unknown-8bit?Q?=F6?=");
    assert_eq!(encoded(b"Subject: \xf6\r\n").unwrap(), b"Subject: =?unknown-8bit?Q?=F6?=\r\n");
}

#[test]
fn parameters_are_encoded_as_rfc_2231_has_it() {
    becomes(
        "Content-Type: application/pdf; name=\"Grüße \\\"a\\\".pdf\"; x=y".as_bytes(),
        "Content-Type: application/pdf; name*=utf-8''Gr%C3%BC%C3%9Fe%20%22a%22.pdf;\r\n x=y",
    );
    becomes(
        b"Content-Disposition: attachment;filename=\xf6 \xfc.txt ;a=b",
        "Content-Disposition: attachment; filename*=unknown-8bit''%F6%20%FC.txt ;a=b",
    );
    becomes(
        "Content-Type: text/plain (für alle); charset=utf-8".as_bytes(),
        "Content-Type: text/plain (=?utf-8?Q?f=C3=BCr?= alle); charset=utf-8",
    );
    becomes(
        "Content-Type: a/b; x=y (für alle)".as_bytes(),
        "Content-Type: a/b; x=y (=?utf-8?Q?f=C3=BCr?= alle)",
    );
    let long = format!("Content-Disposition: attachment; filename=\"{}.txt\"; size=3", "日本".repeat(20));
    let after = field(long.as_bytes()).unwrap();
    assert!(
        after.contains("\r\n filename*0*=utf-8''%E6") && after.contains("\r\n filename*1*=%E"),
        "{after}"
    );
    assert!(after.split("\r\n").all(|line| line.len() <= 77), "{after}");
    let whole = after.clone() + "\r\n\r\nx\r\n";
    let message = MessageParser::default().parse(whole.as_bytes()).unwrap();
    let name = message.content_disposition().unwrap().attribute("filename");
    assert_eq!(name.map(str::to_owned), Some("日本".repeat(20) + ".txt"));
    for left in [
        "Content-Type: multipart/mixed; boundary=ö",
        "Content-Type: text/plain; charset=\"ö\"",
        "Content-Type: text/ö",
        "Content-Type: a/b; name*0=\"ö\"; name*1=x",
        "Content-Type: a/b; name=\"ö\"; name*=utf-8''%C3%B6",
        "Content-Type: a/b; name=\"ö",
        "Content-Type: a/b; nöme=x",
        "Content-Type: a/b; ö",
        "Content-Disposition: attachment; filename=Rechnung (März).pdf",
    ] {
        stays(left.as_bytes());
    }
}

#[test]
fn a_parser_of_mail_reads_the_same_from_what_is_encoded() {
    let long = "Sehr lange Überschrift für ein ganz gewöhnliches Schreiben ".repeat(4);
    let subjects = ["Grüße", "日本語 に あ", "a ö b ü c", "ö\u{a0}ü", long.trim()];
    for subject in subjects {
        for name in ["Jörg Müller", "Ann von Ö", "日本 太郎", "\"Müller, Jörg\"", "Dr.Ü"] {
            let file = "Übersicht 日本 2020 (1).pdf";
            let header = format!(
                "From: {name} <j@b.example>\r\nSubject: {subject}\r\nTo: a@b.example (Ä), B <b@b.example>\r\n\
                 Content-Type: application/pdf; name=\"{file}\"\r\n\
                 Content-Disposition: attachment; filename=\"{file}\"; size=1\r\n\r\n"
            );
            let after = encoded(header.as_bytes()).unwrap();
            let [before, after] =
                [header.as_bytes(), &after].map(|header| [header, b"body\xff\r\n"].concat());
            let [before, after] =
                [&before, &after].map(|message| MessageParser::default().parse(message).unwrap());
            assert_eq!(after.subject(), Some(subject));
            assert_eq!(after.from(), before.from());
            assert_eq!(after.from().unwrap().first().unwrap().name(), Some(name.trim_matches('"')));
            assert_eq!(after.to(), before.to());
            assert_eq!(after.attachment_name(), Some(file));
            assert_eq!(after.content_disposition().unwrap().attribute("size"), Some("1"));
        }
    }
}

#[test]
fn what_is_encoded_means_the_same_to_who_compares_meanings() {
    let letter =
        "From: Jörg Müller <j@b.example>\r\nSubject: Grüße  aus\r\n Wien\r\nX-Name: ß\r\n\r\nbody ü\r\n";
    let after = encoded(letter.split_inclusive("\r\n\r\n").next().unwrap().as_bytes()).unwrap();
    let compared =
        crate::semantic::compare(letter.as_bytes(), &[&after[..], "body ü\r\n".as_bytes()].concat());
    assert!(compared.same, "{compared}");
}

#[tokio::test]
async fn the_body_is_streamed_and_stays_octet_for_octet() {
    let folder = tempfile::tempdir().unwrap();
    let body: Vec<u8> = (0..700_000u32).map(|i| (i % 256) as u8).collect();
    for (header, new) in [
        ("Subject: ö\r\n\r\n".to_owned(), Some("Subject: =?utf-8?B?w7Y=?=\r\n\r\n".to_owned())),
        (
            format!("X: {}\r\nSubject: ö\r\n\r\n", "y".repeat(600_000)),
            Some(format!("X: {}\r\nSubject: =?utf-8?B?w7Y=?=\r\n\r\n", "y".repeat(600_000))),
        ),
        (format!("X: {}\r\nSubject: ö\r\n\r\n", "y".repeat(HEADER_OCTETS_MAX)), None),
        ("Subject: x\r\n\r\nX: ö\r\n\r\n".to_owned(), None),
        ("\r\nSubject: ö\r\n\r\n".to_owned(), None),
    ] {
        for in_memory in [1000, 10 << 20] {
            let intake = Intake::new(folder.path(), in_memory);
            let octets = [header.as_bytes(), &body].concat();
            let original = intake.body(octets.into()).await.unwrap();
            let after = encode(&original).await.unwrap();
            if let Some(after) = &after {
                let again = intake.body(after.whole().await.unwrap()).await.unwrap();
                assert_eq!(after.measured(), again.measured());
                let at = after.octets() - body.len() as u64;
                let rests =
                    [after.piece(at).await.unwrap(), original.piece(header.len() as u64).await.unwrap()];
                assert!(original.is_spooled() || rests[0].as_ptr() == rests[1].as_ptr(), "held once");
                assert_eq!(rests[0], rests[1]);
            }
            let after = match after {
                Some(after) => Some(after.whole().await.unwrap()),
                None => None,
            };
            let expected = new.as_ref().map(|new| [new.as_bytes(), &body].concat());
            assert!(after.as_deref() == expected.as_deref(), "{header:.40}");
        }
    }
}

/// Words as headers have them, and others.
fn any_word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-zA-Z0-9.,:;=?_-]{1,12}".prop_map(String::into_bytes),
        "[a-zäöüß日本😀é]{1,30}".prop_map(String::into_bytes),
        prop::collection::vec(prop_oneof![b'a'..=b'z', 0x80..=0xffu8], 1..90),
        Just(b"=?utf-8?Q?a=C3=B6?=".to_vec()),
        Just(b"=?x?".to_vec()),
        Just(vec![b'y'; 100]),
    ]
}

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let space = prop_oneof![4 => Just(" "), 1 => Just("  "), 1 => Just("\t"), 1 => Just("\r\n "), 1 => Just("\r\n\t")];
    prop::collection::vec((space, any_word()), 1..12).prop_map(|words| {
        words.into_iter().flat_map(|(space, word)| [space.as_bytes().to_vec(), word].concat()).collect()
    })
}

/// What is left of a structured value without what only divides it.
fn bare(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|octet| !b" \t\r\n\"\\".contains(octet)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn any_text_decodes_to_the_same_octets(text in any_text()) {
        let before = [b"Subject:", &text[..]].concat();
        if before.is_ascii() {
            return Ok(());
        }
        let after = field(&before).unwrap();
        // An encoded word that was there is decoded on both sides.
        prop_assert_eq!(
            String::from_utf8_lossy(&decoded(after.as_bytes())).into_owned(),
            String::from_utf8_lossy(&decoded_octets(&before)).into_owned()
        );
        for line in after.split("\r\n") {
            prop_assert!(!line.trim().is_empty());
            prop_assert!(line.len() <= 76 || line.contains(&"y".repeat(100)) || before.windows(line.len()).any(|w| w == line.as_bytes()), "{}", after);
        }
    }

    #[test]
    fn any_header_is_left_or_in_ascii_and_no_octet_is_lost(
        fields in prop::collection::vec((
            prop_oneof![Just("From"), Just("To"), Just("Subject"), Just("Date"), Just("Content-Type"), Just("X-a"), Just("Received")],
            prop::collection::vec(prop_oneof![
                // What was encoded before: the other property.
                any_word().prop_filter("encoded", |word| !word.starts_with(b"=?")),
                Just(b"<a@b.example>".to_vec()), Just(b"(".to_vec()), Just(b")".to_vec()), Just(b"\"".to_vec()),
                Just(b"\\".to_vec()), Just(b",".to_vec()), Just(b"; name=".to_vec()), Just(b" ".to_vec()),
                Just(b"\r\n ".to_vec()), Just(b"\r".to_vec()), Just(b"\n".to_vec()), Just("ö".as_bytes().to_vec()),
                Just(b"@".to_vec()), Just(b"\xf6".to_vec()),
            ], 0..10),
        ), 1..5)
    ) {
        let mut header = Vec::new();
        for (name, words) in &fields {
            header.extend([name.as_bytes(), b": ", &words.concat(), b"\r\n"].concat());
        }
        header.extend(b"\r\n");
        if let Some(after) = encoded(&header) {
            prop_assert!(after.is_ascii());
            // The same fields: nothing became a field, or the end of the header.
            let names = |header: &[u8]| split(header).map(|all| all.iter().map(|f| f.split(|o| *o == b':').next().unwrap().to_vec()).collect::<Vec<_>>());
            prop_assert_eq!(names(&after), names(&header));
            prop_assert_eq!(header_end(&after).is_some(), header_end(&header).is_some());
            for (before, after) in split(&header).unwrap().iter().zip(split(&after).unwrap()) {
                if before.is_ascii() {
                    prop_assert_eq!(*before, after);
                } else if !before.starts_with(b"Content-Type") {
                    // A name and its colon are no text.
                    let value = |field: &[u8]| field[field.iter().position(|o| *o == b':').unwrap() + 1..].to_vec();
                    prop_assert_eq!(
                        String::from_utf8_lossy(&bare(&decoded(&value(after)))).into_owned(),
                        String::from_utf8_lossy(&bare(&decoded_octets(&value(before)))).into_owned()
                    );
                }
            }
            // What is encoded is not encoded again.
            prop_assert_eq!(encoded(&after), None);
        }
    }
}

/// As [`decoded`], of octets outside ASCII, too.
fn decoded_octets(header: &[u8]) -> Vec<u8> {
    // Each octet as one character that the decoder leaves alone.
    let text: String = unfolded(header)
        .iter()
        .map(|o| if o.is_ascii() { char::from(*o) } else { char::from_u32(0xe000 + u32::from(*o)).unwrap() })
        .collect();
    let after = String::from_utf8(decoded(text.as_bytes())).unwrap_or_else(|_| String::new());
    let one = |c: char| match c as u32 {
        code @ 0xe080..=0xe0ff => vec![(code - 0xe000) as u8],
        _ => c.to_string().into_bytes(),
    };
    after.chars().flat_map(one).collect()
}
