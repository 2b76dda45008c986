//! Messages that the source does not give: suspected, asked for alone once nothing else is left, read another way, and at
//! last given up, one by one. The rest of the mailbox does not wait for them.

use super::feed::Wish;
use super::job::{Job, Losses, Pages, Sessions};
use super::replace;
use super::shell::PassEnd;
use crate::context::Context;
use crate::diff::{Step, walk};
use crate::end::{Source, SourceSession, Target, Way};
use crate::error::Error;
use crate::journal::{Change, EpochId, ItemId, Journal, Reason, Side, State};
use crate::message::Key;
use crate::progress::Progress;
use std::collections::{BTreeMap, BTreeSet};

/// One suspect.
#[derive(Clone, Debug, Default)]
struct Suspect {
    /// Times that asking for it failed, as far as it is certain that it was to blame.
    failures: u32,
    /// What the source last said of it; `None` when the connection broke.
    words: Option<String>,
    /// It breaks connections: it is not asked for in other ways.
    breaks: bool,
    /// It was read in parts, or that was tried.
    tried_parts: bool,
}

/// The messages of a mailbox that could not be read yet.
#[derive(Debug, Default)]
pub struct Suspects {
    by_key: BTreeMap<Key, Suspect>,
    /// To be asked for in parts by the next pass.
    parts: BTreeSet<Key>,
    /// Messages given up because they break connections, since the last one that could be copied.
    broken: u32,
}

impl Suspects {
    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Messages given up one after the other, with none copied between, because they break connections: beyond a
    /// certain number it is not the messages.
    pub fn broken_in_a_row(&self) -> u32 {
        self.broken
    }

    /// Pure: what a pass says of the suspects. A connection that broke in an attempt to read in parts ends the attempts.
    pub fn pass_ended(&mut self, end: &PassEnd, way: Way, attempts_max: u32) {
        if end.settled > 0 {
            self.broken = 0;
        }
        // How often a message is read again is for what was read of it to say (`reading`): that it came is no failure.
        for key in &end.again {
            self.by_key.entry(*key).or_default();
        }
        for (key, words) in &end.unread {
            let suspect = self.by_key.entry(*key).or_default();
            suspect.failures += 1;
            // Of a message that is read in parts the server's first words say more.
            let first = suspect.words.take().filter(|_| way == Way::Parts);
            suspect.words = first.or_else(|| Some(words.clone()));
        }
        let Some((_, blame)) = &end.source_lost else { return };
        for key in &blame.keys {
            let suspect = self.by_key.entry(*key).or_default();
            if blame.sure {
                suspect.failures = if way == Way::Parts { attempts_max } else { suspect.failures + 1 };
                suspect.breaks = true;
                suspect.words = None;
            }
        }
    }

    /// Decides about those that failed often enough: gone with proof, to be read in parts, or exceptions. In another epoch
    /// nothing is decided. True when anything was.
    pub async fn settle<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        sessions: &mut Sessions<S, T>,
        job: &Job,
        epoch: EpochId,
    ) -> Result<bool, Error> {
        self.parts.clear();
        let limit = ctx.settings.limits.read_attempts_max;
        if self.by_key.values().all(|s| s.failures < limit) {
            return Ok(false);
        }
        self.forget_copied(ctx, job, epoch).await?;
        let exhausted: Vec<Key> =
            self.by_key.iter().filter(|(_, s)| s.failures >= limit).map(|(k, _)| *k).collect();
        if exhausted.is_empty() {
            return Ok(false);
        }
        let Some(gone) = prove_gone(ctx, sessions, job, epoch, &exhausted).await? else { return Ok(false) };
        for key in exhausted {
            let item = ItemId { mailbox: job.record.id, epoch, key };
            let Some(suspect) = self.by_key.get_mut(&key) else { continue };
            if gone.contains(&key) {
                replace::gone(ctx, vec![is_gone(item)]).await?;
            } else if !suspect.breaks && !suspect.tried_parts {
                suspect.tried_parts = true;
                self.parts.insert(key);
                continue;
            } else {
                self.broken += u32::from(suspect.breaks);
                give_up(ctx, item, suspect).await?;
            }
            self.by_key.remove(&key);
        }
        Ok(true)
    }

    /// What was copied after all is no suspect any more. True when every message that is left to copy is one.
    async fn forget_copied<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        job: &Job,
        epoch: EpochId,
    ) -> Result<bool, Error> {
        let (mut left, mut others) = (BTreeSet::new(), false);
        let mut pages = Pages::new(ctx, job.record.id, &[State::Listed]);
        while let Some(page) = pages.next().await? {
            for id in page.iter().filter(|i| i.id.epoch == epoch && !job.leaves(i)).map(|i| i.id) {
                if self.by_key.contains_key(&id.key) {
                    left.insert(id.key);
                } else {
                    others = true;
                }
            }
        }
        self.by_key.retain(|key, _| left.contains(key));
        Ok(!others)
    }

    /// What the next pass asks for: everything but the suspects while there is anything else, then those that are to
    /// be read in parts, then the suspects that failed least, each alone.
    pub async fn next_wish<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        job: &Job,
        epoch: EpochId,
    ) -> Result<Wish, Error> {
        let mut wish = Wish::new(epoch);
        wish.without = self.by_key.keys().copied().collect();
        if self.by_key.is_empty() {
            return Ok(wish);
        }
        if !self.parts.is_empty() {
            wish.only = std::mem::take(&mut self.parts);
            wish.way = Way::Parts;
            return Ok(wish);
        }
        if !self.forget_copied(ctx, job, epoch).await? {
            return Ok(wish);
        }
        let least = self.by_key.values().map(|s| s.failures).min().unwrap_or(0);
        wish.only = self.by_key.iter().filter(|(_, s)| s.failures == least).map(|(k, _)| *k).collect();
        Ok(wish)
    }
}

async fn give_up<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    item: ItemId,
    suspect: &Suspect,
) -> Result<(), Error> {
    let broke = || "the connection broke each time it was asked for".to_owned();
    cannot_be_read(ctx, item, suspect.words.clone().unwrap_or_else(broke)).await
}

fn is_gone(item: ItemId) -> Change {
    let reason = Reason::new("gone", "missing in two complete listings of the old server");
    Change::to(item, State::GoneAtSource).because(reason)
}

/// What becomes of messages that the source does not give and that must not be asked for again: gone with proof, or
/// exceptions with this text.
pub async fn gone_or_unreadable<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    items: &[ItemId],
    text: &str,
) -> Result<(), Error> {
    let Some(epoch) = items.first().map(|id| id.epoch) else { return Ok(()) };
    let keys: Vec<Key> = items.iter().map(|id| id.key).collect();
    let gone = prove_gone(ctx, sessions, job, epoch, &keys).await?.unwrap_or_default();
    for item in items {
        if gone.contains(&item.key) {
            replace::gone(ctx, vec![is_gone(*item)]).await?;
        } else {
            cannot_be_read(ctx, *item, text.to_owned()).await?;
        }
    }
    Ok(())
}

/// Makes an exception of a message that the source does not give, and says so.
async fn cannot_be_read<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    item: ItemId,
    text: String,
) -> Result<(), Error> {
    let moves = [
        Change::to(item, State::Unreadable),
        Change::to(item, State::Exception).because(Reason::new("unreadable", text.clone())),
    ];
    ctx.journal.change(&moves).await?;
    let (mailbox, key, kind) = (item.mailbox.0, item.key.0, "unreadable".to_owned());
    ctx.bus.tell(Progress::Exception { mailbox, key, kind, text });
    Ok(())
}

/// Which of these messages are missing from two complete listings on two connections (law 7); `None` when the
/// mailbox has another epoch, which says nothing of them.
async fn prove_gone<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    epoch: EpochId,
    keys: &[Key],
) -> Result<Option<BTreeSet<Key>>, Error> {
    let known = ctx.journal.epochs(job.record.id, Side::Source).await?;
    let Some(epoch) = known.iter().find(|e| e.id == epoch) else { return Ok(None) };
    let mut gone: BTreeSet<Key> = keys.iter().copied().collect();
    #[cfg(mailhaul_mutants)]
    if crate::mutants::Mutant::AbsenceIsGone.is_on() {
        return Ok(Some(gone));
    }
    for _ in 0..2 {
        sessions.source = None;
        let mut losses = Losses::new(ctx);
        let listing = loop {
            match sessions.source(ctx).await?.open_and_list(&job.record.source.wire).await {
                Ok(listing) => break listing,
                Err(error) => losses.at_source(ctx, sessions, error).await?,
            }
        };
        if listing.opened.facts.uid_validity != epoch.facts.uid_validity {
            return Ok(None);
        }
        if !listing.is_complete() {
            return Ok(Some(BTreeSet::new()));
        }
        let missing: BTreeSet<Key> = walk(gone.iter().copied(), listing.keys)
            .filter_map(|s| if let Step::OnlyExpected(k) = s { Some(k) } else { None })
            .collect();
        gone = missing;
    }
    Ok(Some(gone))
}

#[cfg(test)]
mod tests {
    use super::super::feed::Blame;
    use super::*;
    use crate::error::EndError;

    fn lost(key: Key) -> PassEnd {
        let error = EndError::Lost { server: "old".into(), doing: "FETCH", what: "EOF".into() };
        PassEnd { source_lost: Some((error, Blame { keys: vec![key], sure: true })), ..PassEnd::default() }
    }

    /// Simulation, seed 10128: a source whose sizes are all too large, and connections lost while the target forgot what
    /// had been read twice.
    #[test]
    fn to_be_read_again_is_no_failure_of_a_message() {
        let (key, limit) = (Key(4), 3);
        let mut suspects = Suspects::default();
        let again = || PassEnd { again: BTreeSet::from([key]), ..PassEnd::default() };
        for end in [again(), lost(key), again(), lost(key), again()] {
            suspects.pass_ended(&end, Way::Whole, limit);
        }
        assert_eq!(suspects.by_key[&key].failures, 2, "the two lost connections");
        suspects.pass_ended(&lost(key), Way::Whole, limit);
        assert_eq!(suspects.by_key[&key].failures, limit);
    }
}
