//! Pure: checks what APPENDUID says before it is believed (integrity.md 6.3).

use super::job::Job;
use crate::end::NewUids;
use crate::message::{Key, UidValidity};
use std::collections::BTreeSet;

/// What is left of an APPENDUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// A UID for each message; `Err` for one that cannot be new: the server may have merged equal messages.
    Places(Vec<Result<Key, Key>>),
    /// The number of UIDs is not the number of messages: stored, UIDs unknown.
    Unknown,
    /// Another UIDVALIDITY than the mailbox had: a new epoch.
    OtherEpoch(UidValidity),
}

/// Checks the UIDs named for `messages` messages of a batch whose COMMIT saw `uid_next`.
pub fn check(job: &Job, uid_next: Key, messages: usize, uids: &NewUids) -> Checked {
    if uids.uid_validity != job.target_epoch.facts.uid_validity {
        return Checked::OtherEpoch(uids.uid_validity);
    }
    if uids.uids.len() != messages {
        return Checked::Unknown;
    }
    let first_new = job.baseline_start();
    let mut named = BTreeSet::new();
    // Below UIDNEXT and above the baseline, unclaimed: UIDNEXT lied, the claim is plain. The journal refuses a
    // UID that is claimed.
    let is_new = |uid: &Key| *uid >= uid_next || *uid >= first_new;
    let place = |uid: &Key| if is_new(uid) && named.insert(*uid) { Ok(*uid) } else { Err(*uid) };
    Checked::Places(uids.uids.iter().map(place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{
        Baseline, Decision, Epoch, EpochFacts, EpochId, Existing, MailboxId, MailboxRecord, Name, Side,
    };

    /// A mailbox of UIDVALIDITY 7 whose baseline, in the epoch `baseline`, is UID 10.
    fn job(baseline: EpochId) -> Job {
        let name = Name { wire: "INBOX".into(), text: "INBOX".into(), delimiter: Some('/') };
        let record = MailboxRecord {
            id: MailboxId(1),
            source: name.clone(),
            role: None,
            subscribed: false,
            messages: None,
            octets: None,
            decision: Decision::Move(name.clone()),
        };
        let facts = EpochFacts {
            uid_validity: UidValidity(7),
            uid_next: Some(Key(10)),
            exists: 0,
            highest_mod_seq: None,
            mailbox_id: None,
        };
        let target_epoch = Epoch { id: EpochId(2), mailbox: record.id, side: Side::Target, facts };
        let existing = Existing::AppendAnyway;
        let baseline = Baseline { epoch: baseline, uid_next: Key(10), existing, matched: true };
        Job { uid_next: Key(20), ..Job::new(record, name, baseline, target_epoch) }
    }

    /// What is left of the UIDs named for messages whose COMMIT saw UID 20 as the next one.
    fn named(uids: &[i64], messages: usize) -> Checked {
        let uids = uids.iter().map(|uid| Key(*uid)).collect();
        check(&job(EpochId(2)), Key(20), messages, &NewUids { uid_validity: UidValidity(7), uids })
    }

    fn places(of: &[Result<i64, i64>]) -> Checked {
        Checked::Places(of.iter().map(|p| p.map(Key).map_err(Key)).collect())
    }

    #[test]
    fn one_new_uid_for_each_message_is_believed_in_its_order() {
        assert_eq!(named(&[20, 21, 22], 3), places(&[Ok(20), Ok(21), Ok(22)]));
        assert_eq!(named(&[31, 25, 90], 3), places(&[Ok(31), Ok(25), Ok(90)]));
    }

    #[test]
    fn a_number_of_uids_that_is_not_that_of_the_messages_tells_no_uid() {
        for (uids, messages) in [(&[20][..], 2), (&[20, 21, 22], 2), (&[], 1)] {
            assert_eq!(named(uids, messages), Checked::Unknown, "{uids:?} for {messages}");
        }
    }

    #[test]
    fn another_uidvalidity_is_a_new_epoch_whatever_the_number_of_uids() {
        for uids in [vec![Key(20)], vec![], vec![Key(1), Key(2)]] {
            let uids = NewUids { uid_validity: UidValidity(8), uids };
            let checked = check(&job(EpochId(2)), Key(20), 1, &uids);
            assert_eq!(checked, Checked::OtherEpoch(UidValidity(8)));
        }
    }

    #[test]
    fn a_uid_from_before_the_baseline_cannot_be_new_and_one_above_it_means_that_uidnext_lied() {
        assert_eq!(named(&[9, 10, 19], 3), places(&[Err(9), Ok(10), Ok(19)]));
        // A baseline of another epoch says nothing of this one's numbers.
        let uids = NewUids { uid_validity: UidValidity(7), uids: vec![Key(1)] };
        assert_eq!(check(&job(EpochId(1)), Key(20), 1, &uids), places(&[Ok(1)]));
    }

    #[test]
    fn one_uid_named_for_two_messages_is_the_first_ones() {
        assert_eq!(named(&[20, 20, 21], 3), places(&[Ok(20), Err(20), Ok(21)]));
        assert_eq!(named(&[9, 9], 2), places(&[Err(9), Err(9)]));
    }
}
