//! Judges a simulation: whatever the engine says must be so, and whatever happened must be said.
//!
//! The engine's report and the states of its journal are data here; what is true comes from the ledgers of the two
//! servers. Line ends are the only thing that is forgiven, and only where the engine says `newline`.

mod items;
mod servers;
mod sums;

use mailhaul_sandbox::{Fault, MessageSnapshot};
use std::collections::BTreeSet;

use super::facts::{Facts, ItemFact};
use super::truth::{Instance, Truth};
use super::world::World;

/// States that say: it is at the target.
const THERE: [&str; 3] = ["verified", "already_there", "merged"];

/// All a check may look at.
struct Case<'a> {
    world: &'a World,
    facts: &'a Facts,
    source: Truth,
    target: Truth,
}

/// Everything that is wrong, in words.
#[must_use]
pub fn check(world: &World, facts: &Facts) -> Vec<String> {
    let source = Truth::of(&facts.source.ledger);
    let of_target = if world.tuning.rewrites { Truth::of_stamped } else { Truth::of };
    let target = of_target(&facts.target.ledger);
    let case = Case { world, facts, source, target };
    let mut wrong: Vec<String> = facts.wrong_moves.clone();
    let checks: [fn(&Case<'_>) -> Vec<String>; 11] = [
        servers::the_source_is_untouched,
        servers::nothing_at_the_target_is_changed_or_removed,
        servers::nothing_is_doubled,
        servers::nothing_is_sent_beside_what_was_adopted,
        items::every_source_message_is_known,
        items::every_state_is_true,
        items::no_two_messages_share_a_copy,
        items::what_cannot_be_told_apart_is_said,
        items::flags_and_dates_are_those_of_the_source,
        sums::the_report_adds_up,
        sums::it_ends,
    ];
    wrong.extend(checks.iter().flat_map(|check| check(&case)));
    wrong
}

impl Case<'_> {
    /// The source message of an item.
    fn source_of(&self, item: &ItemFact) -> Option<&Instance> {
        self.source.at(&item.mailbox, item.at_source)
    }

    /// The target message that an item claims.
    fn copy_of(&self, item: &ItemFact) -> Option<&Instance> {
        self.target.at(&item.target_mailbox, item.at_target?)
    }

    fn struck_target(&self, fault: impl Fn(&Fault) -> bool) -> usize {
        self.facts.target.struck.iter().filter(|f| fault(f)).count()
    }

    /// The mailboxes of the doubts in the report whose kind holds `word`. A doubt about all is about each.
    fn doubted(&self, word: &str) -> BTreeSet<Option<String>> {
        let doubts = self.facts.report["doubts"].as_array().cloned().unwrap_or_default();
        let of_kind = doubts.iter().filter(|d| d["kind"].as_str().is_some_and(|k| k.contains(word)));
        of_kind.map(|d| d["mailbox"].as_str().map(str::to_owned)).collect()
    }

    fn is_doubted(&self, word: &str, mailbox: &str) -> bool {
        let doubted = self.doubted(word);
        doubted.contains(&None) || doubted.contains(&Some(mailbox.to_owned()))
    }

    fn at_target(&self, mailbox: &str, place: (u32, u32)) -> Option<&MessageSnapshot> {
        let holds = self.facts.target.holds.iter().find(|m| m.name == mailbox)?;
        if holds.uid_validity != place.0 {
            return None;
        }
        holds.messages.iter().find(|m| m.uid == place.1)
    }
}
