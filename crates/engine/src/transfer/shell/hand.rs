//! Messages in hand: looked at when they arrive, changed by the ladder, given up.

use super::super::brain::{Event, Ready};
use super::super::ladder;
use super::super::reading::Look;
use super::{InHand, Shell};
use crate::context::at;
use crate::end::{Fetched, Source, Target, TargetSession};
use crate::error::Error;
use crate::journal::{Change, Item, ItemId, Journal, Ladder, Reason, Sent, Side, State};
use crate::progress::Progress;

impl<S: Source, T: Target, J: Journal> Shell<'_, S, T, J> {
    pub(super) async fn take_in_hand(&mut self, item: Item, fetched: Fetched) -> Result<(), Error> {
        self.ctx.probe.pass("fetched").await;
        let attempts = self.ctx.settings.limits.read_attempts_max;
        let looked = self.reading.look(self.job, &item, &fetched.body, self.way, attempts).await;
        match looked.map_err(|e| at(Side::Source, e))? {
            Look::Take(notes) => {
                for note in notes {
                    self.ctx.note_once(note).await?;
                }
            }
            Look::Again => {
                self.end.again.insert(item.id.key);
                return Ok(());
            }
            Look::Stub(reason) => return self.keep_stub(item, fetched, reason).await,
        }
        let measured = *fetched.body.measured();
        // The flags seen with the octets are the ones sent, and the base for later merges.
        let flags = fetched.flags.unwrap_or(item.flags).sendable();
        let sent = Sent {
            fetched: measured.fingerprint,
            sent: measured.fingerprint,
            flags,
            internal_date: item.internal_date,
            ladder: Ladder::default(),
        };
        let ready = Ready {
            item: item.id,
            octets: measured.fingerprint.octets,
            lone_lf: measured.lone_lf,
            keywords: sent.flags.has_keywords(),
            date: sent.internal_date.is_some(),
            ladder: Ladder::default(),
            refusals: 0,
        };
        let limit = self.sessions.target.as_ref().and_then(|t| t.abilities().append_limit_octets);
        self.hand.insert(item.id, InHand { body: fetched.body, sent, refused: false });
        match limit.filter(|limit| ready.octets > *limit) {
            Some(limit) => self.too_big(ready, limit).await,
            None => self.act(Event::Ready(ready)).await,
        }
    }

    /// The server announced that it will not take the message (APPENDLIMIT, RFC 7889): it is not sent.
    async fn too_big(&mut self, ready: Ready, limit: u64) -> Result<(), Error> {
        let moves = [Change::to(ready.item, State::Fetched), Change::to(ready.item, State::Refused)];
        self.ctx.journal.change(&moves).await?;
        let text = format!("{} octets, the new server takes at most {limit} (APPENDLIMIT)", ready.octets);
        self.give_up(ready.item, Reason::new("too_big", text)).await
    }

    /// The source gives something else in the place of a message: it is kept for a person and not sent.
    async fn keep_stub(&mut self, item: Item, fetched: Fetched, reason: Reason) -> Result<(), Error> {
        self.ctx.keep_original(&self.job.record, item.id, &fetched.body).await?;
        self.ctx.journal.change(&[Change::to(item.id, State::Unreadable)]).await?;
        self.give_up(item.id, reason).await
    }

    pub(super) async fn climb(&mut self, ready: Ready, step: Ladder) -> Result<Event, Error> {
        self.ctx.probe.pass("ladder").await;
        let mut ready = Ready { ladder: ready.ladder.with(step), ..ready };
        if let Some(hand) = self.hand.get_mut(&ready.item) {
            if step == Ladder::LINE_ENDS {
                hand.body =
                    ladder::line_ends(&hand.body, &self.ctx.intake).await.map_err(|e| at(Side::Target, e))?;
                hand.sent.sent = hand.body.measured().fingerprint;
                ready.octets = hand.sent.sent.octets;
                ready.lone_lf = false;
            } else if step == Ladder::NO_KEYWORDS {
                hand.sent.flags = hand.sent.flags.without_keywords();
                ready.keywords = false;
            } else {
                hand.sent.internal_date = None;
                ready.date = false;
            }
            hand.sent.ladder = ready.ladder;
        }
        Ok(Event::Laddered(ready))
    }

    pub(super) async fn give_up(&mut self, item: ItemId, reason: Reason) -> Result<(), Error> {
        if let Some(hand) = self.hand.remove(&item) {
            self.ctx.keep_original(&self.job.record, item, &hand.body).await?;
        }
        self.end.settled += 1;
        let told = Progress::Exception {
            mailbox: item.mailbox.0,
            key: item.key.0,
            kind: reason.kind.clone(),
            text: reason.text.clone(),
        };
        self.ctx.journal.change(&[Change::to(item, State::Exception).because(reason)]).await?;
        self.ctx.bus.tell(told);
        Ok(())
    }
}
