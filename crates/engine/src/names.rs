//! Pure: mailbox names as octets, as text, and as a path of components.
//!
//! A name is split by its delimiter **before** it is decoded: a delimiter that is written inside an encoded run
//! (`a&AC8-b`) belongs to its component. Decoding is lenient, because a source may list what no server would
//! create today; encoding is canonical. Two names that decode alike are kept apart by [`crate::mapping`].

use bytes::Bytes;
use mailhaul_imap::utf7;

pub use mailhaul_imap::printable;

/// The longest component in octets, as written to the wire, that every server known to us takes.
pub const COMPONENT_OCTETS_MAX: usize = 255;

/// The name that is the same on every server, in any case (RFC 9051, 5.1).
pub const INBOX: &str = "INBOX";

/// True for INBOX in any case.
pub fn is_inbox(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(INBOX.as_bytes())
}

/// Decodes a name, or one component of it: modified UTF-7 (RFC 3501, 5.1.3), or UTF-8 where the session speaks
/// it (RFC 6855). Octets that are neither are read as UTF-8, else as ISO 8859-1; what is no valid run stays as
/// it is written. Never fails and never drops anything.
pub fn decode(wire: &[u8], utf8: bool) -> String {
    if !utf8 && let Some(text) = utf7::decode(wire) {
        return text;
    }
    match std::str::from_utf8(wire) {
        Ok(text) => text.to_owned(),
        Err(_) => wire.iter().copied().map(char::from).collect(),
    }
}

/// Encodes a name, or one component of it, for the wire.
pub fn encode(text: &str, utf8: bool) -> Vec<u8> {
    if utf8 { text.as_bytes().to_vec() } else { utf7::encode(text).into_bytes() }
}

/// Splits a name in wire form by its delimiter. A flat name is one component; empty components are kept.
pub fn split(wire: &[u8], delimiter: Option<char>) -> Vec<&[u8]> {
    let Some(delimiter) = delimiter else { return vec![wire] };
    let mut buffer = [0; 4];
    let delimiter = delimiter.encode_utf8(&mut buffer).as_bytes();
    let mut parts = Vec::new();
    let mut rest = wire;
    while let Some(at) = memchr::memmem::find(rest, delimiter) {
        parts.push(&rest[..at]);
        rest = &rest[at + delimiter.len()..];
    }
    parts.push(rest);
    parts
}

/// Two names are one mailbox exactly when their keys are equal: INBOX has no case, neither alone nor as the
/// first component; all other names are compared octet by octet.
pub fn key(wire: &[u8], delimiter: Option<char>) -> Bytes {
    let head = split(wire, delimiter).first().map_or(0, |first| first.len());
    if !is_inbox(&wire[..head]) {
        return Bytes::copy_from_slice(wire);
    }
    [INBOX.as_bytes(), &wire[head..]].concat().into()
}

/// Why a component cannot be used for a mailbox on a server with this delimiter; `None` if it can.
/// `encoded_octets` is its length on the wire.
pub fn objection(component: &str, encoded_octets: usize, delimiter: Option<char>) -> Option<String> {
    if component.is_empty() {
        return Some("one level of its name is empty".to_owned());
    }
    if let Some(c) = component.chars().find(|c| Some(*c) == delimiter) {
        return Some(format!("it contains “{c}”, which separates levels on the new server"));
    }
    if let Some(c) = component.chars().find(|c| c.is_control()) {
        return Some(format!("it contains the control character U+{:04X}", u32::from(c)));
    }
    // `%` and `*` are wildcards of LIST alone: Dovecot makes and keeps such names, Cyrus takes `*` (corpus, measured).
    // Where a server refuses one, its own words say so.
    (encoded_octets > COMPONENT_OCTETS_MAX).then(|| {
        format!(
            "“{}…” is {encoded_octets} octets long; servers take up to {COMPONENT_OCTETS_MAX}",
            component.chars().take(20).collect::<String>()
        )
    })
}

/// How alike two names are: the number of single-character edits between them (Levenshtein), without case.
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// True when `name` matches `glob`: `*` stands for any run of characters, delimiters included, `?` for one.
/// Case counts, except for INBOX as the whole name.
pub fn glob_matches(glob: &str, name: &str) -> bool {
    if is_inbox(name.as_bytes()) && is_inbox(glob.as_bytes()) {
        return true;
    }
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut g, mut n) = (0, 0);
    // The last `*`, and how much of the name it stands for: on a mismatch it takes one character more.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                g += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (g, n) = (at + 1, taken + 1);
            }
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_delimiter_inside_an_encoded_run_does_not_split() {
        let parts = split(b"a&AC8-b/c", Some('/'));
        assert_eq!(parts, [&b"a&AC8-b"[..], b"c"]);
        assert_eq!(decode(parts[0], false), "a/b");
    }

    #[test]
    fn empty_components_are_kept_and_a_flat_name_is_one() {
        assert_eq!(split(b"/a//b/", Some('/')).len(), 5);
        assert_eq!(split(b"a.b", None), [&b"a.b"[..]]);
        assert_eq!(split(b"", Some('.')), [&b""[..]]);
    }

    #[test]
    fn raw_octets_are_read_as_utf8_and_else_as_latin1() {
        assert_eq!(decode("Entwürfe".as_bytes(), false), "Entwürfe");
        assert_eq!(decode(b"Entw\xfcrfe", false), "Entwürfe");
        assert_eq!(decode(b"Entw&APw-rfe", false), "Entwürfe");
        assert_eq!(decode(b"R&D", false), "R&D");
        assert_eq!(decode(b"R&-D", true), "R&-D");
    }

    #[test]
    fn only_inbox_has_no_case() {
        assert_eq!(key(b"Inbox", Some('/')), "INBOX");
        assert_eq!(key(b"inbox/Sub", Some('/')), "INBOX/Sub");
        assert_eq!(key(b"inbox.Sub", Some('/')), "inbox.Sub");
        assert_eq!(key(b"Inboxes", Some('/')), "Inboxes");
        assert_ne!(key(b"foo", Some('/')), key(b"Foo", Some('/')));
    }

    #[test]
    fn an_objection_names_the_character() {
        assert!(objection("a.b", 3, Some('.')).unwrap().contains("“.”"));
        assert!(objection("a.b", 3, Some('/')).is_none());
        assert!(objection("a\u{7}", 5, Some('/')).unwrap().contains("U+0007"));
        assert!(objection("50%*", 4, Some('/')).is_none(), "wildcards of LIST alone");
        assert!(objection("", 0, Some('/')).unwrap().contains("empty"));
        assert!(objection("x", 255, Some('/')).is_none());
        assert!(objection("x", 256, Some('/')).unwrap().contains("256 octets"));
    }

    #[test]
    fn nothing_a_server_writes_can_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n"), "a<U+001B>[2Jb<U+000D><U+000A>");
        assert_eq!(printable("Entwürfe 日本"), "Entwürfe 日本");
    }

    #[test]
    fn globs() {
        for (glob, name, expected) in [
            ("Listen*", "Listen/rust/2020", true),
            ("*/2020", "Listen/rust/2020", true),
            ("*rust*", "Listen/rust/2020", true),
            ("L?sten", "Listen", true),
            ("L?sten", "Lsten", false),
            ("listen", "Listen", false),
            ("inbox", "INBOX", true),
            ("inbox*", "INBOX/x", false),
            ("*", "", true),
            ("", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(glob_matches(glob, name), expected, "{glob} {name}");
        }
    }

    proptest! {
        #[test]
        fn joining_undoes_splitting(wire in proptest::collection::vec(prop_oneof![Just(b'/'), any::<u8>()], 0..40)) {
            prop_assert_eq!(split(&wire, Some('/')).join(&b"/"[..]), wire);
        }

        #[test]
        fn canonical_names_survive(text in any::<String>(), utf8 in any::<bool>()) {
            prop_assert_eq!(decode(&encode(&text, utf8), utf8), text);
        }

        #[test]
        fn distance_is_a_metric_up_to_case(a in "[a-cA-C]{0,6}", b in "[a-cA-C]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, a.to_lowercase() == b.to_lowercase());
        }

        #[test]
        fn a_name_matches_itself_and_the_star(name in "[a-z/.]{0,20}", at in 0usize..20) {
            prop_assert!(glob_matches(&name, &name));
            let at = at.min(name.len());
            let (head, tail) = (&name[..at], &name[at..]);
            let with_head = format!("{}*", head);
            let with_tail = format!("*{}", tail);
            prop_assert!(glob_matches(&with_head, &name));
            prop_assert!(glob_matches(&with_tail, &name));
        }
    }
}
