//! Walks over one complete response: text, with the literals that stood in it.

use bytes::Bytes;

/// A part of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Text of a line, without the announcement of the literal that follows it and without the line end.
    Text(Bytes),
    /// A literal that was short enough to be kept.
    Literal(Bytes),
    /// A message body that was streamed past (RFC 9051, 4.3), with its length in octets.
    Body(u64),
}

/// A number of at most 64 bits.
pub(crate) fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, d| {
        let digit = d.is_ascii_digit().then(|| u64::from(d - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// A string, or what stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Nil,
    Quoted(Bytes),
    Literal(Bytes),
    Body(u64),
    Atom(Bytes),
}

/// A position in a response. Every method either takes what it names and returns it, or takes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    segments: &'a [Segment],
    segment: usize,
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(segments: &'a [Segment]) -> Self {
        Self { segments, segment: 0, offset: 0 }
    }

    /// The present segment, if it is text.
    fn whole_text(&self) -> Option<&'a Bytes> {
        match self.segments.get(self.segment)? {
            Segment::Text(text) => Some(text),
            Segment::Literal(_) | Segment::Body(_) => None,
        }
    }

    /// The rest of the present text segment. Borrowed: a [`Bytes`] for each look costs two atomic operations on a counter
    /// that the readers of all bodies of the buffer share.
    fn text(&self) -> Option<&'a [u8]> {
        self.whole_text().map(|text| text.get(self.offset..).unwrap_or_default())
    }

    fn advance(&mut self, octets: usize) {
        self.offset += octets;
        let done = self.text().is_some_and(|t| t.is_empty()) && self.segment + 1 < self.segments.len();
        if done {
            self.segment += 1;
            self.offset = 0;
        }
    }

    fn settle(&mut self) {
        self.advance(0);
    }

    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.settle();
        self.text()?.first().copied()
    }

    /// Takes one octet if it is this one.
    pub(crate) fn eat(&mut self, octet: u8) -> bool {
        let there = self.peek() == Some(octet);
        if there {
            self.advance(1);
        }
        there
    }

    pub(crate) fn skip_spaces(&mut self) {
        while self.eat(b' ') {}
    }

    /// Takes octets up to one for which `stop` holds, or to the end of the text; `None` if there are none.
    pub(crate) fn take_until(&mut self, stop: impl Fn(u8) -> bool) -> Option<&'a [u8]> {
        self.settle();
        let text = self.text()?;
        let end = text.iter().position(|b| stop(*b)).unwrap_or(text.len());
        let taken = text.get(..end).filter(|taken| !taken.is_empty())?;
        self.advance(end);
        Some(taken)
    }

    /// The name of a FETCH attribute, with its section and origin as written: `BODY[HEADER.FIELDS (A B)]<0>`.
    pub(crate) fn attribute_name(&mut self) -> Option<&'a [u8]> {
        self.settle();
        let text = self.text()?;
        let after = |from: usize, stop: &dyn Fn(u8) -> bool| {
            let rest = text.get(from..).unwrap_or_default();
            from + rest.iter().position(|b| stop(*b)).unwrap_or(rest.len())
        };
        let mut end = after(0, &|b| matches!(b, b' ' | b'(' | b')' | b'['));
        if end == 0 {
            return None;
        }
        if text.get(end) == Some(&b'[') {
            end = text.len().min(after(end, &|b| b == b']') + 1);
            if text.get(end) == Some(&b'<') {
                end = after(end, &|b| b == b' ');
            }
        }
        self.advance(end);
        text.get(..end)
    }

    /// A run without spaces, parentheses or quotes.
    pub(crate) fn word(&mut self) -> Option<&'a [u8]> {
        self.take_until(|b| matches!(b, b' ' | b'(' | b')' | b'"'))
    }

    /// [`Cursor::word`], to be kept.
    pub(crate) fn atom(&mut self) -> Option<Bytes> {
        self.settle();
        let text = self.whole_text()?;
        self.word().map(|word| text.slice_ref(word))
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let before = self.clone();
        let number = self.take_until(|b| !b.is_ascii_digit()).and_then(parse_number);
        if number.is_none() {
            *self = before;
        }
        number
    }

    /// The rest of the present text, whatever it holds.
    pub(crate) fn rest(&mut self) -> Bytes {
        self.settle();
        let Some(text) = self.whole_text() else { return Bytes::new() };
        let rest = text.slice(self.offset.min(text.len())..);
        self.advance(rest.len());
        rest
    }

    fn quoted(&mut self) -> Option<Bytes> {
        let (whole, text) = (self.whole_text()?, self.text()?);
        let inner = text.get(1..)?;
        if let Some(end) = memchr::memchr2(b'"', b'\\', inner)
            && let Some((plain, [b'"', ..])) = inner.split_at_checked(end)
        {
            self.advance(end + 2);
            return Some(whole.slice_ref(plain));
        }
        let mut out = Vec::new();
        let mut octets = text.iter().enumerate().skip(1);
        while let Some((i, octet)) = octets.next() {
            match octet {
                b'"' => {
                    self.advance(i + 1);
                    return Some(out.into());
                }
                b'\\' => out.extend(octets.next().map(|(_, o)| *o)),
                other => out.push(*other),
            }
        }
        None
    }

    /// A string, NIL, an atom, or a streamed body.
    pub(crate) fn value(&mut self) -> Option<Value> {
        self.settle();
        match self.segments.get(self.segment)? {
            Segment::Literal(octets) => {
                self.segment += 1;
                self.offset = 0;
                Some(Value::Literal(octets.clone()))
            }
            Segment::Body(len) => {
                self.segment += 1;
                self.offset = 0;
                Some(Value::Body(*len))
            }
            Segment::Text(_) if self.peek() == Some(b'"') => self.quoted().map(Value::Quoted),
            Segment::Text(text) => {
                let word = self.word()?;
                let is_nil = word.eq_ignore_ascii_case(b"NIL");
                Some(if is_nil { Value::Nil } else { Value::Atom(text.slice_ref(word)) })
            }
        }
    }

    /// A string in any form; NIL is the atom it looks like.
    pub(crate) fn astring(&mut self) -> Option<Bytes> {
        match self.value()? {
            Value::Quoted(s) | Value::Literal(s) | Value::Atom(s) => Some(s),
            Value::Nil => Some(Bytes::from_static(b"NIL")),
            Value::Body(_) => None,
        }
    }

    /// A string, or `None` inside for NIL.
    pub(crate) fn nstring(&mut self) -> Option<Option<Bytes>> {
        match self.value()? {
            Value::Nil => Some(None),
            Value::Quoted(s) | Value::Literal(s) | Value::Atom(s) => Some(Some(s)),
            Value::Body(_) => None,
        }
    }

    /// The flags between parentheses, 8-bit and odd ones included.
    pub(crate) fn list(&mut self) -> Option<Vec<Bytes>> {
        let mut items = Vec::new();
        self.each_of_list(|item| items.push(item))?;
        Some(items)
    }

    /// The first item between parentheses; `None` inside where there is none.
    pub(crate) fn first_of_list(&mut self) -> Option<Option<Bytes>> {
        let mut first = None;
        self.each_of_list(|item| _ = first.get_or_insert(item))?;
        Some(first)
    }

    fn each_of_list(&mut self, mut each: impl FnMut(Bytes)) -> Option<()> {
        if !self.eat(b'(') {
            return None;
        }
        loop {
            self.skip_spaces();
            if self.eat(b')') {
                return Some(());
            }
            each(self.astring()?);
        }
    }

    /// Takes one value of any kind, nested lists included, and returns its octets without interpreting them.
    pub(crate) fn raw_value(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        let mut depth = 0u32;
        loop {
            match self.peek() {
                Some(b'(') => {
                    depth += 1;
                    out.push(b'(');
                    self.advance(1);
                }
                Some(b')') if depth > 0 => {
                    depth -= 1;
                    out.push(b')');
                    self.advance(1);
                }
                Some(b' ') if depth > 0 => {
                    out.push(b' ');
                    self.advance(1);
                }
                Some(b')' | b' ') => return None,
                _ => match self.value()? {
                    Value::Nil => out.extend_from_slice(b"NIL"),
                    Value::Quoted(s) | Value::Literal(s) => {
                        out.push(b'"');
                        out.extend_from_slice(&s);
                        out.push(b'"');
                    }
                    Value::Atom(s) => out.extend_from_slice(&s),
                    Value::Body(_) => {}
                },
            }
            if depth == 0 {
                return Some(out.into());
            }
        }
    }

    pub(crate) fn at_end(&mut self) -> bool {
        self.settle();
        self.segment + 1 >= self.segments.len() && self.text().is_none_or(|t| t.is_empty())
    }
}
