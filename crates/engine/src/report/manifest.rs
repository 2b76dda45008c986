//! `manifest.ndjson`: one line for each source message, in the order of the journal. Streamed, never held whole.

use super::differences::Differs;
use crate::error::Error;
use crate::identity::Grade;
use crate::journal::{EpochId, Item, Ladder, MailboxRecord};
use crate::labels::message_number;
use crate::message::{Digest, Fingerprint, Flags, InternalDate};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;

/// The file's name in the folder of the report.
pub const MANIFEST: &str = "manifest.ndjson";

/// UIDVALIDITY by epoch, of one mailbox on one side.
pub(super) type Epochs = BTreeMap<EpochId, u32>;
/// Target mailbox and UIDVALIDITY by epoch, of all mailboxes: a moved message lies in another one than its own.
pub(super) type Places = BTreeMap<EpochId, (Option<String>, u32)>;

#[derive(Serialize)]
struct Line<'a> {
    source: SourcePart<'a>,
    /// Octets fetched, where that is not the size that the source announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    octets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Shown<Digest>>,
    /// Of the newline-normalised octets (level L1), so that a later reading can be graded.
    #[serde(skip_serializing_if = "Option::is_none")]
    normal_sha256: Option<Shown<Digest>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_sha256: Option<Shown<Digest>>,
    target: Option<TargetPart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_sha256: Option<Shown<Digest>>,
    grade: Option<&'static str>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ladder: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<FlagsPart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<DatePart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<ReasonPart<'a>>,
}

#[derive(Serialize)]
struct SourcePart<'a> {
    mailbox: &'a str,
    uidvalidity: Option<u32>,
    uid: i64,
    internaldate: Option<Lossy<'a>>,
    size: u64,
    flags: Words<'a>,
    /// X-GM-MSGID: the same wherever the message is shown. Text, since it is more than a number of JSON holds in every reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_number: Option<Shown<u64>>,
}

#[derive(Serialize)]
struct TargetPart<'a> {
    mailbox: Option<&'a str>,
    uidvalidity: Option<u32>,
    uid: i64,
}

/// Present where flags differ in any way that is counted.
#[derive(Serialize)]
struct FlagsPart<'a> {
    sent: Words<'a>,
    read_back: Option<Words<'a>>,
}

/// Present where the date differs, or was not sent.
#[derive(Serialize)]
struct DatePart<'a> {
    sent: Option<Lossy<'a>>,
    read_back: Option<Lossy<'a>>,
}

#[derive(Serialize)]
struct ReasonPart<'a> {
    kind: &'a str,
    text: &'a str,
}

/// A value by its words, written where they go: a line has four digests, and there is one for each message.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Octets as text; those that are no UTF-8 are replaced.
struct Lossy<'a>(&'a [u8]);

impl<'a> Lossy<'a> {
    fn date(date: &'a InternalDate) -> Self {
        Self(date.as_octets())
    }
}

impl Serialize for Lossy<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(self.0))
    }
}

/// Flags, one by one.
struct Words<'a>(&'a Flags);

impl Serialize for Words<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Lossy))
    }
}

/// What is known of the target's octets: digests read back, or the one that the grade implies.
///
/// Only the first read-back is kept. Where a later reading gave another grade, its digest is not known.
pub(super) fn target_digest(item: &Item) -> Option<Digest> {
    let fetched: &Fingerprint = &item.sent.as_ref()?.fetched;
    if item.grade == Some(Grade::Exact) {
        return Some(fetched.exact);
    }
    let read = item.read_back.as_ref()?.fingerprint.as_ref()?;
    let by_digests = Grade::of(fetched, read);
    let weighed = by_digests == Grade::Damaged && item.grade == Some(Grade::Semantic);
    (weighed || item.grade == Some(by_digests)).then_some(read.exact)
}

/// The names of the ladder's steps that were taken.
pub(super) fn ladder_names(ladder: Ladder) -> Vec<&'static str> {
    let steps = [
        (Ladder::LINE_ENDS, "T1"),
        (Ladder::NO_KEYWORDS, "T2"),
        (Ladder::NO_DATE, "T3"),
        (Ladder::ENCODED, "T4"),
        (Ladder::WRAPPED, "T8"),
    ];
    steps.into_iter().filter(|(step, _)| ladder.has(*step)).map(|(_, name)| name).collect()
}

/// Adds one line, with its newline.
pub(super) fn line(
    to: &mut Vec<u8>,
    (record, item): (&MailboxRecord, &Item),
    source: &Epochs,
    places: &Places,
    differs: &Differs,
) -> Result<(), Error> {
    let sent = item.sent.as_ref();
    let read = item.read_back.as_ref();
    let of_flags =
        differs.flags || differs.flags_not_sent || differs.flags_changed_at_source || differs.adopted_flags;
    let of_date = differs.date || differs.date_not_sent;
    let line = Line {
        source: SourcePart {
            mailbox: &record.source.text,
            uidvalidity: source.get(&item.id.epoch).copied(),
            uid: item.id.key.0,
            internaldate: item.internal_date.as_ref().map(Lossy::date),
            size: item.octets,
            flags: Words(&item.flags),
            message_number: message_number(item.lineage.as_deref()).map(Shown),
        },
        octets: sent.map(|s| s.fetched.octets).filter(|octets| *octets != item.octets),
        sha256: sent.map(|s| Shown(s.fetched.exact)),
        normal_sha256: sent.map(|s| Shown(s.fetched.normal)),
        sent_sha256: sent.filter(|s| s.sent.exact != s.fetched.exact).map(|s| Shown(s.sent.exact)),
        target: item.place.map(|place| {
            let known = places.get(&place.epoch);
            TargetPart {
                mailbox: known.and_then(|(name, _)| name.as_deref()),
                uidvalidity: known.map(|(_, validity)| *validity),
                uid: place.uid.0,
            }
        }),
        target_sha256: target_digest(item).map(Shown),
        grade: item.grade.map(Grade::as_str),
        state: item.state.as_str(),
        origin: item.origin.map(crate::journal::Origin::as_str),
        ladder: sent.map(|s| ladder_names(s.ladder)).unwrap_or_default(),
        flags: sent
            .filter(|_| of_flags)
            .map(|s| FlagsPart { sent: Words(&s.flags), read_back: read.map(|r| Words(&r.flags)) }),
        date: sent.filter(|_| of_date).map(|s| DatePart {
            sent: s.internal_date.as_ref().map(Lossy::date),
            read_back: read.and_then(|r| r.internal_date.as_ref()).map(Lossy::date),
        }),
        reason: item.reason.as_ref().map(|r| ReasonPart { kind: &r.kind, text: &r.text }),
    };
    serde_json::to_writer(&mut *to, &line)
        .map_err(|e| Error::Report { path: MANIFEST.into(), what: e.to_string() })?;
    to.push(b'\n');
    Ok(())
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestFacts {
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Lines: source messages.
    pub lines: u64,
    /// Octets of the file.
    pub octets: u64,
}

/// Compares lines with the file that is there and hashes them on the way, on a thread of its own: the next ones are put together
/// meanwhile. From the first octet that differs they go to a new file beside it, behind those that are the same.
#[derive(Debug)]
pub(super) struct ManifestWriter {
    path: PathBuf,
    lines: u64,
    octets: u64,
    work: Work,
}

/// The lines written so far, or the thread that adds a piece to them.
#[derive(Debug)]
enum Work {
    At(Box<Lines>),
    Adding(JoinHandle<std::io::Result<Box<Lines>>>),
}

#[derive(Debug)]
struct Lines {
    state: Sha256,
    to: To,
}

#[derive(Debug)]
enum To {
    /// Only the digest is wanted.
    Nowhere,
    /// All so far is as it stands in this file, in so many octets.
    Same(File, u64),
    /// The file that still waits for its name.
    New(NamedTempFile),
}

impl ManifestWriter {
    /// Writes beside `folder/manifest.ndjson`; without a folder the lines are only counted and hashed.
    pub(super) fn new(folder: Option<&Path>) -> Result<Self, Error> {
        let path = folder.map_or_else(|| PathBuf::from(MANIFEST), |f| f.join(MANIFEST));
        let to = match folder {
            None => To::Nowhere,
            Some(folder) => match File::open(&path) {
                Ok(there) => To::Same(there, 0),
                // One that cannot be read is replaced.
                Err(_) => {
                    To::New(crate::files::temporary(folder).map_err(|e| super::files::failed(&path, &e))?)
                }
            },
        };
        let work = Work::At(Box::new(Lines { state: Sha256::new(), to }));
        Ok(Self { path, lines: 0, octets: 0, work })
    }

    /// Adds a piece of so many lines, once the one before is added.
    pub(super) async fn push(&mut self, piece: Vec<u8>, lines: u64) -> Result<(), Error> {
        self.lines += lines;
        self.octets += piece.len() as u64;
        let (mut so_far, path) = (self.settled().await?, self.path.clone());
        self.work = Work::Adding(tokio::task::spawn_blocking(move || {
            so_far.add(&piece, &path)?;
            Ok(so_far)
        }));
        Ok(())
    }

    /// What was written, and the file that still waits for its name; `None` where the one that is there holds the same octets, and
    /// where none is wanted.
    pub(super) async fn finish(mut self) -> Result<(ManifestFacts, Option<NamedTempFile>), Error> {
        let mut all = self.settled().await?;
        all.end(&self.path).map_err(|e| super::files::failed(&self.path, &e))?;
        let sha256 = Digest(all.state.finalize().into()).to_string();
        let file = if let To::New(file) = all.to { Some(file) } else { None };
        Ok((ManifestFacts { sha256, lines: self.lines, octets: self.octets }, file))
    }

    /// Takes what was written out, when all of it is.
    async fn settled(&mut self) -> Result<Box<Lines>, Error> {
        let none = Work::At(Box::new(Lines { state: Sha256::new(), to: To::Nowhere }));
        match std::mem::replace(&mut self.work, none) {
            Work::At(lines) => Ok(lines),
            Work::Adding(adding) => {
                let added = adding.await.map_err(std::io::Error::other).and_then(|added| added);
                added.map_err(|e| super::files::failed(&self.path, &e))
            }
        }
    }
}

impl Lines {
    fn add(&mut self, piece: &[u8], path: &Path) -> std::io::Result<()> {
        self.state.update(piece);
        if let To::Same(there, octets) = &mut self.to {
            if continues(there, piece) {
                *octets += piece.len() as u64;
                return Ok(());
            }
            self.differs(path)?;
        }
        match &mut self.to {
            To::New(file) => file.write_all(piece),
            To::Nowhere | To::Same(..) => Ok(()),
        }
    }

    /// No more lines come: a file that has more is another one.
    fn end(&mut self, path: &Path) -> std::io::Result<()> {
        let To::Same(there, _) = &mut self.to else { return Ok(()) };
        if there.read(&mut [0])? == 0 { Ok(()) } else { self.differs(path) }
    }

    /// A new file begins with what was the same.
    fn differs(&mut self, path: &Path) -> std::io::Result<()> {
        let To::Same(there, same) = &mut self.to else { return Ok(()) };
        let mut file = crate::files::temporary(path.parent().unwrap_or(Path::new(".")))?;
        there.seek(SeekFrom::Start(0))?;
        if std::io::copy(&mut there.take(*same), &mut file)? != *same {
            return Err(std::io::Error::other(
                "it changed while it was compared with what is new: try again",
            ));
        }
        self.to = To::New(file);
        Ok(())
    }
}

/// True when the next octets of a file are these.
fn continues(file: &mut File, piece: &[u8]) -> bool {
    let mut held = vec![0; piece.len()];
    file.read_exact(&mut held).is_ok() && held == piece
}
