//! What the report adds up to, and whether it all ends.

use serde_json::Value;
use std::collections::BTreeMap;

use super::super::facts::ItemFact;
use super::super::run::Ran;
use super::{Case, THERE};

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(u64::MAX)
}

/// The totals of the report are those of its mailboxes, and both are what the checker counts.
pub(super) fn the_report_adds_up(case: &Case<'_>) -> Vec<String> {
    let report = &case.facts.report;
    let totals = &report["totals"];
    let mut wrong = Vec::new();
    let mut expect = |what: &str, said: u64, counted: u64| {
        if said != counted {
            wrong.push(format!("the report says {what}: {said}, and it is {counted}"));
        }
    };
    let items = &case.facts.items;
    let of = |state: &str| items.iter().filter(|i| i.state == state).count() as u64;
    let graded =
        |grade: &str| items.iter().filter(|i| i.state == "verified" && i.grade == Some(grade)).count() as u64;
    expect("listed", number(totals, "listed"), items.len() as u64);
    expect("verified exact", number(&totals["verified"], "exact"), graded("exact"));
    expect("verified newline", number(&totals["verified"], "newline"), graded("newline"));
    expect("verified semantic", number(&totals["verified"], "semantic"), graded("semantic"));
    for state in ["stored", "already_there", "merged", "gone_at_source", "gone_at_target", "moved_at_target"]
    {
        expect(state, number(totals, state), of(state));
    }
    expect("exceptions", number(totals, "exceptions"), of("exception"));
    expect("remainder", number(totals, "remainder"), 0);
    let summands =
        ["stored", "already_there", "merged", "gone_at_source", "gone_at_target", "moved_at_target"];
    let sum: u64 = summands.iter().map(|s| number(totals, s)).sum::<u64>()
        + number(&totals["verified"], "exact")
        + number(&totals["verified"], "newline")
        + number(&totals["verified"], "semantic")
        + number(totals, "exceptions")
        + number(totals, "pending")
        + totals["excluded"].as_object().map_or(0, |e| e.values().filter_map(Value::as_u64).sum());
    expect("the sum", number(totals, "listed"), sum);
    if let Some(foreign) = totals["foreign_at_target"].as_u64() {
        expect("foreign at the target", foreign, foreign_at_target(case));
    }
    wrong.extend(exit_code(case));
    wrong
}

/// Messages in the target's mailboxes that no source message owns. One that the server merged another client's message
/// with stays foreign.
fn foreign_at_target(case: &Case<'_>) -> u64 {
    let moved: Vec<&str> = case.facts.report["mailboxes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|m| m["decision"] == "move")
        .filter_map(|m| m["target_wire"].as_str())
        .collect();
    let holds = case.facts.target.holds.iter().filter(|m| moved.contains(&m.name.as_str()));
    let mut claimed: BTreeMap<(&str, u32), ()> = BTreeMap::new();
    for item in case.facts.items.iter().filter(|i| i.state != "merged") {
        if let Some(place) = item.at_target.filter(|p| case.at_target(&item.mailbox, *p).is_some()) {
            claimed.insert((item.mailbox.as_str(), place.1), ());
        }
    }
    holds.map(|m| m.messages.len() as u64).sum::<u64>() - claimed.len() as u64
}

/// Exit code and word say what the numbers say, and "complete" that every source message has its copy.
fn exit_code(case: &Case<'_>) -> Option<String> {
    let report = &case.facts.report;
    let code = number(report, "exit_code");
    let items = &case.facts.items;
    let damaged = items
        .iter()
        .any(|i| i.state == "exception" && matches!(i.reason.as_deref(), Some("damaged" | "absent")));
    let unread = items.iter().any(|i| i.state == "stored");
    // What another client removed since is no difference of what is there.
    let is_rewritten = |i: &ItemFact| i.state == "verified" && i.grade == Some("semantic");
    let exceptions = items.iter().any(|i| i.state == "exception" || is_rewritten(i))
        || number(report, "flag_differences") > 0
        || number(report, "date_differences") > 0;
    let expected = match () {
        () if damaged || number(&report["totals"], "missing_at_target") > 0 => 4,
        () if unread || number(&report["totals"], "pending") > 0 => 5,
        () if exceptions => 3,
        () => 0,
    };
    if code != expected {
        return Some(format!("the exit code is {code}, and should be {expected}"));
    }
    let done =
        |state: &str| THERE.contains(&state) || state.starts_with("gone_at_") || state == "moved_at_target";
    (code == 0 && !items.iter().all(|i| done(i.state)))
        .then(|| "the report says complete, and something is missing".into())
}

/// Once nothing goes wrong any more, it ends, and a further run sends nothing.
pub(super) fn it_ends(case: &Case<'_>) -> Vec<String> {
    let runs = &case.facts.runs;
    let mut wrong = Vec::new();
    if !runs.ended {
        wrong.push(format!("it does not end: {:?}", runs.all));
    }
    if runs.all.contains(&Ran::Endless) {
        wrong.push("a run did not end in half a day, or turned in circles".into());
    }
    if case.facts.writes == 0 {
        wrong.push("no write of the journal was seen: the recorder is blind".into());
    }
    wrong
}
