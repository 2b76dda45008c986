//! The folder of the report: files for their owner's eyes, each replaced in one step, and left alone when nothing
//! new is to be said.

use crate::error::Error;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Octets read at once when a file is hashed.
const PIECE_OCTETS: usize = 256 * 1024;

/// An error that names the file.
pub(super) fn failed(path: &Path, error: &io::Error) -> Error {
    Error::Report { path: path.display().to_string(), what: error.to_string() }
}

/// Removes a file; one that is not there is none the less gone.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// True when the file holds exactly `content`.
pub(super) fn holds(path: &Path, content: &[u8]) -> bool {
    let same_length = path.metadata().is_ok_and(|m| m.len() == content.len() as u64);
    same_length && std::fs::read(path).is_ok_and(|held| held == content)
}

/// The SHA-256 of a file in hexadecimal, read in pieces; `None` if it cannot be read.
pub(crate) fn sha256(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut state = Sha256::new();
    let mut piece = vec![0; PIECE_OCTETS];
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(crate::message::Digest(state.finalize().into()).to_string()),
            n => state.update(&piece[..n]),
        }
    }
}
