//! The one walk over the journal.

use super::differences::Differs;
use super::labelled::Numbers;
use super::mailbox::{Context, MailboxEntry, Walk, sides};
use super::manifest::{self, ManifestWriter, Places};
use super::totals::{Bucket, Totals, split};
use super::{
    CUT, DATES_ANNOUNCED, DifferenceEntry, Differences, EXCEPTIONS_FOLDER, ExceptionEntry, Excerpt,
    FLAGS_ANNOUNCED, Facts, HIDDEN, HIDDEN_MAIL, LEFT, LadderCounts, NoteEntry, Outcome, Report, SPENT,
    Times, exception_path,
};
use crate::config::Level;
use crate::error::Error;
use crate::identity::Grade;
use crate::journal::{
    Decision, Item, ItemId, Journal, JournalError, JournalResult, MailboxId, MailboxRecord, NoteRecord,
    Query, RunId, RunRecord, Side, each_note,
};
use crate::profile::kept;
use crate::recount::{NEW_MAILBOX, SOURCE_NOT_REACHED};
use crate::run::facts::{RUN_FACTS, RunFacts, is_reported};
use crate::transfer::commit_time::LONGEST_COMMIT;
use crate::transfer::replace;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;
use tempfile::NamedTempFile;

/// Items or notes read from the journal at once.
const PAGE_ROWS: usize = 1000;
/// What a line of the manifest takes, in octets: room that is asked for at once.
const LINE_OCTETS: usize = 640;
/// Runs read from the journal: the latest ones.
const RUNS_MAX: usize = 1000;
/// Exceptions written out one by one; all of them are in the manifest.
const EXCEPTIONS_SHOWN_MAX: usize = 1000;
/// Examples of differing flags and dates; all of them are in the manifest.
const DIFFERENCES_SHOWN_MAX: usize = 50;
/// Doubts and other remarks written out one by one.
const NOTES_SHOWN_MAX: usize = 500;
/// How often a journal that changes while it is read is read again.
const WALKS_MAX: usize = 3;

/// Walks the journal, writes the manifest beside `folder/manifest.ndjson` (nowhere without a folder, or where it is as it stands
/// there), and puts the report together. The file in the result still waits for its name.
pub(super) async fn walk<J: Journal>(
    journal: &J,
    facts: &Facts,
    folder: Option<&Path>,
) -> Result<(Report, Option<NamedTempFile>), Error> {
    for _ in 0..WALKS_MAX {
        let before = journal.counts().await?;
        let walked = Walker::new(journal, facts, folder).await?.run().await?;
        // Another process may be copying: two counts of different moments would disagree for no reason.
        if journal.counts().await? == before {
            return Ok(walked);
        }
    }
    let what = "the journal changes while it is being read: ask again when no run is at work".to_owned();
    Err(Error::Report { path: manifest::MANIFEST.into(), what })
}

/// The report, without writing any file.
pub async fn collect<J: Journal>(journal: &J, facts: &Facts) -> Result<Report, Error> {
    Ok(walk(journal, facts, None).await?.0)
}

struct Walker<'a, J> {
    journal: &'a J,
    facts: &'a Facts,
    folder: Option<&'a Path>,
    run: Option<RunRecord>,
    runs: Vec<RunRecord>,
    notes: Notes,
    places: Places,
    manifest: ManifestWriter,
    exceptions: Excerpt<ExceptionEntry>,
    examples: Excerpt<DifferenceEntry>,
    numbers: Numbers,
}

impl<'a, J: Journal> Walker<'a, J> {
    async fn new(journal: &'a J, facts: &'a Facts, folder: Option<&'a Path>) -> Result<Self, Error> {
        let runs = journal.runs(RUNS_MAX).await?;
        let wanted = |r: &&RunRecord| match facts.run {
            Some(run) => r.id == run,
            None => is_reported(r),
        };
        let run = runs.iter().rev().find(wanted).cloned();
        let mailboxes = journal.mailboxes().await?;
        let notes = Notes::read(journal, run.as_ref(), &mailboxes).await?;
        let manifest = ManifestWriter::new(folder)?;
        let (exceptions, examples) = (Excerpt::default(), Excerpt::default());
        let places = places(journal, &mailboxes).await?;
        let numbers = Numbers::default();
        Ok(Self { journal, facts, folder, run, runs, notes, places, manifest, exceptions, examples, numbers })
    }

    async fn run(mut self) -> Result<(Report, Option<NamedTempFile>), Error> {
        let records = self.journal.mailboxes().await?;
        let (tallies, stray) = split(&records, &self.journal.counts().await?);
        let mut mailboxes = Vec::with_capacity(records.len());
        let mut ahead = first_page(self.journal, records.first()).await?;
        for (at, (record, counted)) in records.iter().zip(tallies).enumerate() {
            let context = Context {
                counted,
                baseline: self.journal.baseline(record.id).await?,
                left: self.notes.left.get(&record.id).cloned(),
                flags_announced: self.notes.flags_announced.covers(record.id),
                dates_announced: self.notes.dates_announced.covers(record.id),
                mailbox: record.clone(),
            };
            let entry;
            (entry, ahead) = self.mailbox(context, ahead, records.get(at + 1)).await?;
            mailboxes.push(entry);
        }
        self.finish(mailboxes, stray).await
    }

    /// Walks a mailbox from its first page on. What comes next, a page of it or the first one of `following`, is read by the journal
    /// while the one before is written down.
    async fn mailbox(
        &mut self,
        context: Context,
        first: Vec<Item>,
        following: Option<&MailboxRecord>,
    ) -> Result<(MailboxEntry, Vec<Item>), Error> {
        let (journal, record) = (self.journal, &context.mailbox);
        let mut walk = sides(journal, record.id, self.run.as_ref().map(|r| r.id)).await?;
        let (mut before, mut page) = (None, first);
        loop {
            let last = page.last().map(|item| item.id);
            let is_whole = page.len() < PAGE_ROWS;
            let next = async {
                match is_whole {
                    true => first_page(journal, following).await,
                    false => journal.items(of_mailbox(record.id, last)).await,
                }
            };
            let (next, written) = tokio::join!(next, self.page(record, &mut walk, before, &page));
            written?;
            (before, page) = (last, next?);
            if is_whole {
                return Ok((walk.finish(context), page));
            }
        }
    }

    /// Counts a page of a mailbox, and writes it to the manifest.
    async fn page(
        &mut self,
        record: &MailboxRecord,
        walk: &mut Walk,
        mut before: Option<ItemId>,
        page: &[Item],
    ) -> Result<(), Error> {
        let mut lines = Vec::with_capacity(page.len() * LINE_OCTETS);
        for item in page {
            if before.is_some_and(|last| item.id <= last) {
                return Err(out_of_order(item));
            }
            before = Some(item.id);
            let (bucket, differs) = walk.item(item);
            self.numbers.add(item, &bucket, walk.source.shows(item.id.epoch, item.id.key));
            let source = &walk.source.epochs;
            manifest::line(&mut lines, (record, item), source, &self.places, &differs)?;
            let uid_validity = source.get(&item.id.epoch).copied();
            self.show(record, uid_validity, item, &bucket, &differs).await;
        }
        self.manifest.push(lines, page.len() as u64).await
    }

    async fn show(
        &mut self,
        record: &MailboxRecord,
        uid_validity: Option<u32>,
        item: &Item,
        bucket: &Bucket,
        differs: &Differs,
    ) {
        if let Bucket::Exception(kind) = bucket {
            let file = match self.folder {
                Some(folder) if self.exceptions.shown.len() < EXCEPTIONS_SHOWN_MAX => {
                    saved(folder, record, item.id).await
                }
                _ => None,
            };
            self.exceptions.push(EXCEPTIONS_SHOWN_MAX, || ExceptionEntry {
                mailbox: record.source.text.clone(),
                uidvalidity: uid_validity,
                uid: item.id.key.0,
                internaldate: item.internal_date.as_ref().map(ToString::to_string),
                size: item.sent.as_ref().map_or(item.octets, |s| s.fetched.octets),
                kind: kind.clone(),
                text: item.reason.as_ref().map(|r| r.text.clone()).unwrap_or_default(),
                file,
            });
        }
        if differs.counts() {
            self.examples.push(DIFFERENCES_SHOWN_MAX, || DifferenceEntry {
                mailbox: record.source.text.clone(),
                uid: item.id.key.0,
                what: super::words::differences(item, differs),
            });
        }
    }

    /// The danger options of all runs up to the one reported on: what it says rests on what each of them read. And how
    /// many runs there are of which they are not known.
    fn danger(&self) -> (Vec<String>, u64) {
        let this = self.run.as_ref().map(|r| r.id).filter(|_| self.facts.level.is_some());
        let before = self
            .runs
            .iter()
            .filter(|r| is_reported(r) && self.run.as_ref().is_some_and(|run| r.id <= run.id));
        let unknown =
            before.filter(|r| Some(r.id) != this && !self.notes.runs.contains(&r.id)).count() as u64;
        let all: BTreeSet<&String> = self.notes.danger.iter().chain(&self.facts.danger).collect();
        (all.into_iter().cloned().collect(), unknown)
    }

    async fn finish(
        self,
        mailboxes: Vec<MailboxEntry>,
        stray: u64,
    ) -> Result<(Report, Option<NamedTempFile>), Error> {
        let (danger, danger_unknown_runs) = self.danger();
        let mut totals = Totals::of(mailboxes.iter().map(|m| &m.totals));
        totals.add_stray(stray);
        let (mut differences, mut ladder) = (Differences::default(), LadderCounts::default());
        for mailbox in &mailboxes {
            differences.add_all(&mailbox.differences);
            ladder.line_ends += mailbox.ladder.line_ends;
            ladder.no_keywords += mailbox.ladder.no_keywords;
            ladder.no_date += mailbox.ladder.no_date;
            ladder.encoded += mailbox.ladder.encoded;
            ladder.wrapped += mailbox.ladder.wrapped;
        }
        let copies = self.run.as_ref().is_some_and(|r| r.verb == "migrate");
        let (manifest, file) = self.manifest.finish().await?;
        let mut outcome = outcome(self.facts, &totals, &mailboxes, copies);
        outcome.unlisted_mailboxes += self.notes.new_mailboxes;
        let labelled = self.numbers.finish();
        outcome.unbrought = labelled.map_or(0, |mail| mail.unbrought);
        outcome.hides_mail = self.notes.hides_mail;
        outcome.cuts_mailboxes = self.notes.cuts_mailboxes;
        if manifest.lines != totals.listed() {
            outcome.remainder = outcome.remainder.max(manifest.lines.abs_diff(totals.listed()));
        }
        let report = Report {
            times: times(self.facts, self.run.as_ref(), &self.runs, &mailboxes),
            facts: self.facts.clone(),
            danger,
            danger_unknown_runs,
            pair: self.journal.pair(),
            outcome,
            totals,
            labelled,
            exceptions: self.exceptions,
            differences,
            difference_examples: self.examples,
            doubts: self.notes.doubts,
            remarks: self.notes.remarks,
            ladder,
            manifest,
            mailboxes,
        };
        Ok((report, file))
    }
}

fn of_mailbox(mailbox: MailboxId, after: Option<ItemId>) -> Query<'static> {
    Query { mailbox: Some(mailbox), states: &[], after, limit: PAGE_ROWS }
}

async fn first_page<J: Journal>(journal: &J, mailbox: Option<&MailboxRecord>) -> JournalResult<Vec<Item>> {
    match mailbox {
        Some(record) => journal.items(of_mailbox(record.id, None)).await,
        None => Ok(Vec::new()),
    }
}

/// The target mailboxes by their epochs.
async fn places<J: Journal>(journal: &J, mailboxes: &[MailboxRecord]) -> Result<Places, Error> {
    let mut places = Places::new();
    for record in mailboxes {
        let name = match &record.decision {
            Decision::Move(name) => Some(name.text.clone()),
            Decision::Exclude(_) | Decision::Refuse(_) => None,
        };
        let epochs = journal.epochs(record.id, Side::Target).await?;
        places.extend(epochs.into_iter().map(|e| (e.id, (name.clone(), e.facts.uid_validity.0))));
    }
    Ok(places)
}

fn outcome(facts: &Facts, totals: &Totals, mailboxes: &[MailboxEntry], copies: bool) -> Outcome {
    let count = |of: &dyn Fn(&MailboxEntry) -> bool| mailboxes.iter().filter(|m| of(m)).count() as u64;
    let sum = |of: &dyn Fn(&MailboxEntry) -> u64| mailboxes.iter().map(of).sum::<u64>();
    Outcome {
        // Of one that is not known, the strictest.
        level: facts.level.unwrap_or(Level::Octets),
        mailboxes: count(&MailboxEntry::moves),
        remainder: totals.remainder(),
        double_claims: sum(&|m| m.double_claims),
        pending: totals.walked.pending(),
        stored: totals.walked.of(&Bucket::Stored),
        unlisted_mailboxes: count(&|m| m.is_unlisted(copies)),
        unlisted_targets: count(&MailboxEntry::is_target_unlisted),
        exceptions: totals.walked.exceptions(),
        damaged_or_absent: totals.walked.damaged_or_absent(),
        missing_at_target: sum(&|m| m.missing_at_target),
        refused_mailboxes: count(&MailboxEntry::is_refused_with_mail),
        unannounced_differences: sum(&MailboxEntry::unannounced_differences),
        semantic: totals.walked.of(&Bucket::Verified(Grade::Semantic)),
        unbrought: 0,
        hides_mail: false,
        cuts_mailboxes: false,
    }
}

/// The path of a saved original, relative to the folder of the report.
async fn saved(folder: &Path, record: &MailboxRecord, item: ItemId) -> Option<String> {
    let path = exception_path(&folder.join(EXCEPTIONS_FOLDER), &record.source.text, item);
    let there = tokio::fs::try_exists(&path).await.unwrap_or(false);
    let name = path.file_name()?.to_str()?;
    there.then(|| format!("{EXCEPTIONS_FOLDER}/{name}"))
}

fn out_of_order(item: &Item) -> Error {
    let what = format!("message {:?} comes after a later one", item.id);
    Error::Journal(JournalError::Damaged { place: "the items".into(), what })
}

/// The announcements of one kind.
#[derive(Debug, Default)]
struct Announced {
    all: bool,
    mailboxes: BTreeSet<MailboxId>,
}

impl Announced {
    fn add(&mut self, mailbox: Option<MailboxId>) {
        match mailbox {
            Some(mailbox) => _ = self.mailboxes.insert(mailbox),
            None => self.all = true,
        }
    }

    fn covers(&self, mailbox: MailboxId) -> bool {
        self.all || self.mailboxes.contains(&mailbox)
    }
}

/// The journal's notes, sorted by what they mean here.
#[derive(Debug, Default)]
struct Notes {
    left: BTreeMap<MailboxId, String>,
    /// Mailboxes of the source that no survey has seen.
    new_mailboxes: u64,
    flags_announced: Announced,
    dates_announced: Announced,
    doubts: Excerpt<NoteEntry>,
    remarks: Excerpt<NoteEntry>,
    /// The runs whose facts are kept.
    runs: BTreeSet<RunId>,
    /// The danger options they had.
    danger: BTreeSet<String>,
    /// By the latest run that looked.
    hides_mail: bool,
    cuts_mailboxes: bool,
}

impl Notes {
    async fn read<J: Journal>(
        journal: &J,
        run: Option<&RunRecord>,
        mailboxes: &[MailboxRecord],
    ) -> Result<Self, Error> {
        let names: BTreeMap<MailboxId, &str> =
            mailboxes.iter().map(|m| (m.id, m.source.text.as_str())).collect();
        let mut notes = Self::default();
        each_note(journal, "", PAGE_ROWS, |record| notes.add(record, run, &names)).await?;
        Ok(notes)
    }

    fn add(&mut self, record: &NoteRecord, run: Option<&RunRecord>, names: &BTreeMap<MailboxId, &str>) {
        let note = &record.note;
        let entry = || NoteEntry {
            kind: note.kind.clone(),
            mailbox: note.mailbox.and_then(|m| names.get(&m)).map(|name| (*name).to_owned()),
            uid: note.key.map(|k| k.0),
            text: note.text.clone(),
        };
        match note.kind.as_str() {
            // What an earlier run left may have been done since.
            LEFT if record.run.is_none() || record.run == run.map(|r| r.id) => {
                if let Some(mailbox) = note.mailbox {
                    self.left.insert(mailbox, note.text.clone());
                }
            }
            LEFT | LONGEST_COMMIT => {}
            kind if kind.starts_with(SPENT)
                || kind.starts_with(kept::KIND)
                || kind.starts_with(replace::KIND) => {}
            RUN_FACTS => {
                if let Some((run, facts)) = RunFacts::of(record) {
                    self.runs.insert(run);
                    self.danger.extend(facts.danger);
                }
            }
            // What one run saw of the old account says nothing about the next.
            NEW_MAILBOX | SOURCE_NOT_REACHED if record.run != run.map(|r| r.id) => {}
            NEW_MAILBOX => {
                self.new_mailboxes += 1;
                self.remarks.push(NOTES_SHOWN_MAX, entry);
            }
            HIDDEN_MAIL => {
                self.cuts_mailboxes = note.text == CUT;
                self.hides_mail = note.text == HIDDEN || self.cuts_mailboxes;
            }
            FLAGS_ANNOUNCED => self.flags_announced.add(note.mailbox),
            DATES_ANNOUNCED => self.dates_announced.add(note.mailbox),
            kind if kind == "ghost" || kind == "doubt" || kind.starts_with("doubt:") => {
                self.doubts.push(NOTES_SHOWN_MAX, entry);
            }
            _ => self.remarks.push(NOTES_SHOWN_MAX, entry),
        }
    }
}

fn times(facts: &Facts, run: Option<&RunRecord>, runs: &[RunRecord], mailboxes: &[MailboxEntry]) -> Times {
    let listings = mailboxes.iter().filter(|m| m.moves()).filter_map(|m| m.source.listing.as_ref());
    let listed_in: BTreeSet<_> = listings.map(|l| l.run).collect();
    let listing_runs = || runs.iter().filter(|r| listed_in.contains(&r.id));
    Times {
        run: run.map_or(0, |r| r.id.0),
        verb: run.map(|r| r.verb.clone()).unwrap_or_default(),
        started: run.map(|r| utc(r.started)),
        ended: run.and_then(|r| r.ended).map(utc),
        listed_from: listing_runs().map(|r| r.started).min().map(utc),
        // A run that did not end listed at some time after its start; the end is then not known.
        listed_until: listing_runs()
            .map(|r| r.ended)
            .collect::<Option<Vec<_>>>()
            .and_then(|e| e.into_iter().max())
            .map(utc),
        settle_ms: facts.settle.map(|s| u64::try_from(s.as_millis()).unwrap_or(u64::MAX)),
        timings: facts
            .timings
            .iter()
            .map(|(stage, took)| (format!("{stage}_ms"), u64::try_from(took.as_millis()).unwrap_or(u64::MAX)))
            .collect(),
    }
}

/// RFC 3339, UTC, to the second.
fn utc(time: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or_default();
    jiff::Timestamp::from_second(timestamp.as_second()).unwrap_or_default().to_string()
}
