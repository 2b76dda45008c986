//! Pure: what octets are, and which stored message answers to which source message.
//!
//! Two levels (docs/design/identity.md): **L0** is the SHA-256 of the octets, **L1** the SHA-256 of n(b), where
//! n(b) turns every `CR* LF` and every lone CR into CRLF and drops the run of newlines at the very end.
//! L1 only compares; what is sent is never normalised by it.

use crate::message::{Digest, Fingerprint, InternalDate};
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// How far octets read back agree with the octets that were fetched, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// The same octets.
    Exact,
    /// The same but for line ends, or for newlines at the very end.
    Newline,
    /// Other octets that say the same ([`crate::semantic`]); in what they differ is kept with the item.
    Semantic,
    /// Other octets: an exception that a person must look at.
    Damaged,
}

impl Grade {
    /// Grades what was read back against what was fetched, by digests alone: never [`Grade::Semantic`].
    pub fn of(fetched: &Fingerprint, read: &Fingerprint) -> Self {
        #[cfg(mailhaul_mutants)]
        if crate::mutants::Mutant::NoDigest.is_on() {
            return Self::Exact;
        }
        if fetched.exact == read.exact {
            Self::Exact
        } else if fetched.normal == read.normal {
            Self::Newline
        } else {
            Self::Damaged
        }
    }

    /// The word used in journal, report and manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Newline => "newline",
            Self::Semantic => "semantic",
            Self::Damaged => "damaged",
        }
    }

    /// Reads the word that [`Grade::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Exact, Self::Newline, Self::Semantic, Self::Damaged].into_iter().find(|g| g.as_str() == word)
    }
}

/// What one pass over the octets of a message found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Count and digests.
    pub fingerprint: Fingerprint,
    /// An LF stands without a CR before it. Such a message travels alone (law 11).
    pub lone_lf: bool,
    /// A NUL octet occurs.
    pub nul: bool,
}

impl Measured {
    /// Of octets that are at hand whole.
    pub fn of(octets: &[u8]) -> Self {
        let mut meter = Meter::new();
        meter.update(octets);
        meter.finish()
    }
}

/// Counts and hashes octets in one pass, both levels at once, in pieces of any size.
///
/// As long as every line ends in CRLF the two levels differ only in the newlines at the end, so one hash state
/// serves both, with the trailing run held back; at the first other newline the states part.
#[derive(Clone, Default)]
pub struct Meter {
    exact: Sha256,
    /// Present once the levels have parted.
    normal: Option<Sha256>,
    octets: u64,
    /// Newlines of the current run that the normal state has not seen; the exact state has not seen them
    /// either while the states are one (then each is a CRLF).
    held_newlines: u64,
    /// CRs at the end of the input so far whose meaning the next octet decides. Never fed to a state yet.
    held_crs: u64,
    lone_lf: bool,
    nul: bool,
}

impl Meter {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Octets measured so far.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Adds the next octets.
    pub fn update(&mut self, mut octets: &[u8]) {
        self.octets += octets.len() as u64;
        if self.held_crs == 0 && self.normal.is_none() && is_crlf_text(octets) {
            return self.crlf(octets);
        }
        self.nul |= memchr::memchr(0, octets).is_some();
        while !octets.is_empty() {
            if self.held_crs == 0 && self.normal.is_none() {
                let (clean, rest) = octets.split_at(crlf_text(octets));
                self.crlf(clean);
                octets = rest;
                if octets.is_empty() {
                    break;
                }
            }
            if self.held_crs > 0 && octets[0] != b'\r' {
                let lf = octets[0] == b'\n';
                self.newline_with_crs(lf);
                if lf {
                    octets = &octets[1..];
                    continue;
                }
            }
            let end = memchr::memchr2(b'\r', b'\n', octets).unwrap_or(octets.len());
            self.text(&octets[..end]);
            octets = &octets[end..];
            match octets.first() {
                Some(b'\r') => self.held_crs += 1,
                Some(_) => {
                    self.lone_lf = true;
                    self.part();
                    self.exact.update(b"\n");
                    self.held_newlines += 1;
                }
                None => break,
            }
            octets = &octets[1..];
        }
    }

    /// Text whose every newline is a CRLF, while the states are one: hashed in one piece, which costs half of what a piece for
    /// each line does.
    fn crlf(&mut self, text: &[u8]) {
        let mut end = text.len();
        while text[..end].ends_with(b"\r\n") {
            end -= 2;
        }
        self.text(&text[..end]);
        self.held_newlines += (text.len() - end) as u64 / 2;
    }

    /// Ends the message.
    pub fn finish(mut self) -> Measured {
        if self.held_crs > 0 {
            self.newline_with_crs(false);
        }
        let (exact, normal) = match self.normal {
            Some(normal) => (self.exact, normal),
            None => {
                let normal = self.exact.clone();
                feed_newlines(&mut self.exact, self.held_newlines);
                (self.exact, normal)
            }
        };
        Measured {
            fingerprint: Fingerprint {
                octets: self.octets,
                exact: Digest(exact.finalize().into()),
                normal: Digest(normal.finalize().into()),
            },
            lone_lf: self.lone_lf,
            nul: self.nul,
        }
    }

    /// The held CRs turn out to be followed by LF (`CR* LF`, one newline) or by something else (each CR is one).
    fn newline_with_crs(&mut self, lf: bool) {
        let crs = std::mem::take(&mut self.held_crs);
        if lf && crs == 1 {
            if self.normal.is_some() {
                self.exact.update(b"\r\n");
            }
            self.held_newlines += 1;
            return;
        }
        self.part();
        (0..crs).for_each(|_| self.exact.update(b"\r"));
        if lf {
            self.exact.update(b"\n");
        }
        self.held_newlines += if lf { 1 } else { crs };
    }

    fn text(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let newlines = std::mem::take(&mut self.held_newlines);
        match &mut self.normal {
            Some(normal) => {
                feed_newlines(normal, newlines);
                normal.update(text);
            }
            None => feed_newlines(&mut self.exact, newlines),
        }
        self.exact.update(text);
    }

    /// From here on the levels see different octets.
    fn part(&mut self) {
        if self.normal.is_none() {
            self.normal = Some(self.exact.clone());
            feed_newlines(&mut self.exact, self.held_newlines);
        }
    }
}

/// True for text without NUL whose every newline is a CRLF, not cut between its two octets: nearly all mail. Each octet is only
/// compared with the next one, so that many are at once.
fn is_crlf_text(octets: &[u8]) -> bool {
    /// So many octets are looked at before it is asked whether one was wrong.
    const TOGETHER: usize = 1024;
    let [first, .., last] = octets else {
        return matches!(octets, [octet] if !matches!(octet, 0 | b'\r' | b'\n'));
    };
    let (each, next) = (&octets[..octets.len() - 1], &octets[1..]);
    let is_wrong = |(octet, next): (&u8, &u8)| (*octet == 0) | ((*octet == b'\r') != (*next == b'\n'));
    let mut pieces = each.chunks(TOGETHER).zip(next.chunks(TOGETHER));
    let ends = *first != b'\n' && *last != b'\r' && *last != 0;
    ends && pieces
        .all(|(each, next)| !each.iter().zip(next).map(is_wrong).fold(false, |any, wrong| any | wrong))
}

/// How many octets from the front are text whose every newline is a CRLF.
fn crlf_text(octets: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'\r', b'\n', &octets[at..]) {
        let newline = at + found;
        if !octets[newline..].starts_with(b"\r\n") {
            return newline;
        }
        at = newline + 2;
    }
    octets.len()
}

fn feed_newlines(state: &mut Sha256, count: u64) {
    (0..count).for_each(|_| state.update(b"\r\n"));
}

/// One candidate found at the target, or one message looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<I> {
    /// Who it is.
    pub id: I,
    /// What it holds.
    pub fingerprint: Fingerprint,
    /// Its INTERNALDATE, in seconds since 1970, where it names one: of equal messages it says which is which.
    pub at: Option<i64>,
}

impl<I> Candidate<I> {
    /// One of these octets, and with this INTERNALDATE.
    pub fn new(id: I, fingerprint: Fingerprint, date: Option<&InternalDate>) -> Self {
        Self { id, fingerprint, at: date.and_then(InternalDate::instant) }
    }
}

/// Pairs what is looked for with what was found, as multisets: each found message answers to one wanted message
/// at most (law 5).
///
/// Equal octets are paired first, then equal octets but for newlines; of either kind those of one date before those of
/// others (integrity.md 6.4), so that flags and dates stay with their message. What is left meets in the order of both,
/// so an ascending run stays ascending. The wanted without an answer are not in the result.
pub fn pair_up<W: Copy, F: Copy + Eq + Hash>(wanted: &[Candidate<W>], found: &[Candidate<F>]) -> Vec<(W, F)> {
    let mut pairs = Vec::new();
    let mut taken: std::collections::HashSet<F> = std::collections::HashSet::new();
    let mut open: Vec<&Candidate<W>> = wanted.iter().collect();
    type Level = fn(&Fingerprint) -> Digest;
    let levels: [(Level, bool); 4] =
        [(level_exact, true), (level_exact, false), (level_normal, true), (level_normal, false)];
    for (level, dated) in levels {
        let mut alike: HashMap<(Digest, Option<i64>), VecDeque<F>> = HashMap::new();
        let free = |f: &&Candidate<F>| (f.at.is_some() || !dated) && !taken.contains(&f.id);
        for f in found.iter().filter(free) {
            let at = f.at.filter(|_| dated);
            alike.entry((level(&f.fingerprint), at)).or_default().push_back(f.id);
        }
        open.retain(|w| {
            let at = w.at.filter(|_| dated);
            let same = (!dated || at.is_some()).then(|| alike.get_mut(&(level(&w.fingerprint), at)));
            let Some(id) = same.flatten().and_then(VecDeque::pop_front) else {
                return true;
            };
            taken.insert(id);
            pairs.push((w.id, id));
            false
        });
    }
    pairs
}

fn level_exact(f: &Fingerprint) -> Digest {
    f.exact
}

fn level_normal(f: &Fingerprint) -> Digest {
    f.normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// n(b), written plainly.
    fn normalise(b: &[u8]) -> Vec<u8> {
        let (mut out, mut i) = (Vec::new(), 0);
        while i < b.len() {
            match b[i] {
                b'\n' => out.extend(b"\r\n"),
                b'\r' => {
                    let crs = b[i..].iter().take_while(|&&c| c == b'\r').count();
                    let lf = b.get(i + crs) == Some(&b'\n');
                    (0..if lf { 1 } else { crs }).for_each(|_| out.extend(b"\r\n"));
                    i += crs - 1 + usize::from(lf);
                }
                c => out.push(c),
            }
            i += 1;
        }
        while out.ends_with(b"\r\n") {
            out.truncate(out.len() - 2);
        }
        out
    }

    fn sha(b: &[u8]) -> Digest {
        Digest(Sha256::digest(b).into())
    }

    fn measure(pieces: &[&[u8]]) -> Measured {
        let mut m = Meter::new();
        pieces.iter().for_each(|p| m.update(p));
        m.finish()
    }

    fn print(octets: &[u8]) -> Fingerprint {
        measure(&[octets]).fingerprint
    }

    proptest! {
        #[test]
        fn both_levels_agree_with_the_plain_definition_for_any_split(
            octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), Just(0u8)], 0..40),
            cut in 0usize..40,
        ) {
            let cut = cut.min(octets.len());
            let got = measure(&[&octets[..cut], &octets[cut..]]);
            prop_assert_eq!(got.fingerprint.octets, octets.len() as u64);
            prop_assert_eq!(got.fingerprint.exact, sha(&octets));
            prop_assert_eq!(got.fingerprint.normal, sha(&normalise(&octets)));
            let lone = (0..octets.len()).any(|i| octets[i] == b'\n' && (i == 0 || octets[i - 1] != b'\r'));
            prop_assert_eq!(got.lone_lf, lone);
            prop_assert_eq!(got.nul, octets.contains(&0));
        }
    }

    proptest! {
        #[test]
        fn one_odd_octet_in_long_clean_text_is_seen_wherever_it_is(
            at in 0usize..5000, odd in prop_oneof![Just(b'\r'), Just(b'\n'), Just(0u8)], cut in 0usize..5000, width in 1usize..200,
        ) {
            let mut octets: Vec<u8> = (0..5000).map(|i| match i % (width + 2) {
                column if column == width => b'\r',
                column if column == width + 1 => b'\n',
                _ => b'a',
            }).collect();
            let is_clean = octets[4999] != b'\r';
            prop_assert_eq!(is_crlf_text(&octets), is_clean);
            octets[at] = odd;
            let got = measure(&[&octets[..cut], &octets[cut..]]);
            prop_assert_eq!(got.fingerprint.exact, sha(&octets));
            prop_assert_eq!(got.fingerprint.normal, sha(&normalise(&octets)));
            prop_assert_eq!(got.nul, odd == 0);
            let lone = (0..5000).any(|i| octets[i] == b'\n' && (i == 0 || octets[i - 1] != b'\r'));
            prop_assert_eq!(got.lone_lf, lone);
        }
    }

    #[test]
    fn a_stored_copy_with_other_line_ends_grades_newline() {
        let fetched = print(b"A: b\n\nx\r\r\ny");
        assert_eq!(Grade::of(&fetched, &print(b"A: b\r\n\r\nx\r\ny\r\n")), Grade::Newline);
        assert_eq!(Grade::of(&fetched, &print(b"A: b\r\n\r\nx y\r\n")), Grade::Damaged);
        assert_eq!(Grade::of(&fetched, &fetched), Grade::Exact);
    }

    #[test]
    fn of_equal_messages_those_of_one_date_belong_together() {
        let print = Fingerprint { octets: 1, exact: Digest([1; 32]), normal: Digest([1; 32]) };
        let at = |id, at| Candidate { id, fingerprint: print, at };
        let wanted = [at(1, Some(10)), at(2, Some(20)), at(3, None)];
        let found = [at(11, Some(20)), at(12, Some(30)), at(13, Some(10))];
        let mut pairs = pair_up(&wanted, &found);
        pairs.sort_unstable();
        assert_eq!(pairs, [(1, 13), (2, 11), (3, 12)]);
        // The octets come first: a date does not make equal what is not.
        let other = Candidate {
            id: 14,
            fingerprint: Fingerprint { exact: Digest([2; 32]), normal: Digest([2; 32]), ..print },
            at: Some(10),
        };
        assert_eq!(pair_up(&wanted[..1], &[other]), []);
    }

    #[test]
    fn equal_messages_stay_a_multiset_and_exact_goes_before_normal() {
        let (a, a_lf) = (print(b"x\r\ny\r\n"), print(b"x\ny\n"));
        let of = |id, print| Candidate::new(id, print, None);
        let wanted = [of(1, a), of(2, a_lf)];
        let found = [of(10, a_lf), of(11, a)];
        assert_eq!(pair_up(&wanted, &found), [(1, 11), (2, 10)]);
        assert_eq!(pair_up(&wanted, &found[..1]).len(), 1, "one found message answers once");
    }
}
