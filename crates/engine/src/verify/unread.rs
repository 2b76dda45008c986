//! What is to be read back, and who reads what: each message is given to one reader, and none to the session that appended it
//! (law 9).

use super::by_depth;
use super::portion::{Portion, Together};
use super::{Level, Scope};
use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::journal::{Item, ItemId, Journal, MailboxId, Query, State};
use crate::seats::Seat;
use crate::transfer::job::Job;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Mutex;

/// The mailboxes that are read back, by all who read at the same time.
#[derive(Debug)]
pub struct Unread {
    jobs: Vec<Job>,
    of: Vec<Mutex<Of>>,
    writers: AtomicUsize,
}

/// One who appends, by a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writer(usize);

/// What is known of one mailbox.
#[derive(Debug, Default)]
struct Of {
    /// Messages are stored in order: what lies up to the mark was given to a reader. The few that come later are left to the
    /// sweep at the end, else each round would walk over everything stored so far.
    mark: Option<ItemId>,
    /// Messages after the mark that are known to be stored; `None` until somebody has looked to the end since the copying began.
    known: Option<usize>,
    /// Who appends to it, or has.
    writers: BTreeSet<Writer>,
    /// Somebody copies it now.
    is_copied: bool,
    /// All was given, and nothing comes.
    is_over: bool,
}

impl Unread {
    /// All that is stored in these.
    pub fn new(jobs: &[Job]) -> Self {
        let of = jobs.iter().map(|_| Mutex::default()).collect();
        Self { jobs: jobs.to_vec(), of, writers: AtomicUsize::new(0) }
    }

    /// One more who appends.
    pub fn writer(&self) -> Writer {
        Writer(self.writers.fetch_add(1, Ordering::Relaxed))
    }

    /// From now on this mailbox is not read by this writer.
    pub async fn begins(&self, mailbox: MailboxId, writer: Writer) {
        self.change(mailbox, |of| {
            of.writers.insert(writer);
            (of.is_copied, of.is_over, of.known) = (true, false, None);
        })
        .await;
    }

    /// It is copied as far as it will be.
    pub async fn ended(&self, mailbox: MailboxId) {
        self.change(mailbox, |of| of.is_copied = false).await;
    }

    async fn change(&self, mailbox: MailboxId, change: impl FnOnce(&mut Of)) {
        let is_it = |(job, _): &(&Job, _)| job.record.id == mailbox;
        if let Some((_, of)) = self.jobs.iter().zip(&self.of).find(is_it) {
            change(&mut *of.lock().await);
        }
    }

    /// The next page of a mailbox that is for `reader`, which is its alone from here on.
    async fn page<S: Source, T: Target, J: Journal>(
        &self,
        ctx: &Context<S, T, J>,
        at: usize,
        states: &[State],
        reader: Option<Writer>,
    ) -> Result<Option<Vec<Item>>, Error> {
        let (Some(job), Some(of)) = (self.jobs.get(at), self.of.get(at)) else { return Ok(None) };
        let mut of = of.lock().await;
        if of.is_over || reader.is_some_and(|writer| of.writers.contains(&writer)) {
            return Ok(None);
        }
        let limit = of.wanted(ctx.stored.take(job.record.id), ctx.settings.limits.journal_page_rows);
        if limit == 0 {
            return Ok(None);
        }
        let query = Query { mailbox: Some(job.record.id), states, after: of.mark, limit };
        let page = ctx.journal.items(query).await?;
        of.given(&page, limit);
        Ok((!page.is_empty()).then_some(page))
    }
}

impl Of {
    /// How many messages the next page of at most `rows` has, when so many more are told to be stored. Of a mailbox that is
    /// being copied no more than are known to be there: for more the journal would walk over all that is not copied yet.
    fn wanted(&mut self, told: usize, rows: usize) -> usize {
        self.known = self.known.map(|known| known.saturating_add(told));
        self.known.filter(|_| self.is_copied).unwrap_or(usize::MAX).min(rows)
    }

    /// A page for which so many were wanted: with fewer nothing more was there.
    fn given(&mut self, page: &[Item], wanted: usize) {
        self.known = match self.known {
            _ if page.len() < wanted => Some(0),
            known => known.map(|known| known.saturating_sub(page.len())),
        };
        match page.last() {
            Some(last) => self.mark = Some(last.id),
            None => self.is_over = !self.is_copied,
        }
    }
}

/// One walk of a reader over what is unread, mailbox after mailbox.
pub(super) struct Round<'a, S, T, J> {
    ctx: &'a Context<S, T, J>,
    unread: &'a Unread,
    /// The one who reads, where it appends, too, and its connections.
    reader: Option<Writer>,
    seats: &'a mut [Seat],
    scope: Scope,
    level: Level,
    /// The place of the mailbox that it is at.
    at: usize,
    full: VecDeque<Vec<Portion<'a>>>,
    together: Together<'a>,
}

impl<'a, S: Source, T: Target, J: Journal> Round<'a, S, T, J> {
    pub(super) fn new(ctx: &'a Context<S, T, J>, unread: &'a Unread, (scope, level): (Scope, Level)) -> Self {
        let together = Together::new(ctx.pace.target_reading.piece_octets().is_some());
        let (reader, seats) = (None, &mut [][..]);
        Self { ctx, unread, reader, seats, scope, level, at: 0, full: VecDeque::new(), together }
    }

    /// Of one who appends, too: of what others appended, until the server wants one of `seats` back.
    pub(super) fn of_a_helper(self, writer: Writer, seats: &'a mut [Seat]) -> Self {
        Self { reader: Some(writer), seats, ..self }
    }

    fn is_over(&mut self) -> bool {
        self.ctx.cancel.is_cancelled() || self.seats.iter_mut().any(Seat::is_surplus)
    }

    /// What is asked for next; `None` at the end, when the run is stopped, and when the connection is wanted back.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Portion<'a>>>, Error> {
        while self.full.is_empty()
            && !self.is_over()
            && let Some(job) = self.unread.jobs.get(self.at)
        {
            let states = self.scope.states();
            let Some(page) = self.unread.page(self.ctx, self.at, states, self.reader).await? else {
                self.at += 1;
                continue;
            };
            for (depth, items) in by_depth(page, job.target_epoch.id, self.scope, self.level) {
                let portions = Portion::cut(job, depth, items);
                self.full.extend(portions.into_iter().filter_map(|portion| self.together.add(portion)));
            }
        }
        let next = self.full.pop_front().unwrap_or_else(|| self.together.take());
        if next.is_empty() {
            return Ok(None);
        }
        self.ctx.probe.pass("read back").await;
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::EpochId;
    use crate::message::Key;

    fn page(keys: std::ops::RangeInclusive<i64>) -> Vec<Item> {
        let id = |key| ItemId { mailbox: MailboxId(1), epoch: EpochId(1), key: Key(key) };
        keys.map(|key| Item::listed(id(key), 1)).collect()
    }

    fn copied() -> Of {
        Of { is_copied: true, ..Of::default() }
    }

    #[test]
    fn of_a_mailbox_that_is_copied_no_more_is_looked_for_than_is_told_to_be_there() {
        let mut of = copied();
        assert_eq!(of.wanted(0, 1000), 1000, "nobody looked yet: an earlier run may have stored some");
        of.given(&page(1..=300), 1000);
        assert_eq!(of.wanted(0, 1000), 0);
        assert_eq!(of.wanted(400, 1000), 400);
        of.given(&page(301..=700), 400);
        assert_eq!((of.mark, of.wanted(0, 1000)), (page(700..=700).pop().map(|item| item.id), 0));
        assert!(!of.is_over);
    }

    #[test]
    fn what_is_told_beyond_a_page_is_looked_for_in_the_next_one() {
        let mut of = copied();
        of.given(&[], 1000);
        assert_eq!(of.wanted(1500, 1000), 1000);
        of.given(&page(1..=1000), 1000);
        assert_eq!(of.wanted(0, 1000), 500);
    }

    #[test]
    fn what_was_told_and_is_not_there_is_not_looked_for_again_until_the_copy_is_over() {
        let mut of = copied();
        of.given(&[], 1000);
        assert_eq!(of.wanted(400, 1000), 400);
        of.given(&page(1..=100), 400);
        assert_eq!(of.wanted(0, 1000), 0);
        of.is_copied = false;
        assert_eq!(of.wanted(0, 1000), 1000, "and then all is, told or not");
        of.given(&[], 1000);
        assert!(of.is_over);
    }
}
