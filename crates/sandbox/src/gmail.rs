//! An account as Gmail keeps it: every message once, under labels; a mailbox is what one label shows.
//!
//! Kept to what is public: Google's page about its IMAP extensions (X-GM-EXT-1), its help pages about labels over IMAP, and
//! what people saw: the labels of a message leave out the mailbox that is open (dlech/gmailbuttons#10), an expunge takes a
//! label away and leaves the message in All Mail, an equal message is merged with the one that is there and keeps its date
//! (rgladwell/imap-upload#22).

use crate::account::{Account, MailboxSnapshot, MessageSnapshot, NewMessage};

/// The mailboxes that each account has below its container, with their roles.
const SYSTEM: [(&str, &str); 7] = [
    ("All Mail", "\\All"),
    ("Drafts", "\\Drafts"),
    ("Important", "\\Important"),
    ("Sent Mail", "\\Sent"),
    ("Spam", "\\Junk"),
    ("Starred", "\\Flagged"),
    ("Trash", "\\Trash"),
];
/// The system labels: the role of the mailbox, the label. All Mail is none.
const LABELS: [(&str, &str); 6] = [
    ("\\Drafts", "\\Draft"),
    ("\\Important", "\\Important"),
    ("\\Sent", "\\Sent"),
    ("\\Junk", "\\Spam"),
    ("\\Flagged", "\\Starred"),
    ("\\Trash", "\\Trash"),
];

/// Makes the mailboxes of a new account below `container` (`[Gmail]`).
pub(crate) fn furnish(account: &mut Account, container: &str) {
    for (name, role) in SYSTEM {
        account.create(&format!("{container}/{name}"), Some(role.to_owned()));
    }
}

/// Stores a message under the label of a mailbox, once: an equal one that is there gets the label and keeps what it has.
pub(crate) fn store(account: &mut Account, name: &str, mut message: NewMessage) -> Option<u32> {
    account.mailbox(name)?;
    let all = || account.mailboxes.values().flat_map(|m| &m.messages);
    let id = match all().find(|m| m.octets == message.octets) {
        Some(there) => {
            message.flags.clone_from(&there.flags);
            message.internal_date.clone_from(&there.internal_date);
            there.gm_msgid
        }
        None => all().map(|m| m.gm_msgid).max().unwrap_or(1_700_000_000_000_000_000) + 1,
    };
    shelve(account, name, id, &message)
}

/// Shows a message under the label of a mailbox, as APPEND and COPY do; its UID there.
pub(crate) fn shelve(account: &mut Account, name: &str, id: u64, message: &NewMessage) -> Option<u32> {
    let role = account.mailbox(name)?.role.clone();
    let uid = put(account, name, id, message)?;
    match role.as_deref() {
        Some("\\Junk" | "\\Trash") => {
            let kept = account.mailbox(name)?.name.clone();
            account.mailboxes.values_mut().filter(|m| m.name != kept).for_each(|m| drop_id(m, id));
        }
        _ => {
            for role in ["\\Junk", "\\Trash"] {
                with_role(account, role, |m| drop_id(m, id));
            }
            if let Some(name) = with_role(account, "\\All", |m| m.name.clone()) {
                put(account, &name, id, message);
            }
        }
    }
    spread(account, name, &[uid]);
    Some(uid)
}

/// The same, and once more where it is shown already: that is no label, but shows who copies twice.
pub(crate) fn shelve_again(account: &mut Account, name: &str, id: u64, message: &NewMessage) -> Option<u32> {
    let before = account.mailbox(name)?.uid_next;
    let uid = shelve(account, name, id, message)?;
    if uid >= before { Some(uid) } else { put_once_more(account.mailbox_mut(name)?, id, message) }
}

/// Takes messages out of a mailbox. A label goes; in All Mail nothing happens; from Trash and Spam a message is gone.
pub(crate) fn remove(account: &mut Account, name: &str, uids: &[u32]) {
    if let Some(mailbox) = account.mailbox_mut(name).filter(|m| m.role.as_deref() != Some("\\All")) {
        mailbox.messages.retain(|m| !uids.contains(&m.uid));
        mailbox.touch(|_| false);
    }
}

/// The flags of messages are those of the message wherever it is shown, but for `\\Deleted`, which is about one label; a star
/// is a label.
pub(crate) fn spread(account: &mut Account, name: &str, uids: &[u32]) {
    let Some(mailbox) = account.mailbox(name) else { return };
    let name = &mailbox.name.clone();
    let changed: Vec<MessageSnapshot> =
        mailbox.messages.iter().filter(|m| uids.contains(&m.uid)).cloned().collect();
    for message in changed {
        let starred = with_role(account, "\\Flagged", |m| m.name.clone());
        if message.flags.iter().any(|f| f == "\\Flagged") {
            let MessageSnapshot { octets, flags, internal_date, .. } = message.clone();
            let new = NewMessage { octets, flags, internal_date };
            starred.and_then(|name| put(account, &name, message.gm_msgid, &new));
        } else if let Some(mailbox) = starred.and_then(|name| account.mailbox_mut(&name)) {
            drop_id(mailbox, message.gm_msgid);
        }
        let shared = |flags: &[String]| -> Vec<String> {
            flags.iter().filter(|f| *f != "\\Deleted").cloned().collect()
        };
        for other in account.mailboxes.values_mut().filter(|m| m.name != *name) {
            let differs = |m: &MessageSnapshot| {
                m.gm_msgid == message.gm_msgid && shared(&m.flags) != shared(&message.flags)
            };
            if other.messages.iter().any(differs) {
                other.touch(differs);
                let messages = other.messages.iter_mut().filter(|m| differs(m));
                messages.for_each(|m| m.flags = shared(&message.flags));
            }
        }
    }
}

/// Sets or takes labels of messages of a mailbox (STORE X-GM-LABELS). One that nothing has yet is made.
pub(crate) fn label(account: &mut Account, name: &str, uids: &[u32], labels: &[String], add: bool) {
    let Some(mailbox) = account.mailbox(name) else { return };
    let messages: Vec<MessageSnapshot> =
        mailbox.messages.iter().filter(|m| uids.contains(&m.uid)).cloned().collect();
    for label in labels {
        let role =
            LABELS.iter().find(|(_, system)| label.eq_ignore_ascii_case(system)).map(|(role, _)| *role);
        let mailbox = match role {
            Some(role) => with_role(account, role, |m| m.name.clone()),
            None if label.eq_ignore_ascii_case("\\Inbox") => Some("INBOX".to_owned()),
            None => {
                account.create(label, None);
                Some(label.clone())
            }
        };
        let Some(mailbox) = mailbox else { continue };
        for message in &messages {
            if add {
                let MessageSnapshot { octets, flags, internal_date, .. } = message.clone();
                put(account, &mailbox, message.gm_msgid, &NewMessage { octets, flags, internal_date });
            } else if let Some(mailbox) = account.mailbox_mut(&mailbox) {
                drop_id(mailbox, message.gm_msgid);
            }
        }
    }
}

/// A mailbox with the labels that each message has beside the one of the mailbox.
pub(crate) fn view(account: &Account, name: &str) -> Option<MailboxSnapshot> {
    let mut seen = account.mailbox(name)?.clone();
    for message in &mut seen.messages {
        let others = account.mailboxes.values().filter(|m| m.name != seen.name);
        let holding = others.filter(|m| m.messages.iter().any(|other| other.gm_msgid == message.gm_msgid));
        message.gm_labels = holding.filter_map(label_of).collect();
    }
    Some(seen)
}

/// The label whose messages a mailbox shows.
fn label_of(mailbox: &MailboxSnapshot) -> Option<String> {
    match mailbox.role.as_deref() {
        None if mailbox.name == "INBOX" => Some("\\Inbox".to_owned()),
        None => Some(mailbox.name.clone()),
        Some(role) => LABELS.iter().find(|(of, _)| *of == role).map(|(_, label)| (*label).to_owned()),
    }
}

/// A label as Gmail writes it in an answer: an atom where it has no space, brackets and all (MailKit#51).
pub(crate) fn written(label: &str) -> String {
    if label.is_empty() || label.contains([' ', '"', '\\', '(', ')']) {
        return format!("\"{}\"", label.replace('\\', "\\\\").replace('"', "\\\""));
    }
    label.to_owned()
}

/// Shows a message in a mailbox, if it is not shown there; its UID.
fn put(account: &mut Account, name: &str, id: u64, message: &NewMessage) -> Option<u32> {
    let mailbox = account.mailbox_mut(name)?;
    if let Some(there) = mailbox.messages.iter().find(|m| m.gm_msgid == id) {
        return Some(there.uid);
    }
    put_once_more(mailbox, id, message)
}

fn put_once_more(mailbox: &mut MailboxSnapshot, id: u64, message: &NewMessage) -> Option<u32> {
    let uid = mailbox.store(message.clone());
    mailbox.messages.iter_mut().filter(|m| m.uid == uid).for_each(|m| m.gm_msgid = id);
    Some(uid)
}

fn drop_id(mailbox: &mut MailboxSnapshot, id: u64) {
    let before = mailbox.messages.len();
    mailbox.messages.retain(|m| m.gm_msgid != id);
    if mailbox.messages.len() < before {
        mailbox.touch(|_| false);
    }
}

fn with_role<R>(
    account: &mut Account,
    role: &str,
    work: impl FnOnce(&mut MailboxSnapshot) -> R,
) -> Option<R> {
    account.mailboxes.values_mut().find(|m| m.role.as_deref() == Some(role)).map(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_copy_shows_a_message_once_unless_it_is_put_there_again() {
        for (again, shown) in [(false, 1), (true, 2)] {
            let mut account = Account::new("", Some("[Gmail]"));
            account.create("Work", None);
            let new = NewMessage { octets: "a".into(), flags: Vec::new(), internal_date: String::new() };
            account.store("INBOX", new).unwrap();
            let message = account.mailbox("INBOX").unwrap().messages[0].clone();
            let uids: Vec<u32> =
                (0..2).map(|_| account.copy("Work", message.clone(), again).unwrap()).collect();
            assert_eq!((uids[0], uids[1]), (1, shown));
            let held = |name: &str| account.mailbox(name).unwrap().messages.len();
            assert_eq!((held("Work"), held("[Gmail]/All Mail")), (shown as usize, 1));
        }
    }
}
