//! Reads server responses: lines, literals, and the tokens between them.

use std::io::{self, BufRead, Read};

use bytes::Bytes;

use crate::image::{Content, ContentHasher};

use super::WireError;

/// Longest line without its literals, in octets: enough for the flags and listing of any server in the tests.
const LINE_LIMIT_OCTETS: u64 = 1 << 20;
/// Octets digested at a time from a literal that is not kept.
const CHUNK_OCTETS: usize = 64 << 10;

/// One response line with its literals.
#[derive(Debug)]
pub(super) struct Response(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Literal(Content),
}

/// A token of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    Atom(Vec<u8>),
    Quoted(Vec<u8>),
    Literal(Content),
}

impl Token {
    /// The octets of a string or atom, if they were kept.
    pub(super) fn octets(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(octets) | Self::Quoted(octets) => Some(octets),
            Self::Literal(content) => content.octets.as_deref(),
            Self::Open | Self::Close => None,
        }
    }

    pub(super) fn text(&self) -> Option<String> {
        self.octets().map(|octets| String::from_utf8_lossy(octets).into_owned())
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Atom(_) => self.text()?.parse().ok(),
            _ => None,
        }
    }

    /// It is this atom, in any case.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Atom(octets) if octets.eq_ignore_ascii_case(word.as_bytes()))
    }
}

impl Response {
    /// Reads one response. Literals are digested; their octets are kept only if `keep_octets`.
    pub(super) fn read(from: &mut impl BufRead, keep_octets: bool) -> Result<Self, WireError> {
        let mut pieces = Vec::new();
        loop {
            let line = read_line(from)?;
            let literal =
                if pieces.is_empty() && has_free_text(&line) { None } else { literal_octets(&line) };
            let Some((before, size)) = literal else {
                pieces.push(Piece::Text(line));
                return Ok(Self(pieces));
            };
            pieces.push(Piece::Text(line[..before].to_vec()));
            pieces.push(Piece::Literal(read_literal(from, size, keep_octets)?));
        }
    }

    /// The text before the first literal.
    pub(super) fn head(&self) -> String {
        match self.0.first() {
            Some(Piece::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        }
    }

    /// All tokens, `*` or the tag first.
    pub(super) fn tokens(&self) -> Result<Vec<Token>, WireError> {
        let mut tokens = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(content) => tokens.push(Token::Literal(content.clone())),
                Piece::Text(text) => tokenize(text, &mut tokens)?,
            }
        }
        Ok(tokens)
    }
}

fn read_line(from: &mut impl BufRead) -> Result<Vec<u8>, WireError> {
    let mut line = Vec::new();
    from.take(LINE_LIMIT_OCTETS).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(WireError::HungUp);
    }
    if !line.ends_with(b"\r\n") {
        return Err(WireError::protocol(format!(
            "a line without CRLF: {:?}",
            String::from_utf8_lossy(&line)
        )));
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

/// Status responses, greetings and continuations end in text for people, where braces mean nothing.
fn has_free_text(line: &[u8]) -> bool {
    let mut words = line.split(|octet| *octet == b' ');
    match (words.next(), words.next()) {
        (Some(b"*"), Some(word)) => ["OK", "NO", "BAD", "BYE", "PREAUTH"]
            .iter()
            .any(|status| word.eq_ignore_ascii_case(status.as_bytes())),
        _ => true,
    }
}

/// Where `{n}` begins at the end of a line, and its n.
fn literal_octets(line: &[u8]) -> Option<(usize, u64)> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|octet| *octet == b'{')?;
    let size = std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()?;
    // literal8, RFC 3516
    let before = if open > 0 && line[open - 1] == b'~' { open - 1 } else { open };
    Some((before, size))
}

fn read_literal(from: &mut impl Read, size: u64, keep_octets: bool) -> Result<Content, WireError> {
    if keep_octets {
        let mut octets = Vec::new();
        from.take(size).read_to_end(&mut octets)?;
        if octets.len() as u64 != size {
            return Err(WireError::HungUp);
        }
        return Ok(Content::of(Bytes::from(octets)));
    }
    let mut hasher = ContentHasher::default();
    let mut chunk = vec![0; CHUNK_OCTETS];
    let mut left = size;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(CHUNK_OCTETS).min(CHUNK_OCTETS);
        match from.read(&mut chunk[..wanted]) {
            Ok(0) => return Err(WireError::HungUp),
            Ok(read) => {
                hasher.update(&chunk[..read]);
                left -= read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(hasher.finish())
}

fn tokenize(text: &[u8], tokens: &mut Vec<Token>) -> Result<(), WireError> {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b' ' => at += 1,
            b'(' => {
                tokens.push(Token::Open);
                at += 1;
            }
            b')' => {
                tokens.push(Token::Close);
                at += 1;
            }
            b'"' => {
                let (octets, next) = quoted(text, at + 1)?;
                tokens.push(Token::Quoted(octets));
                at = next;
            }
            _ => {
                let end = atom_end(text, at);
                tokens.push(Token::Atom(text[at..end].to_vec()));
                at = end;
            }
        }
    }
    Ok(())
}

/// A quoted string from behind its opening quote, and the index behind its closing one.
fn quoted(text: &[u8], mut at: usize) -> Result<(Vec<u8>, usize), WireError> {
    let mut octets = Vec::new();
    loop {
        match (text.get(at), text.get(at + 1)) {
            (Some(b'"'), _) => return Ok((octets, at + 1)),
            (Some(b'\\'), Some(escaped)) => {
                octets.push(*escaped);
                at += 2;
            }
            (Some(octet), _) => {
                octets.push(*octet);
                at += 1;
            }
            (None, _) => return Err(WireError::protocol("a quoted string without end")),
        }
    }
}

/// `BODY[HEADER.FIELDS (TO)]` is one token; brackets mean nothing elsewhere.
fn atom_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < text.len() && !matches!(text[at], b' ' | b'(' | b')' | b'"') {
        let section = text[at] == b'['
            && (text[start..at].eq_ignore_ascii_case(b"BODY")
                || text[start..at].eq_ignore_ascii_case(b"BINARY"));
        at = match text[at..].iter().position(|octet| *octet == b']') {
            Some(length) if section => at + length + 1,
            _ => at + 1,
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut octets: &[u8]) -> Response {
        Response::read(&mut octets, true).unwrap()
    }

    #[test]
    fn a_fetch_with_two_literals_is_one_response() {
        let response = read(b"* 1 FETCH (UID 7 BODY[] {3}\r\na\r\n X {1}\r\n) FLAGS (\\Seen [x]))\r\n");
        let tokens = response.tokens().unwrap();
        assert_eq!(tokens[6], Token::Atom(b"BODY[]".to_vec()));
        assert_eq!(tokens[7].octets(), Some(&b"a\r\n"[..]));
        assert_eq!(tokens[9].octets(), Some(&b")"[..]));
        assert_eq!(tokens[13], Token::Atom(b"[x]".to_vec()));
        assert_eq!(tokens.len(), 16);
    }

    #[test]
    fn a_status_text_ending_in_braces_announces_no_literal() {
        assert_eq!(read(b"a1 OK done {5}\r\n").head(), "a1 OK done {5}");
        assert_eq!(read(b"* NO {5}\r\n").head(), "* NO {5}");
    }

    #[test]
    fn quoted_names_lose_their_escapes() {
        let tokens = read(b"* LIST () \"\\\\\" \"a \\\"b\\\\\"\r\n").tokens().unwrap();
        assert_eq!(tokens[4], Token::Quoted(b"\\".to_vec()));
        assert_eq!(tokens[5], Token::Quoted(b"a \"b\\".to_vec()));
    }

    #[test]
    fn a_literal_cut_short_is_told() {
        for keep in [true, false] {
            let mut octets = &b"* 1 FETCH (BODY[] {9}\r\nabc"[..];
            assert!(matches!(Response::read(&mut octets, keep), Err(WireError::HungUp)));
        }
    }
}
