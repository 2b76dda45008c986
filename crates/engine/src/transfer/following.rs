//! The mailbox that a worker takes next: it is listed while the target stores the last of the one before, so that the source
//! does not wait for the target.

use super::copy::{Listing, list_ahead};
use super::job::Job;
use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::{EndError, Error};
use crate::journal::{Journal, MailboxId};

/// Where the next mailbox comes from, and what is known of it.
pub struct Following<'a> {
    next: &'a (dyn Fn() -> Option<Job> + Sync),
    taken: Option<Job>,
    /// Its listing, or why there is none.
    listing: Option<(MailboxId, Result<Listing, EndError>)>,
}

impl<'a> Following<'a> {
    /// `next` gives the mailbox after the present one, once.
    pub fn new(next: &'a (dyn Fn() -> Option<Job> + Sync)) -> Self {
        Self { next, taken: None, listing: None }
    }

    /// No mailbox follows.
    pub fn none() -> Self {
        Self::new(&|| None)
    }

    /// The mailbox that was taken and is not begun: it must not be left to nobody.
    pub fn take(&mut self) -> Option<Job> {
        self.taken.take()
    }

    /// The listing of this mailbox, if it was made ahead, or why it failed: what the server asked for is heeded when it is
    /// its turn.
    pub(super) fn listing_of(&mut self, job: &Job) -> Option<Result<Listing, EndError>> {
        self.listing.take().filter(|(of, _)| *of == job.record.id).map(|(_, listing)| listing)
    }

    /// Takes the next mailbox and lists it, if none is taken yet. True when the session can be used further.
    ///
    /// # Errors
    /// The journal's.
    pub(super) async fn list<S: Source, T: Target, J: Journal>(
        &mut self,
        ctx: &Context<S, T, J>,
        session: &mut S::Session,
    ) -> Result<bool, Error> {
        if self.taken.is_some() || ctx.cancel.is_cancelled() {
            return Ok(true);
        }
        self.taken = (self.next)();
        // Who brings a message is decided only when those before are listed.
        let Some(job) = self.taken.as_ref().filter(|job| job.share.is_none()) else { return Ok(true) };
        ctx.probe.pass("list the source").await;
        let listed = tokio::select! {
            biased;
            // In the middle of an answer.
            () = ctx.cancel.cancelled() => return Ok(false),
            listed = list_ahead(ctx, session, &job.record) => listed?,
        };
        let mailbox = job.record.id;
        let (usable, listing) = match listed {
            Ok(listing) => (listing.is_some(), listing.map(Ok)),
            Err(error) => (!error.is_connection(), Some(Err(error))),
        };
        self.listing = listing.map(|listing| (mailbox, listing));
        Ok(usable)
    }
}
