//! Damaged copies of which a whole one is sent, by request alone: a message that the target keeps otherwise than it was sent is sent
//! once more with its header encoded (T4), or inside a cover message (T8). Nothing is removed: the damaged copy is left where it is,
//! and told.
//!
//! Two notes carry it over interruptions. `repair:begun` is written before the message goes back to `listed`: from then on it is
//! sent in its repaired form alone, whatever a later run is asked for, and nobody claims the damaged copy for another message. It
//! keeps what is known of that copy, so that the message can be what it was where nothing comes of it. `repair:ended` says that
//! nothing is left to be done.

use super::job::{Job, Losses, Pages, Sessions, find_item};
use super::resolve::read_all;
use crate::config::Level;
use crate::context::Context;
use crate::end::{Depth, Source, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::identity::Grade;
use crate::journal::{
    Change, Epoch, EpochId, Item, ItemId, Journal, JournalError, JournalResult, Ladder, MailboxId, Note,
    Origin, Place, ReadBack, Reason, Sent, Side, State,
};
use crate::message::{Digest, Fingerprint, Flags, InternalDate, Key};
use crate::quirks;
use crate::report::uids::Ranges;
use crate::report::{ABSENT, DAMAGED};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Mutex;

/// Notes that are for the engine, and in no report, begin with this.
pub const KIND: &str = "repair:";
const BEGUN: &str = "repair:begun";
const ENDED: &str = "repair:ended";
/// [`Note::kind`] of what is told of a damaged copy, to people.
const TOLD: &str = "damaged_copy";
/// What comes between the words of the damage and those of a repair that nothing came of.
const AGAIN: &str = ". Sent once more, repaired: ";
const WHOLE: &str = "the same mail is there a second time, whole";
const UNREAD: &str = "the same mail is there a second time, repaired, and was not read back";
const DAMAGED_TOO: &str = "the same mail is there a second time, repaired, and that copy is damaged, too";

/// A damaged copy, and how its message goes instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The message.
    item: ItemId,
    /// Where the damaged copy is.
    place: Place,
    /// It goes inside a cover message: encoded it came back damaged, too.
    covers: bool,
    /// What the journal knew of the damaged copy.
    origin: Origin,
    sent: Sent,
    read_back: ReadBack,
    grade: Option<Grade>,
    /// What was said of the damage.
    words: String,
}

/// A [`Fingerprint`] in a note.
type Print = (u64, [u8; 32], [u8; 32]);

/// A [`Begun`] in a note; mailbox and key are the note's own. Octets are written as the characters of their numbers.
#[derive(Serialize, Deserialize)]
struct Written {
    source_epoch: i64,
    target_epoch: i64,
    uid: i64,
    covers: bool,
    origin: String,
    fetched: Print,
    sent: Print,
    flags: String,
    date: Option<String>,
    ladder: u8,
    read: Option<Print>,
    read_octets: u64,
    read_flags: String,
    read_date: Option<String>,
    read_mod_seq: Option<u64>,
    grade: Option<String>,
    words: String,
}

/// The damaged copies that are not done with, one for each message: read from the journal once in a run, when first asked for.
#[derive(Debug, Default)]
pub struct Open(Mutex<Option<BTreeMap<ItemId, Begun>>>);

/// Does something with the damaged copies that are not done with.
async fn with<S: Source, T: Target, J: Journal, R>(
    ctx: &Context<S, T, J>,
    act: impl FnOnce(&mut BTreeMap<ItemId, Begun>) -> R,
) -> Result<R, Error> {
    let mut held = ctx.replacing.0.lock().await;
    let mut open = match held.take() {
        Some(open) => open,
        None => read_open(&ctx.journal, ctx.settings.limits.journal_page_rows).await?,
    };
    let done = act(&mut open);
    *held = Some(open);
    Ok(done)
}

async fn read_open<J: Journal>(journal: &J, page_rows: usize) -> JournalResult<BTreeMap<ItemId, Begun>> {
    let (mut open, mut after) = (BTreeMap::new(), i64::MIN);
    loop {
        let page = journal.notes(KIND, after, page_rows).await?;
        let Some(last) = page.last() else { return Ok(open) };
        after = last.id;
        page.iter().for_each(|record| take_in(&mut open, &record.note));
    }
}

/// Pure: what one note says. Of two that begin with one message the later one counts.
fn take_in(open: &mut BTreeMap<ItemId, Begun>, note: &Note) {
    match note.kind.as_str() {
        BEGUN => _ = read(note).map(|one| open.insert(one.item, one)),
        ENDED => {
            if let (Some(mailbox), Some(key), Ok(epoch)) = (note.mailbox, note.key, note.text.parse()) {
                open.remove(&ItemId { mailbox, epoch: EpochId(epoch), key });
            }
        }
        _ => {}
    }
}

/// Those of one mailbox.
async fn of<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    mailbox: MailboxId,
) -> Result<Vec<Begun>, Error> {
    let end = |n| ItemId { mailbox, epoch: EpochId(n), key: Key(n) };
    with(ctx, |open| open.range(end(i64::MIN)..=end(i64::MAX)).map(|(_, one)| one.clone()).collect()).await
}

fn print(of: &Fingerprint) -> Print {
    (of.octets, of.exact.0, of.normal.0)
}

fn printed((octets, exact, normal): Print) -> Fingerprint {
    Fingerprint { octets, exact: Digest(exact), normal: Digest(normal) }
}

fn chars(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

fn octets(chars: &str) -> Vec<u8> {
    chars.chars().filter_map(|c| u8::try_from(c).ok()).collect()
}

fn read(note: &Note) -> Option<Begun> {
    let w: Written = serde_json::from_str(&note.text).ok()?;
    let date = |text: Option<String>| text.map(|text| InternalDate::from_octets(octets(&text)));
    Some(Begun {
        item: ItemId { mailbox: note.mailbox?, epoch: EpochId(w.source_epoch), key: note.key? },
        place: Place { epoch: EpochId(w.target_epoch), uid: Key(w.uid) },
        covers: w.covers,
        origin: Origin::parse(&w.origin)?,
        sent: Sent {
            fetched: printed(w.fetched),
            sent: printed(w.sent),
            flags: Flags::from_octets(octets(&w.flags)),
            internal_date: date(w.date),
            ladder: Ladder(w.ladder),
        },
        read_back: ReadBack {
            fingerprint: w.read.map(printed),
            octets: w.read_octets,
            flags: Flags::from_octets(octets(&w.read_flags)),
            internal_date: date(w.read_date),
            mod_seq: w.read_mod_seq,
        },
        grade: w.grade.as_deref().and_then(Grade::parse),
        words: w.words,
    })
}

impl Begun {
    fn begun(&self) -> Note {
        let date = |date: &Option<InternalDate>| date.as_ref().map(|date| chars(date.as_octets()));
        let written = Written {
            source_epoch: self.item.epoch.0,
            target_epoch: self.place.epoch.0,
            uid: self.place.uid.0,
            covers: self.covers,
            origin: self.origin.as_str().to_owned(),
            fetched: print(&self.sent.fetched),
            sent: print(&self.sent.sent),
            flags: chars(self.sent.flags.as_octets()),
            date: date(&self.sent.internal_date),
            ladder: self.sent.ladder.0,
            read: self.read_back.fingerprint.as_ref().map(print),
            read_octets: self.read_back.octets,
            read_flags: chars(self.read_back.flags.as_octets()),
            read_date: date(&self.read_back.internal_date),
            read_mod_seq: self.read_back.mod_seq,
            grade: self.grade.map(|grade| grade.as_str().to_owned()),
            words: self.words.clone(),
        };
        self.note(BEGUN, serde_json::json!(written).to_string())
    }

    fn note(&self, kind: &str, text: String) -> Note {
        Note { kind: kind.to_owned(), mailbox: Some(self.item.mailbox), key: Some(self.item.key), text }
    }

    /// The message as it was, from where it is `listed`.
    fn restored(&self, why: &str) -> Change {
        let reason = Reason::new(DAMAGED, format!("{}{AGAIN}{why}", self.words));
        let change = Change::to(self.item, State::Exception).because(reason).at(self.place, self.origin);
        let (sent, read_back) = (Some(self.sent.clone()), Some(self.read_back.clone()));
        Change { sent, read_back, grade: self.grade, ..change }
    }
}

/// Pure: whether a repair may send this message once more: its copy came back damaged when it was first read, so that no other
/// client changed it, and not every form was tried.
pub fn is_replaceable(item: &Item) -> bool {
    replaced(item).is_some()
}

/// Pure: the damaged copy of a message that a repair may send once more.
fn replaced(item: &Item) -> Option<Begun> {
    let reason = item.reason.as_ref().filter(|r| item.state == State::Exception && r.kind == DAMAGED)?;
    let ours = |origin: &Origin| matches!(origin, Origin::Appended | Origin::Found | Origin::Copied);
    let origin = item.origin.filter(ours)?;
    let (sent, first) = (Sent::clone(item.sent.as_ref()?), ReadBack::clone(item.read_back.as_ref()?));
    let print = first.fingerprint.as_ref()?;
    let was_damaged = print.exact != sent.sent.exact && Grade::of(&sent.fetched, print) == Grade::Damaged;
    let words = reason.text.split(AGAIN).next().unwrap_or_default().to_owned();
    let (covers, place) = (sent.ladder.has(Ladder::ENCODED), item.place?);
    let one =
        Begun { item: item.id, place, covers, origin, read_back: first, grade: item.grade, words, sent };
    (was_damaged && !one.sent.ladder.has(Ladder::WRAPPED)).then_some(one)
}

/// A mailbox has damaged copies of which a repair may send a whole one.
pub async fn is_wanted<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<bool, Error> {
    let mut pages = Pages::new(ctx, job.record.id, &[State::Exception]);
    while let Some(page) = pages.next().await? {
        if page.iter().filter_map(replaced).any(|one| one.place.epoch == job.target_epoch.id) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What may be sent once more: the message, the UID of its damaged copy, and the digest of what was sent.
type Damaged = Vec<(ItemId, Key, Digest)>;

/// Sends damaged messages on their way once more, where that is asked for, the source lists them still, and the target has the
/// copy still: they are `listed` again, and go in their repaired form. Comes when nothing of the mailbox is in doubt.
pub(super) async fn begin<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    epoch: &Epoch,
) -> Result<(), Error> {
    let damaged = if ctx.settings.repair { damaged(ctx, job, epoch).await? } else { Vec::new() };
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
        if let Some(one) = item.as_ref().and_then(replaced) {
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
        let all = all.filter_map(replaced).filter(|one| one.place.epoch == job.target_epoch.id);
        damaged.extend(all.map(|one| (one.item, one.place.uid, one.sent.sent.normal)));
    }
    Ok(damaged)
}

async fn begin_one<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    one: Begun,
) -> Result<(), Error> {
    ctx.probe.pass("replace").await;
    let earlier = with(ctx, |open| open.get(&one.item).cloned()).await?;
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
    with(ctx, |open| _ = open.insert(one.item, one)).await
}

async fn end<S: Source, T: Target, J: Journal>(ctx: &Context<S, T, J>, one: &Begun) -> Result<(), Error> {
    ctx.journal.note(one.note(ENDED, one.item.epoch.0.to_string())).await?;
    with(ctx, |open| _ = open.remove(&one.item)).await
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
    with(ctx, |open| open.contains_key(&item)).await
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
        let Some(one) = with(ctx, |open| open.get(from).cloned()).await? else { continue };
        // Before: a message that is sent without it goes as it was.
        keep(ctx, Begun { item: *to, ..one.clone() }).await?;
        former.push(one);
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
        let one = with(ctx, |open| open.get(&change.item).cloned()).await?;
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
            Fate::Restore(why) => {
                if !restore(ctx, &one, &why).await? {
                    leave(ctx, job, &one, "another message claims it").await?;
                }
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

/// Nothing more is done about it: a person is told where it is.
async fn leave<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    one: &Begun,
    why: &str,
) -> Result<(), Error> {
    let (uid, text) = (one.place.uid, &job.target.text);
    let anew = if one.place.epoch == job.target_epoch.id { "" } else { " (before that was numbered anew)" };
    let text =
        format!("UID {uid} of {text}{anew} on the new server is a damaged copy and is left there: {why}");
    ctx.note_once(one.note(TOLD, text)).await?;
    end(ctx, one).await
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut open = BTreeMap::new();
        take_in(&mut open, &first.begun());
        assert_eq!(open.values().collect::<Vec<_>>(), [&first]);
        take_in(&mut open, &second.begun());
        assert_eq!(open.values().collect::<Vec<_>>(), [&second]);
        take_in(&mut open, &second.note(ENDED, "2".into()));
        assert_eq!(open.len(), 0);
    }

    #[test]
    fn what_was_tried_in_every_form_or_is_not_ours_is_not_sent_once_more() {
        assert!(!is_replaceable(&damaged(Ladder::WRAPPED)));
        for (origin, is_ours) in Origin::ALL.map(|o| (o, !matches!(o, Origin::Adopted | Origin::Shared))) {
            let item = Item { origin: Some(origin), ..damaged(Ladder::default()) };
            assert_eq!(is_replaceable(&item), is_ours, "{origin:?}");
        }
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
