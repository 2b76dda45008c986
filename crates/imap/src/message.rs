//! Facts of a message as IMAP writes them.

use bytes::Bytes;

/// INTERNALDATE (RFC 9051, 2.3.3 and `date-time` of section 9): the octets between the quotes, kept as received.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InternalDate {
    raw: Bytes,
}

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

impl InternalDate {
    /// Takes the octets between the quotes; `None` for octets that no quoted string can hold.
    pub fn from_raw(raw: impl Into<Bytes>) -> Option<Self> {
        let raw = raw.into();
        let sound = raw.iter().all(|b| !matches!(b, b'\r' | b'\n' | 0 | b'"' | b'\\'));
        sound.then_some(Self { raw })
    }

    /// The octets between the quotes.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Seconds since 1970-01-01 00:00:00 UTC; `None` for a date that does not exist. Lenient where servers are:
    /// a day without its padding, months in any case, a leap second.
    pub fn unix_seconds(&self) -> Option<i64> {
        let mut parts = self.raw.split(|&b| b == b' ').filter(|p| !p.is_empty());
        let (date, time, zone) = (parts.next()?, parts.next()?, parts.next()?);
        let mut date = date.split(|&b| b == b'-');
        let (day, month, year) = (number(date.next()?)?, date.next()?, number(date.next()?)?);
        let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))? as i64 + 1;
        let mut time = time.split(|&b| b == b':');
        let (hour, minute, second) = (number(time.next()?)?, number(time.next()?)?, number(time.next()?)?);
        if day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (sign, zone) = match zone.split_first()? {
            (b'+', zone) => (1, zone),
            (b'-', zone) => (-1, zone),
            _ => return None,
        };
        let zone = if zone.len() == 4 { number(zone)? } else { return None };
        let offset = sign * (zone / 100 * 60 + zone % 100) * 60;
        Some(days_from_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    let sound = !digits.is_empty() && digits.len() <= 6 && digits.iter().all(u8::is_ascii_digit);
    sound.then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, proleptic Gregorian.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let before = |y: i64| 365 * y + (y + 3) / 4 - (y + 99) / 100 + (y + 399) / 400;
    before(year) - before(1970) + (1..month).map(|m| days_in(year, m)).sum::<i64>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(raw: &'static str) -> Option<i64> {
        InternalDate::from_raw(raw)?.unix_seconds()
    }

    #[test]
    fn dates_become_instants() {
        assert_eq!(at("01-Jan-1970 00:00:00 +0000"), Some(0));
        assert_eq!(at(" 3-Mar-2020 10:11:12 +0530"), Some(1_583_210_472));
        assert_eq!(at("3-MAR-2020 10:11:12 -0800"), Some(1_583_259_072));
        assert_eq!(at("31-Dec-1969 23:59:59 +0000"), Some(-1));
        assert_eq!(at("29-Feb-2000 00:00:00 +0000"), Some(951_782_400));
        assert_eq!(at("31-Dec-2016 23:59:60 +0000"), at("01-Jan-2017 00:00:00 +0000"));
    }

    #[test]
    fn impossible_dates_have_no_instant_and_keep_their_octets() {
        for raw in
            ["31-Feb-2020 10:00:00 +0000", "29-Feb-2019 10:00:00 +0000", "", "x", "1-Jan-2020 24:00:00 +0000"]
        {
            assert_eq!(at(raw), None, "{raw}");
            assert_eq!(InternalDate::from_raw(raw).unwrap().raw(), raw.as_bytes());
        }
        assert!(InternalDate::from_raw("a\"b").is_none());
    }
}
