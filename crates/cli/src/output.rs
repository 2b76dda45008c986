//! Progress for people and programs. One fold of the events, three forms.

use crate::args::{OutputArgs, ProgressForm};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mailhaul_engine::budget::amount;
use mailhaul_engine::progress::{Bus, Progress, SideName, Stage, WaitReason};
use mailhaul_engine::waits::spelled;
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;

/// How often a plain log hears of the whole while nothing else is worth a line.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Pure: what has happened so far.
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
    /// What is waited for.
    pub waiting: Option<String>,
    /// Sides whose connections are not compressed although that was asked for.
    pub uncompressed: Vec<SideName>,
    /// Names of the mailboxes so far, by number.
    pub mailboxes: HashMap<i64, String>,
}

impl View {
    /// Takes one event in. Returns a line for a plain log, where the event is worth one.
    pub fn fold(&mut self, event: &Progress) -> Option<String> {
        if !matches!(event, Progress::Waiting { .. }) {
            self.waiting = None;
        }
        match event {
            Progress::StageStarted { stage } => return Some(stage_line(*stage).to_owned()),
            Progress::Planned { mailboxes, messages, octets } => {
                self.messages = *messages;
                let size = octets / 1_000_000;
                return Some(format!("{messages} messages in {mailboxes} mailboxes, {size} MB"));
            }
            Progress::MailboxStarted { mailbox, source, target, .. } => {
                self.mailboxes.insert(*mailbox, source.clone());
                return Some(format!("{source} -> {target}"));
            }
            Progress::MailboxListed { messages, new, left_out, .. } => {
                let done = messages.saturating_sub(*new);
                self.left_out += done.min(*left_out);
                self.earlier += done.saturating_sub(*left_out);
            }
            Progress::Stored { messages, .. } => self.stored += messages,
            Progress::Verified { messages, .. } => self.verified += messages,
            Progress::Exception { mailbox, key, kind, text } => {
                self.exceptions += 1;
                let name = self.mailboxes.get(mailbox).map_or("?", String::as_str);
                return Some(format!("needs you: {name}, UID {key} ({kind}): {text}"));
            }
            Progress::Waiting { server, reason, why, seconds, until, .. } => {
                let line = waiting(server, *reason, *seconds, *until);
                self.waiting = Some(line.clone());
                return Some(format!("{line}: {why}"));
            }
            Progress::Forecast { side, server, octets_per_day, seconds } => {
                let (size, way) = (amount(*octets_per_day), towards(*side));
                let time = spelled(Duration::from_secs(*seconds));
                return Some(format!("with {size} a day {way} {server} this takes at least {time}"));
            }
            Progress::Reconnecting { why, .. } => return Some(format!("connecting again: {why}")),
            Progress::FewerConnections { why, .. } => {
                return Some(format!("going on with fewer connections: {why}"));
            }
            Progress::Uncompressed { side, .. } if self.uncompressed.contains(side) => {}
            Progress::Uncompressed { side, why } => {
                self.uncompressed.push(*side);
                let server = if *side == SideName::Source { "old" } else { "new" };
                return Some(format!("not compressed on the way to the {server} server: {why}"));
            }
            Progress::Resolving { messages, .. } => {
                return Some(format!("looking for {messages} messages whose answer was lost"));
            }
            Progress::Connected { .. } | Progress::MailboxDone { .. } | Progress::Ended { .. } => {}
        }
        None
    }

    /// One line about the whole.
    pub fn line(&self) -> String {
        let mut line = format!("{} moved, {} read back and equal", self.stored, self.verified);
        if self.earlier > 0 {
            line += &format!(", {} by earlier runs", self.earlier);
        }
        if self.exceptions > 0 {
            line += &format!(", {} need you", self.exceptions);
        }
        match &self.waiting {
            Some(waiting) => format!("{line} ({waiting})"),
            None => line,
        }
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
        Stage::Survey => "Looking at both accounts",
        Stage::Plan => "Deciding what goes where",
        Stage::Adopt => "Recognising what is there already",
        Stage::Transfer => "Moving, and reading back what was moved",
        Stage::Verify => "Checking that everything is there",
        Stage::Report => "Writing the report",
    }
}

/// Shows progress on stderr until finished.
#[derive(Debug)]
pub struct Show {
    task: tokio::task::JoinHandle<()>,
    enough: CancellationToken,
}

impl Show {
    /// Begins to listen. `quiet` shows nothing.
    pub fn start(bus: &Bus, form: ProgressForm, quiet: bool) -> Self {
        let (mut events, enough) = (bus.listen(), CancellationToken::new());
        let mut screen = Screen::new(form, quiet);
        let stop = enough.clone();
        let task = tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = events.recv() => event,
                    () = stop.cancelled() => break,
                };
                match event {
                    Ok(event) => screen.show(&event),
                    // Fallen behind: the totals are wrong from here on for this listener alone; the report counts.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                }
            }
            // What was told before the end is shown, the end itself among it.
            loop {
                match events.try_recv() {
                    Ok(event) => screen.show(&event),
                    Err(TryRecvError::Lagged(_)) => {}
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
        });
        Self { task, enough }
    }

    /// Shows what was told so far, then ends.
    pub async fn finish(self) {
        self.enough.cancel();
        // A panic there is no reason to lose the outcome of the run.
        let _ = self.task.await;
    }
}

/// Writes a line to stderr; a closed one is no error.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes a warning to stderr, in the form that progress has there.
pub fn warn(output: &OutputArgs, text: &str) {
    match output.progress {
        ProgressForm::Json => say(&serde_json::json!({ "event": "warning", "text": text }).to_string()),
        ProgressForm::Auto | ProgressForm::Plain => say(&format!("warning: {text}")),
    }
}

/// Writes what is worth knowing to stderr, in the form that progress has there.
pub fn note(output: &OutputArgs, text: &str) {
    match output.progress {
        ProgressForm::Json => say(&serde_json::json!({ "event": "note", "text": text }).to_string()),
        ProgressForm::Auto | ProgressForm::Plain => say(text),
    }
}

/// Writes a line to stdout; a closed pipe is no error.
pub fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Where events go, and in what form.
struct Screen {
    view: View,
    form: ProgressForm,
    quiet: bool,
    bars: Option<Bars>,
    /// When a line about the whole was written last.
    last: Instant,
}

impl Screen {
    fn new(form: ProgressForm, quiet: bool) -> Self {
        let bars = (form == ProgressForm::Auto && !quiet && std::io::stderr().is_terminal()).then(Bars::new);
        Self { view: View::default(), form, quiet, bars, last: Instant::now() }
    }

    fn show(&mut self, event: &Progress) {
        let line = self.view.fold(event);
        if self.form == ProgressForm::Json {
            if let Ok(text) = serde_json::to_string(event) {
                say(&text);
            }
            return;
        }
        if self.quiet {
            return;
        }
        if let Some(bars) = &self.bars {
            bars.draw(&self.view, line.as_deref());
        } else if let Some(line) = line {
            say(&line);
        } else if self.last.elapsed() > LINE_EVERY {
            self.last = Instant::now();
            say(&self.view.line());
        }
    }
}

struct Bars {
    screen: MultiProgress,
    total: ProgressBar,
}

impl Bars {
    fn new() -> Self {
        let screen = MultiProgress::new();
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {wide_msg}");
        let total = screen.add(ProgressBar::new(1));
        total.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { screen, total }
    }

    fn draw(&self, view: &View, line: Option<&str>) {
        if let Some(line) = line {
            let _ = self.screen.println(line);
        }
        // 100 % is shown only when all is verified: what is stored counts half.
        let whole = (2 * view.messages).max(1);
        self.total.set_length(whole);
        let settled = view.earlier + view.left_out;
        self.total.set_position((2 * settled + view.stored + view.verified).min(whole));
        self.total.set_message(view.line());
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.total.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(said.as_deref(), Some("needs you: A, UID 2 (refused): NO x"));
        assert_eq!(view.line(), "4 moved, 3 read back and equal, 2 by earlier runs, 1 need you");
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
        assert!(view.line().ends_with(&format!("(waiting for Gmail until {})", clock("%a %H:%M"))));
        view.fold(&Progress::Stored { mailbox: 1, messages: 1, octets: 1 });
        assert!(!view.line().contains("waiting"), "until it goes on");
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
}
