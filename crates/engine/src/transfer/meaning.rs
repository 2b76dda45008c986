//! Messages that the target may have rewritten, as candidates by what they say, the way they came and their INTERNALDATE
//! ([`crate::semantic`]): looked at where neither their octets nor these but for line ends tell which is which
//! (integrity.md 6.4).

use super::encode::encode;
use super::job::{Job, Sessions, find_item};
use super::octets::{Given, source_body, target_octets};
use super::wrap::wrap;
use crate::context::Context;
use crate::end::{Source, Target};
use crate::error::Error;
use crate::identity::Candidate;
use crate::journal::{Item, ItemId, Journal, Ladder, State};
use crate::message::{Digest, Fingerprint, Key};
use crate::semantic::provenance;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What messages of the target mailbox say.
#[derive(Debug, Default)]
pub struct There {
    /// Those that could be read, but the ones above `Limits::compare_octets_max`.
    pub read: Vec<Candidate<Key>>,
    /// Messages that were listed and not given.
    pub unread: usize,
}

/// What messages that went out say.
#[derive(Debug, Default)]
pub struct WentOut {
    /// Those that the source gives as it did before, but the ones above `Limits::compare_octets_max`.
    pub read: BTreeMap<ItemId, Candidate<ItemId>>,
    /// It cannot be known now what some of them say: the source has another epoch.
    pub later: bool,
}

/// Reads these messages of the target mailbox, one by one; `None` in another epoch.
pub async fn of_target<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    messages: &[Candidate<Key>],
) -> Result<Option<There>, Error> {
    let octets_max = ctx.settings.limits.compare_octets_max;
    let mut there = There::default();
    for message in messages.iter().filter(|m| m.fingerprint.octets <= octets_max) {
        match target_octets(ctx, sessions, job, message.id, octets_max).await? {
            Given::Message(octets) => there.read.push(there_saying(*message, &octets)),
            Given::Nothing => there.unread += 1,
            Given::Renumbered => return Ok(None),
        }
    }
    Ok(Some(there))
}

/// Reads these messages of the source again, one by one, but those whose octets at the target are known; in a run that
/// reads no source none.
pub async fn of_items<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    messages: &[Candidate<ItemId>],
) -> Result<WentOut, Error> {
    let octets_max = ctx.settings.limits.compare_octets_max;
    let mut all = WentOut::default();
    let readable = |m: &&Candidate<ItemId>| ctx.reads_source && m.fingerprint.octets <= octets_max;
    for message in messages.iter().filter(readable) {
        ctx.check_cancel()?;
        let Some(item) = find_item(&ctx.journal, message.id).await? else { continue };
        let kept = item.read_back.as_ref().and_then(|r| r.fingerprint);
        if item.state == State::Suspect && kept.is_some() {
            continue;
        }
        match outgoing(ctx, sessions, job, &item).await? {
            Given::Message(octets) => _ = all.read.insert(item.id, saying(*message, &octets)),
            Given::Nothing => {}
            Given::Renumbered => all.later = true,
        }
    }
    Ok(all)
}

/// The octets that went out for an item, but for line ends (T1); `Nothing` where the source does not give the message as it
/// did before, too.
pub async fn outgoing<S: Source, T: Target, J: Journal>(
    ctx: &Context<S, T, J>,
    sessions: &mut Sessions<S, T>,
    job: &Job,
    item: &Item,
) -> Result<Given<Bytes>, Error> {
    let Some(sent) = &item.sent else { return Ok(Given::Nothing) };
    let body = match source_body(ctx, sessions, job, item).await? {
        Given::Message(body) if body.measured().fingerprint == sent.fetched => body,
        Given::Renumbered => return Ok(Given::Renumbered),
        _ => return Ok(Given::Nothing),
    };
    let body = if sent.ladder.has(Ladder::WRAPPED) {
        wrap(&body, sent.internal_date.as_ref(), &ctx.intake).await.map_err(Error::Source)?
    } else if sent.ladder.has(Ladder::ENCODED) {
        encode(&body).await.map_err(Error::Source)?.unwrap_or(body)
    } else {
        body
    };
    body.whole().await.map(Given::Message).map_err(Error::Source)
}

/// What octets say, in the place of digests of the octets: with an INTERNALDATE, and without.
fn says(octets: &[u8], at: Option<i64>) -> (Digest, Digest) {
    let bare = provenance(octets);
    let dated = Sha256::new().chain_update(bare.0).chain_update(format!("{at:?}"));
    (Digest(dated.finalize().into()), bare)
}

/// A message that is there: it answers to one that went out with its date, or to one that went out without any.
fn there_saying(message: Candidate<Key>, octets: &[u8]) -> Candidate<Key> {
    let (exact, normal) = says(octets, message.at);
    Candidate { fingerprint: Fingerprint { octets: 0, exact, normal }, ..message }
}

/// A message that went out. Of what another delivered, the date tells it: a rewriting server leaves it as we set it.
fn saying(message: Candidate<ItemId>, octets: &[u8]) -> Candidate<ItemId> {
    let (dated, bare) = says(octets, message.at);
    let says = if message.at.is_some() { dated } else { bare };
    Candidate { fingerprint: Fingerprint { octets: 0, exact: says, normal: says }, ..message }
}
