//! Pure: values in DER, as far as certificates are read here.

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;

/// The content of the DER value at the start of `der`, which must have this tag, and what follows it.
pub(super) fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let octets = usize::from(first & 0x7f);
        let (octets, rest) = (octets <= 4).then(|| rest.split_at_checked(octets))??;
        (octets.iter().fold(0, |n, o| n << 8 | usize::from(*o)), rest)
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

/// The value at the start of `der`, whatever its tag: the tag, the content, and what follows it.
pub(super) fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let tag = *der.first()?;
    let (content, rest) = value(der, tag)?;
    Some((tag, content, rest))
}
