//! Step 4: what moves.

use super::Way;
use super::account::{below, show};
use super::talk::{Reply, Talk, tell};
use crate::error::Failure;
use crate::steps::answers::{AlreadyThere, Choice, held};
use crate::steps::look::{in_the_way, is_blocked, look, worth_knowing};
use crate::steps::{Steps, words};
use mailhaul_engine::check::{Checked, Moving, Remark};
use mailhaul_engine::error::Question;
use mailhaul_engine::names::printable;
use mailhaul_engine::plan::Plan;

/// What the one question about what cannot go as it is is about.
const REPAIR: &str = "No message is lost by a repair: it says the same, or its original is attached. Without it these go, or stay behind, \
                      as they are.";

/// Looks at both accounts, shows what moves and what does not, and asks until a person is content.
pub async fn choose(talk: &mut Talk, steps: &mut Steps) -> Result<Way, Failure> {
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
        let way = match &checked.moving {
            Some(moving) => decide(talk, steps, &checked, moving).await?,
            None => nothing_can_begin(talk, &checked).await?,
        };
        if let Some(way) = way {
            return Ok(way);
        }
    }
}

async fn nothing_can_begin(talk: &mut Talk, checked: &Checked) -> Result<Option<Way>, Failure> {
    in_the_way(checked).for_each(remarked);
    Ok(match talk.ask("Enter looks again; b goes back: ").await? {
        Reply::Line(_) => None,
        Reply::Back => Some(Way::Back),
        Reply::Leave => Some(Way::Leave),
    })
}

fn remarked(remark: &Remark) {
    let plain = &remark.plain;
    tell(&format!("{}: {}", remark.word(), plain.what));
    below(plain);
}

/// `None`: something else moves now, and it is to be looked at again.
async fn decide(
    talk: &mut Talk,
    steps: &mut Steps,
    checked: &Checked,
    moving: &Moving,
) -> Result<Option<Way>, Failure> {
    let mut choice = steps.answers().choice.clone();
    let plan = &moving.plan;
    let names = list(plan, &choice);
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
    tell(&format!("Enter: {enter}. Numbers, as in “2 5”, leave mailboxes out, or take them in again."));
    loop {
        match talk.ask_afresh("Enter, numbers, or b to go back: ").await? {
            Reply::Back => return Ok(Some(Way::Back)),
            Reply::Leave => return Ok(Some(Way::Leave)),
            Reply::Line(line) if line.is_empty() && is_blocked => return Ok(None),
            Reply::Line(line) if line.is_empty() => break,
            Reply::Line(line) => match turned(&line, &names, &choice.leave_out) {
                Ok(leave_out) => {
                    (choice.leave_out, choice.made) = (leave_out, false);
                    steps.choose(choice)?;
                    return Ok(None);
                }
                Err(what) => tell(&what),
            },
        }
    }
    if let Some(way) = already_there(talk, plan, &mut choice).await? {
        return Ok(Some(way));
    }
    if !lines.is_empty() {
        match talk
            .agrees("Some things will not move as they are, as listed above. Is that all right?")
            .await?
        {
            None => return Ok(Some(Way::Leave)),
            Some(false) => return Ok(Some(Way::Back)),
            Some(true) => choice.accepted = lines,
        }
    }
    if !cannot_go.is_empty() {
        tell(REPAIR);
        match talk.agrees("Repair them, in this run and in later ones?").await? {
            None => return Ok(Some(Way::Leave)),
            Some(said) => choice.repair = said,
        }
    }
    steps.choose(choice.made_of(plan))?;
    Ok(Some(Way::On))
}

/// Shows all mailboxes with a number each. Returns the names that can be turned, in the order of the numbers.
fn list(plan: &Plan, choice: &Choice) -> Vec<String> {
    let width = plan.steps.len().to_string().len().max(2);
    let mut names = Vec::new();
    tell(&format!("  {:>width$}  {:>7}  old mailbox -> new mailbox", "", "mails"));
    for step in &plan.steps {
        names.push(step.record.source.text.clone());
        let messages = step.record.messages.map_or("?".to_owned(), |messages| messages.to_string());
        let (number, source, target) =
            (names.len(), printable(&step.record.source.text), printable(&step.target.text));
        tell(&format!("  {number:>width$}  {messages:>7}  {source} -> {target}"));
    }
    for left in &plan.excluded {
        let name = &left.record.source.text;
        let shown = printable(name);
        if choice.leave_out.contains(name) {
            names.push(name.clone());
            tell(&format!("  {:>width$}    stays  {shown}: left out by you", names.len()));
        } else {
            tell(&format!("  {:>width$}    stays  {shown}: {}", "-", left.rule));
        }
    }
    names
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
