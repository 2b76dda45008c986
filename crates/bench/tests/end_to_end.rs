//! The bench between two real servers, small.
#![allow(clippy::unwrap_used, reason = "test code")]

use mailhaul_bench::bed::{Bed, TargetStore};
use mailhaul_bench::corpus::{Corpus, Kind};
use mailhaul_bench::round::{Pass, Round, make};
use mailhaul_bench::tools::{Programs, Tool};
use std::time::Duration;

#[test]
fn the_relay_copies_octets_flags_and_dates_and_each_run_is_measured_and_compared() {
    let Some(bed) = Bed::start(TargetStore::Memory).unwrap().or_not_run() else { return };
    let account = bed.load(Corpus { kind: Kind::Mini, seed: 1, percent: 3 }).unwrap();
    assert_eq!(account.messages, 30);
    let programs = Programs { bench: env!("CARGO_BIN_EXE_mailhaul-bench").into(), mailhaul: None };
    let tools = [Tool::Relay(1), Tool::Duties(2), Tool::Ahead(4)];
    let round = Round {
        bed: &bed,
        account: &account,
        round_trip: Duration::ZERO,
        tools: &tools,
        runs: 1,
        limit: Duration::from_secs(120),
        programs: &programs,
    };
    for run in make(&round, &|line| println!("{line}")).unwrap() {
        let Pass::Counts(usage, finding) = &run.first else { panic!("{}: {:?}", run.tool, run.first) };
        // nothing is wrong but what the relay does not do: INBOX is subscribed nowhere
        assert!(finding.to_string().ends_with("subscriptions differ 9"), "{}: {finding}", run.tool);
        assert!(usage.wall_seconds > 0.0 && usage.peak_rss_kib > 0, "{usage:?}");
    }
}

#[test]
fn a_copy_that_lacks_a_message_has_no_time() {
    let Some(bed) = Bed::start(TargetStore::Memory).unwrap().or_not_run() else { return };
    let account = bed.load(Corpus { kind: Kind::Mini, seed: 1, percent: 1 }).unwrap();
    // does nothing, and says that all is well
    let programs =
        Programs { bench: env!("CARGO_BIN_EXE_mailhaul-bench").into(), mailhaul: Some("/bin/true".into()) };
    let round = Round {
        bed: &bed,
        account: &account,
        round_trip: Duration::ZERO,
        tools: &[Tool::Full],
        runs: 1,
        limit: Duration::from_secs(120),
        programs: &programs,
    };
    let runs = make(&round, &|line| println!("{line}")).unwrap();
    let Pass::Wrong(finding) = &runs[0].first else { panic!("{:?}", runs[0].first) };
    assert_eq!(finding.to_string(), "mailboxes missing 9, messages missing 1, subscriptions differ 9");
    assert!(runs[0].second.is_none());
}
