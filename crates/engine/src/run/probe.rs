//! The probe of the target, from the leftovers of earlier ones to the profile in the journal. Whatever becomes of it, what it
//! made is removed, or named.

use super::{Ctx, Migration};
use crate::end::{Source, Target, TargetSession};
use crate::error::Error;
use crate::journal::Journal;
use crate::limits::{PROBE_CLEANUP_TIME_MAX, PROBE_TIME_MAX};
use crate::profile::kept::{self, Probes};
use crate::profile::letters::Token;
use crate::profile::probing::{Ended, Probing};
use crate::profile::scratch::{Left, Scratch, clean, own};
use crate::profile::{Identity, Observations, Profile};
use crate::survey::home;
use std::time::Duration;

/// After a command whose answer is not known, what it made is looked for once more, so much later.
const LATE_COMMAND_TIME: Duration = Duration::from_secs(3);

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
            if ctx.cancel.is_cancelled() {
                probed.interrupted = true;
                return Ok(probed);
            }
            // Its commands are long over: what is there of it is listed.
            let left = self.remove(session, &token).await;
            self.ended(ctx, &token, left, true, &mut probed).await;
        }
        let scratch = match begin(session).await {
            Ok(scratch) => scratch,
            Err(why) => return Ok(Probed { unknown: Some(why), ..probed }),
        };
        let Some(connected) = session.take() else { return Ok(probed) };
        let identity = Identity::of(connected.abilities());
        if let Err(error) = kept::begin(&ctx.journal, &scratch.token).await {
            *session = Some(connected);
            return Ok(Probed { unknown: Some(format!("the journal cannot be written: {error}")), ..probed });
        }
        let mut probing = Probing {
            target: &ctx.target,
            session: Some(connected),
            scratch: &scratch,
            intake: &ctx.intake,
            stop: &ctx.probe,
            now: ctx.clock.wall(),
            losses: 0,
            seen: Observations::default(),
        };
        let looked = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Looked::Stopped,
            () = tokio::time::sleep(PROBE_TIME_MAX) => Looked::TooLong,
            done = probing.observe() => Looked::Done(done),
        };
        let Probing { session: mut at_work, losses, seen, .. } = probing;
        let certain = matches!(looked, Looked::Done(_)) && losses == 0;
        if !matches!(looked, Looked::Done(_))
            && let Some(in_a_command) = at_work.take()
        {
            in_a_command.abort();
        }
        let mut left = self.remove(&mut at_work, &scratch.token).await;
        if !certain {
            // A command may still be carried out whose connection is gone.
            tokio::time::sleep(LATE_COMMAND_TIME).await;
            left = self.remove(&mut at_work, &scratch.token).await;
        }
        *session = at_work;
        self.ended(ctx, &scratch.token, left, certain, &mut probed).await;
        match looked {
            Looked::Done(Ok(())) => {
                let profile = Profile::derive(identity, &seen);
                let unknown = match profile.objection() {
                    None => kept::keep(&ctx.journal, &profile)
                        .await
                        .err()
                        .map(|e| format!("it cannot be kept: {e}")),
                    objection => objection,
                };
                probed.unknown = unknown.or(probed.unknown);
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

    /// Takes over what is left of a probe, and says in the journal where nothing is. After a loss a command may be carried out
    /// still later: then the next probe looks once more. So it does where the journal cannot be written.
    async fn ended(
        &self,
        ctx: &Ctx<S, T, J>,
        token: &Token,
        left: Vec<Left>,
        certain: bool,
        probed: &mut Probed,
    ) {
        if left.is_empty() && certain {
            let ended = kept::end(&ctx.journal, token).await;
            probed.unknown =
                ended.err().map(|e| format!("the journal cannot be written: {e}")).or(probed.unknown.take());
        }
        probed.left.extend(left);
    }

    /// Removes what is there of a probe, with this connection or, if that fails, a new one; what stays. Also after the person
    /// asked to stop.
    async fn remove(&self, session: &mut Option<T::Session>, token: &Token) -> Vec<Left> {
        let unknown = |why: String| vec![Left { name: own(token), why }];
        let cleaning = async {
            self.probe.pass("probe:clean").await;
            if let Some(connected) = session {
                match clean(connected, token, None).await {
                    Err(error) if error.is_connection() => *session = None,
                    done => return done,
                }
            }
            let connected = session.insert(self.target.connect().await?);
            clean(connected, token, None).await
        };
        match tokio::time::timeout(PROBE_CLEANUP_TIME_MAX, cleaning).await {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => {
                if error.is_connection() {
                    *session = None;
                }
                unknown(format!("it may be there: {error}"))
            }
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

/// Where a new probe works. A connection that fails meanwhile is given up: it is of no use to anybody.
async fn begin<C: TargetSession>(session: &mut Option<C>) -> Result<Scratch, String> {
    let Some(connected) = session else { return Err("the connection was lost".into()) };
    let home = match connected.mailboxes().await {
        Ok(listed) => home(connected.abilities(), &listed),
        Err(error) => {
            if error.is_connection() {
                *session = None;
            }
            return Err(error.to_string());
        }
    };
    let token = Token::random().ok_or("this machine gives no random numbers")?;
    Ok(Scratch::new(token, &home, connected.abilities().utf8_names))
}
