//! The plan as JSON, for `plan --json`.

use super::{LeftOut, MailboxStep, Plan};
use crate::journal::{Decision, MailboxRecord};
use serde::{Serialize, Serializer};

#[derive(Serialize)]
struct View<'a> {
    mailboxes: Vec<StepView<'a>>,
    excluded: Vec<StayView<'a>>,
    refused: Vec<StayView<'a>>,
    vanished: Vec<&'a str>,
    totals: TotalsView,
    will_not_move: Vec<WillNotMoveView<'a>>,
    cannot_go: Vec<CannotGoView<'a>>,
    repairs: bool,
    questions: Vec<String>,
    remarks: &'a [String],
    room: RoomView,
}

#[derive(Serialize)]
struct StepView<'a> {
    source_name: &'a str,
    target_name: &'a str,
    role: Option<&'a str>,
    messages: Option<u64>,
    octets: Option<u64>,
    create: bool,
    create_role: Option<&'a str>,
    subscribe: bool,
    target_messages: Option<u64>,
    target_octets: Option<u64>,
    baseline_needed: bool,
    trouble: Option<&'a str>,
    only_the_rest: bool,
}

#[derive(Serialize)]
struct StayView<'a> {
    source_name: &'a str,
    messages: Option<u64>,
    octets: Option<u64>,
    reason: &'a str,
}

#[derive(Serialize)]
struct TotalsView {
    mailboxes: u64,
    messages: u64,
    uncounted_mailboxes: u64,
    octets: u64,
    unsized_mailboxes: u64,
}

#[derive(Serialize)]
struct WillNotMoveView<'a> {
    what: &'a str,
    count: Option<u64>,
    reason: &'a str,
    otherwise: Option<&'a str>,
}

#[derive(Serialize)]
struct CannotGoView<'a> {
    what: &'a str,
    count: Option<u64>,
    reason: &'a str,
    repair: &'static str,
}

impl<'a> CannotGoView<'a> {
    fn of(one: &'a super::CannotGo) -> Self {
        Self { what: &one.what, count: one.count, reason: &one.reason, repair: one.repair.as_str() }
    }
}

impl<'a> WillNotMoveView<'a> {
    fn of(one: &'a super::WillNotMove) -> Self {
        let otherwise = one.otherwise.as_deref();
        Self { what: &one.what, count: one.count, reason: &one.reason, otherwise }
    }
}

#[derive(Serialize)]
struct RoomView {
    needed_octets: u64,
    estimated_octets: Option<u64>,
    free_octets: Option<u64>,
    needed_messages: u64,
    free_messages: Option<u64>,
    short: bool,
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (totals, room) = (&self.totals, &self.room);
        let will_not_move = self.will_not_move.iter();
        View {
            mailboxes: self.steps.iter().map(StepView::of).collect(),
            excluded: self.excluded.iter().map(StayView::left_out).collect(),
            refused: self.refused.iter().map(StayView::refused).collect(),
            vanished: self.vanished.iter().map(|record| record.source.text.as_str()).collect(),
            totals: TotalsView {
                mailboxes: totals.mailboxes,
                messages: totals.messages,
                uncounted_mailboxes: totals.uncounted_mailboxes,
                octets: totals.octets,
                unsized_mailboxes: totals.unsized_mailboxes,
            },
            will_not_move: will_not_move.map(WillNotMoveView::of).collect(),
            cannot_go: self.cannot_go.iter().map(CannotGoView::of).collect(),
            repairs: self.repairs,
            questions: self.questions.iter().map(ToString::to_string).collect(),
            remarks: &self.remarks,
            room: RoomView {
                needed_octets: room.needed_octets,
                estimated_octets: room.estimated_octets,
                free_octets: room.free_octets,
                needed_messages: room.needed_messages,
                free_messages: room.free_messages,
                short: room.is_short(),
            },
        }
        .serialize(serializer)
    }
}

impl<'a> StepView<'a> {
    fn of(step: &'a MailboxStep) -> Self {
        Self {
            source_name: &step.record.source.text,
            target_name: &step.target.text,
            role: step.record.role.as_deref(),
            messages: step.record.messages,
            octets: step.record.octets,
            create: step.create,
            create_role: step.create_role.map(|role| role.as_str()),
            subscribe: step.subscribe,
            target_messages: step.holds.map(|holds| holds.messages),
            target_octets: step.holds.and_then(|holds| holds.octets),
            baseline_needed: step.baseline_needed,
            trouble: step.trouble.as_ref().map(|trouble| trouble.words.as_str()),
            only_the_rest: step.is_rest,
        }
    }
}

impl<'a> StayView<'a> {
    fn left_out(left: &'a LeftOut) -> Self {
        Self::of(&left.record, &left.rule)
    }

    fn refused(record: &'a MailboxRecord) -> Self {
        let reason = match &record.decision {
            Decision::Refuse(reason) => reason.as_str(),
            Decision::Move(_) | Decision::Exclude(_) => "",
        };
        Self::of(record, reason)
    }

    fn of(record: &'a MailboxRecord, reason: &'a str) -> Self {
        let (messages, octets) = (record.messages, record.octets);
        Self { source_name: &record.source.text, messages, octets, reason }
    }
}
