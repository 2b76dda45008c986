//! Pure: signs in the octets of a message that the source did not give it as it is.

/// What Exchange writes in the place of a message that it cannot convert.
const STUB_SUBJECT: &[u8] = b"retrieval using the imap4 protocol failed for the following message";

/// QUIRK: Exchange gives a short text message in the place of one that it cannot convert to MIME, with the subject
/// "Retrieval using the IMAP4 protocol failed for the following message: 2938" [T Microsoft support, imapsync FAQ].
/// True for such a message; one that only mentions the words is not meant.
pub fn is_exchange_stub(octets: &[u8]) -> bool {
    // Of nearly every message one word is enough.
    let is_named =
        |at: usize| octets[..at].last_chunk::<4>().is_some_and(|word| word.eq_ignore_ascii_case(b"imap"));
    memchr::memchr_iter(b'4', octets).any(is_named)
        && header(octets, b"subject")
            .is_some_and(|subject| subject.to_ascii_lowercase().starts_with(STUB_SUBJECT))
}

/// The closing delimiter of a multipart message, `--boundary--` (RFC 2046, 5.1.1); `None` for one that is no multipart
/// or names no boundary.
pub fn closing_delimiter(octets: &[u8]) -> Option<Vec<u8>> {
    let content_type = header(octets, b"content-type")?;
    let lower = content_type.to_ascii_lowercase();
    if !lower.starts_with(b"multipart/") {
        return None;
    }
    let start = memchr::memmem::find(&lower, b"boundary=")? + b"boundary=".len();
    let value = content_type.get(start..)?;
    let boundary = match value.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|&b| b == b'"').next()?,
        None => value.split(|&b| b == b';' || b.is_ascii_whitespace()).next()?,
    };
    (!boundary.is_empty()).then(|| [b"--", boundary, b"--"].concat())
}

/// The value of a header field, unfolded (RFC 5322, 2.2.3), without white space around it. `name` in lower case.
fn header(octets: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut value: Option<Vec<u8>> = None;
    for line in octets.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        match &mut value {
            Some(value) if folded => {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
            Some(_) => break,
            None if folded => {}
            None => {
                let (field, rest) = line.split_at(memchr::memchr(b':', line).unwrap_or(line.len()));
                if field.trim_ascii_end().eq_ignore_ascii_case(name) {
                    value = Some(rest.get(1..).unwrap_or_default().trim_ascii().to_vec());
                }
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_of_exchange_is_told_from_a_message_about_one() {
        let stub = b"From: Microsoft Exchange Server <noreply@x.example>\r\nSubject: Retrieval using the IMAP4 protocol\r\n \
                     failed for the following message: 2938\r\n\r\nThe server couldn't retrieve\r\n";
        assert!(is_exchange_stub(stub));
        for other in [
            &b"Subject: Re: Retrieval using the IMAP4 protocol failed for the following message: 2938\r\n\r\n"[..],
            b"Subject: x\r\n\r\nSubject: Retrieval using the IMAP4 protocol failed for the following message: 1\r\n",
            b"",
            b"no header",
        ] {
            assert!(!is_exchange_stub(other), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn the_closing_delimiter_is_that_of_the_message_itself() {
        let delimiter =
            |text: &str| closing_delimiter(text.as_bytes()).map(|d| String::from_utf8(d).unwrap());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(delimiter("Content-Type: multipart/mixed; boundary=ab1\r\n\r\n"), some("--ab1--"));
        let folded = "A: b\r\nCONTENT-TYPE: Multipart/Mixed;\r\n\tBoundary=\"=_a b;c\"; x=y\r\n\r\n";
        assert_eq!(delimiter(folded), some("--=_a b;c--"));
        for none in [
            "Content-Type: text/plain; boundary=x\r\n\r\n",
            "Content-Type: multipart/mixed\r\n\r\n",
            "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n",
            "A: b\r\n\r\nContent-Type: multipart/mixed; boundary=x\r\n",
            "",
        ] {
            assert_eq!(delimiter(none), None, "{none}");
        }
    }
}
