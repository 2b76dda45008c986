//! A rate, and what may pass in a day, as people write them.

use std::num::NonZeroU64;
use std::str::FromStr;

/// Octets of message bodies per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub NonZeroU64);

/// What is not understood as a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rate is a number of bytes per second, at least 1, with K, M or G for 1024, 1024 K or 1024 M: 500K, 2M"
)]
pub struct NotARate;

impl FromStr for Rate {
    type Err = NotARate;

    /// Reads `500000`, `500K`, `2M`, `1G`, also with `B` or `iB` behind the letter and `/s` behind all, in any case.
    fn from_str(text: &str) -> Result<Self, NotARate> {
        let lower = text.trim().to_ascii_lowercase();
        let amount = lower.strip_suffix("/s").unwrap_or(&lower);
        let digits = amount.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match &amount[digits.len()..] {
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            _ => return Err(NotARate),
        };
        let number: u64 = match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse().map_err(|_| NotARate)?,
            false => return Err(NotARate),
        };
        number.checked_mul(unit).and_then(NonZeroU64::new).map(Rate).ok_or(NotARate)
    }
}

/// Octets of message bodies that may pass in a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Daily {
    /// As many as the family of the server is known to allow.
    #[default]
    Known,
    /// As many as pass.
    Unlimited,
    /// So many.
    Octets(NonZeroU64),
}

/// What is not understood as an amount a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a number of bytes a day is expected, at least 1, with K, M or G for 1024, 1024 K or 1024 M: 500M, 2G; or none"
)]
pub struct NotADaily;

impl Daily {
    /// Octets a day, where the server is `known` to allow so many.
    pub fn or_known(self, known: Option<u64>) -> Option<u64> {
        match self {
            Self::Known => known,
            Self::Unlimited => None,
            Self::Octets(octets) => Some(octets.get()),
        }
    }
}

impl FromStr for Daily {
    type Err = NotADaily;

    /// Reads `none`, or what a [`Rate`] is written like, with `/d` behind it or nothing.
    fn from_str(text: &str) -> Result<Self, NotADaily> {
        let lower = text.trim().to_ascii_lowercase();
        if lower == "none" {
            return Ok(Self::Unlimited);
        }
        let amount = lower.strip_suffix("/d").unwrap_or(&lower);
        if amount.contains('/') {
            return Err(NotADaily);
        }
        amount.parse::<Rate>().map(|rate| Self::Octets(rate.0)).map_err(|_| NotADaily)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_may_pass_in_a_day_is_read_as_people_write_it() {
        let octets = |n| Ok(Daily::Octets(NonZeroU64::new(n).unwrap()));
        for (text, daily) in [
            ("500M", octets(500 << 20)),
            ("2g/d", octets(2 << 30)),
            ("1000000", octets(1_000_000)),
            ("None", Ok(Daily::Unlimited)),
            ("0", Err(NotADaily)),
            ("500M/s", Err(NotADaily)),
            ("1/d/d", Err(NotADaily)),
            ("", Err(NotADaily)),
        ] {
            assert_eq!(text.parse::<Daily>(), daily, "{text}");
        }
        assert_eq!(Daily::Known.or_known(Some(7)), Some(7));
        assert_eq!(Daily::Unlimited.or_known(Some(7)), None);
    }

    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, octets) in [
            ("1", 1),
            ("250000", 250_000),
            ("500K", 512_000),
            ("500k/s", 512_000),
            ("2M", 2 << 20),
            ("2MB", 2 << 20),
            ("2MiB/s", 2 << 20),
            (" 1g ", 1 << 30),
            ("7B/s", 7),
        ] {
            assert_eq!(text.parse::<Rate>().map(|r| r.0.get()), Ok(octets), "{text}");
        }
        for text in [
            "",
            "0",
            "0K",
            "K",
            "-1",
            "+1",
            "1.5M",
            "2 M B",
            "2Mbit",
            "2T",
            "1M/h",
            "99999999999G",
            "\u{661}",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(NotARate), "{text}");
        }
    }
}
