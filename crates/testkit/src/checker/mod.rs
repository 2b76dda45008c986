//! Compares two accounts, message by message.
//!
//! Per mailbox the messages are two multisets: each source message is paired with one target message of the same
//! octets, those with the same flags and date first. What is left over is paired by octets without CR; the rest is
//! missing or extra. Nothing is forgiven that the caller did not allow by name, and an allowance that was not
//! needed is an error too: it no longer tells the truth about the server.

mod pairing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::image::{AccountImage, MailboxPath};

use pairing::compare_messages;

/// Differences shown by [`assert_same`], at most.
const SHOWN_DIFFERENCES: usize = 30;

/// Where source mailboxes are expected at the target. What is not named keeps its path.
#[derive(Clone, Debug, Default)]
pub struct PathMap(BTreeMap<MailboxPath, MailboxPath>);

impl PathMap {
    /// Every mailbox keeps its path.
    #[must_use]
    pub fn same() -> Self {
        Self::default()
    }

    /// This one mailbox (not those below it) goes to `target`.
    #[must_use]
    pub fn with(mut self, source: impl Into<MailboxPath>, target: impl Into<MailboxPath>) -> Self {
        self.0.insert(source.into(), target.into());
        self
    }

    fn target_of(&self, source: &MailboxPath) -> MailboxPath {
        self.0.get(source).unwrap_or(source).clone()
    }
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceKind {
    /// The target lacks a mailbox of the source.
    MailboxMissing,
    /// The target has a mailbox the source lacks.
    MailboxExtra,
    /// The target lacks a message of the source.
    MessageMissing,
    /// The target has a message the source lacks, or once too often.
    MessageExtra,
    /// The octets differ, but not without their CRs.
    OnlyLineEnds,
    /// The same message with other flags.
    Flags,
    /// The same message with another INTERNALDATE.
    Date,
    /// UIDs ascend in another order than at the source.
    Order,
    /// Subscribed at one side only.
    Subscription,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// The mailbox's path: at the source, but for [`DifferenceKind::MailboxExtra`] and what only the target has.
    pub mailbox: MailboxPath,
    /// The message's UID: at the source, or at the target for [`DifferenceKind::MessageExtra`].
    pub uid: Option<u32>,
    /// Both values, for people.
    pub text: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.kind, self.mailbox)?;
        if let Some(uid) = self.uid {
            write!(f, ", UID {uid}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// A difference the caller expects, because a server cannot hold what the other could.
#[derive(Clone, Debug)]
pub struct Allowance {
    kind: DifferenceKind,
    mailbox: Option<MailboxPath>,
    uid: Option<u32>,
    exactly: Option<usize>,
    because: String,
}

impl Allowance {
    /// Differences of this kind, for this reason.
    #[must_use]
    pub fn new(kind: DifferenceKind, because: impl Into<String>) -> Self {
        Self { kind, mailbox: None, uid: None, exactly: None, because: because.into() }
    }

    /// Only in this mailbox.
    #[must_use]
    pub fn in_mailbox(mut self, mailbox: impl Into<MailboxPath>) -> Self {
        self.mailbox = Some(mailbox.into());
        self
    }

    /// Only of the message with this UID.
    #[must_use]
    pub fn of_uid(mut self, uid: u32) -> Self {
        self.uid = Some(uid);
        self
    }

    /// This often, not less and not more often.
    #[must_use]
    pub fn exactly(mut self, count: usize) -> Self {
        self.exactly = Some(count);
        self
    }

    fn covers(&self, difference: &Difference) -> bool {
        self.kind == difference.kind
            && self.mailbox.as_ref().is_none_or(|mailbox| *mailbox == difference.mailbox)
            && self.uid.is_none_or(|uid| difference.uid == Some(uid))
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        if let Some(mailbox) = &self.mailbox {
            write!(f, " in {mailbox}")?;
        }
        if let Some(uid) = self.uid {
            write!(f, ", UID {uid}")?;
        }
        write!(f, " ({})", self.because)
    }
}

/// What a comparison found that was not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Differences no allowance covers, or beyond an allowance's count.
    pub differences: Vec<Difference>,
    /// Allowances that met fewer differences than they say.
    pub unused: Vec<String>,
    /// Messages compared at the source.
    pub messages: usize,
}

impl Verdict {
    /// Nothing was found.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.unused.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: BTreeMap<DifferenceKind, usize> = BTreeMap::new();
        for difference in &self.differences {
            *counts.entry(difference.kind).or_default() += 1;
        }
        write!(f, "{} messages compared", self.messages)?;
        for (kind, count) in &counts {
            write!(f, ", {kind:?} {count}")?;
        }
        for difference in self.differences.iter().take(SHOWN_DIFFERENCES) {
            write!(f, "\n  {difference}")?;
        }
        if self.differences.len() > SHOWN_DIFFERENCES {
            write!(f, "\n  and {} more", self.differences.len() - SHOWN_DIFFERENCES)?;
        }
        for unused in &self.unused {
            write!(f, "\n  allowed, but not met: {unused}")?;
        }
        Ok(())
    }
}

/// All differences between two accounts.
#[must_use]
pub fn compare(source: &AccountImage, target: &AccountImage, map: &PathMap) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut expected = BTreeSet::new();
    for mailbox in &source.mailboxes {
        let path = map.target_of(&mailbox.path);
        match target.mailbox(&path) {
            Some(other) => compare_messages(mailbox, other, &mut found),
            None => found.push(Difference {
                kind: DifferenceKind::MailboxMissing,
                mailbox: mailbox.path.clone(),
                uid: None,
                text: format!("no {path} at the target, {} messages at the source", mailbox.messages.len()),
            }),
        }
        // two source mailboxes mapped onto one would each see the other's messages as extra
        expected.insert(path);
    }
    for mailbox in target.mailboxes.iter().filter(|mailbox| !expected.contains(&mailbox.path)) {
        found.push(Difference {
            kind: DifferenceKind::MailboxExtra,
            mailbox: mailbox.path.clone(),
            uid: None,
            text: format!("{} messages at the target only", mailbox.messages.len()),
        });
    }
    compare_subscriptions(source, target, map, &mut found);
    found
}

fn compare_subscriptions(
    source: &AccountImage,
    target: &AccountImage,
    map: &PathMap,
    found: &mut Vec<Difference>,
) {
    let expected: BTreeMap<MailboxPath, &MailboxPath> =
        source.subscriptions.iter().map(|path| (map.target_of(path), path)).collect();
    let mut differ = |mailbox: &MailboxPath, side: &str| {
        found.push(Difference {
            kind: DifferenceKind::Subscription,
            mailbox: mailbox.clone(),
            uid: None,
            text: format!("subscribed at the {side} only"),
        });
    };
    for (at_target, at_source) in &expected {
        if !target.subscriptions.contains(at_target) {
            differ(at_source, "source");
        }
    }
    for path in target.subscriptions.iter().filter(|path| !expected.contains_key(path)) {
        differ(path, "target");
    }
}

/// Compares, and takes out what the caller allows.
#[must_use]
pub fn judge(source: &AccountImage, target: &AccountImage, map: &PathMap, allowed: &[Allowance]) -> Verdict {
    let mut used = vec![0_usize; allowed.len()];
    let mut differences = compare(source, target, map);
    differences.retain(|difference| {
        let free = |(allowance, used): (&Allowance, &usize)| {
            allowance.covers(difference) && allowance.exactly.is_none_or(|exactly| *used < exactly)
        };
        match allowed.iter().zip(&used).position(free) {
            Some(index) => {
                used[index] += 1;
                false
            }
            None => true,
        }
    });
    let unmet = |(allowance, used): &(&Allowance, &usize)| **used < allowance.exactly.unwrap_or(1);
    let unused = allowed
        .iter()
        .zip(&used)
        .filter(unmet)
        .map(|(allowance, used)| match allowance.exactly {
            Some(exactly) => format!("{allowance}: {used} of {exactly}"),
            None => allowance.to_string(),
        })
        .collect();
    Verdict { differences, unused, messages: source.message_count() }
}

/// Fails the test unless the target holds what the source does, but for what is allowed.
///
/// # Panics
/// With all differences, if there are any.
#[track_caller]
pub fn assert_same(source: &AccountImage, target: &AccountImage, map: &PathMap, allowed: &[Allowance]) {
    let verdict = judge(source, target, map, allowed);
    assert!(verdict.is_same(), "the accounts differ: {verdict}");
}

#[cfg(test)]
mod tests;
