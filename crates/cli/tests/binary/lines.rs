//! The documents, and the command lines in them.

use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What people read: name and text.
pub fn documents() -> Vec<(String, String)> {
    let mut found = vec!["README.md".to_owned()];
    for folder in ["docs", "docs/guide"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                found.push(format!("{folder}/{name}"));
            }
        }
    }
    found.sort();
    let text = |name: &String| std::fs::read_to_string(root().join(name)).unwrap();
    found.into_iter().map(|name| (name.clone(), text(&name))).collect()
}

/// Lines of code: fenced, or indented by four columns below an empty line. A line that ends in `\` goes on in the next one.
pub fn code_lines(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut fenced, mut goes_on): (Vec<(usize, String)>, _, _) = (Vec::new(), false, false);
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            (fenced, goes_on) = (!fenced, false);
            continue;
        }
        if !fenced && !line.starts_with("    ") {
            goes_on = false;
            continue;
        }
        let (line, more) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        match found.last_mut().filter(|_| goes_on) {
            Some((_, before)) => *before += &format!(" {}", line.trim()),
            None => found.push((at + 1, line.trim().to_owned())),
        }
        goes_on = more;
    }
    found
}

/// Command lines inside a sentence. One with `…`, or with VERB, is a form and no command.
pub fn inline(text: &str) -> Vec<(usize, String)> {
    let spans = |(at, line): (usize, &str)| {
        let spans = line.split('`').skip(1).step_by(2).map(move |span| (at + 1, span.to_owned()));
        spans.collect::<Vec<_>>()
    };
    let whole = |line: &str| line.matches('`').count().is_multiple_of(2);
    let lines = text.lines().enumerate().filter(|(_, line)| whole(line) && !line.starts_with("    "));
    lines.flat_map(spans).filter(|(_, span)| !span.contains('…') && !span.contains("VERB")).collect()
}
