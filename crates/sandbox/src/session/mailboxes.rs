//! LIST, LSUB, CREATE, STATUS, SELECT and EXAMINE.

use super::{Done, Selected, Session, bad, delimiter, no, ok, quoted};
use crate::account::{MailboxSnapshot, canonical};
use crate::fault::{Fault, Occasion};
use crate::profile::Childless;
use crate::reader::Word;
use crate::world::Asked;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) fn list(&self, user: &str, subscribed_only: bool, words: &[Word]) -> Vec<u8> {
        let texts: Vec<String> = words.iter().filter_map(Word::text).collect();
        let returns = words.iter().any(|w| matches!(w, Word::List(_)));
        let selects = matches!(words.first(), Some(Word::List(_)));
        let pattern = texts.get(1).cloned().unwrap_or_default();
        let verb = if subscribed_only { "LSUB" } else { "LIST" };
        let d = char::from(self.profile().delimiter);
        if pattern.is_empty() {
            return format!("* LIST (\\Noselect) {} \"\"\r\n", delimiter(&self.profile())).into_bytes();
        }
        let profile = self.profile();
        let (special, childless) = (profile.special_use, profile.childless);
        let lines = self.sandbox.with(user, |account| {
            let listed = account.mailboxes.values().filter(|m| matches(&pattern, &m.name, d));
            let listed = listed.filter(|m| !(subscribed_only || selects) || m.subscribed);
            let listed = listed.filter(|m| profile.shows(&m.name));
            let line = |m: &MailboxSnapshot| {
                let mut attributes = Vec::new();
                attributes.extend(m.role.clone().filter(|_| special));
                let is_childless = match childless {
                    Childless::None => false,
                    Childless::Inbox => m.name == "INBOX",
                    Childless::All => true,
                };
                attributes.extend(is_childless.then(|| "\\Noinferiors".to_owned()));
                attributes.extend((returns && m.subscribed).then(|| "\\Subscribed".to_owned()));
                let (d, name) = (delimiter(&profile), quoted(&m.name));
                (m.name.clone(), format!("* {verb} ({}) {d} {name}\r\n", attributes.join(" ")))
            };
            listed.map(line).collect::<Vec<_>>()
        });
        let status = status_wanted(words).filter(|_| self.profile().list_status);
        let mut out = String::new();
        if let Some(container) = profile.gmail.filter(|_| !subscribed_only && !selects) {
            out += &format!("* {verb} (\\HasChildren \\Noselect) \"{d}\" \"{container}\"\r\n");
        }
        for (name, line) in lines.unwrap_or_default() {
            out += &line;
            // Beside the entry it is about (RFC 5819, 2).
            out += &status.and_then(|items| self.status(user, &name, Some(items))).unwrap_or_default();
        }
        out.into_bytes()
    }

    pub(super) fn create(&self, user: &str, words: &[Word]) -> Done {
        let name = words.first().and_then(Word::text).unwrap_or_default();
        let role = match words.get(1) {
            Some(Word::List(list)) => match list.get(1) {
                Some(Word::List(roles)) => roles.first().and_then(Word::text),
                _ => return bad("CREATE takes USE"),
            },
            _ => None,
        };
        let profile = self.profile();
        let d = char::from(profile.delimiter);
        let name = profile.creates_as.map_or(name.clone(), |made| made(&name));
        let allowed = name.starts_with(profile.prefix) || canonical(&name) == "INBOX";
        let refused = name.contains(|c| profile.refuse_in_names.contains(c));
        if !allowed || refused || name.is_empty() || name.split(d).any(str::is_empty) {
            return no("[CANNOT] not with this name");
        }
        let reserved = |container: &str| name == container || name.starts_with(&format!("{container}{d}"));
        if profile.gmail.is_some() && ["[Gmail]", "[Google Mail]"].into_iter().any(reserved) {
            return no("[CANNOT] Invalid folder name: reserved (Failure)");
        }
        if profile.gmail.is_some() && name.split(d).any(|level| level != level.trim() || level.contains("  "))
        {
            return no("[CANNOT] Folder contains excess whitespace (Failure)");
        }
        let below = |file: &str| name.strip_prefix(file).is_some_and(|rest| rest.starts_with(d));
        let is_file = |m: &str| match profile.childless {
            Childless::None => false,
            Childless::Inbox => m == "INBOX" && below(m),
            // A folder for children is no mailbox, and a mailbox no folder.
            Childless::All => below(m) || m.strip_prefix(&*name).is_some_and(|rest| rest.starts_with(d)),
        };
        let in_the_way = self.sandbox.with(user, |a| a.mailboxes.keys().any(|m| is_file(m)));
        if in_the_way == Some(true) {
            return no("[CANNOT] mail and mailboxes are kept apart here");
        }
        match self.sandbox.with(user, |a| a.create(&name, role)) {
            Some(true) => ok("done"),
            _ => no("[ALREADYEXISTS] it is there"),
        }
    }

    /// INBOX cannot be deleted (RFC 9051, 6.3.5).
    pub(super) fn delete(&self, user: &str, name: &str) -> Done {
        if let Some(words) = self.profile().refuse_delete {
            return no(&words);
        }
        let is_there = self.sandbox.with(user, |a| a.mailbox(name).is_some()) == Some(true);
        if !is_there || canonical(name) == "INBOX" {
            return no("[NONEXISTENT] no such mailbox");
        }
        self.sandbox.delete_mailbox(user, name);
        ok("done")
    }

    pub(super) fn status(&self, user: &str, name: &str, items: Option<&Word>) -> Option<String> {
        let Some(Word::List(items)) = items else { return None };
        let m = self.looked_at(user, name)?;
        let value = |item: &str| match item {
            "MESSAGES" => Some(m.messages.len() as u64),
            "UIDNEXT" if self.profile().hides_uid_next => None,
            "UIDNEXT" => Some(m.uid_next.into()),
            "UIDVALIDITY" => Some(m.uid_validity.into()),
            "HIGHESTMODSEQ" if self.profile().condstore => Some(m.highest_mod_seq),
            "SIZE" if self.profile().status_size_is.is_some() => self.profile().status_size_is,
            "SIZE" => Some(m.messages.iter().map(|x| x.octets.len() as u64).sum()),
            "UNSEEN" => {
                Some(m.messages.iter().filter(|x| !x.flags.iter().any(|f| f == "\\Seen")).count() as u64)
            }
            _ => None,
        };
        let named = items.iter().filter_map(Word::text).map(|i| i.to_ascii_uppercase());
        let values: Vec<String> = named.filter_map(|i| value(&i).map(|v| format!("{i} {v}"))).collect();
        Some(format!("* STATUS {} ({})\r\n", quoted(&m.name), values.join(" ")))
    }

    /// A mailbox as STATUS and SELECT show it.
    fn looked_at(&self, user: &str, name: &str) -> Option<MailboxSnapshot> {
        let mut m = self.sandbox.with(user, |a| a.mailbox(name).cloned()).flatten()?;
        let profile = self.profile();
        if !profile.shows(&m.name) || profile.unopened.contains(&m.name) {
            return None;
        }
        let asked = Asked { mailbox: &m.name, uids: &[] };
        if let Some(Fault::UidNextLess(by)) = self.sandbox.strike(Occasion::Facts, &asked) {
            m.uid_next = m.uid_next.saturating_sub(by).max(1);
        }
        Some(m)
    }

    pub(super) async fn select(&mut self, user: &str, name: &str, read_only: bool) -> Option<Done> {
        self.selected = None;
        let Some(m) = self.looked_at(user, name) else {
            let profile = self.profile();
            let is_there = profile.unopened.iter().any(|unopened| unopened == name);
            return Some(no(if is_there { profile.unopened_says } else { "[NONEXISTENT] no such mailbox" }));
        };
        // Neither is in the other revision (RFC 9051, appendix E).
        let (recent, list) = match self.profile().rev2 {
            true => {
                (String::new(), format!("* LIST () {} {}\r\n", delimiter(&self.profile()), quoted(&m.name)))
            }
            false => ("* 0 RECENT\r\n".to_owned(), String::new()),
        };
        let next = match self.profile().hides_uid_next {
            true => String::new(),
            false => format!("* OK [UIDNEXT {}] next\r\n", m.uid_next),
        };
        let lines = format!(
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n\
             * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] flags\r\n\
             * {} EXISTS\r\n{recent}* OK [UIDVALIDITY {}] epoch\r\n{next}{list}",
            m.messages.len(),
            m.uid_validity,
        );
        self.write(lines.as_bytes()).await?;
        if self.profile().condstore {
            let line = format!("* OK [HIGHESTMODSEQ {}] highest\r\n", m.highest_mod_seq);
            self.write(line.as_bytes()).await?;
        }
        self.selected = Some(Selected { told: m.uids(), epoch: m.uid_validity, name: m.name, read_only });
        Some(ok(if read_only { "[READ-ONLY] open" } else { "[READ-WRITE] open" }))
    }
}

/// What RETURN (… STATUS (…)) asks for.
fn status_wanted(words: &[Word]) -> Option<&Word> {
    let Word::List(returns) = words.last()? else { return None };
    let at = returns.iter().position(|w| w.text().is_some_and(|t| t.eq_ignore_ascii_case("STATUS")))?;
    returns.get(at + 1)
}

/// LIST patterns: `*` any run, `%` any run within a level.
fn matches(pattern: &str, name: &str, delimiter: char) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => name.is_empty(),
        Some(w @ ('*' | '%')) => {
            let rest = chars.as_str();
            let ends = name.char_indices().map(|(i, _)| i).chain([name.len()]);
            ends.take_while(|i| w == '*' || !name[..*i].contains(delimiter))
                .any(|i| matches(rest, &name[i..], delimiter))
        }
        Some(c) => {
            let rest = chars.as_str();
            let same =
                |n: char| n == c || (c.eq_ignore_ascii_case(&n) && pattern.eq_ignore_ascii_case("INBOX"));
            name.chars().next().is_some_and(|n| same(n) && matches(rest, &name[n.len_utf8()..], delimiter))
        }
    }
}
