//! The probe at work: thin. It makes the scratch mailbox, appends, reads back, tries names, and hands over what it saw. What
//! it made is removed by whoever started it ([`super::scratch::clean`]), whatever became of it.

use super::letters::{self, Letter, Odd, Trial};
use super::names::{Name, NameTrial, Outcome, first_names, single_names};
use super::scratch::{Scratch, clean};
use super::{Found, Observations, Sent, Told};
use crate::end::{Answer, Depth, Outgoing, Section, Target, TargetSession, Upload, Uploaded, Verdict};
use crate::error::{EndError, RefusalClass};
use crate::limits::{PROBE_GROUP_MESSAGES, PROBE_LOSSES_MAX, PROBE_READ_OCTETS_MAX};
use crate::message::Key;
use crate::probe::Probe;
use crate::transfer::spool::Intake;
use bytes::Bytes;
use std::collections::HashMap;
use std::time::SystemTime;
use tokio::sync::mpsc;

/// Facts on their way from the connection.
const FACTS_QUEUED: usize = 64;
/// A message with fewer octets may be the bad one of a MULTIAPPEND.
const BAD_OCTETS_MAX: usize = 4096;

/// A probe of a target.
#[derive(Debug)]
pub(crate) struct Probing<'a, T: Target> {
    /// Where.
    pub(crate) target: &'a T,
    /// The connection at work; none while it is lost.
    pub(crate) session: Option<T::Session>,
    /// What it works in.
    pub(crate) scratch: &'a Scratch,
    /// Where bodies are put.
    pub(crate) intake: &'a Intake,
    /// For tests.
    pub(crate) stop: &'a Probe,
    /// The time of the probe.
    pub(crate) now: SystemTime,
    /// Connections lost.
    pub(crate) losses: u32,
    /// What was seen so far.
    pub(crate) seen: Observations,
}

/// Why a probe could not begin.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The scratch mailbox was refused.
    NoMailbox(String),
    /// The connection failed, more often than is waited for.
    Failed(EndError),
}

impl From<EndError> for Ended {
    fn from(error: EndError) -> Self {
        Self::Failed(error)
    }
}

impl<T: Target> Probing<'_, T> {
    /// Does it all.
    pub(crate) async fn observe(&mut self) -> Result<(), Ended> {
        self.stop.pass("probe:create").await;
        let wire = self.scratch.wire.clone();
        match self.create(&wire).await? {
            Outcome::Taken => {}
            Outcome::Refused(words) | Outcome::Unknown(words) | Outcome::Lost(words) => {
                return Err(Ended::NoMailbox(words));
            }
            Outcome::Changed => {
                return Err(Ended::NoMailbox("it is not listed under the name that was asked for".into()));
            }
        }
        let abilities = self.session().await?.abilities().clone();
        self.seen.tells_places = abilities.tells_places;
        if abilities.gmail {
            // A deleted label leaves its messages in All Mail.
            self.seen.no_messages = Some(
                "this server keeps messages when their mailbox is deleted, so that none was sent".into(),
            );
        } else {
            self.messages(abilities.multi).await?;
        }
        Ok(self.names().await?)
    }

    /// The connection; another one where it was lost.
    async fn session(&mut self) -> Result<&mut T::Session, EndError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.target.connect().await?,
        };
        Ok(self.session.insert(session))
    }

    /// Notes that the connection was lost; too many losses end the probe.
    fn lost(&mut self, error: EndError) -> Result<(), EndError> {
        self.session = None;
        self.losses += 1;
        if self.losses > PROBE_LOSSES_MAX || matches!(error, EndError::Stopped) { Err(error) } else { Ok(()) }
    }

    async fn messages(&mut self, multi: bool) -> Result<(), EndError> {
        let letters = letters::letters(&self.scratch.token, self.now);
        // The empty one bears no marker: it goes only where a message is surely kept as it is, so that it is known again.
        let last = letters.iter().position(is_empty).unwrap_or(letters.len());
        let mut answers = self.send(&letters[..last], PROBE_GROUP_MESSAGES).await?;
        if last < letters.len() {
            answers.push(Told::Untried);
            answers.extend(self.send(&letters[last + 1..], PROBE_GROUP_MESSAGES).await?);
        }
        let mut found = self.read_back(answers.iter().filter(|told| is_stored(told)).count()).await?;
        // What was refused, or lost with a connection, is tried once more, alone: then it is known that it is about this message.
        let is_there =
            |found: &HashMap<usize, Vec<Found>>, letter: &Letter| found.contains_key(&letter.number);
        for (letter, told) in letters.iter().zip(&mut answers) {
            if is_empty(letter) {
                if keeps_exactly(&found, &letters[0]) {
                    *told = self.send_twice(letter).await?;
                }
            } else if !is_stored(told) && !is_there(&found, letter) {
                *told = self.send(std::slice::from_ref(letter), 1).await?.pop().unwrap_or(Told::Untried);
            }
        }
        let singles: Vec<(Letter, Told)> = letters.into_iter().zip(answers).collect();
        let fewer = match singles.last() {
            Some((Letter { trial: Trial::ManyKeywords, .. }, Told::Refused(_))) => {
                self.fewer_keywords(singles.len()).await?
            }
            _ => Vec::new(),
        };
        let (mut together, mut with_bad) = (Vec::new(), Vec::new());
        if multi {
            let first = singles.len() + fewer.len();
            together = self.send_together(letters::batch(&self.scratch.token, first, None)).await?;
            if let Some((bad, _)) = singles.iter().find(|(letter, told)| is_bad(letter, told)) {
                with_bad =
                    self.send_together(letters::batch(&self.scratch.token, first + 3, Some(bad))).await?;
            }
        }
        let all = singles.iter().chain(&fewer).chain(&together).chain(&with_bad);
        found = self.read_back(all.filter(|(_, told)| is_stored(told)).count()).await?;
        let sent =
            |(letter, told): (Letter, Told)| Sent { found: find(&found, &letter, &told), letter, told };
        self.seen.singles = singles.into_iter().map(sent).collect();
        self.seen.fewer_keywords = fewer.into_iter().map(sent).collect();
        self.seen.together = together.into_iter().map(sent).collect();
        self.seen.with_bad = with_bad.into_iter().map(sent).collect();
        Ok(())
    }

    /// After [`letters::MANY_KEYWORDS`] were refused: how many are taken, by halves. Messages are numbered from `first` on.
    async fn fewer_keywords(&mut self, first: usize) -> Result<Vec<(Letter, Told)>, EndError> {
        let (mut taken, mut refused) = (0, letters::MANY_KEYWORDS);
        let mut tried = Vec::new();
        while refused - taken > 1 {
            let keywords = taken.midpoint(refused);
            let letter = letters::with_keywords(&self.scratch.token, first + tried.len(), keywords);
            let told = self.send_twice(&letter).await?;
            match told {
                Told::Stored(_) => taken = keywords,
                Told::Refused(_) => refused = keywords,
                // It says nothing of keywords, and the next would not either.
                Told::Lost(_) | Told::Untried => return Ok(tried),
            }
            tried.push((letter, told));
        }
        Ok(tried)
    }

    /// Sends messages, each for itself, so many at a time.
    async fn send(&mut self, letters: &[Letter], at_a_time: usize) -> Result<Vec<Told>, EndError> {
        let mut told = Vec::with_capacity(letters.len());
        while told.len() < letters.len() {
            self.stop.pass("probe:append").await;
            let group = &letters[told.len()..letters.len().min(told.len() + at_a_time)];
            told.extend(self.send_group(group, false).await?);
        }
        Ok(told)
    }

    /// Sends a message; once more if it was refused.
    async fn send_twice(&mut self, letter: &Letter) -> Result<Told, EndError> {
        let letters = std::slice::from_ref(letter);
        let mut told = self.send(letters, 1).await?;
        if matches!(told.last(), Some(Told::Refused(_) | Told::Untried)) {
            told = self.send(letters, 1).await?;
        }
        Ok(told.pop().unwrap_or(Told::Untried))
    }

    async fn send_together(&mut self, letters: Vec<Letter>) -> Result<Vec<(Letter, Told)>, EndError> {
        self.stop.pass("probe:multiappend").await;
        let told = self.send_group(&letters, true).await?;
        Ok(letters.into_iter().zip(told).collect())
    }

    /// One group: the answers to as many as were sent, at least one.
    async fn send_group(&mut self, letters: &[Letter], together: bool) -> Result<Vec<Told>, EndError> {
        let mut batch = Vec::with_capacity(letters.len());
        for letter in letters {
            let body = self.intake.body(letter.octets.clone()).await?;
            batch.push(Outgoing { flags: letter.flags.clone(), internal_date: letter.date.clone(), body });
        }
        let wire = self.scratch.wire.clone();
        let session = self.session().await?;
        let mut upload =
            if together { session.stage(&wire, batch) } else { session.stage_apart(&wire, batch) };
        let answers = match upload.uploaded().await {
            Uploaded::AtGate => upload.finish().await,
            // Early: others of the group were not sent.
            Uploaded::Refused(refusal) => {
                let messages = if together { letters.len() } else { 1 };
                drop(upload);
                vec![Answer { messages, verdict: Verdict::Refused(refusal) }]
            }
            Uploaded::Lost(what) => {
                drop(upload);
                vec![Answer { messages: letters.len(), verdict: Verdict::Lost(what) }]
            }
        };
        let mut told = Vec::with_capacity(letters.len());
        for Answer { messages, verdict } in &answers {
            told.extend((0..*messages).map(|n| told_of(verdict, n, *messages)));
        }
        if answers.iter().all(|a| matches!(a.verdict, Verdict::Stored(_))) {
            return Ok(told);
        }
        // After a refusal that came before all octets had left, the connection is at its end; the next message must not be
        // taken for what ended it.
        if let Some(session) = &mut self.session
            && let Err(error) = session.keep_alive().await
        {
            self.lost(error)?;
        }
        Ok(told)
    }

    /// Everything in the scratch mailbox, by the number of the message; what bears none under the number of the empty one.
    /// `expected`: how many were said to be stored.
    async fn read_back(&mut self, expected: usize) -> Result<HashMap<usize, Vec<Found>>, EndError> {
        let mut tries = 0;
        loop {
            self.stop.pass("probe:read").await;
            match self.read_once().await {
                // A fresh connection where fewer are listed than were stored (law 7); equal ones may be merged.
                Ok(found) if found.values().map(Vec::len).sum::<usize>() < expected && tries == 0 => {
                    self.session = None;
                }
                Ok(found) => return Ok(found),
                Err(error) if error.is_connection() => self.lost(error)?,
                Err(error) => return Err(error),
            }
            tries += 1;
        }
    }

    async fn read_once(&mut self) -> Result<HashMap<usize, Vec<Found>>, EndError> {
        let (wire, token) = (self.scratch.wire.clone(), self.scratch.token.clone());
        let session = self.session().await?;
        let keys = session.open_and_list(&wire).await?.keys;
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let (out, mut facts) = mpsc::channel::<crate::end::Seen>(FACTS_QUEUED);
        let mut seen = HashMap::new();
        let collecting = async {
            while let Some(fact) = facts.recv().await {
                seen.insert(fact.uid, fact);
            }
        };
        let (read, ()) = tokio::join!(session.read(&keys, Depth::Facts, out), collecting);
        read?;
        let bodies = session.octets_of(&keys, Section::Whole, PROBE_READ_OCTETS_MAX).await?;
        let headers: HashMap<Key, Bytes> =
            match session.octets_of(&keys, Section::Header, PROBE_READ_OCTETS_MAX).await {
                Ok(headers) => headers.into_iter().collect(),
                Err(error) if error.is_connection() => return Err(error),
                Err(_) => HashMap::new(),
            };
        let nameless = Odd::ALL.iter().position(|odd| *odd == Odd::Empty).unwrap_or_default();
        let mut found: HashMap<usize, Vec<Found>> = HashMap::new();
        for (uid, octets) in bodies {
            let Some(fact) = seen.remove(&uid) else { continue };
            let number = letters::number(&token, &octets).unwrap_or(nameless);
            let (size, flags, date) = (fact.octets, fact.flags, fact.internal_date);
            let header = headers.get(&uid).cloned();
            found.entry(number).or_default().push(Found { uid, size, flags, date, octets, header });
        }
        Ok(found)
    }

    /// Tries names: below the scratch mailbox, else beside it.
    async fn names(&mut self) -> Result<(), EndError> {
        let delimiter = self.scratch.delimiter;
        let holds_mail = self.seen.singles.iter().any(|sent| !sent.found.is_empty());
        let mut below = delimiter.is_some();
        let mut trials = self.try_names(&first_names(delimiter, below), below).await?;
        let taken_below = outcome(&trials, Name::Lower).and_then(Outcome::is_taken);
        if below && taken_below != Some(true) {
            below = false;
            trials = self.try_names(&first_names(delimiter, below), below).await?;
        }
        let plain = outcome(&trials, Name::Lower) == Some(&Outcome::Taken);
        self.seen.below_mail = taken_below.filter(|_| plain && holds_mail && delimiter.is_some());
        if plain && outcome(&trials, Name::AllCharacters).and_then(Outcome::is_taken) == Some(false) {
            trials.extend(self.try_names(&single_names(delimiter), below).await?);
        }
        if self.scratch.below_inbox().is_some() {
            trials.extend(self.try_names(&[Name::BelowInbox], below).await?);
        }
        self.seen.names = trials;
        self.remove_names().await
    }

    /// Creates mailboxes of these names and sees how they are listed.
    async fn try_names(&mut self, names: &[Name], below: bool) -> Result<Vec<NameTrial>, EndError> {
        let place = |name: &Name| {
            let component = name.component(&self.scratch.own(), self.scratch.delimiter);
            match name {
                name if name.is_at_top() => Some(self.scratch.at_top(&component)),
                Name::BelowInbox => self.scratch.below_inbox(),
                _ if below => self.scratch.below(&component),
                _ => Some(self.scratch.beside(&component)),
            }
        };
        let wanted: Vec<(Name, Bytes)> =
            names.iter().filter_map(|name| Some((*name, place(name)?))).collect();
        let wires: Vec<(Bytes, Option<crate::end::Role>)> =
            wanted.iter().map(|(_, wire)| (wire.clone(), None)).collect();
        self.stop.pass("probe:names").await;
        let mut outcomes = Vec::with_capacity(wanted.len());
        match self.session().await?.create_each(&wires).await {
            Ok(made) => outcomes.extend(wires.iter().zip(made).map(|((wire, _), made)| judged(wire, made))),
            Err(error) if error.is_connection() => {
                self.lost(error)?;
                for (wire, _) in &wires {
                    outcomes.push(self.create(wire).await?);
                }
            }
            Err(error) => return Err(error),
        }
        let mut trials = Vec::with_capacity(wanted.len());
        for ((name, wire), outcome) in wanted.into_iter().zip(outcomes) {
            // Asked for once more, alone: a refusal may pass.
            let outcome = match outcome {
                Outcome::Changed | Outcome::Refused(_) | Outcome::Unknown(_) => {
                    outcome.confirmed_by(self.create(&wire).await?)
                }
                Outcome::Taken | Outcome::Lost(_) => outcome,
            };
            trials.push(NameTrial { name, outcome });
        }
        Ok(trials)
    }

    /// Deletes the mailboxes whose names were tried. What stays is found by its name at the end.
    async fn remove_names(&mut self) -> Result<(), EndError> {
        self.stop.pass("probe:delete names").await;
        let scratch = self.scratch;
        if let Err(error) = clean(self.session().await?, &scratch.token, Some(&scratch.wire)).await
            && error.is_connection()
        {
            self.lost(error)?;
        }
        Ok(())
    }

    async fn create(&mut self, wire: &Bytes) -> Result<Outcome, EndError> {
        match self.session().await?.create(wire, None).await {
            Err(error) if error.is_connection() => {
                let words = error.to_string();
                self.lost(error)?;
                Ok(Outcome::Lost(words))
            }
            made => Ok(judged(wire, made)),
        }
    }
}

/// What became of a name: listed as asked for, or otherwise.
fn judged(wire: &Bytes, made: Result<Bytes, EndError>) -> Outcome {
    match made {
        Ok(listed) if listed == *wire => Outcome::Taken,
        Ok(_) => Outcome::Changed,
        Err(EndError::Refused { refusal, .. }) if is_about_names(refusal.class) => {
            Outcome::Refused(refusal.to_string())
        }
        Err(EndError::Refused { refusal, .. }) => Outcome::Unknown(refusal.to_string()),
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}

fn outcome(trials: &[NameTrial], name: Name) -> Option<&Outcome> {
    trials.iter().find(|trial| trial.name == name).map(|trial| &trial.outcome)
}

fn told_of(verdict: &Verdict, n: usize, messages: usize) -> Told {
    match verdict {
        Verdict::Stored(places) => {
            let right = places.as_ref().filter(|places| places.uids.len() == messages);
            Told::Stored(right.and_then(|places| places.uids.get(n).copied()))
        }
        Verdict::Refused(refusal) if is_about_messages(refusal.class) => Told::Refused(refusal.to_string()),
        Verdict::Refused(_) => Told::Untried,
        Verdict::Lost(what) => Told::Lost(what.clone()),
        Verdict::Unsent(_) => Told::Untried,
    }
}

/// A refusal that says something of what was sent; a full account or a server in trouble says nothing.
fn is_about_messages(class: RefusalClass) -> bool {
    use RefusalClass::{
        InUse, Login, NoMailbox, NoPermission, Quota, ServerBug, SpentToday, Throttled, ThrottledOrFull,
        Unavailable,
    };
    !matches!(
        class,
        InUse
            | Login
            | NoMailbox
            | NoPermission
            | Quota
            | ServerBug
            | SpentToday
            | Throttled(_)
            | ThrottledOrFull
            | Unavailable
    )
}

/// A refusal that says something of a name: no passing trouble, and no limit of the account.
fn is_about_names(class: RefusalClass) -> bool {
    is_about_messages(class) || matches!(class, RefusalClass::NoMailbox | RefusalClass::NoPermission)
}

fn is_stored(told: &Told) -> bool {
    matches!(told, Told::Stored(_))
}

/// What is there of a message: by its marker, else by the UID that it was given.
fn find(found: &HashMap<usize, Vec<Found>>, letter: &Letter, told: &Told) -> Vec<Found> {
    match found.get(&letter.number) {
        Some(found) => found.clone(),
        None => match told {
            Told::Stored(Some(uid)) => found.values().flatten().filter(|f| f.uid == *uid).cloned().collect(),
            _ => Vec::new(),
        },
    }
}

fn is_empty(letter: &Letter) -> bool {
    letter.octets.is_empty()
}

/// The message came back octet for octet, and with its size.
fn keeps_exactly(found: &HashMap<usize, Vec<Found>>, letter: &Letter) -> bool {
    let is_kept = |found: &Found| found.octets == letter.octets && found.size == letter.octets.len() as u64;
    found.get(&letter.number).is_some_and(|found| !found.is_empty() && found.iter().all(is_kept))
}

/// A message that may stand for a bad one: its octets alone were refused, with a NO.
fn is_bad(letter: &Letter, told: &Told) -> bool {
    let of_octets = matches!(letter.trial, Trial::Octets(_)) && letter.octets.len() <= BAD_OCTETS_MAX;
    of_octets && matches!(told, Told::Refused(words) if words.starts_with("NO"))
}
