//! A batch on its way to an account in memory, and what becomes of it.

use super::{Fate, MemoryMail, MemoryMessage};
use crate::end::{Answer, NewUids, Outgoing, Upload, Uploaded, Verdict};
use crate::error::{Refusal, RefusalClass};
use crate::message::{Key, UidValidity};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A batch on its way to an account in memory.
#[derive(Debug)]
pub struct MemoryUpload {
    pub(super) mail: MemoryMail,
    pub(super) mailbox: Bytes,
    pub(super) batch: Vec<Outgoing>,
    pub(super) messages: Vec<MemoryMessage>,
    pub(super) fate: Fate,
    pub(super) multi: bool,
    pub(super) tells_places: bool,
    pub(super) alive: Arc<AtomicBool>,
    pub(super) finished: bool,
}

impl Upload for MemoryUpload {
    async fn uploaded(&mut self) -> Uploaded {
        for outgoing in std::mem::take(&mut self.batch) {
            let octets = match outgoing.body.whole().await {
                Ok(octets) => octets,
                Err(error) => return Uploaded::Lost(error.to_string()),
            };
            let (flags, internal_date) = (outgoing.flags, outgoing.internal_date);
            self.messages.push(MemoryMessage { octets, flags, internal_date });
        }
        tokio::task::yield_now().await;
        if self.fate == Fate::LostInUpload {
            self.alive.store(false, Ordering::Relaxed);
        }
        if self.fate == Fate::ByeAtGate {
            self.alive.store(false, Ordering::Relaxed);
            return Uploaded::AtGate;
        }
        if self.alive.load(Ordering::Relaxed) { Uploaded::AtGate } else { Uploaded::Lost("cut".into()) }
    }

    async fn finish(mut self) -> Vec<Answer> {
        self.finished = true;
        let messages = std::mem::take(&mut self.messages);
        let total = messages.len();
        if !self.alive.load(Ordering::Relaxed) {
            return vec![Answer { messages: total, verdict: Verdict::Lost("cut before the gate".into()) }];
        }
        let answers = if self.multi { vec![self.store_all(messages)] } else { self.store_each(messages) };
        tokio::task::yield_now().await;
        answers
    }
}

impl MemoryUpload {
    fn lose(&self) -> Verdict {
        self.alive.store(false, Ordering::Relaxed);
        let mut account = self.mail.account();
        if std::mem::take(&mut account.knobs.renumber_on_loss) {
            account.renumber(&self.mailbox, false);
        }
        drop(account);
        Verdict::Lost("cut".into())
    }

    fn store_all(&self, messages: Vec<MemoryMessage>) -> Answer {
        let total = messages.len();
        let verdict = match self.fate {
            Fate::LostNotStored => self.lose(),
            Fate::LostStoredLate(after) => {
                self.store_late(after, messages);
                self.lose()
            }
            Fate::RefusedStoredLate(after) => {
                self.store_late(after, messages);
                refusal(RefusalClass::Unknown)
            }
            Fate::OkStoredLate(after) => {
                self.store_late(after, messages);
                Verdict::Stored(None)
            }
            Fate::LostTwinStored { ours } => {
                let mut account = self.mail.account();
                for message in messages {
                    account.store(&self.mailbox, message.clone());
                    if ours {
                        account.appended += 1;
                        account.store(&self.mailbox, message);
                    }
                }
                drop(account);
                self.lose()
            }
            Fate::OkNotStored => self.say_ok(total),
            Fate::LostStored | Fate::LostAfter(_) => {
                self.store(messages);
                self.lose()
            }
            Fate::Refuse(class) => refusal(class),
            Fate::Well | Fate::LostInUpload | Fate::ByeAtGate => self.store(messages),
        };
        Answer { messages: total, verdict }
    }

    fn store_each(&self, messages: Vec<MemoryMessage>) -> Vec<Answer> {
        let mut answers = Vec::new();
        for (i, message) in messages.into_iter().enumerate() {
            let verdict = match self.fate {
                Fate::LostAfter(n) if i == n => {
                    self.store(vec![message]);
                    self.lose()
                }
                Fate::LostAfter(n) if i > n => self.lose(),
                Fate::LostAfter(_) => self.store(vec![message]),
                _ => self.store_all(vec![message]).verdict,
            };
            answers.push(Answer { messages: 1, verdict });
        }
        answers
    }

    fn store_late(&self, after: Duration, messages: Vec<MemoryMessage>) {
        let at = tokio::time::Instant::now() + after;
        let mut account = self.mail.account();
        account.appended += messages.len() as u64;
        account.late.push((at, self.mailbox.clone(), messages));
    }

    /// Numbers messages that are not stored.
    fn say_ok(&self, messages: usize) -> Verdict {
        let mut account = self.mail.account();
        let Some(mailbox) = account.mailboxes.get_mut(&self.mailbox) else {
            return refusal(RefusalClass::NoMailbox);
        };
        let first = mailbox.uid_next;
        mailbox.uid_next += messages as i64;
        let uids = (first..mailbox.uid_next).map(Key).collect();
        let uid_validity = UidValidity(mailbox.uid_validity);
        Verdict::Stored(self.tells_places.then_some(NewUids { uid_validity, uids }))
    }

    fn store(&self, messages: Vec<MemoryMessage>) -> Verdict {
        let mut account = self.mail.account();
        if let Some(refusal) = account.objection(&messages) {
            return Verdict::Refused(refusal);
        }
        account.appended += messages.len() as u64;
        let uids: Vec<Key> = messages.into_iter().map(|m| Key(account.store(&self.mailbox, m))).collect();
        let validity = account.mailboxes.get(&self.mailbox).map_or(0, |m| m.uid_validity);
        Verdict::Stored(self.tells_places.then_some(NewUids { uid_validity: UidValidity(validity), uids }))
    }
}

fn refusal(class: RefusalClass) -> Verdict {
    Verdict::Refused(Refusal { class, bad: false, code: None, text: "no".into() })
}

impl Drop for MemoryUpload {
    fn drop(&mut self) {
        if !self.finished {
            self.alive.store(false, Ordering::Relaxed);
        }
    }
}
