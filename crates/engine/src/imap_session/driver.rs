//! The task of one connection: reads and writes at once, hands what arrives to whoever asked for it, keeps the limits.
//!
//! A slow reader of bodies stops the socket, so that memory stays bounded; what this side writes meanwhile are short
//! commands, or bodies on a connection that reads none.

use crate::alerts::Alerts;
use crate::error::EndError;
use crate::limits::Limits;
use crate::net::{self, Stream};
use crate::quirks;
use crate::transfer::spool::Body;
use bytes::{Buf, Bytes, BytesMut};
use mailhaul_imap::{
    Client, Command, Condition, Event, GateId, MailboxFacts, Output, Status, StatusText, Tag, Untagged,
};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

/// Octets that room is made for when there is little left.
const READ_OCTETS: usize = 256 * 1024;
/// With less room than this new room is made.
const READ_OCTETS_MIN: usize = 32 * 1024;

/// How long a connection that cannot be written to any more is read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Short pieces to write are put together up to this.
const GATHERED_OCTETS: usize = 32 * 1024;

/// What one command gives, in order.
#[derive(Debug)]
pub(crate) enum Item {
    /// Untagged data.
    Data(Untagged),
    /// Octets of a body, the first ones with the number of all.
    Body { begins: Option<u64>, octets: Bytes },
    /// SELECT or EXAMINE succeeded.
    Opened(Box<MailboxFacts>),
    /// Everything before the gate has left.
    AtGate,
    /// The command is over. `premature`: octets of it were still going out unasked; the connection is closed.
    Done { id: u64, status: Status, text: StatusText },
    /// The connection ended before the answer.
    Lost(EndError),
    /// The connection ended before the first octet of the command left this process: the server knows nothing of it.
    Unsent { id: u64, why: EndError },
}

/// The bodies of an APPEND, in order.
#[derive(Debug, Default)]
pub(crate) struct Bodies(pub(crate) VecDeque<Body>);

impl Bodies {
    pub(crate) fn none() -> Self {
        Self::default()
    }
}

/// What a connection is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Send a command.
    Command {
        id: u64,
        command: Command,
        bodies: Bodies,
        doing: &'static str,
        limit: Duration,
        sink: mpsc::Sender<Item>,
    },
    /// Open the gate of a command.
    OpenGate(u64),
    /// Cut the connection.
    Abort,
}

struct Open {
    id: u64,
    doing: &'static str,
    limit: Duration,
    sink: mpsc::Sender<Item>,
}

pub(crate) struct Driver {
    pub(crate) server: String,
    pub(crate) stream: Stream,
    pub(crate) client: Client,
    pub(crate) limits: Limits,
    alerts: Alerts,
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    open: HashMap<Tag, Open>,
    order: VecDeque<Tag>,
    gates: HashMap<u64, Tag>,
    /// With the command that each belongs to.
    bodies: VecDeque<(Tag, Body)>,
    /// Octets of the first body already handed out.
    offset: u64,
    out: Bytes,
    /// Short pieces, and a long one after them, on their way to `out`.
    gathered: BytesMut,
    long: Bytes,
    unflushed: bool,
    at_gate: Option<GateId>,
    told_gate: Option<GateId>,
    progress: Instant,
    /// Who gets the octets of the present body, and how many there are until the first ones come.
    reader: Option<mpsc::Sender<Item>>,
    begins: Option<u64>,
    bye: Option<String>,
    closing: bool,
    /// BADs that may still come before the connection is given up here: the server would end it, answered or not. No more
    /// commands than that are unanswered, so that what is on its way cannot be one too many.
    bads_left: Option<u32>,
}

/// What the socket did.
enum Io {
    Read(usize),
    Wrote(usize),
    Flushed,
}

enum Wake {
    Io(std::io::Result<Io>),
    Request(Option<Request>),
    Late,
}

impl Driver {
    pub(crate) fn new(
        server: String,
        stream: Stream,
        client: Client,
        limits: Limits,
        requests: mpsc::UnboundedReceiver<Request>,
        bad_commands_max: Option<u32>,
        alerts: Alerts,
    ) -> Self {
        let mut driver = Self {
            server,
            stream,
            client,
            limits,
            alerts,
            requests,
            open: HashMap::new(),
            order: VecDeque::new(),
            gates: HashMap::new(),
            bodies: VecDeque::new(),
            offset: 0,
            out: Bytes::new(),
            gathered: BytesMut::new(),
            long: Bytes::new(),
            unflushed: false,
            at_gate: None,
            told_gate: None,
            progress: Instant::now(),
            reader: None,
            begins: None,
            bye: None,
            closing: false,
            // With none left nothing would ever be asked.
            bads_left: bad_commands_max.map(|max| max.saturating_sub(1).max(1)),
        };
        driver.keep_under_the_last_bad();
        driver
    }

    fn keep_under_the_last_bad(&mut self) {
        if let Some(left) = self.bads_left {
            self.client.narrow_pipeline(left as usize);
        }
    }

    /// Runs until the connection ends. Whatever is unanswered then is told so.
    pub(crate) async fn run(mut self) {
        let error = self.serve().await;
        self.requests.close();
        for tag in std::mem::take(&mut self.order) {
            if let Some(open) = self.open.remove(&tag) {
                let why = with_doing(&error, open.doing);
                let told = match self.client.has_begun(tag) {
                    true => Item::Lost(why),
                    false => Item::Unsent { id: open.id, why },
                };
                let _ = open.sink.send(told).await;
            }
        }
        while let Ok(request) = self.requests.try_recv() {
            if let Request::Command { id, doing, sink, .. } = request {
                let _ = sink.send(Item::Unsent { id, why: with_doing(&error, doing) }).await;
            }
        }
    }

    async fn serve(&mut self) -> EndError {
        loop {
            match self.events().await {
                Ok(()) => {}
                Err(error) => return error,
            }
            if let Err(error) = self.fill().await {
                return error;
            }
            let deadline = self.deadline();
            let wake = {
                let Self { stream, client, out, unflushed, requests, .. } = self;
                tokio::select! {
                    biased;
                    request = requests.recv() => Wake::Request(request),
                    io = std::future::poll_fn(|cx| poll_io(stream, client, out, *unflushed, cx)) => Wake::Io(io),
                    () = tokio::time::sleep_until(deadline) => Wake::Late,
                }
            };
            match wake {
                Wake::Request(Some(request)) => {
                    if let Some(error) = self.request(request) {
                        return error;
                    }
                }
                // Nobody can ask any more: a graceful end, or the owner is gone.
                Wake::Request(None) => return self.lost("LOGOUT", "closed here"),
                Wake::Io(Ok(Io::Read(0))) => return self.ended(),
                Wake::Io(Ok(Io::Read(_))) => {
                    self.progress = Instant::now();
                    self.stream.acknowledge_quickly();
                }
                Wake::Io(Ok(Io::Wrote(octets))) => {
                    self.progress = Instant::now();
                    self.out.advance(octets);
                    self.unflushed = true;
                }
                Wake::Io(Ok(Io::Flushed)) => self.unflushed = false,
                Wake::Io(Err(error)) if net::is_corrupt(&error) => {
                    let (server, what) = (self.server.clone(), error.to_string());
                    return EndError::Protocol { server, doing: self.doing(), what };
                }
                Wake::Io(Err(error)) => return self.broken(&error).await,
                Wake::Late => {
                    if let Some(error) = self.late() {
                        return error;
                    }
                }
            }
        }
    }

    /// Nothing can be written any more, or read: what the server said before that is handed on first. It is what tells why it left,
    /// and which messages it had answered for when commands after them were still going out.
    async fn broken(&mut self, why: &std::io::Error) -> EndError {
        let until = Instant::now() + LAST_WORDS;
        loop {
            let Self { stream, client, .. } = self;
            let read = std::future::poll_fn(|cx| poll_read(stream, client, cx));
            let Ok(Ok(1..)) = tokio::time::timeout_at(until, read).await else { break };
            if let Err(error) = self.events().await {
                return error;
            }
        }
        self.lost(self.doing(), &why.to_string())
    }

    fn doing(&self) -> &'static str {
        self.order.front().and_then(|t| self.open.get(t)).map_or("waiting", |o| o.doing)
    }

    fn lost(&self, doing: &'static str, what: &str) -> EndError {
        let what = self.bye.clone().unwrap_or_else(|| what.to_owned());
        EndError::Lost { server: self.server.clone(), doing, what }
    }

    fn ended(&self) -> EndError {
        let clean = self.client.is_between_responses();
        self.lost(
            self.doing(),
            if clean { "end of the connection" } else { "end in the middle of an answer" },
        )
    }

    fn request(&mut self, request: Request) -> Option<EndError> {
        match request {
            Request::Command { id, command, bodies, doing, limit, sink } => {
                if self.open.is_empty() {
                    self.progress = Instant::now();
                }
                let tag = self.client.submit(command);
                // Nothing is asked of an empty one.
                let some = bodies.0.into_iter().filter(|body| body.octets() > 0);
                self.bodies.extend(some.map(|body| (tag, body)));
                self.gates.insert(id, tag);
                self.open.insert(tag, Open { id, doing, limit, sink });
                self.order.push_back(tag);
                self.closing |= doing == "LOGOUT";
            }
            Request::OpenGate(id) => {
                if let Some(tag) = self.gates.get(&id) {
                    self.client.open_gate(Client::gate_of(*tag));
                    self.progress = Instant::now();
                }
            }
            Request::Abort => return Some(self.lost(self.doing(), "cut here")),
        }
        None
    }

    /// Takes the next octets to write, as far as they can be had, and tells of a gate that is reached. Short pieces are
    /// put together: each write costs a system call, and a packet.
    async fn fill(&mut self) -> Result<(), EndError> {
        if !self.out.is_empty() {
            return Ok(());
        }
        self.out = std::mem::take(&mut self.long);
        if !self.out.is_empty() {
            return Ok(());
        }
        self.at_gate = None;
        let mut output = self.client.next_output();
        loop {
            match output {
                Output::Write(octets) if octets.len() >= GATHERED_OCTETS => {
                    self.long = octets;
                    break;
                }
                Output::Write(octets) => {
                    self.gathered.extend_from_slice(&octets);
                    if self.gathered.len() >= GATHERED_OCTETS {
                        break;
                    }
                    output = self.client.next_output();
                }
                Output::Pull { remaining } => {
                    let piece = self.piece(remaining).await?;
                    output = self.client.supply(piece);
                }
                Output::Gate(gate) if self.gathered.is_empty() => {
                    self.at_gate = Some(gate);
                    // Told only when everything before it has left this process.
                    if !self.unflushed && self.told_gate != Some(gate) {
                        self.told_gate = Some(gate);
                        self.tell_gate(gate).await;
                    }
                    return Ok(());
                }
                Output::Gate(_) | Output::AwaitServer | Output::Idle => break,
            }
        }
        self.out = match self.gathered.is_empty() {
            true => std::mem::take(&mut self.long),
            false => self.gathered.split().freeze(),
        };
        Ok(())
    }

    async fn tell_gate(&mut self, gate: GateId) {
        let at = self.open.iter().find(|(tag, _)| Client::gate_of(**tag) == gate);
        if let Some((_, open)) = at {
            let _ = open.sink.send(Item::AtGate).await;
        }
    }

    /// The next octets of the bodies on their way.
    async fn piece(&mut self, remaining: u64) -> Result<Bytes, EndError> {
        let Some((_, body)) = self.bodies.front() else {
            return Err(self.lost("APPEND", "the octets announced are not there"));
        };
        let piece = body.piece(self.offset).await?;
        let take = usize::try_from(remaining).unwrap_or(usize::MAX).min(piece.len());
        self.offset += take as u64;
        // What was reserved for a body is free once its octets are on their way: it must not wait for the next APPEND.
        if self.offset >= body.octets() {
            self.bodies.pop_front();
            self.offset = 0;
        }
        Ok(piece.slice(..take))
    }

    /// A command that is over takes no octets any more: those of one that was refused before they were asked for must not go
    /// out with the next.
    fn forget_bodies(&mut self, of: Tag) {
        if self.bodies.front().is_some_and(|(tag, _)| *tag == of) {
            self.offset = 0;
        }
        self.bodies.retain(|(tag, _)| *tag != of);
    }

    /// When something is late: the oldest unanswered command, or the next NOOP.
    fn deadline(&self) -> Instant {
        let waits_at_own_gate = self.order.front().is_some_and(|t| self.at_gate == Some(Client::gate_of(*t)));
        match self.order.front().and_then(|t| self.open.get(t)) {
            _ if waits_at_own_gate => self.progress + self.limits.give_up,
            Some(_) if !self.out.is_empty() => self.progress + self.limits.write_stall,
            Some(open) => self.progress + open.limit,
            None => self.progress + self.limits.keep_alive,
        }
    }

    fn late(&mut self) -> Option<EndError> {
        if let Some(open) = self.order.front().and_then(|t| self.open.get(t)) {
            return Some(EndError::TimedOut {
                server: self.server.clone(),
                doing: open.doing,
                limit: open.limit,
                told: Vec::new(),
            });
        }
        // Idle: keeps the connection, and the NAT entries on its way, alive.
        let (sink, _) = mpsc::channel(1);
        let (command, bodies, limit) = (Command::noop(), Bodies::none(), self.limits.command);
        self.request(Request::Command { id: 0, command, bodies, doing: "NOOP", limit, sink })
    }

    /// Hands on everything that has arrived.
    async fn events(&mut self) -> Result<(), EndError> {
        loop {
            let event = self.client.next_event().map_err(|e| EndError::Protocol {
                server: self.server.clone(),
                doing: self.doing(),
                what: e.to_string(),
            })?;
            let Some(event) = event else { return Ok(()) };
            self.event(event).await?;
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), EndError> {
        self.alerts.hear(&event);
        match event {
            Event::Untagged { data, front, .. } => {
                if let Untagged::Status(Condition::Bye, text) = &data {
                    self.bye = Some(quirks::last_words(text));
                }
                self.give(front, Item::Data(data)).await;
            }
            Event::BodyStart { front, len, .. } => {
                self.reader = front.and_then(|t| self.open.get(&t)).map(|o| o.sink.clone());
                self.begins = Some(len);
            }
            Event::BodyChunk(octets) => self.read_on(octets).await,
            Event::BodyEnd if self.begins.is_some() => self.read_on(Bytes::new()).await,
            Event::BodyEnd => {}
            Event::Opened(tag, facts) => self.give(Some(tag), Item::Opened(facts)).await,
            Event::Tagged { tag, status, text, premature } => {
                self.order.retain(|t| *t != tag);
                self.forget_bodies(tag);
                if status == Status::Bad {
                    self.bads_left = self.bads_left.map(|left| left.saturating_sub(1));
                    self.keep_under_the_last_bad();
                }
                if let Some(open) = self.open.remove(&tag) {
                    self.gates.remove(&open.id);
                    let done = Item::Done { id: open.id, status, text: text.clone() };
                    // A caller that is gone does not stop the connection.
                    let _ = open.sink.send(done).await;
                }
                self.progress = Instant::now();
                if premature {
                    // What still goes out would be taken for commands (rust-stack.md, rule 14).
                    return Err(
                        self.lost("APPEND", &format!("refused while it was sent: {}", text.display_text()))
                    );
                }
                if self.closing && self.open.is_empty() {
                    return Err(self.lost("LOGOUT", "closed here"));
                }
                if self.bads_left == Some(0) && !self.client.is_awaiting_answers() {
                    return Err(self.lost("waiting", "closed here: one BAD more and the server would do it"));
                }
            }
            Event::Greeting(..) | Event::Challenge(_) => {}
        }
        Ok(())
    }

    async fn give(&mut self, tag: Option<Tag>, item: Item) {
        if let Some(open) = tag.and_then(|t| self.open.get(&t)) {
            let _ = open.sink.send(item).await;
        }
    }

    async fn read_on(&mut self, octets: Bytes) {
        let begins = self.begins.take();
        if let Some(reader) = &self.reader {
            let _ = reader.send(Item::Body { begins, octets }).await;
        }
    }
}

/// Writes, flushes and reads, whatever is possible first. Reading goes before flushing only when there is nothing to
/// write.
fn poll_io(
    stream: &mut Stream,
    client: &mut Client,
    out: &Bytes,
    unflushed: bool,
    cx: &mut Context<'_>,
) -> Poll<std::io::Result<Io>> {
    if !out.is_empty() {
        if let Poll::Ready(wrote) = Pin::new(&mut *stream).poll_write(cx, out) {
            return Poll::Ready(match wrote {
                Ok(0) => Err(std::io::ErrorKind::WriteZero.into()),
                other => other.map(Io::Wrote),
            });
        }
    } else if unflushed && let Poll::Ready(flushed) = Pin::new(&mut *stream).poll_flush(cx) {
        return Poll::Ready(flushed.map(|()| Io::Flushed));
    }
    poll_read(stream, client, cx).map_ok(Io::Read)
}

fn poll_read(stream: &mut Stream, client: &mut Client, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
    let buffer = client.input();
    // What was handed on still lies in the same memory: new room each time would be allocated anew.
    if buffer.capacity() - buffer.len() < READ_OCTETS_MIN {
        buffer.reserve(READ_OCTETS);
    }
    poll_read_buf(Pin::new(stream), cx, buffer)
}

fn with_doing(error: &EndError, doing: &'static str) -> EndError {
    let mut error = error.clone();
    if let EndError::Lost { doing: d, .. }
    | EndError::TimedOut { doing: d, .. }
    | EndError::Protocol { doing: d, .. } = &mut error
    {
        *d = doing;
    }
    error
}
