//! FETCH, STORE and EXPUNGE.

use super::{Done, Session, bad, no, ok};
use crate::account::MailboxSnapshot;
use crate::fault::{Fault, Gone, Occasion};
use crate::fetch;
use crate::reader::Word;
use crate::world::Asked;
use tokio::io::{AsyncRead, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn fetch(
        &mut self,
        user: &str,
        by_uid: bool,
        set: &str,
        items: Option<&Word>,
    ) -> Option<Done> {
        if by_uid {
            // EXPUNGE may be told here, not in an answer that counts messages (RFC 9051, 7.5.1).
            self.news().await?;
        }
        let Some(selected) = &self.selected else { return Some(bad("no mailbox is open")) };
        let (name, read_only) = (selected.name.clone(), selected.read_only);
        let Some(items) = items.and_then(|w| fetch::items(w, by_uid)) else { return Some(bad("what?")) };
        let Some(m) = self.sandbox.with(user, |a| a.view(&name)).flatten() else {
            return Some(no("[NONEXISTENT] the mailbox is gone"));
        };
        let Some(mut positions) = fetch::select(&m, set, by_uid) else { return Some(bad("no set")) };
        let what = if items.iter().any(|i| fetch::is_body(i)) { "bodies" } else { "facts" };
        let cut = self.sandbox.first_within_limit(what, positions.len()).map(|(first, limit)| {
            positions.drain(..first);
            positions.reverse();
            format!("[MESSAGELIMIT {limit} {}] done in part", m.messages[positions[limit - 1]].uid)
        });
        let uids: Vec<u32> = positions.iter().map(|i| m.messages[*i].uid).collect();
        if !read_only && items.iter().any(|i| fetch::marks_seen(i)) {
            self.sandbox.add_flag(user, &name, &uids, "\\Seen");
        }
        let bodies = items.iter().any(|i| fetch::is_body(i)) && !uids.is_empty();
        let asked = Asked { mailbox: &name, uids: &uids };
        let fault = if bodies { self.sandbox.strike(Occasion::Bodies, &asked) } else { None };
        match fault {
            Some(Fault::LeaveOut) => drop(positions.remove(0)),
            Some(Fault::Backwards) => positions.reverse(),
            Some(Fault::Foreign) => {
                let foreign = (0..m.messages.len()).find(|i| !positions.contains(i));
                positions.splice(0..0, foreign);
            }
            _ => {}
        }
        if let Some(Fault::RefuseFetch(text)) = fault {
            return Some(no(&text));
        }
        let gone = if let Some(Fault::Expunged(form)) = fault { Some(form) } else { None };
        if let Some(form) = gone {
            return self.fetch_of_expunged(user, &m, &positions, &items, form).await;
        }
        let shape = fetch::Shape { nil: fault == Some(Fault::NilBody), ..self.shape() };
        for position in positions {
            let Some(response) = fetch::response(position + 1, &m.messages[position], &items, shape) else {
                return Some(bad("unknown item"));
            };
            if let Some(Fault::CutFetch(octets)) = fault {
                self.write(&response[..octets.min(response.len())]).await?;
                return None;
            }
            if fault == Some(Fault::CutMessage(m.messages[position].uid)) {
                self.write(&response[..response.len() / 2]).await?;
                return None;
            }
            self.write(&response).await?;
            if bodies {
                let message = &m.messages[position];
                let is_own = self.appended.contains(&(name.clone(), m.uid_validity, message.uid));
                self.sandbox.gave(message.octets.len() as u64, (!self.appended.is_empty()).then_some(is_own));
            }
        }
        Some(Done::Ok(cut.unwrap_or_else(|| "done".into())))
    }

    /// How answers depart from the truth here.
    fn shape(&self) -> fetch::Shape {
        let profile = self.profile();
        fetch::Shape { nil: false, size_adds: profile.size_adds, header_shows: profile.header_shows }
    }

    /// The last message asked for is removed by another client in this moment.
    async fn fetch_of_expunged(
        &mut self,
        user: &str,
        m: &MailboxSnapshot,
        positions: &[usize],
        items: &[String],
        form: Gone,
    ) -> Option<Done> {
        let (last, others) = positions.split_last()?;
        let uid = m.messages[*last].uid;
        self.sandbox.expunge(user, &m.name, uid);
        let shape = self.shape();
        for position in others {
            let response = fetch::response(position + 1, &m.messages[*position], items, shape)?;
            self.write(&response).await?;
        }
        let mut message = m.messages[*last].clone();
        match form {
            Gone::Nothing => {}
            Gone::Nil => {
                let nil = fetch::Shape { nil: true, ..shape };
                self.write(&fetch::response(last + 1, &message, items, nil)?).await?;
                return Some(Done::Ok("[EXPUNGEISSUED] some messages were already expunged".into()));
            }
            Gone::Whole => {
                message.flags.push("\\Deleted".into());
                self.write(&fetch::response(last + 1, &message, items, shape)?).await?;
                self.news().await?;
            }
        }
        Some(ok("done"))
    }

    pub(super) fn store(&self, user: &str, by_uid: bool, words: &[Word]) -> Done {
        let Some(selected) = self.selected.as_ref().filter(|s| !s.read_only) else {
            return no("[READ-ONLY] nothing can be changed here");
        };
        let set = words.first().and_then(Word::text).unwrap_or_default();
        let (since, words) = unchanged_since(words);
        let action = words.get(1).and_then(Word::text).unwrap_or_default().to_ascii_uppercase();
        let Some(Word::List(flags)) = words.get(2) else { return bad("flags?") };
        let flags: Vec<String> = flags.iter().filter_map(Word::text).collect();
        let name = selected.name.clone();
        let named = self.sandbox.with(user, |account| {
            let mailbox = account.mailbox(&name)?;
            let named = fetch::select(mailbox, &set, by_uid)?;
            Some(named.into_iter().map(|i| (i, mailbox.messages[i].uid)).collect::<Vec<_>>())
        });
        let Some(mut named) = named.flatten() else { return bad("no set") };
        let cut = self.sandbox.first_within_limit("STORE", named.len()).map(|(first, limit)| {
            named.drain(..first);
            format!("[MESSAGELIMIT {limit} {}] done in part", named[0].1)
        });
        if action.contains("X-GM-LABELS") {
            let uids: Vec<u32> = named.iter().map(|(_, uid)| *uid).collect();
            self.sandbox.with(user, |a| a.label(&name, &uids, &flags, !action.starts_with('-')));
            return ok("Success");
        }
        let done = self.sandbox.with(user, |account| {
            let mailbox = account.mailbox_mut(&name)?;
            let (mut uids, mut modified) = (Vec::new(), Vec::new());
            for (position, _) in named {
                let message = &mailbox.messages[position];
                if since.is_some_and(|since| message.mod_seq > since) {
                    modified.push(message.uid.to_string());
                    continue;
                }
                uids.push(message.uid);
                let of = &mut mailbox.messages[position].flags;
                match action.as_bytes().first() {
                    Some(b'+') => {
                        of.extend(flags.iter().filter(|f| !of.contains(f)).cloned().collect::<Vec<_>>())
                    }
                    Some(b'-') => of.retain(|f| !flags.contains(f)),
                    _ => of.clone_from(&flags),
                }
            }
            Some((uids, modified))
        });
        let Some((uids, modified)) = done.flatten() else { return bad("no set") };
        if !uids.is_empty() {
            self.sandbox.flagged(user, &name, &uids);
        }
        match modified.as_slice() {
            [] => Done::Ok(cut.unwrap_or_else(|| "done".into())),
            _ => Done::Ok(format!("[MODIFIED {}] changed since", modified.join(","))),
        }
    }

    /// UID SEARCH LARGER (RFC 9051, 6.4.4), by the sizes that FETCH tells; no other key is known.
    pub(super) async fn search_larger(&mut self, user: &str, words: &[Word]) -> Option<Done> {
        let text = |i: usize| words.get(i).and_then(Word::text).unwrap_or_default();
        let octets = text(1).parse::<u64>().ok().filter(|_| text(0).eq_ignore_ascii_case("LARGER"));
        let (Some(octets), Some(selected)) = (octets, &self.selected) else {
            return Some(bad("no such search"));
        };
        let (name, adds) = (selected.name.clone(), self.profile().size_adds);
        let found = self.sandbox.with(user, |account| {
            let messages = account.mailbox_mut(&name)?.messages.iter();
            let larger = messages.filter(|m| m.octets.len() as u64 + adds > octets);
            Some(larger.map(|m| format!(" {}", m.uid)).collect::<String>())
        });
        self.write(format!("* SEARCH{}\r\n", found.flatten().unwrap_or_default()).as_bytes()).await?;
        Some(ok("done"))
    }

    pub(super) async fn expunge(&mut self, user: &str, uids: Option<String>) -> Option<Done> {
        let Some(selected) = self.selected.as_ref().filter(|s| !s.read_only) else {
            return Some(no("[READ-ONLY] nothing can be changed here"));
        };
        let name = selected.name.clone();
        let gone = self.sandbox.with(user, |account| {
            let mailbox = account.mailbox_mut(&name)?;
            let named = match &uids {
                Some(set) => fetch::select(mailbox, set, true)?,
                None => (0..mailbox.messages.len()).collect(),
            };
            let deleted =
                |i: &usize| mailbox.messages[*i].flags.iter().any(|f| f.eq_ignore_ascii_case("\\Deleted"));
            Some(named.into_iter().filter(deleted).map(|i| mailbox.messages[i].uid).collect::<Vec<_>>())
        });
        let Some(gone) = gone.flatten() else { return Some(bad("no set")) };
        let cut = self.sandbox.first_within_limit("EXPUNGE", if uids.is_some() { gone.len() } else { 0 });
        let gone = &gone[cut.map_or(0, |(first, _)| first)..];
        self.sandbox.remove(user, &name, gone);
        self.news().await?;
        let lowest = gone.first().copied().unwrap_or(0);
        Some(match cut {
            Some((_, limit)) => Done::Ok(format!("[MESSAGELIMIT {limit} {lowest}] done in part")),
            None => ok("done"),
        })
    }
}

/// The MODSEQ of (UNCHANGEDSINCE …), and what is left of the words of STORE.
fn unchanged_since(words: &[Word]) -> (Option<u64>, &[Word]) {
    match words {
        [_, Word::List(modifier), ..] => {
            (modifier.get(1).and_then(Word::text).and_then(|t| t.parse().ok()), &words[1..])
        }
        _ => (None, words),
    }
}
