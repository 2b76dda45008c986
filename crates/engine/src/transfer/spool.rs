//! Bodies: octets of one message, complete, counted and hashed before anything is sent of them (law 2). Small
//! ones in memory, larger ones in an anonymous file beside the journal, which no crash leaves behind.

use crate::error::EndError;
use crate::identity::{Measured, Meter};
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::OwnedSemaphorePermit;

/// Octets written to or read from a spool file at once, and put together in memory in one piece.
const PIECE_OCTETS: usize = 256 * 1024;
/// A body in memory lies in pieces of no fewer octets, but for its last one. Octets that are fewer are copied: what is shared keeps
/// all that arrived with it in memory, which nobody reserved, and that is bounded so.
const PIECE_OCTETS_MIN: usize = 64 * 1024;
/// A body stays in memory up to this length also where its size, by which memory is reserved, was said to be less.
const UNRESERVED_OCTETS: u64 = 64 * 1024;

/// Where bodies are put.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Folder of the spool files: beside the journal.
    folder: Arc<PathBuf>,
    /// A longer body is spooled.
    in_memory_octets_max: u64,
}

impl Intake {
    /// Spools bodies above `in_memory_octets_max` octets in `folder`.
    pub fn new(folder: impl Into<PathBuf>, in_memory_octets_max: u64) -> Self {
        Self { folder: Arc::new(folder.into()), in_memory_octets_max }
    }

    /// A body longer than this does not stay in memory.
    pub fn in_memory_octets_max(&self) -> u64 {
        self.in_memory_octets_max
    }

    /// Starts a body. `memory` is what was reserved for it.
    pub fn begin(&self, memory: Option<OwnedSemaphorePermit>) -> BodyBuilder {
        BodyBuilder {
            intake: self.clone(),
            memory,
            meter: Meter::new(),
            announced: 0,
            pieces: Pieces::new(),
            held: BytesMut::new(),
            in_memory: 0,
            in_memory_octets_max: self.in_memory_octets_max,
            file: None,
        }
    }

    /// A body of octets that are at hand.
    pub async fn body(&self, octets: Bytes) -> Result<Body, EndError> {
        let len = octets.len() as u64;
        let mut builder = self.begin(None).of_octets(len, len);
        builder.push_shared(octets).await?;
        builder.finish().await
    }

    fn error(&self, error: &std::io::Error) -> EndError {
        EndError::Spool { place: self.folder.display().to_string(), what: error.to_string() }
    }
}

/// A body while its octets arrive.
#[derive(Debug)]
pub struct BodyBuilder {
    intake: Intake,
    memory: Option<OwnedSemaphorePermit>,
    meter: Meter,
    /// How many octets are said to come.
    announced: u64,
    /// Octets not yet written to the file, all of them while there is no file: pieces that are complete, and what comes
    /// after them.
    pieces: Pieces,
    held: BytesMut,
    /// Octets of both.
    in_memory: usize,
    /// With more than this the file begins.
    in_memory_octets_max: u64,
    file: Option<File>,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meter({} octets)", self.octets())
    }
}

impl BodyBuilder {
    /// So many octets are announced. Where they are too many for the memory, or for what can have been reserved for them, the
    /// file begins with the first piece.
    pub fn of_octets(mut self, octets: u64, reserved: u64) -> Self {
        if octets > self.in_memory_octets_max.min(reserved.max(UNRESERVED_OCTETS)) {
            self.in_memory_octets_max = self.in_memory_octets_max.min(PIECE_OCTETS as u64);
        }
        self.announced = octets;
        self
    }

    /// Adds the next octets, which are copied. The memory held stays bounded whatever the length.
    pub async fn push(&mut self, octets: &[u8]) -> Result<(), EndError> {
        self.meter.update(octets);
        self.copy(octets);
        self.spill_if_many().await
    }

    /// Adds the next octets, which are shared where they are many: the memory that they lie in stays with the body.
    pub async fn push_shared(&mut self, octets: Bytes) -> Result<(), EndError> {
        self.meter.update(&octets);
        // What is held is a piece of its own only where it is long enough for one.
        let missing = if self.held.is_empty() { 0 } else { PIECE_OCTETS_MIN.saturating_sub(self.held.len()) };
        if octets.len() < missing + PIECE_OCTETS_MIN || self.file.is_some() {
            self.copy(&octets);
        } else {
            self.copy(&octets[..missing]);
            self.share(octets.slice(missing..));
        }
        self.spill_if_many().await
    }

    fn copy(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        if self.held.len() + octets.len() > PIECE_OCTETS && self.held.len() >= PIECE_OCTETS_MIN {
            self.complete_piece();
        }
        if self.held.is_empty() {
            let to_come = self.announced.saturating_sub(self.in_memory as u64);
            let room = usize::try_from(to_come).unwrap_or(usize::MAX).min(PIECE_OCTETS);
            self.held.reserve(room.max(octets.len()));
        }
        self.held.extend_from_slice(octets);
        self.in_memory += octets.len();
    }

    fn share(&mut self, octets: Bytes) {
        self.complete_piece();
        self.in_memory += octets.len();
        if !octets.is_empty() {
            self.pieces.push(octets);
        }
    }

    fn complete_piece(&mut self) {
        if !self.held.is_empty() {
            self.pieces.push(std::mem::take(&mut self.held).freeze());
        }
    }

    async fn spill_if_many(&mut self) -> Result<(), EndError> {
        let max = match self.file {
            Some(_) => PIECE_OCTETS as u64,
            None => self.in_memory_octets_max,
        };
        if self.in_memory as u64 > max { self.spill().await } else { Ok(()) }
    }

    /// Octets so far.
    pub fn octets(&self) -> u64 {
        self.meter.octets()
    }

    /// Takes over memory that was reserved before it was known for which body.
    pub fn keep_memory(&mut self, memory: Option<OwnedSemaphorePermit>) {
        self.memory = memory;
    }

    /// Ends the body.
    pub async fn finish(mut self) -> Result<Body, EndError> {
        let store = if self.file.is_some() {
            self.spill().await?;
            self.memory = None;
            match self.file.take() {
                Some(file) => Store::Spool(Mutex::new(file)),
                None => Store::Memory(Pieces::new()),
            }
        } else {
            self.complete_piece();
            Store::Memory(self.pieces)
        };
        let measured = self.meter.finish();
        Ok(Body(Arc::new(Inner { store, measured, folder: self.intake.folder, _memory: self.memory })))
    }

    async fn spill(&mut self) -> Result<(), EndError> {
        self.complete_piece();
        let (pieces, file) = (std::mem::take(&mut self.pieces), self.file.take());
        self.in_memory = 0;
        let folder = self.intake.folder.clone();
        let written = blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => tempfile::tempfile_in(folder.as_path())?,
            };
            for piece in &pieces {
                std::io::Write::write_all(&mut file, piece)?;
            }
            Ok(file)
        })
        .await;
        self.file = Some(written.map_err(|e| self.intake.error(&e))?);
        Ok(())
    }
}

/// The octets of one message. Cheap to clone; the octets are shared, and freed with the last clone.
#[derive(Clone, Debug)]
pub struct Body(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    measured: Measured,
    folder: Arc<PathBuf>,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Octets one after the other, none of the pieces empty.
type Pieces = SmallVec<[Bytes; 1]>;

#[derive(Debug)]
enum Store {
    Memory(Pieces),
    /// Locked for the seek and read of one piece.
    Spool(Mutex<File>),
    /// Octets of its own, and then those of another body from there on.
    Joined(Bytes, Body, u64),
}

impl Body {
    /// Count, digests and what was noticed while hashing.
    pub fn measured(&self) -> &Measured {
        &self.0.measured
    }

    /// Number of octets.
    pub fn octets(&self) -> u64 {
        self.0.measured.fingerprint.octets
    }

    /// True when the octets lie in a file.
    pub fn is_spooled(&self) -> bool {
        matches!(self.0.store, Store::Spool(_))
    }

    /// These octets, and then those of this body from `offset` on, which are shared.
    ///
    /// # Errors
    /// The spool file's.
    pub async fn after(&self, first: Bytes, offset: u64) -> Result<Self, EndError> {
        let mut meter = Meter::new();
        meter.update(&first);
        let mut at = offset;
        while at < self.octets() {
            let piece = self.piece(at).await?;
            at += piece.len() as u64;
            meter.update(&piece);
        }
        let (measured, folder) = (meter.finish(), self.0.folder.clone());
        let store = Store::Joined(first, self.clone(), offset);
        Ok(Self(Arc::new(Inner { store, measured, folder, _memory: None })))
    }

    /// Octets from `offset` on, as many as lie together: all of a short body, else a piece of bounded size. Empty at the end.
    pub async fn piece(&self, offset: u64) -> Result<Bytes, EndError> {
        match &self.0.store {
            Store::Memory(pieces) => {
                let mut left = usize::try_from(offset).unwrap_or(usize::MAX);
                for piece in pieces {
                    if left < piece.len() {
                        return Ok(piece.slice(left..));
                    }
                    left -= piece.len();
                }
                Ok(Bytes::new())
            }
            Store::Joined(first, rest, from) => match offset.checked_sub(first.len() as u64) {
                Some(offset) => Box::pin(rest.piece(from + offset)).await,
                None => Ok(first.slice(usize::try_from(offset).unwrap_or(usize::MAX).min(first.len())..)),
            },
            Store::Spool(_) => {
                let inner = self.0.clone();
                blocking(move || inner.read(offset)).await.map_err(|e| EndError::Spool {
                    place: self.0.folder.display().to_string(),
                    what: e.to_string(),
                })
            }
        }
    }

    /// All octets in memory at once: for who knows that they are few enough.
    ///
    /// # Errors
    /// The spool file's.
    pub async fn whole(&self) -> Result<Bytes, EndError> {
        let mut octets = BytesMut::new();
        while (octets.len() as u64) < self.octets() {
            octets.extend_from_slice(&self.piece(octets.len() as u64).await?);
        }
        Ok(octets.freeze())
    }
}

impl Inner {
    fn read(&self, offset: u64) -> std::io::Result<Bytes> {
        use std::io::{Read, Seek, SeekFrom};
        let Store::Spool(file) = &self.store else { return Ok(Bytes::new()) };
        let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        let left = self.measured.fingerprint.octets.saturating_sub(offset);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_OCTETS);
        let mut piece = Vec::with_capacity(want);
        match Read::by_ref(&mut *file).take(want as u64).read_to_end(&mut piece)? {
            read if read == want => Ok(piece.into()),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_body_is_spooled_and_read_back_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let intake = Intake::new(folder.path(), 1000);
        let octets: Vec<u8> = (0..700_000u32).map(|i| (i % 251) as u8).collect();
        let mut builder = intake.begin(None);
        for piece in octets.chunks(333) {
            builder.push(piece).await.unwrap();
        }
        let body = builder.finish().await.unwrap();
        assert!(body.is_spooled());
        assert_eq!(body.whole().await.unwrap(), octets);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
    }

    #[tokio::test]
    async fn a_short_body_stays_in_memory() {
        let intake = Intake::new("/nonexistent", 1000);
        let body = intake.body(Bytes::from_static(b"Subject: x\r\n\r\ny\r\n")).await.unwrap();
        assert!(!body.is_spooled());
        assert_eq!(body.whole().await.unwrap(), &b"Subject: x\r\n\r\ny\r\n"[..]);
    }

    #[tokio::test]
    async fn a_body_longer_than_what_was_reserved_for_any_goes_to_the_spool() {
        let folder = tempfile::tempdir().unwrap();
        let intake = Intake::new(folder.path(), 4 << 20);
        let table = [
            (64 << 10, 0, false),
            (300 << 10, 0, true),
            (300 << 10, 300 << 10, false),
            (5 << 20, 5 << 20, true),
        ];
        for (octets, reserved, is_spooled) in table {
            let mut builder = intake.begin(None).of_octets(octets, reserved);
            for _ in 0..octets >> 10 {
                builder.push(&[b'x'; 1024]).await.unwrap();
                let in_memory = builder.in_memory.max(builder.held.capacity());
                assert!(in_memory <= 512 << 10 || !is_spooled, "{octets} of {reserved}");
            }
            let body = builder.finish().await.unwrap();
            assert_eq!((body.octets(), body.is_spooled()), (octets, is_spooled), "{octets} of {reserved}");
        }
    }

    /// However the octets come: in pieces of any length, shared and copied by turns.
    #[tokio::test]
    async fn a_body_in_memory_is_what_came_and_lies_in_few_pieces() {
        let octets: Bytes = (0..700_000u32).map(|i| (i % 251) as u8).collect::<Vec<_>>().into();
        for announced in [0, octets.len()] {
            for lengths in
                [&[700_000usize][..], &[3, 262_144], &[70_000], &[1400], &[65_536, 1], &[200_000, 5, 90_000]]
            {
                let intake = Intake::new("/nonexistent", 1 << 20);
                let mut builder = intake.begin(None).of_octets(announced as u64, 700_000);
                let mut left = octets.clone();
                for length in lengths.iter().cycle() {
                    let next = left.split_to((*length).min(left.len()));
                    builder.push_shared(next).await.unwrap();
                    if left.is_empty() {
                        break;
                    }
                }
                let body = builder.finish().await.unwrap();
                assert_eq!(body.whole().await.unwrap(), octets);
                assert_eq!(body.measured().fingerprint, Measured::of(&octets).fingerprint);
                let (mut offset, mut pieces) = (0, Vec::new());
                while offset < body.octets() {
                    let piece = body.piece(offset).await.unwrap();
                    assert_eq!(piece[..], octets[usize::try_from(offset).unwrap()..][..piece.len()]);
                    offset += piece.len() as u64;
                    pieces.push(piece.len());
                }
                pieces.pop();
                assert!(pieces.iter().all(|len| *len >= PIECE_OCTETS_MIN), "{lengths:?}: {pieces:?}");
            }
        }
    }

    #[tokio::test]
    async fn many_octets_are_shared_and_few_are_not() {
        for (octets, is_shared) in [(300, false), (PIECE_OCTETS_MIN, true)] {
            let octets = Bytes::from(vec![b'x'; octets]);
            let body = Intake::new("/nonexistent", 1 << 20).body(octets.clone()).await.unwrap();
            assert_eq!(body.piece(0).await.unwrap().as_ptr() == octets.as_ptr(), is_shared);
        }
    }

    #[tokio::test]
    async fn a_spool_that_cannot_be_made_is_an_error_that_names_the_folder() {
        let error = Intake::new("/nonexistent", 1).body(Bytes::from_static(b"xx")).await.unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
