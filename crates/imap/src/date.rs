//! INTERNALDATE: kept as received, understood where possible.

use bytes::Bytes;

/// The internal date of a message as the server wrote it, without the quotes (RFC 3501, 2.3.3).
///
/// The octets are what APPEND sends back. Whether they name a point in time is a separate question:
/// [`InternalDate::parse`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InternalDate {
    raw: Bytes,
}

/// The fields of a date-time, each in the range a calendar allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DateParts {
    /// Year, 0 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31 and within the month.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 60 (60 is a leap second).
    pub second: u8,
    /// Offset from UTC in minutes, east positive.
    pub zone_minutes: i16,
}

impl InternalDate {
    /// Keeps the octets. `None` only for what no quoted string can carry: CR, LF or NUL.
    #[must_use]
    pub fn from_raw(raw: impl Into<Bytes>) -> Option<Self> {
        let raw = raw.into();
        (!raw.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))).then_some(Self { raw })
    }

    /// The octets as received.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Reads `dd-Mon-yyyy hh:mm:ss +zzzz` (RFC 3501, `date-time`). Lenient where the meaning stays certain: an
    /// unpadded day, spaces around, a month in any case, one-digit hours, second 60. `None` for a day the calendar
    /// lacks, a missing zone, or any other form.
    #[must_use]
    pub fn parse(&self) -> Option<DateParts> {
        DateParts::read(&self.raw)
    }

    /// Seconds since 1970-01-01T00:00:00Z, where [`InternalDate::parse`] understands the date.
    #[must_use]
    pub fn unix_seconds(&self) -> Option<i64> {
        self.parse().map(DateParts::unix_seconds)
    }
}

impl DateParts {
    /// What [`InternalDate::parse`] reads, of octets that need not be kept.
    #[must_use]
    pub fn read(raw: &[u8]) -> Option<Self> {
        let mut scan = Scan(raw.trim_ascii());
        let day = scan.number(1, 2)?;
        scan.byte(b'-')?;
        let month = scan.month()?;
        scan.byte(b'-')?;
        let year = scan.number(4, 4)?;
        scan.spaces()?;
        let hour = scan.number(1, 2)?;
        scan.byte(b':')?;
        let minute = scan.number(2, 2)?;
        scan.byte(b':')?;
        let second = scan.number(2, 2)?;
        scan.spaces()?;
        let zone_minutes = scan.zone()?;
        let parts = Self {
            year,
            month,
            day: u8::try_from(day).ok()?,
            hour: u8::try_from(hour).ok()?,
            minute: u8::try_from(minute).ok()?,
            second: u8::try_from(second).ok()?,
            zone_minutes,
        };
        (scan.0.is_empty() && parts.is_valid()).then_some(parts)
    }

    fn is_valid(&self) -> bool {
        let days = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap_year(self.year) => 29,
            2 => 28,
            _ => 31,
        };
        (1..=12).contains(&self.month)
            && (1..=days).contains(&self.day)
            && self.hour <= 23
            && self.minute <= 59
            && self.second <= 60
    }

    /// Seconds since 1970-01-01T00:00:00Z; a leap second counts as the first second of the next minute.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        let of_day = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        self.days_since_epoch() * 86_400 + of_day - i64::from(self.zone_minutes) * 60
    }

    /// Days since 1970-01-01 in the proleptic Gregorian calendar. The year is counted from March, so that the leap
    /// day is its last.
    fn days_since_epoch(self) -> i64 {
        let (year, month) = match self.month {
            1 | 2 => (i64::from(self.year) - 1, i64::from(self.month) + 9),
            _ => (i64::from(self.year), i64::from(self.month) - 3),
        };
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        year * 365 + leap_days + day_of_year - DAYS_BEFORE_EPOCH
    }
}

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_EPOCH: i64 = 719_468;

const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

fn is_leap_year(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The rest of a date that is being read.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn byte(&mut self, wanted: u8) -> Option<()> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        (*first == wanted).then_some(())
    }

    fn spaces(&mut self) -> Option<()> {
        self.byte(b' ')?;
        self.0 = self.0.trim_ascii_start();
        Some(())
    }

    fn number(&mut self, min_digits: usize, max_digits: usize) -> Option<u16> {
        let count = self.0.iter().take(max_digits).take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        (count >= min_digits).then(|| digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
    }

    fn month(&mut self) -> Option<u8> {
        let (name, rest) = self.0.split_at_checked(3)?;
        self.0 = rest;
        let index = MONTHS.iter().position(|m| name.eq_ignore_ascii_case(*m))?;
        u8::try_from(index + 1).ok()
    }

    fn zone(&mut self) -> Option<i16> {
        let (sign, rest) = self.0.split_first()?;
        self.0 = rest;
        let (hours, minutes) = (self.number(2, 2)?, self.number(2, 2)?);
        let offset = i16::try_from(hours * 60 + minutes).ok()?;
        match sign {
            _ if hours > 23 || minutes > 59 => None,
            b'+' => Some(offset),
            b'-' => Some(-offset),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(raw: &'static str) -> Option<i64> {
        InternalDate::from_raw(raw).unwrap().unix_seconds()
    }

    #[test]
    fn known_answers() {
        assert_eq!(seconds("01-Jan-1970 00:00:00 +0000"), Some(0));
        assert_eq!(seconds(" 1-Jan-1970 01:00:00 +0100"), Some(0));
        assert_eq!(seconds("17-Jul-1996 02:44:25 -0700"), Some(837_596_665));
        assert_eq!(seconds("29-Feb-2000 12:00:00 +0000"), Some(951_825_600));
        assert_eq!(seconds("31-Dec-1969 23:59:59 +0000"), Some(-1));
        assert_eq!(seconds("01-Mar-2024 00:00:00 +0000"), Some(1_709_251_200));
        assert_eq!(seconds("01-Jan-0000 00:00:00 +0000"), Some(-62_167_219_200));
        assert_eq!(seconds("31-Dec-9999 23:59:59 +0000"), Some(253_402_300_799));
    }

    #[test]
    fn lenient_forms_with_a_certain_meaning_are_understood() {
        let plain = seconds("07-Jul-1996 02:44:25 +0000");
        assert!(plain.is_some());
        assert_eq!(seconds("7-Jul-1996 02:44:25 +0000"), plain);
        assert_eq!(seconds(" 7-JUL-1996 02:44:25 +0000 "), plain);
        assert_eq!(seconds("7-jul-1996  2:44:25 +0000"), plain);
        assert_eq!(seconds("31-Dec-2016 23:59:60 +0000"), seconds("01-Jan-2017 00:00:00 +0000"));
    }

    #[test]
    fn what_names_no_point_in_time_is_kept_but_not_understood() {
        for raw in [
            "31-Feb-2020 00:00:00 +0000",
            "29-Feb-1900 00:00:00 +0000",
            "00-Jan-2020 00:00:00 +0000",
            "01-Foo-2020 00:00:00 +0000",
            "01-Jan-2020 24:00:00 +0000",
            "01-Jan-2020 00:60:00 +0000",
            "01-Jan-2020 00:00:61 +0000",
            "01-Jan-2020 00:00:00",
            "01-Jan-2020 00:00:00 GMT",
            "01-Jan-2020 00:00:00 +9900",
            "01-Jan-20 00:00:00 +0000",
            "01-Jan-2020 00:00:00 +0000 x",
            "",
            "never",
        ] {
            let date = InternalDate::from_raw(raw).unwrap();
            assert_eq!(date.parse(), None, "{raw}");
            assert_eq!(date.raw(), raw);
        }
    }

    #[test]
    fn only_what_no_quoted_string_can_carry_is_refused() {
        assert!(InternalDate::from_raw(&b"a\rb"[..]).is_none());
        assert!(InternalDate::from_raw(&b"a\nb"[..]).is_none());
        assert!(InternalDate::from_raw(&b"a\0b"[..]).is_none());
        assert!(InternalDate::from_raw(&b"a\"\\\xfc"[..]).is_some());
    }
}
