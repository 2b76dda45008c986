//! The runs: every tool once, then every tool again, each on an empty target, each compared before its time counts.

use std::time::Duration;

use crate::Result;
use crate::bed::{Bed, Loaded, TARGET_USER};
use crate::finding::Finding;
use crate::machine;
use crate::measure::{Usage, measured};
use crate::tools::{Programs, Task, Tool};

/// What runs of one corpus at one round trip are to be made.
pub struct Round<'a> {
    /// The servers.
    pub bed: &'a Bed,
    /// The account.
    pub account: &'a Loaded,
    /// Added to both sides.
    pub round_trip: Duration,
    /// Tools that are there.
    pub tools: &'a [Tool],
    /// Runs of each.
    pub runs: usize,
    /// After which a pass is stopped.
    pub limit: Duration,
    /// Our programs.
    pub programs: &'a Programs,
}

/// One run of a tool: its first pass, and the second if it has one.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whose.
    pub tool: Tool,
    /// Into the empty account.
    pub first: Pass,
    /// With nothing new.
    pub second: Option<Pass>,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Pass {
    /// The copy is right, or as wrong as the tool is known for.
    Counts(Usage, Finding),
    /// The copy is wrong: it has no time.
    Wrong(Finding),
    /// The tool failed, or was stopped.
    Failed(String),
}

impl Pass {
    /// What it cost, if it counts.
    #[must_use]
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            Self::Counts(usage, _) => Some(usage),
            Self::Wrong(_) | Self::Failed(_) => None,
        }
    }

    /// What to tell of it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Counts(_, finding) => finding.to_string(),
            Self::Wrong(finding) => format!("WRONG: {finding}"),
            Self::Failed(why) => format!("FAILED: {why}"),
        }
    }
}

/// Makes all runs; each is told of as it ends.
///
/// # Errors
/// If the bench itself fails. A tool that fails is a [`Pass::Failed`].
pub fn make(round: &Round<'_>, tell: &dyn Fn(&str)) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for ordinal in 1..=round.runs {
        for tool in round.tools {
            let run = one(round, *tool)?;
            tell(&line(round, ordinal, &run));
            runs.push(run);
        }
    }
    Ok(runs)
}

fn one(round: &Round<'_>, tool: Tool) -> Result<Run> {
    let state = tempfile::tempdir()?;
    let target = round.bed.target()?;
    let source_end = round.bed.source(round.round_trip, tool.uses_tls())?;
    let target_end = target.reached(round.round_trip, tool.uses_tls())?;
    let task = Task {
        source: source_end.address(),
        source_user: round.account.corpus.kind.name(),
        target: target_end.address(),
        target_user: TARGET_USER,
        authorities: [round.bed.authority(), target.authority()],
        target_config: target.config(),
        state: state.path(),
    };
    let pass = |ordinal: u32| -> Result<Pass> {
        let command = tool.invocation(round.programs, &task)?;
        let log = state.path().join(format!("{ordinal}.log"));
        let usage = match measured(&round.programs.bench, &command, &log, round.limit) {
            Ok(usage) => usage,
            Err(error) => return Ok(Pass::Failed(error.to_string())),
        };
        let finding = target.compared_with(round.account)?;
        let counts = finding.counts(&tool.known());
        Ok(if counts { Pass::Counts(usage, finding) } else { Pass::Wrong(finding) })
    };
    let first = pass(1)?;
    let again = tool.has_second_pass() && first.usage().is_some();
    let second = if again { Some(pass(2)?) } else { None };
    Ok(Run { tool, first, second })
}

fn line(round: &Round<'_>, ordinal: usize, run: &Run) -> String {
    let of = |pass: &Pass| match pass.usage() {
        Some(usage) => format!(
            "{:.2} s, {:.2} s CPU, {:.0} MiB, {}",
            usage.wall_seconds,
            usage.cpu_seconds,
            usage.peak_rss_kib as f64 / 1024.0,
            pass.words()
        ),
        None => pass.words(),
    };
    let second = run.second.as_ref().map(|pass| format!("; second pass: {}", of(pass))).unwrap_or_default();
    format!(
        "{} at {} ms, run {ordinal} of {}, {}: {}{second} (load {:.1})",
        round.account.corpus.kind.name(),
        round.round_trip.as_millis(),
        round.runs,
        run.tool,
        of(&run.first),
        machine::load()
    )
}
