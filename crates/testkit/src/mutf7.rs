//! Modified UTF-7 for mailbox names (RFC 3501 section 5.1.3), apart from the product's own.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const MODIFIED_BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A mailbox name as it goes over the wire.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut out = String::new();
    let mut shifted: Vec<u16> = Vec::new();
    for character in name.chars() {
        if matches!(character, ' '..='~') {
            flush(&mut out, &mut shifted);
            out.push(character);
            if character == '&' {
                out.push('-');
            }
        } else {
            shifted.extend_from_slice(character.encode_utf16(&mut [0; 2]));
        }
    }
    flush(&mut out, &mut shifted);
    out
}

fn flush(out: &mut String, shifted: &mut Vec<u16>) {
    if !shifted.is_empty() {
        let octets: Vec<u8> = shifted.drain(..).flat_map(u16::to_be_bytes).collect();
        out.push('&');
        out.push_str(&MODIFIED_BASE64.encode(octets));
        out.push('-');
    }
}

/// The name behind what a server lists, or `None` if it is not modified UTF-7.
#[must_use]
pub fn decode(wire: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = wire;
    while let Some((plain, shifted)) = rest.split_once('&') {
        out.push_str(plain);
        let (base64, after) = shifted.split_once('-')?;
        if base64.is_empty() {
            out.push('&');
        } else {
            let octets = MODIFIED_BASE64.decode(base64).ok()?;
            let units: Vec<u16> = octets
                .chunks(2)
                .map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)))
                .collect::<Option<_>>()?;
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_3501_is_coded_both_ways() {
        let (name, wire) = ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(encode(name), wire);
        assert_eq!(decode(wire).as_deref(), Some(name));
    }

    #[test]
    fn names_survive_the_round_trip() {
        for name in ["Entwürfe", "R&D", "&", "📁 Projekte", "a&ü&b", "e\u{301}", "", "x\u{a0}"] {
            assert_eq!(decode(&encode(name)).as_deref(), Some(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_modified_utf7_is_told() {
        for wire in ["R&D", "a&AOQ", "&AOQ*-", "&2AA-", "&AA-"] {
            assert_eq!(decode(wire), None, "{wire}");
        }
    }
}
