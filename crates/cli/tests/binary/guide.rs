//! What the guide shows of the program's words is what the program says.

use crate::accounts::{program, ran};
use std::path::Path;

/// Pages whose blocks without a language are words of the demo, or of what is found for two addresses.
const PAGES: [&str; 3] = ["start-here.md", "from-gmail.md", "what-the-proof-means.md"];

/// Without the port, which is another one in each run.
fn portless(line: &str) -> String {
    let Some((before, port)) = line.trim().rsplit_once("127.0.0.1:") else { return line.trim().to_owned() };
    format!("{before}127.0.0.1:{}", port.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn shown(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```").skip(1).step_by(2).filter(|block| block.starts_with('\n'));
    let lines = blocks.flat_map(str::lines).map(portless);
    lines.filter(|line| !line.is_empty() && line != "…").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_that_the_guide_shows_is_said_by_the_demo_or_for_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let demo = ran(program(&["demo"]).current_dir(folder.path())).await.expect(0);
    // Without a terminal it ends where a password would be asked for.
    let mut check = program(&["check", "ann@gmail.com", "ann@outlook.com"]);
    let found = ran(check.current_dir(folder.path())).await.expect(2);
    let said = demo.said() + &found.said();
    let said: Vec<String> = said.lines().map(portless).collect();
    for page in PAGES {
        let lines = shown(page);
        assert!(!lines.is_empty(), "{page} shows nothing");
        let invented: Vec<_> = lines.iter().filter(|line| !said.contains(line)).collect();
        assert!(invented.is_empty(), "{page} shows what nobody said: {invented:#?}");
    }
}
