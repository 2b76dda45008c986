//! A profile in the journal of a pair: notes. What a probe made and perhaps left is there, too, before it is made.

use super::letters::Token;
use super::{Identity, Profile};
use crate::end::Abilities;
use crate::journal::{Journal, JournalResult, Note, NoteRecord, each_note};
use std::time::SystemTime;

/// What all kinds begin with.
pub(crate) const KIND: &str = "probe:";
/// A profile, as JSON. The last one counts.
const KEPT: &str = "probe:profile";
/// A probe with the token of the text is about to make mailboxes.
const BEGUN: &str = "probe:begun";
/// Nothing is left of the probe with this token.
const ENDED: &str = "probe:ended";
/// Notes read from the journal at once.
const PAGE_ROWS: usize = 1000;

/// A profile, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When.
    pub at: SystemTime,
    /// The profile.
    pub profile: Profile,
    /// It is of the server that was met now, for all that this says of itself: it is used.
    pub fits: bool,
}

impl Kept {
    /// The day of the probe: `2026-11-27`.
    pub fn day(&self) -> String {
        let at = jiff::Timestamp::try_from(self.at);
        at.map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%d").to_string())
    }
}

/// What the journal holds of probes.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    /// The last profile, and when it was made.
    pub(crate) last: Option<(SystemTime, Profile)>,
    /// Tokens of probes that may have left something.
    pub(crate) open: Vec<Token>,
}

impl Probes {
    /// Reads it.
    pub(crate) async fn read<J: Journal>(journal: &J) -> JournalResult<Self> {
        let mut probes = Self::default();
        each_note(journal, KIND, PAGE_ROWS, |record| probes.take_in(record)).await?;
        Ok(probes)
    }

    fn take_in(&mut self, record: &NoteRecord) {
        let Note { kind, text, .. } = &record.note;
        match kind.as_str() {
            // One that a later Mailhaul wrote otherwise is none; what came before it is out of date.
            KEPT => {
                let read = serde_json::from_str(text).ok();
                self.last = read.map(|profile| (record.at, profile));
            }
            // A text of another form names nothing that a probe made.
            BEGUN => self.open.extend(Token::parse(text)),
            ENDED => self.open.retain(|token| token.as_str() != text),
            _ => {}
        }
    }
}

/// The last profile of the pair, and whether it is of the server that says this of itself.
///
/// # Errors
/// Those of the journal.
pub async fn kept<J: Journal>(journal: &J, target: &Abilities) -> JournalResult<Option<Kept>> {
    let last = Probes::read(journal).await?.last;
    Ok(last.map(|(at, profile)| Kept { at, fits: profile.server == Identity::of(target), profile }))
}

/// Keeps a profile.
pub(crate) async fn keep<J: Journal>(journal: &J, profile: &Profile) -> JournalResult<()> {
    journal.note(note(KEPT, serde_json::to_string(profile).unwrap_or_default())).await
}

/// Says durably that a probe with this token is about to make mailboxes.
pub(crate) async fn begin<J: Journal>(journal: &J, token: &Token) -> JournalResult<()> {
    journal.note_durably(note(BEGUN, token.as_str().to_owned())).await
}

/// Says that nothing is left of it.
pub(crate) async fn end<J: Journal>(journal: &J, token: &Token) -> JournalResult<()> {
    journal.note(note(ENDED, token.as_str().to_owned())).await
}

fn note(kind: &str, text: String) -> Note {
    Note { kind: kind.into(), mailbox: None, key: None, text }
}
