//! Step 4: what moves, where it goes, and what does not.

use super::{details, field, form, go, help, name, opening, said};
use crate::serve::guard::Session;
use crate::serve::texts;
use crate::steps::answers::{AlreadyThere, Choice, digest};
use crate::steps::look::{holds_mail, in_the_way, is_blocked, worth_knowing};
use crate::steps::{Step, words};
use mailhaul_engine::check::{Checked, Moving, Remark};
use mailhaul_engine::names::printable;
use mailhaul_engine::plan::{MailboxStep, Plan};
use mailhaul_engine::report::words::{count, rule, size};
use maud::{Markup, html};

/// The page: all of it as one form.
pub fn choose(session: &Session, checked: &Checked, choice: &Choice) -> Markup {
    let worth: Vec<&Remark> = worth_knowing(checked).collect();
    html! {
        (opening(Step::Choose.title(), texts::purpose(Step::Choose)))
        @match &checked.moving {
            Some(moving) if !is_blocked(checked) => (form(session, "choose", &decide(moving, choice))),
            moving => (form(session, "choose", &blocked(checked, moving.as_ref(), choice))),
        }
        @if !worth.is_empty() {
            section {
                details {
                    summary { (texts::TO_KNOW) " (" (worth.len()) ")" }
                    @for remark in worth { (one_remark(remark)) }
                }
            }
        }
        section {
            details {
                summary { (texts::DETAILS) }
                @for line in checked.lines() { p.words { (printable(&line)) } }
            }
        }
    }
}

fn one_remark(remark: &Remark) -> Markup {
    html! {
        div {
            p { (said(&remark.plain.what)) }
            @if let Some(next) = &remark.plain.next { p.hint { (said(next)) } }
            (details(&remark.plain.details))
            (help::more(remark.plain.more))
        }
    }
}

/// What is in the way may not be with fewer folders: they are chosen from here, too, where they are known.
fn blocked(checked: &Checked, moving: Option<&Moving>, choice: &Choice) -> Markup {
    html! {
        section.alert {
            h2 { (texts::IN_THE_WAY) }
            @for remark in in_the_way(checked) { (one_remark(remark)) }
        }
        section {
            @if let Some(moving) = moving {
                input type="hidden" name="plan" value=(shown(&moving.plan, choice));
                input type="hidden" name="into" value=(choice.into.as_deref().unwrap_or_default());
                (folders(&moving.plan, choice))
                p { (words::forecast(moving)) }
            }
            input type="hidden" name="again" value="yes";
            (go(texts::LOOK_AGAIN, Some("new")))
        }
    }
}

/// Both accounts could not be looked at.
pub fn not_looked(session: &Session) -> Markup {
    let content = html! {
        section {
            input type="hidden" name="again" value="yes";
            (go(texts::LOOK_AGAIN, Some("new")))
        }
    };
    html! {
        (opening(Step::Choose.title(), texts::purpose(Step::Choose)))
        (form(session, "choose", &content))
    }
}

fn decide(moving: &Moving, choice: &Choice) -> Markup {
    let plan = &moving.plan;
    html! {
        input type="hidden" name="plan" value=(shown(plan, choice));
        section { (folders(plan, choice)) }
        @if holds_mail(plan) { section { (there_already(choice.already_there)) } }
        (will_not_move(&words::will_not_move(plan), choice))
        (cannot_go(&words::cannot_go(plan), choice))
        section {
            h2 { (texts::HOW_LONG) }
            p { (words::forecast(moving)) }
            details.field open[choice.into.is_some()] {
                summary { (texts::INTO) }
                (field("into", texts::INTO, Some(texts::INTO_HINT), choice.into.as_deref().unwrap_or_default()))
            }
            (go(texts::CONTINUE, Some("new")))
        }
    }
}

/// The mailboxes with a box, in the order of their boxes: those of the plan, and those that the person took out of it.
pub fn boxes<'a>(plan: &'a Plan, choice: &Choice) -> Vec<&'a str> {
    let moving = plan.steps.iter().map(|step| &step.record.source.text);
    let left = plan.excluded.iter().map(|left| &left.record.source.text);
    moving.chain(left.filter(|name| choice.leave_out.contains(name))).map(String::as_str).collect()
}

/// Stands for what the page shows: a form that comes back with another one was made of something else.
pub fn shown(plan: &Plan, choice: &Choice) -> String {
    digest(plan, &boxes(plan, choice)[plan.steps.len()..])
}

/// The mailboxes of the plan, and those that the person took out of it, with a box each; and those that a rule leaves out.
fn folders(plan: &Plan, choice: &Choice) -> Markup {
    let by_person =
        |left: &&mailhaul_engine::plan::LeftOut| choice.leave_out.contains(&left.record.source.text);
    let (out, by_rule): (Vec<_>, Vec<_>) = plan.excluded.iter().partition(by_person);
    html! {
        fieldset aria-describedby="folders-hint" {
            legend { (texts::FOLDERS) }
            p.hint #folders-hint { (texts::FOLDERS_HINT) }
            table.pick {
                tbody {
                    @for (at, step) in plan.steps.iter().enumerate() { (row(at, step)) }
                    @for (at, left) in out.iter().enumerate() {
                        @let source = &left.record.source.text;
                        @let at = plan.steps.len() + at;
                        tr.off {
                            td { (tick(at, false)) }
                            th scope="row" { label for=(format!("m{at}")) { (name(source)) } }
                            td.n { (left.record.messages.map_or("?".into(), count)) }
                            td.n.size { (left.record.octets.map_or(String::new(), size)) }
                        }
                    }
                }
            }
        }
        @if !by_rule.is_empty() {
            details {
                summary { (texts::LEFT_BY_RULE) " (" (by_rule.len()) ")" }
                ul.plain { @for left in by_rule { li { (name(&left.record.source.text)) ": " (rule(&left.rule)) } } }
            }
        }
    }
}

/// A box. It is known by its number: a browser does not give back every name as it was.
fn tick(at: usize, is_ticked: bool) -> Markup {
    html! { input type="checkbox" id=(format!("m{at}")) name="move" value=(at) checked[is_ticked]; }
}

fn row(at: usize, step: &MailboxStep) -> Markup {
    let (source, target) = (&step.record.source.text, &step.target.text);
    html! {
        tr {
            td { (tick(at, true)) }
            th scope="row" {
                label for=(format!("m{at}")) { (name(source)) }
                @if target != source { " " span.goes { "→ " (name(target)) } }
                @if step.create { " " span.tag { (texts::NEW_FOLDER) } }
                @if step.holds_unknown_mail() { " " span.tag { (texts::HOLDS) } }
            }
            td.n { (step.record.messages.map_or("?".into(), count)) }
            td.n.size { (step.record.octets.map_or(String::new(), size)) }
        }
    }
}

fn there_already(chosen: Option<AlreadyThere>) -> Markup {
    let ways = [
        ("recognise", AlreadyThere::Recognise, texts::RECOGNISE, texts::RECOGNISE_HINT),
        ("copy", AlreadyThere::CopyAnyway, texts::COPY_ANYWAY, texts::COPY_ANYWAY_HINT),
    ];
    html! {
        fieldset {
            legend { (texts::THERE_ALREADY) }
            @for (value, way, label, hint) in ways {
                div.check {
                    input type="radio" id=(value) name="already" value=(value) checked[chosen == Some(way)]
                        aria-describedby=(format!("{value}-hint"));
                    label for=(value) { (label) }
                }
                div.hint id=(format!("{value}-hint")) { (hint) }
            }
        }
    }
}

fn cannot_go(lines: &[String], choice: &Choice) -> Markup {
    html! {
        @if !lines.is_empty() {
            section {
                h2 { (texts::CANNOT_GO) }
                p { (words::REPAIR) }
                ul.plain {
                    @for line in lines {
                        li { (name(line)) }
                    }
                }
                div.check {
                    input type="checkbox" id="repair" name="repair" value="yes" checked[choice.repair];
                    label for="repair" { (texts::CANNOT_GO_YES) }
                }
            }
        }
    }
}

fn will_not_move(lines: &[String], choice: &Choice) -> Markup {
    let is_agreed = lines.iter().all(|line| choice.accepted.contains(line));
    html! {
        @if !lines.is_empty() {
            section.alert {
                h2 { (texts::WILL_NOT_MOVE) }
                p { (texts::WILL_NOT_MOVE_HINT) }
                ul.plain {
                    @for line in lines {
                        li { (name(line)) }
                    }
                }
                div.check {
                    input type="checkbox" id="accept" name="accept" value="yes" checked[is_agreed];
                    label for="accept" { (texts::WILL_NOT_MOVE_YES) }
                }
            }
        }
    }
}
