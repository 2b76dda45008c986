//! Pure: which messages of a mailbox are left to others, or left out, as they are listed.

use super::{Bringers, ELSEWHERE, Labelled, locked, message_number};
use crate::end::Listed;
use crate::journal::{MailboxId, MailboxRecord};
use crate::message::{Key, UidValidity};
use crate::names;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What decides about the messages of one mailbox.
#[derive(Debug)]
pub struct Share {
    mailbox: MailboxId,
    is_rest: bool,
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
        Self { mailbox: mailbox.id, is_rest, before, labelled, bringers, uploads, hidden: Mutex::default() }
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
        let brought = number.filter(|number| self.bringers.of(*number).is_some_and(|by| by != self.mailbox));
        if let Some(number) = brought {
            let is_copied = self.uploads.as_ref().is_some_and(|uploads| uploads.of(number).is_some());
            return (!is_copied).then(|| ELSEWHERE.to_owned());
        }
        if let Some(rule) = self.left_out_by_a_person(listed) {
            return Some(rule);
        }
        // Another view may have it since.
        number.filter(|number| self.is_others(*number)).map(|_| ELSEWHERE.to_owned())
    }

    /// True for a message that another mailbox brings; from now on this one does, if nobody did.
    fn is_others(&self, number: u64) -> bool {
        self.bringers.or_else(number, self.mailbox) != self.mailbox
    }

    /// The rule of a person who left out every place where the message could lie: what another label would bring is not theirs
    /// to lose. Labels of a message that is brought are remembered, if IMAP does not show them.
    fn left_out_by_a_person(&self, listed: &Listed) -> Option<String> {
        let known = &self.labelled.labels;
        let labels = listed.labels.iter().map(|label| match label.strip_prefix(b"\\") {
            Some(_) => String::from_utf8_lossy(label).to_ascii_lowercase(),
            None => names::decode(label, known.utf8),
        });
        let labels: Vec<String> = labels.collect();
        let places = labels.iter().filter(|label| may_be_a_mailbox(label));
        let rules: Option<Vec<&String>> = places.map(|label| known.left_out.get(label)).collect();
        if let Some(rule) = rules.iter().flatten().next() {
            return Some((*rule).clone());
        }
        let hidden = labels.into_iter().filter(|l| !l.starts_with('\\') && !known.shown.contains(l));
        hidden.for_each(|label| _ = locked(&self.hidden).insert(label));
        None
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
