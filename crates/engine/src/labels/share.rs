//! Pure: which messages of a mailbox are left to others, or left out, as they are listed.

use super::{Bringers, ELSEWHERE, Labelled, locked, message_number};
use crate::end::Listed;
use crate::journal::{MailboxId, MailboxRecord};
use crate::mapping::VIEW;
use crate::message::{Key, UidValidity};
use crate::names;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What decides about the messages of one mailbox.
#[derive(Debug)]
pub struct Share {
    mailbox: MailboxId,
    is_rest: bool,
    /// It brings nothing but its mark.
    only_mark: bool,
    /// Where its part of All Mail or of another view ends.
    before: Option<(UidValidity, Key)>,
    labelled: Arc<Labelled>,
    bringers: Arc<Bringers>,
    /// What others have brought and this mailbox shows all the same, by COPY.
    uploads: Option<Arc<Bringers>>,
    /// Labels that IMAP does not show, of messages of the present listing that are brought without them.
    hidden: Mutex<BTreeSet<String>>,
}

impl Share {
    pub(super) fn new(
        labelled: Arc<Labelled>,
        mailbox: &MailboxRecord,
        bringers: Arc<Bringers>,
        uploads: Option<Arc<Bringers>>,
    ) -> Self {
        let rest = labelled.rest(mailbox);
        let (is_rest, before) = (rest.is_some(), rest.and_then(|rest| rest.before));
        let only_mark = labelled.only_mark.as_ref() == Some(&mailbox.source.wire);
        let (mailbox, hidden) = (mailbox.id, Mutex::default());
        Self { mailbox, is_rest, only_mark, before, labelled, bringers, uploads, hidden }
    }

    /// The same for a mailbox that keeps nothing of what others have brought.
    pub fn without_mark(&self) -> Arc<Self> {
        let Self { mailbox, is_rest, only_mark, before, .. } = *self;
        let (labelled, bringers) = (self.labelled.clone(), self.bringers.clone());
        let hidden = Mutex::default();
        Arc::new(Self { mailbox, is_rest, only_mark, before, labelled, bringers, uploads: None, hidden })
    }

    /// Messages from this UID on are none of this run's, where the mailbox has this UIDVALIDITY.
    pub fn before(&self, epoch: UidValidity) -> Option<Key> {
        let (of, before) = self.before?;
        (of == epoch).then_some(before)
    }

    /// A listing begins anew.
    pub fn begin(&self) {
        locked(&self.hidden).clear();
    }

    /// The rule that leaves out a message of this mailbox.
    pub fn leaves_out(&self, listed: &Listed) -> Option<String> {
        let number = message_number(listed.lineage.as_deref());
        if !self.is_rest {
            return self.is_others(number?).then(|| ELSEWHERE.to_owned());
        }
        let by = number.and_then(|number| Some((number, self.bringers.of(number)?)));
        if let Some((number, _)) = by.filter(|(_, by)| *by != self.mailbox) {
            let is_copied = self.uploads.as_ref().is_some_and(|uploads| uploads.of(number).is_some());
            return (!is_copied).then(|| ELSEWHERE.to_owned());
        }
        let labels = self.labels_of(listed);
        if let Some(rule) = self.left_out_by_a_person(&labels) {
            return Some(rule);
        }
        if self.only_mark && by.is_none() {
            return Some(VIEW.to_owned());
        }
        self.remember_hidden(labels);
        // Another view may have it since.
        number.filter(|number| self.is_others(*number)).map(|_| ELSEWHERE.to_owned())
    }

    /// True for a message that another mailbox brings; from now on this one does, if nobody did.
    fn is_others(&self, number: u64) -> bool {
        self.bringers.or_else(number, self.mailbox) != self.mailbox
    }

    /// Decoded; those of the system in lower case.
    fn labels_of(&self, listed: &Listed) -> Vec<String> {
        let labels = listed.labels.iter().map(|label| match label.strip_prefix(b"\\") {
            Some(_) => String::from_utf8_lossy(label).to_ascii_lowercase(),
            None => names::decode(label, self.labelled.labels.utf8),
        });
        labels.collect()
    }

    /// The rule of a person who left out every place where the message could lie: what another label would bring is not theirs
    /// to lose.
    fn left_out_by_a_person(&self, labels: &[String]) -> Option<String> {
        let places = labels.iter().filter(|label| may_be_a_mailbox(label));
        let rules: Option<Vec<&String>> =
            places.map(|label| self.labelled.labels.left_out.get(label)).collect();
        rules?.first().map(|rule| (*rule).clone())
    }

    /// Labels of a message that is brought, if IMAP does not show them.
    fn remember_hidden(&self, labels: Vec<String>) {
        let shown = &self.labelled.labels.shown;
        let hidden = labels.into_iter().filter(|l| !l.starts_with('\\') && !shown.contains(l));
        hidden.for_each(|label| _ = locked(&self.hidden).insert(label));
    }

    /// Labels of messages brought without them: their mailboxes are not shown.
    pub fn hidden(&self) -> Vec<String> {
        locked(&self.hidden).iter().cloned().collect()
    }
}

/// True for a label whose messages lie in a mailbox of it, where IMAP shows one; `\Important`, `\Starred`, and what Gmail may
/// come to say beside them, only mark messages.
fn may_be_a_mailbox(label: &str) -> bool {
    !label.starts_with('\\') || ["\\inbox", "\\sent", "\\draft"].contains(&label)
}
