//! Mail under labels. At Gmail (X-GM-EXT-1) every message lies once in All Mail and is shown again by the mailbox of each
//! label. Which mailbox brings a message is decided here, by its X-GM-MSGID, which is the same wherever it is shown.
//!
//! What no other mailbox brings comes from All Mail, whatever the reason: it was archived without a label, or IMAP hides the
//! label. Where All Mail is hidden, the other views bring what they alone show ([`views`]). Only a message that was *seen* in
//! another mailbox counts as brought by it (law 7): one without a number, or in a mailbox that was not listed, is copied rather
//! than left.

pub mod original;
mod share;
pub mod views;

use crate::end::{MailboxInfo, Role, Space};
use crate::journal::{Decision, Item, MailboxId, MailboxRecord, Name, State};
use crate::message::{Key, UidValidity};
use crate::names;
use crate::plan::{MailboxStep, Plan};
use crate::survey::{SideSurvey, Survey};
use original::Apart;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use share::Share;

/// The rule that leaves out a message because another mailbox brings it.
pub const ELSEWHERE: &str = "in-another-mailbox";
/// Kind of the note about labels whose mailboxes IMAP does not show.
pub const HIDDEN_LABEL: &str = "hidden_label";
/// Kind of the note that a mark could not be put on.
pub const UNMARKED: &str = "unmarked";
/// What a lineage begins with that is an X-GM-MSGID.
pub const LINEAGE: &str = "gm-msgid:";

/// What Gmail's own mailboxes lie below.
pub const CONTAINERS: [&str; 2] = ["[Gmail]", "[Google Mail]"];

/// The number of a message in its account (X-GM-MSGID), if that is its lineage.
pub fn message_number(lineage: Option<&str>) -> Option<u64> {
    lineage?.strip_prefix(LINEAGE)?.parse().ok()
}

/// All Mail, where IMAP shows it: the mailbox of every message that is neither spam nor trash.
pub fn all_mail(side: &SideSurvey) -> Option<&MailboxInfo> {
    let is_it = |info: &&MailboxInfo| {
        side.abilities.gmail
            && info.role == Some(Role::All)
            && info.selectable
            && info.space == Space::Personal
    };
    side.mailboxes.iter().map(|mailbox| &mailbox.info).find(is_it)
}

/// The role that a mailbox plays. What is in All Mail alone is what other servers keep in `\Archive`.
pub fn role(side: &SideSurvey, info: &MailboxInfo) -> Option<Role> {
    match info.role {
        Some(Role::All) if side.abilities.gmail => Some(Role::Archive),
        role => role,
    }
}

/// The labels of the source, as far as the mailboxes say.
#[derive(Debug)]
pub struct Labelled {
    /// All Mail, if it moves.
    all: Option<Rest>,
    /// Other views that bring what nothing else brings.
    views: Vec<Rest>,
    /// Of these the one whose mark is put on what others have brought.
    mark: Option<bytes::Bytes>,
    /// The view that brings nothing but its mark: All Mail is shown, and what a person leaves out of it comes by no other way.
    only_mark: Option<bytes::Bytes>,
    /// The other mailboxes of the plan, which these wait for.
    awaited: BTreeSet<Name>,
    labels: Labels,
    apart: Apart,
}

/// A mailbox of which only what no other one brings is copied.
#[derive(Debug)]
struct Rest {
    wire: bytes::Bytes,
    /// Messages from this UID on came after the survey: this run does not know where else they lie.
    before: Option<(UidValidity, Key)>,
}

/// Labels, as mailboxes show them.
#[derive(Debug)]
struct Labels {
    /// Those that a person's rule leaves out, and the rule.
    left_out: HashMap<String, String>,
    /// Those whose mailboxes IMAP shows.
    shown: HashSet<String>,
    /// Names on the wire are UTF-8.
    utf8: bool,
}

impl Labelled {
    /// What the survey and the plan say; `None` where mail has no labels.
    pub fn of(survey: &Survey, plan: &Plan) -> Option<Self> {
        let source = &survey.source;
        if !source.abilities.gmail {
            return None;
        }
        let all_mail = all_mail(source).map(|all| &all.wire);
        let rests = plan.steps.iter().filter(|step| step.is_rest).map(|step| {
            let wire = step.record.source.wire.clone();
            let surveyed = source.mailboxes.iter().find(|mailbox| mailbox.info.wire == wire);
            let counts = surveyed.and_then(|mailbox| mailbox.info.counts);
            Rest { wire, before: counts.and_then(|counts| Some((counts.uid_validity?, counts.uid_next?))) }
        });
        let (mut all, views): (Vec<Rest>, Vec<Rest>) = rests.partition(|rest| Some(&rest.wire) == all_mail);
        let mark = plan.steps.iter().find(|step| step.is_mark);
        let opens = |step: &&MailboxStep| step.trouble.as_ref().is_none_or(|trouble| trouble.passes);
        let awaited = plan.steps.iter().filter(|step| !step.is_rest).filter(opens);
        Some(Self {
            all: all.pop(),
            views,
            mark: mark.map(|step| step.record.source.wire.clone()),
            only_mark: only_mark(survey, plan),
            awaited: awaited.map(|step| step.record.source.clone()).collect(),
            labels: Labels::of(source, plan),
            apart: Apart::of(&survey.target),
        })
    }

    /// True for a mailbox whose messages must be known before All Mail's turn comes, also where the target has no mailbox for
    /// it: not for one that the source refused for good before anything was sent. It may never be opened, and its mail is in
    /// All Mail.
    pub fn must_be_listed(&self, record: &MailboxRecord) -> bool {
        self.awaited.contains(&record.source)
    }

    /// True where the counts of the survey do not show which mailboxes are unchanged: a message that came in between the Inbox's
    /// and All Mail's is below All Mail's UIDNEXT, and the Inbox of that moment did not have it. What is told after all of the
    /// survey shows it.
    pub fn must_ask_again(&self, plan: &Plan) -> bool {
        self.rests().next().is_some() && plan.steps.iter().any(|step| !step.baseline_needed)
    }

    /// True for a mailbox of which only what no other one brings is copied: All Mail, and views beside it.
    pub fn is_rest(&self, record: &MailboxRecord) -> bool {
        self.rest(record).is_some()
    }

    /// True for a view beside All Mail, whose turn comes last.
    pub fn is_view(&self, record: &MailboxRecord) -> bool {
        self.views.iter().any(|rest| rest.wire == record.source.wire)
    }

    /// Target mailboxes that share no message with others.
    pub fn apart(&self) -> &Apart {
        &self.apart
    }

    /// What decides about the messages of a mailbox, where `bringers` says who brings what.
    pub fn share(self: &Arc<Self>, mailbox: &MailboxRecord, bringers: &Arc<Bringers>) -> Arc<Share> {
        Arc::new(Share::new(self.clone(), mailbox, bringers.clone(), None))
    }

    /// The same for a view, where `uploads` are messages from which labels can be copied: one whose mark goes along keeps these.
    pub fn share_of_view(
        self: &Arc<Self>,
        mailbox: &MailboxRecord,
        bringers: &Arc<Bringers>,
        uploads: Option<&Arc<Bringers>>,
    ) -> Arc<Share> {
        let uploads = uploads.filter(|_| self.is_mark(mailbox)).cloned();
        Arc::new(Share::new(self.clone(), mailbox, bringers.clone(), uploads))
    }

    /// True for the view whose mark is put on what others have brought.
    pub fn is_mark(&self, record: &MailboxRecord) -> bool {
        self.mark.as_ref() == Some(&record.source.wire)
    }

    /// True for All Mail.
    pub fn is_all_mail(&self, record: &MailboxRecord) -> bool {
        self.all.as_ref().is_some_and(|all| all.wire == record.source.wire)
    }

    fn rests(&self) -> impl Iterator<Item = &Rest> {
        self.all.iter().chain(&self.views)
    }

    fn rest(&self, record: &MailboxRecord) -> Option<&Rest> {
        self.rests().find(|rest| rest.wire == record.source.wire)
    }
}

fn only_mark(survey: &Survey, plan: &Plan) -> Option<bytes::Bytes> {
    all_mail(&survey.source)?;
    let mut infos = survey.source.mailboxes.iter().map(|mailbox| &mailbox.info);
    infos.find(|info| views::carries_mark(survey, &plan.rules, info)).map(|info| info.wire.clone())
}

impl Labels {
    fn of(source: &SideSurvey, plan: &Plan) -> Self {
        let label_of =
            |wire: &[u8]| source.mailboxes.iter().find(|m| m.info.wire == wire).and_then(|m| label(&m.info));
        let left_out = plan.excluded.iter().filter(|left| left.rule.starts_with("exclude:"));
        Self {
            left_out: left_out
                .filter_map(|left| Some((label_of(&left.record.source.wire)?, left.rule.clone())))
                .collect(),
            shown: source.mailboxes.iter().filter_map(|m| label(&m.info)).collect(),
            utf8: source.abilities.utf8_names,
        }
    }
}

/// The label that a mailbox shows, as X-GM-LABELS has it, decoded; system labels in lower case.
fn label(info: &MailboxInfo) -> Option<String> {
    if names::is_inbox(&info.wire) {
        return Some("\\inbox".to_owned());
    }
    match info.role {
        None => info.selectable.then(|| info.text.clone()),
        Some(Role::Sent) => Some("\\sent".to_owned()),
        Some(Role::Drafts) => Some("\\draft".to_owned()),
        Some(_) => None,
    }
}

/// Which mailbox brings which message.
#[derive(Debug, Default)]
pub struct Bringers(Mutex<HashMap<u64, MailboxId>>);

/// The place of a mailbox in the order of labels: Inbox, Sent, Drafts, then by name, then Spam and Trash.
pub fn rank(record: &MailboxRecord) -> (u8, &str) {
    let class = match record.role.as_deref().and_then(Role::parse) {
        _ if names::is_inbox(&record.source.wire) => 0,
        Some(Role::Sent) => 1,
        Some(Role::Drafts) => 2,
        Some(Role::Junk | Role::Trash) => 4,
        _ => 3,
    };
    (class, &record.source.text)
}

impl Bringers {
    /// Takes in the messages of a mailbox. Those taken in first keep them, unless only this one has settled its own. Of what
    /// it has not settled only that counts which it `may_bring` in this run.
    pub fn take_in(
        known: &mut BTreeMap<u64, (MailboxId, bool)>,
        items: &[Item],
        may_bring: impl Fn(&Item) -> bool,
    ) {
        for item in items {
            let Some(number) = message_number(item.lineage.as_deref()) else { continue };
            let settled = match item.state {
                // It is brought by nobody here.
                State::GoneAtSource => continue,
                State::Excluded | State::Listed | State::Fetched | State::Refused | State::Unreadable => {
                    false
                }
                State::Committed
                | State::InDoubt
                | State::Stored
                | State::Verified
                | State::AlreadyThere
                | State::Merged
                | State::Exception
                | State::GoneAtTarget
                | State::MovedAtTarget
                | State::Suspect => true,
            };
            if !settled && !may_bring(item) {
                continue;
            }
            let (by, is_settled) = known.entry(number).or_insert((item.id.mailbox, settled));
            if settled && !*is_settled {
                (*by, *is_settled) = (item.id.mailbox, true);
            }
        }
    }

    /// From what was taken in.
    pub fn new(known: BTreeMap<u64, (MailboxId, bool)>) -> Self {
        Self(Mutex::new(known.into_iter().map(|(number, (mailbox, _))| (number, mailbox)).collect()))
    }

    /// Who brings a message, if anybody does.
    pub fn of(&self, number: u64) -> Option<MailboxId> {
        locked(&self.0).get(&number).copied()
    }

    /// True for a message that another mailbox brings; from now on its own does, if nobody did. One without a number is brought
    /// by each.
    pub fn upload_elsewhere(&self, item: &Item) -> bool {
        let by = |number| self.or_else(number, item.id.mailbox);
        message_number(item.lineage.as_deref()).is_some_and(|number| by(number) != item.id.mailbox)
    }

    /// Who brings a message; from now on this mailbox, if nobody did.
    fn or_else(&self, number: u64, mailbox: MailboxId) -> MailboxId {
        *locked(&self.0).entry(number).or_insert(mailbox)
    }
}

/// The mailboxes that move, in the order in which a message is theirs: All Mail last, but for other views.
pub fn in_order<'a>(labelled: &Labelled, records: &'a [MailboxRecord]) -> Vec<&'a MailboxRecord> {
    let moves = |record: &&MailboxRecord| matches!(record.decision, Decision::Move(_));
    let mut records: Vec<_> = records.iter().filter(moves).collect();
    records.sort_by_key(|record| (labelled.is_rest(record), labelled.is_view(record), rank(record)));
    records
}

fn locked<V>(of: &Mutex<V>) -> MutexGuard<'_, V> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::end::Listed;
    use crate::journal::{EpochId, ItemId};
    use crate::mapping::map;
    use crate::message::Flags;
    use crate::plan::{Known, plan};
    use crate::survey_testing::{Side, survey};

    fn gmail() -> Side {
        let mut side = Side::new("", Some('/')).mailbox("Work").mailbox("Entwürfe/Alt");
        side = side.mailbox("[Gmail]/Gesendet").role(Role::Sent);
        side = side.mailbox("[Gmail]/Alle Nachrichten").role(Role::All).holds(9, 1);
        side.abilities.gmail = true;
        side
    }

    fn listed(number: u64, labels: &[&str]) -> Listed {
        Listed {
            key: Key(1),
            octets: 1,
            flags: Flags::default(),
            internal_date: None,
            mod_seq: None,
            lineage: Some(format!("{LINEAGE}{number}")),
            labels: labels.iter().map(|l| bytes::Bytes::copy_from_slice(l.as_bytes())).collect(),
        }
    }

    fn item(mailbox: i64, number: u64, state: State) -> Item {
        let id = ItemId { mailbox: MailboxId(mailbox), epoch: EpochId(1), key: Key(1) };
        Item { state, lineage: Some(format!("{LINEAGE}{number}")), ..Item::listed(id, 1) }
    }

    fn bringers(items: &[Item]) -> Arc<Bringers> {
        let mut known = BTreeMap::new();
        Bringers::take_in(&mut known, items, |item| item.state != State::Excluded);
        Arc::new(Bringers::new(known))
    }

    fn record(id: i64, name: &str, role: Option<Role>) -> MailboxRecord {
        let source =
            crate::journal::Name { wire: name.to_owned().into(), text: name.into(), delimiter: Some('/') };
        MailboxRecord {
            id: MailboxId(id),
            decision: Decision::Move(source.clone()),
            source,
            role: role.map(|role| role.as_str().to_owned()),
            subscribed: false,
            messages: None,
            octets: None,
        }
    }

    #[test]
    fn all_mail_leaves_out_what_was_seen_elsewhere_and_what_a_person_leaves_out_and_names_hidden_labels() {
        let mut settings = Settings::new("spool");
        settings.selection.exclude = vec!["Entw*".into(), "INBOX".into()];
        let both = survey(&gmail(), &Side::new("", Some('/')));
        let mapping = map(&both, &settings.mapping, &settings.selection, &[]);
        let plan = plan(&both, &mapping, &Known::default(), &settings);
        let labelled = Arc::new(Labelled::of(&both, &plan).unwrap());
        let step = plan.steps.iter().find(|step| step.is_rest).unwrap();
        let mut all = step.record.clone();
        all.id = MailboxId(9);
        assert!(labelled.is_rest(&all) && !labelled.is_rest(&record(1, "Work", None)));
        let share =
            labelled.share(&all, &bringers(&[item(1, 7, State::Verified), item(9, 8, State::Verified)]));
        let rule = |number, labels: &[&str]| share.leaves_out(&listed(number, labels));
        assert_eq!(rule(7, &["Work"]).as_deref(), Some(ELSEWHERE));
        assert_eq!(rule(8, &[]), None, "it brought that itself");
        assert_eq!(rule(1, &["Work", "\\Important"]), None, "nobody saw it there");
        assert_eq!(rule(2, &["Entw&APw-rfe/Alt"]).as_deref(), Some("exclude:Entw*"));
        assert_eq!(rule(3, &["\\INBOX"]).as_deref(), Some("exclude:INBOX"));
        assert_eq!(rule(6, &["\\Inbox", "Entw&APw-rfe/Alt", "\\Starred"]).as_deref(), Some("exclude:INBOX"));
        assert_eq!(share.hidden(), [""; 0]);
        assert_eq!(rule(3, &["\\Inbox", "Work"]), None, "Work would have brought it");
        assert_eq!((rule(4, &["Geheim", "\\Muted"]), rule(5, &["Geheim"])), (None, None));
        assert_eq!(share.hidden(), ["Geheim"]);
        assert_eq!(rule(5, &["\\Inbox", "Privat"]), None, "it is hidden, and not left out");
        assert_eq!(share.hidden(), ["Geheim", "Privat"]);
        share.begin();
        assert_eq!(share.hidden(), [""; 0]);
        let without = Listed { lineage: None, ..listed(7, &[]) };
        assert_eq!(share.leaves_out(&without), None, "without its number it is known nowhere");
    }

    #[test]
    fn of_two_views_one_brings_what_nothing_else_shows_and_a_mark_is_kept_on_what_we_have_uploaded() {
        let mut source = Side::new("", Some('/')).mailbox("[Gmail]/Starred").role(Role::Flagged);
        source = source.mailbox("[Gmail]/Important").role(Role::Important);
        let mut target = source.clone();
        for side in [&mut source, &mut target] {
            (side.abilities.gmail, side.abilities.tells_places) = (true, true);
        }
        let settings = Settings::new("spool");
        let both = survey(&source, &target);
        let mapping = map(&both, &settings.mapping, &settings.selection, &[]);
        let plan = plan(&both, &mapping, &Known::default(), &settings);
        let labelled = Arc::new(Labelled::of(&both, &plan).unwrap());
        let record = |id, name: &str| record(id, name, None);
        let (starred, important) = (record(1, "[Gmail]/Starred"), record(2, "[Gmail]/Important"));
        let inbox = record(3, "INBOX");
        assert_eq!(
            in_order(&labelled, &[starred.clone(), inbox.clone()]).iter().map(|r| r.id.0).collect::<Vec<_>>(),
            [3, 1]
        );
        assert!(labelled.must_be_listed(&inbox) && !labelled.must_be_listed(&important));
        // 7 was uploaded by this migration, 8 was at the target before.
        let brought = bringers(&[item(3, 7, State::Verified), item(3, 8, State::AlreadyThere)]);
        let uploads = bringers(&[item(3, 7, State::Verified)]);
        let share = |of| labelled.share_of_view(of, &brought, Some(&uploads));
        let (of_starred, of_important) = (share(&starred), share(&important));
        let elsewhere = Some(ELSEWHERE.to_owned());
        assert_eq!(of_starred.leaves_out(&listed(7, &[])), elsewhere, "a star is a flag");
        assert_eq!(of_important.leaves_out(&listed(7, &[])), None);
        assert_eq!(of_important.leaves_out(&listed(8, &[])), elsewhere);
        assert_eq!(of_starred.leaves_out(&listed(9, &[])), None);
        assert_eq!(of_important.leaves_out(&listed(9, &[])), elsewhere, "the other view has it by now");
        let once = labelled.share_of_view(&important, &brought, None);
        assert_eq!(once.leaves_out(&listed(7, &[])), elsewhere, "each message is stored once");
    }

    #[test]
    fn the_first_mailbox_keeps_a_message_unless_another_one_has_it_settled() {
        use State::{Excluded, GoneAtSource, Listed as Seen, Stored, Verified};
        for (first, second, by) in [
            (Seen, Seen, Some(1)),
            (Seen, Verified, Some(2)),
            (Stored, Verified, Some(1)),
            (Excluded, Seen, Some(2)),
            (GoneAtSource, Verified, Some(2)),
            (GoneAtSource, Excluded, None),
        ] {
            let known = bringers(&[item(1, 7, first), item(2, 7, second)]);
            assert_eq!(known.of(7), by.map(MailboxId), "{first:?}, {second:?}");
        }
        for state in State::ALL {
            let mut known = BTreeMap::new();
            Bringers::take_in(&mut known, &[item(1, 7, state)], |_| false);
            let waits = matches!(state, Seen | State::Fetched | State::Refused | State::Unreadable);
            let nobody = waits || matches!(state, Excluded | GoneAtSource);
            assert_eq!(known.is_empty(), nobody, "{state:?} in a mailbox that was not listed");
        }
        let known = bringers(&[]);
        assert_eq!(known.or_else(7, MailboxId(3)), MailboxId(3));
        assert_eq!(known.or_else(7, MailboxId(4)), MailboxId(3), "who saw it first, where nobody knew of it");
    }

    #[test]
    fn labels_have_the_order_inbox_sent_drafts_names_and_then_what_is_no_label() {
        let mut records = [
            record(1, "[Gmail]/Spam", Some(Role::Junk)),
            record(2, "b", None),
            record(3, "[Gmail]/Drafts", Some(Role::Drafts)),
            record(4, "a/x", None),
            record(5, "[Gmail]/Sent", Some(Role::Sent)),
            record(6, "inbox", None),
        ];
        records.sort_by(|a, b| rank(a).cmp(&rank(b)));
        assert_eq!(records.map(|r| r.id.0), [6, 5, 3, 4, 2, 1]);
    }

    #[test]
    fn only_a_number_of_gmail_is_a_message_number() {
        for (lineage, number) in [
            (Some("gm-msgid:18446744073709551615"), Some(u64::MAX)),
            (Some("gm-msgid:x"), None),
            (Some("emailid:12"), None),
            (None, None),
        ] {
            assert_eq!(message_number(lineage), number);
        }
    }
}
