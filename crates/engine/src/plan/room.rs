//! Pure: room needed for what is not copied yet, and room free at the target.

use super::{Known, MailboxStep, WillNotMove, display};
use crate::config::Selection;
use crate::survey::{SideSurvey, Survey};

/// Room needed for what is not copied yet, and room free at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomCheck {
    /// Octets to copy; at least that many where some sizes are unknown.
    pub needed_octets: u64,
    /// Octets to copy by what the source says is used of its quota (RFC 9208), where it does not tell the sizes of mailboxes: an
    /// estimate. It may count more than mail, and less where a message is copied several times. `None` where nothing is to be copied.
    pub estimated_octets: Option<u64>,
    /// Octets free, where the target tells.
    pub free_octets: Option<u64>,
    /// Messages to copy.
    pub needed_messages: u64,
    /// Messages free, where the target tells.
    pub free_messages: Option<u64>,
}

impl RoomCheck {
    /// True when the target says that it has less room than is needed, whatever an estimate says.
    pub fn is_short(&self) -> bool {
        self.free_octets.is_some_and(|free| free < self.needed_octets)
            || self.free_messages.is_some_and(|free| free < self.needed_messages)
    }

    /// Octets to copy, as well as it is known.
    pub fn expected_octets(&self) -> u64 {
        self.needed_octets.max(self.estimated_octets.unwrap_or(0))
    }
}

pub(super) fn room(
    steps: &[MailboxStep],
    survey: &Survey,
    known: &Known,
    selection: &Selection,
) -> RoomCheck {
    let (free_octets, free_messages) = survey.target.free();
    let mut room = RoomCheck { free_octets, free_messages, ..RoomCheck::default() };
    let mut settled = 0u64;
    for MailboxStep { record, .. } in steps.iter().filter(|step| step.counts) {
        let (messages, octets) = known.settled.get(&record.id).copied().unwrap_or_default();
        let left = |there: Option<u64>, settled: u64| there.unwrap_or(0).saturating_sub(settled);
        room.needed_messages = room.needed_messages.saturating_add(left(record.messages, messages));
        room.needed_octets = room.needed_octets.saturating_add(left(record.octets, octets));
        settled = settled.saturating_add(octets);
    }
    if is_unsized(steps) && room.needed_messages > 0 && *selection == Selection::default() {
        room.estimated_octets = used(&survey.source).map(|used| used.saturating_sub(settled));
    }
    room
}

fn used(side: &SideSurvey) -> Option<u64> {
    side.room?.used_octets
}

/// Mailboxes with messages move whose size is not told (no STATUS=SIZE, RFC 8438).
fn is_unsized(steps: &[MailboxStep]) -> bool {
    let moving = steps.iter().filter(|step| step.counts).map(|step| &step.record);
    moving.into_iter().any(|record| record.octets.is_none() && record.messages != Some(0))
}

/// What is said where nothing tells how large the mail is; `check` measures it.
pub(crate) const NO_SIZES: &str = "the old server does not tell how large its messages are: whether there is room for them, and how \
                                   long they take, is not known yet; `check` measures them";

pub(super) fn no_sizes(steps: &[MailboxStep], room: &RoomCheck) -> Option<String> {
    let is_copied = room.needed_messages > 0 || steps.iter().any(|step| step.record.messages.is_none());
    (is_unsized(steps) && is_copied && room.estimated_octets.is_none()).then(|| NO_SIZES.to_owned())
}

/// What the new account has no room for: which messages that will be is known when it is full. The numbers are a remark: they
/// change with each message that is moved, and what a person agreed to is compared by its words.
pub(super) fn without_room() -> WillNotMove {
    let (what, reason) = ("what is left when the new account is full", "it has less room than is needed");
    WillNotMove { what: what.into(), count: None, reason: reason.into(), otherwise: None }
}

/// What is short, or may be by an estimate alone: that stops nothing.
pub(crate) fn short_of_room(room: &RoomCheck) -> Option<String> {
    match (room.free_octets, room.free_messages) {
        (Some(free), _) if free < room.needed_octets => Some(format!(
            "the new account has {} free and at least {} are needed: ask for more room first",
            display::size(free),
            display::size(room.needed_octets)
        )),
        (_, Some(free)) if free < room.needed_messages => Some(format!(
            "the new account takes {free} more messages and {} are needed: ask for more room first",
            room.needed_messages
        )),
        (Some(free), _) if free < room.expected_octets() => Some(format!(
            "the new account may have less room than is needed: {} are free, and the old account says that {} are in use there, \
             which may count more than mail; `check` measures it",
            display::size(free),
            display::size(room.expected_octets())
        )),
        _ => None,
    }
}
