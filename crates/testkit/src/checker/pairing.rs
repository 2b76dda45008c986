//! Pairs the messages of two mailboxes and tells what differs.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::image::{Flags, MailboxImage, MessageImage, Sha, short_hex};

use super::{Difference, DifferenceKind};

/// What makes two messages indistinguishable to the checker.
#[derive(PartialEq, Eq, Hash)]
struct Likeness<'a> {
    sha256: Sha,
    flags: &'a Flags,
    unix_seconds: i64,
}

impl<'a> Likeness<'a> {
    fn of(message: &'a MessageImage) -> Self {
        Self {
            sha256: message.content.sha256,
            flags: &message.flags,
            unix_seconds: message.internal_date.unix_seconds,
        }
    }
}

/// For each source message the index of its target message.
struct Pairing<'a> {
    source: &'a [MessageImage],
    target: &'a [MessageImage],
    mate: Vec<Option<usize>>,
    taken: Vec<bool>,
}

pub(super) fn compare_messages(source: &MailboxImage, target: &MailboxImage, found: &mut Vec<Difference>) {
    let mut pairs = Pairing {
        source: &source.messages,
        target: &target.messages,
        mate: vec![None; source.messages.len()],
        taken: vec![false; target.messages.len()],
    };
    pairs.pair_by(Likeness::of);
    pairs.pair_nearest(|message| message.content.sha256);
    pairs.pair_nearest(|message| message.content.sha256_without_cr);
    for (index, message) in source.messages.iter().enumerate() {
        let differences = match pairs.mate[index] {
            Some(mate) => message_differences(message, &target.messages[mate]),
            None => vec![(DifferenceKind::MessageMissing, describe(message))],
        };
        found.extend(differences.into_iter().map(|(kind, text)| Difference {
            kind,
            mailbox: source.path.clone(),
            uid: Some(message.uid),
            text,
        }));
    }
    let extra = target.messages.iter().zip(&pairs.taken).filter(|(_, taken)| !**taken);
    found.extend(extra.map(|(message, _)| Difference {
        kind: DifferenceKind::MessageExtra,
        mailbox: source.path.clone(),
        uid: Some(message.uid),
        text: describe(message),
    }));
    found.extend(pairs.first_out_of_order().map(|(index, text)| Difference {
        kind: DifferenceKind::Order,
        mailbox: source.path.clone(),
        uid: Some(source.messages[index].uid),
        text,
    }));
}

impl<'a> Pairing<'a> {
    /// Pairs what has the same key, first with first, so that equal messages keep their order.
    fn pair_by<K: Eq + Hash>(&mut self, key: impl Fn(&'a MessageImage) -> K) {
        let mut free = self.free_by(&key);
        for index in 0..self.source.len() {
            let candidates = free.get_mut(&key(&self.source[index])).filter(|_| self.mate[index].is_none());
            if let Some(mate) = candidates.and_then(VecDeque::pop_front) {
                self.mate[index] = Some(mate);
                self.taken[mate] = true;
            }
        }
    }

    /// As [`Self::pair_by`], choosing among the same keys the one that differs in the fewest attributes.
    fn pair_nearest<K: Eq + Hash>(&mut self, key: impl Fn(&'a MessageImage) -> K) {
        let mut free = self.free_by(&key);
        for index in 0..self.source.len() {
            let message = &self.source[index];
            let Some(candidates) = free.get_mut(&key(message)).filter(|_| self.mate[index].is_none()) else {
                continue;
            };
            let distance = |mate: &usize| message_differences(message, &self.target[*mate]).len();
            let nearest = (0..candidates.len()).min_by_key(|place| distance(&candidates[*place]));
            if let Some(mate) = nearest.and_then(|place| candidates.remove(place)) {
                self.mate[index] = Some(mate);
                self.taken[mate] = true;
            }
        }
    }

    fn free_by<K: Eq + Hash>(&self, key: &impl Fn(&'a MessageImage) -> K) -> HashMap<K, VecDeque<usize>> {
        let mut free: HashMap<K, VecDeque<usize>> = HashMap::new();
        for (index, message) in self.target.iter().enumerate().filter(|(index, _)| !self.taken[*index]) {
            free.entry(key(message)).or_default().push_back(index);
        }
        free
    }

    /// The first source message whose mate lies before that of an earlier one.
    fn first_out_of_order(&self) -> Option<(usize, String)> {
        let mut last: Option<(usize, usize)> = None;
        for (index, mate) in self.mate.iter().enumerate().filter_map(|(index, mate)| Some((index, (*mate)?)))
        {
            if let Some((before, mate_before)) = last.filter(|(_, mate_before)| *mate_before > mate) {
                let (uid, uid_before) = (self.target[mate].uid, self.target[mate_before].uid);
                let text = format!(
                    "UID {uid} at the target, but UID {} before it is UID {uid_before} there",
                    self.source[before].uid
                );
                return Some((index, text));
            }
            last = Some((index, mate));
        }
        None
    }
}

fn message_differences(source: &MessageImage, target: &MessageImage) -> Vec<(DifferenceKind, String)> {
    let mut found = Vec::new();
    if source.content != target.content {
        found.push((
            DifferenceKind::OnlyLineEnds,
            format!("{}; at the target {}", describe(source), describe(target)),
        ));
    }
    if source.flags != target.flags {
        found.push((
            DifferenceKind::Flags,
            format!("{}; at the target, UID {}, {}", source.flags, target.uid, target.flags),
        ));
    }
    if source.internal_date != target.internal_date {
        let seconds = target.internal_date.unix_seconds - source.internal_date.unix_seconds;
        found.push((
            DifferenceKind::Date,
            format!(
                "{}; at the target, UID {}, {} ({seconds:+} s)",
                source.internal_date, target.uid, target.internal_date
            ),
        ));
    }
    found
}

fn describe(message: &MessageImage) -> String {
    format!(
        "{} octets, sha256 {}, {}, {}",
        message.content.size_octets,
        short_hex(&message.content.sha256),
        message.flags,
        message.internal_date
    )
}
