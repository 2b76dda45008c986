//! The transfer from an account with labels ([`labels`](crate::labels)): All Mail comes last, when every other mailbox has
//! shown what it holds.

use super::ahead::Ahead;
use super::crew;
use super::{Ctx, note_left};
use crate::config::Labels;
use crate::end::{Source, Target, TargetSession};
use crate::error::Error;
use crate::journal::{
    Change, Decision, Item, ItemId, Journal, MailboxId, MailboxRecord, Note, Reason, Side, State,
};
use crate::labels::{Bringers, ELSEWHERE, Labelled, UNMARKED, in_order, message_number};
use crate::report::uids::Ranges;
use crate::transfer::copy::list_only;
use crate::transfer::epochs::refresh_target;
use crate::transfer::job::{Job, Pages, Sessions, jobs};
use crate::transfer::label::{LostAtCopy, Originals, label};
use crate::transfer::resolve::resolve;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Copies as [`crew::transfer`] does. `moving` are the mailboxes of the plan, `to_copy` those of them that may hold
/// something new.
pub(super) async fn transfer<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    labelled: &Arc<Labelled>,
    moving: &[Job],
    to_copy: Vec<Job>,
    mut sessions: Sessions<S, T>,
    ahead: Ahead<S, T>,
) -> Result<(crew::Left, Sessions<S, T>), Error> {
    // For the first transfer; a second one begins with what the first one leaves.
    let mut ahead = Some(ahead);
    settle_others(ctx, &mut sessions, moving).await?;
    let (rest, mut others): (Vec<Job>, Vec<Job>) =
        to_copy.into_iter().partition(|job| labelled.is_rest(&job.record));
    if ctx.settings.labels == Labels::First {
        // One that cannot be listed now says so when it is its turn.
        for job in &others {
            ctx.check_cancel()?;
            let _ = list_only(ctx, &mut sessions, &job.record).await?;
        }
        let bringers = Arc::new(bringers(ctx, labelled, true).await?);
        others.iter_mut().for_each(|job| job.share = Some(labelled.share(&job.record, &bringers)));
    }
    let mut connections = || ahead.take().unwrap_or_else(|| Ahead::none(ctx));
    if rest.is_empty() {
        return Box::pin(transfer_others(ctx, labelled, others, sessions, connections())).await;
    }
    let mut left = crew::Left::new();
    if !others.is_empty() {
        let first = std::mem::take(&mut sessions);
        let (of_others, mut beside) =
            Box::pin(transfer_others(ctx, labelled, others, first, connections())).await?;
        left = of_others;
        beside.close().await;
    }
    if let Some(unlisted) = unlisted(ctx, |record| labelled.must_be_listed(record)).await? {
        hold(ctx, labelled, &rest, &unlisted, &mut left).await?;
        sessions.close().await;
        return Ok((left, sessions));
    }
    let (views, mut all): (Vec<Job>, Vec<Job>) =
        rest.into_iter().partition(|job| labelled.is_view(&job.record));
    if !all.is_empty() {
        let bringers = Arc::new(bringers(ctx, labelled, false).await?);
        all.iter_mut().for_each(|job| job.share = Some(labelled.share(&job.record, &bringers)));
        let first = std::mem::take(&mut sessions);
        let (more, beside) = Box::pin(crew::transfer(ctx, &all, first, connections())).await?;
        left.extend(more);
        sessions = beside;
    }
    let unlisted = if views.is_empty() { None } else { unlisted(ctx, |r| labelled.is_all_mail(r)).await? };
    if let Some(unlisted) = unlisted {
        // What only All Mail and a view show is All Mail's.
        hold(ctx, labelled, &views, &unlisted, &mut left).await?;
    } else if !views.is_empty() {
        // Nothing is read back where something was appended (law 9).
        sessions.close().await;
        let (more, beside) = Box::pin(transfer_views(ctx, labelled, views, connections())).await?;
        left.extend(more);
        sessions = beside;
    }
    Ok((left, sessions))
}

/// Copies what views beside All Mail show and nothing else has brought; and puts the mark of one of them on what was brought.
async fn transfer_views<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    labelled: &Arc<Labelled>,
    mut views: Vec<Job>,
    ahead: Ahead<S, T>,
) -> Result<(crew::Left, Sessions<S, T>), Error> {
    let bringers = Arc::new(bringers(ctx, labelled, false).await?);
    let uploads = match ctx.settings.labels {
        Labels::Copies => Some(Arc::new(uploads(ctx, labelled).await?)),
        Labels::First => None,
    };
    let share = |job: &Job| labelled.share_of_view(&job.record, &bringers, uploads.as_ref());
    views.iter_mut().for_each(|job| job.share = Some(share(job)));
    transfer_others(ctx, labelled, views, Sessions::default(), ahead).await
}

/// Copies the mailboxes beside All Mail. Where the target puts labels on by COPY, one mailbox uploads a message and the others get
/// it from there when all are uploaded; what cannot be copied is uploaded then.
async fn transfer_others<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    labelled: &Arc<Labelled>,
    mut others: Vec<Job>,
    mut sessions: Sessions<S, T>,
    ahead: Ahead<S, T>,
) -> Result<(crew::Left, Sessions<S, T>), Error> {
    let copies = ctx.settings.labels == Labels::Copies && !others.is_empty();
    if !copies || !sessions.target(ctx).await?.abilities().labels_by_copy() {
        return Box::pin(crew::transfer(ctx, &others, sessions, ahead)).await;
    }
    let uploads = Arc::new(uploads(ctx, labelled).await?);
    let shared = others.iter_mut().filter(|job| labelled.apart().shares(job));
    shared.for_each(|job| job.uploads = Some(uploads.clone()));
    let (mut left, mut beside) = Box::pin(crew::transfer(ctx, &others, sessions, ahead)).await?;
    let waiting = listed_of(ctx, &others, &left).await?;
    if waiting.is_empty() {
        return Ok((left, beside));
    }
    beside.close().await;
    ctx.goodbyes.answered().await;
    // In a box: what a run holds on the stack is much already.
    Box::pin(put_labels_on(ctx, labelled, waiting)).await?;
    // Anew: a target mailbox may have got another epoch meanwhile.
    let mut waiting = listed_of(ctx, &others, &left).await?;
    for job in &mut waiting {
        let share =
            others.iter().find(|other| other.record.id == job.record.id).and_then(|o| o.share.as_ref());
        // For a mark no octet is sent: what others have brought is left to them.
        job.share = share.map(|share| share.without_mark());
        note_unmarked(ctx, labelled, job).await?;
    }
    let last = crew::transfer(ctx, &waiting, Sessions::default(), Ahead::none(ctx));
    let (more, beside) = Box::pin(last).await?;
    left.extend(more);
    Ok((left, beside))
}

/// Says that a mark could not be put on.
async fn note_unmarked<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    labelled: &Labelled,
    job: &Job,
) -> Result<(), Error> {
    if !labelled.is_mark(&job.record) {
        return Ok(());
    }
    // Without a number: in the next run it is the same remark.
    let text = format!(
        "the new server did not mark some messages of “{}”: they are there, under their other labels, and the next run tries \
         it again",
        job.record.source.text
    );
    let note = Note { kind: UNMARKED.to_owned(), mailbox: Some(job.record.id), key: None, text };
    ctx.note_new(UNMARKED, vec![note]).await
}

/// Who has uploaded a message, or may have: others leave it to that mailbox. In memory, about 50 octets a message.
async fn uploads<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    labelled: &Labelled,
) -> Result<Bringers, Error> {
    const SENT: &[State] = &[State::Committed, State::InDoubt, State::Stored, State::Verified];
    let mut known = BTreeMap::new();
    for job in jobs(ctx).await?.iter().filter(|job| labelled.apart().shares(job)) {
        let mut pages = Pages::new(ctx, job.record.id, SENT);
        while let Some(page) = pages.next().await? {
            Bringers::take_in(&mut known, &page, |_| true);
        }
    }
    Ok(Bringers::new(known))
}

/// Of these mailboxes those that were not left and have something that is not copied yet, as the journal knows them now.
async fn listed_of<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    of: &[Job],
    left: &crew::Left,
) -> Result<Vec<Job>, Error> {
    let counts = ctx.journal.counts().await?;
    let listed: BTreeSet<MailboxId> =
        counts.iter().filter(|c| c.state == State::Listed && c.items > 0).map(|c| c.mailbox).collect();
    let takes_part = |id: MailboxId| {
        listed.contains(&id)
            && of.iter().any(|job| job.record.id == id)
            && left.iter().all(|(left, _)| *left != id)
    };
    Ok(jobs(ctx).await?.into_iter().filter(|job| takes_part(job.record.id)).collect())
}

/// Copies what these mailboxes show and others have stored, on one connection of its own: it carries no octets.
async fn put_labels_on<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    labelled: &Labelled,
    waiting: Vec<Job>,
) -> Result<(), Error> {
    let mut known = jobs(ctx).await?;
    // A mark may be taken off at the target, where the message stays.
    known.sort_by_key(|job| labelled.is_view(&job.record));
    let originals = Originals::find(ctx, labelled.apart(), &known, &waiting).await?;
    let _seat = ctx.seats.anyway(Side::Target);
    let (mut sessions, mut lost) = (Sessions::default(), LostAtCopy::default());
    for mut job in waiting.into_iter().filter(|job| labelled.apart().shares(job)) {
        ctx.check_cancel()?;
        if lost.is_at_each() {
            break;
        }
        label(ctx, &mut sessions, &mut job, &originals, &mut lost).await?;
    }
    // Nothing is read back where something was copied (law 9).
    sessions.close().await;
    Ok(())
}

/// Leaves these for a later run, since this mailbox was not listed.
async fn hold<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    labelled: &Labelled,
    waiting: &[Job],
    unlisted: &MailboxRecord,
    left: &mut crew::Left,
) -> Result<(), Error> {
    let held: Vec<(MailboxId, String)> =
        waiting.iter().map(|job| (job.record.id, held_words(labelled, &job.record, unlisted))).collect();
    note_left(ctx, &held).await?;
    left.extend(held);
    Ok(())
}

fn held_words(labelled: &Labelled, rest: &MailboxRecord, unlisted: &MailboxRecord) -> String {
    let (all_mail, name) = (&rest.source.text, &unlisted.source.text);
    // A view that is named moves as any mailbox does.
    let moves =
        if labelled.is_view(rest) { "moves all of it" } else { "moves what no mailbox has brought yet" };
    match &unlisted.decision {
        Decision::Refuse(why) => format!(
            "“{name}” has no mailbox on the new server ({why}), and what lies in “{all_mail}” alone is not known without it. Run \
             again when it can be made; or give it another name by --map, or leave it out by --exclude; --mailbox \"{all_mail}\" \
             {moves}"
        ),
        Decision::Move(_) | Decision::Exclude(_) => format!(
            "“{name}” was not listed in this run, so that nobody knows what lies in “{all_mail}” alone. Run again; if it can \
             never be listed, --mailbox \"{all_mail}\" {moves}"
        ),
    }
}

/// What became of messages whose mailbox does not take part in this run is found out all the same: it may be the only one that
/// they are known in, and what is not at the target comes from elsewhere.
async fn settle_others<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    sessions: &mut Sessions<S, T>,
    moving: &[Job],
) -> Result<(), Error> {
    let in_doubt = |state| matches!(state, State::Committed | State::InDoubt);
    let counts = ctx.journal.counts().await?;
    let doubtful: BTreeSet<MailboxId> =
        counts.iter().filter(|c| c.items > 0 && in_doubt(c.state)).map(|c| c.mailbox).collect();
    let takes_part = |job: &Job| moving.iter().any(|moving| moving.record.id == job.record.id);
    for mut job in jobs(ctx).await? {
        if !doubtful.contains(&job.record.id) || takes_part(&job) {
            continue;
        }
        // One that cannot be opened stays in doubt, and says so in the report.
        if refresh_target(ctx, sessions, &mut job).await?.is_ok() {
            resolve(ctx, sessions, &mut job, None).await?;
        }
    }
    Ok(())
}

/// True for a mailbox that this run has listed, or that is as it was listed.
async fn is_listed<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    mailbox: MailboxId,
) -> Result<bool, Error> {
    let seen = ctx.journal.last_sighting(mailbox, Side::Source).await?;
    Ok(seen.is_some_and(|(run, _)| run == ctx.run))
}

/// One of these mailboxes, if this run did not see its messages.
async fn unlisted<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    is_awaited: impl Fn(&MailboxRecord) -> bool,
) -> Result<Option<MailboxRecord>, Error> {
    let records = ctx.journal.mailboxes().await?;
    for record in records.into_iter().filter(is_awaited) {
        if !is_listed(ctx, record.id).await? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// What a mailbox that the old server no longer lists had not brought is left to the mailbox that brings it.
pub(super) async fn leave_to_others<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    labelled: &Labelled,
    vanished: &[MailboxRecord],
) -> Result<(), Error> {
    let counts = ctx.journal.counts().await?;
    let waits = |record: &&MailboxRecord| {
        counts.iter().any(|c| c.mailbox == record.id && c.state == State::Listed && c.items > 0)
    };
    let waiting: Vec<&MailboxRecord> = vanished.iter().filter(waits).collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let bringers = bringers(ctx, labelled, false).await?;
    for record in waiting {
        let mut pages = Pages::new(ctx, record.id, &[State::Listed]);
        while let Some(page) = pages.next().await? {
            let brought = |i: &&Item| {
                let number = message_number(i.lineage.as_deref());
                number.and_then(|number| bringers.of(number)).is_some()
            };
            let reason = Reason::new(ELSEWHERE, "its mailbox is no longer listed, and another one brings it");
            let left = |i: &Item| Change::to(i.id, State::Excluded).because(reason.clone());
            let changes: Vec<Change> = page.iter().filter(brought).map(left).collect();
            ctx.journal.change(&changes).await?;
        }
    }
    Ok(())
}

/// Who brings what, by the journal. What is left to another mailbox is brought by nobody, unless `anew`: then the first mailbox
/// that shows it has it again. In memory, about 50 octets a message, while it runs.
async fn bringers<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    labelled: &Labelled,
    anew: bool,
) -> Result<Bringers, Error> {
    let records = ctx.journal.mailboxes().await?;
    let mut known = BTreeMap::new();
    for record in in_order(labelled, &records) {
        let seen = ctx.journal.last_sighting(record.id, Side::Source).await?;
        let seen = seen.filter(|(run, _)| *run == ctx.run).map(|(_, sighting)| sighting);
        let shown = seen.as_ref().filter(|_| anew).and_then(|seen| Ranges::parse(&seen.uids));
        let is_shown = |id: ItemId| {
            seen.as_ref().is_some_and(|seen| seen.epoch == id.epoch)
                && shown.as_ref().is_some_and(|shown| shown.contains(id.key))
        };
        let may_bring = |item: &Item| match item.state {
            State::Excluded => item.reason.as_ref().is_some_and(|r| r.kind == ELSEWHERE) && is_shown(item.id),
            _ => seen.is_some(),
        };
        let mut pages = Pages::new(ctx, record.id, &[]);
        while let Some(page) = pages.next().await? {
            Bringers::take_in(&mut known, &page, may_bring);
        }
    }
    Ok(Bringers::new(known))
}
