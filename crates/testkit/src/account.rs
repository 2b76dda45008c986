//! An account at a real server: read it into an image, or fill it from one.

use std::collections::BTreeSet;

use crate::image::{AccountImage, MailboxImage, MailboxPath, MessageImage};
use crate::mutf7;
use crate::wire::{Endpoint, Listed, Outgoing, Wire, WireError};

/// Octets of messages sent by one APPEND while filling.
const BATCH_OCTETS: usize = 4 << 20;
/// Messages sent by one APPEND while filling.
const BATCH_MESSAGES: usize = 500;

/// Where an account is and how to log in to it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The server.
    pub endpoint: Endpoint,
    /// User name.
    pub user: String,
    /// Password, of a server that lives as long as a test.
    pub password: String,
}

/// How an account's paths are written on the wire.
#[derive(Clone, Debug)]
pub struct Naming {
    /// Prefix of the personal namespace, in decoded levels.
    prefix: Vec<String>,
    delimiter: Option<char>,
    /// Prefixes of others' and shared mailboxes, which are not the account's.
    foreign: Vec<String>,
}

impl Account {
    /// Logs in.
    ///
    /// # Errors
    /// If the server is not there or refuses.
    pub fn login(&self) -> Result<Wire, WireError> {
        Wire::login(&self.endpoint, &self.user, &self.password)
    }

    /// Reads the whole account; bodies are digested as they arrive and not kept.
    ///
    /// # Errors
    /// If the server refuses or gives less than it announced.
    pub fn image(&self) -> Result<AccountImage, WireError> {
        self.read(false)
    }

    /// Reads the whole account with the octets of all messages.
    ///
    /// # Errors
    /// As [`Account::image`].
    pub fn image_with_octets(&self) -> Result<AccountImage, WireError> {
        self.read(true)
    }

    fn read(&self, keep_octets: bool) -> Result<AccountImage, WireError> {
        let mut wire = self.login()?;
        let naming = Naming::ask(&mut wire)?;
        let mut image = AccountImage::default();
        for row in wire.list()? {
            if row.has("\\Noselect") || row.has("\\NonExistent") || naming.is_foreign(&row) {
                continue;
            }
            let mut mailbox = MailboxImage::empty(naming.path(&row));
            wire.fetch_all(&row.name, keep_octets, |fetched| {
                mailbox.messages.push(MessageImage {
                    uid: fetched.uid,
                    flags: fetched.flags,
                    internal_date: fetched.internal_date,
                    content: fetched.content,
                });
            })?;
            mailbox.messages.sort_by_key(|message| message.uid);
            image.mailboxes.push(mailbox);
        }
        // LSUB marks names that are only parents of subscribed ones with \Noselect (RFC 3501 section 6.3.9).
        image.subscriptions = wire
            .lsub()?
            .iter()
            .filter(|row| !row.has("\\Noselect") && !naming.is_foreign(row))
            .map(|row| naming.path(row))
            .collect();
        image.mailboxes.sort_by(|a, b| a.path.cmp(&b.path));
        wire.logout()?;
        Ok(image)
    }

    /// Puts an image's mailboxes, messages and subscriptions into the account; mailboxes that are there are used.
    ///
    /// # Errors
    /// If the server refuses anything, or a message comes without its octets.
    pub fn fill(&self, image: &AccountImage) -> Result<(), WireError> {
        let mut wire = self.login()?;
        let naming = Naming::ask(&mut wire)?;
        let there: BTreeSet<MailboxPath> = wire.list()?.iter().map(|row| naming.path(row)).collect();
        for mailbox in &image.mailboxes {
            let name = naming.wire(&mailbox.path);
            if !mailbox.path.is_inbox() && !there.contains(&mailbox.path) {
                wire.create(&name)?;
            }
            append_all(&mut wire, &name, &mailbox.messages)?;
        }
        for path in &image.subscriptions {
            wire.subscribe(&naming.wire(path))?;
        }
        wire.logout()
    }

    /// The name of a path on this server's wire.
    ///
    /// # Errors
    /// If the server is not there or refuses.
    pub fn wire_name(&self, path: &MailboxPath) -> Result<String, WireError> {
        Ok(self.home()?.wire(path))
    }

    /// How names are written on this server's wire.
    ///
    /// # Errors
    /// If the server is not there or refuses.
    pub fn home(&self) -> Result<Naming, WireError> {
        Naming::ask(&mut self.login()?)
    }
}

fn append_all(wire: &mut Wire, mailbox: &str, messages: &[MessageImage]) -> Result<(), WireError> {
    let mut batch: Vec<Outgoing<'_>> = Vec::new();
    let mut size_octets = 0;
    for message in messages {
        let octets = message.content.octets.as_deref();
        let octets = octets.ok_or_else(|| WireError::protocol(format!("{mailbox}: no octets to append")))?;
        batch.push(Outgoing { flags: &message.flags, internal_date: Some(message.internal_date), octets });
        size_octets += octets.len();
        if size_octets >= BATCH_OCTETS || batch.len() >= BATCH_MESSAGES {
            wire.append(mailbox, &batch)?;
            batch.clear();
            size_octets = 0;
        }
    }
    if !batch.is_empty() {
        wire.append(mailbox, &batch)?;
    }
    Ok(())
}

impl Naming {
    /// The hierarchy delimiter; `/` where there is no hierarchy.
    #[must_use]
    pub fn delimiter(&self) -> char {
        self.delimiter.unwrap_or('/')
    }

    /// A name of ASCII letters below the personal namespace, as it goes over the wire.
    #[must_use]
    pub fn wire_of(&self, name: &str) -> String {
        self.wire(&MailboxPath::new([name]))
    }

    /// Octets below the personal namespace, as they are; below INBOX where they say so in any case.
    #[must_use]
    pub fn wire_of_octets(&self, name: &[u8]) -> Vec<u8> {
        let inbox = name.get(..5).is_some_and(|first| first.eq_ignore_ascii_case(b"INBOX"));
        let prefix = if inbox || self.prefix.is_empty() {
            String::new()
        } else {
            self.wire(&MailboxPath::new(["x"])).trim_end_matches('x').to_owned()
        };
        [prefix.as_bytes(), name].concat()
    }

    pub(crate) fn ask(wire: &mut Wire) -> Result<Self, WireError> {
        let namespaces = wire.namespaces()?;
        let (prefix, delimiter) = match namespaces.personal.first() {
            Some(personal) => (personal.prefix.clone(), personal.delimiter),
            None => (String::new(), wire.delimiter()?),
        };
        let foreign = namespaces
            .foreign
            .iter()
            .map(|space| space.prefix.clone())
            .filter(|prefix| !prefix.is_empty())
            .collect();
        let prefix = delimiter.map_or(prefix.as_str(), |delimiter| prefix.trim_end_matches(delimiter));
        let prefix = if prefix.is_empty() { Vec::new() } else { levels(prefix, delimiter) };
        Ok(Self { prefix, delimiter, foreign })
    }

    pub(crate) fn is_foreign(&self, row: &Listed) -> bool {
        self.foreign.iter().any(|prefix| row.name.starts_with(prefix.as_str()))
    }

    pub(crate) fn path(&self, row: &Listed) -> MailboxPath {
        let path = MailboxPath::new(levels(&row.name, row.delimiter));
        let prefix = self.prefix.len();
        let below = path.levels().len() > prefix
            && prefix > 0
            && MailboxPath::new(self.prefix.clone()).levels() == &path.levels()[..prefix];
        if below { MailboxPath::new(path.levels()[prefix..].to_vec()) } else { path }
    }

    fn wire(&self, path: &MailboxPath) -> String {
        let prefix: &[String] = if path.is_inbox() { &[] } else { &self.prefix };
        let levels: Vec<String> =
            prefix.iter().chain(path.levels()).map(|level| mutf7::encode(level)).collect();
        levels.join(&self.delimiter.map(String::from).unwrap_or_default())
    }
}

/// Splits before decoding: a delimiter cannot be told from modified UTF-7 after it. What is not modified UTF-7
/// stays as listed.
pub(crate) fn levels(name: &str, delimiter: Option<char>) -> Vec<String> {
    let decoded = |level: &str| mutf7::decode(level).unwrap_or_else(|| level.to_owned());
    match delimiter {
        Some(delimiter) => name.split(delimiter).map(decoded).collect(),
        None => vec![decoded(name)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, delimiter: char) -> Listed {
        Listed { name: name.into(), delimiter: Some(delimiter), attributes: Vec::new() }
    }

    #[test]
    fn a_personal_prefix_is_stripped_and_put_back() {
        let naming =
            Naming { prefix: vec!["INBOX".into()], delimiter: Some('.'), foreign: vec!["user.".into()] };
        let path = naming.path(&listed("INBOX.B&APw-cher.2023", '.'));
        assert_eq!(path, MailboxPath::from("Bücher/2023"));
        assert_eq!(naming.wire(&path), "INBOX.B&APw-cher.2023");
        assert!(naming.path(&listed("Inbox", '.')).is_inbox());
        assert_eq!(naming.wire(&MailboxPath::inbox()), "INBOX");
        assert!(naming.is_foreign(&listed("user.bob", '.')));
    }

    #[test]
    fn without_a_prefix_a_mailbox_below_inbox_stays_there() {
        let naming = Naming { prefix: Vec::new(), delimiter: Some('/'), foreign: Vec::new() };
        assert_eq!(naming.path(&listed("INBOX/sub", '/')), MailboxPath::from("INBOX/sub"));
        assert_eq!(naming.wire(&MailboxPath::from("a.b/c")), "a.b/c");
    }
}
