//! Mail under labels, message by message: what became of each number (X-GM-MSGID), in however many mailboxes it was listed.
//! A message counts as brought where one of them is; one that was left out everywhere because another mailbox would bring
//! it, and that none brought, is what this count is for.

use super::totals::Bucket;
use crate::journal::Item;
use crate::labels::{ELSEWHERE, message_number};
use serde::Serialize;
use std::collections::HashMap;

/// What became of the messages of an account with labels. The parts are the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LabelledMail {
    /// Messages by their numbers, each once.
    pub messages: u64,
    /// On the new server, in one mailbox at least.
    pub there: u64,
    /// An exception wherever they were to go.
    pub exceptions: u64,
    /// Not done yet.
    pub pending: u64,
    /// Left out by a rule of the person, wherever they lie.
    pub left_out: u64,
    /// Removed at the old server before the copy, or from the new one after it.
    pub gone: u64,
    /// Left to another mailbox by each that shows them.
    pub unbrought: u64,
}

/// The best that became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// A row of a listing of former days.
    Stale,
    GoneAtSource,
    /// Worse than gone from another mailbox: it is shown here.
    Unbrought,
    LeftOut,
    GoneAtTarget,
    Pending,
    Exception,
    There,
}

/// Counts while the journal is walked; some 20 octets a message.
#[derive(Debug, Default)]
pub(super) struct Numbers(HashMap<u64, Fate>);

impl Numbers {
    /// `is_shown`: by the latest listing of its mailbox; `None` if that cannot tell.
    pub(super) fn add(&mut self, item: &Item, bucket: &Bucket, is_shown: Option<bool>) {
        let Some(number) = message_number(item.lineage.as_deref()) else { return };
        let fate = match bucket {
            Bucket::Excluded(_) if is_shown == Some(false) => Fate::Stale,
            Bucket::Excluded(rule) if rule == ELSEWHERE => Fate::Unbrought,
            Bucket::Excluded(_) => Fate::LeftOut,
            Bucket::Exception(_) => Fate::Exception,
            Bucket::GoneAtSource => Fate::GoneAtSource,
            Bucket::GoneAtTarget => Fate::GoneAtTarget,
            Bucket::Pending(_) => Fate::Pending,
            _ => Fate::There,
        };
        self.0.entry(number).and_modify(|known| *known = (*known).max(fate)).or_insert(fate);
    }

    /// The counts; `None` where no message has a number.
    pub(super) fn finish(self) -> Option<LabelledMail> {
        let mut mail = LabelledMail::default();
        for fate in self.0.into_values() {
            mail.messages += 1;
            match fate {
                Fate::Stale | Fate::GoneAtSource | Fate::GoneAtTarget => mail.gone += 1,
                Fate::Unbrought => mail.unbrought += 1,
                Fate::LeftOut => mail.left_out += 1,
                Fate::Pending => mail.pending += 1,
                Fate::Exception => mail.exceptions += 1,
                Fate::There => mail.there += 1,
            }
        }
        (mail.messages > 0).then_some(mail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Grade;
    use crate::journal::{EpochId, ItemId, MailboxId, State};
    use crate::labels::LINEAGE;
    use crate::message::Key;

    fn counted(rows: &[(Bucket, Option<bool>)]) -> LabelledMail {
        let id = ItemId { mailbox: MailboxId(1), epoch: EpochId(1), key: Key(1) };
        let item = Item { lineage: Some(format!("{LINEAGE}7")), ..Item::listed(id, 1) };
        let mut numbers = Numbers::default();
        rows.iter().for_each(|(bucket, is_shown)| numbers.add(&item, bucket, *is_shown));
        numbers.finish().unwrap()
    }

    #[test]
    fn a_message_counts_once_by_the_best_that_became_of_it() {
        let verified = || (Bucket::Verified(Grade::Exact), Some(true));
        let elsewhere = |is_shown| (Bucket::Excluded(ELSEWHERE.to_owned()), is_shown);
        let ruled = || (Bucket::Excluded("exclude:x".to_owned()), Some(true));
        let of = |set: fn(&mut LabelledMail)| {
            let mut mail = LabelledMail { messages: 1, ..LabelledMail::default() };
            set(&mut mail);
            mail
        };
        let there = of(|m| m.there = 1);
        assert_eq!(counted(&[elsewhere(Some(true)), verified(), verified()]), there);
        assert_eq!(counted(&[verified(), (Bucket::Exception("x".into()), None)]), there);
        assert_eq!(counted(&[elsewhere(Some(true))]), of(|m| m.unbrought = 1));
        assert_eq!(counted(&[elsewhere(None), (Bucket::GoneAtSource, None)]), of(|m| m.unbrought = 1));
        assert_eq!(counted(&[elsewhere(Some(true)), (Bucket::GoneAtTarget, None)]), of(|m| m.gone = 1));
        assert_eq!(counted(&[elsewhere(Some(false)), (Bucket::GoneAtSource, None)]), of(|m| m.gone = 1));
        assert_eq!(counted(&[ruled(), elsewhere(Some(true))]), of(|m| m.left_out = 1));
        let pending = (Bucket::Pending(State::Listed), Some(true));
        assert_eq!(counted(&[elsewhere(Some(true)), pending]), of(|m| m.pending = 1));
    }

    #[test]
    fn an_account_without_numbers_has_no_such_count() {
        assert_eq!(Numbers::default().finish(), None);
    }
}
