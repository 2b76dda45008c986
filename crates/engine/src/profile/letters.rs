//! Pure: the messages that a probe appends. Each bears the token of its probe and its own number, so that it is known again
//! whatever the server makes of it, and so that a mailbox full of them is proven to be a probe's.

use crate::message::{Flags, InternalDate};
use bytes::Bytes;
use std::time::{Duration, SystemTime};

/// Random octets of a token.
const TOKEN_OCTETS: usize = 10;
/// Octets of the longest line.
const LONG_LINE_OCTETS: usize = 100_000;
/// Octets of the longest header field.
const LONG_FIELD_OCTETS: usize = 20_000;
/// Keywords on one message: more than Cyrus takes in a mailbox (100, measured).
pub const MANY_KEYWORDS: usize = 120;
/// Digits of the number in a marker: token, dot, number, dot.
const NUMBER_DIGITS: usize = 3;

/// The name of one probe, in its mailboxes and messages: 20 lower-case hexadecimal digits. There is no other, so that a damaged
/// journal cannot make mail of others look like a probe's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one; `None` where the machine gives no random numbers.
    pub fn random() -> Option<Self> {
        let mut octets = [0; TOKEN_OCTETS];
        aws_lc_rs::rand::fill(&mut octets).ok()?;
        Self::parse(&octets.iter().map(|b| format!("{b:02x}")).collect::<String>())
    }

    /// A text that has exactly the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 2 * TOKEN_OCTETS && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is odd about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Odd {
    /// Nothing.
    Plain,
    /// No line end at the end.
    NoFinalLineEnd,
    /// Five line ends at the end.
    ManyFinalLineEnds,
    /// LF for every line end.
    LfThroughout,
    /// LF for some line ends of the body.
    LfSome,
    /// CR CR LF.
    CrCrLf,
    /// CR inside a line.
    LoneCr,
    /// NUL in the body.
    NulInBody,
    /// NUL in a header field.
    NulInHeader,
    /// Latin-1 in a header field.
    Latin1Header,
    /// UTF-8 in a header field.
    Utf8Header,
    /// Latin-1 in the body, undeclared.
    EightBitBody,
    /// All control characters but NUL, CR and LF in the body.
    Controls,
    /// A line of 100,000 octets.
    LongLine,
    /// A header field of 20,000 octets.
    LongField,
    /// `From ` at the start, as in an mbox file.
    FromFirst,
    /// `From ` at the start of a line of the body.
    FromInBody,
    /// A header line without a colon.
    NoColon,
    /// A header that ends without a line end.
    CutHeader,
    /// A header and nothing else.
    HeaderOnly,
    /// No header: an empty line first.
    NoHeader,
    /// One line of text.
    OneLine,
    /// No octet at all.
    Empty,
    /// Fields in which mailbox files keep flags and sizes.
    StorageFields,
    /// Fields that a delivery writes.
    DeliveryFields,
    /// Spaces at the ends of header lines, odd folding.
    OddSpaces,
}

impl Odd {
    /// All of them, in the order in which they are sent.
    pub const ALL: [Self; 26] = [
        Self::Plain,
        Self::NoFinalLineEnd,
        Self::ManyFinalLineEnds,
        Self::LfThroughout,
        Self::LfSome,
        Self::CrCrLf,
        Self::LoneCr,
        Self::NulInBody,
        Self::NulInHeader,
        Self::Latin1Header,
        Self::Utf8Header,
        Self::EightBitBody,
        Self::Controls,
        Self::LongLine,
        Self::LongField,
        Self::FromFirst,
        Self::FromInBody,
        Self::NoColon,
        Self::CutHeader,
        Self::HeaderOnly,
        Self::NoHeader,
        Self::OneLine,
        Self::Empty,
        Self::StorageFields,
        Self::DeliveryFields,
        Self::OddSpaces,
    ];
}

/// The dates that are tried, as APPEND carries them. Dates that are none (29 February 2023) are left out: some servers drop
/// the connection.
pub const DATES: [&str; 11] = [
    "01-Jan-1900 00:00:00 +0000",
    "31-Dec-1969 23:59:59 +0000",
    "01-Jan-1970 00:00:00 +0000",
    "02-Jan-1970 12:00:00 +0000",
    "09-Sep-1999 09:09:09 -0800",
    "03-Mar-2020 10:11:12 +0530",
    "29-Feb-2024 23:59:59 +0000",
    "19-Jan-2038 03:14:08 +0000",
    "01-Jan-2040 00:00:00 +0000",
    "31-Dec-2100 23:59:59 +0000",
    "01-Jan-2110 00:00:00 +0000",
];

/// So far after the probe's own time lies one more date: beyond what clocks and time zones differ by, and before all of [`DATES`]
/// that lie in the future. Servers that know the time of day (Dovecot) judge a date by it.
pub const AHEAD: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The flags that are tried, one message each: the system flags together, then keywords.
pub const FLAGS: [&str; 8] = [
    "\\Seen \\Answered \\Flagged \\Draft",
    "\\Deleted",
    "Work",
    "$Forwarded",
    "$Label1",
    "a]b",
    "1.x-y:z+",
    LONG_KEYWORD,
];

/// 60 octets: more than the 50 that Dovecot takes.
pub const LONG_KEYWORD: &str = "LongKeywordLongKeywordLongKeywordLongKeywordLongKeywordLongK";

/// What a message is sent for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Its octets.
    Octets(Odd),
    /// Its date.
    Date(&'static str),
    /// A date that lies [`AHEAD`].
    Ahead,
    /// Its flags.
    Flags(&'static str),
    /// [`MANY_KEYWORDS`] keywords.
    ManyKeywords,
    /// So many of these keywords, from the first on: those of one lie within those of any larger one.
    Keywords(usize),
    /// It is one of two equal ones.
    Twin,
    /// It goes in one MULTIAPPEND with two others.
    Together,
    /// It goes in one MULTIAPPEND with one that the server refused by itself.
    WithBad,
}

/// A message of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its number in the probe; equal messages share one.
    pub number: usize,
    /// What it is sent for.
    pub trial: Trial,
    /// Its octets.
    pub octets: Bytes,
    /// Its flags.
    pub flags: Flags,
    /// Its date.
    pub date: Option<InternalDate>,
}

/// The messages that go one by one, from a probe at this time: odd ones, dates, flags, twins.
pub fn letters(token: &Token, now: SystemTime) -> Vec<Letter> {
    let odd = Odd::ALL.into_iter().map(Trial::Octets);
    let dates = DATES.into_iter().map(Trial::Date).chain([Trial::Ahead]);
    let flags = FLAGS.into_iter().map(Trial::Flags);
    let twins = [Trial::Twin, Trial::Twin];
    let last = [Trial::ManyKeywords];
    let mut letters: Vec<Letter> = Vec::new();
    for trial in odd.chain(dates).chain(flags).chain(twins).chain(last) {
        let equal = letters.last().filter(|l| l.trial == Trial::Twin && trial == Trial::Twin);
        let number = equal.map_or(letters.len(), |twin| twin.number);
        letters.push(letter(token, number, trial, now));
    }
    letters
}

/// The message with this number that bears so many keywords.
pub fn with_keywords(token: &Token, number: usize, keywords: usize) -> Letter {
    letter(token, number, Trial::Keywords(keywords), SystemTime::UNIX_EPOCH)
}

/// The instant that lies [`AHEAD`] of this time.
pub fn ahead_at(now: SystemTime) -> jiff::Timestamp {
    now.checked_add(AHEAD).and_then(|at| jiff::Timestamp::try_from(at).ok()).unwrap_or_default()
}

/// The date of [`ahead_at`], as APPEND carries it.
pub fn ahead(now: SystemTime) -> InternalDate {
    let at = ahead_at(now);
    InternalDate::from_octets(at.strftime("%d-%b-%Y %H:%M:%S +0000").to_string())
}

/// The messages of one MULTIAPPEND, numbered from `first` on; the one in the middle has the octets of `bad`, if there is one.
pub fn batch(token: &Token, first: usize, bad: Option<&Letter>) -> Vec<Letter> {
    let trial = if bad.is_some() { Trial::WithBad } else { Trial::Together };
    let one = |i| letter(token, first + i, trial.clone(), SystemTime::UNIX_EPOCH);
    let mut batch: Vec<Letter> = (0..3).map(one).collect();
    if let Some(bad) = bad {
        batch[1].octets = bad.octets.clone();
    }
    batch
}

fn letter(token: &Token, number: usize, trial: Trial, now: SystemTime) -> Letter {
    let mark = format!("{}.{number:0width$}.", token.as_str(), width = NUMBER_DIGITS);
    let octets = match &trial {
        Trial::Octets(odd) => octets(*odd, &mark),
        _ => plain(&mark, b"", b"hello\r\nworld\r\n"),
    };
    let flags = match &trial {
        Trial::Flags(flags) => Flags::from_octets(*flags),
        Trial::ManyKeywords => keywords(MANY_KEYWORDS),
        Trial::Keywords(count) => keywords(*count),
        _ => Flags::from_octets("\\Seen"),
    };
    let date = match &trial {
        Trial::Date(date) => InternalDate::from_octets(date),
        Trial::Ahead => ahead(now),
        _ => InternalDate::from_octets("05-May-2015 05:05:05 +0000"),
    };
    Letter { number, trial, octets: octets.into(), flags, date: Some(date) }
}

fn keywords(count: usize) -> Flags {
    let keywords: Vec<String> = (0..count).map(|n| format!("Keyword{n}")).collect();
    Flags::from_octets(keywords.join(" "))
}

/// The number of the message whose octets these are; `None` without a whole marker.
pub fn number(token: &Token, octets: &[u8]) -> Option<usize> {
    let token = token.as_str().as_bytes();
    memchr::memmem::find_iter(octets, token).find_map(|at| {
        let [b'.', digits @ .., b'.'] = octets[at + token.len()..].get(..NUMBER_DIGITS + 2)? else {
            return None;
        };
        digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
    })
}

/// True for a message with these octets, and this RFC822.SIZE, that is a probe's: it bears its marker, or is nobody's mail.
pub fn is_ours(token: &Token, octets: &[u8], size: u64) -> bool {
    number(token, octets).is_some() || (octets.is_empty() && size == 0)
}

/// A message with these further header lines and this body. The marker is in the first line, before anything that cuts.
fn plain(mark: &str, more: &[u8], body: &[u8]) -> Vec<u8> {
    let header = format!(
        "Message-ID: <{mark}@probe.invalid>\r\nFrom: Mailhaul <mailhaul@probe.invalid>\r\n\
         Subject: A message of mailhaul check --probe; it can be deleted\r\n\
         Date: Tue, 03 Mar 2020 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n"
    );
    [header.as_bytes(), more, b"\r\n", body].concat()
}

fn octets(odd: Odd, mark: &str) -> Vec<u8> {
    let body = |body: &[u8]| plain(mark, b"", body);
    let field = |field: &[u8]| plain(mark, field, b"body\r\n");
    let replaced = |octets: Vec<u8>| {
        let lines: Vec<&[u8]> =
            octets.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect();
        lines.join(&b'\n')
    };
    match odd {
        Odd::Plain => body(b"hello\r\nworld\r\n"),
        Odd::NoFinalLineEnd => body(b"hello\r\nworld"),
        Odd::ManyFinalLineEnds => body(b"hello\r\n\r\n\r\n\r\n\r\n"),
        Odd::LfThroughout => replaced(body(b"hello\r\nworld\r\n")),
        Odd::LfSome => body(b"one\ntwo\r\nthree\nfour\r\n"),
        Odd::CrCrLf => body(b"one\r\r\ntwo\r\n"),
        Odd::LoneCr => body(b"one\rtwo\r\n"),
        Odd::NulInBody => body(b"a\0b\r\n"),
        Odd::NulInHeader => field(b"X-Nul: a\0b\r\n"),
        Odd::Latin1Header => field(b"X-Name: J\xf6rg M\xfcller\r\n"),
        Odd::Utf8Header => field("X-Name: Jörg Müller 日本\r\n".as_bytes()),
        Odd::EightBitBody => body(b"Gr\xfc\xdfe\r\n"),
        Odd::Controls => {
            let controls: Vec<u8> = (1..0x20).chain([0x7f]).filter(|b| !b"\r\n".contains(b)).collect();
            body(&[&controls[..], b"\r\n"].concat())
        }
        Odd::LongLine => body(&[vec![b'x'; LONG_LINE_OCTETS], b"\r\n".to_vec()].concat()),
        Odd::LongField => field(&[b"X-Long: ".to_vec(), vec![b'y'; LONG_FIELD_OCTETS], b"\r\n".to_vec()].concat()),
        Odd::FromFirst => {
            let line = b"From joe@example.org Tue Mar  3 10:00:00 2020\r\n";
            [&line[..], &body(b"hello\r\n")].concat()
        }
        Odd::FromInBody => body(b"a\r\n\r\nFrom joe@example.org Tue Mar  3 10:00:00 2020\r\n>From b\r\n"),
        Odd::NoColon => field(b"this line has no colon\r\nX-After: 1\r\n"),
        Odd::CutHeader => format!("From: a@example.org\r\nMessage-ID: <{mark}@probe.invalid>").into_bytes(),
        Odd::HeaderOnly => format!("From: a@example.org\r\nMessage-ID: <{mark}@probe.invalid>\r\n\r\n").into_bytes(),
        Odd::NoHeader => format!("\r\n{mark} is only a body\r\n").into_bytes(),
        Odd::OneLine => format!("{mark} is no mail at all\r\n").into_bytes(),
        Odd::Empty => Vec::new(),
        Odd::StorageFields => field(
            b"Status: RO\r\nX-Status: AF\r\nX-Keywords: Foo\r\nX-UID: 77\r\nX-IMAP: 1234567890 0000000009\r\n\
              Content-Length: 99999\r\nLines: 5\r\n",
        ),
        Odd::DeliveryFields => field(
            b"Return-Path: <r@example.org>\r\nDelivered-To: z@example.org\r\nX-Original-To: q@example.org\r\n\
              Bcc: secret@example.org\r\n",
        ),
        Odd::OddSpaces => field(b"X-Trailing: value   \r\nX-Folded: a\r\n\t b\r\nX-Blank:\r\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::parse("0123456789abcdef0123").unwrap()
    }

    #[test]
    fn every_message_but_the_empty_one_is_known_by_its_octets() {
        let letters = letters(&token(), SystemTime::UNIX_EPOCH);
        for letter in &letters {
            let known = number(&token(), &letter.octets);
            let expected = (letter.trial != Trial::Octets(Odd::Empty)).then_some(letter.number);
            assert_eq!(known, expected, "{:?}", letter.trial);
            assert!(is_ours(&token(), &letter.octets, letter.octets.len() as u64) && letter.date.is_some());
        }
        let twins: Vec<_> = letters.iter().filter(|l| l.trial == Trial::Twin).collect();
        assert!(twins.len() == 2 && twins[0] == twins[1]);
        let numbers: std::collections::BTreeSet<_> = letters.iter().map(|l| l.number).collect();
        assert_eq!(numbers.len(), letters.len() - 1, "only twins share a number");
        assert!(letters.len() + MANY_KEYWORDS + 6 < 1000, "three digits");
    }

    #[test]
    fn mail_of_others_is_not_ours() {
        let others: [&[u8]; 6] = [
            b"From: a@b.example\r\n\r\nhello\r\n",
            b"\r\n",
            b"Subject: what is mailhaul-probe-0123456789abcdef0123?\r\n\r\n",
            b"0123456789abcdef0123.01",
            b"0123456789abcdef0123.01x.",
            b"0123456789abcdef0123 001 ",
        ];
        for octets in others {
            assert!(!is_ours(&token(), octets, octets.len() as u64));
            assert_eq!(number(&token(), octets), None);
        }
        assert!(!is_ours(&token(), b"", 7), "it may not have been given");
        let quoted = b"0123456789abcdef0123: 0123456789abcdef0123.042.@";
        assert_eq!(number(&token(), quoted), Some(42));
    }

    #[test]
    fn one_date_lies_two_days_ahead_of_the_probe() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_815_182);
        let letters = letters(&token(), now);
        let letter = letters.iter().find(|letter| letter.trial == Trial::Ahead).unwrap();
        let date = letter.date.as_ref().unwrap();
        assert_eq!(date.to_string(), "29-Nov-2026 21:33:02 +0000");
        assert_eq!(date.instant(), Some(1_795_815_182 + 2 * 86_400));
    }

    #[test]
    fn a_token_has_one_form_and_tokens_differ() {
        let (a, b) = (Token::random().unwrap(), Token::random().unwrap());
        assert!(a != b && Token::parse(a.as_str()) == Some(a));
        let upper = "0123456789ABCDEF0123";
        for text in
            ["", "0", "0123456789abcdef012", "0123456789abcdef01234", upper, "0123456789abcdefg123", " "]
        {
            assert_eq!(Token::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn each_odd_message_is_as_odd_as_it_says() {
        let of = |odd| octets(odd, "mark");
        let lone_lf = |octets: &[u8]| crate::identity::Measured::of(octets).lone_lf;
        assert!(lone_lf(&of(Odd::LfThroughout)) && lone_lf(&of(Odd::LfSome)) && !lone_lf(&of(Odd::Plain)));
        assert!(!of(Odd::LfThroughout).contains(&b'\r'));
        assert!(of(Odd::NulInBody).contains(&0) && of(Odd::NulInHeader).contains(&0));
        assert!(std::str::from_utf8(&of(Odd::Latin1Header)).is_err() && !of(Odd::Utf8Header).is_ascii());
        assert!(of(Odd::LongLine).len() > LONG_LINE_OCTETS && of(Odd::Empty).is_empty());
        let others = Odd::ALL.map(of);
        assert!(others.iter().enumerate().all(|(i, a)| !others[..i].contains(a)), "no two are equal");
    }
}
