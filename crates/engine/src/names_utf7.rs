//! Stands in for `mailhaul_imap::utf7` until that branch is merged; then this file goes.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const STRICT: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Encodes a name. The result is ASCII without control characters.
#[must_use]
pub(crate) fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shifted.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut shifted, &mut out);
    out
}

fn flush(shifted: &mut Vec<u8>, out: &mut String) {
    if !shifted.is_empty() {
        out.push('&');
        STRICT.encode_string(&*shifted, out);
        out.push('-');
        shifted.clear();
    }
}

/// Decodes a name for display. A sequence that is no modified UTF-7 stays as it is written, so nothing is lost and
/// nothing fails; `None` only if there are 8-bit octets, which make the whole name something else.
#[must_use]
pub(crate) fn decode(wire: &[u8]) -> Option<String> {
    let mut rest = std::str::from_utf8(wire).ok().filter(|s| s.is_ascii())?;
    let mut out = String::with_capacity(rest.len());
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        rest = after;
        match after.split_once('-') {
            Some(("", behind)) => {
                out.push('&');
                rest = behind;
            }
            Some((run, behind)) if decode_run(run, &mut out).is_some() => rest = behind,
            _ => out.push('&'),
        }
    }
    out.push_str(rest);
    Some(out)
}

/// Appends the text of one shifted run, or nothing at all.
fn decode_run(run: &str, out: &mut String) -> Option<()> {
    let octets = LENIENT.decode(run).ok()?;
    let (units, []) = octets.as_chunks::<2>() else { return None };
    let text: Result<String, _> =
        char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit))).collect();
    out.push_str(&text.ok()?);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answers() {
        for (text, wire) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("A&B", "A&-B"),
            ("&", "&-"),
            ("Hi Mom -☺-!", "Hi Mom -&Jjo--!"),
            ("😀", "&2D3eAA-"),
            ("a\tb", "a&AAk-b"),
            ("", ""),
        ] {
            assert_eq!(encode(text), wire);
            assert_eq!(decode(wire.as_bytes()).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_no_modified_utf7_stays_as_written() {
        for wire in ["R&D", "&AB", "a & b", "&2D0-", "&!-", "x&AOk", "&A-"] {
            assert_eq!(decode(wire.as_bytes()).as_deref(), Some(wire));
        }
        assert_eq!(decode(b"Q & A &APw-").as_deref(), Some("Q & A ü"));
        assert_eq!(decode(b"Entw\xfcrfe"), None);
    }

    proptest! {
        #[test]
        fn every_name_survives_encoding_and_decoding(name in any::<String>()) {
            let wire = encode(&name);
            prop_assert!(wire.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(decode(wire.as_bytes()), Some(name));
        }

        #[test]
        fn any_octets_decode_without_a_panic(wire in any::<Vec<u8>>()) {
            let decoded = decode(&wire);
            prop_assert_eq!(decoded.is_some(), wire.is_ascii());
        }
    }
}
