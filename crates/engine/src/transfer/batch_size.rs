//! Pure: how many messages go in one batch, by what earlier ones took to be stored.

use crate::limits::Limits;
use std::time::Duration;

/// Messages in the first batch of a run; steered by commit times from there.
pub(super) const FIRST: usize = 100;
/// Batches do not shrink below this for slow commits.
const SMALLEST: usize = 5;

/// Keeps one commit near the goal of the limits (SHOULD).
///
/// A commit also takes what the way there and back does, and what a server does for each command whatever is in it. Where
/// fewer messages take as long, it is that, and batches stay: smaller ones would only be more of them.
#[derive(Debug)]
pub(super) struct BatchSize {
    messages: usize,
    messages_max: usize,
    goal: Duration,
    slow: Option<Slow>,
}

/// The last batch that took longer than the goal, and was worth fewer messages.
#[derive(Clone, Copy, Debug)]
struct Slow {
    messages: usize,
    took: Duration,
    /// Fewer messages took as long.
    in_vain: bool,
}

impl BatchSize {
    pub(super) fn new(limits: &Limits) -> Self {
        let (messages_max, goal) = (limits.batch_messages_max, limits.commit_time_goal);
        Self { messages: FIRST.min(messages_max), messages_max, goal, slow: None }
    }

    /// Begins with so many, where that is more and allowed.
    pub(super) fn beginning_with(self, messages: usize) -> Self {
        Self { messages: messages.min(self.messages_max).max(self.messages), ..self }
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// A batch of so many messages was answered, of which so many were stored: half as many when that was slow, twice when
    /// it was quick and as many were stored.
    pub(super) fn steer(&mut self, messages: usize, stored: usize, took: Duration) {
        if took > self.goal {
            self.slowed(messages, took);
        } else if took < self.goal / 2 && stored >= self.messages {
            self.slow = None;
            self.messages = (self.messages * 2).min(self.messages_max);
        }
    }

    fn slowed(&mut self, messages: usize, took: Duration) {
        let as_slow = self.slow.filter(|slow| took > slow.took / 4 * 3 && took < slow.took * 2);
        match as_slow {
            Some(slow) if messages < slow.messages => {
                self.messages = self.messages.max(slow.messages);
                self.slow = Some(Slow { in_vain: true, ..slow });
            }
            Some(slow) if slow.in_vain && messages == slow.messages => {}
            _ => {
                self.slow = Some(Slow { messages, took, in_vain: false });
                self.messages = (self.messages / 2).max(SMALLEST.min(self.messages_max));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(50);
    const SLOW: Duration = Duration::from_secs(3);

    fn size() -> BatchSize {
        BatchSize::new(&Limits::default())
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
    fn a_short_batch_that_is_as_slow_does_not_raise_what_was_lowered_for_long_ones() {
        let mut size = size();
        // the last messages of a mailbox take as long as its long batches did
        size.steer(3, 3, Duration::from_secs(2));
        assert_eq!(size.messages(), FIRST / 2);
        assert_eq!(at_a_server(&mut size, Duration::from_millis(100), Duration::ZERO, 4), [50, 25, 12, 6]);
    }

    #[test]
    fn batches_stay_within_what_is_allowed() {
        let limits = Limits { batch_messages_max: 3, ..Limits::default() };
        let mut size = BatchSize::new(&limits).beginning_with(1000);
        (0..9).for_each(|_| size.steer(3, 3, SLOW));
        assert_eq!(size.messages(), 3);
        (0..9).for_each(|_| size.steer(3, 3, QUICK));
        assert_eq!(size.messages(), 3);
    }
}
