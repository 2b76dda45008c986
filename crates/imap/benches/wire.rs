//! What a message costs on the wire, apart from the wire: `cargo bench -p mailhaul-imap`.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use mailhaul_imap::framing::{Frame, Framer};
use mailhaul_imap::response::parse;
use mailhaul_imap::{Client, Command, Limits, Segment, UidSet};

/// Messages of a benchmark.
const MESSAGES: usize = 1_000;
/// What one read of a socket gives.
const READ_OCTETS: usize = 64 << 10;
/// Octets of a message's body.
const BODIES_OCTETS: [usize; 2] = [4 << 10, 256 << 10];

fn main() {
    divan::main();
}

/// What a listing gives.
fn listing() -> Vec<u8> {
    let row = |n: usize| {
        format!(
            "* {n} FETCH (UID {} FLAGS (\\Seen $Forwarded) INTERNALDATE \"03-Mar-2020 10:11:12 +0000\" RFC822.SIZE {} \
            MODSEQ ({n}))\r\n",
            n + 7,
            n * 31
        )
    };
    (1..=MESSAGES).map(row).collect::<String>().into_bytes()
}

/// What a FETCH of bodies gives.
fn bodies(octets: usize) -> Vec<u8> {
    let body = b"the quick brown fox jumps over the lazy dog, sixty-two octets\r\n".repeat(octets / 63 + 1);
    let mut all = Vec::new();
    for n in 1..=MESSAGES {
        let head = format!("* {n} FETCH (UID {n} FLAGS (\\Seen) BODY[] {{{octets}}}\r\n");
        all.extend_from_slice(head.as_bytes());
        all.extend_from_slice(&body[..octets]);
        all.extend_from_slice(b")\r\n");
    }
    all
}

/// Frames everything, as it comes from a socket; how many responses that were.
fn framed(input: &[u8], mut each: impl FnMut(Vec<Segment>)) -> usize {
    let mut framer = Framer::new(Limits::default());
    let mut responses = 0;
    for read in input.chunks(READ_OCTETS) {
        framer.feed(read);
        while let Ok(Some(frame)) = framer.next_frame() {
            match frame {
                Frame::Response(segments) => {
                    responses += 1;
                    each(segments);
                }
                Frame::BodyChunk(octets) => drop(black_box(octets)),
                Frame::BodyStart { .. } | Frame::BodyEnd => {}
            }
        }
    }
    assert_eq!(responses, MESSAGES, "the input is not what it is meant to be");
    responses
}

#[divan::bench]
fn frame_a_listing(bencher: Bencher<'_, '_>) {
    let input = listing();
    bencher.counter(ItemsCount::new(MESSAGES)).bench(|| framed(black_box(&input), |s| drop(black_box(s))));
}

#[divan::bench(args = BODIES_OCTETS)]
fn frame_bodies(bencher: Bencher<'_, '_>, octets: usize) {
    let input = bodies(octets);
    bencher.counter(BytesCount::new(input.len())).bench(|| framed(black_box(&input), |s| drop(black_box(s))));
}

#[divan::bench]
fn parse_a_listing(bencher: Bencher<'_, '_>) {
    let mut responses = Vec::new();
    framed(&listing(), |segments| responses.push(segments));
    bencher.counter(ItemsCount::new(MESSAGES)).bench(|| {
        for segments in black_box(&responses) {
            black_box(parse(segments));
        }
    });
}

/// The client from octets to events, with its command open.
#[divan::bench(args = BODIES_OCTETS)]
fn fetch_bodies(bencher: Bencher<'_, '_>, octets: usize) {
    let input = bodies(octets);
    bencher.counter(BytesCount::new(input.len())).bench(|| {
        let mut client = Client::new(Limits::default());
        client.feed(b"* OK ready\r\n");
        client.submit(Command::noop());
        let mut events = 0;
        for read in input.chunks(READ_OCTETS) {
            client.feed(read);
            while let Ok(Some(event)) = client.next_event() {
                events += 1;
                drop(black_box(event));
            }
        }
        assert!(events > 3 * MESSAGES, "a body has a start, pieces and an end, and then its response");
    });
}

/// A set with a gap after every tenth UID, read and written as commands have it.
#[divan::bench]
fn read_and_split_a_uid_set(bencher: Bencher<'_, '_>) {
    let text: Vec<String> = (0..MESSAGES).map(|n| format!("{}:{}", n * 11 + 1, n * 11 + 10)).collect();
    let text = text.join(",");
    bencher
        .counter(ItemsCount::new(MESSAGES))
        .bench(|| UidSet::parse(black_box(text.as_bytes())).map(|set| set.split_for_line(8_000)));
}
