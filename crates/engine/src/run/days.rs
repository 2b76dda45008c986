//! What one run leaves for the next one of the same day, and for the report: how much passed, and who made it wait.

use super::Ctx;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::journal::{Journal, Note, Side, each_note};
use crate::plan::RoomCheck;
use crate::progress::Progress;
use crate::report::{SPENT, WAITED};
use std::time::{Duration, SystemTime};

/// What earlier runs moved in the last day counts in this one, too.
pub(super) async fn remember<S: Source, T: Target, J: Journal>(ctx: &Ctx<S, T, J>) -> Result<(), Error> {
    for (direction, pacer) in ctx.pace.directions() {
        if pacer.piece_octets().is_none() {
            continue;
        }
        let kind = format!("{SPENT}{direction}");
        each_note(&ctx.journal, &kind, ctx.settings.limits.journal_page_rows, |record| {
            // A remark of another hand counts for nothing.
            if let Some((at, octets)) = read(&record.note.text) {
                pacer.passed_before(at, octets);
            }
        })
        .await?;
    }
    Ok(())
}

/// When, and how many octets: the end of the run, in seconds since 1970, stands for all of it.
fn read(text: &str) -> Option<(SystemTime, u64)> {
    let (at, octets) = text.split_once(' ')?;
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(at.parse().ok()?))?;
    Some((at, octets.parse().ok()?))
}

/// Says how long the octets that are planned and not settled take, where what may pass in a day is less.
pub(super) fn forecast<S: Source, T: Target, J: Journal>(ctx: &Ctx<S, T, J>, room: &RoomCheck) {
    let (octets, estimated) = (room.expected_octets(), room.expected_octets() > room.needed_octets);
    for (side, pacer) in [(Side::Source, &ctx.pace.source), (Side::Target, &ctx.pace.target)] {
        let Some((octets_per_day, time)) = pacer.forecast(octets).filter(|(_, time)| !time.is_zero()) else {
            continue;
        };
        let (server, seconds) = (ctx.waits.server(side, ""), time.as_secs());
        ctx.bus.tell(Progress::Forecast { side: side.into(), server, octets_per_day, seconds, estimated });
    }
}

/// Writes down what passed, and who made the run wait.
pub(super) async fn keep<S: Source, T: Target, J: Journal>(ctx: &Ctx<S, T, J>) -> Result<(), Error> {
    let note = |kind: String, text: String| Note { kind, mailbox: None, key: None, text };
    for (direction, pacer) in ctx.pace.directions() {
        let octets = pacer.take_unsaved();
        if octets > 0 {
            let now = ctx.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let text = format!("{} {octets}", now.as_secs());
            ctx.journal.note(note(format!("{SPENT}{direction}"), text)).await?;
        }
    }
    for side in [Side::Source, Side::Target] {
        if let Some(waited) = ctx.waits.waited(side) {
            ctx.journal.note(note(WAITED.to_owned(), waited.to_string())).await?;
        }
    }
    Ok(())
}
