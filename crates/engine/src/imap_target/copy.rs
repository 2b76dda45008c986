//! COPY by UID from the mailbox that is open: pipelined, each message by a command of its own.

use super::ITEMS_QUEUED;
use crate::end::{NewUids, Verdict};
use crate::imap_session::{Item, Link};
use crate::imap_source::{key, uid_set};
use crate::message::{Key, UidValidity};
use crate::quirks;
use bytes::Bytes;
use mailhaul_imap::{Command, ResponseCode, Status, StatusText};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// One verdict for each message, in order; and the longest time between two answers.
pub(super) async fn copy(link: &mut Link, uids: &[Key], to: &Bytes) -> (Vec<Verdict>, Duration) {
    let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
    let limit = link.limits().append_answer;
    let mut waiting = Vec::with_capacity(uids.len());
    for uid in uids {
        let command = Command::uid_copy(&uid_set([*uid]), to);
        waiting.push((link.send(command, "UID COPY", limit, sink.clone()), *uid));
    }
    drop(sink);
    let asked: HashMap<u64, Key> = waiting.iter().copied().collect();
    let (mut words, mut told) = ("the connection is gone".to_owned(), HashMap::new());
    let mut untold = waiting.len();
    let (began, mut answered) = (Instant::now(), Vec::new());
    while untold > 0
        && let Some(item) = items.recv().await
    {
        match item {
            Item::Done { id, status, text } => {
                answered.push(Instant::now());
                told.extend(asked.get(&id).map(|uid| (id, answer(*uid, status, &text))));
            }
            Item::Unsent { id, why } => _ = told.insert(id, Verdict::Unsent(why.to_string())),
            Item::Lost(error) => words = error.to_string(),
            Item::Data(data) => {
                link.count(&data);
                continue;
            }
            _ => continue,
        }
        untold -= 1;
    }
    let verdict = |(id, _)| told.remove(&id).unwrap_or_else(|| Verdict::Lost(words.clone()));
    (waiting.into_iter().map(verdict).collect(), longest_gap(began, &answered))
}

/// Pure: the longest time that one answer took. Commands that go out at once are worked on one after the other: what all took is no
/// measure of one.
fn longest_gap(began: Instant, answered: &[Instant]) -> Duration {
    let before = std::iter::once(&began).chain(answered);
    answered.iter().zip(before).map(|(at, before)| at.duration_since(*before)).max().unwrap_or_default()
}

/// Pure: what the answer to the COPY of one message says. A COPYUID that is not about that message names no UID.
fn answer(uid: Key, status: Status, text: &StatusText) -> Verdict {
    match (status, &text.code) {
        (Status::Ok, Some(ResponseCode::CopyUid { uid_validity, from, to })) => {
            let one = |uids: &mailhaul_imap::UidSequence| uids.expand(1)?.pop().map(key);
            let named = one(to).filter(|_| one(from) == Some(uid));
            Verdict::Stored(
                named.map(|to| NewUids { uid_validity: UidValidity(uid_validity.get()), uids: vec![to] }),
            )
        }
        (Status::Ok, _) => Verdict::Stored(None),
        _ => Verdict::Refused(quirks::refusal(status, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_commands_that_go_out_at_once_take_as_long_as_the_slowest_of_them() {
        let (began, ms) = (Instant::now(), Duration::from_millis);
        let at = |times: &[u64]| times.iter().map(|t| began + ms(*t)).collect::<Vec<_>>();
        let hundred: Vec<u64> = (1..=100).map(|n| n * 30).collect();
        assert_eq!(longest_gap(began, &at(&hundred)), ms(30), "not 3 s");
        assert_eq!(longest_gap(began, &at(&[40, 50, 120, 121])), ms(70));
        assert_eq!(longest_gap(began, &at(&[90, 90, 91])), ms(90), "the first one, too");
        assert_eq!(longest_gap(began, &[]), Duration::ZERO);
    }

    #[test]
    fn an_ok_names_a_uid_only_with_a_copyuid_about_that_message() {
        let of = |status, text: &'static str| {
            answer(Key(7), status, &StatusText::parse(&Bytes::from_static(text.as_bytes())))
        };
        let named = NewUids { uid_validity: UidValidity(5), uids: vec![Key(12)] };
        assert_eq!(of(Status::Ok, "[COPYUID 5 7 12] done"), Verdict::Stored(Some(named)));
        for none in ["done", "[COPYUID 5 8 12] done", "[COPYUID 5 7 12:13] done", "[APPENDUID 5 12] done"] {
            assert_eq!(of(Status::Ok, none), Verdict::Stored(None), "{none}");
        }
        assert!(matches!(of(Status::No, "[TRYCREATE] no such mailbox"), Verdict::Refused(_)));
        assert!(matches!(of(Status::Bad, "what?"), Verdict::Refused(_)));
    }
}
