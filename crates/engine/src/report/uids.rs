//! Pure: a set of UIDs as ranges: of a sighting, of an undo. A million UIDs in one run cost one range.

use crate::message::Key;

/// Ascending ranges, both ends included, that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// Reads IMAP set syntax (`1:3,7`); the empty text is the empty set. `None` for anything that is no set of
    /// positive numbers: then nothing is known.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let mut ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
        ranges.sort_unstable();
        ranges.dedup_by(|next, kept| {
            let touches = next.0 <= kept.1.saturating_add(1);
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
        Some(Self(ranges))
    }

    /// Whether `key` is among them.
    pub(crate) fn contains(&self, key: Key) -> bool {
        let at = self.0.partition_point(|r| r.1 < key.0);
        self.0.get(at).is_some_and(|r| r.0 <= key.0)
    }

    /// How many UIDs.
    pub(super) fn len(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, r| sum.saturating_add(r.0.abs_diff(r.1).saturating_add(1)))
    }
}

fn range(text: &str) -> Option<(i64, i64)> {
    let number = |digits: &str| {
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|n| plain && *n > 0)
    };
    let (a, b) = text.split_once(':').unwrap_or((text, text));
    let (a, b) = (number(a)?, number(b)?);
    Some((a.min(b), a.max(b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_holds_what_its_ranges_name_in_any_order(
            pairs in proptest::collection::vec((1i64..40, 1i64..40), 1..12),
        ) {
            let text: Vec<String> = pairs.iter().map(|(a, b)| format!("{a}:{b}")).collect();
            let set = Ranges::parse(&text.join(",")).unwrap();
            let plain: BTreeSet<i64> = pairs.iter().flat_map(|(a, b)| *a.min(b)..=*a.max(b)).collect();
            prop_assert_eq!(set.len(), plain.len() as u64);
            for key in 0..45 {
                prop_assert_eq!(set.contains(Key(key)), plain.contains(&key));
            }
        }
    }

    #[test]
    fn what_is_no_set_is_unknown_and_the_empty_text_is_the_empty_set() {
        assert_eq!(Ranges::parse("").map(|s| s.len()), Some(0));
        assert_eq!(Ranges::parse("1:3,7").map(|s| s.len()), Some(4));
        for text in ["*", "1:*", "0", "a", "1,,2", "-1", "+1", "1:2:3", " 1"] {
            assert_eq!(Ranges::parse(text), None, "{text}");
        }
    }
}
