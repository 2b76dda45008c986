//! The seeded simulation (`testkit::sim`): the real engine in a world of faults, judged by checkers of their own.
//!
//! `MAILHAUL_SIM_SEEDS=100000` runs more seeds than CI does, `MAILHAUL_SIM_FIRST=n` begins elsewhere, and
//! `MAILHAUL_SIM_SEED=n` replays one.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "test code")]

#[path = "simulation/regressions.rs"]
mod regressions;

use mailhaul_testkit::corpus::Random;
use mailhaul_testkit::sim::{Letter, Outcome, World, replay, simulate};
use std::time::Duration;

#[cfg(mailhaul_mutants)]
use mailhaul_engine::mutants::Mutant;

/// Seeds of a run in CI.
const SEEDS: u64 = 1000;
/// Those of them that run once more with compressed connections.
const COMPRESSED_SEEDS: u64 = 200;
/// Those of them that run once more with a new server that rewrites.
const REWRITTEN_SEEDS: u64 = 100;
/// Failing seeds shown in full.
const SHOWN: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

fn outcome(seed: u64) -> (World, Outcome) {
    let mut world = World::of(seed);
    world.tuning.compress = number("MAILHAUL_SIM_COMPRESS").is_some();
    world.tuning.rewrites = number("MAILHAUL_SIM_REWRITE").is_some();
    let outcome = outcome_of(&world);
    (world, outcome)
}

fn outcome_of(world: &World) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    simulate(world, folder.path())
}

/// A seed and what is wrong with it, with the one command that shows it again.
fn told(seed: u64, outcome: &Outcome) -> String {
    format!("seed {seed}:\n  {}\n  again: {}", outcome.wrong.join("\n  "), replay(seed))
}

#[test]
fn no_fault_loses_doubles_or_misreports_mail() {
    let first = number("MAILHAUL_SIM_FIRST").unwrap_or(1);
    let count = number("MAILHAUL_SIM_SEEDS").unwrap_or(SEEDS);
    let mut failed = Vec::new();
    for seed in first..first + count {
        let (_, outcome) = outcome(seed);
        if !outcome.wrong.is_empty() {
            eprintln!("{}", told(seed, &outcome));
            failed.push(seed);
        }
        if failed.len() >= SHOWN {
            break;
        }
    }
    assert!(failed.is_empty(), "{} of {count} seeds failed: {failed:?}", failed.len());
}

/// The same worlds over COMPRESS=DEFLATE: connections die in the middle of deflated blocks.
#[test]
fn compressed_no_fault_loses_doubles_or_misreports_mail() {
    let first = number("MAILHAUL_SIM_FIRST").unwrap_or(1);
    let mut died = 0;
    for seed in first..first + number("MAILHAUL_SIM_SEEDS").unwrap_or(COMPRESSED_SEEDS) {
        let mut world = World::of(seed);
        world.tuning.compress = true;
        let outcome = outcome_of(&world);
        assert!(outcome.wrong.is_empty(), "MAILHAUL_SIM_COMPRESS=1, {}", told(seed, &outcome));
        died += outcome.facts.map_or(0, |facts| facts.died.len());
    }
    assert!(died > 0, "no connection died");
}

/// The same worlds with a new server that keeps no message as it was given.
#[test]
fn rewritten_no_fault_loses_doubles_or_misreports_mail() {
    let first = number("MAILHAUL_SIM_FIRST").unwrap_or(1);
    let (mut failed, mut rewritten) = (Vec::new(), 0);
    for seed in first..first + number("MAILHAUL_SIM_SEEDS").unwrap_or(REWRITTEN_SEEDS) {
        let mut world = World::of(seed);
        world.tuning.rewrites = true;
        let outcome = outcome_of(&world);
        if !outcome.wrong.is_empty() {
            eprintln!("MAILHAUL_SIM_REWRITE=1, {}", told(seed, &outcome));
            failed.push(seed);
        }
        rewritten +=
            outcome.facts.map_or(0, |f| f.items.iter().filter(|i| i.grade == Some("semantic")).count());
    }
    assert!(failed.is_empty(), "{failed:?}");
    assert!(rewritten > 0, "no message was rewritten");
}

/// A seed that fails must fail again: whatever a run does depends on its seed alone.
#[test]
fn a_seed_always_runs_the_same() {
    for seed in 1..=40 {
        let told = || {
            let facts = outcome(seed).1.facts.unwrap();
            format!("{:?} {:?} {:?} {}", facts.runs, facts.items, facts.target.ledger, facts.writes)
        };
        assert_eq!(told(), told(), "seed {seed}");
    }
}

/// A source that gives faster than the target takes: what is on its way stays within the memory that is allowed. With more
/// memory allowed more is on its way: the meter is not blind.
#[test]
fn the_octets_on_their_way_stay_under_the_limit() {
    let mut random = Random::new(7);
    let letter = |n: usize, octets: u64| Letter {
        octets: vec![b'x'; octets as usize].into(),
        ..Letter::new(&n.to_string())
    };
    let letters: Vec<Letter> = (0..150).map(|n| letter(n, random.between(10_000, 50_000))).collect();
    let most = |memory_octets: u64| {
        let mut world = World::calm(&letters.iter().collect::<Vec<_>>());
        world.target_profile.commit_delay = Duration::from_millis(700);
        world.tuning.memory_octets = memory_octets;
        (world.tuning.batch_octets, world.tuning.range_octets) = (60_000, 60_000);
        world.tuning.in_memory_octets = 60_000;
        let folder = tempfile::tempdir().unwrap();
        let outcome = simulate(&world, folder.path());
        assert!(outcome.wrong.is_empty(), "{}", outcome.wrong.join("\n"));
        outcome.facts.unwrap().in_flight_max
    };
    let (tight, wide) = (most(600_000), most(2_500_000));
    assert!(tight <= 600_000, "{tight} octets were on their way");
    assert!(
        wide <= 2_500_000 && wide > 2 * tight,
        "{wide} octets were on their way, and {tight} with less memory"
    );
}

/// Broken rules, one at a time: each must be noticed within [`SEEDS`] seeds that pass with the rule in force.
#[cfg(mailhaul_mutants)]
#[test]
fn every_mutant_is_caught() {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        Mutant::switch(Some(mutant));
        let caught = (1..=SEEDS).map(|seed| (seed, outcome(seed).1)).find(|(_, o)| !o.wrong.is_empty());
        Mutant::switch(None);
        match caught {
            Some((seed, with)) => {
                let without = outcome(seed).1;
                assert!(without.wrong.is_empty(), "fails without a mutant: {}", told(seed, &without));
                eprintln!("{mutant:?} is caught by seed {seed}: {}", with.wrong[0]);
            }
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS} seeds: {missed:?}");
}

/// Replays `MAILHAUL_SIM_SEED`, and shows the world and how it went; without one, seed 1. Where rules can be broken,
/// `MAILHAUL_MUTANT` names the one that is.
#[test]
fn one_seed() {
    #[cfg(mailhaul_mutants)]
    if let Ok(name) = std::env::var("MAILHAUL_MUTANT") {
        Mutant::switch(Mutant::ALL.into_iter().find(|m| format!("{m:?}") == name));
    }
    let seed = number("MAILHAUL_SIM_SEED").unwrap_or(1);
    let (world, outcome) = outcome(seed);
    show(&world);
    if let Some(facts) = &outcome.facts {
        println!("runs {:?}", facts.runs);
        println!("struck at the source {:?}", facts.source.struck);
        println!("struck at the target {:?}", facts.target.struck);
        println!("connections that died {:?}", facts.died);
        facts.items.iter().for_each(|item| println!("{item:?}"));
        println!("what happened at the target");
        facts.target.ledger.iter().for_each(|entry| println!("{entry:.40?}"));
        println!("doubts {:#}", facts.report["doubts"]);
        println!("remarks {:#}", facts.report["remarks"]);
        println!("totals {}", facts.report["totals"]);
    }
    assert!(outcome.wrong.is_empty(), "{}", told(seed, &outcome));
}

fn show(world: &World) {
    let mailboxes: Vec<_> = world.source.iter().map(|m| (m.name, m.letters.len())).collect();
    println!("{mailboxes:?}");
    println!("source {:?}", world.source_profile);
    println!("target {:?}", world.target_profile);
    println!("goes wrong at the source {:?}", world.source_plan);
    println!("goes wrong at the target {:?}", world.target_plan);
    println!("cuts {:?}", world.cuts);
    println!("stops {:?}", world.stops);
    println!("{:?}", world.tuning);
}
