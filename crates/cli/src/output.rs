//! Progress for people and programs: one fold of the events ([`View`]), three forms.

use crate::args::{OutputArgs, ProgressForm};
use crate::view::View;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mailhaul_engine::progress::{Bus, Progress};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;

/// How often a plain log hears of the whole while nothing else is worth a line.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// A bar that was drawn just now is not drawn at once again: what changed since is drawn after so long, if nothing else happens.
const DRAWN_AFTER: Duration = Duration::from_millis(100);

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
                    () = tokio::time::sleep(DRAWN_AFTER), if screen.may_be_behind => {
                        screen.draw_again();
                        continue;
                    }
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

/// Warns of a proxy that cannot be used, once in a process: both accounts and each issuer find it out.
pub fn warn_of_proxy(output: &OutputArgs, text: &str) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if !SAID.swap(true, Ordering::Relaxed) {
        warn(output, text);
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
    /// The bars may show less than happened.
    may_be_behind: bool,
    /// When a line about the whole was written last.
    last: Instant,
}

impl Screen {
    fn new(form: ProgressForm, quiet: bool) -> Self {
        let bars = (form == ProgressForm::Auto && !quiet && std::io::stderr().is_terminal()).then(Bars::new);
        Self { view: View::default(), form, quiet, bars, may_be_behind: false, last: Instant::now() }
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
            self.may_be_behind = true;
        } else if let Some(line) = line {
            say(&line);
        } else if self.last.elapsed() > LINE_EVERY {
            self.last = Instant::now();
            say(&self.view.line(SystemTime::now()));
        }
    }

    fn draw_again(&mut self) {
        self.may_be_behind = false;
        self.bars.iter().for_each(|bars| bars.total.tick());
    }
}

struct Bars {
    screen: MultiProgress,
    total: ProgressBar,
}

impl Bars {
    fn new() -> Self {
        let screen = MultiProgress::new();
        let total = screen.add(ProgressBar::new(1));
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
        let (numbers, waiting) = (view.numbers(), view.waiting(SystemTime::now()));
        let width = textwrap::termwidth();
        let bar = bar_columns(width, numbers.chars().count());
        // The words count more than the bar; who is waited for gets a line of its own.
        let below = if waiting.is_some() {
            format!("\n  {{prefix:.{}}}", width.saturating_sub(4))
        } else {
            String::new()
        };
        let style =
            ProgressStyle::with_template(&format!("{{bar:{bar}}} {{percent:>3}} %  {{wide_msg}}{below}"));
        self.total.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.total.set_prefix(waiting.unwrap_or_default());
        self.total.set_message(numbers);
    }
}

/// Columns of a bar beside a text of so many, in a terminal of `width`.
fn bar_columns(width: usize, text: usize) -> usize {
    width.saturating_sub(text + BESIDE_COLUMNS).clamp(BAR_COLUMNS_MIN, BAR_COLUMNS_MAX)
}

/// Columns of a bar at most.
const BAR_COLUMNS_MAX: usize = 30;
/// Columns of a bar at least.
const BAR_COLUMNS_MIN: usize = 4;
/// Columns between the bar and the text, with the percents, and one at the end, where some terminals break the line.
const BESIDE_COLUMNS: usize = 9;

impl Drop for Bars {
    fn drop(&mut self) {
        self.total.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_gives_way_to_the_words_beside_it() {
        assert_eq!(bar_columns(80, "4 moved, 3 read back and equal".len()), 30);
        let continued = "22 moved, 6 read back and equal, 17 by earlier runs, 1 need you";
        assert_eq!(bar_columns(80, continued.len()) + BESIDE_COLUMNS + continued.len(), 80);
        assert_eq!(bar_columns(40, 200), BAR_COLUMNS_MIN);
    }
}
