//! What an undo is about to remove, durable before it does (law 8): so that an undo that was stopped half-way is known for
//! what it was, and nothing of it counts as removed by somebody else.

use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::journal::{Change, Journal, Note, NoteRecord, State, each_note};
use crate::message::Key;
use crate::report::uids::Ranges;
use crate::transfer::copy::ranges;
use crate::transfer::job::{Job, Pages, Sessions, list_target};
use std::collections::BTreeSet;

/// Kinds of the notes of an undo begin with this; the last one of a mailbox says whether one is open.
const UNDO: &str = "undo:";
/// UIDs are about to be removed. The id of their epoch follows.
const BEGUN: &str = "undo:begun:";
/// It is known what became of them.
const ENDED: &str = "undo:ended";

/// What undos of a mailbox were about to remove.
#[derive(Debug, Default)]
pub(super) struct Intents {
    /// The UIDs of all of them, in the job's epoch.
    named: Vec<Ranges>,
    /// The last one was not ended.
    open: bool,
}

impl Intents {
    /// Reads them from the journal.
    pub(super) async fn read<S: Source, T: Target, J: Journal>(
        ctx: &Context<S, T, J>,
        job: &Job,
    ) -> Result<Self, Error> {
        let (mut intents, begun) = (Self::default(), kind(job));
        each_note(
            &ctx.journal,
            UNDO,
            ctx.settings.limits.journal_page_rows,
            |NoteRecord { note, .. }| {
                if note.mailbox == Some(job.record.id) {
                    intents.open = note.kind == begun;
                    if intents.open {
                        intents.named.extend(note.text.split(' ').next().and_then(Ranges::parse));
                    }
                }
            },
        )
        .await?;
        Ok(intents)
    }

    /// Whether an undo was about to remove it.
    pub(super) fn name(&self, uid: Key) -> bool {
        self.named.iter().any(|set| set.contains(uid))
    }
}

fn kind(job: &Job) -> String {
    format!("{BEGUN}{}", job.target_epoch.id.0)
}

/// Says durably that these UIDs, ascending, are about to be removed.
pub(super) async fn begin<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    uids: &[Key],
) -> Result<(), Error> {
    let text = format!("{} of {} are being removed by undo", ranges(uids), job.target.text);
    ctx.journal.note(Note { kind: kind(job), mailbox: Some(job.record.id), key: None, text }).await?;
    // A durable write: the note before it is on the disk, too.
    Ok(ctx.journal.set_baseline(job.record.id, job.baseline).await?)
}

/// Says that the journal knows what became of them.
pub(super) async fn end<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    removed: usize,
) -> Result<(), Error> {
    let text = format!("{removed} messages were removed from {} by undo", job.target.text);
    let note = Note { kind: ENDED.into(), mailbox: Some(job.record.id), key: None, text };
    Ok(ctx.journal.note(note).await?)
}

/// Finds out what an undo that was stopped has removed: what it named and two complete listings on two connections do not
/// show (law 7) is `listed`. Without a complete listing, or in another epoch, nothing is concluded.
pub async fn settle<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<(), Error> {
    let intents = Intents::read(ctx, job).await?;
    if !intents.open {
        return Ok(());
    }
    ctx.probe.pass("undo: settle").await;
    let mut there = BTreeSet::new();
    for _ in 0..2 {
        sessions.abort_target();
        let listing = list_target(ctx, sessions, job).await?;
        let same_epoch = listing.opened.facts.uid_validity == job.target_epoch.facts.uid_validity;
        if !same_epoch || !listing.is_complete() {
            return Ok(());
        }
        there.extend(listing.keys);
    }
    let mut removed = 0;
    let mut pages = Pages::new(ctx, job.record.id, &[State::Stored, State::Verified]);
    while let Some(page) = pages.next().await? {
        let gone = page.iter().filter(|i| {
            i.place.is_some_and(|p| {
                p.epoch == job.target_epoch.id && intents.name(p.uid) && !there.contains(&p.uid)
            })
        });
        let changes: Vec<Change> = gone.map(|i| Change::to(i.id, State::Listed)).collect();
        removed += changes.len();
        ctx.journal.change(&changes).await?;
    }
    end(ctx, job, removed).await
}
