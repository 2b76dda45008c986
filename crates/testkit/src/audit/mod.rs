//! Holds what a migration says of itself against what lies on both servers, message for message.
//!
//! It shares no code with the product: the accounts are read by the testkit's own client, the report and the manifest as JSON.
//! A loss that is not told, and a loss that is told and did not happen, are findings alike.

mod foretold;
mod holding;
mod kinds;
mod papers;

use std::collections::{BTreeMap, BTreeSet};

pub use foretold::{Comparison, Foretold, Loss};
pub use holding::{Held, Holding, Letter};
pub use kinds::{ORDINARY, kinds};
pub use papers::{Line, Papers};

use crate::date::InternalDate;
use crate::image::{Flags, Sha};

/// What became of an account, counted by what lies there and not by what is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages at the source.
    pub messages: u64,
    /// With the same octets at the target.
    pub exact: u64,
    /// Only line ends differ.
    pub line_ends: u64,
    /// Other octets, told as saying the same.
    pub semantic: u64,
    /// Other octets, told as damaged.
    pub damaged: u64,
    /// Not at the target, told as an exception.
    pub refused: u64,
    /// At the target as one with an equal message.
    pub merged: u64,
    /// Not at the target, left out by a rule.
    pub left_out: u64,
    /// In mailboxes that a rule leaves out whole: they are not listed.
    pub unlisted: u64,
    /// With other flags at the target.
    pub flags: u64,
    /// With another date at the target.
    pub dates: u64,
    /// Mailboxes that can be opened at the source.
    pub mailboxes: u64,
    /// Of those, with another path at the target.
    pub renamed: u64,
}

/// How a message ended, by what lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// With the same octets.
    Exact,
    /// With other line ends.
    LineEnds,
    /// With other octets, told as saying the same.
    Semantic,
    /// With other octets, told as damaged.
    Damaged,
    /// Not there, told as an exception.
    Refused,
    /// There as one with an equal message.
    Merged,
    /// Left out by a rule.
    LeftOut,
}

/// What became of one source message.
#[derive(Clone, Debug)]
pub struct Fate {
    /// The wire name of its mailbox at the source.
    pub mailbox: String,
    /// Its UID there.
    pub uid: u32,
    /// Of which kinds it is.
    pub kinds: BTreeSet<&'static str>,
    /// Its flags there.
    pub flags: Flags,
    /// Its date there.
    pub date: InternalDate,
    /// How its octets ended.
    pub ended: Ended,
    /// Its octets are the same but for CRs.
    pub only_carriage_returns: bool,
    /// It has other flags at the target.
    pub flags_changed: bool,
    /// It has another date at the target.
    pub date_changed: bool,
    /// Its line in the manifest.
    pub line: Line,
}

/// Counts, and whatever is not as it is said.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// The counts.
    pub tally: Tally,
    /// What became of each message that is listed, and told as it is.
    pub fates: Vec<Fate>,
    /// What is not as it is said, in words; empty where report and servers agree.
    pub findings: Vec<String>,
}

/// Audits a migration from `source` to a target that held `before` and holds `after`.
#[must_use]
pub fn audit(source: &Holding, before: &Holding, after: &Holding, papers: &Papers) -> Audit {
    let names = [papers.wire_names("source"), papers.wire_names("target")];
    let mut auditor = Auditor { source, before, after, papers, names, audit: Audit::default() };
    let claimed = auditor.messages();
    auditor.nothing_else(&claimed);
    auditor.mailboxes();
    auditor.sums();
    auditor.audit
}

/// Wire names by the name for people; two may be written alike.
type Names = BTreeMap<String, Vec<String>>;

/// A message's place: the wire name of its mailbox, and its UID.
type Place = (String, u32);

struct Auditor<'a> {
    source: &'a Holding,
    before: &'a Holding,
    after: &'a Holding,
    papers: &'a Papers,
    /// Wire names by the names for people: at the source, at the target.
    names: [Names; 2],
    audit: Audit,
}

impl Auditor<'_> {
    fn find(&mut self, text: String) {
        self.audit.findings.push(text);
    }

    /// Each source message has one line, each line tells the truth. Returns the places at the target that are claimed.
    fn messages(&mut self) -> BTreeSet<Place> {
        let (mut told, mut claimed) = (BTreeSet::new(), BTreeSet::new());
        for line in &self.papers.lines {
            let Some((place, letter)) = find(self.source, &self.names[0], line, "source") else {
                self.find(format!("a line about a message that is not at the source: {}", line.0));
                continue;
            };
            let name = format!("{} UID {}", place.0, place.1);
            let from = place.clone();
            if !told.insert(place) {
                self.find(format!("{name}: two lines"));
            }
            let target = find(self.after, &self.names[1], line, "target");
            if line.place("target").is_some() != target.is_some() {
                self.find(format!("{name}: its target is not there: {}", line.0));
            }
            if let Some(sha256) =
                line.text("sha256").filter(|sha256| *sha256 != hex(&letter.image.content.sha256))
            {
                self.find(format!("{name}: the source's octets are not those of sha256 {sha256}"));
            }
            match target {
                Some((place, there)) => {
                    if line.text("sha256").is_none() {
                        self.find(format!("{name}: it was copied, and its digest is not told"));
                    }
                    let merged = line.text("state") == Some("merged");
                    let ended = match merged {
                        true => self.merged(&name, line, letter, there),
                        false => self.compared(&name, line, letter, there),
                    };
                    self.fate(&from, line, letter, Some(there), ended);
                    if !claimed.insert(place) && !merged {
                        self.find(format!("{name}: its target is claimed twice"));
                    }
                }
                None => {
                    let ended = self.absent(&name, line);
                    self.fate(&from, line, letter, None, ended);
                }
            }
        }
        for (mailbox, held) in &self.source.mailboxes {
            // What a rule leaves out whole is not listed.
            let row = self.papers.mailboxes().find(|row| row["source_wire"] == **mailbox);
            let excluded = row.is_some_and(|row| row["decision"] == "exclude");
            for uid in held.messages.keys().filter(|uid| !told.contains(&(mailbox.clone(), **uid))) {
                match excluded {
                    true => self.audit.tally.unlisted += 1,
                    false => self.audit.findings.push(format!("{mailbox} UID {uid}: no line")),
                }
            }
        }
        self.audit.tally.messages = self.source.messages() as u64;
        claimed
    }

    /// A message that shares its place with an equal one: only its octets are its own.
    fn merged(&mut self, name: &str, line: &Line, source: &Letter, target: &Letter) -> Option<Ended> {
        self.audit.tally.merged += 1;
        if source.image.content != target.image.content {
            self.find(format!("{name}: told as merged with other octets: {}", line.0));
        }
        Some(Ended::Merged)
    }

    /// Keeps how a message ended, where that is told as it is.
    fn fate(
        &mut self,
        from: &Place,
        line: &Line,
        source: &Letter,
        target: Option<&Letter>,
        ended: Option<Ended>,
    ) {
        let Some(ended) = ended else { return };
        self.audit.fates.push(Fate {
            mailbox: from.0.clone(),
            uid: from.1,
            kinds: source.kinds.clone(),
            flags: source.image.flags.clone(),
            date: source.image.internal_date,
            ended,
            only_carriage_returns: target.is_some_and(|there| there.without_cr == source.without_cr),
            flags_changed: target.is_some_and(|there| there.image.flags != source.image.flags),
            date_changed: target.is_some_and(|there| there.image.internal_date != source.image.internal_date),
            line: line.clone(),
        });
    }

    /// A message that is at both sides.
    fn compared(&mut self, name: &str, line: &Line, source: &Letter, target: &Letter) -> Option<Ended> {
        let ended = self.octets(name, line, source, target);
        let there = hex(&target.image.content.sha256);
        if let Some(told) = line.text("target_sha256").filter(|told| *told != there) {
            self.find(format!("{name}: the target's octets are not those of target_sha256 {told}"));
        }
        self.flags(name, line, &source.image.flags, &target.image.flags);
        let (then, now) = (source.image.internal_date, target.image.internal_date);
        self.audit.tally.dates += u64::from(then != now);
        if (then != now) != line.0["date"].is_object() {
            self.find(format!("{name}: the date was {then} and is {now}: {}", line.0));
        }
        ended
    }

    fn octets(&mut self, name: &str, line: &Line, source: &Letter, target: &Letter) -> Option<Ended> {
        let truth = if source.image.content == target.image.content {
            "exact"
        } else if source.normal == target.normal {
            "newline"
        } else {
            "other"
        };
        let grade = line.text("grade").unwrap_or("none");
        let damaged = line.text("state") == Some("exception") && line.reason() == Some("damaged");
        let tally = &mut self.audit.tally;
        let (count, ended) = match (truth, grade, damaged) {
            ("exact", "exact", false) => (&mut tally.exact, Ended::Exact),
            ("newline", "newline", false) => (&mut tally.line_ends, Ended::LineEnds),
            ("other", "semantic", false) => (&mut tally.semantic, Ended::Semantic),
            ("other", "damaged", true) => (&mut tally.damaged, Ended::Damaged),
            _ => {
                self.find(format!("{name}: the octets are {truth}, and told as {grade}: {}", line.0));
                return None;
            }
        };
        *count += 1;
        Some(ended)
    }

    fn flags(&mut self, name: &str, line: &Line, then: &Flags, now: &Flags) {
        self.audit.tally.flags += u64::from(then != now);
        if (then != now) != line.0["flags"].is_object() {
            self.find(format!("{name}: the flags were {then} and are {now}: {}", line.0));
        }
        if let Some(told) = line.flags_read_back().map(Flags::new).filter(|told| told != now) {
            self.find(format!("{name}: the flags are {now}, told is {told}"));
        }
    }

    /// A message that the line does not say to be at the target.
    fn absent(&mut self, name: &str, line: &Line) -> Option<Ended> {
        let tally = &mut self.audit.tally;
        let (count, ended) = match (line.text("state"), line.reason()) {
            (Some("exception"), Some(_)) => (&mut tally.refused, Ended::Refused),
            (Some("excluded"), _) => (&mut tally.left_out, Ended::LeftOut),
            _ => {
                self.find(format!("{name}: not at the target, and no reason is told: {}", line.0));
                return None;
            }
        };
        *count += 1;
        Some(ended)
    }

    /// The target holds what it held before, what is claimed, and nothing else.
    fn nothing_else(&mut self, claimed: &BTreeSet<Place>) {
        for (mailbox, held) in &self.after.mailboxes {
            let old =
                |uid: &u32| self.before.mailboxes.get(mailbox).is_some_and(|b| b.messages.contains_key(uid));
            let extra =
                held.messages.keys().filter(|uid| !old(uid) && !claimed.contains(&(mailbox.clone(), **uid)));
            let extra: Vec<String> =
                extra.map(|uid| format!("{mailbox} UID {uid} at the target: nobody's")).collect();
            self.audit.findings.extend(extra);
        }
        for (mailbox, held) in &self.before.mailboxes {
            let now = self.after.mailboxes.get(mailbox);
            for (uid, letter) in &held.messages {
                if now.and_then(|now| now.messages.get(uid)) != Some(letter) {
                    self.audit
                        .findings
                        .push(format!("{mailbox} UID {uid}: was at the target before, and changed"));
                }
            }
        }
    }

    /// Each source mailbox is in the report once; the one it went to is there under the name that is told; what was subscribed is
    /// subscribed.
    fn mailboxes(&mut self) {
        let mut findings = Vec::new();
        for (wire, held) in &self.source.mailboxes {
            self.audit.tally.mailboxes += 1;
            let rows: Vec<_> = self.papers.mailboxes().filter(|row| row["source_wire"] == **wire).collect();
            let [row] = rows[..] else {
                findings.push(format!("mailbox {wire}: {} rows in the report", rows.len()));
                continue;
            };
            match (row["decision"].as_str(), row["target_wire"].as_str()) {
                (Some("move"), Some(target)) => match self.after.mailboxes.get(target) {
                    Some(there) => {
                        self.audit.tally.renamed += u64::from(there.path != held.path);
                        let (then, now) = (
                            self.source.subscriptions.contains(wire),
                            self.after.subscriptions.contains(target),
                        );
                        if then && !now {
                            findings.push(format!("mailbox {wire}: {target} is not subscribed"));
                        }
                    }
                    None => findings.push(format!("mailbox {wire}: {target} is not at the target")),
                },
                (Some("exclude"), _) if row["rule"].is_string() => {}
                (Some("refuse"), _) if row["reason"].is_string() => {}
                other => findings.push(format!("mailbox {wire}: {other:?}")),
            }
        }
        for (wire, why) in &self.source.unopened {
            let told = self.papers.mailboxes().any(|row| row["source_wire"] == **wire);
            if !told {
                findings.push(format!("mailbox {wire}: cannot be opened ({why}), and is not in the report"));
            }
        }
        self.audit.findings.append(&mut findings);
    }

    /// The sums of the report are those counted here.
    fn sums(&mut self) {
        let t = self.audit.tally;
        for (pointer, counted) in [
            ("/totals/listed", t.messages - t.unlisted),
            ("/totals/verified/exact", t.exact),
            ("/totals/verified/newline", t.line_ends),
            ("/totals/verified/semantic", t.semantic),
            ("/totals/exceptions", t.damaged + t.refused),
            ("/totals/merged", t.merged),
            ("/totals/stored", 0),
            ("/totals/pending", 0),
            ("/totals/remainder", 0),
            ("/manifest/lines", t.messages - t.unlisted),
        ] {
            let told = self.papers.number(pointer);
            if told != Some(counted) {
                self.find(format!("{pointer} is {told:?}, counted are {counted}"));
            }
        }
    }
}

/// The message that a line names on a side, in an account.
fn find<'a>(account: &'a Holding, names: &Names, line: &Line, side: &str) -> Option<(Place, &'a Letter)> {
    let (name, uid_validity, uid) = line.place(side)?;
    let uid = u32::try_from(uid).ok()?;
    // Two mailboxes may be written alike for people: their UIDVALIDITY tells them apart.
    names.get(name)?.iter().find_map(|wire| {
        let held = account.mailboxes.get(wire).filter(|held| u64::from(held.uid_validity) == uid_validity)?;
        Some(((wire.clone(), uid), held.messages.get(&uid)?))
    })
}

fn hex(sha: &Sha) -> String {
    sha.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests;
