//! The steps of the ladder that need no `--repair` (integrity.md 3.3): T1 changes the octets, T2 and T3 what goes
//! with them.

use super::spool::{Body, Intake};
use crate::error::EndError;

/// T1: every LF without a CR before it becomes CRLF. CR is never touched.
pub async fn line_ends(body: &Body, intake: &Intake) -> Result<Body, EndError> {
    let mut builder = intake.begin(None);
    let (mut offset, mut after_cr) = (0, false);
    while offset < body.octets() {
        let piece = body.piece(offset).await?;
        offset += piece.len() as u64;
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 32);
        for &octet in &piece {
            if octet == b'\n' && !after_cr {
                out.push(b'\r');
            }
            out.push(octet);
            after_cr = octet == b'\r';
        }
        builder.push(&out).await?;
    }
    builder.finish().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[tokio::test]
    async fn only_a_lone_lf_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let intake = Intake::new(folder.path(), 1024);
        let body = intake.body(Bytes::from_static(b"a\nb\r\nc\rd\n\n")).await.unwrap();
        let changed = line_ends(&body, &intake).await.unwrap();
        assert_eq!(&changed.piece(0).await.unwrap()[..], b"a\r\nb\r\nc\rd\r\n\r\n");
        assert_eq!(changed.measured().fingerprint.normal, body.measured().fingerprint.normal);
        assert!(!changed.measured().lone_lf);
    }
}
