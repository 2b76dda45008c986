//! A certificate and its manifest, read back: what `mailhaul verify --certificate` starts from.

use super::signature::{self, PublicKey, SIGNATURE_SUFFIX};
use crate::error::Error;
use crate::journal::{AccountPair, Decision, Name};
use crate::message::Digest;
use base64::Engine as _;
use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A certificate whose manifest is what it says, and whose signature fits, if it has one.
#[derive(Debug)]
pub struct Certificate {
    /// The file.
    pub path: PathBuf,
    /// The accounts it is about.
    pub pair: AccountPair,
    /// The name of the migration.
    pub migration: String,
    /// The key that signed it; `None` where nobody did.
    pub signer: Option<PublicKey>,
    /// The danger options of the runs that it rests on; `None` where it does not know them.
    pub danger: Option<Vec<String>>,
    pub(super) mailboxes: Vec<Mailbox>,
    manifest: PathBuf,
    manifest_sha256: String,
    pub(super) lines: u64,
}

/// One mailbox as certified.
#[derive(Debug, Deserialize)]
pub(super) struct Mailbox {
    source_name: String,
    source_wire: Wire,
    target_name: Option<String>,
    target_wire: Option<Wire>,
    pub(super) role: Option<String>,
    decision: String,
    rule: Option<String>,
    reason: Option<String>,
    pub(super) source_uidvalidity: Option<u32>,
    pub(super) target_uidvalidity: Option<u32>,
    pub(super) survey_messages: Option<u64>,
    pub(super) survey_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Octets { base64: String },
}

impl Wire {
    fn octets(&self) -> Option<Bytes> {
        match self {
            Self::Text(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
            Self::Octets { base64 } => {
                base64::engine::general_purpose::STANDARD.decode(base64).ok().map(Bytes::from)
            }
        }
    }
}

impl Mailbox {
    /// Its name at the source.
    pub(super) fn source(&self) -> Option<Name> {
        name(&self.source_name, &self.source_wire)
    }

    /// What was done with it.
    pub(super) fn decision(&self) -> Option<Decision> {
        Some(match self.decision.as_str() {
            "move" => Decision::Move(name(self.target_name.as_ref()?, self.target_wire.as_ref()?)?),
            "exclude" => Decision::Exclude(self.rule.clone().unwrap_or_default()),
            "refuse" => Decision::Refuse(self.reason.clone().unwrap_or_default()),
            _ => return None,
        })
    }
}

fn name(text: &str, wire: &Wire) -> Option<Name> {
    Some(Name { wire: wire.octets()?, text: text.to_owned(), delimiter: None })
}

#[derive(Deserialize)]
struct File {
    certificate: u32,
    migration: String,
    source: Account,
    target: Account,
    mailboxes: Vec<Mailbox>,
    manifest: Manifest,
    danger_options: Option<Vec<String>>,
    signer: Option<Named>,
}

/// The key that the certificate says it is signed with.
#[derive(Deserialize)]
struct Named {
    key_sha256: String,
}

#[derive(Deserialize)]
struct Account {
    account: String,
}

#[derive(Deserialize)]
struct Manifest {
    file: String,
    sha256: String,
    lines: u64,
}

/// One source message of the manifest.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) source: SourcePart,
    pub(super) octets: Option<u64>,
    pub(super) sha256: Option<String>,
    pub(super) normal_sha256: Option<String>,
    pub(super) target: Option<TargetPart>,
    pub(super) target_sha256: Option<String>,
    pub(super) grade: Option<String>,
    pub(super) state: String,
    pub(super) origin: Option<String>,
    #[serde(default)]
    pub(super) ladder: Vec<String>,
    pub(super) flags: Option<FlagsPart>,
    pub(super) date: Option<DatePart>,
    pub(super) reason: Option<ReasonPart>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SourcePart {
    pub(super) mailbox: String,
    pub(super) uidvalidity: Option<u32>,
    pub(super) uid: i64,
    pub(super) internaldate: Option<String>,
    pub(super) size: u64,
    pub(super) flags: Vec<String>,
    #[serde(default)]
    pub(super) message_number: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TargetPart {
    pub(super) uidvalidity: Option<u32>,
    pub(super) uid: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct FlagsPart {
    pub(super) sent: Vec<String>,
    pub(super) read_back: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct DatePart {
    pub(super) sent: Option<String>,
    pub(super) read_back: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReasonPart {
    pub(super) kind: String,
    pub(super) text: String,
}

/// The key that a certificate names as its signer's is the one whose signature lies beside it, or there is neither.
fn agree(path: &Path, named: Option<&Named>, signer: Option<&PublicKey>) -> Result<(), String> {
    let signature = signature::beside(path, SIGNATURE_SUFFIX);
    match (named, signer.map(PublicKey::fingerprint)) {
        (None, None) => Ok(()),
        (Some(named), Some(found)) if named.key_sha256 == found.to_string() => Ok(()),
        (Some(named), Some(found)) => {
            Err(format!("it is signed by the key {found}, and names {} as its signer's", named.key_sha256))
        }
        (Some(_), None) => {
            Err(format!("it is signed, and its signature {} is not there", signature.display()))
        }
        (None, Some(_)) => Err(format!("it names no signer, and {} lies beside it", signature.display())),
    }
}

impl Certificate {
    /// Reads `certificate.json` at `path`, and checks that the signature beside it fits the octets that were read, and
    /// that the manifest beside it hashes to what the certificate says.
    ///
    /// # Errors
    /// [`Error::Certificate`]: a file that is missing, no certificate, of another format, or changed since.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bad = |what: String| Error::Certificate { path: path.display().to_string(), what };
        let octets = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
        let signer = signature::signer_of(path, &octets).map_err(bad)?;
        let json: File =
            serde_json::from_slice(&octets).map_err(|e| bad(format!("it is no certificate: {e}")))?;
        if json.certificate != super::FORMAT {
            let what = format!("its format is {}, this Mailhaul knows {}", json.certificate, super::FORMAT);
            return Err(bad(what));
        }
        agree(path, json.signer.as_ref(), signer.as_ref()).map_err(bad)?;
        // The manifest lies beside it, whatever a path in the file says.
        let file = Path::new(&json.manifest.file).file_name().unwrap_or_default();
        let manifest = path.with_file_name(file);
        let Some(found) = crate::report::sha256_of(&manifest) else {
            return Err(bad(format!("its manifest {} cannot be read", manifest.display())));
        };
        if found != json.manifest.sha256 {
            let what = format!(
                "{} is not the manifest it certifies: SHA-256 {found}, certified {}",
                manifest.display(),
                json.manifest.sha256
            );
            return Err(bad(what));
        }
        Ok(Self {
            path: path.to_owned(),
            pair: AccountPair { source: json.source.account, target: json.target.account },
            migration: json.migration,
            signer,
            danger: json.danger_options,
            mailboxes: json.mailboxes,
            manifest,
            manifest_sha256: found,
            lines: json.manifest.lines,
        })
    }

    /// Asks for the signature of one key: `fingerprint` is the SHA-256 of its SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`Error::Certificate`], where another key signed it, or nobody did.
    pub fn must_be_signed_by(&self, fingerprint: Digest) -> Result<(), Error> {
        match self.signer.map(|key| key.fingerprint()) {
            Some(found) if found == fingerprint => Ok(()),
            Some(found) => {
                Err(self.damaged(format!("it is signed by the key {found}, not by {fingerprint}")))
            }
            None => Err(self.damaged(format!("it is not signed; asked for is the key {fingerprint}"))),
        }
    }

    /// Something about it that does not hold together.
    pub(super) fn damaged(&self, what: impl Into<String>) -> Error {
        Error::Certificate { path: self.path.display().to_string(), what: what.into() }
    }

    /// The lines of the manifest, in order. What they say counts when [`Lines::finish`] has been heard.
    pub(super) fn lines(&self) -> Result<Lines<'_>, Error> {
        let file = fs::File::open(&self.manifest).map_err(|e| self.damaged(e.to_string()))?;
        let reader = BufReader::new(Hashing { file, state: Sha256::new() });
        Ok(Lines { certificate: self, reader, read: 0 })
    }
}

/// A manifest on its way. Between the check of its digest and this reading others may have written to it: it is hashed
/// once more, in the octets that are used.
pub(super) struct Lines<'a> {
    certificate: &'a Certificate,
    reader: BufReader<Hashing>,
    /// Lines read so far.
    pub(super) read: u64,
}

impl Lines<'_> {
    /// Reads what is left, and says whether all of it is what was certified.
    ///
    /// # Errors
    /// [`Error::Certificate`], where it is not.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let certificate = self.certificate;
        io::copy(&mut self.reader, &mut io::sink()).map_err(|e| certificate.damaged(e.to_string()))?;
        let found = Digest(self.reader.into_inner().state.finalize().into()).to_string();
        if found == certificate.manifest_sha256 {
            return Ok(());
        }
        Err(certificate.damaged(format!(
            "{} was changed after it was checked: SHA-256 {found}, certified {}",
            certificate.manifest.display(),
            certificate.manifest_sha256
        )))
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<Line, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut text = String::new();
        let line = self.reader.read_line(&mut text);
        if matches!(line, Ok(0)) {
            return None;
        }
        self.read += 1;
        let line = line.map_err(|e| e.to_string());
        let line = line.and_then(|_| serde_json::from_str(&text).map_err(|e| e.to_string()));
        Some(line.map_err(|e| self.certificate.damaged(format!("line {} of its manifest: {e}", self.read))))
    }
}

/// Hashes what is read from it.
struct Hashing {
    file: fs::File,
    state: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(into)?;
        self.state.update(&into[..n]);
        Ok(n)
    }
}
