//! Whether a run repairs what the target does not take, or destroys, as it is (T4 and T8 of the ladder): by its option, or by a
//! consent that a person gave for all runs, which the journal of the pair keeps until it is taken back.

use crate::config::Settings;
use crate::journal::{Journal, JournalResult, Note, each_note};
use crate::report::{DAMAGED, REFUSED};

/// [`Note::kind`] of a consent that was given or taken back; the last one counts.
pub const CONSENT: &str = "repair:consent";
const GIVEN: &str = "given";
const TAKEN_BACK: &str = "taken back";
/// Notes read from the journal at once.
const PAGE_ROWS: usize = 1000;

/// Pure: whether a run with these settings repairs, where a consent is `standing` or not. What is said now counts more.
pub fn repairs(settings: &Settings, standing: bool) -> bool {
    settings.repair || settings.consent.unwrap_or(standing)
}

/// Pure: whether a run with these settings repairs by a consent of former days alone, where one is `standing` or not: what was tried
/// in vain is not tried again.
pub fn repairs_by_habit(settings: &Settings, standing: bool) -> bool {
    repairs(settings, standing) && !asks_anew(settings, standing)
}

/// Pure: a person asks for a repair now.
fn asks_anew(settings: &Settings, standing: bool) -> bool {
    settings.repair || (settings.consent == Some(true) && !standing)
}

/// Pure: whether a run with these settings, which say what holds for it, tries an exception of this kind again. A consent to
/// repair is about what a repair may move, and about nothing else.
pub fn retries(settings: &Settings, kind: Option<&str>) -> bool {
    settings.retry_exceptions || (settings.repair && matches!(kind, Some(REFUSED | DAMAGED)))
}

/// Whether a consent stands.
///
/// # Errors
/// Those of the journal.
pub async fn standing<J: Journal>(journal: &J) -> JournalResult<bool> {
    let mut stands = false;
    each_note(journal, CONSENT, PAGE_ROWS, |record| stands = record.note.text == GIVEN).await?;
    Ok(stands)
}

/// What holds for one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repairs {
    /// It repairs.
    pub(crate) repairs: bool,
    /// A person asks for it now: by the option, or by a consent that is news. What was tried in vain is tried again.
    pub(crate) asked_anew: bool,
}

/// Keeps what the settings say of a consent, if that is news.
///
/// # Errors
/// Those of the journal.
pub(crate) async fn settle<J: Journal>(journal: &J, settings: &Settings) -> JournalResult<Repairs> {
    let stands = standing(journal).await?;
    if let Some(now) = settings.consent.filter(|now| *now != stands) {
        let text = if now { GIVEN } else { TAKEN_BACK }.to_owned();
        journal.note(Note { kind: CONSENT.to_owned(), mailbox: None, key: None, text }).await?;
    }
    Ok(Repairs { repairs: repairs(settings, stands), asked_anew: asks_anew(settings, stands) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::AccountPair;
    use crate::journal::memory::MemoryStore;

    fn said(repair: bool, consent: Option<bool>) -> Settings {
        Settings { repair, consent, ..Settings::new("") }
    }

    #[test]
    fn an_option_is_for_one_run_and_what_is_said_now_counts_more_than_what_was_said() {
        let table = [
            (false, None, false, false),
            (false, None, true, true),
            (false, Some(true), false, true),
            (false, Some(false), true, false),
            (true, None, false, true),
        ];
        for (repair, consent, standing, is_repaired) in table {
            assert_eq!(
                repairs(&said(repair, consent), standing),
                is_repaired,
                "{repair} {consent:?} {standing}"
            );
        }
    }

    #[tokio::test]
    async fn a_consent_stands_until_it_is_taken_back_and_an_option_gives_none() {
        let pair = AccountPair { source: "a".into(), target: "b".into() };
        let journal = MemoryStore::new().open(&pair).unwrap();
        for (repair, consent, stands, anew) in [
            (true, None, false, true),
            (false, Some(true), true, true),
            (false, Some(true), true, false),
            (true, None, true, true),
            (false, None, true, false),
            (false, Some(false), false, false),
            (false, Some(true), true, true),
        ] {
            let settled = settle(&journal, &said(repair, consent)).await.unwrap();
            assert_eq!(standing(&journal).await.unwrap(), stands, "{repair} {consent:?}");
            assert_eq!(
                settled,
                Repairs { repairs: repair || stands, asked_anew: anew },
                "{repair} {consent:?}"
            );
        }
    }
}
