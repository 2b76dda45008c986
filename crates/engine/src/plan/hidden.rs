//! Pure: mail that is in the old account and that its server does not show over IMAP.

use super::{MailboxStep, WillNotMove, display};
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
