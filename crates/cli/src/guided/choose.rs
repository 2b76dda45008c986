//! Step 4: what moves.

use super::Way;
use super::account::{below, show};
use super::talk::{Reply, Talk, tell};
use crate::error::Failure;
use crate::steps::answers::{AlreadyThere, Choice, held, is_part_of};
use crate::steps::look::{in_the_way, is_blocked, look, worth_knowing};
use crate::steps::{Steps, words};
use mailhaul_engine::check::{Checked, Moving, Remark};
use mailhaul_engine::error::Question;
use mailhaul_engine::names::printable;
use mailhaul_engine::plan::{MailboxStep, Plan};

/// What follows from what a person said of what was shown.
enum Turn {
    Way(Way),
    /// Both accounts are looked at again. Where nothing moves then but a part of this plan, which was shown, it is so be it.
    Look(Option<Box<Plan>>),
}

/// Looks at both accounts, shows what moves and what does not, and asks until a person is content. `numbers`: the mailboxes in the
/// order in which they were listed first, which they keep.
pub async fn choose(talk: &mut Talk, steps: &mut Steps, numbers: &mut Vec<String>) -> Result<Way, Failure> {
    let mut shown = None;
    loop {
        let looking =
            look(steps, async |ready| ready.with_progress(ready.migration.check([None, None])).await);
        let checked = match looking.await {
            Ok(checked) => checked,
            Err(failure) => {
                show(&words::plainly(&failure));
                match talk.ask("Enter looks again; b goes back: ").await? {
                    Reply::Line(_) => continue,
                    Reply::Back => return Ok(Way::Back),
                    Reply::Leave => return Ok(Way::Leave),
                }
            }
        };
        let turn = match &checked.moving {
            Some(moving) if shows_it_all(shown.as_deref(), &checked, &moving.plan) => {
                tell(&format!("Moving: {}", words::forecast(moving)));
                settle(talk, steps, &moving.plan).await?
            }
            Some(moving) => decide(talk, steps, &checked, moving, numbers).await?,
            None => nothing_can_begin(talk, &checked).await?,
        };
        match turn {
            Turn::Way(way) => return Ok(way),
            Turn::Look(plan) => shown = plan,
        }
    }
}

/// True where the person was shown all that would happen now.
fn shows_it_all(shown: Option<&Plan>, checked: &Checked, now: &Plan) -> bool {
    shown.is_some_and(|shown| {
        let lines = words::will_not_move(shown);
        !is_blocked(checked)
            && is_part_of(now, shown)
            && words::will_not_move(now).iter().all(|line| lines.contains(line))
    })
}

async fn nothing_can_begin(talk: &mut Talk, checked: &Checked) -> Result<Turn, Failure> {
    in_the_way(checked).for_each(remarked);
    Ok(match talk.ask("Enter looks again; b goes back: ").await? {
        Reply::Line(_) => Turn::Look(None),
        Reply::Back => Turn::Way(Way::Back),
        Reply::Leave => Turn::Way(Way::Leave),
    })
}

fn remarked(remark: &Remark) {
    let plain = &remark.plain;
    tell(&format!("{}: {}", remark.word(), plain.what));
    below(plain);
}

/// Shows all of it, and takes marks until a person is content.
async fn decide(
    talk: &mut Talk,
    steps: &mut Steps,
    checked: &Checked,
    moving: &Moving,
    numbers: &mut Vec<String>,
) -> Result<Turn, Failure> {
    let mut choice = steps.answers().choice.clone();
    let (plan, before) = (&moving.plan, choice.leave_out.clone());
    number(numbers, plan, &before);
    list(numbers, plan, &before);
    tell(&format!("Moving: {}", words::forecast(moving)));
    let lines = words::will_not_move(plan);
    if !lines.is_empty() {
        tell("Will not move as it is:");
        lines.iter().for_each(|line| tell(&format!("  {line}")));
    }
    let cannot_go = words::cannot_go(plan);
    if !cannot_go.is_empty() {
        tell("The new server refuses or destroys as it is:");
        cannot_go.iter().for_each(|line| tell(&format!("  {line}")));
    }
    worth_knowing(checked).for_each(remarked);
    in_the_way(checked).for_each(remarked);
    let is_blocked = is_blocked(checked);
    let enter = if is_blocked { "looks again, since something is in the way" } else { "so be it" };
    tell(&format!("Enter: {enter}. Numbers, as in “2 5”, leave folders out, or take them in again."));
    loop {
        match talk.ask_afresh("Enter, numbers, or b to go back: ").await? {
            Reply::Back => return Ok(Turn::Way(Way::Back)),
            Reply::Leave => return Ok(Turn::Way(Way::Leave)),
            Reply::Line(line) if line.is_empty() && is_blocked => return Ok(Turn::Look(None)),
            Reply::Line(line) if line.is_empty() && choice.leave_out != before => {
                return Ok(Turn::Look(Some(Box::new(plan.clone()))));
            }
            Reply::Line(line) if line.is_empty() => return settle(talk, steps, plan).await,
            Reply::Line(line) => match turned(&line, numbers, &choice.leave_out) {
                Ok(leave_out) => {
                    (choice.leave_out, choice.made) = (leave_out, false);
                    steps.choose(choice.clone())?;
                    // With less of it, the way may be free; and where a folder goes that was not to move, a look tells.
                    if is_blocked || !numbers.iter().all(|name| is_known(name, plan, &choice.leave_out)) {
                        return Ok(Turn::Look(None));
                    }
                    list(numbers, plan, &choice.leave_out);
                }
                Err(what) => tell(&what),
            },
        }
    }
}

/// What is open yet of a plan that was shown; then it is chosen.
async fn settle(talk: &mut Talk, steps: &mut Steps, plan: &Plan) -> Result<Turn, Failure> {
    let mut choice = steps.answers().choice.clone();
    if let Some(way) = already_there(talk, plan, &mut choice).await? {
        return Ok(Turn::Way(way));
    }
    let lines = words::will_not_move(plan);
    if !lines.is_empty() {
        match talk
            .agrees("Some things will not move as they are, as listed above. Is that all right?")
            .await?
        {
            None => return Ok(Turn::Way(Way::Leave)),
            Some(false) => return Ok(Turn::Way(Way::Back)),
            Some(true) => choice.accepted = lines,
        }
    }
    if !words::cannot_go(plan).is_empty() {
        tell(words::REPAIR);
        match talk.agrees("Repair them, in this run and in later ones?").await? {
            None => return Ok(Turn::Way(Way::Leave)),
            Some(said) => choice.repair = said,
        }
    }
    steps.choose(choice.made_of(plan))?;
    Ok(Turn::Way(Way::On))
}

/// Each mailbox that can be turned gets a number, once: later ones come after those that have one.
fn number(numbers: &mut Vec<String>, plan: &Plan, left_out: &[String]) {
    let moving = plan.steps.iter().map(|step| &step.record.source.text);
    let left = plan.excluded.iter().map(|left| &left.record.source.text);
    for name in moving.chain(left.filter(|name| left_out.contains(name))) {
        if !numbers.contains(name) {
            numbers.push(name.clone());
        }
    }
}

/// The step of this mailbox, if it moves.
fn step_of<'a>(name: &str, plan: &'a Plan) -> Option<&'a MailboxStep> {
    plan.steps.iter().find(|step| step.record.source.text == name)
}

/// It is known where it goes, or that it stays, or it is not there any more.
fn is_known(name: &String, plan: &Plan, left_out: &[String]) -> bool {
    let was_left = plan.excluded.iter().any(|left| left.record.source.text == *name);
    left_out.contains(name) || !was_left
}

/// Shows all mailboxes, each at its number.
fn list(numbers: &[String], plan: &Plan, left_out: &[String]) {
    let width = numbers.len().to_string().len().max(2);
    tell(&format!("  {:>width$}  {:>7}  old folder -> new folder", "", "mails"));
    for (at, name) in numbers.iter().enumerate() {
        let (number, shown) = (at + 1, printable(name));
        match step_of(name, plan) {
            _ if left_out.contains(name) => {
                tell(&format!("  {number:>width$}    stays  {shown}: left out by you"));
            }
            Some(step) => {
                let messages = step.record.messages.map_or("?".to_owned(), |n| n.to_string());
                tell(&format!(
                    "  {number:>width$}  {messages:>7}  {shown} -> {}",
                    printable(&step.target.text)
                ));
            }
            None => {}
        }
    }
    for left in plan.excluded.iter().filter(|left| !left_out.contains(&left.record.source.text)) {
        let shown = printable(&left.record.source.text);
        tell(&format!("  {:>width$}    stays  {shown}: {}", "-", left.rule));
    }
}

/// Pure: who is left out, after the mailboxes of these numbers are turned.
fn turned(line: &str, names: &[String], left_out: &[String]) -> Result<Vec<String>, String> {
    let mut left_out = left_out.to_vec();
    for word in line.split([' ', ',']).filter(|word| !word.is_empty()) {
        let number = word.parse::<usize>().ok().filter(|number| *number > 0);
        let Some(name) = number.and_then(|number| names.get(number - 1)) else {
            return Err(format!("“{word}” is no number of this list (1 to {}).", names.len()));
        };
        match left_out.iter().position(|left| left == name) {
            Some(at) => drop(left_out.remove(at)),
            None => left_out.push(name.clone()),
        }
    }
    Ok(left_out)
}

/// What becomes of mail that is there already. It is asked each time such mail is shown; what was said before is Enter.
async fn already_there(talk: &mut Talk, plan: &Plan, choice: &mut Choice) -> Result<Option<Way>, Failure> {
    let mailboxes = held(plan);
    if mailboxes.is_empty() {
        return Ok(None);
    }
    tell(&format!("To be decided: {}", Question::TargetHoldsMail { mailboxes }.plainly()));
    tell("  1  What was copied before is recognised by its content; only the rest is copied.");
    tell("  2  Everything is copied beside it: what is there twice stays there twice.");
    let prompt = match choice.already_there {
        Some(AlreadyThere::CopyAnyway) => "1 or 2 (Enter): ",
        Some(AlreadyThere::Recognise) | None => "1 (Enter) or 2: ",
    };
    loop {
        let said = match talk.ask_afresh(prompt).await? {
            Reply::Line(line) if line == "1" => AlreadyThere::Recognise,
            Reply::Line(line) if line == "2" => AlreadyThere::CopyAnyway,
            Reply::Line(line) if line.is_empty() => choice.already_there.unwrap_or(AlreadyThere::Recognise),
            Reply::Line(_) => continue,
            Reply::Back => return Ok(Some(Way::Back)),
            Reply::Leave => return Ok(Some(Way::Leave)),
        };
        choice.already_there = Some(said);
        return Ok(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_turn_mailboxes_and_nothing_else_does() {
        let names = ["Inbox", "Sent", "Spam"].map(str::to_owned);
        let of = |line: &str, left: &[&str]| {
            turned(line, &names, &left.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(of("3", &[]).unwrap(), ["Spam"]);
        assert_eq!(of("3, 1", &["Spam"]).unwrap(), ["Inbox"]);
        assert!(of("2 2", &[]).unwrap().is_empty());
        for wrong in ["0", "4", "x", "1 x", "-1"] {
            assert!(of(wrong, &[]).is_err(), "{wrong}");
        }
    }
}
