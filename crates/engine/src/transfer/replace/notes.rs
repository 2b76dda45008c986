//! What a repair of damaged copies keeps in the journal, as notes.

use super::AGAIN;
use crate::identity::Grade;
use crate::journal::{
    Change, EpochId, Item, ItemId, Journal, JournalResult, Ladder, Note, Origin, Place, ReadBack, Reason,
    Sent, State, each_note,
};
use crate::message::{Digest, Fingerprint, Flags, InternalDate, Key};
use crate::report::DAMAGED;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Notes that are for the engine, and in no report, begin with this.
pub const KIND: &str = "repair:";
const BEGUN: &str = "repair:begun";
const ENDED: &str = "repair:ended";
/// The target refused the repaired form: it is tried again only when a person asks for it anew.
const REFUSED: &str = "repair:refused";

/// What the notes say: in memory while a run goes on.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The damaged copies that are not done with, one for each message.
    pub(super) open: BTreeMap<ItemId, Begun>,
    /// Messages whose repaired form was refused.
    pub(super) refused: BTreeSet<ItemId>,
}

/// All of them, in order.
pub(super) async fn read_all<J: Journal>(journal: &J, page_rows: usize) -> JournalResult<Kept> {
    let mut kept = Kept::default();
    each_note(journal, KIND, page_rows, |record| kept.take_in(&record.note)).await?;
    Ok(kept)
}

impl Kept {
    /// Pure: what one note says. Of two about one message the later one counts.
    pub(super) fn take_in(&mut self, note: &Note) {
        let named = || {
            let (mailbox, key, epoch) = (note.mailbox?, note.key?, note.text.parse().ok()?);
            Some(ItemId { mailbox, epoch: EpochId(epoch), key })
        };
        match note.kind.as_str() {
            BEGUN => {
                if let Some(one) = read(note) {
                    self.refused.remove(&one.item);
                    self.open.insert(one.item, one);
                }
            }
            ENDED => _ = named().and_then(|item| self.open.remove(&item)),
            REFUSED => self.refused.extend(named()),
            _ => {}
        }
    }
}

impl Kept {
    /// Pure: what is to be noted of a message that gets another number, in order: of what is begun it is not known that it was
    /// refused.
    pub(super) fn of_new_number(&self, from: ItemId, to: ItemId) -> Vec<Note> {
        let begun = self.open.get(&from).map(|one| Begun { item: to, ..one.clone() }.begun());
        let refused = self.refused.contains(&from).then(|| refused(to));
        begun.into_iter().chain(refused).collect()
    }
}

/// That a repair of this message was refused.
pub(super) fn refused(item: ItemId) -> Note {
    note(item, REFUSED, item.epoch.0.to_string())
}

/// That nothing is left to be done about it.
pub(super) fn ended(item: ItemId) -> Note {
    note(item, ENDED, item.epoch.0.to_string())
}

fn note(item: ItemId, kind: &str, text: String) -> Note {
    Note { kind: kind.to_owned(), mailbox: Some(item.mailbox), key: Some(item.key), text }
}

/// A damaged copy, and how its message goes instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The message.
    pub(super) item: ItemId,
    /// Where the damaged copy is.
    pub(super) place: Place,
    /// It goes inside a cover message: encoded it came back damaged, too.
    pub(super) covers: bool,
    /// What the journal knew of the damaged copy.
    pub(super) origin: Origin,
    pub(super) sent: Sent,
    pub(super) read_back: ReadBack,
    pub(super) grade: Option<Grade>,
    /// What was said of the damage.
    pub(super) words: String,
}

/// A [`Fingerprint`] in a note.
type Print = (u64, [u8; 32], [u8; 32]);

/// A [`Begun`] in a note; mailbox and key are the note's own. Octets are written as the characters of their numbers.
#[derive(Serialize, Deserialize)]
struct Written {
    source_epoch: i64,
    target_epoch: i64,
    uid: i64,
    covers: bool,
    origin: String,
    fetched: Print,
    sent: Print,
    flags: String,
    date: Option<String>,
    ladder: u8,
    read: Option<Print>,
    read_octets: u64,
    read_flags: String,
    read_date: Option<String>,
    read_mod_seq: Option<u64>,
    grade: Option<String>,
    words: String,
}

fn print(of: &Fingerprint) -> Print {
    (of.octets, of.exact.0, of.normal.0)
}

fn printed((octets, exact, normal): Print) -> Fingerprint {
    Fingerprint { octets, exact: Digest(exact), normal: Digest(normal) }
}

fn chars(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

fn octets(chars: &str) -> Vec<u8> {
    chars.chars().filter_map(|c| u8::try_from(c).ok()).collect()
}

fn read(note: &Note) -> Option<Begun> {
    let w: Written = serde_json::from_str(&note.text).ok()?;
    let date = |text: Option<String>| text.map(|text| InternalDate::from_octets(octets(&text)));
    Some(Begun {
        item: ItemId { mailbox: note.mailbox?, epoch: EpochId(w.source_epoch), key: note.key? },
        place: Place { epoch: EpochId(w.target_epoch), uid: Key(w.uid) },
        covers: w.covers,
        origin: Origin::parse(&w.origin)?,
        sent: Sent {
            fetched: printed(w.fetched),
            sent: printed(w.sent),
            flags: Flags::from_octets(octets(&w.flags)),
            internal_date: date(w.date),
            ladder: Ladder(w.ladder),
        },
        read_back: ReadBack {
            fingerprint: w.read.map(printed),
            octets: w.read_octets,
            flags: Flags::from_octets(octets(&w.read_flags)),
            internal_date: date(w.read_date),
            mod_seq: w.read_mod_seq,
        },
        grade: w.grade.as_deref().and_then(Grade::parse),
        words: w.words,
    })
}

impl Begun {
    pub(super) fn begun(&self) -> Note {
        let date = |date: &Option<InternalDate>| date.as_ref().map(|date| chars(date.as_octets()));
        let written = Written {
            source_epoch: self.item.epoch.0,
            target_epoch: self.place.epoch.0,
            uid: self.place.uid.0,
            covers: self.covers,
            origin: self.origin.as_str().to_owned(),
            fetched: print(&self.sent.fetched),
            sent: print(&self.sent.sent),
            flags: chars(self.sent.flags.as_octets()),
            date: date(&self.sent.internal_date),
            ladder: self.sent.ladder.0,
            read: self.read_back.fingerprint.as_ref().map(print),
            read_octets: self.read_back.octets,
            read_flags: chars(self.read_back.flags.as_octets()),
            read_date: date(&self.read_back.internal_date),
            read_mod_seq: self.read_back.mod_seq,
            grade: self.grade.map(|grade| grade.as_str().to_owned()),
            words: self.words.clone(),
        };
        note(self.item, BEGUN, serde_json::json!(written).to_string())
    }

    /// The message as it was, from where it is `listed`.
    pub(super) fn restored(&self, why: &str) -> Change {
        let reason = Reason::new(DAMAGED, format!("{}{AGAIN}{why}", self.words));
        let change = Change::to(self.item, State::Exception).because(reason).at(self.place, self.origin);
        let (sent, read_back) = (Some(self.sent.clone()), Some(self.read_back.clone()));
        Change { sent, read_back, grade: self.grade, ..change }
    }
}

/// Pure: the damaged copy of a message that a repair may send once more.
pub(super) fn replaced(item: &Item) -> Option<Begun> {
    let reason = item.reason.as_ref().filter(|r| item.state == State::Exception && r.kind == DAMAGED)?;
    let ours = |origin: &Origin| matches!(origin, Origin::Appended | Origin::Found | Origin::Copied);
    let origin = item.origin.filter(ours)?;
    let (sent, first) = (Sent::clone(item.sent.as_ref()?), ReadBack::clone(item.read_back.as_ref()?));
    let print = first.fingerprint.as_ref()?;
    let was_damaged = print.exact != sent.sent.exact && Grade::of(&sent.fetched, print) == Grade::Damaged;
    let words = reason.text.split(AGAIN).next().unwrap_or_default().to_owned();
    let (covers, place) = (sent.ladder.has(Ladder::ENCODED), item.place?);
    let one =
        Begun { item: item.id, place, covers, origin, read_back: first, grade: item.grade, words, sent };
    (was_damaged && !one.sent.ladder.has(Ladder::WRAPPED)).then_some(one)
}
