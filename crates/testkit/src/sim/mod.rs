//! The seeded simulation: one number makes a world (two servers, their mail, how they behave, how the migration is set,
//! and what goes wrong), the real engine migrates in it on one thread with a paused clock, and checkers that share no
//! code with it compare what it says with what happened.
//!
//! A seed always makes the same world and, unless the code changes, the same run: [`replay`] is the command that shows
//! a failing one again.

mod check;
mod facts;
mod mail;
mod pipe;
mod plan;
mod record;
mod run;
mod truth;
mod world;

pub use check::check;
pub use facts::{Facts, ItemFact, Runs, ServerFacts};
pub use run::Ran;
pub use world::{Cut, Death, End, Existing, Letter, Planted, Tuning, World};

/// What a simulation found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What could be known at its end; nothing when it did not come to one.
    pub facts: Option<Facts>,
    /// What is wrong, in words; empty when all is well.
    pub wrong: Vec<String>,
}

/// Simulates a world and checks it. Files go into `folder`, which is empty before.
#[must_use]
pub fn simulate(world: &World, folder: &std::path::Path) -> Outcome {
    match run::run(world, folder) {
        Ok(facts) => Outcome { wrong: check(world, &facts), facts: Some(facts) },
        Err(words) => Outcome { facts: None, wrong: vec![format!("the simulation stopped: {words}")] },
    }
}

/// The command that runs exactly this seed again.
#[must_use]
pub fn replay(seed: u64) -> String {
    format!(
        "MAILHAUL_SIM_SEED={seed} cargo test -p mailhaul-testkit --test simulation one_seed -- --nocapture"
    )
}
