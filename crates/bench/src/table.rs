//! Markdown of what was measured, and its place in the page of benchmarks.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::Result;
use crate::machine::Machine;
use crate::measure::Usage;
use crate::round::{Pass, Run};
use crate::stats::{median, times_as_fast};
use crate::tools::Tool;

/// Before the written tables.
pub const BEGIN: &str = "<!-- bench:begin -->";
/// After them.
pub const END: &str = "<!-- bench:end -->";

/// The runs of one corpus at one round trip.
#[derive(Clone, Debug)]
pub struct Section {
    /// The corpus and how it was moved: `mini: 1,000 messages, 4.6 MB, round trip 40 ms`.
    pub title: String,
    /// All runs.
    pub runs: Vec<Run>,
}

/// Circumstances of all sections.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The machine.
    pub machine: Machine,
    /// Its load before and after.
    pub loads: [f64; 2],
    /// Where the target lay: `memory`, `disk`.
    pub target: String,
    /// The delaying relay's bandwidth in octets a second, where one was used.
    pub relay_octets_per_second: Option<f64>,
    /// Tools that did not run, and why.
    pub not_run: Vec<String>,
}

/// The whole page of figures.
#[must_use]
pub fn page(circumstances: &Circumstances, sections: &[Section]) -> String {
    let machine = &circumstances.machine;
    let [before, after] = circumstances.loads;
    let mut page = format!(
        "**{}**: {} cores ({}), Linux {}, load {before:.1} before and {after:.1} after; two Dovecots {} on loopback \
        without TLS, the target's mail in {}.",
        machine.date, machine.cores, machine.processor, machine.kernel, machine.dovecot, circumstances.target
    );
    if let Some(rate) = circumstances.relay_octets_per_second {
        let rate = rate / 1e6;
        let _ = write!(page, " One stream through the delaying relay: {rate:.0} MB/s.");
    }
    page.push_str(
        " Seconds, CPU and RSS are medians of the runs that count; `× x` is how many times as fast as x (more is \
        better); `relay` and `duties` stand for the fastest of theirs.\n",
    );
    for why in &circumstances.not_run {
        let _ = writeln!(page, "- not run: {why}");
    }
    for section in sections {
        let _ = write!(page, "\n### {}\n\n", section.title);
        page.push_str(&table(&section.runs, "", |run| Some(&run.first)));
        let second = table(&section.runs, "second pass ", |run| run.second.as_ref());
        if !second.is_empty() {
            let _ = write!(page, "\n{second}");
        }
    }
    page
}

/// Replaces what stands between the two markers of a page and leaves the rest alone.
///
/// # Errors
/// If the page does not hold each marker once, in their order.
pub fn replaced(page: &str, between: &str) -> Result<String> {
    let once = |marker: &str| page.matches(marker).count() == 1;
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    match parts {
        Some((before, after)) if once(BEGIN) && once(END) => {
            Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", between.trim()))
        }
        _ => Err(format!("the page holds {BEGIN} and {END} not once each").into()),
    }
}

/// A column that other rows are compared with.
struct Reference {
    name: String,
    seconds: f64,
}

/// One table of a pass; empty where no tool has it.
fn table(runs: &[Run], what: &str, pass: impl Fn(&Run) -> Option<&Pass>) -> String {
    let tools: BTreeSet<Tool> = runs.iter().filter(|run| pass(run).is_some()).map(|run| run.tool).collect();
    if tools.is_empty() {
        return String::new();
    }
    let of = |tool: Tool| runs.iter().filter(move |run| run.tool == tool).filter_map(&pass);
    let seconds = |tool: Tool| middle(of(tool), |usage| usage.wall_seconds);
    let references = references(&tools, &seconds);
    let mut table = format!("| tool | runs | {what}seconds |");
    for reference in &references {
        let _ = write!(table, " × {} |", reference.name);
    }
    table.push_str(" CPU s | peak RSS MiB | checker |\n|");
    table.push_str(&"---|".repeat(references.len() + 6));
    table.push('\n');
    for tool in tools {
        let all: Vec<&Pass> = of(tool).collect();
        let counting = all.iter().filter(|pass| pass.usage().is_some()).count();
        let number =
            |value: Option<f64>, digits: usize| value.map_or("–".into(), |v| format!("{v:.digits$}"));
        let own = seconds(tool);
        let _ = write!(table, "| {} | {counting} of {} | {} |", title(tool), all.len(), number(own, 2));
        for reference in &references {
            let ratio = own.and_then(|own| times_as_fast(own, reference.seconds));
            let _ = write!(table, " {} |", number(ratio, 2));
        }
        let cpu = middle(all.iter().copied(), |usage| usage.cpu_seconds);
        let rss = middle(all.iter().copied(), |usage| usage.peak_rss_kib as f64 / 1024.0);
        let words: BTreeSet<String> = all.iter().map(|pass| pass.words().replace('|', "/")).collect();
        let words: Vec<String> = words.into_iter().collect();
        let _ = writeln!(table, " {} | {} | {} |", number(cpu, 2), number(rss, 0), words.join("; "));
    }
    table
}

/// The fastest relay, the fastest with our duties, and every peer, as far as they have a time.
fn references(tools: &BTreeSet<Tool>, seconds: &dyn Fn(Tool) -> Option<f64>) -> Vec<Reference> {
    let fastest = |name: &str, is: fn(&Tool) -> bool| {
        let times = tools.iter().filter(|tool| is(tool)).filter_map(|tool| seconds(*tool));
        times.min_by(f64::total_cmp).map(|seconds| Reference { name: name.to_owned(), seconds })
    };
    let relay = fastest("relay", |tool| matches!(tool, Tool::Relay(_)));
    let duties = fastest("duties", |tool| matches!(tool, Tool::Duties(_)));
    let peers = tools.iter().filter(|tool| matches!(tool, Tool::Peer(_)));
    let peers = peers.filter_map(|tool| Some(Reference { name: tool.to_string(), seconds: seconds(*tool)? }));
    relay.into_iter().chain(duties).chain(peers).collect()
}

fn middle<'a>(passes: impl Iterator<Item = &'a Pass>, value: impl Fn(&Usage) -> f64) -> Option<f64> {
    median(passes.filter_map(Pass::usage).map(value))
}

fn title(tool: Tool) -> String {
    match tool {
        Tool::Copy => "**mailhaul, copy only** (`--verify facts`)".into(),
        Tool::Full => "**mailhaul, every octet read back**".into(),
        Tool::CopyTls => "**mailhaul, copy only, TLS on both sides**".into(),
        Tool::FullTls => "**mailhaul, every octet read back, TLS on both sides**".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Finding;
    use crate::peers::Peer;

    fn pass(wall_seconds: f64) -> Pass {
        Pass::Counts(Usage { wall_seconds, cpu_seconds: 0.5, peak_rss_kib: 4096 }, Finding::default())
    }

    fn run(tool: Tool, first: Pass) -> Run {
        Run { tool, first, second: None }
    }

    fn row<'a>(table: &'a str, start: &str) -> Vec<&'a str> {
        let line = table.lines().find(|line| line.starts_with(start)).unwrap();
        line.split('|').map(str::trim).collect()
    }

    #[test]
    fn ratios_are_medians_against_the_fastest_relay_and_each_peer() {
        let mut runs = vec![
            run(Tool::Relay(1), pass(9.0)),
            run(Tool::Relay(2), pass(1.0)),
            run(Tool::Peer(Peer::Mbsync), pass(8.0)),
        ];
        runs.extend([1.0, 2.0, 30.0].map(|seconds| run(Tool::Full, pass(seconds))));
        let table = table(&runs, "", |run| Some(&run.first));
        assert!(table.starts_with("| tool | runs | seconds | × relay | × mbsync | CPU s |"), "{table}");
        let expected = ["3 of 3", "2.00", "0.50", "4.00", "0.50", "4", "identical"];
        assert_eq!(row(&table, "| **mailhaul, every")[2..9], expected);
        assert_eq!(row(&table, "| mbsync")[4], "0.12");
    }

    #[test]
    fn a_wrong_run_is_told_and_has_no_time() {
        let wrong = Pass::Wrong(Finding::default());
        let table = table(&[run(Tool::Copy, wrong), run(Tool::Copy, pass(3.0))], "", |run| Some(&run.first));
        let row = row(&table, "| **mailhaul, copy");
        assert_eq!(row[2..4], ["1 of 2", "3.00"]);
        assert!(row[6].contains("WRONG"), "{row:?}");
        let failed = Pass::Failed("a | b".into());
        let table = super::table(&[run(Tool::Relay(1), failed)], "", |run| Some(&run.first));
        assert_eq!(super::tests::row(&table, "| relay1")[2..7], ["0 of 1", "–", "–", "–", "FAILED: a / b"]);
        assert!(!table.contains('×'), "what has no time is no reference: {table}");
    }

    #[test]
    fn the_page_names_what_did_not_run_and_leaves_out_a_second_pass_that_nobody_has() {
        let machine = Machine {
            date: "2026-11-26".into(),
            cores: 2,
            processor: "a processor".into(),
            kernel: "6".into(),
            dovecot: "2.3".into(),
        };
        let circumstances = Circumstances {
            machine,
            loads: [0.1, 2.0],
            target: "memory".into(),
            relay_octets_per_second: Some(7.6e8),
            not_run: vec!["imapsync is not on PATH".into()],
        };
        let section = |second| Section {
            title: "mini, round trip 0 ms".into(),
            runs: vec![Run { tool: Tool::Full, first: pass(1.0), second }],
        };
        let page = super::page(&circumstances, &[section(None)]);
        assert!(
            page.starts_with("**2026-11-26**: 2 cores (a processor), Linux 6, load 0.1 before and 2.0 after")
        );
        for part in ["760 MB/s", "\n- not run: imapsync is not on PATH\n", "\n### mini, round trip 0 ms\n"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("second pass"));
        let page = super::page(&circumstances, &[section(Some(pass(0.25)))]);
        assert!(page.contains("| second pass seconds |") && page.contains("| 1 of 1 | 0.25 |"), "{page}");
    }

    #[test]
    fn the_page_of_benchmarks_holds_the_markers() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/benchmarks.md");
        assert!(replaced(&std::fs::read_to_string(page).unwrap(), "new").is_ok());
    }

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&page, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&new, "new").unwrap(), new);
        for broken in ["", BEGIN, &format!("{END}{BEGIN}"), &format!("{BEGIN}{END}{BEGIN}{END}")] {
            assert!(replaced(broken, "new").is_err(), "{broken}");
        }
    }
}
