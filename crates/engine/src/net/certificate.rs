//! Pure: what a certificate says of itself, for people. Whether it is believed is not decided here.

use super::der::{GENERALIZED_TIME, OBJECT_IDENTIFIER, SEQUENCE, SET, UTC_TIME, any, value};
use crate::names::printable;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Attribute types (RFC 5280, A.1): organization and common name.
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// A certificate in words.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Certificate {
    /// Whom it is for: the common name, else the organization; empty where it names its hosts alone.
    pub subject: String,
    /// Who vouches for it: the same of the issuer.
    pub issuer: String,
    /// The end of its time, in seconds since 1970.
    pub not_after: i64,
}

impl Certificate {
    /// Reads DER (RFC 5280, 4.1). `None` for what is no certificate.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (inside, _) = value(der, SEQUENCE)?;
        let (mut rest, _) = value(inside, SEQUENCE)?;
        // The version is left out in the first one.
        if rest.first() == Some(&0xa0) {
            rest = any(rest)?.2;
        }
        let after_serial = any(rest)?.2;
        let after_algorithm = any(after_serial)?.2;
        let (issuer, rest) = value(after_algorithm, SEQUENCE)?;
        let (validity, rest) = value(rest, SEQUENCE)?;
        let (subject, _) = value(rest, SEQUENCE)?;
        let not_after = any(validity)?.2;
        Some(Self { subject: name(subject), issuer: name(issuer), not_after: time(not_after)? })
    }
}

/// `RDNSequence`: sets of pairs of a type and a text.
fn name(mut rest: &[u8]) -> String {
    let (mut common, mut organization) = (None, None);
    while let Some((set, after)) = value(rest, SET) {
        rest = after;
        let pair = || {
            let (pair, _) = value(set, SEQUENCE)?;
            let (kind, text) = value(pair, OBJECT_IDENTIFIER)?;
            Some((kind, any(text)?.1))
        };
        match pair() {
            Some((COMMON_NAME, text)) => common = Some(text),
            Some((ORGANIZATION, text)) => organization = Some(text),
            _ => {}
        }
    }
    printable(&String::from_utf8_lossy(common.or(organization).unwrap_or_default()))
}

/// `UTCTime` with two digits of the year, or `GeneralizedTime` with four, in UTC to the second (RFC 5280, 4.1.2.5).
fn time(der: &[u8]) -> Option<i64> {
    let (tag, content, _) = any(der)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let whole = match tag {
        UTC_TIME => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let date = DateTime::strptime("%Y%m%d%H%M%S", whole).ok()?;
    Some(TimeZone::UTC.to_timestamp(date).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag, 0x82];
        out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        out.extend(content);
        out
    }

    fn named(kind: &[u8], text: &str) -> Vec<u8> {
        let pair = [der(OBJECT_IDENTIFIER, kind), der(0x0c, text.as_bytes())].concat();
        der(SET, &der(SEQUENCE, &pair))
    }

    fn certificate(version: bool, issuer: &[u8], not_after: &[u8], subject: &[u8]) -> Vec<u8> {
        let mut inside = if version { der(0xa0, &der(2, &[2])) } else { Vec::new() };
        inside.extend(der(2, &[1, 2, 3]));
        inside.extend(der(SEQUENCE, &der(OBJECT_IDENTIFIER, &[1])));
        inside.extend(der(SEQUENCE, issuer));
        inside.extend(der(SEQUENCE, &[der(UTC_TIME, b"200101000000Z"), not_after.to_vec()].concat()));
        inside.extend(der(SEQUENCE, subject));
        der(SEQUENCE, &der(SEQUENCE, &inside))
    }

    #[test]
    fn names_and_the_end_are_read_in_both_forms_of_time() {
        let issuer = [named(ORGANIZATION, "Good CA"), named(&[0x55, 4, 6], "DE")].concat();
        let subject = [named(ORGANIZATION, "x"), named(COMMON_NAME, "imap.old.example")].concat();
        let read = |not_after: Vec<u8>| {
            Certificate::read(&certificate(true, &issuer, &not_after, &subject)).unwrap()
        };
        let seen = read(der(UTC_TIME, b"491231235959Z"));
        assert_eq!((seen.subject.as_str(), seen.issuer.as_str()), ("imap.old.example", "Good CA"));
        assert_eq!(seen.not_after, 2_524_607_999);
        assert_eq!(read(der(GENERALIZED_TIME, b"20491231235959Z")), seen);
        assert_eq!(read(der(UTC_TIME, b"500101000000Z")).not_after, -631_152_000, "1950");
    }

    #[test]
    fn what_is_no_certificate_is_nothing_and_control_characters_are_shown() {
        let good =
            certificate(false, &named(COMMON_NAME, "a\u{1b}[2J"), &der(UTC_TIME, b"300101000000Z"), &[]);
        let read = Certificate::read(&good).unwrap();
        assert_eq!((read.issuer.as_str(), read.subject.as_str()), ("a<U+001B>[2J", ""));
        for end in 0..good.len() {
            assert_eq!(Certificate::read(&good[..end]), None, "cut at {end}");
        }
        assert_eq!(Certificate::read(&certificate(false, &[], &der(UTC_TIME, b"no time at Z"), &[])), None);
    }
}
