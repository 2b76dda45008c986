//! What became of a seed, and what is wrong with it.

use super::MESSAGES;
use super::others::Fate;
use crate::peers::{counted, items, order_may_differ};
use mailhaul_engine::journal::{Item, Origin, State};
use mailhaul_engine::report::Report;
use mailhaul_testkit::checker::{DifferenceKind, PathMap, judge};
use mailhaul_testkit::image::AccountImage;
use mailhaul_testkit::proxy::{Ended, FaultProxy};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// What became of a seed.
#[derive(Default)]
pub struct Outcome {
    pub runs: usize,
    pub client_kills: usize,
    pub cuts: usize,
    pub late: usize,
    pub server_kills: usize,
    pub delivered: usize,
    /// Batches whose fate had to be found out by content, and messages claimed that way.
    pub resolved: u64,
    pub found: u64,
    pub lost: usize,
    pub extra: usize,
    /// Messages with other flags or another date.
    pub differ: u64,
    /// Seeds in which the server rebuilt its storage. QUIRK: Dovecot 2.3.19 (mdbox) takes its map for inconsistent after a
    /// process was killed, and at times under load, and rebuilds it, whenever it next looks. Then it shows messages twice,
    /// at times those of an APPEND whose absence was proven, and at times loses one that another session was told is
    /// stored, or one of ours that was read back before. No client can hold such a server to anything; what is asked of these
    /// seeds is that each message of ours was read back, or is told not to be there.
    pub rebuilt: usize,
    /// In those seeds: messages too many, messages of the other session that are gone, and messages of ours that are gone
    /// after they were read back, or that the report tells of.
    pub restored: usize,
    pub dropped: usize,
    pub dropped_ours: usize,
    /// Messages that the journal does not call verified.
    unverified: u64,
    /// Whatever is wrong, in words.
    pub wrong: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs, {} clients killed, {} cuts, {} late, {} server processes killed, {} delivered beside, {} \
             batches resolved ({} messages found): {} lost, {} extra, {} with other flags and told so; {} rebuilt \
             by the server, {} copies restored, {} messages of others and {} of ours dropped by it",
            self.runs,
            self.client_kills,
            self.cuts,
            self.late,
            self.server_kills,
            self.delivered,
            self.resolved,
            self.found,
            self.lost,
            self.extra,
            self.differ,
            self.rebuilt,
            self.restored,
            self.dropped,
            self.dropped_ours
        )
    }
}

impl Outcome {
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.client_kills += other.client_kills;
        self.cuts += other.cuts;
        self.late += other.late;
        self.server_kills += other.server_kills;
        self.delivered += other.delivered;
        self.resolved += other.resolved;
        self.found += other.found;
        self.lost += other.lost;
        self.extra += other.extra;
        self.differ += other.differ;
        self.rebuilt += other.rebuilt;
        self.restored += other.restored;
        self.dropped += other.dropped;
        self.dropped_ours += other.dropped_ours;
        self.wrong.extend(other.wrong.iter().cloned());
    }

    pub fn count_ends(&mut self, proxy: &FaultProxy) {
        for record in proxy.records() {
            match record.ended {
                Some(Ended::Cut(_)) => self.cuts += 1,
                Some(Ended::Late) => self.late += 1,
                _ => {}
            }
        }
    }

    /// What the journal in `folder` tells of doubts.
    pub fn count_doubts(&mut self, folder: &Path) {
        self.resolved = counted(folder, "batch WHERE state = 'resolved'");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let items = runtime.block_on(items(folder));
        let count = |wanted: fn(&Item) -> bool| items.iter().filter(|item| wanted(item)).count() as u64;
        self.found = count(|item| item.origin == Some(Origin::Found));
        let unverified = count(|item| item.state != State::Verified);
        let all = items.len() as u64;
        // Of what its server took away and brought back under other numbers something else may be true at the end.
        let excused = self.rebuilt > 0;
        if all != MESSAGES as u64 || (unverified > 0 && !excused) {
            self.wrong.push(format!("{unverified} of {all} messages are not verified"));
        }
        self.unverified = unverified;
    }

    /// The other session's mail is there once, as far as it was told that it is stored.
    pub fn judge_others(&mut self, fate: Fate) {
        let Fate { gone, twice } = fate;
        if self.rebuilt > 0 {
            self.dropped += gone;
            self.restored += twice;
        } else if gone + twice > 0 {
            self.wrong.push(format!("of another session's messages {gone} are gone and {twice} there twice"));
        }
    }

    pub fn judge(&mut self, before: &AccountImage, after: &AccountImage) {
        let verdict = judge(before, after, &PathMap::same(), &order_may_differ());
        let (mut differ, mut other) = (BTreeSet::new(), 0);
        for difference in &verdict.differences {
            match difference.kind {
                DifferenceKind::MessageExtra if self.rebuilt > 0 => {
                    self.restored += 1;
                    continue;
                }
                DifferenceKind::Flags | DifferenceKind::Date => {
                    differ.insert((&difference.mailbox, difference.uid));
                    continue;
                }
                // Each of ours was read back in another session (law 9), or is told not to be there.
                DifferenceKind::MessageMissing if self.rebuilt > 0 => {
                    self.dropped_ours += 1;
                    continue;
                }
                DifferenceKind::MessageMissing => self.lost += 1,
                DifferenceKind::MessageExtra => self.extra += 1,
                _ => {}
            }
            other += 1;
        }
        self.differ = differ.len() as u64;
        if self.dropped_ours > 0 {
            println!(
                "of {} messages of ours that it dropped, the journal tells of {} that they are not there",
                self.dropped_ours, self.unverified
            );
        }
        if other > 0 {
            self.wrong.push(verdict.to_string());
        }
    }

    /// The report tells what was seen, no less and no more, where the server did not change it afterwards. QUIRK: Dovecot (maildir) forgets a keyword's name when it is
    /// killed between giving it to a message and writing `dovecot-keywords`: it shows `unknown-1`.
    pub fn compare_with(&mut self, report: &Report) {
        let (told, code) = (report.difference_examples.total, report.exit_code());
        let due = if told > 0 { 3 } else { 0 };
        if self.rebuilt == 0 && (told != self.differ || code != due) {
            self.wrong
                .push(format!("{} messages differ in flags or date, told {told}, exit {code}", self.differ));
        }
    }
}
