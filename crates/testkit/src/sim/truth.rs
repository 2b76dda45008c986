//! The truth about one server, replayed from its ledger: every message that was ever there, and what became of it.

use base64::Engine as _;
use bytes::Bytes;
use mailhaul_sandbox::{Entry, What, Who};
use std::collections::BTreeMap;

/// A message that is or was on a server.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) mailbox: String,
    /// UIDVALIDITY and UID now, or when it was removed.
    pub(super) place: (u32, u32),
    /// The octets given.
    pub(super) sent: Bytes,
    /// The octets kept.
    pub(super) kept: Bytes,
    /// The class of the octets given; of a repaired message, of those it stands for.
    pub(super) sent_class: Bytes,
    /// The class of the octets kept, likewise.
    pub(super) kept_class: Bytes,
    /// Who stored it.
    pub(super) by: Who,
    /// Who removed it.
    pub(super) removed: Option<Who>,
    /// The server had named its first place for another message before, and not stored that one.
    pub(super) named_before: bool,
}

impl Instance {
    pub(super) fn is_there(&self) -> bool {
        self.removed.is_none()
    }

    /// It was stored as it was given, but for line ends.
    pub(super) fn is_whole(&self) -> bool {
        self.sent_class == self.kept_class
    }
}

/// A row about a message of which nothing was stored.
#[derive(Clone, Debug)]
pub(super) struct Unstored {
    pub(super) mailbox: String,
    /// The UIDVALIDITY and UID that were named.
    pub(super) place: (u32, u32),
    pub(super) sent: Bytes,
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    pub(super) instances: Vec<Instance>,
    /// By every place it ever had.
    places: BTreeMap<(String, u32, u32), usize>,
    /// Confirmed and not stored.
    pub(super) promised: Vec<Unstored>,
    /// Changed or removed by a client over a connection.
    pub(super) touched: Vec<Entry>,
}

impl Truth {
    pub(super) fn of(ledger: &[Entry]) -> Self {
        let mut truth = Self::default();
        for entry in ledger {
            truth.replay(entry);
        }
        truth
    }

    /// The same of a server that stamps, with the octets as they would be without.
    pub(super) fn of_stamped(ledger: &[Entry]) -> Self {
        let bare = |entry: &Entry| {
            let mut entry = entry.clone();
            if let What::Stored { sent, kept } = &mut entry.what {
                (*sent, *kept) = (unstamped(sent), unstamped(kept));
            }
            entry
        };
        Self::of(&ledger.iter().map(bare).collect::<Vec<_>>())
    }

    fn replay(&mut self, entry: &Entry) {
        let key = (entry.mailbox.clone(), entry.uid_validity, entry.uid);
        if entry.who == Who::Client && matches!(entry.what, What::Removed | What::Flagged) {
            self.touched.push(entry.clone());
        }
        match &entry.what {
            What::Stored { sent, kept } => {
                let place = (entry.uid_validity, entry.uid);
                let named_before =
                    self.promised.iter().any(|p| p.mailbox == entry.mailbox && p.place == place);
                self.places.insert(key, self.instances.len());
                self.instances.push(Instance {
                    mailbox: entry.mailbox.clone(),
                    place: (entry.uid_validity, entry.uid),
                    sent: sent.clone(),
                    kept: kept.clone(),
                    sent_class: class(&unrepaired(sent)),
                    kept_class: class(&unrepaired(kept)),
                    by: entry.who,
                    removed: None,
                    named_before,
                });
            }
            What::Removed => {
                if let Some(instance) = self.places.get(&key).and_then(|i| self.instances.get_mut(*i)) {
                    instance.removed = Some(entry.who);
                }
            }
            What::Renumbered { uid_validity, uid } => {
                let Some(index) = self.places.get(&key).copied() else { return };
                self.places.insert((entry.mailbox.clone(), *uid_validity, *uid), index);
                if let Some(instance) = self.instances.get_mut(index) {
                    instance.place = (*uid_validity, *uid);
                }
            }
            What::Promised { sent } => {
                let place = (entry.uid_validity, entry.uid);
                let sent = unrepaired(sent);
                self.promised.push(Unstored { mailbox: entry.mailbox.clone(), place, sent });
            }
            What::Merged { .. } | What::Flagged => {}
        }
    }

    /// The message that has or had this place.
    pub(super) fn at(&self, mailbox: &str, place: (u32, u32)) -> Option<&Instance> {
        self.places.get(&(mailbox.to_owned(), place.0, place.1)).and_then(|i| self.instances.get(*i))
    }

    /// All UIDs that a message has or had.
    pub(super) fn uids_of<'a>(&'a self, of: &'a Instance) -> impl Iterator<Item = u32> + 'a {
        let is_it = move |at: usize| self.instances.get(at).is_some_and(|i| std::ptr::eq(i, of));
        self.places.iter().filter(move |(_, at)| is_it(**at)).map(|((_, _, uid), _)| *uid)
    }

    /// Messages of a mailbox whose octets, as given, are of this class.
    pub(super) fn sent<'a>(&'a self, mailbox: &'a str, of: &'a [u8]) -> impl Iterator<Item = &'a Instance> {
        self.instances.iter().filter(move |i| i.mailbox == mailbox && i.sent_class == of)
    }
}

/// What a repaired message stands for: the attachment of a cover message (T8), or the header with the octets of the one name of
/// these worlds that is not in ASCII (T4). Any other message stands for itself.
pub(super) fn unrepaired(octets: &[u8]) -> Bytes {
    const COVER: &[u8] = b"From: Mailhaul <mailhaul@mailhaul.invalid>\r\n";
    const ATTACHED: &[u8] = b"filename=\"message.eml\"\r\n\r\n";
    const ENCODED: &[u8] = b"Reply-To: =?unknown-8bit?Q?Gr=F6=DFe?= <g@b.example>\r\n";
    if let Some(rest) = octets.strip_prefix(ENCODED) {
        return [b"Reply-To: Gr\xf6\xdfe <g@b.example>\r\n", rest].concat().into();
    }
    let attachment = || {
        let start = octets.windows(ATTACHED.len()).position(|w| w == ATTACHED)? + ATTACHED.len();
        let (attached, end) = octets[start..].split_at(octets[start..].windows(2).position(|w| w == b"--")?);
        let base64: Vec<u8> = attached.iter().copied().filter(|o| !o.is_ascii_whitespace()).collect();
        // What comes after it is no part of the attachment.
        let is_whole = end.starts_with(b"--mailhaul-");
        base64::engine::general_purpose::STANDARD.decode(base64).ok().filter(|_| is_whole)
    };
    octets
        .starts_with(COVER)
        .then(attachment)
        .flatten()
        .map_or_else(|| Bytes::copy_from_slice(octets), Bytes::from)
}

/// The name of the header line that a stamping server puts before a message.
const STAMP: &[u8] = b"X-Stored-As: ";

/// What a stamping server keeps of a message that it gives this UID: one header line more, where there is a header.
pub(super) fn stamped(uid: u32, octets: &[u8]) -> Vec<u8> {
    let first = octets.split(|o| *o == b'\n').next().unwrap_or_default();
    let name = first.split(|o| *o == b':').next().unwrap_or_default();
    let is_header = name.len() < first.len() && !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let stamp = if is_header { [STAMP, format!("{uid}\r\n").as_bytes()].concat() } else { Vec::new() };
    [&stamp, octets].concat()
}

/// What a server keeps that destroys octets outside ASCII in headers.
pub(super) fn munged(_: u32, octets: &[u8]) -> Vec<u8> {
    let end = octets.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(octets.len());
    let kept = |(at, octet): (usize, &u8)| if at < end && !octet.is_ascii() { b'X' } else { *octet };
    octets.iter().enumerate().map(kept).collect()
}

/// The octets without the stamp.
fn unstamped(octets: &Bytes) -> Bytes {
    let end = octets.iter().position(|o| *o == b'\n').filter(|_| octets.starts_with(STAMP));
    octets.slice(end.map_or(0, |lf| lf + 1)..)
}

/// Octets with every `CR* LF` and lone CR as CRLF, and without newlines at the end: two messages of one class differ in
/// their line ends at most.
pub(super) fn class(octets: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let [first, others @ ..] = rest {
        rest = others;
        match first {
            b'\r' => {
                let more = rest.iter().take_while(|b| **b == b'\r').count();
                if rest.get(more) == Some(&b'\n') {
                    rest = &rest[more + 1..];
                }
                out.extend(b"\r\n");
            }
            b'\n' => out.extend(b"\r\n"),
            octet => out.push(*octet),
        }
    }
    while out.ends_with(b"\r\n") {
        out.truncate(out.len() - 2);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn a_class_forgets_line_ends_and_nothing_else() {
        assert_eq!(class(b"a\nb\r\r\nc\rd\r\n\r\n")[..], b"a\r\nb\r\nc\r\nd"[..]);
        assert_eq!(class(b"a\r\rb")[..], b"a\r\n\r\nb"[..]);
        assert_ne!(class(b"a b"), class(b"a  b"));
    }
}
