//! Looks at both servers before anything is moved. It opens mailboxes by EXAMINE alone, and sends nothing that changes anything,
//! on either side or in the journal; but for a probe of the target, where one is asked for.

use super::{Ctx, Migration, days};
use crate::check::{
    Checked, Checks, Connections, DayForecast, Forecast, Moving, Remark, RightsIn, Sizes, Weight, judge,
};
use crate::end::{Listed, Source, SourceSession, Target, TargetSession};
use crate::error::{EndError, Error};
use crate::journal::{Journal, RunId, State};
use crate::limits::{FORECAST_MESSAGES_PER_SECOND, FORECAST_OCTETS_PER_SECOND};
use crate::message::InternalDate;
use crate::names;
use crate::plan::Plan;
use crate::progress::{Progress, SideName, Stage};
use crate::survey::{Passing, Survey, survey_source, survey_target};
use crate::transfer::job::Sessions;
use bytes::Bytes;
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot};

/// The exit code of what was stopped (docs/cli.md).
const INTERRUPTED: u8 = 130;
/// Pieces of a listing on their way.
const PIECES_QUEUED: usize = 4;

impl<S: Source, T: Target, J: Journal> Migration<S, T, J> {
    /// Whether the migration can begin, and what to know before. `refused`: why a side is known not to let us in; it is not tried
    /// again, since each try may count for a lock-out. What goes wrong at a server is told, and is no error.
    ///
    /// # Errors
    /// Those of the journal and the settings, and that it was stopped.
    pub async fn check(&self, refused: [Option<EndError>; 2]) -> Result<Checked, Error> {
        let ctx = self.context(RunId(0), false);
        ctx.bus.tell(Progress::StageStarted { stage: Stage::Connect });
        let [old, new] = refused;
        let (old, new) = tokio::join!(
            async {
                match old {
                    Some(error) => Err(Error::Source(error)),
                    None => ctx.try_source().await,
                }
            },
            async {
                match new {
                    Some(error) => Err(Error::Target(error)),
                    None => ctx.try_target().await,
                }
            }
        );
        let pair = self.journal.pair();
        let side = |account, abilities| Checks { account, abilities, connections: None, alone: None };
        let mut source = side(pair.source, old.as_ref().ok().map(|s| s.abilities().clone()));
        let mut target = side(pair.target, new.as_ref().ok().map(|s| s.abilities().clone()));
        let mut in_the_way: Vec<Remark> = Vec::new();
        let mut sessions = Sessions::<S, T> { source: None, target: None };
        match old {
            Ok(session) => sessions.source = Some(session),
            Err(error) => in_the_way.push(of_server(error)?),
        }
        match new {
            Ok(session) => sessions.target = Some(session),
            Err(error) => in_the_way.push(of_server(error)?),
        }
        let mut probed = None;
        if in_the_way.is_empty() && ctx.settings.probe {
            probed = Some(self.probe_target(&ctx, &mut sessions.target).await?);
        }
        in_the_way.extend(probed.as_ref().filter(|p| p.interrupted).map(|_| interrupted()));
        let mut moving = None;
        if in_the_way.is_empty() {
            match self.look(&ctx, &mut sessions).await {
                Ok(found) => moving = Some(found),
                Err(error) => in_the_way.push(of_server(error)?),
            }
        }
        let is_in = [sessions.source.is_some(), sessions.target.is_some()];
        if in_the_way.is_empty() {
            (source.connections, target.connections) = self.count_connections(is_in).await;
        } else if is_in != [true, true] && !is_interrupted(&in_the_way) {
            in_the_way.extend(look_alone(&mut sessions, &mut source, &mut target).await?);
            (source.connections, target.connections) = self.count_connections(is_in).await;
        }
        sessions.close().await;
        let now = ctx.clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let mut remarks = in_the_way;
        remarks.extend(judge(&source, &target, moving.as_ref(), probed.as_ref(), now));
        Ok(Checked { source, target, moving, probed, remarks })
    }

    async fn look(&self, ctx: &Ctx<S, T, J>, sessions: &mut Sessions<S, T>) -> Result<Moving, Error> {
        let (survey, plan) = self.make_plan(ctx, sessions, Passing::IsTrouble).await?;
        let (Some(source), Some(target)) = (&mut sessions.source, &mut sessions.target) else {
            return Err(Error::Interrupted);
        };
        let since = ctx.settings.selection.since;
        let mut sizes =
            sizes(source, &survey, &plan, since, ctx.clock.wall()).await.map_err(Error::Source)?;
        sizes.remaining = sizes.octets.saturating_sub(settled(ctx).await?);
        // The plan knows what is told of whole mailboxes; where only a part of each moves, that was listed.
        if since.is_none() {
            sizes.remaining = sizes.remaining.max(plan.room.needed_octets);
        }
        let rights = [
            source_rights(source, &plan).await.map_err(Error::Source)?,
            target_rights(target, &survey, &plan).await.map_err(Error::Target)?,
        ]
        .concat();
        days::remember(ctx).await?;
        let needed = sizes.remaining;
        let days = [(SideName::Source, &ctx.pace.source), (SideName::Target, &ctx.pace.target)];
        let day = |(side, pacer): (SideName, &crate::pacer::Pacer)| {
            let (octets_per_day, time) = pacer.forecast(needed).filter(|(_, time)| !time.is_zero())?;
            Some(DayForecast { side, octets_per_day, seconds: time.as_secs() })
        };
        let by_octets = needed / FORECAST_OCTETS_PER_SECOND;
        let by_messages = plan.room.needed_messages / FORECAST_MESSAGES_PER_SECOND;
        let forecast = Forecast {
            seconds: by_octets.max(by_messages).max(1),
            days: days.into_iter().filter_map(day).collect(),
        };
        Ok(Moving { survey, plan, sizes, rights, forecast })
    }

    /// As many connections as a run would use, at each side, beside the one that is open: one after the other, so that a server
    /// that gives fewer says so at the first that is too many. A side that is not in is not asked.
    async fn count_connections(&self, is_in: [bool; 2]) -> (Option<Connections>, Option<Connections>) {
        let wanted = self.settings.connections;
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let (mut refusals, mut trouble) = ((None, None), !is_in[0]);
        while !trouble && old.len() + 1 < wanted {
            match self.source.connect().await {
                Ok(session) => old.push(session),
                Err(error) => (refusals.0, trouble) = (Some(error.to_string()), true),
            }
        }
        trouble = !is_in[1];
        while !trouble && new.len() + 1 < wanted {
            match self.target.connect().await {
                Ok(session) => new.push(session),
                Err(error) => (refusals.1, trouble) = (Some(error.to_string()), true),
            }
        }
        let found = (
            is_in[0].then(|| Connections { wanted, given: old.len() + 1, refusal: refusals.0 }),
            is_in[1].then(|| Connections { wanted, given: new.len() + 1, refusal: refusals.1 }),
        );
        for session in old {
            session.close().await;
        }
        for session in new {
            session.close().await;
        }
        found
    }
}

/// Looks at the side that is in where the other is not: what is the matter there need not wait for that. What stands in the way.
async fn look_alone<S: Source, T: Target>(
    sessions: &mut Sessions<S, T>,
    source: &mut Checks,
    target: &mut Checks,
) -> Result<Option<Remark>, Error> {
    if let Some(session) = &mut sessions.source {
        match survey_source(session, Passing::IsTrouble).await {
            Ok(survey) => source.alone = Some(survey),
            Err(error) => return of_server(Error::Source(error)).map(Some),
        }
    }
    if let Some(session) = &mut sessions.target {
        match survey_target(session, Passing::IsTrouble).await {
            Ok(survey) => target.alone = Some(survey),
            Err(error) => return of_server(Error::Target(error)).map(Some),
        }
    }
    Ok(None)
}

/// What was asked for was stopped by the person.
fn interrupted() -> Remark {
    let what = "interrupted before all was looked at".into();
    let next = "run the same command again";
    let remark = Remark::new(Weight::Blocks(INTERRUPTED), None, what, next);
    remark.for_people("it was stopped before all was looked at", "look again", "")
}

fn is_interrupted(remarks: &[Remark]) -> bool {
    remarks.iter().any(|remark| remark.weight == Weight::Blocks(INTERRUPTED))
}

/// What a server did is told; anything else ends the check.
fn of_server(error: Error) -> Result<Remark, Error> {
    match &error {
        Error::Source(EndError::Stopped) | Error::Target(EndError::Stopped) => Err(error),
        Error::Source(_) | Error::Target(_) => Ok(Remark::of(&error)),
        _ => Err(error),
    }
}

/// Octets of what earlier runs moved, or know that it does not move, and that is still at the source for all that is known.
async fn settled<S: Source, T: Target, J: Journal>(ctx: &Ctx<S, T, J>) -> Result<u64, Error> {
    let counts = ctx.journal.counts().await?;
    let left_out = |state| matches!(state, State::Excluded | State::GoneAtSource);
    let settled = counts.iter().filter(|c| !c.state.is_pending() && !left_out(c.state));
    Ok(settled.map(|c| c.octets).sum())
}

/// Lists the messages of mailboxes whose size is not told; all of them where the new server limits the size of a message, or is
/// known not to keep some flags or dates, or only those from `since` on move. Of a mailbox that brings only what others do not, nothing is known before a run.
async fn sizes<S: SourceSession>(
    session: &mut S,
    survey: &Survey,
    plan: &Plan,
    since: Option<i64>,
    now: SystemTime,
) -> Result<Sizes, EndError> {
    let limit = survey.target.abilities.append_limit_octets;
    let profile = survey.target.profile.as_ref().filter(|kept| kept.fits).map(|kept| &kept.profile);
    let profile = profile.filter(|profile| profile.predicts_by_message());
    let mut sizes = Sizes::default();
    for step in plan.steps.iter().filter(|step| step.trouble.is_none() && !step.is_rest) {
        let record = &step.record;
        let told = record.octets.filter(|_| limit.is_none() && since.is_none() && profile.is_none());
        if let (Some(octets), _) | (None, Some(octets)) = (told, record.messages.filter(|n| *n == 0)) {
            sizes.octets = sizes.octets.saturating_add(octets);
            continue;
        }
        let (opened, _) = oneshot::channel();
        let (out, mut pieces) = mpsc::channel::<Vec<Listed>>(PIECES_QUEUED);
        let adding = async {
            while let Some(piece) = pieces.recv().await {
                for message in piece {
                    let at = message.internal_date.as_ref().and_then(InternalDate::instant);
                    if since.is_some_and(|since| at.is_some_and(|at| at < since)) {
                        continue;
                    }
                    sizes.listed += 1;
                    sizes.octets = sizes.octets.saturating_add(message.octets);
                    sizes.largest = sizes.largest.max(Some(message.octets));
                    sizes.too_large += u64::from(limit.is_some_and(|limit| message.octets > limit));
                    let lost =
                        profile.map(|p| p.predict(&message.flags, message.internal_date.as_ref(), now));
                    sizes.flags_lost += u64::from(lost.is_some_and(|lost| lost.flags));
                    sizes.dates_lost += u64::from(lost.is_some_and(|lost| lost.date));
                }
            }
        };
        let (listed, ()) = tokio::join!(session.list(&record.source.wire, opened, out), adding);
        match listed {
            // A mailbox that is not listed now is the business of the run; what is told of it counts.
            Err(EndError::Refused { .. }) => {
                sizes.octets = sizes.octets.saturating_add(record.octets.unwrap_or(0));
            }
            listed => _ = listed?,
        }
    }
    Ok(sizes)
}

async fn source_rights<S: SourceSession>(session: &mut S, plan: &Plan) -> Result<Vec<RightsIn>, EndError> {
    let steps = || plan.steps.iter();
    let wanted: Vec<Bytes> = steps().map(|step| step.record.source.wire.clone()).collect();
    let told = session.rights(&wanted).await?;
    let found = steps().zip(told).filter_map(|(step, rights)| {
        let mailbox = step.record.source.text.clone();
        Some(RightsIn { side: SideName::Source, mailbox, parent: false, rights: rights? })
    });
    Ok(found.collect())
}

/// Of the mailboxes that are there, and of those below which one would be made.
async fn target_rights<T: TargetSession>(
    session: &mut T,
    survey: &Survey,
    plan: &Plan,
) -> Result<Vec<RightsIn>, EndError> {
    let there = survey.target.by_key();
    let mut wanted: Vec<(Bytes, String, bool)> = Vec::new();
    for step in &plan.steps {
        if !step.create {
            wanted.push((step.target.wire.clone(), step.target.text.clone(), false));
        } else if let Some(parent) = parent(&step.target.wire, survey.target.home().delimiter)
            && let Some(found) = there.get(&names::key(&parent, survey.target.home().delimiter))
        {
            let place = (found.info.wire.clone(), found.info.text.clone(), true);
            if !wanted.contains(&place) {
                wanted.push(place);
            }
        }
    }
    let mailboxes: Vec<Bytes> = wanted.iter().map(|(wire, ..)| wire.clone()).collect();
    let told = session.rights(&mailboxes).await?;
    let found = wanted.into_iter().zip(told).filter_map(|((_, mailbox, parent), rights)| {
        Some(RightsIn { side: SideName::Target, mailbox, parent, rights: rights? })
    });
    Ok(found.collect())
}

/// The mailbox that this one lies in.
fn parent(wire: &Bytes, delimiter: Option<char>) -> Option<Bytes> {
    let delimiter = u8::try_from(delimiter?).ok()?;
    let at = wire.iter().rposition(|b| *b == delimiter)?;
    (at > 0).then(|| wire.slice(..at))
}
