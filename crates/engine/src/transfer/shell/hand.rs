//! Messages in hand: looked at when they arrive, changed by the ladder, given up.

use super::super::brain::{Event, Ready};
use super::super::encode::{self, encode};
use super::super::ladder;
use super::super::reading::Look;
use super::super::spool::Intake;
use super::super::wrap::wrap;
use super::{InHand, Shell};
use crate::context::at;
use crate::end::{Fetched, Source, Target, TargetSession};
use crate::error::{Error, Refusal};
use crate::journal::{Change, Item, ItemId, Journal, Ladder, Note, Reason, Sent, Side, State};
use crate::message::Flags;
use crate::progress::Progress;
use std::sync::atomic::Ordering;

impl InHand {
    /// What was left away against a refusal that was about the octets goes again.
    fn goes_whole(&mut self, ready: Ready) -> Ready {
        self.sent = Sent { sent: self.sent.sent, ..self.first.clone() };
        let (keywords, date) = (self.sent.flags.has_keywords(), self.sent.internal_date.is_some());
        Ready { keywords, date, refusals: 0, ..ready }
    }

    /// T8: the message as it was fetched, inside a cover message.
    async fn cover(&mut self, ready: Ready, intake: &Intake) -> Result<Ready, Error> {
        let mut ready = self.goes_whole(Ready { ladder: Ladder::WRAPPED, encodable: false, ..ready });
        let original = self.original.as_ref().unwrap_or(&self.body);
        let wrapped = wrap(original, self.sent.internal_date.as_ref(), intake).await;
        ready.octets = self.becomes(wrapped.map_err(|e| at(Side::Target, e))?);
        (ready.lone_lf, self.sent.ladder) = (false, ready.ladder);
        Ok(ready)
    }

    /// T4, once.
    async fn encode(&mut self, mut ready: Ready) -> Result<Ready, Error> {
        ready.encodable = false;
        if let Some(encoded) = encode(&self.body).await.map_err(|e| at(Side::Target, e))? {
            ready.octets = self.becomes(encoded);
            ready.ladder = ready.ladder.with(Ladder::ENCODED);
            self.sent.ladder = ready.ladder;
        }
        Ok(ready)
    }
}

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
        let flags = self.storable(fetched.flags.unwrap_or(item.flags).sendable()).await?;
        let sent = Sent {
            fetched: measured.fingerprint,
            sent: measured.fingerprint,
            flags,
            internal_date: item.internal_date,
            ladder: Ladder::default(),
        };
        let mut ready = Ready {
            item: item.id,
            octets: measured.fingerprint.octets,
            lone_lf: measured.lone_lf,
            keywords: sent.flags.has_keywords(),
            date: sent.internal_date.is_some(),
            encodable: false,
            ladder: Ladder::default(),
            refusals: 0,
        };
        let limit = self.sessions.target.as_ref().and_then(|t| t.abilities().append_limit_octets);
        let mut hand =
            InHand { body: fetched.body, original: None, first: sent.clone(), sent, refused: false };
        let replacing = self.replacing.get(&item.id).copied();
        if self.ctx.settings.repair || replacing.is_some() {
            ready.encodable = encode::applies(&hand.body, limit).await.map_err(|e| at(Side::Target, e))?;
            let munges = self.ctx.munges_headers.load(Ordering::Relaxed);
            if ready.encodable && munges && replacing != Some(true) {
                ready = hand.encode(ready).await?;
            } else if replacing.is_some() {
                ready = hand.cover(ready, &self.ctx.intake).await?;
            }
        }
        self.hand.insert(item.id, hand);
        match limit.filter(|limit| ready.octets > *limit) {
            Some(limit) => self.too_big(ready, limit).await,
            None => self.act(Event::Ready(ready)).await,
        }
    }

    /// QUIRK: Gmail removes at once what is stored as `\Deleted` [T imapsync FAQ.Gmail]: the message is worth more than the
    /// mark, which is left out and said.
    async fn storable(&mut self, flags: Flags) -> Result<Flags, Error> {
        let kept = flags.without_deleted();
        if !self.deleted_removes || kept == flags {
            return Ok(flags);
        }
        let text = format!(
            "{}: messages marked as deleted are stored without that mark, because the new server would remove them",
            self.job.target.text
        );
        let (kind, mailbox) = ("deleted_not_sent".to_owned(), Some(self.job.record.id));
        self.ctx.note_once(Note { kind, mailbox, key: None, text }).await?;
        Ok(kept)
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
                let changed = ladder::line_ends(&hand.body, &self.ctx.intake).await;
                ready.octets = hand.becomes(changed.map_err(|e| at(Side::Target, e))?);
                ready.lone_lf = false;
            } else if step == Ladder::ENCODED {
                let ladder = ready.ladder.without(Ladder::NO_KEYWORDS).without(Ladder::NO_DATE);
                let whole = hand.goes_whole(Ready { ladder, ..ready });
                ready = hand.encode(whole).await?;
            } else if step == Ladder::WRAPPED {
                ready = hand.cover(ready, &self.ctx.intake).await?;
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

    /// A message was given up for a reason that nobody knows. After too many of them it is not the messages.
    pub(super) fn unexplained(&mut self, refusal: Refusal) -> Result<(), Error> {
        match self.ctx.unexplained.one_more(&self.ctx.settings.limits) {
            Some(refused) => Err(Error::RefusesAll { refused, refusal }),
            None => Ok(()),
        }
    }

    pub(super) async fn give_up(&mut self, item: ItemId, reason: Reason) -> Result<(), Error> {
        if let Some(hand) = self.hand.remove(&item) {
            let original = hand.original.as_ref().unwrap_or(&hand.body);
            self.ctx.keep_original(&self.job.record, item, original).await?;
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
