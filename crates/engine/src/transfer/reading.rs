//! What the octets of a source say of the source: a size that is wrong, a body that is cut, something else in the place
//! of a message. Messages are looked into only where a sign is there before (integrity.md 6.7).

use super::job::Job;
use super::spool::Body;
use crate::end::Way;
use crate::error::EndError;
use crate::journal::{Item, Note, Reason};
use crate::message::{Digest, Key};
use crate::quirks::body;
use std::collections::BTreeMap;

/// Octets up to which a message is looked at for a stub.
const STUB_OCTETS_MAX: u64 = 64 * 1024;
/// Messages shorter than their size that are asked for again whatever the others are like.
const ASKED_AGAIN_MIN: u64 = 16;
/// Beyond, they are asked for again only while so many times as many have their size.
const EXACT_PER_SHORT: u64 = 4;

/// What becomes of a message that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is what the source has; with remarks.
    Take(Vec<Note>),
    /// It may be cut: it is asked for again.
    Again,
    /// It is not the message but a stub that stands for it.
    Stub(Reason),
}

/// What was seen of one mailbox in a run.
#[derive(Debug, Default)]
pub struct Reading {
    /// Messages as long as RFC822.SIZE said.
    exact: u64,
    /// Messages of another length, confirmed by a second FETCH or longer.
    wrong: u64,
    /// Short ones that were asked for again: what came, and how often.
    short: BTreeMap<Key, (Digest, u32)>,
}

impl Reading {
    /// Nothing seen yet, of a source whose sizes are, or are not, known to be estimates.
    pub fn of(sizes_are_estimates: bool) -> Self {
        Self { wrong: if sizes_are_estimates { ASKED_AGAIN_MIN } else { 0 }, ..Self::default() }
    }

    /// Looks at a message that came. After `attempts_max` different answers the last one is taken.
    pub async fn look(
        &mut self,
        job: &Job,
        item: &Item,
        octets: &Body,
        way: Way,
        attempts_max: u32,
    ) -> Result<Look, EndError> {
        if octets.octets() <= STUB_OCTETS_MAX && body::is_exchange_stub(&octets.piece(0).await?) {
            let text = "the old server gives a notice in its place (“Retrieval using the IMAP4 protocol failed”): read it \
                        with another program, or ask the provider";
            return Ok(Look::Stub(Reason::new("source_stub", text)));
        }
        if way == Way::Parts {
            let text = "the old server gave its whole only as nothing, and its header and text when asked for one by one; \
                        on some servers these differ from the whole";
            return Ok(Look::Take(vec![about(job, item, "doubt:read:parts", text)]));
        }
        let length = octets.octets();
        if length == item.octets {
            self.exact += 1;
            return Ok(Look::Take(Vec::new()));
        }
        let sizes_wrong = Note { key: None, ..about(job, item, "size_wrong", SIZE_WRONG) };
        if length > item.octets {
            self.wrong += 1;
            return Ok(Look::Take(vec![sizes_wrong]));
        }
        match self.judge_short(item.id.key, octets.measured().fingerprint.exact, attempts_max) {
            Short::Again => Ok(Look::Again),
            Short::Unsteady => {
                let text = "the old server gave other octets each time, always fewer than its size says; the last are copied";
                Ok(Look::Take(vec![sizes_wrong, about(job, item, "doubt:source_unsteady", text)]))
            }
            Short::Believed => {
                let mut notes = vec![sizes_wrong];
                if self.sizes_are_exact() && is_cut(octets).await? {
                    let text = "it is shorter than its size says and ends before the closing boundary of its parts: the \
                                old server may have lost its end";
                    notes.push(about(job, item, "doubt:source_cut", text));
                }
                Ok(Look::Take(notes))
            }
        }
    }

    /// Pure: what a message shorter than its size means.
    ///
    /// QUIRK: Exchange and others tell sizes that no message has [T vandelay#12]: there the literal is right. QUIRK:
    /// Courier may cut a body silently [T]: there a second FETCH may bring the rest.
    fn judge_short(&mut self, key: Key, octets: Digest, attempts_max: u32) -> Short {
        let before = self.short.get(&key).copied();
        let times = before.map_or(1, |(_, times)| times + 1);
        let all_short = self.wrong + self.short.len() as u64;
        let worth_asking = all_short < ASKED_AGAIN_MIN || self.exact >= EXACT_PER_SHORT * all_short;
        match before {
            Some((same, _)) if same == octets => {}
            None if !worth_asking => {}
            _ if times >= attempts_max => {
                self.confirmed(key);
                return Short::Unsteady;
            }
            _ => {
                self.short.insert(key, (octets, times));
                return Short::Again;
            }
        }
        self.confirmed(key);
        Short::Believed
    }

    fn confirmed(&mut self, key: Key) {
        self.short.remove(&key);
        self.wrong += 1;
    }

    fn sizes_are_exact(&self) -> bool {
        self.exact > self.wrong
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    Again,
    Unsteady,
    Believed,
}

const SIZE_WRONG: &str = "the old server tells sizes (RFC822.SIZE) that are not those of the messages it gives; where a \
                          second reading agreed with the first, or all its sizes are estimates, the octets are believed";

fn about(job: &Job, item: &Item, kind: &str, text: &str) -> Note {
    let text = format!("{}: {text}", job.record.source.text);
    Note { kind: kind.to_owned(), mailbox: Some(job.record.id), key: Some(item.id.key), text }
}

/// Whether a multipart message has no closing boundary (RFC 2046, 5.1.1).
async fn is_cut(octets: &Body) -> Result<bool, EndError> {
    let first = octets.piece(0).await?;
    let Some(closing) = body::closing_delimiter(&first) else { return Ok(false) };
    let (mut offset, mut tail): (u64, Vec<u8>) = (0, Vec::new());
    while offset < octets.octets() {
        let piece = octets.piece(offset).await?;
        offset += piece.len() as u64;
        tail.extend_from_slice(&piece);
        if memchr::memmem::find(&tail, &closing).is_some() {
            return Ok(false);
        }
        // The delimiter may lie across two pieces.
        tail.drain(..tail.len().saturating_sub(closing.len()));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Measured;

    fn digest(n: u8) -> Digest {
        Measured::of(&[n]).fingerprint.exact
    }

    #[test]
    fn a_short_message_is_believed_when_two_readings_agree() {
        let mut reading = Reading { exact: 5, ..Reading::default() };
        assert_eq!(reading.judge_short(Key(1), digest(1), 3), Short::Again);
        assert_eq!(reading.judge_short(Key(1), digest(1), 3), Short::Believed);
        assert!(reading.sizes_are_exact());
        assert_eq!(reading.judge_short(Key(2), digest(1), 3), Short::Again);
        assert_eq!(reading.judge_short(Key(2), digest(2), 3), Short::Again);
        assert_eq!(reading.judge_short(Key(2), digest(3), 3), Short::Unsteady);
    }

    #[test]
    fn a_server_whose_sizes_are_all_wrong_is_not_read_twice() {
        let mut reading = Reading::default();
        let asked = (1..=1000).filter(|k| reading.judge_short(Key(*k), digest(1), 3) == Short::Again).count();
        assert_eq!(asked as u64, ASKED_AGAIN_MIN);
        let mut estimates = Reading::of(true);
        assert!((1..=1000).all(|k| estimates.judge_short(Key(k), digest(1), 3) == Short::Believed));
        let mut mostly_exact = Reading { exact: 10_000, ..Reading::default() };
        let asked =
            (1..=1000).filter(|k| mostly_exact.judge_short(Key(*k), digest(1), 3) == Short::Again).count();
        assert_eq!(asked, 1000, "few of many: each is asked for again");
    }
}
