//! Medians and ratios.

/// The middle of the values, or the mean of the two in the middle; none of none.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[upper]),
        _ => Some(f64::midpoint(values[upper - 1], values[upper])),
    }
}

/// How many times as fast as `other_seconds` something is that took `own_seconds`: 2 in half the time, 0.5 in twice.
/// None where a time is not above 0.
#[must_use]
pub fn times_as_fast(own_seconds: f64, other_seconds: f64) -> Option<f64> {
    (own_seconds > 0.0 && other_seconds > 0.0).then(|| other_seconds / own_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_in_any_order_and_one_slow_run_does_not_move_it() {
        assert_eq!(median([3.0, 900.0, 1.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([7.0]), Some(7.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn half_the_time_is_twice_as_fast() {
        assert_eq!(times_as_fast(1.0, 2.0), Some(2.0));
        assert_eq!(times_as_fast(4.0, 1.0), Some(0.25));
        assert_eq!(times_as_fast(0.0, 1.0), None);
        assert_eq!(times_as_fast(1.0, 0.0), None);
    }
}
