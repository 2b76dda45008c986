//! One mailbox that is listed under two names: as `Sent` and `INBOX.Sent`, say, or below two prefixes. It is recognised by its
//! MAILBOXID (RFC 8474); where that is not told, by two names of which one ends in the other, equal UIDVALIDITY, UIDNEXT and
//! number of messages, and a listing that is equal in every UID, size and date.

use super::{Passing, SideSurvey, or_trouble};
use crate::end::{Listed, MailboxInfo, SourceSession, Space};
use crate::error::EndError;
use crate::message::{Key, UidValidity};
use crate::names;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

/// Pieces of a listing on their way.
const PIECES_QUEUED: usize = 16;

/// What tells one mailbox from another.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    /// MAILBOXID.
    Id(String),
    /// A digest of the listing.
    Listing([u8; 32]),
}

/// Marks every mailbox of which another name comes first: own before others', then the shorter, then in the order of the survey.
/// Empty mailboxes are not looked at.
pub(super) async fn find<S: SourceSession>(session: &mut S, side: &mut SideSurvey) -> Result<(), EndError> {
    let tells_ids = side.abilities.announced.iter().any(|name| name.eq_ignore_ascii_case("OBJECTID"));
    for group in alike(side) {
        let mut marks: Vec<(usize, Mark)> = Vec::new();
        for i in group.iter().copied() {
            let related = group.iter().any(|j| *j != i && one_ends_in_other(side, i, *j));
            if !tells_ids && !related {
                continue;
            }
            let mailbox = side.mailboxes[i].info.clone();
            let Some(mark) = mark(session, &mailbox, tells_ids, related).await? else { continue };
            let is_same = |(j, other): &&(usize, Mark)| {
                *other == mark && (matches!(mark, Mark::Id(_)) || one_ends_in_other(side, i, *j))
            };
            match marks.iter().find(is_same) {
                Some((first, _)) => side.mailboxes[i].same_as = Some(*first),
                None => marks.push((i, mark)),
            }
        }
    }
    Ok(())
}

/// Mailboxes that may be one, by what was counted; the one to keep first.
fn alike(side: &SideSurvey) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<(UidValidity, Key, u64), Vec<usize>> = BTreeMap::new();
    for (i, mailbox) in side.mailboxes.iter().enumerate() {
        let info = &mailbox.info;
        let Some(counts) = info.counts.filter(|counts| info.selectable && counts.messages > 0) else {
            continue;
        };
        if let (Some(validity), Some(next)) = (counts.uid_validity, counts.uid_next) {
            groups.entry((validity, next, counts.messages)).or_default().push(i);
        }
    }
    let rank = |i: &usize| {
        let info = &side.mailboxes[*i].info;
        (info.space != Space::Personal, levels(side, *i).len(), *i)
    };
    let mut groups: Vec<Vec<usize>> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.iter_mut().for_each(|group| group.sort_by_key(rank));
    groups
}

fn levels(side: &SideSurvey, index: usize) -> Vec<&[u8]> {
    let info = &side.mailboxes[index].info;
    names::split(&info.wire, info.delimiter)
}

fn one_ends_in_other(side: &SideSurvey, a: usize, b: usize) -> bool {
    let (a, b) = (levels(side, a), levels(side, b));
    a.ends_with(&b) || b.ends_with(&a)
}

/// None where it does not tell, and for a listing that is short: it says nothing (law 7).
async fn mark<S: SourceSession>(
    session: &mut S,
    mailbox: &MailboxInfo,
    tells_ids: bool,
    related: bool,
) -> Result<Option<Mark>, EndError> {
    if tells_ids {
        let Ok(opened) = or_trouble(session.open(&mailbox.wire).await, Passing::IsTrouble)? else {
            return Ok(None);
        };
        if let Some(id) = opened.facts.mailbox_id {
            return Ok(Some(Mark::Id(id)));
        }
    }
    if !related {
        return Ok(None);
    }
    let (opened, _) = oneshot::channel();
    let (out, mut pieces) = mpsc::channel::<Vec<Listed>>(PIECES_QUEUED);
    let digest = async move {
        let mut digest = Sha256::new();
        while let Some(piece) = pieces.recv().await {
            for Listed { key, octets, internal_date, .. } in piece {
                digest.update(format!("{key:?} {octets} {internal_date:?}\n"));
            }
        }
        digest.finalize()
    };
    let (listed, digest) = tokio::join!(session.list(&mailbox.wire, opened, out), digest);
    let complete =
        or_trouble(listed, Passing::IsTrouble)?.ok() == mailbox.counts.map(|counts| counts.messages);
    Ok(complete.then(|| Mark::Listing(digest.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::end::Source as _;
    use crate::memory_end::{MemoryMail, MemorySource};
    use crate::survey::survey_source;

    const DATE: &str = "01-Jan-2020 00:00:00 +0000";

    /// The names that come second, with those that they repeat.
    async fn twins(mail: &MemoryMail) -> Vec<(String, String)> {
        let mut session = MemorySource(mail.clone()).connect().await.unwrap();
        let side = survey_source(&mut session, Passing::Fails).await.unwrap();
        let text = |i: usize| side.mailboxes[i].info.text.clone();
        let same = |i: usize| Some((text(i), text(side.mailboxes[i].same_as?)));
        (0..side.mailboxes.len()).filter_map(same).collect()
    }

    fn account() -> MemoryMail {
        let mail = MemoryMail::new();
        for name in ["Sent", "Other"] {
            mail.create(name);
        }
        for n in 0..3 {
            mail.deliver("Sent", format!("Subject: {n}\r\n\r\n"), "", DATE);
        }
        mail
    }

    #[tokio::test]
    async fn one_mailbox_under_two_names_is_seen_and_the_shorter_name_is_kept() {
        let mail = account();
        let sent = mail.snapshot()[&b"Sent"[..]].clone();
        mail.replace("INBOX/Sent", sent.clone());
        assert_eq!(twins(&mail).await, [("INBOX/Sent".to_owned(), "Sent".to_owned())]);
        // Another name altogether is a copy, not a second path.
        mail.replace("Other", sent);
        assert_eq!(twins(&mail).await, [("INBOX/Sent".to_owned(), "Sent".to_owned())]);
    }

    #[tokio::test]
    async fn equal_numbers_with_other_messages_are_two_mailboxes() {
        let mail = account();
        let mut sent = mail.snapshot()[&b"Sent"[..]].clone();
        if let Some(last) = sent.messages.values_mut().last() {
            last.octets = "Subject: of another length\r\n\r\n".into();
        }
        mail.replace("INBOX/Sent", sent);
        assert_eq!(twins(&mail).await, []);
    }

    #[tokio::test]
    async fn a_short_listing_proves_nothing() {
        let mail = account();
        let sent = mail.snapshot()[&b"Sent"[..]].clone();
        mail.replace("INBOX/Sent", sent);
        let mut session = MemorySource(mail.clone()).connect().await.unwrap();
        let mut side = survey_source(&mut session, Passing::Fails).await.unwrap();
        for mailbox in &mut side.mailboxes {
            mailbox.same_as = None;
            // One more than will be listed.
            mailbox.info.counts.iter_mut().for_each(|counts| counts.messages += 1);
        }
        find(&mut session, &mut side).await.unwrap();
        assert!(side.mailboxes.iter().all(|mailbox| mailbox.same_as.is_none()));
    }

    /// An account that tells MAILBOXID, with the same mail in INBOX/Sent and in Work as in Sent.
    fn with_ids(id: fn(&[u8]) -> &'static str) -> MemoryMail {
        let mail = account();
        let sent = mail.snapshot()[&b"Sent"[..]].clone();
        for name in ["INBOX/Sent", "Work"] {
            mail.replace(name, sent.clone());
        }
        mail.set(|knobs| knobs.mailbox_id = Some(id));
        mail
    }

    #[tokio::test]
    async fn one_id_is_one_mailbox_under_whatever_names() {
        let mail = with_ids(|name| if name == b"Other" { "b" } else { "a" });
        let expected = [("INBOX/Sent", "Sent"), ("Work", "Sent")];
        assert_eq!(twins(&mail).await, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[tokio::test]
    async fn other_ids_are_other_mailboxes_however_equal_their_mail_and_names_are() {
        let mail = with_ids(|name| match name {
            b"Sent" => "a",
            b"INBOX/Sent" => "b",
            b"Work" => "c",
            _ => "d",
        });
        assert_eq!(twins(&mail).await, []);
    }
}
