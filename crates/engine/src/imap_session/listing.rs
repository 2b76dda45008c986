//! LIST and what is asked together with it: subscriptions, roles, counts.

use super::{Link, Reply, counts, counts_in, personal, quota_root, spaces};
use crate::end::{Asked, MailboxCounts, MailboxInfo, Role, Space, Untold};
use crate::error::EndError;
use bytes::Bytes;
use mailhaul_imap::{Command, ListEntry, Untagged};
use std::collections::BTreeMap;

/// What the server said of its mailboxes.
#[derive(Default)]
struct Listing {
    entries: Vec<(Space, ListEntry)>,
    /// By name, from LIST-STATUS (RFC 5819).
    told: BTreeMap<Bytes, MailboxCounts>,
    /// From XLIST: it may give INBOX another name, so that it tells roles and nothing else.
    roles: Vec<ListEntry>,
    /// From LSUB or LIST (SUBSCRIBED).
    subscribed: Vec<ListEntry>,
}

impl Link {
    /// All mailboxes of all namespaces, with roles, subscriptions and counts; with `gone`, subscriptions to names that are no
    /// mailboxes (any more) are listed as what cannot be opened. What is refused of it is for [`Link::untold`].
    pub(crate) async fn list_mailboxes(&mut self, gone: bool) -> Result<Vec<MailboxInfo>, EndError> {
        self.untold.clear();
        self.ask_for_namespaces_again().await?;
        if let Some(error) = self.namespaces_refused.clone() {
            self.untold.push(Untold { asked: Asked::Namespaces, error });
        }
        let listing = self.list(gone).await?;
        let mut mailboxes = self.put_together(listing, gone);
        self.counts_of(&mut mailboxes).await?;
        // INBOX first, then by name: a stable order for people and journal.
        mailboxes.sort_by_key(|m| (!m.text.eq_ignore_ascii_case("INBOX"), m.wire.clone()));
        Ok(mailboxes)
    }

    /// NAMESPACE, where the login went on without it for a reason that may have passed.
    async fn ask_for_namespaces_again(&mut self) -> Result<(), EndError> {
        if !self.namespaces_refused.as_ref().is_some_and(EndError::is_passing) {
            return Ok(());
        }
        let asked = self.ask_all(vec![Command::namespace()], "NAMESPACE").await?.pop();
        self.namespaces_refused = match asked {
            Some(Ok(reply)) => {
                for data in reply.data {
                    if let Untagged::Namespace(told) = data {
                        self.abilities.personal = personal(Some(&told), None);
                        self.namespaces = Some(told);
                    }
                }
                None
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        Ok(())
    }

    /// What the last listing asked for and was refused.
    pub(crate) fn untold(&mut self) -> Vec<Untold> {
        std::mem::take(&mut self.untold)
    }

    /// LIST below each prefix, with what XLIST knows of roles, and the subscriptions: asked together.
    async fn list(&mut self, gone: bool) -> Result<Listing, EndError> {
        let prefixes = spaces::to_list(self.namespaces.as_ref());
        let returns = self.list_returns();
        let below = |prefix: &Bytes| [&prefix[..], b"*"].concat();
        let mut commands: Vec<Command> =
            prefixes.iter().map(|(_, prefix)| Command::list("", b"", &below(prefix), &returns)).collect();
        let extended = self.capabilities.list_extended();
        let subscriptions: Vec<Command> = match extended {
            // A subscription to a mailbox that is gone is in no other answer (RFC 5258, 3.1).
            true => gone.then(|| Command::list("(SUBSCRIBED)", b"", b"*", "")).into_iter().collect(),
            false => {
                let own = prefixes.iter().filter(|(space, _)| *space == Space::Personal);
                own.map(|(_, prefix)| Command::lsub(&below(prefix))).collect()
            }
        };
        let asked_for = subscriptions.len();
        commands.extend(subscriptions);
        // QUIRK: servers older than RFC 6154 (Gmail's until 2013, 163.com) tell roles to XLIST alone [T].
        if self.capabilities.has(b"XLIST") && !self.capabilities.special_use() {
            commands.push(Command::xlist(b"*"));
        }
        // Who surveys asks for the room next.
        let with_quota = self.capabilities.quota();
        commands.extend(with_quota.then(quota_root));
        let mut replies = self.ask_all(commands, "LIST").await?;
        self.room_told = if with_quota { replies.pop() } else { None };
        let mut replies = replies.into_iter();
        let mut listing = Listing::default();
        for ((space, prefix), reply) in prefixes.iter().zip(&mut replies) {
            let data = match reply {
                Ok(reply) => reply.data,
                // What `*` shows must be there; another namespace may be refused.
                Err(error) if prefix.is_empty() => return Err(error),
                Err(error) => {
                    let text = crate::names::decode(prefix, self.abilities.utf8_names);
                    let asked =
                        if *space == Space::Personal { Asked::Own(text) } else { Asked::Others(text) };
                    self.untold.push(Untold { asked, error });
                    continue;
                }
            };
            listing.take(*space, data);
        }
        // Without subscriptions and old roles an account moves all the same.
        for reply in replies.by_ref().take(asked_for) {
            // What LIST itself tells of subscriptions is there; those to mailboxes that are gone are worth a second try alone.
            let matters = !extended || reply.as_ref().is_err_and(|error| error.is_passing());
            let mut some = self.entries_of(reply, matters.then_some(Asked::Subscriptions));
            // A server that does not know the option lists everything.
            some.retain(|entry| !extended || entry.has(b"\\Subscribed"));
            listing.subscribed.extend(some);
        }
        if let Some(reply) = replies.next() {
            listing.roles = self.entries_of(reply, Some(Asked::Roles));
        }
        Ok(listing)
    }

    fn entries_of(&mut self, reply: Result<Reply, EndError>, asked: Option<Asked>) -> Vec<ListEntry> {
        let entry = |data| match data {
            Untagged::List(entry) | Untagged::Lsub(entry) => Some(entry),
            _ => None,
        };
        match reply {
            Ok(reply) => reply.data.into_iter().filter_map(entry).collect(),
            Err(error) => {
                self.untold.extend(asked.map(|asked| Untold { asked, error }));
                Vec::new()
            }
        }
    }

    /// Each name once, with all that was said of it.
    fn put_together(&self, listing: Listing, gone: bool) -> Vec<MailboxInfo> {
        let Listing { entries, told, roles, subscribed } = listing;
        let mut found: BTreeMap<Bytes, MailboxInfo> = BTreeMap::new();
        let told_of = |found: &mut BTreeMap<Bytes, MailboxInfo>, space: Space, entry: &ListEntry, exists| {
            let space = self.space_of(&entry.name).unwrap_or(space);
            // A name that only a subscription knows is no mailbox.
            let selectable = exists && entry.is_selectable();
            let new = || MailboxInfo { selectable, ..info(entry, space, self.abilities.utf8_names) };
            let info = found.entry(entry.name.clone()).or_insert_with(new);
            info.selectable |= selectable;
            info.subscribed |= !exists || entry.has(b"\\Subscribed");
            info.counts = info.counts.or_else(|| told.get(&entry.name).copied());
        };
        entries.iter().for_each(|(space, entry)| told_of(&mut found, *space, entry, true));
        for entry in &subscribed {
            if gone || found.contains_key(&entry.name) {
                told_of(&mut found, Space::Personal, entry, false);
            }
        }
        for entry in entries.iter().map(|(_, entry)| entry).chain(&roles) {
            if let Some(info) = found.get_mut(&entry.name) {
                info.role = info.role.or(role(entry));
            }
        }
        found.into_values().collect()
    }

    /// Whose a mailbox is, as far as NAMESPACE tells.
    fn space_of(&self, name: &[u8]) -> Option<Space> {
        spaces::space_of(self.namespaces.as_ref()?, name)
    }

    fn list_returns(&self) -> String {
        let can = &self.capabilities;
        if !can.list_extended() {
            return String::new();
        }
        let roles = if can.special_use() { " SPECIAL-USE" } else { "" };
        let status =
            if can.list_status() { format!(" STATUS ({})", self.status_items()) } else { String::new() };
        format!("(SUBSCRIBED CHILDREN{roles}{status})")
    }

    /// STATUS of every selectable mailbox that the listing said nothing of, pipelined. One that refuses has no counts.
    async fn counts_of(&mut self, mailboxes: &mut [MailboxInfo]) -> Result<(), EndError> {
        let open = |m: &MailboxInfo| m.selectable && m.counts.is_none();
        let wanted: Vec<usize> = (0..mailboxes.len()).filter(|i| open(&mailboxes[*i])).collect();
        let items = &self.status_items();
        let commands = wanted.iter().map(|i| Command::status(&mailboxes[*i].wire, items)).collect();
        let replies = self.ask_all(commands, "STATUS").await?;
        for (i, reply) in wanted.into_iter().zip(replies) {
            match reply {
                Ok(reply) => mailboxes[i].counts = counts(&reply.data),
                Err(error) if mailboxes[i].space == Space::Personal => {
                    let asked = Asked::Counts(mailboxes[i].wire.clone());
                    self.untold.push(Untold { asked, error });
                }
                // What belongs to others is not waited for.
                Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Listing {
    fn take(&mut self, space: Space, data: Vec<Untagged>) {
        for data in data {
            match data {
                Untagged::List(entry) => self.entries.push((space, entry)),
                Untagged::StatusData(status) => {
                    self.told.extend(counts_in(&status).map(|counts| (status.mailbox.clone(), counts)));
                }
                _ => {}
            }
        }
    }
}

fn info(entry: &ListEntry, space: Space, utf8: bool) -> MailboxInfo {
    MailboxInfo {
        wire: entry.name.clone(),
        text: crate::names::decode(&entry.name, utf8),
        delimiter: entry.delimiter.map(char::from),
        selectable: entry.is_selectable(),
        may_have_children: !entry.has(b"\\Noinferiors"),
        role: None,
        subscribed: false,
        space,
        counts: None,
    }
}

/// SPECIAL-USE, or XLIST's own words for it.
fn role(entry: &ListEntry) -> Option<Role> {
    const OLD: [(&[u8], Role); 3] =
        [(b"\\AllMail", Role::All), (b"\\Spam", Role::Junk), (b"\\Starred", Role::Flagged)];
    let old = || OLD.into_iter().find(|(word, _)| entry.has(word)).map(|(_, role)| role);
    Role::ALL.into_iter().find(|r| entry.has(format!("\\{}", r.as_str()).as_bytes())).or_else(old)
}
