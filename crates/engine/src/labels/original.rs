//! Pure: where a message may be copied from, at a target where COPY puts a further label on it (Gmail), so that its octets are
//! sent once.

use super::message_number;
use crate::end::Role;
use crate::journal::{Item, Sent, State};
use crate::message::Flags;
use crate::names;
use crate::survey::SideSurvey;
use crate::transfer::job::Job;
use bytes::Bytes;
use std::collections::BTreeSet;

/// The target mailboxes in which a message lies alone, by their keys ([`names::key`]): Spam and Trash. To put it there takes it out
/// of the others, and to copy it from there brings it back with what it was then (rgladwell/imap-upload#22).
#[derive(Clone, Debug, Default)]
pub struct Apart(BTreeSet<Bytes>);

impl Apart {
    /// As the target says.
    pub fn of(target: &SideSurvey) -> Self {
        let lies_alone =
            target.mailboxes.iter().map(|mailbox| &mailbox.info).filter(|info| is_alone(info.role));
        Self(lies_alone.map(|info| names::key(&info.wire, info.delimiter)).collect())
    }

    /// True for a mailbox whose messages are shared with others, at both sides: whatever a person's rules say of where it goes.
    pub fn shares(&self, job: &Job) -> bool {
        let Job { record, target, .. } = job;
        !is_alone(record.role.as_deref().and_then(Role::parse))
            && !self.0.contains(&names::key(&target.wire, target.delimiter))
    }
}

fn is_alone(role: Option<Role>) -> bool {
    matches!(role, Some(Role::Junk | Role::Trash))
}

/// True for a message that this migration put where it is known to lie, as far as the journal knows.
pub fn is_ours(item: &Item) -> bool {
    matches!(item.state, State::Stored | State::Verified) && item.place.is_some() && item.sent.is_some()
}

/// Whether a listed message of one mailbox may be made by a COPY from where another one lies: the same message of the source
/// (X-GM-MSGID, and neither size nor date speak against it), which we put there ourselves, into another mailbox, under the
/// UIDVALIDITY that its UID is of; neither of the two lies `apart`.
pub fn may_be_copied_from(apart: &Apart, (to, wanted): (&Job, &Item), (from, there): (&Job, &Item)) -> bool {
    let number = |item: &Item| message_number(item.lineage.as_deref());
    let instant = |item: &Item| item.internal_date.as_ref().and_then(|date| date.instant());
    let is_same = number(wanted).is_some()
        && number(wanted) == number(there)
        && wanted.octets == there.octets
        && instant(wanted) == instant(there);
    is_same
        && wanted.state == State::Listed
        && is_ours(there)
        && there.place.is_some_and(|place| place.epoch == from.target_epoch.id)
        && from.target.wire != to.target.wire
        && [from, to].into_iter().all(|job| apart.shares(job))
}

/// What a COPY of a message carries, for the journal: what was sent with the original; but the flags that it has at the target
/// `now`, if they are not those of its first read-back. Somebody changed them there, and a message is the same one under each of
/// its labels. `None` for one that is marked `\\Deleted`: it is on its way out.
pub fn carried(there: &Item, now: &Flags) -> Option<Sent> {
    let sent = Sent::clone(there.sent.as_ref()?);
    let is_changed = there.read_back.as_ref().is_some_and(|read| read.flags != *now);
    let flags = if is_changed { now.clone() } else { sent.flags };
    (now.without_deleted() == *now).then_some(Sent { flags, ..sent })
}

#[cfg(test)]
pub(crate) mod testing {
    use super::{Job, Role};
    use crate::journal::{
        Baseline, Decision, Epoch, EpochFacts, EpochId, Existing, Ladder, MailboxId, MailboxRecord, Name,
        Sent, Side,
    };
    use crate::message::{Digest, Fingerprint, Flags, Key, UidValidity};

    /// Something that was sent.
    pub(crate) fn sent() -> Sent {
        let print = Fingerprint { octets: 1, exact: Digest([1; 32]), normal: Digest([1; 32]) };
        let (flags, ladder) = (Flags::from_octets("\\Seen"), Ladder::default());
        Sent { fetched: print, sent: print, flags, internal_date: None, ladder }
    }

    /// A mailbox of this number and name, whose target of the same name has the UIDVALIDITY 7 and the epoch 10 + `id`.
    pub(crate) fn job(id: i64, name: &str, role: Option<Role>) -> Job {
        let name = Name { wire: name.to_owned().into(), text: name.into(), delimiter: Some('/') };
        let record = MailboxRecord {
            id: MailboxId(id),
            source: name.clone(),
            role: role.map(|role| role.as_str().to_owned()),
            subscribed: false,
            messages: None,
            octets: None,
            decision: Decision::Move(name.clone()),
        };
        let facts = EpochFacts {
            uid_validity: UidValidity(7),
            uid_next: None,
            exists: 0,
            highest_mod_seq: None,
            mailbox_id: None,
        };
        let epoch = EpochId(10 + id);
        let target_epoch = Epoch { id: epoch, mailbox: record.id, side: Side::Target, facts };
        let baseline = Baseline { epoch, uid_next: Key(1), existing: Existing::New, matched: true };
        Job::new(record, name, baseline, target_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{job, sent};
    use super::*;
    use crate::journal::{EpochId, ItemId, MailboxId, Place, ReadBack};
    use crate::labels::LINEAGE;
    use crate::message::{Flags, InternalDate, Key};
    use crate::survey_testing::Side;

    fn date(text: &'static str) -> Option<InternalDate> {
        Some(InternalDate::from_octets(text))
    }

    /// The message 7 as the mailbox 1 lists it, and as the mailbox 2 stored it.
    fn both() -> (Item, Item) {
        let of = |mailbox, key| ItemId { mailbox: MailboxId(mailbox), epoch: EpochId(1), key: Key(key) };
        let wanted = Item {
            lineage: Some(format!("{LINEAGE}7")),
            internal_date: date("03-Mar-2020 10:11:12 +0000"),
            ..Item::listed(of(1, 5), 100)
        };
        let place = Some(Place { epoch: EpochId(12), uid: Key(3) });
        let there = Item {
            id: of(2, 9),
            state: State::Verified,
            place,
            sent: Some(Box::new(sent())),
            ..wanted.clone()
        };
        (wanted, there)
    }

    fn may(change: impl FnOnce(&mut Item, &mut Item)) -> bool {
        let (mut wanted, mut there) = both();
        change(&mut wanted, &mut there);
        let (work, inbox) = (job(1, "Work", None), job(2, "INBOX", None));
        may_be_copied_from(&Apart::default(), (&work, &wanted), (&inbox, &there))
    }

    #[test]
    fn the_same_message_is_copied_from_where_we_put_it() {
        assert!(may(|_, _| {}));
        assert!(
            may(|_, there| there.state = State::Stored),
            "acknowledged is enough: each copy is read back"
        );
        let other_zone = date("03-Mar-2020 11:11:12 +0100");
        assert!(may(|_, there| there.internal_date = other_zone), "the same moment");
    }

    #[test]
    fn another_message_or_one_that_is_not_known_to_be_the_same_is_not_copied() {
        assert!(!may(|wanted, _| wanted.lineage = Some(format!("{LINEAGE}8"))));
        assert!(!may(|wanted, there| (wanted.lineage, there.lineage) = (None, None)));
        let other = |lineage: &str| Some(lineage.to_owned());
        assert!(!may(|wanted, there| {
            (wanted.lineage, there.lineage) = (other("emailid:7"), other("emailid:7"));
        }));
        assert!(!may(|wanted, _| wanted.octets = 101));
        assert!(!may(|wanted, _| wanted.internal_date = date("03-Mar-2020 10:11:13 +0000")));
        assert!(!may(|wanted, _| wanted.internal_date = None));
    }

    #[test]
    fn nothing_is_copied_that_is_not_ours_or_not_known_to_be_where_it_was_put() {
        for state in State::ALL {
            let ours = matches!(state, State::Stored | State::Verified);
            assert_eq!(may(|_, there| there.state = state), ours, "from {state:?}");
            assert_eq!(may(|wanted, _| wanted.state = state), state == State::Listed, "what is {state:?}");
        }
        assert!(!may(|_, there| there.place = None));
        assert!(
            !may(|_, there| there.place = Some(Place { epoch: EpochId(99), uid: Key(3) })),
            "another epoch"
        );
        assert!(!may(|_, there| there.sent = None));
    }

    #[test]
    fn spam_and_trash_share_no_message_and_a_mailbox_is_not_copied_into_itself() {
        let (wanted, there) = both();
        let target = Side::new("", Some('/')).mailbox("[Gmail]/Trash").role(Role::Trash);
        let apart = Apart::of(&target.survey());
        let may = |to: &Job, from: &Job| may_be_copied_from(&apart, (to, &wanted), (from, &there));
        let (work, inbox) = (job(1, "Work", None), job(2, "INBOX", None));
        for role in [Role::Junk, Role::Trash] {
            assert!(!may(&work, &job(2, "INBOX", Some(role))));
            assert!(!may(&job(1, "Work", Some(role)), &inbox));
        }
        for role in [Role::All, Role::Sent, Role::Drafts] {
            assert!(may(&work, &job(2, "INBOX", Some(role))), "{role:?}");
        }
        assert!(!may(&job(1, "INBOX", None), &inbox));
        assert!(!may(&job(1, "[Gmail]/Trash", None), &inbox), "a person's rule sends another mailbox there");
        assert!(!may(&work, &job(2, "[Gmail]/Trash", None)));
    }

    #[test]
    fn a_copy_carries_the_flags_that_somebody_gave_the_original_meanwhile() {
        let flags = |text: &'static str| Flags::from_octets(text);
        let read =
            |flags| ReadBack { fingerprint: None, octets: 1, flags, internal_date: None, mod_seq: None };
        let (_, unread) = both();
        let there = Item { read_back: Some(Box::new(read(flags("\\Seen $Kept")))), ..unread.clone() };
        let of = |there: &Item, now| carried(there, &flags(now)).map(|sent| sent.flags);
        assert_eq!(
            of(&there, "$kept \\Seen"),
            Some(flags("\\Seen")),
            "as sent: what the server made of it is said of it"
        );
        assert_eq!(of(&there, "\\Answered"), Some(flags("\\Answered")));
        assert_eq!(of(&unread, "\\Answered"), Some(flags("\\Seen")), "nobody knows what it was");
        assert_eq!(of(&there, "\\Seen $Kept \\Deleted"), None);
    }
}
