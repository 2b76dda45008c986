//! The key with which this installation signs its certificates: one file in the state folder, for its owner alone. It is made
//! once, and never replaced.

use crate::env;
use crate::error::Failure;
use mailhaul_engine::certificate::{PublicKey, Signer};
use mailhaul_engine::files::private_folder;
use std::io::{self, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// The signer of this installation; its key is made where there is none. Where none can be kept, `warn` is told why, and
/// there is no signer.
pub fn signer(warn: impl Fn(&str)) -> Result<Option<Signer>, Failure> {
    let unsigned = |why: &str| {
        warn(&format!("the certificate is not signed, because no key can be kept for that: {why}"));
        Ok(None)
    };
    let Some(file) = env::signing_key() else { return unsigned("no home folder is named") };
    let signer = match load(&file)? {
        Some(signer) => signer,
        None => match make(&file) {
            Ok(()) => return load(&file),
            Err(error) => return unsigned(&format!("{}: {error}", file.display())),
        },
    };
    if is_open_to_others(&file) {
        warn(&format!(
            "others can read {}: who has it can sign in the name of this installation. `chmod 600` keeps it for you",
            file.display()
        ));
    }
    Ok(Some(signer))
}

/// Says before anything is done that the key that is there cannot be used.
pub fn check() -> Result<(), Failure> {
    env::signing_key().map_or(Ok(None), |file| load(&file)).map(|_| ())
}

/// The public half of the key that is kept here. `None` where none is, or none that can be read: who only looks at a
/// certificate needs none.
pub fn own() -> Option<PublicKey> {
    env::signing_key().and_then(|file| load(&file).ok().flatten()).map(|signer| signer.public())
}

/// `None` where there is no such file.
fn load(file: &Path) -> Result<Option<Signer>, Failure> {
    let unusable = |why: String| {
        let what = format!("the key that signs certificates cannot be used: {}: {why}", file.display());
        Failure::usage(what).hint(
            "put it back from a backup, or move it away: then a new one is made, and what the old one signed stays signed by it",
        )
    };
    match std::fs::read(file).map(Zeroizing::new) {
        Ok(pem) => Signer::from_pem(&pem).map(Some).map_err(|e| unusable(e.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// Makes a key and its file, whole or not at all. One that is there stays: of two processes that make one at the same
/// moment, the first is right.
fn make(file: &Path) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    private_folder(folder)?;
    let (_, pem) = Signer::generate().map_err(io::Error::other)?;
    // `tempfile` makes files that only their owner can read.
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(pem.as_bytes())?;
    new.as_file().sync_all()?;
    match new.persist_noclobber(file) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(error.error),
        _ => {}
    }
    // Its name is on the disk, too, before anything is signed; where folders cannot be synced, soon after.
    #[cfg(unix)]
    std::fs::File::open(folder)?.sync_all().unwrap_or_default();
    Ok(())
}

#[cfg(unix)]
fn is_open_to_others(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0)
}

/// The folder of a user's local data is closed to others there.
#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn key_of(file: &Path) -> String {
        load(file).unwrap().unwrap().public().fingerprint().to_string()
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/signing-key.pem");
        assert!(load(&file).unwrap().is_none());
        make(&file).unwrap();
        let (key, octets) = (key_of(&file), std::fs::read(&file).unwrap());
        make(&file).unwrap();
        assert_eq!((key_of(&file), std::fs::read(&file).unwrap()), (key, octets));
        let names: Vec<_> =
            std::fs::read_dir(file.parent().unwrap()).unwrap().map(|f| f.unwrap().path()).collect();
        assert_eq!(names, [file.as_path()], "nothing else is left behind");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
            assert!(!is_open_to_others(&file));
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(is_open_to_others(&file));
        }
    }

    #[test]
    fn those_who_make_it_at_the_same_moment_end_with_one_key() {
        const MAKERS: usize = 16;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state/signing-key.pem");
        let start = std::sync::Barrier::new(MAKERS);
        let one = || {
            start.wait();
            make(&file).unwrap();
            key_of(&file)
        };
        let keys: BTreeSet<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(one)).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert_eq!(keys.len(), 1, "{keys:?}");
    }

    #[test]
    fn a_damaged_key_is_said_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signing-key.pem");
        make(&file).unwrap();
        let whole = std::fs::read_to_string(&file).unwrap();
        for damaged in ["", "x", &whole[..whole.len() / 2], &whole.replace("PRIVATE", "PUBLIC")] {
            std::fs::write(&file, damaged).unwrap();
            make(&file).unwrap();
            let failure = load(&file).unwrap_err();
            assert_eq!(failure.code, crate::error::USAGE);
            assert!(
                failure.what.contains("signing-key.pem: it is no private Ed25519 key"),
                "{}",
                failure.what
            );
            assert!(failure.hint.unwrap().contains("put it back from a backup"));
            assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged, "never replaced");
        }
    }
}
