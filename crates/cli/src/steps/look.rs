//! Step 4, for terminal and page: the look at both accounts, and how what it shows is sorted.

use super::Steps;
use crate::command::{Keep, Ready};
use crate::error::Failure;
use mailhaul_engine::check::{Checked, Remark, Weight};
use mailhaul_engine::plan::{MailboxStep, Plan};

/// Looks at both accounts. Nothing is changed there, and nothing is kept. `shown` checks them, and shows how that goes.
///
/// # Errors
/// Those of [`Steps::ready`], and those of `shown`.
pub async fn look(
    steps: &Steps,
    shown: impl AsyncFnOnce(&Ready) -> Result<Checked, Failure>,
) -> Result<Checked, Failure> {
    let ready = steps.ready(Keep::Nothing).await?;
    let checked = shown(&ready).await;
    // The journal, if there is one, is given back also when the look failed.
    let given_back = ready.give_back().await;
    let checked = checked?;
    given_back?;
    Ok(checked)
}

/// What has to be mended before anything can begin.
pub fn in_the_way(checked: &Checked) -> impl Iterator<Item = &Remark> {
    checked.remarks.iter().filter(|remark| matches!(remark.weight, Weight::Blocks(_)))
}

/// What is good to know.
pub fn worth_knowing(checked: &Checked) -> impl Iterator<Item = &Remark> {
    checked.remarks.iter().filter(|remark| remark.weight == Weight::Worth)
}

/// True where nothing can begin before something is mended.
pub fn is_blocked(checked: &Checked) -> bool {
    checked.moving.is_none() || in_the_way(checked).next().is_some()
}

/// True where the new mailbox holds mail that this migration knows nothing of.
pub fn holds_mail(plan: &Plan) -> bool {
    plan.steps.iter().any(MailboxStep::holds_unknown_mail)
}
