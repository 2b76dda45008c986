//! Pure: what a server does with mail, derived from what came back of a probe's messages and names. The probing itself is
//! `scratch` and `probing`; [`kept`] is how a profile lives in the journal.
//!
//! A profile predicts, and proves nothing: what is moved is read back whole whatever the profile says.

pub mod change;
mod forecast;
pub mod kept;
pub mod letters;
pub mod names;
pub(crate) mod probing;
pub(crate) mod scratch;
#[cfg(test)]
mod tests;
mod words;

pub use forecast::Lost;
pub(crate) use forecast::{CHANGES_MESSAGES, OF_THOSE_TRIED};

use crate::end::Abilities;
use crate::message::{Flags, InternalDate, Key};
use bytes::Bytes;
use change::{Change, Octets, changes};
use letters::{Letter, Odd, Trial};
use names::{NameTrial, Names};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Capabilities that say how one logged in, or what the connection does, and nothing of what is kept.
const OF_THE_CONNECTION: [&str; 5] = ["AUTH=", "SASL-IR", "STARTTLS", "LOGINDISABLED", "COMPRESS="];

/// The answer to a message of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A tagged OK; the UID, where the server named exactly one for it.
    Stored(Option<Key>),
    /// A tagged NO or BAD: its words.
    Refused(String),
    /// The connection ended before the answer.
    Lost(String),
    /// It was not sent.
    Untried,
}

/// What is there of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its UID.
    pub uid: Key,
    /// RFC822.SIZE.
    pub size: u64,
    /// Its flags.
    pub flags: Flags,
    /// Its date.
    pub date: Option<InternalDate>,
    /// `BODY[]`.
    pub octets: Bytes,
    /// `BODY[HEADER]`; `None` where it was not given.
    pub header: Option<Bytes>,
}

/// A message, what was said of it and what is there of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message.
    pub letter: Letter,
    /// The answer.
    pub told: Told,
    /// What is there; twins find the same ones.
    pub found: Vec<Found>,
}

/// All that a probe saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observations {
    /// Messages that went by themselves.
    pub singles: Vec<Sent>,
    /// After many keywords were refused, messages with fewer.
    pub fewer_keywords: Vec<Sent>,
    /// Messages of one MULTIAPPEND; empty where it is not offered.
    pub together: Vec<Sent>,
    /// The same with one that was refused by itself; empty where none was.
    pub with_bad: Vec<Sent>,
    /// Answers name UIDs (UIDPLUS is announced).
    pub tells_places: bool,
    /// Mailbox names.
    pub names: Vec<NameTrial>,
    /// A mailbox could be made below one that holds mail.
    pub below_mail: Option<bool>,
    /// No message was sent, and why.
    pub no_messages: Option<String>,
}

/// What becomes of messages of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Treatment {
    /// Not known.
    #[default]
    Unknown,
    /// They come back octet for octet.
    Kept,
    /// They come back otherwise.
    Changed {
        /// In what.
        how: Vec<Change>,
    },
    /// They are refused.
    Refused {
        /// The server's words.
        words: String,
    },
    /// The server said OK and has none of it.
    Vanished,
    /// The server ends the connection.
    EndsConnection {
        /// What was seen of it.
        words: String,
    },
}

/// One value tried, and what came back of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// What was sent.
    pub sent: String,
    /// What became of it.
    pub got: Got,
}

/// What came back of a date or of flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Got {
    /// The same: a date at the same instant, all flags.
    Same,
    /// Something else.
    Other {
        /// As read back.
        read: String,
    },
    /// The message was refused for it.
    Refused {
        /// The server's words.
        words: String,
    },
    /// Not known.
    Unknown,
}

/// MULTIAPPEND as it works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Multi {
    /// Not offered, or not tried.
    #[default]
    Unknown,
    /// Three messages in one command are there, in their order or not.
    Works {
        /// UIDs ascend in the order of the command.
        in_order: bool,
        /// With a bad one among them none is stored; `None` where no message is known that the server refuses.
        atomic: Option<bool>,
    },
    /// Offered and refused, or not all are there.
    Fails {
        /// How.
        words: String,
    },
}

/// Which server a profile is of: another version is another server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What it calls itself (ID, else the greeting).
    pub product: String,
    /// SHA-256 of its capabilities, in order, without those of the connection.
    pub capabilities: String,
}

/// What a server does with mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Of which server.
    pub server: Identity,
    /// An ordinary message.
    pub plain: Treatment,
    /// LF alone.
    pub newline: Treatment,
    /// CR alone, CR CR LF.
    pub carriage_return: Treatment,
    /// No line end at the end, or many.
    pub trailing: Treatment,
    /// NUL.
    pub nul: Treatment,
    /// 8-bit octets in header fields.
    pub hdr8bit: Treatment,
    /// 8-bit octets and control characters in the body.
    pub body8bit: Treatment,
    /// Lines of 100,000 octets, fields of 20,000.
    pub long_lines: Treatment,
    /// Lines that begin with `From `.
    pub from_lines: Treatment,
    /// A header line without a colon, a header cut off.
    pub bad_headers: Treatment,
    /// No header at all.
    pub no_header: Treatment,
    /// A header without a body.
    pub header_only: Treatment,
    /// No octet at all.
    pub empty: Treatment,
    /// Fields in which mailbox files keep flags and sizes (Status, X-UID, Content-Length).
    pub storage_fields: Treatment,
    /// Fields that a delivery writes (Return-Path, Bcc), odd folding.
    pub other_fields: Treatment,
    /// Fields that are added to every message.
    pub adds_headers: Vec<String>,
    /// Fields that are removed from some.
    pub drops_headers: Vec<String>,
    /// RFC822.SIZE is the length of what is given, always.
    pub size_exact: Option<bool>,
    /// `BODY[HEADER]` is the beginning of `BODY[]`, always.
    pub header_agrees: Option<bool>,
    /// Dates.
    pub dates: Vec<Value>,
    /// A date that lay [`letters::AHEAD`] of the probe.
    pub ahead: Option<Got>,
    /// Flags and keywords.
    pub flags: Vec<Value>,
    /// [`letters::MANY_KEYWORDS`] keywords in a mailbox.
    pub many_keywords: Option<Got>,
    /// So many different keywords a mailbox keeps, and not one more; `None` where no limit was found.
    pub keywords_max: Option<usize>,
    /// Of two equal messages one is there.
    pub dedupes: Option<bool>,
    /// MULTIAPPEND.
    pub multiappend: Multi,
    /// Where UIDs are announced to be told: they are told, and right.
    pub uids_told_right: Option<bool>,
    /// Mailbox names.
    pub names: Names,
    /// No message was sent, and why.
    pub no_messages: Option<String>,
}

impl Identity {
    /// As a server announces it after the login.
    pub fn of(abilities: &Abilities) -> Self {
        let of_connection = |name: &str| {
            let name = name.to_ascii_uppercase();
            OF_THE_CONNECTION.iter().any(|start| name.starts_with(start))
        };
        let mut kept: Vec<String> = abilities
            .announced
            .iter()
            .filter(|name| !of_connection(name))
            .map(|name| name.to_ascii_uppercase())
            .collect();
        kept.sort_unstable();
        kept.dedup();
        let digest = Sha256::digest(kept.join(" "));
        let capabilities = digest.iter().map(|b| format!("{b:02x}")).collect();
        // QUIRK: Gmail's greeting names the client's address and a number of its own each time.
        let product = if abilities.gmail { "Gmail".to_owned() } else { abilities.product.clone() };
        Self { product, capabilities }
    }
}

impl Profile {
    /// The profile of a server by what a probe saw there.
    pub fn derive(server: Identity, seen: &Observations) -> Self {
        let of = |odd: &[Odd]| worst(odd.iter().map(|odd| treatment(seen, *odd)));
        let mut profile = Self {
            server,
            plain: of(&[Odd::Plain]),
            newline: of(&[Odd::LfThroughout, Odd::LfSome]),
            carriage_return: of(&[Odd::CrCrLf, Odd::LoneCr]),
            trailing: of(&[Odd::NoFinalLineEnd, Odd::ManyFinalLineEnds]),
            nul: of(&[Odd::NulInBody, Odd::NulInHeader]),
            hdr8bit: of(&[Odd::Latin1Header, Odd::Utf8Header]),
            body8bit: of(&[Odd::EightBitBody, Odd::Controls]),
            long_lines: of(&[Odd::LongLine, Odd::LongField]),
            from_lines: of(&[Odd::FromFirst, Odd::FromInBody]),
            bad_headers: of(&[Odd::NoColon, Odd::CutHeader]),
            no_header: of(&[Odd::NoHeader, Odd::OneLine]),
            header_only: of(&[Odd::HeaderOnly]),
            empty: of(&[Odd::Empty]),
            storage_fields: of(&[Odd::StorageFields]),
            other_fields: of(&[Odd::DeliveryFields, Odd::OddSpaces]),
            dates: values(seen, |trial| matches!(trial, Trial::Date(_)), same_date),
            ahead: one(seen, &Trial::Ahead, same_date),
            flags: values(seen, |trial| matches!(trial, Trial::Flags(_)), same_flags),
            many_keywords: one(seen, &Trial::ManyKeywords, same_flags),
            keywords_max: keywords_max(seen),
            dedupes: dedupes(seen),
            multiappend: multi(seen),
            uids_told_right: uids_told_right(seen),
            names: Names::derive(&seen.names),
            no_messages: seen.no_messages.clone(),
            ..Self::default()
        };
        profile.names.below_mail = seen.below_mail;
        (profile.adds_headers, profile.drops_headers) = fields(seen);
        let found = || seen.singles.iter().flat_map(|sent| &sent.found);
        let all = |agrees: fn(&Found) -> Option<bool>| {
            let mut known = found().filter_map(agrees).peekable();
            known.peek().is_some().then(|| known.all(|agrees| agrees))
        };
        profile.size_exact = all(|f| Some(f.size == f.octets.len() as u64));
        profile.header_agrees = all(|f| f.header.as_ref().map(|header| f.octets.starts_with(header)));
        profile
    }

    /// Why the probe says nothing: not even an ordinary message was taken, so that no refusal is about what is odd.
    pub fn objection(&self) -> Option<String> {
        let why = match &self.plain {
            Treatment::Kept | Treatment::Changed { .. } => return None,
            _ if self.no_messages.is_some() => return None,
            Treatment::Unknown => "the server is in trouble, or full".to_owned(),
            other => other.words().unwrap_or_default(),
        };
        Some(format!("not even an ordinary message was taken: {why}"))
    }

    /// Whether octets outside ASCII in header fields are destroyed; `None` where that was not tried, or is refused.
    pub fn munges_headers(&self) -> Option<bool> {
        let destroys = |change: &Change| {
            matches!(
                change,
                Change::Replaced { octets: Octets::EightBit, .. }
                    | Change::Dropped { octets: Octets::EightBit }
            )
        };
        match &self.hdr8bit {
            Treatment::Kept => Some(false),
            Treatment::Changed { how } => Some(how.iter().any(destroys)),
            _ => None,
        }
    }

    /// Each kind of message in words, with what becomes of it, in the order in which they are told.
    pub fn treatments(&self) -> [(&'static str, &Treatment); 15] {
        [
            ("ordinary messages", &self.plain),
            ("LF alone as a line end", &self.newline),
            ("CR alone, CR CR LF", &self.carriage_return),
            ("no line end at the end, or many", &self.trailing),
            ("NUL", &self.nul),
            ("8-bit octets in a header", &self.hdr8bit),
            ("8-bit octets and control characters in a body", &self.body8bit),
            ("very long lines and fields", &self.long_lines),
            ("lines that begin with “From ”", &self.from_lines),
            ("headers with a line that is none", &self.bad_headers),
            ("messages without a header", &self.no_header),
            ("messages without a body", &self.header_only),
            ("empty messages", &self.empty),
            ("Status, X-UID, Content-Length and the like", &self.storage_fields),
            ("Return-Path, Bcc, odd folding and the like", &self.other_fields),
        ]
    }
}

/// What became of the odd message.
fn treatment(seen: &Observations, odd: Odd) -> Treatment {
    let sent = seen.singles.iter().find(|sent| sent.letter.trial == Trial::Octets(odd));
    sent.map_or(Treatment::Unknown, |sent| match (&sent.told, sent.found.first()) {
        (Told::Untried, _) => Treatment::Unknown,
        (Told::Refused(words), _) => Treatment::Refused { words: words.clone() },
        (Told::Stored(_) | Told::Lost(_), Some(found)) => {
            let how = changes(&sent.letter.octets, &found.octets);
            if how.is_empty() { Treatment::Kept } else { Treatment::Changed { how } }
        }
        (Told::Lost(words), None) => Treatment::EndsConnection { words: words.clone() },
        (Told::Stored(_), None) => Treatment::Vanished,
    })
}

/// Of several treatments the one to be told: a refusal or a loss before a change, a change before what is kept. Changes of all
/// are put together.
fn worst(all: impl Iterator<Item = Treatment>) -> Treatment {
    let weight = |treatment: &Treatment| match treatment {
        Treatment::Unknown => 0,
        Treatment::Kept => 1,
        Treatment::Changed { .. } => 2,
        Treatment::Refused { .. } => 3,
        Treatment::EndsConnection { .. } => 4,
        Treatment::Vanished => 5,
    };
    all.fold(Treatment::Unknown, |a, b| match (a, b) {
        (Treatment::Changed { mut how }, Treatment::Changed { how: more }) => {
            let new: Vec<Change> = more.into_iter().filter(|change| !how.contains(change)).collect();
            how.extend(new);
            Treatment::Changed { how }
        }
        (a, b) if weight(&b) > weight(&a) => b,
        (a, _) => a,
    })
}

fn one(seen: &Observations, trial: &Trial, got: fn(&Letter, &Found) -> Got) -> Option<Got> {
    values(seen, |tried| tried == trial, got).pop().map(|value| value.got)
}

fn values(
    seen: &Observations,
    wanted: impl Fn(&Trial) -> bool,
    got: fn(&Letter, &Found) -> Got,
) -> Vec<Value> {
    let of = |sent: &Sent| {
        let value = match &sent.letter.trial {
            Trial::Date(date) => (*date).to_owned(),
            _ => sent.letter.flags.to_string(),
        };
        let got = match (&sent.told, sent.found.first()) {
            (Told::Refused(words), _) => Got::Refused { words: words.clone() },
            (_, Some(found)) => got(&sent.letter, found),
            (_, None) => Got::Unknown,
        };
        Value { sent: value, got }
    };
    // Where an ordinary message is not taken, a refusal is not about the date or the flags.
    if !plain_is_there(seen) {
        return Vec::new();
    }
    seen.singles.iter().filter(|sent| wanted(&sent.letter.trial)).map(of).collect()
}

fn plain_is_there(seen: &Observations) -> bool {
    let plain = |sent: &&Sent| sent.letter.trial == Trial::Octets(Odd::Plain);
    seen.singles.iter().find(plain).is_some_and(|sent| !sent.found.is_empty())
}

fn same_date(sent: &Letter, found: &Found) -> Got {
    let instant = |date: Option<&InternalDate>| date.and_then(InternalDate::instant);
    if instant(sent.date.as_ref()) == instant(found.date.as_ref()) {
        return Got::Same;
    }
    Got::Other { read: found.date.as_ref().map_or_else(|| "none".into(), ToString::to_string) }
}

/// Flags that the server sets by itself beside those sent are no loss.
fn same_flags(sent: &Letter, found: &Found) -> Got {
    let lost = sent.flags.iter().any(|flag| !found.flags.contains(flag));
    if lost { Got::Other { read: found.flags.to_string() } } else { Got::Same }
}

/// How many different keywords the mailbox of the probe kept, where it did not keep one more: those that came with the last
/// message whose keywords were all taken, and those of other messages.
fn keywords_max(seen: &Observations) -> Option<usize> {
    let many = seen.singles.iter().find(|sent| sent.letter.trial == Trial::ManyKeywords)?;
    let count = |flags: &Flags| flags.iter().filter(|flag| !flag.starts_with(b"\\")).count();
    let together = match (&many.told, many.found.first()) {
        // Some of them were left away, without a word.
        (_, Some(found)) if same_flags(&many.letter, found) != Got::Same => {
            many.letter.flags.iter().filter(|flag| found.flags.contains(flag)).count()
        }
        (Told::Refused(_), None) => {
            let tried = |wanted: fn(&Sent) -> bool| {
                let of = |sent: &Sent| count(&sent.letter.flags);
                seen.fewer_keywords.iter().filter(move |sent| wanted(sent)).map(of)
            };
            let is_taken = |sent: &Sent| {
                sent.found.first().is_some_and(|found| same_flags(&sent.letter, found) == Got::Same)
            };
            let taken = tried(is_taken).max()?;
            tried(|sent| matches!(sent.told, Told::Refused(_))).any(|n| n == taken + 1).then_some(taken)?
        }
        _ => return None,
    };
    let others = seen.singles.iter().filter(|sent| matches!(sent.letter.trial, Trial::Flags(_)));
    let others: usize = others.filter_map(|sent| sent.found.first()).map(|found| count(&found.flags)).sum();
    // Not one of them: that is not about their number.
    (together > 0).then_some(together + others)
}

fn dedupes(seen: &Observations) -> Option<bool> {
    let twins: Vec<&Sent> = seen.singles.iter().filter(|sent| sent.letter.trial == Trial::Twin).collect();
    let stored = twins.iter().filter(|sent| matches!(sent.told, Told::Stored(_))).count();
    // They find the same ones; where there is none, both are gone, and nothing was merged.
    match twins.first().map_or(0, |sent| sent.found.len()) {
        1 if stored == 2 => Some(true),
        2.. if stored == 2 => Some(false),
        _ => None,
    }
}

fn multi(seen: &Observations) -> Multi {
    let Some(first) = seen.together.first() else { return Multi::Unknown };
    match &first.told {
        Told::Untried => return Multi::Unknown,
        Told::Refused(words) | Told::Lost(words) => return Multi::Fails { words: words.clone() },
        Told::Stored(_) => {}
    }
    let places: Vec<Option<Key>> = seen.together.iter().map(|s| s.found.first().map(|f| f.uid)).collect();
    if places.contains(&None) {
        return Multi::Fails { words: "it said OK, and not all of them are there".into() };
    }
    let bad_is_refused = seen.with_bad.iter().any(|sent| matches!(sent.told, Told::Refused(_)));
    let some_stored = seen.with_bad.iter().any(|sent| !sent.found.is_empty());
    Multi::Works {
        in_order: places.windows(2).all(|pair| pair[0] < pair[1]),
        atomic: (some_stored || bad_is_refused).then_some(!some_stored),
    }
}

/// Every UID told is the one under which the message lies, and one is told of each. Twins may share one.
fn uids_told_right(seen: &Observations) -> Option<bool> {
    let told = |sent: &&Sent| matches!(sent.told, Told::Stored(_)) && !sent.found.is_empty();
    let mut stored = seen.singles.iter().chain(&seen.together).filter(told).peekable();
    if !seen.tells_places || stored.peek().is_none() {
        return None;
    }
    let right = |sent: &Sent| match sent.told {
        Told::Stored(Some(uid)) => sent.found.iter().any(|found| found.uid == uid),
        _ => false,
    };
    Some(stored.all(right))
}

/// Fields added to an ordinary message; fields removed from any.
fn fields(seen: &Observations) -> (Vec<String>, Vec<String>) {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for sent in &seen.singles {
        let Trial::Octets(odd) = sent.letter.trial else { continue };
        let Some(found) = sent.found.first() else { continue };
        for change in changes(&sent.letter.octets, &found.octets) {
            match change {
                Change::Added { field } if odd == Odd::Plain => added.push(field),
                Change::Removed { field } => removed.push(field),
                _ => {}
            }
        }
    }
    for list in [&mut added, &mut removed] {
        list.sort_unstable();
        list.dedup();
    }
    (added, removed)
}
