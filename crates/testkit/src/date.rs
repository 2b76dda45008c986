//! INTERNALDATE for checkers: read, write and compare without any calendar library.

use std::fmt;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY_SECONDS: i64 = 86_400;

/// An INTERNALDATE (RFC 3501 section 2.3.3). Equal dates are equal instants: servers answer in a zone of their own.
#[derive(Clone, Copy, Debug)]
pub struct InternalDate {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_seconds: i64,
    /// Offset of the zone it is written in, in minutes east of UTC.
    pub zone_minutes: i16,
}

impl PartialEq for InternalDate {
    fn eq(&self, other: &Self) -> bool {
        self.unix_seconds == other.unix_seconds
    }
}

impl Eq for InternalDate {}

impl InternalDate {
    /// The instant, written in UTC.
    #[must_use]
    pub fn utc(unix_seconds: i64) -> Self {
        Self { unix_seconds, zone_minutes: 0 }
    }

    /// Reads `date-time` without its quotes: `17-Jul-1996 02:44:25 -0700`, the day possibly ` 7` or `7`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
        let mut date = date.split('-');
        let day: i64 = date.next()?.parse().ok()?;
        let name = date.next()?;
        let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))? as i64 + 1;
        let year: i64 = date.next()?.parse().ok()?;
        let mut time = time.split(':').map(str::parse::<i64>);
        let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
        let sign = match zone.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let digits = zone.get(1..).filter(|digits| digits.len() == 4)?;
        let zone_minutes: i16 =
            sign * (digits[..2].parse::<i16>().ok()? * 60 + digits[2..].parse::<i16>().ok()?);
        let local = days_from_civil(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
        Some(Self { unix_seconds: local - i64::from(zone_minutes) * 60, zone_minutes })
    }

    /// The form of a message's Date header: `Wed, 17 Jul 1996 02:44:25 -0700` (RFC 5322 section 3.3).
    #[must_use]
    pub fn rfc5322(self) -> String {
        let (days, seconds) = self.local();
        let (year, month, day) = civil_from_days(days);
        format!(
            "{}, {day} {} {year:04} {} {}",
            DAYS[days.rem_euclid(7) as usize],
            MONTHS[month as usize - 1],
            clock(seconds),
            self.zone()
        )
    }

    /// Days and seconds of the day on the zone's wall clock.
    fn local(self) -> (i64, i64) {
        let local = self.unix_seconds + i64::from(self.zone_minutes) * 60;
        (local.div_euclid(DAY_SECONDS), local.rem_euclid(DAY_SECONDS))
    }

    fn zone(self) -> String {
        let minutes = self.zone_minutes.unsigned_abs();
        format!("{}{:02}{:02}", if self.zone_minutes < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
    }
}

/// `date-time` of RFC 3501 section 9 without its quotes: ` 7-Jul-1996 02:44:25 -0700`.
impl fmt::Display for InternalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = self.local();
        let (year, month, day) = civil_from_days(days);
        write!(f, "{day:2}-{}-{year:04} {} {}", MONTHS[month as usize - 1], clock(seconds), self.zone())
    }
}

fn clock(seconds: i64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar; years run from March so that the leap day
/// is a year's last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month (1-12) and day (1-31) of a day counted from 1970-01-01.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_3501_is_read_and_written() {
        let date = InternalDate::parse("17-Jul-1996 02:44:25 -0700").unwrap();
        assert_eq!(date.unix_seconds, 837_596_665);
        assert_eq!(date.to_string(), "17-Jul-1996 02:44:25 -0700");
        assert_eq!(date.rfc5322(), "Wed, 17 Jul 1996 02:44:25 -0700");
    }

    #[test]
    fn a_day_of_one_digit_may_be_padded_or_not() {
        let padded = InternalDate::parse(" 3-Mar-2020 10:11:12 +0000").unwrap();
        assert_eq!(InternalDate::parse("3-Mar-2020 10:11:12 +0000"), Some(padded));
        assert_eq!(padded.to_string(), " 3-Mar-2020 10:11:12 +0000");
    }

    #[test]
    fn the_same_instant_in_two_zones_is_equal() {
        assert_eq!(
            InternalDate::parse("01-Mar-2024 00:30:00 +0530"),
            InternalDate::parse("29-Feb-2024 19:00:00 +0000")
        );
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        for day in days_from_civil(1800, 1, 1)..days_from_civil(2200, 1, 1) {
            let (year, month, day_of_month) = civil_from_days(day);
            assert_eq!(days_from_civil(year, month, day_of_month), day);
        }
    }

    #[test]
    fn nonsense_is_no_date() {
        for text in [
            "",
            "x",
            "17-Jul-1996",
            "17-Foo-1996 02:44:25 -0700",
            "17-Jul-1996 02:44:25 0700",
            "1-Jan-2020 1:2:3 +é00",
        ] {
            assert!(InternalDate::parse(text).is_none(), "{text}");
        }
    }
}
