//! COMPRESS=DEFLATE (RFC 4978): a connection whose octets are deflated on their way out and inflated on their way in.
//!
//! The layer lies above TLS. What is written may stay in the compressor until it is flushed; a flush ends in a sync
//! marker (an empty stored block, RFC 1951, 3.2.4), so that the server can inflate every octet written before it. A flush
//! that is done means that all of them have left the process: the gate relies on it.

use bytes::{Buf, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// The lowest level that makes anything of base64: level 1 of this implementation knows fixed codes alone and leaves 99 %
/// of mail with attachments, 2 leaves 76 %, and so do all above it at more cost (docs/benchmarks.md).
const LEVEL: u32 = 2;
/// Octets taken into the compressor by one write.
const TAKEN_OCTETS_MAX: usize = 64 * 1024;
/// While so many compressed octets wait for the connection no more are taken: a server that does not read stops us.
const WAITING_OCTETS_MAX: usize = 64 * 1024;
/// Room the compressor is given at a time.
const ROOM_OCTETS: usize = 16 * 1024;
/// Compressed octets asked of the connection at once.
const READ_OCTETS: usize = 64 * 1024;
/// Inflated octets handed out by one read: whatever a few octets may become, no more is ever made of them ahead.
const INFLATED_OCTETS_MAX: usize = 64 * 1024;

/// What came is no deflated stream, and nothing after it can be read.
#[derive(Debug, thiserror::Error)]
#[error("what it sent cannot be inflated (COMPRESS=DEFLATE): {0}")]
pub struct Corrupt(String);

/// A compressed connection over `S`.
#[derive(Debug)]
pub struct Deflate<S> {
    inner: S,
    deflater: Compress,
    /// Compressed octets for the connection, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    /// Octets entered the compressor since the last sync marker.
    unsynced: bool,
    inflater: Decompress,
    /// Compressed octets that were read.
    input: BytesMut,
    /// The inflater filled all room it had: it may have more without another octet of input.
    more: bool,
    /// The stream said itself that it is over (BFINAL: RFC 1951, 3.2.3).
    over: bool,
}

impl<S> Deflate<S> {
    /// Compresses a connection from here on. `already`: what was read beyond the OK to COMPRESS.
    pub fn new(inner: S, already: &[u8]) -> Self {
        Self {
            inner,
            deflater: Compress::new(Compression::new(LEVEL), false),
            out: Vec::new(),
            sent: 0,
            unsynced: false,
            inflater: Decompress::new(false),
            input: BytesMut::from(already),
            more: false,
            over: false,
        }
    }

    /// The connection below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Takes all of `octets` into the compressor; with [`FlushCompress::Sync`] it gives out all it holds.
    fn deflate(&mut self, mut octets: &[u8], flush: FlushCompress) -> io::Result<()> {
        loop {
            self.out.reserve(ROOM_OCTETS);
            let before = self.deflater.total_in();
            self.deflater.compress_vec(octets, &mut self.out, flush).map_err(io::Error::other)?;
            octets.advance(in_slice(self.deflater.total_in() - before));
            // Room is left: it had no more to give (zlib.h on avail_out).
            if octets.is_empty() && self.out.len() < self.out.capacity() {
                return Ok(());
            }
        }
    }

    /// Inflates into `buf`, as much as it or one piece holds. How many octets that made.
    fn inflate(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
        let room = buf.initialize_unfilled_to(buf.remaining().min(INFLATED_OCTETS_MAX));
        let before = (self.inflater.total_in(), self.inflater.total_out());
        let status = self.inflater.decompress(&self.input, room, FlushDecompress::None);
        let status = status.map_err(|error| corrupt(error.message().unwrap_or("damaged data")))?;
        let taken = in_slice(self.inflater.total_in() - before.0);
        let made = in_slice(self.inflater.total_out() - before.1);
        self.more = made == room.len();
        self.over = status == Status::StreamEnd;
        if taken == 0 && made == 0 && !self.over && !self.input.is_empty() {
            return Err(corrupt("nothing follows from it"));
        }
        self.input.advance(taken);
        buf.advance(made);
        Ok(made)
    }
}

/// A count of what one call did within a slice.
fn in_slice(octets: u64) -> usize {
    usize::try_from(octets).unwrap_or(usize::MAX)
}

fn corrupt(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Corrupt(what.to_owned()))
}

impl<S: AsyncRead + Unpin> AsyncRead for Deflate<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An end within a block is an end like any other: whoever reads knows whether the answer was complete.
        while buf.remaining() > 0 && !this.over {
            if this.more || !this.input.is_empty() {
                if this.inflate(buf)? > 0 {
                    break;
                }
                continue;
            }
            this.input.reserve(READ_OCTETS);
            if ready!(poll_read_buf(Pin::new(&mut this.inner), cx, &mut this.input))? == 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Deflate<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.out.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                octets => self.sent += octets,
            }
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deflate<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.out.len() >= WAITING_OCTETS_MAX {
            ready!(this.poll_send(cx))?;
        }
        let taken = &buf[..buf.len().min(TAKEN_OCTETS_MAX)];
        this.deflate(taken, FlushCompress::None)?;
        this.unsynced |= !taken.is_empty();
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unsynced {
            this.deflate(&[], FlushCompress::Sync)?;
            this.unsynced = false;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// The other side's octets, deflated without an end.
    fn deflated(plain: &[u8]) -> Vec<u8> {
        let mut deflater = Compress::new(Compression::new(6), false);
        let mut out = Vec::with_capacity(plain.len() + 1024);
        deflater.compress_vec(plain, &mut out, FlushCompress::Sync).unwrap();
        assert!(out.len() < out.capacity() && deflater.total_in() == plain.len() as u64);
        out
    }

    /// What the other side can make of the octets that have arrived.
    fn inflated(wire: &[u8]) -> Vec<u8> {
        let mut inflater = Decompress::new(false);
        let mut plain = Vec::with_capacity(1 << 20);
        inflater.decompress_vec(wire, &mut plain, FlushDecompress::Sync).unwrap();
        assert_eq!(inflater.total_in(), wire.len() as u64);
        plain
    }

    /// A connection that takes `takes` octets, then none; that gives what it has, then ends.
    #[derive(Debug, Default)]
    struct Wire {
        written: Vec<u8>,
        takes: usize,
        gives: VecDeque<Vec<u8>>,
        flushes: usize,
    }

    impl AsyncRead for Wire {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let Some(mut next) = self.gives.pop_front() else { return Poll::Ready(Ok(())) };
            let rest = next.split_off(next.len().min(buf.remaining()));
            buf.put_slice(&next);
            if !rest.is_empty() {
                self.gives.push_front(rest);
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Wire {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let octets = buf.len().min(self.takes);
            if octets == 0 {
                return Poll::Pending;
            }
            self.takes -= octets;
            self.written.extend_from_slice(&buf[..octets]);
            Poll::Ready(Ok(octets))
        }
        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn giving(pieces: impl IntoIterator<Item = Vec<u8>>) -> Wire {
        Wire { gives: pieces.into_iter().collect(), ..Wire::default() }
    }

    async fn read_all(stream: &mut Deflate<Wire>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map(|_| all)
    }

    fn noise(octets: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..octets).map(|_| next()).collect()
    }

    #[tokio::test]
    async fn after_a_flush_the_other_side_can_read_all_that_was_written_and_nothing_else() {
        let mut stream = Deflate::new(Wire { takes: usize::MAX, ..Wire::default() }, b"");
        let mut plain = Vec::new();
        for octets in [1, 2, 100, 70_000, 3, 300_000, 1] {
            let piece = noise(octets);
            stream.write_all(&piece).await.unwrap();
            plain.extend(piece);
            stream.flush().await.unwrap();
            assert_eq!(inflated(&stream.get_ref().written), plain);
        }
        assert_eq!(stream.get_ref().flushes, 7, "what lies below is flushed as well");
        let before = stream.get_ref().written.len();
        stream.flush().await.unwrap();
        assert_eq!(stream.get_ref().written.len(), before, "nothing new, nothing sent");
    }

    #[tokio::test]
    async fn a_flush_is_not_done_before_the_last_octet_has_left() {
        let mut whole = Deflate::new(Wire { takes: usize::MAX, ..Wire::default() }, b"");
        whole.write_all(&noise(1000)).await.unwrap();
        whole.flush().await.unwrap();
        let needed = whole.get_ref().written.len();
        let mut stream = Deflate::new(Wire { takes: needed - 1, ..Wire::default() }, b"");
        stream.write_all(&noise(1000)).await.unwrap();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_pending());
        assert_eq!(stream.get_ref().flushes, 0);
        stream.inner.takes = 1;
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_ready());
        assert_eq!(inflated(&stream.get_ref().written), noise(1000));
    }

    #[tokio::test]
    async fn what_is_written_while_a_flush_is_stuck_comes_after_it_in_order() {
        let mut stream = Deflate::new(Wire { takes: 10, ..Wire::default() }, b"");
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (first, second) = (noise(500), noise(900));
        stream.write_all(&first).await.unwrap();
        assert!(Pin::new(&mut stream).poll_flush(&mut cx).is_pending());
        stream.write_all(&second).await.unwrap();
        stream.inner.takes = usize::MAX;
        stream.flush().await.unwrap();
        assert_eq!(inflated(&stream.get_ref().written), [first, second].concat());
    }

    #[tokio::test]
    async fn a_server_that_does_not_read_stops_the_writer() {
        let mut stream = Deflate::new(Wire::default(), b"");
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let piece = noise(TAKEN_OCTETS_MAX);
        let mut taken = 0;
        while let Poll::Ready(octets) = Pin::new(&mut stream).poll_write(&mut cx, &piece) {
            taken += octets.unwrap();
            assert!(taken < 1 << 20, "{taken} octets taken for nobody");
        }
        assert!(stream.out.len() < 4 * WAITING_OCTETS_MAX, "{} octets wait", stream.out.len());
    }

    #[tokio::test]
    async fn a_bomb_is_handed_out_in_pieces_and_never_held() {
        // 256 MiB of one octet.
        let mut deflater = Compress::new(Compression::new(6), false);
        let mut bomb = Vec::with_capacity(1 << 20);
        for _ in 0..256 {
            deflater.compress_vec(&vec![b'a'; 1 << 20], &mut bomb, FlushCompress::None).unwrap();
        }
        deflater.compress_vec(&[], &mut bomb, FlushCompress::Sync).unwrap();
        assert_eq!(deflater.total_in(), 256 << 20);
        let mut stream = Deflate::new(giving([bomb]), b"");
        let (mut all, mut piece) = (0, vec![0; 1 << 20]);
        loop {
            let octets = stream.read(&mut piece).await.unwrap();
            assert!(octets <= INFLATED_OCTETS_MAX && piece[..octets].iter().all(|o| *o == b'a'));
            assert!(stream.input.capacity() <= 2 * READ_OCTETS, "{} octets held", stream.input.capacity());
            all += octets;
            if octets == 0 {
                break;
            }
        }
        assert_eq!(all, 256 << 20);
    }

    #[tokio::test]
    async fn damaged_octets_are_an_error_in_words_and_no_panic() {
        let mut stream = Deflate::new(giving([b"* OK this is no deflated stream\r\n".to_vec()]), b"");
        let error = read_all(&mut stream).await.unwrap_err();
        assert!(error.get_ref().is_some_and(|e| e.is::<Corrupt>()), "{error:?}");
        assert!(error.to_string().contains("cannot be inflated (COMPRESS=DEFLATE): "), "{error}");
        assert!(stream.read(&mut [0; 9]).await.is_err(), "and stays one");
    }

    #[tokio::test]
    async fn an_end_within_a_block_is_an_end_after_all_that_could_be_read() {
        let plain = noise(5000);
        let mut wire = deflated(&plain);
        wire.truncate(wire.len() / 2);
        let got = read_all(&mut Deflate::new(giving([wire]), b"")).await.unwrap();
        assert!(!got.is_empty() && got.len() < plain.len() && plain.starts_with(&got));
    }

    #[tokio::test]
    async fn a_stream_that_says_it_is_over_is_an_end() {
        let mut deflater = Compress::new(Compression::new(6), false);
        let mut wire = Vec::with_capacity(1024);
        deflater.compress_vec(b"* BYE see you\r\n", &mut wire, FlushCompress::Finish).unwrap();
        wire.extend_from_slice(b"and more");
        let mut stream = Deflate::new(giving([wire]), b"");
        assert_eq!(read_all(&mut stream).await.unwrap(), b"* BYE see you\r\n");
        assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn empty_blocks_are_read_over() {
        let markers = [0, 0, 0, 0xff, 0xff].repeat(3);
        let pieces = [markers.clone(), deflated(b"a"), markers.clone(), deflated(b"b"), markers];
        assert_eq!(read_all(&mut Deflate::new(giving(pieces), b"")).await.unwrap(), b"ab");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However the octets of the server are cut, the first of them having been read before.
        #[test]
        fn any_split_gives_the_same_octets(
            plain in proptest::collection::vec(0u8..4, 0..20_000),
            already in 0usize..200,
            at_once in 1usize..3000,
        ) {
            let wire = deflated(&plain);
            let already = already.min(wire.len());
            let pieces = wire[already..].chunks(at_once).map(<[u8]>::to_vec);
            let mut stream = Deflate::new(giving(pieces), &wire[..already]);
            let got = futures_util::FutureExt::now_or_never(read_all(&mut stream)).unwrap().unwrap();
            prop_assert_eq!(got, plain);
        }

        #[test]
        fn no_octets_make_it_panic_or_loop(wire in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut stream = Deflate::new(giving([wire]), b"");
            // Ends, or fails; 400 octets become no more than a thousand times as many.
            if let Ok(got) = futures_util::FutureExt::now_or_never(read_all(&mut stream)).unwrap() {
                prop_assert!(got.len() <= 400 * 1100);
            }
        }
    }
}
