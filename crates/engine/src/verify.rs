//! Reads back what was stored, on a connection that did not append it, and compares it with what was fetched
//! (law 9). Runs beside the transfer and once more at its end; at last one complete UID listing of each mailbox
//! says what is there (law 7).

mod flight;
mod ghosts;
mod hold;
mod moved;
mod news;
mod portion;
mod presence;
mod replaced;
mod unread;
mod weigh;

pub use news::News;
pub use presence::{Looked, look_at_each, presence};
pub use unread::{Unread, Writer};

use crate::config::Level;
use crate::context::Context;
use crate::end::{Depth, Source, Target};
use crate::error::Error;
use crate::journal::{EpochId, Item, Journal, Ladder, Origin, Side, State};
use crate::message::Key;
use crate::seats::Seat;
use crate::transfer::job::{Job, Pages, Sessions};
use crate::transfer::replace;
use crate::transfer::unchanged::{self, Told};
use flight::{AtTrouble, read_back};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use unread::Round;

/// How often the verifier looks for work when nobody rings.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Which items a sweep reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What was stored and not read back yet.
    New,
    /// Everything that has a place and digests, as `mailhaul verify` does.
    All,
}

impl Scope {
    fn states(self) -> &'static [State] {
        match self {
            Self::New => &[State::Stored],
            Self::All => &[State::Stored, State::Verified, State::AlreadyThere, State::Merged],
        }
    }
}

/// Reads back beside the transfer, mailbox after mailbox, until `done` is set and nothing is left that can be
/// read. Has its own session and never appends.
pub async fn follow<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    unread: &Unread,
    done: &CancellationToken,
) -> Result<Option<T::Session>, Error> {
    // Without a connection of its own all is read back at the end.
    let Some((mut sessions, mut seat)) = connection_beside(ctx, done).await else { return Ok(None) };
    loop {
        let last_round = done.is_cancelled();
        let read = read_round(ctx, &mut sessions, unread, Scope::New, ctx.settings.level).await?;
        if last_round {
            break;
        }
        if seat.is_surplus() {
            sessions.close().await;
            let Some(another) = connection_beside(ctx, done).await else { return Ok(None) };
            (sessions, seat) = another;
        } else if read == 0 {
            tokio::select! {
                () = ctx.stored.more() => {}
                () = done.cancelled() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }
    Ok(sessions.target)
}

/// Reads back beside [`follow`] what others than `writer` have appended, on the target session of that one, which has nothing more
/// to copy; until nothing is left for it, the server wants the connection back, or something goes wrong: the others read on, and what
/// it did not read, or what differs, is read by the sweep at the end. Where a rate or a day holds, more readers are no faster.
pub async fn help<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    seats: &mut [Seat],
    (unread, writer): (&Unread, Writer),
) -> Result<(), Error> {
    if ctx.pace.target_reading.piece_octets().is_some() {
        return Ok(());
    }
    while sessions.target.is_some() && !seats.iter_mut().any(Seat::is_surplus) {
        let mut round = Round::new(ctx, unread, (Scope::New, ctx.settings.level)).of_a_helper(writer, seats);
        match read_back(ctx, sessions, &mut round, AtTrouble::Ends).await? {
            None | Some(0) => break,
            Some(_) => {}
        }
    }
    Ok(())
}

/// Reads what is there now and nobody else reads. Returns how many items were read.
async fn read_round<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    unread: &Unread,
    scope: Scope,
    level: Level,
) -> Result<u64, Error> {
    if level == Level::Counts {
        return Ok(0);
    }
    let mut round = Round::new(ctx, unread, (scope, level));
    Ok(read_back(ctx, sessions, &mut round, AtTrouble::GoesOn).await?.unwrap_or(0))
}

/// A connection to the target beside those that append, as soon as it is given; `None` when `done` comes before it.
async fn connection_beside<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    done: &CancellationToken,
) -> Option<(Sessions<S, T>, Seat)> {
    let connecting = async {
        loop {
            let seat = ctx.seats.another(&[Side::Target]).and_then(|mut seats| seats.pop());
            if let Some(seat) = seat
                && let Some((session, seat)) = ctx.another_target(seat).await
            {
                return (Sessions { source: None, target: Some(session) }, seat);
            }
            ctx.seats.more_soon(&[Side::Target]).await;
        }
    };
    tokio::select! {
        biased;
        () = done.cancelled() => None,
        () = ctx.cancel.cancelled() => None,
        connected = connecting => Some(connected),
    }
}

/// Reads back one mailbox to `level`. Returns how many items were read.
pub async fn sweep<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    scope: Scope,
    level: Level,
) -> Result<u64, Error> {
    let unread = Unread::new(std::slice::from_ref(job));
    read_round(ctx, sessions, &unread, scope, level).await
}

/// True when nothing is left to be proven of a mailbox in this run: every message was read back as deep as is asked for,
/// nothing is held, and the target mailbox is as its last complete listing saw it, which then stands for this run.
pub async fn is_proven<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    told: &Told,
) -> Result<bool, Error> {
    let Some(sighting) = unchanged::as_listed(ctx, job, told).await? else { return Ok(false) };
    if hold::is_held(ctx, job).await? || replace::is_open(ctx, job).await? {
        return Ok(false);
    }
    if !ctx.journal.unplaced(job.record.id, None, 1).await?.is_empty()
        || is_unread(ctx, job, ctx.settings.level).await?
    {
        return Ok(false);
    }
    ctx.journal.save_sighting(ctx.run, &sighting).await?;
    Ok(true)
}

/// True when something of a mailbox is stored and not read back as deep as `level` asks for.
pub async fn is_unread<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    job: &Job,
    level: Level,
) -> Result<bool, Error> {
    let mut stored = Pages::new(ctx, job.record.id, &[State::Stored]);
    while level != Level::Counts
        && let Some(page) = stored.next().await?
    {
        if !by_depth(page, job.target_epoch.id, Scope::New, level).is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Sorts a page by how deep its items are read; those that need not be, or cannot be, are left out. Messages that the server keeps
/// as one claim one UID: each is compared, in a part of its own.
fn by_depth(
    page: Vec<Item>,
    epoch: EpochId,
    scope: Scope,
    level: Level,
) -> Vec<(Depth, BTreeMap<Key, Item>)> {
    let mut parts: Vec<(Depth, BTreeMap<Key, Item>)> = Vec::new();
    for item in page {
        let Some(place) = item.place.filter(|p| p.epoch == epoch) else { continue };
        let Some(sent) = &item.sent else { continue };
        // At level `facts`, what was found by content or changed on its way is still read in full.
        let special = item.origin == Some(Origin::Found) || sent.ladder != Ladder::default();
        let depth = if level == Level::Octets || special { Depth::Octets } else { Depth::Facts };
        if depth == Depth::Facts && scope == Scope::New && item.read_back.is_some() {
            continue;
        }
        let has_room =
            |part: &&mut (Depth, BTreeMap<_, _>)| part.0 == depth && !part.1.contains_key(&place.uid);
        match parts.iter_mut().find(has_room) {
            Some((_, items)) => _ = items.insert(place.uid, item),
            None => parts.push((depth, BTreeMap::from([(place.uid, item)]))),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{ItemId, MailboxId, Place, Sent};
    use crate::message::{Digest, Fingerprint, Flags};

    #[test]
    fn of_two_messages_that_the_server_keeps_as_one_each_is_compared() {
        let print = Fingerprint { octets: 3, exact: Digest([1; 32]), normal: Digest([1; 32]) };
        let (flags, ladder) = (Flags::default(), Ladder::default());
        let sent = Sent { fetched: print, sent: print, flags, internal_date: None, ladder };
        let stored = |key, state| Item {
            state,
            place: Some(Place { epoch: EpochId(2), uid: Key(5) }),
            sent: Some(Box::new(sent.clone())),
            ..Item::listed(ItemId { mailbox: MailboxId(1), epoch: EpochId(1), key: Key(key) }, 3)
        };
        let page = vec![stored(1, State::Verified), stored(2, State::Merged)];
        let parts = by_depth(page, EpochId(2), Scope::All, Level::Octets);
        let read: Vec<i64> = parts.iter().flat_map(|(_, items)| items.values().map(|i| i.id.key.0)).collect();
        assert_eq!(read, [1, 2]);
    }
}
