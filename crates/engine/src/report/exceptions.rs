//! The originals of messages that a person must look at, saved as `.eml` beside the report.

use crate::error::Error;
use crate::journal::ItemId;
use crate::transfer::spool::Body;
use std::path::{Path, PathBuf};

/// Characters of a mailbox name that go into a file name.
const NAME_CHARACTERS_MAX: usize = 60;

/// Where the original of a message is saved. Different messages have different paths: the numbers name it, the
/// mailbox is there for people.
pub fn exception_path(folder: &Path, mailbox: &str, item: ItemId) -> PathBuf {
    let safe = |c: char| if c.is_alphanumeric() || "-_ ".contains(c) { c } else { '_' };
    let name: String = mailbox.chars().take(NAME_CHARACTERS_MAX).map(safe).collect();
    folder.join(format!("{}.{}.{}-{name}.eml", item.mailbox.0, item.epoch.0, item.key))
}

/// Writes the octets of a message, as they were fetched or last sent, to [`exception_path`].
pub async fn save_exception(folder: &Path, mailbox: &str, item: ItemId, body: &Body) -> Result<(), Error> {
    let path = exception_path(folder, mailbox, item);
    let failed = |what: String| Error::Report { path: path.display().to_string(), what };
    let mut file = create(&path).await.map_err(|e| failed(e.to_string()))?;
    let mut offset = 0;
    while offset < body.octets() {
        let piece = body.piece(offset).await.map_err(|e| failed(e.to_string()))?;
        offset += piece.len() as u64;
        file = tokio::task::spawn_blocking(move || {
            std::io::Write::write_all(&mut file, &piece)?;
            Ok::<_, std::io::Error>(file)
        })
        .await
        .map_err(|e| failed(e.to_string()))?
        .map_err(|e| failed(e.to_string()))?;
    }
    Ok(())
}

async fn create(path: &Path) -> std::io::Result<std::fs::File> {
    if let Some(folder) = path.parent() {
        crate::files::private_folder(folder)?;
    }
    crate::files::private_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{EpochId, MailboxId};
    use crate::message::Key;

    #[test]
    fn a_name_cannot_leave_the_folder_and_two_messages_never_share_a_file() {
        let item = |key| ItemId { mailbox: MailboxId(1), epoch: EpochId(2), key: Key(key) };
        let path = exception_path(Path::new("/r"), "../../etc/passwd", item(7));
        assert_eq!(path.parent(), Some(Path::new("/r")));
        assert_ne!(path, exception_path(Path::new("/r"), "../../etc/passwd", item(8)));
    }
}
