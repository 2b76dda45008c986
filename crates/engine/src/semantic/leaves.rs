//! The MIME leaves of a message (RFC 2045, RFC 2046): all parts that are no multipart.

use super::Delta;
use crate::identity::Measured;
use crate::message::Digest;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use sha2::{Digest as _, Sha256};

/// What comparing the leaves found.
pub(super) struct Leaves {
    pub same: bool,
    pub deltas: Vec<Delta>,
    /// What lies around the leaves, below the header, is not the same.
    pub rest_differs: bool,
}

/// One leaf.
#[derive(PartialEq, Eq)]
struct Leaf {
    content_type: String,
    charset: String,
    name: String,
    /// Of the octets without their transfer encoding.
    content: Digest,
    /// Of the octets as they stand.
    raw: Digest,
}

/// Compares the leaves of two messages one by one.
pub(super) fn compare(fetched: &[u8], read: &[u8]) -> Leaves {
    let ((before, rest_before), (after, rest_after)) = (leaves(fetched), leaves(read));
    let rest_differs = rest_before != rest_after;
    if before.len() != after.len() {
        return Leaves { same: false, deltas: vec![Delta::Leaves(before.len(), after.len())], rest_differs };
    }
    // Where no leaf is found nothing is known of the body but its octets.
    let mut result = Leaves { same: !before.is_empty() || !rest_differs, deltas: Vec::new(), rest_differs };
    for (n, (a, b)) in before.iter().zip(&after).enumerate() {
        let facts = |leaf: &Leaf| (leaf.content_type.clone(), leaf.charset.clone(), leaf.name.clone());
        if a.content != b.content || facts(a) != facts(b) {
            result.same = false;
            result.deltas.push(Delta::LeafChanged(n + 1));
        } else if a.raw != b.raw {
            result.deltas.push(Delta::LeafRewritten(n + 1));
        }
    }
    result
}

/// The leaves, and the digest of what lies below the header and in none of them.
fn leaves(octets: &[u8]) -> (Vec<Leaf>, Digest) {
    let body = octets.len() - super::headers::split(octets).body.len();
    let Some(message) = MessageParser::default().parse(octets) else {
        return (Vec::new(), normal(&octets[body..]));
    };
    let (mut found, mut rest, mut at) = (Vec::new(), Vec::new(), body);
    for part in &message.parts {
        let Some(leaf) = leaf(&message, part) else { continue };
        let (start, end) = (part.offset_body as usize, part.offset_end as usize);
        rest.extend_from_slice(octets.get(at..start).unwrap_or_default());
        at = end.max(at);
        found.push(leaf);
    }
    rest.extend_from_slice(octets.get(at..).unwrap_or_default());
    (found, normal(&rest))
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
