//! Connections lost and patience asked for: what happens before any further gate opens.

use super::super::brain::Event;
use super::super::resolve::resolve;
use super::Shell;
use crate::end::{Source, Target};
use crate::error::{EndError, Error, Refusal};
use crate::journal::{Journal, Side};
use crate::progress::Progress;
use crate::quirks::{self, Pause};

impl<S: Source, T: Target, J: Journal> Shell<'_, S, T, J> {
    /// The connection is cut off at once, so that the kernel delivers nothing of it later; from here the settle
    /// time counts (law 4). Its last `words` may ask for patience.
    pub(super) fn connection_lost(&mut self, words: &str) {
        if quirks::patience(quirks::class_of_last_words(words)).is_some() {
            self.ctx.seats.throttled(Side::Target);
            self.last_words = Some(words.to_owned());
        }
        self.sessions.abort_target();
        self.lost_at = Some(self.ctx.clock.now());
    }

    /// Connects again and resolves all doubt of the mailbox before any gate opens. Losses without an answer in between
    /// are waited out, and given up at last.
    pub(super) async fn recover(&mut self) -> Result<Event, Error> {
        let asked = self.last_words.take();
        let what = asked.clone().unwrap_or_else(|| "the connection was lost".to_owned());
        self.sessions.abort_target();
        let lost = self.lost_at.take().unwrap_or_else(|| self.ctx.clock.now());
        self.lost_in_a_row += 1;
        if self.lost_in_a_row == 1 && asked.is_none() {
            self.losses.reset();
            self.ctx.bus.tell(Progress::Reconnecting { side: Side::Target.into(), why: what });
        } else {
            let error = EndError::Lost { server: "the new server".into(), doing: "APPEND", what };
            self.losses.another(self.ctx, Side::Target, error).await?;
        }
        let resolved = resolve(self.ctx, self.sessions, self.job, Some(lost)).await?;
        if resolved.found > 0 {
            self.lost_in_a_row = 0;
        }
        Ok(Event::Clear)
    }

    /// Waits.
    pub(super) async fn wait(&mut self, pause: Pause, refusal: &Refusal) -> Result<Event, Error> {
        let (server, doing, refusal) = ("the new server".to_owned(), "APPEND", refusal.clone());
        self.losses
            .pause(self.ctx, Side::Target, pause, EndError::Refused { server, doing, refusal })
            .await?;
        Ok(Event::Clear)
    }
}
