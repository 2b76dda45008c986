//! Cuts the octets of the server into responses, for any split of the input alike.
//!
//! Literals are framed here and nowhere else. The bodies of FETCH are passed through as they come, without being held;
//! other literals are short and kept. Human text never announces a literal: a status response, a continuation request
//! and a tagged line are complete at their line end whatever they end in.

use crate::Limits;
use crate::cursor::{Segment, parse_number};
use crate::error::ProtocolError;
use bytes::{Buf, Bytes, BytesMut};

/// What the framer finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A complete response. Bodies that were passed through stand in it as [`Segment::Body`].
    Response(Vec<Segment>),
    /// A message body begins, in the FETCH response with this sequence number.
    BodyStart {
        /// The message sequence number of the response.
        sequence: u32,
        /// The attribute it belongs to, as written (`BODY[]`).
        section: Bytes,
        /// Its length in octets.
        len: u64,
    },
    /// Octets of the body.
    BodyChunk(Bytes),
    /// The body is complete; its response goes on.
    BodyEnd,
}

#[derive(Debug)]
enum State {
    Line,
    Literal(u64),
    Body(u64),
    BodyEnd,
}

/// See the module.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// Octets of the buffer that hold no LF.
    scanned: usize,
    state: State,
    segments: Vec<Segment>,
    /// Octets of the present response that are kept.
    kept: u64,
    limits: Limits,
}

impl Framer {
    /// A framer at the start of a connection.
    pub fn new(limits: Limits) -> Self {
        let (buffer, segments) = (BytesMut::new(), Vec::new());
        Self { buffer, scanned: 0, state: State::Line, segments, kept: 0, limits }
    }

    /// Adds octets from the server.
    pub fn feed(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// The buffer that octets from the server are appended to.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Octets that belong to no complete frame yet.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Takes them out, between responses: they belong to a layer below.
    pub fn take_waiting(&mut self) -> Bytes {
        self.scanned = 0;
        self.buffer.split().freeze()
    }

    /// True between responses.
    pub fn is_between_responses(&self) -> bool {
        self.segments.is_empty() && self.buffer.is_empty() && matches!(self.state, State::Line)
    }

    /// Takes back the room of a response that was read, for the next one.
    pub fn reuse(&mut self, mut segments: Vec<Segment>) {
        if self.segments.capacity() == 0 {
            segments.clear();
            self.segments = segments;
        }
    }

    /// The next frame; `None` when more octets are needed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ProtocolError> {
        loop {
            match self.state {
                State::Line => match self.take_line()? {
                    None => return Ok(None),
                    Some(line) => {
                        if let Some(frame) = self.line(line)? {
                            return Ok(Some(frame));
                        }
                    }
                },
                State::Literal(len) => {
                    if (self.buffer.len() as u64) < len {
                        return Ok(None);
                    }
                    let octets = self.split(len);
                    self.segments.push(Segment::Literal(octets));
                    self.state = State::Line;
                }
                State::Body(0) => self.state = State::BodyEnd,
                State::Body(left) => {
                    let there = (self.buffer.len() as u64).min(left);
                    if there == 0 {
                        return Ok(None);
                    }
                    self.state = State::Body(left - there);
                    return Ok(Some(Frame::BodyChunk(self.split(there))));
                }
                State::BodyEnd => {
                    self.state = State::Line;
                    return Ok(Some(Frame::BodyEnd));
                }
            }
        }
    }

    fn split(&mut self, octets: u64) -> Bytes {
        self.scanned = 0;
        let octets = usize::try_from(octets).unwrap_or(usize::MAX).min(self.buffer.len());
        self.buffer.split_to(octets).freeze()
    }

    /// A line without its end. A lone LF ends a line, too.
    fn take_line(&mut self) -> Result<Option<Bytes>, ProtocolError> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(lf) = memchr::memchr(b'\n', unseen).map(|i| i + self.scanned) else {
            self.scanned = self.buffer.len();
            self.check_length(self.scanned as u64)?;
            return Ok(None);
        };
        self.check_length(lf as u64)?;
        let mut line = self.buffer.split_to(lf);
        self.buffer.advance(1);
        self.scanned = 0;
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        self.kept += line.len() as u64;
        Ok(Some(line.freeze()))
    }

    fn check_length(&self, more: u64) -> Result<(), ProtocolError> {
        let limit = self.limits.max_line_octets;
        if self.kept + more > limit { Err(ProtocolError::LineTooLong { limit }) } else { Ok(()) }
    }

    /// Takes a line into the response; gives a frame when the response is complete or a body begins.
    fn line(&mut self, line: Bytes) -> Result<Option<Frame>, ProtocolError> {
        let announced = if self.may_hold_literals(&line) { announcement(&line)? } else { None };
        let Some((text, len)) = announced else {
            self.segments.push(Segment::Text(line));
            self.kept = 0;
            return Ok(Some(Frame::Response(std::mem::take(&mut self.segments))));
        };
        let text = line.slice(..text);
        let section = self.fetch_sequence(&text).and_then(|sequence| Some((sequence, body_section(&text)?)));
        self.segments.push(Segment::Text(text));
        if let Some((sequence, section)) = section {
            self.segments.push(Segment::Body(len));
            self.state = State::Body(len);
            return Ok(Some(Frame::BodyStart { sequence, section, len }));
        }
        let limit = self.limits.max_inline_literal_octets;
        if len > limit {
            return Err(ProtocolError::LiteralTooLong { announced: len, limit });
        }
        self.kept += len;
        self.check_length(0)?;
        self.state = State::Literal(len);
        Ok(None)
    }

    fn first_text<'a>(&'a self, line: &'a Bytes) -> &'a Bytes {
        match self.segments.first() {
            Some(Segment::Text(first)) => first,
            _ => line,
        }
    }

    /// Only untagged data: neither status text nor `+` nor a tagged line.
    fn may_hold_literals(&self, line: &Bytes) -> bool {
        let Some(rest) = self.first_text(line).strip_prefix(b"* ") else { return false };
        let word = rest.split(|b| *b == b' ').next().unwrap_or_default();
        !["OK", "NO", "BAD", "BYE", "PREAUTH"].iter().any(|s| word.eq_ignore_ascii_case(s.as_bytes()))
    }

    /// The sequence number, if the response is a FETCH.
    fn fetch_sequence(&self, line: &Bytes) -> Option<u32> {
        let rest = self.first_text(line).strip_prefix(b"* ")?;
        let mut words = rest.split(|b| *b == b' ');
        let sequence = u32::try_from(parse_number(words.next()?)?).ok()?;
        words.next()?.eq_ignore_ascii_case(b"FETCH").then_some(sequence)
    }
}

/// The length of the literal that a line announces at its end, and where the announcement begins.
fn announcement(line: &[u8]) -> Result<Option<(usize, u64)>, ProtocolError> {
    let Some(inner) = line.strip_suffix(b"}") else { return Ok(None) };
    let Some(open) = memchr::memrchr(b'{', inner) else { return Ok(None) };
    let digits = inner.get(open + 1..).unwrap_or_default();
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Ok(None);
    }
    let len = parse_number(digits).ok_or(ProtocolError::LiteralLengthOverflow)?;
    let start = if line.get(..open).is_some_and(|l| l.ends_with(b"~")) { open - 1 } else { open };
    Ok(Some((start, len)))
}

/// The body attribute that a text ends in, if it does: `BODY[…]`, `BODY[…]<n>`, `BINARY[…]`, `RFC822`.
fn body_section(text: &Bytes) -> Option<Bytes> {
    let trimmed = text.strip_suffix(b" ")?;
    let word_start = |end: usize| {
        let before = trimmed.get(..end).unwrap_or_default();
        before.iter().rposition(|b| matches!(b, b' ' | b'(')).map_or(0, |i| i + 1)
    };
    let close = if trimmed.ends_with(b">") { memchr::memrchr(b'<', trimmed)? } else { trimmed.len() };
    let start = if trimmed.get(..close).is_some_and(|t| t.ends_with(b"]")) {
        word_start(memchr::memrchr(b'[', trimmed)?)
    } else {
        word_start(trimmed.len())
    };
    let section = trimmed.get(start..)?;
    let starts = |name: &[u8]| section.get(..name.len()).is_some_and(|s| s.eq_ignore_ascii_case(name));
    let is_body = starts(b"BODY[") || starts(b"BINARY[") || section.eq_ignore_ascii_case(b"RFC822");
    is_body.then(|| text.slice(start..trimmed.len()))
}
