//! The MIME leaves of a message (RFC 2045, RFC 2046): all parts that are no multipart.

use super::Delta;
use crate::identity::Measured;
use crate::message::Digest;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use sha2::{Digest as _, Sha256};

/// The leaves of a message, in their order.
pub(super) struct Leaves {
    all: Vec<Leaf>,
    /// Of what lies below the header and in none of them.
    pub rest: Digest,
}

/// One leaf.
struct Leaf {
    content_type: String,
    charset: String,
    name: String,
    /// Of the octets without their transfer encoding.
    content: Digest,
    /// Of the octets as they stand.
    raw: Digest,
}

impl Leaf {
    fn facts(&self) -> [&str; 3] {
        [&self.content_type, &self.charset, &self.name]
    }
}

impl Leaves {
    /// What of them belongs to the meaning. Where no leaf is found nothing is known of the body but its octets.
    pub(super) fn say(&self, meaning: &mut Sha256) {
        say(meaning, &(self.all.len() as u64).to_be_bytes());
        for leaf in &self.all {
            leaf.facts().iter().for_each(|fact| say(meaning, fact.as_bytes()));
            say(meaning, &leaf.content.0);
        }
        if self.all.is_empty() {
            say(meaning, &self.rest.0);
        }
    }
}

/// One more word of a meaning, so that no two words run into one.
pub(super) fn say(meaning: &mut Sha256, word: &[u8]) {
    meaning.update((word.len() as u64).to_be_bytes());
    meaning.update(word);
}

/// In what the leaves of the second message differ from those of the first, one by one.
pub(super) fn compare(before: &Leaves, after: &Leaves) -> Vec<Delta> {
    if before.all.len() != after.all.len() {
        return vec![Delta::Leaves(before.all.len(), after.all.len())];
    }
    let differs = |(n, (a, b)): (usize, (&Leaf, &Leaf))| {
        if a.content != b.content || a.facts() != b.facts() {
            Some(Delta::LeafChanged(n + 1))
        } else {
            (a.raw != b.raw).then_some(Delta::LeafRewritten(n + 1))
        }
    };
    before.all.iter().zip(&after.all).enumerate().filter_map(differs).collect()
}

/// The leaves of a message.
pub(super) fn find(octets: &[u8]) -> Leaves {
    let body = octets.len() - super::headers::split(octets).body.len();
    let Some(message) = MessageParser::default().parse(octets) else {
        return Leaves { all: Vec::new(), rest: normal(&octets[body..]) };
    };
    let (mut all, mut rest, mut at) = (Vec::new(), Vec::new(), body);
    for part in &message.parts {
        let Some(leaf) = leaf(&message, part) else { continue };
        let (start, end) = (part.offset_body as usize, part.offset_end as usize);
        rest.extend_from_slice(octets.get(at..start).unwrap_or_default());
        at = end.max(at);
        all.push(leaf);
    }
    rest.extend_from_slice(octets.get(at..).unwrap_or_default());
    Leaves { all, rest: normal(&rest) }
}

/// `None` for a multipart, whose parts are in the list of their own. An attached message is one leaf.
fn leaf(message: &Message<'_>, part: &MessagePart<'_>) -> Option<Leaf> {
    let text = match &part.body {
        PartType::Multipart(_) => return None,
        PartType::Text(_) | PartType::Html(_) => true,
        PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Message(_) => false,
    };
    let raw =
        message.raw_message.get(part.offset_body as usize..part.offset_end as usize).unwrap_or_default();
    let decoded = match part.encoding {
        Encoding::Base64 => base64_decode(raw),
        Encoding::QuotedPrintable => quoted_printable_decode(raw),
        Encoding::None => None,
    };
    let content = decoded.as_deref().unwrap_or(raw);
    let kind = part.content_type();
    let lower = |word: Option<&str>| word.unwrap_or_default().to_ascii_lowercase();
    Some(Leaf {
        content_type: kind
            .map_or_else(String::new, |t| format!("{}/{}", lower(Some(t.ctype())), lower(t.subtype()))),
        charset: lower(kind.and_then(|t| t.attribute("charset"))),
        name: part.attachment_name().unwrap_or_default().to_owned(),
        content: if text || decoded.is_none() { normal(content) } else { digest(content) },
        raw: normal(raw),
    })
}

fn digest(octets: &[u8]) -> Digest {
    Digest(Sha256::digest(octets).into())
}

/// Of the octets with newlines as n() has them, and none at the end: transport does not keep those of text.
fn normal(octets: &[u8]) -> Digest {
    Measured::of(octets).fingerprint.normal
}
