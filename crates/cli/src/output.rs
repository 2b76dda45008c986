//! Progress for people and programs. One fold of the events, three forms.

use crate::args::{OutputArgs, ProgressForm};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mailhaul_engine::progress::{Bus, Progress, Stage};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;

/// Pure: what has happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Messages that take part, as announced.
    pub messages: u64,
    /// Stored at the new server.
    pub stored: u64,
    /// Read back and found good.
    pub verified: u64,
    /// Exceptions.
    pub exceptions: u64,
    /// What is waited for.
    pub waiting: Option<String>,
    /// Mailboxes in work, by number.
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
            Progress::MailboxDone { mailbox } => {
                self.mailboxes.remove(mailbox);
            }
            Progress::Stored { messages, .. } => self.stored += messages,
            Progress::Verified { messages, .. } => self.verified += messages,
            Progress::Exception { kind, text, .. } => {
                self.exceptions += 1;
                return Some(format!("needs you ({kind}): {text}"));
            }
            Progress::Waiting { why, seconds, .. } => {
                let line = format!("waiting {seconds} s: {why}");
                self.waiting = Some(line.clone());
                return Some(line);
            }
            Progress::Reconnecting { why, .. } => return Some(format!("connecting again: {why}")),
            Progress::Resolving { messages, .. } => {
                return Some(format!("looking for {messages} messages whose answer was lost"));
            }
            Progress::Connected { .. } | Progress::MailboxListed { .. } | Progress::Ended { .. } => {}
        }
        None
    }

    /// One line about the whole.
    pub fn line(&self) -> String {
        let mut line = format!("{} moved, {} read back and equal", self.stored, self.verified);
        if self.exceptions > 0 {
            line += &format!(", {} need you", self.exceptions);
        }
        match &self.waiting {
            Some(waiting) => format!("{line} ({waiting})"),
            None => line,
        }
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

/// Shows progress on stderr until dropped.
#[derive(Debug)]
pub struct Show(tokio::task::JoinHandle<()>);

impl Show {
    /// Begins to listen. `quiet` shows nothing.
    pub fn start(bus: &Bus, form: ProgressForm, quiet: bool) -> Self {
        let mut events = bus.listen();
        let bars = form == ProgressForm::Auto && std::io::stderr().is_terminal();
        Self(tokio::spawn(async move {
            let mut view = View::default();
            let screen = bars.then(Bars::new);
            let mut last = Instant::now();
            loop {
                let event = match events.recv().await {
                    Ok(event) => event,
                    // Fallen behind: the totals are wrong from here on for this listener alone; the report counts.
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => break,
                };
                let line = view.fold(&event);
                match (&screen, form) {
                    _ if quiet && form != ProgressForm::Json => {}
                    (_, ProgressForm::Json) => {
                        if let Ok(text) = serde_json::to_string(&event) {
                            say(&text);
                        }
                    }
                    (Some(screen), _) => screen.draw(&view, line.as_deref()),
                    (None, _) => {
                        if let Some(line) = line {
                            say(&line);
                        } else if last.elapsed() > Duration::from_secs(10) {
                            last = Instant::now();
                            say(&view.line());
                        }
                    }
                }
            }
        }))
    }

    /// Shows what is still on its way, then ends.
    pub async fn finish(self) {
        tokio::task::yield_now().await;
        self.0.abort();
        let _ = self.0.await;
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

/// Writes a line to stdout; a closed pipe is no error.
pub fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
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
        self.total.set_position((view.stored + view.verified).min(whole));
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
        view.fold(&Progress::Planned { mailboxes: 1, messages: 5, octets: 0 });
        view.fold(&Progress::Stored { mailbox: 1, messages: 4, octets: 9 });
        view.fold(&Progress::Verified { mailbox: 1, messages: 3, octets: 9 });
        let said = view.fold(&Progress::Exception {
            mailbox: 1,
            key: 2,
            kind: "refused".into(),
            text: "NO x".into(),
        });
        assert_eq!(said.as_deref(), Some("needs you (refused): NO x"));
        assert_eq!(view.line(), "4 moved, 3 read back and equal, 1 need you");
    }
}
