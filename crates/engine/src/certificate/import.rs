//! Fills an empty journal with what a certificate and its manifest say, through the same checked moves as a run. From
//! there `verify` and the report work as ever: there is one verification, not two.

use super::read::{Certificate, Line, Lines};
use crate::error::Error;
use crate::identity::Grade;
use crate::journal::{
    Baseline, BatchEnd, Change, EpochFacts, EpochId, Existing, Form, Intent, ItemId, Journal, Ladder,
    ListedItem, MailboxId, MailboxRecord, Origin, Place, ReadBack, Reason, Sent, Side, State,
};
use crate::labels::LINEAGE;
use crate::message::{Digest, Fingerprint, Flags, InternalDate, Key, UidValidity};
use std::collections::BTreeMap;

/// Lines taken over at once.
const LINES_AT_ONCE: usize = 500;

impl Certificate {
    /// Fills `journal`, which must be empty. After an error it is of no use.
    ///
    /// # Errors
    /// [`Error::Certificate`] where certificate and manifest contradict each other, or the manifest was changed since the
    /// certificate was read; those of the journal.
    pub async fn import<J: Journal>(&self, journal: &J) -> Result<(), Error> {
        let mut lines = self.lines()?;
        let taken = self.take_all(journal, &mut lines).await;
        // Where the manifest is another one by now, whatever else went wrong comes of that.
        lines.finish()?;
        taken
    }

    async fn take_all<J: Journal>(&self, journal: &J, lines: &mut Lines<'_>) -> Result<(), Error> {
        let mut mailboxes = self.mailboxes(journal).await?;
        let (mut piece, mut of) = (Vec::new(), String::new());
        for line in lines.by_ref() {
            let line = line?;
            if line.source.mailbox != of || piece.len() == LINES_AT_ONCE {
                self.take_over(journal, &mut mailboxes, std::mem::take(&mut piece)).await?;
                of.clone_from(&line.source.mailbox);
            }
            piece.push(line);
        }
        self.take_over(journal, &mut mailboxes, piece).await?;
        if lines.read != self.lines {
            let what = format!("its manifest has {} lines, certified are {}", lines.read, self.lines);
            return Err(self.damaged(what));
        }
        Ok(())
    }

    /// The mailboxes, with the epochs that were current and a baseline: by their names at the source.
    async fn mailboxes<J: Journal>(&self, journal: &J) -> Result<BTreeMap<String, Known>, Error> {
        let mut known = BTreeMap::new();
        for mailbox in &self.mailboxes {
            let (Some(source), Some(decision)) = (mailbox.source(), mailbox.decision()) else {
                return Err(self.damaged("one of its mailboxes has no name, or no decision"));
            };
            let record = MailboxRecord {
                id: MailboxId(0),
                source,
                role: mailbox.role.clone(),
                subscribed: false,
                messages: mailbox.survey_messages,
                octets: mailbox.survey_bytes,
                decision,
            };
            let text = record.source.text.clone();
            let saved = journal.save_mailboxes(&[record]).await?;
            let Some(id) = saved.first().map(|r| r.id) else { continue };
            let mut mailbox_known = Known { id, source: BTreeMap::new(), target: BTreeMap::new() };
            if let Some(validity) = mailbox.source_uidvalidity {
                mailbox_known.epoch(journal, Side::Source, validity).await?;
            }
            if let Some(validity) = mailbox.target_uidvalidity {
                let epoch = mailbox_known.epoch(journal, Side::Target, validity).await?;
                let baseline = Baseline { epoch, uid_next: Key(1), existing: Existing::New, matched: true };
                journal.set_baseline(id, baseline).await?;
            }
            if known.insert(text.clone(), mailbox_known).is_some() {
                return Err(self.damaged(format!("two of its mailboxes are called {text}")));
            }
        }
        Ok(known)
    }

    /// Takes over lines of one mailbox.
    async fn take_over<J: Journal>(
        &self,
        journal: &J,
        mailboxes: &mut BTreeMap<String, Known>,
        lines: Vec<Line>,
    ) -> Result<(), Error> {
        let Some(first) = lines.first() else { return Ok(()) };
        let Some(known) = mailboxes.get_mut(&first.source.mailbox) else {
            return Err(self.damaged(format!("its manifest names {}, it does not", first.source.mailbox)));
        };
        let mut entries = Vec::with_capacity(lines.len());
        for line in &lines {
            entries.push(self.entry(journal, known, line).await?);
        }
        for epoch in entries.iter().map(|e| e.item.epoch).collect::<std::collections::BTreeSet<_>>() {
            let of_epoch = entries.iter().zip(&lines).filter(|(e, _)| e.item.epoch == epoch);
            let listed: Vec<ListedItem> = of_epoch.map(|(e, line)| listed(e, line)).collect();
            journal.record_listing(known.id, epoch, &listed).await?;
        }
        append(journal, known, &entries).await?;
        let rest: Vec<Change> = entries.iter().flat_map(Entry::changes).collect();
        Ok(journal.change(&rest).await?)
    }

    async fn entry<J: Journal>(&self, journal: &J, known: &mut Known, line: &Line) -> Result<Entry, Error> {
        let who = || format!("UID {} of {}", line.source.uid, line.source.mailbox);
        let Some(state) = State::parse(&line.state) else {
            return Err(self.damaged(format!("{}: the state {} is not known", who(), line.state)));
        };
        let Some(validity) = line.source.uidvalidity else {
            return Err(self.damaged(format!("{}: no UIDVALIDITY", who())));
        };
        let epoch = known.epoch(journal, Side::Source, validity).await?;
        let place = match &line.target {
            Some(target) => {
                let Some(validity) = target.uidvalidity else {
                    return Err(self.damaged(format!("{}: no UIDVALIDITY at the new server", who())));
                };
                let epoch = known.epoch(journal, Side::Target, validity).await?;
                Some(Place { epoch, uid: Key(target.uid) })
            }
            None => None,
        };
        let sent = sent(line);
        if sent.is_none() && place.is_some() {
            return Err(self.damaged(format!("{}: a place and no digest", who())));
        }
        Ok(Entry {
            item: ItemId { mailbox: known.id, epoch, key: Key(line.source.uid) },
            state,
            read_back: sent.as_ref().and_then(|s| read_back(line, s)),
            sent,
            place,
            origin: line.origin.as_deref().and_then(Origin::parse).unwrap_or(Origin::Appended),
            grade: line.grade.as_deref().and_then(Grade::parse),
            reason: line.reason.as_ref().map(|r| Reason::new(r.kind.clone(), r.text.clone())),
        })
    }
}

/// A mailbox in the new journal, with its epochs by UIDVALIDITY.
struct Known {
    id: MailboxId,
    source: BTreeMap<u32, EpochId>,
    target: BTreeMap<u32, EpochId>,
}

impl Known {
    async fn epoch<J: Journal>(&mut self, journal: &J, side: Side, validity: u32) -> Result<EpochId, Error> {
        let epochs = if side == Side::Source { &mut self.source } else { &mut self.target };
        if let Some(epoch) = epochs.get(&validity) {
            return Ok(*epoch);
        }
        let current = journal.epochs(self.id, side).await?.pop();
        let facts = facts(validity);
        let epoch = journal.open_epoch(self.id, side, &facts).await?.id;
        epochs.insert(validity, epoch);
        // An older one that the manifest still speaks of does not become the current one.
        if let Some(current) = current {
            journal.open_epoch(self.id, side, &current.facts).await?;
        }
        Ok(epoch)
    }
}

fn facts(validity: u32) -> EpochFacts {
    let uid_validity = UidValidity(validity);
    EpochFacts { uid_validity, uid_next: None, exists: 0, highest_mod_seq: None, mailbox_id: None }
}

/// One line as the journal keeps it.
struct Entry {
    item: ItemId,
    state: State,
    sent: Option<Sent>,
    place: Option<Place>,
    origin: Origin,
    grade: Option<Grade>,
    read_back: Option<ReadBack>,
    reason: Option<Reason>,
}

impl Entry {
    /// It went through a batch: it was sent, and is or was at the target.
    fn was_appended(&self) -> bool {
        let there = matches!(
            self.state,
            State::Stored
                | State::Verified
                | State::Merged
                | State::GoneAtTarget
                | State::MovedAtTarget
                | State::Suspect
        );
        self.sent.is_some() && (there || (self.state == State::Exception && self.place.is_some()))
    }

    /// The first state after its batch.
    fn stored(&self) -> Change {
        let to = if self.state == State::Merged { State::Merged } else { State::Stored };
        let mut change = Change::to(self.item, to);
        change.place = self.place.map(|place| (place, self.origin));
        change
    }

    /// The moves from there, or from `listed`, to its state.
    fn changes(&self) -> Vec<Change> {
        let mut last = Change::to(self.item, self.state);
        (last.grade, last.read_back, last.reason) = (self.grade, self.read_back.clone(), self.reason.clone());
        match self.state {
            // Still to do, or left out: the listing said so.
            State::Listed
            | State::Fetched
            | State::Committed
            | State::InDoubt
            | State::Refused
            | State::Unreadable
            | State::Excluded => Vec::new(),
            State::AlreadyThere => {
                last.sent = self.sent.clone();
                last.place = self.place.map(|place| (place, self.origin));
                vec![last]
            }
            State::Exception if !self.was_appended() => {
                vec![Change::to(self.item, State::Unreadable), last]
            }
            State::GoneAtSource => vec![last],
            _ if self.was_appended() => vec![last],
            _ => Vec::new(),
        }
    }
}

/// Takes those that were appended through a batch.
async fn append<J: Journal>(journal: &J, known: &Known, entries: &[Entry]) -> Result<(), Error> {
    let appended: Vec<&Entry> = entries.iter().filter(|e| e.was_appended()).collect();
    let Some(epoch) =
        appended.iter().find_map(|e| e.place).map(|p| p.epoch).or(known.target.values().next().copied())
    else {
        return Ok(());
    };
    if appended.is_empty() {
        return Ok(());
    }
    let items = appended.iter().filter_map(|e| Some((e.item, e.sent.clone()?))).collect();
    let intent = Intent { mailbox: known.id, epoch, uid_next: Key(1), form: Form::Group, items };
    let batch = journal.commit_batch(&intent).await?;
    let stored: Vec<Change> = appended.iter().map(|e| e.stored()).collect();
    Ok(journal.end_batch(batch, BatchEnd::Answered, &stored).await?)
}

fn listed(entry: &Entry, line: &Line) -> ListedItem {
    let rule = || entry.reason.as_ref().map_or_else(String::new, |r| r.kind.clone());
    ListedItem {
        key: entry.item.key,
        octets: line.source.size,
        flags: flags(&line.source.flags),
        internal_date: date(line.source.internaldate.as_ref()),
        mod_seq: None,
        lineage: line.source.message_number.as_ref().map(|number| format!("{LINEAGE}{number}")),
        excluded: (entry.state == State::Excluded).then(rule),
    }
}

/// What was fetched and sent. The digest of what was sent after a change is known, its normal form is not: it is that of
/// what was fetched, since the steps of the ladder change line ends alone.
fn sent(line: &Line) -> Option<Sent> {
    let fetched = Fingerprint {
        octets: line.octets.unwrap_or(line.source.size),
        exact: digest(line.sha256.as_ref()?)?,
        normal: digest(line.normal_sha256.as_ref()?)?,
    };
    let step = |name: &String| match name.as_str() {
        "T1" => Ladder::LINE_ENDS,
        "T2" => Ladder::NO_KEYWORDS,
        "T3" => Ladder::NO_DATE,
        "T4" => Ladder::ENCODED,
        "T8" => Ladder::WRAPPED,
        _ => Ladder::default(),
    };
    let sent_flags = line.flags.as_ref().map_or(&line.source.flags, |f| &f.sent);
    let sent_date = match &line.date {
        Some(date) => date.sent.as_ref(),
        None => line.source.internaldate.as_ref(),
    };
    Some(Sent {
        fetched,
        sent: fetched,
        flags: flags(sent_flags).sendable(),
        internal_date: date(sent_date),
        ladder: line.ladder.iter().map(step).fold(Ladder::default(), Ladder::with),
    })
}

/// What was read back then, as far as the manifest tells.
fn read_back(line: &Line, sent: &Sent) -> Option<ReadBack> {
    let exact = digest(line.target_sha256.as_ref()?)?;
    let read_flags = line.flags.as_ref().and_then(|f| f.read_back.as_deref()).map(flags);
    let read_date = line.date.as_ref().and_then(|d| d.read_back.as_ref());
    // NEWLINE means that the normal forms agreed; of other octets only the digest is known.
    let grade = line.grade.as_deref().and_then(Grade::parse);
    let others = matches!(grade, Some(Grade::Semantic | Grade::Damaged));
    let normal = if others { exact } else { sent.fetched.normal };
    Some(ReadBack {
        fingerprint: Some(Fingerprint { exact, normal, ..sent.fetched }),
        octets: sent.fetched.octets,
        flags: read_flags.unwrap_or_else(|| sent.flags.clone()),
        internal_date: date(read_date).or_else(|| sent.internal_date.clone()),
        mod_seq: None,
    })
}

fn flags(atoms: &[String]) -> Flags {
    Flags::from_atoms(atoms.iter().map(String::as_bytes))
}

fn date(text: Option<&String>) -> Option<InternalDate> {
    text.map(InternalDate::from_octets)
}

fn digest(hex: &String) -> Option<Digest> {
    let mut octets = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (octet, pair) in octets.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Digest(octets))
}
