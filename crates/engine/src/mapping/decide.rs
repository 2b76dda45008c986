//! The decisions, phase after phase.

use super::roles::{Cast, Sign};
use super::select::{self, Chosen};
use super::target::TargetNames;
use super::{Conflict, Entry, How, Mapping, components, key};
use crate::config::MappingRules;
use crate::end::{MailboxInfo, Role};
use crate::journal::{Decision, MailboxRecord, Name};
use crate::labels::views::counterpart;
use crate::name_rules::folded;
use crate::names;
use crate::plan::IN_IMAP;
use crate::survey::{Survey, SurveyedMailbox};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};

/// What one phase says of a mailbox: nothing, a target name, or why there is none.
type Finding = Option<Result<(Name, How), String>>;

pub(super) struct Mapper<'a> {
    pub(super) survey: &'a Survey,
    pub(super) rules: &'a MappingRules,
    pub(super) target: TargetNames<'a>,
    /// Who plays which role at the source.
    cast: Cast,
    /// Moves of earlier runs by source name.
    pub(super) earlier: HashMap<Bytes, (&'a MailboxRecord, &'a Name)>,
    /// Target names given away, by their keys at the target, with the source name that has them.
    pub(super) taken: HashMap<String, String>,
    /// Keys of levels that hold no mail, where the target keeps mail and mailboxes apart.
    pub(super) folders: HashSet<String>,
    pub(super) entries: Vec<Option<Entry>>,
    conflicts: Vec<Conflict>,
    pub(super) remarks: Vec<String>,
}

impl<'a> Mapper<'a> {
    pub(super) fn new(
        survey: &'a Survey,
        rules: &'a MappingRules,
        earlier: &'a [MailboxRecord],
        chosen: &Chosen,
    ) -> Self {
        let moved = |record: &'a MailboxRecord| match &record.decision {
            Decision::Move(name) => Some((key(&record.source), (record, name))),
            Decision::Exclude(_) | Decision::Refuse(_) => None,
        };
        let earlier: HashMap<_, _> = earlier.iter().filter_map(moved).collect();
        let target = TargetNames::new(&survey.target);
        let name_taken =
            |(record, name): &(&MailboxRecord, &Name)| (target.key(name), record.source.text.clone());
        let mut mapper = Self {
            survey,
            rules,
            cast: Cast::of(&survey.source, |i| chosen.left_out[i].is_none()),
            taken: earlier.values().map(name_taken).collect(),
            target,
            earlier,
            folders: HashSet::new(),
            entries: vec![None; survey.source.mailboxes.len()],
            conflicts: Vec::new(),
            remarks: chosen.remarks.clone(),
        };
        mapper.leave_out(&chosen.left_out);
        mapper
    }

    /// Everything but the mailboxes that keep their path.
    pub(super) fn decide_by_names_and_roles(&mut self) {
        self.keep_earlier();
        for phase in [Self::nameless, Self::by_rule, Self::inbox, Self::by_view, Self::by_role] {
            self.decide(phase);
        }
    }

    pub(super) fn info(&self, index: usize) -> &'a MailboxInfo {
        &self.survey.source.mailboxes[index].info
    }

    /// Rules whose target name cannot exist.
    fn impossible_rules(&self) -> Vec<String> {
        let maps =
            self.rules.map.iter().map(|(source, target)| (format!("--map \"{source}={target}\""), target));
        let into = self.rules.into.iter().map(|parent| (format!("--into \"{parent}\""), parent));
        maps.chain(into)
            .filter_map(|(option, name)| {
                Some(format!("{}: {}", names::printable(&option), self.target.named(name).err()?))
            })
            .collect()
    }

    /// What is left out does not compete for names, unless it was copied before.
    fn leave_out(&mut self, left_out: &[Option<String>]) {
        for (i, rule) in left_out.iter().enumerate() {
            let Some(rule) = rule else { continue };
            let source = source_name(self.info(i));
            let (decision, how) = match self.earlier.get(&key(&source)) {
                Some((_, name)) => (Decision::Move((*name).clone()), How::Earlier),
                None => (Decision::Exclude(rule.clone()), How::Nowhere),
            };
            let left_out = Some(rule.clone());
            self.entries[i] = Some(Entry { source, decision, left_out, how, create_role: None, spare: None });
        }
    }

    /// What the journal holds stays; a rule of the person that says otherwise is a conflict.
    fn keep_earlier(&mut self) {
        for (i, SurveyedMailbox { info, .. }) in self.survey.source.mailboxes.iter().enumerate() {
            let source = source_name(info);
            let Some((_, was)) = self.earlier.get(&key(&source)).copied() else { continue };
            // A rule that cannot be followed is among the problems already.
            if let Some(now) = self.ruled_otherwise(i, was) {
                self.conflicts.push(Conflict { source: info.text.clone(), was: was.text.clone(), now });
            }
            if self.entries[i].is_none() {
                let (decision, how) = (Decision::Move(was.clone()), How::Earlier);
                self.entries[i] =
                    Some(Entry { source, decision, left_out: None, how, create_role: None, spare: None });
            }
        }
    }

    /// Where `--map` would send a mailbox that an earlier run sent elsewhere. A server may list a name a little otherwise than
    /// it was asked for.
    fn ruled_otherwise(&self, index: usize, was: &Name) -> Option<String> {
        let (now, _) = self.by_rule(index)?.ok()?;
        (folded(&now.text) != folded(&was.text)).then_some(now.text)
    }

    fn decide(&mut self, phase: fn(&Self, usize) -> Finding) {
        for i in 0..self.entries.len() {
            if self.entries[i].is_some() {
                continue;
            }
            let info = self.info(i);
            let (decision, how) = match phase(self, i) {
                None => continue,
                Some(Ok((name, how))) => match self.taken.get(&self.target.key(&name)) {
                    Some(by) if how == How::Rule => {
                        (Decision::Refuse(collision(info, &name, by)), How::Nowhere)
                    }
                    // The mailbox belongs to another one: this one keeps its path.
                    Some(_) => continue,
                    None => (Decision::Move(name), how),
                },
                Some(Err(why)) => (Decision::Refuse(why), How::Nowhere),
            };
            self.enter(i, decision, how, None);
        }
    }

    /// Writes a decision down, and who has the name.
    pub(super) fn enter(&mut self, index: usize, decision: Decision, how: How, spare: Option<Name>) {
        let info = self.info(index);
        let mut create_role = None;
        if let Decision::Move(name) = &decision {
            self.taken.insert(self.target.key(name), info.text.clone());
            create_role = self.role_for(index, how);
        }
        let source = source_name(info);
        self.entries[index] = Some(Entry { source, decision, left_out: None, how, create_role, spare });
    }

    fn nameless(&self, index: usize) -> Finding {
        self.info(index).wire.is_empty().then(|| Err("the old server lists it without a name".to_owned()))
    }

    pub(super) fn by_rule(&self, index: usize) -> Finding {
        let info = self.info(index);
        let (_, wanted) = self.rules.map.iter().find(|(source, _)| select::same_name(source, info))?;
        Some(self.target.named(wanted).map(|name| (name, How::Rule)))
    }

    fn inbox(&self, index: usize) -> Finding {
        let is_inbox = names::is_inbox(&self.info(index).wire) && self.rules.into.is_none();
        is_inbox.then(|| Ok((self.target.inbox(), How::Inbox)))
    }

    /// A view of Gmail's that moves, to the same one of another Gmail.
    fn by_view(&self, index: usize) -> Finding {
        let info = self.info(index);
        let there = counterpart(self.survey, info).filter(|_| self.rules.into.is_none())?;
        Some(Ok((source_name(there), How::Role(info.role?))))
    }

    /// By the roles of both sides. A role that only names speak of at both sides does not part two mailboxes of one name.
    fn by_role(&self, index: usize) -> Finding {
        if self.rules.into.is_some() {
            return None;
        }
        let (role, here) = self.cast.role_of(index)?;
        let (name, there) = self.target.with_role(role)?;
        if there == Sign::Name {
            let path = components(&self.survey.source, self.info(index));
            if self.target.found(&self.target.join(&path)).is_some_and(|info| info.selectable) {
                return None;
            }
        }
        let how = match (here, there) {
            (Sign::Attribute, Sign::Attribute) => How::Role(role),
            _ => How::RoleByName(role),
        };
        Some(Ok((name, how)))
    }

    /// The role to create a mailbox with: the one that it plays at the source, if nobody plays it at the target.
    fn role_for(&self, index: usize, how: How) -> Option<Role> {
        let (role, _) = self.cast.role_of(index)?;
        let wanted = matches!(how, How::SamePath | How::Renamed | How::Rule)
            && self.survey.target.abilities.creates_roles
            && self.target.with_role(role).is_none();
        wanted.then_some(role)
    }

    pub(super) fn finish(mut self, problems: Vec<String>) -> Mapping {
        self.tell_rivals();
        let problems = [problems, self.impossible_rules(), self.renamed_by_gmail()].concat();
        let entries: Vec<Entry> = self
            .entries
            .into_iter()
            .map(|entry| entry.expect("invariant: the last phase decides about whatever is left"))
            .collect();
        let listed: HashSet<Bytes> = entries.iter().map(|entry| key(&entry.source)).collect();
        let mut vanished: Vec<MailboxRecord> = self
            .earlier
            .into_iter()
            .filter(|(source, _)| !listed.contains(source))
            .map(|(_, (record, _))| record.clone())
            .collect();
        vanished.sort_by_key(|record| record.id);
        Mapping { entries, vanished, conflicts: self.conflicts, problems, remarks: self.remarks }
    }

    /// QUIRK: Gmail's own mailboxes have names in the language of the person's settings ([Gmail]/Sent Mail, [Gmail]/Gesendet;
    /// docs/gmail.md). When it was changed after a run, each would be taken for a new mailbox and its mail be copied once more:
    /// the person decides. Not so for All Mail, of which what others brought is left out.
    fn renamed_by_gmail(&self) -> Vec<String> {
        let listed: HashSet<Bytes> =
            self.survey.source.mailboxes.iter().map(|mailbox| key(&source_name(&mailbox.info))).collect();
        let gone = |role: Role| {
            let of_role =
                self.earlier.iter().filter(|(_, (record, _))| record.role.as_deref() == Some(role.as_str()));
            let gone =
                of_role.filter(|(source, _)| !listed.contains(*source)).map(|(_, (record, _))| *record);
            gone.min_by_key(|record| record.id)
        };
        let renamed = |entry: &Entry, info: &MailboxInfo| {
            let role = info.role.filter(|role| *role != Role::All)?;
            let moves = matches!(entry.decision, Decision::Move(_)) && entry.left_out.is_none();
            let is_new = !self.earlier.contains_key(&key(&entry.source));
            let before = gone(role).filter(|_| moves && is_new && entry.how != How::Rule)?;
            let (now, before) = (names::printable(&info.text), names::printable(&before.source.text));
            Some(format!(
                "“{before}”, which was moved before, is called “{now}” now, as when Gmail’s language is changed: all of it would be \
                 copied once more. Set the language back in Gmail’s settings; or leave it out by --exclude \"{now}\", or let it be \
                 copied to another place by --map \"{now}=…\""
            ))
        };
        if !self.survey.source.abilities.gmail {
            return Vec::new();
        }
        let entries = self.entries.iter().zip(&self.survey.source.mailboxes);
        entries.filter_map(|(entry, mailbox)| renamed(entry.as_ref()?, &mailbox.info)).collect()
    }

    /// Two mailboxes for one role are never merged, and the plan says which is which.
    fn tell_rivals(&mut self) {
        for (role, rival) in &self.cast.rivals {
            let Some((player, _)) = self.cast.player(*role) else { continue };
            let target = |index: usize| match self.entries[index].as_ref().map(|entry| &entry.decision) {
                Some(Decision::Move(name)) => Some(names::printable(&name.text)),
                _ => None,
            };
            if let (Some(first), Some(second)) = (target(player), target(*rival)) {
                self.remarks.push(format!(
                    "“{}” and “{}” both look like the folder for {}: the first goes to “{first}”, the second to “{second}”\
                     {IN_IMAP}\\{}",
                    names::printable(&self.info(player).text),
                    names::printable(&self.info(*rival).text),
                    role.plainly(),
                    role.capitalised(),
                ));
            }
        }
    }
}

/// The name of a listed mailbox.
pub(super) fn source_name(info: &MailboxInfo) -> Name {
    Name { wire: info.wire.clone(), text: info.text.clone(), delimiter: info.delimiter }
}

pub(super) fn collision(info: &MailboxInfo, name: &Name, by: &str) -> String {
    format!(
        "it would go to “{}”, where “{}” goes already; choose another name with --map \"{}=…\"",
        names::printable(&name.text),
        names::printable(by),
        names::printable(&info.text),
    )
}
