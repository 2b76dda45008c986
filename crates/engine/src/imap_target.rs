//! An IMAP account as a target: APPEND up to the gate and past it, reading back, and removing what we put there.

mod copy;
mod read;
mod ready;

use crate::end::{
    Abilities, Answer, Depth, MadeReady, MailboxCounts, MailboxInfo, NewUids, Opened, Outgoing, ReadEvent,
    Rights, Role, Room, Section, Seen, Target, TargetSession, ToMakeReady, ToRead, UidListing, Untold,
    Upload, Uploaded, Verdict,
};
use crate::error::EndError;
use crate::imap_session::{Bodies, Item, Link, Opener, open};
use crate::imap_source::{key, uid_set};
use crate::message::{Key, UidValidity};
use crate::quirks;
use bytes::Bytes;
use mailhaul_imap::{AppendMessage, Body as WireBody, Command, ResponseCode, Status, StatusText, Untagged};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;

/// Items on their way from a connection to this end.
const ITEMS_QUEUED: usize = 64;
/// UIDs an APPENDUID may name for one command: more than we ever send at once.
const APPENDED_UIDS_MAX: usize = 100_000;

/// An IMAP account to write to.
#[derive(Clone, Debug)]
pub struct ImapTarget(pub Opener);

/// A connection to it.
#[derive(Debug)]
pub struct ImapTargetSession(Link);

/// How many UIDs one command may name.
fn uids_max(link: &Link) -> usize {
    let limit = link.abilities().command_messages_max;
    limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX)).max(1)
}

impl ImapTargetSession {
    /// Hands a batch to the connection: as one command, or as a group of single ones.
    fn upload(&mut self, mailbox: &Bytes, batch: Vec<Outgoing>, together: bool) -> ImapUpload {
        let messages: Vec<AppendMessage> = batch
            .iter()
            .map(|o| AppendMessage {
                flags: Bytes::copy_from_slice(o.flags.as_octets()),
                internal_date: o.internal_date.as_ref().map(|d| Bytes::copy_from_slice(d.as_octets())),
                len: o.body.octets(),
            })
            .collect();
        let commands = if together {
            vec![(Command::append(mailbox, &messages), messages.len())]
        } else {
            Command::append_group(mailbox, &messages).into_iter().map(|c| (c, 1)).collect()
        };
        let limit = self.0.limits().append_answer;
        let (sink, items) = mpsc::channel(ITEMS_QUEUED);
        let mut bodies = batch.into_iter().map(|o| o.body);
        let mut waiting = Vec::with_capacity(commands.len());
        for (command, count) in commands {
            let these = Bodies(bodies.by_ref().take(count).collect());
            waiting.push((self.0.send_with(command, these, "APPEND", limit, sink.clone()), count));
        }
        ImapUpload { waiting, items, gate: self.0.gate_keeper(), answers: Vec::new(), finished: false }
    }
}

impl Target for ImapTarget {
    type Session = ImapTargetSession;
    async fn connect(&self) -> Result<ImapTargetSession, EndError> {
        open(&self.0).await.map(ImapTargetSession)
    }
}

impl TargetSession for ImapTargetSession {
    type Upload = ImapUpload;

    fn abilities(&self) -> &Abilities {
        self.0.abilities()
    }

    async fn mailboxes(&mut self) -> Result<Vec<MailboxInfo>, EndError> {
        self.0.list_mailboxes(false).await
    }

    fn untold(&mut self) -> Vec<Untold> {
        self.0.untold()
    }

    async fn create(&mut self, mailbox: &Bytes, role: Option<Role>) -> Result<Bytes, EndError> {
        let mut made = self.create_each(&[(mailbox.clone(), role)]).await?;
        made.pop().unwrap_or_else(|| Err(self.0.lost("CREATE")))
    }

    async fn create_each(
        &mut self,
        wanted: &[(Bytes, Option<Role>)],
    ) -> Result<Vec<Result<Bytes, EndError>>, EndError> {
        ready::create_each(&mut self.0, wanted).await
    }

    async fn make_ready(
        &mut self,
        wanted: &[ToMakeReady],
    ) -> Result<Vec<Result<MadeReady, EndError>>, EndError> {
        ready::make_ready(&mut self.0, wanted).await
    }

    async fn delete_each(&mut self, mailboxes: &[Bytes]) -> Result<Vec<Result<(), EndError>>, EndError> {
        let commands = mailboxes.iter().map(|m| Command::delete(m)).collect();
        let replies = self.0.ask_all(commands, "DELETE").await?;
        Ok(replies.into_iter().map(|reply| reply.map(|_| ())).collect())
    }

    async fn subscribe(&mut self, mailbox: &Bytes) -> Result<(), EndError> {
        self.0.ask(Command::subscribe(mailbox), "SUBSCRIBE").await.map(|_| ())
    }

    async fn subscribe_each(&mut self, mailboxes: &[Bytes]) -> Result<Vec<Result<(), EndError>>, EndError> {
        let commands = mailboxes.iter().map(|m| Command::subscribe(m)).collect();
        let replies = self.0.ask_all(commands, "SUBSCRIBE").await?;
        Ok(replies.into_iter().map(|reply| reply.map(|_| ())).collect())
    }

    async fn open(&mut self, mailbox: &Bytes) -> Result<Opened, EndError> {
        self.0.examine(mailbox).await
    }

    async fn open_each(&mut self, mailboxes: &[Bytes]) -> Result<Vec<Result<Opened, EndError>>, EndError> {
        self.0.examine_each(mailboxes).await
    }

    async fn counts(&mut self, mailbox: &Bytes) -> Result<MailboxCounts, EndError> {
        self.0.status(mailbox).await
    }

    fn stage(&mut self, mailbox: &Bytes, batch: Vec<Outgoing>) -> ImapUpload {
        let together = self.0.abilities().multi || batch.len() == 1;
        self.upload(mailbox, batch, together)
    }

    fn stage_apart(&mut self, mailbox: &Bytes, batch: Vec<Outgoing>) -> ImapUpload {
        let together = batch.len() == 1;
        self.upload(mailbox, batch, together)
    }

    async fn copy(&mut self, uids: &[Key], to: &Bytes) -> (Vec<Verdict>, Duration) {
        copy::copy(&mut self.0, uids, to).await
    }

    async fn keys(&mut self) -> Result<(Vec<Key>, u64), EndError> {
        self.0.keys().await
    }

    async fn open_and_list(&mut self, mailbox: &Bytes) -> Result<UidListing, EndError> {
        self.0.open_and_list(mailbox).await
    }

    async fn open_and_list_each(
        &mut self,
        mailboxes: &[Bytes],
    ) -> Result<Vec<Result<UidListing, EndError>>, EndError> {
        self.0.open_and_list_each(mailboxes).await
    }

    async fn read(&mut self, uids: &[Key], depth: Depth, out: mpsc::Sender<Seen>) -> Result<(), EndError> {
        read::read(&mut self.0, uids, depth, out).await
    }

    async fn read_each(
        &mut self,
        wanted: mpsc::UnboundedReceiver<ToRead>,
        out: mpsc::Sender<ReadEvent>,
    ) -> Result<(), EndError> {
        read::read_each(&mut self.0, wanted, out).await
    }

    async fn octets(&mut self, uid: Key, octets_max: u64) -> Result<Option<Bytes>, EndError> {
        Ok(self.octets_of(&[uid], Section::Whole, octets_max).await?.pop().map(|(_, octets)| octets))
    }

    async fn octets_of(
        &mut self,
        uids: &[Key],
        section: Section,
        octets_max: u64,
    ) -> Result<Vec<(Key, Bytes)>, EndError> {
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        let silence = self.0.limits().silence;
        let what = match section {
            Section::Whole => "(UID BODY.PEEK[])",
            Section::Header => "(UID BODY.PEEK[HEADER])",
        };
        let (mut in_flight, mut refused) = (0, None);
        for some in uids.chunks(uids_max(&self.0)) {
            let set = uid_set(some.iter().copied()).to_string();
            self.0.send(Command::uid_fetch(&set, what), "UID FETCH", silence, sink.clone());
            in_flight += 1;
        }
        let (mut octets, mut whole, mut fits) = (Vec::new(), BTreeMap::new(), true);
        while in_flight > 0 {
            match items.recv().await {
                // What is too long is read to its end and dropped.
                Some(Item::Body { begins, octets: piece }) => {
                    if begins.is_some() {
                        (octets, fits) = (Vec::new(), true);
                    }
                    fits &= octets.len() as u64 + piece.len() as u64 <= octets_max;
                    if fits {
                        octets.extend_from_slice(&piece);
                    }
                }
                Some(Item::Data(Untagged::Fetch(fetch))) => {
                    let Some(uid) = fetch.uid.map(key).filter(|uid| uids.contains(uid)) else { continue };
                    match &fetch.body {
                        WireBody::Literal(_) if fits => {
                            whole.insert(uid, Bytes::from(std::mem::take(&mut octets)));
                        }
                        WireBody::Quoted(quoted) if quoted.len() as u64 <= octets_max => {
                            whole.insert(uid, Bytes::copy_from_slice(quoted));
                        }
                        _ => {}
                    }
                }
                Some(Item::Done { status, text, .. }) => {
                    in_flight -= 1;
                    if status != Status::Ok {
                        refused = Some(quirks::refusal(status, &text));
                    }
                }
                Some(Item::Lost(error) | Item::Unsent { why: error, .. }) => return Err(error),
                Some(_) => {}
                None => return Err(self.0.lost("UID FETCH")),
            }
        }
        match refused {
            Some(refusal) => {
                Err(EndError::Refused { server: self.0.server().to_owned(), doing: "UID FETCH", refusal })
            }
            None => Ok(whole.into_iter().collect()),
        }
    }

    async fn remove(
        &mut self,
        mailbox: &Bytes,
        epoch: UidValidity,
        uids: &[(Key, Option<u64>)],
    ) -> Result<Option<Vec<Key>>, EndError> {
        if !self.0.capabilities().uidplus() {
            return Err(EndError::Unsupported {
                server: self.0.server().to_owned(),
                what: "it cannot remove single messages (no UID EXPUNGE)".into(),
                hint: "remove them by hand".into(),
            });
        }
        if self.0.select(mailbox).await?.facts.uid_validity != epoch {
            return Ok(None);
        }
        let mut kept = BTreeSet::new();
        if self.0.capabilities().condstore() {
            for (uid, mod_seq) in uids {
                let one = uid_set([*uid]);
                let reply =
                    self.0.ask(Command::uid_store_add(&one, "\\Deleted", *mod_seq), "UID STORE").await?;
                if let Some(ResponseCode::Modified(set)) = &reply.text.code {
                    kept.extend(set.iter().map(key));
                }
            }
        } else {
            for some in uids.chunks(uids_max(&self.0)) {
                let some = uid_set(some.iter().map(|(uid, _)| *uid));
                self.0.ask(Command::uid_store_add(&some, "\\Deleted", None), "UID STORE").await?;
            }
        }
        let doomed: Vec<Key> = uids.iter().map(|(uid, _)| *uid).filter(|u| !kept.contains(u)).collect();
        for some in doomed.chunks(uids_max(&self.0)) {
            self.0.ask(Command::uid_expunge(&uid_set(some.iter().copied())), "UID EXPUNGE").await?;
        }
        let (left, _) = self.0.keys().await?;
        Ok(Some(doomed.into_iter().filter(|uid| left.binary_search(uid).is_err()).collect()))
    }

    async fn room(&mut self) -> Result<Option<Room>, EndError> {
        self.0.room().await
    }

    async fn rights(&mut self, mailboxes: &[Bytes]) -> Result<Vec<Option<Rights>>, EndError> {
        self.0.rights(mailboxes).await
    }

    async fn keep_alive(&mut self) -> Result<(), EndError> {
        self.0.ask(Command::noop(), "NOOP").await.map(|_| ())
    }

    async fn close(self) {
        self.0.close().await;
    }

    fn abort(self) {
        // Dropping ends the task and with it the socket, which resets the connection (net).
        drop(self);
    }
}

/// A batch on its way: one command, or a group of them.
#[derive(Debug)]
pub struct ImapUpload {
    /// The commands in order, with their numbers of messages.
    waiting: Vec<(u64, usize)>,
    items: mpsc::Receiver<Item>,
    gate: mpsc::UnboundedSender<crate::imap_session::Request>,
    answers: Vec<(u64, Verdict)>,
    finished: bool,
}

impl ImapUpload {
    fn answer(&mut self, id: u64, status: Status, text: &StatusText) {
        let verdict = match (status, &text.code) {
            (Status::Ok, Some(ResponseCode::AppendUid { uid_validity, uids })) => {
                let uids = uids.expand(APPENDED_UIDS_MAX).unwrap_or_default();
                let uids = uids.into_iter().map(key).collect();
                Verdict::Stored(Some(NewUids { uid_validity: UidValidity(uid_validity.get()), uids }))
            }
            (Status::Ok, _) => Verdict::Stored(None),
            _ => Verdict::Refused(quirks::refusal(status, text)),
        };
        self.answers.push((id, verdict));
    }
}

impl Upload for ImapUpload {
    async fn uploaded(&mut self) -> Uploaded {
        loop {
            match self.items.recv().await {
                Some(Item::AtGate) => return Uploaded::AtGate,
                // The gate is shut: whatever the answer, nothing of this batch is stored.
                Some(Item::Done { status, text, .. }) => {
                    self.finished = self.waiting.len() == 1;
                    return match status {
                        Status::Ok => Uploaded::Lost("the server said OK before it had the message".into()),
                        _ => Uploaded::Refused(quirks::refusal(status, &text)),
                    };
                }
                Some(Item::Lost(error) | Item::Unsent { why: error, .. }) => {
                    return Uploaded::Lost(error.to_string());
                }
                Some(_) => {}
                None => return Uploaded::Lost("the connection is gone".into()),
            }
        }
    }

    async fn finish(mut self) -> Vec<Answer> {
        self.finished = true;
        let gated = self.waiting.first();
        #[cfg(mailhaul_mutants)]
        let gated = if crate::mutants::Mutant::GroupGateLast.is_on() { self.waiting.last() } else { gated };
        if let Some((first, _)) = gated {
            let _ = self.gate.send(crate::imap_session::Request::OpenGate(*first));
        }
        let (mut words, mut untold) = ("the connection is gone".to_owned(), self.waiting.len());
        while untold > 0
            && let Some(item) = self.items.recv().await
        {
            match item {
                Item::Done { id, status, text } => self.answer(id, status, &text),
                Item::Unsent { id, why } => self.answers.push((id, Verdict::Unsent(why.to_string()))),
                Item::Lost(error) => words = error.to_string(),
                _ => continue,
            }
            untold -= 1;
        }
        let (answers, waiting) = (std::mem::take(&mut self.answers), std::mem::take(&mut self.waiting));
        let verdict = |id: u64| answers.iter().find(|(of, _)| *of == id).map(|(_, v)| v.clone());
        waiting
            .into_iter()
            .map(|(id, messages)| Answer {
                messages,
                verdict: verdict(id).unwrap_or_else(|| Verdict::Lost(words.clone())),
            })
            .collect()
    }
}

impl Drop for ImapUpload {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.gate.send(crate::imap_session::Request::Abort);
        }
    }
}
