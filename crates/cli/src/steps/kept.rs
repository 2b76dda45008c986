//! The answers as files in the state folder: one for each pair of accounts, named as its journal is, and one for what has no pair
//! yet. Whoever works with one has its lock, so that two windows do not write over one another's answers.

use super::answers::Answers;
use crate::env;
use crate::error::Failure;
use mailhaul_engine::files::{private_file, private_folder, replace_private};
use mailhaul_engine::journal::Journal;
use mailhaul_engine::journal::sqlite::SqliteJournal;
use mailhaul_engine::plain::Plain;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// What the name of an answers file ends with.
const SUFFIX: &str = ".answers.json";
/// The answers that have no pair yet.
const UNFINISHED: &str = "answers.json";

/// Runs of a journal that are looked at, the latest first.
const RUNS_MAX: usize = 1000;

/// What the name of one ends with that was set aside.
const ASIDE: &str = ".damaged";

/// A move that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The name of its file.
    pub name: String,
    /// What was answered.
    pub answers: Answers,
}

/// An answers file that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: Failure,
}

/// The answers of other moves.
#[derive(Debug, Default)]
pub struct Others {
    /// Those that are not at their end, the latest first.
    pub begun: Vec<Begun>,
    /// Those that came to their end, the latest first.
    pub done: Vec<Begun>,
    /// What cannot be read.
    pub unreadable: Vec<Unreadable>,
}

impl Others {
    /// All that can be gone on with: what is not at its end comes first.
    pub fn all(&self) -> impl Iterator<Item = &Begun> {
        self.begun.iter().chain(&self.done)
    }
}

/// Why answers are in memory alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unkept {
    /// Another window has their file.
    Elsewhere,
    /// What is in their file cannot be read, and nobody said that it may be set aside.
    Unreadable,
}

/// An answers file, and the lock of it.
#[derive(Clone, Debug)]
pub struct Kept {
    file: PathBuf,
    /// `None` where files cannot be locked.
    _lock: Option<Arc<File>>,
    /// Why nothing is written there; `None` where it is.
    unkept: Option<Unkept>,
}

impl Kept {
    /// The file of what has no pair yet, and what is written there. Where another window has it, or it cannot be read, these answers
    /// are in memory alone.
    ///
    /// # Errors
    /// There is no folder for it, or that is closed.
    pub fn unfinished() -> Result<(Self, Answers), Failure> {
        let file = folder()?.join(UNFINISHED);
        let Ok(lock) = lock(&file) else {
            let kept = Self { file, _lock: None, unkept: Some(Unkept::Elsewhere) };
            return Ok((kept, Answers::default()));
        };
        let (answers, unkept) = match read(&file) {
            Ok(answers) => (answers.unwrap_or_default(), None),
            Err(_) if file.exists() => (Answers::default(), Some(Unkept::Unreadable)),
            // Its folder is closed: nothing can be set aside there, nor be written.
            Err(why) => return Err(why),
        };
        Ok((Self { file, _lock: lock, unkept }, answers.unfinished()))
    }

    /// The file of a pair, by the name of its journal, or by its own.
    ///
    /// # Errors
    /// Another window has it; there is no folder for it.
    pub fn of(name: &str) -> Result<Self, Failure> {
        let name = name.strip_suffix(SUFFIX).or(name.strip_suffix(".sqlite")).unwrap_or(name);
        let file = folder()?.join(format!("{name}{SUFFIX}"));
        let lock = lock(&file)?;
        Ok(Self { file, _lock: lock, unkept: None })
    }

    /// The file of a move that was begun, by where its journal is. `None` where there is none, and where another window has it.
    pub fn of_journal(journal: &Path) -> Option<Self> {
        let (folder, journal) = (folder().ok()?, std::path::absolute(journal).ok()?);
        let name = journal.file_name()?.to_str()?.strip_suffix(".sqlite")?;
        let is_begun = journal.parent()? == folder && folder.join(format!("{name}{SUFFIX}")).exists();
        if is_begun { Self::of(name).ok() } else { None }
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
        Ok(read(&self.file)?.unwrap_or_default())
    }

    /// Writes it down.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, answers: &Answers) -> Result<(), Failure> {
        if self.unkept().is_some() {
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
        if self.is_unfinished() && self.unkept().is_none() {
            // One that stays is offered once more, and does no harm.
            let _ = std::fs::remove_file(&self.file);
        }
    }

    /// Why what is answered is in memory alone; `None` where it is written down.
    pub fn unkept(&self) -> Option<Unkept> {
        // Its lock is here: what was set aside elsewhere meanwhile leaves room for these answers.
        self.unkept.filter(|why| *why == Unkept::Elsewhere || read(&self.file).is_err())
    }

    /// The file of this name was set aside. True where it is this one: it can be written again.
    pub fn is_free(&mut self, name: &str) -> bool {
        let is_this =
            self.unkept == Some(Unkept::Unreadable) && self.file.file_name().is_some_and(|own| own == name);
        if is_this {
            self.unkept = None;
        }
        is_this
    }

    /// True where it has no pair yet.
    pub fn is_unfinished(&self) -> bool {
        self.file.file_name().is_some_and(|name| name == UNFINISHED)
    }
}

/// What to do where nothing can be written.
const NO_ROOM: &str = "The disk may be full, or the folder may be of somebody else: make room there, or let this user write there.";

/// All moves that were begun; and what cannot be read.
pub async fn all() -> Others {
    let (mut found, mut others): (Vec<(SystemTime, Begun)>, _) = (Vec::new(), Others::default());
    let entries = folder().ok().and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        // What is no text is no name that was given here.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !is_answers(&name) {
            continue;
        }
        match read(&entry.path()) {
            Ok(Some(answers)) if name != UNFINISHED => {
                let changed = entry.metadata().and_then(|metadata| metadata.modified());
                found.push((changed.unwrap_or(SystemTime::UNIX_EPOCH), Begun { name, answers }));
            }
            Ok(_) => {}
            Err(why) => others.unreadable.push(Unreadable { name, why }),
        }
    }
    found.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.name.cmp(&other.name)));
    others.unreadable.sort_by(|one, other| one.name.cmp(&other.name));
    for (_, begun) in &mut found {
        if begun.answers.report.is_some() && is_overtaken(begun).await {
            begun.answers.report = None;
        }
    }
    let found = found.into_iter().map(|(_, begun)| begun);
    (others.done, others.begun) = found.partition(|begun| begun.answers.report.is_some());
    others
}

/// True where a run after the one that came to the end may have changed what is there. It may not have been noted: a window had the
/// answers. Nothing is done by a run that looks, and by one that asks first.
async fn is_overtaken(begun: &Begun) -> bool {
    let name = begun.name.strip_suffix(SUFFIX).unwrap_or(&begun.name);
    let (Some(noted), Ok(folder)) = (begun.answers.run, folder()) else { return false };
    // What no journal says is taken as it was noted.
    let Ok(journal) = SqliteJournal::open_read_only(folder.join(format!("{name}.sqlite"))) else {
        return false;
    };
    let runs = journal.runs(RUNS_MAX).await.unwrap_or_default();
    let changes = |verb: &str, outcome: Option<&str>| verb != "verify" && outcome != Some("question");
    runs.iter().any(|run| run.id.0 > noted && changes(&run.verb, run.outcome.as_deref()))
}

fn is_answers(name: &str) -> bool {
    (name.ends_with(SUFFIX) || name == UNFINISHED) && !name.contains(['/', '\\'])
}

/// Gives a file that cannot be read another name, beside it: where it is then.
///
/// # Errors
/// It can be read; the folder cannot be written.
pub fn set_aside(name: &str) -> Result<PathBuf, Failure> {
    let file = folder()?.join(name);
    if !is_answers(name) || read(&file).is_ok() {
        return Err(Failure::usage("there is nothing to be set aside"));
    }
    let named = |n: u32| {
        file.with_file_name(format!("{name}{ASIDE}{}", if n == 1 { String::new() } else { n.to_string() }))
    };
    let free = (1..).map(named).find(|path| !path.exists()).unwrap_or_else(|| named(1));
    std::fs::rename(&file, &free).map_err(|error| {
        let details = format!("{}: {error}", file.display());
        let plain = Plain::new("The file could not be set aside.", format!("{NO_ROOM} Then come again."));
        let failure = Failure::failed(format!("it cannot be set aside: {details}"));
        Failure { plain: Some(Box::new(plain.details(details))), ..failure }
    })?;
    Ok(free)
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
            "That file holds your answers alone, no mail: it can be set aside.",
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
            let what = "Another window or a command is at work on it.";
            let plain =
                Plain::new(what, "Go on there, or end it first. Other mailboxes can be moved from here.");
            let failure = Failure::usage("another process prepares this move");
            Err(Failure { code: HELD, plain: Some(Box::new(plain)), ..failure })
        }
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Another process holds this migration (docs/cli.md).
const HELD: u8 = 11;
