//! A mailbox that the server lists under another name than it was asked to make.

use super::Plan;
use super::carry_out::Task;
use crate::end::TargetSession;
use crate::error::Error;
use crate::journal::{Decision, MailboxRecord, Name};
use crate::mapping::key;
use crate::name_rules::folded;
use crate::names;
use bytes::Bytes;
use std::collections::HashSet;

/// Names that a mailbox just made cannot have, because they are somebody's.
pub(super) struct Strangers {
    /// [`names::key`] of what the target listed before, and of every target name of the journal and of the plan.
    taken: HashSet<Bytes>,
    /// What the target lists now; asked for once.
    listed: Option<Vec<Name>>,
}

impl Strangers {
    pub(super) fn of(plan: &Plan) -> Self {
        let moved = |record: &MailboxRecord| match &record.decision {
            Decision::Move(name) => Some(key(name)),
            Decision::Exclude(_) | Decision::Refuse(_) => None,
        };
        let steps =
            plan.steps.iter().flat_map(|step| std::iter::once(&step.target).chain(&step.spare)).map(key);
        let others = plan.excluded.iter().map(|left| &left.record).chain(&plan.vanished).filter_map(moved);
        Self { taken: plan.there.iter().cloned().chain(steps).chain(others).collect(), listed: None }
    }

    /// Gives the task the name under which the server lists its mailbox, or says why it has none.
    pub(super) async fn take<T: TargetSession>(
        &mut self,
        target: &mut T,
        task: &mut Task<'_>,
        listed: Bytes,
    ) -> Result<Result<(), String>, Error> {
        let delimiter = task.name.delimiter;
        if names::key(&listed, delimiter) == key(&task.name) {
            return Ok(Ok(()));
        }
        let utf8 = target.abilities().utf8_names;
        let text = names::decode(&listed, utf8);
        let found = match listed.is_empty() {
            true => self.alike(target, &task.name).await?,
            false => Some(Name { wire: listed, text: text.clone(), delimiter }),
        };
        match found.filter(|name| task.step.baseline_needed && self.taken.insert(key(name))) {
            Some(name) => {
                task.name = name;
                Ok(Ok(()))
            }
            None => Ok(Err(format!(
                "the new server made “{}” where “{}” was asked for; that mailbox stays empty. Choose another name with --map",
                names::printable(&text),
                names::printable(&task.name.text)
            ))),
        }
    }

    /// The one new mailbox whose name differs from the one asked for in case, spaces and signs alone.
    async fn alike<T: TargetSession>(&mut self, target: &mut T, asked: &Name) -> Result<Option<Name>, Error> {
        if self.listed.is_none() {
            let infos = target.mailboxes().await.map_err(Error::Target)?;
            let usable = infos.into_iter().filter(|info| info.selectable);
            let name = |info: crate::end::MailboxInfo| Name {
                wire: info.wire,
                text: info.text,
                delimiter: info.delimiter,
            };
            self.listed = Some(usable.map(name).collect());
        }
        let letters = |text: &str| folded(text).chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        let wanted = letters(&asked.text);
        let mut like = self
            .listed
            .iter()
            .flatten()
            .filter(|name| !self.taken.contains(&key(name)) && letters(&name.text) == wanted);
        let first = like.next().cloned();
        Ok(first.filter(|_| like.next().is_none()))
    }
}
