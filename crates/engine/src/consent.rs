//! Whether a run repairs what the target does not take, or destroys, as it is (T4 and T8 of the ladder): by its option, or by a
//! consent that a person gave for all runs, which the journal of the pair keeps until it is taken back.

use crate::config::Settings;
use crate::journal::{Journal, JournalResult, Note};
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
    let (mut stands, mut after) = (false, i64::MIN);
    loop {
        let page = journal.notes(CONSENT, after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { return Ok(stands) };
        (stands, after) = (last.note.text == GIVEN, last.id);
    }
}

/// Keeps what the settings say of a consent, if that is news. Returns whether the run repairs.
///
/// # Errors
/// Those of the journal.
pub(crate) async fn settle<J: Journal>(journal: &J, settings: &Settings) -> JournalResult<bool> {
    let stands = standing(journal).await?;
    if let Some(now) = settings.consent.filter(|now| *now != stands) {
        let text = if now { GIVEN } else { TAKEN_BACK }.to_owned();
        journal.note(Note { kind: CONSENT.to_owned(), mailbox: None, key: None, text }).await?;
    }
    Ok(repairs(settings, stands))
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
        for (repair, consent, stands) in [
            (true, None, false),
            (false, Some(true), true),
            (true, None, true),
            (false, None, true),
            (false, Some(false), false),
            (false, Some(true), true),
        ] {
            settle(&journal, &said(repair, consent)).await.unwrap();
            assert_eq!(standing(&journal).await.unwrap(), stands, "{repair} {consent:?}");
        }
    }
}
