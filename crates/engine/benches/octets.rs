//! What a message's octets cost to measure: `cargo bench -p mailhaul-engine --bench octets`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use mailhaul_engine::identity::Meter;

/// Octets given at once.
const PIECE_OCTETS: usize = 64 << 10;

fn main() {
    divan::main();
}

fn measure(bencher: Bencher<'_, '_>, line: &[u8], octets: usize) {
    let message = line.repeat(octets / line.len());
    bencher.counter(BytesCount::new(message.len())).bench(|| {
        let mut meter = Meter::new();
        black_box(&message).chunks(PIECE_OCTETS).for_each(|piece| meter.update(piece));
        meter.finish()
    });
}

/// Lines end in CRLF: one digest serves both levels.
#[divan::bench(args = [4 << 10, 1 << 20])]
fn digests_of_a_message(bencher: Bencher<'_, '_>, octets: usize) {
    measure(bencher, b"the quick brown fox jumps over the lazy dog, sixty-two octets\r\n", octets);
}

/// A lone LF parts the levels: two digests.
#[divan::bench(args = [4 << 10, 1 << 20])]
fn digests_of_a_message_with_lone_lf(bencher: Bencher<'_, '_>, octets: usize) {
    measure(bencher, b"the quick brown fox jumps over the lazy dog, sixty-one octets\n", octets);
}
