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
