//! What the checker found in a copy, and whether the run counts.

use mailhaul_testkit::checker::{Difference, DifferenceKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What can be wrong with a copy. The first four are never forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Mailboxes the target lacks.
    MailboxesMissing,
    /// Mailboxes only the target has.
    MailboxesExtra,
    /// Messages the target lacks.
    MessagesMissing,
    /// Messages only the target has, or has once too often.
    MessagesExtra,
    /// Messages with other octets: one is missing and another extra in the same mailbox.
    OctetsChanged,
    /// Messages whose octets differ in CRs only.
    LineEnds,
    /// Messages with other flags.
    Flags,
    /// Messages with another INTERNALDATE.
    Dates,
    /// Mailboxes with their messages in another order.
    Order,
    /// Mailboxes subscribed at one side only.
    Subscriptions,
}

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Self::MailboxesMissing => "mailboxes missing",
            Self::MailboxesExtra => "mailboxes extra",
            Self::MessagesMissing => "messages missing",
            Self::MessagesExtra => "messages extra",
            Self::OctetsChanged => "octets changed",
            Self::LineEnds => "line ends changed",
            Self::Flags => "flags differ",
            Self::Dates => "dates differ",
            Self::Order => "order differs",
            Self::Subscriptions => "subscriptions differ",
        }
    }
}

/// How often each fault was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding(BTreeMap<Fault, usize>);

impl Finding {
    /// Sums up the checker's differences.
    #[must_use]
    pub fn of(differences: &[Difference]) -> Self {
        let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
        let mut missing_and_extra: BTreeMap<_, (usize, usize)> = BTreeMap::new();
        for difference in differences {
            let fault = match difference.kind {
                DifferenceKind::MessageMissing => {
                    missing_and_extra.entry(&difference.mailbox).or_default().0 += 1;
                    continue;
                }
                DifferenceKind::MessageExtra => {
                    missing_and_extra.entry(&difference.mailbox).or_default().1 += 1;
                    continue;
                }
                DifferenceKind::MailboxMissing => Fault::MailboxesMissing,
                DifferenceKind::MailboxExtra => Fault::MailboxesExtra,
                DifferenceKind::OnlyLineEnds => Fault::LineEnds,
                DifferenceKind::Flags => Fault::Flags,
                DifferenceKind::Date => Fault::Dates,
                DifferenceKind::Order => Fault::Order,
                DifferenceKind::Subscription => Fault::Subscriptions,
            };
            *counts.entry(fault).or_default() += 1;
        }
        for (missing, extra) in missing_and_extra.into_values() {
            let changed = missing.min(extra);
            for (fault, count) in [
                (Fault::OctetsChanged, changed),
                (Fault::MessagesMissing, missing - changed),
                (Fault::MessagesExtra, extra - changed),
            ] {
                *counts.entry(fault).or_default() += count;
            }
        }
        counts.retain(|_, count| *count > 0);
        Self(counts)
    }

    /// A run counts if nothing is wrong but what its tool is known never to do right.
    #[must_use]
    pub fn counts(&self, known: &BTreeSet<Fault>) -> bool {
        self.0.keys().all(|fault| *fault > Fault::MessagesExtra && known.contains(fault))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("identical");
        }
        let words: Vec<String> =
            self.0.iter().map(|(fault, count)| format!("{} {count}", fault.words())).collect();
        f.write_str(&words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(kind: DifferenceKind, mailbox: &str) -> Difference {
        Difference { kind, mailbox: mailbox.into(), uid: None, text: String::new() }
    }

    #[test]
    fn a_changed_message_is_not_told_as_one_lost_and_one_too_many() {
        use DifferenceKind::{MessageExtra, MessageMissing};
        let found = Finding::of(&[
            difference(MessageMissing, "a"),
            difference(MessageMissing, "a"),
            difference(MessageExtra, "a"),
            difference(MessageExtra, "b"),
        ]);
        assert_eq!(found.to_string(), "messages missing 1, messages extra 1, octets changed 1");
    }

    #[test]
    fn a_run_counts_only_without_faults_or_with_those_its_tool_is_known_for() {
        let known = BTreeSet::from([Fault::Subscriptions]);
        let subscriptions = Finding::of(&[difference(DifferenceKind::Subscription, "a")]);
        assert!(Finding::default().counts(&BTreeSet::new()));
        assert!(subscriptions.counts(&known) && !subscriptions.counts(&BTreeSet::new()));
        assert!(!Finding::of(&[difference(DifferenceKind::Flags, "a")]).counts(&known));
    }

    #[test]
    fn a_lost_message_is_forgiven_to_nobody() {
        let all = BTreeSet::from([Fault::MessagesMissing, Fault::MessagesExtra, Fault::MailboxesMissing]);
        for kind in
            [DifferenceKind::MessageMissing, DifferenceKind::MessageExtra, DifferenceKind::MailboxMissing]
        {
            assert!(!Finding::of(&[difference(kind, "a")]).counts(&all));
        }
    }
}
