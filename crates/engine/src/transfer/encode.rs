//! T4 of the ladder (integrity.md 3.3), by request alone: header fields with octets outside ASCII are encoded anew where the
//! target would destroy these octets, or refuses them. All else stays as it is, octet for octet.
//!
//! No octet is lost by it. Text is encoded as words of RFC 2047, a parameter of a MIME field by RFC 2231; the charset is UTF-8
//! where the whole field is, else the one that the message declares for its body, else `unknown-8bit` (RFC 1428): the octets
//! themselves are what is decoded in any case. Where octets stand in which no such form is allowed (an address, Received, Message-ID, the name of a field) the step does not apply.

mod charset;
mod fields;
mod line;
#[cfg(test)]
mod tests;

use super::spool::Body;
use crate::error::EndError;
use bytes::Bytes;

/// A longer header goes as it is.
const HEADER_OCTETS_MAX: usize = 1 << 20;

/// The message with its header encoded; `None` where the step does not apply, or there is nothing to encode. All after the
/// header is shared with the original.
///
/// # Errors
/// The spool's.
pub async fn encode(original: &Body) -> Result<Option<Body>, EndError> {
    let Some(header) = header_of(original).await? else { return Ok(None) };
    let Some(encoded) = encoded(&header) else { return Ok(None) };
    original.after(encoded.into(), header.len() as u64).await.map(Some)
}

/// True where the step has something to do, and does not make a message of more octets than the target takes.
///
/// # Errors
/// The spool's.
pub async fn applies(body: &Body, limit: Option<u64>) -> Result<bool, EndError> {
    let Some(header) = header_of(body).await? else { return Ok(false) };
    let Some(encoded) = encoded(&header) else { return Ok(false) };
    let octets = body.octets() - header.len() as u64 + encoded.len() as u64;
    Ok(limit.is_none_or(|limit| octets <= limit))
}

/// The header with the empty line after it: the whole message where there is none. `None` for one that is too long.
async fn header_of(body: &Body) -> Result<Option<Bytes>, EndError> {
    let mut held = body.piece(0).await?;
    loop {
        if let Some(end) = header_end(&held[..held.len().min(HEADER_OCTETS_MAX)]) {
            return Ok(Some(held.slice(..end)));
        }
        if held.len() > HEADER_OCTETS_MAX {
            return Ok(None);
        }
        if held.len() as u64 >= body.octets() {
            return Ok(Some(held));
        }
        held = [held.clone(), body.piece(held.len() as u64).await?].concat().into();
    }
}

/// Where the first line ends that is empty.
fn header_end(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    for lf in memchr::memchr_iter(b'\n', octets) {
        if octets[at..lf].iter().all(|octet| *octet == b'\r') {
            return Some(lf + 1);
        }
        at = lf + 1;
    }
    None
}

/// The header in ASCII. `None` where it is in ASCII, or cannot be.
fn encoded(header: &[u8]) -> Option<Vec<u8>> {
    // No server that takes NUL in a header is known to want the rest of it in ASCII.
    if header.is_ascii() || memchr::memchr(0, header).is_some() {
        return None;
    }
    let mut out = Vec::with_capacity(header.len() + header.len() / 2);
    let all = split(header)?;
    let declared = fields::declared(&all);
    for field in all {
        match field.is_ascii() {
            true => out.extend_from_slice(field),
            false => out.extend(fields::encode(field, declared)?),
        }
    }
    Some(out)
}

/// The fields, each with its line ends (RFC 5322, 2.2.3). `None` where a line of white space alone makes it doubtful what is
/// header and what is not.
fn split(header: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut fields, mut start, mut at) = (Vec::new(), 0, 0);
    while at < header.len() {
        let end = memchr::memchr(b'\n', &header[at..]).map_or(header.len(), |lf| at + lf + 1);
        let line = &header[at..end];
        let is_empty = line.iter().all(|octet| matches!(octet, b'\r' | b'\n'));
        if !is_empty && line.trim_ascii().is_empty() {
            return None;
        }
        if at > start && !matches!(line[0], b' ' | b'\t') {
            fields.push(&header[start..at]);
            start = at;
        }
        at = end;
    }
    fields.push(&header[start..]);
    Some(fields)
}
