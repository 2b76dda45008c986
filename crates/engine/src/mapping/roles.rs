//! Pure: which mailbox of a side plays a role: by the attribute that it announces (SPECIAL-USE, XLIST), and only where no
//! mailbox of that side announces the role, by its name.

use super::{CARRIED_ROLES, components};
use crate::end::{MailboxInfo, Role, Space};
use crate::labels;
use crate::name_rules::folded;
use crate::names;
use crate::survey::SideSurvey;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::LazyLock;

/// One row for each name; `#` begins a comment.
const TABLE: &str = include_str!("../../data/role-names.tsv");
/// Mailboxes whose children are looked at as if they were at the top.
const CONTAINERS: [&str; 3] = [names::INBOX, labels::CONTAINERS[0], labels::CONTAINERS[1]];

static BY_NAME: LazyLock<HashMap<String, Role>> = LazyLock::new(|| {
    let row = |line: &str| {
        let mut fields = line.split('\t');
        let role = Role::parse(fields.next()?)?;
        Some((folded(fields.next()?), role))
    };
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
});

/// What a role is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Attribute,
    Name,
}

/// Who plays which role on one side.
#[derive(Debug, Default)]
pub(super) struct Cast {
    players: HashMap<Role, (usize, Sign)>,
    /// Mailboxes that could play a role and do not, in the order of the survey.
    pub(super) rivals: Vec<(Role, usize)>,
}

impl Cast {
    /// Casts the mailboxes for which `takes_part` holds, by their places in the survey. Of several the largest plays, then the
    /// one nearest to the top, then the first.
    pub(super) fn of(side: &SideSurvey, takes_part: impl Fn(usize) -> bool) -> Self {
        let mut cast = Self::default();
        let signs: Vec<Option<(Role, Sign)>> =
            side.mailboxes.iter().map(|mailbox| sign(side, &mailbox.info)).collect();
        for role in CARRIED_ROLES {
            let announced = signs.contains(&Some((role, Sign::Attribute)));
            let wanted = if announced { Sign::Attribute } else { Sign::Name };
            let rank = |i: &usize| {
                let info = &side.mailboxes[*i].info;
                let messages = info.counts.map_or(0, |counts| counts.messages);
                (messages, Reverse(names::split(&info.wire, info.delimiter).len()), Reverse(*i))
            };
            let present = || (0..signs.len()).filter(|i| takes_part(*i));
            let player = present().filter(|i| signs[*i] == Some((role, wanted))).max_by_key(rank);
            cast.players.extend(player.map(|i| (role, (i, wanted))));
            let could = |i: &usize| signs[*i].is_some_and(|(of, _)| of == role) && Some(*i) != player;
            cast.rivals.extend(present().filter(could).map(|i| (role, i)));
        }
        cast
    }

    pub(super) fn player(&self, role: Role) -> Option<(usize, Sign)> {
        self.players.get(&role).copied()
    }

    /// The role that this mailbox plays.
    pub(super) fn role_of(&self, index: usize) -> Option<(Role, Sign)> {
        CARRIED_ROLES.into_iter().find_map(|role| {
            let (player, sign) = self.player(role)?;
            (player == index).then_some((role, sign))
        })
    }
}

/// The role that a mailbox announces, or that its name speaks of.
fn sign(side: &SideSurvey, info: &MailboxInfo) -> Option<(Role, Sign)> {
    if !info.selectable || info.wire.is_empty() || info.space != Space::Personal {
        return None;
    }
    if let Some(role) = labels::role(side, info) {
        return Some((role, Sign::Attribute));
    }
    let path = components(side, info);
    let name = match &path[..] {
        [name] => name,
        [container, name] if CONTAINERS.iter().any(|c| c.eq_ignore_ascii_case(container)) => name,
        _ => return None,
    };
    Some((BY_NAME.get(&folded(name)).copied()?, Sign::Name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashSet};

    #[test]
    fn every_row_is_well_formed_names_one_role_and_is_there_once() {
        let (mut seen, mut languages) = (HashSet::new(), HashSet::new());
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [role, name, tongues, source] = fields[..] else { panic!("{line}") };
            assert!(Role::parse(role).is_some_and(|role| CARRIED_ROLES.contains(&role)), "{line}");
            assert!(!name.is_empty() && name.trim() == name && !source.is_empty(), "{line}");
            assert!(seen.insert(folded(name)), "twice: {line}");
            for tongue in tongues.split(',') {
                let plain = tongue.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
                assert!(plain && (2..=5).contains(&tongue.len()), "{line}");
                languages.insert(tongue);
            }
        }
        assert_eq!(BY_NAME.len(), seen.len(), "no row is passed over");
        assert!(languages.len() >= 25, "{} languages", languages.len());
    }

    #[test]
    fn each_row_says_where_its_name_was_seen_and_the_head_of_the_table_says_what_that_is() {
        let described = |source: &str| {
            let line = format!("#   {source} ");
            source == "not found in a public source" || TABLE.lines().any(|head| head.starts_with(&line))
        };
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let sources = line.split('\t').nth(3).unwrap_or_default();
            for source in sources.split(", ") {
                let program = source.split(':').next().unwrap_or_default();
                assert!(described(program), "{program}: {line}");
            }
        }
    }

    /// Archive is not among them: in some languages no program was seen to make one.
    #[test]
    fn each_language_has_a_name_for_sent_mail_drafts_junk_and_trash() {
        let mut named: BTreeMap<&str, HashSet<Role>> = BTreeMap::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let role = Role::parse(fields[0]).unwrap();
            fields[2].split(',').for_each(|tongue| _ = named.entry(tongue).or_default().insert(role));
        }
        for (tongue, roles) in named {
            for role in [Role::Sent, Role::Drafts, Role::Junk, Role::Trash] {
                assert!(roles.contains(&role), "{tongue} has no {role:?}");
            }
        }
    }

    #[test]
    fn a_name_is_known_in_any_case_and_however_its_accents_are_written() {
        let known = |name: &str| BY_NAME.get(&folded(name)).copied();
        assert_eq!(known("GESENDETE ELEMENTE"), Some(Role::Sent));
        assert_eq!(known("Entwu\u{308}rfe"), Some(Role::Drafts));
        assert_eq!(known("迷惑メール"), Some(Role::Junk));
        assert_eq!(known("Удалённые"), Some(Role::Trash));
        assert_eq!(known("Archives"), Some(Role::Archive));
        assert_eq!(known("Projekte"), None);
    }
}
