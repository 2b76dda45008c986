//! What is there: both sides' mailboxes, abilities and room. Nothing is changed, nothing is decided.

mod twins;

use crate::end::{
    Abilities, Compression, MailboxCounts, MailboxInfo, Opened, Prefix, Room, SourceSession, Space,
    TargetSession, Untold,
};
use crate::error::{EndError, Error, LISTING, Scope};
use crate::name_rules::NameRules;
use crate::names;
use crate::profile::kept::Kept;
use bytes::Bytes;
use futures_util::future::try_join;
use serde::{Serialize, Serializer};
use std::collections::HashMap;

/// Both sides as they were found.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The old server.
    pub source: SideSurvey,
    /// The new server.
    pub target: SideSurvey,
}

/// One side as it was found.
#[derive(Clone, Debug)]
pub struct SideSurvey {
    /// What the server says of itself.
    pub abilities: Abilities,
    /// Room, where announced.
    pub room: Option<Room>,
    /// Every mailbox once: INBOX first, then by name.
    pub mailboxes: Vec<SurveyedMailbox>,
    /// What it was asked for beside the names of its mailboxes, and refused.
    pub untold: Vec<Untold>,
    /// The mailbox names that it takes, as far as it is known.
    pub name_rules: NameRules,
    /// What an earlier probe learnt of it.
    pub profile: Option<Kept>,
}

/// A mailbox as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyedMailbox {
    /// As listed; counts are filled in where it could be opened.
    pub info: MailboxInfo,
    /// Why it could not be opened.
    pub trouble: Option<Trouble>,
    /// The place in the survey of the mailbox that this one is, under another name.
    pub same_as: Option<usize>,
}

/// A refusal that takes one mailbox with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The server's words.
    pub words: String,
    /// Time alone may cure it.
    pub passes: bool,
}

impl SideSurvey {
    /// Puts the pieces together: each mailbox once, in a stable order.
    pub fn new(abilities: Abilities, room: Option<Room>, listed: Vec<MailboxInfo>) -> Self {
        let surveyed = |info| SurveyedMailbox { info, trouble: None, same_as: None };
        let name_rules = NameRules::of(&abilities, &listed);
        let mailboxes = tidy(listed).into_iter().map(surveyed).collect();
        Self { abilities, room, mailboxes, untold: Vec::new(), name_rules, profile: None }
    }

    /// Where new mailboxes go: the first personal namespace (RFC 2342), else the top of the hierarchy that the
    /// listing shows.
    pub fn home(&self) -> Prefix {
        home(&self.abilities, self.mailboxes.iter().map(|m| &m.info))
    }

    /// Takes over what a probe of this side learnt, where it is of this server: its rules for names.
    pub fn know(&mut self, kept: Option<Kept>) {
        if let Some(Kept { profile, fits: true, .. }) = &kept {
            profile.names.refine(&mut self.name_rules);
            let inbox = self.mailboxes.iter_mut().find(|m| names::is_inbox(&m.info.wire));
            if let (Some(inbox), Some(false)) = (inbox, profile.names.below_inbox) {
                inbox.info.may_have_children = false;
            }
        }
        self.profile = kept;
    }

    /// The mailboxes by [`names::key`].
    pub fn by_key(&self) -> HashMap<Bytes, &SurveyedMailbox> {
        self.mailboxes.iter().map(|m| (names::key(&m.info.wire, m.info.delimiter), m)).collect()
    }

    /// Room left, in octets and in messages, where announced.
    pub fn free(&self) -> (Option<u64>, Option<u64>) {
        let Some(room) = self.room else { return (None, None) };
        let left = |limit: Option<u64>, used: Option<u64>| Some(limit?.saturating_sub(used?));
        (left(room.limit_octets, room.used_octets), left(room.limit_messages, room.used_messages))
    }
}

/// Where new mailboxes of a side go, as it announces it and lists its mailboxes: see [`SideSurvey::home`].
pub(crate) fn home<'a>(abilities: &Abilities, listed: impl IntoIterator<Item = &'a MailboxInfo>) -> Prefix {
    let delimiter = listed.into_iter().find_map(|info| info.delimiter);
    match abilities.personal.first() {
        Some(prefix) => Prefix { wire: prefix.wire.clone(), delimiter: prefix.delimiter.or(delimiter) },
        None => Prefix { wire: Bytes::new(), delimiter },
    }
}

/// What a refusal that may pass is to the survey and the plan, where it is about one mailbox: another session holds it, the
/// server is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// A reason to ask again later: the whole fails, and nothing was changed.
    Fails,
    /// Trouble of this mailbox, which is left for this run.
    IsTrouble,
}

/// Looks at both sides. The two are asked at the same time.
///
/// # Errors
/// A failed command; a side that lists nothing at all, which is never taken for "no mail" (law 7).
pub async fn survey<S: SourceSession, T: TargetSession>(
    source: &mut S,
    target: &mut T,
    passing: Passing,
) -> Result<Survey, Error> {
    let old = async { survey_source(source, passing).await.map_err(Error::Source) };
    let new = async { survey_target(target, passing).await.map_err(Error::Target) };
    let (source, target) = try_join(old, new).await?;
    Ok(Survey { source, target })
}

/// A mailbox that the server would not open does not stop the survey: its trouble is kept with it.
pub(crate) async fn survey_source<S: SourceSession>(
    session: &mut S,
    passing: Passing,
) -> Result<SideSurvey, EndError> {
    let (mut listed, mut untold) = (session.mailboxes().await?, session.untold());
    if once_more(&untold, passing)? {
        (listed, untold) = (session.mailboxes().await?, session.untold());
    }
    let abilities = session.abilities().clone();
    let mut listed = not_empty(&abilities, listed)?;
    if !lists_inbox(&listed)
        && let Ok(opened) =
            or_trouble(session.open(&Bytes::from_static(names::INBOX.as_bytes())).await, passing)?
    {
        listed.push(unlisted_inbox(&listed, &opened));
    }
    let room = optional(session.room().await)?;
    let mut side = SideSurvey { untold, ..SideSurvey::new(abilities, room, listed) };
    for mailbox in &mut side.mailboxes {
        if mailbox.info.selectable && mailbox.info.counts.is_none() {
            // What belongs to others is not waited for.
            let own = mailbox.info.space == Space::Personal;
            let passing = if own { passing } else { Passing::IsTrouble };
            match or_trouble(session.open(&mailbox.info.wire).await, passing)? {
                Ok(opened) => mailbox.info.counts = Some(counts_of(&opened)),
                Err(trouble) => mailbox.trouble = Some(trouble),
            }
        }
    }
    twins::find(session, &mut side).await?;
    Ok(side)
}

/// Target mailboxes are not opened here: the plan counts those it needs.
pub(crate) async fn survey_target<T: TargetSession>(
    session: &mut T,
    passing: Passing,
) -> Result<SideSurvey, EndError> {
    let (mut listed, mut untold) = (session.mailboxes().await?, session.untold());
    if once_more(&untold, passing)? {
        (listed, untold) = (session.mailboxes().await?, session.untold());
    }
    let abilities = session.abilities().clone();
    let mut listed = not_empty(&abilities, listed)?;
    if !lists_inbox(&listed)
        && let Ok(opened) =
            or_trouble(session.open(&Bytes::from_static(names::INBOX.as_bytes())).await, passing)?
    {
        listed.push(unlisted_inbox(&listed, &opened));
    }
    let room = optional(session.room().await)?;
    Ok(SideSurvey { untold, ..SideSurvey::new(abilities, room, listed) })
}

/// Whether to list once more, at once, because of what was refused in passing; where somebody waits for it to pass, it is theirs.
fn once_more(untold: &[Untold], passing: Passing) -> Result<bool, EndError> {
    match untold.iter().find(|one| one.may_pass()) {
        Some(one) if passing == Passing::Fails => Err(one.error.clone()),
        found => Ok(found.is_some()),
    }
}

/// Every account has an INBOX (RFC 9051, 5.1), so an empty list is a failure of the server, or of the rights of
/// this login (law 7).
fn not_empty(abilities: &Abilities, listed: Vec<MailboxInfo>) -> Result<Vec<MailboxInfo>, EndError> {
    if listed.is_empty() {
        return Err(EndError::Protocol {
            server: server_name(abilities),
            doing: LISTING,
            what: "it shows no mailbox at all, not even INBOX; that is taken for a failure, not for an empty account"
                .to_owned(),
        });
    }
    Ok(listed)
}

fn server_name(abilities: &Abilities) -> String {
    if abilities.product.is_empty() { "the server".to_owned() } else { abilities.product.clone() }
}

fn lists_inbox(listed: &[MailboxInfo]) -> bool {
    listed.iter().any(|m| names::is_inbox(&m.wire))
}

/// INBOX, where the server opens it without listing it.
fn unlisted_inbox(listed: &[MailboxInfo], opened: &Opened) -> MailboxInfo {
    MailboxInfo {
        wire: Bytes::from_static(names::INBOX.as_bytes()),
        text: names::INBOX.to_owned(),
        delimiter: listed.iter().find_map(|m| m.delimiter),
        selectable: true,
        may_have_children: true,
        role: None,
        subscribed: false,
        space: Space::Personal,
        counts: Some(counts_of(opened)),
    }
}

fn counts_of(opened: &Opened) -> MailboxCounts {
    MailboxCounts {
        messages: opened.facts.exists,
        octets: None,
        uid_next: opened.facts.uid_next,
        uid_validity: Some(opened.facts.uid_validity),
        highest_mod_seq: opened.facts.highest_mod_seq,
    }
}

/// Separates a refusal that concerns one mailbox, which is kept, from failures that end the survey.
pub(crate) fn or_trouble<V>(
    outcome: Result<V, EndError>,
    passing: Passing,
) -> Result<Result<V, Trouble>, EndError> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(EndError::Refused { server, doing, refusal }) => {
            let words = refusal.to_string();
            let error = EndError::Refused { server, doing, refusal };
            let of_mailbox = error.reach().scope <= Scope::Mailbox;
            let passes = error.is_passing();
            if of_mailbox && !(passes && passing == Passing::Fails) {
                Ok(Err(Trouble { words, passes }))
            } else {
                Err(error)
            }
        }
        Err(error) => Err(error),
    }
}

/// A refusal to tell the room is no reason to stop: it is then unknown.
fn optional(room: Result<Option<Room>, EndError>) -> Result<Option<Room>, EndError> {
    match room {
        Err(EndError::Refused { .. }) => Ok(None),
        other => other,
    }
}

/// Each mailbox once, INBOX first, then by name. A server may list a mailbox twice (seen with INBOX in two
/// spellings): the copies are one mailbox, and what either tells is kept.
fn tidy(mut listed: Vec<MailboxInfo>) -> Vec<MailboxInfo> {
    listed.sort_by_cached_key(order);
    let mut tidied: Vec<MailboxInfo> = Vec::with_capacity(listed.len());
    for info in listed {
        match tidied.last_mut() {
            Some(last)
                if names::key(&last.wire, last.delimiter) == names::key(&info.wire, info.delimiter) =>
            {
                last.selectable |= info.selectable;
                last.may_have_children |= info.may_have_children;
                last.subscribed |= info.subscribed;
                last.role = last.role.or(info.role);
                last.counts = last.counts.or(info.counts);
            }
            _ => tidied.push(info),
        }
    }
    tidied
}

/// Total, so that the order of the listing never matters: of two copies the personal, selectable one comes first.
fn order(info: &MailboxInfo) -> impl Ord + use<> {
    let name = (!names::is_inbox(&info.wire), names::key(&info.wire, info.delimiter));
    let facts = (info.space != Space::Personal, info.space == Space::Shared, !info.selectable);
    let rest = (info.role.is_none(), info.role, info.counts.is_none(), info.counts.map(|c| c.messages));
    (name, facts, rest, info.wire.clone())
}

/// For `check --json`: facts, no decisions.
impl Serialize for Survey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View {
            source: SideView,
            target: SideView,
        }
        View { source: (&self.source).into(), target: (&self.target).into() }.serialize(serializer)
    }
}

/// One side in numbers, for `check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SideView {
    /// What the server calls itself.
    pub product: String,
    /// Protocol and cipher; none for clear text.
    pub tls: Option<String>,
    /// The connection is compressed (COMPRESS=DEFLATE).
    pub compressed: bool,
    /// Capability names.
    pub capabilities: Vec<String>,
    /// Prefix of the personal namespace, decoded.
    pub prefix: String,
    /// Hierarchy delimiter.
    pub delimiter: Option<char>,
    /// Largest message it takes, in octets.
    pub append_limit_octets: Option<u64>,
    /// Mailboxes listed.
    pub mailboxes: u64,
    /// Of these, other people's and shared ones.
    pub not_personal: u64,
    /// Of these, personal ones that could not be opened.
    pub not_opened: u64,
    /// Messages in the personal mailboxes whose count is known.
    pub messages: u64,
    /// Octets in the personal mailboxes whose size is known; none if no size is known.
    pub octets: Option<u64>,
    /// Room left, in octets.
    pub free_octets: Option<u64>,
    /// Room left, in messages.
    pub free_messages: Option<u64>,
    /// Mailboxes by special-use role.
    pub roles: Vec<(String, String)>,
}

impl From<&SideSurvey> for SideView {
    fn from(side: &SideSurvey) -> Self {
        let personal: Vec<&SurveyedMailbox> =
            side.mailboxes.iter().filter(|m| m.info.space == Space::Personal).collect();
        let home = side.home();
        let (free_octets, free_messages) = side.free();
        let sizes = personal.iter().filter_map(|m| m.info.counts?.octets);
        Self {
            product: side.abilities.product.clone(),
            tls: side.abilities.tls.clone(),
            compressed: side.abilities.compression == Compression::Deflate,
            capabilities: side.abilities.announced.clone(),
            prefix: names::decode(&home.wire, side.abilities.utf8_names),
            delimiter: home.delimiter,
            append_limit_octets: side.abilities.append_limit_octets,
            mailboxes: side.mailboxes.len() as u64,
            not_personal: (side.mailboxes.len() - personal.len()) as u64,
            not_opened: personal.iter().filter(|m| m.trouble.is_some()).count() as u64,
            messages: personal
                .iter()
                .filter_map(|m| Some(m.info.counts?.messages))
                .fold(0, u64::saturating_add),
            octets: sizes.reduce(u64::saturating_add),
            free_octets,
            free_messages,
            roles: personal
                .iter()
                .filter_map(|m| Some((m.info.role?.as_str().to_owned(), m.info.text.clone())))
                .collect(),
        }
    }
}
