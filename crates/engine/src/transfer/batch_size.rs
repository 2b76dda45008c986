//! Pure: how many messages go in one batch, by what earlier ones took to be stored.

use std::time::Duration;

/// Messages in the first batch of a run; steered by commit times from there.
pub(super) const FIRST: usize = 100;
/// Batches do not shrink below this for slow commits.
const SMALLEST: usize = 5;

/// Keeps one commit near the goal of the limits (SHOULD).
///
/// A commit also takes what the way there and back does, and what a server does for each command whatever is in it. Where
/// fewer messages take nearly as long, it is that, and batches stay: smaller ones would only be more of them.
#[derive(Debug)]
pub(super) struct BatchSize {
    messages: usize,
    messages_max: usize,
    goal: Duration,
    /// The last full batch that took longer than the goal: its messages and its time.
    slow: Option<(usize, Duration)>,
    /// The most messages of which fewer took as long; 0 before that was seen.
    kept: usize,
}

impl BatchSize {
    pub(super) fn new(messages_max: usize, goal: Duration) -> Self {
        Self { messages: FIRST.min(messages_max), messages_max, goal, slow: None, kept: 0 }
    }

    /// Begins with so many, where that is more and allowed.
    pub(super) fn beginning_with(self, messages: usize) -> Self {
        Self { messages: messages.min(self.messages_max).max(self.messages), ..self }
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// All of a batch of so many messages was answered for, and so many were stored. Twice as many when a full one was quick, half
    /// as many when it was slow, unless that was seen to be in vain: then as many as before.
    pub(super) fn steer(&mut self, messages: usize, stored: usize, took: Duration) {
        if took > self.goal {
            self.slowed(messages, took);
        } else if took < self.goal / 2 && stored >= self.messages {
            (self.slow, self.kept) = (None, 0);
            self.messages = (self.messages * 2).min(self.messages_max);
        }
    }

    fn slowed(&mut self, messages: usize, took: Duration) {
        if let Some((more, longer)) = self.slow
            && messages < more
            && is_nearer_to_equal((messages, took), (more, longer))
        {
            self.kept = self.kept.max(more);
            self.messages = self.messages.max(self.kept);
            self.slow = Some((self.kept, took.max(longer)));
            return;
        }
        let is_as_ever = messages == self.kept && self.slow.is_some_and(|(_, longest)| took < longest * 2);
        // A shorter one says nothing of full ones, nor does one that was formed before they were halved.
        if messages == self.messages && !is_as_ever {
            self.slow = Some((messages, took));
            self.messages = (self.messages / 2).max(SMALLEST.min(self.messages_max));
        }
    }
}

/// Whether the time of a batch is nearer to that of one with more messages than to its own share of that.
fn is_nearer_to_equal((messages, took): (usize, Duration), (more, longer): (usize, Duration)) -> bool {
    took.as_secs_f64() * 2.0 * more as f64 > longer.as_secs_f64() * (more + messages) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(50);
    const SLOW: Duration = Duration::from_secs(3);

    fn size() -> BatchSize {
        of_at_most(400)
    }

    fn of_at_most(messages_max: usize) -> BatchSize {
        BatchSize::new(messages_max, Duration::from_secs(1))
    }

    /// Batches of the size that is steered, at a server that takes so long for each message and for each commit.
    fn at_a_server(size: &mut BatchSize, each: Duration, commit: Duration, batches: usize) -> Vec<usize> {
        let one = |_| {
            let messages = size.messages();
            size.steer(messages, messages, commit + each * messages as u32);
            messages
        };
        (0..batches).map(one).collect()
    }

    #[test]
    fn batches_shrink_when_commits_are_slow_and_grow_when_they_are_quick() {
        let mut size = size();
        size.steer(FIRST, FIRST, SLOW);
        assert_eq!(size.messages(), FIRST / 2);
        size.steer(FIRST / 2, FIRST / 2, QUICK);
        assert_eq!(size.messages(), FIRST);
        (0..10).for_each(|_| size.steer(400, 400, QUICK));
        assert_eq!(size.messages(), 400);
    }

    #[test]
    fn a_quick_batch_lets_the_next_ones_grow_only_if_as_many_were_stored() {
        for (stored, next) in [(FIRST, 2 * FIRST), (FIRST - 1, FIRST), (0, FIRST)] {
            let mut size = size();
            size.steer(FIRST, stored, QUICK);
            assert_eq!(size.messages(), next, "{stored}");
        }
    }

    #[test]
    fn a_server_that_is_slow_for_each_message_gets_small_batches() {
        let taken = at_a_server(&mut size(), Duration::from_millis(100), Duration::ZERO, 8);
        assert_eq!(taken, [100, 50, 25, 12, 6, 6, 6, 6]);
    }

    #[test]
    fn a_server_that_is_far_or_slow_for_each_commit_keeps_large_batches() {
        let taken = at_a_server(&mut size(), Duration::from_millis(1), Duration::from_secs(2), 6);
        assert_eq!(taken, [100, 50, 100, 100, 100, 100]);
    }

    #[test]
    fn batches_that_were_kept_shrink_when_commits_become_slower_still_and_grow_when_they_are_quick_again() {
        let mut size = size();
        at_a_server(&mut size, Duration::ZERO, Duration::from_secs(2), 6);
        assert_eq!(at_a_server(&mut size, Duration::from_millis(100), Duration::ZERO, 3), [100, 50, 25]);
        assert_eq!(at_a_server(&mut size, Duration::ZERO, QUICK, 3), [12, 24, 48]);
    }

    #[test]
    fn short_batches_that_are_slow_do_not_make_full_ones_smaller() {
        let mut size = size();
        (0..9).for_each(|_| size.steer(3, 3, SLOW));
        assert_eq!(size.messages(), FIRST);
    }

    #[test]
    fn a_batch_that_was_formed_before_they_were_halved_does_not_halve_them_again() {
        let mut size = size();
        (0..2).for_each(|_| size.steer(FIRST, FIRST, SLOW));
        assert_eq!(size.messages(), FIRST / 2);
    }

    #[test]
    fn small_groups_at_a_server_that_is_slow_for_each_message_become_smaller_still() {
        let taken = at_a_server(&mut of_at_most(32), Duration::from_millis(100), Duration::ZERO, 5);
        assert_eq!(taken, [32, 16, 8, 8, 8]);
    }

    #[test]
    fn a_batch_nearly_as_large_that_takes_its_share_is_no_sign_of_a_slow_commit() {
        let mut size = size();
        size.steer(FIRST, FIRST, 10 * SLOW);
        size.steer(FIRST * 4 / 5, FIRST * 4 / 5, 8 * SLOW);
        assert_eq!(size.messages(), FIRST / 2);
    }

    #[test]
    fn a_far_server_that_once_in_a_while_takes_much_longer_keeps_large_batches() {
        let mut size = size();
        let taken: Vec<usize> = (0..2000)
            .map(|batch: u64| {
                let messages = size.messages();
                let odd = if batch % 97 == 50 { 10_000 } else { batch * 7919 % 2000 };
                size.steer(messages, messages, Duration::from_millis(1100 + odd));
                messages
            })
            .collect();
        let small = taken.iter().filter(|messages| **messages < FIRST / 2).count();
        assert!(small < taken.len() / 10, "{small}");
        assert!(size.messages() >= FIRST / 4, "{}", size.messages());
    }

    #[test]
    fn batches_stay_within_what_is_allowed() {
        let mut size = of_at_most(3).beginning_with(1000);
        (0..9).for_each(|_| size.steer(3, 3, SLOW));
        assert_eq!(size.messages(), 3);
        (0..9).for_each(|_| size.steer(3, 3, QUICK));
        assert_eq!(size.messages(), 3);
    }
}
