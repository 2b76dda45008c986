//! Pure: users whose names may be mistyped. A server that makes an account for whoever an administrator names would take the
//! mail of a typing error.
//!
//! QUIRK: Cyrus with autocreate and Dovecot with a static user database do that [M, servers.md S5].
//!
//! What is sure: an old account without a message has nothing to be moved, so that the name is wrong or the run is needless.
//! An empty new account is what most runs start with; but a typing error makes its name differ from the old one's, so that it
//! is asked about only where they differ before the `@`.

use crate::error::Question;
use crate::survey::{SideSurvey, Survey};

/// The questions before the first run.
pub(super) fn users(survey: &Survey) -> Vec<Question> {
    let Survey { source, target } = survey;
    let ask = |side: &SideSurvey, name, why| Question::DoubtfulUser {
        user: side.abilities.user.clone(),
        side: name,
        why,
    };
    let mut questions = Vec::new();
    if source.abilities.on_behalf && is_empty(source) {
        questions.push(ask(source, "old", "it holds no message"));
    }
    let differ = local(&source.abilities.user) != local(&target.abilities.user);
    if target.abilities.on_behalf && is_empty(target) && differ {
        questions.push(ask(target, "new", "it is empty and is called otherwise than the old account"));
    }
    questions
}

/// No mailbox is known to hold a message, and all could be looked at.
fn is_empty(side: &SideSurvey) -> bool {
    side.mailboxes.iter().all(|m| {
        let empty = m.info.counts.is_some_and(|c| c.messages == 0);
        (empty || !m.info.selectable) && m.trouble.is_none()
    })
}

fn local(user: &str) -> String {
    user.rsplit_once('@').map_or(user, |(local, _)| local).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey_testing::{Side, survey};

    fn side(user: &str, messages: u64, on_behalf: bool) -> Side {
        let mut side = Side::new("", Some('/')).holds(0, 0).mailbox("Sent").holds(messages, 10);
        (side.abilities.user, side.abilities.on_behalf) = (user.into(), on_behalf);
        side
    }

    /// The sides asked about.
    fn asked(source: Side, target: Side) -> Vec<&'static str> {
        let side = |q: &Question| if let Question::DoubtfulUser { side, .. } = q { side } else { "" };
        users(&survey(&source, &target)).iter().map(side).collect()
    }

    #[test]
    fn a_name_that_a_server_may_have_made_up_is_asked_about_before_the_first_run() {
        for (source, target, expected) in [
            (("ann", 9, true), ("ann@new.example", 0, true), &[][..]),
            (("ann", 0, true), ("ann", 0, true), &["old"]),
            (("ann", 0, false), ("ann", 0, false), &[]),
            (("ann", 9, true), ("anm@new.example", 0, true), &["new"]),
            (("Ann@old.example", 9, false), ("ann@new.example", 0, true), &[]),
            (("ann", 9, false), ("bob", 0, true), &["new"]),
            (("ann", 9, false), ("bob", 0, false), &[]),
            (("ann", 9, false), ("bob", 3, true), &[]),
            (("anm", 0, true), ("ann", 0, true), &["old", "new"]),
        ] {
            let of = |(user, messages, on_behalf)| side(user, messages, on_behalf);
            assert_eq!(asked(of(source), of(target)), expected, "{source:?} {target:?}");
        }
    }

    #[test]
    fn a_mailbox_that_could_not_be_looked_at_is_not_called_empty() {
        let unknown = || side("ann", 0, true).mailbox("Archive");
        assert_eq!(asked(unknown(), side("ann", 0, true)), [""; 0]);
        let folder = || side("ann", 0, true).mailbox("Folder").with(|info| info.selectable = false);
        assert_eq!(asked(folder(), side("ann", 0, true)), ["old"]);
    }
}
