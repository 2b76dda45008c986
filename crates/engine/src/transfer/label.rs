//! Further labels, at a target where COPY puts them on ([`Abilities::labels_by_copy`](crate::end::Abilities::labels_by_copy)):
//! what one mailbox has stored is copied into the others that show it, and its octets are not sent again. A COPY is as an APPEND
//! to the journal: intended before it is sent (law 3), in doubt when its answer is lost, and then looked for by content in the
//! mailbox that it went to (law 4), claimed, read back.
//!
//! What cannot be copied stays `listed`, and is uploaded.

use super::commit_time;
use super::commits::{end_batch, is_fresh, lease_lasts};
use super::copy::{after_pass, see_uid_next};
use super::epochs::refresh_target;
use super::job::{Job, Losses, Pages, Sessions, find_items};
use super::replace;
use super::resolve::resolve;
use super::shell::PassEnd;
use super::uids::{Checked, check};
use crate::context::Context;
use crate::end::{Depth, ReadEvent, Source, Target, TargetSession, ToRead, Verdict};
use crate::error::{EndError, Error, Refusal};
use crate::journal::{
    BatchEnd, BatchId, Change, EpochId, Existing, Form, Intent, Item, ItemId, Journal, MailboxId, Note,
    Origin, Sent, Side, State,
};
use crate::labels::message_number;
use crate::labels::original::{Apart, carried, is_ours, may_be_copied_from};
use crate::message::{Flags, Key};
use crate::progress::Progress;
use crate::quirks;
use crate::report::uids::Ranges;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;
use tokio::sync::mpsc;

/// Answers on their way.
const SEEN_QUEUED: usize = 64;

/// Where messages lie at the target that others may be copied from, by their numbers in the source account.
#[derive(Debug, Default)]
pub struct Originals {
    items: HashMap<u64, ItemId>,
    jobs: BTreeMap<MailboxId, Job>,
    apart: Apart,
}

impl Originals {
    /// What `jobs` have stored of the messages that are listed in `to`, where they are not `apart`. In memory, some 50 octets for
    /// each of these.
    pub async fn find<S: Source, T: Target, J: Journal>(
        ctx: &Context<S, T, J>,
        apart: &Apart,
        jobs: &[Job],
        to: &[Job],
    ) -> Result<Self, Error> {
        let mut wanted = HashSet::new();
        for job in to {
            let mut pages = Pages::new(ctx, job.record.id, &[State::Listed]);
            while let Some(page) = pages.next().await? {
                wanted.extend(page.iter().filter_map(|i| message_number(i.lineage.as_deref())));
            }
        }
        let mut items = HashMap::new();
        let shared = jobs.iter().filter(|job| !wanted.is_empty() && apart.shares(job));
        for job in shared {
            let mut pages = Pages::new(ctx, job.record.id, &[State::Stored, State::Verified]);
            while let Some(page) = pages.next().await? {
                let ours = page.iter().filter(|i| is_ours(i));
                let numbered = ours.filter_map(|i| Some((message_number(i.lineage.as_deref())?, i.id)));
                for (number, id) in numbered.filter(|(number, _)| wanted.contains(number)) {
                    items.entry(number).or_insert(id);
                }
            }
        }
        let jobs = jobs.iter().map(|job| (job.record.id, job.clone())).collect();
        Ok(Self { items, jobs, apart: apart.clone() })
    }

    /// Where messages of a mailbox may be copied from: each with its original, as the journal knows it now.
    async fn of<S: Source, T: Target, J: Journal>(
        &self,
        ctx: &Context<S, T, J>,
        job: &Job,
        items: impl Iterator<Item = &Item>,
    ) -> Result<Vec<(ItemId, Item)>, Error> {
        let original = |item: &&Item| self.items.get(&message_number(item.lineage.as_deref())?).copied();
        let wanted: Vec<(&Item, ItemId)> = items.filter_map(|item| Some((item, original(&item)?))).collect();
        let known = find_items(ctx, wanted.iter().map(|(_, id)| *id).collect()).await?;
        let mut found = Vec::with_capacity(wanted.len());
        for (item, id) in wanted {
            let (Some(from), Some(there)) = (self.jobs.get(&id.mailbox), known.get(&id)) else { continue };
            // What is sent once more goes repaired, or is not read back yet.
            if replace::is_begun(ctx, item.id).await? || replace::is_begun(ctx, there.id).await? {
                continue;
            }
            if may_be_copied_from(&self.apart, (job, item), (from, there)) {
                found.push((item.id, there.clone()));
            }
        }
        Ok(found)
    }
}

/// Messages of one mailbox, in order, whose originals lie in one other.
#[derive(Debug)]
struct Lot {
    from: MailboxId,
    /// The message, and the UID of its original with what is known of it.
    items: Vec<(ItemId, Key, Item)>,
}

/// Messages that are to be copied: each with the UID of its original, and with what comes with it.
type Copying = Vec<(ItemId, Key, Sent)>;

/// How often the connection was lost at a COPY since a message was last copied, whatever the mailbox: some servers, or one message,
/// may end it each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct LostAtCopy(u32);

impl LostAtCopy {
    /// Copying ends for this run: what is left is uploaded.
    const AT_EACH: u32 = 4;

    /// One more. True when the messages that it was lost at are to be uploaded: they were few enough by then.
    fn once_more(&mut self) -> bool {
        self.0 += 1;
        self.0 >= 3
    }

    /// Whatever goes out, nothing comes of it.
    pub fn is_at_each(self) -> bool {
        self.0 >= Self::AT_EACH
    }

    /// How many messages go together, of `most`: first fewer, then one, so that one that ends the connection takes no others
    /// with it.
    fn together(self, most: usize) -> usize {
        match self.0 {
            0 => most,
            1 => (most / 8).max(1),
            _ => 1,
        }
    }
}

/// The work on one mailbox.
struct Labelling<'a, S: Source, T: Target, J: Journal> {
    ctx: &'a Context<S, T, J>,
    sessions: &'a mut Sessions<S, T>,
    job: &'a mut Job,
    originals: &'a Originals,
    /// Not to be copied in this run, whatever the reason.
    given_up: BTreeSet<ItemId>,
    losses: Losses,
    lost: &'a mut LostAtCopy,
    /// The epoch of the target and the UID that all which was there lies below; `None` where nobody knows.
    bound: Option<(EpochId, Key)>,
}

/// What the answers to the commands of a lot say.
#[derive(Debug, Default)]
struct Answers {
    changes: Vec<Change>,
    merged: Vec<(ItemId, Key)>,
    /// Whoever is not known to be copied, nor known not to be.
    doubtful: Vec<ItemId>,
    /// Refused, with the last refusal.
    refused: Vec<ItemId>,
    refusal: Option<Refusal>,
    /// What the connection ended with.
    lost: Option<String>,
    other_epoch: Option<String>,
    copied: u64,
}

/// Copies into a mailbox what it lists and others have stored, in order. Only what this run saw in it: a label that was taken off
/// since is not put on.
pub async fn label<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    originals: &Originals,
    lost: &mut LostAtCopy,
) -> Result<(), Error> {
    let adopts = job.baseline.existing == Existing::Adopt && !job.baseline.matched;
    let seen = ctx.journal.last_sighting(job.record.id, Side::Source).await?;
    let Some((_, seen)) = seen.filter(|(run, _)| *run == ctx.run && !adopts) else { return Ok(()) };
    let Some(shown) = Ranges::parse(&seen.uids) else { return Ok(()) };
    // Who uploads says why it cannot be opened.
    if refresh_target(ctx, sessions, job).await?.is_err() {
        return Ok(());
    }
    resolve(ctx, sessions, job, None).await?;
    let (given_up, losses) = (BTreeSet::new(), Losses::new(ctx));
    let mut work = Labelling { ctx, sessions, job, originals, given_up, losses, lost, bound: None };
    let mut pages = Pages::new(ctx, work.job.record.id, &[State::Listed]);
    let mut before = None;
    while let Some(mut page) = pages.next().await? {
        let last = page.last().map(|i| i.id);
        if work.lost.is_at_each() {
            return Ok(());
        }
        page.retain(|i| i.id.epoch == seen.epoch && shown.contains(i.id.key));
        if !work.label_page(&page).await? {
            // Something is to be tried again.
            pages = Pages::behind(ctx, work.job.record.id, &[State::Listed], before);
            continue;
        }
        before = last;
    }
    Ok(())
}

impl<S: Source, T: Target, J: Journal> Labelling<'_, S, T, J> {
    /// Copies what can be copied of a page of listed messages. False when something of it is worth another try, or when another
    /// number of messages may go together now.
    async fn label_page(&mut self, page: &[Item]) -> Result<bool, Error> {
        let together = self.together();
        for lot in self.lots(page, together).await? {
            self.ctx.check_cancel()?;
            if !self.copy(&lot).await? || self.together() != together {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn together(&self) -> usize {
        self.lost.together(self.ctx.settings.limits.batch_messages_max)
    }

    /// The messages that may be copied, in order, as long as one mailbox has the next one: order costs commands, not mail.
    async fn lots(&self, page: &[Item], most: usize) -> Result<Vec<Lot>, Error> {
        let mut lots: Vec<Lot> = Vec::new();
        let wanted = page.iter().filter(|i| !self.given_up.contains(&i.id));
        for (item, there) in self.originals.of(self.ctx, self.job, wanted).await? {
            let Some(place) = there.place else { continue };
            let from = there.id.mailbox;
            let one = (item, place.uid, there);
            match lots.last_mut().filter(|lot| lot.from == from && lot.items.len() < most) {
                Some(lot) => lot.items.push(one),
                None => lots.push(Lot { from, items: vec![one] }),
            }
        }
        Ok(lots)
    }

    fn give_up(&mut self, lot: &Lot) -> bool {
        self.given_up.extend(lot.items.iter().map(|(id, ..)| *id));
        true
    }

    /// Copies one lot. False when it, or some of it, is worth another try.
    async fn copy(&mut self, lot: &Lot) -> Result<bool, Error> {
        let origin = if self.knows_bound().await? { Origin::Copied } else { Origin::Found };
        self.ctx.probe.pass("look at the originals").await;
        let Some(from) = self.originals.jobs.get(&lot.from) else { return Ok(self.give_up(lot)) };
        let flags = match look(self.sessions.target(self.ctx).await?, from, lot).await {
            Ok(Some(flags)) => flags,
            // Its UIDs mean nothing any more (law 6).
            Ok(None) => return Ok(self.give_up(lot)),
            Err(error) => return self.trouble(lot, error).await,
        };
        let carried =
            |(id, uid, there): &(ItemId, Key, Item)| Some((*id, *uid, carried(there, flags.get(uid)?)?));
        let copying: Copying = lot.items.iter().filter_map(carried).collect();
        // Whose original is not there any more is uploaded.
        let missing = |(id, ..): &&(ItemId, Key, Item)| copying.iter().all(|(copied, ..)| copied != id);
        self.given_up.extend(lot.items.iter().filter(missing).map(|(id, ..)| *id));
        if copying.is_empty() {
            return Ok(true);
        }
        let (batch, may_go) = self.commit(&copying).await?;
        if !may_go {
            let listed = |(id, ..): &(ItemId, Key, Sent)| Change::to(*id, State::Listed);
            let mut changes: Vec<Change> = copying.iter().map(listed).collect();
            end_batch(self.ctx, batch, BatchEnd::Void, &mut changes).await?;
            return Ok(self.give_up(lot));
        }
        let uids: Vec<Key> = copying.iter().map(|(_, uid, _)| *uid).collect();
        let to = self.job.target.wire.clone();
        let (verdicts, longest) = self.sessions.target(self.ctx).await?.copy(&uids, &to).await;
        self.ctx.probe.pass("after the answer").await;
        let mut answers = judge(self.job, &copying, verdicts, origin);
        if let Some(took) = answers.commit(longest) {
            commit_time::seen(self.ctx, took).await?;
        }
        self.write(batch, &copying, &mut answers).await?;
        self.after(lot, answers).await
    }

    /// Whether all that was in the mailbox before is known to lie below its UIDNEXT, so that what a COPYUID names above is made by
    /// the COPY. Asks, where it may have got another epoch since.
    async fn knows_bound(&mut self) -> Result<bool, Error> {
        if is_bound(self.job, self.bound) {
            return Ok(true);
        }
        let is_known = see_uid_next(self.ctx, self.sessions, self.job).await?;
        self.bound = is_known.then_some((self.job.target_epoch.id, self.job.uid_next));
        Ok(is_known)
    }

    /// Makes the intent durable, and says whether the commands may go out (law 3).
    async fn commit(&mut self, copying: &Copying) -> Result<(BatchId, bool), Error> {
        self.ctx.probe.pass("commit").await;
        let intent = Intent {
            mailbox: self.job.record.id,
            epoch: self.job.target_epoch.id,
            uid_next: self.job.uid_next,
            form: Form::Group,
            items: copying.iter().map(|(id, _, sent)| (*id, sent.clone())).collect(),
        };
        let began = self.ctx.clock.now();
        let batch = self.ctx.journal.commit_batch(&intent).await?;
        let in_time = self.ctx.clock.at_most_since(began) <= self.ctx.settings.limits.journal_commit_max;
        let durable_at = self.ctx.clock.now();
        self.ctx.probe.pass("before the gate").await;
        Ok((batch, in_time && is_fresh(self.ctx, durable_at) && lease_lasts(self.ctx)))
    }

    /// Writes what became of a batch.
    async fn write(&mut self, batch: BatchId, copying: &Copying, answers: &mut Answers) -> Result<(), Error> {
        let end = if answers.doubtful.is_empty() { BatchEnd::Answered } else { BatchEnd::Lost };
        answers.merged.extend(end_batch(self.ctx, batch, end, &mut answers.changes).await?);
        if answers.copied > 0 {
            self.losses.reset();
            *self.lost = LostAtCopy::default();
            let all = answers.copied == copying.len() as u64;
            let octets = if all { copying.iter().map(|(.., sent)| sent.sent.octets).sum() } else { 0 };
            self.ctx.bus.tell(Progress::stored(self.job.record.id, answers.copied, octets));
        }
        if let Some(text) = answers.other_epoch.clone() {
            let (kind, mailbox) = ("epoch_changed".to_owned(), Some(self.job.record.id));
            self.ctx.journal.note(Note { kind, mailbox, key: None, text }).await?;
        }
        Ok(())
    }

    /// Resolves what the answers left open. False when something of the lot is worth another try.
    async fn after(&mut self, lot: &Lot, answers: Answers) -> Result<bool, Error> {
        let Answers { merged, doubtful, refused, refusal, lost, other_epoch, .. } = answers;
        match lost {
            // From here on the settle time counts (law 4).
            Some(_) => self.sessions.abort_target(),
            // An OK that does not say what it did: once is enough.
            None => self.given_up.extend(&doubtful),
        }
        if !doubtful.is_empty() {
            let since = self.ctx.clock.now();
            if resolve(self.ctx, self.sessions, self.job, Some(since)).await?.found > 0 {
                self.losses.reset();
            }
        }
        if !merged.is_empty() || other_epoch.is_some() {
            let end = PassEnd { merged, epoch_changed: other_epoch.is_some(), ..PassEnd::default() };
            after_pass(self.ctx, self.sessions, self.job, &end).await?;
        }
        let server = "the new server".to_owned();
        if let Some(what) = lost {
            return self.lost_at_copy(lot, EndError::Lost { server, doing: "UID COPY", what }).await;
        }
        let Some(refusal) = refusal else { return Ok(true) };
        if quirks::is_passing(refusal.class) || quirks::patience(refusal.class).is_some() {
            return self.trouble(lot, EndError::Refused { server, doing: "UID COPY", refusal }).await;
        }
        self.given_up.extend(refused);
        Ok(true)
    }

    /// The connection ended at a COPY. Words that ask for patience are waited for as in an answer; else fewer go together, and in the
    /// end the upload does it. False when the lot is worth another try.
    async fn lost_at_copy(&mut self, lot: &Lot, error: EndError) -> Result<bool, Error> {
        let give_up = error.asks_for_patience().is_none() && self.lost.once_more();
        if give_up {
            self.give_up(lot);
        }
        match self.losses.at_target(self.ctx, self.sessions, error).await {
            Ok(()) => Ok(false),
            Err(Error::Target(_)) => {
                *self.lost = LostAtCopy(LostAtCopy::AT_EACH);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// A failure that takes no single message with it: false when it was waited for, and is worth another try. What goes on for
    /// too long is left to the upload, if the server still answers.
    async fn trouble(&mut self, lot: &Lot, error: EndError) -> Result<bool, Error> {
        let refused = matches!(error, EndError::Refused { .. });
        match self.losses.at_target(self.ctx, self.sessions, error).await {
            Ok(()) => Ok(false),
            Err(Error::Target(_)) if refused => Ok(self.give_up(lot)),
            Err(error) => Err(error),
        }
    }
}

/// Opens the mailbox of the originals, which stays open, and reads their flags; `None` under another UIDVALIDITY.
async fn look<S: TargetSession>(
    session: &mut S,
    from: &Job,
    lot: &Lot,
) -> Result<Option<HashMap<Key, Flags>>, EndError> {
    let mut uids: Vec<Key> = lot.items.iter().map(|(_, uid, _)| *uid).collect();
    uids.sort_unstable();
    let (mailbox, epoch) = (from.target.wire.clone(), from.target_epoch.facts.uid_validity);
    let (ask, wanted) = mpsc::unbounded_channel();
    let _ = ask.send(ToRead { mailbox, epoch, uids, depth: Depth::Facts });
    drop(ask);
    let (tx, mut rx) = mpsc::channel(SEEN_QUEUED);
    let collect = async {
        let (mut flags, mut is_read) = (HashMap::new(), Ok(false));
        while let Some(event) = rx.recv().await {
            match event {
                ReadEvent::Seen(_, seen) => _ = flags.insert(seen.uid, seen.flags),
                ReadEvent::Done(_, read) => is_read = read,
            }
        }
        (is_read, flags)
    };
    let (read, (is_read, flags)) = tokio::join!(session.read_each(wanted, tx), collect);
    read?;
    Ok(is_read?.then_some(flags))
}

/// True while UIDNEXT of the job is at or above the `bound`, which is of its epoch: to open a mailbox anew puts UIDNEXT back.
fn is_bound(job: &Job, bound: Option<(EpochId, Key)>) -> bool {
    bound.is_some_and(|(epoch, least)| epoch == job.target_epoch.id && job.uid_next >= least)
}

/// What became of each message, by the answers in their order. What was answered moves on UIDNEXT. `origin`: of what lies at or
/// above it, ours only where that is known.
fn judge(job: &mut Job, copying: &Copying, verdicts: Vec<Verdict>, origin: Origin) -> Answers {
    let (mut answers, before) = (Answers::default(), job.uid_next);
    let missing = std::iter::repeat(Verdict::Lost("it was not answered".into()));
    for ((id, ..), verdict) in copying.iter().zip(verdicts.into_iter().chain(missing)) {
        match verdict {
            Verdict::Stored(uids) => {
                let checked = uids.map_or(Checked::Unknown, |uids| check(job, before, 1, &uids));
                answers.take(job, *id, (before, origin), checked);
            }
            Verdict::Refused(refusal) => {
                answers.changes.push(Change::to(*id, State::Listed));
                answers.refused.push(*id);
                answers.refusal = Some(refusal);
            }
            Verdict::Unsent(words) => {
                answers.changes.push(Change::to(*id, State::Listed));
                answers.lost = Some(words);
            }
            Verdict::Lost(words) => {
                answers.take(job, *id, (before, origin), Checked::Unknown);
                answers.lost = Some(words);
            }
        }
    }
    answers
}

impl Answers {
    /// How long a commit takes at the target, where something was copied: what was refused at once says nothing of it.
    fn commit(&self, longest: Duration) -> Option<Duration> {
        (self.lost.is_none() && self.copied > 0).then_some(longest)
    }

    /// A message of which an answer said this: a new UID is at or above `before`, and of this origin.
    fn take(&mut self, job: &mut Job, id: ItemId, (before, origin): (Key, Origin), checked: Checked) {
        let stored = Change::to(id, State::Stored);
        let change = match checked {
            Checked::Places(places) => match places.first() {
                Some(Ok(uid)) if *uid >= before => {
                    job.uid_next = job.uid_next.max(Key(uid.0 + 1));
                    stored.at(job.place(*uid), origin)
                }
                // It had the label: what is there is looked at, and it was not us who put it there.
                Some(Ok(uid) | Err(uid)) => {
                    self.merged.push((id, *uid));
                    stored
                }
                None => stored,
            },
            Checked::OtherEpoch(now) => {
                let text = format!("the new server answered with UIDVALIDITY {now} in {}", job.target.text);
                self.other_epoch = Some(text);
                stored
            }
            Checked::Unknown => {
                self.doubtful.push(id);
                self.changes.push(Change::to(id, State::InDoubt));
                return;
            }
        };
        self.copied += 1;
        self.changes.push(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::end::NewUids;
    use crate::error::RefusalClass;
    use crate::labels::original::testing::{job, sent};
    use crate::message::UidValidity;

    fn three() -> Copying {
        let id = |key| ItemId { mailbox: MailboxId(1), epoch: EpochId(1), key: Key(key) };
        (1..=3).map(|key| (id(key), Key(100 + key), sent())).collect()
    }

    fn named(epoch: u32, uid: i64) -> Verdict {
        Verdict::Stored(Some(NewUids { uid_validity: UidValidity(epoch), uids: vec![Key(uid)] }))
    }

    /// The states and UIDs of what [`three`] became, and what else the answers say.
    fn judged(verdicts: Vec<Verdict>) -> (Vec<(State, Option<i64>)>, Answers) {
        let mut job = Job { uid_next: Key(20), ..job(1, "Work", None) };
        job.baseline.uid_next = Key(10);
        let answers = judge(&mut job, &three(), verdicts, Origin::Copied);
        let states = answers.changes.iter().map(|c| (c.to, c.place.map(|(place, _)| place.uid.0))).collect();
        (states, answers)
    }

    #[test]
    fn each_message_is_where_its_own_answer_says() {
        let text = "not this one".to_owned();
        let refusal = Refusal { class: RefusalClass::Cannot, bad: false, code: None, text };
        let (states, answers) = judged(vec![named(7, 20), Verdict::Refused(refusal), named(7, 21)]);
        assert_eq!(states, [(State::Stored, Some(20)), (State::Listed, None), (State::Stored, Some(21))]);
        assert_eq!((answers.copied, answers.refused.len(), answers.doubtful.len()), (2, 1, 0));
        assert!(answers.changes.iter().all(|c| c.place.is_none_or(|(_, origin)| origin == Origin::Copied)));
    }

    #[test]
    fn each_loss_at_a_copy_makes_the_next_lot_smaller_until_nothing_is_copied() {
        let mut lost = LostAtCopy::default();
        let mut seen = vec![(lost.together(200), false, false)];
        for _ in 0..4 {
            let gives_up = lost.once_more();
            seen.push((lost.together(200), gives_up, lost.is_at_each()));
        }
        let expected =
            [(200, false, false), (25, false, false), (1, false, false), (1, true, false), (1, true, true)];
        assert_eq!(seen, expected);
        assert_eq!(LostAtCopy(1).together(3), 1);
    }

    #[test]
    fn a_commit_is_measured_only_where_something_was_copied() {
        let (text, took) = ("not this one".to_owned(), Duration::from_millis(3));
        let no = Verdict::Refused(Refusal { class: RefusalClass::Cannot, bad: false, code: None, text });
        let of = |verdicts: [Verdict; 3]| judged(verdicts.to_vec()).1.commit(took);
        assert_eq!(of([no.clone(), no.clone(), no.clone()]), None, "nothing was committed");
        assert_eq!(of([Verdict::Stored(None), no.clone(), no.clone()]), None, "nobody knows what it did");
        assert_eq!(of([named(7, 20), Verdict::Lost("reset".into()), no.clone()]), None);
        assert_eq!(of([named(7, 20), no.clone(), no]), Some(took));
    }

    #[test]
    fn what_lay_below_uidnext_is_known_for_one_epoch_and_not_below_what_was_seen() {
        let job = Job { uid_next: Key(20), ..job(1, "Work", None) };
        let epoch = job.target_epoch.id;
        assert!(is_bound(&job, Some((epoch, Key(20)))));
        assert!(is_bound(&job, Some((epoch, Key(12)))));
        assert!(!is_bound(&job, Some((epoch, Key(21)))), "it was opened anew");
        assert!(!is_bound(&job, Some((EpochId(99), Key(1)))));
        assert!(!is_bound(&job, None));
        let mut job = job;
        let answers = judge(&mut job, &three(), vec![named(7, 20)], Origin::Found);
        let origins = answers.changes.iter().filter_map(|c| Some(c.place?.1));
        assert_eq!(origins.collect::<Vec<_>>(), [Origin::Found], "undo leaves it alone");
    }

    #[test]
    fn what_no_answer_names_is_in_doubt_and_what_was_never_sent_is_not() {
        let (lost, unsent) = (Verdict::Lost("reset".into()), Verdict::Unsent("closed here".into()));
        let (states, answers) = judged(vec![Verdict::Stored(None), lost, unsent]);
        assert_eq!(states, [(State::InDoubt, None), (State::InDoubt, None), (State::Listed, None)]);
        assert_eq!((answers.doubtful.len(), answers.copied), (2, 0));
        assert!(answers.lost.is_some());
        let (states, answers) = judged(vec![named(7, 20)]);
        assert_eq!(
            states.iter().filter(|(state, _)| *state == State::InDoubt).count(),
            2,
            "no answer at all"
        );
        assert!(answers.lost.is_some());
    }

    #[test]
    fn a_uid_that_cannot_be_new_or_is_of_another_epoch_is_no_claim() {
        let (states, answers) = judged(vec![named(7, 4), named(8, 20), named(7, 20)]);
        assert_eq!(states, [(State::Stored, None), (State::Stored, None), (State::Stored, Some(20))]);
        assert_eq!(answers.merged.iter().map(|(_, uid)| uid.0).collect::<Vec<_>>(), [4]);
        assert!(answers.other_epoch.is_some());
        let (states, answers) = judged(vec![named(7, 25), named(7, 12), named(7, 24)]);
        let places = [(State::Stored, Some(25)), (State::Stored, None), (State::Stored, Some(24))];
        assert_eq!(states, places, "12 was there before the COPY");
        assert_eq!(answers.merged.len(), 1);
    }
}
