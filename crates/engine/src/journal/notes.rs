//! The remarks of one kind, from the first to the last.

use super::{Journal, JournalResult, NoteRecord};

/// Hands over each remark whose kind begins with `prefix`, in their order; so many are read at once.
pub(crate) async fn each_note<J: Journal>(
    journal: &J,
    prefix: &str,
    page_rows: usize,
    mut take: impl FnMut(&NoteRecord) + Send,
) -> JournalResult<()> {
    let mut after = i64::MIN;
    loop {
        let page = journal.notes(prefix, after, page_rows).await?;
        page.iter().for_each(&mut take);
        match page.last() {
            Some(last) if page.len() >= page_rows => after = last.id,
            _ => return Ok(()),
        }
    }
}
