//! Pure: a block of messages, and the octets that the journal keeps of it.
//!
//! What is said twice of a message is written once: octets that were sent as they were fetched, flags and dates that were
//! sent and read back as they were listed.

use super::coding::{Reader, Writer};
use super::rows::damaged;
use crate::identity::Grade;
use crate::journal::{
    EpochId, Item, ItemId, JournalResult, Ladder, MailboxId, Origin, Place, ReadBack, Reason, Sent, State,
};
use crate::message::{Digest, Fingerprint, Flags, InternalDate, Key};

/// Messages whose keys differ in the last so many bits alone are in one block.
const BITS: u32 = 6;
/// The form of a block's content, its first octet.
const FORM: u8 = 1;
/// What a message takes, about, in octets: a guess that saves growing.
const RECORD_OCTETS: usize = 220;
/// Bit of [`Block::summary`]: a message is stored and its UID is not known.
pub(super) const UNPLACED: i64 = 1 << 32;

/// Which block, of one source epoch of one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockId {
    pub(super) mailbox: MailboxId,
    pub(super) epoch: EpochId,
    pub(super) number: i64,
}

impl BlockId {
    pub(super) fn of(id: ItemId) -> Self {
        Self { mailbox: id.mailbox, epoch: id.epoch, number: id.key.0 >> BITS }
    }

    fn key(self, offset: u8) -> Key {
        Key(self.number << BITS | i64::from(offset))
    }

    /// Its key in the table.
    pub(super) fn place(self) -> [i64; 3] {
        [self.mailbox.0, self.epoch.0, self.number]
    }
}

/// The messages of a block, ascending by key.
#[derive(Debug, Default)]
pub(super) struct Block(Vec<Item>);

impl Block {
    pub(super) fn items(&self) -> &[Item] {
        &self.0
    }

    pub(super) fn into_items(self) -> Vec<Item> {
        self.0
    }

    pub(super) fn get(&self, key: Key) -> Option<&Item> {
        self.find(key).ok().map(|at| &self.0[at])
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Item> {
        self.find(key).ok().map(|at| &mut self.0[at])
    }

    /// Adds a message, or puts it in the place of the one with its key, which is returned.
    pub(super) fn put(&mut self, item: Item) -> Option<Item> {
        match self.find(item.id.key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at], item)),
            Err(at) => {
                self.0.insert(at, item);
                None
            }
        }
    }

    pub(super) fn take(&mut self, key: Key) -> Option<Item> {
        self.find(key).ok().map(|at| self.0.remove(at))
    }

    fn find(&self, key: Key) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |item| item.id.key)
    }

    /// A bit for each state that occurs, and [`UNPLACED`].
    pub(super) fn summary(&self) -> i64 {
        self.0.iter().fold(0, |all, item| {
            let unplaced = item.state == State::Stored && item.place.is_none();
            all | bit(item.state) | if unplaced { UNPLACED } else { 0 }
        })
    }

    pub(super) fn write(&self, id: BlockId) -> Vec<u8> {
        let mut w = Writer::with_capacity(self.0.len() * RECORD_OCTETS);
        w.octet(FORM);
        w.number(self.0.len() as u64);
        self.0.iter().for_each(|item| write_item(&mut w, item));
        w.end(&id.place())
    }

    pub(super) fn read(id: BlockId, content: Vec<u8>) -> JournalResult<Self> {
        let mut r = Reader::new(content, &id.place())?;
        if r.octet()? != FORM {
            return Err(damaged("a block of messages in an unknown form"));
        }
        let count = r.number()?;
        // What stands there is not to be trusted with memory.
        let mut items: Vec<Item> = Vec::with_capacity(count.min(1 << BITS) as usize);
        for _ in 0..count {
            let item = read_item(&mut r, id)?;
            if items.last().is_some_and(|last| last.id.key >= item.id.key) {
                return Err(damaged("a block whose messages are out of order"));
            }
            items.push(item);
        }
        if r.is_at_end() { Ok(Self(items)) } else { Err(damaged("more in a block than its messages")) }
    }
}

/// Where in its block a key is.
fn offset(key: Key) -> u8 {
    (key.0 & ((1 << BITS) - 1)) as u8
}

/// The bit of a state in [`Block::summary`].
pub(super) fn bit(state: State) -> i64 {
    1 << code(&State::ALL, &state)
}

/// The place of a value in a table of all of them, which may grow at its end alone: it stands in files.
fn code<T: PartialEq>(all: &[T], value: &T) -> u8 {
    all.iter().position(|one| one == value).map_or(u8::MAX, |at| at as u8)
}

fn decode<T: Copy>(all: &[T], code: u8, what: &str) -> JournalResult<T> {
    all.get(usize::from(code)).copied().ok_or_else(|| damaged(what))
}

const GRADES: [Grade; 4] = [Grade::Exact, Grade::Newline, Grade::Semantic, Grade::Damaged];
const ORIGINS: [Origin; 5] = Origin::ALL;

fn write_item(w: &mut Writer, item: &Item) {
    w.octet(offset(item.id.key));
    w.octet(code(&State::ALL, &item.state));
    w.number(item.octets);
    w.octets(item.flags.as_octets());
    w.option(item.internal_date.as_ref(), |w, date| w.octets(date.as_octets()));
    w.option(item.lineage.as_ref(), |w, lineage| w.octets(lineage.as_bytes()));
    w.option(item.sent.as_ref(), |w, sent| write_sent(w, sent, item));
    w.option(item.place, |w, place| {
        w.signed(place.epoch.0);
        w.signed(place.uid.0);
    });
    w.option(item.origin, |w, origin| w.octet(code(&ORIGINS, &origin)));
    w.option(item.read_back.as_ref(), |w, read| write_read_back(w, read, item));
    w.option(item.grade, |w, grade| w.octet(code(&GRADES, &grade)));
    w.option(item.reason.as_ref(), |w, reason| {
        w.octets(reason.kind.as_bytes());
        w.octets(reason.text.as_bytes());
    });
}

fn read_item(r: &mut Reader, block: BlockId) -> JournalResult<Item> {
    let offset = r.octet()?;
    if offset >> BITS != 0 {
        return Err(damaged("a message in a block that is not its own"));
    }
    let id = ItemId { mailbox: block.mailbox, epoch: block.epoch, key: block.key(offset) };
    let state = decode(&State::ALL, r.octet()?, "an unknown state")?;
    let mut item = Item { state, ..Item::listed(id, r.number()?) };
    item.flags = read_own_flags(r)?;
    item.internal_date = r.option(read_own_date)?;
    item.lineage = r.option(Reader::text)?;
    item.sent = r.option(|r| read_sent(r, &item).map(Box::new))?;
    item.place = r.option(|r| Ok(Place { epoch: EpochId(r.signed()?), uid: Key(r.signed()?) }))?;
    item.origin = r.option(|r| decode(&ORIGINS, r.octet()?, "an unknown origin"))?;
    item.read_back = r.option(|r| read_read_back(r, &item).map(Box::new))?;
    item.grade = r.option(|r| decode(&GRADES, r.octet()?, "an unknown grade"))?;
    item.reason = r.option(|r| Ok(Reason { kind: r.text()?, text: r.text()? }))?;
    Ok(item)
}

fn write_sent(w: &mut Writer, sent: &Sent, item: &Item) {
    write_print(w, &sent.fetched);
    w.option(Some(&sent.sent).filter(|s| **s != sent.fetched), write_print);
    write_flags(w, &sent.flags, &item.flags);
    write_date(w, sent.internal_date.as_ref(), item.internal_date.as_ref());
    w.octet(sent.ladder.0);
}

fn read_sent(r: &mut Reader, item: &Item) -> JournalResult<Sent> {
    let fetched = read_print(r)?;
    Ok(Sent {
        fetched,
        sent: r.option(read_print)?.unwrap_or(fetched),
        flags: read_flags(r, &item.flags)?,
        internal_date: read_date(r, item.internal_date.as_ref())?,
        ladder: Ladder(r.octet()?),
    })
}

fn write_read_back(w: &mut Writer, read: &ReadBack, item: &Item) {
    let (print, flags, date) = before(item);
    let same = read.fingerprint.is_some() && read.fingerprint.as_ref() == print;
    w.octet(u8::from(same));
    if !same {
        w.option(read.fingerprint.as_ref(), write_print);
    }
    w.number(read.octets);
    write_flags(w, &read.flags, flags);
    write_date(w, read.internal_date.as_ref(), date);
    w.option(read.mod_seq, Writer::number);
}

fn read_read_back(r: &mut Reader, item: &Item) -> JournalResult<ReadBack> {
    let (print, flags, date) = before(item);
    let fingerprint = match r.octet()? {
        0 => r.option(read_print)?,
        _ => Some(*print.ok_or_else(|| damaged("octets read back of a message never sent"))?),
    };
    Ok(ReadBack {
        fingerprint,
        octets: r.number()?,
        flags: read_flags(r, flags)?,
        internal_date: read_date(r, date)?,
        mod_seq: r.option(Reader::number)?,
    })
}

/// What a read-back mostly repeats: what was fetched, and flags and date as they were sent or, if nothing was, listed.
fn before(item: &Item) -> (Option<&Fingerprint>, &Flags, Option<&InternalDate>) {
    match &item.sent {
        Some(sent) => (Some(&sent.fetched), &sent.flags, sent.internal_date.as_ref()),
        None => (None, &item.flags, item.internal_date.as_ref()),
    }
}

pub(super) fn write_print(w: &mut Writer, print: &Fingerprint) {
    w.number(print.octets);
    w.fixed(&print.exact.0);
    w.option(Some(&print.normal).filter(|n| **n != print.exact), |w, normal| w.fixed(&normal.0));
}

pub(super) fn read_print(r: &mut Reader) -> JournalResult<Fingerprint> {
    let octets = r.number()?;
    let exact = Digest(r.fixed()?);
    let normal = r.option(|r| Ok(Digest(r.fixed()?)))?.unwrap_or(exact);
    Ok(Fingerprint { octets, exact, normal })
}

/// Equal flags may be written in another order: only the same octets are the same here.
fn write_flags(w: &mut Writer, flags: &Flags, before: &Flags) {
    w.option(Some(flags).filter(|f| f.as_octets() != before.as_octets()), |w, own| w.octets(own.as_octets()));
}

fn read_flags(r: &mut Reader, before: &Flags) -> JournalResult<Flags> {
    let own = r.option(read_own_flags)?;
    Ok(own.unwrap_or_else(|| before.clone()))
}

fn write_date(w: &mut Writer, date: Option<&InternalDate>, before: Option<&InternalDate>) {
    w.octet(u8::from(date != before));
    if date != before {
        w.option(date, |w, own| w.octets(own.as_octets()));
    }
}

fn read_date(r: &mut Reader, before: Option<&InternalDate>) -> JournalResult<Option<InternalDate>> {
    match r.octet()? {
        0 => Ok(before.cloned()),
        _ => r.option(read_own_date),
    }
}

fn read_own_flags(r: &mut Reader) -> JournalResult<Flags> {
    Ok(Flags::from_octets(r.octets()?))
}

fn read_own_date(r: &mut Reader) -> JournalResult<InternalDate> {
    Ok(InternalDate::from_octets(r.octets()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn print() -> impl Strategy<Value = Fingerprint> {
        let digest = || any::<u8>().prop_map(|b| Digest([b; 32]));
        (any::<u64>(), digest(), proptest::option::of(digest())).prop_map(|(octets, exact, normal)| {
            Fingerprint { octets, exact, normal: normal.unwrap_or(exact) }
        })
    }

    fn flags() -> impl Strategy<Value = Flags> {
        prop_oneof![Just(""), Just("\\Seen"), Just("\\seen"), Just("\\Seen $a"), Just("$a \\Seen")]
            .prop_map(Flags::from_octets)
    }

    fn date() -> impl Strategy<Value = Option<InternalDate>> {
        proptest::option::of(
            prop_oneof![Just(""), Just(" 1-Jan-2020 00:00:00 +0000")].prop_map(InternalDate::from_octets),
        )
    }

    fn sent() -> impl Strategy<Value = Sent> {
        (print(), proptest::option::of(print()), flags(), date(), any::<u8>()).prop_map(
            |(fetched, sent, flags, internal_date, ladder)| Sent {
                fetched,
                sent: sent.unwrap_or(fetched),
                flags,
                internal_date,
                ladder: Ladder(ladder),
            },
        )
    }

    fn read_back() -> impl Strategy<Value = ReadBack> {
        (proptest::option::of(print()), any::<u64>(), flags(), date(), any::<Option<u64>>()).prop_map(
            |(fingerprint, octets, flags, internal_date, mod_seq)| ReadBack {
                fingerprint,
                octets,
                flags,
                internal_date,
                mod_seq,
            },
        )
    }

    fn item() -> impl Strategy<Value = Item> {
        let option = proptest::option::of::<BoxedStrategy<_>>;
        let first =
            (0i64..1 << BITS, proptest::sample::select(&State::ALL[..]), any::<u64>(), flags(), date());
        let second = (
            any::<Option<String>>(),
            proptest::option::of(sent()),
            any::<Option<(i64, i64)>>(),
            option(proptest::sample::select(&ORIGINS[..]).boxed()),
            proptest::option::of(read_back()),
            proptest::option::of(proptest::sample::select(&GRADES[..])),
            any::<Option<(String, String)>>(),
        );
        (first, second).prop_map(|((key, state, octets, flags, internal_date), second)| {
            let (lineage, sent, place, origin, read_back, grade, reason) = second;
            Item {
                id: ItemId { mailbox: MailboxId(3), epoch: EpochId(9), key: Key(-64 + key) },
                state,
                octets,
                flags,
                internal_date,
                lineage,
                sent: sent.map(Box::new),
                place: place.map(|(epoch, uid)| Place { epoch: EpochId(epoch), uid: Key(uid) }),
                origin,
                read_back: read_back.map(Box::new),
                grade,
                reason: reason.map(|(kind, text)| Reason { kind, text }),
            }
        })
    }

    /// Flags are equal as sets; here their octets must be.
    fn octets(item: &Item) -> [Option<Vec<u8>>; 3] {
        let own = |f: &Flags| f.as_octets().to_vec();
        let read = item.read_back.as_ref().map(|r| own(&r.flags));
        [Some(own(&item.flags)), item.sent.as_ref().map(|s| own(&s.flags)), read]
    }

    proptest! {
        #[test]
        fn a_block_comes_out_as_it_went_in(items in proptest::collection::vec(item(), 0..70)) {
            let id = BlockId { mailbox: MailboxId(3), epoch: EpochId(9), number: -1 };
            let mut block = Block::default();
            items.into_iter().for_each(|item| drop(block.put(item)));
            let read = Block::read(id, block.write(id)).unwrap();
            prop_assert_eq!(read.items(), block.items());
            for (read, written) in read.items().iter().zip(block.items()) {
                prop_assert_eq!(octets(read), octets(written));
            }
        }

        #[test]
        fn octets_of_a_block_that_mean_nothing_are_damage_and_no_panic(octets: Vec<u8>, items: u8) {
            let id = BlockId { mailbox: MailboxId(3), epoch: EpochId(9), number: 0 };
            let mut w = Writer::default();
            w.octet(FORM);
            w.number(u64::from(items));
            w.fixed(&octets);
            let read = Block::read(id, w.end(&id.place()));
            prop_assert!(read.is_err() || items == 0 && octets.is_empty());
        }
    }

    /// They stand in files.
    #[test]
    fn codes_never_change() {
        let words: Vec<&str> = State::ALL.iter().map(|s| s.as_str()).collect();
        let known = "listed fetched committed in_doubt stored verified already_there merged excluded refused unreadable \
                     exception gone_at_source gone_at_target moved_at_target suspect";
        assert_eq!(words, known.split_whitespace().collect::<Vec<_>>());
        assert_eq!(GRADES.map(Grade::as_str), ["exact", "newline", "semantic", "damaged"]);
        assert_eq!(ORIGINS.map(Origin::as_str), ["appended", "found", "adopted", "shared", "copied"]);
    }

    #[test]
    fn keys_below_zero_and_at_the_end_of_a_block_find_their_block() {
        for (key, number) in
            [(-65, -2), (-64, -1), (-1, -1), (0, 0), (63, 0), (64, 1), (i64::MAX, i64::MAX >> BITS)]
        {
            let id = ItemId { mailbox: MailboxId(1), epoch: EpochId(1), key: Key(key) };
            let block = BlockId::of(id);
            assert_eq!(block.number, number);
            assert_eq!(block.key((key & 63) as u8), id.key);
        }
    }
}
