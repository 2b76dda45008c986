//! Reads messages back: of the open mailbox, or of several that are opened one after the other, everything pipelined.

use super::{ITEMS_QUEUED, uids_max};
use crate::end::{Depth, Seen, ToRead};
use crate::error::EndError;
use crate::identity::{Measured, Meter};
use crate::imap_session::{Item, Link, flags};
use crate::imap_source::{date, key, uid_set};
use crate::message::Key;
use crate::quirks;
use mailhaul_imap::{Body as WireBody, Command, Fetch, Status, StatusText, Untagged};
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
    let mut steps = VecDeque::new();
    fetch(&mut steps, (0, depth), uids, uids_max(link));
    let mut reading = Reading::new(vec![Of { is_open: true, ..Of::default() }], Out::One(out));
    reading.run(link, steps).await?;
    reading.of.pop().and_then(|of| of.refused).map_or(Ok(()), Err)
}

/// Opens mailboxes and reads messages of each. After a refused EXAMINE nothing is open, so that its FETCHes are refused as well.
pub(super) async fn read_each(
    link: &mut Link,
    wanted: &[ToRead],
    out: mpsc::Sender<(usize, Seen)>,
) -> Result<Vec<Result<bool, EndError>>, EndError> {
    let (mut steps, most) = (VecDeque::new(), uids_max(link));
    for (at, of) in wanted.iter().enumerate() {
        steps.push_back(Step::Open(at, of));
        fetch(&mut steps, (at, of.depth), &of.uids, most);
    }
    let mut reading = Reading::new(wanted.iter().map(|_| Of::default()).collect(), Out::Each(out));
    reading.run(link, steps).await?;
    Ok(reading.of.into_iter().map(|of| of.refused.map_or(Ok(of.is_open), Err)).collect())
}

/// One command, and the place of its mailbox.
enum Step<'a> {
    Open(usize, &'a ToRead),
    Fetch(usize, Depth, &'a [Key]),
}

/// The commands that read these UIDs, each of which names no more than `most`.
fn fetch<'a>(steps: &mut VecDeque<Step<'a>>, (at, depth): (usize, Depth), uids: &'a [Key], most: usize) {
    for some in uids.chunks(most.min(UIDS_AT_ONCE)) {
        steps.push_back(Step::Fetch(at, depth, some));
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
}

enum Out {
    One(mpsc::Sender<Seen>),
    Each(mpsc::Sender<(usize, Seen)>),
}

/// A command on its way.
struct InFlight<'a> {
    id: u64,
    step: Step<'a>,
}

struct Reading<'a> {
    of: Vec<Of>,
    out: Out,
    in_flight: VecDeque<InFlight<'a>>,
    /// Of the commands in flight.
    uids: usize,
    meter: Option<Meter>,
}

impl<'a> Reading<'a> {
    fn new(of: Vec<Of>, out: Out) -> Self {
        Self { of, out, in_flight: VecDeque::new(), uids: 0, meter: None }
    }

    async fn run(&mut self, link: &mut Link, mut steps: VecDeque<Step<'a>>) -> Result<(), EndError> {
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        loop {
            while steps.front().is_some_and(|step| self.has_room(step)) {
                steps.pop_front().into_iter().for_each(|step| self.send(link, step, &sink));
            }
            if self.in_flight.is_empty() {
                return Ok(());
            }
            match items.recv().await {
                Some(Item::Body { begins, octets }) => {
                    if begins.is_some() {
                        self.meter = Some(Meter::new());
                    }
                    self.meter.iter_mut().for_each(|m| m.update(&octets));
                }
                Some(Item::Data(Untagged::Fetch(fetch))) => self.fetched(&fetch).await,
                Some(Item::Opened(facts)) => {
                    let Some(InFlight { step: Step::Open(at, wanted), .. }) = self.in_flight.front() else {
                        continue;
                    };
                    let opened = link.opened(&wanted.mailbox, &facts)?;
                    let of = &mut self.of[*at];
                    of.is_open = opened.facts.uid_validity == wanted.epoch;
                    of.is_over = !of.is_open;
                }
                Some(Item::Done { id, status, text }) => self.done(link, id, status, &text),
                Some(Item::Lost(error) | Item::Unsent { why: error, .. }) => return Err(error),
                Some(_) => {}
                None => return Err(link.lost("UID FETCH")),
            }
        }
    }

    /// Commands of a mailbox that is over are not sent, which takes no room.
    fn has_room(&self, step: &Step<'_>) -> bool {
        match step {
            _ if self.in_flight.len() >= COMMANDS_IN_FLIGHT => false,
            Step::Open(..) => true,
            Step::Fetch(at, _, uids) => {
                self.of[*at].is_over || self.uids == 0 || self.uids + uids.len() <= UIDS_IN_FLIGHT
            }
        }
    }

    fn send(&mut self, link: &mut Link, step: Step<'a>, sink: &mpsc::Sender<Item>) {
        let silence = link.limits().silence;
        let id = match &step {
            Step::Open(_, wanted) => {
                let limit = silence.max(link.limits().command);
                let command = link.examining(&wanted.mailbox);
                link.send(command, "EXAMINE", limit, sink.clone())
            }
            Step::Fetch(at, ..) if self.of[*at].is_over => return,
            Step::Fetch(_, depth, uids) => {
                self.uids += uids.len();
                let set = uid_set(uids.iter().copied()).to_string();
                let command = Command::uid_fetch(&set, items_of(*depth, link.capabilities().condstore()));
                link.send(command, "UID FETCH", silence, sink.clone())
            }
        };
        self.in_flight.push_back(InFlight { id, step });
    }

    /// A server answers for one mailbox after the other: what comes is of the first that is not done.
    async fn fetched(&mut self, fetch: &Fetch) {
        let meter = self.meter.take();
        let Some(InFlight { step: Step::Fetch(at, depth, _), .. }) = self.in_flight.front() else { return };
        let Some(seen) = seen(fetch, meter, *depth).filter(|_| self.of[*at].is_open) else { return };
        // A caller that is gone wants nothing more; the rest is drained.
        match &self.out {
            Out::One(out) => _ = out.send(seen).await,
            Out::Each(out) => _ = out.send((*at, seen)).await,
        }
    }

    fn done(&mut self, link: &mut Link, id: u64, status: Status, text: &StatusText) {
        let Some(place) = self.in_flight.iter().position(|sent| sent.id == id) else { return };
        let Some(InFlight { step, .. }) = self.in_flight.remove(place) else { return };
        let (at, doing) = match step {
            Step::Open(at, _) => (at, "EXAMINE"),
            Step::Fetch(at, _, uids) => {
                self.uids -= uids.len();
                (at, "UID FETCH")
            }
        };
        if status == Status::Ok {
            return;
        }
        if matches!(step, Step::Open(..)) {
            self.of[at].is_over = true;
            link.is_not_opened();
        }
        let (server, refusal) = (link.server().to_owned(), quirks::refusal(status, text));
        self.of[at].refused.get_or_insert(EndError::Refused { server, doing, refusal });
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
