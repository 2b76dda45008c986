//! Pure: Gmail's own views. All Mail shows every message that is neither spam nor trash; what is starred and what is important
//! shows some of these once more. A star is a flag, and comes with its message. What is important Gmail decides by itself, or a
//! person corrects it: a plain server has nothing for it, and another Gmail has the same mark.

use super::all_mail;
use crate::config::MappingRules;
use crate::end::{MailboxInfo, Role, Space};
use crate::survey::{SideSurvey, Survey};

/// True for a mailbox of which what no other one brings is copied, and nothing else: All Mail; where IMAP hides that, the other
/// views, since what they show may lie nowhere else, and from then on, since it has been moved before; and the one whose mark goes
/// along.
pub fn brings_rest(survey: &Survey, rules: &MappingRules, info: &MailboxInfo, moved_before: bool) -> bool {
    let source = &survey.source;
    if !source.abilities.gmail || !is_own(info) {
        return false;
    }
    let is_view = matches!(info.role, Some(Role::Flagged | Role::Important));
    match all_mail(source) {
        Some(all) => info.wire == all.wire || (is_view && moved_before) || carries_mark(survey, rules, info),
        None => is_view,
    }
}

/// True for `\Important` of a Gmail whose mail goes to another one that shows it, too: COPY puts a label on there without an octet.
/// Not below another parent, where its messages would lie a second time.
pub fn carries_mark(survey: &Survey, rules: &MappingRules, info: &MailboxInfo) -> bool {
    info.role == Some(Role::Important)
        && is_own(info)
        && survey.source.abilities.gmail
        && survey.target.abilities.labels_by_copy()
        && rules.into.is_none()
        && counterpart(survey, info).is_some()
}

/// The view of another Gmail that shows the same as this one of a Gmail.
pub fn counterpart<'a>(survey: &'a Survey, info: &MailboxInfo) -> Option<&'a MailboxInfo> {
    let Survey { source, target } = survey;
    let role = info.role.filter(|role| matches!(role, Role::Flagged | Role::Important))?;
    of_role(target, role).filter(|_| source.abilities.gmail && target.abilities.gmail)
}

fn of_role(side: &SideSurvey, role: Role) -> Option<&MailboxInfo> {
    let mut infos = side.mailboxes.iter().map(|mailbox| &mailbox.info);
    infos.find(|info| info.role == Some(role) && is_own(info))
}

fn is_own(info: &MailboxInfo) -> bool {
    info.selectable && info.space == Space::Personal
}
