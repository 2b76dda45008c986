//! Pure: what a run has done so far, folded from its events; for the terminal and for the page.

use mailhaul_engine::budget::amount;
use mailhaul_engine::journal::{Count, Decision, Item, MailboxRecord, Name};
use mailhaul_engine::names::printable;
use mailhaul_engine::progress::{Progress, SideName, Stage, WaitReason};
use mailhaul_engine::report::{Bucket, words};
use mailhaul_engine::waits::spelled;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// What has happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Messages that take part, as announced.
    pub messages: u64,
    /// Those of them that earlier runs settled.
    pub earlier: u64,
    /// Stored at the new server.
    pub stored: u64,
    /// Left out by a rule.
    pub left_out: u64,
    /// Read back and found good.
    pub verified: u64,
    /// Exceptions.
    pub exceptions: u64,
    /// What is waited for at the old server, and at the new one.
    waits: [Option<Wait>; 2],
    /// Sides whose connections are not compressed although that was asked for.
    pub uncompressed: Vec<SideName>,
    /// The stage that began last.
    pub stage: Option<Stage>,
    /// The mailboxes that move, by number: those that work began on, or all where the journal was read.
    pub mailboxes: BTreeMap<i64, Row>,
    /// The first exceptions.
    pub needs: Vec<Need>,
    /// All messages that are exceptions: their mailbox by number, and their UID.
    excepted: BTreeSet<(i64, i64)>,
    /// Connections that were lost and made again.
    pub reconnects: u64,
    /// How the run ended, in the journal's word.
    pub ended: Option<String>,
}

/// A wait lasts until its end, whatever other connections do meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wait {
    line: String,
    until: SystemTime,
}

/// Exceptions that are kept one by one; the report has all of them.
pub const NEEDS_MAX: usize = 50;

/// A message that became an exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its mailbox at the old server.
    pub mailbox: String,
    /// Its UID there.
    pub uid: i64,
    /// The kind of exception.
    pub kind: String,
    /// The server's words, or ours.
    pub text: String,
}

/// One mailbox that moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Its name at the old server.
    pub source: String,
    /// Its name at the new one.
    pub target: String,
    /// All of its messages, as far as known.
    pub all: Part,
    /// At the new server.
    pub there: Part,
    /// Of these, proven: read back, or recognised by their content.
    pub proven: Part,
    /// Exceptions.
    pub needs: u64,
    /// Left out by a rule, or removed by somebody.
    pub aside: u64,
    /// How far it is.
    pub at: At,
}

/// So many messages of so many octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Messages.
    pub messages: u64,
    /// Their octets.
    pub octets: u64,
}

/// How far a mailbox is in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// Nothing was done yet.
    #[default]
    Before,
    /// It is being copied, or read back.
    Work,
    /// It is done.
    Done,
}

impl Part {
    fn add(&mut self, messages: u64, octets: u64) {
        self.messages = self.messages.saturating_add(messages);
        self.octets = self.octets.saturating_add(octets);
    }

    fn and(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            octets: self.octets.saturating_add(other.octets),
        }
    }
}

impl Row {
    /// What is neither at the new server nor settled otherwise.
    pub fn todo(&self) -> u64 {
        self.all.messages.saturating_sub(self.there.messages + self.needs + self.aside)
    }

    /// As the journal has it.
    fn of(record: &MailboxRecord, target: &Name, counts: &[Count]) -> Self {
        let mut row =
            Self { source: record.source.text.clone(), target: target.text.clone(), ..Self::default() };
        let mut listed = Part::default();
        for count in counts.iter().filter(|count| count.mailbox == record.id) {
            listed.add(count.items, count.octets);
            let bucket = Bucket::of(count.state, count.grade, count.kind.as_deref());
            match bucket {
                Bucket::Stored => row.there.add(count.items, count.octets),
                Bucket::Verified(_) | Bucket::AlreadyThere | Bucket::Merged => {
                    row.there.add(count.items, count.octets);
                    row.proven.add(count.items, count.octets);
                }
                Bucket::Exception(_) => row.needs += count.items,
                Bucket::Excluded(_) | Bucket::GoneAtSource | Bucket::GoneAtTarget | Bucket::MovedAtTarget => {
                    row.aside += count.items
                }
                Bucket::Pending(_) => {}
            }
        }
        row.all = Part {
            messages: record.messages.unwrap_or(0).max(listed.messages),
            octets: record.octets.unwrap_or(0).max(listed.octets),
        };
        row
    }
}

impl View {
    /// Takes one event in. Returns a line for a plain log, where the event is worth one.
    pub fn fold(&mut self, event: &Progress) -> Option<String> {
        match event {
            Progress::StageStarted { stage } => {
                self.stage = Some(*stage);
                return Some(stage_line(*stage).to_owned());
            }
            Progress::Planned { mailboxes, messages, octets } => {
                self.messages = *messages;
                let mailboxes = words::amount(*mailboxes, "folder", "folders");
                let (messages, size) = (words::messages(*messages), words::size(*octets));
                return Some(format!("{messages} in {mailboxes}, {size}"));
            }
            Progress::MailboxStarted { mailbox, source, target, messages, octets } => {
                let row = self.mailboxes.entry(*mailbox).or_default();
                (row.source, row.target, row.at) = (source.clone(), target.clone(), At::Work);
                row.all.messages = row.all.messages.max(*messages);
                row.all.octets = row.all.octets.max(*octets);
                return Some(format!("{} -> {}", printable(source), printable(target)));
            }
            Progress::MailboxListed { mailbox, messages, new, left_out, octets } => {
                let row = self.mailboxes.entry(*mailbox).or_default();
                row.all.messages = row.all.messages.max(*messages);
                row.all.octets = row.all.octets.max(*octets);
                let done = messages.saturating_sub(*new);
                self.left_out += done.min(*left_out);
                self.earlier += done.saturating_sub(*left_out);
            }
            Progress::Stored { mailbox, messages, octets } => {
                self.stored += messages;
                self.mailboxes.entry(*mailbox).or_default().there.add(*messages, *octets);
            }
            Progress::Verified { mailbox, messages, octets } => {
                self.verified += messages;
                self.mailboxes.entry(*mailbox).or_default().proven.add(*messages, *octets);
            }
            Progress::Exception { mailbox, key, kind, text } => {
                self.exceptions += 1;
                let row = self.mailboxes.entry(*mailbox).or_default();
                let name = if row.source.is_empty() { "?" } else { &row.source };
                // One that was tried again and refused again is the same one.
                let again = !self.excepted.insert((*mailbox, *key));
                row.needs += u64::from(!again);
                if !again && self.needs.len() < NEEDS_MAX {
                    let (mailbox, kind, text) = (name.to_owned(), kind.clone(), text.clone());
                    self.needs.push(Need { mailbox, uid: *key, kind, text });
                }
                let what = words::exception_kind(kind);
                let place = if name == "?" { String::new() } else { format!(" in {name}") };
                return Some(format!("needs you: a message{place}: {what} (UID {key}: {text})"));
            }
            Progress::Waiting { side, server, reason, why, seconds, until } => {
                let line = waiting(server, *reason, *seconds, *until);
                let wait = &mut self.waits[usize::from(*side == SideName::Target)];
                if wait.as_ref().is_none_or(|longest| longest.until <= *until) {
                    *wait = Some(Wait { line: line.clone(), until: *until });
                }
                return Some(format!("{line}: {why}"));
            }
            Progress::Forecast { side, server, octets_per_day, seconds, estimated } => {
                let (size, way) = (amount(*octets_per_day), towards(*side));
                let time = spelled(Duration::from_secs(*seconds));
                let takes = match estimated {
                    true => format!("may take some {time}, at a guess"),
                    false => format!("takes at least {time}"),
                };
                return Some(format!("with {size} a day {way} {server} this {takes}"));
            }
            Progress::Reconnecting { why, .. } => {
                self.reconnects += 1;
                let lost = "a connection was lost and is made again; nothing is lost by that";
                return Some(format!("{lost} ({why})"));
            }
            Progress::FewerConnections { why, .. } => {
                return Some(format!("going on with fewer connections: {why}"));
            }
            Progress::Uncompressed { side, .. } if self.uncompressed.contains(side) => {}
            Progress::Uncompressed { side, why } => {
                self.uncompressed.push(*side);
                let server = if *side == SideName::Source { "old" } else { "new" };
                return Some(format!("not compressed on the way to the {server} server: {why}"));
            }
            Progress::Alert { server, text, .. } => return Some(format!("{server} says: {text}")),
            Progress::Resolving { messages, .. } => {
                let messages = words::messages(*messages);
                return Some(format!("looking whether {messages} arrived before the connection was lost"));
            }
            Progress::MailboxDone { mailbox } => {
                self.mailboxes.entry(*mailbox).or_default().at = At::Done;
            }
            Progress::Ended { outcome } => {
                (self.ended, self.waits) = (Some(outcome.clone()), [None, None]);
            }
            Progress::Connected { .. } => {}
        }
        None
    }

    /// What is waited for at this moment.
    pub fn waiting(&self, now: SystemTime) -> Option<String> {
        let lasting = self.waits.iter().flatten().filter(|wait| wait.until > now);
        let lines: Vec<&str> = lasting.map(|wait| wait.line.as_str()).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// Takes all that the journal has, `exceptions` among it: before a run stores anything, or after events were missed.
    pub fn count(&mut self, mailboxes: &[MailboxRecord], counts: &[Count], exceptions: &[Item]) {
        for record in mailboxes {
            let Decision::Move(target) = &record.decision else { continue };
            let before = self.mailboxes.get(&record.id.0).map_or(At::Before, |row| row.at);
            let row = Row { at: before, ..Row::of(record, target, counts) };
            self.mailboxes.insert(record.id.0, row);
        }
        let need = |item: &Item| {
            let mailbox = self.mailboxes.get(&item.id.mailbox.0)?.source.clone();
            let (kind, text) = item.reason.clone().map_or_else(Default::default, |why| (why.kind, why.text));
            Some(Need { mailbox, uid: item.id.key.0, kind, text })
        };
        self.needs = exceptions.iter().take(NEEDS_MAX).filter_map(need).collect();
        self.excepted = exceptions.iter().map(|item| (item.id.mailbox.0, item.id.key.0)).collect();
    }

    /// All mailboxes together, as one without a name.
    pub fn whole(&self) -> Row {
        let mut whole = Row::default();
        for row in self.mailboxes.values() {
            whole.all = whole.all.and(row.all);
            whole.there = whole.there.and(row.there);
            whole.proven = whole.proven.and(row.proven);
            (whole.needs, whole.aside) = (whole.needs + row.needs, whole.aside + row.aside);
        }
        whole
    }

    /// Hundredths of the work, rounded down: moving a message is one half of it, proving it the other. A hundred is reached only
    /// when all is moved and proven, and not before the run has ended.
    pub fn percent(&self) -> u8 {
        let whole = self.whole();
        let all = 2 * u128::from(whole.all.messages);
        if all == 0 {
            return 0;
        }
        let there = whole.there.messages.min(whole.all.messages);
        let proven = whole.proven.messages.min(there);
        let done = u128::from(there) + u128::from(proven) + 2 * u128::from(whole.aside);
        let limit = if self.ended.is_some() { 100 } else { 99 };
        u8::try_from((100 * done / all).min(limit)).unwrap_or(99)
    }

    /// What the run does now.
    pub fn stage_line(&self) -> &'static str {
        self.stage.map_or("Getting ready", stage_line)
    }

    /// One line about the whole, at this moment.
    pub fn line(&self, now: SystemTime) -> String {
        let line = self.numbers();
        match self.waiting(now) {
            Some(waiting) => format!("{line} ({waiting})"),
            None => line,
        }
    }

    /// The same, without what is waited for.
    pub fn numbers(&self) -> String {
        let mut line = format!("{} moved, {} read back and equal", self.stored, self.verified);
        if self.earlier > 0 {
            line += &format!(", {} by earlier runs", self.earlier);
        }
        if self.exceptions > 0 {
            line += &format!(", {} need you", self.exceptions);
        }
        line
    }
}

/// What is waited for, in the words of a person, with the time of day by this machine's clock.
fn waiting(server: &str, reason: WaitReason, seconds: u64, until: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(until).unwrap_or_default();
    let clock = at.to_zoned_datetime(jiff::tz::TimeZone::system());
    // A time of day alone would be of today.
    let form = if seconds >= 12 * 3600 {
        "%a %H:%M"
    } else if seconds >= 60 {
        "%H:%M"
    } else {
        "%H:%M:%S"
    };
    let until = clock.strftime(form);
    match reason {
        WaitReason::Asked => format!("{} asked us to wait until {until}", capitalised(server)),
        WaitReason::Trouble => format!("{} is in trouble; trying again at {until}", capitalised(server)),
        WaitReason::Day => format!("waiting for {server} until {until}"),
    }
}

fn capitalised(words: &str) -> String {
    let mut words = words.to_owned();
    words.get_mut(..1).into_iter().for_each(str::make_ascii_uppercase);
    words
}

fn towards(side: SideName) -> &'static str {
    match side {
        SideName::Source => "from",
        SideName::Target => "to",
    }
}

fn stage_line(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "Connecting to both servers",
        Stage::Survey => "Looking at both mailboxes",
        Stage::Plan => "Deciding what goes where",
        Stage::Adopt => "Recognising what is there already",
        Stage::Transfer => "Moving, and reading back what was moved",
        Stage::Verify => "Checking that everything is there",
        Stage::Report => "Writing the report",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailhaul_engine::identity::Grade;
    use mailhaul_engine::journal::{EpochId, ItemId, MailboxId, Reason, State};
    use mailhaul_engine::message::{Flags, Key};

    #[test]
    fn events_add_up_to_one_line() {
        let mut view = View::default();
        view.fold(&Progress::Planned { mailboxes: 1, messages: 8, octets: 0 });
        view.fold(&Progress::MailboxListed { mailbox: 1, messages: 8, new: 5, left_out: 1, octets: 0 });
        assert_eq!(
            (view.earlier, view.left_out),
            (2, 1),
            "what a rule leaves out was moved by no earlier run"
        );
        let (source, target) = ("A".to_owned(), "B".to_owned());
        view.fold(&Progress::MailboxStarted { mailbox: 1, source, target, messages: 7, octets: 0 });
        view.fold(&Progress::Stored { mailbox: 1, messages: 4, octets: 9 });
        view.fold(&Progress::Verified { mailbox: 1, messages: 3, octets: 9 });
        let said = view.fold(&Progress::Exception {
            mailbox: 1,
            key: 2,
            kind: "refused".into(),
            text: "NO x".into(),
        });
        assert_eq!(
            said.as_deref(),
            Some("needs you: a message in A: refused by the new server (UID 2: NO x)")
        );
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(view.line(now), "4 moved, 3 read back and equal, 2 by earlier runs, 1 need you");
    }

    #[test]
    fn a_wait_names_who_asked_for_it_and_until_when() {
        let mut view = View::default();
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_167_520);
        let clock = |form| {
            let at = jiff::Timestamp::try_from(until).unwrap();
            at.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime(form).to_string()
        };
        let mut said = |server: &str, reason, seconds| {
            let (server, why, side) = (server.to_owned(), "NO slowly".to_owned(), SideName::Target);
            let event = Progress::Waiting { side, server, reason, why, seconds, until };
            view.fold(&event).unwrap()
        };
        let asked = said("Microsoft 365", WaitReason::Asked, 300);
        assert_eq!(asked, format!("Microsoft 365 asked us to wait until {}: NO slowly", clock("%H:%M")));
        let trouble = said("the new server", WaitReason::Trouble, 5);
        let at = clock("%H:%M:%S");
        assert_eq!(trouble, format!("The new server is in trouble; trying again at {at}: NO slowly"));
        let day = said("Gmail", WaitReason::Day, 86_400);
        assert_eq!(day, format!("waiting for Gmail until {}: NO slowly", clock("%a %H:%M")));
        let before = until - Duration::from_secs(1);
        assert!(view.line(before).ends_with(&format!("(waiting for Gmail until {})", clock("%a %H:%M"))));
    }

    #[test]
    fn a_wait_is_shown_until_its_end_whatever_other_connections_do() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut view = View::default();
        let wait = |view: &mut View, side, server: &str, until| {
            let (server, why, reason) = (server.to_owned(), String::new(), WaitReason::Asked);
            view.fold(&Progress::Waiting { side, server, reason, why, seconds: 300, until });
        };
        wait(&mut view, SideName::Target, "Microsoft 365", at(300));
        // Another connection waits less long; a third one, and the other side, go on.
        wait(&mut view, SideName::Target, "Microsoft 365", at(10));
        view.fold(&Progress::Stored { mailbox: 1, messages: 1, octets: 1 });
        view.fold(&Progress::Verified { mailbox: 1, messages: 1, octets: 1 });
        let said = view.waiting(at(299)).unwrap();
        assert!(said.starts_with("Microsoft 365 asked us to wait until"), "{said}");
        assert_eq!(view.waiting(at(300)), None);
        wait(&mut view, SideName::Source, "the old server", at(200));
        let both = view.waiting(at(100)).unwrap();
        assert!(both.contains("The old server asked us") && both.contains("; Microsoft 365"), "{both}");
        view.fold(&Progress::Ended { outcome: "done".into() });
        assert_eq!(view.waiting(at(100)), None, "nothing is waited for after the end");
    }

    #[test]
    fn one_is_one_and_a_small_size_is_no_size_of_0() {
        let planned = |mailboxes, messages, octets| {
            View::default().fold(&Progress::Planned { mailboxes, messages, octets }).unwrap()
        };
        assert_eq!(planned(1, 1, 800), "1 message in 1 folder, 800 B");
        assert_eq!(planned(2, 1200, 2_400_000), "1,200 messages in 2 folders, 2.4 MB");
    }

    fn exception(mailbox: i64, key: i64) -> Item {
        Item {
            id: ItemId { mailbox: MailboxId(mailbox), epoch: EpochId(1), key: Key(key) },
            state: State::Exception,
            octets: 10,
            flags: Flags::default(),
            internal_date: None,
            lineage: None,
            sent: None,
            place: None,
            origin: None,
            read_back: None,
            grade: None,
            reason: Some(Reason { kind: "refused".into(), text: "NO x".into() }),
        }
    }

    #[test]
    fn what_is_refused_again_is_counted_once_however_many_there_are() {
        let refused = |view: &mut View, key| {
            let (kind, text) = ("refused".to_owned(), "NO x".to_owned());
            view.fold(&Progress::Exception { mailbox: 1, key, kind, text });
        };
        let many = i64::try_from(NEEDS_MAX).unwrap() + 20;
        let mut view = View::default();
        view.count(&[record(1, "A", 100)], &[], &[]);
        (1..=many).for_each(|key| refused(&mut view, key));
        (1..=many).for_each(|key| refused(&mut view, key));
        assert_eq!((view.whole().needs, view.needs.len()), (70, NEEDS_MAX));
        // Those that an earlier run left are known, too.
        let before: Vec<Item> = (1..=many).map(|key| exception(1, key)).collect();
        let counts = [counted(1, State::Exception, 70)];
        view.count(&[record(1, "A", 100)], &counts, &before);
        (1..=many).for_each(|key| refused(&mut view, key));
        assert_eq!((view.whole().needs, view.needs.len()), (70, NEEDS_MAX));
    }

    #[test]
    fn a_side_that_is_not_compressed_is_said_once_however_many_connections_it_has() {
        let mut view = View::default();
        let mut said = |side| view.fold(&Progress::Uncompressed { side, why: "it cannot".into() });
        let line = "not compressed on the way to the old server: it cannot";
        assert_eq!(said(SideName::Source).as_deref(), Some(line));
        assert_eq!(said(SideName::Source), None);
        assert!(said(SideName::Target).is_some());
    }

    fn record(id: i64, name: &str, messages: u64) -> MailboxRecord {
        let name = Name { wire: name.to_owned().into(), text: name.into(), delimiter: None };
        MailboxRecord {
            id: MailboxId(id),
            source: name.clone(),
            role: None,
            subscribed: false,
            messages: Some(messages),
            octets: Some(10 * messages),
            decision: Decision::Move(name),
        }
    }

    fn counted(mailbox: i64, state: State, items: u64) -> Count {
        let grade = (state == State::Verified).then_some(Grade::Exact);
        Count { mailbox: MailboxId(mailbox), state, grade, kind: None, items, octets: 10 * items }
    }

    #[test]
    fn what_earlier_runs_did_is_counted_once_and_events_add_to_it() {
        let mut view = View::default();
        let boxes = [record(1, "A", 10), record(2, "B", 4)];
        let counts = [
            counted(1, State::Verified, 3),
            counted(1, State::Stored, 2),
            counted(1, State::Exception, 1),
            counted(1, State::Excluded, 1),
            counted(1, State::Listed, 3),
        ];
        view.count(&boxes, &counts, &[]);
        let row = &view.mailboxes[&1];
        assert_eq!(
            (row.there.messages, row.proven.messages, row.needs, row.aside, row.todo()),
            (5, 3, 1, 1, 3)
        );
        view.fold(&Progress::Stored { mailbox: 1, messages: 3, octets: 30 });
        view.fold(&Progress::Verified { mailbox: 1, messages: 2, octets: 20 });
        let row = &view.mailboxes[&1];
        assert_eq!((row.there.messages, row.proven.messages, row.todo()), (8, 5, 0));
        assert_eq!(view.whole().all.messages, 14);
        // The journal has it all when it is read again.
        view.count(&boxes, &[counted(1, State::Verified, 8)], &[]);
        assert_eq!(view.mailboxes[&1].there.messages, 8);
    }

    #[test]
    fn a_hundred_percent_is_shown_only_when_all_is_moved_and_proven_and_the_run_has_ended() {
        let mut view = View::default();
        assert_eq!(view.percent(), 0);
        view.count(&[record(1, "A", 4)], &[], &[]);
        view.fold(&Progress::Stored { mailbox: 1, messages: 4, octets: 40 });
        assert_eq!(view.percent(), 50);
        view.fold(&Progress::Verified { mailbox: 1, messages: 4, octets: 40 });
        assert_eq!(view.percent(), 99);
        view.fold(&Progress::Ended { outcome: "done".into() });
        assert_eq!(view.percent(), 100);
        // More told than there is moves nothing beyond the end, nor does an exception count as done.
        view.count(
            &[record(1, "A", 4)],
            &[counted(1, State::Verified, 3), counted(1, State::Exception, 1)],
            &[],
        );
        assert_eq!(view.percent(), 75);
    }
}
