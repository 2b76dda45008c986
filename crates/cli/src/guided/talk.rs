//! Questions and answers, a line each. Nothing is drawn again, so that a screen reader and a slow line can follow; a prompt is
//! the last line there is.

use crate::error::Failure;
use crate::hidden::Hidden;
use crate::output::say;
use crate::signals::Signals;
use std::io::Write;
use zeroize::Zeroizing;

/// Columns of a text at most: longer lines are hard to read.
const WIDTH_MAX: usize = 100;

/// What a person answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A line, without spaces at its ends; empty where Enter alone was pressed.
    Line(String),
    /// Back to the step before.
    Back,
    /// Leave; all answers are kept.
    Leave,
}

/// Somebody at the terminal.
pub struct Talk {
    /// They are listened to from the beginning: Ctrl-C counts whenever it is pressed.
    signals: Signals,
    /// While a password is asked for, and until it is known what came of it: keys that are pressed too early are not shown either.
    hidden: Option<Hidden>,
}

impl Talk {
    /// From now on Ctrl-C is an answer, and so is a request to end.
    pub fn begin() -> Result<Self, Failure> {
        let failed = |e| Failure::failed(format!("Ctrl-C cannot be listened to: {e}"));
        Ok(Self { signals: Signals::begin().map_err(failed)?, hidden: None })
    }

    /// As [`Talk::ask`], for what is not undone by a step back: keys that were pressed before the question was there are no answer.
    pub async fn ask_afresh(&mut self, prompt: &str) -> Result<Reply, Failure> {
        forget_typed();
        self.ask(prompt).await
    }

    /// True when the person meant to leave while something was done.
    pub async fn has_left(&mut self) -> bool {
        self.meanwhile(std::future::ready(())).await.is_none()
    }

    /// Asks for a line. `b` goes back and `q` leaves.
    pub async fn ask(&mut self, prompt: &str) -> Result<Reply, Failure> {
        let Some(line) = self.read(prompt, read_line).await? else { return Ok(Reply::Leave) };
        Ok(match line.trim() {
            "b" | "B" | "back" => Reply::Back,
            "q" | "Q" | "quit" => Reply::Leave,
            line => Reply::Line(line.to_owned()),
        })
    }

    /// Asks for a yes; anything else is a no. `None` where the person leaves.
    pub async fn agrees(&mut self, question: &str) -> Result<Option<bool>, Failure> {
        Ok(match self.ask_afresh(&format!("{question} [y/N] ")).await? {
            Reply::Line(line) => Some(matches!(line.as_str(), "y" | "Y" | "yes")),
            Reply::Back => Some(false),
            Reply::Leave => None,
        })
    }

    /// Asks for a password without showing it. Any text may be one, so that Enter alone is the way back: `Some(None)`. `None` where
    /// the person leaves. What is typed after a password is shown only from [`Talk::shows`] on; what was typed before is none.
    pub async fn password(&mut self, prompt: &str) -> Result<Option<Option<Zeroizing<String>>>, Failure> {
        self.hidden = Some(Hidden::begin(prompt));
        forget_typed();
        let read = self.read(prompt, Hidden::read).await?;
        let read = read.map(|line| Some(line).filter(|line| !line.is_empty()));
        if !matches!(read, Some(Some(_))) {
            self.shows();
        }
        Ok(read)
    }

    /// What is typed from now on is shown; what was typed meanwhile is forgotten.
    pub fn shows(&mut self) {
        if self.hidden.is_some() {
            forget_typed();
            self.hidden = None;
        }
    }

    /// Does something that takes its time. `None` where the person leaves meanwhile.
    pub async fn meanwhile<R>(&mut self, work: impl Future<Output = R>) -> Option<R> {
        tokio::select! {
            biased;
            () = self.signals.next() => None,
            done = work => Some(done),
        }
    }

    /// `None`: Ctrl-C was pressed, or nothing more can be typed.
    async fn read<T: Send + 'static>(
        &mut self,
        prompt: &str,
        work: impl FnOnce() -> std::io::Result<Option<T>> + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        let _ = write!(std::io::stderr(), "{prompt}");
        let _ = std::io::stderr().flush();
        let Some(line) = self.meanwhile(tokio::task::spawn_blocking(work)).await else {
            say("");
            return Ok(None);
        };
        let failed = |e: &dyn std::fmt::Display| Failure::usage(format!("the answer could not be read: {e}"));
        line.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
    }
}

/// Shows a text, broken between words where the terminal ends; what goes on below is indented as its first line is.
pub fn tell(text: &str) {
    let width = textwrap::termwidth().min(WIDTH_MAX);
    for line in text.lines() {
        let indent = " ".repeat(line.len() - line.trim_start().len());
        let options = textwrap::Options::new(width).break_words(false).subsequent_indent(&indent);
        textwrap::wrap(line, options).iter().for_each(|line| say(line));
    }
}

/// What was typed and not read is forgotten.
fn forget_typed() {
    #[cfg(unix)]
    let _ = rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush);
}

fn read_line() -> std::io::Result<Option<String>> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line)?;
    Ok((read > 0).then_some(line))
}
