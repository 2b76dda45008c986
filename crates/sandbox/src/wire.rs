//! A client's connection, compressed after COMPRESS DEFLATE (RFC 4978).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets read or deflated at a time.
const PIECE_OCTETS: usize = 16 * 1024;

/// The connection.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    layer: Option<Layer>,
}

#[derive(Debug)]
struct Layer {
    deflater: Compress,
    inflater: Decompress,
    /// Read, not inflated yet.
    input: Vec<u8>,
    /// Deflated, not written yet.
    out: Vec<u8>,
}

impl<S> Wire<S> {
    /// A connection in which nothing is compressed.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, layer: None }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.layer.is_some()
    }

    /// Compresses from here on; `already`: what the client sent behind its COMPRESS.
    pub(crate) fn compress(&mut self, already: Vec<u8>) {
        self.layer = Some(Layer {
            deflater: Compress::new(Compression::default(), false),
            inflater: Decompress::new(false),
            input: already,
            out: Vec::new(),
        });
    }
}

impl Layer {
    fn deflate(&mut self, mut octets: &[u8], flush: FlushCompress) -> io::Result<()> {
        loop {
            self.out.reserve(PIECE_OCTETS);
            let before = self.deflater.total_in();
            self.deflater.compress_vec(octets, &mut self.out, flush).map_err(io::Error::other)?;
            octets = &octets[(self.deflater.total_in() - before) as usize..];
            if octets.is_empty() && self.out.len() < self.out.capacity() {
                return Ok(());
            }
        }
    }

    /// Octets taken from the input, and octets put into `buf`.
    fn inflate(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<(usize, usize)> {
        let (seen, made) = (self.inflater.total_in(), self.inflater.total_out());
        let room = buf.initialize_unfilled();
        self.inflater.decompress(&self.input, room, FlushDecompress::Sync)?;
        let taken = (self.inflater.total_in() - seen) as usize;
        let made = (self.inflater.total_out() - made) as usize;
        self.input.drain(..taken);
        buf.advance(made);
        Ok((taken, made))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, layer } = self.get_mut();
        let Some(layer) = layer else { return Pin::new(stream).poll_read(cx, buf) };
        loop {
            // Asked without input, too: it may still hold what the last reader had no room for.
            match layer.inflate(buf)? {
                (_, 1..) => return Poll::Ready(Ok(())),
                (0, 0) if !layer.input.is_empty() => {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                _ => {}
            }
            if layer.input.is_empty() {
                let mut piece = [0; PIECE_OCTETS];
                let mut piece = ReadBuf::new(&mut piece);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece))?;
                if piece.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
                layer.input.extend_from_slice(piece.filled());
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, layer } = self.get_mut();
        let Some(layer) = layer else { return Pin::new(stream).poll_write(cx, buf) };
        layer.deflate(buf, FlushCompress::None)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, layer } = self.get_mut();
        if let Some(layer) = layer {
            layer.deflate(&[], FlushCompress::Sync)?;
            while !layer.out.is_empty() {
                let written = ready!(Pin::new(&mut *stream).poll_write(cx, &layer.out))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                layer.out.drain(..written);
            }
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
