//! The answers as files in the state folder: one for each pair of accounts, named as its journal is, and one for what has no pair
//! yet. Whoever works with one has its lock, so that two windows do not write over one another's answers.

use super::answers::Answers;
use crate::env;
use crate::error::Failure;
use mailhaul_engine::files::{private_file, private_folder, replace_private};
use mailhaul_engine::plain::Plain;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// What the name of an answers file ends with.
const SUFFIX: &str = ".answers.json";
/// The answers that have no pair yet.
const UNFINISHED: &str = "answers.json";

/// A move that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The name of its file.
    pub name: String,
    /// What was answered.
    pub answers: Answers,
}

/// An answers file, and the lock of it.
#[derive(Clone, Debug)]
pub struct Kept {
    file: PathBuf,
    /// `None` where files cannot be locked.
    _lock: Option<Arc<File>>,
    /// Another window has it: here, it is in memory alone.
    is_elsewhere: bool,
}

impl Kept {
    /// The file of what has no pair yet. Where another window has it, these answers are in memory alone.
    ///
    /// # Errors
    /// There is no folder for it.
    pub fn unfinished() -> Result<Self, Failure> {
        let file = folder()?.join(UNFINISHED);
        let (lock, is_elsewhere) = lock(&file).map_or((None, true), |lock| (lock, false));
        Ok(Self { file, _lock: lock, is_elsewhere })
    }

    /// The file of a pair, by the name of its journal, or by its own.
    ///
    /// # Errors
    /// Another window has it; there is no folder for it.
    pub fn of(name: &str) -> Result<Self, Failure> {
        let name = name.strip_suffix(SUFFIX).or(name.strip_suffix(".sqlite")).unwrap_or(name);
        let file = folder()?.join(format!("{name}{SUFFIX}"));
        let lock = lock(&file)?;
        Ok(Self { file, _lock: lock, is_elsewhere: false })
    }

    /// True where this is the file of that name.
    pub fn is_of(&self, name: &str) -> bool {
        let own = self.file.file_name().and_then(|own| own.to_str()).and_then(|own| own.strip_suffix(SUFFIX));
        own.is_some_and(|own| Some(own) == name.strip_suffix(SUFFIX).or(name.strip_suffix(".sqlite")))
    }

    /// True where something is written there.
    pub fn exists(&self) -> bool {
        self.file.exists()
    }

    /// What is written there; nothing where nothing was.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> Result<Answers, Failure> {
        if self.is_elsewhere {
            return Ok(Answers::default());
        }
        Ok(read(&self.file)?.unwrap_or_default())
    }

    /// Writes it down.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, answers: &Answers) -> Result<(), Failure> {
        if self.is_elsewhere {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(answers).unwrap_or_default();
        replace_private(&self.file, &text).map_err(|error| {
            let details = format!("{}: {error}", self.file.display());
            let hint = "make room there, or let this user write there";
            let plain =
                Plain::new("Your answers cannot be written down.", format!("{NO_ROOM} Then come again."));
            let failure =
                Failure::failed(format!("the answers cannot be written down: {details}")).hint(hint);
            Failure { plain: Some(Box::new(plain.details(details))), ..failure }
        })
    }

    /// It has a pair now, and is kept there.
    pub fn remove_unfinished(&self) {
        if self.is_unfinished() && !self.is_elsewhere {
            // One that stays is offered once more, and does no harm.
            let _ = std::fs::remove_file(&self.file);
        }
    }

    /// True where it has no pair yet.
    pub fn is_unfinished(&self) -> bool {
        self.file.file_name().is_some_and(|name| name == UNFINISHED)
    }
}

/// What to do where nothing can be written.
const NO_ROOM: &str = "The disk may be full, or the folder may be of somebody else: make room there, or let this user write there.";

/// All moves that were begun, the latest first; and why others, if any, cannot be read.
pub fn begun() -> (Vec<Begun>, Vec<Failure>) {
    let (mut found, mut unreadable): (Vec<(SystemTime, Begun)>, _) = (Vec::new(), Vec::new());
    let entries = folder().ok().and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(SUFFIX) {
            continue;
        }
        let answers = match read(&entry.path()) {
            Ok(Some(answers)) => answers,
            Ok(None) => continue,
            Err(failure) => {
                unreadable.push(failure);
                continue;
            }
        };
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        found.push((changed.unwrap_or(SystemTime::UNIX_EPOCH), Begun { name, answers }));
    }
    found.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.name.cmp(&other.name)));
    (found.into_iter().map(|(_, begun)| begun).collect(), unreadable)
}

fn folder() -> Result<PathBuf, Failure> {
    env::answers_folder().ok_or_else(|| {
        let hint = "set HOME, or the folder for what programs keep: XDG_STATE_HOME, with its whole path";
        Failure::usage("there is no folder where answers could be kept").hint(hint)
    })
}

fn read(file: &Path) -> Result<Option<Answers>, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        let details = format!("{}: {error}", file.display());
        let plain = Plain::new(
            "Your answers cannot be read: those of an earlier time are damaged, or their folder is closed to you.",
            "Remove that file to begin anew; it holds your answers alone, no mail.",
        );
        let failure = Failure::usage(format!("what was answered before cannot be read: {details}"))
            .hint("remove that file to begin anew; it holds your answers alone, no mail");
        Failure { plain: Some(Box::new(plain.details(details))), ..failure }
    };
    match std::fs::read(file) {
        Ok(octets) => serde_json::from_slice(&octets).map(Some).map_err(|e| unreadable(&e)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(&error)),
    }
}

/// The lock of an answers file, as long as it lives: beside it, since the file itself is replaced by each writing. `None` where it
/// cannot be locked for another reason than that somebody has it: what cannot be written is told when it is to be written.
fn lock(file: &Path) -> Result<Option<Arc<File>>, Failure> {
    let made = file.parent().map(private_folder);
    let opened = private_file(&file.with_extension("lock"));
    let (Some(Ok(())), Ok(opened)) = (made, opened) else { return Ok(None) };
    match opened.try_lock() {
        Ok(()) => Ok(Some(Arc::new(opened))),
        Err(TryLockError::WouldBlock) => {
            let what = "Another window is at work on it.";
            let plain =
                Plain::new(what, "Go on there, or close it first. Other mailboxes can be moved from here.");
            let failure = Failure::usage("another process prepares this move");
            Err(Failure { code: HELD, plain: Some(Box::new(plain)), ..failure })
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Another process holds this migration (docs/cli.md).
const HELD: u8 = 11;
