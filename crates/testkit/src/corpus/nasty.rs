//! Single messages that servers change or refuse, with what two of them do to each.

/// What a server does to an appended message. Dovecot means Maildir, sdbox and mdbox; mbox has ways of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It gives back what it got.
    Kept,
    /// It says OK and gives back something else.
    Becomes(Vec<u8>),
    /// It says NO with a text that holds this.
    Refused(&'static str),
}

/// A message and its fate, appended by a plain literal.
#[derive(Clone, Debug)]
pub struct Nasty {
    /// Names it in reports.
    pub name: &'static str,
    /// The message.
    pub octets: Vec<u8>,
    /// What Dovecot 2.3 does.
    pub dovecot: Fate,
    /// What Cyrus 3.6 does, with `munge8bit: no`.
    pub cyrus: Fate,
}

const HEADER: &[u8] = b"From: a@example.org\r\nSubject: nasty\r\n\r\n";

/// All nasty messages, in a fixed order.
#[must_use]
pub fn nasty() -> Vec<Nasty> {
    [line_ends_and_nul(), no_mail()].concat()
}

fn line_ends_and_nul() -> Vec<Nasty> {
    vec![
        Nasty {
            name: "bare LF in the body",
            octets: with_header(b"one\ntwo\r\nthree\n"),
            dovecot: Fate::Becomes(with_header(b"one\r\ntwo\r\nthree\r\n")),
            cyrus: Fate::Refused("bare newlines"),
        },
        Nasty {
            name: "bare LF throughout",
            octets: b"From: a@example.org\nSubject: nasty\n\nbody\n".to_vec(),
            dovecot: Fate::Becomes(b"From: a@example.org\r\nSubject: nasty\r\n\r\nbody\r\n".to_vec()),
            cyrus: Fate::Refused("bare newlines"),
        },
        Nasty {
            name: "CR CR LF",
            octets: with_header(b"one\r\r\ntwo\r\n"),
            dovecot: Fate::Becomes(with_header(b"one\r\ntwo\r\n")),
            cyrus: Fate::Kept,
        },
        Nasty {
            name: "bare CR inside a line",
            octets: with_header(b"one\rtwo\r\n"),
            dovecot: Fate::Kept,
            cyrus: Fate::Kept,
        },
        Nasty {
            name: "CR at the end",
            octets: with_header(b"one\r"),
            dovecot: Fate::Becomes(with_header(b"one")),
            cyrus: Fate::Kept,
        },
        Nasty {
            name: "NUL in the body",
            octets: with_header(b"a\0b\r\n"),
            dovecot: Fate::Becomes(with_header(b"a\x80b\r\n")),
            cyrus: Fate::Refused("NUL"),
        },
        Nasty {
            name: "NUL in the header",
            octets: b"From: a@example.org\r\nX-N: a\0b\r\n\r\nbody\r\n".to_vec(),
            dovecot: Fate::Becomes(b"From: a@example.org\r\nX-N: a\x80b\r\n\r\nbody\r\n".to_vec()),
            cyrus: Fate::Refused("NUL"),
        },
    ]
}

/// Messages that are hardly any.
fn no_mail() -> Vec<Nasty> {
    vec![
        Nasty {
            name: "no header, text at once",
            octets: b"this is no mail at all\r\nnone\r\n".to_vec(),
            dovecot: Fate::Kept,
            cyrus: Fate::Refused("invalid header"),
        },
        Nasty {
            name: "no header, blank line first",
            octets: b"\r\nonly a body\r\n".to_vec(),
            dovecot: Fate::Kept,
            cyrus: Fate::Kept,
        },
        Nasty {
            name: "header line without a colon",
            octets: b"From: a@example.org\r\nno colon here\r\nSubject: nasty\r\n\r\nbody\r\n".to_vec(),
            dovecot: Fate::Kept,
            cyrus: Fate::Refused("invalid header"),
        },
        Nasty {
            name: "header without blank line or newline",
            octets: b"From: a@example.org\r\nSubject: nasty".to_vec(),
            dovecot: Fate::Kept,
            cyrus: Fate::Refused("invalid header"),
        },
        Nasty { name: "only CRLF", octets: b"\r\n".to_vec(), dovecot: Fate::Kept, cyrus: Fate::Kept },
        Nasty {
            name: "empty",
            octets: Vec::new(),
            dovecot: Fate::Refused("zero byte"),
            cyrus: Fate::Refused("Zero-length"),
        },
    ]
}

fn with_header(body: &[u8]) -> Vec<u8> {
    [HEADER, body].concat()
}
