//! However the octets of a connection are split, the same events come out, and no more is held than the limits say.

use mailhaul_imap::framing::{Frame, Framer};
use mailhaul_imap::{Client, Command, Event, Limits, Output, ProtocolError};

use crate::corpus::Random;

/// Small, so that small inputs reach them.
const LIMITS: Limits = Limits {
    max_line_octets: 512,
    max_inline_literal_octets: 128,
    pipeline_depth: 8,
    literal_plus_max_octets: u64::MAX,
};
/// Octets fed at once, at most, in a random split.
const PIECE_OCTETS_MAX: usize = 64;
/// Drawn splits of each input.
const SPLITS: u64 = 2;

/// Frames and client events are the same for any split; what the framer holds stays within the limits.
///
/// # Panics
/// If not.
pub fn framing(octets: &[u8]) {
    let whole = (frames(octets, &mut |left| left), events(octets, &mut |left| left));
    let single = (frames(octets, &mut |_| 1), events(octets, &mut |_| 1));
    assert_eq!(single, whole, "octet by octet");
    for seed in 0..SPLITS {
        let mut random = Random::new(seed ^ octets.len() as u64);
        let mut piece = |_: usize| random.between(1, PIECE_OCTETS_MAX as u64) as usize;
        let split = (frames(octets, &mut piece), events(octets, &mut piece));
        assert_eq!(split, whole, "split by seed {seed}");
    }
}

/// Things that came out, and how it ended.
type Seen<T> = (Vec<T>, Option<ProtocolError>);

/// What a piece of `left` octets is.
type Split<'a> = dyn FnMut(usize) -> usize + 'a;

fn frames(octets: &[u8], split: &mut Split<'_>) -> Seen<Frame> {
    let mut framer = Framer::new(LIMITS);
    let mut seen: Vec<Frame> = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let piece = split(rest.len()).clamp(1, rest.len());
        framer.feed(&rest[..piece]);
        rest = &rest[piece..];
        loop {
            match framer.next_frame() {
                Ok(None) => break,
                Err(error) => return (seen, Some(error)),
                Ok(Some(frame)) => match (seen.last_mut(), frame) {
                    (Some(Frame::BodyChunk(before)), Frame::BodyChunk(more)) => {
                        *before = [before.as_ref(), more.as_ref()].concat().into();
                    }
                    (_, frame) => seen.push(frame),
                },
            }
        }
        // what waits is part of one line or one literal
        let limit = LIMITS.max_line_octets.max(LIMITS.max_inline_literal_octets) as usize;
        assert!(framer.waiting() <= limit, "{} octets wait", framer.waiting());
    }
    (seen, None)
}

/// Events of a client that has sent a few commands, and so waits for answers to `A1` to `A4`.
fn events(octets: &[u8], split: &mut Split<'_>) -> Seen<Event> {
    let mut client = Client::new(LIMITS);
    let commands = [
        Command::capability(),
        Command::examine(b"INBOX", true),
        Command::uid_fetch("1:*", "(UID FLAGS BODY.PEEK[])"),
        Command::noop(),
    ];
    for command in commands {
        client.submit(command);
    }
    while matches!(client.next_output(), Output::Write(_)) {}
    let mut seen: Vec<Event> = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() {
        let piece = split(rest.len()).clamp(1, rest.len());
        client.feed(&rest[..piece]);
        rest = &rest[piece..];
        loop {
            match client.next_event() {
                Ok(None) => break,
                Err(error) => return (seen, Some(error)),
                Ok(Some(event)) => match (seen.last_mut(), event) {
                    (Some(Event::BodyChunk(before)), Event::BodyChunk(more)) => {
                        *before = [before.as_ref(), more.as_ref()].concat().into();
                    }
                    (_, event) => seen.push(event),
                },
            }
        }
    }
    (seen, None)
}
