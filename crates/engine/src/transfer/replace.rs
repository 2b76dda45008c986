//! Damaged copies of which a whole one is sent, by request alone: a message that the target keeps otherwise than it was sent is sent
//! once more with its header encoded (T4), or inside a cover message (T8). Nothing is removed: the damaged copy is left where it is,
//! and told.
//!
//! Notes carry it over interruptions ([`notes`]). `repair:begun` is written before the message goes back to `listed`: from then on it is
//! sent in its repaired form alone, whatever a later run is asked for, and nobody claims the damaged copy for another message. It
//! keeps what is known of that copy, so that the message can be what it was where nothing comes of it. `repair:ended` says that
//! nothing is left to be done, `repair:refused` that the target did not take the repaired form: a consent that stands for all runs
//! does not send it again in each of them.

mod notes;

use super::job::{Job, Losses, Pages, Sessions, find_item};
use super::resolve::read_all;
use crate::config::Level;
use crate::context::Context;
use crate::end::{Depth, Role, Source, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::journal::{
    Change, Epoch, EpochId, Item, ItemId, Journal, JournalError, JournalResult, MailboxId, MailboxRecord,
    Note, Origin, Side, State,
};
use crate::message::{Digest, Fingerprint, Key};
use crate::quirks;
use crate::report::uids::Ranges;
use crate::report::{ABSENT, DAMAGED, REFUSED};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Mutex;

pub use notes::KIND;
use notes::{Begun, Kept, replaced};

/// The kinds of exceptions that the target's refusal of a message makes.
const OF_TARGET: [&str; 3] = [REFUSED, "forbidden", "too_big"];
/// [`Note::kind`] of what is told of a damaged copy, to people.
const TOLD: &str = "damaged_copy";
/// What comes between the words of the damage and those of a repair that nothing came of.
const AGAIN: &str = ". Sent once more, repaired: ";
const WHOLE: &str = "the same mail is there a second time, whole";
const UNREAD: &str = "the same mail is there a second time, repaired, and was not read back";
const DAMAGED_TOO: &str = "the same mail is there a second time, repaired, and that copy is damaged, too";

/// What is known of damaged copies, and of repairs: read from the journal once in a run, when first asked for.
#[derive(Debug, Default)]
pub struct Open {
    kept: Mutex<Option<Kept>>,
    /// A person asks for a repair now, by its option or by a consent that is news.
    asked_anew: bool,
}

impl Open {
    /// Nothing is read yet.
    pub fn new(asked_anew: bool) -> Self {
        Self { asked_anew, ..Self::default() }
    }
}

/// Does something with what is known.
async fn with<S: Source, T: Target, J: Journal, R>(
    ctx: &Context<S, T, J>,
    act: impl FnOnce(&mut Kept) -> R,
) -> Result<R, Error> {
    let mut held = ctx.replacing.kept.lock().await;
    let mut kept = match held.take() {
        Some(kept) => kept,
        None => notes::read_all(&ctx.journal, ctx.settings.limits.journal_page_rows).await?,
    };
    let done = act(&mut kept);
    *held = Some(kept);
    Ok(done)
}

/// Messages whose repaired form the target refused: a standing consent does not try it again.
pub async fn refused<J: Journal>(journal: &J, page_rows: usize) -> JournalResult<BTreeSet<ItemId>> {
    Ok(notes::read_all(journal, page_rows).await?.refused)
}

/// True for a message that is not sent once more in this run: its repaired form was refused, and nobody asks for it anew.
async fn is_refused<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    item: ItemId,
) -> Result<bool, Error> {
    Ok(!ctx.replacing.asked_anew && with(ctx, |kept| kept.refused.contains(&item)).await?)
}

/// Those of one mailbox.
async fn of<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    mailbox: MailboxId,
) -> Result<Vec<Begun>, Error> {
    let end = |n| ItemId { mailbox, epoch: EpochId(n), key: Key(n) };
    with(ctx, |kept| kept.open.range(end(i64::MIN)..=end(i64::MAX)).map(|(_, one)| one.clone()).collect())
        .await
}

/// Pure: whether a repair may send this message of a mailbox once more: its copy came back damaged when it was first read, so that
/// no other client changed it, and not every form was tried.
pub fn is_replaceable(mailbox: &MailboxRecord, item: &Item) -> bool {
    replaceable(mailbox, item).is_some()
}

fn replaceable(mailbox: &MailboxRecord, item: &Item) -> Option<Begun> {
    replaced(item).filter(|one| !is_mark(mailbox, one.origin))
}

/// Pure: what a view of marks (Important, Starred) got by COPY is a mark on a message that lies under another label, too. No octet is
/// sent for it, repaired or not: there is nothing to begin. So it is told of a view that a person names, where one could be sent:
/// the message is whole under the label that it was copied from.
fn is_mark(mailbox: &MailboxRecord, origin: Origin) -> bool {
    let role = mailbox.role.as_deref().and_then(Role::parse);
    matches!(role, Some(Role::Flagged | Role::Important)) && origin == Origin::Copied
}

/// A mailbox has damaged copies of which a repair may send a whole one.
pub async fn is_wanted<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<bool, Error> {
    let mut pages = Pages::new(ctx, job.record.id, &[State::Exception]);
    while let Some(page) = pages.next().await? {
        let all = page.iter().filter_map(|item| replaceable(&job.record, item));
        for one in all.filter(|one| one.place.epoch == job.target_epoch.id) {
            if !is_refused(ctx, one.item).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What may be sent once more: the message, the UID of its damaged copy, and the digest of what was sent.
type Damaged = Vec<(ItemId, Key, Digest)>;

/// Sends damaged messages on their way once more, where that is asked for, the source lists them still, no rule has `left_out` them
/// of this listing (ascending), and the target has the copy still: they are `listed` again, and go in their repaired form. Comes when nothing of the mailbox is in doubt.
pub(super) async fn begin<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    epoch: &Epoch,
    left_out: &[Key],
) -> Result<(), Error> {
    let mut damaged = if ctx.settings.repair { damaged(ctx, job, epoch).await? } else { Vec::new() };
    damaged.retain(|(item, ..)| left_out.binary_search(&item.key).is_err());
    if damaged.is_empty() {
        return Ok(());
    }
    let Some(there) = look(ctx, sessions, job, &damaged).await? else { return Ok(()) };
    let whole: BTreeSet<Digest> = there.values().copied().collect();
    for (id, uid, sent) in damaged {
        ctx.check_cancel()?;
        // Somebody removed it, or the server named a wrong UID and the message is there, whole.
        if !there.contains_key(&uid) || whole.contains(&sent) {
            continue;
        }
        let item = find_item(&ctx.journal, id).await?;
        if let Some(one) = item.as_ref().and_then(|item| replaceable(&job.record, item)) {
            begin_one(ctx, job, one).await?;
        }
    }
    Ok(())
}

async fn damaged<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    epoch: &Epoch,
) -> Result<Damaged, Error> {
    let seen = ctx.journal.last_sighting(job.record.id, Side::Source).await?;
    let seen = seen.filter(|(_, seen)| seen.epoch == epoch.id);
    let Some(listed) = seen.and_then(|(_, seen)| Ranges::parse(&seen.uids)) else { return Ok(Vec::new()) };
    let (mut damaged, mut pages) = (Vec::new(), Pages::new(ctx, job.record.id, &[State::Exception]));
    while let Some(page) = pages.next().await? {
        let all = page.iter().filter(|i| i.id.epoch == epoch.id && listed.contains(i.id.key));
        let all = all.filter_map(|item| replaceable(&job.record, item));
        for one in all.filter(|one| one.place.epoch == job.target_epoch.id) {
            if !is_refused(ctx, one.item).await? {
                damaged.push((one.item, one.place.uid, one.sent.sent.normal));
            }
        }
    }
    Ok(damaged)
}

async fn begin_one<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    one: Begun,
) -> Result<(), Error> {
    ctx.probe.pass("replace").await;
    let earlier = with(ctx, |kept| kept.open.get(&one.item).cloned()).await?;
    if let Some(earlier) = earlier.filter(|earlier| earlier.place != one.place) {
        leave(ctx, job, &earlier, DAMAGED_TOO).await?;
    }
    // In order: the journal forgets no note and keeps what was written after it.
    let item = one.item;
    keep(ctx, one).await?;
    Ok(ctx.journal.change(&[Change::to(item, State::Listed)]).await?)
}

async fn keep<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>, one: Begun) -> Result<(), Error> {
    ctx.journal.note(one.begun()).await?;
    with(ctx, |kept| {
        kept.refused.remove(&one.item);
        kept.open.insert(one.item, one);
    })
    .await
}

async fn end<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>, one: &Begun) -> Result<(), Error> {
    ctx.journal.note(notes::ended(one.item)).await?;
    with(ctx, |kept| _ = kept.open.remove(&one.item)).await
}

/// What is in the target mailbox and accounts for no message, or for a damaged one: UIDs and digests. `None` where the server does
/// not say: a later run looks again.
async fn look<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    damaged: &Damaged,
) -> Result<Option<BTreeMap<Key, Digest>>, Error> {
    let mut claimed = super::resolve::claims_from(ctx, job, job.baseline_start()).await?;
    damaged.iter().for_each(|(_, uid, _)| _ = claimed.remove(uid));
    let mut losses = Losses::new(ctx);
    loop {
        let session = sessions.target(ctx).await?;
        let read = match session.open_and_list(&job.target.wire).await {
            Ok(listing) if listing.opened.facts.uid_validity != job.target_epoch.facts.uid_validity => {
                return Ok(None);
            }
            Ok(listing) => {
                let free = |uid: &Key| *uid >= job.baseline_start() && !claimed.contains(uid);
                let free: Vec<Key> = listing.keys.into_iter().filter(free).collect();
                read_all(&ctx.pace.target_reading, session, &free, Depth::Octets).await
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(seen) => {
                let digests = seen.iter().filter_map(|s| Some((s.uid, s.measured?.fingerprint.normal)));
                return Ok(Some(digests.collect()));
            }
            Err(EndError::Refused { refusal, .. }) if !quirks::is_passing(refusal.class) => return Ok(None),
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    }
}

/// How messages of a mailbox go that replace a damaged copy: inside a cover message in any case, or only where their header cannot
/// be encoded.
pub(super) async fn forms<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<BTreeMap<ItemId, bool>, Error> {
    Ok(of(ctx, job.record.id).await?.into_iter().map(|one| (one.item, one.covers)).collect())
}

/// The octets of messages of a mailbox that are sent once more, as they were fetched.
pub(super) async fn prints<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<BTreeMap<ItemId, Fingerprint>, Error> {
    Ok(of(ctx, job.record.id).await?.into_iter().map(|one| (one.item, one.sent.fetched)).collect())
}

/// UIDs of damaged copies in the epoch of the target: they are of messages that have another copy, or will have.
pub(super) async fn uids_in<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<BTreeSet<Key>, Error> {
    let places = of(ctx, job.record.id).await?.into_iter().map(|one| one.place);
    Ok(places.filter(|place| place.epoch == job.target_epoch.id).map(|place| place.uid).collect())
}

/// True for a message that is sent once more, in its repaired form alone.
pub(super) async fn is_begun<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    item: ItemId,
) -> Result<bool, Error> {
    with(ctx, |kept| kept.open.contains_key(&item)).await
}

/// True where something is left to be done about damaged copies of a mailbox.
pub async fn is_open<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<bool, Error> {
    Ok(!of(ctx, job.record.id).await?.is_empty())
}

/// Gives messages new numbers (law 6), and with them what was begun.
pub(super) async fn rekey<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    pairs: &[(ItemId, ItemId)],
) -> Result<(), Error> {
    let mut former = Vec::new();
    for (from, to) in pairs {
        // Before: a message that is sent without it goes as it was.
        for note in with(ctx, |kept| kept.of_new_number(*from, *to)).await? {
            ctx.journal.note(note.clone()).await?;
            with(ctx, |kept| kept.take_in(&note)).await?;
        }
        former.extend(with(ctx, |kept| kept.open.get(from).cloned()).await?);
    }
    ctx.journal.rekey(pairs).await?;
    for one in former {
        end(ctx, &one).await?;
    }
    Ok(())
}

/// Messages are gone at the source. Those of which a damaged copy is there are damaged, as they were.
pub(super) async fn gone<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    changes: Vec<Change>,
) -> Result<(), Error> {
    let mut others = Vec::new();
    for change in changes {
        let one = with(ctx, |kept| kept.open.get(&change.item).cloned()).await?;
        let is_restored = match &one {
            Some(one) => restore(ctx, one, "it is not at the old server any more").await?,
            None => false,
        };
        if !is_restored {
            others.push(change);
        }
    }
    Ok(ctx.journal.change(&others).await?)
}

/// What is to be done about a damaged copy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Its message is on its way, or not read back yet.
    Wait,
    /// No repaired copy is there, and none will be by itself: the message is accounted for by this one again; why.
    Restore(String),
    /// The same, since the target refused the repaired form.
    Refused(String),
    /// It is left where it is; what is there beside it.
    Leave(&'static str),
    /// Its message claims it.
    End,
}

/// Pure.
fn fate(item: Option<&Item>, one: &Begun, level: Level) -> Fate {
    use State::*;
    let Some(item) = item else {
        return Fate::Leave("the old server gave its message another number meanwhile");
    };
    let claims_it = item.place == Some(one.place);
    let reason = || item.reason.as_ref().map_or_else(String::new, |reason| reason.text.clone());
    match item.state {
        Verified | Exception if claims_it => Fate::End,
        Verified => Fate::Leave(WHOLE),
        Stored if level == Level::Counts && item.place.is_some() => Fate::Leave(UNREAD),
        Exception => match item.reason.as_ref().map(|reason| reason.kind.as_str()) {
            Some(DAMAGED) => Fate::Leave(DAMAGED_TOO),
            // It may still appear, and is looked for then.
            Some(ABSENT) => {
                Fate::Leave("its repaired form was confirmed by the new server, and is not there")
            }
            Some(kind) if OF_TARGET.contains(&kind) => Fate::Refused(reason()),
            _ => Fate::Restore(reason()),
        },
        Excluded => Fate::Restore(format!("a rule leaves it out ({})", reason())),
        GoneAtSource => Fate::Leave("its message was removed at the old server before it was sent once more"),
        AlreadyThere | Merged => Fate::Leave("the new server keeps its message as one with another"),
        GoneAtTarget | MovedAtTarget => Fate::Leave("somebody removed or moved its repaired form"),
        Listed | Fetched | Committed | InDoubt | Stored | Refused | Unreadable | Suspect => Fate::Wait,
    }
}

/// Does for the damaged copies of a mailbox what has become possible. Comes after what was sent is read back, and before the last
/// listing.
pub async fn settle<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<(), Error> {
    for one in of(ctx, job.record.id).await? {
        ctx.probe.pass("replace: settle").await;
        let item = find_item(&ctx.journal, one.item).await?;
        match fate(item.as_ref(), &one, ctx.settings.level) {
            Fate::Wait => {}
            Fate::Restore(why) => restore_or_leave(ctx, job, &one, &why).await?,
            Fate::Refused(why) => {
                // Before it is forgotten that it was on its way.
                ctx.journal.note(notes::refused(one.item)).await?;
                with(ctx, |kept| _ = kept.refused.insert(one.item)).await?;
                restore_or_leave(ctx, job, &one, &why).await?;
            }
            // Stopped while it took its new number.
            Fate::Leave(_) if item.is_none() && is_taken_over(ctx, &one).await? => end(ctx, &one).await?,
            Fate::Leave(why) => leave(ctx, job, &one, why).await?,
            Fate::End => end(ctx, &one).await?,
        }
    }
    Ok(())
}

async fn is_taken_over<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    one: &Begun,
) -> Result<bool, Error> {
    let others = of(ctx, one.item.mailbox).await?;
    Ok(others.iter().any(|other| other.item != one.item && other.place == one.place))
}

async fn restore_or_leave<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    one: &Begun,
    why: &str,
) -> Result<(), Error> {
    if restore(ctx, one, why).await? {
        return Ok(());
    }
    leave(ctx, job, one, "another message claims it").await
}

/// The message is damaged again, by the copy that is there, and as it was. False where another message has that copy by now.
async fn restore<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    one: &Begun,
    why: &str,
) -> Result<bool, Error> {
    let Some(item) = find_item(&ctx.journal, one.item).await? else { return Ok(false) };
    let listed = (item.state != State::Listed).then(|| Change::to(one.item, State::Listed));
    let unreadable = Change::to(one.item, State::Unreadable);
    let changes: Vec<Change> = listed.into_iter().chain([unreadable, one.restored(why)]).collect();
    match ctx.journal.change(&changes).await {
        Ok(()) => {}
        Err(JournalError::ClaimTaken { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    end(ctx, one).await?;
    Ok(true)
}

/// Nothing more is done about it: a person is told where it is. Another client's message stands there where the server named a wrong
/// UID for a copy that it damaged, so that nothing is said but that it is not what was sent.
async fn leave<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    one: &Begun,
    why: &str,
) -> Result<(), Error> {
    let (uid, text) = (one.place.uid, &job.target.text);
    let anew = if one.place.epoch == job.target_epoch.id { "" } else { " (before that was numbered anew)" };
    let text =
        format!("UID {uid} of {text}{anew} on the new server is not what was sent and is left there: {why}");
    let (kind, mailbox, key) = (TOLD.to_owned(), Some(one.item.mailbox), Some(one.item.key));
    ctx.note_once(Note { kind, mailbox, key, text }).await?;
    end(ctx, one).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Grade;
    use crate::journal::{Ladder, Place, ReadBack, Reason, Sent};
    use crate::labels::original::testing::job;
    use crate::message::{Flags, InternalDate};

    fn damaged(ladder: Ladder) -> Item {
        let print = |n| Fingerprint { octets: 3, exact: Digest([n; 32]), normal: Digest([n; 32]) };
        let (flags, internal_date) = (
            Flags::from_octets(b"\\Seen k\xf6"),
            Some(InternalDate::from_octets("03-Mar-2020 10:11:12 +0000")),
        );
        let id = ItemId { mailbox: MailboxId(1), epoch: EpochId(2), key: Key(3) };
        Item {
            state: State::Exception,
            reason: Some(Reason::new(DAMAGED, format!("changed{AGAIN}refused"))),
            place: Some(Place { epoch: EpochId(4), uid: Key(5) }),
            origin: Some(Origin::Copied),
            sent: Some(Box::new(Sent {
                fetched: print(1),
                sent: print(2),
                flags: flags.clone(),
                internal_date: internal_date.clone(),
                ladder,
            })),
            read_back: Some(Box::new(ReadBack {
                fingerprint: Some(print(9)),
                octets: 3,
                flags,
                internal_date,
                mod_seq: Some(7),
            })),
            grade: Some(Grade::Damaged),
            ..Item::listed(id, 3)
        }
    }

    #[test]
    fn what_is_begun_is_read_from_its_note_as_it_was_and_the_later_note_counts() {
        let first = replaced(&damaged(Ladder::default())).unwrap();
        assert_eq!((first.words.as_str(), first.covers), ("changed", false));
        let second = replaced(&damaged(Ladder::ENCODED)).unwrap();
        assert!(second.covers);
        let mut kept = Kept::default();
        let mut after = |note: Note| {
            kept.take_in(&note);
            (kept.open.values().cloned().collect::<Vec<_>>(), kept.refused.len())
        };
        assert_eq!(after(first.begun()), (vec![first.clone()], 0));
        assert_eq!(after(second.begun()), (vec![second.clone()], 0));
        assert_eq!(after(notes::refused(second.item)), (vec![second.clone()], 1));
        assert_eq!(after(notes::ended(second.item)), (vec![], 1));
        assert_eq!(after(first.begun()), (vec![first.clone()], 0), "it was asked for anew");
    }

    #[test]
    fn a_message_of_another_number_stays_begun_and_refused() {
        let one = replaced(&damaged(Ladder::default())).unwrap();
        let to = ItemId { key: Key(8), ..one.item };
        let mut kept = Kept::default();
        [one.begun(), notes::refused(one.item)].iter().for_each(|note| kept.take_in(note));
        kept.of_new_number(one.item, to).iter().for_each(|note| kept.take_in(note));
        assert!(kept.refused.contains(&to), "a consent that stands does not send it again");
        assert_eq!(kept.open.get(&to), Some(&Begun { item: to, ..one.clone() }));
        assert_eq!(kept.of_new_number(ItemId { key: Key(9), ..to }, one.item), []);
    }

    #[test]
    fn what_was_tried_in_every_form_or_is_not_ours_is_not_sent_once_more() {
        let work = job(1, "Work", None).record;
        assert!(!is_replaceable(&work, &damaged(Ladder::WRAPPED)));
        for (origin, is_ours) in Origin::ALL.map(|o| (o, !matches!(o, Origin::Adopted | Origin::Shared))) {
            let item = Item { origin: Some(origin), ..damaged(Ladder::default()) };
            assert_eq!(is_replaceable(&work, &item), is_ours, "{origin:?}");
        }
    }

    #[test]
    fn a_mark_that_was_put_on_by_copy_is_not_sent_once_more() {
        let (copied, mark) = (damaged(Ladder::default()), job(1, "Important", Some(Role::Important)).record);
        assert!(!is_replaceable(&mark, &copied));
        assert!(is_replaceable(&job(1, "Work", None).record, &copied), "a label may be");
        let sent = Item { origin: Some(Origin::Appended), ..copied };
        assert!(is_replaceable(&mark, &sent), "what only the view showed was sent from there");
    }

    #[test]
    fn nothing_waits_but_what_is_on_its_way() {
        let one = replaced(&damaged(Ladder::default())).unwrap();
        for state in State::ALL {
            let item = Item { state, place: None, reason: None, ..damaged(Ladder::default()) };
            let waits = state == State::Stored || (state.is_pending());
            assert_eq!(fate(Some(&item), &one, Level::Octets) == Fate::Wait, waits, "{state:?}");
        }
        let elsewhere = Place { epoch: EpochId(4), uid: Key(6) };
        let item = Item { state: State::Stored, place: Some(elsewhere), ..damaged(Ladder::default()) };
        assert_eq!(fate(Some(&item), &one, Level::Counts), Fate::Leave(UNREAD));
        assert_eq!(
            fate(Some(&Item { state: State::Exception, ..item }), &one, Level::Octets),
            Fate::Leave(DAMAGED_TOO)
        );
    }
}
