//! Pure: the one lock-step walk over two ascending sequences of keys, used wherever what should be there is
//! compared with what is: the source listing with the journal, the target listing with the claims.

use crate::message::Key;
use std::iter::Peekable;

/// One step of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Expected, and not there.
    OnlyExpected(Key),
    /// There, and not expected.
    OnlyFound(Key),
    /// Both.
    Both(Key),
}

/// Walks `expected` and `found`, both ascending without repeats, in lock-step.
pub fn walk<E, F>(expected: E, found: F) -> Walk<E::IntoIter, F::IntoIter>
where
    E: IntoIterator<Item = Key>,
    F: IntoIterator<Item = Key>,
{
    Walk { expected: expected.into_iter().peekable(), found: found.into_iter().peekable() }
}

/// See [`walk`].
#[derive(Debug)]
pub struct Walk<E: Iterator<Item = Key>, F: Iterator<Item = Key>> {
    expected: Peekable<E>,
    found: Peekable<F>,
}

impl<E: Iterator<Item = Key>, F: Iterator<Item = Key>> Iterator for Walk<E, F> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        match (self.expected.peek().copied(), self.found.peek().copied()) {
            (Some(e), Some(f)) if e == f => {
                self.found.next();
                self.expected.next().map(Step::Both)
            }
            (Some(e), Some(f)) if e > f => self.found.next().map(Step::OnlyFound),
            (Some(_), _) => self.expected.next().map(Step::OnlyExpected),
            (None, _) => self.found.next().map(Step::OnlyFound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn keys(set: &BTreeSet<i64>) -> impl Iterator<Item = Key> + '_ {
        set.iter().map(|k| Key(*k))
    }

    proptest! {
        #[test]
        fn the_walk_is_the_set_difference_both_ways(
            a in proptest::collection::btree_set(0i64..30, 0..20),
            b in proptest::collection::btree_set(0i64..30, 0..20),
        ) {
            let steps: Vec<Step> = walk(keys(&a), keys(&b)).collect();
            let only_a: Vec<Step> = a.difference(&b).map(|k| Step::OnlyExpected(Key(*k))).collect();
            let only_b: Vec<Step> = b.difference(&a).map(|k| Step::OnlyFound(Key(*k))).collect();
            let both: Vec<Step> = a.intersection(&b).map(|k| Step::Both(Key(*k))).collect();
            let pick = |f: fn(&Step) -> bool| steps.iter().copied().filter(f).collect::<Vec<_>>();
            prop_assert_eq!(pick(|s| matches!(s, Step::OnlyExpected(_))), only_a);
            prop_assert_eq!(pick(|s| matches!(s, Step::OnlyFound(_))), only_b);
            prop_assert_eq!(pick(|s| matches!(s, Step::Both(_))), both);
        }
    }
}
