//! The listing of a mailbox that is opened for it, and messages that come in the same round trip.

use super::{ITEMS_QUEUED, ImapSourceSession, WHOLE, key, listed};
use crate::end::{FetchEvent, Fetched, Listed, Opened, Unlisted};
use crate::error::EndError;
use crate::imap_session::{Cut, Item, flags};
use crate::message::Key;
use crate::quirks;
use crate::transfer::spool::BodyBuilder;
use bytes::Bytes;
use mailhaul_imap::{Body as WireBody, Command, Fetch, Status, StatusText, Untagged};
use tokio::sync::{mpsc, oneshot};

impl ImapSourceSession {
    /// Opens a mailbox and lists it; asks for `unlisted` without waiting for the listing. Returns how many were listed, and how
    /// the rest ended once the listing was complete.
    pub(super) async fn list_and_fetch(
        &mut self,
        mailbox: &Bytes,
        (opened, out): (oneshot::Sender<Opened>, mpsc::Sender<Vec<Listed>>),
        unlisted: Option<Unlisted>,
    ) -> Result<(u64, Result<(), EndError>), EndError> {
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        let limits = self.0.limits().clone();
        let silence = limits.command.max(limits.silence);
        let examine = self.0.examining(mailbox);
        self.0.send(examine, "EXAMINE", silence, sink.clone());
        let all = Command::uid_fetch("1:*", &self.listing_items());
        let mut fetch = self.0.send(all, "UID FETCH", silence, sink.clone());
        let mut bodies = Bodies::ended();
        if let Some(unlisted) = unlisted {
            let command = Command::uid_fetch(&format!("1:{}", (unlisted.below.0 - 1).max(1)), WHOLE);
            let id = self.0.send(command, "UID FETCH", silence, sink.clone());
            bodies = Bodies(Some(Asked { id, unlisted, body: None, dropped: 0 }));
        }
        let (mut opened, mut cut) = (Some(opened), Cut::new(Key(1)));
        let mut listing = Listing::new(out, limits.listing_piece_messages);
        while let Some(item) = items.recv().await {
            match item {
                Item::Opened(facts) => {
                    let said = self.0.opened(mailbox, &facts)?;
                    if let Some(asker) = opened.take() {
                        // Who asked may want nothing more.
                        let _ = asker.send(said);
                    }
                }
                // What comes before the mailbox is open is not of it.
                Item::Body { .. } if opened.is_some() => {}
                Item::Body { begins, octets } => bodies.octets(begins, octets).await?,
                Item::Data(Untagged::Fetch(fetch)) => {
                    listing.take(&fetch);
                    if opened.is_none() {
                        bodies.data(&fetch).await?;
                    }
                }
                Item::Data(data) => {
                    cut.note(&data);
                    self.0.count(&data);
                }
                Item::Done { id, status, text } if bodies.are(id) => bodies.done(status, &text).await,
                Item::Done { id, status: Status::Ok, .. } if id != fetch => {}
                Item::Done { status: Status::Ok, text, .. } => match cut.rest(&text) {
                    None => listing.end().await,
                    Some(last) => {
                        let rest = Command::uid_fetch(&format!("1:{last}"), &self.listing_items());
                        fetch = self.0.send(rest, "UID FETCH", silence, sink.clone());
                    }
                },
                Item::Done { id, status, text } => {
                    let doing = if id == fetch { "UID FETCH" } else { "EXAMINE" };
                    return Err(self.refused(doing, status, &text));
                }
                Item::Lost(error) | Item::Unsent { why: error, .. } if listing.has_ended() => {
                    return Ok((listing.count, Err(error)));
                }
                Item::Lost(error) | Item::Unsent { why: error, .. } => return Err(error),
                Item::AtGate => {}
            }
            if listing.has_ended() && bodies.have_ended() {
                return Ok((listing.count, Ok(())));
            }
            if listing.has_ended() && bodies.dropped() > limits.fetch_range_octets_max {
                // Far more comes than was told: a new connection costs less than to read all of it for nothing.
                return Ok((listing.count, Err(self.0.lost("UID FETCH"))));
            }
            if listing.is_unwanted().await {
                break;
            }
        }
        Err(self.0.lost("UID FETCH"))
    }
}

/// What is listed, on its way in pieces.
struct Listing {
    /// Gone when all of it is listed.
    out: Option<mpsc::Sender<Vec<Listed>>>,
    piece: Vec<Listed>,
    piece_messages: usize,
    count: u64,
}

impl Listing {
    fn new(out: mpsc::Sender<Vec<Listed>>, piece_messages: usize) -> Self {
        Self { out: Some(out), piece: Vec::new(), piece_messages, count: 0 }
    }

    /// An answer with octets is none to the listing, whatever else a server puts into it.
    fn take(&mut self, fetch: &Fetch) {
        let listed = listed(fetch).filter(|_| fetch.body == WireBody::Absent && self.out.is_some());
        self.count += u64::from(listed.is_some());
        self.piece.extend(listed);
    }

    /// Sends a piece that is complete. True when nobody takes it any more.
    async fn is_unwanted(&mut self) -> bool {
        self.piece.len() >= self.piece_messages && !self.send().await
    }

    async fn end(&mut self) {
        let _ = self.send().await;
        self.out = None;
    }

    fn has_ended(&self) -> bool {
        self.out.is_none()
    }

    async fn send(&mut self) -> bool {
        let mut piece = std::mem::take(&mut self.piece);
        // A server may answer in any order.
        piece.sort_unstable_by_key(|l| l.key);
        match &self.out {
            Some(out) => out.send(piece).await.is_ok(),
            None => true,
        }
    }
}

/// The command for messages that are not listed yet, until it is over.
struct Bodies(Option<Asked>);

struct Asked {
    id: u64,
    unlisted: Unlisted,
    body: Option<BodyBuilder>,
    /// Octets that came and are not kept.
    dropped: u64,
}

impl Bodies {
    fn ended() -> Self {
        Self(None)
    }

    fn have_ended(&self) -> bool {
        self.0.is_none()
    }

    /// Octets that came and were not kept.
    fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |asked| asked.dropped)
    }

    /// True for the number of the command.
    fn are(&self, id: u64) -> bool {
        self.0.as_ref().is_some_and(|asked| asked.id == id)
    }

    async fn octets(&mut self, begins: Option<u64>, octets: Bytes) -> Result<(), EndError> {
        let Some(asked) = &mut self.0 else { return Ok(()) };
        if let Some(announced) = begins {
            asked.body = asked.begin(announced);
        }
        match &mut asked.body {
            Some(body) => body.push_shared(octets).await,
            None => {
                asked.dropped += octets.len() as u64;
                Ok(())
            }
        }
    }

    async fn data(&mut self, fetch: &Fetch) -> Result<(), EndError> {
        let Some(asked) = &mut self.0 else { return Ok(()) };
        let body = asked.body.take();
        // A reply is used only for the UID stated inside it (I10).
        let Some(key) = fetch.uid.map(key) else { return Ok(()) };
        let body = match (&fetch.body, body) {
            (WireBody::Literal(_), body) => body,
            (WireBody::Quoted(octets), _) => {
                let mut body = asked.begin(octets.len() as u64);
                if let Some(body) = &mut body {
                    body.push(octets).await?;
                }
                body
            }
            _ => None,
        };
        // Neither empty nor gone until proven (law 7), which is done when it is listed.
        if let Some(body) = body.filter(|body| body.octets() > 0) {
            let (flags, body) = (fetch.flags.as_ref().map(|f| flags(f)), body.finish().await?);
            asked.tell(FetchEvent::Fetched(Fetched { key, flags, body })).await;
        }
        Ok(())
    }

    async fn done(&mut self, status: Status, text: &StatusText) {
        if let Some(asked) = self.0.take()
            && status != Status::Ok
        {
            let refused = Some(quirks::refusal(status, text));
            asked.tell(FetchEvent::RangeDone { id: 0, missing: Vec::new(), refused }).await;
        }
    }
}

impl Asked {
    /// Begins a body of so many octets. One for which no memory is left, or that would be spooled, is not kept: it is asked for again
    /// when it is its turn.
    fn begin(&mut self, octets: u64) -> Option<BodyBuilder> {
        if octets > self.unlisted.intake.in_memory_octets_max() {
            return None;
        }
        let memory = self.unlisted.memory.part(octets)?;
        Some(self.unlisted.intake.begin(Some(memory)).of_octets(octets, octets))
    }

    async fn tell(&self, event: FetchEvent) {
        // A caller that is gone wants nothing more.
        let _ = self.unlisted.out.send(event).await;
    }
}
