//! Reading back without a pause: while the answers of one portion come, the next one is on its way to the server.

use super::portion::{
    Portion, TOGETHER_MAILBOXES, TOGETHER_MESSAGES, TOGETHER_OCTETS, compare, confirm_damage, write,
};
use super::unread::Round;
use crate::context::{Context, at};
use crate::end::{Depth, ReadEvent, Seen, Source, Target, TargetSession, ToRead};
use crate::error::{EndError, Error};
use crate::journal::{Change, Journal, Side};
use crate::message::Key;
use crate::quirks;
use crate::transfer::job::{Losses, Sessions};
use crate::transfer::resolve::pieces;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Portions of one flight: what is known of each stays until it is over.
const FLIGHT_PORTIONS_MAX: usize = 1000;
/// Results written to the journal at once, unless they are of more octets than are asked for together.
const RESULTS_AT_ONCE: usize = 256;
/// Answers on their way to be compared.
const SEEN_QUEUED: usize = 64;

/// What a reader does when something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtTrouble {
    /// It waits, connects again, and looks twice at what differs.
    GoesOn,
    /// It ends at once: others read the rest, and what differs again.
    Ends,
}

/// Reads what a round gives and writes what was found. Returns how many messages were answered for; `None` when it ended for trouble.
pub(super) async fn read_back<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    round: &mut Round<'_, S, T, J>,
    at_trouble: AtTrouble,
) -> Result<Option<u64>, Error> {
    let (mut losses, mut portions) = (Losses::new(ctx), Vec::new());
    let (mut read, mut before) = (0, 0);
    loop {
        ctx.check_cancel()?;
        let is_left_over = !portions.is_empty();
        if !is_left_over {
            let Some(more) = round.next().await? else {
                ctx.check_cancel()?;
                return Ok(Some(read));
            };
            (portions, losses) = (more, Losses::new(ctx));
        }
        let session = sessions.target(ctx).await?;
        let flight = Flight::new(ctx, &mut portions, round, &mut read);
        // What goes wrong is tried alone: what else is read would be taken for progress.
        let flight = if is_left_over { flight.of_these_alone() } else { flight };
        if let Err(error) = fly(session, flight).await? {
            if at_trouble == AtTrouble::Ends {
                return leaves(ctx, sessions, error);
            }
            if read > std::mem::replace(&mut before, read) {
                losses.reset();
            }
            let refused = matches!(error, EndError::Refused { .. }) && error.asks_for_patience().is_none();
            match losses.at_target(ctx, sessions, error).await {
                Ok(()) => {}
                Err(Error::Target(error)) if refused => {
                    let open = portions.iter_mut().find(|portion| !portion.is_over);
                    let mailbox = open.as_ref().map(|portion| &portion.job.target.text);
                    tracing::warn!(%error, ?mailbox, "cannot read back");
                    open.into_iter().for_each(|portion| portion.is_over = true);
                }
                Err(error) => return Err(error),
            }
        }
        if portions.iter().any(Portion::disagrees) {
            if at_trouble == AtTrouble::Ends {
                return Ok(None);
            }
            // On a new connection, the same for all of them.
            sessions.abort_target();
            for portion in &mut portions {
                confirm_damage(ctx, sessions, portion).await?;
            }
        }
        portions.retain(|portion| !portion.is_over);
    }
}

/// Who does not go on ends its connection where that is lost, or where the server has too many; what else was refused is met by those
/// who go on.
fn leaves<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    error: EndError,
) -> Result<Option<u64>, Error> {
    if !error.is_connection() && !matches!(error, EndError::Refused { .. }) {
        return Err(at(Side::Target, error));
    }
    tracing::debug!(%error, "what is left is read back by others");
    if quirks::asks_for_less(&error) {
        ctx.seats.throttled(Side::Target);
    }
    if error.is_connection() {
        sessions.abort_target();
    }
    Ok(None)
}

/// Asks for what is not answered, and for what the round has beside it, as long as nothing is refused and all agrees. `Err` inside:
/// why something stays open.
async fn fly<S: Source, T: Target, J: Journal>(
    session: &mut T::Session,
    mut flight: Flight<'_, '_, S, T, J>,
) -> Result<Result<(), EndError>, Error> {
    let (ask, wanted) = mpsc::unbounded_channel();
    let (tx, seen) = mpsc::channel(SEEN_QUEUED);
    let (came, compared) = tokio::join!(session.read_each(wanted, tx), flight.compare(ask, seen));
    compared?;
    let refused = flight.refused;
    Ok(came.and(refused.map_or(Ok(()), Err)))
}

/// UIDs of a portion that are asked for at once.
struct Piece {
    /// The place of the portion.
    of: usize,
    uids: Vec<Key>,
    /// That come for them: none where facts alone are asked for.
    octets: u64,
}

/// What is asked for and not answered.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    messages: usize,
    octets: u64,
}

impl Open {
    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.octets += other.octets;
    }

    fn take(&mut self, other: Self) {
        self.messages = self.messages.saturating_sub(other.messages);
        self.octets = self.octets.saturating_sub(other.octets);
    }
}

struct Flight<'f, 'a, S, T, J> {
    ctx: &'f Context<S, T, J>,
    portions: &'f mut Vec<Portion<'a>>,
    round: &'f mut Round<'a, S, T, J>,
    /// The round gives nothing more.
    is_last: bool,
    /// The most octets of a piece, where they move no faster than a rate.
    octets_max: Option<u64>,
    /// To be asked for.
    queue: VecDeque<Piece>,
    /// Asked for, in order: the place of the portion, and what of it is open.
    asked: Vec<(usize, Open)>,
    /// Of those asked for, the ones that are not over.
    pieces: usize,
    open: Open,
    refused: Option<EndError>,
    /// Something was read otherwise than it was sent.
    differs: bool,
    /// What is not written down, with the octets that were fetched.
    changes: Vec<(Change, u64)>,
    /// Octets of the messages that are compared and not written down.
    unwritten: u64,
    read: &'f mut u64,
}

impl<'f, 'a, S: Source, T: Target, J: Journal> Flight<'f, 'a, S, T, J> {
    fn new(
        ctx: &'f Context<S, T, J>,
        portions: &'f mut Vec<Portion<'a>>,
        round: &'f mut Round<'a, S, T, J>,
        read: &'f mut u64,
    ) -> Self {
        let mut flight = Self {
            ctx,
            portions,
            round,
            is_last: false,
            octets_max: ctx.pace.target_reading.piece_octets(),
            queue: VecDeque::new(),
            asked: Vec::new(),
            pieces: 0,
            open: Open::default(),
            refused: None,
            differs: false,
            changes: Vec::new(),
            unwritten: 0,
            read,
        };
        (0..flight.portions.len()).for_each(|of| flight.queue(of));
        flight
    }

    /// Nothing more of the round goes with them.
    fn of_these_alone(self) -> Self {
        Self { is_last: true, ..self }
    }

    /// Where no rate cuts it, a portion is one piece; where one does, one piece is on its way at a time.
    fn queue(&mut self, of: usize) {
        let portion = &mut self.portions[of];
        let with_octets = portion.depth == Depth::Octets;
        let octets_max = self.octets_max.filter(|_| with_octets);
        let piece = |piece: &[(Key, u64)]| {
            let octets = piece.iter().filter(|_| with_octets).map(|(_, octets)| octets).sum();
            Piece { of, uids: piece.iter().map(|(uid, _)| *uid).collect(), octets }
        };
        let open = portion.open();
        portion.is_over = open.is_empty();
        self.queue.extend(pieces(&open, octets_max).into_iter().map(piece));
    }

    /// Asks, and compares what comes, until all that was asked for is answered and nothing more is asked for.
    async fn compare(
        &mut self,
        ask: mpsc::UnboundedSender<ToRead>,
        mut seen: mpsc::Receiver<ReadEvent>,
    ) -> Result<(), Error> {
        loop {
            self.ask(&ask).await?;
            if self.pieces == 0 {
                break;
            }
            match seen.recv().await {
                Some(ReadEvent::Seen(at, seen)) => self.seen(at, &seen),
                Some(ReadEvent::Done(at, read)) => self.done(at, read),
                // The connection is lost.
                None => break,
            }
            if self.changes.len() >= RESULTS_AT_ONCE || self.unwritten >= TOGETHER_OCTETS {
                self.write().await?;
            }
        }
        self.write().await
    }

    /// Nothing more is asked for: what differs is read on another connection next, and a refusal, or whoever stops the run, is heeded
    /// when what is on its way has come.
    fn is_ending(&self) -> bool {
        self.differs || self.refused.is_some() || self.ctx.cancel.is_cancelled()
    }

    async fn ask(&mut self, ask: &mpsc::UnboundedSender<ToRead>) -> Result<(), Error> {
        while !self.is_ending() {
            if self.octets_max.is_some() && self.pieces > 0 {
                break;
            }
            let Some(piece) = self.queue.pop_front() else {
                if !self.another().await? {
                    break;
                }
                continue;
            };
            let portion = &self.portions[piece.of];
            if self.octets_max.is_some() && portion.depth == Depth::Octets {
                match self.ctx.pace.target_reading.turn().await {
                    Ok(turn) => turn.pay(piece.octets),
                    Err(stopped) => {
                        self.refused = Some(stopped);
                        break;
                    }
                }
            }
            let open = Open { messages: piece.uids.len(), octets: piece.octets };
            self.open.add(open);
            self.pieces += 1;
            self.asked.push((piece.of, open));
            // Who is gone says why.
            let _ = ask.send(portion.to_read(piece.uids));
        }
        Ok(())
    }

    /// Takes more of the round as long as there is room for it.
    async fn another(&mut self) -> Result<bool, Error> {
        let has_room = self.open.octets <= TOGETHER_OCTETS
            && self.open.messages <= TOGETHER_MESSAGES
            && self.pieces <= TOGETHER_MAILBOXES
            && self.portions.len() < FLIGHT_PORTIONS_MAX;
        if self.is_last || !has_room {
            return Ok(false);
        }
        let more = self.round.next().await?;
        self.is_last = more.is_none();
        for portion in more.into_iter().flatten() {
            self.portions.push(portion);
            self.queue(self.portions.len() - 1);
        }
        Ok(!self.is_last)
    }

    fn seen(&mut self, at: usize, seen: &Seen) {
        let Some((of, open)) = self.asked.get_mut(at) else { return };
        let portion = &mut self.portions[*of];
        let before = portion.answered();
        self.changes.extend(compare(portion, seen));
        if portion.answered() > before {
            let came = Open { messages: 1, octets: portion.octets_read(seen.uid) };
            open.take(came);
            self.open.take(came);
            self.unwritten += came.octets;
            *self.read += 1;
        }
        self.differs |= portion.disagrees();
    }

    fn done(&mut self, at: usize, read: Result<bool, EndError>) {
        let Some((of, open)) = self.asked.get_mut(at) else { return };
        let of = *of;
        self.open.take(std::mem::take(open));
        self.pieces -= 1;
        match read {
            Ok(true) => {}
            // Nothing of it is there under this number.
            Ok(false) => self.queue.retain(|piece| piece.of != of),
            Err(error) => {
                self.refused.get_or_insert(error);
                return;
            }
        }
        self.portions[of].is_over = self.queue.iter().all(|piece| piece.of != of);
    }

    async fn write(&mut self) -> Result<(), Error> {
        self.unwritten = 0;
        write(self.ctx, &mut self.changes).await?;
        let written = self.portions.iter_mut().filter(|portion| portion.is_over && !portion.disagrees());
        written.for_each(Portion::forget);
        Ok(())
    }
}
