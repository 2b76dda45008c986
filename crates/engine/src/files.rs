//! Files that hold people's mail facts: readable by their owner alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Creates or truncates a file with mode 0600.
pub fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Creates a folder and its parents with mode 0700. One that exists stays as it is.
pub fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a file whole or not at all, in place of what was there, with mode 0600. Its folder is made where it is missing.
pub fn replace_private(path: &Path, octets: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = temporary(folder)?;
    file.write_all(octets)?;
    publish(file, path)
}

/// A new file in `folder` (made if missing, mode 0700) under a name of its own, mode 0600. It is gone when dropped.
pub(crate) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    private_folder(folder)?;
    tempfile::Builder::new().prefix(".mailhaul-").suffix(".new").tempfile_in(folder)
}

/// Gives a finished temporary file its name: a reader sees the old content or the new, never half of it.
pub(crate) fn publish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
