//! Another UIDVALIDITY at the source: numbers mean nothing across it (law 6, integrity.md 6.7). What is known is
//! recognised by content among what the new epoch lists, or by a number that each message has in its account, and takes the new
//! numbers; nothing is copied twice, and
//! nothing that somebody removed at the target comes back.

use super::epochs::is_renumbered;
use super::job::{Job, Losses, Pages, Sessions};
use super::replace;
use super::resolve::resolve;
use super::unreadable::gone_or_unreadable;
use crate::adopt::read_source;
use crate::context::Context;
use crate::end::{Source, SourceSession, Target};
use crate::error::{EndError, Error};
use crate::journal::{Change, Epoch, EpochId, Item, ItemId, Journal, Note, Reason, Side, State, last_kind};
use crate::labels::message_number;
use crate::message::{Digest, Fingerprint};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Kinds of the notes about recognised epochs begin with this; the number of the epoch follows.
const RECOGNISED: &str = "source_epoch:";

/// One message of either epoch, as far as recognising it needs.
#[derive(Clone, Debug)]
struct Known {
    id: ItemId,
    state: State,
    /// The rule that excludes it.
    rule: Option<Reason>,
    /// Its octets, where they were read.
    fingerprint: Option<Fingerprint>,
    /// It was given up, and no copy of it is known.
    given_up: bool,
    /// The number that it has in its account, whatever the mailbox (X-GM-MSGID).
    number: Option<u64>,
    /// Size and date.
    looks: u64,
    flags: u64,
}

/// How recognising ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// What is known has the numbers of the current epoch; the rest may be copied.
    Done,
    /// The mailbox has yet another epoch now: list it again.
    Renumbered,
    /// Nothing may be copied, since what is gone cannot be told from what is not shown; why.
    Not(String),
}

/// Recognises the messages of former epochs among those that the `current` one lists.
///
/// Must run after the listing of the current epoch is recorded and before anything of it is copied. It may be stopped
/// anywhere: the pairs found so far are in the journal, the rest is found by the next run.
pub async fn recognise<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &mut Job,
    memory: &Arc<Semaphore>,
    current: &Epoch,
) -> Result<Recognised, Error> {
    if ctx.journal.epochs(job.record.id, Side::Source).await?.len() < 2 {
        return Ok(Recognised::Done);
    }
    // Once this epoch was recognised, what is of a former one and has returned to `listed` (an undo) is not shown here.
    let done = is_recognised(ctx, job, current).await?;
    if done {
        let gone = uncopied(ctx, job, current).await?;
        return conclude_gone(ctx, sessions, job, current, &gone).await;
    }
    // An item in an open batch keeps its number until its fate is known.
    resolve(ctx, sessions, job, None).await?;
    let mut former = join_former(ctx, job, current).await?;
    let mut listed = listed(ctx, job, current).await?;
    let (known, shown) = (former.len(), listed.len());
    let numbered = pair_by_number(&former, &listed);
    take_numbers(ctx, &mut former, &mut listed, &numbered).await?;
    if former.iter().any(|f| f.fingerprint.is_some()) {
        read(ctx, sessions, job, memory, &mut listed).await?;
    }
    let pairs = pair(&former, &listed);
    take_numbers(ctx, &mut former, &mut listed, &pairs).await?;
    let unread = perhaps_copied(&former, &listed);
    if !unread.is_empty() {
        if is_renumbered(ctx, sessions, job, current.id).await? {
            return Ok(Recognised::Renumbered);
        }
        let text = "the old server gave its mailbox another UIDVALIDITY and does not give this message: it may be one \
                    that is copied already";
        gone_or_unreadable(ctx, sessions, job, &unread, text).await?;
    }
    let gone: Vec<ItemId> = former.iter().filter(|f| f.state == State::Listed).map(|f| f.id).collect();
    let end = conclude_gone(ctx, sessions, job, current, &gone).await?;
    if end != Recognised::Done {
        return Ok(end);
    }
    let text = format!(
        "the old server gave {} another UIDVALIDITY ({}): of {known} known messages {} were recognised, {} are not there \
         any more; {} are new",
        job.record.source.text,
        current.facts.uid_validity,
        known - former.len(),
        former.len(),
        shown - numbered.len() - pairs.len()
    );
    let note = Note { kind: word(current), mailbox: Some(job.record.id), key: None, text };
    ctx.journal.note(note).await?;
    Ok(Recognised::Done)
}

/// The kind of the note that says that an epoch was recognised. The last one of a mailbox counts: a server may return to
/// an epoch it had before.
fn word(epoch: &Epoch) -> String {
    format!("{RECOGNISED}{}", epoch.id.0)
}

/// True once the messages of former epochs were looked for among those of this one.
pub async fn is_recognised<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    epoch: &Epoch,
) -> Result<bool, Error> {
    Ok(last_recognised(ctx, job).await? == Some(word(epoch)))
}

async fn last_recognised<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
) -> Result<Option<String>, Error> {
    let page_rows = ctx.settings.limits.journal_page_rows;
    Ok(last_kind(&ctx.journal, RECOGNISED, page_rows, job.record.id).await?)
}

/// What of a former epoch is still to be copied.
async fn uncopied<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    current: &Epoch,
) -> Result<Vec<ItemId>, Error> {
    let mut all = Vec::new();
    let mut pages = Pages::new(ctx, job.record.id, &[State::Listed]);
    while let Some(page) = pages.next().await? {
        all.extend(page.iter().map(|i| i.id).filter(|id| id.epoch != current.id));
    }
    Ok(all)
}

/// Everything of former epochs that was not gone before. Where an epoch was listed and the next one came before it was
/// recognised, one message stands there twice: what is known of it takes the later number.
async fn join_former<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    current: &Epoch,
) -> Result<Vec<Known>, Error> {
    loop {
        let former = former(ctx, job, current).await?;
        let pairs = listed_again(&former);
        if pairs.is_empty() {
            return Ok(former);
        }
        rekey(ctx, &former, &former, &pairs).await?;
    }
}

/// Everything of former epochs that was not gone before.
async fn former<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    current: &Epoch,
) -> Result<Vec<Known>, Error> {
    let states: Vec<State> = State::ALL.into_iter().filter(|s| *s != State::GoneAtSource).collect();
    let mut all = Vec::new();
    let mut pages = Pages::new(ctx, job.record.id, &states);
    while let Some(page) = pages.next().await? {
        all.extend(page.iter().filter(|i| i.id.epoch != current.id).map(known));
    }
    let prints = replace::prints(ctx, job).await?;
    all.iter_mut().for_each(|k| k.fingerprint = k.fingerprint.or(prints.get(&k.id).copied()));
    Ok(all)
}

/// What the current epoch lists and nothing has begun with.
async fn listed<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    current: &Epoch,
) -> Result<Vec<Known>, Error> {
    let mut all = Vec::new();
    let mut pages = Pages::new(ctx, job.record.id, &[State::Listed, State::Excluded]);
    while let Some(page) = pages.next().await? {
        all.extend(page.iter().filter(|i| i.id.epoch == current.id).map(known));
    }
    Ok(all)
}

fn known(item: &Item) -> Known {
    let hash = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        value(&mut hasher);
        hasher.finish()
    };
    let date = item.internal_date.as_ref();
    let flag = |atom: &[u8]| hash(&|h| atom.to_ascii_lowercase().hash(h));
    Known {
        id: item.id,
        state: item.state,
        rule: item.reason.clone().filter(|_| item.state == State::Excluded),
        fingerprint: item.sent.as_ref().map(|s| s.fetched),
        given_up: item.state == State::Exception && item.place.is_none(),
        number: message_number(item.lineage.as_deref()),
        looks: hash(&|h| {
            (item.octets, date.and_then(|d| d.instant()), date.map(|d| d.as_octets())).hash(h);
        }),
        // A set: the order does not matter.
        flags: item.flags.iter().fold(0, |sum, atom| sum.wrapping_add(flag(atom))),
    }
}

/// Reads the octets of what is listed, page by page, and keeps their digests. What the server does not give stays
/// without.
async fn read<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    memory: &Arc<Semaphore>,
    listed: &mut [Known],
) -> Result<(), Error> {
    let mut places: HashMap<ItemId, &mut Known> = listed.iter_mut().map(|k| (k.id, k)).collect();
    let mut pages = Pages::new(ctx, job.record.id, &[State::Listed, State::Excluded]);
    while let Some(page) = pages.next().await? {
        ctx.check_cancel()?;
        ctx.probe.pass("recognise").await;
        let page: Vec<Item> = page.into_iter().filter(|i| places.contains_key(&i.id)).collect();
        if page.is_empty() {
            continue;
        }
        for (id, sent) in read_source(ctx, sessions, job, &page, memory).await? {
            if let Some(known) = places.get_mut(&id) {
                known.fingerprint = Some(sent.fetched);
            }
        }
    }
    Ok(())
}

/// Pairs former messages with listed ones, each with one at most. Where the octets are known they decide: size, date
/// and flags only say which of equal messages is which. Where nothing was read before, nothing was copied either, and
/// size and date are enough; what has them is not another message with other ones, whose octets are the same.
fn pair(former: &[Known], listed: &[Known]) -> Vec<(ItemId, ItemId)> {
    type Likeness = fn(&Known) -> Option<(Option<Digest>, u64, u64)>;
    let exact = |k: &Known| k.fingerprint.map(|f| f.exact);
    let by_both: [Likeness; 2] = [
        |k| k.fingerprint.map(|f| (Some(f.exact), k.looks, k.flags)),
        |k| k.fingerprint.map(|f| (Some(f.exact), k.looks, 0)),
    ];
    let by_looks: [Likeness; 2] = [|k| Some((None, k.looks, k.flags)), |k| Some((None, k.looks, 0))];
    let by_content: [Likeness; 2] = [
        |k| k.fingerprint.map(|f| (Some(f.exact), 0, 0)),
        // Other octets, so that it may be another message: what was given up decides nothing about that one, and nothing is
        // not a line end.
        |k| k.fingerprint.filter(|f| !k.given_up && f.octets > 0).map(|f| (Some(f.normal), 0, 0)),
    ];
    let (mut read, mut unread): (Vec<&Known>, Vec<&Known>) = former.iter().partition(|k| exact(k).is_some());
    let mut pairs = Vec::new();
    let mut free: HashSet<ItemId> = listed.iter().map(|k| k.id).collect();
    for (of_read, ways) in [(true, by_both), (false, by_looks), (true, by_content)] {
        let open = if of_read { &mut read } else { &mut unread };
        for alike in ways {
            let mut found: HashMap<_, VecDeque<ItemId>> = HashMap::new();
            for known in listed.iter().filter(|k| free.contains(&k.id)) {
                if let Some(likeness) = alike(known) {
                    found.entry(likeness).or_default().push_back(known.id);
                }
            }
            open.retain(|k| {
                let of = alike(k).and_then(|likeness| found.get_mut(&likeness)?.pop_front());
                let Some(id) = of else { return true };
                free.remove(&id);
                pairs.push((k.id, id));
                false
            });
        }
    }
    pairs
}

/// Pairs what is known of earlier epochs with what a later one among them lists and nobody has read, by size and date:
/// octets decide when both are looked for in the current epoch. Nothing is lost by a wrong pair: what was listed and
/// not copied is new in the current epoch.
fn listed_again(former: &[Known]) -> Vec<(ItemId, ItemId)> {
    let epochs: BTreeSet<EpochId> = former.iter().map(|k| k.id.epoch).collect();
    let unread = |k: &&Known| k.fingerprint.is_none() && matches!(k.state, State::Listed | State::Excluded);
    for later in epochs.into_iter().skip(1) {
        // All of them as if unread, so that their looks alone are compared.
        let bare = |k: &Known| Known { fingerprint: None, ..k.clone() };
        let earlier: Vec<Known> = former.iter().filter(|k| k.id.epoch < later).map(bare).collect();
        let listed: Vec<Known> =
            former.iter().filter(|k| k.id.epoch == later).filter(unread).map(bare).collect();
        let pairs = pair(&earlier, &listed);
        if !pairs.is_empty() {
            return pairs;
        }
    }
    Vec::new()
}

/// Listed messages that could not be read and look like one that was copied and is not found: to copy them could be to
/// copy a second time.
fn perhaps_copied(former: &[Known], listed: &[Known]) -> Vec<ItemId> {
    let copied: HashSet<u64> = former.iter().filter(|f| f.fingerprint.is_some()).map(|f| f.looks).collect();
    let unread = |l: &&Known| l.fingerprint.is_none() && copied.contains(&l.looks);
    listed.iter().filter(unread).map(|l| l.id).collect()
}

/// Pairs messages of one number, size and date, of which none need be read. Of two former ones the one whose octets are known
/// has it.
fn pair_by_number(former: &[Known], listed: &[Known]) -> Vec<(ItemId, ItemId)> {
    let likeness = |k: &Known| Some((k.number?, k.looks));
    let mut shown: HashMap<_, ItemId> = listed.iter().filter_map(|k| Some((likeness(k)?, k.id))).collect();
    let (read, unread): (Vec<&Known>, Vec<&Known>) = former.iter().partition(|k| k.fingerprint.is_some());
    let all = read.into_iter().chain(unread);
    all.filter_map(|k| Some((k.id, shown.remove(&likeness(k)?)?))).collect()
}

/// Gives what is known its new numbers, and takes it out of both lists.
async fn take_numbers<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    former: &mut Vec<Known>,
    listed: &mut Vec<Known>,
    pairs: &[(ItemId, ItemId)],
) -> Result<(), Error> {
    rekey(ctx, former, listed, pairs).await?;
    let paired: HashSet<ItemId> = pairs.iter().flat_map(|(from, to)| [*from, *to]).collect();
    former.retain(|f| !paired.contains(&f.id));
    listed.retain(|l| !paired.contains(&l.id));
    Ok(())
}

async fn rekey<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    former: &[Known],
    listed: &[Known],
    pairs: &[(ItemId, ItemId)],
) -> Result<(), Error> {
    let old: HashMap<ItemId, &Known> = former.iter().map(|k| (k.id, k)).collect();
    let new: HashMap<ItemId, &Known> = listed.iter().map(|k| (k.id, k)).collect();
    for pairs in pairs.chunks(ctx.settings.limits.journal_page_rows) {
        // What is not copied follows the rules that hold now.
        let ruled = |(from, to): &(ItemId, ItemId)| {
            let (from, to) = (old.get(from)?, new.get(to)?);
            match (from.state, to.state) {
                (State::Listed, State::Excluded) => {
                    let change = Change::to(from.id, State::Excluded);
                    Some(to.rule.iter().cloned().fold(change, Change::because))
                }
                (State::Excluded, State::Listed) => Some(Change::to(from.id, State::Listed)),
                _ => None,
            }
        };
        let changes: Vec<Change> = pairs.iter().filter_map(ruled).collect();
        ctx.journal.change(&changes).await?;
        replace::rekey(ctx, pairs).await?;
    }
    Ok(())
}

/// What was not copied and is not in the new epoch is gone: the listing that was recorded is one witness, a complete
/// one on another connection the second (law 7).
async fn conclude_gone<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    current: &Epoch,
    gone: &[ItemId],
) -> Result<Recognised, Error> {
    if gone.is_empty() {
        return Ok(Recognised::Done);
    }
    sessions.source = None;
    let mut losses = Losses::new(ctx);
    let complete = loop {
        match is_complete(sessions.source(ctx).await?, job, current).await {
            Ok(complete) => break complete,
            Err(error) => losses.at_source(ctx, sessions, error).await?,
        }
    };
    if !complete {
        let text = &job.record.source.text;
        return Ok(Recognised::Not(format!(
            "the old server does not list {text} completely twice after it got another UIDVALIDITY"
        )));
    }
    for gone in gone.chunks(ctx.settings.limits.journal_page_rows) {
        let reason =
            || Reason::new("gone", "not in the mailbox since the old server gave it another UIDVALIDITY");
        let changes: Vec<Change> =
            gone.iter().map(|id| Change::to(*id, State::GoneAtSource).because(reason())).collect();
        replace::gone(ctx, changes).await?;
    }
    Ok(Recognised::Done)
}

async fn is_complete<S: SourceSession>(
    session: &mut S,
    job: &Job,
    current: &Epoch,
) -> Result<bool, EndError> {
    let opened = session.open(&job.record.source.wire).await?;
    let (keys, exists) = session.keys().await?;
    Ok(opened.facts.uid_validity == current.facts.uid_validity && keys.len() as u64 == exists)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::MailboxId;
    use crate::message::Key;

    fn print(n: u8) -> Fingerprint {
        Fingerprint { octets: 1, exact: Digest([n; 32]), normal: Digest([n / 10; 32]) }
    }

    fn of(epoch: i64, key: i64, content: Option<u8>, looks: u64, flags: u64) -> Known {
        let id = ItemId { mailbox: MailboxId(1), epoch: EpochId(epoch), key: Key(key) };
        let (state, rule, given_up) = (State::Listed, None, false);
        Known { id, state, rule, fingerprint: content.map(print), given_up, number: None, looks, flags }
    }

    fn pairs(former: &[Known], listed: &[Known]) -> Vec<(i64, i64)> {
        let mut pairs: Vec<_> = pair(former, listed).into_iter().map(|(a, b)| (a.key.0, b.key.0)).collect();
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn a_number_of_the_account_pairs_messages_of_one_size_and_date_unread_and_each_once() {
        let numbered = |known: Known, number| Known { number: Some(number), ..known };
        let former = [
            numbered(of(1, 1, None, 7, 1), 5),
            numbered(of(2, 1, Some(11), 7, 1), 5),
            of(2, 2, Some(11), 7, 1),
        ];
        let listed =
            [of(3, 1, None, 7, 1), numbered(of(3, 2, None, 7, 0), 5), numbered(of(3, 3, None, 7, 1), 6)];
        assert_eq!(pair_by_number(&former, &listed), [(former[1].id, listed[1].id)]);
        let grown = [numbered(of(3, 2, None, 8, 1), 5)];
        assert_eq!(pair_by_number(&former, &grown), [], "it is read before it is believed to be the same");
    }

    #[test]
    fn octets_decide_and_date_and_flags_only_tell_equal_messages_apart() {
        let former = [of(1, 1, Some(11), 7, 1), of(1, 2, Some(11), 7, 2), of(1, 3, Some(11), 8, 2)];
        let listed = [of(2, 51, Some(11), 8, 2), of(2, 52, Some(11), 7, 2), of(2, 53, Some(11), 7, 1)];
        assert_eq!(pairs(&former, &listed), [(1, 53), (2, 52), (3, 51)]);
        // Same size and date, other octets: another message.
        assert_eq!(pairs(&former[..1], &[of(2, 51, Some(22), 7, 1)]), []);
        // Other date, same octets: the same one; other line ends, too.
        assert_eq!(pairs(&former[..1], &[of(2, 51, Some(11), 9, 9)]), [(1, 51)]);
        assert_eq!(pairs(&former[..1], &[of(2, 51, Some(12), 9, 9)]), [(1, 51)]);
    }

    #[test]
    fn what_was_never_read_is_paired_last_and_by_size_and_date() {
        let former = [of(1, 1, None, 7, 1), of(1, 2, Some(11), 7, 1), of(1, 3, None, 8, 1)];
        let listed = [of(2, 51, Some(11), 7, 1), of(2, 52, Some(33), 7, 1)];
        assert_eq!(pairs(&former, &listed), [(1, 52), (2, 51)]);
    }

    /// Simulation, seed 417441: two empty messages of other dates; the copied one cannot be read in the new epoch.
    #[test]
    fn a_message_that_looks_like_an_unread_one_is_not_a_copied_one_of_another_date() {
        let former = [of(1, 1, None, 7, 1), of(1, 2, Some(11), 8, 2)];
        let listed = [of(2, 51, Some(11), 7, 1), of(2, 52, None, 8, 2)];
        assert_eq!(pairs(&former, &listed), [(1, 51)]);
        assert_eq!(perhaps_copied(&former[1..], &listed[1..]), [listed[1].id]);
    }

    #[test]
    fn equal_messages_stay_a_multiset() {
        let former = [of(1, 1, Some(11), 7, 1), of(1, 2, Some(11), 7, 1), of(1, 3, Some(11), 7, 1)];
        let listed = [of(2, 51, Some(11), 7, 1), of(2, 52, Some(11), 7, 1)];
        assert_eq!(pairs(&former, &listed), [(1, 51), (2, 52)]);
        assert_eq!(pairs(&listed, &former), [(51, 1), (52, 2)]);
    }

    /// Simulation, seed 53659: an empty message that the target refused, and one of a single line end.
    #[test]
    fn what_was_given_up_says_nothing_of_a_message_with_other_octets() {
        let (copied, listed) = (of(1, 1, Some(11), 7, 0), [of(2, 51, Some(12), 8, 0)]);
        assert_eq!(pairs(std::slice::from_ref(&copied), &listed), [(1, 51)]);
        assert_eq!(pairs(&[Known { given_up: true, ..copied }], &listed), []);
    }

    /// Simulation, seed 65850.
    #[test]
    fn an_empty_message_is_not_one_of_a_line_end() {
        let empty = |of: Known| Known { fingerprint: Some(Fingerprint { octets: 0, ..print(12) }), ..of };
        let (copied, listed) = (of(1, 1, Some(11), 7, 0), of(2, 51, Some(12), 8, 0));
        assert_eq!(pairs(std::slice::from_ref(&copied), std::slice::from_ref(&listed)), [(1, 51)]);
        assert_eq!(pairs(&[copied], &[empty(listed)]), []);
    }

    #[test]
    fn what_two_epochs_list_and_neither_recognised_is_one_message() {
        let copied = Known { state: State::Stored, ..of(1, 1, Some(11), 7, 1) };
        // Listed by an epoch that ended before it was recognised.
        let former = [copied, of(1, 2, None, 8, 1), of(2, 51, None, 7, 1), of(2, 52, None, 8, 1)];
        let mut again: Vec<_> =
            listed_again(&former).into_iter().map(|(from, to)| (from.key.0, to.key.0)).collect();
        again.sort_unstable();
        assert_eq!(again, [(1, 51), (2, 52)]);
        // What was read in the later epoch is a message of its own.
        assert_eq!(listed_again(&[of(1, 1, Some(11), 7, 1), of(2, 51, Some(11), 7, 1)]), []);
    }

    #[test]
    fn what_cannot_be_read_and_looks_like_a_copied_one_is_not_new() {
        let former = [of(1, 1, Some(11), 7, 1)];
        let listed = [of(2, 51, None, 7, 1), of(2, 52, None, 8, 1)];
        assert_eq!(perhaps_copied(&former, &listed), [listed[0].id]);
        assert_eq!(perhaps_copied(&former, &[of(2, 51, Some(22), 7, 1)]), []);
        assert_eq!(perhaps_copied(&[of(1, 1, None, 7, 1)], &[of(2, 51, None, 7, 1)]), []);
    }
}
