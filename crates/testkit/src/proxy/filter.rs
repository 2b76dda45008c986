//! Faults that depend on what the octets mean: pure, octets in, octets out, and perhaps an end.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::framing::{Framing, Seen};
use super::{Direction, Fault, How, Plan};

/// Octets of the header of a TLS record: type, version, length (RFC 8446 section 5.1).
const TLS_HEADER_OCTETS: usize = 5;

/// What comes after the last octet that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The connection is cut.
    Cut(How),
    /// The client goes, or is made to; then the octets reach the server.
    Late(LateDelivery),
}

/// See [`Fault::Late`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LateDelivery {
    pub(super) octets: Vec<u8>,
    pub(super) after: Duration,
    pub(super) hang_up: Option<How>,
}

/// Told whenever a command of a name is complete on its way to the server.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The command's name in capitals.
    pub command: String,
    /// Gets the ordinal of the connection, just before the command's last octet leaves.
    pub told: Sender<usize>,
}

/// The filters of one direction, in the order in which octets pass them.
#[derive(Debug, Default)]
pub(super) struct Filters(Vec<Filter>);

impl Filters {
    /// The filters that a plan, and a watch on connection `ordinal`, ask for: to the server, to the client.
    pub(super) fn of(plan: &Plan, watch: Option<&Watch>, ordinal: usize) -> (Self, Self) {
        let (mut up, mut down) = (Self::default(), Self::default());
        for fault in plan {
            match fault {
                Fault::CutAfterLiteral { direction, nth, how } => {
                    let lane = if *direction == Direction::ToServer { &mut up } else { &mut down };
                    lane.0.push(Filter::cut_after_literal(*direction, *nth, *how));
                }
                Fault::SwallowOk { command, nth } => {
                    let tag = SharedTag::default();
                    up.0.push(Filter::Tags { count: Count::to(command, *nth), tag: tag.clone() });
                    down.0.push(Filter::swallow(tag));
                }
                Fault::Late { command, nth, octets, after, hang_up } => {
                    let end = LateDelivery { octets: Vec::new(), after: *after, hang_up: *hang_up };
                    let count = Count::to(command, *nth);
                    up.0.push(Filter::Late { count, window: VecDeque::new(), keep: *octets, end });
                }
                Fault::TlsEnd { direction, octets } => {
                    let lane = if *direction == Direction::ToServer { &mut up } else { &mut down };
                    lane.0.push(Filter::tls_end(*octets));
                }
                Fault::CutAfter { .. }
                | Fault::Delay(_)
                | Fault::Bandwidth(_)
                | Fault::Slice(_)
                | Fault::Stall { .. }
                | Fault::HalfOpen { .. } => {}
            }
        }
        if let Some(Watch { command, told }) = watch {
            let count = Count::to(command, u64::MAX);
            up.0.push(Filter::Watch { count, told: told.clone(), ordinal });
        }
        (up, down)
    }

    /// What of these octets goes on, and what comes after them.
    pub(super) fn pass(&mut self, octets: Bytes) -> (Bytes, Option<End>) {
        let (mut octets, mut end) = (octets, None);
        for filter in &mut self.0 {
            let mut out = Vec::with_capacity(octets.len());
            // an end of a later filter comes at an earlier octet, or at the same
            end = filter.take(&octets, &mut out).or(end);
            octets = out.into();
        }
        (octets, end)
    }

    /// The sender closed: what is still held back here.
    pub(super) fn rest(&mut self) -> Bytes {
        let held = self.0.iter_mut().flat_map(|filter| match filter {
            Filter::Late { window, .. } => window.drain(..).collect(),
            Filter::Swallow { line, .. } => std::mem::take(line),
            Filter::CutAfterLiteral { .. }
            | Filter::Tags { .. }
            | Filter::Tls { .. }
            | Filter::Watch { .. } => Vec::new(),
        });
        held.collect::<Vec<u8>>().into()
    }
}

/// The tag whose OK is swallowed, once the command was sent.
type SharedTag = Arc<Mutex<Option<Vec<u8>>>>;

/// Counts the commands of a name.
#[derive(Debug)]
struct Count {
    framing: Framing,
    command: String,
    seen: u64,
    nth: u64,
}

impl Count {
    fn to(command: &str, nth: u64) -> Self {
        let command = command.to_ascii_uppercase();
        Self { framing: Framing::of(Direction::ToServer), command, seen: 0, nth }
    }

    /// What the octet was; and if it ends a command of the name, the how many-eth this is.
    fn see(&mut self, octet: u8) -> (Seen, Option<u64>) {
        let seen = self.framing.see(octet);
        if seen == Seen::End && self.framing.name() == self.command {
            self.seen += 1;
            return (seen, Some(self.seen));
        }
        (seen, None)
    }
}

#[derive(Debug)]
enum Filter {
    CutAfterLiteral { framing: Framing, direction: Direction, left: u64, behind_literal: bool, how: How },
    Tags { count: Count, tag: SharedTag },
    Swallow { framing: Framing, tag: SharedTag, line: Vec<u8>, tagged: bool },
    Late { count: Count, window: VecDeque<u8>, keep: usize, end: LateDelivery },
    Tls { header: Vec<u8>, record_left: usize, octets_left: u64 },
    Watch { count: Count, told: Sender<usize>, ordinal: usize },
}

impl Filter {
    fn cut_after_literal(direction: Direction, nth: u64, how: How) -> Self {
        let framing = Framing::of(direction);
        Self::CutAfterLiteral { framing, direction, left: nth.max(1), behind_literal: false, how }
    }

    fn swallow(tag: SharedTag) -> Self {
        let framing = Framing::of(Direction::ToClient);
        Self::Swallow { framing, tag, line: Vec::new(), tagged: false }
    }

    fn tls_end(octets: u64) -> Self {
        Self::Tls { header: Vec::new(), record_left: 0, octets_left: octets.max(1) }
    }

    /// Takes octets; what goes on is put to `out`. After an end the rest goes nowhere.
    fn take(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Option<End> {
        octets.iter().find_map(|octet| self.take_one(*octet, out))
    }

    fn take_one(&mut self, octet: u8, out: &mut Vec<u8>) -> Option<End> {
        match self {
            Self::CutAfterLiteral { framing, direction, left, behind_literal, how } => {
                let counts = *direction == Direction::ToClient || matches!(octet, b'\r' | b'\n');
                if std::mem::take(behind_literal) && counts {
                    *left -= 1;
                    if *left == 0 {
                        return Some(End::Cut(*how));
                    }
                }
                *behind_literal = framing.see(octet) == Seen::LiteralEnd;
                out.push(octet);
                None
            }
            Self::Tags { count, tag } => {
                if count.see(octet).1 == Some(count.nth) {
                    *tag.lock().unwrap_or_else(PoisonError::into_inner) = Some(count.framing.tag().to_vec());
                }
                out.push(octet);
                None
            }
            Self::Swallow { framing, tag, line, tagged } => {
                *tagged = if framing.is_between() { !matches!(octet, b'*' | b'+') } else { *tagged };
                let seen = framing.see(octet);
                if !*tagged {
                    out.push(octet);
                    return None;
                }
                line.push(octet);
                if seen == Seen::End {
                    let mut tag = tag.lock().unwrap_or_else(PoisonError::into_inner);
                    if tag.as_deref() == Some(framing.tag()) && framing.name() == "OK" {
                        *tag = None;
                        line.clear();
                    }
                    out.append(line);
                }
                None
            }
            Self::Late { count, window, keep, end } => {
                let (seen, ordinal) = count.see(octet);
                window.push_back(octet);
                let ends = ordinal == Some(count.nth);
                let waits = matches!(seen, Seen::End | Seen::LiteralAnnounced { synchronising: true });
                let stays = if waits && !ends { 0 } else { *keep };
                out.extend(window.drain(..window.len().saturating_sub(stays)));
                ends.then(|| End::Late(LateDelivery { octets: window.drain(..).collect(), ..end.clone() }))
            }
            Self::Tls { header, record_left, octets_left } => {
                out.push(octet);
                *octets_left = octets_left.saturating_sub(1);
                if *record_left > 0 {
                    *record_left -= 1;
                } else {
                    header.push(octet);
                    if header.len() == TLS_HEADER_OCTETS {
                        *record_left = usize::from(u16::from_be_bytes([header[3], header[4]]));
                        header.clear();
                    }
                }
                let at_boundary = *record_left == 0 && header.is_empty();
                (at_boundary && *octets_left == 0).then_some(End::Cut(How::Fin))
            }
            Self::Watch { count, told, ordinal } => {
                if count.see(octet).1.is_some() {
                    // who asked may have gone
                    let _ = told.send(*ordinal);
                }
                out.push(octet);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes and what comes then, with the octets split at every `piece`.
    fn through(filters: &mut Filters, octets: &[u8], piece: usize) -> (Vec<u8>, Option<End>) {
        let mut passed = Vec::new();
        for piece in octets.chunks(piece) {
            let (out, end) = filters.pass(Bytes::copy_from_slice(piece));
            passed.extend_from_slice(&out);
            if end.is_some() {
                return (passed, end);
            }
        }
        (passed, None)
    }

    fn filters(fault: Fault) -> (Filters, Filters) {
        Filters::of(&vec![fault], None, 0)
    }

    #[test]
    fn a_cut_after_a_literal_counts_those_that_end_their_command() {
        let octets = b"a APPEND x {2+}\r\nhi {2+}\r\nyo\r\nb APPEND x {3}\r\nend\r\n";
        let fault = |nth| Fault::CutAfterLiteral { direction: Direction::ToServer, nth, how: How::Rst };
        for (nth, passes) in [(1, octets.len() - 23), (2, octets.len() - 2)] {
            for piece in [1, 7, 100] {
                let mut up = filters(fault(nth)).0;
                let expected = (octets[..passes].to_vec(), Some(End::Cut(How::Rst)));
                assert_eq!(through(&mut up, octets, piece), expected, "{nth} {piece}");
            }
        }
    }

    #[test]
    fn the_ok_of_one_command_is_swallowed_and_nothing_else() {
        let (mut up, mut down) = filters(Fault::SwallowOk { command: "NOOP".into(), nth: 2 });
        let sent = b"a NOOP\r\nb NOOP\r\nc NOOP\r\n";
        assert_eq!(through(&mut up, sent, 5), (sent.to_vec(), None));
        let answers = b"a OK\r\n* 1 FETCH (X {6}\r\nb OK\r\n)\r\nb OK gone\r\nc OK\r\n";
        for piece in [1, 9, 100] {
            let (mut up, mut down) = filters(Fault::SwallowOk { command: "NOOP".into(), nth: 2 });
            through(&mut up, sent, 100);
            let expected = b"a OK\r\n* 1 FETCH (X {6}\r\nb OK\r\n)\r\nc OK\r\n";
            assert_eq!(through(&mut down, answers, piece), (expected.to_vec(), None));
        }
        assert_eq!(through(&mut down, b"b NO not\r\n", 3).0, b"b NO not\r\n");
        assert_eq!(through(&mut down, b"b OK is not comp", 3).0, b"");
        assert_eq!(down.rest(), &b"b OK is not comp"[..]);
    }

    #[test]
    fn late_octets_are_the_last_of_their_command_and_a_waiting_sender_is_served() {
        let late = |nth| Fault::Late {
            command: "APPEND".into(),
            nth,
            octets: 3,
            after: Duration::from_secs(1),
            hang_up: None,
        };
        let octets = b"a NOOP\r\nb APPEND x {4}\r\nmail\r\nc APPEND x {4}\r\nmore\r\nd";
        for (nth, passes) in [(1, 27), (2, octets.len() - 4)] {
            for piece in [1, 4, 100] {
                let mut up = filters(late(nth)).0;
                let (passed, end) = through(&mut up, octets, piece);
                assert_eq!(passed, octets[..passes], "{nth} {piece}");
                let Some(End::Late(delivery)) = end else { panic!("{end:?}") };
                assert_eq!(delivery.octets, octets[passes..passes + 3]);
            }
        }
        let mut up = filters(late(1)).0;
        assert_eq!(through(&mut up, &octets[..24], 1).0, octets[..24], "the literal is asked for");
        assert_eq!(through(&mut up, b"ma", 1).0, b"");
        assert_eq!(up.rest(), &b"ma"[..]);
    }

    #[test]
    fn tls_ends_at_the_end_of_a_record() {
        let records = [&[22, 3, 1, 0, 2, 1, 2][..], &[23, 3, 3, 0, 0], &[23, 3, 3, 1, 0], &[9; 256]].concat();
        for (octets, passes) in [(0, 7), (7, 7), (8, 12), (13, 273)] {
            for piece in [1, 6, 1000] {
                let mut up = filters(Fault::TlsEnd { direction: Direction::ToServer, octets }).0;
                let expected = (records[..passes].to_vec(), Some(End::Cut(How::Fin)));
                assert_eq!(through(&mut up, &records, piece), expected, "{octets} {piece}");
            }
        }
    }

    #[test]
    fn a_watch_tells_each_command_of_its_name() {
        let (told, tells) = std::sync::mpsc::channel();
        let watch = Watch { command: "APPEND".into(), told };
        let mut up = Filters::of(&vec![], Some(&watch), 5).0;
        let octets = b"a APPEND x {8+}\r\nAPPEND\r\n\r\nb NOOP\r\nc append y {1+}\r\nz\r\n";
        assert_eq!(through(&mut up, octets, 3), (octets.to_vec(), None));
        assert_eq!(tells.try_iter().collect::<Vec<_>>(), [5, 5]);
    }
}
