//! Which messages a mailbox holds: complete UID listings, of several mailboxes in one round trip.

use super::{Cut, ITEMS_QUEUED, Item, Link};
use crate::end::UidListing;
use crate::error::EndError;
use crate::message::Key;
use crate::quirks;
use bytes::Bytes;
use mailhaul_imap::{Command, MailboxFacts, Status, Untagged};
use tokio::sync::mpsc;

impl Link {
    /// The complete UID set after a NOOP, with EXISTS.
    ///
    /// QUIRK: Dovecot 2.3: a fresh session can miss a message just appended until a NOOP (law 7).
    pub(crate) async fn keys(&mut self) -> Result<(Vec<Key>, u64), EndError> {
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        let (commands, doing) = (Self::listing(), "NOOP and UID FETCH");
        let count = commands.len();
        commands.into_iter().for_each(|command| self.ask_for_uids(command, doing, &sink));
        let (_, keys) = self.uids(&mut items, count, doing, Some(&sink)).await??;
        Ok((keys, self.exists))
    }

    /// [`Link::examine`] and [`Link::keys`] in one round trip. After a refused EXAMINE nothing is open, so that the
    /// others are refused as well.
    pub(crate) async fn open_and_list(&mut self, mailbox: &Bytes) -> Result<UidListing, EndError> {
        let mut listings = self.open_and_list_each(std::slice::from_ref(mailbox)).await?;
        listings.pop().unwrap_or_else(|| Err(self.lost("EXAMINE")))
    }

    /// [`Link::open_and_list`] of each, all of them in one round trip. A listing that the server cuts is gone on with only
    /// where no other mailbox is asked for behind it; else it is not complete.
    pub(crate) async fn open_and_list_each(
        &mut self,
        mailboxes: &[Bytes],
    ) -> Result<Vec<Result<UidListing, EndError>>, EndError> {
        let (sink, mut items) = mpsc::channel(ITEMS_QUEUED);
        let mut commands = 0;
        for mailbox in mailboxes {
            let [noop, fetch] = Self::listing();
            let together = [self.examining(mailbox), noop, fetch];
            commands = together.len();
            together.into_iter().for_each(|command| self.ask_for_uids(command, "EXAMINE", &sink));
        }
        let mut listings = Vec::with_capacity(mailboxes.len());
        for (at, mailbox) in mailboxes.iter().enumerate() {
            let rest = (at + 1 == mailboxes.len()).then_some(&sink);
            listings.push(match self.uids(&mut items, commands, "EXAMINE", rest).await? {
                Ok((Some(facts), keys)) => self.listed(mailbox, &facts, keys),
                Ok((None, _)) => return Err(self.lost("EXAMINE")),
                Err(refused) => {
                    self.is_not_opened();
                    Err(refused)
                }
            });
        }
        Ok(listings)
    }

    fn listed(
        &mut self,
        mailbox: &Bytes,
        facts: &MailboxFacts,
        keys: Vec<Key>,
    ) -> Result<UidListing, EndError> {
        let exists = self.exists;
        let opened = self.opened(mailbox, facts)?;
        self.exists = exists;
        Ok(UidListing { opened, keys, exists })
    }

    fn listing() -> [Command; 2] {
        [Command::noop(), Command::uid_fetch("1:*", "(UID)")]
    }

    fn ask_for_uids(&mut self, command: Command, doing: &'static str, sink: &mpsc::Sender<Item>) {
        let limit = self.limits.command.max(self.limits.silence);
        self.send(command, doing, limit, sink.clone());
    }

    /// Keeps of the answers to so many commands the UIDs, ascending, and what a mailbox said when it was opened: a listing
    /// of a million messages takes a million numbers, not a million responses. What a limit of the server left out is asked
    /// for with `rest`. `Err` inside: the first refusal.
    async fn uids(
        &mut self,
        items: &mut mpsc::Receiver<Item>,
        commands: usize,
        doing: &'static str,
        rest: Option<&mpsc::Sender<Item>>,
    ) -> Result<Result<(Option<MailboxFacts>, Vec<Key>), EndError>, EndError> {
        let mut open = commands;
        let (mut keys, mut facts, mut refused) = (Vec::new(), None, None);
        let mut cut = Cut::new(Key(1));
        while open > 0 {
            match items.recv().await {
                Some(Item::Data(Untagged::Fetch(fetch))) => {
                    keys.extend(fetch.uid.map(|uid| Key(uid.get().into())));
                }
                Some(Item::Data(data)) => {
                    cut.note(&data);
                    self.count(&data);
                }
                Some(Item::Opened(said)) => {
                    self.exists = u64::from(said.exists);
                    facts = Some(*said);
                    // What came before is of the mailbox that was open.
                    keys.clear();
                }
                Some(Item::Done { status, text, .. }) => {
                    open -= 1;
                    if status != Status::Ok {
                        refused = refused.or_else(|| Some(quirks::refusal(status, &text)));
                    } else if let Some((last, sink)) = cut.rest(&text).zip(rest) {
                        let rest = Command::uid_fetch(&format!("1:{last}"), "(UID)");
                        self.ask_for_uids(rest, doing, sink);
                        open += 1;
                    }
                }
                Some(Item::Lost(error) | Item::Unsent { why: error, .. }) => return Err(error),
                Some(Item::Body { .. } | Item::AtGate) => {}
                None => return Err(self.lost(doing)),
            }
        }
        if let Some(refusal) = refused {
            return Ok(Err(EndError::Refused { server: self.server.clone(), doing, refusal }));
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(Ok((facts, keys)))
    }
}
