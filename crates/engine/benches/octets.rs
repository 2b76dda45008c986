//! What a message's octets cost to measure and to compress: `cargo bench -p mailhaul-engine --bench octets`.

use base64::Engine as _;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use futures_util::FutureExt as _;
use mailhaul_engine::identity::Meter;
use mailhaul_engine::net::Deflate;
use std::io::Cursor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

/// A MB of letters, or of an attachment, in lines.
fn mail(kind: &str) -> Vec<u8> {
    const WORDS: [&str; 8] =
        ["invoice ", "meeting ", "of ", "the ", "budget ", "customer ", "on ", "gr\u{f6}\u{df}e "];
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let mut mail = Vec::new();
    while mail.len() < 1 << 20 {
        if kind == "base64" {
            let octets: Vec<u8> = (0..57).map(|_| random()).collect();
            mail.extend(base64::engine::general_purpose::STANDARD.encode(octets).into_bytes());
        } else {
            (0..11).for_each(|_| mail.extend_from_slice(WORDS[usize::from(random() % 8)].as_bytes()));
        }
        mail.extend_from_slice(b"\r\n");
    }
    mail
}

/// What a server gets of it over COMPRESS=DEFLATE. A vector is always ready.
fn deflated(mail: &[u8]) -> Vec<u8> {
    let mut stream = Deflate::new(Cursor::new(Vec::new()), b"");
    let sending = async {
        let _ = stream.write_all(mail).await;
        stream.flush().await
    };
    assert!(sending.now_or_never().is_some_and(|sent| sent.is_ok()));
    stream.get_ref().get_ref().clone()
}

#[divan::bench(args = ["letters", "base64"])]
fn deflating(bencher: Bencher<'_, '_>, kind: &str) {
    let mail = mail(kind);
    bencher.counter(BytesCount::new(mail.len())).bench(|| deflated(black_box(&mail)));
}

#[divan::bench(args = ["letters", "base64"])]
fn inflating(bencher: Bencher<'_, '_>, kind: &str) {
    let mail = mail(kind);
    let wire = deflated(&mail);
    bencher.counter(BytesCount::new(mail.len())).bench(|| {
        let mut stream = Deflate::new(Cursor::new(wire.clone()), b"");
        let mut read = Vec::with_capacity(mail.len());
        let done = stream.read_to_end(&mut read).now_or_never();
        assert!(done.is_some_and(|read| read.is_ok_and(|octets| octets == mail.len())));
        read
    });
}
