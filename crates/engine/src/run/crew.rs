//! Who does the work of a run: workers, each with connections of its own, take mailboxes from a queue. As many are at work as
//! are wanted and the servers give connections for ([`Seats`](crate::seats::Seats)): some leave when there is trouble,
//! others come when it has been calm.

use super::ahead::{Ahead, Beside};
use super::{Ctx, note_left};
use crate::config::Level;
use crate::end::{Source, Target};
use crate::error::{EndError, Error, Question};
use crate::journal::{Journal, MailboxId, Side};
use crate::progress::Progress;
use crate::seats::Seat;
use crate::transfer::copy::{CopyEnd, copy};
use crate::transfer::following::Following;
use crate::transfer::job::{Job, Sessions};
use crate::transfer::memory_share;
use crate::transfer::replace;
use crate::transfer::unchanged::Told;
use crate::verify::{self, Scope, Unread, Writer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The sides that a worker connects to.
pub(super) const COPYING: &[Side] = &[Side::Source, Side::Target];
pub(super) const PROVING: &[Side] = &[Side::Target];

/// So many mailboxes, with so many messages in all, are listed together for the last time: their listings are in memory at once.
const LISTED_TOGETHER_MAX: usize = 64;
const LISTED_UIDS_MAX: u64 = 200_000;

/// Mailboxes that could not be finished, and why.
pub(super) type Left = Vec<(MailboxId, String)>;

/// How many of the connections to the target read back while others copy: one, where there are more. With a single one that
/// is done after the copying (law 9).
pub(super) fn readers<S: Source, T: Target, J: Journal>(ctx: &Ctx<S, T, J>) -> usize {
    usize::from(ctx.settings.connections > 1 && ctx.settings.level != Level::Counts)
}

/// How many copy, of so many mailboxes.
pub(super) fn writers<S: Source, T: Target, J: Journal>(ctx: &Ctx<S, T, J>, mailboxes: usize) -> usize {
    (ctx.settings.connections.max(1) - readers(ctx)).clamp(1, mailboxes.max(1))
}

/// Copies all mailboxes, several at a time, and reads back beside it. `first` becomes the first worker's. What is left over
/// is the connection that read back, or all there is where nothing was to be copied: nothing was appended on it (law 9).
pub(super) async fn transfer<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    jobs: &[Job],
    first: Sessions<S, T>,
    ahead: Ahead<S, T>,
) -> Result<(Left, Sessions<S, T>), Error> {
    if jobs.is_empty() {
        return Ok((Vec::new(), first));
    }
    if first.source.is_none() || first.target.is_none() {
        ctx.goodbyes.answered().await;
    }
    let writers = writers(ctx, jobs.len());
    let crew = Arc::new(Crew::new(largest_first(jobs)));
    let left = Arc::new(Mutex::new(Left::new()));
    let (unread, done) = (Arc::new(Unread::new(jobs)), CancellationToken::new());
    let mut reading = JoinSet::new();
    if readers(ctx) > 0 {
        let (ctx, unread, done) = (ctx.clone(), unread.clone(), done.clone());
        reading.spawn(async move { verify::follow(&ctx, &unread, &done).await });
    }
    let worker = |start| {
        let (ctx, crew, left, unread) = (ctx.clone(), crew.clone(), left.clone(), unread.clone());
        async move { copy_mailboxes(&ctx, &crew, start, (&left, &unread), writers).await }
    };
    let Ahead { first: seats, others } = ahead;
    let starts = std::iter::once(Start::With(first, seats)).chain(others.into_iter().map(Start::Ahead));
    let copied = keep_at_work(ctx, &crew, writers, COPYING, starts, worker).await;
    done.cancel();
    let mut reader = None;
    let read = match reading.join_next().await {
        Some(ended) => judge(ctx, ended).map(|session| reader = session),
        None => Ok(()),
    };
    worse(copied, read)?;
    if reader.is_none() {
        // Who reads back connects anew, and is not one too many.
        ctx.goodbyes.answered().await;
    }
    let left = std::mem::take(&mut *locked(&left));
    note_left(ctx, &left).await?;
    Ok((left, Sessions { source: None, target: reader }))
}

/// Reads back what is not read yet, then lists every target mailbox completely; several mailboxes at a time. `first`, as far as
/// there is one, becomes the first worker's.
pub(super) async fn prove<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    jobs: &[Job],
    scope: Scope,
    level: Level,
    told: &Told,
    first: Sessions<S, T>,
) -> Result<Vec<Question>, Error> {
    let mut queue = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        if verify::is_proven(ctx, job, told).await? {
            ctx.bus.tell(Progress::MailboxDone { mailbox: job.record.id.0 });
        } else {
            let is_read = scope == Scope::New && !verify::is_unread(ctx, job, level).await?;
            queue.push(ToProve { at, job: job.clone(), is_read });
        }
    }
    let queue = together(queue);
    let workers = ctx.settings.connections.clamp(1, queue.len().max(1));
    let crew = Arc::new(Crew::new(queue.into()));
    let asked = Arc::new(Mutex::new(BTreeMap::new()));
    let worker = |start| {
        let (ctx, crew, asked) = (ctx.clone(), crew.clone(), asked.clone());
        async move { prove_mailboxes(&ctx, &crew, start, (scope, level), &asked).await }
    };
    let seats = PROVING.iter().map(|side| ctx.seats.anyway(*side)).collect();
    keep_at_work(ctx, &crew, workers, PROVING, [Start::With(first, seats)], worker).await?;
    let asked = std::mem::take(&mut *locked(&asked));
    Ok(asked.into_values().collect())
}

/// A mailbox whose proof is not complete.
#[derive(Debug)]
struct ToProve {
    /// Its number among the jobs.
    at: usize,
    job: Job,
    /// All that is stored was read back: only its listing is left.
    is_read: bool,
}

/// Pure: which mailboxes one worker takes at once. Those of which only the listing is left go together, so that many cost no
/// more round trips than one; where messages are to be read the workers share the mailboxes.
fn together(queue: Vec<ToProve>) -> Vec<Vec<ToProve>> {
    let (to_list, to_read): (Vec<_>, Vec<_>) = queue.into_iter().partition(|mailbox| mailbox.is_read);
    let mut groups: Vec<Vec<ToProve>> = to_read.into_iter().map(|mailbox| vec![mailbox]).collect();
    let (mut group, mut uids) = (Vec::new(), 0);
    for mailbox in to_list {
        // What is listed is the target: what was there, and what came.
        let job = &mailbox.job;
        let more =
            job.target_epoch.facts.exists.saturating_add(job.record.messages.unwrap_or(LISTED_UIDS_MAX));
        let full = group.len() == LISTED_TOGETHER_MAX || uids + more > LISTED_UIDS_MAX;
        if full && !group.is_empty() {
            groups.push(std::mem::take(&mut group));
            uids = 0;
        }
        uids += more;
        group.push(mailbox);
    }
    groups.extend((!group.is_empty()).then_some(group));
    groups
}

/// What workers share: the mailboxes that nobody has taken yet, and how many workers have connections. Both are under one
/// lock: a worker that leaves may give a mailbox back, and only one that stays looks for it.
struct Crew<W> {
    shared: Mutex<Shared<W>>,
    /// Whether nobody who comes now finds anything to do.
    is_empty: watch::Sender<bool>,
}

struct Shared<W> {
    queue: VecDeque<W>,
    at_work: usize,
}

impl<W> Crew<W> {
    fn new(queue: VecDeque<W>) -> Self {
        let is_empty = watch::Sender::new(queue.is_empty());
        Self { shared: Mutex::new(Shared { queue, at_work: 0 }), is_empty }
    }

    fn arrive(&self) {
        locked(&self.shared).at_work += 1;
    }

    /// What is to be done next, for a worker that goes on working whether there is anything or not.
    fn ahead(&self) -> Option<W> {
        self.pop(&mut locked(&self.shared))
    }

    /// What is to be done next; where there is nothing, the worker who asks is no longer at work.
    fn next(&self) -> Option<W> {
        let mut shared = locked(&self.shared);
        let next = self.pop(&mut shared);
        shared.at_work -= usize::from(next.is_none());
        next
    }

    fn pop(&self, shared: &mut Shared<W>) -> Option<W> {
        let next = shared.queue.pop_front();
        self.tell(shared);
        next
    }

    fn tell(&self, shared: &Shared<W>) {
        self.is_empty.send_replace(shared.queue.is_empty());
    }

    fn is_work_left(&self) -> bool {
        !locked(&self.shared).queue.is_empty()
    }

    /// What `connecting` gives; `None` when nobody needs it any more, so that a server that is slow to give one more
    /// connection holds nobody up.
    async fn if_needed<V>(&self, connecting: impl Future<Output = Option<V>>) -> Option<V> {
        let mut is_empty = self.is_empty.subscribe();
        tokio::select! {
            biased;
            given = connecting => given,
            _ = is_empty.wait_for(|is_empty| *is_empty) => None,
        }
    }

    /// True when a worker should leave for want of connections: never the last one. What it has taken and not begun is then
    /// given back, to be the next for those who stay.
    fn should_leave(&self, seats: &mut [Seat], taken: impl FnOnce() -> Option<W>) -> bool {
        let mut shared = locked(&self.shared);
        let leaves = shared.at_work > 1 && seats.iter_mut().any(Seat::is_surplus);
        if leaves {
            shared.at_work -= 1;
            taken().into_iter().for_each(|taken| shared.queue.push_front(taken));
            self.tell(&shared);
        }
        leaves
    }
}

/// What a worker begins with.
enum Start<S: Source, T: Target> {
    /// Sessions that the run has, or none yet, with seats whatever the servers give.
    With(Sessions<S, T>, Vec<Seat>),
    /// Sessions that are being opened.
    Ahead(AbortOnDropHandle<Beside<S, T>>),
    /// Seats for sessions beside the others'.
    Seats(Vec<Seat>),
}

impl<S: Source, T: Target> Start<S, T> {
    /// The sessions to work with; `None` when the servers give none, or nobody needs them any more.
    async fn sessions<J: Journal, W>(self, ctx: &Ctx<S, T, J>, crew: &Crew<W>) -> Beside<S, T> {
        match self {
            Self::With(sessions, seats) => Some((sessions, seats)),
            Self::Ahead(connecting) => crew.if_needed(async { joined(connecting.await) }).await,
            Self::Seats(seats) => crew.if_needed(Sessions::beside(ctx, seats)).await,
        }
    }
}

/// What a task gave; nothing if it was ended. A panic goes on as one.
fn joined<V>(ended: Result<Option<V>, JoinError>) -> Option<V> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(given) => given,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_)) => None,
    }
}

/// Keeps up to `most` workers at work until the queue is empty and all have ended; the first failure stops the others at
/// their next commit point, and is what is told.
async fn keep_at_work<S, T, J, W, Doing>(
    ctx: &Ctx<S, T, J>,
    crew: &Crew<W>,
    most: usize,
    sides: &[Side],
    starts: impl IntoIterator<Item = Start<S, T>>,
    worker: impl Fn(Start<S, T>) -> Doing,
) -> Result<(), Error>
where
    S: Source,
    T: Target,
    J: Journal,
    Doing: Future<Output = Result<(), Error>> + Send + 'static,
{
    let mut workers = JoinSet::new();
    let mut outcome = Ok(());
    for start in starts {
        workers.spawn(worker(start));
    }
    loop {
        let wanted =
            |workers: &JoinSet<_>| workers.len() < most && crew.is_work_left() && !ctx.cancel.is_cancelled();
        while wanted(&workers)
            && let Some(seats) = ctx.seats.another(sides)
        {
            workers.spawn(worker(Start::Seats(seats)));
        }
        tokio::select! {
            ended = workers.join_next() => match ended {
                Some(ended) => outcome = worse(outcome, judge(ctx, ended)),
                None => return outcome,
            },
            () = ctx.seats.more_soon(sides), if wanted(&workers) => {}
        }
    }
}

/// How a task ended. A failure stops the others at their next commit point.
fn judge<S: Source, T: Target, J: Journal, V>(
    ctx: &Ctx<S, T, J>,
    ended: Result<Result<V, Error>, JoinError>,
) -> Result<V, Error> {
    let result = match ended {
        Ok(result) => result,
        // A panic goes on as one: nothing of a half-known state is reported.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Interrupted),
        },
    };
    if result.is_err() {
        ctx.cancel.cancel();
    }
    result
}

/// What is told of two: the first failure that is more than being stopped.
fn worse(first: Result<(), Error>, second: Result<(), Error>) -> Result<(), Error> {
    match first {
        Ok(()) | Err(Error::Interrupted) if second.is_err() => second,
        first => first,
    }
}

/// One worker that copies, and reads back what others have copied when nothing is left to be copied; it does nothing when it gets
/// no sessions.
async fn copy_mailboxes<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    crew: &Crew<Job>,
    start: Start<S, T>,
    (left, unread): (&Mutex<Left>, &Unread),
    writers: usize,
) -> Result<(), Error> {
    let memory = memory_share(&ctx.settings.limits, writers);
    let Some((mut sessions, mut seats)) = start.sessions(ctx, crew).await else { return Ok(()) };
    crew.arrive();
    sessions.connect_both(ctx).await?;
    let ahead = || crew.ahead();
    let (mut following, writer) = (Following::new(&ahead), unread.writer());
    while !crew.should_leave(&mut seats, || following.take()) {
        let Some(mut job) = following.take().or_else(|| crew.next()) else {
            return read_others(ctx, sessions, seats, (unread, writer)).await;
        };
        ctx.check_cancel()?;
        let (source, target) = (job.record.source.text.clone(), job.target.text.clone());
        let (messages, octets) = (job.record.messages.unwrap_or(0), job.record.octets.unwrap_or(0));
        let mailbox = job.record.id;
        ctx.bus.tell(Progress::MailboxStarted { mailbox: mailbox.0, source, target, messages, octets });
        unread.begins(mailbox, writer).await;
        let copied = copy(ctx, &mut sessions, &mut job, &memory, &mut following).await;
        unread.ended(mailbox).await;
        match copied? {
            CopyEnd::Done => {}
            CopyEnd::Left(why) => locked(left).push((mailbox, why)),
            CopyEnd::Full(refusal) => return Err(Error::Full { refusal }),
        }
    }
    sessions.leave(ctx, seats);
    Ok(())
}

/// Reads back on the target session of a worker that has nothing more to copy. Connections are given back as soon as there is
/// nothing more to do.
async fn read_others<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    mut sessions: Sessions<S, T>,
    seats: Vec<Seat>,
    of: (&Unread, Writer),
) -> Result<(), Error> {
    let (of_source, mut seats): (Vec<Seat>, Vec<Seat>) =
        seats.into_iter().partition(|seat| seat.side() == Side::Source);
    Sessions { source: sessions.source.take(), target: None }.leave(ctx, of_source);
    if readers(ctx) > 0 {
        verify::help(ctx, &mut sessions, &mut seats, of).await?;
    }
    sessions.leave(ctx, seats);
    Ok(())
}

/// One worker that proves, as [`copy_mailboxes`].
async fn prove_mailboxes<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    crew: &Crew<Vec<ToProve>>,
    start: Start<S, T>,
    (scope, level): (Scope, Level),
    asked: &Mutex<BTreeMap<usize, Question>>,
) -> Result<(), Error> {
    let Some((mut sessions, mut seats)) = start.sessions(ctx, crew).await else { return Ok(()) };
    crew.arrive();
    while !crew.should_leave(&mut seats, || None) {
        let Some(group) = crew.next() else { break };
        for mailbox in group.iter().filter(|mailbox| !mailbox.is_read) {
            ctx.check_cancel()?;
            verify::sweep(ctx, &mut sessions, &mailbox.job, scope, level).await?;
        }
        if scope == Scope::New {
            for mailbox in &group {
                replace::settle(ctx, &mailbox.job).await?;
            }
        }
        let jobs: Vec<&Job> = group.iter().map(|mailbox| &mailbox.job).collect();
        let looked = verify::look_at_each(ctx, &mut sessions, &jobs).await?;
        for (mailbox, looked) in group.iter().zip(looked) {
            ctx.check_cancel()?;
            if let Some(question) = prove_one(ctx, &mut sessions, &mailbox.job, level, looked).await? {
                locked(asked).insert(mailbox.at, question);
            }
        }
    }
    sessions.leave(ctx, seats);
    Ok(())
}

/// Proves that all is there of one mailbox that was read back.
async fn prove_one<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    level: Level,
    looked: Option<verify::Looked>,
) -> Result<Option<Question>, Error> {
    let question = match verify::presence(ctx, sessions, job, looked).await {
        Ok(question) => question,
        // One mailbox that cannot be opened any more keeps the others from nothing.
        Err(Error::Target(EndError::Refused { refusal, .. })) => {
            let why = format!("{} cannot be opened: {refusal}", job.target.text);
            note_left(ctx, &[(job.record.id, why)]).await?;
            None
        }
        Err(error) => return Err(error),
    };
    // What was found by content only now is read back like the rest.
    verify::sweep(ctx, sessions, job, Scope::New, level).await?;
    ctx.bus.tell(Progress::MailboxDone { mailbox: job.record.id.0 });
    Ok(question)
}

fn locked<V>(of: &Mutex<V>) -> MutexGuard<'_, V> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn largest_first(jobs: &[Job]) -> VecDeque<Job> {
    let mut jobs = jobs.to_vec();
    jobs.sort_by_key(|j| (std::cmp::Reverse(j.record.octets.or(j.record.messages)), j.record.id));
    jobs.into()
}
