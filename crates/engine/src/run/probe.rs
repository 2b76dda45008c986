//! The probe of the target, from the leftovers of earlier ones to the profile in the journal. Whatever becomes of it, what it
//! made is removed, or named.

use super::{Ctx, Migration};
use crate::end::{Source, Target, TargetSession};
use crate::error::Error;
use crate::journal::Journal;
use crate::limits::{PROBE_CLEANUP_TIME_MAX, PROBE_TIME_MAX};
use crate::message::Key;
use crate::profile::kept::{self, Probes};
use crate::profile::probing::{Ended, Probing};
use crate::profile::scratch::{Left, Scratch, clean, token};
use crate::profile::{Identity, Observations, Profile};
use crate::survey::home;
use std::collections::HashSet;

/// What became of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probed {
    /// Why there is no new profile; `None` where there is one.
    pub unknown: Option<String>,
    /// Mailboxes of this probe, or of earlier ones, that are still there.
    pub left: Vec<Left>,
    /// It was stopped.
    pub interrupted: bool,
}

/// How the looking ended.
enum Looked {
    Done(Result<(), Ended>),
    Stopped,
    TooLong,
}

impl<S: Source, T: Target, J: Journal> Migration<S, T, J> {
    /// Probes the target with this connection, and keeps the profile. What goes wrong at the server is told, and is no error;
    /// the connection may be another one afterwards, or none.
    pub(super) async fn probe_target(
        &self,
        ctx: &Ctx<S, T, J>,
        session: &mut Option<T::Session>,
    ) -> Result<Probed, Error> {
        let mut probed = Probed::default();
        for token in Probes::read(&ctx.journal).await?.open {
            // Its commands are long over: what is there of it is listed.
            let left = self.remove(session, &token, &HashSet::new()).await;
            if left.is_empty() {
                kept::end(&ctx.journal, &token).await?;
            }
            probed.left.extend(left);
        }
        let Some(connected) = session else {
            return Ok(Probed { unknown: Some("the connection was lost".into()), ..probed });
        };
        let identity = Identity::of(connected.abilities());
        let home = match connected.mailboxes().await {
            Ok(listed) => home(connected.abilities(), &listed),
            Err(error) => return Ok(Probed { unknown: Some(error.to_string()), ..probed }),
        };
        let Some(token) = token() else {
            return Ok(Probed { unknown: Some("this machine gives no random numbers".into()), ..probed });
        };
        let scratch = Scratch::new(token, &home, connected.abilities().utf8_names);
        kept::begin(&ctx.journal, &scratch.token).await?;
        let mut probing = Probing {
            target: &ctx.target,
            session: session.take(),
            scratch: &scratch,
            intake: &ctx.intake,
            stop: &ctx.probe,
            told: HashSet::new(),
            losses: 0,
            seen: Observations::default(),
        };
        let looked = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Looked::Stopped,
            () = tokio::time::sleep(PROBE_TIME_MAX) => Looked::TooLong,
            done = probing.observe() => Looked::Done(done),
        };
        let Probing { session: mut at_work, told, losses, seen, .. } = probing;
        // A connection in the middle of a command is of no use; a new one sees what that command did, or soon will.
        let certain = matches!(looked, Looked::Done(_)) && losses == 0;
        if !matches!(looked, Looked::Done(_)) {
            at_work = None;
        }
        let left = self.remove(&mut at_work, &scratch.token, &told).await;
        *session = at_work;
        // After a loss a command may still be done that was under way: the next probe looks once more.
        if left.is_empty() && certain {
            kept::end(&ctx.journal, &scratch.token).await?;
        }
        probed.left.extend(left);
        match looked {
            Looked::Done(Ok(())) => {
                let profile = Profile::derive(identity, &seen);
                probed.unknown = profile.objection();
                if probed.unknown.is_none() {
                    kept::keep(&ctx.journal, &profile).await?;
                }
            }
            Looked::Done(Err(Ended::NoMailbox(words))) => {
                probed.unknown = Some(format!("its scratch mailbox could not be made: {words}"));
            }
            Looked::Done(Err(Ended::Failed(error))) => probed.unknown = Some(error.to_string()),
            Looked::TooLong => {
                probed.unknown = Some(format!("it took more than {} seconds", PROBE_TIME_MAX.as_secs()));
            }
            Looked::Stopped => probed.interrupted = true,
        }
        Ok(probed)
    }

    /// Removes what is there of a probe, with this connection or, if that fails, a new one; what stays. Also after the person
    /// asked to stop.
    async fn remove(&self, session: &mut Option<T::Session>, token: &str, told: &HashSet<Key>) -> Vec<Left> {
        let unknown = |why: String| vec![Left { name: format!("mailhaul-probe-{token}"), why }];
        let cleaning = async {
            self.probe.pass("probe:clean").await;
            if let Some(connected) = session {
                match clean(connected, token, told).await {
                    Err(error) if error.is_connection() => *session = None,
                    done => return done,
                }
            }
            let connected = session.insert(self.target.connect().await?);
            clean(connected, token, told).await
        };
        match tokio::time::timeout(PROBE_CLEANUP_TIME_MAX, cleaning).await {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => unknown(format!("it may be there: {error}")),
            Err(_) => {
                *session = None;
                unknown(format!(
                    "it may be there: no answer within {} seconds",
                    PROBE_CLEANUP_TIME_MAX.as_secs()
                ))
            }
        }
    }
}
