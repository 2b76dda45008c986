//! Damaged copies that are replaced, by request alone: a message that the target keeps otherwise than it was sent is sent once
//! more with its header encoded (T4), or inside a cover message (T8). Only when that was read back whole and says what was sent,
//! the damaged copy is removed, by its own UID; where it is not certain that it is ours and untouched, it is left and told.
//!
//! Three notes carry it over interruptions. `repair:begun` is written before the message goes back to `listed`: from then on it is
//! sent in its repaired form alone, whatever a later run is asked for, and nobody claims the damaged copy for another message.
//! `repair:removing` is durable before anything is removed (law 8). `repair:ended` says that nothing is left to be done.

use super::job::{Job, Losses, Pages, Sessions, find_item};
use super::meaning::outgoing;
use super::octets::{Given, target_octets};
use super::resolve::read_all;
use crate::context::Context;
use crate::end::{Depth, Seen, Source, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::identity::{Grade, Measured};
use crate::journal::{
    Change, Epoch, EpochId, Item, ItemId, Journal, JournalError, JournalResult, Ladder, MailboxId, Note,
    Origin, Place, Reason, Side, State,
};
use crate::message::{Digest, Flags, Key};
use crate::report::uids::Ranges;
use crate::report::{ABSENT, DAMAGED};
use crate::semantic::compare;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Notes that are for the engine, and in no report, begin with this.
pub const KIND: &str = "repair:";
const BEGUN: &str = "repair:begun";
const REMOVING: &str = "repair:removing";
const ENDED: &str = "repair:ended";
/// [`Note::kind`] of what is told of a damaged copy, to people.
const TOLD: &str = "damaged_copy";
/// Copies removed together.
const TOGETHER_MAX: usize = 500;

/// A damaged copy, and how its message goes instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The message.
    pub item: ItemId,
    /// Where the damaged copy is.
    pub place: Place,
    /// It goes inside a cover message: encoded it came back damaged, too.
    pub covers: bool,
    /// The SHA-256 of what was read of the damaged copy.
    sha256: String,
    /// Its flags as they were first read.
    flags: Flags,
    /// The server named its UID for our APPEND, and it is our message but for what was destroyed in its header.
    ours: bool,
    /// What was said of the damage.
    words: String,
    /// Its removal was begun.
    removing: bool,
}

/// A [`Replaced`] in a note; mailbox and key are the note's own.
#[derive(Serialize, Deserialize)]
struct Written {
    source_epoch: i64,
    target_epoch: i64,
    uid: i64,
    covers: bool,
    sha256: String,
    flags: String,
    ours: bool,
    words: String,
}

/// Whether a repair may replace the copy of this message: it came back damaged when it was first read, so that no other client
/// changed it, and not every form was tried.
pub fn is_replaceable(item: &Item) -> bool {
    replaced(item).is_some()
}

/// The damaged copies that are not done with, of all mailboxes or of one.
///
/// # Errors
/// Those of the journal.
pub async fn open<J: Journal>(
    journal: &J,
    mailbox: Option<MailboxId>,
    page_rows: usize,
) -> JournalResult<Vec<Replaced>> {
    let (mut open, mut after): (Vec<Replaced>, _) = (Vec::new(), i64::MIN);
    loop {
        let page = journal.notes(KIND, after, page_rows).await?;
        let Some(last) = page.last() else { return Ok(open) };
        after = last.id;
        for note in page.into_iter().map(|n| n.note) {
            if mailbox.is_none_or(|of| note.mailbox == Some(of)) {
                take_in(&mut open, &note);
            }
        }
    }
}

/// Pure: what one note says.
fn take_in(open: &mut Vec<Replaced>, note: &Note) {
    match note.kind.as_str() {
        BEGUN => {
            let Some(one) = read(note) else { return };
            open.retain(|known| known.place != one.place);
            open.push(one);
        }
        REMOVING => {
            let place = read_place(&note.text);
            open.iter_mut().filter(|one| Some(one.place) == place).for_each(|one| one.removing = true);
        }
        ENDED => {
            let place = read_place(&note.text);
            open.retain(|one| Some(one.place) != place);
        }
        _ => {}
    }
}

fn read(note: &Note) -> Option<Replaced> {
    let written: Written = serde_json::from_str(&note.text).ok()?;
    let item = ItemId { mailbox: note.mailbox?, epoch: EpochId(written.source_epoch), key: note.key? };
    let Written { covers, sha256, ours, words, .. } = written;
    let place = Place { epoch: EpochId(written.target_epoch), uid: Key(written.uid) };
    let flags = Flags::from_octets(written.flags);
    Some(Replaced { item, place, covers, sha256, flags, ours, words, removing: false })
}

fn read_place(text: &str) -> Option<Place> {
    let (epoch, uid) = text.split_once(' ')?;
    Some(Place { epoch: EpochId(epoch.parse().ok()?), uid: Key(uid.parse().ok()?) })
}

impl Replaced {
    fn begun(&self) -> Note {
        let written = Written {
            source_epoch: self.item.epoch.0,
            target_epoch: self.place.epoch.0,
            uid: self.place.uid.0,
            covers: self.covers,
            sha256: self.sha256.clone(),
            flags: self.flags.to_string(),
            ours: self.ours,
            words: self.words.clone(),
        };
        self.note(BEGUN, serde_json::to_string(&written).unwrap_or_default())
    }

    /// A note about the damaged copy by its place.
    fn at_place(&self, kind: &str) -> Note {
        self.note(kind, format!("{} {}", self.place.epoch.0, self.place.uid.0))
    }

    fn note(&self, kind: &str, text: String) -> Note {
        Note { kind: kind.to_owned(), mailbox: Some(self.item.mailbox), key: Some(self.item.key), text }
    }

    /// What is there is what was read then, and nobody touched it.
    fn is_untouched(&self, seen: &Seen) -> bool {
        let same = seen.measured.is_some_and(|m| m.fingerprint.exact.to_string() == self.sha256);
        let bare = || seen.flags.without(|flag| flag.eq_ignore_ascii_case(b"\\Deleted"));
        same && (seen.flags == self.flags || (self.removing && bare() == self.flags))
    }
}

/// Pure: the damaged copy that a repair may replace.
fn replaced(item: &Item) -> Option<Replaced> {
    let reason = item.reason.as_ref().filter(|r| item.state == State::Exception && r.kind == DAMAGED)?;
    let origin = item.origin.filter(|origin| matches!(origin, Origin::Appended | Origin::Found))?;
    let (sent, first) = (item.sent.as_ref()?, item.read_back.as_ref()?);
    let print = first.fingerprint.as_ref()?;
    let was_damaged = print.exact != sent.sent.exact && Grade::of(&sent.fetched, print) == Grade::Damaged;
    (was_damaged && !sent.ladder.has(Ladder::WRAPPED))
        .then(|| Replaced {
            item: item.id,
            place: item.place.unwrap_or(Place { epoch: EpochId(0), uid: Key(0) }),
            covers: sent.ladder.has(Ladder::ENCODED),
            sha256: print.exact.to_string(),
            flags: first.flags.clone(),
            ours: origin == Origin::Appended,
            words: reason.text.clone(),
            removing: false,
        })
        .filter(|_| item.place.is_some())
}

/// Sends damaged messages on their way once more, where that is asked for and the source lists them still: they are `listed`
/// again, and go in their repaired form. Comes when nothing of the mailbox is in doubt.
pub(super) async fn begin<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    epoch: &Epoch,
) -> Result<(), Error> {
    if !ctx.settings.repair {
        return Ok(());
    }
    let seen = ctx.journal.last_sighting(job.record.id, Side::Source).await?;
    let seen = seen.filter(|(_, seen)| seen.epoch == epoch.id);
    let Some(there) = seen.and_then(|(_, seen)| Ranges::parse(&seen.uids)) else { return Ok(()) };
    let (mut damaged, mut pages) = (Vec::new(), Pages::new(ctx, job.record.id, &[State::Exception]));
    while let Some(page) = pages.next().await? {
        let is_there = |item: &Item| item.id.epoch == epoch.id && there.contains(item.id.key);
        damaged.extend(page.into_iter().filter(|item| is_there(item) && is_replaceable(item)));
    }
    let mut whole: Option<BTreeSet<Digest>> = None;
    for item in &damaged {
        let Some(mut one) = replaced(item) else { continue };
        let is_munged = is_munged(ctx, sessions, job, item, &one).await?;
        if !is_munged {
            let whole = match &mut whole {
                Some(whole) => whole,
                None => whole.insert(unaccounted(ctx, sessions, job, &damaged).await?),
            };
            // The server named a wrong UID: the message is there, whole.
            if item.sent.as_ref().is_none_or(|sent| whole.contains(&sent.sent.normal)) {
                continue;
            }
        }
        one.ours &= is_munged;
        ctx.probe.pass("replace").await;
        // In order: the journal forgets no note and keeps what was written after it.
        ctx.journal.note(one.begun()).await?;
        ctx.journal.change(&[Change::to(one.item, State::Listed)]).await?;
    }
    Ok(())
}

/// The copy is what was sent but for octets outside ASCII in its header, which were replaced: the UID that the server named is the
/// right one. Of any other damage that cannot be known: some servers name wrong UIDs.
async fn is_munged<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    item: &Item,
    one: &Replaced,
) -> Result<bool, Error> {
    let octets_max = ctx.settings.limits.compare_octets_max;
    if one.place.epoch != job.target_epoch.id || item.octets > octets_max {
        return Ok(false);
    }
    let Given::Message(sent) = outgoing(ctx, sessions, job, item).await? else { return Ok(false) };
    let Given::Message(kept) = target_octets(ctx, sessions, job, one.place.uid, octets_max).await? else {
        return Ok(false);
    };
    let same = Measured::of(&kept).fingerprint.exact.to_string() == one.sha256;
    Ok(same && compare(&sent, &kept).is_munged_alone())
}

/// What is in the target mailbox and accounts for no message, or for a damaged one.
async fn unaccounted<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    damaged: &[Item],
) -> Result<BTreeSet<Digest>, Error> {
    let mut claimed = super::resolve::claims_from(ctx, job, job.baseline_start()).await?;
    damaged.iter().filter_map(|item| item.place).for_each(|place| _ = claimed.remove(&place.uid));
    let mut losses = Losses::new(ctx);
    loop {
        let session = sessions.target(ctx).await?;
        let read = match session.open_and_list(&job.target.wire).await {
            Ok(listing) => {
                let free = |uid: &Key| *uid >= job.baseline_start() && !claimed.contains(uid);
                let free: Vec<Key> = listing.keys.into_iter().filter(free).collect();
                read_all(&ctx.pace.target_reading, session, &free, Depth::Octets).await
            }
            Err(error) => Err(error),
        };
        match read {
            Ok(seen) => {
                return Ok(seen.iter().filter_map(|s| Some(s.measured?.fingerprint.normal)).collect());
            }
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
    let open = open(&ctx.journal, Some(job.record.id), ctx.settings.limits.journal_page_rows).await?;
    // Of two copies of one message the later note counts.
    Ok(open.into_iter().map(|one| (one.item, one.covers)).collect())
}

/// UIDs of damaged copies in an epoch of the target: they are of messages that have another copy, or will have.
pub(super) async fn uids_in<J: Journal>(
    journal: &J,
    epoch: EpochId,
    page_rows: usize,
) -> JournalResult<BTreeSet<Key>> {
    let open = open(journal, None, page_rows).await?;
    Ok(open.into_iter().map(|one| one.place).filter(|p| p.epoch == epoch).map(|p| p.uid).collect())
}

/// True where something is left to be done about damaged copies of a mailbox.
pub async fn is_open<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<bool, Error> {
    let rows = ctx.settings.limits.journal_page_rows;
    Ok(!open(&ctx.journal, Some(job.record.id), rows).await?.is_empty())
}

/// What is to be done about a damaged copy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Its message is on its way, or not read back yet.
    Wait,
    /// The repaired copy was read back: this one is to go.
    Remove,
    /// No repaired copy is there, and none will be by itself: the message is accounted for by this one again; why.
    Restore(String),
    /// It is left where it is; why.
    Leave(&'static str),
    /// Its message claims it.
    End,
}

/// Pure.
fn fate(item: Option<&Item>, one: &Replaced) -> Fate {
    use State::*;
    let Some(item) = item else {
        return Fate::Leave("the old server gave its message another number meanwhile");
    };
    let claims_it = item.place == Some(one.place);
    match item.state {
        Verified | Exception if claims_it => Fate::End,
        Verified if item.grade.is_some_and(|grade| grade != Grade::Damaged) => Fate::Remove,
        Exception => {
            let reason = item.reason.as_ref();
            let wrapped = item.sent.as_ref().is_some_and(|sent| sent.ladder.has(Ladder::WRAPPED));
            match reason.map(|reason| reason.kind.as_str()) {
                Some(DAMAGED) if wrapped => Fate::Leave("its message came back damaged in every form"),
                Some(DAMAGED) => Fate::Wait,
                // It may still appear, and is looked for then.
                Some(ABSENT) => {
                    Fate::Leave("its repaired form was confirmed by the new server, and is not there")
                }
                _ => Fate::Restore(reason.map_or_else(String::new, |reason| reason.text.clone())),
            }
        }
        GoneAtSource => Fate::Leave("its message was removed at the old server before it was sent once more"),
        AlreadyThere | Merged => Fate::Leave("the new server keeps its message as one with another"),
        GoneAtTarget | MovedAtTarget => Fate::Leave("somebody removed or moved its repaired form"),
        Excluded => Fate::Leave("its message was left out by a rule before it was sent once more"),
        Verified | Listed | Fetched | Committed | InDoubt | Stored | Refused | Unreadable | Suspect => {
            Fate::Wait
        }
    }
}

/// Does for the damaged copies of a mailbox what has become possible. Comes after what was sent is read back, and before the last
/// listing.
pub async fn settle<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
) -> Result<(), Error> {
    let open = open(&ctx.journal, Some(job.record.id), ctx.settings.limits.journal_page_rows).await?;
    let mut proven = Vec::new();
    for one in open {
        ctx.probe.pass("replace: settle").await;
        let item = find_item(&ctx.journal, one.item).await?;
        match fate(item.as_ref(), &one) {
            Fate::Wait => {}
            Fate::Remove => proven.push(one),
            Fate::Restore(words) => restore(ctx, &one, &words).await?,
            Fate::Leave(why) => leave(ctx, job, &one, why).await?,
            Fate::End => ctx.journal.note(one.at_place(ENDED)).await?,
        }
    }
    for some in proven.chunks(TOGETHER_MAX) {
        remove(ctx, sessions, job, some).await?;
    }
    Ok(())
}

/// The message is damaged again, by the copy that is there.
async fn restore<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    one: &Replaced,
    words: &str,
) -> Result<(), Error> {
    let origin = if one.ours { Origin::Appended } else { Origin::Found };
    let text = format!("{}. Sent once more, repaired: {words}", one.words);
    let damaged = Change::to(one.item, State::Exception).because(Reason::new(DAMAGED, text));
    let again = [Change::to(one.item, State::Listed), Change::to(one.item, State::Unreadable)];
    let changes: Vec<Change> = again.into_iter().chain([damaged.at(one.place, origin)]).collect();
    match ctx.journal.change(&changes).await {
        // Somebody moved another message of ours there: this one stays what it is.
        Ok(()) | Err(JournalError::ClaimTaken { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(ctx.journal.note(one.at_place(ENDED)).await?)
}

async fn leave<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    one: &Replaced,
    why: &str,
) -> Result<(), Error> {
    let text = format!(
        "UID {} of {} on the new server is a damaged copy, and is left there: {why}",
        one.place.uid, job.target.text
    );
    ctx.note_once(one.note(TOLD, text)).await?;
    Ok(ctx.journal.note(one.at_place(ENDED)).await?)
}

/// Removes copies whose message is there in another one that was read back.
async fn remove<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    proven: &[Replaced],
) -> Result<(), Error> {
    let removes = sessions.target(ctx).await?.abilities().expunges_by_uid;
    let shared = shared(ctx, job).await?;
    let mut ours = Vec::new();
    for one in proven {
        let why = match () {
            () if one.place.epoch != job.target_epoch.id => {
                "its mailbox was numbered anew, so that it cannot be told from others"
            }
            () if !one.ours => "it cannot be told for certain from messages of others",
            () if shared.contains(&one.place.uid) => "another message has the same copy",
            () if !removes => "the new server cannot remove single messages (no UIDPLUS)",
            () => {
                ours.push(one);
                continue;
            }
        };
        leave(ctx, job, one, why).await?;
    }
    let mut losses = Losses::new(ctx);
    while !ours.is_empty() {
        match remove_once(ctx, sessions, job, &mut ours).await? {
            Ok(()) => return Ok(()),
            Err(EndError::Refused { refusal, .. }) => {
                for one in &ours {
                    leave(ctx, job, one, &format!("the new server does not remove it: {refusal}")).await?;
                }
                return Ok(());
            }
            Err(error) => losses.at_target(ctx, sessions, error).await?,
        }
    }
    Ok(())
}

/// What other messages share or claim in the target mailbox.
async fn shared<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<BTreeSet<Key>, Error> {
    let mut uids = super::resolve::claims_from(ctx, job, Key(1)).await?;
    let mut pages = Pages::new(ctx, job.record.id, &[State::Merged]);
    while let Some(page) = pages.next().await? {
        let places = page.iter().filter_map(|item| item.place);
        uids.extend(places.filter(|place| place.epoch == job.target_epoch.id).map(|place| place.uid));
    }
    Ok(uids)
}

/// Reads the copies once more and removes those that are as they were. What is decided leaves `ours`. `Err` inside: the end's.
async fn remove_once<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    ours: &mut Vec<&Replaced>,
) -> Result<Result<(), EndError>, Error> {
    let uids: Vec<Key> = ours.iter().map(|one| one.place.uid).collect();
    let session = sessions.target(ctx).await?;
    let listing = match session.open_and_list(&job.target.wire).await {
        Ok(listing) => listing,
        Err(error) => return Ok(Err(error)),
    };
    if listing.opened.facts.uid_validity != job.target_epoch.facts.uid_validity || !listing.is_complete() {
        // The next run looks again.
        return Ok(Ok(()));
    }
    let seen = read_all(&ctx.pace.target_reading, session, &uids, Depth::Octets).await;
    let seen: BTreeMap<Key, Seen> = match seen {
        Ok(seen) => seen.into_iter().map(|seen| (seen.uid, seen)).collect(),
        Err(error) => return Ok(Err(error)),
    };
    let (mut doomed, mut last) = (Vec::new(), None);
    for one in std::mem::take(ours) {
        match seen.get(&one.place.uid) {
            // Gone: removed by somebody, or by a run that could not say so any more.
            None if !listing.keys.contains(&one.place.uid) => ctx.journal.note(one.at_place(ENDED)).await?,
            None => leave(ctx, job, one, "the new server does not give it any more").await?,
            Some(seen) if one.is_untouched(seen) => {
                doomed.push((one.place.uid, seen.mod_seq));
                ours.push(one);
                last = Some(one);
            }
            Some(_) => leave(ctx, job, one, "somebody changed it since").await?,
        }
    }
    let Some(last) = last else { return Ok(Ok(())) };
    for one in ours.iter() {
        ctx.journal.note(one.at_place(REMOVING)).await?;
    }
    ctx.journal.note_durably(last.at_place(REMOVING)).await?;
    ctx.probe.pass("replace: remove").await;
    let epoch = job.target_epoch.facts.uid_validity;
    let removed = match sessions.target(ctx).await?.remove(&job.target.wire, epoch, &doomed).await {
        Ok(removed) => removed,
        Err(error) => return Ok(Err(error)),
    };
    ctx.probe.pass("replace: removed").await;
    for one in std::mem::take(ours) {
        if !removed.contains(&one.place.uid) {
            leave(ctx, job, one, "somebody changed it since").await?;
            continue;
        }
        let text = format!(
            "UID {} of {} on the new server was a damaged copy, and was removed: its repaired form was read back",
            one.place.uid, job.target.text
        );
        ctx.journal.note(one.note(TOLD, text)).await?;
        ctx.journal.note(one.at_place(ENDED)).await?;
    }
    Ok(Ok(()))
}
