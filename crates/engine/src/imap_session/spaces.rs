//! Pure: whose a mailbox is, by the prefixes that NAMESPACE tells (RFC 2342).

use crate::end::Space;
use crate::names;
use bytes::Bytes;
use mailhaul_imap::{Namespace, Namespaces};

/// Whose the mailbox of this name is: the longest prefix has it, and of two equal ones the account's own. `None` where the server
/// speaks of no prefix that it lies under. INBOX is always the account's own (RFC 9051, 5.1).
///
/// QUIRK: Cyrus without `altnamespace` keeps what is shared by all below no prefix at all, beside the account's own `INBOX.`:
/// `NAMESPACE (("INBOX." ".")) (("user." ".")) (("" "."))` (RFC 2342, 5, example 4; imapd.conf(5)).
pub(super) fn space_of(spaces: &Namespaces, name: &[u8]) -> Option<Space> {
    if names::is_inbox(name) {
        return Some(Space::Personal);
    }
    let longest =
        |all: &[Namespace]| all.iter().filter(|n| lies_under(n, name)).map(|n| n.prefix.len()).max();
    let spaces = [
        (longest(&spaces.shared), Space::Shared),
        (longest(&spaces.other_users), Space::OtherUsers),
        // Of equal ones the last is taken.
        (longest(&spaces.personal), Space::Personal),
    ];
    let under = spaces.into_iter().filter_map(|(octets, space)| Some((octets?, space)));
    under.max_by_key(|(octets, _)| *octets).map(|(_, space)| space)
}

/// Below which prefixes a listing asks, and whose is what it finds there: first below none, where what most servers have is
/// shown, then below each that this may leave out.
///
/// QUIRK: `*` does not show namespaces of Dovecot's with `list=no`, nor `#mh/` of UW's (docs of both).
pub(super) fn to_list(spaces: Option<&Namespaces>) -> Vec<(Space, Bytes)> {
    let mut all = vec![(Space::Personal, Bytes::new())];
    let Some(spaces) = spaces else { return all };
    let below_inbox = |n: &Namespace| names::is_inbox(n.prefix.get(..names::INBOX.len()).unwrap_or_default());
    // What lies below INBOX is in the namespace of INBOX, which `*` shows.
    let personal = spaces.personal.iter().filter(|n| !below_inbox(n)).map(|n| (Space::Personal, n));
    let others = spaces.other_users.iter().map(|n| (Space::OtherUsers, n));
    let shared = spaces.shared.iter().map(|n| (Space::Shared, n));
    for (space, namespace) in personal.chain(others).chain(shared) {
        if !all.iter().any(|(_, prefix)| *prefix == namespace.prefix) {
            all.push((space, namespace.prefix.clone()));
        }
    }
    all
}

/// The prefix without its delimiter is a name of the namespace, too.
fn lies_under(space: &Namespace, name: &[u8]) -> bool {
    let is_top = match (space.prefix.split_last(), space.delimiter) {
        (Some((last, top)), Some(delimiter)) if *last == delimiter => same(top, name),
        _ => false,
    };
    is_top || name.get(..space.prefix.len()).is_some_and(|beginning| same(&space.prefix, beginning))
}

/// Equal; INBOX, as the first level, in any case.
fn same(prefix: &[u8], beginning: &[u8]) -> bool {
    let inbox = names::INBOX.len();
    match (prefix.split_at_checked(inbox), beginning.split_at_checked(inbox)) {
        (Some((a, prefix)), Some((b, beginning))) if names::is_inbox(a) && names::is_inbox(b) => {
            prefix == beginning
        }
        _ => prefix == beginning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(lists: [&[&'static str]; 3]) -> Namespaces {
        let list = |prefixes: &[&'static str]| {
            let one =
                |prefix: &&'static str| Namespace { prefix: prefix.as_bytes().into(), delimiter: Some(b'.') };
            prefixes.iter().map(one).collect()
        };
        let [personal, other_users, shared] = lists.map(list);
        Namespaces { personal, other_users, shared }
    }

    fn spaces<const N: usize>(told: &Namespaces, names: [&str; N]) -> [Option<Space>; N] {
        names.map(|name| space_of(told, name.as_bytes()))
    }

    #[test]
    fn what_lies_below_no_prefix_is_whose_the_empty_prefix_is_and_never_inbox() {
        const OWN: Option<Space> = Some(Space::Personal);
        let shared = Some(Space::Shared);
        let cyrus = namespaces([&["INBOX."], &["user."], &[""]]);
        let names =
            ["INBOX", "inbox", "INBOX.a", "Inbox.b", "user.bob", "user", "username", "INBOXES", "info"];
        let others = Some(Space::OtherUsers);
        assert_eq!(spaces(&cyrus, names), [OWN, OWN, OWN, OWN, others, others, shared, shared, shared]);
        let all_others = namespaces([&["INBOX."], &[""], &["Shared."]]);
        assert_eq!(spaces(&all_others, ["INBOX.a", "bob", "Shared.x"]), [OWN, others, shared]);
    }

    #[test]
    fn the_longest_prefix_has_a_name_and_of_equal_ones_the_own() {
        let own = Some(Space::Personal);
        let told = namespaces([&["", "shared.mine."], &["user."], &["shared.", ""]]);
        let names = ["a", "shared.x", "shared.mine.x", "user.bob.x"];
        assert_eq!(spaces(&told, names), [own, Some(Space::Shared), own, Some(Space::OtherUsers)]);
        assert_eq!(spaces(&namespaces([&["INBOX."], &[], &[]]), ["elsewhere"]), [None]);
    }
}
