//! What must hold for any octets: bodies that panic where it does not.
//!
//! They run with seeded inputs and the kept corpora in every test run (`tests/fuzz_bodies.rs`), and under cargo-fuzz by
//! command (`fuzz/`). An input that was a finding stays in the corpus of its body.

mod accounts;
mod framing;
mod journal;
mod names;
mod responses;

pub use accounts::accounts;
pub use framing::framing;
pub use journal::journal;
pub use names::names;
pub use responses::responses;

use crate::corpus::Random;

/// What must hold for octets.
pub type Body = fn(&[u8]);

/// All bodies, by the names of their corpora and targets.
pub const BODIES: [(&str, Body); 5] = [
    ("framing", framing),
    ("responses", responses),
    ("names", names),
    ("journal", journal),
    ("accounts", accounts),
];

/// Octets of a seeded input, at most.
const INPUT_OCTETS_MAX: usize = 4096;

/// An input made of kept ones: pieces of them in another order, with some octets changed, and words of the protocol.
///
/// # Panics
/// If nothing is kept.
#[must_use]
pub fn input(random: &mut Random, kept: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut input = kept[random.below(kept.len() as u64) as usize].clone();
    for _ in 0..random.between(1, 8) {
        let at = random.below(input.len() as u64 + 1) as usize;
        match random.below(6) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 => input.truncate(at),
            2 => {
                let octets = random.between(1, 8) as usize;
                let octets = random.octets(octets);
                input.splice(at..at, octets);
            }
            3 => {
                let other = &kept[random.below(kept.len() as u64) as usize];
                let from = random.below(other.len() as u64 + 1) as usize;
                let to = random.between(from as u64, other.len() as u64) as usize;
                input.splice(at..at, other[from..to].iter().copied());
            }
            4 if !words.is_empty() => {
                let word = random.pick(words);
                input.splice(at..at, word.iter().copied());
            }
            _ => {
                let end = (at + random.below(16) as usize).min(input.len());
                input.drain(at..end);
            }
        }
    }
    input.truncate(INPUT_OCTETS_MAX);
    input
}

/// Reads values out of octets; where they are at their end, zeros.
struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    fn octets(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn octet(&mut self) -> u8 {
        self.octets(1).first().copied().unwrap_or_default()
    }

    /// A number64: 63 bits (RFC 9051 section 9).
    fn number(&mut self) -> u64 {
        let mut number = [0; 8];
        let taken = self.octets(8);
        number[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(number) >> 1
    }

    /// Up to 63 octets.
    fn short(&mut self) -> &'a [u8] {
        let count = self.octet() % 64;
        self.octets(usize::from(count))
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.short()).into_owned()
    }

    fn maybe<T>(&mut self, take: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.octet() % 2 == 1).then(|| take(self))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
