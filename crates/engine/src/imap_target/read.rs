//! Reads messages back: of the open mailbox, or of mailboxes that are opened one after the other, everything pipelined.

use super::{ITEMS_QUEUED, uids_max};
use crate::end::{Depth, ReadEvent, Seen, ToRead};
use crate::error::EndError;
use crate::identity::{Measured, Meter};
use crate::imap_session::{Item, Link, flags};
use crate::imap_source::{date, key, uid_set};
use crate::message::{Key, UidValidity};
use crate::quirks;
use bytes::Bytes;
use mailhaul_imap::{Body as WireBody, Command, Fetch, MailboxFacts, Status, StatusText, Untagged};
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// UIDs read by one FETCH.
const UIDS_AT_ONCE: usize = 200;
/// UIDs asked for and not answered.
const UIDS_IN_FLIGHT: usize = 10 * UIDS_AT_ONCE;
/// Commands on their way at once.
const COMMANDS_IN_FLIGHT: usize = 128;

/// Reads messages of the open mailbox.
pub(super) async fn read(
    link: &mut Link,
    uids: &[Key],
    depth: Depth,
    out: mpsc::Sender<Seen>,
) -> Result<(), EndError> {
    let mut reading = Reading::new(Out::One(out));
    reading.of.push(Of { is_open: true, ..Of::default() });
    reading.fetch(0, depth, uids, uids_max(link));
    reading.run(link, None).await?;
    reading.of.pop().and_then(|of| of.refused).map_or(Ok(()), Err)
}

/// Opens mailboxes as they come and reads messages of each. After a refused EXAMINE nothing is open, so that its FETCHes are
/// refused as well.
pub(super) async fn read_each(
    link: &mut Link,
    wanted: mpsc::UnboundedReceiver<ToRead>,
    out: mpsc::Sender<ReadEvent>,
) -> Result<(), EndError> {
    Reading::new(Out::Each(out)).run(link, Some(wanted)).await
}

/// One command, and the place of its mailbox.
enum Step {
    Open(usize, Bytes, UidValidity),
    Fetch(usize, Depth, Vec<Key>),
}

impl Step {
    fn place(&self) -> usize {
        match self {
            Self::Open(at, ..) | Self::Fetch(at, ..) => *at,
        }
    }
}

/// What is known of one mailbox.
#[derive(Debug, Default)]
struct Of {
    /// It is the one that was asked for: what is answered now is of it.
    is_open: bool,
    /// It shows another epoch, or cannot be opened: nothing more is asked of it.
    is_over: bool,
    /// The first refusal says why.
    refused: Option<EndError>,
    /// What is not answered.
    steps: usize,
}

enum Out {
    One(mpsc::Sender<Seen>),
    Each(mpsc::Sender<ReadEvent>),
}

/// A command on its way.
struct InFlight {
    id: u64,
    step: Step,
}

struct Reading {
    of: Vec<Of>,
    out: Out,
    /// What is to be sent.
    steps: VecDeque<Step>,
    in_flight: VecDeque<InFlight>,
    /// Of the commands in flight.
    uids: usize,
    meter: Option<Meter>,
}

impl Reading {
    fn new(out: Out) -> Self {
        let (steps, in_flight) = (VecDeque::new(), VecDeque::new());
        Self { of: Vec::new(), out, steps, in_flight, uids: 0, meter: None }
    }

    /// One more mailbox; a command names no more than `most` UIDs.
    fn take_in(&mut self, wanted: ToRead, most: usize) {
        let at = self.of.len();
        self.of.push(Of { steps: 1, ..Of::default() });
        self.steps.push_back(Step::Open(at, wanted.mailbox, wanted.epoch));
        self.fetch(at, wanted.depth, &wanted.uids, most);
    }

    fn fetch(&mut self, at: usize, depth: Depth, uids: &[Key], most: usize) {
        for some in uids.chunks(most.min(UIDS_AT_ONCE)) {
            self.of[at].steps += 1;
            self.steps.push_back(Step::Fetch(at, depth, some.to_vec()));
        }
    }

    /// Reads what is to be read, and what is `wanted` meanwhile, until no more can come.
    async fn run(
        &mut self,
        link: &mut Link,
        mut wanted: Option<mpsc::UnboundedReceiver<ToRead>>,
    ) -> Result<(), EndError> {
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        loop {
            self.send_all(link, &sink).await;
            if self.in_flight.is_empty() && wanted.is_none() {
                return Ok(());
            }
            tokio::select! {
                biased;
                // While others are answered: no round trip passes between them.
                more = async { wanted.as_mut()?.recv().await }, if wanted.is_some() => match more {
                    Some(more) => self.take_in(more, uids_max(link)),
                    None => wanted = None,
                },
                item = items.recv(), if !self.in_flight.is_empty() => match item {
                    Some(item) => self.came(link, item).await?,
                    None => return Err(link.lost("UID FETCH")),
                },
            }
        }
    }

    async fn came(&mut self, link: &mut Link, item: Item) -> Result<(), EndError> {
        match item {
            Item::Body { begins, octets } => {
                if begins.is_some() {
                    self.meter = Some(Meter::new());
                }
                self.meter.iter_mut().for_each(|m| m.update(&octets));
            }
            Item::Data(Untagged::Fetch(fetch)) => self.fetched(&fetch).await,
            Item::Opened(facts) => self.opened(link, &facts)?,
            Item::Done { id, status, text } => self.done(link, id, status, &text).await,
            Item::Lost(error) | Item::Unsent { why: error, .. } => return Err(error),
            _ => {}
        }
        Ok(())
    }

    /// Sends what there is room for. Commands of a mailbox that is over are not sent.
    async fn send_all(&mut self, link: &mut Link, sink: &mpsc::Sender<Item>) {
        while self.steps.front().is_some_and(|step| self.has_room(step)) {
            let Some(step) = self.steps.pop_front() else { return };
            match &step {
                Step::Fetch(at, ..) if self.of[*at].is_over => self.stepped(*at).await,
                _ => self.send(link, step, sink),
            }
        }
    }

    fn has_room(&self, step: &Step) -> bool {
        match step {
            _ if self.in_flight.len() >= COMMANDS_IN_FLIGHT => false,
            Step::Open(..) => true,
            Step::Fetch(at, _, uids) => {
                self.of[*at].is_over || self.uids == 0 || self.uids + uids.len() <= UIDS_IN_FLIGHT
            }
        }
    }

    fn send(&mut self, link: &mut Link, step: Step, sink: &mpsc::Sender<Item>) {
        let silence = link.limits().silence;
        let id = match &step {
            Step::Open(_, mailbox, _) => {
                let limit = silence.max(link.limits().command);
                let command = link.examining(mailbox);
                link.send(command, "EXAMINE", limit, sink.clone())
            }
            Step::Fetch(_, depth, uids) => {
                self.uids += uids.len();
                let set = uid_set(uids.iter().copied()).to_string();
                let command = Command::uid_fetch(&set, items_of(*depth, link.capabilities().condstore()));
                link.send(command, "UID FETCH", silence, sink.clone())
            }
        };
        self.in_flight.push_back(InFlight { id, step });
    }

    fn opened(&mut self, link: &mut Link, facts: &MailboxFacts) -> Result<(), EndError> {
        let Some(InFlight { step: Step::Open(at, mailbox, epoch), .. }) = self.in_flight.front() else {
            return Ok(());
        };
        let opened = link.opened(mailbox, facts)?;
        let of = &mut self.of[*at];
        of.is_open = opened.facts.uid_validity == *epoch;
        of.is_over = !of.is_open;
        Ok(())
    }

    /// A server answers for one mailbox after the other: what comes is of the first that is not done.
    async fn fetched(&mut self, fetch: &Fetch) {
        let meter = self.meter.take();
        let Some(InFlight { step: Step::Fetch(at, depth, _), .. }) = self.in_flight.front() else { return };
        let Some(seen) = seen(fetch, meter, *depth).filter(|_| self.of[*at].is_open) else { return };
        // A caller that is gone wants nothing more; the rest is drained.
        match &self.out {
            Out::One(out) => _ = out.send(seen).await,
            Out::Each(out) => _ = out.send(ReadEvent::Seen(*at, seen)).await,
        }
    }

    async fn done(&mut self, link: &mut Link, id: u64, status: Status, text: &StatusText) {
        let Some(place) = self.in_flight.iter().position(|sent| sent.id == id) else { return };
        let Some(InFlight { step, .. }) = self.in_flight.remove(place) else { return };
        let at = step.place();
        let doing = match &step {
            Step::Open(..) => "EXAMINE",
            Step::Fetch(_, _, uids) => {
                self.uids -= uids.len();
                "UID FETCH"
            }
        };
        if status != Status::Ok {
            if matches!(step, Step::Open(..)) {
                self.of[at].is_over = true;
                link.is_not_opened();
            }
            let (server, refusal) = (link.server().to_owned(), quirks::refusal(status, text));
            self.of[at].refused.get_or_insert(EndError::Refused { server, doing, refusal });
        }
        self.stepped(at).await;
    }

    /// One step less is open of a mailbox; with the last one it is said what came of it.
    async fn stepped(&mut self, at: usize) {
        let of = &mut self.of[at];
        of.steps -= 1;
        if of.steps == 0
            && let Out::Each(out) = &self.out
        {
            let read = of.refused.take().map_or(Ok(of.is_open), Err);
            let _ = out.send(ReadEvent::Done(at, read)).await;
        }
    }
}

/// The items of a FETCH that reads back.
fn items_of(depth: Depth, condstore: bool) -> &'static str {
    match (depth, condstore) {
        (Depth::Octets, true) => "(UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ BODY.PEEK[])",
        (Depth::Octets, false) => "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])",
        (Depth::Facts, true) => "(UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ)",
        (Depth::Facts, false) => "(UID FLAGS INTERNALDATE RFC822.SIZE)",
    }
}

fn seen(fetch: &Fetch, meter: Option<Meter>, depth: Depth) -> Option<Seen> {
    let measured = match (&fetch.body, meter) {
        (WireBody::Literal(_), Some(meter)) => Some(meter.finish()),
        (WireBody::Quoted(octets), _) => Some(Measured::of(octets)),
        _ => None,
    };
    // Without octets where octets were asked for it is somebody's change of flags, or no answer.
    if depth == Depth::Octets && measured.is_none() {
        return None;
    }
    Some(Seen {
        uid: key(fetch.uid?),
        flags: flags(fetch.flags.as_ref()?),
        internal_date: date(fetch),
        octets: fetch.size.or(measured.map(|m| m.fingerprint.octets)).unwrap_or(0),
        mod_seq: fetch.mod_seq,
        measured,
    })
}
