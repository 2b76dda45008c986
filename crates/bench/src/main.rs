//! `mailhaul-bench`: see the library and docs/benchmarks.md.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use clap::Parser as _;
use mailhaul_bench::bed::{Bed, TargetStore};
use mailhaul_bench::corpus::Corpus;
use mailhaul_bench::machine::{Machine, load};
use mailhaul_bench::options::{BenchOptions, Options, Part, RelayOptions};
use mailhaul_bench::relay::Login;
use mailhaul_bench::round::{Round, Run, make};
use mailhaul_bench::table::{Circumstances, Section, page, replaced};
use mailhaul_bench::tools::{Programs, Tool};
use mailhaul_bench::{Result, delay, measure, relay};
use mailhaul_testkit::servers::Availability;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// The page of figures, from this crate's folder.
const PAGE: &str = "../../docs/benchmarks.md";

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.part {
        Some(Part::Relay(options)) => relay_part(options).map(|()| true),
        Some(Part::Measure(options)) => {
            let limit = Duration::from_secs(options.limit_seconds);
            measure::measure(&options.command, &options.result, limit).map(|()| true)
        }
        None => bench(&options.bench),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mailhaul-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn relay_part(options: RelayOptions) -> Result<()> {
    let login = |address, user, variable| -> Result<Login> {
        Ok(Login { address, user, password: std::env::var(variable)? })
    };
    relay::run(&relay::Options {
        from: login(options.from, options.from_user, "MAILHAUL_FROM_PASSWORD")?,
        to: login(options.to, options.to_user, "MAILHAUL_TO_PASSWORD")?,
        connections: options.connections.max(1).into(),
        duties: options.duties,
        ahead: options.ahead,
    })
    .map(drop)
}

/// Measures and prints. False where a run of ours was wrong.
fn bench(options: &BenchOptions) -> Result<bool> {
    if cfg!(debug_assertions) {
        eprintln!("built without --release: these figures mean nothing");
        if options.write {
            return Err("figures of a build without --release are not written".into());
        }
    }
    let bed = match Bed::start(options.target)? {
        Availability::Ready(bed) => bed,
        Availability::Missing(reason) => {
            println!("not run: {reason}");
            return Ok(true);
        }
    };
    let wanted = if options.tools.is_empty() { Tool::usual() } else { options.tools.clone() };
    let programs = Programs { bench: std::env::current_exe()?, mailhaul: mailhaul(options, &wanted)? };
    let why_not = |tool: &Tool| tool.missing(&programs);
    let not_run: Vec<String> = wanted.iter().filter_map(why_not).collect();
    let tools: Vec<Tool> = wanted.into_iter().filter(|tool| why_not(tool).is_none()).collect();
    not_run.iter().for_each(|why| eprintln!("not run: {why}"));
    let slowest = options.rtt.iter().max().filter(|rtt| **rtt > 0);
    let rate = slowest.map(|rtt| delay::octets_per_second(Duration::from_millis(*rtt))).transpose()?;
    let before = load();
    let sections = sections(options, &bed, &tools, &programs)?;
    let circumstances = Circumstances {
        machine: Machine::of_now(),
        loads: [before, load()],
        target: match options.target {
            TargetStore::Memory if Path::new("/dev/shm").is_dir() => "memory".into(),
            TargetStore::Memory => "the folder for temporary files, without fsync".into(),
            TargetStore::Disk => "the folder for temporary files, with fsync".into(),
        },
        relay_octets_per_second: rate,
        not_run,
    };
    let figures = page(&circumstances, &sections);
    println!("{figures}");
    if options.write {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        std::fs::write(&path, replaced(&std::fs::read_to_string(&path)?, &figures)?)?;
    }
    Ok(sections.iter().flat_map(|section| &section.runs).all(|run| !run.tool.is_ours() || is_right(run)))
}

fn sections(options: &BenchOptions, bed: &Bed, tools: &[Tool], programs: &Programs) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    for kind in &options.corpora {
        let corpus = Corpus { kind: *kind, seed: options.seed, percent: options.percent };
        let account = bed.load(corpus)?;
        let megabytes = account.octets as f64 / 1e6;
        let title = format!("{}: {} messages, {megabytes:.1} MB", kind.name(), account.messages);
        eprintln!("{title}, loaded");
        for rtt in &options.rtt {
            let round = Round {
                bed,
                account: &account,
                round_trip: Duration::from_millis(*rtt),
                tools,
                runs: options.runs as usize,
                limit: Duration::from_secs(options.limit),
                programs,
            };
            let runs = make(&round, &|line| eprintln!("{line}"))?;
            sections.push(Section { title: format!("{title}, round trip {rtt} ms"), runs });
        }
    }
    Ok(sections)
}

fn is_right(run: &Run) -> bool {
    run.first.usage().is_some() && run.second.as_ref().is_none_or(|second| second.usage().is_some())
}

/// The program to measure: the one named, else the one that cargo builds now, else the one beside this.
fn mailhaul(options: &BenchOptions, tools: &[Tool]) -> Result<Option<PathBuf>> {
    let asked = tools.iter().any(|tool| tool.is_mailhaul());
    if !asked || options.mailhaul.is_some() {
        return Ok(options.mailhaul.clone());
    }
    if let Some(cargo) = std::env::var_os("CARGO").filter(|_| !cfg!(debug_assertions)) {
        let built = Command::new(cargo).args(["build", "--release", "-p", "mailhaul"]).status()?;
        if !built.success() {
            return Err("mailhaul could not be built".into());
        }
    }
    Ok(Some(std::env::current_exe()?.with_file_name("mailhaul")).filter(|path| path.is_file()))
}
