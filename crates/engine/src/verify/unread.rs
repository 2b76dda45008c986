//! What is to be read back, and who reads what: each message is given to one reader, and none to the session that appended it
//! (law 9).

use super::by_depth;
use super::portion::{Portion, Together};
use super::{Level, Scope};
use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::journal::{Item, ItemId, Journal, MailboxId, State};
use crate::seats::Seat;
use crate::transfer::job::{Job, Pages};
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
    /// Messages are stored in order: what lies behind the mark was given to a reader. The few that come later are left to the
    /// sweep at the end, else each round would walk over everything stored so far.
    mark: Option<ItemId>,
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
            (of.is_copied, of.is_over) = (true, false);
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
        let page = Pages::behind(ctx, job.record.id, states, of.mark).next().await?;
        match &page {
            Some(page) => of.mark = page.last().map(|item| item.id),
            None => of.is_over = !of.is_copied,
        }
        Ok(page)
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
