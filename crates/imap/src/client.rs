//! One connection as a state machine. See the crate's documentation for the contract.

use crate::Limits;
use crate::capability::{Capabilities, LITERAL_MINUS_MAX_OCTETS, LiteralMode};
use crate::command::{Barrier, Class, Command, Part};
use crate::cursor::Segment;
use crate::error::{ProtocolError, excerpt};
use crate::framing::{Frame, Framer};
use crate::message::UidValidity;
use crate::response::{Response, Untagged, parse};
use crate::status::{Condition, ResponseCode, Status, StatusText};
use base64::Engine as _;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;

/// A command of this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u64);

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "m{}", self.0)
    }
}

/// The point of no return of an APPEND. Nothing after it leaves before [`Client::open_gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GateId(Tag);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first line of the connection.
    Greeting(Condition, StatusText),
    /// A command is over.
    Tagged {
        /// Which.
        tag: Tag,
        /// How.
        status: Status,
        /// Code and text.
        text: StatusText,
        /// The connection must be closed: octets of it were still to be sent, and nobody waited for them, or commands behind
        /// it relied on its gate.
        premature: bool,
    },
    /// A mailbox is open: just before the tagged OK of its SELECT or EXAMINE.
    Opened(Tag, Box<MailboxFacts>),
    /// Untagged data. `front` is the oldest unanswered command: the one it most likely belongs to.
    Untagged {
        /// The data.
        data: Untagged,
        /// The oldest unanswered command.
        front: Option<Tag>,
        /// Which SELECT or EXAMINE of the connection it belongs to, counted from 1.
        selection: u64,
    },
    /// A message body begins. Its response follows after [`Event::BodyEnd`], as untagged data.
    BodyStart {
        /// The attribute, as written.
        section: Bytes,
        /// Octets to come.
        len: u64,
        /// The oldest unanswered command.
        front: Option<Tag>,
    },
    /// Octets of the body.
    BodyChunk(Bytes),
    /// The body is complete.
    BodyEnd,
    /// A challenge of AUTHENTICATE, decoded; `None` if it was no base64.
    Challenge(Option<Vec<u8>>),
}

/// What SELECT or EXAMINE said of a mailbox (RFC 9051, 6.3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailboxFacts {
    /// EXISTS
    pub exists: u32,
    /// UIDVALIDITY
    pub uid_validity: Option<UidValidity>,
    /// UIDNEXT
    pub uid_next: Option<u32>,
    /// HIGHESTMODSEQ
    pub highest_mod_seq: Option<u64>,
    /// UIDNOTSTICKY
    pub uid_not_sticky: bool,
    /// READ-ONLY
    pub read_only: bool,
    /// MAILBOXID
    pub mailbox_id: Option<Bytes>,
}

/// What the driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write these octets.
    Write(Bytes),
    /// Supply the next octets of the body that is being appended, by [`Client::supply`].
    Pull {
        /// Octets left.
        remaining: u64,
    },
    /// Everything before the gate was handed out: flush. Nothing more comes before the gate opens.
    Gate(GateId),
    /// Nothing before the server answers.
    AwaitServer,
    /// Nothing.
    Idle,
}

#[derive(Debug)]
struct Pending {
    tag: Tag,
    class: Class,
    /// SELECT: its data has begun.
    begun: bool,
}

#[derive(Debug)]
struct Sending {
    tag: Tag,
    parts: VecDeque<Part>,
    class: Class,
    started: bool,
}

/// A body on its way out.
#[derive(Debug)]
struct Streaming {
    remaining: u64,
    gated: bool,
}

/// See the crate's documentation.
#[derive(Debug)]
pub struct Client {
    limits: Limits,
    framer: Framer,
    greeted: bool,
    capabilities: Option<Capabilities>,
    /// They were told since the last login began.
    told_in_login: bool,
    literal_mode: LiteralMode,
    queue: VecDeque<Sending>,
    pending: VecDeque<Pending>,
    next_tag: u64,
    out: BytesMut,
    streaming: Option<Streaming>,
    /// The withheld octet of the body before the gate.
    held: Option<Bytes>,
    gate: Option<GateId>,
    opened_gates: HashSet<GateId>,
    awaiting_continuation: bool,
    selection: u64,
    facts: MailboxFacts,
    in_body: bool,
    /// The OK to this was the last answer: until the layer below is another one nothing more is read or written.
    switching: Option<Barrier>,
    unknown_lines: u64,
    ready: VecDeque<Event>,
}

impl Client {
    /// A connection that has just been made.
    pub fn new(limits: Limits) -> Self {
        Self {
            framer: Framer::new(limits),
            limits,
            greeted: false,
            capabilities: None,
            told_in_login: false,
            literal_mode: LiteralMode::Synchronizing,
            queue: VecDeque::new(),
            pending: VecDeque::new(),
            next_tag: 1,
            out: BytesMut::new(),
            streaming: None,
            held: None,
            gate: None,
            opened_gates: HashSet::new(),
            awaiting_continuation: false,
            selection: 0,
            facts: MailboxFacts::default(),
            in_body: false,
            switching: None,
            unknown_lines: 0,
            ready: VecDeque::new(),
        }
    }

    /// Octets from the server.
    pub fn feed(&mut self, octets: &[u8]) {
        self.framer.feed(octets);
    }

    /// Where octets from the server can be put without a copy: append to it, change nothing else.
    pub fn input(&mut self) -> &mut BytesMut {
        self.framer.input()
    }

    /// What the server said it can do; `None` before it said so, after STARTTLS, and after a login that did not say it anew
    /// (RFC 9051, 6.2.2: what was announced before no longer counts), until asked again.
    pub fn capabilities(&self) -> Option<&Capabilities> {
        self.capabilities.as_ref()
    }

    /// How literals are sent from now on. Never more than the server announced.
    pub fn set_literal_mode(&mut self, mode: LiteralMode) {
        self.literal_mode = mode;
    }

    /// From now on no more commands than this are unanswered at once, however many the limits allow; with 0 no further one is
    /// begun.
    pub fn narrow_pipeline(&mut self, commands: usize) {
        self.limits.pipeline_depth = self.limits.pipeline_depth.min(commands);
    }

    /// True while a command that has begun is not answered.
    pub fn is_awaiting_answers(&self) -> bool {
        !self.pending.is_empty()
    }

    /// False as long as no octet of a submitted command was handed out.
    pub fn has_begun(&self, tag: Tag) -> bool {
        !self.queue.iter().any(|sending| sending.tag == tag && !sending.started)
    }

    /// Forgets what the server said it can do: after STARTTLS and after a login it may be something else.
    fn forget_capabilities(&mut self) {
        self.capabilities = None;
    }

    /// Lines that nothing here understands.
    pub fn unknown_lines(&self) -> u64 {
        self.unknown_lines
    }

    /// True between responses, with nothing half-read: where a connection may end without loss.
    pub fn is_between_responses(&self) -> bool {
        self.framer.is_between_responses() && !self.in_body
    }

    /// Queues a command. Its octets come out of [`Client::next_output`] in order.
    pub fn submit(&mut self, command: Command) -> Tag {
        let tag = Tag(self.next_tag);
        self.next_tag += 1;
        self.queue.push_back(Sending { tag, parts: command.parts, class: command.class, started: false });
        tag
    }

    /// The gate of a command that has one.
    pub fn gate_of(tag: Tag) -> GateId {
        GateId(tag)
    }

    /// Opens a gate: the withheld octet and everything after it come out.
    pub fn open_gate(&mut self, gate: GateId) {
        self.opened_gates.insert(gate);
    }

    /// The answer to a challenge, encoded here; `None` cancels (RFC 9051, 6.2.2).
    pub fn respond(&mut self, answer: Option<&[u8]>) {
        match answer {
            Some(answer) => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(answer);
                self.out.put_slice(encoded.as_bytes());
            }
            None => self.out.put_slice(b"*"),
        }
        self.out.put_slice(b"\r\n");
    }

    /// After the OK to STARTTLS, before the handshake: fails if the server said anything more in clear text.
    pub fn starttls_done(&mut self) -> Result<(), ProtocolError> {
        let octets = self.framer.waiting();
        if octets > 0 || self.switching != Some(Barrier::StartTls) {
            return Err(ProtocolError::InjectedBeforeTls { octets });
        }
        self.switching = None;
        self.forget_capabilities();
        Ok(())
    }

    /// After the OK to COMPRESS: takes out the octets that were read beyond its line end. They are compressed, as all
    /// that follow in both directions (RFC 4978, 3); what is fed from now on is what was inflated. `None` if the last
    /// answer was no such OK.
    pub fn compress_done(&mut self) -> Option<Bytes> {
        let switching = self.switching.take_if(|layer| *layer == Barrier::Compress);
        switching.map(|_| self.framer.take_waiting())
    }

    // ---- output

    /// What to do next. Call again after each [`Output::Write`] and [`Client::supply`].
    pub fn next_output(&mut self) -> Output {
        if self.switching.is_some() {
            return Output::AwaitServer;
        }
        loop {
            if self.streaming.is_none() && self.gate.is_none() && !self.awaiting_continuation {
                self.fill();
            }
            if !self.out.is_empty() {
                return Output::Write(self.out.split().freeze());
            }
            if self.awaiting_continuation {
                return Output::AwaitServer;
            }
            if let Some(streaming) = &self.streaming {
                if streaming.remaining > 0 {
                    return Output::Pull { remaining: streaming.remaining };
                }
                self.streaming = None;
                continue;
            }
            if let Some(gate) = self.gate {
                if !self.opened_gates.remove(&gate) {
                    return Output::Gate(gate);
                }
                self.gate = None;
                if let Some(held) = self.held.take() {
                    self.out.put_slice(&held);
                }
                continue;
            }
            return if self.queue.is_empty() { Output::Idle } else { Output::AwaitServer };
        }
    }

    /// The next octets of the body that [`Output::Pull`] asked for. Octets beyond its length are ignored: the length
    /// was announced and cannot change.
    pub fn supply(&mut self, octets: Bytes) -> Output {
        let Some(streaming) = &mut self.streaming else { return Output::Idle };
        let take = (octets.len() as u64).min(streaming.remaining);
        let mut octets = octets.slice(..usize::try_from(take).unwrap_or(usize::MAX));
        streaming.remaining -= take;
        if streaming.remaining == 0 && streaming.gated && !octets.is_empty() {
            // The withheld octet is not handed out, so that no layer below can flush it (law of the gate).
            self.held = Some(octets.split_off(octets.len() - 1));
            self.streaming = None;
        }
        if octets.is_empty() { self.next_output() } else { Output::Write(octets) }
    }

    /// Moves parts of queued commands into the output until something has to be waited for.
    fn fill(&mut self) {
        while let Some(front) = self.queue.front_mut() {
            if !front.started {
                let is_barrier = |class| matches!(class, Class::Barrier(_));
                let barrier_open = self.pending.iter().any(|p| is_barrier(p.class));
                let must_drain = is_barrier(front.class) && !self.pending.is_empty();
                if barrier_open || must_drain || self.pending.len() >= self.limits.pipeline_depth {
                    return;
                }
                front.started = true;
                self.told_in_login &= front.class != Class::Barrier(Barrier::Login);
                self.pending.push_back(Pending { tag: front.tag, class: front.class, begun: false });
                let _ = write!(self.out, "{} ", front.tag);
            }
            let tag = front.tag;
            let Some(part) = front.parts.pop_front() else {
                self.queue.pop_front();
                continue;
            };
            match part {
                Part::Text(text) => self.out.put_slice(&text),
                Part::Literal(octets) => {
                    if self.announce(octets.len() as u64) {
                        self.out.put_slice(&octets);
                    } else if let Some(front) = self.queue.front_mut() {
                        front.parts.push_front(Part::Text(octets));
                        return;
                    }
                }
                Part::Stream { len, gated } => {
                    let goes_on = self.announce(len);
                    self.streaming = Some(Streaming { remaining: len, gated });
                    self.gate = gated.then_some(GateId(tag));
                    if len == 0 && goes_on {
                        self.streaming = None;
                        continue;
                    }
                    return;
                }
                Part::Gate => {
                    self.gate = Some(GateId(tag));
                    return;
                }
            }
        }
    }

    /// Writes `{n}` or `{n+}`; false when the server must answer first (RFC 7888).
    fn announce(&mut self, len: u64) -> bool {
        let plus = match self.literal_mode {
            LiteralMode::Synchronizing => false,
            LiteralMode::Minus => len <= LITERAL_MINUS_MAX_OCTETS,
            LiteralMode::Plus => len <= self.limits.literal_plus_max_octets,
        };
        let mark = if plus { "+" } else { "" };
        // It grows as it must: writing to it cannot fail.
        let _ = write!(self.out, "{{{len}{mark}}}\r\n");
        self.awaiting_continuation = !plus;
        plus
    }

    // ---- input

    /// The next event; `None` when more octets are needed, and after the OK to STARTTLS or COMPRESS until the connection
    /// has its new layer.
    pub fn next_event(&mut self) -> Result<Option<Event>, ProtocolError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.switching.is_some() {
                return Ok(None);
            }
            let Some(frame) = self.framer.next_frame()? else { return Ok(None) };
            match frame {
                Frame::BodyStart { section, len, .. } => {
                    self.in_body = true;
                    self.begin_selection();
                    return Ok(Some(Event::BodyStart { section, len, front: self.front() }));
                }
                Frame::BodyChunk(octets) => return Ok(Some(Event::BodyChunk(octets))),
                Frame::BodyEnd => {
                    self.in_body = false;
                    return Ok(Some(Event::BodyEnd));
                }
                Frame::Response(segments) => {
                    self.response(&segments)?;
                    self.framer.reuse(segments);
                }
            }
        }
    }

    fn front(&self) -> Option<Tag> {
        self.pending.front().map(|p| p.tag)
    }

    fn response(&mut self, segments: &[Segment]) -> Result<(), ProtocolError> {
        let line = || match segments.first() {
            Some(Segment::Text(text)) => excerpt(text),
            _ => String::new(),
        };
        match parse(segments) {
            Some(Response::Continue(text)) => self.continuation(text),
            Some(Response::Untagged(data)) => self.untagged(data),
            Some(Response::Tagged { tag, status, text }) => {
                let known = self.pending.iter().position(|p| p.tag.to_string().as_bytes() == tag);
                let Some(pending) = known.and_then(|at| self.pending.remove(at)) else {
                    return Err(ProtocolError::UnknownTag { line: line() });
                };
                self.tagged(&pending, status, text);
            }
            None => return Err(ProtocolError::UnknownTag { line: line() }),
        }
        Ok(())
    }

    fn continuation(&mut self, text: Bytes) {
        if self.awaiting_continuation {
            self.awaiting_continuation = false;
            return;
        }
        let authenticating = self.pending.front().is_some_and(|p| p.class == Class::Barrier(Barrier::Login));
        if authenticating {
            let challenge = base64::engine::general_purpose::STANDARD.decode(&text).ok();
            self.ready.push_back(Event::Challenge(challenge));
        } else {
            // A `+` that nobody asked for.
            self.untagged(Untagged::Other(text));
        }
    }

    fn tagged(&mut self, pending: &Pending, status: Status, text: StatusText) {
        self.learn(&text);
        let logged_in = pending.class == Class::Barrier(Barrier::Login) && status == Status::Ok;
        if logged_in && !self.told_in_login {
            self.forget_capabilities();
        }
        let tag = pending.tag;
        let premature = self.queue.front().is_some_and(|s| s.tag == tag && s.started);
        if premature && self.awaiting_continuation {
            // The server said NO instead of `+`: the rest of the command is not sent.
            let rest = self.queue.pop_front().map(|sending| sending.parts).unwrap_or_default();
            let gate_is_shut = self.gate.is_some() || rest.iter().any(Part::is_gate);
            self.awaiting_continuation = false;
            self.streaming = None;
            self.gate = None;
            self.held = None;
            // The commands behind it in a group have no gate but this one: none of them may go out.
            let relies = |next: &Sending| {
                next.parts.iter().any(Part::is_body) && !next.parts.iter().any(Part::is_gate)
            };
            let premature = gate_is_shut && self.queue.front().is_some_and(relies);
            self.ready.push_back(Event::Tagged { tag, status, text, premature });
            return;
        }
        if pending.class == Class::Selects {
            if !pending.begun {
                self.selection += 1;
                self.facts = MailboxFacts::default();
            }
            if status == Status::Ok {
                if text.code.as_ref().is_some_and(|c| c.name() == "READ-ONLY") {
                    self.facts.read_only = true;
                }
                self.ready.push_back(Event::Opened(tag, Box::new(self.facts.clone())));
            }
        }
        self.switching = match pending.class {
            Class::Barrier(layer) if layer != Barrier::Login && status == Status::Ok => Some(layer),
            _ => None,
        };
        self.ready.push_back(Event::Tagged { tag, status, text, premature });
    }

    /// Data that comes while a SELECT is the oldest unanswered command belongs to the mailbox it opens.
    fn begin_selection(&mut self) {
        if let Some(front) = self.pending.front_mut().filter(|p| p.class == Class::Selects && !p.begun) {
            front.begun = true;
            self.selection += 1;
            self.facts = MailboxFacts::default();
        }
    }

    fn untagged(&mut self, data: Untagged) {
        if let (Untagged::Status(condition, text), false) = (&data, self.greeted) {
            self.greeted = true;
            let (condition, text) = (*condition, text.clone());
            self.learn(&text);
            self.ready.push_back(Event::Greeting(condition, text));
            return;
        }
        self.begin_selection();
        match &data {
            Untagged::Capability(capabilities) => self.announced(capabilities),
            Untagged::Exists(exists) => self.facts.exists = *exists,
            Untagged::Expunge(_) => self.facts.exists = self.facts.exists.saturating_sub(1),
            Untagged::Status(_, text) => self.learn(text),
            Untagged::Other(_) => self.unknown_lines += 1,
            _ => {}
        }
        self.ready.push_back(Event::Untagged { data, front: self.front(), selection: self.selection });
    }

    fn announced(&mut self, capabilities: &Capabilities) {
        self.capabilities = Some(capabilities.clone());
        self.told_in_login = true;
    }

    fn learn(&mut self, text: &StatusText) {
        match &text.code {
            Some(ResponseCode::Capability(capabilities)) => self.announced(capabilities),
            Some(ResponseCode::UidValidity(validity)) => self.facts.uid_validity = Some(*validity),
            Some(ResponseCode::UidNext(next)) => self.facts.uid_next = Some(*next),
            Some(ResponseCode::HighestModSeq(seq)) => self.facts.highest_mod_seq = Some(*seq),
            Some(ResponseCode::MailboxId(id)) => self.facts.mailbox_id = Some(id.clone()),
            Some(code) if code.name() == "UIDNOTSTICKY" => self.facts.uid_not_sticky = true,
            _ => {}
        }
    }

    /// EXISTS of the selected mailbox as last told.
    pub fn exists(&self) -> u32 {
        self.facts.exists
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
