//! No response makes the parser panic; and where imap-codec, written by others, accepts one, both understand the same.

use bytes::Bytes;
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder as _;
use imap_codec::imap_types::core::NString;
use imap_codec::imap_types::fetch::MessageDataItem;
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::response::{Data, Response as Theirs, Status as TheirStatus, StatusKind};
use imap_codec::imap_types::status::StatusDataItem;
use mailhaul_imap::framing::{Frame, Framer};
use mailhaul_imap::response::parse;
use mailhaul_imap::{Body, Condition, Fetch, Limits, ListEntry, Response, Segment, Status, Untagged};

/// Every line of the octets is taken for the start of a response.
///
/// # Panics
/// If the two parsers disagree about a response both accept, or ours gives up on one that theirs accepts.
pub fn responses(octets: &[u8]) {
    let mut rest = octets;
    while !rest.is_empty() {
        // for the panics: whatever is framed is parsed
        for segments in framed(rest).0 {
            let _ = parse(&segments);
        }
        let consumed = match ResponseCodec::new().decode(rest) {
            Ok((behind, theirs)) => {
                let octets = &rest[..rest.len() - behind.len()];
                if let Err(why) = agree(octets, &theirs) {
                    panic!("{why}\noctets: {:?}\nimap-codec: {theirs:?}", String::from_utf8_lossy(octets));
                }
                octets.len()
            }
            Err(_) => rest.iter().position(|octet| *octet == b'\n').map_or(rest.len(), |at| at + 1),
        };
        rest = &rest[consumed..];
    }
}

/// Complete responses, the octets of their bodies, and whether nothing is left.
fn framed(octets: &[u8]) -> (Vec<Vec<Segment>>, Vec<u8>, bool) {
    let mut framer = Framer::new(Limits::default());
    framer.feed(octets);
    let (mut responses, mut bodies) = (Vec::new(), Vec::new());
    while let Ok(Some(frame)) = framer.next_frame() {
        match frame {
            Frame::Response(segments) => responses.push(segments),
            Frame::BodyChunk(chunk) => bodies.extend_from_slice(&chunk),
            Frame::BodyStart { .. } | Frame::BodyEnd => {}
        }
    }
    (responses, bodies, framer.is_between_responses())
}

/// `Err` with the reason, where ours is not what theirs is.
fn agree(octets: &[u8], theirs: &Theirs<'_>) -> Result<(), String> {
    let (responses, bodies, complete) = framed(octets);
    let [segments] = responses.as_slice() else { return Err(format!("{} responses", responses.len())) };
    expect("complete", &complete, &true)?;
    let ours = parse(segments).ok_or("not parsed")?;
    match (theirs, &ours) {
        (Theirs::CommandContinuationRequest(_), Response::Continue(_)) => Ok(()),
        (Theirs::Status(TheirStatus::Tagged(theirs)), Response::Tagged { tag, status, .. }) => {
            expect("tag", &tag.as_ref(), &theirs.tag.as_ref().as_bytes())?;
            let kind = match status {
                Status::Ok => StatusKind::Ok,
                Status::No => StatusKind::No,
                Status::Bad => StatusKind::Bad,
            };
            expect("status", &kind, &theirs.body.kind)
        }
        (Theirs::Status(TheirStatus::Untagged(theirs)), Response::Untagged(Untagged::Status(ours, _))) => {
            let condition = match theirs.kind {
                StatusKind::Ok => Condition::Ok,
                StatusKind::No => Condition::No,
                StatusKind::Bad => Condition::Bad,
            };
            expect("condition", ours, &condition)
        }
        (Theirs::Status(TheirStatus::Bye(_)), Response::Untagged(Untagged::Status(ours, _))) => {
            expect("condition", ours, &Condition::Bye)
        }
        (Theirs::Data(theirs), Response::Untagged(ours)) => data_agrees(theirs, ours, &bodies),
        _ => Err(format!("another kind of response: {ours:?}")),
    }
}

fn data_agrees(theirs: &Data<'_>, ours: &Untagged, bodies: &[u8]) -> Result<(), String> {
    match (theirs, ours) {
        (Data::Capability(_), Untagged::Capability(_)) => Ok(()),
        (Data::List { delimiter, mailbox, items }, Untagged::List(ours)) => {
            expect("attributes", &ours.attributes.len(), &items.len())?;
            entry_agrees(ours, delimiter.as_ref().map(|delimiter| delimiter.inner()), mailbox)
        }
        (Data::Lsub { delimiter, mailbox, items }, Untagged::Lsub(ours)) => {
            expect("attributes", &ours.attributes.len(), &items.len())?;
            entry_agrees(ours, delimiter.as_ref().map(|delimiter| delimiter.inner()), mailbox)
        }
        (Data::Status { mailbox, items }, Untagged::StatusData(ours)) => {
            name_agrees(&ours.mailbox, mailbox)?;
            items.iter().try_for_each(|item| match item {
                StatusDataItem::Messages(number) => {
                    expect("MESSAGES", &ours.messages, &Some(u64::from(*number)))
                }
                StatusDataItem::UidNext(number) => expect("UIDNEXT", &ours.uid_next, &Some(number.get())),
                StatusDataItem::UidValidity(number) => {
                    expect("UIDVALIDITY", &ours.uid_validity.map(|v| v.get()), &Some(number.get()))
                }
                _ => Ok(()),
            })
        }
        (Data::Search(theirs, ..), Untagged::Search(ours)) => {
            expect("numbers", ours, &theirs.iter().map(|number| number.get()).collect())
        }
        (Data::Flags(theirs), Untagged::Flags(ours)) => {
            flags_agree(ours, theirs.iter().map(ToString::to_string))
        }
        (Data::Exists(theirs), Untagged::Exists(ours)) => expect("EXISTS", ours, theirs),
        (Data::Recent(theirs), Untagged::Recent(ours)) => expect("RECENT", ours, theirs),
        (Data::Expunge(theirs), Untagged::Expunge(ours)) => expect("EXPUNGE", ours, &theirs.get()),
        (Data::Fetch { seq, items }, Untagged::Fetch(ours)) => {
            expect("sequence", &ours.sequence, &seq.get())?;
            items.as_ref().iter().enumerate().try_for_each(|(at, item)| {
                // of an item that is there twice the last one counts
                let twice = items.as_ref()[at + 1..].iter().any(|later| same_kind(item, later));
                if twice { Ok(()) } else { item_agrees(item, ours, bodies) }
            })
        }
        (
            Data::List { .. }
            | Data::Lsub { .. }
            | Data::Status { .. }
            | Data::Search(..)
            | Data::Flags(_)
            | Data::Exists(_)
            | Data::Recent(_)
            | Data::Expunge(_)
            | Data::Fetch { .. }
            | Data::Capability(_),
            ours,
        ) => Err(format!("another kind of data: {ours:?}")),
        // of no interest to us
        _ => Ok(()),
    }
}

fn same_kind(one: &MessageDataItem<'_>, other: &MessageDataItem<'_>) -> bool {
    let is_body = |item: &MessageDataItem<'_>| {
        matches!(
            item,
            MessageDataItem::BodyExt { .. } | MessageDataItem::Rfc822(_) | MessageDataItem::Binary { .. }
        )
    };
    std::mem::discriminant(one) == std::mem::discriminant(other) || (is_body(one) && is_body(other))
}

fn item_agrees(item: &MessageDataItem<'_>, ours: &Fetch, bodies: &[u8]) -> Result<(), String> {
    match item {
        MessageDataItem::Uid(uid) => expect("UID", &ours.uid.map(|uid| uid.get()), &Some(uid.get())),
        MessageDataItem::Rfc822Size(size) => expect("RFC822.SIZE", &ours.size, &Some(u64::from(*size))),
        MessageDataItem::Flags(theirs) => {
            let ours = ours.flags.as_ref().ok_or("FLAGS missing")?;
            let word = |flag: &imap_codec::imap_types::flag::FlagFetch<'_>| match flag {
                imap_codec::imap_types::flag::FlagFetch::Flag(flag) => flag.to_string(),
                imap_codec::imap_types::flag::FlagFetch::Recent => "\\Recent".to_owned(),
            };
            flags_agree(ours, theirs.iter().map(word))
        }
        MessageDataItem::InternalDate(theirs) => {
            let date = ours.internal_date.clone().flatten();
            // It adds minutes of a zone beyond 59 to the hours. For us that is no date; its octets are kept as they came.
            let beyond = |d: &mailhaul_imap::InternalDate| d.raw().get(24).is_some_and(|tens| *tens > b'5');
            if date.as_ref().is_some_and(beyond) {
                return Ok(());
            }
            let ours = date.and_then(|date| date.unix_seconds());
            expect("INTERNALDATE", &ours, &Some(theirs.as_ref().timestamp()))
        }
        MessageDataItem::BodyExt { data, .. } | MessageDataItem::Rfc822(data) => {
            body_agrees(data, &ours.body, bodies)
        }
        _ => Ok(()),
    }
}

/// The body that counts is the last one: of several that were streamed, the last octets.
fn body_agrees(theirs: &NString<'_>, ours: &Body, bodies: &[u8]) -> Result<(), String> {
    match (&theirs.0, ours) {
        (None, Body::Nil) => Ok(()),
        (Some(theirs), Body::Quoted(ours)) => expect("body", &ours.as_ref(), &theirs.as_ref()),
        (Some(theirs), Body::Literal(octets)) => {
            expect("octets", octets, &(theirs.as_ref().len() as u64))?;
            expect("body", &bodies.ends_with(theirs.as_ref()), &true)
        }
        _ => Err(format!("another body: {ours:?}")),
    }
}

fn entry_agrees(ours: &ListEntry, delimiter: Option<char>, mailbox: &Mailbox<'_>) -> Result<(), String> {
    expect("delimiter", &ours.delimiter.map(char::from), &delimiter)?;
    name_agrees(&ours.name, mailbox)
}

fn name_agrees(ours: &[u8], theirs: &Mailbox<'_>) -> Result<(), String> {
    match theirs {
        Mailbox::Inbox => expect("INBOX", &ours.eq_ignore_ascii_case(b"INBOX"), &true),
        Mailbox::Other(theirs) => expect("name", &ours, &theirs.as_ref()),
    }
}

/// Flags in any case.
fn flags_agree(ours: &[Bytes], theirs: impl Iterator<Item = String>) -> Result<(), String> {
    let ours: Vec<Vec<u8>> = ours.iter().map(|flag| flag.to_ascii_lowercase()).collect();
    let theirs: Vec<Vec<u8>> = theirs.map(|flag| flag.to_ascii_lowercase().into_bytes()).collect();
    expect("flags", &ours, &theirs)
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, theirs: &T) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours:?}, imap-codec has {theirs:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_that_understands_something_else_is_noticed() {
        let pairs: [(&[u8], &[u8]); 9] = [
            (b"* 3 EXISTS\r\n", b"* 4 EXISTS\r\n"),
            (b"* 3 EXISTS\r\n", b"* 3 RECENT\r\n"),
            (b"a OK x\r\n", b"b OK x\r\n"),
            (b"a OK x\r\n", b"a NO x\r\n"),
            (b"* LIST () \"/\" a\r\n", b"* LIST () \".\" a\r\n"),
            (b"* 1 FETCH (UID 3)\r\n", b"* 1 FETCH (UID 4)\r\n"),
            (b"* 1 FETCH (FLAGS (\\Seen))\r\n", b"* 1 FETCH (FLAGS (\\Seen a))\r\n"),
            (b"* 1 FETCH (BODY[] {3}\r\nabc)\r\n", b"* 1 FETCH (BODY[] {3}\r\nabd)\r\n"),
            (
                b"* 1 FETCH (INTERNALDATE \"03-Mar-2020 10:11:12 +0100\")\r\n",
                b"* 1 FETCH (INTERNALDATE \"03-Mar-2020 10:11:12 +0000\")\r\n",
            ),
        ];
        for (ours, theirs) in pairs {
            let (_, same) = ResponseCodec::new().decode(ours).unwrap();
            agree(ours, &same).unwrap();
            let (_, other) = ResponseCodec::new().decode(theirs).unwrap();
            assert!(agree(ours, &other).is_err(), "{other:?}");
        }
    }
}
