//! The remarks of one kind, from the first to the last.

use super::{Journal, JournalResult, MailboxId, NoteRecord};

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

/// The kind of the last remark about a mailbox whose kind begins with `prefix`.
pub(crate) async fn last_kind<J: Journal>(
    journal: &J,
    prefix: &str,
    page_rows: usize,
    mailbox: MailboxId,
) -> JournalResult<Option<String>> {
    let mut last = None;
    each_note(journal, prefix, page_rows, |NoteRecord { note, .. }| {
        if note.mailbox == Some(mailbox) {
            last = Some(note.kind.clone());
        }
    })
    .await?;
    Ok(last)
}
