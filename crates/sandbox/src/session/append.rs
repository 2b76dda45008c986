//! APPEND: what is taken, refused, changed, and how it is stored.

use super::{Done, NO_DATE, Session, bad, no, ok};
use crate::account::NewMessage;
use crate::fault::{Deed, Fault, Occasion, UidLie};
use crate::profile::{LoneLf, Profile};
use crate::reader::Word;
use crate::world::{Asked, Stored, Taken};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn append(&mut self, user: &str, words: &[Word]) -> Option<Done> {
        let profile = self.profile();
        let name = words.first().and_then(Word::text).unwrap_or_default();
        let Some(messages) = messages(&words[1.min(words.len())..]) else { return Some(bad("APPEND what?")) };
        if messages.is_empty() || (messages.len() > 1 && !profile.multiappend) {
            return Some(bad("one message"));
        }
        self.sandbox.took(messages.iter().map(|m| m.octets.len() as u64).sum());
        if let Some((_, limit)) = self.sandbox.first_within_limit("APPEND", messages.len()) {
            return Some(Done::No(format!("[MESSAGELIMIT {limit}] too many messages at once")));
        }
        let asked = Asked { mailbox: &name, uids: &[] };
        let strike = || self.sandbox.strike(Occasion::Append, &asked);
        let faults: Vec<Fault> = std::iter::from_fn(strike).collect();
        if let Some(first) = messages.first().filter(|_| faults.contains(&Fault::Twin)) {
            let twin = Deed::Deliver { mailbox: name.clone(), octets: first.octets.clone() };
            self.sandbox.other(Some(user), &twin);
        }
        if faults.contains(&Fault::DropBeforeStore) {
            return None;
        }
        if let Some(text) = faults.iter().find_map(refusal) {
            return Some(Done::No(text));
        }
        let used = self.sandbox.with(user, |a| a.octets()).unwrap_or(0);
        let messages: Vec<Taken> = messages.into_iter().map(|m| taken(m, &profile)).collect();
        if let Some(words) = bad_date(&messages, &profile) {
            return Some(Done::Bad(words));
        }
        if self.too_many_keywords(user, &name, &messages) {
            return (messages.len() == 1).then(|| no("Too many user flags in mailbox"));
        }
        if let Some(objection) = objection(&messages, &profile, used) {
            return Some(Done::No(objection));
        }
        let stored = self.keep(user, &name, messages, &faults, profile.commit_delay).await?;
        if let Some(Stored { uid_validity, uids, .. }) = &stored {
            self.appended.extend(uids.iter().map(|uid| (name.clone(), *uid_validity, *uid)));
        }
        Some(appended(stored, &profile, &faults))
    }

    /// The mailbox would hold more keywords than the profile allows.
    fn too_many_keywords(&self, user: &str, name: &str, messages: &[Taken]) -> bool {
        let Some(most) = self.profile().keywords_max else { return false };
        let there = self.sandbox.with(user, |account| {
            let held = account.mailbox(name).into_iter().flat_map(|mailbox| &mailbox.messages);
            held.flat_map(|message| message.flags.clone()).collect::<Vec<_>>()
        });
        let new = messages.iter().flat_map(|message| message.kept.flags.iter().cloned());
        let all = there.unwrap_or_default().into_iter().chain(new);
        let keywords: BTreeSet<String> =
            all.filter(|flag| !flag.starts_with('\\')).map(|flag| flag.to_ascii_lowercase()).collect();
        keywords.len() > most
    }

    /// Stores, at once or late. The client may be gone by then: it is stored all the same.
    async fn keep(
        &self,
        user: &str,
        name: &str,
        messages: Vec<Taken>,
        faults: &[Fault],
        commit_delay: Duration,
    ) -> Option<Option<Stored>> {
        let late = faults.iter().find_map(|f| if let Fault::LateStore(by) = f { Some(*by) } else { None });
        let delay = late.unwrap_or(commit_delay);
        if delay.is_zero() {
            let stored = self.sandbox.append(user, name, &messages, faults);
            return (!faults.contains(&Fault::DropAfterStore)).then_some(stored);
        }
        let (sandbox, user, name) = (self.sandbox.clone(), user.to_owned(), name.to_owned());
        let of_store = faults.to_vec();
        let storing = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            sandbox.append(&user, &name, &messages, &of_store)
        });
        if late.is_some() {
            return None;
        }
        let stored = storing.await.ok()?;
        (!faults.contains(&Fault::DropAfterStore)).then_some(stored)
    }
}

fn refusal(fault: &Fault) -> Option<String> {
    if let Fault::RefuseAppend(text) = fault { Some(text.clone()) } else { None }
}

/// The answer, with its APPENDUID (RFC 4315).
fn appended(stored: Option<Stored>, profile: &Profile, faults: &[Fault]) -> Done {
    let Some(Stored { mut uid_validity, mut uids, oldest }) = stored else {
        return no("[TRYCREATE] no such mailbox");
    };
    let lie = faults.iter().find_map(|f| if let Fault::AppendUid(lie) = f { Some(*lie) } else { None });
    match lie {
        Some(UidLie::Missing) => return ok("stored"),
        Some(UidLie::OneMore) => uids.extend(uids.last().map(|uid| uid + 1)),
        Some(UidLie::OtherEpoch) => uid_validity += 1,
        Some(UidLie::Oldest) if oldest.len() == uids.len() => uids = oldest,
        Some(UidLie::Oldest) | None => {}
    }
    if !profile.uidplus {
        return ok("stored");
    }
    Done::Ok(format!("[APPENDUID {uid_validity} {}] stored", uid_set(&uids)))
}

/// UIDs as a set, in their order: runs as ranges.
pub(super) fn uid_set(uids: &[u32]) -> String {
    let runs = uids.chunk_by(|a, b| a + 1 == *b);
    let range = |run: &[u32]| match run {
        [first, .., last] => format!("{first}:{last}"),
        _ => run.iter().map(u32::to_string).collect(),
    };
    runs.map(range).collect::<Vec<_>>().join(",")
}

/// The messages of an APPEND: flags and date before each literal.
fn messages(words: &[Word]) -> Option<Vec<NewMessage>> {
    let mut all = Vec::new();
    let mut rest = words.iter().peekable();
    while rest.peek().is_some() {
        let mut flags = Vec::new();
        if let Some(Word::List(list)) = rest.peek() {
            flags = list.iter().filter_map(Word::text).collect();
            rest.next();
        }
        let mut internal_date = NO_DATE.to_owned();
        if let Some(Word::Quoted(date)) = rest.peek() {
            internal_date = String::from_utf8_lossy(date).into_owned();
            rest.next();
        }
        let Some(Word::Literal(octets)) = rest.next() else { return None };
        let octets = octets.clone();
        all.push(NewMessage { octets, flags, internal_date });
    }
    Some(all)
}

/// What the profile makes of a message.
fn taken(mut message: NewMessage, profile: &Profile) -> Taken {
    let sent = message.octets.clone();
    if profile.lone_lf == LoneLf::ToCrlf {
        let mut out = Vec::with_capacity(message.octets.len());
        for (i, octet) in message.octets.iter().enumerate() {
            if *octet == b'\n' && (i == 0 || message.octets[i - 1] != b'\r') {
                out.push(b'\r');
            }
            out.push(*octet);
        }
        message.octets = out.into();
    }
    if let Some(made) = profile.keeps_date {
        message.internal_date = made(&message.internal_date);
    }
    if let Some(keeps) = profile.keeps_flag {
        message.flags.retain(|flag| keeps(flag));
    }
    Taken { sent, kept: message }
}

/// The words about a date that the profile does not take.
fn bad_date(messages: &[Taken], profile: &Profile) -> Option<String> {
    let (date, words) = profile.refuse_date.as_ref()?;
    messages.iter().any(|m| m.kept.internal_date.contains(date)).then(|| words.clone())
}

/// Why a batch is refused: all of it, or nothing.
fn objection(messages: &[Taken], profile: &Profile, used: u64) -> Option<String> {
    let more: u64 = messages.iter().map(|m| m.kept.octets.len() as u64).sum();
    for m in messages.iter().map(|m| &m.kept) {
        if m.octets.is_empty() && profile.refuse_empty {
            return Some("Zero-length message literal".into());
        }
        if profile.append_limit.is_some_and(|limit| m.octets.len() as u64 > limit) {
            return Some("[TOOBIG] too big".into());
        }
        let lone = |(i, b): (usize, &u8)| *b == b'\n' && (i == 0 || m.octets[i - 1] != b'\r');
        if profile.lone_lf == LoneLf::Refuse && m.octets.iter().enumerate().any(lone) {
            return Some("Message contains bare newlines".into());
        }
        if profile.refuse_nul && m.octets.contains(&0) {
            return Some("Message contains NUL characters".into());
        }
        if profile.refuse_8bit_header && !m.octets[..header_end(&m.octets)].is_ascii() {
            return Some("Message contains non-ASCII characters in headers".into());
        }
        if profile.refuse_bad_header && has_bad_header(&m.octets) {
            return Some("Message contains invalid header".into());
        }
        if let Some((flag, words)) = &profile.refuse_flag
            && m.flags.iter().any(|f| f.eq_ignore_ascii_case(flag))
        {
            return Some(words.clone());
        }
        if profile.refuse.as_ref().is_some_and(|r| memchr::memmem::find(&m.octets, r).is_some()) {
            return Some("Message is not welcome".into());
        }
    }
    (profile.quota_octets.is_some_and(|quota| used + more > quota))
        .then(|| "[OVERQUOTA] Quota exceeded".into())
}

fn header_end(octets: &[u8]) -> usize {
    memchr::memmem::find(octets, b"\r\n\r\n").unwrap_or(octets.len())
}

/// A header line without a colon, as Cyrus looks for it.
fn has_bad_header(octets: &Bytes) -> bool {
    let lines = octets[..header_end(octets)].split(|b| *b == b'\n');
    lines.into_iter().any(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        !line.is_empty() && !line.starts_with(b" ") && !line.starts_with(b"\t") && !line.contains(&b':')
    })
}
