//! Sets and sequences of UIDs (RFC 3501, `sequence-set`; RFC 4315, `uid-set`).

use std::fmt;

use crate::message::Uid;

/// A set of UIDs as sorted ranges that neither overlap nor touch: a million consecutive UIDs cost one range.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct UidSet {
    ranges: Vec<Range>,
}

/// First and last UID, both included.
type Range = (u32, u32);

impl UidSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Reads the IMAP form (`1:3,5`). Ranges may be reversed, out of order, or overlap. `None` for anything else,
    /// for 0, and for `*`, whose meaning depends on the mailbox.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        Some(Self::from_ranges(parse_ranges(text)?))
    }

    fn from_ranges(mut ranges: Vec<Range>) -> Self {
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let touches = next.0 <= kept.1.saturating_add(1);
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
        Self { ranges }
    }

    /// Adds one UID. Cheap at the end of the set, a move of the later ranges elsewhere.
    pub fn insert(&mut self, uid: Uid) {
        self.insert_range(uid, uid);
    }

    /// Adds all UIDs from `a` to `b`, both included, in either order.
    pub fn insert_range(&mut self, a: Uid, b: Uid) {
        let (mut low, mut high) = (a.min(b).get(), a.max(b).get());
        let start = self.ranges.partition_point(|r| r.1.saturating_add(1) < low);
        let end = self.ranges.partition_point(|r| r.0 <= high.saturating_add(1));
        if let Some(touched) = self.ranges.get(start..end) {
            low = touched.first().map_or(low, |r| r.0.min(low));
            high = touched.last().map_or(high, |r| r.1.max(high));
        }
        self.ranges.splice(start..end.max(start), [(low, high)]);
    }

    /// Removes one UID.
    pub fn remove(&mut self, uid: Uid) {
        let uid = uid.get();
        let at = self.ranges.partition_point(|r| r.1 < uid);
        if let Some(&(low, high)) = self.ranges.get(at).filter(|r| r.0 <= uid) {
            let left = (low < uid).then(|| (low, uid - 1));
            let right = (uid < high).then(|| (uid + 1, high));
            self.ranges.splice(at..=at, left.into_iter().chain(right));
        }
    }

    /// Whether `uid` is in the set.
    #[must_use]
    pub fn contains(&self, uid: Uid) -> bool {
        let uid = uid.get();
        let at = self.ranges.partition_point(|r| r.1 < uid);
        self.ranges.get(at).is_some_and(|r| r.0 <= uid)
    }

    /// The number of UIDs.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|r| range_len(*r)).sum()
    }

    /// Whether there is no UID.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The smallest UID.
    #[must_use]
    pub fn first(&self) -> Option<Uid> {
        self.ranges.first().and_then(|r| Uid::new(r.0))
    }

    /// The largest UID.
    #[must_use]
    pub fn last(&self) -> Option<Uid> {
        self.ranges.last().and_then(|r| Uid::new(r.1))
    }

    /// All UIDs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.ranges.iter().flat_map(|r| r.0..=r.1).filter_map(Uid::new)
    }

    /// All ranges (first, last) in ascending order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (Uid, Uid)> + '_ {
        self.ranges.iter().map(|r| (Uid::new(r.0).unwrap_or(Uid::MIN), Uid::new(r.1).unwrap_or(Uid::MIN)))
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let mut cuts = other.ranges.iter().copied().peekable();
        for &(mut low, high) in &self.ranges {
            loop {
                while cuts.next_if(|cut| cut.1 < low).is_some() {}
                match cuts.peek() {
                    Some(&(cut_low, cut_high)) if cut_low <= high => {
                        if low < cut_low {
                            ranges.push((low, cut_low - 1));
                        }
                        if cut_high >= high {
                            break;
                        }
                        low = cut_high + 1;
                    }
                    _ => {
                        ranges.push((low, high));
                        break;
                    }
                }
            }
        }
        Self { ranges }
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.difference(&self.difference(other))
    }

    /// The set in pieces of at most `max_uids` UIDs (at least 1), in ascending order.
    #[must_use]
    pub fn chunks(&self, max_uids: u32) -> Vec<Self> {
        let max = u64::from(max_uids.max(1));
        let mut pieces: Vec<Self> = Vec::new();
        let mut room = 0;
        for &(mut low, high) in &self.ranges {
            loop {
                if room == 0 {
                    pieces.push(Self::new());
                    room = max;
                }
                let Some(piece) = pieces.last_mut() else { break };
                let taken = room.min(range_len((low, high)));
                let last = low + u32::try_from(taken - 1).unwrap_or(0);
                piece.ranges.push((low, last));
                room -= taken;
                if last == high {
                    break;
                }
                low = last + 1;
            }
        }
        pieces
    }

    /// The set in pieces whose IMAP form has at most `max_octets` octets each, in ascending order. A single range
    /// that is longer than that (`max_octets` < 21) makes a piece of its own.
    #[must_use]
    pub fn split_for_line(&self, max_octets: usize) -> Vec<Self> {
        let mut pieces: Vec<Self> = Vec::new();
        let mut used = 0;
        for &range in &self.ranges {
            let octets = range_octets(range);
            match pieces.last_mut() {
                Some(piece) if used + 1 + octets <= max_octets => {
                    piece.ranges.push(range);
                    used += 1 + octets;
                }
                _ => {
                    pieces.push(Self { ranges: vec![range] });
                    used = octets;
                }
            }
        }
        pieces
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<I: IntoIterator<Item = Uid>>(uids: I) -> Self {
        Self::from_ranges(uids.into_iter().map(|uid| (uid.get(), uid.get())).collect())
    }
}

impl Extend<Uid> for UidSet {
    fn extend<I: IntoIterator<Item = Uid>>(&mut self, uids: I) {
        for uid in uids {
            self.insert(uid);
        }
    }
}

impl From<Uid> for UidSet {
    fn from(uid: Uid) -> Self {
        Self { ranges: vec![(uid.get(), uid.get())] }
    }
}

/// UIDs in the order the server named them, as in APPENDUID and COPYUID (RFC 4315, 3).
///
/// The elements keep their order; within a range the order is ascending, also where it is written `4:3`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct UidSequence {
    ranges: Vec<Range>,
}

impl UidSequence {
    /// Reads the IMAP form. `None` for 0, `*`, or anything that is no uid-set.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        Some(Self { ranges: parse_ranges(text)? })
    }

    /// The number of UIDs named, repetitions included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|r| range_len(*r)).sum()
    }

    /// Whether no UID is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// All UIDs in order. A hostile server can name four thousand million: see [`UidSequence::expand`].
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.ranges.iter().flat_map(|r| r.0..=r.1).filter_map(Uid::new)
    }

    /// All UIDs in order, or `None` if there are more than `max`.
    #[must_use]
    pub fn expand(&self, max: usize) -> Option<Vec<Uid>> {
        (self.len() <= u64::try_from(max).unwrap_or(u64::MAX)).then(|| self.iter().collect())
    }

    /// The same UIDs as a set.
    #[must_use]
    pub fn to_set(&self) -> UidSet {
        UidSet::from_ranges(self.ranges.clone())
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ranges(&self.ranges, f)
    }
}

impl fmt::Debug for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UidSet({self})")
    }
}

impl fmt::Display for UidSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ranges(&self.ranges, f)
    }
}

impl fmt::Debug for UidSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UidSequence({self})")
    }
}

fn write_ranges(ranges: &[Range], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, &(low, high)) in ranges.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        if low == high {
            write!(f, "{comma}{low}")?;
        } else {
            write!(f, "{comma}{low}:{high}")?;
        }
    }
    Ok(())
}

/// The ranges in the order of the text, each ascending. The count is bounded by the text's length.
fn parse_ranges(text: &[u8]) -> Option<Vec<Range>> {
    text.split(|b| *b == b',').map(parse_range).collect()
}

fn parse_range(text: &[u8]) -> Option<Range> {
    let mut ends = text.splitn(2, |b| *b == b':').map(parse_uid);
    let first = ends.next()??;
    let second = ends.next().unwrap_or(Some(first))?;
    Some((first.min(second), first.max(second)))
}

fn parse_uid(text: &[u8]) -> Option<u32> {
    let number = u32::try_from(crate::cursor::parse_number(text)?).ok()?;
    (number != 0).then_some(number)
}

fn range_len((low, high): Range) -> u64 {
    u64::from(high) - u64::from(low) + 1
}

fn range_octets((low, high): Range) -> usize {
    let digits = |n: u32| n.checked_ilog10().map_or(1, |log| log as usize + 1);
    if low == high { digits(low) } else { digits(low) + 1 + digits(high) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(text: &str) -> UidSet {
        UidSet::parse(text.as_bytes()).unwrap()
    }

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    #[test]
    fn the_text_form_is_compact_and_sorted() {
        assert_eq!(set("5,1:3,2,4").to_string(), "1:5");
        assert_eq!(set("9:7,3").to_string(), "3,7:9");
        assert_eq!(set("1,3,5").to_string(), "1,3,5");
        assert_eq!(set("1:4294967295").len(), 4_294_967_295);
        assert_eq!(UidSet::new().to_string(), "");
    }

    #[test]
    fn what_is_no_set_of_uids_is_refused() {
        for text in ["", "0", "1:*", "*", "1,", ",1", "a", "1:2:3", "4294967296", "1 2", "-1", "1:"] {
            assert_eq!(UidSet::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_sequence_keeps_the_order_of_its_elements() {
        let sequence = UidSequence::parse(b"7,4:3,9").unwrap();
        let numbers: Vec<u32> = sequence.iter().map(Uid::get).collect();
        assert_eq!(numbers, [7, 3, 4, 9]);
        assert_eq!(sequence.expand(4).map(|v| v.len()), Some(4));
        assert_eq!(sequence.expand(3), None);
        assert_eq!(UidSequence::parse(b"1:4294967295").unwrap().expand(1000), None);
    }

    #[test]
    fn the_largest_uid_does_not_overflow() {
        let mut all = set("4294967294:4294967295");
        all.insert(Uid::MAX);
        all.remove(Uid::MAX);
        assert_eq!(all.to_string(), "4294967294");
        all.insert_range(Uid::MIN, Uid::MAX);
        assert_eq!(all.difference(&set("4294967295")).to_string(), "1:4294967294");
        assert_eq!(all.chunks(u32::MAX).len(), 1);
    }

    #[test]
    fn pieces_respect_their_limit() {
        let whole = set("1:10,12,14:15");
        let texts: Vec<String> = whole.chunks(4).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["1:4", "5:8", "9:10,12,14", "15"]);
        let texts: Vec<String> = whole.split_for_line(7).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["1:10,12", "14:15"]);
        assert!(UidSet::new().chunks(3).is_empty());
    }

    fn model() -> impl Strategy<Value = BTreeSet<u32>> {
        proptest::collection::btree_set(1u32..60, 0..40)
    }

    fn from_model(model: &BTreeSet<u32>) -> UidSet {
        model.iter().map(|n| uid(*n)).collect()
    }

    proptest! {
        #[test]
        fn operations_agree_with_a_plain_set(a in model(), b in model(), extra in 1u32..60, (x, y) in (1u32..60, 1u32..60)) {
            let (left, right) = (from_model(&a), from_model(&b));
            prop_assert_eq!(left.len(), a.len() as u64);
            prop_assert_eq!(left.iter().map(Uid::get).collect::<BTreeSet<_>>(), a.clone());
            prop_assert_eq!(left.union(&right), from_model(&(&a | &b)));
            prop_assert_eq!(left.difference(&right), from_model(&(&a - &b)));
            prop_assert_eq!(left.intersection(&right), from_model(&(&a & &b)));
            prop_assert_eq!(left.contains(uid(extra)), a.contains(&extra));
            let (mut changed, mut expected) = (left.clone(), a.clone());
            changed.insert_range(uid(x), uid(y));
            expected.extend(x.min(y)..=x.max(y));
            prop_assert_eq!(&changed, &from_model(&expected));
            changed.remove(uid(extra));
            expected.remove(&extra);
            prop_assert_eq!(&changed, &from_model(&expected));
        }

        #[test]
        fn text_and_pieces_lose_nothing(a in model(), max in 1u32..9, octets in 5usize..40) {
            let whole = from_model(&a);
            if !whole.is_empty() {
                prop_assert_eq!(&UidSet::parse(whole.to_string().as_bytes()).unwrap(), &whole);
            }
            let joined = |pieces: &[UidSet]| pieces.iter().fold(UidSet::new(), |all, p| all.union(p));
            let chunks = whole.chunks(max);
            prop_assert!(chunks.iter().all(|c| (1..=u64::from(max)).contains(&c.len())));
            prop_assert_eq!(joined(&chunks), whole.clone());
            let lines = whole.split_for_line(octets);
            prop_assert!(lines.iter().all(|l| l.to_string().len() <= octets));
            prop_assert_eq!(joined(&lines), whole);
        }
    }
}
