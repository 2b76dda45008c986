//! One field as it is written: words of RFC 2047, lines of no more columns than they may have.

use super::charset::Charset;
use base64::Engine as _;

/// Characters of an encoded word, and of a line that holds one (RFC 2047, 2).
const WORD_MAX: usize = 75;
pub(super) const LINE_MAX: usize = 76;
/// With less room than this an encoded word begins on a line of its own.
pub(super) const ROOM_MIN: usize = 40;

/// A field that is being written.
pub(super) struct Line {
    out: Vec<u8>,
    column: usize,
    /// The line end of the field.
    newline: &'static [u8],
    pub(super) charset: Charset,
}

impl Line {
    /// Begins with the name and its colon.
    pub(super) fn new(name: &[u8], newline: &'static [u8], charset: Charset) -> Self {
        let mut line = Self { out: Vec::new(), column: 0, newline, charset };
        line.push(name);
        line
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// As it is.
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
        match memchr::memrchr(b'\n', octets) {
            Some(lf) => self.column = octets.len() - lf - 1,
            None => self.column += octets.len(),
        }
    }

    /// As they are, on the next line where this one has no room.
    pub(super) fn word(&mut self, space: &[u8], word: &[u8]) {
        self.word_before(space, word, 0);
    }

    /// The same, where so many columns `follow` at once.
    pub(super) fn word_before(&mut self, space: &[u8], word: &[u8], follow: usize) {
        if !word.is_empty() {
            self.make_room(space, word.len() + follow);
        }
        self.push(space);
        self.push(word);
    }

    /// Ends the line before this white space if what follows would go beyond its end.
    pub(super) fn make_room(&mut self, space: &[u8], columns: usize) {
        let may_fold = matches!(space.first(), Some(b' ' | b'\t')) && !space.contains(&b'\n');
        if may_fold && self.column + space.len() + columns > LINE_MAX {
            self.push(self.newline);
        }
    }

    /// White space, and then `content` in as many encoded words as it takes. So many columns `follow` the last one at once.
    pub(super) fn encoded(&mut self, space: &[u8], content: &[u8], follow: usize) {
        let form = Form::of(content, self.charset);
        let (mut space, mut rest) = (space, content);
        while !rest.is_empty() {
            // Of so many octets none is measured: there may be many words of them.
            let length = if rest.len() < ROOM_MIN { form.length(rest).min(ROOM_MIN) } else { ROOM_MIN };
            self.make_room(space, length);
            self.push(space);
            let room = LINE_MAX.saturating_sub(self.column + follow).min(WORD_MAX);
            let (these, others) = rest.split_at(form.fitting(rest, room));
            let text = form.text(these);
            self.push(&text);
            (space, rest) = (b" ", others);
            if !rest.is_empty() {
                self.push(self.newline);
            }
        }
    }
}

/// How encoded words are written: so that what is in ASCII can be read, unless that is less than a third. Where nobody knows
/// what the octets are, they can be seen one by one.
struct Form {
    base64: bool,
    charset: Charset,
}

impl Form {
    fn of(content: &[u8], charset: Charset) -> Self {
        let plain = content.iter().filter(|octet| quoted_length(**octet) == 1).count();
        Self { base64: charset != Charset::UNKNOWN && 3 * plain < content.len(), charset }
    }

    /// Characters of one encoded word with all of this.
    fn length(&self, content: &[u8]) -> usize {
        let text = match self.base64 {
            true => content.len().div_ceil(3) * 4,
            false => content.iter().map(|octet| quoted_length(*octet)).sum(),
        };
        "=??Q??=".len() + self.charset.name.len() + text
    }

    /// How many octets of this one encoded word may hold; at least one character.
    fn fitting(&self, content: &[u8], room: usize) -> usize {
        let mut end = self.charset.unit(content);
        while end < content.len() {
            let next = end + self.charset.unit(&content[end..]);
            if self.length(&content[..next]) > room {
                break;
            }
            end = next;
        }
        end
    }

    fn text(&self, content: &[u8]) -> Vec<u8> {
        let text = match self.base64 {
            true => base64::engine::general_purpose::STANDARD.encode(content),
            false => content.iter().map(|octet| quoted(*octet)).collect(),
        };
        let encoding = if self.base64 { 'B' } else { 'Q' };
        format!("=?{}?{encoding}?{text}?=", self.charset.name).into_bytes()
    }
}

/// The octets that stand for themselves also in a phrase (RFC 2047, 5).
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!*+-/".contains(&octet)
}

fn quoted_length(octet: u8) -> usize {
    if is_plain(octet) || octet == b' ' { 1 } else { 3 }
}

fn quoted(octet: u8) -> String {
    match octet {
        b' ' => "_".to_owned(),
        octet if is_plain(octet) => char::from(octet).to_string(),
        octet => format!("={octet:02X}"),
    }
}
