//! The guard against a target that refuses everything: exceptions are for single messages, not for an account.

use crate::limits::Limits;
use std::sync::{Mutex, PoisonError};

/// Messages of a run that the target refused without a known reason, beside those that it stored.
#[derive(Debug, Default)]
pub struct Unexplained(Mutex<Count>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    stored: u64,
    refused: u64,
    in_a_row: u64,
}

impl Unexplained {
    /// So many messages were stored.
    pub fn stored(&self, messages: u64) {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.stored += messages;
        count.in_a_row = 0;
    }

    /// One more was given up; `Some` with their number when it cannot be the messages any more.
    pub fn one_more(&self, limits: &Limits) -> Option<u64> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.refused += 1;
        count.in_a_row += 1;
        let share = count.refused * 100 > (count.refused + count.stored) * limits.refused_share_max;
        let many = count.refused > limits.refused_max && share;
        (many || count.in_a_row > limits.refused_max).then_some(count.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_until_held(stored_between: u64) -> Option<u64> {
        let (guard, limits) = (Unexplained::default(), Limits::default());
        (0..10_000).find_map(|_| {
            let held = guard.one_more(&limits);
            guard.stored(stored_between);
            held
        })
    }

    #[test]
    fn more_than_fifty_in_a_row_or_more_than_five_percent_hold_the_account_and_single_ones_never() {
        let in_a_row = Unexplained::default();
        in_a_row.stored(1_000_000);
        assert!((0..50).all(|_| in_a_row.one_more(&Limits::default()).is_none()));
        assert_eq!(in_a_row.one_more(&Limits::default()), Some(51));
        assert_eq!(refused_until_held(18), Some(51), "one of nineteen");
        assert_eq!(refused_until_held(20), None, "one of twenty-one");
    }
}
