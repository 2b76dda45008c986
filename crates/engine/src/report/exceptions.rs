//! The originals of messages that a person must look at, saved as `.eml` beside the report.

use super::files;
use crate::error::Error;
use crate::journal::ItemId;
use crate::transfer::spool::Body;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of the originals, inside that of the report.
pub const EXCEPTIONS_FOLDER: &str = "exceptions";
/// Octets of a mailbox name that go into a file name. With three numbers of 20 digits it stays below the 255 octets
/// that file systems take.
const NAME_OCTETS_MAX: usize = 120;

/// Where the original of a message is saved. Different messages have different paths: the numbers (mailbox, epoch,
/// UID) name it, the mailbox is there for people.
pub fn exception_path(folder: &Path, mailbox: &str, item: ItemId) -> PathBuf {
    let safe = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
    let mut name = String::new();
    for c in mailbox.chars().map(safe) {
        if name.len() + c.len_utf8() > NAME_OCTETS_MAX {
            break;
        }
        name.push(c);
    }
    folder.join(format!("{name}_{}-m{}-e{}.eml", item.key, item.mailbox.0, item.epoch.0))
}

/// Writes the octets of a message, as they were fetched or last sent, to [`exception_path`], in one step.
pub async fn save_exception(folder: &Path, mailbox: &str, item: ItemId, body: &Body) -> Result<(), Error> {
    let path = exception_path(folder, mailbox, item);
    let failed = |e: std::io::Error| files::failed(&path, &e);
    let mut file = crate::files::temporary(folder).map_err(failed)?;
    let mut offset = 0;
    while offset < body.octets() {
        let piece = body.piece(offset).await.map_err(|e| failed(std::io::Error::other(e)))?;
        offset += piece.len() as u64;
        let written = tokio::task::spawn_blocking(move || {
            file.write_all(&piece)?;
            Ok(file)
        });
        file = written.await.map_err(std::io::Error::other).and_then(|w| w).map_err(failed)?;
    }
    let place = path.clone();
    let published = tokio::task::spawn_blocking(move || crate::files::publish(file, &place));
    published.await.map_err(std::io::Error::other).and_then(|p| p).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{EpochId, MailboxId};
    use crate::message::Key;
    use crate::transfer::spool::Intake;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn item(mailbox: i64, epoch: i64, key: i64) -> ItemId {
        ItemId { mailbox: MailboxId(mailbox), epoch: EpochId(epoch), key: Key(key) }
    }

    proptest! {
        #[test]
        fn a_name_stays_in_its_folder_and_no_two_messages_share_one(
            a in ".{0,80}", b in ".{0,80}",
            x in (0i64..3, 0i64..3, 0i64..12), y in (0i64..3, 0i64..3, 0i64..12),
        ) {
            let (x, y) = (item(x.0, x.1, x.2), item(y.0, y.1, y.2));
            let (p, q) = (exception_path(Path::new("/r"), &a, x), exception_path(Path::new("/r"), &b, y));
            prop_assert_eq!(p.parent(), Some(Path::new("/r")));
            prop_assert!(p.file_name().is_some_and(|n| n.len() <= 255));
            prop_assert!(x == y || p != q);
        }
    }

    #[test]
    fn the_mailbox_and_the_uid_can_be_read_from_the_name() {
        let path = exception_path(Path::new("/r"), "../Entwürfe", item(1, 2, 77));
        assert_eq!(path, Path::new("/r/___Entwürfe_77-m1-e2.eml"));
        let longest = exception_path(Path::new("/r"), &"€".repeat(900), item(i64::MIN, i64::MIN, i64::MIN));
        assert!(longest.file_name().unwrap().len() <= 255);
    }

    #[tokio::test]
    async fn a_spooled_original_is_saved_octet_for_octet_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let octets: Vec<u8> = (0..600_000u32).map(|n| (n % 251) as u8).collect();
        let body = Intake::new(folder.path(), 1000).body(Bytes::from(octets.clone())).await.unwrap();
        let place = folder.path().join("exceptions");
        save_exception(&place, "INBOX", item(1, 1, 5), &body).await.unwrap();
        let path = exception_path(&place, "INBOX", item(1, 1, 5));
        assert_eq!(std::fs::read(&path).unwrap(), octets);
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1, "no temporary file is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(place.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
