//! Connections that are opened before there is work for them. Each takes several round trips, which pass while the target
//! is made ready.

use super::Ctx;
use super::crew::{COPYING, PROVING, readers, writers};
use crate::end::{Source, Target};
use crate::journal::Journal;
use crate::plan::Plan;
use crate::seats::Seat;
use crate::transfer::job::Sessions;
use tokio_util::task::AbortOnDropHandle;

/// Sessions with their seats; `None` where the servers give no further ones.
pub(super) type Beside<S, T> = Option<(Sessions<S, T>, Vec<Seat>)>;

/// What those who copy begin with. Dropped, it opens nothing more.
pub(super) struct Ahead<S: Source, T: Target> {
    /// The seats of the sessions that the run began with.
    pub(super) first: Vec<Seat>,
    /// Sessions on their way, for those who copy beside the first.
    pub(super) others: Vec<AbortOnDropHandle<Beside<S, T>>>,
}

impl<S: Source, T: Target> Ahead<S, T> {
    /// No connection but those that the run has.
    pub(super) fn none<J: Journal>(ctx: &Ctx<S, T, J>) -> Self {
        Self { first: COPYING.iter().map(|side| ctx.seats.anyway(*side)).collect(), others: Vec::new() }
    }

    /// As many as will copy mailboxes that are new to this migration, so far as the servers are known to give them. A run
    /// that may find nothing to do opens none.
    pub(super) fn begin<J: Journal>(ctx: &Ctx<S, T, J>, plan: &Plan) -> Self {
        let new = plan.steps.iter().filter(|step| step.baseline_needed && !step.is_rest).count();
        let mut ahead = Self::none(ctx);
        // Who reads back finds a seat, too.
        let kept_free = (readers(ctx) > 0).then(|| ctx.seats.another(PROVING));
        if matches!(kept_free, Some(None)) {
            return ahead;
        }
        while ahead.others.len() + 1 < writers(ctx, new)
            && let Some(seats) = ctx.seats.another(COPYING)
        {
            let ctx = ctx.clone();
            let connecting = tokio::spawn(async move { Sessions::beside(&ctx, seats).await });
            ahead.others.push(AbortOnDropHandle::new(connecting));
        }
        ahead
    }
}
