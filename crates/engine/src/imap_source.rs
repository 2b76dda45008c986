//! An IMAP account as a source. Mailboxes are opened with EXAMINE and read with BODY.PEEK; no command that changes
//! anything is written in this file (law 1).

mod listing;

use crate::end::{
    Abilities, FetchEvent, FetchRange, Fetched, Large, Listed, MailboxInfo, Opened, Rights, Room, Source,
    SourceSession, UidListing, Unlisted, Untold, Wanted, Way,
};
use crate::error::EndError;
use crate::imap_session::{Item, Link, Opener, flags, open};
use crate::labels;
use crate::limits::LISTED_OCTETS_MAX;
use crate::message::{InternalDate, Key, UidValidity};
use crate::quirks;
use crate::transfer::spool::{Body, BodyBuilder, Intake};
use bytes::Bytes;
use mailhaul_imap::{Body as WireBody, Command, Fetch, Status, Uid, UidSet, Untagged};
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};

/// Items on their way from a connection to this end.
const ITEMS_QUEUED: usize = 64;

/// An IMAP account to read from.
#[derive(Clone, Debug)]
pub struct ImapSource(pub Opener);

/// A connection to it.
#[derive(Debug)]
pub struct ImapSourceSession(Link);

impl Source for ImapSource {
    type Session = ImapSourceSession;
    async fn connect(&self) -> Result<ImapSourceSession, EndError> {
        open(&self.0).await.map(ImapSourceSession)
    }
}

/// UIDs as a set; keys that are no UIDs are left out.
pub(crate) fn uid_set(keys: impl IntoIterator<Item = Key>) -> UidSet {
    keys.into_iter().filter_map(|k| u32::try_from(k.0).ok().and_then(Uid::new)).collect()
}

pub(crate) fn key(uid: Uid) -> Key {
    Key(uid.get().into())
}

/// The date of a FETCH, as received.
pub(crate) fn date(fetch: &Fetch) -> Option<InternalDate> {
    let date = fetch.internal_date.as_ref()?.as_ref()?;
    Some(InternalDate::from_octets(date.raw()))
}

fn lineage(fetch: &Fetch) -> Option<String> {
    let text = |kind: &str, id: &Bytes| format!("{kind}:{}", String::from_utf8_lossy(id));
    fetch
        .gm_msgid
        .map(|id| format!("{}{id}", labels::LINEAGE))
        .or_else(|| fetch.email_id.as_ref().map(|id| text("emailid", id)))
        .or_else(|| fetch.x_guid.as_ref().map(|id| text("x-guid", id)))
}

fn listed(fetch: &Fetch) -> Option<Listed> {
    Some(Listed {
        key: key(fetch.uid?),
        octets: fetch.size?.min(LISTED_OCTETS_MAX),
        flags: flags(fetch.flags.as_ref()?),
        internal_date: date(fetch),
        mod_seq: fetch.mod_seq,
        lineage: lineage(fetch),
        labels: fetch.gm_labels.clone().unwrap_or_default(),
    })
}

impl ImapSourceSession {
    fn listing_items(&self) -> String {
        let capabilities = self.0.capabilities();
        let further = [
            (capabilities.condstore(), " MODSEQ"),
            (capabilities.objectid(), " EMAILID"),
            (capabilities.gmail(), " X-GM-MSGID X-GM-LABELS"),
        ];
        let further: String = further.into_iter().filter(|(has, _)| *has).map(|(_, item)| item).collect();
        format!("(UID FLAGS INTERNALDATE RFC822.SIZE{further})")
    }

    /// Reads messages as header and text, one after the other. Returns those that the server did not answer for.
    async fn read_parts(
        &mut self,
        range: FetchRange,
        intake: &Intake,
        out: &mpsc::Sender<FetchEvent>,
    ) -> Result<Vec<Key>, EndError> {
        let mut missing = Vec::new();
        for wanted in range.wanted {
            let (key, mut builder) = (wanted.key, intake.begin(wanted.memory));
            let (mut flags, mut answers) = (None, Vec::new());
            for items in PARTS {
                answers.push(self.read_part(key, items, &mut builder, &mut flags).await?);
            }
            let event = match answers.as_slice() {
                [Part::Octets, Part::Octets] if builder.octets() > 0 => {
                    FetchEvent::Fetched(Fetched { key, flags, body: builder.finish().await? })
                }
                [Part::Unanswered, _] | [_, Part::Unanswered] => {
                    missing.push(key);
                    continue;
                }
                _ => FetchEvent::NoBody { key },
            };
            // A caller that is gone wants nothing more.
            let _ = out.send(event).await;
        }
        Ok(missing)
    }

    /// Reads one part of a message onto what is there of it. Octets that are not this message's spoil what is there: the
    /// answer is then that of a message without octets.
    async fn read_part(
        &mut self,
        wanted: Key,
        items: &str,
        builder: &mut BodyBuilder,
        flags_seen: &mut Option<crate::message::Flags>,
    ) -> Result<Part, EndError> {
        let (sink, mut answers) = mpsc::channel(ITEMS_QUEUED);
        let silence = self.0.limits().silence;
        let command = Command::uid_fetch(&uid_set([wanted]).to_string(), items);
        self.0.send(command, "UID FETCH", silence, sink);
        let (mut part, mut foreign) = (Part::Unanswered, false);
        while let Some(item) = answers.recv().await {
            match item {
                Item::Body { octets, .. } => builder.push_shared(octets).await?,
                Item::Data(Untagged::Fetch(fetch)) => {
                    let ours = fetch.uid.map(key) == Some(wanted);
                    foreign |= !ours && matches!(fetch.body, WireBody::Literal(_));
                    if ours {
                        *flags_seen = fetch.flags.as_ref().map(|f| flags(f)).or(flags_seen.take());
                    }
                    match &fetch.body {
                        WireBody::Literal(_) if ours => part = Part::Octets,
                        WireBody::Quoted(octets) if ours => {
                            builder.push(octets).await?;
                            part = Part::Octets;
                        }
                        WireBody::Nil if ours => part = Part::Nothing,
                        _ => {}
                    }
                }
                Item::Done { status: Status::Ok, .. } => {
                    return Ok(if foreign { Part::Nothing } else { part });
                }
                Item::Done { .. } => return Ok(Part::Nothing),
                Item::Lost(error) | Item::Unsent { why: error, .. } => return Err(error),
                _ => {}
            }
        }
        Err(self.0.lost("UID FETCH"))
    }

    fn refused(&self, doing: &'static str, status: Status, text: &mailhaul_imap::StatusText) -> EndError {
        EndError::Refused { server: self.0.server().into(), doing, refusal: quirks::refusal(status, text) }
    }
}

impl SourceSession for ImapSourceSession {
    fn abilities(&self) -> &Abilities {
        self.0.abilities()
    }

    async fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, EndError> {
        self.0.list_mailboxes(true).await
    }

    fn untold(&mut self) -> Vec<Untold> {
        self.0.untold()
    }

    async fn open(&mut self, mailbox: &Bytes) -> Result<Opened, EndError> {
        self.0.examine(mailbox).await
    }

    /// EXAMINE and FETCH go out together. After a refused EXAMINE nothing is open, so that the FETCH is refused as well.
    async fn list(
        &mut self,
        mailbox: &Bytes,
        opened: oneshot::Sender<Opened>,
        out: mpsc::Sender<Vec<Listed>>,
    ) -> Result<u64, EndError> {
        self.list_and_fetch(mailbox, (opened, out), None).await.map(|(count, _)| count)
    }

    /// The FETCH of bodies goes out with the other two. None of them names a message by its number, so that each means the same
    /// whatever is answered first (RFC 9051, 5.5).
    async fn list_with_bodies(
        &mut self,
        mailbox: &Bytes,
        opened: oneshot::Sender<Opened>,
        out: mpsc::Sender<Vec<Listed>>,
        bodies: Unlisted,
    ) -> Result<(u64, Result<(), EndError>), EndError> {
        self.list_and_fetch(mailbox, (opened, out), Some(bodies)).await
    }

    fn open_epoch(&self, mailbox: &Bytes) -> Option<UidValidity> {
        self.0.open_epoch(mailbox)
    }

    async fn keys(&mut self) -> Result<(Vec<Key>, u64), EndError> {
        self.0.keys().await
    }

    async fn open_and_list(&mut self, mailbox: &Bytes) -> Result<UidListing, EndError> {
        self.0.open_and_list(mailbox).await
    }

    async fn fetch(
        &mut self,
        mut ranges: mpsc::Receiver<FetchRange>,
        intake: &Intake,
        out: mpsc::Sender<FetchEvent>,
    ) -> Result<(), EndError> {
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        let silence = self.0.limits().silence;
        let mut fetching = Fetching { intake, out, ranges: BTreeMap::new(), body: None, flags: None };
        let mut more = true;
        while more || !fetching.ranges.is_empty() {
            let alone = fetching.ranges.values().any(|range| range.alone);
            let room = !alone && fetching.ranges.len() < self.0.limits().fetch_ranges_in_flight;
            tokio::select! {
                range = ranges.recv(), if more && room => match range {
                    Some(range) if range.way == Way::Parts => {
                        let id = range.id;
                        let missing = self.read_parts(range, intake, &fetching.out).await?;
                        fetching.tell(FetchEvent::RangeDone { id, missing, refused: None }).await;
                    }
                    Some(range) => {
                        let uids = uid_set(range.wanted.iter().map(|w| w.key));
                        let command = Command::uid_fetch(&uids.to_string(), WHOLE);
                        let id = self.0.send(command, "UID FETCH", silence, sink.clone());
                        fetching.ranges.insert(id, InFlight::new(range));
                    }
                    None => more = false,
                },
                item = items.recv() => match item {
                    Some(Item::Data(data)) => fetching.data(data).await?,
                    Some(Item::Body { begins, octets }) => fetching.octets(begins, octets).await?,
                    Some(Item::Done { id, status, text }) => {
                        let refused = (status != Status::Ok).then(|| quirks::refusal(status, &text));
                        fetching.done(id, refused).await;
                    }
                    Some(Item::Lost(error) | Item::Unsent { why: error, .. }) => return Err(error),
                    Some(_) => {}
                    None => return Err(self.0.lost("UID FETCH")),
                },
            }
        }
        Ok(())
    }

    async fn room(&mut self) -> Result<Option<Room>, EndError> {
        self.0.room().await
    }

    async fn larger(
        &mut self,
        mailboxes: &[Bytes],
        octets: u64,
    ) -> Result<Vec<Option<Vec<Large>>>, EndError> {
        self.0.larger(mailboxes, octets).await
    }

    async fn rights(&mut self, mailboxes: &[Bytes]) -> Result<Vec<Option<Rights>>, EndError> {
        self.0.rights(mailboxes).await
    }

    async fn keep_alive(&mut self) -> Result<(), EndError> {
        self.0.ask(Command::noop(), "NOOP").await.map(|_| ())
    }

    async fn close(self) {
        self.0.close().await;
    }
}

/// What is asked for of a message that is wanted whole.
const WHOLE: &str = "(UID FLAGS BODY.PEEK[])";

/// The commands that read a message as header and text (RFC 9051, 6.4.5).
const PARTS: [&str; 2] = ["(UID BODY.PEEK[HEADER])", "(UID FLAGS BODY.PEEK[TEXT])"];

/// What came of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Its octets, perhaps none.
    Octets,
    /// An answer without octets, or a refusal.
    Nothing,
    /// No answer.
    Unanswered,
}

/// A range that was asked for.
struct InFlight {
    id: u64,
    alone: bool,
    /// Octets of its longest message, as listed: memory is reserved by them.
    longest: u64,
    wanted: BTreeMap<Key, Wanted>,
}

impl InFlight {
    fn new(range: FetchRange) -> Self {
        let FetchRange { id, alone, .. } = range;
        let longest = range.wanted.iter().map(|w| w.octets).max().unwrap_or(0);
        Self { id, alone, longest, wanted: range.wanted.into_iter().map(|w| (w.key, w)).collect() }
    }
}

/// Puts bodies together as they arrive. A UID may come before or after the octets; both are taken.
struct Fetching<'a> {
    intake: &'a Intake,
    out: mpsc::Sender<FetchEvent>,
    ranges: BTreeMap<u64, InFlight>,
    body: Option<BodyBuilder>,
    flags: Option<crate::message::Flags>,
}

impl Fetching<'_> {
    async fn octets(&mut self, begins: Option<u64>, octets: Bytes) -> Result<(), EndError> {
        if let Some(announced) = begins {
            // The memory reserved belongs to a UID, which may not be known yet: taken when the response is complete.
            let reserved = self.ranges.values().map(|range| range.longest).max().unwrap_or(0);
            self.body = Some(self.intake.begin(None).of_octets(announced, reserved));
        }
        match &mut self.body {
            Some(body) => body.push_shared(octets).await,
            None => Ok(()),
        }
    }

    fn take(&mut self, key: Key) -> Option<Wanted> {
        self.ranges.values_mut().find_map(|r| r.wanted.remove(&key))
    }

    async fn data(&mut self, data: Untagged) -> Result<(), EndError> {
        let Untagged::Fetch(fetch) = data else { return Ok(()) };
        let body = self.body.take();
        // A reply is used only for the UID stated inside it (I10).
        let Some(key) = fetch.uid.map(key) else { return Ok(()) };
        self.flags = fetch.flags.as_ref().map(|f| flags(f));
        match (&fetch.body, body) {
            (WireBody::Literal(_), Some(builder)) => self.complete(key, builder).await,
            (WireBody::Quoted(octets), _) => {
                let mut builder = self.intake.begin(None);
                builder.push(octets).await?;
                self.complete(key, builder).await
            }
            (WireBody::Nil, _) => {
                if self.take(key).is_some() {
                    self.tell(FetchEvent::NoBody { key }).await;
                }
                Ok(())
            }
            // Flags of somebody's change: not an answer to us.
            _ => Ok(()),
        }
    }

    async fn complete(&mut self, key: Key, mut builder: BodyBuilder) -> Result<(), EndError> {
        let Some(wanted) = self.take(key) else { return Ok(()) };
        if builder.octets() == 0 && wanted.octets > 0 {
            // Neither empty nor gone until proven (law 7).
            self.tell(FetchEvent::NoBody { key }).await;
            return Ok(());
        }
        builder.keep_memory(wanted.memory);
        let body: Body = builder.finish().await?;
        let flags = self.flags.take();
        self.tell(FetchEvent::Fetched(Fetched { key, flags, body })).await;
        Ok(())
    }

    async fn done(&mut self, id: u64, refused: Option<crate::error::Refusal>) {
        let Some(range) = self.ranges.remove(&id) else { return };
        let missing = range.wanted.into_keys().collect();
        self.tell(FetchEvent::RangeDone { id: range.id, missing, refused }).await;
    }

    async fn tell(&self, event: FetchEvent) {
        // A caller that is gone wants nothing more; the ranges on their way are drained.
        let _ = self.out.send(event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailhaul_imap::{Response, Segment};

    #[test]
    fn the_sizes_a_server_makes_up_can_be_added_up() {
        let line = format!("* 1 FETCH (UID 7 FLAGS () RFC822.SIZE {})", u64::MAX);
        let parsed = mailhaul_imap::response::parse(&[Segment::Text(line.into())]);
        let Some(Response::Untagged(Untagged::Fetch(fetch))) = parsed else { panic!("{parsed:?}") };
        let listed = listed(&fetch).unwrap();
        assert_eq!((listed.key, listed.octets), (Key(7), LISTED_OCTETS_MAX));
        // a whole mailbox of them fits where the journal counts octets
        assert!(listed.octets.checked_mul(1_000_000).is_some_and(|sum| i64::try_from(sum).is_ok()));
    }
}
