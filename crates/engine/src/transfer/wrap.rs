//! T8 of the ladder (integrity.md 3.3), by request alone: a message that the target refuses for its octets goes untouched
//! inside a cover message. It is the last way to lose nothing.
//!
//! The cover is made of the message alone, so that the same message has the same cover in every run.

use super::spool::{Body, Intake};
use crate::error::EndError;
use crate::message::InternalDate;
use crate::semantic;
use base64::Engine as _;

/// Octets that become one line of base64 (RFC 2045, 6.8: 76 characters at most).
const LINE_OCTETS: usize = 57;
/// Octets at the beginning of a message in which its subject is looked for.
const HEADER_OCTETS_MAX: usize = 256 << 10;
/// Characters of the subject that the cover repeats.
const SUBJECT_MAX: usize = 120;
/// The date of a cover whose message has none.
const NO_DATE: &str = "01-Jan-1970 00:00:00 +0000";

/// The cover message of `original`: two parts (RFC 2046, 5.1.3), a few words and the octets as an attachment. It is no
/// `message/rfc822`: what is refused need not be one, and that type may not be base64 (RFC 2046, 5.2.1).
///
/// # Errors
/// The spool's.
pub async fn wrap(original: &Body, date: Option<&InternalDate>, intake: &Intake) -> Result<Body, EndError> {
    let first = original.piece(0).await?;
    let header = &first[..first.len().min(HEADER_OCTETS_MAX)];
    let boundary = format!("mailhaul-{:.32}", original.measured().fingerprint.exact.to_string());
    let mut builder = intake.begin(None);
    builder.push(cover(header, date, original.octets(), &boundary).as_bytes()).await?;
    let (mut offset, mut held) = (0, Vec::new());
    while offset < original.octets() {
        let piece = original.piece(offset).await?;
        offset += piece.len() as u64;
        held.extend_from_slice(&piece);
        let whole =
            if offset < original.octets() { held.len() / LINE_OCTETS * LINE_OCTETS } else { held.len() };
        builder.push(lines(&held[..whole]).as_bytes()).await?;
        held.drain(..whole);
    }
    builder.push(format!("--{boundary}--\r\n").as_bytes()).await?;
    builder.finish().await
}

fn lines(octets: &[u8]) -> String {
    let line = |line| base64::engine::general_purpose::STANDARD.encode(line) + "\r\n";
    octets.chunks(LINE_OCTETS).map(line).collect()
}

/// All before the attachment's octets.
fn cover(header: &[u8], date: Option<&InternalDate>, octets: u64, boundary: &str) -> String {
    let date = date.map_or_else(|| NO_DATE.to_owned(), ToString::to_string);
    // 03-Mar-2020 as RFC 5322, 3.3, writes it.
    let date = date.trim().replacen('-', " ", 2);
    let subject = match ascii(&semantic::subject(header)) {
        empty if empty.is_empty() => "A message that this server does not take as it is".to_owned(),
        subject => format!("Attached as it was: {subject}"),
    };
    format!(
        "From: Mailhaul <mailhaul@mailhaul.invalid>\r\nDate: {date}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         This server refused the attached message as it is. The attachment is the message\r\n\
         from the old account, octet for octet ({octets} octets). To read it, save it\r\n\
         and open it with a mail program.\r\n\
         --{boundary}\r\nContent-Type: application/octet-stream; name=\"message.eml\"\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"message.eml\"\r\n\r\n"
    )
}

/// One line of printable ASCII.
fn ascii(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    line.take(SUBJECT_MAX).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mail_parser::{MessageParser, MimeHeaders};

    async fn wrapped(octets: Vec<u8>, date: Option<&str>, in_memory: u64) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let intake = Intake::new(folder.path(), in_memory);
        let body = intake.body(Bytes::from(octets)).await.unwrap();
        let date = date.map(InternalDate::from_octets);
        let cover = wrap(&body, date.as_ref(), &intake).await.unwrap();
        cover.whole().await.unwrap().into()
    }

    #[tokio::test]
    async fn the_attachment_is_the_message_octet_for_octet_also_from_the_spool() {
        for length in [0, 1, 56, 57, 58, 114, 300_000] {
            for in_memory in [1 << 20, 16] {
                let octets: Vec<u8> = (0..length).map(|n: usize| (n * 7 % 256) as u8).collect();
                let cover = wrapped(octets.clone(), Some("03-Mar-2020 10:11:12 +0100"), in_memory).await;
                let message = MessageParser::default().parse(&cover).unwrap();
                let attachment = message.attachment(0).unwrap();
                assert_eq!(attachment.contents(), octets, "{length}, {in_memory} in memory");
                assert_eq!(attachment.attachment_name(), Some("message.eml"));
                assert!(cover.split(|o| *o == b'\n').all(|line| line.len() <= 100), "no long line");
            }
        }
    }

    #[tokio::test]
    async fn the_cover_has_the_date_of_the_message_and_its_subject_in_ascii() {
        let letter = "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\r\nno\0body\r\n";
        let cover = wrapped(letter.into(), Some(" 3-Mar-2020 10:11:12 +0100"), 1 << 20).await;
        let text = String::from_utf8(cover.clone()).unwrap();
        assert!(text.contains("Subject: Attached as it was: Gr??e\r\n"), "{text}");
        assert!(text.contains("Date: 3 Mar 2020 10:11:12 +0100\r\n"), "{text}");
        assert!(cover.is_ascii() && !cover.contains(&0));
        assert_eq!(cover, wrapped(letter.into(), Some(" 3-Mar-2020 10:11:12 +0100"), 1 << 20).await);
        let nameless = wrapped(b"no header".to_vec(), None, 1 << 20).await;
        assert!(
            String::from_utf8(nameless)
                .unwrap()
                .contains("Subject: A message that this server does not take")
        );
    }
}
