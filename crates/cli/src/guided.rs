//! The five steps at a terminal: plain lines from top to bottom. Enter goes on, `b` goes back, `q` and Ctrl-C leave; whoever
//! comes again is asked for the passwords alone.

mod account;
mod choose;
mod talk;

use crate::args::StepsArgs;
use crate::command::{INTERRUPTED, Keep, Ready, Told};
use crate::error::Failure;
use crate::output::say;
use crate::steps::kept::{Begun, Others};
use crate::steps::{Step, Steps, words};
use mailhaul_engine::error::{Error, Question};
use mailhaul_engine::names::printable;
use mailhaul_engine::report::words::messages;
use std::io::IsTerminal;
use talk::{Reply, Talk, tell};

/// Where a step leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To the first step that is not done.
    On,
    /// From this one to the next, also if that is done: whoever went back goes forward by the same steps.
    After(Step),
    /// To this one, also if it is done.
    To(Step),
    /// To the one before.
    Back,
    /// Out; all answers are kept.
    Leave,
}

/// Runs the five steps to an exit code. What fails is told to somebody who types no options.
///
/// # Errors
/// Nobody is there to be asked.
pub async fn run(args: &StepsArgs) -> Result<u8, Failure> {
    if !has_somebody() {
        let hint = "`mailhaul migrate OLD NEW` asks nothing where the passwords are given, and so does `mailhaul check OLD NEW`";
        return Err(Failure::usage("there is no terminal at which anything could be asked").hint(hint));
    }
    Ok(five_steps(args).await.unwrap_or_else(|failure| {
        account::show(&words::plainly(&failure));
        failure.code
    }))
}

/// True where somebody sits at a terminal, who reads and types.
pub fn has_somebody() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

async fn five_steps(args: &StepsArgs) -> Result<u8, Failure> {
    let mut talk = Talk::begin()?;
    let mut steps = Steps::open(args)?;
    tell(
        "Mailhaul moves all mail of a mailbox to another server and reads every message back there. Your old mailbox is only read; nothing in it is changed. At every question: b goes back a step, q leaves. What you answered is kept, but no password: come again with the same command.\n\n",
    );
    let others = steps.others().await;
    // Whatever is said to that, others can be gone on with.
    if !sets_aside(&mut talk, &mut steps, &others).await? || !goes_on(&mut talk, &mut steps, &others).await? {
        return Ok(left());
    }
    let (mut at, mut numbers) = (steps.step(), Vec::new());
    loop {
        tell(&format!("Step {} of {}: {}", at.number(), Step::ALL.len(), at.title()));
        let way = match at {
            Step::Requirements => account::requirements(&mut talk, &mut steps).await?,
            Step::Old => account::connect(&mut talk, &mut steps, "from").await?,
            Step::New => account::connect(&mut talk, &mut steps, "to").await?,
            Step::Choose => choose::choose(&mut talk, &mut steps, &mut numbers).await?,
            Step::Move => match moving(&mut talk, &mut steps).await? {
                Moved::Done(code) => return Ok(code),
                Moved::Way(way) => way,
            },
        };
        say("");
        at = match way {
            Way::On => steps.step(),
            Way::After(step) => step.after().min(steps.step()),
            Way::To(step) => step,
            Way::Back => at.before().unwrap_or(at),
            Way::Leave => return Ok(left()),
        };
    }
}

/// Asks about each file of answers that cannot be read. False where the person leaves.
async fn sets_aside(talk: &mut Talk, steps: &mut Steps, others: &Others) -> Result<bool, Failure> {
    for broken in &others.unreadable {
        account::show(&words::plainly(&broken.why));
        tell("You type the addresses again then; no mail is lost by that.");
        match talk.agrees("Set that file aside, under another name?").await? {
            None => return Ok(false),
            Some(false) => {}
            Some(true) => match steps.set_aside(&broken.name) {
                Ok(place) => tell(&format!("It is now {}", place.display())),
                Err(failure) => account::show(&words::plainly(&failure)),
            },
        }
    }
    Ok(true)
}

fn pair(begun: &Begun) -> String {
    format!("{} to {}", begun.answers.from.written, begun.answers.to.written)
}

/// What it says of one that came to its end.
fn report_of(begun: &Begun) -> String {
    begun.answers.report.as_ref().map_or(String::new(), |folder| format!("its report is in {folder}"))
}

/// Lists all moves, those at their end apart, and the prompt that asks which it is.
fn offers(others: &Others) -> &'static str {
    match (&others.begun[..], &others.done[..]) {
        ([one], []) => {
            tell(&format!("You began to move {}.", pair(one)));
            "Enter goes on with it; n begins with other mailboxes: "
        }
        ([], [one]) => {
            tell(&format!("You moved {}; {}.", pair(one), report_of(one)));
            "Enter goes on with it; n begins with other mailboxes: "
        }
        (begun, done) => {
            for (title, list, before) in [("You began:", begun, 0), ("You moved:", done, begun.len())] {
                if !list.is_empty() {
                    tell(title);
                }
                for (at, one) in list.iter().enumerate() {
                    tell(&format!("  {}  {}", before + at + 1, pair(one)));
                    Some(report_of(one))
                        .filter(|said| !said.is_empty())
                        .iter()
                        .for_each(|said| tell(&format!("     {said}")));
                }
            }
            "Enter goes on with 1, another number with that one; n begins with other mailboxes: "
        }
    }
}

/// Which of the moves that were begun it goes on with, or none of them. False where the person leaves.
async fn goes_on(talk: &mut Talk, steps: &mut Steps, others: &Others) -> Result<bool, Failure> {
    let begun: Vec<&Begun> = others.all().collect();
    if begun.is_empty() {
        return Ok(true);
    }
    let prompt = offers(others);
    loop {
        let line = match talk.ask(prompt).await? {
            Reply::Leave => return Ok(false),
            Reply::Line(line) if line.eq_ignore_ascii_case("n") => break,
            Reply::Line(line) => line,
            Reply::Back => String::new(),
        };
        let at = if line.is_empty() { Some(1) } else { line.parse::<usize>().ok() };
        let Some(one) = at.and_then(|at| begun.get(at.checked_sub(1)?)) else {
            tell(&format!("“{}” is no number of this list (1 to {}).", printable(&line), begun.len()));
            continue;
        };
        match steps.go_on(&one.name) {
            Ok(()) => break,
            Err(failure) => account::show(&words::plainly(&failure)),
        }
    }
    say("");
    Ok(true)
}

fn left() -> u8 {
    tell("Your answers are kept. To go on: the same command again.");
    INTERRUPTED
}

enum Moved {
    Done(u8),
    Way(Way),
}

async fn moving(talk: &mut Talk, steps: &mut Steps) -> Result<Moved, Failure> {
    let answers = steps.answers();
    tell(&format!("{} -> {}", answers.from.written, answers.to.written));
    tell(
        "Closing this window costs nothing: what was moved stays moved, and the next run goes on from there. Ctrl-C stops at a safe point.\n\n",
    );
    let Some(more) = left_over(talk, steps).await? else { return Ok(Moved::Way(Way::Leave)) };
    match talk.ask_afresh("Enter begins; b goes back to what moves: ").await? {
        Reply::Line(line) if line.is_empty() => {}
        // Whoever writes something wants something else than to begin.
        Reply::Line(_) | Reply::Back => return Ok(Moved::Way(Way::Back)),
        Reply::Leave => return Ok(Moved::Way(Way::Leave)),
    }
    let ready = steps.ready_with(Keep::Journal, more).await?;
    if talk.has_left().await {
        ready.give_back().await?;
        return Ok(Moved::Way(Way::Leave));
    }
    steps.run_begins()?;
    let end = match ready.shown(ready.migration.migrate()).await {
        Ok(end) => end,
        Err(Error::Question(question)) => return ask_again(steps, &question),
        Err(error @ Error::Interrupted) => {
            steps.consent_is_kept()?;
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    say("");
    let mut told = ready.report_plainly(&end).await?;
    ended(steps, &told, &ready);
    say("");
    if told.refused > 0 {
        told = covered(talk, steps, told.refused).await?.unwrap_or(told);
        ended(steps, &told, &ready);
    }
    tell(
        "Open the report in your browser: it says what to do next, before the old mailbox is closed. Beside it lies certificate.json, \
         which proves what was moved: keep that folder.\n\n",
    );
    tell("The same by one command, also for mail that arrives later:");
    // Not broken into lines: it is to be copied.
    say(&format!("  {}", words::command_line(steps)));
    Ok(Moved::Done(told.code))
}

/// A run ended. What was moved is moved, also where that cannot be written down: the move is listed as one that was begun.
fn ended(steps: &mut Steps, told: &Told, ready: &Ready) {
    if let Err(failure) = steps.run_ended(told.at_its_end, ready.report_folder()) {
        account::show(&words::plainly(&failure));
    }
}

/// Asks whether what an earlier run could not move is tried again: options for this run. `None` where the person leaves.
async fn left_over(talk: &mut Talk, steps: &Steps) -> Result<Option<&'static [&'static str]>, Failure> {
    let (were, them) = match steps.left_over().await {
        0 => return Ok(Some(&[])),
        1 => (messages(1), "it"),
        n => (messages(n), "them"),
    };
    let agreed = talk.agrees(&format!("{were} could not be moved last time. Try {them} again?")).await?;
    Ok(agreed.map(|yes| if yes { &["--retry"][..] } else { &[] }))
}

/// Asks once whether what the new server refused goes over inside cover messages, and does it: what that run told. `None` where it
/// stays as it is.
async fn covered(talk: &mut Talk, steps: &mut Steps, refused: u64) -> Result<Option<Told>, Failure> {
    let (were, each) = match refused {
        1 => ("1 message was refused. It", "it"),
        _ => (&*format!("{refused} messages were refused. Each"), "each"),
    };
    tell(&format!(
        "{were} can go over inside a cover message that says what happened; the original is attached to it, untouched. \
         Where only letters in names or in the subject are in the way, these are written in another form, and no cover is needed. The \
         report keeps {each} in any case."
    ));
    if talk.agrees("Do that now?").await? != Some(true) {
        return Ok(None);
    }
    let ready = steps.ready_with(Keep::Journal, &["--repair"]).await?;
    steps.run_begins()?;
    match ready.shown(ready.migration.migrate()).await {
        Ok(end) => {
            say("");
            let told = ready.report_plainly(&end).await?;
            say("");
            Ok(Some(told))
        }
        // What was moved stays moved, and so does what the first report says.
        Err(Error::Question(question)) => {
            tell(&format!("It has not begun: {}", question.plainly()));
            ready.give_back().await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Something is to be decided first: what was there when it was chosen has changed.
fn ask_again(steps: &mut Steps, question: &Question) -> Result<Moved, Failure> {
    steps.choose_again()?;
    tell(&format!("It has not begun: {}", question.plainly()));
    Ok(Moved::Way(Way::To(Step::Choose)))
}
