//! What a run was told, and whom it met: kept in the journal with the run, so that a report that is written again claims
//! what was so, and no more.

use super::{Ctx, Server};
use crate::config::Level;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::journal::{Journal, Note, NoteRecord, RunId, RunRecord, each_note};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Note kind. The last one of a run counts.
pub(crate) const RUN_FACTS: &str = "run:facts";
/// Notes read from the journal at once.
const PAGE_ROWS: usize = 1000;

/// The facts of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The level asked for.
    pub level: Level,
    /// Options with `danger` in their names that were used, as written.
    pub danger: Vec<String>,
    /// The old server, as far as it was connected to.
    pub source: Server,
    /// The new server, likewise.
    pub target: Server,
}

impl RunFacts {
    /// By a note, if it is one of these and can be read.
    pub(crate) fn of(record: &NoteRecord) -> Option<(RunId, Self)> {
        let facts = || serde_json::from_str(&record.note.text).ok();
        if record.note.kind == RUN_FACTS { record.run.zip(facts()) } else { None }
    }

    pub(crate) fn note(&self) -> Note {
        let text = serde_json::to_string(self).unwrap_or_default();
        Note { kind: RUN_FACTS.into(), mailbox: None, key: None, text }
    }
}

/// Whether a report is about runs of this kind.
pub(crate) fn is_reported(run: &RunRecord) -> bool {
    run.verb == super::MIGRATE || run.verb == "verify"
}

/// The facts of the latest run that copied or verified. `None` where the journal does not keep them: an older Mailhaul
/// made that run.
///
/// # Errors
/// Those of the journal.
pub async fn kept<J: Journal>(journal: &J) -> Result<Option<RunFacts>, Error> {
    let runs = journal.runs(PAGE_ROWS).await?;
    let Some(run) = runs.iter().rev().find(|run| is_reported(run)) else { return Ok(None) };
    let mut known = BTreeMap::new();
    each_note(journal, RUN_FACTS, PAGE_ROWS, |record| known.extend(RunFacts::of(record))).await?;
    Ok(known.remove(&run.id))
}

/// Keeps the facts of the run that is at work. It does so before anybody is connected to, and again with the servers:
/// also a run that does not come to its end is reported.
pub(super) async fn keep<S: Source, T: Target, J: Journal>(
    ctx: &Ctx<S, T, J>,
    level: Level,
    servers: &(Server, Server),
) -> Result<(), Error> {
    let (danger, (source, target)) = (ctx.settings.danger.clone(), servers.clone());
    Ok(ctx.journal.note(RunFacts { level, danger, source, target }.note()).await?)
}
