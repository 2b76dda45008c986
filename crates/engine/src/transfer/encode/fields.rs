//! Where in a field of which kind encoded text may stand (RFC 2047, 5; RFC 2231).

use super::charset::Charset;
use super::line::{LINE_MAX, Line, ROOM_MIN};
use std::collections::HashMap;

/// Addresses, and what has phrases as they have.
const PHRASES: [&str; 21] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "resent-from",
    "resent-sender",
    "resent-reply-to",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "apparently-to",
    "disposition-notification-to",
    "return-receipt-to",
    "errors-to",
    "mail-followup-to",
    "mail-reply-to",
    "x-original-from",
    "list-id",
    "keywords",
];
/// Fields in which only a comment may be text.
const COMMENTS: [&str; 5] =
    ["date", "resent-date", "delivery-date", "mime-version", "content-transfer-encoding"];
/// Fields with parameters.
const PARAMETERS: [&str; 2] = ["content-type", "content-disposition"];
/// Parameters that programs take apart messages by.
const PARAMETERS_LEFT: [&str; 2] = ["boundary", "charset"];
/// Fields that are left as they are: no encoded word may be there, or others rely on their octets.
const LEFT: [&str; 32] = [
    "received",
    "return-path",
    "message-id",
    "resent-message-id",
    "in-reply-to",
    "references",
    "content-id",
    "content-location",
    "content-base",
    "content-language",
    "content-length",
    "content-md5",
    "delivered-to",
    "envelope-to",
    "x-original-to",
    "dkim-signature",
    "domainkey-signature",
    "arc-seal",
    "arc-message-signature",
    "arc-authentication-results",
    "authentication-results",
    "received-spf",
    "list-post",
    "list-help",
    "list-archive",
    "list-subscribe",
    "list-unsubscribe",
    "list-owner",
    "archived-at",
    "newsgroups",
    "followup-to",
    "xref",
];

/// The charset that the Content-Type of a message declares, if there is one of both and it can be used.
pub(super) fn declared(fields: &[&[u8]]) -> Option<Charset> {
    let mut types = fields.iter().filter_map(|field| {
        let colon = memchr::memchr(b':', field)?;
        field[..colon].trim_ascii_end().eq_ignore_ascii_case(b"content-type").then(|| &field[colon + 1..])
    });
    let (Some(value), None) = (types.next(), types.next()) else { return None };
    let tokens = tokens(value.trim_ascii_end(), b";=")?;
    let mut found = None;
    for piece in tokens.split(|token| *token == Token::Special(b";")).skip(1) {
        let is_text = |token: &&Token<'_>| !matches!(token, Token::Space(_) | Token::Comment(_));
        let piece: Vec<Token<'_>> = piece.iter().filter(is_text).copied().collect();
        match piece.as_slice() {
            [Token::Word(name), Token::Special(b"="), rest @ ..] if name.eq_ignore_ascii_case(b"charset") => {
                let ([value @ (Token::Word(_) | Token::Quoted(_))], None) = (rest, &found) else {
                    return None;
                };
                found = Some(value.says());
            }
            _ => {}
        }
    }
    Charset::declared(found?.trim_ascii())
}

/// A field with octets outside ASCII, without them; `None` where it cannot be.
pub(super) fn encode(field: &[u8], declared: Option<Charset>) -> Option<Vec<u8>> {
    let colon = memchr::memchr(b':', field)?;
    let name = field[..colon].trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) || has_odd_cr(field) {
        return None;
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let end = field.trim_ascii_end().len().max(colon + 1);
    let value = &field[colon + 1..end];
    let newline: &[u8] = match memchr::memchr(b'\n', field) {
        Some(0) => b"\n",
        Some(lf) if field[lf - 1] != b'\r' => b"\n",
        _ => b"\r\n",
    };
    let mut line = Line::new(&field[..=colon], newline, Charset::of(value, declared));
    let is = |list: &[&str]| list.contains(&name.as_str());
    // A backslash that may be the end of a character: what it stands for is not known.
    let doubtful = declared.is_some_and(Charset::hides_ascii)
        && value.windows(2).any(|two| !two[0].is_ascii() && two[1] == b'\\');
    if is(&LEFT) || (doubtful && (is(&PHRASES) || is(&COMMENTS) || is(&PARAMETERS))) {
        return None;
    } else if is(&PHRASES) {
        phrases(&mut line, &tokens(value, b",;:<")?)?;
    } else if is(&COMMENTS) {
        let tokens = tokens(value, b"")?;
        only_comments(&mut line, &tokens)?;
    } else if is(&PARAMETERS) {
        parameters(&mut line, value)?;
    } else {
        text(&mut line, value, Text::Field);
    }
    line.push(&field[end..]);
    Some(line.finish())
}

/// A CR that is no line end is neither text nor white space.
fn has_odd_cr(field: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', field).any(|cr| field.get(cr + 1) != Some(&b'\n'))
}

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// Without the line ends.
fn unfolded(octets: &[u8]) -> Vec<u8> {
    octets.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect()
}

/// A whole encoded word (RFC 2047, 2). White space between two of them is no text.
fn is_encoded_word(word: &[u8]) -> bool {
    let parts: Vec<&[u8]> = word.split(|octet| *octet == b'?').collect();
    matches!(parts.as_slice(), [b"=", charset, b"Q" | b"q" | b"B" | b"b", _, b"="] if !charset.is_empty())
}

/// A word, the white space before it, and what it says if it is to be encoded.
struct Spaced<'a> {
    space: &'a [u8],
    word: Vec<u8>,
    says: Option<Vec<u8>>,
}

/// Words one after the other. Neighbours that are to be encoded become one text, with the white space between them, as that
/// between encoded words is none; towards a word that was encoded before it belongs to the text, too. So many columns `follow` the last
/// one at once.
fn words(line: &mut Line, words: &[Spaced<'_>], follow: usize) {
    let mut at = 0;
    while let Some(Spaced { space, word, says }) = words.get(at) {
        if says.is_none() {
            at += 1;
            line.word_before(space, word, if at == words.len() { follow } else { 0 });
            continue;
        }
        let run: Vec<(&[u8], &[u8])> = words[at..]
            .iter()
            .map_while(|next| next.says.as_deref().map(|says| (next.space, says)))
            .collect();
        let mut content = Vec::new();
        let before = at.checked_sub(1).map(|before| &words[before]);
        for (n, (space, says)) in run.iter().enumerate() {
            if n > 0 || before.is_some_and(|before| is_encoded_word(&before.word)) {
                content.extend(unfolded(space));
            }
            content.extend_from_slice(says);
        }
        at += run.len();
        if let Some(after) = words.get(at).filter(|after| is_encoded_word(&after.word)) {
            content.extend(unfolded(after.space));
        }
        line.encoded(space, &content, if at == words.len() { follow } else { 0 });
    }
}

/// What text is of.
#[derive(Clone, Copy)]
enum Text {
    /// An unstructured field (RFC 5322, 3.2.5).
    Field,
    /// A comment, with so many parentheses behind the text.
    Comment(usize),
}

impl Text {
    fn says(self, word: &[u8]) -> Vec<u8> {
        match self {
            Self::Field => word.to_vec(),
            Self::Comment(_) => unescaped(word),
        }
    }

    /// Octets of the word that begins here. The white space of a quoted pair is of the word: a line that ends before it tears the pair.
    fn word(self, text: &[u8]) -> usize {
        let (mut at, mut escaped) = (0, false);
        while let Some(octet) = text.get(at) {
            let is_of_pair = escaped && matches!(octet, b' ' | b'\t');
            if is_space(*octet) && !is_of_pair {
                break;
            }
            escaped = matches!(self, Self::Comment(_)) && *octet == b'\\' && !escaped;
            at += 1;
        }
        at
    }
}

fn text(line: &mut Line, text: &[u8], of: Text) {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let word = at + text[at..].iter().take_while(|octet| is_space(**octet)).count();
        let end = word + of.word(&text[word..]);
        let (space, word) = (&text[at..word], &text[word..end]);
        all.push(Spaced { space, word: word.to_vec(), says: (!word.is_ascii()).then(|| of.says(word)) });
        at = end;
    }
    words(line, &all, if let Text::Comment(closes) = of { closes } else { 0 });
}

/// A piece of a structured field (RFC 5322, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Space(&'a [u8]),
    /// With its quotes.
    Quoted(&'a [u8]),
    /// With its parentheses.
    Comment(&'a [u8]),
    /// From `<` to `>`.
    Angle(&'a [u8]),
    Special(&'a [u8]),
    Word(&'a [u8]),
}

impl<'a> Token<'a> {
    fn octets(&self) -> &'a [u8] {
        match self {
            Self::Space(octets)
            | Self::Quoted(octets)
            | Self::Comment(octets)
            | Self::Angle(octets)
            | Self::Special(octets)
            | Self::Word(octets) => octets,
        }
    }

    /// What it stands for as a word.
    fn says(&self) -> Vec<u8> {
        match self {
            Self::Quoted(quoted) => unquoted(quoted),
            other => other.octets().to_vec(),
        }
    }
}

/// Takes a structured value apart; `None` where something is not closed.
fn tokens<'a>(value: &'a [u8], specials: &[u8]) -> Option<Vec<Token<'a>>> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
        let until =
            |ends: &dyn Fn(u8) -> bool| rest.iter().position(|octet| ends(*octet)).unwrap_or(rest.len());
        let token = match rest[0] {
            octet if is_space(octet) => Token::Space(&rest[..until(&|octet| !is_space(octet))]),
            b'"' => Token::Quoted(&rest[..quoted_end(rest)?]),
            b'(' => Token::Comment(&rest[..comment_end(rest)?]),
            b'<' if specials.contains(&b'<') => {
                Token::Angle(&rest[..rest.iter().position(|octet| *octet == b'>')? + 1])
            }
            octet if specials.contains(&octet) => Token::Special(&rest[..1]),
            _ => {
                let ends = |octet| is_space(octet) || b"\"(".contains(&octet) || specials.contains(&octet);
                Token::Word(&rest[..until(&ends)])
            }
        };
        at += token.octets().len();
        tokens.push(token);
    }
    Some(tokens)
}

fn quoted_end(octets: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match octets.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn comment_end(octets: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0usize);
    loop {
        match octets.get(at)? {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
    }
}

/// What a quoted string or a word of a comment stands for: without the backslashes before others.
fn unescaped(octets: &[u8]) -> Vec<u8> {
    let (mut out, mut escaped) = (Vec::with_capacity(octets.len()), false);
    for octet in octets {
        escaped = *octet == b'\\' && !escaped;
        if !escaped {
            out.push(*octet);
        }
    }
    if escaped {
        out.push(b'\\');
    }
    out
}

/// What a quoted string stands for.
fn unquoted(quoted: &[u8]) -> Vec<u8> {
    unescaped(&unfolded(quoted.get(1..quoted.len() - 1).unwrap_or_default()))
}

/// A comment: its text is encoded between the parentheses.
fn comment(line: &mut Line, space: &[u8], comment: &[u8]) {
    if comment.is_ascii() {
        return line.word(space, comment);
    }
    line.make_room(space, ROOM_MIN);
    line.push(space);
    let (mut start, mut at) = (0, 0);
    while at < comment.len() {
        match comment[at] {
            b'\\' => at += 1,
            b'(' | b')' => {
                let closes =
                    comment[at..].iter().take(ROOM_MIN / 2).take_while(|octet| **octet == b')').count();
                text(line, &comment[start..at], Text::Comment(closes.max(1)));
                line.push(&comment[at..=at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
}

/// A structured field whose only text is in comments.
fn only_comments(line: &mut Line, tokens: &[Token<'_>]) -> Option<()> {
    let mut space: &[u8] = b"";
    for token in tokens {
        match token {
            Token::Space(octets) => space = octets,
            Token::Comment(octets) => comment(line, std::mem::take(&mut space), octets),
            other if !other.octets().is_ascii() => return None,
            other => line.word(std::mem::take(&mut space), other.octets()),
        }
    }
    line.push(space);
    Some(())
}

/// Addresses (RFC 5322, 3.4): text is what stands before `<…>`, the name of a group, or something that is no address.
fn phrases(line: &mut Line, tokens: &[Token<'_>]) -> Option<()> {
    for (n, piece) in tokens.split_inclusive(|token| matches!(token, Token::Special(_))).enumerate() {
        let angle = piece.iter().position(|token| matches!(token, Token::Angle(_)));
        let has_at = piece.iter().any(|t| matches!(t, Token::Word(word) if word.contains(&b'@')));
        let text_ends = match angle {
            Some(angle) => angle,
            // Also before a colon: it may be one of a domain literal (RFC 5322, 3.4.1).
            None if has_at => 0,
            None => piece.len(),
        };
        let is_text = |token: &Token<'_>| matches!(token, Token::Comment(_)) || token.octets().is_ascii();
        if !piece[text_ends..].iter().all(is_text) {
            return None;
        }
        phrase(line, piece, n > 0);
    }
    Some(())
}

/// One address. Between an encoded word and what is no word stands white space.
fn phrase(line: &mut Line, tokens: &[Token<'_>], mut after_other: bool) {
    let (mut space, mut after_encoded): (&[u8], bool) = (b"", false);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Space(octets) => {
                space = octets;
                at += 1;
            }
            Token::Word(_) | Token::Quoted(_) => {
                let (used, mut all) = clusters(&tokens[at..]);
                if let Some(first) = all.first_mut() {
                    first.space = match (&first.says, space) {
                        (Some(_), b"") if after_other => b" ",
                        (_, space) => space,
                    };
                }
                words(line, &all, 0);
                after_encoded = all.last().is_some_and(|last| last.says.is_some());
                (space, after_other) = (b"", false);
                at += used;
            }
            Token::Comment(_) | Token::Angle(_) | Token::Special(_) => {
                if space.is_empty() && after_encoded {
                    space = b" ";
                }
                match token {
                    Token::Comment(octets) => comment(line, space, octets),
                    other => line.word(space, other.octets()),
                }
                (space, after_other, after_encoded) = (b"", true, false);
                at += 1;
            }
        }
    }
    line.push(space);
}

/// Words at the beginning of these, and how many tokens they are. What nothing divides is one word.
fn clusters<'a>(tokens: &[Token<'a>]) -> (usize, Vec<Spaced<'a>>) {
    let (mut all, mut space, mut used): (Vec<Spaced<'a>>, &[u8], usize) = (Vec::new(), b"", 0);
    while let Some(rest) = tokens.get(used..).filter(|rest| !rest.is_empty()) {
        let skipped = usize::from(matches!(rest[0], Token::Space(_)));
        let is_word = |token: &&Token<'a>| matches!(token, Token::Word(_) | Token::Quoted(_));
        let cluster: Vec<Token<'a>> = rest[skipped..].iter().take_while(is_word).copied().collect();
        if cluster.is_empty() {
            break;
        }
        if skipped > 0 {
            space = rest[0].octets();
        }
        let word = cluster.iter().map(Token::octets).collect::<Vec<_>>().concat();
        let says = (!word.is_ascii()).then(|| cluster.iter().flat_map(Token::says).collect());
        all.push(Spaced { space, word, says });
        used += skipped + cluster.len();
    }
    (used, all)
}

/// One parameter of a field, as it stands between semicolons.
struct Parameter<'a> {
    raw: &'a [u8],
    /// In lower case, without what RFC 2231 adds to it.
    name: String,
}

impl<'a> Parameter<'a> {
    fn of(raw: &'a [u8]) -> Self {
        let end = raw.iter().position(|octet| b"=*".contains(octet)).unwrap_or(raw.len());
        Self { raw, name: String::from_utf8_lossy(raw[..end].trim_ascii()).to_ascii_lowercase() }
    }

    /// Name and value, where the value can be encoded.
    fn value(&self) -> Option<(&'a [u8], Vec<u8>)> {
        let equals = memchr::memchr(b'=', self.raw)?;
        let (name, value) = (self.raw[..equals].trim_ascii(), self.raw[equals + 1..].trim_ascii());
        let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.".contains(octet);
        if name.is_empty() || !name.iter().all(is_token) || PARAMETERS_LEFT.contains(&self.name.as_str()) {
            return None;
        }
        match tokens(value, b"")?.as_slice() {
            [Token::Quoted(quoted)] => Some((name, unquoted(quoted))),
            words if words.iter().all(|t| matches!(t, Token::Word(_) | Token::Space(_))) => {
                Some((name, unfolded(value)))
            }
            _ => None,
        }
    }
}

/// A value and its parameters (RFC 2045, 5.1): those outside ASCII as RFC 2231 has it.
fn parameters(line: &mut Line, value: &[u8]) -> Option<()> {
    let all = tokens(value, b";")?;
    let pieces: Vec<&[Token<'_>]> = all.split(|token| matches!(token, Token::Special(_))).collect();
    let raw = |piece: &[Token<'_>]| piece.iter().map(Token::octets).collect::<Vec<_>>().concat();
    let raws: Vec<Vec<u8>> = pieces.iter().map(|piece| raw(piece)).collect();
    let names: Vec<Parameter<'_>> = raws.iter().map(|raw| Parameter::of(raw)).collect();
    let mut times: HashMap<&str, u32> = HashMap::new();
    names[1..].iter().for_each(|parameter| *times.entry(&parameter.name).or_default() += 1);
    for (n, piece) in pieces.iter().enumerate() {
        if n > 0 {
            line.push(b";");
        }
        let is_text = |token: &Token<'_>| matches!(token, Token::Comment(_)) || token.octets().is_ascii();
        if piece.iter().all(is_text) {
            // In a parameter this may be no comment but a part of its value, as of `filename=a (b).pdf`.
            let outside =
                |token: &Token<'_>| matches!(token, Token::Comment(_)) && !token.octets().is_ascii();
            let is_word = |token: &Token<'_>| matches!(token, Token::Word(_) | Token::Quoted(_));
            if n > 0 && piece.iter().skip_while(|token| !outside(token)).any(is_word) {
                return None;
            }
            only_comments(line, piece)?;
            continue;
        }
        let parameter = names.get(n).filter(|_| n > 0)?;
        // The same parameter in another form: which of both is meant is for others to say.
        if times.get(parameter.name.as_str()).is_some_and(|times| *times > 1) {
            return None;
        }
        let (name, says) = parameter.value()?;
        let space = match piece.first() {
            Some(Token::Space(space)) => space,
            _ => &b" "[..],
        };
        extended(line, space, name, &says);
        if let Some(Token::Space(space)) = piece.last() {
            line.push(space);
        }
    }
    Some(())
}

/// A parameter by RFC 2231, in pieces where one line is too short for it.
fn extended(line: &mut Line, space: &[u8], name: &[u8], content: &[u8]) {
    let (name, charset) = (String::from_utf8_lossy(name), line.charset);
    let whole = format!("{name}*={}''{}", charset.name, percent(content));
    if space.len() + whole.len() < LINE_MAX {
        return line.word(space, whole.as_bytes());
    }
    let (mut space, mut rest) = (space, content);
    for n in 0.. {
        let mut text = match n {
            0 => format!("{name}*0*={}''", charset.name),
            n => format!("{name}*{n}*="),
        };
        let begins = text.len();
        while !rest.is_empty() {
            let (these, others) = rest.split_at(charset.unit(rest));
            let these = percent(these);
            // The semicolon, too.
            if text.len() > begins && 1 + text.len() + these.len() >= LINE_MAX {
                break;
            }
            text.push_str(&these);
            rest = others;
        }
        if !rest.is_empty() {
            text.push(';');
        }
        line.word(space, text.as_bytes());
        if rest.is_empty() {
            return;
        }
        space = b" ";
    }
}

fn percent(octets: &[u8]) -> String {
    let one = |octet: &u8| match octet {
        octet if octet.is_ascii_alphanumeric() || b"-._~".contains(octet) => char::from(*octet).to_string(),
        octet => format!("%{octet:02X}"),
    };
    octets.iter().map(one).collect()
}
