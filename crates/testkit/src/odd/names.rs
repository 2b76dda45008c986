//! Mailbox names that servers were seen to change or refuse.

use crate::mutf7::encode;

/// All odd names below the personal namespace, as octets for the wire; what is several levels takes the account's delimiter.
#[must_use]
pub fn names(delimiter: char) -> Vec<(&'static str, Vec<u8>)> {
    let mut all: Vec<(&'static str, Vec<u8>)> = Vec::new();
    all.extend(levels(delimiter).into_iter().map(|(what, name)| (what, name.into_bytes())));
    all.extend(WRITTEN.iter().map(|(what, name)| (*what, name.as_bytes().to_vec())));
    all.extend(ENCODED.iter().map(|(what, name)| (*what, encode(name).into_bytes())));
    all.extend(OCTETS.iter().map(|(what, name)| (*what, name.to_vec())));
    all.extend(LENGTHS.iter().map(|(what, letter, length)| (*what, letter.repeat(*length).into_bytes())));
    all.push(("len 200 emoji", encode(&"\u{1f600}".repeat(100)).into_bytes()));
    all
}

fn levels(d: char) -> Vec<(&'static str, String)> {
    let other = if d == '/' { '.' } else { '/' };
    let deep = |letter: char, levels: usize| {
        (0..levels).map(|n| format!("{letter}{n}")).collect::<Vec<_>>().join(&d.to_string())
    };
    vec![
        ("other separator inside", format!("a{other}b")),
        ("own separator nested", format!("par{d}child")),
        ("separator at the end", format!("endsep{d}")),
        ("two separators", format!("dd{d}{d}ee")),
        ("separator at the start", format!("{d}start")),
        ("dotdot path", format!("..{d}x")),
        ("INBOX child", format!("INBOX{d}sub")),
        ("inbox child, lower case", format!("inbox{d}sub2")),
        ("INBOX twice", format!("INBOX{d}INBOX")),
        ("cur, nested", format!("z{d}cur")),
        ("depth 10", deep('d', 10)),
        ("depth 25", deep('e', 25)),
        ("depth 60", deep('f', 60)),
    ]
}

/// As they go over the wire.
const WRITTEN: &[(&str, &str)] = &[
    ("plain", "Projects"),
    ("space", "My Mail"),
    ("trailing space", "trail "),
    ("leading space", " lead"),
    ("only a space", " "),
    ("double space", "a  b"),
    ("dot start", ".hidden"),
    ("dot end", "end."),
    ("dot", "."),
    ("dotdot", ".."),
    ("two dots inside", "a..b"),
    ("slash", "s/b"),
    ("backslash", "a\\b"),
    ("raw & (no modified UTF-7)", "R&D"),
    ("not canonical &AGE-", "x&AGE-y"),
    ("unterminated &AOQ", "x&AOQ"),
    ("lone surrogate", "x&2D0-y"),
    ("raw UTF-8", "Entwürfe"),
    ("%", "100% sure"),
    ("*", "wild*card"),
    ("quote", "a\"b"),
    ("paren", "a(b)"),
    ("brace", "a{5}"),
    ("bracket", "[Gmail]"),
    ("tilde", "~"),
    ("tilde user", "~bob"),
    ("hash", "#news"),
    ("hash inside", "a#b"),
    ("question", "a?b"),
    ("colon", "a:b"),
    ("pipe, angles", "a|b<c>"),
    ("dollar", "$x"),
    ("semicolon", "a;b"),
    ("comma", "a,b"),
    ("bang", "!x"),
    ("at", "u@example.org"),
    ("caret", "a^b"),
    ("equals", "a=b"),
    ("plus", "a+b"),
    ("apostrophe", "it's"),
    ("NIL", "NIL"),
    ("empty", ""),
    ("inbox, lower case", "inbox"),
    ("iNbOx", "iNbOx"),
    ("INBOXX", "INBOXX"),
    ("case Foo", "CaseFoo"),
    ("case foo", "casefoo"),
    ("cur", "cur"),
    ("new", "new"),
    ("tmp", "tmp"),
    ("dovecot.index", "dovecot.index"),
    ("Maildir", "Maildir"),
    ("CON", "CON"),
    ("dbox-Mails", "dbox-Mails"),
    // Beside the two above in one account: names that are alike for some servers.
    ("like the one with a space", "trail"),
    ("pair KFoo", "KFoo"),
    ("pair kfoo", "kfoo"),
];

/// In UTF-8, sent in modified UTF-7.
const ENCODED: &[(&str, &str)] = &[
    ("&- (ampersand)", "R&D"),
    ("umlaut", "Entwürfe"),
    ("CJK", "日本語"),
    ("emoji", "\u{1f600} mail"),
    ("emoji with ZWJ, flag", "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{1f1e9}\u{1f1ea}"),
    ("NFD", "cafe\u{301}"),
    ("NFC", "caf\u{e9}"),
    ("control U+202E", "a\u{202e}b"),
    ("NBSP at the end", "a\u{a0}"),
    ("fullwidth", "Ａ"),
];

const OCTETS: &[(&str, &[u8])] = &[
    ("raw latin1", b"Entw\xfcrfe"),
    ("tab", b"a\tb"),
    ("DEL", b"a\x7fb"),
    ("control 0x01", b"a\x01b"),
    ("CR LF", b"a\r\nb"),
    ("NUL", b"a\0b"),
];

/// What, the letter, how often.
const LENGTHS: &[(&str, &str, usize)] = &[
    ("len 100", "L", 100),
    ("len 200", "L", 200),
    ("len 240", "M", 240),
    ("len 255", "N", 255),
    ("len 256", "O", 256),
    ("len 300", "P", 300),
    ("len 500", "Q", 500),
    ("len 1000", "R", 1000),
];
