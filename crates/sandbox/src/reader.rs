//! Reads commands: lines with literals in them, then words.

use crate::fault::Fault;
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest command line without its literals, in octets.
const LINE_OCTETS_MAX: usize = 256 * 1024;
/// Longest literal, in octets.
const LITERAL_OCTETS_MAX: usize = 1 << 30;

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// An atom, as written.
    Atom(String),
    /// A quoted string.
    Quoted(Bytes),
    /// A literal.
    Literal(Bytes),
    /// A parenthesised list.
    List(Vec<Word>),
}

impl Word {
    /// The text of an atom or a string.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Atom(atom) => Some(atom.clone()),
            Self::Quoted(octets) | Self::Literal(octets) => {
                Some(String::from_utf8_lossy(octets).into_owned())
            }
            Self::List(_) => None,
        }
    }
}

/// Why no command could be read.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The connection ended.
    Closed,
    /// The line makes no sense; the tag, if it had one.
    Bad(String),
    /// The literal is not taken: the tag, status and text.
    Refused(String, String),
}

/// Cuts the input into commands.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: BytesMut,
}

impl Reader {
    async fn more<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<(), Stop> {
        match stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(Stop::Closed),
            Ok(_) => Ok(()),
        }
    }

    /// A line without its end.
    pub(crate) async fn line<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<Bytes, Stop> {
        let mut seen = 0;
        loop {
            let unseen = self.buffer.get(seen..).unwrap_or_default();
            if let Some(lf) = memchr::memchr(b'\n', unseen).map(|i| i + seen) {
                let line = self.buffer.split_to(lf + 1).freeze();
                let end = if line.ends_with(b"\r\n") { lf - 1 } else { lf };
                return Ok(line.slice(..end));
            }
            seen = self.buffer.len();
            if seen > LINE_OCTETS_MAX {
                return Err(Stop::Closed);
            }
            self.more(stream).await?;
        }
    }

    /// Whether a further line has come, or does within this time.
    pub(crate) async fn has_line<S: AsyncRead + Unpin>(&mut self, stream: &mut S, within: Duration) -> bool {
        let come = async {
            while !self.buffer.contains(&b'\n') {
                self.more(stream).await?;
            }
            Ok::<_, Stop>(())
        };
        tokio::time::timeout(within, come).await.is_ok_and(|come| come.is_ok())
    }

    /// Takes out what was read and is no part of a command yet.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        self.buffer.split().to_vec()
    }

    /// Reads and forgets until the client is gone.
    pub(crate) async fn until_closed<S: AsyncRead + Unpin>(&mut self, stream: &mut S) {
        while self.more(stream).await.is_ok() {
            self.buffer.clear();
        }
    }

    /// A whole command: its words, the first of which is the tag. `instead` says what a literal that waits for its
    /// continuation request gets in its place.
    pub(crate) async fn command<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        non_synchronising_octets_max: usize,
        instead: impl Fn() -> Option<Fault>,
    ) -> Result<Vec<Word>, Stop> {
        let mut pieces = Vec::new();
        loop {
            let line = self.line(stream).await?;
            let Some((text, length, plus)) = announced(&line) else {
                pieces.push((line, None));
                break;
            };
            if length > LITERAL_OCTETS_MAX || (plus && length > non_synchronising_octets_max) {
                return Err(Stop::Closed);
            }
            if !plus && let Some(fault) = instead() {
                let Fault::RefuseLiteral(text) = fault else {
                    self.until_closed(stream).await;
                    return Err(Stop::Closed);
                };
                let first = pieces.first().map_or(&line, |(first, _)| first);
                return Err(Stop::Refused(first_word(first), text));
            }
            if !plus {
                stream.write_all(b"+ go ahead\r\n").await.map_err(|_| Stop::Closed)?;
                stream.flush().await.map_err(|_| Stop::Closed)?;
            }
            self.buffer.reserve(length.saturating_sub(self.buffer.len()));
            while self.buffer.len() < length {
                self.more(stream).await?;
            }
            pieces.push((line.slice(..text), Some(self.buffer.split_to(length).freeze())));
        }
        words(&pieces)
            .ok_or_else(|| Stop::Bad(pieces.first().map_or_else(|| "*".into(), |(line, _)| first_word(line))))
    }
}

/// The tag of a command, where it has one.
fn first_word(line: &[u8]) -> String {
    String::from_utf8_lossy(line).split(' ').next().unwrap_or("*").to_owned()
}

/// Where the announcement of a literal begins, its length, and whether it waits for nobody.
fn announced(line: &[u8]) -> Option<(usize, usize, bool)> {
    let inner = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inner)?;
    let digits = inner.get(open + 1..)?;
    let (digits, plus) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, true),
        None => (digits, false),
    };
    Some((open, std::str::from_utf8(digits).ok()?.parse().ok()?, plus))
}

fn words(pieces: &[(Bytes, Option<Bytes>)]) -> Option<Vec<Word>> {
    let mut stack: Vec<Vec<Word>> = vec![Vec::new()];
    for (text, literal) in pieces {
        let mut rest: &[u8] = text;
        while let Some(&first) = rest.first() {
            match first {
                b' ' => rest = &rest[1..],
                b'(' => {
                    stack.push(Vec::new());
                    rest = &rest[1..];
                }
                b')' => {
                    let list = stack.pop()?;
                    stack.last_mut()?.push(Word::List(list));
                    rest = &rest[1..];
                }
                b'"' => {
                    let (string, after) = quoted(&rest[1..])?;
                    stack.last_mut()?.push(Word::Quoted(string));
                    rest = after;
                }
                _ => {
                    let (atom, after) = atom(rest);
                    stack.last_mut()?.push(Word::Atom(atom));
                    rest = after;
                }
            }
        }
        if let Some(octets) = literal {
            stack.last_mut()?.push(Word::Literal(octets.clone()));
        }
    }
    let words = stack.pop()?;
    (stack.is_empty() && words.len() >= 2).then_some(words)
}

fn quoted(rest: &[u8]) -> Option<(Bytes, &[u8])> {
    let mut out = Vec::new();
    let mut i = 0;
    loop {
        match rest.get(i)? {
            b'"' => return Some((out.into(), &rest[i + 1..])),
            b'\\' => {
                out.push(*rest.get(i + 1)?);
                i += 2;
            }
            octet => {
                out.push(*octet);
                i += 1;
            }
        }
    }
}

/// An atom; a section in brackets belongs to it, blanks and parentheses included.
fn atom(rest: &[u8]) -> (String, &[u8]) {
    let mut depth = 0;
    let end = rest.iter().position(|b| {
        match b {
            b'[' => depth += 1,
            b']' => depth -= 1,
            b' ' | b'(' | b')' if depth <= 0 => return true,
            _ => {}
        }
        false
    });
    let end = end.unwrap_or(rest.len());
    (String::from_utf8_lossy(&rest[..end]).into_owned(), &rest[end..])
}
