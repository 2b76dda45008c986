//! One writer at a time: a locked file beside the journal, whose text names the holder for people.

use super::open::sync_folder;
use crate::clock::wall_now;
use crate::files::private_folder;
use crate::journal::{JournalError, JournalResult};
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The lock beside the journal: held as long as the file is open, so it ends with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Given back in so many words: a program that this process is just starting has the file, too, until it begins, and
    /// closing ours alone would leave the journal held for that moment.
    fn drop(&mut self) {
        // Closed next, which gives it back as well.
        let _ = self.0.unlock();
    }
}

/// Takes the lock, or says who holds it.
pub(super) fn lock(journal: &Path, holder: &str) -> JournalResult<Lock> {
    let failed = |e: std::io::Error| JournalError::Store {
        place: journal.display().to_string(),
        doing: "take its lock",
        what: e.to_string(),
    };
    if let Some(folder) = journal.parent().filter(|f| !f.as_os_str().is_empty()) {
        make_folder(folder).map_err(failed)?;
    }
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(suffixed(journal, ".lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(JournalError::Held { holder: named(&mut file) }),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let now = jiff::Timestamp::try_from(wall_now()).unwrap_or_default();
    let (process, since) = (std::process::id(), now.strftime("%Y-%m-%d %H:%M:%S UTC"));
    let named = file.set_len(0).and_then(|()| writeln!(file, "{holder}, process {process}, since {since}"));
    named.map_err(failed)?;
    Ok(Lock(file))
}

/// The name is for people; the lock itself is what counts. Windows lets nobody read a locked file.
fn named(file: &mut File) -> String {
    let mut holder = String::new();
    match file.read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => holder.trim().to_owned(),
        _ => "its name cannot be read".to_owned(),
    }
}

/// Creates the folder with mode 0700 and makes it durable: a journal in a folder that a crash forgets is no journal.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let missing = folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && !f.exists()).count();
    private_folder(folder)?;
    folder.ancestors().skip(1).take(missing).try_for_each(sync_folder)
}

/// A name beside the journal.
pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_is_free_also_where_a_child_process_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal.sqlite");
        let held = lock(&journal, "one").unwrap();
        // What a process has between fork and exec.
        let inherited = held.0.try_clone().unwrap();
        assert!(matches!(lock(&journal, "two"), Err(JournalError::Held { .. })));
        drop(held);
        lock(&journal, "two").unwrap();
        drop(inherited);
    }
}
