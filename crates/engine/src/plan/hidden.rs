//! Pure: mail that is in the old account and that its server does not show over IMAP; and what lies hidden in the new one.

use super::{MailboxStep, WillNotMove, display};
use crate::end::{MailboxInfo, Role, Space};
use crate::labels::all_mail;
use crate::names;
use crate::quirks::family::ShowsMax;
use crate::survey::SideSurvey;

/// Gmail, and All Mail is not shown.
pub(crate) fn hides_all_mail(source: &SideSurvey) -> bool {
    source.abilities.gmail && all_mail(source).is_none()
}

/// Mail of Gmail's that IMAP does not show.
pub(super) fn hidden_mail(source: &SideSurvey) -> Option<WillNotMove> {
    hides_all_mail(source).then(|| WillNotMove {
        what: "mail that is archived without a label, and mail under labels that Gmail does not show over IMAP".to_owned(),
        count: None,
        reason: "“All Mail” is hidden: in Gmail’s settings, under Labels, tick “Show in IMAP” for All Mail, then look again"
            .to_owned(),
        otherwise: None,
    })
}

/// What Gmail has in its Trash, before anything of this migration goes there. None of it may be equal to what moves; nobody knows.
///
/// QUIRK: Gmail takes an equal message that lies in its Trash out of there, with the date that it had, and stores no other one
/// (rgladwell/imap-upload#22).
pub(super) fn in_trash(steps: &[MailboxStep], target: &SideSurvey) -> Option<String> {
    let is_trash = |info: &&MailboxInfo| info.role == Some(Role::Trash) && info.space == Space::Personal;
    let mut listed = target.mailboxes.iter().map(|mailbox| &mailbox.info).filter(|_| target.abilities.gmail);
    let trash = listed.find(is_trash)?;
    let held = trash.counts?.messages;
    let is_used = steps.iter().any(|step| step.target.wire == trash.wire && !step.baseline_needed);
    (held > 0 && !is_used).then(|| {
        format!(
            "“{}” of the new account holds {}: one that is equal to a message that moves is taken out of there by Gmail, with its old \
             date and flags, and no other one is stored. Empty it first, unless this is wanted",
            names::printable(&trash.text),
            display::amount(held, "message", "messages"),
        )
    })
}

/// A mailbox that holds just as much as a limit that a person can set there.
pub(super) fn perhaps_cut(step: &MailboxStep, source: &SideSurvey) -> Option<String> {
    let ShowsMax { messages, always: false, instead } = source.abilities.does.mailbox_shows_max? else {
        return None;
    };
    let shown = step.record.messages.filter(|shown| messages.contains(shown))?;
    Some(format!(
        "“{}” shows exactly {}: {instead}",
        names::printable(&step.record.source.text),
        display::amount(shown, "message", "messages"),
    ))
}

/// Mailboxes of which the server always shows the newest messages alone, and that show as many.
pub(super) fn cut(steps: &[MailboxStep], source: &SideSurvey) -> Vec<WillNotMove> {
    let of = |step: &MailboxStep| {
        let ShowsMax { messages: &[most], always: true, instead } = source.abilities.does.mailbox_shows_max?
        else {
            return None;
        };
        step.record.messages.filter(|shown| is_cut(*shown, most))?;
        Some(WillNotMove {
            what: format!(
                "what “{}” holds beyond its newest messages",
                names::printable(&step.record.source.text)
            ),
            count: None,
            reason: format!(
                "the old server shows the newest {} of a mailbox alone: {instead}",
                display::amount(most, "message", "messages")
            ),
            otherwise: None,
        })
    };
    steps.iter().filter_map(of).collect()
}

/// A tenth more may have come since the mailbox was cut. One that shows far more is not cut: the server was asked under the name
/// where it shows all.
fn is_cut(shown: u64, most: u64) -> bool {
    (most..most + most / 10).contains(&shown)
}

/// True where the plan says so of a mailbox that moves.
pub(crate) fn shows_newest_alone(steps: &[MailboxStep], source: &SideSurvey) -> bool {
    !cut(steps, source).is_empty()
}
